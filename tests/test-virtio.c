/*
 * test-virtio.c - virtio over PCI: what drivers identify it by, both register sets, MSI-X, split rings in both byte orders,
 * requests to disks and logical units, saving with requests in flight; and drivers that lie.
 *
 * Prints the failures and `N passed, N failed`.
 */
#include "tests/devices.h"

#include "bus/input.h"
#include "periph/pci/pci.h"
#include "periph/virtio/virtio-balloon.h"

#include <stdlib.h>

enum { RAM_SIZE = 1 << 20, IO = 0xc000, RING = 0x4000, DATA = 0x20000, Q_USED = 0x3000, DISK_SIZE = 1 << 20 };
#define MODERN UINT64_C(0xe0000000)
#define MSIX   UINT64_C(0xe1000000)
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

static struct region *ram;
static uint8_t disk_data[DISK_SIZE];
static struct blk_backend disk = {.data = disk_data, .size = DISK_SIZE};
static struct chardev chr;
static struct device *dev;
static struct { uint64_t addr; uint32_t data; } msi[64];
static unsigned n_msi;

static void on_msi(void *opaque, uint64_t addr, uint32_t data)
{
    if (n_msi < ARRAY_LEN(msi)) msi[n_msi].addr = addr, msi[n_msi].data = data;
    n_msi++;
}

static struct pci_device *pci(void) { return pci_device(dev); }
static uint32_t cfg(unsigned reg, unsigned size) { return pci_config_read(mb->pci, pci()->pci.devfn, reg, size); }
static void set_cfg(unsigned reg, uint32_t v, unsigned size) { pci_config_write(mb->pci, pci()->pci.devfn, reg, v, size); }

static void map(void)
{
    set_cfg(PCI_BAR0, IO, 4);
    set_cfg(PCI_BAR0 + 4, (uint32_t)MSIX, 4);
    set_cfg(PCI_BAR0 + 16, (uint32_t)MODERN, 4);
    set_cfg(PCI_COMMAND, 7, 2);
}

/* A machine with the device; props: "name=value" pairs, NULL-ended. */
static void up(const char *name, bool big_endian, const char *const *props)
{
    begin();
    mb->big_endian = big_endian;
    ram = region_new_ram("ram", RAM_SIZE, NULL);
    region_add(mb->mem_root, ram, 0, 0);
    struct device *host = make("i440FX-pcihost");
    (void)host;
    pci_bus_set_msi(mb->pci, on_msi, NULL);
    memset(disk_data, 0, sizeof disk_data);
    memset(&chr, 0, sizeof chr);
    n_msi = 0;
    dev = create(name);
    for (; props && *props; props += 2) CHECK(dev_set_prop(dev, props[0], props[1], NULL) == 0);
    if (!strcmp(name, "virtio-blk-pci")) dev_set_ptr(dev, "drive", &disk);
    realize(dev);
}

static struct device *child(const char *name, const char *prop, void *backend)
{
    struct device *d = dev_create(mb, dev_find(name), dev, NULL);
    if (prop) dev_set_ptr(d, prop, backend);
    realize(d);
    return d;
}

static void ready(void)
{
    mb_reset(mb);
    map();
}

static void down(void)
{
    while (mb->last) dev_destroy(mb->last);
    region_remove(ram);
    region_delete(ram);
    end();
}

/* ---- identification ---- */

