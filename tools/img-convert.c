/*
 * img-convert.c - quern-img convert: copies what the sources hold into a new or existing image. One thread.
 */
#include "tools/img.h"

#include <stdio.h>

#define BUFFER (2u << 20)

enum { LONG_OBJECT = 256, LONG_IMAGE_OPTS };

struct copy {
    struct blk_backend *out;
    uint8_t *buf;
    uint64_t sparse;    /* runs of zeros at least this long are not written; 0: all is written */
    bool compress, out_is_zero, out_has_backing;
    uint32_t unit;      /* of compression */
};

static int write_zeros(struct copy *k, uint64_t at, uint64_t n)
{
    if (!k->sparse) return blk_zero(k->out, at, n, 0);
    return k->out_is_zero ? 0 : blk_zero(k->out, at, n, BLK_MAY_UNMAP);
}

static bool zeros(const uint8_t *p, size_t n) { return !*p && !memcmp(p, p + 1, n - 1); }

static int write_data(struct copy *k, uint64_t at, const uint8_t *p, size_t n)
{
    size_t unit = k->compress ? k->unit : (size_t)MAX(k->sparse, 512);

    while (n) {
        size_t run = MIN(n, unit);
        bool z = k->sparse && zeros(p, run);
        int rc;
        if (!k->compress) {
            while (run < n && (k->sparse && zeros(p + run, MIN(n - run, unit))) == z) run += MIN(n - run, unit);
        }
        rc = z ? write_zeros(k, at, run) : blk_write_flags(k->out, at, p, run, k->compress ? BLK_COMPRESSED : 0);
        if (rc) return rc;
        p += run, at += run, n -= run;
    }
    return 0;
}

static int copy_one(struct copy *k, struct blk_backend *in, uint64_t base, uint64_t total, struct img_progress *p,
                    const char *name)
{
    uint64_t size = blk_size(in);

    for (uint64_t at = 0; at < size;) {
        struct blk_status st;
        int rc = blk_status(in, at, size - at, NULL, &st);
        if (rc) return error_report("error while reading block status at offset %llu of '%s': %s", (unsigned long long)at,
                                    name, strerror(-rc)), rc;
        uint64_t n = st.bytes;
        if ((st.flags & BLK_ST_ZERO) && !(k->compress && (at + base) % k->unit)) {
            if (k->compress && at + n < size) n = n >= k->unit ? n - n % k->unit : 0;
            if (n) {
                rc = write_zeros(k, base + at, n);
                if (rc) return error_report("error while writing at byte %llu: %s", (unsigned long long)(base + at), strerror(-rc)), rc;
                at += n;
                img_progress_show(p, base + at, total);
                continue;
            }
            n = size - at;
        }
        if (k->compress) n = size - at; /* whole clusters, whatever the source's runs */
        n = MIN(n, BUFFER);
        rc = blk_read(in, at, k->buf, (size_t)n);
        if (rc) return error_report("error while reading at byte %llu: %s", (unsigned long long)at, strerror(-rc)), rc;
        rc = write_data(k, base + at, k->buf, (size_t)n);
        if (rc) return error_report("error while writing at byte %llu: %s", (unsigned long long)(base + at), strerror(-rc)), rc;
        at += n;
        img_progress_show(p, base + at, total);
    }
    return 0;
}

int img_convert(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {"object", required_argument, NULL, LONG_OBJECT},
                                          {"image-opts", no_argument, NULL, LONG_IMAGE_OPTS},
                                          {"force-share", no_argument, NULL, 'U'}, {NULL, 0, NULL, 0}};
    struct img_args a = {.output_format = "raw", .cache = "unsafe"};
    struct blk_backend **in = NULL;
    struct opts o = {NULL, 0};
    struct copy k = {.sparse = 4096};
    struct img_progress p;
    struct error e = ERROR_INIT;
    bool no_create = false, help = false;
    uint64_t total = 0, base = 0;
    int c, n = 0, rc = 1;

    while ((c = getopt_long(argc, argv, "hcf:O:o:S:pqnt:T:U", longs, NULL)) != -1) {
        switch (c) {
        case 'c': k.compress = true; break;
        case 'f': a.format = optarg; break;
        case 'O': a.output_format = optarg; break;
        case 'p': a.progress = true; break;
        case 'q': a.quiet = true; break;
        case 'n': no_create = true; break;
        case 't': a.cache = optarg; break;
        case 'T': a.src_cache = optarg; break;
        case 'U': a.force_share = true; break;
        case 'S':
            if (img_parse_size(optarg, &k.sparse)) return 1;
            if (k.sparse % 512) return error_report("Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to 2147483136. Select 0 to disable sparse detection (fully allocates output)."), 1;
            break;
        case 'o':
            rc = img_options(&o, optarg);
            if (rc < 0) return 1;
            help |= rc > 0, rc = 1;
            break;
        case LONG_IMAGE_OPTS: a.image_opts = true; break;
        case LONG_OBJECT:
            if (img_object(g, optarg)) return 1;
            break;
        default: return img_usage("convert: invalid option");
        }
    }
    if (help) return img_print_options(a.output_format, optind < argc ? argv[argc - 1] : NULL);
    n = argc - optind - 1;
    if (n < 1) return error_report("Must specify image file name"), 1;
    const char *target = argv[argc - 1];
    in = NEW_ARRAY(struct blk_backend *, n);
    for (int i = 0; i < n; i++) {
        in[i] = img_open(g, argv[optind + i], &a, a.format, a.src_cache, BLK_RDONLY);
        if (!in[i]) goto out;
        total += blk_size(in[i]);
    }
    if (!no_create) {
        char *s = mem_printf("%llu", (unsigned long long)total);
        opts_set(&o, "size", s);
        mem_free(s);
        if (blk_create(g, a.output_format, target, &o, true, &e)) {
            error_prefix(&e, "error while converting %s", a.output_format);
            img_fail(&e);
            goto out;
        }
    }
    struct img_args plain = {0};
    k.out = img_open(g, target, &plain, a.output_format, a.cache, BLK_UNMAP);
    if (!k.out) goto out;
    if (no_create && blk_size(k.out) < total) {
        error_report("output file is smaller than input file");
        goto out;
    }
    struct blk_info info;
    if (blk_node_info(blk_root(k.out), &info)) goto out;
    k.unit = info.cluster_size ? info.cluster_size : 65536;
    k.out_is_zero = !no_create && info.zero_init;
    k.buf = mem_alloc(BUFFER);
    img_progress_start(&p, a.progress);
    rc = 0;
    for (int i = 0; i < n && !rc; i++) {
        rc = copy_one(&k, in[i], base, total, &p, argv[optind + i]);
        base += blk_size(in[i]);
    }
    if (!rc && (rc = blk_flush(k.out))) error_report("error while flushing: %s", strerror(-rc));
    if (!rc) img_progress_end(&p);
out:
    mem_free(k.buf);
    blk_close(k.out);
    for (int i = 0; i < n; i++) blk_close(in[i]);
    mem_free(in);
    opts_free(&o);
    return rc != 0;
}
