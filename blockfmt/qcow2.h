/*
 * qcow2.h - the insides of the qcow2 driver, shared by its files:
 *   qcow2.c           opening, requests, status, resizing, information
 *   qcow2-header.c    the header and its extensions, feature bits, marking as dirty or corrupt
 *   qcow2-map.c       from guest offsets to clusters: L1, L2, subclusters; changing entries
 *   qcow2-cluster.c   data of clusters: reading, writing, compressed ones, zeros
 *   qcow2-refcount.c  reference counts, allocation of host clusters
 *   qcow2-check.c     check and repair
 *   qcow2-cache.c     tables in memory and the order in which they reach the file
 *   qcow2-snapshot.c  internal snapshots, VM state
 *   qcow2-change.c    changes of the whole image in one step
 *   qcow2-bitmap.c    dirty bitmaps kept in the image
 *   qcow2-amend.c     changing options of an image, its backing file, emptying it, preallocation
 *   qcow2-create.c    new images
 *
 * One mutex (`lock`) guards all of struct qcow2. Data I/O and (de)compression are done without it; what keeps a
 * cluster from being freed under a request is the range lock. Functions marked (L) are called with it held.
 *
 * Order on disk. Nothing points to what is not there, whenever the machine stops:
 *   new reference counts -> L2 entries -> L1 entries -> lower reference counts
 * so a crash leaves clusters that are counted and not used (leaks), never the reverse. Clusters that were freed
 * are kept in `frees` and may be used again only after the tables without them have been written.
 * With lazy refcounts the counts are written last, and the dirty bit of the header says so. Snapshots come and go in one
 * write of the header.
 */
#ifndef BLOCKFMT_QCOW2_H
#define BLOCKFMT_QCOW2_H

#include "blockfmt/driver.h"

#define QCOW2_MAGIC       0x514649fbu
#define QCOW2_OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define QCOW2_COPIED      (UINT64_C(1) << 63)
#define QCOW2_COMPRESSED  (UINT64_C(1) << 62)
#define QCOW2_ZERO        UINT64_C(1)
#define QCOW2_MAX_L1      (UINT64_C(32) << 20) /* bytes of an L1 table */
#define QCOW2_MAX_RT      (UINT64_C(8) << 20)  /* bytes of a refcount table */
#define QCOW2_MAX_SNAPSHOTS 65536

enum { QCOW2_INCOMPAT_DIRTY = 1, QCOW2_INCOMPAT_CORRUPT = 2, QCOW2_INCOMPAT_DATA_FILE = 4, QCOW2_INCOMPAT_COMPRESSION = 8,
       QCOW2_INCOMPAT_EXTL2 = 16 };
enum { QCOW2_EXT_BACKING = 0xe2792aca, QCOW2_EXT_FEATURES = 0x6803f857, QCOW2_EXT_BITMAPS = 0x23852875,
       QCOW2_EXT_CRYPTO = 0x0537be77, QCOW2_EXT_DATA_FILE = 0x44415441 };
enum { QCOW2_COMPAT_LAZY = 1 };
enum { QCOW2_AUTOCLEAR_BITMAPS = 1, QCOW2_AUTOCLEAR_RAW = 2 };

/* A table of one cluster (L2 or refcount block) in memory, big endian as on disk. */
struct qcow2_table {
    uint64_t offset; /* in the file; 0: free slot */
    uint8_t *data;
    uint32_t dirty_lo, dirty_hi; /* bytes; equal: clean */
    bool used;                   /* since the hand last came by */
    struct qcow2_table *next;    /* in its hash bucket */
};

struct qcow2_cache {
    struct qcow2_table *slots, **buckets, *last; /* last: asked for */
    unsigned n, n_buckets, in_use, n_dirty, hand;
};

struct qcow2_snapshot {
    uint64_t l1_offset, vm_state_size, disk_size, vm_clock_ns, icount;
    uint32_t l1_size, date_sec, date_nsec, vm_state_size32;
    char *id, *name;
    uint32_t extra_len;
    uint8_t *extra; /* what follows the fields we know */
};

