/*
 * qcow2.c - the qcow2 format, versions 2 and 3: opening, requests, status, resizing, information. The layout on disk
 * follows the published descriptions of the format; qcow2.h says how the driver's files divide the work.
 *
 * Not here yet, and refused by name when an image needs it: encryption, external data files, subclusters (extended
 * L2 entries). Internal snapshots are kept and counted, not made.
 */
#include "blockfmt/compress.h"
#include "blockfmt/qcow2.h"
#include "util/json.h"

#define EXT_BACKING 0xe2792acau

static int qcow2_probe(const uint8_t *buf, size_t n, const char *filename)
{
    return n >= 8 && ld32_be(buf) == QCOW2_MAGIC && ld32_be(buf + 4) >= 2 ? 100 : 0;
}

static int bad(struct error *e, const char *what, uint64_t value)
{
    error_set(e, "qcow2: %s (0x%llx)", what, (unsigned long long)value);
    return -EINVAL;
}

static int read_extensions(struct qcow2 *s, const uint8_t *h, size_t end, char *format, size_t room, struct error *e)
{
    size_t at = s->header_length;

    *format = 0;
    while (at + 8 <= end) {
        uint32_t type = ld32_be(h + at), len = ld32_be(h + at + 4);
        if (!type) break;
        at += 8;
        if (len > end - at) return bad(e, "Header extension too large", len);
        if (type == EXT_BACKING) {
            if (len >= room) return bad(e, "backing format name too long", len);
            memcpy(format, h + at, len);
            format[len] = 0;
        }
        at += ALIGN_UP(len, 8u);
    }
    return 0;
}

/* ---- snapshots: their table is read, for counting ---- */

static int read_snapshots(struct qcow2 *s, struct error *e)
{
    uint64_t at = s->snapshots_offset;

    if (!s->n_snapshots) return 0;
    s->snapshots = NEW_ARRAY(struct qcow2_snapshot, s->n_snapshots);
    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        struct qcow2_snapshot *sn = &s->snapshots[i];
        uint8_t h[40], extra[24] = {0};
        int rc = blk_node_read(s->file, at, h, sizeof h);
        if (rc) return rc;
        uint32_t id_len = ld16_be(h + 12), name_len = ld16_be(h + 14), extra_len = ld32_be(h + 36);
        if (extra_len > 1024) return bad(e, "Too much extra metadata in snapshot table entry", i);
        rc = blk_node_read(s->file, at + 40, extra, MIN(extra_len, (uint32_t)sizeof extra));
        if (rc) return rc;
        sn->l1_offset = ld64_be(h), sn->l1_size = ld32_be(h + 8);
        sn->date_sec = ld32_be(h + 16), sn->date_nsec = ld32_be(h + 20), sn->vm_clock_ns = ld64_be(h + 24);
        sn->vm_state_size = extra_len >= 8 ? ld64_be(extra) : ld32_be(h + 32);
        sn->disk_size = extra_len >= 16 ? ld64_be(extra + 8) : s->size;
        sn->icount = extra_len >= 24 ? ld64_be(extra + 16) : UINT64_MAX;
        if ((uint64_t)sn->l1_size * 8 > QCOW2_MAX_L1 || (sn->l1_offset & qcow2_cluster_mask(s)))
            return bad(e, "Snapshot L1 table is invalid, snapshot", i);
        sn->id = mem_zalloc(id_len + 1), sn->name = mem_zalloc(name_len + 1);
        rc = blk_node_read(s->file, at + 40 + extra_len, sn->id, id_len);
        if (!rc) rc = blk_node_read(s->file, at + 40 + extra_len + id_len, sn->name, name_len);
        if (rc) return rc;
        at += ALIGN_UP(40 + (uint64_t)extra_len + id_len + name_len, (uint64_t)8);
    }
    s->snapshots_bytes = at - s->snapshots_offset;
    return 0;
}

