/*
 * segment-user.c - segment registers in user mode: the kernel's flat segments, the three thread areas of its table (GDT), and
 * the process's own table (LDT). Selectors are those of Linux on x86-64. Translators of the moves that user mode needs.
 *
 * Follows the Intel SDM volume 3, section 3.4, and Linux's modify_ldt(2), set_thread_area(2). Segments have bases here; limits
 * and rights are not checked when memory is accessed. System mode has its own (sys-*.c), which also do what lar, lsl, verr,
 * verw, sgdt and their like do in both.
 */
#include "isa/x86/translate.h"

#include "util/log.h"

uint32_t x86_descriptor_base(uint64_t d) { return (uint32_t)(d >> 16 & 0xffffff) | (uint32_t)(d >> 56) << 24; }

bool x86_user_descriptor(const struct x86_cpu *x, uint16_t sel, uint64_t *d)
{
    enum { FLAT_CODE32 = 4, FLAT_DATA = 5, FLAT_CODE64 = 6 };
    static const uint64_t flat[] = { 0xcffb000000ffff, 0xcff3000000ffff, 0xaffb000000ffff };
    unsigned n = sel >> 3;

    *d = 0;
    if (sel & 4) {
        if (n < X86_USER_LDT_COUNT && x->user_ldt) *d = x->user_ldt[n];
    } else if (n >= FLAT_CODE32 && n <= FLAT_CODE64) {
        *d = flat[n - FLAT_CODE32];
    } else if (n >= X86_USER_TLS && n < X86_USER_TLS + X86_USER_TLS_COUNT) {
        *d = x->user_tls[n - X86_USER_TLS];
    }
    return *d != 0;
}

static void set_base(struct x86_cpu *x, unsigned seg, uint16_t sel, uint32_t base)
{
    x->sel[seg] = sel;
    if (x->is64) x->seg_base.d[seg] = base;
    else x->seg_base.w[seg] = base;
    if (seg < 4 && (x->c.key & XK_MODE) != X86_64) {
        uint64_t bit = UINT64_C(1) << (XK_BASE_SHIFT + seg);
        x->c.key = base ? x->c.key | bit : x->c.key & ~bit;
    }
}

/* Code segments cannot be loaded by moves: seg is not 1. */
bool x86_user_load_segment(struct x86_cpu *x, unsigned seg, uint16_t sel)
{
    uint64_t d;

    if (!(sel & ~3)) {
        if (seg == 2 && (x->c.key & XK_MODE) != X86_64) return false;
        set_base(x, seg, sel, 0);
        return true;
    }
    if (!x86_user_descriptor(x, sel, &d)) return false;
    bool code = d >> 43 & 1, wr = d >> 41 & 1, present = d >> 47 & 1;
    if (!present || (code && !wr) || (seg == 2 && (code || !wr || (sel & 3) != 3))) return false;
    set_base(x, seg, sel, x86_descriptor_base(d));
    return true;
}

/* After a change of the tables: what they say of the segments in use. */
void x86_user_reload(struct x86_cpu *x)
{
    for (unsigned seg = 0; seg < 6; seg++) {
        uint64_t d;
        if (seg != 1 && x->sel[seg] & ~3 && (x->sel[seg] & 4 || x->sel[seg] >> 3 >= X86_USER_TLS) && x86_user_descriptor(x, x->sel[seg], &d))
            set_base(x, seg, x->sel[seg], x86_descriptor_base(d));
    }
}

/* ---- what translated code calls ---- */

uint64_t x86_helper_user_load_seg(struct cpu *c, uint64_t seg, uint64_t sel, uint64_t unused)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)unused;
    if (!x86_user_load_segment(x, (unsigned)seg, (uint16_t)sel)) x86_raise(x, XE_GP, (uint32_t)sel & 0xfffc);
    if (seg == 2) x->db_pending = 0; /* no single step ends between the loads of SS and the stack pointer */
    return 0;
}

