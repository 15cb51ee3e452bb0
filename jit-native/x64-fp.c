/*
 * x64-fp.c - lowering of floating-point operations to SSE, by the rules of interp/fpx.h and interp/jit.h.
 *
 * Host arithmetic is used while cpu->fp_fast. What matters is that no NaN is involved: a NaN operand gives a NaN result, so
 * the result alone is tested, and everything is done again by the authority then. The host may take a guest's quiet NaN for
 * a signalling one and set its invalid flag; whatever truly is invalid gives a NaN, is done by the authority and is in
 * cpu->fp.flags then, so the slow way clears the host's flag. Infinities are as exact on the host as finite values.
 *
 * Code is made for one value of cpu->fp_fast, the one it will most likely meet; any other goes the slow way. Only helpers change
 * it, so in a region of tier 2 that calls none that might it is tested at the entry. With FP_FAST_TINY
 * results that equal the smallest normal number do, too; with FP_FAST_DENORMAL the tests of results must not raise a flag,
 * so they are made on the bits.
 *
 * Of a guest that has SSE itself (struct guest: sse_fp) the host's operations are the guest's, NaNs and flags included: nothing is
 * tested, and the host's invalid flag counts.
 */
#include "interp/fpx.h"
#include "jit-native/x64.h"

void x64_test_fp(struct lower *c, unsigned no)
{
    if (X64(c)->fp_known) {
        X64(c)->fp_used = true;
        return;
    }
    x64_op_imm(&c->e, 0x80, false, ALU_CMP, x64_m(AT_CPU(fp_fast)), 1, X64(c)->fp_fast);
    x64_jcc(&c->e, X_NZ, no);
}

bool x64_is_sse(const struct lower *c) { return c->g->guest->sse_fp && !(X64_CONST(c)->fp_fast & FP_FAST_TINY); }

static struct cold *begin(struct lower *c)
{
    struct cold *k = lower_cold(c, lower_cold_op);
    x64_test_fp(c, k->label);
    return k;
}

/* The result of op: not a NaN, and not one that could have been tiny before it was rounded. */
static void check(struct lower *c, struct cold *k, unsigned op, bool w, unsigned x)
{
    struct emit *e = &c->e;
    if (x64_is_sse(c)) return;
    bool tiny = (X64(c)->fp_fast & FP_FAST_TINY) && (FPX_CAN_BE_TINY(op) || op == OP_F64_F32);
    if (!(X64(c)->fp_fast & FP_FAST_DENORMAL)) {
        x64_op(e, 0x2e | X_0F | (w ? X_66 : 0), false, x, x64_r(x)); /* ucomis */
        x64_jcc(e, X_P, k->label);
        if (!tiny) return;
    }
    x64_op(e, 0x7e | X_0F | X_66, w, x, x64_r(RAX));
    x64_alu(e, ALU_ADD, w, RAX, x64_r(RAX)); /* without its sign */
    if (X64(c)->fp_fast & FP_FAST_DENORMAL) {
        if (w) x64_mov_imm(e, RCX, UINT64_C(0xffe0000000000000)), x64_alu(e, ALU_CMP, true, RAX, x64_r(RCX));
        else x64_alu_imm(e, ALU_CMP, false, x64_r(RAX), (int32_t)0xff000000u);
        x64_jcc(e, X_A, k->label);
    }
    if (tiny) {
        if (w) x64_mov_imm(e, RCX, f64_MIN_NORMAL << 1), x64_alu(e, ALU_CMP, true, RAX, x64_r(RCX));
        else x64_alu_imm(e, ALU_CMP, false, x64_r(RAX), (int32_t)(f32_MIN_NORMAL << 1));
        x64_jcc(e, X_Z, k->label);
    }
}

/* cpu->fp_note */
static void note_op(struct lower *c, uint32_t op) { x64_op_imm(&c->e, 0xc7, false, 0, x64_m(AT_CPU(fp_note.op)), 4, op); }
static void note_xmm(struct lower *c, struct x64_mem at, bool w, unsigned x)
{
    x64_op(&c->e, 0x11 | X_0F | (w ? X_F2 : X_F3), false, x, x64_m(at));
}

static uint32_t noted_op(const struct ir_op *o) { return o->op | (uint32_t)o->type << 16; }