static void free_state(struct qcow2 *s)
{
    for (uint32_t i = 0; s->snapshots && i < s->n_snapshots; i++) {
        mem_free(s->snapshots[i].id);
        mem_free(s->snapshots[i].name);
    }
    mem_free(s->snapshots);
    mem_free(s->l1);
    mem_free(s->rt);
    mem_free(s->frees);
    qcow2_cache_free(&s->l2c);
    qcow2_cache_free(&s->rbc);
    blk_ranges_destroy(&s->ranges);
    pthread_mutex_destroy(&s->lock);
}

/* ---- opening -------------------------------------------------------------------------------------- */

static int parse_header(struct qcow2 *s, const uint8_t *h, unsigned flags, struct error *e)
{
    unsigned known = QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT | QCOW2_INCOMPAT_COMPRESSION;

    if (ld32_be(h) != QCOW2_MAGIC) return error_set(e, "Image is not in qcow2 format"), -EINVAL;
    s->version = ld32_be(h + 4);
    if (s->version < 2 || s->version > 3) return error_set(e, "Unsupported qcow2 version %u", s->version), -ENOTSUP;
    s->cluster_bits = ld32_be(h + 20);
    if (s->cluster_bits < 9 || s->cluster_bits > 21)
        return error_set(e, "Unsupported cluster size: 2^%u", s->cluster_bits), -EINVAL;
    s->cluster_size = 1u << s->cluster_bits;
    s->l2_bits = s->cluster_bits - 3;
    s->size = ld64_be(h + 24);
    s->crypt_method = ld32_be(h + 32);
    s->header_length = 72, s->refcount_order = 4;
    if (s->version >= 3) {
        s->incompatible = ld64_be(h + 72), s->compatible = ld64_be(h + 80), s->autoclear = ld64_be(h + 88);
        s->refcount_order = ld32_be(h + 96), s->header_length = ld32_be(h + 100);
        if (s->header_length < 104 || s->header_length > s->cluster_size || (s->header_length & 7))
            return bad(e, "header length is invalid", s->header_length);
        if (s->header_length > 104) s->compression = h[104];
    }
    if (s->crypt_method) return error_set(e, "encrypted qcow2 images are not supported yet"), -ENOTSUP;
    if (s->incompatible & QCOW2_INCOMPAT_DATA_FILE)
        return error_set(e, "qcow2 images with an external data file are not supported yet"), -ENOTSUP;
    if (s->incompatible & QCOW2_INCOMPAT_EXTL2)
        return error_set(e, "qcow2 images with extended L2 entries are not supported yet"), -ENOTSUP;
    if (s->incompatible & ~(uint64_t)known)
        return error_set(e, "Unsupported qcow2 feature(s): Unknown incompatible feature: %llx",
                         (unsigned long long)(s->incompatible & ~(uint64_t)known)), -ENOTSUP;
    if ((s->incompatible & QCOW2_INCOMPAT_CORRUPT) && !(flags & (BLK_RDONLY | BLK_CHECK)))
        return error_set(e, "qcow2: Image is corrupt; cannot be opened read/write"), -EACCES;
    if (!(s->incompatible & QCOW2_INCOMPAT_COMPRESSION) && s->compression)
        return bad(e, "Compression type incompatible feature bit must be set", s->compression);
    if (s->compression > 1) return error_set(e, "qcow2: unknown compression type: %u", s->compression), -ENOTSUP;
    if (s->refcount_order > 6) return error_set(e, "Reference count entry width too large; may not exceed 64 bits"), -EINVAL;
    s->rb_bits = s->cluster_bits + 3 - s->refcount_order;
    s->l1_size = ld32_be(h + 36), s->l1_offset = ld64_be(h + 40);
    s->rt_offset = ld64_be(h + 48), s->n_snapshots = ld32_be(h + 60), s->snapshots_offset = ld64_be(h + 64);
    uint64_t rt_clusters = ld32_be(h + 56), mask = qcow2_cluster_mask(s);
    uint64_t span = UINT64_C(1) << (s->l2_bits + s->cluster_bits);
    if (s->size > INT64_MAX - span) return error_set(e, "Image size is too large"), -EFBIG;
    if ((uint64_t)s->l1_size * 8 > QCOW2_MAX_L1) return error_set(e, "Active L1 table too large"), -EFBIG;
    if (s->l1_size < (s->size + span - 1) / span) return error_set(e, "L1 table is too small"), -EINVAL;
    if ((s->l1_offset & mask) || (s->l1_size && !s->l1_offset) || s->l1_offset > QCOW2_OFFSET_MASK)
        return bad(e, "Active L1 table offset invalid", s->l1_offset);
    if (!rt_clusters && !(flags & BLK_CHECK)) return error_set(e, "Image does not contain a reference count table"), -EINVAL;
    if (rt_clusters > QCOW2_MAX_RT >> s->cluster_bits) return error_set(e, "Reference count table too large"), -EFBIG;
    if ((s->rt_offset & mask) || s->rt_offset > QCOW2_OFFSET_MASK || (!s->rt_offset && rt_clusters))
        return bad(e, "Reference count table offset invalid", s->rt_offset);
    s->rt_size = (uint32_t)(rt_clusters << s->l2_bits);
    if (s->n_snapshots > QCOW2_MAX_SNAPSHOTS || (s->snapshots_offset & mask) || s->snapshots_offset > QCOW2_OFFSET_MASK)
        return bad(e, "Snapshot table offset invalid", s->snapshots_offset);
    return 0;
}

