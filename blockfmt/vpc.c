/*
 * vpc.c - Virtual PC hard disks (VHD): dynamic and fixed, after Microsoft's "Virtual Hard Disk Image Format
 * Specification", version 1.0. All numbers are big endian.
 *
 * Not here: differencing disks. Whatever the sector bitmap in front of a block says, a block that is there is read: sectors
 * never written are zeros in it.
 *
 * Order on disk when a block is added: the footer at its new place, the block with its bitmap, the table entry. The copy
 * of the footer at the start of a dynamic disk is what opens it, whenever that stops.
 */
#include "blockfmt/imgutil.h"

#include <time.h>

#define VHD_EPOCH     946684800u       /* 2000-01-01 UTC */
#define VHD_NONE      0xffffffffu
#define VHD_BLOCK     (2u << 20)
#define VHD_CHS_MAX   (65535u * 16 * 255)  /* sectors */
#define VHD_MAX       (UINT64_C(2040) << 30)
enum { VHD_FIXED = 2, VHD_DYNAMIC = 3, VHD_DIFFERENCING = 4 };
/* the footer, and the header of dynamic disks */
enum { F_FEATURES = 8, F_VERSION = 12, F_NEXT = 16, F_TIME = 24, F_CREATOR = 28, F_CREATOR_VERSION = 32, F_OS = 36,
       F_ORIGINAL = 40, F_SIZE = 48, F_CYLINDERS = 56, F_HEADS = 58, F_SECTORS = 59, F_TYPE = 60, F_SUM = 64, F_UUID = 68 };
enum { D_NEXT = 8, D_TABLE = 16, D_VERSION = 24, D_ENTRIES = 28, D_BLOCK = 32, D_SUM = 36 };

struct vpc {
    uint8_t footer[512];
    bool fixed;
    uint32_t *table;       /* host byte order; NONE, or a sector */
    uint8_t *marked;       /* blocks whose bitmap is known to be full */
    uint32_t entries, block_size, bitmap_size;
    uint64_t table_offset, end; /* end: where the footer lies and the next block goes */
};

static uint32_t sum_of(const uint8_t *p, size_t n, size_t field)
{
    uint32_t s = 0;
    for (size_t i = 0; i < n; i++) s += i >= field && i < field + 4 ? 0 : p[i];
    return ~s;
}

static int vpc_probe(const uint8_t *b, size_t n, const char *filename)
{
    return n >= 8 && !memcmp(b, "conectix", 8) ? 100 : 0;
}

/* The size that the program which made the image meant: some count cylinders, others say what they mean. */
static uint64_t disk_size(const uint8_t *f)
{
    static const char exact[][5] = {"win ", "qem2", "d2v ", "tap", "CTXS"};
    uint64_t chs = (uint64_t)ld16_be(f + F_CYLINDERS) * f[F_HEADS] * f[F_SECTORS];

    for (size_t i = 0; i < ARRAY_LEN(exact); i++) {
        if (!memcmp(f + F_CREATOR, exact[i], 4)) return ld64_be(f + F_SIZE);
    }
    return chs == VHD_CHS_MAX ? ld64_be(f + F_SIZE) : chs * 512;
}

static int open_dynamic(struct blk_node *n, struct vpc *v, uint64_t size, struct error *e)
{
    uint8_t h[1024];
    uint64_t at = ld64_be(v->footer + F_NEXT), file = blk_node_size(blk_file(n));
    int rc;

    if (at > file || file - at < sizeof h) return img_bad(e, n, "dynamic disk header beyond the end of the file", at);
    rc = blk_node_read(blk_file(n), at, h, sizeof h);
    if (rc) return img_io_error(e, n, "the dynamic disk header", rc);
    if (memcmp(h, "cxsparse", 8)) return img_bad_at(e, n, "no dynamic disk header", at);
    if (ld32_be(h + D_SUM) != sum_of(h, sizeof h, D_SUM)) return img_bad_at(e, n, "incorrect checksum of the header", at);
    v->block_size = ld32_be(h + D_BLOCK);
    if (v->block_size < 512 || (v->block_size & (v->block_size - 1))) return img_bad(e, n, "Invalid block size", v->block_size);
    v->bitmap_size = ALIGN_UP(v->block_size / 512 / 8 + !(v->block_size / 512 / 8), 512u);
    v->entries = ld32_be(h + D_ENTRIES);
    if ((uint64_t)v->entries * v->block_size < size) return img_bad(e, n, "Page table too small", v->entries);
    v->table_offset = ld64_be(h + D_TABLE);
    rc = img_read_table(n, "the block table", v->table_offset, v->entries, 4, &v->table, e);
    if (rc) return rc;
    v->end = MAX(v->table_offset + ALIGN_UP((uint64_t)v->entries * 4, (uint64_t)512), MAX(at + sizeof h, (uint64_t)512));
    for (uint32_t i = 0; i < v->entries; i++) {
        uint32_t x = v->table[i] = ld32_be(&v->table[i]);
        if (x == VHD_NONE) continue;
        if ((uint64_t)x * 512 + v->bitmap_size >= file)
            return img_bad_at(e, n, "a block lies beyond the end of the file,", (uint64_t)x * 512);
        v->end = MAX(v->end, (uint64_t)x * 512 + v->bitmap_size + v->block_size);
    }
    v->marked = mem_zalloc(v->entries / 8 + 1);
    return 0;
}

