/*
 * serial-mm.c - a 16550A in memory, its registers 1 << regshift bytes apart ("serial-mm").
 *
 * Every byte of a register's window reaches the register: the chip sees no lower address lines.
 */
#include "periph/char/serial.h"

#include "periph/regions.h"

struct serial_mm {
    struct device dev;
    struct chardev *chr;
    uint32_t baudbase;
    uint8_t regshift;
    bool big_endian;
    struct serial core;
    struct irq_line irq[1];
};

static uint64_t mm_read(void *opaque, uint64_t addr, unsigned size)
{
    struct serial_mm *s = opaque;

    (void)size;
    return serial_read(&s->core, (unsigned)(addr >> s->regshift));
}

static void mm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct serial_mm *s = opaque;

    (void)size;
    serial_write(&s->core, (unsigned)(addr >> s->regshift), (uint8_t)value);
}

/* With registers a byte apart wider accesses are split; else an access of any size is one of its
 * register. */
static const struct mmio_ops ops_bytes = {
    .read = mm_read, .write = mm_write, .impl_min = 1, .impl_max = 1};
static const struct mmio_ops ops_le = {
    .read = mm_read, .write = mm_write, .min_size = 1, .max_size = 8};
static const struct mmio_ops ops_be = {
    .read = mm_read, .write = mm_write, .min_size = 1, .max_size = 8, .big_endian = true};

static int mm_realize(struct device *d, struct error *e)
{
    struct serial_mm *s = (struct serial_mm *)d;

    if (s->regshift > 8) return error_set(e, "serial-mm: regshift %u is not in 0..8", s->regshift);
    if (serial_realize(&s->core, d, s->chr, &s->irq[0], s->baudbase, e) < 0) return -1;
    periph_make_mmio(d, 0, "serial", UINT64_C(8) << s->regshift,
                     !s->regshift    ? &ops_bytes
                     : s->big_endian ? &ops_be
                                     : &ops_le);
    return 0;
}

static void mm_unrealize(struct device *d)
{
    serial_unrealize(&((struct serial_mm *)d)->core);
    periph_drop_regions(d);
}

static void mm_reset(struct device *d)
{
    serial_reset(&((struct serial_mm *)d)->core);
}

static int mm_post_load(struct device *d, struct error *e)
{
    return serial_post_load(&((struct serial_mm *)d)->core, e);
}

static const struct prop_desc props[] = {
    PROP(struct serial_mm, PROP_CHR, "chardev", chr, 0, "character backend"),
    PROP(struct serial_mm, PROP_U32, "baudbase", baudbase, 115200, "bits per second at divisor 1"),
    PROP(struct serial_mm, PROP_U8, "regshift", regshift, 0, "log2 of the distance of registers"),
    PROP(struct serial_mm, PROP_BOOL, "big-endian", big_endian, 0, "byte order of wider accesses"),
    PROP_END,
};

static const struct state_field state[] = {
    STATE_PROP(struct serial_mm, chr),
    STATE_PROP(struct serial_mm, baudbase),
    STATE_PROP(struct serial_mm, regshift),
    STATE_PROP(struct serial_mm, big_endian),
    STATE_STRUCT(struct serial_mm, core, 1, serial_state),
    STATE_RUNTIME(struct serial_mm, irq),
    STATE_END,
};

const struct dev_desc serial_mm_desc = {
    .name = "serial-mm",
    .help = "16550A serial port in memory",
    .bus = BUS_SYSTEM,
    .category = DEV_CHAR,
    .size = sizeof(struct serial_mm),
    .props = props,
    .state = state,
    .regs = serial_regs,
    .realize = mm_realize,
    .unrealize = mm_unrealize,
    .reset = mm_reset,
    .post_load = mm_post_load,
    .irq_offset = offsetof(struct serial_mm, irq),
    .n_irqs = 1,
};