static int read_entries(struct qcow2 *s, uint64_t **out, uint64_t offset, uint32_t n)
{
    uint64_t *v = NEW_ARRAY(uint64_t, (size_t)n + 1);
    int rc = blk_node_read(s->file, offset, v, (size_t)n * 8);

    for (uint32_t i = 0; i < n; i++) v[i] = ld64_be(&v[i]);
    *out = v;
    return rc;
}

static void make_caches(struct qcow2 *s, const struct opts *o)
{
    uint64_t cs = s->cluster_size, l2_all = ALIGN_UP((s->size >> s->l2_bits) + 8 * cs, cs) / cs + s->l1_size;
    uint64_t l2 = opts_size(o, "l2-cache-size", 0), rb = opts_size(o, "refcount-cache-size", 0);
    uint64_t total = opts_size(o, "cache-size", 0);

    if (!l2) l2 = total > rb ? total - MAX(rb, 4 * cs) : UINT64_C(32) << 20;
    if (!rb) rb = total > l2 ? total - l2 : MAX(4 * cs, UINT64_C(256) << 10);
    l2 = MIN(MAX(l2 / cs, 4), MIN(MAX(l2_all, 4), 1u << 16));
    rb = MIN(MAX(rb / cs, 4), 1u << 14);
    qcow2_cache_init(&s->l2c, (unsigned)l2);
    qcow2_cache_init(&s->rbc, (unsigned)rb);
}

