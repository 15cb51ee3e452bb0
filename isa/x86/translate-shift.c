/*
 * translate-shift.c - x86 to IR: shifts and rotates. Follows the Intel SDM volume 2.
 *
 * A count of 0 leaves all flags alone; where the count is only known at run time, the flag slots are selected, not branched
 * around. Rotates change CF and OF alone.
 */
#include "isa/x86/translate.h"

static ir_id i32(struct x86_tr *t, ir_id v) { return t->cells64 ? ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), v) : v; }
static ir_id op32(struct x86_tr *t, enum ir_opcode op, ir_id a, ir_id b) { return ir_op2(t->b, op, T_I32, ir_temp(t->b, T_I32), a, b); }

/* Flags of a shift by n, which is not the constant 0. */
static void shift_flags(struct x86_tr *t, unsigned kind, unsigned bytes, ir_id r, ir_id b, ir_id n)
{
    if (ir_is_const(n)) {
        x_flags(t, kind, bytes, r, b, IR_NONE);
        return;
    }
    ir_id n32 = i32(t, n), op = ir_c32(t->b, kind | x_log2(bytes));
    ir_op3(t->b, OP_SELECT, T_I32, XR_CC_OP, n32, op, XR_CC_OP);
    ir_op3(t->b, OP_SELECT, t->w, XR_CC_R, n, r, XR_CC_R);
    ir_op3(t->b, OP_SELECT, t->w, XR_CC_B, n, b, XR_CC_B);
    x_flags_unknown(t);
}

/* CF and OF of a rotate by n; cf, of: cells whose bit 0 counts; old: all flags before. */
static void rotate_flags(struct x86_tr *t, ir_id cf, ir_id of, ir_id n, ir_id old)
{
    ir_id c = op32(t, OP_AND, i32(t, cf), ir_c32(t->b, 1)), o = op32(t, OP_AND, i32(t, of), ir_c32(t->b, 1));
    ir_id f = op32(t, OP_AND, old, ir_c32(t->b, ~(uint32_t)(XFL_CF | XFL_OF)));

    f = op32(t, OP_OR, f, op32(t, OP_OR, c, op32(t, OP_SHL, o, ir_c32(t->b, 11))));
    if (!ir_is_const(n)) f = ir_op3(t->b, OP_SELECT, T_I32, ir_temp(t->b, T_I32), i32(t, n), f, old);
    x_flags_set(t, f);
}

static ir_id bit(struct x86_tr *t, ir_id v, unsigned n) { return x2(t, OP_SHR, v, xk(t, n)); }

/* rol ror of a value; n is below 64 */
static ir_id rotate(struct x86_tr *t, ir_id v, ir_id n, unsigned bytes, bool right)
{
    unsigned bits = 8 * bytes;

    if (bytes == 4 && t->cells64) {
        ir_id r = op32(t, right ? OP_ROTR : OP_ROTL, i32(t, v), i32(t, n));
        return ir_conv(t->b, OP_ZXW, xt(t), r);
    }
    if (bytes >= 4) return x2(t, right ? OP_ROTR : OP_ROTL, v, n);
    v = x_zx(t, v, bytes);
    ir_id k = x2(t, OP_AND, n, xk(t, bits - 1)), l = x2(t, OP_SUB, xk(t, bits), k);
    return x2(t, OP_OR, x2(t, right ? OP_SHR : OP_SHL, v, k), x2(t, right ? OP_SHL : OP_SHR, v, l));
}

/* rcl rcr of up to 32 bits, in 64-bit cells: a rotate of one bit more. */
static ir_id rotate_carry(struct x86_tr *t, ir_id v, ir_id n, ir_id c, unsigned bytes, bool right, ir_id *cf)
{
    struct ir_builder *b = t->b;
    unsigned bits = 8 * bytes;
    ir_id x = x_zx(t, v, bytes), k = n, full = ir_c64(b, bits + 1), r;

#define OP64(op, p, q) ir_op2(b, op, T_I64, ir_temp(b, T_I64), p, q)
    if (!t->cells64) {
        x = ir_conv(b, OP_ZXW, ir_temp(b, T_I64), x);
        k = ir_conv(b, OP_ZXW, ir_temp(b, T_I64), k);
        c = ir_conv(b, OP_ZXW, ir_temp(b, T_I64), c);
    }
    x = OP64(OP_OR, x, OP64(OP_SHL, c, ir_c64(b, bits)));
    if (bytes < 4) k = OP64(OP_REMU, k, full);
    ir_id l = OP64(OP_SUB, full, k);
    r = OP64(OP_OR, OP64(right ? OP_SHR : OP_SHL, x, k), OP64(right ? OP_SHL : OP_SHR, x, l));
    *cf = OP64(OP_SHR, r, ir_c64(b, bits));
#undef OP64
    if (!t->cells64) {
        *cf = ir_conv(b, OP_LO, ir_temp(b, T_I32), *cf);
        r = ir_conv(b, OP_LO, ir_temp(b, T_I32), r);
    }
    return r;
}

