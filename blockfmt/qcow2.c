/*
 * qcow2.c - the qcow2 format, versions 2 and 3: opening, requests, status, resizing, information. The layout on disk
 * follows the published descriptions of the format; qcow2.h says how the driver's files divide the work.
 */
#include "blockfmt/crypto.h"
#include "blockfmt/luks.h"
#include "blockfmt/qcow2.h"
#include "util/json.h"

static int qcow2_probe(const uint8_t *buf, size_t n, const char *filename)
{
    return n >= 8 && ld32_be(buf) == QCOW2_MAGIC && ld32_be(buf + 4) >= 2 ? 100 : 0;
}

static void free_state(struct qcow2 *s)
{
    qcow2_snapshots_free(s);
    qcow2_bitmaps_free(s);
    qcow2_header_free(s);
    crypt_free(s->crypt);
    luks_free(s->luks);
    mem_free(s->l1);
    mem_free(s->rt);
    mem_free(s->frees);
    qcow2_cache_free(&s->l2c);
    qcow2_cache_free(&s->rbc);
    blk_ranges_destroy(&s->ranges);
    pthread_mutex_destroy(&s->lock);
}

/* ---- opening -------------------------------------------------------------------------------------- */

static int read_entries(struct qcow2 *s, uint64_t **out, uint64_t offset, uint32_t n)
{
    uint64_t *v = NEW_ARRAY(uint64_t, (size_t)n + 1);
    int rc = blk_node_read(s->file, offset, v, (size_t)n * 8);

    for (uint32_t i = 0; i < n; i++) v[i] = ld64_be(&v[i]);
    *out = v;
    return rc;
}

