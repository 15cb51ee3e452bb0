/*
 * translate-fpu.c - MIPS to IR: coprocessor 1 and COP1X.
 * Follows MD00086/MD00087 and volume I-A, chapter "FPU programming model".
 *
 * Registers are 32 I64 slots. With FR=1 each holds a double or, in its low half, a word or single. With
 * FR=0 the even slots hold doubles, and single 2k+1 is the high half of slot 2k. What a single leaves in
 * the other half is kept.
 *
 * Arithmetic is IR floating-point ops; when FCSR enables traps (MK_FPSLOW) it is the FP_SLOW helper, which
 * raises before anything is written. Multiply-add is unfused: two roundings, as before release 6.
 */
#include "isa/mips/decode.h"

enum { FS = 1, FT = 2, FD = 4, FR = 8, NEEDS_FR = 16 }; /* operands, for doubles_ok */

static unsigned fs(const struct mips_tr *t) { return t->rd; }
static unsigned ft(const struct mips_tr *t) { return t->rt; }
static unsigned fd(const struct mips_tr *t) { return t->sa; }

/* 64-bit operands need even registers when FR=0; odd ones are reserved, and the format L (NEEDS_FR) is, too. Raises
 * then. */
static bool doubles_ok(struct mips_tr *t, unsigned which)
{
    if (t->fr) return true;
    if ((which & FS && fs(t) & 1) || (which & FT && ft(t) & 1) || (which & FD && fd(t) & 1) ||
        (which & FR && t->rs & 1) || which & NEEDS_FR) {
        tr_raise_code(t, ME_RI, 0);
        return false;
    }
    return true;
}

static ir_id get64(unsigned r) { return (ir_id)(MS_FPR0 + r); }

static ir_id get32(struct mips_tr *t, unsigned r)
{
    bool high = !t->fr && r & 1;
    return ir_conv(t->b, high ? OP_HI : OP_LO, ir_temp(t->b, T_I32), get64(high ? r - 1 : r));
}

/* v: I64 cell whose low half is the value */
static void set32_wide(struct mips_tr *t, unsigned r, ir_id v)
{
    ir_id slot = get64(!t->fr ? r & ~1u : r);
    ir_deposit(t->b, T_I64, slot, slot, v, !t->fr && r & 1 ? 32 : 0, 32);
}

static void set32(struct mips_tr *t, unsigned r, ir_id v)
{
    set32_wide(t, r, ir_conv(t->b, OP_ZXW, ir_temp(t->b, T_I64), v));
}

/* By format: operand of an F32 or F64 op, and where its result goes. */
static enum ir_type fmt(const struct mips_tr *t) { return t->arg & MFMT_D ? T_I64 : T_I32; }
static ir_id get(struct mips_tr *t, unsigned r) { return t->arg & MFMT_D ? get64(r) : get32(t, r); }

static ir_id dest(struct mips_tr *t, enum ir_type type, unsigned r)
{
    return type == T_I64 ? get64(r) : ir_temp(t->b, T_I32);
}

static void put(struct mips_tr *t, enum ir_type type, unsigned r, ir_id v)
{
    if (type == T_I32) set32(t, r, v);
    else ir_mov(t->b, T_I64, get64(r), v);
}

/* ---- arithmetic through the IR or through the helper that traps ---- */
static ir_id slow(struct mips_tr *t, unsigned op, enum ir_type in, unsigned aux, enum ir_type out, ir_id d, ir_id a, ir_id b)
{
    return ir_call(t->b, MH_FP_SLOW, out, d, ir_c32(t->b, op | (unsigned)in << 16 | aux << 24), a, b);
}

static ir_id arith2(struct mips_tr *t, enum ir_opcode op, ir_id d, ir_id a, ir_id b)
{
    if (t->key & MK_FPSLOW) return slow(t, op, fmt(t), 0, fmt(t), d, a, b);
    return ir_op2(t->b, op, fmt(t), d, a, b);
}

