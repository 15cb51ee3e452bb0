/*
 * parallel.c - a printer port at three I/O ports ("isa-parallel"), in its compatible (SPP) mode.
 *
 * Follows the parallel port chapter of SMSC's FDC37M81x data sheet. The printer takes a byte with
 * the falling edge of STROBE# and acknowledges at once; EPP and ECP modes do not exist. Without a
 * backend the port reads as one with nothing plugged in.
 */
#include "chardev/chardev.h"
#include "periph/regions.h"

enum { PAR_DATA, PAR_STATUS, PAR_CONTROL };
enum {
    ST_BUSY_N = 0x80,
    ST_ACK_N = 0x40,
    ST_PAPER_OUT = 0x20,
    ST_SELECTED = 0x10,
    ST_ERROR_N = 8,
    ST_NOT_CONNECTED = 0x7f
};
enum {
    CTL_STROBE = 1,
    CTL_AUTOFEED = 2,
    CTL_INIT_N = 4,
    CTL_SELECT = 8,
    CTL_IRQ = 0x10,
    CTL_INPUT = 0x20
};

struct parallel {
    struct device dev;
    struct chardev *chr;
    uint16_t iobase;
    uint8_t irq_no;
    bool attached;
    uint8_t data, control;
    struct irq_line irq[1];
};

/* The interrupt pin is ACK# itself, which rests high; the enable bit lets it out. */
static void update_irq(struct parallel *s)
{
    irq_set(&s->irq[0], s->chr && (s->control & CTL_IRQ));
}

static uint64_t par_read(void *opaque, uint64_t addr, unsigned size)
{
    struct parallel *s = opaque;

    (void)size;
    switch (addr) {
    case PAR_DATA:
        return s->control & CTL_INPUT ? 0xff : s->data; /* turned around, nobody drives the lines */
    case PAR_STATUS:
        if (!s->chr) return ST_NOT_CONNECTED;
        return ST_BUSY_N | ST_ACK_N | ST_ERROR_N | (s->control & CTL_SELECT ? ST_SELECTED : 0) | 7;
    case PAR_CONTROL: return s->control | 0xc0;
    default: return 0xff;
    }
}

static void par_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct parallel *s = opaque;
    uint8_t v = (uint8_t)value, old = s->control;

    (void)size;
    if (addr == PAR_DATA) s->data = v;
    if (addr != PAR_CONTROL) return;
    s->control = v & 0x3f;
    /* The register's bit is the pin inverted: setting it pulls STROBE# low. */
    if (s->chr && (v & ~old & CTL_STROBE) && (v & CTL_INIT_N) && !(v & CTL_INPUT)) {
        chr_write_all(s->chr, s, &s->data, 1);
        irq_lower(&s->irq[0]); /* ACK#, over before anyone looks */
    }
    update_irq(s);
}

static const struct mmio_ops ops = {
    .read = par_read, .write = par_write, .impl_min = 1, .impl_max = 1};

static int no_input(void *opaque)
{
    (void)opaque;
    return 0;
}

static void drop_input(void *opaque, const uint8_t *buf, int n)
{
    (void)opaque, (void)buf, (void)n;
}

static int par_realize(struct device *d, struct error *e)
{
    struct parallel *s = (struct parallel *)d;
    const struct chr_frontend fe = {no_input, drop_input, NULL, s};

    if (s->chr) {
        if (chr_attach(s->chr, &fe, e) < 0) return -1;
        s->attached = true;
    }
    return periph_map_ports(d, 0, "parallel", s->iobase, 3, &ops, e);
}

static void par_unrealize(struct device *d)
{
    struct parallel *s = (struct parallel *)d;

    if (s->attached) chr_detach(s->chr, s);
    s->attached = false;
    periph_drop_regions(d);
}

static void par_reset(struct device *d)
{
    update_irq((struct parallel *)d);
}

static int par_post_load(struct device *d, struct error *e)
{
    (void)e;
    update_irq((struct parallel *)d);
    return 0;
}

static const struct prop_desc props[] = {
    PROP(struct parallel, PROP_CHR, "chardev", chr, 0, "character backend"),
    PROP(struct parallel, PROP_U16, "iobase", iobase, 0x378, "first I/O port"),
    PROP(struct parallel, PROP_U8, "irq", irq_no, 7, "ISA interrupt"),
    PROP_END,
};

static const struct state_field state[] = {
    STATE_PROP(struct parallel, chr),
    STATE_PROP(struct parallel, iobase),
    STATE_PROP(struct parallel, irq_no),
    STATE_RUNTIME(struct parallel, attached),
    STATE_INT_RESET(struct parallel, data, 0),
    STATE_INT_RESET(struct parallel, control, CTL_INIT_N | CTL_SELECT),
    STATE_RUNTIME(struct parallel, irq),
    STATE_END,
};

static const struct reg_desc regs[] = {
    {0, "data", 1},
    {1, "status", 1},
    {2, "control", 1},
    REG_END,
};

const struct dev_desc parallel_desc = {
    .name = "isa-parallel",
    .help = "parallel port (output only)",
    .bus = BUS_ISA,
    .category = DEV_CHAR,
    .user_creatable = true,
    .size = sizeof(struct parallel),
    .props = props,
    .state = state,
    .regs = regs,
    .realize = par_realize,
    .unrealize = par_unrealize,
    .reset = par_reset,
    .post_load = par_post_load,
    .irq_offset = offsetof(struct parallel, irq),
    .n_irqs = 1,
};
