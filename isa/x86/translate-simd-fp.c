/*
 * translate-simd-fp.c - x86 to IR: SSE and AVX floating point, conversions, MXCSR.
 * Follows the Intel SDM volume 2 and volume 1 chapters 10, 11 and 14.
 *
 * Scalars are done on cells, packed operands by one vector op per 128 bits. Exceptions are taken as masked: an unmasked one
 * sets its flag in MXCSR and does not trap.
 */
#include "isa/x86/translate-simd.h"

static unsigned first(const struct x86_tr *t) { return t->i.form->uses_vvvv ? 1 : 0; }
static ir_id t32(struct x86_tr *t) { return ir_temp(t->b, T_I32); }
static ir_id t64(struct x86_tr *t) { return ir_temp(t->b, T_I64); }

/* kind of arg: 0 packed single, 1 packed double, 2 scalar single, 3 scalar double */
enum { PS, PD, SS, SD };
static bool scalar(unsigned kind) { return kind >= SS; }
static bool wide(unsigned kind) { return kind & 1; }

/* A scalar operand as a cell of its type. */
static ir_id scalar_get(struct x86_tr *t, unsigned k, bool dbl)
{
    ir_id v = v_get(t, k);
    return dbl ? v : ir_conv(t->b, OP_LO, t32(t), v);
}

/* Writes a scalar to operand 0, the rest from `from`. */
static void scalar_set(struct x86_tr *t, ir_id v, bool dbl, ir_id from)
{
    ir_id d = v_dest(t, 0);

    if (!dbl) {
        v = ir_conv(t->b, OP_ZXW, t64(t), v);
        v = ir_deposit(t->b, T_I64, t64(t), from, v, 0, 32);
    }
    if (d != from) ir_mov(t->b, T_I64, (ir_id)(d + 1), (ir_id)(from + 1));
    ir_mov(t->b, T_I64, d, v);
    v_finish(t, 0, 16);
}

static ir_id arith(struct x86_tr *t, enum ir_opcode op, enum ir_type ty, ir_id a, ir_id b)
{
    ir_id d = ir_temp(t->b, ty);

    if (op == OP_FMIN || op == OP_FMAX) return ir_fminmax(t->b, op, ty, IR_FMM_X86, d, a, b);
    return ir_op2(t->b, op, ty, d, a, b);
}

void x86_tr_vfp(struct x86_tr *t)
{
    unsigned kind = t->arg >> 12, k = first(t), bytes = v_bytes(t, 0);
    enum ir_opcode op = (enum ir_opcode)(t->arg & 0xfff);
    bool sqrt = op == OP_FSQRT;

    if (scalar(kind)) {
        enum ir_type ty = wide(kind) ? T_I64 : T_I32;
        unsigned last = t->i.form->n_ops - 1u;
        ir_id b = scalar_get(t, last, wide(kind)), a = v_get(t, k), r;
        if (sqrt) r = ir_op1(t->b, op, ty, ir_temp(t->b, ty), b);
        else r = arith(t, op, ty, wide(kind) ? a : ir_conv(t->b, OP_LO, t32(t), a), b);
        scalar_set(t, r, wide(kind), a);
        return;
    }
    unsigned attr = op == OP_FMIN || op == OP_FMAX ? IR_FMM_X86 : 0, lane = wide(kind) ? 3 : 2;
    if (sqrt) {
        ir_id a = v_get(t, 1);
        v_op(t, OP_VFP, lane, bytes, v_dest(t, 0), a, a, a, IR_VFP(op, 0, 0));
    } else {
        ir_id b = v_get(t, k + 1), a = v_get(t, k);
        v_op(t, OP_VFP, lane, bytes, v_dest(t, 0), a, b, a, IR_VFP(op, attr, 0));
    }
    v_finish(t, 0, bytes);
}

