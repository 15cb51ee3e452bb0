/*
 * piix4_ide.c - function 1 of the 82371AB (PIIX4) and the 82371SB (PIIX3): two ATA channels at their fixed ports and the
 * bus master DMA engine.
 *
 * Follows the 82371AB data sheet (Intel 290562), chapter 5, and "Programming Interface for Bus
 * Master IDE Controller", revision 1.0. The channels answer whether or not firmware set their
 * decode enable bits, and timings have no effect.
 */
#include "periph/pci/piix4.h"

#include "periph/block/ide.h"
#include "util/log.h"

enum { BM_CMD = 0, BM_STATUS = 2, BM_PRD = 4 };
enum { BMC_START = 1, BMC_TO_MEMORY = 8 };
enum { BMS_ACTIVE = 1, BMS_ERROR = 2, BMS_IRQ = 4, BMS_CAPABLE = 0x60 };
#define PRD_EOT 0x80000000u

struct piix4_ide;
struct bus_master {
    uint8_t cmd, status;
    uint32_t prd_base;   /* as software wrote it */
    uint32_t prd;        /* next descriptor */
    uint32_t addr, left; /* what remains of the current one */
    bool last;           /* it is the last one */
    struct piix4_ide *owner;
    uint8_t n; /* channel */
};

struct piix4_ide {
    struct device dev;
    struct pci_func pci;
    struct ide_channel ch[2];
    struct bus_master bm[2];
    struct irq_line irq[2];
    struct region *ports[2], *control[2];
};

static struct piix4_ide *ide_of(struct device *d)
{
    return (struct piix4_ide *)d;
}

/* ---- what the channels ask of us ---- */

static void front_set_irq(void *opaque, bool level)
{
    struct bus_master *bm = opaque;
    if (level) bm->status |= BMS_IRQ; /* stays until software clears it */
    irq_set(&bm->owner->irq[bm->n], level);
}

static bool front_ready(void *opaque)
{
    struct bus_master *bm = opaque;
    return bm->cmd & BMC_START;
}

static bool next_descriptor(struct bus_master *bm)
{
    uint8_t d[8];
    if (bm->last || !pci_dma_read(pci_device(&bm->owner->dev), bm->prd, d, sizeof d)) return false;
    bm->addr = ld32_le(d) & ~1u;
    bm->left = ld16_le(d + 4) & 0xfffe;
    if (!bm->left) bm->left = 65536;
    bm->last = ld32_le(d + 4) & PRD_EOT;
    bm->prd += 8;
    return true;
}

static long front_dma(void *opaque, bool to_memory, uint8_t *buf, size_t n)
{
    struct bus_master *bm = opaque;
    struct pci_device *p = pci_device(&bm->owner->dev);
    size_t done = 0;
    if (to_memory != !!(bm->cmd & BMC_TO_MEMORY)) {
        LOG(GUEST_ERRORS, "piix4-ide: DMA direction contradicts the command\n");
        return -1;
    }
    while (done < n) {
        if (!bm->left) {
            if (bm->last) break;
            if (!next_descriptor(bm)) return -1;
        }
        uint32_t k = (uint32_t)MIN((size_t)bm->left, n - done);
        bool ok = to_memory ? pci_dma_write(p, bm->addr, buf + done, k)
                            : pci_dma_read(p, bm->addr, buf + done, k);
        if (!ok) return -1;
        bm->addr += k, bm->left -= k, done += k;
    }
    return (long)done;
}

static void front_done(void *opaque, bool failed)
{
    struct bus_master *bm = opaque;
    /* The engine goes idle when the table is exhausted; a drive that took less leaves it active
     * (data sheet 5.2.2). */
    if (!bm->left && bm->last) bm->status &= (uint8_t)~BMS_ACTIVE;
    if (failed) {
        bm->status |= BMS_ERROR;
        bm->status &= (uint8_t)~BMS_ACTIVE;
    }
}

static const struct ide_front front = {
    .set_irq = front_set_irq, .dma_ready = front_ready, .dma = front_dma, .dma_done = front_done};

