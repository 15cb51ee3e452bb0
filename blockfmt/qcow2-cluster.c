/*
 * qcow2-cluster.c - from guest offsets to host clusters, and the ways they change: writes that allocate and copy,
 * compressed clusters, zero clusters, discards. qcow2.h has the rules of locks and order.
 */
#include "blockfmt/compress.h"
#include "blockfmt/qcow2.h"

/* ---- looking up ----------------------------------------------------------------------------------- */

void qcow2_compressed_place(const struct qcow2 *s, uint64_t entry, uint64_t *host, uint64_t *bytes)
{
    unsigned x = 62 - (s->cluster_bits - 8);
    uint64_t sectors = (entry >> x & ((UINT64_C(1) << (s->cluster_bits - 8)) - 1)) + 1;

    *host = entry & ((UINT64_C(1) << x) - 1);
    *bytes = sectors * 512 - (*host & 511);
}

static enum qcow2_type type_of(const struct qcow2 *s, uint64_t e)
{
    if (e & QCOW2_COMPRESSED) return QCOW2_COMPR;
    if (s->version >= 3 && (e & QCOW2_ZERO)) return e & QCOW2_OFFSET_MASK ? QCOW2_ZERO_ALLOC : QCOW2_ZERO_PLAIN;
    return e & QCOW2_OFFSET_MASK ? QCOW2_NORMAL : QCOW2_UNALLOCATED;
}

int qcow2_map(struct qcow2 *s, uint64_t offset, uint64_t n, struct qcow2_map *m)
{
    uint64_t mask = qcow2_cluster_mask(s), in = offset & mask, l2_span = UINT64_C(1) << (s->l2_bits + s->cluster_bits);
    uint64_t l1i = offset >> (s->l2_bits + s->cluster_bits), e, have;
    uint32_t i = (uint32_t)(offset >> s->cluster_bits) & ((1u << s->l2_bits) - 1), first = i;
    uint8_t *l2;
    int rc;

    n = MIN(n, l2_span - (offset & (l2_span - 1)));
    *m = (struct qcow2_map){.type = QCOW2_UNALLOCATED, .bytes = n};
    if (l1i >= s->l1_size || !(s->l1[l1i] & QCOW2_OFFSET_MASK)) return 0;
    rc = qcow2_table(s, &s->l2c, s->l1[l1i] & QCOW2_OFFSET_MASK, &l2);
    if (rc) return rc;
    e = ld64_be(l2 + i * 8);
    m->type = type_of(s, e);
    m->copied = (e & QCOW2_COPIED) != 0 && (s->l1[l1i] & QCOW2_COPIED);
    m->host = m->type == QCOW2_COMPR ? e : (e & QCOW2_OFFSET_MASK) + in;
    if ((m->type == QCOW2_NORMAL || m->type == QCOW2_ZERO_ALLOC) && (e & QCOW2_OFFSET_MASK & mask)) return -EIO;
    have = s->cluster_size - in;
    if (m->type == QCOW2_COMPR) {
        m->bytes = MIN(n, have);
        return 0;
    }
    while (have < n) {
        uint64_t f = ld64_be(l2 + ++i * 8);
        if (type_of(s, f) != m->type) break;
        if (m->type == QCOW2_NORMAL || m->type == QCOW2_ZERO_ALLOC) {
            if ((f & QCOW2_OFFSET_MASK) != (e & QCOW2_OFFSET_MASK) + ((uint64_t)(i - first) << s->cluster_bits)) break;
            if ((f ^ e) & QCOW2_COPIED) break;
        }
        have += s->cluster_size;
    }
    m->bytes = MIN(n, have);
    return 0;
}

