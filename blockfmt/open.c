/*
 * open.c - from names and options to open nodes: file name forms, probing, children, backing chains, the temporary
 * overlay of -snapshot.
 */
#include "blockfmt/graph.h"
#include "util/json.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define PROBE_SIZE 2048
#define MAX_DEPTH  256 /* of a backing chain; a chain that is its own backing ends here */

static const struct blk_driver *const drivers[] = {
#define BLK_DRIVER(name) &blk_drv_##name,
#include "blockfmt/formats.def"
#undef BLK_DRIVER
};

const struct blk_driver *blk_driver_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
        if (!strcmp(drivers[i]->name, name)) return drivers[i];
    }
    return NULL;
}

bool blk_driver_known(const char *name) { return blk_driver_find(name) != NULL; }

bool blk_driver_name(unsigned i, const char **name, enum blk_kind *kind, bool *can_create)
{
    if (i >= ARRAY_LEN(drivers)) return false;
    *name = drivers[i]->name, *kind = drivers[i]->kind, *can_create = drivers[i]->create != NULL;
    return true;
}

/* ---- probing -------------------------------------------------------------------------------------- */

/* Formats that have no driver in this build are recognised all the same, so that none is taken for a raw disk and
 * overwritten by a guest. */
static const struct signature {
    const char *format;
    bool from_end; /* offset counts back from the end */
    uint32_t offset;
    uint8_t len;
    const char *bytes;
} signatures[] = {
    {"qcow2", false, 0, 8, "QFI\xfb\0\0\0\2"},
    {"qcow2", false, 0, 8, "QFI\xfb\0\0\0\3"},
    {"luks", false, 0, 6, "LUKS\xba\xbe"},
};

static const char *signature(const uint8_t *head, size_t n, const uint8_t *tail)
{
    for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
        const struct signature *s = &signatures[i];
        if (s->from_end ? !tail : n < s->offset + s->len) continue;
        if (!memcmp(s->from_end ? tail : head + s->offset, s->bytes, s->len)) return s->format;
    }
    return NULL;
}

static const struct blk_driver *best(const uint8_t *head, size_t n, const uint8_t *tail, const char *filename)
{
    const struct blk_driver *d = NULL;
    int score = 0;

    for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
        int s = drivers[i]->probe ? drivers[i]->probe(head, n, filename) : 0;
        if (tail && drivers[i]->probe_tail) s = MAX(s, drivers[i]->probe_tail(tail));
        if (s > score) d = drivers[i], score = s;
    }
    return d;
}

const char *blk_probe_name(const uint8_t *buf, size_t n, const char *filename)
{
    uint8_t head[PROBE_SIZE] = {0};

    memcpy(head, buf, MIN(n, sizeof head));
    const struct blk_driver *d = best(head, sizeof head, NULL, filename);
    return d && strcmp(d->name, "raw") ? d->name : signature(head, sizeof head, NULL);
}

static const struct blk_driver *probe(struct blk_node *file, struct error *e)
{
    uint8_t head[PROBE_SIZE], tail[512];
    uint64_t size = blk_node_size(file);
    bool has_tail = size >= sizeof tail;
    int rc = blk_node_read(file, 0, head, sizeof head);
    const char *known;

    if (!rc && has_tail) rc = blk_node_read(file, size - sizeof tail, tail, sizeof tail);
    if (rc) return error_set(e, "Could not read image for determining its format: %s", strerror(-rc)), NULL;
    const struct blk_driver *d = best(head, sizeof head, has_tail ? tail : NULL, blk_node_filename(file));
    if (d) return d;
    known = signature(head, sizeof head, has_tail ? tail : NULL);
    if (!known) return &blk_drv_raw;
    error_set(e, "'%s' is an image of format '%s', which this build does not support", blk_node_filename(file), known);
    error_hint(e, "format=raw takes the bytes of the file as the disk");
    return NULL;
}

/* ---- names ---------------------------------------------------------------------------------------- */

