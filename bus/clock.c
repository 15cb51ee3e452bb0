/*
 * clock.c - timers in a binary heap ordered by (deadline, sequence of arming), and tick arithmetic.
 *
 * Not here: where time comes from (the machine connects that).
 */
#include "bus/clock.h"
#include "util/log.h"

#include <inttypes.h>

struct bus_clock {
    struct timer **heap; /* 1-based: heap[0] is unused */
    uint32_t n, cap;
    uint64_t seq;
    uint64_t (*now)(void *);
    void (*resched)(void *);
    void *opaque;
};

enum { MAX_FIRES = 1 << 16 }; /* of one clock_run */

struct bus_clock *clock_new(void)
{
    return NEW(struct bus_clock);
}

void clock_delete(struct bus_clock *c)
{
    if (!c) return;
    mem_free(c->heap);
    mem_free(c);
}

uint64_t clock_now(struct bus_clock *c)
{
    return c->now ? c->now(c->opaque) : 0;
}

void clock_connect(struct bus_clock *c, uint64_t (*now)(void *), void (*resched)(void *),
                   void *opaque)
{
    c->now = now, c->resched = resched, c->opaque = opaque;
}

uint64_t clock_next(const struct bus_clock *c)
{
    return c->n ? c->heap[1]->deadline : TIME_NEVER;
}

uint64_t clock_seq(const struct bus_clock *c)
{
    return c->seq;
}

void clock_set_seq(struct bus_clock *c, uint64_t seq)
{
    c->seq = seq;
}

/* ---- the heap ---- */
static bool before(const struct timer *a, const struct timer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->seq < b->seq;
}

static void place(struct bus_clock *c, uint32_t i, struct timer *t)
{
    c->heap[i] = t;
    t->heap_pos = i;
}

static void sift_up(struct bus_clock *c, uint32_t i)
{
    struct timer *t = c->heap[i];
    for (; i > 1 && before(t, c->heap[i / 2]); i /= 2) place(c, i, c->heap[i / 2]);
    place(c, i, t);
}

static void sift_down(struct bus_clock *c, uint32_t i)
{
    struct timer *t = c->heap[i];
    for (;;) {
        uint32_t k = 2 * i;
        if (k > c->n) break;
        if (k < c->n && before(c->heap[k + 1], c->heap[k])) k++;
        if (!before(c->heap[k], t)) break;
        place(c, i, c->heap[k]);
        i = k;
    }
    place(c, i, t);
}

static void heap_remove(struct timer *t)
{
    struct bus_clock *c = t->clock;
    uint32_t i = t->heap_pos;
    if (!i) return;
    t->heap_pos = 0;
    struct timer *last = c->heap[c->n--];
    if (last == t) return;
    place(c, i, last);
    sift_up(c, i);
    sift_down(c, last->heap_pos);
}

static void heap_insert(struct timer *t)
{
    struct bus_clock *c = t->clock;
    if (c->n + 2 > c->cap) {
        c->cap = c->cap ? c->cap * 2 : 32;
        c->heap = mem_realloc(c->heap, sizeof *c->heap * c->cap);
    }
    place(c, ++c->n, t);
    sift_up(c, c->n);
}

/* ---- timers ---- */
void timer_init(struct timer *t, struct bus_clock *c, timer_fn fn, void *opaque)
{
    t->clock = c, t->fn = fn, t->opaque = opaque;
    t->deadline = TIME_NEVER;
    t->seq = 0;
    t->heap_pos = 0;
}

static void arm(struct timer *t, uint64_t deadline, uint64_t seq)
{
    struct bus_clock *c = t->clock;
    if (!c) return;
    uint64_t next = clock_next(c);
    heap_remove(t);
    t->deadline = deadline;
    t->seq = seq;
    if (deadline == TIME_NEVER) return;
    heap_insert(t);
    if (deadline < next && c->resched) c->resched(c->opaque);
}

void timer_arm(struct timer *t, uint64_t deadline)
{
    if (t->clock) arm(t, deadline, ++t->clock->seq);
}

void timer_restore(struct timer *t, uint64_t deadline, uint64_t seq)
{
    arm(t, deadline, seq);
}

void timer_cancel(struct timer *t)
{
    if (!t->clock) return;
    heap_remove(t);
    t->deadline = TIME_NEVER;
}

void clock_run(struct bus_clock *c, uint64_t until)
{
    for (unsigned fires = 0; c->n && c->heap[1]->deadline <= until; fires++) {
        if (fires == MAX_FIRES) {
            LOG(GUEST_ERRORS, "clock: a timer keeps firing at %" PRIu64 " ns\n", until);
            return;
        }
        struct timer *t = c->heap[1];
        heap_remove(t);
        t->deadline = TIME_NEVER;
        t->fn(t->opaque);
    }
}

/* ---- ticks ---- */

/* floor((hi:lo) / d), saturated to 64 bits; *rem gets the remainder (undefined when saturated). */
static uint64_t div128(uint64_t hi, uint64_t lo, uint64_t d, uint64_t *rem)
{
    if (!hi) {
        *rem = lo % d;
        return lo / d;
    }
    if (hi >= d) {
        *rem = 0;
        return UINT64_MAX;
    }
    uint64_t q = 0;
    for (int i = 63; i >= 0; i--) { /* hi < d: the quotient has at most 64 bits */
        bool carry = hi >> 63;
        hi = hi << 1 | ((lo >> i) & 1);
        q <<= 1;
        if (carry || hi >= d) hi -= d, q |= 1;
    }
    *rem = hi;
    return q;
}

uint64_t clock_ticks(uint64_t ns, uint64_t hz)
{
    uint64_t hi, rem, lo = host_mul64u(ns % NS_PER_SEC, hz, &hi);
    return ns / NS_PER_SEC * hz + div128(hi, lo, NS_PER_SEC, &rem);
}

uint64_t clock_ticks_to_ns(uint64_t ticks, uint64_t hz)
{
    if (!hz) return TIME_NEVER;
    uint64_t hi, rem, lo = host_mul64u(ticks % hz, NS_PER_SEC, &hi);
    uint64_t part = div128(hi, lo, hz, &rem) + (rem != 0); /* at most 1e9 */
    uint64_t sec = ticks / hz;
    if (sec > (UINT64_MAX - part) / NS_PER_SEC) return TIME_NEVER;
    return sec * NS_PER_SEC + part;
}
