/*
 * a64-fp.c - lowering of floating-point operations to the host's, by the rules of interp/fpx.h and interp/jit.h.
 *
 * Host arithmetic is used while cpu->fp_fast. What matters is that no NaN is involved: a NaN operand gives a NaN result, so
 * the result alone is tested, and everything is done again by the authority then. The host may take a guest's quiet NaN for
 * a signalling one and set its invalid flag; whatever truly is invalid gives a NaN, is done by the authority and is in
 * cpu->fp.flags then, so the slow way clears the host's flag. Infinities are as exact on the host as finite values.
 *
 * The host detects tininess before rounding. For a guest that does it after (FP_FAST_TINY), the host's underflow flag is
 * kept clear: products, quotients, fused sums and conversions to a smaller format whose result is 0 or near the smallest
 * normal number look at it, and if it has come up they clear it and let the authority decide.
 */
#include "jit-native/a64.h"

/* The result, in FP register `arg`, is a NaN or infinite, or so small that it may be tiny: back to `more` if nothing is wrong with it. */
static void cold_result(struct lower *c, const struct cold *k)
{
    struct emit *e = &c->e;
    unsigned d = (unsigned)k->arg & 31, soft = emit_label(e), tiny = emit_label(e);
    bool w = k->arg >> 5 & 1;
    a64_fff(e, A_FCMP, w, 0, d, d);
    a64_bcond(e, C_VS, soft);
    a64_ldst(e, A_LDRB, X0, AT_CPU(fp_fast));
    a64_logic(e, A_ANDSI, false, ZR, X0, FP_FAST_TINY);
    a64_bcond(e, C_EQ, k->more);
    a64_word(e, A_MRS_FPSR | X0);
    a64_logic(e, A_ANDSI, false, ZR, X0, FPSR_UFC);
    a64_bcond(e, C_NE, tiny);
    emit_jump(e, k->more);
    emit_place(e, tiny);
    a64_logic(e, A_ANDI, true, X0, X0, ~(uint64_t)FPSR_UFC);
    a64_word(e, A_MSR_FPSR | X0);
    emit_place(e, soft);
    lower_cold_op(c, k);
}

static struct cold *begin(struct lower *c)
{
    struct cold *k = lower_cold(c, lower_cold_op);
    a64_ldst(&c->e, A_LDRB, X0, AT_CPU(fp_fast));
    a64_cbz(&c->e, false, false, X0, k->label);
    return k;
}

static void check(struct lower *c, struct cold *k, bool w, unsigned v)
{
    a64_fff(&c->e, A_FCMP, w, 0, v, v);
    a64_bcond(&c->e, C_VS, k->label);
}

/* The same for results that may be tiny. */
static void check_tiny(struct lower *c, const struct cold *k, bool w, unsigned v)
{
    struct emit *e = &c->e;
    struct cold *r = lower_cold(c, cold_result);
    r->arg = v | (unsigned)w << 5;
    r->more = emit_label(e);
    a64_fcvt(e, A_FMOV_GF, w, w, X0, v);
    a64_bitfield(e, A_UBFM, w, X0, X0, w ? 52 : 23, w ? 62 : 30); /* the exponent: 0, 1 and the highest are looked at */
    a64_addsub(e, A_SUBI, false, X0, X0, 2);
    a64_addsub(e, A_SUBSI, false, ZR, X0, w ? 0x7ff - 2 : 0xff - 2);
    a64_bcond(e, C_HS, r->label);
    emit_place(e, r->more);
    r->back = k->back;
}

/* cpu->fp_note */
static uint32_t noted_op(const struct ir_op *o) { return o->op | (uint32_t)o->type << 16; }

static void note_word(struct lower *c, struct a64_mem at, uint32_t v)
{
    if (v) a64_mov_imm(&c->e, X0, v);
    a64_ldst(&c->e, A_STRW, v ? X0 : ZR, at);
}

static void note_op(struct lower *c, uint32_t op, uint32_t aux)
{
    note_word(c, AT_CPU(fp_note.op), op);
    note_word(c, AT_CPU(fp_note.aux), aux);
}

static void note_fp(struct lower *c, struct a64_mem at, bool w, unsigned v) { a64_ldst(&c->e, w ? A_STRD : A_STRS, v, at); }

/* A register for the result that none of the operands lives in: they must survive until it has been tested. */
static unsigned result(const struct lower *c)
{
    const struct ir_op *o = c->o;
    unsigned d = a64_def_fp(c, 0);
    return a64_lives_in_fp(c, o->a, d) || a64_lives_in_fp(c, o->b, d) || a64_lives_in_fp(c, o->c, d) ? 0 : d;
}

