/*
 * bitmap.c - dirty bitmaps of nodes: one bit per granule of the guest's disk, set by writes while enabled. How
 * they are stored in an image is the format's.
 */
#include "blockfmt/graph.h"

struct blk_bitmap {
    struct blk_bitmap *next;
    struct blk_node *node;
    char *name;
    unsigned shift, flags;
    uint64_t bits, count; /* granules; those set */
    uint64_t size;        /* of the disk */
    uint64_t *map;
    pthread_mutex_t lock;
};

static uint64_t words(uint64_t bits) { return (bits + 63) / 64; }

struct blk_bitmap *blk_bitmap_new(struct blk_node *n, const char *name, uint32_t granularity, bool persistent,
                                  struct error *e)
{
    if (!granularity || (granularity & (granularity - 1)) || granularity < 512) {
        error_set(e, "Granularity must be power of 2, at least 512");
        return NULL;
    }
    if (!*name || strlen(name) > 1023) return error_set(e, "Bitmap name too long or empty"), NULL;
    if (blk_bitmap_find(n, name)) return error_set(e, "Bitmap already exists: %s", name), NULL;
    if (persistent) {
        if (!n->drv->can_store_bitmap) {
            error_set(e, "Block driver '%s' cannot store dirty bitmaps", n->drv->name);
            return NULL;
        }
        if (!n->drv->can_store_bitmap(n, name, granularity, e)) return NULL;
    }
    struct blk_bitmap *b = NEW(struct blk_bitmap), **p = &n->bitmaps;
    b->node = n, b->name = mem_strdup(name), b->shift = host_ctz32(granularity);
    b->flags = BLK_BITMAP_ENABLED | (persistent ? BLK_BITMAP_PERSISTENT : 0);
    b->size = blk_node_size(n);
    b->bits = (b->size + granularity - 1) >> b->shift;
    b->map = NEW_ARRAY(uint64_t, words(b->bits) + 1);
    pthread_mutex_init(&b->lock, NULL);
    node_lock_all(n);
    while (*p) p = &(*p)->next;
    *p = b;
    atomic_store(&n->marking, true);
    node_unlock(n);
    return b;
}

void blk_bitmap_delete(struct blk_bitmap *b)
{
    struct blk_node *n = b->node;

    node_lock_all(n);
    for (struct blk_bitmap **p = &n->bitmaps; *p; p = &(*p)->next) {
        if (*p == b) {
            *p = b->next;
            break;
        }
    }
    atomic_store(&n->marking, n->bitmaps != NULL);
    node_unlock(n);
    pthread_mutex_destroy(&b->lock);
    mem_free(b->name);
    mem_free(b->map);
    mem_free(b);
}

struct blk_bitmap *blk_bitmap_find(struct blk_node *n, const char *name)
{
    for (struct blk_bitmap *b = n->bitmaps; b; b = b->next) {
        if (!strcmp(b->name, name)) return b;
    }
    return NULL;
}

struct blk_bitmap *blk_bitmap_next(struct blk_node *n, const struct blk_bitmap *after)
{
    return after ? after->next : n->bitmaps;
}

const char *blk_bitmap_name(const struct blk_bitmap *b) { return b->name; }
uint32_t blk_bitmap_granularity(const struct blk_bitmap *b) { return 1u << b->shift; }
unsigned blk_bitmap_flags(const struct blk_bitmap *b) { return b->flags; }
void blk_bitmap_set_flags(struct blk_bitmap *b, unsigned flags) { b->flags = flags; }

static bool get(const struct blk_bitmap *b, uint64_t i) { return b->map[i / 64] >> (i % 64) & 1; }

static void change(struct blk_bitmap *b, uint64_t offset, uint64_t n, bool set)
{
    if (!n || offset >= b->size) return;
    n = MIN(n, b->size - offset);
    uint64_t first = offset >> b->shift, last = (offset + n - 1) >> b->shift;
    pthread_mutex_lock(&b->lock);
    for (uint64_t i = first; i <= last;) {
        uint64_t k = MIN(64 - i % 64, last - i + 1);
        uint64_t mask = (k == 64 ? UINT64_MAX : (UINT64_C(1) << k) - 1) << (i % 64), *w = &b->map[i / 64];
        uint64_t now = set ? *w | mask : *w & ~mask;
        b->count += host_popcnt64(now), b->count -= host_popcnt64(*w);
        *w = now;
        i += k;
    }
    pthread_mutex_unlock(&b->lock);
}

void blk_bitmap_set(struct blk_bitmap *b, uint64_t offset, uint64_t n) { change(b, offset, n, true); }
void blk_bitmap_clear(struct blk_bitmap *b, uint64_t offset, uint64_t n) { change(b, offset, n, false); }

uint64_t blk_bitmap_count(const struct blk_bitmap *b) { return b->count << b->shift; }

bool blk_bitmap_run(const struct blk_bitmap *b, uint64_t *offset, uint64_t *n)
{
    struct blk_bitmap *m = (struct blk_bitmap *)(uintptr_t)b; /* the lock is all that changes */
    uint64_t i = *offset >> b->shift, from;
    bool found;

    if (*offset >= b->size) return false; /* the last bit may stand for more */
    pthread_mutex_lock(&m->lock);
    while (i < b->bits && !get(b, i)) {
        if (i % 64 == 0 && !b->map[i / 64]) i += 64;
        else i++;
    }
    found = i < b->bits;
    from = i;
    while (i < b->bits && get(b, i)) i++;
    pthread_mutex_unlock(&m->lock);
    if (!found) return false;
    *offset = MAX(*offset, from << b->shift);
    *n = MIN(i << b->shift, b->size) - *offset;
    return true;
}

int blk_bitmap_merge(struct blk_bitmap *dst, const struct blk_bitmap *src, struct error *e)
{
    uint64_t at = 0, n;

    if (dst->size != src->size) return error_set(e, "Bitmaps are of different sizes and can't be merged"), -EINVAL;
    for (; blk_bitmap_run(src, &at, &n); at += n) blk_bitmap_set(dst, at, n);
    return 0;
}

void bitmaps_mark(struct blk_node *n, uint64_t offset, uint64_t len)
{
    for (struct blk_bitmap *b = n->bitmaps; b; b = b->next) {
        if (b->flags & BLK_BITMAP_ENABLED) change(b, offset, len, true);
    }
}

void bitmaps_resize(struct blk_node *n, uint64_t size)
{
    for (struct blk_bitmap *b = n->bitmaps; b; b = b->next) {
        uint64_t bits = (size + (UINT64_C(1) << b->shift) - 1) >> b->shift, old = words(b->bits) + 1;
        if (size < b->size) change(b, ALIGN_UP(size, UINT64_C(1) << b->shift), b->size, false);
        pthread_mutex_lock(&b->lock);
        b->map = mem_realloc(b->map, (size_t)(words(bits) + 1) * sizeof *b->map);
        for (uint64_t i = old; i < words(bits) + 1; i++) b->map[i] = 0;
        b->bits = bits, b->size = size;
        pthread_mutex_unlock(&b->lock);
    }
}
