/*
 * tlb.c - the software TLB and the jump cache as tables: their contexts, and how they are emptied. Filling them is mem.c's and
 * cache.c's.
 *
 * A context is what was learnt in one address space of the guest. Where the guest's translations carry the number of an address
 * space, switching between a few of them loses nothing. What is global (struct mmu_hit) is taken along into a new context.
 */
#include "interp/block.h"

#include <stdlib.h>

static struct tlb_table *tlb_new(void)
{
    struct tlb_table *t = NEW(struct tlb_table);
    for (unsigned i = 0; i < TLB_SIZE; i++) t->e[i].rd = t->e[i].wr = UINT64_MAX;
    return t;
}

/* The first entry of the next group that may hold something, from group *at on, which then is the one after it; NULL: no more. */
static struct tlb_entry *next_group(struct tlb_table *t, unsigned *at)
{
    for (unsigned w = *at / 64, skip = *at % 64; w < TLB_WORDS; w++, skip = 0) {
        uint64_t rest = t->used[w] >> skip;
        if (!rest) continue;
        unsigned group = w * 64 + skip + host_ctz64(rest);
        *at = group + 1;
        return &t->e[group * TLB_GROUP];
    }
    return NULL;
}

static void tlb_clear(struct tlb_table *t)
{
    unsigned at = 0;
    for (struct tlb_entry *e; (e = next_group(t, &at));) {
        for (unsigned i = 0; i < TLB_GROUP; i++) e[i].rd = e[i].wr = UINT64_MAX;
    }
    memset(t->used, 0, sizeof t->used);
}

static void jc_clear(struct mmu_context *c)
{
    for (unsigned i = 0; i < JC_GROUPS; i++) {
        if (c->jc_pages[i] == JC_EMPTY) continue;
        c->jc_pages[i] = JC_EMPTY;
        memset(&c->jump_cache[i << JC_PLACE_BITS], 0, JC_PLACES * sizeof c->jump_cache[0]);
    }
}

/* Blocks that begin on the page before va's and end on va's. */
static void jc_clear_ends(struct mmu_context *c, uint64_t va)
{
    unsigned group = jc_index(va - CPU_PAGE_SIZE) >> JC_PLACE_BITS;
    struct blk **jc = &c->jump_cache[group << JC_PLACE_BITS];

    if (c->jc_pages[group] == JC_EMPTY || !(c->jc_pages[group] & JC_TWO)) return;
    for (unsigned i = 0; i < JC_PLACES; i++) {
        struct blk *b = jc[i];
        if (b && b->two_pages && jc_page(b->vpage2) == jc_page(va)) atomic_store_ptr(&jc[i], (struct blk *)NULL);
    }
}

static void jc_clear_page(struct mmu_context *c, uint64_t va)
{
    unsigned group = jc_index(va) >> JC_PLACE_BITS;
    uint32_t page = jc_page(va), whose = c->jc_pages[group];
    struct blk **jc = &c->jump_cache[group << JC_PLACE_BITS];

    jc_clear_ends(c, va);
    if (whose == JC_EMPTY) return;
    if (whose & JC_MIXED) {
        for (unsigned i = 0; i < JC_PLACES; i++) {
            struct blk *b = jc[i];
            if (b && jc_page(b->pc) == page) atomic_store_ptr(&jc[i], (struct blk *)NULL);
        }
    } else if ((whose & JC_PAGE) == page) {
        c->jc_pages[group] = JC_EMPTY;
        memset(jc, 0, JC_PLACES * sizeof *jc);
    }
}

/* ---- contexts --------------------------------------------------------------------------------------- */

/* The current one is kept up to date in the CPU, where compiled code looks. */
static struct mmu_context *current(struct cpu *cpu)
{
    struct mmu_context *c = cpu->contexts[cpu->context];
    memcpy(c->tlb, cpu->tlb, sizeof c->tlb);
    return c;
}

static struct mmu_context *new_context(void)
{
    struct mmu_context *c = NEW(struct mmu_context);
    c->jump_cache = NEW_ARRAY(struct blk *, JC_SIZE);
    c->jc_pages = NEW_ARRAY(uint32_t, JC_GROUPS);
    memset(c->jc_pages, 0xff, JC_GROUPS * sizeof c->jc_pages[0]);
    return c;
}

static void load(struct cpu *cpu, unsigned i)
{
    const struct mmu_context *c = cpu->contexts[i];
    cpu->context = i;
    memcpy(cpu->tlb, c->tlb, sizeof cpu->tlb);
    cpu->jump_cache = c->jump_cache;
    cpu->jc_pages = c->jc_pages;
}

static void phys_clear(struct cpu *cpu)
{
    for (unsigned i = 0; i < PHYS_NEAR && cpu->phys_near; i++) cpu->phys_near[i].pa = UINT64_MAX;
}

