/*
 * test-mips-priv.c - the privileged side of the MIPS CPUs, by calling its functions directly:
 * segments, TLB, exception entry and return, interrupts, Count and Compare, registers, models,
 * saved state. No guest code runs.
 */
#include "isa/mips/mips-user.h"
#include "tests/backends.h"
#include "isa/mips/priv.h"

#include <stdio.h>

static unsigned passed, failed;

static void check(bool ok, const char *what, int line)
{
    if (ok) {
        passed++;
        return;
    }
    failed++;
    printf("FAILED line %d: %s\n", line, what);
}
#define CHECK(x)       check((x), #x, __LINE__)
#define CHECK_EQ(a, b) check_eq((uint64_t)(a), (uint64_t)(b), #a " == " #b, __LINE__)

static void check_eq(uint64_t a, uint64_t b, const char *what, int line)
{
    check(a == b, what, line);
    if (a != b) printf("    %016llx != %016llx\n", (unsigned long long)a, (unsigned long long)b);
}

/* ---- a CPU on a clock that the test moves ------------------------------- */

struct fix {
    struct engine *engine;
    struct cpu_world world;
    struct cpu *c;
    struct mips_cpu *m;
    struct bus_clock *clock;
    uint64_t now;
};

static uint64_t fix_now(void *opaque)
{
    return ((struct fix *)opaque)->now;
}

static void open_fix(struct fix *f, const struct isa *isa, const char *model, bool big_endian,
                     bool user)
{
    struct engine_config cfg = { .mode = getenv("QUERN_ACCEL") ? ENGINE_FAST : ENGINE_REF };
    engine_from_environment(&cfg);
    struct error e = ERROR_INIT;
    memset(f, 0, sizeof *f);
    f->world.user = user;
    f->engine = engine_new(&cfg, NULL);
    f->c = cpu_new(isa->guest, &f->world, f->engine, NULL, 0);
    f->m = mips_cpu(f->c);
    const struct cpu_model *md = isa_find_model(isa, model);
    if (!md || isa->init(f->c, md, big_endian, user, &e)) {
        printf("cannot make %s: %s\n", model, e.msg);
        exit(1);
    }
    if (user) return;
    f->clock = clock_new();
    clock_connect(f->clock, fix_now, NULL, f);
    isa->connect_clock(f->c, f->clock);
}

static void close_fix(struct fix *f)
{
    if (f->clock) timer_cancel(&f->m->timer);
    clock_delete(f->clock);
    cpu_delete(f->c);
    engine_delete(f->engine);
}

static void advance(struct fix *f, uint64_t to)
{
    f->now = to;
    clock_run(f->clock, to);
}

#define R(n, sel) ((n)*8 + (sel))
static void mtc0(struct fix *f, unsigned reg, uint64_t v)
{
    mips_helper_mtc0(f->c, reg, v, 0);
}
static void dmtc0(struct fix *f, unsigned reg, uint64_t v)
{
    mips_helper_dmtc0(f->c, reg, v, 0);
}
static uint64_t mfc0(struct fix *f, unsigned reg)
{
    return mips_helper_mfc0(f->c, reg, 0, 0);
}
static uint64_t dmfc0(struct fix *f, unsigned reg)
{
    return mips_helper_dmfc0(f->c, reg, 0, 0);
}

/* Did translating succeed? Otherwise c->exc tells. */
static bool xlate(struct fix *f, uint64_t va, enum mem_access a, struct mmu_hit *h)
{
    memset(h, 0, sizeof *h);
    return mips_mmu(f->c, va, a, mips_mmu_mode(f->c), false, h);
}

static void tlb_write(struct fix *f, unsigned i, uint64_t hi, uint64_t lo0, uint64_t lo1,
                      uint32_t mask)
{
    mtc0(f, R(0, 0), i);
    mtc0(f, R(5, 0), mask);
    dmtc0(f, R(10, 0), hi);
    dmtc0(f, R(2, 0), lo0);
    dmtc0(f, R(3, 0), lo1);
    mips_helper_tlbwi(f->c, 0, 0, 0);
}

static void raise_at(struct fix *f, uint64_t pc, uint32_t flags, uint32_t code, uint32_t sub,
                     uint64_t addr)
{
    mips_put_pc(f->m, pc);
    f->c->insn_flags = flags;
    f->c->exc = (struct exception){ .code = code, .sub = sub, .addr = addr };
    mips_exception(f->c);
}

enum { LO_G = 1, LO_V = 2, LO_D = 4, LO_C3 = 3 << 3 };

/* ---- models, reset, registers ------------------------------------------- */

static void test_models(void)
{
    static const struct {
        const struct isa *isa;
        const char *name;
        uint32_t prid, tlb;
        bool fpu;
    } want[] = {
        { &mips32_isa, "4Kc", 0x18000, 16, false },
        { &mips32_isa, "4Km", 0x18300, 0, false },
        { &mips32_isa, "4KEc", 0x19000, 16, false },
        { &mips32_isa, "4KEm", 0x19100, 0, false },
        { &mips32_isa, "24Kc", 0x19300, 64, false },
        { &mips32_isa, "24kf", 0x19300, 64, true },
        { &mips32_isa, "34Kf", 0x19500, 64, true },
        { &mips32_isa, "74Kf", 0x19700, 64, true },
        { &mips64_isa, "R4000", 0x400, 48, true },
        { &mips64_isa, "5Kc", 0x18100, 32, false },
        { &mips64_isa, "5Kf", 0x18100, 32, true },
        { &mips64_isa, "20Kc", 0x182a0, 48, true },
        { &mips64_isa, "MIPS64R2-generic", 0x10000, 64, true },
        { &mips64_isa, "5KEf", 0x18900, 32, true },
    };
    for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
        struct fix f;
        open_fix(&f, want[i].isa, want[i].name, i & 1, false);
        CHECK_EQ(mfc0(&f, R(15, 0)), want[i].prid);
        CHECK_EQ(mfc0(&f, R(12, 0)), SR_BEV | SR_ERL);
        CHECK_EQ(!!(mfc0(&f, R(16, 0)) & C0_BE), i & 1);
        if (!f.m->model->r4000_style) {
            uint32_t c1 = (uint32_t)mfc0(&f, R(16, 1));
            CHECK_EQ(want[i].tlb ? (c1 >> 25 & 63) + 1 : 0, want[i].tlb);
            CHECK_EQ(c1 & C1_FP, want[i].fpu);
            CHECK_EQ(!!(c1 & C1_CA), !!(f.m->model->isa & MIPS_16E));
            CHECK(c1 & CONFIG_M || !f.m->config3);
        }
        mtc0(&f, R(12, 0), 0xffffffff);
        CHECK_EQ(!!(f.m->status & SR_CU1), want[i].fpu);
        CHECK_EQ(!!(f.m->status & SR_KX), f.m->is64);
        CHECK_EQ(f.m->status & (SR_SR | SR_NMI | SR_TS), 0); /* only clearable */
        CHECK_EQ(mips_get_pc(f.m), f.m->is64 ? VA_RESET : (uint32_t)VA_RESET);
        close_fix(&f);
    }
    /* A model of the other width is refused. */
    struct fix f;
    struct error e = ERROR_INIT;
    open_fix(&f, &mips32_isa, "24Kf", false, false);
    CHECK(mips32_isa.init(f.c, isa_find_model(&mips64_isa, "5KEf"), false, false, &e) == -1 &&
          e.set);
    CHECK(!isa_find_model(&mips32_isa, "5KEf"));
    close_fix(&f);
}

