/*
 * piix4.c - function 0 of the 82371AB (PIIX4) and of the 82371SB (PIIX3): PCI to ISA bridge. Models
 * the routing of PIRQ lines to ISA interrupts and the reset control register; the ISA devices behind
 * the bridge are devices of their own.
 *
 * Follows the 82371AB data sheet (Intel 290562), chapter 4, and the 82371SB's (290550).
 */
#include "periph/pci/piix4.h"

#include "util/log.h"

enum { PIIX4_PIRQRC = 0x60, PIIX4_PIRQ_OFF = 0x80 };
enum { RCR_FULL = 2, RCR_RESET = 4 };

struct piix4_isa {
    struct device dev;
    struct pci_func pci;
    uint32_t inputs; /* bit n: input n */
    uint8_t rcr;     /* reset control register */
    struct irq_line irq[16];
    struct region *rcr_port;
};

/* What differs between the chips. */
struct isa_variant {
    struct pci_dev_desc pci; /* first: it is the descriptor's bus_desc */
    uint8_t pirq[4];         /* routes after reset */
    uint8_t xbcs;            /* X-bus chip select register */
    bool own_port;           /* the reset register is mapped; else the host bridge passes it on */
};

static struct piix4_isa *isa_bridge(struct device *d)
{
    return (struct piix4_isa *)d;
}

static void isa_update(struct piix4_isa *s)
{
    uint32_t out = s->inputs >> PIIX4_IN_ISA & 0xffff;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t route = s->pci.config[PIIX4_PIRQRC + i];
        if (!(route & PIIX4_PIRQ_OFF) && (s->inputs >> i & 1)) out |= 1u << (route & 15);
    }
    for (unsigned i = 0; i < 16; i++)
        irq_set(&s->irq[i], out >> i & 1);
}

static void isa_input(void *opaque, unsigned n, bool level)
{
    struct piix4_isa *s = opaque;
    if (n >= PIIX4_INPUTS) return;
    if (level)
        s->inputs |= 1u << n;
    else
        s->inputs &= ~(1u << n);
    isa_update(s);
}

static void isa_config_written(struct pci_device *p, unsigned reg, unsigned size)
{
    if (reg < PIIX4_PIRQRC + 4 && reg + size > PIIX4_PIRQRC) isa_update(isa_bridge(&p->dev));
}

uint8_t piix_reset_control(void *d)
{
    return isa_bridge(d)->rcr;
}

static uint64_t rcr_read(void *opaque, uint64_t addr, unsigned size)
{
    return piix_reset_control(opaque);
}

uint8_t piix_reset(struct machine_bus *mb, uint8_t old, uint8_t value)
{
    if ((value & RCR_RESET) && !(old & RCR_RESET) && mb->request) mb->request(mb, MB_RESET);
    return value & RCR_FULL;
}

void piix_write_reset_control(void *d, uint8_t value)
{
    isa_bridge(d)->rcr = piix_reset(isa_bridge(d)->dev.mb, isa_bridge(d)->rcr, value);
}

static void rcr_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    piix_write_reset_control(opaque, (uint8_t)value);
}

static const struct mmio_ops rcr_ops = {.read = rcr_read,
                                        .write = rcr_write,
                                        .min_size = 1,
                                        .max_size = 4,
                                        .impl_min = 1,
                                        .impl_max = 1};

static int isa_realize(struct device *d, struct error *e)
{
    struct piix4_isa *s = isa_bridge(d);
    struct pci_device *p = pci_device(d);
    if (pci_realize(p, e)) return -1;
    memset(p->pci.wmask + 0x40, 0xff, 0xc0);
    const struct isa_variant *v = d->desc->bus_desc;
    if (!v->own_port) return 0;
    s->rcr_port = region_new_mmio("reset-control", 1, &rcr_ops, s);
    region_add(d->mb->io_root, s->rcr_port, 0xcf9, 1);
    return 0;
}

