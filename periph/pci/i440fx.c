/*
 * i440fx.c - host bridges of the 440FX and the Q35 chip sets: configuration mechanism #1, the programmable
 * attribute map (PAM) of C0000h to FFFFFh, compatible SMRAM at A0000h; of the Q35 the window of PCI Express
 * configuration space.
 *
 * Follows the 82441FX data sheet (Intel 290549), chapters 3 and 4, and the 3 Series Express Chipset Family's
 * (Intel 316966), chapter 5; the Q35's TSEG and its other windows are not there. Registers of DRAM timing and
 * error reporting hold what is written. SMRAM that is shown to a processor in system management mode
 * is shown to all of them.
 */
#include "periph/pci/i440fx.h"

#include "periph/regions.h"
#include "util/log.h"

/* ---- the host side ---- */

enum { HOST_LINES = 8, HOST_LINES_440FX = 4 };
#define EXPRESS_SIZE (UINT64_C(1) << 28) /* 256 buses */

struct i440fx_host {
    struct device dev;
    uint32_t address; /* CONFADD */
    struct irq_line pirq[HOST_LINES];
    struct pci_bus *bus;
    struct region *express; /* configuration space in memory; NULL: none */
    bool express_mapped;
    uint8_t (*reset_read)(void *);
    void (*reset_write)(void *, uint8_t);
    void *opaque;
};

void i440fx_set_reset_port(struct device *d, uint8_t (*read)(void *),
                           void (*write)(void *, uint8_t), void *opaque)
{
    struct i440fx_host *s = (struct i440fx_host *)d;
    s->reset_read = read, s->reset_write = write, s->opaque = opaque;
}

static uint64_t address_read(void *opaque, uint64_t addr, unsigned size)
{
    struct i440fx_host *s = opaque;
    if (addr == 1 && size == 1 && s->reset_read) return s->reset_read(s->opaque);
    return size == 4 ? s->address : s->address >> 8 * addr;
}

static void address_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct i440fx_host *s = opaque;
    if (size == 4) /* only double words reach the register */
        s->address = (uint32_t)value & 0x80fffffcu;
    else if (addr == 1 && size == 1 && s->reset_write)
        s->reset_write(s->opaque, (uint8_t)value);
    else
        LOG(GUEST_ERRORS, "i440FX-pcihost: %u-byte write at port 0x%x\n", size,
            0xcf8 + (unsigned)addr);
}

static uint64_t data_read(void *opaque, uint64_t addr, unsigned size)
{
    struct i440fx_host *s = opaque;
    if (!(s->address & 0x80000000u)) return UINT64_MAX;
    return pci_bus_read(s->bus, s->address >> 8 & 0xffff, (s->address & 0xfc) + (unsigned)addr, size);
}

static void data_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct i440fx_host *s = opaque;
    if (!(s->address & 0x80000000u)) return;
    pci_bus_write(s->bus, s->address >> 8 & 0xffff, (s->address & 0xfc) + (unsigned)addr, (uint32_t)value, size);
}

/* Bus, device and function from bit 12 on, 4 KiB for each. */
static uint64_t express_read(void *opaque, uint64_t addr, unsigned size)
{
    struct i440fx_host *s = opaque;
    return pci_bus_read(s->bus, (unsigned)(addr >> 12), addr & 0xfff, size);
}

static void express_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct i440fx_host *s = opaque;
    pci_bus_write(s->bus, (unsigned)(addr >> 12), addr & 0xfff, (uint32_t)value, size);
}

static const struct mmio_ops express_ops = {
    .read = express_read, .write = express_write, .min_size = 1, .max_size = 8, .impl_min = 1, .impl_max = 4};
static const struct mmio_ops address_ops = {
    .read = address_read, .write = address_write, .min_size = 1, .max_size = 4};
static const struct mmio_ops data_ops = {
    .read = data_read, .write = data_write, .min_size = 1, .max_size = 4};

static int host_realize(struct device *d, struct error *e)
{
    struct i440fx_host *s = (struct i440fx_host *)d;
    if (periph_map_ports(d, 0, "pci-conf-idx", 0xcf8, 4, &address_ops, e)) return -1;
    if (periph_map_ports(d, 1, "pci-conf-data", 0xcfc, 4, &data_ops, e)) return -1;
    s->bus = pci_bus_new(d, d->mb->mem_root, d->mb->io_root, d->mb->mem, s->pirq);
    d->mb->pci = s->bus;
    if (d->desc->n_irqs == HOST_LINES) s->express = region_new_mmio("pcie-mmcfg-mmio", EXPRESS_SIZE, &express_ops, s);
    return 0;
}

