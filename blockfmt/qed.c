/*
 * qed.c - QED images, after the published specification of the format: a header, a table of tables, tables, clusters;
 * no reference counts. Little endian.
 *
 * Before the first cluster is added the header is marked "need check"; a clean close takes the mark away. An image that
 * still has it was not closed: opening it for writing checks it first, and throws away entries that point outside.
 *
 * Order on disk: the cluster, the entry. Where a cluster is filled up from the backing file, it is flushed before the
 * entry is written: what was there before must not be lost.
 */
#include "blockfmt/imgutil.h"

#define QED_MAGIC 0x00444551u
enum { H_CLUSTER = 4, H_TABLE = 8, H_HEADER = 12, H_FEATURES = 16, H_COMPAT = 24, H_AUTOCLEAR = 32, H_L1 = 40, H_SIZE = 48,
       H_BACKING = 56, H_BACKING_LEN = 60, H_END = 64 };
enum { F_BACKING = 1, F_NEED_CHECK = 2, F_BACKING_RAW = 4 };
#define ZERO_CLUSTER 1u
#define MAX_CLUSTERS (UINT64_C(1) << 32)
#define DEFAULT_CLUSTER 65536
#define DEFAULT_TABLE   4

struct qed {
    struct blk_node *file;
    struct img_pages pages;
    uint32_t cluster, header_clusters;
    uint64_t table_bytes, per_table, features, l1, size, end; /* end: where the next cluster goes */
    uint32_t backing_at, backing_len;
};

static int qed_probe(const uint8_t *b, size_t n, const char *filename)
{
    return n >= H_END && ld32_le(b) == QED_MAGIC ? 95 : 0;
}

static int write_features(struct qed *s, uint64_t features)
{
    uint8_t le[8];
    int rc;

    st64_le(le, features);
    rc = blk_node_write(s->file, H_FEATURES, le, 8, 0);
    if (!rc) rc = blk_node_flush(s->file);
    if (!rc) s->features = features;
    return rc;
}

static bool cluster_ok(const struct qed *s, uint64_t at, uint64_t bytes)
{
    uint64_t file = blk_node_size(s->file);
    return !(at % s->cluster) && at >= (uint64_t)s->header_clusters * s->cluster && at < file &&
           bytes <= ALIGN_UP(file, (uint64_t)s->cluster) - at;
}

static int check_and_repair(struct blk_node *n, unsigned fix, struct blk_check *c, struct error *e);

static int parse(struct blk_node *n, struct qed *s, const uint8_t *h, unsigned flags, struct error *e)
{
    uint32_t x = ld32_le(h + H_CLUSTER), t = ld32_le(h + H_TABLE);
    uint64_t file = blk_node_size(s->file);

    if (ld32_le(h) != QED_MAGIC) return error_set(e, "Image not in QED format"), -EINVAL;
    s->features = ld64_le(h + H_FEATURES);
    if (s->features & ~(uint64_t)(F_BACKING | F_NEED_CHECK | F_BACKING_RAW))
        return error_set(e, "Unsupported QED features: %llx", (unsigned long long)s->features), -ENOTSUP;
    if (x < 4096 || x > 64u << 20 || (x & (x - 1))) return img_bad(e, n, "QED cluster size is invalid", x);
    if (t < 1 || t > 16 || (t & (t - 1))) return img_bad(e, n, "QED table size is invalid", t);
    s->cluster = x, s->table_bytes = (uint64_t)x * t, s->per_table = s->table_bytes / 8;
    s->header_clusters = ld32_le(h + H_HEADER);
    if (!s->header_clusters || s->header_clusters > INT32_MAX / x + 1u) return img_bad(e, n, "invalid header size", s->header_clusters);
    s->size = ld64_le(h + H_SIZE), s->l1 = ld64_le(h + H_L1);
    if (s->size % 512 || s->size > INT64_MAX || s->size / x / s->per_table > s->per_table ||
        (s->size + (x - 1)) / x > s->per_table * s->per_table)
        return img_bad(e, n, "QED image size is invalid", s->size);
    if (!cluster_ok(s, s->l1, s->table_bytes)) return img_bad(e, n, "QED L1 table offset is invalid", s->l1);
    s->end = ALIGN_UP(file, (uint64_t)x);
    if (s->features & F_BACKING) {
        char name[1024];
        s->backing_at = ld32_le(h + H_BACKING), s->backing_len = ld32_le(h + H_BACKING_LEN);
        uint64_t room = (uint64_t)s->header_clusters * x;
        if (s->backing_at > room || s->backing_len > room - s->backing_at || s->backing_len >= sizeof name)
            return img_bad(e, n, "the backing file name is outside the header, offset", s->backing_at);
        int rc = blk_node_read(s->file, s->backing_at, name, s->backing_len);
        if (rc) return img_io_error(e, n, "the backing file name", rc);
        name[s->backing_len] = 0;
        blk_set_backing_name(n, name, s->features & F_BACKING_RAW ? "raw" : "");
    }
    return 0;
}

