/*
 * pcnet.c - AMD Am79C973 (PCnet-FAST III) Ethernet controller on PCI. Follows AMD's data sheet
 * 20550.
 *
 * It is attached to no network yet: what is transmitted goes nowhere and completes, nothing is
 * received, and the link is down unless the property "link" says otherwise. Not
 * modelled: loopback, Magic Packet, the EEPROM's serial port, the boot ROM, and polling of the
 * transmit ring without a demand (TDMD).
 */
#include "periph/pci/pci.h"
#include "util/log.h"

enum {
    CSR0_INIT = 0x0001,
    CSR0_STRT = 0x0002,
    CSR0_STOP = 0x0004,
    CSR0_TDMD = 0x0008,
    CSR0_TXON = 0x0010,
    CSR0_RXON = 0x0020,
    CSR0_IENA = 0x0040,
    CSR0_INTR = 0x0080,
    CSR0_IDON = 0x0100,
    CSR0_TINT = 0x0200,
    CSR0_RINT = 0x0400,
    CSR0_MERR = 0x0800,
    CSR0_MISS = 0x1000,
    CSR0_CERR = 0x2000,
    CSR0_BABL = 0x4000,
    CSR0_ERR = 0x8000,
    CSR0_EVENTS = 0x7f00,
    CSR0_ERRORS = 0x7800,
};
enum {
    CSR3_MASKS = 0x5f00,
    CSR4_UINT = 0x40,
    CSR4_UINTCMD = 0x80,
    CSR4_EVENTS = 0x026a,
    CSR5_SPND = 1,
    CSR5_LTINTEN = 0x4000,
    CSR5_EVENTS = 0x0a8a
};
enum { MODE_DRX = 1, MODE_DTX = 2 };
enum { TMD_OWN = 0x8000, TMD_LTINT = 0x1000, TMD_STP = 0x0200, TMD_ENP = 0x0100 };
enum { BCR_SWS = 20, BCR_BSBC = 18, BCR_MIICAS = 32, BCR_MIIADDR = 33, BCR_MIIMDR = 34 };
enum { N_CSR = 128, N_BCR = 56, PHY_ADDRESS = 30 };
#define CHIP_ID 0x02625003u /* part 2625: Am79C973 */

struct pcnet {
    struct device dev;
    struct pci_func pci;
    uint8_t mac[6];
    bool link; /* property: the cable is in */
    uint8_t prom[16];
    uint16_t rap;
    uint16_t csr[N_CSR];
    uint16_t bcr[N_BCR];
    uint16_t phy[32];
    uint32_t init_addr, rx_ring, tx_ring;
    uint32_t rx_len, tx_len; /* descriptors */
    uint32_t tx_next;
    bool link_up;
};

static struct pcnet *pcnet(struct device *d)
{
    return (struct pcnet *)d;
}

static void update_irq(struct pcnet *s)
{
    uint16_t c0 = s->csr[0] & (uint16_t) ~(CSR0_INTR | CSR0_ERR);
    bool event = (c0 & CSR0_EVENTS & ~(s->csr[3] & CSR3_MASKS)) != 0;
    /* CSR4: each event's mask is the bit below it; CSR5: its enable is. */
    event |=
        (s->csr[4] & CSR4_EVENTS & ~CSR4_UINT & ~(s->csr[4] << 1)) != 0 || (s->csr[4] & CSR4_UINT);
    event |= (s->csr[5] & CSR5_EVENTS & (s->csr[5] << 1)) != 0;
    if (event) c0 |= CSR0_INTR;
    if (c0 & CSR0_ERRORS) c0 |= CSR0_ERR;
    s->csr[0] = c0;
    pci_set_irq(pci_device(&s->dev), event && (c0 & CSR0_IENA));
}

static void chip_stop(struct pcnet *s)
{
    s->csr[0] = CSR0_STOP;
    s->csr[4] &= (uint16_t)~0x02c2;
    update_irq(s);
}

