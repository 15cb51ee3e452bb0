/*
 * io-rw.c - quern-io's commands that move data and wait for it: read, readv, write, writev, discard, flush.
 */
#include "tools/io.h"
#include "util/loop.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#define MAX_LENGTH 2147483136 /* INT32_MAX in sectors */

int io_number(const char *text, uint64_t *out)
{
    int rc = opt_parse_size("argument", text, 1, out, NULL);

    if (!rc && *out <= INT64_MAX) return 0;
    if (!rc || rc == -ERANGE) return printf("Parsing error: argument too large -- %s\n", text), -1;
    printf("Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- %s\n", text);
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
    snprintf(buf, room, i || v == 0 ? "%.*f %s" : "%.*f %s", v == 0 ? 0 : i ? 3 : 6, v, units[i]);
    return buf;
}

void io_report(const char *op, uint64_t ns, const struct io_rw *w)
{
    double s = (double)(ns ? ns : 1) / 1e9;
    unsigned long long cs = ns / 10000000, h = cs / 360000, m = cs / 6000 % 60;
    char a[48], b[48], t[48];

    if (w->terse) {
        printf("%llu,1,%llu:%02llu:%02llu.%02llu,%.3f,%.3f\n", (unsigned long long)w->len, h, m, cs / 100 % 60, cs % 100,
               (double)w->len / s, 1 / s);
        return;
    }
    if (h) snprintf(t, sizeof t, "%llu:%02llu:%02llu.%02llu", h, m, cs / 100 % 60, cs % 100);
    else if (m) snprintf(t, sizeof t, "%02llu:%02llu.%02llu", m, cs / 100 % 60, cs % 100);
    else snprintf(t, sizeof t, "%02llu.%02llu sec", cs / 100, cs % 100);
    printf("%s %llu/%llu bytes at offset %llu\n", op, (unsigned long long)w->len, (unsigned long long)w->len,
           (unsigned long long)w->offset);
    printf("%s, 1 ops; %s (%s/sec and %.4f ops/sec)\n", io_size_text(w->len, a, sizeof a), t,
           rate_text((double)w->len / s, b, sizeof b), 1 / s);
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

uint8_t *io_buffer(const struct io *io, uint64_t n)
{
    uint8_t *p = mem_alloc((size_t)n + 3 * 4096), *q = (uint8_t *)ALIGN_UP((uintptr_t)p + 16 + sizeof p, (uintptr_t)4096);

    q += io->misalign ? 16 : 0;
    memcpy(q - 16 - sizeof p, &p, sizeof p); /* that much room is left before the first whole page */
    return q;
}

void io_buffer_free(uint8_t *q)
{
    uint8_t *p;

    if (!q) return;
    memcpy(&p, q - 16 - sizeof p, sizeof p);
    mem_free(p);
}

static int sector(const char *what, uint64_t v)
{
    if (v % 512 == 0) return 0;
    return printf("%llu is not a sector-aligned value for '%s'\n", (unsigned long long)v, what), -1;
}

static int pattern_byte(const char *text, struct io_rw *w)
{
    uint64_t v;

    if (opt_parse_number("pattern", text, 255, &v, NULL)) return printf("%s is not a valid pattern byte\n", text), -1;
    w->pattern = (int)v, w->has_pattern = true;
    return 0;
}

int io_parse_rw(int argc, char **argv, const char *letters, struct io_rw *w)
{
    bool several = !strncmp(argv[0], "aio_", 4) || argv[0][strlen(argv[0]) - 1] == 'v'; /* lengths */
    bool reads = strchr(argv[0], 'r') && !strchr(argv[0], 'w');
    uint64_t v;
    int c;

    *w = (struct io_rw){.pattern = -1};
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
        case 'b': w->vmstate = true; break;
        case 'i': w->invalid = true; break;
        case 'a': case 'p': break;
        case 'P':
            if (pattern_byte(optarg, w)) return -1;
            break;
        case 's':
            if (!reads) w->source = optarg;
            else if (io_number(optarg, &w->check_offset)) return -1;
            w->has_check = reads;
            break;
        case 'l':
            if (io_number(optarg, &w->check_len)) return -1;
            w->has_check_len = true;
            break;
        default: return io_usage(argv[0]);
        }
    }
    if (optind + 2 > argc || (!several && optind + 2 < argc)) return io_usage(argv[0]);
    if (w->zero && optind + 2 < argc) return printf("-z supports only a single length parameter\n"), -1;
    if ((w->has_check || w->has_check_len) && !w->has_pattern) return io_usage(argv[0]);
    if (w->vmstate && w->compressed) return printf("-b and -c cannot be specified at the same time\n"), -1;
    if (w->vmstate && w->zero) return printf("-b and -z cannot be specified at the same time\n"), -1;
    if (w->fua && (w->vmstate || w->compressed)) return printf("-f and -b or -c cannot be specified at the same time\n"), -1;
    if (w->no_fallback && !w->zero) return printf("-n requires -z to be specified\n"), -1;
    if (w->unmap && !w->zero) return printf("-u requires -z to be specified\n"), -1;
    if (w->zero + w->has_pattern + (w->source != NULL) > 1)
        return printf("Only one of -z, -P, and -s can be specified at the same time\n"), -1;
    if (io_number(argv[optind++], &w->offset)) return -1;
    for (; optind < argc; optind++) {
        if (io_number(argv[optind], &v)) return -1;
        if (v > MAX_LENGTH && !w->no_fallback) /* nothing that long is held in memory */
            return printf("length cannot exceed %d%s, given %s\n", MAX_LENGTH, w->zero ? " without -n" : "", argv[optind]), -1;
        w->len += v;
        if (w->len > MAX_LENGTH && !w->no_fallback)
            return printf("The total number of bytes exceed the maximum size %d\n", MAX_LENGTH), -1;
    }
    if ((w->vmstate || w->compressed) && (sector("offset", w->offset) || sector("count", w->len))) return -1;
    if (w->check_offset + w->check_len > w->len || w->check_offset > w->len)
        return printf("pattern verification range exceeds end of read data\n"), -1;
    return 0;
}

