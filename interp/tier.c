/*
 * tier.c - the tier policy: when blocks are compiled, by whom and where, and what happens to the code afterwards.
 *
 * Tier 0 is the interpreter. A block's gate counts its runs; then the block alone is compiled (tier 1), whose code counts on
 * until a region around the block is compiled (tier 2). What the backend does not want, or refuses, stays where it was.
 * Compiling is done by one background thread, or at once in the vCPU's thread (sync). None of this can be seen by the guest.
 *
 * Locks: the engine's lock guards blocks, links and what is installed; the JIT's own guards the queue, points and code
 * memory. The engine's may be held when the JIT's is taken, never the other way round.
 */
#include "interp/tier.h"

#include "interp/eval.h"
#include "interp/xcode.h"
#include "util/log.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#if defined __linux__
#include <ucontext.h>
#endif

/* The set-up waits until a block has run so many times longer than others have to, or so many are hot: a program that is over
 * soon does without. */
enum { FIRST = 8, FIRST_BLOCKS = 48 };
enum { COUNTS = 64 };
enum { SOON = 1000 /* runs: see jit_soon() */ };
enum { POINT_BITS = 15, POINT_CHUNKS = 512, QUEUE_MAX = 512, BATCH_MAX = 64, NEVER = -1 };

struct jit {
    const struct jit_backend *be;
    void *state;
    struct engine *eng;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    pthread_t thread;
    bool started, stop, busy, off;
    bool parked;                        /* busy, but in the hands of something outside the process */
    struct jit_region *flight[BATCH_MAX]; /* what is being compiled */
    unsigned n_flight;
    bool ready;                         /* set up: nothing is before some block is hot. Under the engine's lock */
    unsigned early;                     /* blocks that were hot before that */
    bool no_thread;                     /* the host gives us none: the vCPU's compiles */
    struct jit_region *queue, **tail;
    unsigned queued;
    struct codepool pool;
    size_t pool_base;                   /* what init() took: survives flushes */
    struct jit_point *points[POINT_CHUNKS];
    uint32_t n_points;
    const struct jit_code **by_addr;    /* ascending, as memory is handed out upwards */
    uint32_t n_by_addr, cap_by_addr;
    struct jit_code *codes;
    const void *stub;
    uint32_t *counts;                   /* room for n_counts more; engine's lock */
    unsigned n_counts;
    uint32_t random;
    FILE *perf;
    struct jit_stats stats;
};

struct jit_ref { struct jit_code *code; struct jit_ref *next; };

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t chance(struct jit *j)
{
    j->random = j->random * 1664525u + 1013904223u;
    return j->random >> 8;
}

/* ---- thresholds ------------------------------------------------------------------------------------- */

static uint32_t threshold(struct jit *j, unsigned tier)
{
    const struct engine_config *c = &j->eng->cfg;
    uint32_t n = tier == 1 ? c->threshold : c->threshold2;
    if (c->chaos) return 1 + chance(j) % (tier == 1 ? 6 : 40);
    if (!n && tier == 2 && c->threshold) n = MIN(c->threshold, UINT32_MAX / 64) * 32;
    return n ? n : MAX(j->be->threshold[tier - 1], 1u);
}

static void count_from(struct blk *b, uint32_t n)
{
    b->runs = blk_runs(b);
    b->heat = b->heat_start = n;
    if (b->code_heat) *b->code_heat = n;
}

/* Compiled code counts in one of many places that lie together: with that of each block in the block, the counts of the thousands of blocks that
 * an operating system goes through again and again pushed each other out of the host's caches. Engine's lock held. */
static void count_in_code(struct jit *j, struct blk *b)
{
    if (b->code_heat) return;
    if (!j->n_counts) {
        j->n_counts = COUNTS;
        j->counts = arena_get(&j->eng->arena, COUNTS * sizeof *j->counts);
    }
    b->code_heat = &j->counts[--j->n_counts];
    *b->code_heat = b->heat_start;
}

