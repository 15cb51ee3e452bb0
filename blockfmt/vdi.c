/*
 * vdi.c - VirtualBox disk images, dynamic and static, version 1.1. The layout follows the descriptions that VirtualBox's
 * developers have published (header of 512 bytes, a map with one 32-bit number for each block of 1 MiB, the blocks).
 *
 * Not here: differencing images (type 4), undo images, and block sizes other than 1 MiB with extra data in front.
 *
 * Order on disk: data before the map that points to it; the count of blocks in the header follows, and is not believed
 * when an image is opened: the next free block is behind the highest one in the map. An image opened for writing has its
 * count set right: whoever was stopped between the two wrote a good map.
 */
#include "blockfmt/imgutil.h"

enum {
    VDI_SIGNATURE = 0x40, VDI_VERSION = 0x44, VDI_HEADER_SIZE = 0x48, VDI_TYPE = 0x4c, VDI_MAP = 0x154, VDI_DATA = 0x158,
    VDI_SECTOR_SIZE = 0x168, VDI_DISK_SIZE = 0x170, VDI_BLOCK_SIZE = 0x178, VDI_EXTRA = 0x17c, VDI_BLOCKS = 0x180,
    VDI_ALLOCATED = 0x184, VDI_UUID = 0x188, VDI_UUID_SNAPSHOT = 0x198, VDI_UUID_LINK = 0x1a8, VDI_UUID_PARENT = 0x1b8,
};
#define VDI_MAGIC  0xbeda107fu
#define VDI_BLOCK  (1u << 20)
#define VDI_NONE   0xffffffffu /* never written */
#define VDI_ZERO   0xfffffffeu /* given back: reads as zeros */
#define VDI_MAX    UINT64_C(0x1fffff80) /* blocks: a map of 2 GiB less a sector */
enum { VDI_DYNAMIC = 1, VDI_STATIC = 2 };

struct vdi {
    uint32_t *map;      /* host byte order */
    uint32_t blocks, next, allocated, in_header; /* next: the first block behind all others in the file */
    uint64_t map_offset, data_offset;
    bool is_static;
};

static int vdi_probe(const uint8_t *b, size_t n, const char *filename)
{
    return n >= 512 && ld32_le(b + VDI_SIGNATURE) == VDI_MAGIC ? 100 : 0;
}

static bool allocated(uint32_t entry) { return entry < VDI_ZERO; }

static int count_blocks(struct blk_node *n, struct vdi *v, unsigned flags, struct error *e)
{
    uint64_t file = blk_node_size(blk_file(n));

    for (uint32_t i = 0; i < v->blocks; i++) {
        uint32_t x = v->map[i] = ld32_le(&v->map[i]);
        if (!allocated(x)) continue;
        v->allocated++;
        if (x >= v->blocks) {
            if (flags & BLK_CHECK) continue;
            error_set(e, "vdi: entry %u of the block map points to block %u of %u", i, x, v->blocks);
            return -EINVAL;
        }
        if (v->data_offset + (uint64_t)x * VDI_BLOCK >= file && !(flags & BLK_CHECK))
            return img_bad_at(e, n, "a block lies beyond the end of the file,", v->data_offset + (uint64_t)x * VDI_BLOCK);
        v->next = MAX(v->next, x + 1);
    }
    return 0;
}

static int write_count(struct blk_node *n, struct vdi *v)
{
    uint8_t le[4];
    int rc;

    st32_le(le, v->allocated);
    rc = blk_node_write(blk_file(n), VDI_ALLOCATED, le, 4, 0);
    if (!rc) v->in_header = v->allocated;
    return rc;
}

