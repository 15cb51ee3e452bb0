/*
 * dev.c - the registry of device descriptors, a machine's devices, and what derives from the
 * descriptors for all of them: reset, save, load, hash, audit, `info qtree`.
 *
 * Not here: properties (prop.c), single fields of state (state.c).
 */
#include "bus/dev.h"
#include "bus/prop.h"

#include <stdio.h>

/* ---- the registry: descriptors only, no machine's state ---- */
static const struct dev_desc **registry;
static unsigned n_registry;

void dev_register(const struct dev_desc *desc)
{
    if (dev_find(desc->name)) return;
    registry = mem_realloc(registry, sizeof *registry * (n_registry + 1));
    registry[n_registry++] = desc;
}

const struct dev_desc *dev_find(const char *name)
{
    for (unsigned i = 0; i < n_registry; i++)
        if (!strcmp(registry[i]->name, name)) return registry[i];
    return NULL;
}

const struct dev_desc *dev_iterate(unsigned i) { return i < n_registry ? registry[i] : NULL; }

const char *dev_reg_name(const struct dev_desc *desc, uint32_t addr)
{
    for (const struct reg_desc *r = desc->regs; r && r->name; r++)
        if (r->addr == addr) return r->name;
    return NULL;
}

long dev_audit(const struct dev_desc *desc)
{
    unsigned n = 0, k = 0;
    for (const struct state_field *f = desc->state; f && f->name; f++) n++;
    for (const struct prop_desc *p = desc->props; p && p->name; p++) k++;
    struct state_field *all = NEW_ARRAY(struct state_field, n + k + 1);
    if (n) memcpy(all, desc->state, sizeof *all * n);
    for (unsigned i = 0; i < k; i++) {
        const struct prop_desc *p = &desc->props[i];
        all[n + i] = (struct state_field){ .name = p->name, .kind = ST_PROP, .offset = p->offset,
                                           .size = (uint32_t)prop_size(p), .count = 1 };
    }
    long at = state_audit(all, sizeof(struct device), desc->size);
    mem_free(all);
    return at;
}

/* ---- the machine's bus ---- */
struct machine_bus *mb_new(uint64_t bits)
{
    struct machine_bus *mb = NEW(struct machine_bus);
    mb->mem_root = region_new_container("system", bits >= 64 ? UINT64_MAX : UINT64_C(1) << bits);
    mb->mem = as_new("memory", mb->mem_root);
    mb->io_root = region_new_container("io", 0x10000);
    mb->io = as_new("I/O", mb->io_root);
    mb->clock = clock_new();
    return mb;
}

void mb_delete(struct machine_bus *mb)
{
    if (!mb) return;
    while (mb->last) dev_destroy(mb->last);
    while (mb->globals) {
        struct dev_global *g = mb->globals;
        mb->globals = g->next;
        mem_free(g->driver);
        mem_free(g->prop);
        mem_free(g->value);
        mem_free(g);
    }
    while (mb->n_owned) region_delete(mb->owned[--mb->n_owned]);
    mem_free(mb->owned);
    as_delete(mb->mem);
    as_delete(mb->io);
    region_delete(mb->mem_root);
    region_delete(mb->io_root);
    clock_delete(mb->clock);
    mem_free(mb);
}

struct region *mb_own_region(struct machine_bus *mb, struct region *r)
{
    if (!r) return NULL;
    mb->owned = mem_realloc(mb->owned, sizeof(struct region *) * (mb->n_owned + 1));
    mb->owned[mb->n_owned++] = r;
    return r;
}

int mb_add_global(struct machine_bus *mb, const char *driver, const char *prop, const char *value)
{
    struct dev_global *g = NEW(struct dev_global), **p = &mb->globals;
    g->driver = mem_strdup(driver);
    g->prop = mem_strdup(prop);
    g->value = mem_strdup(value);
    while (*p) p = &(*p)->next;
    *p = g;
    return 0;
}

/* ---- devices ---- */
static bool path_taken(const struct machine_bus *mb, const char *path)
{
    for (const struct device *d = mb->first; d; d = d->next)
        if (d->path && !strcmp(d->path, path)) return true;
    return false;
}

void dev_set_path(struct device *d, const char *path)
{
    mem_free(d->path);
    d->path = NULL;
    char *s = mem_strdup(path);
    for (unsigned n = 2; path_taken(d->mb, s); n++) {
        mem_free(s);
        s = mem_printf("%s#%u", path, n);
    }
    d->path = s;
}