static void test_ids(void)
{
    static const struct { const char *name; uint16_t id, sub; uint32_t class_rev; uint32_t io, msix; } t[] = {
        { "virtio-blk-pci", 0x1001, 2, 0x01000000, 0xffffff81, 0xfffff000 },
        { "virtio-balloon-pci", 0x1002, 5, 0x00ff0000, 0xffffffc1, 0 },
        { "virtio-serial-pci", 0x1003, 3, 0x07800000, 0xffffffc1, 0xfffff000 },
        { "virtio-scsi-pci", 0x1004, 8, 0x01000000, 0xffffffc1, 0xfffff000 },
        { "virtio-rng-pci", 0x1005, 4, 0x00ff0000, 0xffffffe1, 0xfffff000 },
        { "virtio-keyboard-pci", 0x1052, 0x1100, 0x09000001, 0, 0xfffff000 },
        { "virtio-mouse-pci", 0x1052, 0x1100, 0x09020001, 0, 0xfffff000 },
        { "virtio-tablet-pci", 0x1052, 0x1100, 0x09800001, 0, 0xfffff000 },
    };
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        up(t[i].name, false, NULL);
        mb_reset(mb);
        EQ(cfg(0, 4), (uint32_t)t[i].id << 16 | 0x1af4);
        EQ(cfg(8, 4), t[i].class_rev);
        EQ(cfg(0x2c, 4), (uint32_t)t[i].sub << 16 | 0x1af4);
        for (unsigned b = 0; b < 6; b++) set_cfg(PCI_BAR0 + 4 * b, ~0u, 4);
        EQ(cfg(0x10, 4), t[i].io);
        EQ(cfg(0x14, 4), t[i].msix);
        EQ(cfg(0x20, 4), 0xffffc00c);
        EQ(cfg(0x24, 4), 0xffffffff);
        /* common, ISR, device, notify, window at their places, MSI-X in front of the list */
        EQ(cfg(0x34, 1), t[i].msix ? 0x98 : 0x84);
        EQ(cfg(0x40, 4), 0x01100009);
        EQ(cfg(0x50, 4), 0x03104009);
        EQ(cfg(0x60, 4), 0x04105009);
        EQ(cfg(0x70, 4), 0x02146009);
        EQ(cfg(0x80, 4), 4);
        EQ(cfg(0x84, 4), 0x05147009);
        down();
    }
    static const char *const modern[] = { "disable-legacy", "on", NULL };
    up("virtio-blk-pci", false, modern);
    mb_reset(mb);
    EQ(cfg(0, 4), 0x10421af4);
    EQ(cfg(8, 1), 1);
    EQ(cfg(0x2c, 4), 0x11001af4);
    CHECK(!pci()->pci.bar[0].region);
    down();
    static const char *const legacy[] = { "disable-modern", "on", "vectors", "0", NULL };
    up("virtio-blk-pci", false, legacy);
    mb_reset(mb);
    EQ(cfg(0, 4), 0x10011af4);
    EQ(cfg(0x34, 1), 0);
    CHECK(!pci()->pci.bar[4].region && !pci()->pci.bar[1].region);
    down();
    /* what cannot be */
    static const char *const bad[][2] = { { "disable-legacy", "maybe" }, { "num-queues", "0" }, { "queue-size", "100" }, { "vectors", "1000" }, { "logical_block_size", "3" } };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct error e = ERROR_INIT;
        begin();
        make("i440FX-pcihost");
        pci_bus_set_msi(mb->pci, on_msi, NULL);
        dev = create("virtio-blk-pci");
        dev_set_ptr(dev, "drive", &disk);
        CHECK(dev_set_prop(dev, bad[i][0], bad[i][1], NULL) == 0);
        CHECK(dev_realize(dev, &e) == -1 && e.set);
        error_clear(&e);
        end();
    }
}

/* ---- a driver ---- */

static bool legacy_driver, be;
static uint16_t avail_idx, used_seen;
static unsigned sizes[8];
static uint64_t queue_base(unsigned q) { return RING + 0x6000 * q; }
static uint64_t avail_at(unsigned q) { return queue_base(q) + 16 * sizes[q]; }
static uint64_t used_at(unsigned q) { return queue_base(q) + Q_USED; }

static void put(uint64_t addr, unsigned size, uint64_t v)
{
    uint8_t b[8];
    for (unsigned i = 0; i < size; i++) b[i] = (uint8_t)(v >> 8 * (be ? size - 1 - i : i));
    as_write_buf(mb->mem, addr, b, size);
}

static uint64_t get(uint64_t addr, unsigned size)
{
    uint8_t b[8];
    uint64_t v = 0;
    as_read_buf(mb->mem, addr, b, size);
    for (unsigned i = 0; i < size; i++) v |= (uint64_t)b[i] << 8 * (be ? size - 1 - i : i);
    return v;
}

static uint32_t io(unsigned reg, unsigned size)
{
    uint64_t v = 0;
    as_read(mb->io, IO + reg, size, &v);
    return (uint32_t)v;
}
static void set_io(unsigned reg, unsigned size, uint32_t v) { as_write(mb->io, IO + reg, size, v); }
static void set_common(unsigned reg, unsigned size, uint64_t v) { poke(MODERN + reg, size, v); }
static uint64_t common(unsigned reg, unsigned size) { return peek(MODERN + reg, size); }
static uint8_t status(void) { return legacy_driver ? (uint8_t)io(18, 1) : (uint8_t)common(0x14, 1); }

static void start_driver(bool legacy, uint64_t features, unsigned n_queues)
{
    legacy_driver = legacy;
    be = legacy && mb->big_endian;
    avail_idx = used_seen = 0;
    memset(region_ram(ram), 0, RAM_SIZE);
    if (legacy) {
        set_io(18, 1, 0);
        set_io(18, 1, 3);
        set_io(4, 4, (uint32_t)features);
        for (unsigned q = 0; q < n_queues; q++) {
            set_io(14, 2, q);
            sizes[q] = io(12, 2);
            set_io(8, 4, (uint32_t)(queue_base(q) >> 12));
        }
        set_io(18, 1, 7);
        return;
    }
    set_common(0x14, 1, 0);
    set_common(0x14, 1, 3);
    for (unsigned i = 0; i < 2; i++) set_common(8, 4, i), set_common(12, 4, (features | UINT64_C(1) << 32) >> 32 * i & UINT32_MAX);
    set_common(0x14, 1, 11);
    EQ(common(0x14, 1), 11);
    for (unsigned q = 0; q < n_queues; q++) {
        set_common(0x16, 2, q);
        sizes[q] = (unsigned)common(0x18, 2);
        set_common(0x20, 8, queue_base(q));
        set_common(0x28, 8, avail_at(q));
        set_common(0x30, 8, used_at(q));
        set_common(0x1c, 2, 1);
    }
    set_common(0x14, 1, 15);
}

