/*
 * superio.c - the configuration registers of SMSC's FDC37M81x super I/O chip.
 *
 * Follows that chip's data sheet, chapter "Configuration": 55h enters the configuration state, AAh
 * leaves it, an index and data port reach the global registers and those of one logical device. The
 * property preset (default on) lets reset leave what firmware sets up, for boards that start a
 * kernel without firmware. Power management, GPIO and the routing of interrupts are registers
 * without effect.
 */
#include "periph/misc/superio.h"

#include "periph/regions.h"
#include "util/log.h"

enum { KEY_ENTER = 0x55, KEY_EXIT = 0xaa };
enum {
    CR_CONTROL = 0x02,
    CR_LDN = 0x07,
    CR_ID = 0x20,
    CR_REV = 0x21,
    CR_PORT_LO = 0x26,
    CR_PORT_HI = 0x27,
    CR_LOGICAL = 0x30
};
enum {
    LD_ACTIVE = 0x30,
    LD_BASE_HI = 0x60,
    LD_BASE_LO = 0x61,
    LD_IRQ = 0x70,
    LD_IRQ2 = 0x72,
    LD_DMA = 0x74,
    LD_REGS = 256 - CR_LOGICAL
};
enum { ID_FDC37M81X = 0x4d, REVISION = 1 };

struct superio {
    struct device dev;
    uint16_t port;
    bool preset;
    bool config; /* configuration state */
    uint8_t index;
    uint8_t global[CR_LOGICAL];
    uint8_t logical[SUPERIO_LDNS][LD_REGS];
    struct device *child[SUPERIO_LDNS];
};

struct preset {
    uint8_t ldn, irq, irq2, dma;
    uint16_t base;
};
static const struct preset presets[] = {
    {SUPERIO_FDC, 6, 0, 2, 0x3f0},     {SUPERIO_PARALLEL, 7, 0, 4, 0x378},
    {SUPERIO_SERIAL1, 4, 0, 0, 0x3f8}, {SUPERIO_SERIAL2, 3, 0, 0, 0x2f8},
    {SUPERIO_KBD, 1, 12, 0, 0x60},
};

static uint8_t *reg(struct superio *s, unsigned ldn, unsigned r)
{
    return &s->logical[ldn][r - CR_LOGICAL];
}

/* Puts a child where its registers say. */
static void place(struct superio *s, unsigned ldn)
{
    struct device *d = s->child[ldn];
    unsigned base = (unsigned)*reg(s, ldn, LD_BASE_HI) << 8 | *reg(s, ldn, LD_BASE_LO);
    bool active = *reg(s, ldn, LD_ACTIVE) & 1;

    if (!d) return;
    /* The keyboard's ports are fixed; the others decode 100h..ff8h. */
    if (ldn != SUPERIO_KBD) {
        if (base < 0x100 || base > 0xff8)
            active = false;
        else if (d->mmio[0] && active)
            region_move(d->mmio[0], base);
    }
    for (unsigned i = 0; i < DEV_MAX_MMIO; i++)
        if (d->mmio[i]) region_set_enabled(d->mmio[i], active);
}

static void place_all(struct superio *s)
{
    bus_transaction_begin();
    for (unsigned i = 0; i < SUPERIO_LDNS; i++)
        place(s, i);
    bus_transaction_commit();
}

static void defaults(struct superio *s)
{
    memset(s->global, 0, sizeof s->global);
    memset(s->logical, 0, sizeof s->logical);
    s->global[CR_ID] = ID_FDC37M81X;
    s->global[CR_REV] = REVISION;
    s->global[CR_PORT_LO] = (uint8_t)s->port;
    s->global[CR_PORT_HI] = (uint8_t)(s->port >> 8);
    for (unsigned i = 0; s->preset && i < ARRAY_LEN(presets); i++) {
        const struct preset *p = &presets[i];
        *reg(s, p->ldn, LD_ACTIVE) = 1;
        *reg(s, p->ldn, LD_BASE_HI) = (uint8_t)(p->base >> 8);
        *reg(s, p->ldn, LD_BASE_LO) = (uint8_t)p->base;
        *reg(s, p->ldn, LD_IRQ) = p->irq;
        *reg(s, p->ldn, LD_IRQ2) = p->irq2;
        *reg(s, p->ldn, LD_DMA) = p->dma;
    }
}

