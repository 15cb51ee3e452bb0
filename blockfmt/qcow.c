/*
 * qcow.c - the first qcow format (version 1): two levels of tables, compressed clusters, backing files; no reference
 * counts, so nothing is given back. Big endian.
 *
 * Encrypted images are AES-128 in CBC mode, sector by sector with the guest's sector number; compressed clusters are
 * not encrypted. Order on disk: the cluster, the entry, and a new table before the entry that points to it.
 */
#include "blockfmt/compress.h"
#include "blockfmt/crypto.h"
#include "blockfmt/imgutil.h"

#define QCOW_MAGIC 0x514649fbu
enum { H_VERSION = 4, H_BACKING = 8, H_BACKING_LEN = 16, H_MTIME = 20, H_SIZE = 24, H_CLUSTER_BITS = 32, H_L2_BITS = 33,
       H_CRYPT = 36, H_L1 = 40, H_END = 48 };
#define COMPRESSED (UINT64_C(1) << 63)
#define MAX_L1     (UINT64_C(1) << 28) /* entries */

struct qcow {
    struct blk_node *file;
    struct img_pages pages;
    unsigned cluster_bits, l2_bits;
    uint32_t cluster;
    uint64_t size, l1, l1_size, end;
    bool encrypted;
    struct crypt *crypt; /* NULL: not encrypted, or opened without its key */
};

static int qcow_probe(const uint8_t *b, size_t n, const char *filename)
{
    return n >= H_END && ld32_be(b) == QCOW_MAGIC && ld32_be(b + H_VERSION) == 1 ? 100 : 0;
}

/* The password, cut or filled up to the key's length, is the key. */
static int open_crypt(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    const char *format = opts_get(o, "encrypt.format"), *id = opts_get(o, "encrypt.key-secret");
    struct qcow *s = blk_state(n);
    const struct blk_secret *secret = NULL;
    uint8_t key[16] = {0};

    if (!s->encrypted) {
        if (!format && !id) return 0;
        return error_set(e, "No encryption in image header, but options specified format '%s'", format ? format : "?"), -EINVAL;
    }
    if (format && strcmp(format, "aes") && strcmp(format, "qcow"))
        return error_set(e, "Header reported 'aes' encryption format but options specify '%s'", format), -EINVAL;
    if (id) secret = blk_object_find(blk_node_graph(n), "secret", id);
    if (id && !secret) return error_set(e, "No secret with id '%s'", id), -ENOENT;
    if (!id && !(flags & BLK_NO_IO)) return error_set(e, "Parameter 'encrypt.key-secret' is required for cipher"), -EACCES;
    blk_set_limits(n, 512, 0);
    if (!secret) return 0;
    memcpy(key, secret->data, MIN(secret->len, sizeof key));
    s->crypt = crypt_new("aes-128", "cbc", "plain64", NULL, key, sizeof key, e);
    crypt_wipe(key, sizeof key);
    return s->crypt ? 0 : -ENOTSUP;
}

