/*
 * mmu.c - virtual addresses: segments, mapping by the TLB (tlb.c) and fixed mapping.
 *
 * Follows MD00091 chapter 4 (virtual memory) and appendix A (fixed mapping MMU). Nothing here
 * changes guest state: a failed access leaves its registers to be written at exception entry
 * (except.c).
 */
#include "isa/mips/priv.h"

enum { MODE_KERNEL, MODE_SUPER, MODE_USER, MODE_ERL };

uint64_t mips_seg_mask(const struct mips_cpu *m)
{
    if (!m->is64) return 0xffffffffu;
    return UINT64_C(3) << 62 | ((UINT64_C(1) << m->model->seg_bits) - 1);
}

uint32_t mips_pagemask_legal(const struct mips_cpu *m, uint32_t value)
{
    /* Release 2: up to 256 MiB; before: up to 16 MiB. Ones come in pairs from bit 13. */
    uint32_t limit = mips_r2(m) ? 0x1fffe000u : 0x01ffe000u, mask = 0;
    for (uint32_t pair = 3u << 13; pair & limit; pair <<= 2) {
        if ((value & pair) != pair) break;
        mask |= pair;
    }
    return mask;
}

static bool fail(struct mips_cpu *m, bool probe, uint32_t code, uint64_t va)
{
    if (!probe) m->c.exc = (struct exception){ .code = code, .addr = mips_addr(m, va) };
    return false;
}

static bool unmapped(struct mmu_hit *hit, uint64_t phys, bool uncached)
{
    *hit = (struct mmu_hit){
        .phys = phys, .prot = MMU_R | MMU_W | MMU_X, .page_bits = 29, .uncached = uncached,
        .global = true
    };
    return true;
}

static bool uncached_attr(unsigned c)
{
    return c == 2 || c == 7;
}

/* kseg0 and kseg1 */
bool mips32_fixed(uint64_t va) { return (uint32_t)va >> 30 == 2; }
bool mips64_fixed(uint64_t va) { return va >> 30 == 0x3fffffffe; }

/* xtlb: misses go to the 64-bit refill vector. */
static bool mapped(struct mips_cpu *m, uint64_t va, enum mem_access access, bool probe, bool xtlb,
                   struct mmu_hit *hit)
{
    uint32_t code = access == ACCESS_WRITE ? ME_TLBS : ME_TLBL;
    unsigned asid = m->entryhi & 0xff, odd;
    int i = mips_tlb_find(m, va, asid);
    const struct mips_tlb_entry *e = i < 0 ? mips_tlb2_find(m, va, asid) : &m->tlb[i];
    uint32_t missing = code | ME_TLB_REFILL | (xtlb ? ME_XTLB : 0);

    if (!e) return fail(m, probe, missing, va);
    /* bytes; also the bit that tells even from odd */
    uint64_t page = ((uint64_t)e->mask + 0x2000) >> 1;
    odd = (va & page) != 0;
    /* what the second level does not allow is not there: the guest would not find the entry */
    if (!e->page[odd].v) return fail(m, probe, i < 0 ? missing : code, va);
    if (access == ACCESS_WRITE && !e->page[odd].d)
        return fail(m, probe, i < 0 ? missing : (uint32_t)ME_MOD, va);
    hit->phys = (e->page[odd].pfn & ~(page - 1)) | (va & (page - 1));
    hit->prot = MMU_R | MMU_X | (e->page[odd].d ? MMU_W : 0);
    hit->page_bits = (uint8_t)host_ctz64(page);
    hit->uncached = uncached_attr(e->page[odd].c);
    hit->global = e->global;
    return true;
}

/* The 4 GiB that 32-bit programs see: all of a 32-bit CPU, the sign-extended addresses of a 64-bit
 * one. */
static bool compat(struct mips_cpu *m, uint64_t va, enum mem_access access, unsigned mode,
                   bool probe, struct mmu_hit *hit)
{
    uint32_t a = (uint32_t)va, bad = access == ACCESS_WRITE ? ME_ADES : ME_ADEL;
    bool fixed = !m->model->tlb_entries, kernel = mode == MODE_KERNEL || mode == MODE_ERL;
    unsigned k0 = m->config0 & C0_K0;

    if (a < 0x80000000u) {
        if (mode == MODE_ERL) return unmapped(hit, a, true);
        if (fixed) return unmapped(hit, (uint64_t)a + 0x40000000u, false);
        return mapped(m, va, access, probe, m->is64 && (m->status & SR_UX), hit);
    }
    if (mode == MODE_USER || (mode == MODE_SUPER && a >> 29 != 6)) return fail(m, probe, bad, va);
    switch (a >> 29) {
    case 4: return unmapped(hit, a & 0x1fffffff, uncached_attr(k0)); /* kseg0 */
    case 5: return unmapped(hit, a & 0x1fffffff, true);              /* kseg1 */
    default: break;
    }
    if (fixed) return unmapped(hit, a, false);
    uint32_t enable = a >> 29 == 6 ? SR_SX : SR_KX; /* ksseg or kseg3 */
    if (a >> 29 == 6 && !kernel && mode != MODE_SUPER) return fail(m, probe, bad, va);
    return mapped(m, va, access, probe, m->is64 && (m->status & enable), hit);
}

bool mips_mmu(struct cpu *cpu, uint64_t va, enum mem_access access, unsigned mode, bool probe,
              struct mmu_hit *hit)
{
    struct mips_cpu *m = mips_cpu(cpu);
    if (!m->is64 || va == sign32(va)) return compat(m, va, access, mode, probe, hit);

    uint32_t bad = access == ACCESS_WRITE ? ME_ADES : ME_ADEL, sr = m->status;
    bool kernel = mode == MODE_KERNEL || mode == MODE_ERL;
    bool wide = sr & (kernel ? SR_KX : mode == MODE_SUPER ? SR_SX : SR_UX);
    uint64_t below = va & ~(UINT64_C(3) << 62), size = UINT64_C(1) << m->model->seg_bits;

    if (!wide) return fail(m, probe, bad, va);
    switch (va >> 62) {
    case 0: /* xuseg */
        if (below >= size) break;
        return mapped(m, va, access, probe, sr & SR_UX, hit);
    case 1: /* xsseg */
        if (mode == MODE_USER || below >= size) break;
        return mapped(m, va, access, probe, sr & SR_SX, hit);
    case 2: { /* xkphys */
        uint64_t phys = va & ((UINT64_C(1) << 59) - 1);
        if (!kernel || phys >> m->model->phys_bits) break;
        return unmapped(hit, phys, uncached_attr((va >> 59) & 7));
    }
    default: /* xkseg; its last 2 GiB would repeat the compatibility segments */
        if (!kernel || below >= size - UINT64_C(0x80000000)) break;
        return mapped(m, va, access, probe, sr & SR_KX, hit);
    }
    return fail(m, probe, bad, va);
}
