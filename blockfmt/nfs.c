/*
 * nfs.c - protocol "nfs": image files of an NFS server, without mounting it, by libnfs. The one file that knows that
 * library. A context does one thing at a time.
 */
#include "blockfmt/driver.h"
#include "blockfmt/uri.h"
#include "util/lazy.h"
#include "config.h"

/* nfs://host/directory/file[?uid=N&gid=N&tcp-syn-count=N&readahead=N&pagecache=N&debug=N] */
static int nfs_parse(const char *filename, struct opts *o, struct error *e)
{
    static const struct { const char *uri, *key; } names[] = {
        {"uid", "user"}, {"gid", "group"}, {"tcp-syncnt", "tcp-syn-count"}, {"readahead", "readahead-size"},
        {"pagecache", "page-cache-size"}, {"debug", "debug"}};
    struct uri u;
    int rc = uri_parse(&u, filename, e);

    if (rc) return rc;
    if (!*u.host || !u.path || u.port || u.user) {
        error_set(e, "'%s' is not of the form nfs://HOST/DIRECTORY/FILE", filename);
        rc = -EINVAL;
    } else {
        opts_set(o, "server.host", u.host);
        opts_set(o, "path", u.path);
    }
    for (unsigned i = 0; i < u.query.n && !rc; i++) {
        const char *key = NULL;
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            if (!strcmp(u.query.v[i].name, names[k].uri)) key = names[k].key;
        }
        if (key) opts_set(o, key, u.query.v[i].value);
        else rc = -EINVAL, error_set(e, "Unknown NFS parameter name: %s", u.query.v[i].name);
    }
    uri_free(&u);
    return rc;
}

static const struct opt_desc nfs_opts[] = {
    {"server.*", OPT_STRING, "host; type is inet"},
    {"path", OPT_STRING, "directory and file"},
    {"user", OPT_NUMBER, "user id"},
    {"group", OPT_NUMBER, "group id"},
    {"tcp-syn-count", OPT_NUMBER, "tries of a connection"},
    {"readahead-size", OPT_NUMBER, "bytes read ahead"},
    {"page-cache-size", OPT_NUMBER, "pages of libnfs's cache"},
    {"debug", OPT_NUMBER, "libnfs's debug level"},
    {NULL, OPT_STRING, NULL},
};