struct device *dev_create(struct machine_bus *mb, const struct dev_desc *desc, struct device *parent,
                          const char *id)
{
    struct device *d = mem_zalloc(MAX(desc->size, sizeof *d));
    d->desc = desc;
    d->mb = mb;
    d->clock = mb->clock;
    d->parent = parent;
    d->id = id ? mem_strdup(id) : NULL;

    char *path = mem_printf("%s/%s", parent ? parent->path : "", id ? id : desc->name);
    dev_set_path(d, path);
    mem_free(path);
    if (mb->last) mb->last->next = d;
    else mb->first = d;
    mb->last = d;

    prop_defaults(d);
    for (struct dev_global *g = mb->globals; g; g = g->next) {
        struct error e = ERROR_INIT;
        if (strcmp(g->driver, desc->name)) continue;
        g->used = true;
        if (!dev_set_prop(d, g->prop, g->value, &e) || d->deferred) continue;
        error_prefix(&e, "-global %s.%s=%s", g->driver, g->prop, g->value);
        d->deferred = NEW(struct error);
        *d->deferred = e;
    }
    return d;
}

int dev_realize(struct device *d, struct error *e)
{
    if (d->realized) return 0;
    if (d->deferred) {
        error_set(e, "%s", d->deferred->msg);
        return error_hint(e, "%s", d->deferred->hint);
    }
    if (d->desc->realize && d->desc->realize(d, e)) {
        error_set(e, "device \"%s\" cannot be made", d->desc->name); /* when it gave no reason */
        return -1;
    }
    d->realized = true;
    return 0;
}

void dev_destroy(struct device *d)
{
    if (!d) return;
    struct machine_bus *mb = d->mb;
    for (;;) { /* children were created later: the last one goes first */
        struct device *child = NULL;
        for (struct device *c = mb->first; c; c = c->next)
            if (c->parent == d) child = c;
        if (!child) break;
        dev_destroy(child);
    }
    if (d->realized && d->desc->unrealize) d->desc->unrealize(d);
    state_cancel_timers(d, d->desc->state);
    struct device *prev = NULL;
    for (struct device *c = mb->first; c != d; c = c->next) prev = c;
    if (prev) prev->next = d->next;
    else mb->first = d->next;
    if (mb->last == d) mb->last = prev;
    prop_free(d);
    mem_free(d->deferred);
    mem_free(d->id);
    mem_free(d->path);
    mem_free(d);
}

struct device *dev_finish(struct device *d, struct error *e)
{
    if (!dev_realize(d, e)) return d;
    dev_destroy(d);
    return NULL;
}

struct device *dev_make(struct machine_bus *mb, const char *name, struct device *parent, struct error *e)
{
    const struct dev_desc *desc = dev_find(name);
    if (!desc) {
        error_set(e, "there is no device \"%s\" in this program", name);
        return NULL;
    }
    return dev_finish(dev_create(mb, desc, parent, NULL), e);
}

int media_locked(const struct device *d, struct error *e)
{
    return error_set(e, "Device '%s' is locked and force was not specified, wait for tray to open and try again", d->id ? d->id : d->path);
}

/* ---- reset ---- */
void dev_reset(struct device *d)
{
    if (!d->realized) return;
    state_reset(d, d->desc->state);
    if (d->desc->reset) d->desc->reset(d);
}

void mb_reset(struct machine_bus *mb)
{
    /* Tables first: a line that a reset function raises must not be forgotten by an input reset after it. */
    for (struct device *d = mb->first; d; d = d->next)
        if (d->realized) state_reset(d, d->desc->state);
    for (struct device *d = mb->first; d; d = d->next)
        if (d->realized && d->desc->reset) d->desc->reset(d);
}

/* ---- save, load, hash ---- */
void mb_save(struct machine_bus *mb, struct state_buf *b)
{
    uint64_t n = 0;
    for (struct device *d = mb->first; d; d = d->next) n += d->realized;
    for (struct device *d = mb->first; d; d = d->next)
        if (d->realized && d->desc->pre_save) d->desc->pre_save(d);
    state_put_int(b, n, 4);
    for (struct device *d = mb->first; d; d = d->next) {
        if (!d->realized) continue;
        state_put_str(b, d->path);
        state_put_str(b, d->desc->name);
        size_t at = b->len;
        state_put_int(b, 0, 8);
        state_save(d, d->desc->state, b);
        st64_le(b->data + at, b->len - at - 8);
    }
}

static struct device *find_path(struct machine_bus *mb, const char *path)
{
    for (struct device *d = mb->first; d; d = d->next)
        if (d->realized && !strcmp(d->path, path)) return d;
    return NULL;
}

static int damaged(struct error *e)
{
    return error_set(e, "the saved state of the devices is damaged or cut off");
}

static int load_device(struct machine_bus *mb, struct state_buf *b, struct device **seen, unsigned n_seen,
                       struct error *e)
{
    char path[512], name[128];
    uint64_t len;

