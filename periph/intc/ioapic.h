/*
 * ioapic.h - the I/O APIC of PCs ("ioapic"): 24 inputs, numbered as in its redirection table. Sends
 * its messages to an "apic-bus".
 */
#ifndef PERIPH_INTC_IOAPIC_H
#define PERIPH_INTC_IOAPIC_H

#include "bus/dev.h"

enum { IOAPIC_PINS = 24 };

/* Both must be realized; false: the bus takes no more listeners. */
bool ioapic_connect(struct device *ioapic, struct device *apic_bus);

#endif
