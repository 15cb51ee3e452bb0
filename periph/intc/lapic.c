/*
 * lapic.c - the local APIC of a processor (xAPIC and x2APIC), and the bus that carries interrupt
 * messages.
 *
 * Follows the Intel SDM volume 3, chapter 11 (x2APIC: 11.12). The timer counts a bus clock of 1 GHz of
 * guest time; of the time stamp counter it knows when a value of it will be reached.
 * Not modelled: moving the register page away from
 * FEE00000h (the address in the MSR is kept), focus processors, thermal and performance events
 * (their entries hold what is written).
 */
#include "periph/intc/lapic.h"

#include "periph/regions.h"
#include "util/log.h"

#include <stdio.h>

enum {
    R_ID = 0x02,
    R_VERSION = 0x03,
    R_TPR = 0x08,
    R_APR = 0x09,
    R_PPR = 0x0a,
    R_EOI = 0x0b,
    R_RRD = 0x0c,
    R_LDR = 0x0d,
    R_DFR = 0x0e,
    R_SVR = 0x0f,
    R_ISR = 0x10,
    R_TMR = 0x18,
    R_IRR = 0x20,
    R_ESR = 0x28,
    R_ICR_LOW = 0x30,
    R_ICR_HIGH = 0x31,
    R_LVT = 0x32,
    R_INITIAL = 0x38,
    R_CURRENT = 0x39,
    R_DIVIDE = 0x3e,
    R_SELF = 0x3f
};
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVTS };
enum {
    LVT_STATUS = 1 << 12,
    LVT_LOW = 1 << 13,
    LVT_REMOTE_IRR = 1 << 14,
    LVT_LEVEL = 1 << 15,
    LVT_MASKED = 1 << 16,
    LVT_PERIODIC = 1 << 17,
    LVT_DEADLINE = 1 << 18
};
enum { SVR_ENABLE = 1 << 8 };
enum { ESR_SEND_VECTOR = 1 << 5, ESR_RECEIVED_VECTOR = 1 << 6, ESR_REGISTER = 1 << 7 };
enum { LAPIC_VERSION = 0x50014 }; /* six local vectors */
#define BASE_ADDRESS UINT64_C(0xfee00000)
#define BASE_BSP     UINT64_C(0x100)
#define BASE_EXTD    UINT64_C(0x400) /* x2APIC mode */
#define BASE_ENABLE  UINT64_C(0x800)

struct apic_bus;

struct lapic {
    struct device dev;
    uint32_t initial_id;
    bool bsp, has_x2apic, has_deadline;
    uint64_t base;
    uint8_t id, tpr, divide; /* id: the xAPIC's, which software may change */
    bool lint[2];
    uint32_t ldr, dfr, svr, esr, errors, icr[2], lvt[LVTS];
    uint32_t isr[8], tmr[8], irr[8];
    uint32_t initial;
    uint64_t start; /* guest ns at which the timer began to count from `initial` */
    uint64_t deadline; /* value of the time stamp counter that the timer waits for; 0: none */
    struct timer timer;
    struct irq_line out[LAPIC_OUTPUTS];
    struct apic_bus *bus;
    lapic_event_fn event;
    void *opaque;
};

struct apic_bus {
    struct device dev;
    struct lapic *apic[LAPIC_MAX];
    uint32_t n;
    uint32_t lowest; /* where the search for a lowest priority processor begins */
    struct device *(*current)(void *);
    void *opaque;
    struct {
        void (*fn)(void *, uint8_t);
        void *opaque;
    } eoi[4];
};

static struct lapic *lapic(struct device *d)
{
    return (struct lapic *)d;
}

/* ---- vectors ---- */

static void set_bit(uint32_t *r, uint8_t v, bool on)
{
    if (on)
        r[v >> 5] |= 1u << (v & 31);
    else
        r[v >> 5] &= ~(1u << (v & 31));
}

static bool get_bit(const uint32_t *r, uint8_t v)
{
    return r[v >> 5] >> (v & 31) & 1;
}

static int highest(const uint32_t *r)
{
    for (int i = 7; i >= 0; i--) {
        if (r[i]) return i * 32 + 31 - (int)host_clz32(r[i]);
    }
    return -1;
}

static uint8_t processor_priority(const struct lapic *s)
{
    int service = highest(s->isr);
    unsigned class = service < 0 ? 0 : (unsigned)service & 0xf0;
    return (uint8_t)((s->tpr & 0xf0u) >= class ? s->tpr : class);
}

static bool hardware_on(const struct lapic *s)
{
    return s->base & BASE_ENABLE;
}

