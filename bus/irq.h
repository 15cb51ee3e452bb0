/*
 * irq.h - interrupt and other one-bit lines.
 *
 * A device owns output lines and knows nothing of where they go; a board connects each to an input
 * pin of a controller, a CPU or another device. The level is kept in the line, so that loading state can
 * re-drive inputs in any order. Lines are not thread safe: device code runs in the machine's thread.
 */
#ifndef BUS_IRQ_H
#define BUS_IRQ_H

#include "util/host.h"

/* An input: called when the level changes. Owned by the device that has the input. */
typedef void (*irq_handler)(void *opaque, unsigned n, bool level);

/* An output. In the state table as STATE_IRQ (the level is saved and reset lowers it) or as STATE_RUNTIME (then
 * reset and post_load drive it again). */
struct irq_line {
    irq_handler handler; /* NULL: not connected */
    void *opaque;
    unsigned n;
    bool level;
};

static inline void irq_connect(struct irq_line *l, irq_handler h, void *opaque, unsigned n)
{
    l->handler = h, l->opaque = opaque, l->n = n;
    if (h && l->level) h(opaque, n, true); /* inputs start low */
}

static inline void irq_set(struct irq_line *l, bool level)
{
    if (l->level == level) return;
    l->level = level;
    if (l->handler) l->handler(l->opaque, l->n, level);
}
static inline void irq_raise(struct irq_line *l) { irq_set(l, true); }
static inline void irq_lower(struct irq_line *l) { irq_set(l, false); }
static inline void irq_pulse(struct irq_line *l) { irq_set(l, true), irq_set(l, false); }

#endif
