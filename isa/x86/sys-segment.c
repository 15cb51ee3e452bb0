/*
 * sys-segment.c - descriptors, segment registers with their hidden parts, stacks of all kinds, far jumps, calls and returns
 * through segments and call gates, and the instructions that ask about selectors.
 *
 * Follows the Intel SDM volume 3 chapters 3 and 5, and volume 2 for the pseudo-code of each instruction. Task switches are in
 * sys-task.c.
 */
#include "isa/x86/sys.h"

#include "util/log.h"

/* ---- supervisor accesses ---- */

unsigned x86_data_mmu(const struct x86_cpu *x, unsigned cpl)
{
    if (cpl == 3) return X86_MMU_USER;
    return x->cr4 & CR4_SMAP && !(x->eflags & XFL_AC) ? X86_MMU_SMAP : X86_MMU_KERNEL;
}

static unsigned table_mmu(const struct x86_cpu *x) { return x->cr4 & CR4_SMAP ? X86_MMU_SMAP : X86_MMU_KERNEL; }
static unsigned mem_size(unsigned size) { return size == 1 ? IR_M8 : size == 2 ? IR_M16 : size == 4 ? IR_M32 : IR_M64; }
static uint64_t cut(const struct x86_cpu *x, uint64_t va) { return x86_long(x) ? va : (uint32_t)va; }

uint64_t x86_sys_ld(struct x86_cpu *x, uint64_t va, unsigned size) { return cpu_ld(&x->c, cut(x, va), mem_size(size), table_mmu(x)); }
void x86_sys_st(struct x86_cpu *x, uint64_t va, uint64_t v, unsigned size) { cpu_st(&x->c, cut(x, va), v, mem_size(size), table_mmu(x)); }

/* ---- descriptors ---- */

static void fill(struct x86_desc *d)
{
    d->base = d->lo >> 16 | (uint64_t)(d->hi & 0xff) << 16 | (uint64_t)(d->hi & 0xff000000u) | (uint64_t)d->base_hi << 32;
    d->limit = (d->lo & 0xffff) | (d->hi & 0xf0000);
    if (d->hi & SA_G) d->limit = d->limit << 12 | 0xfff;
}

bool x86_desc_read(struct x86_cpu *x, uint16_t sel, bool wide, struct x86_desc *d)
{
    const struct x86_table *t = sel & 4 ? &x->ldt : &x->gdt;
    uint32_t at = sel & 0xfff8;
    uint64_t v;

    if (x->user) {
        if (!x86_user_descriptor(x, sel, &v)) return false;
        d->lo = (uint32_t)v, d->hi = (uint32_t)(v >> 32), d->base_hi = 0, d->at = 0;
        fill(d);
        return true;
    }
    if (sel & 4 && !(t->sel & 0xfffc)) return false;
    if (at + 7 > t->limit) return false;
    d->at = cut(x, t->base + at);
    v = x86_sys_ld(x, d->at, 8);
    d->lo = (uint32_t)v, d->hi = (uint32_t)(v >> 32), d->base_hi = 0;
    if (wide && !(d->hi & SA_S)) {
        if (at + 15 > t->limit) return false;
        v = x86_sys_ld(x, d->at + 8, 8);
        d->base_hi = (uint32_t)v;
        if (v >> 40 & 0x1f) return false;
    }
    fill(d);
    return true;
}

void x86_desc_mark(struct x86_cpu *x, struct x86_desc *d)
{
    if (d->hi & SA_ACCESSED) return;
    d->hi |= SA_ACCESSED;
    x86_sys_st(x, d->at + 5, d->hi >> 8 & 0xff, 1);
}

void x86_desc_busy(struct x86_cpu *x, struct x86_desc *d, bool busy)
{
    d->hi = busy ? d->hi | 0x200 : d->hi & ~0x200u;
    x86_sys_st(x, d->at + 5, d->hi >> 8 & 0xff, 1);
}

/* ---- segment registers ---- */

void x86_seg_update(struct x86_cpu *x, unsigned s)
{
    uint32_t a = x->seg_attr[s];
    bool code = a & SA_CODE, simple = a & SA_P && (s == SEG_CS || (code ? false : (a & (SA_RW | SA_EC)) == SA_RW));

    if (!(x->cr0 & CR0_PE)) simple = true; /* real mode asks for the limit only */
    x->seg_fast[s] = simple ? x->seg_limit[s] : 0;
}