static bool x2_on(const struct lapic *s)
{
    return (s->base & (BASE_ENABLE | BASE_EXTD)) == (BASE_ENABLE | BASE_EXTD);
}

static bool software_on(const struct lapic *s)
{
    return hardware_on(s) && (s->svr & SVR_ENABLE);
}

/* The vector that may interrupt now, or -1. */
static int pending(const struct lapic *s)
{
    int v = software_on(s) ? highest(s->irr) : -1;
    return v >= 0 && (v & 0xf0) > (processor_priority(s) & 0xf0) ? v : -1;
}

/* The 8259s' request, by LINT0 in ExtINT mode; a disabled APIC lets LINT0 through as INTR. */
static bool external(const struct lapic *s)
{
    uint32_t e = s->lvt[LVT_LINT0];
    if (!s->lint[0]) return false;
    if (!hardware_on(s)) return true;
    return !(e & LVT_MASKED) && (e >> 8 & 7) == APIC_EXTINT;
}

static void update(struct lapic *s)
{
    irq_set(&s->out[LAPIC_INTR], pending(s) >= 0 || external(s));
}

static void error(struct lapic *s, uint32_t bit);

static void accept_vector(struct lapic *s, uint8_t vector, bool level)
{
    if (vector < 16) {
        error(s, ESR_RECEIVED_VECTOR);
        return;
    }
    set_bit(s->irr, vector, true);
    set_bit(s->tmr, vector, level);
    update(s);
}

/* One of the local vector table's sources asks. */
static void local_interrupt(struct lapic *s, unsigned n)
{
    uint32_t e = s->lvt[n];
    if ((e & LVT_MASKED) || !hardware_on(s)) return;
    switch (n == LVT_TIMER || n == LVT_ERROR ? APIC_FIXED : e >> 8 & 7) {
    case APIC_FIXED: {
        bool level = (n == LVT_LINT0 || n == LVT_LINT1) && (e & LVT_LEVEL);
        if (level && (e & LVT_REMOTE_IRR)) return;
        if (level) s->lvt[n] |= LVT_REMOTE_IRR;
        accept_vector(s, (uint8_t)e, level);
        break;
    }
    case APIC_SMI: irq_pulse(&s->out[LAPIC_SMI]); break;
    case APIC_NMI: irq_pulse(&s->out[LAPIC_NMI]); break;
    case APIC_INIT:
        if (s->event) s->event(s->opaque, LAPIC_EVENT_INIT, 0);
        break;
    default: break; /* ExtINT is a level */
    }
}

static void error(struct lapic *s, uint32_t bit)
{
    if (s->errors & bit) return;
    s->errors |= bit;
    if ((s->lvt[LVT_ERROR] & 0xf0)) local_interrupt(s, LVT_ERROR);
}

/* ---- the timer ---- */

/* ns of one count. */
static uint64_t unit(const struct lapic *s)
{
    unsigned code = (s->divide & 3) | (s->divide >> 1 & 4);
    return code == 7 ? 1 : UINT64_C(2) << code;
}

static uint32_t current_count(struct lapic *s, uint64_t now)
{
    uint64_t gone = (now - s->start) / unit(s);
    if (!s->initial || s->lvt[LVT_TIMER] & LVT_DEADLINE) return 0;
    if (s->lvt[LVT_TIMER] & LVT_PERIODIC) return s->initial - (uint32_t)(gone % s->initial);
    return gone >= s->initial ? 0 : s->initial - (uint32_t)gone;
}

/* Guest time may be the host's and go on meanwhile: `now` is that of what the guest has done. */
static void arm(struct lapic *s, uint64_t now)
{
    uint64_t period = (uint64_t)s->initial * unit(s), gone = now - s->start;
    bool periodic = s->lvt[LVT_TIMER] & LVT_PERIODIC;
    if (s->lvt[LVT_TIMER] & LVT_DEADLINE) return; /* lapic_set_deadline() does */
    if (timer_armed(&s->timer) && s->timer.deadline <= now && period && !periodic) return; /* it is just about to come */
    if (!period || (!periodic && gone >= period))
        timer_cancel(&s->timer);
    else
        timer_arm(&s->timer, s->start + (gone / period + 1) * period);
}

static void timer_event(void *opaque)
{
    struct lapic *s = opaque;
    s->deadline = 0;
    local_interrupt(s, LVT_TIMER);
    arm(s, clock_now(s->dev.clock));
}

uint64_t lapic_get_deadline(struct device *d)
{
    return lapic(d)->deadline;
}

