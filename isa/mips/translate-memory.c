/*
 * translate-memory.c - MIPS to IR: loads and stores, unaligned halves, LL/SC, SYNC, CACHE.
 * Follows MD00086/MD00087.
 *
 * Linux repairs unaligned accesses of user programs (2, 4 and 8 bytes, the FPU's too), so in user mode
 * these work at any address; LL and SC never do.
 */
#include "isa/mips/decode.h"

unsigned tr_mem(const struct mips_tr *t, unsigned size)
{
    return size | (t->be ? IR_MBE : 0) | (t->user ? 0 : IR_MALIGN);
}

struct tr_ea tr_ea(struct mips_tr *t, ir_id base, int disp)
{
    struct ir_builder *b = t->b;

    if (!t->is64 || t->key & MK_ADDR64) return (struct tr_ea){ base, disp };
    /* 32-bit addressing on a 64-bit model: the sum is sign-extended from bit 31. Registers hold
     * sign-extended words already. In user mode all of memory is below 2 GiB: a wrapping I32 sum does. */
    if (t->user) return (struct tr_ea){ ir_conv(b, OP_LO, ir_temp(b, T_I32), base), disp };
    if (!disp) return (struct tr_ea){ base, 0 };
    ir_id sum = ir_op2(b, OP_ADD, T_I64, tr_tmp(t), base, tr_k(t, (uint64_t)(int64_t)disp));
    return (struct tr_ea){ ir_op1(b, OP_SX32, T_I64, sum, sum), 0 };
}

static struct tr_ea ea(struct mips_tr *t) { return tr_ea(t, tr_gpr(t, t->rs), t->imm); }

/* arg: IR_M* size and sign */
void tr_load(struct mips_tr *t)
{
    struct tr_ea e = ea(t);

    ir_ld(t->b, t->w, t->rt ? t->rt : tr_tmp(t), e.base, e.disp, tr_mem(t, (unsigned)t->arg), t->mmu);
}

void tr_store(struct mips_tr *t)
{
    struct tr_ea e = ea(t);

    ir_st(t->b, t->w, tr_gpr(t, t->rt), e.base, e.disp, tr_mem(t, (unsigned)t->arg), t->mmu);
}

/* The effective address as a value. */
static ir_id address(struct mips_tr *t, enum ir_type *type)
{
    struct tr_ea e = ea(t);

    *type = t->is64 && t->user && !(t->key & MK_ADDR64) ? T_I32 : t->w;
    if (!e.disp) return e.base;
    return ir_op2(t->b, OP_ADD, *type, ir_temp(t->b, *type), e.base,
                  ir_const(t->b, *type, (uint64_t)(int64_t)e.disp));
}

/* Converts between an address cell and a GPR-sized cell. */
static ir_id as_gpr(struct mips_tr *t, enum ir_type from, ir_id x)
{
    return from == t->w ? x : ir_conv(t->b, OP_ZXW, tr_tmp(t), x);
}

/*
 * lwl, lwr, ldl, ldr. With n = the number of the byte in its aligned word, counted from the end that the
 * register's most significant byte comes from:
 *   left:  the word is shifted up by 8*n and replaces all but the n lowest bytes of the register
 *   right: the word is shifted down and replaces all but the n highest bytes
 * Reading the whole aligned word faults exactly where reading the bytes would.
 */
void tr_load_part(struct mips_tr *t)
{
    struct ir_builder *b = t->b;
    bool left = t->arg & MP_LEFT, d = t->arg & MP_D;
    enum ir_type at, ct = d ? T_I64 : T_I32;
    ir_id addr = address(t, &at), word, shift, old, mask;
    unsigned bytes = d ? 8 : 4;

    ir_id aligned = ir_op2(b, OP_AND, at, ir_temp(b, at), addr, ir_const(b, at, ~(uint64_t)(bytes - 1)));
    word = ir_ld(b, ct, ir_temp(b, ct), aligned, 0, (d ? IR_M64 : IR_M32) | (t->be ? IR_MBE : 0), t->mmu);
    if (!t->rt) return;
    shift = ir_op2(b, OP_SHL, at, ir_temp(b, at), addr, ir_const(b, at, 3));
    if (left != t->be) shift = ir_op1(b, OP_NOT, at, shift, shift);
    shift = ir_op2(b, OP_AND, at, shift, shift, ir_const(b, at, 8 * (bytes - 1)));
    if (at != ct) shift = ir_conv(b, ct == T_I32 ? OP_LO : OP_ZXW, ir_temp(b, ct), shift);
    old = t->rt;
    if (t->is64 && !d) old = ir_conv(b, OP_LO, ir_temp(b, T_I32), old);
    word = ir_op2(b, left ? OP_SHL : OP_SHR, ct, word, word, shift);
    mask = ir_op2(b, left ? OP_SHL : OP_SHR, ct, ir_temp(b, ct), ir_const(b, ct, ~(uint64_t)0), shift);
    mask = ir_op2(b, OP_ANDC, ct, mask, old, mask);
    if (ct == t->w) ir_op2(b, OP_OR, ct, t->rt, mask, word);
    else ir_conv(b, OP_SXW, t->rt, ir_op2(b, OP_OR, ct, mask, mask, word));
}

