/*
 * debugcon.c - a port whose bytes go to a character backend ("isa-debugcon"): firmware's debug port
 * (E9h of Bochs, 402h of SeaBIOS). Not hardware. Reading gives a fixed value, by which software
 * finds it.
 */
#include "chardev/chardev.h"
#include "periph/regions.h"

struct debugcon {
    struct device dev;
    struct chardev *chr;
    uint32_t iobase, readback;
    bool attached;
};

static uint64_t debugcon_read(void *opaque, uint64_t addr, unsigned size)
{
    return ((struct debugcon *)opaque)->readback;
}

static void debugcon_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct debugcon *s = opaque;
    uint8_t c = (uint8_t)value;
    if (s->chr) chr_write_all(s->chr, s, &c, 1);
}

static const struct mmio_ops ops = {
    .read = debugcon_read, .write = debugcon_write, .impl_min = 1, .impl_max = 1};

static int no_input(void *opaque)
{
    return 0;
}

static void drop_input(void *opaque, const uint8_t *buf, int n) {}

static int debugcon_realize(struct device *d, struct error *e)
{
    struct debugcon *s = (struct debugcon *)d;
    const struct chr_frontend fe = {no_input, drop_input, NULL, s};
    if (s->iobase > 0xffff) return error_set(e, "isa-debugcon: there is no such port");
    if (s->chr) {
        if (chr_attach(s->chr, &fe, e) < 0) return -1;
        s->attached = true;
    }
    return periph_map_ports(d, 0, "isa-debugcon", s->iobase, 1, &ops, e);
}

static void debugcon_unrealize(struct device *d)
{
    struct debugcon *s = (struct debugcon *)d;
    if (s->attached) chr_detach(s->chr, s);
    s->attached = false;
    periph_drop_regions(d);
}

static const struct prop_desc props[] = {
    PROP(struct debugcon, PROP_CHR, "chardev", chr, 0, "character backend"),
    PROP(struct debugcon, PROP_U32, "iobase", iobase, 0xe9, "I/O port"),
    PROP(struct debugcon, PROP_U32, "readback", readback, 0xe9, "what a read gives"),
    PROP_END,
};
static const struct state_field state[] = {
    STATE_PROP(struct debugcon, chr),
    STATE_PROP(struct debugcon, iobase),
    STATE_PROP(struct debugcon, readback),
    STATE_RUNTIME(struct debugcon, attached),
    STATE_END,
};

const struct dev_desc debugcon_desc = {
    .name = "isa-debugcon",
    .help = "debug output port",
    .bus = BUS_ISA,
    .category = DEV_CHAR,
    .user_creatable = true,
    .size = sizeof(struct debugcon),
    .props = props,
    .state = state,
    .realize = debugcon_realize,
    .unrealize = debugcon_unrealize,
};
