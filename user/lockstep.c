/*
 * lockstep.c - user mode's -lockstep: one program run by two engines, each with memory and registers of its own, and compared.
 *
 * The first process is the real one: it makes the system calls and takes the signals. After each of these the second gets
 * the registers, the mappings (user/mem.c) and what has been written to memory. Between them both run up to `every`
 * instructions, or to the exception that ends the stretch, and must agree in registers, counts, the exception, and the
 * pages that either has written. Pages are write-protected until they are written, and what was on them is kept: so
 * both can go back to where they were last equal, and the first instruction that differs is searched for.
 *
 * Not compared: programs with more than one thread (from the first on the first engine runs alone, and says so), and memory
 * shared with other processes that these write while no call is made. Searching and reporting: user/lockstep-report.c.
 */
#include "user/lockstep.h"

#include "isa/cpu-state.h"
#include "user/abi.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- one of the processes ---- */
static uint64_t icount(const struct ls_side *s) { return cpu_icount(s->t->cpu); }

void uls_run(struct ls_side *s, uint64_t n)
{
    struct thread *self = thread_current;
    uint64_t from = icount(s), done = 0;

    thread_current = s->t; /* faults are this one's */
    s->p->track->save = true;
    do {
        s->exit = engine_run(s->t->cpu, n - done);
        done = icount(s) - from;
    } while (s->exit == RUN_KICKED && (s != &s->ls->side[0] || s->ls->quiet) && done < n);
    s->p->track->save = false;
    thread_current = self;
    s->ran = done;
}

void uls_restore(struct ls_side *s)
{
    struct page_track *t = s->p->track;
    size_t page = (size_t)s->p->page_size;

    for (size_t i = 0; i < MIN(t->n, t->most); i++) {
        uint8_t *at = s->p->base + (t->list[i] << s->p->page_bits), *was = t->before + i * page;
        if (!memcmp(at, was, page)) continue;
        mem_code_fault(s->p, at);
        memcpy(at, was, page);
    }
    thread_copy_cpu(s->t->cpu, s->ls->equal);
    s->t->cpu->icount = s->ls->equal->icount;
    s->t->cpu->halted = false;
    atomic_store_u32(&s->t->cpu->kick, 0);
}

static bool same_page(const struct ls_side *a, const struct ls_side *b, uint64_t n)
{
    uint64_t at = n << a->p->page_bits;
    return !memcmp(a->p->base + at, b->p->base + at, (size_t)a->p->page_size);
}

bool uls_equal(struct ls_side *a, struct ls_side *b)
{
    const struct exception *x = &a->t->cpu->exc, *y = &b->t->cpu->exc;
    const struct isa *isa = a->p->isa;

    if (a->exit != b->exit && !(a->exit == RUN_KICKED && b->exit == RUN_BUDGET)) return false;
    if (a->exit == RUN_EXCEPTION && (x->code != y->code || x->sub != y->sub || x->addr != y->addr)) return false;
    if (isa_cpu_hash(isa, a->t->cpu, 0) != isa_cpu_hash(isa, b->t->cpu, 0)) return false;
    for (unsigned k = 0; k < 2; k++) {
        const struct page_track *t = (k ? b : a)->p->track;
        for (size_t i = 0; i < t->n; i++)
            if (!same_page(a, b, t->list[i])) return false;
    }
    return true;
}

/* A process that continues the first one's life under another engine. */
int uls_make(struct uls *ls, unsigned k, const struct engine_config *cfg, struct error *e)
{
    struct ls_side *s = &ls->side[k];
    const struct proc *first = ls->side[0].p;
    struct proc *p = NEW(struct proc);

    p->abi = first->abi, p->opt = first->opt, p->isa = first->isa, p->model = first->model, p->target = first->target;
    p->engine_config = *cfg;
    p->world = first->world;
    p->sig = first->sig;
    pthread_mutex_init(&p->lock, NULL);
    if (mem_clone(p, ls->side[0].p, e)) return -1;
    p->engine = engine_new(&p->engine_config, e);
    if (!p->engine) return -1;
    s->ls = ls, s->p = p;
    s->t = thread_new(p);
    if (p->isa->init(s->t->cpu, p->model, p->abi->be, true, e)) return -1;
    s->t->leader = ls->side[0].t;
    s->t->tid = ls->side[0].t->tid;
    thread_copy_cpu(s->t->cpu, ls->side[0].t->cpu);
    s->t->cpu->icount = ls->side[0].t->cpu->icount;
    s->t->cpu->step_over_break = false;
    if (!mem_track(p)) return error_set(e, "-lockstep: no memory to note what is written: %s", strerror(errno));
    return 0;
}

/* ---- both ---- */
static void copy_page(struct uls *ls, uint64_t n)
{
    struct proc *a = ls->side[0].p, *b = ls->side[1].p;
    uint64_t at = n << a->page_bits;
    uint8_t *to = b->base + at;
    bool writable = a->pages[n] & PAGE_WRITE;

    if (!(a->pages[n] & PAGE_READ) || !(b->pages[n] & PAGE_USED)) return;
    if (!mem_touch(ls->side[0].t, at) || !memcmp(a->base + at, to, (size_t)a->page_size)) return;
    if (writable) mem_code_fault(b, to);
    else mprotect(to, (size_t)a->page_size, PROT_READ | PROT_WRITE);
    if (!writable && (b->pages[n] & PAGE_CODE)) engine_code_written(b->engine, to, (size_t)a->page_size);
    memcpy(to, a->base + at, (size_t)a->page_size);
    if (!writable) mprotect(to, (size_t)a->page_size, PROT_READ);
}

