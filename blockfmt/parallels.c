/*
 * parallels.c - Parallels expandable disks, both signatures, after the published description of the format by Parallels
 * (a header of 64 bytes, a table of 32-bit numbers, clusters). Little endian.
 *
 * Not here: the extension that holds dirty bitmaps; an image that has one is opened for reading, and for writing only by
 * losing nothing, so not.
 *
 * Order on disk: a cluster's bytes before the entry that points to it. While an image is open for writing its header
 * says so, and an image that says so was not closed.
 */
#include "blockfmt/imgutil.h"

#define OLD_MAGIC "WithoutFreeSpace" /* entries count sectors */
#define EXT_MAGIC "WithouFreSpacExt" /* entries count clusters */
#define IN_USE    0x746f6e59u
#define SECTOR    512u
#define DEFAULT_CLUSTER (1u << 20)
enum { H_VERSION = 16, H_HEADS = 20, H_CYLINDERS = 24, H_TRACKS = 28, H_ENTRIES = 32, H_SECTORS = 36, H_IN_USE = 44,
       H_DATA = 48, H_FLAGS = 52, H_EXT = 56, H_SIZE = 64 };

struct parallels {
    uint32_t *table; /* host byte order; 0: not there */
    uint32_t entries, unit; /* unit: sectors an entry counts */
    uint32_t cluster;
    uint64_t data, end;     /* where clusters start, and where the next one goes */
    bool unclean, marked;
};

static int parallels_probe(const uint8_t *b, size_t n, const char *filename)
{
    if (n < H_SIZE || (memcmp(b, OLD_MAGIC, 16) && memcmp(b, EXT_MAGIC, 16))) return 0;
    return ld32_le(b + H_VERSION) == 2 ? 100 : 0;
}

static int mark(struct blk_node *n, bool in_use)
{
    struct parallels *p = blk_state(n);
    uint8_t le[4];
    int rc;

    st32_le(le, in_use ? IN_USE : 0);
    rc = blk_node_write(blk_file(n), H_IN_USE, le, 4, 0);
    if (!rc) rc = blk_node_flush(blk_file(n));
    if (!rc) p->marked = in_use;
    return rc;
}

