/*
 * user-devices.c - -device; see user-devices.h.
 */
#include "machines/user-devices.h"

#include "periph/block/ahci.h"
#include "periph/virtio/virtio-balloon.h"

#include <stdlib.h>

/* The drive of -drive id=ID,if=none. -1 and an error: something else has it. */
static int find_drive(struct machine *m, const char *id, struct drive_config **out, struct error *e)
{
    *out = NULL;
    for (unsigned i = 0; i < m->cfg.n_drives; i++) {
        struct drive_config *d = &m->cfg.drives[i];
        if (d->id && !strcmp(d->id, id)) *out = d;
    }
    if (!*out) return 0;
    bool used = (*out)->used || (*out)->interface != DRIVE_NONE;
    for (unsigned i = 0; i < m->cfg.n_drives; i++)
        used |= &m->cfg.drives[i] != *out && (*out)->blk && m->cfg.drives[i].blk == (*out)->blk;
    if (used) return error_set(e, "Drive '%s' is already in use by another block device", id);
    return 0;
}

static const struct prop_desc *find_prop(const struct dev_desc *desc, const char *name)
{
    for (const struct prop_desc *p = desc->props; p && p->name; p++) {
        if (!strcmp(p->name, name)) return p;
    }
    return NULL;
}

static int set_prop(struct machine *m, struct device *d, const struct machine_prop *p,
                    struct error *e)
{
    const struct prop_desc *desc = find_prop(d->desc, p->name);
    struct drive_config *drive = NULL;
    if (desc && desc->kind == PROP_DRIVE && find_drive(m, p->value, &drive, e)) return -1;
    if (!drive) return dev_set_prop(d, p->name, p->value, e);
    if (drive->blk) dev_set_ptr(d, p->name, drive->blk);
    drive->used = true;
    drive->device = d;
    return 0;
}

/* The device whose bus is called `name`: "ID.0", or "KIND.0" for the first one. NULL: any. */
static struct device *find_parent(struct machine *m, uint8_t bus, const char *name)
{
    static const char *const kinds[] = {
        [BUS_SCSI] = "scsi.0", [BUS_VIRTIO_SERIAL] = "virtio-serial-bus.0"};
    bool first = !name || (bus < ARRAY_LEN(kinds) && kinds[bus] && !strcmp(name, kinds[bus]));
    for (struct device *d = m->mb->first; d; d = d->next) {
        if (!d->desc->child_bus || d->desc->child_bus != bus) continue;
        size_t n = d->id ? strlen(d->id) : 0;
        if (first || (n && !strncmp(name, d->id, n) && !strcmp(name + n, ".0"))) return d;
    }
    return NULL;
}

/* The IDE controller one of whose buses is called `name`, "ID.N"; *unit: of its bus N, as drives count units. */
static struct device *ide_parent(struct machine *m, const char *name, unsigned *unit)
{
    for (struct device *d = m->mb->first; d && name; d = d->next) {
        size_t n = d->id ? strlen(d->id) : 0;
        if (d->desc->child_bus != BUS_IDE || !n || strncmp(name, d->id, n) || name[n] != '.') continue;
        struct ide_channel **ch = d->bus_children;
        char *end;
        unsigned long bus = strtoul(name + n + 1, &end, 10);
        if (name[n + 1] < '0' || name[n + 1] > '9' || *end || bus >= AHCI_PORTS) return NULL;
        *unit = 2 * ((unsigned)(ch - m->mb->ide) + (unsigned)bus);
        return d;
    }
    return NULL;
}

/* The root bus, by its name: "pci", "pci.0", or "pcie.0" where it is PCI Express; or the bus of a bridge, by the bridge's id. */
static struct device *pci_parent(struct machine *m, const char *bus, struct device *pci)
{
    const char *root = pci && !strncmp(pci->desc->name, "q35", 3) ? "pcie.0" : "pci.0";
    if (!bus || !strcmp(bus, root) || !strcmp(bus, "pci")) return pci;
    for (struct device *d = m->mb->first; d; d = d->next) {
        if (d->desc->child_bus == BUS_PCI && d->id && !strcmp(bus, d->id)) return d;
    }
    return NULL;
}

static struct device *parent_of(struct machine *m, const struct dev_desc *desc, const char *bus,
                                struct device *pci, struct device *isa, unsigned *ide_unit, struct error *e)
{
    struct device *parent = NULL;
    if (desc->bus == BUS_PCI)
        parent = pci_parent(m, bus, pci);
    else if (desc->bus == BUS_ISA)
        parent = bus && strcmp(bus, "isa.0") ? NULL : isa;
    else if (desc->bus == BUS_IDE)
        parent = ide_parent(m, bus, ide_unit);
    else
        parent = find_parent(m, desc->bus, bus);
    if (!parent && bus)
        error_set(e, "Bus '%s' not found", bus);
    else if (!parent)
        error_set(e, "No bus of the machine takes device '%s'", desc->name);
    return parent;
}

struct device *machine_user_device(struct machine *m, const struct machine_device *c,
                                   struct device *pci, struct device *isa, const char **bootindex,
                                   struct error *e)
{
    const struct dev_desc *desc = dev_find(c->driver);
    const char *bus = NULL;
    if (!desc) return error_set(e, "'%s' is not a valid device model name", c->driver), NULL;
    if (!desc->user_creatable)
        return error_set(e, "Parameter 'driver' expects a pluggable device type: '%s'", c->driver),
               NULL;
    for (unsigned i = 0; i < c->n_props; i++) {
        if (!strcmp(c->props[i].name, "bus")) bus = c->props[i].value;
    }
    unsigned ide_unit = 0;
    struct device *parent = parent_of(m, desc, bus, pci, isa, &ide_unit, e);
    if (!parent) return NULL;
    struct device *d = dev_create(m->mb, desc, parent, c->id);
    if (desc->bus == BUS_IDE) dev_set_int(d, "unit", ide_unit);
    for (unsigned i = 0; i < c->n_props; i++) {
        if (!strcmp(c->props[i].name, "bus")) continue;
        bool bootable = desc->bus == BUS_PCI || desc->bus == BUS_SCSI || desc->bus == BUS_IDE;
        if (bootindex && bootable && !strcmp(c->props[i].name, "bootindex")) {
            *bootindex = c->props[i].value;
            continue;
        }
        if (set_prop(m, d, &c->props[i], e)) {
            dev_destroy(d);
            return NULL;
        }
    }
    return dev_finish(d, e);
}

struct device *machine_virtio_drive(struct machine *m, struct drive_config *c,
                                    struct device *pci, struct error *e)
{
    if (!pci)
        return error_set(e, "machine \"%s\" has no bus for drive '%s' (if=virtio)",
                         m->cfg.board->name, c->id ? c->id : "?"), NULL;
    struct device *d = dev_create(m->mb, dev_find("virtio-blk-pci"), pci, c->id);
    c->device = d;
    if (c->blk) dev_set_ptr(d, "drive", c->blk);
    return dev_finish(d, e);
}

int machine_virtio_drives(struct machine *m, struct device *pci, struct error *e)
{
    for (unsigned i = 0; i < m->cfg.n_drives; i++) {
        if (m->cfg.drives[i].interface != DRIVE_VIRTIO) continue;
        if (!machine_virtio_drive(m, &m->cfg.drives[i], pci, e)) return -1;
    }
    return 0;
}

bool machine_balloon_set(struct machine *m, uint64_t bytes)
{
    return virtio_balloon_set(m->mb, bytes);
}

bool machine_balloon_get(struct machine *m, uint64_t *bytes)
{
    return virtio_balloon_get(m->mb, bytes);
}