static void arith(struct lower *c, uint32_t op, bool tiny, bool noted, uint32_t extra)
{
    const struct ir_op *o = c->o;
    bool w = o->type == T_I64;
    struct cold *k = begin(c);
    unsigned a = a64_use_fp(c, o->a, 1), b = a64_use_fp(c, o->b, 2), d = result(c);

    a64_fff(&c->e, op, w, d, a, b);
    if (tiny) check_tiny(c, k, w, d);
    else check(c, k, w, d);
    if (noted) {
        note_fp(c, AT_CPU(fp_note.a), w, a);
        note_fp(c, AT_CPU(fp_note.b), w, b);
        note_op(c, noted_op(o) | extra, 0);
    }
    a64_done_fp(c, o->d, d);
    emit_place(&c->e, k->back);
}

/* One operand of type wa, a result of type wd; dbl: what the instruction is told. */
static void unary(struct lower *c, uint32_t op, bool dbl, bool wa, bool wd, bool tiny, bool noted, uint32_t extra)
{
    const struct ir_op *o = c->o;
    struct cold *k = begin(c);
    unsigned a = a64_use_fp(c, o->a, 1), d = result(c);

    a64_ff(&c->e, op, dbl, d, a);
    if (tiny) check_tiny(c, k, wd, d);
    else check(c, k, wd, d);
    if (noted) {
        note_fp(c, AT_CPU(fp_note.a), wa, a);
        note_op(c, noted_op(o) | extra, 0);
    }
    a64_done_fp(c, o->d, d);
    emit_place(&c->e, k->back);
}

static void fused(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    static const uint32_t ops[4] = { A_FMADD, A_FMSUB, A_FNMSUB, A_FNMADD };
    bool w = o->type == T_I64, product = o->attr & FP_MULADD_NEG_PRODUCT, addend = o->attr & FP_MULADD_NEG_ADDEND;
    struct cold *k = begin(c);
    unsigned x = a64_use_fp(c, o->a, 1), y = a64_use_fp(c, o->b, 2), z = a64_use_fp(c, o->c, 3), d = result(c);

    a64_ffff(e, ops[product | addend << 1], w, d, x, y, z);
    check_tiny(c, k, w, d);
    if (o->attr & FP_MULADD_NEG_RESULT) a64_ff(e, A_FNEG, w, d, d);
    if (c->gb->noted[c->i]) {
        note_fp(c, AT_CPU(fp_note.a), w, x);
        note_fp(c, AT_CPU(fp_note.b), w, y);
        note_fp(c, AT_CPU(fp_note.c), w, z);
        note_op(c, noted_op(o) | (uint32_t)o->attr << 24, 0);
    }
    a64_done_fp(c, o->d, d);
    emit_place(e, k->back);
}

static void from_int(struct lower *c, uint32_t op, bool wa, bool wd, bool noted)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    struct cold *k = begin(c);
    unsigned a = a64_use_z(c, o->a, X1), d = a64_def_fp(c, 0);

    if (noted) {
        a64_ldst(e, A_STRX, a, AT_CPU(fp_note.a));
        note_op(c, noted_op(o), 0);
    }
    a64_fcvt(e, op, wa, wd, d, a);
    a64_done_fp(c, o->d, d);
    emit_place(e, k->back);
}

/* The host gives the nearest limit for what does not fit, 0 for a NaN: such results are looked at by the authority. */
static bool to_int(struct lower *c, bool wa, bool wd, bool is_signed, bool noted)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    uint32_t op;
    switch (o->aux & 15) {
    case FP_RTZ: op = A_FCVTZS; break;
    case FP_RNE: case IR_ROUND_ENV: op = A_FCVTNS; break; /* fp_fast: to nearest */
    case FP_RDN: op = A_FCVTMS; break;
    case FP_RUP: op = A_FCVTPS; break;
    default: return false;
    }
    struct cold *k = begin(c);
    unsigned a = a64_use_fp(c, o->a, 1);
    if (is_signed) {
        a64_fff(e, A_FCMP, wa, 0, a, a);
        a64_fcvt(e, op, wd, wa, X1, a);
        a64_ccmp(e, A_CCMNI, wd, X1, 1, 1, C_VC); /* overflow: the largest */
        a64_ccmp(e, A_CCMPI, wd, X1, 1, 1, C_VC); /* the smallest */
        a64_bcond(e, C_VS, k->label);
    } else {
        a64_fcvt(e, op | A_TO_UNSIGNED, wd, wa, X1, a);
        a64_addsub(e, A_ADDI, wd, X0, X1, 1);
        a64_addsub(e, A_SUBSI, wd, ZR, X0, 1);
        a64_bcond(e, C_LS, k->label); /* the largest, or 0, which may stand for a NaN or a negative value */
    }
    if (noted) {
        note_fp(c, AT_CPU(fp_note.a), wa, a);
        note_op(c, noted_op(o), o->aux);
    }
    a64_done(c, o->d, X1);
    emit_place(e, k->back);
    return true;
}

