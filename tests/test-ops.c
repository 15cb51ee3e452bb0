/*
 * test-ops.c - single ops of the IR on chosen operands: every interpreter must agree with the reference one on results, flags
 * and memory. tests/test-ir.c has random programs; this has the operands that random programs rarely meet (results at the edge
 * of the normal numbers, NaNs of both kinds, unaligned and page-crossing accesses) in every floating-point environment.
 */
#include "interp/block.h"
#include "tests/backends.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { N32 = 8, N64 = 32, S_PC = N32 + N64, S_COUNT, MEM_SIZE = 4 * 4096, N_ENGINES = 6, MAX_CASES = 4000 };
struct toy {
    struct cpu c;
    uint32_t r[N32];
    uint64_t q[N64];
    uint32_t pc;
};
#define R(i) ((ir_id)(i))
#define Q(i) ((ir_id)(N32 + (i)))

static unsigned passed, failed;
static uint64_t rng_state = 88172645463325252u;
static uint64_t rnd(void)
{
    rng_state ^= rng_state << 13, rng_state ^= rng_state >> 7, rng_state ^= rng_state << 17;
    return rng_state;
}
static unsigned below(unsigned n) { return (unsigned)(rnd() >> 20) % n; }

/* One case: an op and its parameters; R(0..2) and Q(0..2) are its operands, R(3), Q(3), Q(4) its results. */
struct op_case {
    const char *what;
    uint16_t op;
    uint8_t type, attr;
    uint32_t aux;
    uint8_t form;   /* 0: operands are slots; 1: the last one is the constant k */
    uint64_t k;
    unsigned in, out; /* types */
};
static struct op_case cases[MAX_CASES];
static unsigned n_cases;

static struct op_case *add_case(unsigned op, unsigned type, unsigned attr, uint32_t aux)
{
    struct op_case *c = &cases[n_cases < MAX_CASES - 1 ? n_cases++ : n_cases];
    *c = (struct op_case){ ir_op_info[op].name, (uint16_t)op, (uint8_t)type, (uint8_t)attr, aux, 0, 0, type, type };
    return c;
}

static struct slot_desc slots[S_COUNT];

/* a: address, b: bytes | (write << 16); result: the offset in RAM, or all ones */
static uint64_t h_probe(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)d;
    const uint8_t *p = cpu_probe(c, a, (unsigned)b & 0xffff, b >> 16 & 1 ? ACCESS_WRITE : ACCESS_READ, 0);
    return p ? (uint64_t)(p - (const uint8_t *)c->bus) : UINT64_MAX;
}
/* a: address | attributes << 32; expects {b, d}; stores {d, b}; gives old[0] * 3 + old[1] and whether */
static uint64_t h_cas128(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    const uint64_t e[2] = { b, d }, v[2] = { d, b };
    uint64_t old[2];
    bool done = cpu_cas128(c, (uint32_t)a, e, v, old, (unsigned)(a >> 32), 0);
    return (old[0] * 3 + old[1]) * 2 + done;
}
static const struct helper_desc helpers[] = {
    { "probe", h_probe, HELPER_MEM, 0, 0 },
    { "cas128", h_cas128, HELPER_MEM, 0, 0 },
};

static void emit_case(struct ir_builder *b, const struct op_case *c)
{
    enum ir_type t = (enum ir_type)c->type;
    ir_id x = t == T_I64 ? Q(0) : R(0), y = t == T_I64 ? Q(1) : R(1), z = t == T_I64 ? Q(2) : R(2), d = t == T_I64 ? Q(3) : R(3);
    switch (c->op) {
    case OP_FCMP:
        if (c->aux) ir_fcmp_values(b, t, c->aux, c->attr, R(3), x, y);
        else ir_fcmp(b, t, c->attr, R(3), x, y);
        return;
    case OP_FROUND: ir_fround(b, t, c->attr, d, x); return;
    case OP_FMIN: case OP_FMAX: ir_fminmax(b, c->op, t, (enum ir_fmm)c->attr, d, x, y); return;
    case OP_FMA: ir_fma(b, t, c->attr, d, x, y, z); return;
    case OP_CALL: ir_call(b, c->attr, T_I64, Q(3), Q(0), Q(1), Q(2)); return;
    case OP_LD2: ir_ld2(b, Q(3), Q(4), c->form ? R(0) : Q(0), (int)c->k, c->attr, 0); return;
    case OP_ST2: ir_st2(b, Q(1), Q(2), c->form ? R(0) : Q(0), (int)c->k, c->attr, 0); return;
    case OP_CAS: ir_cas(b, t, d, Q(5), y, z, c->attr, 0); return;
    case OP_RMW: ir_rmw(b, t, (enum ir_rmw)c->k, d, Q(5), y, c->attr, 0); return;
    default: break;
    }
    switch (ir_op_info[c->op].cls) {
    case CLASS_VEC: {
        unsigned in = ir_op_info[c->op].n_in;
        ir_vec(b, c->op, c->attr & 3, 8u << (c->attr >> 2), c->form ? Q(8) : Q(0), Q(8), in > 1 ? Q(16) : IR_NONE, in > 2 ? Q(24) : IR_NONE, c->aux);
        break;
    }
    case CLASS_FPCV:
        x = c->in == T_I64 ? Q(0) : R(0), d = c->out == T_I64 ? Q(3) : R(3);
        if (c->aux) ir_f2i(b, c->op, d, x, c->aux & 15, (enum ir_f2i)(c->aux >> 4));
        else ir_conv(b, c->op, d, x);
        break;
    default:
        if (c->form && ir_op_info[c->op].n_in == 3) z = ir_const(b, t, c->k);
        else if (c->form) y = ir_const(b, t, c->k);
        if (ir_op_info[c->op].n_in == 1) ir_op1(b, c->op, t, d, x);
        else if (ir_op_info[c->op].n_in == 2) ir_op2(b, c->op, t, d, x, y);
        else ir_op3(b, c->op, t, d, x, y, z);
    }
}