/* Without the mode it is not there to be set. */
void lapic_set_deadline(struct device *d, uint64_t tsc, uint64_t at)
{
    struct lapic *s = lapic(d);
    if (!(s->lvt[LVT_TIMER] & LVT_DEADLINE)) return;
    s->deadline = tsc;
    if (tsc) timer_arm(&s->timer, at);
    else timer_cancel(&s->timer);
}

/* ---- messages ---- */

static bool is_destination(const struct lapic *s, const struct apic_message *m)
{
    uint32_t to = m->destination;
    if (x2_on(s)) {
        if (to == APIC_ALL) return true;
        return m->logical ? to >> 16 == s->ldr >> 16 && (to & s->ldr & 0xffff) : to == s->initial_id;
    }
    if (!m->logical) return to == APIC_ALL || to == s->id;
    if (to > 0xff && to != APIC_ALL) return false;
    uint8_t mine = (uint8_t)(s->ldr >> 24);
    if ((s->dfr >> 28) == 0xf) return to & mine; /* flat */
    return ((to ^ mine) & 0xf0) == 0 ? to & mine & 15 : (to & 0xf0) == 0xf0 && (to & mine & 15);
}

static void lapic_init(struct lapic *s);

static void deliver(struct lapic *s, const struct apic_message *m)
{
    if (!hardware_on(s)) return;
    switch (m->mode) {
    case APIC_FIXED:
    case APIC_LOWEST:
        if (software_on(s)) accept_vector(s, m->vector, m->level);
        break;
    case APIC_SMI: irq_pulse(&s->out[LAPIC_SMI]); break;
    case APIC_NMI: irq_pulse(&s->out[LAPIC_NMI]); break;
    case APIC_INIT:
        lapic_init(s);
        if (s->event) s->event(s->opaque, LAPIC_EVENT_INIT, 0);
        break;
    case APIC_STARTUP:
        if (s->event) s->event(s->opaque, LAPIC_EVENT_STARTUP, m->vector);
        break;
    default: LOG(UNIMP, "apic: message with delivery mode %u\n", m->mode); break;
    }
}

/* The one of the destinations with the lowest priority; among equals they take turns. */
static struct lapic *lowest(struct apic_bus *b, const struct apic_message *m)
{
    struct lapic *best = NULL;
    for (uint32_t i = 0; i < b->n; i++) {
        struct lapic *s = b->apic[(b->lowest + i) % b->n];
        if (!software_on(s) || !is_destination(s, m)) continue;
        if (!best || processor_priority(s) < processor_priority(best)) best = s;
    }
    if (b->n) b->lowest = (b->lowest + 1) % b->n;
    return best;
}

void apic_bus_send(struct device *bus, const struct apic_message *m)
{
    struct apic_bus *b = (struct apic_bus *)bus;
    if (m->mode == APIC_LOWEST) {
        struct lapic *s = lowest(b, m);
        if (s) deliver(s, m);
        return;
    }
    for (uint32_t i = 0; i < b->n; i++) {
        if (is_destination(b->apic[i], m)) deliver(b->apic[i], m);
    }
}

/* The interrupt command register was written. */
static void send_ipi(struct lapic *s)
{
    uint32_t low = s->icr[0];
    struct apic_message m = {.destination = x2_on(s) ? s->icr[1] : apic_destination((uint8_t)(s->icr[1] >> 24)),
                             .mode = (uint8_t)(low >> 8 & 7),
                             .vector = (uint8_t)low,
                             .logical = low & 0x800,
                             .level = low & 0x8000};
    struct apic_bus *b = s->bus;
    if (m.mode == APIC_INIT && (low & 0x8000) && !(low & 0x4000)) return; /* INIT level de-assert */
    if (m.mode <= APIC_LOWEST) {
        m.level = false; /* such messages are edges always */
        if (m.vector < 16) {
            error(s, ESR_SEND_VECTOR);
            return;
        }
    }
    switch (low >> 18 & 3) {
    case 0:
        if (b) apic_bus_send(&b->dev, &m);
        break;
    case 1: deliver(s, &m); break;
    default:
        for (uint32_t i = 0; b && i < b->n; i++) {
            if (b->apic[i] != s || (low >> 18 & 3) == 2) deliver(b->apic[i], &m);
        }
        break;
    }
}

int lapic_ack(struct device *d)
{
    struct lapic *s = lapic(d);
    int v = pending(s);
    if (v < 0) return external(s) ? LAPIC_ACK_EXTINT : LAPIC_ACK_NONE;
    set_bit(s->irr, (uint8_t)v, false);
    set_bit(s->isr, (uint8_t)v, true);
    update(s);
    return v;
}

