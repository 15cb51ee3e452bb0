/*
 * engine.c - the engine object, vCPU objects and the run loop.
 */
#include "interp/engine.h"

#include "interp/jit.h"
#include "util/log.h"

#include <stdlib.h>

/* ---- engine ------------------------------------------------------------------------------------- */

/* Held for a moment at a time: waiting for it without sleeping is shorter, where the C library can. */
static void init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
    pthread_mutex_init(lock, &a);
    pthread_mutexattr_destroy(&a);
}

struct engine *engine_new(const struct engine_config *cfg, struct error *e)
{
    struct engine *eng = NEW(struct engine);
    (void)e;
    eng->cfg = *cfg;
    if (!eng->cfg.max_block) eng->cfg.max_block = 64;
    if (!eng->cfg.cache_size) eng->cfg.cache_size = (size_t)128 << 20;
    init_lock(&eng->lock);
    pthread_mutex_init(&eng->odd_sizes, NULL);
    pthread_cond_init(&eng->safe, NULL);
    if (eng->cfg.backend && eng->cfg.mode == ENGINE_FAST) {
        eng->jit = jit_new(eng);
    }
    return eng;
}

void engine_delete(struct engine *eng)
{
    if (!eng) return;
    engine_leave(eng); /* the flush waits for what is being compiled */
    engine_flush(eng);
    jit_delete(eng);
    ir_builder_free(&eng->builder);
    pthread_mutex_destroy(&eng->lock);
    pthread_mutex_destroy(&eng->odd_sizes);
    pthread_cond_destroy(&eng->safe);
    free(eng->breaks);
    free(eng->watches);
    free(eng->cpus);
    free(eng->low_x);
    free(eng->low_xop);
    free(eng->low_start);
    free(eng);
}

const struct engine_config *engine_get_config(const struct engine *eng) { return &eng->cfg; }

void engine_get_stats(const struct engine *eng, struct engine_stats *s)
{
    *s = eng->stats;
    s->block_bytes = eng->arena.used;
}

/* vCPUs may stop at the same time: what is told is one of their hits, not parts of two. */
void engine_set_hit(struct engine *eng, struct debug_hit hit)
{
    pthread_mutex_lock(&eng->lock);
    eng->hit = hit;
    pthread_mutex_unlock(&eng->lock);
}

struct debug_hit engine_debug_hit(const struct engine *eng) { return eng->hit; }

void engine_leave(struct engine *eng)
{
    if (eng->jit) jit_leave(eng);
}

void engine_before_fork(struct engine *eng)
{
    if (eng->jit) jit_before_fork(eng);
}

void engine_after_fork(struct engine *eng, bool child)
{
    if (child) {
        init_lock(&eng->lock);
        pthread_mutex_init(&eng->odd_sizes, NULL);
        pthread_cond_init(&eng->safe, NULL);
        eng->inside = eng->alone_wanted = 0, eng->flushing = eng->alone = false;
    }
    if (eng->jit) jit_after_fork(eng, child);
}

/* ---- vCPUs --------------------------------------------------------------------------------------- */

struct cpu *cpu_new(const struct guest *guest, const struct cpu_world *world, struct engine *eng, void *bus, int index)
{
    struct cpu *cpu = mem_zalloc(guest->cpu_size);
    cpu->guest = guest;
    cpu->world = world;
    cpu->engine = eng;
    cpu->bus = bus;
    cpu->index = index;
    tlb_init(cpu);
    cpu_fp_changed(cpu);
    pthread_mutex_lock(&eng->lock);
    if (eng->n_cpus == eng->cap_cpus) {
        eng->cap_cpus = eng->cap_cpus ? eng->cap_cpus * 2 : 4;
        eng->cpus = mem_realloc(eng->cpus, eng->cap_cpus * sizeof *eng->cpus);
    }
    eng->cpus[eng->n_cpus++] = cpu;
    pthread_mutex_unlock(&eng->lock);
    return cpu;
}

