/*
 * translate-integer.c - MIPS to IR: arithmetic, logic, shifts, multiplication, bit fields, traps.
 * Follows MD00086/MD00087, chapter "Alphabetical list of instructions".
 *
 * On 64-bit models a 32-bit operation reads sign-extended words (anything else is UNPREDICTABLE) and
 * leaves one: the I64 operation followed by SX32, or a bit-field op that does both.
 */
#include "isa/mips/decode.h"

/* Finishes a 32-bit result that was computed in d (a slot or temp). */
static void sext32(struct mips_tr *t, ir_id d)
{
    if (t->is64) ir_op1(t->b, OP_SX32, T_I64, d, d);
}

/* ---- two registers ---- */
void tr_alu32(struct mips_tr *t)
{
    if (!t->rd) return;
    if (t->arg == OP_ADD && (!t->rt || !t->rs)) { /* move */
        ir_op1(t->b, t->is64 ? OP_SX32 : OP_MOV, t->w, t->rd, tr_gpr(t, t->rs | t->rt));
        return;
    }
    ir_op2(t->b, (enum ir_opcode)t->arg, t->w, t->rd, tr_gpr(t, t->rs), tr_gpr(t, t->rt));
    sext32(t, t->rd);
}

void tr_alu64(struct mips_tr *t)
{
    if (!t->rd) return;
    if (!t->rt) ir_mov(t->b, T_I64, t->rd, tr_gpr(t, t->rs));
    else ir_op2(t->b, (enum ir_opcode)t->arg, T_I64, t->rd, tr_gpr(t, t->rs), tr_gpr(t, t->rt));
}

void tr_logic(struct mips_tr *t)
{
    if (!t->rd) return;
    if ((t->arg == OP_OR || t->arg == OP_XOR) && (!t->rt || !t->rs)) {
        ir_mov(t->b, t->w, t->rd, tr_gpr(t, t->rs | t->rt));
    } else if (t->arg == OP_NOR && !t->rt) {
        ir_op1(t->b, OP_NOT, t->w, t->rd, tr_gpr(t, t->rs));
    } else {
        ir_op2(t->b, (enum ir_opcode)t->arg, t->w, t->rd, tr_gpr(t, t->rs), tr_gpr(t, t->rt));
    }
}

void tr_slt(struct mips_tr *t)
{
    if (t->rd) ir_setc(t->b, t->w, (enum ir_cond)t->arg, t->rd, tr_gpr(t, t->rs), tr_gpr(t, t->rt));
}

void tr_movz(struct mips_tr *t)
{
    ir_id rs = tr_gpr(t, t->rs), rt = tr_gpr(t, t->rt);

    if (!t->rd) return;
    if (t->arg) ir_op3(t->b, OP_SELECT, t->w, t->rd, rt, rs, t->rd);
    else ir_op3(t->b, OP_SELECT, t->w, t->rd, rt, t->rd, rs);
}

/* add, addi: arg = immediate */
void tr_add_trap(struct mips_tr *t)
{
    ir_id a = tr_gpr(t, t->rs), b = t->arg ? tr_k(t, (uint64_t)(int64_t)t->imm) : tr_gpr(t, t->rt);
    unsigned d = t->arg ? t->rt : t->rd;

    if (t->is64) {
        ir_id sum = ir_op2(t->b, OP_ADD, T_I64, tr_tmp(t), a, b);
        ir_id word = ir_op1(t->b, OP_SX32, T_I64, tr_tmp(t), sum);
        tr_raise_if(t, T_I64, CC_NE, sum, word, ME_OV, 0);
        if (d) ir_mov(t->b, T_I64, d, word);
    } else {
        ir_id zero = ir_c32(t->b, 0);
        ir_id ov = ir_op3(t->b, OP_ADDOV, T_I32, tr_tmp(t), a, b, zero);
        tr_raise_if(t, T_I32, CC_NE, ov, zero, ME_OV, 0);
        if (d) ir_op2(t->b, OP_ADD, T_I32, d, a, b);
    }
}

