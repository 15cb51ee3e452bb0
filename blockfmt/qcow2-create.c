/*
 * qcow2-create.c - new qcow2 images: the header, the first refcount structures, the L1 table, an encryption header, an
 * external data file, preallocation; and how large an image will be.
 */
#include "blockfmt/compress.h"
#include "blockfmt/luks.h"
#include "blockfmt/qcow2.h"

const struct blk_create_opt qcow2_create_opts[] = {
    {"backing_file", OPT_STRING, "File name of a base image", NULL},
    {"backing_fmt", OPT_STRING, "Image format of the base image", NULL},
    {"cluster_size", OPT_SIZE, "qcow2 cluster size", "65536"},
    {"compat", OPT_STRING, "Compatibility level (v2 [0.10] or v3 [1.1])", NULL},
    {"compression_type", OPT_STRING, "Compression method used for image cluster compression", "zlib"},
    {"data_file", OPT_STRING, "File name of an external data file", NULL},
    {"data_file_raw", OPT_BOOL, "The external data file must stay valid as a raw image", NULL},
    {"encrypt.cipher-alg", OPT_STRING, "Name of encryption cipher algorithm", NULL},
    {"encrypt.cipher-mode", OPT_STRING, "Name of encryption cipher mode", NULL},
    {"encrypt.format", OPT_STRING, "Encrypt the image, format choices: 'aes', 'luks'", NULL},
    {"encrypt.hash-alg", OPT_STRING, "Name of encryption hash algorithm", NULL},
    {"encrypt.iter-time", OPT_NUMBER, "Time to spend in PBKDF in milliseconds", NULL},
    {"encrypt.ivgen-alg", OPT_STRING, "Name of IV generator algorithm", NULL},
    {"encrypt.ivgen-hash-alg", OPT_STRING, "Name of IV generator hash algorithm", NULL},
    {"encrypt.key-secret", OPT_STRING, "ID of secret providing qcow AES key or LUKS passphrase", NULL},
    {"encryption", OPT_BOOL, "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)", NULL},
    {"extended_l2", OPT_BOOL, "Extended L2 tables", NULL},
    {"lazy_refcounts", OPT_BOOL, "Postpone refcount updates", "off"},
    {"preallocation", OPT_STRING, "Preallocation mode (allowed values: off, metadata, falloc, full)", NULL},
    {"refcount_bits", OPT_NUMBER, "Width of a reference count entry in bits", "16"},
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

struct layout {
    unsigned version, cluster_bits, refcount_order, compression, crypt_method;
    bool lazy, ext_l2, external, raw;
    enum blk_prealloc prealloc;
    uint64_t size, l1_entries, l1_clusters, rt_clusters, rb_clusters, luks_bytes, luks_clusters;
    struct luks_params luks;
};

static int plan_crypt(const struct opts *o, struct layout *l, struct error *e)
{
    const char *format = opts_get(o, "encrypt.format");

    if (opts_bool(o, "encryption", false)) {
        if (format) return error_set(e, "Options encryption and encrypt.format are mutually exclusive"), -EINVAL;
        format = "aes";
    }
    if (!format) return 0;
    if (!strcmp(format, "aes")) {
        l->crypt_method = 1;
        return 0;
    }
    if (strcmp(format, "luks")) return error_set(e, "Unsupported encryption format '%s'", format), -EINVAL;
    l->crypt_method = 2;
    l->luks = (struct luks_params){opts_get(o, "encrypt.cipher-alg"), opts_get(o, "encrypt.cipher-mode"),
                                   opts_get(o, "encrypt.ivgen-alg"), opts_get(o, "encrypt.ivgen-hash-alg"),
                                   opts_get(o, "encrypt.hash-alg"), opts_number(o, "encrypt.iter-time", 0)};
    l->luks_bytes = luks_header_size(&l->luks, e);
    return l->luks_bytes ? 0 : -EINVAL;
}

static int plan(const struct opts *o, struct layout *l, struct error *e)
{
    uint64_t cs = opts_size(o, "cluster_size", 65536), bits = opts_number(o, "refcount_bits", 16), span, clusters;
    const char *compat = opts_get(o, "compat"), *type = opts_get(o, "compression_type");
    int rc;

    *l = (struct layout){.version = 3};
    if (compat && (!strcmp(compat, "0.10") || !strcmp(compat, "v2"))) l->version = 2;
    else if (compat && strcmp(compat, "1.1") && strcmp(compat, "v3"))
        return error_set(e, "Invalid compatibility level: '%s'", compat), -EINVAL;
    if (cs < 512 || cs > 2 << 20 || (cs & (cs - 1)))
        return error_set(e, "Cluster size must be a power of two between 512 and 2048k"), -EINVAL;
    if (!bits || bits > 64 || (bits & (bits - 1)))
        return error_set(e, "Refcount width must be a power of two and may not exceed 64 bits"), -EINVAL;
    if (l->version < 3 && bits != 16)
        return error_set(e, "Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)"),
               -EINVAL;
    l->lazy = opts_bool(o, "lazy_refcounts", false);
    if (l->lazy && l->version < 3)
        return error_set(e, "Lazy refcounts only supported with compatibility level 1.1 and above (use version=v3 or greater)"), -EINVAL;
    if (type && !strcmp(type, "zstd")) l->compression = 1;
    else if (type && strcmp(type, "zlib")) return error_set(e, "Invalid parameter '%s' for compression_type", type), -EINVAL;
    if (l->compression && l->version < 3)
        return error_set(e, "Non-zlib compression type is only supported with compatibility level 1.1 and above "
                            "(use version=v3 or greater)"),
               -EINVAL;
    rc = l->compression ? compress_need(COMPRESS_ZSTD, "compression_type=zstd", e) : 0;
    if (rc) return rc;
    if (opts_get(o, "preallocation") && blk_parse_prealloc(opts_get(o, "preallocation"), &l->prealloc))
        return error_set(e, "Invalid parameter '%s' for preallocation", opts_get(o, "preallocation")), -EINVAL;
    l->ext_l2 = opts_bool(o, "extended_l2", false);
    if (l->ext_l2 && l->version < 3)
        return error_set(e, "Extended L2 entries are only supported with compatibility level 1.1 and above "
                            "(use version=v3 or greater)"),
               -EINVAL;
    if (l->ext_l2 && cs < 16384)
        return error_set(e, "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes"), -EINVAL;
    if (l->prealloc && opts_get(o, "backing_file") && !l->ext_l2)
        return error_set(e, "Backing file and preallocation can only be used at the same time if extended_l2 is enabled"), -EINVAL;
    l->external = opts_get(o, "data_file") != NULL;
    l->raw = opts_bool(o, "data_file_raw", false);
    if (l->external && l->version < 3)
        return error_set(e, "External data files are only supported with compatibility level 1.1 and above "
                            "(use version=v3 or greater)"),
               -EINVAL;
    if (l->raw && !l->external) return error_set(e, "data-file-raw requires data-file"), -EINVAL;
    if (l->raw && opts_get(o, "backing_file"))
        return error_set(e, "Backing file and data-file-raw cannot be used at the same time"), -EINVAL;
    /* others read the data file without our tables: all of it is mapped from the start */
    if (l->raw && !l->prealloc) l->prealloc = BLK_PREALLOC_METADATA;
    rc = plan_crypt(o, l, e);
    if (rc) return rc;
    if (opts_get(o, "backing_file") && strlen(opts_get(o, "backing_file")) > 1023)
        return error_set(e, "Backing file name too long"), -EINVAL;
    l->cluster_bits = host_ctz32((uint32_t)cs);
    l->refcount_order = host_ctz32((uint32_t)(bits == 64 ? 64 : bits));
    l->size = ALIGN_UP(opts_size(o, "size", 0), (uint64_t)512);
    span = UINT64_C(1) << (2 * l->cluster_bits - (l->ext_l2 ? 4 : 3));
    l->l1_entries = (l->size + span - 1) / span;
    if (l->l1_entries * 8 > QCOW2_MAX_L1)
        return error_set(e, "The image size is too large for file format 'qcow2' (try using a larger cluster size)"), -EFBIG;
    l->l1_clusters = (l->l1_entries * 8 + cs - 1) / cs;
    l->luks_clusters = (l->luks_bytes + cs - 1) / cs;
    /* as many refcount blocks as the header, the tables and themselves need */
    l->rt_clusters = 1, l->rb_clusters = 1;
    for (;;) {
        uint64_t per = UINT64_C(1) << (l->cluster_bits + 3 - l->refcount_order), rb, rt;
        clusters = 1 + l->rt_clusters + l->rb_clusters + l->l1_clusters + l->luks_clusters;
        rb = (clusters + per - 1) / per, rt = (rb * 8 + cs - 1) / cs;
        if (rb <= l->rb_clusters && rt <= l->rt_clusters) break;
        l->rb_clusters = MAX(rb, l->rb_clusters), l->rt_clusters = MAX(rt, l->rt_clusters);
    }
    return 0;
}

struct place {
    struct blk_node *file;
    uint64_t offset;
};

static int write_at(void *opaque, uint64_t offset, const void *buf, size_t n)
{
    struct place *p = opaque;
    return blk_node_write(p->file, p->offset + offset, buf, n, 0);
}

static int make_luks(struct blk_graph *g, const struct layout *l, const struct opts *o, struct place *p, struct error *e)
{
    const char *id = opts_get(o, "encrypt.key-secret");
    const struct blk_secret *secret = id ? blk_object_find(g, "secret", id) : NULL;

    if (!id) return error_set(e, "Parameter 'encrypt.key-secret' is required for cipher"), -EINVAL;
    if (!secret) return error_set(e, "No secret with id '%s'", id), -ENOENT;
    return l->crypt_method == 2 ? luks_create(&l->luks, secret->data, secret->len, write_at, p, e) : 0;
}

static int header(const struct layout *l, const struct opts *o, uint8_t *h, struct error *e)
{
    uint64_t at = 1 + l->rt_clusters + l->rb_clusters;
    struct qcow2 s = {.version = l->version, .cluster_bits = l->cluster_bits, .cluster_size = 1u << l->cluster_bits,
                      .size = l->size, .crypt_method = l->crypt_method, .l1_size = (uint32_t)l->l1_entries,
                      .compression = l->compression, .refcount_order = l->refcount_order, .external = l->external};
    int rc;

    s.l1_offset = l->l1_clusters ? at << l->cluster_bits : 0;
    s.rt_offset = s.cluster_size, s.rt_size = (uint32_t)(l->rt_clusters << (l->cluster_bits - 3));
    s.incompatible = (l->compression ? QCOW2_INCOMPAT_COMPRESSION : 0) | (l->ext_l2 ? QCOW2_INCOMPAT_EXTL2 : 0) |
                     (l->external ? QCOW2_INCOMPAT_DATA_FILE : 0);
    s.compatible = l->lazy ? QCOW2_COMPAT_LAZY : 0;
    s.autoclear = l->raw ? QCOW2_AUTOCLEAR_RAW : 0;
    if (l->luks_bytes) s.crypto_offset = (at + l->l1_clusters) << l->cluster_bits, s.crypto_length = l->luks_bytes;
    if (l->external) s.data_file = mem_strdup(opts_get(o, "data_file"));
    rc = qcow2_header_build(&s, opts_get(o, "backing_file"), opts_get(o, "backing_fmt"), h);
    mem_free(s.data_file);
    if (rc) error_set(e, "The names in the header are too long for a cluster of %u bytes", s.cluster_size);
    return rc;
}

/* What needs the image to be open. */
static int preallocate(struct blk_graph *g, const char *filename, const struct layout *l, struct error *e)
{
    struct blk_backend *b = blk_open_in(g, filename, "qcow2", NULL, BLK_NO_BACKING | BLK_NO_IO, e);
    int rc;

    if (!b) return -EIO;
    rc = qcow2_preallocate(blk_state(blk_root(b)), 0, l->size, l->prealloc, e);
    blk_close(b);
    return rc;
}

int qcow2_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    struct layout l;
    struct blk_node *file = NULL, *data;
    struct qcow2 dummy = {0};
    struct place luks;
    uint64_t cs, used;
    uint8_t *buf;
    int rc = plan(o, &l, e);

    if (rc) return rc;
    cs = UINT64_C(1) << l.cluster_bits;
    used = 1 + l.rt_clusters + l.rb_clusters + l.l1_clusters + l.luks_clusters;
    buf = mem_zalloc((size_t)((1 + l.rt_clusters + l.rb_clusters) * cs));
    rc = header(&l, o, buf, e);
    if (!rc && l.external) {
        char *path = blk_path_combine(filename, opts_get(o, "data_file"));
        data = blk_create_file(g, path, l.size, o, e);
        mem_free(path);
        if (!data) rc = -EIO;
        blk_node_unref(data);
    }
    file = rc ? NULL : blk_create_file(g, filename, 0, o, e);
    if (!file) {
        mem_free(buf);
        return rc ? rc : -EIO;
    }
    for (uint64_t i = 0; i < l.rb_clusters; i++) st64_be(buf + cs + i * 8, (1 + l.rt_clusters + i) * cs);
    dummy.refcount_order = l.refcount_order;
    for (uint64_t i = 0; i < used; i++) qcow2_refcount_write(&dummy, buf + (1 + l.rt_clusters) * cs, i, 1);
    luks = (struct place){file, (used - l.luks_clusters) * cs};
    /* The header last: before it, the file is no image. */
    rc = blk_node_truncate(file, used * cs, BLK_PREALLOC_OFF, e);
    if (!rc && l.crypt_method) rc = make_luks(g, &l, o, &luks, e);
    if (!rc) rc = blk_node_write(file, cs, buf + cs, (size_t)((l.rt_clusters + l.rb_clusters) * cs), 0);
    if (!rc) rc = blk_node_write(file, 0, buf, (size_t)cs, 0);
    if (rc) error_set(e, "Could not write qcow2 header: %s", strerror(-rc));
    blk_node_unref(file);
    mem_free(buf);
    if (!rc && l.prealloc) rc = preallocate(g, filename, &l, e);
    return rc;
}

