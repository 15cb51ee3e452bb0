/*
 * translate-integer.c - x86 to IR: arithmetic, logic, moves, exchanges, multiplication, division, bits, decimal.
 * Shifts: translate-shift.c. Follows the Intel SDM volume 2.
 *
 * Order in every body: reads, what may fault (loads, the store of a result), flags, registers.
 */
#include "isa/x86/translate.h"

/* Is this a locked read-modify-write? (xchg always is.) */
static bool locked(const struct x86_tr *t) { return t->i.lock && x_is_mem(t, 0); }

static ir_id rmw(struct x86_tr *t, enum ir_rmw what, unsigned bytes, ir_id v)
{
    ir_id ea = x_ea(t);
    return ir_rmw(t->b, t->w, what, xt(t), ea, v, x_log2(bytes), t->mmu);
}

/* new = value if memory still holds old; otherwise the instruction starts again. */
static void cas_or_retry(struct x86_tr *t, unsigned bytes, ir_id old, ir_id value)
{
    ir_id ea = x_ea(t);
    ir_id got = ir_cas(t->b, t->w, xt(t), ea, old, value, x_log2(bytes), t->mmu);
    ir_brc(t->b, t->w, CC_NE, got, old, ir_link(t->b, t->pc, t->key, IR_HINT_NONE));
}

enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

static ir_id alu(struct x86_tr *t, ir_id a, ir_id b, ir_id c)
{
    switch (t->arg) {
    case ALU_ADD: return x2(t, OP_ADD, a, b);
    case ALU_OR: return x2(t, OP_OR, a, b);
    case ALU_ADC: return x2(t, OP_ADD, x2(t, OP_ADD, a, b), c);
    case ALU_SBB: return x2(t, OP_SUB, x2(t, OP_SUB, a, b), c);
    case ALU_AND: return x2(t, OP_AND, a, b);
    case ALU_XOR: return x2(t, OP_XOR, a, b);
    default: return x2(t, OP_SUB, a, b);
    }
}

static void alu_flags(struct x86_tr *t, unsigned bytes, ir_id a, ir_id b, ir_id c, ir_id r)
{
    switch (t->arg) {
    case ALU_ADD: x_flags(t, X86_CC_ADD, bytes, r, b, a); break;
    case ALU_SUB: case ALU_CMP: x_flags(t, X86_CC_SUB, bytes, r, b, a); break;
    case ALU_ADC: case ALU_SBB: { /* the carry in selects the kind */
        ir_id k = t->cells64 ? ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), c) : c;
        k = ir_op2(t->b, OP_SHL, T_I32, ir_temp(t->b, T_I32), k, ir_c32(t->b, 2));
        unsigned base = (t->arg == ALU_ADC ? X86_CC_ADD : X86_CC_SUB) | x_log2(bytes);
        x_flags(t, X86_CC_LOGIC, bytes, r, b, IR_NONE);
        ir_op2(t->b, OP_ADD, T_I32, XR_CC_OP, k, ir_c32(t->b, base));
        x_flags_unknown(t);
        break;
    }
    default: x_flags(t, X86_CC_LOGIC, bytes, r, xk(t, 0), IR_NONE); break;
    }
}


void x86_tr_alu(struct x86_tr *t)
{
    unsigned bytes = t->size;
    ir_id b = x_get(t, 1), c = IR_NONE, a, r;

    /* xor x,x and sub x,x are zero whatever x was */
    if ((t->arg == ALU_XOR || t->arg == ALU_SUB) && t->i.has_modrm && t->i.modrm >= 0xc0 && t->i.reg == t->i.rm && bytes >= 4 &&
        t->i.form->op[1].what != XO_SI && t->i.form->op[1].what != XO_I) {
        x_flags(t, X86_CC_LOGIC, bytes, xk(t, 0), xk(t, 0), IR_NONE);
        x_set(t, 0, xk(t, 0));
        return;
    }
    if (t->arg == ALU_ADC || t->arg == ALU_SBB) c = x_carry(t);
    if (locked(t)) {
        static const int how[8] = { IR_RMW_ADD, IR_RMW_OR, -1, -1, IR_RMW_AND, IR_RMW_ADD, IR_RMW_XOR, -1 };
        if (how[t->arg] >= 0) {
            a = rmw(t, (enum ir_rmw)how[t->arg], bytes, t->arg == ALU_SUB ? x1(t, OP_NEG, b) : b);
            r = alu(t, a, b, c);
        } else {
            a = x_ld(t, bytes);
            r = alu(t, a, b, c);
            cas_or_retry(t, bytes, a, x_zx(t, r, bytes));
        }
        alu_flags(t, bytes, a, b, c, r);
        return;
    }
    a = x_get(t, 0);
    r = alu(t, a, b, c);
    if (t->arg == ALU_CMP) {
        alu_flags(t, bytes, a, b, c, r);
    } else if (x_is_mem(t, 0)) {
        x_set(t, 0, r);
        alu_flags(t, bytes, a, b, c, r);
    } else {
        r = x_whole(t, bytes, r);
        alu_flags(t, bytes, a, b, c, r);
        x_set(t, 0, r);
    }
}

