/*
 * test-fuzz-ops.c - L0: each op with values (PURE, CONV, SETC, FCMP, FP arithmetic and conversions, FMA, loads and stores of
 * every width) on boundary and random operands, in all forms of operands (slot, temporary, constant, the same one twice,
 * destination equal to a source), through every engine, against the definition (interp/eval.h, softfloat).
 *
 * Each form is a loop of one instruction over a table of operands in guest memory, so that compiled code does most of the
 * work. The definition itself is checked bit by bit in tests/test-ir.c.
 */
#include "tests/fuzzlib.h"

#include "interp/eval.h"
#include "interp/fpx.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

static const char usage[] =
    "usage: test-fuzz-ops [options]\n"
    "  --engine E    only this one: ref, goto, switch, or a backend's name, with :PROPERTY=VALUE,... of -accel\n"
    "  --cases N     go on until so many op cases were run on each engine (default: every form once)\n"
    "  --seconds N   go on for so long\n"
    "  --seed N      default 1\n"
    "  --op NAME     only this op\n";

enum { ENTRY = 32, ENTRIES = (FZ_DEVICE - FZ_DATA) / ENTRY, MAX_BAD = 5 };

struct form {
    uint8_t a, b, c, d;          /* where each is: 's' slot, 't' temporary, 'k' constant, 'a' same as a, 'b' same as b, 'c' */
};
static const struct form forms[] = {
    { 's', 's', 's', 's' }, { 't', 't', 't', 't' }, { 's', 't', 's', 't' }, { 't', 's', 't', 's' },
    { 's', 's', 's', 'a' }, { 's', 's', 's', 'b' }, { 't', 't', 't', 'a' }, { 't', 't', 't', 'b' }, { 's', 's', 's', 'c' }, { 't', 't', 't', 'c' },
    { 's', 'a', 's', 's' }, { 's', 'a', 'a', 'a' }, { 't', 'a', 't', 't' }, { 's', 's', 'b', 's' }, { 's', 't', 'a', 't' },
    { 'k', 's', 's', 's' }, { 's', 'k', 's', 's' }, { 's', 's', 'k', 's' }, { 't', 'k', 't', 'a' }, { 'k', 't', 't', 'b' },
    { 'k', 'k', 's', 's' }, { 's', 'k', 'k', 'a' }, { 'k', 's', 'k', 't' }, { 'k', 'k', 'k', 's' }, { 's', 'k', 'k', 't' },
};

struct what { unsigned op, type, attr; uint32_t aux; unsigned in, out, n; };

struct test {
    const struct fz_engine *engine;
    struct fz_side *side[2];     /* user or system style */
    struct fz_side *soft;        /* for the definition of FP ops */
    uint64_t rng, cases, bad;
    struct fz_prog prog;
};

static unsigned passed, failed;

static unsigned roll(struct test *t, unsigned n) { return (unsigned)(fz_random(&t->rng) >> 20) % n; }

/* ---- building a loop ---- */
struct build { struct fz_insn *in; ir_id a, b, c, d; };

static ir_id konst(struct fz_insn *in, unsigned type, uint64_t v)
{
    in->k[in->n_k] = v, in->k_type[in->n_k] = (uint8_t)type;
    return (ir_id)(IR_CONST + in->n_k++);
}

static ir_id temp(struct fz_insn *in, unsigned type)
{
    in->t_type[in->n_t] = (uint8_t)type;
    return (ir_id)(IR_TEMP + in->n_t++);
}

static struct ir_op *op(struct fz_insn *in, unsigned o, unsigned type, ir_id d, ir_id a, ir_id b)
{
    in->ops[in->n_ops] = (struct ir_op){ (uint16_t)o, (uint8_t)type, 0, d, a, b, IR_NONE, 0 };
    return &in->ops[in->n_ops++];
}

static ir_id place(struct test *t, struct fz_insn *in, unsigned where, unsigned type, unsigned n, const ir_id *same, uint64_t k)
{
    (void)t;
    switch (where) {
    case 's': return type == T_I64 ? FZ_SLOT_Q(n) : FZ_SLOT_R(n);
    case 't': return temp(in, type);
    case 'k': return konst(in, type, k);
    default: return same[where - 'a'];
    }
}

