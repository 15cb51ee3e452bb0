/*
 * backend.c - the roots that devices and tools hold: opening by name, range checks, cache mode, and the operations
 * on whole images. Requests go on to io.c.
 */
#include "blockfmt/graph.h"
#include "util/json.h"

#include <stdio.h>

/* ---- opening -------------------------------------------------------------------------------------- */

static struct blk_backend *backend_on(struct blk_graph *g, struct blk_node *n, unsigned perm, unsigned shared,
                                      unsigned flags, const char *path, struct error *e)
{
    struct blk_backend *b = NEW(struct blk_backend);

    b->graph = g, b->root = n, b->flags = flags;
    b->edge = edge_new(n, NULL, "root", perm, shared, e);
    if (!b->edge) {
        mem_free(b);
        return NULL;
    }
    b->path = mem_strdup(path);
    return b;
}

struct blk_backend *blk_attach(struct blk_graph *g, struct blk_node *n, unsigned perm, unsigned shared,
                               unsigned flags, struct error *e)
{
    if ((perm & BLK_PERM_WRITE) && (n->flags & BLK_RDONLY)) return error_set(e, "Block node is read-only"), NULL;
    if (!(perm & BLK_PERM_WRITE)) flags |= BLK_RDONLY;
    return backend_on(g, n, perm, shared, flags, blk_node_filename(n), e);
}

static struct blk_backend *open_opts(struct blk_graph *graph, const struct opts *o, unsigned flags, const char *path,
                                     struct error *e)
{
    struct blk_graph *g = graph ? graph : blk_graph_new();
    bool snapshot = (flags & BLK_SNAPSHOT) && !(flags & BLK_RDONLY);
    struct blk_backend *b = NULL;
    unsigned perm = BLK_PERM_READ, shared = BLK_PERM_ALL & ~(BLK_PERM_WRITE | BLK_PERM_RESIZE);
    unsigned node_flags = (flags | (snapshot ? BLK_RDONLY : 0)) & ~(unsigned)(BLK_SNAPSHOT | BLK_COPY_ON_READ);
    struct blk_node *n = node_open(g, o, node_flags, false, e);

    if (n && snapshot) {
        struct blk_node *top = node_snapshot(g, n, flags & ~(unsigned)BLK_SNAPSHOT, e);
        blk_node_unref(n); /* the overlay holds it */
        n = top;
    }
    if (n && (flags & BLK_COPY_ON_READ) && !(n->flags & BLK_RDONLY)) {
        struct opts cor = {NULL, 0};
        opts_set(&cor, "driver", "copy-on-read");
        opts_set(&cor, "file", n->name);
        struct blk_node *top = node_open(g, &cor, n->flags & ~(unsigned)BLK_PROBED, false, e);
        opts_free(&cor);
        blk_node_unref(n); /* the filter holds it */
        n = top;
    }
    if (n) {
        flags = (flags & ~(unsigned)BLK_RDONLY) | (n->flags & (BLK_RDONLY | BLK_WRITETHROUGH));
        if (snapshot) flags &= ~(unsigned)BLK_WRITETHROUGH;
        if (!(flags & BLK_RDONLY)) perm |= BLK_PERM_WRITE | BLK_PERM_RESIZE;
        if (flags & BLK_FORCE_SHARE) shared = BLK_PERM_ALL;
        b = backend_on(g, n, perm, shared, flags, path ? path : blk_node_filename(n), e);
        blk_node_unref(n);
    }
    if (b) b->own_graph = !graph;
    else if (!graph) blk_graph_delete(g);
    return b;
}

struct blk_backend *blk_open_opts(struct blk_graph *g, const struct opts *o, unsigned flags, struct error *e)
{
    return open_opts(g, o, flags, NULL, e);
}

struct blk_backend *blk_open_in(struct blk_graph *g, const char *filename, const char *format,
                                const struct opts *options, unsigned flags, struct error *e)
{
    struct opts o = {NULL, 0};
    struct blk_backend *b = NULL;
    bool by_name;

    if (!blk_parse_filename(filename, &o, e)) {
        const struct blk_driver *d = format ? blk_driver_find(format) : NULL;
        for (unsigned i = 0; options && i < options->n; i++) opts_set(&o, options->v[i].name, options->v[i].value);
        if (format && !d) {
            error_set(e, "Unknown driver '%s'", format);
        } else {
            if (d && (d->kind == BLK_PROTOCOL || d->no_file)) {
                struct opts sub = opts_below(&o, "file");
                if (sub.n) opts_free(&o), o = sub;
            }
            if (format && (!d || d->kind != BLK_PROTOCOL || !opts_get(&o, "driver"))) opts_set(&o, "driver", format);
            by_name = !opts_get(&o, "driver");
            b = open_opts(g, &o, flags, filename, e);
            if (b && by_name && b->root->drv == &blk_drv_raw && !(flags & (BLK_RDONLY | BLK_SNAPSHOT))) {
                error_warn("Image format was not specified for '%s' and probing guessed raw.", filename);
                fprintf(stderr,
                        "         Automatically detecting the format is dangerous for raw images, write operations on "
                        "block 0 will be restricted.\n"
                        "         Specify the 'raw' format explicitly to remove the restrictions.\n");
            }
            if (!b) error_set(e, "Could not open '%s'", filename);
        }
    }
    opts_free(&o);
    return b;
}