static void lint_level(struct lapic *s, unsigned n)
{
    uint32_t e = s->lvt[LVT_LINT0 + n];
    bool asserted = s->lint[n] != !!(e & LVT_LOW);
    if ((e >> 8 & 7) == APIC_FIXED && (e & LVT_LEVEL) && asserted) local_interrupt(s, LVT_LINT0 + n);
}

static void end_of_interrupt(struct lapic *s)
{
    int v = highest(s->isr);
    if (v < 0) return;
    set_bit(s->isr, (uint8_t)v, false);
    if (get_bit(s->tmr, (uint8_t)v)) {
        for (unsigned n = 0; n < 2; n++) {
            uint32_t *e = &s->lvt[LVT_LINT0 + n];
            if ((*e & 0xff) != (unsigned)v) continue;
            *e &= ~(uint32_t)LVT_REMOTE_IRR;
            lint_level(s, n);
        }
        for (unsigned i = 0; s->bus && i < ARRAY_LEN(s->bus->eoi); i++) {
            if (s->bus->eoi[i].fn) s->bus->eoi[i].fn(s->bus->eoi[i].opaque, (uint8_t)v);
        }
    }
    update(s);
}

static void lapic_input(void *opaque, unsigned n, bool level)
{
    struct lapic *s = opaque;
    if (n >= LAPIC_INPUTS || s->lint[n] == level) return;
    uint32_t e = s->lvt[LVT_LINT0 + n];
    bool edge = level != !!(e & LVT_LOW);
    s->lint[n] = level;
    if ((e >> 8 & 7) != APIC_FIXED || !(e & LVT_LEVEL)) {
        if (edge) local_interrupt(s, LVT_LINT0 + n);
    } else {
        lint_level(s, n);
    }
    update(s);
}

/* ---- registers ---- */

/* The x2APIC's: a cluster of 16, and a bit in it. */
static uint32_t logical_id(const struct lapic *s)
{
    return s->initial_id >> 4 << 16 | 1u << (s->initial_id & 15);
}

static uint32_t reg_read(struct lapic *s, unsigned r)
{
    switch (r) {
    case R_ID: return x2_on(s) ? s->initial_id : (uint32_t)s->id << 24;
    case R_VERSION: return LAPIC_VERSION;
    case R_TPR: return s->tpr;
    case R_APR:
    case R_PPR: return processor_priority(s);
    case R_RRD:
    case R_EOI: return 0;
    case R_LDR: return s->ldr;
    case R_DFR: return s->dfr;
    case R_SVR: return s->svr;
    case R_ESR: return s->esr;
    case R_ICR_LOW:
    case R_ICR_HIGH: return s->icr[r - R_ICR_LOW];
    case R_INITIAL: return s->initial;
    case R_CURRENT: return current_count(s, clock_now(s->dev.clock));
    case R_DIVIDE: return s->divide;
    default: break;
    }
    if (r >= R_ISR && r < R_ISR + 8) return s->isr[r - R_ISR];
    if (r >= R_TMR && r < R_TMR + 8) return s->tmr[r - R_TMR];
    if (r >= R_IRR && r < R_IRR + 8) return s->irr[r - R_IRR];
    if (r >= R_LVT && r < R_LVT + LVTS) return s->lvt[r - R_LVT];
    error(s, ESR_REGISTER);
    return 0;
}

static uint32_t lvt_writable(const struct lapic *s, unsigned n)
{
    static const uint32_t writable[LVTS] = {0x300ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff};
    return n == LVT_TIMER && s->has_deadline ? writable[n] | LVT_DEADLINE : writable[n];
}

static void write_lvt(struct lapic *s, unsigned n, uint32_t v)
{
    uint32_t old = s->lvt[n];
    if (!(s->svr & SVR_ENABLE)) v |= LVT_MASKED;
    s->lvt[n] = (old & (LVT_STATUS | LVT_REMOTE_IRR)) | (v & lvt_writable(s, n));
    if (n == LVT_TIMER) {
        /* Neither a deadline nor a count outlives the change from the one to the other. */
        if ((old ^ s->lvt[n]) & LVT_DEADLINE) s->deadline = 0, s->initial = 0, timer_cancel(&s->timer);
        arm(s, clock_now(s->dev.clock));
    }
    if (n == LVT_LINT0 || n == LVT_LINT1) lint_level(s, n - LVT_LINT0);
}