/* The pointer is q7 or r7: an entry is a, b, c, result. k[] are the constants, which the table's entries then have as well. */
static void build(struct test *t, const struct what *w, const struct form *f, bool wide, const uint64_t k[3])
{
    struct fz_prog *p = &t->prog;
    struct fz_insn *in = &p->insn[0];
    ir_id id[4], ptr = wide ? FZ_SLOT_Q(7) : FZ_SLOT_R(7);
    const uint8_t at[4] = { f->a, f->b, f->c, f->d };
    unsigned ptype = wide ? T_I64 : T_I32;

    memset(in, 0, 2 * sizeof *in);
    for (unsigned i = 0; i < 3; i++) id[i] = i < w->n ? place(t, in, at[i], w->in, i, id, k[i]) : IR_NONE;
    id[3] = place(t, in, w->out != w->in && at[3] <= 'c' ? 's' : at[3], w->out, 4, id, 0);
    for (unsigned i = 0; i < w->n; i++) {
        if (at[i] != 's' && at[i] != 't') continue;
        struct ir_op *o = op(in, OP_LD, w->in, id[i], ptr, IR_NONE);
        o->attr = w->in == T_I64 ? IR_M64 : IR_M32, o->aux = 8 * i | (wide ? IR_A64 : 0);
    }
    struct ir_op *o = op(in, w->op, w->type, id[3], id[0], id[1]);
    o->c = id[2], o->attr = (uint8_t)w->attr, o->aux = w->aux;
    o = op(in, OP_ST, w->out, IR_NONE, ptr, id[3]);
    o->attr = w->out == T_I64 ? IR_M64 : IR_M32, o->aux = 24 | (wide ? IR_A64 : 0);
    op(in, OP_ADD, ptype, ptr, ptr, konst(in, ptype, ENTRY));
    in->link[0] = (struct fz_link){ FZ_CODE, 0, 0 };
    in->link[1] = (struct fz_link){ FZ_CODE + 4, 0, 0 };
    in->n_links = 2;
    o = op(in, OP_BRC, ptype, IR_NONE, ptr, konst(in, ptype, FZ_DEVICE));
    o->attr = CC_LTU, o->aux = 0;
    op(in, OP_GOTO, T_I32, IR_NONE, IR_NONE, IR_NONE)->aux = 1;
    p->n = 2;
}

/* ---- the definition ---- */
static uint64_t define(struct test *t, const struct what *w, const uint64_t v[3])
{
    switch (ir_op_info[w->op].cls) {
    case CLASS_PURE: case CLASS_CONV: return eval_pure(w->op, w->type, w->aux, v[0], v[1], v[2]);
    default: break;
    }
    if (w->op == OP_SETC) return eval_cond(w->attr, w->type, v[0], v[1]);
    return fp_exec(fz_cpu(t->soft), w->op, w->type, w->attr, w->aux, v[0], v[1], v[2]);
}

static void report(struct test *t, const struct what *w, const struct form *f, const uint64_t v[3], uint64_t got, uint64_t want, bool user)
{
    printf("L0: %s: %s%u", t->engine->name, ir_op_info[w->op].name, w->type == T_I64 ? 64 : 32);
    for (unsigned i = 0; i < w->n; i++) printf("%s0x%" PRIx64, i ? ", " : "(", v[i]);
    printf(") attr 0x%x aux 0x%x = 0x%" PRIx64 ", want 0x%" PRIx64 " (operands %c %c %c -> %c, %s style, rounding %u)\n", w->attr, w->aux, got, want, f->a, f->b,
           f->c, f->d, user ? "user" : "system", t->prog.fp_round);
}

static bool fp_op(unsigned o) { return ir_op_info[o].cls == CLASS_FP || ir_op_info[o].cls == CLASS_FPCV || o == OP_FCMP || o == OP_FMA || o == OP_FROUND || o == OP_FMIN || o == OP_FMAX; }

