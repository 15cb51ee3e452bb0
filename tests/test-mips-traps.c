/*
 * test-mips-traps.c - exceptions of MIPS instructions in system mode, in both interpreters: code, EPC, BD, BadVAddr, and that nothing
 * was written; privileged instructions in delay slots; waiting. Each case is a few words of code run in kseg0.
 */
#include "isa/mips/decode.h"
#include "tests/backends.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static unsigned passed, failed;
static const char *engine_name;

static void check_eq(uint64_t got, uint64_t want, const char *name, const char *what)
{
    if (got == want) {
        passed++;
        return;
    }
    failed++;
    printf("FAILED %s: %s: %s is %" PRIx64 ", expected %" PRIx64 "\n", engine_name, name, what, got, want);
}

enum { RAM = 1 << 16, CODE = 0x1000, VECTOR = 0x180, REFILL = 0 };
#define KSEG0 0xffffffff80000000u

struct box {
    struct engine *engine;
    struct cpu_world world;
    struct bus_clock *clock;
    struct cpu *c;
    struct mips_cpu *m;
    const struct isa *isa;
    uint8_t *alloc, *ram;
};

static void phys_page(void *bus, uint64_t pa, struct phys_page *p)
{
    struct box *b = bus;
    p->host = pa < RAM ? b->ram + (pa & CPU_PAGE_MASK) : NULL;
    p->readonly = false;
}
static bool mmio_read(void *bus, struct cpu *c, uint64_t pa, unsigned size, uint64_t *v)
{
    (void)bus, (void)c, (void)pa, (void)size, (void)v;
    return false;
}
static bool mmio_write(void *bus, struct cpu *c, uint64_t pa, unsigned size, uint64_t v)
{
    (void)bus, (void)c, (void)pa, (void)size, (void)v;
    return false;
}
static uint64_t now(void *opaque)
{
    (void)opaque;
    return 0;
}

static bool open_box(struct box *b, bool is64, const char *model, enum engine_mode mode)
{
    struct engine_config cfg = { .mode = mode };
    engine_from_environment(&cfg);
    struct error e = ERROR_INIT;

    memset(b, 0, sizeof *b);
    b->isa = is64 ? &mips64_isa : &mips32_isa;
    b->world = (struct cpu_world){ .phys_page = phys_page, .mmio_read = mmio_read, .mmio_write = mmio_write };
    b->alloc = mem_zalloc(RAM + CPU_PAGE_SIZE);
    b->ram = (uint8_t *)(((uintptr_t)b->alloc + CPU_PAGE_SIZE - 1) & ~(uintptr_t)(CPU_PAGE_SIZE - 1));
    b->engine = engine_new(&cfg, &e);
    b->c = cpu_new(b->isa->guest, &b->world, b->engine, b, 0);
    b->m = mips_cpu(b->c);
    const struct cpu_model *md = isa_find_model(b->isa, model);
    if (!md || b->isa->init(b->c, md, false, false, &e)) {
        printf("FAILED cannot make %s: %s\n", model, e.msg);
        failed++;
        return false;
    }
    b->clock = clock_new();
    clock_connect(b->clock, now, NULL, b);
    b->isa->connect_clock(b->c, b->clock);
    return true;
}

static void close_box(struct box *b)
{
    timer_cancel(&b->m->timer);
    clock_delete(b->clock);
    cpu_delete(b->c);
    engine_delete(b->engine);
    mem_free(b->alloc);
}

enum { STATUS_CU1 = 1 << 29, STATUS_CU0 = 1 << 28, STATUS_FR = 1 << 26, B_SELF = 0x1000ffff };

/* Runs code with r2..r7 = regs until it loops at a vector or its own end. */
static enum run_exit run(struct box *b, uint32_t status, const uint32_t *code, unsigned n, const uint64_t *regs)
{
    st32_le(b->ram + REFILL, B_SELF), st32_le(b->ram + REFILL + 4, 0);
    st32_le(b->ram + VECTOR, B_SELF), st32_le(b->ram + VECTOR + 4, 0);
    for (unsigned i = 0; i < n; i++) st32_le(b->ram + CODE + 4 * i, code[i]);
    st32_le(b->ram + CODE + 4 * n, B_SELF), st32_le(b->ram + CODE + 4 * n + 4, 0);
    engine_flush(b->engine);
    for (unsigned i = 0; i < 6; i++) mips_set_gpr(b->m, 2 + i, regs[i]);
    b->m->status = status, b->m->cause = 0, b->m->epc = 0x55;
    b->c->halted = false;
    mips_update_key(b->m);
    b->isa->set_pc(b->c, KSEG0 + CODE);
    enum run_exit r;
    do r = engine_run(b->c, 40);
    while (r == RUN_KICKED);
    return r;
}

