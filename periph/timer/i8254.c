/*
 * i8254.c - 8254 programmable interval timer: three 16-bit counters at 1193182 Hz of guest time.
 *
 * Follows Intel's 8254 data sheet (231164). Counters are not stepped: each keeps the clock tick
 * at which its counting element was loaded, and count and OUT are functions of the ticks since
 * then. Only counter 0's OUT leaves the chip, so only it has a timer, armed for the next change of
 * OUT.
 */
#include "periph/timer/i8254.h"

#include "periph/regions.h"
#include "util/log.h"

#define TICK_NONE INT64_MAX

/* Ticks are counted from machine start; `start` may lie before it. */
struct pit_counter {
    int64_t start;     /* tick at which the counting element holds `n` */
    int64_t frozen;    /* ticks counted when the gate stopped counting */
    int64_t reload_at; /* end of the (half) cycle that moves next_n to n (modes 2, 3); TICK_NONE */
    uint32_t n;        /* loaded count: 1..65536 (10000 in BCD) */
    uint32_t next_n;   /* count register, the load to come; 0: none was written */
    uint16_t latch;    /* latched count, as read */
    uint16_t hold;     /* count shown while nothing is loaded, as read */
    uint8_t mode;      /* 0..5 */
    uint8_t rw;        /* 1: LSB, 2: MSB, 3: LSB then MSB */
    uint8_t status;    /* latched status */
    uint8_t low_byte;  /* LSB written, waiting for the MSB */
    uint8_t latched;   /* bytes of `latch` still to be read */
    bool bcd, gate;
    bool loaded;   /* the counting element was loaded since the control word */
    bool stopped;  /* the gate holds counting */
    bool waiting;  /* next_n was written and not moved to n */
    bool prev_out; /* OUT until the load takes place */
    bool status_latched;
    bool read_msb, write_msb; /* rw = 3: the MSB is next */
};

struct pit {
    struct device dev;
    uint16_t iobase;
    struct pit_counter c[3];
    struct timer timer; /* next change of OUT0 */
    int64_t event;      /* the tick of it; TICK_NONE: none */
    struct irq_line irq[1];
};

static int64_t now_tick(const struct pit *s)
{
    return (int64_t)clock_ticks(clock_now(s->dev.clock), PIT_HZ);
}

static uint32_t modulus(const struct pit_counter *c)
{
    return c->bcd ? 10000 : 65536;
}

/* Ticks counted since the load; negative: the load is the next clock. */
static int64_t elapsed(const struct pit_counter *c, int64_t t)
{
    return c->stopped ? c->frozen : t - c->start;
}

/* Takes over a count that waits for the end of a cycle, when that has come by tick t. */
static void settle(struct pit_counter *c, int64_t t)
{
    if (c->reload_at == TICK_NONE || t < c->reload_at) return;
    c->start = c->reload_at;
    /* A square wave may be reloaded at the middle, to go on with its low half. */
    if (c->mode == 3 && !c->prev_out) c->start -= (c->next_n + 1) / 2;
    c->n = c->next_n;
    c->waiting = false;
    c->reload_at = TICK_NONE;
}

static bool out_at(const struct pit_counter *c, int64_t t)
{
    int64_t e = elapsed(c, t);

    if (!c->loaded) return c->mode != 0;
    if (e < 0) return c->prev_out;
    switch (c->mode) {
    case 0:
    case 1: return e >= c->n;
    case 2: return c->stopped || c->n < 2 || e % c->n != c->n - 1;
    case 3: return c->stopped || c->n < 2 || e % c->n < (c->n + 1) / 2;
    default: return e != c->n;
    }
}

/* First tick after t at which OUT may change; TICK_NONE: it stays. */
static int64_t next_change(const struct pit_counter *c, int64_t t)
{
    int64_t e = t - c->start, r;

    if (!c->loaded || c->stopped) return TICK_NONE;
    if (e < 0) return c->start;
    switch (c->mode) {
    case 0:
    case 1: return e < c->n ? c->start + c->n : TICK_NONE;
    case 2:
    case 3:
        if (c->n < 2) return c->reload_at;
        r = e % c->n;
        if (c->mode == 2) return r < c->n - 1 ? t + c->n - 1 - r : t + 1;
        return r < (c->n + 1) / 2 ? t + (c->n + 1) / 2 - r : t + c->n - r;
    default: return e < c->n ? c->start + c->n : e == c->n ? t + 1 : TICK_NONE;
    }
}

