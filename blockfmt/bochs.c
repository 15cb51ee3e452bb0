/*
 * bochs.c - Bochs "growing" disks, read-only, versions 1 and 2, after the description of disk image formats in the Bochs
 * manual: a header, a catalog with one number for each extent, and extents that start with a bitmap of their sectors.
 */
#include "blockfmt/imgutil.h"

enum { H_TYPE = 32, H_SUBTYPE = 48, H_VERSION = 64, H_SIZE = 68, H_CATALOG = 72, H_BITMAP = 76, H_EXTENT = 80, H_DISK_1 = 84,
       H_DISK_2 = 88, H_END = 512 };
#define NONE 0xffffffffu

struct bochs {
    uint32_t *catalog, entries;
    uint64_t data, bitmap_bytes, extent, step; /* bytes; step: bitmap and extent */
};

static int bochs_probe(const uint8_t *b, size_t n, const char *filename)
{
    if (n < H_END || memcmp(b, "Bochs Virtual HD Image", 23) || memcmp(b + H_TYPE, "Redolog", 8)) return 0;
    return !memcmp(b + H_SUBTYPE, "Growing", 8) ? 100 : 0;
}

static int bochs_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct bochs *s = blk_state(n);
    uint8_t h[H_END];
    uint64_t size;
    int rc = blk_node_read(blk_file(n), 0, h, sizeof h);

    if (rc) return img_io_error(e, n, "the header", rc);
    uint32_t version = ld32_le(h + H_VERSION), bitmap = ld32_le(h + H_BITMAP), extent = ld32_le(h + H_EXTENT);
    if (!bochs_probe(h, sizeof h, "") || (version != 0x10000 && version != 0x20000))
        return error_set(e, "Image not in Bochs format"), -EINVAL;
    size = ld64_le(h + (version == 0x10000 ? H_DISK_1 : H_DISK_2));
    s->entries = ld32_le(h + H_CATALOG);
    if (s->entries > 0x100000) return img_bad(e, n, "Catalog size is too large", s->entries);
    if (extent < 512 || (extent & (extent - 1)) || extent > 0x800000)
        return img_bad(e, n, "Extent size must be a power of two from 512 to 8M, not", extent);
    if (!bitmap || bitmap > 0x100000 || (uint64_t)bitmap * 8 < extent / 512) return img_bad(e, n, "invalid size of extent bitmaps", bitmap);
    if (size > INT64_MAX - 511 || s->entries < (size + extent - 1) / extent)
        return img_bad(e, n, "Catalog size is too small for this disk size", size);
    rc = img_read_table(n, "the catalog", ld32_le(h + H_SIZE), s->entries, 4, &s->catalog, e);
    if (rc) return rc;
    for (uint32_t i = 0; i < s->entries; i++) s->catalog[i] = ld32_le(&s->catalog[i]);
    s->extent = extent, s->bitmap_bytes = ALIGN_UP(bitmap, 512u);
    s->step = s->bitmap_bytes + extent;
    s->data = ld32_le(h + H_SIZE) + (uint64_t)s->entries * 4;
    blk_set_size(n, ALIGN_UP(size, (uint64_t)512));
    return 0;
}

static void bochs_close(struct blk_node *n)
{
    struct bochs *s = blk_state(n);
    mem_free(s->catalog);
}

/* Where a byte lies: 0 for nowhere. *run: the rest of its sector. */
static int place(struct blk_node *n, uint64_t offset, uint64_t len, uint64_t *host, uint64_t *run)
{
    struct bochs *s = blk_state(n);
    uint64_t i = offset / s->extent, in = offset % s->extent, at, file = blk_node_size(blk_file(n));
    uint8_t bits;
    int rc;

    *host = 0, *run = MIN(len, s->extent - in);
    if (i >= s->entries || s->catalog[i] == NONE) return 0;
    at = s->data + (uint64_t)s->catalog[i] * s->step;
    if (at >= file) return -EIO;
    *run = MIN(len, 512 - in % 512);
    rc = blk_node_read(blk_file(n), at + in / 512 / 8, &bits, 1);
    if (!rc && bits >> (in / 512 % 8) & 1) *host = at + s->bitmap_bytes + in;
    return rc;
}

static int bochs_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    uint8_t *p = buf;
    uint64_t host, run;
    int rc = 0;

    for (; len && !rc; p += run, offset += run, len -= (size_t)run) {
        rc = place(n, offset, len, &host, &run);
        if (rc) break;
        if (host) rc = blk_node_read(blk_file(n), host, p, (size_t)run);
        else memset(p, 0, (size_t)run);
    }
    return rc;
}

const struct blk_driver blk_drv_bochs = {
    .name = "bochs",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_READERS,
    .state_size = sizeof(struct bochs),
    .probe = bochs_probe,
    .open = bochs_open,
    .close = bochs_close,
    .read = bochs_read,
};
