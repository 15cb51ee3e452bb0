/*
 * test-bus.c - address spaces against a brute-force model, accesses, the clock, described state, devices.
 *
 * Prints the failures and `N passed, N failed`.
 */
#include "bus/dev.h"

#include <inttypes.h>
#include <stdio.h>

static unsigned passed, failed;

static bool check_(bool ok, const char *what, int line)
{
    if (ok) passed++;
    else if (failed++ < 50) printf("test-bus.c:%d: %s\n", line, what);
    return ok;
}
#define CHECK(e) check_((e), #e, __LINE__)

static uint64_t rng_state = 0x1234567;
static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}
static unsigned below(unsigned n) { return (unsigned)((rng() >> 20) % n); }

/* ---- flattening against a model that asks, byte by byte, who answers ---- */
enum { N_NODES = 24, SPACE = 96 };
struct node {
    struct region *r;
    int kind; /* 0 container, 1 RAM, 2 MMIO, 3 alias */
    unsigned id, size, offset;
    int prio;
    uint64_t added;
    bool enabled;
    struct node *parent, *target;
    unsigned target_offset;
};
static struct node node[N_NODES];

static uint64_t ident_read(void *opaque, uint64_t addr, unsigned size)
{
    struct node *n = opaque;
    (void)size;
    return (n->id * 37 + addr * 5 + 1) & 0xff;
}
static const struct mmio_ops ident_ops = { .read = ident_read, .impl_min = 1, .impl_max = 1 };

/* The byte that n shows at offset o, or -1. */
static int model(const struct node *n, unsigned o, unsigned depth)
{
    if (!n->enabled || o >= n->size || depth > 20) return -1;
    if (n->kind == 3) return model(n->target, o + n->target_offset, depth + 1);
    const struct node *tried = NULL;
    for (;;) { /* children from the strongest to the weakest */
        const struct node *best = NULL;
        for (unsigned i = 0; i < N_NODES; i++) {
            const struct node *c = &node[i];
            if (c->parent != n) continue;
            bool weaker = !tried || c->prio < tried->prio || (c->prio == tried->prio && c->added < tried->added);
            bool stronger = !best || c->prio > best->prio || (c->prio == best->prio && c->added > best->added);
            if (weaker && stronger) best = c;
        }
        if (!best) break;
        if (o >= best->offset) {
            int v = model(best, o - best->offset, depth + 1);
            if (v >= 0) return v;
        }
        tried = best;
    }
    return n->kind == 0 ? -1 : (int)((n->id * 37 + o * 5 + 1) & 0xff);
}

static void test_flatten(void)
{
    unsigned wrong = 0, changes = 0;
    for (unsigned round = 0; round < 60; round++) {
        memset(node, 0, sizeof node);
        uint64_t seq = 0;
        for (unsigned i = N_NODES; i--;) { /* parents come before children, aliases before targets: no loops */
            struct node *n = &node[i];
            char name[16];
            snprintf(name, sizeof name, "n%u", i);
            n->id = i;
            n->enabled = true;
            n->size = i ? 1 + below(48) : SPACE;
            n->kind = i == 0 ? 0 : (int)below(4);
            if (n->kind == 3 && i == N_NODES - 1) n->kind = 2;
            if (n->kind == 3) {
                n->target = &node[i + 1 + below(N_NODES - 1 - i)];
                n->target_offset = below(20);
            }
            switch (n->kind) {
            case 0: n->r = region_new_container(name, n->size); break;
            case 1:
                n->r = region_new_ram(name, n->size, NULL);
                for (unsigned o = 0; o < n->size; o++) region_ram(n->r)[o] = (uint8_t)ident_read(n, o, 1);
                break;
            case 2: n->r = region_new_mmio(name, n->size, &ident_ops, n); break;
            default: n->r = region_new_alias(name, n->target->r, n->target_offset, n->size); break;
            }
        }
        struct address_space *as = as_new("test", node[0].r);
        for (unsigned step = 0; step < 60; step++) {
            bool batch = below(4) == 0;
            if (batch) bus_transaction_begin();
            for (unsigned k = batch ? 5 : 1; k; k--) {
                struct node *n = &node[1 + below(N_NODES - 1)];
                switch (below(6)) {
                case 0: case 1: case 2: {
                    struct node *p = &node[below(n->id)];
                    if (p->kind == 3) break;
                    n->parent = p;
                    n->offset = below(p->size + 4);
                    n->prio = (int)below(4) - 1;
                    n->added = ++seq;
                    region_add(p->r, n->r, n->offset, n->prio);
                    break;
                }
                case 3:
                    if (n->parent) {
                        n->offset = below(60);
                        region_move(n->r, n->offset);
                    }
                    break;
                case 4:
                    n->enabled = !n->enabled;
                    region_set_enabled(n->r, n->enabled);
                    break;
                default:
                    if (below(3) == 0) {
                        region_remove(n->r);
                        n->parent = NULL;
                    }
                }
            }
            if (batch) bus_transaction_commit();
            changes++;
            for (unsigned a = 0; a < SPACE; a++) {
                uint64_t v = 0;
                bool ok = as_read(as, a, 1, &v);
                int want = model(&node[0], a, 0);
                if (want < 0 ? ok || v != 0xff : !ok || v != (unsigned)want) wrong++;
            }
            uint8_t buf[SPACE];
            as_read_buf(as, 0, buf, SPACE);
            for (unsigned a = 0; a < SPACE; a++) {
                int want = model(&node[0], a, 0);
                if (buf[a] != (want < 0 ? 0xff : want)) wrong++;
            }
        }
        bool root_first = below(2);
        if (root_first) as_delete(as);
        for (unsigned i = 0; i < N_NODES; i++) region_delete(node[i].r);
        if (!root_first) as_delete(as);
    }
    CHECK(changes == 3600);
    CHECK(wrong == 0);
}

