/*
 * isa-serial.c - a 16550A at eight I/O ports ("isa-serial").
 */
#include "periph/char/serial.h"

#include "periph/regions.h"

struct isa_serial {
    struct device dev;
    struct chardev *chr;
    uint32_t baudbase;
    uint16_t iobase;
    uint8_t irq_no; /* for the board that connects the line, and for `info qtree` */
    bool out2_gates;
    struct serial core;
    struct irq_line irq[1];
};

static uint64_t isa_serial_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return serial_read(&((struct isa_serial *)opaque)->core, (unsigned)addr);
}

static void isa_serial_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    serial_write(&((struct isa_serial *)opaque)->core, (unsigned)addr, (uint8_t)value);
}

static const struct mmio_ops ops = {
    .read = isa_serial_read, .write = isa_serial_write, .impl_min = 1, .impl_max = 1};

static int isa_serial_realize(struct device *d, struct error *e)
{
    struct isa_serial *s = (struct isa_serial *)d;

    s->core.out2_gates = s->out2_gates;
    if (serial_realize(&s->core, d, s->chr, &s->irq[0], s->baudbase, e) < 0) return -1;
    return periph_map_ports(d, 0, "serial", s->iobase, 8, &ops, e);
}

static void isa_serial_unrealize(struct device *d)
{
    serial_unrealize(&((struct isa_serial *)d)->core);
    periph_drop_regions(d);
}

static void isa_serial_reset(struct device *d)
{
    serial_reset(&((struct isa_serial *)d)->core);
}

static int isa_serial_post_load(struct device *d, struct error *e)
{
    return serial_post_load(&((struct isa_serial *)d)->core, e);
}

static const struct prop_desc props[] = {
    PROP(struct isa_serial, PROP_CHR, "chardev", chr, 0, "character backend"),
    PROP(struct isa_serial, PROP_U32, "baudbase", baudbase, 115200, "bits per second at divisor 1"),
    PROP(struct isa_serial, PROP_U16, "iobase", iobase, 0x3f8, "first I/O port"),
    PROP(struct isa_serial, PROP_U8, "irq", irq_no, 4, "ISA interrupt"),
    PROP(struct isa_serial, PROP_BOOL, "out2-gates-irq", out2_gates, 0,
         "interrupts need MCR.OUT2, as on PCs"),
    PROP_END,
};

static const struct state_field state[] = {
    STATE_PROP(struct isa_serial, chr),
    STATE_PROP(struct isa_serial, baudbase),
    STATE_PROP(struct isa_serial, iobase),
    STATE_PROP(struct isa_serial, irq_no),
    STATE_PROP(struct isa_serial, out2_gates),
    STATE_STRUCT(struct isa_serial, core, 1, serial_state),
    STATE_RUNTIME(struct isa_serial, irq),
    STATE_END,
};

const struct dev_desc isa_serial_desc = {
    .name = "isa-serial",
    .help = "16550A serial port",
    .bus = BUS_ISA,
    .category = DEV_CHAR,
    .user_creatable = true,
    .size = sizeof(struct isa_serial),
    .props = props,
    .state = state,
    .regs = serial_regs,
    .realize = isa_serial_realize,
    .unrealize = isa_serial_unrealize,
    .reset = isa_serial_reset,
    .post_load = isa_serial_post_load,
    .irq_offset = offsetof(struct isa_serial, irq),
    .n_irqs = 1,
};