static int parallels_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct parallels *p = blk_state(n);
    uint8_t h[H_SIZE];
    uint64_t sectors, file = blk_node_size(blk_file(n));
    bool ext;
    int rc = blk_node_read(blk_file(n), 0, h, sizeof h);

    if (rc) return img_io_error(e, n, "the header", rc);
    ext = !memcmp(h, EXT_MAGIC, 16);
    if (!ext && memcmp(h, OLD_MAGIC, 16)) return error_set(e, "Image not in Parallels format"), -EINVAL;
    if (ld32_le(h + H_VERSION) != 2) return img_bad(e, n, "unsupported version", ld32_le(h + H_VERSION));
    uint32_t tracks = ld32_le(h + H_TRACKS);
    if (!tracks) return img_bad(e, n, "Invalid image: Zero sectors per track", 0);
    if (tracks > INT32_MAX / SECTOR) return img_bad(e, n, "Invalid image: Too big cluster", tracks);
    p->cluster = tracks * SECTOR, p->unit = ext ? tracks : 1;
    sectors = ext ? ld64_le(h + H_SECTORS) : ld32_le(h + H_SECTORS);
    if (sectors > (INT64_MAX >> 9)) return img_bad(e, n, "Invalid image: Too many sectors", sectors);
    p->entries = ld32_le(h + H_ENTRIES);
    if (p->entries > INT32_MAX / 4) return img_bad(e, n, "Catalog too large", p->entries);
    if ((uint64_t)p->entries * tracks < sectors) return img_bad(e, n, "the catalog is too small for the disk", p->entries);
    uint64_t table_end = H_SIZE + (uint64_t)p->entries * 4;
    p->data = (uint64_t)ld32_le(h + H_DATA) * SECTOR;
    if (!p->data) p->data = ALIGN_UP(table_end, ext ? (uint64_t)p->cluster : SECTOR);
    if (p->data < table_end) return img_bad(e, n, "data offset inside the catalog", p->data);
    p->unclean = ld32_le(h + H_IN_USE) == IN_USE;
    if (p->unclean && !(flags & (BLK_RDONLY | BLK_CHECK))) {
        error_set(e, "parallels: Image was not closed correctly; cannot be opened read/write");
        error_hint(e, "Repair it with 'check -r all' first");
        return -EACCES;
    }
    if (ext && ld64_le(h + H_EXT) && !(flags & BLK_RDONLY))
        return error_set(e, "parallels: the image has a format extension, which this build does not keep; open it read-only"),
               -ENOTSUP;
    rc = img_read_table(n, "the catalog", H_SIZE, p->entries, 4, &p->table, e);
    if (rc) return rc;
    p->end = MAX(p->data, file - file % SECTOR);
    if (p->end > p->data) p->end = p->data + ALIGN_UP(p->end - p->data, (uint64_t)p->cluster);
    for (uint32_t i = 0; i < p->entries; i++) {
        uint64_t at = (uint64_t)(p->table[i] = ld32_le(&p->table[i])) * p->unit * SECTOR;
        if (!at || (flags & BLK_CHECK)) continue;
        if (at < p->data || at >= file) {
            error_set(e, "parallels: entry %u of the catalog points outside the file (offset 0x%llx)", i, (unsigned long long)at);
            mem_free(p->table);
            return -EINVAL;
        }
        p->end = MAX(p->end, at + p->cluster);
    }
    if (!(flags & (BLK_RDONLY | BLK_CHECK))) {
        rc = mark(n, true);
        if (rc) {
            mem_free(p->table);
            return img_io_error(e, n, "the header", rc);
        }
    }
    blk_set_size(n, sectors * SECTOR);
    return 0;
}

/* What lies behind the last cluster that is used has been reserved or lost: it goes. */
static void parallels_close(struct blk_node *n)
{
    struct parallels *p = blk_state(n);

    if (p->marked) (void)mark(n, false);
    mem_free(p->table);
}

static int parallels_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    struct parallels *p = blk_state(n);
    bool want = !(flags & BLK_RDONLY);
    int rc;

    if (prepare) {
        if (want && p->unclean && !p->marked)
            return error_set(e, "parallels: Image was not closed correctly; cannot be opened read/write"), -EACCES;
        return 0;
    }
    if (want == p->marked) return 0;
    rc = mark(n, want);
    return rc ? img_io_error(e, n, "the header", rc) : 0;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static bool place(const struct parallels *p, uint64_t offset, uint64_t len, uint64_t *host, uint64_t *run)
{
    uint64_t in = offset % p->cluster, at = (uint64_t)p->table[offset / p->cluster] * p->unit * SECTOR;

    *run = MIN(len, p->cluster - in);
    *host = at + in;
    return at != 0;
}

static int parallels_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct parallels *p = blk_state(n);
    uint8_t *b = buf;
    uint64_t host, run;
    int rc = 0;

    for (; len && !rc; b += run, offset += run, len -= (size_t)run) {
        if (place(p, offset, len, &host, &run)) rc = blk_node_read(blk_file(n), host, b, (size_t)run);
        else memset(b, 0, (size_t)run);
    }
    return rc;
}

static int allocate(struct blk_node *n, struct parallels *p, uint64_t offset, const uint8_t *b, uint64_t run)
{
    struct blk_node *file = blk_file(n);
    uint64_t i = offset / p->cluster, at = p->end, unit = (uint64_t)p->unit * SECTOR;
    uint8_t le[4];
    int rc = 0;

    at = (at + unit - 1) / unit * unit;
    if (at / unit > UINT32_MAX) return -ENOSPC;
    if (run < p->cluster) rc = img_clear(file, at, p->cluster);
    if (!rc) rc = blk_node_write(file, at + offset % p->cluster, b, (size_t)run, 0);
    st32_le(le, (uint32_t)(at / unit));
    if (!rc) rc = blk_node_write(file, H_SIZE + i * 4, le, 4, 0);
    if (rc) return rc;
    p->table[i] = (uint32_t)(at / unit);
    p->end = at + p->cluster;
    return 0;
}