/* ---- regions at the ends of 2^64 ---- */
static void count(void *opaque) { ++*(unsigned *)opaque; }

static void test_ends(void)
{
    struct region *root = region_new_container("root", UINT64_MAX);
    struct region *ram = region_new_ram("ram", 0x2000, NULL);
    struct region *low = region_new_alias("low", ram, 0x1000, 0x1000);
    struct region *over = region_new_alias("over", ram, 0x1800, UINT64_MAX);
    struct address_space *as = as_new("memory", root);
    unsigned changes = 0;
    uint64_t v, n;
    bool ro;

    as_on_change(as, count, &changes);
    region_add(root, ram, UINT64_C(0xfffffffffffff000), 0); /* its second half hangs over the end */
    region_add(root, low, 0, 0);
    CHECK(changes == 2);
    region_set_enabled(low, true);
    region_move(low, 0);
    CHECK(changes == 2);
    region_ram(ram)[0xfff] = 0x5a;
    region_ram(ram)[0x1000] = 0xa5;
    CHECK(as_read(as, UINT64_MAX, 1, &v) && v == 0x5a);
    CHECK(as_read(as, 0, 1, &v) && v == 0xa5);
    CHECK(as_read(as, UINT64_MAX, 2, &v) && v == 0xa55a); /* addresses wrap */
    CHECK(!as_read(as, 0x1000, 4, &v) && v == 0xffffffff);
    CHECK(!as_read(as, 0xffe, 4, &v) && v == 0xffff0000);
    n = 0x10000;
    CHECK(as_host(as, 0x10, &n, &ro) == region_ram(ram) + 0x1010 && n == 0xff0 && !ro);
    CHECK(!as_host(as, 0x1000, &n, &ro));
    region_add(root, over, 0x4000, 0); /* ends where its target ends */
    n = UINT64_MAX;
    CHECK(as_host(as, 0x4000, &n, NULL) == region_ram(ram) + 0x1800 && n == 0x800);
    struct region *self = region_new_alias("self", root, 0, 0x100000); /* a space that shows itself: not twice */
    region_add(root, self, 0x100000, 0);
    CHECK(!as_read(as, 0x100000, 1, &v) && as_read(as, 0, 1, &v));
    CHECK(as_ram_next(as, NULL) == ram && !as_ram_next(as, ram));
    region_delete(self);
    region_delete(ram); /* aliases of what is gone show nothing */
    CHECK(!as_read(as, 0, 1, &v) && !as_read(as, UINT64_MAX, 1, &v) && !as_read(as, 0x4000, 1, &v));
    region_delete(root);
    CHECK(!as_read(as, 0, 1, &v) && v == 0xff);
    as_delete(as);
    region_delete(low);
    region_delete(over);
}

/* ---- access sizes: a device of bytes, seen through every combination of limits ---- */
struct bytes {
    uint8_t b[64];
    unsigned calls, bad, min, max;
    bool be, unaligned;
};

static uint64_t bytes_read(void *opaque, uint64_t addr, unsigned size)
{
    struct bytes *d = opaque;
    uint64_t v = 0;
    d->calls++;
    if (size < d->min || size > d->max || addr + size > 64 || (!d->unaligned && addr % size)) d->bad++;
    else
        for (unsigned i = 0; i < size; i++) v |= (uint64_t)d->b[addr + (d->be ? size - 1 - i : i)] << 8 * i;
    return v | (size < 8 ? ~UINT64_C(0) << 8 * size : 0); /* what is above the size is not looked at */
}

static void bytes_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct bytes *d = opaque;
    d->calls++;
    if (size < d->min || size > d->max || addr + size > 64 || (!d->unaligned && addr % size)) d->bad++;
    else if (size < 8 && value >> 8 * size) d->bad++;
    else
        for (unsigned i = 0; i < size; i++) d->b[addr + (d->be ? size - 1 - i : i)] = (uint8_t)(value >> 8 * i);
}

