/*
 * translate-branch.c - MIPS to IR: branches, jumps and their delay slots.
 *
 * A branch and its delay slot are one unit. The condition's or target's registers are read after the slot
 * ran, straight from their slots, unless the slot's instruction writes one of them (known from the
 * table): then the old value is kept in a temp. Not-taken forward branches do not end the block.
 */
#include "isa/mips/decode.h"

struct cond {
    enum ir_type type;
    enum ir_cond cc;
    ir_id a, b;
};

/* The slot that the delay slot's instruction writes and a branch may read: a GPR, MS_FCC, or IR_NONE. */
static ir_id slot_writes(struct mips_tr *t)
{
    uint32_t insn, f;
    int line = tr_peek_slot(t, tr_addr(t, t->pc + t->len), &insn);

    if (line < 0) return IR_NONE;
    f = mips_insns[line].flags;
    if (f & MF_FCC) return MS_FCC;
    if (f & MF_RT && (insn >> 16 & 31)) return (ir_id)(MS_GPR0 + (insn >> 16 & 31));
    if (f & MF_RD && (insn >> 11 & 31)) return (ir_id)(MS_GPR0 + (insn >> 11 & 31));
    return IR_NONE;
}

static ir_id keep(struct mips_tr *t, enum ir_type type, ir_id x)
{
    return ir_mov(t->b, type, ir_temp(t->b, type), x);
}

/* Ends the block towards pc. The unit's instructions may have asked for an exit instead of a link. */
static void leave(struct mips_tr *t, uint64_t pc, uint64_t key, unsigned hint)
{
    if (t->exit >= 0) ir_exit(t->b, (enum ir_exit)t->exit, pc);
    else ir_goto(t->b, ir_link(t->b, pc, key, hint));
    t->done = true;
}

static void jump_to(struct mips_tr *t, uint64_t target, unsigned hint)
{
    if (tr_delay_slot(t, tr_addr(t, t->pc + t->len))) leave(t, target, t->key, hint);
}

/* A branch that reads the register it links in is UNPREDICTABLE, since it could not be run again when its slot faults. Ours
 * can: the register is written behind the slot. w: what slot_writes() said. */
static void link_late(struct mips_tr *t, unsigned reg, ir_id w)
{
    if (w != (ir_id)(MS_GPR0 + reg)) ir_mov(t->b, t->w, (ir_id)(MS_GPR0 + reg), tr_k(t, tr_addr(t, t->pc + 8)));
}

/* bits as for branch(); the register compared is the link register. */
static void branch_late(struct mips_tr *t, struct cond c, uint64_t target, unsigned bits)
{
    uint64_t slot = tr_addr(t, t->pc + 4), fall = tr_addr(t, t->pc + 8);
    ir_id w = slot_writes(t);
    unsigned taken = ir_label(t->b);

    c.a = keep(t, c.type, c.a);
    if (bits & MB_LIKELY) {
        ir_brl(t->b, c.type, c.cc, c.a, c.b, taken);
        link_late(t, 31, IR_NONE);
        ir_goto(t->b, ir_link(t->b, fall, t->key, IR_HINT_NONE));
        ir_place(t->b, taken);
    }
    if (!tr_delay_slot(t, slot)) return;
    link_late(t, 31, w);
    if (!(bits & MB_LIKELY)) {
        ir_brl(t->b, c.type, c.cc, c.a, c.b, taken);
        leave(t, fall, t->key, IR_HINT_NONE);
        ir_place(t->b, taken);
    }
    leave(t, target, t->key, IR_HINT_CALL);
}

/* bits: MB_LIKELY, MB_LINK */
static void branch(struct mips_tr *t, struct cond c, uint64_t target, unsigned bits)
{
    uint64_t slot = tr_addr(t, t->pc + 4), fall = tr_addr(t, t->pc + 8);
    unsigned hint = bits & MB_LINK ? IR_HINT_CALL : IR_HINT_NONE;

    target = tr_addr(t, target);
    if (bits & MB_LINK && c.a == MS_GPR0 + 31) {
        branch_late(t, c, target, bits);
        return;
    }
    if (bits & MB_LINK) ir_mov(t->b, t->w, MS_GPR0 + 31, tr_k(t, fall));
    if (c.a == c.b) { /* beq x, x; bgez zero */
        if (c.cc == CC_EQ || c.cc == CC_GES || c.cc == CC_LES) {
            jump_to(t, target, hint);
        } else {
            if (!(bits & MB_LIKELY) && !tr_delay_slot(t, slot)) return;
            t->len = 8;
        }
        return;
    }
    if (bits & MB_LIKELY) {
        ir_brc(t->b, c.type, ir_cond_inverse[c.cc], c.a, c.b, ir_link(t->b, fall, t->key, IR_HINT_NONE));
        jump_to(t, target, hint);
        return;
    }
    ir_id w = slot_writes(t);
    if (w != IR_NONE && w == c.a) c.a = keep(t, c.type, c.a);
    if (w != IR_NONE && w == c.b) c.b = keep(t, c.type, c.b);
    if (!tr_delay_slot(t, slot)) return;
    if (t->exit >= 0) {
        unsigned taken = ir_label(t->b);
        ir_brl(t->b, c.type, c.cc, c.a, c.b, taken);
        ir_exit(t->b, (enum ir_exit)t->exit, fall);
        ir_place(t->b, taken);
        leave(t, target, t->key, hint);
        return;
    }
    ir_brc(t->b, c.type, c.cc, c.a, c.b, ir_link(t->b, target, t->key, hint));
    if (target > t->pc && !(bits & MB_LINK) && t->b->blk.n_links + 3 <= IR_MAX_LINKS) t->len = 8;
    else leave(t, fall, t->key, IR_HINT_NONE);
}

