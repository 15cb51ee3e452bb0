/*
 * nbd-image.c - what quern-nbd exports: an image, a part of it, a partition, an internal snapshot.
 */
#include "tools/nbd.h"

#include <stdio.h>

static struct blk_backend *fail(struct error *e, struct blk_backend *b)
{
    error_print(e);
    blk_close(b);
    return NULL;
}

/* ---- partitions (master boot record) --------------------------------------------------------------- */

struct part { uint8_t type; uint64_t start, sectors; };

static bool entry(const uint8_t *mbr, unsigned i, struct part *p)
{
    const uint8_t *x = mbr + 0x1be + 16 * i;

    *p = (struct part){x[4], ld32_le(x + 8), ld32_le(x + 12)};
    return p->type && p->sectors;
}

static bool extended(const struct part *p) { return p->type == 0x05 || p->type == 0x0f || p->type == 0x85; }

static int find_partition(struct blk_backend *b, unsigned number, uint64_t *offset, uint64_t *size)
{
    uint8_t mbr[512], ebr[512];
    struct part p, l, next;
    unsigned n = 5;

    if (blk_size(b) < 512 || blk_read(b, 0, mbr, sizeof mbr)) return error_report("error while reading"), -1;
    if (mbr[510] != 0x55 || mbr[511] != 0xaa) return error_report("the image has no partition table (MBR)"), -1;
    for (unsigned i = 0; i < 4; i++) {
        if (!entry(mbr, i, &p)) continue;
        if (number == i + 1 && !extended(&p)) goto found;
        if (!extended(&p)) continue;
        /* A chain of tables, each with a logical partition and the next table: it may be made to lead in a circle. */
        uint64_t at = p.start;
        for (unsigned links = 0; links < 256; links++) {
            if (at >= blk_size(b) / 512 || blk_read(b, at * 512, ebr, sizeof ebr) || ebr[510] != 0x55 || ebr[511] != 0xaa) break;
            if (entry(ebr, 0, &l) && n++ == number) {
                l.start += at;
                p = l;
                goto found;
            }
            if (!entry(ebr, 1, &next) || !extended(&next)) break;
            at = p.start + next.start;
        }
    }
    return error_report("Could not find partition %u", number), -1;
found:
    *offset = p.start * 512, *size = p.sectors * 512;
    if (*offset <= blk_size(b) && *size <= blk_size(b) - *offset) return 0;
    return error_report("partition %u ends behind the end of the image", number), -1;
}

/* ---- opening -------------------------------------------------------------------------------------- */

static struct blk_backend *open_part(struct blk_graph *g, struct blk_backend *whole, const struct nbd_image *im,
                                     uint64_t offset, uint64_t size)
{
    struct error e = ERROR_INIT;
    struct blk_backend *b;
    struct opts o = {NULL, 0};
    char *s;

    opts_set(&o, "driver", "raw");
    opts_set(&o, "file", blk_node_name(blk_root(whole)));
    s = mem_printf("%llu", (unsigned long long)offset);
    opts_set(&o, "offset", s);
    mem_free(s);
    s = mem_printf("%llu", (unsigned long long)size);
    if (size) opts_set(&o, "size", s);
    mem_free(s);
    /* The part's node needs the rights that the backend on the whole would keep for itself: it takes them over. */
    struct blk_backend *keep = blk_attach(g, blk_root(whole), 0, BLK_PERM_ALL, im->flags, &e);
    unsigned flags = blk_flags(whole) & ~(unsigned)(BLK_SNAPSHOT | BLK_PROBED);
    blk_close(whole);
    b = keep ? blk_open_opts(g, &o, flags, &e) : NULL;
    blk_close(keep);
    opts_free(&o);
    return b ? b : fail(&e, NULL);
}

struct blk_backend *nbd_open_image(struct blk_graph *g, const struct nbd_image *im)
{
    struct error e = ERROR_INIT;
    struct blk_backend *b = NULL;
    uint64_t offset = im->offset, size = 0;

    if (im->image_opts) {
        struct opts o;
        if (!opts_parse(&o, im->name, NULL, NULL, &e)) b = blk_open_opts(g, &o, im->flags, &e);
        opts_free(&o);
    } else {
        b = blk_open_in(g, im->name, im->format, NULL, im->flags, &e);
    }
    if (!b) return error_prefix(&e, "Failed to open '%s'", im->name), fail(&e, NULL);
    if ((im->load_snapshot && img_load_snapshot(b, im->load_snapshot)) ||
        (im->partition && find_partition(b, im->partition, &offset, &size))) {
        blk_close(b);
        return NULL;
    }
    if (!offset && !size) return b;
    if (offset >= blk_size(b)) {
        error_set(&e, "Invalid offset '%llu': the image ends before", (unsigned long long)offset);
        return fail(&e, b);
    }
    return open_part(g, b, im, offset, size);
}