/* In the legacy layout the used ring begins at the next page behind the available one. */
static uint64_t used(unsigned q) { return legacy_driver ? ALIGN_UP(avail_at(q) + 6 + 2 * sizes[q], UINT64_C(4096)) : used_at(q); }

static void desc(unsigned q, unsigned i, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
    uint64_t at = queue_base(q) + 16 * i;
    put(at, 8, addr), put(at + 8, 4, len), put(at + 12, 2, flags), put(at + 14, 2, next);
}

static void kick(unsigned q)
{
    if (legacy_driver) set_io(16, 2, q);
    else poke(MODERN + 0x3000 + 4 * q, 2, q);
}

static void offer(unsigned q, unsigned head)
{
    put(avail_at(q) + 4 + 2 * (avail_idx % sizes[q]), 2, head);
    put(avail_at(q) + 2, 2, ++avail_idx);
    kick(q);
}

/* Waits for the next used entry; its length. */
static uint32_t take(unsigned q)
{
    for (unsigned i = 0; i < 1000 && (uint16_t)get(used(q) + 2, 2) == used_seen; i++) wait_ns(10000);
    if (!CHECK((uint16_t)get(used(q) + 2, 2) != used_seen)) return 0;
    uint32_t n = (uint32_t)get(used(q) + 4 + 8 * (used_seen % sizes[q]) + 4, 4);
    used_seen++;
    return n;
}

/* Three descriptors from 0: header, data, status. Status of the request. */
enum { HEADER = DATA, STATUS = DATA + 0x100, BUF = DATA + 0x1000 };
static unsigned blk_request(unsigned q, uint32_t type, uint64_t sector, uint32_t len, bool device_writes)
{
    put(HEADER, 4, type), put(HEADER + 4, 4, 0), put(HEADER + 8, 8, sector);
    put(STATUS, 1, 0xee);
    desc(q, 0, HEADER, 16, NEXT, len ? 1 : 2);
    desc(q, 1, BUF, len, NEXT | (device_writes ? WRITE : 0), 2);
    desc(q, 2, STATUS, 1, WRITE, 0);
    offer(q, 0);
    take(q);
    return (unsigned)get(STATUS, 1);
}

static void blk_session(bool legacy, bool big_endian, uint64_t features)
{
    static const char *const props[] = { "serial", "Q123", NULL };
    up("virtio-blk-pci", big_endian, props);
    ready();
    start_driver(legacy, features, 1);
    uint8_t *m = region_ram(ram);
    for (unsigned i = 0; i < 2048; i++) m[BUF + i] = (uint8_t)(i * 7);
    EQ(blk_request(0, 1, 8, 2048, false), 0);
    CHECK(!memcmp(disk_data + 4096, m + BUF, 2048));
    memset(m + BUF, 0, 2048);
    EQ(blk_request(0, 0, 8, 2048, true), 0);
    CHECK(!memcmp(disk_data + 4096, m + BUF, 2048) && m[BUF + 1] == 7);
    EQ(blk_request(0, 4, 0, 0, false), 0);
    EQ(blk_request(0, 8, 0, 20, true), 0);
    CHECK(!memcmp(m + BUF, "Q123\0", 5));
    EQ(blk_request(0, 99, 0, 0, false), 2);
    EQ(blk_request(0, 0, DISK_SIZE / 512, 512, true), 1);
    EQ(blk_request(0, 0, UINT64_MAX, 512, true), 1);
    EQ(blk_request(0, 0, 0, 100, true), 1);
    if (!legacy) { /* zeros, and ranges that are none */
        put(BUF, 8, 8), put(BUF + 8, 4, 2), put(BUF + 12, 4, 0);
        EQ(blk_request(0, 13, 0, 16, false), 0);
        CHECK(disk_data[4096 + 1] == 0 && disk_data[4096 + 1025] != 0);
        put(BUF, 8, UINT64_MAX - 1);
        EQ(blk_request(0, 13, 0, 16, false), 1);
        put(BUF, 8, 0), put(BUF + 8, 4, UINT32_MAX);
        EQ(blk_request(0, 11, 0, 16, false), 1);
        EQ(blk_request(0, 11, 0, 8, false), 1);
    }
    CHECK(pci()->pci.intx);
    if (legacy) EQ(io(19, 1), 1);
    else EQ(peek(MODERN + 0x1000, 1), 1);
    CHECK(!pci()->pci.intx);
    /* configuration: sectors, in the driver's order */
    uint8_t c[8];
    uint64_t sectors = 0;
    for (unsigned i = 0; i < 8; i++) {
        c[i] = legacy ? (uint8_t)io(20 + i, 1) : (uint8_t)peek(MODERN + 0x2000 + i, 1);
        sectors |= (uint64_t)c[i] << 8 * (be ? 7 - i : i);
    }
    EQ(sectors, DISK_SIZE / 512);
    /* indirect */
    if (features >> 28 & 1) {
        put(HEADER, 4, 0), put(HEADER + 8, 8, 8);
        for (unsigned i = 0; i < 3; i++) {
            uint64_t at = DATA + 0x800 + 16 * i;
            put(at, 8, i == 0 ? HEADER : i == 1 ? BUF : STATUS), put(at + 8, 4, i == 0 ? 16 : i == 1 ? 512 : 1);
            put(at + 12, 2, (i < 2 ? NEXT : 0) | (i ? WRITE : 0)), put(at + 14, 2, i + 1);
        }
        desc(0, 5, DATA + 0x800, 48, INDIRECT, 0);
        offer(0, 5);
        EQ(take(0), 513);
        EQ(get(STATUS, 1), 0);
    }
    down();
}

