/*
 * translate-cp0.c - MIPS to IR: privileged instructions, RDHWR, WAIT.
 * Follows MD00090/MD00091 (privileged resource architecture). The registers behind the helpers are
 * in cp0.c; privilege was checked before (MF_CP0).
 */
#include "isa/mips/decode.h"

enum { CP0_RANDOM = 1 << 3, CP0_COUNT = 9 << 3 };

/* arg: 1 = doubleword */
void tr_mfc0(struct mips_tr *t)
{
    unsigned reg = (unsigned)t->rd << 3 | (t->insn & 7);
    ir_id v = ir_call(t->b, t->arg ? MH_DMFC0 : MH_MFC0, t->w, tr_tmp(t), ir_c32(t->b, reg), IR_NONE, IR_NONE);

    if (t->rt) ir_op1(t->b, t->is64 && !t->arg ? OP_SX32 : OP_MOV, t->w, t->rt, v);
    if (reg == CP0_COUNT || reg == CP0_RANDOM) t->exit = IR_EXIT_IRQ; /* reads time */
}

void tr_mtc0(struct mips_tr *t)
{
    unsigned reg = (unsigned)t->rd << 3 | (t->insn & 7);
    ir_id v = tr_gpr(t, t->rt);

    if (!t->is64) v = ir_conv(t->b, OP_SXW, ir_temp(t->b, T_I64), v);
    else if (!t->arg) v = ir_op1(t->b, OP_SX32, T_I64, tr_tmp(t), v);
    if (mips_cp0_quiet(reg)) {
        ir_call(t->b, t->arg ? MH_DMTC0_QUIET : MH_MTC0_QUIET, T_I32, IR_NONE, ir_c32(t->b, reg), v, IR_NONE);
        return;
    }
    ir_call(t->b, t->arg ? MH_DMTC0 : MH_MTC0, T_I32, IR_NONE, ir_c32(t->b, reg), v, IR_NONE);
    t->exit = IR_EXIT_IRQ;
}

/* There are no shadow sets (SRSCtl.HSS = 0): moves. */
void tr_pgpr(struct mips_tr *t)
{
    if (t->rd) ir_mov(t->b, t->w, t->rd, tr_gpr(t, t->rt));
}

/* arg: helper */
void tr_di(struct mips_tr *t)
{
    ir_id v = ir_call(t->b, (unsigned)t->arg, t->w, tr_tmp(t), IR_NONE, IR_NONE, IR_NONE);

    if (t->rt) ir_op1(t->b, t->is64 ? OP_SX32 : OP_MOV, t->w, t->rt, v);
    t->exit = IR_EXIT_IRQ;
}

void tr_tlb(struct mips_tr *t)
{
    ir_call(t->b, (unsigned)t->arg, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE);
    /* The refill handler goes on to its ERET. Code that is mapped itself may have changed its own mapping. */
    bool unmapped = t->key & MK_KERNEL && (uint32_t)t->pc >> 30 == 2 && (!t->is64 || t->pc == (uint64_t)(int64_t)(int32_t)t->pc);
    if (t->arg == MH_TLBR || !unmapped) t->exit = IR_EXIT_MODE;
}

void tr_eret(struct mips_tr *t)
{
    ir_id pc = ir_call(t->b, (unsigned)t->arg, t->w, tr_tmp(t), IR_NONE, IR_NONE, IR_NONE);

    ir_ind(t->b, t->w, pc, IR_HINT_NONE); /* the helper put the mode into the key */
    t->done = true;
}

void tr_wait(struct mips_tr *t)
{
    ir_call(t->b, MH_WAIT, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE);
    t->exit = IR_EXIT_HALT;
}

/* Allowed with CP0 access or when HWREna has the register's bit; the key carries bits 0..3 and 29. */
void tr_rdhwr(struct mips_tr *t)
{
    unsigned n = t->rd;
    bool exists = n <= 3 || n == 29;
    uint32_t bit = n == 29 ? MK_HWR_ULR : 1u << (MK_HWRENA_SHIFT + (n & 3));

    if (!exists || !(t->key & (bit | MK_CP0))) {
        tr_raise_code(t, ME_RI, 0);
        return;
    }
    if (n == 29) {
        if (t->rt) ir_mov(t->b, t->w, t->rt, MS_ULOCAL);
        return;
    }
    ir_id v = ir_call(t->b, MH_RDHWR, t->w, tr_tmp(t), ir_c32(t->b, n), IR_NONE, IR_NONE);
    if (t->rt) ir_op1(t->b, t->is64 ? OP_SX32 : OP_MOV, t->w, t->rt, v);
    if (n == 2) t->exit = IR_EXIT_IRQ; /* reads time */
}

/* Debug mode is the processor's business; a Linux program gets what the kernel makes of it. */
void tr_sdbbp(struct mips_tr *t) { tr_raise_code(t, t->user ? ME_RI : ME_DBP, 0); }

/* arg: coprocessor number */
void tr_cop_unusable(struct mips_tr *t) { tr_raise_code(t, ME_CPU, (unsigned)t->arg); }
