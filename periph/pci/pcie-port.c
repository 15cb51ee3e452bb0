/*
 * pcie-port.c - "pcie-root-port": a PCI Express root port, a bridge to a link with one device. Models bus numbers, the
 * windows for I/O and memory, the PCI Express capability and MSI.
 *
 * Follows the PCI Express Base Specification 2.0, chapter 7, and the PCI-to-PCI Bridge Architecture Specification 1.1,
 * chapter 3. There is no hot plugging, no error reporting, no power management event; VGA addresses are not forwarded.
 */
#include "periph/pci/msi.h"

enum { IO_BASE = 0x1c, IO_LIMIT = 0x1d, SEC_STATUS = 0x1e, MEM_BASE = 0x20, MEM_LIMIT = 0x22, PREF_BASE = 0x24, PREF_LIMIT = 0x26 };
enum { PREF_BASE_HIGH = 0x28, PREF_LIMIT_HIGH = 0x2c, IO_BASE_HIGH = 0x30, BRIDGE_CONTROL = 0x3e };
enum { TYPE_ROOT_PORT = 4, CONTROL_BUS_RESET = 0x40 };
enum { WIN_IO, WIN_MEM, WIN_PREF, WINDOWS };

struct pcie_port {
    struct device dev;
    struct pci_func pci;
    uint8_t port, chassis, msi;
    uint16_t slot;
    struct irq_line irq[4]; /* of the bus behind */
    struct region *mem, *io; /* what is on it */
    struct region *window[WINDOWS];
    struct region *behind; /* shows nothing: by it as_ram_next finds memory that no window shows */
};

static struct pcie_port *port_of(struct device *d)
{
    return (struct pcie_port *)d;
}

static void drop_windows(struct pcie_port *s)
{
    for (unsigned i = 0; i < WINDOWS; i++) {
        if (!s->window[i]) continue;
        region_remove(s->window[i]);
        region_delete(s->window[i]);
        s->window[i] = NULL;
    }
}

static void add_window(struct pcie_port *s, unsigned n, uint64_t base, uint64_t limit)
{
    struct region *space = n == WIN_IO ? s->io : s->mem;
    struct region *up = n == WIN_IO ? s->dev.mb->io_root : s->dev.mb->mem_root;
    if (base > limit || limit >= region_size(space)) return; /* closed */
    s->window[n] = region_new_alias("pci-bridge-window", space, base, limit - base + 1);
    region_add(up, s->window[n], base, 1);
}

static void map_windows(struct pcie_port *s)
{
    const uint8_t *c = s->pci.config;
    uint16_t cmd = pci_command(pci_device(&s->dev));
    bus_transaction_begin();
    drop_windows(s);
    if (cmd & PCI_CMD_IO)
        add_window(s, WIN_IO, (c[IO_BASE] & 0xf0u) << 8, (c[IO_LIMIT] & 0xf0u) << 8 | 0xfff);
    if (cmd & PCI_CMD_MEM) {
        add_window(s, WIN_MEM, (uint64_t)(ld16_le(c + MEM_BASE) & 0xfff0u) << 16,
                   (uint64_t)(ld16_le(c + MEM_LIMIT) & 0xfff0u) << 16 | 0xfffff);
        add_window(s, WIN_PREF, (uint64_t)ld32_le(c + PREF_BASE_HIGH) << 32 | (uint64_t)(ld16_le(c + PREF_BASE) & 0xfff0u) << 16,
                   (uint64_t)ld32_le(c + PREF_LIMIT_HIGH) << 32 | (uint64_t)(ld16_le(c + PREF_LIMIT) & 0xfff0u) << 16 | 0xfffff);
    }
    bus_transaction_commit();
}

/* The functions behind are reset by their bus's line. */
static void reset_behind(struct pcie_port *s)
{
    for (unsigned i = 0; i < 256; i++) {
        struct pci_device *d = pci_bus_device(s->pci.secondary, i);
        if (d) dev_reset(&d->dev);
    }
}

static void config_written(struct pci_device *p, unsigned reg, unsigned size)
{
    struct pcie_port *s = port_of(&p->dev);
    if (reg < IO_BASE_HIGH + 4) map_windows(s);
    if (reg <= BRIDGE_CONTROL && reg + size > BRIDGE_CONTROL && (p->pci.config[BRIDGE_CONTROL] & CONTROL_BUS_RESET)) reset_behind(s);
}

