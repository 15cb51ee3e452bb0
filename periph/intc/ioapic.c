/*
 * ioapic.c - the 82093AA I/O APIC.
 *
 * Follows Intel's data sheet 290566. The serial APIC bus and its arbitration are not modelled (the
 * arbitration register reads as the id); messages go to the local APICs directly.
 */
#include "periph/intc/ioapic.h"

#include "periph/intc/lapic.h"
#include "periph/regions.h"
#include "util/log.h"

#include <inttypes.h>
#include <stdio.h>

enum { REGSEL = 0x00, WINDOW = 0x10 };
enum { IOAPICID = 0, IOAPICVER = 1, IOAPICARB = 2, IOREDTBL = 0x10 };
enum { IOAPIC_VERSION = 0x11 };
enum {
    RED_LOGICAL = 1 << 11,
    RED_STATUS = 1 << 12,
    RED_LOW = 1 << 13,
    RED_REMOTE_IRR = 1 << 14,
    RED_LEVEL = 1 << 15,
    RED_MASKED = 1 << 16
};

struct ioapic {
    struct device dev;
    uint8_t id, select;
    uint32_t pins;    /* levels of the inputs */
    uint32_t latched; /* edges that came while the entry was masked or that wait for their message */
    uint64_t entry[IOAPIC_PINS];
    uint64_t count[IOAPIC_PINS]; /* runtime: rises of each input */
    struct device *bus;
};

static bool asserted(const struct ioapic *s, unsigned n)
{
    return (s->pins >> n & 1) != !!(s->entry[n] & RED_LOW);
}

static void send(struct ioapic *s, unsigned n)
{
    uint64_t e = s->entry[n];
    struct apic_message m = {.destination = apic_destination((uint8_t)(e >> 56)),
                             .mode = (uint8_t)(e >> 8 & 7),
                             .vector = (uint8_t)e,
                             .logical = e & RED_LOGICAL,
                             .level = e & RED_LEVEL};
    if (m.mode == APIC_EXTINT) return; /* the 8259s' vector does not come this way on a PC */
    if (s->bus) apic_bus_send(s->bus, &m);
}

/* Sends what the input asks for, if it may. */
static void serve(struct ioapic *s, unsigned n)
{
    uint64_t *e = &s->entry[n];
    if (*e & RED_MASKED) return;
    if (*e & RED_LEVEL) {
        if (!asserted(s, n) || (*e & RED_REMOTE_IRR)) return;
        *e |= RED_REMOTE_IRR;
        send(s, n);
    } else if (s->latched >> n & 1) {
        s->latched &= ~(1u << n);
        send(s, n);
    }
}

static void ioapic_input(void *opaque, unsigned n, bool level)
{
    struct ioapic *s = opaque;
    if (n >= IOAPIC_PINS || (s->pins >> n & 1) == level) return;
    s->pins ^= 1u << n;
    s->count[n] += level;
    /* A masked edge is lost, as on the chip. */
    if (asserted(s, n) && !(s->entry[n] & (RED_LEVEL | RED_MASKED))) s->latched |= 1u << n;
    serve(s, n);
}

static void end_of_interrupt(void *opaque, uint8_t vector)
{
    struct ioapic *s = opaque;
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        uint64_t *e = &s->entry[n];
        if ((uint8_t)*e != vector || !(*e & RED_LEVEL) || !(*e & RED_REMOTE_IRR)) continue;
        *e &= ~(uint64_t)RED_REMOTE_IRR;
        serve(s, n);
    }
}

static void write_entry(struct ioapic *s, unsigned n, bool high, uint32_t v)
{
    uint64_t *e = &s->entry[n];
    if (high) {
        *e = (*e & 0xffffffffu) | (uint64_t)(v & 0xff000000u) << 32;
    } else {
        uint64_t keep = UINT64_C(0xffffffff00000000) | RED_STATUS | RED_REMOTE_IRR;
        *e = (*e & keep) | (v & 0x1afffu);
        /* Drivers clear a stuck request by going through edge mode. */
        if (!(v & RED_LEVEL)) *e &= ~(uint64_t)RED_REMOTE_IRR;
    }
    serve(s, n);
}

static uint64_t ioapic_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ioapic *s = opaque;
    if (addr == REGSEL) return s->select;
    if (addr != WINDOW) return 0;
    switch (s->select) {
    case IOAPICID:
    case IOAPICARB: return (uint32_t)s->id << 24;
    case IOAPICVER: return IOAPIC_VERSION | (IOAPIC_PINS - 1) << 16;
    default: break;
    }
    unsigned n = (s->select - (unsigned)IOREDTBL) / 2;
    if (s->select < IOREDTBL || n >= IOAPIC_PINS) return 0;
    return s->select & 1 ? s->entry[n] >> 32 : s->entry[n] & 0xffffffffu;
}

