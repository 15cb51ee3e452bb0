/*
 * gt64120.c - Marvell (Galileo) GT-64120A system controller as a MIPS processor sees it: its
 * registers, the CPU address decoding of the two PCI_0 memory windows and the I/O window,
 * configuration and interrupt acknowledge cycles on PCI_0.
 *
 * Follows the GT-64120 data sheet, revision 1.4. Not modelled: the SDRAM and device decoding and
 * timing (their registers hold what is written), the DMA engine, I2O messages, the second PCI bus;
 * the four timers are registers that do not count. The registers are little-endian in either byte
 * order of the processor. PCI I/O devices decode 16 address bits, so the upper bits that the I/O
 * remap register supplies select nothing.
 */
#include "periph/pci/gt64120.h"

#include "util/log.h"

enum { GT_REGS = 0x1000 / 4 };
enum {
    GT_CPU_CONFIG = 0x000,
    GT_PCI0_IO_LOW = 0x048,
    GT_PCI0_IO_HIGH = 0x050,
    GT_PCI0_MEM0_LOW = 0x058,
    GT_PCI0_MEM0_HIGH = 0x060,
    GT_ISD = 0x068,
    GT_PCI0_MEM1_LOW = 0x080,
    GT_PCI0_MEM1_HIGH = 0x088,
    GT_PCI0_IO_REMAP = 0x0f0,
    GT_PCI0_MEM0_REMAP = 0x0f8,
    GT_PCI0_MEM1_REMAP = 0x100,
    GT_PCI0_CMD = 0xc00,
    GT_INT_CAUSE = 0xc18,
    GT_CPU_MASK = 0xc1c,
    GT_PCI0_ICMASK = 0xc24,
    GT_SERR0_MASK = 0xc28,
    GT_INT_ACK = 0xc34,
    GT_PCI1_CFG_ADDR = 0xcf0,
    GT_PCI1_CFG_DATA = 0xcf4,
    GT_CFG_ADDR = 0xcf8,
    GT_CFG_DATA = 0xcfc,
    GT_HI_CAUSE = 0xc98,
    GT_HI_MASK = 0xc9c,
};
enum { GT_CMD_NO_MASTER_SWAP = 1, GT_CONFIG_LE = 0x1000, GT_CONFIG_ENABLE = 1u << 31 };
enum { GT_UNIT_SHIFT = 21 }; /* decode registers count in 2 MiB */

struct gt64120 {
    struct device dev;
    bool little_endian; /* the strap that tells the processor's byte order */
    uint32_t reg[GT_REGS];
    /* runtime */
    struct irq_line irq[5];
    struct pci_bus *bus;
    struct region *isd, *pci_mem, *io_win, *mem_win[2];
    struct region *abort_mem, *abort_io;
    bool isd_mapped, io_mapped, mem_mapped[2];
    int (*ack)(void *);
    void *ack_opaque;
};