void x86_seg_put(struct x86_cpu *x, unsigned s, uint16_t sel, uint64_t base, uint32_t limit, uint32_t attr)
{
    x->sel[s] = sel;
    x86_set_base(x, s, base);
    x->seg_limit[s] = limit;
    x->seg_attr[s] = attr;
    x86_seg_update(x, s);
}

void x86_seg_put_desc(struct x86_cpu *x, unsigned s, uint16_t sel, const struct x86_desc *d)
{
    x86_seg_put(x, s, sel, d->base, d->limit, x86_desc_attr(d));
}

void x86_seg_put_real(struct x86_cpu *x, unsigned s, uint16_t sel)
{
    if (x->eflags & XFL_VM) {
        x86_seg_put(x, s, sel, (uint32_t)sel << 4, 0xffff, SA_P | 3u << SA_DPL_SHIFT | SA_S | SA_RW | SA_ACCESSED);
        return;
    }
    /* the limit and the rest of the hidden part stay */
    x86_seg_put(x, s, sel, (uint32_t)sel << 4, x->seg_limit[s], x->seg_attr[s]);
}

/* A null selector leaves the base as it is in 64-bit mode on some processors; here it is 0. */
void x86_seg_null(struct x86_cpu *x, unsigned s, uint16_t sel)
{
    uint32_t attr = s == SEG_SS ? (uint32_t)x->cpl << SA_DPL_SHIFT | (x86_long(x) ? SA_P | SA_S | SA_RW | SA_ACCESSED | SA_DB : 0) : 0;
    x86_seg_put(x, s, sel, 0, 0, attr);
}

bool x86_seg_check(struct x86_cpu *x, unsigned s, uint16_t sel, unsigned cpl, unsigned bad, struct x86_desc *d)
{
    unsigned rpl = sel & 3;

    if (!(sel & 0xfffc)) {
        if (s == SEG_SS && (!x86_code64(x) || cpl == 3 || rpl != cpl)) x86_raise(x, bad, 0);
        return false;
    }
    if (!x86_desc_read(x, sel, false, d)) x86_raise(x, bad, sel & 0xfffc);
    uint32_t a = x86_desc_attr(d);
    bool code = a & SA_CODE;
    unsigned dpl = sa_dpl(a);
    if (!(a & SA_S)) x86_raise(x, bad, sel & 0xfffc);
    if (s == SEG_SS) {
        if (code || !(a & SA_RW) || rpl != cpl || dpl != cpl) x86_raise(x, bad, sel & 0xfffc);
        if (!(a & SA_P)) x86_raise(x, XE_SS, sel & 0xfffc);
    } else {
        if (code && !(a & SA_RW)) x86_raise(x, bad, sel & 0xfffc);
        if (!(code && a & SA_EC) && (rpl > dpl || cpl > dpl)) x86_raise(x, bad, sel & 0xfffc);
        if (!(a & SA_P)) x86_raise(x, XE_NP, sel & 0xfffc);
    }
    return true;
}

void x86_seg_load(struct x86_cpu *x, unsigned s, uint16_t sel)
{
    struct x86_desc d;

    if (!x86_protected(x)) {
        x86_seg_put_real(x, s, sel);
        return;
    }
    if (!x86_seg_check(x, s, sel, x->cpl, XE_GP, &d)) {
        x86_seg_null(x, s, sel);
        return;
    }
    x86_desc_mark(x, &d);
    x86_seg_put_desc(x, s, sel, &d);
}

bool x86_limit_ok(uint32_t attr, uint32_t limit, uint64_t off, unsigned bytes)
{
    uint64_t last = off + bytes - 1;

    if ((attr & (SA_CODE | SA_EC)) == SA_EC) return off > limit && last <= (attr & SA_DB ? 0xffffffffu : 0xffffu);
    return last <= limit;
}

void x86_drop_outer_segments(struct x86_cpu *x)
{
    static const uint8_t list[4] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

    for (unsigned i = 0; i < 4; i++) {
        unsigned s = list[i];
        uint32_t a = x->seg_attr[s];
        if (sa_dpl(a) < x->cpl && (a & (SA_CODE | SA_EC)) != (SA_CODE | SA_EC) && (x->sel[s] & 0xfffc || a & SA_P)) {
            uint64_t base = x86_base(x, s);
            x86_seg_null(x, s, 0);
            if (x86_long(x) && s >= SEG_FS) x86_set_base(x, s, base);
        }
    }
}