/* Where configuration space shows in memory. */
static void map_express(struct device *d, bool on, uint64_t base)
{
    struct i440fx_host *s = (struct i440fx_host *)d;
    if (s->express_mapped) region_remove(s->express);
    if (on) region_add(d->mb->mem_root, s->express, base, 1);
    s->express_mapped = on;
}

static void host_unrealize(struct device *d)
{
    struct i440fx_host *s = (struct i440fx_host *)d;
    if (s->bus && d->mb->pci == s->bus) d->mb->pci = NULL;
    pci_bus_delete(s->bus);
    s->bus = NULL;
    map_express(d, false, 0);
    region_delete(s->express);
    s->express = NULL;
    periph_drop_regions(d);
}

static const struct prop_desc host_props[] = {PROP_END};
static const struct state_field host_state[] = {
    STATE_INT_RESET(struct i440fx_host, address, 0),
    STATE_RUNTIME(struct i440fx_host, pirq),
    STATE_RUNTIME(struct i440fx_host, bus),
    STATE_RUNTIME(struct i440fx_host, express),
    STATE_RUNTIME(struct i440fx_host, express_mapped),
    STATE_RUNTIME(struct i440fx_host, reset_read),
    STATE_RUNTIME(struct i440fx_host, reset_write),
    STATE_RUNTIME(struct i440fx_host, opaque),
    STATE_END,
};

/* What both generations have. */
#define HOST_DESC                                                                                                      \
    .bus = BUS_SYSTEM, .category = DEV_BRIDGE, .size = sizeof(struct i440fx_host), .props = host_props,                \
    .state = host_state, .realize = host_realize, .unrealize = host_unrealize,                                         \
    .irq_offset = offsetof(struct i440fx_host, pirq)

const struct dev_desc i440fx_host_desc = {
    .name = "i440FX-pcihost",
    .help = "82441FX: PCI bus and configuration ports",
    .n_irqs = HOST_LINES_440FX,
    HOST_DESC,
};

const struct dev_desc q35_host_desc = {
    .name = "q35-pcihost",
    .help = "82Q35: PCI Express root complex and configuration ports",
    .n_irqs = HOST_LINES,
    HOST_DESC,
};

/* ---- function 0 ---- */

enum { PAM_REGS = 7, PCIEXBAR = 0x60, PCIEXBAR_EN = 1 };
enum { D_OPEN = 0x40, D_CLS = 0x20, D_LCK = 0x10, G_SMRAME = 8 };
enum { SEGMENTS = 13, SMRAM_BASE = 0xa0000, SMRAM_SIZE = 0x20000, PAM_BASE = 0xc0000 };
enum { PAM_READ = 1, PAM_WRITE = 2 };

/* A part of C0000h..FFFFFh that one attribute field governs. */
struct segment {
    uint32_t base, size;
    struct region *ram, *rom, *write_only; /* ram: read-only or not */
    struct i440fx *owner;
};

/* What differs between the chips. */
struct pmc_variant {
    struct pci_dev_desc pci; /* first: it is the descriptor's bus_desc */
    uint8_t pam0, smram;     /* offsets of PAM0 and the SMRAM control register */
    bool express;            /* there is a PCIEXBAR */
};

struct i440fx {
    struct device dev;
    struct pci_func pci;
    bool smm;
    struct segment seg[SEGMENTS];
    struct region *smram, *ram, *rom;
    struct address_space *behind; /* rom, for the segments that only writes go to RAM of */
};

static struct i440fx *pmc(struct device *d)
{
    return (struct i440fx *)d;
}

static const struct pmc_variant *variant(const struct i440fx *s)
{
    return s->dev.desc->bus_desc;
}

static unsigned attribute(const struct i440fx *s, unsigned n)
{
    const uint8_t *pam = s->pci.config + variant(s)->pam0;
    /* PAM0's low half is reserved, and its high half is the F0000h segment's. */
    if (n == SEGMENTS - 1) return pam[0] >> 4 & 3;
    return pam[1 + n / 2] >> (n & 1 ? 4 : 0) & 3;
}