static void test_targets(void)
{
    bool be = false;
    CHECK(isa_find_target("mips", &be) == &mips32_isa && be);
    CHECK(isa_find_target("mipsel", &be) == &mips32_isa && !be);
    CHECK(isa_find_target("mipsn32", &be) == &mips64_isa && be);
    CHECK(isa_find_target("mips64el", &be) == &mips64_isa && !be);
    CHECK(!isa_find_target("vax", &be));
    CHECK(isa_find("mips64") == &mips64_isa && !isa_find("mips"));
}

static void test_registers(void)
{
    struct fix f;
    open_fix(&f, &mips32_isa, "24Kf", true, false);
    mtc0(&f, R(5, 0), 0xffffffff);
    CHECK_EQ(mfc0(&f, R(5, 0)), 0x1fffe000);
    mtc0(&f, R(5, 0), 0x0000e000); /* an odd bit: 16 KiB pages at most */
    CHECK_EQ(mfc0(&f, R(5, 0)), 0x6000);
    mtc0(&f, R(10, 0), 0xffffffff);
    CHECK_EQ(mfc0(&f, R(10, 0)), sign32(0xffffe0ff));
    mtc0(&f, R(2, 0), 0xffffffff);
    CHECK_EQ(mfc0(&f, R(2, 0)), 0x03ffffff);
    mtc0(&f, R(4, 0), 0xffffffff);
    CHECK_EQ(mfc0(&f, R(4, 0)), sign32(0xff800000));
    mtc0(&f, R(15, 1), 0xffffffff);
    CHECK_EQ(mfc0(&f, R(15, 1)), sign32(0xbffff000));
    mtc0(&f, R(13, 0), 0xffffffff);
    CHECK_EQ(mfc0(&f, R(13, 0)), 0x08800300);
    mtc0(&f, R(7, 0), 0xffffffff);
    CHECK_EQ(mfc0(&f, R(7, 0)), 0x2000000f);
    CHECK_EQ(f.c->key & (MK_HWR_ULR | 0xfu << MK_HWRENA_SHIFT),
             MK_HWR_ULR | 0xfu << MK_HWRENA_SHIFT);
    mtc0(&f, R(16, 0), 3);
    CHECK_EQ(mfc0(&f, R(16, 0)) & 7, 3);
    CHECK_EQ(mfc0(&f, R(22, 7)), 0); /* no such register */
    mtc0(&f, R(4, 2), 0x12345678);
    CHECK_EQ(f.m->ulocal.w, 0x12345678);
    /* Random stays between Wired and the last entry, and does move. */
    mtc0(&f, R(6, 0), 60);
    unsigned seen = 0;
    for (unsigned i = 0; i < 100; i++) {
        uint64_t r = mfc0(&f, R(1, 0));
        CHECK(r >= 60 && r < 64);
        seen |= 1u << (r - 60);
    }
    CHECK_EQ(seen, 15);
    close_fix(&f);

    open_fix(&f, &mips64_isa, "5KEf", true, false);
    dmtc0(&f, R(10, 0), UINT64_MAX);
    CHECK_EQ(dmfc0(&f, R(10, 0)), UINT64_C(0xc00003ffffffe0ff));
    dmtc0(&f, R(20, 0), UINT64_MAX);
    CHECK_EQ(dmfc0(&f, R(20, 0)), UINT64_C(0xfffffff800000000));
    dmtc0(&f, R(14, 0), UINT64_C(0x123456789abcdef0));
    CHECK_EQ(dmfc0(&f, R(14, 0)), UINT64_C(0x123456789abcdef0));
    CHECK_EQ(mfc0(&f, R(14, 0)), sign32(0x9abcdef0));
    mtc0(&f, R(14, 0), 0x80000000);
    CHECK_EQ(dmfc0(&f, R(14, 0)), VA_KSEG0);
    close_fix(&f);
}

static void test_key(void)
{
    struct fix f;
    open_fix(&f, &mips64_isa, "5KEf", true, false);
    CHECK_EQ(f.c->key & (MK_KERNEL | MK_CP0 | MK_64 | MK_ADDR64 | MK_BE),
             MK_KERNEL | MK_CP0 | MK_64 | MK_BE);
    CHECK_EQ(mips_mmu_mode(f.c), 3);
    mtc0(&f, R(12, 0), SR_KX);
    CHECK_EQ(mips_mmu_mode(f.c), 0);
    CHECK(f.c->key & MK_ADDR64);
    mtc0(&f, R(12, 0), 2 << SR_KSU_SHIFT);
    CHECK_EQ(f.c->key & (MK_KERNEL | MK_SUPER | MK_CP0 | MK_64 | MK_ADDR64), 0);
    CHECK_EQ(mips_mmu_mode(f.c), 2);
    mtc0(&f, R(12, 0), 2 << SR_KSU_SHIFT | SR_PX);
    CHECK_EQ(f.c->key & (MK_64 | MK_ADDR64), MK_64);
    mtc0(&f, R(12, 0), 2 << SR_KSU_SHIFT | SR_UX | SR_CU0 | SR_RE);
    CHECK_EQ(f.c->key & (MK_64 | MK_ADDR64 | MK_CP0 | MK_BE), MK_64 | MK_ADDR64 | MK_CP0);
    mtc0(&f, R(12, 0), 2 << SR_KSU_SHIFT | SR_EXL | SR_RE);
    CHECK_EQ(f.c->key & (MK_KERNEL | MK_BE), MK_KERNEL | MK_BE);
    mtc0(&f, R(12, 0), 1 << SR_KSU_SHIFT);
    CHECK_EQ(f.c->key & (MK_KERNEL | MK_SUPER | MK_64), MK_SUPER);
    mtc0(&f, R(12, 0), 3 << SR_KSU_SHIFT); /* reserved: keeps the mode */
    CHECK_EQ(f.m->status & SR_KSU, 1 << SR_KSU_SHIFT);
    close_fix(&f);

    open_fix(&f, &mips64_isa, "5KEf", false, true);
    CHECK_EQ(f.c->key & (MK_USERLAND | MK_64 | MK_ADDR64 | MK_FR | MK_CP1 | MK_BE),
             MK_USERLAND | MK_64 | MK_ADDR64 | MK_FR | MK_CP1);
    mips_user_setup(f.c, MIPS_ABI_N32);
    CHECK_EQ(f.c->key & (MK_64 | MK_ADDR64 | MK_FR), MK_64 | MK_FR);
    mips_user_setup(f.c, MIPS_ABI_O32);
    CHECK_EQ(f.c->key & (MK_64 | MK_ADDR64 | MK_FR), 0);
    mips_update_key(f.m);
    CHECK_EQ(f.c->key & (MK_64 | MK_ADDR64 | MK_FR | MK_USERLAND), MK_USERLAND);
    close_fix(&f);
}