void cpu_delete(struct cpu *cpu)
{
    if (!cpu) return;
    struct engine *eng = cpu->engine;
    pthread_mutex_lock(&eng->lock);
    for (unsigned i = 0; i < eng->n_cpus; i++) {
        if (eng->cpus[i] == cpu) {
            eng->cpus[i] = eng->cpus[--eng->n_cpus];
            break;
        }
    }
    pthread_mutex_unlock(&eng->lock);
    tlb_free(cpu);
    arena_free(&cpu->scratch);
    free(cpu);
}

uint64_t cpu_get_slot(struct cpu *cpu, ir_id slot)
{
    const void *p = cpu_slot(cpu, slot);
    return cpu->guest->slots[slot].type == T_I64 ? *(const uint64_t *)p : *(const uint32_t *)p;
}

void cpu_set_slot(struct cpu *cpu, ir_id slot, uint64_t v)
{
    void *p = cpu_slot(cpu, slot);
    if (cpu->guest->slots[slot].type == T_I64) *(uint64_t *)p = v;
    else *(uint32_t *)p = (uint32_t)v;
}

int cpu_find_slot(const struct guest *g, const char *name)
{
    for (unsigned i = 0; i < g->n_slots; i++) {
        if (!strcmp(g->slots[i].name, name)) return (int)i;
    }
    return -1;
}

void cpu_kick(struct cpu *cpu) { atomic_store_u32(&cpu->kick, 1); }

/* ---- precise state ------------------------------------------------------------------------------- */

static struct mark *blk_mark(const struct blk *b, unsigned at)
{
    unsigned lo = 0, hi = b->n_marks; /* last mark with mark.at <= at */
    while (hi - lo > 1) {
        unsigned mid = (lo + hi) / 2;
        if (b->marks[mid].at <= at) lo = mid;
        else hi = mid;
    }
    return &b->marks[lo];
}

struct mark *cpu_running(const struct cpu *cpu, struct blk **pb)
{
    if (cpu->xpoint) {
        const struct jit_point *p = jit_point_get(cpu->engine, cpu->xpoint);
        *pb = p->blk;
        return &p->blk->marks[p->mark];
    }
    struct blk *b = cpu->xblk;
    if (!cpu->xpc || !b) return NULL;
    *pb = b;
    return blk_mark(b, b->x ? (unsigned)((const struct xrec *)cpu->xpc - b->records) : (unsigned)((const struct ir_op *)cpu->xpc - b->ops));
}

bool cpu_runs_page(const struct cpu *cpu, const uint8_t *page)
{
    if (cpu->xpoint) return jit_running_on(cpu->engine, cpu->xpoint, page);
    const struct blk *b = cpu->xblk;
    return b && (b->page[0] == page || b->page[1] == page);
}

void cpu_restore(struct cpu *cpu, bool unit)
{
    struct blk *b;
    struct mark *m = cpu_running(cpu, &b);
    if (!m) return;
    if (unit) m -= m->unit_back;
    cpu_set_slot(cpu, cpu->guest->pc_slot, b->pc + m->pc_off);
    cpu->icount_left += b->n_insns - m->n;
    cpu->insn_flags = m->flags;
    cpu->xpc = NULL;
    cpu->xpoint = 0;
}

uint64_t cpu_icount(struct cpu *cpu)
{
    int64_t left = cpu->icount_left;
    struct blk *b;
    struct mark *m = cpu_running(cpu, &b);
    if (m) left += b->n_insns - m->n;
    return cpu->icount + (uint64_t)(cpu->icount_budget - cpu->icount_reserve - left);
}

void cpu_host_fault(struct cpu *cpu, const void *ucontext) { jit_host_fault(cpu, ucontext); }

ATTR_NORETURN void engine_run_again(struct cpu *cpu) { longjmp(*cpu->unwind, UNWIND_IO); }

ATTR_NORETURN void cpu_raise(struct cpu *cpu) { longjmp(*cpu->unwind, UNWIND_EXCEPTION); }