/* ---- stacks ---- */

static uint64_t stack_mask(const struct x86_cpu *x, uint32_t ss_attr, bool wide)
{
    (void)x;
    return wide ? UINT64_MAX : ss_attr & SA_DB ? 0xffffffffu : 0xffff;
}

struct x86_stack x86_stack_now(struct x86_cpu *x)
{
    bool wide = x86_code64(x);

    return (struct x86_stack){ .x = x, .base = wide ? 0 : x86_base(x, SEG_SS), .sp = x86_gpr(x, 4), .mask = stack_mask(x, x->seg_attr[SEG_SS], wide),
                               .limit = x->seg_limit[SEG_SS], .attr = x->seg_attr[SEG_SS], .mmu = x86_data_mmu(x, x->cpl), .wide = wide };
}

struct x86_stack x86_stack_in(struct x86_cpu *x, const struct x86_desc *ss, uint64_t sp, unsigned cpl, uint32_t error)
{
    uint32_t a = x86_desc_attr(ss);

    return (struct x86_stack){ .x = x, .base = ss->base, .sp = sp, .mask = stack_mask(x, a, false), .limit = ss->limit, .attr = a,
                               .mmu = x86_data_mmu(x, cpl), .error = error };
}

static uint64_t stack_address(struct x86_stack *s, uint64_t sp, unsigned bytes)
{
    uint64_t off = sp & s->mask;

    if (s->wide) {
        if (!x86_canonical(off)) x86_raise(s->x, XE_SS, s->error);
        return off;
    }
    if (!x86_limit_ok(s->attr, s->limit, off, bytes)) x86_raise(s->x, XE_SS, s->error);
    return (uint32_t)(s->base + off);
}

void x86_push(struct x86_stack *s, uint64_t v, unsigned bytes)
{
    uint64_t sp = (s->sp & ~s->mask) | ((s->sp - bytes) & s->mask);

    cpu_st(&s->x->c, stack_address(s, sp, bytes), v, mem_size(bytes), s->mmu);
    s->sp = sp;
}

uint64_t x86_pop(struct x86_stack *s, unsigned bytes)
{
    uint64_t v = cpu_ld(&s->x->c, stack_address(s, s->sp, bytes), mem_size(bytes), s->mmu);

    s->sp = (s->sp & ~s->mask) | ((s->sp + bytes) & s->mask);
    return v;
}

void x86_stack_done(struct x86_stack *s)
{
    struct x86_cpu *x = s->x;

    if (s->mask == 0xffff) x86_set_gpr(x, 4, (x86_gpr(x, 4) & ~UINT64_C(0xffff)) | (s->sp & 0xffff));
    else x86_set_gpr(x, 4, s->sp & s->mask);
}

void x86_tss_stack(struct x86_cpu *x, unsigned cpl, uint16_t *ss, uint64_t *sp)
{
    bool wide = sa_type(x->tr.attr) & 8;
    uint32_t at = wide ? 4 + 8 * cpl : 2 + 4 * cpl;

    if (at + (wide ? 5u : 3u) > x->tr.limit) x86_raise(x, XE_TS, x->tr.sel & 0xfffc);
    *sp = x86_sys_ld(x, x->tr.base + at, wide ? 4 : 2);
    *ss = (uint16_t)x86_sys_ld(x, x->tr.base + at + (wide ? 4 : 2), 2);
}

void x86_inner_ss(struct x86_cpu *x, uint16_t ss, unsigned cpl, uint32_t ext, struct x86_desc *d)
{
    uint32_t error = (ss & 0xfffcu) | ext;

    if (!(ss & 0xfffc)) x86_raise(x, XE_TS, ext);
    if (!x86_desc_read(x, ss, false, d)) x86_raise(x, XE_TS, error);
    uint32_t a = x86_desc_attr(d);
    if ((ss & 3u) != cpl || sa_dpl(a) != cpl || !(a & SA_S) || a & SA_CODE || !(a & SA_RW)) x86_raise(x, XE_TS, error);
    if (!(a & SA_P)) x86_raise(x, XE_SS, error);
}

/* ---- far transfers ---- */