static void toy_translate(struct ir_builder *b)
{
    uint64_t pc = b->blk.pc;
    if (ir_insn(b, pc, 4, 0)) emit_case(b, &cases[(pc - 0x1000) / 4 % MAX_CASES]);
    if (!b->ended) ir_goto(b, ir_link(b, pc, b->blk.key, 0));
}

/* Page 3 cannot be written, what lies behind it not reached. */
static bool toy_mmu(struct cpu *c, uint64_t va, enum mem_access acc, unsigned mode, bool probe, struct mmu_hit *h)
{
    (void)mode;
    bool ok = va < MEM_SIZE && !(acc == ACCESS_WRITE && va >= 3 * 4096);
    if (!ok) {
        if (!probe) c->exc = (struct exception){ 88, (uint32_t)acc, va };
        return false;
    }
    *h = (struct mmu_hit){ va, (uint8_t)(MMU_R | MMU_X | (va < 3 * 4096 ? MMU_W : 0)), 12, false, false };
    return true;
}
static void toy_fault(struct cpu *c, enum mem_fault f, enum mem_access acc, uint64_t va) { c->exc = (struct exception){ 90 + (uint32_t)f, (uint32_t)acc, va }; }
static void toy_exception(struct cpu *c)
{
    struct toy *t = (struct toy *)c;
    t->q[6] = t->q[6] * 31 + c->exc.code + c->exc.addr * 7 + c->exc.sub;
}
static bool toy_interrupt(struct cpu *c) { (void)c; return false; }
static bool toy_work(struct cpu *c) { (void)c; return true; }
static unsigned toy_mode(struct cpu *c) { (void)c; return 0; }
static const struct guest toy_guest = {
    .name = "toy", .slots = slots, .n_slots = S_COUNT, .helpers = helpers, .n_helpers = ARRAY_LEN(helpers), .pc_slot = S_PC, .addr_type = T_I32, .cpu_size = sizeof(struct toy),
    .translate = toy_translate, .mmu = toy_mmu, .fault = toy_fault, .exception = toy_exception, .interrupt = toy_interrupt,
    .has_work = toy_work, .mmu_mode = toy_mode,
};
static void toy_phys(void *bus, uint64_t pa, struct phys_page *p)
{
    if (pa < MEM_SIZE) p->host = (uint8_t *)bus + pa;
}
static bool toy_read(void *bus, struct cpu *c, uint64_t pa, unsigned size, uint64_t *v) { (void)bus, (void)c, (void)pa, (void)size, (void)v; return false; }
static bool toy_write(void *bus, struct cpu *c, uint64_t pa, unsigned size, uint64_t v) { (void)bus, (void)c, (void)pa, (void)size, (void)v; return false; }
static const struct cpu_world toy_world = { .phys_page = toy_phys, .mmio_read = toy_read, .mmio_write = toy_write };

static struct machine { struct engine *eng; struct toy *t; void *mem; uint8_t *ram; } machines[N_ENGINES];
static const struct engine_config configs[N_ENGINES] = {
    { .mode = ENGINE_REF },
    { .mode = ENGINE_FAST },
    { .mode = ENGINE_FAST, .portable_switch = true },
    { .mode = ENGINE_FAST, .soft_fp = true, .no_fuse = true },
    { .mode = ENGINE_FAST, .backend = &jit_null_backend, .threshold = 1, .sync = true },
    { .mode = ENGINE_FAST, .threshold = 1, .sync = true }, /* this host's own backend, if there is one */
};
static bool same_memory(void)
{
    for (unsigned i = 1; i < N_ENGINES; i++) {
        if (memcmp(machines[i].ram, machines[0].ram, MEM_SIZE)) return false;
    }
    return true;
}

static bool make_machines(void)
{
    struct error e = ERROR_INIT;
    for (unsigned i = 0; i < N32; i++) slots[i] = (struct slot_desc){ "r", offsetof(struct toy, r) + 4 * i, T_I32, SLOT_GPR };
    for (unsigned i = 0; i < N64; i++) slots[N32 + i] = (struct slot_desc){ "q", offsetof(struct toy, q) + 8 * i, T_I64, SLOT_VEC };
    slots[S_PC] = (struct slot_desc){ "pc", offsetof(struct toy, pc), T_I32, SLOT_PC };
    for (unsigned i = 0; i < N_ENGINES; i++) {
        struct machine *m = &machines[i];
        struct engine_config cfg = configs[i];
        if (i == 1) engine_from_environment(&cfg);
#ifdef HAVE_JIT_NATIVE
        if (i == 5) cfg.backend = &jit_native_backend;
#endif
        m->eng = engine_new(&cfg, &e);
        if (!m->eng) return false;
        m->mem = mem_zalloc(MEM_SIZE + 4096);
        m->ram = (uint8_t *)ALIGN_UP((uintptr_t)m->mem, (uintptr_t)4096);
        m->t = (struct toy *)cpu_new(&toy_guest, &toy_world, m->eng, m->ram, 0);
    }
    return true;
}

static void free_machines(void)
{
    for (unsigned i = 0; i < N_ENGINES; i++) {
        cpu_delete(&machines[i].t->c);
        engine_delete(machines[i].eng);
        free(machines[i].mem);
    }
}

static void set_env(const struct fp_env *env)
{
    for (unsigned i = 0; i < N_ENGINES; i++) {
        machines[i].t->c.fp = *env;
        cpu_fp_changed(&machines[i].t->c);
    }
}

