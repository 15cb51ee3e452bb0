/*
 * img-query.c - quern-img compare, map and measure: what images hold and need, nothing is changed.
 */
#include "tools/img.h"

#include <errno.h>
#include <stdio.h>

#define CHUNK (2u << 20)

/* ---- compare -------------------------------------------------------------------------------------- */

struct comparison {
    struct blk_backend *b[2];
    const char *name[2];
    uint8_t *buf[2];
    bool strict, quiet;
    uint64_t total; /* of the progress */
    struct img_progress progress;
};

static int say(const struct comparison *k, int rc, const char *fmt, uint64_t offset)
{
    if (!k->quiet) printf(fmt, (unsigned long long)offset), printf("\n");
    return rc;
}

static int read_failed(const struct comparison *k, unsigned i, uint64_t at, int rc)
{
    error_report("Error while reading offset %llu of %s: %s", (unsigned long long)at, k->name[i], strerror(-rc));
    return 4;
}

/* The first sector that differs from the other buffer (NULL: from zeros), or n. */
static size_t differs(const uint8_t *a, const uint8_t *b, size_t n)
{
    if (b ? !memcmp(a, b, n) : img_is_zero(a, n)) return n;
    for (size_t at = 0; at < n; at += 512) {
        size_t k = MIN(n - at, 512);
        if (b ? memcmp(a + at, b + at, k) != 0 : !img_is_zero(a + at, k)) return at;
    }
    return n;
}

static int compare_data(struct comparison *k, unsigned which, uint64_t at, uint64_t n)
{
    while (n) {
        size_t len = (size_t)MIN(n, (uint64_t)CHUNK), same;
        for (unsigned i = 0; i < 2; i++) {
            int rc = which >> i & 1 ? blk_read(k->b[i], at, k->buf[i], len) : 0;
            if (rc) return read_failed(k, i, at, rc);
        }
        same = which == 3 ? differs(k->buf[0], k->buf[1], len) : differs(k->buf[which - 1], NULL, len);
        if (same < len) return say(k, 1, "Content mismatch at offset %llu!", at + same);
        at += len, n -= len;
        img_progress_show(&k->progress, at, k->total);
    }
    return 0;
}

static int compare_both(struct comparison *k, uint64_t size)
{
    const unsigned seen = BLK_ST_DATA | BLK_ST_ZERO | BLK_ST_ALLOCATED | BLK_ST_OFFSET;

    for (uint64_t at = 0; at < size;) {
        struct blk_status st[2];
        uint64_t n = size - at;
        unsigned which = 0;
        int rc;
        for (unsigned i = 0; i < 2; i++) {
            rc = blk_status(k->b[i], at, n, NULL, &st[i]);
            if (rc) {
                error_report("Sector allocation test failed for %s: %s", k->name[i], strerror(-rc));
                return 3;
            }
            n = MIN(n, st[i].bytes);
            if (!(st[i].flags & BLK_ST_ZERO)) which |= 1u << i;
        }
        if (k->strict && (st[0].flags & seen) != (st[1].flags & seen))
            return say(k, 1, "Strict mode: Offset %llu block status mismatch!", at);
        rc = which ? compare_data(k, which, at, n) : 0;
        if (rc) return rc;
        at += n;
        img_progress_show(&k->progress, at, k->total);
    }
    return 0;
}

static int compare_rest(struct comparison *k, unsigned i, uint64_t at, uint64_t size)
{
    while (at < size) {
        struct blk_status st;
        int rc = blk_status(k->b[i], at, size - at, NULL, &st);
        if (rc) return error_report("Sector allocation test failed for %s: %s", k->name[i], strerror(-rc)), 3;
        rc = st.flags & BLK_ST_ZERO ? 0 : compare_data(k, 1u << i, at, st.bytes);
        if (rc) return rc;
        at += st.bytes;
        img_progress_show(&k->progress, at, k->total);
    }
    return 0;
}

