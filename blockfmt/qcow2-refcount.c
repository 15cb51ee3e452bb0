/*
 * qcow2-refcount.c - reference counts of host clusters: reading, changing, finding free ones, growing the tables,
 * and check. The image's mutex is held throughout.
 */
#include "blockfmt/qcow2.h"

#include <stdarg.h>
#include <stdio.h>

uint64_t qcow2_refcount_read(const struct qcow2 *s, const uint8_t *b, uint64_t i)
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

static uint64_t refcount_max(const struct qcow2 *s)
{
    return s->refcount_order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << s->refcount_order)) - 1;
}

/* The refcount block for index rbi; *data NULL when there is none. */
static int block(struct qcow2 *s, uint64_t rbi, uint8_t **data)
{
    *data = NULL;
    if (rbi >= s->rt_size || !(s->rt[rbi] & QCOW2_OFFSET_MASK)) return 0;
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
    if (!rc && b) *value = qcow2_refcount_read(s, b, cluster & ((UINT64_C(1) << s->rb_bits) - 1));
    return rc;
}

/* A refcount table with room for region rbi, in a place of its own behind all that is counted now. */
static int grow_table(struct qcow2 *s, uint64_t rbi)
{
    uint64_t per = s->cluster_size / 8, region = MAX(rbi, (uint64_t)s->rt_size), blocks = 1, tclusters, entries;
    uint64_t rb_entries = UINT64_C(1) << s->rb_bits, start = region << s->rb_bits, old = s->rt_offset;
    uint32_t old_size = s->rt_size;
    uint8_t *buf, *head;
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
    if (!rc) rc = blk_node_write(s->file, 48, head, 12, 0);
    if (!rc) rc = blk_node_flush(s->file);
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
    if (!at) return -EIO; /* the region of the header must be counted */
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

int qcow2_refcount_add(struct qcow2 *s, uint64_t cluster, uint64_t n, int delta)
{
    uint64_t mask = (UINT64_C(1) << s->rb_bits) - 1;

    for (; n; n--, cluster++) {
        uint8_t *b;
        int rc = need_block(s, cluster >> s->rb_bits, &b);
        if (rc) return rc;
        uint64_t v = qcow2_refcount_read(s, b, cluster & mask);
        if (delta < 0 ? v < (uint64_t)-delta : v > refcount_max(s) - (uint64_t)delta) return -EINVAL;
        v += (uint64_t)(int64_t)delta;
        qcow2_refcount_write(s, b, cluster & mask, v);
        block_changed(s, b, cluster & mask);
        if (!v) s->hint = MIN(s->hint, cluster);
    }
    return 0;
}

int qcow2_alloc(struct qcow2 *s, uint64_t n, bool exact, uint64_t *offset, uint64_t *got)
{
    uint64_t mask = (UINT64_C(1) << s->rb_bits) - 1, first = 0, run = 0, c = s->hint;
    bool skipped = false;
    int rc;

    for (; run < n; c++) {
        uint8_t *b;
        if (c > (QCOW2_OFFSET_MASK >> s->cluster_bits) - n) return -EFBIG;
        rc = need_block(s, c >> s->rb_bits, &b);
        if (rc) return rc;
        if (qcow2_refcount_read(s, b, c & mask)) {
            if (run && !exact) break;
            skipped |= run != 0;
            run = 0;
        } else {
            if (!run) first = c;
            run++;
        }
    }
    if (!first) return -EIO; /* cluster 0 is the header: its count is wrong */
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

/* ---- check ---------------------------------------------------------------------------------------- */

struct checker {
    struct qcow2 *s;
    struct blk_check *c;
    uint32_t *used; /* references found, by cluster */
    uint64_t n;     /* clusters of the file, and of what tables refer to */
    uint64_t last_host;
};

static void say(struct checker *k, const char *fmt, ...) ATTR_PRINTF(2, 3);
static void say(struct checker *k, const char *fmt, ...)
{
    char buf[256];
    va_list ap;

    if (!k->c->message) return;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    k->c->message(k->c->opaque, buf);
}

/* Counts a reference to all clusters that the bytes touch. */
static bool refer(struct checker *k, uint64_t offset, uint64_t bytes)
{
    unsigned bits = k->s->cluster_bits;

    if (!bytes) return true;
    if (offset + bytes < offset || (offset + bytes - 1) >> bits >= k->n) {
        say(k, "ERROR: counting reference for region exceeding the end of the file by one cluster or more: offset 0x%llx size 0x%llx",
            (unsigned long long)offset, (unsigned long long)bytes);
        k->c->corruptions++;
        return false;
    }
    for (uint64_t c = offset >> bits; c <= (offset + bytes - 1) >> bits; c++) {
        if (k->used[c] < UINT32_MAX) k->used[c]++;
    }
    return true;
}

static int check_l2(struct checker *k, uint64_t l2_offset, bool active)
{
    struct qcow2 *s = k->s;
    uint8_t *t = mem_alloc(s->cluster_size);
    int rc = blk_node_read(s->file, l2_offset, t, s->cluster_size);

    k->last_host = 0; /* each table starts anew: the table itself lies between */
    for (uint32_t i = 0; !rc && i < s->cluster_size / 8; i++) {
        uint64_t e = ld64_be(t + i * 8), host, bytes, count;

        if (e & QCOW2_COMPRESSED) {
            if (e & QCOW2_COPIED) {
                say(k, "ERROR: coffset=0x%llx: copied flag must never be set for compressed clusters",
                    (unsigned long long)e);
                k->c->corruptions++;
            }
            qcow2_compressed_place(s, e, &host, &bytes);
            /* the last sector may be said to reach behind the end of the file */
            if (host < k->n << s->cluster_bits) bytes = MIN(bytes, (k->n << s->cluster_bits) - host);
            refer(k, host, bytes);
            if (active) k->c->allocated_clusters++, k->c->compressed_clusters++, k->c->fragmented_clusters++;
            continue;
        }
        host = e & QCOW2_OFFSET_MASK;
        if (!host) continue;
        if (host & qcow2_cluster_mask(s)) {
            say(k, "ERROR offset=%llx: Data cluster is not properly aligned; L2 entry corrupted.",
                (unsigned long long)host);
            k->c->corruptions++;
            continue;
        }
        if (active) {
            k->c->allocated_clusters++;
            if (k->last_host && k->last_host + s->cluster_size != host) k->c->fragmented_clusters++;
            k->last_host = host;
        }
        if (s->data != s->file) continue;
        if (!refer(k, host, s->cluster_size)) continue;
        if (active && !qcow2_refcount_get(s, host >> s->cluster_bits, &count) && (count == 1) != !!(e & QCOW2_COPIED)) {
            say(k, "ERROR OFLAG_COPIED data cluster: l2_entry=%llx refcount=%llu", (unsigned long long)e,
                (unsigned long long)count);
            k->c->corruptions++;
        }
    }
    mem_free(t);
    return rc;
}

static int check_l1(struct checker *k, const uint64_t *l1, uint32_t n, bool active)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t l2 = l1[i] & QCOW2_OFFSET_MASK, count;
        int rc;
        if (!l2) continue;
        if (l2 & qcow2_cluster_mask(k->s)) {
            say(k, "ERROR l2_offset=%llx: Table is not cluster aligned; L1 entry corrupted", (unsigned long long)l2);
            k->c->corruptions++;
            continue;
        }
        if (!refer(k, l2, k->s->cluster_size)) continue;
        if (active && !qcow2_refcount_get(k->s, l2 >> k->s->cluster_bits, &count) &&
            (count == 1) != !!(l1[i] & QCOW2_COPIED)) {
            say(k, "ERROR OFLAG_COPIED L2 cluster: l1_index=%u l1_entry=%llx refcount=%llu", i,
                (unsigned long long)l1[i], (unsigned long long)count);
            k->c->corruptions++;
        }
        rc = check_l2(k, l2, active);
        if (rc) return rc;
    }
    return 0;
}