/* Runs case n on the registers of machine 0 in all machines; true if they agree. */
static bool run_case(unsigned n)
{
    const struct toy *in = machines[0].t;
    uint32_t r[N32];
    uint64_t q[N64];
    const struct op_case *c = &cases[n];
    unsigned flags = 0, last = 0;
    bool ok = true;

    memcpy(r, in->r, sizeof r), memcpy(q, in->q, sizeof q);
    for (unsigned i = 0; i < N_ENGINES; i++) {
        struct toy *t = machines[i].t;
        memcpy(t->r, r, sizeof r), memcpy(t->q, q, sizeof q);
        t->pc = 0x1000 + n * 4;
        cpu_fp_set_flags(&t->c, 0);
        uint64_t start = t->c.icount;
        while (engine_run(&t->c, 1) == RUN_KICKED && t->c.icount == start) {} /* dropped code asks CPUs out */
        unsigned f = cpu_fp_flags(&t->c), l = cpu_fp_last_flags(&t->c) & ~(unsigned)FP_IN_DENORMAL;
        if (!i) flags = f, last = l;
        else if (memcmp(t->r, in->r, sizeof r) || memcmp(t->q, in->q, sizeof q) || f != flags || l != last) {
            printf("%s.%u attr 0x%x aux 0x%x (%08x %08x %08x | %016" PRIx64 " %016" PRIx64 " %016" PRIx64 ") in variant %u: %08x %016" PRIx64
                   " flags %x/%x, want %08x %016" PRIx64 " flags %x/%x\n", c->what, c->type ? 64 : 32, c->attr, c->aux, r[0], r[1], r[2], q[0], q[1], q[2], i,
                   t->r[3], t->q[3], f, l, in->r[3], in->q[3], flags, last);
            ok = false;
        }
    }
    return ok;
}

/* ---- floating point ----------------------------------------------------------------------------------- */

static uint64_t f64_value(void)
{
    static const uint64_t edge[] = {
        0, 1, 2, UINT64_C(0x000fffffffffffff), UINT64_C(0x0010000000000000), UINT64_C(0x0010000000000001), UINT64_C(0x0020000000000000),
        UINT64_C(0x3ff0000000000000), UINT64_C(0x3fefffffffffffff), UINT64_C(0x3ff0000000000001), UINT64_C(0x3fe0000000000000),
        UINT64_C(0x4000000000000000), UINT64_C(0x3ff8000000000000), UINT64_C(0x4004000000000000), UINT64_C(0x41dfffffffc00000), UINT64_C(0x41e0000000000000),
        UINT64_C(0x41efffffffe00000), UINT64_C(0x41f0000000000000), UINT64_C(0x43e0000000000000), UINT64_C(0x43f0000000000000), UINT64_C(0x43efffffffffffff),
        UINT64_C(0x7fefffffffffffff), UINT64_C(0x7ff0000000000000), UINT64_C(0x7ff0000000000001), UINT64_C(0x7ff8000000000000), UINT64_C(0x7ff8000000001234),
        UINT64_C(0x3800000000000000), UINT64_C(0x380fffffffffffff), UINT64_C(0x3810000000000000), UINT64_C(0x380fffffe0000000), UINT64_C(0x380ffffff0000000),
        UINT64_C(0x3f10000000000000), UINT64_C(0x40effc0000000000),
    };
    uint64_t v;
    switch (below(4)) {
    case 0: v = edge[below(ARRAY_LEN(edge))]; break;
    case 1: v = UINT64_C(0x3fe0000000000000) + ((uint64_t)below(70) << 52) + (rnd() >> 12 & ~(UINT64_MAX >> (below(52) + 12))); break;
    case 2: v = rnd() >> below(64); break;
    default: v = rnd(); break;
    }
    return v ^ (uint64_t)below(2) << 63;
}

static uint32_t f32_value(void)
{
    static const uint32_t edge[] = { 0, 1, 0x007fffff, 0x00800000, 0x00800001, 0x01000000, 0x3f800000, 0x3f7fffff, 0x3f800001, 0x3f000000, 0x40000000,
                                     0x3fc00000, 0x4effffff, 0x4f000000, 0x4f7fffff, 0x4f800000, 0x5f000000, 0x5f800000, 0x5f7fffff, 0x7f7fffff, 0x7f800000,
                                     0x7f800001, 0x7fc00000, 0x7fc01234, 0x33800000, 0x387fc000, 0x38800000, 0x477fe000, 0x477ff000 };
    uint32_t v;
    switch (below(4)) {
    case 0: v = edge[below(ARRAY_LEN(edge))]; break;
    case 1: v = 0x3f000000 + (below(70) << 23) + ((uint32_t)rnd() & 0x7fffff & ~(0x7fffffu >> below(24))); break;
    case 2: v = (uint32_t)rnd() >> below(32); break;
    default: v = (uint32_t)rnd(); break;
    }
    return v ^ (uint32_t)below(2) << 31;
}

/* Operands whose product or quotient lies at the smallest normal number. */
static void at_the_edge(struct toy *t, bool quotient)
{
    struct fp_env e = { 0 };
    uint64_t a = UINT64_C(0x3ff0000000000000) | rnd() >> 12, b;
    uint32_t x = 0x3f800000 | (uint32_t)rnd() >> 9, y;
    b = quotient ? f64_mul(a, UINT64_C(0x0010000000000000), &e) : f64_div(UINT64_C(0x0010000000000000), a, &e);
    y = quotient ? f32_mul(x, 0x00800000, &e) : f32_div(0x00800000, x, &e);
    if (!quotient) { /* a factor of 2^54 goes to the other side, so that b is normal */
        b = f64_mul(f64_div(UINT64_C(0x0360000000000000), a, &e), UINT64_C(0x3ff0000000000000), &e), a = f64_mul(a, UINT64_C(0x3ca0000000000000), &e);
        y = f32_div(0x0d800000, x, &e), x = f32_mul(x, 0x32800000, &e);
        b += below(3) - 1, y += below(3) - 1;
        t->q[0] = a, t->q[1] = b, t->r[0] = x, t->r[1] = y;
    } else {
        b += below(3) - 1, y += below(3) - 1;
        t->q[0] = b, t->q[1] = a, t->r[0] = y, t->r[1] = x;
    }
    t->q[2] = below(2) ? 0 : below(3), t->r[2] = below(2) ? 0 : below(3);
    if (below(2)) t->q[0] ^= UINT64_C(1) << 63, t->r[0] ^= 1u << 31;
}

