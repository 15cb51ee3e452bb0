/*
 * qcow2-amend.c - changes to a whole image: its size with preallocation, options that can be amended, the backing
 * file it names, emptying it.
 */
#include "blockfmt/luks.h"
#include "blockfmt/qcow2.h"



/* ---- preallocation -------------------------------------------------------------------------------- */

/* Host clusters for what is not allocated in one run of the guest's; *top: the end of what was taken. */
static int allocate_run(struct qcow2 *s, uint64_t offset, uint64_t n, uint64_t *top)
{
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    while (n && !rc) {
        uint64_t host = offset, got = n;
        if (!s->external) rc = qcow2_alloc(s, n, false, &host, &got);
        for (uint64_t i = 0; i < got && !rc; i++) {
            /* what a cipher makes of zeros is none: such clusters are told to be zeros */
            uint64_t entry = (host + (i << s->cluster_bits)) | QCOW2_COPIED, bits = s->crypt_method ? UINT64_C(0xffffffff) << 32 : 0;
            if (s->crypt_method && !s->ext_l2) entry |= QCOW2_ZERO;
            rc = qcow2_set_entry(s, offset + (i << s->cluster_bits), entry, s->ext_l2 ? bits : 0);
        }
        *top = MAX(*top, host + (got << s->cluster_bits));
        offset += got << s->cluster_bits, n -= got;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int qcow2_preallocate(struct qcow2 *s, uint64_t from, uint64_t to, enum blk_prealloc mode, struct error *e)
{
    uint64_t data = ((to - from) >> s->cluster_bits) + 2, tables = data / (UINT64_C(1) << s->l2_bits) + 2, top = 0, at = from, hint;
    uint64_t blocks = ((data + tables) >> s->rb_bits) + 2, file_end = blk_node_size(s->file);
    enum blk_prealloc below = mode == BLK_PREALLOC_METADATA ? BLK_PREALLOC_OFF : mode;
    int rc = 0;

    if (mode == BLK_PREALLOC_OFF || from >= to) return 0;
    /* The room first, so that nothing written later is overwritten with zeros. */
    pthread_mutex_lock(&s->lock);
    rc = qcow2_writeback(s);
    hint = s->hint;
    file_end = ALIGN_UP(blk_node_size(s->file), (uint64_t)s->cluster_size);
    s->hint = MAX(s->hint, file_end >> s->cluster_bits);
    pthread_mutex_unlock(&s->lock);
    if (!rc && s->external) {
        if (to > blk_node_size(s->data)) rc = blk_node_truncate(s->data, to, below, e);
    } else if (!rc) {
        rc = blk_node_truncate(s->file, file_end + ((data + tables + blocks) << s->cluster_bits), below, e);
    }
    while (at < to && !rc) {
        struct qcow2_map m;
        pthread_mutex_lock(&s->lock);
        rc = qcow2_map(s, at, to - at, &m);
        pthread_mutex_unlock(&s->lock);
        uint64_t next = MIN(at + m.bytes, to), base = ALIGN_DOWN(at, (uint64_t)s->cluster_size);
        uint64_t n = (next - base + s->cluster_size - 1) >> s->cluster_bits;
        if (!rc && !m.alloc && m.type != QCOW2_COMPR) rc = allocate_run(s, base, n, &top);
        /* tables that are full will not be needed again */
        pthread_mutex_lock(&s->lock);
        if (!rc && s->l2c.in_use >= 16 && !(rc = qcow2_writeback(s))) qcow2_cache_trim(&s->l2c);
        pthread_mutex_unlock(&s->lock);
        at = next;
    }
    pthread_mutex_lock(&s->lock);
    s->hint = MIN(hint, s->hint);
    if (!rc) rc = qcow2_writeback(s);
    /* what was too much: tables may lie behind the data */
    for (uint64_t i = blk_node_size(s->file) >> s->cluster_bits, c; !rc && !s->external && i > top >> s->cluster_bits; i--) {
        rc = qcow2_refcount_get(s, i - 1, &c);
        if (c) top = i << s->cluster_bits;
    }
    pthread_mutex_unlock(&s->lock);
    if (!rc && !s->external && top && top != blk_node_size(s->file)) rc = blk_node_truncate(s->file, top, BLK_PREALLOC_OFF, e);
    if (rc) error_set(e, "Could not preallocate: %s", strerror(-rc));
    return rc;
}

/* ---- size ----------------------------------------------------------------------------------------- */

static int shrink(struct qcow2 *s, uint64_t size)
{
    uint64_t from = ALIGN_UP(size, (uint64_t)s->cluster_size), tail = MIN(from, s->size) - size;
    struct qcow2_map m;
    uint8_t *z;
    int rc = 0;

    if (from < s->size) rc = qcow2_forget_clusters(s, from, s->size);
    if (rc || !tail) return rc;
    /* a later growth must not show what was in the last cluster */
    pthread_mutex_lock(&s->lock);
    rc = qcow2_map(s, size, tail, &m);
    pthread_mutex_unlock(&s->lock);
    if (rc || ((m.type == QCOW2_UNALLOCATED || m.type == QCOW2_ZEROS) && m.bytes == tail)) return rc;
    z = mem_zalloc((size_t)tail);
    rc = qcow2_write_data(s, size, z, tail);
    mem_free(z);
    return rc;
}

int qcow2_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    uint64_t old = s->size;
    uint8_t be[8];
    int rc = 0;

    size = ALIGN_UP(size, (uint64_t)512);
    if (s->n_snapshots && s->version < 3) return error_set(e, "Can't resize a v2 image which has snapshots"), -ENOTSUP;
    if (size < old && prealloc != BLK_PREALLOC_OFF)
        return error_set(e, "Preallocation can't be used for shrinking an image"), -EINVAL;
    if (prealloc != BLK_PREALLOC_OFF && blk_node_backing(n) && !s->ext_l2)
        return error_set(e, "Backing file and preallocation can only be used at the same time if extended_l2 is enabled"), -EINVAL;
    if (size < old) {
        rc = shrink(s, size);
        if (rc) error_set(e, "Failed to discard what is cut off: %s", strerror(-rc));
    } else {
        /* VM state left behind the end would become the disk's */
        uint64_t vm = qcow2_vm_state(s), top = (uint64_t)s->l1_size * qcow2_l2_span(s);
        if (top > vm && size > vm) rc = qcow2_forget_clusters(s, vm, top);
        pthread_mutex_lock(&s->lock);
        if (!rc) rc = qcow2_grow_l1(s, size);
        pthread_mutex_unlock(&s->lock);
        if (rc) error_set(e, "Failed to grow the L1 table: %s", strerror(-rc));
    }
    if (!rc && s->external && size > blk_node_size(s->data)) rc = blk_node_truncate(s->data, size, BLK_PREALLOC_OFF, e);
    if (!rc && size > old && prealloc != BLK_PREALLOC_OFF) {
        s->size = size; /* the last cluster is whole */
        rc = qcow2_preallocate(s, old, size, prealloc, e);
        s->size = old;
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

/* ---- backing file, emptying ----------------------------------------------------------------------- */

int qcow2_change_backing(struct blk_node *n, const char *file, const char *format, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    int rc;

    if (!file) file = "";
    if (!format) format = "";
    if (strlen(file) > 1023) return error_set(e, "Backing file name too long"), -EINVAL;
    if (*file && s->external && (s->autoclear & QCOW2_AUTOCLEAR_RAW))
        return error_set(e, "a backing file cannot be set for an image with data_file_raw=on"), -EINVAL;
    pthread_mutex_lock(&s->lock);
    rc = qcow2_writeback(s);
    if (!rc) rc = qcow2_header_write(s, file, format);
    if (!rc) rc = blk_node_flush(s->file);
    pthread_mutex_unlock(&s->lock);
    if (rc == -ENOSPC) error_set(e, "Could not change the backing file to '%s': No space left in qcow2 header", file);
    else if (rc) error_set(e, "Could not change the backing file to '%s': %s", file, strerror(-rc));
    else blk_set_backing_name(n, file, format);
    return rc;
}

int qcow2_make_empty(struct blk_node *n, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    int rc = qcow2_forget_clusters(s, 0, (uint64_t)s->l1_size * qcow2_l2_span(s));

    pthread_mutex_lock(&s->lock);
    if (!rc) rc = qcow2_writeback(s);
    if (!rc) rc = qcow2_writeback(s);
    s->comp_offset = 0;
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "Could not empty the image: %s", strerror(-rc));
    return rc;
}

/* ---- amend ---------------------------------------------------------------------------------------- */

/* Zero clusters do not exist in version 2: they are written, or unallocated where nothing shows through. */
static int expand_zeros(struct qcow2 *s, void (*progress)(void *, uint64_t, uint64_t), void *opaque)
{
    uint8_t *z = mem_zalloc(s->cluster_size);
    bool below = blk_node_backing(s->node) != NULL || *blk_node_backing_file(s->node);
    int rc = 0;

    for (uint64_t at = 0; at < s->size && !rc;) {
        uint64_t k = MIN(s->size - at, (uint64_t)s->cluster_size), e = 0, bits;
        struct qcow2_map m;
        pthread_mutex_lock(&s->lock);
        rc = qcow2_map(s, at, s->size - at, &m);
        if (!rc && m.type == QCOW2_ZEROS) rc = qcow2_get_entry(s, at, &e, &bits);
        if (!rc && m.type == QCOW2_ZEROS && !m.alloc && !below) rc = qcow2_set_entry(s, at, 0, 0);
        pthread_mutex_unlock(&s->lock);
        if (!rc && m.type != QCOW2_ZEROS) k = m.bytes;
        else if (!rc && (m.alloc || below)) rc = qcow2_write_data(s, at, z, k);
        at += k;
        if (progress) progress(opaque, at, s->size);
    }
    mem_free(z);
    return rc;
}

/* Do tables of snapshots hold zero clusters? */
static int snapshots_have_zeros(struct qcow2 *s, bool *found)
{
    uint8_t *t = mem_alloc(s->cluster_size);
    int rc = 0;

    for (uint32_t i = 0; i < s->n_snapshots && !rc && !*found; i++) {
        for (uint32_t x = 0; x < s->snapshots[i].l1_size && !rc && !*found; x++) {
            uint8_t be[8];
            rc = blk_node_read(s->file, s->snapshots[i].l1_offset + (uint64_t)x * 8, be, 8);
            uint64_t l2 = ld64_be(be) & QCOW2_OFFSET_MASK;
            if (rc || !l2) continue;
            rc = blk_node_read(s->file, l2, t, s->cluster_size);
            for (uint32_t k = 0; k < s->cluster_size && !rc; k += 8) {
                uint64_t e = ld64_be(t + k);
                *found |= !(e & QCOW2_COMPRESSED) && (e & QCOW2_ZERO);
            }
        }
    }
    mem_free(t);
    return rc;
}

static int downgrade(struct qcow2 *s, void (*progress)(void *, uint64_t, uint64_t), void *opaque, struct error *e)
{
    bool zeros = false;
    int rc;

    if (s->refcount_order != 4)
        return error_set(e, "compat=0.10 requires refcount_bits=16"), -ENOTSUP;
    if (s->external) return error_set(e, "Cannot downgrade an image with a data file"), -ENOTSUP;
    if (s->ext_l2) return error_set(e, "Cannot downgrade an image with extended L2 entries"), -ENOTSUP;
    if (s->compression) return error_set(e, "Cannot downgrade an image with zstd compression type"), -ENOTSUP;
    bool bitmaps = s->n_bitmaps != 0;
    for (struct blk_bitmap *b = NULL; (b = blk_bitmap_next(s->node, b));) /* those to be stored at the end */
        bitmaps |= (blk_bitmap_flags(b) & BLK_BITMAP_PERSISTENT) != 0;
    if (bitmaps) return error_set(e, "Cannot downgrade an image with dirty bitmaps"), -ENOTSUP;
    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        if (s->snapshots[i].vm_state_size > UINT32_MAX || s->snapshots[i].disk_size != s->size)
            return error_set(e, "Internal snapshots prevent downgrade of image"), -ENOTSUP;
    }
    rc = snapshots_have_zeros(s, &zeros);
    if (!rc && zeros) return error_set(e, "Internal snapshots with zero clusters prevent downgrade of image"), -ENOTSUP;
    if (!rc) rc = expand_zeros(s, progress, opaque);
    pthread_mutex_lock(&s->lock);
    s->use_lazy = false;
    if (!rc) rc = qcow2_writeback_all(s);
    if (!rc && s->incompatible) rc = (error_set(e, "Cannot downgrade: the image uses incompatible features"), -ENOTSUP);
    if (!rc) {
        uint32_t length = s->header_length;
        s->version = 2, s->header_length = 72;
        s->compatible = s->autoclear = 0;
        rc = qcow2_header_write(s, NULL, NULL);
        if (rc) s->version = 3, s->header_length = length;
    }
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "Could not downgrade: %s", strerror(-rc));
    return rc;
}

