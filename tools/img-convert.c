/*
 * img-convert.c - quern-img convert: copies what the sources hold into a new or existing image.
 *
 * The sources are one range of bytes, one after the other. Threads take pieces of it (all zeros, or up to 2 MiB of
 * data) and read them; they are written in order, so that the new image lies in its file in the order of the disk, or as
 * they come (-W; compressed qcow2, where compressing is most of the work and place means little). In order, a thread
 * that has read its piece waits until that is next. There are more threads than pieces then, and who has written makes
 * room for the one that has waited longest: a single thread with most of the work would stop everything whenever a busy
 * host lets others run, while one that has slept runs at once.
 */
#include "tools/img.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#define BUFFER      (2u << 20)
#define PACKED      (256u << 10) /* the same when compressing: the work is in the parts, not in their number */
#define MAX_THREADS 16
#define IN_FLIGHT   6           /* pieces that are read or written at the same time, in order */

struct source {
    struct blk_backend *blk;
    const char *name;
    uint64_t start, end; /* in the whole */
};

struct piece {
    uint64_t at, n, ticket;
    bool zero, skip; /* skip: the target's backing file has it */
    bool unread;     /* for the host to copy */
};

struct copy {
    struct source *in;
    int n_in;
    struct blk_backend *out;
    uint64_t sparse;    /* runs of zeros at least this long are not written; 0: all is written */
    bool compress, ordered, offload, out_is_zero, above_backing, salvage, quiet;
    uint64_t unit;      /* of compression */
    uint64_t buffer;    /* bytes of a piece */
    uint64_t total, rate;
    double start;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t room;            /* for one more piece in flight */
    pthread_cond_t turn[IN_FLIGHT]; /* of a ticket (modulo in_flight) to be written */
    unsigned in_flight, waiting;    /* pieces at most; threads that wait for room */
    uint8_t *spare[MAX_THREADS];    /* buffers; the last is the one the processor's caches may still have */
    unsigned n_spare;
    uint64_t next, taken, written, done; /* next: byte; taken, written: tickets of those that need work; done: bytes */
    struct img_progress progress;
    int rc;
    const char *failed;  /* what the error was about: "reading" */
    uint64_t failed_at;
    uint64_t run_end;    /* the status of bytes next..run_end is known */
    bool run_zero, run_skip;
};

static struct source *source_of(const struct copy *k, uint64_t at)
{
    int i = 0;
    while (i + 1 < k->n_in && at >= k->in[i].end) i++;
    return &k->in[i];
}

/* ---- what comes next (with the lock) -------------------------------------------------------------- */

static int look(struct copy *k, uint64_t at)
{
    struct source *s = source_of(k, at);
    struct blk_node *top = blk_root(s->blk);
    struct blk_status st;
    int rc;

    if (!k->sparse && !k->above_backing) {
        k->run_end = s->end, k->run_zero = k->run_skip = false;
        return 0;
    }
    if (k->above_backing)
        rc = blk_node_status_above(top, blk_node_backing(top), at - s->start, s->end - at, &st);
    else
        rc = blk_status(s->blk, at - s->start, s->end - at, NULL, &st);
    if (rc && k->salvage) {
        st = (struct blk_status){.bytes = MIN(s->end - at, (uint64_t)BUFFER)};
        rc = 0;
    } else if (rc) {
        return rc;
    }
    k->run_end = at + st.bytes;
    k->run_skip = k->above_backing && blk_node_backing(top) && !(st.flags & BLK_ST_ALLOCATED);
    k->run_zero = !k->run_skip && (st.flags & BLK_ST_ZERO) && k->sparse;
    return 0;
}

static bool is_data(const struct copy *k) { return !k->run_zero && !k->run_skip; }

/* Whole clusters: a cluster that has any data is data. */
static int compressed_end(struct copy *k, struct piece *p, uint64_t *result)
{
    uint64_t at = p->at, end = at;
    int rc = look(k, at);

    if (rc) return rc;
    if (!is_data(k)) {
        bool zero = k->run_zero;
        while ((end = k->run_end) < k->total) {
            if ((rc = look(k, end))) return rc;
            if (is_data(k) || k->run_zero != zero) break;
        }
        if (end < k->total) end = at + ALIGN_DOWN(end - at, k->unit);
        if (end > at) return p->zero = zero, p->skip = !zero, *result = end, 0;
    }
    while (end < k->total && end - at < k->buffer) {
        if ((rc = look(k, end))) return rc;
        if (!is_data(k) && end > at && k->run_end - end >= 2 * k->unit) break;
        end = k->run_end;
    }
    end = at + MIN(ALIGN_UP(MAX(end - at, 1), k->unit), MAX(k->buffer, k->unit));
    *result = MIN(end, k->total);
    return 0;
}