static void chip_reset(struct pcnet *s)
{
    memset(s->csr, 0, sizeof s->csr);
    memset(s->bcr, 0, sizeof s->bcr);
    s->csr[0] = CSR0_STOP;
    s->csr[4] = 0x0115;
    for (unsigned i = 0; i < 3; i++)
        s->csr[12 + i] = ld16_le(s->prom + 2 * i);
    s->csr[58] = 0x0200;
    s->csr[76] = s->csr[78] = 0xffff;
    s->csr[80] = 0x1410;
    s->csr[88] = (uint16_t)CHIP_ID, s->csr[89] = (uint16_t)(CHIP_ID >> 16);
    s->bcr[0] = 0x0005, s->bcr[1] = 0x0005;
    s->bcr[4] = 0x00c0, s->bcr[5] = 0x0084, s->bcr[6] = 0x0088, s->bcr[7] = 0x0090;
    s->bcr[18] = 0x9001;
    s->bcr[19] = 0x0002;
    s->bcr[20] = 0x0200;
    s->bcr[22] = 0xff06;
    s->bcr[32] = 0x0400;
    s->bcr[33] = PHY_ADDRESS << 5;
    s->rap = 0;
    s->init_addr = s->rx_ring = s->tx_ring = 0;
    s->rx_len = s->tx_len = s->tx_next = 0;
    update_irq(s);
}

/* ---- the PHY ---- */

static void phy_reset(struct pcnet *s)
{
    memset(s->phy, 0, sizeof s->phy);
    s->phy[0] = 0x3100; /* 100 Mb/s, negotiates, full duplex */
    s->phy[2] = 0x0000, s->phy[3] = 0x6b60;
    s->phy[4] = 0x01e1;
}

static uint16_t phy_read(struct pcnet *s, unsigned addr, unsigned reg)
{
    if (addr != PHY_ADDRESS) return 0xffff;
    switch (reg) {
    case 1:
        return (uint16_t)(0x7809 | (s->link_up ? 0x24 : 0)); /* 10/100, negotiation (done), link */
    case 5: return s->link_up ? 0x45e1 : 0;                  /* the partner can do all, too */
    default: return s->phy[reg];
    }
}

static void phy_write(struct pcnet *s, unsigned addr, unsigned reg, uint16_t v)
{
    if (addr != PHY_ADDRESS) return;
    if (reg == 0) {
        if (v & 0x8000)
            phy_reset(s);
        else
            s->phy[0] = v & 0x7d80;
    } else if (reg == 4) {
        s->phy[4] = v;
    }
}

/* ---- rings ---- */

static unsigned sw_style(const struct pcnet *s)
{
    return s->bcr[BCR_SWS] & 0xff;
}

/* SSIZE32 comes with the software styles other than 0. */
static bool wide(const struct pcnet *s)
{
    return sw_style(s) != 0;
}

static void memory_error(struct pcnet *s)
{
    s->csr[0] |= CSR0_MERR;
    update_irq(s);
}

static void set_csr32(struct pcnet *s, unsigned n, uint32_t v)
{
    s->csr[n] = (uint16_t)v, s->csr[n + 1] = (uint16_t)(v >> 16);
}

static void load_init_block(struct pcnet *s)
{
    uint8_t b[28];
    unsigned rlen, tlen;
    struct pci_device *p = pci_device(&s->dev);
    s->init_addr = (uint32_t)s->csr[2] << 16 | s->csr[1];
    if (wide(s)) {
        if (!pci_dma_read(p, s->init_addr & ~3u, b, 28)) {
            memory_error(s);
            return;
        }
        rlen = b[2] >> 4, tlen = b[3] >> 4;
        for (unsigned i = 0; i < 3; i++)
            s->csr[12 + i] = ld16_le(b + 4 + 2 * i);
        for (unsigned i = 0; i < 4; i++)
            s->csr[8 + i] = ld16_le(b + 12 + 2 * i);
        s->rx_ring = ld32_le(b + 20), s->tx_ring = ld32_le(b + 24);
    } else {
        if (!pci_dma_read(p, s->init_addr & 0xfffffe, b, 24)) {
            memory_error(s);
            return;
        }
        rlen = b[19] >> 5, tlen = b[23] >> 5;
        for (unsigned i = 0; i < 3; i++)
            s->csr[12 + i] = ld16_le(b + 2 + 2 * i);
        for (unsigned i = 0; i < 4; i++)
            s->csr[8 + i] = ld16_le(b + 8 + 2 * i);
        s->rx_ring = ld32_le(b + 16) & 0xfffff8, s->tx_ring = ld32_le(b + 20) & 0xfffff8;
    }
    s->csr[15] = ld16_le(b);
    s->rx_len = 1u << MIN(rlen, 9u), s->tx_len = 1u << MIN(tlen, 9u);
    s->csr[76] = (uint16_t)(0u - s->rx_len), s->csr[78] = (uint16_t)(0u - s->tx_len);
    set_csr32(s, 24, s->rx_ring);
    set_csr32(s, 30, s->tx_ring);
    s->tx_next = 0;
    s->csr[0] |= CSR0_IDON;
    s->csr[0] &= (uint16_t)~CSR0_STOP;
}