static void test_blk(void)
{
    blk_session(true, false, 0);
    blk_session(true, false, 1u << 28);
    blk_session(true, true, 1u << 28); /* legacy: the guest's byte order */
    blk_session(false, false, 1u << 28);
    blk_session(false, true, 1u << 28); /* 1.0: always little-endian */
}

/* Features that were not offered, or no VERSION_1: FEATURES_OK stays clear. */
static void test_features(void)
{
    up("virtio-blk-pci", false, NULL);
    ready();
    set_common(0, 4, 1);
    EQ(common(4, 4), 1);
    set_common(0, 4, 7);
    EQ(common(4, 4), 0);
    for (unsigned round = 0; round < 3; round++) {
        set_common(0x14, 1, 0);
        set_common(0x14, 1, 3);
        set_common(8, 4, 0), set_common(12, 4, round == 1 ? 1u << 0 : 0);
        set_common(8, 4, 1), set_common(12, 4, round == 0 ? 0 : round == 1 ? 1 : 3);
        set_common(0x14, 1, 11);
        EQ(common(0x14, 1), 3);
    }
    /* the window in configuration space */
    unsigned w = 0x84;
    set_cfg(w + 4, 4, 1), set_cfg(w + 8, 0x12, 4), set_cfg(w + 12, 2, 4);
    EQ(cfg(w + 16, 4) & 0xffff, 1);
    set_cfg(w + 8, 0x14, 4), set_cfg(w + 12, 1, 4), set_cfg(w + 16, 1, 4);
    EQ(common(0x14, 1), 1);
    set_cfg(w + 8, 0xfffffff0u, 4), set_cfg(w + 12, 4, 4);
    cfg(w + 16, 4);
    set_cfg(w + 12, 3, 4);
    set_cfg(w + 16, 0xffffffffu, 4);
    set_cfg(w + 4, 1, 1), set_cfg(w + 8, 0, 4), set_cfg(w + 12, 4, 4);
    set_cfg(w + 16, 0xffffffffu, 4);
    down();
}

static void test_msix_and_events(void)
{
    up("virtio-blk-pci", false, NULL);
    ready();
    poke(MSIX + 16, 8, UINT64_C(0xfee01000)), poke(MSIX + 24, 4, 0x4041), poke(MSIX + 28, 4, 0);
    set_cfg(0x98 + 2, 0x8000, 2);
    start_driver(false, 1u << 29, 1);
    set_common(0x16, 2, 0);
    set_common(0x1a, 2, 5);
    EQ(common(0x1a, 2), 0xffff); /* there are two */
    set_common(0x1a, 2, 1);
    EQ(common(0x1a, 2), 1);
    EQ(blk_request(0, 4, 0, 0, false), 0);
    EQ(n_msi, 1);
    EQ(msi[0].addr, 0xfee01000);
    EQ(msi[0].data, 0x4041);
    CHECK(!pci()->pci.intx);
    /* used_event: the next interrupt when used index 3 is passed */
    put(avail_at(0) + 4 + 2 * sizes[0], 2, 3);
    EQ(blk_request(0, 4, 0, 0, false), 0);
    EQ(blk_request(0, 4, 0, 0, false), 0);
    EQ(n_msi, 1);
    EQ(blk_request(0, 4, 0, 0, false), 0);
    EQ(n_msi, 2);
    EQ(get(used(0) + 4 + 8 * sizes[0], 2), 4); /* avail_event: tell me of the next one */
    /* masked: it stays pending until it is not */
    put(avail_at(0) + 4 + 2 * sizes[0], 2, 4);
    poke(MSIX + 28, 4, 1);
    EQ(blk_request(0, 4, 0, 0, false), 0);
    EQ(n_msi, 2);
    EQ(peek(MSIX + 0x800, 4), 2);
    poke(MSIX + 28, 4, 0);
    EQ(n_msi, 3);
    EQ(peek(MSIX + 0x800, 4), 0);
    set_cfg(PCI_COMMAND, 3, 2); /* no bus mastering: nothing moves, and the device is broken */
    offer(0, 0);
    CHECK(status() & 0x40);
    down();
}

