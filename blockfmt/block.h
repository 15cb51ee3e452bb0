/*
 * block.h - disk images as devices, tools and the monitor see them.
 *
 * Images are nodes of a graph: a format (qcow2) over a protocol (file), with a backing chain below and filters
 * between. A backend (`struct blk_backend`) is what a device or a tool holds: one root of the graph with the
 * rights it asked for. Formats and protocols are written against driver.h and never seen here.
 *
 * Threads. A graph belongs to the thread that made it: opening, closing, reopening, attaching, creating and all
 * functions below that are not marked [any] are called by that thread only. Requests marked [any] may come from
 * any number of threads at once; they block their caller until done and are ordered only by their callers
 * (overlapping requests in flight have no defined order, each is whole at sector granularity). Requests may run
 * while the owning thread opens and closes other roots; a backend is closed when no request of it is in flight.
 * What runs in parallel: reads, writes, compressed writes (deflate runs outside every lock), discards of one
 * qcow2, raw or file node all do; formats that do not claim more are run one request at a time per node.
 *
 * Status: 0 or -errno from requests; functions with a `struct error *` return 0 or -errno (or NULL) and say why.
 * All offsets and lengths are bytes, of any alignment.
 */
#ifndef BLOCKFMT_BLOCK_H
#define BLOCKFMT_BLOCK_H

#include "util/error.h"
#include "util/opts.h"

struct blk_graph;   /* all nodes of one machine or tool, by name */
struct blk_node;
struct blk_backend; /* a root */
struct loop;
struct json_out;

enum blk_flags {
    BLK_RDONLY      = 1 << 0,
    BLK_SNAPSHOT    = 1 << 1,  /* writes go to a temporary qcow2 overlay (always cache=unsafe) */
    BLK_DIRECT      = 1 << 2,  /* cache.direct: O_DIRECT */
    BLK_NO_FLUSH    = 1 << 3,  /* cache.no-flush: flushes are accepted and not done */
    BLK_WRITETHROUGH= 1 << 4,  /* backend: every write is flushed before it is done (cache.writeback=off) */
    BLK_UNMAP       = 1 << 5,  /* discard=unmap: discards reach the file; otherwise they are ignored */
    BLK_NO_BACKING  = 1 << 6,  /* do not open the backing chain: what is not allocated reads as zeros */
    BLK_FORCE_SHARE = 1 << 7,  /* take no locks and mind none; needs BLK_RDONLY */
    BLK_NATIVE_AIO  = 1 << 8,  /* aio=native, for files that do not say their own; needs BLK_DIRECT */
    BLK_CHECK       = 1 << 9,  /* opened for check: images marked corrupt or dirty open, nothing is repaired */
    BLK_NO_IO       = 1 << 10, /* only metadata will be asked for (info): no key needed for encrypted images */
    BLK_PROBED      = 1 << 11, /* set by the core: the format was guessed (raw then guards sector 0) */
    BLK_COPY_ON_READ= 1 << 12, /* the root copies what it reads from the backing chain */
    BLK_ALLOW_RDWR  = 1 << 13, /* set on children by the core: may be reopened for writing */
    BLK_DZ_ON       = 1 << 14, /* detect-zeroes=on */
    BLK_DZ_UNMAP    = 1 << 15, /* detect-zeroes=unmap */
    BLK_IO_URING    = 1 << 16  /* aio=io_uring, for files that do not say their own */
};

/* Rights on a node. The numbers are those of the lock bytes of image files (100 + n, 200 + n). */
enum blk_perm {
    BLK_PERM_READ = 1 << 0,            /* consistent read */
    BLK_PERM_WRITE = 1 << 1,
    BLK_PERM_WRITE_UNCHANGED = 1 << 2, /* writes that do not change what is read */
    BLK_PERM_RESIZE = 1 << 3,
    BLK_PERM_GRAPH_MOD = 1 << 4,
    BLK_PERM_ALL = 0x1f
};
const char *blk_perm_name(unsigned bit_number);

/* ---- the graph ------------------------------------------------------------------------------------ */