void x86_tr_test(struct x86_tr *t)
{
    ir_id b = x_get(t, 1), a = x_get(t, 0);
    ir_id r = a == b ? a : x2(t, OP_AND, a, b);

    x_flags(t, X86_CC_LOGIC, t->size, r, xk(t, 0), IR_NONE);
}

void x86_tr_incdec(struct x86_tr *t)
{
    unsigned bytes = t->size;
    bool far = x_carry_far(t);
    ir_id c = far ? IR_NONE : x_carry(t), one = xk(t, t->arg ? ~UINT64_C(0) : 1), a, r;

    if (locked(t)) {
        a = rmw(t, IR_RMW_ADD, bytes, one);
        r = x2(t, OP_ADD, a, one);
    } else {
        a = x_get(t, 0);
        r = x2(t, OP_ADD, a, one);
        if (x_is_mem(t, 0)) x_set(t, 0, r);
        else r = x_whole(t, bytes, r);
    }
    if (far) x_flags_incdec(t, t->arg, bytes, r);
    else x_flags(t, t->arg ? X86_CC_DEC : X86_CC_INC, bytes, r, c, IR_NONE);
    if (!x_is_mem(t, 0)) x_set(t, 0, r);
}

void x86_tr_neg(struct x86_tr *t)
{
    unsigned bytes = t->size;
    ir_id a, r;

    if (locked(t)) {
        a = x_ld(t, bytes);
        r = x1(t, OP_NEG, a);
        cas_or_retry(t, bytes, a, x_zx(t, r, bytes));
    } else {
        a = x_get(t, 0);
        r = x1(t, OP_NEG, a);
        if (x_is_mem(t, 0)) x_set(t, 0, r);
        else r = x_whole(t, bytes, r);
    }
    x_flags(t, X86_CC_SUB, bytes, r, a, xk(t, 0)); /* 0 - a */
    if (!x_is_mem(t, 0)) x_set(t, 0, r);
}

void x86_tr_not(struct x86_tr *t)
{
    if (locked(t)) rmw(t, IR_RMW_XOR, t->size, xk(t, ~UINT64_C(0)));
    else x_set(t, 0, x1(t, OP_NOT, x_get(t, 0)));
}

/* ---- multiplication and division ---- */

static void mul_flags(struct x86_tr *t, unsigned bytes, ir_id low, ir_id overflow)
{
    x_flags(t, X86_CC_MUL, bytes, low, overflow, IR_NONE);
}

/* Is the product's high part more than a copy of the low part's sign? wide: the whole product in one cell. */
static ir_id overflow(struct x86_tr *t, ir_id wide, unsigned bytes, bool sign)
{
    ir_id again = sign ? x_sx(t, wide, bytes) : x_zx(t, wide, bytes);
    return ir_setc(t->b, t->w, CC_NE, xt(t), wide, again);
}

