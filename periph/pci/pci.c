/*
 * pci.c - PCI configuration space, base address registers, interrupt pins and bus mastering (PCI
 * Local Bus Specification 2.1, chapter 6). No device is modelled here; see pci.h.
 */
#include "periph/pci/pci.h"

#include "util/log.h"

#include <stdio.h>

struct pci_bus {
    struct device *host;
    struct region *mem, *io;
    struct address_space *dma;
    struct irq_line *lines;
    unsigned (*pin_map)(unsigned devfn, unsigned pin);
    void (*msi)(void *opaque, uint64_t addr, uint32_t data);
    void *msi_opaque;
    uint8_t first_slot, slots;
    struct pci_bus *root;
    struct pci_device *bridge; /* NULL: this is the root */
    struct pci_device *fn[256];
};

static const struct state_field bar_state[] = {
    STATE_RUNTIME(struct pci_bar, region),
    STATE_RUNTIME(struct pci_bar, kind),
    STATE_RUNTIME(struct pci_bar, mapped),
    STATE_RUNTIME(struct pci_bar, placed),
    STATE_END,
};

const struct state_field pci_func_state[] = {
    STATE_PROP(struct pci_func, addr),
    STATE_RUNTIME(struct pci_func, bus),
    STATE_RUNTIME(struct pci_func, devfn),
    STATE_RUNTIME(struct pci_func, cap_end),
    STATE_INT(struct pci_func, intx),
    STATE_INT(struct pci_func, below),
    STATE_RUNTIME(struct pci_func, express),
    STATE_RUNTIME(struct pci_func, secondary),
    STATE_ARR(struct pci_func, config),
    STATE_RUNTIME(struct pci_func, wmask),
    STATE_RUNTIME(struct pci_func, w1c),
    STATE_STRUCT(struct pci_func, bar, PCI_BARS, bar_state),
    STATE_STRUCT(struct pci_func, rom, 1, bar_state),
    STATE_END,
};

static unsigned default_map(unsigned devfn, unsigned pin)
{
    return ((devfn >> 3) + pin) & 3;
}

struct pci_bus *pci_bus_new(struct device *host, struct region *mem, struct region *io,
                            struct address_space *dma, struct irq_line *lines)
{
    struct pci_bus *b = NEW(struct pci_bus);
    b->host = host, b->mem = mem, b->io = io, b->dma = dma, b->lines = lines;
    b->pin_map = default_map;
    b->root = b;
    b->slots = 32;
    return b;
}

static void bridge_line(void *opaque, unsigned pin, bool level);

struct pci_bus *pci_bus_new_secondary(struct pci_device *bridge, struct region *mem, struct region *io, struct irq_line lines[4],
                                      unsigned slots)
{
    struct pci_bus *up = bridge->pci.bus, *b = pci_bus_new(&bridge->dev, mem, io, up->dma, lines);
    b->bridge = bridge;
    b->root = up->root;
    b->slots = (uint8_t)slots;
    for (unsigned i = 0; i < 4; i++)
        irq_connect(&lines[i], bridge_line, bridge, i);
    bridge->pci.secondary = b;
    return b;
}

struct pci_device *pci_bus_bridge(const struct pci_bus *b)
{
    return b->bridge;
}

void pci_bus_delete(struct pci_bus *b)
{
    if (!b) return;
    for (unsigned i = 0; i < 256; i++) {
        if (b->fn[i]) b->fn[i]->pci.bus = NULL;
    }
    if (b->bridge) b->bridge->pci.secondary = NULL;
    mem_free(b);
}

void pci_bus_set_map(struct pci_bus *b, unsigned (*pin_map)(unsigned devfn, unsigned pin))
{
    b->pin_map = pin_map ? pin_map : default_map;
}

void pci_bus_set_first_slot(struct pci_bus *b, unsigned slot)
{
    b->first_slot = slot & 31;
}

void pci_bus_set_msi(struct pci_bus *b, void (*fn)(void *, uint64_t, uint32_t), void *opaque)
{
    b->msi = fn, b->msi_opaque = opaque;
}

bool pci_bus_has_msi(const struct pci_bus *b)
{
    return b && b->root->msi;
}

struct pci_device *pci_bus_device(struct pci_bus *b, unsigned devfn)
{
    return b && devfn < 256 ? b->fn[devfn] : NULL;
}

static const struct pci_dev_desc *pci_desc(const struct pci_device *d)
{
    return d->dev.desc->bus_desc;
}

