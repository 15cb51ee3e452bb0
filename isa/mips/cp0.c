/*
 * cp0.c - reading and writing CP0 registers, and the privileged instructions that are neither TLB
 * instructions (mmu.c) nor exceptions (except.c).
 *
 * Follows MD00090/MD00091 chapter 9. Registers that a model does not have read as 0 and ignore
 * writes (the architecture leaves both undefined); both are logged as guest errors.
 *
 * Access rights were checked by the translator: a helper runs only with CP0 usable.
 */
#include "isa/mips/priv.h"

#include <inttypes.h>

#include "util/log.h"

#define REG(n, sel) ((n)*8 + (sel))

/* The next number of a fixed sequence: deterministic, and saved with the rest of the state. */
unsigned mips_random(struct mips_cpu *m)
{
    unsigned n = m->model->tlb_entries, first = MIN(m->wired, n - 1), span = n - first;
    m->random_seed = m->random_seed * 1664525u + 1013904223u;
    /* The low bits of such a sequence are too regular to pick from. */
    return first + (unsigned)(((uint64_t)(m->random_seed >> 8) * span) >> 24);
}

static uint32_t index_mask(const struct mips_cpu *m)
{
    unsigned n = m->model->tlb_entries, mask = 1;
    while (mask < n)
        mask <<= 1;
    return n ? mask - 1 : 0;
}

static unsigned cache_line(const struct mips_cpu *m)
{
    unsigned il = (m->model->config1 >> 19) & 7, dl = (m->model->config1 >> 10) & 7;
    unsigned l = il && dl ? MIN(il, dl) : MAX(il, dl);
    return l ? 2u << l : 0;
}

/* ---- registers that do more than hold bits ------------------------------ */

static void write_status(struct mips_cpu *m, uint32_t value)
{
    uint32_t old = m->status, rw = m->model->status_rw, latched = SR_TS | SR_SR | SR_NMI;
    uint32_t status = (old & ~rw) | (value & rw);
    status &= ~latched | old; /* software can only clear these */
    if ((status & SR_KSU) == SR_KSU)
        status &= ~(uint32_t)SR_KSU | (old & SR_KSU); /* reserved mode */
    m->status = status;
    mips_status_changed(m, old);
}

static void write_cause(struct mips_cpu *m, uint32_t value)
{
    uint32_t rw = CA_SWINT;
    if (mips_r1(m)) rw |= CA_IV;
    if (mips_r2(m)) rw |= CA_DC;
    m->cause = (m->cause & ~rw) | (value & rw);
    if (mips_r2(m)) mips_count_stop(m, value & CA_DC);
}

static uint64_t entrylo_mask(const struct mips_cpu *m)
{
    return ((UINT64_C(1) << (m->model->phys_bits - 6)) - 1);
}

static uint32_t config_m(uint32_t value, uint32_t next)
{
    return value | (next ? CONFIG_M : 0);
}

/* ---- reading: the full register; MFC0 takes the low half ---------------- */

static bool read_reg(struct mips_cpu *m, unsigned reg, uint64_t *v)
{
    const struct mips_model *d = m->model;
    bool r1 = mips_r1(m), r2 = mips_r2(m);
    *v = 0;
    switch (reg) {
    case REG(0, 0): *v = m->index; return true;
    case REG(1, 0): *v = d->tlb_entries ? mips_random(m) : 0; return true;
    case REG(2, 0): *v = m->entrylo0; return true;
    case REG(3, 0): *v = m->entrylo1; return true;
    case REG(4, 0): *v = m->context; return true;
    case REG(4, 2): *v = m->is64 ? m->ulocal.d : m->ulocal.w; return d->config3 & C3_ULRI;
    case REG(5, 0): *v = m->pagemask; return true;
    case REG(5, 1): *v = m->pagegrain; return r2;
    case REG(6, 0): *v = m->wired; return true;
    case REG(7, 0): *v = m->hwrena; return r2;
    case REG(8, 0): *v = m->badvaddr; return true;
    case REG(9, 0): *v = mips_count_read(m); return true;
    case REG(10, 0): *v = m->entryhi; return true;
    case REG(11, 0): *v = m->compare; return true;
    case REG(12, 0): *v = m->status; return true;
    case REG(12, 1): *v = m->intctl; return r2;
    case REG(12, 2): *v = m->srsctl; return r2;
    case REG(12, 3): return r2; /* SRSMap: one register set */
    case REG(13, 0):
        mips_timer_poll(m);
        *v = r2 ? m->cause : m->cause & ~(uint32_t)CA_TI;
        return true;
    case REG(14, 0): *v = m->epc; return true;
    case REG(15, 0): *v = d->prid; return true;
    case REG(15, 1): *v = m->ebase; return r2;
    case REG(16, 0): *v = m->config0; return true;
    case REG(16, 1): *v = config_m(d->config1, d->config2); return r1;
    case REG(16, 2): *v = config_m(d->config2, m->config3); return r1;
    case REG(16, 3): *v = m->config3; return r1;
    case REG(16, 4):
    case REG(16, 5): return r1;
    case REG(16, 6): *v = d->config6; return r1;
    case REG(16, 7): *v = d->config7; return r1;
    case REG(17, 0): *v = m->lladdr_cp0; return true;
    case REG(18, 0):
    case REG(19, 0): return d->r4000_style; /* Watch: never set */
    case REG(20, 0): *v = m->xcontext; return m->is64;
    case REG(23, 0): *v = m->debug | DB_VER_2_6 | DB_NODCR; return mips_has_ejtag(m);
    case REG(24, 0): *v = m->depc; return mips_has_ejtag(m);
    case REG(26, 0): *v = m->errctl; return true;
    case REG(27, 0): return true; /* CacheErr */
    case REG(28, 0):
    case REG(28, 2): *v = m->taglo; return true;
    case REG(28, 1):
    case REG(28, 3): *v = m->datalo; return true;
    case REG(29, 0):
    case REG(29, 1):
    case REG(29, 2):
    case REG(29, 3): return true; /* TagHi, DataHi */
    case REG(30, 0): *v = m->errorepc; return true;
    case REG(31, 0): *v = m->desave; return mips_has_ejtag(m);
    default: return false;
    }
}