void uls_follow(struct uls *ls)
{
    struct ls_side *a = &ls->side[0], *b = &ls->side[1];
    struct page_track *t = a->p->track;

    for (size_t i = 0; i < t->n; i++) copy_page(ls, t->list[i]);
    for (size_t i = 0; i < t->n_shared; i++) {
        uint64_t first = t->shared[i].addr >> a->p->page_bits, end = first + (t->shared[i].len >> a->p->page_bits);
        for (uint64_t n = first; n < end; n++)
            if (a->p->pages[n] & PAGE_SHARED) copy_page(ls, n);
    }
    thread_copy_cpu(b->t->cpu, a->t->cpu);
    b->t->cpu->icount = a->t->cpu->icount;
    memcpy(ls->equal, a->t->cpu, a->p->isa->guest->cpu_size);
    if (mem_track_again(a->p) && mem_track_again(b->p)) return;
    uls_leave(a->t, "the host refuses to protect so many pieces of memory");
}

int uls_new(struct thread *t, const struct lockstep_config *cfg, struct error *e)
{
    struct uls *ls = NEW(struct uls);
    struct proc *p = t->proc;

    ls->cfg = *cfg;
    ls->equal = mem_zalloc(p->isa->guest->cpu_size);
    ls->side[0] = (struct ls_side){ .ls = ls, .p = p, .t = t };
    if (uls_make(ls, 1, &cfg->engine[1], e)) return -1;
    if (!mem_track(p)) return error_set(e, "-lockstep: no memory to note what is written: %s", strerror(errno));
    p->lockstep = ls;
    p->follower = ls->side[1].p;
    return 0;
}

void uls_leave(struct thread *t, const char *why)
{
    struct proc *p = t->proc;
    struct uls *ls = p->lockstep;
    if (!ls || ls->left) return;
    error_report("lockstep: %s and %s are equal after %" PRIu64 " instructions; %s: %s goes on alone", ls->cfg.name[0], ls->cfg.name[1],
                 ls->done, why, ls->cfg.name[0]);
    ls->left = true;
    p->follower = NULL;
    mem_untrack(p);
}

void uls_end(struct thread *t)
{
    struct uls *ls = t->proc->lockstep;
    if (!ls || ls->left || ls->quiet) return;
    error_report("lockstep: %s and %s are equal after %" PRIu64 " instructions (the program ended)", ls->cfg.name[0], ls->cfg.name[1], ls->done);
}

void uls_before_fork(struct proc *p)
{
    if (p->follower) engine_before_fork(p->follower->engine);
}

void uls_after_fork(struct proc *p, bool child)
{
    if (!p->follower) return;
    engine_after_fork(p->follower->engine, child);
    if (child) {
        pthread_mutex_init(&p->follower->lock, NULL);
        pthread_mutex_init(&p->follower->mem_lock, NULL);
    }
}

static ATTR_NORETURN void stop(struct thread *t, int status)
{
    t->proc->lockstep->quiet = true;
    thread_exit_group(t, status);
}

/* They differ after n instructions. */
static ATTR_NORETURN void found(struct uls *ls, uint64_t n)
{
    struct error e = ERROR_INIT;
    ls->quiet = true;
    if (uls_report(ls, n, &e)) error_print(&e);
    stop(ls->side[0].t, 1);
}

static ATTR_NORETURN void replay(struct uls *ls)
{
    struct ls_side *a = &ls->side[0], *b = &ls->side[1];
    struct error e = ERROR_INIT;
    uint64_t n = 0;

    ls->quiet = true;
    if (uls_read(ls, &n, &e)) {
        error_print(&e);
        stop(a->t, 1);
    }
    /* The same code again and again becomes hot, as it was. */
    for (unsigned i = 0; i < 64; i++)
        if (uls_differs(ls, b, n)) found(ls, n);
    if (!uls_third(ls, &e)) {
        error_print(&e);
        stop(a->t, 1);
    }
    for (unsigned i = 0; i < 4; i++)
        if (uls_differs(ls, &ls->side[2], n)) found(ls, n);
    error_report("lockstep: %s and %s are equal for the %" PRIu64 " instructions of %s", ls->cfg.name[0], ls->cfg.name[1], n, ls->cfg.replay);
    stop(a->t, 0);
}

void uls_loop(struct thread *t)
{
    struct uls *ls = t->proc->lockstep;
    struct ls_side *a = &ls->side[0], *b = &ls->side[1];

    if (ls->cfg.replay) replay(ls);
    while (!t->exiting && !ls->left) {
        if (t->any_pending) signal_deliver(t);
        uls_follow(ls);
        if (ls->left) return;
        if (ls->cfg.limit && ls->done >= ls->cfg.limit) {
            uls_leave(t, "the limit is reached");
            return;
        }
        uint64_t n = ls->cfg.every;
        if (ls->cfg.limit) n = MIN(n, ls->cfg.limit - ls->done);
        uls_run(a, n);
        b->exit = a->exit, b->ran = 0;
        /* a kick stops the first where it is; anything else, the second must come to by itself */
        if (a->exit != RUN_KICKED || a->ran) uls_run(b, a->exit == RUN_KICKED ? a->ran : n);
        if (!uls_equal(a, b)) found(ls, MAX(a->ran, b->ran) + 1);
        ls->done += a->ran;
        thread_left(t, a->exit);
    }
}