/* Said for the peer's sake: it changes nothing, but a word that is none is an error. */
static int check_overlap(const struct opts *o, struct error *e)
{
    static const char *const words[] = {"none", "constant", "cached", "all"};
    const char *v = opts_get(o, "overlap-check");

    if (!v) v = opts_get(o, "overlap-check.template");
    for (size_t i = 0; v && i < ARRAY_LEN(words); i++) {
        if (!strcmp(v, words[i])) v = NULL;
    }
    return v ? (error_set(e, "Unsupported value '%s' for qcow2 option 'overlap-check'. Allowed are any of the following: none, "
                          "constant, cached, all", v), -EINVAL) : 0;
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

/* ---- encryption ---- */

int qcow2_read_luks(void *opaque, uint64_t offset, void *buf, size_t n)
{
    struct qcow2 *s = opaque;
    if (offset > s->crypto_length || n > s->crypto_length - offset) return -EIO;
    return blk_node_read(s->file, s->crypto_offset + offset, buf, n);
}

static int open_crypt(struct qcow2 *s, const struct opts *o, unsigned flags, struct error *e)
{
    const char *format = opts_get(o, "encrypt.format"), *want = s->crypt_method == 2 ? "luks" : "aes";
    const char *id = opts_get(o, "encrypt.key-secret");
    const struct blk_secret *secret = NULL;

    if (!s->crypt_method) {
        if (format || id)
            return error_set(e, "No encryption in image header, but options specified format '%s'", format ? format : "?"),
                   -EINVAL;
        return 0;
    }
    if (format && strcmp(format, want) && strcmp(format, s->crypt_method == 2 ? "luks" : "qcow"))
        return error_set(e, "Header reported '%s' encryption format but options specify '%s'", want, format), -EINVAL;
    if (id) {
        secret = blk_object_find(blk_node_graph(s->node), "secret", id);
        if (!secret) return error_set(e, "No secret with id '%s'", id), -ENOENT;
    } else if (!(flags & (BLK_NO_IO | BLK_CHECK))) {
        return error_set(e, "Parameter 'encrypt.key-secret' is required for cipher"), -EACCES;
    }
    if (s->crypt_method == 1) {
        uint8_t key[16] = {0};
        if (!secret) return 0;
        memcpy(key, secret->data, MIN(secret->len, sizeof key));
        s->crypt = crypt_new("aes-128", "cbc", "plain64", NULL, key, sizeof key, e);
        crypt_wipe(key, sizeof key);
        return s->crypt ? 0 : -ENOTSUP;
    }
    s->luks = luks_open(qcow2_read_luks, s, secret ? secret->data : NULL, secret ? secret->len : 0, &s->crypt, e);
    return s->luks ? 0 : -EACCES;
}

/* ---- all of it ---- */

/* What only writers do: bits of features that they do not keep up, repairs, bitmaps in use. */
static int begin_writing(struct qcow2 *s, unsigned flags, struct error *e)
{
    uint64_t keep = s->autoclear & ((s->n_bitmaps ? QCOW2_AUTOCLEAR_BITMAPS : 0) | (s->external ? QCOW2_AUTOCLEAR_RAW : 0));
    int rc = 0;

    if (flags & (BLK_RDONLY | BLK_CHECK)) return 0;
    if (s->incompatible & QCOW2_INCOMPAT_DIRTY) {
        struct blk_check c = {0};
        rc = qcow2_check_locked(s, BLK_FIX_ERRORS | BLK_FIX_LEAKS, &c, e);
        if (!rc && (s->incompatible & QCOW2_INCOMPAT_DIRTY)) {
            error_set(e, "the image was not closed properly, and its reference counts could not be repaired");
            error_hint(e, "Look at it with 'check', repair it with 'check -r all'");
            rc = -EIO;
        }
    }
    if (!rc && keep != s->autoclear) {
        s->autoclear = keep;
        rc = qcow2_header_write(s, NULL, NULL);
        if (!rc) rc = blk_node_flush(s->file);
        if (rc) error_set(e, "Could not update qcow2 header: %s", strerror(-rc));
    }
    return rc;
}

static int open_data(struct qcow2 *s, const struct opts *o, unsigned flags, struct error *e)
{
    bool given = opts_get(o, "data-file") || opts_get(o, "data-file.filename") || opts_get(o, "data-file.driver");
    char *path;

    if (!s->external) {
        return given ? (error_set(e, "'data-file' can only be set for images with an external data file"), -EINVAL) : 0;
    }
    if (!given && !(s->data_file && *s->data_file))
        return error_set(e, "'data-file' is required for this image"), -EINVAL;
    path = s->data_file ? blk_path_combine(blk_node_filename(s->node), s->data_file) : NULL;
    s->data = blk_open_child(s->node, o, "data-file", path, false, e);
    mem_free(path);
    return s->data ? 0 : -EINVAL;
}

static int open_state(struct qcow2 *s, const struct opts *o, unsigned flags, struct error *e)
{
    struct blk_node *n = s->node;
    const char *pass = opts_get(o, "pass-discard-request");
    int rc = qcow2_header_read(s, flags, e);

    if (!rc) rc = check_overlap(o, e);
    if (rc) return rc;
    make_caches(s, o);
    rc = read_entries(s, &s->l1, s->l1_offset, s->l1_size);
    if (rc) return error_set(e, "Could not read L1 table: %s", strerror(-rc)), rc;
    rc = read_entries(s, &s->rt, s->rt_offset, s->rt_size);
    if (rc) return error_set(e, "Could not read refcount table: %s", strerror(-rc)), rc;
    s->size = ALIGN_UP(s->size, (uint64_t)512);
    blk_set_size(n, s->size);
    blk_set_zero_align(n, 1u << s->sub_bits);
    if (s->crypt_method) blk_set_limits(n, 512, 0);
    s->pass_discard = pass ? opts_bool(o, "pass-discard-request", false) : (flags & BLK_UNMAP) != 0;
    s->use_lazy = s->version >= 3 && opts_bool(o, "lazy-refcounts", (s->compatible & QCOW2_COMPAT_LAZY) != 0);
    if (opts_bool(o, "lazy-refcounts", false) && s->version < 3)
        return error_set(e, "Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level"), -EINVAL;
    rc = qcow2_snapshots_read(s, flags, e);
    if (!rc) rc = open_data(s, o, flags, e);
    if (!rc) rc = open_crypt(s, o, flags, e);
    if (!rc) rc = begin_writing(s, flags, e);
    if (!rc) rc = qcow2_bitmaps_load(s, flags, e);
    return rc;
}

static int qcow2_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    int rc;

    s->node = n, s->file = s->data = blk_file(n);
    pthread_mutex_init(&s->lock, NULL);
    blk_ranges_init(&s->ranges);
    rc = open_state(s, o, flags, e);
    if (rc) {
        error_prefix(e, "Could not open '%s'", blk_node_filename(n));
        free_state(s);
    }
    return rc;
}

