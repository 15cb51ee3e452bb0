/*
 * sys-regs.c - control registers, debug registers and their breakpoints, the gate of floating-point instructions, flags that
 * privilege guards, ports, and the small privileged instructions.
 *
 * Follows the Intel SDM volume 3 chapters 2 and 17, and volume 2 for the instructions.
 */
#include "isa/x86/sys.h"

#include "util/log.h"

/* ---- control registers ---- */

static bool mode_bits_bad(const struct x86_cpu *x, uint32_t v)
{
    if (v & CR0_PG && !(v & CR0_PE)) return true;
    if (v & CR0_NW && !(v & CR0_CD)) return true;
    if (v & CR0_PG && !(x->cr0 & CR0_PG) && x->efer & EFER_LME) return !(x->cr4 & CR4_PAE) || x->seg_attr[SEG_CS] & SA_L;
    if (!(v & CR0_PG) && x->cr0 & CR0_PG && x->cr4 & CR4_PCIDE) return true;
    return !(v & CR0_PG) && x86_code64(x);
}

void x86_set_cr0(struct x86_cpu *x, uint32_t v)
{
    uint32_t old = x->cr0, diff;

    v = (v & 0xe005003fu) | CR0_ET;
    if (mode_bits_bad(x, v)) x86_gp(x, 0);
    diff = old ^ v;
    x->cr0 = v;
    if (v & diff & CR0_PG && x->cr4 & CR4_PAE && !(x->efer & EFER_LME)) {
        x->cr0 = old;
        x86_load_pdptes(x); /* may raise */
        x->cr0 = v;
    }
    if (diff & CR0_PG && x->efer & EFER_LME) x->efer = v & CR0_PG ? x->efer | EFER_LMA : x->efer & ~(uint64_t)EFER_LMA;
    if (diff & CR0_PE) {
        if (v & CR0_PE) x->cpl = 0;
        for (unsigned s = 0; s < 6; s++) x86_seg_update(x, s);
    }
    if (diff & (CR0_PG | CR0_PE | CR0_WP)) cpu_tlb_flush(&x->c);
    x86_update_key(x);
}

void x86_set_cr3(struct x86_cpu *x, uint64_t v)
{
    if (x86_long(x)) x->cr3 = v & ~(UINT64_C(1) << 63);
    else x->cr3 = (uint32_t)v;
    if (x->cr4 & CR4_PAE && x->cr0 & CR0_PG && !x86_long(x)) x86_load_pdptes(x);
    cpu_tlb_flush_local(&x->c);
}

static uint64_t cr4_known(const struct x86_cpu *x)
{
    static const struct { uint32_t sys, bits; } list[] = {
        { XSF(VME), CR4_VME | CR4_PVI }, { XSF(DE), CR4_DE }, { XSF(PSE), CR4_PSE }, { XSF(PAE), CR4_PAE }, { XSF(MCE), CR4_MCE },
        { XSF(PGE), CR4_PGE }, { XSF(PCID), CR4_PCIDE }, { XSF(SMEP), CR4_SMEP },
    };
    uint64_t v = x86_has(x, XF_TSC) ? CR4_TSD | CR4_PCE : 0;

    for (unsigned i = 0; i < ARRAY_LEN(list); i++) {
        if (x->model->sys & list[i].sys) v |= list[i].bits;
    }
    if (x86_has(x, XF_FXSR)) v |= CR4_OSFXSR;
    if (x86_has(x, XF_SSE)) v |= CR4_OSXMM;
    if (x86_has(x, XF_XSAVE)) v |= CR4_OSXSAVE;
    if (x86_has(x, XF_SMAP)) v |= CR4_SMAP;
    if (x86_has(x, XF_FSGSBASE)) v |= CR4_FSGSBASE;
    return v;
}

