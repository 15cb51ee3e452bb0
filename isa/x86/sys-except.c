/*
 * sys-except.c - exceptions, software and external interrupts on their way to handlers in real, protected, virtual-8086 and long
 * mode; IRET; double and triple faults; single steps, NMI, SMI and INIT.
 *
 * Follows the Intel SDM volume 3 chapter 6. Nothing of the CPU's registers changes before all that can fault has been done,
 * so that a fault on the way finds the state of before and is combined with what was being delivered (6.15, interrupt 8).
 */
#include "isa/x86/sys.h"

#include "util/log.h"

#include <inttypes.h>

ATTR_NORETURN void x86_gp(struct x86_cpu *x, uint32_t error) { x86_raise(x, XE_GP, error); }

/* Only code can be asked for where nothing answers (struct guest, open_bus). What would be ones there is not run. */
void x86_sys_fault(struct cpu *c, enum mem_fault f, enum mem_access acc, uint64_t va)
{
    (void)acc;
    c->exc = (struct exception){ .code = XE_GP, .addr = va };
    if (f == FAULT_BUS) LOG(GUEST_ERRORS, "x86: nothing answers at 0x%" PRIx64 "\n", va);
}

void x86_put_flags(struct x86_cpu *x, uint32_t v, uint32_t may)
{
    uint32_t old = x86_get_eflags(x);

    x86_set_eflags(x, (old & ~may) | (v & may));
    if ((old ^ v) & may & (XFL_TF | XFL_AC | XFL_VM | XFL_RF)) x86_update_key(x);
    if (v & ~old & may & XFL_IF) x86_look_for_interrupts(x);
}

uint32_t x86_flags_seen(const struct x86_cpu *x, uint32_t f)
{
    if (!x86_v86(x) || !x86_virtual_if(x)) return f;
    return (f & ~(uint32_t)XFL_IF) | XFL_IOPL | (f & XFL_VIF ? XFL_IF : 0);
}

/* ---- one event ---- */

struct event {
    unsigned vector;
    bool soft;             /* INT n, INT3, INTO: the gate's privilege counts, and the return address lies behind */
    bool int_n;            /* INT n */
    bool external;
    bool has_error;
    uint32_t error;
    uint64_t next;         /* linear address to return to */
    uint32_t flags;        /* as pushed */
};

/* Error codes of faults on the way: EXT. */
static uint32_t ext(const struct event *e) { return e->soft ? 0 : 1; }
static uint32_t idt_error(const struct event *e) { return e->vector << 3 | 2 | ext(e); }

static void clear_after_entry(struct x86_cpu *x, uint32_t bits)
{
    x->eflags &= ~bits;
    x86_update_key(x);
}

static void deliver_real(struct x86_cpu *x, const struct event *e)
{
    struct x86_stack s = x86_stack_now(x);

    if (4 * e->vector + 3 > x->idt.limit) x86_gp(x, idt_error(e));
    uint32_t to = (uint32_t)x86_sys_ld(x, x->idt.base + 4 * e->vector, 4);
    x86_push(&s, e->flags, 2);
    x86_push(&s, x->sel[SEG_CS], 2);
    x86_push(&s, x86_ip_of(x, e->next), 2);
    x86_seg_put_real(x, SEG_CS, (uint16_t)(to >> 16));
    x86_set_ip(x, to & 0xffff);
    x86_stack_done(&s);
    clear_after_entry(x, XFL_IF | XFL_TF | XFL_AC | XFL_RF);
}

/* Does the bitmap in front of the task's I/O bitmap leave this INT n to the program of virtual-8086 mode? The manuals do not say
 * what a task state without one means: #GP, as where a bitmap of ports ends. */
static bool redirected(struct x86_cpu *x, unsigned vector)
{
    if (x->tr.limit < 0x67) x86_gp(x, 0);
    uint32_t at = (uint32_t)x86_sys_ld(x, x->tr.base + 0x66, 2) - 32 + vector / 8;
    if (at > x->tr.limit) x86_gp(x, 0);
    return !(x86_sys_ld(x, x->tr.base + at, 1) >> vector % 8 & 1);
}

