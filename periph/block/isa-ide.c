/*
 * isa-ide.c - an ATA channel on the ISA bus ("isa-ide"), without DMA, and how the registers of a channel lie in I/O ports.
 *
 * Follows ATA/ATAPI-6 (T13/1410D), 5 and 7.
 */
#include "periph/block/ide.h"
#include "periph/regions.h"

/* ---- command and control block ---- */

static uint64_t port_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ide_channel *ch = opaque;
    if (addr == 0 && size > 1) return ide_read_data(ch, size);
    uint64_t v = 0;
    for (unsigned i = 0; i < size && addr + i < 8; i++)
        v |= (uint64_t)ide_read(ch, (unsigned)addr + i) << (8 * i);
    return v;
}

static void port_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ide_channel *ch = opaque;
    if (addr == 0 && size > 1) {
        ide_write_data(ch, (uint32_t)value, size);
        return;
    }
    for (unsigned i = 0; i < size && addr + i < 8; i++) {
        if (addr + i) ide_write(ch, (unsigned)addr + i, (uint8_t)(value >> (8 * i)));
    }
}

const struct mmio_ops ide_port_ops = {
    .read = port_read, .write = port_write, .min_size = 1, .max_size = 4, .unaligned = true};

static uint64_t control_read(void *opaque, uint64_t addr, unsigned size)
{
    return ide_alt_status(opaque);
}

static void control_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    ide_write_control(opaque, (uint8_t)value);
}

const struct mmio_ops ide_control_ops = {.read = control_read,
                                            .write = control_write,
                                            .min_size = 1,
                                            .max_size = 4,
                                            .impl_min = 1,
                                            .impl_max = 1};

/* ---- the controller ---- */

struct isa_ide {
    struct device dev;
    uint32_t iobase, iobase2, irq_number;
    struct ide_channel ch;
    struct irq_line irq[1];
    struct region *ports, *control;
};

static struct isa_ide *isa_ide_of(struct device *d)
{
    return (struct isa_ide *)d;
}

static void isa_ide_irq(void *opaque, bool level)
{
    irq_set(&isa_ide_of(opaque)->irq[0], level);
}

static const struct ide_front isa_ide_front = {.set_irq = isa_ide_irq};

static int isa_ide_realize(struct device *d, struct error *e)
{
    struct isa_ide *s = isa_ide_of(d);
    unsigned n = 0;
    if (!d->mb->io_root) return error_set(e, "isa-ide: the machine has no I/O ports");
    if (s->iobase > 0xfff8 || s->iobase2 > 0xffff || s->irq_number > 15)
        return error_set(e, "isa-ide: iobase, iobase2 or irq is out of range");
    while (n < ARRAY_LEN(d->mb->ide) && d->mb->ide[n])
        n++;
    if (n == ARRAY_LEN(d->mb->ide)) return error_set(e, "isa-ide: the machine has %u IDE channels already", n);
    s->ch.front = &isa_ide_front, s->ch.opaque = s;
    s->ports = region_new_mmio("ide", 8, &ide_port_ops, &s->ch);
    s->control = region_new_mmio("ide", 1, &ide_control_ops, &s->ch);
    region_add(d->mb->io_root, s->ports, s->iobase, 0);
    region_add(d->mb->io_root, s->control, s->iobase2, 0);
    d->mb->ide[n] = &s->ch;
    return 0;
}

static void isa_ide_unrealize(struct device *d)
{
    struct isa_ide *s = isa_ide_of(d);
    for (unsigned i = 0; i < ARRAY_LEN(d->mb->ide); i++)
        if (d->mb->ide[i] == &s->ch) d->mb->ide[i] = NULL;
    if (!s->ports) return;
    region_remove(s->ports);
    region_delete(s->ports);
    region_remove(s->control);
    region_delete(s->control);
    s->ports = s->control = NULL;
}

static void isa_ide_reset(struct device *d)
{
    ide_channel_reset(&isa_ide_of(d)->ch);
}

static int isa_ide_post_load(struct device *d, struct error *e)
{
    struct isa_ide *s = isa_ide_of(d);
    if (s->ch.select > 1) return error_set(e, "isa-ide: there is no drive %u", s->ch.select);
    irq_set(&s->irq[0], s->ch.irq && !(s->ch.control & ATA_CTL_NIEN));
    return 0;
}

static const struct prop_desc isa_ide_props[] = {
    PROP(struct isa_ide, PROP_U32, "iobase", iobase, 0x1f0, "I/O port of the command block"),
    PROP(struct isa_ide, PROP_U32, "iobase2", iobase2, 0x3f6, "I/O port of the control block"),
    PROP(struct isa_ide, PROP_U32, "irq", irq_number, 14, "ISA interrupt"),
    PROP_END,
};
static const struct state_field isa_ide_state[] = {
    STATE_PROP(struct isa_ide, iobase),
    STATE_PROP(struct isa_ide, iobase2),
    STATE_PROP(struct isa_ide, irq_number),
    STATE_STRUCT(struct isa_ide, ch, 1, ide_channel_state),
    STATE_IRQ(struct isa_ide, irq, 1),
    STATE_RUNTIME(struct isa_ide, ports),
    STATE_RUNTIME(struct isa_ide, control),
    STATE_END,
};

const struct dev_desc isa_ide_desc = {
    .name = "isa-ide",
    .help = "IDE controller on the ISA bus",
    .bus = BUS_ISA,
    .category = DEV_STORAGE,
    .size = sizeof(struct isa_ide),
    .props = isa_ide_props,
    .state = isa_ide_state,
    .realize = isa_ide_realize,
    .unrealize = isa_ide_unrealize,
    .reset = isa_ide_reset,
    .post_load = isa_ide_post_load,
    .irq_offset = offsetof(struct isa_ide, irq),
    .n_irqs = 1,
};