struct blk_backend *blk_open(const char *path, const char *format, unsigned flags, struct error *e)
{
    return blk_open_in(NULL, path, format, NULL, flags, e);
}

void blk_close(struct blk_backend *b)
{
    if (!b) return;
    if (!(b->flags & BLK_RDONLY)) (void)blk_node_flush(b->root);
    edge_delete(b->edge);
    if (b->own_graph) blk_graph_delete(b->graph);
    mem_free(b->path);
    mem_free(b);
}

struct blk_node *blk_node_add(struct blk_graph *g, const struct opts *o, unsigned flags, struct error *e)
{
    if (!opts_get(o, "node-name")) return error_set(e, "'node-name' must be specified for the root node"), NULL;
    if (!opts_get(o, "driver")) return error_set(e, "Parameter 'driver' is missing"), NULL;
    return node_open(g, o, flags, false, e);
}

int blk_node_del(struct blk_graph *g, const char *name, struct error *e)
{
    struct blk_node *n = blk_node_find(g, name);

    if (!n || !n->named) return error_set(e, "Failed to find node with node-name='%s'", name), -ENOENT;
    if (n->users) return error_set(e, "Node %s is in use", name), -EBUSY;
    blk_node_unref(n);
    return 0;
}

/* With nobody inside: requests of others (a guest's, while a job makes its backing file writable) wait. */
static int reopen_node(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    int rc;

    if (!n->drv->reopen) return 0;
    node_lock_all(n);
    rc = n->drv->reopen(n, flags, prepare, e);
    node_unlock(n);
    return rc;
}

static int reopen_tree(struct blk_node *n, unsigned set, unsigned clear, bool prepare, struct error *e)
{
    unsigned flags = (n->flags | set) & ~clear;
    int rc = 0;

    /* Rights are gained from below, given up from above. */
    bool gains = (n->flags & BLK_RDONLY) && !(flags & BLK_RDONLY);
    if (!gains) rc = reopen_node(n, flags, prepare, e);
    for (struct blk_edge *x = n->children; x && !rc; x = x->next) {
        if (strcmp(x->role, "backing")) rc = reopen_tree(x->child, set, clear, prepare, e);
    }
    if (!rc && gains) rc = reopen_node(n, flags, prepare, e);
    if (!rc && !prepare) n->flags = flags;
    return rc;
}

static int tree_perm(struct blk_node *n, struct error *e)
{
    unsigned perm = 0, shared = BLK_PERM_ALL;
    int rc = 0;

    for (struct blk_edge *x = n->children; x && !rc; x = x->next) {
        node_child_perm(n, x->role, &x->perm, &x->shared);
        rc = tree_perm(x->child, e);
    }
    for (const struct blk_edge *u = n->users; u; u = u->next_user) perm |= u->perm, shared &= u->shared;
    return !rc && n->drv->set_perm ? n->drv->set_perm(n, perm, shared, e) : rc;
}

int node_reopen(struct blk_node *n, unsigned set, unsigned clear, struct error *e)
{
    int rc = reopen_tree(n, set, clear, true, e);
    if (!rc) rc = reopen_tree(n, set, clear, false, e);
    return rc ? rc : tree_perm(n, e);
}

int blk_reopen(struct blk_backend *b, unsigned flags, struct error *e)
{
    const unsigned may = BLK_RDONLY | BLK_DIRECT | BLK_NO_FLUSH;
    unsigned set = flags & may, clear = ~flags & may;
    int rc;

    if (!(flags & BLK_RDONLY) && !b->root->drv->write)
        return error_set(e, "Block driver '%s' can only be used for read-only devices", b->root->drv->name), -EACCES;
    if (!(b->flags & BLK_RDONLY)) {
        rc = blk_node_flush(b->root);
        if (rc) return error_set(e, "Error flushing drive: %s", strerror(-rc)), rc;
    }
    rc = reopen_tree(b->root, set, clear, true, e);
    if (rc) return rc;
    rc = reopen_tree(b->root, set, clear, false, e);
    if (rc) return rc;
    b->flags = (b->flags & ~(may | BLK_WRITETHROUGH)) | (flags & (may | BLK_WRITETHROUGH));
    b->edge->perm = BLK_PERM_READ | (flags & BLK_RDONLY ? 0 : BLK_PERM_WRITE | BLK_PERM_RESIZE);
    return tree_perm(b->root, e);
}