/* INT n through the vectors at linear address 0, without leaving virtual-8086 mode. */
static void deliver_v86(struct x86_cpu *x, const struct event *e)
{
    struct x86_stack s = x86_stack_now(x);
    uint32_t to = (uint32_t)x86_sys_ld(x, 4 * e->vector, 4), off = x86_virtual_if(x) ? XFL_VIF : XFL_IF;

    x86_push(&s, x86_flags_seen(x, e->flags), 2);
    x86_push(&s, x->sel[SEG_CS], 2);
    x86_push(&s, x86_ip_of(x, e->next), 2);
    x86_seg_put_real(x, SEG_CS, (uint16_t)(to >> 16));
    x86_set_ip(x, to & 0xffff);
    x86_stack_done(&s);
    clear_after_entry(x, off | XFL_TF | XFL_RF);
}

struct gate { unsigned type; uint16_t sel; uint64_t ip; unsigned ist; };

static void read_gate(struct x86_cpu *x, const struct event *e, struct gate *g)
{
    bool l = x86_long(x);
    uint32_t at = e->vector * (l ? 16 : 8);

    if (at + (l ? 15 : 7) > x->idt.limit) x86_gp(x, idt_error(e));
    uint64_t v = x86_sys_ld(x, x->idt.base + at, 8);
    uint32_t lo = (uint32_t)v, hi = (uint32_t)(v >> 32);
    g->type = sa_type(hi);
    g->sel = (uint16_t)(lo >> 16);
    g->ip = (lo & 0xffff) | (hi & 0xffff0000u);
    g->ist = l ? hi & 7 : 0;
    if (l) g->ip |= (x86_sys_ld(x, x->idt.base + at + 8, 8) & 0xffffffff) << 32;
    bool known = l ? g->type == SYS_INT || g->type == SYS_TRAP
                   : g->type == SYS_TASK || g->type == SYS_INT16 || g->type == SYS_TRAP16 || g->type == SYS_INT || g->type == SYS_TRAP;
    if (hi & SA_S || !known) x86_gp(x, idt_error(e));
    if (e->soft && sa_dpl(hi) < x->cpl) x86_gp(x, idt_error(e));
    if (!(hi & SA_P)) x86_raise(x, XE_NP, idt_error(e));
    if (g->type == SYS_INT16 || g->type == SYS_TRAP16) g->ip &= 0xffff;
}

static void task_gate(struct x86_cpu *x, const struct event *e, const struct gate *g)
{
    uint32_t error = (g->sel & 0xfffcu) | ext(e);
    struct x86_desc d;

    if (g->sel & 4 || !(g->sel & 0xfffc) || !x86_desc_read(x, g->sel, false, &d)) x86_gp(x, error);
    if (d.hi & SA_S || (sa_type(d.hi) & 7) != SYS_TSS16) x86_gp(x, error);
    if (!(d.hi & SA_P)) x86_raise(x, XE_NP, error);
    x86_task_switch(x, g->sel, &d, TASK_GATE, x86_ip_of(x, e->next), e->has_error ? (int64_t)e->error : -1);
}

static void handler_code(struct x86_cpu *x, const struct event *e, const struct gate *g, struct x86_desc *cs)
{
    uint32_t error = (g->sel & 0xfffcu) | ext(e);

    if (!(g->sel & 0xfffc)) x86_gp(x, ext(e));
    if (!x86_desc_read(x, g->sel, false, cs)) x86_gp(x, error);
    uint32_t a = x86_desc_attr(cs);
    if ((a & (SA_S | SA_CODE)) != (SA_S | SA_CODE) || sa_dpl(a) > x->cpl) x86_gp(x, error);
    if (!(a & SA_P)) x86_raise(x, XE_NP, error);
    if (x86_long(x) && (!(a & SA_L) || a & SA_DB)) x86_gp(x, error);
}

static void finish(struct x86_cpu *x, const struct gate *g, struct x86_desc *cs, unsigned cpl)
{
    x86_desc_mark(x, cs);
    x86_seg_put_desc(x, SEG_CS, (uint16_t)((g->sel & ~3u) | cpl), cs);
    x->cpl = (uint8_t)cpl;
    x86_set_ip(x, g->ip);
}