/* ---- the run loop --------------------------------------------------------------------------------- */

static enum xexit run_block(struct cpu *cpu, struct blk *b)
{
    const struct engine_config *cfg = &cpu->engine->cfg;
    if (cfg->mode == ENGINE_REF) return ref_run(cpu, b);
#if HOST_GNU
    if (!cfg->portable_switch) return cpu->world->user ? fast_run_goto_user(cpu, b) : fast_run_goto_sys(cpu, b);
#endif
    return cpu->world->user ? fast_run_switch_user(cpu, b) : fast_run_switch_sys(cpu, b);
}

static void log_exec(struct cpu *cpu, const struct blk *b)
{
    if (!log_in_filter(b->pc)) return;
    if (log_on(LOG_EXEC))
        log_printf("Trace %d: %p [%08" PRIx64 "/%08" PRIx64 "] icount=%" PRIu64 "\n", cpu->index, (const void *)b, b->pc, b->key, cpu_icount(cpu));
    if (log_on(LOG_CPU)) cpu_log_state(cpu);
}

static void put_line(void *opaque, const char *line) { log_printf("%s\n", line); }

void cpu_log_state(struct cpu *cpu)
{
    if (cpu->guest->dump) cpu->guest->dump(cpu, put_line, NULL, log_on(LOG_FPU));
}

/* Enters the exception in cpu->exc; pc and flags are exact. False: user mode, the caller handles it. Entering takes the
 * time of an instruction: a vector that faults itself must not stop time, nor keep the budget from ending. */
static bool take_exception(struct cpu *cpu)
{
    if (cpu->world->user) {
        /* In system mode the ISA logs what it has made of it. */
        if (log_on(LOG_INT))
            log_printf("%s: exception %u.%u: pc %" PRIx64 " address %" PRIx64 "\n", cpu->guest->name, cpu->exc.code, cpu->exc.sub,
                       cpu_get_slot(cpu, cpu->guest->pc_slot), cpu->exc.addr);
        return false;
    }
    cpu->icount_left--;
    cpu->guest->exception(cpu);
    return true;
}

/* ---- safe points ------------------------------------------------------------------------------------
 * Dropping all code needs every vCPU out of it. Alone, a vCPU does it between blocks. With several threads the last one to
 * arrive does it, and the others wait for that. */

/* Lock held, the caller not counted inside. Returns when nothing is to be dropped. */
static void wait_flush(struct engine *eng)
{
    while (atomic_load_int(&eng->flush_wanted) || eng->alone_wanted) {
        if (eng->inside || eng->flushing || eng->alone_wanted) {
            pthread_cond_wait(&eng->safe, &eng->lock);
            continue;
        }
        eng->flushing = true;
        pthread_mutex_unlock(&eng->lock);
        engine_flush(eng);
        pthread_mutex_lock(&eng->lock);
        eng->flushing = false;
        pthread_cond_broadcast(&eng->safe);
    }
}

static void go_inside(struct engine *eng)
{
    pthread_mutex_lock(&eng->lock);
    wait_flush(eng);
    eng->inside++;
    pthread_mutex_unlock(&eng->lock);
}

static void go_outside(struct engine *eng)
{
    pthread_mutex_lock(&eng->lock);
    eng->inside--;
    pthread_cond_broadcast(&eng->safe);
    pthread_mutex_unlock(&eng->lock);
}

/* Lock held. */
static void kick_others(struct cpu *cpu)
{
    struct engine *eng = cpu->engine;
    for (unsigned i = 0; i < eng->n_cpus; i++) {
        if (eng->cpus[i] != cpu) cpu_kick(eng->cpus[i]);
    }
}

void engine_alone_begin(struct cpu *cpu)
{
    struct engine *eng = cpu->engine;
    pthread_mutex_lock(&eng->lock);
    eng->inside--;
    eng->alone_wanted++;
    kick_others(cpu);
    pthread_cond_broadcast(&eng->safe);
    while (eng->inside || eng->flushing || eng->alone) pthread_cond_wait(&eng->safe, &eng->lock);
    eng->alone = true;
    pthread_mutex_unlock(&eng->lock);
}