/* 1: a piece; 0: the end; or an error. Bytes next..run_end are of the kind that is noted. */
static int next_piece(struct copy *k, struct piece *p)
{
    uint64_t at = k->next, end;
    int rc;

    *p = (struct piece){.at = at};
    if (at >= k->total) return 0;
    if (k->compress) {
        rc = compressed_end(k, p, &end);
        if (rc) return rc;
    } else {
        if (at >= k->run_end && (rc = look(k, at))) return rc;
        p->zero = k->run_zero, p->skip = k->run_skip, end = k->run_end;
        while (is_data(k) && end < k->total && end - at < k->buffer) { /* runs of data are joined */
            if ((rc = look(k, end))) return rc;
            if (is_data(k)) end = k->run_end;
        }
        if (!p->zero && !p->skip) end = MIN(end, at + k->buffer);
    }
    p->n = end - at, p->ticket = k->taken++;
    k->next = end;
    return 1;
}

/* ---- copying (without the lock) ------------------------------------------------------------------- */

static int read_salvaging(struct copy *k, const struct source *s, uint64_t at, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 512) {
        size_t len = MIN(n - i, 512);
        int rc = blk_read(s->blk, at + i - s->start, p + i, len);
        if (!rc) continue;
        memset(p + i, 0, len);
        if (!k->quiet)
            error_warn("error while reading offset %llu of '%s': %s", (unsigned long long)(at + i - s->start), s->name,
                       strerror(-rc));
    }
    return 0;
}

static int read_piece(struct copy *k, const struct piece *x, uint8_t *p)
{
    for (uint64_t at = x->at, end = x->at + x->n; at < end;) {
        struct source *s = source_of(k, at);
        size_t n = (size_t)(MIN(end, s->end) - at);
        int rc = blk_read(s->blk, at - s->start, p, n);
        if (rc && k->salvage) rc = read_salvaging(k, s, at, p, n);
        if (rc) return rc;
        p += n, at += n;
    }
    return 0;
}

static int write_zeros(struct copy *k, uint64_t at, uint64_t n)
{
    return k->out_is_zero ? 0 : blk_zero(k->out, at, n, k->above_backing ? 0 : BLK_MAY_UNMAP);
}

static int write_piece(struct copy *k, const struct piece *x, const uint8_t *p)
{
    uint64_t at = x->at, n = x->n, unit = k->compress ? k->unit : MAX(k->sparse, 512);

    if (x->skip) return 0;
    if (x->zero) return write_zeros(k, at, n);
    if (!k->sparse && !k->compress) return blk_write(k->out, at, p, (size_t)n);
    while (n) {
        /* pieces of a unit of the target, so that a run of zeros is a hole there */
        uint64_t run = MIN(n, unit - at % unit);
        bool z = k->sparse && img_is_zero(p, (size_t)run);
        int rc;
        while (!k->compress && run < n) {
            uint64_t more = MIN(n - run, unit);
            if ((k->sparse && img_is_zero(p + run, (size_t)more)) != z) break;
            run += more;
        }
        rc = z ? write_zeros(k, at, run) : blk_write_flags(k->out, at, p, (size_t)run, k->compress ? BLK_COMPRESSED : 0);
        if (rc) return rc;
        p += run, at += run, n -= run;
    }
    return 0;
}

static void fail(struct copy *k, int rc, const char *what, uint64_t at)
{
    if (!k->rc) k->rc = rc, k->failed = what, k->failed_at = at;
}

static int copy_by_host(struct copy *k, const struct piece *x)
{
    int rc = 0;

    for (uint64_t at = x->at, end = x->at + x->n; at < end && !rc;) {
        struct source *s = source_of(k, at);
        uint64_t n = MIN(end, s->end) - at;
        rc = blk_copy_range(s->blk, at - s->start, k->out, at, n);
        at += n;
    }
    return rc;
}

