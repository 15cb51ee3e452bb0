/*
 * ahci.c - the AHCI SATA controller of the 82801IB/IR (ICH9), function 31.2: "ich9-ahci", on its own "ahci". The registers of
 * the controller, its interrupt by pin or message, the index and data pair in I/O space. A port's work is in ahci-port.c;
 * drives are "ide-hd" and "ide-cd".
 *
 * Follows Serial ATA AHCI 1.3.1, chapters 2 and 3, and the ICH9 data sheet (Intel 316972), chapter 15. The mode is AHCI always; not
 * there: command completion coalescing, enclosure management.
 */
#include "periph/block/ahci.h"

#include "periph/pci/msi.h"
#include "util/log.h"

enum { R_CAP = 0x00, R_GHC = 0x04, R_IS = 0x08, R_PI = 0x0c, R_VS = 0x10, PORTS_AT = 0x100 };
#define GHC_HR (1u << 0)
#define GHC_IE (1u << 1)
#define GHC_AE (1u << 31)
/* Six ports, 32 slots, PIO of several blocks, AHCI only, 3 Gb/s, command list override, NCQ, 64 bits. */
#define CAP ((AHCI_PORTS - 1u) | (AHCI_SLOTS - 1u) << 8 | 1u << 15 | 1u << 18 | 2u << 20 | 1u << 24 | 1u << 30 | 1u << 31)
#define VERSION_1_2 0x00010200u
enum { ABAR = 5, ABAR_SIZE = 0x1000, PAIR_BAR = 4, PAIR_SIZE = 32, PAIR_INDEX = 0x10, PAIR_DATA = 0x14 };
enum { CAP_SATA = 0x12, SATA_CAP_AT = 0xa8, SATA_CAP_SIZE = 8, MSI_AT = 0x80 };
enum { MAP = 0x90, MAP_AHCI = 0x40, PCS = 0x92 };

struct ahci {
    struct device dev;
    struct pci_func pci;
    uint32_t ghc, is, index;
    bool asserted; /* the interrupt, whether by pin or message */
    struct ahci_port port[AHCI_PORTS];
    uint8_t msi;        /* offset of the capability */
    uint8_t first_unit; /* the channel of port 0 */
};

static struct ahci *ahci(struct device *d)
{
    return (struct ahci *)d;
}

struct pci_device *ahci_pci(struct ahci *s)
{
    return pci_device(&s->dev);
}

/* ---- interrupts ---- */

/* The line, or a message for what is new. */
static void drive_line(struct ahci *s, bool news)
{
    bool on = (s->ghc & GHC_IE) && s->is;
    if (msi_enabled(ahci_pci(s), s->msi)) {
        pci_set_irq(ahci_pci(s), false);
        if (on && (news || !s->asserted)) msi_notify(ahci_pci(s), s->msi);
    } else {
        pci_set_irq(ahci_pci(s), on);
    }
    s->asserted = on;
}

void ahci_update(struct ahci *s)
{
    uint32_t was = s->is;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        if (s->port[i].is & s->port[i].ie) s->is |= 1u << i;
    }
    drive_line(s, s->is & ~was);
}

/* ---- registers ---- */

static void reset_controller(struct ahci *s)
{
    s->ghc = GHC_AE;
    s->is = 0;
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        ahci_port_reset(&s->port[i]);
    ahci_update(s);
}

static uint64_t ahci_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ahci *s = opaque;
    if (addr >= PORTS_AT) {
        unsigned n = (unsigned)(addr - PORTS_AT) / AHCI_PORT_REGS;
        return n < AHCI_PORTS ? ahci_port_read(&s->port[n], addr % AHCI_PORT_REGS) : 0;
    }
    switch (addr) {
    case R_CAP: return CAP;
    case R_GHC: return s->ghc;
    case R_IS: return s->is;
    case R_PI: return (1u << AHCI_PORTS) - 1;
    case R_VS: return VERSION_1_2;
    default: return 0;
    }
}

static void ahci_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ahci *s = opaque;
    uint32_t v = (uint32_t)value;
    if (addr >= PORTS_AT) {
        unsigned n = (unsigned)(addr - PORTS_AT) / AHCI_PORT_REGS;
        if (n < AHCI_PORTS) ahci_port_write(&s->port[n], addr % AHCI_PORT_REGS, v);
        return;
    }
    switch (addr) {
    case R_GHC:
        if (v & GHC_HR) {
            reset_controller(s);
            break;
        }
        s->ghc = GHC_AE | (v & GHC_IE);
        ahci_update(s);
        break;
    case R_IS: /* what its port still wants comes again, as news */
        s->is &= ~v;
        s->asserted &= s->is != 0;
        ahci_update(s);
        break;
    default: /* read-only; firmware writes CAP and PI on some chips */ break;
    }
}

static const struct mmio_ops ahci_ops = {
    .read = ahci_read, .write = ahci_write, .min_size = 4, .max_size = 8, .impl_min = 4, .impl_max = 4};

static uint64_t pair_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ahci *s = opaque;
    return addr == PAIR_INDEX ? s->index : addr == PAIR_DATA ? ahci_read(s, s->index, 4) : 0;
}

static void pair_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ahci *s = opaque;
    if (addr == PAIR_INDEX) s->index = (uint32_t)value & (ABAR_SIZE - 4);
    else if (addr == PAIR_DATA) ahci_write(s, s->index, value, 4);
}

static const struct mmio_ops pair_ops = {.read = pair_read, .write = pair_write, .min_size = 4, .max_size = 4};

/* ---- life ---- */

static void config_written(struct pci_device *p, unsigned reg, unsigned size)
{
    drive_line(ahci(&p->dev), false); /* messages on or off */
}