static void deliver_long(struct x86_cpu *x, const struct event *e, const struct gate *g, struct x86_desc *cs)
{
    uint32_t a = x86_desc_attr(cs);
    bool inner = !(a & SA_EC) && sa_dpl(a) < x->cpl;
    unsigned cpl = inner ? sa_dpl(a) : x->cpl;
    uint64_t sp = x86_gpr(x, 4), old = sp;

    if (inner || g->ist) {
        uint32_t at = g->ist ? 28 + 8 * g->ist : 4 + 8 * cpl;
        if (at + 7 > x->tr.limit) x86_raise(x, XE_TS, (x->tr.sel & 0xfffcu) | ext(e));
        sp = x86_sys_ld(x, x->tr.base + at, 8);
        if (!x86_canonical(sp)) x86_raise(x, XE_SS, ext(e));
    }
    if (!x86_canonical(g->ip)) x86_gp(x, ext(e));
    struct x86_stack s = { .x = x, .sp = sp & ~UINT64_C(15), .mask = UINT64_MAX, .mmu = x86_data_mmu(x, cpl), .wide = true, .error = ext(e) };
    x86_push(&s, x->sel[SEG_SS], 8);
    x86_push(&s, old, 8);
    x86_push(&s, e->flags, 8);
    x86_push(&s, x->sel[SEG_CS], 8);
    x86_push(&s, x86_ip_of(x, e->next), 8);
    if (e->has_error) x86_push(&s, e->error, 8);
    finish(x, g, cs, cpl);
    if (inner) x86_seg_null(x, SEG_SS, (uint16_t)cpl);
    x86_set_gpr(x, 4, s.sp);
}

static void deliver_protected(struct x86_cpu *x, const struct event *e, const struct gate *g, struct x86_desc *cs)
{
    uint32_t a = x86_desc_attr(cs);
    bool v86 = x->eflags & XFL_VM, inner = !(a & SA_EC) && sa_dpl(a) < x->cpl;
    unsigned cpl = inner ? sa_dpl(a) : x->cpl, n = g->type & 8 ? 4 : 2;
    struct x86_stack s;
    struct x86_desc ss;
    uint16_t new_ss = 0;

    if (v86 && (!inner || cpl)) x86_gp(x, (g->sel & 0xfffcu) | ext(e));
    if (inner) {
        uint64_t sp;
        x86_tss_stack(x, cpl, &new_ss, &sp);
        x86_inner_ss(x, new_ss, cpl, ext(e), &ss);
        s = x86_stack_in(x, &ss, sp, cpl, (new_ss & 0xfffcu) | ext(e));
        if (v86) {
            x86_push(&s, x->sel[SEG_GS], n);
            x86_push(&s, x->sel[SEG_FS], n);
            x86_push(&s, x->sel[SEG_DS], n);
            x86_push(&s, x->sel[SEG_ES], n);
        }
        x86_push(&s, x->sel[SEG_SS], n);
        x86_push(&s, x86_gpr(x, 4), n);
    } else {
        s = x86_stack_now(x);
        s.error = ext(e);
    }
    x86_push(&s, e->flags, n);
    x86_push(&s, x->sel[SEG_CS], n);
    x86_push(&s, x86_ip_of(x, e->next), n);
    if (e->has_error) x86_push(&s, e->error, n);
    if ((uint32_t)g->ip > cs->limit) x86_gp(x, ext(e));
    x->eflags &= ~(uint32_t)XFL_VM;
    finish(x, g, cs, cpl);
    if (v86) {
        static const uint8_t data[4] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
        for (unsigned i = 0; i < 4; i++) x86_seg_null(x, data[i], 0);
    }
    if (inner) {
        x86_desc_mark(x, &ss);
        x86_seg_put_desc(x, SEG_SS, new_ss, &ss);
    }
    x86_stack_done(&s);
}