void x86_set_cr4(struct x86_cpu *x, uint64_t v)
{
    uint64_t diff = x->cr4 ^ v, old = x->cr4;

    if (v & ~cr4_known(x)) x86_gp(x, 0);
    if (x86_long(x) && !(v & CR4_PAE)) x86_gp(x, 0);
    if (v & diff & CR4_PCIDE && (!x86_long(x) || x->cr3 & 0xfff)) x86_gp(x, 0);
    x->cr4 = v;
    if (diff & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP) && v & CR4_PAE && x->cr0 & CR0_PG && !x86_long(x)) {
        x->cr4 = old;
        x86_load_pdptes(x);
        x->cr4 = v;
    }
    if (diff & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)) cpu_tlb_flush(&x->c);
    x86_update_key(x);
}

/* a = number */
uint64_t x86_helper_get_cr(struct cpu *c, uint64_t n, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b;
    switch (n) {
    case 0: return x->cr0;
    case 2: return x->cr2;
    case 3: return x->cr3;
    case 4: return x->cr4;
    default: return x->board && x->board->get_tpr ? x->board->get_tpr(x->board_opaque, c) : 0;
    }
}

uint64_t x86_helper_set_cr(struct cpu *c, uint64_t n, uint64_t v, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)b;
    switch (n) {
    case 0:
        if (v >> 32) x86_gp(x, 0);
        x86_set_cr0(x, (uint32_t)v);
        break;
    case 2: x->cr2 = v; break;
    case 3:
        if (x86_long(x) && v & ~(UINT64_C(1) << 63) & ~((UINT64_C(1) << 40) - 1)) x86_gp(x, 0);
        x86_set_cr3(x, v);
        break;
    case 4: x86_set_cr4(x, v); break;
    default:
        if (v >> 4) x86_gp(x, 0);
        if (x->board && x->board->set_tpr) x->board->set_tpr(x->board_opaque, c, (uint8_t)v);
        break;
    }
    return 0;
}

/* lmsw: the low four bits; PE is never cleared by it */
uint64_t x86_helper_lmsw(struct cpu *c, uint64_t v, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b;
    x86_set_cr0(x, (x->cr0 & ~14u) | ((uint32_t)v & 15));
    return 0;
}

uint64_t x86_helper_clts(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b, (void)d;
    x->cr0 &= ~(uint32_t)CR0_TS;
    x86_update_key(x);
    return 0;
}

/* ---- debug registers ---- */

static bool dr_on(const struct x86_cpu *x, unsigned n) { return x->dr[7] >> 2 * n & 3; }
static unsigned dr_kind(const struct x86_cpu *x, unsigned n) { return x->dr[7] >> (16 + 4 * n) & 3; }
static unsigned dr_bytes(const struct x86_cpu *x, unsigned n)
{
    static const uint8_t sizes[4] = { 1, 2, 8, 4 };
    return sizes[x->dr[7] >> (18 + 4 * n) & 3];
}

bool x86_debug_active(const struct x86_cpu *x) { return x->dr[7] & 0xff || x->eflags & XFL_TF; }

bool x86_data_break_page(const struct x86_cpu *x, uint64_t va)
{
    for (unsigned n = 0; n < 4; n++) {
        if (dr_on(x, n) && dr_kind(x, n) & 1 && !((x->dr[n] ^ va) & CPU_PAGE_MASK)) return true;
    }
    return false;
}

static void hit(struct x86_cpu *x, unsigned n)
{
    x->db_pending |= (uint8_t)(1 << n);
    cpu_kick(&x->c);
}

void x86_data_break(struct x86_cpu *x, uint64_t va, unsigned bytes, bool write)
{
    for (unsigned n = 0; n < 4; n++) {
        uint64_t at = x->dr[n] & ~(uint64_t)(dr_bytes(x, n) - 1);
        if (!dr_on(x, n) || va + bytes <= at || va >= at + dr_bytes(x, n)) continue;
        if (dr_kind(x, n) == 3 || (dr_kind(x, n) == 1 && write)) hit(x, n);
    }
}