/* ---- lies ---- */

static void lie(unsigned what)
{
    desc(0, 0, HEADER, 16, NEXT, 1), desc(0, 1, BUF, 512, NEXT | WRITE, 2), desc(0, 2, STATUS, 1, WRITE, 0);
    put(HEADER, 4, 0), put(HEADER + 8, 8, 0);
    unsigned head = 0;
    switch (what) {
    case 0: head = sizes[0]; break;
    case 1: head = 0xffff; break;
    case 2: desc(0, 1, BUF, 512, NEXT | WRITE, sizes[0]); break;
    case 3: desc(0, 2, STATUS, 1, WRITE | NEXT, 0); break; /* a loop */
    case 4: desc(0, 0, HEADER, 16, NEXT, 0); break;
    case 5: desc(0, 0, HEADER, 16, NEXT | WRITE, 1), desc(0, 1, BUF, 16, NEXT, 2); break; /* to read after to write */
    case 6: desc(0, 0, HEADER, 15, INDIRECT, 0); break;
    case 7: desc(0, 0, HEADER, 0, INDIRECT, 0); break;
    case 8: desc(0, 0, HEADER, 0xfffffff0u, INDIRECT, 0); break;
    case 9: /* a table in a table */
        put(BUF, 8, HEADER), put(BUF + 8, 4, 16), put(BUF + 12, 2, INDIRECT);
        desc(0, 0, BUF, 16, INDIRECT, 0);
        break;
    case 10: desc(0, 0, BUF, 16, INDIRECT | NEXT, 1); break;
    case 11: desc(0, 0, UINT64_C(0xffffffffffffff00), 0x1000, NEXT, 1); break;
    case 12: desc(0, 0, HEADER, 8, NEXT, 2); break; /* a header that is too short */
    case 13: desc(0, 0, HEADER, 16, 0, 0); break;   /* no place for the status */
    case 14: desc(0, 0, UINT64_C(0x700000000000), 16, NEXT, 1); break;
    case 15: put(BUF, 8, HEADER), put(BUF + 8, 4, 16), put(BUF + 12, 2, NEXT), put(BUF + 14, 2, 9); desc(0, 0, BUF, 16, INDIRECT, 0); break;
    default: avail_idx = (uint16_t)(avail_idx + sizes[0] + 5); break; /* more than there are */
    }
    offer(0, head);
    wait_ns(1000000);
}

static void test_lies(void)
{
    up("virtio-blk-pci", false, NULL);
    ready();
    for (unsigned what = 0; what <= 16; what++) {
        for (unsigned legacy = 0; legacy < 2; legacy++) {
            start_driver(legacy, 1u << 28, 1);
            EQ(blk_request(0, 4, 0, 0, false), 0);
            lie(what);
            if (!CHECK(status() & 0x40)) printf("lie %u\n", what);
            unsigned before = used_seen;
            offer(0, 0); /* broken: nothing happens any more */
            wait_ns(1000000);
            EQ(get(used(0) + 2, 2), before);
        }
    }
    /* a reset mends it */
    start_driver(false, 1u << 28, 1);
    EQ(blk_request(0, 4, 0, 0, false), 0);
    /* rings and buffers in the device's own registers: it does not call itself */
    for (unsigned i = 0; i < 6; i++) {
        start_driver(false, 1u << 28, 1);
        set_common(0x14, 1, 0), set_common(0x14, 1, 3);
        set_common(8, 4, 1), set_common(12, 4, 1), set_common(0x14, 1, 11);
        set_common(0x20, 8, i == 0 ? MODERN : i == 4 ? MODERN + 0x3000 : queue_base(0));
        set_common(0x28, 8, i == 1 ? MODERN + 0x2ff0 : i == 4 ? MODERN + 0x3000 : avail_at(0));
        set_common(0x30, 8, i == 2 ? MODERN + 0x2ffc : i == 4 ? MODERN + 0x3000 : used_at(0));
        set_common(0x1c, 2, 1), set_common(0x14, 1, 15);
        put(HEADER, 4, 0), put(HEADER + 8, 8, 0);
        desc(0, 0, HEADER, 16, NEXT, 1);
        desc(0, 1, i == 3 ? MODERN + 0x3000 : i == 5 ? MODERN : BUF, 512, NEXT | WRITE, 2), desc(0, 2, STATUS, 1, WRITE, 0);
        put(avail_at(0) + 2, 2, 1);
        kick(0);
        wait_ns(1000000);
        passed++;
    }
    /* queues that are not there, sizes that are none */
    kick(7);
    set_common(0x16, 2, 500);
    EQ(common(0x18, 2), 0);
    set_common(0x18, 2, 64), set_common(0x1c, 2, 1);
    set_common(0x14, 1, 0);
    set_common(0x16, 2, 0);
    set_common(0x18, 2, 100);
    EQ(common(0x18, 2), 256);
    set_common(0x18, 2, 512);
    EQ(common(0x18, 2), 256);
    set_common(0x18, 2, 0);
    set_common(0x1c, 2, 1);
    EQ(common(0x1c, 2), 0);
    down();
}

