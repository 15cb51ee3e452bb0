/*
 * gen-fp.c - host floating point, by the rules of interp/fpx.h: the fast version of a block computes with the host as long as
 * no NaN comes out, and goes over to the slow version, where the reference does the op again, when one does. A NaN operand
 * gives a NaN result, so operands need no test but in comparisons. The host may have taken a guest's quiet NaN for a
 * signalling one: what truly is invalid gives a NaN and is the reference's, so the slow way clears that flag of the host
 * (backend.c). The fast version is made for one value of cpu->fp_fast: with FP_FAST_TINY results that may have been tiny before
 * they were rounded go the slow way, too; with FP_FAST_DENORMAL tests are on the bits, since comparisons of denormal numbers
 * raise that flag.
 */
#include "interp/fpx.h"
#include "jit-gccjit/gen.h"

#include <stdio.h>
#include <stdlib.h>

#define EXP32 0x7f800000u
#define EXP64 UINT64_C(0x7ff0000000000000)

bool gen_fp_inline(const struct ir_op *o)
{
    switch (o->op) {
    case OP_FADD: case OP_FSUB: case OP_FMUL: case OP_FDIV: case OP_FSQRT: case OP_FCMP:
    case OP_F32_F64: case OP_F64_F32: case OP_I32_F32: case OP_I32_F64: case OP_I64_F32: case OP_I64_F64: return true;
    case OP_F32_I32: case OP_F32_I64: case OP_F64_I32: case OP_F64_I64: return (o->aux & 15) == FP_RTZ;
    default: return false;
    }
}

static bool to_integer(unsigned op) { return op == OP_F32_I32 || op == OP_F32_I64 || op == OP_F64_I32 || op == OP_F64_I64; }

static unsigned bits_of(const struct gen *g, ir_id x) { return gen_type_of(g, x) == T_I64 ? 64 : 32; }

bool gen_known_number(const struct gen *g, ir_id x)
{
    const struct gen_block *b = &g->r->blocks[g->b];
    if (ir_is_slot(x)) return set_has(&g->f.number, x);
    if (ir_is_temp(x)) return g->f.temp_number[x - IR_TEMP];
    uint64_t k = b->consts[x - IR_CONST];
    return bits_of(g, x) == 64 ? k << 1 <= EXP64 << 1 : (uint32_t)k << 1 <= EXP32 << 1;
}

/* Twice the bits (the sign falls out), as an unsigned number: above those of infinity it is a NaN. */
static gj_rv *doubled(struct gen *g, gj_rv *bits, unsigned w)
{
    gcc_jit_type *t = w == 64 ? g->u64 : g->u32;
    return gx_bin(g, GCC_JIT_BINARY_OP_LSHIFT, t, bits, gx_int(g, t, 1));
}
static gj_rv *not_nan(struct gen *g, gj_rv *bits, unsigned w)
{
    return gx_cmp(g, GCC_JIT_COMPARISON_LE, doubled(g, bits, w), w == 64 ? gx_int(g, g->u64, EXP64 << 1) : gx_int(g, g->u32, EXP32 << 1));
}
static gj_rv *number_test(struct gen *g, gj_rv *v, unsigned w)
{
    if (g->r->h->fp_fast & FP_FAST_DENORMAL) return not_nan(g, gx_bits(g, v, w == 64 ? g->u64 : g->u32), w);
    return gx_cmp(g, GCC_JIT_COMPARISON_EQ, v, v);
}
gj_rv *gen_is_number(struct gen *g, ir_id x) { return number_test(g, gen_read_float(g, x), bits_of(g, x)); }

gj_rv *gen_fp_expected(struct gen *g)
{
    return gx_cmp(g, GCC_JIT_COMPARISON_EQ, gen_cell_load(g, offsetof(struct cpu, fp_fast), g->u8, false), gx_int(g, g->u8, g->r->h->fp_fast));
}