static void compare(struct lower *c)
{
    /* by relations wanted; without a NaN */
    static const uint8_t cc[8] = { 0, C_MI, C_EQ, C_LS, C_GT, C_NE, C_GE, 0 };
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = o->type == T_I64;
    unsigned mask = o->attr & (IR_REL_LT | IR_REL_EQ | IR_REL_GT);
    struct cold *k = begin(c);
    unsigned a = a64_use_fp(c, o->a, 1), b = a64_use_fp(c, o->b, 2), d = a64_def(c, X2);

    a64_fff(e, A_FCMP, w, 0, a, b);
    a64_bcond(e, C_VS, k->label);
    if (o->aux) { /* with values */
        a64_mov_imm(e, X0, o->aux & 0xff);
        a64_mov_imm(e, X1, o->aux >> 8 & 0xff);
        a64_csel(e, A_CSEL, false, X1, X1, X0, C_EQ);
        a64_mov_imm(e, X0, o->aux >> 16 & 0xff);
        a64_csel(e, A_CSEL, false, d, X0, X1, C_GT);
    } else if (mask == 0 || mask == 7) {
        a64_mov_imm(e, d, mask == 7);
    } else {
        a64_csel(e, A_CSINC, false, d, ZR, ZR, cc[mask] ^ 1);
    }
    if (c->gb->noted[c->i]) { /* raises nothing, and that must be told */
        note_fp(c, AT_CPU(fp_note.a), w, a);
        note_fp(c, AT_CPU(fp_note.b), w, b);
        note_op(c, noted_op(o), o->aux);
    }
    a64_done(c, o->d, d);
    emit_place(e, k->back);
}

/* The smaller or larger of two. The rules differ for NaNs only, but for that of x86. */
static bool extremum(struct lower *c, uint32_t op)
{
    if (c->o->attr == IR_FMM_X86 || c->o->attr == IR_FMM_NUM_MAG) return false;
    arith(c, op, false, true, (uint32_t)c->o->attr << 24);
    return true;
}

static bool round_int(struct lower *c)
{
    const struct ir_op *o = c->o;
    unsigned r = o->attr & IR_ROUND_ENV;
    bool exact = o->attr & IR_ROUND_EXACT, w = o->type == T_I64;
    uint32_t op;
    if (r == IR_ROUND_ENV || r == FP_RNE) op = exact ? A_FRINTX : A_FRINTN; /* fp_fast: the environment's is to nearest */
    else if (exact) return false;
    else if (r == FP_RTZ) op = A_FRINTZ;
    else if (r == FP_RDN) op = A_FRINTM;
    else if (r == FP_RUP) op = A_FRINTP;
    else return false;
    unary(c, op, w, w, w, false, true, (uint32_t)o->attr << 24);
    return true;
}

bool a64_lower_fp(struct lower *c)
{
    const struct ir_op *o = c->o;
    bool w = o->type == T_I64, noted = c->gb->noted[c->i];

    if (c->h->eng->cfg.soft_fp) return false;
    switch (o->op) {
    case OP_FADD: arith(c, A_FADD, false, noted, 0); return true;
    case OP_FSUB: arith(c, A_FSUB, false, noted, 0); return true;
    case OP_FMUL: arith(c, A_FMUL, true, noted, 0); return true;
    case OP_FDIV: arith(c, A_FDIV, true, noted, 0); return true;
    case OP_FSQRT: unary(c, A_FSQRT, w, w, w, false, noted, 0); return true;
    case OP_FMA: fused(c); return true;
    /* What follows as `true` is not among the operations that alloc.c knows to be noted. */
    case OP_FMIN: return extremum(c, A_FMIN);
    case OP_FMAX: return extremum(c, A_FMAX);
    case OP_FROUND: return round_int(c);
    case OP_F32_F64: unary(c, A_FCVT_DS, false, false, true, false, noted, 0); return true;
    case OP_F64_F32: unary(c, A_FCVT_SD, false, true, false, true, noted, 0); return true;
    case OP_I32_F32: from_int(c, A_SCVTF, false, false, noted); return true;
    case OP_I32_F64: from_int(c, A_SCVTF, false, true, noted); return true;
    case OP_I64_F32: from_int(c, A_SCVTF, true, false, noted); return true;
    case OP_I64_F64: from_int(c, A_SCVTF, true, true, noted); return true;
    case OP_U64_F32: from_int(c, A_UCVTF, true, false, true); return true;
    case OP_U64_F64: from_int(c, A_UCVTF, true, true, true); return true;
    case OP_F32_I32: return to_int(c, false, false, true, noted);
    case OP_F32_I64: return to_int(c, false, true, true, noted);
    case OP_F64_I32: return to_int(c, true, false, true, noted);
    case OP_F64_I64: return to_int(c, true, true, true, noted);
    case OP_F32_U32: return to_int(c, false, false, false, true);
    case OP_F32_U64: return to_int(c, false, true, false, true);
    case OP_F64_U32: return to_int(c, true, false, false, true);
    case OP_F64_U64: return to_int(c, true, true, false, true);
    case OP_FCMP: compare(c); return true;
    default: return false;
    }
}