/* The L2 table for a guest offset, writable: made, or copied when a snapshot shares it. */
static int l2_for_write(struct qcow2 *s, uint64_t offset, uint8_t **l2)
{
    uint64_t l1i = offset >> (s->l2_bits + s->cluster_bits), old, at;
    uint8_t *copy = NULL, *data;
    int rc;

    if (l1i >= s->l1_size) return -EIO;
    old = s->l1[l1i] & QCOW2_OFFSET_MASK;
    if (old && (s->l1[l1i] & QCOW2_COPIED)) return qcow2_table(s, &s->l2c, old, l2);
    rc = qcow2_alloc(s, 1, true, &at, NULL);
    if (rc) return rc;
    if (old) {
        rc = qcow2_table(s, &s->l2c, old, &data);
        if (rc) goto fail;
        copy = mem_alloc(s->cluster_size);
        memcpy(copy, data, s->cluster_size);
    }
    rc = qcow2_table_new(s, &s->l2c, at, l2);
    if (rc) goto fail;
    if (copy) memcpy(*l2, copy, s->cluster_size);
    mem_free(copy);
    s->l1[l1i] = at | QCOW2_COPIED;
    if (s->l1_dirty_lo == s->l1_dirty_hi) s->l1_dirty_lo = (uint32_t)l1i, s->l1_dirty_hi = (uint32_t)l1i + 1;
    s->l1_dirty_lo = MIN(s->l1_dirty_lo, (uint32_t)l1i), s->l1_dirty_hi = MAX(s->l1_dirty_hi, (uint32_t)l1i + 1);
    s->l1_barrier = true;
    if (!old) return 0;
    rc = qcow2_free_later(s, old, s->cluster_size);
    return rc ? rc : qcow2_table(s, &s->l2c, at, l2); /* freeing may have written back and evicted */
fail:
    mem_free(copy);
    (void)qcow2_refcount_add(s, at >> s->cluster_bits, 1, -1);
    return rc;
}

/* What an L2 entry held is used no more. */
static int release(struct qcow2 *s, uint64_t e)
{
    uint64_t host, bytes;

    if (e & QCOW2_COMPRESSED) {
        qcow2_compressed_place(s, e, &host, &bytes);
        return qcow2_free_later(s, host, bytes);
    }
    if (!(e & QCOW2_OFFSET_MASK) || s->data != s->file) return 0;
    return qcow2_free_later(s, e & QCOW2_OFFSET_MASK, s->cluster_size);
}

/* Sets the entries of n clusters: to host clusters in a row (step = cluster size) or all to one value (step 0). What
 * they held is released unless it is what they get. */
static int set_entries(struct qcow2 *s, uint64_t offset, uint64_t n, uint64_t value, uint64_t step)
{
    for (uint64_t k = 0; k < n; k++, value += step) {
        uint64_t at = offset + (k << s->cluster_bits), old;
        uint32_t i = (uint32_t)(at >> s->cluster_bits) & ((1u << s->l2_bits) - 1);
        uint8_t *l2;
        int rc = l2_for_write(s, at, &l2);
        if (rc) return rc;
        old = ld64_be(l2 + i * 8);
        if (old == value) continue;
        st64_be(l2 + i * 8, value);
        qcow2_table_dirty(s, &s->l2c, l2, i * 8, i * 8 + 8);
        if ((old & QCOW2_COMPRESSED) || (old & QCOW2_OFFSET_MASK) != (value & QCOW2_OFFSET_MASK)) {
            rc = release(s, old);
            if (rc) return rc;
        }
    }
    return 0;
}

/* ---- reading -------------------------------------------------------------------------------------- */

static int read_compressed(struct qcow2 *s, uint64_t entry, uint64_t in, uint8_t *buf, uint64_t n)
{
    uint64_t host, bytes;
    uint8_t *src, *dst;
    int rc;

    qcow2_compressed_place(s, entry, &host, &bytes);
    src = mem_alloc((size_t)bytes + s->cluster_size);
    dst = src + bytes;
    rc = blk_node_read(s->file, host, src, (size_t)bytes);
    if (!rc) rc = decompress_block(s->compression ? COMPRESS_ZSTD : COMPRESS_DEFLATE_RAW, src, (size_t)bytes, dst, s->cluster_size);
    if (!rc) memcpy(buf, dst + in, (size_t)n);
    mem_free(src);
    return rc;
}

static int read_mapped(struct qcow2 *s, const struct qcow2_map *m, uint64_t offset, uint8_t *buf)
{
    struct blk_node *below;

    switch (m->type) {
    case QCOW2_NORMAL: return blk_node_read(s->data, m->host, buf, (size_t)m->bytes);
    case QCOW2_COMPR: return read_compressed(s, m->host, offset & qcow2_cluster_mask(s), buf, m->bytes);
    case QCOW2_UNALLOCATED:
        below = blk_node_backing(s->node);
        if (below) return blk_node_read(below, offset, buf, (size_t)m->bytes);
        break;
    default: break;
    }
    memset(buf, 0, (size_t)m->bytes);
    return 0;
}

