/*
 * mc146818.h - the real time clock and CMOS memory of PCs ("mc146818rtc").
 *
 * Output 0 is the interrupt (IRQ 8 of a PC, active high here). The first region is the pair of I/O
 * ports; a board without ports sets "iobase" to 0 and maps region 0 (index at 0, data at 1) itself.
 */
#ifndef PERIPH_TIMER_MC146818_H
#define PERIPH_TIMER_MC146818_H

#include "bus/dev.h"

/* Boards put what firmware expects into CMOS; index 14..127. The clock's registers are not changed.
 */
void mc146818_set_cmos(struct device *d, unsigned index, uint8_t value);

#endif