/* The length of "proto" in "proto:...", 0 for a plain name. */
static size_t protocol_len(const char *s)
{
    size_t n = strcspn(s, ":/");
    return s[n] == ':' ? n : 0;
}

static const struct blk_driver *by_prefix(const char *s, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
        for (const char *const *p = drivers[i]->prefixes; p && *p; p++) {
            if (strlen(*p) == n && !strncmp(*p, s, n)) return drivers[i];
        }
    }
    return NULL;
}

static void set_below(struct opts *o, const char *prefix, const char *key, const char *value)
{
    char *k = mem_printf("%s.%s", prefix, key);
    opts_set(o, k, value);
    mem_free(k);
}

struct opts opts_below(const struct opts *o, const char *prefix)
{
    struct opts out = {NULL, 0};
    size_t n = strlen(prefix);

    for (unsigned i = 0; i < o->n; i++) {
        if (!strncmp(o->v[i].name, prefix, n) && o->v[i].name[n] == '.')
            opts_set(&out, o->v[i].name + n + 1, o->v[i].value);
    }
    return out;
}

int blk_parse_filename(const char *filename, struct opts *o, struct error *e)
{
    size_t n;

    if (!strncmp(filename, "json:", 5)) {
        if (!json_flatten(filename + 5, o, e)) return 0;
        error_prefix(e, "Could not parse the JSON options");
        return -EINVAL;
    }
    n = protocol_len(filename);
    if (n == 4 && !strncmp(filename, "file", 4)) {
        filename += 5;
    } else if (n) {
        const struct blk_driver *d = by_prefix(filename, n);
        struct opts sub = {NULL, 0};
        int rc = 0;
        if (!d) return error_set(e, "Unknown protocol '%.*s'", (int)n, filename), -ENOENT;
        if (d->parse_filename) rc = d->parse_filename(filename, &sub, e);
        else opts_set(&sub, "filename", filename);
        for (unsigned i = 0; i < sub.n; i++) set_below(o, "file", sub.v[i].name, sub.v[i].value);
        opts_free(&sub);
        set_below(o, "file", "driver", d->name);
        return rc;
    }
    set_below(o, "file", "filename", filename);
    return 0;
}

char *blk_path_combine(const char *image, const char *name)
{
    const char *slash;

    if (*name == '/' || protocol_len(name)) return mem_strdup(name);
    if (!strncmp(image, "json:", 5)) return mem_strdup(name);
    slash = strrchr(image, '/');
    if (!slash) return mem_strdup(name);
    return mem_printf("%.*s%s", (int)(slash + 1 - image), image, name);
}

int blk_parse_cache(const char *mode, unsigned *flags)
{
    unsigned f = *flags & ~(unsigned)(BLK_DIRECT | BLK_NO_FLUSH | BLK_WRITETHROUGH);

    if (!strcmp(mode, "none") || !strcmp(mode, "off")) f |= BLK_DIRECT;
    else if (!strcmp(mode, "writethrough")) f |= BLK_WRITETHROUGH;
    else if (!strcmp(mode, "directsync")) f |= BLK_DIRECT | BLK_WRITETHROUGH;
    else if (!strcmp(mode, "unsafe")) f |= BLK_NO_FLUSH;
    else if (strcmp(mode, "writeback")) return -EINVAL;
    *flags = f;
    return 0;
}

int blk_parse_aio(const char *mode, unsigned *flags)
{
    unsigned f = *flags & ~(unsigned)(BLK_NATIVE_AIO | BLK_IO_URING);

    if (!strcmp(mode, "native")) f |= BLK_NATIVE_AIO;
    else if (!strcmp(mode, "io_uring")) f |= BLK_IO_URING;
    else if (strcmp(mode, "threads")) return -EINVAL;
    *flags = f;
    return 0;
}

int blk_parse_discard(const char *mode, unsigned *flags)
{
    if (!strcmp(mode, "unmap") || !strcmp(mode, "on")) *flags |= BLK_UNMAP;
    else if (!strcmp(mode, "ignore") || !strcmp(mode, "off")) *flags &= ~(unsigned)BLK_UNMAP;
    else return -EINVAL;
    return 0;
}

