/*
 * piix4_uhci.c - function 2 of the 82371AB (PIIX4): a UHCI host controller whose two ports have
 * nothing connected.
 *
 * Follows the Universal Host Controller Interface design guide 1.1. Frames are counted in guest
 * time, so a driver sees a running controller; the schedule in memory is not executed, as no device
 * could answer: there is no USB device model yet.
 */
#include "periph/pci/pci.h"

enum {
    USBCMD = 0x00,
    USBSTS = 0x02,
    USBINTR = 0x04,
    FRNUM = 0x06,
    FRBASEADD = 0x08,
    SOFMOD = 0x0c,
    PORTSC1 = 0x10,
    UHCI_SIZE = 0x20
};
enum { CMD_RS = 1, CMD_HCRESET = 2, CMD_GRESET = 4, CMD_EGSM = 8, CMD_FGR = 16 };
enum { STS_HCHALTED = 0x20 };
enum {
    PORT_CCS = 1,
    PORT_CSC = 2,
    PORT_PE = 4,
    PORT_PEC = 8,
    PORT_ALWAYS1 = 0x80,
    PORT_PR = 0x200,
    PORT_SUSP = 0x1000
};
#define FRAME_NS UINT64_C(1000000)

struct uhci {
    struct device dev;
    struct pci_func pci;
    uint16_t cmd, sts, intr, frnum, port[2];
    uint32_t frbase;
    uint8_t sofmod;
    uint64_t started; /* guest time when frnum was the current frame; only while running */
};

static struct uhci *uhci(struct device *d)
{
    return (struct uhci *)d;
}

static uint16_t frame(const struct uhci *s)
{
    uint64_t n = s->frnum;
    if (s->cmd & CMD_RS) n += (clock_now(s->dev.clock) - s->started) / FRAME_NS;
    return (uint16_t)(n & 0x7ff);
}

static void controller_reset(struct uhci *s)
{
    s->cmd = s->intr = s->frnum = 0;
    s->sts = STS_HCHALTED;
    s->frbase = 0;
    s->sofmod = 0x40;
    s->started = 0;
    s->port[0] = s->port[1] = PORT_ALWAYS1;
    pci_set_irq(pci_device(&s->dev), false);
}

static uint64_t uhci_read16(struct uhci *s, unsigned addr)
{
    switch (addr) {
    case USBCMD: return s->cmd;
    case USBSTS: return s->sts;
    case USBINTR: return s->intr;
    case FRNUM: return frame(s);
    case FRBASEADD: return s->frbase & 0xffff;
    case FRBASEADD + 2: return s->frbase >> 16;
    case SOFMOD: return s->sofmod;
    case PORTSC1: return s->port[0];
    case PORTSC1 + 2: return s->port[1];
    default: return 0xff7f; /* no port: bit 7 is 0 */
    }
}

static void write_cmd(struct uhci *s, uint16_t v)
{
    if (v & (CMD_HCRESET | CMD_GRESET)) {
        controller_reset(s);
        s->cmd = v & CMD_GRESET; /* stays until software ends it; HCRESET ends by itself */
        return;
    }
    if ((v & CMD_RS) && !(s->cmd & CMD_RS)) {
        s->started = clock_now(s->dev.clock);
        s->sts &= (uint16_t)~STS_HCHALTED;
    } else if (!(v & CMD_RS) && (s->cmd & CMD_RS)) {
        s->frnum = frame(s);
        s->sts |= STS_HCHALTED;
    }
    s->cmd = v & 0xff;
}

static void uhci_write16(struct uhci *s, unsigned addr, uint16_t v)
{
    switch (addr) {
    case USBCMD: write_cmd(s, v); break;
    case USBSTS: s->sts &= (uint16_t) ~(v & 0x1f); break;
    case USBINTR: s->intr = v & 15; break;
    case FRNUM:
        if (!(s->cmd & CMD_RS)) s->frnum = v & 0x7ff; /* may be written while halted only */
        break;
    case FRBASEADD: s->frbase = (s->frbase & 0xffff0000) | (v & 0xf000); break;
    case FRBASEADD + 2: s->frbase = (s->frbase & 0xffff) | (uint32_t)v << 16; break;
    case SOFMOD: s->sofmod = v & 0x7f; break;
    case PORTSC1:
    case PORTSC1 + 2: /* without a device a port cannot be enabled */
        s->port[(addr - PORTSC1) / 2] = (uint16_t)((v & (PORT_PR | PORT_SUSP)) | PORT_ALWAYS1);
        break;
    default: break;
    }
}

