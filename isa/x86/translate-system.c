/*
 * translate-system.c - x86 to IR: what only system mode has. Segment checks, the instructions of operating systems, ports.
 *
 * The work is done by helpers (sys-*.c). A flat segment costs nothing: the key says which are. Follows the Intel SDM volume 2.
 */
#include "isa/x86/sys.h"
#include "isa/x86/translate.h"

enum { AX = XR_GPR0, CX = XR_GPR0 + 1, DX = XR_GPR0 + 2 };

/* ---- segment checks ---- */

static ir_id wide(struct x86_tr *t, ir_id v) { return t->cells64 ? v : ir_conv(t->b, OP_ZXW, ir_temp(t->b, T_I64), v); }

static void check_call(struct x86_tr *t, ir_id off, unsigned seg, unsigned bytes, bool write)
{
    ir_call(t->b, XH_CHECK, T_I32, IR_NONE, off, ir_c32(t->b, seg | bytes << 8 | (unsigned)write << 24), IR_NONE);
}

void x_check(struct x86_tr *t, ir_id off, unsigned seg, unsigned bytes, bool write)
{
    unsigned cls = t->key >> (XK_SEG_SHIFT + 2 * seg) & 3;
    bool code_write = seg == SEG_CS && write && t->key & XK_PROT;

    if (t->key & XK_ALIGN && bytes > 1) cls = X86_SEG_OTHER, code_write = true;
    if (code_write || (cls == X86_SEG_OTHER && seg == SEG_CS)) {
        check_call(t, off, seg, bytes, write);
        return;
    }
    if (cls == X86_SEG_FLAT) return;
    unsigned ok = ir_label(t->b);
    if (cls == X86_SEG_64K) {
        if (bytes == 1 && t->i.asize == 2) return;
        ir_brl(t->b, t->w, CC_LEU, off, xk(t, 0x10000 - bytes), ok);
    } else {
        ir_id limit = ir_conv(t->b, OP_ZXW, ir_temp(t->b, T_I64), (ir_id)(XR_LIMIT + seg)), last = wide(t, off);
        if (bytes > 1) last = ir_op2(t->b, OP_ADD, T_I64, ir_temp(t->b, T_I64), last, ir_c64(t->b, bytes - 1));
        ir_brl(t->b, T_I64, CC_LEU, last, limit, ok);
    }
    check_call(t, off, seg, bytes, write);
    ir_place(t->b, ok);
}

/* Instructions whose first operand, in memory, is only read. */
static bool reads_first(const struct x86_tr *t)
{
    static void (*const list[])(struct x86_tr *) = {
        x86_tr_test, x86_tr_push, x86_tr_call_ind, x86_tr_jmp_ind, x86_tr_call_far, x86_tr_jmp_far, x86_tr_mul, x86_tr_div, x86_tr_lgdt,
        x86_tr_lldt, x86_tr_ltr, x86_tr_ver, x86_tr_lmsw, x86_tr_ldmxcsr, x86_tr_farith_mem, x86_tr_farith_int, x86_tr_fld_mem, x86_tr_fldcw,
        x86_tr_fild, x86_tr_fbld, x86_tr_clflush,
    };

    for (unsigned i = 0; i < ARRAY_LEN(list); i++) {
        if (t->i.tr == list[i]) return true;
    }
    return (t->i.tr == x86_tr_alu && t->arg == 7) || (t->i.tr == x86_tr_bt && t->arg == 4) ||
           ((t->i.tr == x86_tr_fxsave || t->i.tr == x86_tr_xsave) && t->arg == 1) ||
           ((t->i.tr == x86_tr_fldenv || t->i.tr == x86_tr_fsave) && !t->arg);
}

/* Bytes of operands that have no size in the table; 0: no access. */
static unsigned unsized(const struct x86_tr *t)
{
    bool small = t->i.osize == 2;

    if (t->i.tr == x86_tr_fxsave) return 512;
    if (t->i.tr == x86_tr_xsave) return 576;
    if (t->i.tr == x86_tr_fldenv) return small ? 14 : 28;
    if (t->i.tr == x86_tr_fsave) return small ? 94 : 108;
    return 0;
}

