/*
 * img-create.c - quern-img create.
 */
#include "tools/img.h"

#include <stdio.h>

/* In which order the announcement names options: size, backing and the like stand between those of a format. Keys
 * that are not here follow in the order of the format's table. */
static const char *const qcow2_order[] = {
    "encryption", "encrypt.format", "encrypt.key-secret", "encrypt.cipher-alg", "encrypt.cipher-mode",
    "encrypt.ivgen-alg", "encrypt.ivgen-hash-alg", "encrypt.hash-alg", "encrypt.iter-time", "cluster_size",
    "extended_l2", "preallocation", "compression_type", "size", "compat", "backing_file", "backing_fmt", "data_file",
    "data_file_raw", "lazy_refcounts", "refcount_bits", NULL};
static const char *const other_order[] = {
    "size", "key-secret", "cipher-alg", "cipher-mode", "ivgen-alg", "ivgen-hash-alg", "hash-alg", "iter-time",
    "adapter_type", "backing_file", "backing_fmt", "cluster_size", "table_size", "encryption", "encrypt.format",
    "encrypt.key-secret", "compat6", "hwversion", "static", "log_size", "block_size", "subformat", "force_size",
    "block_state_zero", "preallocation", NULL};

static bool has_key(const struct blk_create_opt *t, const char *name)
{
    for (; t && t->name; t++) {
        if (!strcmp(t->name, name)) return true;
    }
    return false;
}

static void announce_one(const struct blk_create_opt *t, const struct opts *o)
{
    const char *v = opts_get(o, t->name);
    uint64_t n;

    if (!v) v = t->def;
    if (!v && !strcmp(t->name, "extended_l2")) v = "off"; /* said here, though not among the options' defaults */
    if (!v || !*v) return;
    if (t->kind == OPT_SIZE && !opt_parse_size(t->name, v, 1, &n, NULL)) printf(" %s=%llu", t->name, (unsigned long long)n);
    else if (t->kind == OPT_BOOL && opts_get(o, t->name)) printf(" %s=%s", t->name, opts_bool(o, t->name, false) ? "on" : "off");
    else printf(" %s=%s", t->name, v);
}

/* `Formatting 'x', fmt=qcow2 size=...`: those options that have a value. */
static void announce(const char *filename, const char *format, const struct opts *o)
{
    const char *const *order = !strcmp(format, "qcow2") ? qcow2_order : other_order;
    const struct blk_create_opt *table = blk_create_opts(format, NULL), *t;
    const struct blk_create_opt *below = blk_create_file_opts(filename);

    printf("Formatting '%s', fmt=%s", filename, format);
    for (unsigned i = 0; order[i]; i++) {
        for (t = table; t && t->name; t++) {
            if (!strcmp(t->name, order[i])) announce_one(t, o);
        }
    }
    for (t = table; t && t->name; t++) {
        unsigned i = 0;
        while (order[i] && strcmp(order[i], t->name)) i++;
        if (!order[i]) announce_one(t, o);
    }
    for (t = below; t && t->name; t++) {
        if (!has_key(table, t->name)) announce_one(t, o);
    }
    printf("\n");
    fflush(stdout); /* an error that follows stands below */
}

/* How the backing file could not be opened. Takes e. */
static int no_backing(const char *filename, struct error *e)
{
    error_prefix(e, "%s", filename);
    error_hint(e, "Could not open backing image.");
    return img_fail(e);
}

/* Nothing is made over a backing file whose format nobody has said; but what it seems to be is shown, if anybody looks at it. */
static void say_format(struct blk_graph *g, const char *filename, const struct opts *o, bool unsafe)
{
    struct error e = ERROR_INIT;
    char *path = blk_path_combine(filename, opts_get(o, "backing_file"));
    struct blk_backend *b =
        unsafe ? NULL : blk_open_in(g, path, NULL, NULL, BLK_RDONLY | BLK_NO_BACKING | BLK_NO_IO | BLK_FORCE_SHARE, &e);

    if (e.set) no_backing(filename, &e);
    else error_report("%s: Backing file specified without backing format", filename);
    if (b) fprintf(stderr, "Detected format of %s.\n", blk_node_driver(blk_root(b)));
    blk_close(b);
    mem_free(path);
}