static void test_sizes(void)
{
    unsigned wrong = 0, cases = 0;
    for (unsigned lmin = 0; lmin < 4; lmin++)
        for (unsigned lmax = lmin; lmax < 4; lmax++)
            for (unsigned opt = 0; opt < 4; opt++) {
                struct bytes d = { .min = 1u << lmin, .max = 1u << lmax, .be = opt & 1, .unaligned = opt & 2 };
                struct mmio_ops ops = { .read = bytes_read, .write = bytes_write, .impl_min = (uint8_t)d.min,
                                        .impl_max = (uint8_t)d.max, .min_size = 1, .max_size = 8,
                                        .big_endian = d.be, .unaligned = d.unaligned };
                struct region *r = region_new_mmio("bytes", 64, &ops, &d);
                struct address_space *as = as_new("x", r);
                for (unsigned addr = 0; addr <= 48; addr++)
                    for (unsigned size = 1; size <= 8; size *= 2) {
                        uint8_t want[64];
                        uint64_t v, w = rng(), e = 0;
                        for (unsigned i = 0; i < 64; i++) d.b[i] = (uint8_t)rng();
                        memcpy(want, d.b, 64);
                        for (unsigned i = 0; i < size; i++) e |= (uint64_t)d.b[addr + i] << 8 * i;
                        cases++;
                        if (!as_read(as, addr, size, &v) || v != e) wrong++;
                        /* Writes: other bytes of a register that is wider than the access become zero. */
                        for (unsigned i = 0; i < size; i++) want[addr + i] = (uint8_t)(w >> 8 * i);
                        as_write(as, addr, size, size < 8 ? w & ((UINT64_C(1) << 8 * size) - 1) : w);
                        for (unsigned i = 0; i < 64; i++) {
                            bool in = i >= addr && i < addr + size;
                            bool same_reg = i / d.min >= addr / d.min && i / d.min <= (addr + size - 1) / d.min;
                            if (in ? d.b[i] != want[i] : d.b[i] != want[i] && !(same_reg && d.b[i] == 0)) wrong++;
                        }
                    }
                wrong += d.bad;
                as_delete(as);
                region_delete(r);
            }
    CHECK(cases == 10 * 4 * 49 * 4);
    CHECK(wrong == 0);

    /* Sizes that are not accepted get no answer; a register's value is its number whatever its byte order. */
    struct bytes d = { .min = 4, .max = 4, .be = true };
    struct mmio_ops ops = { bytes_read, bytes_write, 2, 4, 4, 4, true, false };
    struct region *r = region_new_mmio("regs", 64, &ops, &d);
    struct address_space *as = as_new("x", r);
    uint64_t v;
    CHECK(!as_read(as, 0, 1, &v) && v == 0xff && d.calls == 0);
    CHECK(!as_read(as, 0, 8, &v) && v == UINT64_MAX);
    CHECK(!as_write(as, 0, 8, 1));
    CHECK(as_write(as, 4, 4, 0x01020304) && d.b[4] == 4 && d.b[7] == 1); /* bus: lowest byte first */
    CHECK(as_read(as, 4, 2, &v) && v == 0x0304);
    uint8_t buf[16] = "0123456789abcde";
    CHECK(as_write_buf(as, 8, buf, 16) && !memcmp(d.b + 8, buf, 16));
    CHECK(as_read_buf(as, 8, buf, 16) && !memcmp(d.b + 8, buf, 16));
    CHECK(!as_write_rom(as, 8, buf, 16));
    as_delete(as);
    region_delete(r);

    /* No handlers. */
    struct mmio_ops none = { .max_size = 8 };
    r = region_new_mmio("none", 64, &none, NULL);
    as = as_new("x", r);
    CHECK(as_read(as, 0, 4, &v) && v == 0);
    CHECK(as_write(as, 0, 4, 1));
    as_delete(as);
    region_delete(r);
}

/* ---- memory kinds, hooks, a handler that remaps what it is reached through ---- */
struct board {
    struct region *root, *ram, *rom, *flash, *bar;
    struct address_space *as;
    uint64_t written;
    unsigned flash_writes, moves;
};

static void ram_written(void *opaque, const uint8_t *host, uint64_t n)
{
    (void)host;
    ((struct board *)opaque)->written += n;
}
static uint64_t flash_read(void *opaque, uint64_t a, unsigned size) { return (void)opaque, (void)size, 0x80 + a; }
static void flash_write(void *opaque, uint64_t a, uint64_t v, unsigned size)
{
    struct board *b = opaque;
    (void)a, (void)size;
    b->flash_writes++;
    region_set_romd(b->flash, v == 0xff);
}
static void bar_write(void *opaque, uint64_t a, uint64_t v, unsigned size)
{
    struct board *b = opaque;
    (void)a, (void)size;
    b->moves++;
    region_move(b->bar, v);
    region_set_enabled(b->rom, !(b->moves & 1));
}
static uint64_t bar_read(void *opaque, uint64_t a, unsigned size) { return (void)opaque, (void)size, a; }

static char dumped[8192];
static void put_line(void *opaque, const char *line)
{
    (void)opaque;
    size_t n = strlen(dumped);
    snprintf(dumped + n, sizeof dumped - n, "%s\n", line);
}