/* Commits CS and the instruction pointer; a limit that the pointer is beyond raises #GP before anything changes. */
static void put_cs(struct x86_cpu *x, uint16_t sel, struct x86_desc *d, unsigned cpl, uint64_t ip)
{
    bool l = x86_long(x) && d->hi & SA_L;

    if (l ? !x86_canonical(ip) : (uint32_t)ip > d->limit) x86_gp(x, 0);
    x86_desc_mark(x, d);
    x86_seg_put_desc(x, SEG_CS, (uint16_t)((sel & ~3u) | cpl), d);
    x->cpl = (uint8_t)cpl;
    x86_set_ip(x, ip);
}

static void check_l(struct x86_cpu *x, const struct x86_desc *d, uint32_t error)
{
    if (x86_long(x) && d->hi & SA_L && d->hi & SA_DB) x86_gp(x, error);
}

/* A code segment for a far jump or call without a gate: same privilege. */
static void plain_code(struct x86_cpu *x, uint16_t sel, struct x86_desc *d)
{
    uint32_t a = x86_desc_attr(d), error = sel & 0xfffc;
    unsigned dpl = sa_dpl(a);

    if (a & SA_EC ? dpl > x->cpl : (sel & 3u) > x->cpl || dpl != x->cpl) x86_gp(x, error);
    if (!(a & SA_P)) x86_raise(x, XE_NP, error);
    check_l(x, d, error);
}

/* The code segment that a gate names. */
static void gate_code(struct x86_cpu *x, uint16_t sel, struct x86_desc *d, bool jump)
{
    uint32_t error = sel & 0xfffc;

    if (!error) x86_gp(x, 0);
    if (!x86_desc_read(x, sel, false, d)) x86_gp(x, error);
    uint32_t a = x86_desc_attr(d);
    if ((a & (SA_S | SA_CODE)) != (SA_S | SA_CODE) || sa_dpl(a) > x->cpl) x86_gp(x, error);
    if (jump && !(a & SA_EC) && sa_dpl(a) != x->cpl) x86_gp(x, error);
    if (x86_long(x) && (!(a & SA_L) || a & SA_DB)) x86_gp(x, error);
    if (!(a & SA_P)) x86_raise(x, XE_NP, error);
}

/* A gate's or TSS's own rights. */
static void gate_rights(struct x86_cpu *x, uint16_t sel, const struct x86_desc *d)
{
    unsigned dpl = sa_dpl(x86_desc_attr(d));

    if (dpl < x->cpl || dpl < (sel & 3u)) x86_gp(x, sel & 0xfffc);
    if (!(d->hi & SA_P)) x86_raise(x, XE_NP, sel & 0xfffc);
}

static void real_transfer(struct x86_cpu *x, uint16_t sel, uint32_t ip)
{
    if (ip > x->seg_limit[SEG_CS]) x86_gp(x, 0);
    x86_seg_put_real(x, SEG_CS, sel);
    x86_set_ip(x, ip);
}

static void gate_target(struct x86_cpu *x, const struct x86_desc *gate, uint16_t *sel, uint64_t *ip)
{
    *sel = (uint16_t)(gate->lo >> 16);
    *ip = (gate->lo & 0xffff) | (gate->hi & 0xffff0000u);
    if (x86_long(x)) *ip |= (uint64_t)gate->base_hi << 32;
    else if (sa_type(gate->hi) == SYS_CALL16) *ip &= 0xffff;
}

/* Far jump and call through what is not a code segment. Returns the gate's target to go on with, or false when done. */
static void through_system(struct x86_cpu *x, uint16_t sel, struct x86_desc *d, bool call, uint64_t next, unsigned osize);