void x86_tr_mul(struct x86_tr *t)
{
    unsigned bytes = t->size;
    bool sign = t->arg;
    ir_id b = x_get(t, 0), a = XR_GPR0, lo, hi, of;

    if (bytes < 4 || (bytes == 4 && t->cells64)) {
        a = sign ? x_sx(t, a, bytes) : x_zx(t, a, bytes);
        b = sign ? x_sx(t, b, bytes) : x_zx(t, b, bytes);
        lo = x2(t, OP_MUL, a, b);
        of = overflow(t, lo, bytes, sign);
        mul_flags(t, bytes, lo, of);
        if (bytes == 1) {
            x_set_reg(t, 0, 2, false, lo);
            return;
        }
        hi = x2(t, OP_SHR, lo, xk(t, 8 * bytes));
    } else {
        lo = x2(t, OP_MUL, a, b);
        hi = x2(t, sign ? OP_MULHS : OP_MULHU, a, b);
        ir_id expect = sign ? x2(t, OP_SAR, lo, xk(t, 8 * bytes - 1)) : xk(t, 0);
        of = ir_setc(t->b, t->w, CC_NE, xt(t), hi, expect);
        mul_flags(t, bytes, lo, of);
    }
    x_set_reg(t, 0, bytes, false, lo);
    x_set_reg(t, 2, bytes, false, hi);
}

/* imul with two and three operands */
void x86_tr_imul3(struct x86_tr *t)
{
    unsigned bytes = t->size;
    ir_id b = x_get(t, t->i.form->n_ops == 3 ? 2 : 0), a = x_get(t, 1), r, of;

    if (bytes < 4 || (bytes == 4 && t->cells64)) {
        r = x2(t, OP_MUL, x_sx(t, a, bytes), x_sx(t, b, bytes));
        of = overflow(t, r, bytes, true);
    } else {
        r = x2(t, OP_MUL, a, b);
        ir_id hi = x2(t, OP_MULHS, a, b);
        of = ir_setc(t->b, t->w, CC_NE, xt(t), hi, x2(t, OP_SAR, r, xk(t, 8 * bytes - 1)));
    }
    mul_flags(t, bytes, r, of);
    x_set(t, 0, r);
}

void x86_tr_div(struct x86_tr *t)
{
    unsigned bytes = t->size, bits = 8 * bytes;
    bool sign = t->arg;
    ir_id d = x_get(t, 0), n, q, r;

    if (bytes == 8 && sign) {
        ir_call(t->b, XH_IDIV64, T_I32, IR_NONE, d, IR_NONE, IR_NONE);
        return;
    }
    if (bytes == 8 || (bytes == 4 && !t->cells64 && !sign)) { /* double width by the op that does it */
        x_raise_if(t, t->w, CC_GEU, XR_GPR0 + 2, d, XE_DE, 0); /* zero, too */
        q = ir_op3(t->b, OP_DIVU2, t->w, xt(t), XR_GPR0 + 2, XR_GPR0, d);
        r = ir_op3(t->b, OP_REMU2, t->w, xt(t), XR_GPR0 + 2, XR_GPR0, d);
        x_set_reg(t, 0, bytes, false, q);
        x_set_reg(t, 2, bytes, false, r);
        return;
    }
    /* the dividend fits a 64-bit cell, and a 32-bit one for bytes and words */
    bool wide = bytes == 4;
    enum ir_type ty = wide ? T_I64 : t->w;
    d = sign ? x_sx(t, d, bytes) : x_zx(t, d, bytes);
    if (bytes == 1) {
        n = sign ? x_sx(t, XR_GPR0, 2) : x_zx(t, XR_GPR0, 2);
    } else if (wide && !t->cells64) {
        n = ir_op2(t->b, OP_CONCAT, T_I64, ir_temp(t->b, T_I64), XR_GPR0, XR_GPR0 + 2);
        d = ir_conv(t->b, OP_SXW, ir_temp(t->b, T_I64), d);
    } else {
        n = ir_deposit(t->b, t->w, xt(t), XR_GPR0, XR_GPR0 + 2, bits, bits);
        if (bytes == 2) n = sign ? x_sx(t, n, 4) : x_zx(t, n, 4);
    }
    x_raise_if(t, ty, CC_EQ, d, ir_const(t->b, ty, 0), XE_DE, 0);
    q = ir_op2(t->b, sign ? OP_DIVS : OP_DIVU, ty, ir_temp(t->b, ty), n, d);
    r = ir_op2(t->b, sign ? OP_REMS : OP_REMU, ty, ir_temp(t->b, ty), n, d);
    if (wide && sign) { /* the most negative number by -1 comes back as itself, which is out of range, too */
        ir_id again = ir_op1(t->b, OP_SX32, T_I64, ir_temp(t->b, T_I64), q);
        x_raise_if(t, T_I64, CC_NE, q, again, XE_DE, 0);
    } else {
        x_raise_if(t, ty, CC_NE, q, sign ? x_sx(t, q, bytes) : x_zx(t, q, bytes), XE_DE, 0);
    }
    if (wide && !t->cells64) {
        q = ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), q);
        r = ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), r);
    }
    x_set_reg(t, 0, bytes, false, q);
    if (bytes == 1) x_set_reg(t, 4, 1, true, r);
    else x_set_reg(t, 2, bytes, false, r);
}