void x86_io_break(struct x86_cpu *x, unsigned port, unsigned bytes)
{
    for (unsigned n = 0; n < 4 && x->cr4 & CR4_DE; n++) {
        uint64_t at = x->dr[n] & ~(uint64_t)(dr_bytes(x, n) - 1);
        if (dr_on(x, n) && dr_kind(x, n) == 2 && port + bytes > at && port < at + dr_bytes(x, n)) hit(x, n);
    }
}

/* In blocks of one instruction, before it. In user mode the debug registers are 0. a = its linear address */
uint64_t x86_helper_step(struct cpu *c, uint64_t pc, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);
    unsigned found = 0;

    (void)a, (void)b;
    for (unsigned n = 0; n < 4; n++) {
        if (dr_on(x, n) && dr_kind(x, n) == 0 && x->dr[n] == pc) found |= 1u << n;
    }
    if (found && !(x->eflags & XFL_RF)) x86_raise(x, XE_DB, found << 8);
    x->eflags &= ~(uint32_t)XFL_RF;
    if (x->eflags & XFL_TF) {
        x->db_pending |= 0x80;
        cpu_kick(c);
    }
    return 0;
}

static unsigned dr_number(struct x86_cpu *x, unsigned n)
{
    if (x->dr[7] & 0x2000) { /* GD */
        x->dr[6] |= 0x2000;
        x86_raise(x, XE_DB, 0);
    }
    if (n == 4 || n == 5) {
        if (x->cr4 & CR4_DE) x86_raise(x, XE_UD, 0);
        n += 2;
    }
    return n;
}

uint64_t x86_helper_get_dr(struct cpu *c, uint64_t n, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b;
    return x->dr[dr_number(x, (unsigned)n)];
}

uint64_t x86_helper_set_dr(struct cpu *c, uint64_t n64, uint64_t v, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);
    unsigned n = dr_number(x, (unsigned)n64);

    (void)b;
    if (n >= 6 && v >> 32) x86_gp(x, 0);
    if (n == 6) v = (v & 0xe00f) | 0xffff0ff0u;
    if (n == 7) v = (v & 0xffff2bff) | 0x400;
    x->dr[n] = v;
    cpu_tlb_flush(c); /* pages with breakpoints are not cached */
    x86_update_key(x);
    return 0;
}

/* ---- floating point that the key forbids ---- */

/* a = X86_FP_* */
uint64_t x86_helper_fp_gate(struct cpu *c, uint64_t kind, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b;
    if (kind == X86_FP_X87) x86_raise(x, XE_NM, 0);
    if (kind == X86_FP_AVX) x86_raise(x, x->xcr0 & 4 && x->cr4 & CR4_OSXSAVE && x86_protected(x) ? XE_NM : XE_UD, 0);
    if (x->cr0 & CR0_EM || (kind == X86_FP_SSE && !(x->cr4 & CR4_OSFXSR))) x86_raise(x, XE_UD, 0);
    x86_raise(x, XE_NM, 0);
}