int qcow2_read_unlocked(struct qcow2 *s, uint64_t offset, uint8_t *buf, uint64_t n)
{
    while (n) {
        struct qcow2_map m;
        int rc;
        pthread_mutex_lock(&s->lock);
        rc = qcow2_map(s, offset, n, &m);
        pthread_mutex_unlock(&s->lock);
        if (!rc) rc = read_mapped(s, &m, offset, buf);
        if (rc) return rc;
        buf += m.bytes, offset += m.bytes, n -= m.bytes;
    }
    return 0;
}

/* ---- writing -------------------------------------------------------------------------------------- */

/* Can the range be written where it is? Then *m covers it all. */
static bool in_place(const struct qcow2_map *m, uint64_t n)
{
    return m->type == QCOW2_NORMAL && m->copied && m->bytes == n;
}

/* Writes data to clusters that only we know yet, with what surrounds it in the first and last of them. fresh: the
 * file has nothing there, so that zeros need no writing. */
static int fill_clusters(struct qcow2 *s, uint64_t host, uint64_t offset, const uint8_t *buf, uint64_t n, bool fresh,
                         bool old_zero)
{
    uint64_t mask = qcow2_cluster_mask(s), head = offset & mask, end = offset + n, tail = ALIGN_UP(end, mask + 1) - end;
    uint64_t total = head + n + tail, room = s->size - MIN(s->size, end);
    uint8_t *tmp;
    int rc = 0;

    if ((!head && !tail) || (fresh && old_zero)) {
        return blk_node_write(s->data, host + head, buf, (size_t)n, 0);
    }
    if (total > 4 * (uint64_t)s->cluster_size && total > (1 << 20)) {
        /* the edges apart, so that the bulk is not copied */
        uint64_t first = head ? s->cluster_size - head : 0, last = tail ? s->cluster_size - tail : 0;
        if (head) rc = fill_clusters(s, host, offset, buf, first, fresh, false);
        if (!rc) rc = blk_node_write(s->data, host + (head ? s->cluster_size : 0), buf + first, (size_t)(n - first - last), 0);
        if (!rc && tail)
            rc = fill_clusters(s, host + total - s->cluster_size, end - last, buf + n - last, last, fresh, false);
        return rc;
    }
    tmp = blk_alloc_aligned((size_t)total);
    memset(tmp, 0, (size_t)head);
    memset(tmp + head + n, 0, (size_t)tail);
    if (head) rc = qcow2_read_unlocked(s, offset - head, tmp, head);
    if (!rc && MIN(tail, room)) rc = qcow2_read_unlocked(s, end, tmp + head + n, MIN(tail, room));
    memcpy(tmp + head, buf, (size_t)n);
    if (!rc) rc = blk_node_write(s->data, host, tmp, (size_t)total, 0);
    blk_free_aligned(tmp);
    return rc;
}

