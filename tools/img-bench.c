/*
 * img-bench.c - quern-img bench and dd: requests in a fixed pattern, and copying by blocks.
 */
#include "tools/img.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

double img_seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void img_limit(double start, uint64_t bytes, uint64_t rate)
{
    double ahead = rate ? (double)bytes / (double)rate - (img_seconds() - start) : 0;
    struct timespec t = {(time_t)ahead, (long)((ahead - (double)(time_t)ahead) * 1e9)};
    if (ahead > 0.001) nanosleep(&t, NULL);
}

/* ---- bench ---------------------------------------------------------------------------------------- */

struct bench {
    struct blk_ctx *ctx;
    struct blk_backend *blk;
    struct blk_req *req, flush; /* depth of them */
    uint64_t todo, offset, step, size;
    uint32_t interval, since;   /* requests between flushes, and since the last */
    unsigned depth, idle, *free;
    bool drain, flushing;
    int rc;
};

static void feed(struct bench *k);

static void request_done(struct blk_req *r)
{
    struct bench *k = r->opaque;

    if (r->rc && !k->rc) k->rc = r->rc;
    if (r == &k->flush) k->flushing = false;
    else k->free[k->idle++] = (unsigned)(r - k->req);
    feed(k);
}

static void feed(struct bench *k)
{
    while (k->todo && k->idle && !k->rc) {
        if (k->interval && k->since == k->interval) {
            /* Requests wait for a flush, and it for them, unless --no-drain. */
            if (k->drain && (k->idle < k->depth || k->flushing)) return;
            if (k->flushing) return;
            k->since = 0, k->flushing = true;
            blk_submit(k->ctx, &k->flush);
        }
        if (k->flushing && k->drain) return;
        struct blk_req *r = &k->req[k->free[--k->idle]];
        if (k->offset + r->bytes > k->size) k->offset %= k->size;
        if (k->offset + r->bytes > k->size) k->offset = 0;
        r->offset = k->offset;
        k->offset += k->step;
        k->todo--, k->since++;
        blk_submit(k->ctx, r);
    }
}

static int number(const char *text, uint64_t max, const char *what, uint64_t *out)
{
    if (!opt_parse_number(what, text, max, out, NULL)) return 0;
    return error_report("Invalid %s specified", what), -1;
}

struct bench_args {
    struct img_args img;
    uint64_t count, depth, interval, bufsize, pattern, step;
    unsigned flags;
    bool write;
};

/* -1: an error has been reported; 1: all is said (img.status); 0: go on. */
static int bench_parse(struct blk_graph *g, int argc, char **argv, struct bench_args *a, struct bench *k)
{
    enum { LONG_INTERVAL = IMG_OWN, LONG_NO_DRAIN, LONG_PATTERN };
    static const struct option longs[] = {IMG_LONGS, IMG_LONG_SHARE,
                                          {"flush-interval", required_argument, NULL, LONG_INTERVAL},
                                          {"no-drain", no_argument, NULL, LONG_NO_DRAIN},
                                          {"pattern", required_argument, NULL, LONG_PATTERN},
                                          IMG_LONGS_END};
    int c, rc = 0;

    while (!rc && (c = img_getopt(g, &a->img, argc, argv, ":hc:d:f:ni:o:qs:S:t:wU", longs)) >= 0) {
        switch (c) {
        case 'c': rc = number(optarg, INT32_MAX, "request count", &a->count); break;
        case 'd': rc = number(optarg, 65536, "queue depth", &a->depth); break;
        case 'n': a->flags |= BLK_NATIVE_AIO; break;
        case 'i':
            if (blk_parse_aio(optarg, &a->flags)) return error_report("Invalid aio option: %s", optarg), -1;
            break;
        case 'o': rc = img_parse_size(optarg, "offset", &k->offset); break;
        case 's': rc = img_parse_size(optarg, "buffer size", &a->bufsize); break;
        case 'S': rc = img_parse_size(optarg, "step_size", &a->step); break;
        case 'w': a->write = true; break;
        case LONG_NO_DRAIN: k->drain = false; break;
        case LONG_PATTERN: rc = number(optarg, 255, "pattern byte", &a->pattern); break;
        case LONG_INTERVAL: rc = number(optarg, INT32_MAX, "flush interval", &a->interval); break;
        }
    }
    if (rc) return -1;
    if (c == IMG_STOP) return 1;
    if (argc - optind != 1) return (void)img_usage("Expecting one image file name"), -1;
    unsigned test = 0;
    if (!a->depth) error_report("Invalid queue depth specified");
    else if (!a->bufsize || a->bufsize > INT32_MAX) error_report("Invalid buffer size specified");
    else if (!a->write && a->interval) error_report("--flush-interval is only available in write tests");
    else if (a->interval && a->interval < a->depth) error_report("Flush interval can't be smaller than depth");
    else if (a->img.cache && blk_parse_cache(a->img.cache, &test)) error_report("Invalid cache mode");
    else return 0;
    return -1;
}