void tr_sub_trap(struct mips_tr *t)
{
    ir_id a = tr_gpr(t, t->rs), b = tr_gpr(t, t->rt);

    if (t->is64) {
        ir_id dif = ir_op2(t->b, OP_SUB, T_I64, tr_tmp(t), a, b);
        ir_id word = ir_op1(t->b, OP_SX32, T_I64, tr_tmp(t), dif);
        tr_raise_if(t, T_I64, CC_NE, dif, word, ME_OV, 0);
        if (t->rd) ir_mov(t->b, T_I64, t->rd, word);
    } else {
        ir_id zero = ir_c32(t->b, 0);
        ir_id ov = ir_op3(t->b, OP_SUBOV, T_I32, tr_tmp(t), a, b, zero);
        tr_raise_if(t, T_I32, CC_NE, ov, zero, ME_OV, 0);
        if (t->rd) ir_op2(t->b, OP_SUB, T_I32, t->rd, a, b);
    }
}

/* dadd, daddi: arg = immediate */
void tr_dadd_trap(struct mips_tr *t)
{
    ir_id a = tr_gpr(t, t->rs), b = t->arg ? tr_k(t, (uint64_t)(int64_t)t->imm) : tr_gpr(t, t->rt);
    ir_id zero = ir_c64(t->b, 0);
    ir_id ov = ir_op3(t->b, OP_ADDOV, T_I64, tr_tmp(t), a, b, zero);
    unsigned d = t->arg ? t->rt : t->rd;

    tr_raise_if(t, T_I64, CC_NE, ov, zero, ME_OV, 0);
    if (d) ir_op2(t->b, OP_ADD, T_I64, d, a, b);
}

void tr_dsub_trap(struct mips_tr *t)
{
    ir_id a = tr_gpr(t, t->rs), b = tr_gpr(t, t->rt), zero = ir_c64(t->b, 0);
    ir_id ov = ir_op3(t->b, OP_SUBOV, T_I64, tr_tmp(t), a, b, zero);

    tr_raise_if(t, T_I64, CC_NE, ov, zero, ME_OV, 0);
    if (t->rd) ir_op2(t->b, OP_SUB, T_I64, t->rd, a, b);
}

/* ---- immediates ---- */
void tr_addiu(struct mips_tr *t)
{
    uint64_t imm = (uint64_t)(int64_t)t->imm;

    if (!t->rt) return;
    if (!t->rs) {
        ir_mov(t->b, t->w, t->rt, tr_k(t, imm));
    } else if (!imm) {
        ir_op1(t->b, t->is64 ? OP_SX32 : OP_MOV, t->w, t->rt, tr_gpr(t, t->rs));
    } else {
        ir_op2(t->b, OP_ADD, t->w, t->rt, tr_gpr(t, t->rs), tr_k(t, imm));
        sext32(t, t->rt);
    }
}

void tr_daddiu(struct mips_tr *t)
{
    uint64_t imm = (uint64_t)(int64_t)t->imm;

    if (!t->rt) return;
    if (!t->rs) ir_mov(t->b, T_I64, t->rt, tr_k(t, imm));
    else if (!imm) ir_mov(t->b, T_I64, t->rt, tr_gpr(t, t->rs));
    else ir_op2(t->b, OP_ADD, T_I64, t->rt, tr_gpr(t, t->rs), tr_k(t, imm));
}

void tr_slti(struct mips_tr *t)
{
    /* sltiu, too, compares with the sign-extended immediate */
    if (t->rt)
        ir_setc(t->b, t->w, (enum ir_cond)t->arg, t->rt, tr_gpr(t, t->rs), tr_k(t, (uint64_t)(int64_t)t->imm));
}

void tr_logic_imm(struct mips_tr *t)
{
    uint32_t imm = (uint16_t)t->imm;

    if (!t->rt) return;
    if (!t->rs) ir_mov(t->b, t->w, t->rt, tr_k(t, t->arg == OP_AND ? 0 : imm));
    else ir_op2(t->b, (enum ir_opcode)t->arg, t->w, t->rt, tr_gpr(t, t->rs), tr_k(t, imm));
}

void tr_lui(struct mips_tr *t)
{
    if (t->rt) ir_mov(t->b, t->w, t->rt, tr_k(t, (uint64_t)((int64_t)t->imm * 65536)));
}

