/*
 * threads.c - one host thread for each CPU: who holds the machine, and how CPUs are stopped and woken.
 *
 * The main thread fires timers, serves the host and acts on events; it holds the machine but while it waits for the host. A CPU's
 * thread holds it but while it runs guest code, where devices ask for it access by access. CPUs that wait for an interrupt sleep until
 * a kick: who may have kicked one held the machine, and wakes it when giving that back.
 *
 * Guest time is the host's clock while the machine runs (m->live); whenever it does not, it is what the CPUs' counts and m->idle_ns
 * say, as in a machine whose CPUs take turns, so that states can be saved in one and loaded in the other.
 */
#include "machines/threads.h"

#include "machines/run.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

enum {
    MAX_WAIT_NS = 100000000, /* the longest wait of the main thread in one go */
    BLIND_WAIT_NS = 500000,  /* the same when nobody can wake it up */
};

struct thread_cpu {
    struct machine *m;
    struct cpu *cpu;
    pthread_t id;
    pthread_cond_t wake;
    bool asleep; /* waits for an interrupt */
};

struct machine_threads {
    pthread_mutex_t lock;
    pthread_rwlock_t map;
    pthread_cond_t stopped; /* the last CPU has left guest code */
    pthread_cond_t go;      /* it may go there again */
    unsigned depth;         /* of machine_lock by who holds it */
    struct cpu *base;       /* the outermost's */
    unsigned busy;          /* CPUs in guest code */
    unsigned asleep;
    unsigned holds;         /* machine_hold */
    bool quit;
    bool waiting;           /* the main thread waits for the host */
    struct thread_cpu cpu[MACHINE_MAX_CPUS];
};

void machine_lock(struct machine *m, struct cpu *cpu)
{
    struct machine_threads *t = m->threads;

    if (!t) return;
    pthread_mutex_lock(&t->lock);
    if (!t->depth++) {
        t->base = m->running = cpu;
        /* A device finds the timers fired that are due, as it does in a machine whose CPUs take turns. */
        if (cpu && m->live) {
            uint64_t now = clock_now(m->clock);
            if (clock_next(m->clock) <= now) clock_run(m->clock, now);
        }
    } else if (cpu) {
        m->running = cpu; /* the main thread steps a CPU, or resets it */
    }
}

void machine_map_lock(struct machine *m, bool change)
{
    if (!m->threads) return;
    if (change) pthread_rwlock_wrlock(&m->threads->map);
    else pthread_rwlock_rdlock(&m->threads->map);
}

void machine_map_unlock(struct machine *m)
{
    if (m->threads) pthread_rwlock_unlock(&m->threads->map);
}

/* Those that sleep and have been kicked. */
static void wake_cpus(struct machine *m)
{
    struct machine_threads *t = m->threads;

    for (unsigned i = 0; i < m->n_cpus && t->asleep; i++) {
        struct thread_cpu *c = &t->cpu[i];
        if (!c->asleep || !atomic_load_u32(&c->cpu->kick)) continue;
        c->asleep = false;
        t->asleep--;
        pthread_cond_signal(&c->wake);
    }
}

void machine_unlock(struct machine *m)
{
    struct machine_threads *t = m->threads;

    if (!t) return;
    if (!--t->depth) {
        wake_cpus(m);
        t->base = NULL;
    }
    m->running = t->base;
    pthread_mutex_unlock(&t->lock);
}

void machine_threads_wake(struct machine *m)
{
    if (m->threads && m->threads->waiting && m->host_wake) m->host_wake(m->host_poll_opaque);
}

/* ---- stopping ---- */

/* What the counts lack to the time of now. */
static void note_time(struct machine *m)
{
    uint64_t n = 0, now = clock_now(m->clock);

    for (unsigned i = 0; i < m->n_cpus; i++) n += cpu_icount(m->cpu[i]);
    m->idle_ns = now - (n << m->cfg.icount_shift);
}

void machine_hold(struct machine *m)
{
    struct machine_threads *t = m->threads;

    if (!t || t->holds++) return;
    while (t->busy) {
        for (unsigned i = 0; i < m->n_cpus; i++) cpu_kick(m->cpu[i]);
        t->depth = 0; /* of the main thread, which has locked once */
        pthread_cond_wait(&t->stopped, &t->lock);
        t->depth = 1, t->base = NULL;
    }
    m->running = NULL; /* others held the machine meanwhile */
    if (m->live) note_time(m);
}

void machine_release(struct machine *m)
{
    struct machine_threads *t = m->threads;

    if (!t || --t->holds) return;
    pthread_cond_broadcast(&t->go);
    for (unsigned i = 0; i < m->n_cpus; i++) cpu_kick(m->cpu[i]); /* one that sleeps may have been given another state */
}

void machine_threads_live(struct machine *m, bool live)
{
    if (!m->threads || m->live == live) return;
    if (live) machine_pace(m);
    else note_time(m);
    m->live = live;
}

/* ---- a CPU's thread ---- */

