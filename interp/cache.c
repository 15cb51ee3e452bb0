/*
 * cache.c - finding, making and dropping translated blocks.
 */
#include "interp/jit.h"
#include "util/log.h"

#include <stdlib.h>

/* ---- arenas ----------------------------------------------------------------------------------- */

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used;
    size_t there;     /* big ones: as far as the host has been asked for pages */
};

/* The first is small, as most arenas are (a region being compiled); each next one is twice as big. */
enum { CHUNK_FIRST = 1 << 13, CHUNK_MAX = 1 << 18, AHEAD = 1 << 16 };

static void arena_more(struct arena *a, size_t size)
{
    size_t head = ALIGN_UP(sizeof(struct arena_chunk), (size_t)16);
    struct arena_chunk *c = mem_alloc(size);
    c->next = a->chunks, c->size = size, c->used = head, c->there = size > AHEAD ? 0 : size;
    a->chunks = c;
}

void *arena_get(struct arena *a, size_t n)
{
    n = ALIGN_UP(n, (size_t)16);
    if (!a->chunks || a->chunks->size - a->chunks->used < n) {
        size_t size = a->chunks ? MIN(a->chunks->size * 2, (size_t)CHUNK_MAX) : (size_t)CHUNK_FIRST;
        arena_more(a, MAX(size, n + ALIGN_UP(sizeof(struct arena_chunk), (size_t)16)));
    }
    struct arena_chunk *c = a->chunks;
    void *p = (char *)c + c->used;
    c->used += n;
    if (unlikely(c->used > c->there)) { /* one page at a time costs twice as much */
        size_t end = MIN(MAX(c->used, c->there + AHEAD), c->size);
        mem_will_write((char *)c + c->there, end - c->there);
        c->there = end;
    }
    a->used += n;
    return p;
}