static int qcow_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct qcow *s = blk_state(n);
    uint8_t h[H_END];
    uint64_t file, at;
    int rc;

    s->file = blk_file(n);
    file = blk_node_size(s->file);
    rc = blk_node_read(s->file, 0, h, sizeof h);
    if (rc) return img_io_error(e, n, "the header", rc);
    if (ld32_be(h) != QCOW_MAGIC) return error_set(e, "Image not in qcow format"), -EINVAL;
    if (ld32_be(h + H_VERSION) != 1) return img_bad(e, n, "qcow (v1) does not support version", ld32_be(h + H_VERSION));
    s->size = ld64_be(h + H_SIZE), s->cluster_bits = h[H_CLUSTER_BITS], s->l2_bits = h[H_L2_BITS];
    if (s->size <= 1 || s->size > INT64_MAX - 511) return img_bad(e, n, "Image size is invalid", s->size);
    if (s->cluster_bits < 9 || s->cluster_bits > 16)
        return img_bad(e, n, "Cluster size must be between 512 and 64k, bits", s->cluster_bits);
    if (s->l2_bits < 6 || s->l2_bits > 13) return img_bad(e, n, "L2 table size must be between 512 and 64k, bits", s->l2_bits);
    if (ld32_be(h + H_CRYPT) > 1) return img_bad(e, n, "invalid encryption method in qcow header", ld32_be(h + H_CRYPT));
    s->encrypted = ld32_be(h + H_CRYPT) == 1;
    s->cluster = 1u << s->cluster_bits;
    s->size = ALIGN_UP(s->size, (uint64_t)512);
    unsigned shift = s->cluster_bits + s->l2_bits;
    s->l1_size = (s->size + (UINT64_C(1) << shift) - 1) >> shift;
    if (s->l1_size > MAX_L1) return img_bad(e, n, "Image too large, L1 entries:", s->l1_size);
    s->l1 = ld64_be(h + H_L1);
    if (s->l1 < H_END || s->l1 > file || s->l1_size * 8 > file - s->l1 || s->l1 % 8)
        return img_bad(e, n, "the L1 table is outside the file or unaligned, offset", s->l1);
    s->end = file;
    at = ld64_be(h + H_BACKING);
    if (at) {
        char name[1024];
        uint32_t len = ld32_be(h + H_BACKING_LEN);
        if (len >= sizeof name || at > file || len > file - at)
            return img_bad(e, n, "Backing file name too long or outside the file, offset", at);
        rc = blk_node_read(s->file, at, name, len);
        if (rc) return img_io_error(e, n, "the backing file name", rc);
        name[len] = 0;
        blk_set_backing_name(n, name, "");
    }
    rc = open_crypt(n, o, flags, e);
    if (rc) return rc;
    img_pages_init(&s->pages, s->file, 1024);
    blk_set_size(n, s->size);
    return 0;
}

static void qcow_close(struct blk_node *n)
{
    struct qcow *s = blk_state(n);
    img_pages_free(&s->pages);
    crypt_free(s->crypt);
}

/* ---- bytes of clusters that are not compressed ------------------------------------------------------ */

static int load(struct qcow *s, uint64_t host, uint64_t guest, void *buf, size_t n)
{
    int rc = s->encrypted && !s->crypt ? -EACCES : blk_node_read(s->file, host, buf, n);
    return rc || !s->crypt ? rc : crypt_run(s->crypt, false, guest / 512, buf, n);
}

static int store(struct qcow *s, uint64_t host, uint64_t guest, const void *buf, size_t n)
{
    uint8_t *tmp;
    int rc;

    if (!s->encrypted) return blk_node_write(s->file, host, buf, n, 0);
    if (!s->crypt) return -EACCES;
    tmp = mem_alloc(n);
    memcpy(tmp, buf, n);
    rc = crypt_run(s->crypt, true, guest / 512, tmp, n);
    if (!rc) rc = blk_node_write(s->file, host, tmp, n, 0);
    mem_free(tmp);
    return rc;
}

/* ---- mapping -------------------------------------------------------------------------------------- */

static int get(struct qcow *s, uint64_t at, uint64_t *value)
{
    uint8_t be[8];
    int rc = img_pages_read(&s->pages, at, be, 8);

    *value = ld64_be(be);
    return rc;
}

static int put(struct qcow *s, uint64_t at, uint64_t value)
{
    uint8_t be[8];
    st64_be(be, value);
    return img_pages_write(&s->pages, at, be, 8);
}

static int map(struct qcow *s, uint64_t offset, uint64_t *l2, uint64_t *entry)
{
    uint64_t i = offset >> s->cluster_bits;
    int rc = get(s, s->l1 + (i >> s->l2_bits) * 8, l2);

    *entry = 0;
    if (rc || !*l2) return rc;
    if (*l2 % 8 || *l2 > INT64_MAX) return -EINVAL;
    rc = get(s, *l2 + (i & ((1u << s->l2_bits) - 1)) * 8, entry);
    if (!rc && *entry && !(*entry & COMPRESSED) && (*entry % 512 || *entry >= blk_node_size(s->file))) rc = -EIO;
    return rc;
}