static int vdi_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct vdi *v = blk_state(n);
    uint8_t h[512], zero[16] = {0};
    uint64_t size;
    uint32_t x;
    int rc = blk_node_read(blk_file(n), 0, h, sizeof h);

    if (rc) return img_io_error(e, n, "the header", rc);
    if (ld32_le(h + VDI_SIGNATURE) != VDI_MAGIC) return img_bad(e, n, "Image not in VDI format", ld32_le(h + VDI_SIGNATURE));
    x = ld32_le(h + VDI_VERSION);
    if (x != 0x10001) return error_set(e, "unsupported VDI image (version %u.%u)", x >> 16, x & 0xffff), -ENOTSUP;
    x = ld32_le(h + VDI_TYPE);
    if (x != VDI_DYNAMIC && x != VDI_STATIC) return error_set(e, "unsupported VDI image (type %u)", x), -ENOTSUP;
    v->is_static = x == VDI_STATIC;
    v->map_offset = ld32_le(h + VDI_MAP), v->data_offset = ld32_le(h + VDI_DATA);
    if (v->map_offset % 512) return img_bad(e, n, "unaligned block map offset", v->map_offset);
    if (v->data_offset % 512) return img_bad(e, n, "unaligned data offset", v->data_offset);
    x = ld32_le(h + VDI_SECTOR_SIZE);
    if (x != 512) return img_bad(e, n, "unsupported sector size", x);
    x = ld32_le(h + VDI_BLOCK_SIZE);
    if (x != VDI_BLOCK) return img_bad(e, n, "unsupported block size", x);
    x = ld32_le(h + VDI_EXTRA);
    if (x) return img_bad(e, n, "unsupported extra data in front of blocks", x);
    size = ld64_le(h + VDI_DISK_SIZE);
    v->blocks = ld32_le(h + VDI_BLOCKS), v->in_header = ld32_le(h + VDI_ALLOCATED);
    if (v->blocks > VDI_MAX) return img_bad(e, n, "too many blocks", v->blocks);
    if (size > (uint64_t)v->blocks * VDI_BLOCK) return img_bad(e, n, "disk size is larger than the block map", size);
    if (memcmp(h + VDI_UUID_LINK, zero, 16)) return error_set(e, "unsupported VDI image (non-NULL link UUID)"), -ENOTSUP;
    if (memcmp(h + VDI_UUID_PARENT, zero, 16)) return error_set(e, "unsupported VDI image (non-NULL parent UUID)"), -ENOTSUP;
    if (v->data_offset < 512 || v->map_offset < 512) return img_bad(e, n, "tables inside the header", MIN(v->data_offset, v->map_offset));
    uint64_t map_end = v->map_offset + (uint64_t)v->blocks * 4;
    if (v->map_offset < v->data_offset ? map_end > v->data_offset : v->blocks != 0)
        return img_bad(e, n, "the block map overlaps the blocks, map at", v->map_offset);
    rc = img_read_table(n, "the block map", v->map_offset, v->blocks, 4, &v->map, e);
    if (!rc) rc = count_blocks(n, v, flags, e);
    if (rc) {
        mem_free(v->map);
        return rc;
    }
    blk_set_size(n, ALIGN_UP(size, (uint64_t)512));
    if (!(flags & (BLK_RDONLY | BLK_CHECK)) && v->in_header != v->allocated) (void)write_count(n, v);
    return 0;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static void vdi_close(struct blk_node *n)
{
    struct vdi *v = blk_state(n);

    if (!(blk_node_flags(n) & BLK_RDONLY) && v->in_header != v->allocated) (void)write_count(n, v);
    mem_free(v->map);
}

/* Where a byte of the disk lies; false: nowhere. *run: how many bytes of len follow it in the same block. */
static bool place(const struct vdi *v, uint64_t offset, uint64_t len, uint64_t *host, uint64_t *run)
{
    uint32_t in = (uint32_t)(offset % VDI_BLOCK), x = v->map[offset / VDI_BLOCK];

    *run = MIN(len, (uint64_t)(VDI_BLOCK - in));
    *host = v->data_offset + (uint64_t)x * VDI_BLOCK + in;
    return allocated(x) && x < v->blocks;
}

static int vdi_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct vdi *v = blk_state(n);
    uint8_t *p = buf;
    uint64_t host, run;
    int rc = 0;

    for (; len && !rc; p += run, offset += run, len -= (size_t)run) {
        if (place(v, offset, len, &host, &run)) rc = blk_node_read(blk_file(n), host, p, (size_t)run);
        else memset(p, 0, (size_t)run);
    }
    return rc;
}

