/*
 * gen-expr.c - the combinators of ops.def as calls that build libgccjit expressions. ops.def is included here with these
 * definitions, so that the worker has no second list of what ops mean.
 */
#include "jit-gccjit/gen.h"

#include <stdio.h>

/* ---- small pieces ------------------------------------------------------------------------------------ */

enum gx_simd gx_simd(void)
{
#if defined __x86_64__ && HOST_GNU
    return __builtin_cpu_supports("avx512vl") ? SIMD_AVX512 : __builtin_cpu_supports("avx") ? SIMD_AVX : SIMD_PLAIN;
#else
    return SIMD_PLAIN;
#endif
}

gj_rv *gx_int(struct gen *g, gcc_jit_type *t, uint64_t v) { return gcc_jit_context_new_rvalue_from_long(g->ctx, t, (long)v); }

gj_rv *gx_bin(struct gen *g, enum gcc_jit_binary_op op, gcc_jit_type *t, gj_rv *x, gj_rv *y)
{
    return gcc_jit_context_new_binary_op(g->ctx, NULL, op, t, x, y);
}

gj_rv *gx_cmp(struct gen *g, enum gcc_jit_comparison op, gj_rv *x, gj_rv *y) { return gcc_jit_context_new_comparison(g->ctx, NULL, op, x, y); }
gj_rv *gx_cast(struct gen *g, gj_rv *x, gcc_jit_type *t) { return gcc_jit_context_new_cast(g->ctx, NULL, x, t); }
gj_rv *gx_bits(struct gen *g, gj_rv *x, gcc_jit_type *t) { return gcc_jit_context_new_bitcast(g->ctx, NULL, x, t); }

gj_lv *gx_var(struct gen *g, gcc_jit_type *t) { return gcc_jit_function_new_local(g->fn, NULL, t, "v"); }
void gx_set(struct gen *g, gj_lv *v, gj_rv *x) { gcc_jit_block_add_assignment(g->blk, NULL, v, x); }
gcc_jit_block *gx_block(struct gen *g) { return gcc_jit_function_new_block(g->fn, NULL); }

void gx_jump(struct gen *g, gcc_jit_block *to)
{
    if (g->blk) gcc_jit_block_end_with_jump(g->blk, NULL, to);
    g->blk = NULL;
}

void gx_branch(struct gen *g, gj_rv *test, gcc_jit_block *yes, gcc_jit_block *no, int rare)
{
    if (rare >= 0) {
        gj_rv *arg[2] = { gx_cast(g, test, g->lng), gx_int(g, g->lng, rare == 0) };
        gcc_jit_function *expect = gcc_jit_context_get_builtin_function(g->ctx, "__builtin_expect");
        test = gx_cmp(g, GCC_JIT_COMPARISON_NE, gcc_jit_context_new_call(g->ctx, NULL, expect, 2, arg), gx_int(g, g->lng, 0));
    }
    gcc_jit_block_end_with_conditional(g->blk, NULL, test, yes, no);
    g->blk = NULL;
}

static gcc_jit_type *ut(struct gen *g, unsigned w) { return w == 64 ? g->u64 : g->u32; }
static gcc_jit_type *st(struct gen *g, unsigned w) { return w == 64 ? g->i64 : g->i32; }

struct gv gx_const(struct gen *g, unsigned w, uint64_t k)
{
    if (w == 32) k = (uint32_t)k;
    return (struct gv){ gx_int(g, ut(g, w), k), NULL, true, k };
}

static struct gv val(gj_rv *r) { return (struct gv){ .r = r }; }

/* ---- combinators; W is g->width ------------------------------------------------------------------------ */

#define W (g->width)

static struct gv bin(struct gen *g, enum gcc_jit_binary_op op, struct gv x, struct gv y) { return val(gx_bin(g, op, ut(g, W), x.r, y.r)); }
static struct gv sbin(struct gen *g, enum gcc_jit_binary_op op, struct gv x, struct gv y)
{
    gcc_jit_type *s = st(g, W);
    return val(gx_cast(g, gx_bin(g, op, s, gx_cast(g, x.r, s), gx_cast(g, y.r, s)), ut(g, W)));
}
static struct gv un(struct gen *g, enum gcc_jit_unary_op op, struct gv x)
{
    return val(gcc_jit_context_new_unary_op(g->ctx, NULL, op, ut(g, W), x.r));
}
static struct gv K(struct gen *g, uint64_t k) { return gx_const(g, W, k); }

