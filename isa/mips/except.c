/*
 * except.c - exception and interrupt entry, and the block key.
 *
 * Follows MD00091 chapter 6 (exceptions and interrupts) and 9 (Status, Cause, EBase, IntCtl); the
 * EJTAG specification (MD00047) for Debug mode, of which only entry, exit and the three registers
 * are built; the R4000 manual where vectors are fixed.
 *
 * State of the MMU registers is written here at entry, never by mips_mmu: a translator may probe
 * ahead.
 */
#include "isa/mips/priv.h"

#include <inttypes.h>

#include "util/log.h"

/* ---- the key ------------------------------------------------------------ */

static uint64_t key_user(const struct mips_cpu *m)
{
    /* FR, 64 and ADDR64 are the ABI's and were set by mips_user_setup. */
    uint64_t key = m->c.key & (MK_FR | MK_64 | MK_ADDR64 | MK_M16);
    key |= MK_USERLAND | MK_CP3 | 2 << MK_MMU_SHIFT | 0xf << MK_HWRENA_SHIFT | MK_HWR_ULR;
    if (m->model->isa & MIPS_FPU) key |= MK_CP1;
    return key;
}

static uint64_t key_system(const struct mips_cpu *m)
{
    uint32_t sr = m->status, mode;
    uint64_t key = m->c.key & MK_M16;
    bool kernel = (sr & (SR_EXL | SR_ERL)) || mips_in_debug(m);
    unsigned ksu = kernel ? 0 : (sr & SR_KSU) >> SR_KSU_SHIFT;

    if (ksu == 0) {
        key |= MK_KERNEL | MK_CP0;
        mode = sr & SR_ERL ? 3 : 0;
        if (m->is64) key |= MK_64 | (sr & SR_KX ? MK_ADDR64 : 0);
    } else if (ksu == 1) {
        key |= MK_SUPER;
        mode = 1;
        if (m->is64 && (sr & SR_SX)) key |= MK_64 | MK_ADDR64;
    } else {
        mode = 2;
        if (m->is64 && (sr & (SR_UX | SR_PX))) key |= MK_64;
        if (m->is64 && (sr & SR_UX)) key |= MK_ADDR64;
    }
    key |= mode << MK_MMU_SHIFT;
    if (sr & SR_CU0) key |= MK_CP0;
    if (sr & SR_FR) key |= MK_FR;
    if (mips_r1(m) || (sr & SR_CU3))
        key |= MK_CP3; /* MIPS32 and MIPS64 have no separate enable for COP1X */
    key |= (m->hwrena & 0xf) << MK_HWRENA_SHIFT;
    if (m->hwrena & 1u << 29) key |= MK_HWR_ULR;
    return key;
}

static void set_key(struct mips_cpu *m)
{
    uint64_t key = m->user ? key_user(m) : key_system(m);
    bool reversed = !m->user && (m->status & SR_RE) && !(key & (MK_KERNEL | MK_SUPER));
    if (m->big_endian != reversed) key |= MK_BE;
    if (m->fcsr & 0xf80) key |= MK_FPSLOW;
    m->c.key = key;
}

void mips_update_key(struct mips_cpu *m)
{
    set_key(m);
    cpu_fp_changed(&m->c);
}

unsigned mips_mmu_mode(struct cpu *cpu)
{
    return (cpu->key & MK_MMU_MASK) >> MK_MMU_SHIFT;
}

void mips_status_changed(struct mips_cpu *m, uint32_t old)
{
    /* The engine's TLB knows the MMU mode but not which 64-bit segments are enabled. */
    if ((old ^ m->status) & (SR_KX | SR_SX | SR_UX) && m->is64) cpu_tlb_flush(&m->c);
    set_key(m);
}

/* ---- raising ------------------------------------------------------------ */

void mips_raise(struct mips_cpu *m, uint32_t code, uint32_t sub)
{
    m->c.exc = (struct exception){ .code = code, .sub = sub };
    cpu_raise(&m->c);
}

uint64_t mips_helper_raise(struct cpu *cpu, uint64_t code, uint64_t sub, uint64_t addr)
{
    cpu->exc = (struct exception){ .code = (uint32_t)code,
                                   .sub = (uint32_t)sub,
                                   .addr = mips_addr(mips_cpu(cpu), addr) };
    cpu_raise(cpu);
}