/* Engine's lock held. */
static struct ind_profile *new_profile(struct engine *eng, unsigned room)
{
    size_t n = sizeof(struct ind_profile) + room * sizeof(struct ind_target);
    struct ind_profile *p = arena_get(&eng->arena, n);
    memset(p, 0, n);
    p->room = room;
    return p;
}

void jit_block_made(struct engine *eng, struct blk *b)
{
    struct jit *j = eng->jit;
    if (j->off || (b->key & KEY_ONE)) return;
    b->heat = b->heat_start = threshold(j, j->be->tiers & 1 ? 1 : 2);
    if (b->has_ind && b->ind_hint != IR_HINT_RET) {
        b->ind = new_profile(eng, IND_FIRST);
    }
    xcode_gate(eng, b, XO_HEAT);
    b->x = &b->gate;
}

void ind_note(struct cpu *cpu, uint64_t pc)
{
    struct blk *b = cpu->xblk;
    struct ind_profile *p = atomic_load_ptr(&b->ind), *more;
    unsigned i = 0;

    while (i < p->room && p->to[i].n && p->to[i].pc != pc) i++;
    if (i == p->room) {
        if (p->room == JIT_PROFILE) return;
        pthread_mutex_lock(&cpu->engine->lock);
        if (b->ind == p) { /* another thread's counts from here on may be lost: they are a guide only */
            more = new_profile(cpu->engine, JIT_PROFILE);
            memcpy(more->to, p->to, p->room * sizeof *p->to);
            atomic_store_ptr(&b->ind, more);
        }
        p = b->ind;
        pthread_mutex_unlock(&cpu->engine->lock);
    }
    p->to[i].pc = pc;
    p->to[i].n++;
}

/* ---- points ----------------------------------------------------------------------------------------- */

/* Taken from the common table some at a time: one lock for many. */
enum { POINTS_AT_ONCE = 64 };

static bool more_points(struct jit *j, struct jit_code *c)
{
    pthread_mutex_lock(&j->lock);
    unsigned chunk = j->n_points >> POINT_BITS;
    bool ok = chunk < POINT_CHUNKS;
    if (ok) {
        if (!j->points[chunk]) atomic_store_ptr(&j->points[chunk], (struct jit_point *)mem_alloc(sizeof(struct jit_point) << POINT_BITS));
        c->point = j->n_points;
        j->n_points = c->points_end = MIN(j->n_points + POINTS_AT_ONCE, (chunk + 1) << POINT_BITS);
    }
    pthread_mutex_unlock(&j->lock);
    return ok;
}

/* What was taken and not used, unless somebody else has taken more since. */
static void points_back(struct jit *j, struct jit_code *c)
{
    pthread_mutex_lock(&j->lock);
    if (c->point != c->points_end && c->points_end == j->n_points) j->n_points = c->points_end = c->point;
    pthread_mutex_unlock(&j->lock);
}

uint32_t jit_point(const struct jit_region *r, unsigned block, unsigned mark)
{
    struct jit *j = r->eng->jit;
    struct jit_code *c = r->code;
    if (c->point == c->points_end && !more_points(j, c)) return 0;
    uint32_t n = c->point++;
    j->points[n >> POINT_BITS][n & ((1u << POINT_BITS) - 1)] = (struct jit_point){ r->blocks[block].blk, c, (uint16_t)mark };
    return n;
}

const struct jit_point *jit_point_get(const struct engine *eng, uint32_t n)
{
    return &eng->jit->points[n >> POINT_BITS][n & ((1u << POINT_BITS) - 1)];
}

bool jit_running_on(const struct engine *eng, uint32_t point, const uint8_t *page)
{
    const struct jit_code *c = jit_point_get(eng, point)->code;
    for (unsigned i = 0; i < c->n_blocks; i++) {
        if (c->blocks[i]->page[0] == page || c->blocks[i]->page[1] == page) return true;
    }
    return false;
}