static uint64_t uhci_read(void *opaque, uint64_t addr, unsigned size)
{
    uint64_t v = uhci_read16(opaque, (unsigned)addr & ~1u);
    if (size == 1) return addr & 1 ? v >> 8 & 0xff : v & 0xff;
    return v;
}

static void uhci_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct uhci *s = opaque;
    unsigned even = (unsigned)addr & ~1u;
    if (size == 1) { /* SOFMOD is a byte; for others the other half keeps its value, without its
                        write-1-to-clear bits */
        uint16_t old = even == USBSTS ? 0 : (uint16_t)uhci_read16(s, even);
        value = addr & 1 ? (old & 0x00ffu) | (value & 0xff) << 8 : (old & 0xff00u) | (value & 0xff);
    }
    uhci_write16(s, even, (uint16_t)value);
}

static const struct mmio_ops uhci_ops = {.read = uhci_read,
                                         .write = uhci_write,
                                         .min_size = 1,
                                         .max_size = 4,
                                         .impl_min = 1,
                                         .impl_max = 2};

static int uhci_realize(struct device *d, struct error *e)
{
    struct pci_device *p = pci_device(d);
    if (pci_realize(p, e)) return -1;
    memset(p->pci.wmask + 0x40, 0xff, 0xc0);
    p->pci.wmask[0x60] = 0; /* serial bus release number */
    pci_set_bar(p, 4, PCI_BAR_IO, region_new_mmio("uhci", UHCI_SIZE, &uhci_ops, d));
    return 0;
}

static void uhci_unrealize(struct device *d)
{
    pci_unrealize(pci_device(d));
}

static void uhci_reset(struct device *d)
{
    struct uhci *s = uhci(d);
    pci_reset(pci_device(d));
    memset(s->pci.config + 0x40, 0, 0xc0);
    s->pci.config[0x60] = 0x10; /* USB 1.0 */
    s->pci.config[0x6a] = 0x01; /* resume */
    controller_reset(s);
}

static int uhci_post_load(struct device *d, struct error *e)
{
    pci_post_load(pci_device(d));
    return 0;
}

static const struct prop_desc uhci_props[] = {PCI_PROPS(struct uhci), PROP_END};
static const struct state_field uhci_state[] = {
    PCI_STATE(struct uhci),          STATE_INT(struct uhci, cmd),
    STATE_INT(struct uhci, sts),     STATE_INT(struct uhci, intr),
    STATE_INT(struct uhci, frnum),   STATE_ARR(struct uhci, port),
    STATE_INT(struct uhci, frbase),  STATE_INT(struct uhci, sofmod),
    STATE_INT(struct uhci, started), STATE_END,
};
static const struct reg_desc uhci_regs[] = {
    {USBCMD, "USBCMD", 2},   {USBSTS, "USBSTS", 2},       {USBINTR, "USBINTR", 2},
    {FRNUM, "FRNUM", 2},     {FRBASEADD, "FRBASEADD", 4}, {SOFMOD, "SOFMOD", 1},
    {PORTSC1, "PORTSC1", 2}, {PORTSC1 + 2, "PORTSC2", 2}, REG_END};
static const struct pci_dev_desc uhci_pci = {
    .vendor = 0x8086, .device = 0x7112, .class_code = 0x0c0300, .revision = 1, .int_pin = 4};

const struct dev_desc piix4_uhci_desc = {
    .name = "piix4-usb-uhci",
    .help = "82371AB (PIIX4) USB host controller, no ports connected",
    .bus = BUS_PCI,
    .category = DEV_USB,
    .size = sizeof(struct uhci),
    .props = uhci_props,
    .state = uhci_state,
    .regs = uhci_regs,
    .realize = uhci_realize,
    .unrealize = uhci_unrealize,
    .reset = uhci_reset,
    .post_load = uhci_post_load,
    .bus_desc = &uhci_pci,
};