/* haddps haddpd hsubps hsubpd */
void x86_tr_vfhoriz(struct x86_tr *t)
{
    unsigned lane = t->arg >> 12 ? 3 : 2, bytes = v_bytes(t, 0), k = first(t);
    ir_id b = v_get(t, k + 1), a = v_get(t, k), e = ir_vtemp(t->b, bytes), o = ir_vtemp(t->b, bytes);

    v_op(t, OP_VUZPE, lane, bytes, e, a, b, IR_NONE, 0);
    v_op(t, OP_VUZPO, lane, bytes, o, a, b, IR_NONE, 0);
    v_op(t, OP_VFP, lane, bytes, v_dest(t, 0), e, o, e, IR_VFP(t->arg & 0xfff, 0, 0));
    v_finish(t, 0, bytes);
}

/* addsubps addsubpd: even lanes are subtracted. An operation that is not wanted may raise flags, so each is done lane by lane. */
void x86_tr_addsub(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), k = first(t);
    bool dbl = t->arg >> 12;
    ir_id b = v_get(t, k + 1), a = v_get(t, k), r = ir_vtemp(t->b, bytes);

    for (unsigned i = 0; i < bytes / 8; i++) {
        ir_id x = (ir_id)(a + i), y = (ir_id)(b + i);
        if (dbl) {
            ir_op2(t->b, i & 1 ? OP_FADD : OP_FSUB, T_I64, (ir_id)(r + i), x, y);
        } else {
            ir_id lo = ir_op2(t->b, OP_FSUB, T_I32, t32(t), ir_conv(t->b, OP_LO, t32(t), x), ir_conv(t->b, OP_LO, t32(t), y));
            ir_id hi = ir_op2(t->b, OP_FADD, T_I32, t32(t), ir_conv(t->b, OP_HI, t32(t), x), ir_conv(t->b, OP_HI, t32(t), y));
            ir_op2(t->b, OP_CONCAT, T_I64, (ir_id)(r + i), lo, hi);
        }
    }
    v_set(t, 0, r, bytes);
}

/* The 32 predicates: relations that make it true, and whether a quiet NaN is invalid. */
static unsigned predicate(unsigned n)
{
    static const uint8_t masks[16] = {
        IR_REL_EQ, IR_REL_LT, IR_REL_LT | IR_REL_EQ, IR_REL_UN, IR_REL_LT | IR_REL_GT | IR_REL_UN, IR_REL_EQ | IR_REL_GT | IR_REL_UN,
        IR_REL_GT | IR_REL_UN, IR_REL_LT | IR_REL_EQ | IR_REL_GT, IR_REL_EQ | IR_REL_UN, IR_REL_LT | IR_REL_UN,
        IR_REL_LT | IR_REL_EQ | IR_REL_UN, 0, IR_REL_LT | IR_REL_GT, IR_REL_EQ | IR_REL_GT, IR_REL_GT,
        IR_REL_LT | IR_REL_EQ | IR_REL_GT | IR_REL_UN,
    };
    /* lt le nlt nle, nge ngt ge gt signal in the first half; the second half exchanges the two kinds */
    bool signal = (0x6666u >> (n & 15) & 1) != (n >> 4 & 1);

    return masks[n & 15] | (signal ? IR_REL_SIGNAL : 0);
}

void x86_tr_vcmp(struct x86_tr *t)
{
    unsigned kind = t->arg, k = first(t), bytes = v_bytes(t, 0), rel = predicate((uint8_t)t->i.imm & (t->i.vex ? 31 : 7));

    if (scalar(kind)) {
        enum ir_type ty = wide(kind) ? T_I64 : T_I32;
        ir_id b = scalar_get(t, k + 1, wide(kind)), from = v_get(t, k), a = wide(kind) ? from : ir_conv(t->b, OP_LO, t32(t), from);
        ir_id r = ir_op1(t->b, OP_NEG, T_I32, t32(t), ir_fcmp(t->b, ty, rel, t32(t), a, b));
        scalar_set(t, wide(kind) ? ir_conv(t->b, OP_SXW, t64(t), r) : r, wide(kind), from);
        return;
    }
    ir_id b = v_get(t, k + 1), a = v_get(t, k);
    v_op(t, OP_VFP, wide(kind) ? 3 : 2, bytes, v_dest(t, 0), a, b, a, IR_VFP(OP_FCMP, rel, 0));
    v_finish(t, 0, bytes);
}

