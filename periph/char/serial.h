/*
 * serial.h - the 16550A core, for the fronts that put it on a bus.
 *
 * A front embeds struct serial in its state structure (STATE_STRUCT with serial_state), calls the
 * functions below from its own callbacks and routes accesses to serial_read and serial_write.
 */
#ifndef PERIPH_CHAR_SERIAL_H
#define PERIPH_CHAR_SERIAL_H

#include "bus/dev.h"
#include "chardev/chardev.h"

enum { SERIAL_FIFO = 16 };

struct serial {
    /* set by the front before serial_realize, and rebuilt on realize */
    struct chardev *chr; /* NULL: nothing is connected */
    struct irq_line *irq;
    struct bus_clock *clock;
    uint32_t baudbase; /* bits per second at divisor 1 */
    bool attached;
    bool out2_gates; /* OUT2 must be set for the interrupt to leave the chip (as PCs are wired) */
    /* state */
    uint8_t ier, fcr, lcr, mcr, msr, scr;
    uint8_t lsr; /* OE, BI, PE, FE as seen by the reader, DR; THRE and TEMT are always set */
    uint16_t divisor;
    uint8_t fifo[SERIAL_FIFO], fifo_lsr[SERIAL_FIFO]; /* received bytes and their error bits */
    uint8_t head, count;
    bool thr_pending;   /* THR became empty and nobody was told */
    bool timeout;       /* character timeout interrupt */
    struct timer timer; /* character timeout */
};

extern const struct state_field serial_state[];
extern const struct reg_desc serial_regs[];

/* `d` names the device in errors. 0 or -1. */
int serial_realize(struct serial *s, struct device *d, struct chardev *chr, struct irq_line *irq,
                   uint32_t baudbase, struct error *e);
void serial_unrealize(struct serial *s);
void serial_reset(struct serial *s);
int serial_post_load(struct serial *s, struct error *e);
/* reg: 0..7. */
uint8_t serial_read(struct serial *s, unsigned reg);
void serial_write(struct serial *s, unsigned reg, uint8_t v);

#endif