static struct gv cmp(struct gen *g, enum gcc_jit_comparison op, struct gv x, struct gv y)
{
    gj_rv *t = gx_cmp(g, op, x.r, y.r);
    return (struct gv){ .r = gx_cast(g, t, ut(g, W)), .test = t };
}
static struct gv scmp(struct gen *g, enum gcc_jit_comparison op, struct gv x, struct gv y)
{
    gcc_jit_type *s = st(g, W);
    gj_rv *t = gx_cmp(g, op, gx_cast(g, x.r, s), gx_cast(g, y.r, s));
    return (struct gv){ .r = gx_cast(g, t, ut(g, W)), .test = t };
}
static gj_rv *truth(struct gen *g, struct gv x) { return x.test ? x.test : gx_cmp(g, GCC_JIT_COMPARISON_NE, x.r, K(g, 0).r); }

static struct gv sel(struct gen *g, struct gv c, struct gv x, struct gv y)
{
    if (c.is_const) return c.k ? x : y;
    gj_lv *v = gx_var(g, ut(g, W));
    gcc_jit_block *yes = gx_block(g), *on = gx_block(g);
    gx_set(g, v, y.r);
    gx_branch(g, truth(g, c), yes, on, -1);
    g->blk = yes;
    gx_set(g, v, x.r);
    gx_jump(g, on);
    g->blk = on;
    return val(gcc_jit_lvalue_as_rvalue(v));
}

/* A value that is used several times, computed once. */
static struct gv once(struct gen *g, struct gv x)
{
    if (x.is_const) return x;
    gj_lv *v = gx_var(g, ut(g, W));
    gx_set(g, v, x.r);
    return (struct gv){ .r = gcc_jit_lvalue_as_rvalue(v) };
}

static struct gv and(struct gen *g, struct gv x, struct gv y) { return bin(g, GCC_JIT_BINARY_OP_BITWISE_AND, x, y); }
static struct gv or(struct gen *g, struct gv x, struct gv y) { return bin(g, GCC_JIT_BINARY_OP_BITWISE_OR, x, y); }
static struct gv xor(struct gen *g, struct gv x, struct gv y) { return bin(g, GCC_JIT_BINARY_OP_BITWISE_XOR, x, y); }
static struct gv add(struct gen *g, struct gv x, struct gv y) { return bin(g, GCC_JIT_BINARY_OP_PLUS, x, y); }
static struct gv sub(struct gen *g, struct gv x, struct gv y) { return bin(g, GCC_JIT_BINARY_OP_MINUS, x, y); }

static struct gv shift(struct gen *g, enum gcc_jit_binary_op op, struct gv x, struct gv n)
{
    if (n.is_const) return n.k < W ? bin(g, op, x, n) : K(g, 0);
    n = once(g, n);
    return sel(g, cmp(g, GCC_JIT_COMPARISON_LT, n, K(g, W)), bin(g, op, x, and(g, n, K(g, W - 1))), K(g, 0));
}
static struct gv shl(struct gen *g, struct gv x, struct gv n) { return shift(g, GCC_JIT_BINARY_OP_LSHIFT, x, n); }
static struct gv shr(struct gen *g, struct gv x, struct gv n) { return shift(g, GCC_JIT_BINARY_OP_RSHIFT, x, n); }
static struct gv sar(struct gen *g, struct gv x, struct gv n)
{
    if (n.is_const) return sbin(g, GCC_JIT_BINARY_OP_RSHIFT, x, K(g, n.k < W ? n.k : W - 1));
    n = once(g, n);
    return sbin(g, GCC_JIT_BINARY_OP_RSHIFT, x, sel(g, cmp(g, GCC_JIT_COMPARISON_LT, n, K(g, W)), n, K(g, W - 1)));
}
static struct gv rotr(struct gen *g, struct gv x, struct gv n)
{
    n = once(g, and(g, n, K(g, W - 1)));
    struct gv back = and(g, sub(g, K(g, W), n), K(g, W - 1));
    return or(g, bin(g, GCC_JIT_BINARY_OP_RSHIFT, x, n), bin(g, GCC_JIT_BINARY_OP_LSHIFT, x, back));
}