static uint16_t to_register(const struct pit_counter *c, uint32_t v)
{
    if (!c->bcd) return (uint16_t)v;
    v %= 10000;
    return (uint16_t)(v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

/* The count as the output latch follows it. */
static uint16_t count_at(const struct pit_counter *c, int64_t t)
{
    int64_t e = elapsed(c, t), v;

    if (!c->loaded || e < 0) return c->hold;
    switch (c->mode) {
    case 2: v = c->n - e % c->n; break;
    case 3: /* both halves count down by two, from an even number */
        v = e % c->n;
        if (v >= (c->n + 1) / 2) v -= (c->n + 1) / 2;
        v = (int64_t)(c->n & ~1u) - 2 * v;
        break;
    default: v = (int64_t)c->n - e % modulus(c); break;
    }
    return to_register(c, (uint32_t)(v < 0 ? v + modulus(c) : v));
}

static uint8_t status_at(const struct pit_counter *c, int64_t t)
{
    /* NULL COUNT: a written count has not reached the counting element. */
    bool null_count = !c->loaded || c->waiting || elapsed(c, t) < 0;

    return (uint8_t)(out_at(c, t) << 7 | null_count << 6 | c->rw << 4 | c->mode << 1 | c->bcd);
}

/* The load of the next clock. */
static void load(struct pit_counter *c, int64_t t)
{
    bool out = out_at(c, t);

    c->hold = count_at(c, t);
    c->prev_out = out;
    c->start = t + 1;
    c->frozen = 0;
    c->n = c->next_n;
    c->loaded = true;
    c->waiting = false;
    c->stopped = false;
    c->reload_at = TICK_NONE;
}

static void count_written(struct pit_counter *c, uint16_t v, int64_t t)
{
    uint32_t n = v;

    if (c->bcd) /* digits beyond 9 count as they weigh; the sum stays below the modulus */
        n = ((v >> 12) * 1000u + (v >> 8 & 15) * 100u + (v >> 4 & 15) * 10u + (v & 15)) % 10000;
    c->next_n = n ? n : modulus(c);
    c->waiting = true;
    switch (c->mode) {
    case 1:
    case 5: break; /* loaded by a trigger */
    case 0:
        load(c, t);
        c->prev_out = false;
        c->stopped = !c->gate;
        break;
    case 4:
        load(c, t);
        c->stopped = !c->gate;
        break;
    default:
        if (!c->loaded) {
            load(c, t);
            c->stopped = !c->gate;
        } else if (c->stopped) {
            break; /* the gate's rise loads it */
        } else if (t < c->start) {
            c->n = c->next_n;
            c->waiting = false;
        } else {
            int64_t e = t - c->start, r = e % c->n;
            bool low = c->mode == 3 && r >= (c->n + 1) / 2;

            c->reload_at = c->mode == 2 || low || c->n < 2 ? t - r + c->n : t - r + (c->n + 1) / 2;
            /* What OUT is in the half cycle that the new count begins. */
            c->prev_out = c->mode == 2 || low || c->n < 2;
        }
    }
}

static void gate_changed(struct pit_counter *c, bool level, int64_t t)
{
    settle(c, t);
    if (c->gate == level) return;
    c->gate = level;
    if (c->mode == 1 || c->mode == 5) {
        if (level && c->next_n) load(c, t);
    } else if (!level) {
        if (!c->loaded || c->stopped) return;
        c->frozen = MAX(t - c->start, 0);
        c->reload_at = TICK_NONE;
        c->stopped = true;
    } else if (c->loaded && c->stopped) {
        if (c->mode == 0 || c->mode == 4) {
            c->start = t - c->frozen;
            c->stopped = false;
        } else {
            load(c, t);
            c->prev_out = true;
        }
    }
}

/* Drives OUT0 and arms the timer for its next change. */
static void update(struct pit *s)
{
    struct pit_counter *c = &s->c[0];
    int64_t t = now_tick(s);

    settle(c, t);
    irq_set(&s->irq[0], out_at(c, t));
    s->event = next_change(c, t);
    if (s->event == TICK_NONE)
        timer_cancel(&s->timer);
    else
        timer_arm(&s->timer, clock_ticks_to_ns((uint64_t)s->event, PIT_HZ));
}

static void pit_event(void *opaque)
{
    struct pit *s = opaque;
    struct pit_counter *c = &s->c[0];
    int64_t t = now_tick(s);

    /* A CPU that leaves late has passed more than one change: show up to two more, so that no
     * edge of a strobe is lost, and let go of whole periods that nobody could see. */
    for (int i = 0; i < 3 && s->event != TICK_NONE && s->event < t; i++) {
        settle(c, s->event);
        irq_set(&s->irq[0], out_at(c, s->event));
        s->event = next_change(c, s->event);
    }
    update(s);
}

static void write_control(struct pit *s, uint8_t v)
{
    int64_t t = now_tick(s);
    struct pit_counter *c;

    if (v >> 6 == 3) { /* read-back */
        for (unsigned i = 0; i < 3; i++) {
            c = &s->c[i];
            if (!(v & (2u << i))) continue;
            settle(c, t);
            if (!(v & 0x20) && !c->latched) {
                c->latch = count_at(c, t);
                c->latched = c->rw == 3 ? 2 : 1;
            }
            if (!(v & 0x10) && !c->status_latched) {
                c->status = status_at(c, t);
                c->status_latched = true;
            }
        }
        return;
    }
    c = &s->c[v >> 6];
    settle(c, t);
    if (!(v & 0x30)) { /* counter latch */
        if (c->latched) return;
        c->latch = count_at(c, t);
        c->latched = c->rw == 3 ? 2 : 1;
        return;
    }
    c->hold = count_at(c, t);
    c->rw = v >> 4 & 3;
    c->mode = v >> 1 & 7;
    if (c->mode > 5) c->mode -= 4;
    c->bcd = v & 1;
    c->next_n = 0;
    c->loaded = c->stopped = c->waiting = c->read_msb = c->write_msb = c->status_latched = false;
    c->latched = 0;
    c->reload_at = TICK_NONE;
}

static void pit_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pit *s = opaque;
    uint8_t v = (uint8_t)value;

    (void)size;
    if (addr == 3) {
        write_control(s, v);
    } else {
        struct pit_counter *c = &s->c[addr];
        int64_t t = now_tick(s);

        settle(c, t);
        if (c->rw == 3 && !c->write_msb) {
            c->low_byte = v;
            c->write_msb = true;
            if (c->mode == 0) { /* the first byte stops the count and OUT goes low */
                c->hold = count_at(c, t);
                c->loaded = false;
            }
        } else {
            c->write_msb = false;
            count_written(c, (uint16_t)(c->rw == 1 ? v : v << 8 | (c->rw == 3 ? c->low_byte : 0)),
                          t);
        }
    }
    update(s);
}

static uint64_t pit_read(void *opaque, uint64_t addr, unsigned size)
{
    struct pit *s = opaque;
    struct pit_counter *c;
    uint16_t v;

    (void)size;
    if (addr == 3) return 0xff; /* the control word cannot be read: nobody drives the bus */
    c = &s->c[addr];
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latched) {
        bool msb = c->rw == 2 || (c->rw == 3 && c->latched == 1);
        c->latched--;
        return msb ? c->latch >> 8 : c->latch & 0xff;
    }
    settle(c, now_tick(s));
    v = count_at(c, now_tick(s));
    if (c->rw == 3) c->read_msb = !c->read_msb;
    return c->rw == 2 || (c->rw == 3 && !c->read_msb) ? v >> 8 : v & 0xff;
}

