/*
 * gt64120.h - the GT-64120 system controller ("gt64120"): what boards need beyond the descriptor.
 *
 * Outputs 0..3 are the PCI lines INTA#..INTD# after the board's routing, output 4 is the
 * controller's own interrupt. The device maps its registers and windows itself.
 */
#ifndef PERIPH_PCI_GT64120_H
#define PERIPH_PCI_GT64120_H

#include "periph/pci/pci.h"

/* PCI interrupt acknowledge cycles (register 0xc34) are answered by ack(opaque): the vector of the
 * 8259 pair. */
void gt64120_set_ack(struct device *, int (*ack)(void *opaque), void *opaque);
/* What firmware leaves: registers at 1be00000, I/O window 18000000, memory windows 10000000 and
 * 18200000. */
void gt64120_as_firmware(struct device *);

#endif
