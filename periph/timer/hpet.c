/*
 * hpet.c - high precision event timer: a 64-bit counter of 100 MHz and three comparators.
 *
 * Follows the IA-PC HPET specification 1.0a. Message signalled interrupts (FSB) are not there, and
 * the capability bits say so. Comparators count guest time; no tick of the counter is an event.
 */
#include "periph/timer/hpet.h"

#include "periph/regions.h"
#include "util/log.h"

#define PERIOD_FS  10000000u /* 10 ns */
#define NS_PER_TICK 10

enum { N_TIMERS = 3 };
enum {
    R_ID = 0x00,
    R_CONFIG = 0x10,
    R_STATUS = 0x20,
    R_COUNTER = 0xf0,
    R_TIMER = 0x100,
    R_TIMER_SIZE = 0x20,
    TIMER_CONFIG = 0x00,
    TIMER_COMPARATOR = 0x08
};
enum { CFG_ENABLE = 1, CFG_LEGACY = 2 };
enum {
    T_LEVEL = 1 << 1,
    T_ENABLE = 1 << 2,
    T_PERIODIC = 1 << 3,
    T_CAN_PERIODIC = 1 << 4,
    T_CAN_64 = 1 << 5,
    T_SET_VALUE = 1 << 6,
    T_32 = 1 << 8,
    T_ROUTE_SHIFT = 9
};
enum { T_WRITABLE = T_LEVEL | T_ENABLE | T_PERIODIC | T_SET_VALUE | T_32 | 31 << T_ROUTE_SHIFT };
#define ROUTES UINT64_C(0x00ff0000) /* I/O APIC inputs 16 to 23 */

struct hpet;
struct comparator {
    uint64_t config, value, period;
    struct timer timer;
    struct hpet *owner;
};

struct hpet {
    struct device dev;
    uint64_t config, status;
    uint64_t counter; /* its value when it does not run; else at guest time `start` */
    uint64_t start;
    struct comparator t[N_TIMERS];
    bool in[HPET_INPUTS];
    struct irq_line out[HPET_OUTPUTS];
};

static uint64_t counter(const struct hpet *s)
{
    if (!(s->config & CFG_ENABLE)) return s->counter;
    return s->counter + (clock_now(s->dev.clock) - s->start) / NS_PER_TICK;
}

static unsigned index_of(const struct comparator *t)
{
    return (unsigned)(t - t->owner->t);
}

/* The output a comparator drives. */
static unsigned route(const struct comparator *t)
{
    unsigned n = index_of(t);
    if ((t->owner->config & CFG_LEGACY) && n < 2) return n ? 8 : 0;
    return t->config >> T_ROUTE_SHIFT & 31;
}

static void update_outputs(struct hpet *s)
{
    bool level[HPET_OUTPUTS] = {false};
    if (!(s->config & CFG_LEGACY)) level[0] = s->in[HPET_IN_PIT], level[8] = s->in[HPET_IN_RTC];
    for (unsigned i = 0; i < N_TIMERS; i++) {
        unsigned r = route(&s->t[i]);
        if ((s->t[i].config & T_LEVEL) && (s->t[i].config & T_ENABLE) && (s->status >> i & 1) &&
            r < HPET_OUTPUTS)
            level[r] = true;
    }
    for (unsigned i = 0; i < HPET_OUTPUTS; i++)
        irq_set(&s->out[i], level[i]);
}

static uint64_t mask_of(const struct comparator *t)
{
    return t->config & T_32 ? 0xffffffffu : UINT64_MAX;
}

/* Arms the event of the next match. */
static void arm(struct comparator *t)
{
    struct hpet *s = t->owner;
    if (!(s->config & CFG_ENABLE)) {
        timer_cancel(&t->timer);
        return;
    }
    uint64_t m = mask_of(t), now = counter(s), left;
    if ((t->config & T_PERIODIC) && t->period) {
        /* Periods that passed while nobody could be told are skipped. */
        uint64_t behind = (now - t->value) & m;
        if (behind <= m >> 1) t->value = (t->value + (behind / t->period + 1) * t->period) & m;
    }
    left = (t->value - now) & m;
    if (!left) left = m; /* it was now: the next time is after wrapping around */
    if (left > UINT64_MAX / 32) {
        timer_cancel(&t->timer);
        return;
    }
    uint64_t fraction = (clock_now(s->dev.clock) - s->start) % NS_PER_TICK;
    timer_arm(&t->timer, clock_now(s->dev.clock) + left * NS_PER_TICK - fraction);
}