static void bench_run(struct bench *k, const struct bench_args *a)
{
    size_t bytes = (size_t)(a->depth * a->bufsize);
    uint8_t *room = mem_alloc(bytes + 4096), *buf = (uint8_t *)ALIGN_UP((uintptr_t)room, (uintptr_t)4096); /* for O_DIRECT */
    double start;

    k->ctx = blk_ctx_new(NULL, k->depth < 8 ? k->depth : 8, NULL);
    k->req = NEW_ARRAY(struct blk_req, k->depth);
    k->free = NEW_ARRAY(unsigned, k->depth);
    memset(buf, (int)a->pattern, bytes);
    for (unsigned i = 0; i < k->depth; i++) {
        k->req[i] = (struct blk_req){.blk = k->blk, .op = a->write ? BLK_OP_WRITE : BLK_OP_READ, .bytes = a->bufsize,
                                     .buf = buf + (size_t)i * a->bufsize, .done = request_done, .opaque = k};
        k->free[k->idle++] = i;
    }
    k->flush = (struct blk_req){.blk = k->blk, .op = BLK_OP_FLUSH, .done = request_done, .opaque = k};
    start = img_seconds();
    feed(k);
    blk_ctx_drain(k->ctx);
    start = img_seconds() - start;
    if (k->rc) error_report("Failed request: %s", strerror(-k->rc));
    else printf("Run completed in %3.3f seconds.\n", start);
    blk_ctx_delete(k->ctx);
    mem_free(k->req);
    mem_free(k->free);
    mem_free(room);
}

int img_bench(struct blk_graph *g, int argc, char **argv)
{
    struct bench_args a = {.count = 75000, .depth = 64, .bufsize = 4096};
    struct bench k = {.drain = true};
    int rc = bench_parse(g, argc, argv, &a, &k);

    if (rc) return rc < 0 ? 1 : a.img.status;
    k.blk = img_open(g, argv[optind], &a.img, a.img.format, a.img.cache, a.flags | (a.write ? 0 : BLK_RDONLY));
    if (!k.blk) return 1;
    k.size = blk_size(k.blk);
    if (k.offset >= k.size && k.size) {
        error_report("The offset is beyond the end of the image");
        blk_close(k.blk);
        return 1;
    }
    if (a.bufsize > k.size) {
        error_report("The image is smaller than a request");
        blk_close(k.blk);
        return 1;
    }
    k.depth = (unsigned)a.depth, k.step = a.step ? a.step : a.bufsize, k.todo = a.count, k.interval = (uint32_t)a.interval;
    /* -q says nothing about what is sent in other programs either; the result is what the command is for. */
    printf("Sending %llu %s requests, %llu bytes each, %u in parallel (starting at offset %llu, step size %llu)\n",
           (unsigned long long)a.count, a.write ? "write" : "read", (unsigned long long)a.bufsize, k.depth,
           (unsigned long long)k.offset, (unsigned long long)k.step);
    if (a.interval) printf("Sending flush every %u requests\n", k.interval);
    fflush(stdout);
    bench_run(&k, &a);
    blk_close(k.blk);
    return k.rc != 0;
}