/* Operands whose product (quotient, conversion to F32, sum with a product) lies about the smallest normal number, on both sides. */
static void tiny_operands(struct test *t, const struct what *w, uint64_t v[3])
{
    bool d = w->in == T_I64, narrow = w->op == OP_F64_F32;
    unsigned mbits = d ? 52 : 23, bias = d ? 1023 : 127;
    unsigned emin = narrow ? 1023 - 126 : 1, drop = narrow ? 29 : 0; /* biased; mantissa bits that the result has not */
    uint64_t ones = (UINT64_C(1) << mbits) - 1, sign = UINT64_C(1) << (d ? 63 : 31);
    unsigned k = w->n > 1 ? roll(t, 40) : 0;
    v[0] = (uint64_t)(emin - 1 + roll(t, 2) + k) << mbits | (ones - ((uint64_t)roll(t, 4) << (drop ? drop - 1 : 0)) - (drop ? roll(t, 3) : 0));
    v[1] = w->op == OP_FDIV ? (uint64_t)(bias + k) << mbits : (uint64_t)(bias - k) << mbits;
    v[1] += roll(t, 3), v[1] -= roll(t, 3);
    v[2] = roll(t, 2) ? 0 : roll(t, 3);
    for (unsigned i = 0; i < 3; i++) v[i] ^= roll(t, 2) ? sign : 0;
}

/* One loop over the table. */
static void run_form(struct test *t, const struct what *w, const struct form *f)
{
    static uint64_t v[ENTRIES][3];
    bool user = roll(t, 2), wide = roll(t, 2);
    struct fz_side *s = t->side[user];
    struct cpu *c = fz_cpu(s), *soft = fz_cpu(t->soft);
    uint64_t k[3];
    const uint8_t at[3] = { f->a, f->b, f->c };

    for (unsigned i = 0; i < 3; i++) k[i] = fz_value(&t->rng, w->in);
    build(t, w, f, wide, k);
    t->prog.user = user;
    t->prog.fp_round = fp_op(w->op) && !roll(t, 6) ? (uint8_t)roll(t, 16) : 0;
    t->prog.r[7] = FZ_DATA, t->prog.q[7] = FZ_DATA;
    fz_start(s, &t->prog);
    /* FP: one at a time with its own flags? Both times of detecting tininess, as far as an engine that is not the host's own knows them. */
    bool single = fp_op(w->op) && !roll(t, 3), tiny = single && roll(t, 4);
    c->fp.tiny_before = single && (FP_HOST_TINY_BEFORE || !t->engine->cfg.backend) && roll(t, 2);
    cpu_fp_changed(c);
    uint8_t *mem = fz_mem(s) + FZ_DATA;
    for (unsigned n = 0; n < ENTRIES; n++) {
        uint64_t small[3];
        if (tiny) tiny_operands(t, w, small);
        for (unsigned i = 0; i < 3; i++) {
            v[n][i] = tiny && (at[i] == 's' || at[i] == 't') ? small[i] : at[i] == 'k' ? k[i] : at[i] == 's' || at[i] == 't' ? fz_value(&t->rng, w->in) : v[n][at[i] - 'a'];
            st64_le(mem + n * ENTRY + 8 * i, v[n][i]);
        }
    }
    fz_mem_done(s);
    if (fp_op(w->op)) {
        soft->fp = c->fp;
        soft->fp.flags = 0;
        soft->fp_note = (struct fp_note){ 0 };
    }
    for (unsigned n = 0; single && n < ENTRIES; n++) {
        cpu_fp_set_flags(c, 0);
        soft->fp.flags = 0;
        fz_run(s, 1);
        define(t, w, v[n]);
        unsigned got = cpu_fp_flags(c), want = soft->fp.flags;
        if (got == want) continue;
        if (t->bad++ < MAX_BAD) {
            report(t, w, f, v[n], 0, 0, user);
            printf("  FP flags of this one alone 0x%x, want 0x%x (tininess %s rounding)\n", got, want, c->fp.tiny_before ? "before" : "after");
        }
        break;
    }
    if (single) soft->fp.flags = (uint8_t)cpu_fp_flags(c);
    for (unsigned i = 0; i < 8 && cpu_icount(c) < ENTRIES; i++) fz_run(s, (unsigned)(ENTRIES - cpu_icount(c)));
    mem = fz_mem(s) + FZ_DATA;
    for (unsigned n = 0; n < ENTRIES; n++) {
        uint64_t want = define(t, w, v[n]), got = w->out == T_I64 ? ld64_le(mem + n * ENTRY + 24) : ld32_le(mem + n * ENTRY + 24);
        if (w->out == T_I32) want = (uint32_t)want;
        if (got == want) continue;
        if (t->bad++ < MAX_BAD) report(t, w, f, v[n], got, want, user);
        break;
    }
    fz_mem_done(s);
    if (fp_op(w->op)) {
        unsigned got = cpu_fp_flags(c), want = single ? got : soft->fp.flags, last = cpu_fp_last_flags(c) & 0x1f, last_want = cpu_fp_last_flags(soft) & 0x1f;
        if ((got != want || last != last_want) && t->bad++ < MAX_BAD) {
            report(t, w, f, v[ENTRIES - 1], 0, 0, user);
            printf("  FP flags 0x%x, want 0x%x; of the last one 0x%x, want 0x%x\n", got, want, last, last_want);
        }
    }
    t->cases += ENTRIES;
}