static uint64_t rel_target(const struct mips_tr *t) { return t->pc + 4 + (uint64_t)((int64_t)t->imm * 4); }

/* arg: enum ir_cond | MB_* */
void tr_bcc(struct mips_tr *t)
{
    struct cond c = { t->w, (enum ir_cond)(t->arg & 0xff), tr_gpr(t, t->rs), tr_gpr(t, t->rt) };
    branch(t, c, rel_target(t), (unsigned)t->arg);
}

void tr_bcz(struct mips_tr *t)
{
    struct cond c = { t->w, (enum ir_cond)(t->arg & 0xff), tr_gpr(t, t->rs), tr_gpr(t, 0) };
    branch(t, c, rel_target(t), (unsigned)t->arg);
}

/* arg: 1 branch on true */
void tr_bc1(struct mips_tr *t)
{
    struct cond c = { T_I32, t->arg & 1 ? CC_TNZ : CC_TZ, MS_FCC, ir_c32(t->b, 1u << (t->rt >> 2)) };
    branch(t, c, rel_target(t), (unsigned)t->arg);
}

/* j, jal, jalx (arg 0, 1, 2) */
void tr_jump(struct mips_tr *t)
{
    uint64_t slot = tr_addr(t, t->pc + 4);
    uint64_t target = tr_addr(t, (slot & ~(uint64_t)0xfffffff) | (t->insn & 0x3ffffff) << 2);

    if (t->arg) ir_mov(t->b, t->w, MS_GPR0 + 31, tr_k(t, tr_addr(t, t->pc + 8)));
    if (!tr_delay_slot(t, slot)) return;
    if (t->arg != 2) {
        leave(t, target, t->key, t->arg ? IR_HINT_CALL : IR_HINT_NONE);
        return;
    }
    /* jalx: the key slot changes too, for the case that an exit is asked for */
    ir_op2(t->b, OP_OR, T_I64, MS_KEY, MS_KEY, ir_c64(t->b, MK_M16));
    leave(t, target, t->key | MK_M16, IR_HINT_CALL | IR_HINT_KEYED);
}

void tr_indirect(struct mips_tr *t, ir_id target, unsigned hint)
{
    struct ir_builder *b = t->b;

    t->done = true;
    /* What the slot did (WAIT, a change of interrupt masks) is to be looked at before anything else runs. */
    if (t->exit >= 0) ir_call(b, MH_LEAVE, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE);
    if (!(t->levels & MIPS_16E)) {
        ir_ind(b, t->w, target, hint);
        return;
    }
    /* Bit 0 is the ISA mode; a change of mode is the rare case. */
    unsigned change = ir_label(b);
    ir_id one = tr_k(t, 1), pc = t->m16 ? ir_op2(b, OP_AND, t->w, tr_tmp(t), target, tr_k(t, ~(uint64_t)1)) : target;
    ir_brl(b, t->w, t->m16 ? CC_TZ : CC_TNZ, target, one, change);
    ir_ind(b, t->w, pc, hint);
    ir_place(b, change);
    ir_op2(b, OP_XOR, T_I64, MS_KEY, MS_KEY, ir_c64(b, MK_M16));
    if (!t->m16) pc = ir_op2(b, OP_AND, t->w, tr_tmp(t), target, tr_k(t, ~(uint64_t)1));
    ir_ind(b, t->w, pc, hint);
}

/* jr, jalr (arg 1) */
void tr_jr(struct mips_tr *t)
{
    ir_id target = tr_gpr(t, t->rs);
    uint64_t slot = tr_addr(t, t->pc + 4);
    unsigned hint = t->arg ? IR_HINT_CALL : t->rs == 31 ? IR_HINT_RET : IR_HINT_NONE;
    bool late = t->arg && t->rd && t->rd == t->rs;
    ir_id w = t->rs ? slot_writes(t) : IR_NONE;

    if (late || (t->rs && w == target)) target = keep(t, t->w, target);
    if (t->arg && t->rd && !late) ir_mov(t->b, t->w, t->rd, tr_k(t, tr_addr(t, t->pc + 8)));
    if (!tr_delay_slot(t, slot)) return;
    if (late) link_late(t, t->rd, w);
    tr_indirect(t, target, hint);
}