/* ---- dd ------------------------------------------------------------------------------------------- */

struct dd {
    const char *in, *out;
    uint64_t bs, count, skip;
    bool counted;
};

static int operand(struct dd *k, char *arg)
{
    char *value = strchr(arg, '=');
    size_t n = value ? (size_t)(value - arg) : strlen(arg);

    if (value && n == 2 && !memcmp(arg, "if", 2)) return k->in = value + 1, 0;
    if (value && n == 2 && !memcmp(arg, "of", 2)) return k->out = value + 1, 0;
    if (value && n == 2 && !memcmp(arg, "bs", 2)) {
        if (img_parse_size(value + 1, "bs", &k->bs)) return -1;
        if (k->bs && k->bs <= INT32_MAX) return 0;
        return error_report("Invalid bs specified. Must be between 1 and %d.", INT32_MAX), -1;
    }
    if (value && n == 5 && !memcmp(arg, "count", 5))
        return k->counted = true, img_parse_size(value + 1, "count", &k->count);
    if (value && n == 4 && !memcmp(arg, "skip", 4)) return img_parse_size(value + 1, "skip", &k->skip);
    return error_report("unrecognized operand %.*s", (int)n, arg), -1;
}

int img_dd(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {IMG_LONGS, IMG_LONG_SHARE, IMG_LONGS_END};
    struct img_args a = {.output_format = "raw"}, plain = {0};
    struct blk_backend *in = NULL, *out = NULL;
    struct dd k = {.bs = 512};
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    uint64_t size, end, start;
    uint8_t *buf = NULL;
    int c, rc = 1;

    while ((c = img_getopt(g, &a, argc, argv, ":hf:O:U", longs)) >= 0) {
        if (c == 'O') a.output_format = optarg;
    }
    if (c == IMG_STOP) return a.status;
    for (int i = optind; i < argc; i++) {
        if (operand(&k, argv[i])) return 1;
    }
    if (!k.in || !k.out) return error_report("Must specify both input and output files"), 1;
    in = img_open(g, k.in, &a, a.format, NULL, BLK_RDONLY);
    if (!in) goto out;
    if (!blk_create_opts(a.output_format, &e)) {
        img_fail(&e);
        goto out;
    }
    size = end = blk_size(in);
    if (k.counted && k.count <= INT64_MAX / k.bs && k.count * k.bs < end) end = k.count * k.bs;
    /* count= counts from the start of the input, blocks that are skipped among them. */
    start = k.skip <= INT64_MAX / k.bs ? k.skip * k.bs : UINT64_MAX;
    img_set_size(&o, start < end ? end - start : 0);
    if (blk_create(g, a.output_format, k.out, &o, true, &e)) {
        error_prefix(&e, "%s: error while creating output image", k.out);
        img_fail(&e);
        goto out;
    }
    out = img_open(g, k.out, &plain, a.output_format, NULL, BLK_UNMAP);
    if (!out) goto out;
    if (start > size) error_report("%s: cannot skip to specified offset", k.in);
    const size_t chunk = 1u << 20;
    buf = mem_alloc(chunk);
    rc = 0;
    for (uint64_t at = start; at < end && !rc;) {
        size_t n = (size_t)MIN((uint64_t)chunk, end - at);
        rc = blk_read(in, at, buf, n);
        if (rc) error_report("error while reading from input image file: %s", strerror(-rc));
        else if ((rc = blk_write(out, at - start, buf, n)))
            error_report("error while writing to output image file: %s", strerror(-rc));
        at += n;
    }
out:
    mem_free(buf);
    blk_close(in);
    blk_close(out);
    opts_free(&o);
    return rc != 0;
}