/* ---- interrupt pins ---- */

/* Does the function drive a pin that is this line? */
static bool drives(const struct pci_bus *b, const struct pci_device *d, unsigned line)
{
    if (d->pci.intx && !(pci_command(d) & PCI_CMD_INTX_OFF) && b->pin_map(d->pci.devfn, pci_desc(d)->int_pin - 1u) == line) return true;
    for (unsigned pin = 0; pin < 4 && d->pci.below; pin++) {
        if ((d->pci.below >> pin & 1) && b->pin_map(d->pci.devfn, pin) == line) return true;
    }
    return false;
}

static void update_line(struct pci_bus *b, unsigned line)
{
    bool level = false;
    for (unsigned i = 0; i < 256 && !level; i++)
        level = b->fn[i] && drives(b, b->fn[i], line);
    irq_set(&b->lines[line], level);
}

/* A line of the bus behind a bridge is the bridge's pin of that number. */
static void bridge_line(void *opaque, unsigned pin, bool level)
{
    struct pci_device *d = opaque;
    d->pci.below = (uint8_t)(level ? d->pci.below | 1u << pin : d->pci.below & ~(1u << pin));
    if (d->pci.bus) update_line(d->pci.bus, d->pci.bus->pin_map(d->pci.devfn, pin));
}

static void update_pin(struct pci_device *d)
{
    struct pci_bus *b = d->pci.bus;
    uint8_t pin = pci_desc(d)->int_pin;
    if (!b || !pin) return;
    if (d->pci.intx)
        d->pci.config[PCI_STATUS] |= PCI_STATUS_INTX;
    else
        d->pci.config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
    update_line(b, b->pin_map(d->pci.devfn, pin - 1u));
}

void pci_set_irq(struct pci_device *d, bool level)
{
    if (d->pci.intx == level) return;
    d->pci.intx = level;
    update_pin(d);
}

/* ---- base address registers ---- */

void pci_set_bar(struct pci_device *d, unsigned n, enum pci_bar_kind kind, struct region *r)
{
    unsigned reg = PCI_BAR0 + 4 * n;
    d->pci.bar[n].region = r;
    d->pci.bar[n].kind = kind;
    st32_le(d->pci.config + reg, kind);
    st32_le(d->pci.wmask + reg,
            (uint32_t)(0u - region_size(r)) & (kind == PCI_BAR_IO ? ~3u : ~15u));
    if (kind == PCI_BAR_MEM64_PREFETCH && n + 1 < PCI_BARS) st32_le(d->pci.wmask + reg + 4, ~0u);
}

void pci_set_rom(struct pci_device *d, struct region *r)
{
    d->pci.rom.region = r;
    st32_le(d->pci.wmask + PCI_ROM, ((uint32_t)(0u - region_size(r)) & 0xfffff800u) | 1);
}

int pci_load_rom(struct pci_device *d, const void *data, uint64_t size, struct error *e)
{
    uint64_t room = 2048;
    while (room < size)
        room *= 2;
    if (room > 16 << 20) return error_set(e, "%s: a ROM of more than 16 MiB", d->dev.desc->name);
    struct region *r = region_new_rom("pci.rom", room, e);
    if (!r) return -1;
    memset(region_ram(r), 0xff, (size_t)room);
    memcpy(region_ram(r), data, (size_t)size);
    pci_set_rom(d, r);
    return 0;
}

static void unplace(struct pci_bar *bar)
{
    if (bar->placed) region_remove(bar->region);
    bar->placed = bar->mapped = false;
}

static void map_bar(struct pci_bar *bar, struct region *space, bool on, uint64_t addr)
{
    unplace(bar);
    if (!on && !region_ram(bar->region)) return;
    region_set_enabled(bar->region, on);
    region_add(space, bar->region, on ? addr : 0, 1);
    bar->placed = true, bar->mapped = on;
}

static void map_rom(struct pci_device *d)
{
    struct pci_bar *rom = &d->pci.rom;
    uint32_t v = ld32_le(d->pci.config + PCI_ROM), addr = v & ~0x7ffu;
    if (!rom->region) return;
    bool on = (v & 1) && addr && (pci_command(d) & PCI_CMD_MEM) &&
              addr + region_size(rom->region) < UINT64_C(0x100000000);
    map_bar(rom, d->pci.bus->mem, on, addr);
}