/* ---- shifts ---- */
void tr_shift_imm(struct mips_tr *t)
{
    unsigned n = t->sa, d = t->rd;
    ir_id a = tr_gpr(t, t->rt);

    if (!d) return;
    if (!t->is64) {
        if (!n) ir_mov(t->b, T_I32, d, a);
        else ir_op2(t->b, (enum ir_opcode)t->arg, T_I32, d, a, ir_c32(t->b, n));
        return;
    }
    if (!n) {
        ir_op1(t->b, OP_SX32, T_I64, d, a);
        return;
    }
    switch (t->arg) {
    case OP_SHL:
        ir_op2(t->b, OP_SHL, T_I64, d, a, ir_c64(t->b, n));
        ir_op1(t->b, OP_SX32, T_I64, d, d);
        break;
    case OP_SHR: ir_bits(t->b, OP_EXTRACT, T_I64, d, a, n, 32 - n); break;
    case OP_SAR: ir_bits(t->b, OP_SEXTRACT, T_I64, d, a, n, 32 - n); break;
    default: { /* rotate: the word twice, one above the other */
        ir_id two = ir_deposit(t->b, T_I64, tr_tmp(t), a, a, 32, 32);
        ir_bits(t->b, OP_SEXTRACT, T_I64, d, two, n, 32);
    }
    }
}

void tr_shift_var(struct mips_tr *t)
{
    ir_id a = tr_gpr(t, t->rt), n;
    unsigned d = t->rd;

    if (!d) return;
    n = ir_op2(t->b, OP_AND, t->w, tr_tmp(t), tr_gpr(t, t->rs), tr_k(t, 31));
    if (t->is64 && t->arg == OP_SHR) a = ir_op1(t->b, OP_ZX32, T_I64, tr_tmp(t), a);
    if (t->is64 && t->arg == OP_SAR) a = ir_op1(t->b, OP_SX32, T_I64, tr_tmp(t), a);
    if (t->is64 && t->arg == OP_ROTR) {
        a = ir_deposit(t->b, T_I64, tr_tmp(t), a, a, 32, 32);
        a = ir_op2(t->b, OP_SHR, T_I64, tr_tmp(t), a, n);
        ir_op1(t->b, OP_SX32, T_I64, d, a);
        return;
    }
    ir_op2(t->b, (enum ir_opcode)t->arg, t->w, d, a, n);
    if (t->arg != OP_SAR) sext32(t, d);
}

void tr_dshift_imm(struct mips_tr *t)
{
    unsigned n = t->sa + (t->arg & 0x10000 ? 32 : 0);
    ir_id a = tr_gpr(t, t->rt);

    if (!t->rd) return;
    if (!n) ir_mov(t->b, T_I64, t->rd, a);
    else ir_op2(t->b, (enum ir_opcode)(t->arg & 0xffff), T_I64, t->rd, a, ir_c64(t->b, n));
}

void tr_dshift_var(struct mips_tr *t)
{
    if (!t->rd) return;
    ir_id n = ir_op2(t->b, OP_AND, T_I64, tr_tmp(t), tr_gpr(t, t->rs), ir_c64(t->b, 63));
    ir_op2(t->b, (enum ir_opcode)t->arg, T_I64, t->rd, tr_gpr(t, t->rt), n);
}

/* ---- multiplication and division ---- */
void tr_mfhilo(struct mips_tr *t)
{
    if (t->rd) ir_mov(t->b, t->w, t->rd, (ir_id)t->arg);
}

void tr_mthilo(struct mips_tr *t) { ir_mov(t->b, t->w, (ir_id)t->arg, tr_gpr(t, t->rs)); }

/* A word operand as an exact 64-bit number (64-bit models). */
static ir_id wide(struct mips_tr *t, unsigned reg, bool is_signed)
{
    return ir_op1(t->b, is_signed ? OP_SX32 : OP_ZX32, T_I64, ir_temp(t->b, T_I64), tr_gpr(t, reg));
}