static void test_fp(unsigned rounds)
{
    enum { F16 = T_I32, F32 = T_I32, F64 = T_I64, I32 = T_I32, I64 = T_I64, U32 = T_I32, U64 = T_I64 };
    static const struct { uint16_t op; uint8_t in, out; bool to_int; } conversions[] = {
#define FPCV(N, n, ti, to) { OP_##N, ti, to, #to[0] != 'F' },
#include "interp/ops.def"
    };
    static const struct fp_env envs[] = {
        { 0 },
        { .tiny_before = true },
        { .tiny_before = true, .nan_rule = FP_NAN_FIRST },
        { .sees_denormal = true, .nan_rule = FP_NAN_FIRST, .nan_negative = true },
        { .sees_denormal = true, .tiny_before = true },
        { .nan_rule = FP_NAN_FIRST, .nan_negative = true, .muladd_inf_nan = FP_INFZERO_C_QUIET },
        { .round = FP_RTZ },
        { .round = FP_RUP, .ftz = true },
        { .daz = true, .nan_rule = FP_NAN_DEFAULT },
    };
    unsigned bad = 0, first = n_cases;

    for (unsigned type = T_I32; type <= T_I64; type++) {
        for (unsigned op = OP_FADD; op <= OP_FSQRT; op++) add_case(op, type, 0, 0);
        for (unsigned how = 0; how < 8; how++) add_case(OP_FMA, type, how, 0);
        for (unsigned m = 1; m < 32; m += 3) add_case(OP_FCMP, type, m, 0);
        add_case(OP_FCMP, type, 0, IR_REL_VALUES(8, 2, 4, 1));
        add_case(OP_FCMP, type, IR_REL_SIGNAL, IR_REL_VALUES(1, 0x40, 0, 0x45));
        for (unsigned r = FP_RNE; r <= FP_RTO; r++) {
            add_case(OP_FROUND, type, r, 0);
            add_case(OP_FROUND, type, r | IR_ROUND_EXACT, 0);
        }
        add_case(OP_FROUND, type, IR_ROUND_ENV | IR_ROUND_EXACT, 0);
        for (unsigned rule = 0; rule < IR_FMM_COUNT; rule++) add_case(OP_FMIN, type, rule, 0), add_case(OP_FMAX, type, rule, 0);
    }
    for (unsigned i = 0; i < ARRAY_LEN(conversions); i++) {
        for (unsigned rule = 0; rule < (conversions[i].to_int ? IR_F2I_COUNT * 3u : 1u); rule++) {
            static const uint8_t rounds3[] = { FP_RTZ, IR_ROUND_ENV, FP_RDN };
            struct op_case *c = add_case(conversions[i].op, conversions[i].out, 0, conversions[i].to_int ? rounds3[rule % 3] | rule / 3 << 4 : 0);
            c->in = conversions[i].in, c->out = conversions[i].out;
        }
    }
    for (unsigned e = 0; e < ARRAY_LEN(envs); e++) {
        set_env(&envs[e]);
        for (unsigned n = first; n < n_cases && bad < 10; n++) {
            unsigned edges = cases[n].op == OP_FMUL || cases[n].op == OP_FDIV || cases[n].op == OP_FMA ? rounds * 2 : 0;
            for (unsigned k = 0; k < rounds + edges && bad < 10; k++) {
                struct toy *t = machines[0].t;
                for (unsigned i = 0; i < 3; i++) t->q[i] = f64_value(), t->r[i] = f32_value();
                if (!below(8)) t->q[1] = t->q[0], t->r[1] = t->r[0];
                if (k >= rounds) at_the_edge(t, cases[n].op == OP_FDIV);
                bad += !run_case(n);
            }
        }
    }
    if (bad) failed++;
    else passed++;
}

/* What the ops give, by examples whose answers are known from the standard and from manuals. */
static void expect(const char *what, uint64_t got, uint64_t want)
{
    if (got == want) {
        passed++;
        return;
    }
    failed++;
    printf("%s: 0x%" PRIx64 ", want 0x%" PRIx64 "\n", what, got, want);
}