void arena_free(struct arena *a)
{
    for (struct arena_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    a->chunks = NULL;
    a->used = 0;
}

/* Keeps one chunk for the next use. */
static void arena_reset(struct arena *a)
{
    struct arena_chunk *keep = a->chunks;
    if (!keep) return;
    struct arena rest = { keep->next, 0 };
    arena_free(&rest);
    keep->next = NULL;
    keep->used = ALIGN_UP(sizeof(struct arena_chunk), (size_t)16);
    a->used = 0;
}

/* ---- tables ------------------------------------------------------------------------------------- */

static unsigned blk_hash(const struct engine *eng, uint64_t pc, uint64_t key, const uint8_t *page)
{
    uint64_t h = pc ^ (uint64_t)key << 32 ^ (uint64_t)((uintptr_t)page >> CPU_PAGE_BITS) << 17;
    return (unsigned)(h * UINT64_C(0x9e3779b97f4a7c15) >> (64 - eng->hash_bits));
}

/* Lock held. */
static void hash_add(struct engine *eng, struct blk *b)
{
    struct blk **at = &eng->hash[blk_hash(eng, b->pc, b->key, b->page[0])];
    b->hash_next = *at;
    *at = b;
    eng->n_hashed++;
}

/* The table grows with the blocks, as most programs have few. */
static void hash_make_room(struct engine *eng)
{
    struct blk **old = eng->hash;
    size_t n = eng->hash ? (size_t)1 << eng->hash_bits : 0;

    if (eng->n_hashed < n) return;
    eng->hash_bits = n ? eng->hash_bits + 1 : BLK_HASH_BITS;
    eng->hash = NEW_ARRAY(struct blk *, (size_t)1 << eng->hash_bits);
    eng->n_hashed = 0;
    for (size_t i = 0; i < n; i++) {
        for (struct blk *b = old[i], *next; b; b = next) {
            next = b->hash_next;
            hash_add(eng, b);
        }
    }
    free(old);
}

struct code_page *code_page_find(struct engine *eng, const uint8_t *host)
{
    struct code_page *p = atomic_load_ptr(&eng->pages[page_hash(host)]);
    while (p && p->host != host) p = p->next;
    return p;
}

static struct code_page *code_page_get(struct engine *eng, const uint8_t *host, uint64_t va)
{
    struct code_page *p = code_page_find(eng, host);
    if (!p) {
        p = NEW(struct code_page);
        p->host = host;
        p->vaddr = va & CPU_PAGE_MASK;
        p->next = eng->pages[page_hash(host)];
        atomic_store_ptr(&eng->pages[page_hash(host)], p);
    }
    return p;
}

/* Parallel system mode: before code is read from a page, no vCPU may be between having looked whether it may write there and writing,
 * and none may find that it may. Pages that nobody has written to lately, most of them, do without stopping the others. Lock held, given
 * back meanwhile if need be; then the page may be open again, and the answer is false. */
static bool close_page(struct cpu *cpu, const uint8_t *host, uint64_t va)
{
    struct engine *eng = cpu->engine;
    struct code_page *p;
    bool others = false;

    if (!mem_code_open(eng, host)) return true;
    for (unsigned i = 0; i < eng->n_cpus; i++) others |= eng->cpus[i] != cpu && eng->cpus[i]->written_pages[page_hash(host)];
    if (others) {
        pthread_mutex_unlock(&eng->lock);
        engine_alone_begin(cpu);
        pthread_mutex_lock(&eng->lock);
    }
    p = code_page_get(eng, host, va);
    p->closed = true;
    mem_protect_code(eng, host);
    if (others) {
        pthread_mutex_unlock(&eng->lock);
        engine_alone_end(cpu);
        pthread_mutex_lock(&eng->lock);
    }
    return !others;
}

static void page_add(struct cpu *cpu, struct blk *b, unsigned which, uint64_t va)
{
    struct engine *eng = cpu->engine;
    struct code_page *p = code_page_get(eng, b->page[which], va);
    unsigned off = (unsigned)(b->pc & ~CPU_PAGE_MASK), in_first = MIN(b->size, CPU_PAGE_SIZE - off);
    if (!p->blocks) p->granules = 0;
    if (which) p->granules |= code_granules(0, MAX(b->size - in_first, 1u));
    else p->granules |= code_granules(off, MAX(in_first, 1u));
    if (!p->blocks) {
        /* user mode: user_protect_code(), threads: close_page(), before it was read */
        if (!cpu->world->user && !cpu->parallel) mem_protect_code(eng, p->host);
    }
    if (b->fixed && !which) p->fixed = b->pc;
    b->page_next[which] = p->blocks;
    p->blocks = b;
}

/* User mode, lock held: another thread may be about to write to the page, so it is protected before code is read from it. */
void user_protect_code(struct cpu *cpu, uint64_t va)
{
    if (cpu->world->user && cpu->world->user_code_page) cpu->world->user_code_page(cpu, va & CPU_PAGE_MASK);
}

/* ---- links ---------------------------------------------------------------------------------------- */

void link_set(struct engine *eng, struct link *l, struct blk *to)
{
    pthread_mutex_lock(&eng->lock);
    if (!l->to && to->valid && l->from->valid) {
        l->next_in = to->in;
        to->in = l;
        atomic_store_ptr(&l->to, to);
        jit_link_changed(eng, l, to);
    }
    pthread_mutex_unlock(&eng->lock);
}

static void page_remove(struct engine *eng, struct blk *b, unsigned which)
{
    struct code_page *p = code_page_find(eng, b->page[which]);
    if (!p) return;
    struct blk **pp = &p->blocks;
    while (*pp && *pp != b) pp = &(*pp)->page_next[(*pp)->page[0] == p->host ? 0 : 1];
    if (*pp) *pp = b->page_next[which];
    if (!p->blocks) p->closed = false;
}

/* Lock held. The memory stays until the next flush: another thread, or we, may still be inside. */
static void blk_invalidate(struct engine *eng, struct blk *b)
{
    if (!b->valid) return;
    b->valid = false;
    eng->stats.invalidations++;
    struct blk **pp = &eng->hash[blk_hash(eng, b->pc, b->key, b->page[0])];
    while (*pp && *pp != b) pp = &(*pp)->hash_next;
    if (*pp) *pp = b->hash_next, eng->n_hashed--;
    for (struct link *l = b->in, *next; l; l = next) {
        next = l->next_in;
        atomic_store_ptr(&l->to, (struct blk *)NULL);
        jit_link_changed(eng, l, NULL);
        l->next_in = NULL;
    }
    b->in = NULL;
    for (unsigned i = 0; i < b->n_links; i++) { /* our own ways out leave their targets' lists */
        struct blk *to = b->links[i].to;
        if (!to) continue;
        struct link **lp = &to->in;
        while (*lp && *lp != &b->links[i]) lp = &(*lp)->next_in;
        if (*lp) *lp = b->links[i].next_in;
        atomic_store_ptr(&b->links[i].to, (struct blk *)NULL);
        jit_link_changed(eng, &b->links[i], NULL);
    }
    jit_block_gone(eng, b);
    page_remove(eng, b, 0);
    if (b->page[1]) page_remove(eng, b, 1);
    for (unsigned c = 0; c < eng->n_cpus; c++) jc_drop(eng->cpus[c], b);
}

void engine_code_written(struct engine *eng, const void *host, size_t n)
{
    const uint8_t *start = host, *end = start + n;
    const uint8_t *page = (const uint8_t *)((uintptr_t)start & ~(uintptr_t)(CPU_PAGE_SIZE - 1));

    pthread_mutex_lock(&eng->lock);
    for (; page < end; page += CPU_PAGE_SIZE) {
        struct code_page *p = code_page_find(eng, page);
        if (!p || !p->blocks) continue;
        for (struct blk *b = p->blocks, *next; b; b = next) {
            unsigned off = (unsigned)(b->pc & ~CPU_PAGE_MASK), in_first = MIN(b->size, CPU_PAGE_SIZE - off);
            next = b->page_next[b->page[0] == page ? 0 : 1];
            /* both parts: two virtual pages may be one page of memory */
            bool first = b->page[0] == page && page + off < end && start < page + off + in_first;
            bool second = b->page[1] == page && page < end && start < page + (b->size - in_first);
            if (first || second) blk_invalidate(eng, b);
        }
        /* A device may do this at the request of compiled code, which would go on to blocks of its region by itself. */
        for (unsigned i = 0; i < eng->n_cpus; i++) {
            uint32_t point = atomic_load_u32(&eng->cpus[i]->xpoint); /* another thread's may be gone the next moment */
            if (point && jit_running_on(eng, point, page)) cpu_kick(eng->cpus[i]);
        }
    }
    pthread_mutex_unlock(&eng->lock);
}

void engine_map_changed(struct engine *eng, struct cpu *cpu)
{
    if (!cpu->guest->fixed) return;
    pthread_mutex_lock(&eng->lock);
    for (unsigned i = 0; i < 1u << PAGE_HASH_BITS; i++) {
        for (const struct code_page *p = eng->pages[i]; p; p = p->next) {
            if (p->blocks && p->fixed && cpu_code_page(cpu, p->fixed, true) != p->host) atomic_store_int(&eng->flush_wanted, 1);
        }
    }
    pthread_mutex_unlock(&eng->lock);
}

bool engine_code_pages_open(struct engine *eng, const void *host, size_t n, void (*open)(void *), void *opaque)
{
    const uint8_t *page = (const uint8_t *)((uintptr_t)host & ~(uintptr_t)(CPU_PAGE_SIZE - 1)), *end = (const uint8_t *)host + n;
    bool found = false;

    pthread_mutex_lock(&eng->lock);
    for (; page < end; page += CPU_PAGE_SIZE) {
        struct code_page *p = code_page_find(eng, page);
        if (!p) continue;
        found = true; /* also when another thread was here first: the page is or becomes writable */
        while (p->blocks) blk_invalidate(eng, p->blocks);
    }
    if (open) open(opaque);
    pthread_mutex_unlock(&eng->lock);
    return found;
}

bool engine_code_page_fault(struct engine *eng, const void *host) { return engine_code_pages_open(eng, host, 1, NULL, NULL); }

void engine_flush(struct engine *eng)
{
    if (eng->jit) jit_quiesce(eng);
    pthread_mutex_lock(&eng->lock);
    for (unsigned i = 0; i < 1u << PAGE_HASH_BITS; i++) {
        for (struct code_page *p = eng->pages[i]; p; p = p->next) p->blocks = NULL, p->closed = false;
    }
    free(eng->hash);
    eng->hash = NULL;
    eng->n_hashed = 0;
    for (unsigned c = 0; c < eng->n_cpus; c++) {
        jc_flush(eng->cpus[c]);
        eng->cpus[c]->xblk = NULL;
    }
    jit_flush(eng);
    arena_free(&eng->arena);
    atomic_store_int(&eng->flush_wanted, 0);
    eng->stats.flushes++;
    eng->stats.blocks = 0;
    for (unsigned i = 0; i < 1u << PAGE_HASH_BITS && !eng->n_cpus; i++) { /* last use */
        for (struct code_page *p = eng->pages[i], *next; p; p = next) {
            next = p->next;
            free(p);
        }
        eng->pages[i] = NULL;
    }
    pthread_mutex_unlock(&eng->lock);
}

/* ---- translation ----------------------------------------------------------------------------------- */


static void put_log(void *opaque, const char *line)
{
    (void)opaque;
    log_printf("%s\n", line);
}

static void log_in_asm(struct cpu *cpu, const struct ir_block *ir)
{
    char text[160];

    if (!log_in_filter(ir->pc)) return;
    log_printf("----------------\nIN: \n");
    for (unsigned i = 0; i < ir->n_ops; i++) {
        const struct ir_op *o = &ir->ops[i];
        if (o->op != OP_INSN) continue;
        uint64_t pc = ir->pc + o->aux;
        engine_disas(cpu, pc, ir->key, o->a, text, sizeof text);
        log_printf("0x%08" PRIx64 ":  %s\n", pc, text);
    }
    log_printf("\n");
}

/* What the block keeps of its ops beside their records: where instructions begin, and whether it ends with a jump to anywhere. */
static void make_marks(struct blk *b, const struct ir_block *ir, struct arena *arena)
{
    unsigned n = 0;
    b->marks = arena_get(arena, MAX(ir->n_insns, 1u) * sizeof(struct mark));
    memset(b->marks, 0, MAX(ir->n_insns, 1u) * sizeof(struct mark));
    for (unsigned i = 0; i < ir->n_ops; i++) {
        const struct ir_op *o = &ir->ops[i];
        if (o->op == OP_IND) b->has_ind = true, b->ind_hint = o->attr & IR_HINT_MASK;
        if (o->op != OP_INSN) continue;
        struct mark *m = &b->marks[n];
        m->at = (uint16_t)i;
        m->n = (uint16_t)n;
        m->pc_off = (uint16_t)o->aux;
        m->flags = o->attr & (uint8_t)~IR_INSN_CONT;
        m->unit_back = (o->attr & IR_INSN_CONT) && n ? (uint8_t)(m[-1].unit_back + 1) : 0;
        n++;
    }
    b->n_marks = (uint16_t)MAX(n, 1u);
}

/* The code of a block, before what is at its place changes. */
static void keep_code(struct blk *b, struct arena *arena)
{
    unsigned off = (unsigned)(b->pc & ~CPU_PAGE_MASK), first = MIN(b->size, CPU_PAGE_SIZE - off);
    b->n_code = b->page[1] ? b->size : first;
    uint8_t *code = arena_get(arena, b->n_code + 1);
    memcpy(code, b->page[0] + off, first);
    if (b->page[1]) memcpy(code + first, b->page[1], b->size - first);
    b->code = code;
}

/* Lock held. host: of the page of pc; NULL: from cpu->io.code. NULL: the front end misused the builder: an internal error, which is
 * reported and becomes a bus error of the guest, so that whoever steers the machine can still look at it. */
static struct blk *translate(struct cpu *cpu, uint64_t pc, uint64_t key, unsigned max, const uint8_t *host, bool keep)
{
    struct engine *eng = cpu->engine;
    struct ir_builder *ib = &eng->builder;

    ir_builder_init(ib, cpu, pc, key & ~KEY_ONE, max);
    if (host) {
        ib->code_vpage = pc & CPU_PAGE_MASK;
        ib->code_host = ib->code_pages[0] = host;
    } else {
        ib->kept = cpu->io.code, ib->n_kept = cpu->io.n_code;
    }
    cpu->guest->translate(ib);
    struct ir_block *ir = &ib->blk;
    if (!ib->bug && !ib->ended) ib->bug = "the block does not end";
    if (ib->bug) {
        error_report("internal error: translating %s code at 0x%" PRIx64 " (op %u): %s", cpu->guest->name, pc, ir->n_ops, ib->bug);
        if (log_on(LOG_OP)) ir_dump(ir, cpu->guest, put_log, NULL);
        cpu->guest->fault(cpu, FAULT_BUS, ACCESS_EXEC, pc);
        return NULL;
    }
    eng->stats.translations++;
    if (log_on(LOG_IN_ASM)) log_in_asm(cpu, ir);
    if (log_on(LOG_OP) && log_in_filter(pc)) ir_dump(ir, cpu->guest, put_log, NULL);

    struct arena *arena;
    if (keep && !ir->one_shot) {
        arena = &eng->arena;
        if (!arena->chunks) arena_more(arena, CHUNK_MAX); /* no program has as little code as the smallest chunk */
        if (eng->arena.used > eng->cfg.cache_size) atomic_store_int(&eng->flush_wanted, 1);
    } else {
        arena = &cpu->scratch;
        arena_reset(arena);
        ir->one_shot = true;
    }
    /* what finding it looks at lies in one line of a cache */
    struct blk *b = (struct blk *)ALIGN_UP((uintptr_t)arena_get(arena, sizeof *b + 48), (uintptr_t)64);
    memset(b, 0, sizeof *b);
    b->pc = pc, b->key = key, b->valid = true, b->one_shot = ir->one_shot;
    b->user = cpu->world->user;
    b->fixed = !b->user && cpu->guest->fixed && cpu->guest->fixed(pc);
    b->n_insns = ir->n_insns;
    b->size = ir->size;
    b->page[0] = host;
    if (ib->code_pages[1]) {
        b->page[1] = ib->code_pages[1];
        b->vpage2 = ib->code_vpage2;
        b->two_pages = true;
    }
    if (host && !b->user) keep_code(b, arena);
    b->n_links = ir->n_links;
    b->links = arena_get(arena, ir->n_links * sizeof(struct link) + 1);
    for (unsigned i = 0; i < ir->n_links; i++) {
        const struct ir_link *l = &ir->links[i];
        b->links[i] = (struct link){ .from = b, .pc = l->pc, .key = l->key, .refund = (uint16_t)(ir->n_insns - l->n_insns),
                                     .n_insns = l->n_insns, .keyed = l->hint & IR_HINT_KEYED, .hint = l->hint & IR_HINT_MASK };
        jit_link_changed(eng, &b->links[i], NULL);
    }
    if (eng->cfg.mode == ENGINE_FAST) {
        /* Of a program's blocks most run a few times only, the others are compiled soon, from IR that is optimised then. A
         * machine runs so many that their size counts. */
        if (!b->user || !jit_soon(eng) || log_on(LOG_OP_OPT)) ir_optimise(ib);
        if (log_on(LOG_OP_OPT) && log_in_filter(pc)) ir_dump(ir, cpu->guest, put_log, NULL);
        make_marks(b, ir, arena);
        xcode_lower(eng, cpu, b, ir, arena);
    } else {
        make_marks(b, ir, arena);
        struct ir_op *ops = arena_get(arena, ir->n_ops * sizeof *ops);
        memcpy(ops, ir->ops, ir->n_ops * sizeof *ops);
        uint64_t *consts = arena_get(arena, ir->n_consts * sizeof *consts + 8);
        if (ir->n_consts) memcpy(consts, ir->consts, ir->n_consts * sizeof *consts);
        b->ops = ops, b->consts = consts, b->n_ops = ir->n_ops;
        b->n_temps = ir->n_temps;
    }
    return b;
}

static void *copy_of(struct arena *arena, const void *from, size_t n)
{
    void *p = arena_get(arena, n + 1);
    return n ? memcpy(p, from, n) : p; /* where nothing is, from may be NULL */
}

bool blk_retranslate(struct cpu *cpu, struct blk *b, struct arena *arena, struct jit_block *out)
{
    struct engine *eng = cpu->engine;
    struct ir_builder *ib = &eng->builder;
    struct ir_block *ir = &ib->blk;

    ir_builder_init(ib, cpu, b->pc, b->key & ~KEY_ONE, eng->cfg.max_block);
    ib->code_vpage = b->pc & CPU_PAGE_MASK;
    ib->code_host = ib->code_pages[0] = b->page[0];
    cpu->guest->translate(ib);
    if (ib->bug || !ib->ended || ir->one_shot || ir->n_insns != b->n_insns || ir->n_links != b->n_links || ib->code_pages[1] != b->page[1])
        return false;
    ir_optimise(ib);
    memset(out, 0, sizeof *out);
    out->blk = b;
#define COPY(field, n) (out->field = copy_of(arena, ir->field, (n) * sizeof *ir->field))
    COPY(ops, ir->n_ops);
    COPY(consts, ir->n_consts);
    COPY(const_type, ir->n_consts);
    COPY(temp_type, ir->n_temps);
#undef COPY
    out->n_ops = ir->n_ops, out->n_consts = ir->n_consts, out->n_temps = ir->n_temps, out->n_labels = ir->n_labels;
    for (unsigned i = 0; i < IR_MAX_LINKS; i++) out->to[i] = -1;
    return true;
}

struct blk *engine_translate_partial(struct cpu *cpu, uint64_t pc, uint64_t key, unsigned max)
{
    const uint8_t *host = cpu_code_page(cpu, pc, false);
    if (!host) return NULL;
    pthread_mutex_lock(&cpu->engine->lock);
    struct blk *b = translate(cpu, pc, key, max, host, false);
    pthread_mutex_unlock(&cpu->engine->lock);
    return b;
}

struct blk *engine_translate_kept(struct cpu *cpu, uint64_t pc, uint64_t key)
{
    pthread_mutex_lock(&cpu->engine->lock);
    struct blk *b = translate(cpu, pc, key | KEY_ONE, 1, NULL, false);
    pthread_mutex_unlock(&cpu->engine->lock);
    cpu->io.n_code = 0;
    return b;
}

struct blk *blk_find(struct cpu *cpu, uint64_t pc, uint64_t key)
{
    const uint8_t *host = cpu_code_page(cpu, pc, true);
    const struct engine *eng = cpu->engine;
    struct blk *b = host && eng->hash ? eng->hash[blk_hash(eng, pc, key, host)] : NULL;
    while (b && (b->pc != pc || b->key != key || b->page[0] != host)) b = b->hash_next;
    return b;
}

struct blk *engine_lookup(struct cpu *cpu, uint64_t pc, uint64_t key)
{
    struct engine *eng = cpu->engine;
    struct blk *b;

    /* What a link leads to in user mode is not in the jump cache, most often (see below): its pages are not touched in vain. */
    if (!cpu->world->user || !cpu->xlink) {
        b = atomic_load_ptr(&cpu->jump_cache[jc_index(pc)]);
        if (b && b->pc == pc && b->key == key) return b;
    }
    eng->stats.lookups++;
again:;
    struct code_unit unit, second = { CPU_PAGE_BITS, true };
    const uint8_t *host = cpu_code_unit(cpu, pc, false, &unit);
    if (!host) return NULL;
    pthread_mutex_lock(&eng->lock);
    hash_make_room(eng);
    for (b = eng->hash[blk_hash(eng, pc, key, host)]; b; b = b->hash_next) {
        if (b->pc != pc || b->key != key || b->page[0] != host) continue;
        if (b->two_pages && cpu_code_unit(cpu, b->vpage2, true, &second) != b->page[1]) continue;
        break;
    }
    if (!b) {
        bool keep = !cpu->step_over_break, close = keep && cpu->parallel && !cpu->world->user;
        if (close && !close_page(cpu, host, pc)) {
            pthread_mutex_unlock(&eng->lock);
            goto again;
        }
        if (keep) {
            const struct code_page *p = code_page_find(eng, host);
            if (!p || !p->blocks) user_protect_code(cpu, pc);
        }
        b = translate(cpu, pc, key, key & KEY_ONE ? 1 : eng->cfg.max_block, host, keep);
        if (b && !b->one_shot && close && b->two_pages && mem_code_open(eng, b->page[1])) { /* read too early */
            (void)close_page(cpu, b->page[1], b->vpage2);
            pthread_mutex_unlock(&eng->lock);
            goto again;
        }
        if (b && !b->one_shot) {
            if (b->two_pages && !b->user) (void)cpu_code_unit(cpu, b->vpage2, true, &second);
            hash_add(eng, b);
            page_add(cpu, b, 0, pc);
            if (b->two_pages) page_add(cpu, b, 1, b->vpage2);
            if (eng->jit) jit_block_made(eng, b);
            eng->stats.blocks++;
            eng->stats.guest_insns += b->n_insns;
        }
    }
    /* What a link leads to in user mode is not looked for again, and would only displace what is. */
    if (b && !b->one_shot && !log_on(LOG_UNCHAINED) && !(b->user && cpu->xlink && blk_may_link(cpu->xlink, b))) jc_set(cpu, pc, b, unit.global && second.global);
    pthread_mutex_unlock(&eng->lock);
    return b;
}

/* ---- breakpoints and watchpoints --------------------------------------------------------------------- */

bool engine_break_at(const struct engine *eng, uint64_t va)
{
    for (unsigned i = 0; i < eng->n_breaks; i++) {
        if (eng->breaks[i] == va) return true;
    }
    return false;
}

void engine_break_insert(struct engine *eng, uint64_t va)
{
    if (engine_break_at(eng, va)) return;
    eng->breaks = mem_realloc(eng->breaks, (eng->n_breaks + 1) * sizeof *eng->breaks);
    eng->breaks[eng->n_breaks++] = va;
    engine_flush(eng);
}

void engine_break_remove(struct engine *eng, uint64_t va)
{
    for (unsigned i = 0; i < eng->n_breaks; i++) {
        if (eng->breaks[i] == va) {
            eng->breaks[i] = eng->breaks[--eng->n_breaks];
            engine_flush(eng);
            return;
        }
    }
}

static void watches_changed(struct engine *eng)
{
    for (unsigned c = 0; c < eng->n_cpus; c++) cpu_tlb_flush(eng->cpus[c]);
    engine_flush(eng); /* user mode: blocks made with or without checks */
}

int engine_watch_insert(struct engine *eng, uint64_t va, uint64_t len, enum watch_kind kind)
{
    if (!len || va + len < va) return -1;
    eng->watches = mem_realloc(eng->watches, (eng->n_watches + 1) * sizeof *eng->watches);
    eng->watches[eng->n_watches++] = (struct watchpoint){ va, len, kind };
    watches_changed(eng);
    return 0;
}

int engine_watch_remove(struct engine *eng, uint64_t va, uint64_t len, enum watch_kind kind)
{
    for (unsigned i = 0; i < eng->n_watches; i++) {
        struct watchpoint *w = &eng->watches[i];
        if (w->va == va && w->len == len && w->kind == kind) {
            *w = eng->watches[--eng->n_watches];
            watches_changed(eng);
            return 0;
        }
    }
    return -1;
}