static ir_id arith1(struct mips_tr *t, enum ir_opcode op, ir_id d, ir_id a)
{
    if (t->key & MK_FPSLOW) return slow(t, op, fmt(t), 0, fmt(t), d, a, IR_NONE);
    return ir_op1(t->b, op, fmt(t), d, a);
}

void tr_fp2(struct mips_tr *t)
{
    enum ir_type f = fmt(t);
    enum ir_opcode op = (enum ir_opcode)(t->arg & 0xfff);

    if (f == T_I64 && !doubles_ok(t, FS | FT | FD)) return;
    ir_id a = get(t, fs(t)), b = fs(t) == ft(t) ? a : get(t, ft(t));
    put(t, f, fd(t), arith2(t, op, dest(t, f, fd(t)), a, b));
}

void tr_fsqrt(struct mips_tr *t)
{
    enum ir_type f = fmt(t);

    if (f == T_I64 && !doubles_ok(t, FS | FD)) return;
    put(t, f, fd(t), arith1(t, OP_FSQRT, dest(t, f, fd(t)), get(t, fs(t))));
}

static ir_id one(struct mips_tr *t)
{
    return ir_const(t->b, fmt(t), fmt(t) == T_I64 ? 0x3ff0000000000000u : 0x3f800000u);
}

/* recip, rsqrt (arg 1): correctly rounded here; the architecture asks for less */
void tr_recip(struct mips_tr *t)
{
    enum ir_type f = fmt(t);

    if (f == T_I64 && !doubles_ok(t, FS | FD)) return;
    ir_id a = get(t, fs(t));
    if (t->arg & 1) a = arith1(t, OP_FSQRT, ir_temp(t->b, f), a);
    put(t, f, fd(t), arith2(t, OP_FDIV, dest(t, f, fd(t)), one(t), a));
}

static ir_id sign_bit(struct mips_tr *t)
{
    return ir_const(t->b, fmt(t), fmt(t) == T_I64 ? (uint64_t)1 << 63 : (uint64_t)1 << 31);
}

/* arg: 0 abs, 1 neg. With FCSR.ABS2008 the sign bit alone changes; else they are arithmetic, so a NaN stays as
 * it is and a signalling one is invalid. */
void tr_fabs_neg(struct mips_tr *t)
{
    struct ir_builder *b = t->b;
    enum ir_type f = fmt(t);
    unsigned nan = 0, end = 0;
    bool legacy = !(t->m->fcsr & 1u << 19);

    if (f == T_I64 && !doubles_ok(t, FS | FD)) return;
    ir_id a = get(t, fs(t)), d = ir_temp(b, f);
    if (legacy) {
        uint64_t inf2 = f == T_I64 ? (uint64_t)0x7ff << 53 : (uint64_t)0xff << 24;
        ir_id mag = ir_op2(b, OP_SHL, f, d, a, ir_const(b, f, 1));
        nan = ir_label(b), end = ir_label(b);
        ir_brl(b, f, CC_GTU, mag, ir_const(b, f, inf2), nan);
    }
    ir_op2(b, t->arg & 1 ? OP_XOR : OP_ANDC, f, d, a, sign_bit(t));
    if (legacy) {
        ir_br(b, end);
        ir_place(b, nan);
        arith2(t, OP_FADD, d, a, a);
        ir_place(b, end);
    }
    put(t, f, fd(t), d);
}

void tr_fmov(struct mips_tr *t)
{
    if (t->arg & MFMT_D) {
        if (doubles_ok(t, FS | FD)) ir_mov(t->b, T_I64, get64(fd(t)), get64(fs(t)));
    } else if (t->fr || !(fs(t) & 1)) {
        set32_wide(t, fd(t), get64(fs(t)));
    } else {
        set32(t, fd(t), get32(t, fs(t)));
    }
}

