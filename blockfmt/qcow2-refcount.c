/*
 * qcow2-refcount.c - reference counts of host clusters: reading, changing, finding free ones, growing the tables.
 * The image's mutex is held throughout.
 */
#include "blockfmt/qcow2.h"

static uint64_t refcount_read(const struct qcow2 *s, const uint8_t *b, uint64_t i)
{
    switch (s->refcount_order) {
    case 3: return b[i];
    case 4: return ld16_be(b + i * 2);
    case 5: return ld32_be(b + i * 4);
    case 6: return ld64_be(b + i * 8);
    default: { /* below a byte: the first entry in the lowest bits */
        unsigned bits = 1u << s->refcount_order, per = 8 / bits;
        return b[i / per] >> (i % per * bits) & ((1u << bits) - 1);
    }
    }
}

void qcow2_refcount_write(const struct qcow2 *s, uint8_t *b, uint64_t i, uint64_t v)
{
    switch (s->refcount_order) {
    case 3: b[i] = (uint8_t)v; break;
    case 4: st16_be(b + i * 2, (uint16_t)v); break;
    case 5: st32_be(b + i * 4, (uint32_t)v); break;
    case 6: st64_be(b + i * 8, v); break;
    default: {
        unsigned bits = 1u << s->refcount_order, per = 8 / bits, shift = (unsigned)(i % per) * bits;
        unsigned mask = ((1u << bits) - 1) << shift;
        b[i / per] = (uint8_t)((b[i / per] & ~mask) | (v << shift & mask));
    }
    }
}

uint64_t qcow2_refcount_max(const struct qcow2 *s)
{
    return s->refcount_order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << s->refcount_order)) - 1;
}

/* The refcount block for index rbi; *data NULL when there is none. */
static int block(struct qcow2 *s, uint64_t rbi, uint8_t **data)
{
    *data = NULL;
    if (rbi >= s->rt_size || !(s->rt[rbi] & QCOW2_OFFSET_MASK)) return 0;
    if (s->rt[rbi] & QCOW2_OFFSET_MASK & qcow2_cluster_mask(s))
        return qcow2_corrupt(s, s->rt[rbi] & QCOW2_OFFSET_MASK, "Refcount block offset unaligned");
    return qcow2_table(s, &s->rbc, s->rt[rbi] & QCOW2_OFFSET_MASK, data);
}

static void block_changed(struct qcow2 *s, const uint8_t *data, uint64_t i)
{
    uint32_t at = (uint32_t)((i << s->refcount_order) / 8);
    uint32_t w = s->refcount_order > 3 ? 1u << (s->refcount_order - 3) : 1;
    qcow2_table_dirty(s, &s->rbc, data, at, at + w);
}

int qcow2_refcount_get(struct qcow2 *s, uint64_t cluster, uint64_t *value)
{
    uint8_t *b;
    int rc = block(s, cluster >> s->rb_bits, &b);

    *value = 0;
    if (!rc && b) *value = refcount_read(s, b, cluster & ((UINT64_C(1) << s->rb_bits) - 1));
    return rc;
}

/* A refcount table with room for region rbi, in a place of its own behind all that is counted now. */
static int grow_table(struct qcow2 *s, uint64_t rbi)
{
    uint64_t per = s->cluster_size / 8, region = MAX(rbi, (uint64_t)s->rt_size), blocks = 1, tclusters, entries;
    uint64_t rb_entries = UINT64_C(1) << s->rb_bits, start = region << s->rb_bits, old = s->rt_offset;
    uint32_t old_size = s->rt_size;
    uint8_t *buf, *head, was[12];
    int rc = 0;

    for (;;) {
        entries = MAX(region + blocks, (uint64_t)s->rt_size + s->rt_size / 2 + 1);
        tclusters = (entries + per - 1) / per;
        uint64_t need = (blocks + tclusters + rb_entries - 1) >> s->rb_bits;
        if (need <= blocks) break;
        blocks = need;
    }
    entries = tclusters * per;
    if (entries * 8 > QCOW2_MAX_RT) return -EFBIG;
    rc = qcow2_writeback(s);
    if (rc) return rc;
    uint64_t *rt = NEW_ARRAY(uint64_t, entries), table = (start + blocks) << s->cluster_bits;
    memcpy(rt, s->rt, s->rt_size * sizeof *rt);
    buf = mem_zalloc(s->cluster_size);
    for (uint64_t k = 0; k < blocks && !rc; k++) {
        memset(buf, 0, s->cluster_size);
        for (uint64_t i = 0; i < rb_entries && (k << s->rb_bits) + i < blocks + tclusters; i++)
            qcow2_refcount_write(s, buf, i, 1);
        rt[region + k] = (start + k) << s->cluster_bits;
        rc = blk_node_write(s->file, rt[region + k], buf, s->cluster_size, 0);
    }
    uint64_t *be = NEW_ARRAY(uint64_t, entries);
    for (uint64_t i = 0; i < entries; i++) st64_be(&be[i], rt[i]);
    if (!rc) rc = blk_node_write(s->file, table, be, (size_t)entries * 8, 0);
    if (!rc) rc = blk_node_flush(s->file);
    head = buf;
    st64_be(head, table);
    st32_be(head + 8, (uint32_t)tclusters);
    st64_be(was, old);
    st32_be(was + 8, (uint32_t)((old_size + per - 1) / per));
    if (!rc) rc = qcow2_switch(s, 48, head, was, 12);
    mem_free(buf);
    mem_free(be);
    if (rc) {
        mem_free(rt);
        return rc;
    }
    mem_free(s->rt);
    s->rt = rt, s->rt_size = (uint32_t)entries, s->rt_offset = table;
    return qcow2_refcount_add(s, old >> s->cluster_bits, (old_size + per - 1) / per, -1);
}

