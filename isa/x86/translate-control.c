/*
 * translate-control.c - x86 to IR: stack, jumps, calls, software interrupts, system calls, processor control.
 * Follows the Intel SDM volume 2. Far transfers, ports and privileged instructions are not here.
 */
#include "isa/x86/translate.h"

/* ---- stack ---- */

static unsigned sp_bytes(const struct x86_tr *t) { return t->mode == X86_64 ? 8 : t->key & XK_SS32 ? 4 : 2; }

static ir_id stack_address(struct x86_tr *t, ir_id sp, unsigned bytes, bool write)
{
    bool base = t->mode != X86_64 && t->key >> (XK_BASE_SHIFT + 2) & 1;

    if (sp_bytes(t) < 4 || (sp_bytes(t) == 4 && t->cells64)) sp = x_zx(t, sp, sp_bytes(t));
    x_check(t, sp, 2, bytes, write);
    return base ? x_linear(t, sp, 2) : sp;
}

void x_set_sp(struct x86_tr *t, ir_id sp) { x_set_reg(t, 4, sp_bytes(t), false, sp); }

ir_id x_push_value(struct x86_tr *t, ir_id sp, unsigned bytes, ir_id v)
{
    ir_id to = x2(t, OP_SUB, sp, xk(t, bytes));

    ir_st(t->b, t->w, v, stack_address(t, to, bytes, true), 0, x_log2(bytes), t->mmu);
    return to;
}

ir_id x_pop_value(struct x86_tr *t, ir_id sp, unsigned bytes)
{
    return ir_ld(t->b, t->w, xt(t), stack_address(t, sp, bytes, false), 0, x_log2(bytes), t->mmu);
}

static ir_id moved(struct x86_tr *t, ir_id sp, int64_t by) { return x2(t, OP_ADD, sp, xk(t, (uint64_t)by)); }

enum { SP = XR_GPR0 + 4, BP = XR_GPR0 + 5 };

void x86_tr_push(struct x86_tr *t)
{
    ir_id v = x_get(t, 0);
    x_set_sp(t, x_push_value(t, SP, t->i.osize, v));
}

void x86_tr_pop(struct x86_tr *t)
{
    ir_id v = x_pop_value(t, SP, t->i.osize), sp = moved(t, SP, t->i.osize);

    if (x_is_mem(t, 0)) {
        /* an address with the stack pointer uses the new one */
        if (t->i.base == 4) t->i.disp += t->i.osize;
        x_set(t, 0, v);
        x_set_sp(t, sp);
        return;
    }
    x_set_sp(t, sp);
    x_set(t, 0, v);
}

void x86_tr_pusha(struct x86_tr *t)
{
    ir_id sp = SP;

    for (unsigned r = 0; r < 8; r++) sp = x_push_value(t, sp, t->i.osize, (ir_id)(XR_GPR0 + r));
    x_set_sp(t, sp);
}

void x86_tr_popa(struct x86_tr *t)
{
    ir_id v[8];

    for (unsigned k = 0; k < 8; k++) v[7 - k] = x_pop_value(t, moved(t, SP, (int64_t)k * t->i.osize), t->i.osize);
    x_set_sp(t, moved(t, SP, 8 * t->i.osize));
    for (unsigned r = 0; r < 8; r++) {
        if (r != 4) x_set_reg(t, r, t->i.osize, false, v[r]);
    }
}

/* Programs of virtual-8086 mode need IOPL 3, or have VIF for IF. v: the flags that are about to be popped, or IR_NONE. */
static bool in_v86(const struct x86_tr *t) { return !(t->key & XK_PROT) && t->key >> XK_CPL_SHIFT & 3; }
static ir_id v86_flags(struct x86_tr *t, ir_id v)
{
    if (v == IR_NONE) v = ir_c32(t->b, 0);
    return ir_call(t->b, XH_V86_IOPL, T_I32, ir_temp(t->b, T_I32), ir_c32(t->b, t->i.osize), v, IR_NONE);
}

void x86_tr_pushf(struct x86_tr *t)
{
    ir_id f = in_v86(t) ? v86_flags(t, IR_NONE) : ir_call(t->b, XH_EFLAGS, T_I32, ir_temp(t->b, T_I32), IR_NONE, IR_NONE, IR_NONE);

    if (t->cells64) f = ir_conv(t->b, OP_ZXW, xt(t), f);
    x_set_sp(t, x_push_value(t, SP, t->i.osize, f));
}

void x86_tr_popf(struct x86_tr *t)
{
    if (in_v86(t)) (void)v86_flags(t, IR_NONE);
    ir_id v = x_pop_value(t, SP, t->i.osize);

    if (in_v86(t)) (void)v86_flags(t, v);
    x_set_sp(t, moved(t, SP, t->i.osize));
    ir_call(t->b, t->x->user ? XH_POPF : XH_POPF_SYS, T_I32, IR_NONE, v, ir_c32(t->b, t->i.osize), IR_NONE);
    x_flags_unknown(t);
    t->exit = IR_EXIT_IRQ;
}