/* ---- bus master registers ---- */

static uint64_t bm_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct bus_master *bm = &ide_of(opaque)->bm[addr >> 3 & 1];
    uint8_t r[8] = {0};
    uint64_t v = 0;
    r[BM_CMD] = bm->cmd;
    r[BM_STATUS] = bm->status;
    st32_le(r + BM_PRD, bm->prd_base);
    for (unsigned i = 0; i < size && (addr & 7) + i < 8; i++)
        v |= (uint64_t)r[(addr & 7) + i] << (8 * i);
    return v;
}

static void write_bm_cmd(struct piix4_ide *s, struct bus_master *bm, uint8_t v)
{
    bool start = (v & BMC_START) && !(bm->cmd & BMC_START);
    bm->cmd = v & (BMC_START | BMC_TO_MEMORY);
    if (start) {
        bm->status |= BMS_ACTIVE;
        bm->prd = bm->prd_base;
        bm->left = 0;
        bm->last = false;
        ide_dma_started(&s->ch[bm->n]);
    } else if (!(v & BMC_START)) {
        bm->status &= (uint8_t)~BMS_ACTIVE;
    }
}

static void bm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct piix4_ide *s = opaque;
    struct bus_master *bm = &s->bm[addr >> 3 & 1];
    for (unsigned i = 0; i < size && (addr & 7) + i < 8; i++) {
        unsigned at = (unsigned)(addr & 7) + i;
        uint8_t v = (uint8_t)(value >> (8 * i));
        switch (at) {
        case BM_CMD: write_bm_cmd(s, bm, v); break;
        case BM_STATUS:
            bm->status &= (uint8_t) ~(v & (BMS_ERROR | BMS_IRQ));
            bm->status = (uint8_t)((bm->status & ~BMS_CAPABLE) | (v & BMS_CAPABLE));
            break;
        case BM_PRD: bm->prd_base = (bm->prd_base & ~0xffu) | (v & 0xfc); break;
        case BM_PRD + 1:
        case BM_PRD + 2:
        case BM_PRD + 3: {
            unsigned shift = 8 * (at - BM_PRD);
            bm->prd_base = (bm->prd_base & ~(0xffu << shift)) | (uint32_t)v << shift;
            break;
        }
        default: break;
        }
    }
}

static const struct mmio_ops bm_ops = {
    .read = bm_read, .write = bm_write, .min_size = 1, .max_size = 4, .unaligned = true};

/* ---- life ---- */

static int piix4_ide_realize(struct device *d, struct error *e)
{
    static const uint16_t port[2] = {0x1f0, 0x170}, control[2] = {0x3f6, 0x376};
    struct piix4_ide *s = ide_of(d);
    struct pci_device *p = pci_device(d);
    if (d->mb->ide[0] || d->mb->ide[1])
        return error_set(e, "%s: the machine has these IDE channels already", d->desc->name);
    if (pci_realize(p, e)) return -1;
    memset(p->pci.wmask + 0x40, 0xff, 0xc0);
    pci_set_bar(p, 4, PCI_BAR_IO, region_new_mmio("piix-bmdma", 16, &bm_ops, s));
    for (unsigned i = 0; i < 2; i++) {
        s->bm[i].owner = s, s->bm[i].n = (uint8_t)i;
        s->ch[i].front = &front, s->ch[i].opaque = &s->bm[i];
        s->ports[i] = region_new_mmio("ide", 8, &ide_port_ops, &s->ch[i]);
        s->control[i] = region_new_mmio("ide", 1, &ide_control_ops, &s->ch[i]);
        region_add(d->mb->io_root, s->ports[i], port[i], 0);
        region_add(d->mb->io_root, s->control[i], control[i], 0);
        d->mb->ide[i] = &s->ch[i];
    }
    return 0;
}

static void piix4_ide_unrealize(struct device *d)
{
    struct piix4_ide *s = ide_of(d);
    for (unsigned i = 0; i < 2; i++) {
        if (d->mb->ide[i] == &s->ch[i]) d->mb->ide[i] = NULL;
        if (!s->ports[i]) continue;
        region_remove(s->ports[i]);
        region_delete(s->ports[i]);
        region_remove(s->control[i]);
        region_delete(s->control[i]);
        s->ports[i] = s->control[i] = NULL;
    }
    pci_unrealize(pci_device(d));
}

