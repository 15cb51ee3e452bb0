/*
 * test-devices-state.c - every device of the program: the audit of its descriptor, and under random
 * accesses save and restore, determinism and damaged streams.
 *
 * PCI devices get a bus and memory to be masters of, with rings and descriptors that a random driver
 * writes; those of IDE and of a bus behind another device are only audited, or come with that one.
 */
#include "tests/devices.h"

#include "periph/block/fdc.h"
#include "periph/input/i8042.h"
#include "periph/input/ps2.h"
#include "periph/misc/malta-fpga.h"
#include "periph/pci/pci.h"

#include <stdlib.h>

static uint64_t rng_state;
static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}
static unsigned below(unsigned n)
{
    return (unsigned)((rng() >> 20) % n);
}

static struct chardev fuzz_chr;
static struct device *fuzz_dev;
static struct region *fuzz_alias[DEV_MAX_MMIO];
static struct smbus *fuzz_bus;
static struct region *fuzz_ram;
static uint8_t disk_data[1 << 20];
static struct blk_backend fuzz_disk = {.data = disk_data, .size = sizeof disk_data};
enum { RAM_SIZE = 1 << 16, BAR_IO = 0xc000, BAR_IO_STEP = 0x100 };
#define BAR_MEM      UINT64_C(0xe0000000)
#define BAR_MEM_STEP UINT64_C(0x1000000)

static bool is_pci(void)
{
    return fuzz_dev->desc->bus == BUS_PCI;
}

/* A bus for the device, memory, and what sits on the device's own bus. */
static void pci_begin(const struct dev_desc *desc)
{
    fuzz_ram = region_new_ram("ram", RAM_SIZE, NULL);
    region_add(mb->mem_root, fuzz_ram, 0, 0);
    memset(disk_data, 0x5a, sizeof disk_data);
    if (!strcmp(desc->name, "mch")) make("q35-pcihost");
    else if (strcmp(desc->name, "gt64120_pci")) make("i440FX-pcihost");
}

/* Port 0 a disk, port 1 a CD drive. */
static void ahci_children(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct device *d = dev_create(mb, dev_find(i ? "ide-cd" : "ide-hd"), fuzz_dev, NULL);
        dev_set_ptr(d, "drive", &fuzz_disk);
        dev_set_int(d, "unit", 2 * i);
        realize(d);
    }
}

static bool is_ahci(void)
{
    return fuzz_dev->desc->child_bus == BUS_IDE;
}

static void pci_children(void)
{
    if (is_ahci()) ahci_children();
    static const char *const names[] = {[BUS_SCSI] = "scsi-hd", [BUS_VIRTIO_SERIAL] = "virtconsole"};
    unsigned bus = fuzz_dev->desc->child_bus;
    if (bus >= ARRAY_LEN(names) || !names[bus]) return;
    struct device *d = dev_create(mb, dev_find(names[bus]), fuzz_dev, NULL);
    if (bus == BUS_SCSI) dev_set_ptr(d, "drive", &fuzz_disk);
    if (bus == BUS_VIRTIO_SERIAL) dev_set_ptr(d, "chardev", &fuzz_chr);
    realize(d);
}

static void pci_map(void)
{
    struct pci_device *p = pci_device(fuzz_dev);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        uint32_t at = p->pci.bar[i].kind == PCI_BAR_IO ? BAR_IO + BAR_IO_STEP * i
                                                       : (uint32_t)(BAR_MEM + BAR_MEM_STEP * i);
        if (p->pci.bar[i].region) pci_config_write(mb->pci, p->pci.devfn, PCI_BAR0 + 4 * i, at, 4);
    }
    pci_config_write(mb->pci, p->pci.devfn, PCI_COMMAND, 7, 2);
}

