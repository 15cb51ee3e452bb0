/*
 * qcow2-header.c - the header of a qcow2 image and its extensions: reading with every number checked, writing it
 * again, the dirty and corrupt bits, and which parts of the file hold tables.
 */
#include "blockfmt/qcow2.h"



#define HEADER_V3 112u /* what we write: with the compression type and its padding */

/* A field of the header that cannot be right: what, where, and its value. */
static int bad(struct error *e, const char *what, unsigned at, uint64_t value)
{
    error_set(e, "%s (at offset %u of the header: 0x%llx)", what, at, (unsigned long long)value);
    return -EINVAL;
}

/* ---- reading -------------------------------------------------------------------------------------- */

static int parse_tables(struct qcow2 *s, const uint8_t *h, unsigned flags, struct error *e)
{
    uint64_t rt_clusters = ld32_be(h + 56), mask = qcow2_cluster_mask(s), span = qcow2_l2_span(s);

    s->l1_size = ld32_be(h + 36), s->l1_offset = ld64_be(h + 40);
    s->rt_offset = ld64_be(h + 48), s->n_snapshots = ld32_be(h + 60), s->snapshots_offset = ld64_be(h + 64);
    if (s->size > INT64_MAX - span) return bad(e, "Image size is too large", 24, s->size), -EFBIG;
    if ((uint64_t)s->l1_size * 8 > QCOW2_MAX_L1) return bad(e, "Active L1 table too large", 36, s->l1_size), -EFBIG;
    if (s->l1_size < (s->size + span - 1) / span) return bad(e, "L1 table is too small", 36, s->l1_size);
    if ((s->l1_offset & mask) || (s->l1_size && !s->l1_offset) || s->l1_offset > QCOW2_OFFSET_MASK)
        return bad(e, "Active L1 table offset invalid", 40, s->l1_offset);
    if (!rt_clusters && !(flags & BLK_CHECK))
        return bad(e, "Image does not contain a reference count table", 56, rt_clusters);
    if (rt_clusters > QCOW2_MAX_RT >> s->cluster_bits)
        return bad(e, "Reference count table too large", 56, rt_clusters);
    if ((s->rt_offset & mask) || s->rt_offset > QCOW2_OFFSET_MASK || (!s->rt_offset && rt_clusters))
        return bad(e, "Reference count table offset invalid", 48, s->rt_offset);
    s->rt_size = (uint32_t)(rt_clusters << (s->cluster_bits - 3));
    if (s->n_snapshots > QCOW2_MAX_SNAPSHOTS) return bad(e, "Too many snapshots", 60, s->n_snapshots);
    if ((s->snapshots_offset & mask) || s->snapshots_offset > QCOW2_OFFSET_MASK)
        return bad(e, "Snapshot table offset invalid", 64, s->snapshots_offset);
    return 0;
}

static int parse_features(struct qcow2 *s, const uint8_t *h, unsigned flags, struct error *e)
{
    uint64_t known = QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT | QCOW2_INCOMPAT_COMPRESSION | QCOW2_INCOMPAT_EXTL2 |
                     QCOW2_INCOMPAT_DATA_FILE;

    s->incompatible = ld64_be(h + 72), s->compatible = ld64_be(h + 80), s->autoclear = ld64_be(h + 88);
    s->refcount_order = ld32_be(h + 96), s->header_length = ld32_be(h + 100);
    if (s->header_length < 104) return bad(e, "qcow2 header too short", 100, s->header_length);
    if (s->header_length > s->cluster_size) return bad(e, "qcow2 header exceeds cluster size", 100, s->header_length);
    if (s->header_length & 7) return bad(e, "qcow2 header length is no multiple of 8", 100, s->header_length);
    if (s->header_length > 104) s->compression = h[104];
    if (s->incompatible & ~known)
        return error_set(e, "Unsupported qcow2 feature(s): Unknown incompatible feature: %llx (at offset 72 of the header)",
                         (unsigned long long)(s->incompatible & ~known)), -ENOTSUP;
    if ((s->incompatible & QCOW2_INCOMPAT_CORRUPT) && !(flags & (BLK_RDONLY | BLK_CHECK)))
        return error_set(e, "qcow2: Image is corrupt; cannot be opened read/write"), -EACCES;
    if (!(s->incompatible & QCOW2_INCOMPAT_COMPRESSION) != !s->compression)
        return bad(e, s->compression ? "Compression type incompatible feature bit must be set"
                                     : "Compression type incompatible feature bit must not be set", 104, s->compression);
    if (s->compression > 1) return error_set(e, "qcow2: unknown compression type: %u", s->compression), -ENOTSUP;
    if (s->refcount_order > 6)
        return bad(e, "Reference count entry width too large; may not exceed 64 bits", 96, s->refcount_order);
    s->ext_l2 = (s->incompatible & QCOW2_INCOMPAT_EXTL2) != 0;
    s->external = (s->incompatible & QCOW2_INCOMPAT_DATA_FILE) != 0;
    if (s->ext_l2 && s->cluster_bits < 14)
        return bad(e, "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes", 20, s->cluster_bits);
    return 0;
}