int qcow2_measure(const struct opts *o, struct blk_backend *source, struct blk_measure *m, struct error *e)
{
    struct layout l;
    struct opts copy = {NULL, 0};
    uint64_t cs, data, l2, per, rb, rt, meta, used = 0, counted = 0;
    int rc;

    for (unsigned i = 0; i < o->n; i++) opts_set(&copy, o->v[i].name, o->v[i].value);
    if (source) {
        char *s = mem_printf("%llu", (unsigned long long)blk_size(source));
        opts_set(&copy, "size", s);
        mem_free(s);
    }
    rc = plan(&copy, &l, e);
    opts_free(&copy);
    if (rc) return rc;
    cs = UINT64_C(1) << l.cluster_bits;
    data = (l.size + cs - 1) / cs, l2 = (data * (l.ext_l2 ? 16 : 8) + cs - 1) / cs;
    per = UINT64_C(1) << (l.cluster_bits + 3 - l.refcount_order);
    meta = 1 + l2 + (l.l1_entries * 8 + cs - 1) / cs + l.luks_clusters;
    rb = rt = 0;
    for (uint64_t before = 1; before != rb + rt;) {
        before = rb + rt;
        rb = (meta + data + rb + rt + per - 1) / per, rt = (rb * 8 + cs - 1) / cs;
    }
    meta += rb + rt;
    for (uint64_t at = 0; source && at < l.size;) {
        struct blk_status st;
        rc = blk_status(source, at, l.size - at, NULL, &st);
        if (rc) return error_set(e, "Unable to get block status: %s", strerror(-rc)), rc;
        if ((st.flags & BLK_ST_DATA) && !(st.flags & BLK_ST_ZERO)) {
            uint64_t from = MAX(ALIGN_DOWN(at, cs), counted), to = ALIGN_UP(at + st.bytes, cs);
            if (to > from) used += to - from, counted = to;
        }
        at += st.bytes;
    }
    if (l.prealloc == BLK_PREALLOC_FALLOC || l.prealloc == BLK_PREALLOC_FULL) used = data * cs;
    m->fully_allocated = (meta + data) * cs;
    m->required = meta * cs + MIN(used, data * cs);
    return 0;
}
