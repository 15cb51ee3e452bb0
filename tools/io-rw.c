/*
 * io-rw.c - quern-io's commands that move data: read, write and their asynchronous forms, flush, discard, truncate.
 */
#include "tools/io.h"
#include "util/loop.h"

#include <ctype.h>
#include <stdio.h>

int io_number(const char *text, const char *what, uint64_t *out)
{
    if (!opt_parse_size(what, text, 1, out, NULL) && *out <= INT64_MAX) return 0;
    printf("non-numeric %s argument -- %s\n", what, text);
    return -1;
}

const char *io_size_text(uint64_t n, char *buf, size_t room)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    uint64_t one = 1;
    unsigned i = 0;

    while (i < 6 && n / one >= 1024) one *= 1024, i++;
    if (!i || n % one == 0) snprintf(buf, room, "%llu %s", (unsigned long long)(n / one), units[i]);
    else snprintf(buf, room, "%.3f %s", (double)n / (double)one, units[i]);
    return buf;
}

static const char *rate_text(double v, char *buf, size_t room)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    unsigned i = 0;

    while (v >= 1024 && i < 4) v /= 1024, i++;
    snprintf(buf, room, "%.3f %s", v, units[i]);
    return buf;
}

void io_report(const char *op, uint64_t ns, uint64_t offset, uint64_t asked, uint64_t total, unsigned count,
               bool terse)
{
    double s = (double)(ns ? ns : 1) / 1e9;
    char a[48], b[48];

    if (terse) {
        printf("%llu,%u,%.4f\n", (unsigned long long)total, count, s);
        return;
    }
    printf("%s %llu/%llu bytes at offset %llu\n", op, (unsigned long long)total, (unsigned long long)asked,
           (unsigned long long)offset);
    printf("%s, %u ops; %02u.%02u sec (%s/sec and %.4f ops/sec)\n", io_size_text(total, a, sizeof a), count,
           (unsigned)s % 60, (unsigned)(s * 100) % 100, rate_text((double)total / s, b, sizeof b), count / s);
}

void io_dump(const uint8_t *buf, uint64_t offset, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        printf("%08llx:  ", (unsigned long long)(offset + i));
        for (size_t k = i; k < i + 16 && k < n; k++) printf("%02x ", buf[k]);
        printf(" ");
        for (size_t k = i; k < i + 16 && k < n; k++) putchar(isalnum(buf[k]) ? buf[k] : '.');
        printf("\n");
    }
}

/* What the letters of a command say. */
struct rw {
    bool terse, quiet, dump, fua, zero, unmap, compressed, no_fallback, has_pattern;
    int pattern;
    uint64_t check_offset, check_len;
    bool has_check_len;
    const char *source;
    uint64_t offset, len;
};

static int parse(struct io *io, int argc, char **argv, const char *letters, struct rw *w)
{
    uint64_t v;
    int c;

    *w = (struct rw){.pattern = -1};
    while ((c = getopt(argc, argv, letters)) != -1) {
        switch (c) {
        case 'C': w->terse = true; break;
        case 'q': w->quiet = true; break;
        case 'v': w->dump = true; break;
        case 'f': w->fua = true; break;
        case 'z': w->zero = true; break;
        case 'u': w->unmap = true; break;
        case 'c': w->compressed = true; break;
        case 'n': w->no_fallback = true; break;
        case 'i': case 'a': case 'b': case 'p': break;
        case 'P':
            if (io_number(optarg, "pattern", &v) || v > 255) return printf("%s is not a valid pattern byte\n", optarg), -1;
            w->pattern = (int)v, w->has_pattern = true;
            break;
        case 's':
            if (*argv[0] == 'w') w->source = optarg;
            else if (io_number(optarg, "offset", &w->check_offset)) return -1;
            break;
        case 'l':
            if (io_number(optarg, "length", &w->check_len)) return -1;
            w->has_check_len = true;
            break;
        default: return io_usage(argv[0]);
        }
    }
    if (optind + 2 > argc) return io_usage(argv[0]);
    if (io_number(argv[optind++], "offset", &w->offset)) return -1;
    while (optind < argc) {
        if (io_number(argv[optind++], "length", &v)) return -1;
        w->len += v;
    }
    if (w->zero && w->has_pattern) return printf("-z and -P cannot be specified at the same time\n"), -1;
    if (w->unmap && !w->zero) return printf("-u requires -z to be specified\n"), -1;
    if (w->len > INT32_MAX && !w->zero) return printf("length cannot exceed %d, given %llu\n", INT32_MAX, (unsigned long long)w->len), -1;
    return 0;
}

static unsigned write_flags(const struct rw *w)
{
    return (w->fua ? BLK_FUA : 0) | (w->unmap ? BLK_MAY_UNMAP : 0) | (w->compressed ? BLK_COMPRESSED : 0) |
           (w->no_fallback ? BLK_NO_FALLBACK : 0);
}

static int verify(const struct rw *w, const uint8_t *buf)
{
    uint64_t from = MIN(w->check_offset, w->len), n = w->has_check_len ? MIN(w->check_len, w->len - from) : w->len - from;

    for (uint64_t i = 0; w->has_pattern && i < n; i++) {
        if (buf[from + i] == w->pattern) continue;
        printf("Pattern verification failed at offset %llu, %llu bytes\n", (unsigned long long)(w->offset + from),
               (unsigned long long)n);
        return -1;
    }
    return 0;
}