static int parse_header(struct qcow2 *s, const uint8_t *h, unsigned flags, struct error *e)
{
    int rc = 0;

    if (ld32_be(h) != QCOW2_MAGIC) return error_set(e, "Image is not in qcow2 format"), -EINVAL;
    s->version = ld32_be(h + 4);
    if (s->version < 2 || s->version > 3) return error_set(e, "Unsupported qcow2 version %u", s->version), -ENOTSUP;
    s->cluster_bits = ld32_be(h + 20);
    if (s->cluster_bits < 9 || s->cluster_bits > 21)
        return error_set(e, "Unsupported cluster size: 2^%u (at offset 20 of the header)", s->cluster_bits), -EINVAL;
    s->cluster_size = 1u << s->cluster_bits;
    s->size = ld64_be(h + 24);
    s->crypt_method = ld32_be(h + 32);
    s->header_length = 72, s->refcount_order = 4;
    if (s->version >= 3) rc = parse_features(s, h, flags, e);
    if (rc) return rc;
    s->entry_shift = s->ext_l2 ? 4 : 3;
    s->l2_bits = s->cluster_bits - s->entry_shift;
    s->sub_bits = s->ext_l2 ? s->cluster_bits - 5 : s->cluster_bits;
    s->rb_bits = s->cluster_bits + 3 - s->refcount_order;
    if (s->crypt_method > 2) return bad(e, "Unsupported encryption method", 32, s->crypt_method);
    return parse_tables(s, h, flags, e);
}

static char *text(const uint8_t *p, uint32_t n)
{
    char *t = mem_zalloc(n + 1);
    memcpy(t, p, n);
    return t;
}

static int read_extensions(struct qcow2 *s, const uint8_t *h, size_t end, char **format, struct error *e)
{
    struct qcow2_ext **last = &s->exts;
    size_t at = s->header_length;
    int rc = 0;

    while (at + 8 <= end && !rc) {
        uint32_t type = ld32_be(h + at), len = ld32_be(h + at + 4);
        const uint8_t *p = h + at + 8;
        if (!type) break;
        if (len > end - at - 8) return bad(e, "Header extension too large", (unsigned)at, len);
        switch (type) {
        case QCOW2_EXT_BACKING:
            if (len > 63) return bad(e, "ERROR: ext_backing_format: len too large", (unsigned)at, len);
            mem_free(*format);
            *format = text(p, len);
            break;
        case QCOW2_EXT_FEATURES: break; /* ours is written again */
        case QCOW2_EXT_DATA_FILE:
            mem_free(s->data_file);
            s->data_file = text(p, len);
            break;
        case QCOW2_EXT_BITMAPS: rc = qcow2_bitmaps_parse(s, p, len, e); break;
        case QCOW2_EXT_CRYPTO:
            if (s->crypt_method != 2) return bad(e, "CRYPTO header extension only expected with LUKS encryption method", (unsigned)at, len);
            if (len != 16) return bad(e, "CRYPTO header extension size is not 16", (unsigned)at, len);
            s->crypto_offset = ld64_be(p), s->crypto_length = ld64_be(p + 8);
            if ((s->crypto_offset & qcow2_cluster_mask(s)) || !s->crypto_offset || s->crypto_offset > QCOW2_OFFSET_MASK)
                return bad(e, "Encryption header offset is not a multiple of the cluster size", (unsigned)at + 8, s->crypto_offset);
            if (s->crypto_length < 592 || s->crypto_length > 64 << 20)
                return bad(e, "Encryption header length is invalid", (unsigned)at + 16, s->crypto_length);
            break;
        default: {
            struct qcow2_ext *x = NEW(struct qcow2_ext);
            x->type = type, x->len = len, x->data = mem_alloc(len + 1);
            memcpy(x->data, p, len);
            *last = x;
            last = &x->next;
        }
        }
        at += 8 + ALIGN_UP((size_t)len, (size_t)8);
    }
    s->header_end = MIN(at + 8, end);
    return rc;
}