static void *run_cpu(void *opaque)
{
    struct thread_cpu *c = opaque;
    struct machine *m = c->m;
    struct machine_threads *t = m->threads;
    struct cpu *cpu = c->cpu;

    pthread_mutex_lock(&t->lock);
    while (!t->quit) {
        if (t->holds || m->state != MACHINE_RUNNING || atomic_load(&m->events)) {
            pthread_cond_wait(&t->go, &t->lock);
            continue;
        }
        (void)atomic_xchg_u32(&cpu->kick, 0);
        if (!cpu_awake(cpu)) {
            c->asleep = true;
            t->asleep++;
            while (c->asleep) pthread_cond_wait(&c->wake, &t->lock);
            continue;
        }
        t->busy++;
        pthread_mutex_unlock(&t->lock);
        enum run_exit x = engine_run(cpu, UINT64_MAX);
        pthread_mutex_lock(&t->lock);
        if (!--t->busy) pthread_cond_signal(&t->stopped);
        if (x == RUN_DEBUG) {
            machine_post(m, MACHINE_DEBUG);
            machine_threads_wake(m);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* Signals are for the main thread. */
static bool start(struct machine *m, unsigned n)
{
    struct thread_cpu *c = &m->threads->cpu[n];
    sigset_t all, old;

    c->m = m, c->cpu = m->cpu[n];
    pthread_cond_init(&c->wake, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&c->id, NULL, run_cpu, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) pthread_cond_destroy(&c->wake);
    return !rc;
}

static void stop_all(struct machine *m, unsigned n)
{
    struct machine_threads *t = m->threads;

    t->quit = true;
    for (unsigned i = 0; i < m->n_cpus; i++) cpu_kick(m->cpu[i]);
    pthread_cond_broadcast(&t->go);
    machine_unlock(m);
    for (unsigned i = 0; i < n; i++) {
        pthread_join(t->cpu[i].id, NULL);
        pthread_cond_destroy(&t->cpu[i].wake);
    }
}

/* ---- the main thread ---- */

static void wait_host(struct machine *m, uint64_t wait)
{
    struct timespec short_time = {0, BLIND_WAIT_NS};

    if (m->host_poll) {
        m->host_poll(m->host_poll_opaque, wait);
    } else if (wait) {
        machine_host_waits(m, true);
        if (wait < BLIND_WAIT_NS) short_time.tv_nsec = (long)wait;
        nanosleep(&short_time, NULL);
        machine_host_waits(m, false);
    }
}

void machine_host_waits(struct machine *m, bool waits)
{
    struct machine_threads *t = m->threads;

    if (!t) return;
    if (waits) {
        t->waiting = true;
        machine_unlock(m);
    } else {
        machine_lock(m, NULL);
        t->waiting = false;
    }
}

static void serve(struct machine *m)
{
    for (;;) {
        uint64_t wait = MAX_WAIT_NS;
        if (atomic_load(&m->events)) {
            machine_hold(m);
            uint32_t end = machine_take_events(m);
            machine_release(m);
            if (end) return;
            continue;
        }
        if (m->state == MACHINE_RUNNING) {
            uint64_t now = clock_now(m->clock), next = clock_next(m->clock);
            if (next <= now) {
                clock_run(m->clock, now);
                if (atomic_load(&m->events)) continue;
                next = clock_next(m->clock);
                now = clock_now(m->clock);
            }
            if (next != TIME_NEVER) wait = MIN(wait, next > now ? next - now : 0);
        }
        wait_host(m, wait);
    }
}

int machine_run_threads(struct machine *m)
{
    struct machine_threads *t = NEW(struct machine_threads);
    pthread_mutexattr_t recursive;
    unsigned n = 0;

    if (m->cpu[0]->guest->ordered && !HOST_ORDERED)
        error_warn("thread=multi: this host orders accesses to memory less than %s does; programs that count on it may fail", m->cfg.isa->name);
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&t->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    pthread_rwlock_init(&t->map, NULL);
    pthread_cond_init(&t->stopped, NULL);
    pthread_cond_init(&t->go, NULL);
    for (unsigned i = 0; i < m->n_cpus; i++) m->cpu[i]->parallel = true;
    m->threads = t;
    machine_lock(m, NULL);
    if (m->state == MACHINE_RUNNING) machine_threads_live(m, true);
    while (n < m->n_cpus && start(m, n)) n++;
    if (n == m->n_cpus) serve(m);
    else error_report("the host has no more than %u threads for %u CPUs", n, m->n_cpus);
    machine_hold(m);
    machine_threads_live(m, false);
    stop_all(m, n);
    m->threads = NULL;
    for (unsigned i = 0; i < m->n_cpus; i++) m->cpu[i]->parallel = false;
    pthread_cond_destroy(&t->stopped);
    pthread_cond_destroy(&t->go);
    pthread_rwlock_destroy(&t->map);
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
    return n < m->n_cpus ? 1 : m->mb->exit_code;
}
