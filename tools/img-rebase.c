/*
 * img-rebase.c - quern-img rebase and commit: images and the backing files below them.
 */
#include "tools/img.h"

#include <errno.h>
#include <stdio.h>

#define CHUNK (2u << 20)

/* ---- rebase --------------------------------------------------------------------------------------- */

/* What a backing file shows: zeros beyond its end, or when there is none. */
static int read_below(struct blk_backend *b, uint64_t at, uint8_t *buf, size_t n)
{
    uint64_t size = b ? blk_size(b) : 0;
    size_t have = at < size ? (size_t)MIN((uint64_t)n, size - at) : 0;

    memset(buf + have, 0, n - have);
    return have ? blk_read(b, at, buf, have) : 0;
}

/* Writes what differs between the old and the new backing file, where the image does not decide itself. */
static int keep_contents(struct blk_backend *b, struct blk_backend *old, struct blk_backend *new, uint32_t unit,
                         struct img_progress *p)
{
    uint8_t *x = mem_alloc(CHUNK), *y = mem_alloc(CHUNK);
    uint64_t size = blk_size(b);
    int rc = 0;

    for (uint64_t at = 0; at < size && !rc;) {
        struct blk_status st;
        rc = blk_node_status(blk_root(b), at, size - at, &st);
        if (rc) {
            error_report("error while reading image metadata: %s", strerror(-rc));
            break;
        }
        if (!(st.flags & BLK_ST_ALLOCATED)) {
            st.bytes = MIN(st.bytes, (uint64_t)CHUNK);
            if ((rc = read_below(old, at, x, (size_t)st.bytes))) error_report("error while reading from old backing file");
            if (!rc && (rc = read_below(new, at, y, (size_t)st.bytes)))
                error_report("error while reading from new backing file");
            for (uint64_t k = 0; k < st.bytes && !rc;) {
                uint64_t n = MIN(st.bytes - k, unit - (at + k) % unit);
                if (memcmp(x + k, y + k, (size_t)n)) {
                    rc = img_is_zero(x + k, (size_t)n) ? blk_zero(b, at + k, n, 0) : blk_write(b, at + k, x + k, (size_t)n);
                    if (rc) error_report("Error while writing to COW image: %s", strerror(-rc));
                }
                k += n;
            }
        }
        at += st.bytes;
        img_progress_show(p, at, size);
    }
    mem_free(x);
    mem_free(y);
    return rc;
}

int img_rebase(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {IMG_LONGS, IMG_LONG_SHARE, IMG_LONGS_END};
    const char *base = NULL, *base_format = NULL;
    struct blk_backend *b, *old = NULL, *new = NULL;
    struct img_progress p = {false, 0};
    struct img_args a = {0};
    struct error e = ERROR_INIT;
    struct blk_node *below;
    struct blk_info info;
    unsigned flags = 0;
    bool unsafe = false;
    int c, rc = 0;

    while ((c = img_getopt(g, &a, argc, argv, ":hf:F:b:upt:T:qU", longs)) >= 0) {
        switch (c) {
        case 'F': base_format = optarg; break;
        case 'b': base = optarg; break;
        case 'u': unsafe = true; break;
        }
    }
    if (c == IMG_STOP) return a.status;
    if (a.quiet) a.progress = false;
    if (argc - optind != 1) return img_usage("Expecting one image file name");
    if (!unsafe && !base) return img_usage("Must specify backing file (-b) or use unsafe mode (-u)");
    if (a.src_cache && blk_parse_cache(a.src_cache, &flags))
        return error_report("Invalid source cache option: %s", a.src_cache), 1;
    b = img_open(g, argv[optind], &a, a.format, a.cache, unsafe ? BLK_NO_BACKING : 0);
    if (!b) return 1;
    if (base_format && !blk_driver_known(base_format)) {
        error_report("Invalid format name: '%s'", base_format);
        rc = 1;
    } else if (base && *base && !base_format) {
        error_report("Could not change the backing file to '%s': backing format must be specified", base);
        rc = 1;
    }
    if (rc) goto out;
    if (!unsafe) {
        below = blk_node_backing(blk_root(b));
        if (below) old = blk_attach(g, below, BLK_PERM_READ, BLK_PERM_ALL, BLK_RDONLY, &e);
        if (below && !old) rc = img_fail(&e);
        if (!rc && *base) {
            char *path = blk_path_combine(argv[optind], base);
            new = blk_open_in(g, path, base_format, NULL, BLK_RDONLY | flags, &e);
            mem_free(path);
            if (!new) error_prefix(&e, "Could not open new backing file '%s'", base), rc = img_fail(&e);
        }
        if (rc) goto out;
        if (blk_node_info(blk_root(b), &info) || !info.cluster_size) info.cluster_size = 65536;
        img_progress_start(&p, a.progress);
        rc = keep_contents(b, old, new, info.cluster_size, &p);
    }
    if (!rc) {
        rc = blk_change_backing(blk_root(b), base && *base ? base : NULL, base && *base ? base_format : NULL, &e);
        if (rc == -ENOTSUP)
            error_report("Could not change the backing file to '%s': %s", base ? base : "", strerror(ENOTSUP));
        else if (rc) error_prefix(&e, "Could not change the backing file to '%s'", base ? base : ""), img_fail(&e);
    }
    if (!rc && (rc = blk_flush(b))) error_report("Could not flush '%s': %s", argv[optind], strerror(-rc));
    if (!rc) img_progress_end(&p);
out:
    blk_close(new);
    blk_close(old);
    blk_close(b);
    return rc != 0;
}