struct blk_graph *blk_graph_new(void);
/* Closes what is left, in order. NULL: nothing. */
void blk_graph_delete(struct blk_graph *);

/* Things that options name by id: secrets, TLS credentials, throttle groups. `type` is the type of -object
 * ("secret", "tls-creds-x509", "throttle-group"); several types may share one meaning, their users know.
 * The graph calls release(object) at the end (may be NULL). -EEXIST for an id that is taken. */
int blk_object_add(struct blk_graph *, const char *type, const char *id, void *object,
                   void (*release)(void *), struct error *);
void *blk_object_find(struct blk_graph *, const char *type, const char *id);
/* Objects of type "secret": bytes with a length. */
struct blk_secret {
    size_t len;
    uint8_t data[];
};

/* ---- options -------------------------------------------------------------------------------------- */

/*
 * The options of a node are a flat list of dotted keys ("driver", "file.driver", "file.filename", "backing",
 * "server.host"); a JSON object is flattened into the same ("children.0.driver"), JSON null becomes the empty
 * string. Keys every node knows: driver, node-name, read-only, auto-read-only, cache.direct, cache.no-flush, cache.writeback,
 * discard, detect-zeroes, force-share, file, backing (child references: a node's name, or dotted keys below).
 * The rest is the driver's open_opts.
 */

/* Splits a file name as the tools take it into options: `json:{...}`, `proto:...` by the driver that claims the
 * prefix, otherwise {file.filename = name} (a "file:" in front is dropped; a colon after a slash is no
 * protocol). Adds to *o. -EINVAL for json: without a JSON library. */
int blk_parse_filename(const char *filename, struct opts *o, struct error *);
/* cache=writeback|none|off|writethrough|directsync|unsafe into flags (DIRECT, NO_FLUSH, WRITETHROUGH). -EINVAL */
int blk_parse_cache(const char *mode, unsigned *flags);
/* aio=threads|native|io_uring into flags (NATIVE_AIO, IO_URING). -EINVAL */
int blk_parse_aio(const char *mode, unsigned *flags);
/* discard=ignore|off|unmap|on into flags (UNMAP); detect-zeroes=off|on|unmap (needs UNMAP set before). -EINVAL */
int blk_parse_discard(const char *mode, unsigned *flags);
int blk_parse_detect_zeroes(const char *mode, unsigned *flags, struct error *);

/* ---- opening -------------------------------------------------------------------------------------- */

/* Opens an image by name. graph NULL: one of its own, which goes with the backend. format NULL: probed (with a
 * warning by the core when raw is guessed and it is writable, unless options say driver). options (may be NULL)
 * are more node options for the root node, as -drive gives them; they are copied. */
struct blk_backend *blk_open_in(struct blk_graph *, const char *filename, const char *format,
                                const struct opts *options, unsigned flags, struct error *);
/* By options alone (--image-opts, -blockdev, json:): "driver" is probed when absent. */
struct blk_backend *blk_open_opts(struct blk_graph *, const struct opts *, unsigned flags, struct error *);
/* The short form: a graph of its own, no options. */
struct blk_backend *blk_open(const char *path, const char *format, unsigned flags, struct error *);
void blk_close(struct blk_backend *); /* waits, flushes; NULL: nothing */

/* Adds a node that no backend holds yet (-blockdev, blockdev-add): needs node-name. Held by the graph until
 * blk_node_del. */
struct blk_node *blk_node_add(struct blk_graph *, const struct opts *, unsigned flags, struct error *);
int blk_node_del(struct blk_graph *, const char *name, struct error *);
/* A backend on a node that is there (-device drive=NODE). perm/shared: enum blk_perm. */
struct blk_backend *blk_attach(struct blk_graph *, struct blk_node *, unsigned perm, unsigned shared,
                               unsigned flags, struct error *);
struct blk_node *blk_node_find(struct blk_graph *, const char *name); /* NULL: none */