bool pit_out(struct device *pit, unsigned counter)
{
    struct pit *s = (struct pit *)pit;
    struct pit_counter *c = &s->c[counter % 3];

    settle(c, now_tick(s));
    return out_at(c, now_tick(s));
}

void pit_set_gate(struct device *pit, unsigned counter, bool level)
{
    struct pit *s = (struct pit *)pit;

    gate_changed(&s->c[counter % 3], level, now_tick(s));
    if (counter % 3 == 0) update(s);
}

uint32_t pit_frequency(struct device *pit, unsigned counter)
{
    const struct pit_counter *c = &((struct pit *)pit)->c[counter % 3];
    bool periodic = c->mode == 2 || c->mode == 3;

    return periodic && c->loaded && !c->stopped && c->n > 1 ? PIT_HZ / c->n : 0;
}

static const struct mmio_ops pit_ops = {
    .read = pit_read, .write = pit_write, .impl_min = 1, .impl_max = 1};

static int pit_realize(struct device *d, struct error *e)
{
    struct pit *s = (struct pit *)d;

    timer_init(&s->timer, d->clock, pit_event, s);
    s->event = TICK_NONE;
    return periph_map_ports(d, 0, "pit", s->iobase, 4, &pit_ops, e);
}

static void pit_unrealize(struct device *d)
{
    timer_cancel(&((struct pit *)d)->timer);
    periph_drop_regions(d);
}

