/*
 * x86-linux.h - starting Linux on a PC with firmware: the kernel's parts go into fw_cfg, with an option
 * ROM that puts them into memory and jumps.
 */
#ifndef MACHINES_BOOT_X86_LINUX_H
#define MACHINES_BOOT_X86_LINUX_H

#include "machines/machine.h"

/* Loads cfg.kernel, cfg.initrd and cfg.append; low_ram: bytes of RAM below 4 GiB. *boot: what is to be
 * the first in the boot order, in firmware's notation (static). 0 or -1. */
int x86_linux_load(struct machine *, struct device *fw_cfg, uint64_t low_ram, const char **boot, struct error *e);

/* Adds an option ROM with its checksums: all bytes add up to zero, those of the expansion header, too. 0 or -1. */
int x86_add_boot_rom(struct device *fw_cfg, const char *name, const uint8_t code[512], struct error *e);

#endif