int blk_set_options(struct blk_backend *b, const struct opts *opts, bool prepare, struct error *e)
{
    struct blk_node *n = b->root;
    const char *discard = opts_get(opts, "discard"), *zeroes = opts_get(opts, "detect-zeroes");
    unsigned flags = n->flags;
    struct opts own = {NULL, 0};
    int rc = 0;

    if (discard && blk_parse_discard(discard, &flags)) return error_set(e, "Invalid discard option '%s'", discard), -EINVAL;
    if (zeroes && blk_parse_detect_zeroes(zeroes, &flags, e)) return -EINVAL;
    if (!(flags & BLK_UNMAP)) flags &= ~(unsigned)BLK_DZ_UNMAP;
    for (unsigned i = 0; i < opts->n; i++) {
        if (strcmp(opts->v[i].name, "discard") && strcmp(opts->v[i].name, "detect-zeroes"))
            opts_set(&own, opts->v[i].name, opts->v[i].value);
    }
    node_lock_all(n);
    if (own.n && !n->drv->set_options)
        rc = (error_set(e, "Cannot change the option '%s'", own.v[0].name), -EINVAL);
    else if (own.n)
        rc = n->drv->set_options(n, &own, prepare, e);
    if (!rc && !prepare) n->flags = flags;
    node_unlock(n);
    opts_free(&own);
    return rc;
}

/* ---- what is open --------------------------------------------------------------------------------- */

uint64_t blk_size(const struct blk_backend *b) { return blk_node_size(b->root); }
bool blk_readonly(const struct blk_backend *b) { return (b->flags & BLK_RDONLY) != 0; }
const char *blk_path(const struct blk_backend *b) { return b->path; }
unsigned blk_flags(const struct blk_backend *b) { return b->flags; }
struct blk_node *blk_root(const struct blk_backend *b) { return b->root; }
struct blk_graph *blk_graph(const struct blk_backend *b) { return b->graph; }

int blk_node_info(struct blk_node *n, struct blk_info *i)
{
    int rc = 0;

    *i = (struct blk_info){.allocated = UINT64_MAX};
    if (n->file && n->drv->kind != BLK_PROTOCOL) {
        struct blk_info below;
        if (!blk_node_info(n->file, &below)) {
            i->allocated = below.allocated, i->is_host_device = below.is_host_device;
            if (n->drv->kind == BLK_FILTER) *i = below;
            if (n->drv == &blk_drv_raw) i->zero_init = below.zero_init;
        }
    }
    if (n->drv->info) {
        node_lock_threads(n);
        rc = n->drv->info(n, i);
        node_unlock(n);
    }
    return rc;
}

bool blk_node_info_specific(struct blk_node *n, struct json_out *j)
{
    if (!n->drv->info_specific) return false;
    jout_string(j, "type", n->drv->name);
    jout_object(j, "data");
    node_lock_threads(n);
    n->drv->info_specific(n, j);
    node_unlock(n);
    jout_end(j, '}');
    return true;
}

/* ---- errors --------------------------------------------------------------------------------------- */

int blk_parse_on_error(const char *text, bool read, enum blk_on_error *out)
{
    static const char *const names[] = {"report", "ignore", "stop", "enospc"};

    for (unsigned i = 0; i < ARRAY_LEN(names) - read; i++) {
        if (!strcmp(text, names[i])) return *out = (enum blk_on_error)i, 0;
    }
    return -EINVAL;
}

void blk_set_on_error(struct blk_backend *b, enum blk_on_error read, enum blk_on_error write,
                      void (*told)(void *opaque, const struct blk_io_error *), void *opaque)
{
    b->on_read_error = read, b->on_write_error = write;
    b->told = told, b->told_opaque = opaque;
}

enum blk_on_error blk_error_action(struct blk_backend *b, bool read, int rc)
{
    enum blk_on_error what = read ? b->on_read_error : b->on_write_error;