static void move_xmm(struct lower *c, unsigned to, unsigned from)
{
    if (to != from) x64_op(&c->e, 0x28 | X_0F, false, to, x64_r(from));
}

/* A register for the result that none of the operands lives in: they must survive until it has been tested. */
static unsigned result(const struct lower *c)
{
    unsigned d = x64_def_xmm(c, XMM0);
    if (x64_is_sse(c)) return x64_lives_in(c, c->o->b, d + GPRS) && !x64_lives_in(c, c->o->a, d + GPRS) ? (unsigned)XMM0 : d;
    return x64_lives_in(c, c->o->a, d + GPRS) || x64_lives_in(c, c->o->b, d + GPRS) ? (unsigned)XMM0 : d;
}

/* The op is one of the guest's own: in no need of a slow way, where it is sure that the mode is right. */
static struct cold *begin_sse(struct lower *c)
{
    if (!X64(c)->fp_known) return begin(c);
    X64(c)->fp_used = true;
    return NULL;
}

static void end_sse(struct lower *c, const struct cold *k)
{
    if (k) emit_place(&c->e, k->back);
}

/* Operations of SSE's own kind, prefix included: d = a op b, what shares a register with d stays. */
static void sse(struct lower *c, unsigned op)
{
    const struct ir_op *o = c->o;
    struct cold *k = begin_sse(c);
    bool in_place = lower_pair(c, o->d) && (o->a == o->d || (X64(c)->same_d == o->d && X64(c)->same_a == o->a));
    unsigned xb = x64_use_xmm(c, o->b, XMM2), d;

    if (in_place) {
        d = (unsigned)lower_reg(c, o->d) - GPRS;
    } else {
        unsigned xa = x64_use_xmm(c, o->a, XMM1);
        d = result(c);
        move_xmm(c, d, xa);
    }
    x64_op(&c->e, op | X_0F | (o->type == T_I64 ? X_F2 : X_F3), false, d, x64_r(xb));
    x64_done_xmm(c, o->d, d);
    end_sse(c, k);
}

static void arith(struct lower *c, unsigned op)
{
    const struct ir_op *o = c->o;
    bool w = o->type == T_I64, noted = c->gb->noted[c->i];
    if (x64_is_sse(c)) {
        sse(c, op);
        return;
    }
    struct cold *k = begin(c);
    unsigned xa = x64_use_xmm(c, o->a, XMM1), xb = x64_use_xmm(c, o->b, XMM2), d = result(c);

    move_xmm(c, d, xa);
    x64_op(&c->e, op | X_0F | (w ? X_F2 : X_F3), false, d, x64_r(xb));
    check(c, k, o->op, w, d);
    if (noted) {
        note_xmm(c, AT_CPU(fp_note.a), w, xa);
        note_xmm(c, AT_CPU(fp_note.b), w, xb);
        note_op(c, noted_op(o));
    }
    x64_done_xmm(c, o->d, d);
    emit_place(&c->e, k->back);
}

/* One operand of type wa, a result of type wd. */
static void unary(struct lower *c, unsigned op, bool wa, bool wd)
{
    const struct ir_op *o = c->o;
    struct cold *k = begin(c);
    unsigned xa = x64_use_xmm(c, o->a, XMM1), d = result(c);

    x64_op(&c->e, op | X_0F | (wa ? X_F2 : X_F3), false, d, x64_r(xa));
    check(c, k, o->op, wd, d);
    if (c->gb->noted[c->i]) {
        note_xmm(c, AT_CPU(fp_note.a), wa, xa);
        note_op(c, noted_op(o));
        x64_op_imm(&c->e, 0xc7, false, 0, x64_m(AT_CPU(fp_note.aux)), 4, 0);
    }
    x64_done_xmm(c, o->d, d);
    emit_place(&c->e, k->back);
}