static int qed_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct qed *s = blk_state(n);
    uint8_t h[H_END];
    int rc;

    s->file = blk_file(n);
    rc = blk_node_read(s->file, 0, h, sizeof h);
    if (rc) return img_io_error(e, n, "the header", rc);
    rc = parse(n, s, h, flags, e);
    if (rc) return rc;
    img_pages_init(&s->pages, s->file, 1024);
    blk_set_size(n, s->size);
    if (!(flags & (BLK_RDONLY | BLK_CHECK))) {
        if (ld64_le(h + H_AUTOCLEAR)) {
            uint8_t none[8] = {0};
            rc = blk_node_write(s->file, H_AUTOCLEAR, none, 8, 0);
        }
        if (!rc && (s->features & F_NEED_CHECK)) {
            struct blk_check c = {0};
            rc = check_and_repair(n, BLK_FIX_LEAKS | BLK_FIX_ERRORS, &c, e);
        }
    }
    if (rc) img_pages_free(&s->pages);
    return rc;
}

static void qed_close(struct blk_node *n)
{
    struct qed *s = blk_state(n);

    if (!(blk_node_flags(n) & (BLK_RDONLY | BLK_CHECK)) && (s->features & F_NEED_CHECK) && !blk_node_flush(s->file))
        (void)write_features(s, s->features & ~(uint64_t)F_NEED_CHECK);
    img_pages_free(&s->pages);
}

static int qed_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    struct qed *s = blk_state(n);
    int rc = 0;

    if (!(blk_node_flags(n) & BLK_RDONLY) && (s->features & F_NEED_CHECK)) {
        rc = blk_node_flush(s->file);
        if (!rc) rc = write_features(s, s->features & ~(uint64_t)F_NEED_CHECK);
        if (rc) img_io_error(e, n, "the header", rc);
    } else if (prepare && !(flags & BLK_RDONLY) && (s->features & F_NEED_CHECK)) {
        error_set(e, "qed: the image was not closed properly; open it for writing, or check -r all");
        rc = -EACCES;
    }
    return rc;
}

/* ---- mapping -------------------------------------------------------------------------------------- */

static int get(struct qed *s, uint64_t table, uint64_t i, uint64_t *value)
{
    uint8_t le[8];
    int rc = img_pages_read(&s->pages, table + i * 8, le, 8);

    *value = ld64_le(le);
    return rc;
}

static int put(struct qed *s, uint64_t table, uint64_t i, uint64_t value)
{
    uint8_t le[8];
    st64_le(le, value);
    return img_pages_write(&s->pages, table + i * 8, le, 8);
}