int blk_parse_detect_zeroes(const char *mode, unsigned *flags, struct error *e)
{
    *flags &= ~(unsigned)(BLK_DZ_ON | BLK_DZ_UNMAP);
    if (!strcmp(mode, "off")) return 0;
    if (!strcmp(mode, "on")) return *flags |= BLK_DZ_ON, 0;
    if (strcmp(mode, "unmap")) return error_set(e, "Invalid parameter '%s' for detect-zeroes", mode), -EINVAL;
    if (!(*flags & BLK_UNMAP))
        return error_set(e, "setting detect-zeroes to unmap is not allowed without setting discard operation to unmap"),
               -EINVAL;
    *flags |= BLK_DZ_UNMAP;
    return 0;
}

/* ---- options of one node -------------------------------------------------------------------------- */

static const char *const common_keys[] = {"driver", "node-name", "read-only", "auto-read-only", "cache.direct",
                                          "cache.no-flush", "cache.writeback", "discard", "detect-zeroes",
                                          "force-share", "filename"};

static bool key_is(const char *key, const char *name)
{
    size_t n = strlen(name);

    if (n > 2 && !strcmp(name + n - 2, ".*")) return !strncmp(key, name, n - 1);
    return !strcmp(key, name);
}

static bool child_key(const char *key, const char *role)
{
    size_t n = strlen(role);
    return !strncmp(key, role, n) && (!key[n] || key[n] == '.');
}

static int check_keys(const struct blk_driver *d, const struct opts *o, struct error *e)
{
    for (unsigned i = 0; i < o->n; i++) {
        const char *key = o->v[i].name;
        bool ok = false;
        for (size_t k = 0; k < ARRAY_LEN(common_keys); k++) ok |= !strcmp(key, common_keys[k]);
        if (!strcmp(key, "filename") && d->kind != BLK_PROTOCOL && !d->no_file) ok = false;
        if (d->kind != BLK_PROTOCOL && !d->no_file) ok |= child_key(key, "file");
        if (d->backing) ok |= child_key(key, "backing");
        for (const struct opt_desc *t = d->open_opts; t && t->name; t++) {
            if (!key_is(key, t->name)) continue;
            ok = true;
            bool b;
            uint64_t v;
            if (t->kind == OPT_BOOL && opt_parse_bool(key, o->v[i].value, &b, e)) return -EINVAL;
            if (t->kind == OPT_NUMBER && opt_parse_number(key, o->v[i].value, UINT64_MAX, &v, e)) return -EINVAL;
            if (t->kind == OPT_SIZE && opt_parse_size(key, o->v[i].value, 1, &v, e)) return -EINVAL;
        }
        if (!ok) return error_set(e, "Block %s '%s' does not support the option '%s'",
                                  d->kind == BLK_PROTOCOL ? "protocol" : "format", d->name, key), -EINVAL;
    }
    return 0;
}

static int flag_key(const struct opts *o, const char *key, unsigned bit, unsigned *flags, struct error *e)
{
    const char *s = opts_get(o, key);
    bool on;

    if (!s) return 0;
    if (opt_parse_bool(key, s, &on, e)) return -EINVAL;
    *flags = on ? *flags | bit : *flags & ~bit;
    return 0;
}

static int common_flags(const struct opts *o, unsigned *flags, struct error *e)
{
    const char *s;
    unsigned writeback = 0;

    if (flag_key(o, "read-only", BLK_RDONLY, flags, e) || flag_key(o, "cache.direct", BLK_DIRECT, flags, e) ||
        flag_key(o, "cache.no-flush", BLK_NO_FLUSH, flags, e) || flag_key(o, "force-share", BLK_FORCE_SHARE, flags, e) ||
        flag_key(o, "cache.writeback", 1, &writeback, e))
        return -EINVAL;
    if (opts_get(o, "cache.writeback"))
        *flags = writeback ? *flags & ~(unsigned)BLK_WRITETHROUGH : *flags | BLK_WRITETHROUGH;
    if ((s = opts_get(o, "discard")) && blk_parse_discard(s, flags))
        return error_set(e, "Invalid discard option '%s'", s), -EINVAL;
    if ((s = opts_get(o, "detect-zeroes")) && blk_parse_detect_zeroes(s, flags, e)) return -EINVAL;
    if ((*flags & BLK_FORCE_SHARE) && !(*flags & BLK_RDONLY))
        return error_set(e, "force-share=on can only be used with read-only images"), -EINVAL;
    return 0;
}