static void test_memory(void)
{
    static const struct mmio_ops flash_ops = { flash_read, flash_write, 1, 4, 1, 4, false, false };
    static const struct mmio_ops bar_ops = { bar_read, bar_write, 1, 8, 4, 4, false, false };
    struct board b = { 0 };
    struct error e = ERROR_INIT;
    uint64_t v, n;
    bool ro;

    b.root = region_new_container("system", UINT64_MAX);
    b.ram = region_new_ram("board.ram", 0x10000, &e);
    b.rom = region_new_rom("bios", 0x1000, &e);
    b.flash = region_new_romd("flash", 0x1000, &flash_ops, &b, &e);
    b.bar = region_new_mmio("bar", 0x100, &bar_ops, &b);
    struct region *hi = region_new_alias("ram.hi", b.ram, 0x8000, 0x1000);
    b.as = as_new("memory", b.root);
    as_on_ram_write(b.as, ram_written, &b);
    bus_transaction_begin();
    region_add(b.root, b.ram, 0, 0);
    region_add(b.root, b.rom, 0xf000, 1);
    region_add(b.root, b.flash, 0x20000, 0);
    region_add(b.root, b.bar, 0x30000, 0);
    region_add(b.root, hi, 0x40000, 0);
    CHECK(!as_read(b.as, 0, 1, &v));
    bus_transaction_commit();

    CHECK(as_write(b.as, 0x7ffe, 4, 0x44332211) && b.written == 4);
    CHECK(as_read(b.as, 0x40000, 2, &v) && v == 0x4433);
    CHECK(as_write(b.as, 0xf004, 4, 1) && as_read(b.as, 0xf004, 4, &v) && v == 0 && b.written == 4);
    CHECK(as_write_rom(b.as, 0xeffe, "abcd", 4) && b.written == 8);
    CHECK(as_read(b.as, 0xeffe, 4, &v) && v == 0x64636261);
    n = 4096;
    CHECK(as_host(b.as, 0xf000, &n, &ro) == region_ram(b.rom) && ro && n == 4096);
    uint8_t ff[4] = { 1, 2, 3, 4 };
    CHECK(as_write_rom(b.as, 0x20000, ff, 4) && as_read(b.as, 0x20000, 4, &v) && v == 0x04030201);
    CHECK(as_write(b.as, 0x20000, 1, 0x90) && b.flash_writes == 1);
    CHECK(as_read(b.as, 0x20001, 1, &v) && v == 0x81 && !as_host(b.as, 0x20000, &n, &ro));
    CHECK(as_write(b.as, 0x20000, 1, 0xff) && as_read(b.as, 0x20001, 1, &v) && v == 2);
    CHECK(as_write_buf(b.as, 0xfffff, "x", 1) == false);

    /* An 8-byte write is two calls; the first moves the region away, the second still reaches it. */
    CHECK(as_write(b.as, 0x30000, 8, UINT64_C(0x0005000000038000)) && b.moves == 2);
    CHECK(!as_read(b.as, 0x30000, 4, &v) && as_read(b.as, 0x50004, 4, &v) && v == 4);
    /* A block goes on with whoever answers then. */
    uint64_t twice[2] = { 0, 0 };
    st32_le((uint8_t *)twice, 0x60000);
    CHECK(as_write_buf(b.as, 0x50000, twice, 16) == false && b.moves > 2);

    struct region *r = as_ram_next(b.as, NULL);
    CHECK(r == b.ram && (r = as_ram_next(b.as, r)) == b.rom && (r = as_ram_next(b.as, r)) == b.flash &&
          !as_ram_next(b.as, r));

    region_set_enabled(b.rom, true);
    region_move(b.bar, 0x30000);
    dumped[0] = 0;
    as_dump(b.as, false, put_line, NULL);
    CHECK(!strcmp(dumped, "address-space: memory\n"
                          "  0000000000000000-ffffffffffffffff (prio 0, i/o): system\n"
                          "    0000000000000000-000000000000ffff (prio 0, ram): board.ram\n"
                          "    000000000000f000-000000000000ffff (prio 1, rom): bios\n"
                          "    0000000000020000-0000000000020fff (prio 0, romd): flash\n"
                          "    0000000000030000-00000000000300ff (prio 0, i/o): bar\n"
                          "    0000000000040000-0000000000040fff (prio 0, ram): alias ram.hi @board.ram 0000000000008000-0000000000008fff\n"));
    dumped[0] = 0;
    as_dump(b.as, true, put_line, NULL);
    CHECK(!strcmp(dumped, "FlatView\n AS \"memory\", root: system\n Root memory region: system\n"
                          "  0000000000000000-000000000000efff (prio 0, ram): board.ram\n"
                          "  000000000000f000-000000000000ffff (prio 1, rom): bios\n"
                          "  0000000000020000-0000000000020fff (prio 0, romd): flash\n"
                          "  0000000000030000-00000000000300ff (prio 0, i/o): bar\n"
                          "  0000000000040000-0000000000040fff (prio 0, ram): board.ram @0000000000008000\n"));

    error_clear(&e);
    CHECK(!region_new_ram("huge", UINT64_MAX - 5, &e) && e.set);
    if (sizeof(void *) > 4) { /* lazily backed: gigabytes cost nothing */
        struct region *big = region_new_ram("big", UINT64_C(3) << 30, NULL);
        CHECK(big && region_ram(big)[(UINT64_C(3) << 30) - 1] == 0);
        region_delete(big);
    }
    as_delete(b.as);
    region_delete(hi);
    region_delete(b.bar);
    region_delete(b.flash);
    region_delete(b.rom);
    region_delete(b.ram);
    region_delete(b.root);
}

/* ---- the clock ---- */
static uint64_t fake_now;
static uint64_t get_now(void *opaque) { return (void)opaque, fake_now; }
static unsigned rescheds;
static void on_resched(void *opaque) { (void)opaque, rescheds++; }

struct shot { struct timer t; unsigned id; uint64_t arm_seq; };
static struct shot *fired[4096];
static unsigned n_fired;
static void fire(void *opaque)
{
    if (n_fired < ARRAY_LEN(fired)) fired[n_fired] = opaque;
    n_fired++;
}
static void rearm_now(void *opaque)
{
    struct shot *s = opaque;
    n_fired++;
    timer_arm(&s->t, fake_now);
}