static void map_bars(struct pci_device *d)
{
    struct pci_bus *b = d->pci.bus;
    uint16_t cmd = pci_command(d);
    if (!b) return;
    for (unsigned n = 0; n < PCI_BARS; n++) {
        struct pci_bar *bar = &d->pci.bar[n];
        if (!bar->region) continue;
        bool io = bar->kind == PCI_BAR_IO;
        bool wide = bar->kind == PCI_BAR_MEM64_PREFETCH;
        uint64_t addr = ld32_le(d->pci.config + PCI_BAR0 + 4 * n) & (io ? ~3u : ~15u);
        uint64_t size = region_size(bar->region), space = io ? 0x10000 : UINT64_C(0x100000000);
        if (wide) {
            uint64_t high = ld32_le(d->pci.config + PCI_BAR0 + 4 * n + 4);
            if (high) space = region_size(b->mem);
            addr |= high << 32;
        }
        /* Address 0 is what a register holds that nobody set; the topmost ones are there while
         * software sizes it. */
        bool on = (cmd & (io ? PCI_CMD_IO : PCI_CMD_MEM)) && addr && addr < space && size < space - addr;
        map_bar(bar, io ? b->io : b->mem, on, addr);
    }
    map_rom(d);
}

/* ---- configuration cycles ---- */

uint32_t pci_config_read(struct pci_bus *b, unsigned devfn, unsigned reg, unsigned size)
{
    struct pci_device *d = pci_bus_device(b, devfn);
    uint32_t v = 0;
    if (d && reg < 256 && pci_desc(d)->config_reading) pci_desc(d)->config_reading(d, reg, size);
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = d && reg + i < 256 ? d->pci.config[reg + i] : 0xff;
        v |= (uint32_t)byte << (8 * i);
    }
    return v;
}

static bool touches(unsigned reg, unsigned size, unsigned first, unsigned n)
{
    return reg < first + n && first < reg + size;
}

void pci_config_write(struct pci_bus *b, unsigned devfn, unsigned reg, uint32_t value,
                      unsigned size)
{
    struct pci_device *d = pci_bus_device(b, devfn);
    if (!d || reg >= 256) return;
    for (unsigned i = 0; i < size && reg + i < 256; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i)), *c = &d->pci.config[reg + i];
        uint8_t mask = d->pci.wmask[reg + i];
        *c = (uint8_t)((*c & ~mask) | (byte & mask));
        *c &= (uint8_t) ~(byte & d->pci.w1c[reg + i]);
    }
    if (touches(reg, size, PCI_COMMAND, 2) || touches(reg, size, PCI_BAR0, 4 * PCI_BARS) ||
        touches(reg, size, PCI_ROM, 4)) {
        bus_transaction_begin();
        map_bars(d);
        bus_transaction_commit();
        update_pin(d);
    }
    if (pci_desc(d)->config_written) pci_desc(d)->config_written(d, reg, size);
}

/* The bus of a number, below or at b, which is the root or has been found by its own; NULL: none. */
static struct pci_bus *find_bus(struct pci_bus *b, unsigned number)
{
    if (!number) return b;
    for (unsigned i = 0; i < 256; i++) {
        struct pci_device *d = b->fn[i];
        if (!d || !d->pci.secondary) continue;
        unsigned first = d->pci.config[PCI_SECONDARY], last = d->pci.config[PCI_SUBORDINATE];
        if (number == first) return d->pci.secondary;
        if (number > first && number <= last) return find_bus(d->pci.secondary, number);
    }
    return NULL;
}

uint32_t pci_bus_read(struct pci_bus *root, unsigned bdf, unsigned reg, unsigned size)
{
    struct pci_bus *b = find_bus(root, bdf >> 8);
    struct pci_device *d = pci_bus_device(b, bdf & 0xff);
    if (d && d->pci.express && reg >= sizeof d->pci.config) return 0; /* no extended capability */
    return b ? pci_config_read(b, bdf & 0xff, reg, size) : UINT32_MAX;
}

void pci_bus_write(struct pci_bus *root, unsigned bdf, unsigned reg, uint32_t value, unsigned size)
{
    struct pci_bus *b = find_bus(root, bdf >> 8);
    if (b) pci_config_write(b, bdf & 0xff, reg, value, size);
}

/* ---- life of a function ---- */

/* "SLOT[.FUNCTION]"; 0 or -1. */
static int parse_addr(const char *s, unsigned *devfn)
{
    char *end;
    unsigned long slot = strtoul(s, &end, 16), fn = 0;
    if (end == s || slot > 31) return -1;
    if (*end == '.') {
        const char *f = end + 1;
        fn = strtoul(f, &end, 16);
        if (end == f || fn > 7) return -1;
    }
    if (*end) return -1;
    *devfn = (unsigned)(slot << 3 | fn);
    return 0;
}