/* ---- children ------------------------------------------------------------------------------------- */

static unsigned child_flags(unsigned flags, bool backing)
{
    flags &= ~(unsigned)(BLK_SNAPSHOT | BLK_PROBED | BLK_COPY_ON_READ | BLK_DZ_ON | BLK_DZ_UNMAP | BLK_WRITETHROUGH |
                         BLK_ALLOW_RDWR);
    if (!backing) return (flags & ~(unsigned)(BLK_NO_BACKING | BLK_CHECK)) | BLK_UNMAP;
    if (!(flags & BLK_RDONLY)) flags |= BLK_ALLOW_RDWR;
    return (flags & ~(unsigned)BLK_CHECK) | BLK_RDONLY;
}

static struct blk_node *attach_child(struct blk_node *parent, struct blk_node *child, const char *role,
                                     struct error *e)
{
    unsigned perm, shared;

    node_child_perm(parent, role, &perm, &shared);
    if ((perm & BLK_PERM_WRITE) && (child->flags & BLK_RDONLY))
        return error_set(e, "Node '%s' is read only", child->name), NULL;
    return edge_new(child, parent, role, perm, shared, e) ? child : NULL;
}

struct blk_node *blk_open_child(struct blk_node *n, const struct opts *o, const char *role, const char *def, bool format,
                                struct error *e)
{
    const char *ref = opts_get(o, role);
    struct opts sub = opts_below(o, role);
    struct blk_node *child = NULL, *got = NULL;

    if (ref && *ref) {
        child = blk_node_find(n->graph, ref);
        if (!child) error_set(e, "Cannot find device='' nor node-name='%s'", ref);
        else node_ref(child);
    } else {
        if (!sub.n && def && format) {
            if (blk_parse_filename(def, &sub, e)) goto out;
        } else if (!sub.n && def) {
            struct opts whole = {NULL, 0};
            int rc = blk_parse_filename(def, &whole, e);
            sub = opts_below(&whole, "file");
            opts_free(&whole);
            if (rc) goto out;
        }
        if (!sub.n) {
            error_set(e, "A block device must be specified for \"%s\"", role);
            goto out;
        }
        child = node_open(n->graph, &sub, child_flags(n->flags, !strcmp(role, "backing")), !format, e);
    }
    if (child) {
        got = attach_child(n, child, role, e);
        blk_node_unref(child); /* the edge holds it now */
    }
out:
    opts_free(&sub);
    return got;
}

struct blk_node *blk_open_filter_child(struct blk_node *n, const struct opts *o, const char *key, bool format,
                                       struct error *e)
{
    struct opts file = {NULL, 0};
    struct blk_node *child = NULL;
    size_t len = strlen(key);

    for (unsigned i = 0; i < o->n; i++) {
        const char *name = o->v[i].name;
        if (strncmp(name, key, len) || (name[len] && name[len] != '.')) continue;
        char *as = mem_printf("file%s", name + len);
        opts_set(&file, as, o->v[i].value);
        mem_free(as);
    }
    if (!file.n) error_set(e, "A block device must be specified for \"%s\"", key);
    else child = blk_open_child(n, &file, "file", NULL, format, e);
    opts_free(&file);
    return child;
}