/* ---- code memory -------------------------------------------------------------------------------------- */

bool jit_code_alloc(struct engine *eng, size_t n, struct codemem *m)
{
    struct jit *j = eng->jit;
    pthread_mutex_lock(&j->lock);
    bool ok = codepool_get(&j->pool, n, m);
    if (!ok) atomic_store_int(&eng->flush_wanted, 1);
    pthread_mutex_unlock(&j->lock);
    return ok;
}

void jit_code_trim(struct engine *eng, struct codemem *m, size_t used)
{
    struct jit *j = eng->jit;
    pthread_mutex_lock(&j->lock);
    if (m->rw + m->size == j->pool.rw + j->pool.used) j->pool.used -= m->size - used;
    m->size = used;
    pthread_mutex_unlock(&j->lock);
}

const struct jit_code *jit_code_at(const struct engine *eng, const void *pc)
{
    const struct jit *j = eng->jit;
    const uint8_t *p = pc;
    if (!j || p < j->pool.rx || p >= j->pool.rx + j->pool.size) return NULL;
    uint32_t lo = 0, hi = atomic_load_u32(&j->n_by_addr);
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if ((const uint8_t *)j->by_addr[mid]->text <= p) lo = mid;
        else hi = mid;
    }
    if (lo == hi) return NULL;
    const struct jit_code *c = j->by_addr[lo];
    return p >= (const uint8_t *)c->text && p < (const uint8_t *)c->text + c->text_size ? c : NULL;
}

ATTR_NORETURN void jit_run_again(struct cpu *cpu, const void *context)
{
    cpu_fp_signal(cpu, context);
    engine_run_again(cpu);
}