void engine_alone_end(struct cpu *cpu)
{
    struct engine *eng = cpu->engine;
    pthread_mutex_lock(&eng->lock);
    eng->alone = false;
    eng->alone_wanted--;
    pthread_cond_broadcast(&eng->safe);
    wait_flush(eng);
    eng->inside++;
    pthread_mutex_unlock(&eng->lock);
}

static void safe_point(struct cpu *cpu, bool counted)
{
    struct engine *eng = cpu->engine;

    cpu->xlink = NULL;
    if (!counted) {
        engine_flush(eng);
        return;
    }
    pthread_mutex_lock(&eng->lock);
    kick_others(cpu);
    pthread_mutex_unlock(&eng->lock);
    go_outside(eng);
    go_inside(eng);
}

/* Compiled loops look at nothing but their count: so that a kick from another thread is seen soon, the budget is handed
 * out in slices (some 0.1 ms; where vCPUs interrupt each other and wait for it, some 10 us). */
enum { SLICE = 1 << 17, SLICE_SMP = 1 << 14 };

static int64_t slice_of(const struct cpu *cpu) { return cpu->parallel && !cpu->world->user ? SLICE_SMP : SLICE; }

static void next_slice(struct cpu *cpu)
{
    int64_t n = cpu->engine->jit ? MIN(cpu->icount_reserve, slice_of(cpu)) : cpu->icount_reserve;
    cpu->icount_left += n;
    cpu->icount_reserve -= n;
}

/* Of two interrupts that are pending both are entered before the next instruction, though one may have come by a kick of its own.
 * Bounded for lines that nobody ever lowers. */
enum { MOST_ENTRIES = 4 };

enum run_exit engine_run(struct cpu *cpu, uint64_t budget)
{
    struct engine *eng = cpu->engine;
    const struct guest *g = cpu->guest;
    jmp_buf unwind;
    enum run_exit ret;
    /* volatile: live across longjmp */
    volatile bool one = false, check_irq = !cpu->world->user;
    const bool counted = cpu->parallel;