int img_compare(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {IMG_LONGS, IMG_LONG_SHARE, IMG_LONGS_END};
    struct comparison k = {0};
    struct img_args a = {0};
    const char *second = NULL;
    unsigned flags = BLK_RDONLY;
    uint64_t size[2], common;
    int c, rc = 2;

    while ((c = img_getopt(g, &a, argc, argv, ":hf:F:T:pqsU", longs)) >= 0) {
        switch (c) {
        case 'F': second = optarg; break;
        case 's': k.strict = true; break;
        }
    }
    if (c == IMG_STOP) return a.status;
    if (a.quiet) a.progress = false;
    if (argc - optind != 2) return img_usage("Expecting two image file names");
    if (a.src_cache && blk_parse_cache(a.src_cache, &flags))
        return error_report("Invalid source cache option: %s", a.src_cache), 2;
    k.quiet = a.quiet;
    for (unsigned i = 0; i < 2; i++) {
        k.name[i] = argv[optind + (int)i];
        k.b[i] = img_open(g, k.name[i], &a, i ? second : a.format, a.src_cache, BLK_RDONLY);
        if (!k.b[i]) goto out;
        k.buf[i] = mem_alloc(CHUNK);
        size[i] = blk_size(k.b[i]);
    }
    common = MIN(size[0], size[1]), k.total = MAX(size[0], size[1]);
    if (k.strict && size[0] != size[1]) {
        rc = say(&k, 1, "Strict mode: Image size mismatch!", 0);
        goto out;
    }
    img_progress_start(&k.progress, a.progress);
    rc = compare_both(&k, common);
    if (!rc && size[0] != size[1]) {
        say(&k, 0, "Warning: Image size mismatch!", 0);
        rc = compare_rest(&k, size[0] > size[1] ? 0 : 1, common, k.total);
    }
    if (!rc) say(&k, 0, "Images are identical.", 0);
    img_progress_end(&k.progress);
out:
    for (unsigned i = 0; i < 2; i++) mem_free(k.buf[i]), blk_close(k.b[i]);
    return rc;
}

/* ---- map ------------------------------------------------------------------------------------------ */

struct extent {
    uint64_t start, n;
    struct blk_status st;
};

static bool continues(const struct extent *x, const struct blk_status *st)
{
    const unsigned seen = BLK_ST_DATA | BLK_ST_ZERO | BLK_ST_ALLOCATED | BLK_ST_OFFSET;

    if ((x->st.flags & seen) != (st->flags & seen) || x->st.depth != st->depth) return false;
    return !(st->flags & BLK_ST_OFFSET) || (x->st.file == st->file && x->st.offset + x->n == st->offset);
}

static int show_extent(const struct extent *x, bool json, bool first)
{
    unsigned f = x->st.flags;
    bool data = (f & BLK_ST_DATA) != 0, zero = (f & BLK_ST_ZERO) != 0;
    char text[3][24];

    if (json) {
        printf("%s{ \"start\": %llu, \"length\": %llu, \"depth\": %d, \"present\": %s, \"zero\": %s, \"data\": %s",
               first ? "[" : ",\n", (unsigned long long)x->start, (unsigned long long)x->n, x->st.depth,
               f & BLK_ST_ALLOCATED ? "true" : "false", zero ? "true" : "false", data ? "true" : "false");
        if (f & BLK_ST_OFFSET) printf(", \"offset\": %llu", (unsigned long long)x->st.offset);
        printf("}");
        return 0;
    }
    if (!data || zero) return 0;
    if (!(f & BLK_ST_OFFSET)) return error_report("File contains external, encrypted or compressed clusters."), 1;
    snprintf(text[0], sizeof text[0], x->start ? "0x%llx" : "0", (unsigned long long)x->start);
    snprintf(text[1], sizeof text[1], "0x%llx", (unsigned long long)x->n);
    snprintf(text[2], sizeof text[2], x->st.offset ? "0x%llx" : "0", (unsigned long long)x->st.offset);
    printf("%-16s%-16s%-16s%s\n", text[0], text[1], text[2], x->st.file ? blk_node_filename(x->st.file) : "");
    return 0;
}