static void fill_header(struct pci_device *d)
{
    const struct pci_dev_desc *p = pci_desc(d);
    uint8_t *c = d->pci.config;
    st16_le(c + PCI_VENDOR, p->vendor);
    st16_le(c + PCI_DEVICE, p->device);
    st16_le(c + PCI_STATUS, p->status);
    c[PCI_REVISION] = p->revision;
    c[PCI_CLASS] = (uint8_t)p->class_code;
    st16_le(c + PCI_CLASS + 1, (uint16_t)(p->class_code >> 8));
    c[PCI_HEADER] = (uint8_t)((p->multifunction ? 0x80 : 0) | p->bridge);
    if (!p->bridge) { /* which has windows there */
        st16_le(c + PCI_SUBVENDOR, p->subvendor);
        st16_le(c + PCI_SUBDEVICE, p->subdevice);
    }
    c[PCI_INT_PIN] = p->int_pin;
    c[PCI_MIN_GNT] = p->min_gnt;
    c[PCI_MAX_LAT] = p->max_lat;
}

int pci_realize(struct pci_device *d, struct error *e)
{
    struct device *parent = d->dev.parent;
    bool behind = parent && parent->desc->bus == BUS_PCI && parent->desc->child_bus == BUS_PCI;
    struct pci_bus *b = behind ? pci_device(parent)->pci.secondary : d->dev.mb->pci;
    unsigned devfn = 0;
    const char *name = d->dev.desc->name;
    if (!b) return error_set(e, "No 'PCI' bus found for device '%s'", name);
    if (d->pci.addr) {
        if (parse_addr(d->pci.addr, &devfn)) {
            return error_set(e, "Property '%s.addr' doesn't take value '%s'", name, d->pci.addr);
        }
        if (devfn >> 3 >= b->slots) return error_set(e, "PCI: there is no slot %u for %s behind %s", devfn >> 3, name, parent->desc->name);
        if (b->fn[devfn]) {
            return error_set(e, "PCI: slot %u function %u not available for %s, in use by %s",
                             devfn >> 3, devfn & 7, name, b->fn[devfn]->dev.desc->name);
        }
    } else {
        devfn = b->first_slot * 8u;
        while (devfn < b->slots * 8u && b->fn[devfn])
            devfn += 8;
        if (devfn >= b->slots * 8u)
            return error_set(e, "PCI: no slot/function available for %s, all in use", name);
    }
    d->pci.bus = b;
    d->pci.devfn = (uint8_t)devfn;
    d->pci.cap_end = 0x40;
    b->fn[devfn] = d;
    d->dev.bus_data = b;
    fill_header(d);
    st16_le(d->pci.wmask + PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MEM | PCI_CMD_MASTER | PCI_CMD_PARITY |
                                            PCI_CMD_SERR | PCI_CMD_INTX_OFF);
    st16_le(d->pci.w1c + PCI_STATUS, 0xf900);
    d->pci.wmask[PCI_CACHE_LINE] = d->pci.wmask[PCI_LATENCY] = 0xff;
    d->pci.wmask[PCI_INT_LINE] = 0xff;
    return 0;
}

void pci_unrealize(struct pci_device *d)
{
    pci_set_irq(d, false);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        struct pci_bar *bar = &d->pci.bar[n];
        if (!bar->region) continue;
        unplace(bar);
        region_delete(bar->region);
        bar->region = NULL;
    }
    if (d->pci.rom.region) {
        unplace(&d->pci.rom);
        region_delete(d->pci.rom.region);
    }
    d->pci.rom.region = NULL;
    if (d->pci.bus && d->pci.bus->fn[d->pci.devfn] == d) d->pci.bus->fn[d->pci.devfn] = NULL;
    d->pci.bus = NULL;
}