static int open_backing(struct blk_node *n, const struct opts *o, struct error *e)
{
    const char *ref = opts_get(o, "backing");
    struct opts sub = opts_below(o, "backing");
    struct blk_node *child = NULL;
    unsigned depth = 0;
    int rc = -EINVAL;

    if ((ref && !*ref) || (n->flags & BLK_NO_BACKING) || !n->drv->backing) {
        opts_free(&sub);
        return 0;
    }
    if (ref) {
        opts_free(&sub);
        return blk_open_child(n, o, "backing", NULL, true, e) ? 0 : -EINVAL;
    }
    if (!n->backing_file || !*n->backing_file) {
        if (!sub.n) return 0;
    } else if (!opts_get(&sub, "driver") || !opts_get(&sub, "file.filename")) {
        if (!opts_get(&sub, "file.filename") && !opts_get(&sub, "file") && !opts_get(&sub, "file.driver")) {
            char *path = blk_path_combine(blk_node_filename(n), n->backing_file);
            /* Nodes without users are those above, or a few that wait for theirs. */
            unsigned same = 0;
            for (const struct blk_node *x = n->graph->nodes; x; x = x->next)
                same += x->opened && x->drv->backing && !x->users && !strcmp(blk_node_filename(x), path);
            if (same >= 3) rc = (error_set(e, "Backing file '%s' creates an infinite loop.", path), -ELOOP);
            else rc = blk_parse_filename(path, &sub, e);
            mem_free(path);
            if (rc) goto out;
        }
        if (!opts_get(&sub, "driver") && *blk_node_backing_format(n)) {
            if (!blk_driver_find(n->backing_format)) {
                error_set(e, "Unknown driver '%s'", n->backing_format);
                rc = -EINVAL;
                goto out;
            }
            opts_set(&sub, "driver", n->backing_format);
        }
    }
    for (const struct blk_node *x = n->graph->nodes; x; x = x->next) depth += !x->opened && x->drv && x->drv->backing;
    /* Every node of the chain above is still being opened: a chain that leads back to itself ends here. */
    for (const struct blk_node *x = n->graph->nodes; x; x = x->next) depth += x->opened && x->drv->backing && !x->users;
    if (depth > MAX_DEPTH) {
        error_set(e, "the backing chain is longer than %d images, or leads back to itself", MAX_DEPTH);
        rc = -ELOOP;
        goto out;
    }
    child = node_open(n->graph, &sub, child_flags(n->flags, true), false, e);
    rc = child && attach_child(n, child, "backing", e) ? 0 : -EINVAL;
    blk_node_unref(child);
out:
    if (rc && e && !strstr(e->msg, "infinite loop")) error_prefix(e, "Could not open backing file");
    opts_free(&sub);
    return rc;
}

/* ---- nodes ---------------------------------------------------------------------------------------- */

static int open_with(struct blk_node *n, const struct blk_driver *d, const struct opts *o, struct error *e)
{
    int rc;

    n->drv = d;
    n->state = mem_zalloc(d->state_size + 1);
    if (!d->write && !(n->flags & BLK_RDONLY))
        return error_set(e, "Block driver '%s' can only be used for read-only devices", d->name), -EACCES;
    rc = check_keys(d, o, e);
    if (rc) return rc;
    rc = d->open(n, o, n->flags, e);
    if (rc) {
        error_set(e, "Could not open image: %s", strerror(-rc));
        return rc;
    }
    n->opened = true;
    return 0;
}

static const struct blk_driver *protocol_for(const struct opts *o, struct error *e)
{
    const char *name = opts_get(o, "driver"), *file = opts_get(o, "filename");
    const struct blk_driver *d = &blk_drv_file;
    int score = 0;

    if (name) {
        d = blk_driver_find(name);
        return d ? d : (error_set(e, "Unknown driver '%s'", name), NULL);
    }
    for (size_t i = 0; file && i < ARRAY_LEN(drivers); i++) {
        int s = drivers[i]->probe_device ? drivers[i]->probe_device(file) : 0;
        if (s > score) d = drivers[i], score = s;
    }
    return d;
}

struct blk_node *node_open(struct blk_graph *g, const struct opts *opts, unsigned flags, bool protocol,
                           struct error *e)
{
    const char *driver = opts_get(opts, "driver");
    const struct blk_driver *d = NULL;
    struct opts o = {NULL, 0};
    struct blk_node *n;