static const struct blk_create_opt nfs_create_opts[] = {
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

#ifdef HAVE_NFS

#include <fcntl.h>
#include <nfsc/libnfs.h>
#include <sys/stat.h>

#ifdef QUERN_SO_NFS
#define FUNCTIONS(X) X(nfs_close) X(nfs_creat) X(nfs_destroy_context) X(nfs_fstat64) X(nfs_fsync) \
    X(nfs_ftruncate) X(nfs_get_error) X(nfs_init_context) X(nfs_mount) X(nfs_open) X(nfs_pread) \
    X(nfs_pwrite) X(nfs_set_debug) X(nfs_set_gid) X(nfs_set_pagecache) X(nfs_set_readahead) \
    X(nfs_set_tcp_syncnt) X(nfs_set_uid)
LAZY_LIBRARY(FUNCTIONS, QUERN_SO_NFS)
#define L(f) lib.f
#define load_library(e) lazy_load(&lazy, e)
#else
#define L(f) f
#define load_library(e) 0
#endif

/* Newer libraries have the arguments the other way round. */
#ifdef LIBNFS_API_V2
#define PREAD(c, f, offset, n, p)  L(nfs_pread)(c, f, p, n, offset)
#define PWRITE(c, f, offset, n, p) L(nfs_pwrite)(c, f, p, n, offset)
#else
#define PREAD(c, f, offset, n, p)  L(nfs_pread)(c, f, offset, n, p)
#define PWRITE(c, f, offset, n, p) L(nfs_pwrite)(c, f, offset, n, p)
#endif

enum { PART = 1 << 20, MAX_READAHEAD = 1 << 20, MAX_PAGES = (8 << 20) / 4096, MAX_DEBUG = 2 };

struct nfs_disk {
    struct nfs_context *context;
    struct nfsfh *file;
    bool cached; /* the library keeps pages: another's writes are not seen */
};

static void release(struct nfs_disk *d)
{
    if (d->file) L(nfs_close)(d->context, d->file);
    if (d->context) L(nfs_destroy_context)(d->context);
}

static int take_opts(struct nfs_disk *d, const struct opts *o, unsigned flags, struct error *e)
{
    uint64_t v;

    if (opts_get(o, "user")) L(nfs_set_uid)(d->context, (int)opts_number(o, "user", 0));
    if (opts_get(o, "group")) L(nfs_set_gid)(d->context, (int)opts_number(o, "group", 0));
    if (opts_get(o, "tcp-syn-count")) L(nfs_set_tcp_syncnt)(d->context, (int)opts_number(o, "tcp-syn-count", 0));
    if ((v = opts_number(o, "readahead-size", 0))) {
        if (flags & BLK_DIRECT) return error_set(e, "Cannot enable NFS readahead if cache.direct = on"), -EINVAL;
        L(nfs_set_readahead)(d->context, (uint32_t)MIN(v, (uint64_t)MAX_READAHEAD));
        d->cached = true;
    }
    if ((v = opts_number(o, "page-cache-size", 0))) {
        if (flags & BLK_DIRECT) return error_set(e, "Cannot enable NFS pagecache if cache.direct = on"), -EINVAL;
        L(nfs_set_pagecache)(d->context, (uint32_t)MIN(v, (uint64_t)MAX_PAGES));
        d->cached = true;
    }
    if ((v = opts_number(o, "debug", 0))) L(nfs_set_debug)(d->context, (int)MIN(v, (uint64_t)MAX_DEBUG));
    return 0;
}

static int mount_and_open(struct nfs_disk *d, const struct opts *o, unsigned flags, bool make, struct error *e)
{
    const char *host = opts_get(o, "server.host"), *path = opts_get(o, "path"), *type = opts_get(o, "server.type"), *slash;
    char *dir;
    int rc;

    if (load_library(e)) return -ENOENT;
    if (!host || !path) return error_set(e, "Parameter '%s' is missing", host ? "path" : "server.host"), -EINVAL;
    if (type && strcmp(type, "inet")) return error_set(e, "Invalid parameter '%s' for server.type", type), -EINVAL;
    slash = strrchr(path, '/');
    if (!slash || !slash[1]) return error_set(e, "'%s' names no file", path), -EINVAL;
    d->context = L(nfs_init_context)();
    if (!d->context) return error_set(e, "Failed to init NFS context"), -ENOMEM;
    rc = take_opts(d, o, flags, e);
    if (rc) return rc;
    dir = mem_printf("%.*s", (int)MAX(slash - path, 1), path);
    rc = L(nfs_mount)(d->context, host, dir);
    mem_free(dir);
    if (rc < 0) return error_set(e, "Failed to mount nfs share: %s", L(nfs_get_error)(d->context)), rc;
    rc = make ? L(nfs_creat)(d->context, slash, 0644, &d->file)
              : L(nfs_open)(d->context, slash, flags & BLK_RDONLY ? O_RDONLY : O_RDWR, &d->file);
    if (rc < 0) return error_set(e, "Failed to %s file : %s", make ? "create" : "open", L(nfs_get_error)(d->context)), rc;
    return 0;
}

static int nfs_open_disk(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct nfs_disk *d = blk_state(n);
    struct nfs_stat_64 st;
    int rc = mount_and_open(d, o, flags, false, e);

    if (!rc) {
        rc = L(nfs_fstat64)(d->context, d->file, &st);
        if (rc < 0) error_set(e, "Failed to fstat file: %s", L(nfs_get_error)(d->context));
        else if (!S_ISREG(st.nfs_mode)) error_set(e, "it is not a regular file"), rc = -EINVAL;
        else blk_set_size(n, st.nfs_size), rc = 0;
    }
    if (rc) release(d);
    return rc;
}

static void nfs_close_disk(struct blk_node *n) { release(blk_state(n)); }

static int nfs_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    if (!(flags & BLK_RDONLY) && (blk_node_flags(n) & BLK_RDONLY))
        return error_set(e, "Cannot open a read-only mount as read-write"), -EACCES;
    return 0;
}