static void test_fp_examples(void)
{
    struct cpu *c = &machines[0].t->c;
    struct fp_env env = { 0 };
    const uint64_t one = UINT64_C(0x3ff0000000000000), two = UINT64_C(0x4000000000000000), nan = UINT64_C(0x7ff8000000000000), neg = UINT64_C(1) << 63;
    const uint64_t snan = UINT64_C(0x7ff0000000000001);
    set_env(&env);
#define X(op, attr, aux, a, b) fp_exec(c, op, T_I64, attr, aux, a, b, 0)
    expect("less", X(OP_FCMP, 0, IR_REL_VALUES(8, 2, 4, 1), one, two), 8);
    expect("equal", X(OP_FCMP, 0, IR_REL_VALUES(8, 2, 4, 1), neg, 0), 2);
    expect("greater", X(OP_FCMP, 0, IR_REL_VALUES(8, 2, 4, 1), two, one), 4);
    cpu_fp_set_flags(c, 0);
    expect("unordered", X(OP_FCMP, 0, IR_REL_VALUES(8, 2, 4, 1), two, nan), 1);
    expect("quiet", cpu_fp_flags(c), 0);
    expect("unordered", X(OP_FCMP, IR_REL_SIGNAL, IR_REL_VALUES(8, 2, 4, 1), nan, two), 1);
    expect("signalling", cpu_fp_flags(c), FP_INVALID);
    expect("minnum", X(OP_FMIN, IR_FMM_NUM, 0, nan, two), two);
    expect("minimum", X(OP_FMIN, IR_FMM_NAN, 0, nan, two), nan);
    expect("minimumNumber", X(OP_FMIN, IR_FMM_NUMBER, 0, snan, two), two);
    expect("min, x86", X(OP_FMIN, IR_FMM_X86, 0, two, nan), nan);
    expect("min, x86", X(OP_FMIN, IR_FMM_X86, 0, nan, two), two);
    expect("max, x86", X(OP_FMAX, IR_FMM_X86, 0, 0, neg), neg);
    expect("max", X(OP_FMAX, IR_FMM_NUM, 0, 0, neg), 0);
    cpu_fp_set_flags(c, 0);
    expect("round 2.5", X(OP_FROUND, FP_RNE, 0, UINT64_C(0x4004000000000000), 0), two);
    expect("not exact", cpu_fp_flags(c), 0);
    expect("round 2.5", X(OP_FROUND, FP_RNA | IR_ROUND_EXACT, 0, UINT64_C(0x4004000000000000), 0), UINT64_C(0x4008000000000000));
    expect("exact", cpu_fp_flags(c), FP_INEXACT);
    cpu_fp_set_flags(c, 0);
    expect("4e9 to u32", fp_exec(c, OP_F64_U32, T_I32, 0, FP_RTZ, UINT64_C(0x41edcd6500000000), 0, 0), 4000000000u);
    expect("no flag", cpu_fp_flags(c), 0);
    expect("-1 to u32", fp_exec(c, OP_F64_U32, T_I32, 0, FP_RTZ | IR_F2I_SAT_ZERO << 4, one | neg, 0, 0), 0);
    expect("invalid", cpu_fp_flags(c), FP_INVALID);
    expect("-1 to u32, x86", fp_exec(c, OP_F64_U32, T_I32, 0, FP_RTZ | IR_F2I_MIN << 4, one | neg, 0, 0), 0xffffffffu);
    expect("NaN to i32, PowerPC", fp_exec(c, OP_F64_I32, T_I32, 0, FP_RTZ | IR_F2I_SAT_MIN << 4, nan, 0, 0), 0x80000000u);
    expect("NaN to u64, PowerPC", fp_exec(c, OP_F64_U64, T_I64, 0, FP_RTZ | IR_F2I_SAT_MIN << 4, nan, 0, 0), 0);
    expect("2^64 - 2^11 from u64", fp_exec(c, OP_U64_F64, T_I64, 0, 0, UINT64_C(0xfffffffffffff800), 0, 0), UINT64_C(0x43efffffffffffff));
    expect("1.5 from f16", fp_exec(c, OP_F16_F64, T_I64, 0, 0, 0x3e00, 0, 0), UINT64_C(0x3ff8000000000000));
    expect("65520 to f16", fp_exec(c, OP_F32_F16, T_I32, 0, 0, 0x477ff000, 0, 0), 0x7c00);
#undef X
}

/* ---- integers: three inputs, constants --------------------------------------------------------------- */

static void test_int(unsigned rounds)
{
    unsigned bad = 0, first = n_cases;
    for (unsigned op = 0; op < OP_COUNT; op++) {
        if (ir_op_info[op].cls != CLASS_PURE || ir_op_info[op].n_in != 3) continue;
        for (unsigned type = T_I32; type <= T_I64; type++) {
            add_case(op, type, 0, 0);
            static const uint64_t ks[] = { 0, 1, 0x824, 0xffff, 0x10000, UINT64_C(0x123456789) };
            for (unsigned i = 0; i < ARRAY_LEN(ks); i++) {
                struct op_case *c = add_case(op, type, 0, 0);
                c->form = 1, c->k = ks[i];
            }
        }
    }
    for (unsigned n = first; n < n_cases && bad < 10; n++) {
        for (unsigned k = 0; k < rounds && bad < 10; k++) {
            struct toy *t = machines[0].t;
            for (unsigned i = 0; i < 3; i++) t->q[i] = rnd() >> below(64), t->r[i] = (uint32_t)rnd() >> below(32);
            if (!below(4)) t->q[1] = t->q[0], t->r[1] = t->r[0];
            bad += !run_case(n);
        }
    }
    if (bad) failed++;
    else passed++;
}

/* ---- memory ------------------------------------------------------------------------------------------- */

