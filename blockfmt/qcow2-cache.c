/*
 * qcow2-cache.c - L2 tables and refcount blocks in memory, and the order in which they are written (qcow2.h says
 * which and why). All with the image's mutex held.
 */
#include "blockfmt/qcow2.h"

void qcow2_cache_init(struct qcow2_cache *c, unsigned n)
{
    *c = (struct qcow2_cache){.n = n, .n_buckets = 1};
    while (c->n_buckets < n) c->n_buckets *= 2;
    c->slots = NEW_ARRAY(struct qcow2_table, n);
    c->buckets = NEW_ARRAY(struct qcow2_table *, c->n_buckets);
}

void qcow2_cache_free(struct qcow2_cache *c)
{
    for (unsigned i = 0; i < c->in_use; i++) blk_free_aligned(c->slots[i].data);
    mem_free(c->slots);
    mem_free(c->buckets);
    *c = (struct qcow2_cache){0};
}

static struct qcow2_table **bucket(const struct qcow2 *s, struct qcow2_cache *c, uint64_t offset)
{
    uint64_t h = (offset >> s->cluster_bits) * UINT64_C(0x9e3779b97f4a7c15);
    return &c->buckets[(h >> 40) & (c->n_buckets - 1)];
}

static void unhash(const struct qcow2 *s, struct qcow2_cache *c, struct qcow2_table *t)
{
    for (struct qcow2_table **p = bucket(s, c, t->offset); *p; p = &(*p)->next) {
        if (*p == t) {
            *p = t->next;
            return;
        }
    }
}

static void clean(struct qcow2_cache *c, struct qcow2_table *t)
{
    if (t->dirty_lo < t->dirty_hi) c->n_dirty--;
    t->dirty_lo = t->dirty_hi = 0;
}

/* A slot for a table at offset; its bytes are anything. The hand goes round: what was used since it last came by
 * stays, dirty tables stay longer. */
static int slot(struct qcow2 *s, struct qcow2_cache *c, uint64_t offset, struct qcow2_table **out)
{
    struct qcow2_table *t = NULL, **b;

    if (c->in_use < c->n) {
        t = &c->slots[c->in_use++];
        t->data = blk_alloc_aligned(s->cluster_size);
    } else {
        for (unsigned i = 0; i < 2 * c->n; i++) {
            t = &c->slots[c->hand++ % c->n];
            if (!t->offset || (!t->used && t->dirty_lo == t->dirty_hi)) break;
            t->used = 0;
            t = NULL;
        }
        if (!t) {
            t = &c->slots[c->hand++ % c->n];
            int rc = qcow2_writeback(s);
            if (!rc && t->dirty_lo < t->dirty_hi) rc = qcow2_writeback_counts(s);
            if (rc) return rc;
            if (t->dirty_lo < t->dirty_hi) return -EIO;
        }
        if (t->offset) {
            unhash(s, c, t);
            s->generation++;
        }
        clean(c, t);
    }
    b = bucket(s, c, offset);
    t->offset = offset, t->next = *b, t->used = 1;
    *b = t;
    *out = c->last = t;
    return 0;
}

static struct qcow2_table *lookup(struct qcow2 *s, struct qcow2_cache *c, uint64_t offset)
{
    struct qcow2_table *t = *bucket(s, c, offset);
    while (t && t->offset != offset) t = t->next;
    if (t) c->last = t;
    return t;
}

int qcow2_table(struct qcow2 *s, struct qcow2_cache *c, uint64_t offset, uint8_t **data)
{
    struct qcow2_table *t = lookup(s, c, offset);
    int rc;

    if (t) {
        t->used = 1;
        *data = t->data;
        return 0;
    }
    if (!offset || (offset & qcow2_cluster_mask(s))) return -EIO;
    rc = slot(s, c, offset, &t);
    if (rc) return rc;
    blk_debug_event(s->file, c == &s->l2c ? "l2_load" : "refblock_load");
    rc = blk_node_read(s->file, offset, t->data, s->cluster_size);
    if (rc) {
        qcow2_table_forget(s, c, offset);
        return rc;
    }
    *data = t->data;
    return 0;
}

