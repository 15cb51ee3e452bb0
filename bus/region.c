/*
 * region.c - the tree of regions: creation, nesting, changes and who must hear of them.
 *
 * Not here: what the tree looks like to an access (flatten.c, as.c).
 */
#include "bus/region.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#if !defined(MAP_ANONYMOUS) && defined(MAP_ANON)
#define MAP_ANONYMOUS MAP_ANON
#endif
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* A machine is configured and run by one thread, so batching is the thread's. */
static _Thread_local unsigned batch_depth;
static _Thread_local struct address_space *batch_pending;
static _Thread_local uint64_t next_id, next_stamp;

/* ---- creation ---- */
static struct region *region_new(const char *name, enum region_kind kind, uint64_t size)
{
    struct region *r = NEW(struct region);
    r->name = mem_strdup(name);
    r->kind = kind;
    r->enabled = true;
    r->size = size;
    r->last = size == UINT64_MAX ? UINT64_MAX : size ? size - 1 : 0;
    r->id = ++next_id;
    return r;
}

struct region *region_new_container(const char *name, uint64_t size)
{
    return region_new(name, REGION_CONTAINER, size);
}

static struct region *new_memory(const char *name, enum region_kind kind, uint64_t size,
                                 struct error *e)
{
    long page = sysconf(_SC_PAGESIZE);
    uint64_t align = page > 4096 ? (uint64_t)page : 4096;

    if (!size || size > SIZE_MAX / 2 || size > UINT64_MAX / 2) {
        error_set(e, "%s: this host cannot hold a memory of 0x%llx bytes", name,
                  (unsigned long long)size);
        return NULL;
    }
    size_t len = (size_t)ALIGN_UP(size, align);
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) {
        error_set(e, "%s: cannot get 0x%llx bytes of memory from the host", name,
                  (unsigned long long)size);
        return NULL;
    }
    struct region *r = region_new(name, kind, size);
    r->ram = p;
    r->map_len = len;
    r->direct = true;
    return r;
}

void region_zero(uint8_t *p, size_t n)
{
#ifdef MADV_DONTNEED
    /* Private anonymous memory reads as zeros afterwards on Linux; elsewhere that is no promise. */
#ifdef __linux__
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (n && !((uintptr_t)p % page) && !(n % page) && !madvise(p, n, MADV_DONTNEED)) return;
#endif
#endif
    memset(p, 0, n);
}

struct region *region_new_ram(const char *name, uint64_t size, struct error *e)
{
    return new_memory(name, REGION_RAM, size, e);
}

struct region *region_new_rom(const char *name, uint64_t size, struct error *e)
{
    return new_memory(name, REGION_ROM, size, e);
}

static void set_ops(struct region *r, const struct mmio_ops *ops, void *opaque)
{
    r->ops = *ops;
    if (!r->ops.min_size) r->ops.min_size = 1;
    if (!r->ops.max_size) r->ops.max_size = 8;
    if (!r->ops.impl_min) r->ops.impl_min = r->ops.min_size;
    if (!r->ops.impl_max) r->ops.impl_max = r->ops.max_size;
    r->opaque = opaque;
}

struct region *region_new_romd(const char *name, uint64_t size, const struct mmio_ops *ops,
                               void *opaque, struct error *e)
{
    struct region *r = new_memory(name, REGION_ROMD, size, e);
    if (r) set_ops(r, ops, opaque);
    return r;
}

struct region *region_new_mmio(const char *name, uint64_t size, const struct mmio_ops *ops,
                               void *opaque)
{
    struct region *r = region_new(name, REGION_MMIO, size);
    set_ops(r, ops, opaque);
    return r;
}

struct region *region_new_alias(const char *name, struct region *target, uint64_t offset,
                                uint64_t size)
{
    struct region *r = region_new(name, REGION_ALIAS, size);
    r->target = target;
    r->target_offset = offset;
    r->alias_next = target->aliases;
    target->aliases = r;
    return r;
}

void region_delete(struct region *r)
{
    if (!r) return;
    bus_transaction_begin();
    region_remove(r);
    while (r->children) region_remove(r->children);
    while (r->aliases) { /* they show nothing from now on */
        struct region *a = r->aliases;
        region_changed(a);
        r->aliases = a->alias_next;
        a->target = NULL;
        a->alias_next = NULL;
    }
    if (r->target)
        for (struct region **p = &r->target->aliases; *p; p = &(*p)->alias_next)
            if (*p == r) {
                *p = r->alias_next;
                break;
            }
    while (r->spaces) { /* a space without root is empty */
        struct address_space *as = r->spaces;
        region_changed(r);
        r->spaces = as->root_next;
        as->root = NULL;
        as->root_next = NULL;
    }
    bus_transaction_commit();
    /* Inside an outer transaction views still point here: nothing may go through them afterwards. */
    for (struct address_space *as = batch_pending; as; as = as->pending) as_update(as);
    if (r->ram) munmap(r->ram, r->map_len);
    mem_free(r->name);
    mem_free(r);
}

/* ---- nesting ---- */
void region_add(struct region *parent, struct region *child, uint64_t offset, int priority)
{
    bus_transaction_begin();
    region_remove(child);
    child->parent = parent;
    child->offset = offset;
    child->priority = priority;
    struct region **p = &parent->children;
    while (*p && (*p)->priority > priority) p = &(*p)->sibling;
    child->sibling = *p;
    *p = child;
    region_changed(child);
    bus_transaction_commit();
}