static int compare_counts(struct checker *k, unsigned fix)
{
    struct qcow2 *s = k->s;
    uint64_t end = MAX(k->n, (uint64_t)s->rt_size << s->rb_bits), count;

    for (uint64_t c = 0; c < end; c++) {
        uint64_t used = c < k->n ? k->used[c] : 0;
        int rc;
        /* regions without a block count nothing */
        if (c >= k->n && (c >> s->rb_bits >= s->rt_size || !s->rt[c >> s->rb_bits])) {
            c |= (UINT64_C(1) << s->rb_bits) - 1;
            continue;
        }
        rc = qcow2_refcount_get(s, c, &count);
        if (rc) return rc;
        if (used) k->c->image_end_offset = (c + 1) << s->cluster_bits;
        if (count == used) continue;
        bool leak = count > used, mend = leak ? fix & (BLK_FIX_LEAKS | BLK_FIX_ERRORS) : fix & BLK_FIX_ERRORS;
        say(k, "%s cluster %llu refcount=%llu reference=%llu", mend ? "Repairing" : leak ? "Leaked" : "ERROR",
            (unsigned long long)c, (unsigned long long)count, (unsigned long long)used);
        if (mend) {
            for (; count < used && !rc; count++) rc = qcow2_refcount_add(s, c, 1, 1);
            for (; count > used && !rc; count--) rc = qcow2_refcount_add(s, c, 1, -1);
            if (!rc) {
                if (leak) k->c->leaks_fixed++;
                else k->c->corruptions_fixed++;
                continue;
            }
        }
        if (leak) k->c->leaks++;
        else k->c->corruptions++;
    }
    return 0;
}

