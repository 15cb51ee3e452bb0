/*
 * i8259.c - one 8259A programmable interrupt controller, with the edge/level control register
 * (ELCR) that PCI-to-ISA bridges add.
 *
 * Follows Intel's data sheet of the 8259A and, for the ELCR, that of the 82371AB (PIIX4). The
 * 8080/8085 acknowledge (a CALL instruction in three bytes) is not modelled: the vector is given in
 * 8086 form always.
 */
#include "periph/intc/i8259.h"

#include "periph/regions.h"
#include "util/log.h"

#include <stdio.h>

struct i8259 {
    struct device dev;
    /* properties */
    uint16_t iobase, elcr_port;
    uint8_t elcr_mask; /* bits of the ELCR that can be set */
    /* state */
    uint8_t pins;    /* levels of IR0..7 */
    uint8_t latched; /* edges seen and not yet acknowledged */
    uint8_t imr, isr, elcr;
    uint8_t icw1, icw2, icw3, icw4;
    uint8_t next_icw; /* 2, 3 or 4 while initialising, else 0 */
    uint8_t lowest;   /* input with the lowest priority */
    bool rotate_aeoi, special_mask, poll, read_isr;
    /* runtime */
    uint64_t count[8]; /* rises of each input */
    struct irq_line irq[1];
    struct i8259 *slave[8];
};

enum { ICW1_IC4 = 1, ICW1_SNGL = 2, ICW1_LTIM = 8, ICW1_ID = 0x10 };
enum { ICW4_UPM = 1, ICW4_AEOI = 2, ICW4_SFNM = 0x10 };

static uint8_t level_inputs(const struct i8259 *s)
{
    /* Chips with an ELCR ignore LTIM. */
    if (s->elcr_port) return s->elcr;
    return s->icw1 & ICW1_LTIM ? 0xff : 0;
}

static uint8_t irr(const struct i8259 *s)
{
    uint8_t level = level_inputs(s);
    return (uint8_t)((s->latched & ~level) | (s->pins & level));
}

/* Position of the set bit with the highest priority counted from the rotating top: 0..7; 8: none.
 */
static unsigned rank(const struct i8259 *s, uint8_t bits)
{
    for (unsigned r = 0; r < 8; r++)
        if (bits & (1u << ((s->lowest + 1 + r) & 7))) return r;
    return 8;
}

/* The input to be served now, or -1. */
static int pending(const struct i8259 *s)
{
    uint8_t serviced = s->isr;
    unsigned want, cur;
    int ir;

    if (s->next_icw) return -1;
    want = rank(s, (uint8_t)(irr(s) & ~s->imr));
    if (want == 8) return -1;
    ir = (int)((s->lowest + 1 + want) & 7);
    /* In special mask mode a masked level in service does not hold the others back. */
    if (s->special_mask) serviced &= (uint8_t)~s->imr;
    cur = rank(s, serviced);
    /* Special fully nested: a slave may interrupt its own service with a higher level of its own.
     */
    if (want == cur && (s->icw4 & ICW4_SFNM) && !(s->icw1 & ICW1_SNGL) && (s->icw3 & (1u << ir)))
        return ir;
    return want < cur ? ir : -1;
}

static void update(struct i8259 *s)
{
    irq_set(&s->irq[0], pending(s) >= 0);
}

static void i8259_input(void *opaque, unsigned n, bool level)
{
    struct i8259 *s = opaque;
    uint8_t bit = (uint8_t)(1u << (n & 7));

    if (level) {
        if (!(s->pins & bit)) s->latched |= bit, s->count[n & 7]++;
        s->pins |= bit;
    } else {
        /* The request must stay until the acknowledge; one that goes earlier becomes the spurious
         * IR7. */
        s->pins &= (uint8_t)~bit;
        s->latched &= (uint8_t)~bit;
    }
    update(s);
}

/* What the first INTA pulse does; returns the input, or -1 for the spurious one. */
static int acknowledge(struct i8259 *s)
{
    int ir = pending(s);

    if (ir < 0) return -1;
    s->latched &= (uint8_t) ~(1u << ir);
    if (s->icw4 & ICW4_AEOI) {
        if (s->rotate_aeoi) s->lowest = (uint8_t)ir;
    } else {
        s->isr |= (uint8_t)(1u << ir);
    }
    return ir;
}