static struct gv divrem_u(struct gen *g, enum gcc_jit_binary_op op, struct gv x, struct gv y, struct gv by_zero)
{
    y = once(g, y);
    struct gv zero = cmp(g, GCC_JIT_COMPARISON_EQ, y, K(g, 0));
    struct gv q = once(g, bin(g, op, x, or(g, y, zero)));
    return sel(g, zero, by_zero, q);
}
static struct gv divrem_s(struct gen *g, enum gcc_jit_binary_op op, struct gv x, struct gv y, struct gv by_zero, struct gv by_minus_1)
{
    y = once(g, y);
    struct gv zero = cmp(g, GCC_JIT_COMPARISON_EQ, y, K(g, 0)), minus = cmp(g, GCC_JIT_COMPARISON_EQ, y, K(g, UINT64_MAX));
    struct gv d = sel(g, or(g, zero, minus), K(g, 1), y), q = once(g, sbin(g, op, x, d));
    return sel(g, zero, by_zero, sel(g, minus, by_minus_1, q));
}

static struct gv mulh(struct gen *g, struct gv x, struct gv y, bool is_signed)
{
    gcc_jit_type *wide = W == 64 ? (is_signed ? g->i128 : g->u128) : is_signed ? g->i64 : g->u64;
    gcc_jit_type *narrow = is_signed ? st(g, W) : ut(g, W);
    gj_rv *a = gx_cast(g, gx_cast(g, x.r, narrow), wide), *b = gx_cast(g, gx_cast(g, y.r, narrow), wide);
    gj_rv *p = gx_bin(g, GCC_JIT_BINARY_OP_RSHIFT, wide, gx_bin(g, GCC_JIT_BINARY_OP_MULT, wide, a, b), gx_int(g, wide, W));
    return val(gx_cast(g, p, ut(g, W)));
}

/* 64 bits: gcc calls a function for it, which objects have not. */
static struct gv div2(struct gen *g, enum gcc_jit_binary_op op, struct gv hi, struct gv lo, struct gv d, struct gv by_zero)
{
    if (W == 64) return val(NULL);
    d = once(g, d);
    struct gv zero = cmp(g, GCC_JIT_COMPARISON_EQ, d, K(g, 0));
    gj_rv *n = gx_bin(g, GCC_JIT_BINARY_OP_BITWISE_OR, g->u64, gx_bin(g, GCC_JIT_BINARY_OP_LSHIFT, g->u64, gx_cast(g, hi.r, g->u64), gx_int(g, g->u64, 32)),
                      gx_cast(g, lo.r, g->u64));
    gj_rv *by = gx_cast(g, or(g, d, zero).r, g->u64);
    struct gv q = once(g, val(gx_cast(g, gx_bin(g, op, g->u64, n, by), g->u32)));
    return sel(g, zero, by_zero, q);
}

static uint64_t mask(unsigned n) { return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1; }
static struct gv zx(struct gen *g, unsigned n, struct gv x) { return n >= W ? x : and(g, x, K(g, mask(n))); }
static struct gv sx(struct gen *g, unsigned n, struct gv x)
{
    gcc_jit_type *t = n == 8 ? g->i8 : n == 16 ? g->i16 : n == 32 ? g->i32 : NULL;
    if (n >= W) return x;
    if (t) return val(gx_cast(g, gx_cast(g, gx_cast(g, x.r, t), st(g, W)), ut(g, W)));
    struct gv k = K(g, W - n);
    return sbin(g, GCC_JIT_BINARY_OP_RSHIFT, bin(g, GCC_JIT_BINARY_OP_LSHIFT, x, k), k);
}
static struct gv bits(struct gen *g, struct gv x, unsigned p, unsigned n)
{
    return zx(g, n, p ? bin(g, GCC_JIT_BINARY_OP_RSHIFT, x, K(g, p)) : x);
}
static struct gv ins(struct gen *g, struct gv x, struct gv y, unsigned p, unsigned n)
{
    uint64_t m = mask(n) << p;
    return or(g, and(g, x, K(g, ~m)), and(g, p ? bin(g, GCC_JIT_BINARY_OP_LSHIFT, y, K(g, p)) : y, K(g, m)));
}