/* ---- loads and stores of every width ---- */
static void run_memory(struct test *t, unsigned type, unsigned mem, bool store)
{
    bool user = roll(t, 2), wide = roll(t, 2);
    struct fz_side *s = t->side[user];
    struct fz_insn *in = &t->prog.insn[0];
    ir_id ptr = wide ? FZ_SLOT_Q(7) : FZ_SLOT_R(7), x = roll(t, 2) ? temp((memset(in, 0, 2 * sizeof *in), in), type)
                                                                   : (memset(in, 0, 2 * sizeof *in), type == T_I64 ? FZ_SLOT_Q(1) : FZ_SLOT_R(1));
    unsigned ptype = wide ? T_I64 : T_I32, size = 1u << (mem & IR_MSIZE), off = mem & IR_MALIGN ? 0 : roll(t, 8);
    uint32_t a64 = wide ? IR_A64 : 0;
    struct ir_op *o;

    o = op(in, OP_LD, type, x, ptr, IR_NONE);
    o->attr = (uint8_t)(store ? (type == T_I64 ? IR_M64 : IR_M32) : mem), o->aux = (store ? 0 : off) | a64;
    o = op(in, OP_ST, type, IR_NONE, ptr, x);
    o->attr = (uint8_t)(store ? mem & ~(unsigned)IR_MS : type == T_I64 ? IR_M64 : IR_M32), o->aux = (store ? 16 + off : 16) | a64;
    op(in, OP_ADD, ptype, ptr, ptr, konst(in, ptype, ENTRY));
    in->link[0] = (struct fz_link){ FZ_CODE, 0, 0 }, in->link[1] = (struct fz_link){ FZ_CODE + 4, 0, 0 }, in->n_links = 2;
    o = op(in, OP_BRC, ptype, IR_NONE, ptr, konst(in, ptype, FZ_DEVICE));
    o->attr = CC_LTU, o->aux = 0;
    op(in, OP_GOTO, T_I32, IR_NONE, IR_NONE, IR_NONE)->aux = 1;
    t->prog.n = 2, t->prog.user = user, t->prog.fp_round = 0;
    t->prog.r[7] = FZ_DATA, t->prog.q[7] = FZ_DATA;
    t->prog.mem_seed = fz_random(&t->rng);
    fz_start(s, &t->prog);
    uint8_t before[FZ_DEVICE - FZ_DATA];
    memcpy(before, fz_mem(s) + FZ_DATA, sizeof before);
    fz_mem_done(s);
    for (unsigned i = 0; i < 8 && cpu_icount(fz_cpu(s)) < ENTRIES; i++) fz_run(s, (unsigned)(ENTRIES - cpu_icount(fz_cpu(s))));
    /* by bytes */
    unsigned cell = type == T_I64 ? 8 : 4;
    for (unsigned n = 0; n < ENTRIES; n++) {
        uint8_t *e = before + n * ENTRY;
        uint64_t v = 0;
        if (store) {
            for (unsigned i = 0; i < cell; i++) v |= (uint64_t)e[i] << 8 * i;
            for (unsigned i = 0; i < size; i++) e[16 + off + i] = (uint8_t)(v >> 8 * (mem & IR_MBE ? size - 1 - i : i));
        } else {
            for (unsigned i = 0; i < size; i++) v |= (uint64_t)e[off + i] << 8 * (mem & IR_MBE ? size - 1 - i : i);
            if (mem & IR_MS && size < 8 && v >> (8 * size - 1)) v |= UINT64_MAX << 8 * size;
            for (unsigned i = 0; i < cell; i++) e[16 + i] = (uint8_t)(v >> 8 * i);
        }
    }
    if (memcmp(before, fz_mem(s) + FZ_DATA, sizeof before) && t->bad++ < MAX_BAD)
        printf("L0: %s: %s%u.%u%s%s%s at +%u goes wrong (%s style)\n", t->engine->name, store ? "st" : "ld", type == T_I64 ? 64 : 32, 8 * size,
               mem & IR_MS ? "s" : "", mem & IR_MBE ? "be" : "le", mem & IR_MALIGN ? "a" : "", off, user ? "user" : "system");
    fz_mem_done(s);
    t->cases += ENTRIES;
}