static int ack_chip(struct i8259 *s, unsigned depth)
{
    int ir = acknowledge(s), vector;

    if (ir >= 0 && s->slave[ir] && !(s->icw1 & ICW1_SNGL) && (s->icw3 & (1u << ir)) && depth == 0) {
        vector = ack_chip(s->slave[ir], depth + 1);
    } else {
        vector = (s->icw2 & 0xf8) | (ir < 0 ? 7 : ir);
    }
    update(s);
    return vector;
}

int i8259_ack(struct device *d)
{
    return ack_chip((struct i8259 *)d, 0);
}

void i8259_set_slave(struct device *master, struct device *slave, unsigned ir)
{
    ((struct i8259 *)master)->slave[ir & 7] = (struct i8259 *)slave;
}

static void i8259_dump(struct device *d, void (*put)(void *, const char *), void *opaque)
{
    const struct i8259 *s = (struct i8259 *)d;
    char line[120];

    snprintf(line, sizeof line, "pic%d: irr=%02x imr=%02x isr=%02x hprio=%d irq_base=%02x rr_sel=%d elcr=%02x fnm=%d", s->iobase >= 0x80, irr(s), s->imr, s->isr,
             (s->lowest + 1) & 7, s->icw2 & 0xf8, s->read_isr, s->elcr, !!(s->icw4 & ICW4_SFNM));
    put(opaque, line);
}

static uint64_t i8259_count(struct device *d, unsigned n)
{
    return ((struct i8259 *)d)->count[n & 7];
}

static void write_icw1(struct i8259 *s, uint8_t v)
{
    s->icw1 = v;
    s->icw2 = s->icw3 = 0;
    s->icw4 = 0;
    s->imr = 0;
    /* The data sheet leaves ISR out of its list; drivers rely on initialisation ending all
     * services. */
    s->isr = 0;
    s->latched = 0;
    s->lowest = 7;
    s->special_mask = s->read_isr = s->poll = s->rotate_aeoi = false;
    s->next_icw = 2;
}

static void write_ocw2(struct i8259 *s, uint8_t v)
{
    bool rotate = v & 0x80, specific = v & 0x40, eoi = v & 0x20;
    unsigned ir = v & 7;

    if (!eoi) {
        if (specific) {
            if (rotate) s->lowest = (uint8_t)ir; /* set priority; without R: no operation */
        } else {
            s->rotate_aeoi = rotate;
        }
        return;
    }
    if (!specific) {
        /* In special mask mode a non-specific EOI does not end a masked level. */
        unsigned r = rank(s, (uint8_t)(s->special_mask ? s->isr & ~s->imr : s->isr));
        if (r == 8) return;
        ir = (s->lowest + 1 + r) & 7;
    }
    s->isr &= (uint8_t) ~(1u << ir);
    if (rotate) s->lowest = (uint8_t)ir;
}

static void i8259_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct i8259 *s = opaque;
    uint8_t v = (uint8_t)value;
    bool initialising = s->next_icw != 0;

    (void)size;
    if (addr == 0) {
        if (v & ICW1_ID) {
            write_icw1(s, v);
        } else if (v & 8) { /* OCW3 */
            s->poll = v & 4;
            if (v & 2) s->read_isr = v & 1;
            if (v & 0x40) s->special_mask = v & 0x20;
        } else {
            write_ocw2(s, v);
        }
    } else {
        switch (s->next_icw) {
        case 2:
            s->icw2 = v;
            s->next_icw = s->icw1 & ICW1_SNGL ? (s->icw1 & ICW1_IC4 ? 4 : 0) : 3;
            break;
        case 3:
            s->icw3 = v;
            s->next_icw = s->icw1 & ICW1_IC4 ? 4 : 0;
            break;
        case 4:
            s->icw4 = v;
            s->next_icw = 0;
            break;
        default: s->imr = v; break;
        }
        if (initialising && !s->next_icw && !(s->icw4 & ICW4_UPM))
            LOG(UNIMP, "isa-i8259: 8080 mode is not modelled\n");
    }
    update(s);
}

static uint64_t i8259_read(void *opaque, uint64_t addr, unsigned size)
{
    struct i8259 *s = opaque;

    (void)size;
    if (s->poll) { /* this read is the acknowledge */
        int ir;
        s->poll = false;
        ir = acknowledge(s);
        update(s);
        return ir < 0 ? 0 : 0x80u | (unsigned)ir;
    }
    if (addr == 1) return s->imr;
    return s->read_isr ? s->isr : irr(s);
}