void jit_host_fault(struct cpu *cpu, const void *context)
{
    const void *pc = NULL;
#if defined __linux__ && defined __x86_64__
    pc = (const void *)(uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined __linux__ && defined __aarch64__
    pc = (const void *)(uintptr_t)((const ucontext_t *)context)->uc_mcontext.pc;
#else
    (void)context;
#endif
    const struct jit_code *c = jit_code_at(cpu->engine, pc);
    if (c && c->backend->recover) c->backend->recover(c, cpu, context);
}

/* ---- installing and dropping ------------------------------------------------------------------------- */

void jit_link_changed(struct engine *eng, struct link *l, struct blk *to)
{
    if (!eng->jit) return;
    const void *body = to ? to->jit_body : NULL;
    atomic_store_ptr(&l->code, body ? body : eng->jit->stub);
}

static void set_body(struct engine *eng, struct blk *b, const void *body)
{
    atomic_store_ptr(&b->jit_body, body);
    for (struct link *l = b->in; l; l = l->next_in) jit_link_changed(eng, l, b);
}

static void log_code(const struct jit *j, const struct jit_code *c)
{
    log_printf("OUT: tier %u %s [size=%zu] block %08" PRIx64 ", %u blocks, %zu ops\n", c->tier, j->be->name, c->text_size, c->blocks[0]->pc,
               c->n_blocks, c->ir_ops);
    const uint8_t *p = c->text;
    for (size_t i = 0; p && i < c->text_size; i += 16) {
        char line[64];
        int n = 0;
        for (size_t k = i; k < MIN(i + 16, c->text_size); k++) n += snprintf(line + n, sizeof line - (size_t)n, " %02x", p[k]);
        log_printf("%p: %s\n", (const void *)(p + i), line);
    }
    log_printf("\n");
}

/* Engine's lock held. */
static bool install(struct jit *j, struct jit_region *r)
{
    struct engine *eng = j->eng;
    struct jit_code *c = r->code;
    struct blk *e = r->blocks[0].blk;

    e->jit_wanted = false;
    for (unsigned i = 0; i < r->n; i++) {
        if (!r->blocks[i].blk->valid) return false;
    }
    c->valid = true;
    for (unsigned i = 0; i < r->n; i++) {
        struct jit_ref *ref = arena_get(&eng->arena, sizeof *ref);
        *ref = (struct jit_ref){ c, r->blocks[i].blk->jit_refs };
        r->blocks[i].blk->jit_refs = ref;
    }
    if (c->text) {
        if (j->n_by_addr == j->cap_by_addr) return false;
        j->by_addr[j->n_by_addr] = c;
        atomic_store_u32(&j->n_by_addr, j->n_by_addr + 1);
        if (j->perf) fprintf(j->perf, "%lx %zx guest_%" PRIx64 "_tier%u\n", (unsigned long)(uintptr_t)c->text, c->text_size, e->pc, c->tier);
        if (j->perf) fflush(j->perf);
    }
    if (eng->cfg.gdb && c->text) c->gdb = jit_gdb_add(c);
    atomic_store_ptr(&e->jit, c);
    set_body(eng, e, c->body);
    xcode_gate(eng, e, XO_NATIVE);
    e->x = &e->gate;
    j->stats.tier[c->tier].regions++;
    j->stats.tier[c->tier].blocks += c->n_blocks;
    j->stats.tier[c->tier].ir_ops += c->ir_ops;
    j->stats.tier[c->tier].text += c->text_size;
    if (log_on(LOG_OUT_ASM) && log_in_filter(e->pc)) log_code(j, c);
    return true;
}

void jit_block_gone(struct engine *eng, struct blk *b)
{
    struct jit *j = eng->jit;
    if (!j) return;
    for (struct jit_ref *ref = b->jit_refs; ref; ref = ref->next) {
        struct jit_code *c = ref->code;
        if (!c->valid) continue;
        c->valid = false;
        j->stats.invalidated++;
        struct blk *e = c->blocks[0];
        if (e->jit != c) continue;
        set_body(eng, e, NULL);
        xcode_gate(eng, e, XO_HEAT);
        count_from(e, threshold(j, j->be->tiers & 1 ? 1 : 2));
        atomic_store_ptr(&e->jit, (const struct jit_code *)NULL);
    }
    for (unsigned i = 0; i < eng->n_cpus; i++) { /* others may be going round in it */
        if (eng->cpus[i]->parallel) cpu_kick(eng->cpus[i]);
    }
}

const struct jit_code *jit_code_with(const struct blk *b, unsigned n)
{
    for (const struct jit_ref *ref = b->jit_refs; ref; ref = ref->next) {
        if (ref->code->valid && !n--) return ref->code;
    }
    return NULL;
}

static void release_all(struct jit *j)
{
    for (struct jit_code *c = j->codes, *next; c; c = next) {
        next = c->next;
        jit_gdb_remove(c->gdb);
        if (j->be->release && c->priv) j->be->release(j->state, c);
        free(c->blocks);
        free(c);
    }
    j->codes = NULL;
}

void jit_flush(struct engine *eng)
{
    struct jit *j = eng->jit;
    if (!j) return;
    pthread_mutex_lock(&j->lock);
    if (j->be->flush && j->ready) j->be->flush(j->state);
    release_all(j);
    atomic_store_u32(&j->n_by_addr, 0);
    j->n_points = 1;
    j->pool.used = j->pool_base;
    j->n_counts = 0; /* the arena is dropped with them */
    j->stats.flushes++;
    pthread_mutex_unlock(&j->lock);
}

/* ---- compiling ------------------------------------------------------------------------------------------- */

static bool code_of(struct jit *j, struct jit_region *r)
{
    struct jit_code *c = NEW(struct jit_code);
    c->backend = j->be;
    c->tier = r->tier;
    c->n_blocks = r->n;
    c->blocks = NEW_ARRAY(struct blk *, r->n);
    for (unsigned i = 0; i < r->n; i++) {
        c->blocks[i] = r->blocks[i].blk;
        c->ir_ops += r->blocks[i].n_ops;
    }
    r->code = c;
    pthread_mutex_lock(&j->lock);
    c->next = j->codes; /* even if it fails: points may name it */
    j->codes = c;
    pthread_mutex_unlock(&j->lock);
    return true;
}

static void compile(struct jit *j, struct jit_region **r, unsigned n)
{
    bool ok[BATCH_MAX] = { false };
    struct jit_code *code[BATCH_MAX];
    uint64_t start = now_ns();

    for (unsigned i = 0; i < n; i++) code_of(j, r[i]), code[i] = r[i]->code;
    memcpy(j->flight, r, n * sizeof *r);
    j->n_flight = n;
    if (n > 1 && j->be->compile_batch) {
        j->be->compile_batch(j->state, r, n, code, ok);
    } else {
        for (unsigned i = 0; i < n; i++) {
            const char *why = NULL;
            ok[i] = j->be->compile(j->state, r[i], code[i], &why);
            points_back(j, code[i]);
            if (!ok[i] && why) LOG(OUT_ASM, "%s: block %08" PRIx64 " not compiled: %s\n", j->be->name, r[i]->blocks[0].blk->pc, why);
        }
    }
    j->n_flight = 0;
    uint64_t each = (now_ns() - start) / n;
    pthread_mutex_lock(&j->eng->lock);
    for (unsigned i = 0; i < n; i++) {
        unsigned tier = r[i]->tier;
        j->stats.tier[tier].ns += each;
        if (!ok[i]) j->stats.tier[tier].refused++;
        else install(j, r[i]);
        r[i]->blocks[0].blk->jit_wanted = false;
    }
    pthread_mutex_unlock(&j->eng->lock);
    for (unsigned i = 0; i < n; i++) region_free(r[i]);
}

static void *compiler(void *opaque)
{
    struct jit *j = opaque;
    pthread_mutex_lock(&j->lock);
    for (;;) {
        while (!j->queue && !j->stop) pthread_cond_wait(&j->work, &j->lock);
        if (j->stop) break;
        struct jit_region *r[BATCH_MAX];
        unsigned n = 0, most = j->be->compile_batch ? MIN(MAX(j->be->batch, 1u), (unsigned)BATCH_MAX) : 1;
        while (n < most && j->queue) {
            r[n++] = j->queue;
            j->queue = j->queue->next;
            j->queued--;
        }
        if (!j->queue) j->tail = &j->queue;
        j->busy = true;
        pthread_mutex_unlock(&j->lock);
        compile(j, r, n);
        pthread_mutex_lock(&j->lock);
        j->busy = false;
        pthread_cond_broadcast(&j->idle);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

static bool start_thread(struct jit *j)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    j->started = pthread_create(&j->thread, NULL, compiler, j) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return j->started;
}

static void drop_queue(struct jit *j)
{
    for (struct jit_region *r = j->queue, *next; r; r = next) {
        next = r->next;
        r->blocks[0].blk->jit_wanted = false;
        region_free(r);
    }
    j->queue = NULL, j->tail = &j->queue, j->queued = 0;
}

void jit_quiesce(struct engine *eng)
{
    struct jit *j = eng->jit;
    pthread_mutex_lock(&j->lock);
    drop_queue(j);
    while (j->busy) pthread_cond_wait(&j->idle, &j->lock);
    pthread_mutex_unlock(&j->lock);
}

static bool enqueue(struct jit *j, struct jit_region *r)
{
    pthread_mutex_lock(&j->lock);
    if (!j->started && !start_thread(j) && !j->no_thread) {
        j->no_thread = true;
        error_warn("no thread for compiling; compiling where the guest runs");
    }
    bool ok = j->started && j->queued < QUEUE_MAX;
    if (ok) {
        r->next = NULL;
        *j->tail = r;
        j->tail = &r->next;
        j->queued++;
        pthread_cond_signal(&j->work);
    }
    pthread_mutex_unlock(&j->lock);
    return ok;
}

/* Engine's lock held. What can't be done without is said once, and everything is interpreted. */
static bool set_up(struct jit *j)
{
    const struct engine_config *c = &j->eng->cfg;
    struct error why = ERROR_INIT;

    if (j->ready || j->off) return !j->off;
    if (codepool_init(&j->pool, c->code_size ? c->code_size : (size_t)32 << 20, &why)) {
        j->cap_by_addr = (uint32_t)(j->pool.size / 64);
        j->by_addr = NEW_ARRAY(const struct jit_code *, j->cap_by_addr);
        j->state = j->be->init(j->eng, &why);
    }
    if (!j->state) {
        error_warn("JIT backend '%s' can't be used: %s; interpreting", j->be->name, why.msg);
        error_clear(&why);
        j->off = true;
        atomic_store_int(&j->eng->flush_wanted, 1); /* blocks that are interpreted for good are optimised */
        return false;
    }
    j->pool_base = j->pool.used;
    if (j->be->exit_stub) j->stub = j->be->exit_stub(j->state);
    j->ready = true;
    return true;
}

/* Links made before that lead nowhere yet. Engine's lock held. */
static void set_links(struct jit *j, const struct jit_region *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        struct blk *b = r->blocks[i].blk;
        for (unsigned l = 0; l < b->n_links; l++) {
            if (!b->links[l].code) jit_link_changed(j->eng, &b->links[l], b->links[l].to);
        }
    }
}

bool jit_soon(const struct engine *eng)
{
    const struct jit *j = eng->jit;
    return j && !j->off && j->be->tiers & 1 && (eng->cfg.threshold ? eng->cfg.threshold : j->be->threshold[0]) <= SOON;
}

void jit_hot(struct cpu *cpu, struct blk *b)
{
    struct engine *eng = cpu->engine;
    struct jit *j = eng->jit;
    struct jit_region *r = NULL;
    bool room = true;

    pthread_mutex_lock(&eng->lock);
    bool again = b->jit && b->jit->tier == 2;
    unsigned tier = !(j->be->tiers & 1) || b->jit ? 2 : 1;
    uint32_t runs_before = b->heat_start;
    count_from(b, UINT32_MAX); /* unless something better is decided below */
    if (atomic_load_int(&eng->flush_wanted) || j->off || log_on(LOG_UNCHAINED)) {
        count_from(b, MAX(runs_before, 16u));
    } else if (!j->ready && !eng->cfg.threshold && !eng->cfg.chaos && !eng->cfg.sync && b->runs <= runs_before &&
               j->early < FIRST_BLOCKS) {
        j->early++;
        count_from(b, (FIRST - 1) * runs_before);
    } else if (b->jit_wanted) {
        count_from(b, threshold(j, 2));
    } else if (tier == 2 && b->in_region && !b->waited) {
        /* Its loop is being compiled, from another block; only if it is still entered here then, it gets a region of its own. */
        b->waited = true;
        count_from(b, 2 * threshold(j, 2));
    } else if (b->valid && !again && (tier == 1 || (j->be->tiers & 2)) && (tier == 1 || !eng->cfg.no_regions || !(j->be->tiers & 1))) {
        if (eng->cfg.chaos) {
            if (chance(j) % 3 == 0) tier = j->be->tiers & 2 && !eng->cfg.no_regions ? 2 : tier;
            if (chance(j) % 2048 == 0) atomic_store_int(&eng->flush_wanted, 1);
        }
        if (set_up(j)) r = region_form(cpu, b, tier);
    }
    if (r) {
        set_links(j, r);
        b->jit_wanted = true;
        for (unsigned i = 0; i < r->n && tier == 2; i++) r->blocks[i].blk->in_region = true;
        r->count = tier == 1 && (j->be->tiers & 2) && !eng->cfg.no_regions;
        if (r->count) {
            count_in_code(j, b);
            count_from(b, threshold(j, 2));
        }
    }
    pthread_mutex_unlock(&eng->lock);
    if (!r) return;
    if (eng->cfg.sync || j->no_thread || (j->be->quick && !eng->cfg.async)) {
        pthread_mutex_lock(&j->lock);
        while (j->busy) pthread_cond_wait(&j->idle, &j->lock);
        j->busy = true;
        pthread_mutex_unlock(&j->lock);
        compile(j, &r, 1);
        pthread_mutex_lock(&j->lock);
        j->busy = false;
        pthread_cond_broadcast(&j->idle);
        pthread_mutex_unlock(&j->lock);
        return;
    }
    room = enqueue(j, r);
    if (!room) { /* ask again later */
        pthread_mutex_lock(&eng->lock);
        b->jit_wanted = false;
        count_from(b, MAX(runs_before, 16u));
        pthread_mutex_unlock(&eng->lock);
        region_free(r);
    }
}

void jit_hot_here(struct cpu *cpu)
{
    struct blk *b = engine_lookup(cpu, cpu_get_slot(cpu, cpu->guest->pc_slot), cpu->key);
    if (b && !b->one_shot) jit_hot(cpu, b);
}

/* ---- life ------------------------------------------------------------------------------------------------ */

struct jit *jit_new(struct engine *eng)
{
    struct jit *j = NEW(struct jit);
    const struct engine_config *c = &eng->cfg;

    j->be = c->backend;
    j->eng = eng;
    j->tail = &j->queue;
    j->n_points = 1;
    j->random = c->chaos;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->work, NULL);
    pthread_cond_init(&j->idle, NULL);
    j->pool.child_fd = -1;
    if (c->perfmap) {
        char path[64];
        snprintf(path, sizeof path, "/tmp/perf-%ld.map", (long)getpid());
        j->perf = fopen(path, "w");
        if (!j->perf) LOG(OUT_ASM, "no %s\n", path);
    }
    return j;
}