/* A header extension that we know nothing of: kept as it is. */
struct qcow2_ext {
    uint32_t type, len;
    uint8_t *data;
    struct qcow2_ext *next;
};

/* A stored bitmap, as the directory has it. What it holds is in a struct blk_bitmap of the same name. */
struct qcow2_bitmap {
    uint64_t table_offset;
    uint32_t table_size, flags; /* entries */
    uint8_t type, granularity_bits;
    char *name;
    uint32_t extra_len;
    uint8_t *extra;
};

struct qcow2_free {
    uint64_t offset, bytes;
};

struct qcow2 {
    struct blk_node *node, *file, *data; /* data: file, or the external data file */
    pthread_mutex_t lock;
    struct blk_ranges ranges;            /* of guest offsets */
    unsigned version, cluster_bits, l2_bits, refcount_order, rb_bits; /* rb: log2 of entries of a refcount block */
    unsigned sub_bits;                   /* log2 of the size of a subcluster; cluster_bits without them */
    unsigned entry_shift;                /* log2 of the size of an L2 entry: 3, or 4 with subclusters */
    uint32_t cluster_size, header_length;
    uint64_t size, incompatible, compatible, autoclear;
    unsigned crypt_method, compression;  /* compression: 0 zlib, 1 zstd */
    bool ext_l2, external;
    uint64_t *l1, l1_offset;             /* host byte order */
    uint32_t l1_size;                    /* entries */
    uint32_t l1_dirty_lo, l1_dirty_hi;
    bool l1_barrier;                     /* L2 tables that dirty L1 entries point to are not safely on disk */
    uint64_t *rt, rt_offset;
    uint32_t rt_size;                    /* entries: whole clusters */
    uint32_t rt_dirty_lo, rt_dirty_hi;
    struct qcow2_cache l2c, rbc;
    uint64_t generation;                 /* changes when a table is written or given up: what was read before is stale */
    uint64_t hint;                       /* no free cluster below this index */
    struct qcow2_free *frees;
    unsigned n_frees, cap_frees;
    struct qcow2_snapshot *snapshots;
    uint32_t n_snapshots;
    uint64_t snapshots_offset, snapshots_bytes;
    bool pass_discard;
    enum qcow2_holes { QCOW2_HOLES_UNKNOWN, QCOW2_NO_HOLES, QCOW2_HOLES } holes; /* in the file, for clusters allocated only */
    bool lazy;                           /* counts are behind: the dirty bit is on disk, and ours to clear */
    bool use_lazy;                       /* asked for */
    bool broken;                         /* found corrupt while open: no more writes */
    bool loaded;                         /* shows a snapshot; read-only */
    uint64_t comp_offset;                /* where the next compressed bytes go in a cluster begun, 0: nowhere */
    uint64_t header_end;                 /* bytes of the header cluster in use */
    struct qcow2_ext *exts;
    char *data_file;                     /* the name of the external data file in the header; NULL: none */
    struct qcow2_bitmap *bitmaps;
    uint32_t n_bitmaps;
    uint64_t bitmap_dir_offset, bitmap_dir_size;
    bool bitmaps_in_use;                 /* the directory on disk says that we have them open */
    uint64_t crypto_offset, crypto_length; /* the LUKS header inside the image */
    struct crypt *crypt;                 /* NULL: not encrypted, or opened without key */
    struct luks *luks;
};

static inline uint64_t qcow2_cluster_mask(const struct qcow2 *s) { return s->cluster_size - 1; }
static inline uint64_t qcow2_l2_span(const struct qcow2 *s) { return UINT64_C(1) << (s->l2_bits + s->cluster_bits); }
static inline uint64_t qcow2_vm_state(const struct qcow2 *s) { return ALIGN_UP(s->size, qcow2_l2_span(s)); }

enum qcow2_type { QCOW2_UNALLOCATED, QCOW2_ZEROS, QCOW2_NORMAL, QCOW2_COMPR };
struct qcow2_map {
    enum qcow2_type type;
    bool copied;    /* the cluster is ours alone */
    bool alloc;     /* there is a host cluster behind it (always with NORMAL) */
    uint64_t host;  /* alloc: of the first byte asked for; COMPR: the entry */
    uint64_t bytes; /* for how many */
};

