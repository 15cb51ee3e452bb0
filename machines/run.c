/*
 * run.c - the main loop: instructions, guest time, events, waiting, and the host's turn.
 *
 * Guest time is (retired instructions << icount_shift) + idle_ns. Execution is cut at the next event's deadline, and
 * also wherever it suits the host; a guest cannot tell the second kind of cut: nothing happens at it, and
 * interrupts are taken at the same instruction with or without it. What comes in through host_poll is the one
 * thing from outside.
 */
#include "machines/run.h"
#include "machines/threads.h"

#include <errno.h>
#include <time.h>

enum {
    POLL_NS = 1000000,       /* between looks at the host's events while the guest is busy */
    MAX_WAIT_NS = 100000000, /* the longest wait in one go: events may be posted by other threads */
    /* Instructions before the next CPU has its turn. A prime: a CPU that releases and takes a lock in a loop is interrupted
     * at every place of the loop in time, not always while it has the lock. */
    TURN = 9973,
    MIN_SLICE = 10000, MAX_SLICE = 4000000,
};

static uint64_t host_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* ---- events ---- */
void machine_post(struct machine *m, enum machine_event e)
{
    atomic_fetch_or(&m->events, (uint32_t)e);
    for (unsigned i = 0; i < m->n_cpus; i++) cpu_kick(m->cpu[i]);
}

uint64_t machine_now(struct machine *m)
{
    uint64_t n = 0;

    if (m->live) return host_now() - m->host_base;
    for (unsigned i = 0; i < m->n_cpus; i++) n += cpu_icount(m->cpu[i]);
    return (n << m->cfg.icount_shift) + m->idle_ns;
}

void machine_pace(struct machine *m)
{
    bool live = m->live;

    m->live = false; /* what counts is what the CPUs' counts say */
    m->host_base = host_now() - machine_time(m);
    m->live = live;
}

void machine_set_state(struct machine *m, enum machine_state s)
{
    if (m->state == s) return;
    machine_hold(m);
    m->state = s;
    machine_threads_live(m, s == MACHINE_RUNNING);
    if (s == MACHINE_RUNNING) machine_pace(m); /* no catching up on a pause */
    else if (m->running) cpu_kick(m->running);
    if (m->on_state) m->on_state(m->on_state_opaque, m, s);
    machine_release(m);
}

static void tell(struct machine *m, enum machine_event e)
{
    if (m->on_event) m->on_event(m->on_event_opaque, m, e);
}

uint32_t machine_take_events(struct machine *m)
{
    uint32_t ev = atomic_exchange(&m->events, 0), end = ev & MACHINE_QUIT;

    if (ev & MACHINE_RESET) {
        tell(m, MACHINE_RESET);
        if (m->no_reboot) ev |= MACHINE_POWEROFF;
        else machine_reset(m);
    }
    if (ev & MACHINE_POWEROFF) {
        tell(m, MACHINE_POWEROFF);
        machine_set_state(m, MACHINE_SHUTDOWN);
        if (!m->no_shutdown) end |= MACHINE_POWEROFF;
    }
    if (ev & MACHINE_POWERDOWN) {
        tell(m, MACHINE_POWERDOWN);
        if (m->cfg.board->powerdown) m->cfg.board->powerdown(m);
    }
    if (m->state != MACHINE_SHUTDOWN) {
        if (ev & MACHINE_STOP) machine_set_state(m, MACHINE_PAUSED);
        if (ev & MACHINE_DEBUG) machine_set_state(m, MACHINE_DEBUGGED);
    }
    return end;
}

/* ---- execution ---- */
bool cpu_awake(struct cpu *cpu)
{
    return !cpu->halted || cpu->guest->has_work(cpu);
}

/* The CPU to run next, and how long it may; NULL: all wait. */
static struct cpu *pick(struct machine *m, uint64_t *most)
{
    if (m->n_cpus == 1) return cpu_awake(m->cpu[0]) ? m->cpu[0] : NULL;
    for (unsigned i = 0; i <= m->n_cpus; i++) {
        struct cpu *cpu = m->cpu[m->turn];
        if (m->turn_left && cpu_awake(cpu)) {
            *most = MIN(*most, m->turn_left);
            return cpu;
        }
        m->turn = (m->turn + 1) % m->n_cpus;
        m->turn_left = TURN;
    }
    return NULL;
}

enum ran { RAN, ALL_WAIT, STOPPED };

/* Fires what is due, then runs one CPU up to the next event, `until` (guest ns), or `most` instructions. */
static enum ran run_some(struct machine *m, uint64_t until, uint64_t most)
{
    uint64_t t = clock_now(m->clock), next = clock_next(m->clock);
    unsigned shift = m->cfg.icount_shift;