static void reg_write(struct lapic *s, unsigned r, uint32_t v)
{
    switch (r) {
    case R_ID: s->id = (uint8_t)(v >> 24); break;
    case R_TPR: s->tpr = (uint8_t)v; break;
    case R_EOI: end_of_interrupt(s); break;
    case R_LDR: s->ldr = v & 0xff000000u; break;
    case R_DFR: s->dfr = v | 0x0fffffffu; break;
    case R_SVR:
        s->svr = v & 0x3ff;
        if (v & SVR_ENABLE) break;
        for (unsigned i = 0; i < LVTS; i++)
            s->lvt[i] |= LVT_MASKED;
        break;
    case R_ESR: s->esr = s->errors, s->errors = 0; break;
    case R_ICR_LOW:
        s->icr[0] = v & 0xccfffu;
        send_ipi(s);
        break;
    case R_ICR_HIGH: s->icr[1] = v & 0xff000000u; break;
    case R_INITIAL: {
        uint64_t now = clock_now(s->dev.clock);
        if (s->lvt[LVT_TIMER] & LVT_DEADLINE) break;
        s->initial = v;
        s->start = now;
        timer_cancel(&s->timer); /* the count before is forgotten, also when it has just ended */
        arm(s, now);
        break;
    }
    case R_DIVIDE: {
        uint64_t now = clock_now(s->dev.clock);
        uint32_t left = current_count(s, now);
        s->divide = v & 0x0b;
        /* The count goes on from where it is. */
        if (s->initial) s->start = now - (s->initial - left) * unit(s);
        if ((int64_t)s->start < 0) s->start = 0;
        arm(s, now);
        break;
    }
    default:
        if (r >= R_LVT && r < R_LVT + LVTS) {
            write_lvt(s, r - R_LVT, v);
        } else {
            LOG(GUEST_ERRORS, "apic: write to register 0x%x\n", r * 16);
            error(s, ESR_REGISTER);
        }
        break;
    }
    update(s);
}

uint8_t lapic_get_tpr(struct device *d)
{
    return lapic(d)->tpr >> 4;
}

void lapic_set_tpr(struct device *d, uint8_t priority)
{
    struct lapic *s = lapic(d);
    s->tpr = (uint8_t)(priority << 4);
    update(s);
}

uint64_t lapic_get_base(struct device *d)
{
    return lapic(d)->base;
}

static void lapic_init(struct lapic *s);

bool lapic_set_base(struct device *d, uint64_t base)
{
    struct lapic *s = lapic(d);
    bool was = x2_on(s), is = base & BASE_EXTD;
    if (base & ~(UINT64_C(0xffffff000) | BASE_BSP | BASE_ENABLE | (s->has_x2apic ? BASE_EXTD : 0))) return false;
    /* x2APIC mode is entered from the other one, and left by switching off alone (figure 11-27). */
    if (is && !(base & BASE_ENABLE)) return false;
    if (is && !hardware_on(s)) return false;
    if (was && !is && base & BASE_ENABLE) return false;
    if ((base & ~UINT64_C(0xfff)) != BASE_ADDRESS)
        LOG(UNIMP, "apic: registers moved away from fee00000h\n");
    s->base = base;
    if (was && !is) lapic_init(s), s->id = (uint8_t)s->initial_id;
    if (is && !was) s->ldr = logical_id(s), s->icr[1] = 0;
    update(s);
    return true;
}

/* ---- x2APIC: registers are MSRs ---- */

/* What may be set in a register; 0: it cannot be written. */
static uint32_t x2_writable(const struct lapic *s, unsigned r)
{
    switch (r) {
    case R_TPR: return 0xff;
    case R_SVR: return 0x3ff;
    case R_ICR_LOW: return 0xccfff;
    case R_INITIAL: return UINT32_MAX;
    case R_DIVIDE: return 0x0b;
    case R_SELF: return 0xff;
    default: return r >= R_LVT && r < R_LVT + LVTS ? lvt_writable(s, r - R_LVT) | LVT_STATUS | LVT_REMOTE_IRR : 0;
    }
}

bool lapic_msr_read(struct device *d, unsigned r, uint64_t *v)
{
    struct lapic *s = lapic(d);
    bool there = r == R_ID || r == R_VERSION || r == R_TPR || r == R_PPR || r == R_LDR || r == R_SVR || (r >= R_ISR && r <= R_ESR) ||
                 r == R_ICR_LOW || (r >= R_LVT && r < R_LVT + LVTS) || r == R_INITIAL || r == R_CURRENT || r == R_DIVIDE;
    if (!x2_on(s) || !there) return false;
    *v = reg_read(s, r);
    if (r == R_ICR_LOW) *v |= (uint64_t)s->icr[1] << 32;
    return true;
}