/* qcow2-header.c */
/* Reads header and extensions: format and backing names go to the node. h: a buffer of at least 2 MiB. */
int qcow2_header_read(struct qcow2 *, unsigned flags, struct error *);
/* (L) Writes the whole header from what *s says; backing NULL: as the node has it. */
int qcow2_header_write(struct qcow2 *, const char *backing, const char *format);
void qcow2_header_free(struct qcow2 *);
/* Builds it in a buffer of a cluster: -ENOSPC when it does not fit. */
int qcow2_header_build(const struct qcow2 *, const char *backing, const char *format, uint8_t *h);
/* (L) Sets or clears incompatible bits on disk, safely. */
int qcow2_incompat(struct qcow2 *, uint64_t set, uint64_t clear);
/* (L) Says on disk that counts may be wrong until qcow2_clean (version 3 only). */
int qcow2_mark_dirty(struct qcow2 *);
/* (L) Everything has been written: the dirty bit goes when it is ours. */
int qcow2_clean(struct qcow2 *);
/* (L) The image contradicts itself at `offset`: marks it corrupt, stops writes. Returns -EIO. */
int qcow2_corrupt(struct qcow2 *, uint64_t offset, const char *what);
/* (L) Does [offset, +n) of the file hold tables? NULL: no, else their name. */
const char *qcow2_overlap(struct qcow2 *, uint64_t offset, uint64_t n);
const char *qcow2_overlap_known(const struct qcow2 *, uint64_t offset, uint64_t n); /* of those that the header tells of */

/* qcow2-map.c */
/* (L) What guest bytes from offset are, for at most n. */
int qcow2_map(struct qcow2 *, uint64_t offset, uint64_t n, struct qcow2_map *);
/* Loads the L2 table for a guest offset without holding the mutex over the read. (L), which it gives up meanwhile. */
int qcow2_prefetch(struct qcow2 *, uint64_t offset);
/* (L) n clusters from offset lie at host, host + 1 cluster, ...: written are guest bytes [from, to) (to whole
 * subclusters); `whole`: all of the clusters. */
int qcow2_set_data(struct qcow2 *, uint64_t offset, uint64_t n, uint64_t host, uint64_t from, uint64_t to, bool whole);
/* (L) One cluster: the raw entry and the bits of its subclusters; what it held is released. */
int qcow2_set_entry(struct qcow2 *, uint64_t offset, uint64_t entry, uint64_t bits);
/* (L) The raw entry of a cluster; 0 when there is no table. */
int qcow2_get_entry(struct qcow2 *, uint64_t offset, uint64_t *entry, uint64_t *bits);
/* (L) Grows the L1 table for a disk of `size` bytes. */
int qcow2_grow_l1(struct qcow2 *, uint64_t size);
/* Where compressed data lies. */
void qcow2_compressed_place(const struct qcow2 *, uint64_t entry, uint64_t *host, uint64_t *bytes);
static inline bool qcow2_has_host(const struct qcow2 *s, uint64_t entry)
{
    return (entry & QCOW2_OFFSET_MASK) || (s->external && (entry & QCOW2_COPIED));
}

/* qcow2-cluster.c */
int qcow2_write_data(struct qcow2 *, uint64_t offset, const uint8_t *buf, uint64_t n);
int qcow2_write_compressed(struct qcow2 *, uint64_t offset, const uint8_t *buf, size_t n);
int qcow2_read_data(struct qcow2 *, uint64_t offset, uint8_t *buf, uint64_t n);
/* Without waiting: for no table, no data, no other request. -EAGAIN: not this. */
int qcow2_read_data_now(struct qcow2 *, uint64_t offset, uint8_t *buf, uint64_t n);
/* struct blk_driver, start and landed */
int qcow2_start_data(struct qcow2 *, struct blk_flight *, struct blk_stop *);
bool qcow2_landed_data(struct qcow2 *, struct blk_stop *, bool wait);
/* Whole (sub)clusters (or up to the end of the disk) to zeros. unmap: their space is given back; discard: like it,
 * where that shows zeros. */
