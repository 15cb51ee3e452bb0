/*
 * hpet.h - the high precision event timer of PCs ("hpet").
 *
 * Inputs 0 and 1 are the outputs of the 8254 and of the RTC, which pass to outputs 0 (ISA IRQ 0) and
 * 8 (ISA IRQ 8) unless the guest chose legacy replacement. Outputs are numbered as the I/O APIC's
 * inputs, but for 0, which is ISA IRQ 0.
 */
#ifndef PERIPH_TIMER_HPET_H
#define PERIPH_TIMER_HPET_H

#include "bus/dev.h"

enum { HPET_IN_PIT, HPET_IN_RTC, HPET_INPUTS };
enum { HPET_OUTPUTS = 24 };

#endif