static int vpc_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct vpc *v = blk_state(n);
    uint64_t file = blk_node_size(blk_file(n)), size, at = 0;
    int rc = blk_node_read(blk_file(n), 0, v->footer, 512);

    if (!rc && memcmp(v->footer, "conectix", 8) && file >= 512) /* a fixed disk has its footer at the end alone */
        rc = blk_node_read(blk_file(n), at = file - 512, v->footer, 512);
    if (rc) return img_io_error(e, n, "the footer", rc);
    if (memcmp(v->footer, "conectix", 8)) return error_set(e, "invalid VPC image: no footer"), -EINVAL;
    if (ld32_be(v->footer + F_SUM) != sum_of(v->footer, 512, F_SUM))
        return img_bad_at(e, n, "incorrect checksum of the footer", at);
    uint32_t type = ld32_be(v->footer + F_TYPE);
    if (type == VHD_DIFFERENCING) return error_set(e, "vpc: differencing disks are not supported"), -ENOTSUP;
    if (type != VHD_FIXED && type != VHD_DYNAMIC) return img_bad(e, n, "unknown disk type", type);
    size = disk_size(v->footer);
    if (size > VHD_MAX || size % 512) return img_bad(e, n, "invalid disk size", size);
    v->fixed = type == VHD_FIXED;
    if (v->fixed) {
        if (file < 512 || size > file - 512) return img_bad(e, n, "the file is too short for a fixed disk of size", size);
    } else {
        rc = open_dynamic(n, v, size, e);
        if (rc) {
            mem_free(v->table);
            return rc;
        }
    }
    blk_set_size(n, size);
    return 0;
}

static void vpc_close(struct blk_node *n)
{
    struct vpc *v = blk_state(n);
    mem_free(v->table);
    mem_free(v->marked);
}

/* ---- requests ------------------------------------------------------------------------------------- */

static bool place(const struct vpc *v, uint64_t offset, uint64_t len, uint64_t *host, uint64_t *run)
{
    if (v->fixed) return *host = offset, *run = len, true;
    uint32_t in = (uint32_t)(offset & (v->block_size - 1)), x = v->table[offset / v->block_size];
    *run = MIN(len, (uint64_t)(v->block_size - in));
    *host = (uint64_t)x * 512 + v->bitmap_size + in;
    return x != VHD_NONE;
}

static int vpc_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct vpc *v = blk_state(n);
    uint8_t *p = buf;
    uint64_t host, run;
    int rc = 0;

    for (; len && !rc; p += run, offset += run, len -= (size_t)run) {
        if (place(v, offset, len, &host, &run)) rc = blk_node_read(blk_file(n), host, p, (size_t)run);
        else memset(p, 0, (size_t)run);
    }
    return rc;
}

static int fill_bitmap(struct blk_node *n, struct vpc *v, uint32_t block, uint64_t at)
{
    uint8_t *ones;
    int rc;

    if (v->marked[block / 8] >> block % 8 & 1) return 0;
    ones = mem_alloc(v->bitmap_size);
    memset(ones, 0xff, v->bitmap_size);
    rc = blk_node_write(blk_file(n), at, ones, v->bitmap_size, 0);
    mem_free(ones);
    if (!rc) v->marked[block / 8] |= (uint8_t)(1u << block % 8);
    return rc;
}

