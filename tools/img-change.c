/*
 * img-change.c - quern-img resize, snapshot, bitmap and amend: changes of one image in place.
 */
#include "tools/img.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* ---- resize --------------------------------------------------------------------------------------- */

int img_resize(struct blk_graph *g, int argc, char **argv)
{
    enum { LONG_PREALLOC = IMG_OWN, LONG_SHRINK };
    static const struct option longs[] = {IMG_LONGS,
                                          {"preallocation", required_argument, NULL, LONG_PREALLOC},
                                          {"shrink", no_argument, NULL, LONG_SHRINK},
                                          IMG_LONGS_END};
    enum blk_prealloc prealloc = BLK_PREALLOC_OFF;
    struct img_args a = {0};
    struct error e = ERROR_INIT;
    const char *text;
    bool shrink = false;
    uint64_t size, now;
    char sign = 0;
    int c, rc = 1;

    /* The size is last and may begin with '-': it is taken away before options are looked at. */
    if (argc < 3) {
        while ((c = img_getopt(g, &a, argc, argv, ":f:hq", longs)) >= 0) {
        }
        return c == IMG_STOP ? a.status : img_usage("Not enough arguments");
    }
    text = argv[--argc];
    while ((c = img_getopt(g, &a, argc, argv, ":f:hq", longs)) >= 0) {
        if (c == LONG_SHRINK) shrink = true;
        else if (blk_parse_prealloc(optarg, &prealloc))
            return error_report("Invalid preallocation mode '%s'", optarg), 1;
    }
    if (c == IMG_STOP) return a.status;
    if (argc - optind != 1) return img_usage("Expecting image file name and size");
    if (*text == '+' || *text == '-') sign = *text++;
    if (opt_parse_size("size", text, 1, &size, &e)) return img_fail(&e);
    struct blk_backend *b = img_open(g, argv[optind], &a, a.format, NULL, 0);
    if (!b) return 1;
    now = blk_size(b);
    if (sign == '-') size = size < now ? now - size : 0;
    else if (sign == '+') size = size <= INT64_MAX - now ? size + now : UINT64_MAX;
    if (!size) {
        error_report("New image size must be positive");
    } else if (size <= now && prealloc) {
        error_report("Preallocation can only be used for growing images");
    } else if (size < now && !shrink) {
        error_report("Use the --shrink option to perform a shrink operation.");
        error_warn("Shrinking an image will delete all data beyond the shrunken image's end. Before performing such an "
                   "operation, make sure there is no important data there.");
    } else if (blk_truncate(b, size, prealloc, &e)) {
        img_fail(&e);
    } else {
        if (!a.quiet) printf("Image resized.\n");
        rc = 0;
    }
    blk_close(b);
    return rc;
}

/* ---- snapshot ------------------------------------------------------------------------------------- */

static int snapshot_create(struct blk_backend *b, const char *name)
{
    struct blk_snapshot sn = {.icount = 0};
    struct error e = ERROR_INIT;
    struct timespec now;
    int rc;

    if (strlen(name) >= sizeof sn.name) return error_report("Snapshot name '%s' is too long", name), 1;
    snprintf(sn.name, sizeof sn.name, "%s", name);
    timespec_get(&now, TIME_UTC);
    sn.date_sec = (uint32_t)now.tv_sec, sn.date_nsec = (uint32_t)now.tv_nsec;
    rc = blk_snapshot_create(b, &sn, &e);
    if (rc) error_report("Could not create snapshot '%s': %d (%s)", name, rc, strerror(-rc));
    return rc != 0;
}