/* ---- moves ---- */

void x86_tr_mov(struct x86_tr *t) { x_set(t, 0, x_get(t, 1)); }

void x86_tr_lea(struct x86_tr *t) { x_set(t, 0, x_offset(t)); }

void x86_tr_xchg(struct x86_tr *t)
{
    unsigned bytes = t->size;
    ir_id b = x_get(t, 1), a;

    if (x_is_mem(t, 0)) {
        a = rmw(t, IR_RMW_XCHG, bytes, b);
        x_set(t, 1, a);
        return;
    }
    a = ir_mov(t->b, t->w, xt(t), x_get(t, 0));
    b = ir_mov(t->b, t->w, xt(t), b);
    x_set(t, 0, b);
    x_set(t, 1, a);
}

void x86_tr_xadd(struct x86_tr *t)
{
    unsigned bytes = t->size;
    ir_id b = x_get(t, 1), a, r;

    if (x_is_mem(t, 0)) {
        a = rmw(t, IR_RMW_ADD, bytes, b);
        r = x2(t, OP_ADD, a, b);
        x_flags(t, X86_CC_ADD, bytes, r, b, IR_NONE);
        x_set(t, 1, a);
        return;
    }
    a = ir_mov(t->b, t->w, xt(t), x_get(t, 0));
    r = x2(t, OP_ADD, a, b);
    x_flags(t, X86_CC_ADD, bytes, r, b, IR_NONE);
    x_set(t, 1, a);
    x_set(t, 0, r);
}

void x86_tr_cmpxchg(struct x86_tr *t)
{
    unsigned bytes = t->size;
    ir_id v = x_get(t, 1), old, acc = x_zx(t, XR_GPR0, bytes), r;

    if (x_is_mem(t, 0)) {
        ir_id ea = x_ea(t);
        old = ir_cas(t->b, t->w, xt(t), ea, acc, x_zx(t, v, bytes), x_log2(bytes), t->mmu);
        r = x2(t, OP_SUB, acc, old);
        ir_id same = ir_setc(t->b, t->w, CC_EQ, xt(t), acc, old);
        ir_id back = ir_op3(t->b, OP_SELECT, t->w, xt(t), same, XR_GPR0, old);
        x_flags(t, X86_CC_SUB, bytes, r, old, acc);
        /* the accumulator keeps its upper half when they are equal */
        if (bytes >= 4) x_set_full(t, 0, back);
        else x_set_reg(t, 0, bytes, false, back);
        return;
    }
    old = ir_mov(t->b, t->w, xt(t), x_zx(t, x_get(t, 0), bytes));
    r = x2(t, OP_SUB, acc, old);
    ir_id same = ir_setc(t->b, t->w, CC_EQ, xt(t), acc, old);
    ir_id put = ir_op3(t->b, OP_SELECT, t->w, xt(t), same, bytes == 4 ? x_zx(t, v, 4) : v, x_get(t, 0));
    ir_id back = ir_op3(t->b, OP_SELECT, t->w, xt(t), same, XR_GPR0, old);
    x_flags(t, X86_CC_SUB, bytes, r, old, acc);
    if (bytes >= 4) { /* a register that is not written keeps its upper half */
        x_set_full(t, 0, back);
        x_set_full(t, t->i.rm, put);
    } else {
        x_set_reg(t, 0, bytes, false, back);
        x_set(t, 0, put);
    }
}

static ir_id pair(struct x86_tr *t, unsigned lo, unsigned hi)
{
    if (!t->cells64) return ir_op2(t->b, OP_CONCAT, T_I64, ir_temp(t->b, T_I64), (ir_id)lo, (ir_id)hi);
    return ir_deposit(t->b, T_I64, ir_temp(t->b, T_I64), (ir_id)lo, (ir_id)hi, 32, 32);
}