static void far_transfer(struct x86_cpu *x, uint16_t sel, uint64_t ip, unsigned osize, uint64_t next_lin, bool call)
{
    struct x86_desc d;
    uint64_t next = x86_ip_of(x, next_lin);

    if (osize == 2) ip &= 0xffff;
    if (!x86_protected(x)) {
        struct x86_stack s = x86_stack_now(x);
        if (call) {
            if (ip > x->seg_limit[SEG_CS]) x86_gp(x, 0);
            x86_push(&s, x->sel[SEG_CS], osize);
            x86_push(&s, next, osize);
        }
        real_transfer(x, sel, (uint32_t)ip);
        if (call) x86_stack_done(&s);
        x86_update_key(x);
        return;
    }
    if (!(sel & 0xfffc)) x86_gp(x, 0);
    if (!x86_desc_read(x, sel, x86_long(x), &d)) x86_gp(x, sel & 0xfffc);
    uint32_t a = x86_desc_attr(&d);
    if (!(a & SA_S)) {
        through_system(x, sel, &d, call, next, osize);
        x86_update_key(x);
        return;
    }
    if (!(a & SA_CODE)) x86_gp(x, sel & 0xfffc);
    plain_code(x, sel, &d);
    if (call) {
        struct x86_stack s = x86_stack_now(x);
        x86_push(&s, x->sel[SEG_CS], osize);
        x86_push(&s, next, osize);
        put_cs(x, sel, &d, x->cpl, ip);
        x86_stack_done(&s);
    } else {
        put_cs(x, sel, &d, x->cpl, ip);
    }
    x86_update_key(x);
}

/* Calls into more privilege: a new stack with parameters, or in long mode with none. */
static void inner_call(struct x86_cpu *x, const struct x86_desc *gate, uint16_t sel, struct x86_desc *cs, uint64_t ip, uint64_t next)
{
    unsigned cpl = sa_dpl(x86_desc_attr(cs)), bytes = sa_type(gate->hi) == SYS_CALL16 ? 2 : x86_long(x) ? 8 : 4;
    unsigned params = x86_long(x) ? 0 : gate->hi & 31;
    struct x86_stack s, old = x86_stack_now(x);
    struct x86_desc ss;
    uint16_t new_ss;
    uint64_t sp, values[31];

    if (x86_long(x)) {
        if (4 + 8 * cpl + 7 > x->tr.limit) x86_raise(x, XE_TS, x->tr.sel & 0xfffc);
        sp = x86_sys_ld(x, x->tr.base + 4 + 8 * cpl, 8);
        new_ss = (uint16_t)cpl;
        s = (struct x86_stack){ .x = x, .sp = sp, .mask = UINT64_MAX, .mmu = x86_data_mmu(x, cpl), .wide = true };
    } else {
        x86_tss_stack(x, cpl, &new_ss, &sp);
        x86_inner_ss(x, new_ss, cpl, 0, &ss);
        s = x86_stack_in(x, &ss, sp, cpl, new_ss & 0xfffc);
    }
    x86_push(&s, x->sel[SEG_SS], bytes);
    x86_push(&s, x86_gpr(x, 4), bytes);
    for (unsigned i = 0; i < params; i++) values[i] = x86_pop(&old, bytes);
    for (unsigned i = params; i--;) x86_push(&s, values[i], bytes);
    x86_push(&s, x->sel[SEG_CS], bytes);
    x86_push(&s, next, bytes);
    put_cs(x, sel, cs, cpl, ip);
    if (x86_long(x)) {
        x86_seg_null(x, SEG_SS, new_ss);
    } else {
        x86_desc_mark(x, &ss);
        x86_seg_put_desc(x, SEG_SS, new_ss, &ss);
    }
    x86_stack_done(&s);
}

static void through_system(struct x86_cpu *x, uint16_t sel, struct x86_desc *d, bool call, uint64_t next, unsigned osize)
{
    unsigned type = sa_type(d->hi);
    struct x86_desc cs;
    uint16_t to;
    uint64_t ip;

    (void)osize;
    switch (type) {
    case SYS_TSS16: case SYS_TSS: case SYS_TASK:
        if (x86_long(x)) x86_gp(x, sel & 0xfffc);
        gate_rights(x, sel, d);
        if (type == SYS_TASK) {
            sel = (uint16_t)(d->lo >> 16);
            if (sel & 4 || !(sel & 0xfffc) || !x86_desc_read(x, sel, false, d)) x86_gp(x, sel & 0xfffc);
            if (d->hi & SA_S || (sa_type(d->hi) & 7) != SYS_TSS16) x86_gp(x, sel & 0xfffc);
            if (!(d->hi & SA_P)) x86_raise(x, XE_NP, sel & 0xfffc);
        }
        x86_task_switch(x, sel, d, call ? TASK_CALL : TASK_JUMP, next, -1);
        return;
    case SYS_CALL16: case SYS_CALL:
        if (x86_long(x) && type != SYS_CALL) x86_gp(x, sel & 0xfffc);
        gate_rights(x, sel, d);
        break;
    default: x86_gp(x, sel & 0xfffc);
    }
    gate_target(x, d, &to, &ip);
    gate_code(x, to, &cs, !call);
    uint32_t a = x86_desc_attr(&cs);
    if (call && !(a & SA_EC) && sa_dpl(a) < x->cpl) {
        inner_call(x, d, to, &cs, ip, next);
        return;
    }
    if (call) {
        unsigned bytes = type == SYS_CALL16 ? 2 : x86_long(x) ? 8 : 4;
        struct x86_stack s = x86_stack_now(x);
        if (x86_long(x)) s = (struct x86_stack){ .x = x, .sp = x86_gpr(x, 4), .mask = UINT64_MAX, .mmu = s.mmu, .wide = true };
        x86_push(&s, x->sel[SEG_CS], bytes);
        x86_push(&s, next, bytes);
        put_cs(x, to, &cs, x->cpl, ip);
        x86_stack_done(&s);
    } else {
        put_cs(x, to, &cs, x->cpl, ip);
    }
}

