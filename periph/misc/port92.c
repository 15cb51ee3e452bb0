/*
 * port92.c - three small things of the PC's I/O ports: "port92", system control port A (gate of
 * address line 20 and fast reset); "isa-ferr", port F0h, by which software of the 8086 way of numeric
 * errors clears IRQ 13; "isa-debug-exit", a port that ends the program with a status.
 *
 * Follow IBM's PS/2 Hardware Interface Technical Reference (ports 92h, F0h). The exit port is not
 * hardware: a value v written to it makes the exit status 2v + 1.
 */
#include "periph/regions.h"

/* ---- port 92h ---- */

enum { P92_RESET = 1, P92_A20 = 2 };

struct port92 {
    struct device dev;
    uint8_t value;
    struct irq_line irq[1]; /* gate A20 */
};

static uint64_t port92_read(void *opaque, uint64_t addr, unsigned size)
{
    return ((struct port92 *)opaque)->value;
}

static void port92_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct port92 *s = opaque;
    bool reset = (value & P92_RESET) && !(s->value & P92_RESET);
    s->value = (uint8_t)value;
    irq_set(&s->irq[0], s->value & P92_A20);
    if (reset && s->dev.mb->request) s->dev.mb->request(s->dev.mb, MB_RESET);
}

static const struct mmio_ops port92_ops = {
    .read = port92_read, .write = port92_write, .impl_min = 1, .impl_max = 1};

static int port92_realize(struct device *d, struct error *e)
{
    return periph_map_ports(d, 0, "port92", 0x92, 1, &port92_ops, e);
}

static void port92_reset(struct device *d)
{
    struct port92 *s = (struct port92 *)d;
    irq_set(&s->irq[0], s->value & P92_A20);
}

static int port92_post_load(struct device *d, struct error *e)
{
    port92_reset(d);
    return 0;
}

static const struct prop_desc no_props[] = {PROP_END};
static const struct state_field port92_state[] = {
    STATE_INT_RESET(struct port92, value, 0),
    STATE_RUNTIME(struct port92, irq),
    STATE_END,
};
static const struct reg_desc port92_regs[] = {{0, "system control A", 1}, REG_END};

const struct dev_desc port92_desc = {
    .name = "port92",
    .help = "system control port A: gate A20, fast reset",
    .bus = BUS_ISA,
    .category = DEV_MISC,
    .size = sizeof(struct port92),
    .props = no_props,
    .state = port92_state,
    .regs = port92_regs,
    .realize = port92_realize,
    .unrealize = periph_drop_regions,
    .reset = port92_reset,
    .post_load = port92_post_load,
    .irq_offset = offsetof(struct port92, irq),
    .n_irqs = 1,
};

/* ---- port F0h: input 0 FERR#; outputs 0 IRQ 13, 1 IGNNE# ---- */

struct ferr {
    struct device dev;
    bool error, pending, ignore;
    struct irq_line irq[2];
};

static void ferr_update(struct ferr *s)
{
    irq_set(&s->irq[0], s->pending);
    irq_set(&s->irq[1], s->ignore);
}

static void ferr_input(void *opaque, unsigned n, bool level)
{
    struct ferr *s = opaque;
    if (level && !s->error) s->pending = true;
    if (!level) s->pending = s->ignore = false;
    s->error = level;
    ferr_update(s);
}

static void ferr_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ferr *s = opaque;
    s->pending = false;
    s->ignore = s->error; /* until the error is gone */
    ferr_update(s);
}

static uint64_t ferr_read(void *opaque, uint64_t addr, unsigned size)
{
    return 0xff;
}

static const struct mmio_ops ferr_ops = {
    .read = ferr_read, .write = ferr_write, .impl_min = 1, .impl_max = 1};

static int ferr_realize(struct device *d, struct error *e)
{
    return periph_map_ports(d, 0, "ioportF0", 0xf0, 1, &ferr_ops, e);
}

static void ferr_reset(struct device *d)
{
    ferr_update((struct ferr *)d);
}

static int ferr_post_load(struct device *d, struct error *e)
{
    ferr_update((struct ferr *)d);
    return 0;
}

static const struct state_field ferr_state[] = {
    STATE_INT_RESET(struct ferr, error, 0),
    STATE_INT_RESET(struct ferr, pending, 0),
    STATE_INT_RESET(struct ferr, ignore, 0),
    STATE_RUNTIME(struct ferr, irq),
    STATE_END,
};

const struct dev_desc isa_ferr_desc = {
    .name = "isa-ferr",
    .help = "numeric error latch at port f0h",
    .bus = BUS_ISA,
    .category = DEV_MISC,
    .size = sizeof(struct ferr),
    .props = no_props,
    .state = ferr_state,
    .realize = ferr_realize,
    .unrealize = periph_drop_regions,
    .reset = ferr_reset,
    .post_load = ferr_post_load,
    .irq_offset = offsetof(struct ferr, irq),
    .n_irqs = 2,
    .input = ferr_input,
    .n_inputs = 1,
};

/* ---- the exit port ---- */

struct debug_exit {
    struct device dev;
    uint32_t iobase, iosize;
};

static void exit_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct machine_bus *mb = ((struct debug_exit *)opaque)->dev.mb;
    mb->exit_code = (int)(value << 1 & 0xff) | 1;
    if (mb->request) mb->request(mb, MB_EXIT);
}

static uint64_t exit_read(void *opaque, uint64_t addr, unsigned size)
{
    return 0;
}

static const struct mmio_ops exit_ops = {
    .read = exit_read, .write = exit_write, .min_size = 1, .max_size = 4, .unaligned = true};

static int exit_realize(struct device *d, struct error *e)
{
    struct debug_exit *s = (struct debug_exit *)d;
    if (!s->iosize || s->iosize > 4 || s->iobase > 0xfffc)
        return error_set(e, "isa-debug-exit: ports 0x%x+%u cannot be", (unsigned)s->iobase,
                         (unsigned)s->iosize);
    return periph_map_ports(d, 0, "isa-debug-exit", s->iobase, s->iosize, &exit_ops, e);
}

static const struct prop_desc exit_props[] = {
    PROP(struct debug_exit, PROP_U32, "iobase", iobase, 0x501, "I/O port"),
    PROP(struct debug_exit, PROP_U32, "iosize", iosize, 2, "number of ports, 1 to 4"),
    PROP_END,
};
static const struct state_field exit_state[] = {
    STATE_PROP(struct debug_exit, iobase), STATE_PROP(struct debug_exit, iosize), STATE_END};

const struct dev_desc debug_exit_desc = {
    .name = "isa-debug-exit",
    .help = "a port that ends the program with a status",
    .bus = BUS_ISA,
    .category = DEV_MISC,
    .user_creatable = true,
    .size = sizeof(struct debug_exit),
    .props = exit_props,
    .state = exit_state,
    .realize = exit_realize,
    .unrealize = periph_drop_regions,
};