static uint64_t elcr_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)addr, (void)size;
    return ((struct i8259 *)opaque)->elcr;
}

static void elcr_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct i8259 *s = opaque;

    (void)addr, (void)size;
    s->elcr = (uint8_t)value & s->elcr_mask;
    update(s);
}

static const struct mmio_ops i8259_ops = {
    .read = i8259_read, .write = i8259_write, .impl_min = 1, .impl_max = 1};
static const struct mmio_ops elcr_ops = {
    .read = elcr_read, .write = elcr_write, .impl_min = 1, .impl_max = 1};

static int i8259_realize(struct device *d, struct error *e)
{
    struct i8259 *s = (struct i8259 *)d;

    if (periph_map_ports(d, 0, "pic", s->iobase, 2, &i8259_ops, e) < 0) return -1;
    if (s->elcr_port && periph_map_ports(d, 1, "elcr", s->elcr_port, 1, &elcr_ops, e) < 0)
        return -1;
    return 0;
}

static void i8259_reset(struct device *d)
{
    update((struct i8259 *)d);
}

static int i8259_post_load(struct device *d, struct error *e)
{
    struct i8259 *s = (struct i8259 *)d;

    if (s->next_icw == 1 || s->next_icw > 4)
        return error_set(e, "isa-i8259: next_icw is %u", s->next_icw);
    s->lowest &= 7;
    update(s);
    return 0;
}

static const struct prop_desc i8259_props[] = {
    PROP(struct i8259, PROP_U16, "iobase", iobase, 0x20, "first I/O port"),
    PROP(struct i8259, PROP_U16, "elcr", elcr_port, 0,
         "port of the edge/level control register (0: none)"),
    PROP(struct i8259, PROP_U8, "elcr-mask", elcr_mask, 0xf8,
         "bits of the edge/level register that can be set"),
    PROP_END,
};

static const struct state_field i8259_state[] = {
    STATE_PROP(struct i8259, iobase),
    STATE_PROP(struct i8259, elcr_port),
    STATE_PROP(struct i8259, elcr_mask),
    STATE_INT(struct i8259, pins), /* not reset: the lines are driven from outside */
    STATE_INT_RESET(struct i8259, latched, 0),
    STATE_INT_RESET(struct i8259, imr, 0xff), /* the data sheet says nothing; silent until set up */
    STATE_INT_RESET(struct i8259, isr, 0),
    STATE_INT_RESET(struct i8259, elcr, 0),
    STATE_INT_RESET(struct i8259, icw1, 0),
    STATE_INT_RESET(struct i8259, icw2, 0),
    STATE_INT_RESET(struct i8259, icw3, 0),
    STATE_INT_RESET(struct i8259, icw4, 0),
    STATE_INT_RESET(struct i8259, next_icw, 0),
    STATE_INT_RESET(struct i8259, lowest, 7),
    STATE_INT_RESET(struct i8259, rotate_aeoi, 0),
    STATE_INT_RESET(struct i8259, special_mask, 0),
    STATE_INT_RESET(struct i8259, poll, 0),
    STATE_INT_RESET(struct i8259, read_isr, 0),
    STATE_RUNTIME(struct i8259, count),
    STATE_RUNTIME(struct i8259, irq),
    STATE_RUNTIME(struct i8259, slave),
    STATE_END,
};

static const struct reg_desc i8259_regs[] = {
    {0, "ICW1/OCW2/OCW3/IRR/ISR", 1},
    {1, "ICW2/ICW3/ICW4/IMR", 1},
    REG_END,
};

const struct dev_desc i8259_desc = {
    .name = "isa-i8259",
    .help = "8259A interrupt controller",
    .bus = BUS_ISA,
    .category = DEV_INTC,
    .size = sizeof(struct i8259),
    .props = i8259_props,
    .state = i8259_state,
    .regs = i8259_regs,
    .realize = i8259_realize,
    .unrealize = periph_drop_regions,
    .reset = i8259_reset,
    .post_load = i8259_post_load,
    .irq_offset = offsetof(struct i8259, irq),
    .n_irqs = 1,
    .input = i8259_input,
    .dump = i8259_dump,
    .count = i8259_count,
    .n_inputs = 8,
};
