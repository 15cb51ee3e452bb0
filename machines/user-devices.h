/*
 * user-devices.h - devices that -device and -drive if=virtio ask for, on the buses of a board.
 */
#ifndef MACHINES_USER_DEVICES_H
#define MACHINES_USER_DEVICES_H

#include "machines/machine.h"

/* Makes a -device: on the bus that its property "bus" names, else on the first one it fits. pci,
 * isa: what the devices of these buses hang on; NULL: the board has no such bus. *bootindex
 * (NULL: the board has no boot order): set to that property of a PCI device or a drive. NULL + error. */
struct device *machine_user_device(struct machine *, const struct machine_device *,
                                   struct device *pci, struct device *isa, const char **bootindex,
                                   struct error *e);
/* A virtio-blk-pci for a drive of if=virtio, and for each of them. NULL or -1 + error. */
struct device *machine_virtio_drive(struct machine *, struct drive_config *,
                                    struct device *pci, struct error *e);
int machine_virtio_drives(struct machine *, struct device *pci, struct error *e);

/* The memory balloon: it shall hold this many bytes; how many it does. False: there is none. */
bool machine_balloon_set(struct machine *, uint64_t bytes);
bool machine_balloon_get(struct machine *, uint64_t *bytes);

#endif
