/*
 * qcow2-cluster.c - the data of clusters: reading, writing in place, into new clusters with what surrounds the data
 * in them, compressed clusters, zero clusters, discards. qcow2.h has the rules of locks and order.
 */
#include "blockfmt/compress.h"
#include "blockfmt/crypto.h"
#include "blockfmt/qcow2.h"

#define CRYPT_CHUNK (1u << 20)

/* ---- bytes of the data file ----------------------------------------------------------------------- */

/* The number of the sector that the cipher takes: of the host file for LUKS, of the disk for the old method. */
static uint64_t crypt_sector(const struct qcow2 *s, uint64_t host, uint64_t guest)
{
    return (s->crypt_method == 2 ? host : guest) / 512;
}

static int store(struct qcow2 *s, uint64_t host, uint64_t guest, const uint8_t *buf, uint64_t n)
{
    uint8_t *tmp;
    int rc = 0;

    blk_debug_event(s->data, "write_aio");
    if (!s->crypt_method) return blk_node_write(s->data, host, buf, (size_t)n, 0);
    if (!s->crypt) return -EACCES;
    tmp = blk_alloc_aligned((size_t)MIN(n, (uint64_t)CRYPT_CHUNK));
    while (n && !rc) {
        size_t k = (size_t)MIN(n, (uint64_t)CRYPT_CHUNK);
        memcpy(tmp, buf, k);
        rc = crypt_run(s->crypt, true, crypt_sector(s, host, guest), tmp, k);
        if (!rc) rc = blk_node_write(s->data, host, tmp, k, 0);
        buf += k, host += k, guest += k, n -= k;
    }
    blk_free_aligned(tmp);
    return rc;
}

static int fetch(struct qcow2 *s, uint64_t host, uint64_t guest, uint8_t *buf, uint64_t n)
{
    uint64_t head = host & 511, total = ALIGN_UP(head + n, (uint64_t)512);
    uint8_t *tmp;
    int rc;

    blk_debug_event(s->data, "read_aio");
    if (!s->crypt_method) return blk_node_read(s->data, host, buf, (size_t)n);
    if (!s->crypt) return -EACCES;
    if (!head && total == n) {
        rc = blk_node_read(s->data, host, buf, (size_t)n);
        return rc ? rc : crypt_run(s->crypt, false, crypt_sector(s, host, guest), buf, (size_t)n);
    }
    tmp = blk_alloc_aligned((size_t)total);
    rc = fetch(s, host - head, guest - head, tmp, total);
    if (!rc) memcpy(buf, tmp + head, (size_t)n);
    blk_free_aligned(tmp);
    return rc;
}

/* ---- reading -------------------------------------------------------------------------------------- */

static int read_compressed(struct qcow2 *s, uint64_t entry, uint64_t in, uint8_t *buf, uint64_t n)
{
    uint64_t host, bytes;
    uint8_t *src, *dst;
    int rc;

    qcow2_compressed_place(s, entry, &host, &bytes);
    src = mem_alloc((size_t)bytes + s->cluster_size);
    dst = n == s->cluster_size ? buf : src + bytes;
    blk_debug_event(s->file, "read_compressed");
    rc = blk_node_read(s->file, host, src, (size_t)bytes);
    if (!rc) rc = decompress_block(s->compression ? COMPRESS_ZSTD : COMPRESS_DEFLATE_RAW, src, (size_t)bytes, dst, s->cluster_size);
    if (!rc && dst != buf) memcpy(buf, dst + in, (size_t)n);
    mem_free(src);
    return rc;
}

static int read_mapped(struct qcow2 *s, const struct qcow2_map *m, uint64_t offset, uint8_t *buf)
{
    struct blk_node *below;

    switch (m->type) {
    case QCOW2_NORMAL: return fetch(s, m->host, offset, buf, m->bytes);
    case QCOW2_COMPR: return read_compressed(s, m->host, offset & qcow2_cluster_mask(s), buf, m->bytes);
    case QCOW2_UNALLOCATED:
        below = offset < s->size ? blk_node_backing(s->node) : NULL; /* VM state has nothing below it */
        if (below) blk_debug_event(s->file, "read_backing_aio");
        if (below) return blk_node_read(below, offset, buf, (size_t)m->bytes);
        break;
    default: break;
    }
    memset(buf, 0, (size_t)m->bytes);
    return 0;
}