int img_snapshot(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {IMG_LONGS, IMG_LONG_SHARE, IMG_LONGS_END};
    struct img_args a = {0};
    struct blk_snapshot *list = NULL;
    struct error e = ERROR_INIT;
    const char *name = NULL;
    int c, action = 0, rc = 0;

    while ((c = img_getopt(g, &a, argc, argv, ":la:c:d:hqUf:", longs)) >= 0) {
        if (action) return img_usage("Cannot mix '-l', '-a', '-c', '-d'");
        action = c, name = optarg;
    }
    if (c == IMG_STOP) return a.status;
    if (argc - optind != 1) return img_usage("Expecting one image file name");
    bool reads = !action || action == 'l';
    struct blk_backend *b = img_open(g, argv[optind], &a, a.format, NULL, reads ? BLK_RDONLY | BLK_NO_BACKING : 0);
    if (!b) return 1;
    switch (action) {
    case 'l': {
        int n = blk_snapshot_list(blk_root(b), &list, &e);
        if (n > 0) img_print_snapshots(list, n);
        mem_free(list);
        break;
    }
    case 'c': rc = snapshot_create(b, name); break;
    case 'a':
        rc = blk_snapshot_apply(b, name, &e);
        if (rc) error_prefix(&e, "Could not apply snapshot '%s'", name), img_fail(&e);
        break;
    case 'd':
        rc = blk_snapshot_delete(b, name, &e);
        if (rc == -ENOENT || rc == -ENOTSUP) error_report("Could not delete snapshot '%s': snapshot not found", name);
        else if (rc) error_prefix(&e, "Could not delete snapshot '%s'", name), img_fail(&e);
        break;
    }
    blk_close(b);
    return rc != 0;
}

/* ---- bitmap --------------------------------------------------------------------------------------- */

enum { BITMAP_ADD = IMG_OWN, BITMAP_REMOVE, BITMAP_CLEAR, BITMAP_ENABLE, BITMAP_DISABLE, BITMAP_MERGE };
static const char *const actions[] = {"add", "remove", "clear", "enable", "disable", "merge"};

struct bitmap_args {
    struct blk_node *node, *source_node;
    const char *name;
    uint32_t granularity;
};

static uint32_t default_granularity(struct blk_node *n)
{
    struct blk_info i;
    if (blk_node_info(n, &i) || !i.cluster_size) return 65536;
    return MIN(MAX(i.cluster_size, 4096u), 65536u);
}

static int bitmap_act(const struct bitmap_args *k, int action, const char *source, struct error *e)
{
    struct blk_bitmap *b = blk_bitmap_find(k->node, k->name), *from;
    unsigned flags;

    if (action == BITMAP_ADD)
        return blk_bitmap_new(k->node, k->name, k->granularity, true, e) ? 0 : -1;
    if (!b) return error_set(e, "Dirty bitmap '%s' not found", k->name);
    flags = blk_bitmap_flags(b);
    if (action != BITMAP_REMOVE && (flags & BLK_BITMAP_INCONSISTENT))
        return error_set(e, "Bitmap '%s' is inconsistent and cannot be used", k->name);
    switch (action) {
    case BITMAP_REMOVE: blk_bitmap_delete(b); break;
    case BITMAP_CLEAR: blk_bitmap_clear(b, 0, blk_node_size(k->node)); break;
    case BITMAP_ENABLE: blk_bitmap_set_flags(b, flags | BLK_BITMAP_ENABLED); break;
    case BITMAP_DISABLE: blk_bitmap_set_flags(b, flags & ~(unsigned)BLK_BITMAP_ENABLED); break;
    default:
        from = blk_bitmap_find(k->source_node, source);
        if (!from) return error_set(e, "Dirty bitmap '%s' not found", source);
        return blk_bitmap_merge(b, from, e);
    }
    return 0;
}