int qcow2_table_new(struct qcow2 *s, struct qcow2_cache *c, uint64_t offset, uint8_t **data)
{
    struct qcow2_table *t = lookup(s, c, offset);
    int rc = t ? 0 : slot(s, c, offset, &t);

    if (rc) return rc;
    t->used = 1;
    memset(t->data, 0, s->cluster_size);
    if (t->dirty_lo == t->dirty_hi) c->n_dirty++;
    t->dirty_lo = 0, t->dirty_hi = s->cluster_size;
    *data = t->data;
    return 0;
}

static void mark(struct qcow2_cache *c, struct qcow2_table *t, uint32_t lo, uint32_t hi)
{
    if (t->dirty_lo == t->dirty_hi) c->n_dirty++, t->dirty_lo = lo, t->dirty_hi = hi;
    t->dirty_lo = MIN(t->dirty_lo, lo), t->dirty_hi = MAX(t->dirty_hi, hi);
}

void qcow2_table_dirty(struct qcow2 *s, struct qcow2_cache *c, const uint8_t *data, uint32_t lo, uint32_t hi)
{
    /* Mostly the table that was last asked for. */
    if (c->last && c->last->data == data) {
        mark(c, c->last, lo, hi);
        return;
    }
    for (unsigned i = 0; i < c->in_use; i++) {
        struct qcow2_table *t = &c->slots[i];
        if (t->data != data) continue;
        mark(c, t, lo, hi);
        return;
    }
}

void qcow2_table_forget(struct qcow2 *s, struct qcow2_cache *c, uint64_t offset)
{
    struct qcow2_table *t = lookup(s, c, offset);

    if (!t) return;
    unhash(s, c, t);
    clean(c, t);
    t->offset = 0, t->used = 0;
    s->generation++;
}

void qcow2_table_freed(struct qcow2 *s, uint64_t offset)
{
    const struct qcow2_table *t = lookup(s, &s->l2c, offset);
    if (t && t->dirty_lo == t->dirty_hi) qcow2_table_forget(s, &s->l2c, offset);
}

bool qcow2_table_cached(struct qcow2 *s, struct qcow2_cache *c, uint64_t offset)
{
    const struct qcow2_table *t = *bucket(s, c, offset);
    while (t && t->offset != offset) t = t->next;
    return t != NULL;
}

void qcow2_table_insert(struct qcow2 *s, struct qcow2_cache *c, uint64_t offset, const uint8_t *data)
{
    struct qcow2_table *t;

    if (qcow2_table_cached(s, c, offset) || slot(s, c, offset, &t)) return;
    memcpy(t->data, data, s->cluster_size);
}

void qcow2_cache_drop(struct qcow2_cache *c)
{
    for (unsigned i = 0; i < c->in_use; i++) {
        clean(c, &c->slots[i]);
        c->slots[i].offset = 0, c->slots[i].used = 0, c->slots[i].next = NULL;
    }
    memset(c->buckets, 0, c->n_buckets * sizeof *c->buckets);
    c->last = NULL;
}

void qcow2_cache_trim(struct qcow2_cache *c)
{
    if (c->n_dirty) return;
    qcow2_cache_drop(c);
    for (unsigned i = 0; i < c->in_use; i++) blk_free_aligned(c->slots[i].data);
    memset(c->slots, 0, c->in_use * sizeof *c->slots);
    c->in_use = c->hand = 0;
}