/* fwait: CR0.MP and CR0.TS together */
uint64_t x86_helper_fwait(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b, (void)d;
    if ((x->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) x86_raise(x, XE_NM, 0);
    return 0;
}

/* ---- flags ---- */

/* a = value, b = bytes, c = 1: sti, 2: cli, 0: popf */
uint64_t x86_helper_popf_sys(struct cpu *c, uint64_t v, uint64_t bytes, uint64_t unused)
{
    struct x86_cpu *x = x86_cpu(c);
    uint32_t may = XFL_ARITH | XFL_DF | XFL_TF | XFL_NT | XFL_AC | XFL_ID | XFL_RF;

    (void)unused;
    if (x86_protected(x)) {
        if (!x->cpl) may |= XFL_IOPL;
        if (x->cpl <= x86_iopl(x)) may |= XFL_IF;
    } else if (!x86_virtual_if(x)) {
        may |= XFL_IF;
        if (!(x->eflags & XFL_VM)) may |= XFL_IOPL;
    }
    if (bytes == 2) may &= 0xffff;
    if (x86_v86(x) && x86_virtual_if(x)) may |= XFL_VIF, v = (v & ~(uint64_t)XFL_VIF) | (v & XFL_IF ? XFL_VIF : 0);
    x86_put_flags(x, (uint32_t)v & ~(uint32_t)XFL_RF, may);
    return 0;
}

void x86_v86_flags(struct x86_cpu *x, unsigned bytes, uint32_t v)
{
    if (x86_iopl(x) == 3) return;
    if (bytes != 2 || !x86_virtual_if(x)) x86_gp(x, 0);
    if (v & XFL_TF || (v & XFL_IF && x->eflags & XFL_VIP)) x86_gp(x, 0);
}

/* pushf, popf in virtual-8086 mode: a = bytes, b = what is about to be popped, or 0. The flags to be pushed. */
uint64_t x86_helper_v86_iopl(struct cpu *c, uint64_t bytes, uint64_t v, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)d;
    if (x86_v86(x)) x86_v86_flags(x, (unsigned)bytes, (uint32_t)v);
    return x86_flags_seen(x, x86_get_eflags(x)) & ~(uint32_t)(XFL_VM | XFL_RF);
}

/* May cli and sti touch IF? False: VIF in its stead. */
static bool owns_if(struct x86_cpu *x)
{
    if (!(x->cr0 & CR0_PE) || x->cpl <= x86_iopl(x)) return true;
    if (!x86_virtual_if(x)) x86_gp(x, 0);
    return false;
}

uint64_t x86_helper_cli(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b, (void)d;
    x->eflags &= ~(uint32_t)(owns_if(x) ? XFL_IF : XFL_VIF);
    return 0;
}

uint64_t x86_helper_sti(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b, (void)d;
    if (!owns_if(x)) {
        if (x->eflags & XFL_VIP) x86_gp(x, 0);
        x->eflags |= XFL_VIF;
        return 0;
    }
    if (x->eflags & XFL_IF) return 0;
    x->eflags |= XFL_IF;
    c->key |= XK_SHADOW;
    return 0;
}

/* mov ss, pop ss */
uint64_t x86_helper_shadow(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)a, (void)b, (void)d;
    c->key |= XK_SHADOW;
    return 0;
}

/* Before the one instruction of a block in the shadow: what waits is taken after it. */
uint64_t x86_helper_unshadow(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b, (void)d;
    c->key &= ~(uint64_t)XK_SHADOW;
    if (x->db_pending) cpu_kick(c);
    x86_look_for_interrupts(x);
    return 0;
}

/* stac, clac: a = the bit's value */
uint64_t x86_helper_stac(struct cpu *c, uint64_t on, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b;
    if (on) x->eflags |= XFL_AC;
    else x->eflags &= ~(uint32_t)XFL_AC;
    x86_update_key(x);
    return 0;
}

/* ---- ports ---- */

static void check_port(struct x86_cpu *x, unsigned port, unsigned size)
{
    if (!(x->cr0 & CR0_PE) || (!(x->eflags & XFL_VM) && x->cpl <= x86_iopl(x))) return;
    if (!(sa_type(x->tr.attr) & 8) || x->tr.limit < 103) x86_gp(x, 0);
    uint32_t map = (uint32_t)x86_sys_ld(x, x->tr.base + 102, 2) + port / 8;
    if (map + 1 > x->tr.limit) x86_gp(x, 0);
    if (x86_sys_ld(x, x->tr.base + map, 2) >> (port & 7) & ((1u << size) - 1)) x86_gp(x, 0);
}

static uint32_t ones(unsigned size) { return size == 4 ? 0xffffffffu : (1u << 8 * size) - 1; }

