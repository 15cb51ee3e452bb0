/*
 * mtree.c - the text of `info mtree`: an address space as its tree and as its flat view.
 */
#include "bus/region.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct dump {
    void (*put)(void *, const char *);
    void *opaque;
    struct region **seen; /* targets of aliases, to be listed after the tree */
    unsigned n;
};

static void line(struct dump *d, const char *fmt, ...) ATTR_PRINTF(2, 3);

static void line(struct dump *d, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    d->put(d->opaque, text);
}

static const char *kind_name(const struct region *r)
{
    switch (r->kind) {
    case REGION_RAM: return "ram";
    case REGION_ROM: return "rom";
    case REGION_ROMD: return "romd";
    default: return "i/o";
    }
}

static struct region *top(struct region *r)
{
    while (r->parent) r = r->parent;
    return r;
}

static void note(struct dump *d, struct region *target)
{
    struct region *r = top(target);
    for (unsigned i = 0; i < d->n; i++)
        if (d->seen[i] == r) return;
    d->seen = mem_realloc(d->seen, sizeof *d->seen * (d->n + 1));
    d->seen[d->n++] = r;
}

static bool sorts_before(const struct region *a, const struct region *b)
{
    return a->offset != b->offset ? a->offset < b->offset : a->id < b->id;
}

static void tree(struct dump *d, const struct region *r, uint64_t base, int indent)
{
    const char *off = r->enabled ? "" : " [disabled]";

    if (indent > 64) return;
    if (r->kind == REGION_ALIAS && r->target) {
        line(d, "%*s%016" PRIx64 "-%016" PRIx64 " (prio %d, %s): alias %s @%s %016" PRIx64 "-%016" PRIx64 "%s",
             indent, "", base, base + r->last, r->priority, kind_name(r->target), r->name,
             r->target->name, r->target_offset, r->target_offset + r->last, off);
        note(d, r->target);
    } else {
        line(d, "%*s%016" PRIx64 "-%016" PRIx64 " (prio %d, %s): %s%s", indent, "", base,
             base + r->last, r->priority, kind_name(r), r->name, off);
    }
    /* Children by address: selection over a short list. */
    const struct region *done = NULL;
    for (;;) {
        const struct region *best = NULL;
        for (const struct region *c = r->children; c; c = c->sibling)
            if ((!done || sorts_before(done, c)) && (!best || sorts_before(c, best))) best = c;
        if (!best) break;
        tree(d, best, base + best->offset, indent + 2);
        done = best;
    }
}

void as_dump(struct address_space *as, bool flat, void (*put)(void *, const char *line), void *opaque)
{
    struct dump d = { put, opaque, NULL, 0 };

    if (flat) {
        line(&d, "FlatView");
        line(&d, " AS \"%s\", root: %s", as->name, as->root ? as->root->name : "(none)");
        line(&d, " Root memory region: %s", as->root ? as->root->name : "(none)");
        if (!as->view.n) line(&d, "  No rendered FlatView");
        for (unsigned i = 0; i < as->view.n; i++) {
            const struct flat_range *f = &as->view.range[i];
            char off[32] = "";
            if (f->offset) snprintf(off, sizeof off, " @%016" PRIx64, f->offset);
            line(&d, "  %016" PRIx64 "-%016" PRIx64 " (prio %d, %s): %s%s", f->start, f->last,
                 f->region->priority, kind_name(f->region), f->region->name, off);
        }
        return;
    }
    line(&d, "address-space: %s", as->name);
    if (as->root) {
        note(&d, as->root); /* listed already when an alias leads back into it */
        tree(&d, as->root, 0, 2);
    }
    for (unsigned i = 1; i < d.n; i++) {
        line(&d, "%s", "");
        line(&d, "memory-region: %s", d.seen[i]->name);
        tree(&d, d.seen[i], 0, 2);
    }
    mem_free(d.seen);
}