/* madd, msub, nmadd, nmsub: arg bit 0 subtracts, bit 1 negates */
void tr_fmadd(struct mips_tr *t)
{
    enum ir_type f = fmt(t);

    if (f == T_I64 && !doubles_ok(t, FS | FT | FD | FR)) return;
    ir_id a = get(t, fs(t)), b = get(t, ft(t)), c = get(t, t->rs);
    ir_id p = arith2(t, OP_FMUL, ir_temp(t->b, f), a, b);
    ir_id d = t->arg & 2 ? ir_temp(t->b, f) : dest(t, f, fd(t));
    arith2(t, t->arg & 1 ? OP_FSUB : OP_FADD, d, p, c);
    if (t->arg & 2) d = ir_op2(t->b, OP_XOR, f, dest(t, f, fd(t)), d, sign_bit(t));
    put(t, f, fd(t), d);
}

/* ---- conversions ---- */
/* arg: OP_* of a conversion to a floating-point format */
void tr_fcvt(struct mips_tr *t)
{
    enum ir_opcode op = (enum ir_opcode)t->arg;
    bool in64 = op == OP_F64_F32 || op == OP_I64_F32 || op == OP_I64_F64;
    enum ir_type out = op == OP_F32_F64 || op == OP_I32_F64 || op == OP_I64_F64 ? T_I64 : T_I32;

    bool from_l = op == OP_I64_F32 || op == OP_I64_F64;
    if (!doubles_ok(t, (in64 ? FS : 0) | (out == T_I64 ? FD : 0) | (from_l ? NEEDS_FR : 0))) return;
    ir_id a = in64 ? get64(fs(t)) : get32(t, fs(t)), d = dest(t, out, fd(t));
    if (t->key & MK_FPSLOW) slow(t, op, in64 ? T_I64 : T_I32, 0, out, d, a, IR_NONE);
    else ir_conv(t->b, op, d, a);
    put(t, out, fd(t), d);
}

/* arg: rounding | MFMT_D (from double) | MFMT_TO_L */
void tr_f2i(struct mips_tr *t)
{
    bool d64 = t->arg & MFMT_D, to_l = t->arg & MFMT_TO_L;
    unsigned round = t->arg & 15;
    enum ir_f2i rule = t->m->fcsr & 1u << 18 ? IR_F2I_SAT_ZERO : IR_F2I_MAX;
    enum ir_opcode op = d64 ? to_l ? OP_F64_I64 : OP_F64_I32 : to_l ? OP_F32_I64 : OP_F32_I32;
    enum ir_type out = to_l ? T_I64 : T_I32;

    if (!doubles_ok(t, (d64 ? FS : 0) | (to_l ? NEEDS_FR : 0))) return;
    ir_id a = get(t, fs(t)), d = dest(t, out, fd(t));
    if (t->key & MK_FPSLOW) slow(t, op, fmt(t), round | (unsigned)rule << 4, out, d, a, IR_NONE);
    else ir_f2i(t->b, op, d, a, round, rule);
    put(t, out, fd(t), d);
}

/* ---- compares and what depends on them ---- */
/* arg: the condition field: unordered, equal, less, signalling from bit 0 up */
void tr_fcmp(struct mips_tr *t)
{
    unsigned cond = t->arg & 15, cc = t->sa >> 2;
    unsigned rel = (cond & 1 ? IR_REL_UN : 0) | (cond & 2 ? IR_REL_EQ : 0) | (cond & 4 ? IR_REL_LT : 0) |
                   (cond & 8 ? IR_REL_SIGNAL : 0);

    if (fmt(t) == T_I64 && !doubles_ok(t, FS | FT)) return;
    ir_id a = get(t, fs(t)), b = get(t, ft(t)), d = ir_temp(t->b, T_I32);
    if (t->key & MK_FPSLOW) slow(t, OP_FCMP, fmt(t), rel, T_I32, d, a, b);
    else ir_fcmp(t->b, fmt(t), rel, d, a, b);
    ir_deposit(t->b, T_I32, MS_FCC, MS_FCC, d, cc, 1);
}