void region_remove(struct region *child)
{
    if (!child->parent) return;
    bus_transaction_begin();
    region_changed(child);
    for (struct region **p = &child->parent->children; *p; p = &(*p)->sibling)
        if (*p == child) {
            *p = child->sibling;
            break;
        }
    child->parent = NULL;
    child->sibling = NULL;
    bus_transaction_commit();
}

void region_move(struct region *child, uint64_t offset)
{
    if (child->offset == offset) return;
    child->offset = offset;
    region_changed(child);
}

void region_set_enabled(struct region *r, bool enabled)
{
    if (r->enabled == enabled) return;
    r->enabled = enabled;
    region_changed(r);
}

void region_set_readonly(struct region *r, bool readonly)
{
    if (r->readonly == readonly) return;
    r->readonly = readonly;
    region_changed(r);
}

void region_set_romd(struct region *r, bool direct)
{
    if (r->kind != REGION_ROMD || r->direct == direct) return;
    r->direct = direct;
    region_changed(r);
}

uint8_t *region_ram(struct region *r) { return r->ram; }
uint64_t region_size(const struct region *r) { return r->size; }
const char *region_name(const struct region *r) { return r->name; }

/* ---- changes ---- */
void bus_transaction_begin(void) { batch_depth++; }

void bus_transaction_commit(void)
{
    if (!batch_depth || --batch_depth) return;
    while (batch_pending) {
        struct address_space *as = batch_pending;
        batch_pending = as->pending;
        as->pending = NULL;
        as->queued = false;
        as_update(as);
    }
}

/* Marks the spaces that can see r: those rooted here, those that see its parent or an alias. */
static void mark(struct region *r, uint64_t stamp)
{
    if (r->stamp == stamp) return;
    r->stamp = stamp;
    for (struct address_space *as = r->spaces; as; as = as->root_next) {
        if (as->queued) continue;
        as->queued = true;
        as->pending = batch_pending;
        batch_pending = as;
    }
    for (struct region *a = r->aliases; a; a = a->alias_next) mark(a, stamp);
    if (r->parent) mark(r->parent, stamp);
}

void region_changed(struct region *r)
{
    bus_transaction_begin();
    mark(r, ++next_stamp);
    bus_transaction_commit();
}

/* ---- address spaces ---- */
struct address_space *as_new(const char *name, struct region *root)
{
    struct address_space *as = NEW(struct address_space);
    as->name = mem_strdup(name);
    as->root = root;
    as->root_next = root->spaces;
    root->spaces = as;
    flat_render(&as->view, root);
    return as;
}

void as_delete(struct address_space *as)
{
    if (!as) return;
    if (as->root)
        for (struct address_space **p = &as->root->spaces; *p; p = &(*p)->root_next)
            if (*p == as) {
                *p = as->root_next;
                break;
            }
    for (struct address_space **p = &batch_pending; *p; p = &(*p)->pending)
        if (*p == as) {
            *p = as->pending;
            break;
        }
    mem_free(as->view.range);
    mem_free(as->on_change);
    mem_free(as->on_write);
    mem_free(as->name);
    mem_free(as);
}

void as_update(struct address_space *as)
{
    struct flat_view v = { NULL, 0, 0 };
    if (as->root) flat_render(&v, as->root);
    if (flat_equal(&v, &as->view)) {
        mem_free(v.range);
        return;
    }
    if (as->guard) as->guard(as->guard_opaque, true);
    mem_free(as->view.range); /* nobody holds a range across a handler or a hook: see as.c */
    as->view = v;
    as->hint = 0;
    if (as->guard) as->guard(as->guard_opaque, false);
    for (unsigned i = 0; i < as->n_change; i++) as->on_change[i].fn(as->on_change[i].opaque);
}

void as_on_change(struct address_space *as, void (*fn)(void *), void *opaque)
{
    as->on_change = mem_realloc(as->on_change, sizeof *as->on_change * (as->n_change + 1));
    as->on_change[as->n_change++] = (struct change_hook){ fn, opaque };
}

void as_set_guard(struct address_space *as, void (*fn)(void *, bool), void *opaque)
{
    as->guard = fn;
    as->guard_opaque = opaque;
}

void as_on_ram_write(struct address_space *as, void (*fn)(void *, const uint8_t *, uint64_t),
                     void *opaque)
{
    as->on_write = mem_realloc(as->on_write, sizeof *as->on_write * (as->n_write + 1));
    as->on_write[as->n_write++] = (struct write_hook){ fn, opaque };
}

void as_ram_written(struct address_space *as, const uint8_t *host, uint64_t n)
{
    for (unsigned i = 0; i < as->n_write; i++) as->on_write[i].fn(as->on_write[i].opaque, host, n);
}

/* The memory region of the smallest id above `after`, in the tree of r. */
static void find_ram(struct region *r, uint64_t after, struct region **best)
{
    if (r->busy) return;
    r->busy = true;
    if (r->ram && r->id > after && (!*best || r->id < (*best)->id)) *best = r;
    if (r->target) find_ram(r->target, after, best);
    for (struct region *c = r->children; c; c = c->sibling) find_ram(c, after, best);
    r->busy = false;
}

struct region *as_ram_next(struct address_space *as, struct region *prev)
{
    struct region *best = NULL;
    if (as->root) find_ram(as->root, prev ? prev->id : 0, &best);
    return best;
}
