/*
 * translate-string.c - x86 to IR: movs, cmps, stos, lods, scas, ins, outs. Follows the Intel SDM volume 2.
 *
 * With a repeat prefix one iteration is one unit that goes back to its own address: registers are exact between iterations, so
 * faults, interrupts and budgets in the middle need nothing special. Instructions retired count iterations.
 */
#include "isa/x86/translate.h"

enum { AX = XR_GPR0, CX = XR_GPR0 + 1, SI = XR_GPR0 + 6, DI = XR_GPR0 + 7 };

static unsigned element(const struct x86_tr *t)
{
    for (unsigned k = 0; k < t->i.form->n_ops; k++) {
        if (t->i.form->op[k].what == XO_X || t->i.form->op[k].what == XO_Y) return x_bytes(t, k);
    }
    return t->i.osize;
}

static ir_id source(struct x86_tr *t) { return x_linear(t, x_zx(t, SI, t->i.asize), t->i.seg == X86_NO_REG ? 3 : t->i.seg); }
static ir_id target(struct x86_tr *t) { return x_linear(t, x_zx(t, DI, t->i.asize), 0); }

static ir_id load(struct x86_tr *t, ir_id ea) { return ir_ld(t->b, t->w, xt(t), ea, 0, x_log2(element(t)), t->mmu); }
static void store(struct x86_tr *t, ir_id ea, ir_id v) { ir_st(t->b, t->w, v, ea, 0, x_log2(element(t)), t->mmu); }

static void advance(struct x86_tr *t, unsigned reg)
{
    ir_id step = x2(t, OP_SHL, XR_DF, xk(t, x_log2(element(t))));
    x_set_reg(t, reg, t->i.asize, false, x2(t, OP_ADD, (ir_id)(XR_GPR0 + reg), step));
}

/* Leaves when the count is 0. */
static void begin(struct x86_tr *t)
{
    if (!t->i.rep) return;
    ir_brc(t->b, t->w, CC_EQ, x_zx(t, CX, t->i.asize), xk(t, 0), ir_link(t->b, t->next, t->key, IR_HINT_NONE));
}

/* Counts, and goes on while the count and, for cmps and scas, ZF say so. */
static void end(struct x86_tr *t, bool compares)
{
    if (!t->i.rep) return;
    ir_id n = x_zx(t, x2(t, OP_SUB, CX, xk(t, 1)), t->i.asize);
    x_set_reg(t, 1, t->i.asize, false, n);
    ir_id again = ir_setc(t->b, t->w, CC_NE, xt(t), n, xk(t, 0));
    if (compares) again = x2(t, OP_AND, again, x_cond_value(t, t->i.rep == 0xf3 ? 4 : 5));
    ir_brc(t->b, t->w, CC_NE, again, xk(t, 0), ir_link(t->b, t->pc, t->key, IR_HINT_NONE));
    x_goto(t, t->next, IR_HINT_NONE);
}

void x86_tr_movs(struct x86_tr *t)
{
    begin(t);
    store(t, target(t), load(t, source(t)));
    advance(t, 6);
    advance(t, 7);
    end(t, false);
}

void x86_tr_stos(struct x86_tr *t)
{
    begin(t);
    store(t, target(t), AX);
    advance(t, 7);
    end(t, false);
}

void x86_tr_lods(struct x86_tr *t)
{
    begin(t);
    ir_id v = load(t, source(t));
    advance(t, 6);
    x_set_reg(t, 0, element(t), false, v);
    end(t, false);
}

void x86_tr_cmps(struct x86_tr *t)
{
    begin(t);
    ir_id a = load(t, source(t)), b = load(t, target(t));
    advance(t, 6);
    advance(t, 7);
    x_flags(t, X86_CC_SUB, element(t), x2(t, OP_SUB, a, b), b, a);
    end(t, true);
}

void x86_tr_scas(struct x86_tr *t)
{
    begin(t);
    ir_id b = load(t, target(t));
    advance(t, 7);
    x_flags(t, X86_CC_SUB, element(t), x2(t, OP_SUB, AX, b), b, AX);
    end(t, true);
}

static ir_id port(struct x86_tr *t) { return x2(t, OP_OR, x_zx(t, XR_GPR0 + 2, 2), xk(t, (uint64_t)element(t) << 16)); }

/* ins outs: the port's side is the helper's */
static void through_port(struct x86_tr *t, bool in)
{
    if (t->x->user) {
        x_raise(t, XE_GP, 0);
        return;
    }
    begin(t);
    ir_call(t->b, in ? XH_INS : XH_OUTS, T_I32, IR_NONE, port(t), in ? target(t) : source(t), IR_NONE);
    advance(t, in ? 7 : 6);
    end(t, false);
    if (!t->done) t->exit = IR_EXIT_IRQ;
}
void x86_tr_ins(struct x86_tr *t) { through_port(t, true); }
void x86_tr_outs(struct x86_tr *t) { through_port(t, false); }