/* The backing file can be opened, and gives the size where none is said: known before anything is made or said. */
static int look_at_backing(struct blk_graph *g, const char *filename, struct opts *o)
{
    struct error e = ERROR_INIT;
    char *path = blk_path_combine(filename, opts_get(o, "backing_file"));
    struct blk_backend *b = blk_open_in(g, path, opts_get(o, "backing_fmt"), NULL, BLK_RDONLY | BLK_NO_IO, &e);

    if (b && !opts_get(o, "size")) img_set_size(o, blk_size(b));
    blk_close(b);
    mem_free(path);
    return b ? 0 : no_backing(filename, &e);
}

int img_create(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
                                          {"object", required_argument, NULL, IMG_OBJECT},
                                          IMG_LONGS_END};
    struct img_args a = {.format = "raw"};
    const char *backing = NULL, *backing_format = NULL, *filename;
    struct opts o = {NULL, 0};
    bool unsafe = false, help = false;
    struct error e = ERROR_INIT;
    const struct blk_create_opt *table;
    uint64_t size;
    int c, rc = 1;

    while ((c = img_getopt(g, &a, argc, argv, ":F:b:f:ho:qu", longs)) >= 0) {
        switch (c) {
        case 'F': backing_format = optarg; break;
        case 'b': backing = optarg; break;
        case 'u': unsafe = true; break;
        case 'o':
            c = img_options(&o, optarg);
            if (c < 0) goto out;
            help |= c > 0;
            break;
        }
    }
    if (c == IMG_STOP) {
        rc = a.status;
        goto out;
    }
    filename = optind < argc ? argv[optind] : NULL;
    if (help) rc = img_print_options(a.format, filename);
    else if (!filename) rc = img_usage("Expecting image file name");
    else if (argc - optind > 2) rc = img_usage("Unexpected argument: %s", argv[optind + 2]);
    if (help || !filename || argc - optind > 2) goto out;
    if (optind + 1 < argc) {
        if (img_parse_size(argv[optind + 1], "image size", &size)) goto out;
        if (opts_get(&o, "size")) {
            error_report("%s: The image size must be specified only once", filename);
            goto out;
        }
        img_set_size(&o, size);
    }
    table = blk_create_opts(a.format, &e);
    if (!table) error_prefix(&e, "%s", filename);
    else if (backing && !has_key(table, "backing_file"))
        error_set(&e, "%s: Backing file not supported for file format '%s'", filename, a.format);
    else if (backing_format && !has_key(table, "backing_fmt"))
        error_set(&e, "%s: Backing format not supported for file format '%s'", filename, a.format);
    if (e.set) {
        img_fail(&e);
        goto out;
    }
    if (backing) opts_set(&o, "backing_file", backing);
    if (backing_format) opts_set(&o, "backing_fmt", backing_format);
    if (opts_get(&o, "backing_file") && !opts_get(&o, "backing_fmt") && has_key(table, "backing_fmt")) {
        say_format(g, filename, &o, unsafe);
        goto out;
    }
    if (blk_create_check(a.format, filename, &o, &e)) {
        img_fail(&e);
        goto out;
    }
    const char *below = opts_get(&o, "backing_file");
    if (below && *below && !unsafe && look_at_backing(g, filename, &o)) goto out;
    if (!opts_get(&o, "size")) {
        error_report("%s: Image creation needs a size parameter", filename);
        goto out;
    }
    if (!a.quiet) announce(filename, a.format, &o);
    rc = blk_create(g, a.format, filename, &o, false, &e) ? img_fail(&e) : 0;
out:
    opts_free(&o);
    return rc;
}