/* The block for region rbi, made when there is none: it lies in the first cluster of its own region, which is free,
 * as nothing there has been counted. */
static int need_block(struct qcow2 *s, uint64_t rbi, uint8_t **data)
{
    uint64_t at = rbi << s->rb_bits << s->cluster_bits;
    int rc = block(s, rbi, data);

    if (rc || *data) return rc;
    if (!at) return qcow2_corrupt(s, 0, "No reference counts for the header");
    if (rbi >= s->rt_size) {
        rc = grow_table(s, rbi);
        if (rc) return rc;
        rc = block(s, rbi, data);
        if (rc || *data) return rc;
    }
    rc = qcow2_table_new(s, &s->rbc, at, data);
    if (rc) return rc;
    qcow2_refcount_write(s, *data, 0, 1);
    s->rt[rbi] = at;
    if (s->rt_dirty_lo == s->rt_dirty_hi) s->rt_dirty_lo = (uint32_t)rbi, s->rt_dirty_hi = (uint32_t)rbi + 1;
    s->rt_dirty_lo = MIN(s->rt_dirty_lo, (uint32_t)rbi), s->rt_dirty_hi = MAX(s->rt_dirty_hi, (uint32_t)rbi + 1);
    return 0;
}

/* Nobody has the cluster any more: what we knew of it is void. */
static void freed(struct qcow2 *s, uint64_t cluster)
{
    s->hint = MIN(s->hint, cluster);
    qcow2_table_freed(s, cluster << s->cluster_bits); /* a table that only a snapshot had */
    /* The next who gets it may fill it with plain data: no compressed bytes are to follow those that were there. */
    if (s->comp_offset >> s->cluster_bits == cluster) s->comp_offset = 0;
}

int qcow2_refcount_add(struct qcow2 *s, uint64_t cluster, uint64_t n, int delta)
{
    uint64_t mask = (UINT64_C(1) << s->rb_bits) - 1;

    for (; n; n--, cluster++) {
        uint8_t *b;
        int rc = need_block(s, cluster >> s->rb_bits, &b);
        if (rc) return rc;
        uint64_t v = refcount_read(s, b, cluster & mask);
        if (delta < 0 ? v < (uint64_t)-delta : v > qcow2_refcount_max(s) - (uint64_t)delta) return -EINVAL;
        v += (uint64_t)(int64_t)delta;
        qcow2_refcount_write(s, b, cluster & mask, v);
        block_changed(s, b, cluster & mask);
        if (!v) freed(s, cluster);
    }
    return 0;
}

int qcow2_refcount_set(struct qcow2 *s, uint64_t cluster, uint64_t value)
{
    uint64_t mask = (UINT64_C(1) << s->rb_bits) - 1;
    uint8_t *b;
    int rc = need_block(s, cluster >> s->rb_bits, &b);

    if (rc) return rc;
    qcow2_refcount_write(s, b, cluster & mask, value);
    block_changed(s, b, cluster & mask);
    if (!value) freed(s, cluster);
    return 0;
}

int qcow2_alloc(struct qcow2 *s, uint64_t n, bool exact, uint64_t *offset, uint64_t *got)
{
    uint64_t mask = (UINT64_C(1) << s->rb_bits) - 1, first = 0, run = 0, c = s->hint;
    bool skipped = false;
    int rc;

    if (s->broken) return -EIO;
    blk_debug_event(s->file, "cluster_alloc");
    if (s->use_lazy && !s->lazy) {
        rc = qcow2_mark_dirty(s);
        if (rc) return rc;
    }
    for (; run < n; c++) {
        uint8_t *b;
        if (c > (QCOW2_OFFSET_MASK >> s->cluster_bits) - n) return -EFBIG;
        rc = need_block(s, c >> s->rb_bits, &b);
        if (rc) return rc;
        if (refcount_read(s, b, c & mask)) {
            if (run && !exact) break;
            skipped |= run != 0;
            run = 0;
        } else {
            if (!run) first = c;
            run++;
        }
    }
    const char *meta = qcow2_overlap(s, first << s->cluster_bits, run << s->cluster_bits);
    if (meta) { /* its count is wrong */
        char *what = mem_printf("Preventing invalid allocation of %s", meta);
        rc = qcow2_corrupt(s, first << s->cluster_bits, what);
        mem_free(what);
        return rc;
    }
    rc = qcow2_refcount_add(s, first, run, 1);
    if (rc) return rc;
    if (!skipped) s->hint = first + run;
    *offset = first << s->cluster_bits;
    if (got) *got = run;
    return 0;
}

int qcow2_free_later(struct qcow2 *s, uint64_t offset, uint64_t bytes)
{
    struct qcow2_free *last = s->n_frees ? &s->frees[s->n_frees - 1] : NULL;

    /* Whole clusters in a row are one entry; compressed pieces may share a cluster and are not. */
    if (last && last->offset + last->bytes == offset && !((offset | bytes | last->bytes) & qcow2_cluster_mask(s))) {
        last->bytes += bytes;
        return 0;
    }
    if (s->n_frees >= 4096) {
        int rc = qcow2_writeback(s);
        if (rc) return rc;
    }
    if (s->n_frees == s->cap_frees) {
        s->cap_frees = s->cap_frees ? s->cap_frees * 2 : 64;
        s->frees = mem_realloc(s->frees, s->cap_frees * sizeof *s->frees);
    }
    s->frees[s->n_frees++] = (struct qcow2_free){offset, bytes};
    return 0;
}
