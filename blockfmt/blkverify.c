/*
 * blkverify.c - a filter with two children: writes go to both, reads come from both and must be equal. For testing formats
 * against a raw file. A difference fails the read with EIO and is said on the standard error output.
 */
#include "blockfmt/imgutil.h"

struct blkverify {
    struct blk_node *test, *raw;
};

static int blkverify_parse(const char *filename, struct opts *o, struct error *e)
{
    const char *p = filename + strlen("blkverify:"), *colon = strchr(p, ':');
    char *raw;

    if (!colon || colon == p) return error_set(e, "blkverify requires raw copy and original image path"), -EINVAL;
    raw = mem_printf("%.*s", (int)(colon - p), p);
    opts_set(o, "raw.filename", raw);
    opts_set(o, "test.file.filename", colon + 1);
    mem_free(raw);
    return 0;
}

static int blkverify_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct blkverify *s = blk_state(n);

    s->raw = blk_open_child(n, o, "raw", NULL, false, e);
    if (!s->raw) return -EINVAL;
    s->test = blk_open_filter_child(n, o, "test", true, e);
    if (!s->test) return -EINVAL;
    blk_set_size(n, blk_node_size(s->test));
    return 0;
}

static int blkverify_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct blkverify *s = blk_state(n);
    uint8_t *other = blk_alloc_aligned(len), *p = buf;
    int rc = blk_node_read(s->test, offset, buf, len), rc2 = blk_node_read(s->raw, offset, other, len);

    if (!rc) rc = rc2;
    if (!rc && memcmp(buf, other, len)) {
        size_t i = 0;
        while (p[i] == other[i]) i++;
        error_report("blkverify: read sector_num=%llu nb_sectors=%llu: contents mismatch at offset %llu",
                     (unsigned long long)(offset / 512), (unsigned long long)(len / 512), (unsigned long long)(offset + i));
        rc = -EIO;
    }
    blk_free_aligned(other);
    return rc;
}

static int both(int a, int b)
{
    if (!a != !b) error_report("blkverify: return value mismatch %d != %d", a, b);
    return a ? a : b;
}

static int blkverify_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct blkverify *s = blk_state(n);
    return both(blk_node_write(s->test, offset, buf, len, flags),
                blk_node_write(s->raw, offset, buf, len, flags & ~(unsigned)BLK_COMPRESSED));
}

static int blkverify_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct blkverify *s = blk_state(n);
    int rc = blk_node_zero(s->test, offset, len, flags);
    return rc == -ENOTSUP ? rc : both(rc, blk_node_zero(s->raw, offset, len, flags & ~(unsigned)BLK_NO_FALLBACK));
}

static const struct opt_desc blkverify_opts[] = {
    {"test", OPT_STRING, "the image that is tested"},
    {"test.*", OPT_STRING, "the image that is tested"},
    {"raw", OPT_STRING, "the file that it is compared with"},
    {"raw.*", OPT_STRING, "the file that it is compared with"},
    {NULL, OPT_STRING, NULL},
};

static const char *const prefixes[] = {"blkverify", NULL};
const struct blk_driver blk_drv_blkverify = {
    .name = "blkverify",
    .kind = BLK_FILTER,
    .locking = BLK_LOCK_READERS,
    .no_file = true,
    .state_size = sizeof(struct blkverify),
    .open_opts = blkverify_opts,
    .prefixes = prefixes,
    .parse_filename = blkverify_parse,
    .open = blkverify_open,
    .read = blkverify_read,
    .write = blkverify_write,
    .zero = blkverify_zero,
};
