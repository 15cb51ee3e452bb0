/*
 * sys-cpu.c - the block key, reset and INIT, pins, the board's calls, time.
 *
 * Follows the Intel SDM volume 3 chapters 9 (reset, INIT, start-up of application processors) and 2.
 */
#include "isa/x86/sys.h"

#include "bus/clock.h"
#include "util/log.h"

/* ---- the key ---- */

static unsigned class_of(const struct x86_cpu *x, unsigned s)
{
    uint32_t a = x->seg_attr[s], limit = x->seg_limit[s];
    bool real = !(x->cr0 & CR0_PE);
    bool plain = real || (s == SEG_CS ? a & SA_RW : (a & (SA_P | SA_S | SA_CODE | SA_EC | SA_RW)) == (SA_P | SA_S | SA_RW));

    if (!plain) return X86_SEG_OTHER;
    return limit == 0xffffffffu ? X86_SEG_FLAT : limit == 0xffff ? X86_SEG_64K : X86_SEG_OTHER;
}

void x86_update_key(struct x86_cpu *x)
{
    uint64_t key = x->c.key & XK_SHADOW;
    bool code64 = x86_code64(x);

    if (x->user) return;
    key |= code64 ? X86_64 : x->seg_attr[SEG_CS] & SA_DB ? X86_32 : X86_16;
    if (code64 || x->seg_attr[SEG_SS] & SA_DB) key |= XK_SS32;
    key |= (uint64_t)x->cpl << XK_CPL_SHIFT;
    if (x86_protected(x)) key |= XK_PROT;
    if (!code64) {
        for (unsigned s = 0; s < 6; s++) {
            if (s < 4 && x86_base(x, s)) key |= UINT64_C(1) << (XK_BASE_SHIFT + s);
            key |= (uint64_t)class_of(x, s) << (XK_SEG_SHIFT + 2 * s);
        }
        key |= (uint64_t)(uint32_t)x86_base(x, SEG_CS) << XK_CS_SHIFT;
    }
    if (!(x->cr0 & (CR0_EM | CR0_TS))) key |= XK_X87 | (x->cr4 & CR4_OSFXSR ? XK_SSE : 0);
    if (key & XK_SSE && x->xcr0 & 4 && x->cr4 & CR4_OSXSAVE) key |= XK_AVX;
    if (x86_debug_active(x)) key |= XK_STEP;
    if (x->cr4 & CR4_SMAP && x->cpl < 3 && !(x->eflags & XFL_AC)) key |= XK_SMAP;
    if (x->cpl == 3 && x->cr0 & CR0_AM && x->eflags & XFL_AC) key |= XK_ALIGN;
    x->c.key = key;
}

unsigned x86_mmu_mode(struct cpu *c)
{
    return (c->key >> XK_CPL_SHIFT & 3) == 3 ? X86_MMU_USER : c->key & XK_SMAP ? X86_MMU_SMAP : X86_MMU_KERNEL;
}

/* ---- reset ---- */

static void reset_msrs(struct x86_cpu *x)
{
    x->star = x->lstar = x->cstar = x->fmask = x->kernel_gs = x->tsc_aux = 0;
    x->sysenter_cs = x->sysenter_esp = x->sysenter_eip = 0;
    x->pat = UINT64_C(0x0007040600070406);
    x->mtrr_def = 0;
    memset(x->mtrr_fixed, 0, sizeof x->mtrr_fixed);
    memset(x->mtrr_base, 0, sizeof x->mtrr_base);
    memset(x->mtrr_mask, 0, sizeof x->mtrr_mask);
    memset(x->mc_bank, 0, sizeof x->mc_bank);
    for (unsigned i = 0; i < X86_MC_BANKS; i++) x->mc_bank[4 * i] = UINT64_MAX;
    x->misc_enable = 1;
    x->mcg_status = 0;
    x->mcg_ctl = UINT64_MAX;
    x->debugctl = x->microcode = x->feature_control = 0;
    x->tsc_offset = 0;
    if (x->clock) x->tsc_offset = 0 - clock_now(x->clock);
    x->smbase = 0x30000;
    x->xcr0 = 1;
}