enum { RS2 = 2 << 21, RT3 = 3 << 16, RD4 = 4 << 11, BEQ_NEXT = 0x10000001, NOP = 0 };

struct trap {
    const char *name;
    uint32_t code[4];
    unsigned n;
    uint32_t status;
    uint64_t regs[6];
    unsigned exc, at;          /* ExcCode, index of the word EPC points to */
    bool bd;
    uint64_t bad;              /* BadVAddr, where exc has one */
};

#define S64(x) ((uint64_t)(int64_t)(int32_t)(x))
static const struct trap traps[] = {
    { "add", { NOP, RS2 | RT3 | RD4 | 0x20 }, 2, 0, { 0x7fffffff, 1, 9 }, ME_OV, 1, false, 0 },
    { "add in slot", { BEQ_NEXT, RS2 | RT3 | RD4 | 0x20 }, 2, 0, { 0x7fffffff, 1, 9 }, ME_OV, 0, true, 0 },
    { "addi", { 0x20440001 /* addi a0, v0, 1 */ }, 1, 0, { 0x7fffffff, 1, 9 }, ME_OV, 0, false, 0 },
    { "sub", { RS2 | RT3 | RD4 | 0x22 }, 1, 0, { S64(0x80000000), 1, 9 }, ME_OV, 0, false, 0 },
    { "teq", { RS2 | RT3 | 0x34 }, 1, 0, { 5, 5, 9 }, ME_TR, 0, false, 0 },
    { "tltu in slot", { BEQ_NEXT, RS2 | RT3 | 0x33 }, 2, 0, { 5, S64(-5), 9 }, ME_TR, 0, true, 0 },
    { "syscall", { NOP, 0x0000000c }, 2, 0, { 5, 5, 9 }, ME_SYS, 1, false, 0 },
    { "break in slot", { NOP, 0x54000001 | RS2 /* bnel v0, zero */, 0x0000000d }, 3, 0, { 5, 5, 9 }, ME_BP, 1, true, 0 },
    { "reserved", { 0x7c00003f }, 1, 0, { 5, 5, 9 }, ME_RI, 0, false, 0 },
    { "branch in slot", { BEQ_NEXT, BEQ_NEXT }, 2, 0, { 5, 5, 9 }, ME_RI, 0, true, 0 },
    { "lw", { 0x8c440002 /* lw a0, 2(v0) */ }, 1, 0, { KSEG0 + 0x2000, 5, 9 }, ME_ADEL, 0, false, KSEG0 + 0x2002 },
    { "sh in slot", { BEQ_NEXT, 0xa4440003 }, 2, 0, { KSEG0 + 0x2000, 5, 9 }, ME_ADES, 0, true, KSEG0 + 0x2003 },
    { "sc", { 0xe0440002 }, 1, 0, { KSEG0 + 0x2000, 5, 9 }, ME_ADES, 0, false, KSEG0 + 0x2002 },
    { "ll", { 0xc0440001 }, 1, 0, { KSEG0 + 0x2000, 5, 9 }, ME_ADEL, 0, false, KSEG0 + 0x2001 },
    { "lw of an unmapped page", { 0x8c440004 }, 1, 0, { 0x4000, 5, 9 }, ME_TLBL, 0, false, 0x4004 },
    { "swr of an unmapped page", { BEQ_NEXT, 0xb8440004 }, 2, 0, { 0x4000, 5, 9 }, ME_TLBS, 0, true, 0x4004 },
    { "lw from nowhere", { 0x8c440004 }, 1, 0, { KSEG0 + 0x4000000, 5, 9 }, ME_DBE, 0, false, 0 },
    { "mtc1 without FPU", { 0x44822000 }, 1, 0, { 1, 5, 9 }, ME_CPU, 0, false, 0 },
    { "mthc1 without FPU", { BEQ_NEXT, 0x44e22000 }, 2, 0, { 1, 5, 9 }, ME_CPU, 0, true, 0 },
    { "cop2", { 0x4a000000 }, 1, 0, { 1, 5, 9 }, ME_CPU, 0, false, 0 },
    { "odd double with FR=0", { 0x462110c0 /* add.d $f3, $f2, $f1 */ }, 1, STATUS_CU1, { 1, 5, 9 }, ME_RI, 0, false, 0 },
    { "ctc1 of an enabled cause", { NOP, 0x44c2f800 }, 2, STATUS_CU1, { 1 << 16 | 1 << 11, 5, 9 }, ME_FPE, 1, false, 0 },
};