static void deliver(struct x86_cpu *x, const struct event *e)
{
    struct gate g;
    struct x86_desc cs;

    x->delivering = true;
    x->delivering_vector = (uint8_t)e->vector;
    x->delivering_soft = e->soft;
    x->delivering_external = e->external;
    x->c.halted = false;
    x->in_mwait = false;
    if (log_on(LOG_INT))
        log_printf("x86: %s %02x error %04x at %04x:%08" PRIx64 " cpl %u to %s\n", e->soft ? "INT" : e->external ? "interrupt" : "exception",
                   e->vector, e->has_error ? e->error : 0, x->sel[SEG_CS], x86_ip_of(x, e->next), x->cpl,
                   !(x->cr0 & CR0_PE) ? "real mode" : x86_long(x) ? "long mode" : "protected mode");
    if (!(x->cr0 & CR0_PE)) {
        deliver_real(x, e);
        x->delivering = false;
        return;
    }
    if (e->int_n && x->eflags & XFL_VM) {
        if (x->cr4 & CR4_VME && redirected(x, e->vector)) {
            deliver_v86(x, e);
            x->delivering = false;
            return;
        }
        if (x86_iopl(x) < 3) x86_gp(x, 0);
    }
    read_gate(x, e, &g);
    if (g.type == SYS_TASK) {
        task_gate(x, e, &g);
        x->delivering = false;
        return;
    }
    handler_code(x, e, &g, &cs);
    if (x86_long(x)) deliver_long(x, e, &g, &cs);
    else deliver_protected(x, e, &g, &cs);
    x->delivering = false;
    clear_after_entry(x, XFL_TF | XFL_NT | XFL_RF | XFL_VM | (g.type & 1 ? 0 : XFL_IF));
}

/* ---- exceptions ---- */

static bool has_error(unsigned v) { return v == XE_DF || (v >= XE_TS && v <= XE_PF) || v == XE_AC; }
static bool contributory(unsigned v) { return v == XE_DE || (v >= XE_TS && v <= XE_GP); }

/* What comes of `vector` while another event is on its way: itself, #DF, or -1: the end. */
static int combine(const struct x86_cpu *x, unsigned vector)
{
    unsigned first = x->delivering_vector;

    if (x->delivering_external || x->delivering_soft) return (int)vector;
    if (first == XE_DF && (contributory(vector) || vector == XE_PF)) return -1;
    if (contributory(first) && contributory(vector)) return XE_DF;
    if (first == XE_PF && (contributory(vector) || vector == XE_PF)) return XE_DF;
    return (int)vector;
}

/* A numeric error without CR0.NE is an interrupt of the board's; the instruction waits for it, or for IGNNE. */
static bool numeric_error(struct x86_cpu *x)
{
    if (x->cr0 & CR0_NE) return false;
    x86_set_ferr(x, true);
    x->ferr_wait = true;
    x->c.halted = true;
    return true;
}

void x86_exception(struct cpu *c)
{
    struct x86_cpu *x = x86_cpu(c);
    struct event e = { .next = x86_lin(x) };
    uint32_t code = c->exc.code, length = c->insn_flags & XI_LEN_MASK;

    c->key &= ~(uint64_t)XK_SHADOW;
    if (code == XE_MF && numeric_error(x)) return;
    x->db_pending &= code == XE_DB ? 0xff : 0;
    if (code == XE_INT || code == XE_BP || code == XE_OF) {
        e.soft = true;
        e.int_n = code == XE_INT;
        e.vector = code == XE_INT ? c->exc.sub : code;
        e.next = x86_long(x) && x86_code64(x) ? e.next + length : (uint32_t)(e.next + length);
    } else {
        e.vector = code;
        e.has_error = has_error(code);
        e.error = c->exc.sub;
    }
    /* INT1 is a trap; so is what single-steps and data breakpoints found, see x86_interrupt */
    bool icebp = code == XE_DB && c->exc.sub == 1;
    if (icebp) e.next = x86_code64(x) ? e.next + length : (uint32_t)(e.next + length);
    if (code == XE_PF) x->cr2 = c->exc.addr;
    if (x->delivering && !e.soft) {
        int v = combine(x, e.vector);
        if (v < 0) {
            x86_stop(x);
            return;
        }
        if ((unsigned)v != e.vector) e.vector = XE_DF, e.has_error = true, e.error = 0;
    }
    e.flags = x86_get_eflags(x);
    bool trap = e.soft || icebp;
    if (!trap && e.vector != XE_DB && e.vector != XE_DF) e.flags |= XFL_RF;
    if (e.vector == XE_DB && !icebp && c->exc.sub) {
        x->dr[6] = (x->dr[6] & ~UINT64_C(15)) | (c->exc.sub >> 8 & 0xf) | 0xffff0ff0u;
        x->dr[7] &= ~UINT64_C(0x2000);
    }
    if (!(x->cr0 & CR0_PE)) e.has_error = false;
    deliver(x, &e);
}

