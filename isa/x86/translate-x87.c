/*
 * translate-x87.c - x86 to IR: the x87's control instructions and its state in memory. Arithmetic is not built.
 * Follows the Intel SDM volume 2.
 */
#include "isa/x86/translate.h"

enum { CTRL_INIT, CTRL_GET_CW, CTRL_SET_CW, CTRL_GET_SW, CTRL_CLEAR };

static ir_id control(struct x86_tr *t, unsigned what, ir_id v)
{
    ir_id r = ir_call(t->b, XH_FPU_CTRL, T_I32, ir_temp(t->b, T_I32), ir_c32(t->b, what), v, IR_NONE);
    return t->cells64 ? ir_conv(t->b, OP_ZXW, xt(t), r) : r;
}

void x86_tr_fnstcw(struct x86_tr *t) { x_set(t, 0, control(t, CTRL_GET_CW, IR_NONE)); }
void x86_tr_fnstsw(struct x86_tr *t) { x_set(t, 0, control(t, CTRL_GET_SW, IR_NONE)); }
void x86_tr_fldcw(struct x86_tr *t) { control(t, CTRL_SET_CW, x_get(t, 0)); }
void x86_tr_fnclex(struct x86_tr *t) { control(t, CTRL_CLEAR, IR_NONE); }
void x86_tr_fnop(struct x86_tr *t) { (void)t; }
void x86_tr_fwait(struct x86_tr *t) { (void)t; }

void x86_tr_fninit(struct x86_tr *t)
{
    control(t, CTRL_INIT, IR_NONE);
    t->exit = IR_EXIT_MODE;
}

/* fxsave fxrstor */
void x86_tr_fxsave(struct x86_tr *t)
{
    ir_call(t->b, XH_FXSAVE, T_I32, IR_NONE, x_ea(t), ir_c32(t->b, t->arg), IR_NONE);
    if (t->arg) t->exit = IR_EXIT_MODE;
}