    for (unsigned i = 0; i < opts->n; i++) opts_set(&o, opts->v[i].name, opts->v[i].value);
    n = node_new(g, opts_get(&o, "node-name"), e);
    if (!n) goto fail;
    n->flags = flags;
    if (common_flags(&o, &n->flags, e)) goto fail;
    if (driver) {
        d = blk_driver_find(driver);
        if (!d) {
            error_set(e, "Unknown driver '%s'", driver);
            goto fail;
        }
        if (d->kind == BLK_PROTOCOL) protocol = true;
    }
    if (protocol && !(d && d->kind != BLK_PROTOCOL)) {
        d = protocol_for(&o, e);
        if (!d) goto fail;
        if (opts_get(&o, "filename")) n->filename = mem_strdup(opts_get(&o, "filename"));
        if (open_with(n, d, &o, e)) goto fail;
        opts_free(&o);
        return n;
    }
    /* filename beside a format's options is its file's */
    if (opts_get(&o, "filename") && !(d && d->no_file)) {
        struct opts t = {NULL, 0};
        set_below(&o, "file", "filename", opts_get(&o, "filename"));
        for (unsigned i = 0; i < o.n; i++) {
            if (strcmp(o.v[i].name, "filename")) opts_set(&t, o.v[i].name, o.v[i].value);
        }
        opts_free(&o);
        o = t;
    }
    if (d && check_keys(d, &o, e)) goto fail; /* before anything is touched */
    n->drv = d ? d : &blk_drv_raw; /* children ask for rights by the flags alone */
    if (!(d && d->no_file)) {
        struct blk_node *file = blk_open_child(n, &o, "file", NULL, d && d->kind == BLK_FILTER, e);
        if (!file) goto fail;
        if (!d) {
            d = probe(file, e);
            if (!d) goto fail;
            n->flags |= BLK_PROBED;
        }
    }
    if (open_with(n, d, &o, e) || open_backing(n, &o, e)) goto fail;
    opts_free(&o);
    return n;
fail:
    blk_node_unref(n);
    opts_free(&o);
    return NULL;
}

struct blk_node *blk_open_file(struct blk_graph *g, const char *filename, unsigned flags, struct error *e)
{
    struct opts whole = {NULL, 0}, sub;
    struct blk_node *n = NULL;

    if (!blk_parse_filename(filename, &whole, e)) {
        sub = opts_below(&whole, "file");
        n = node_open(g, sub.n ? &sub : &whole, flags | BLK_UNMAP, true, e);
        opts_free(&sub);
    }
    opts_free(&whole);
    return n;
}

/* An empty qcow2 image without a name, over base; takes no reference to base but by its edge. */
struct blk_node *node_snapshot(struct blk_graph *g, struct blk_node *base, unsigned flags, struct error *e)
{
    const char *dir = getenv("TMPDIR");
    char *name = mem_printf("%s/quern-XXXXXX", dir && *dir ? dir : "/var/tmp"), *size;
    struct opts o = {NULL, 0};
    struct blk_node *n = NULL;
    int fd = mkstemp(name);

    if (fd < 0) {
        error_set(e, "Could not create a temporary file '%s': %s", name, strerror(errno));
        goto out;
    }
    close(fd);
    size = mem_printf("%llu", (unsigned long long)blk_node_size(base));
    opts_set(&o, "size", size);
    mem_free(size);
    if (!blk_create(g, "qcow2", name, &o, false, e)) {
        opts_free(&o);
        o = (struct opts){NULL, 0};
        opts_set(&o, "driver", "qcow2");
        opts_set(&o, "file.filename", name);
        opts_set(&o, "file.driver", "file");
        opts_set(&o, "backing", base->name);
        n = node_open(g, &o,
                      (flags & ~(unsigned)(BLK_RDONLY | BLK_DIRECT | BLK_SNAPSHOT | BLK_NATIVE_AIO)) | BLK_NO_FLUSH | BLK_UNMAP,
                      false, e);
    }
    unlink(name);
out:
    opts_free(&o);
    mem_free(name);
    return n;
}