/* Changes flags of an open tree: read-only or not, cache mode. All or nothing. */
int blk_reopen(struct blk_backend *, unsigned flags, struct error *);
/* Changes options of the open root node: discard, detect-zeroes, and what its driver can change (driver.h: set_options); others are
 * refused. All that is wrong with them is found before anything changes; prepare: nothing does. */
int blk_set_options(struct blk_backend *, const struct opts *, bool prepare, struct error *);

/* ---- what is open --------------------------------------------------------------------------------- */

uint64_t blk_size(const struct blk_backend *);    /* bytes, a multiple of 512 */
bool blk_readonly(const struct blk_backend *);
const char *blk_path(const struct blk_backend *); /* as the user wrote it */
unsigned blk_flags(const struct blk_backend *);
struct blk_node *blk_root(const struct blk_backend *);
struct blk_graph *blk_graph(const struct blk_backend *);

const char *blk_node_name(const struct blk_node *);   /* "#block012" when the user gave none */
const char *blk_node_driver(const struct blk_node *); /* "qcow2" */
bool blk_node_is_filter(const struct blk_node *);     /* shows what its child "file" holds */
const char *blk_node_filename(const struct blk_node *); /* of the file below: "t.qcow2", or "json:{...}" */
uint64_t blk_node_size(const struct blk_node *);
unsigned blk_node_flags(const struct blk_node *);
/* Children: "file", "backing", "data-file", ...; NULL when there is none. */
struct blk_node *blk_node_child(const struct blk_node *, const char *role);
struct blk_node *blk_node_backing(const struct blk_node *); /* below filters, NULL: none */
/* What the image says of its backing file (relative as stored); "" when none. */
const char *blk_node_backing_file(const struct blk_node *);
const char *blk_node_backing_format(const struct blk_node *); /* "": not said */
/* `name` as seen from the directory of `image`; caller frees. Absolute names and protocol names stay. */
char *blk_path_combine(const char *image, const char *name);

struct blk_info {
    uint32_t cluster_size;    /* 0: none */
    uint64_t vm_state_offset; /* where VM state lies in the image's own address space; 0: none */
    uint64_t allocated;       /* bytes used on the host; UINT64_MAX: not known */
    bool dirty;               /* not closed cleanly */
    bool encrypted, compressed;
    bool zero_init;           /* reads as zeros right after creation */
    bool is_host_device;
};
int blk_node_info(struct blk_node *, struct blk_info *);
/* The "Format specific information", as JSON members into an open object: {"type": ..., "data": {...}}. False: the
 * format has none (nothing is written). Human output is derived from the same (blk_spec_print in tools). */
bool blk_node_info_specific(struct blk_node *, struct json_out *);

/* ---- requests [any] ------------------------------------------------------------------------------- */

enum blk_req_flags {
    BLK_FUA        = 1 << 0, /* on disk before it is done */
    BLK_MAY_UNMAP  = 1 << 1, /* zero: may deallocate */
    BLK_NO_FALLBACK= 1 << 2, /* zero: -ENOTSUP rather than writing zeros */
    BLK_COMPRESSED = 1 << 3, /* write: compressed; offset aligned to the cluster, a whole cluster or up to the end */
    BLK_UNCHANGED  = 1 << 4, /* write: by a job that copies what can be read there anyway */
    BLK_RESIZE     = 1 << 5  /* set by the core: the request may extend the node */
};

/* Beyond the end: -EIO. */
int blk_read(struct blk_backend *, uint64_t offset, void *buf, size_t n);
/* Reads what can be had without waiting for a disk, a network or another request; -EAGAIN: not this. */
int blk_read_now(struct blk_backend *, uint64_t offset, void *buf, size_t n);
int blk_write(struct blk_backend *, uint64_t offset, const void *buf, size_t n);
int blk_write_flags(struct blk_backend *, uint64_t offset, const void *buf, size_t n, unsigned flags);
int blk_zero(struct blk_backend *, uint64_t offset, uint64_t n, unsigned flags);
int blk_discard(struct blk_backend *, uint64_t offset, uint64_t n);
int blk_flush(struct blk_backend *);
/* Lets the host copy n bytes of one image to another: where both lie as they are in files of the same kind, which only raw
 * images do for certain. Nobody else writes the source meanwhile. -ENOTSUP: not here. */