struct tx_desc {
    uint32_t addr;
    uint16_t status, count;
};

static bool read_tx(struct pcnet *s, uint32_t at, struct tx_desc *t)
{
    uint8_t d[16];
    if (!pci_dma_read(pci_device(&s->dev), at, d, wide(s) ? 16 : 8)) return false;
    if (!wide(s)) {
        t->addr = ld16_le(d) | (uint32_t)d[2] << 16;
        t->status = (uint16_t)(d[3] << 8);
        t->count = ld16_le(d + 4);
    } else {
        t->addr = ld32_le(d + (sw_style(s) == 3 ? 8 : 0));
        t->count = ld16_le(d + 4), t->status = ld16_le(d + 6);
    }
    return true;
}

static bool return_tx(struct pcnet *s, uint32_t at, uint16_t status)
{
    uint8_t high = (uint8_t)(status >> 8);
    return pci_dma_write(pci_device(&s->dev), at + (wide(s) ? 7 : 3), &high, 1);
}

static void transmit(struct pcnet *s)
{
    bool sent = false;
    if (!(s->csr[0] & CSR0_TXON) || (s->csr[5] & CSR5_SPND) || !s->tx_len) return;
    /* Each descriptor at most once: a ring that the guest keeps refilling must not keep us here. */
    for (uint32_t i = 0; i < s->tx_len; i++) {
        struct tx_desc t;
        uint32_t at = s->tx_ring + s->tx_next * (wide(s) ? 16u : 8u);
        if (!read_tx(s, at, &t)) {
            memory_error(s);
            return;
        }
        if (!(t.status & TMD_OWN)) break;
        if (!return_tx(s, at, t.status & (uint16_t) ~(TMD_OWN | 0x4000))) {
            memory_error(s);
            return;
        }
        /* LTINT asks for an interrupt when LTINTEN makes them exceptions. */
        if ((t.status & TMD_ENP) && (!(s->csr[5] & CSR5_LTINTEN) || (t.status & TMD_LTINT)))
            sent = true;
        s->tx_next = (s->tx_next + 1) % s->tx_len;
    }
    s->csr[74] = (uint16_t)(0u - (s->tx_len - s->tx_next));
    if (sent) s->csr[0] |= CSR0_TINT;
}

/* ---- control and status registers ---- */

static void write_csr0(struct pcnet *s, uint16_t v)
{
    s->csr[0] &= (uint16_t) ~(v & CSR0_EVENTS);
    s->csr[0] = (uint16_t)((s->csr[0] & ~CSR0_IENA) | (v & CSR0_IENA));
    if (v & CSR0_STOP) {
        chip_stop(s);
        return;
    }
    if ((v & CSR0_INIT) && !(s->csr[0] & CSR0_INIT)) {
        s->csr[0] |= CSR0_INIT;
        load_init_block(s);
    }
    if ((v & CSR0_STRT) && !(s->csr[0] & CSR0_STRT)) {
        s->csr[0] = (uint16_t)((s->csr[0] & ~CSR0_STOP) | CSR0_STRT);
        if (!(s->csr[15] & MODE_DTX)) s->csr[0] |= CSR0_TXON;
        if (!(s->csr[15] & MODE_DRX)) s->csr[0] |= CSR0_RXON;
        if (!s->tx_len) { /* started without an initialisation block: rings by registers */
            s->tx_ring = (uint32_t)s->csr[31] << 16 | s->csr[30];
            s->rx_ring = (uint32_t)s->csr[25] << 16 | s->csr[24];
            s->tx_len = MIN(0x10000u - s->csr[78], 512u),
            s->rx_len = MIN(0x10000u - s->csr[76], 512u);
        }
        transmit(s);
    }
    if (v & CSR0_TDMD) transmit(s);
    update_irq(s);
}

static uint16_t csr_read(struct pcnet *s, unsigned n)
{
    if (n >= N_CSR) return 0;
    if (n == 0) update_irq(s);
    return s->csr[n];
}

