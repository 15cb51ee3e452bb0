/*
 * flatten.c - from a tree of overlapping regions to one sorted array of ranges.
 *
 * Regions are drawn in the order in which they win; each fills only what is still free. Windows
 * are kept in the coordinates of the region being drawn, with last byte instead of length, so that all 2^64 bytes
 * can be named; `delta` turns them into addresses.
 */
#include "bus/region.h"

#include <stdlib.h>

static void range_insert(struct flat_view *v, unsigned at, const struct flat_range *r)
{
    if (v->n == v->cap) {
        v->cap = v->cap ? v->cap * 2 : 16;
        v->range = mem_realloc(v->range, sizeof *v->range * v->cap);
    }
    memmove(v->range + at + 1, v->range + at, sizeof *v->range * (v->n - at));
    v->range[at] = *r;
    v->n++;
}

/* Draws [lo, hi] of r, at addresses + delta, into the gaps. */
static void draw(struct flat_view *v, struct region *r, uint64_t lo, uint64_t hi, uint64_t delta,
                 bool readonly)
{
    uint64_t at = lo + delta, last = hi + delta;
    struct flat_range n = { .region = r };
    n.direct = r->ram && r->direct;
    n.readonly = readonly || r->kind == REGION_ROM || r->kind == REGION_ROMD;

    unsigned i = 0, above = v->n; /* the first range that ends at or after `at` */
    while (i < above) {
        unsigned mid = (i + above) / 2;
        if (v->range[mid].last < at) i = mid + 1;
        else above = mid;
    }
    for (;;) {
        bool more = i < v->n && v->range[i].start <= last;
        if (!more || v->range[i].start > at) {
            n.start = at;
            n.last = more ? v->range[i].start - 1 : last;
            n.offset = at - delta;
            range_insert(v, i++, &n);
        }
        if (!more || v->range[i].last >= last) return;
        at = v->range[i++].last + 1;
    }
}

static void render(struct flat_view *v, struct region *r, uint64_t lo, uint64_t hi, uint64_t delta,
                   bool readonly)
{
    if (!r->enabled || !r->size || r->busy) return; /* busy: a region does not show inside of itself */
    r->busy = true;
    readonly |= r->readonly;
    if (r->kind == REGION_ALIAS) {
        struct region *t = r->target;
        uint64_t at = r->target_offset;
        if (t && t->size && at <= t->last && lo <= t->last - at)
            render(v, t, lo + at, MIN(hi, t->last - at) + at, delta - at, readonly);
    }
    for (struct region *c = r->children; c; c = c->sibling) {
        if (!c->size || c->offset > hi) continue;
        uint64_t end = c->last > UINT64_MAX - c->offset ? UINT64_MAX : c->offset + c->last;
        if (end < lo) continue;
        uint64_t from = MAX(lo, c->offset), to = MIN(hi, end);
        render(v, c, from - c->offset, to - c->offset, delta + c->offset, readonly);
    }
    if (r->kind != REGION_CONTAINER && r->kind != REGION_ALIAS) draw(v, r, lo, hi, delta, readonly);
    r->busy = false;
}

void flat_render(struct flat_view *v, struct region *root)
{
    render(v, root, 0, root->last, 0, false);

    unsigned n = 0; /* neighbours that continue each other become one */
    for (unsigned i = 0; i < v->n; i++) {
        struct flat_range *r = &v->range[i], *p = n ? &v->range[n - 1] : NULL;
        if (p && p->region == r->region && p->readonly == r->readonly && p->last + 1 == r->start &&
            p->offset + (r->start - p->start) == r->offset)
            p->last = r->last;
        else
            v->range[n++] = *r;
    }
    v->n = n;
}

bool flat_equal(const struct flat_view *a, const struct flat_view *b)
{
    if (a->n != b->n) return false;
    for (unsigned i = 0; i < a->n; i++) {
        const struct flat_range *x = &a->range[i], *y = &b->range[i];
        if (x->start != y->start || x->last != y->last || x->region != y->region ||
            x->offset != y->offset || x->direct != y->direct || x->readonly != y->readonly)
            return false;
    }
    return true;
}

const struct flat_range *flat_find(const struct flat_view *v, uint64_t addr, unsigned *hint)
{
    if (*hint < v->n && addr >= v->range[*hint].start && addr <= v->range[*hint].last)
        return &v->range[*hint];
    unsigned lo = 0, hi = v->n;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (v->range[mid].last < addr) lo = mid + 1;
        else hi = mid;
    }
    if (lo == v->n || v->range[lo].start > addr) return NULL;
    *hint = lo;
    return &v->range[lo];
}