/* The entry for a byte: 0, ZERO_CLUSTER or the cluster's offset. *l2: the table, 0 when there is none. */
static int map(struct qed *s, uint64_t offset, uint64_t *l2, uint64_t *entry)
{
    uint64_t i = offset / s->cluster;
    int rc = get(s, s->l1, i / s->per_table, l2);

    *entry = 0;
    if (rc || !*l2) return rc;
    if (!cluster_ok(s, *l2, s->table_bytes)) return -EINVAL;
    rc = get(s, *l2, i % s->per_table, entry);
    if (!rc && *entry > ZERO_CLUSTER && !cluster_ok(s, *entry, s->cluster)) rc = -EINVAL;
    return rc;
}

static int qed_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct qed *s = blk_state(n);
    uint8_t *p = buf;
    uint64_t l2, entry;
    int rc = 0;

    for (size_t k; len && !rc; p += k, offset += k, len -= k) {
        uint64_t in = offset % s->cluster;
        k = (size_t)MIN((uint64_t)len, s->cluster - in);
        rc = map(s, offset, &l2, &entry);
        if (rc) break;
        blk_debug_event(s->file, entry ? "read_aio" : "read_backing_aio");
        if (!entry) rc = img_read_backing(n, offset, p, k);
        else if (entry == ZERO_CLUSTER) memset(p, 0, k);
        else rc = blk_node_read(s->file, entry + in, p, k);
    }
    return rc;
}

static int begin_allocating(struct qed *s)
{
    return s->features & F_NEED_CHECK ? 0 : write_features(s, s->features | F_NEED_CHECK);
}

/* Points the entry of a byte to `value`, with a new table when there is none. */
static int link_cluster(struct qed *s, uint64_t offset, uint64_t l2, uint64_t value)
{
    uint64_t i = offset / s->cluster, at;
    uint8_t le[8];
    int rc;

    blk_debug_event(s->file, "l2_update");
    if (l2) return put(s, l2, i % s->per_table, value);
    at = s->end;
    rc = img_clear(s->file, at, s->table_bytes);
    st64_le(le, value);
    if (!rc) rc = img_pages_write(&s->pages, at + i % s->per_table * 8, le, 8);
    if (rc) return rc;
    s->end = at + s->table_bytes;
    blk_debug_event(s->file, "l1_update");
    return put(s, s->l1, i / s->per_table, at);
}

static int allocate(struct blk_node *n, struct qed *s, uint64_t offset, uint64_t l2, bool zeros, const uint8_t *p, uint64_t k)
{
    uint64_t at = s->end, in = offset % s->cluster;
    bool below = !zeros && blk_node_child(n, "backing");
    int rc = begin_allocating(s);

    if (!rc && k < s->cluster && below) {
        uint8_t *tmp = mem_alloc(s->cluster);
        blk_debug_event(s->file, "cow_read");
        rc = img_read_backing(n, offset - in, tmp, s->cluster);
        memcpy(tmp + in, p, (size_t)k);
        if (!rc) rc = blk_node_write(s->file, at, tmp, s->cluster, 0);
        mem_free(tmp);
        if (!rc) rc = blk_node_flush(s->file);
    } else {
        if (!rc && k < s->cluster) rc = img_clear(s->file, at, s->cluster);
        if (!rc) rc = blk_node_write(s->file, at + in, p, (size_t)k, 0);
    }
    if (rc) return rc;
    s->end = at + s->cluster;
    return link_cluster(s, offset, l2, at);
}

static int qed_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct qed *s = blk_state(n);
    const uint8_t *p = buf;
    uint64_t l2, entry;
    int rc = 0;

    if (flags & BLK_COMPRESSED) return -ENOTSUP;
    for (size_t k; len && !rc; p += k, offset += k, len -= k) {
        uint64_t in = offset % s->cluster;
        k = (size_t)MIN((uint64_t)len, s->cluster - in);
        rc = map(s, offset, &l2, &entry);
        if (rc) break;
        blk_debug_event(s->file, "write_aio");
        if (entry > ZERO_CLUSTER) rc = blk_node_write(s->file, entry + in, p, k, 0);
        else rc = allocate(n, s, offset, l2, entry == ZERO_CLUSTER, p, k);
    }
    return rc;
}

