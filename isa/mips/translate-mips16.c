/*
 * translate-mips16.c - MIPS16e to IR (32-bit operations), by way of the translators of the 32-bit set: most
 * bodies here only put the operands where those expect them. Follows MD00076.
 *
 * The 64-bit MIPS16e instructions (daddiu, ld, ...) are not built: no model has them; they raise RI.
 */
#include "isa/mips/decode.h"

enum { SP = 29, RA = 31, T8 = 24 };
static const uint8_t xlat[8] = { 16, 17, 2, 3, 4, 5, 6, 7 };

static unsigned rx(const struct mips_tr *t) { return xlat[t->insn >> 8 & 7]; }
static unsigned ry(const struct mips_tr *t) { return xlat[t->insn >> 5 & 7]; }
static unsigned rz(const struct mips_tr *t) { return xlat[t->insn >> 2 & 7]; }

/* An extended instruction is kept whole: the EXTEND halfword in the high half. */
static bool extended(const struct mips_tr *t) { return t->len == 4; }

/* The 16-bit immediate of an extended instruction. */
static int32_t ext_imm(const struct mips_tr *t)
{
    uint32_t e = t->insn >> 16;
    return (int16_t)((e & 0x1f) << 11 | (e & 0x7e0) | (t->insn & 0x1f));
}

/* The immediate: extended, or n bits times 1 << scale, unsigned or signed. */
static int32_t imm_u(const struct mips_tr *t, unsigned n, unsigned scale)
{
    return extended(t) ? ext_imm(t) : (int32_t)((t->insn & ((1u << n) - 1)) << scale);
}
static int32_t imm_s(const struct mips_tr *t, unsigned n, unsigned scale)
{
    if (extended(t)) return ext_imm(t);
    int32_t sign = 1 << (n - 1);
    return (int32_t)((t->insn & ((1u << n) - 1)) ^ (uint32_t)sign) * (1 << scale) - sign * (1 << scale);
}

static void alu_imm(struct mips_tr *t, unsigned d, unsigned s, int32_t imm)
{
    t->rt = (uint8_t)d, t->rs = (uint8_t)s, t->imm = imm;
    tr_addiu(t);
}

void tr16_addiusp(struct mips_tr *t) { alu_imm(t, rx(t), SP, imm_u(t, 8, 2)); }
void tr16_addiu3(struct mips_tr *t)
{
    int32_t imm = (int32_t)((t->insn & 15) ^ 8) - 8;
    if (extended(t)) {
        uint32_t e = t->insn >> 16, v = (e & 15) << 11 | (e & 0x7f0) | (t->insn & 15);
        imm = (int32_t)(v ^ 0x4000) - 0x4000;
    }
    alu_imm(t, ry(t), rx(t), imm);
}
void tr16_addiu8(struct mips_tr *t) { alu_imm(t, rx(t), rx(t), imm_s(t, 8, 0)); }
void tr16_adjsp(struct mips_tr *t) { alu_imm(t, SP, SP, imm_s(t, 8, 3)); }

/* The address that PC-relative instructions count from: their own, or in a delay slot the jump's. */
static uint64_t pc_base(const struct mips_tr *t)
{
    return (t->in_slot ? t->branch_pc : t->pc) & ~(uint64_t)3;
}

void tr16_addiupc(struct mips_tr *t)
{
    uint64_t v = pc_base(t) + (uint64_t)(int64_t)imm_u(t, 8, 2);
    ir_mov(t->b, t->w, rx(t), tr_k(t, (uint64_t)(int64_t)(int32_t)v));
}

void tr16_li(struct mips_tr *t)
{
    ir_mov(t->b, t->w, rx(t), tr_k(t, (uint32_t)imm_u(t, 8, 0) & 0xffff));
}

void tr16_cmpi(struct mips_tr *t)
{
    ir_op2(t->b, OP_XOR, t->w, T8, tr_gpr(t, rx(t)), tr_k(t, (uint32_t)imm_u(t, 8, 0) & 0xffff));
}