bool lapic_msr_write(struct device *d, unsigned r, uint64_t v)
{
    struct lapic *s = lapic(d);
    uint32_t may = x2_writable(s, r);
    if (!x2_on(s)) return false;
    if (r == R_EOI || r == R_ESR) {
        if (v) return false;
    } else if (!may || (uint32_t)v & ~may || (v >> 32 && r != R_ICR_LOW)) {
        return false;
    }
    if (r == R_ICR_LOW) s->icr[1] = (uint32_t)(v >> 32);
    if (r != R_SELF) {
        reg_write(s, r, (uint32_t)v);
        return true;
    }
    struct apic_message m = {.mode = APIC_FIXED, .vector = (uint8_t)v};
    if (m.vector < 16) error(s, ESR_SEND_VECTOR);
    else deliver(s, &m);
    return true;
}

void lapic_connect(struct device *d, lapic_event_fn event, void *opaque)
{
    lapic(d)->event = event, lapic(d)->opaque = opaque;
}

/* ---- life of a local APIC ---- */

/* What both reset and an INIT message do. */
static void lapic_init(struct lapic *s)
{
    s->tpr = 0, s->ldr = x2_on(s) ? logical_id(s) : 0, s->dfr = 0xffffffffu, s->svr = 0xff, s->esr = s->errors = 0;
    s->icr[0] = s->icr[1] = 0, s->initial = 0, s->divide = 0, s->deadline = 0;
    memset(s->isr, 0, sizeof s->isr);
    memset(s->tmr, 0, sizeof s->tmr);
    memset(s->irr, 0, sizeof s->irr);
    for (unsigned i = 0; i < LVTS; i++)
        s->lvt[i] = LVT_MASKED;
    timer_cancel(&s->timer);
    update(s);
}

static int lapic_realize(struct device *d, struct error *e)
{
    timer_init(&lapic(d)->timer, d->clock, timer_event, d);
    return 0;
}

static void lapic_unrealize(struct device *d)
{
    timer_cancel(&lapic(d)->timer);
}

static void lapic_reset(struct device *d)
{
    struct lapic *s = lapic(d);
    s->id = (uint8_t)s->initial_id;
    s->base = BASE_ADDRESS | BASE_ENABLE | (s->bsp ? BASE_BSP : 0);
    lapic_init(s);
    /* The first processor starts in virtual wire mode, as PCs' firmware leaves it. */
    if (s->bsp) s->lvt[LVT_LINT0] = APIC_EXTINT << 8;
    update(s);
}

static int lapic_post_load(struct device *d, struct error *e)
{
    update(lapic(d));
    return 0;
}

/* ---- for the monitor ---- */

static void dump_entry(const struct lapic *s, unsigned n, const char *name, void (*put)(void *, const char *), void *opaque)
{
    static const char modes[8][8] = {"Fixed", "...", "SMI", "...", "NMI", "INIT", "...", "ExtINT"};
    static const char timers[4][16] = {"one-shot", "periodic", "tsc-deadline", "?"};
    uint32_t e = s->lvt[n];
    unsigned mode = n == LVT_TIMER || n == LVT_ERROR ? APIC_FIXED : e >> 8 & 7;
    char line[160], vector[16] = "";
    if (mode == APIC_FIXED || mode == APIC_EXTINT) snprintf(vector, sizeof vector, " (vec %u)", e & 0xff);
    snprintf(line, sizeof line, "%s\t 0x%08x %s %-5s %-6s %-7s %-12s %-6s%s", name, (unsigned)e, e & LVT_LOW ? "active-lo" : "active-hi",
             e & LVT_LEVEL ? "level" : "edge", e & LVT_MASKED ? "masked" : "", e & LVT_STATUS ? "pending" : e & LVT_REMOTE_IRR ? "remote-irr" : "",
             n == LVT_TIMER ? timers[e >> 17 & 3] : "", modes[mode], vector);
    put(opaque, line);
}

static void dump_vectors(const char *name, const uint32_t *r, const uint32_t *level, void (*put)(void *, const char *), void *opaque)
{
    char line[2048];
    int n = snprintf(line, sizeof line, "%s\t", name), begin = n;
    for (unsigned v = 0; v < 256; v++) {
        if (get_bit(r, (uint8_t)v)) n += snprintf(line + n, sizeof line - (size_t)n, " %u%s", v, get_bit(level, (uint8_t)v) ? "(level)" : "");
    }
    if (n == begin) snprintf(line + n, sizeof line - (size_t)n, " (none)");
    put(opaque, line);
}

