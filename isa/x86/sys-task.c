/*
 * sys-task.c - task switches through TSSs of 16 and 32 bits.
 *
 * Follows the Intel SDM volume 3 chapter 8 (task management). What fails before the new task's state is loaded is a fault of the
 * old task; what fails afterwards (its LDT, its segments) is one of the new task, at its first instruction.
 */
#include "isa/x86/sys.h"

/* Where things are in a TSS, by its size. */
enum { T_CR3, T_IP, T_FLAGS, T_GPR, T_SEG, T_LDT, T_FIELDS };
static const uint8_t offsets[2][T_FIELDS] = {
    { 0, 14, 16, 18, 34, 42 },
    { 28, 32, 36, 40, 72, 96 },
};
enum { TSS16_LIMIT = 0x2b, TSS_LIMIT = 0x67 };

static bool is_wide(uint32_t attr) { return sa_type(attr) & 8; }

struct task { uint32_t cr3, ip, flags, gpr[8]; uint16_t seg[6], ldt, trap; };

static void save(struct x86_cpu *x, uint32_t next, uint32_t flags)
{
    bool wide = is_wide(x->tr.attr);
    const uint8_t *at = offsets[wide];
    unsigned size = wide ? 4 : 2;

    x86_sys_st(x, x->tr.base + at[T_IP], next, size);
    x86_sys_st(x, x->tr.base + at[T_FLAGS], flags, size);
    for (unsigned r = 0; r < 8; r++) x86_sys_st(x, x->tr.base + at[T_GPR] + r * size, x86_gpr(x, r), size);
    for (unsigned s = 0; s < (wide ? 6u : 4u); s++) x86_sys_st(x, x->tr.base + at[T_SEG] + s * size, x->sel[s], 2);
}

static void load(struct x86_cpu *x, uint64_t base, bool wide, struct task *t)
{
    const uint8_t *at = offsets[wide];
    unsigned size = wide ? 4 : 2;

    *t = (struct task){ 0 };
    if (wide) t->cr3 = (uint32_t)x86_sys_ld(x, base + at[T_CR3], 4);
    t->ip = (uint32_t)x86_sys_ld(x, base + at[T_IP], size);
    t->flags = (uint32_t)x86_sys_ld(x, base + at[T_FLAGS], size);
    for (unsigned r = 0; r < 8; r++) {
        t->gpr[r] = (uint32_t)x86_sys_ld(x, base + at[T_GPR] + r * size, size);
        if (!wide) t->gpr[r] |= 0xffff0000u;
    }
    for (unsigned s = 0; s < (wide ? 6u : 4u); s++) t->seg[s] = (uint16_t)x86_sys_ld(x, base + at[T_SEG] + s * size, 2);
    t->ldt = (uint16_t)x86_sys_ld(x, base + at[T_LDT], 2);
    if (wide) t->trap = (uint16_t)x86_sys_ld(x, base + 100, 2);
}

/* From here on faults are the new task's. */
static void now_new(struct x86_cpu *x)
{
    x->c.xpc = NULL;
    x->c.xpoint = 0;
    x->c.insn_flags = 0;
    x->delivering = false;
}

static void load_ldt(struct x86_cpu *x, uint16_t sel)
{
    struct x86_desc d;

    x->ldt = (struct x86_table){ .sel = sel };
    if (!(sel & 0xfffc)) return;
    if (sel & 4 || !x86_desc_read(x, sel, false, &d) || d.hi & SA_S || sa_type(d.hi) != SYS_LDT || !(d.hi & SA_P)) {
        x->ldt.sel = 0;
        x86_raise(x, XE_TS, sel & 0xfffc);
    }
    x->ldt = (struct x86_table){ d.base, d.limit, x86_desc_attr(&d), sel };
}

static void load_cs(struct x86_cpu *x, uint16_t sel)
{
    struct x86_desc d;
    uint32_t error = sel & 0xfffc;

    if (!error || !x86_desc_read(x, sel, false, &d)) x86_raise(x, XE_TS, error);
    uint32_t a = x86_desc_attr(&d);
    if ((a & (SA_S | SA_CODE)) != (SA_S | SA_CODE)) x86_raise(x, XE_TS, error);
    if (a & SA_EC ? sa_dpl(a) > (sel & 3u) : sa_dpl(a) != (sel & 3u)) x86_raise(x, XE_TS, error);
    if (!(a & SA_P)) x86_raise(x, XE_NP, error);
    x86_desc_mark(x, &d);
    uint64_t ip = x86_lin(x) - x86_base(x, SEG_CS); /* which was written with the base of before */
    x86_seg_put_desc(x, SEG_CS, sel, &d);
    x86_set_ip(x, ip);
    x86_update_key(x);
}