struct reg_default {
    uint16_t at;
    uint32_t value;
};
static const struct reg_default gt_defaults[] = {
    {0x008, 0x000},      {0x010, 0x007},      {0x018, 0x008},      {0x020, 0x00f},
    {0x028, 0x0e0},      {0x030, 0x070},      {0x038, 0x0f8},      {0x040, 0x07f},
    {0x048, 0x080},      {0x050, 0x00f},      {0x058, 0x090},      {0x060, 0x01f},
    {0x068, 0x0a0},      {0x080, 0x790},      {0x088, 0x01f},      {0x090, 0x100},
    {0x098, 0x00f},      {0x0a0, 0x110},      {0x0a8, 0x01f},      {0x0b0, 0x120},
    {0x0b8, 0x02f},      {0x0d8, 0x008},      {0x0e0, 0x0e0},      {0x0e8, 0x0f8},
    {0x0f0, 0x080},      {0x0f8, 0x090},      {0x100, 0x790},      {0x108, 0x100},
    {0x110, 0x110},      {0x118, 0x120},      {0x120, 0x003},      {0x128, 0xffffffff},
    {0x130, 0xffffffff}, {0x138, 0x0ff},      {0x404, 0x07},       {0x408, 0x08},
    {0x40c, 0x0f},       {0x410, 0x10},       {0x414, 0x17},       {0x418, 0x18},
    {0x41c, 0x1f},       {0x420, 0xc0},       {0x424, 0xc7},       {0x428, 0xc8},
    {0x42c, 0xcf},       {0x430, 0xd0},       {0x434, 0xdf},       {0x438, 0xf0},
    {0x43c, 0xfb},       {0x440, 0xfc},       {0x444, 0xff},       {0x448, 0x200},
    {0x44c, 0x5},        {0x450, 0x5},        {0x454, 0x5},        {0x458, 0x5},
    {0x45c, 0x386fffff}, {0x460, 0x386fffff}, {0x464, 0x386fffff}, {0x468, 0x386fffff},
    {0x46c, 0x146fffff}, {0x470, 0xffffffff}, {0x478, 0x7},        {0x47c, 0x2},
    {0x850, 0xffffffff}, {0x854, 0xffffff},   {0x858, 0xffffff},   {0x85c, 0xffffff},
    {0xc04, 0x70f},      {0xc08, 0xfff000},   {0xc0c, 0xfff000},   {0xc10, 0x1fff000},
    {0xc14, 0xfff000},   {0xc3c, 0x0f},       {0xc40, 0x40},       {0xc4c, 0x01000000},
    {0xc50, 0x1c000000}, {0xc54, 0x1f000000}, {0xc5c, 0x01000000}, {0xc64, 0x1f000000},
    {0xc84, 0x70f},      {0xc88, 0xfff000},   {0xc8c, 0xfff000},   {0xc90, 0x1fff000},
    {0xc94, 0xfff000},   {0xcbc, 0x0f},       {0xcc0, 0x40},       {0xccc, 0x01000000},
    {0xcd0, 0x1c000000}, {0xcd4, 0x1f000000}, {0xcdc, 0x01000000}, {0xce4, 0x1f000000},
};

static struct gt64120 *gt(struct device *d)
{
    return (struct gt64120 *)d;
}

/* ---- address decoding ---- */

static struct region *remap(struct region *old, bool *mapped, struct region *parent,
                            struct region *target, const char *name, uint64_t at, uint64_t offset,
                            uint64_t size)
{
    if (old) {
        if (*mapped) region_remove(old);
        region_delete(old);
    }
    *mapped = size != 0;
    if (!size) return NULL;
    struct region *r = region_new_alias(name, target, offset, size);
    region_add(parent, r, at, 0);
    return r;
}

/* A window is [low, low with its bits 27:21 replaced by high]; empty when that lies below low. */
static uint64_t window(const struct gt64120 *s, unsigned low_reg, unsigned high_reg,
                       uint64_t *start)
{
    uint32_t low = s->reg[low_reg / 4] & 0x7fff, high = s->reg[high_reg / 4] & 0x7f;
    *start = (uint64_t)low << GT_UNIT_SHIFT;
    if (high < (low & 0x7f)) return 0;
    return (uint64_t)(high - (low & 0x7f) + 1) << GT_UNIT_SHIFT;
}

static void update_windows(struct gt64120 *s)
{
    static const uint16_t mem_low[2] = {GT_PCI0_MEM0_LOW, GT_PCI0_MEM1_LOW};
    static const uint16_t mem_high[2] = {GT_PCI0_MEM0_HIGH, GT_PCI0_MEM1_HIGH};
    static const uint16_t mem_remap[2] = {GT_PCI0_MEM0_REMAP, GT_PCI0_MEM1_REMAP};
    struct machine_bus *mb = s->dev.mb;
    uint64_t at, size;

    bus_transaction_begin();
    if (s->isd_mapped) region_remove(s->isd);
    region_add(mb->mem_root, s->isd, (uint64_t)(s->reg[GT_ISD / 4] & 0x7fff) << GT_UNIT_SHIFT, 1);
    s->isd_mapped = true;
    size = window(s, GT_PCI0_IO_LOW, GT_PCI0_IO_HIGH, &at);
    s->io_win = remap(s->io_win, &s->io_mapped, mb->mem_root, mb->io_root, "pci0-io", at, 0,
                      MIN(size, UINT64_C(0x10000)));
    for (unsigned i = 0; i < 2; i++) {
        size = window(s, mem_low[i], mem_high[i], &at);
        /* The remap register has 11 bits: PCI addresses are of 32 bits. */
        uint64_t to = (uint64_t)(s->reg[mem_remap[i] / 4] & 0x7ff) << GT_UNIT_SHIFT;
        if (to + size > UINT64_C(0x100000000)) size = UINT64_C(0x100000000) - to;
        s->mem_win[i] = remap(s->mem_win[i], &s->mem_mapped[i], mb->mem_root, s->pci_mem,
                              i ? "pci0-mem1" : "pci0-mem0", at, to, size);
    }
    bus_transaction_commit();
}