static void unless(struct gen *g, gj_rv *ok, gcc_jit_block *otherwise)
{
    gcc_jit_block *on = gx_block(g);
    gx_branch(g, ok, on, otherwise, 0);
    g->blk = on;
}

/* Keeps the compiler from moving what is computed from v to before this place, or v from disappearing: what it does to the host's
 * flags is not known to it. */
static void hide(struct gen *g, gj_lv *v, bool is_float, bool here)
{
    gcc_jit_extended_asm *a = gcc_jit_block_add_extended_asm(g->blk, NULL, "");
    gcc_jit_extended_asm_set_volatile_flag(a, here);
    gcc_jit_extended_asm_add_output_operand(a, NULL, is_float ? GJ_FLOAT_CONSTRAINT : "+r", v);
}

static void pin(struct gen *g, gj_lv *v, bool is_float) { hide(g, v, is_float, true); }

/* ---- tests put off (gen.h) ------------------------------------------------------------------------------- */

void gen_txn_unit(struct gen *g, unsigned at, unsigned mark)
{
    struct gen_txn *t = &g->txn;
    if (t->open || t->kept) return;
    t->watch = true;
    t->kept = g->rounds != 0;
    t->at = at, t->mark = mark, t->charge = gen_uncharged(g);
    t->dirty = g->f.dirty;
    memset(&t->changed, 0, sizeof t->changed);
    memset(&t->stepped, 0, sizeof t->stepped);
    memset(&t->based, 0, sizeof t->based);
    while (t->n_temps) t->temp_has[t->temp_changed[--t->n_temps]] = 0;
}

void gen_txn_cell(struct gen *g, unsigned i)
{
    struct gen_txn *t = &g->txn;
    t->cell[i] = 0;
    set_del(&t->stepped, i);
    if (set_has(&t->changed, i)) return;
    set_add(&t->changed, i);
    gj_rv *v = gcc_jit_lvalue_as_rvalue(g->cell[i].var);
    t->old[i] = gx_var(g, gcc_jit_rvalue_get_type(v));
    gx_set(g, t->old[i], v);
}

void gen_txn_step(struct gen *g, unsigned i, bool was_stepped, int64_t by)
{
    g->txn.step[i] = (was_stepped ? g->txn.step[i] : 0) + by;
    if (llabs(g->txn.step[i]) < 1 << 30) set_add(&g->txn.stepped, i);
}

void gen_txn_temp(struct gen *g, unsigned i, gj_lv *var)
{
    struct gen_txn *t = &g->txn;
    t->temp[i] = 0;
    if (t->temp_has[i]) return;
    t->temp_has[i] = 1;
    t->temp_changed[t->n_temps++] = (uint16_t)i;
    gj_rv *v = gcc_jit_lvalue_as_rvalue(var);
    t->old_temp[i] = gx_var(g, gcc_jit_rvalue_get_type(v));
    t->new_temp[i] = var;
    gx_set(g, t->old_temp[i], v);
}

gcc_jit_block *gen_fp_fail(struct gen *g, unsigned at)
{
    struct gen_txn *t = &g->txn;
    const bool back = gen_goes_back(g);
    if (!back && !gen_uncharged(g)) return gen_slow_entry(g, at, &g->f.dirty);
    gcc_jit_block *here = g->blk, *fail = gx_block(g);
    g->blk = fail;
    if (!back) {
        gen_take(g, gen_uncharged(g));
        gx_jump(g, gen_slow_entry(g, at, &g->f.dirty));
        g->blk = here;
        return fail;
    }
    for (unsigned i = 0; i < g->n_cells; i++) {
        gj_lv *var = g->cell[i].var;
        if (set_has(&t->stepped, i) && !set_has(&t->based, i)) {
            pin(g, var, false); /* else the compiler sees through it, and keeps the old value */
            gj_rv *v = gen_cell_value(g, i);
            gcc_jit_type *type = gcc_jit_rvalue_get_type(v);
            gen_cell_set(g, i, gx_bin(g, GCC_JIT_BINARY_OP_MINUS, type, v, gx_int(g, type, (uint64_t)t->step[i])));
        } else if (set_has(&t->changed, i)) {
            gx_set(g, var, gcc_jit_lvalue_as_rvalue(t->old[i]));
        }
    }
    for (unsigned i = 0; i < t->n_temps; i++) {
        unsigned n = t->temp_changed[i];
        gx_set(g, t->new_temp[n], gcc_jit_lvalue_as_rvalue(t->old_temp[n]));
    }
    if (t->charge) gen_take(g, t->charge);
    gx_jump(g, gen_slow_entry(g, t->at, &t->dirty));
    g->blk = here;
    return fail;
}