static void piece_done(struct copy *k, const struct piece *x)
{
    k->done += x->n;
    img_progress_show(&k->progress, k->done, k->total);
    if (k->rate) img_limit(k->start, k->done, k->rate); /* the others wait too */
}

/* (with the lock) The next piece that needs work; false: the end, or an error. */
static bool take(struct copy *k, struct piece *x)
{
    while (!k->rc) {
        int rc = next_piece(k, x);
        if (rc < 0) fail(k, rc, "reading block status of", k->next);
        if (rc <= 0) return false;
        if (!x->skip && !(x->zero && k->out_is_zero)) return true;
        k->taken--;
        piece_done(k, x);
    }
    return false;
}

/* (with the lock) Reads or writes a piece without it. */
static int transfer(struct copy *k, struct piece *x, uint8_t **buf, bool write)
{
    int rc = 0;

    if (!write) x->unread = k->offload && !x->zero;
    pthread_mutex_unlock(&k->lock);
    bool by_host = write && x->unread && (rc = copy_by_host(k, x)) != -ENOTSUP;
    if (!by_host && !x->zero && x->unread == write) {
        if (!*buf) *buf = mem_alloc(MAX(k->buffer, k->unit));
        rc = read_piece(k, x, *buf);
    }
    if (write && !by_host && !rc) rc = write_piece(k, x, *buf);
    pthread_mutex_lock(&k->lock);
    if (write && x->unread && !by_host) k->offload = false; /* nor will it do others */
    if (rc) fail(k, rc, write ? "writing" : "reading", x->at);
    return rc;
}

static int work_unordered(struct blk_req *r)
{
    struct copy *k = r->opaque;
    uint8_t *buf = NULL;
    struct piece x;

    pthread_mutex_lock(&k->lock);
    while (take(k, &x) && !transfer(k, &x, &buf, false) && !transfer(k, &x, &buf, true)) piece_done(k, &x);
    pthread_mutex_unlock(&k->lock);
    mem_free(buf);
    return 0;
}

/* (with the lock) */
static void wait_for_room(struct copy *k)
{
    k->waiting++;
    pthread_cond_wait(&k->room, &k->lock);
    k->waiting--;
}

static int work_ordered(struct blk_req *r)
{
    struct copy *k = r->opaque;
    uint8_t *buf = NULL;
    struct piece x;

    pthread_mutex_lock(&k->lock);
    while (!k->rc) {
        if (k->taken - k->written == k->in_flight) {
            wait_for_room(k);
            continue;
        }
        if (!take(k, &x)) break;
        buf = k->n_spare ? k->spare[--k->n_spare] : NULL;
        if (transfer(k, &x, &buf, false)) break;
        while (!k->rc && k->written != x.ticket) pthread_cond_wait(&k->turn[x.ticket % k->in_flight], &k->lock);
        if (k->rc || transfer(k, &x, &buf, true)) break;
        if (buf) k->spare[k->n_spare++] = buf;
        buf = NULL;
        k->written++;
        piece_done(k, &x);
        pthread_cond_signal(&k->turn[k->written % k->in_flight]);
        if (k->waiting) {
            pthread_cond_signal(&k->room);
            wait_for_room(k);
        }
    }
    for (unsigned i = 0; k->rc && i < k->in_flight; i++) pthread_cond_broadcast(&k->turn[i]);
    pthread_cond_broadcast(&k->room);
    pthread_mutex_unlock(&k->lock);
    mem_free(buf);
    return 0;
}

static int copy_all(struct copy *k, unsigned threads)
{
    k->in_flight = MIN(threads, IN_FLIGHT);
    if (k->ordered && threads > 1) threads = MIN(2 * threads, MAX_THREADS);
    struct blk_ctx *ctx = blk_ctx_new(NULL, threads, NULL);
    struct blk_req r[MAX_THREADS];

    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->room, NULL);
    for (unsigned i = 0; i < IN_FLIGHT; i++) pthread_cond_init(&k->turn[i], NULL);
    k->start = img_seconds();
    for (unsigned i = 0; i < threads; i++) {
        r[i] = (struct blk_req){.blk = k->out, .op = BLK_OP_FN, .fn = k->ordered ? work_ordered : work_unordered, .opaque = k};
        blk_submit(ctx, &r[i]);
    }
    blk_ctx_drain(ctx);
    blk_ctx_delete(ctx);
    pthread_cond_destroy(&k->room);
    for (unsigned i = 0; i < IN_FLIGHT; i++) pthread_cond_destroy(&k->turn[i]);
    while (k->n_spare) mem_free(k->spare[--k->n_spare]);
    pthread_mutex_destroy(&k->lock);
    if (k->rc) error_report("error while %s at byte %llu: %s", k->failed, (unsigned long long)k->failed_at, strerror(-k->rc));
    return k->rc;
}

