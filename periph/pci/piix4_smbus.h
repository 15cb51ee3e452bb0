/*
 * piix4_smbus.h - the SMBus host controller inside PIIX4_PM and of ICH9-SMB. Only these two include this.
 */
#ifndef PERIPH_PCI_PIIX4_SMBUS_H
#define PERIPH_PCI_PIIX4_SMBUS_H

#include "bus/dev.h"
#include "periph/misc/smbus.h"

enum { SMBUS_HOST_PORTS = 16 };

struct smbus_host {
    uint8_t status, control, command, address, data0, data1, index;
    uint8_t slave[8]; /* slave and shadow registers: hold what is written */
    uint8_t block[32];
    struct smbus *bus;
};
extern const struct state_field smbus_host_state[];
extern const struct mmio_ops smbus_host_ops; /* opaque: struct smbus_host */

void smbus_host_reset(struct smbus_host *);
/* A transaction has ended, and its interrupt is enabled. */
bool smbus_host_irq(const struct smbus_host *);

#endif