void jit_park(struct engine *eng)
{
    struct jit *j = eng->jit;
    pthread_mutex_lock(&j->lock);
    j->parked = true;
    pthread_cond_broadcast(&j->idle);
    pthread_mutex_unlock(&j->lock);
}

void jit_unpark(struct engine *eng)
{
    struct jit *j = eng->jit;
    pthread_mutex_lock(&j->lock); /* a fork has it from before to after */
    j->parked = false;
    pthread_mutex_unlock(&j->lock);
}

void jit_leave(struct engine *eng)
{
    struct jit *j = eng->jit;
    pthread_mutex_lock(&j->lock);
    drop_queue(j);
    void *state = j->state;
    pthread_mutex_unlock(&j->lock);
    for (unsigned t = 1; t <= 2; t++) {
        if (!j->stats.tier[t].regions) continue;
        LOG(OUT_ASM, "%s, tier %u: %" PRIu64 " regions of %" PRIu64 " blocks, %" PRIu64 " ops, %" PRIu64 " bytes, %.3f ms compiling\n", j->be->name, t,
            j->stats.tier[t].regions, j->stats.tier[t].blocks, j->stats.tier[t].ir_ops, j->stats.tier[t].text, (double)j->stats.tier[t].ns / 1e6);
    }
    if (state && j->be->leave) j->be->leave(state);
}