static ir_id rotate_carry64(struct x86_tr *t, ir_id v, ir_id n, ir_id c, bool right, ir_id *cf)
{
    enum ir_opcode fwd = right ? OP_SHR : OP_SHL, back = right ? OP_SHL : OP_SHR;
    ir_id n1 = x2(t, OP_SUB, n, xk(t, 1)), r = x2(t, fwd, v, n), in;

    if (right) in = x2(t, OP_SHL, c, x2(t, OP_SUB, xk(t, 64), n));
    else in = x2(t, OP_SHL, c, n1);
    r = x2(t, OP_OR, r, x2(t, OP_OR, in, x2(t, back, v, x2(t, OP_SUB, xk(t, 65), n))));
    *cf = right ? x2(t, OP_SHR, v, n1) : x2(t, OP_SHR, v, x2(t, OP_SUB, xk(t, 64), n));
    return r;
}

enum { SH_ROL, SH_ROR, SH_RCL, SH_RCR, SH_SHL, SH_SHR, SH_SAL, SH_SAR };

void x86_tr_shift(struct x86_tr *t)
{
    unsigned bytes = t->size, bits = 8 * bytes, mask = bytes == 8 ? 63 : 31;
    const struct x86_operand *o = &t->i.form->op[1];
    ir_id n = o->what == XO_REG ? x2(t, OP_AND, XR_GPR0 + 1, xk(t, mask)) : xk(t, o->what == XO_ONE ? 1 : (uint64_t)t->i.imm & mask);
    bool zero = ir_is_const(n) && n == xk(t, 0), mem = x_is_mem(t, 0), right = t->arg & 1;
    ir_id old = IR_NONE, cf, of, a, r, b = IR_NONE;

    if (zero) {
        x_set(t, 0, x_get(t, 0));
        return;
    }
    if (t->arg < SH_SHL) {
        old = x_flags_all(t);
        a = x_get(t, 0);
        if (t->arg >= SH_RCL) {
            ir_id c = op32(t, OP_AND, old, ir_c32(t->b, 1));
            if (t->cells64) c = ir_conv(t->b, OP_ZXW, xt(t), c);
            r = bytes == 8 ? rotate_carry64(t, a, n, c, right, &cf) : rotate_carry(t, a, n, c, bytes, right, &cf);
        } else {
            r = rotate(t, a, n, bytes, right);
            cf = right ? bit(t, r, bits - 1) : r;
        }
        of = right ? x2(t, OP_XOR, bit(t, r, bits - 1), bit(t, r, bits - 2)) : x2(t, OP_XOR, bit(t, r, bits - 1), cf);
        if (mem) x_set(t, 0, r);
        rotate_flags(t, cf, of, n, old);
        if (!mem) x_set(t, 0, r);
        return;
    }
    a = x_get(t, 0);
    if (t->arg == SH_SAR) a = x_sx(t, a, bytes);
    if (t->arg == SH_SHR) a = x_zx(t, a, bytes);
    enum ir_opcode op = t->arg == SH_SAR ? OP_SAR : t->arg == SH_SHR ? OP_SHR : OP_SHL;
    ir_id n1 = o->what == XO_REG ? x2(t, OP_SUB, n, xk(t, 1)) : xk(t, o->what == XO_ONE ? 0 : ((uint64_t)t->i.imm & mask) - 1);
    r = x2(t, op, a, n);
    b = x2(t, op, a, n1);
    if (mem) x_set(t, 0, r);
    else r = x_whole(t, bytes, r);
    shift_flags(t, t->arg == SH_SAR ? X86_CC_SAR : t->arg == SH_SHR ? X86_CC_SHR : X86_CC_SHL, bytes, r, b, n);
    if (!mem) x_set(t, 0, r);
}

/* shld shrd. With 16 bits and counts above 16 the result is undefined. */
void x86_tr_shd(struct x86_tr *t)
{
    unsigned bytes = t->size, bits = 8 * bytes, mask = bytes == 8 ? 63 : 31;
    bool var = t->i.form->op[2].what == XO_REG, right = t->arg, mem = x_is_mem(t, 0);
    uint64_t imm = (uint64_t)t->i.imm & mask;
    ir_id n = var ? x2(t, OP_AND, XR_GPR0 + 1, xk(t, mask)) : xk(t, imm), a, b = x_zx(t, x_get(t, 1), bytes), r, last;

    a = x_zx(t, x_get(t, 0), bytes);
    if (!var && !imm) {
        x_set(t, 0, a);
        return;
    }
    ir_id rest = x2(t, OP_SUB, xk(t, bits), n), n1 = x2(t, OP_SUB, n, xk(t, 1));
    r = x2(t, OP_OR, x2(t, right ? OP_SHR : OP_SHL, a, n), x2(t, right ? OP_SHL : OP_SHR, b, rest));
    last = x2(t, right ? OP_SHR : OP_SHL, a, n1);
    if (mem) x_set(t, 0, r);
    else r = x_whole(t, bytes, r);
    shift_flags(t, right ? X86_CC_SHRD : X86_CC_SHL, bytes, r, last, n);
    if (!mem) x_set(t, 0, r);
}