int qcow2_header_read(struct qcow2 *s, unsigned flags, struct error *e)
{
    uint64_t backing_offset, have = blk_node_size(s->file);
    uint32_t backing_len;
    uint8_t small[HEADER_V3] = {0}, *h = NULL;
    char *format = NULL;
    int rc = blk_node_read(s->file, 0, small, sizeof small);

    if (rc) return error_set(e, "Could not read qcow2 header: %s", strerror(-rc)), rc;
    if (have < 72) return error_set(e, "the file is cut off in the header, at offset %llu", (unsigned long long)have), -EINVAL;
    rc = parse_header(s, small, flags, e);
    if (rc) return rc;
    if (have < s->header_length)
        return error_set(e, "the file is cut off in the header, at offset %llu", (unsigned long long)have), -EINVAL;
    h = mem_alloc(s->cluster_size);
    rc = blk_node_read(s->file, 0, h, s->cluster_size);
    backing_offset = ld64_be(h + 8), backing_len = ld32_be(h + 16);
    if (backing_offset > s->cluster_size || (backing_offset && backing_offset < s->header_length))
        rc = bad(e, "Invalid backing file offset", 8, backing_offset);
    if (!rc) rc = read_extensions(s, h, backing_offset ? (size_t)backing_offset : s->cluster_size, &format, e);
    if (!rc && backing_offset) {
        if (backing_len > 1023 || backing_len > s->cluster_size - backing_offset) {
            rc = bad(e, "Backing file name too long", 16, backing_len);
        } else {
            char *name = text(h + backing_offset, backing_len);
            blk_set_backing_name(s->node, name, format);
            mem_free(name);
            s->header_end = MAX(s->header_end, backing_offset + backing_len);
        }
    }
    if (!rc && s->crypt_method == 2 && !s->crypto_offset)
        rc = (error_set(e, "the header has no extension for the LUKS encryption header"), -EINVAL);
    mem_free(format);
    mem_free(h);
    return rc;
}

void qcow2_header_free(struct qcow2 *s)
{
    while (s->exts) {
        struct qcow2_ext *x = s->exts;
        s->exts = x->next;
        mem_free(x->data);
        mem_free(x);
    }
    mem_free(s->data_file);
    s->data_file = NULL;
}

/* ---- writing -------------------------------------------------------------------------------------- */