static int allocate(struct blk_node *n, struct vdi *v, uint64_t offset, const uint8_t *p, uint64_t run)
{
    struct blk_node *file = blk_file(n);
    uint32_t i = (uint32_t)(offset / VDI_BLOCK), in = (uint32_t)(offset % VDI_BLOCK), x = v->next;
    uint64_t at = v->data_offset + (uint64_t)x * VDI_BLOCK;
    uint8_t le[4];
    int rc = 0;

    if (x >= v->blocks) return -ENOSPC; /* a map that names one block twice */
    if (run < VDI_BLOCK) rc = img_clear(file, at, VDI_BLOCK);
    if (!rc) rc = blk_node_write(file, at + in, p, (size_t)run, 0);
    st32_le(le, x);
    if (!rc) rc = blk_node_write(file, v->map_offset + (uint64_t)i * 4, le, 4, 0);
    if (rc) return rc;
    v->map[i] = x;
    v->next = x + 1, v->allocated++;
    (void)write_count(n, v); /* once more at the next flush, if it failed */
    return 0;
}

static int vdi_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct vdi *v = blk_state(n);
    const uint8_t *p = buf;
    uint64_t host, run;
    int rc = 0;

    if (flags & BLK_COMPRESSED) return -ENOTSUP;
    for (; len && !rc; p += run, offset += run, len -= (size_t)run) {
        if (place(v, offset, len, &host, &run)) rc = blk_node_write(blk_file(n), host, p, (size_t)run, 0);
        else rc = allocate(n, v, offset, p, run);
    }
    return rc;
}

static int vdi_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct vdi *v = blk_state(n);
    uint64_t host, run;
    int rc = 0;

    for (; len && !rc; offset += run, len -= run) {
        if (place(v, offset, len, &host, &run)) rc = blk_node_zero(blk_file(n), host, run, flags);
    }
    return rc;
}

static int vdi_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    struct vdi *v = blk_state(n);
    uint64_t host, run;
    int rc = 0;

    for (; len && !rc; offset += run, len -= run) {
        if (place(v, offset, len, &host, &run)) rc = blk_node_discard(blk_file(n), host, run);
    }
    return rc;
}

static int vdi_flush(struct blk_node *n)
{
    struct vdi *v = blk_state(n);
    return v->in_header != v->allocated ? write_count(n, v) : 0;
}

static int vdi_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct vdi *v = blk_state(n);
    uint64_t host, run, more, next;
    bool data = place(v, offset, len, &host, &run);

    for (; run < len; run += more) {
        if (place(v, offset + run, len - run, &next, &more) != data || (data && next != host + run)) break;
    }
    st->bytes = run;
    st->flags = data ? BLK_ST_DATA | BLK_ST_OFFSET : BLK_ST_ZERO;
    if (data) st->offset = host, st->file = blk_file(n), st->flags |= v->is_static ? BLK_ST_RECURSE : 0;
    return 0;
}

/* ---- structure ------------------------------------------------------------------------------------ */

static int vdi_info(struct blk_node *n, struct blk_info *i)
{
    i->cluster_size = VDI_BLOCK;
    i->zero_init = true;
    return 0;
}