static void update_irq(struct gt64120 *s)
{
    irq_set(&s->irq[4], (s->reg[GT_INT_CAUSE / 4] & s->reg[GT_CPU_MASK / 4] & 0x7ffffffe) != 0);
}

/* ---- configuration cycles ---- */

/* Data of the controller's own function are never swapped; others are when the master swaps bytes,
 * which it does in big-endian systems only. */
static bool config_swaps(const struct gt64120 *s)
{
    uint32_t a = s->reg[GT_CFG_ADDR / 4];
    bool self = (a & 0x00fff800) == 0;
    return !self && !(s->reg[GT_PCI0_CMD / 4] & GT_CMD_NO_MASTER_SWAP);
}

static uint32_t config_data_read(struct gt64120 *s, unsigned lane, unsigned size)
{
    uint32_t a = s->reg[GT_CFG_ADDR / 4], v = 0xffffffff;
    if (!(a & GT_CONFIG_ENABLE) || (a & 0x00ff0000)) return v; /* no other bus than 0 */
    bool swap = config_swaps(s);
    v = pci_config_read(s->bus, a >> 8 & 0xff, a & 0xfc, 4);
    if (swap) v = host_bswap32(v);
    v >>= 8 * lane;
    return size == 4 ? v : v & ((1u << (8 * size)) - 1);
}

static void config_data_write(struct gt64120 *s, unsigned lane, uint32_t v, unsigned size)
{
    uint32_t a = s->reg[GT_CFG_ADDR / 4];
    if (!(a & GT_CONFIG_ENABLE) || (a & 0x00ff0000)) return;
    unsigned reg = a & 0xfc;
    if (!config_swaps(s)) {
        pci_config_write(s->bus, a >> 8 & 0xff, reg + lane, v, size);
        return;
    }
    if (size == 4) v = host_bswap32(v);
    if (size == 2) v = host_bswap16((uint16_t)v);
    pci_config_write(s->bus, a >> 8 & 0xff, reg + (4 - size - lane), v, size);
}

/* ---- registers ---- */

static uint64_t gt_read(void *opaque, uint64_t addr, unsigned size)
{
    struct gt64120 *s = opaque;
    unsigned at = (unsigned)addr & ~3u, lane = (unsigned)addr & 3;
    uint32_t v;
    switch (at) {
    case GT_CFG_DATA: return config_data_read(s, lane, size);
    case GT_PCI1_CFG_DATA: v = 0xffffffff; break;
    case GT_INT_ACK: v = s->ack ? (uint32_t)s->ack(s->ack_opaque) : 0; break;
    default: v = s->reg[at / 4]; break;
    }
    v >>= 8 * lane;
    return size >= 4 ? v : v & ((1u << (8 * size)) - 1);
}

