/*
 * img-common.c - what quern-img's commands share: opening by options, sizes as text, create options, progress.
 */
#include "tools/img.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

int img_usage(const char *fmt, ...)
{
    char buf[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    error_report("%s", buf);
    fprintf(stderr, "Try 'quern-img --help' for more information\n");
    return 1;
}

int img_fail(const struct error *e)
{
    error_print(e);
    return 1;
}

const char *img_size_text(uint64_t n, char *buf, size_t room)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)n;
    unsigned i = 0;

    /* three digits: 999.5 already counts as the next unit's */
    while (v >= 1000 && i + 1 < ARRAY_LEN(units)) v /= 1024, i++;
    snprintf(buf, room, "%.3g %s", v, units[i]);
    return buf;
}

int img_parse_size(const char *text, const char *what, uint64_t *out)
{
    struct error e = ERROR_INIT;

    int rc = opt_parse_size(what, text, 1, out, &e);
    if (!rc && *out <= INT64_MAX) return 0;
    if (!rc || rc == -ERANGE) {
        error_report("Invalid %s specified. Must be between 0 and %lld.", what, (long long)INT64_MAX);
        return -1;
    }
    error_report("Invalid %s specified. You may use k, M, G, T, P or E suffixes for", what);
    error_report("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
    return -1;
}

bool img_is_zero(const void *buf, size_t n)
{
    const uint8_t *p = buf;
    uint64_t a[4];

    if (!n) return true;
    if (p[0] || p[n / 2] || p[n - 1]) return false;
    for (; n >= sizeof a; p += sizeof a, n -= sizeof a) {
        memcpy(a, p, sizeof a);
        if (a[0] | a[1] | a[2] | a[3]) return false;
    }
    while (n--) {
        if (*p++) return false;
    }
    return true;
}

void img_set_size(struct opts *o, uint64_t bytes)
{
    char *s = mem_printf("%llu", (unsigned long long)bytes);
    opts_set(o, "size", s);
    mem_free(s);
}

static int stop(struct img_args *a, int status) { return a->status = status, IMG_STOP; }

int img_getopt(struct blk_graph *g, struct img_args *a, int argc, char **argv, const char *letters,
               const struct option *longs)
{
    opterr = 0;
    for (;;) {
        int c = getopt_long(argc, argv, letters, longs, NULL);
        switch (c) {
        case -1: return IMG_END;
        case 'h': img_help(); return stop(a, 0);
        case ':': return stop(a, img_usage("missing argument for option '%s'", argv[optind - 1]));
        case '?': return stop(a, img_usage("unrecognized option '%s'", argv[optind - 1]));
        case 'f': a->format = optarg; break;
        case 'q': a->quiet = true; break;
        case 'p': a->progress = true; break;
        case 't': a->cache = optarg; break;
        case 'T': a->src_cache = optarg; break;
        case 'U': a->force_share = true; break;
        case IMG_IMAGE_OPTS: a->image_opts = true; break;
        case IMG_OBJECT:
            if (img_object(g, optarg)) return stop(a, 1);
            break;
        case IMG_OUTPUT:
            if (img_output(optarg, &a->json)) return stop(a, 1);
            break;
        default: return c;
        }
    }
}

int img_output(const char *arg, bool *json)
{
    if (!strcmp(arg, "json")) return *json = true, 0;
    if (!strcmp(arg, "human")) return *json = false, 0;
    error_report("--output must be used with human or json as argument.");
    return -1;
}

int img_options(struct opts *o, const char *arg)
{
    struct opts more;
    struct error e = ERROR_INIT;

    if (opt_is_help(arg)) return 1;
    if (opts_parse(&more, arg, NULL, NULL, &e)) return error_report("Invalid option list: %s", arg), -1;
    for (unsigned i = 0; i < more.n; i++) {
        if (opt_is_help(more.v[i].name)) return opts_free(&more), 1;
        opts_set(o, more.v[i].name, more.v[i].value);
    }
    opts_free(&more);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct blk_create_opt *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

int img_print_options(const char *format, const char *filename)
{
    static const char *const kinds[] = {"str", "bool (on/off)", "num", "size"};
    const struct blk_create_opt *sorted[128];
    struct error e = ERROR_INIT;
    const struct blk_create_opt *t = blk_create_opts(format, &e), *file;
    size_t n = 0;

    if (!t) return img_fail(&e);
    for (; t->name && n < ARRAY_LEN(sorted); t++) sorted[n++] = t;
    for (file = filename ? blk_create_file_opts(filename) : NULL; file && file->name && n < ARRAY_LEN(sorted); file++) {
        bool twice = false;
        for (size_t i = 0; i < n; i++) twice |= !strcmp(sorted[i]->name, file->name);
        if (!twice) sorted[n++] = file;
    }
    qsort(sorted, n, sizeof *sorted, by_name);
    printf(filename ? "Supported options:\n" : "Supported %s options:\n", format);
    for (size_t i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s=<%s>", sorted[i]->name, kinds[sorted[i]->kind]);
        printf("  %-22s - %s\n", left, sorted[i]->help);
    }
    if (!filename)
        printf("\nThe protocol level may support further options.\nSpecify the target filename to include those options.\n");
    return 0;
}

struct blk_backend *img_open(struct blk_graph *g, const char *name, const struct img_args *a, const char *format,
                             const char *cache, unsigned flags)
{
    struct error e = ERROR_INIT;
    struct blk_backend *b = NULL;

    if (cache && blk_parse_cache(cache, &flags)) {
        error_report("Invalid cache option: %s", cache);
        return NULL;
    }
    if (a->force_share) flags |= BLK_FORCE_SHARE;
    if (a->image_opts) {
        struct opts o;
        if (format) {
            error_report("--image-opts and --format are mutually exclusive");
            return NULL;
        }
        if (!opts_parse(&o, name, NULL, NULL, &e)) b = blk_open_opts(g, &o, flags, &e);
        opts_free(&o);
    } else {
        b = blk_open_in(g, name, format, NULL, flags, &e);
    }
    if (!b) {
        error_prefix(&e, "Could not open '%s'", name);
        img_fail(&e);
    }
    return b;
}

/* ---- progress ------------------------------------------------------------------------------------- */

static volatile sig_atomic_t asked;

static void on_usr1(int n) { asked = 1; }

void img_progress_start(struct img_progress *p, bool on)
{
    *p = (struct img_progress){on, -1};
#ifdef SIGUSR1
    struct sigaction sa = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGUSR1, &sa, NULL);
#endif
    if (on) img_progress_show(p, 0, 1);
}

void img_progress_show(struct img_progress *p, uint64_t done, uint64_t total)
{
    double now = total ? 100.0 * (double)done / (double)total : 100.0;

    if (p->on && now - p->last >= 0.01) {
        printf("    (%3.2f/100%%)\r", now);
        fflush(stdout);
        p->last = now;
    }
    if (asked) asked = 0, fprintf(stderr, "    (%3.2f/100%%)\n", now);
}

void img_progress_end(struct img_progress *p)
{
    if (p->on) img_progress_show(p, 1, 1), printf("\n");
}