static void check_string(struct x86_tr *t)
{
    unsigned skip = 0;

    if (t->i.rep && t->i.def->flags & (XI_REP | XI_REPZ)) { /* a count of 0 accesses nothing */
        skip = ir_label(t->b);
        ir_brl(t->b, t->w, CC_EQ, x_zx(t, CX, t->i.asize), xk(t, 0), skip);
    }
    for (unsigned k = 0; k < t->i.form->n_ops; k++) {
        unsigned what = t->i.form->op[k].what;
        if (what == XO_X) x_check(t, x_zx(t, XR_GPR0 + 6, t->i.asize), t->i.seg == X86_NO_REG ? SEG_DS : t->i.seg, x_bytes(t, k), false);
        if (what == XO_Y) x_check(t, x_zx(t, XR_GPR0 + 7, t->i.asize), SEG_ES, x_bytes(t, k), k == 0 && t->i.def->flags & XI_REP);
    }
    if (skip || (t->i.rep && t->i.def->flags & (XI_REP | XI_REPZ))) ir_place(t->b, skip);
}

void x_check_operands(struct x86_tr *t)
{
    const struct x86_form *f = t->i.form;

    if (t->x->user || (t->mode == X86_64 && !(t->key & XK_ALIGN))) return;
    for (unsigned k = 0; k < f->n_ops; k++) {
        if (f->op[k].what == XO_X || f->op[k].what == XO_Y) {
            check_string(t);
            return;
        }
    }
    /* those that find out their own address */
    if (t->i.tr == x86_tr_lea || t->i.tr == x86_tr_nop || t->i.tr == x86_tr_prefetch || t->i.tr == x86_tr_invlpg ||
        (t->i.tr == x86_tr_bt && f->op[1].what != XO_I))
        return;
    for (unsigned k = 0; k < f->n_ops; k++) {
        if (!x86_op_is_mem(&t->i, &f->op[k])) continue;
        unsigned bytes = f->op[k].size == XS_NONE ? unsized(t) : x_bytes(t, k);
        bool pop = t->i.tr == x86_tr_pop && t->i.base == 4;
        if (!bytes) continue;
        if (t->i.tr == x86_tr_mov_from_seg || t->i.tr == x86_tr_store_sel || t->i.tr == x86_tr_smsw) bytes = 2;
        if (t->i.tr == x86_tr_mov_to_seg) bytes = 2;
        if (pop) t->i.disp += t->i.osize;
        x_check(t, x_offset(t), x_data_segment(t), bytes, k == 0 && !reads_first(t));
        if (pop) t->i.disp -= t->i.osize;
    }
}

/* ---- which floating point the mode permits ---- */

bool x_fp_permitted(struct x86_tr *t)
{
    unsigned kind;
    bool permitted;

    if (t->i.form->vec || t->i.def->flags & XI_SSE) kind = t->i.vex ? X86_FP_AVX : X86_FP_SSE, permitted = t->key & (t->i.vex ? XK_AVX : XK_SSE);
    else if (t->i.form->mmx || t->i.tr == x86_tr_emms) kind = X86_FP_MMX, permitted = t->key & XK_X87;
    else if (t->i.def->flags & XI_FPU) kind = X86_FP_X87, permitted = t->key & XK_X87;
    else return true;
    if (permitted) return true;
    ir_call(t->b, XH_FP_GATE, T_I32, IR_NONE, ir_c32(t->b, kind), IR_NONE, IR_NONE);
    t->exit = IR_EXIT_MODE;
    return false;
}

/* ---- short forms ---- */

static ir_id call0(struct x86_tr *t, unsigned helper) { return ir_call(t->b, helper, t->w, xt(t), IR_NONE, IR_NONE, IR_NONE); }
static void do0(struct x86_tr *t, unsigned helper) { ir_call(t->b, helper, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE); }
static void do1(struct x86_tr *t, unsigned helper, ir_id a) { ir_call(t->b, helper, T_I32, IR_NONE, a, IR_NONE, IR_NONE); }
static void do2(struct x86_tr *t, unsigned helper, ir_id a, ir_id b) { ir_call(t->b, helper, T_I32, IR_NONE, a, b, IR_NONE); }
static ir_id k32(struct x86_tr *t, uint32_t v) { return ir_c32(t->b, v); }

