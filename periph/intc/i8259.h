/*
 * i8259.h - the interrupt controller of PCs ("isa-i8259"), one device for each chip.
 *
 * Inputs 0..7 are IR0..IR7. Output 0 is INT. A cascade is made by connecting output 0 of the slave
 * to an input of the master and naming the slave with i8259_set_slave.
 */
#ifndef PERIPH_INTC_I8259_H
#define PERIPH_INTC_I8259_H

#include "bus/dev.h"

/* The interrupt acknowledge cycle of a CPU or bridge: the vector (0..255), and the request moves to
 * in-service. When nothing requests any more it is the spurious IR7. On a master this acknowledges
 * the slave as well. */
int i8259_ack(struct device *d);
/* Both must be isa-i8259. The master asks the slave for the vector of input `ir`. NULL: no slave.
 */
void i8259_set_slave(struct device *master, struct device *slave, unsigned ir);

#endif