void x86_sys_reset(struct x86_cpu *x, bool init)
{
    static const uint32_t data = SA_P | SA_S | SA_RW | SA_ACCESSED;

    memset(&x->gpr, 0, sizeof x->gpr);
    x86_set_gpr(x, 2, x->model->signature);
    x->efer = 0;
    x->cr0 = CR0_ET | (init ? x->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW);
    x->cr2 = x->cr3 = x->cr4 = 0;
    x->cpl = 0;
    x86_set_eflags(x, XFL_ONE);
    memset(x->dr, 0, sizeof x->dr);
    x->dr[6] = 0xffff0ff0u, x->dr[7] = 0x400;
    for (unsigned s = 0; s < 6; s++) x86_seg_put(x, s, 0, 0, 0xffff, data);
    x86_seg_put(x, SEG_CS, 0xf000, 0xffff0000u, 0xffff, data | SA_CODE);
    x86_set_ip(x, 0xfff0);
    x->gdt = x->idt = (struct x86_table){ .limit = 0xffff };
    x->ldt = (struct x86_table){ .limit = 0xffff, .attr = SA_P | SYS_LDT << SA_TYPE_SHIFT };
    x->tr = (struct x86_table){ .limit = 0xffff, .attr = SA_P | SYS_TSS_BUSY << SA_TYPE_SHIFT };
    atomic_store_int(&x->nmi_pending, false);
    atomic_store_int(&x->smi_pending, false);
    if (!init) x->init_pending = false; /* else it is the one that is being taken, or another */
    x->nmi_blocked = x->stopped = x->in_mwait = false;
    x->wait_sipi = init && x->is_ap;
    if (!init) x->is_ap = false, x->sipi = 0;
    x->delivering = x->ferr_wait = false;
    x->db_pending = 0;
    x->c.halted = false;
    x->c.key = 0;
    x->monitor = 0;
    if (x->smm && x->board && x->board->smm) x->board->smm(x->board_opaque, &x->c, false);
    x->smm = false;
    if (!init) {
        reset_msrs(x);
        x->a20_off = false;
        x->ferr = false;
        x->pins &= 1u << X86_PIN_INTR;
    }
    cpu_tlb_flush(&x->c);
    x86_update_key(x);
}

void x86_stop(struct x86_cpu *x)
{
    LOG(INT, "x86: triple fault at %04x:%08x, cpl %u\n", x->sel[SEG_CS], (unsigned)x86_ip_of(x, x86_lin(x)), x->cpl);
    if (log_on(LOG_CPU_RESET)) cpu_log_state(&x->c);
    x->delivering = false;
    x->stopped = true;
    x->c.halted = true;
    if (x->board && x->board->shutdown) x->board->shutdown(x->board_opaque, &x->c);
}

/* ---- pins ---- */

static bool pin(const struct x86_cpu *x, unsigned n) { return atomic_load_int(&x->pins) >> n & 1; }

void x86_look_for_interrupts(struct x86_cpu *x)
{
    if ((pin(x, X86_PIN_INTR) && x->eflags & XFL_IF) || (atomic_load_int(&x->nmi_pending) && !x->nmi_blocked) ||
        (atomic_load_int(&x->smi_pending) && !x->smm) || x86_virtual_due(x))
        cpu_kick(&x->c);
}

void x86_sys_set_irq(struct cpu *c, unsigned n, bool level)
{
    struct x86_cpu *x = x86_cpu(c);

    if (n >= X86_PINS || pin(x, n) == level) return;
    atomic_store_int(&x->pins, (uint8_t)(x->pins ^ 1u << n)); /* written by one thread at a time, read by the CPU's at any time */
    if (!level) return;
    if (n == X86_PIN_NMI) atomic_store_int(&x->nmi_pending, true);
    if (n == X86_PIN_SMI) atomic_store_int(&x->smi_pending, true);
    if (n == X86_PIN_INIT) {
        atomic_store_int(&x->sipi, 0); /* one that came before; those that come now are after the INIT */
        atomic_store_int(&x->init_pending, true);
    }
    cpu_kick(c);
}

void x86_set_ferr(struct x86_cpu *x, bool level)
{
    if (x->ferr == level) return;
    x->ferr = level;
    if (x->board && x->board->ferr) x->board->ferr(x->board_opaque, &x->c, level);
}