/* The helper gave the new linear pc and has put the mode into the key. */
static void leave(struct x86_tr *t, ir_id pc, unsigned hint)
{
    ir_ind(t->b, t->w, pc, hint);
    t->done = true;
}

/* System mode's own instructions: a program of user mode gets what the kernel makes of them. */
static bool refused(struct x86_tr *t)
{
    if (!t->x->user) return false;
    x_raise(t, XE_GP, 0);
    return true;
}

/* ---- segment registers ---- */

static ir_id selector(struct x86_tr *t, unsigned seg) { return ir_call(t->b, XH_GET_SEL, t->w, xt(t), k32(t, seg), IR_NONE, IR_NONE); }

static void load_segment(struct x86_tr *t, unsigned seg, ir_id sel, bool shadow)
{
    do2(t, XH_LOAD_SEG, sel, k32(t, seg));
    if (seg == SEG_SS && shadow) do0(t, XH_SHADOW);
    t->exit = IR_EXIT_MODE;
}

void x86_tr_mov_from_seg(struct x86_tr *t)
{
    if (t->x->user) {
        x86_tr_user_mov_from_seg(t);
        return;
    }
    ir_id v = selector(t, t->i.reg & 7);
    if (x_is_mem(t, 0)) x_st(t, 2, v);
    else x_set_reg(t, t->i.rm, t->i.osize, false, v);
}

void x86_tr_mov_to_seg(struct x86_tr *t)
{
    if (t->x->user) {
        x86_tr_user_mov_to_seg(t);
        return;
    }
    load_segment(t, t->i.reg & 7, x_is_mem(t, 1) ? x_ld(t, 2) : (ir_id)(XR_GPR0 + t->i.rm), true);
}

void x86_tr_push_seg(struct x86_tr *t)
{
    if (t->x->user) {
        x86_tr_user_push_seg(t);
        return;
    }
    x_set_sp(t, x_push_value(t, XR_GPR0 + 4, t->i.osize, selector(t, t->arg)));
}

void x86_tr_pop_seg(struct x86_tr *t)
{
    if (t->x->user) {
        x86_tr_user_pop_seg(t);
        return;
    }
    ir_id v = x_pop_value(t, XR_GPR0 + 4, t->i.osize);
    load_segment(t, t->arg, v, true);
    x_set_sp(t, x2(t, OP_ADD, XR_GPR0 + 4, xk(t, t->i.osize)));
}

void x86_tr_load_far(struct x86_tr *t)
{
    unsigned bytes = t->size;

    if (t->x->user) {
        x86_tr_user_load_far(t);
        return;
    }
    ir_id off = x_ld(t, bytes), ea = x2(t, OP_ADD, x_ea(t), xk(t, bytes));
    load_segment(t, t->arg, ir_ld(t->b, t->w, xt(t), ea, 0, IR_M16, t->mmu), false);
    x_set_reg(t, t->i.reg, bytes, false, off);
}

/* ---- far transfers ---- */

static void far_target(struct x86_tr *t, ir_id *sel, ir_id *off)
{
    if (!t->arg) {
        *off = xk(t, t->i.osize == 2 ? (uint64_t)t->i.imm & 0xffff : (uint32_t)t->i.imm);
        *sel = xk(t, t->i.sel | (uint64_t)t->i.osize << 16);
        return;
    }
    *off = x_ld(t, t->i.osize);
    *sel = ir_ld(t->b, t->w, xt(t), x2(t, OP_ADD, x_ea(t), xk(t, t->i.osize)), 0, IR_M16, t->mmu);
    *sel = x2(t, OP_OR, *sel, xk(t, (uint64_t)t->i.osize << 16));
}

void x86_tr_jmp_far(struct x86_tr *t)
{
    ir_id sel, off;

    if (refused(t)) return;
    far_target(t, &sel, &off);
    leave(t, ir_call(t->b, XH_JMP_FAR, t->w, xt(t), sel, off, xk(t, t->next)), IR_HINT_NONE);
}