static int read_compressed(struct qcow *s, uint64_t entry, uint8_t *out)
{
    unsigned shift = 63 - s->cluster_bits;
    uint64_t at = entry & ((UINT64_C(1) << shift) - 1), len = entry >> shift & (s->cluster - 1), file = blk_node_size(s->file);
    uint8_t *src;
    int rc;

    if (!len) len = s->cluster; /* one that fills a cluster exactly has lost its highest bit */
    if (at >= file || len > file - at) return -EIO;
    src = mem_alloc((size_t)len);
    rc = blk_node_read(s->file, at, src, (size_t)len);
    if (!rc) rc = decompress_block(COMPRESS_DEFLATE_RAW, src, (size_t)len, out, s->cluster);
    mem_free(src);
    return rc;
}

/* A whole cluster as it is seen. */
static int read_cluster(struct blk_node *n, struct qcow *s, uint64_t offset, uint64_t entry, uint8_t *out)
{
    if (!entry) return img_read_backing(n, offset, out, s->cluster);
    if (entry & COMPRESSED) return read_compressed(s, entry, out);
    return load(s, entry, offset, out, s->cluster);
}

static int qcow_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct qcow *s = blk_state(n);
    uint8_t *p = buf, *tmp = NULL;
    uint64_t l2, entry;
    int rc = 0;

    for (size_t k; len && !rc; p += k, offset += k, len -= k) {
        uint32_t in = (uint32_t)(offset & (s->cluster - 1));
        k = MIN(len, (size_t)(s->cluster - in));
        rc = map(s, offset, &l2, &entry);
        if (rc) break;
        if (!entry) {
            rc = img_read_backing(n, offset, p, k);
        } else if (!(entry & COMPRESSED)) {
            rc = load(s, entry + in, offset, p, k);
        } else if (k == s->cluster) {
            rc = read_compressed(s, entry, p);
        } else {
            if (!tmp) tmp = mem_alloc(s->cluster);
            rc = read_compressed(s, entry, tmp);
            if (!rc) memcpy(p, tmp + in, k);
        }
    }
    mem_free(tmp);
    return rc;
}

static int link_cluster(struct qcow *s, uint64_t offset, uint64_t l2, uint64_t value)
{
    uint64_t i = offset >> s->cluster_bits, at;
    uint64_t k = i & ((1u << s->l2_bits) - 1);
    uint32_t bytes = 8u << s->l2_bits;
    uint8_t *t;
    int rc;

    if (l2) return put(s, l2 + k * 8, value);
    at = ALIGN_UP(s->end, (uint64_t)s->cluster);
    t = mem_zalloc(bytes);
    st64_be(t + k * 8, value);
    rc = blk_node_write(s->file, at, t, bytes, 0);
    /* The page cache has seen nothing behind the old end of the file but zeros. */
    for (uint32_t p = 0; p < bytes && !rc; p += 512) rc = img_pages_write(&s->pages, at + p, t + p, 512);
    mem_free(t);
    if (rc) return rc;
    s->end = at + bytes;
    return put(s, s->l1 + (i >> s->l2_bits) * 8, at);
}

static int write_cluster(struct qcow *s, uint64_t offset, uint64_t l2, const uint8_t *data)
{
    uint64_t at = ALIGN_UP(s->end, (uint64_t)s->cluster);
    int rc = at > INT64_MAX / 2 ? -ENOSPC : store(s, at, offset, data, s->cluster);

    if (rc) return rc;
    s->end = at + s->cluster;
    return link_cluster(s, offset, l2, at);
}

static int write_compressed(struct qcow *s, uint64_t offset, const uint8_t *p, size_t len)
{
    uint8_t *whole = mem_zalloc(s->cluster), *out = mem_alloc(s->cluster);
    unsigned shift = 63 - s->cluster_bits;
    uint64_t l2, entry, at = s->end;
    int rc = map(s, offset, &l2, &entry);

    memcpy(whole, p, len);
    if (!rc) {
        long k = compress_block(COMPRESS_DEFLATE_RAW, 0, whole, s->cluster, out, s->cluster - 1);
        if (k == -ENOSPC || at + s->cluster >= UINT64_C(1) << shift) {
            rc = entry && !(entry & COMPRESSED) ? store(s, entry, offset, whole, s->cluster)
                                                : write_cluster(s, offset, l2, whole);
        } else if (k < 0) {
            rc = (int)k;
        } else {
            rc = blk_node_write(s->file, at, out, (size_t)k, 0);
            if (!rc) s->end = at + (uint64_t)k;
            if (!rc) rc = link_cluster(s, offset, l2, COMPRESSED | (uint64_t)k << shift | at);
        }
    }
    mem_free(whole);
    mem_free(out);
    return rc;
}