void tr16_slti(struct mips_tr *t)
{
    t->rt = T8, t->rs = (uint8_t)rx(t), t->imm = imm_u(t, 8, 0);
    tr_slti(t);
}

void tr16_shift(struct mips_tr *t)
{
    unsigned n = t->insn >> 2 & 7;
    t->rd = (uint8_t)rx(t), t->rt = (uint8_t)ry(t);
    t->sa = (uint8_t)(extended(t) ? t->insn >> 22 & 31 : n ? n : 8);
    tr_shift_imm(t);
}

void tr16_shiftv(struct mips_tr *t)
{
    t->rd = t->rt = (uint8_t)ry(t), t->rs = (uint8_t)rx(t);
    tr_shift_var(t);
}

void tr16_mov32r(struct mips_tr *t)
{
    unsigned r32 = (t->insn >> 5 & 7) | (t->insn & 0x18);
    if (r32) ir_mov(t->b, t->w, r32, tr_gpr(t, xlat[t->insn & 7]));
}
void tr16_movr32(struct mips_tr *t) { ir_mov(t->b, t->w, ry(t), tr_gpr(t, t->insn & 31)); }

/* Operands d = s op u for the 32-bit set's bodies. */
static void three(struct mips_tr *t, unsigned d, unsigned s, unsigned u)
{
    t->rd = (uint8_t)d, t->rs = (uint8_t)s, t->rt = (uint8_t)u;
}

void tr16_alu3(struct mips_tr *t) { three(t, rz(t), rx(t), ry(t)), tr_alu32(t); }
void tr16_slt(struct mips_tr *t) { three(t, T8, rx(t), ry(t)), tr_slt(t); }
void tr16_cmp(struct mips_tr *t) { three(t, T8, rx(t), ry(t)), t->arg = OP_XOR, tr_logic(t); }
void tr16_neg(struct mips_tr *t) { three(t, rx(t), 0, ry(t)), t->arg = OP_SUB, tr_alu32(t); }
void tr16_not(struct mips_tr *t) { three(t, rx(t), ry(t), 0), t->arg = OP_NOR, tr_logic(t); }
void tr16_logic(struct mips_tr *t) { three(t, rx(t), rx(t), ry(t)), tr_logic(t); }
void tr16_mult(struct mips_tr *t) { three(t, 0, rx(t), ry(t)), tr_mult(t); }
void tr16_div(struct mips_tr *t) { three(t, 0, rx(t), ry(t)), tr_div(t); }
void tr16_mfhilo(struct mips_tr *t) { t->rd = (uint8_t)rx(t), tr_mfhilo(t); }
void tr16_extend(struct mips_tr *t)
{
    ir_op1(t->b, (enum ir_opcode)t->arg, t->w, rx(t), tr_gpr(t, rx(t)));
}
void tr16_sdbbp(struct mips_tr *t) { tr_sdbbp(t); }
void tr16_raise(struct mips_tr *t) { tr_raise_code(t, (unsigned)t->arg, t->insn >> 5 & 0x3f); }

/* ---- memory ---- */
static void mem(struct mips_tr *t, bool store, unsigned kind, unsigned r, unsigned base, int32_t imm)
{
    t->rt = (uint8_t)r, t->rs = (uint8_t)base, t->imm = imm, t->arg = (int)kind;
    if (store) tr_store(t);
    else tr_load(t);
}

void tr16_load(struct mips_tr *t)
{
    mem(t, false, (unsigned)t->arg, ry(t), rx(t), imm_u(t, 5, t->arg & IR_MSIZE));
}
void tr16_store(struct mips_tr *t)
{
    mem(t, true, (unsigned)t->arg, ry(t), rx(t), imm_u(t, 5, t->arg & IR_MSIZE));
}
void tr16_lwsp(struct mips_tr *t) { mem(t, false, IR_M32 | IR_MS, rx(t), SP, imm_u(t, 8, 2)); }
void tr16_swsp(struct mips_tr *t) { mem(t, true, IR_M32, rx(t), SP, imm_u(t, 8, 2)); }
void tr16_swrasp(struct mips_tr *t) { mem(t, true, IR_M32, RA, SP, imm_u(t, 8, 2)); }