void x86_tr_call_far(struct x86_tr *t)
{
    ir_id sel, off;

    if (refused(t)) return;
    far_target(t, &sel, &off);
    leave(t, ir_call(t->b, XH_CALL_FAR, t->w, xt(t), sel, off, xk(t, t->next)), IR_HINT_NONE);
}

void x86_tr_ret_far(struct x86_tr *t)
{
    if (refused(t)) return;
    ir_id drop = k32(t, t->i.form->n_ops ? (uint32_t)t->i.imm & 0xffff : 0);
    leave(t, ir_call(t->b, XH_RET_FAR, t->w, xt(t), k32(t, t->i.osize), drop, IR_NONE), IR_HINT_NONE);
}

void x86_tr_iret(struct x86_tr *t)
{
    if (t->x->user) {
        leave(t, ir_call(t->b, XH_USER_IRET, t->w, xt(t), k32(t, t->i.osize), IR_NONE, IR_NONE), IR_HINT_NONE);
        return;
    }
    leave(t, ir_call(t->b, XH_IRET, t->w, xt(t), k32(t, t->i.osize), xk(t, t->next), IR_NONE), IR_HINT_NONE);
}

static void enter_kernel(struct x86_tr *t, bool sysenter)
{
    leave(t, ir_call(t->b, XH_SYSCALL, t->w, xt(t), k32(t, sysenter), xk(t, t->next), IR_NONE), IR_HINT_NONE);
}

void x86_tr_syscall(struct x86_tr *t)
{
    if (t->x->user) x_raise(t, XE_SYSCALL, 0);
    else enter_kernel(t, false);
}

void x86_tr_sysenter(struct x86_tr *t)
{
    if (t->x->user) x_raise(t, XE_SYSENTER, 0);
    else enter_kernel(t, true);
}

static void leave_kernel(struct x86_tr *t, bool sysret)
{
    if (refused(t)) return;
    leave(t, ir_call(t->b, XH_SYSRET, t->w, xt(t), k32(t, sysret), k32(t, t->i.osize), IR_NONE), IR_HINT_NONE);
}
void x86_tr_sysret(struct x86_tr *t) { leave_kernel(t, true); }
void x86_tr_sysexit(struct x86_tr *t) { leave_kernel(t, false); }

void x86_tr_rsm(struct x86_tr *t)
{
    if (t->x->user) {
        x_raise(t, XE_UD, 0);
        return;
    }
    leave(t, call0(t, XH_RSM), IR_HINT_NONE);
}

/* ---- ports ---- */

static ir_id port(struct x86_tr *t, unsigned k)
{
    return t->i.form->op[k].what == XO_I ? xk(t, (uint64_t)t->i.imm & 0xff) : x_zx(t, DX, 2);
}

void x86_tr_in(struct x86_tr *t)
{
    if (refused(t)) return;
    ir_id v = ir_call(t->b, XH_IN, t->w, xt(t), port(t, 1), k32(t, t->size), IR_NONE);
    x_set_reg(t, 0, t->size, false, v);
    t->exit = IR_EXIT_IRQ;
}

void x86_tr_out(struct x86_tr *t)
{
    if (refused(t)) return;
    ir_call(t->b, XH_OUT, T_I32, IR_NONE, port(t, 0), AX, k32(t, x_bytes(t, 1)));
    t->exit = IR_EXIT_IRQ;
}

/* ---- flags ---- */

void x86_tr_cli(struct x86_tr *t)
{
    if (!refused(t)) do0(t, XH_CLI);
}

void x86_tr_sti(struct x86_tr *t)
{
    if (refused(t)) return;
    do0(t, XH_STI);
    t->exit = IR_EXIT_IRQ;
}

void x86_tr_stac(struct x86_tr *t)
{
    do1(t, XH_STAC, k32(t, t->arg));
    t->exit = IR_EXIT_MODE;
}

/* ZF from bit 63 of an I64 cell; the others stay. */
static void zf_from(struct x86_tr *t, ir_id v)
{
    ir_id z = ir_op2(t->b, OP_SHR, T_I64, ir_temp(t->b, T_I64), v, ir_c64(t->b, 63));
    ir_id f = ir_op2(t->b, OP_AND, T_I32, ir_temp(t->b, T_I32), x_flags_all(t), k32(t, ~(uint32_t)XFL_ZF));

    z = ir_op2(t->b, OP_SHL, T_I32, ir_temp(t->b, T_I32), ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), z), k32(t, 6));
    x_flags_set(t, ir_op2(t->b, OP_OR, T_I32, ir_temp(t->b, T_I32), f, z));
}