void x86_tr_cmpxchg8b(struct x86_tr *t)
{
    ir_id expect = pair(t, XR_GPR0, XR_GPR0 + 2), value = pair(t, XR_GPR0 + 3, XR_GPR0 + 1), f;

    ir_id ea = x_ea(t);
    ir_id old = ir_cas(t->b, T_I64, ir_temp(t->b, T_I64), ea, expect, value, IR_M64, t->mmu);
    f = ir_op2(t->b, OP_AND, T_I32, ir_temp(t->b, T_I32), x_flags_all(t), ir_c32(t->b, ~(uint32_t)XFL_ZF));
    ir_id same = ir_setc(t->b, T_I64, CC_EQ, ir_temp(t->b, T_I64), old, expect);
    ir_id z = ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), same);
    f = ir_op2(t->b, OP_OR, T_I32, ir_temp(t->b, T_I32), f, ir_op2(t->b, OP_SHL, T_I32, ir_temp(t->b, T_I32), z, ir_c32(t->b, 6)));
    x_flags_set(t, f);
    unsigned skip = ir_label(t->b);
    ir_brl(t->b, T_I64, CC_NE, same, ir_c64(t->b, 0), skip);
    if (t->cells64) {
        x_set_reg(t, 0, 4, false, old);
        x_set_reg(t, 2, 4, false, ir_op2(t->b, OP_SHR, T_I64, ir_temp(t->b, T_I64), old, ir_c64(t->b, 32)));
    } else {
        ir_conv(t->b, OP_LO, XR_GPR0, old);
        ir_conv(t->b, OP_HI, XR_GPR0 + 2, old);
    }
    ir_place(t->b, skip);
}

void x86_tr_cmpxchg16b(struct x86_tr *t)
{
    ir_id ea = x_ea(t);
    ir_call(t->b, XH_CMPXCHG16B, T_I32, IR_NONE, ea, IR_NONE, IR_NONE);
    x_flags_unknown(t);
}

/* movzx movsx movsxd */
void x86_tr_movx(struct x86_tr *t)
{
    ir_id v = x_get(t, 1);
    unsigned from = x_bytes(t, 1);

    x_set(t, 0, t->arg ? x_sx(t, v, from) : x_is_mem(t, 1) ? v : x_zx(t, v, from));
}

void x86_tr_movbe(struct x86_tr *t)
{
    ir_id v = x_get(t, 1), s = x1(t, OP_BSWAP, v);
    unsigned cell = t->cells64 ? 64 : 32;

    if (8 * t->size < cell) s = x2(t, OP_SHR, s, xk(t, cell - 8 * t->size));
    x_set(t, 0, s);
}

void x86_tr_bswap(struct x86_tr *t)
{
    unsigned cell = t->cells64 ? 64 : 32;

    if (t->size == 2) { /* undefined; processors give 0 */
        x_set(t, 0, xk(t, 0));
        return;
    }
    ir_id s = x1(t, OP_BSWAP, x_get(t, 0));
    if (8 * t->size < cell) s = x2(t, OP_SHR, s, xk(t, cell - 8 * t->size));
    x_set(t, 0, s);
}

/* cbw cwde cdqe */
void x86_tr_cbw(struct x86_tr *t) { x_set_reg(t, 0, t->i.osize, false, x_sx(t, XR_GPR0, t->i.osize / 2)); }

/* cwd cdq cqo */
void x86_tr_cwd(struct x86_tr *t)
{
    ir_id s = x_sx(t, XR_GPR0, t->i.osize);
    x_set_reg(t, 2, t->i.osize, false, x2(t, OP_SAR, s, xk(t, t->cells64 ? 63 : 31)));
}

void x86_tr_xlat(struct x86_tr *t)
{
    ir_id off = x_zx(t, x2(t, OP_ADD, XR_GPR0 + 3, x_zx(t, XR_GPR0, 1)), t->i.asize);
    ir_id ea = x_linear(t, off, t->i.seg == X86_NO_REG ? 3 : t->i.seg);
    x_set_reg(t, 0, 1, false, ir_ld(t->b, t->w, xt(t), ea, 0, IR_M8, t->mmu));
}

/* ---- bits ---- */

enum { BT_NONE = 4, BT_SET, BT_RESET, BT_CHANGE };