static void test_clock(void)
{
    struct bus_clock *c = clock_new();
    static struct shot shot[300];
    unsigned wrong = 0;

    clock_connect(c, get_now, on_resched, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(shot); i++) timer_init(&shot[i].t, c, fire, &shot[i]);
    for (unsigned round = 0; round < 200; round++) {
        uint64_t seq = 0;
        n_fired = 0;
        uint64_t due[ARRAY_LEN(shot)];
        for (unsigned i = 0; i < ARRAY_LEN(shot); i++) due[i] = TIME_NEVER;
        for (unsigned k = 0; k < 600; k++) {
            unsigned i = below(ARRAY_LEN(shot));
            if (below(4) == 0) timer_cancel(&shot[i].t), due[i] = TIME_NEVER;
            else {
                due[i] = fake_now + below(50);
                timer_arm(&shot[i].t, due[i]);
                shot[i].arm_seq = ++seq;
            }
        }
        uint64_t next = TIME_NEVER, until = fake_now + 25;
        unsigned expect = 0;
        for (unsigned i = 0; i < ARRAY_LEN(shot); i++) {
            next = MIN(next, due[i]);
            expect += due[i] <= until;
            if (timer_armed(&shot[i].t) != (due[i] != TIME_NEVER)) wrong++;
        }
        if (clock_next(c) != next) wrong++;
        clock_run(c, until);
        if (n_fired != expect) wrong++;
        for (unsigned k = 1; k < n_fired; k++) {
            unsigned a = (unsigned)(fired[k - 1] - shot), b = (unsigned)(fired[k] - shot);
            if (due[a] > due[b] || (due[a] == due[b] && shot[a].arm_seq > shot[b].arm_seq)) wrong++;
        }
        if (clock_next(c) <= until) wrong++;
        for (unsigned i = 0; i < ARRAY_LEN(shot); i++) timer_cancel(&shot[i].t);
        if (clock_next(c) != TIME_NEVER) wrong++;
        fake_now = until;
    }
    CHECK(wrong == 0);
    rescheds = 0;
    timer_arm(&shot[0].t, 1000), timer_arm(&shot[1].t, 2000), timer_arm(&shot[2].t, 500);
    CHECK(rescheds == 2);
    timer_restore(&shot[2].t, 1000, 0); /* older than shot 0 */
    n_fired = 0;
    clock_run(c, 1000);
    CHECK(n_fired == 2 && fired[0] == &shot[2] && fired[1] == &shot[0]);
    timer_init(&shot[3].t, c, rearm_now, &shot[3]);
    timer_arm(&shot[3].t, fake_now);
    n_fired = 0;
    clock_run(c, fake_now);
    CHECK(n_fired > 1000 && timer_armed(&shot[3].t)); /* came back */
    clock_delete(c);

    CHECK(clock_ticks(0, 1193182) == 0);
    CHECK(clock_ticks(999999999, 1) == 0 && clock_ticks(1000000000, 1) == 1);
    CHECK(clock_ticks(UINT64_C(86400) * 365 * NS_PER_SEC + 1, 1193182) == UINT64_C(86400) * 365 * 1193182);
    CHECK(clock_ticks(999999999, UINT64_C(4000000000000)) == UINT64_C(3999999996000));
    CHECK(clock_ticks(1, UINT64_C(18000000000000000000)) == UINT64_C(18000000000));
    CHECK(clock_ticks_to_ns(1, 3) == 333333334 && clock_ticks_to_ns(3, 3) == NS_PER_SEC);
    CHECK(clock_ticks_to_ns(UINT64_MAX, 1) == TIME_NEVER && clock_ticks_to_ns(5, 0) == TIME_NEVER);
    CHECK(clock_ticks_to_ns(UINT64_MAX - 1, UINT64_MAX) == NS_PER_SEC);
    wrong = 0;
    for (unsigned i = 0; i < 20000; i++) { /* the two are each other's inverse: the first ns with that tick */
        uint64_t hz = 1 + rng() % (i & 1 ? 999999999u : UINT64_C(100000000)), t = rng() >> (24 + below(30));
        uint64_t ns = clock_ticks_to_ns(t, hz);
        if (ns == TIME_NEVER) continue;
        if (clock_ticks(ns, hz) != t) wrong++;
        if (ns && clock_ticks(ns - 1, hz) >= t) wrong++;
    }
    CHECK(wrong == 0);
}

/* ---- described state ---- */
struct inner { uint8_t a; int32_t b; uint16_t arr[3]; };
static const struct state_field inner_state[] = {
    STATE_INT(struct inner, a), STATE_INT_RESET(struct inner, b, (uint64_t)-2), STATE_ARR_RESET(struct inner, arr, 7), STATE_END
};
enum colour { RED, GREEN };
struct thing {
    struct device dev;
    uint8_t u8;
    bool flag;
    int16_t s16;
    uint32_t u32;
    uint64_t u64;
    enum colour colour;
    uint32_t grid[3][4];
    struct inner one, many[3];
    struct timer timer, timer2;
    struct irq_line irq, irqs[2];
    uint8_t *fifo;
    uint32_t fifo_len;
    uint8_t *nvram;
    uint64_t nvram_size;
    void *cache;
    /* properties */
    uint8_t p8;
    uint16_t p16;
    uint32_t p32;
    uint64_t p64, psize;
    bool pbool;
    char *pstr;
    void *chr, *drive;
    uint8_t mac[6];
};
static const struct state_field thing_state[] = {
    STATE_INT_RESET(struct thing, u8, 0x12), STATE_INT_RESET(struct thing, flag, true), STATE_INT(struct thing, s16),
    STATE_INT(struct thing, u32), STATE_INT(struct thing, u64), STATE_INT_RESET(struct thing, colour, GREEN),
    STATE_ARR2_RESET(struct thing, grid, 5), STATE_STRUCT(struct thing, one, 1, inner_state),
    STATE_STRUCT(struct thing, many, 3, inner_state), STATE_TIMER(struct thing, timer),
    STATE_TIMER_RESET(struct thing, timer2), STATE_IRQ(struct thing, irq, 1), STATE_IRQ(struct thing, irqs, 2),
    STATE_BUF(struct thing, fifo, 64, fifo_len), STATE_RUNTIME(struct thing, fifo_len),
    STATE_BUF_FIXED(struct thing, nvram, nvram_size), STATE_PROP(struct thing, nvram_size),
    STATE_RUNTIME(struct thing, cache), STATE_END
};
static const struct prop_desc thing_props[] = {
    PROP(struct thing, PROP_U8, "p8", p8, 3, "eight bits"), PROP(struct thing, PROP_U16, "p16", p16, 0x1234, NULL),
    PROP(struct thing, PROP_U32, "p32", p32, 0, NULL), PROP(struct thing, PROP_U64, "p64", p64, 0, NULL),
    PROP(struct thing, PROP_SIZE, "psize", psize, 4096, NULL), PROP(struct thing, PROP_BOOL, "pbool", pbool, 1, NULL),
    PROP_STRING(struct thing, "pstr", pstr, "default", NULL), PROP(struct thing, PROP_CHR, "chardev", chr, 0, NULL),
    PROP(struct thing, PROP_DRIVE, "drive", drive, 0, NULL), PROP(struct thing, PROP_MAC, "mac", mac, 0, NULL), PROP_END
};
static unsigned irq_calls;
static bool irq_level;
static void irq_in(void *opaque, unsigned n, bool level) { (void)opaque, (void)n, irq_calls++, irq_level = level; }
static void nothing(void *opaque) { (void)opaque; }