/* ---- commit --------------------------------------------------------------------------------------- */

static struct blk_node *chain_find(struct blk_node *top, const char *image, const char *name)
{
    char *full = blk_path_combine(image, name);
    struct blk_node *n = blk_node_backing(top);

    while (n && strcmp(blk_node_filename(n), full) && strcmp(blk_node_filename(n), name)) n = blk_node_backing(n);
    mem_free(full);
    return n;
}

static int commit_data(struct blk_backend *top, struct blk_backend *base, struct img_progress *p, uint64_t rate)
{
    uint64_t size = blk_size(top), copied = 0;
    uint8_t *buf = mem_alloc(CHUNK);
    double start = img_seconds();
    int rc = 0;

    for (uint64_t at = 0; at < size && !rc;) {
        struct blk_status st;
        rc = blk_status(top, at, size - at, blk_root(base), &st);
        if (rc) break;
        if (st.flags & BLK_ST_ALLOCATED) {
            if (!(st.flags & BLK_ST_ZERO)) st.bytes = MIN(st.bytes, (uint64_t)CHUNK);
            if (st.flags & BLK_ST_ZERO) rc = blk_zero(base, at, st.bytes, BLK_MAY_UNMAP);
            else if (!(rc = blk_read(top, at, buf, (size_t)st.bytes))) rc = blk_write(base, at, buf, (size_t)st.bytes);
            copied += st.bytes;
            img_limit(start, copied, rate);
        }
        at += st.bytes;
        img_progress_show(p, at, size);
    }
    mem_free(buf);
    return rc ? rc : blk_flush(base);
}

int img_commit(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {IMG_LONGS, IMG_LONGS_END};
    struct img_args a = {0};
    struct img_progress p = {false, 0};
    struct error e = ERROR_INIT;
    struct blk_backend *b, *to = NULL;
    struct blk_node *base;
    const char *base_name = NULL;
    bool keep = false;
    uint64_t rate = 0;
    int c, rc = 1;

    while ((c = img_getopt(g, &a, argc, argv, ":f:ht:b:dpqr:", longs)) >= 0) {
        switch (c) {
        case 'b': base_name = optarg, keep = true; break; /* images between would become wrong when emptied */
        case 'd': keep = true; break;
        case 'r':
            if (img_parse_size(optarg, "rate limit", &rate)) return 1;
            break;
        }
    }
    if (c == IMG_STOP) return a.status;
    if (a.quiet) a.progress = false;
    if (argc - optind != 1) return img_usage("Expecting one image file name");
    b = img_open(g, argv[optind], &a, a.format, a.cache ? a.cache : "writeback", BLK_UNMAP);
    if (!b) return 1;
    base = base_name ? chain_find(blk_root(b), argv[optind], base_name) : blk_node_backing(blk_root(b));
    if (!base) {
        if (base_name) error_report("Did not find '%s' in the backing chain of '%s'", base_name, argv[optind]);
        else error_report("Image does not have a backing file");
        goto out;
    }
    to = blk_attach(g, base, BLK_PERM_READ, BLK_PERM_ALL, BLK_RDONLY, &e);
    if (!to || blk_reopen(to, blk_flags(to) & ~(unsigned)BLK_RDONLY, &e)) {
        error_prefix(&e, "Could not open '%s' for writing", blk_node_filename(base));
        img_fail(&e);
        goto out;
    }
    if (blk_size(to) < blk_size(b) && blk_truncate(to, blk_size(b), BLK_PREALLOC_OFF, &e)) {
        img_fail(&e);
        goto out;
    }
    img_progress_start(&p, a.progress);
    rc = commit_data(b, to, &p, rate);
    if (rc) error_report("Could not commit '%s' into '%s': %s", argv[optind], blk_node_filename(base), strerror(-rc));
    if (!rc && !keep && (rc = blk_make_empty(b, &e)) == -ENOTSUP) rc = 0; /* it shows the same either way */
    else if (rc && e.set) error_prefix(&e, "Could not empty %s", argv[optind]), img_fail(&e);
    if (!rc) {
        img_progress_end(&p);
        if (!a.quiet) printf("Image committed.\n");
    }
out:
    blk_close(to);
    blk_close(b);
    return rc != 0;
}