    if (!state_get_str(b, path, sizeof path) || !state_get_str(b, name, sizeof name) ||
        !state_get_int(b, &len, 8) || len > b->len - b->pos)
        return damaged(e);
    struct device *d = find_path(mb, path);
    if (!d)
        return error_set(e, "the saved state has a device \"%s\" (%s), which this machine lacks", path, name);
    if (strcmp(d->desc->name, name))
        return error_set(e, "device \"%s\" was saved as a \"%s\" and is a \"%s\" here", path, name, d->desc->name);
    for (unsigned i = 0; i < n_seen; i++)
        if (seen[i] == d) return error_set(e, "the saved state has the device \"%s\" twice", path);
    seen[n_seen] = d;

    struct state_buf in = { b->data + b->pos, (size_t)len, (size_t)len, 0 };
    if (state_load(d, d->desc->state, &in, path, e)) return -1;
    if (in.pos != in.len) return error_set(e, "%s: the saved state has more than the device's fields", path);
    b->pos += (size_t)len;
    return 0;
}

int mb_load(struct machine_bus *mb, struct state_buf *b, struct error *e)
{
    uint64_t n, have = 0;
    for (struct device *d = mb->first; d; d = d->next) have += d->realized;
    if (!state_get_int(b, &n, 4)) return damaged(e);
    if (n != have)
        return error_set(e, "the saved state has %u devices and this machine %u", (unsigned)n, (unsigned)have);
    struct device **seen = NEW_ARRAY(struct device *, have + 1);
    int rc = 0;
    for (unsigned i = 0; i < n && !rc; i++) rc = load_device(mb, b, seen, i, e);
    mem_free(seen);
    for (struct device *d = mb->first; d && !rc; d = d->next)
        if (d->realized && d->desc->post_load && d->desc->post_load(d, e)) {
            error_set(e, "%s: the saved state cannot be taken up", d->path);
            rc = -1;
        }
    return rc;
}

uint64_t mb_hash(struct machine_bus *mb)
{
    uint64_t h = 1;
    for (struct device *d = mb->first; d; d = d->next)
        if (d->realized && d->desc->pre_save) d->desc->pre_save(d);
    for (struct device *d = mb->first; d; d = d->next)
        if (d->realized) h = state_hash(d, d->desc->state, h);
    return h;
}

/* ---- info qtree ---- */
static const char *const bus_type[] = {
    [BUS_SYSTEM] = "System", [BUS_ISA] = "ISA", [BUS_PCI] = "PCI",
    [BUS_I2C] = "i2c-bus",   [BUS_IDE] = "IDE", [BUS_USB] = "usb-bus",
    [BUS_SCSI] = "SCSI",     [BUS_VIRTIO_SERIAL] = "virtio-serial-bus",
};
static const char *const bus_name[] = {
    [BUS_SYSTEM] = "sysbus", [BUS_ISA] = "isa", [BUS_PCI] = "pci",
    [BUS_I2C] = "i2c",       [BUS_IDE] = "ide", [BUS_USB] = "usb-bus",
    [BUS_SCSI] = "scsi",     [BUS_VIRTIO_SERIAL] = "virtio-serial-bus",
};

struct qtree {
    struct machine_bus *mb;
    void (*put)(void *, const char *);
    void *opaque;
    unsigned n_bus[ARRAY_LEN(bus_type)]; /* numbers given so far */
};

static void dump_children(struct qtree *q, const struct device *parent, int indent);

static void dump_device(struct qtree *q, struct device *d, int indent)
{
    char line[640], value[512];
    snprintf(line, sizeof line, "%*sdev: %s, id \"%s\"", indent, "", d->desc->name, d->id ? d->id : "");
    q->put(q->opaque, line);
    for (const struct prop_desc *p = d->desc->props; p && p->name; p++) {
        prop_text(d, p, value, sizeof value);
        snprintf(line, sizeof line, "%*s%s = %s", indent + 2, "", p->name, value);
        q->put(q->opaque, line);
    }
    dump_children(q, d, indent + 2);
}

static void dump_children(struct qtree *q, const struct device *parent, int indent)
{
    char line[128];
    if (indent > 80) return;
    for (unsigned bus = 0; bus < ARRAY_LEN(bus_type); bus++) {
        bool head = false;
        for (struct device *d = q->mb->first; d; d = d->next) {
            if (d->parent != parent || d->desc->bus != bus) continue;
            if (!head) {
                if (!parent && bus == BUS_SYSTEM)
                    snprintf(line, sizeof line, "%*sbus: main-system-bus", indent, "");
                else
                    snprintf(line, sizeof line, "%*sbus: %s.%u", indent, "", bus_name[bus], q->n_bus[bus]++);
                q->put(q->opaque, line);
                snprintf(line, sizeof line, "%*stype %s", indent + 2, "", bus_type[bus]);
                q->put(q->opaque, line);
                head = true;
            }
            dump_device(q, d, indent + 2);
        }
    }
}

void mb_dump(struct machine_bus *mb, void (*put)(void *, const char *line), void *opaque)
{
    struct qtree q = { mb, put, opaque, { 0 } };
    dump_children(&q, NULL, 0);
}
