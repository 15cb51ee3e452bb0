/*
 * cfi-flash.h - NOR flash with Intel's command set ("cfi.pflash01").
 *
 * Region 0 is the flash, to be mapped by the board. Loaders that put firmware into it write
 * region_ram of it.
 */
#ifndef PERIPH_MISC_CFI_FLASH_H
#define PERIPH_MISC_CFI_FLASH_H

#include "bus/dev.h"

/* The contents and their size in bytes. */
uint8_t *cfi_flash_contents(struct device *d, uint64_t *size);

#endif