static void csr_write(struct pcnet *s, unsigned n, uint16_t v)
{
    if (n >= N_CSR) return;
    switch (n) {
    case 0: write_csr0(s, v); return;
    case 3: s->csr[3] = v & 0x5f7c; break;
    case 4:
        s->csr[4] &= (uint16_t) ~(v & CSR4_EVENTS);
        s->csr[4] = (uint16_t)((s->csr[4] & CSR4_EVENTS) | (v & ~(CSR4_EVENTS | CSR4_UINTCMD)));
        if (v & CSR4_UINTCMD) s->csr[4] |= CSR4_UINT;
        break;
    case 5:
        s->csr[5] &= (uint16_t) ~(v & CSR5_EVENTS);
        s->csr[5] = (uint16_t)((s->csr[5] & CSR5_EVENTS) | (v & ~CSR5_EVENTS));
        break;
    case 16:
    case 17:
        s->csr[n - 15] = v;
        s->csr[n] = v;
        break; /* aliases of the initialisation block's address */
    case 58:   /* software style, an alias of BCR20 */
        s->bcr[BCR_SWS] = (uint16_t)((v & 0xff) | ((v & 0xff) ? 0x0300 : 0x0200));
        s->csr[58] = s->bcr[BCR_SWS];
        return;
    case 88:
    case 89: return; /* chip identification */
    default:
        /* Most may be written only while stopped or suspended. */
        if (!(s->csr[0] & CSR0_STOP) && !(s->csr[5] & CSR5_SPND) && n != 7 && n != 47 && n != 82 &&
            n != 112 && n != 114) {
            LOG(GUEST_ERRORS, "pcnet: write to CSR%u while running\n", n);
            return;
        }
        s->csr[n] = v;
        break;
    }
    update_irq(s);
}

static uint16_t bcr_read(struct pcnet *s, unsigned n)
{
    if (n >= N_BCR) return 0;
    switch (n) {
    case 4:
        return (s->bcr[4] & 0x7fff) |
               (s->link_up && (s->bcr[4] & 0x40) ? 0x8000 : 0); /* LED 0: link */
    case BCR_MIIMDR: return phy_read(s, s->bcr[BCR_MIIADDR] >> 5 & 31, s->bcr[BCR_MIIADDR] & 31);
    default: return s->bcr[n];
    }
}

static void bcr_write(struct pcnet *s, unsigned n, uint16_t v)
{
    if (n >= N_BCR) return;
    switch (n) {
    case 0:
    case 1:
    case 22: break; /* reserved, or loaded from the EEPROM */
    case BCR_SWS: csr_write(s, 58, v); break;
    case BCR_MIIMDR:
        phy_write(s, s->bcr[BCR_MIIADDR] >> 5 & 31, s->bcr[BCR_MIIADDR] & 31, v);
        break;
    case BCR_BSBC:
        s->bcr[n] = (uint16_t)((v & ~0x80) | (s->bcr[n] & 0x80));
        break;                              /* DWIO is read only */
    case 19: s->bcr[n] = v & 0x000f; break; /* EEPROM: not there (PVALID stays 0) */
    default: s->bcr[n] = v; break;
    }
}

/* ---- I/O and memory resources ---- */

static bool dwio(const struct pcnet *s)
{
    return s->bcr[BCR_BSBC] & 0x80;
}

enum { RES_RDP, RES_RAP, RES_RESET, RES_BDP };

static uint64_t res_read(void *opaque, uint64_t addr, unsigned size)
{
    struct pcnet *s = opaque;
    if (addr < 16) {
        uint64_t v = 0;
        for (unsigned i = 0; i < size && addr + i < 16; i++)
            v |= (uint64_t)s->prom[addr + i] << (8 * i);
        return v;
    }
    unsigned step = dwio(s) ? 4 : 2;
    if (size < 2 || (addr & (step - 1)) || addr >= 16 + 4 * step)
        return size == 4 ? 0xffffffff : 0xffff;
    switch ((addr - 16) / step) {
    case RES_RDP: return csr_read(s, s->rap);
    case RES_RAP: return s->rap;
    case RES_RESET: {
        bool wide_io = dwio(s);
        chip_reset(s);
        if (wide_io) s->bcr[BCR_BSBC] |= 0x80; /* a software reset leaves the width alone */
        return 0;
    }
    default: return bcr_read(s, s->rap);
    }
}

static void res_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pcnet *s = opaque;
    if (addr < 16) { /* address PROM: writable when APROMWE (BCR2 bit 8) says so */
        for (unsigned i = 0; i < size && addr + i < 16; i++) {
            if (s->bcr[2] & 0x100) s->prom[addr + i] = (uint8_t)(value >> (8 * i));
        }
        return;
    }
    if (size == 4 && addr == 16 && !dwio(s))
        s->bcr[BCR_BSBC] |= 0x80; /* the first 32-bit write selects the width */
    unsigned step = dwio(s) ? 4 : 2;
    if (size < 2 || (addr & (step - 1)) || addr >= 16 + 4 * step) return;
    switch ((addr - 16) / step) {
    case RES_RDP: csr_write(s, s->rap, (uint16_t)value); break;
    case RES_RAP: s->rap = value & 0x7f; break;
    case RES_BDP: bcr_write(s, s->rap, (uint16_t)value); break;
    default: break;
    }
}

