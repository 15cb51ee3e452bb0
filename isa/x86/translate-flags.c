/*
 * translate-flags.c - x86 to IR: writing the lazy flags and what conditions become.
 *
 * Every flag setter writes CC_OP, CC_R and CC_B; within a block the kind is known, so that a condition is a comparison of
 * the operation's operands or a test of its result. Elsewhere a pure helper works the flags out.
 * Conditions: Intel SDM volume 1, appendix B.
 */
#include "isa/x86/translate.h"

void x_flags(struct x86_tr *t, unsigned kind, unsigned bytes, ir_id r, ir_id b, ir_id a)
{
    unsigned op = kind | x_log2(bytes);

    ir_mov(t->b, T_I32, XR_CC_OP, ir_c32(t->b, op));
    if (r != XR_CC_R && r != IR_NONE) ir_mov(t->b, t->w, XR_CC_R, r);
    if (b != XR_CC_B && b != IR_NONE) ir_mov(t->b, t->w, XR_CC_B, b);
    t->cc.known = true;
    t->cc.op = op;
    t->cc.a = a;
}

void x_flags_unknown(struct x86_tr *t)
{
    t->cc.known = false;
    t->cc.a = IR_NONE;
}

static bool two_states(const struct x86_tr *t) { return (t->cc.op & ~3u) >= X86_CC_INC2; }

ir_id x_flags_all(struct x86_tr *t)
{
    if (!t->cc.known || two_states(t)) return ir_call(t->b, XH_FLAGS, T_I32, ir_temp(t->b, T_I32), IR_NONE, IR_NONE, IR_NONE);
    ir_id op = t->cc.known ? ir_c32(t->b, t->cc.op) : XR_CC_OP;

    return ir_call(t->b, XH_CC, T_I32, ir_temp(t->b, T_I32), op, XR_CC_R, XR_CC_B);
}

void x_flags_set(struct x86_tr *t, ir_id flags)
{
    ir_mov(t->b, T_I32, XR_CC_OP, ir_c32(t->b, X86_CC_FLAGS));
    if (t->cells64) ir_mov(t->b, T_I64, XR_CC_B, ir_conv(t->b, OP_ZXW, xt(t), flags));
    else ir_mov(t->b, T_I32, XR_CC_B, flags);
    t->cc.known = true;
    t->cc.op = X86_CC_FLAGS;
    t->cc.a = IR_NONE;
}

static uint64_t size_mask(unsigned bytes) { return bytes == 8 ? ~UINT64_C(0) : (UINT64_C(1) << 8 * bytes) - 1; }
static uint64_t sign_bit(unsigned bytes) { return UINT64_C(1) << (8 * bytes - 1); }

static struct x_cond test(struct x86_tr *t, ir_id x, uint64_t mask, bool set)
{
    return (struct x_cond){ t->w, set ? CC_TNZ : CC_TZ, x, xk(t, mask) };
}

/* A comparison of two values of so many bytes. */
static struct x_cond compare(struct x86_tr *t, enum ir_cond cc, ir_id a, ir_id b, unsigned bytes)
{
    bool is_signed = cc == CC_LTS || cc == CC_LES || cc == CC_GES || cc == CC_GTS;

    if (bytes == 4 && t->cells64) {
        return (struct x_cond){ T_I32, cc, ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), a), ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), b) };
    }
    if (is_signed) return (struct x_cond){ t->w, cc, x_sx(t, a, bytes), x_sx(t, b, bytes) };
    return (struct x_cond){ t->w, cc, x_zx(t, a, bytes), x_zx(t, b, bytes) };
}

/* The first operand of a subtraction. */
static ir_id minuend(struct x86_tr *t)
{
    if (t->cc.a != IR_NONE) return t->cc.a;
    ir_id a = x2(t, OP_ADD, XR_CC_R, XR_CC_B);
    return (t->cc.op & ~3u) == X86_CC_SBB ? x2(t, OP_ADD, a, xk(t, 1)) : a;
}

static struct x_cond by_flags(struct x86_tr *t, unsigned cc)
{
    static const uint32_t masks[8] = { XFL_OF, XFL_CF, XFL_ZF, XFL_CF | XFL_ZF, XFL_SF, XFL_PF, XFL_SF, XFL_SF | XFL_ZF };
    ir_id f = x_flags_all(t);
    bool set = !(cc & 1);