/* ---- interrupts ---- */

static bool may_interrupt(const struct x86_cpu *x) { return x->eflags & XFL_IF; }

/* What devices' threads write */
static bool intr(const struct x86_cpu *x) { return atomic_load_int(&x->pins) >> X86_PIN_INTR & 1; }
static bool ignne(const struct x86_cpu *x) { return atomic_load_int(&x->pins) >> X86_PIN_IGNNE & 1; }
static bool init_due(const struct x86_cpu *x) { return atomic_load_int(&x->init_pending); }
static bool sipi_due(const struct x86_cpu *x) { return atomic_load_int(&x->sipi); }
static bool nmi_due(const struct x86_cpu *x) { return atomic_load_int(&x->nmi_pending) && !x->nmi_blocked; }
static bool smi_due(const struct x86_cpu *x) { return atomic_load_int(&x->smi_pending); }

bool x86_has_work(struct cpu *c)
{
    struct x86_cpu *x = x86_cpu(c);

    if (x->stopped) return init_due(x);
    if (x->wait_sipi) return init_due(x) || sipi_due(x);
    if (init_due(x) || smi_due(x) || nmi_due(x) || x->db_pending) return true;
    if (x->ferr_wait && ignne(x)) return true;
    if (x86_virtual_due(x)) return true;
    return intr(x) && (may_interrupt(x) || x->in_mwait);
}

static void debug_trap(struct x86_cpu *x)
{
    uint8_t what = x->db_pending;
    struct event e = { .vector = XE_DB, .next = x86_lin(x), .flags = x86_get_eflags(x) };

    x->db_pending = 0;
    x->dr[6] = (x->dr[6] & ~UINT64_C(15)) | 0xffff0ff0u | (what & 15) | (what & 0x80 ? 1u << 14 : 0) | (what & 0x40 ? 1u << 15 : 0);
    x->dr[7] &= ~UINT64_C(0x2000);
    deliver(x, &e);
}

bool x86_interrupt(struct cpu *c)
{
    struct x86_cpu *x = x86_cpu(c);
    struct event e = { .external = true };

    if (x->user) return false; /* the kernel's business; single steps: user/abi.h, trapped */
    if (init_due(x)) {
        atomic_store_int(&x->init_pending, false);
        x86_sys_reset(x, true);
        if (!x->wait_sipi) return true;
    }
    if (sipi_due(x)) {
        x86_take_sipi(x);
        if (!x->wait_sipi && !x->stopped) return true;
    }
    if (x->stopped || x->wait_sipi) {
        c->halted = true;
        return false;
    }
    if (c->key & XK_SHADOW) return false; /* one more instruction first, see x86_helper_unshadow */
    x->delivering = false;
    c->insn_flags = 0;
    if (smi_due(x) && !x->smm) {
        atomic_store_int(&x->smi_pending, false);
        c->halted = false;
        x86_enter_smm(x);
        return true;
    }
    if (x->db_pending) {
        debug_trap(x);
        return true;
    }
    e.next = x86_lin(x);
    e.flags = x86_get_eflags(x);
    if (nmi_due(x)) {
        atomic_store_int(&x->nmi_pending, false);
        x->nmi_blocked = true;
        e.vector = 2;
        x->ferr_wait = false;
        deliver(x, &e);
        return true;
    }
    if (x86_virtual_due(x) && !(intr(x) && may_interrupt(x))) {
        e = (struct event){ .vector = XE_GP, .has_error = true, .next = e.next, .flags = e.flags | XFL_RF };
        deliver(x, &e);
        return true;
    }
    if (!intr(x)) {
        if (x->ferr_wait && ignne(x)) x->ferr_wait = c->halted = false;
        return false;
    }
    if (!may_interrupt(x)) {
        if (x->in_mwait) x->in_mwait = c->halted = false;
        return false;
    }
    int v = x->board && x->board->acknowledge ? x->board->acknowledge(x->board_opaque, c) : -1;
    if (v < 0) return false;
    e.vector = (unsigned)v & 0xff;
    x->ferr_wait = false;
    deliver(x, &e);
    return true;
}