    if (next <= t) {
        clock_run(m->clock, t);
        if (atomic_load(&m->events)) return RAN; /* a reset comes before the next instruction */
        next = clock_next(m->clock);
    }
    struct cpu *cpu = pick(m, &most);
    if (!cpu) return ALL_WAIT;
    next = MIN(next, until);
    if (next <= t) {
        most = 1; /* a timer that is always due does not stop the guest */
    } else if (next != TIME_NEVER) {
        uint64_t n = ((next - t - 1) >> shift) + 1;
        most = MIN(most, n);
    }

    uint64_t before = cpu_icount(cpu);
    m->running = cpu;
    m->budget_end = t + (most << shift);
    enum run_exit x = engine_run(cpu, most);
    m->running = NULL;
    uint64_t did = cpu_icount(cpu) - before;
    m->turn_left -= MIN(did, m->turn_left);
    if (x == RUN_DEBUG) {
        machine_set_state(m, MACHINE_DEBUGGED);
        return STOPPED;
    }
    return RAN;
}

static void advance(struct machine *m, uint64_t to)
{
    uint64_t t = clock_now(m->clock);
    if (to != TIME_NEVER && to > t) m->idle_ns += to - t;
}

void machine_step(struct machine *m, uint64_t n_insns)
{
    unsigned shift = m->cfg.icount_shift;
    uint64_t t = clock_now(m->clock);
    uint64_t until = n_insns > (TIME_NEVER - 1 - t) >> shift ? TIME_NEVER - 1 : t + (n_insns << shift);

    enum machine_state state = m->state;

    while (clock_now(m->clock) < until) {
        uint32_t end = machine_take_events(m);
        if (end) atomic_fetch_or(&m->events, end);
        if (end || m->state != state) return;
        switch (run_some(m, until, UINT64_C(1) << 40)) {
        case STOPPED: return;
        case ALL_WAIT: advance(m, MIN(until, clock_next(m->clock))); break;
        case RAN: break;
        }
    }
}

/* ---- the host's turn ---- */
static void poll_host(struct machine *m, uint64_t wait)
{
    if (m->host_poll) {
        m->host_poll(m->host_poll_opaque, wait);
    } else if (wait) {
        struct timespec t = { (time_t)(wait / NS_PER_SEC), (long)(wait % NS_PER_SEC) };
        while (nanosleep(&t, &t) && errno == EINTR && !atomic_load(&m->events)) continue;
    }
    m->last_poll = host_now();
}

/* Every CPU waits: time goes on to the next event, at the host's pace when asked so. */
static void idle(struct machine *m)
{
    uint64_t next = clock_next(m->clock);
    uint64_t host = host_now();
    uint64_t pace = host - m->host_base; /* where guest time should be */
    uint64_t now = clock_now(m->clock);
    if (pace < now) { /* busy stretches ran ahead of the host: that lead is kept, not waited for, or the guest would be deaf */
        m->host_base = host - now;
        pace = now;
    }

    if (next != TIME_NEVER && (!m->cfg.icount_sleep || next <= pace)) {
        if (host - m->last_poll >= POLL_NS) {
            poll_host(m, 0); /* which may have woken a CPU */
            return;
        }
        advance(m, next);
        return;
    }
    uint64_t wait = MAX_WAIT_NS;
    if (next != TIME_NEVER) wait = MIN(wait, next - pace);
    poll_host(m, wait);
    if (m->cfg.icount_sleep && m->state == MACHINE_RUNNING)
        advance(m, MIN(m->last_poll - m->host_base, clock_next(m->clock)));
}

int machine_run(struct machine *m)
{
    if (m->cfg.engine.threads && m->n_cpus > 1) return machine_run_threads(m);
    m->last_poll = host_now();
    for (;;) {
        if (machine_take_events(m)) return m->mb->exit_code;
        if (m->state != MACHINE_RUNNING) {
            poll_host(m, MAX_WAIT_NS);
            continue;
        }
        uint64_t start = host_now(), slice = m->slice;
        if (start - m->last_poll >= POLL_NS) {
            poll_host(m, 0);
            start = m->last_poll;
            if (m->state != MACHINE_RUNNING || atomic_load(&m->events)) continue;
        }
        uint64_t icount = machine_time(m);
        enum ran r = run_some(m, TIME_NEVER, slice);
        if (r == ALL_WAIT) {
            idle(m);
            continue;
        }
        /* The slice follows the speed of this host and this engine. */
        uint64_t took = host_now() - start;
        bool whole = (machine_time(m) - icount) >> m->cfg.icount_shift >= slice;
        if (took > 2 * POLL_NS && slice > MIN_SLICE) m->slice = slice / 2;
        else if (whole && took < POLL_NS / 2 && slice < MAX_SLICE) m->slice = slice * 2;
    }
}