/* False: the device does not come without its own kind of bus. */
static bool fuzz_begin(const struct dev_desc *desc)
{
    struct error e = ERROR_INIT;
    begin();
    memset(&fuzz_chr, 0, sizeof fuzz_chr);
    fuzz_bus = smbus_new();
    fuzz_ram = NULL;
    if (desc->bus == BUS_PCI) pci_begin(desc);
    struct device *dma = strcmp(desc->name, "isa-fdc") ? NULL : make("i8257"); /* outlives it */
    fuzz_dev = dev_create(mb, desc, NULL, NULL);
    for (const struct prop_desc *p = desc->props; p && p->name; p++)
        if (p->kind == PROP_CHR) dev_set_ptr(fuzz_dev, p->name, &fuzz_chr);
        else if (p->kind == PROP_DRIVE && desc->bus == BUS_PCI) dev_set_ptr(fuzz_dev, p->name, &fuzz_disk);
    if (!strcmp(desc->name, "cfi.pflash01")) dev_set_int(fuzz_dev, "num-blocks", 2);
    if (dev_realize(fuzz_dev, &e) < 0) return false;
    if (!strcmp(desc->name, "malta-fpga")) {
        struct device *ee = dev_make(mb, "smbus-eeprom", fuzz_dev, NULL);
        smbus_eeprom_attach(ee, malta_fpga_i2c(fuzz_dev), NULL);
    }
    if (!strcmp(desc->name, "isa-fdc")) {
        fdc_set_dma(fuzz_dev, dma);
        fdc_add_drive(fuzz_dev, 0, &fuzz_disk, NULL);
        memset(disk_data, 0x5a, sizeof disk_data);
    }
    if (!strcmp(desc->name, "smbus-eeprom")) smbus_eeprom_attach(fuzz_dev, fuzz_bus, NULL);
    /* seen through aliases, wherever the regions themselves are */
    for (unsigned i = 0; i < DEV_MAX_MMIO; i++) {
        struct region *r = dev_mmio(fuzz_dev, i);
        fuzz_alias[i] = NULL;
        if (!r) continue;
        fuzz_alias[i] = region_new_alias("alias", r, 0, region_size(r));
        region_add(mb->mem_root, fuzz_alias[i], UINT64_C(0x10000000) * i, 0);
    }
    if (is_pci()) pci_children();
    mb_reset(mb);
    if (is_pci()) pci_map();
    return true;
}

static void fuzz_end(void)
{
    struct region *gone[DEV_MAX_MMIO];
    memcpy(gone, fuzz_alias, sizeof gone);
    memset(fuzz_alias, 0, sizeof fuzz_alias);
    for (unsigned i = 0; i < DEV_MAX_MMIO; i++)
        if (gone[i]) region_delete(gone[i]);
    while (fuzz_ram && mb->last)
        dev_destroy(mb->last);
    if (fuzz_ram) region_remove(fuzz_ram), region_delete(fuzz_ram);
    fuzz_ram = NULL;
    end();
    smbus_delete(fuzz_bus);
}

/* ---- a driver of PCI devices: what it does is wrong in most ways ---- */

/* Rings of a virtio queue, at RING: descriptors, available, used; legacy places or others. */
enum { RING = 0x1000 };

static void random_ring(void)
{
    unsigned n = 256;
    for (unsigned i = 0; i < 6; i++) {
        uint64_t at = RING + 16 * below(8);
        poke(at, 8, below(8) ? rng() % RAM_SIZE : rng());
        poke(at + 8, 4, below(8) ? below(3000) : (uint32_t)rng());
        poke(at + 12, 2, below(4) ? below(4) : below(8));
        poke(at + 14, 2, below(8) ? below(8) : below(65536));
    }
    poke(RING + 16 * n + 4 + 2 * below(16), 2, below(8) ? below(8) : rng());
    poke(RING + 16 * n + 2, 2, below(8) ? peek(RING + 16 * n + 2, 2) + below(3) : rng());
}

static void bar_write(unsigned bar, uint64_t at, unsigned size, uint64_t v)
{
    const struct pci_bar *b = &pci_device(fuzz_dev)->pci.bar[bar];
    if (!b->region) return;
    if (b->kind == PCI_BAR_IO)
        as_write(mb->io, BAR_IO + BAR_IO_STEP * bar + at, size, v);
    else
        as_write(mb->mem, BAR_MEM + BAR_MEM_STEP * bar + at, size, v);
}

/* A virtio device that works, by the registers of 1.0 and with queues of 256 entries at most. */
static void virtio_start(void)
{
    bar_write(4, 0x14, 1, 0);
    bar_write(4, 0x14, 1, 3);
    for (unsigned i = 0; i < 2; i++) {
        bar_write(4, 8, 4, i);
        bar_write(4, 12, 4, i ? 1 : below(2) ? (uint32_t)rng() & 0x30000006 : 0x30000006);
    }
    bar_write(4, 0x14, 1, 11);
    for (unsigned q = 0; q < 4; q++) {
        bar_write(4, 0x16, 2, q);
        bar_write(4, 0x20, 4, RING);
        bar_write(4, 0x28, 4, RING + 16 * 256);
        bar_write(4, 0x30, 4, RING + 0x2000);
        bar_write(4, 0x1c, 2, 1);
    }
    bar_write(4, 0x14, 1, 15);
}