static ir_id ask(struct x86_tr *t, ir_id sel, unsigned what)
{
    return ir_call(t->b, XH_SELECTOR, T_I64, ir_temp(t->b, T_I64), sel, k32(t, what), IR_NONE);
}

/* lar lsl */
void x86_tr_lar(struct x86_tr *t)
{
    ir_id v = ask(t, x_zx(t, x_get(t, 1), 2), t->arg);
    unsigned skip = ir_label(t->b);
    zf_from(t, v);
    ir_brl(t->b, T_I64, CC_GES, v, ir_c64(t->b, 0), skip);
    ir_id lo = ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), v);
    x_set(t, 0, t->cells64 ? ir_conv(t->b, OP_ZXW, xt(t), lo) : lo);
    ir_place(t->b, skip);
}

/* verr verw */
void x86_tr_ver(struct x86_tr *t)
{
    zf_from(t, ask(t, x_zx(t, x_get(t, 0), 2), 2 + t->arg));
}

void x86_tr_arpl(struct x86_tr *t)
{
    ir_id s = x2(t, OP_AND, x_get(t, 1), xk(t, 3)), d = ir_mov(t->b, t->w, xt(t), x_get(t, 0));
    ir_id less = ir_setc(t->b, t->w, CC_LTU, xt(t), x2(t, OP_AND, d, xk(t, 3)), s);
    ir_id z = t->cells64 ? less : ir_conv(t->b, OP_ZXW, ir_temp(t->b, T_I64), less);
    unsigned skip = ir_label(t->b);

    zf_from(t, ir_op2(t->b, OP_SHL, T_I64, ir_temp(t->b, T_I64), z, ir_c64(t->b, 63)));
    ir_brl(t->b, t->w, CC_EQ, less, xk(t, 0), skip);
    x_set(t, 0, x2(t, OP_OR, x2(t, OP_AND, d, xk(t, 0xfffc)), s));
    ir_place(t->b, skip);
}

/* ---- tables, system segments ---- */

static unsigned table_size(const struct x86_tr *t) { return t->mode == X86_64 ? 8 : t->i.osize == 2 ? 2 : 4; }

void x86_tr_sgdt(struct x86_tr *t)
{
    ir_call(t->b, XH_SGDT, T_I32, IR_NONE, x_ea(t), k32(t, t->arg), k32(t, table_size(t)));
}

void x86_tr_lgdt(struct x86_tr *t)
{
    ir_call(t->b, XH_LGDT, T_I32, IR_NONE, x_ea(t), k32(t, t->arg), k32(t, table_size(t)));
}

void x86_tr_lldt(struct x86_tr *t) { do2(t, XH_LOAD_SYSTEM, x_zx(t, x_get(t, 0), 2), k32(t, 0)); }
void x86_tr_ltr(struct x86_tr *t) { do2(t, XH_LOAD_SYSTEM, x_zx(t, x_get(t, 0), 2), k32(t, 1)); }

/* 16 bits in memory, all of a register */
static void store_word(struct x86_tr *t, ir_id v)
{
    if (x_is_mem(t, 0)) x_st(t, 2, v);
    else x_set_reg(t, t->i.rm, t->i.osize, false, v);
}

void x86_tr_store_sel(struct x86_tr *t)
{
    store_word(t, selector(t, 6 + t->arg));
}

void x86_tr_smsw(struct x86_tr *t)
{
    store_word(t, ir_call(t->b, XH_GET_CR, t->w, xt(t), k32(t, 0), IR_NONE, IR_NONE));
}

/* ---- control and debug registers ---- */

void x86_tr_lmsw(struct x86_tr *t)
{
    do1(t, XH_LMSW, x_get(t, 0));
    t->exit = IR_EXIT_MODE;
}

void x86_tr_clts(struct x86_tr *t)
{
    do0(t, XH_CLTS);
    t->exit = IR_EXIT_MODE;
}

