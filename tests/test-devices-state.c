/*
 * test-devices-state.c - every device of the program: the audit of its descriptor, and under random
 * accesses save and restore, determinism and damaged streams.
 *
 * Devices of PCI and IDE need their bus and are only audited here.
 */
#include "tests/devices.h"

#include "periph/input/i8042.h"
#include "periph/input/ps2.h"
#include "periph/misc/malta-fpga.h"

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

/* False: the device does not come without its own kind of bus. */
static bool fuzz_begin(const struct dev_desc *desc)
{
    struct error e = ERROR_INIT;
    begin();
    memset(&fuzz_chr, 0, sizeof fuzz_chr);
    fuzz_bus = smbus_new();
    fuzz_dev = dev_create(mb, desc, NULL, NULL);
    for (const struct prop_desc *p = desc->props; p && p->name; p++)
        if (p->kind == PROP_CHR) dev_set_ptr(fuzz_dev, p->name, &fuzz_chr);
    if (!strcmp(desc->name, "cfi.pflash01")) dev_set_int(fuzz_dev, "num-blocks", 2);
    if (dev_realize(fuzz_dev, &e) < 0) return false;
    if (!strcmp(desc->name, "malta-fpga")) {
        struct device *ee = dev_make(mb, "smbus-eeprom", fuzz_dev, NULL);
        smbus_eeprom_attach(ee, malta_fpga_i2c(fuzz_dev), NULL);
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
    mb_reset(mb);
    return true;
}

static void fuzz_end(void)
{
    struct region *gone[DEV_MAX_MMIO];
    memcpy(gone, fuzz_alias, sizeof gone);
    memset(fuzz_alias, 0, sizeof fuzz_alias);
    for (unsigned i = 0; i < DEV_MAX_MMIO; i++)
        if (gone[i]) region_delete(gone[i]);
    end();
    smbus_delete(fuzz_bus);
}

/* One thing that may happen to a device; what it answers is mixed into the result. */
static uint64_t fuzz_step(uint64_t h)
{
    const struct dev_desc *desc = fuzz_dev->desc;
    unsigned slot = below(DEV_MAX_MMIO), size = 1u << below(4);
    struct region *r = dev_mmio(fuzz_dev, slot);
    uint64_t v = rng(), addr;

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

/* What a machine would save: devices, flash contents, time, input that waits outside. */
struct snapshot {
    struct state_buf b;
    uint64_t now, seq;
    uint8_t *mem[DEV_MAX_MMIO];
    struct chardev chr;
};

static void take(struct snapshot *s)
{
    memset(s, 0, sizeof *s);
    mb_save(mb, &s->b);
    s->now = now;
    s->seq = clock_seq(mb->clock);
    s->chr = fuzz_chr;
    for (unsigned i = 0; i < DEV_MAX_MMIO; i++) {
        struct region *r = dev_mmio(fuzz_dev, i);
        if (!r || !region_ram(r)) continue;
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
    for (unsigned i = 0; i < DEV_MAX_MMIO; i++) {
        struct region *r = dev_mmio(fuzz_dev, i);
        if (s->mem[i] && r) memcpy(region_ram(r), s->mem[i], (size_t)region_size(r));
    }
    if (mb_load(mb, &s->b, e) < 0) return false;
    clock_set_seq(mb->clock, s->seq);
    return true;
}

static void drop(struct snapshot *s)
{
    state_buf_free(&s->b);
    for (unsigned i = 0; i < DEV_MAX_MMIO; i++)
        mem_free(s->mem[i]);
}

static void test_every_device(void)
{
    enum { ROUNDS = 60 }; /* moments at which the state is saved */
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
        if (desc->bus != BUS_SYSTEM && desc->bus != BUS_ISA && desc->bus != BUS_I2C) continue;
        for (unsigned round = 0; round < ROUNDS; round++) {
            uint64_t seed = UINT64_C(0x9e3779b97f4a7c15) * (i * ROUNDS + round + 1);
            if (!fuzz_begin(desc)) {
                fuzz_end();
                break;
            }
            fuzzed += !round;
            fuzz(seed, 40 * round);
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
    CHECK(fuzzed >= 15);
}

/* Damaged streams are refused or taken, and never crash. */
static void test_damage(void)
{
    for (unsigned i = 0; dev_iterate(i); i++) {
        const struct dev_desc *desc = dev_iterate(i);
        if (desc->bus != BUS_SYSTEM && desc->bus != BUS_ISA && desc->bus != BUS_I2C) continue;
        for (unsigned round = 0; round < 20; round++) {
            struct snapshot s;
            if (!fuzz_begin(desc)) {
                fuzz_end();
                break;
            }
            fuzz(round * 77 + i + 1, 200);
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

int main(void)
{
    periph_register_all();
    test_every_device();
    test_damage();
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