int img_bitmap(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {IMG_LONGS,
                                          {"add", no_argument, NULL, BITMAP_ADD},
                                          {"remove", no_argument, NULL, BITMAP_REMOVE},
                                          {"clear", no_argument, NULL, BITMAP_CLEAR},
                                          {"enable", no_argument, NULL, BITMAP_ENABLE},
                                          {"disable", no_argument, NULL, BITMAP_DISABLE},
                                          {"merge", required_argument, NULL, BITMAP_MERGE},
                                          {"granularity", required_argument, NULL, 'g'},
                                          {"source-file", required_argument, NULL, 'b'},
                                          {"source-format", required_argument, NULL, 'F'},
                                          IMG_LONGS_END};
    struct { int action; const char *source; } todo[64];
    const char *source_file = NULL, *source_format = NULL;
    struct blk_backend *b, *source = NULL;
    struct bitmap_args k = {0};
    struct img_args a = {0};
    struct error e = ERROR_INIT;
    unsigned n = 0, adds = 0, merges = 0;
    uint64_t granularity = 0;
    int c, rc = 0;

    while ((c = img_getopt(g, &a, argc, argv, ":b:f:F:g:h", longs)) >= 0) {
        switch (c) {
        case 'b': source_file = optarg; break;
        case 'F': source_format = optarg; break;
        case 'g':
            if (img_parse_size(optarg, "granularity", &granularity)) return 1;
            break;
        default:
            if (n == ARRAY_LEN(todo)) return error_report("Too many actions"), 1;
            todo[n].action = c, todo[n++].source = optarg;
            adds += c == BITMAP_ADD, merges += c == BITMAP_MERGE;
        }
    }
    if (c == IMG_STOP) return a.status;
    if (argc - optind != 2) return error_report("Expecting filename and bitmap name"), 1;
    if (!n)
        return error_report("Need at least one of --add, --remove, --clear, --enable, --disable, or --merge"), 1;
    if (granularity && !adds) return error_report("granularity only supported with --add"), 1;
    if (source_format && !source_file) return error_report("-F only supported with -b"), 1;
    if (source_file && !merges) return error_report("Merge bitmap source file only supported with --merge"), 1;
    k.name = argv[optind + 1];
    b = img_open(g, argv[optind], &a, a.format, NULL, BLK_NO_BACKING);
    if (!b) return 1;
    k.node = k.source_node = blk_root(b);
    if (source_file) {
        struct img_args plain = {0};
        source = img_open(g, source_file, &plain, source_format, NULL, BLK_RDONLY | BLK_NO_BACKING);
        if (source) k.source_node = blk_root(source);
        else rc = 1;
    }
    if (granularity > UINT32_MAX) granularity = 1; /* refused where it is used */
    k.granularity = granularity ? (uint32_t)granularity : default_granularity(k.node);
    for (unsigned i = 0; i < n && !rc; i++) {
        rc = bitmap_act(&k, todo[i].action, todo[i].source, &e);
        if (rc) error_prefix(&e, "Operation %s on bitmap %s failed", actions[todo[i].action - IMG_OWN], k.name), img_fail(&e);
    }
    blk_close(source);
    blk_close(b);
    return rc != 0;
}

/* ---- amend ---------------------------------------------------------------------------------------- */

static int amend_help(const char *format)
{
    static const char *const kinds[] = {"str", "bool (on/off)", "num", "size"};
    struct error e = ERROR_INIT;
    const struct blk_create_opt *t = blk_amend_opts(format, &e);

    if (!t) return img_fail(&e);
    printf("Amend options for '%s':\n", format);
    for (; t->name; t++) {
        char left[64];
        snprintf(left, sizeof left, "%s=<%s>", t->name, kinds[t->kind]);
        printf("  %-22s - %s\n", left, t->help);
    }
    return 0;
}

static void amend_progress(void *opaque, uint64_t done, uint64_t total) { img_progress_show(opaque, done, total); }

int img_amend(struct blk_graph *g, int argc, char **argv)
{
    enum { LONG_FORCE = IMG_OWN };
    static const struct option longs[] = {IMG_LONGS, {"force", no_argument, NULL, LONG_FORCE}, IMG_LONGS_END};
    struct img_args a = {0};
    struct img_progress p = {false, 0};
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    bool force = false, help = false;
    struct blk_backend *b = NULL;
    const char *format;
    int c, rc = 1;

    while ((c = img_getopt(g, &a, argc, argv, ":ho:f:t:pq", longs)) >= 0) {
        if (c == LONG_FORCE) {
            force = true;
        } else {
            c = img_options(&o, optarg);
            if (c < 0) goto out;
            help |= c > 0;
        }
    }
    if (c == IMG_STOP) rc = a.status;
    else if (!o.n && !help) rc = img_usage("Must specify options (-o)");
    else if (help && a.format) rc = amend_help(a.format);
    else if (argc - optind != 1) rc = img_usage("Expecting one image file name");
    else b = img_open(g, argv[optind], &a, a.format, a.cache, 0);
    if (!b) goto out;
    format = blk_node_driver(blk_root(b));
    if (help) {
        rc = amend_help(format);
    } else {
        if (a.quiet) a.progress = false;
        img_progress_start(&p, a.progress);
        rc = blk_amend(b, &o, force, amend_progress, &p, &e);
        if (rc) img_fail(&e);
        else img_progress_end(&p);
    }
out:
    blk_close(b);
    opts_free(&o);
    return rc != 0;
}