/* ---- addresses ---------------------------------------------------------- */

static void test_segments32(void)
{
    struct fix f;
    struct mmu_hit h;
    open_fix(&f, &mips32_isa, "24Kf", false, false);
    CHECK(xlate(&f, 0xbfc00000, ACCESS_EXEC, &h) && h.phys == 0x1fc00000 && h.uncached);
    CHECK(xlate(&f, 0x80001234, ACCESS_WRITE, &h) && h.phys == 0x1234 &&
          h.prot == (MMU_R | MMU_W | MMU_X));
    CHECK(xlate(&f, 0x00400000, ACCESS_READ, &h) && h.phys == 0x400000 &&
          h.uncached); /* ERL: unmapped */
    mtc0(&f, R(12, 0), 0);
    CHECK(!xlate(&f, 0x00400000, ACCESS_READ, &h) && f.c->exc.code == (ME_TLBL | ME_TLB_REFILL) &&
          f.c->exc.addr == 0x400000);
    CHECK(!xlate(&f, 0xc0000000, ACCESS_WRITE, &h) && f.c->exc.code == (ME_TLBS | ME_TLB_REFILL));
    mtc0(&f, R(12, 0), 2 << SR_KSU_SHIFT);
    CHECK(!xlate(&f, 0x80000000, ACCESS_EXEC, &h) && f.c->exc.code == ME_ADEL &&
          f.c->exc.addr == 0x80000000);
    CHECK(!xlate(&f, 0xe0000000, ACCESS_WRITE, &h) && f.c->exc.code == ME_ADES);
    /* A probe leaves the exception alone. */
    f.c->exc.code = 99;
    CHECK(!mips_mmu(f.c, 0x80000000, ACCESS_READ, 2, true, &h) && f.c->exc.code == 99);
    close_fix(&f);

    open_fix(&f, &mips32_isa, "4Km", false, false);
    CHECK(xlate(&f, 0x1000, ACCESS_WRITE, &h) && h.phys == 0x1000);
    mtc0(&f, R(12, 0), 2 << SR_KSU_SHIFT);
    CHECK(xlate(&f, 0x1000, ACCESS_WRITE, &h) && h.phys == 0x40001000);
    CHECK(xlate(&f, 0x7ffff000, ACCESS_WRITE, &h) && h.phys == 0xbffff000);
    CHECK(!xlate(&f, 0xc0000000, ACCESS_READ, &h) && f.c->exc.code == ME_ADEL);
    mtc0(&f, R(12, 0), 0);
    CHECK(xlate(&f, 0xc0001000, ACCESS_READ, &h) && h.phys == 0xc0001000);
    close_fix(&f);
}

static void test_segments64(void)
{
    struct fix f;
    struct mmu_hit h;
    open_fix(&f, &mips64_isa, "5KEf", false, false);
    CHECK(xlate(&f, VA_RESET, ACCESS_EXEC, &h) && h.phys == 0x1fc00000);
    mtc0(&f, R(12, 0), 0);
    CHECK(!xlate(&f, UINT64_C(0x9000000012345678), ACCESS_READ, &h) &&
          f.c->exc.code == ME_ADEL); /* KX off */
    mtc0(&f, R(12, 0), SR_KX);
    CHECK(xlate(&f, UINT64_C(0x9000000012345678), ACCESS_READ, &h) && h.phys == 0x12345678 &&
          h.uncached);
    CHECK(xlate(&f, UINT64_C(0x9800000812345678), ACCESS_READ, &h) &&
          h.phys == UINT64_C(0x812345678) && !h.uncached);
    CHECK(!xlate(&f, UINT64_C(0x9800001012345678), ACCESS_READ, &h) &&
          f.c->exc.code == ME_ADEL); /* above 36 bits */
    CHECK(!xlate(&f, UINT64_C(0xc000000000000000), ACCESS_READ, &h) &&
          f.c->exc.code == (ME_TLBL | ME_TLB_REFILL | ME_XTLB));
    CHECK(!xlate(&f, UINT64_C(0xc00003ff80000000), ACCESS_READ, &h) && f.c->exc.code == ME_ADEL);
    CHECK(!xlate(&f, UINT64_C(0x0000040000000000), ACCESS_READ, &h) && f.c->exc.code == ME_ADEL);
    CHECK(!xlate(&f, UINT64_C(0x0000020000000000), ACCESS_WRITE, &h) &&
          f.c->exc.code == (ME_TLBS | ME_TLB_REFILL)); /* UX off */
    mtc0(&f, R(12, 0), SR_UX | 2 << SR_KSU_SHIFT);
    CHECK(!xlate(&f, UINT64_C(0x0000020000000000), ACCESS_WRITE, &h) &&
          f.c->exc.code == (ME_TLBS | ME_TLB_REFILL | ME_XTLB));
    CHECK(!xlate(&f, UINT64_C(0x4000000000000000), ACCESS_READ, &h) && f.c->exc.code == ME_ADEL);
    CHECK(!xlate(&f, UINT64_C(0x9000000000000000), ACCESS_READ, &h) && f.c->exc.code == ME_ADEL);
    CHECK(!xlate(&f, VA_KSEG0, ACCESS_READ, &h) && f.c->exc.code == ME_ADEL);
    mtc0(&f, R(12, 0), 2 << SR_KSU_SHIFT);
    CHECK(!xlate(&f, 0x80000000, ACCESS_READ, &h) &&
          f.c->exc.code == ME_ADEL); /* not sign-extended */
    mtc0(&f, R(12, 0), SR_SX | 1 << SR_KSU_SHIFT);
    CHECK(!xlate(&f, UINT64_C(0x4000000000000000), ACCESS_READ, &h) &&
          f.c->exc.code == (ME_TLBL | ME_TLB_REFILL | ME_XTLB));
    CHECK(!xlate(&f, UINT64_C(0xffffffffc0000000), ACCESS_READ, &h) &&
          f.c->exc.code == (ME_TLBL | ME_TLB_REFILL | ME_XTLB));
    CHECK(!xlate(&f, UINT64_C(0xffffffffe0000000), ACCESS_READ, &h) && f.c->exc.code == ME_ADEL);
    close_fix(&f);
}