static uint8_t config_read(struct superio *s)
{
    unsigned ldn = s->global[CR_LDN];

    if (s->index < CR_LOGICAL) return s->global[s->index];
    return ldn < SUPERIO_LDNS ? *reg(s, ldn, s->index) : 0;
}

static void config_write(struct superio *s, uint8_t v)
{
    unsigned ldn = s->global[CR_LDN];

    if (s->index >= CR_LOGICAL) {
        if (ldn >= SUPERIO_LDNS) return;
        *reg(s, ldn, s->index) = v;
        place(s, ldn);
        return;
    }
    switch (s->index) {
    case CR_CONTROL:
        if (!(v & 1)) break;
        defaults(s);
        place_all(s);
        break;
    case CR_ID:
    case CR_REV:
        LOG(GUEST_ERRORS, "fdc37m81x-superio: write to read-only register 0x%02x\n", s->index);
        break;
    case CR_PORT_HI:
        /* The high byte's write moves the port, at the next exit in the chip; at once here, as the
         * low byte is there. */
        s->global[CR_PORT_HI] = v;
        region_move(s->dev.mmio[0], (unsigned)v << 8 | (s->global[CR_PORT_LO] & 0xfe));
        break;
    default: s->global[s->index] = v; break;
    }
}

static uint64_t superio_read(void *opaque, uint64_t addr, unsigned size)
{
    struct superio *s = opaque;

    (void)size;
    if (!s->config) return 0xff;
    return addr ? config_read(s) : s->index;
}

static void superio_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct superio *s = opaque;
    uint8_t v = (uint8_t)value;

    (void)size;
    if (!s->config) {
        if (addr == 0 && v == KEY_ENTER) s->config = true;
    } else if (addr == 1) {
        config_write(s, v);
    } else if (v == KEY_EXIT) {
        s->config = false;
    } else {
        s->index = v;
    }
}

void superio_attach(struct device *superio, enum superio_ldn ldn, struct device *d)
{
    struct superio *s = (struct superio *)superio;

    if ((unsigned)ldn >= SUPERIO_LDNS) return;
    s->child[ldn] = d;
    place(s, ldn);
}

static const struct mmio_ops ops = {
    .read = superio_read, .write = superio_write, .impl_min = 1, .impl_max = 1};

static int superio_realize(struct device *d, struct error *e)
{
    struct superio *s = (struct superio *)d;

    defaults(s);
    return periph_map_ports(d, 0, "superio", s->port, 2, &ops, e);
}

static void superio_reset(struct device *d)
{
    struct superio *s = (struct superio *)d;

    defaults(s);
    region_move(d->mmio[0], s->port);
    place_all(s);
}

static int superio_post_load(struct device *d, struct error *e)
{
    struct superio *s = (struct superio *)d;

    (void)e;
    region_move(d->mmio[0], (unsigned)s->global[CR_PORT_HI] << 8 | (s->global[CR_PORT_LO] & 0xfe));
    place_all(s);
    return 0;
}

static const struct prop_desc props[] = {
    PROP(struct superio, PROP_U16, "config", port, 0x3f0, "configuration port (3f0 or 370)"),
    PROP(struct superio, PROP_BOOL, "preset", preset, 1,
         "reset leaves the devices as firmware sets them up"),
    PROP_END,
};

static const struct state_field state[] = {
    STATE_INT_RESET(struct superio, config, 0), STATE_INT_RESET(struct superio, index, 0),
    STATE_ARR(struct superio, global),          STATE_ARR2(struct superio, logical),
    STATE_RUNTIME(struct superio, child),       STATE_END,
};

static const struct reg_desc regs[] = {
    {0, "index", 1},
    {1, "data", 1},
    REG_END,
};

const struct dev_desc superio_desc = {
    .name = "fdc37m81x-superio",
    .help = "super I/O chip: configuration port",
    .bus = BUS_ISA,
    .category = DEV_BRIDGE,
    .size = sizeof(struct superio),
    .props = props,
    .state = state,
    .regs = regs,
    .realize = superio_realize,
    .unrealize = periph_drop_regions,
    .reset = superio_reset,
    .post_load = superio_post_load,
};