static void pit_reset(struct device *d)
{
    struct pit *s = (struct pit *)d;

    /* The data sheet leaves everything undefined until programmed: nothing counts. */
    memset(s->c, 0, sizeof s->c);
    for (unsigned i = 0; i < 3; i++) {
        s->c[i].rw = 3;
        s->c[i].gate = i != 2;
        s->c[i].reload_at = TICK_NONE;
    }
    update(s);
}

static int pit_post_load(struct device *d, struct error *e)
{
    struct pit *s = (struct pit *)d;

    for (unsigned i = 0; i < 3; i++) {
        struct pit_counter *c = &s->c[i];

        if (c->mode > 5 || c->rw < 1 || c->rw > 3 || c->latched > 2 || c->n > 65536 ||
            c->next_n > 65536 || (c->loaded && !c->n) || (c->reload_at != TICK_NONE && !c->next_n))
            return error_set(e, "isa-pit: counter %u cannot be in this state", i);
    }
    irq_set(&s->irq[0], out_at(&s->c[0], now_tick(s)));
    return 0;
}

static const struct prop_desc pit_props[] = {
    PROP(struct pit, PROP_U16, "iobase", iobase, 0x40, "first I/O port"),
    PROP_END,
};

static const struct state_field counter_state[] = {
    STATE_INT(struct pit_counter, start),
    STATE_INT(struct pit_counter, frozen),
    STATE_INT(struct pit_counter, reload_at),
    STATE_INT(struct pit_counter, n),
    STATE_INT(struct pit_counter, next_n),
    STATE_INT(struct pit_counter, latch),
    STATE_INT(struct pit_counter, hold),
    STATE_INT(struct pit_counter, mode),
    STATE_INT(struct pit_counter, rw),
    STATE_INT(struct pit_counter, status),
    STATE_INT(struct pit_counter, low_byte),
    STATE_INT(struct pit_counter, latched),
    STATE_INT(struct pit_counter, bcd),
    STATE_INT(struct pit_counter, gate),
    STATE_INT(struct pit_counter, loaded),
    STATE_INT(struct pit_counter, stopped),
    STATE_INT(struct pit_counter, waiting),
    STATE_INT(struct pit_counter, prev_out),
    STATE_INT(struct pit_counter, status_latched),
    STATE_INT(struct pit_counter, read_msb),
    STATE_INT(struct pit_counter, write_msb),
    STATE_END,
};

static const struct state_field pit_state[] = {
    STATE_PROP(struct pit, iobase), STATE_STRUCT(struct pit, c, 3, counter_state),
    STATE_TIMER(struct pit, timer), STATE_INT(struct pit, event),
    STATE_RUNTIME(struct pit, irq), STATE_END,
};

static const struct reg_desc pit_regs[] = {
    {0, "counter 0", 1}, {1, "counter 1", 1}, {2, "counter 2", 1}, {3, "control word", 1}, REG_END,
};

const struct dev_desc i8254_desc = {
    .name = "isa-pit",
    .help = "8254 interval timer",
    .bus = BUS_ISA,
    .category = DEV_TIMER,
    .size = sizeof(struct pit),
    .props = pit_props,
    .state = pit_state,
    .regs = pit_regs,
    .realize = pit_realize,
    .unrealize = pit_unrealize,
    .reset = pit_reset,
    .post_load = pit_post_load,
    .irq_offset = offsetof(struct pit, irq),
    .n_irqs = 1,
};