void pci_reset(struct pci_device *d)
{
    uint8_t *c = d->pci.config;
    uint8_t caps = c[PCI_STATUS] & PCI_STATUS_CAPS;
    st16_le(c + PCI_COMMAND, 0);
    c[PCI_CACHE_LINE] = c[PCI_LATENCY] = c[PCI_INT_LINE] = 0;
    fill_header(d);
    c[PCI_STATUS] |= caps;
    for (unsigned n = 0; n < PCI_BARS; n++) {
        const struct pci_bar *bar = &d->pci.bar[n];
        if (bar->region) st32_le(c + PCI_BAR0 + 4 * n, bar->kind);
        if (bar->region && bar->kind == PCI_BAR_MEM64_PREFETCH) st32_le(c + PCI_BAR0 + 4 * n + 4, 0);
    }
    if (!pci_desc(d)->bridge) st32_le(c + PCI_ROM, 0);
    d->pci.intx = false;
    bus_transaction_begin();
    map_bars(d);
    bus_transaction_commit();
    update_pin(d);
}

void pci_post_load(struct pci_device *d)
{
    bus_transaction_begin();
    map_bars(d);
    bus_transaction_commit();
    update_pin(d);
}

unsigned pci_add_capability(struct pci_device *d, uint8_t id, unsigned size)
{
    unsigned at = d->pci.cap_end;
    if (size < 2 || at + size > 256) return 0;
    uint8_t *c = d->pci.config;
    c[at] = id;
    c[at + 1] = c[PCI_CAP_LIST];
    c[PCI_CAP_LIST] = (uint8_t)at;
    c[PCI_STATUS] |= PCI_STATUS_CAPS;
    d->pci.cap_end = (uint8_t)MIN(ALIGN_UP(at + size, 4u), 0xffu);
    return at;
}

int pci_add_express(struct pci_device *d, unsigned type, unsigned port, struct error *e)
{
    unsigned at = pci_add_capability(d, 0x10, 0x3c);
    if (!at) return error_set(e, "%s: no room for the PCI Express capability", d->dev.desc->name);
    uint8_t *c = d->pci.config + at;
    st16_le(c + 2, (uint16_t)(2 | type << 4));
    st32_le(c + 4, 0x8000);                                /* role-based error reporting; 128 bytes */
    pci_set_wmask32(d, at + 8, 0xffff & ~0x8000u);         /* device control */
    st32_le(c + 12, 0x11 | 3 << 10 | (uint32_t)port << 24); /* link: 2.5 GT/s, one lane, L0s and L1 */
    st16_le(d->pci.wmask + at + 16, 0x0fdf & ~0x20);
    st16_le(c + 18, 0x11);
    if (type == 4) pci_set_wmask32(d, at + 28, 0x1f); /* root control */
    d->pci.express = (uint8_t)at;
    return 0;
}

/* Do all bridges on the way up let the function's accesses through, and does it make any? */
static bool may_master(const struct pci_device *d)
{
    for (; d; d = d->pci.bus->bridge) {
        if (!d->pci.bus || !(pci_command(d) & PCI_CMD_MASTER)) return false;
    }
    return true;
}

bool pci_dma_read(struct pci_device *d, uint64_t addr, void *buf, size_t n)
{
    if (may_master(d))
        return as_read_buf(d->pci.bus->dma, addr, buf, n);
    LOG(GUEST_ERRORS, "%s: DMA read while bus mastering is off\n", d->dev.desc->name);
    memset(buf, 0xff, n);
    return false;
}

bool pci_dma_write(struct pci_device *d, uint64_t addr, const void *buf, size_t n)
{
    if (may_master(d))
        return as_write_buf(d->pci.bus->dma, addr, buf, n);
    LOG(GUEST_ERRORS, "%s: DMA write while bus mastering is off\n", d->dev.desc->name);
    return false;
}

void pci_send_msi(struct pci_device *d, uint64_t addr, uint32_t data)
{
    struct pci_bus *root = d->pci.bus ? d->pci.bus->root : NULL;
    if (!root || !root->msi) return;
    if (may_master(d))
        root->msi(root->msi_opaque, addr, data);
    else
        LOG(GUEST_ERRORS, "%s: interrupt message while bus mastering is off\n", d->dev.desc->name);
}

struct device *pci_make(struct machine_bus *mb, const char *name, unsigned devfn, struct error *e)
{
    const struct dev_desc *desc = dev_find(name);
    if (!desc || desc->bus != BUS_PCI) {
        error_set(e, "no PCI device model '%s'", name);
        return NULL;
    }
    struct device *d = dev_create(mb, desc, mb->pci ? mb->pci->host : NULL, NULL);
    char addr[16];
    snprintf(addr, sizeof addr, "%02x.%x", devfn >> 3 & 31, devfn & 7);
    if (dev_set_prop(d, "addr", addr, e) || dev_realize(d, e)) {
        dev_destroy(d);
        return NULL;
    }
    return d;
}