static const struct feature {
    uint8_t type, bit;
    const char *name;
} features[] = {
    {0, 0, "dirty bit"}, {0, 1, "corrupt bit"}, {0, 2, "external data file"}, {0, 3, "compression type"},
    {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"}, {2, 0, "bitmaps"}, {2, 1, "raw external data"},
};

struct builder {
    uint8_t *h;
    size_t at, room;
};

static void extension(struct builder *b, uint32_t type, const void *data, size_t n)
{
    size_t need = 8 + ALIGN_UP(n, (size_t)8);

    if (b->room < need) {
        b->room = 0, b->at = SIZE_MAX;
        return;
    }
    st32_be(b->h + b->at, type);
    st32_be(b->h + b->at + 4, (uint32_t)n);
    if (n) memcpy(b->h + b->at + 8, data, n);
    b->at += need, b->room -= need;
}

int qcow2_header_build(const struct qcow2 *s, const char *backing, const char *format, uint8_t *h)
{
    uint32_t len = s->version < 3 ? 72 : MAX(s->header_length, HEADER_V3);
    struct builder b = {h, len, s->cluster_size - len};
    bool has = backing && *backing;
    size_t name = has ? strlen(backing) : 0;
    uint8_t small[24] = {0}, table[ARRAY_LEN(features) * 48] = {0};

    memset(h, 0, s->cluster_size);
    st32_be(h, QCOW2_MAGIC);
    st32_be(h + 4, s->version);
    st32_be(h + 20, s->cluster_bits);
    st64_be(h + 24, s->size);
    st32_be(h + 32, s->crypt_method);
    st32_be(h + 36, s->l1_size);
    st64_be(h + 40, s->l1_offset);
    st64_be(h + 48, s->rt_offset);
    st32_be(h + 56, s->rt_size >> (s->cluster_bits - 3));
    st32_be(h + 60, s->n_snapshots);
    st64_be(h + 64, s->n_snapshots ? s->snapshots_offset : 0);
    if (s->version >= 3) {
        st64_be(h + 72, s->incompatible);
        st64_be(h + 80, s->compatible);
        st64_be(h + 88, s->autoclear);
        st32_be(h + 96, s->refcount_order);
        st32_be(h + 100, len);
        h[104] = (uint8_t)s->compression;
    }
    if (has && format && *format) extension(&b, QCOW2_EXT_BACKING, format, strlen(format));
    if (s->data_file && s->external) extension(&b, QCOW2_EXT_DATA_FILE, s->data_file, strlen(s->data_file));
    if (s->crypto_offset) {
        st64_be(small, s->crypto_offset);
        st64_be(small + 8, s->crypto_length);
        extension(&b, QCOW2_EXT_CRYPTO, small, 16);
    }
    if (s->n_bitmaps && s->bitmap_dir_offset) {
        st32_be(small, s->n_bitmaps);
        st32_be(small + 4, 0);
        st64_be(small + 8, s->bitmap_dir_size);
        st64_be(small + 16, s->bitmap_dir_offset);
        extension(&b, QCOW2_EXT_BITMAPS, small, 24);
    }
    for (const struct qcow2_ext *x = s->exts; x; x = x->next) extension(&b, x->type, x->data, x->len);
    for (size_t i = 0; i < ARRAY_LEN(features); i++) {
        table[i * 48] = features[i].type, table[i * 48 + 1] = features[i].bit;
        memcpy(table + i * 48 + 2, features[i].name, strlen(features[i].name));
    }
    /* names of features are a courtesy: only where they fit */
    if (s->version >= 3 && b.room >= 16 + sizeof table + name) extension(&b, QCOW2_EXT_FEATURES, table, sizeof table);
    extension(&b, 0, NULL, 0);
    if (b.at == SIZE_MAX || name > b.room) return -ENOSPC;
    if (has) {
        st64_be(h + 8, b.at);
        st32_be(h + 16, (uint32_t)name);
        memcpy(h + b.at, backing, name);
    }
    return 0;
}

int qcow2_header_write(struct qcow2 *s, const char *backing, const char *format)
{
    uint8_t *h = mem_alloc((size_t)s->cluster_size * 2), *old = h + s->cluster_size;
    int rc = blk_node_read(s->file, 0, old, s->cluster_size);

    if (!backing) backing = blk_node_backing_file(s->node), format = blk_node_backing_format(s->node);
    if (!rc) rc = qcow2_header_build(s, backing, format, h);
    if (!rc) {
        size_t end = s->cluster_size;
        /* fields of a longer header than ours stay */
        if (s->version >= 3 && s->header_length > HEADER_V3)
            memcpy(h + HEADER_V3, old + HEADER_V3, s->header_length - HEADER_V3);
        while (end > 512 && blk_is_zero(h + end - 512, 512) && blk_is_zero(old + end - 512, 512)) end -= 512;
        rc = blk_node_write(s->file, 0, h, end, 0);
        if (!rc) s->header_length = ld32_be(h + 4) < 3 ? 72 : ld32_be(h + 100), s->header_end = end;
    }
    mem_free(h);
    return rc;
}

/* ---- feature bits --------------------------------------------------------------------------------- */

int qcow2_incompat(struct qcow2 *s, uint64_t set, uint64_t clear)
{
    uint64_t now = (s->incompatible | set) & ~clear;
    uint8_t be[8];
    int rc;

    if (now == s->incompatible) return 0;
    if (s->version < 3) return -ENOTSUP;
    st64_be(be, now);
    rc = blk_node_flush(s->file);
    if (!rc) rc = blk_node_write(s->file, 72, be, 8, 0);
    if (!rc) rc = blk_node_flush(s->file);
    if (!rc) s->incompatible = now;
    return rc;
}

int qcow2_mark_dirty(struct qcow2 *s)
{
    int rc;

    if (s->version < 3) return 0;
    rc = qcow2_incompat(s, QCOW2_INCOMPAT_DIRTY, 0);
    if (!rc) s->lazy = true;
    return rc;
}

int qcow2_clean(struct qcow2 *s)
{
    int rc = 0;

    if (s->lazy) {
        s->lazy = false; /* the counts go out now */
        rc = qcow2_writeback(s);
        if (!rc) rc = qcow2_writeback(s);
        if (!rc) rc = qcow2_incompat(s, 0, QCOW2_INCOMPAT_DIRTY);
        if (rc) s->lazy = true;
    }
    return rc;
}

int qcow2_corrupt(struct qcow2 *s, uint64_t offset, const char *what)
{
    if (!s->broken) {
        error_warn("qcow2: '%s': %s, at offset 0x%llx; the image is marked as corrupt", blk_node_filename(s->node), what,
                   (unsigned long long)offset);
        s->broken = true;
        if (!(blk_node_flags(s->node) & (BLK_RDONLY | BLK_CHECK))) (void)qcow2_incompat(s, QCOW2_INCOMPAT_CORRUPT, 0);
    }
    return -EIO;
}

static bool meets(uint64_t a, uint64_t an, uint64_t b, uint64_t bn) { return an && bn && a < b + bn && b < a + an; }

int qcow2_switch(struct qcow2 *s, uint64_t at, const uint8_t *now, const uint8_t *was, size_t n)
{
    int rc = blk_node_write(s->file, at, now, n, 0);

    if (!rc) rc = blk_node_flush(s->file);
    if (rc && (blk_node_write(s->file, at, was, n, 0) || blk_node_flush(s->file))) s->broken = true;
    return rc;
}

const char *qcow2_overlap_known(const struct qcow2 *s, uint64_t offset, uint64_t n)
{
    if (offset < s->cluster_size) return "the header";
    if (meets(offset, n, s->l1_offset, (uint64_t)s->l1_size * 8)) return "the active L1 table";
    if (meets(offset, n, s->rt_offset, (uint64_t)s->rt_size * 8)) return "the refcount table";
    if (s->n_snapshots && meets(offset, n, s->snapshots_offset, s->snapshots_bytes)) return "the snapshot table";
    if (s->n_bitmaps && meets(offset, n, s->bitmap_dir_offset, s->bitmap_dir_size)) return "the bitmap directory";
    if (s->crypto_offset && meets(offset, n, s->crypto_offset, s->crypto_length)) return "the encryption header";
    return NULL;
}

const char *qcow2_overlap(struct qcow2 *s, uint64_t offset, uint64_t n)
{
    uint64_t mask = qcow2_cluster_mask(s);
    const char *known = qcow2_overlap_known(s, offset, n);

    if (known) return known;
    for (uint64_t c = offset & ~mask; c < offset + n && n <= UINT64_C(64) << s->cluster_bits; c += s->cluster_size) {
        if (qcow2_table_cached(s, &s->l2c, c)) return "an L2 table";
        if (qcow2_table_cached(s, &s->rbc, c)) return "a refcount block";
    }
    return NULL;
}