int blk_copy_range(struct blk_backend *from, uint64_t from_offset, struct blk_backend *to, uint64_t to_offset, uint64_t n);
/* VM state lies behind the disk's contents in images that can store it (qcow2): -ENOTSUP elsewhere. */
int blk_vmstate_read(struct blk_backend *, uint64_t pos, void *buf, size_t n);
int blk_vmstate_write(struct blk_backend *, uint64_t pos, const void *buf, size_t n);

/* What a device does about a failed request (werror=, rerror=): enospc stops for -ENOSPC and reports others. The function is
 * told of each one, with what will be done (what management calls BLOCK_IO_ERROR), by the thread of the device; at STOP it
 * stops the machine. */
enum blk_on_error { BLK_ON_ERROR_REPORT, BLK_ON_ERROR_IGNORE, BLK_ON_ERROR_STOP, BLK_ON_ERROR_ENOSPC };
struct blk_io_error {
    struct blk_backend *blk;
    bool read;
    enum blk_on_error action; /* REPORT, IGNORE or STOP */
    int rc;                   /* -ENOSPC, -EIO, ... */
};
int blk_parse_on_error(const char *, bool read, enum blk_on_error *); /* -EINVAL */
void blk_set_on_error(struct blk_backend *, enum blk_on_error read, enum blk_on_error write,
                      void (*told)(void *opaque, const struct blk_io_error *), void *opaque);
/* REPORT, IGNORE or STOP. STOP without a function to call is REPORT. */
enum blk_on_error blk_error_action(struct blk_backend *, bool read, int rc);

enum blk_prealloc { BLK_PREALLOC_OFF, BLK_PREALLOC_METADATA, BLK_PREALLOC_FALLOC, BLK_PREALLOC_FULL };
int blk_parse_prealloc(const char *, enum blk_prealloc *); /* -EINVAL */
/* New size. New space reads as zeros. Shrinking is done without asking. Owning thread only. */
int blk_truncate(struct blk_backend *, uint64_t size, enum blk_prealloc, struct error *);

enum blk_status_flags {
    BLK_ST_DATA = 1,       /* this layer holds bytes for it */
    BLK_ST_ZERO = 2,       /* it reads as zeros */
    BLK_ST_ALLOCATED = 4,  /* this layer decides what is read (data or zero), not one below */
    BLK_ST_OFFSET = 8,     /* `offset` and `file` are where the bytes lie, as they are */
    BLK_ST_COMPRESSED = 16,
    BLK_ST_ENCRYPTED = 32,
    BLK_ST_EOF = 64,       /* the range ends at the end of the image */
    BLK_ST_RECURSE = 128   /* by drivers, for the core alone: holes of the file at `offset` are worth asking for */
};
struct blk_status {
    unsigned flags;
    uint64_t bytes;        /* for how many from the start this holds: 1..n */
    uint64_t offset;
    struct blk_node *file; /* the node `offset` counts in (a protocol node after the core has descended) */
    int depth;             /* 0: the top layer, 1: its backing, ... */
};
/* One layer: is it allocated in this node (not below)? */
int blk_node_status(struct blk_node *, uint64_t offset, uint64_t n, struct blk_status *);
/* Through the backing chain down to, but without, base (NULL: all). When no layer has it: ZERO, depth of the last
 * layer looked at. Runs are merged where flags and offset continue. */
int blk_status(struct blk_backend *, uint64_t offset, uint64_t n, struct blk_node *base, struct blk_status *);
int blk_node_status_above(struct blk_node *top, struct blk_node *base, uint64_t offset, uint64_t n,
                          struct blk_status *);

/* ---- asynchronous requests ------------------------------------------------------------------------ */

/*
 * A context runs requests on worker threads and their callbacks in one thread: in its loop's, or in whoever calls
 * blk_ctx_poll/blk_ctx_wait. A request is the caller's memory, which stays as it is until done(req) is called;
 * done may submit again, the same object too. More requests than threads queue.
 */