static int allocate(struct blk_node *n, struct vpc *v, uint64_t offset, const uint8_t *p, uint64_t run)
{
    struct blk_node *file = blk_file(n);
    uint32_t block = (uint32_t)(offset / v->block_size), in = (uint32_t)(offset & (v->block_size - 1));
    uint64_t at = v->end, data = at + v->bitmap_size, next = data + v->block_size;
    uint8_t be[4];
    int rc;

    if (at / 512 >= VHD_NONE) return -ENOSPC;
    rc = blk_node_write(file, next, v->footer, 512, 0);
    if (!rc) rc = fill_bitmap(n, v, block, at);
    if (!rc && run < v->block_size) rc = img_clear(file, data, v->block_size);
    if (!rc) rc = blk_node_write(file, data + in, p, (size_t)run, 0);
    st32_be(be, (uint32_t)(at / 512));
    if (!rc) rc = blk_node_write(file, v->table_offset + (uint64_t)block * 4, be, 4, 0);
    if (rc) {
        v->marked[block / 8] &= (uint8_t)~(1u << block % 8);
        (void)blk_node_write(file, at, v->footer, 512, 0); /* the last block of the file is cut off: best effort */
        return rc;
    }
    v->table[block] = (uint32_t)(at / 512);
    v->end = next;
    return 0;
}

static int vpc_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct vpc *v = blk_state(n);
    const uint8_t *p = buf;
    uint64_t host, run;
    int rc = 0;

    if (flags & BLK_COMPRESSED) return -ENOTSUP;
    for (; len && !rc; p += run, offset += run, len -= (size_t)run) {
        if (place(v, offset, len, &host, &run)) {
            if (!v->fixed) {
                uint32_t block = (uint32_t)(offset / v->block_size);
                rc = fill_bitmap(n, v, block, (uint64_t)v->table[block] * 512);
            }
            if (!rc) rc = blk_node_write(blk_file(n), host, p, (size_t)run, 0);
        } else {
            rc = allocate(n, v, offset, p, run);
        }
    }
    return rc;
}

static int vpc_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct vpc *v = blk_state(n);
    uint64_t host, run;
    int rc = 0;

    for (; len && !rc; offset += run, len -= run) {
        if (place(v, offset, len, &host, &run)) rc = blk_node_zero(blk_file(n), host, run, flags);
    }
    return rc;
}

static int vpc_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    struct vpc *v = blk_state(n);
    uint64_t host, run;
    int rc = 0;

    for (; len && !rc; offset += run, len -= run) {
        if (place(v, offset, len, &host, &run)) rc = blk_node_discard(blk_file(n), host, run);
    }
    return rc;
}

static int vpc_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct vpc *v = blk_state(n);
    uint64_t host, run, more, next;
    bool data = place(v, offset, len, &host, &run);

    for (; !data && run < len && !place(v, offset + run, len - run, &next, &more); run += more) {
    }
    st->bytes = run;
    st->flags = data ? BLK_ST_DATA | BLK_ST_OFFSET : BLK_ST_ZERO;
    if (data) st->offset = host, st->file = blk_file(n), st->flags |= v->fixed ? BLK_ST_RECURSE : 0;
    return 0;
}

static int vpc_info(struct blk_node *n, struct blk_info *i)
{
    struct vpc *v = blk_state(n);
    if (!v->fixed) i->cluster_size = v->block_size, i->zero_init = true;
    return 0;
}

/* ---- creating ------------------------------------------------------------------------------------- */

struct chs { uint32_t cylinders, heads, sectors; };

/* The appendix "CHS calculation" of the specification. */
static struct chs geometry(uint64_t total)
{
    struct chs g = {0, 16, 255};
    uint64_t tracks;

    total = MIN(total, (uint64_t)VHD_CHS_MAX);
    if (total >= 65535u * 16 * 63) {
        tracks = total / 255;
    } else {
        g.sectors = 17;
        tracks = total / 17;
        g.heads = MAX((uint32_t)((tracks + 1023) / 1024), 4);
        if (tracks >= (uint64_t)g.heads * 1024 || g.heads > 16) g.sectors = 31, g.heads = 16, tracks = total / 31;
        if (tracks >= (uint64_t)g.heads * 1024) g.sectors = 63, g.heads = 16, tracks = total / 63;
    }
    g.cylinders = (uint32_t)(tracks / g.heads);
    return g;
}

static uint64_t chs_sectors(struct chs g) { return (uint64_t)g.cylinders * g.heads * g.sectors; }