/* A port of an AHCI controller that is started, with a few commands that may be wrong. */
static void ahci_start(void)
{
    static const uint8_t commands[] = {0x25, 0x35, 0x60, 0x61, 0xec, 0xa1, 0xa0, 0x24, 0x34, 0x2f, 0xef, 0x90, 0x08, 0xea};
    unsigned n = below(2), regs = 0x100 + 0x80 * n, list = RING + 0x400 * n;
    uint32_t slots = 0;
    for (unsigned i = 0; i < 3; i++) {
        unsigned slot = below(32), table = 0x4000 + 0x100 * slot, cmd = below(8) ? commands[below(ARRAY_LEN(commands))] : below(256);
        slots |= 1u << slot;
        poke(list + 32 * slot, 4, below(8) ? 5 | below(4) << 16 : (uint32_t)rng());
        poke(list + 32 * slot + 8, 4, below(16) ? table : (uint32_t)rng());
        poke(table, 4, below(16) ? 0x8027 | cmd << 16 | below(4) << 24 : (uint32_t)rng());
        poke(table + 4, 4, below(8) ? 0x40000000 | below(2100) : (uint32_t)rng());
        poke(table + 8, 4, below(8) ? 0 : (uint32_t)rng());
        poke(table + 12, 4, below(8) ? below(8) << 3 : (uint32_t)rng());
        poke(table + 0x40, 4, below(4) ? 0x28 : (uint32_t)rng());
        poke(table + 0x80, 8, below(8) ? rng() % RAM_SIZE : rng());
        poke(table + 0x8c, 4, below(8) ? below(5000) : (uint32_t)rng());
    }
    bar_write(5, 4, 4, 2);
    bar_write(5, regs, 4, list);
    bar_write(5, regs + 4, 4, 0);
    bar_write(5, regs + 8, 4, 0x3000);
    bar_write(5, regs + 12, 4, 0);
    bar_write(5, regs + 0x14, 4, (uint32_t)rng());
    if (!below(4)) bar_write(5, regs + 0x18, 4, 0x10);
    bar_write(5, regs + 0x18, 4, 0x11);
    if (below(2)) bar_write(5, regs + 0x34, 4, slots);
    bar_write(5, regs + 0x38, 4, slots);
}

static uint64_t pci_step(uint64_t h)
{
    struct pci_device *p = pci_device(fuzz_dev);
    unsigned bar = below(PCI_BARS), size = 1u << below(3);
    struct region *r = p->pci.bar[bar].region;
    uint64_t v = below(2) ? rng() & 0xff : rng(), at;
    switch (below(10)) {
    case 0: pci_config_write(mb->pci, p->pci.devfn, below(256 / size) * size, (uint32_t)v, size); break;
    case 1: return state_mix(h, pci_config_read(mb->pci, p->pci.devfn, below(256 / size) * size, size));
    case 2: pci_map(); break;
    case 3:
        if (is_ahci()) ahci_start();
        else virtio_start();
        break;
    case 4:
    case 5: random_ring(); break;
    case 6: poke(rng() % RAM_SIZE & ~7u, 8, v); break;
    case 7:
        bar_write(4, 0x3000 + 4 * below(5), 2, 0);
        bar_write(0, 16, 2, below(5));
        break;
    default:
        if (!r) break;
        at = rng() % region_size(r) & ~(uint64_t)(size - 1);
        if (below(2)) at &= 0x3f;
        if (below(2)) {
            bar_write(bar, at, size, v);
        } else if (p->pci.bar[bar].kind != PCI_BAR_IO) {
            as_read(mb->mem, BAR_MEM + BAR_MEM_STEP * bar + at, size, &v);
            return state_mix(h, v);
        }
        break;
    }
    return h;
}