static void dump_command(const struct lapic *s, void (*put)(void *, const char *), void *opaque)
{
    static const char to[4][16] = {"no-shorthand", "self", "all-self", "all"};
    uint32_t low = s->icr[0], dest = x2_on(s) ? s->icr[1] : s->icr[1] >> 24;
    bool logical = low & 0x800;
    char line[120];
    snprintf(line, sizeof line, "ICR\t 0x%08x %s %s %s %s", (unsigned)low, logical ? "logical" : "physical", low & 0x8000 ? "level" : "edge",
             low & 0x4000 ? "assert" : "de-assert", to[low >> 18 & 3]);
    put(opaque, line);
    int n = snprintf(line, sizeof line, "ICR2\t 0x%08x", (unsigned)s->icr[1]);
    if (!(low >> 18 & 3)) snprintf(line + n, sizeof line - (size_t)n, logical ? " mask %x" : " cpu %u (APIC ID)", (unsigned)dest);
    put(opaque, line);
}

static void lapic_dump(struct device *d, void (*put)(void *, const char *), void *opaque)
{
    static const struct { uint8_t n; char name[8]; } entries[] = {
        {LVT_LINT0, "LVT0"}, {LVT_LINT1, "LVT1"}, {LVT_PERF, "LVTPC"}, {LVT_ERROR, "LVTERR"}, {LVT_THERMAL, "LVTTHMR"}, {LVT_TIMER, "LVTT"},
    };
    struct lapic *s = lapic(d);
    char line[160];
    for (unsigned i = 0; i < ARRAY_LEN(entries); i++)
        dump_entry(s, entries[i].n, entries[i].name, put, opaque);
    snprintf(line, sizeof line, "Timer\t DCR=0x%x (divide by %u) initial_count = %u current_count = %u", s->divide, (unsigned)unit(s), (unsigned)s->initial,
             (unsigned)current_count(s, clock_now(s->dev.clock)));
    put(opaque, line);
    snprintf(line, sizeof line, "SPIV\t 0x%08x APIC %s, focus=%s, spurious vec %u", (unsigned)s->svr, s->svr & SVR_ENABLE ? "enabled" : "disabled",
             s->svr & 0x200 ? "on" : "off", (unsigned)s->svr & 0xff);
    put(opaque, line);
    dump_command(s, put, opaque);
    snprintf(line, sizeof line, "ESR\t 0x%08x", (unsigned)s->esr);
    put(opaque, line);
    dump_vectors("ISR", s->isr, s->tmr, put, opaque);
    dump_vectors("IRR", s->irr, s->tmr, put, opaque);
    put(opaque, "");
    snprintf(line, sizeof line, "APR 0x%02x TPR 0x%02x DFR 0x%02x LDR 0x%02x PPR 0x%02x", 0, s->tpr, (unsigned)(s->dfr >> 28),
             (unsigned)(x2_on(s) ? s->ldr : s->ldr >> 24), processor_priority(s));
    put(opaque, line);
}

static const struct prop_desc lapic_props[] = {
    PROP(struct lapic, PROP_U32, "id", initial_id, 0, "APIC id after reset"),
    PROP(struct lapic, PROP_BOOL, "bsp", bsp, 0, "of the bootstrap processor"),
    PROP(struct lapic, PROP_BOOL, "x2apic", has_x2apic, 0, "has x2APIC mode"),
    PROP(struct lapic, PROP_BOOL, "tsc-deadline", has_deadline, 0, "the timer has TSC deadline mode"),
    PROP_END,
};
static const struct state_field lapic_state[] = {
    STATE_PROP(struct lapic, initial_id),
    STATE_PROP(struct lapic, bsp),
    STATE_PROP(struct lapic, has_x2apic),
    STATE_PROP(struct lapic, has_deadline),
    STATE_INT(struct lapic, base),
    STATE_INT(struct lapic, id),
    STATE_INT(struct lapic, tpr),
    STATE_INT(struct lapic, divide),
    STATE_ARR(struct lapic, lint), /* not reset: driven from outside */
    STATE_INT(struct lapic, ldr),
    STATE_INT(struct lapic, dfr),
    STATE_INT(struct lapic, svr),
    STATE_INT(struct lapic, esr),
    STATE_INT(struct lapic, errors),
    STATE_ARR(struct lapic, icr),
    STATE_ARR(struct lapic, lvt),
    STATE_ARR(struct lapic, isr),
    STATE_ARR(struct lapic, tmr),
    STATE_ARR(struct lapic, irr),
    STATE_INT(struct lapic, initial),
    STATE_INT(struct lapic, start),
    STATE_INT(struct lapic, deadline),
    STATE_TIMER_RESET(struct lapic, timer),
    STATE_RUNTIME(struct lapic, out),
    STATE_RUNTIME(struct lapic, bus),
    STATE_RUNTIME(struct lapic, event),
    STATE_RUNTIME(struct lapic, opaque),
    STATE_END,
};

