/*
 * regions.c - making, mapping and deleting the regions of a device.
 */
#include "periph/regions.h"

void periph_make_mmio(struct device *d, unsigned slot, const char *name, uint64_t size,
                      const struct mmio_ops *ops)
{
    d->mmio[slot] = region_new_mmio(name, size, ops, d);
}

int periph_map_ports(struct device *d, unsigned slot, const char *name, uint64_t base,
                     uint64_t size, const struct mmio_ops *ops, struct error *e)
{
    if (!d->mb->io_root) return error_set(e, "%s: this machine has no I/O ports", d->desc->name);
    periph_make_mmio(d, slot, name, size, ops);
    region_add(d->mb->io_root, d->mmio[slot], base, 0);
    return 0;
}

void periph_drop_regions(struct device *d)
{
    for (unsigned i = 0; i < DEV_MAX_MMIO; i++) {
        if (!d->mmio[i]) continue;
        region_remove(d->mmio[i]);
        region_delete(d->mmio[i]);
        d->mmio[i] = NULL;
    }
}
