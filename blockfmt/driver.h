/*
 * driver.h - what a format, protocol or filter is written against. Not for devices or programs.
 *
 * A driver is one `const struct blk_driver blk_drv_NAME` in a file of its own and a line BLK_DRIVER(NAME) in
 * formats.def. Functions that are NULL have the default said beside them.
 *
 * Threads and locks. Drivers are plain blocking code. Requests (read, write, zero, discard, flush, status) come
 * from any thread; everything else from the thread that owns the graph. The core holds a lock per node while a
 * driver's function runs, and `locking` says which:
 *   BLK_LOCK_NODE     the default: one function at a time. Nothing to think of.
 *   BLK_LOCK_READERS  read and status run beside each other (they change nothing, or only what a mutex of the
 *                     driver's guards); write, zero, discard, flush run alone.
 *   BLK_LOCK_OWN      requests run beside each other; the driver guards its state (struct blk_ranges below helps).
 * In all three, structural functions (truncate, check, amend, snapshot_*, reopen, set_options, close, bitmaps) run alone: no
 * request of the node is inside the driver then. Locks are taken parent before child, so a driver may call its
 * children (blk_node_*) from anywhere and must never call its parents or itself through blk_node_*. A driver that
 * holds a mutex of its own over child I/O is correct but slow; the ones that matter copy what they need, drop
 * the mutex, do the I/O, and take it again.
 *
 * What the core has done before a driver is called: the range lies within the node (or the request carries
 * BLK_RESIZE and the driver may grow: protocols), read-only nodes see no write, requests are cut at max_transfer
 * and, when request_align > 1, widened to it by reading first. n is never 0.
 *
 * Hostile images: check every number of a header against limits before multiplying or allocating; tables are read
 * with sizes that were checked; messages name the field, its value and (by the core's prefix) the file.
 */
#ifndef BLOCKFMT_DRIVER_H
#define BLOCKFMT_DRIVER_H

#include "blockfmt/block.h"

#include <errno.h>
#include <pthread.h>

struct aio_engine;

/*
 * A request on its way down to a file, whose kernel queue does it without a thread (aio.h): struct blk_driver, start.
 * Each node it passes is remembered, with room for the range lock it may hold meanwhile.
 */
enum { BLK_FLIGHT_NODES = 8 };
struct blk_range {
    uint64_t start, end; /* [start, end) */
    bool exclusive;
    struct blk_range *next;
};
struct blk_flight {
    bool write;
    void *buf;
    unsigned n;
    struct blk_stop {
        struct blk_node *node;
        uint64_t offset;
        size_t len;
        struct blk_range range;
    } at[BLK_FLIGHT_NODES]; /* the root first */
    /* by the driver of the file: */
    const struct aio_engine *engine;
    int fd;
    uint64_t file_offset;
};

enum blk_locking { BLK_LOCK_NODE, BLK_LOCK_READERS, BLK_LOCK_OWN };

struct blk_driver {
    const char *name;
    enum blk_kind kind;
    enum blk_locking locking;
    size_t state_size;                        /* zeroed memory at blk_state(node) before open */
    bool backing;                             /* the format has backing files */
    bool compresses;                          /* write takes BLK_COMPRESSED */
    bool grows;                               /* a write beyond the end extends it (protocols, raw) */
    bool no_file;                             /* a format or filter without a "file" child (vvfat, quorum) */
    const struct opt_desc *open_opts;         /* "server.*" stands for all keys below; NULL: none */
    const struct blk_create_opt *create_opts; /* NULL: cannot create */

    /* Formats: how sure this is one of ours, 0 (no) to 100. buf: the first n (up to 2048) bytes, zero padded. */
    int (*probe)(const uint8_t *buf, size_t n, const char *filename);
    /* Formats known by their end (vpc, dmg): the last 512 bytes. NULL: not. */
    int (*probe_tail)(const uint8_t *buf);
    /* Protocols: prefixes without colon, NULL-ended ("nbd", "nbd+unix"), and how such a name becomes options.
     * NULL parse: {filename = name}. */
    const char *const *prefixes;
    int (*parse_filename)(const char *filename, struct opts *out, struct error *);
    /* Protocols: claims plain names that are host devices (host_device, host_cdrom): 0..100. */
    int (*probe_device)(const char *filename);

    /* Opens. Formats find their "file" child open (unless no_file). Sets blk_set_size and, as they apply, limits and
     * backing name. On error everything of its own is released; close is not called. */
    int (*open)(struct blk_node *, const struct opts *, unsigned flags, struct error *);
    void (*close)(struct blk_node *); /* writes back what is cached; NULL: nothing */
    /* Other flags (enum blk_flags); children are done by the core: downwards before when rights are gained.
     * NULL: works if nothing changes but flags the core keeps. prepare=true only asks. */
    int (*reopen)(struct blk_node *, unsigned flags, bool prepare, struct error *);
    /* Some of open_opts, at any time; prepare=true only asks. A key that cannot be changed: error_set, -EINVAL. NULL: none can. */
    int (*set_options)(struct blk_node *, const struct opts *, bool prepare, struct error *);
    /* Creates an image file; keys of create_opts, defaults filled in, "size" checked. */
    int (*create)(struct blk_graph *, const char *filename, const struct opts *, struct error *);
    int (*measure)(const struct opts *, struct blk_backend *source, struct blk_measure *, struct error *);