static void from_int(struct lower *c, bool wa, bool wd)
{
    const struct ir_op *o = c->o;
    struct cold *k = begin(c);
    int ra = lower_reg(c, o->a);
    unsigned d = x64_def_xmm(c, XMM0);
    bool noted = c->gb->noted[c->i];
    struct x64_rm a;

    if (is_xmm(ra) && !wa && wd) { /* exact, whatever lies in the other half */
        unsigned x = (unsigned)ra - GPRS;
        if (noted) note_xmm(c, AT_CPU(fp_note.a), false, x);
        x64_op(&c->e, 0xe6 | X_0F | X_F3, false, d, x64_r(x)); /* cvtdq2pd */
    } else {
        a = noted ? x64_r(x64_use(c, o->a, RAX)) : x64_use_rm(c, o->a, RAX);
        if (noted) x64_op(&c->e, 0x89, true, a.reg, x64_m(AT_CPU(fp_note.a)));
        x64_op(&c->e, 0x57 | X_0F, false, XMM0, x64_r(XMM0));
        x64_op(&c->e, 0x2a | X_0F | (wd ? X_F2 : X_F3), wa, XMM0, a); /* cvtsi2s */
        d = XMM0;
    }
    if (noted) {
        note_op(c, noted_op(o));
        x64_op_imm(&c->e, 0xc7, false, 0, x64_m(AT_CPU(fp_note.aux)), 4, 0);
    }
    x64_done_xmm(c, o->d, d);
    emit_place(&c->e, k->back);
}

static bool to_int(struct lower *c, bool wa, bool wd)
{
    const struct ir_op *o = c->o;
    unsigned r = o->aux & 15;
    if (r != FP_RTZ && r != FP_RNE && r != IR_ROUND_ENV) return false;
    struct cold *k = begin(c);
    unsigned xa = x64_use_xmm(c, o->a, XMM1);
    x64_op(&c->e, (r == FP_RTZ ? 0x2c : 0x2d) | X_0F | (wa ? X_F2 : X_F3), wd, RAX, x64_r(xa));
    if (wd) { /* the "integer indefinite" may stand for anything */
        x64_mov_imm(&c->e, RCX, UINT64_C(1) << 63);
        x64_alu(&c->e, ALU_CMP, true, RAX, x64_r(RCX));
    } else {
        x64_alu_imm(&c->e, ALU_CMP, false, x64_r(RAX), INT32_MIN);
    }
    x64_jcc(&c->e, X_Z, k->label);
    if (c->gb->noted[c->i]) {
        note_xmm(c, AT_CPU(fp_note.a), wa, xa);
        note_op(c, noted_op(o));
        x64_op_imm(&c->e, 0xc7, false, 0, x64_m(AT_CPU(fp_note.aux)), 4, o->aux);
    }
    x64_done(c, o->d, RAX);
    emit_place(&c->e, k->back);
    return true;
}

static void compare(struct lower *c)
{
    /* by relations wanted; after ucomis a, b without a NaN: carry: less; zero: equal */
    static const uint8_t cc[8] = { 0, X_C, X_Z, X_BE, X_A, X_NZ, X_NC, 0 };
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = o->type == T_I64;
    unsigned mask = o->attr & (IR_REL_LT | IR_REL_EQ | IR_REL_GT);
    struct cold *k = begin(c);
    unsigned xa = x64_use_xmm(c, o->a, XMM1), xb = x64_use_xmm(c, o->b, XMM2), d = x64_def(c, RAX);

    x64_op(e, 0x2e | X_0F | (w ? X_66 : 0), false, xa, x64_r(xb));
    x64_jcc(e, X_P, k->label);
    if (mask == 0 || mask == 7) {
        x64_mov_imm(e, d, mask == 7);
    } else {
        x64_setcc(e, cc[mask], d);
        x64_op(e, 0xb6 | X_0F | X_B, false, d, x64_r(d));
    }
    if (c->gb->noted[c->i]) { /* raises nothing, and that must be told */
        note_xmm(c, AT_CPU(fp_note.a), w, xa);
        note_xmm(c, AT_CPU(fp_note.b), w, xb);
        note_op(c, noted_op(o));
        x64_op_imm(&c->e, 0xc7, false, 0, x64_m(AT_CPU(fp_note.aux)), 4, 0);
    }
    x64_done(c, o->d, d);
    emit_place(e, k->back);
}

/* d = the flags that the comparison gives the host, which are those of the guest */
static void flags_of_relation(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = o->type == T_I64;
    struct cold *k = begin_sse(c);
    unsigned xa = x64_use_xmm(c, o->a, XMM1), xb = x64_use_xmm(c, o->b, XMM2);

    x64_op(e, (o->attr & IR_REL_SIGNAL ? 0x2f : 0x2e) | X_0F | (w ? X_66 : 0), false, xa, x64_r(xb)); /* comis, ucomis */
    emit_byte(e, 0x9f); /* lahf; 6, 4 and 2 of the byte in ah are the flags, 1 is set, the others are clear */
    x64_op(e, 0xb6 | X_0F, false, RAX, x64_r(4)); /* movzx eax, ah */
    x64_lea(e, false, RAX, x64_at(RAX, -2));
    x64_done(c, o->d, RAX);
    if (!k) X64(c)->relation = o->d, X64(c)->relation_at = e->changes;
    end_sse(c, k);
}

