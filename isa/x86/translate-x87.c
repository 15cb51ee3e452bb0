/*
 * translate-x87.c - x86 to IR: the x87. Arithmetic is in helpers (x87.c), which find the top of the stack at run time; here
 * are memory operands, in the order that faults need: a load before the helper, a store before the flags and the pop.
 * Follows the Intel SDM volume 2.
 */
#include "isa/x86/translate.h"
#include "isa/x86/x87.h"

static uint32_t what(unsigned op, unsigned i, unsigned k, unsigned n) { return op | i << 8 | k << 16 | n << 24; }

static ir_id call(struct x86_tr *t, uint32_t w, ir_id v)
{
    return ir_call(t->b, XH_X87, T_I64, ir_temp(t->b, T_I64), ir_c32(t->b, w), v, IR_NONE);
}

static ir_id call32(struct x86_tr *t, uint32_t w, ir_id v)
{
    return ir_call(t->b, XH_X87, T_I32, ir_temp(t->b, T_I32), ir_c32(t->b, w), v, IR_NONE);
}

static unsigned sti(const struct x86_tr *t) { return t->i.modrm & 7; }
static bool mem_int(const struct x86_tr *t) { return t->i.opcode == 0xda || t->i.opcode == 0xde || t->i.opcode == 0xdb || t->i.opcode == 0xdf; }

static unsigned kind(const struct x86_tr *t)
{
    if (mem_int(t)) return t->size == 2 ? X87_I16 : t->size == 4 ? X87_I32 : X87_I64;
    return t->size == 4 ? X87_F32 : X87_F64;
}

static ir_id load(struct x86_tr *t)
{
    x_address(t);
    return ir_ld(t->b, T_I64, ir_temp(t->b, T_I64), t->ea, t->ea_disp, x_log2(t->size), t->mmu);
}

void x86_tr_farith_mem(struct x86_tr *t)
{
    ir_id v = load(t);
    if ((t->arg & ~1u) == 2) call(t, what(X87_COMPARE_MEM, kind(t), t->arg & 1, 0), v);
    else call(t, what(X87_ARITH_MEM, t->arg, kind(t), 0), v);
}
void x86_tr_farith_int(struct x86_tr *t) { x86_tr_farith_mem(t); }

/* d8: st0 is the result; dc, de: sti. The table's names are those of Intel's: sti - st0 is fsub. */
void x86_tr_farith(struct x86_tr *t) { call(t, what(X87_ARITH, sti(t), t->arg, t->i.opcode == 0xd8 ? 0 : 1), IR_NONE); }
void x86_tr_farithp(struct x86_tr *t) { call(t, what(X87_ARITH, sti(t), t->arg, 3), IR_NONE); }
void x86_tr_fcom(struct x86_tr *t) { call(t, what(X87_COMPARE, t->arg == 2 ? 1 : sti(t), t->arg, 0), IR_NONE); }
void x86_tr_fucom(struct x86_tr *t) { call(t, what(X87_COMPARE, t->arg == 2 ? 1 : sti(t), t->arg, 1), IR_NONE); }
/* arg: 1 quiet, 2 pop */
void x86_tr_fcomi(struct x86_tr *t) { x_flags_set(t, call32(t, what(X87_COMPARE_FLAGS, sti(t), t->arg >> 1, t->arg & 1), IR_NONE)); }

static void m80(struct x86_tr *t, unsigned store)
{
    ir_call(t->b, XH_X87_M80, T_I32, IR_NONE, x_ea(t), ir_c32(t->b, store), IR_NONE);
}

void x86_tr_fld_mem(struct x86_tr *t)
{
    if (t->size == 10) m80(t, 0);
    else call(t, what(X87_LOAD, kind(t), 0, 0), load(t));
}
void x86_tr_fild(struct x86_tr *t) { x86_tr_fld_mem(t); }

static void store(struct x86_tr *t, unsigned kind, bool truncate, unsigned pops)
{
    ir_id v = call(t, what(X87_STORE, kind, truncate, 0), IR_NONE);

    x_address(t);
    ir_st(t->b, T_I64, v, t->ea, t->ea_disp, x_log2(t->size), t->mmu);
    call(t, what(X87_STORED, pops, 0, 0), IR_NONE);
}

