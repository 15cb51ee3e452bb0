/*
 * luks-disk.c - the luks format: a LUKS version 1 header (luks.c), then the disk, encrypted. Sectors are numbered from
 * the start of the disk.
 */
#include "blockfmt/driver.h"
#include "blockfmt/luks.h"
#include "util/json.h"

#define CHUNK (1u << 20)

struct luks_disk {
    struct luks *luks;
    struct crypt *crypt; /* NULL: opened without key, for information only */
    uint64_t payload;
};

static int luks_probe(const uint8_t *buf, size_t n, const char *filename)
{
    return n >= 8 && !memcmp(buf, "LUKS\xba\xbe", 6) && ld16_be(buf + 6) == 1 ? 100 : 0;
}

static int read_header(void *opaque, uint64_t offset, void *buf, size_t n)
{
    struct blk_node *file = opaque;
    if (offset > blk_node_size(file) || n > blk_node_size(file) - offset) return -EIO;
    return blk_node_read(file, offset, buf, n);
}

static int write_header(void *opaque, uint64_t offset, const void *buf, size_t n)
{
    return blk_node_write(opaque, offset, buf, n, 0);
}

static int luks_disk_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct luks_disk *d = blk_state(n);
    const char *id = opts_get(o, "key-secret");
    const struct blk_secret *secret = id ? blk_object_find(blk_node_graph(n), "secret", id) : NULL;
    uint64_t size = blk_node_size(blk_file(n));

    if (id && !secret) return error_set(e, "No secret with id '%s'", id), -ENOENT;
    if (!id && !(flags & BLK_NO_IO)) return error_set(e, "Parameter 'key-secret' is required for cipher"), -EACCES;
    d->luks = luks_open(read_header, blk_file(n), secret ? secret->data : NULL, secret ? secret->len : 0, &d->crypt, e);
    if (!d->luks) {
        error_prefix(e, "Could not open '%s'", blk_node_filename(n));
        return -EACCES;
    }
    d->payload = luks_payload_offset(d->luks);
    if (d->payload > size) {
        error_set(e, "Could not open '%s': the file is cut off before the disk, at offset %llu", blk_node_filename(n),
                  (unsigned long long)size);
        crypt_free(d->crypt);
        luks_free(d->luks);
        return -EINVAL;
    }
    blk_set_size(n, ALIGN_DOWN(size - d->payload, (uint64_t)512));
    blk_set_limits(n, 512, 0);
    return 0;
}

static void luks_disk_close(struct blk_node *n)
{
    struct luks_disk *d = blk_state(n);
    crypt_free(d->crypt);
    luks_free(d->luks);
}

static int luks_disk_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct luks_disk *d = blk_state(n);
    int rc = d->crypt ? blk_node_read(blk_file(n), d->payload + offset, buf, len) : -EACCES;
    return rc ? rc : crypt_run(d->crypt, false, offset / 512, buf, len);
}

static int luks_disk_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct luks_disk *d = blk_state(n);
    const uint8_t *p = buf;
    uint8_t *tmp;
    int rc = 0;

    if (!d->crypt) return -EACCES;
    tmp = blk_alloc_aligned(MIN(len, (size_t)CHUNK));
    while (len && !rc) {
        size_t k = MIN(len, (size_t)CHUNK);
        memcpy(tmp, p, k);
        rc = crypt_run(d->crypt, true, offset / 512, tmp, k);
        if (!rc) rc = blk_node_write(blk_file(n), d->payload + offset, tmp, k, 0);
        p += k, offset += k, len -= k;
    }
    blk_free_aligned(tmp);
    return rc;
}

static int luks_disk_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    struct luks_disk *d = blk_state(n);
    if (size > INT64_MAX - d->payload) return error_set(e, "The requested file size is too large"), -EFBIG;
    return blk_node_truncate(blk_file(n), d->payload + ALIGN_UP(size, (uint64_t)512), prealloc, e);
}

static int flush_header(void *opaque) { return blk_node_flush(opaque); }

static const struct blk_create_opt amend_opts[] = {LUKS_AMEND_OPTIONS(""), {NULL, OPT_STRING, NULL, NULL}};