static void isa_unrealize(struct device *d)
{
    struct piix4_isa *s = isa_bridge(d);
    if (s->rcr_port) {
        region_remove(s->rcr_port);
        region_delete(s->rcr_port);
        s->rcr_port = NULL;
    }
    pci_unrealize(pci_device(d));
}

static void isa_reset(struct device *d)
{
    struct piix4_isa *s = isa_bridge(d);
    const struct isa_variant *v = d->desc->bus_desc;
    uint8_t *c = s->pci.config;
    pci_reset(pci_device(d));
    memset(c + 0x40, 0, 0xc0);
    c[0x4c] = 0x4d; /* ISA I/O recovery timer */
    c[0x4e] = v->xbcs;
    memcpy(c + PIIX4_PIRQRC, v->pirq, 4);
    c[0x69] = 0x02; /* top of memory: 1 MiB */
    c[0x70] = 0x80; /* motherboard device IRQ: disabled */
    c[0x76] = c[0x77] = 0x0c;
    c[0x78] = 0x02;
    c[0xa0] = 0x08;
    c[0xa8] = 0x0f;
    isa_update(s);
}

static int isa_post_load(struct device *d, struct error *e)
{
    pci_post_load(pci_device(d));
    isa_update(isa_bridge(d));
    return 0;
}

static const struct prop_desc isa_props[] = {PCI_PROPS(struct piix4_isa), PROP_END};
static const struct state_field isa_state[] = {
    PCI_STATE(struct piix4_isa),
    STATE_INT(struct piix4_isa, inputs),
    STATE_INT_RESET(struct piix4_isa, rcr, 0),
    STATE_IRQ(struct piix4_isa, irq, 16),
    STATE_RUNTIME(struct piix4_isa, rcr_port),
    STATE_END,
};
static const struct reg_desc isa_regs[] = {{0xcf9, "RCR", 1}, REG_END};
/* Routes as an evaluation board's firmware leaves them: PIRQA, B on IRQ 10, PIRQC, D on IRQ 11. */
static const struct isa_variant piix4_variant = {.pci = {.vendor = 0x8086,
                                                         .device = 0x7110,
                                                         .class_code = 0x060100,
                                                         .status = 0x0200,
                                                         .multifunction = true,
                                                         .config_written = isa_config_written},
                                                 .pirq = {10, 10, 11, 11},
                                                 .xbcs = 3,
                                                 .own_port = true};
static const struct isa_variant piix3_variant = {.pci = {.vendor = 0x8086,
                                                         .device = 0x7000,
                                                         .class_code = 0x060100,
                                                         .status = 0x0200,
                                                         .subvendor = 0x1af4,
                                                         .subdevice = 0x1100,
                                                         .multifunction = true,
                                                         .config_written = isa_config_written},
                                                 .pirq = {0x80, 0x80, 0x80, 0x80},
                                                 .xbcs = 3};

/* What both generations have. */
#define ISA_DESC                                                                                   \
    .bus = BUS_PCI, .category = DEV_BRIDGE, .size = sizeof(struct piix4_isa), .props = isa_props,  \
    .state = isa_state, .regs = isa_regs, .realize = isa_realize, .unrealize = isa_unrealize,      \
    .reset = isa_reset, .post_load = isa_post_load,                                                \
    .irq_offset = offsetof(struct piix4_isa, irq), .n_irqs = 16, .input = isa_input,               \
    .n_inputs = PIIX4_INPUTS

const struct dev_desc piix4_isa_desc = {
    .name = "piix4-isa",
    .help = "82371AB (PIIX4) PCI to ISA bridge",
    .bus_desc = &piix4_variant.pci,
    ISA_DESC,
};

const struct dev_desc piix3_isa_desc = {
    .name = "PIIX3",
    .help = "82371SB (PIIX3) PCI to ISA bridge",
    .bus_desc = &piix3_variant.pci,
    ISA_DESC,
};