int qcow2_zero_clusters(struct qcow2 *, uint64_t offset, uint64_t n, bool unmap, bool discard);
/* Unallocates everything from guest offset `from` on to `to`: the backing shows again. */
int qcow2_forget_clusters(struct qcow2 *, uint64_t from, uint64_t to);

/* qcow2-refcount.c, all (L) */
int qcow2_refcount_get(struct qcow2 *, uint64_t cluster, uint64_t *value);
int qcow2_refcount_add(struct qcow2 *, uint64_t cluster, uint64_t n, int delta);
int qcow2_refcount_set(struct qcow2 *, uint64_t cluster, uint64_t value);
/* Between 1 and n clusters in a row (exact: n), counted once. *offset in bytes. */
int qcow2_alloc(struct qcow2 *, uint64_t n, bool exact, uint64_t *offset, uint64_t *got);
/* Later, when nothing on disk points there: one reference less for all clusters the bytes touch. */
int qcow2_free_later(struct qcow2 *, uint64_t offset, uint64_t bytes);
uint64_t qcow2_refcount_max(const struct qcow2 *);
void qcow2_refcount_write(const struct qcow2 *, uint8_t *block, uint64_t i, uint64_t value);

/* qcow2-check.c */
int qcow2_check(struct blk_node *, unsigned fix, struct blk_check *, struct error *);
/* (L) The same. */
int qcow2_check_locked(struct qcow2 *, unsigned fix, struct blk_check *, struct error *);
/* (L) Other reference counts: bits = 1 << order. */
int qcow2_rebuild(struct qcow2 *, unsigned order, struct error *);

/* qcow2-snapshot.c */
int qcow2_snapshots_read(struct qcow2 *, unsigned flags, struct error *);
void qcow2_snapshots_free(struct qcow2 *);
int qcow2_snapshot_list(struct blk_node *, struct blk_snapshot **list, struct error *);
int qcow2_snapshot_create(struct blk_node *, struct blk_snapshot *, struct error *);
int qcow2_snapshot_apply(struct blk_node *, const char *id_or_name, struct error *);
int qcow2_snapshot_delete(struct blk_node *, const char *id_or_name, struct error *);
int qcow2_snapshot_load(struct blk_node *, const char *id_or_name, struct error *);
int qcow2_vmstate_read(struct blk_node *, uint64_t pos, void *buf, size_t n);
int qcow2_vmstate_write(struct blk_node *, uint64_t pos, const void *buf, size_t n);
/* The table as it is on disk; to be freed. */
uint8_t *qcow2_snapshots_build(const struct qcow2 *, uint64_t *bytes);
/* (L) Writes the table again, at a new place (all have extra data then). */
int qcow2_snapshots_write(struct qcow2 *, uint32_t old_n); /* old_n: how many the table on disk has */

/* qcow2-change.c, all (L). begin; then counts are changed and the new active L1 table is put in `l1` (without flags, for
 * end to free); commit writes it all and switches; end, always. An error before the switch has changed nothing. */
struct qcow2_change {
    struct qcow2 *s;
    uint32_t **counts;          /* by region: as they will be; NULL: as they are */
    uint64_t *blocks, regions;  /* places of the new refcount blocks; regions: entries of both */
    uint64_t top, loaded, hint; /* top: behind the last region that changes */
    uint64_t *l1;
    uint32_t l1_size;
    uint64_t *rt, rt_size, rt_offset;
};
int qcow2_change_begin(struct qcow2_change *, struct qcow2 *);
/* Adds delta to the counts of all that an L1 table leads to: -EINVAL when they contradict it. */
int qcow2_change_count(struct qcow2_change *, const uint64_t *l1, uint32_t n, int delta);
/* One reference less for the clusters of a table. */
int qcow2_change_drop(struct qcow2_change *, uint64_t offset, uint64_t bytes);
/* Writes another L1 table somewhere (0 when it is empty). */
int qcow2_change_l1(struct qcow2_change *, const uint64_t *l1, uint32_t n, uint64_t *offset);
/* The snapshots are those of *s now; size: of the disk. */
int qcow2_change_commit(struct qcow2_change *, uint64_t size);
void qcow2_change_end(struct qcow2_change *);