/* ---- iret ---- */

enum { IRET_FLAGS = XFL_ARITH | XFL_DF | XFL_TF | XFL_NT | XFL_RF | XFL_AC | XFL_ID };

/* RF means something only while breakpoints are on. */
static uint32_t without_idle_rf(const struct x86_cpu *x, uint32_t f) { return x->dr[7] & 0xff || f & XFL_TF ? f : f & ~(uint32_t)XFL_RF; }

static void iret_real(struct x86_cpu *x, unsigned n)
{
    struct x86_stack s = x86_stack_now(x);
    bool v86 = x->eflags & XFL_VM;
    uint32_t may = IRET_FLAGS | XFL_IF | (v86 ? 0 : XFL_IOPL);

    if (v86) x86_v86_flags(x, n, 0);
    uint32_t ip = (uint32_t)x86_pop(&s, n);
    uint16_t sel = (uint16_t)x86_pop(&s, n);
    uint32_t f = (uint32_t)x86_pop(&s, n);
    if (v86) x86_v86_flags(x, n, f);
    if (ip > x->seg_limit[SEG_CS]) x86_gp(x, 0);
    x86_seg_put_real(x, SEG_CS, sel);
    x86_set_ip(x, ip);
    x86_stack_done(&s);
    if (n == 2) may &= 0xffff;
    if (v86 && x86_virtual_if(x)) may ^= XFL_IF | XFL_VIF, f = (f & ~(uint32_t)XFL_VIF) | (f & XFL_IF ? XFL_VIF : 0);
    x86_put_flags(x, without_idle_rf(x, f), may);
}

static void iret_v86(struct x86_cpu *x, struct x86_stack *s, uint32_t ip, uint16_t cs, uint32_t f)
{
    static const uint8_t order[4] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    uint32_t sp = (uint32_t)x86_pop(s, 4);
    uint16_t ss = (uint16_t)x86_pop(s, 4), v[4];

    for (unsigned i = 0; i < 4; i++) v[i] = (uint16_t)x86_pop(s, 4);
    x86_set_eflags(x, (f & 0x3f7fd7) | XFL_VM);
    x->eflags = without_idle_rf(x, x->eflags);
    x->cpl = 3;
    x86_seg_put_real(x, SEG_CS, cs);
    x86_seg_put_real(x, SEG_SS, ss);
    for (unsigned i = 0; i < 4; i++) x86_seg_put_real(x, order[i], v[i]);
    x86_set_gpr(x, 4, sp);
    x86_set_ip(x, ip & 0xffff);
}

static void iret_task(struct x86_cpu *x, uint64_t next)
{
    struct x86_desc d;

    if (x86_long(x)) x86_gp(x, 0);
    uint16_t sel = (uint16_t)x86_sys_ld(x, x->tr.base, 2);
    uint32_t error = sel & 0xfffc;
    if (sel & 4 || !error || !x86_desc_read(x, sel, false, &d)) x86_raise(x, XE_TS, error);
    if (d.hi & SA_S || (sa_type(d.hi) & 7) != SYS_TSS16_BUSY) x86_raise(x, XE_TS, error);
    x86_task_switch(x, sel, &d, TASK_IRET, next, -1);
}

