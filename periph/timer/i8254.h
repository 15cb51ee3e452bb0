/*
 * i8254.h - the interval timer of PCs ("isa-pit") and the speaker port beside it ("isa-pcspk").
 *
 * Output 0 of isa-pit is OUT of counter 0. Gates 0 and 1 are tied high; gate 2 belongs to the
 * speaker port.
 */
#ifndef PERIPH_TIMER_I8254_H
#define PERIPH_TIMER_I8254_H

#include "bus/dev.h"

enum { PIT_HZ = 1193182 };

/* Level of OUT of counter 0..2 now. */
bool pit_out(struct device *pit, unsigned counter);
/* Drives the gate of counter 0..2. */
void pit_set_gate(struct device *pit, unsigned counter, bool level);
/* What a speaker would play, and `info` shows: mode, and the frequency in Hz (0: nothing counts).
 */
uint32_t pit_frequency(struct device *pit, unsigned counter);

/* Gives the speaker port its timer. Without one port 61h has no gate and reads OUT2 as 0. */
void pcspk_set_pit(struct device *pcspk, struct device *pit);

#endif
