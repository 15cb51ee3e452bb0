/*
 * io-file.c - quern-io's commands about the open image as a whole: open, close, reopen, length, truncate, alloc, map,
 * info; and sleep, sigraise, abort.
 */
#include "tools/io.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#ifdef NSIG
#define MAX_SIGNAL (NSIG - 1)
#else
#define MAX_SIGNAL 64
#endif

int io_parse_aio(const char *mode, unsigned *flags)
{
    return blk_parse_aio(mode, flags) ? error_report("Invalid aio option: %s", mode), -1 : 0;
}

int io_open_image(struct io *io, const char *name, const struct opts *options, unsigned flags)
{
    struct error e = ERROR_INIT;

    if (io->blk) return error_report("file open already, try 'help close'"), -1;
    if (io->image_opts && name) {
        struct opts o;
        if (io->format) return error_report("--image-opts and -f are mutually exclusive"), -1;
        if (!opts_parse(&o, name, NULL, NULL, &e)) {
            for (unsigned i = 0; options && i < options->n; i++) opts_set(&o, options->v[i].name, options->v[i].value);
            io->blk = blk_open_opts(io->graph, &o, flags, &e);
        }
        opts_free(&o);
    } else if (name) {
        const char *format = options && opts_get(options, "driver") ? NULL : io->format; /* said twice: the nearer counts */
        io->blk = blk_open_in(io->graph, name, format, options, flags, &e);
    } else {
        io->blk = blk_open_opts(io->graph, options, flags, &e);
    }
    if (io->blk) return 0;
    error_prefix(&e, name && !io->image_opts ? "can't open device %s" : "can't open", name);
    error_print(&e);
    return -1;
}

int io_close(struct io *io, int argc, char **argv)
{
    io_release(io);
    blk_close(io->blk);
    io->blk = NULL;
    return 0;
}

static int add_options(struct opts *o, const char *text)
{
    struct error e = ERROR_INIT;
    struct opts more;

    if (opts_parse(&more, text, NULL, NULL, &e)) return error_print(&e), -1;
    for (unsigned i = 0; i < more.n; i++) opts_set(o, more.v[i].name, more.v[i].value);
    opts_free(&more);
    return 0;
}

int io_open(struct io *io, int argc, char **argv)
{
    unsigned flags = io->flags;
    struct opts o = {NULL, 0};
    int c, rc = 0;

    while (!rc && (c = getopt(argc, argv, "rsCnkUt:d:i:o:")) != -1) {
        switch (c) {
        case 'r': flags |= BLK_RDONLY; break;
        case 's': flags |= BLK_SNAPSHOT; break;
        case 'C': flags |= BLK_COPY_ON_READ; break;
        case 'n': flags |= BLK_DIRECT; break;
        case 'k': flags |= BLK_NATIVE_AIO; break;
        case 'U': flags |= BLK_FORCE_SHARE; break;
        case 'i': rc = io_parse_aio(optarg, &flags); break;
        case 't':
            if (blk_parse_cache(optarg, &flags)) rc = (error_report("Invalid cache option: %s", optarg), -1);
            break;
        case 'd':
            if (blk_parse_discard(optarg, &flags)) rc = (error_report("Invalid discard option: %s", optarg), -1);
            break;
        case 'o': rc = add_options(&o, optarg); break;
        default: rc = io_usage("open");
        }
    }
    if (!rc && optind == argc - 1) rc = io_open_image(io, argv[optind], &o, flags);
    else if (!rc && optind == argc && o.n) rc = io_open_image(io, NULL, &o, flags);
    else if (!rc) rc = io_usage("open");
    opts_free(&o);
    return rc;
}