static void gt_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct gt64120 *s = opaque;
    unsigned at = (unsigned)addr & ~3u, lane = (unsigned)addr & 3;
    if (at == GT_CFG_DATA) {
        config_data_write(s, lane, (uint32_t)value, size);
        return;
    }
    uint32_t mask = size >= 4 ? 0xffffffff : ((1u << (8 * size)) - 1) << (8 * lane);
    uint32_t v = (s->reg[at / 4] & ~mask) | (((uint32_t)value << (8 * lane)) & mask);
    switch (at) {
    case GT_CPU_CONFIG:
        v = (v & ~(uint32_t)GT_CONFIG_LE) | (s->little_endian ? GT_CONFIG_LE : 0); /* a strap */
        break;
    case GT_PCI0_IO_LOW: s->reg[GT_PCI0_IO_REMAP / 4] = v & 0x7ff; break;
    case GT_PCI0_MEM0_LOW: s->reg[GT_PCI0_MEM0_REMAP / 4] = v & 0x7ff; break;
    case GT_PCI0_MEM1_LOW: s->reg[GT_PCI0_MEM1_REMAP / 4] = v & 0x7ff; break;
    case GT_INT_CAUSE:
    case GT_HI_CAUSE:
        v = s->reg[at / 4] & ((uint32_t)value << (8 * lane) | ~mask);
        break; /* writing 0 clears */
    case GT_INT_ACK:
    case 0x128:
    case 0x130:
    case 0x138: /* multi-GT acknowledge, read only */
        LOG(GUEST_ERRORS, "gt64120: write to read-only register %03x\n", at);
        return;
    default: break;
    }
    s->reg[at / 4] = v;
    switch (at) {
    case GT_PCI0_IO_LOW:
    case GT_PCI0_IO_HIGH:
    case GT_PCI0_MEM0_LOW:
    case GT_PCI0_MEM0_HIGH:
    case GT_ISD:
    case GT_PCI0_MEM1_LOW:
    case GT_PCI0_MEM1_HIGH:
    case GT_PCI0_MEM0_REMAP:
    case GT_PCI0_MEM1_REMAP: update_windows(s); break;
    case GT_INT_CAUSE:
    case GT_CPU_MASK: update_irq(s); break;
    default: break;
    }
}

static const struct mmio_ops gt_ops = {
    .read = gt_read, .write = gt_write, .min_size = 1, .max_size = 8, .impl_min = 1, .impl_max = 4};

/* ---- cycles that no PCI device claims: master abort, reads as ones ---- */

static uint64_t abort_read(void *opaque, uint64_t addr, unsigned size)
{
    LOG(UNIMP, "gt64120: read from PCI address %llx, which no device claims\n",
        (unsigned long long)addr);
    return UINT64_MAX;
}

static void abort_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    LOG(UNIMP, "gt64120: write to PCI address %llx, which no device claims\n",
        (unsigned long long)addr);
}

static const struct mmio_ops abort_ops = {
    .read = abort_read, .write = abort_write, .min_size = 1, .max_size = 8, .unaligned = true};
enum { ABORT_PRIORITY = -1000 };

/* ---- life ---- */

void gt64120_set_ack(struct device *d, int (*ack)(void *opaque), void *opaque)
{
    gt(d)->ack = ack, gt(d)->ack_opaque = opaque;
}

void gt64120_as_firmware(struct device *d)
{
    static const struct reg_default set[] = {
        {GT_ISD, 0xdf},
        {GT_PCI0_IO_LOW, 0xc0},
        {GT_PCI0_IO_HIGH, 0x40},
        {GT_PCI0_MEM0_LOW, 0x80},
        {GT_PCI0_MEM0_HIGH, 0x3f},
        {GT_PCI0_MEM1_LOW, 0xc1},
        {GT_PCI0_MEM1_HIGH, 0x5e},
    };
    bus_transaction_begin();
    for (size_t i = 0; i < ARRAY_LEN(set); i++)
        gt_write(d, set[i].at, set[i].value, 4);
    bus_transaction_commit();
}

static void gt_reset(struct device *d)
{
    struct gt64120 *s = gt(d);
    memset(s->reg, 0, sizeof s->reg);
    for (size_t i = 0; i < ARRAY_LEN(gt_defaults); i++)
        s->reg[gt_defaults[i].at / 4] = gt_defaults[i].value;
    if (s->little_endian) {
        s->reg[GT_CPU_CONFIG / 4] = GT_CONFIG_LE;
        s->reg[GT_PCI0_CMD / 4] = s->reg[0xc80 / 4] = 0x00010001;
    }
    update_windows(s);
    update_irq(s);
}

