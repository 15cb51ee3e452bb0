/*
 * qcow2-create.c - new qcow2 images: the header with its extensions, the first refcount structures, the L1 table.
 */
#include "blockfmt/compress.h"
#include "blockfmt/qcow2.h"

const struct blk_create_opt qcow2_create_opts[] = {
    {"backing_file", OPT_STRING, "File name of a base image", NULL},
    {"backing_fmt", OPT_STRING, "Image format of the base image", NULL},
    {"cluster_size", OPT_SIZE, "qcow2 cluster size", "65536"},
    {"compat", OPT_STRING, "Compatibility level (v2 [0.10] or v3 [1.1])", NULL},
    {"compression_type", OPT_STRING, "Compression method used for image cluster compression", "zlib"},
    {"lazy_refcounts", OPT_BOOL, "Postpone refcount updates", "off"},
    {"preallocation", OPT_STRING, "Preallocation mode (allowed values: off, metadata, falloc, full)", NULL},
    {"refcount_bits", OPT_NUMBER, "Width of a reference count entry in bits", "16"},
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

struct layout {
    unsigned version, cluster_bits, refcount_order, compression;
    bool lazy;
    uint64_t size, l1_entries, l1_clusters, rt_clusters, rb_clusters;
};

static int plan(const struct opts *o, struct layout *l, struct error *e)
{
    uint64_t cs = opts_size(o, "cluster_size", 65536), bits = opts_number(o, "refcount_bits", 16), span, clusters;
    const char *compat = opts_get(o, "compat"), *type = opts_get(o, "compression_type");
    enum blk_prealloc prealloc = BLK_PREALLOC_OFF;

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
        return error_set(e, "Non-zlib compression type is only supported with compatibility level 1.1 and above (use version=v3 or greater)"), -EINVAL;
    if (l->compression && !compress_built(COMPRESS_ZSTD))
        return error_set(e, "compression_type=zstd is not supported by this build (it was made without libzstd)"), -ENOTSUP;
    if (opts_get(o, "preallocation") && blk_parse_prealloc(opts_get(o, "preallocation"), &prealloc))
        return error_set(e, "Invalid parameter '%s' for preallocation", opts_get(o, "preallocation")), -EINVAL;
    if (prealloc) return error_set(e, "qcow2: preallocation=%s is not supported yet", opts_get(o, "preallocation")), -ENOTSUP;
    if (opts_get(o, "backing_file") && strlen(opts_get(o, "backing_file")) > 1023)
        return error_set(e, "Backing file name too long"), -EINVAL;
    l->cluster_bits = host_ctz32((uint32_t)cs);
    l->refcount_order = host_ctz32((uint32_t)(bits == 64 ? 64 : bits));
    l->size = ALIGN_UP(opts_size(o, "size", 0), (uint64_t)512);
    span = UINT64_C(1) << (2 * l->cluster_bits - 3);
    l->l1_entries = (l->size + span - 1) / span;
    if (l->l1_entries * 8 > QCOW2_MAX_L1)
        return error_set(e, "The image size is too large for file format 'qcow2' (try using a larger cluster size)"), -EFBIG;
    l->l1_clusters = (l->l1_entries * 8 + cs - 1) / cs;
    if (!l->l1_clusters) l->l1_clusters = 1;
    /* as many refcount blocks as the header, the tables and themselves need */
    l->rt_clusters = 1, l->rb_clusters = 1;
    for (;;) {
        uint64_t per = UINT64_C(1) << (l->cluster_bits + 3 - l->refcount_order), rb, rt;
        clusters = 1 + l->rt_clusters + l->rb_clusters + l->l1_clusters;
        rb = (clusters + per - 1) / per, rt = (rb * 8 + cs - 1) / cs;
        if (rb <= l->rb_clusters && rt <= l->rt_clusters) break;
        l->rb_clusters = MAX(rb, l->rb_clusters), l->rt_clusters = MAX(rt, l->rt_clusters);
    }
    return 0;
}

struct feature {
    uint8_t type, bit;
    const char *name;
};

static const struct feature features[] = {
    {0, 0, "dirty bit"}, {0, 1, "corrupt bit"}, {0, 2, "external data file"}, {0, 3, "compression type"},
    {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"}, {2, 0, "bitmaps"}, {2, 1, "raw external data"},
};

static size_t extension(uint8_t *p, uint32_t type, const void *data, size_t n)
{
    st32_be(p, type);
    st32_be(p + 4, (uint32_t)n);
    if (n) memcpy(p + 8, data, n);
    return 8 + ALIGN_UP(n, (size_t)8);
}

static int header(const struct layout *l, const struct opts *o, uint8_t *h, struct error *e)
{
    const char *backing = opts_get(o, "backing_file"), *fmt = opts_get(o, "backing_fmt");
    size_t cs = (size_t)1 << l->cluster_bits, at = l->version < 3 ? 72 : 112, need = at + 8;

    if (fmt && *fmt && backing && *backing) need += 8 + ALIGN_UP(strlen(fmt), (size_t)8);
    if (backing && *backing) need += strlen(backing);
    if (need > cs) return error_set(e, "Backing file name too long for a cluster of %zu bytes", cs), -EINVAL;
    st32_be(h, QCOW2_MAGIC);
    st32_be(h + 4, l->version);
    st32_be(h + 20, l->cluster_bits);
    st64_be(h + 24, l->size);
    st32_be(h + 36, (uint32_t)l->l1_entries);
    st64_be(h + 40, (1 + l->rt_clusters + l->rb_clusters) << l->cluster_bits);
    st64_be(h + 48, UINT64_C(1) << l->cluster_bits);
    st32_be(h + 56, (uint32_t)l->rt_clusters);
    if (l->version >= 3) {
        st64_be(h + 72, l->compression ? QCOW2_INCOMPAT_COMPRESSION : 0);
        st64_be(h + 80, l->lazy ? QCOW2_COMPAT_LAZY : 0);
        st32_be(h + 96, l->refcount_order);
        st32_be(h + 100, 112);
        h[104] = (uint8_t)l->compression;
    }
    if (fmt && *fmt && backing && *backing) at += extension(h + at, 0xe2792acau, fmt, strlen(fmt));
    if (l->version >= 3 && need + 8 + ARRAY_LEN(features) * 48 <= cs) {
        uint8_t table[ARRAY_LEN(features) * 48] = {0};
        for (size_t i = 0; i < ARRAY_LEN(features); i++) {
            table[i * 48] = features[i].type, table[i * 48 + 1] = features[i].bit;
            memcpy(table + i * 48 + 2, features[i].name, strlen(features[i].name));
        }
        at += extension(h + at, 0x6803f857u, table, sizeof table);
    }
    at += extension(h + at, 0, NULL, 0);
    if (backing && *backing) {
        st64_be(h + 8, at);
        st32_be(h + 16, (uint32_t)strlen(backing));
        memcpy(h + at, backing, strlen(backing));
    }
    return 0;
}

int qcow2_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    struct layout l;
    struct blk_node *file;
    struct qcow2 dummy = {0};
    uint64_t cs, used;
    uint8_t *buf;
    int rc = plan(o, &l, e);

    if (rc) return rc;
    cs = UINT64_C(1) << l.cluster_bits;
    used = 1 + l.rt_clusters + l.rb_clusters + l.l1_clusters;
    buf = mem_zalloc((size_t)((1 + l.rt_clusters + l.rb_clusters) * cs));
    rc = header(&l, o, buf, e);
    file = rc ? NULL : blk_create_file(g, filename, 0, e);
    if (!file) {
        mem_free(buf);
        return rc ? rc : -EIO;
    }
    for (uint64_t i = 0; i < l.rb_clusters; i++) st64_be(buf + cs + i * 8, (1 + l.rt_clusters + i) * cs);
    dummy.refcount_order = l.refcount_order;
    for (uint64_t i = 0; i < used; i++) qcow2_refcount_write(&dummy, buf + (1 + l.rt_clusters) * cs, i, 1);
    /* The header last: before it, the file is no image. */
    rc = blk_node_truncate(file, used * cs, BLK_PREALLOC_OFF, e);
    if (!rc) rc = blk_node_write(file, cs, buf + cs, (size_t)((l.rt_clusters + l.rb_clusters) * cs), 0);
    if (!rc) rc = blk_node_write(file, 0, buf, (size_t)cs, 0);
    if (rc) error_set(e, "Could not write qcow2 header: %s", strerror(-rc));
    blk_node_unref(file);
    mem_free(buf);
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
    data = (l.size + cs - 1) / cs, l2 = (data * 8 + cs - 1) / cs;
    per = UINT64_C(1) << (l.cluster_bits + 3 - l.refcount_order);
    meta = 1 + l2 + (l.l1_entries * 8 + cs - 1) / cs;
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
    m->fully_allocated = (meta + data) * cs;
    m->required = meta * cs + MIN(used, data * cs);
    return 0;
}