static uint32_t port_in(struct x86_cpu *x, unsigned port, unsigned size)
{
    if (x->dr[7] & 0xff) x86_io_break(x, port, size);
    if (!x->board || !x->board->in) return ones(size);
    return x->board->in(x->board_opaque, &x->c, (uint16_t)port, size) & ones(size);
}

static void port_out(struct x86_cpu *x, unsigned port, uint32_t v, unsigned size)
{
    if (x->dr[7] & 0xff) x86_io_break(x, port, size);
    if (x->board && x->board->out) x->board->out(x->board_opaque, &x->c, (uint16_t)port, v & ones(size), size);
}

/* a = port, b = size */
uint64_t x86_helper_in(struct cpu *c, uint64_t port, uint64_t size, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)b;
    check_port(x, port & 0xffff, (unsigned)size);
    return port_in(x, port & 0xffff, (unsigned)size);
}

uint64_t x86_helper_out(struct cpu *c, uint64_t port, uint64_t v, uint64_t size)
{
    struct x86_cpu *x = x86_cpu(c);

    check_port(x, port & 0xffff, (unsigned)size);
    port_out(x, port & 0xffff, (uint32_t)v, (unsigned)size);
    return 0;
}

/* One element of a string; what stops the access to memory does so before the port is touched. a = port | size << 16, b = linear address */
uint64_t x86_helper_ins(struct cpu *c, uint64_t port_size, uint64_t va, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);
    unsigned port = port_size & 0xffff, size = port_size >> 16 & 15;

    (void)b;
    check_port(x, port, size);
    cpu_before_st(c, va, size, c->mmu_now);
    cpu_st(c, va, port_in(x, port, size), size == 1 ? IR_M8 : size == 2 ? IR_M16 : IR_M32, c->mmu_now);
    return 0;
}

uint64_t x86_helper_outs(struct cpu *c, uint64_t port_size, uint64_t va, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);
    unsigned port = port_size & 0xffff, size = port_size >> 16 & 15;

    (void)b;
    check_port(x, port, size);
    port_out(x, port, (uint32_t)cpu_ld(c, va, size == 1 ? IR_M8 : size == 2 ? IR_M16 : IR_M32, c->mmu_now), size);
    return 0;
}

/* ---- tables, caches, waiting ---- */

static struct x86_table *table(struct x86_cpu *x, uint64_t idt) { return idt ? &x->idt : &x->gdt; }

/* a = linear address, b = 1: idt, c = operand size */
uint64_t x86_helper_sgdt(struct cpu *c, uint64_t va, uint64_t idt, uint64_t osize)
{
    struct x86_cpu *x = x86_cpu(c);
    const struct x86_table *t = table(x, idt);

    cpu_probe(c, va, osize == 8 ? 10 : 6, ACCESS_WRITE, c->mmu_now);
    cpu_st(c, va, t->limit, IR_M16, c->mmu_now);
    cpu_st(c, va + 2, t->base, osize == 8 ? IR_M64 : IR_M32, c->mmu_now);
    return 0;
}

uint64_t x86_helper_lgdt(struct cpu *c, uint64_t va, uint64_t idt, uint64_t osize)
{
    struct x86_cpu *x = x86_cpu(c);
    uint32_t limit = (uint32_t)cpu_ld(c, va, IR_M16, c->mmu_now);
    uint64_t base = cpu_ld(c, va + 2, osize == 8 ? IR_M64 : IR_M32, c->mmu_now);

    if (osize == 2) base &= 0xffffff;
    if (osize == 8 && !x86_canonical(base)) x86_gp(x, 0);
    table(x, idt)->limit = limit;
    table(x, idt)->base = base;
    return 0;
}

uint64_t x86_helper_invlpg(struct cpu *c, uint64_t va, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b;
    if (!x86_long(x)) x86_flush_page(x, (uint32_t)va);
    else if (x86_canonical(va)) x86_flush_page(x, va);
    return 0;
}

