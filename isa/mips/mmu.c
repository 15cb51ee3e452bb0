/*
 * mmu.c - virtual addresses: segments, the TLB with variable page sizes, and fixed mapping.
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

int mips_tlb_find(const struct mips_cpu *m, uint64_t va, unsigned asid)
{
    uint64_t seg = mips_seg_mask(m);
    for (unsigned i = 0; i < m->model->tlb_entries; i++) {
        const struct mips_tlb_entry *e = &m->tlb[i];
        if (((va ^ e->vpn) & seg & ~(uint64_t)(e->mask | 0x1fff)) == 0 && e->inuse &&
            (e->global || e->asid == asid))
            return (int)i;
    }
    return -1;
}

static bool fail(struct mips_cpu *m, bool probe, uint32_t code, uint64_t va)
{
    if (!probe) m->c.exc = (struct exception){ .code = code, .addr = mips_addr(m, va) };
    return false;
}

static bool unmapped(struct mmu_hit *hit, uint64_t phys, bool uncached)
{
    *hit = (struct mmu_hit){
        .phys = phys, .prot = MMU_R | MMU_W | MMU_X, .page_bits = 29, .uncached = uncached
    };
    return true;
}

static bool uncached_attr(unsigned c)
{
    return c == 2 || c == 7;
}

/* xtlb: misses go to the 64-bit refill vector. */
static bool mapped(struct mips_cpu *m, uint64_t va, enum mem_access access, bool probe, bool xtlb,
                   struct mmu_hit *hit)
{
    uint32_t code = access == ACCESS_WRITE ? ME_TLBS : ME_TLBL;
    int i = mips_tlb_find(m, va, m->entryhi & 0xff);
    if (i < 0) return fail(m, probe, code | ME_TLB_REFILL | (xtlb ? ME_XTLB : 0), va);