static void test_traps(struct box *b)
{
    for (unsigned i = 0; i < ARRAY_LEN(traps); i++) {
        const struct trap *t = &traps[i];
        run(b, t->status, t->code, t->n, t->regs);
        check_eq(b->m->cause >> 2 & 31, t->exc, t->name, "ExcCode");
        check_eq(S64(b->m->epc), KSEG0 + CODE + 4 * t->at, t->name, "EPC");
        check_eq(b->m->cause >> 31, t->bd, t->name, "BD");
        check_eq(mips_gpr(b->m, 4), t->regs[2], t->name, "a0");
        if (t->bad) check_eq(S64(b->m->badvaddr), S64(t->bad), t->name, "BadVAddr");
        if (t->exc == ME_CPU) check_eq(b->m->cause >> 28 & 3, t->code[0] == 0x4a000000 ? 2 : 1, t->name, "CE");
    }
}

static void test_jumps(struct box *b)
{
    /* jr to a misaligned address: the target is what faults */
    static const uint32_t jr[] = { RS2 | 8, NOP };
    static const uint64_t misaligned[6] = { KSEG0 + 0x2002 };
    /* mtc0 v1, status in the slot of a taken branch, a jr, and a likely one that is not taken */
    static const uint32_t branch[] = { 0x10000002, 0x40836000, 0x24840001, 0x24840010 };
    static const uint32_t jump[] = { RS2 | 8, 0x40836000, 0x24840001, 0x24840010 };
    static const uint32_t annulled[] = { 0x54000002, 0x24840001, 0x24840010, 0x40046000 };
    static const uint64_t regs[6] = { KSEG0 + CODE + 12, STATUS_CU1 | STATUS_CU0, 0x100 };
    static const uint32_t wait[] = { 0x42000020, 0x24840001 };
    static const uint32_t eret[] = { 0x40827000 /* mtc0 v0, epc */, 0x42000018, 0x24840001, 0x24840010 };

    /* models with MIPS16e take bit 0 as the mode: bit 1 alone is misaligned */
    run(b, 0, jr, 2, misaligned);
    check_eq(b->m->cause >> 2 & 31, ME_ADEL, "jr misaligned", "ExcCode");
    check_eq(S64(b->m->epc), KSEG0 + 0x2002, "jr misaligned", "EPC");
    check_eq(S64(b->m->badvaddr), KSEG0 + 0x2002, "jr misaligned", "BadVAddr");

    run(b, 0, branch, 4, regs);
    check_eq(mips_gpr(b->m, 4), 0x110, "mtc0 in a branch's slot", "a0");
    check_eq(b->m->status & STATUS_CU1, STATUS_CU1, "mtc0 in a branch's slot", "Status");
    run(b, 0, jump, 4, regs);
    check_eq(mips_gpr(b->m, 4), 0x110, "mtc0 in a jump's slot", "a0");
    check_eq(b->m->status & STATUS_CU1, STATUS_CU1, "mtc0 in a jump's slot", "Status");
    run(b, 0x00400000 * 0, annulled, 4, regs);
    check_eq(S64(mips_gpr(b->m, 4)), 0, "annulled slot", "status read into a0");

    check_eq(run(b, 0, wait, 2, regs), RUN_HALTED, "wait", "exit");
    check_eq(mips_gpr(b->m, 4), 0x100, "wait", "a0");
    run(b, 2 /* EXL */, eret, 4, regs);
    check_eq(mips_gpr(b->m, 4), 0x110, "eret", "a0");
    check_eq(b->m->status, 0, "eret", "Status");

    /* a software interrupt, pending when IE and IM0 are set by a delay slot */
    static const uint32_t pending[] = { 0x40856800 /* mtc0 a1, cause */, RS2 | 8, 0x40866000 /* mtc0 a2, status */, 0x24840001, 0x24840010 };
    static const uint64_t irq_regs[6] = { KSEG0 + CODE + 16, 0, 0x100, 0x100, 0x101 };
    run(b, 0, pending, 5, irq_regs);
    check_eq(b->m->cause >> 2 & 31, ME_INT, "interrupt after mtc0 in a jump's slot", "ExcCode");
    check_eq(S64(b->m->epc), KSEG0 + CODE + 16, "interrupt after mtc0 in a jump's slot", "EPC");
    check_eq(mips_gpr(b->m, 4), 0x100, "interrupt after mtc0 in a jump's slot", "a0");
}