static void match(void *opaque)
{
    struct comparator *t = opaque;
    struct hpet *s = t->owner;
    unsigned r = route(t);
    if (t->config & T_LEVEL) s->status |= UINT64_C(1) << index_of(t);
    if ((t->config & T_ENABLE) && !(t->config & T_LEVEL) && r < HPET_OUTPUTS) irq_pulse(&s->out[r]);
    update_outputs(s);
    arm(t);
}

static void arm_all(struct hpet *s)
{
    for (unsigned i = 0; i < N_TIMERS; i++)
        arm(&s->t[i]);
}

static void hpet_input(void *opaque, unsigned n, bool level)
{
    struct hpet *s = opaque;
    if (n >= HPET_INPUTS) return;
    s->in[n] = level;
    if (!(s->config & CFG_LEGACY)) irq_set(&s->out[n ? 8 : 0], level);
}

/* ---- registers: 64 bits each, accessed whole or by halves ---- */

static uint64_t reg(struct hpet *s, unsigned at)
{
    switch (at) {
    case R_ID: return (uint64_t)PERIOD_FS << 32 | 0x8086a001u | (N_TIMERS - 1) << 8;
    case R_CONFIG: return s->config;
    case R_STATUS: return s->status;
    case R_COUNTER: return counter(s);
    default: break;
    }
    unsigned n = (at - (unsigned)R_TIMER) / R_TIMER_SIZE;
    if (at < R_TIMER || n >= N_TIMERS) return 0;
    switch ((at - R_TIMER) % R_TIMER_SIZE) {
    case TIMER_CONFIG:
        return s->t[n].config | T_CAN_PERIODIC | T_CAN_64 | ROUTES << 32;
    case TIMER_COMPARATOR: return s->t[n].value;
    default: return 0;
    }
}

static void write_config(struct hpet *s, uint64_t v)
{
    uint64_t now = counter(s);
    s->config = v & (CFG_ENABLE | CFG_LEGACY);
    s->counter = now;
    s->start = clock_now(s->dev.clock);
    arm_all(s);
    update_outputs(s);
}

static void write_timer(struct hpet *s, struct comparator *t, unsigned at, uint64_t v)
{
    if (at == TIMER_CONFIG) {
        t->config = v & T_WRITABLE;
        if (!(ROUTES >> (t->config >> T_ROUTE_SHIFT & 31) & 1))
            t->config &= ~(UINT64_C(31) << T_ROUTE_SHIFT); /* a route that is not there is not kept */
        if (t->config & T_32) t->value &= 0xffffffffu, t->period &= 0xffffffffu;
        if (!(t->config & T_LEVEL)) s->status &= ~(UINT64_C(1) << index_of(t));
    } else if (at == TIMER_COMPARATOR) {
        v &= mask_of(t);
        if (!(t->config & T_PERIODIC) || (t->config & T_SET_VALUE)) t->value = v;
        if (t->config & T_PERIODIC) {
            if (!(t->config & T_SET_VALUE) || !t->period) t->period = v;
        }
        t->config &= ~(uint64_t)T_SET_VALUE;
    }
    arm(t);
    update_outputs(s);
}

static void write_reg(struct hpet *s, unsigned at, uint64_t v)
{
    switch (at) {
    case R_CONFIG: write_config(s, v); return;
    case R_STATUS:
        s->status &= ~v;
        update_outputs(s);
        return;
    case R_COUNTER:
        if (s->config & CFG_ENABLE)
            LOG(GUEST_ERRORS, "hpet: the counter is written while it runs\n");
        s->counter = v;
        s->start = clock_now(s->dev.clock);
        arm_all(s);
        return;
    default: break;
    }
    unsigned n = (at - (unsigned)R_TIMER) / R_TIMER_SIZE;
    if (at >= R_TIMER && n < N_TIMERS)
        write_timer(s, &s->t[n], (at - R_TIMER) % R_TIMER_SIZE, v);
}