/* Comparing two values with each other tells whether one of them is a NaN. */
static bool can_test_two(const struct gen *g)
{
#if defined __x86_64__
    return !(g->r->h->fp_fast & FP_FAST_DENORMAL);
#else
    return (void)g, false;
#endif
}

static void test_two(struct gen *g, const struct gen_pending *a, const struct gen_pending *b)
{
    gj_lv *nan = gx_var(g, g->u8);
    gcc_jit_extended_asm *s = gcc_jit_block_add_extended_asm(g->blk, NULL, (a->w == 64 ? "vucomisd %2,%1" : "vucomiss %2,%1") + (gx_simd() == SIMD_PLAIN));
    gcc_jit_extended_asm_add_output_operand(s, NULL, "=@ccp", nan);
    gcc_jit_extended_asm_add_input_operand(s, NULL, gx_in_float(false), gcc_jit_lvalue_as_rvalue(a->z));
    gcc_jit_extended_asm_add_input_operand(s, NULL, gx_in_float(true), gcc_jit_lvalue_as_rvalue(b->z));
    unless(g, gx_cmp(g, GCC_JIT_COMPARISON_EQ, gcc_jit_lvalue_as_rvalue(nan), gx_int(g, g->u8, 0)), gen_fp_fail(g, g->txn.at));
}

void gen_settle(struct gen *g)
{
    struct gen_txn *t = &g->txn;
    struct gen_pending *first = NULL;
    for (unsigned i = 0; t->open && i < t->n; i++) {
        struct gen_pending *p = &t->pending[i];
        if (p->covered || p->tested) continue;
        if (first && first->w == p->w && can_test_two(g)) {
            test_two(g, first, p);
            first = NULL;
            continue;
        }
        if (first) unless(g, number_test(g, gcc_jit_lvalue_as_rvalue(first->z), first->w), gen_fp_fail(g, t->at));
        first = p;
    }
    if (first) unless(g, number_test(g, gcc_jit_lvalue_as_rvalue(first->z), first->w), gen_fp_fail(g, t->at));
    t->open = t->kept = false;
}

void gen_txn_stop(struct gen *g)
{
    if (!g->blk) g->txn.open = g->txn.kept = false;
    gen_settle(g);
    g->txn.watch = false;
}

static struct gen_pending *pending_of(struct gen *g, ir_id x)
{
    unsigned n = !g->txn.open || ir_is_const(x) ? 0 : ir_is_slot(x) ? g->txn.cell[x] : g->txn.temp[x - IR_TEMP];
    return n ? &g->txn.pending[n - 1] : NULL;
}

static void test_pending(struct gen *g, unsigned at, ir_id x)
{
    struct gen_pending *p = pending_of(g, x);
    if (!p || p->tested) return;
    unless(g, number_test(g, gcc_jit_lvalue_as_rvalue(p->z), p->w), gen_fp_fail(g, at));
    p->tested = true;
}

void gen_test_operands(struct gen *g, unsigned at)
{
    const struct ir_op *o = &g->r->blocks[g->b].ops[at];
    const ir_id x[] = { o->a, o->b, o->c };
    for (unsigned i = 0; i < 3; i++) {
        if (x[i] != IR_NONE) test_pending(g, at, x[i]);
    }
}

