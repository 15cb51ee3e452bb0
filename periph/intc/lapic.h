/*
 * lapic.h - local APICs ("apic", one for each CPU) and the bus between them and I/O APICs
 * ("apic-bus", one for each machine), which also is the memory range where processors see their
 * own local APIC and everybody else sends message signalled interrupts.
 *
 * Properties say whether an "apic" has an x2APIC and the TSC deadline mode.
 *
 * Inputs of an "apic": 0 LINT0, 1 LINT1. Outputs: 0 INTR (a level), 1 NMI, 2 SMI (pulses). INIT and
 * start-up messages come to the processor's owner by lapic_connect.
 */
#ifndef PERIPH_INTC_LAPIC_H
#define PERIPH_INTC_LAPIC_H

#include "bus/dev.h"

enum { LAPIC_LINT0, LAPIC_LINT1, LAPIC_INPUTS };
enum { LAPIC_INTR, LAPIC_NMI, LAPIC_SMI, LAPIC_OUTPUTS };
enum { LAPIC_MAX = 255 };

/* Delivery modes of messages. */
enum {
    APIC_FIXED = 0,
    APIC_LOWEST = 1,
    APIC_SMI = 2,
    APIC_NMI = 4,
    APIC_INIT = 5,
    APIC_STARTUP = 6,
    APIC_EXTINT = 7
};
struct apic_message {
    uint32_t destination; /* APIC_ALL: everybody */
    uint8_t mode, vector;
    bool logical, level;
};
#define APIC_ALL UINT32_MAX
/* A destination of the eight bits that I/O APICs, PCI functions and local APICs without x2APIC have for it. */
static inline uint32_t apic_destination(uint8_t d)
{
    return d == 0xff ? APIC_ALL : d;
}

enum lapic_event { LAPIC_EVENT_INIT, LAPIC_EVENT_STARTUP };
typedef void (*lapic_event_fn)(void *opaque, enum lapic_event, uint8_t vector);

/* Puts a realized "apic" on the bus; false: there is no room. Both live equally long. */
bool apic_bus_add(struct device *bus, struct device *apic);
/* Which local APIC an access to the bus's region comes from: fn returns it, or NULL when no processor
 * is running (then a write is a message). */
void apic_bus_set_current(struct device *bus, struct device *(*fn)(void *), void *opaque);
/* Called at the end of service of each level-triggered vector (up to four listeners). */
bool apic_bus_on_eoi(struct device *bus, void (*fn)(void *, uint8_t vector), void *opaque);
/* A message signalled interrupt: a write of `data` to `addr` by who is no processor. */
void apic_bus_msi(struct device *bus, uint64_t addr, uint32_t data);
void apic_bus_send(struct device *bus, const struct apic_message *);

void lapic_connect(struct device *apic, lapic_event_fn, void *opaque);
/* The interrupt acknowledge cycle: a vector, LAPIC_ACK_EXTINT: the 8259s give it, or LAPIC_ACK_NONE. */
enum { LAPIC_ACK_NONE = -1, LAPIC_ACK_EXTINT = -2 };
int lapic_ack(struct device *apic);
/* Bits 7:4 of the task priority. */
uint8_t lapic_get_tpr(struct device *apic);
void lapic_set_tpr(struct device *apic, uint8_t priority);
/* IA32_APIC_BASE (MSR 1Bh). set: false when a bit is set that does not exist. */
uint64_t lapic_get_base(struct device *apic);
bool lapic_set_base(struct device *apic, uint64_t base);
/* The x2APIC's registers: MSR 800h + n. False: #GP (always while IA32_APIC_BASE has the mode off). */
bool lapic_msr_read(struct device *apic, unsigned n, uint64_t *value);
bool lapic_msr_write(struct device *apic, unsigned n, uint64_t value);
/* IA32_TSC_DEADLINE. set: `at` is the guest time (ns) at which the counter reaches `tsc`. get: 0 when no deadline is set. */
uint64_t lapic_get_deadline(struct device *apic);
void lapic_set_deadline(struct device *apic, uint64_t tsc, uint64_t at);

#endif