/* One thing that may happen to a device; what it answers is mixed into the result. */
static uint64_t fuzz_step(uint64_t h)
{
    const struct dev_desc *desc = fuzz_dev->desc;
    unsigned slot = below(DEV_MAX_MMIO), size = 1u << below(4);
    struct region *r = dev_mmio(fuzz_dev, slot);
    uint64_t v = rng(), addr;

    if (is_pci() && below(3)) return pci_step(h);
    switch (below(12)) {
    case 0: wait_ns(rng() % (below(4) ? 100000 : NS_PER_SEC / 4)); break;
    case 1:
        if (desc->input) pin(fuzz_dev, below(desc->n_inputs), v & 1);
        break;
    case 2: feed(&fuzz_chr, (const char *)&v, below(8)); break;
    case 3: smbus_write_byte(fuzz_bus, 0x50, (uint8_t)v, (uint8_t)(v >> 8)); break;
    case 4:
        if (!strcmp(desc->name, "i8042")) {
            if (v & 1)
                ps2_kbd_key(i8042_kbd(fuzz_dev), (v >> 8 & 0x7f) | (v & 2 ? 0xe000 : 0), v & 4);
            else
                ps2_mouse_event(i8042_mouse(fuzz_dev), (int8_t)(v >> 8), (int8_t)(v >> 16),
                                (int8_t)(v >> 24), v >> 32 & 31);
        }
        if (!strncmp(desc->name, "ps2-", 4)) {
            ps2_write(fuzz_dev, (uint8_t)v);
            h = state_mix(h, ps2_read(fuzz_dev));
        }
        break;
    default:
        if (!r) {
            slot = 0;
            r = dev_mmio(fuzz_dev, 0);
        }
        if (!r) break;
        addr = rng() % region_size(r);
        /* mostly where registers are */
        if (desc->regs && below(4)) {
            unsigned n = 0;
            while (desc->regs[n].name)
                n++;
            addr = desc->regs[below(n)].addr % region_size(r);
            if (below(2)) size = MAX(desc->regs[0].size, 1u);
        }
        addr &= ~(uint64_t)(size - 1);
        switch (below(4)) { /* small values reach more */
        case 0: v &= 0xff; break;
        case 1: v &= 0x0f; break;
        case 2: v = UINT64_C(1) << (v & 7); break;
        }
        addr += UINT64_C(0x10000000) * slot;
        if (below(2)) {
            as_write(mb->mem, addr, size, v);
        } else {
            as_read(mb->mem, addr, size, &v);
            h = state_mix(h, v);
        }
        break;
    }
    for (unsigned i = 0; i < desc->n_irqs; i++)
        h = h * 3 + line(fuzz_dev, i);
    return h;
}

static uint64_t fuzz(uint64_t seed, unsigned n)
{
    uint64_t h = 1;
    rng_state = seed;
    while (n--)
        h = fuzz_step(h);
    return h;
}

/* Memory of the device: a region of its own, or behind a PCI BAR. */
static struct region *fuzz_memory(unsigned i)
{
    struct region *r = i < DEV_MAX_MMIO ? dev_mmio(fuzz_dev, i) : is_pci() ? pci_device(fuzz_dev)->pci.bar[i - DEV_MAX_MMIO].region : NULL;
    return r && region_ram(r) ? r : NULL;
}
enum { MEMORIES = DEV_MAX_MMIO + PCI_BARS };

/* What a machine would save: devices, flash contents, time, input that waits outside. */
struct snapshot {
    struct state_buf b;
    uint64_t now, seq;
    uint8_t *mem[MEMORIES], *ram, *disk;
    struct chardev chr;
};

/* What is in flight is read from memory again after loading, which this driver does not leave alone. */
static void settle(void)
{
    if (fuzz_ram) wait_ns(NS_PER_SEC);
}

static void take(struct snapshot *s)
{
    memset(s, 0, sizeof *s);
    if (fuzz_ram) {
        s->ram = mem_alloc(RAM_SIZE);
        memcpy(s->ram, region_ram(fuzz_ram), RAM_SIZE);
    }
    if (fuzz_ram || !strcmp(fuzz_dev->desc->name, "isa-fdc")) {
        s->disk = mem_alloc(sizeof disk_data);
        memcpy(s->disk, disk_data, sizeof disk_data);
    }
    mb_save(mb, &s->b);
    s->now = now;
    s->seq = clock_seq(mb->clock);
    s->chr = fuzz_chr;
    for (unsigned i = 0; i < MEMORIES; i++) {
        struct region *r = fuzz_memory(i);
        if (!r) continue;
        s->mem[i] = mem_alloc((size_t)region_size(r));
        memcpy(s->mem[i], region_ram(r), (size_t)region_size(r));
    }
}

static bool give_back(struct snapshot *s, struct error *e)
{
    struct chr_frontend fe = fuzz_chr.fe;
    now = s->now;
    s->b.pos = 0;
    fuzz_chr = s->chr;
    fuzz_chr.fe = fe;
    for (unsigned i = 0; i < MEMORIES; i++) {
        struct region *r = fuzz_memory(i);
        if (s->mem[i] && r) memcpy(region_ram(r), s->mem[i], (size_t)region_size(r));
    }
    if (s->ram && fuzz_ram) memcpy(region_ram(fuzz_ram), s->ram, RAM_SIZE);
    if (s->disk) memcpy(disk_data, s->disk, sizeof disk_data);
    if (mb_load(mb, &s->b, e) < 0) return false;
    clock_set_seq(mb->clock, s->seq);
    return true;
}