static void iret_protected(struct x86_cpu *x, unsigned n)
{
    struct x86_stack s = x86_stack_now(x);
    bool code64 = x86_code64(x), have_ss = true;
    uint64_t ip = x86_pop(&s, n), sp = 0;
    uint16_t sel = (uint16_t)x86_pop(&s, n), ss = 0;
    uint32_t f = (uint32_t)x86_pop(&s, n), may = IRET_FLAGS, error = sel & 0xfffc;
    unsigned rpl = sel & 3, cpl = x->cpl;
    struct x86_desc cs, d;

    if (n == 4 && f & XFL_VM && !cpl && !x86_long(x)) {
        iret_v86(x, &s, (uint32_t)ip, sel, f);
        return;
    }
    if (!error) x86_gp(x, 0);
    if (!x86_desc_read(x, sel, false, &cs)) x86_gp(x, error);
    uint32_t a = x86_desc_attr(&cs);
    if ((a & (SA_S | SA_CODE)) != (SA_S | SA_CODE) || rpl < cpl) x86_gp(x, error);
    if (a & SA_EC ? sa_dpl(a) > rpl : sa_dpl(a) != rpl) x86_gp(x, error);
    if (!(a & SA_P)) x86_raise(x, XE_NP, error);
    bool to64 = x86_long(x) && a & SA_L;
    if (to64 && a & SA_DB) x86_gp(x, error);
    bool pops_ss = rpl > cpl || code64;
    if (pops_ss) {
        sp = x86_pop(&s, n);
        ss = (uint16_t)x86_pop(&s, n);
        if (!(ss & 0xfffc) && to64 && rpl != 3 && (ss & 3u) == rpl) have_ss = false;
        else if (!(ss & 0xfffc)) x86_gp(x, 0);
        else x86_seg_check(x, SEG_SS, ss, rpl, XE_GP, &d);
    }
    if (to64 ? !x86_canonical(ip) : (uint32_t)ip > cs.limit) x86_gp(x, 0);
    if (cpl <= x86_iopl(x)) may |= XFL_IF;
    if (!cpl) may |= XFL_IOPL | XFL_VIF | XFL_VIP;
    if (n == 2) may &= 0xffff;
    x86_desc_mark(x, &cs);
    if (pops_ss && have_ss) x86_desc_mark(x, &d);
    x86_seg_put_desc(x, SEG_CS, (uint16_t)((sel & ~3u) | rpl), &cs);
    x->cpl = (uint8_t)rpl;
    x86_set_ip(x, ip);
    if (!pops_ss) {
        x86_stack_done(&s);
    } else {
        if (have_ss) x86_seg_put_desc(x, SEG_SS, ss, &d);
        else x86_seg_null(x, SEG_SS, ss);
        struct x86_stack now = x86_stack_now(x);
        now.sp = sp;
        x86_stack_done(&now);
        if (rpl > cpl) x86_drop_outer_segments(x);
    }
    x86_put_flags(x, without_idle_rf(x, f), may);
}

/* a = osize, b = linear address behind the instruction */
uint64_t x86_helper_iret(struct cpu *c, uint64_t n, uint64_t next, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)b;
    if (!x86_protected(x)) iret_real(x, (unsigned)n);
    else if (x->eflags & XFL_NT) iret_task(x, x86_ip_of(x, next));
    else iret_protected(x, (unsigned)n);
    x->nmi_blocked = false;
    x86_update_key(x);
    x86_look_for_interrupts(x);
    return x86_lin(x);
}

/* ---- fast system calls ---- */

static void flat(struct x86_cpu *x, unsigned s, uint16_t sel, unsigned cpl, uint32_t extra)
{
    x86_seg_put(x, s, sel, 0, 0xffffffffu, SA_P | SA_S | SA_RW | SA_ACCESSED | SA_G | cpl << SA_DPL_SHIFT | extra);
}