void tlb_init(struct cpu *cpu)
{
    cpu->contexts[0] = new_context();
    load(cpu, 0);
    if (cpu->world->user) return;
    cpu->written_pages = NEW_ARRAY(uint8_t, 1u << PAGE_HASH_BITS);
    cpu->phys_near = NEW_ARRAY(struct phys_near, PHYS_NEAR);
    phys_clear(cpu);
}

void tlb_free(struct cpu *cpu)
{
    current(cpu);
    for (unsigned i = 0; i < CPU_CONTEXTS && cpu->contexts[i]; i++) {
        struct mmu_context *c = cpu->contexts[i];
        for (unsigned m = 0; m < CPU_MMU_MODES; m++) free(c->tlb[m]);
        free(c->jump_cache);
        free(c->jc_pages);
        free(c);
    }
    free(cpu->written_pages);
    free(cpu->phys_near);
}

/* `to` is empty: what is global in `from` holds there too. */
static void take_global(struct mmu_context *to, const struct mmu_context *from)
{
    for (unsigned m = 0; m < CPU_MMU_MODES; m++) {
        if (!from->tlb[m]) continue;
        if (!to->tlb[m]) to->tlb[m] = tlb_new();
        unsigned at = 0;
        for (const struct tlb_entry *e; (e = next_group(from->tlb[m], &at));) {
            struct tlb_entry *own = &to->tlb[m]->e[e - from->tlb[m]->e];
            for (unsigned i = 0; i < TLB_GROUP; i++) {
                if (e[i].phys & TLB_GLOBAL) own[i] = e[i];
            }
        }
        memcpy(to->tlb[m]->used, from->tlb[m]->used, sizeof to->tlb[m]->used);
    }
    for (unsigned i = 0; i < JC_GROUPS; i++) {
        if (from->jc_pages[i] == JC_EMPTY || (from->jc_pages[i] & JC_LOCAL)) continue;
        to->jc_pages[i] = from->jc_pages[i];
        memcpy(&to->jump_cache[i << JC_PLACE_BITS], &from->jump_cache[i << JC_PLACE_BITS], JC_PLACES * sizeof to->jump_cache[0]);
    }
}

static void context_clear(struct mmu_context *c)
{
    for (unsigned m = 0; m < CPU_MMU_MODES; m++) {
        if (c->tlb[m]) tlb_clear(c->tlb[m]);
    }
    jc_clear(c);
}

void cpu_mmu_context(struct cpu *cpu, uint64_t id)
{
    struct mmu_context *now = cpu->contexts[cpu->context];
    unsigned i, oldest = 0;

    if (now->id == id) return;
    current(cpu);
    now->used = ++cpu->context_clock;
    for (i = 0; i < CPU_CONTEXTS && cpu->contexts[i]; i++) {
        if (cpu->contexts[i]->id == id) break;
        if (cpu->contexts[i]->used < cpu->contexts[oldest]->used) oldest = i;
    }
    if (i == CPU_CONTEXTS || !cpu->contexts[i] || cpu->contexts[i]->id != id) {
        if (i < CPU_CONTEXTS) {
            atomic_store_ptr(&cpu->contexts[i], new_context());
        } else {
            i = oldest;
            context_clear(cpu->contexts[i]);
        }
        /* Whoever drops a block looks for it in all contexts. */
        if (cpu->parallel) pthread_mutex_lock(&cpu->engine->lock);
        cpu->contexts[i]->id = id;
        take_global(cpu->contexts[i], now);
        if (cpu->parallel) pthread_mutex_unlock(&cpu->engine->lock);
    }
    load(cpu, i);
    if (cpu->tlb_now) cpu->tlb_now = cpu_tlb_of(cpu, cpu->mmu_now)->e;
    if (cpu->xpoint) cpu_kick(cpu); /* compiled code may hold tlb_now in a register until it is left */
}

struct tlb_table *cpu_tlb_of(struct cpu *cpu, unsigned mmu)
{
    if (unlikely(!cpu->tlb[mmu])) cpu->tlb[mmu] = tlb_new();
    return cpu->tlb[mmu];
}

/* ---- emptying --------------------------------------------------------------------------------------- */

void jc_flush(struct cpu *cpu)
{
    for (unsigned i = 0; i < CPU_CONTEXTS && cpu->contexts[i]; i++) jc_clear(cpu->contexts[i]);
}

void jc_drop(struct cpu *cpu, const struct blk *b)
{
    unsigned at = jc_index(b->pc);
    for (unsigned i = 0; i < CPU_CONTEXTS; i++) {
        struct mmu_context *c = atomic_load_ptr(&cpu->contexts[i]);
        if (!c) break;
        if (c->jump_cache[at] == b) atomic_store_ptr(&c->jump_cache[at], (struct blk *)NULL);
    }
}

void cpu_tlb_flush(struct cpu *cpu)
{
    current(cpu);
    for (unsigned i = 0; i < CPU_CONTEXTS && cpu->contexts[i]; i++) context_clear(cpu->contexts[i]);
    phys_clear(cpu);
}