static int nfs_read_disk(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct nfs_disk *d = blk_state(n);
    uint8_t *p = buf;

    while (len) {
        int k = PREAD(d->context, d->file, offset, MIN(len, (size_t)PART), (void *)p);
        if (k < 0) return k;
        if (!k) return memset(p, 0, len), 0; /* its end */
        p += k, offset += (unsigned)k, len -= (size_t)k;
    }
    return 0;
}

static int nfs_write_disk(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct nfs_disk *d = blk_state(n);
    const uint8_t *p = buf;

    while (len) {
        int k = PWRITE(d->context, d->file, offset, MIN(len, (size_t)PART), (void *)(uintptr_t)p);
        if (k <= 0) return k ? k : -EIO;
        p += k, offset += (unsigned)k, len -= (size_t)k;
    }
    return 0;
}

static int nfs_flush_disk(struct blk_node *n)
{
    struct nfs_disk *d = blk_state(n);
    int rc = L(nfs_fsync)(d->context, d->file);
    return rc < 0 ? rc : 0;
}

static int nfs_truncate_disk(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    struct nfs_disk *d = blk_state(n);
    int rc;

    if (prealloc != BLK_PREALLOC_OFF) return error_set(e, "Unsupported preallocation mode"), -ENOTSUP;
    rc = L(nfs_ftruncate)(d->context, d->file, size);
    return rc < 0 ? (error_set(e, "Failed to truncate file: %s", L(nfs_get_error)(d->context)), rc) : 0;
}

static int nfs_info(struct blk_node *n, struct blk_info *i)
{
    struct nfs_disk *d = blk_state(n);
    struct nfs_stat_64 st;

    if (L(nfs_fstat64)(d->context, d->file, &st) < 0) return 0;
    i->allocated = st.nfs_blocks * 512;
    i->zero_init = true;
    return 0;
}

static int nfs_make_disk(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    struct nfs_disk d = {.context = NULL};
    struct opts where = {NULL, 0};
    int rc = nfs_parse(filename, &where, e);

    if (!rc) rc = mount_and_open(&d, &where, 0, true, e);
    if (!rc && (rc = L(nfs_ftruncate)(d.context, d.file, opts_size(o, "size", 0))) < 0)
        error_set(e, "Failed to truncate file: %s", L(nfs_get_error)(d.context));
    release(&d);
    opts_free(&where);
    return rc < 0 ? rc : 0;
}

#define NFS_CALLS                                                                                  \
    .state_size = sizeof(struct nfs_disk), .close = nfs_close_disk, .reopen = nfs_reopen, .flush = nfs_flush_disk,          \
    .truncate = nfs_truncate_disk, .info = nfs_info

#else

static int no_library(struct error *e)
{
    return error_set(e, "this program was built without libnfs, which the protocol 'nfs' needs"), -ENOTSUP;
}
static int nfs_open_disk(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e) { return no_library(e); }
static int nfs_read_disk(struct blk_node *n, uint64_t offset, void *buf, size_t len) { return -EIO; }
static int nfs_write_disk(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags) { return -EIO; }
static int nfs_make_disk(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e) { return no_library(e); }

#define NFS_CALLS .state_size = 1

#endif

static const char *const nfs_prefixes[] = {"nfs", NULL};
const struct blk_driver blk_drv_nfs = {
    .name = "nfs", .kind = BLK_PROTOCOL, .grows = true, .open_opts = nfs_opts, .create_opts = nfs_create_opts,
    .prefixes = nfs_prefixes, .parse_filename = nfs_parse, .open = nfs_open_disk, .read = nfs_read_disk,
    .write = nfs_write_disk, .create = nfs_make_disk, NFS_CALLS,
};