static void map_memory(struct i440fx *s)
{
    uint8_t smram = s->pci.config[variant(s)->smram];
    if (!s->ram) return;
    bus_transaction_begin();
    for (unsigned i = 0; i < SEGMENTS; i++) {
        unsigned a = attribute(s, i);
        region_set_readonly(s->seg[i].ram, !(a & PAM_WRITE));
        region_set_enabled(s->seg[i].ram, a & PAM_READ);
        region_set_enabled(s->seg[i].rom, !a);
        region_set_enabled(s->seg[i].write_only, a == PAM_WRITE);
    }
    region_set_enabled(s->smram,
                       (smram & G_SMRAME) && ((smram & D_OPEN) || (s->smm && !(smram & D_CLS))));
    bus_transaction_commit();
}

void i440fx_set_smm(struct device *d, bool in)
{
    pmc(d)->smm = in;
    map_memory(pmc(d));
}

/* Reads from what is behind RAM, writes to RAM. */
static uint64_t split_read(void *opaque, uint64_t addr, unsigned size)
{
    struct segment *g = opaque;
    uint64_t v;
    return as_read(g->owner->behind, g->base - PAM_BASE + addr, 1, &v) ? v : 0xff;
}

static void split_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct segment *g = opaque;
    uint8_t *at = region_ram(g->owner->ram) + g->base + addr;
    *at = (uint8_t)value;
    as_ram_written(g->owner->dev.mb->mem, at, 1);
}

static const struct mmio_ops split_ops = {.read = split_read,
                                          .write = split_write,
                                          .min_size = 1,
                                          .max_size = 8,
                                          .impl_min = 1,
                                          .impl_max = 1};

static void drop(struct region **r)
{
    if (!*r) return;
    region_remove(*r);
    region_delete(*r);
    *r = NULL;
}

static void drop_memory(struct i440fx *s)
{
    for (unsigned i = 0; i < SEGMENTS; i++) {
        drop(&s->seg[i].ram);
        drop(&s->seg[i].rom);
        drop(&s->seg[i].write_only);
    }
    drop(&s->smram);
    as_delete(s->behind);
    s->behind = NULL;
    s->ram = s->rom = NULL;
}

void i440fx_set_memory(struct device *d, struct region *ram, struct region *rom)
{
    struct i440fx *s = pmc(d);
    struct region *root = d->mb->mem_root;
    bus_transaction_begin();
    drop_memory(s);
    s->ram = ram, s->rom = rom;
    s->behind = as_new("pam", rom);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        struct segment *g = &s->seg[i];
        g->base = PAM_BASE + 0x4000 * i;
        g->size = i == SEGMENTS - 1 ? 0x10000 : 0x4000;
        g->owner = s;
        g->ram = region_new_alias("pam-ram", ram, g->base, g->size);
        g->rom = region_new_alias("pam-pci", rom, g->base - PAM_BASE, g->size);
        g->write_only = region_new_mmio("pam-write-only", g->size, &split_ops, g);
        region_add(root, g->ram, g->base, 1);
        region_add(root, g->rom, g->base, 1);
        region_add(root, g->write_only, g->base, 1);
    }
    s->smram = region_new_alias("smram", ram, SMRAM_BASE, SMRAM_SIZE);
    region_add(root, s->smram, SMRAM_BASE, 3);
    map_memory(s);
    bus_transaction_commit();
}

/* The window's length is 256, 128 or 64 MiB: what it covers more is not hidden, as the ranges are aligned alike. */
static void map_window(struct i440fx *s)
{
    static const uint64_t sizes[4] = {EXPRESS_SIZE, EXPRESS_SIZE / 2, EXPRESS_SIZE / 4, EXPRESS_SIZE};
    struct device *host = s->dev.parent;
    uint64_t v = ld64_le(s->pci.config + PCIEXBAR), base = v & UINT64_C(0xffffffff0) & ~(sizes[v >> 1 & 3] - 1);
    if (!variant(s)->express || !host || host->desc != &q35_host_desc) return;
    bus_transaction_begin();
    map_express(host, (v & PCIEXBAR_EN) && base, base);
    bus_transaction_commit();
}

