/*
 * user-devices.h - devices that -device and -drive if=virtio ask for, on the buses of a board.
 */
#ifndef MACHINES_USER_DEVICES_H
#define MACHINES_USER_DEVICES_H

#include "machines/machine.h"

/* Makes a -device: on the bus that its property "bus" names, else on the first one it fits. pci,
 * isa: what the devices of these buses hang on; NULL: the board has no such bus. NULL + error. */
struct device *machine_user_device(struct machine *, const struct machine_device *,
                                   struct device *pci, struct device *isa, struct error *e);
/* A virtio-blk-pci for each drive of if=virtio. 0 or -1. */
int machine_virtio_drives(struct machine *, struct device *pci, struct error *e);

#endif