/* a = selector | osize << 16, b = offset, c = linear address behind the instruction */
uint64_t x86_helper_jmp_far(struct cpu *c, uint64_t sel_size, uint64_t ip, uint64_t next)
{
    far_transfer(x86_cpu(c), (uint16_t)sel_size, ip, sel_size >> 16 & 15, next, false);
    return x86_lin(x86_cpu(c));
}

uint64_t x86_helper_call_far(struct cpu *c, uint64_t sel_size, uint64_t ip, uint64_t next)
{
    far_transfer(x86_cpu(c), (uint16_t)sel_size, ip, sel_size >> 16 & 15, next, true);
    return x86_lin(x86_cpu(c));
}

/* a = osize, b = bytes to drop */
uint64_t x86_helper_ret_far(struct cpu *c, uint64_t osize, uint64_t drop, uint64_t unused)
{
    struct x86_cpu *x = x86_cpu(c);
    struct x86_stack s = x86_stack_now(x);
    unsigned n = (unsigned)osize;
    uint64_t ip = x86_pop(&s, n);
    uint16_t sel = (uint16_t)x86_pop(&s, n), ss;
    struct x86_desc cs, d;

    (void)unused;
    if (!x86_protected(x)) {
        real_transfer(x, sel, (uint32_t)ip);
        s.sp += drop;
        x86_stack_done(&s);
        x86_update_key(x);
        return x86_lin(x);
    }
    uint32_t error = sel & 0xfffc;
    if (!error) x86_gp(x, 0);
    if (!x86_desc_read(x, sel, false, &cs)) x86_gp(x, error);
    uint32_t a = x86_desc_attr(&cs);
    unsigned rpl = sel & 3;
    if ((a & (SA_S | SA_CODE)) != (SA_S | SA_CODE) || rpl < x->cpl) x86_gp(x, error);
    if (a & SA_EC ? sa_dpl(a) > rpl : sa_dpl(a) != rpl) x86_gp(x, error);
    if (!(a & SA_P)) x86_raise(x, XE_NP, error);
    check_l(x, &cs, error);
    s.sp += drop;
    if (rpl == x->cpl) {
        put_cs(x, sel, &cs, rpl, ip);
        x86_stack_done(&s);
        x86_update_key(x);
        return x86_lin(x);
    }
    uint64_t sp = x86_pop(&s, n);
    ss = (uint16_t)x86_pop(&s, n);
    bool to64 = x86_long(x) && a & SA_L, have_ss = true;
    if (!(ss & 0xfffc) && to64 && rpl != 3 && (ss & 3u) == rpl) have_ss = false;
    else if (!(ss & 0xfffc)) x86_gp(x, 0);
    else x86_seg_check(x, SEG_SS, ss, rpl, XE_GP, &d);
    put_cs(x, sel, &cs, rpl, ip);
    if (have_ss) {
        x86_desc_mark(x, &d);
        x86_seg_put_desc(x, SEG_SS, ss, &d);
    } else {
        x86_seg_null(x, SEG_SS, ss);
    }
    struct x86_stack outer = x86_stack_now(x);
    outer.sp = sp + drop;
    x86_stack_done(&outer);
    x86_drop_outer_segments(x);
    x86_update_key(x);
    return x86_lin(x);
}

/* ---- asking about selectors ---- */