static int upgrade(struct qcow2 *s, struct error *e)
{
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    /* version 3 wants the extra data of snapshots */
    if (s->n_snapshots) rc = qcow2_snapshots_write(s, s->n_snapshots);
    s->version = 3, s->header_length = 0;
    s->incompatible = s->compatible = s->autoclear = 0;
    if (!rc) rc = qcow2_header_write(s, NULL, NULL);
    if (rc) s->version = 2, s->header_length = 72;
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "Could not upgrade: %s", strerror(-rc));
    return rc;
}

static int version_of(const char *compat, unsigned *version)
{
    if (!strcmp(compat, "0.10") || !strcmp(compat, "v2")) *version = 2;
    else if (!strcmp(compat, "1.1") || !strcmp(compat, "v3")) *version = 3;
    else return -EINVAL;
    return 0;
}

const struct blk_create_opt qcow2_amend_opts[] = {
    {"backing_file", OPT_STRING, "File name of a base image", NULL},
    {"backing_fmt", OPT_STRING, "Image format of the base image", NULL},
    {"compat", OPT_STRING, "Compatibility level (v2 [0.10] or v3 [1.1])", NULL},
    {"data_file", OPT_STRING, "File name of an external data file", NULL},
    {"data_file_raw", OPT_BOOL, "The external data file must stay valid as a raw image", NULL},
    LUKS_AMEND_OPTIONS("encrypt."),
    {"lazy_refcounts", OPT_BOOL, "Postpone refcount updates", NULL},
    {"refcount_bits", OPT_NUMBER, "Width of a reference count entry in bits", NULL},
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

static int write_luks(void *opaque, uint64_t offset, const void *buf, size_t n)
{
    struct qcow2 *s = opaque;
    if (offset > s->crypto_length || n > s->crypto_length - offset) return -EIO;
    return blk_node_write(s->file, s->crypto_offset + offset, buf, n, 0);
}

static int flush_luks(void *opaque) { return blk_node_flush(((struct qcow2 *)opaque)->file); }

/* The key slots, when there are options for them. */
static int amend_luks(struct qcow2 *s, const struct opts *o, bool force, struct error *e)
{
    struct luks_change c;
    bool any = false;

    for (unsigned i = 0; i < o->n; i++) any |= !strncmp(o->v[i].name, "encrypt.", 8);
    if (!any) return 0;
    if (!s->luks) return error_set(e, "the image has no key slots: it is not encrypted by LUKS"), -EINVAL;
    int rc = luks_change_parse(&c, blk_node_graph(s->node), o, "encrypt.", e);
    if (rc) return rc;
    c.force = force;
    return luks_change(s->luks, &c, qcow2_read_luks, write_luks, flush_luks, s, e);
}

static int check_amend(struct qcow2 *s, const struct opts *o, unsigned *version, struct error *e)
{
    if (opts_get(o, "compat") && version_of(opts_get(o, "compat"), version))
        return error_set(e, "Unknown compatibility level %s", opts_get(o, "compat")), -EINVAL;
    uint64_t bits = opts_number(o, "refcount_bits", UINT64_C(1) << s->refcount_order);
    if (!bits || bits > 64 || (bits & (bits - 1)))
        return error_set(e, "Refcount width must be a power of two and may not exceed 64 bits"), -EINVAL;
    if (bits != 16 && *version < 3)
        return error_set(e, "Refcount widths other than 16 bits require compatibility level 1.1 or above "
                            "(use compat=1.1 or greater)"),
               -EINVAL;
    if (opts_bool(o, "lazy_refcounts", false) && *version < 3)
        return error_set(e, "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)"), -EINVAL;
    if (opts_get(o, "data_file") && !s->external)
        return error_set(e, "data-file can only be set for images that use an external data file"), -EINVAL;
    if (opts_get(o, "data_file_raw") && opts_bool(o, "data_file_raw", false) && !(s->autoclear & QCOW2_AUTOCLEAR_RAW))
        return error_set(e, "data_file_raw cannot be set on existing images"), -EINVAL;
    return 0;
}

int qcow2_amend(struct blk_node *n, const struct opts *o, bool force, void (*progress)(void *, uint64_t, uint64_t),
                void *opaque, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    unsigned version = s->version, order = s->refcount_order, bits = 1u << order;
    const char *file = opts_get(o, "backing_file"), *format = opts_get(o, "backing_fmt");
    int rc = check_amend(s, o, &version, e);

    if (!rc) rc = amend_luks(s, o, force, e);
    if (rc) return rc;
    bits = (unsigned)opts_number(o, "refcount_bits", bits);
    order = host_ctz32(bits);
    if (version > s->version) rc = upgrade(s, e);
    if (!rc && order != s->refcount_order) {
        pthread_mutex_lock(&s->lock);
        rc = qcow2_rebuild(s, order, e);
        pthread_mutex_unlock(&s->lock);
        if (rc) error_set(e, "Could not change the refcount width: %s", strerror(-rc));
    }
    if (!rc && (opts_get(o, "data_file") || opts_get(o, "data_file_raw"))) {
        if (opts_get(o, "data_file")) {
            mem_free(s->data_file);
            s->data_file = mem_strdup(opts_get(o, "data_file"));
        }
        if (opts_get(o, "data_file_raw") && !opts_bool(o, "data_file_raw", true)) s->autoclear &= ~(uint64_t)QCOW2_AUTOCLEAR_RAW;
        pthread_mutex_lock(&s->lock);
        rc = qcow2_header_write(s, NULL, NULL);
        pthread_mutex_unlock(&s->lock);
        if (rc) error_set(e, "Could not update qcow2 header: %s", strerror(-rc));
    }
    if (!rc && (file || format)) {
        char *f = mem_strdup(file ? file : blk_node_backing_file(n));
        char *t = mem_strdup(format ? format : blk_node_backing_format(n));
        rc = qcow2_change_backing(n, f, t, e);
        mem_free(f);
        mem_free(t);
    }
    if (!rc && opts_get(o, "lazy_refcounts") && s->version >= 3) {
        bool lazy = opts_bool(o, "lazy_refcounts", false);
        pthread_mutex_lock(&s->lock);
        if (!lazy) {
            s->use_lazy = false;
            rc = qcow2_writeback_all(s);
        }
        s->compatible = lazy ? s->compatible | QCOW2_COMPAT_LAZY : s->compatible & ~(uint64_t)QCOW2_COMPAT_LAZY;
        if (!rc) rc = qcow2_header_write(s, NULL, NULL);
        if (!rc) s->use_lazy = lazy;
        pthread_mutex_unlock(&s->lock);
        if (rc) error_set(e, "Could not update qcow2 header: %s", strerror(-rc));
    }
    if (!rc && opts_get(o, "size")) {
        uint64_t size = ALIGN_UP(opts_size(o, "size", s->size), (uint64_t)512);
        rc = qcow2_truncate(n, size, BLK_PREALLOC_OFF, e);
        if (!rc) blk_set_size(n, size);
    }
    if (!rc && version < s->version) rc = downgrade(s, progress, opaque, e);
    pthread_mutex_lock(&s->lock);
    if (!rc) rc = qcow2_writeback(s);
    if (!rc) rc = blk_node_flush(s->file);
    pthread_mutex_unlock(&s->lock);
    if (!rc && progress) progress(opaque, 1, 1);
    if (rc && !e->set) error_set(e, "Could not amend: %s", strerror(-rc));
    return rc;
}