static void load_segments(struct x86_cpu *x, const struct task *t)
{
    static const uint8_t order[] = { SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    struct x86_desc d;

    if (x->eflags & XFL_VM) {
        for (unsigned s = 0; s < 6; s++) {
            uint32_t ip = (uint32_t)(x86_lin(x) - x86_base(x, SEG_CS));
            x86_seg_put_real(x, s, t->seg[s]);
            if (s == SEG_CS) x86_set_ip(x, ip);
        }
        return;
    }
    load_cs(x, t->seg[SEG_CS]);
    for (unsigned i = 0; i < ARRAY_LEN(order); i++) {
        unsigned s = order[i];
        if (x86_seg_check(x, s, t->seg[s], x->cpl, XE_TS, &d)) {
            x86_desc_mark(x, &d);
            x86_seg_put_desc(x, s, t->seg[s], &d);
        } else {
            x86_seg_null(x, s, t->seg[s]);
        }
    }
}

void x86_task_switch(struct x86_cpu *x, uint16_t sel, struct x86_desc *d, enum x86_task_why why, uint64_t next, int64_t error)
{
    uint32_t bad = sel & 0xfffc, flags = x86_get_eflags(x);
    bool busy = sa_type(d->hi) & 2, wide = is_wide(d->hi), nests = why == TASK_CALL || why == TASK_GATE;
    uint16_t old_sel = x->tr.sel;
    struct x86_desc old;
    struct task t;

    if (why == TASK_IRET ? !busy : busy) x86_raise(x, why == TASK_IRET ? XE_TS : XE_GP, bad);
    if (!(d->hi & SA_P)) x86_raise(x, XE_NP, bad);
    if (d->limit < (wide ? TSS_LIMIT : TSS16_LIMIT)) x86_raise(x, XE_TS, bad);
    load(x, d->base, wide, &t);
    if (x->tr.limit < (is_wide(x->tr.attr) ? TSS_LIMIT : TSS16_LIMIT)) x86_raise(x, XE_TS, old_sel & 0xfffc);
    save(x, (uint32_t)next, why == TASK_IRET ? flags & ~(uint32_t)XFL_NT : flags);
    if (!nests && x86_desc_read(x, old_sel, false, &old)) x86_desc_busy(x, &old, false);
    if (nests) {
        x86_sys_st(x, d->base, old_sel, 2);
        t.flags |= XFL_NT;
    }
    if (why != TASK_IRET) x86_desc_busy(x, d, true);
    d->hi |= 0x200;

    x->tr = (struct x86_table){ d->base, d->limit, x86_desc_attr(d), sel };
    x->cr0 |= CR0_TS;
    x->dr[7] &= ~UINT64_C(0x155); /* local breakpoints */
    now_new(x);
    for (unsigned r = 0; r < 8; r++) x86_set_gpr(x, r, t.gpr[r]);
    x86_set_eflags(x, (t.flags | XFL_ONE) & (wide ? 0x3f7fd7u : 0x7fd7u));
    /* until they are loaded, the registers hold selectors without descriptors */
    uint64_t base = x86_base(x, SEG_CS);
    for (unsigned s = 0; s < 6; s++) {
        if (s == SEG_CS) x->sel[s] = t.seg[s];
        else x86_seg_put(x, s, t.seg[s], 0, 0, 0);
    }
    x->cpl = x->eflags & XFL_VM ? 3 : t.seg[SEG_CS] & 3;
    x86_set_cell(x, &x->pc, (uint32_t)(base + t.ip));
    if (wide && x->cr0 & CR0_PG) x86_set_cr3(x, t.cr3);
    x86_update_key(x);
    load_ldt(x, t.ldt);
    load_segments(x, &t);
    if (error >= 0) {
        struct x86_stack s = x86_stack_now(x);
        x86_push(&s, (uint64_t)error, wide ? 4 : 2);
        x86_stack_done(&s);
    }
    if ((uint32_t)(x86_lin(x) - x86_base(x, SEG_CS)) > x->seg_limit[SEG_CS]) x86_gp(x, 0);
    if (t.trap & 1) x->db_pending |= 0x40; /* BT; see x86_interrupt */
    x86_update_key(x);
    if (x->db_pending || x86_virtual_due(x)) cpu_kick(&x->c);
}