/* arg: signed */
void tr_mult(struct mips_tr *t)
{
    if (t->is64) {
        ir_id p = ir_op2(t->b, OP_MUL, T_I64, tr_tmp(t), wide(t, t->rs, t->arg), wide(t, t->rt, t->arg));
        ir_op1(t->b, OP_SX32, T_I64, MS_LO, p);
        ir_op2(t->b, OP_SAR, T_I64, MS_HI, p, ir_c64(t->b, 32));
    } else {
        ir_id a = tr_gpr(t, t->rs), b = tr_gpr(t, t->rt);
        ir_op2(t->b, OP_MUL, T_I32, MS_LO, a, b);
        ir_op2(t->b, t->arg ? OP_MULHS : OP_MULHU, T_I32, MS_HI, a, b);
    }
}

/* Division by zero is UNPREDICTABLE: whatever the IR gives, 0 and the dividend. */
void tr_div(struct mips_tr *t)
{
    ir_id a, b;

    if (t->is64) a = wide(t, t->rs, t->arg), b = wide(t, t->rt, t->arg);
    else a = tr_gpr(t, t->rs), b = tr_gpr(t, t->rt);
    ir_op2(t->b, t->arg ? OP_DIVS : OP_DIVU, t->w, MS_LO, a, b);
    ir_op2(t->b, t->arg ? OP_REMS : OP_REMU, t->w, MS_HI, a, b);
    sext32(t, MS_LO);
    sext32(t, MS_HI);
}

void tr_dmult(struct mips_tr *t)
{
    ir_id a = tr_gpr(t, t->rs), b = tr_gpr(t, t->rt);

    ir_op2(t->b, OP_MUL, T_I64, MS_LO, a, b);
    ir_op2(t->b, t->arg ? OP_MULHS : OP_MULHU, T_I64, MS_HI, a, b);
}

void tr_ddiv(struct mips_tr *t)
{
    ir_id a = tr_gpr(t, t->rs), b = tr_gpr(t, t->rt);

    ir_op2(t->b, t->arg ? OP_DIVS : OP_DIVU, T_I64, MS_LO, a, b);
    ir_op2(t->b, t->arg ? OP_REMS : OP_REMU, T_I64, MS_HI, a, b);
}

/* arg: 1 signed, 2 subtract */
void tr_madd(struct mips_tr *t)
{
    struct ir_builder *b = t->b;
    ir_id acc = ir_temp(b, T_I64), p = ir_temp(b, T_I64), x, y;

    if (t->is64) {
        x = wide(t, t->rs, t->arg & 1), y = wide(t, t->rt, t->arg & 1);
        ir_op1(b, OP_ZX32, T_I64, acc, MS_LO);
        ir_deposit(b, T_I64, acc, acc, MS_HI, 32, 32);
    } else {
        enum ir_opcode widen = t->arg & 1 ? OP_SXW : OP_ZXW;
        x = ir_conv(b, widen, ir_temp(b, T_I64), tr_gpr(t, t->rs));
        y = ir_conv(b, widen, ir_temp(b, T_I64), tr_gpr(t, t->rt));
        ir_op2(b, OP_CONCAT, T_I64, acc, MS_LO, MS_HI);
    }
    ir_op2(b, OP_MUL, T_I64, p, x, y);
    ir_op2(b, t->arg & 2 ? OP_SUB : OP_ADD, T_I64, acc, acc, p);
    if (t->is64) {
        ir_op1(b, OP_SX32, T_I64, MS_LO, acc);
        ir_op2(b, OP_SAR, T_I64, MS_HI, acc, ir_c64(b, 32));
    } else {
        ir_conv(b, OP_LO, MS_LO, acc);
        ir_conv(b, OP_HI, MS_HI, acc);
    }
}

/* ---- counting, extending, swapping, bit fields ---- */
/* arg: count ones */
void tr_clz(struct mips_tr *t)
{
    ir_id a = tr_gpr(t, t->rs);

    if (!t->rd) return;
    if (t->arg) a = ir_op1(t->b, OP_NOT, t->w, tr_tmp(t), a);
    if (t->is64) {
        a = ir_op1(t->b, OP_ZX32, T_I64, tr_tmp(t), a);
        a = ir_op1(t->b, OP_CLZ, T_I64, tr_tmp(t), a);
        ir_op2(t->b, OP_SUB, T_I64, t->rd, a, ir_c64(t->b, 32));
    } else {
        ir_op1(t->b, OP_CLZ, T_I32, t->rd, a);
    }
}