static void test_tlb(void)
{
    struct fix f;
    struct mmu_hit h;
    open_fix(&f, &mips32_isa, "24Kf", false, false);
    mtc0(&f, R(12, 0), 0);
    /* 4 KiB pair: even writable, odd clean */
    tlb_write(&f, 5, 0x00400007, 0x1000 << 6 | LO_C3 | LO_V | LO_D, 0x2000 << 6 | LO_C3 | LO_V, 0);
    CHECK(xlate(&f, 0x00400123, ACCESS_READ, &h) && h.phys == (0x1000u << 12 | 0x123) &&
          h.page_bits == 12);
    CHECK_EQ(h.prot, MMU_R | MMU_W | MMU_X);
    CHECK(xlate(&f, 0x00401ffc, ACCESS_READ, &h) && h.phys == (0x2000u << 12 | 0xffc) &&
          h.prot == (MMU_R | MMU_X));
    CHECK(!xlate(&f, 0x00401ffc, ACCESS_WRITE, &h) && f.c->exc.code == ME_MOD);
    mtc0(&f, R(10, 0), 0x00400008); /* another address space */
    CHECK(!xlate(&f, 0x00400123, ACCESS_READ, &h) && f.c->exc.code == (ME_TLBL | ME_TLB_REFILL));
    mips_helper_tlbp(f.c, 0, 0, 0);
    CHECK(mfc0(&f, R(0, 0)) >> 31 & 1);
    mtc0(&f, R(10, 0), 0x00400007);
    mips_helper_tlbp(f.c, 0, 0, 0);
    CHECK_EQ(mfc0(&f, R(0, 0)), 5);
    /* global only when both halves are; invalid half */
    tlb_write(&f, 6, 0xc0000001, 0x3000 << 6 | LO_V | LO_G, LO_G, 0);
    mtc0(&f, R(10, 0), 0x55);
    CHECK(xlate(&f, 0xc0000010, ACCESS_READ, &h) && h.phys == 0x3000010);
    CHECK(!xlate(&f, 0xc0001010, ACCESS_READ, &h) &&
          f.c->exc.code == ME_TLBL); /* invalid, no refill */
    CHECK(!xlate(&f, 0xc0001010, ACCESS_WRITE, &h) && f.c->exc.code == ME_TLBS);
    /* every page size: the PFN's low bits do not count */
    for (uint32_t mask = 0, bits = 12; bits <= 28; mask = mask << 2 | 0x6000, bits += 2) {
        uint32_t size = 1u << bits;
        tlb_write(&f, 7, 0x40000055, (0x02000000 + 0x1000) >> 6 | LO_V | LO_D,
                  (0x20000000 + 0x1000) >> 6 | LO_V | LO_D, mask);
        CHECK(xlate(&f, 0x40000000 + size - 4, ACCESS_WRITE, &h) && h.page_bits == bits);
        CHECK_EQ(h.phys, ((0x02001000u & ~(size - 1)) | (size - 4)));
        CHECK(xlate(&f, 0x40000000 + size + 8, ACCESS_WRITE, &h));
        CHECK_EQ(h.phys, ((0x20001000u & ~(size - 1)) | 8));
        CHECK(!xlate(&f, 0x40000000 + 2 * size, ACCESS_READ, &h));
    }
    /* reading back */
    tlb_write(&f, 9, 0x12344022, 0x123 << 6 | LO_C3 | LO_V, 0x456 << 6 | LO_D | LO_V | 2 << 3,
              0x6000);
    mtc0(&f, R(10, 0), 0), mtc0(&f, R(2, 0), 0), mtc0(&f, R(3, 0), 0), mtc0(&f, R(5, 0), 0);
    mips_helper_tlbr(f.c, 0, 0, 0);
    CHECK_EQ(mfc0(&f, R(10, 0)), 0x12340022);
    CHECK_EQ(mfc0(&f, R(2, 0)), 0x123 << 6 | LO_C3 | LO_V);
    CHECK_EQ(mfc0(&f, R(3, 0)), 0x456 << 6 | LO_D | LO_V | 2 << 3);
    CHECK_EQ(mfc0(&f, R(5, 0)), 0x6000);
    /* TLBWR keeps its hands off wired entries */
    mtc0(&f, R(6, 0), 10);
    for (unsigned i = 0; i < 1000; i++) {
        mtc0(&f, R(10, 0), 0x50000000 + i * 0x2000);
        mips_helper_tlbwr(f.c, 0, 0, 0);
    }
    CHECK_EQ(f.m->tlb[5].vpn, 0x00400000);
    CHECK_EQ(f.m->tlb[9].vpn, 0x12340000);
    CHECK(f.m->tlb[10].inuse && f.m->tlb[63].inuse);
    close_fix(&f);

    open_fix(&f, &mips64_isa, "MIPS64R2-generic", false, false);
    mtc0(&f, R(12, 0), SR_KX | SR_UX);
    tlb_write(&f, 0, UINT64_C(0xc000001234560000), UINT64_C(0x812345) << 6 | LO_V | LO_D | LO_G,
              LO_G, 0);
    CHECK(xlate(&f, UINT64_C(0xc000001234560abc), ACCESS_READ, &h) &&
          h.phys == UINT64_C(0x812345abc));
    CHECK(!xlate(&f, UINT64_C(0x0000001234560abc), ACCESS_READ, &h)); /* other region */
    tlb_write(&f, 1, UINT64_C(0xffffffffc0004000), 0x777 << 6 | LO_V | LO_G, LO_G, 0);
    CHECK(xlate(&f, UINT64_C(0xffffffffc0004000), ACCESS_READ, &h) && h.phys == 0x777000);
    CHECK_EQ(f.m->tlb[1].vpn, UINT64_C(0xc00003ffc0004000));
    close_fix(&f);
}

/* The engine's TLB must forget exactly what the guest took away. */
static struct tlb_entry *at(struct fix *f, unsigned mode, uint64_t va)
{
    return tlb_at(cpu_tlb_of(f->c, mode), va);
}

static struct tlb_entry *plant(struct fix *f, unsigned mode, uint64_t va)
{
    struct tlb_entry *e = at(f, mode, va);
    e->rd = e->wr = va & CPU_PAGE_MASK;
    e->phys = va >> 31 ? TLB_GLOBAL : 0;
    return e;
}