/* ---- all ops ---- */
static bool types_of(unsigned o, unsigned type, unsigned *in, unsigned *out)
{
    if (fz_conv_types(o, in, out)) return type == *out;
    *in = *out = type;
    if (o == OP_FCMP) *out = T_I32;
    return !(type == T_I32 && (o == OP_ZX32 || o == OP_SX32));
}

/* Values by CTL ops. */
static unsigned inputs(unsigned o)
{
    switch (o) {
    case OP_SETC: case OP_FCMP: case OP_FMIN: case OP_FMAX: return 2;
    case OP_FROUND: return 1;
    case OP_FMA: return 3;
    default: return ir_op_info[o].cls == CLASS_CTL || ir_op_info[o].cls == CLASS_VEC ? 0 : ir_op_info[o].n_in;
    }
}

static void test_op(struct test *t, unsigned o, unsigned type, const struct form *f)
{
    struct what w = { .op = o, .type = type, .n = inputs(o) };
    if (!w.n) return;
    if (!types_of(o, type, &w.in, &w.out)) return;
    /* forms that differ in operands which this op has not are the same */
    if (w.n < 2 && (f->b != 's' || f->d == 'b')) return;
    if (w.n < 3 && (f->c != 's' || f->d == 'c')) return;
    if (f->d <= 'c' && (f->d == 'a' ? f->a : f->d == 'b' ? f->b : f->c) == 'k') return;
    if (o == OP_SETC) w.attr = roll(t, CC_COUNT);
    if (o == OP_FCMP) w.attr = roll(t, 32);
    if (o == OP_FCMP && !roll(t, 3)) w.attr &= IR_REL_SIGNAL, w.aux = (uint32_t)fz_random(&t->rng) | 1;
    if (o == OP_FMIN || o == OP_FMAX) w.attr = roll(t, IR_FMM_COUNT);
    if (o == OP_FROUND) w.attr = (roll(t, 5) ? roll(t, 4) : IR_ROUND_ENV) | (roll(t, 2) ? IR_ROUND_EXACT : 0);
    if (o == OP_FMA) w.attr = roll(t, 8);
    if (o == OP_EXTRACT || o == OP_SEXTRACT || o == OP_DEPOSIT) {
        unsigned width = type == T_I64 ? 64 : 32, pos = roll(t, width);
        w.aux = pos | (1 + roll(t, width - pos)) << 8;
    }
    if (fz_float_to_int(o)) w.aux = (roll(t, 5) ? roll(t, 4) : IR_ROUND_ENV) | roll(t, IR_F2I_COUNT) << 4;
    unsigned more = o == OP_SETC ? 4 : o == OP_EXTRACT || o == OP_SEXTRACT || o == OP_DEPOSIT || f->a == 'k' || f->b == 'k' ? 2 : 1;
    while (more--) {
        run_form(t, &w, f);
        if (o == OP_SETC) w.attr = roll(t, CC_COUNT);
    }
}

