/*
 * raw.c - the raw format: the bytes below are the disk, or the part of them that offset and size name. A disk that was
 * only guessed to be raw does not let the guest turn it into another format by its first sector.
 */
#include "blockfmt/driver.h"

struct raw {
    uint64_t offset;
    bool sized, guarded;
};

static int raw_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct raw *r = blk_state(n);
    uint64_t whole = blk_node_size(blk_file(n)), size;

    r->offset = opts_size(o, "offset", 0);
    r->sized = opts_get(o, "size") != NULL;
    r->guarded = (flags & BLK_PROBED) != 0;
    if (r->offset > whole)
        return error_set(e, "Offset (%llu) cannot be greater than size of the containing file (%llu)",
                         (unsigned long long)r->offset, (unsigned long long)whole), -EINVAL;
    size = r->sized ? opts_size(o, "size", 0) : whole - r->offset;
    if (r->sized && size > whole - r->offset)
        return error_set(e, "The sum of offset (%llu) and size (%llu) has to be smaller or equal to the actual size of "
                            "the containing file (%llu)", (unsigned long long)r->offset, (unsigned long long)size,
                         (unsigned long long)whole), -EINVAL;
    if (r->sized && size % 512) return error_set(e, "Specified size is not multiple of 512"), -EINVAL;
    blk_set_size(n, ALIGN_UP(size, (uint64_t)512));
    return 0;
}

static int raw_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct raw *r = blk_state(n);
    return blk_node_read(blk_file(n), r->offset + offset, buf, len);
}

static int raw_read_now(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct raw *r = blk_state(n);
    return blk_node_read_now(blk_file(n), r->offset + offset, buf, len);
}

static int raw_start(struct blk_node *n, struct blk_flight *f, struct blk_stop *s)
{
    struct raw *r = blk_state(n);
    if (f->write && r->guarded && s->offset < 512) return -EAGAIN;
    return blk_node_start(blk_file(n), f, r->offset + s->offset, s->len);
}

static bool fits(struct blk_node *n, const struct raw *r, uint64_t offset, uint64_t len)
{
    return !r->sized || offset + len <= blk_node_size(n);
}

static int raw_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct raw *r = blk_state(n);

    if (flags & BLK_COMPRESSED) return -ENOTSUP;
    if (!fits(n, r, offset, len)) return -ENOSPC;
    if (r->guarded && offset < 512) {
        uint8_t head[512];
        int rc = blk_node_read(blk_file(n), r->offset, head, sizeof head);
        if (rc) return rc;
        memcpy(head + offset, buf, MIN(len, 512 - (size_t)offset));
        if (blk_probe_name(head, sizeof head, "")) return -EPERM;
    }
    return blk_node_write(blk_file(n), r->offset + offset, buf, len, flags);
}

static int raw_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct raw *r = blk_state(n);
    if (!fits(n, r, offset, len)) return -ENOSPC;
    return blk_node_zero(blk_file(n), r->offset + offset, len, flags);
}

static int raw_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    struct raw *r = blk_state(n);
    return blk_node_discard(blk_file(n), r->offset + offset, len);
}

static int raw_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct raw *r = blk_state(n);
    struct blk_node *file = blk_file(n);
    int rc;

    if (r->offset + offset >= blk_node_size(file)) { /* the rest of the last sector */
        st->flags = BLK_ST_ZERO | BLK_ST_ALLOCATED;
        return 0;
    }
    rc = blk_node_status(file, r->offset + offset, len, st);
    if (rc) return rc;
    if (r->offset + offset + st->bytes >= blk_node_size(file) && len - st->bytes < 512) st->bytes = len;
    st->flags = (st->flags & ~(unsigned)BLK_ST_EOF) | BLK_ST_ALLOCATED;
    return 0;
}

static int raw_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    struct raw *r = blk_state(n);

    if (r->sized) return error_set(e, "Cannot resize fixed-size raw disks"), -ENOTSUP;
    if (INT64_MAX - r->offset < size) return error_set(e, "Disk size too large for the chosen offset"), -EINVAL;
    return blk_node_truncate(blk_file(n), size + r->offset, prealloc, e);
}

static int raw_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    const char *pre = opts_get(o, "preallocation");
    uint64_t size = ALIGN_UP(opts_size(o, "size", 0), (uint64_t)512);
    enum blk_prealloc prealloc = BLK_PREALLOC_OFF;
    int rc;

    if (pre && blk_parse_prealloc(pre, &prealloc))
        return error_set(e, "Invalid parameter '%s' for preallocation", pre), -EINVAL;
    if (prealloc == BLK_PREALLOC_METADATA)
        return error_set(e, "Unsupported preallocation mode 'metadata'"), -EINVAL;
    struct blk_node *file = blk_create_file(g, filename, prealloc ? 0 : size, o, e);
    if (!file) return -EIO;
    rc = prealloc ? blk_node_truncate(file, size, prealloc, e) : 0;
    blk_node_unref(file);
    return rc;
}

static int raw_measure(const struct opts *o, struct blk_backend *source, struct blk_measure *m, struct error *e)
{
    m->required = m->fully_allocated = source ? blk_size(source) : ALIGN_UP(opts_size(o, "size", 0), (uint64_t)512);
    return 0;
}

static const struct opt_desc raw_opts[] = {
    {"offset", OPT_SIZE, "offset in the file where the disk starts"},
    {"size", OPT_SIZE, "size of the disk"},
    {NULL, OPT_STRING, NULL},
};

static const struct blk_create_opt raw_create_opts[] = {
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {"preallocation", OPT_STRING, "Preallocation mode (allowed values: off, falloc, full)", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

const struct blk_driver blk_drv_raw = {
    .name = "raw",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_OWN,
    .grows = true,
    .state_size = sizeof(struct raw),
    .open_opts = raw_opts,
    .create_opts = raw_create_opts,
    .open = raw_open,
    .create = raw_create,
    .measure = raw_measure,
    .read = raw_read,
    .read_now = raw_read_now,
    .start = raw_start,
    .write = raw_write,
    .zero = raw_zero,
    .discard = raw_discard,
    .status = raw_status,
    .truncate = raw_truncate,
};