static void test_mem(unsigned rounds)
{
    unsigned bad = 0, first = n_cases;
    for (unsigned attr = 0; attr < 8; attr++) {
        unsigned mem = IR_M64 | (attr & 1 ? IR_MBE : 0) | (attr & 2 ? IR_MALIGN : 0) | (attr & 4 ? IR_MPAIR : 0);
        for (unsigned form = 0; form < 2; form++) {
            for (int disp = -8; disp <= 8; disp += 8) {
                struct op_case *c = add_case(OP_LD2, T_I64, mem, 0);
                c->form = (uint8_t)form, c->k = (uint64_t)(int64_t)disp;
                c = add_case(OP_ST2, T_I64, mem | IR_MSEQ, 0);
                c->form = (uint8_t)form, c->k = (uint64_t)(int64_t)disp;
            }
        }
        for (unsigned size = IR_M8; size <= IR_M64; size++) {
            for (unsigned type = size == IR_M64; type <= T_I64; type++) {
                add_case(OP_CAS, type, size | (mem & ~(unsigned)(IR_MSIZE | IR_MPAIR)), 0);
                struct op_case *c = add_case(OP_RMW, type, size | (mem & ~(unsigned)(IR_MSIZE | IR_MPAIR)), 0);
                c->k = below(9);
            }
        }
    }
    add_case(OP_CALL, T_I64, 0, 0);
    add_case(OP_CALL, T_I64, 1, 0);
    for (unsigned parallel = 0; parallel < 2; parallel++) {
        for (unsigned i = 0; i < N_ENGINES; i++) machines[i].t->c.parallel = parallel;
        for (unsigned i = 0; i < MEM_SIZE; i += 8) {
            uint64_t v = below(3) ? below(4) : rnd();
            for (unsigned k = 0; k < N_ENGINES; k++) st64_le(machines[k].ram + i, v);
        }
        for (unsigned n = first; n < n_cases && bad < 10; n++) {
            for (unsigned k = 0; k < rounds && bad < 10; k++) {
                struct toy *t = machines[0].t;
                uint64_t va = below(4) ? (uint64_t)below(6) * 2048 + below(64) - 32 : below(MEM_SIZE + 64);
                if (below(2)) va &= ~UINT64_C(15);
                t->r[0] = (uint32_t)va, t->q[0] = va, t->q[5] = va;
                for (unsigned i = 1; i < 3; i++) t->q[i] = below(2) ? below(4) : rnd(), t->r[i] = (uint32_t)t->q[i];
                if (cases[n].op == OP_CALL && cases[n].attr == 1) {
                    t->q[0] = (uint32_t)va | (uint64_t)(below(2) ? IR_MBE : 0) << 32 | (uint64_t)(below(2) ? IR_MALIGN : 0) << 32;
                    if (below(2) && va < MEM_SIZE - 16) t->q[1] = ld64_le(machines[0].ram + va), t->q[2] = ld64_le(machines[0].ram + va + 8);
                } else if (cases[n].op == OP_CALL) {
                    t->q[1] = (1 + below(below(2) ? 4096 : 40)) | below(2) << 16;
                }
                bad += !run_case(n);
                if (!same_memory()) bad++, printf("%s: memory differs\n", cases[n].what);
            }
        }
    }
    for (unsigned i = 0; i < N_ENGINES; i++) machines[i].t->c.parallel = false;
    if (bad) failed++;
    else passed++;
}

/* ---- vectors ------------------------------------------------------------------------------------------ */

static uint64_t lane_of(const uint64_t *v, unsigned w, unsigned i)
{
    uint64_t r = 0;
    for (unsigned k = 0; k < w; k++) r |= (v[(i * w + k) / 64] >> (i * w + k) % 64 & 1) << k;
    return r;
}
static int64_t sx(uint64_t x, unsigned w) { return w == 64 ? (int64_t)x : x >> (w - 1) & 1 ? (int64_t)x - (INT64_C(1) << w) : (int64_t)x; }
static int64_t clamp(int64_t x, int64_t lo, int64_t hi) { return x < lo ? lo : x > hi ? hi : x; }

