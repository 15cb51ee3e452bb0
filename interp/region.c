/*
 * region.c - the region former: which blocks are compiled together with a hot one.
 *
 * Starting at the hot block, the most often run block that an included one leads to is added, as long as it runs at least
 * a sixteenth as often and the limits hold. Links lead to what they are chained to; returns to what follows the calls of the
 * region; other indirect branches to the targets that the interpreter noted. Then blocks are laid out so that the likely way
 * falls through, and loops are found by the edges that lead back.
 */
#include "interp/tier.h"

#include <stdlib.h>

enum { SHARE = 16, BIG = 600 /* IR ops */ };

struct former {
    struct cpu *cpu;
    struct jit_region *r;
    struct jit_block *list[JIT_MAX_BLOCKS];
    unsigned n, ops;
    struct blk *skip[JIT_MAX_BLOCKS];   /* tried, not to be had */
    unsigned n_skip;
    uint8_t order[JIT_MAX_BLOCKS];
    unsigned n_order;
    bool placed[JIT_MAX_BLOCKS];
};

static int find(const struct former *f, const struct blk *b)
{
    for (unsigned i = 0; i < f->n; i++) {
        if (f->list[i]->blk == b) return (int)i;
    }
    return -1;
}

/* The block at pc, if it has been run lately. */
static struct blk *at(const struct former *f, uint64_t pc, uint64_t key)
{
    if (f->cpu->guest->addr_type == T_I32) pc = (uint32_t)pc;
    struct blk *b = f->cpu->jump_cache[jc_index(pc)];
    if (b && b->pc == pc && b->key == key) return b;
    return blk_find(f->cpu, pc, key);
}

static struct blk *link_target(const struct former *f, const struct link *l)
{
    struct blk *to = atomic_load_ptr(&l->to);
    if (to) return to;
    return l->key == l->from->key || l->keyed ? at(f, l->pc, l->key) : NULL;
}

static uint64_t return_pc(const struct blk *call) { return call->pc + call->size; }

static bool is_call(const struct blk *b)
{
    if (b->has_ind && b->ind_hint == IR_HINT_CALL) return true;
    for (unsigned i = 0; i < b->n_links; i++) {
        if (b->links[i].hint == IR_HINT_CALL) return true;
    }
    return false;
}

/* Calls visit for each block that b may lead to. */
static void successors(struct former *f, const struct blk *b, void (*visit)(struct former *, struct blk *, void *), void *opaque)
{
    for (unsigned i = 0; i < b->n_links; i++) {
        struct blk *to = link_target(f, &b->links[i]);
        if (to) visit(f, to, opaque);
    }
    if (!b->has_ind) return;
    if (b->ind_hint == IR_HINT_RET) {
        for (unsigned i = 0; i < f->n; i++) {
            struct blk *call = f->list[i]->blk, *to = is_call(call) ? at(f, return_pc(call), b->key) : NULL;
            if (to) visit(f, to, opaque);
        }
    } else if (b->ind) {
        const struct ind_profile *p = atomic_load_ptr(&b->ind);
        for (unsigned i = 0; i < p->room && p->to[i].n; i++) {
            struct blk *to = at(f, p->to[i].pc, b->key);
            if (to) visit(f, to, opaque);
        }
    }
}

static bool possible(const struct blk *b)
{
    return b->valid && !b->one_shot && !(b->key & KEY_ONE);
}

static bool add(struct former *f, struct blk *b)
{
    struct jit_block *jb = arena_get(&f->r->arena, sizeof *jb);
    if (f->n == JIT_MAX_BLOCKS || !blk_retranslate(f->cpu, b, &f->r->arena, jb)) return false;
    if (f->n && f->ops + jb->n_ops > JIT_MAX_OPS) return false;
    f->ops += jb->n_ops;
    f->list[f->n++] = jb;
    return true;
}

struct best { struct blk *b; uint32_t runs; };

static void consider(struct former *f, struct blk *b, void *opaque)
{
    struct best *best = opaque;
    uint32_t runs = blk_runs(b);
    if (runs <= best->runs || !possible(b) || find(f, b) >= 0) return;
    /* A big region that is there already is better entered than repeated. */
    const struct jit_code *code = atomic_load_ptr(&b->jit);
    if (code && code->valid && code->tier == 2 && code->ir_ops > BIG) return;
    for (unsigned i = 0; i < f->n_skip; i++) {
        if (f->skip[i] == b) return;
    }
    *best = (struct best){ b, runs };
}

static void grow(struct former *f, uint32_t entry_runs)
{
    while (f->n < JIT_MAX_BLOCKS && f->n_skip < JIT_MAX_BLOCKS) {
        struct best best = { NULL, entry_runs / SHARE };
        for (unsigned i = 0; i < f->n; i++) successors(f, f->list[i]->blk, consider, &best);
        if (!best.b) return;
        if (!add(f, best.b)) f->skip[f->n_skip++] = best.b;
    }
}

static void next_best(struct former *f, struct blk *b, void *opaque)
{
    struct best *best = opaque;
    int i = find(f, b);
    if (i < 0 || f->placed[i] || (best->b && blk_runs(b) <= best->runs)) return;
    *best = (struct best){ b, blk_runs(b) };
}

/* Depth first, likely ways first. */
static void place(struct former *f, unsigned i)
{
    f->placed[i] = true;
    f->order[f->n_order++] = (uint8_t)i;
    for (;;) {
        struct best best = { NULL, 0 };
        successors(f, f->list[i]->blk, next_best, &best);
        if (!best.b) return;
        place(f, (unsigned)find(f, best.b));
    }
}