static int qed_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct qed *s = blk_state(n);
    uint64_t l2, entry;
    int rc = 0;

    /* Whole clusters, or the rest of the disk. */
    if (offset % s->cluster || (len % s->cluster && offset + len != s->size)) return -ENOTSUP;
    for (uint64_t k; len && !rc; offset += k, len -= k) {
        k = MIN(len, (uint64_t)s->cluster);
        rc = map(s, offset, &l2, &entry);
        if (rc || entry == ZERO_CLUSTER) continue;
        if (entry) {
            rc = blk_node_zero(s->file, entry, k, flags);
        } else {
            rc = begin_allocating(s);
            if (!rc) rc = link_cluster(s, offset, l2, ZERO_CLUSTER);
        }
    }
    return rc;
}

static int qed_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct qed *s = blk_state(n);
    uint64_t l2, entry, next, in = offset % s->cluster, k = MIN(len, s->cluster - in);
    int rc = map(s, offset, &l2, &entry);

    for (; !rc && k < len; k += MIN(len - k, (uint64_t)s->cluster)) {
        /* One answer for a table that is not there, and where clusters follow each other. */
        rc = map(s, offset + k, &l2, &next);
        if (rc || (entry > ZERO_CLUSTER ? next != entry + in + k : next != entry)) break;
    }
    if (rc) return rc;
    st->bytes = k;
    if (entry == ZERO_CLUSTER) st->flags = BLK_ST_ZERO;
    else if (entry) st->flags = BLK_ST_DATA | BLK_ST_OFFSET, st->offset = entry + in, st->file = s->file;
    return 0;
}

/* ---- structure ------------------------------------------------------------------------------------ */

static int qed_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    struct qed *s = blk_state(n);
    uint8_t le[8];
    int rc;

    size = ALIGN_UP(size, (uint64_t)512);
    if (prealloc != BLK_PREALLOC_OFF) return error_set(e, "Unsupported preallocation mode"), -ENOTSUP;
    if (size < s->size) return error_set(e, "Shrinking images is currently not supported"), -ENOTSUP;
    if ((size + s->cluster - 1) / s->cluster > s->per_table * s->per_table)
        return error_set(e, "Invalid image size specified"), -EINVAL;
    st64_le(le, size);
    rc = blk_node_write(s->file, H_SIZE, le, 8, 0);
    if (rc) return error_set(e, "Failed to update the image size: %s", strerror(-rc)), rc;
    s->size = size;
    return 0;
}

static int qed_info(struct blk_node *n, struct blk_info *i)
{
    struct qed *s = blk_state(n);

    i->cluster_size = s->cluster;
    i->dirty = (s->features & F_NEED_CHECK) != 0;
    i->zero_init = !blk_node_backing(n);
    return 0;
}

static int qed_change_backing(struct blk_node *n, const char *file, const char *format, struct error *e)
{
    struct qed *s = blk_state(n);
    uint64_t features = s->features & ~(uint64_t)(F_BACKING | F_BACKING_RAW);
    size_t len = file ? strlen(file) : 0;
    uint8_t le[8];
    int rc = 0;

    if (len > 1023 || H_END + len > (uint64_t)s->header_clusters * s->cluster)
        return error_set(e, "the backing file name is too long"), -ENOSPC;
    if (len) {
        rc = blk_node_write(s->file, H_END, file, len, 0);
        st32_le(le, H_END);
        st32_le(le + 4, (uint32_t)len);
        if (!rc) rc = blk_node_write(s->file, H_BACKING, le, 8, 0);
        features |= F_BACKING | (format && !strcmp(format, "raw") ? F_BACKING_RAW : 0);
    }
    if (!rc) rc = write_features(s, features);
    if (rc) return img_io_error(e, n, "the header", rc);
    blk_set_backing_name(n, file, features & F_BACKING_RAW ? "raw" : "");
    return 0;
}