/* What lane i of the result is, by plain arithmetic in 64 bits; lanes are at most 32 bits wide but for what needs no more. */
static bool vec_oracle(const struct op_case *c, unsigned w, unsigned lanes, const uint64_t *va, const uint64_t *vb, const uint64_t *vc, unsigned i, uint64_t *out)
{
    uint64_t a = lane_of(va, w, i), b = lane_of(vb, w, i), k = lane_of(vc, w, i), umax = w == 64 ? UINT64_MAX : (UINT64_C(1) << w) - 1, r = 0;
    int64_t sa = sx(a, w), sb = sx(b, w), smax = (int64_t)(umax >> 1);
    unsigned imm = c->aux, bytes = w * lanes / 8;
    switch (c->op) {
    case OP_VMOV: r = a; break;
    case OP_VADD: r = a + b; break;
    case OP_VSUB: r = a - b; break;
    case OP_VMUL: r = a * b; break;
    case OP_VMULHU: if (w == 64) return false; r = a * b >> w; break;
    case OP_VMULHS: if (w == 64) return false; r = (uint64_t)(sa * sb) >> w; break;
    case OP_VAND: r = a & b; break;
    case OP_VOR: r = a | b; break;
    case OP_VXOR: r = a ^ b; break;
    case OP_VANDC: r = a & ~b; break;
    case OP_VORC: r = a | ~b; break;
    case OP_VNOT: r = ~a; break;
    case OP_VMERGE: r = (a & ~k) | (b & k); break;
    case OP_VSHLI: r = imm >= w ? 0 : a << imm; break;
    case OP_VSHRI: r = imm >= w ? 0 : a >> imm; break;
    case OP_VSARI: for (unsigned j = 0; j < w; j++) r |= (a >> (j + imm >= w ? w - 1 : j + imm) & 1) << j; break;
    case OP_VSHL: r = b >= w ? 0 : a << b; break;
    case OP_VSHR: r = b >= w ? 0 : a >> b; break;
    case OP_VSAR: for (unsigned j = 0; j < w; j++) r |= (a >> (b >= w || j + b >= w ? w - 1 : j + b) & 1) << j; break;
    case OP_VROTR: for (unsigned j = 0; j < w; j++) r |= (a >> (j + b % w) % w & 1) << j; break;
    case OP_VCMPEQ: r = a == b ? umax : 0; break;
    case OP_VCMPGTS: r = sa > sb ? umax : 0; break;
    case OP_VCMPGTU: r = a > b ? umax : 0; break;
    case OP_VMINU: r = a < b ? a : b; break;
    case OP_VMAXU: r = a > b ? a : b; break;
    case OP_VMINS: r = sa < sb ? a : b; break;
    case OP_VMAXS: r = sa > sb ? a : b; break;
    case OP_VADDUS: r = a > umax - b ? umax : a + b; break;
    case OP_VSUBUS: r = a < b ? 0 : a - b; break;
    case OP_VADDSS: if (w == 64) return false; r = (uint64_t)clamp(sa + sb, -smax - 1, smax); break;
    case OP_VSUBSS: if (w == 64) return false; r = (uint64_t)clamp(sa - sb, -smax - 1, smax); break;
    case OP_VAVGU: if (w == 64) return false; r = (a + b + 1) / 2; break;
    case OP_VABS: r = sa < 0 ? 0 - a : a; break;
    case OP_VNEG: r = 0 - a; break;
    case OP_VABDU: r = a < b ? b - a : a - b; break;
    case OP_VABDS: r = sa < sb ? b - a : a - b; break;
    case OP_VCLZ: for (; r < w && !(a >> (w - 1 - r) & 1); r++) {} break;
    case OP_VPOPCNT: for (unsigned j = 0; j < w; j++) r += a >> j & 1; break;
    case OP_VBITREV: for (unsigned j = 0; j < w; j++) r |= (a >> j & 1) << (w - 1 - j); break;
    case OP_VBSWAP: for (unsigned j = 0; j < w; j += 8) r |= (a >> j & 0xff) << (w - 8 - j); break;
    case OP_VDUP: r = va[0]; break;
    case OP_VZIPLO: r = lane_of(i & 1 ? vb : va, w, i / 2); break;
    case OP_VZIPHI: r = lane_of(i & 1 ? vb : va, w, lanes == 1 ? 0 : lanes / 2 + i / 2); break;
    case OP_VUZPE: case OP_VUZPO: {
        unsigned at = 2 * i + (c->op == OP_VUZPO);
        if (lanes == 1) return false;
        r = at < lanes ? lane_of(va, w, at) : lane_of(vb, w, at - lanes);
        break;
    }
    case OP_VTRNE: case OP_VTRNO:
        if (lanes == 1) return false;
        r = lane_of(i & 1 ? vb : va, w, i / 2 * 2 + (c->op == OP_VTRNO));
        break;
    case OP_VEXT:
        for (unsigned j = 0; j < w / 8; j++) {
            unsigned at = i * w / 8 + j + imm;
            r |= (at < bytes ? lane_of(va, 8, at) : at < 2 * bytes ? lane_of(vb, 8, at - bytes) : 0) << 8 * j;
        }
        break;
    case OP_VSHUF:
        for (unsigned j = 0; j < w / 8; j++) {
            unsigned at = i * w / 8 + j, x = (unsigned)lane_of(vb, 8, at);
            uint64_t v;
            if (imm == IR_SHUF_X86) v = x >= 128 ? 0 : lane_of(va, 8, bytes < 16 ? x % bytes : at / 16 * 16 + x % 16);
            else if (imm == IR_SHUF_TBL) v = x < bytes ? lane_of(va, 8, x) : 0;
            else v = x % (2 * bytes) < bytes ? lane_of(va, 8, x % bytes) : lane_of(vc, 8, x % bytes);
            r |= v << 8 * j;
        }
        break;
    case OP_VPACK: {
        uint64_t x = lane_of(i < lanes / 2 ? va : vb, 2 * w, i % (lanes / 2));
        int64_t s = sx(x, 2 * w);
        r = imm == IR_PACK_SS ? (uint64_t)clamp(s, -smax - 1, smax) : imm == IR_PACK_SU ? (uint64_t)clamp(s, 0, (int64_t)umax) :
            imm == IR_PACK_UU ? (x > umax ? umax : x) : x;
        break;
    }
    default: return false;
    }
    *out = r & umax;
    return true;
}

/* The ops whose lanes are twice as wide as their operands'; i: lane of the result. */
static bool wide_oracle(const struct op_case *c, unsigned w, unsigned lanes, const uint64_t *va, const uint64_t *vb, unsigned i, uint64_t *out)
{
    unsigned imm = c->aux, at = imm & IR_V_HIGH ? lanes / 2 + i : imm & IR_V_EVEN ? 2 * i : imm & IR_V_ODD ? 2 * i + 1 : i;
    uint64_t a = lane_of(va, w, at), b = lane_of(vb, w, at), m = 2 * w == 64 ? UINT64_MAX : (UINT64_C(1) << 2 * w) - 1;
    bool sg = imm & IR_V_SIGNED;
    switch (c->op) {
    case OP_VWIDEN: *out = (sg ? (uint64_t)sx(a, w) : a) & m; return true;
    case OP_VMULW: *out = (sg ? (uint64_t)(sx(a, w) * sx(b, w)) : a * b) & m; return true;
    case OP_VMADDW: {
        int64_t s = 0;
        if (w > 16) return false;
        for (unsigned j = 2 * i; j < 2 * i + 2; j++) {
            int64_t x = sg ? sx(lane_of(va, w, j), w) : (int64_t)lane_of(va, w, j), y = imm & (IR_V_SIGNED | IR_V_UXS) ? sx(lane_of(vb, w, j), w) : (int64_t)lane_of(vb, w, j);
            s += x * y;
        }
        if ((imm & IR_V_SAT) && (imm & (IR_V_SIGNED | IR_V_UXS))) s = clamp(s, -(INT64_C(1) << (2 * w - 1)), (INT64_C(1) << (2 * w - 1)) - 1);
        *out = (uint64_t)s & m;
        return true;
    }
    default: return false;
    }
}