static struct gv builtin(struct gen *g, const char *name, struct gv x, unsigned arg_width)
{
    gcc_jit_function *f = gcc_jit_context_get_builtin_function(g->ctx, name);
    gj_rv *arg = gx_cast(g, x.r, ut(g, arg_width));
    return val(gx_cast(g, gcc_jit_context_new_call(g->ctx, NULL, f, 1, &arg), ut(g, W)));
}
static struct gv bswap(struct gen *g, struct gv x) { return builtin(g, W == 64 ? "__builtin_bswap64" : "__builtin_bswap32", x, W); }
static struct gv count(struct gen *g, const char *name, struct gv x)
{
    x = once(g, x);
    struct gv zero = cmp(g, GCC_JIT_COMPARISON_EQ, x, K(g, 0));
    struct gv n = once(g, builtin(g, name, or(g, x, zero), W));
    return sel(g, zero, K(g, W), n);
}

/* Swaps neighbouring fields of n bits; m: the lower ones. */
static struct gv swap_fields(struct gen *g, struct gv x, unsigned n, uint64_t m)
{
    x = once(g, x);
    struct gv lo = bin(g, GCC_JIT_BINARY_OP_LSHIFT, and(g, x, K(g, m)), K(g, n)), hi = and(g, bin(g, GCC_JIT_BINARY_OP_RSHIFT, x, K(g, n)), K(g, m));
    return or(g, lo, hi);
}
#define FIELDS1 UINT64_C(0x5555555555555555)
#define FIELDS2 UINT64_C(0x3333333333333333)
#define FIELDS4 UINT64_C(0x0f0f0f0f0f0f0f0f)
#define FIELDS8 UINT64_C(0x00ff00ff00ff00ff)
static struct gv bitrev(struct gen *g, struct gv x)
{
    return bswap(g, swap_fields(g, swap_fields(g, swap_fields(g, x, 1, FIELDS1), 2, FIELDS2), 4, FIELDS4));
}
/* The builtin is a call where the instruction is missing. */
static struct gv popcnt(struct gen *g, struct gv x)
{
    x = once(g, x);
    x = once(g, sub(g, x, and(g, bin(g, GCC_JIT_BINARY_OP_RSHIFT, x, K(g, 1)), K(g, FIELDS1))));
    x = once(g, add(g, and(g, x, K(g, FIELDS2)), and(g, bin(g, GCC_JIT_BINARY_OP_RSHIFT, x, K(g, 2)), K(g, FIELDS2))));
    x = and(g, add(g, x, bin(g, GCC_JIT_BINARY_OP_RSHIFT, x, K(g, 4))), K(g, FIELDS4));
    return bin(g, GCC_JIT_BINARY_OP_RSHIFT, bin(g, GCC_JIT_BINARY_OP_MULT, x, K(g, UINT64_C(0x0101010101010101))), K(g, W - 8));
}