void x86_tr_enter(struct x86_tr *t)
{
    unsigned bytes = t->i.osize, level = t->i.imm2 & 31;
    ir_id sp = x_push_value(t, SP, bytes, BP), frame = sp;

    if (level) {
        ir_id bp = BP;
        for (unsigned k = 1; k < level; k++) {
            bp = x2(t, OP_SUB, bp, xk(t, bytes));
            sp = x_push_value(t, sp, bytes, x_pop_value(t, bp, bytes));
        }
        sp = x_push_value(t, sp, bytes, frame);
    }
    sp = moved(t, sp, -(int64_t)(t->i.imm & 0xffff));
    x_pop_value(t, sp, bytes); /* the new stack's end must be there */
    x_set_reg(t, 5, bytes, false, frame);
    x_set_sp(t, sp);
}

void x86_tr_leave(struct x86_tr *t)
{
    ir_id v = x_pop_value(t, BP, t->i.osize), sp = moved(t, BP, t->i.osize);

    x_set_sp(t, sp);
    x_set_reg(t, 5, t->i.osize, false, v);
}

/* ---- jumps ---- */

void x86_tr_jmp(struct x86_tr *t) { x_goto(t, x_target(t), IR_HINT_NONE); }

/* Does the next instruction only read flags? Then it is worth going on with what is known of them. */
static bool flags_wanted(struct x86_tr *t)
{
    uint8_t b[2];

    if ((t->next ^ t->b->blk.pc) & CPU_PAGE_MASK || t->b->blk.n_links > IR_MAX_LINKS - 3 || !ir_fetch(t->b, t->next, 1, b)) return false;
    return (b[0] & 0xf0) == 0x70;
}

void x86_tr_jcc(struct x86_tr *t)
{
    struct x_cond c = x_cond(t, t->arg);

    ir_brc(t->b, c.type, c.cond, c.a, c.b, ir_link(t->b, x_target(t), t->key, IR_HINT_NONE));
    if (!flags_wanted(t)) x_goto(t, t->next, IR_HINT_NONE);
}

/* Counters are of the address size. */
static ir_id counter(struct x86_tr *t) { return x_zx(t, XR_GPR0 + 1, t->i.asize); }

void x86_tr_jcxz(struct x86_tr *t)
{
    ir_brc(t->b, t->w, CC_EQ, counter(t), xk(t, 0), ir_link(t->b, x_target(t), t->key, IR_HINT_NONE));
    x_goto(t, t->next, IR_HINT_NONE);
}

/* loopne loope loop */
void x86_tr_loop(struct x86_tr *t)
{
    ir_id n = x_zx(t, x2(t, OP_SUB, XR_GPR0 + 1, xk(t, 1)), t->i.asize);
    ir_id go = ir_setc(t->b, t->w, CC_NE, xt(t), n, xk(t, 0));

    if (t->arg < 2) go = x2(t, OP_AND, go, x_cond_value(t, t->arg ? 4 : 5));
    x_set_reg(t, 1, t->i.asize, false, n);
    ir_brc(t->b, t->w, CC_NE, go, xk(t, 0), ir_link(t->b, x_target(t), t->key, IR_HINT_NONE));
    x_goto(t, t->next, IR_HINT_NONE);
}

static void indirect(struct x86_tr *t, ir_id to, unsigned hint)
{
    ir_ind(t->b, t->w, x_to_linear(t, to), hint);
    t->done = true;
}

/* The instruction pointer behind this instruction. */
static uint64_t cut_ip(const struct x86_tr *t) { return t->mode == X86_64 ? t->next : (uint32_t)(t->next - t->cs_base); }

void x86_tr_call(struct x86_tr *t)
{
    x_set_sp(t, x_push_value(t, SP, t->i.osize, xk(t, cut_ip(t))));
    x_goto(t, x_target(t), IR_HINT_CALL);
}

void x86_tr_call_ind(struct x86_tr *t)
{
    ir_id to = x_get(t, 0);

    if (!x_is_mem(t, 0)) to = ir_mov(t->b, t->w, xt(t), to);
    x_set_sp(t, x_push_value(t, SP, t->i.osize, xk(t, cut_ip(t))));
    indirect(t, to, IR_HINT_CALL);
}

void x86_tr_jmp_ind(struct x86_tr *t) { indirect(t, x_get(t, 0), IR_HINT_NONE); }

void x86_tr_ret(struct x86_tr *t)
{
    ir_id to = x_pop_value(t, SP, t->i.osize);

    x_set_sp(t, moved(t, SP, t->i.osize + (t->i.form->n_ops ? t->i.imm & 0xffff : 0)));
    indirect(t, to, IR_HINT_RET);
}

/* ---- traps ---- */