    int (*read)(struct blk_node *, uint64_t offset, void *buf, size_t n);
    /* Like read, where it can be done without waiting (the page cache has it, or nothing is there): else -EAGAIN, with
     * anything in buf. Beside others with BLK_LOCK_OWN and READERS. NULL: never. */
    int (*read_now)(struct blk_node *, uint64_t offset, void *buf, size_t n);
    int (*write)(struct blk_node *, uint64_t offset, const void *buf, size_t n, unsigned flags); /* NULL: read-only driver */
    /* The same request without a thread, read or write: passes it on by blk_node_start, or, a protocol, says which engine does it
     * to which file. It waits for nothing and changes nothing but its own locks; -EAGAIN, with all given up: not so. With
     * BLK_LOCK_OWN only. NULL: never. */
    int (*start)(struct blk_node *, struct blk_flight *, struct blk_stop *);
    /* Gives up what start has taken, in any thread. Without `wait`, false where a lock is another's, who may be waiting for
     * flights: asked again later. NULL: nothing to give up. */
    bool (*landed)(struct blk_node *, struct blk_stop *, bool wait);
    /* Protocols: takes bytes from another node of the same driver, without their passing through here. -ENOTSUP (or NULL): the
     * caller copies them. */
    int (*copy_from)(struct blk_node *, uint64_t offset, struct blk_node *from, uint64_t from_offset, uint64_t n);
    /* -ENOTSUP (or NULL): the core writes zeros. */
    int (*zero)(struct blk_node *, uint64_t offset, uint64_t n, unsigned flags);
    int (*discard)(struct blk_node *, uint64_t offset, uint64_t n);  /* NULL: ignored */
    int (*flush)(struct blk_node *);          /* own caches, then the core flushes the children "file", "data-file", ... */
    /* NULL: all is data (formats), or as the file child says at the same offset (filters). Sets flags, bytes and,
     * with OFFSET, offset and file. Neither DATA nor ZERO nor ALLOCATED: see the backing. */
    int (*status)(struct blk_node *, uint64_t offset, uint64_t n, struct blk_status *);
    uint64_t (*length)(struct blk_node *);    /* protocols whose size moves under us (removable media); NULL: as set */

    /* Structural. NULL: -ENOTSUP with a message naming the format. */
    int (*truncate)(struct blk_node *, uint64_t size, enum blk_prealloc, struct error *);
    int (*info)(struct blk_node *, struct blk_info *);   /* fills what it knows; NULL: what the file says */
    void (*info_specific)(struct blk_node *, struct json_out *); /* members of "data" */
    int (*check)(struct blk_node *, unsigned fix, struct blk_check *, struct error *);
    const struct blk_create_opt *amend_opts; /* what may be changed: checked before amend is called */
    int (*amend)(struct blk_node *, const struct opts *, bool force, void (*progress)(void *, uint64_t, uint64_t),
                 void *opaque, struct error *);
    int (*change_backing)(struct blk_node *, const char *file, const char *format, struct error *);
    int (*make_empty)(struct blk_node *, struct error *);
    int (*snapshot_list)(struct blk_node *, struct blk_snapshot **list, struct error *);
    int (*snapshot_create)(struct blk_node *, struct blk_snapshot *, struct error *);
    int (*snapshot_apply)(struct blk_node *, const char *id_or_name, struct error *);
    int (*snapshot_delete)(struct blk_node *, const char *id_or_name, struct error *);
    int (*snapshot_load)(struct blk_node *, const char *id_or_name, struct error *);
    int (*vmstate_read)(struct blk_node *, uint64_t pos, void *buf, size_t n);
    int (*vmstate_write)(struct blk_node *, uint64_t pos, const void *buf, size_t n);
    bool (*can_store_bitmap)(struct blk_node *, const char *name, uint32_t granularity, struct error *);

    /* Filters that listen to blk_debug_event (blkdebug). Any thread. NULL: not. */
    void (*debug_event)(struct blk_node *, const char *event);
    int (*debug_break)(struct blk_node *, enum blk_break, const char *event, const char *tag); /* as blk_debug_break */

    /* Protocols with locks: the rights all users together need and leave to others. Called before they change. */
    int (*set_perm)(struct blk_node *, unsigned perm, unsigned shared, struct error *);
};