void mips_fault(struct cpu *cpu, enum mem_fault fault, enum mem_access access, uint64_t va)
{
    uint32_t code;
    switch (fault) {
    case FAULT_ALIGN: code = access == ACCESS_WRITE ? ME_ADES : ME_ADEL; break;
    case FAULT_BUS: code = access == ACCESS_EXEC ? ME_IBE : ME_DBE; break;
    default: code = access == ACCESS_WRITE ? ME_TLBS : ME_TLBL; break;
    }
    cpu->exc = (struct exception){ .code = code, .addr = mips_addr(mips_cpu(cpu), va) };
}

/* ---- entry -------------------------------------------------------------- */

/* Where execution resumes: the branch when the instruction sits in its delay slot. */
static uint64_t resume_pc(struct mips_cpu *m, bool *delay)
{
    uint64_t pc = mips_get_pc(m);
    bool m16 = m->c.key & MK_M16;
    *delay = m->c.insn_flags & (MI_DS | MI_DS2);
    if (m16) pc &= ~UINT64_C(1);
    if (*delay) pc -= m->c.insn_flags & MI_DS2 ? 2 : 4;
    return mips_addr(m, pc | m16);
}

static void enter(struct mips_cpu *m, uint64_t vector)
{
    m->c.key &= ~(uint64_t)MK_M16;
    m->c.halted = false;
    mips_put_pc(m, vector);
    set_key(m);
}

static void enter_error(struct mips_cpu *m, uint32_t code)
{
    bool delay;
    m->errorepc = resume_pc(m, &delay);
    m->status = (m->status & ~(uint32_t)(SR_TS | SR_SR | SR_NMI)) | SR_ERL | SR_BEV;
    if (code == ME_SOFT_RESET) m->status |= SR_SR;
    else m->status |= mips_r1(m) ? SR_NMI : SR_SR;
    enter(m, VA_RESET);
}

static void enter_debug(struct mips_cpu *m, uint32_t code)
{
    bool delay, nested = mips_in_debug(m);
    uint64_t pc = resume_pc(m, &delay);

    m->debug &= ~(uint32_t)(DB_DSS | DB_DBP | DB_EXC | DB_DBD);
    if (code == ME_DSS) m->debug |= DB_DSS;
    else if (code == ME_DBP && !nested) m->debug |= DB_DBP;
    else m->debug |= (code == ME_DBP ? ME_BP : code & 31) << DB_EXC_SHIFT;
    m->depc = pc;
    if (delay) m->debug |= DB_DBD;
    m->debug |= DB_DM;
    enter(m, VA_RESET + 0x480);
}

static void note_bad_address(struct mips_cpu *m, uint32_t code)
{
    uint64_t va = m->c.exc.addr;
    switch (code & 31) {
    case ME_MOD:
    case ME_TLBL:
    case ME_TLBS: break;
    case ME_ADEL:
    case ME_ADES: m->badvaddr = va; return;
    default: return;
    }
    unsigned seg = m->model->seg_bits;
    m->badvaddr = va;
    m->context = (m->context & ~UINT64_C(0x7fffff)) | ((va >> 9) & 0x7ffff0);
    m->entryhi = (m->entryhi & 0xff) | (va & mips_seg_mask(m) & ~UINT64_C(0x1fff));
    if (m->is64) {
        uint64_t vpn2 = (va & ((UINT64_C(1) << seg) - 1)) >> 13;
        m->xcontext =
            (m->xcontext & ~((UINT64_C(1) << (seg - 7)) - 1)) | (va >> 62) << (seg - 9) | vpn2 << 4;
    }
}

static unsigned pending(const struct mips_cpu *m)
{
    return (m->cause & m->status & CA_IP) >> CA_IP_SHIFT;
}

static unsigned vector_offset(const struct mips_cpu *m, uint32_t code)
{
    if (m->status & SR_EXL) return 0x180;
    if (code & ME_TLB_REFILL) return code & ME_XTLB ? 0x080 : 0x000;
    if (code == ME_INT && (m->cause & CA_IV) && mips_r1(m)) {
        unsigned spacing = m->intctl & INTCTL_VS, ip = pending(m);
        if ((m->config3 & C3_VINT) && spacing && ip && !(m->status & SR_BEV))
            return 0x200 + (31 - host_clz32(ip)) * spacing;
        return 0x200;
    }
    return 0x180;
}