void x86_tr_bt(struct x86_tr *t)
{
    unsigned bytes = t->size, bits = 8 * bytes;
    bool mem = x_is_mem(t, 0), imm = t->i.form->op[1].what == XO_I;
    ir_id n = imm ? xk(t, (uint64_t)t->i.imm & (bits - 1)) : x_get(t, 1), bit, a, r = IR_NONE, m;

    if (mem && !imm) { /* the register numbers bits from the operand's address on, both ways */
        ir_id words = x2(t, OP_SAR, x_sx(t, n, bytes), xk(t, x_log2(bytes) + 3));
        ir_id off = x2(t, OP_ADD, x_offset(t), x2(t, OP_SHL, words, xk(t, x_log2(bytes))));
        t->ea = x_linear(t, x_zx(t, off, t->i.asize), t->i.seg != X86_NO_REG ? t->i.seg : t->i.base == 4 || t->i.base == 5 ? 2 : 3);
        t->ea_disp = 0;
        t->have_ea = true;
    }
    bit = imm ? n : x2(t, OP_AND, n, xk(t, bits - 1));
    m = x2(t, OP_SHL, xk(t, 1), bit);
    if (locked(t) && t->arg != BT_NONE) {
        ir_id v = t->arg == BT_RESET ? x1(t, OP_NOT, m) : m;
        a = rmw(t, t->arg == BT_SET ? IR_RMW_OR : t->arg == BT_RESET ? IR_RMW_AND : IR_RMW_XOR, bytes, v);
    } else {
        a = x_get(t, 0);
        if (t->arg == BT_SET) r = x2(t, OP_OR, a, m);
        if (t->arg == BT_RESET) r = x2(t, OP_AND, a, x1(t, OP_NOT, m));
        if (t->arg == BT_CHANGE) r = x2(t, OP_XOR, a, m);
        if (mem && r != IR_NONE) x_set(t, 0, r);
    }
    /* CF only; the others stay */
    ir_id cf = x2(t, OP_AND, x2(t, OP_SHR, a, bit), xk(t, 1));
    ir_id c32 = t->cells64 ? ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), cf) : cf;
    ir_id f = ir_op2(t->b, OP_AND, T_I32, ir_temp(t->b, T_I32), x_flags_all(t), ir_c32(t->b, ~(uint32_t)XFL_CF));
    x_flags_set(t, ir_op2(t->b, OP_OR, T_I32, ir_temp(t->b, T_I32), f, c32));
    if (!mem && r != IR_NONE) x_set(t, 0, r);
}

/* bsf bsr: zero leaves the register; ZF by the source */
void x86_tr_bscan(struct x86_tr *t)
{
    unsigned bytes = t->size;
    ir_id v = x_zx(t, x_get(t, 1), bytes), n, old = x_get(t, 0);

    if (t->arg) n = x2(t, OP_SUB, xk(t, t->cells64 ? 63 : 31), x1(t, OP_CLZ, v));
    else n = x1(t, OP_CTZ, v);
    ir_id r = ir_op3(t->b, OP_SELECT, t->w, xt(t), v, n, old);
    x_flags(t, X86_CC_LOGIC, bytes, v, IR_NONE, IR_NONE);
    if (bytes >= 4) x_set_full(t, t->i.reg, r); /* its upper half stays, too */
    else x_set(t, 0, r);
}

/* tzcnt lzcnt: CF when the source is 0, ZF when the result is */
void x86_tr_tzcnt(struct x86_tr *t)
{
    unsigned bytes = t->size, cell = t->cells64 ? 64 : 32;
    ir_id v = x_zx(t, x_get(t, 1), bytes), n;

    if (t->arg) {
        n = x1(t, OP_CLZ, v);
        if (8 * bytes < cell) n = x2(t, OP_SUB, n, xk(t, cell - 8 * bytes));
    } else {
        if (8 * bytes < cell) n = x1(t, OP_CTZ, x2(t, OP_OR, v, xk(t, UINT64_C(1) << 8 * bytes)));
        else n = x1(t, OP_CTZ, v);
    }
    x_flags(t, X86_CC_BLS, bytes, n, ir_setc(t->b, t->w, CC_EQ, xt(t), v, xk(t, 0)), IR_NONE);
    x_set(t, 0, n);
}

void x86_tr_popcnt(struct x86_tr *t)
{
    ir_id v = x_zx(t, x_get(t, 1), t->size), n = x1(t, OP_POPCNT, v);
    ir_id z = ir_setc(t->b, t->w, CC_EQ, xt(t), v, xk(t, 0));

    /* ZF alone can be set */
    z = x2(t, OP_SHL, z, xk(t, 6));
    x_flags_set(t, t->cells64 ? ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), z) : z);
    x_set(t, 0, n);
}