static unsigned native(const struct x86_tr *t) { return t->mode == X86_64 ? 8 : 4; }

void x86_tr_mov_from_cr(struct x86_tr *t)
{
    x_set_reg(t, t->i.rm, native(t), false, ir_call(t->b, XH_GET_CR, t->w, xt(t), k32(t, t->i.reg), IR_NONE, IR_NONE));
    if (t->i.reg == 8) t->exit = IR_EXIT_IRQ;
}

void x86_tr_mov_to_cr(struct x86_tr *t)
{
    do2(t, XH_SET_CR, k32(t, t->i.reg), x_zx(t, (ir_id)(XR_GPR0 + t->i.rm), native(t)));
    t->exit = IR_EXIT_IRQ;
}

void x86_tr_mov_from_dr(struct x86_tr *t)
{
    x_set_reg(t, t->i.rm, native(t), false, ir_call(t->b, XH_GET_DR, t->w, xt(t), k32(t, t->i.reg), IR_NONE, IR_NONE));
}

void x86_tr_mov_to_dr(struct x86_tr *t)
{
    do2(t, XH_SET_DR, k32(t, t->i.reg), x_zx(t, (ir_id)(XR_GPR0 + t->i.rm), native(t)));
    t->exit = IR_EXIT_MODE;
}

/* ---- model-specific registers and the like ---- */

static ir_id edx_eax(struct x86_tr *t)
{
    if (!t->cells64) return ir_op2(t->b, OP_CONCAT, T_I64, ir_temp(t->b, T_I64), AX, DX);
    return ir_deposit(t->b, T_I64, xt(t), AX, DX, 32, 32);
}

static void read_pair(struct x86_tr *t, unsigned helper)
{
    x_put_pair(t, ir_call(t->b, helper, T_I64, ir_temp(t->b, T_I64), CX, IR_NONE, IR_NONE));
}

void x86_tr_rdmsr(struct x86_tr *t)
{
    read_pair(t, XH_RDMSR);
    t->exit = IR_EXIT_MODE;
}

void x86_tr_wrmsr(struct x86_tr *t)
{
    do2(t, XH_WRMSR, CX, edx_eax(t));
    t->exit = IR_EXIT_IRQ;
}

void x86_tr_rdpmc(struct x86_tr *t)
{
    if (!refused(t)) read_pair(t, XH_RDPMC);
}

void x86_tr_xsetbv(struct x86_tr *t)
{
    do2(t, XH_XSETBV, CX, edx_eax(t));
    t->exit = IR_EXIT_MODE;
}

void x86_tr_swapgs(struct x86_tr *t) { do0(t, XH_SWAPGS); }

void x86_tr_rdpid(struct x86_tr *t)
{
    x_set_full(t, t->i.rm, t->x->user ? xk(t, (uint64_t)t->x->c.index) : call0(t, XH_TSC_AUX));
}

/* ---- caches, waiting ---- */

void x86_tr_invlpg(struct x86_tr *t)
{
    do1(t, XH_INVLPG, x_ea(t));
    t->exit = IR_EXIT_MODE;
}

void x86_tr_invpcid(struct x86_tr *t)
{
    do2(t, XH_INVPCID, x_zx(t, x_get(t, 0), x_bytes(t, 0)), x_ea(t));
    t->exit = IR_EXIT_MODE;
}

void x86_tr_wbinvd(struct x86_tr *t) { (void)t; }

void x86_tr_hlt(struct x86_tr *t)
{
    if (refused(t)) return;
    do0(t, XH_HLT);
    t->exit = IR_EXIT_HALT;
}

void x86_tr_monitor(struct x86_tr *t)
{
    if (refused(t)) return;
    ir_id va = x_linear(t, x_zx(t, AX, t->i.asize), t->i.seg == X86_NO_REG ? SEG_DS : t->i.seg);
    do2(t, XH_MONITOR, va, CX);
}

void x86_tr_mwait(struct x86_tr *t)
{
    if (!refused(t)) do1(t, XH_MWAIT, CX);
}

/* No model claims SVM. */
void x86_tr_svm(struct x86_tr *t) { x_raise(t, XE_UD, 0); }