static void ioapic_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ioapic *s = opaque;
    if (addr == REGSEL) {
        s->select = (uint8_t)value;
    } else if (addr == WINDOW && s->select == IOAPICID) {
        s->id = value >> 24 & 15;
    } else if (addr == WINDOW && s->select >= IOREDTBL &&
               (s->select - (unsigned)IOREDTBL) / 2 < IOAPIC_PINS) {
        write_entry(s, (s->select - (unsigned)IOREDTBL) / 2, s->select & 1, (uint32_t)value);
    } else {
        LOG(GUEST_ERRORS, "ioapic: write at 0x%x, register 0x%x\n", (unsigned)addr, s->select);
    }
}

/* "  NAME 3 5", or that there are none */
static void dump_pins(const char *name, uint32_t pins, void (*put)(void *, const char *), void *opaque)
{
    char line[120];
    int n = snprintf(line, sizeof line, "  %-8s", name);
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        if (pins >> i & 1) n += snprintf(line + n, sizeof line - (size_t)n, " %u", i);
    }
    if (!pins) snprintf(line + n, sizeof line - (size_t)n, " (none)");
    put(opaque, line);
}

static void ioapic_dump(struct device *d, void (*put)(void *, const char *), void *opaque)
{
    static const char modes[8][8] = {"fixed", "lowest", "SMI", "?", "NMI", "INIT", "?", "ExtINT"};
    const struct ioapic *s = (struct ioapic *)d;
    uint32_t asking = 0, remote = 0;
    char line[120];
    snprintf(line, sizeof line, "ioapic0: ver=0x%x id=0x%02x sel=0x%02x", IOAPIC_VERSION, s->id, s->select);
    put(opaque, line);
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        uint64_t e = s->entry[n];
        snprintf(line, sizeof line, "  pin %-2u 0x%016" PRIx64 " dest=%x vec=%-3u %s %-5s %-6s %-6s %s", n, e, (unsigned)(e >> 56), (unsigned)(e & 0xff),
                 e & RED_LOW ? "active-lo" : "active-hi", e & RED_LEVEL ? "level" : "edge", e & RED_MASKED ? "masked" : "", modes[e >> 8 & 7],
                 e & RED_LOGICAL ? "logical" : "physical");
        put(opaque, line);
        if (e & RED_LEVEL ? asserted(s, n) : s->latched >> n & 1) asking |= 1u << n;
        if (e & RED_REMOTE_IRR) remote |= 1u << n;
    }
    dump_pins("IRR", asking, put, opaque);
    dump_pins("Remote IRR", remote, put, opaque);
}

static uint64_t ioapic_count(struct device *d, unsigned n)
{
    return n < IOAPIC_PINS ? ((struct ioapic *)d)->count[n] : 0;
}

bool ioapic_connect(struct device *d, struct device *bus)
{
    ((struct ioapic *)d)->bus = bus;
    return apic_bus_on_eoi(bus, end_of_interrupt, d);
}

static const struct mmio_ops ops = {.read = ioapic_read,
                                    .write = ioapic_write,
                                    .min_size = 1,
                                    .max_size = 8,
                                    .impl_min = 4,
                                    .impl_max = 4};

static int ioapic_realize(struct device *d, struct error *e)
{
    periph_make_mmio(d, 0, "ioapic", 0x1000, &ops);
    return 0;
}

static const struct prop_desc props[] = {PROP_END};
static const struct state_field state[] = {
    STATE_INT_RESET(struct ioapic, id, 0),
    STATE_INT_RESET(struct ioapic, select, 0),
    STATE_INT(struct ioapic, pins), /* not reset: driven from outside */
    STATE_INT_RESET(struct ioapic, latched, 0),
    STATE_ARR_RESET(struct ioapic, entry, RED_MASKED),
    STATE_RUNTIME(struct ioapic, count),
    STATE_RUNTIME(struct ioapic, bus),
    STATE_END,
};
static const struct reg_desc regs[] = {{REGSEL, "IOREGSEL", 4}, {WINDOW, "IOWIN", 4}, REG_END};

const struct dev_desc ioapic_desc = {
    .name = "ioapic",
    .help = "82093AA I/O APIC",
    .bus = BUS_SYSTEM,
    .category = DEV_INTC,
    .size = sizeof(struct ioapic),
    .props = props,
    .state = state,
    .regs = regs,
    .realize = ioapic_realize,
    .unrealize = periph_drop_regions,
    .input = ioapic_input,
    .n_inputs = IOAPIC_PINS,
    .dump = ioapic_dump,
    .count = ioapic_count,
};