void tr16_lwpc(struct mips_tr *t)
{
    uint64_t va = tr_addr(t, pc_base(t) + (uint64_t)(int64_t)imm_u(t, 8, 2));
    ir_ld(t->b, t->w, rx(t), tr_k(t, va), 0, tr_mem(t, IR_M32 | IR_MS), t->mmu);
}

/* save and restore: arg 1 = save. Registers lie below the frame's top in a fixed order; extended forms
 * also name s2..s8 and which of a0..a3 are arguments (kept in the caller's area) or statics. */
void tr16_save(struct mips_tr *t)
{
    static const uint8_t n_args[16] = { 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 0, 3, 3, 4, 0 };
    static const uint8_t n_statics[16] = { 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 4, 0, 1, 0, 0 };
    static const uint8_t xs[7] = { 18, 19, 20, 21, 22, 23, 30 };
    uint32_t e = extended(t) ? t->insn >> 16 : 0;
    unsigned aregs = e & 15, xsregs = e >> 8 & 7, size = (e & 0xf0) | (t->insn & 15), n = 0;
    uint8_t list[16];
    bool save = t->arg;

    size = !extended(t) && !size ? 128 : size * 8;
    if (aregs == 15) {
        tr_raise_code(t, ME_RI, 0);
        return;
    }
    if (t->insn & 0x40) list[n++] = RA;
    for (unsigned i = xsregs; i-- > 0;) list[n++] = xs[i];
    if (t->insn & 0x10) list[n++] = 17;
    if (t->insn & 0x20) list[n++] = 16;
    for (unsigned i = 0; i < n_statics[aregs]; i++) list[n++] = (uint8_t)(7 - i);
    int top = save ? 0 : (int)size;
    if (save) {
        for (unsigned i = 0; i < n_args[aregs]; i++) mem(t, true, IR_M32, 4 + i, SP, (int)(4 * i));
    }
    for (unsigned i = 0; i < n; i++) {
        mem(t, save, save ? IR_M32 : IR_M32 | IR_MS, list[i], SP, top - 4 * (int)(i + 1));
    }
    alu_imm(t, SP, SP, save ? -(int)size : (int)size);
}

/* ---- branches: none but jal, jalr and jr has a delay slot ---- */
static void leave(struct mips_tr *t, uint64_t pc, uint64_t key, unsigned hint)
{
    if (t->exit >= 0) ir_exit(t->b, (enum ir_exit)t->exit, pc);
    else ir_goto(t->b, ir_link(t->b, pc, key, hint));
    t->done = true;
}

static uint64_t target(struct mips_tr *t, unsigned n)
{
    return tr_addr(t, t->pc + t->len + (uint64_t)((int64_t)(extended(t) ? ext_imm(t) : imm_s(t, n, 0)) * 2));
}

void tr16_branch(struct mips_tr *t) { leave(t, target(t, 11), t->key, IR_HINT_NONE); }

static void branch_zero(struct mips_tr *t, unsigned r)
{
    ir_brc(t->b, t->w, (enum ir_cond)t->arg, tr_gpr(t, r), tr_k(t, 0),
           ir_link(t->b, target(t, 8), t->key, IR_HINT_NONE));
    leave(t, tr_addr(t, t->pc + t->len), t->key, IR_HINT_NONE);
}
void tr16_bz(struct mips_tr *t) { branch_zero(t, rx(t)); }
void tr16_bt(struct mips_tr *t) { branch_zero(t, T8); }

/* arg: jalx */
void tr16_jal(struct mips_tr *t)
{
    uint32_t high = t->insn >> 16, index = (high & 0x1f) << 21 | (high & 0x3e0) << 11 | (t->insn & 0xffff);
    uint64_t slot = tr_addr(t, t->pc + 4), dest = tr_addr(t, (slot & ~(uint64_t)0xfffffff) | index << 2);

    ir_mov(t->b, t->w, RA, tr_k(t, tr_addr(t, t->pc + 6) | 1));
    bool exchange = t->arg;
    if (!tr_delay_slot(t, slot)) return;
    if (exchange) ir_op2(t->b, OP_AND, T_I64, MS_KEY, MS_KEY, ir_c64(t->b, ~(uint64_t)MK_M16));
    leave(t, dest, exchange ? t->key & ~(uint64_t)MK_M16 : t->key, IR_HINT_CALL | (exchange ? IR_HINT_KEYED : 0));
}