struct blk_ctx;
enum blk_op { BLK_OP_READ, BLK_OP_WRITE, BLK_OP_ZERO, BLK_OP_DISCARD, BLK_OP_FLUSH, BLK_OP_FN };
struct blk_req {
    struct blk_backend *blk;
    enum blk_op op;
    unsigned flags;                   /* enum blk_req_flags */
    uint64_t offset, bytes;
    void *buf;
    int (*fn)(struct blk_req *);      /* BLK_OP_FN: any work, in a worker */
    void (*done)(struct blk_req *);   /* in the context's thread; rc is set */
    void *opaque;
    int rc;
    struct blk_req *next;             /* the context's */
};
/* loop NULL: polled only. threads 0: the default (16; made as needed). */
struct blk_ctx *blk_ctx_new(struct loop *, unsigned threads, struct error *);
void blk_ctx_delete(struct blk_ctx *);          /* waits for all, calls their done */
void blk_submit(struct blk_ctx *, struct blk_req *);
unsigned blk_ctx_pending(const struct blk_ctx *); /* submitted, done not yet called */
unsigned blk_ctx_poll(struct blk_ctx *);          /* calls done of what has finished; how many */
void blk_ctx_wait(struct blk_ctx *);              /* until at least one has finished (or none is pending), then polls */
void blk_ctx_drain(struct blk_ctx *);             /* until none is pending */

/* ---- creating, changing, checking ----------------------------------------------------------------- */

/* ---- breakpoints (blkdebug) ---- */
enum blk_break {
    BLK_BREAK_SET,    /* the next request at `event` stops there, once */
    BLK_BREAK_REMOVE, /* breakpoints of that tag go, what stands there goes on */
    BLK_BREAK_RESUME, /* the first that stands there goes on */
    BLK_BREAK_ASK,    /* 1: one stands there */
    BLK_BREAK_NONE    /* all breakpoints go, all go on */
};
/* In the first blkdebug under a node; event for SET alone, tag for all but NONE. 0 or 1, -ENOTSUP without a blkdebug, -ENOENT
 * for an unknown event or tag, -EINVAL for a tag that is too long. A request that stops keeps its thread, and what it holds. */
int blk_debug_break(struct blk_node *, enum blk_break, const char *event, const char *tag);

/* A key of `create -o`. Tables end with a NULL name. `-o help` prints them. */
struct blk_create_opt {
    const char *name;
    enum opt_kind kind;
    const char *help;
    const char *def; /* NULL: none */
};
/* NULL for an unknown format (*e) or one that cannot create (*e: "Format driver 'x' does not support image creation"). */
const struct blk_create_opt *blk_create_opts(const char *format, struct error *);
/* Whether what is written to it can be compressed. */
bool blk_can_compress(const char *format);
/* What the protocol of a file of that name takes besides; NULL: nothing. */
const struct blk_create_opt *blk_create_file_opts(const char *filename);
/* Whether blk_create would refuse these options, before anything is opened or made. */
int blk_create_check(const char *format, const char *filename, const struct opts *, struct error *);
/* Of `amend -o`; the same. */
const struct blk_create_opt *blk_amend_opts(const char *format, struct error *);
/* Creates; `o` holds keys of the table, "size" among them (absent: taken from the backing file). With backing_file
 * set and `check_backing`, it is opened for its size and for being there. graph: for secrets; may be NULL. */
int blk_create(struct blk_graph *, const char *format, const char *filename, const struct opts *o,
               bool check_backing, struct error *);

struct blk_measure { uint64_t required, fully_allocated, bitmaps; };
/* Of a new image with options o, holding `source` (NULL: nothing, size from o). */
int blk_measure(const char *format, const struct opts *o, struct blk_backend *source, struct blk_measure *,
                struct error *);