static int thing_realize(struct device *d, struct error *e)
{
    struct thing *t = (struct thing *)d;
    if (t->p8 == 99) return error_set(e, "thing: p8 may not be 99");
    timer_init(&t->timer, d->clock, nothing, t);
    timer_init(&t->timer2, d->clock, nothing, t);
    t->nvram_size = t->psize;
    t->nvram = mem_zalloc((size_t)t->psize);
    return 0;
}
static void thing_unrealize(struct device *d)
{
    struct thing *t = (struct thing *)d;
    mem_free(t->fifo);
    mem_free(t->nvram);
}
static void thing_reset(struct device *d) { irq_raise(&((struct thing *)d)->irq); }
static int thing_post_load(struct device *d, struct error *e)
{
    struct thing *t = (struct thing *)d;
    if (t->u32 == 0xdead) return error_set(e, "thing: u32 may not be 0xdead");
    return 0;
}
static const struct reg_desc thing_regs[] = { { 0, "CTRL", 4 }, { 4, "STAT", 4 }, REG_END };
static const struct dev_desc thing_desc = {
    .name = "thing", .bus = BUS_PCI, .size = sizeof(struct thing), .props = thing_props, .state = thing_state,
    .regs = thing_regs, .realize = thing_realize, .unrealize = thing_unrealize, .reset = thing_reset,
    .post_load = thing_post_load,
};
struct empty { struct device dev; };
static const struct dev_desc empty_desc = { .name = "empty", .size = sizeof(struct empty) };

static void noise(struct thing *t)
{
    t->u8 = (uint8_t)rng(), t->flag = rng() & 1, t->s16 = (int16_t)rng(), t->u32 = (uint32_t)rng() | 1u << 31;
    t->u64 = rng(), t->colour = rng() & 1 ? RED : GREEN;
    for (unsigned i = 0; i < 12; i++) t->grid[i / 4][i % 4] = (uint32_t)rng();
    t->one.a = (uint8_t)rng(), t->many[2].b = (int32_t)rng(), t->many[1].arr[2] = (uint16_t)rng();
    timer_arm(&t->timer, rng() >> 8);
    if (rng() & 1) timer_arm(&t->timer2, rng() >> 8);
    else timer_cancel(&t->timer2);
    t->irqs[1].level = rng() & 1;
    if (!t->fifo) t->fifo = mem_zalloc(64);
    t->fifo_len = below(65);
    for (unsigned i = 0; i < 64; i++) t->fifo[i] = (uint8_t)rng();
    for (unsigned i = 0; i < t->nvram_size; i++) t->nvram[i] = (uint8_t)(rng() >> 9);
}

static struct thing *new_thing(struct machine_bus *mb)
{
    struct device *d = dev_create(mb, &thing_desc, NULL, NULL);
    dev_set_prop(d, "psize", "100", NULL);
    CHECK(dev_realize(d, NULL) == 0);
    return (struct thing *)d;
}