/* ucomiss comiss ucomisd comisd. arg: 1 signals, 2 double */
void x86_tr_comi(struct x86_tr *t)
{
    bool dbl = t->arg & 2;
    ir_id b = scalar_get(t, 1, dbl), a = scalar_get(t, 0, dbl);
    ir_id f = ir_fcmp_values(t->b, dbl ? T_I64 : T_I32, IR_REL_VALUES(XFL_CF, XFL_ZF, 0, XFL_CF | XFL_ZF | XFL_PF), t->arg & 1 ? IR_REL_SIGNAL : 0, t32(t), a, b);

    x_flags_set(t, f);
}

static unsigned round_mode(unsigned imm)
{
    static const uint8_t modes[4] = { FP_RNE, FP_RDN, FP_RUP, FP_RTZ };
    return (imm & 4 ? IR_ROUND_ENV : modes[imm & 3]) | (imm & 8 ? 0 : IR_ROUND_EXACT);
}

void x86_tr_vround(struct x86_tr *t)
{
    unsigned kind = t->arg, mode = round_mode((uint8_t)t->i.imm), bytes = v_bytes(t, 0), last = t->i.form->n_ops - 2u;

    if (scalar(kind)) {
        enum ir_type ty = wide(kind) ? T_I64 : T_I32;
        ir_id b = scalar_get(t, last, wide(kind)), a = v_get(t, first(t));
        scalar_set(t, ir_fround(t->b, ty, mode, ir_temp(t->b, ty), b), wide(kind), a);
        return;
    }
    ir_id a = v_get(t, 1);
    v_op(t, OP_VFP, wide(kind) ? 3 : 2, bytes, v_dest(t, 0), a, a, a, IR_VFP(OP_FROUND, mode, 0));
    v_finish(t, 0, bytes);
}

/* arg: FP_MULADD-like negations 1 (addend), 2 (product); 0x10 addsub, 0x20 subadd; order << 8; kind << 12 */
void x86_tr_fma(struct x86_tr *t)
{
    unsigned kind = t->arg >> 12 & 3, bytes = v_bytes(t, 0), order = t->arg >> 8 & 3;
    unsigned neg = (t->arg & 1 ? FP_MULADD_NEG_ADDEND : 0) | (t->arg & 2 ? FP_MULADD_NEG_PRODUCT : 0);
    enum ir_type ty = wide(kind) ? T_I64 : T_I32;
    ir_id third = scalar(kind) ? scalar_get(t, 2, wide(kind)) : v_get(t, 2), second = v_get(t, 1), d = v_dest(t, 0), a, b, c, from = d;

    if (scalar(kind) && !wide(kind)) second = ir_conv(t->b, OP_LO, t32(t), second), d = ir_conv(t->b, OP_LO, t32(t), d);
    /* 132: d * third + second; 213: second * d + third; 231: second * third + d */
    a = order == 0 ? d : second;
    b = order == 1 ? d : third;
    c = order == 0 ? second : order == 1 ? third : d;
    if (scalar(kind)) {
        scalar_set(t, ir_fma(t->b, ty, neg, ir_temp(t->b, ty), a, b, c), wide(kind), from);
        return;
    }
    if (!(t->arg & 0x30)) {
        v_op(t, OP_VFP, wide(kind) ? 3 : 2, bytes, d, a, b, c, IR_VFP(OP_FMA, neg, 0));
        v_finish(t, 0, bytes);
        return;
    }
    ir_id r = ir_vtemp(t->b, bytes);
    for (unsigned i = 0; i < bytes / 8; i++) { /* even lanes are subtracted by addsub, added by subadd */
        unsigned even = t->arg & 0x10 ? FP_MULADD_NEG_ADDEND : 0, odd = t->arg & 0x10 ? 0 : FP_MULADD_NEG_ADDEND;
        ir_id x = (ir_id)(a + i), y = (ir_id)(b + i), z = (ir_id)(c + i);
        if (wide(kind)) {
            ir_fma(t->b, T_I64, i & 1 ? odd : even, (ir_id)(r + i), x, y, z);
            continue;
        }
#define HALF(op, v) ir_conv(t->b, op, t32(t), v)
        ir_id lo = ir_fma(t->b, T_I32, even, t32(t), HALF(OP_LO, x), HALF(OP_LO, y), HALF(OP_LO, z));
        ir_id hi = ir_fma(t->b, T_I32, odd, t32(t), HALF(OP_HI, x), HALF(OP_HI, y), HALF(OP_HI, z));
#undef HALF
        ir_op2(t->b, OP_CONCAT, T_I64, (ir_id)(r + i), lo, hi);
    }
    v_set(t, 0, r, bytes);
}