/* ---- check ---------------------------------------------------------------------------------------- */

struct walk {
    struct qed *s;
    uint8_t *used; /* a bit for each cluster of the file */
    uint64_t clusters;
    unsigned fix;
    struct blk_check *c;
};

static bool use(struct walk *w, uint64_t at, uint64_t bytes, bool *twice)
{
    uint64_t first = at / w->s->cluster, n = (bytes + w->s->cluster - 1) / w->s->cluster;

    *twice = false;
    for (uint64_t i = first; i < first + n && i < w->clusters; i++) *twice |= w->used[i / 8] >> i % 8 & 1;
    if (*twice) return false;
    for (uint64_t i = first; i < first + n && i < w->clusters; i++) w->used[i / 8] |= (uint8_t)(1u << i % 8);
    return true;
}

static int drop_entry(struct walk *w, uint64_t table, uint64_t i, const char *what, uint64_t at)
{
    int rc;

    img_check_line(w->c, "%s: %s offset 0x%llx is invalid or used twice", w->fix & BLK_FIX_ERRORS ? "Repairing" : "ERROR", what,
                   (unsigned long long)at);
    if (!(w->fix & BLK_FIX_ERRORS)) return w->c->corruptions++, 0;
    rc = put(w->s, table, i, 0);
    if (!rc) w->c->corruptions_fixed++;
    return rc;
}

static int walk_table(struct walk *w, uint64_t l2, uint64_t left)
{
    struct qed *s = w->s;
    uint64_t n = MIN(s->per_table, (left + s->cluster - 1) / s->cluster), entry, last = 0;
    bool twice;
    int rc = 0;

    for (uint64_t i = 0; i < n && !rc; i++) {
        rc = get(s, l2, i, &entry);
        if (rc || entry <= ZERO_CLUSTER) continue;
        if (!cluster_ok(s, entry, s->cluster) || !use(w, entry, s->cluster, &twice)) {
            rc = drop_entry(w, l2, i, "cluster", entry);
            continue;
        }
        w->c->allocated_clusters++;
        if (last && entry != last + s->cluster) w->c->fragmented_clusters++;
        last = entry;
    }
    return rc;
}

static int check_and_repair(struct blk_node *n, unsigned fix, struct blk_check *c, struct error *e)
{
    struct qed *s = blk_state(n);
    struct walk w = {.s = s, .fix = fix, .c = c};
    uint64_t span = s->per_table * s->cluster, l2, lost = 0, before = c->corruptions;
    bool twice;
    int rc = 0;

    w.clusters = (blk_node_size(s->file) + s->cluster - 1) / s->cluster;
    if (w.clusters > MAX_CLUSTERS) return error_set(e, "qed: the file is too large to be checked"), -EFBIG;
    w.used = mem_zalloc((size_t)(w.clusters / 8 + 1));
    (void)use(&w, 0, (uint64_t)s->header_clusters * s->cluster, &twice);
    if (!use(&w, s->l1, s->table_bytes, &twice)) c->corruptions++;
    c->total_clusters = (s->size + s->cluster - 1) / s->cluster;
    for (uint64_t i = 0; i * span < s->size && !rc; i++) {
        rc = get(s, s->l1, i, &l2);
        if (rc || !l2) continue;
        if (!cluster_ok(s, l2, s->table_bytes) || !use(&w, l2, s->table_bytes, &twice)) rc = drop_entry(&w, s->l1, i, "table", l2);
        else rc = walk_table(&w, l2, s->size - i * span);
    }
    for (uint64_t i = 0; i < w.clusters; i++) lost += !(w.used[i / 8] >> i % 8 & 1);
    mem_free(w.used);
    c->leaks += lost; /* no room is given back: there is nothing to give it back to */
    if (!rc && fix && (s->features & F_NEED_CHECK) && c->corruptions == before) {
        rc = blk_node_flush(s->file);
        if (!rc) rc = write_features(s, s->features & ~(uint64_t)F_NEED_CHECK);
    }
    return rc ? img_io_error(e, n, "a table", rc) : 0;
}