void mips_exception(struct cpu *cpu)
{
    struct mips_cpu *m = mips_cpu(cpu);
    uint32_t code = cpu->exc.code;
    bool delay;

    if (code == ME_NMI || code == ME_SOFT_RESET) {
        enter_error(m, code);
    } else if (code == ME_DSS || code == ME_DBP || mips_in_debug(m)) {
        enter_debug(m, code);
    } else {
        unsigned offset = vector_offset(m, code);
        note_bad_address(m, code);
        if (!(m->status & SR_EXL)) {
            m->epc = resume_pc(m, &delay);
            m->cause = (m->cause & ~CA_BD) | (delay ? CA_BD : 0);
        }
        m->cause = (m->cause & ~(uint32_t)(CA_EXC | CA_CE)) | (code & 31) << CA_EXC_SHIFT;
        if (code == ME_CPU) m->cause |= (cpu->exc.sub & 3) << CA_CE_SHIFT;
        m->status |= SR_EXL;
        uint64_t base = m->status & SR_BEV ? VA_RESET + 0x200
                        : mips_r2(m)       ? sign32(m->ebase & 0xfffff000u)
                                           : VA_KSEG0;
        enter(m, base + offset);
    }
    if (log_on(LOG_INT))
        log_printf("mips: exception %u.%u: pc %" PRIx64 " <- epc %" PRIx64 " badvaddr %" PRIx64
                   " status %08" PRIx32 " cause %08" PRIx32 "\n",
                   code, cpu->exc.sub, mips_get_pc(m),
                   code == ME_NMI || code == ME_SOFT_RESET ? m->errorepc : m->epc, m->badvaddr,
                   m->status, m->cause);
}

/* ---- interrupts --------------------------------------------------------- */

void mips_update_irq(struct mips_cpu *m)
{
    uint32_t ip = (m->irq_level & 0xfc) << CA_IP_SHIFT, old = m->cause;
    if (m->cause & CA_TI) {
        unsigned line = mips_r2(m) ? m->intctl >> 29 : 7;
        if (line >= 2) ip |= 1u << (CA_IP_SHIFT + line);
    }
    m->cause = (m->cause & (~(uint32_t)CA_IP | CA_SWINT)) | ip;
    if (m->cause & ~old & m->status & CA_IP) cpu_kick(&m->c);
}

void mips_set_irq(struct cpu *cpu, unsigned n, bool level)
{
    struct mips_cpu *m = mips_cpu(cpu);
    if (n < 2 || n > MIPS_PIN_NMI) return; /* IP0 and IP1 are software's alone */
    if (n == MIPS_PIN_NMI) {
        if (level && !(m->irq_level & IRQ_NMI_PIN)) {
            m->irq_level |= IRQ_NMI_LATCH;
            cpu_kick(cpu);
        }
    }
    m->irq_level = level ? m->irq_level | 1u << n : m->irq_level & ~(1u << n);
    mips_update_irq(m);
}

/* An interrupt that the mask lets through wakes a waiting CPU even while IE is off; it is then not
 * entered, and execution goes on after WAIT. */
bool mips_has_work(struct cpu *cpu)
{
    struct mips_cpu *m = mips_cpu(cpu);
    return pending(m) || (m->irq_level & IRQ_NMI_LATCH);
}

static bool enabled(const struct mips_cpu *m)
{
    return (m->status & (SR_IE | SR_EXL | SR_ERL)) == SR_IE && !mips_in_debug(m);
}

void mips_kick_if_interrupted(struct mips_cpu *m)
{
    if (pending(m) && enabled(m)) cpu_kick(&m->c);
}

bool mips_interrupt(struct cpu *cpu)
{
    struct mips_cpu *m = mips_cpu(cpu);
    bool nmi = m->irq_level & IRQ_NMI_LATCH;

    if (!nmi && !pending(m)) return false;
    cpu->halted = false;
    if (!(nmi ? !mips_in_debug(m) : enabled(m))) return false;
    if (nmi) m->irq_level &= ~IRQ_NMI_LATCH;
    cpu->insn_flags = 0; /* between instructions, never in a delay slot */
    cpu->exc = (struct exception){ .code = nmi ? ME_NMI : ME_INT };
    mips_exception(cpu);
    return true;
}
