/*
 * superio.h - SMSC's FDC37M81x super I/O chip ("fdc37m81x-superio"): its configuration port, which
 * moves and switches the devices that the board names.
 */
#ifndef PERIPH_MISC_SUPERIO_H
#define PERIPH_MISC_SUPERIO_H

#include "bus/dev.h"

enum superio_ldn {
    SUPERIO_FDC = 0,
    SUPERIO_PARALLEL = 3,
    SUPERIO_SERIAL1 = 4,
    SUPERIO_SERIAL2 = 5,
    SUPERIO_KBD = 7,
    SUPERIO_AUX = 8,
    SUPERIO_LDNS = 9
};

/* Makes `d` (realized, its region 0 in the machine's I/O ports) the logical device ldn. Its region
 * is from now on where the chip's registers say. Interrupts stay as the board connected them: the
 * chip's interrupt and DMA selects are registers without effect. */
void superio_attach(struct device *superio, enum superio_ldn ldn, struct device *d);

#endif