static int index_of(const struct jit_region *r, const struct blk *b)
{
    for (unsigned i = 0; i < r->n; i++) {
        if (r->blocks[i].blk == b) return (int)i;
    }
    return -1;
}

/* In system mode a way to another page is good only while its mapping is. */
static bool needs_check(const struct jit_region *r, const struct blk *from, const struct blk *to)
{
    if (from->fixed && to->fixed && !from->two_pages && !to->two_pages) return false;
    return !r->user && (((from->pc ^ to->pc) & CPU_PAGE_MASK) || from->page[0] != to->page[0] || from->two_pages || to->two_pages);
}

static void add_ind(struct former *f, struct blk *b, void *opaque)
{
    struct jit_block *jb = opaque;
    int i = index_of(f->r, b);
    if (i < 0 || jb->n_ind == JIT_MAX_IND || b->key != jb->blk->key) return;
    for (unsigned k = 0; k < jb->n_ind; k++) {
        if (jb->ind[k] == i) return;
    }
    unsigned k = jb->n_ind++;
    for (; k && blk_runs(f->r->blocks[jb->ind[k - 1]].blk) < blk_runs(b); k--) jb->ind[k] = jb->ind[k - 1];
    jb->ind[k] = (int16_t)i;
    jb->check_ind |= needs_check(f->r, jb->blk, b);
}

/* Block i's n-th successor in the region, or -1. */
static int successor(const struct jit_block *jb, unsigned n)
{
    return n < jb->blk->n_links ? jb->to[n] : jb->ind[n - jb->blk->n_links];
}

/* The blocks of the loops with head k: from where an edge leads back to it without passing k before. pred: sets of blocks. */
static uint64_t loop_of(const uint64_t *pred, unsigned k, uint64_t back)
{
    uint64_t body = (uint64_t)1 << k, more = back & ~body;
    while (more) {
        unsigned i = host_ctz64(more);
        body |= (uint64_t)1 << i;
        more = (more | pred[i]) & ~body;
    }
    return body;
}

static void edges(struct former *f)
{
    struct jit_region *r = f->r;
    uint64_t pred[JIT_MAX_BLOCKS] = { 0 }, loop[JIT_MAX_BLOCKS] = { 0 };

    for (unsigned i = 0; i < r->n; i++) {
        struct jit_block *jb = &r->blocks[i];
        struct blk *b = jb->blk;
        for (unsigned l = 0; l < b->n_links; l++) {
            struct blk *to = link_target(f, &b->links[l]);
            int k = to ? index_of(r, to) : -1;
            jb->to[l] = (int16_t)k;
            if (to) jb->check[l] = needs_check(r, b, to);
        }
        if (b->has_ind && r->n > 1) {
            struct blk copy = *b; /* without its links: only where indirect branches go */
            copy.n_links = 0;
            successors(f, &copy, add_ind, jb);
        }
    }
    for (unsigned i = 0; i < r->n; i++) {
        const struct jit_block *jb = &r->blocks[i];
        for (unsigned l = 0; l < jb->blk->n_links + (unsigned)jb->n_ind; l++) {
            int k = successor(jb, l);
            if (k < 0) continue;
            pred[k] |= (uint64_t)1 << i;
            if (k > (int)i) continue;
            r->blocks[k].header = true;
            loop[k] |= (uint64_t)1 << i;
        }
    }
    for (unsigned k = 0; k < r->n; k++) {
        if (loop[k]) loop[k] = loop_of(pred, k, loop[k]);
    }
    uint64_t entry = MAX(blk_runs(r->blocks[0].blk), 1u);
    for (unsigned i = 0; i < r->n; i++) {
        unsigned depth = 0;
        for (unsigned k = 0; k < r->n; k++) depth += loop[k] >> i & 1;
        uint64_t share = MIN((uint64_t)blk_runs(r->blocks[i].blk) * 16 / entry, UINT64_C(16));
        r->blocks[i].weight = (uint32_t)(MAX(share, UINT64_C(1)) << 2 * MIN(depth, 5u));
    }
}

struct jit_region *region_form(struct cpu *cpu, struct blk *b, unsigned tier)
{
    struct engine *eng = cpu->engine;
    struct former f = { .cpu = cpu };
    struct jit_region *r = NEW(struct jit_region);

    r->eng = eng, r->guest = cpu->guest, r->user = b->user, r->tier = tier, r->fp_fast = cpu->fp_fast;
    if (tier == 2) {
        uint64_t *v = arena_get(&r->arena, r->guest->n_slots * sizeof *v);
        for (unsigned i = 0; i < r->guest->n_slots; i++) v[i] = r->guest->slots[i].type <= T_I64 ? cpu_get_slot(cpu, (ir_id)i) : 0;
        r->values = v;
    }
    f.r = r;
    if (!b->valid || b->one_shot || (b->key & KEY_ONE) || !add(&f, b)) {
        region_free(r);
        return NULL;
    }
    if (tier == 2 && !eng->cfg.no_regions && possible(b)) grow(&f, blk_runs(b));
    place(&f, 0);
    r->n = f.n_order;
    r->blocks = arena_get(&r->arena, r->n * sizeof *r->blocks);
    for (unsigned i = 0; i < r->n; i++) r->blocks[i] = *f.list[f.order[i]];
    edges(&f);
    return r;
}

void region_free(struct jit_region *r)
{
    if (!r) return;
    arena_free(&r->arena);
    free(r);
}