static void test_flush(void)
{
    struct fix f;
    open_fix(&f, &mips32_isa, "24Kf", false, false);
    mtc0(&f, R(12, 0), 0);
    tlb_write(&f, 0, 0x00400001, 1 << 6 | LO_V, 2 << 6 | LO_V, 0);
    tlb_write(&f, 1, 0xc0010001, 1 << 6 | LO_V | LO_G, 2 << 6 | LO_V | LO_G, 0);
    struct tlb_entry *user = plant(&f, 2, 0x00401000), *glob = plant(&f, 0, 0xc0010000),
                     *kseg = plant(&f, 0, 0x80123000);
    mtc0(&f, R(10, 0), 0x00600001); /* same ASID */
    CHECK_EQ(user->rd, 0x00401000);
    mtc0(&f, R(10, 0), 2);
    CHECK(at(&f, 2, 0x00401000)->rd == UINT64_MAX); /* another address space... */
    CHECK_EQ(at(&f, 0, 0xc0010000)->rd, 0xc0010000);
    CHECK_EQ(at(&f, 0, 0x80123000)->rd, 0x80123000);
    mtc0(&f, R(10, 0), 1);
    CHECK_EQ(user->rd, 0x00401000); /* ... and back */
    mtc0(&f, R(10, 0), 2);
    CHECK_EQ(user->rd, 0x00401000);
    glob = at(&f, 0, 0xc0010000), kseg = at(&f, 0, 0x80123000);
    tlb_write(&f, 1, 0xc0100002, LO_G, LO_G, 0); /* replaces the global entry */
    CHECK_EQ(glob->rd, UINT64_MAX);
    CHECK_EQ(kseg->rd, 0x80123000);
    /* a second entry over a live one */
    tlb_write(&f, 2, 0x00800002, 1 << 6 | LO_V, 2 << 6 | LO_V, 0);
    user = plant(&f, 2, 0x00800000);
    tlb_write(&f, 1, 0x00800002, 7 << 6 | LO_V, 2 << 6 | LO_V, 0x1e000);
    CHECK_EQ(user->rd, UINT64_MAX);
    close_fix(&f);

    open_fix(&f, &mips64_isa, "5KEf", false, false);
    mtc0(&f, R(12, 0), SR_KX);
    tlb_write(&f, 0, UINT64_C(0xffffffffc0004000), LO_V | LO_G, LO_V | LO_G, 0);
    tlb_write(&f, 1, UINT64_C(0xc000000000004000), LO_V | LO_G, LO_V | LO_G, 0);
    struct tlb_entry *compat = plant(&f, 0, UINT64_C(0xffffffffc0005000)),
                     *wide = plant(&f, 3, UINT64_C(0xc000000000004000));
    mtc0(&f, R(0, 0), 0);
    mips_helper_tlbwi(f.c, 0, 0, 0);
    CHECK_EQ(compat->rd, UINT64_MAX);
    CHECK_EQ(wide->rd, UINT64_MAX); /* the new entry doubles entry 1 */
    kseg = plant(&f, 0, VA_KSEG0 + 0x10000);
    mtc0(&f, R(12, 0), 0); /* KX off: 64-bit segments are gone */
    CHECK_EQ(kseg->rd, UINT64_MAX);
    close_fix(&f);
}

/* What TLBWR replaces goes on translating until the guest looks for it or flushes. */
static void write_random(struct fix *f, uint64_t hi, uint64_t lo0, uint64_t lo1)
{
    mtc0(f, R(10, 0), hi), mtc0(f, R(2, 0), lo0), mtc0(f, R(3, 0), lo1), mtc0(f, R(5, 0), 0);
    mips_helper_tlbwr(f->c, 0, 0, 0);
}

static bool in_first_level(const struct fix *f, uint64_t vpn, unsigned asid)
{
    return mips_tlb_find(f->m, vpn, asid) >= 0;
}

/* One page at 0x10000000 that has just been replaced. *next: an address that was not used yet. */
static void push_out(struct fix *f, uint64_t *next, uint64_t lo0, uint64_t lo1)
{
    write_random(f, 0x10000003, lo0, lo1);
    for (unsigned i = 0; in_first_level(f, 0x10000000, 3) && i < 4096; i++, *next += 0x2000)
        write_random(f, *next + 3, LO_V, LO_V);
    CHECK(!in_first_level(f, 0x10000000, 3));
}

static void test_second_level(void)
{
    struct fix f;
    struct mmu_hit h;
    const uint64_t lo0 = 0x123 << 6 | LO_V | LO_D, lo1 = 0x456 << 6 | LO_V;
    uint64_t next = 0x20000000;
    open_fix(&f, &mips32_isa, "24Kf", false, false);
    mtc0(&f, R(12, 0), 0);

    push_out(&f, &next, lo0, lo1);
    CHECK(xlate(&f, 0x10000010, ACCESS_WRITE, &h) && h.phys == 0x123010);
    CHECK(xlate(&f, 0x10001010, ACCESS_READ, &h) && h.phys == 0x456010 && !(h.prot & MMU_W));
    /* what it does not allow is a refill: the handlers of other exceptions would look for an entry */
    CHECK(!xlate(&f, 0x10001010, ACCESS_WRITE, &h) && f.c->exc.code == (ME_TLBS | ME_TLB_REFILL));
    mtc0(&f, R(10, 0), 0x10000004); /* another address space */
    CHECK(!xlate(&f, 0x10000010, ACCESS_READ, &h));
    mtc0(&f, R(10, 0), 0x10000003);
    CHECK(xlate(&f, 0x10000010, ACCESS_READ, &h));
    /* looked for: not there, and gone */
    mips_helper_tlbp(f.c, 0, 0, 0);
    CHECK(mfc0(&f, R(0, 0)) >> 31 & 1);
    CHECK(!xlate(&f, 0x10000010, ACCESS_READ, &h) && f.c->exc.code == (ME_TLBL | ME_TLB_REFILL));

    push_out(&f, &next, lo0, lo1); /* the same page anew: the engine's copy goes, too */
    struct tlb_entry *e = plant(&f, 2, 0x10000000);
    write_random(&f, 0x10000003, 0x777 << 6 | LO_V, lo1);
    CHECK(xlate(&f, 0x10000010, ACCESS_READ, &h) && h.phys == 0x777010);
    CHECK_EQ(e->rd, UINT64_MAX);
    mips_helper_tlbp(f.c, 0, 0, 0); /* it makes room for the next */
    mtc0(&f, R(10, 0), 0x30002003);
    mips_helper_tlbwi(f.c, 0, 0, 0);

    push_out(&f, &next, lo0, lo1); /* flushed: by an entry that becomes another one */
    mtc0(&f, R(0, 0), 1);
    mtc0(&f, R(10, 0), 0x30000003);
    mips_helper_tlbwi(f.c, 0, 0, 0);
    CHECK(!xlate(&f, 0x10000010, ACCESS_READ, &h));
    CHECK_EQ(f.m->tlb2_used, 0);

    push_out(&f, &next, lo0, lo1); /* by somebody who looks through all entries */
    mips_helper_tlbr(f.c, 0, 0, 0);
    mtc0(&f, R(10, 0), 3);
    CHECK(!xlate(&f, 0x10000010, ACCESS_READ, &h));

    push_out(&f, &next, lo0, lo1);
    mtc0(&f, R(6, 0), 2); /* Wired */
    CHECK(!xlate(&f, 0x10000010, ACCESS_READ, &h));

    /* it does not grow beyond its size, and counts right */
    for (unsigned i = 0; i < 5000; i++, next += 0x2000) write_random(&f, next + 3, LO_V, i % 3 ? LO_V : 0);
    unsigned used = 0;
    for (unsigned i = 0; i < MIPS_TLB2_MAX; i++) used += f.m->tlb2[i].inuse;
    CHECK_EQ(f.m->tlb2_used, used);
    CHECK(used > MIPS_TLB2_MAX / 2 && !f.m->tlb_doubled);
    close_fix(&f);
}