/* ---- writing: value is sign-extended by MTC0 ---------------------------- */

static bool write_reg(struct mips_cpu *m, unsigned reg, uint64_t v)
{
    const struct mips_model *d = m->model;
    bool r2 = mips_r2(m);
    uint32_t w = (uint32_t)v;
    uint64_t addr = mips_addr(m, v);
    switch (reg) {
    case REG(0, 0): m->index = (m->index & 0x80000000u) | (w & index_mask(m)); return true;
    case REG(1, 0): return true; /* Random is read-only */
    case REG(2, 0): m->entrylo0 = v & entrylo_mask(m); return true;
    case REG(3, 0): m->entrylo1 = v & entrylo_mask(m); return true;
    case REG(4, 0):
        m->context = (m->context & 0x7fffff) | (addr & ~UINT64_C(0x7fffff));
        return true;
    case REG(4, 2):
        if (!(d->config3 & C3_ULRI)) return false;
        if (m->is64) m->ulocal.d = v;
        else m->ulocal.w = w;
        return true;
    case REG(5, 0): m->pagemask = mips_pagemask_legal(m, w); return true;
    case REG(5, 1): return r2; /* no small pages, no large physical addresses, no execute-inhibit */
    case REG(6, 0):
        if (m->wired != (w & index_mask(m))) mips_tlb2_drop(m);
        m->wired = w & index_mask(m);
        return true;
    case REG(7, 0):
        if (!r2) return false;
        m->hwrena = w & (0xfu | (d->config3 & C3_ULRI ? 1u << 29 : 0));
        mips_update_key(m);
        return true;
    case REG(8, 0): return true;
    case REG(9, 0): mips_count_write(m, w); return true;
    case REG(10, 0): mips_set_entryhi(m, v); return true;
    case REG(11, 0): mips_compare_write(m, w); return true;
    case REG(12, 0): write_status(m, w); return true;
    case REG(12, 1):
        if (!r2) return false;
        if (d->config3 & C3_VINT) m->intctl = (m->intctl & ~INTCTL_VS) | (w & INTCTL_VS);
        return true;
    case REG(12, 2):
    case REG(12, 3): return r2;
    case REG(13, 0): write_cause(m, w); return true;
    case REG(14, 0): m->epc = addr; return true;
    case REG(15, 0): return true;
    case REG(15, 1):
        if (!r2) return false;
        m->ebase = (m->ebase & ~0x3ffff000u) | (w & 0x3ffff000u);
        return true;
    case REG(16, 0): m->config0 = (m->config0 & ~(uint32_t)C0_K0) | (w & C0_K0); return true;
    case REG(16, 1):
    case REG(16, 2):
    case REG(16, 3):
    case REG(16, 4):
    case REG(16, 5):
    case REG(16, 6):
    case REG(16, 7): return mips_r1(m); /* nothing in them can be written */
    case REG(17, 0):
        if (d->r4000_style) m->lladdr_cp0 = w;
        return true;
    case REG(18, 0):
    case REG(19, 0): return d->r4000_style;
    case REG(20, 0): {
        if (!m->is64) return false;
        uint64_t low = (UINT64_C(1) << (d->seg_bits - 7)) - 1;
        m->xcontext = (m->xcontext & low) | (v & ~low);
        return true;
    }
    case REG(23, 0):
        return mips_has_ejtag(m); /* no single stepping, no debug interrupt: nothing to write */
    case REG(24, 0): m->depc = addr; return mips_has_ejtag(m);
    case REG(26, 0): m->errctl = w; return true;
    case REG(27, 0): return true;
    case REG(28, 0):
    case REG(28, 2): m->taglo = w; return true;
    case REG(28, 1):
    case REG(28, 3): m->datalo = w; return true;
    case REG(29, 0):
    case REG(29, 1):
    case REG(29, 2):
    case REG(29, 3): return true;
    case REG(30, 0): m->errorepc = addr; return true;
    case REG(31, 0): m->desave = w; return mips_has_ejtag(m);
    default: return false;
    }
}