static int qcow2_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    uint8_t first[112], *h = NULL;
    char format[64];
    uint64_t backing_offset;
    uint32_t backing_len;
    int rc;

    s->node = n, s->file = s->data = blk_file(n);
    pthread_mutex_init(&s->lock, NULL);
    blk_ranges_init(&s->ranges);
    s->hint = 0;
    rc = blk_node_read(s->file, 0, first, sizeof first);
    if (!rc) rc = parse_header(s, first, flags, e);
    if (rc) goto fail;
    make_caches(s, o);
    h = mem_alloc(s->cluster_size);
    rc = blk_node_read(s->file, 0, h, s->cluster_size);
    backing_offset = ld64_be(h + 8), backing_len = ld32_be(h + 16);
    if (backing_offset > s->cluster_size) rc = bad(e, "Invalid backing file offset", backing_offset);
    if (!rc) rc = read_extensions(s, h, backing_offset ? (size_t)backing_offset : s->cluster_size, format, sizeof format, e);
    if (!rc && backing_offset) {
        char name[1024];
        if (backing_len > 1023 || backing_len > s->cluster_size - backing_offset) {
            rc = bad(e, "Backing file name too long", backing_len);
        } else {
            memcpy(name, h + backing_offset, backing_len);
            name[backing_len] = 0;
            blk_set_backing_name(n, name, format);
        }
    }
    if (!rc) rc = read_entries(s, &s->l1, s->l1_offset, s->l1_size);
    if (!rc) rc = read_entries(s, &s->rt, s->rt_offset, s->rt_size);
    if (!rc) rc = read_snapshots(s, e);
    if (!rc && (s->incompatible & QCOW2_INCOMPAT_DIRTY) && !(flags & (BLK_RDONLY | BLK_CHECK))) {
        error_set(e, "the image was not closed properly and its reference counts are not up to date");
        error_hint(e, "Repair it with 'check -r all' first");
        rc = -EACCES;
    }
    if (rc) goto fail;
    const char *pass = opts_get(o, "pass-discard-request");
    s->pass_discard = pass ? opts_bool(o, "pass-discard-request", false) : (flags & BLK_UNMAP) != 0;
    blk_set_size(n, ALIGN_UP(s->size, (uint64_t)512));
    s->size = ALIGN_UP(s->size, (uint64_t)512);
    blk_set_zero_align(n, s->cluster_size);
    mem_free(h);
    return 0;
fail:
    mem_free(h);
    free_state(s);
    return rc;
}

static void qcow2_close(struct blk_node *n)
{
    struct qcow2 *s = blk_state(n);

    if (!(blk_node_flags(n) & BLK_RDONLY)) {
        pthread_mutex_lock(&s->lock);
        /* The second round writes the counts that the first has lowered. */
        if (!qcow2_writeback(s)) (void)qcow2_writeback(s);
        pthread_mutex_unlock(&s->lock);
    }
    free_state(s);
}

static int qcow2_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    int rc = 0;

    if (prepare && !(flags & BLK_RDONLY) && (s->incompatible & (QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT)))
        return error_set(e, "qcow2: the image is dirty or corrupt; cannot be opened read/write"), -EACCES;
    if (!(blk_node_flags(n) & BLK_RDONLY)) {
        pthread_mutex_lock(&s->lock);
        rc = qcow2_writeback(s);
        if (!rc) rc = qcow2_writeback(s);
        pthread_mutex_unlock(&s->lock);
        if (rc) error_set(e, "could not write back metadata: %s", strerror(-rc));
    }
    return rc;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static int qcow2_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct qcow2 *s = blk_state(n);
    struct blk_range range;
    int rc;

    pthread_mutex_lock(&s->lock);
    blk_range_lock(&s->ranges, &s->lock, &range, offset, offset + len, false);
    pthread_mutex_unlock(&s->lock);
    rc = qcow2_read_unlocked(s, offset, buf, len);
    pthread_mutex_lock(&s->lock);
    blk_range_unlock(&s->ranges, &range);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int qcow2_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct qcow2 *s = blk_state(n);
    const uint8_t *p = buf;

    if (!(flags & BLK_COMPRESSED)) return qcow2_write_data(s, offset, p, len);
    while (len) {
        size_t k = MIN(len, (size_t)s->cluster_size);
        int rc = qcow2_write_compressed(s, offset, p, k);
        if (rc) return rc;
        p += k, offset += k, len -= k;
    }
    return 0;
}

static int qcow2_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct qcow2 *s = blk_state(n);
    uint64_t mask = qcow2_cluster_mask(s);

    if ((offset & mask) || ((len & mask) && offset + len != s->size)) return -ENOTSUP;
    return qcow2_zero_clusters(s, offset, len, (flags & BLK_MAY_UNMAP) != 0, false);
}