/* ---- bitmaps -------------------------------------------------------------------------------------- */

static int copy_bitmaps(struct blk_node *from, struct blk_node *to, bool skip_broken)
{
    struct error e = ERROR_INIT;

    for (struct blk_bitmap *b = blk_bitmap_next(from, NULL); b; b = blk_bitmap_next(from, b)) {
        unsigned flags = blk_bitmap_flags(b);
        struct blk_bitmap *copy;
        if (!(flags & BLK_BITMAP_PERSISTENT)) continue;
        if (flags & BLK_BITMAP_INCONSISTENT) {
            if (skip_broken) {
                error_warn("Skipping inconsistent bitmap '%s'", blk_bitmap_name(b));
                continue;
            }
            error_set(&e, "Cannot copy inconsistent bitmap '%s'", blk_bitmap_name(b));
            error_hint(&e, "--skip-broken-bitmaps leaves it out");
            return img_fail(&e);
        }
        copy = blk_bitmap_new(to, blk_bitmap_name(b), blk_bitmap_granularity(b), true, &e);
        if (!copy || blk_bitmap_merge(copy, b, &e)) {
            error_prefix(&e, "Failed to populate bitmap %s", blk_bitmap_name(b));
            return img_fail(&e);
        }
        blk_bitmap_set_flags(copy, flags & (BLK_BITMAP_ENABLED | BLK_BITMAP_PERSISTENT));
    }
    return 0;
}

/* ---- the command ---------------------------------------------------------------------------------- */

struct convert {
    struct img_args a;
    struct opts o;
    const char *backing, *backing_format, *snapshot;
    bool no_create, target_opts, target_is_zero, out_of_order, offload, bitmaps, skip_broken, sparse_given;
    uint64_t threads;
};

static int check_args(const struct convert *v, const struct copy *k)
{
    unsigned f = 0;

    if (v->offload && k->compress) error_report("Cannot enable copy offloading when -c is used");
    else if (v->offload && v->sparse_given) error_report("Cannot enable copy offloading when -S is used");
    else if (v->offload && k->salvage) error_report("Cannot use copy offloading in salvaging mode");
    else if (v->target_opts && !v->no_create) error_report("--target-image-opts requires use of -n flag");
    else if (v->target_is_zero && !v->no_create) error_report("--target-is-zero requires use of -n flag");
    else if (v->no_create && v->o.n) error_report("-o has no effect when skipping image creation");
    else if (v->skip_broken && !v->bitmaps) error_report("Use of --skip-broken-bitmaps requires --bitmaps");
    else if (v->a.image_opts && v->a.format) error_report("--image-opts and --format are mutually exclusive");
    else if (v->a.src_cache && blk_parse_cache(v->a.src_cache, &f))
        error_report("Invalid source cache option: %s", v->a.src_cache);
    else if (blk_parse_cache(v->a.cache, &f)) error_report("Invalid cache option: %s", v->a.cache);
    else return 0;
    return -1;
}

