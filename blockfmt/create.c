/*
 * create.c - making images: the typed options of formats, defaults, the size of a backing file, the file under the
 * format.
 */
#include "blockfmt/graph.h"

#include <stdio.h>

static const struct blk_driver *creator(const char *format, struct error *e)
{
    const struct blk_driver *d = blk_driver_find(format);

    if (!d) return error_set(e, "Unknown file format '%s'", format), NULL;
    if (!d->create) return error_set(e, "Format driver '%s' does not support image creation", format), NULL;
    return d;
}

const struct blk_create_opt *blk_create_opts(const char *format, struct error *e)
{
    const struct blk_driver *d = creator(format, e);
    return d ? d->create_opts : NULL;
}

bool blk_can_compress(const char *format)
{
    const struct blk_driver *d = blk_driver_find(format);
    return d && (d->compresses || d->kind == BLK_FILTER); /* a filter passes it on */
}

static int check_value(const struct blk_create_opt *t, const char *value, struct error *e)
{
    bool b;
    uint64_t v;

    switch (t->kind) {
    case OPT_BOOL: return opt_parse_bool(t->name, value, &b, e);
    case OPT_NUMBER: return opt_parse_number(t->name, value, UINT64_MAX, &v, e);
    case OPT_SIZE: return opt_parse_size(t->name, value, 1, &v, e);
    default: return 0;
    }
}

const struct blk_create_opt *blk_amend_opts(const char *format, struct error *e)
{
    const struct blk_driver *d = blk_driver_find(format);

    if (!d) error_set(e, "Unknown file format '%s'", format);
    else if (!d->amend) error_set(e, "Format driver '%s' does not support option amendment", format);
    return d && d->amend ? d->amend_opts : NULL;
}

static const struct blk_create_opt *find_opt(const struct blk_create_opt *t, const char *name)
{
    for (; t && t->name; t++) {
        if (!strcmp(t->name, name)) return t;
    }
    return NULL;
}

int node_check_amend(const struct blk_driver *d, const struct opts *o, struct error *e)
{
    for (unsigned i = 0; i < o->n; i++) {
        const struct blk_create_opt *t = find_opt(d->amend_opts, o->v[i].name);
        if (t && check_value(t, o->v[i].value, e)) return -EINVAL;
        if (t) continue;
        error_set(e, "Invalid parameter '%s'", o->v[i].name);
        if (find_opt(d->create_opts, o->v[i].name)) error_hint(e, "This option is only supported for image creation");
        return -EINVAL;
    }
    return 0;
}

/* What makes the file under a format. NULL: nothing does. */
static const struct blk_driver *file_creator(const struct opts *parsed)
{
    const char *drv = opts_get(parsed, "file.driver");
    return drv ? blk_driver_find(drv) : &blk_drv_file;
}

const struct blk_create_opt *blk_create_file_opts(const char *filename)
{
    struct opts o = {NULL, 0};
    const struct blk_driver *d = blk_parse_filename(filename, &o, NULL) ? NULL : file_creator(&o);

    opts_free(&o);
    return d ? d->create_opts : NULL;
}

/* Checks o against the table (and that of the protocol, where there is a file) and fills in defaults. */
static int complete(const struct blk_driver *d, const char *filename, const struct opts *o, struct opts *out, struct error *e)
{
    *out = (struct opts){NULL, 0};
    for (const struct blk_create_opt *t = d->create_opts; t->name; t++) {
        if (t->def) opts_set(out, t->name, t->def);
    }
    for (unsigned i = 0; o && i < o->n; i++) {
        const struct blk_create_opt *t = find_opt(d->create_opts, o->v[i].name);
        if (!t && filename && d->kind == BLK_FORMAT) t = find_opt(blk_create_file_opts(filename), o->v[i].name);
        if (!t) return error_set(e, "Invalid parameter '%s'", o->v[i].name);
        if (check_value(t, o->v[i].value, e)) return -1;
        opts_set(out, t->name, o->v[i].value);
    }
    return 0;
}

/* complete, and what else can be said before anything is opened. */
static int prepare(const struct blk_driver *d, const char *filename, const struct opts *opts, struct opts *o, struct error *e)
{
    const char *backing, *fmt;
    bool same = false;

    if (complete(d, filename, opts, o, e)) return -EINVAL;
    backing = opts_get(o, "backing_file"), fmt = opts_get(o, "backing_fmt");
    if (fmt && *fmt && !blk_driver_find(fmt)) return error_set(e, "Unknown backing file format '%s'", fmt), -EINVAL;
    if (backing && *backing) {
        char *path = blk_path_combine(filename, backing);
        same = !strcmp(path, filename);
        mem_free(path);
    }
    if (same)
        return error_set(e, "Error: Trying to create an image with the same filename as the backing file"), -EINVAL;
    return 0;
}

