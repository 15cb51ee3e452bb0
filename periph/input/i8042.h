/*
 * i8042.h - the keyboard controller of PCs ("i8042"), with its keyboard and mouse.
 *
 * Outputs: 0 keyboard interrupt (IRQ 1), 1 mouse interrupt (IRQ 12), 2 gate of address line 20. A
 * reset by the output port is asked of the machine (MB_RESET). Region 0 is the data port, region 1
 * the command port.
 */
#ifndef PERIPH_INPUT_I8042_H
#define PERIPH_INPUT_I8042_H

#include "bus/dev.h"

enum { I8042_IRQ_KBD, I8042_IRQ_MOUSE, I8042_A20 };

/* The ps2-kbd and ps2-mouse behind it (made by its realize). */
struct device *i8042_kbd(struct device *d);
struct device *i8042_mouse(struct device *d);

#endif