/* Everything to the file, as a closed image has it. */
static int end_writing(struct qcow2 *s, struct error *e)
{
    bool bitmaps = s->bitmaps_in_use;
    int rc = s->broken ? -EIO : 0;

    for (struct blk_bitmap *b = blk_bitmap_next(s->node, NULL); b; b = blk_bitmap_next(s->node, b))
        bitmaps |= (blk_bitmap_flags(b) & (BLK_BITMAP_PERSISTENT | BLK_BITMAP_READONLY)) == BLK_BITMAP_PERSISTENT;
    pthread_mutex_lock(&s->lock);
    if (!rc) rc = qcow2_writeback(s);
    if (!rc && bitmaps) {
        int r = qcow2_bitmaps_store(s, e);
        if (r) error_warn("'%s': could not store dirty bitmaps: %s", blk_node_filename(s->node), strerror(-r));
    }
    if (!rc) rc = qcow2_writeback_all(s);
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "could not write back metadata: %s", strerror(-rc));
    return rc;
}

static void qcow2_close(struct blk_node *n)
{
    struct qcow2 *s = blk_state(n);

    if (!(blk_node_flags(n) & BLK_RDONLY)) (void)end_writing(s, NULL);
    free_state(s);
}

static int qcow2_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    bool was = (blk_node_flags(n) & BLK_RDONLY) != 0, now = (flags & BLK_RDONLY) != 0;
    int rc = 0;

    if (was && !now && (s->incompatible & QCOW2_INCOMPAT_CORRUPT))
        return error_set(e, "qcow2: Image is corrupt; cannot be opened read/write"), -EACCES;
    if (was && !now && s->loaded) return error_set(e, "a snapshot is loaded: the image stays read-only"), -EACCES;
    if (prepare) return 0;
    if (!was && now) {
        rc = end_writing(s, e);
        for (struct blk_bitmap *b = blk_bitmap_next(n, NULL); b; b = blk_bitmap_next(n, b))
            blk_bitmap_set_flags(b, blk_bitmap_flags(b) | (blk_bitmap_flags(b) & BLK_BITMAP_PERSISTENT ? BLK_BITMAP_READONLY : 0));
    } else if (was && !now) {
        pthread_mutex_lock(&s->lock);
        rc = begin_writing(s, flags, e);
        if (!rc) rc = qcow2_bitmaps_load(s, flags, e);
        pthread_mutex_unlock(&s->lock);
    } else if (!was) {
        pthread_mutex_lock(&s->lock);
        rc = qcow2_writeback(s);
        pthread_mutex_unlock(&s->lock);
        if (rc) error_set(e, "could not write back metadata: %s", strerror(-rc));
    }
    return rc;
}

static const struct opt_desc qcow2_opts[] = {
    {"cache-size", OPT_SIZE, "memory for both caches"},
    {"l2-cache-size", OPT_SIZE, "memory for L2 tables (default: what the disk needs, at most 32M)"},
    {"refcount-cache-size", OPT_SIZE, "memory for refcount blocks"},
    {"l2-cache-entry-size", OPT_SIZE, "accepted; tables are kept whole"},
    {"cache-clean-interval", OPT_NUMBER, "accepted; tables are kept until others need their place"},
    {"lazy-refcounts", OPT_BOOL, "reference counts are written last (default: as the image says)"},
    {"overlap-check", OPT_STRING, "accepted; writes are always kept off all tables in memory"},
    {"overlap-check.*", OPT_STRING, NULL},
    {"data-file", OPT_STRING, "the external data file (default: as the image says)"},
    {"data-file.*", OPT_STRING, NULL},
    {"encrypt.format", OPT_STRING, "luks or aes"},
    {"encrypt.key-secret", OPT_STRING, "the secret with the password"},
    {"pass-discard-request", OPT_BOOL, "freed clusters are discarded in the file (default: with discard=unmap)"},
    {"pass-discard-snapshot", OPT_BOOL, "the same, for clusters of deleted snapshots"},
    {"pass-discard-other", OPT_BOOL, "the same, for other clusters"},
    {NULL, OPT_STRING, NULL},
};

