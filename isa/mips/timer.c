/*
 * timer.c - Count and Compare on guest time.
 *
 * Count advances at clock_hz / cc_res. It is never stored while it runs: count_base is Count minus
 * the ticks since time 0. A match is an event at the first nanosecond at which Count equals
 * Compare. Without a clock (user mode, tests) Count follows retired instructions and no match
 * fires. Follows MD00091 section 9 (Count, Compare, Cause.DC and TI).
 */
#include "isa/mips/priv.h"

static uint64_t count_hz(const struct mips_cpu *m)
{
    uint64_t hz = m->clock_hz / (m->model->cc_res ? m->model->cc_res : 1);
    return hz ? hz : 1;
}

static uint64_t ticks_now(struct mips_cpu *m)
{
    if (!m->clock) return cpu_icount(&m->c) / 2;
    return clock_ticks(clock_now(m->clock), count_hz(m));
}

/* While stopped, count_base holds Count itself. */
uint32_t mips_count_read(struct mips_cpu *m)
{
    return (uint32_t)(m->count_stopped ? m->count_base : m->count_base + ticks_now(m));
}

static void arm(struct mips_cpu *m)
{
    if (!m->clock) return;
    if (m->count_stopped) {
        timer_cancel(&m->timer);
        return;
    }
    uint64_t now = ticks_now(m);
    uint32_t delta = m->compare - (uint32_t)(m->count_base + now);
    /* Equal already: the comparator sees the next time that Count gets there. */
    timer_arm(&m->timer, clock_ticks_to_ns(now + (delta ? delta : UINT64_C(1) << 32), count_hz(m)));
}

static void match(void *opaque)
{
    struct mips_cpu *m = opaque;
    m->cause |= CA_TI;
    mips_update_irq(m);
    arm(m);
}

void mips_timer_poll(struct mips_cpu *m)
{
    if (m->clock && timer_armed(&m->timer) && m->timer.deadline <= clock_now(m->clock)) match(m);
}

void mips_count_write(struct mips_cpu *m, uint32_t value)
{
    m->count_base = (uint32_t)(m->count_stopped ? value : value - ticks_now(m));
    arm(m);
}

void mips_count_stop(struct mips_cpu *m, bool stop)
{
    if (stop == m->count_stopped) return;
    uint32_t count = mips_count_read(m);
    m->count_stopped = stop;
    mips_count_write(m, count);
}

void mips_compare_write(struct mips_cpu *m, uint32_t value)
{
    m->compare = value;
    m->cause &= ~(uint32_t)CA_TI;
    mips_update_irq(m);
    arm(m);
}

void mips_timer_reset(struct mips_cpu *m)
{
    m->count_stopped = false;
    m->count_base = 0;
    m->compare = 0;
    mips_count_write(m, 0);
}

void mips_connect_clock(struct cpu *cpu, struct bus_clock *clock)
{
    struct mips_cpu *m = mips_cpu(cpu);
    uint32_t count = mips_count_read(m);
    m->clock = clock;
    timer_init(&m->timer, clock, match, m);
    mips_count_write(m, count);
}
