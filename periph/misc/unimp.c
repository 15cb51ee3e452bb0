/*
 * unimp.c - a place in memory where hardware is missing ("unimp"): reads give 0, writes go nowhere,
 * and every access is logged under -d unimp.
 */
#include "periph/regions.h"
#include "util/log.h"

#include <inttypes.h>

/* "base" that leaves the mapping of region 0 to the board */
#define NOT_MAPPED UINT64_MAX

struct unimp {
    struct device dev;
    char *name;
    uint64_t base, size;
};

static uint64_t unimp_read(void *opaque, uint64_t addr, unsigned size)
{
    struct unimp *s = opaque;

    LOG(UNIMP, "%s: read of %u bytes at offset 0x%" PRIx64 "\n", s->name, size, addr);
    return 0;
}

static void unimp_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct unimp *s = opaque;

    LOG(UNIMP, "%s: write of 0x%" PRIx64 " (%u bytes) at offset 0x%" PRIx64 "\n", s->name, value,
        size, addr);
}

static const struct mmio_ops ops = {
    .read = unimp_read, .write = unimp_write, .min_size = 1, .max_size = 8};

static int unimp_realize(struct device *d, struct error *e)
{
    enum { BELOW_ALL = -1000 };
    struct unimp *s = (struct unimp *)d;

    if (!s->size) return error_set(e, "unimp: property \"size\" must not be 0");
    periph_make_mmio(d, 0, s->name, s->size, &ops);
    if (s->base != NOT_MAPPED) region_add(d->mb->mem_root, d->mmio[0], s->base, BELOW_ALL);
    return 0;
}

static const struct prop_desc props[] = {
    PROP_STRING(struct unimp, "name", name, "unimplemented-device", "what is missing, for the log"),
    PROP(struct unimp, PROP_U64, "base", base, NOT_MAPPED, "address (default: the board maps it)"),
    PROP(struct unimp, PROP_SIZE, "size", size, 0x1000, "bytes"),
    PROP_END,
};

static const struct state_field state[] = {
    STATE_PROP(struct unimp, name),
    STATE_PROP(struct unimp, base),
    STATE_PROP(struct unimp, size),
    STATE_END,
};

const struct dev_desc unimp_desc = {
    .name = "unimp",
    .help = "missing hardware: logs its accesses",
    .bus = BUS_SYSTEM,
    .category = DEV_MISC,
    .size = sizeof(struct unimp),
    .props = props,
    .state = state,
    .realize = unimp_realize,
    .unrealize = periph_drop_regions,
};