/*
 * swl, swr, sdl, sdr: byte stores from the addressed byte towards the end of the aligned word, in the
 * direction in which significance falls (left, from the top byte) or grows (right, from the bottom one).
 * All bytes lie in one aligned word, so if one faults the first does.
 */
void tr_store_part(struct mips_tr *t)
{
    struct ir_builder *b = t->b;
    bool left = t->arg & MP_LEFT, d = t->arg & MP_D, up = left == t->be;
    enum ir_type at;
    ir_id addr = address(t, &at), v = tr_gpr(t, t->rt), pos;
    unsigned bytes = d ? 8 : 4, end = ir_label(b);

    pos = ir_op2(b, OP_AND, at, ir_temp(b, at), addr, ir_const(b, at, bytes - 1));
    for (unsigned i = 0; i < bytes; i++) {
        unsigned shift = 8 * (left ? bytes - 1 - i : i);
        if (i) ir_brl(b, at, CC_EQ, pos, ir_const(b, at, up ? bytes - i : i - 1), end);
        ir_id byte = shift ? ir_op2(b, OP_SHR, t->w, tr_tmp(t), v, tr_k(t, shift)) : v;
        ir_st(b, t->w, byte, addr, up ? (int)i : -(int)i, IR_M8, t->mmu);
    }
    ir_place(b, end);
}

/*
 * LL notes address and value; SC stores if the address is the same and memory still holds the value
 * (compare and swap). A store of the same value in between goes unnoticed, which programs cannot rely on
 * either way. arg: 1 = doubleword.
 */
void tr_ll(struct mips_tr *t)
{
    struct ir_builder *b = t->b;
    enum ir_type at, ct = t->arg ? T_I64 : t->w;
    ir_id addr = address(t, &at), v = ir_temp(b, ct);

    ir_ld(b, ct, v, addr, 0, (t->arg ? IR_M64 : IR_M32 | IR_MS) | IR_MALIGN | (t->be ? IR_MBE : 0), t->mmu);
    ir_mov(b, t->w, MS_LLADDR, as_gpr(t, at, addr));
    if (ct == T_I64) ir_mov(b, T_I64, MS_LLVAL, v);
    else ir_conv(b, OP_ZXW, MS_LLVAL, v);
    if (t->rt) ir_mov(b, t->w, t->rt, v);
}

void tr_sc(struct mips_tr *t)
{
    struct ir_builder *b = t->b;
    enum ir_type at, ct = t->arg ? T_I64 : T_I32;
    unsigned mem = (t->arg ? IR_M64 : IR_M32) | IR_MALIGN | (t->be ? IR_MBE : 0);
    unsigned differs = ir_label(b), end = ir_label(b);
    ir_id addr = address(t, &at), expect = MS_LLVAL, v = tr_gpr(t, t->rt), old = ir_temp(b, ct);
    ir_id none = tr_k(t, ~(uint64_t)0);

    ir_brl(b, t->w, CC_NE, MS_LLADDR, as_gpr(t, at, addr), differs);
    if (ct == T_I32) {
        expect = ir_conv(b, OP_LO, ir_temp(b, T_I32), expect);
        if (t->is64) v = ir_conv(b, OP_LO, ir_temp(b, T_I32), v);
    }
    ir_cas(b, ct, old, addr, expect, v, mem, t->mmu);
    ir_mov(b, t->w, MS_LLADDR, none);
    if (t->rt && ct == t->w) {
        ir_setc(b, ct, CC_EQ, t->rt, old, expect);
    } else if (t->rt) {
        ir_setc(b, ct, CC_EQ, old, old, expect);
        ir_conv(b, OP_ZXW, t->rt, old);
    }
    ir_br(b, end);
    ir_place(b, differs);
    /* A misaligned address faults all the same; the store is reached in that case only. */
    unsigned aligned = ir_label(b);
    ir_brl(b, at, CC_TZ, addr, ir_const(b, at, t->arg ? 7 : 3), aligned);
    ir_st(b, t->w, tr_gpr(t, t->rt), addr, 0, mem, t->mmu);
    ir_place(b, aligned);
    ir_mov(b, t->w, MS_LLADDR, none);
    if (t->rt) ir_mov(b, t->w, t->rt, tr_k(t, 0));
    ir_place(b, end);
}

void tr_sync(struct mips_tr *t) { ir_fence(t->b); }

/* Code is kept coherent by the engine, so cache operations have nothing to do; a write to code that
 * is running takes effect at the next block. Only in user mode a page may be written through another mapping unseen. */
void tr_synci(struct mips_tr *t)
{
    if (t->user) {
        enum ir_type type;
        ir_id va = address(t, &type);
        ir_call(t->b, MH_SYNCI, T_I32, IR_NONE, va, IR_NONE, IR_NONE);
    }
    t->exit = IR_EXIT_MODE;
}
void tr_cache(struct mips_tr *t) { (void)t; }