void jit_delete(struct engine *eng)
{
    struct jit *j = eng->jit;
    if (!j) return;
    pthread_mutex_lock(&j->lock);
    drop_queue(j);
    j->stop = true;
    pthread_cond_signal(&j->work);
    pthread_mutex_unlock(&j->lock);
    if (j->state && j->be->leave) j->be->leave(j->state);
    if (j->started) pthread_join(j->thread, NULL);
    release_all(j);
    if (j->be->fini && j->state) j->be->fini(j->state);
    codepool_free(&j->pool);
    for (unsigned i = 0; i < POINT_CHUNKS; i++) free(j->points[i]);
    if (j->perf) fclose(j->perf);
    free(j->by_addr);
    pthread_mutex_destroy(&j->lock);
    free(j);
    eng->jit = NULL;
}

void jit_before_fork(struct engine *eng)
{
    struct jit *j = eng->jit;
    pthread_mutex_lock(&j->lock); /* until after_fork */
    drop_queue(j);
    while (j->busy && !j->parked) pthread_cond_wait(&j->idle, &j->lock);
    codepool_before_fork(&j->pool);
}

void jit_after_fork(struct engine *eng, bool child)
{
    struct jit *j = eng->jit;
    bool ok = codepool_after_fork(&j->pool, child);
    if (child) {
        pthread_mutex_init(&j->lock, NULL);
        pthread_cond_init(&j->work, NULL);
        pthread_cond_init(&j->idle, NULL);
        j->started = j->busy = j->parked = false;
        for (unsigned i = 0; i < j->n_flight; i++) {
            j->flight[i]->blocks[0].blk->jit_wanted = false;
            region_free(j->flight[i]);
        }
        j->n_flight = 0;
        if (j->state && j->be->forked) j->be->forked(j->state);
        if (!ok) { /* without code memory of its own it must not touch its parent's */
            j->off = true;
            atomic_store_int(&eng->flush_wanted, 1);
        }
        if (j->perf) {
            fclose(j->perf);
            j->perf = NULL;
        }
    } else {
        pthread_mutex_unlock(&j->lock);
    }
}

