/*
 * translate.c - MIPS to IR: the block loop, decoding of one unit, and what all translators share.
 *
 * The bodies are in translate-*.c by topic, named in mips.def and mips16.def. How each instruction behaves
 * follows MD00086/MD00087; how blocks are formed follows isa/isa.h.
 *
 * GPRs are used as operands and destinations directly: a translator writes its destination slot last,
 * after everything that can fault. 32-bit operations of 64-bit models are done on I64 cells and
 * sign-extended, as the registers always hold sign-extended words then.
 */
#include "isa/mips/decode.h"

ir_id tr_gpr(const struct mips_tr *t, unsigned n)
{
    return n ? (ir_id)(MS_GPR0 + n) : ir_const(t->b, t->w, 0);
}

uint64_t tr_addr(const struct mips_tr *t, uint64_t va)
{
    if (!t->is64) return (uint32_t)va;
    return t->key & MK_ADDR64 ? va : (uint64_t)(int64_t)(int32_t)va;
}

static void call_raise(struct mips_tr *t, unsigned code, unsigned sub)
{
    ir_call(t->b, MH_RAISE, T_I32, IR_NONE, ir_c32(t->b, code), ir_c32(t->b, sub), IR_NONE);
}

void tr_raise_code(struct mips_tr *t, unsigned code, unsigned sub)
{
    call_raise(t, code, sub);
    t->exit = IR_EXIT_MODE; /* never reached, but the block must end */
}

void tr_raise_if(struct mips_tr *t, enum ir_type type, enum ir_cond cc, ir_id a, ir_id b, unsigned code, unsigned sub)
{
    unsigned ok = ir_label(t->b);
    ir_brl(t->b, type, ir_cond_inverse[cc], a, b, ok);
    call_raise(t, code, sub);
    ir_place(t->b, ok);
}

/* Splits the fields that sit at the same place in every 32-bit instruction. */
static void split(struct mips_tr *t)
{
    t->rs = t->insn >> 21 & 31;
    t->rt = t->insn >> 16 & 31;
    t->rd = t->insn >> 11 & 31;
    t->sa = t->insn >> 6 & 31;
    t->imm = (int16_t)t->insn;
}

/* May the instruction run in this mode? Raises otherwise. */
static bool usable(struct mips_tr *t)
{
    uint32_t f = t->def->flags;

    if (f & MF_CP0 && !(t->key & MK_CP0)) {
        tr_raise_code(t, ME_CPU, 0);
        return false;
    }
    if (f & MF_CP1 && t->user && !(t->key & MK_CP1)) {
        tr_raise_code(t, ME_CPU, 1);
        return false;
    }
    if (f & MF_CP1 && !t->user && !t->cp1) {
        tr_raise_if(t, T_I32, CC_TZ, MS_STATUS, ir_c32(t->b, 1u << 29 /* CU1 */), ME_CPU, 1);
        t->cp1 = true; /* writes of Status end the block */
    }
    if ((f & MF_64 && !(t->key & MK_64)) ||
        /* MIPS IV processors have an enable bit for COP1X; later ones do without */
        (f & MF_COP1X && !(t->levels & (ML_32 | MIPS_5)) && !(t->key & (MK_CP3 | MK_USERLAND)))) {
        tr_raise_code(t, ME_RI, 0);
        return false;
    }
    return true;
}

bool tr_one(struct mips_tr *t)
{
    int line = mips_decode(t->insn, t->levels);

    split(t);
    if (line < 0) {
        tr_raise_code(t, ME_RI, 0);
        return false;
    }
    t->def = &mips_insns[line];
    t->arg = t->def->arg;
    if (t->in_slot && t->def->flags & MF_BR) {
        tr_raise_code(t, ME_RI, 0); /* UNPREDICTABLE: a branch in a delay slot */
        return false;
    }
    if (!usable(t)) return false;
    mips_translators[line](t);
    return true;
}

static uint32_t word(const struct mips_tr *t, const uint8_t *p) { return t->be ? ld32_be(p) : ld32_le(p); }

int tr_peek_slot(struct mips_tr *t, uint64_t pc, uint32_t *insn)
{
    uint8_t buf[4];

    if (!ir_fetch(t->b, pc, 4, buf)) return -1;
    *insn = word(t, buf);
    return mips_decode(*insn, t->levels);
}

bool tr_delay_slot(struct mips_tr *t, uint64_t pc)
{
    struct mips_tr saved = *t;
    uint8_t buf[4];

    t->in_slot = true;
    t->branch_pc = t->pc;
    t->pc = pc;
    if (t->m16) {
        tr16_slot(t);
    } else {
        ir_insn(t->b, pc, 4, MI_DS | IR_INSN_CONT);
        if (!ir_fetch(t->b, pc, 4, buf)) {
            ir_fetch_fault(t->b, pc);
        } else {
            t->insn = word(t, buf);
            t->len = 4;
            tr_one(t);
        }
    }
    saved.exit = t->exit;
    *t = saved;
    if (t->b->ended) t->done = true;
    return !t->done;
}

/* One 32-bit instruction, or a branch and its slot. False: the block is complete. */
static bool unit(struct mips_tr *t)
{
    uint8_t buf[4];

    if (!ir_insn(t->b, t->pc, 4, 0)) {
        if (!t->b->ended) ir_goto(t->b, ir_link(t->b, t->pc, t->key, IR_HINT_NONE));
        return false;
    }
    if (!ir_fetch(t->b, t->pc, 4, buf)) {
        ir_fetch_fault(t->b, t->pc);
        return false;
    }
    t->insn = word(t, buf);
    t->len = 4;
    tr_one(t);
    return true;
}

void mips_translate(struct ir_builder *b)
{
    struct mips_tr t = { .b = b, .m = mips_cpu(b->cpu), .key = b->blk.key, .exit = -1 };

    t.levels = t.m->model->isa;
    t.is64 = t.m->is64;
    t.w = t.is64 ? T_I64 : T_I32;
    t.be = t.key & MK_BE;
    t.fr = t.key & MK_FR;
    t.user = t.key & MK_USERLAND;
    t.m16 = t.key & MK_M16;
    t.mmu = (t.key & MK_MMU_MASK) >> MK_MMU_SHIFT;
    t.pc = tr_addr(&t, b->blk.pc);

    if (t.pc & (t.m16 ? 1 : 3)) {
        /* A misaligned fetch is an address error on load at pc, so it is a load. */
        if (!ir_insn(b, t.pc, 4, t.m16 ? MI_M16 : 0)) return;
        ir_ld(b, T_I32, ir_temp(b, T_I32), tr_k(&t, t.pc), 0, IR_M32 | IR_MALIGN, t.mmu);
        ir_exit(b, IR_EXIT_MODE, t.pc);
        return;
    }
    for (;;) {
        if (!(t.m16 ? tr16_unit(&t) : unit(&t)) || t.done) return;
        t.pc = tr_addr(&t, t.pc + t.len);
        if (t.exit >= 0) {
            ir_exit(b, (enum ir_exit)t.exit, t.pc);
            return;
        }
    }
}