    if (what == BLK_ON_ERROR_ENOSPC) what = rc == -ENOSPC ? BLK_ON_ERROR_STOP : BLK_ON_ERROR_REPORT;
    if (what == BLK_ON_ERROR_STOP && !b->told) what = BLK_ON_ERROR_REPORT;
    if (b->told) b->told(b->told_opaque, &(struct blk_io_error){b, read, what, rc});
    return what;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static int in_range(const struct blk_backend *b, uint64_t offset, uint64_t n)
{
    uint64_t size = blk_size(b);
    return offset <= size && n <= size - offset ? 0 : -EIO;
}

static int writable(const struct blk_backend *b, uint64_t offset, uint64_t n)
{
    return b->flags & BLK_RDONLY ? -EROFS : in_range(b, offset, n);
}

int blk_read(struct blk_backend *b, uint64_t offset, void *buf, size_t n)
{
    int rc = in_range(b, offset, n);
    return rc ? rc : blk_node_read(b->root, offset, buf, n);
}

int blk_read_now(struct blk_backend *b, uint64_t offset, void *buf, size_t n)
{
    int rc = in_range(b, offset, n);
    return rc ? rc : blk_node_read_now(b->root, offset, buf, n);
}

int blk_write_flags(struct blk_backend *b, uint64_t offset, const void *buf, size_t n, unsigned flags)
{
    int rc = writable(b, offset, n);
    if (b->flags & BLK_WRITETHROUGH) flags |= BLK_FUA;
    return rc ? rc : blk_node_write(b->root, offset, buf, n, flags);
}

int blk_write(struct blk_backend *b, uint64_t offset, const void *buf, size_t n)
{
    return blk_write_flags(b, offset, buf, n, 0);
}

int blk_zero(struct blk_backend *b, uint64_t offset, uint64_t n, unsigned flags)
{
    int rc = writable(b, offset, n);
    if (b->flags & BLK_WRITETHROUGH) flags |= BLK_FUA;
    return rc ? rc : blk_node_zero(b->root, offset, n, flags);
}

int blk_discard(struct blk_backend *b, uint64_t offset, uint64_t n)
{
    int rc = writable(b, offset, n);
    return rc ? rc : blk_node_discard(b->root, offset, n);
}

int blk_copy_range(struct blk_backend *from, uint64_t from_offset, struct blk_backend *to, uint64_t to_offset, uint64_t n)
{
    int rc = in_range(from, from_offset, n);

    if (!rc) rc = writable(to, to_offset, n);
    while (n && !rc) {
        struct blk_status a, b;
        rc = blk_status(from, from_offset, n, NULL, &a);
        if (!rc) rc = blk_node_status(to->root, to_offset, a.bytes, &b);
        if (rc) break;
        if (!(a.flags & BLK_ST_OFFSET) || (a.flags & (BLK_ST_COMPRESSED | BLK_ST_ENCRYPTED)) || !(b.flags & BLK_ST_OFFSET) ||
            to->root->drv != &blk_drv_raw)
            return -ENOTSUP;
        uint64_t k = MIN(a.bytes, b.bytes);
        rc = node_copy(to->root, to_offset, b.file, b.offset, a.file, a.offset, k);
        from_offset += k, to_offset += k, n -= k;
    }
    return rc;
}

int blk_flush(struct blk_backend *b) { return b->flags & BLK_RDONLY ? 0 : blk_node_flush(b->root); }

int blk_status(struct blk_backend *b, uint64_t offset, uint64_t n, struct blk_node *base, struct blk_status *st)
{
    struct blk_status next;
    int rc = blk_node_status_above(b->root, base, offset, n, st);

    /* Runs that go on are one. */
    while (!rc && st->bytes < n && !(st->flags & BLK_ST_EOF)) {
        if (blk_node_status_above(b->root, base, offset + st->bytes, n - st->bytes, &next)) break;
        if ((next.flags & ~(unsigned)BLK_ST_EOF) != st->flags || next.depth != st->depth) break;
        if ((st->flags & BLK_ST_OFFSET) && (next.file != st->file || next.offset != st->offset + st->bytes)) break;
        st->bytes += next.bytes;
        st->flags |= next.flags & BLK_ST_EOF;
    }
    return rc;
}

/* ---- operations on images ------------------------------------------------------------------------- */

/* The node whose format answers: below filters. */
static struct blk_node *format_of(struct blk_node *n)
{
    while (n->drv->kind == BLK_FILTER && n->file) n = n->file;
    return n;
}

static int not_supported(const struct blk_node *n, const char *what, struct error *e)
{
    error_set(e, "Block format '%s' used by node '%s' does not support %s", n->drv->name, n->name, what);
    return -ENOTSUP;
}

#define STRUCTURAL(n, op, what, e, ...)                                                            \
    do {                                                                                           \
        int rc_;                                                                                   \
        if (!(n)->drv->op) return not_supported(n, what, e);                                       \
        node_lock_all(n);                                                                          \
        rc_ = (n)->drv->op(n, __VA_ARGS__);                                                        \
        node_unlock(n);                                                                            \
        return rc_;                                                                                \
    } while (0)

int blk_truncate(struct blk_backend *b, uint64_t size, enum blk_prealloc p, struct error *e)
{
    return blk_node_truncate(b->root, size, p, e);
}

int blk_parse_prealloc(const char *s, enum blk_prealloc *p)
{
    static const char *const names[] = {"off", "metadata", "falloc", "full"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (!strcmp(s, names[i])) return *p = (enum blk_prealloc)i, 0;
    }
    return -EINVAL;
}

int blk_node_check(struct blk_node *n, unsigned fix, struct blk_check *c, struct error *e)
{
    n = format_of(n);
    if (!n->drv->check) return error_set(e, "This image format does not support checks"), -ENOTSUP;
    if (fix && (n->flags & BLK_RDONLY)) return error_set(e, "Image is read-only"), -EROFS;
    STRUCTURAL(n, check, "checks", e, fix, c, e);
}

int blk_check(struct blk_backend *b, unsigned fix, struct blk_check *c, struct error *e)
{
    return blk_node_check(b->root, fix, c, e);
}

int blk_amend(struct blk_backend *b, const struct opts *o, bool force, void (*progress)(void *, uint64_t, uint64_t),
              void *opaque, struct error *e)
{
    struct blk_node *n = format_of(b->root);
    if (!n->drv->amend) return error_set(e, "Format driver '%s' does not support option amendment", n->drv->name), -ENOTSUP;
    int rc = node_check_amend(n->drv, o, e);
    if (rc) return rc;
    STRUCTURAL(n, amend, "option amendment", e, o, force, progress, opaque, e);
}

int blk_change_backing(struct blk_node *n, const char *file, const char *format, struct error *e)
{
    n = format_of(n);
    STRUCTURAL(n, change_backing, "backing files", e, file, format, e);
}

int blk_make_empty(struct blk_backend *b, struct error *e)
{
    struct blk_node *n = format_of(b->root);
    STRUCTURAL(n, make_empty, "emptying", e, e);
}

int blk_snapshot_list(struct blk_node *n, struct blk_snapshot **list, struct error *e)
{
    n = format_of(n);
    *list = NULL;
    STRUCTURAL(n, snapshot_list, "internal snapshots", e, list, e);
}

int blk_snapshot_create(struct blk_backend *b, struct blk_snapshot *sn, struct error *e)
{
    struct blk_node *n = format_of(b->root);
    int rc = blk_flush(b);
    if (rc) return error_set(e, "Could not flush '%s': %s", b->path, strerror(-rc)), rc;
    STRUCTURAL(n, snapshot_create, "internal snapshots", e, sn, e);
}

int blk_snapshot_apply(struct blk_backend *b, const char *id, struct error *e)
{
    struct blk_node *n = format_of(b->root);
    STRUCTURAL(n, snapshot_apply, "internal snapshots", e, id, e);
}

int blk_snapshot_delete(struct blk_backend *b, const char *id, struct error *e)
{
    struct blk_node *n = format_of(b->root);
    STRUCTURAL(n, snapshot_delete, "internal snapshots", e, id, e);
}

int blk_snapshot_load(struct blk_backend *b, const char *id, struct error *e)
{
    struct blk_node *n = format_of(b->root);
    if (!(b->flags & BLK_RDONLY)) return error_set(e, "Device is not readonly"), -EINVAL;
    STRUCTURAL(n, snapshot_load, "internal snapshots", e, id, e);
}

int blk_vmstate_read(struct blk_backend *b, uint64_t pos, void *buf, size_t n)
{
    struct blk_node *f = format_of(b->root);
    int rc = -ENOTSUP;

    if (!f->drv->vmstate_read) return rc;
    node_lock_all(f);
    rc = f->drv->vmstate_read(f, pos, buf, n);
    node_unlock(f);
    return rc;
}

int blk_vmstate_write(struct blk_backend *b, uint64_t pos, const void *buf, size_t n)
{
    struct blk_node *f = format_of(b->root);
    int rc = -ENOTSUP;

    if (b->flags & BLK_RDONLY) return -EROFS;
    if (!f->drv->vmstate_write) return rc;
    node_lock_all(f);
    rc = f->drv->vmstate_write(f, pos, buf, n);
    node_unlock(f);
    return rc;
}
