/*
 * tlb.c - the TLB: its two levels, the instructions that write and read it, and what the engine has to forget.
 *
 * Follows MD00091 chapter 4 and the pages of TLBP, TLBR, TLBWI, TLBWR. The first level is the TLB of
 * the architecture. Entries that TLBWR replaces at random move to a second level, from where they
 * go on translating: a guest cannot tell that from good luck with the replacement, as long as they are
 * gone as soon as it looks for them or takes care to remove them. So of the second level
 *  - TLBP drops what it would have found (and does not find it);
 *  - a write of an entry drops all that it overlaps;
 *  - TLBWI that replaces an entry by another one, TLBR and a new value of Wired drop everything: they
 *    are the ways to flush the TLB, or to look through it;
 *  - an access that an entry does not allow is a refill, as if the entry were not there.
 * It is state of the CPU like the rest, so that all engines and all replays see the same refills.
 */
#include "isa/mips/priv.h"

enum { SETS = MIPS_TLB2_MAX / MIPS_TLB2_WAYS };

/* ---- finding ------------------------------------------------------------ */

static inline bool covers(uint64_t seg, const struct mips_tlb_entry *e, uint64_t va, unsigned asid)
{
    uint64_t bits = seg & ~(uint64_t)(e->mask | 0x1fff);
    return ((va ^ e->vpn) & bits) == 0 && e->inuse && (e->global || e->asid == asid);
}

int mips_tlb_find(struct mips_cpu *m, uint64_t va, unsigned asid)
{
    uint64_t seg = mips_seg_mask(m);
    uint8_t *hint = &m->tlb_hint[(va >> 13 ^ va >> 17) % sizeof m->tlb_hint];

    /* where it was last time: any match will do, unless there may be more than one */
    if (!m->tlb_doubled && covers(seg, &m->tlb[*hint], va, asid)) return *hint;
    for (unsigned i = 0; i < m->model->tlb_entries; i++) {
        if (!covers(seg, &m->tlb[i], va, asid)) continue;
        *hint = (uint8_t)i;
        return (int)i;
    }
    return -1;
}

static struct mips_tlb_entry *set_of(const struct mips_cpu *m, uint64_t va, bool global,
                                     unsigned asid)
{
    uint64_t n = (va & mips_seg_mask(m) & ~(uint64_t)m->tlb2_mask) >> 13;
    for (uint32_t mask = m->tlb2_mask; mask; mask &= mask - 1)
        n >>= 1;
    n ^= n >> 6 ^ n >> 12;
    n ^= global ? 0x2a : asid * 11;
    return (struct mips_tlb_entry *)&m->tlb2[n % SETS * MIPS_TLB2_WAYS];
}

static struct mips_tlb_entry *tlb2_find(const struct mips_cpu *m, uint64_t va, unsigned asid)
{
    uint64_t seg = mips_seg_mask(m);
    for (unsigned global = 0; global < 2 && m->tlb2_used; global++) {
        struct mips_tlb_entry *set = set_of(m, va, global, asid);
        for (unsigned i = 0; i < MIPS_TLB2_WAYS; i++)
            if (set[i].global == global && covers(seg, &set[i], va, asid)) return &set[i];
    }
    return NULL;
}

const struct mips_tlb_entry *mips_tlb2_find(const struct mips_cpu *m, uint64_t va, unsigned asid)
{
    return tlb2_find(m, va, asid);
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
    for (unsigned odd = 0; odd < 2; odd++) {
        if (!e->page[odd].v && !all) continue;
        if (e->global) cpu_tlb_flush_range(&m->c, va + odd * page, page);
        else cpu_tlb_flush_range_in(&m->c, e->asid, va + odd * page, page);
    }
}

static bool overlap(const struct mips_cpu *m, const struct mips_tlb_entry *a,
                    const struct mips_tlb_entry *b)
{
    return a->inuse && b->inuse && (a->global || b->global || a->asid == b->asid) &&
           ((a->vpn ^ b->vpn) & mips_seg_mask(m) & ~(uint64_t)(a->mask | b->mask | 0x1fff)) == 0;
}

uint64_t mips_mmu_context(struct cpu *cpu)
{
    return mips_cpu(cpu)->entryhi & 0xff;
}

/* Two matching entries are the guest's mistake; the first one counts, whatever was asked for before. */
static bool any_doubled(const struct mips_cpu *m)
{
    for (unsigned i = 1; i < m->model->tlb_entries; i++)
        for (unsigned k = 0; k < i; k++)
            if (overlap(m, &m->tlb[i], &m->tlb[k])) return true;
    return false;
}

void mips_set_entryhi(struct mips_cpu *m, uint64_t value)
{
    unsigned asid = value & 0xff;
    bool other = asid != (m->entryhi & 0xff);
    m->entryhi = (value & mips_seg_mask(m) & ~UINT64_C(0x1fff)) | asid;
    if (!other) return;
    if (m->tlb_doubled) { /* global and other ones may contradict each other: nothing is taken over */
        cpu_tlb_flush(&m->c);
        m->tlb_doubled = any_doubled(m);
    }
    cpu_mmu_context(&m->c, asid);
}

