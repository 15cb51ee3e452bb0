/*
 * x86-flat.h - starting Multiboot kernels and ELF kernels with a PVH entry on a PC with firmware.
 */
#ifndef MACHINES_BOOT_X86_FLAT_H
#define MACHINES_BOOT_X86_FLAT_H

#include "machines/machine.h"

/* Loads cfg.kernel, cfg.initrd (modules) and cfg.append, when the kernel is of a kind that is known here; low_ram, high_ram: bytes
 * of RAM below and above 4 GiB. *boot: as x86_linux_load. 0; 1: it is of neither kind; -1: an error. */
int x86_flat_load(struct machine *, struct device *fw_cfg, uint64_t low_ram, uint64_t high_ram, const char **boot, struct error *e);

#endif