static void test_state(void)
{
    struct machine_bus *m1 = mb_new(64), *m2 = mb_new(64);
    struct thing *a = new_thing(m1), *b = new_thing(m2);
    char text[256];
    struct error e = ERROR_INIT;
    unsigned wrong = 0;

    irq_connect(&a->irq, irq_in, NULL, 0);
    a->u32 = 77;
    timer_arm(&a->timer, 50), timer_arm(&a->timer2, 60);
    irq_raise(&a->irqs[0]);
    mb_reset(m1);
    CHECK(a->u8 == 0x12 && a->flag && a->colour == GREEN && a->grid[2][3] == 5 && a->one.b == -2 &&
          a->many[2].arr[1] == 7 && a->u32 == 77);
    CHECK(timer_armed(&a->timer) && !timer_armed(&a->timer2));
    CHECK(irq_level && irq_calls == 1 && a->irq.level && !a->irqs[0].level);
    mb_reset(m1); /* lowered by the table, raised by the device */
    CHECK(irq_calls == 3 && irq_level);
    irq_connect(&a->irq, irq_in, NULL, 0); /* an input that comes late hears of a high level */
    CHECK(irq_calls == 4);

    CHECK(dev_audit(&thing_desc) == -1);
    CHECK(dev_audit(&empty_desc) == -1);
    struct state_field less[ARRAY_LEN(thing_state)];
    for (unsigned skip = 0; skip + 1 < ARRAY_LEN(thing_state); skip++) { /* forgetting any wide field is found */
        if (thing_state[skip].size < 8) continue; /* less may pass for padding */
        unsigned n = 0;
        for (unsigned i = 0; i < ARRAY_LEN(thing_state); i++)
            if (i != skip) less[n++] = thing_state[i];
        struct dev_desc d = thing_desc;
        d.state = less;
        long at = dev_audit(&d);
        if (at < 0 || at > (long)thing_state[skip].offset) wrong++;
    }
    CHECK(wrong == 0);

    /* Round trips. */
    struct state_buf s = { 0 };
    for (unsigned i = 0; i < 50; i++) {
        noise(a);
        noise(b);
        s.len = s.pos = 0;
        mb_save(m1, &s);
        if (i && mb_hash(m1) == mb_hash(m2)) wrong++;
        if (mb_load(m2, &s, &e) || s.pos != s.len) wrong++;
        if (mb_hash(m1) != mb_hash(m2)) wrong++;
        if (state_diff(a, b, thing_state, text, sizeof text)) wrong++;
        if (clock_next(m1->clock) != clock_next(m2->clock)) wrong++;
    }
    if (!CHECK(wrong == 0) && e.set) printf("  %s\n", e.msg);
    b->many[1].arr[2] ^= 0xff;
    CHECK(state_diff(a, b, thing_state, text, sizeof text) && !strncmp(text, "many[1].arr[2]: 0x", 18));
    CHECK(mb_hash(m1) != mb_hash(m2));

    /* A device whose state cannot be is refused by it. */
    a->u32 = 0xdead;
    s.len = s.pos = 0;
    mb_save(m1, &s);
    CHECK(mb_load(m2, &s, &e) && !strcmp(e.msg, "thing: u32 may not be 0xdead"));
    a->u32 = 1;

    /* Other capacities and kinds: errors name the field. */
    s.len = s.pos = 0;
    state_save(a, thing_state, &s);
    struct state_field other[ARRAY_LEN(thing_state)];
    memcpy(other, thing_state, sizeof other);
    other[3].name = "renamed";
    error_clear(&e);
    CHECK(state_load(b, other, &s, "thing", &e) &&
          !strcmp(e.msg, "thing: the saved state has a field \"u32\", which is not known here"));
    s.pos = 0;
    other[3].name = "u32", other[3].kind = ST_U16;
    error_clear(&e);
    CHECK(state_load(b, other, &s, "thing", &e) && strstr(e.msg, "\"u32\" was saved as a 32-bit integer and is a 16-bit"));
    s.pos = 0;
    memcpy(other, thing_state, sizeof other);
    other[6].count = 11;
    error_clear(&e);
    CHECK(state_load(b, other, &s, "thing", &e) && strstr(e.msg, "\"grid\" was saved with 12 elements and has 11"));
    s.pos = 0;
    memcpy(other, thing_state, sizeof other);
    a->fifo_len = 60;
    s.len = 0;
    state_save(a, thing_state, &s);
    other[13].count = 59;
    error_clear(&e);
    CHECK(state_load(b, other, &s, "thing", &e) && strstr(e.msg, "\"fifo\" was saved with 60 bytes"));
    s.pos = 0;
    b->nvram_size = 99;
    error_clear(&e);
    CHECK(state_load(b, thing_state, &s, "thing", &e) && strstr(e.msg, "\"nvram\" was saved with 100 bytes"));
    b->nvram_size = 100;
    static const struct state_field later[] = { STATE_INT(struct inner, a),
        { .name = "b", .kind = ST_U32, .offset = offsetof(struct inner, b), .size = 4, .count = 1, .flags = STF_SINCE2 }, STATE_END };
    static const struct state_field sooner[] = { STATE_INT(struct inner, a), STATE_END };
    struct inner in = { 9, 8, { 0 } }, out = { 1, 2, { 0 } };
    s.len = s.pos = 0;
    state_save(&in, sooner, &s);
    CHECK(!state_load(&out, later, &s, "in", &e) && out.a == 9 && out.b == 2);
    s.pos = 0;
    error_clear(&e);
    CHECK(state_load(&out, inner_state, &s, "in", &e) && strstr(e.msg, "lacks the field \"b\""));

    /* Streams that were cut or changed: an error or another state, never a crash. */
    s.len = s.pos = 0;
    noise(a);
    mb_save(m1, &s);
    unsigned refused = 0, taken = 0;
    uint8_t *good = mem_alloc(s.len);
    memcpy(good, s.data, s.len);
    for (unsigned i = 0; i < 20000; i++) {
        struct state_buf f = { s.data, s.len, s.len, 0 };
        memcpy(s.data, good, s.len);
        if (i & 1) f.len = below((unsigned)s.len);
        for (unsigned k = below(4); k; k--) f.data[below((unsigned)s.len)] = (uint8_t)(rng() >> 11);
        error_clear(&e);
        if (mb_load(m2, &f, &e)) refused += e.set;
        else taken++;
    }
    CHECK(refused > 10000 && refused + taken == 20000);
    memcpy(s.data, good, s.len);
    s.pos = 0;
    CHECK(!mb_load(m2, &s, &e) && mb_hash(m1) == mb_hash(m2)); /* nothing was left behind */
    mem_free(good);
    state_buf_free(&s);
    mb_delete(m1);
    mb_delete(m2);
}

/* ---- devices ---- */
static int backend;
static void *resolve(enum prop_kind kind, const char *id, struct error *e)
{
    if (kind == PROP_CHR && !strcmp(id, "serial0")) return &backend;
    error_set(e, "no such id");
    return NULL;
}

static void bad_prop(struct device *d, const char *prop, const char *value, const char *want)
{
    struct error e = ERROR_INIT;
    bool ok = dev_set_prop(d, prop, value, &e) == -1 && !strcmp(e.msg, want);
    if (!CHECK(ok)) printf("  %s=%s: %s\n", prop, value, e.msg);
}

