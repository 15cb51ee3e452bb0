/*
 * null.c - protocols "null-co" and "null-aio": a disk of a given size that takes every write and reads as zeros, for
 * measuring what lies above. Nothing is kept.
 */
#include "blockfmt/driver.h"

#include <time.h>

struct null_disk {
    uint64_t latency_ns;
};

static int null_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct null_disk *d = blk_state(n);

    blk_set_size(n, opts_size(o, "size", UINT64_C(1) << 30));
    d->latency_ns = opts_number(o, "latency-ns", 0);
    if (d->latency_ns > UINT64_C(1000000000) * 3600) return error_set(e, "latency-ns is too large"), -EINVAL;
    return 0;
}

static int wait_a_little(struct blk_node *n)
{
    struct null_disk *d = blk_state(n);
    struct timespec t = {(time_t)(d->latency_ns / 1000000000), (long)(d->latency_ns % 1000000000)};

    if (d->latency_ns) nanosleep(&t, NULL);
    return 0;
}

static int null_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    memset(buf, 0, len);
    return wait_a_little(n);
}

static int null_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    return flags & BLK_RESIZE ? -ENOSPC : wait_a_little(n);
}

static int null_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    return flags & BLK_RESIZE ? -ENOSPC : wait_a_little(n);
}

static int null_flush(struct blk_node *n) { return wait_a_little(n); }

static int null_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    st->flags = BLK_ST_ZERO | BLK_ST_OFFSET;
    st->offset = offset, st->file = n;
    return 0;
}

static int null_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e) { return 0; }

static int null_parse(const char *filename, struct opts *o, struct error *e)
{
    const char *colon = strchr(filename, ':');
    if (colon && strcmp(colon, "://") && colon[1])
        return error_set(e, "The only allowed filename for this driver is '%.*s://'", (int)(colon - filename), filename),
               -EINVAL;
    return 0;
}

static const struct opt_desc null_opts[] = {
    {"size", OPT_SIZE, "size of the disk"},
    {"latency-ns", OPT_NUMBER, "how long each request takes"},
    {"read-zeroes", OPT_BOOL, "reads give zeros (they always do)"},
    {NULL, OPT_STRING, NULL},
};

#define NULL_COMMON                                                                                \
    .kind = BLK_PROTOCOL, .locking = BLK_LOCK_OWN, .state_size = sizeof(struct null_disk),         \
    .open_opts = null_opts, .parse_filename = null_parse, .open = null_open, .read = null_read,    \
    .write = null_write, .zero = null_zero, .flush = null_flush, .status = null_status,            \
    .truncate = null_truncate

static const char *const co_prefixes[] = {"null-co", NULL}, *const aio_prefixes[] = {"null-aio", NULL};
const struct blk_driver blk_drv_null_co = {.name = "null-co", .prefixes = co_prefixes, NULL_COMMON};
const struct blk_driver blk_drv_null_aio = {.name = "null-aio", .prefixes = aio_prefixes, NULL_COMMON};