static uint64_t hpet_read(void *opaque, uint64_t addr, unsigned size)
{
    uint64_t v = reg(opaque, (unsigned)addr & ~7u);
    return size == 8 ? v : v >> (addr & 4) * 8;
}

static void hpet_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct hpet *s = opaque;
    unsigned at = (unsigned)addr & ~7u;
    if (size == 4) {
        uint64_t old = at == R_STATUS ? 0 : reg(s, at);
        /* The comparator's halves: a write means the whole period or value, of which the other half
         * is kept. */
        if (addr & 4)
            value = (old & 0xffffffffu) | value << 32;
        else
            value = (old & ~UINT64_C(0xffffffff)) | (uint32_t)value;
        if (at == R_STATUS) value = addr & 4 ? value & ~UINT64_C(0xffffffff) : value & 0xffffffffu;
    }
    write_reg(s, at, value);
}

static const struct mmio_ops ops = {.read = hpet_read,
                                    .write = hpet_write,
                                    .min_size = 1,
                                    .max_size = 8,
                                    .impl_min = 4,
                                    .impl_max = 8};

/* ---- life ---- */

static int hpet_realize(struct device *d, struct error *e)
{
    struct hpet *s = (struct hpet *)d;
    for (unsigned i = 0; i < N_TIMERS; i++) {
        s->t[i].owner = s;
        timer_init(&s->t[i].timer, d->clock, match, &s->t[i]);
    }
    periph_make_mmio(d, 0, "hpet", 0x400, &ops);
    return 0;
}

static void hpet_unrealize(struct device *d)
{
    struct hpet *s = (struct hpet *)d;
    for (unsigned i = 0; i < N_TIMERS && s->t[i].owner; i++)
        timer_cancel(&s->t[i].timer);
    periph_drop_regions(d);
}

static void hpet_reset(struct device *d)
{
    struct hpet *s = (struct hpet *)d;
    s->start = clock_now(d->clock);
    for (unsigned i = 0; i < N_TIMERS; i++) {
        s->t[i].config = s->t[i].period = 0;
        s->t[i].value = UINT64_MAX;
        timer_cancel(&s->t[i].timer);
    }
    update_outputs(s);
}

static int hpet_post_load(struct device *d, struct error *e)
{
    update_outputs((struct hpet *)d);
    return 0;
}

static const struct state_field comparator_state[] = {
    STATE_INT(struct comparator, config), STATE_INT(struct comparator, value),
    STATE_INT(struct comparator, period), STATE_TIMER(struct comparator, timer),
    STATE_RUNTIME(struct comparator, owner), STATE_END,
};
static const struct state_field state[] = {
    STATE_INT_RESET(struct hpet, config, 0),
    STATE_INT_RESET(struct hpet, status, 0),
    STATE_INT_RESET(struct hpet, counter, 0),
    STATE_INT(struct hpet, start),
    STATE_STRUCT(struct hpet, t, N_TIMERS, comparator_state),
    STATE_ARR(struct hpet, in), /* not reset: driven from outside */
    STATE_RUNTIME(struct hpet, out),
    STATE_END,
};
static const struct prop_desc props[] = {PROP_END};
static const struct reg_desc regs[] = {
    {R_ID, "GCAP_ID", 8},     {R_CONFIG, "GEN_CONF", 8},  {R_STATUS, "GINTR_STA", 8},
    {R_COUNTER, "MAIN_CNT", 8}, {0x100, "TIM0_CONF", 8}, {0x108, "TIM0_COMP", 8},
    {0x120, "TIM1_CONF", 8},  {0x128, "TIM1_COMP", 8},    {0x140, "TIM2_CONF", 8},
    {0x148, "TIM2_COMP", 8},  REG_END};

const struct dev_desc hpet_desc = {
    .name = "hpet",
    .help = "high precision event timer",
    .bus = BUS_SYSTEM,
    .category = DEV_TIMER,
    .size = sizeof(struct hpet),
    .props = props,
    .state = state,
    .regs = regs,
    .realize = hpet_realize,
    .unrealize = hpet_unrealize,
    .reset = hpet_reset,
    .post_load = hpet_post_load,
    .irq_offset = offsetof(struct hpet, out),
    .n_irqs = HPET_OUTPUTS,
    .input = hpet_input,
    .n_inputs = HPET_INPUTS,
};