static void need_number(struct gen *g, unsigned at, ir_id x)
{
    test_pending(g, at, x);
    if (gen_known_number(g, x)) return;
    unless(g, gen_is_number(g, x), gen_fp_fail(g, at));
    if (ir_is_slot(x)) set_add(&g->f.number, x);
    else if (ir_is_temp(x)) g->f.temp_number[x - IR_TEMP] = 1;
}

gj_rv *gen_opaque(struct gen *g, gj_rv *v)
{
    gj_lv *p = gx_var(g, gcc_jit_rvalue_get_type(v));
    gx_set(g, p, v);
    hide(g, p, true, false);
    return gcc_jit_lvalue_as_rvalue(p);
}

gj_rv *gen_pinned(struct gen *g, gj_rv *v, bool is_float)
{
    gj_lv *p = gx_var(g, gcc_jit_rvalue_get_type(v));
    gx_set(g, p, v);
    pin(g, p, is_float);
    return gcc_jit_lvalue_as_rvalue(p);
}

/* An operand for the note: variables of 64 bits, of the kind of floats. */
static gj_rv *note_value(struct gen *g, ir_id x)
{
    if (bits_of(g, x) == 64) return gen_read_float(g, x);
    gj_lv *v = gx_var(g, g->u64);
    gx_set(g, v, gen_u64(g, x));
    return gx_bits(g, gcc_jit_lvalue_as_rvalue(v), g->f64);
}

/* aux 0 is for those that leave it alone. */
static void note(struct gen *g, const struct ir_op *o, bool two, bool aux)
{
    gen_assign_cell(g, g->note_op, gx_int(g, g->u32, o->op | (uint32_t)o->type << 16));
    gen_assign_cell(g, g->note_a, note_value(g, o->a));
    if (two) gen_assign_cell(g, g->note_b, note_value(g, o->b));
    if (aux) gen_assign_cell(g, g->note_aux, gx_int(g, g->u32, to_integer(o->op) ? o->aux : 0));
}

/* The result z (of bits zbits) of op: a number, and none that might be the guest's in another way. */
static void check_result(struct gen *g, unsigned at, gj_lv *z, gcc_jit_type *ut, unsigned w, bool can_be_tiny)
{
    if (!g->txn.watch) unless(g, number_test(g, gcc_jit_lvalue_as_rvalue(z), w), gen_fp_fail(g, at));
    if (!can_be_tiny || !(g->r->h->fp_fast & FP_FAST_TINY)) return;
    gj_rv *twice = doubled(g, gx_bits(g, gcc_jit_lvalue_as_rvalue(z), ut), w);
    uint64_t low = w == 64 ? f64_MIN_NORMAL << 1 : f32_MIN_NORMAL << 1;
    unless(g, gx_cmp(g, GCC_JIT_COMPARISON_NE, twice, gx_int(g, ut, low)), gen_fp_fail(g, at));
}

/* z, computed from a and b (or IR_NONE), has been written to d. */
static void put_off(struct gen *g, const struct ir_op *o, gj_lv *z, unsigned w, struct gen_pending *a, struct gen_pending *b)
{
    struct gen_txn *t = &g->txn;
    if (!t->watch) return;
    if (a) a->covered = true;
    if (b) b->covered = true;
    if (!t->open) {
        t->open = true;
        t->n = 0;
        memset(t->cell, 0, sizeof t->cell);
        memset(t->temp, 0, sizeof t->temp);
    }
    t->pending[t->n++] = (struct gen_pending){ .z = z, .w = (uint8_t)w };
    *(ir_is_slot(o->d) ? &t->cell[o->d] : &t->temp[o->d - IR_TEMP]) = (uint8_t)t->n;
    if (t->n == GEN_MAX_PENDING) gen_settle(g);
}