static int qcow2_set_options(struct blk_node *n, const struct opts *o, bool prepare, struct error *e)
{
    static const char *const fixed[] = {"data-file", "encrypt."};
    struct qcow2 *s = blk_state(n);
    int rc = 0;

    for (unsigned i = 0; i < o->n; i++) {
        const struct opt_desc *t = qcow2_opts;
        const char *key = o->v[i].name;
        bool known = false, b;
        uint64_t v;
        for (; t->name && !known; t += !known) { /* stays at the one that is found */
            size_t len = strlen(t->name);
            known = !strcmp(t->name, key) || (len > 2 && t->name[len - 1] == '*' && !strncmp(t->name, key, len - 1));
        }
        for (size_t k = 0; k < ARRAY_LEN(fixed); k++) known &= strncmp(key, fixed[k], strlen(fixed[k])) != 0;
        if (!known) return error_set(e, "Cannot change the option '%s'", key), -EINVAL;
        if ((t->kind == OPT_BOOL && opt_parse_bool(key, o->v[i].value, &b, e)) ||
            (t->kind == OPT_NUMBER && opt_parse_number(key, o->v[i].value, UINT64_MAX, &v, e)) ||
            (t->kind == OPT_SIZE && opt_parse_size(key, o->v[i].value, 1, &v, e)))
            return -EINVAL;
    }
    if (opts_bool(o, "lazy-refcounts", false) && s->version < 3)
        return error_set(e, "Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level"), -EINVAL;
    if (check_overlap(o, e)) return -EINVAL;
    if (prepare) return 0;
    s->pass_discard = opts_bool(o, "pass-discard-request", s->pass_discard);
    pthread_mutex_lock(&s->lock);
    if (opts_get(o, "lazy-refcounts")) {
        s->use_lazy = opts_bool(o, "lazy-refcounts", false);
        if (!s->use_lazy) rc = qcow2_clean(s);
    }
    if (!rc && (opts_get(o, "cache-size") || opts_get(o, "l2-cache-size") || opts_get(o, "refcount-cache-size"))) {
        rc = blk_node_flags(n) & BLK_RDONLY ? 0 : qcow2_writeback_all(s);
        if (!rc) {
            qcow2_cache_free(&s->l2c);
            qcow2_cache_free(&s->rbc);
            make_caches(s, o);
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "could not write back metadata: %s", strerror(-rc));
    return rc;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static int qcow2_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    return qcow2_read_data(blk_state(n), offset, buf, len);
}

static int qcow2_read_now(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    return qcow2_read_data_now(blk_state(n), offset, buf, len);
}

static int qcow2_start(struct blk_node *n, struct blk_flight *f, struct blk_stop *x) { return qcow2_start_data(blk_state(n), f, x); }
static bool qcow2_landed(struct blk_node *n, struct blk_stop *x, bool wait) { return qcow2_landed_data(blk_state(n), x, wait); }

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
    uint64_t mask = (UINT64_C(1) << s->sub_bits) - 1;

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

/*
 * (L) Were clusters allocated without being written (preallocated metadata)? Then the file takes clearly less room than
 * its counted clusters: by a tenth, and by two clusters at least. Found out once; it says only whether to look closer.
 */
static bool mostly_holes(struct qcow2 *s)
{
    uint64_t real, enough, counted = 0, count;
    struct blk_info below;

    if (s->holes != QCOW2_HOLES_UNKNOWN) return s->holes == QCOW2_HOLES;
    s->holes = QCOW2_NO_HOLES;
    if (s->external || blk_node_info(s->file, &below) || below.is_host_device || below.allocated == UINT64_MAX) return false;
    real = below.allocated >> s->cluster_bits;
    enough = MAX(real * 10 / 9, real + 2);
    for (uint64_t c = 0, end = (blk_node_size(s->file) + s->cluster_size - 1) >> s->cluster_bits; c < end && counted < enough; c++) {
        if (c >> s->rb_bits >= s->rt_size) break;
        if (!(s->rt[c >> s->rb_bits] & QCOW2_OFFSET_MASK)) { /* nothing is counted here */
            c |= (UINT64_C(1) << s->rb_bits) - 1;
            continue;
        }
        if (qcow2_refcount_get(s, c, &count)) return false;
        counted += count != 0;
    }
    if (counted >= enough) s->holes = QCOW2_HOLES;
    return s->holes == QCOW2_HOLES;
}

static int qcow2_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct qcow2 *s = blk_state(n);
    struct qcow2_map m, next;
    int rc;

    pthread_mutex_lock(&s->lock);
    rc = qcow2_prefetch(s, offset);
    if (!rc) rc = qcow2_map(s, offset, len, &m);
    bool holes = !rc && m.type == QCOW2_NORMAL && mostly_holes(s);
    /* Nothing allocated in many tables in a row is one answer. */
    while (!rc && m.type == QCOW2_UNALLOCATED && m.bytes < len) {
        rc = qcow2_map(s, offset + m.bytes, len - m.bytes, &next);
        if (rc || next.type != m.type || next.alloc != m.alloc) break;
        m.bytes += next.bytes;
    }
    pthread_mutex_unlock(&s->lock);
    if (rc) return rc;
    st->bytes = m.bytes;
    switch (m.type) {
    case QCOW2_UNALLOCATED: st->flags = m.alloc && !s->crypt_method ? BLK_ST_OFFSET : 0; break; /* a subcluster */
    case QCOW2_ZEROS: st->flags = BLK_ST_ZERO | (m.alloc ? BLK_ST_OFFSET : 0); break;
    case QCOW2_NORMAL: st->flags = BLK_ST_DATA | (s->crypt_method ? BLK_ST_ENCRYPTED : BLK_ST_OFFSET) | (holes ? BLK_ST_RECURSE : 0); break;
    case QCOW2_COMPR: st->flags = BLK_ST_DATA | BLK_ST_COMPRESSED; break;
    }
    if (st->flags & BLK_ST_OFFSET) st->offset = m.host, st->file = s->data;
    return 0;
}