/* ---- conversions ---- */

static ir_id f2i(struct x86_tr *t, bool dbl, bool to64, ir_id v, unsigned round)
{
    enum ir_opcode op = dbl ? (to64 ? OP_F64_I64 : OP_F64_I32) : to64 ? OP_F32_I64 : OP_F32_I32;
    return ir_f2i(t->b, op, to64 ? t64(t) : t32(t), v, round, IR_F2I_MIN);
}

/* cvtsi2ss cvtsi2sd */
void x86_tr_cvtsi2s(struct x86_tr *t)
{
    unsigned k = first(t), bytes = x_bytes(t, k + 1);
    ir_id v = x_get(t, k + 1), a = v_get(t, k), r;

    if (bytes == 8) {
        r = ir_conv(t->b, t->arg ? OP_I64_F64 : OP_I64_F32, t->arg ? t64(t) : t32(t), v);
    } else {
        if (t->cells64) v = ir_conv(t->b, OP_LO, t32(t), v);
        r = ir_conv(t->b, t->arg ? OP_I32_F64 : OP_I32_F32, t->arg ? t64(t) : t32(t), v);
    }
    scalar_set(t, r, t->arg, a);
}

/* arg: 1 double, 2 truncate */
void x86_tr_cvts2si(struct x86_tr *t)
{
    bool to64 = t->size == 8;
    ir_id r = f2i(t, t->arg & 1, to64, scalar_get(t, 1, t->arg & 1), t->arg & 2 ? FP_RTZ : IR_ROUND_ENV);

    x_set(t, 0, !to64 && t->cells64 ? ir_conv(t->b, OP_ZXW, xt(t), r) : r);
}

/* cvtss2sd (0) cvtsd2ss (1) */
void x86_tr_cvts2s(struct x86_tr *t)
{
    unsigned k = first(t);
    ir_id b = scalar_get(t, k + 1, t->arg), a = v_get(t, k);

    scalar_set(t, ir_conv(t->b, t->arg ? OP_F64_F32 : OP_F32_F64, t->arg ? t32(t) : t64(t), b), !t->arg, a);
}

/* Lane i of 32 bits of a run. */
static ir_id lane32(struct x86_tr *t, ir_id v, unsigned i)
{
    return ir_conv(t->b, i & 1 ? OP_HI : OP_LO, t32(t), (ir_id)(v + i / 2));
}

/* cvtps2pd (0) cvtdq2pd (1) */
void x86_tr_cvtps2pd(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0);
    ir_id v = v_get(t, 1), r = ir_vtemp(t->b, bytes);

    for (unsigned i = 0; i < bytes / 8; i++) ir_conv(t->b, t->arg ? OP_I32_F64 : OP_F32_F64, (ir_id)(r + i), lane32(t, v, i));
    v_set(t, 0, r, bytes);
}

/* cvtpd2ps (0) cvttpd2dq (1) cvtpd2dq (2): half as wide, zeros above */
void x86_tr_cvtpd2ps(struct x86_tr *t)
{
    unsigned n = v_bytes(t, 1) / 8;
    ir_id v = v_get(t, 1), r = v_zeros(t, 16), x[4];

    for (unsigned i = 0; i < n; i++) {
        x[i] = t->arg ? f2i(t, true, false, (ir_id)(v + i), t->arg == 1 ? FP_RTZ : IR_ROUND_ENV) : ir_conv(t->b, OP_F64_F32, t32(t), (ir_id)(v + i));
    }
    for (unsigned i = 0; i < n; i += 2) ir_op2(t->b, OP_CONCAT, T_I64, (ir_id)(r + i / 2), x[i], x[i + 1]);
    v_set(t, 0, r, 16);
}