int io_reopen(struct io *io, int argc, char **argv)
{
    static const struct { const char *key; unsigned bit; bool inverse; } keys[] = {
        {"read-only", BLK_RDONLY, false}, {"cache.direct", BLK_DIRECT, false}, {"cache.no-flush", BLK_NO_FLUSH, false},
        {"cache.writeback", BLK_WRITETHROUGH, true}};
    unsigned flags = blk_flags(io->blk);
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0}, own = {NULL, 0};
    bool mode = false, cache = false;
    int c, rc = 0;

    while (!rc && (c = getopt(argc, argv, "c:o:rw")) != -1) {
        switch (c) {
        case 'c':
            cache = true;
            if (blk_parse_cache(optarg, &flags)) rc = (error_report("Invalid cache option: %s", optarg), -1);
            break;
        case 'o': rc = add_options(&o, optarg); break;
        case 'r': case 'w':
            if (mode) rc = (error_report("Only one -r/-w option may be given"), -1);
            mode = true;
            flags = c == 'r' ? flags | BLK_RDONLY : flags & ~(unsigned)BLK_RDONLY;
            break;
        default: rc = io_usage("reopen");
        }
    }
    if (!rc && optind != argc) rc = io_usage("reopen");
    for (unsigned i = 0; i < o.n && !rc; i++) {
        size_t k = 0;
        bool on;
        while (k < ARRAY_LEN(keys) && strcmp(keys[k].key, o.v[i].name)) k++;
        if (k == ARRAY_LEN(keys)) opts_set(&own, o.v[i].name, o.v[i].value);
        else if (k && cache) rc = error_set(&e, "Cannot set both -c and the cache options");
        else if (!k && mode) rc = error_set(&e, "Cannot set both -r/-w and 'read-only'");
        else if (!(rc = opt_parse_bool(keys[k].key, o.v[i].value, &on, &e)))
            flags = on != keys[k].inverse ? flags | keys[k].bit : flags & ~keys[k].bit;
    }
    if (!rc) {
        io_release(io);
        rc = blk_set_options(io->blk, &own, true, &e);
        if (!rc) rc = blk_reopen(io->blk, flags, &e);
        if (!rc) rc = blk_set_options(io->blk, &own, false, &e);
        if (rc) error_set(&e, "%s", strerror(-rc));
    }
    if (rc && e.set) error_print(&e);
    opts_free(&own);
    opts_free(&o);
    return rc ? -1 : 0;
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
        if (blk_parse_prealloc(optarg, &p)) return error_report("Invalid preallocation mode '%s'", optarg), -1;
    }
    if (optind + 1 != argc) return io_usage("truncate");
    if (io_number(argv[optind], &size)) return -1;
    if (blk_truncate(io->blk, size, p, &e)) return error_print(&e), -1;
    return 0;
}

/* One run of the top layer. */
static int allocated(struct io *io, uint64_t at, uint64_t n, bool *yes, uint64_t *run)
{
    struct blk_status st;
    int rc;

    for (*run = 0; *run < n; *run += st.bytes) {
        rc = blk_node_status(blk_root(io->blk), at + *run, n - *run, &st);
        if (rc) return printf("is_allocated failed: %s\n", strerror(-rc)), -1;
        if (!*run) *yes = (st.flags & BLK_ST_ALLOCATED) != 0;
        else if (*yes != ((st.flags & BLK_ST_ALLOCATED) != 0)) break;
    }
    return 0;
}

int io_alloc(struct io *io, int argc, char **argv)
{
    uint64_t offset, count = 512, size = blk_size(io->blk), sum = 0, run;
    char a[48];
    bool yes;

    if (io_number(argv[1], &offset) || (argc > 2 && io_number(argv[2], &count))) return -1;
    count = offset < size ? MIN(count, size - offset) : 0;
    for (uint64_t at = 0; at < count; at += run) {
        if (allocated(io, offset + at, count - at, &yes, &run)) return -1;
        if (yes) sum += run;
    }
    printf("%llu/%llu bytes allocated at offset %s\n", (unsigned long long)sum, (unsigned long long)count,
           io_size_text(offset, a, sizeof a));
    return 0;
}

int io_map(struct io *io, int argc, char **argv)
{
    uint64_t size = blk_size(io->blk), run;
    char a[48], b[48];
    bool yes;

    for (uint64_t at = 0; at < size; at += run) {
        if (allocated(io, at, size - at, &yes, &run)) return -1;
        printf("%s (0x%llx) bytes %s allocated at offset %s (0x%llx)\n", io_size_text(run, a, sizeof a),
               (unsigned long long)run, yes ? "   " : "not", io_size_text(at, b, sizeof b), (unsigned long long)at);
    }
    return 0;
}

int io_info(struct io *io, int argc, char **argv)
{
    struct blk_node *n = blk_root(io->blk);
    struct blk_info i;
    char a[48];
    int rc;

    printf("format name: %s\n", blk_node_driver(n));
    rc = blk_node_info(n, &i);
    if (rc) return printf("could not get information: %s\n", strerror(-rc)), -1;
    printf("cluster size: %s\n", io_size_text(i.cluster_size, a, sizeof a));
    printf("vm state offset: %s\n", io_size_text(i.vm_state_offset, a, sizeof a));
    img_print_specific(n);
    return 0;
}

/* ---- the program ---------------------------------------------------------------------------------- */

static int whole_number(const char *text, uint64_t max, uint64_t *v)
{
    if (!opt_parse_number("argument", text, max, v, NULL)) return 0;
    return printf("%s is not a valid number\n", text), -1;
}

int io_sleep(struct io *io, int argc, char **argv)
{
    uint64_t ms;

    if (whole_number(argv[1], INT32_MAX, &ms)) return -1;
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
    return 0;
}

int io_sigraise(struct io *io, int argc, char **argv)
{
    uint64_t n;

    if (io_number(argv[1], &n)) return -1;
    if (n > MAX_SIGNAL) return printf("signal argument '%s' is too large to be a valid signal\n", argv[1]), -1;
    fflush(stdout); /* what was said must be seen */
    raise((int)n);
    return 0;
}

int io_abort(struct io *io, int argc, char **argv)
{
    fflush(stdout);
    abort();
}