#define BLK_DRIVER(name) extern const struct blk_driver blk_drv_##name;
#include "blockfmt/formats.def"
#undef BLK_DRIVER
const struct blk_driver *blk_driver_find(const char *name); /* NULL: none */
/* The best probe of a block of data that starts an image: NULL when nothing claims it (raw). */
const char *blk_probe_name(const uint8_t *buf, size_t n, const char *filename);

/* ---- a driver's own node ---- */
void *blk_state(const struct blk_node *);
struct blk_graph *blk_node_graph(const struct blk_node *);
void blk_set_size(struct blk_node *, uint64_t bytes);
/* For protocols opened by options: the name that would have opened them, for messages and `info`. */
void blk_set_filename(struct blk_node *, const char *);
/* Keys below `prefix.`, without it; opts_free. */
struct opts opts_below(const struct opts *, const char *prefix);
/* What this image says its backing is; the core opens it after open() unless options say otherwise. */
void blk_set_backing_name(struct blk_node *, const char *file, const char *format);
/* Power of two: requests come aligned to it (O_DIRECT: 512 or 4096). max_transfer: 0 no limit. */
void blk_set_limits(struct blk_node *, uint32_t request_align, uint32_t max_transfer);
/* Zeroes smaller than this, or off it, are written as data (0: any). */
void blk_set_zero_align(struct blk_node *, uint32_t align);
/* Opens one more child from the options below `role.` (or the node they name); inherits flags of the parent. `def`
 * (may be NULL) is a file name to use when the options say nothing. Closed with the node. format: children that
 * are probed (true) or protocols (false). NULL + *e. */
struct blk_node *blk_open_child(struct blk_node *, const struct opts *, const char *role, const char *def,
                                bool format, struct error *);
struct blk_node *blk_file(const struct blk_node *); /* the "file" child */
/* For filters (with no_file) whose child has another key than "file": opens it from the options `key` and `key.*`, as
 * the child "file". format: probed unless they say a driver. */
struct blk_node *blk_open_filter_child(struct blk_node *, const struct opts *, const char *key, bool format, struct error *);
/* Says that something happens to an image whose file is `file`: "l2_update", ... (the names are in blkdebug.c). Cheap
 * when nobody listens; filters below are told. */
void blk_debug_event(struct blk_node *file, const char *event);

/* ---- requests to children [any thread] ---- */
int blk_node_read(struct blk_node *, uint64_t offset, void *buf, size_t n);   /* beyond the end: zeros */
int blk_node_read_now(struct blk_node *, uint64_t offset, void *buf, size_t n); /* -EAGAIN: it would have to wait */
int blk_node_write(struct blk_node *, uint64_t offset, const void *buf, size_t n, unsigned flags); /* grows protocols */
int blk_node_start(struct blk_node *, struct blk_flight *, uint64_t offset, size_t n); /* 0, or -EAGAIN: not this way */
int blk_node_zero(struct blk_node *, uint64_t offset, uint64_t n, unsigned flags);
int blk_node_discard(struct blk_node *, uint64_t offset, uint64_t n);
int blk_node_flush(struct blk_node *);
int blk_node_truncate(struct blk_node *, uint64_t size, enum blk_prealloc, struct error *);
int blk_node_check(struct blk_node *, unsigned fix, struct blk_check *, struct error *);

/* ---- creating: the file under a format ---- */
/* Makes (or empties) the file through its protocol and opens it for writing; blk_node_unref when done. opts: as create has
 * them; what is the protocol's of these (but size and preallocation) is passed on. */
struct blk_node *blk_create_file(struct blk_graph *, const char *filename, uint64_t size, const struct opts *, struct error *);
/* Opens a protocol node by name. */
struct blk_node *blk_open_file(struct blk_graph *, const char *filename, unsigned flags, struct error *);
void blk_node_unref(struct blk_node *);

/* ---- range locks, for BLK_LOCK_OWN drivers ---- */
/*
 * Which parts of the guest's address space have requests inside (struct blk_range, above). Guarded by a mutex of the driver's,
 * which is held when these are called and given up while waiting: so take a range first, then look things up under the same
 * hold of the mutex. Shared ranges wait for exclusive ones that overlap, exclusive for all.
 */
struct blk_ranges {
    struct blk_range *list;
    unsigned waiting;
    pthread_cond_t cond;
};
void blk_ranges_init(struct blk_ranges *);
void blk_ranges_destroy(struct blk_ranges *);
void blk_range_lock(struct blk_ranges *, pthread_mutex_t *, struct blk_range *, uint64_t start, uint64_t end,
                    bool exclusive);
void blk_range_unlock(struct blk_ranges *, struct blk_range *);

/* Is it all zeros? Fast. */
bool blk_is_zero(const void *buf, size_t n);
/* Memory aligned for O_DIRECT; free with blk_free_aligned. */
void *blk_alloc_aligned(size_t n);
void blk_free_aligned(void *);

#endif
