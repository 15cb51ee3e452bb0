/*
 * sys-msr.c - model-specific registers, and the parts of CPUID that belong to system mode.
 *
 * Follows the Intel SDM volume 4 (registers of the architectural kind and those of the P6 family that firmware and kernels ask
 * for), volume 3 chapter 12 (MTRRs, PAT) and 16 (machine check), and the AMD64 APM volume 2 (EFER, STAR...). Memory types are
 * kept, not acted upon. Registers that a processor does not have raise #GP.
 */
#include "isa/x86/sys.h"

#include "util/log.h"

#include <inttypes.h>

enum {
    MSR_TSC = 0x10, MSR_PLATFORM_ID = 0x17, MSR_APICBASE = 0x1b, MSR_FEATURE_CONTROL = 0x3a, MSR_TSC_ADJUST = 0x3b, MSR_UCODE_WRITE = 0x79,
    MSR_UCODE = 0x8b, MSR_MTRRCAP = 0xfe, MSR_BBL_CR_CTL3 = 0x11e, MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS, MSR_MCG_CTL, MSR_PERF_STATUS = 0x198, MSR_PERF_CTL, MSR_MISC_ENABLE = 0x1a0, MSR_DEBUGCTL = 0x1d9, MSR_MTRR_BASE0 = 0x200,
    MSR_MTRR_64K = 0x250, MSR_MTRR_16K = 0x258, MSR_MTRR_4K = 0x268, MSR_PAT = 0x277, MSR_MTRR_DEF = 0x2ff, MSR_MC0 = 0x400, MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC = 0x800,
};
#define MSR_EFER 0xc0000080u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_FMASK 0xc0000084u
#define MSR_FSBASE 0xc0000100u
#define MSR_GSBASE 0xc0000101u
#define MSR_KERNEL_GS 0xc0000102u
#define MSR_TSC_AUX 0xc0000103u

static bool has_sys(const struct x86_cpu *x, uint32_t f) { return x->model->sys & f; }
/* The local APIC's. */
static bool is_apic(const struct x86_cpu *x, uint32_t msr)
{
    if (msr >= MSR_X2APIC && msr < MSR_X2APIC + 0x100) return has_sys(x, XSF(X2APIC));
    return msr == MSR_APICBASE || (msr == MSR_TSC_DEADLINE && has_sys(x, XSF(TSC_DEADLINE)));
}

/* Fixed-range MTRRs in one array; NULL: not one of them. */
static uint64_t *fixed(struct x86_cpu *x, uint32_t msr)
{
    if (msr == MSR_MTRR_64K) return &x->mtrr_fixed[0];
    if (msr >= MSR_MTRR_16K && msr < MSR_MTRR_16K + 2) return &x->mtrr_fixed[1 + msr - MSR_MTRR_16K];
    if (msr >= MSR_MTRR_4K && msr < MSR_MTRR_4K + 8) return &x->mtrr_fixed[3 + msr - MSR_MTRR_4K];
    return NULL;
}

/* Registers that just hold a value, with what may be set in them. */
static uint64_t *plain(struct x86_cpu *x, uint32_t msr, uint64_t *may)
{
    uint64_t *f = has_sys(x, XSF(MTRR)) ? fixed(x, msr) : NULL;

    *may = ~UINT64_C(0);
    if (f) return f;
    if (has_sys(x, XSF(MTRR)) && msr >= MSR_MTRR_BASE0 && msr < MSR_MTRR_BASE0 + 2 * X86_MTRRS)
        return (msr & 1 ? x->mtrr_mask : x->mtrr_base) + (msr - MSR_MTRR_BASE0) / 2;
    if (has_sys(x, XSF(MCA)) && msr >= MSR_MC0 && msr < MSR_MC0 + 4 * X86_MC_BANKS) return &x->mc_bank[msr - MSR_MC0];
    switch (msr) {
    case MSR_SYSENTER_CS: return x86_has(x, XF_SEP) ? &x->sysenter_cs : NULL;
    case MSR_SYSENTER_ESP: return x86_has(x, XF_SEP) ? &x->sysenter_esp : NULL;
    case MSR_SYSENTER_EIP: return x86_has(x, XF_SEP) ? &x->sysenter_eip : NULL;
    case MSR_MCG_STATUS: return has_sys(x, XSF(MCA)) ? &x->mcg_status : NULL;
    case MSR_MCG_CTL: return has_sys(x, XSF(MCA)) ? &x->mcg_ctl : NULL;
    case MSR_MISC_ENABLE: return &x->misc_enable;
    case MSR_DEBUGCTL: *may = 3; return &x->debugctl;
    case MSR_MTRR_DEF: *may = 0xcff; return has_sys(x, XSF(MTRR)) ? &x->mtrr_def : NULL;
    case MSR_PAT: return has_sys(x, XSF(PAT)) ? &x->pat : NULL;
    case MSR_STAR: return x86_has(x, XF_SYSCALL) ? &x->star : NULL;
    case MSR_LSTAR: return x86_has(x, XF_LM) ? &x->lstar : NULL;
    case MSR_CSTAR: return x86_has(x, XF_LM) ? &x->cstar : NULL;
    case MSR_FMASK: *may = 0xffffffff; return x86_has(x, XF_LM) ? &x->fmask : NULL;
    case MSR_KERNEL_GS: return x86_has(x, XF_LM) ? &x->kernel_gs : NULL;
    case MSR_FSBASE: return x86_has(x, XF_LM) ? &x->seg_base.d[SEG_FS] : NULL;
    case MSR_GSBASE: return x86_has(x, XF_LM) ? &x->seg_base.d[SEG_GS] : NULL;
    case MSR_TSC_AUX: *may = 0xffffffff; return x86_has(x, XF_RDTSCP) ? &x->tsc_aux : NULL;
    default: return NULL;
    }
}