static int qcow_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct qcow *s = blk_state(n);
    const uint8_t *p = buf;
    uint8_t *tmp = NULL;
    uint64_t l2, entry;
    int rc = 0;

    for (size_t k; len && !rc; p += k, offset += k, len -= k) {
        uint32_t in = (uint32_t)(offset & (s->cluster - 1));
        k = MIN(len, (size_t)(s->cluster - in));
        if ((flags & BLK_COMPRESSED) && !s->encrypted && !in && (k == s->cluster || offset + k == s->size)) {
            rc = write_compressed(s, offset, p, k);
            continue;
        }
        rc = map(s, offset, &l2, &entry);
        if (rc) break;
        if (entry && !(entry & COMPRESSED)) {
            rc = store(s, entry + in, offset, p, k);
        } else if (k == s->cluster) {
            rc = write_cluster(s, offset, l2, p);
        } else {
            if (!tmp) tmp = mem_alloc(s->cluster);
            rc = read_cluster(n, s, offset - in, entry, tmp);
            memcpy(tmp + in, p, k);
            if (!rc) rc = write_cluster(s, offset - in, l2, tmp);
        }
    }
    mem_free(tmp);
    return rc;
}

/* There is no mark for zeros: only what is unallocated over nothing is free. */
static int qcow_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct qcow *s = blk_state(n);
    bool below = blk_node_child(n, "backing") != NULL;
    uint8_t *zeros = NULL;
    uint64_t l2, entry;
    int rc = 0;

    for (uint64_t k; len && !rc; offset += k, len -= k) {
        k = MIN(len, s->cluster - (offset & (s->cluster - 1)));
        rc = map(s, offset, &l2, &entry);
        if (rc || (!entry && !below)) continue;
        if (entry && !(entry & COMPRESSED) && !s->encrypted) {
            rc = blk_node_zero(s->file, entry + (offset & (s->cluster - 1)), k, flags);
        } else {
            if (!zeros) zeros = mem_zalloc(s->cluster);
            rc = qcow_write(n, offset, zeros, (size_t)k, 0);
        }
    }
    mem_free(zeros);
    return rc;
}

static int qcow_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct qcow *s = blk_state(n);
    uint64_t l2, entry, next, in = offset & (s->cluster - 1), k = MIN(len, s->cluster - in);
    int rc = map(s, offset, &l2, &entry);

    for (; !rc && k < len; k += MIN(len - k, (uint64_t)s->cluster)) {
        rc = map(s, offset + k, &l2, &next);
        if (rc) break;
        if (!entry ? next != 0 : entry & COMPRESSED ? !(next & COMPRESSED) : next != entry + in + k) break;
    }
    if (rc) return rc;
    st->bytes = k;
    if (entry & COMPRESSED) st->flags = BLK_ST_DATA | BLK_ST_COMPRESSED;
    else if (entry && s->encrypted) st->flags = BLK_ST_DATA | BLK_ST_ENCRYPTED;
    else if (entry) st->flags = BLK_ST_DATA | BLK_ST_OFFSET, st->offset = entry + in, st->file = s->file;
    return 0;
}

static int qcow_info(struct blk_node *n, struct blk_info *i)
{
    struct qcow *s = blk_state(n);

    i->cluster_size = s->cluster;
    i->encrypted = s->encrypted;
    i->zero_init = !blk_node_backing(n);
    return 0;
}

/* All entries of the first table to nothing; what they pointed to is cut off. */
static int qcow_make_empty(struct blk_node *n, struct error *e)
{
    struct qcow *s = blk_state(n);
    uint64_t end = s->l1 + s->l1_size * 8;
    int rc = blk_node_zero(s->file, s->l1, s->l1_size * 8, 0);

    if (!rc) rc = blk_node_truncate(s->file, end, BLK_PREALLOC_OFF, e);
    img_pages_free(&s->pages);
    img_pages_init(&s->pages, s->file, 1024);
    s->end = end;
    return rc ? img_io_error(e, n, "the L1 table", rc) : 0;
}