static gj_rv *host_op(struct gen *g, const struct ir_op *o, gcc_jit_type *t, gj_rv *a, gj_rv *b)
{
    switch (o->op) {
    case OP_FADD: return gx_bin(g, GCC_JIT_BINARY_OP_PLUS, t, a, b);
    case OP_FSUB: return gx_bin(g, GCC_JIT_BINARY_OP_MINUS, t, a, b);
    case OP_FMUL: return gx_bin(g, GCC_JIT_BINARY_OP_MULT, t, a, b);
    case OP_FDIV: return gx_bin(g, GCC_JIT_BINARY_OP_DIVIDE, t, a, b);
    default: {
        gcc_jit_function *f = gcc_jit_context_get_builtin_function(g->ctx, t == g->f64 ? "__builtin_sqrt" : "__builtin_sqrtf");
        return gcc_jit_context_new_call(g->ctx, NULL, f, 1, &a);
    }
    }
}

static void arithmetic(struct gen *g, unsigned at, const struct ir_op *o)
{
    const unsigned w = o->type == T_I64 ? 64 : 32;
    const bool two = o->op != OP_FSQRT;
    gcc_jit_type *ft = w == 64 ? g->f64 : g->f32, *ut = w == 64 ? g->u64 : g->u32;

    gj_rv *a = gen_read_float(g, o->a), *b = two ? gen_read_float(g, o->b) : NULL;
    if (g->has_calls) {
        a = gen_pinned(g, a, true);
        if (two) b = gen_pinned(g, b, true);
    }
    gj_lv *z = gx_var(g, ft);
    gx_set(g, z, host_op(g, o, ft, a, b));
    check_result(g, at, z, ut, w, FPX_CAN_BE_TINY(o->op));
    struct gen_pending *pa = pending_of(g, o->a), *pb = two ? pending_of(g, o->b) : NULL;
    note(g, o, two, false);
    gen_write(g, o->d, gcc_jit_lvalue_as_rvalue(z), true);
    put_off(g, o, z, w, pa, pb);
    if (ir_is_slot(o->d)) set_add(&g->f.number, o->d);
    else if (ir_is_temp(o->d)) g->f.temp_number[o->d - IR_TEMP] = 1;
}

static void compare(struct gen *g, unsigned at, const struct ir_op *o)
{
    need_number(g, at, o->a);
    need_number(g, at, o->b);
    gj_rv *a = gen_read_float(g, o->a), *b = gen_read_float(g, o->b), *test, *v;
    if (o->aux) {
        gj_lv *r = gx_var(g, g->u32);
        gcc_jit_block *less = gx_block(g), *not_less = gx_block(g), *equal = gx_block(g), *on = gx_block(g);
        gx_set(g, r, gx_int(g, g->u32, o->aux >> 16 & 0xff));
        gx_branch(g, gx_cmp(g, GCC_JIT_COMPARISON_LT, a, b), less, not_less, -1);
        g->blk = less;
        gx_set(g, r, gx_int(g, g->u32, o->aux & 0xff));
        gx_jump(g, on);
        g->blk = not_less;
        gx_branch(g, gx_cmp(g, GCC_JIT_COMPARISON_EQ, a, b), equal, on, -1);
        g->blk = equal;
        gx_set(g, r, gx_int(g, g->u32, o->aux >> 8 & 0xff));
        gx_jump(g, on);
        g->blk = on;
        v = gcc_jit_lvalue_as_rvalue(r);
    } else {
        static const enum gcc_jit_comparison rel[8] = {
            [1] = GCC_JIT_COMPARISON_LT, [2] = GCC_JIT_COMPARISON_EQ, [3] = GCC_JIT_COMPARISON_LE,
            [4] = GCC_JIT_COMPARISON_GT, [5] = GCC_JIT_COMPARISON_NE, [6] = GCC_JIT_COMPARISON_GE,
        };
        unsigned m = o->attr & 7;
        if (m == 0 || m == 7) {
            v = gx_int(g, g->u32, m == 7);
        } else {
            test = gx_cmp(g, rel[m], a, b);
            gj_lv *r = gx_var(g, g->u32);
            gx_set(g, r, gx_cast(g, test, g->u32));
            v = gcc_jit_lvalue_as_rvalue(r);
        }
    }
    note(g, o, true, true); /* raises nothing, and that must be told */
    gen_write(g, o->d, v, false);
}