/* lar, lsl, verr, verw. what: 0 lar, 1 lsl, 2 verr, 3 verw. The value, with bit 63 where ZF is set. */
uint64_t x86_helper_selector(struct cpu *c, uint64_t sel64, uint64_t what, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);
    uint16_t sel = (uint16_t)sel64;
    struct x86_desc d;
    const uint64_t yes = UINT64_C(1) << 63;

    (void)b;
    if (!(sel & 0xfffc) || !x86_desc_read(x, sel, false, &d)) return 0;
    uint32_t a = x86_desc_attr(&d);
    unsigned type = sa_type(a), dpl = sa_dpl(a);
    bool conforming = (a & (SA_S | SA_CODE | SA_EC)) == (SA_S | SA_CODE | SA_EC);
    if (!conforming && (dpl < x->cpl || dpl < (sel & 3u))) return 0;
    if (!(a & SA_S)) {
        static const uint16_t lar_types = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12;
        static const uint16_t lsl_types = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11;
        static const uint16_t long_types = 1 << 2 | 1 << 9 | 1 << 11 | 1 << 12;
        uint16_t types = what == 0 ? lar_types : what == 1 ? lsl_types : 0;
        if (x86_long(x)) types &= long_types;
        if (!(types >> type & 1)) return 0;
    }
    switch (what) {
    case 0: return (d.hi & SA_MASK) | yes;
    case 1: return d.limit | yes;
    case 2: return a & SA_CODE && !(a & SA_RW) ? 0 : yes;
    default: return a & SA_CODE || !(a & SA_RW) ? 0 : yes;
    }
}

/* ---- system segments ---- */

/* a = selector, b = 1: tr */
uint64_t x86_helper_load_system(struct cpu *c, uint64_t sel64, uint64_t is_tr, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);
    uint16_t sel = (uint16_t)sel64;
    struct x86_desc d;

    (void)b;
    if (!(sel & 0xfffc)) {
        if (is_tr) x86_gp(x, 0);
        x->ldt = (struct x86_table){ .sel = sel };
        return 0;
    }
    uint32_t error = sel & 0xfffc;
    if (sel & 4 || !x86_desc_read(x, sel, x86_long(x), &d)) x86_gp(x, error);
    unsigned type = sa_type(d.hi);
    if (d.hi & SA_S || (is_tr ? type != SYS_TSS && (type != SYS_TSS16 || x86_long(x)) : type != SYS_LDT)) x86_gp(x, error);
    if (!(d.hi & SA_P)) x86_raise(x, XE_NP, error);
    if (is_tr) x86_desc_busy(x, &d, true);
    *(is_tr ? &x->tr : &x->ldt) = (struct x86_table){ d.base, d.limit, x86_desc_attr(&d), sel };
    return 0;
}

uint64_t x86_helper_get_sel(struct cpu *c, uint64_t s, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b;
    return s < 6 ? x->sel[s] : s == 6 ? x->ldt.sel : x->tr.sel;
}

/* a = selector, b = segment register */
uint64_t x86_helper_load_seg(struct cpu *c, uint64_t sel, uint64_t s, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)b;
    x86_seg_load(x, (unsigned)s, (uint16_t)sel);
    x86_update_key(x);
    return 0;
}

/* The slow check of an access to a segment: a = offset, b = segment | bytes << 8 | write << 24. Raises what is wrong. */
uint64_t x86_helper_check(struct cpu *c, uint64_t off, uint64_t what, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);
    unsigned s = what & 7, bytes = what >> 8 & 0xffff;
    bool write = what >> 24 & 1;
    uint32_t a = x->seg_attr[s];
    enum x86_exc code = s == SEG_SS ? XE_SS : XE_GP;

    (void)b;
    if (!x86_code64(x)) {
        if (x86_protected(x)) {
            if (!(a & SA_P) || !(a & SA_S)) x86_raise(x, code, 0);
            if (write ? a & SA_CODE || !(a & SA_RW) : (a & SA_CODE) && !(a & SA_RW)) x86_raise(x, code, 0);
        }
        if (!x86_limit_ok(a, x->seg_limit[s], off, bytes)) x86_raise(x, code, 0);
    }
    if (c->key & XK_ALIGN && bytes <= 8 && (off + (s >= SEG_FS || !x86_code64(x) ? x86_base(x, s) : 0)) & (bytes - 1)) x86_raise(x, XE_AC, 0);
    return 0;
}