/* qcow2-bitmap.c */
enum { QCOW2_BITMAP_IN_USE = 1, QCOW2_BITMAP_AUTO = 2, QCOW2_BITMAP_EXTRA_OK = 4 };
int qcow2_bitmaps_parse(struct qcow2 *, const uint8_t *ext, uint32_t len, struct error *);
int qcow2_bitmaps_load(struct qcow2 *, unsigned flags, struct error *); /* and marks them in use */
int qcow2_bitmaps_store(struct qcow2 *, struct error *);                /* writes them, not in use any more */
void qcow2_bitmaps_free(struct qcow2 *);
bool qcow2_can_store_bitmap(struct blk_node *, const char *name, uint32_t granularity, struct error *);
void qcow2_bitmaps_info(struct qcow2 *, struct json_out *);

/* qcow2.c: bytes of the header that an image encrypted by LUKS has; opaque: struct qcow2. */
int qcow2_read_luks(void *opaque, uint64_t offset, void *buf, size_t n);

/* qcow2-amend.c */
extern const struct blk_create_opt qcow2_amend_opts[];
int qcow2_amend(struct blk_node *, const struct opts *, bool force, void (*progress)(void *, uint64_t, uint64_t),
                void *opaque, struct error *);
int qcow2_change_backing(struct blk_node *, const char *file, const char *format, struct error *);
int qcow2_make_empty(struct blk_node *, struct error *);
/* Allocates [from, to) of the disk: entries for it, and room in the file. */
int qcow2_preallocate(struct qcow2 *, uint64_t from, uint64_t to, enum blk_prealloc, struct error *);
int qcow2_truncate(struct blk_node *, uint64_t size, enum blk_prealloc, struct error *);

/* qcow2-cache.c, all (L) */
void qcow2_cache_init(struct qcow2_cache *, unsigned n);
void qcow2_cache_free(struct qcow2_cache *);
/* The table at offset, read when it is not there; valid until the next call that may load one. */
int qcow2_table(struct qcow2 *, struct qcow2_cache *, uint64_t offset, uint8_t **data);
/* An empty (zeroed) dirty one for a cluster just allocated. */
int qcow2_table_new(struct qcow2 *, struct qcow2_cache *, uint64_t offset, uint8_t **data);
void qcow2_table_dirty(struct qcow2 *, struct qcow2_cache *, const uint8_t *data, uint32_t lo, uint32_t hi);
void qcow2_table_forget(struct qcow2 *, struct qcow2_cache *, uint64_t offset);
/* Writes n bytes of the header, which say where a structure lies, and flushes. When that fails the header may say either:
 * what was there is put back, or, when that fails too, the image is not written any more (broken). */
int qcow2_switch(struct qcow2 *, uint64_t at, const uint8_t *now, const uint8_t *was, size_t n);
/* Its cluster is free: an unchanged copy of it as an L2 table is no longer kept. */
void qcow2_table_freed(struct qcow2 *, uint64_t offset);
/* A clean table read elsewhere, when no other is there. */
void qcow2_table_insert(struct qcow2 *, struct qcow2_cache *, uint64_t offset, const uint8_t *data);
bool qcow2_table_cached(struct qcow2 *, struct qcow2_cache *, uint64_t offset);
/* Drops all tables (clean ones; dirty ones are lost). */
void qcow2_cache_drop(struct qcow2_cache *);
/* Gives their memory back too, unless one is dirty. */
void qcow2_cache_trim(struct qcow2_cache *);
/* Writes everything back in order and carries out the frees. */
int qcow2_writeback(struct qcow2 *);
/* Only the counts. */
int qcow2_writeback_counts(struct qcow2 *);
/* The same as writeback, twice: what the frees changed is written too; then counts that lazy refcounts left behind. */
int qcow2_writeback_all(struct qcow2 *);

/* qcow2-create.c */
int qcow2_create(struct blk_graph *, const char *filename, const struct opts *, struct error *);
int qcow2_measure(const struct opts *, struct blk_backend *, struct blk_measure *, struct error *);
extern const struct blk_create_opt qcow2_create_opts[];

#endif
