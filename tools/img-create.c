/*
 * img-create.c - quern-img create.
 */
#include "tools/img.h"

#include <stdio.h>

/* `Formatting 'x', fmt=qcow2 size=...`: options in the order of the table, those that have a value. */
static void announce(const char *filename, const char *format, const struct opts *o)
{
    printf("Formatting '%s', fmt=%s", filename, format);
    for (const struct blk_create_opt *t = blk_create_opts(format, NULL); t && t->name; t++) {
        const char *v = opts_get(o, t->name);
        if (!v) v = t->def;
        if (!v || !*v) continue;
        if (t->kind == OPT_SIZE) printf(" %s=%llu", t->name, (unsigned long long)(opts_get(o, t->name) ? opts_size(o, t->name, 0) : strtoull(v, NULL, 10)));
        else if (t->kind == OPT_BOOL) printf(" %s=%s", t->name, opts_get(o, t->name) && !opts_bool(o, t->name, false) ? "off" : v);
        else printf(" %s=%s", t->name, v);
    }
    printf("\n");
}

int img_create(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {{"object", required_argument, NULL, 'O'}, {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    const char *format = "raw", *backing = NULL, *backing_format = NULL, *filename;
    struct opts o = {NULL, 0};
    bool quiet = false, unsafe = false, help = false;
    struct error e = ERROR_INIT;
    int c, rc;

    while ((c = getopt_long(argc, argv, "F:b:f:ho:qu", longs, NULL)) != -1) {
        switch (c) {
        case 'f': format = optarg; break;
        case 'F': backing_format = optarg; break;
        case 'b': backing = optarg; break;
        case 'q': quiet = true; break;
        case 'u': unsafe = true; break;
        case 'O':
            if (img_object(g, optarg)) return 1;
            break;
        case 'o':
            rc = img_options(&o, optarg);
            if (rc < 0) return 1;
            help |= rc > 0;
            break;
        default: return img_usage("create: invalid option");
        }
    }
    filename = optind < argc ? argv[optind] : NULL;
    if (help) return img_print_options(format, filename);
    if (!filename) return img_usage("Expecting image file name");
    if (argc - optind > 2) return img_usage("Unexpected argument: %s", argv[optind + 2]);
    if (optind + 1 < argc) {
        uint64_t size;
        char *s;
        if (img_parse_size(argv[optind + 1], &size)) return 1;
        s = mem_printf("%llu", (unsigned long long)size);
        opts_set(&o, "size", s);
        mem_free(s);
    }
    if (backing) opts_set(&o, "backing_file", backing);
    if (backing_format) opts_set(&o, "backing_fmt", backing_format);
    rc = 1;
    if (opts_get(&o, "backing_file") && !opts_get(&o, "backing_fmt")) {
        error_report("%s: Backing file specified without backing format", filename);
    } else if (blk_create(g, format, filename, &o, !unsafe, &e)) {
        img_fail(&e);
    } else {
        rc = 0;
        if (!opts_get(&o, "size")) { /* it came from the backing file */
            struct img_args a = {.force_share = true};
            struct blk_backend *b = img_open(g, filename, &a, format, NULL, BLK_RDONLY | BLK_NO_BACKING);
            char *s = mem_printf("%llu", (unsigned long long)(b ? blk_size(b) : 0));
            opts_set(&o, "size", s);
            mem_free(s);
            blk_close(b);
        }
        if (!quiet) announce(filename, format, &o);
    }
    opts_free(&o);
    return rc;
}