int blk_create_check(const char *format, const char *filename, const struct opts *opts, struct error *e)
{
    const struct blk_driver *d = creator(format, e);
    struct opts o = {NULL, 0};
    int rc = d ? prepare(d, filename, opts, &o, e) : -EINVAL;

    if (rc) error_prefix(e, "%s", filename);
    opts_free(&o);
    return rc;
}

/* The size of the backing file, for a create without one. */
static int backing_size(struct blk_graph *g, const char *filename, const struct opts *o, bool need, uint64_t *size,
                        struct error *e)
{
    const char *backing = opts_get(o, "backing_file"), *fmt = opts_get(o, "backing_fmt");
    char *path = blk_path_combine(filename, backing);
    struct blk_backend *b;
    int rc = -1;

    b = blk_open_in(g, path, fmt && *fmt ? fmt : NULL, NULL, BLK_RDONLY | BLK_NO_IO, e);
    if (b) {
        *size = blk_size(b);
        blk_close(b);
        rc = 0;
    } else {
        error_hint(e, "%s", need ? "Could not open backing image to determine size."
                                 : "Could not open backing image.");
    }
    mem_free(path);
    return rc;
}

int blk_create(struct blk_graph *graph, const char *format, const char *filename, const struct opts *opts,
               bool check_backing, struct error *e)
{
    const struct blk_driver *d = creator(format, e);
    struct blk_graph *g = graph ? graph : blk_graph_new();
    struct opts o = {NULL, 0};
    const char *backing, *size;
    int rc = -EINVAL;

    if (!d || prepare(d, filename, opts, &o, e)) goto out;
    backing = opts_get(&o, "backing_file"), size = opts_get(&o, "size");
    if (backing && *backing && (!size || check_backing)) {
        uint64_t n = 0;
        char *s;
        if (backing_size(g, filename, &o, !size, &n, e)) goto out;
        if (!size) {
            s = mem_printf("%llu", (unsigned long long)n);
            opts_set(&o, "size", s);
            mem_free(s);
        }
    } else if (!size) {
        error_set(e, "Image creation needs a size parameter");
        goto out;
    }
    if (opts_size(&o, "size", 0) > INT64_MAX - 511) {
        error_set(e, "Image size must be less than 8 EiB!");
        goto out;
    }
    rc = d->create(g, filename, &o, e);
    if (rc) error_set(e, "Could not create image: %s", strerror(-rc));
out:
    if (rc) error_prefix(e, "%s", filename);
    opts_free(&o);
    if (!graph) blk_graph_delete(g);
    return rc;
}

struct blk_node *blk_create_file(struct blk_graph *g, const char *filename, uint64_t size, const struct opts *opts,
                                 struct error *e)
{
    struct opts whole = {NULL, 0}, sub = {NULL, 0}, o = {NULL, 0};
    const struct blk_driver *d;
    const char *name, *drv;
    char *s;
    int rc = blk_parse_filename(filename, &whole, e);

    if (rc) goto fail;
    sub = opts_below(&whole, "file");
    drv = opts_get(&sub, "driver"), name = opts_get(&sub, "filename");
    d = file_creator(&whole);
    if (!d || !d->create) {
        error_set(e, "Protocol driver '%s' does not support image creation", drv ? drv : "?");
        goto fail;
    }
    s = mem_printf("%llu", (unsigned long long)size);
    opts_set(&o, "size", s);
    mem_free(s);
    for (const struct blk_create_opt *t = d->create_opts; t && t->name && opts; t++) {
        const char *v = opts_get(opts, t->name);
        if (v && strcmp(t->name, "size") && strcmp(t->name, "preallocation")) opts_set(&o, t->name, v);
    }
    rc = d->create(g, !drv && name ? name : filename, &o, e);
    opts_free(&o);
    if (rc) goto fail;
    opts_free(&sub);
    opts_free(&whole);
    struct blk_node *n = blk_open_file(g, filename, 0, e);
    return n;
fail:
    opts_free(&sub);
    opts_free(&whole);
    return NULL;
}

int blk_measure(const char *format, const struct opts *opts, struct blk_backend *source, struct blk_measure *m,
                struct error *e)
{
    const struct blk_driver *d = creator(format, e);
    struct opts o = {NULL, 0};
    int rc = -EINVAL;

    *m = (struct blk_measure){0, 0, 0};
    if (!d) return rc;
    if (!d->measure) return error_set(e, "Block driver '%s' does not support size measurement", format), -ENOTSUP;
    if (!complete(d, NULL, opts, &o, e)) rc = d->measure(&o, source, m, e);
    opts_free(&o);
    return rc;
}