int img_map(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {IMG_LONGS, IMG_LONG_OUTPUT, IMG_LONG_SHARE,
                                          {"format", required_argument, NULL, 'f'},
                                          {"start-offset", required_argument, NULL, 's'},
                                          {"max-length", required_argument, NULL, 'l'},
                                          IMG_LONGS_END};
    uint64_t start = 0, length = UINT64_MAX, end;
    struct img_args a = {0};
    struct extent x = {0, 0, {0}};
    bool first = true;
    int c, rc = 0;

    while ((c = img_getopt(g, &a, argc, argv, ":f:s:l:hU", longs)) >= 0) {
        switch (c) {
        case 's':
            if (img_parse_size(optarg, "start offset", &start)) return 1;
            break;
        case 'l':
            if (img_parse_size(optarg, "max length", &length)) return 1;
            break;
        }
    }
    if (c == IMG_STOP) return a.status;
    if (argc - optind != 1) return img_usage("Expecting one image file name");
    struct blk_backend *b = img_open(g, argv[optind], &a, a.format, NULL, BLK_RDONLY);
    if (!b) return 1;
    if (!a.json) printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    end = blk_size(b);
    if (start <= end && length < end - start) end = start + length;
    for (uint64_t at = start; at < end && !rc;) {
        struct blk_status st;
        rc = blk_status(b, at, end - at, NULL, &st);
        if (rc) {
            error_report("Failed to read image metadata: %s", strerror(-rc));
            break;
        }
        if (x.n && continues(&x, &st)) {
            x.n += st.bytes;
        } else {
            if (x.n) rc = show_extent(&x, a.json, first), first = false;
            x = (struct extent){at, st.bytes, st};
        }
        at += st.bytes;
    }
    if (!rc && x.n) rc = show_extent(&x, a.json, first), first = false;
    if (a.json && !rc) printf(first ? "[]\n" : "]\n");
    blk_close(b);
    return rc != 0;
}

/* ---- measure -------------------------------------------------------------------------------------- */

/* qcow2, and not of version 2. */
static bool can_have_bitmaps(struct blk_node *n)
{
    struct json_out j;
    bool yes = false;

    if (strcmp(blk_node_driver(n), "qcow2")) return false;
    jout_init(&j);
    jout_object(&j, NULL);
    yes = blk_node_info_specific(n, &j) && !strstr(j.text, "\"compat\": \"0.10\"");
    jout_free(&j);
    return yes;
}

int img_measure(struct blk_graph *g, int argc, char **argv)
{
    enum { LONG_SIZE = IMG_OWN };
    static const struct option longs[] = {IMG_LONGS, IMG_LONG_OUTPUT, IMG_LONG_SHARE,
                                          {"size", required_argument, NULL, LONG_SIZE},
                                          IMG_LONGS_END};
    struct img_args a = {.output_format = "raw"};
    const char *snapshot = NULL, *filename;
    struct blk_backend *b = NULL;
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    struct blk_measure m;
    uint64_t size = 0;
    bool sized = false, help = false;
    int c, rc = 1;

    while ((c = img_getopt(g, &a, argc, argv, ":hf:l:o:O:U", longs)) >= 0) {
        switch (c) {
        case 'l': snapshot = optarg; break;
        case 'O': a.output_format = optarg; break;
        case 'o':
            c = img_options(&o, optarg);
            if (c < 0) goto out;
            help |= c > 0;
            break;
        case LONG_SIZE:
            if (img_parse_size(optarg, "image size", &size)) goto out;
            sized = true;
            break;
        }
    }
    filename = optind < argc ? argv[optind] : NULL;
    if (c == IMG_STOP) rc = a.status;
    else if (help) rc = img_print_options(a.output_format, NULL);
    else if (argc - optind > 1) error_report("At most one filename argument is allowed.");
    else if (!filename && (a.image_opts || a.format || snapshot))
        error_report("--image-opts, -f, and -l require a filename argument.");
    else if (!filename && !sized) error_report("Either --size N or one filename must be specified.");
    else if (filename && sized) error_report("--size N cannot be used together with a filename.");
    else rc = 0;
    if (rc || help || c == IMG_STOP) goto out;
    rc = 1;
    if (filename) {
        b = img_open(g, filename, &a, a.format, NULL, BLK_RDONLY);
        if (!b || (snapshot && img_load_snapshot(b, snapshot))) goto out;
    } else {
        img_set_size(&o, size);
    }
    if (blk_measure(a.output_format, &o, b, &m, &e)) {
        img_fail(&e);
        goto out;
    }
    bool bitmaps = b && !strcmp(a.output_format, "qcow2") && can_have_bitmaps(blk_root(b));
    if (a.json) {
        struct json_out j;
        jout_init(&j);
        jout_object(&j, NULL);
        if (bitmaps) jout_uint(&j, "bitmaps", m.bitmaps);
        jout_uint(&j, "required", m.required);
        jout_uint(&j, "fully-allocated", m.fully_allocated);
        jout_end(&j, '}');
        printf("%s\n", j.text);
        jout_free(&j);
    } else {
        printf("required size: %llu\nfully allocated size: %llu\n", (unsigned long long)m.required,
               (unsigned long long)m.fully_allocated);
        if (bitmaps) printf("bitmaps size: %llu\n", (unsigned long long)m.bitmaps);
    }
    rc = 0;
out:
    blk_close(b);
    opts_free(&o);
    return rc;
}