    if (cc >> 1 >= 6) { /* SF != OF, into SF */
        ir_id of = ir_op2(t->b, OP_SHR, T_I32, ir_temp(t->b, T_I32), f, ir_c32(t->b, 4));
        of = ir_op2(t->b, OP_AND, T_I32, of, of, ir_c32(t->b, XFL_SF));
        f = ir_op2(t->b, OP_XOR, T_I32, ir_temp(t->b, T_I32), f, of);
    }
    return (struct x_cond){ T_I32, set ? CC_TNZ : CC_TZ, f, ir_c32(t->b, masks[cc >> 1]) };
}

bool x_carry_far(const struct x86_tr *t) { return !t->cc.known || two_states(t); }

/* inc and dec where nothing is known of CF: the state that it is of is put aside, unless that has been done. arg: 1 dec */
void x_flags_incdec(struct x86_tr *t, unsigned dec, unsigned bytes, ir_id r)
{
    if (!t->cc.known) {
        ir_id d = ir_op2(t->b, OP_SUB, T_I32, ir_temp(t->b, T_I32), XR_CC_OP, ir_c32(t->b, X86_CC_INC2));
        ir_id other = ir_setc(t->b, T_I32, CC_GEU, ir_temp(t->b, T_I32), d, ir_c32(t->b, 8)), wide = t->cells64 ? ir_conv(t->b, OP_ZXW, xt(t), other) : other;
        ir_op3(t->b, OP_SELECT, T_I32, XR_CF_OP, other, XR_CC_OP, XR_CF_OP);
        ir_op3(t->b, OP_SELECT, t->w, XR_CF_R, wide, XR_CC_R, XR_CF_R);
        ir_op3(t->b, OP_SELECT, t->w, XR_CF_B, wide, XR_CC_B, XR_CF_B);
    }
    x_flags(t, dec ? X86_CC_DEC2 : X86_CC_INC2, bytes, r, IR_NONE, IR_NONE);
}

static struct x_cond never(struct x86_tr *t, bool yes) { return (struct x_cond){ t->w, yes ? CC_EQ : CC_NE, xk(t, 0), xk(t, 0) }; }

static struct x_cond carry(struct x86_tr *t, bool set)
{
    unsigned bytes = 1u << (t->cc.op & 3);

    switch (t->cc.op & ~3u) {
    case X86_CC_ADD: return compare(t, set ? CC_LTU : CC_GEU, XR_CC_R, XR_CC_B, bytes);
    case X86_CC_ADC: return compare(t, set ? CC_LEU : CC_GTU, XR_CC_R, XR_CC_B, bytes);
    case X86_CC_SUB: return compare(t, set ? CC_LTU : CC_GEU, minuend(t), XR_CC_B, bytes);
    case X86_CC_SBB: return compare(t, set ? CC_LEU : CC_GTU, minuend(t), XR_CC_B, bytes);
    case X86_CC_LOGIC: return never(t, !set);
    case X86_CC_SHL: return test(t, XR_CC_B, sign_bit(bytes), set);
    case X86_CC_INC2: case X86_CC_DEC2: return by_flags(t, set ? 2 : 3);
    default: return test(t, XR_CC_B, 1, set); /* FLAGS, too */
    }
}

struct x_cond x_cond(struct x86_tr *t, unsigned cc)
{
    bool set = !(cc & 1);
    unsigned kind = t->cc.op & ~3u, bytes = 1u << (t->cc.op & 3);
    bool sub = kind == X86_CC_SUB, logic = kind == X86_CC_LOGIC;