static void drop(struct snapshot *s)
{
    state_buf_free(&s->b);
    mem_free(s->ram);
    mem_free(s->disk);
    for (unsigned i = 0; i < MEMORIES; i++)
        mem_free(s->mem[i]);
}

static bool is_fuzzed(const struct dev_desc *desc)
{
    return desc->bus == BUS_SYSTEM || desc->bus == BUS_ISA || desc->bus == BUS_I2C ||
           (desc->bus == BUS_PCI && desc->user_creatable);
}

/* Moments at which the state is saved; and the devices whose name contains this, NULL: all. */
static unsigned some_rounds = 60, pci_rounds = 20;
static const char *only;

static void test_every_device(void)
{
    unsigned fuzzed = 0;
    for (unsigned i = 0; dev_iterate(i); i++) {
        const struct dev_desc *desc = dev_iterate(i);
        struct error e = ERROR_INIT;
        struct snapshot s, t;
        long at = dev_audit(desc);
        if (!CHECK(at < 0)) printf("%s: byte %ld is not described\n", desc->name, at);
        CHECK(desc->help && desc->name && desc->size > sizeof(struct device));
        CHECK(!desc->n_irqs || desc->irq_offset >= sizeof(struct device));
        CHECK(!!desc->input == !!desc->n_inputs);
        if (!is_fuzzed(desc)) continue;
        unsigned rounds = desc->bus == BUS_PCI ? pci_rounds : some_rounds;
        if (only && !strstr(desc->name, only)) continue;
        for (unsigned round = 0; round < rounds; round++) {
            uint64_t seed = UINT64_C(0x9e3779b97f4a7c15) * (i * 1000003u + round + 1);
            if (!fuzz_begin(desc)) {
                fuzz_end();
                break;
            }
            fuzzed += !round;
            fuzz(seed, 40 * round);
            settle();
            take(&s);
            uint64_t hash = mb_hash(mb), trace = fuzz(seed ^ 1, 600), after = mb_hash(mb);
            /* back, and the same again: the saved state is all there is */
            if (!CHECK(give_back(&s, &e))) printf("%s: %s\n", desc->name, e.msg);
            if (!EQ(mb_hash(mb), hash)) printf("%s: another state after loading\n", desc->name);
            take(&t);
            if (!CHECK(t.b.len == s.b.len && !memcmp(t.b.data, s.b.data, s.b.len)))
                printf("%s: loads and saves differently\n", desc->name);
            drop(&t);
            if (!EQ(fuzz(seed ^ 1, 600), trace))
                printf("%s: behaves differently after loading\n", desc->name);
            if (!EQ(mb_hash(mb), after))
                printf("%s: ends in another state after loading\n", desc->name);
            fuzz_end();
            /* in a new machine */
            if (!CHECK(fuzz_begin(desc))) continue;
            if (!CHECK(give_back(&s, &e))) printf("%s: %s\n", desc->name, e.msg);
            if (!EQ(fuzz(seed ^ 1, 600), trace))
                printf("%s: behaves differently in a new machine\n", desc->name);
            if (!EQ(mb_hash(mb), after))
                printf("%s: ends in another state in a new machine\n", desc->name);
            fuzz_end();
            drop(&s);
        }
    }
    CHECK(only || fuzzed >= 15);
}

/* Damaged streams are refused or taken, and never crash. */
static void test_damage(void)
{
    for (unsigned i = 0; dev_iterate(i); i++) {
        const struct dev_desc *desc = dev_iterate(i);
        if (!is_fuzzed(desc) || (only && !strstr(desc->name, only))) continue;
        for (unsigned round = 0; round < 20; round++) {
            struct snapshot s;
            if (!fuzz_begin(desc)) {
                fuzz_end();
                break;
            }
            fuzz(round * 77 + i + 1, 200);
            settle();
            take(&s);
            for (unsigned k = 0; k < 4 && s.b.len; k++)
                s.b.data[below((unsigned)s.b.len)] ^= (uint8_t)(1u << below(8));
            if (give_back(&s, NULL)) fuzz(round + 1, 200);
            drop(&s);
            fuzz_end();
        }
        passed++;
    }
}

/* test-devices-state [ROUNDS [NAME]]: longer than in a test, or for some devices only. */
int main(int argc, char **argv)
{
    if (argc > 1) some_rounds = pci_rounds = (unsigned)atoi(argv[1]);
    if (argc > 2) only = argv[2];
    periph_register_all();
    test_every_device();
    test_damage();
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
