/*
 * mips-linux.h - starting a kernel on MIPS boards as the YAMON monitor does: arguments and
 * environment in memory, and the registers a kernel finds.
 */
#ifndef MACHINES_BOOT_MIPS_LINUX_H
#define MACHINES_BOOT_MIPS_LINUX_H

#include "machines/boot/loader.h"
#include "machines/machine.h"

enum { MIPS_YAMON_ENV = 0x2000 }; /* physical address of the arguments and the environment */

struct mips_boot {
    bool kernel; /* a kernel was loaded: mips_boot_cpu applies */
    uint64_t entry;
    uint64_t low_memory; /* bytes of RAM that kseg0 reaches */
    uint32_t argc;
    struct elf_info elf;
};

/* The physical address of a kseg0, kseg1, xkphys or (32-bit, below 2 GiB, not mapped) physical
 * address. */
bool mips_kseg_phys(void *opaque, uint64_t vaddr, uint64_t paddr, uint64_t *phys);
/* Loads m->cfg.kernel and m->cfg.initrd below low_memory, which begins at physical 0. 0 or -1. */
int mips_load_kernel(struct machine *m, struct device *images, uint64_t low_memory,
                     struct mips_boot *out, struct error *e);
/* Puts the argument block into images: argv[0] the kernel's name, argv[1] the command line (with
 * rd_start, rd_size), and the environment: pairs of name and value ended by NULL. 0 or -1. */
int mips_yamon_block(struct machine *m, struct device *images, struct mips_boot *b,
                     const char *const *env, struct error *e);
/* In the board's reset: the first CPU starts at the kernel's entry with YAMON's registers. */
void mips_boot_cpu(struct machine *m, const struct mips_boot *b);

#endif