/* cvtdq2ps (0) cvtps2dq (1) cvttps2dq (2) */
void x86_tr_cvtdq(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0);
    ir_id v = v_get(t, 1);
    unsigned how = (t->arg == 2 ? FP_RTZ : IR_ROUND_ENV) | IR_F2I_MIN << 4;

    v_op(t, OP_VFP, 2, bytes, v_dest(t, 0), v, v, v, t->arg ? IR_VFP(OP_F32_I32, 0, how) : IR_VFP(OP_I32_F32, 0, 0));
    v_finish(t, 0, bytes);
}

/* cvtpi2ps cvtpi2pd cvttps2pi cvttpd2pi cvtps2pi cvtpd2pi */
void x86_tr_cvt_mmx(struct x86_tr *t)
{
    ir_id v = v_get(t, 1), d = v_dest(t, 0), x[2];
    bool dbl = t->arg & 1;

    if (t->arg < 2) {
        for (unsigned i = 0; i < 2; i++) x[i] = ir_conv(t->b, dbl ? OP_I32_F64 : OP_I32_F32, dbl ? t64(t) : t32(t), lane32(t, v, i));
        if (dbl) ir_mov(t->b, T_I64, d, x[0]), ir_mov(t->b, T_I64, (ir_id)(d + 1), x[1]);
        else ir_op2(t->b, OP_CONCAT, T_I64, d, x[0], x[1]);
        return;
    }
    for (unsigned i = 0; i < 2; i++) x[i] = f2i(t, dbl, false, dbl ? (ir_id)(v + i) : lane32(t, v, i), t->arg < 4 ? FP_RTZ : IR_ROUND_ENV);
    ir_op2(t->b, OP_CONCAT, T_I64, d, x[0], x[1]);
}

/* vcvtph2ps (0) vcvtps2ph (1) */
void x86_tr_cvtph(struct x86_tr *t)
{
    if (!t->arg) {
        unsigned bytes = v_bytes(t, 0);
        ir_id v = v_get(t, 1), r = ir_vtemp(t->b, bytes), x[2] = { IR_NONE, IR_NONE };
        for (unsigned i = 0; i < bytes / 4; i++) {
            ir_id h = ir_conv(t->b, OP_LO, t32(t), ir_bits(t->b, OP_EXTRACT, T_I64, t64(t), (ir_id)(v + i / 4), 16 * (i % 4), 16));
            x[i & 1] = ir_call(t->b, XH_F16_F32, T_I32, t32(t), h, IR_NONE, IR_NONE);
            if (i & 1) ir_op2(t->b, OP_CONCAT, T_I64, (ir_id)(r + i / 2), x[0], x[1]);
        }
        v_set(t, 0, r, bytes);
        return;
    }
    unsigned bytes = v_bytes(t, 1);
    if (x_is_mem(t, 0)) x_ld(t, 1); /* faults before the flags are set, but for read-only pages */
    ir_id v = v_get(t, 1), r = v_zeros(t, 16), imm = ir_c32(t->b, (uint8_t)t->i.imm);
    for (unsigned i = 0; i < bytes / 4; i++) {
        ir_id h = ir_call(t->b, XH_F32_F16, T_I32, t32(t), lane32(t, v, i), imm, IR_NONE), cell = (ir_id)(r + i / 4);
        ir_deposit(t->b, T_I64, cell, cell, ir_conv(t->b, OP_ZXW, t64(t), h), 16 * (i % 4), 16);
    }
    v_set(t, 0, r, x_is_mem(t, 0) ? bytes / 2 : 16);
}

/* ---- MXCSR ---- */

void x86_tr_ldmxcsr(struct x86_tr *t)
{
    ir_call(t->b, XH_LDMXCSR, T_I32, IR_NONE, x_get(t, 0), IR_NONE, IR_NONE);
    t->exit = IR_EXIT_MODE;
}

void x86_tr_stmxcsr(struct x86_tr *t)
{
    ir_id v = ir_call(t->b, XH_STMXCSR, T_I32, t32(t), IR_NONE, IR_NONE, IR_NONE);
    x_set(t, 0, t->cells64 ? ir_conv(t->b, OP_ZXW, xt(t), v) : v);
}