static int parse(struct blk_graph *g, int argc, char **argv, struct convert *v, struct copy *k, bool *help)
{
    enum { LONG_TARGET_OPTS = IMG_OWN, LONG_IS_ZERO, LONG_SALVAGE, LONG_BITMAPS, LONG_SKIP_BROKEN };
    static const struct option longs[] = {IMG_LONGS, IMG_LONG_SHARE,
                                          {"source-format", required_argument, NULL, 'f'},
                                          {"target-image-opts", no_argument, NULL, LONG_TARGET_OPTS},
                                          {"target-is-zero", no_argument, NULL, LONG_IS_ZERO},
                                          {"salvage", no_argument, NULL, LONG_SALVAGE},
                                          {"bitmaps", no_argument, NULL, LONG_BITMAPS},
                                          {"skip-broken-bitmaps", no_argument, NULL, LONG_SKIP_BROKEN},
                                          IMG_LONGS_END};
    int c;

    while ((c = img_getopt(g, &v->a, argc, argv, ":hf:O:B:CcF:o:l:S:pt:T:qnm:WUr:", longs)) >= 0) {
        switch (c) {
        case 'O': v->a.output_format = optarg; break;
        case 'B': v->backing = optarg; break;
        case 'F': v->backing_format = optarg; break;
        case 'C': v->offload = true; break;
        case 'c': k->compress = true; break;
        case 'l': v->snapshot = optarg; break;
        case 'n': v->no_create = true; break;
        case 'W': v->out_of_order = true; break;
        case 'S':
            v->sparse_given = true;
            if (img_parse_size(optarg, "sparse size", &k->sparse)) return -1;
            if (!(k->sparse % 512) && k->sparse <= 16777216) break;
            error_report("Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to "
                         "16777216. Select 0 to disable sparse detection (fully allocates output).");
            return -1;
        case 'm':
            if (!opt_parse_number("m", optarg, MAX_THREADS, &v->threads, NULL) && v->threads) break;
            error_report("Invalid number of coroutines. Allowed number of coroutines is between 1 and %d", MAX_THREADS);
            return -1;
        case 'r':
            if (img_parse_size(optarg, "rate limit", &k->rate)) return -1;
            break;
        case 'o':
            c = img_options(&v->o, optarg);
            if (c < 0) return -1;
            *help |= c > 0;
            break;
        case LONG_TARGET_OPTS: v->target_opts = true; break;
        case LONG_IS_ZERO: v->target_is_zero = true; break;
        case LONG_SALVAGE: k->salvage = true; break;
        case LONG_BITMAPS: v->bitmaps = true; break;
        case LONG_SKIP_BROKEN: v->skip_broken = true; break;
        }
    }
    return c == IMG_STOP ? IMG_STOP : 0;
}

static bool has_key(const struct blk_create_opt *t, const char *name)
{
    for (; t && t->name; t++) {
        if (!strcmp(t->name, name)) return true;
    }
    return false;
}

/* Makes the target, unless it is there. */
static int make_target(struct blk_graph *g, struct convert *v, struct copy *k, const char *target)
{
    const struct blk_create_opt *table;
    struct error e = ERROR_INIT;

    if (!v->no_create) {
        table = blk_create_opts(v->a.output_format, &e);
        if (!table) return img_fail(&e);
        if (k->compress && !blk_can_compress(v->a.output_format))
            return error_report("Compression not supported for this file format"), 1;
        if (v->backing && !has_key(table, "backing_file"))
            return error_report("Backing file not supported for file format '%s'", v->a.output_format), 1;
        if (v->backing) opts_set(&v->o, "backing_file", v->backing);
        if (v->backing_format) opts_set(&v->o, "backing_fmt", v->backing_format);
        if (!opts_get(&v->o, "size")) img_set_size(&v->o, k->total);
        if (opts_get(&v->o, "backing_fmt") && !opts_get(&v->o, "backing_file"))
            return error_report("%s: error while converting %s: Backing format cannot be used without backing file", target,
                                v->a.output_format), 1;
        if (opts_get(&v->o, "backing_file") && !opts_get(&v->o, "backing_fmt") && has_key(table, "backing_fmt"))
            return error_report("Use of backing file requires explicit backing format"), 1;
    }
    bool backed = opts_get(&v->o, "backing_file") || (v->no_create && v->backing);
    if (backed && k->n_in > 1) {
        error_report("Having a backing file for the target makes no sense when concatenating multiple input images");
        return 1;
    }
    if (v->no_create) return 0;
    if (blk_create(g, v->a.output_format, target, &v->o, false, &e)) {
        char *prefix = mem_printf("%s: ", target), *msg = mem_strdup(e.msg);
        bool same = !strncmp(msg, prefix, strlen(prefix)); /* the name is there once */
        error_report("%s: error while converting %s: %s", target, v->a.output_format, same ? msg + strlen(prefix) : msg);
        if (*e.hint) fprintf(stderr, "%s\n", e.hint);
        mem_free(prefix);
        mem_free(msg);
        return 1;
    }
    return 0;
}