/* Writes all dirty tables of one cache. *wrote is set when there were any. */
static int write_tables(struct qcow2 *s, struct qcow2_cache *c, bool *wrote)
{
    for (unsigned i = 0; i < c->in_use && c->n_dirty; i++) {
        struct qcow2_table *t = &c->slots[i];
        if (t->dirty_lo == t->dirty_hi) continue;
        uint32_t lo = ALIGN_DOWN(t->dirty_lo, 512u), hi = ALIGN_UP(t->dirty_hi, 512u);
        blk_debug_event(s->file, c == &s->l2c ? "l2_update" : "refblock_update_part");
        int rc = blk_node_write(s->file, t->offset + lo, t->data + lo, hi - lo, 0);
        if (rc) return rc;
        clean(c, t);
        s->generation++;
        *wrote = true;
    }
    return 0;
}

static int write_entries(struct qcow2 *s, const uint64_t *v, uint64_t offset, uint32_t lo, uint32_t hi)
{
    size_t n = hi - lo;
    uint64_t *be = NEW_ARRAY(uint64_t, n);
    int rc;

    for (size_t i = 0; i < n; i++) st64_be(&be[i], v[lo + i]);
    blk_debug_event(s->file, v == s->rt ? "reftable_update" : "l1_update");
    rc = blk_node_write(s->file, offset + (uint64_t)lo * 8, be, n * 8, 0);
    mem_free(be);
    return rc;
}

/* Reference counts, and the table of their blocks. */
static int write_counts(struct qcow2 *s, bool *wrote)
{
    int rc = write_tables(s, &s->rbc, wrote);

    if (!rc && s->rt_dirty_lo < s->rt_dirty_hi) {
        rc = blk_node_flush(s->file);
        if (!rc) rc = write_entries(s, s->rt, s->rt_offset, s->rt_dirty_lo, s->rt_dirty_hi);
        if (!rc) s->rt_dirty_lo = s->rt_dirty_hi = 0;
        *wrote = true;
    }
    return rc;
}

int qcow2_writeback_counts(struct qcow2 *s)
{
    bool wrote = false;
    return write_counts(s, &wrote);
}

int qcow2_writeback_all(struct qcow2 *s)
{
    int rc = qcow2_writeback(s);
    if (!rc) rc = qcow2_writeback(s);
    return rc ? rc : qcow2_clean(s);
}

int qcow2_writeback(struct qcow2 *s)
{
    bool counts = false, l2 = false;
    int rc = s->lazy ? 0 : write_counts(s, &counts);

    if (!rc && counts && (s->l2c.n_dirty || s->l1_dirty_lo < s->l1_dirty_hi)) rc = blk_node_flush(s->file);
    if (!rc) rc = write_tables(s, &s->l2c, &l2);
    if (!rc && s->l1_dirty_lo < s->l1_dirty_hi) {
        if (s->l1_barrier) rc = blk_node_flush(s->file);
        if (!rc) rc = write_entries(s, s->l1, s->l1_offset, s->l1_dirty_lo, s->l1_dirty_hi);
        if (!rc) s->l1_dirty_lo = s->l1_dirty_hi = 0, s->l1_barrier = false;
        l2 = true;
    }
    if (rc || !s->n_frees) return rc;
    if (l2) rc = blk_node_flush(s->file);
    if (rc) return rc;
    /* Away from the image: loading counts below may write back again. What an error leaves undone is a leak. */
    struct qcow2_free *frees = s->frees;
    unsigned n = s->n_frees;
    s->frees = NULL, s->n_frees = s->cap_frees = 0;
    for (unsigned i = 0; !rc && i < n; i++) {
        const struct qcow2_free *f = &frees[i];
        uint64_t first = f->offset >> s->cluster_bits, last = (f->offset + f->bytes - 1) >> s->cluster_bits;
        for (uint64_t c = first; c <= last && !rc; c++) {
            uint64_t count;
            rc = qcow2_refcount_get(s, c, &count);
            if (rc || !count) continue; /* a damaged image: check says so */
            /* nothing else can have taken the cluster yet */
            if (count == 1 && s->pass_discard) (void)blk_node_discard(s->file, c << s->cluster_bits, s->cluster_size);
            if (!rc) rc = qcow2_refcount_add(s, c, 1, -1);
        }
    }
    mem_free(frees);
    return rc;
}