/* ---- exceptions --------------------------------------------------------- */

static uint32_t exc_code(struct fix *f)
{
    return (f->m->cause & CA_EXC) >> CA_EXC_SHIFT;
}

static void test_exceptions(void)
{
    struct fix f;
    open_fix(&f, &mips32_isa, "24Kf", true, false);
    mtc0(&f, R(12, 0), SR_BEV | 2 << SR_KSU_SHIFT);
    raise_at(&f, 0x00400010, 0, ME_SYS, 0, 0);
    CHECK_EQ(mips_get_pc(f.m), 0xbfc00380);
    CHECK_EQ(f.m->epc, 0x00400010);
    CHECK_EQ(exc_code(&f), ME_SYS);
    CHECK(f.c->key & MK_KERNEL && !(f.m->cause & CA_BD));
    /* nested: EPC and BD stay, general vector even for a refill */
    mtc0(&f, R(12, 0), f.m->status & ~(uint32_t)SR_BEV);
    mtc0(&f, R(15, 1), 0x80100000);
    raise_at(&f, 0x80100200, MI_DS, ME_TLBL | ME_TLB_REFILL, 0, 0x12345678);
    CHECK_EQ(mips_get_pc(f.m), 0x80100180);
    CHECK_EQ(f.m->epc, 0x00400010);
    CHECK(!(f.m->cause & CA_BD));
    CHECK_EQ(f.m->badvaddr, 0x12345678);
    CHECK_EQ(f.m->entryhi, 0x12344000);
    CHECK_EQ(f.m->context & 0x7fffff, (0x12345678 >> 9) & 0x7ffff0);
    CHECK_EQ(mips_helper_eret(f.c, 0, 0, 0), 0x00400010);
    CHECK_EQ(mips_mmu_mode(f.c), 2);
    /* delay slot, refill vector */
    raise_at(&f, 0x00400104, MI_DS, ME_TLBS | ME_TLB_REFILL, 0, 0x00500000);
    CHECK_EQ(mips_get_pc(f.m), 0x80100000);
    CHECK_EQ(f.m->epc, 0x00400100);
    CHECK(f.m->cause & CA_BD);
    CHECK_EQ(exc_code(&f), ME_TLBS);
    mips_helper_eret(f.c, 0, 0, 0);
    /* invalid entry: general vector; coprocessor number */
    raise_at(&f, 0x00400104, 0, ME_TLBL, 0, 0x00500000);
    CHECK_EQ(mips_get_pc(f.m), 0x80100180);
    mips_helper_eret(f.c, 0, 0, 0);
    raise_at(&f, 0x00400104, 0, ME_CPU, 1, 0);
    CHECK_EQ((f.m->cause & CA_CE) >> CA_CE_SHIFT, 1);
    CHECK(!(f.m->cause & CA_BD));
    mips_helper_eret(f.c, 0, 0, 0);
    /* address errors leave EntryHi */
    uint64_t hi = f.m->entryhi;
    raise_at(&f, 0x00400104, 0, ME_ADEL, 0, 0x80000001);
    CHECK_EQ(f.m->badvaddr, 0x80000001);
    CHECK_EQ(f.m->entryhi, hi);
    mips_helper_eret(f.c, 0, 0, 0);
    /* MIPS16e: EPC's bit 0, branch 2 bytes before; ERET goes back to the mode */
    f.c->key |= MK_M16;
    raise_at(&f, 0x00400106, MI_M16 | MI_DS2, ME_BP, 0, 0);
    CHECK_EQ(f.m->epc, 0x00400105);
    CHECK(!(f.c->key & MK_M16));
    CHECK_EQ(mips_helper_eret(f.c, 0, 0, 0), 0x00400104);
    CHECK(f.c->key & MK_M16);
    f.c->key &= ~(uint64_t)MK_M16;
    /* ERET drops the link of LL and prefers ErrorEPC */
    f.m->lladdr.w = 0x1000;
    mtc0(&f, R(30, 0), 0x80200000);
    f.m->status |= SR_ERL | SR_EXL;
    CHECK_EQ(mips_helper_eret(f.c, 0, 0, 0), 0x80200000);
    CHECK_EQ(f.m->status & (SR_ERL | SR_EXL), SR_EXL);
    CHECK_EQ(f.m->lladdr.w, UINT32_MAX);
    /* NMI */
    mips_put_pc(f.m, 0x80300000);
    mips_set_irq(f.c, MIPS_PIN_NMI, true);
    CHECK(mips_interrupt(f.c));
    CHECK_EQ(mips_get_pc(f.m), 0xbfc00000);
    CHECK_EQ(f.m->errorepc, 0x80300000);
    CHECK_EQ(f.m->status & (SR_ERL | SR_BEV | SR_NMI | SR_SR), SR_ERL | SR_BEV | SR_NMI);
    CHECK(!mips_interrupt(f.c)); /* an edge acts once */
    mtc0(&f, R(12, 0), SR_ERL);
    CHECK(!(f.m->status & SR_NMI));
    /* Debug mode */
    raise_at(&f, 0x80400000, 0, ME_DBP, 0, 0);
    CHECK_EQ(mips_get_pc(f.m), 0xbfc00480);
    CHECK_EQ(mfc0(&f, R(24, 0)), sign32(0x80400000));
    CHECK(mfc0(&f, R(23, 0)) & DB_DM && mfc0(&f, R(23, 0)) & DB_DBP);
    CHECK_EQ(mips_helper_deret(f.c, 0, 0, 0), 0x80400000);
    CHECK(!mips_in_debug(f.m));
    close_fix(&f);

    open_fix(&f, &mips32_isa, "4Kc", true, false); /* release 1: no EBase */
    mtc0(&f, R(12, 0), 0);
    mtc0(&f, R(15, 1), 0x80100000);
    raise_at(&f, 0x80001000, 0, ME_OV, 0, 0);
    CHECK_EQ(mips_get_pc(f.m), 0x80000180);
    close_fix(&f);

    open_fix(&f, &mips64_isa, "5KEf", true, false);
    mtc0(&f, R(12, 0), SR_KX | SR_UX);
    raise_at(&f, VA_KSEG0, 0, ME_TLBL | ME_TLB_REFILL | ME_XTLB, 0, UINT64_C(0xc000012345678abc));
    CHECK_EQ(mips_get_pc(f.m), VA_KSEG0 + 0x80);
    CHECK_EQ(f.m->xcontext & UINT64_C(0x7ffffffff),
             UINT64_C(3) << 33 | (UINT64_C(0x12345678abc) >> 13) << 4);
    CHECK_EQ(f.m->entryhi, UINT64_C(0xc000012345678000));
    close_fix(&f);
}