enum blk_fix { BLK_FIX_LEAKS = 1, BLK_FIX_ERRORS = 2 };
struct blk_check {
    uint64_t corruptions, leaks, check_errors, corruptions_fixed, leaks_fixed;
    uint64_t image_end_offset;                              /* 0: not known */
    uint64_t total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters; /* total 0: not known */
    void (*message)(void *opaque, const char *line);        /* detail lines; may be NULL */
    void *opaque;
};
/* -ENOTSUP: the format has no check. The fields up to `message` are results. */
int blk_check(struct blk_backend *, unsigned fix, struct blk_check *, struct error *);
/* Changes creation options of an open image. */
int blk_amend(struct blk_backend *, const struct opts *, bool force,
              void (*progress)(void *, uint64_t done, uint64_t total), void *opaque, struct error *);
/* Writes another backing file name (NULL or "": none) and format into the image; the chain in memory stays. */
int blk_change_backing(struct blk_node *, const char *file, const char *format, struct error *);
/* Empties the top layer: everything reads from the backing again. -ENOTSUP: the caller zeroes or discards. */
int blk_make_empty(struct blk_backend *, struct error *);

struct blk_snapshot {
    char id[128], name[256];
    uint64_t vm_state_size, vm_clock_ns, disk_size;
    uint64_t icount;      /* UINT64_MAX: not known */
    uint32_t date_sec, date_nsec;
};
/* *list is allocated, caller frees; returns the number or -errno (-ENOTSUP: the format has none). */
int blk_snapshot_list(struct blk_node *, struct blk_snapshot **list, struct error *);
/* sn: name, times, state size in; id out. */
int blk_snapshot_create(struct blk_backend *, struct blk_snapshot *sn, struct error *);
/* By id, or by name when no id fits; apply writes the active image. */
int blk_snapshot_apply(struct blk_backend *, const char *id_or_name, struct error *);
int blk_snapshot_delete(struct blk_backend *, const char *id_or_name, struct error *);
/* Makes reads of a read-only open image see the snapshot (convert -l). */
int blk_snapshot_load(struct blk_backend *, const char *id_or_name, struct error *);

/* ---- dirty bitmaps -------------------------------------------------------------------------------- */

/* A bitmap of a node marks what is written while it is enabled. Marking is done by the core under its own lock;
 * persistent ones are the format's to load and store. Owning thread unless marked. */
struct blk_bitmap;
struct blk_bitmap *blk_bitmap_new(struct blk_node *, const char *name, uint32_t granularity, bool persistent,
                                  struct error *);
void blk_bitmap_delete(struct blk_bitmap *);
struct blk_bitmap *blk_bitmap_find(struct blk_node *, const char *name);
struct blk_bitmap *blk_bitmap_next(struct blk_node *, const struct blk_bitmap *after);
const char *blk_bitmap_name(const struct blk_bitmap *);
uint32_t blk_bitmap_granularity(const struct blk_bitmap *);
enum blk_bitmap_flags { BLK_BITMAP_ENABLED = 1, BLK_BITMAP_PERSISTENT = 2, BLK_BITMAP_INCONSISTENT = 4,
                        BLK_BITMAP_BUSY = 8, BLK_BITMAP_READONLY = 16 };
unsigned blk_bitmap_flags(const struct blk_bitmap *);
void blk_bitmap_set_flags(struct blk_bitmap *, unsigned flags);
void blk_bitmap_set(struct blk_bitmap *, uint64_t offset, uint64_t n);   /* [any] */
void blk_bitmap_clear(struct blk_bitmap *, uint64_t offset, uint64_t n); /* [any] */
uint64_t blk_bitmap_count(const struct blk_bitmap *);                    /* dirty bytes [any] */
/* The next dirty run at or after *offset: false when there is none. [any] */
bool blk_bitmap_run(const struct blk_bitmap *, uint64_t *offset, uint64_t *n);
int blk_bitmap_merge(struct blk_bitmap *dst, const struct blk_bitmap *src, struct error *);

/* ---- drivers -------------------------------------------------------------------------------------- */

enum blk_kind { BLK_PROTOCOL, BLK_FORMAT, BLK_FILTER };
/* The names of all drivers built in; false when i is past the end. */
bool blk_driver_name(unsigned i, const char **name, enum blk_kind *, bool *can_create);
bool blk_driver_known(const char *name);

#endif