/* ---- creating ------------------------------------------------------------------------------------- */

static int qed_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    const char *backing = opts_get(o, "backing_file"), *fmt = opts_get(o, "backing_fmt");
    uint64_t cluster = opts_size(o, "cluster_size", DEFAULT_CLUSTER), table = opts_size(o, "table_size", DEFAULT_TABLE);
    uint64_t size = ALIGN_UP(opts_size(o, "size", 0), (uint64_t)512), per;
    size_t len = backing ? strlen(backing) : 0;
    struct blk_node *file;
    uint8_t *h;
    int rc;

    if (!cluster) cluster = DEFAULT_CLUSTER;
    if (!table) table = DEFAULT_TABLE;
    if (cluster < 4096 || cluster > 64u << 20 || (cluster & (cluster - 1)))
        return error_set(e, "QED cluster size must be within range [4096, 67108864] and power of 2"), -EINVAL;
    if (table > 16 || (table & (table - 1))) return error_set(e, "QED table size must be within range [1, 16] and power of 2"), -EINVAL;
    per = cluster * table / 8;
    if ((size + cluster - 1) / cluster > per * per)
        return error_set(e, "QED image size must be a non-zero multiple of cluster size and less than %llu bytes",
                         (unsigned long long)(per > (UINT64_C(1) << 20) ? INT64_MAX : per * per * cluster)), -EINVAL;
    if (len > 1023) return error_set(e, "Backing file name too long"), -EINVAL;
    file = blk_create_file(g, filename, 0, o, e);
    if (!file) return -EIO;
    h = mem_zalloc(H_END + 1024);
    st32_le(h, QED_MAGIC);
    st32_le(h + H_CLUSTER, (uint32_t)cluster);
    st32_le(h + H_TABLE, (uint32_t)table);
    st32_le(h + H_HEADER, 1);
    st64_le(h + H_L1, cluster);
    st64_le(h + H_SIZE, size);
    if (len) {
        st64_le(h + H_FEATURES, F_BACKING | (fmt && !strcmp(fmt, "raw") ? F_BACKING_RAW : 0));
        st32_le(h + H_BACKING, H_END);
        st32_le(h + H_BACKING_LEN, (uint32_t)len);
        memcpy(h + H_END, backing, len);
    }
    rc = blk_node_truncate(file, cluster + cluster * table, BLK_PREALLOC_OFF, e);
    if (!rc) rc = blk_node_write(file, 0, h, H_END + len, 0);
    if (rc) error_set(e, "Error writing '%s': %s", filename, strerror(-rc));
    mem_free(h);
    blk_node_unref(file);
    return rc;
}

static const struct blk_create_opt qed_create_opts[] = {
    {"backing_file", OPT_STRING, "File name of a base image", NULL},
    {"backing_fmt", OPT_STRING, "Image format of the base image", NULL},
    {"cluster_size", OPT_SIZE, "Cluster size (in bytes)", "65536"},
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {"table_size", OPT_SIZE, "L1/L2 table size (in clusters)", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

const struct blk_driver blk_drv_qed = {
    .name = "qed",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_READERS,
    .state_size = sizeof(struct qed),
    .backing = true,
    .create_opts = qed_create_opts,
    .probe = qed_probe,
    .open = qed_open,
    .close = qed_close,
    .reopen = qed_reopen,
    .create = qed_create,
    .read = qed_read,
    .write = qed_write,
    .zero = qed_zero,
    .status = qed_status,
    .truncate = qed_truncate,
    .info = qed_info,
    .change_backing = qed_change_backing,
    .check = check_and_repair,
};