static uint64_t read_logged(struct mips_cpu *m, unsigned reg)
{
    uint64_t v;
    if (!read_reg(m, reg, &v)) {
        LOG(GUEST_ERRORS, "mips: %s has no CP0 register %u.%u (read at pc %" PRIx64 ")\n",
            m->model->name, reg >> 3, reg & 7, mips_get_pc(m));
        return 0;
    }
    return v;
}

static void write_logged(struct mips_cpu *m, unsigned reg, uint64_t v)
{
    if (!write_reg(m, reg, v))
        LOG(GUEST_ERRORS, "mips: %s has no CP0 register %u.%u (write of %" PRIx64 ")\n",
            m->model->name, reg >> 3, reg & 7, v);
}

uint64_t mips_helper_mfc0(struct cpu *cpu, uint64_t reg, uint64_t b, uint64_t c)
{
    return sign32(read_logged(mips_cpu(cpu), (unsigned)reg & 0xff));
}

uint64_t mips_helper_dmfc0(struct cpu *cpu, uint64_t reg, uint64_t b, uint64_t c)
{
    return read_logged(mips_cpu(cpu), (unsigned)reg & 0xff);
}

uint64_t mips_helper_mtc0(struct cpu *cpu, uint64_t reg, uint64_t v, uint64_t c)
{
    write_logged(mips_cpu(cpu), (unsigned)reg & 0xff, sign32(v));
    mips_kick_if_interrupted(mips_cpu(cpu)); /* the slot of jr leaves by the jump, without a look at interrupts */
    return 0;
}

uint64_t mips_helper_dmtc0(struct cpu *cpu, uint64_t reg, uint64_t v, uint64_t c)
{
    write_logged(mips_cpu(cpu), (unsigned)reg & 0xff, v);
    mips_kick_if_interrupted(mips_cpu(cpu));
    return 0;
}

/* ---- returns, interrupt enable, wait ------------------------------------ */

/* The address to go on at; its bit 0 selects MIPS16e where that exists. */
static uint64_t return_to(struct mips_cpu *m, uint64_t pc)
{
    m->c.key &= ~(uint64_t)MK_M16;
    if ((m->model->isa & MIPS_16E) && (pc & 1)) {
        m->c.key |= MK_M16;
        pc &= ~UINT64_C(1);
    }
    return mips_addr(m, pc);
}

uint64_t mips_helper_eret(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    uint32_t old = m->status;
    uint64_t pc;
    if (old & SR_ERL) {
        pc = m->errorepc;
        m->status &= ~(uint32_t)SR_ERL;
    } else {
        pc = m->epc;
        m->status &= ~(uint32_t)SR_EXL;
    }
    if (m->is64) m->lladdr.d = LL_NONE;
    else m->lladdr.w = (uint32_t)LL_NONE;
    pc = return_to(m, pc);
    mips_status_changed(m, old);
    mips_kick_if_interrupted(m);
    return pc;
}

uint64_t mips_helper_deret(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    if (!mips_in_debug(m)) mips_raise(m, ME_RI, 0);
    m->debug &= ~(uint32_t)DB_DM;
    uint64_t pc = return_to(m, m->depc);
    mips_status_changed(m, m->status);
    mips_kick_if_interrupted(m);
    return pc;
}

static uint32_t set_ie(struct mips_cpu *m, uint32_t ie)
{
    uint32_t old = m->status;
    m->status = (old & ~(uint32_t)SR_IE) | ie;
    return old;
}

uint64_t mips_helper_di(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    return sign32(set_ie(mips_cpu(cpu), 0));
}

uint64_t mips_helper_ei(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    return sign32(set_ie(mips_cpu(cpu), SR_IE));
}

uint64_t mips_helper_wait(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    cpu->halted = true; /* the engine asks mips_has_work before it sleeps */
    return 0;
}

uint64_t mips_helper_leave(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    (void)a, (void)b, (void)c;
    cpu_kick(cpu);
    return 0;
}

uint64_t mips_helper_synci(struct cpu *cpu, uint64_t va, uint64_t b, uint64_t c)
{
    uint32_t line = cache_line(mips_cpu(cpu));
    if (!mips_cpu(cpu)->is64) va = (uint32_t)va;
    va &= ~(uint64_t)(line - 1);
    if (line && va < cpu->ulimit) engine_code_written(cpu->engine, cpu->ubase + va, line);
    return 0;
}

uint64_t mips_helper_rdhwr(struct cpu *cpu, uint64_t reg, uint64_t b, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    bool always = cpu->key & (MK_CP0 | MK_USERLAND),
         known = reg <= 3 || (reg == 29 && (m->user || (m->model->config3 & C3_ULRI)));
    if (!known || !(always || (m->hwrena >> reg & 1))) mips_raise(m, ME_RI, 0);
    switch (reg) {
    case 0: return m->ebase & 0x3ff;
    case 1: return cache_line(m);
    case 2: return sign32(mips_count_read(m));
    case 3: return m->model->cc_res;
    default: return m->is64 ? m->ulocal.d : sign32(m->ulocal.w);
    }
}