/* ---- the second level --------------------------------------------------- */

static void tlb2_remove(struct mips_cpu *m, struct mips_tlb_entry *e)
{
    forget(m, e, false);
    e->inuse = false;
    m->tlb2_used--;
}

void mips_tlb2_drop(struct mips_cpu *m)
{
    for (unsigned i = 0; i < MIPS_TLB2_MAX && m->tlb2_used; i++)
        if (m->tlb2[i].inuse) tlb2_remove(m, &m->tlb2[i]);
}

static bool in_user_space(const struct mips_cpu *m, const struct mips_tlb_entry *e)
{
    return m->is64 ? e->vpn >> 62 == 0 : e->vpn < 0x80000000u;
}

/* Only what would be found again; and not global only in the users' segment, see below. */
static void tlb2_keep(struct mips_cpu *m, const struct mips_tlb_entry *e)
{
    if (!m->tlb2_used) m->tlb2_mask = e->mask;
    if ((!e->page[0].v && !e->page[1].v) || e->mask != m->tlb2_mask || m->tlb_doubled ||
        (!e->global && !in_user_space(m, e))) {
        forget(m, e, false);
        return;
    }
    struct mips_tlb_entry *set = set_of(m, e->vpn, e->global, e->asid);
    unsigned i = 0;
    while (i < MIPS_TLB2_WAYS - 1 && set[i].inuse)
        i++;
    if (set[i].inuse) tlb2_remove(m, &set[i]); /* the oldest */
    memmove(set + 1, set, i * sizeof *set);
    set[0] = *e;
    m->tlb2_used++;
}

/* All that e overlaps. */
static void tlb2_replace(struct mips_cpu *m, const struct mips_tlb_entry *e)
{
    if (!m->tlb2_used) return;
    if (e->mask == m->tlb2_mask && !(e->global && in_user_space(m, e))) {
        for (struct mips_tlb_entry *o; (o = tlb2_find(m, e->vpn, e->global ? 0x100 : e->asid));)
            tlb2_remove(m, o);
        return;
    }
    for (unsigned i = 0; i < MIPS_TLB2_MAX; i++)
        if (overlap(m, &m->tlb2[i], e)) tlb2_remove(m, &m->tlb2[i]);
}

/* ---- TLB instructions --------------------------------------------------- */

uint64_t mips_helper_tlbp(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    unsigned asid = m->entryhi & 0xff;
    int i = mips_tlb_find(m, m->entryhi, asid);
    if (i < 0) {
        struct mips_tlb_entry *e = tlb2_find(m, m->entryhi, asid);
        if (e) tlb2_remove(m, e);
    }
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
    mips_tlb2_drop(m);
    mips_set_entryhi(m, e->vpn | e->asid);
    m->pagemask = e->mask;
    m->entrylo0 = page_lo(e, 0);
    m->entrylo1 = page_lo(e, 1);
    return 0;
}

static struct mips_tlb_entry new_entry(const struct mips_cpu *m)
{
    uint64_t lo[2] = { m->entrylo0, m->entrylo1 };
    struct mips_tlb_entry e = { .inuse = true, .mask = m->pagemask };
    e.vpn = m->entryhi & ~(uint64_t)(e.mask | 0x1fff);
    e.asid = m->entryhi & 0xff;
    e.global = lo[0] & lo[1] & 1;
    for (unsigned odd = 0; odd < 2; odd++) {
        e.page[odd].pfn =
            (lo[odd] << 6) & ((UINT64_C(1) << m->model->phys_bits) - 1) & ~UINT64_C(0xfff);
        e.page[odd].c = (lo[odd] >> 3) & 7;
        e.page[odd].d = lo[odd] & 4;
        e.page[odd].v = lo[odd] & 2;
    }
    return e;
}

static void tlb_write(struct mips_cpu *m, unsigned i, bool random)
{
    struct mips_tlb_entry *e = &m->tlb[i], new = new_entry(m);
    bool same = e->inuse && e->vpn == new.vpn && e->mask == new.mask && e->asid == new.asid &&
                e->global == new.global;

    if (!random && !same) mips_tlb2_drop(m);
    tlb2_replace(m, &new);
    if (e->inuse) {
        if (random && !overlap(m, e, &new)) tlb2_keep(m, e);
        else forget(m, e, false);
    }
    e->inuse = false;
    /* Usually nothing matched there before. If something did, what the engine learnt from it must
     * go. */
    for (unsigned k = 0; k < m->model->tlb_entries; k++) {
        if (!overlap(m, &m->tlb[k], &new)) continue;
        forget(m, &new, true);
        m->tlb_doubled = true;
        mips_tlb2_drop(m);
        break;
    }
    *e = new;
}

uint64_t mips_helper_tlbwi(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    unsigned i = m->index & 0x3f;
    if (i < m->model->tlb_entries) tlb_write(m, i, false);
    return 0;
}

uint64_t mips_helper_tlbwr(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    if (m->model->tlb_entries) tlb_write(m, mips_random(m), true);
    return 0;
}