bool x86_msr_read(struct x86_cpu *x, uint32_t msr, uint64_t *v)
{
    uint64_t may, *p = plain(x, msr, &may);

    *v = 0;
    if (p) {
        *v = *p;
        return true;
    }
    if (is_apic(x, msr)) return x->board && x->board->read_apic_msr && x->board->read_apic_msr(x->board_opaque, &x->c, msr, v);
    switch (msr) {
    case MSR_TSC: *v = x86_tsc(x); return true;
    case MSR_UCODE: *v = x->microcode; return true;
    case MSR_PLATFORM_ID: case MSR_FEATURE_CONTROL: case MSR_BBL_CR_CTL3: return true;
    case MSR_MTRRCAP: *v = 0x500 | X86_MTRRS; return has_sys(x, XSF(MTRR));
    case MSR_MCG_CAP: *v = 0x100 | X86_MC_BANKS; return has_sys(x, XSF(MCA));
    case MSR_PERF_STATUS: *v = 1000 | UINT64_C(4) << 40; return true; /* as other emulators have it */
    case MSR_PERF_CTL: return true;
    case MSR_EFER: *v = x->efer; return has_sys(x, XSF(NX)) || x86_has(x, XF_LM) || x86_has(x, XF_SYSCALL);
    default: return false;
    }
}

static bool write_efer(struct x86_cpu *x, uint64_t v)
{
    uint64_t known = (x86_has(x, XF_SYSCALL) ? EFER_SCE : 0) | (x86_has(x, XF_LM) ? EFER_LME | EFER_LMA : 0) | (has_sys(x, XSF(NX)) ? EFER_NXE : 0);

    if (!known || v & ~known) return false;
    if ((v ^ x->efer) & EFER_LME && x->cr0 & CR0_PG) return false;
    v = (v & ~(uint64_t)EFER_LMA) | (x->efer & EFER_LMA);
    if ((v ^ x->efer) & EFER_NXE) cpu_tlb_flush(&x->c);
    x->efer = v;
    x86_update_key(x);
    return true;
}

static bool bad_types(uint64_t v)
{
    for (unsigned i = 0; i < 64; i += 8) {
        unsigned type = v >> i & 0xff;
        if (type > 7 || type == 2 || type == 3) return true;
    }
    return false;
}

bool x86_msr_write(struct x86_cpu *x, uint32_t msr, uint64_t v)
{
    uint64_t may, *p = plain(x, msr, &may);

    if (p) {
        bool address = msr == MSR_LSTAR || msr == MSR_CSTAR || msr == MSR_KERNEL_GS || msr == MSR_FSBASE || msr == MSR_GSBASE ||
                       ((msr == MSR_SYSENTER_ESP || msr == MSR_SYSENTER_EIP) && x86_has(x, XF_LM));
        if (v & ~may || (address && !x86_canonical(v)) || (msr == MSR_PAT && bad_types(v))) return false;
        /* banks: only their CTL registers take anything but 0 */
        if (msr >= MSR_MC0 && msr < MSR_MC0 + 4 * X86_MC_BANKS && (msr & 3) && v) return false;
        *p = v;
        return true;
    }
    if (is_apic(x, msr)) {
        if (!x->board || !x->board->write_apic_msr || !x->board->write_apic_msr(x->board_opaque, &x->c, msr, v)) return false;
        return true;
    }
    switch (msr) {
    case MSR_TSC:
        x->tsc_offset += v - x86_tsc(x);
        if (x->board && x->board->tsc_written) x->board->tsc_written(x->board_opaque, &x->c);
        return true;
    case MSR_UCODE: x->microcode = v; return true;
    case MSR_UCODE_WRITE: case MSR_PERF_CTL: return true;
    case MSR_EFER: return write_efer(x, v);
    default: return false;
    }
}

uint64_t x86_helper_rdmsr(struct cpu *c, uint64_t msr, uint64_t a, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);
    uint64_t v;

    (void)a, (void)b;
    if (!x86_msr_read(x, (uint32_t)msr, &v)) {
        LOG(GUEST_ERRORS, "x86: rdmsr of 0x%" PRIx32 ", which is not there\n", (uint32_t)msr);
        x86_gp(x, 0);
    }
    return v;
}

