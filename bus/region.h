/*
 * region.h - inside of bus/: regions, flat views and address spaces.
 *
 * Included by region.c, flatten.c, as.c and mtree.c only.
 */
#ifndef BUS_REGION_H
#define BUS_REGION_H

#include "bus/bus.h"

enum region_kind { REGION_CONTAINER, REGION_RAM, REGION_ROM, REGION_ROMD, REGION_MMIO, REGION_ALIAS };

struct region {
    char *name;
    enum region_kind kind;
    bool enabled, direct;         /* direct: ROMD reads come from the contents */
    bool readonly;                /* an alias that shows RAM as ROM */
    int priority;
    uint64_t size, last;          /* last = offset of the last byte */
    uint64_t id;                  /* order of creation */
    uint64_t stamp;               /* the walk of region_changed that came by last */
    bool busy;                    /* being drawn or searched: aliases may lead back into it */

    struct region *parent;
    uint64_t offset;              /* in the parent */
    struct region *children;      /* the order in which they win: priority, then later first */
    struct region *sibling;

    struct region *target;        /* alias */
    uint64_t target_offset;
    struct region *aliases;       /* those that point here */
    struct region *alias_next;

    struct address_space *spaces; /* of which this is the root */

    uint8_t *ram;
    size_t map_len;
    struct mmio_ops ops;
    void *opaque;
};

struct flat_range {
    uint64_t start, last;
    struct region *region;
    uint64_t offset;              /* in the region, of start */
    bool direct, readonly;        /* direct: reads come from memory; readonly: writes do not go there */
};

struct flat_view {
    struct flat_range *range;
    unsigned n, cap;
};

struct change_hook { void (*fn)(void *); void *opaque; };
struct write_hook { void (*fn)(void *, const uint8_t *, uint64_t); void *opaque; };

struct address_space {
    char *name;
    struct region *root;
    struct address_space *root_next; /* more spaces with this root */
    struct flat_view view;
    unsigned hint;                   /* the range found last */
    bool queued;                     /* in the list of spaces to flatten at commit */
    struct address_space *pending;   /* next in that list */
    struct change_hook *on_change;
    unsigned n_change;
    struct write_hook *on_write;
    unsigned n_write;
    void (*guard)(void *, bool);     /* or NULL */
    void *guard_opaque;
};

/* Zeroes part of a region's memory; whole pages of the host go back to it. */
void region_zero(uint8_t *p, size_t n);
/* Renders the tree below root into *v (which must be empty). */
void flat_render(struct flat_view *v, struct region *root);
bool flat_equal(const struct flat_view *a, const struct flat_view *b);
/* The range that holds addr, or NULL. *hint is a guess, updated. */
const struct flat_range *flat_find(const struct flat_view *v, uint64_t addr, unsigned *hint);
/* Something about r changed: spaces that may show it are flattened, now or at commit. */
void region_changed(struct region *r);
/* Flattens and tells the hooks when the view is another one. */
void as_update(struct address_space *as);

#endif