/* a = type, b = linear address of the descriptor. One address, one PCID, all: the first keeps the rest. */
uint64_t x86_helper_invpcid(struct cpu *c, uint64_t type, uint64_t va, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)b;
    if (type > 3) x86_gp(x, 0);
    uint64_t pcid = cpu_ld(c, va, IR_M64, c->mmu_now), at = cpu_ld(c, va + 8, IR_M64, c->mmu_now);
    if (pcid >> 12 && type < 2) x86_gp(x, 0);
    if (type < 2 && pcid && !(x->cr4 & CR4_PCIDE)) x86_gp(x, 0);
    if (type == 0) {
        if (!x86_canonical(at)) x86_gp(x, 0);
        x86_flush_page(x, at);
    } else {
        cpu_tlb_flush(c);
    }
    return 0;
}

uint64_t x86_helper_hlt(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)a, (void)b, (void)d;
    c->halted = true;
    return 0;
}

/* a = linear address: what is watched; b: ecx */
uint64_t x86_helper_monitor(struct cpu *c, uint64_t va, uint64_t ecx, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)b;
    if (ecx & 0xffffffff) x86_gp(x, 0);
    cpu_ld(c, va, IR_M8, c->mmu_now);
    x->monitor = va;
    return 0;
}

/* Writes by others are not watched: it ends at once, which it may. a = ecx */
uint64_t x86_helper_mwait(struct cpu *c, uint64_t ecx, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b;
    if (ecx & 0xfffffffe) x86_gp(x, 0);
    return 0;
}

uint64_t x86_helper_swapgs(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);
    uint64_t gs = x->seg_base.d[SEG_GS];

    (void)a, (void)b, (void)d;
    x->seg_base.d[SEG_GS] = x->kernel_gs;
    x->kernel_gs = gs;
    return 0;
}

uint64_t x86_helper_tsc_aux(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)a, (void)b, (void)d;
    return x86_cpu(c)->tsc_aux;
}

/* rd/wr fs/gs base: CR4 permits it. a = 1: a value in b must be canonical */
uint64_t x86_helper_fsgsbase(struct cpu *c, uint64_t write, uint64_t v, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)b;
    if (!(x->cr4 & CR4_FSGSBASE)) x86_raise(x, XE_UD, 0);
    if (write && !x86_canonical(v)) x86_gp(x, 0);
    return 0;
}

/* a = register, b = value */
uint64_t x86_helper_xsetbv(struct cpu *c, uint64_t n, uint64_t v, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);
    uint64_t known = 3 | (x86_has(x, XF_AVX) ? 4 : 0);

    (void)b;
    if (!(x->cr4 & CR4_OSXSAVE)) x86_raise(x, XE_UD, 0);
    if ((uint32_t)n || !(v & 1) || v & ~known || (v & 6) == 4) x86_gp(x, 0);
    x->xcr0 = v;
    x86_update_key(x);
    return 0;
}

uint64_t x86_helper_xgetbv(struct cpu *c, uint64_t n, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b;
    if (!(x->cr4 & CR4_OSXSAVE)) x86_raise(x, XE_UD, 0);
    if ((uint32_t)n) x86_gp(x, 0);
    return x->xcr0;
}

/* No counters are claimed; two that do not count are there. */
uint64_t x86_helper_rdpmc(struct cpu *c, uint64_t n, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b;
    if (x->cr0 & CR0_PE && x->cpl && !(x->cr4 & CR4_PCE)) x86_gp(x, 0);
    if ((uint32_t)n > 1) x86_gp(x, 0);
    return 0;
}

bool x86_ignores_numeric(struct x86_cpu *x)
{
    return !x->user && !(x->cr0 & CR0_NE) && atomic_load_int(&x->pins) >> X86_PIN_IGNNE & 1;
}