static void test_fp_traps(struct box *b)
{
    static const uint64_t regs[6] = { 1 << 11 | 1 << 10 | 1 << 7 /* V, Z, I enabled */ };
    static const struct { const char *name; uint32_t insn; uint64_t a, b, want; uint32_t cause; } cases[] = {
        /* $f4 = $f0 op $f2 */
        { "div.d 1/0", 0x46220103, 0x3ff0000000000000, 0, 0, 8 },
        { "mul.d 0*inf", 0x46220102, 0, 0x7ff0000000000000, 0, 16 },
        { "div.d 1/3", 0x46220103, 0x3ff0000000000000, 0x4008000000000000, 0, 1 },
        { "add.d 1+1", 0x46220100, 0x3ff0000000000000, 0x3ff0000000000000, 0x4000000000000000, 0 },
        { "cvt.w.d 1e30", 0x46200124, 0x46293e5939a08cea, 0, 0, 16 },
        { "c.lt.d nan", 0x4622003c, 0x7ff7ffffffffffff, 0, 0, 16 },
        { "c.ult.d nan", 0x46220035, 0x7ff7ffffffffffff, 0, 0, 0 },
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t code[3] = { 0x44c2f800 /* ctc1 v0, $31 */, NOP, cases[i].insn };
        b->m->fpr[0] = cases[i].a, b->m->fpr[2] = cases[i].b, b->m->fpr[4] = 0, b->m->fcc = 0;
        run(b, STATUS_CU1, code, 3, regs);
        check_eq(b->m->cause >> 2 & 31, cases[i].cause ? ME_FPE : 0, cases[i].name, "ExcCode");
        if (cases[i].cause) check_eq(S64(b->m->epc), KSEG0 + CODE + 8, cases[i].name, "EPC");
        check_eq(b->m->fpr[4], cases[i].want, cases[i].name, "$f4");
        check_eq(b->m->fcc, !strcmp(cases[i].name, "c.ult.d nan"), cases[i].name, "condition code");
        check_eq(mips_fcsr_read(b->m) >> 12 & 63, cases[i].cause, cases[i].name, "Cause of FCSR");
        check_eq(mips_fcsr_read(b->m) >> 2 & 31, 0, cases[i].name, "Flags of FCSR");
        mips_fcsr_write(b->m, 0);
    }
}

/* 64-bit operations of a 64-bit model need a mode in which they are allowed. */
static void test_64(struct box *b)
{
    static const uint32_t code[] = { 0x0043202d /* daddu a0, v0, v1 */, NOP };
    static const uint32_t over[] = { 0x0043202c /* dadd */, NOP };
    static const uint32_t wrap[] = { 0x8c44fffc /* lw a0, -4(v0) */ };
    static const uint64_t regs[6] = { 0x7fffffffffffffff, 1, 9 };
    static const uint64_t low[6] = { S64(0x80000000), 1, 9 };

    run(b, 0, code, 2, regs);
    check_eq(mips_gpr(b->m, 4), 0x8000000000000000, "daddu", "a0");
    run(b, 0, over, 2, regs);
    check_eq(b->m->cause >> 2 & 31, ME_OV, "dadd", "ExcCode");
    check_eq(mips_gpr(b->m, 4), 9, "dadd", "a0");
    /* KX = 0: the sum is a 32-bit address, 0x7ffffffc, unmapped */
    run(b, 0, wrap, 1, low);
    check_eq(b->m->cause >> 2 & 31, ME_TLBL, "lw across 0x80000000", "ExcCode");
    check_eq(b->m->badvaddr, 0x7ffffffc, "lw across 0x80000000", "BadVAddr");
}

int main(void)
{
    for (int mode = ENGINE_REF; mode <= ENGINE_FAST; mode++) {
        static const struct { bool is64; const char *name; } models[] = { { false, "24Kf" }, { true, "MIPS64R2-generic" } };
        for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
            struct box b;
            engine_name = mode == ENGINE_REF ? i ? "ref 64" : "ref 32" : i ? "fast 64" : "fast 32";
            if (!open_box(&b, models[i].is64, models[i].name, (enum engine_mode)mode)) continue;
            test_traps(&b);
            test_jumps(&b);
            test_fp_traps(&b);
            if (models[i].is64) test_64(&b);
            close_box(&b);
        }
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