    const struct mips_tlb_entry *e = &m->tlb[i];
    uint64_t page =
        ((uint64_t)e->mask + 0x2000) >> 1; /* bytes; also the bit that tells even from odd */
    unsigned odd = (va & page) != 0;
    if (!e->page[odd].v) return fail(m, probe, code, va);
    if (access == ACCESS_WRITE && !e->page[odd].d) return fail(m, probe, ME_MOD, va);
    hit->phys = (e->page[odd].pfn & ~(page - 1)) | (va & (page - 1));
    hit->prot = MMU_R | MMU_X | (e->page[odd].d ? MMU_W : 0);
    hit->page_bits = (uint8_t)host_ctz64(page);
    hit->uncached = uncached_attr(e->page[odd].c);
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

/* ---- the engine's copy of translations ---------------------------------- */

/* The lowest address that the entry maps, as programs write it. */
static uint64_t entry_va(const struct mips_cpu *m, const struct mips_tlb_entry *e)
{
    uint64_t va = e->vpn & ~(uint64_t)e->mask;
    if (!m->is64 || va >> 62 != 3) return va;
    /* R = 3 with all ones below it down to bit 31: a compatibility address. */
    uint64_t ones = ((UINT64_C(1) << m->model->seg_bits) - 1) & ~UINT64_C(0x7fffffff);
    return (va & ones) == ones ? sign32(va) : va;
}

/* all: also what another entry may have mapped where this one says "invalid". */
static void forget(struct mips_cpu *m, const struct mips_tlb_entry *e, bool all)
{
    uint64_t page = ((uint64_t)e->mask + 0x2000) >> 1, va = entry_va(m, e);
    for (unsigned odd = 0; odd < 2; odd++)
        if (e->page[odd].v || all) cpu_tlb_flush_range(&m->c, va + odd * page, page);
}

/* The engine holds only what a guest entry with the current ASID, or a global one, gave it. */
static bool live(const struct mips_cpu *m, const struct mips_tlb_entry *e)
{
    return e->inuse && (e->global || e->asid == (m->entryhi & 0xff));
}

static bool overlap(const struct mips_cpu *m, const struct mips_tlb_entry *a,
                    const struct mips_tlb_entry *b)
{
    return ((a->vpn ^ b->vpn) & mips_seg_mask(m) & ~(uint64_t)(a->mask | b->mask | 0x1fff)) == 0;
}

/* Does another live (global: another global) entry map some of what e maps? Two matches are the guest's mistake; the
 * first one counts, whatever was asked for before. */
static bool overlaps(const struct mips_cpu *m, const struct mips_tlb_entry *e, bool global)
{
    for (unsigned i = 0; i < m->model->tlb_entries; i++) {
        const struct mips_tlb_entry *o = &m->tlb[i];
        if (o != e && (global ? o->inuse && o->global : live(m, o)) && overlap(m, o, e)) return true;
    }
    return false;
}

void mips_set_entryhi(struct mips_cpu *m, uint64_t value)
{
    unsigned asid = value & 0xff;
    if (asid != (m->entryhi & 0xff)) {
        for (unsigned i = 0; i < m->model->tlb_entries; i++) {
            const struct mips_tlb_entry *e = &m->tlb[i];
            if (!e->inuse || e->global) continue;
            if (live(m, e)) forget(m, e, false);
            else if (e->asid == asid && overlaps(m, e, true)) forget(m, e, true);
        }
    }
    m->entryhi = (value & mips_seg_mask(m) & ~UINT64_C(0x1fff)) | asid;
}

/* ---- TLB instructions --------------------------------------------------- */

uint64_t mips_helper_tlbp(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    int i = mips_tlb_find(m, m->entryhi, m->entryhi & 0xff);
    m->index = i < 0 ? 0x80000000u | (m->index & 0x3f) : (uint32_t)i;
    return 0;
}

static uint64_t page_lo(const struct mips_tlb_entry *e, unsigned odd)
{
    return e->page[odd].pfn >> 6 | (uint64_t)e->page[odd].c << 3 | e->page[odd].d << 2 |
           e->page[odd].v << 1 | e->global;
}

uint64_t mips_helper_tlbr(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    unsigned i = m->index & 0x3f;
    if (i >= m->model->tlb_entries) return 0;
    const struct mips_tlb_entry *e = &m->tlb[i];
    mips_set_entryhi(m, e->vpn | e->asid);
    m->pagemask = e->mask;
    m->entrylo0 = page_lo(e, 0);
    m->entrylo1 = page_lo(e, 1);
    return 0;
}

static void tlb_write(struct mips_cpu *m, unsigned i)
{
    struct mips_tlb_entry *e = &m->tlb[i];
    uint64_t lo[2] = { m->entrylo0, m->entrylo1 };

    if (live(m, e)) forget(m, e, false);
    e->inuse = false;
    e->mask = m->pagemask;
    e->vpn = m->entryhi & ~(uint64_t)(e->mask | 0x1fff);
    e->asid = m->entryhi & 0xff;
    e->global = lo[0] & lo[1] & 1;
    for (unsigned odd = 0; odd < 2; odd++) {
        e->page[odd].pfn =
            (lo[odd] << 6) & ((UINT64_C(1) << m->model->phys_bits) - 1) & ~UINT64_C(0xfff);
        e->page[odd].c = (lo[odd] >> 3) & 7;
        e->page[odd].d = lo[odd] & 4;
        e->page[odd].v = lo[odd] & 2;
    }
    /* Usually nothing matched there before. If something did, what the engine learnt from it must
     * go. */
    if (overlaps(m, e, false)) forget(m, e, true);
    e->inuse = true;
}

uint64_t mips_helper_tlbwi(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    unsigned i = m->index & 0x3f;
    if (i < m->model->tlb_entries) tlb_write(m, i);
    return 0;
}

uint64_t mips_helper_tlbwr(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    if (m->model->tlb_entries) tlb_write(m, mips_random(m));
    return 0;
}