/* d = a byte of aux by the relation */
static void relation(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = o->type == T_I64;
    if (x64_is_sse(c) && o->aux == IR_REL_VALUES(1, 0x40, 0, 0x45)) {
        flags_of_relation(c);
        return;
    }
    struct cold *k = begin(c);
    unsigned xa = x64_use_xmm(c, o->a, XMM1), xb = x64_use_xmm(c, o->b, XMM2);

    x64_mov_imm(e, RCX, o->aux & 0xff);
    x64_mov_imm(e, RDX, o->aux >> 8 & 0xff);
    x64_mov_imm(e, RAX, o->aux >> 16 & 0xff);
    x64_op(e, 0x2e | X_0F | (w ? X_66 : 0), false, xa, x64_r(xb));
    x64_jcc(e, X_P, k->label);
    x64_cmov(e, X_C, false, RAX, x64_r(RCX));
    x64_cmov(e, X_Z, false, RAX, x64_r(RDX));
    if (c->gb->noted[c->i]) {
        note_xmm(c, AT_CPU(fp_note.a), w, xa);
        note_xmm(c, AT_CPU(fp_note.b), w, xb);
        note_op(c, noted_op(o));
        x64_op_imm(e, 0xc7, false, 0, x64_m(AT_CPU(fp_note.aux)), 4, o->aux);
    }
    x64_done(c, o->d, RAX);
    emit_place(e, k->back);
}

/* SSE's minimum and maximum, for guests that have them; a NaN raises a flag, so it goes the slow way. */
static bool minmax(struct lower *c, unsigned op)
{
    const struct ir_op *o = c->o;
    bool w = o->type == T_I64;

    if (o->attr != IR_FMM_X86 || !c->g->guest->no_fp_notes) return false;
    if (x64_is_sse(c)) {
        sse(c, op);
        return true;
    }
    struct cold *k = begin(c);
    unsigned xa = x64_use_xmm(c, o->a, XMM1), xb = x64_use_xmm(c, o->b, XMM2), d = result(c);
    x64_op(&c->e, 0x2e | X_0F | (w ? X_66 : 0), false, xa, x64_r(xb));
    x64_jcc(&c->e, X_P, k->label);
    move_xmm(c, d, xa);
    x64_op(&c->e, op | X_0F | (w ? X_F2 : X_F3), false, d, x64_r(xb));
    x64_done_xmm(c, o->d, d);
    emit_place(&c->e, k->back);
    return true;
}

bool x64_lower_fp(struct lower *c)
{
    const struct ir_op *o = c->o;
    bool w = o->type == T_I64;

    if (c->h->eng->cfg.soft_fp) return false;
    switch (o->op) {
    case OP_FADD: arith(c, 0x58); return true;
    case OP_FSUB: arith(c, 0x5c); return true;
    case OP_FMUL: arith(c, 0x59); return true;
    case OP_FDIV: arith(c, 0x5e); return true;
    case OP_FSQRT: unary(c, 0x51, w, w); return true;
    case OP_F32_F64: unary(c, 0x5a, false, true); return true;
    case OP_F64_F32: unary(c, 0x5a, true, false); return true;
    case OP_I32_F32: from_int(c, false, false); return true;
    case OP_I32_F64: from_int(c, false, true); return true;
    case OP_I64_F32: from_int(c, true, false); return true;
    case OP_I64_F64: from_int(c, true, true); return true;
    case OP_F32_I32: return to_int(c, false, false);
    case OP_F32_I64: return to_int(c, false, true);
    case OP_F64_I32: return to_int(c, true, false);
    case OP_F64_I64: return to_int(c, true, true);
    case OP_FCMP:
        if (o->aux) relation(c);
        else compare(c);
        return true;
    case OP_FMIN: return minmax(c, 0x5d);
    case OP_FMAX: return minmax(c, 0x5f);
    default: return false;
    }
}