static int qcow2_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    struct qcow2 *s = blk_state(n);
    uint64_t mask = qcow2_cluster_mask(s), start = ALIGN_UP(offset, mask + 1), end = offset + len;

    if (end != s->size) end = ALIGN_DOWN(end, mask + 1);
    return start < end ? qcow2_zero_clusters(s, start, end - start, true, true) : 0;
}

static int qcow2_flush(struct blk_node *n)
{
    struct qcow2 *s = blk_state(n);
    int rc;

    pthread_mutex_lock(&s->lock);
    rc = qcow2_writeback(s);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int qcow2_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct qcow2 *s = blk_state(n);
    struct qcow2_map m, next;
    int rc;

    pthread_mutex_lock(&s->lock);
    rc = qcow2_map(s, offset, len, &m);
    /* Nothing allocated in many tables in a row is one answer. */
    while (!rc && m.type == QCOW2_UNALLOCATED && m.bytes < len) {
        rc = qcow2_map(s, offset + m.bytes, len - m.bytes, &next);
        if (rc || next.type != m.type) break;
        m.bytes += next.bytes;
    }
    pthread_mutex_unlock(&s->lock);
    if (rc) return rc;
    st->bytes = m.bytes;
    switch (m.type) {
    case QCOW2_UNALLOCATED: break;
    case QCOW2_ZERO_PLAIN: st->flags = BLK_ST_ZERO; break;
    case QCOW2_ZERO_ALLOC: st->flags = BLK_ST_ZERO | BLK_ST_OFFSET; break;
    case QCOW2_NORMAL: st->flags = BLK_ST_DATA | BLK_ST_OFFSET; break;
    case QCOW2_COMPR: st->flags = BLK_ST_DATA | BLK_ST_COMPRESSED; break;
    }
    if (st->flags & BLK_ST_OFFSET) st->offset = m.host, st->file = s->data;
    return 0;
}

/* ---- structure ------------------------------------------------------------------------------------ */

static int qcow2_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    uint64_t old = s->size;
    uint8_t be[8];
    int rc = 0;

    size = ALIGN_UP(size, (uint64_t)512);
    if (prealloc != BLK_PREALLOC_OFF) return error_set(e, "qcow2: preallocation on resize is not supported yet"), -ENOTSUP;
    if (s->n_snapshots && s->version < 3) return error_set(e, "Can't resize a v2 image which has snapshots"), -ENOTSUP;
    if (size < old) {
        uint64_t from = ALIGN_UP(size, (uint64_t)s->cluster_size);
        if (from < old) rc = qcow2_zero_clusters(s, from, old - from, true, true);
        /* a later growth must not show what was in the last cluster */
        uint64_t tail = MIN(from, old) - size;
        if (!rc && tail) {
            uint8_t *z = mem_zalloc((size_t)tail);
            struct qcow2_map m;
            rc = qcow2_map(s, size, tail, &m);
            if (!rc && m.type != QCOW2_UNALLOCATED && m.type != QCOW2_ZERO_PLAIN) rc = qcow2_write_data(s, size, z, tail);
            mem_free(z);
        }
    } else {
        pthread_mutex_lock(&s->lock);
        rc = qcow2_grow_l1(s, size);
        pthread_mutex_unlock(&s->lock);
        if (rc) error_set(e, "Failed to grow the L1 table: %s", strerror(-rc));
    }
    pthread_mutex_lock(&s->lock);
    if (!rc) rc = qcow2_writeback(s);
    st64_be(be, size);
    if (!rc) rc = blk_node_write(s->file, 24, be, 8, 0);
    if (!rc) s->size = size;
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "Failed to update the image size: %s", strerror(-rc));
    return rc;
}