const struct dev_desc lapic_desc = {
    .name = "apic",
    .help = "local APIC",
    .bus = BUS_SYSTEM,
    .category = DEV_INTC,
    .size = sizeof(struct lapic),
    .props = lapic_props,
    .state = lapic_state,
    .realize = lapic_realize,
    .unrealize = lapic_unrealize,
    .reset = lapic_reset,
    .post_load = lapic_post_load,
    .irq_offset = offsetof(struct lapic, out),
    .n_irqs = LAPIC_OUTPUTS,
    .input = lapic_input,
    .n_inputs = LAPIC_INPUTS,
    .dump = lapic_dump,
};

/* ---- the bus ---- */

bool apic_bus_add(struct device *bus, struct device *apic)
{
    struct apic_bus *b = (struct apic_bus *)bus;
    if (b->n >= LAPIC_MAX) return false;
    b->apic[b->n++] = lapic(apic);
    lapic(apic)->bus = b;
    return true;
}

void apic_bus_set_current(struct device *bus, struct device *(*fn)(void *), void *opaque)
{
    struct apic_bus *b = (struct apic_bus *)bus;
    b->current = fn, b->opaque = opaque;
}

bool apic_bus_on_eoi(struct device *bus, void (*fn)(void *, uint8_t), void *opaque)
{
    struct apic_bus *b = (struct apic_bus *)bus;
    for (unsigned i = 0; i < ARRAY_LEN(b->eoi); i++) {
        if (b->eoi[i].fn) continue;
        b->eoi[i].fn = fn, b->eoi[i].opaque = opaque;
        return true;
    }
    return false;
}

static struct lapic *accessed(struct apic_bus *b, uint64_t addr)
{
    struct device *d = b->current && addr < 0x1000 ? b->current(b->opaque) : NULL;
    return d && hardware_on(lapic(d)) && !x2_on(lapic(d)) ? lapic(d) : NULL;
}

void apic_bus_msi(struct device *bus, uint64_t addr, uint32_t data)
{
    struct apic_message m = {.destination = apic_destination((uint8_t)(addr >> 12)),
                             .logical = addr & 4,
                             .vector = (uint8_t)data,
                             .mode = (uint8_t)(data >> 8 & 7),
                             .level = data & 0x8000};
    apic_bus_send(bus, &m);
}

static uint64_t bus_read(void *opaque, uint64_t addr, unsigned size)
{
    struct lapic *s = accessed(opaque, addr);
    if (!s) return 0;
    return addr & 15 ? 0 : reg_read(s, (unsigned)addr >> 4);
}

static void bus_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct apic_bus *b = opaque;
    struct lapic *s = accessed(b, addr);
    if (s) {
        if (!(addr & 15)) reg_write(s, (unsigned)addr >> 4, (uint32_t)value);
        return;
    }
    apic_bus_msi(&b->dev, addr, (uint32_t)value);
}

static const struct mmio_ops bus_ops = {.read = bus_read,
                                        .write = bus_write,
                                        .min_size = 1,
                                        .max_size = 8,
                                        .impl_min = 4,
                                        .impl_max = 4};

static int bus_realize(struct device *d, struct error *e)
{
    periph_make_mmio(d, 0, "apic-msi", 0x100000, &bus_ops);
    return 0;
}

static const struct prop_desc bus_props[] = {PROP_END};
static const struct state_field bus_state[] = {
    STATE_RUNTIME(struct apic_bus, apic),
    STATE_RUNTIME(struct apic_bus, n),
    STATE_INT_RESET(struct apic_bus, lowest, 0),
    STATE_RUNTIME(struct apic_bus, current),
    STATE_RUNTIME(struct apic_bus, opaque),
    STATE_RUNTIME(struct apic_bus, eoi),
    STATE_END,
};

static int bus_post_load(struct device *d, struct error *e)
{
    struct apic_bus *b = (struct apic_bus *)d;
    if (b->n) b->lowest %= b->n;
    return 0;
}

const struct dev_desc apic_bus_desc = {
    .name = "apic-bus",
    .help = "bus of interrupt messages, with the local APICs' register page",
    .bus = BUS_SYSTEM,
    .category = DEV_INTC,
    .size = sizeof(struct apic_bus),
    .props = bus_props,
    .state = bus_state,
    .realize = bus_realize,
    .unrealize = periph_drop_regions,
    .post_load = bus_post_load,
};