int io_read(struct io *io, int argc, char **argv)
{
    struct rw w;
    int rc;

    if (parse(io, argc, argv, "abCl:pP:qs:v", &w)) return -1;
    uint8_t *buf = mem_alloc(w.len + 1);
    uint64_t start = loop_now_ns();
    rc = blk_read(io->blk, w.offset, buf, w.len);
    start = loop_now_ns() - start;
    if (rc) {
        printf("read failed: %s\n", strerror(-rc));
    } else {
        rc = verify(&w, buf);
        if (w.dump) io_dump(buf, w.offset, w.len);
        if (!w.quiet) io_report("read", start, w.offset, w.len, w.len, 1, w.terse);
    }
    mem_free(buf);
    return rc ? -1 : 0;
}

static int fill(const struct rw *w, uint8_t *buf)
{
    size_t got = 0;
    FILE *f;

    memset(buf, w->has_pattern ? w->pattern : 0xcd, w->len);
    if (!w->source) return 0;
    f = fopen(w->source, "rb");
    if (f) got = fread(buf, 1, w->len, f), fclose(f);
    if (!got) return printf("%s: could not be read\n", w->source), -1;
    for (uint64_t i = got; i < w->len; i++) buf[i] = buf[i - got];
    return 0;
}

int io_write(struct io *io, int argc, char **argv)
{
    uint8_t *buf = NULL;
    struct rw w;
    int rc = 0;

    if (parse(io, argc, argv, "bcCfnpP:qs:uz", &w)) return -1;
    if (!w.zero) {
        buf = mem_alloc(w.len + 1);
        rc = fill(&w, buf);
    }
    uint64_t start = loop_now_ns();
    if (!rc) {
        rc = w.zero ? blk_zero(io->blk, w.offset, w.len, write_flags(&w))
                    : blk_write_flags(io->blk, w.offset, buf, w.len, write_flags(&w));
        if (rc) printf("write failed: %s\n", strerror(-rc));
    }
    start = loop_now_ns() - start;
    if (!rc && !w.quiet) io_report("wrote", start, w.offset, w.len, w.len, 1, w.terse);
    mem_free(buf);
    return rc ? -1 : 0;
}

/* ---- asynchronous --------------------------------------------------------------------------------- */

struct aio {
    struct blk_req req;
    struct rw w;
    uint64_t start;
};

static void aio_done(struct blk_req *r)
{
    struct aio *a = container_of(r, struct aio, req);
    bool read = r->op == BLK_OP_READ;

    if (r->rc) {
        printf("%s failed: %s\n", read ? "aio_read" : "aio_write", strerror(-r->rc));
    } else {
        if (read) (void)verify(&a->w, r->buf);
        if (read && a->w.dump) io_dump(r->buf, r->offset, (size_t)r->bytes);
        if (!a->w.quiet)
            io_report(read ? "read" : "wrote", loop_now_ns() - a->start, r->offset, r->bytes, r->bytes, 1, a->w.terse);
    }
    mem_free(r->buf);
    mem_free(a);
}

static int aio_start(struct io *io, const struct rw *w, enum blk_op op)
{
    struct aio *a = NEW(struct aio);

    a->w = *w, a->start = loop_now_ns();
    a->req = (struct blk_req){.blk = io->blk, .op = op, .flags = write_flags(w), .offset = w->offset, .bytes = w->len,
                              .done = aio_done};
    if (op != BLK_OP_ZERO) a->req.buf = mem_alloc(w->len + 1);
    if (op == BLK_OP_WRITE) (void)fill(w, a->req.buf);
    blk_submit(io->ctx, &a->req);
    return 0;
}

int io_aio_read(struct io *io, int argc, char **argv)
{
    struct rw w;
    return parse(io, argc, argv, "CP:iqv", &w) ? -1 : aio_start(io, &w, BLK_OP_READ);
}

int io_aio_write(struct io *io, int argc, char **argv)
{
    struct rw w;
    return parse(io, argc, argv, "CfiP:quz", &w) ? -1 : aio_start(io, &w, w.zero ? BLK_OP_ZERO : BLK_OP_WRITE);
}

int io_aio_flush(struct io *io, int argc, char **argv)
{
    blk_ctx_drain(io->ctx);
    return 0;
}

/* ---- the rest ------------------------------------------------------------------------------------- */

int io_flush(struct io *io, int argc, char **argv)
{
    int rc = blk_flush(io->blk);
    return rc ? printf("flush failed: %s\n", strerror(-rc)), -1 : 0;
}

int io_discard(struct io *io, int argc, char **argv)
{
    struct rw w;
    int rc;

    if (parse(io, argc, argv, "Cq", &w)) return -1;
    uint64_t start = loop_now_ns();
    rc = blk_discard(io->blk, w.offset, w.len);
    if (rc) return printf("discard failed: %s\n", strerror(-rc)), -1;
    if (!w.quiet) io_report("discard", loop_now_ns() - start, w.offset, w.len, w.len, 1, w.terse);
    return 0;
}

int io_length(struct io *io, int argc, char **argv)
{
    char a[48];
    printf("%s\n", io_size_text(blk_size(io->blk), a, sizeof a));
    return 0;
}

int io_truncate(struct io *io, int argc, char **argv)
{
    enum blk_prealloc p = BLK_PREALLOC_OFF;
    struct error e = ERROR_INIT;
    uint64_t size;
    int c;

    while ((c = getopt(argc, argv, "m:")) != -1) {
        if (c != 'm') return io_usage("truncate");
        if (blk_parse_prealloc(optarg, &p)) return printf("Invalid parameter '%s'\n", optarg), -1;
    }
    if (optind + 1 != argc) return io_usage("truncate");
    if (io_number(argv[optind], "truncate", &size)) return -1;
    if (blk_truncate(io->blk, size, p, &e)) return error_print(&e), -1;
    return 0;
}