void tr_dclz(struct mips_tr *t)
{
    ir_id a = tr_gpr(t, t->rs);

    if (!t->rd) return;
    if (t->arg) a = ir_op1(t->b, OP_NOT, T_I64, tr_tmp(t), a);
    ir_op1(t->b, OP_CLZ, T_I64, t->rd, a);
}

void tr_sext(struct mips_tr *t)
{
    if (t->rd) ir_op1(t->b, (enum ir_opcode)t->arg, t->w, t->rd, tr_gpr(t, t->rt));
}

void tr_wsbh(struct mips_tr *t)
{
    if (!t->rd) return;
    ir_op1(t->b, OP_BSWAP16X, t->w, t->rd, tr_gpr(t, t->rt));
    sext32(t, t->rd);
}

/* arg: dshd. Halfwords in reverse order = all bytes reversed, then those of each halfword. */
void tr_dsbh(struct mips_tr *t)
{
    if (!t->rd) return;
    ir_op1(t->b, OP_BSWAP16X, T_I64, t->rd, tr_gpr(t, t->rt));
    if (t->arg) ir_op1(t->b, OP_BSWAP, T_I64, t->rd, t->rd);
}

/* A field of len bits at pos; len is 0 or the field too wide when the encoding is UNPREDICTABLE. */
static bool field_ok(const struct mips_tr *t, int pos, int len, int width)
{
    (void)t;
    return len > 0 && pos + len <= width;
}

void tr_ext(struct mips_tr *t)
{
    int pos = t->sa, len = t->rd + 1;

    if (!t->rt) return;
    if (!field_ok(t, pos, len, 32)) len = 32 - pos; /* UNPREDICTABLE */
    /* a whole word stays sign-extended */
    ir_bits(t->b, t->is64 && len == 32 ? OP_SEXTRACT : OP_EXTRACT, t->w, t->rt, tr_gpr(t, t->rs), (unsigned)pos,
            (unsigned)len);
}

/* arg: 1 dextm (size + 32), 2 dextu (position + 32) */
void tr_dext(struct mips_tr *t)
{
    int pos = t->sa + (t->arg == 2 ? 32 : 0), len = t->rd + 1 + (t->arg == 1 ? 32 : 0);

    if (!t->rt) return;
    if (!field_ok(t, pos, len, 64)) len = 64 - pos;
    ir_bits(t->b, OP_EXTRACT, T_I64, t->rt, tr_gpr(t, t->rs), (unsigned)pos, (unsigned)len);
}

void tr_ins(struct mips_tr *t)
{
    int pos = t->sa, len = t->rd - t->sa + 1;

    if (!t->rt || !field_ok(t, pos, len, 32)) return;
    ir_deposit(t->b, t->w, t->rt, t->rt, tr_gpr(t, t->rs), (unsigned)pos, (unsigned)len);
    if (pos + len == 32) sext32(t, t->rt);
}

/* arg: 1 dinsm (msb + 32), 2 dinsu (both + 32) */
void tr_dins(struct mips_tr *t)
{
    int pos = t->sa + (t->arg == 2 ? 32 : 0), len = t->rd + (t->arg ? 32 : 0) - pos + 1;

    if (!t->rt || !field_ok(t, pos, len, 64)) return;
    ir_deposit(t->b, T_I64, t->rt, t->rt, tr_gpr(t, t->rs), (unsigned)pos, (unsigned)len);
}

/* ---- traps, breaks ---- */
void tr_raise(struct mips_tr *t)
{
    tr_raise_code(t, (unsigned)t->arg, t->insn >> 6 & 0xfffff);
}

static void trap(struct mips_tr *t, ir_id b, unsigned code)
{
    tr_raise_if(t, t->w, (enum ir_cond)t->arg, tr_gpr(t, t->rs), b, ME_TR, code);
}

void tr_trap(struct mips_tr *t) { trap(t, tr_gpr(t, t->rt), t->insn >> 6 & 0x3ff); }
void tr_trap_imm(struct mips_tr *t) { trap(t, tr_k(t, (uint64_t)(int64_t)t->imm), 0); }

void tr_nop(struct mips_tr *t) { (void)t; }