/* ---- the board ---- */

void x86_connect_board(struct cpu *c, const struct x86_board_ops *ops, void *opaque)
{
    x86_cpu(c)->board = ops;
    x86_cpu(c)->board_opaque = opaque;
}

unsigned x86_topology_bits(uint32_t n)
{
    unsigned bits = 0;

    while (bits < 31 && UINT32_C(1) << bits < n) bits++;
    return bits;
}

void x86_set_topology(struct cpu *c, const struct x86_topology *t) { x86_cpu(c)->topology = *t; }
bool x86_has_x2apic(const struct cpu *c) { return ((const struct x86_cpu *)c)->model->sys & XSF(X2APIC); }
bool x86_has_tsc_deadline(const struct cpu *c) { return ((const struct x86_cpu *)c)->model->sys & XSF(TSC_DEADLINE); }

void x86_set_a20(struct cpu *c, bool on)
{
    struct x86_cpu *x = x86_cpu(c);

    if (x->a20_off == !on) return;
    atomic_store_int(&x->a20_off, !on);
    cpu_tlb_flush_soon(c);
}

void x86_wait_for_sipi(struct cpu *c)
{
    x86_cpu(c)->is_ap = x86_cpu(c)->wait_sipi = true;
    c->halted = true;
}

void x86_sipi(struct cpu *c, uint8_t vector)
{
    atomic_store_int(&x86_cpu(c)->sipi, (uint16_t)(0x100 | vector));
    cpu_kick(c);
}

void x86_take_sipi(struct x86_cpu *x)
{
    uint16_t sipi = atomic_load_int(&x->sipi);
    uint8_t vector = (uint8_t)sipi;

    atomic_store_int(&x->sipi, 0);
    if (!x->wait_sipi || !sipi) return; /* 0: an INIT has come meanwhile */
    x->wait_sipi = false;
    x->c.halted = false;
    x86_seg_put(x, SEG_CS, (uint16_t)(vector << 8), (uint32_t)vector << 12, x->seg_limit[SEG_CS], x->seg_attr[SEG_CS]);
    x86_set_ip(x, 0);
    x86_update_key(x);
}

void x86_start_at(struct cpu *c, const struct x86_start *s)
{
    struct x86_cpu *x = x86_cpu(c);
    uint32_t data = SA_P | SA_S | SA_RW | SA_ACCESSED;
    const uint32_t gpr[8] = { s->eax, s->ecx, s->edx, s->ebx, s->esp, s->ebp, s->esi, s->edi };

    if (s->protected_mode) {
        data |= SA_DB | SA_G;
        x->cr0 |= CR0_PE;
        for (unsigned i = 0; i < 6; i++) x86_seg_put(x, i, 0x18, 0, 0xffffffffu, data);
        x86_seg_put(x, SEG_CS, 0x10, 0, 0xffffffffu, data | SA_CODE);
    } else {
        x->cr0 &= ~(uint32_t)CR0_PE;
        for (unsigned i = 0; i < 6; i++) x86_seg_put(x, i, s->ss, (uint32_t)s->ss << 4, 0xffff, data);
        x86_seg_put(x, SEG_CS, s->cs, (uint32_t)s->cs << 4, 0xffff, data | SA_CODE);
    }
    for (unsigned r = 0; r < 8; r++) x86_set_gpr(x, r, gpr[r]);
    x86_set_ip(x, s->eip);
    cpu_tlb_flush(c);
    x86_update_key(x);
}

/* ---- time ---- */

void x86_sys_connect_clock(struct cpu *c, struct bus_clock *clock) { x86_cpu(c)->clock = clock; }

/* One tick per nanosecond. Without a clock one per instruction. */
uint64_t x86_tsc(struct x86_cpu *x)
{
    return (x->clock ? clock_now(x->clock) : cpu_icount(&x->c)) + x->tsc_offset;
}

uint64_t x86_tsc_time(struct cpu *c, uint64_t tsc)
{
    struct x86_cpu *x = x86_cpu(c);
    uint64_t now = clock_now(x->clock), left = tsc - x86_tsc(x);

    if (tsc <= x86_tsc(x)) return now;
    return left < TIME_NEVER - now ? now + left : TIME_NEVER - 1;
}