static int parallels_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct parallels *p = blk_state(n);
    const uint8_t *b = buf;
    uint64_t host, run;
    int rc = 0;

    if (flags & BLK_COMPRESSED) return -ENOTSUP;
    for (; len && !rc; b += run, offset += run, len -= (size_t)run) {
        if (place(p, offset, len, &host, &run)) rc = blk_node_write(blk_file(n), host, b, (size_t)run, 0);
        else rc = allocate(n, p, offset, b, run);
    }
    return rc;
}

static int parallels_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct parallels *p = blk_state(n);
    uint64_t host, run;
    int rc = 0;

    for (; len && !rc; offset += run, len -= run) {
        if (place(p, offset, len, &host, &run)) rc = blk_node_zero(blk_file(n), host, run, flags);
    }
    return rc;
}

static int parallels_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct parallels *p = blk_state(n);
    uint64_t host, run, more, next;
    bool data = place(p, offset, len, &host, &run);

    for (; run < len; run += more) {
        if (place(p, offset + run, len - run, &next, &more) != data || (data && next != host + run)) break;
    }
    st->bytes = run;
    if (data) st->flags = BLK_ST_DATA | BLK_ST_OFFSET, st->offset = host, st->file = blk_file(n);
    return 0;
}

static int parallels_info(struct blk_node *n, struct blk_info *i)
{
    struct parallels *p = blk_state(n);

    i->dirty = p->unclean && !p->marked;
    i->zero_init = true;
    return 0;
}

/* ---- check ---------------------------------------------------------------------------------------- */

static int write_entry(struct blk_node *n, struct parallels *p, uint32_t i)
{
    uint8_t le[4];
    st32_le(le, p->table[i]);
    return blk_node_write(blk_file(n), H_SIZE + (uint64_t)i * 4, le, 4, 0);
}