/* Condition code cc as a cell of the type, nonzero when set. */
static ir_id fcc(struct mips_tr *t, enum ir_type type, unsigned cc)
{
    ir_id c = ir_op2(t->b, OP_AND, T_I32, ir_temp(t->b, T_I32), MS_FCC, ir_c32(t->b, 1u << cc));
    return type == T_I32 ? c : ir_conv(t->b, OP_ZXW, ir_temp(t->b, T_I64), c);
}

/* movf, movt (arg 1) on GPRs */
void tr_movf(struct mips_tr *t)
{
    ir_id rs = tr_gpr(t, t->rs);

    if (!t->rd) return;
    ir_id c = fcc(t, t->w, t->rt >> 2);
    if (t->arg) ir_op3(t->b, OP_SELECT, t->w, t->rd, c, rs, t->rd);
    else ir_op3(t->b, OP_SELECT, t->w, t->rd, c, t->rd, rs);
}

/* fd = c is nonzero == sense ? fs : fd; c has the format's type */
static void fselect(struct mips_tr *t, ir_id c, bool sense)
{
    enum ir_type f = fmt(t);
    ir_id a = get(t, fs(t)), old = get(t, fd(t)), d = dest(t, f, fd(t));

    if (sense) ir_op3(t->b, OP_SELECT, f, d, c, a, old);
    else ir_op3(t->b, OP_SELECT, f, d, c, old, a);
    put(t, f, fd(t), d);
}

void tr_fmovf(struct mips_tr *t)
{
    if (fmt(t) == T_I64 && !doubles_ok(t, FS | FD)) return;
    fselect(t, fcc(t, fmt(t), t->rt >> 2), t->arg & 1);
}

void tr_fmovz(struct mips_tr *t)
{
    ir_id c = tr_gpr(t, t->rt);

    if (fmt(t) == T_I64 && !doubles_ok(t, FS | FD)) return;
    if (fmt(t) != t->w) {
        c = tr_tmp(t);
        ir_setc(t->b, t->w, CC_NE, c, tr_gpr(t, t->rt), tr_k(t, 0));
        c = ir_conv(t->b, t->is64 ? OP_LO : OP_ZXW, ir_temp(t->b, fmt(t)), c);
    }
    fselect(t, c, t->arg & 1);
}

/* ---- moves to and from GPRs: arg 0 word, 1 doubleword, 2 high half ---- */
void tr_mfc1(struct mips_tr *t)
{
    unsigned r = fs(t);

    if (t->arg && !doubles_ok(t, FS)) return;
    if (!t->rt) return;
    if (t->arg == 1) {
        ir_mov(t->b, T_I64, t->rt, get64(r));
        return;
    }
    bool high = t->arg == 2 || (!t->fr && r & 1);
    ir_id slot = get64(!t->fr ? r & ~1u : r);
    if (!t->is64) ir_conv(t->b, high ? OP_HI : OP_LO, t->rt, slot);
    else if (high) ir_op2(t->b, OP_SAR, T_I64, t->rt, slot, ir_c64(t->b, 32));
    else ir_op1(t->b, OP_SX32, T_I64, t->rt, slot);
}

void tr_mtc1(struct mips_tr *t)
{
    ir_id v = tr_gpr(t, t->rt);

    if (t->arg && !doubles_ok(t, FS)) return;
    if (t->arg == 1) {
        ir_mov(t->b, T_I64, get64(fs(t)), v);
        return;
    }
    if (!t->is64) v = ir_conv(t->b, OP_ZXW, ir_temp(t->b, T_I64), v);
    if (t->arg == 2) ir_deposit(t->b, T_I64, get64(fs(t)), get64(fs(t)), v, 32, 32);
    else set32_wide(t, fs(t), v);
}