/* (L) */
static int map(struct qcow2 *s, uint64_t offset, uint64_t n, struct qcow2_map *m)
{
    int rc = qcow2_prefetch(s, offset);
    return rc ? rc : qcow2_map(s, offset, n, m);
}

/* Reads without taking a range lock. */
static int read_unlocked(struct qcow2 *s, uint64_t offset, uint8_t *buf, uint64_t n)
{
    while (n) {
        struct qcow2_map m;
        int rc;
        pthread_mutex_lock(&s->lock);
        rc = map(s, offset, n, &m);
        pthread_mutex_unlock(&s->lock);
        if (!rc) rc = read_mapped(s, &m, offset, buf);
        if (rc) return rc;
        buf += m.bytes, offset += m.bytes, n -= m.bytes;
    }
    return 0;
}

int qcow2_read_data(struct qcow2 *s, uint64_t offset, uint8_t *buf, uint64_t n)
{
    struct blk_range range;
    struct qcow2_map m;
    int rc;

    pthread_mutex_lock(&s->lock);
    blk_range_lock(&s->ranges, &s->lock, &range, offset, offset + n, false);
    rc = map(s, offset, n, &m);
    pthread_mutex_unlock(&s->lock);
    if (!rc) rc = read_mapped(s, &m, offset, buf);
    if (!rc && m.bytes < n) rc = read_unlocked(s, offset + m.bytes, buf + m.bytes, n - m.bytes);
    pthread_mutex_lock(&s->lock);
    blk_range_unlock(&s->ranges, &range);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static bool table_cached(struct qcow2 *s, uint64_t offset)
{
    uint64_t l1i = offset / qcow2_l2_span(s), at = l1i < s->l1_size ? s->l1[l1i] & QCOW2_OFFSET_MASK : 0;
    return !at || qcow2_table_cached(s, &s->l2c, at);
}

/* (L) Would a shared lock of the range have to wait? */
static bool range_taken(const struct qcow2 *s, uint64_t start, uint64_t end)
{
    for (const struct blk_range *y = s->ranges.list; y; y = y->next) {
        if (y->exclusive && y->start < end && y->end > start) return true;
    }
    return false;
}

int qcow2_read_data_now(struct qcow2 *s, uint64_t offset, uint8_t *buf, uint64_t n)
{
    struct blk_node *below;
    struct blk_range range;
    struct qcow2_map m;
    int rc = 0;

    /* One run: others are rare in requests that are small enough. */
    if (s->crypt_method || pthread_mutex_trylock(&s->lock)) return -EAGAIN;
    if (range_taken(s, offset, offset + n) || !table_cached(s, offset)) rc = -EAGAIN;
    if (!rc) rc = qcow2_map(s, offset, n, &m);
    if (!rc && (m.bytes < n || m.type == QCOW2_COMPR)) rc = -EAGAIN;
    below = !rc && m.type == QCOW2_UNALLOCATED && offset < s->size ? blk_node_backing(s->node) : NULL;
    if (!rc && (m.type == QCOW2_NORMAL || below)) {
        blk_range_lock(&s->ranges, &s->lock, &range, offset, offset + n, false);
        pthread_mutex_unlock(&s->lock);
        rc = below ? blk_node_read_now(below, offset, buf, (size_t)n) : blk_node_read_now(s->data, m.host, buf, (size_t)n);
        pthread_mutex_lock(&s->lock);
        blk_range_unlock(&s->ranges, &range);
    } else if (!rc) {
        memset(buf, 0, (size_t)n);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------------- */

static bool in_place(const struct qcow2_map *m) { return m->type == QCOW2_NORMAL && m->copied; }

/* Writes data to where only we know it to go yet, with what surrounds it in the first and last unit. `host` is of the
 * first byte. fresh: the file has nothing there, so that zeros need no writing. */
static int fill(struct qcow2 *s, uint64_t host, uint64_t offset, const uint8_t *buf, uint64_t n, uint64_t unit, bool fresh,
                bool old_zero)
{
    uint64_t head = offset & (unit - 1), end = offset + n, tail = ALIGN_UP(end, unit) - end, total = head + n + tail;
    uint64_t limit = offset < s->size ? s->size : UINT64_MAX, room = limit - MIN(limit, end);
    uint8_t *tmp;
    int rc = 0;

    if ((!head && !tail) || (fresh && old_zero && !s->crypt_method)) return store(s, host, offset, buf, n);
    if (total > 4 * unit && total > (1 << 20)) {
        /* the edges apart, so that the bulk is not copied */
        uint64_t first = head ? unit - head : 0, last = tail ? unit - tail : 0;
        if (head) rc = fill(s, host, offset, buf, first, unit, fresh, false);
        if (!rc) rc = store(s, host + first, offset + first, buf + first, n - first - last);
        if (!rc && tail) rc = fill(s, host + n - last, end - last, buf + n - last, last, unit, fresh, false);
        return rc;
    }
    tmp = blk_alloc_aligned((size_t)total);
    memset(tmp, 0, (size_t)head);
    memset(tmp + head + n, 0, (size_t)tail);
    if (head) rc = read_unlocked(s, offset - head, tmp, head);
    if (!rc && MIN(tail, room)) rc = read_unlocked(s, end, tmp + head + n, MIN(tail, room));
    memcpy(tmp + head, buf, (size_t)n);
    if (!rc) rc = store(s, host - head, offset - head, tmp, total);
    blk_free_aligned(tmp);
    return rc;
}

/* One run that is not simply overwritten, at most *n bytes from offset. Range lock held, mutex not. */
static int write_run(struct qcow2 *s, uint64_t offset, const uint8_t *buf, uint64_t *n, const struct qcow2_map *m)
{
    uint64_t in = offset & qcow2_cluster_mask(s), base = offset - in, clusters, host = 0, unit = s->cluster_size;
    bool reuse = m->alloc && m->copied && m->type != QCOW2_COMPR, fresh = false, old_zero, whole = true;
    int rc = 0;

    /* Subclusters: of a cluster that is shared or compressed all is copied, elsewhere only what is touched. */
    old_zero = m->type == QCOW2_ZEROS || (m->type == QCOW2_UNALLOCATED && !blk_node_backing(s->node));
    if (s->ext_l2 && !reuse && (m->alloc || m->type == QCOW2_COMPR)) {
        *n = MIN(*n, s->cluster_size - in);
        old_zero = false; /* the subcluster may be, its neighbours are not */
    } else {
        *n = MIN(*n, m->bytes);
        if (s->ext_l2) unit = UINT64_C(1) << s->sub_bits, whole = false;
    }
    clusters = (in + *n + s->cluster_size - 1) >> s->cluster_bits;
    pthread_mutex_lock(&s->lock);
    if (s->broken) {
        rc = -EIO;
    } else if (reuse) {
        const char *meta;
        host = m->host - in;
        meta = s->external ? NULL : qcow2_overlap(s, host, clusters << s->cluster_bits);
        if (meta) rc = qcow2_corrupt(s, host, meta);
    } else if (s->external) {
        host = base;
    } else {
        uint64_t got, file_end = blk_node_size(s->file);
        rc = qcow2_alloc(s, clusters, false, &host, &got);
        if (!rc) {
            clusters = got;
            *n = MIN(*n, (clusters << s->cluster_bits) - in);
            fresh = host >= file_end && blk_node_size(s->file) == file_end;
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (rc) return rc;
    rc = fill(s, host + in, offset, buf, *n, unit, fresh, old_zero);
    pthread_mutex_lock(&s->lock);
    if (!rc) rc = qcow2_set_data(s, base, clusters, host, offset, offset + *n, whole);
    else if (!reuse && !s->external) (void)qcow2_refcount_add(s, host >> s->cluster_bits, clusters, -1);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* (L) Data that goes where it lies: not over tables, whatever a damaged image says. */
static int guard(struct qcow2 *s, const struct qcow2_map *m, uint64_t n)
{
    const char *meta;

    if (s->broken) return -EIO;
    if (s->external) return 0;
    meta = qcow2_overlap(s, m->host, n);
    if (!meta) return 0;
    char *what = mem_printf("Preventing invalid write on metadata (overlaps with %s)", meta);
    int rc = qcow2_corrupt(s, m->host, what);
    mem_free(what);
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
    rc = map(s, offset, n, &m);
    if (rc || !in_place(&m) || m.bytes < n) {
        blk_range_unlock(&s->ranges, &range);
        if (!rc) blk_range_lock(&s->ranges, &s->lock, &range, ALIGN_DOWN(offset, (uint64_t)s->cluster_size),
                                ALIGN_UP(offset + n, (uint64_t)s->cluster_size), true);
        if (rc) {
            pthread_mutex_unlock(&s->lock);
            return rc;
        }
        rc = map(s, offset, n, &m);
    }
    while (n && !rc) {
        uint64_t k = MIN(n, m.bytes);
        bool place = in_place(&m);
        if (place) rc = guard(s, &m, k);
        pthread_mutex_unlock(&s->lock);
        if (!rc && place) rc = store(s, m.host, offset, buf, k);
        else if (!rc) k = n, rc = write_run(s, offset, buf, &k, &m);
        buf += k, offset += k, n -= k;
        pthread_mutex_lock(&s->lock);
        if (n && !rc) rc = map(s, offset, n, &m);
    }
    blk_range_unlock(&s->ranges, &range);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- without a thread ----------------------------------------------------------------------------- */

/* What lies in one run, as it is: read, or overwritten where it is only ours. */
int qcow2_start_data(struct qcow2 *s, struct blk_flight *f, struct blk_stop *x)
{
    uint64_t offset = x->offset, end = offset + x->len, to = offset;
    struct blk_node *below = s->data;
    struct qcow2_map m;
    int rc = 0;

    if (s->crypt_method || s->broken || pthread_mutex_trylock(&s->lock)) return -EAGAIN;
    if (range_taken(s, offset, end) || !table_cached(s, offset) || qcow2_map(s, offset, x->len, &m) || m.bytes < x->len) rc = -EAGAIN;
    if (!rc && f->write) {
        if (!in_place(&m) || (!s->external && qcow2_overlap(s, m.host, x->len))) rc = -EAGAIN;
    }
    if (!rc && m.type == QCOW2_NORMAL) to = m.host;
    else if (!rc) below = m.type == QCOW2_UNALLOCATED && offset < s->size ? blk_node_backing(s->node) : NULL;
    if (!rc && !below) rc = -EAGAIN; /* zeros, or to be decompressed */
    if (!rc) blk_range_lock(&s->ranges, &s->lock, &x->range, offset, end, false);
    pthread_mutex_unlock(&s->lock);
    if (rc) return rc;
    rc = blk_node_start(below, f, to, x->len);
    if (rc) (void)qcow2_landed_data(s, x, true);
    return rc;
}

bool qcow2_landed_data(struct qcow2 *s, struct blk_stop *x, bool wait)
{
    if (wait) pthread_mutex_lock(&s->lock);
    else if (pthread_mutex_trylock(&s->lock)) return false;
    blk_range_unlock(&s->ranges, &x->range);
    pthread_mutex_unlock(&s->lock);
    return true;
}

/* ---- compressed writes ---------------------------------------------------------------------------- */

/* (L) Room for `bytes` behind the last compressed ones, in a cluster begun or a new one. */
static int place_compressed(struct qcow2 *s, uint64_t bytes, uint64_t *host)
{
    uint64_t left = s->comp_offset ? s->cluster_size - (s->comp_offset & qcow2_cluster_mask(s)) : 0, at, count;
    int rc = 0;

    if (s->comp_offset && left >= bytes) {
        rc = qcow2_refcount_get(s, s->comp_offset >> s->cluster_bits, &count);
        if (rc) return rc;
        if (count && count < qcow2_refcount_max(s)) {
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
    uint64_t host = 0;
    long len;

    if ((offset & qcow2_cluster_mask(s)) || n > s->cluster_size || (n < s->cluster_size && offset + n != s->size))
        return -EINVAL;
    if (s->external || s->crypt_method) return -ENOTSUP;
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
    rc = s->broken ? -EIO : qcow2_prefetch(s, offset);
    if (!rc) rc = place_compressed(s, (uint64_t)len, &host);
    pthread_mutex_unlock(&s->lock);
    if (!rc) {
        blk_debug_event(s->file, "write_compressed");
        rc = blk_node_write(s->file, host, out, (size_t)len, 0);
        pthread_mutex_lock(&s->lock);
        uint64_t sectors = (host + (uint64_t)len - 1) / 512 - host / 512;
        if (!rc) rc = qcow2_set_entry(s, offset, QCOW2_COMPRESSED | sectors << x | host, 0);
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

/* (L) A whole cluster. */
static int zero_one(struct qcow2 *s, uint64_t offset, bool unmap, bool discard)
{
    bool below = blk_node_backing(s->node) != NULL && offset < s->size;
    const uint64_t all_zero = UINT64_C(0xffffffff) << 32;
    uint64_t e, bits, value = 0;
    int rc = qcow2_get_entry(s, offset, &e, &bits);

    if (rc) return rc;
    bool compr = (e & QCOW2_COMPRESSED) != 0, host = !compr && qcow2_has_host(s, e), copied = host && (e & QCOW2_COPIED);
    bool blank = !compr && !host && !(s->ext_l2 ? bits : s->version >= 3 ? e & QCOW2_ZERO : 0);
    if (blank && (!below || discard)) return 0;
    if (s->version < 3) {
        /* there are no zero clusters: only what shows through to nothing can be zeros */
        if ((below && !discard) || (!unmap && !discard)) return -ENOTSUP;
        return qcow2_set_entry(s, offset, 0, 0);
    }
    bool keep = copied && (s->external || (!unmap && !discard));
    if (discard && !below && !keep) return qcow2_set_entry(s, offset, 0, 0);
    if (keep) value = e & (QCOW2_OFFSET_MASK | QCOW2_COPIED);
    return qcow2_set_entry(s, offset, s->ext_l2 ? value : value | QCOW2_ZERO, s->ext_l2 ? all_zero : 0);
}

/* (L) Some subclusters of one cluster. */
static int zero_sub(struct qcow2 *s, uint64_t offset, uint64_t n)
{
    uint64_t base = ALIGN_DOWN(offset, (uint64_t)s->cluster_size), e, bits, touched;
    unsigned first = (unsigned)((offset - base) >> s->sub_bits), last = (unsigned)((offset + n - 1 - base) >> s->sub_bits);
    int rc = qcow2_get_entry(s, base, &e, &bits);

    if (rc) return rc;
    if (e & QCOW2_COMPRESSED) return -ENOTSUP;
    touched = ((UINT64_C(2) << last) - 1) & ~((UINT64_C(1) << first) - 1);
    bits = (bits & ~touched) | touched << 32;
    return qcow2_set_entry(s, base, e, bits);
}

int qcow2_zero_clusters(struct qcow2 *s, uint64_t offset, uint64_t n, bool unmap, bool discard)
{
    struct blk_range range;
    uint64_t end = offset + n, span = qcow2_l2_span(s), mask = qcow2_cluster_mask(s), start = offset;
    bool below = blk_node_backing(s->node) != NULL;
    int rc = 0;

    /* An external file that others read as it is must hold the zeros itself. */
    if (s->external && (s->autoclear & QCOW2_AUTOCLEAR_RAW)) {
        rc = blk_node_zero(s->data, offset, n, unmap || discard ? BLK_MAY_UNMAP : 0);
        if (rc) return rc;
    }
    pthread_mutex_lock(&s->lock);
    blk_range_lock(&s->ranges, &s->lock, &range, ALIGN_DOWN(offset, mask + 1), ALIGN_UP(end, mask + 1), true);
    if (s->broken) rc = -EIO;
    while (offset < end && !rc) {
        uint64_t l1i = offset / span, k = MIN(end - offset, s->cluster_size - (offset & mask));
        if ((!below || discard) && (l1i >= s->l1_size || !(s->l1[l1i] & QCOW2_OFFSET_MASK))) {
            offset = (offset & ~(span - 1)) + span; /* nothing there in the whole table */
            continue;
        }
        if (offset == start || !(offset & (span - 1))) rc = qcow2_prefetch(s, offset);
        if (rc) break;
        if (s->ext_l2 && k < s->cluster_size && offset + k != s->size) rc = discard ? 0 : zero_sub(s, offset, k);
        else if (s->ext_l2 && (offset & mask)) rc = discard ? 0 : zero_sub(s, offset, k);
        else rc = zero_one(s, offset, unmap, discard);
        offset += k;
    }
    blk_range_unlock(&s->ranges, &range);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int qcow2_forget_clusters(struct qcow2 *s, uint64_t from, uint64_t to)
{
    uint64_t span = qcow2_l2_span(s);
    struct blk_range range;
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    blk_range_lock(&s->ranges, &s->lock, &range, from, to, true);
    while (from < to && !rc) {
        uint64_t l1i = from / span, e, bits;
        if (l1i >= s->l1_size) break;
        if (!(s->l1[l1i] & QCOW2_OFFSET_MASK)) {
            from = (from & ~(span - 1)) + span;
            continue;
        }
        rc = qcow2_get_entry(s, from, &e, &bits);
        if (!rc && (e || bits)) rc = qcow2_set_entry(s, from, 0, 0);
        from += s->cluster_size;
    }
    blk_range_unlock(&s->ranges, &range);
    pthread_mutex_unlock(&s->lock);
    return rc;
}