/* ---- structure ------------------------------------------------------------------------------------ */

static int qcow2_info(struct blk_node *n, struct blk_info *i)
{
    struct qcow2 *s = blk_state(n);

    i->cluster_size = s->cluster_size;
    i->vm_state_offset = qcow2_vm_state(s);
    i->dirty = (s->incompatible & QCOW2_INCOMPAT_DIRTY) != 0;
    i->encrypted = s->crypt_method != 0;
    i->zero_init = !blk_node_backing(n) && !s->crypt_method;
    return 0;
}

static void qcow2_info_specific(struct blk_node *n, struct json_out *j)
{
    struct qcow2 *s = blk_state(n);

    jout_string(j, "compat", s->version < 3 ? "0.10" : "1.1");
    jout_string(j, "compression-type", s->compression ? "zstd" : "zlib");
    if (s->version >= 3) {
        jout_bool(j, "lazy-refcounts", (s->compatible & QCOW2_COMPAT_LAZY) != 0);
        qcow2_bitmaps_info(s, j);
    }
    jout_uint(j, "refcount-bits", UINT64_C(1) << s->refcount_order);
    if (s->crypt_method) {
        jout_object(j, "encrypt");
        if (s->luks) luks_info(s->luks, j);
        jout_string(j, "format", s->crypt_method == 2 ? "luks" : "aes");
        jout_end(j, '}');
    }
    if (s->external && s->data_file) jout_string(j, "data-file", s->data_file);
    if (s->version < 3) return;
    if (s->external) jout_bool(j, "data-file-raw", (s->autoclear & QCOW2_AUTOCLEAR_RAW) != 0);
    jout_bool(j, "corrupt", (s->incompatible & QCOW2_INCOMPAT_CORRUPT) != 0);
    jout_bool(j, "extended-l2", s->ext_l2);
}

const struct blk_driver blk_drv_qcow2 = {
    .name = "qcow2",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_OWN,
    .compresses = true,
    .state_size = sizeof(struct qcow2),
    .backing = true,
    .open_opts = qcow2_opts,
    .create_opts = qcow2_create_opts,
    .probe = qcow2_probe,
    .open = qcow2_open,
    .close = qcow2_close,
    .reopen = qcow2_reopen,
    .set_options = qcow2_set_options,
    .create = qcow2_create,
    .measure = qcow2_measure,
    .read = qcow2_read,
    .read_now = qcow2_read_now,
    .start = qcow2_start,
    .landed = qcow2_landed,
    .write = qcow2_write,
    .zero = qcow2_zero,
    .discard = qcow2_discard,
    .flush = qcow2_flush,
    .status = qcow2_status,
    .truncate = qcow2_truncate,
    .info = qcow2_info,
    .info_specific = qcow2_info_specific,
    .check = qcow2_check,
    .amend_opts = qcow2_amend_opts,
    .amend = qcow2_amend,
    .change_backing = qcow2_change_backing,
    .make_empty = qcow2_make_empty,
    .snapshot_list = qcow2_snapshot_list,
    .snapshot_create = qcow2_snapshot_create,
    .snapshot_apply = qcow2_snapshot_apply,
    .snapshot_delete = qcow2_snapshot_delete,
    .snapshot_load = qcow2_snapshot_load,
    .vmstate_read = qcow2_vmstate_read,
    .vmstate_write = qcow2_vmstate_write,
    .can_store_bitmap = qcow2_can_store_bitmap,
};
