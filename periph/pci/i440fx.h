/*
 * i440fx.h - the 82441FX (PMC) of the 440FX chip set: "i440FX-pcihost" owns the PCI bus and its
 * configuration ports, "i440FX" is function 0 on it, with the registers that shape the first
 * megabyte. "q35-pcihost" and "mch" are the same of the 82Q35, whose configuration space shows in memory, too.
 *
 * Outputs 0..3 of i440FX-pcihost are PIRQA#..PIRQD#, 0..7 of q35-pcihost PIRQA#..PIRQH#.
 */
#ifndef PERIPH_PCI_I440FX_H
#define PERIPH_PCI_I440FX_H

#include "periph/pci/pci.h"

/* Ports CF8h..CFBh are the host bridge's, but for bytes at CF9h, which is the south bridge's. */
void i440fx_set_reset_port(struct device *pcihost, uint8_t (*read)(void *),
                           void (*write)(void *, uint8_t), void *opaque);
/* What "i440FX" or "mch" maps: ram is all of the machine's RAM from address 0 on, at least 1 MiB; rom, a
 * container of 256 KiB with what answers at C0000h..FFFFFh when RAM does not. Both live longer than
 * the device. Once, before the first reset. */
void i440fx_set_memory(struct device *pmc, struct region *ram, struct region *rom);
/* The processor is in system management mode: compatible SMRAM shows. */
void i440fx_set_smm(struct device *pmc, bool in);

#endif