static int by_host(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static int parallels_check(struct blk_node *n, unsigned fix, struct blk_check *c, struct error *e)
{
    struct parallels *p = blk_state(n);
    uint64_t file = blk_node_size(blk_file(n)), high = 0, previous = 0;
    uint32_t *sorted = mem_alloc((size_t)p->entries * 4 + 4), used = 0;
    int rc = 0;

    if (p->unclean) {
        img_check_line(c, "%s image was not closed correctly", fix & BLK_FIX_ERRORS ? "Repairing" : "ERROR");
        if (fix & BLK_FIX_ERRORS) {
            rc = mark(n, false);
            if (!rc) p->unclean = false, c->corruptions_fixed++;
        } else {
            c->corruptions++;
        }
    }
    for (uint32_t i = 0; i < p->entries && !rc; i++) {
        uint64_t at = (uint64_t)p->table[i] * p->unit * SECTOR;
        if (!at) {
            previous = 0; /* neighbours on the disk are what counts */
            continue;
        }
        if (at < p->data || at >= file || p->cluster > file - at) {
            img_check_line(c, "%s cluster %u is outside image", fix & BLK_FIX_ERRORS ? "Repairing" : "ERROR", i);
            /* A last cluster that is cut short keeps what it has: zeros follow. */
            if (!(fix & BLK_FIX_ERRORS)) {
                c->corruptions++;
            } else if (at >= p->data && at < file) {
                rc = img_clear(blk_file(n), file, at + p->cluster - file);
                file = blk_node_size(blk_file(n));
                c->corruptions_fixed += !rc;
            } else {
                p->table[i] = 0;
                rc = write_entry(n, p, i);
                c->corruptions_fixed += !rc;
                continue;
            }
        }
        if (at < file) sorted[used++] = p->table[i];
        if (at < file) high = MAX(high, at + p->cluster);
        c->allocated_clusters++;
        if (previous && at != previous + p->cluster) c->fragmented_clusters++;
        previous = at;
    }
    qsort(sorted, used, 4, by_host);
    for (uint32_t i = 1; i < used; i++) {
        if ((uint64_t)(sorted[i] - sorted[i - 1]) * p->unit * SECTOR >= p->cluster) continue;
        img_check_line(c, "ERROR: two clusters share the bytes at offset 0x%llx",
                       (unsigned long long)((uint64_t)sorted[i] * p->unit * SECTOR));
        c->corruptions++;
    }
    mem_free(sorted);
    c->total_clusters = p->entries;
    c->image_end_offset = MAX(high, p->data);
    if (!rc && file > c->image_end_offset) {
        uint64_t lost = (file - c->image_end_offset + p->cluster - 1) / p->cluster;
        img_check_line(c, "%s space leaked at the end of the image %llu", fix & BLK_FIX_LEAKS ? "Repairing" : "ERROR",
                       (unsigned long long)(file - c->image_end_offset));
        if (fix & BLK_FIX_LEAKS) {
            rc = blk_node_truncate(blk_file(n), c->image_end_offset, BLK_PREALLOC_OFF, e);
            if (!rc) c->leaks_fixed += lost, p->end = c->image_end_offset;
        } else {
            c->leaks += lost;
        }
    }
    return rc;
}

/* ---- creating ------------------------------------------------------------------------------------- */

static int parallels_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    uint64_t size = opts_size(o, "size", 0), cluster = opts_size(o, "cluster_size", DEFAULT_CLUSTER), entries, head, cyl;
    uint8_t *h;
    int rc;

    if (cluster < SECTOR || cluster % SECTOR || cluster >= INT32_MAX)
        return error_set(e, "Cluster size must be a multiple of 512 bytes, at least 512 and less than 2 GiB"), -EINVAL;
    entries = (size + cluster - 1) / cluster;
    if (entries >= INT32_MAX / 4) return error_set(e, "Image size is too large for this cluster size"), -E2BIG;
    size = ALIGN_UP(size, (uint64_t)SECTOR);
    head = (H_SIZE + entries * 4 + cluster - 1) / cluster * cluster;
    cyl = MIN(size / SECTOR / 16 / 32, (uint64_t)UINT32_MAX);
    struct blk_node *file = blk_create_file(g, filename, 0, o, e);
    if (!file) return -EIO;
    h = mem_zalloc(SECTOR);
    memcpy(h, EXT_MAGIC, 16);
    st32_le(h + H_VERSION, 2);
    st32_le(h + H_HEADS, 16);
    st32_le(h + H_CYLINDERS, (uint32_t)cyl);
    st32_le(h + H_TRACKS, (uint32_t)(cluster / SECTOR));
    st32_le(h + H_ENTRIES, (uint32_t)entries);
    st64_le(h + H_SECTORS, size / SECTOR);
    st32_le(h + H_DATA, (uint32_t)(head / SECTOR));
    rc = blk_node_truncate(file, head, BLK_PREALLOC_OFF, e);
    if (!rc) rc = blk_node_write(file, 0, h, SECTOR, 0);
    if (rc) error_set(e, "Failed to create Parallels image '%s': %s", filename, strerror(-rc));
    mem_free(h);
    blk_node_unref(file);
    return rc;
}

static const struct blk_create_opt parallels_create_opts[] = {
    {"cluster_size", OPT_SIZE, "Parallels image cluster size", "1048576"},
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

const struct blk_driver blk_drv_parallels = {
    .name = "parallels",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_READERS,
    .state_size = sizeof(struct parallels),
    .create_opts = parallels_create_opts,
    .probe = parallels_probe,
    .open = parallels_open,
    .close = parallels_close,
    .reopen = parallels_reopen,
    .create = parallels_create,
    .read = parallels_read,
    .write = parallels_write,
    .zero = parallels_zero,
    .status = parallels_status,
    .info = parallels_info,
    .check = parallels_check,
};
