/*
 * clock.h - guest time, timers, and the one event heap.
 *
 * Guest time is in nanoseconds since machine start, and derives from retired instructions (or jumps
 * to the next event while every CPU waits). Events fire in order of (deadline, sequence of arming).
 * All of a machine's devices use one struct bus_clock.
 */
#ifndef BUS_CLOCK_H
#define BUS_CLOCK_H

#include "util/host.h"

#define NS_PER_SEC UINT64_C(1000000000)
#define TIME_NEVER UINT64_MAX

struct bus_clock;
typedef void (*timer_fn)(void *opaque);

struct timer {          /* embed in device state as ST_TIMER */
    struct bus_clock *clock;
    timer_fn fn;
    void *opaque;
    uint64_t deadline;  /* ns; TIME_NEVER: not armed */
    uint64_t seq;       /* order among equals */
    uint32_t heap_pos;  /* 0: not in the heap */
};

struct bus_clock *clock_new(void);
void clock_delete(struct bus_clock *); /* its timers must not be touched afterwards */
/* Exact also while a CPU runs (the machine connects now() to cpu_icount). */
uint64_t clock_now(struct bus_clock *);
/* Connects time's source; called by the machine. now(opaque) must be monotonic. resched is called whenever
 * the earliest deadline became nearer (the machine then shortens the CPU's budget). */
void clock_connect(struct bus_clock *, uint64_t (*now)(void *), void (*resched)(void *), void *opaque);
uint64_t clock_next(const struct bus_clock *);     /* earliest deadline or TIME_NEVER */
/* Fires everything due at or before `until`, in order; also what is armed meanwhile (a handler that keeps arming
 * itself for now is cut off after many rounds, and goes on at the next call). */
void clock_run(struct bus_clock *, uint64_t until);
/* The number given to the last arming: saved and restored with the timers, so that ties stay ties. */
uint64_t clock_seq(const struct bus_clock *);
void clock_set_seq(struct bus_clock *, uint64_t seq);

void timer_init(struct timer *, struct bus_clock *, timer_fn, void *opaque);
void timer_arm(struct timer *, uint64_t deadline_ns); /* re-arming moves it; a deadline in the past fires at once when the CPU next leaves */
void timer_cancel(struct timer *);
/* Loading state: arms with a sequence number of before (TIME_NEVER: cancels). */
void timer_restore(struct timer *, uint64_t deadline_ns, uint64_t seq);
static inline bool timer_armed(const struct timer *t) { return t->clock && t->deadline != TIME_NEVER; }

/* Ticks of a clock of hz at time ns, without overflow or drift: floor(ns * hz / 1e9). */
uint64_t clock_ticks(uint64_t ns, uint64_t hz);
/* First time (ns) at which the tick count is at least `ticks`: ceil(ticks * 1e9 / hz). */
uint64_t clock_ticks_to_ns(uint64_t ticks, uint64_t hz);

#endif