static int vdi_check(struct blk_node *n, unsigned fix, struct blk_check *c, struct error *e)
{
    struct vdi *v = blk_state(n);
    uint8_t *seen = mem_zalloc(v->blocks / 8 + 1);
    uint64_t used = 0, file = blk_node_size(blk_file(n));
    int rc = 0;

    for (uint32_t i = 0; i < v->blocks; i++) {
        uint32_t x = v->map[i];
        if (!allocated(x)) continue;
        used++;
        if (x >= v->blocks) {
            img_check_line(c, "ERROR: block index %u out of range, is %u", i, x);
            c->corruptions++;
        } else if (seen[x / 8] >> x % 8 & 1) {
            img_check_line(c, "ERROR: block index %u also used by %u", x, i);
            c->corruptions++;
        } else if (v->data_offset + (uint64_t)x * VDI_BLOCK >= file) {
            img_check_line(c, "ERROR: block index %u is beyond the end of the file", x);
            c->corruptions++;
        } else {
            seen[x / 8] |= (uint8_t)(1u << x % 8);
        }
    }
    if (used != v->in_header) {
        img_check_line(c, "ERROR: allocated blocks mismatch, is %llu, should be %u", (unsigned long long)used, v->in_header);
        if (fix & BLK_FIX_ERRORS) {
            v->allocated = (uint32_t)used;
            rc = write_count(n, v);
            if (rc) error_set(e, "could not write the header: %s", strerror(-rc));
            else c->corruptions_fixed++;
        } else {
            c->corruptions++;
        }
    }
    mem_free(seen);
    return rc;
}

static int vdi_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    uint64_t size = opts_size(o, "size", 0), blocks = (size + VDI_BLOCK - 1) / VDI_BLOCK, map_bytes, head;
    bool all = opts_bool(o, "static", false);
    uint8_t *h;
    int rc;

    if (blocks > VDI_MAX) {
        error_set(e, "Unsupported VDI image size (size is 0x%llx, max supported is 0x%llx)", (unsigned long long)size,
                  (unsigned long long)(VDI_MAX * VDI_BLOCK));
        return -ENOTSUP;
    }
    map_bytes = ALIGN_UP(blocks * 4, (uint64_t)512);
    head = 512 + map_bytes;
    struct blk_node *file = blk_create_file(g, filename, 0, o, e);
    if (!file) return -EIO;
    h = mem_zalloc((size_t)head);
    memcpy(h, "<<< Quern Virtual Disk Image >>>\n", 33);
    st32_le(h + VDI_SIGNATURE, VDI_MAGIC);
    st32_le(h + VDI_VERSION, 0x10001);
    st32_le(h + VDI_HEADER_SIZE, 0x180);
    st32_le(h + VDI_TYPE, all ? VDI_STATIC : VDI_DYNAMIC);
    st32_le(h + VDI_MAP, 512);
    st32_le(h + VDI_DATA, (uint32_t)head);
    st32_le(h + VDI_SECTOR_SIZE, 512);
    st64_le(h + VDI_DISK_SIZE, ALIGN_UP(size, (uint64_t)512));
    st32_le(h + VDI_BLOCK_SIZE, VDI_BLOCK);
    st32_le(h + VDI_BLOCKS, (uint32_t)blocks);
    st32_le(h + VDI_ALLOCATED, all ? (uint32_t)blocks : 0);
    img_uuid(h + VDI_UUID);
    img_uuid(h + VDI_UUID_SNAPSHOT);
    for (uint64_t i = 0; i < blocks; i++) st32_le(h + 512 + i * 4, all ? (uint32_t)i : VDI_NONE);
    rc = all ? blk_node_truncate(file, head + blocks * VDI_BLOCK, BLK_PREALLOC_OFF, e) : 0;
    if (!rc) rc = blk_node_write(file, 0, h, (size_t)head, 0);
    if (rc) error_set(e, "Error writing '%s': %s", filename, strerror(-rc));
    mem_free(h);
    blk_node_unref(file);
    return rc;
}

static const struct blk_create_opt vdi_create_opts[] = {
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {"static", OPT_BOOL, "VDI static (pre-allocated) image", "off"},
    {NULL, OPT_STRING, NULL, NULL},
};

const struct blk_driver blk_drv_vdi = {
    .name = "vdi",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_READERS,
    .state_size = sizeof(struct vdi),
    .create_opts = vdi_create_opts,
    .probe = vdi_probe,
    .open = vdi_open,
    .close = vdi_close,
    .create = vdi_create,
    .read = vdi_read,
    .write = vdi_write,
    .zero = vdi_zero,
    .discard = vdi_discard,
    .flush = vdi_flush,
    .status = vdi_status,
    .info = vdi_info,
    .check = vdi_check,
};