/* ---- saving with a request in flight ---- */

static void test_in_flight(void)
{
    struct error e = ERROR_INIT;
    struct state_buf b = {0};
    static uint8_t memory[RAM_SIZE];
    up("virtio-blk-pci", false, NULL);
    ready();
    start_driver(false, 0, 1);
    memset(disk_data + 512, 0xab, 512);
    put(HEADER, 4, 0), put(HEADER + 8, 8, 1);
    desc(0, 0, HEADER, 16, NEXT, 1), desc(0, 1, BUF, 512, NEXT | WRITE, 2), desc(0, 2, STATUS, 1, WRITE, 0);
    offer(0, 0);
    EQ(get(used(0) + 2, 2), 0); /* it takes time */
    mb_save(mb, &b);
    uint64_t then = now;
    memcpy(memory, region_ram(ram), RAM_SIZE);
    wait_ns(1000000);
    EQ(get(used(0) + 2, 2), 1);
    uint64_t hash = mb_hash(mb);
    down();
    up("virtio-blk-pci", false, NULL);
    mb_reset(mb);
    memset(disk_data + 512, 0xab, 512);
    memcpy(region_ram(ram), memory, RAM_SIZE);
    now = then;
    if (!CHECK(mb_load(mb, &b, &e) == 0)) printf("%s\n", e.msg);
    EQ(get(used(0) + 2, 2), 0);
    wait_ns(1000000);
    EQ(get(used(0) + 2, 2), 1);
    EQ(peek(BUF, 1), 0xab);
    EQ(peek(STATUS, 1), 0);
    EQ(mb_hash(mb), hash);
    EQ(blk_request(0, 4, 0, 0, false) & 0, 0);
    state_buf_free(&b);
    down();
}

/* ---- other devices ---- */

static void test_rng(void)
{
    uint8_t first[64];
    for (unsigned round = 0; round < 2; round++) {
        up("virtio-rng-pci", false, NULL);
        ready();
        start_driver(true, 0, 1);
        desc(0, 0, BUF, 64, WRITE, 0);
        offer(0, 0);
        EQ(take(0), 64);
        uint8_t *m = region_ram(ram) + BUF;
        if (round) CHECK(!memcmp(first, m, 64)); /* the same seed, the same bytes */
        memcpy(first, m, 64);
        offer(0, 0);
        EQ(take(0), 64);
        CHECK(memcmp(first, m, 64));
        down();
    }
}

/* REPORT LUNS, INQUIRY, a write and a read; a target that is not there. */
static unsigned scsi_command(unsigned target, const uint8_t *cdb, size_t n, uint32_t out, uint32_t in)
{
    uint8_t req[51] = { 1, (uint8_t)target, 0x40, 0 };
    memcpy(req + 19, cdb, n);
    as_write_buf(mb->mem, HEADER, req, sizeof req);
    desc(2, 0, HEADER, 51, NEXT, out ? 1 : 2);
    desc(2, 1, BUF, out, NEXT, 2);
    desc(2, 2, STATUS, 108, WRITE | (in ? NEXT : 0), 3);
    desc(2, 3, BUF, in, WRITE, 0);
    offer(2, 0);
    take(2);
    return (unsigned)peek(STATUS + 11, 1) << 8 | (unsigned)peek(STATUS + 10, 1);
}