void x86_tr_crc32(struct x86_tr *t)
{
    ir_id v = x_get(t, 1), r = t->cells64 ? ir_temp(t->b, T_I64) : ir_temp(t->b, T_I32);

    ir_call(t->b, XH_CRC32, t->w, r, x_get(t, 0), v, ir_c32(t->b, x_bytes(t, 1)));
    x_set(t, 0, r);
}

/* adcx adox */
void x86_tr_adx(struct x86_tr *t)
{
    unsigned bytes = t->size;
    ir_id f = x_flags_all(t), pos = ir_c32(t->b, t->arg ? 11 : 0);
    ir_id c = ir_op2(t->b, OP_AND, T_I32, ir_temp(t->b, T_I32), ir_op2(t->b, OP_SHR, T_I32, ir_temp(t->b, T_I32), f, pos), ir_c32(t->b, 1));
    ir_id cw = t->cells64 ? ir_conv(t->b, OP_ZXW, xt(t), c) : c;
    ir_id b = x_get(t, 1), a = x_get(t, 0), r, k;

    if (bytes == 4 && t->cells64) {
        r = x2(t, OP_ADD, x2(t, OP_ADD, x_zx(t, a, 4), x_zx(t, b, 4)), cw);
        k = x2(t, OP_SHR, r, xk(t, 32));
    } else {
        r = ir_op3(t->b, OP_ADDC, t->w, xt(t), a, b, cw);
        k = ir_op3(t->b, OP_ADDCC, t->w, xt(t), a, b, cw);
    }
    if (t->cells64) k = ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), k);
    k = ir_op2(t->b, OP_SHL, T_I32, ir_temp(t->b, T_I32), k, pos);
    f = ir_op2(t->b, OP_AND, T_I32, ir_temp(t->b, T_I32), f, ir_c32(t->b, t->arg ? ~(uint32_t)XFL_OF : ~(uint32_t)XFL_CF));
    x_flags_set(t, ir_op2(t->b, OP_OR, T_I32, ir_temp(t->b, T_I32), f, k));
    x_set(t, 0, r);
}

/* ---- BMI ---- */

void x86_tr_andn(struct x86_tr *t)
{
    ir_id b = x_get(t, 2), r = x2(t, OP_AND, b, x1(t, OP_NOT, x_get(t, 1)));

    x_flags(t, X86_CC_LOGIC, t->size, r, xk(t, 0), IR_NONE);
    x_set(t, 0, r);
}

/* blsr blsmsk blsi */
void x86_tr_bls(struct x86_tr *t)
{
    ir_id v = x_zx(t, x_get(t, 1), t->size), zero = xk(t, 0), r;

    if (t->arg == 3) r = x2(t, OP_AND, v, x1(t, OP_NEG, v));
    else r = x2(t, t->arg == 1 ? OP_AND : OP_XOR, v, x2(t, OP_SUB, v, xk(t, 1)));
    x_flags(t, X86_CC_BLS, t->size, r, ir_setc(t->b, t->w, t->arg == 3 ? CC_NE : CC_EQ, xt(t), v, zero), IR_NONE);
    x_set(t, 0, r);
}

void x86_tr_bzhi(struct x86_tr *t)
{
    unsigned bits = 8 * t->size;
    ir_id n = x1(t, OP_ZX8, x_get(t, 2)), v = x_get(t, 1);
    ir_id over = ir_setc(t->b, t->w, CC_GTU, xt(t), n, xk(t, bits - 1));
    ir_id mask = x2(t, OP_SUB, x2(t, OP_SHL, xk(t, 1), n), xk(t, 1)); /* counts beyond the cell give 0, all ones here */
    ir_id r = x2(t, OP_AND, v, mask);

    x_flags(t, X86_CC_BLS, t->size, r, over, IR_NONE);
    x_set(t, 0, r);
}