void x86_tr_int3(struct x86_tr *t) { x_raise(t, XE_BP, 0); }
void x86_tr_int1(struct x86_tr *t) { x_raise(t, XE_DB, !t->x->user); }
void x86_tr_int(struct x86_tr *t) { x_raise(t, XE_INT, (uint8_t)t->i.imm); }
void x86_tr_ud(struct x86_tr *t) { x_raise(t, XE_UD, 0); }

void x86_tr_into(struct x86_tr *t)
{
    struct x_cond c = x_cond(t, 0);
    x_raise_if(t, c.type, c.cond, c.a, c.b, XE_OF, 0);
}

void x86_tr_bound(struct x86_tr *t)
{
    unsigned bytes = t->i.osize;
    ir_id v = x_sx(t, x_get(t, 0), bytes), lo = x_sx(t, x_ld(t, bytes), bytes);

    ir_id hi = ir_ld(t->b, t->w, xt(t), x2(t, OP_ADD, x_ea(t), xk(t, bytes)), 0, x_log2(bytes), t->mmu);
    x_raise_if(t, t->w, CC_LTS, v, lo, XE_BR, 0);
    x_raise_if(t, t->w, CC_GTS, v, x_sx(t, hi, bytes), XE_BR, 0);
}

/* ---- the processor ---- */

void x86_tr_nop(struct x86_tr *t) { (void)t; }
void x86_tr_pause(struct x86_tr *t) { (void)t; }
void x86_tr_prefetch(struct x86_tr *t) { (void)t; }
void x86_tr_clflush(struct x86_tr *t) { x_ld(t, 1); }

void x86_tr_fence(struct x86_tr *t)
{
    ir_fence_mask(t->b, t->arg == 5 ? IR_FENCE_RR | IR_FENCE_RW : t->arg == 7 ? IR_FENCE_WW : IR_FENCE_ALL);
}

void x86_tr_cpuid(struct x86_tr *t)
{
    ir_call(t->b, XH_CPUID, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE);
    t->cc.a = IR_NONE; /* it may be a register that was written */
}

void x_put_pair(struct x86_tr *t, ir_id v)
{
    if (t->cells64) {
        x_set_reg(t, 0, 4, false, v);
        x_set_reg(t, 2, 4, false, ir_op2(t->b, OP_SHR, T_I64, ir_temp(t->b, T_I64), v, ir_c64(t->b, 32)));
    } else {
        x_forget(t, XR_GPR0), x_forget(t, XR_GPR0 + 2);
        ir_conv(t->b, OP_LO, XR_GPR0, v);
        ir_conv(t->b, OP_HI, XR_GPR0 + 2, v);
    }
}

/* rdtsc rdtscp */
void x86_tr_rdtsc(struct x86_tr *t)
{
    x_put_pair(t, ir_call(t->b, XH_RDTSC, T_I64, ir_temp(t->b, T_I64), IR_NONE, IR_NONE, IR_NONE));
    if (t->arg && t->x->user) x_set_reg(t, 1, 4, false, xk(t, (uint64_t)t->x->c.index));
    else if (t->arg) x_set_reg(t, 1, 4, false, ir_call(t->b, XH_TSC_AUX, t->w, xt(t), IR_NONE, IR_NONE, IR_NONE));
    /* the time is exact at the end of a block only; but no mode changes, and loops that wait spin here */
    if (t->b->blk.key & (XK_STEP | XK_SHADOW)) t->exit = IR_EXIT_MODE;
    else x_goto(t, t->next, IR_HINT_NONE);
}

void x86_tr_xgetbv(struct x86_tr *t)
{
    if (!t->x->user) {
        x_put_pair(t, ir_call(t->b, XH_XGETBV, T_I64, ir_temp(t->b, T_I64), XR_GPR0 + 1, IR_NONE, IR_NONE));
        return;
    }
    x_raise_if(t, t->w, CC_NE, x_zx(t, XR_GPR0 + 1, 4), xk(t, 0), XE_GP, 0);
    x_set_reg(t, 0, 4, false, xk(t, t->features & XF_BIT(XF_AVX) ? 7 : 3));
    x_set_reg(t, 2, 4, false, xk(t, 0));
}

/* rdfsbase rdgsbase wrfsbase wrgsbase */
void x86_tr_fsgsbase(struct x86_tr *t)
{
    ir_id base = (ir_id)(XR_SEG_BASE + 4 + (t->arg & 1));

    if (!t->x->user) {
        ir_id v = t->arg < 2 ? xk(t, 0) : x_zx(t, x_get(t, 0), x_bytes(t, 0));
        ir_call(t->b, XH_FSGSBASE, T_I32, IR_NONE, ir_c32(t->b, t->arg >= 2), v, IR_NONE);
    }
    if (t->arg < 2) x_set(t, 0, base);
    else ir_mov(t->b, t->w, base, x_zx(t, x_get(t, 0), x_bytes(t, 0)));
}