static void piix4_ide_reset(struct device *d)
{
    struct piix4_ide *s = ide_of(d);
    pci_reset(pci_device(d));
    memset(s->pci.config + 0x40, 0, 0xc0);
    for (unsigned i = 0; i < 2; i++) {
        struct bus_master *bm = &s->bm[i];
        ide_channel_reset(&s->ch[i]);
        bm->cmd = bm->status = 0;
        bm->prd_base = bm->prd = bm->addr = bm->left = 0;
        bm->last = false;
    }
}

static int piix4_ide_post_load(struct device *d, struct error *e)
{
    struct piix4_ide *s = ide_of(d);
    pci_post_load(pci_device(d));
    for (unsigned i = 0; i < 2; i++) {
        if (s->ch[i].select > 1)
            return error_set(e, "piix4-ide: there is no drive %u", s->ch[i].select);
        irq_set(&s->irq[i], s->ch[i].irq && !(s->ch[i].control & ATA_CTL_NIEN));
    }
    return 0;
}

static const struct state_field bm_state[] = {
    STATE_INT(struct bus_master, cmd),      STATE_INT(struct bus_master, status),
    STATE_INT(struct bus_master, prd_base), STATE_INT(struct bus_master, prd),
    STATE_INT(struct bus_master, addr),     STATE_INT(struct bus_master, left),
    STATE_INT(struct bus_master, last),     STATE_RUNTIME(struct bus_master, owner),
    STATE_RUNTIME(struct bus_master, n),    STATE_END,
};
static const struct prop_desc ide_props[] = {PCI_PROPS(struct piix4_ide), PROP_END};
static const struct state_field ide_state[] = {
    PCI_STATE(struct piix4_ide),
    STATE_STRUCT(struct piix4_ide, ch, 2, ide_channel_state),
    STATE_STRUCT(struct piix4_ide, bm, 2, bm_state),
    STATE_IRQ(struct piix4_ide, irq, 2),
    STATE_RUNTIME(struct piix4_ide, ports),
    STATE_RUNTIME(struct piix4_ide, control),
    STATE_END,
};
static const struct reg_desc ide_regs[] = {{0, "BMICP", 1}, {2, "BMISP", 1},  {4, "BMIDTPP", 4},
                                           {8, "BMICS", 1}, {10, "BMISS", 1}, {12, "BMIDTPS", 4},
                                           REG_END};
static const struct pci_dev_desc ide_pci = {
    .vendor = 0x8086, .device = 0x7111, .class_code = 0x010180, .status = 0x0280};

static const struct pci_dev_desc piix3_ide_pci = {.vendor = 0x8086,
                                                  .device = 0x7010,
                                                  .class_code = 0x010180,
                                                  .status = 0x0280,
                                                  .subvendor = 0x1af4,
                                                  .subdevice = 0x1100};

/* What both generations have. */
#define IDE_DESC                                                                                   \
    .bus = BUS_PCI, .category = DEV_STORAGE, .size = sizeof(struct piix4_ide), .props = ide_props, \
    .state = ide_state, .regs = ide_regs, .realize = piix4_ide_realize,                            \
    .unrealize = piix4_ide_unrealize, .reset = piix4_ide_reset,                                    \
    .post_load = piix4_ide_post_load, .irq_offset = offsetof(struct piix4_ide, irq), .n_irqs = 2

const struct dev_desc piix4_ide_desc = {
    .name = "piix4-ide",
    .help = "82371AB (PIIX4) IDE controller with bus master DMA",
    .bus_desc = &ide_pci,
    IDE_DESC,
};

const struct dev_desc piix3_ide_desc = {
    .name = "piix3-ide",
    .help = "82371SB (PIIX3) IDE controller with bus master DMA",
    .bus_desc = &piix3_ide_pci,
    IDE_DESC,
};