void tr_cfc1(struct mips_tr *t)
{
    ir_id v = ir_call(t->b, MH_CFC1, t->w, tr_tmp(t), ir_c32(t->b, fs(t)), IR_NONE, IR_NONE);
    if (t->rt) ir_op1(t->b, t->is64 ? OP_SX32 : OP_MOV, t->w, t->rt, v);
}

/* The control register may select another mode: the block ends. */
void tr_ctc1(struct mips_tr *t)
{
    ir_call(t->b, MH_CTC1, T_I32, IR_NONE, ir_c32(t->b, fs(t)), tr_gpr(t, t->rt), IR_NONE);
    t->exit = IR_EXIT_MODE;
}

/* ---- loads and stores ---- */
static void load32(struct mips_tr *t, unsigned r, struct tr_ea e)
{
    set32_wide(t, r, ir_ld(t->b, T_I64, ir_temp(t->b, T_I64), e.base, e.disp, tr_mem(t, IR_M32), t->mmu));
}

static void store32(struct mips_tr *t, unsigned r, struct tr_ea e)
{
    if (t->fr || !(r & 1)) ir_st(t->b, T_I64, get64(r), e.base, e.disp, tr_mem(t, IR_M32), t->mmu);
    else ir_st(t->b, T_I32, get32(t, r), e.base, e.disp, tr_mem(t, IR_M32), t->mmu);
}

static struct tr_ea ea(struct mips_tr *t) { return tr_ea(t, tr_gpr(t, t->rs), t->imm); }

void tr_lwc1(struct mips_tr *t) { load32(t, t->rt, ea(t)); }
void tr_swc1(struct mips_tr *t) { store32(t, t->rt, ea(t)); }

void tr_ldc1(struct mips_tr *t)
{
    if (!doubles_ok(t, FT)) return;
    struct tr_ea e = ea(t);
    ir_ld(t->b, T_I64, get64(t->rt), e.base, e.disp, tr_mem(t, IR_M64), t->mmu);
}

void tr_sdc1(struct mips_tr *t)
{
    if (!doubles_ok(t, FT)) return;
    struct tr_ea e = ea(t);
    ir_st(t->b, T_I64, get64(t->rt), e.base, e.disp, tr_mem(t, IR_M64), t->mmu);
}

/* Indexed forms. unaligned: luxc1 and suxc1 drop the address's low bits. */
static struct tr_ea indexed(struct mips_tr *t, bool unaligned)
{
    struct ir_builder *b = t->b;
    ir_id sum = tr_gpr(t, t->rs);

    if (t->rt) sum = ir_op2(b, OP_ADD, t->w, tr_tmp(t), sum, tr_gpr(t, t->rt));
    if (unaligned) sum = ir_op2(b, OP_AND, t->w, tr_tmp(t), sum, tr_k(t, ~(uint64_t)7));
    if (t->is64 && !(t->key & MK_ADDR64) && !t->user) sum = ir_op1(b, OP_SX32, T_I64, tr_tmp(t), sum);
    return tr_ea(t, sum, 0);
}

void tr_lwxc1(struct mips_tr *t) { load32(t, fd(t), indexed(t, false)); }
void tr_swxc1(struct mips_tr *t) { store32(t, fs(t), indexed(t, false)); }

void tr_ldxc1(struct mips_tr *t)
{
    if (!doubles_ok(t, FD | (t->arg ? NEEDS_FR : 0))) return;
    struct tr_ea e = indexed(t, t->arg);
    ir_ld(t->b, T_I64, get64(fd(t)), e.base, e.disp, tr_mem(t, IR_M64), t->mmu);
}

void tr_sdxc1(struct mips_tr *t)
{
    if (!doubles_ok(t, FS | (t->arg ? NEEDS_FR : 0))) return;
    struct tr_ea e = indexed(t, t->arg);
    ir_st(t->b, T_I64, get64(fs(t)), e.base, e.disp, tr_mem(t, IR_M64), t->mmu);
}