/* ---- creating ------------------------------------------------------------------------------------- */

static int qcow_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    const char *backing = opts_get(o, "backing_file"), *enc = opts_get(o, "encrypt.format");
    const char *id = opts_get(o, "encrypt.key-secret");
    uint64_t size = ALIGN_UP(opts_size(o, "size", 0), (uint64_t)512), l1_size, head;
    size_t len = backing ? strlen(backing) : 0;
    unsigned cluster_bits = len ? 9 : 12, l2_bits = len ? 12 : 9, shift = cluster_bits + l2_bits;
    struct blk_node *file;
    uint8_t *h;
    int rc;

    if (opts_bool(o, "encryption", false)) {
        if (enc) return error_set(e, "Options encryption and encrypt.format are mutually exclusive"), -EINVAL;
        enc = "aes";
    }
    if (enc && strcmp(enc, "aes")) return error_set(e, "Unsupported encryption format '%s'", enc), -EINVAL;
    if (enc && !id) return error_set(e, "Parameter 'encrypt.key-secret' is required for cipher"), -EINVAL;
    if (enc && !blk_object_find(g, "secret", id)) return error_set(e, "No secret with id '%s'", id), -ENOENT;
    if (enc && !crypt_built()) return error_set(e, "qcow: this build has no ciphers (libgcrypt)"), -ENOTSUP;
    if (!size) return error_set(e, "Image size is too small, cannot be zero length"), -EINVAL;
    if (len > 1023) return error_set(e, "Backing file name too long"), -EINVAL;
    l1_size = (size + (UINT64_C(1) << shift) - 1) >> shift;
    if (l1_size > MAX_L1) return error_set(e, "the image is too large for qcow"), -EFBIG;
    head = ALIGN_UP(H_END + len, (uint64_t)8);
    file = blk_create_file(g, filename, 0, o, e);
    if (!file) return -EIO;
    h = mem_zalloc((size_t)head);
    st32_be(h, QCOW_MAGIC);
    st32_be(h + H_VERSION, 1);
    if (len) {
        st64_be(h + H_BACKING, H_END);
        st32_be(h + H_BACKING_LEN, (uint32_t)len);
        memcpy(h + H_END, backing, len);
    }
    st64_be(h + H_SIZE, size);
    st32_be(h + H_CRYPT, enc ? 1 : 0);
    h[H_CLUSTER_BITS] = (uint8_t)cluster_bits, h[H_L2_BITS] = (uint8_t)l2_bits;
    st64_be(h + H_L1, head);
    rc = blk_node_truncate(file, ALIGN_UP(head + l1_size * 8, (uint64_t)512), BLK_PREALLOC_OFF, e);
    if (!rc) rc = blk_node_write(file, 0, h, (size_t)head, 0);
    if (rc) error_set(e, "Error writing '%s': %s", filename, strerror(-rc));
    mem_free(h);
    blk_node_unref(file);
    return rc;
}

static const struct blk_create_opt qcow_create_opts[] = {
    {"backing_file", OPT_STRING, "File name of a base image", NULL},
    {"backing_fmt", OPT_STRING, "Format of the backing image", NULL},
    {"encrypt.format", OPT_STRING, "Encrypt the image, format choices: 'aes'", NULL},
    {"encrypt.key-secret", OPT_STRING, "ID of the secret that provides the AES encryption key", NULL},
    {"encryption", OPT_BOOL, "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)", NULL},
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

static const struct opt_desc qcow_opts[] = {
    {"encrypt.format", OPT_STRING, "aes"},
    {"encrypt.key-secret", OPT_STRING, "the secret with the password"},
    {NULL, OPT_STRING, NULL},
};

const struct blk_driver blk_drv_qcow = {
    .name = "qcow",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_READERS,
    .compresses = true,
    .state_size = sizeof(struct qcow),
    .backing = true,
    .open_opts = qcow_opts,
    .create_opts = qcow_create_opts,
    .probe = qcow_probe,
    .open = qcow_open,
    .close = qcow_close,
    .create = qcow_create,
    .read = qcow_read,
    .write = qcow_write,
    .zero = qcow_zero,
    .status = qcow_status,
    .info = qcow_info,
    .make_empty = qcow_make_empty,
};