static int qcow2_info(struct blk_node *n, struct blk_info *i)
{
    struct qcow2 *s = blk_state(n);
    uint64_t span = UINT64_C(1) << (s->l2_bits + s->cluster_bits);

    i->cluster_size = s->cluster_size;
    i->vm_state_offset = (s->size + span - 1) / span * span;
    i->dirty = (s->incompatible & QCOW2_INCOMPAT_DIRTY) != 0;
    i->encrypted = s->crypt_method != 0;
    i->zero_init = !blk_node_backing(n);
    return 0;
}

static void qcow2_info_specific(struct blk_node *n, struct json_out *j)
{
    struct qcow2 *s = blk_state(n);

    jout_string(j, "compat", s->version < 3 ? "0.10" : "1.1");
    jout_string(j, "compression-type", s->compression ? "zstd" : "zlib");
    if (s->version >= 3) jout_bool(j, "lazy-refcounts", (s->compatible & QCOW2_COMPAT_LAZY) != 0);
    jout_uint(j, "refcount-bits", UINT64_C(1) << s->refcount_order);
    if (s->version >= 3) {
        jout_bool(j, "corrupt", (s->incompatible & QCOW2_INCOMPAT_CORRUPT) != 0);
        jout_bool(j, "extended-l2", false);
    }
}

static int qcow2_snapshot_list(struct blk_node *n, struct blk_snapshot **list, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    struct blk_snapshot *v = NEW_ARRAY(struct blk_snapshot, s->n_snapshots + 1);

    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        const struct qcow2_snapshot *sn = &s->snapshots[i];
        memcpy(v[i].id, sn->id, MIN(strlen(sn->id), sizeof v[i].id - 1));
        memcpy(v[i].name, sn->name, MIN(strlen(sn->name), sizeof v[i].name - 1));
        v[i].vm_state_size = sn->vm_state_size, v[i].vm_clock_ns = sn->vm_clock_ns, v[i].disk_size = sn->disk_size;
        v[i].icount = sn->icount, v[i].date_sec = sn->date_sec, v[i].date_nsec = sn->date_nsec;
    }
    *list = v;
    return (int)s->n_snapshots;
}

static const struct opt_desc qcow2_opts[] = {
    {"cache-size", OPT_SIZE, "memory for both caches"},
    {"l2-cache-size", OPT_SIZE, "memory for L2 tables (default: what the disk needs, at most 32M)"},
    {"refcount-cache-size", OPT_SIZE, "memory for refcount blocks"},
    {"l2-cache-entry-size", OPT_SIZE, "accepted; tables are kept whole"},
    {"cache-clean-interval", OPT_NUMBER, "accepted; tables are kept until others need their place"},
    {"lazy-refcounts", OPT_BOOL, "accepted; reference counts are always written with a flush"},
    {"pass-discard-request", OPT_BOOL, "freed clusters are discarded in the file (default: with discard=unmap)"},
    {"pass-discard-snapshot", OPT_BOOL, "the same, for clusters of deleted snapshots"},
    {"pass-discard-other", OPT_BOOL, "the same, for other clusters"},
    {NULL, OPT_STRING, NULL},
};

const struct blk_driver blk_drv_qcow2 = {
    .name = "qcow2",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_OWN,
    .state_size = sizeof(struct qcow2),
    .backing = true,
    .open_opts = qcow2_opts,
    .create_opts = qcow2_create_opts,
    .probe = qcow2_probe,
    .open = qcow2_open,
    .close = qcow2_close,
    .reopen = qcow2_reopen,
    .create = qcow2_create,
    .measure = qcow2_measure,
    .read = qcow2_read,
    .write = qcow2_write,
    .zero = qcow2_zero,
    .discard = qcow2_discard,
    .flush = qcow2_flush,
    .status = qcow2_status,
    .truncate = qcow2_truncate,
    .info = qcow2_info,
    .info_specific = qcow2_info_specific,
    .check = qcow2_check,
    .snapshot_list = qcow2_snapshot_list,
};