static void test_scsi(void)
{
    static const uint8_t inquiry[6] = { 0x12, 0, 0, 0, 96 }, luns[12] = { 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 96 }, tur[6] = { 0 },
                         write10[10] = { 0x2a, 0, 0, 0, 0, 4, 0, 0, 1 }, read10[10] = { 0x28, 0, 0, 0, 0, 4, 0, 0, 1 },
                         beyond[10] = { 0x28, 0, 0xff, 0, 0, 4, 0, 0, 1 }, capacity[10] = { 0x25 };
    up("virtio-scsi-pci", false, NULL);
    child("scsi-hd", "drive", &disk);
    struct device *cd = child("scsi-cd", NULL, NULL);
    ready();
    start_driver(true, 0, 3);
    uint8_t *m = region_ram(ram);
    EQ(scsi_command(0, tur, 6, 0, 0), 2); /* unit attention: reset */
    EQ(m[STATUS + 12 + 2], 6);
    EQ(scsi_command(0, tur, 6, 0, 0), 0);
    EQ(scsi_command(0, inquiry, 6, 0, 96), 0);
    CHECK(!memcmp(m + BUF + 8, "QUERN   QUERN HARDDISK", 22));
    EQ(scsi_command(0, luns, 12, 0, 96), 0);
    EQ(ld32_be(m + BUF), 8);
    EQ(scsi_command(0, capacity, 10, 0, 8), 0);
    EQ(ld32_be(m + BUF), DISK_SIZE / 512 - 1);
    memset(m + BUF, 0x3c, 512);
    EQ(scsi_command(0, write10, 10, 512, 0), 0);
    EQ(disk_data[4 * 512 + 511], 0x3c);
    memset(m + BUF, 0, 512);
    EQ(scsi_command(0, read10, 10, 0, 512), 0);
    EQ(m[BUF + 511], 0x3c);
    EQ(scsi_command(0, read10, 10, 0, 511), 2); /* not room enough */
    EQ(scsi_command(0, beyond, 10, 0, 512), 2);
    EQ(m[STATUS + 12 + 12], 0x21);
    EQ(scsi_command(5, tur, 6, 0, 0), 3 << 8); /* bad target */
    EQ(scsi_command(1, tur, 6, 0, 0), 2);
    EQ(scsi_command(1, tur, 6, 0, 0), 2); /* no medium */
    EQ(m[STATUS + 12 + 12], 0x3a);
    /* a medium comes and goes */
    static const uint8_t lock[6] = { 0x1e, 0, 0, 0, 1 }, event[10] = { 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 };
    const struct media_ops *media = cd->desc->media;
    struct blk_backend *old;
    struct media_state now;
    struct error e = ERROR_INIT;
    CHECK(!media->change(cd, 0, &disk, &old, false, &e) && !old);
    EQ(scsi_command(1, tur, 6, 0, 0), 2);
    EQ(m[STATUS + 12 + 2] << 8 | m[STATUS + 12 + 12], 0x628); /* attention: it may have changed */
    EQ(scsi_command(1, tur, 6, 0, 0), 0);
    EQ(scsi_command(1, event, 10, 0, 8), 0);
    EQ(m[BUF + 4], 2);
    EQ(scsi_command(1, capacity, 10, 0, 8), 0);
    EQ(ld32_be(m + BUF), DISK_SIZE / 2048 - 1);
    EQ(scsi_command(1, lock, 6, 0, 0), 0);
    CHECK(media->change(cd, 0, NULL, &old, false, &e) == -1 && strstr(e.msg, "locked"));
    error_clear(&e);
    CHECK(media->state(cd, 0, &now) && now.blk == &disk && now.locked && !now.tray_open);
    EQ(scsi_command(1, event, 10, 0, 8), 0);
    EQ(m[BUF + 4], 1); /* please eject */
    CHECK(!media->change(cd, 0, NULL, &old, true, &e) && old == &disk);
    CHECK(media->state(cd, 0, &now) && !now.blk && !now.locked && now.tray_open);
    EQ(scsi_command(1, tur, 6, 0, 0), 2);
    EQ(m[STATUS + 12 + 12] << 8 | m[STATUS + 12 + 13], 0x3a02);
    /* every command with every kind of parameters: answered, somehow */
    for (unsigned op = 0; op < 256; op++) {
        for (unsigned v = 0; v < 3; v++) {
            uint8_t cdb[16];
            memset(cdb, v == 0 ? 0 : v == 1 ? 0xff : 0x10, sizeof cdb);
            cdb[0] = (uint8_t)op;
            scsi_command(v & 1, cdb, sizeof cdb, v ? 512 : 0, 512);
        }
    }
    CHECK(!(status() & 0x40));
    down();
}