static int gt_post_load(struct device *d, struct error *e)
{
    update_windows(gt(d));
    update_irq(gt(d));
    return 0;
}

static int gt_realize(struct device *d, struct error *e)
{
    struct gt64120 *s = gt(d);
    struct machine_bus *mb = d->mb;
    if (mb->pci) return error_set(e, "gt64120: the machine has a PCI host bridge already");
    if (!mb->io_root) return error_set(e, "gt64120: the machine has no I/O space");
    s->isd = region_new_mmio("gt64120-isd", 0x1000, &gt_ops, s);
    s->pci_mem = region_new_container("pci0-mem", UINT64_C(0x100000000));
    s->abort_mem = region_new_mmio("pci-mem-abort", UINT64_C(0x100000000), &abort_ops, s);
    region_add(s->pci_mem, s->abort_mem, 0, ABORT_PRIORITY);
    s->abort_io = region_new_mmio("pci-io-abort", 0x10000, &abort_ops, s);
    region_add(mb->io_root, s->abort_io, 0, ABORT_PRIORITY);
    s->bus = pci_bus_new(d, s->pci_mem, mb->io_root, mb->mem, s->irq);
    mb->pci = s->bus;
    return 0;
}

static void gt_unrealize(struct device *d)
{
    struct gt64120 *s = gt(d);
    struct region *wins[3] = {s->io_win, s->mem_win[0], s->mem_win[1]};
    bool mapped[3] = {s->io_mapped, s->mem_mapped[0], s->mem_mapped[1]};
    for (unsigned i = 0; i < 3; i++) {
        if (!wins[i]) continue;
        if (mapped[i]) region_remove(wins[i]);
        region_delete(wins[i]);
    }
    if (s->isd_mapped) region_remove(s->isd);
    if (s->isd) region_delete(s->isd);
    if (d->mb->pci == s->bus) d->mb->pci = NULL;
    pci_bus_delete(s->bus);
    if (s->pci_mem) {
        region_remove(s->abort_mem);
        region_delete(s->abort_mem);
        region_remove(s->abort_io);
        region_delete(s->abort_io);
        region_delete(s->pci_mem);
    }
    s->abort_mem = s->abort_io = NULL;
    s->isd = s->pci_mem = s->io_win = s->mem_win[0] = s->mem_win[1] = NULL;
    s->bus = NULL;
}

static const struct prop_desc gt_props[] = {
    PROP(struct gt64120, PROP_BOOL, "cpu-little-endian", little_endian, false,
         "byte order strap of the processor"),
    PROP_END,
};

static const struct state_field gt_state[] = {
    STATE_PROP(struct gt64120, little_endian), STATE_ARR(struct gt64120, reg),
    STATE_IRQ(struct gt64120, irq, 5),         STATE_RUNTIME(struct gt64120, bus),
    STATE_RUNTIME(struct gt64120, isd),        STATE_RUNTIME(struct gt64120, pci_mem),
    STATE_RUNTIME(struct gt64120, io_win),     STATE_RUNTIME(struct gt64120, mem_win),
    STATE_RUNTIME(struct gt64120, abort_mem),  STATE_RUNTIME(struct gt64120, abort_io),
    STATE_RUNTIME(struct gt64120, isd_mapped), STATE_RUNTIME(struct gt64120, io_mapped),
    STATE_RUNTIME(struct gt64120, mem_mapped), STATE_RUNTIME(struct gt64120, ack),
    STATE_RUNTIME(struct gt64120, ack_opaque), STATE_END,
};