void x86_tr_bextr(struct x86_tr *t)
{
    ir_id c = x_get(t, 2), v = x_zx(t, x_get(t, 1), t->size), start = x1(t, OP_ZX8, c);
    ir_id len = ir_bits(t->b, OP_EXTRACT, t->w, xt(t), c, 8, 8);
    ir_id mask = x2(t, OP_SUB, x2(t, OP_SHL, xk(t, 1), len), xk(t, 1));
    ir_id r = x2(t, OP_AND, x2(t, OP_SHR, v, start), mask);

    x_flags(t, X86_CC_LOGIC, t->size, r, xk(t, 0), IR_NONE);
    x_set(t, 0, r);
}

/* shlx sarx shrx */
void x86_tr_shx(struct x86_tr *t)
{
    ir_id n = x2(t, OP_AND, x_get(t, 2), xk(t, 8 * t->size - 1)), v = x_get(t, 1);

    if (t->arg == OP_SAR) v = x_sx(t, v, t->size);
    if (t->arg == OP_SHR) v = x_zx(t, v, t->size);
    x_set(t, 0, x2(t, (enum ir_opcode)t->arg, v, n));
}

void x86_tr_rorx(struct x86_tr *t)
{
    ir_id v = x_get(t, 1);
    uint64_t n = (uint64_t)t->i.imm & (8 * t->size - 1);

    if (t->size == 4 && t->cells64) {
        v = ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), v);
        v = ir_op2(t->b, OP_ROTR, T_I32, ir_temp(t->b, T_I32), v, ir_c32(t->b, (uint32_t)n));
        v = ir_conv(t->b, OP_ZXW, xt(t), v);
    } else {
        v = x2(t, OP_ROTR, v, xk(t, n));
    }
    x_set(t, 0, v);
}

void x86_tr_mulx(struct x86_tr *t)
{
    ir_id b = x_get(t, 2), a = XR_GPR0 + 2, lo, hi;

    if (t->size == 4 && t->cells64) {
        lo = x2(t, OP_MUL, x_zx(t, a, 4), x_zx(t, b, 4));
        hi = x2(t, OP_SHR, lo, xk(t, 32));
    } else {
        lo = x2(t, OP_MUL, a, b);
        hi = x2(t, OP_MULHU, a, b);
    }
    x_set(t, 1, lo);
    x_set(t, 0, hi); /* the same register gets this one */
}

void x86_tr_pext(struct x86_tr *t)
{
    ir_id r = xt(t), v = x_get(t, 1), mask = x_zx(t, x_get(t, 2), t->size);

    ir_call(t->b, XH_PEXT, t->w, r, v, mask, ir_c32(t->b, t->arg));
    x_set(t, 0, r);
}

/* ---- decimal ---- */

static void decimal(struct x86_tr *t, unsigned what)
{
    ir_id ax = t->cells64 ? ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), XR_GPR0) : XR_GPR0;
    ir_id r = ir_call(t->b, XH_DECIMAL, T_I64, ir_temp(t->b, T_I64), ax, x_flags_all(t), ir_c32(t->b, what));

    x_flags_set(t, ir_conv(t->b, OP_HI, ir_temp(t->b, T_I32), r));
    x_set_reg(t, 0, 2, false, t->cells64 ? r : ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), r));
}
void x86_tr_daa(struct x86_tr *t) { decimal(t, t->arg); }
void x86_tr_aaa(struct x86_tr *t) { decimal(t, 2 + t->arg); }

void x86_tr_aam(struct x86_tr *t)
{
    uint64_t n = (uint64_t)t->i.imm & 0xff;

    if (!n) {
        x_raise(t, XE_DE, 0);
        return;
    }
    ir_id al = x_zx(t, XR_GPR0, 1), q = x2(t, OP_DIVU, al, xk(t, n)), r = x2(t, OP_REMU, al, xk(t, n));
    x_flags(t, X86_CC_LOGIC, 1, r, IR_NONE, IR_NONE);
    x_set_reg(t, 0, 2, false, x2(t, OP_OR, x2(t, OP_SHL, q, xk(t, 8)), r));
}

void x86_tr_aad(struct x86_tr *t)
{
    ir_id ah = ir_bits(t->b, OP_EXTRACT, t->w, xt(t), XR_GPR0, 8, 8);
    ir_id r = x2(t, OP_ADD, x2(t, OP_MUL, ah, xk(t, (uint64_t)t->i.imm & 0xff)), XR_GPR0);

    r = x_zx(t, r, 1);
    x_flags(t, X86_CC_LOGIC, 1, r, IR_NONE, IR_NONE);
    x_set_reg(t, 0, 2, false, r);
}