uint64_t x86_helper_wrmsr(struct cpu *c, uint64_t msr, uint64_t v, uint64_t b)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)b;
    if (!x86_msr_write(x, (uint32_t)msr, v)) {
        LOG(GUEST_ERRORS, "x86: wrmsr of 0x%" PRIx32 " = 0x%" PRIx64 "\n", (uint32_t)msr, v);
        x86_gp(x, 0);
    }
    return 0;
}

/* ---- CPUID ---- */

static const struct { uint32_t sys; uint8_t word, bit; } words[] = {
#define X(f, word, bit) { XSF(f), word, bit },
    X86_SYS_FEATURES(X)
#undef X
};

static uint32_t sys_word(const struct x86_cpu *x, unsigned word)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        if (words[i].word == word && x->model->sys & words[i].sys) v |= 1u << words[i].bit;
    }
    return v;
}

/* Leaf Bh, where a level's number of bits is that of the id below the next one, and 1Fh, which knows dies, too. */
static void levels(const struct x86_cpu *x, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    const struct x86_topology *t = &x->topology;
    unsigned thread = x86_topology_bits(t->threads), core = thread + x86_topology_bits(t->cores), die = core + x86_topology_bits(t->dies);
    uint32_t package = t->threads * t->cores * t->dies;

    r[2] = sub & 0xff;
    r[3] = t->apic_id;
    if (sub == 0) r[0] = thread, r[1] = t->threads, r[2] |= 1 << 8;
    else if (sub == 1 && leaf == 0xb) r[0] = die, r[1] = package, r[2] |= 2 << 8;
    else if (sub == 1) r[0] = core, r[1] = t->threads * t->cores, r[2] |= 2 << 8;
    else if (sub == 2 && leaf == 0x1f) r[0] = die, r[1] = package, r[2] |= 5 << 8;
}

/* Leaf 4: who shares a cache; a core has its own of the first level for each thread. */
static void cache_sharing(const struct x86_cpu *x, uint32_t r[4])
{
    const struct x86_topology *t = &x->topology;
    unsigned level = r[0] >> 5 & 7, core = x86_topology_bits(t->threads), die = core + x86_topology_bits(t->cores);
    uint32_t by = level == 2 ? t->threads - 1 : level == 3 ? (1u << die) - 1 : 0;

    if (r[0] & 31) r[0] |= MIN(by, 0xfffu) << 14 | MIN(t->cores * t->dies - 1, 63u) << 26;
}

void x86_sys_cpuid(struct x86_cpu *x, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    bool apic = x->board && x->board->read_apic_msr, amd = x->model->vendor[0] == 'A';
    const struct x86_topology *t = &x->topology;
    uint32_t package = t->threads * t->cores * t->dies;

    switch (leaf) {
    case 0:
        if (r[0] >= 7 && (x86_has(x, XF_LM) || has_sys(x, XSF(X2APIC)))) r[0] = MAX(r[0], t->dies > 1 ? 0x1fu : 0xbu);
        break;
    case 1:
        r[1] = (r[1] & 0xffff) | MIN(package, 255u) << 16 | t->apic_id << 24;
        r[3] |= sys_word(x, 1) | (apic ? 1u << 9 : 0) | (package > 1 ? 1u << 28 : 0);
        r[2] |= sys_word(x, 2) | (x86_has(x, XF_MONITOR) ? 8 : 0);
        if (!apic) r[2] &= ~(1u << 21 | 1u << 24);
        r[2] = (r[2] & ~(1u << 27)) | (x->cr4 & CR4_OSXSAVE ? 1u << 27 : 0);
        break;
    case 4: cache_sharing(x, r); break;
    case 0xb: case 0x1f: {
        uint32_t most[4];
        x86_cpuid(x, 0, 0, most);
        x86_sys_cpuid(x, 0, 0, most);
        if (leaf <= most[0]) levels(x, leaf, sub, r);
        break;
    }
    case 7:
        if (sub) break;
        r[1] |= sys_word(x, 3) | (x86_has(x, XF_INVPCID) ? 1u << 10 : 0) | (x86_has(x, XF_SMAP) ? 1u << 20 : 0);
        break;
    case 0xd:
        /* what XCR0 has enabled now */
        if (x86_has(x, XF_XSAVE) && sub < 2 && r[1]) r[1] = x->xcr0 & 4 ? 832 : 576;
        break;
    case 0x80000001:
        r[3] |= sys_word(x, 4);
        if (amd && package > 1) r[2] |= 2; /* a package's logical processors are cores */
        /* AMD's word repeats that of leaf 1 */
        if (amd) r[3] |= (sys_word(x, 1) | (apic ? 1u << 9 : 0)) & 0x0183f3ff;
        break;
    case 0x80000008:
        if (package > 1) r[2] |= (package - 1) | (x86_topology_bits(t->threads) + x86_topology_bits(t->cores) + x86_topology_bits(t->dies)) << 12;
        break;
    default: break;
    }
}