    /* An instruction that a watchpoint has stopped in the middle has begun: interrupts were looked at before it. */
    if (cpu->step_over_break && eng->hit.watch && !eng->hit_late) check_irq = false;
    cpu->icount_budget = budget > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)budget;
    cpu->icount_left = 0;
    cpu->icount_reserve = cpu->icount_budget;
    next_slice(cpu);
    cpu->unwind = &unwind;
    cpu->xpc = NULL;
    cpu->xpoint = 0;
    cpu->io.replay = cpu->io.late = false, cpu->io.n = cpu->io.n_code = 0;
    cpu->xlink = NULL;
    if (counted) go_inside(eng); /* before contexts are changed: while a vCPU is alone it writes to those of all */
    if (!cpu->world->user && g->mmu_context) cpu_mmu_context(cpu, g->mmu_context(cpu));
    if (unlikely(atomic_load_u32(&cpu->flush_soon)) && atomic_xchg_u32(&cpu->flush_soon, 0)) cpu_tlb_flush(cpu);
    fp_enter(cpu);

    int how = setjmp(unwind);
    if (unlikely(cpu->odd_locked)) mem_odd_unlock(cpu);
    switch (how) {
    case UNWIND_EXCEPTION:
        cpu_restore(cpu, false);
        cpu->xlink = NULL;
        cpu->io.replay = false;
        if (!take_exception(cpu)) {
            ret = RUN_EXCEPTION;
            goto out;
        }
        check_irq = true;
        break;
    case UNWIND_IO:
        cpu_restore(cpu, true);
        cpu->xlink = NULL;
        one = true;
        break;
    case UNWIND_WATCH:
        cpu_restore(cpu, true);
        ret = RUN_DEBUG;
        goto out;
    default: break;
    }

    for (;;) {
        if (unlikely(atomic_load_u32(&cpu->kick)) && !cpu->io.replay && !one) { /* what has begun is completed first */
            (void)atomic_xchg_u32(&cpu->kick, 0); /* before what it was for is looked at */
            ret = RUN_KICKED;
            break;
        }
        if (check_irq) {
            check_irq = false;
            if (cpu->halted && g->has_work(cpu)) cpu->halted = false;
            for (unsigned n = 0; n < MOST_ENTRIES && g->interrupt(cpu); n++) continue;
        }
        if (unlikely(atomic_load_int(&eng->hit_late) == HIT_LATE) && !one && eng->hit.cpu == cpu->index) {
            atomic_store_int(&eng->hit_late, HIT_TOLD);
            ret = RUN_DEBUG;
            break;
        }
        if (unlikely(cpu->halted)) {
            ret = RUN_HALTED;
            break;
        }
        if (cpu->icount_reserve && cpu->icount_left < slice_of(cpu) / 2) next_slice(cpu);
        if (cpu->icount_left <= 0) {
            ret = RUN_BUDGET;
            break;
        }
        if (unlikely(atomic_load_int(&eng->flush_wanted))) safe_point(cpu, counted);
        uint64_t pc = cpu_get_slot(cpu, g->pc_slot);
        struct blk *b;
        if (unlikely(cpu->io.n_code)) b = engine_translate_kept(cpu, pc, cpu->key);
        else if (unlikely(one || cpu->step_over_break)) b = engine_lookup(cpu, pc, cpu->key | KEY_ONE);
        else b = engine_lookup(cpu, pc, cpu->key);
        one = false;
        if (b && unlikely(b->n_insns > cpu->icount_left)) {
            b = engine_translate_partial(cpu, pc, cpu->key, (unsigned)cpu->icount_left);
            cpu->xlink = NULL;
        }
        if (unlikely(!b)) { /* the fetch faulted */
            cpu->insn_flags = 0;
            cpu->xlink = NULL;
            if (!take_exception(cpu)) {
                ret = RUN_EXCEPTION;
                break;
            }
            check_irq = true;
            continue;
        }
        if (cpu->xlink) {
            if (blk_may_link(cpu->xlink, b) && !log_on(LOG_UNCHAINED)) link_set(eng, cpu->xlink, b);
            cpu->xlink = NULL;
        }
        if (unlikely(log_on(LOG_EXEC | LOG_CPU))) log_exec(cpu, b);
        if (!cpu->world->user) {
            cpu->mmu_now = g->mmu_mode(cpu);
            cpu->tlb_now = cpu_tlb_of(cpu, cpu->mmu_now)->e;
            cpu->io.left = INT64_MIN; /* what it goes with may be dropped by now */
        }
        enum xexit x = run_block(cpu, b);
        cpu->xpc = NULL;
        atomic_store_u32(&cpu->xpoint, 0); /* others look: engine_code_written() */
        cpu->io.replay = false;
        if (unlikely(cpu->step_over_break)) {
            cpu->step_over_break = false;
            check_irq = !cpu->world->user;
            if (check_irq) eng->hit = (struct debug_hit){ 0 }, eng->hit_late = 0;
        }
        if (x == X_IRQ || x == X_HALT) check_irq = true;
        else if (x == X_DEBUG) {
            engine_set_hit(eng, (struct debug_hit){ false, 0, cpu_get_slot(cpu, g->pc_slot), cpu->index });
            ret = RUN_DEBUG;
            break;
        }
    }
out:
    fp_leave(cpu);
    if (counted) go_outside(eng);
    cpu->xpc = NULL;
    cpu->unwind = NULL;
    cpu->icount += (uint64_t)(cpu->icount_budget - cpu->icount_reserve - cpu->icount_left);
    cpu->icount_budget = cpu->icount_reserve = cpu->icount_left = 0;
    return ret;
}