void x86_tr_fst_mem(struct x86_tr *t)
{
    if (t->size == 10) m80(t, 1);
    else store(t, kind(t), false, t->arg);
}
void x86_tr_fist(struct x86_tr *t) 
{
    store(t, t->size == 2 ? X87_I16 : t->size == 4 ? X87_I32 : X87_I64, t->arg == 2, t->arg != 0);
}

void x86_tr_fld(struct x86_tr *t) { call(t, what(X87_LOAD_ST, sti(t), 0, 0), IR_NONE); }
void x86_tr_fst(struct x86_tr *t) { call(t, what(X87_STORE_ST, sti(t), t->arg & 1, t->arg >> 1), IR_NONE); }
void x86_tr_fxch(struct x86_tr *t) { call(t, what(X87_EXCHANGE, sti(t), 0, 0), IR_NONE); }
void x86_tr_fldconst(struct x86_tr *t) { call(t, what(X87_CONST, t->arg, 0, 0), IR_NONE); }
void x86_tr_fsign(struct x86_tr *t) { call(t, what(X87_SIGN, t->arg, 0, 0), IR_NONE); }
void x86_tr_ftst(struct x86_tr *t) { call(t, what(X87_TEST, 0, 0, 0), IR_NONE); }
void x86_tr_fxam(struct x86_tr *t) { call(t, what(X87_EXAMINE, 0, 0, 0), IR_NONE); }
void x86_tr_ffree(struct x86_tr *t) { call(t, what(X87_FREE, sti(t), t->arg, 0), IR_NONE); }
void x86_tr_fincstp(struct x86_tr *t) { call(t, what(X87_ROTATE, t->arg ? 7 : 1, 0, 0), IR_NONE); }
void x86_tr_ffunc(struct x86_tr *t) { call(t, what(X87_FUNC, t->arg, 0, 0), IR_NONE); }
void x86_tr_fcmov(struct x86_tr *t) { call(t, what(X87_CMOV, sti(t), 0, 0), x_cond_value(t, t->arg)); }

/* ---- control ---- */

static ir_id in_cell(struct x86_tr *t, ir_id r) { return t->cells64 ? ir_conv(t->b, OP_ZXW, xt(t), r) : r; }

void x86_tr_fnstcw(struct x86_tr *t) { x_set(t, 0, in_cell(t, call32(t, what(X87_GET_CW, 0, 0, 0), IR_NONE))); }
void x86_tr_fnstsw(struct x86_tr *t) { x_set(t, 0, in_cell(t, call32(t, what(X87_GET_SW, 0, 0, 0), IR_NONE))); }
void x86_tr_fldcw(struct x86_tr *t) { call(t, what(X87_SET_CW, 0, 0, 0), x_get(t, 0)); }
void x86_tr_fnclex(struct x86_tr *t) { call(t, what(X87_CLEAR, 0, 0, 0), IR_NONE); }
void x86_tr_fninit(struct x86_tr *t) { call(t, what(X87_INIT, 0, 0, 0), IR_NONE); }
void x86_tr_fwait(struct x86_tr *t)
{
    if (!(t->key & XK_X87)) ir_call(t->b, XH_FWAIT, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE);
    call(t, what(X87_WAIT, 0, 0, 0), IR_NONE);
}
void x86_tr_fnop(struct x86_tr *t)
{
    if (!t->arg) x86_tr_fwait(t);
}

static void environment(struct x86_tr *t, bool regs)
{
    ir_call(t->b, XH_X87_ENV, T_I32, IR_NONE, x_ea(t), ir_c32(t->b, t->arg), ir_c32(t->b, (t->i.osize == 2 ? 2u : 4u) | (unsigned)regs << 8));
}
void x86_tr_fldenv(struct x86_tr *t) { environment(t, false); }
void x86_tr_fsave(struct x86_tr *t) { environment(t, true); }

/* fxsave fxrstor */
void x86_tr_fxsave(struct x86_tr *t)
{
    ir_call(t->b, XH_FXSAVE, T_I32, IR_NONE, x_ea(t), ir_c32(t->b, t->arg), IR_NONE);
    if (t->arg) t->exit = IR_EXIT_MODE;
}