/* ---- interrupts and time ------------------------------------------------ */

static void test_interrupts(void)
{
    struct fix f;
    open_fix(&f, &mips32_isa, "24Kf", true, false);
    mtc0(&f, R(12, 0), 0);
    mips_set_irq(f.c, 4, true);
    CHECK_EQ(mfc0(&f, R(13, 0)) & CA_IP, 1 << 12);
    CHECK(!mips_has_work(f.c) && !mips_interrupt(f.c));
    mtc0(&f, R(12, 0), 1 << 12);
    mips_helper_wait(f.c, 0, 0, 0);
    CHECK(f.c->halted && mips_has_work(f.c) && !mips_interrupt(f.c) &&
          !f.c->halted); /* IE off: wakes without entering */
    CHECK_EQ(mips_helper_ei(f.c, 0, 0, 0), 1 << 12);
    mips_put_pc(f.m, 0x80001000);
    f.c->insn_flags = MI_DS; /* of some earlier fault: does not count */
    CHECK(mips_interrupt(f.c));
    CHECK_EQ(mips_get_pc(f.m), 0x80000180);
    CHECK_EQ(f.m->epc, 0x80001000);
    CHECK_EQ(exc_code(&f), ME_INT);
    CHECK(!mips_interrupt(f.c)); /* EXL */
    /* ERET makes it deliverable again: the engine is told to look */
    f.c->kick = 0;
    mips_helper_eret(f.c, 0, 0, 0);
    CHECK_EQ(f.c->kick, 1);
    mips_set_irq(f.c, 4, false);
    CHECK(!mips_interrupt(f.c));
    /* software interrupts; IV */
    mtc0(&f, R(12, 0), SR_IM | SR_IE);
    mtc0(&f, R(13, 0), 1 << 8 | CA_IV);
    CHECK(mips_interrupt(f.c));
    CHECK_EQ(mips_get_pc(f.m), 0x80000200);
    mtc0(&f, R(13, 0), CA_IV);
    mips_helper_eret(f.c, 0, 0, 0);
    /* vectored: the highest wins */
    mtc0(&f, R(12, 1), 0x20);
    mips_set_irq(f.c, 2, true);
    mips_set_irq(f.c, 5, true);
    CHECK(mips_interrupt(f.c));
    CHECK_EQ(mips_get_pc(f.m), 0x80000200 + 5 * 0x20);
    CHECK_EQ(mips_helper_di(f.c, 0, 0, 0) & SR_IE, SR_IE);
    CHECK(!(f.m->status & SR_IE));
    mips_set_irq(f.c, 0, true); /* no such pins */
    mips_set_irq(f.c, 77, true);
    CHECK_EQ(f.m->cause & CA_SWINT, 0);
    close_fix(&f);
}

static void test_timer(void)
{
    struct fix f;
    open_fix(&f, &mips32_isa, "24Kf", true, false); /* Count at 100 MHz: 10 ns */
    mtc0(&f, R(12, 0), 0);
    CHECK_EQ(mfc0(&f, R(9, 0)), 0);
    advance(&f, 12345);
    CHECK_EQ(mfc0(&f, R(9, 0)), 1234);
    mtc0(&f, R(11, 0), 2000);
    CHECK_EQ(clock_next(f.clock), 20000);
    advance(&f, 19999);
    CHECK_EQ(mfc0(&f, R(13, 0)) & (CA_TI | CA_IP), 0);
    advance(&f, 20000);
    CHECK_EQ(mfc0(&f, R(9, 0)), 2000);
    CHECK_EQ(mfc0(&f, R(13, 0)) & (CA_TI | CA_IP), CA_TI | 0x8000);
    CHECK_EQ(clock_next(f.clock), 20000 + (UINT64_C(10) << 32)); /* once round */
    mtc0(&f, R(11, 0), 1000); /* acknowledges; the match is most of a round away */
    CHECK_EQ(mfc0(&f, R(13, 0)) & (CA_TI | CA_IP), 0);
    CHECK_EQ(clock_next(f.clock), (UINT64_C(10) << 32) + 10000);
    /* writing Count moves the match; a write equal to Compare waits a round */
    mtc0(&f, R(9, 0), 0xfffffff0);
    CHECK_EQ(clock_next(f.clock), 20000 + 10 * (1000 + 16));
    CHECK_EQ(mfc0(&f, R(9, 0)), sign32(0xfffffff0));
    mtc0(&f, R(9, 0), 1000);
    CHECK_EQ(clock_next(f.clock), 20000 + (UINT64_C(10) << 32));
    /* Cause.DC stops it */
    mtc0(&f, R(11, 0), 1100);
    mtc0(&f, R(13, 0), CA_DC);
    CHECK_EQ(clock_next(f.clock), TIME_NEVER);
    advance(&f, 500000);
    CHECK_EQ(mfc0(&f, R(9, 0)), 1000);
    mtc0(&f, R(13, 0), 0);
    CHECK_EQ(clock_next(f.clock), 501000);
    advance(&f, 501000);
    CHECK_EQ(mfc0(&f, R(9, 0)), 1100);
    CHECK(f.m->cause & CA_TI);
    /* a late run of the clock still arms the next round from the match */
    mtc0(&f, R(11, 0), 1200);
    advance(&f, 777777);
    CHECK(f.m->cause & CA_TI);
    CHECK_EQ(clock_next(f.clock), 502000 + (UINT64_C(10) << 32));
    /* Cause shows a match even before its event ran */
    mtc0(&f, R(11, 0), (uint32_t)mfc0(&f, R(9, 0)) + 5);
    f.now += 60;
    CHECK_EQ(mfc0(&f, R(13, 0)) & (CA_TI | CA_IP), CA_TI | 0x8000);
    mips_reset(f.c);
    CHECK_EQ(mfc0(&f, R(9, 0)), 0);
    CHECK_EQ(f.m->cause, 0);
    close_fix(&f);

    /* an odd rate: the deadline is the first nanosecond of the tick */
    open_fix(&f, &mips32_isa, "4Kc", true, false);
    f.m->clock_hz = 66666666;
    for (uint32_t i = 1; i < 200; i++) {
        mtc0(&f, R(11, 0), (uint32_t)mfc0(&f, R(9, 0)) + i);
        uint64_t at = clock_next(f.clock);
        advance(&f, at - 1);
        CHECK(!(f.m->cause & CA_TI));
        CHECK_EQ((uint32_t)mfc0(&f, R(9, 0)), f.m->compare - 1);
        advance(&f, at);
        CHECK(f.m->cause & CA_TI);
        CHECK_EQ((uint32_t)mfc0(&f, R(9, 0)), f.m->compare);
        CHECK(!(mfc0(&f, R(13, 0)) & CA_TI)); /* release 1 does not show it */
        CHECK(mfc0(&f, R(13, 0)) & 0x8000);
    }
    close_fix(&f);
}

