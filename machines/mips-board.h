/*
 * mips-board.h - what the MIPS boards have in common: the board as a device, the interrupt pins of
 * its CPU, firmware, and a kernel started without firmware.
 */
#ifndef MACHINES_MIPS_BOARD_H
#define MACHINES_MIPS_BOARD_H

#include "machines/boot/mips-linux.h"
#include "machines/machine.h"

/* A board's own structure begins with this. */
struct mips_board {
    struct device dev;
    struct machine *machine;
    struct mips_boot boot;
};

/* For the state table of a board's descriptor: its init makes all of it again. */
#define MIPS_BOARD_STATE                                                                           \
    STATE_RUNTIME(struct mips_board, machine), STATE_RUNTIME(struct mips_board, boot)
/* For its properties: none. */
extern const struct prop_desc mips_board_props[];

/* Makes the board's device and the CPU; m->board_data is the board from then on, which goes when
 * the machine does. NULL: *e says why. */
struct mips_board *mips_board_new(struct machine *m, const struct dev_desc *desc, struct error *e);
/* Maps r at a physical address; it goes with the machine. NULL, a region that could not be made,
 * gives -1. */
int mips_board_map(struct mips_board *b, struct region *r, uint64_t addr, int priority);
/* An irq_handler: pin n of the first CPU; opaque is the machine. */
void mips_board_cpu_pin(void *machine, unsigned n, bool level);
/* Reads m->cfg.bios, which is looked for along the firmware path, to `to`. `swap`: the four bytes
 * of each word are reversed on the way; size, in bytes, is then a multiple of four. 0 or -1. */
int mips_board_firmware(struct machine *m, uint8_t *to, uint64_t size, bool swap, struct error *e);
/* Loads m->cfg.kernel and m->cfg.initrd into low_memory bytes of RAM, which begin at physical 0.
 * The kernel's environment is memsize (low_memory), then env: names and values, NULL-ended, may be
 * NULL. 0 or -1. */
int mips_board_kernel(struct mips_board *b, uint64_t low_memory, const char *const *env,
                      struct error *e);

#endif