static void test_serial(void)
{
    up("virtio-serial-pci", false, NULL);
    child("virtconsole", "chardev", &chr);
    ready();
    start_driver(true, 2, 4); /* multiport */
    /* buffers for messages, then: device ready */
    for (unsigned i = 0; i < 4; i++) desc(2, i, BUF + 64 * i, 64, WRITE, 0), put(avail_at(2) + 4 + 2 * i, 2, i);
    put(avail_at(2) + 2, 2, 4);
    desc(3, 0, HEADER, 8, 0, 0);
    put(HEADER, 4, 0), put(HEADER + 4, 2, 0), put(HEADER + 6, 2, 1);
    offer(3, 0);
    EQ(get(used(2) + 2, 2), 1);
    EQ(get(BUF + 4, 2), 1); /* add port 0 */
    put(HEADER + 4, 2, 3);
    offer(3, 0);
    EQ(get(used(2) + 2, 2), 3);
    EQ(get(BUF + 64 + 4, 2), 4);  /* it is a console */
    EQ(get(BUF + 128 + 4, 2), 6); /* and open */
    feed(&chr, "xyz", 3);
    EQ(chr.n_in, 3); /* not yet */
    put(HEADER + 4, 2, 6);
    offer(3, 0);
    /* out, in */
    avail_idx = 0;
    as_write_buf(mb->mem, DATA + 0x600, "hello", 5);
    desc(1, 0, DATA + 0x600, 5, 0, 0);
    offer(1, 0);
    CHECK(chr.n_out == 5 && !memcmp(chr.out, "hello", 5));
    avail_idx = 0;
    desc(0, 0, DATA + 0x700, 2, WRITE, 0), desc(0, 1, DATA + 0x710, 2, WRITE, 0);
    offer(0, 0);
    EQ(chr.n_in, 1);
    offer(0, 1);
    EQ(chr.n_in, 0);
    EQ(peek(DATA + 0x700, 1), 'x');
    EQ(peek(DATA + 0x710, 1), 'z');
    put(HEADER, 4, 999); /* a port that is not there */
    avail_idx = 3;
    offer(3, 0);
    CHECK(!(status() & 0x40));
    down();
}

static void test_balloon(void)
{
    uint64_t bytes = 1;
    up("virtio-balloon-pci", false, NULL);
    ready();
    start_driver(true, 2, 3);
    CHECK(virtio_balloon_get(mb, &bytes) && bytes == 0);
    CHECK(virtio_balloon_set(mb, 8192));
    EQ(io(20, 4), 2);
    EQ(io(19, 1), 3);
    memset(region_ram(ram) + 0x50000, 0x77, 8192);
    put(BUF, 4, 0x50), put(BUF + 4, 4, 0xfffff), put(BUF + 8, 4, 0xffffffffu);
    desc(0, 0, BUF, 12, 0, 0);
    offer(0, 0);
    take(0);
    EQ(peek(0x50000, 1), 0);
    EQ(peek(0x51000, 1), 0x77);
    set_io(24, 4, 1);
    CHECK(virtio_balloon_get(mb, &bytes) && bytes == 4096);
    down();
}

static void test_input(void)
{
    up("virtio-keyboard-pci", false, NULL);
    ready();
    start_driver(false, 0, 2);
    poke(MODERN + 0x2000, 1, 3), poke(MODERN + 0x2001, 1, 0);
    EQ(peek(MODERN + 0x2002, 1), 8);
    EQ(peek(MODERN + 0x2008 + 2, 2), 0x0627);
    poke(MODERN + 0x2000, 1, 0x11), poke(MODERN + 0x2001, 1, 1);
    CHECK(peek(MODERN + 0x2002, 1) > 10);
    CHECK(peek(MODERN + 0x2008 + 30 / 8, 1) >> 30 % 8 & 1); /* KEY_A */
    for (unsigned i = 0; i < 8; i++) desc(0, i, BUF + 8 * i, 8, WRITE, 0), put(avail_at(0) + 4 + 2 * i, 2, i);
    CHECK(input_key(mb, 0x1e, true)); /* no buffers: lost */
    put(avail_at(0) + 2, 2, 5);
    CHECK(input_key(mb, 0xe048, true));
    EQ(get(used(0) + 2, 2), 2);
    EQ(get(BUF, 2), 1);
    EQ(get(BUF + 2, 2), 103); /* KEY_UP */
    EQ(get(BUF + 4, 4), 1);
    EQ(get(BUF + 8, 8), 0); /* SYN_REPORT */
    CHECK(!input_move(mb, 1, 1, 0, 0));
    down();
    up("virtio-tablet-pci", false, NULL);
    ready();
    start_driver(false, 0, 2);
    for (unsigned i = 0; i < 8; i++) desc(0, i, BUF + 8 * i, 8, WRITE, 0), put(avail_at(0) + 4 + 2 * i, 2, i);
    put(avail_at(0) + 2, 2, 8);
    CHECK(input_place(mb, 100, 99999, 0, 1));
    EQ(get(used(0) + 2, 2), 4);
    EQ(get(BUF + 4, 4), 100);
    EQ(get(BUF + 12, 4), 0x7fff);
    EQ(get(BUF + 16 + 2, 2), 0x110);
    down();
}

int main(void)
{
    periph_register_all();
    test_ids();
    test_blk();
    test_features();
    test_msix_and_events();
    test_lies();
    test_in_flight();
    test_rng();
    test_scsi();
    test_serial();
    test_balloon();
    test_input();
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