static int open_target(struct blk_graph *g, struct convert *v, struct copy *k, const char *target)
{
    struct img_args plain = {.image_opts = v->target_opts};
    struct blk_node *n;
    struct blk_info info;
    const char *driver;

    k->out = img_open(g, target, &plain, v->target_opts ? NULL : v->a.output_format, v->a.cache, BLK_UNMAP);
    if (!k->out) return 1;
    n = blk_root(k->out), driver = blk_node_driver(n);
    if (blk_size(k->out) < k->total && (v->no_create || opts_get(&v->o, "size")))
        return error_report("output file is smaller than input file"), 1;
    if (k->compress && !blk_can_compress(driver))
        return error_report("Compression not supported for this file format"), 1;
    if (v->bitmaps && strcmp(driver, "qcow2"))
        return error_report("Format driver '%s' does not support bitmaps", driver), 1;
    if (blk_node_info(n, &info)) info = (struct blk_info){0};
    k->unit = k->compress && info.cluster_size ? info.cluster_size : k->compress ? 65536 : 512;
    k->buffer = k->compress ? PACKED : BUFFER;
    k->above_backing = blk_node_backing(n) != NULL && (v->backing || opts_get(&v->o, "backing_file"));
    bool backed = blk_node_backing(n) != NULL;
    k->out_is_zero = v->target_is_zero || (!v->no_create && info.zero_init && !backed);
    /* An image that is there is emptied at once, where that costs nothing. */
    if (!k->out_is_zero && v->no_create && !backed && k->sparse && k->total == blk_size(k->out))
        k->out_is_zero = !blk_zero(k->out, 0, k->total, BLK_MAY_UNMAP | BLK_NO_FALLBACK);
    k->offload = v->offload;
    k->ordered = !v->out_of_order && !(k->compress && !strcmp(driver, "qcow2"));
    return 0;
}

int img_convert(struct blk_graph *g, int argc, char **argv)
{
    struct convert v = {.a = {.output_format = "raw", .cache = "unsafe"}, .threads = 8};
    struct copy k = {.sparse = 4096};
    bool help = false;
    int rc = parse(g, argc, argv, &v, &k, &help);

    if (rc) {
        rc = rc == IMG_STOP ? v.a.status : 1;
        goto out;
    }
    rc = 1;
    if (help) {
        rc = img_print_options(v.a.output_format, optind < argc ? argv[argc - 1] : NULL);
        goto out;
    }
    if (check_args(&v, &k)) goto out;
    k.n_in = argc - optind - 1;
    if (k.n_in < 1) {
        error_report("Must specify image file name");
        goto out;
    }
    if (v.a.quiet) v.a.progress = false;
    k.quiet = v.a.quiet;
    const char *target = argv[argc - 1];
    k.in = NEW_ARRAY(struct source, k.n_in);
    for (int i = 0; i < k.n_in; i++) {
        struct source *s = &k.in[i];
        s->name = argv[optind + i];
        s->blk = img_open(g, s->name, &v.a, v.a.format, v.a.src_cache, BLK_RDONLY);
        if (!s->blk) goto out;
        s->start = k.total;
        if (v.snapshot && img_load_snapshot(s->blk, v.snapshot)) goto out;
        s->end = k.total += blk_size(s->blk);
    }
    if (v.snapshot && k.n_in > 1) {
        error_report("No support for concatenating multiple snapshot");
        goto out;
    }
    if (make_target(g, &v, &k, target) || open_target(g, &v, &k, target)) goto out;
    img_progress_start(&k.progress, v.a.progress);
    rc = copy_all(&k, (unsigned)v.threads);
    if (!rc && v.bitmaps) rc = copy_bitmaps(blk_root(k.in[0].blk), blk_root(k.out), v.skip_broken);
    if (!rc && (rc = blk_flush(k.out))) error_report("error while flushing: %s", strerror(-rc));
    if (!rc) img_progress_end(&k.progress);
out:
    blk_close(k.out);
    for (int i = 0; k.in && i < k.n_in; i++) blk_close(k.in[i].blk);
    mem_free(k.in);
    opts_free(&v.o);
    return rc != 0;
}