int qcow2_check(struct blk_node *n, unsigned fix, struct blk_check *c, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    struct checker k = {.s = s, .c = c};
    uint64_t rt_bytes = (uint64_t)s->rt_size * 8;
    int rc;

    pthread_mutex_lock(&s->lock);
    rc = blk_node_flags(n) & BLK_RDONLY ? 0 : qcow2_writeback(s);
    k.n = (blk_node_size(s->file) + s->cluster_size - 1) >> s->cluster_bits;
    if (k.n > UINT64_C(1) << 34) rc = -EFBIG;
    k.used = rc ? NULL : NEW_ARRAY(uint32_t, k.n + 1);
    c->total_clusters = (s->size + s->cluster_size - 1) >> s->cluster_bits;
    if (!rc) {
        refer(&k, 0, s->cluster_size);
        refer(&k, s->l1_offset, (uint64_t)s->l1_size * 8);
        rc = check_l1(&k, s->l1, s->l1_size, true);
    }
    refer(&k, s->snapshots_offset, rc ? 0 : s->snapshots_bytes);
    for (uint32_t i = 0; i < s->n_snapshots && !rc; i++) {
        const struct qcow2_snapshot *sn = &s->snapshots[i];
        if (!refer(&k, sn->l1_offset, (uint64_t)sn->l1_size * 8)) continue;
        uint64_t *l1 = NEW_ARRAY(uint64_t, sn->l1_size + 1);
        rc = blk_node_read(s->file, sn->l1_offset, l1, (size_t)sn->l1_size * 8);
        for (uint32_t x = 0; x < sn->l1_size; x++) l1[x] = ld64_be(&l1[x]);
        if (!rc) rc = check_l1(&k, l1, sn->l1_size, false);
        mem_free(l1);
    }
    if (!rc) refer(&k, s->rt_offset, ALIGN_UP(rt_bytes, (uint64_t)s->cluster_size));
    for (uint32_t i = 0; i < s->rt_size && !rc; i++) {
        uint64_t b = s->rt[i] & QCOW2_OFFSET_MASK;
        if (!b) continue;
        if (b & qcow2_cluster_mask(s) || b >> s->cluster_bits >= k.n) {
            say(&k, "ERROR refcount block %u is %s", i,
                b & qcow2_cluster_mask(s) ? "not cluster aligned; refcount table entry corrupted" : "outside image");
            c->corruptions++;
            continue;
        }
        refer(&k, b, s->cluster_size);
    }
    if (!rc) rc = compare_counts(&k, fix);
    if (!rc && fix) rc = qcow2_writeback(s);
    mem_free(k.used);
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "check: %s", strerror(-rc)), c->check_errors++;
    return rc;
}