/* One run of clusters that must be allocated, at most n bytes from offset. Range lock held, mutex not. */
static int write_run(struct qcow2 *s, uint64_t offset, const uint8_t *buf, uint64_t *n, const struct qcow2_map *m)
{
    uint64_t head = offset & qcow2_cluster_mask(s), base = offset - head, clusters, host, file_end;
    bool reuse = m->type == QCOW2_ZERO_ALLOC && m->copied, fresh = false, old_zero;
    int rc;

    *n = MIN(*n, m->bytes);
    clusters = (head + *n + s->cluster_size - 1) >> s->cluster_bits;
    old_zero = m->type == QCOW2_ZERO_PLAIN || (m->type == QCOW2_UNALLOCATED && !blk_node_backing(s->node));
    pthread_mutex_lock(&s->lock);
    if (reuse) {
        host = m->host - head;
        rc = 0;
    } else if (s->data != s->file) {
        host = base; /* external data: guest offsets */
        rc = 0;
    } else {
        uint64_t got;
        file_end = blk_node_size(s->file);
        rc = qcow2_alloc(s, clusters, false, &host, &got);
        if (!rc) {
            clusters = got;
            *n = MIN(*n, (clusters << s->cluster_bits) - head);
            fresh = host >= file_end && blk_node_size(s->file) == file_end;
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (rc) return rc;
    rc = fill_clusters(s, host, offset, buf, *n, fresh, old_zero);
    pthread_mutex_lock(&s->lock);
    if (!rc) rc = set_entries(s, base, clusters, host | QCOW2_COPIED, s->cluster_size);
    else if (!reuse && s->data == s->file) (void)qcow2_refcount_add(s, host >> s->cluster_bits, clusters, -1);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int qcow2_write_data(struct qcow2 *s, uint64_t offset, const uint8_t *buf, uint64_t n)
{
    struct blk_range range;
    struct qcow2_map m;
    int rc;

    /* The common case: all of it lies somewhere already. */
    pthread_mutex_lock(&s->lock);
    blk_range_lock(&s->ranges, &s->lock, &range, offset, offset + n, false);
    rc = qcow2_map(s, offset, n, &m);
    if (rc || !in_place(&m, n)) {
        blk_range_unlock(&s->ranges, &range);
        if (!rc) blk_range_lock(&s->ranges, &s->lock, &range, ALIGN_DOWN(offset, (uint64_t)s->cluster_size),
                                ALIGN_UP(offset + n, (uint64_t)s->cluster_size), true);
        if (rc) {
            pthread_mutex_unlock(&s->lock);
            return rc;
        }
        rc = qcow2_map(s, offset, n, &m);
    }
    pthread_mutex_unlock(&s->lock);
    while (n && !rc) {
        uint64_t k = MIN(n, m.bytes);
        if (m.type == QCOW2_NORMAL && m.copied) rc = blk_node_write(s->data, m.host, buf, (size_t)k, 0);
        else rc = write_run(s, offset, buf, &k, &m);
        buf += k, offset += k, n -= k;
        pthread_mutex_lock(&s->lock);
        if (n && !rc) rc = qcow2_map(s, offset, n, &m);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_lock(&s->lock);
    blk_range_unlock(&s->ranges, &range);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- compressed writes ---------------------------------------------------------------------------- */

/* (L) Room for `bytes` behind the last compressed ones, in a cluster begun or new ones in a row. */
static int place_compressed(struct qcow2 *s, uint64_t bytes, uint64_t *host)
{
    uint64_t left = s->comp_offset ? s->cluster_size - (s->comp_offset & qcow2_cluster_mask(s)) : 0, at, count;
    int rc = 0;

    if (s->comp_offset && left >= bytes) {
        rc = qcow2_refcount_get(s, s->comp_offset >> s->cluster_bits, &count);
        if (rc) return rc;
        if (count && count < (s->refcount_order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << s->refcount_order)) - 1)) {
            rc = qcow2_refcount_add(s, s->comp_offset >> s->cluster_bits, 1, 1);
            at = s->comp_offset;
            goto done;
        }
    }
    /* always its own cluster to begin with; a piece is never longer than one */
    rc = qcow2_alloc(s, 1, true, &at, NULL);
done:
    if (rc) return rc;
    *host = at;
    s->comp_offset = (at + bytes) & qcow2_cluster_mask(s) ? at + bytes : 0;
    return 0;
}

int qcow2_write_compressed(struct qcow2 *s, uint64_t offset, const uint8_t *buf, size_t n)
{
    int kind = s->compression ? COMPRESS_ZSTD : COMPRESS_DEFLATE_RAW, rc;
    unsigned x = 62 - (s->cluster_bits - 8);
    uint8_t *whole = NULL, *out;
    struct blk_range range;
    struct qcow2_map m;
    uint64_t host;
    long len;

    if ((offset & qcow2_cluster_mask(s)) || n > s->cluster_size || (n < s->cluster_size && offset + n != s->size))
        return -EINVAL;
    if (s->data != s->file) return -ENOTSUP;
    if (n < s->cluster_size) {
        whole = mem_zalloc(s->cluster_size);
        memcpy(whole, buf, n);
    }
    out = mem_alloc(s->cluster_size);
    len = compress_block(kind, 0, whole ? whole : buf, s->cluster_size, out, s->cluster_size - 1);
    mem_free(whole);
    if (len == -ENOSPC) {
        mem_free(out);
        return qcow2_write_data(s, offset, buf, n);
    }
    if (len < 0) {
        mem_free(out);
        return (int)len;
    }
    pthread_mutex_lock(&s->lock);
    blk_range_lock(&s->ranges, &s->lock, &range, offset, offset + s->cluster_size, true);
    rc = qcow2_map(s, offset, n, &m);
    if (!rc) rc = place_compressed(s, (uint64_t)len, &host);
    pthread_mutex_unlock(&s->lock);
    if (!rc) {
        rc = blk_node_write(s->file, host, out, (size_t)len, 0);
        pthread_mutex_lock(&s->lock);
        uint64_t sectors = (host + (uint64_t)len - 1) / 512 - host / 512;
        if (!rc) rc = set_entries(s, offset, 1, QCOW2_COMPRESSED | sectors << x | host, 0);
        else (void)qcow2_refcount_add(s, host >> s->cluster_bits, 1, -1);
    } else {
        pthread_mutex_lock(&s->lock);
    }
    blk_range_unlock(&s->ranges, &range);
    pthread_mutex_unlock(&s->lock);
    mem_free(out);
    return rc;
}

/* ---- zeros and discards --------------------------------------------------------------------------- */

static int zero_one(struct qcow2 *s, uint64_t offset, bool unmap, bool discard)
{
    bool below = blk_node_backing(s->node) != NULL;
    struct qcow2_map m;
    uint64_t value = 0;
    int rc = qcow2_map(s, offset, s->cluster_size, &m);

    if (rc) return rc;
    if (m.type == QCOW2_ZERO_PLAIN || (m.type == QCOW2_UNALLOCATED && !below)) return 0;
    if (m.type == QCOW2_UNALLOCATED && discard) return 0;
    if (s->version >= 3) {
        bool keep = !unmap && !discard && m.copied && (m.type == QCOW2_NORMAL || m.type == QCOW2_ZERO_ALLOC);
        if (discard && !below) value = 0;
        else value = QCOW2_ZERO | (keep ? (m.host & QCOW2_OFFSET_MASK) | QCOW2_COPIED : 0);
    } else if (below && !discard) {
        return -ENOTSUP;
    } else if (!unmap && !discard) {
        return -ENOTSUP;
    }
    return set_entries(s, offset, 1, value, 0);
}

int qcow2_zero_clusters(struct qcow2 *s, uint64_t offset, uint64_t n, bool unmap, bool discard)
{
    struct blk_range range;
    uint64_t end = offset + n, span = UINT64_C(1) << (s->l2_bits + s->cluster_bits);
    bool below = blk_node_backing(s->node) != NULL;
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    blk_range_lock(&s->ranges, &s->lock, &range, offset, ALIGN_UP(end, (uint64_t)s->cluster_size), true);
    while (offset < end && !rc) {
        uint64_t l1i = offset >> (s->l2_bits + s->cluster_bits);
        if ((!below || discard) && (l1i >= s->l1_size || !(s->l1[l1i] & QCOW2_OFFSET_MASK))) {
            offset = (offset & ~(span - 1)) + span; /* nothing there in the whole table */
            continue;
        }
        rc = zero_one(s, offset, unmap, discard);
        offset += s->cluster_size;
    }
    blk_range_unlock(&s->ranges, &range);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- growing -------------------------------------------------------------------------------------- */

int qcow2_grow_l1(struct qcow2 *s, uint64_t size)
{
    uint64_t span = UINT64_C(1) << (s->l2_bits + s->cluster_bits), n = size / span + (size % span != 0), at;
    uint64_t old = s->l1_offset, clusters, bytes;
    uint32_t old_n = s->l1_size;
    uint8_t head[12];
    int rc;

    if (n <= s->l1_size) return 0;
    if (n * 8 > QCOW2_MAX_L1) return -EFBIG;
    rc = qcow2_writeback(s);
    if (rc) return rc;
    clusters = (n * 8 + s->cluster_size - 1) >> s->cluster_bits;
    rc = qcow2_alloc(s, clusters, true, &at, NULL);
    if (rc) return rc;
    bytes = clusters << s->cluster_bits;
    uint64_t *be = mem_zalloc((size_t)bytes), *l1 = NEW_ARRAY(uint64_t, n);
    for (uint32_t i = 0; i < old_n; i++) st64_be(&be[i], s->l1[i]), l1[i] = s->l1[i];
    rc = qcow2_writeback(s); /* the counts */
    if (!rc) rc = blk_node_write(s->file, at, be, (size_t)bytes, 0);
    if (!rc) rc = blk_node_flush(s->file);
    st32_be(head, (uint32_t)n);
    st64_be(head + 4, at);
    if (!rc) rc = blk_node_write(s->file, 36, head, 12, 0);
    if (!rc) rc = blk_node_flush(s->file);
    mem_free(be);
    if (rc) {
        mem_free(l1);
        (void)qcow2_refcount_add(s, at >> s->cluster_bits, clusters, -1);
        return rc;
    }
    mem_free(s->l1);
    s->l1 = l1, s->l1_size = (uint32_t)n, s->l1_offset = at;
    return old_n ? qcow2_free_later(s, old, (uint64_t)old_n * 8) : 0;
}