static void pmc_config_written(struct pci_device *p, unsigned reg, unsigned size)
{
    struct i440fx *s = pmc(&p->dev);
    unsigned at = variant(s)->smram;
    if (reg < PCIEXBAR + 8 && reg + size > PCIEXBAR) map_window(s);
    if (reg > at || reg + size <= variant(s)->pam0) return;
    if (reg <= at && reg + size > at) {
        uint8_t *v = &s->pci.config[at];
        *v = (*v & 0x78) | 2;
        if (*v & D_LCK) {
            *v &= (uint8_t)~D_OPEN;
            s->pci.wmask[at] = D_CLS; /* until reset */
        }
    }
    map_memory(s);
}

static int pmc_realize(struct device *d, struct error *e)
{
    struct i440fx *s = pmc(d);
    if (pci_realize(pci_device(d), e)) return -1;
    memset(s->pci.wmask + 0x40, 0xff, 0xc0);
    return 0;
}

static void pmc_unrealize(struct device *d)
{
    drop_memory(pmc(d));
    pci_unrealize(pci_device(d));
}

static void pmc_reset(struct device *d)
{
    struct i440fx *s = pmc(d);
    uint8_t *c = s->pci.config;
    pci_reset(pci_device(d));
    memset(c + 0x40, 0, 0xc0);
    if (!variant(s)->express) c[0x57] = 0x10; /* no DRAM type is set: firmware sizes memory otherwise */
    c[variant(s)->smram] = 2;
    s->pci.wmask[variant(s)->smram] = 0xff;
    s->smm = false;
    map_window(s);
    map_memory(s);
}

static int pmc_post_load(struct device *d, struct error *e)
{
    struct i440fx *s = pmc(d);
    pci_post_load(pci_device(d));
    s->pci.wmask[variant(s)->smram] = s->pci.config[variant(s)->smram] & D_LCK ? D_CLS : 0xff;
    map_window(s);
    map_memory(s);
    return 0;
}

static const struct prop_desc pmc_props[] = {PCI_PROPS(struct i440fx), PROP_END};
static const struct state_field pmc_state[] = {
    PCI_STATE(struct i440fx),
    STATE_INT(struct i440fx, smm),
    STATE_RUNTIME(struct i440fx, seg),
    STATE_RUNTIME(struct i440fx, smram),
    STATE_RUNTIME(struct i440fx, ram),
    STATE_RUNTIME(struct i440fx, rom),
    STATE_RUNTIME(struct i440fx, behind),
    STATE_END,
};
static const struct reg_desc pmc_regs[] = {
    {0x59, "PAM0", 1}, {0x5a, "PAM1", 1}, {0x5b, "PAM2", 1}, {0x5c, "PAM3", 1},  {0x5d, "PAM4", 1},
    {0x5e, "PAM5", 1}, {0x5f, "PAM6", 1}, {0x72, "SMRAM", 1}, REG_END};
static const struct reg_desc mch_regs[] = {
    {0x60, "PCIEXBAR", 8}, {0x90, "PAM0", 1}, {0x91, "PAM1", 1}, {0x92, "PAM2", 1},  {0x93, "PAM3", 1},
    {0x94, "PAM4", 1},     {0x95, "PAM5", 1}, {0x96, "PAM6", 1}, {0x9d, "SMRAM", 1}, REG_END};
#define PMC_PCI .vendor = 0x8086, .class_code = 0x060000, .subvendor = 0x1af4, .subdevice = 0x1100, .config_written = pmc_config_written
static const struct pmc_variant pmc_variant = {
    .pci = {PMC_PCI, .device = 0x1237, .revision = 2}, .pam0 = 0x59, .smram = 0x72};
static const struct pmc_variant mch_variant = {
    .pci = {PMC_PCI, .device = 0x29c0}, .pam0 = 0x90, .smram = 0x9d, .express = true};

/* What both generations have. */
#define PMC_DESC                                                                                                       \
    .bus = BUS_PCI, .category = DEV_BRIDGE, .size = sizeof(struct i440fx), .props = pmc_props, .state = pmc_state,     \
    .realize = pmc_realize, .unrealize = pmc_unrealize, .reset = pmc_reset, .post_load = pmc_post_load

const struct dev_desc i440fx_desc = {
    .name = "i440FX",
    .help = "82441FX: host bridge function",
    .regs = pmc_regs,
    .bus_desc = &pmc_variant.pci,
    PMC_DESC,
};

const struct dev_desc mch_desc = {
    .name = "mch",
    .help = "82Q35: host bridge function",
    .regs = mch_regs,
    .bus_desc = &mch_variant.pci,
    PMC_DESC,
};