#define E_K(n)           K(g, n)
#define E_ADD(x, y)      add(g, x, y)
#define E_SUB(x, y)      sub(g, x, y)
#define E_MUL(x, y)      bin(g, GCC_JIT_BINARY_OP_MULT, x, y)
#define E_AND(x, y)      and(g, x, y)
#define E_OR(x, y)       or(g, x, y)
#define E_XOR(x, y)      xor(g, x, y)
#define E_NOT(x)         un(g, GCC_JIT_UNARY_OP_BITWISE_NEGATE, x)
#define E_NEG(x)         un(g, GCC_JIT_UNARY_OP_MINUS, x)
#define E_SHL(x, n)      shl(g, x, n)
#define E_SHR(x, n)      shr(g, x, n)
#define E_SAR(x, n)      sar(g, x, n)
#define E_ROTR(x, n)     rotr(g, x, n)
#define E_DIVU(x, y)     divrem_u(g, GCC_JIT_BINARY_OP_DIVIDE, x, y, K(g, 0))
#define E_REMU(x, y)     divrem_u(g, GCC_JIT_BINARY_OP_MODULO, x, y, x)
#define E_DIVS(x, y)     divrem_s(g, GCC_JIT_BINARY_OP_DIVIDE, x, y, K(g, 0), E_NEG(x))
#define E_REMS(x, y)     divrem_s(g, GCC_JIT_BINARY_OP_MODULO, x, y, x, K(g, 0))
#define E_MULHU(x, y)    mulh(g, x, y, false)
#define E_MULHS(x, y)    mulh(g, x, y, true)
#define E_DIVU2(x, y, z) div2(g, GCC_JIT_BINARY_OP_DIVIDE, x, y, z, K(g, 0))
#define E_REMU2(x, y, z) div2(g, GCC_JIT_BINARY_OP_MODULO, x, y, z, y)
#define E_EQ(x, y)       cmp(g, GCC_JIT_COMPARISON_EQ, x, y)
#define E_NE(x, y)       cmp(g, GCC_JIT_COMPARISON_NE, x, y)
#define E_LTU(x, y)      cmp(g, GCC_JIT_COMPARISON_LT, x, y)
#define E_LEU(x, y)      cmp(g, GCC_JIT_COMPARISON_LE, x, y)
#define E_LTS(x, y)      scmp(g, GCC_JIT_COMPARISON_LT, x, y)
#define E_LES(x, y)      scmp(g, GCC_JIT_COMPARISON_LE, x, y)
#define E_SEL(c, x, y)   sel(g, c, x, y)
#define E_ZX(n, x)       zx(g, n, x)
#define E_SX(n, x)       sx(g, n, x)
#define E_BITS(x, p, n)  bits(g, x, p, n)
#define E_SBITS(x, p, n) sx(g, n, bits(g, x, p, n))
#define E_INS(x, y, p, n) ins(g, x, y, p, n)
#define E_BSWAP(x)       bswap(g, x)
#define E_BSWAP16X(x)    swap_fields(g, x, 8, FIELDS8)
#define E_CLZ(x)         count(g, W == 64 ? "__builtin_clzll" : "__builtin_clz", x)
#define E_CTZ(x)         count(g, W == 64 ? "__builtin_ctzll" : "__builtin_ctz", x)
#define E_POPCNT(x)      popcnt(g, x)
#define E_BITREV(x)      bitrev(g, x)
/* these change the width: their operands have that of the op's input */
#define E_LO(x)          val(gx_cast(g, (x).r, g->u32))
#define E_HI(x)          val(gx_cast(g, gx_bin(g, GCC_JIT_BINARY_OP_RSHIFT, g->u64, (x).r, gx_int(g, g->u64, 32)), g->u32))
#define E_ZXW(x)         val(gx_cast(g, (x).r, g->u64))
#define E_SXW(x)         val(gx_cast(g, gx_cast(g, gx_cast(g, (x).r, g->i32), g->i64), g->u64))
#define E_CONCAT(x, y)   concat(g, x, y)
static struct gv concat(struct gen *g, struct gv lo, struct gv hi)
{
    gj_rv *h = gx_bin(g, GCC_JIT_BINARY_OP_LSHIFT, g->u64, gx_cast(g, hi.r, g->u64), gx_int(g, g->u64, 32));
    return val(gx_bin(g, GCC_JIT_BINARY_OP_BITWISE_OR, g->u64, gx_cast(g, lo.r, g->u64), h));
}

struct gv gx_pure(struct gen *g, const struct ir_op *o, struct gv A, struct gv B, struct gv C)
{
    const unsigned KPOS = o->aux & 0xff, KLEN = o->aux >> 8 & 0xff;
    g->width = o->type == T_I64 ? 64 : 32;
    switch (o->op) {
#define PURE(N, n, in, fl, ty, e) case OP_##N: return e;
#define CONV(N, n, in, fl, ti, to, e) case OP_##N: return e;
#include "interp/ops.def"
    default: return val(NULL);
    }
}

gj_rv *gx_cond(struct gen *g, unsigned cond, unsigned type, struct gv A, struct gv B)
{
    g->width = type == T_I64 ? 64 : 32;
    switch (cond) {
#define COND(N, n, inv, swp, e) case CC_##N: return truth(g, e);
#include "interp/ops.def"
    default: return gx_cmp(g, GCC_JIT_COMPARISON_EQ, gx_int(g, g->u32, 0), gx_int(g, g->u32, 1));
    }
}