static void make_footer(uint8_t *f, bool fixed, uint64_t size, struct chs g)
{
    memset(f, 0, 512);
    memcpy(f, "conectix", 8);
    st32_be(f + F_FEATURES, 2);
    st32_be(f + F_VERSION, 0x10000);
    st64_be(f + F_NEXT, fixed ? UINT64_MAX : 512);
    st32_be(f + F_TIME, (uint32_t)((uint64_t)time(NULL) - VHD_EPOCH));
    memcpy(f + F_CREATOR, "qurn", 4);
    st32_be(f + F_CREATOR_VERSION, 0x50003);
    memcpy(f + F_OS, "Wi2k", 4);
    st64_be(f + F_ORIGINAL, size);
    st64_be(f + F_SIZE, size);
    st16_be(f + F_CYLINDERS, (uint16_t)g.cylinders);
    f[F_HEADS] = (uint8_t)g.heads, f[F_SECTORS] = (uint8_t)g.sectors;
    st32_be(f + F_TYPE, fixed ? VHD_FIXED : VHD_DYNAMIC);
    img_uuid(f + F_UUID);
    st32_be(f + F_SUM, sum_of(f, 512, F_SUM));
}

static int vpc_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    const char *sub = opts_get(o, "subformat");
    bool fixed = sub && !strcmp(sub, "fixed");
    uint64_t sectors = (opts_size(o, "size", 0) + 511) / 512, size, entries, table;
    struct chs c = {65535, 16, 255};
    uint8_t *h;
    int rc;

    if (sub && !fixed && strcmp(sub, "dynamic")) return error_set(e, "Invalid parameter '%s' for subformat", sub), -EINVAL;
    if (sectors * 512 > VHD_MAX) return error_set(e, "The image size is too large for file format 'vpc'"), -EFBIG;
    if (!opts_bool(o, "force_size", false) && sectors < VHD_CHS_MAX) {
        /* the next larger size that has a geometry */
        uint64_t want = sectors;
        for (uint64_t i = 0; c = geometry(want + i), chs_sectors(c) < want; i++) {
        }
        sectors = chs_sectors(c);
    }
    size = sectors * 512;
    struct blk_node *file = blk_create_file(g, filename, 0, o, e);
    if (!file) return -EIO;
    if (fixed) {
        h = mem_alloc(512);
        make_footer(h, true, size, c);
        rc = blk_node_truncate(file, size + 512, BLK_PREALLOC_OFF, e);
        if (!rc) rc = blk_node_write(file, size, h, 512, 0);
    } else {
        entries = (size + VHD_BLOCK - 1) / VHD_BLOCK, table = ALIGN_UP(entries * 4, (uint64_t)512);
        h = mem_zalloc((size_t)(1536 + table + 512));
        make_footer(h, false, size, c);
        uint8_t *d = h + 512;
        memcpy(d, "cxsparse", 8);
        st64_be(d + D_NEXT, UINT64_MAX);
        st64_be(d + D_TABLE, 1536);
        st32_be(d + D_VERSION, 0x10000);
        st32_be(d + D_ENTRIES, (uint32_t)entries);
        st32_be(d + D_BLOCK, VHD_BLOCK);
        st32_be(d + D_SUM, sum_of(d, 1024, D_SUM));
        memset(h + 1536, 0xff, (size_t)table);
        memcpy(h + 1536 + table, h, 512);
        rc = blk_node_write(file, 512, h + 512, (size_t)(1536 + table), 0);
        if (!rc) rc = blk_node_write(file, 0, h, 512, 0);
    }
    if (rc) error_set(e, "Error writing '%s': %s", filename, strerror(-rc));
    mem_free(h);
    blk_node_unref(file);
    return rc;
}

static const struct blk_create_opt vpc_create_opts[] = {
    {"force_size", OPT_BOOL,
     "Force disk size calculation to use the actual size specified, rather than using the nearest CHS-based calculation", NULL},
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {"subformat", OPT_STRING, "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

const struct blk_driver blk_drv_vpc = {
    .name = "vpc",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_READERS,
    .state_size = sizeof(struct vpc),
    .create_opts = vpc_create_opts,
    .probe = vpc_probe,
    .open = vpc_open,
    .close = vpc_close,
    .create = vpc_create,
    .read = vpc_read,
    .write = vpc_write,
    .zero = vpc_zero,
    .discard = vpc_discard,
    .status = vpc_status,
    .info = vpc_info,
};