/* Places for drives: as many channels as there are ports, one after the other. */
static int take_channels(struct ahci *s, struct error *e)
{
    struct ide_channel **ch = s->dev.mb->ide;
    unsigned first = 0, n = 0;
    for (unsigned i = 0; i < IDE_CHANNELS && n < AHCI_PORTS; i++) {
        if (ch[i]) first = i + 1, n = 0;
        else n++;
    }
    if (n < AHCI_PORTS) return error_set(e, "%s: the machine has too many IDE channels already", s->dev.desc->name);
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        ch[first + i] = &s->port[i].ch;
    s->first_unit = (uint8_t)first;
    return 0;
}

static int ahci_realize(struct device *d, struct error *e)
{
    struct ahci *s = ahci(d);
    struct pci_device *p = pci_device(d);
    if (pci_realize(p, e)) return -1;
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        ahci_port_init(&s->port[i], s);
    if (take_channels(s, e)) return -1;
    d->bus_children = &d->mb->ide[s->first_unit];
    st32_le(p->pci.wmask + MAP, 0xffffffffu);
    p->pci.wmask[MAP + 4] = p->pci.wmask[MAP + 5] = 0xff;
    p->pci.cap_end = SATA_CAP_AT;
    unsigned at = pci_add_capability(p, CAP_SATA, SATA_CAP_SIZE);
    st32_le(p->pci.config + at + 2, 0x10); /* revision 1.0 */
    st32_le(p->pci.config + at + 4, (PAIR_INDEX / 4) << 4 | (4 + PAIR_BAR));
    p->pci.cap_end = MSI_AT;
    s->msi = (uint8_t)msi_init(p);
    pci_set_bar(p, PAIR_BAR, PCI_BAR_IO, region_new_mmio("ahci-idp", PAIR_SIZE, &pair_ops, s));
    pci_set_bar(p, ABAR, PCI_BAR_MEM, region_new_mmio("ahci", ABAR_SIZE, &ahci_ops, s));
    return 0;
}

static void ahci_unrealize(struct device *d)
{
    struct ahci *s = ahci(d);
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        for (unsigned n = 0; n < AHCI_PORTS; n++) {
            if (d->mb->ide[i] == &s->port[n].ch) d->mb->ide[i] = NULL;
        }
    }
    pci_unrealize(pci_device(d));
}

static void ahci_reset(struct device *d)
{
    struct ahci *s = ahci(d);
    uint8_t *c = s->pci.config;
    pci_reset(pci_device(d));
    msi_reset(pci_device(d), s->msi);
    st32_le(c + MAP, MAP_AHCI);
    c[MAP + 4] = c[MAP + 5] = 0;
    s->index = 0;
    s->asserted = false;
    reset_controller(s);
}

static int ahci_post_load(struct device *d, struct error *e)
{
    struct ahci *s = ahci(d);
    pci_post_load(pci_device(d));
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        if (!ahci_port_valid(&s->port[i])) return error_set(e, "%s: impossible state of port %u", d->desc->name, i);
    }
    s->index &= ABAR_SIZE - 4;
    return 0;
}

static const struct prop_desc ahci_props[] = {PCI_PROPS(struct ahci), PROP_END};
static const struct state_field ahci_state[] = {
    PCI_STATE(struct ahci),
    STATE_INT(struct ahci, ghc),
    STATE_INT(struct ahci, is),
    STATE_INT(struct ahci, index),
    STATE_INT(struct ahci, asserted),
    STATE_STRUCT(struct ahci, port, AHCI_PORTS, ahci_port_state),
    STATE_RUNTIME(struct ahci, msi),
    STATE_RUNTIME(struct ahci, first_unit),
    STATE_END,
};
static const struct reg_desc ahci_regs[] = {{R_CAP, "CAP", 4},      {R_GHC, "GHC", 4},      {R_IS, "IS", 4},       {R_PI, "PI", 4},
                                            {R_VS, "VS", 4},        {0x100, "P0CLB", 4},    {0x108, "P0FB", 4},    {0x110, "P0IS", 4},
                                            {0x114, "P0IE", 4},     {0x118, "P0CMD", 4},    {0x120, "P0TFD", 4},   {0x124, "P0SIG", 4},
                                            {0x128, "P0SSTS", 4},   {0x12c, "P0SCTL", 4},   {0x130, "P0SERR", 4},  {0x134, "P0SACT", 4},
                                            {0x138, "P0CI", 4},     REG_END};
static const struct pci_dev_desc ahci_pci_desc = {.vendor = 0x8086,
                                                  .device = 0x2922,
                                                  .class_code = 0x010601,
                                                  .revision = 2,
                                                  .status = 0x0280,
                                                  .subvendor = 0x1af4,
                                                  .subdevice = 0x1100,
                                                  .int_pin = 1,
                                                  .config_written = config_written};

#define AHCI_DESC                                                                                                      \
    .bus = BUS_PCI, .category = DEV_STORAGE, .child_bus = BUS_IDE, .user_creatable = true,                             \
    .size = sizeof(struct ahci), .props = ahci_props, .state = ahci_state, .regs = ahci_regs, .realize = ahci_realize, \
    .unrealize = ahci_unrealize, .reset = ahci_reset, .post_load = ahci_post_load, .bus_desc = &ahci_pci_desc

const struct dev_desc ich9_ahci_desc = {
    .name = "ich9-ahci",
    .help = "82801IB (ICH9) AHCI SATA controller",
    AHCI_DESC,
};

const struct dev_desc ahci_desc = {
    .name = "ahci",
    .help = "AHCI SATA controller (the ICH9's)",
    AHCI_DESC,
};