static const struct reg_desc gt_regs[] = {
    {GT_CPU_CONFIG, "CPU_CONFIG", 4},
    {GT_PCI0_IO_LOW, "PCI0_IO_LOW", 4},
    {GT_PCI0_IO_HIGH, "PCI0_IO_HIGH", 4},
    {GT_PCI0_MEM0_LOW, "PCI0_MEM0_LOW", 4},
    {GT_PCI0_MEM0_HIGH, "PCI0_MEM0_HIGH", 4},
    {GT_ISD, "ISD", 4},
    {GT_PCI0_MEM1_LOW, "PCI0_MEM1_LOW", 4},
    {GT_PCI0_MEM1_HIGH, "PCI0_MEM1_HIGH", 4},
    {GT_PCI0_IO_REMAP, "PCI0_IO_REMAP", 4},
    {GT_PCI0_MEM0_REMAP, "PCI0_MEM0_REMAP", 4},
    {GT_PCI0_MEM1_REMAP, "PCI0_MEM1_REMAP", 4},
    {GT_PCI0_CMD, "PCI0_CMD", 4},
    {GT_INT_CAUSE, "INT_CAUSE", 4},
    {GT_CPU_MASK, "CPU_MASK", 4},
    {GT_PCI0_ICMASK, "PCI0_ICMASK", 4},
    {GT_SERR0_MASK, "SERR0_MASK", 4},
    {GT_INT_ACK, "INT_ACK", 4},
    {GT_PCI1_CFG_ADDR, "PCI1_CFG_ADDR", 4},
    {GT_PCI1_CFG_DATA, "PCI1_CFG_DATA", 4},
    {GT_CFG_ADDR, "CFG_ADDR", 4},
    {GT_CFG_DATA, "CFG_DATA", 4},
    {GT_HI_CAUSE, "HI_CAUSE", 4},
    {GT_HI_MASK, "HI_MASK", 4},
    REG_END,
};

const struct dev_desc gt64120_desc = {
    .name = "gt64120",
    .help = "GT-64120 system controller",
    .bus = BUS_SYSTEM,
    .category = DEV_BRIDGE,
    .size = sizeof(struct gt64120),
    .props = gt_props,
    .state = gt_state,
    .regs = gt_regs,
    .realize = gt_realize,
    .unrealize = gt_unrealize,
    .reset = gt_reset,
    .post_load = gt_post_load,
    .irq_offset = offsetof(struct gt64120, irq),
    .n_irqs = 5,
};

/* ---- function 0 of device 0: how the controller looks on its PCI bus ---- */

static int gt_pci_realize(struct device *d, struct error *e)
{
    return pci_realize(pci_device(d), e);
}

static void gt_pci_unrealize(struct device *d)
{
    pci_unrealize(pci_device(d));
}

static void gt_pci_reset(struct device *d)
{
    struct pci_device *p = pci_device(d);
    /* The windows through which other masters reach memory and registers; what they say is not
     * used: DMA sees the memory as the processor does. */
    static const uint32_t bars[6] = {0x00000008, 0x01000008, 0x1c000000,
                                     0x1f000000, 0x14000000, 0x14000001};
    pci_reset(p);
    for (unsigned i = 0; i < 6; i++)
        st32_le(p->pci.config + PCI_BAR0 + 4 * i, bars[i]);
}

static int gt_pci_post_load(struct device *d, struct error *e)
{
    pci_post_load(pci_device(d));
    return 0;
}

static const struct prop_desc gt_pci_props[] = {PCI_PROPS(struct pci_device), PROP_END};
static const struct state_field gt_pci_state[] = {PCI_STATE(struct pci_device), STATE_END};
static const struct pci_dev_desc gt_pci = {.vendor = 0x11ab,
                                           .device = 0x4620,
                                           .class_code = 0x060000,
                                           .revision = 0x10,
                                           .status = 0x0280,
                                           .int_pin = 1};

const struct dev_desc gt64120_pci_desc = {
    .name = "gt64120_pci",
    .help = "GT-64120 system controller (its PCI function)",
    .bus = BUS_PCI,
    .category = DEV_BRIDGE,
    .size = sizeof(struct pci_device),
    .props = gt_pci_props,
    .state = gt_pci_state,
    .realize = gt_pci_realize,
    .unrealize = gt_pci_unrealize,
    .reset = gt_pci_reset,
    .post_load = gt_pci_post_load,
    .bus_desc = &gt_pci,
};