static int port_realize(struct device *d, struct error *e)
{
    struct pcie_port *s = port_of(d);
    struct pci_device *p = pci_device(d);
    uint8_t *w = p->pci.wmask;
    if (pci_realize(p, e)) return -1;
    if (pci_bus_bridge(p->pci.bus)) return error_set(e, "%s: goes to the root bus only", d->desc->name);
    w[PCI_PRIMARY] = w[PCI_SECONDARY] = w[PCI_SUBORDINATE] = 0xff;
    w[IO_BASE] = w[IO_LIMIT] = 0xf0;
    st16_le(p->pci.w1c + SEC_STATUS, 0xf900);
    pci_set_wmask32(p, MEM_BASE, 0xfff0fff0u);
    pci_set_wmask32(p, PREF_BASE, 0xfff0fff0u);
    pci_set_wmask32(p, PREF_BASE_HIGH, ~0u);
    pci_set_wmask32(p, PREF_LIMIT_HIGH, ~0u);
    w[BRIDGE_CONTROL] = 0x43; /* parity, SERR#, bus reset */
    if (pci_add_express(p, TYPE_ROOT_PORT, s->port, e)) return -1;
    p->pci.config[p->pci.express + 3] |= 1; /* it has a slot, */
    st32_le(p->pci.config + p->pci.express + 20, (uint32_t)s->slot << 19);
    p->pci.config[p->pci.express + 26] = 0x40; /* which is not empty */
    s->msi = (uint8_t)msi_init(p);
    s->mem = region_new_container("pci-bridge-mem", region_size(d->mb->mem_root));
    s->io = region_new_container("pci-bridge-io", region_size(d->mb->io_root));
    s->behind = region_new_alias("pci-bridge-closed", s->mem, 0, region_size(s->mem));
    region_set_enabled(s->behind, false);
    region_add(d->mb->mem_root, s->behind, 0, 0);
    pci_bus_new_secondary(p, s->mem, s->io, s->irq, 1);
    return 0;
}

static void port_unrealize(struct device *d)
{
    struct pcie_port *s = port_of(d);
    drop_windows(s);
    if (s->behind) region_remove(s->behind);
    region_delete(s->behind);
    s->behind = NULL;
    pci_bus_delete(s->pci.secondary);
    region_delete(s->mem);
    region_delete(s->io);
    s->mem = s->io = NULL;
    pci_unrealize(pci_device(d));
}

static void port_reset(struct device *d)
{
    struct pcie_port *s = port_of(d);
    uint8_t *c = s->pci.config, *x = c + s->pci.express;
    pci_reset(pci_device(d));
    msi_reset(pci_device(d), s->msi);
    memset(c + PCI_PRIMARY, 0, PCI_CAP_LIST - PCI_PRIMARY);
    c[IO_BASE] = c[IO_LIMIT] = 0;
    c[PREF_BASE] = c[PREF_LIMIT] = 1; /* 64 bits */
    st16_le(c + BRIDGE_CONTROL, 0);
    st16_le(x + 8, 0);
    st16_le(x + 16, 0);
    st16_le(x + 28, 0);
    map_windows(s);
}

static int port_post_load(struct device *d, struct error *e)
{
    pci_post_load(pci_device(d));
    map_windows(port_of(d));
    return 0;
}

static const struct prop_desc port_props[] = {
    PCI_PROPS(struct pcie_port),
    PROP(struct pcie_port, PROP_U8, "port", port, 0, "port number in the link's capabilities"),
    PROP(struct pcie_port, PROP_U8, "chassis", chassis, 0, "no effect: there is no register for it"),
    PROP(struct pcie_port, PROP_U16, "slot", slot, 0, "physical slot number"),
    PROP_END,
};
static const struct state_field port_state[] = {
    PCI_STATE(struct pcie_port),
    STATE_PROP(struct pcie_port, port),
    STATE_PROP(struct pcie_port, chassis),
    STATE_RUNTIME(struct pcie_port, msi),
    STATE_PROP(struct pcie_port, slot),
    STATE_IRQ(struct pcie_port, irq, 4),
    STATE_RUNTIME(struct pcie_port, mem),
    STATE_RUNTIME(struct pcie_port, io),
    STATE_RUNTIME(struct pcie_port, window),
    STATE_RUNTIME(struct pcie_port, behind),
    STATE_END,
};
static const struct pci_dev_desc port_pci = {.vendor = 0x1b36,
                                             .device = 0x000c,
                                             .class_code = 0x060400,
                                             .int_pin = 1,
                                             .bridge = true,
                                             .config_written = config_written};

const struct dev_desc pcie_port_desc = {
    .name = "pcie-root-port",
    .help = "PCI Express root port",
    .bus = BUS_PCI,
    .category = DEV_BRIDGE,
    .child_bus = BUS_PCI,
    .user_creatable = true,
    .size = sizeof(struct pcie_port),
    .props = port_props,
    .state = port_state,
    .realize = port_realize,
    .unrealize = port_unrealize,
    .reset = port_reset,
    .post_load = port_post_load,
    .bus_desc = &port_pci,
};