static void from_int(struct gen *g, const struct ir_op *o)
{
    bool wide = o->op == OP_I64_F32 || o->op == OP_I64_F64, exact = o->op == OP_I32_F64;
    gcc_jit_type *st = wide ? g->i64 : g->i32, *ft = o->type == T_I64 ? g->f64 : g->f32;
    gj_rv *x = gx_cast(g, gen_read(g, o->a).r, st);
    if (!exact) x = gen_pinned(g, x, false);
    gj_lv *z = gx_var(g, ft);
    gx_set(g, z, gx_cast(g, x, ft));
    if (!exact) pin(g, z, true);
    note(g, o, false, true);
    gen_write(g, o->d, gcc_jit_lvalue_as_rvalue(z), true);
    if (ir_is_slot(o->d)) set_add(&g->f.number, o->d);
    else if (ir_is_temp(o->d)) g->f.temp_number[o->d - IR_TEMP] = 1;
}

static void to_int(struct gen *g, unsigned at, const struct ir_op *o)
{
    bool is64 = bits_of(g, o->a) == 64;
    unsigned limit = o->type == T_I64 ? 63 : 31;
    gcc_jit_type *ut = is64 ? g->u64 : g->u32, *it = o->type == T_I64 ? g->i64 : g->i32;
    uint64_t high = is64 ? ((uint64_t)(1023 + limit) << 53) : ((uint64_t)(127 + limit) << 24); /* 2 to that, doubled bits */

    unless(g, gx_cmp(g, GCC_JIT_COMPARISON_LT, doubled(g, gen_read(g, o->a).r, is64 ? 64 : 32), gx_int(g, ut, high)), gen_fp_fail(g, at));
    gj_rv *x = gen_pinned(g, gen_read_float(g, o->a), true);
    gj_lv *z = gx_var(g, it);
    gx_set(g, z, gx_cast(g, x, it));
    pin(g, z, false);
    note(g, o, false, true);
    gen_write(g, o->d, gx_cast(g, gcc_jit_lvalue_as_rvalue(z), o->type == T_I64 ? g->u64 : g->u32), false);
}

static void between(struct gen *g, unsigned at, const struct ir_op *o)
{
    bool narrow = o->op == OP_F64_F32;
    gcc_jit_type *ft = narrow ? g->f32 : g->f64;
    gj_rv *x = gen_pinned(g, gen_read_float(g, o->a), true);
    gj_lv *z = gx_var(g, ft);
    gx_set(g, z, gx_cast(g, x, ft));
    pin(g, z, true);
    check_result(g, at, z, narrow ? g->u32 : g->u64, narrow ? 32 : 64, narrow);
    struct gen_pending *pa = pending_of(g, o->a);
    note(g, o, false, true);
    gen_write(g, o->d, gcc_jit_lvalue_as_rvalue(z), true);
    put_off(g, o, z, narrow ? 32 : 64, pa, NULL);
    if (ir_is_slot(o->d)) set_add(&g->f.number, o->d);
    else if (ir_is_temp(o->d)) g->f.temp_number[o->d - IR_TEMP] = 1;
}

void gen_fp(struct gen *g, unsigned at)
{
    const struct ir_op *o = &g->r->blocks[g->b].ops[at];
    if (!g->f.fp_ok) {
        unless(g, gen_fp_expected(g), gen_fp_fail(g, at));
        g->f.fp_ok = true;
    }
    switch (o->op) {
    case OP_FADD: case OP_FSUB: case OP_FMUL: case OP_FDIV: case OP_FSQRT: arithmetic(g, at, o); break;
    case OP_FCMP: compare(g, at, o); break;
    case OP_I32_F32: case OP_I32_F64: case OP_I64_F32: case OP_I64_F64: from_int(g, o); break;
    case OP_F32_F64: case OP_F64_F32: between(g, at, o); break;
    default: to_int(g, at, o); break;
    }
}
