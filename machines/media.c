/*
 * media.c - drives by name and their media; see media.h.
 */
#include "machines/media.h"

/* The unit of its device that a drive of the command line is. */
static unsigned unit_of(const struct drive_config *c)
{
    return c->interface == DRIVE_FLOPPY ? (unsigned)c->index : 0;
}

static void look(struct machine_drive *d)
{
    const struct media_ops *ops = d->device ? d->device->desc->media : NULL;
    d->removable = ops && ops->state(d->device, d->unit, &d->media);
    d->read_only = d->removable && ops->read_only;
    if (!d->removable) d->media = (struct media_state){.blk = d->config ? d->config->blk : NULL};
}

/* Is it there only for a device to be given it by name? Then that device's entry stands for both. */
static bool is_source(const struct machine *m, const struct drive_config *c)
{
    for (unsigned i = 0; c->interface == DRIVE_NONE && i < m->cfg.n_drives; i++) {
        const char *s = m->cfg.drives[i].source;
        if (s && c->id && !strcmp(s, c->id)) return true;
    }
    return false;
}

/* The name of the drive that a device was given, where it is one of the command line. */
static const char *name_of(const struct machine *m, const struct drive_config *c)
{
    for (unsigned i = 0; c->source && i < m->cfg.n_drives; i++) {
        const char *id = m->cfg.drives[i].id;
        if (m->cfg.drives[i].interface == DRIVE_NONE && id && !strcmp(id, c->source)) return id;
    }
    return c->id ? c->id : "?";
}

static bool is_configured(const struct machine *m, const struct device *d, unsigned unit)
{
    for (unsigned i = 0; i < m->cfg.n_drives; i++) {
        if (m->cfg.drives[i].device == d && unit_of(&m->cfg.drives[i]) == unit) return true;
    }
    return false;
}

bool machine_drive_at(struct machine *m, unsigned i, struct machine_drive *out)
{
    static const char *const floppies[] = {"floppy0", "floppy1"};
    for (unsigned k = 0; k < m->cfg.n_drives; k++) {
        struct drive_config *c = &m->cfg.drives[k];
        if (is_source(m, c) || i--) continue;
        *out = (struct machine_drive){.id = name_of(m, c), .config = c, .device = c->device, .unit = unit_of(c)};
        look(out);
        return true;
    }
    for (struct device *d = m->mb->first; d; d = d->next) {
        const struct media_ops *ops = d->desc->media;
        for (unsigned u = 0; ops && u < ops->units; u++) {
            struct media_state s;
            if (!ops->state(d, u, &s) || is_configured(m, d, u) || i--) continue;
            *out = (struct machine_drive){.id = d->id ? d->id : d->path, .device = d, .unit = u};
            if (ops->units > 1 && u < ARRAY_LEN(floppies)) out->id = floppies[u];
            look(out);
            return true;
        }
    }
    return false;
}

bool machine_drive_find(struct machine *m, const char *id, struct machine_drive *out)
{
    for (unsigned i = 0; machine_drive_at(m, i, out); i++) {
        const struct drive_config *c = out->config;
        if (!strcmp(out->id, id) || (c && c->id && !strcmp(c->id, id))) return true;
        if (out->device && out->device->id && !strcmp(out->device->id, id)) return true;
    }
    return false;
}

int machine_drive_change(struct machine *m, const struct machine_drive *d, struct blk_backend *blk,
                         struct blk_backend **old, bool force, struct error *e)
{
    *old = NULL;
    if (!d->removable) return error_set(e, "Device '%s' is not removable", d->id);
    if (d->device->desc->media->change(d->device, d->unit, blk, old, force, e)) return -1;
    for (unsigned i = 0; *old && i < m->cfg.n_drives; i++) {
        if (m->cfg.drives[i].blk == *old) m->cfg.drives[i].blk = NULL;
    }
    if (d->config) d->config->blk = blk;
    return 0;
}