void cpu_tlb_flush_soon(struct cpu *cpu)
{
    if (!cpu->parallel) {
        cpu_tlb_flush(cpu);
        return;
    }
    (void)atomic_xchg_u32(&cpu->flush_soon, 1);
    cpu_kick(cpu);
}

static void clear_local(struct mmu_context *c)
{
    for (unsigned m = 0; m < CPU_MMU_MODES; m++) {
        struct tlb_table *t = c->tlb[m];
        unsigned at = 0;
        for (struct tlb_entry *e; t && (e = next_group(t, &at));) {
            bool left = false;
            for (unsigned i = 0; i < TLB_GROUP; i++) {
                if (!(e[i].phys & TLB_GLOBAL)) e[i].rd = e[i].wr = UINT64_MAX;
                else if ((e[i].rd & e[i].wr) != UINT64_MAX) left = true;
            }
            if (!left) t->used[(at - 1) / 64] &= ~(UINT64_C(1) << (at - 1) % 64);
        }
    }
    for (unsigned i = 0; i < JC_GROUPS; i++) {
        if (c->jc_pages[i] == JC_EMPTY || !(c->jc_pages[i] & JC_LOCAL)) continue;
        c->jc_pages[i] = JC_EMPTY;
        memset(&c->jump_cache[i << JC_PLACE_BITS], 0, JC_PLACES * sizeof c->jump_cache[0]);
    }
}

void cpu_tlb_flush_local(struct cpu *cpu)
{
    current(cpu);
    for (unsigned i = 0; i < CPU_CONTEXTS && cpu->contexts[i]; i++) clear_local(cpu->contexts[i]);
}

static void flush_page(struct mmu_context *c, uint64_t va)
{
    for (unsigned m = 0; m < CPU_MMU_MODES; m++) {
        if (!c->tlb[m]) continue;
        struct tlb_entry *e = tlb_at(c->tlb[m], va);
        e->rd = e->wr = UINT64_MAX;
    }
    jc_clear_page(c, va);
}

/* What is larger is flushed as a whole. */
enum { RANGE_PAGES = 256 };

static void flush_range(struct mmu_context *c, uint64_t va, uint64_t size)
{
    if (size > RANGE_PAGES * (uint64_t)CPU_PAGE_SIZE) {
        context_clear(c);
        return;
    }
    for (uint64_t p = va & CPU_PAGE_MASK; p - (va & CPU_PAGE_MASK) < size + (va & ~CPU_PAGE_MASK); p += CPU_PAGE_SIZE) flush_page(c, p);
}

void cpu_tlb_flush_range(struct cpu *cpu, uint64_t va, uint64_t size)
{
    current(cpu);
    for (unsigned i = 0; i < CPU_CONTEXTS && cpu->contexts[i]; i++) flush_range(cpu->contexts[i], va, size);
}

void cpu_tlb_flush_page(struct cpu *cpu, uint64_t va) { cpu_tlb_flush_range(cpu, va, 1); }

void cpu_tlb_flush_range_in(struct cpu *cpu, uint64_t context, uint64_t va, uint64_t size)
{
    current(cpu);
    for (unsigned i = 0; i < CPU_CONTEXTS && cpu->contexts[i]; i++) {
        if (cpu->contexts[i]->id == context) flush_range(cpu->contexts[i], va, size);
    }
}

bool mem_code_open(struct engine *eng, const uint8_t *host)
{
    const struct code_page *p = code_page_find(eng, host);
    return !p || !(p->blocks || p->closed);
}

/* New code on a host page: writes to it must be seen. The other vCPUs are outside of blocks, or have the page not in written_pages. */
void mem_protect_code(struct engine *eng, const uint8_t *host)
{
    unsigned hash = page_hash(host);
    for (unsigned n = 0; n < eng->n_cpus; n++) {
        struct cpu *cpu = eng->cpus[n];
        if (!cpu->written_pages[hash]) continue; /* as with most code: it was written long ago */
        bool others = false;
        current(cpu);
        for (unsigned i = 0; i < CPU_CONTEXTS * CPU_MMU_MODES; i++) {
            const struct mmu_context *c = cpu->contexts[i / CPU_MMU_MODES];
            struct tlb_table *t = c ? c->tlb[i % CPU_MMU_MODES] : NULL;
            unsigned at = 0;
            for (struct tlb_entry *e; t && (e = next_group(t, &at));) {
                for (unsigned k = 0; k < TLB_GROUP; k++) {
                    if (e[k].wr & ~CPU_PAGE_MASK) continue; /* slow already, or none */
                    const uint8_t *page = (const uint8_t *)((uintptr_t)e[k].wr + e[k].addend);
                    if (page == host) e[k].wr |= TLB_SLOW;
                    else if (page_hash(page) == hash) others = true;
                }
            }
        }
        cpu->written_pages[hash] = others;
    }
}
