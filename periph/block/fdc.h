/*
 * fdc.h - the floppy disk controller of PCs ("isa-fdc") with two drives.
 *
 * Output 0 is the interrupt. Data goes by the DMA controller or by the processor.
 */
#ifndef PERIPH_BLOCK_FDC_H
#define PERIPH_BLOCK_FDC_H

#include "blockfmt/block.h"
#include "bus/dev.h"

/* Drive types as the CMOS of PCs counts them. */
enum fdc_type { FDC_NONE, FDC_360K, FDC_1200K, FDC_720K, FDC_1440K, FDC_2880K };

/* Names the DMA controller (periph/misc/i8257.h); the channel is a property. */
void fdc_set_dma(struct device *fdc, struct device *dma);
/* Puts a drive (0 or 1) into the machine, with a disk or without. */
int fdc_add_drive(struct device *fdc, unsigned drive, struct blk_backend *, struct error *);
enum fdc_type fdc_drive_type(struct device *fdc, unsigned drive);
/* The text of bootindexA or bootindexB; NULL: none. */
const char *fdc_boot_index(struct device *fdc, unsigned drive);

#endif
