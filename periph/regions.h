/*
 * regions.h - what nearly every device model does with its regions: make one, map it, give it back.
 */
#ifndef PERIPH_REGIONS_H
#define PERIPH_REGIONS_H

#include "bus/dev.h"

/* Makes the region d->mmio[slot] for `ops` with opaque d; it is not mapped. */
void periph_make_mmio(struct device *d, unsigned slot, const char *name, uint64_t size,
                      const struct mmio_ops *ops);
/* The same, mapped at I/O port `base` of the machine. 0; -1 when the machine has no I/O ports. */
int periph_map_ports(struct device *d, unsigned slot, const char *name, uint64_t base,
                     uint64_t size, const struct mmio_ops *ops, struct error *e);
/* Unmaps and deletes all regions of d: the whole unrealize of a simple device. */
void periph_drop_regions(struct device *d);

#endif