void tr16_jr(struct mips_tr *t)
{
    unsigned r = (t->insn >> 5 & 1) ? RA : rx(t), bits = (unsigned)t->arg;
    unsigned hint = bits & MB_LINK ? IR_HINT_CALL : r == RA ? IR_HINT_RET : IR_HINT_NONE;
    ir_id to = ir_mov(t->b, t->w, tr_tmp(t), tr_gpr(t, r));
    uint64_t next = tr_addr(t, t->pc + 2);

    if (bits & MB_LINK) {
        ir_mov(t->b, t->w, RA, tr_k(t, (bits & MB_COMPACT ? next : tr_addr(t, t->pc + 4)) | 1));
    }
    if (!(bits & MB_COMPACT) && !tr_delay_slot(t, next)) return;
    tr_indirect(t, to, hint);
}

/* ---- decoding ---- */
static uint32_t half(const struct mips_tr *t, const uint8_t *p) { return t->be ? ld16_be(p) : ld16_le(p); }
static bool is_extend(uint32_t h) { return h >> 11 == 0x1e; }
static bool is_jal(uint32_t h) { return h >> 11 == 3; }

static void one(struct mips_tr *t)
{
    bool jal = t->len == 4 && is_jal(t->insn >> 16);
    int line = mips16_decode(jal ? t->insn : t->insn & 0xffff);

    if (line >= 0) {
        t->def = &mips_insns[line];
        t->arg = t->def->arg;
    }
    /* Reserved: unknown, an EXTEND in front of what can't be extended, a branch or EXTEND in a delay slot. */
    if (line < 0 || (t->len == 4 && !jal && !(t->def->flags & MF_EXT)) ||
        (t->in_slot && (t->len == 4 || t->def->flags & MF_BR))) {
        tr_raise_code(t, ME_RI, 0);
        return;
    }
    mips_translators[line](t);
}

bool tr16_unit(struct mips_tr *t)
{
    struct ir_builder *b = t->b;
    uint8_t buf[4];
    bool fetched = false;

    t->len = 2;
    /* The length decides nothing about whether the block goes on, but ir_insn wants it. */
    if (!((t->pc ^ b->blk.pc) & CPU_PAGE_MASK) || !b->blk.n_insns) {
        fetched = ir_fetch(b, t->pc, 2, buf);
        if (fetched) {
            t->insn = half(t, buf);
            if (is_extend(t->insn) || is_jal(t->insn)) t->len = 4;
        }
    }
    if (!ir_insn(b, t->pc, t->len, MI_M16)) {
        if (!b->ended) ir_goto(b, ir_link(b, t->pc, t->key, IR_HINT_NONE));
        return false;
    }
    if (!fetched) {
        ir_fetch_fault(b, t->pc);
        return false;
    }
    if (t->len == 4) {
        if (!ir_fetch(b, t->pc + 2, 2, buf + 2)) {
            ir_fetch_fault(b, tr_addr(t, t->pc + 2));
            return false;
        }
        t->insn = t->insn << 16 | half(t, buf + 2);
    }
    one(t);
    return true;
}

void tr16_slot(struct mips_tr *t)
{
    struct ir_builder *b = t->b;
    uint8_t buf[2];

    ir_insn(b, t->pc, 2, MI_M16 | IR_INSN_CONT | (t->len == 4 ? MI_DS : MI_DS2));
    if (!ir_fetch(b, t->pc, 2, buf)) {
        ir_fetch_fault(b, t->pc);
        return;
    }
    t->insn = half(t, buf);
    t->len = is_extend(t->insn) || is_jal(t->insn) ? 4 : 2;
    if (t->len == 4) t->insn <<= 16;
    one(t);
}
