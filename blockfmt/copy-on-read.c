/*
 * copy-on-read.c - a filter that writes into the image below what it reads from that image's backing chain, so that the
 * next read finds it there. Whole clusters are copied. One request at a time: a guest's write cannot fall between the
 * reading and the copying.
 */
#include "blockfmt/imgutil.h"

#define BUFFER (1u << 20)

struct cor {
    uint64_t cluster;
};

static int cor_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct cor *s = blk_state(n);
    struct blk_info i;

    s->cluster = 4096;
    if (!blk_node_info(blk_file(n), &i) && i.cluster_size) s->cluster = MIN(MAX(i.cluster_size, 512u), BUFFER);
    blk_set_size(n, blk_node_size(blk_file(n)));
    return 0;
}

static uint64_t cor_length(struct blk_node *n) { return blk_node_size(blk_file(n)); }

/* Copies what a range lacks, rounded outwards to clusters. */
static int fill(struct blk_node *n, uint64_t offset, uint64_t len)
{
    struct cor *s = blk_state(n);
    struct blk_node *file = blk_file(n);
    uint64_t size = blk_node_size(file), end = MIN(size, offset + len), at = offset / s->cluster * s->cluster;
    uint8_t *buf = NULL;
    int rc = 0;

    end = MIN(size, (end + s->cluster - 1) / s->cluster * s->cluster);
    while (at < end && !rc) {
        struct blk_status st;
        uint64_t k;
        rc = blk_node_status(file, at, end - at, &st);
        if (rc) break;
        k = st.bytes;
        if (!(st.flags & BLK_ST_ALLOCATED)) {
            k = MIN(k, (uint64_t)BUFFER);
            if (!buf) buf = blk_alloc_aligned(BUFFER);
            rc = blk_node_read(file, at, buf, (size_t)k);
            if (!rc && blk_is_zero(buf, (size_t)k)) rc = blk_node_zero(file, at, k, BLK_UNCHANGED | BLK_MAY_UNMAP);
            else if (!rc) rc = blk_node_write(file, at, buf, (size_t)k, BLK_UNCHANGED);
        }
        at += k;
    }
    blk_free_aligned(buf);
    return rc;
}

static int cor_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    /* A copy that fails (a full disk) does not fail the read. */
    if (!(blk_node_flags(blk_file(n)) & BLK_RDONLY)) (void)fill(n, offset, len);
    return blk_node_read(blk_file(n), offset, buf, len);
}

static int cor_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    return blk_node_write(blk_file(n), offset, buf, len, flags);
}

static int cor_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    return blk_node_zero(blk_file(n), offset, len, flags);
}

static int cor_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    return blk_node_discard(blk_file(n), offset, len);
}

static int cor_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    return blk_node_truncate(blk_file(n), size, prealloc, e);
}

const struct blk_driver blk_drv_copy_on_read = {
    .name = "copy-on-read",
    .kind = BLK_FILTER,
    .grows = true,
    .state_size = sizeof(struct cor),
    .open = cor_open,
    .length = cor_length,
    .read = cor_read,
    .write = cor_write,
    .zero = cor_zero,
    .discard = cor_discard,
    .truncate = cor_truncate,
};