/* ---- the rest ----------------------------------------------------------- */

static void test_rdhwr(void)
{
    struct fix f;
    jmp_buf env;
    open_fix(&f, &mips32_isa, "24Kf", true, false);
    CHECK_EQ(mips_helper_rdhwr(f.c, 1, 0, 0), 16);
    CHECK_EQ(mips_helper_rdhwr(f.c, 3, 0, 0), 2);
    mtc0(&f, R(12, 0), 2 << SR_KSU_SHIFT);
    f.c->unwind = &env;
    volatile bool raised = false;
    if (setjmp(env) == 0) mips_helper_rdhwr(f.c, 2, 0, 0);
    else raised = true;
    CHECK(raised && f.c->exc.code == ME_RI);
    raised = false;
    if (setjmp(env) == 0) mips_helper_deret(f.c, 0, 0, 0);
    else raised = true;
    CHECK(raised && f.c->exc.code == ME_RI);
    raised = false;
    if (setjmp(env) == 0) mips_helper_raise(f.c, ME_CPU, 2, 0);
    else raised = true;
    CHECK(raised && f.c->exc.code == ME_CPU && f.c->exc.sub == 2);
    f.c->unwind = NULL;
    mtc0(&f, R(7, 0), 4);
    CHECK_EQ(mips_helper_rdhwr(f.c, 2, 0, 0), mfc0(&f, R(9, 0)));
    close_fix(&f);

    open_fix(&f, &mips32_isa, "24Kf", true, true);
    f.m->ulocal.w = 0x7fff1234;
    CHECK_EQ(mips_helper_rdhwr(f.c, 29, 0, 0), 0x7fff1234);
    CHECK_EQ(mips_helper_rdhwr(f.c, 0, 0, 0), 0);
    close_fix(&f);
}

static void test_gdb(void)
{
    const struct isa *isas[] = { &mips32_isa, &mips64_isa };
    for (unsigned i = 0; i < 2; i++) {
        struct fix f;
        uint64_t seen_lo = 0, seen_hi = 0;
        open_fix(&f, isas[i], i ? "5KEf" : "24Kf", true, false);
        for (unsigned k = 0; k < isas[i]->n_gdb; k++) {
            const struct isa_gdb_feature *g = &isas[i]->gdb[k];
            for (unsigned r = 0; r < g->n_regs; r++) {
                unsigned n = g->regs[r].regnum - 1;
                CHECK(n < 72);
                if (n < 64) seen_lo |= UINT64_C(1) << n;
                else seen_hi |= UINT64_C(1) << (n - 64);
                if (!g->regs[r].get) continue;
                uint64_t v = g->regs[r].get(f.c, g->regs[r].arg);
                g->regs[r].set(f.c, g->regs[r].arg, v);
                CHECK_EQ(g->regs[r].get(f.c, g->regs[r].arg), v);
            }
        }
        CHECK_EQ(seen_lo, UINT64_MAX);
        CHECK_EQ(seen_hi, 0xff);
        close_fix(&f);
    }
}

static void count_line(void *opaque, const char *text)
{
    *(unsigned *)opaque += strchr(text, '\n') ? 1000 : 1;
}

static void test_state(void)
{
    struct fix f, g;
    struct error e = ERROR_INIT;
    char diff[256];
    unsigned lines = 0;
    open_fix(&f, &mips64_isa, "MIPS64R2-generic", true, false);
    mtc0(&f, R(12, 0), SR_CU1 | SR_IM);
    mtc0(&f, R(11, 0), 5000);
    tlb_write(&f, 3, 0x00400001, 5 << 6 | LO_V, 6 << 6 | LO_V | LO_D, 0x6000);
    mips_set_irq(f.c, 3, true);
    struct state_buf buf = { 0 };
    state_save(f.c, mips64_isa.state, &buf);
    open_fix(&g, &mips64_isa, "MIPS64R2-generic", true, false);
    CHECK(state_diff(f.c, g.c, mips64_isa.state, diff, sizeof diff));
    CHECK(state_load(g.c, mips64_isa.state, &buf, "cpu", &e) == 0);
    if (e.set) printf("    %s\n", e.msg);
    CHECK(!state_diff(f.c, g.c, mips64_isa.state, diff, sizeof diff));
    CHECK_EQ(state_hash(f.c, mips64_isa.state, 1), state_hash(g.c, mips64_isa.state, 1));
    CHECK_EQ(clock_next(g.clock), clock_next(f.clock));
    state_buf_free(&buf);
    mips64_isa.dump(f.c, count_line, &lines, true);
    CHECK_EQ(lines, 1 + 8 + 4 + 1 + 16);
    lines = 0;
    mips64_isa.dump_tlb(f.c, count_line, &lines);
    CHECK_EQ(lines, 1);
    close_fix(&f);
    close_fix(&g);
}

int main(void)
{
    test_models();
    test_targets();
    test_registers();
    test_key();
    test_segments32();
    test_segments64();
    test_tlb();
    test_flush();
    test_second_level();
    test_exceptions();
    test_interrupts();
    test_timer();
    test_rdhwr();
    test_gdb();
    test_state();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