static const struct mmio_ops res_ops = {
    .read = res_read, .write = res_write, .min_size = 1, .max_size = 4};

/* ---- life ---- */

static int pcnet_realize(struct device *d, struct error *e)
{
    static const uint8_t default_mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56}, none[6];
    struct pcnet *s = pcnet(d);
    struct pci_device *p = pci_device(d);
    if (pci_realize(p, e)) return -1;
    if (!memcmp(s->mac, none, 6)) memcpy(s->mac, default_mac, 6);
    memset(p->pci.wmask + 0x40, 0, 0xc0);
    pci_set_bar(p, 0, PCI_BAR_IO, region_new_mmio("pcnet-io", 32, &res_ops, s));
    pci_set_bar(p, 1, PCI_BAR_MEM, region_new_mmio("pcnet-mmio", 32, &res_ops, s));
    s->link_up = s->link;
    return 0;
}

static void pcnet_unrealize(struct device *d)
{
    pci_unrealize(pci_device(d));
}

static void pcnet_reset(struct device *d)
{
    struct pcnet *s = pcnet(d);
    unsigned sum = 0;
    pci_reset(pci_device(d));
    memset(s->prom, 0, sizeof s->prom);
    memcpy(s->prom, s->mac, 6);
    s->prom[9] = 0x11;
    s->prom[14] = s->prom[15] = 'W';
    for (unsigned i = 0; i < 16; i++)
        sum += i == 12 || i == 13 ? 0 : s->prom[i];
    st16_le(s->prom + 12, (uint16_t)sum);
    phy_reset(s);
    chip_reset(s);
}

static int pcnet_post_load(struct device *d, struct error *e)
{
    struct pcnet *s = pcnet(d);
    if (s->tx_len > 512 || s->rx_len > 512 || (s->tx_len && s->tx_next >= s->tx_len)) {
        return error_set(e, "pcnet: ring position outside of the ring");
    }
    pci_post_load(pci_device(d));
    return 0;
}

static const struct prop_desc pcnet_props[] = {
    PCI_PROPS(struct pcnet),
    PROP(struct pcnet, PROP_MAC, "mac", mac, 0, "Ethernet address"),
    PROP(struct pcnet, PROP_BOOL, "link", link, false, "the cable is plugged in"),
    PROP_END,
};

static const struct state_field pcnet_state[] = {
    PCI_STATE(struct pcnet),
    STATE_PROP(struct pcnet, mac),
    STATE_PROP(struct pcnet, link),
    STATE_ARR(struct pcnet, prom),
    STATE_INT(struct pcnet, rap),
    STATE_ARR(struct pcnet, csr),
    STATE_ARR(struct pcnet, bcr),
    STATE_ARR(struct pcnet, phy),
    STATE_INT(struct pcnet, init_addr),
    STATE_INT(struct pcnet, rx_ring),
    STATE_INT(struct pcnet, tx_ring),
    STATE_INT(struct pcnet, rx_len),
    STATE_INT(struct pcnet, tx_len),
    STATE_INT(struct pcnet, tx_next),
    STATE_INT(struct pcnet, link_up),
    STATE_END,
};

static const struct reg_desc pcnet_regs[] = {{0x00, "APROM", 4}, {0x10, "RDP", 4}, {0x14, "RAP", 4},
                                             {0x18, "RESET", 4}, {0x1c, "BDP", 4}, REG_END};
static const struct pci_dev_desc pcnet_pci = {.vendor = 0x1022,
                                              .device = 0x2000,
                                              .class_code = 0x020000,
                                              .revision = 0x40,
                                              .status = 0x0280,
                                              .int_pin = 1,
                                              .min_gnt = 6,
                                              .max_lat = 0xff};

const struct dev_desc pcnet_desc = {
    .name = "pcnet",
    .help = "Am79C973 (PCnet-FAST III) Ethernet controller",
    .bus = BUS_PCI,
    .category = DEV_NETWORK,
    .user_creatable = true,
    .size = sizeof(struct pcnet),
    .props = pcnet_props,
    .state = pcnet_state,
    .regs = pcnet_regs,
    .realize = pcnet_realize,
    .unrealize = pcnet_unrealize,
    .reset = pcnet_reset,
    .post_load = pcnet_post_load,
    .bus_desc = &pcnet_pci,
};