static void test_engine(const struct fz_engine *g, uint64_t cases, uint64_t seconds, uint64_t seed, const char *only)
{
    static const struct engine_config soft = { .mode = ENGINE_REF, .soft_fp = true };
    struct error e = ERROR_INIT;
    struct test t = { .engine = g, .rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1 };
    time_t start = time(NULL);

    for (unsigned i = 0; i < 2; i++) t.side[i] = fz_open(&g->cfg, i, false, &e);
    t.soft = fz_open(&soft, false, false, &e);
    for (unsigned i = 0; i < 2 * FZ_WORDS; i++) t.prog.word[i] = i ? 1 : 0;
    if (!t.side[0] || !t.side[1] || !t.soft) {
        error_print(&e);
        failed++;
        return;
    }
    do {
        for (unsigned f = 0; f < ARRAY_LEN(forms) && t.bad < MAX_BAD; f++) {
            for (unsigned o = 0; o < OP_COUNT; o++) {
                if (only && strcmp(only, ir_op_info[o].name)) continue;
                for (unsigned type = T_I32; type <= T_I64; type++) test_op(&t, o, type, &forms[f]);
            }
        }
        for (unsigned type = T_I32; type <= T_I64; type++) {
            for (unsigned mem = 0; mem < 32; mem++) {
                if (type == T_I32 && (mem & IR_MSIZE) == IR_M64) continue;
                if (!only || !strcmp(only, "ld")) run_memory(&t, type, mem, false);
                if (!(mem & IR_MS) && (!only || !strcmp(only, "st"))) run_memory(&t, type, mem, true);
            }
        }
    } while (t.bad < MAX_BAD && (t.cases < cases || (uint64_t)(time(NULL) - start) < seconds));
    struct jit_stats j;
    jit_get_stats(fz_engine(t.side[0]), &j);
    printf("L0 %s: %" PRIu64 " op cases, %" PRIu64 " differ, %ld s%s\n", g->name, t.cases, t.bad, (long)(time(NULL) - start),
           g->cfg.backend && !j.tier[1].blocks && !j.tier[2].blocks ? " (nothing was compiled)" : "");
    fflush(stdout);
    for (unsigned i = 0; i < 2; i++) fz_close(t.side[i]);
    fz_close(t.soft);
    if (t.bad) failed++;
    else passed++;
}

int main(int argc, char **argv)
{
    uint64_t cases = 0, seconds = 0, seed = 1;
    const char *engine = NULL, *only = NULL;
    struct fz_engine list[16];
    struct error e = ERROR_INIT;
    unsigned n;

    fz_init();
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[++i] : NULL;
        bool ok = v != NULL;
        if (!ok) ;
        else if (!strcmp(a, "--engine")) engine = v;
        else if (!strcmp(a, "--cases")) cases = strtoull(v, NULL, 0);
        else if (!strcmp(a, "--seconds")) seconds = strtoull(v, NULL, 0);
        else if (!strcmp(a, "--seed")) seed = strtoull(v, NULL, 0);
        else if (!strcmp(a, "--op")) only = v;
        else ok = false;
        if (!ok) {
            fputs(usage, stderr);
            return 2;
        }
    }
    if (engine) {
        if (fz_engine_parse(&list[0], engine, &e)) {
            error_print(&e);
            return 2;
        }
        n = 1;
    } else {
        fz_engine_parse(&list[0], "ref", &e);
        n = 1 + fz_engines(list + 1, ARRAY_LEN(list) - 1, false);
    }
    for (unsigned i = 0; i < n; i++) test_engine(&list[i], cases, seconds, seed, only);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