unsigned io_write_flags(const struct io_rw *w)
{
    return (w->fua ? BLK_FUA : 0) | (w->unmap ? BLK_MAY_UNMAP : 0) | (w->compressed ? BLK_COMPRESSED : 0) |
           (w->no_fallback ? BLK_NO_FALLBACK : 0);
}

int io_verify(const struct io_rw *w, const uint8_t *buf)
{
    uint64_t from = w->check_offset, n = w->has_check_len ? w->check_len : w->len - from;

    for (uint64_t i = 0; w->has_pattern && i < n; i++) {
        if (buf[from + i] == w->pattern) continue;
        printf("Pattern verification failed at offset %llu, %llu bytes\n", (unsigned long long)(w->offset + from),
               (unsigned long long)n);
        return -1;
    }
    return 0;
}

int io_fill(const struct io_rw *w, uint8_t *buf)
{
    size_t got = 0;
    FILE *f;

    memset(buf, w->has_pattern ? w->pattern : 0xcd, (size_t)w->len);
    if (!w->source) return 0;
    f = fopen(w->source, "rb");
    if (!f) return fprintf(stderr, "%s: %s\n", w->source, strerror(errno)), -1;
    got = fread(buf, 1, (size_t)w->len, f);
    int bad = ferror(f) ? errno : 0;
    fclose(f);
    if (bad) return fprintf(stderr, "%s: %s\n", w->source, strerror(bad)), -1;
    if (!got && w->len) return fprintf(stderr, "%s: file is empty\n", w->source), -1;
    for (uint64_t i = got; i < w->len; i++) buf[i] = buf[i - got];
    return 0;
}

static int do_read(struct io *io, int argc, char **argv, const char *letters)
{
    struct io_rw w;
    int rc;

    if (io_parse_rw(argc, argv, letters, &w)) return -1;
    uint8_t *buf = io_buffer(io, w.len);
    uint64_t start = loop_now_ns();
    rc = w.vmstate ? blk_vmstate_read(io->blk, w.offset, buf, (size_t)w.len) : blk_read(io->blk, w.offset, buf, (size_t)w.len);
    start = loop_now_ns() - start;
    if (rc) {
        printf("%s failed: %s\n", argv[0][strlen(argv[0]) - 1] == 'v' ? "readv" : "read", strerror(-rc));
    } else {
        rc = io_verify(&w, buf);
        if (!w.quiet && w.dump) io_dump(buf, w.offset, (size_t)w.len);
        if (!w.quiet) io_report("read", start, &w);
    }
    io_buffer_free(buf);
    return rc ? -1 : 0;
}

int io_read(struct io *io, int argc, char **argv) { return do_read(io, argc, argv, "abCl:pP:qs:v"); }
int io_readv(struct io *io, int argc, char **argv) { return do_read(io, argc, argv, "CP:qv"); }

static int do_write(struct io *io, int argc, char **argv, const char *letters)
{
    uint8_t *buf = NULL;
    struct io_rw w;
    int rc = 0;

    if (io_parse_rw(argc, argv, letters, &w)) return -1;
    if (!w.zero) {
        buf = io_buffer(io, w.len);
        rc = io_fill(&w, buf);
    }
    uint64_t start = loop_now_ns();
    if (!rc) {
        rc = w.vmstate ? blk_vmstate_write(io->blk, w.offset, buf, (size_t)w.len)
             : w.zero  ? blk_zero(io->blk, w.offset, w.len, io_write_flags(&w))
                       : blk_write_flags(io->blk, w.offset, buf, (size_t)w.len, io_write_flags(&w));
        if (rc) printf("%s failed: %s\n", argv[0][strlen(argv[0]) - 1] == 'v' ? "writev" : "write", strerror(-rc));
    }
    start = loop_now_ns() - start;
    if (!rc && !w.quiet) io_report("wrote", start, &w);
    io_buffer_free(buf);
    return rc ? -1 : 0;
}

int io_write(struct io *io, int argc, char **argv) { return do_write(io, argc, argv, "bcCfnpP:qs:uz"); }
int io_writev(struct io *io, int argc, char **argv) { return do_write(io, argc, argv, "CfqP:"); }

int io_flush(struct io *io, int argc, char **argv)
{
    int rc = blk_flush(io->blk);
    return rc ? printf("flush failed: %s\n", strerror(-rc)), -1 : 0;
}

int io_discard(struct io *io, int argc, char **argv)
{
    struct io_rw w;
    int rc;

    if (io_parse_rw(argc, argv, "Cq", &w)) return -1;
    uint64_t start = loop_now_ns();
    rc = blk_discard(io->blk, w.offset, w.len);
    if (rc) return printf("discard failed: %s\n", strerror(-rc)), -1;
    if (!w.quiet) io_report("discard", loop_now_ns() - start, &w);
    return 0;
}