    if (!t->cc.known) return by_flags(t, cc);
    if (kind == X86_CC_FLAGS && cc >> 1 >= 6) return by_flags(t, cc);
    if (kind == X86_CC_FLAGS) {
        static const uint32_t masks[6] = { XFL_OF, XFL_CF, XFL_ZF, XFL_CF | XFL_ZF, XFL_SF, XFL_PF };
        return test(t, XR_CC_B, masks[cc >> 1], set);
    }
    switch (cc >> 1) {
    case 0: return logic ? never(t, !set) : by_flags(t, cc);
    case 1: return carry(t, set);
    case 2:
        if (sub && t->cc.a != IR_NONE && bytes >= 4) return compare(t, set ? CC_EQ : CC_NE, t->cc.a, XR_CC_B, bytes);
        return test(t, XR_CC_R, size_mask(bytes), !set);
    case 3:
        if (sub) return compare(t, set ? CC_LEU : CC_GTU, minuend(t), XR_CC_B, bytes);
        return logic ? test(t, XR_CC_R, size_mask(bytes), !set) : by_flags(t, cc);
    case 4: return test(t, XR_CC_R, sign_bit(bytes), set);
    case 5: { /* even parity sets it */
        ir_id n = x1(t, OP_POPCNT, x1(t, OP_ZX8, XR_CC_R));
        return test(t, n, 1, !set);
    }
    case 6:
        if (sub) return compare(t, set ? CC_LTS : CC_GES, minuend(t), XR_CC_B, bytes);
        return logic ? test(t, XR_CC_R, sign_bit(bytes), set) : by_flags(t, cc);
    default:
        if (sub) return compare(t, set ? CC_LES : CC_GTS, minuend(t), XR_CC_B, bytes);
        return logic ? compare(t, set ? CC_LES : CC_GTS, XR_CC_R, xk(t, 0), bytes) : by_flags(t, cc);
    }
}

ir_id x_cond_value(struct x86_tr *t, unsigned cc)
{
    struct x_cond c = x_cond(t, cc);
    ir_id v = ir_setc(t->b, c.type, c.cond, ir_temp(t->b, c.type), c.a, c.b);

    return c.type == t->w ? v : ir_conv(t->b, OP_ZXW, xt(t), v);
}

ir_id x_carry(struct x86_tr *t) { return x_cond_value(t, 2); }

/* ---- instructions ---- */

/* cmc clc stc cld std */
void x86_tr_flag(struct x86_tr *t)
{
    if (t->arg >= 3) {
        ir_mov(t->b, t->w, XR_DF, xk(t, t->arg == 3 ? 1 : ~UINT64_C(0)));
        return;
    }
    ir_id f = x_flags_all(t), one = ir_c32(t->b, XFL_CF), r = ir_temp(t->b, T_I32);
    if (t->arg == 1) ir_op2(t->b, OP_AND, T_I32, r, f, ir_c32(t->b, ~(uint32_t)XFL_CF));
    else ir_op2(t->b, t->arg == 2 ? OP_OR : OP_XOR, T_I32, r, f, one);
    x_flags_set(t, r);
}

void x86_tr_lahf(struct x86_tr *t)
{
    ir_id f = x_flags_all(t), r = ir_op2(t->b, OP_AND, T_I32, ir_temp(t->b, T_I32), f, ir_c32(t->b, 0xd5));
    ir_op2(t->b, OP_OR, T_I32, r, r, ir_c32(t->b, XFL_ONE));
    ir_id v = t->cells64 ? ir_conv(t->b, OP_ZXW, xt(t), r) : r;
    x_set_reg(t, 4, 1, true, v);
}

void x86_tr_sahf(struct x86_tr *t)
{
    ir_id ah = ir_bits(t->b, OP_EXTRACT, t->w, xt(t), XR_GPR0, 8, 8), f = x_flags_all(t);
    if (t->cells64) ah = ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), ah);
    ir_id keep = ir_op2(t->b, OP_AND, T_I32, ir_temp(t->b, T_I32), f, ir_c32(t->b, XFL_OF));
    ir_id add = ir_op2(t->b, OP_AND, T_I32, ir_temp(t->b, T_I32), ah, ir_c32(t->b, 0xd5));
    x_flags_set(t, ir_op2(t->b, OP_OR, T_I32, ir_temp(t->b, T_I32), keep, add));
}

void x86_tr_setcc(struct x86_tr *t) { x_set(t, 0, x_cond_value(t, t->arg)); }

void x86_tr_cmov(struct x86_tr *t)
{
    ir_id v = x_get(t, 1), old = x_get(t, 0);
    ir_id c = x_cond_value(t, t->arg);

    x_set(t, 0, ir_op3(t->b, OP_SELECT, t->w, xt(t), c, v, old));
}

void x86_tr_salc(struct x86_tr *t)
{
    x_set_reg(t, 0, 1, false, x1(t, OP_NEG, x_carry(t)));
}