/* a = 1: sysenter; b = linear address behind the instruction. The new linear pc. */
uint64_t x86_helper_syscall(struct cpu *c, uint64_t sysenter, uint64_t next, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);
    bool l = x86_long(x);

    (void)b;
    if (sysenter) {
        if (!(x->sysenter_cs & 0xfffc)) x86_gp(x, 0);
        uint16_t cs = (uint16_t)x->sysenter_cs & 0xfffc;
        x->cpl = 0;
        x->eflags &= ~(uint32_t)(XFL_VM | XFL_IF | XFL_RF);
        flat(x, SEG_CS, cs, 0, SA_CODE | (l ? SA_L : SA_DB));
        flat(x, SEG_SS, (uint16_t)(cs + 8), 0, SA_DB);
        x86_set_gpr(x, 4, l ? x->sysenter_esp : (uint32_t)x->sysenter_esp);
        x86_set_ip(x, l ? x->sysenter_eip : (uint32_t)x->sysenter_eip);
    } else {
        uint16_t cs = (uint16_t)(x->star >> 32) & 0xfffc;
        bool from64 = x86_code64(x);
        if (!(x->efer & EFER_SCE)) x86_raise(x, XE_UD, 0);
        uint32_t flags = x86_get_eflags(x) & ~(uint32_t)XFL_RF;
        x86_set_gpr(x, 1, from64 ? next : (uint32_t)next - (uint32_t)x86_base(x, SEG_CS));
        x->cpl = 0;
        if (l) {
            x86_set_gpr(x, 11, flags);
            x86_set_eflags(x, flags & ~(uint32_t)x->fmask & ~(uint32_t)XFL_RF);
            flat(x, SEG_CS, cs, 0, SA_CODE | SA_L);
        } else {
            x->eflags &= ~(uint32_t)(XFL_VM | XFL_IF | XFL_RF);
            flat(x, SEG_CS, cs, 0, SA_CODE | SA_DB);
        }
        flat(x, SEG_SS, (uint16_t)(cs + 8), 0, SA_DB);
        x86_set_ip(x, l ? from64 ? x->lstar : x->cstar : (uint32_t)x->star);
    }
    x86_update_key(x);
    return x86_lin(x);
}

/* sysexit, sysret. a = 1: sysret; b = osize. The new linear pc. */
uint64_t x86_helper_sysret(struct cpu *c, uint64_t sysret, uint64_t osize, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);
    bool to64 = osize == 8;

    (void)b;
    if (sysret) {
        if (!(x->efer & EFER_SCE)) x86_raise(x, XE_UD, 0);
        if (!x86_protected(x) || x->cpl) x86_gp(x, 0);
        uint16_t base = (uint16_t)(x->star >> 48);
        uint64_t ip = x86_gpr(x, 1);
        if (to64 && !x86_canonical(ip)) x86_gp(x, 0);
        if (x86_long(x)) x86_set_eflags(x, ((uint32_t)x86_gpr(x, 11) & 0x3c7fd7) | XFL_ONE);
        else x->eflags |= XFL_IF;
        x->cpl = 3;
        flat(x, SEG_CS, (uint16_t)((base + (to64 ? 16 : 0)) | 3), 3, SA_CODE | (to64 ? SA_L : SA_DB));
        flat(x, SEG_SS, (uint16_t)((base + 8) | 3), 3, SA_DB);
        x86_set_ip(x, to64 ? ip : (uint32_t)ip);
    } else {
        uint16_t base = (uint16_t)x->sysenter_cs & 0xfffc;
        if (!base || x->cpl) x86_gp(x, 0);
        uint64_t sp = x86_gpr(x, 1), ip = x86_gpr(x, 2);
        if (to64 && (!x86_canonical(sp) || !x86_canonical(ip))) x86_gp(x, 0);
        x->cpl = 3;
        flat(x, SEG_CS, (uint16_t)((base + (to64 ? 32 : 16)) | 3), 3, SA_CODE | (to64 ? SA_L : SA_DB));
        flat(x, SEG_SS, (uint16_t)((base + (to64 ? 40 : 24)) | 3), 3, SA_DB);
        x86_set_gpr(x, 4, to64 ? sp : (uint32_t)sp);
        x86_set_ip(x, to64 ? ip : (uint32_t)ip);
    }
    x86_update_key(x);
    x86_look_for_interrupts(x);
    return x86_lin(x);
}