static int luks_disk_amend(struct blk_node *n, const struct opts *o, bool force, void (*progress)(void *, uint64_t, uint64_t),
                           void *opaque, struct error *e)
{
    struct luks_disk *d = blk_state(n);
    struct luks_change c;
    int rc = luks_change_parse(&c, blk_node_graph(n), o, "", e);

    if (rc) return rc;
    c.force = force;
    rc = luks_change(d->luks, &c, read_header, write_header, flush_header, blk_file(n), e);
    if (!rc && progress) progress(opaque, 1, 1);
    return rc;
}

static int luks_disk_info(struct blk_node *n, struct blk_info *i)
{
    i->encrypted = true;
    return 0;
}

static void luks_disk_specific(struct blk_node *n, struct json_out *j)
{
    struct luks_disk *d = blk_state(n);
    luks_info(d->luks, j);
}

/* ---- creating ------------------------------------------------------------------------------------- */

static const struct blk_create_opt create_opts[] = {
    {"cipher-alg", OPT_STRING, "Name of encryption cipher algorithm", NULL},
    {"cipher-mode", OPT_STRING, "Name of encryption cipher mode", NULL},
    {"hash-alg", OPT_STRING, "Name of encryption hash algorithm", NULL},
    {"iter-time", OPT_NUMBER, "Time to spend in PBKDF in milliseconds", NULL},
    {"ivgen-alg", OPT_STRING, "Name of IV generator algorithm", NULL},
    {"ivgen-hash-alg", OPT_STRING, "Name of IV generator hash algorithm", NULL},
    {"key-secret", OPT_STRING, "ID of the secret that provides the keyslot key", NULL},
    {"preallocation", OPT_STRING, "Preallocation mode (allowed values: off, falloc, full)", NULL},
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

static struct luks_params params_of(const struct opts *o)
{
    return (struct luks_params){opts_get(o, "cipher-alg"), opts_get(o, "cipher-mode"), opts_get(o, "ivgen-alg"),
                                opts_get(o, "ivgen-hash-alg"), opts_get(o, "hash-alg"), opts_number(o, "iter-time", 0)};
}

static int luks_disk_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    struct luks_params p = params_of(o);
    uint64_t head = luks_header_size(&p, e), size = ALIGN_UP(opts_size(o, "size", 0), (uint64_t)512);
    const char *id = opts_get(o, "key-secret"), *pre = opts_get(o, "preallocation");
    const struct blk_secret *secret = id ? blk_object_find(g, "secret", id) : NULL;
    enum blk_prealloc prealloc = BLK_PREALLOC_OFF;
    struct blk_node *file;
    int rc;

    if (!head) return -ENOTSUP;
    if (!id) return error_set(e, "Parameter 'key-secret' is required for cipher"), -EINVAL;
    if (!secret) return error_set(e, "No secret with id '%s'", id), -ENOENT;
    if (size > INT64_MAX - head) return error_set(e, "The requested file size is too large"), -EFBIG;
    if (pre && (blk_parse_prealloc(pre, &prealloc) || prealloc == BLK_PREALLOC_METADATA))
        return error_set(e, "Invalid parameter '%s' for preallocation", pre), -EINVAL;
    file = blk_create_file(g, filename, 0, o, e);
    if (!file) return -EIO;
    rc = blk_node_truncate(file, head + size, prealloc, e);
    if (!rc) rc = luks_create(&p, secret->data, secret->len, write_header, file, e);
    blk_node_unref(file);
    return rc;
}

static int luks_disk_measure(const struct opts *o, struct blk_backend *source, struct blk_measure *m, struct error *e)
{
    struct luks_params p = params_of(o);
    uint64_t head = luks_header_size(&p, e), size = source ? blk_size(source) : ALIGN_UP(opts_size(o, "size", 0), (uint64_t)512);

    if (!head) return -ENOTSUP;
    m->required = m->fully_allocated = head + size;
    return 0;
}

static const struct opt_desc open_opts[] = {
    {"key-secret", OPT_STRING, "the secret with the password"},
    {NULL, OPT_STRING, NULL},
};

const struct blk_driver blk_drv_luks = {
    .name = "luks",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_OWN,
    .state_size = sizeof(struct luks_disk),
    .open_opts = open_opts,
    .create_opts = create_opts,
    .probe = luks_probe,
    .open = luks_disk_open,
    .close = luks_disk_close,
    .create = luks_disk_create,
    .measure = luks_disk_measure,
    .amend = luks_disk_amend,
    .amend_opts = amend_opts,
    .read = luks_disk_read,
    .write = luks_disk_write,
    .truncate = luks_disk_truncate,
    .info = luks_disk_info,
    .info_specific = luks_disk_specific,
};