void jit_get_stats(const struct engine *eng, struct jit_stats *s)
{
    memset(s, 0, sizeof *s);
    if (!eng->jit) return;
    *s = eng->jit->stats;
    s->mem_used = eng->jit->pool.used;
    s->mem_size = eng->jit->pool.size;
}

/* ---- what compiled code calls ------------------------------------------------------------------------------ */

uint64_t jit_ld(struct cpu *cpu, uint64_t va, unsigned mem, unsigned mmu) { return mem_slow_ld(cpu, va, mem, mmu); }
void jit_ld2(struct cpu *cpu, uint64_t va, uint64_t v[2], unsigned mem, unsigned mmu) { mem_slow_ld2(cpu, va, v, mem, mmu); }
void jit_st2(struct cpu *cpu, uint64_t va, const uint64_t v[2], unsigned mem, unsigned mmu) { mem_slow_st2(cpu, va, v, mem, mmu); }
void jit_vec(struct cpu *cpu, const struct ir_op *o, uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c) { vec_exec(cpu, o, d, a, b, c); }
void jit_st(struct cpu *cpu, uint64_t va, uint64_t v, unsigned mem, unsigned mmu) { mem_slow_st(cpu, va, v, mem, mmu); }
uint64_t jit_cas(struct cpu *cpu, uint64_t va, uint64_t expect, uint64_t v, unsigned mem, unsigned mmu)
{
    return mem_cas(cpu, va, expect, v, mem, mmu);
}
uint64_t jit_rmw(struct cpu *cpu, uint64_t va, uint64_t v, unsigned what, unsigned mem, unsigned mmu)
{
    return mem_rmw(cpu, what, va, v, mem, mmu);
}
ATTR_NORETURN void jit_fetch_fault(struct cpu *cpu, uint64_t va) { fetch_fault(cpu, va); }

uint64_t jit_op(struct cpu *cpu, const struct ir_op *o, uint64_t a, uint64_t b, uint64_t c)
{
    switch (ir_op_info[o->op].cls) {
    case CLASS_PURE:
    case CLASS_CONV: return eval_pure(o->op, o->type, o->aux, a, b, c);
    default: return o->op == OP_SETC ? eval_cond(o->attr, o->type, a, b) : fp_exec(cpu, o->op, o->type, o->attr, o->aux, a, b, c);
    }
}