static void test_vec(unsigned rounds)
{
    static const uint32_t widen[] = { 0, IR_V_SIGNED, IR_V_HIGH, IR_V_HIGH | IR_V_SIGNED }, mulw[] = { 0, IR_V_SIGNED, IR_V_HIGH | IR_V_SIGNED, IR_V_EVEN, IR_V_ODD | IR_V_SIGNED };
    static const uint32_t madd[] = { 0, IR_V_SIGNED, IR_V_UXS, IR_V_UXS | IR_V_SAT, IR_V_SIGNED | IR_V_SAT };
    static const uint32_t fops[] = { OP_FADD, OP_FSUB, OP_FMUL, OP_FDIV, OP_FSQRT, IR_VFP(OP_FMIN, IR_FMM_X86, 0), IR_VFP(OP_FMAX, IR_FMM_NUM, 0), OP_FMA,
                                     IR_VFP(OP_FCMP, IR_REL_LT | IR_REL_EQ, 0), IR_VFP(OP_FROUND, FP_RTZ | IR_ROUND_EXACT, 0) };
    unsigned bad = 0, first = n_cases;
    struct fp_env env = { .tiny_before = true };

    set_env(&env);
    for (unsigned op = OP_VMOV; op <= OP_VFP; op++) {
        for (unsigned attr = 0; attr < 16; attr++) {
            unsigned lane = attr & 3;
            bool doubles = op == OP_VPACK || op == OP_VWIDEN || op == OP_VMULW || op == OP_VMADDW;
            if ((doubles && lane == 3) || (op == OP_VFP && lane < 2)) continue;
            unsigned n = op == OP_VFP ? ARRAY_LEN(fops) : op == OP_VPACK ? 4 : op == OP_VSHUF ? 3 : op == OP_VREDUCE ? 8 : op == OP_VWIDEN ? ARRAY_LEN(widen) :
                         op == OP_VMULW ? ARRAY_LEN(mulw) : op == OP_VMADDW ? ARRAY_LEN(madd) : op == OP_VEXT || (op >= OP_VSHLI && op <= OP_VSARI) ? 3 : 1;
            for (unsigned k = 0; k < n; k++) {
                uint32_t imm = op == OP_VFP ? fops[k] : op == OP_VWIDEN ? widen[k] : op == OP_VMULW ? mulw[k] : op == OP_VMADDW ? madd[k] :
                               op == OP_VEXT || (op >= OP_VSHLI && op <= OP_VSARI) ? below(70) : k;
                add_case(op, T_I64, attr, imm)->form = (uint8_t)below(2);
            }
        }
    }
    for (unsigned n = first; n < n_cases && bad < 10; n++) {
        const struct op_case *c = &cases[n];
        unsigned w = 8u << (c->attr & 3), lanes = (64u << (c->attr >> 2)) / w;
        for (unsigned k = 0; k < rounds / 10 + 4 && bad < 10; k++) {
            struct toy *t = machines[0].t;
            uint64_t before[N64];
            for (unsigned i = 0; i < N64; i++) {
                t->q[i] = below(3) ? rnd() : below(2) ? rnd() & rnd() & rnd() & UINT64_C(0x8f8f8f8f8f8f8f8f) : rnd() | UINT64_C(0x7f7f7f7f7f7f7f7f);
                if (c->op == OP_VFP && below(2)) t->q[i] = c->attr & 1 ? f64_value() : (uint64_t)f32_value() << 32 | f32_value();
                if (i >= 16 && i < 24 && !below(4)) t->q[i] = below(2) ? t->q[i - 8] : t->q[i] & UINT64_C(0x0f1f0f0f0f1f0f0f);
            }
            memcpy(before, t->q, sizeof before);
            bad += !run_case(n);
            const uint64_t *d = c->form ? &t->q[8] : t->q, *a = &before[8], *b = &before[16], *z = &before[24];
            for (unsigned i = 0; i < lanes; i++) {
                uint64_t want, got = lane_of(d, w, i);
                if (c->op == OP_VREDUCE) break;
                if (vec_oracle(c, w, lanes, a, b, z, i, &want) ? want != got
                    : i < lanes / 2 && w < 64 && wide_oracle(c, w, lanes, a, b, i, &want) && want != (got = lane_of(d, 2 * w, i))) {
                    printf("%s.%u imm 0x%x lane %u of %u: 0x%" PRIx64 ", want 0x%" PRIx64 "\n", c->what, w, c->aux, i, lanes, got, want);
                    bad++;
                    break;
                }
            }
            if (c->op == OP_VREDUCE) { /* by hand */
                uint64_t r = lane_of(a, w, 0), m = w == 64 ? UINT64_MAX : (UINT64_C(1) << w) - 1;
                for (unsigned i = 1; i < lanes; i++) {
                    uint64_t x = lane_of(a, w, i);
                    switch (c->aux) {
                    case IR_RED_ADD: r += x, r &= m; break;
                    case IR_RED_MINU: r = x < r ? x : r; break;
                    case IR_RED_MAXU: r = x > r ? x : r; break;
                    case IR_RED_MINS: r = sx(x, w) < sx(r, w) ? x : r; break;
                    case IR_RED_MAXS: r = sx(x, w) > sx(r, w) ? x : r; break;
                    case IR_RED_AND: r &= x; break;
                    case IR_RED_OR: r |= x; break;
                    default: r ^= x; break;
                    }
                }
                if (r != d[0]) bad++, printf("vreduce.%u %u: 0x%" PRIx64 ", want 0x%" PRIx64 "\n", w, c->aux, d[0], r);
            }
        }
    }
    if (bad) failed++;
    else passed++;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 300;
    if (!make_machines()) return 1;
    test_int(rounds);
    test_mem(rounds);
    test_vec(rounds);
    test_fp_examples();
    test_fp(rounds);
    expect("cases within memory", n_cases < (MEM_SIZE - 0x1000) / 4, true);
    free_machines();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