/* iret that stays in the program's code segment. a = operand size */
uint64_t x86_helper_user_iret(struct cpu *c, uint64_t n, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);
    bool long_mode = (c->key & XK_MODE) == X86_64;
    unsigned log2 = n == 2 ? IR_M16 : n == 4 ? IR_M32 : IR_M64;
    uint32_t may = XFL_ARITH | XFL_DF | XFL_TF | XFL_NT | XFL_AC | XFL_ID;
    uint64_t v[5], base = long_mode ? 0 : x->is64 ? x->seg_base.d[2] : x->seg_base.w[2], sp = x86_gpr(x, 4);

    (void)b, (void)d;
    if (x86_get_eflags(x) & XFL_NT) x86_raise(x, XE_GP, 0); /* the kernel is one of 64 bits */
    for (unsigned i = 0; i < (long_mode ? 5u : 3u); i++) {
        uint64_t at = base + (long_mode ? sp + n * i : (uint32_t)(sp + n * i));
        v[i] = cpu_ld(c, long_mode ? at : (uint32_t)at, log2, c->mmu_now);
    }
    if ((uint16_t)v[1] != x->sel[1]) {
        LOG(UNIMP, "x86: iret to another code segment (0x%x) in user mode is not built\n", (unsigned)v[1] & 0xffff);
        x86_raise(x, XE_GP, (uint32_t)v[1] & 0xfffc);
    }
    if (long_mode && v[0] >> 47 && v[0] >> 47 != 0x1ffff) x86_raise(x, XE_GP, 0);
    if (long_mode && (!(v[4] & 0xfffc) || !x86_user_load_segment(x, 2, (uint16_t)v[4]))) x86_raise(x, XE_GP, (uint32_t)v[4] & 0xfffc);
    x86_set_gpr(x, 4, long_mode ? v[3] : (uint32_t)(sp + 3 * n));
    if (n == 2) may &= 0xffff;
    x86_set_eflags(x, (x86_get_eflags(x) & ~may) | ((uint32_t)v[2] & may));
    return long_mode ? v[0] : (uint32_t)(v[0] + (x->is64 ? x->seg_base.d[1] : x->seg_base.w[1]));
}

uint64_t x86_helper_user_sel(struct cpu *c, uint64_t seg, uint64_t b, uint64_t d)
{
    (void)b, (void)d;
    return x86_cpu(c)->sel[seg];
}

/* ---- translators ---- */

static ir_id selector(struct x86_tr *t, unsigned seg)
{
    ir_id v = ir_call(t->b, XH_USER_SEL, T_I32, ir_temp(t->b, T_I32), ir_c32(t->b, seg), IR_NONE, IR_NONE);
    return t->cells64 ? ir_conv(t->b, OP_ZXW, xt(t), v) : v;
}

static void load(struct x86_tr *t, unsigned seg, ir_id sel)
{
    ir_call(t->b, XH_USER_LOAD_SEG, T_I32, IR_NONE, ir_c32(t->b, seg), sel, IR_NONE);
    t->exit = IR_EXIT_MODE;
}

/* mov %ds,%eax: all of a register is written, two bytes of memory. */
void x86_tr_user_mov_from_seg(struct x86_tr *t)
{
    unsigned seg = t->i.reg & 7;

    if (seg > 5) {
        x_raise(t, XE_UD, 0);
        return;
    }
    ir_id v = selector(t, seg);
    if (x_is_mem(t, 0)) x_st(t, 2, v);
    else x_set_reg(t, t->i.rm, t->i.osize, false, v);
}

void x86_tr_user_mov_to_seg(struct x86_tr *t)
{
    unsigned seg = t->i.reg & 7;

    if (seg > 5 || seg == 1) {
        x_raise(t, XE_UD, 0);
        return;
    }
    load(t, seg, x_is_mem(t, 1) ? x_ld(t, 2) : (ir_id)(XR_GPR0 + t->i.rm));
}

void x86_tr_user_push_seg(struct x86_tr *t)
{
    x_set_sp(t, x_push_value(t, XR_GPR0 + 4, t->i.osize, selector(t, t->arg)));
}

void x86_tr_user_pop_seg(struct x86_tr *t)
{
    ir_id v = x_pop_value(t, XR_GPR0 + 4, t->i.osize);

    load(t, t->arg, v);
    x_set_sp(t, x2(t, OP_ADD, XR_GPR0 + 4, xk(t, t->i.osize)));
}

/* les lds lss lfs lgs */
void x86_tr_user_load_far(struct x86_tr *t)
{
    unsigned bytes = t->size;
    ir_id off = x_ld(t, bytes), ea = x2(t, OP_ADD, x_ea(t), xk(t, bytes));

    load(t, t->arg, ir_ld(t->b, t->w, xt(t), ea, 0, IR_M16, t->mmu));
    x_set_reg(t, t->i.reg, bytes, false, off);
}