static void test_devices(void)
{
    struct machine_bus *mb = mb_new(32);
    struct error e = ERROR_INIT;

    dev_register(&thing_desc), dev_register(&empty_desc), dev_register(&thing_desc);
    CHECK(dev_iterate(0) == &thing_desc && dev_iterate(1) == &empty_desc && !dev_iterate(2));
    CHECK(dev_find("empty") == &empty_desc && !dev_find("none"));
    CHECK(!strcmp(dev_reg_name(&thing_desc, 4), "STAT") && !dev_reg_name(&thing_desc, 8));
    dev_resolve_backend = resolve;

    struct device *bridge = dev_make(mb, "empty", NULL, &e);
    struct device *d = dev_create(mb, &thing_desc, bridge, "t0");
    struct thing *t = (struct thing *)d;
    CHECK(t->p8 == 3 && t->p16 == 0x1234 && t->psize == 4096 && t->pbool && !strcmp(t->pstr, "default"));
    CHECK(!strcmp(d->path, "/empty/t0"));
    CHECK(!dev_set_prop(d, "p8", "0xff", &e) && t->p8 == 255);
    CHECK(!dev_set_prop(d, "p64", "18446744073709551615", &e) && t->p64 == UINT64_MAX);
    CHECK(!dev_set_prop(d, "psize", "3M", &e) && t->psize == 3 << 20);
    CHECK(!dev_set_prop(d, "pbool", "off", &e) && !t->pbool);
    CHECK(!dev_set_prop(d, "pstr", "hello", &e) && !strcmp(t->pstr, "hello"));
    CHECK(!dev_set_prop(d, "chardev", "serial0", &e) && t->chr == &backend);
    CHECK(!dev_set_prop(d, "mac", "52:54:00:12:34:5F", &e) && t->mac[5] == 0x5f);
    bad_prop(d, "p8", "256", "device \"thing\": property \"p8\" is a number from 0 to 255, not \"256\"");
    bad_prop(d, "p16", "-1", "device \"thing\": property \"p16\" is a number from 0 to 65535, not \"-1\"");
    bad_prop(d, "p32", "1k", "device \"thing\": property \"p32\" is a number from 0 to 4294967295, not \"1k\"");
    bad_prop(d, "psize", "99999999E", "device \"thing\": property \"psize\" is a size from 0 to 18446744073709551615, not \"99999999E\"");
    bad_prop(d, "pbool", "maybe", "device \"thing\": property \"pbool\" is on or off, not \"maybe\"");
    bad_prop(d, "mac", "52:54:00", "device \"thing\": property \"mac\" is a MAC address like 52:54:00:12:34:56, not \"52:54:00\"");
    bad_prop(d, "drive", "hd9", "device \"thing\": property \"drive\": cannot use \"hd9\": no such id");
    bad_prop(d, "colour", "red", "device \"thing\" has no property \"colour\" (value \"red\")");
    CHECK(!dev_set_int(d, "p16", 7) && t->p16 == 7 && dev_set_int(d, "p16", 70000) && dev_set_int(d, "pstr", 1));
    CHECK(!dev_set_ptr(d, "drive", &backend) && t->drive == &backend && dev_set_ptr(d, "p8", NULL));
    CHECK(!dev_set_prop(d, "psize", "16", &e));
    CHECK(!dev_realize(d, &e) && d->realized && dev_set_prop(d, "p8", "1", NULL) == -1);

    struct device *d2 = dev_create(mb, &thing_desc, bridge, NULL), *d3 = dev_create(mb, &thing_desc, bridge, NULL);
    CHECK(!strcmp(d2->path, "/empty/thing") && !strcmp(d3->path, "/empty/thing#2"));
    dev_set_int(d2, "p8", 99);
    CHECK(dev_realize(d2, &e) == -1 && !strcmp(e.msg, "thing: p8 may not be 99"));
    dev_destroy(d2);
    dev_destroy(d3);
    error_clear(&e);
    CHECK(!dev_make(mb, "nothing", NULL, &e) && !strcmp(e.msg, "there is no device \"nothing\" in this program"));

    dumped[0] = 0;
    mb_dump(mb, put_line, NULL);
    CHECK(!strcmp(dumped, "bus: main-system-bus\n  type System\n  dev: empty, id \"\"\n    bus: pci.0\n      type PCI\n"
                          "      dev: thing, id \"t0\"\n        p8 = 255 (0xff)\n        p16 = 7 (0x7)\n        p32 = 0 (0x0)\n"
                          "        p64 = 18446744073709551615 (0xffffffffffffffff)\n        psize = 16 (0x10)\n"
                          "        pbool = false\n        pstr = \"hello\"\n        chardev = \"serial0\"\n        drive = \"\"\n"
                          "        mac = \"52:54:00:12:34:5f\"\n"));
    dumped[0] = 0;
    dev_help(&thing_desc, put_line, NULL);
    CHECK(!strncmp(dumped, "thing.p8=uint8 (eight bits)\nthing.p16=uint16\n", 45) && strstr(dumped, "thing.chardev=str (ID of a chardev"));

    /* -global */
    mb_add_global(mb, "thing", "p8", "5"), mb_add_global(mb, "thing", "p8", "6"), mb_add_global(mb, "other", "p8", "7");
    t = (struct thing *)dev_make(mb, "thing", NULL, &e);
    CHECK(t && t->p8 == 6 && mb->globals->used && !mb->globals->next->next->used);
    mb_add_global(mb, "thing", "p9", "6");
    error_clear(&e);
    CHECK(!dev_make(mb, "thing", NULL, &e) &&
          !strcmp(e.msg, "-global thing.p9=6: device \"thing\" has no property \"p9\" (value \"6\")"));

    /* Machines that differ. */
    struct state_buf s = { 0 };
    struct machine_bus *small = mb_new(32);
    mb_save(mb, &s);
    error_clear(&e);
    CHECK(mb_load(small, &s, &e) && !strcmp(e.msg, "the saved state has 3 devices and this machine 0"));
    for (int i = 0; i < 3; i++) dev_make(small, "empty", NULL, NULL);
    s.pos = 0;
    error_clear(&e);
    CHECK(mb_load(small, &s, &e) && !strcmp(e.msg, "the saved state has a device \"/empty/t0\" (thing), which this machine lacks"));
    state_buf_free(&s);
    mb_delete(small);
    mb_own_region(mb, region_new_ram("r", 4096, NULL));
    mb_delete(mb);
}

int main(void)
{
    test_flatten();
    test_ends();
    test_sizes();
    test_memory();
    test_clock();
    test_state();
    test_devices();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
