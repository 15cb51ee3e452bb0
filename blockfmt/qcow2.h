/*
 * qcow2.h - the insides of the qcow2 driver, shared by its files:
 *   qcow2.c           opening, requests, status, resizing, information
 *   qcow2-cluster.c   from guest offsets to clusters: L1, L2, allocation for writes, freeing
 *   qcow2-refcount.c  reference counts, allocation of host clusters, check
 *   qcow2-cache.c     tables in memory and the order in which they reach the file
 *   qcow2-create.c    new images, the header
 *
 * One mutex (`lock`) guards all of struct qcow2. Data I/O and (de)compression are done without it; what keeps a
 * cluster from being freed under a request is the range lock. Functions marked (L) are called with it held.
 *
 * Order on disk. Nothing points to what is not there, whenever the machine stops:
 *   new reference counts -> L2 entries -> L1 entries -> lower reference counts
 * so a crash leaves clusters that are counted and not used (leaks), never the reverse. Clusters that were freed
 * are kept in `frees` and may be used again only after the tables without them have been written.
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
enum { QCOW2_COMPAT_LAZY = 1 };
enum { QCOW2_AUTOCLEAR_BITMAPS = 1, QCOW2_AUTOCLEAR_RAW = 2 };

/* A table of one cluster (L2 or refcount block) in memory, big endian as on disk. */
struct qcow2_table {
    uint64_t offset; /* in the file; 0: free slot */
    uint8_t *data;
    uint32_t dirty_lo, dirty_hi; /* bytes; equal: clean */
    uint64_t used;               /* clock of the last use */
    struct qcow2_table *next;    /* in its hash bucket */
};

struct qcow2_cache {
    struct qcow2_table *slots, **buckets, *last; /* last: asked for */
    unsigned n, n_buckets, in_use, n_dirty;
    uint64_t clock;
};

struct qcow2_snapshot {
    uint64_t l1_offset, vm_state_size, disk_size, vm_clock_ns, icount;
    uint32_t l1_size, date_sec, date_nsec;
    char *id, *name;
};

struct qcow2_free {
    uint64_t offset, bytes;
};

struct qcow2 {
    struct blk_node *node, *file, *data; /* data: file, or the external data file */
    pthread_mutex_t lock;
    struct blk_ranges ranges;            /* of guest offsets */
    unsigned version, cluster_bits, l2_bits, refcount_order, rb_bits; /* rb: log2 of entries of a refcount block */
    uint32_t cluster_size, header_length;
    uint64_t size, incompatible, compatible, autoclear;
    unsigned crypt_method, compression;  /* compression: 0 zlib, 1 zstd */
    uint64_t *l1, l1_offset;             /* host byte order */
    uint32_t l1_size;                    /* entries */
    uint32_t l1_dirty_lo, l1_dirty_hi;
    bool l1_barrier;                     /* L2 tables that dirty L1 entries point to are not safely on disk */
    uint64_t *rt, rt_offset;
    uint32_t rt_size;                    /* entries: whole clusters */
    uint32_t rt_dirty_lo, rt_dirty_hi;
    struct qcow2_cache l2c, rbc;
    uint64_t hint;                       /* no free cluster below this index */
    struct qcow2_free *frees;
    unsigned n_frees, cap_frees;
    struct qcow2_snapshot *snapshots;
    uint32_t n_snapshots;
    uint64_t snapshots_offset, snapshots_bytes;
    bool pass_discard;
    uint64_t comp_offset;                /* where the next compressed bytes go in a cluster begun, 0: nowhere */
};

static inline uint64_t qcow2_cluster_mask(const struct qcow2 *s) { return s->cluster_size - 1; }

enum qcow2_type { QCOW2_UNALLOCATED, QCOW2_ZERO_PLAIN, QCOW2_ZERO_ALLOC, QCOW2_NORMAL, QCOW2_COMPR };
struct qcow2_map {
    enum qcow2_type type;
    bool copied;
    uint64_t host;  /* NORMAL, ZERO_ALLOC: of the first byte asked for; COMPR: the entry */
    uint64_t bytes; /* for how many */
};

/* qcow2-cluster.c */
/* (L) What guest bytes from offset are, for at most n. */
int qcow2_map(struct qcow2 *, uint64_t offset, uint64_t n, struct qcow2_map *);
int qcow2_write_data(struct qcow2 *, uint64_t offset, const uint8_t *buf, uint64_t n);
int qcow2_write_compressed(struct qcow2 *, uint64_t offset, const uint8_t *buf, size_t n);
/* Reads without taking a range lock. */
int qcow2_read_unlocked(struct qcow2 *, uint64_t offset, uint8_t *buf, uint64_t n);
/* Whole clusters (or up to the end of the disk) to zeros. unmap: their space is given back; discard: like it, where
 * that shows zeros. */
int qcow2_zero_clusters(struct qcow2 *, uint64_t offset, uint64_t n, bool unmap, bool discard);
/* (L) Grows the L1 table for a disk of `size` bytes. */
int qcow2_grow_l1(struct qcow2 *, uint64_t size);
/* Where compressed data lies. */
void qcow2_compressed_place(const struct qcow2 *, uint64_t entry, uint64_t *host, uint64_t *bytes);

/* qcow2-refcount.c, all (L) */
int qcow2_refcount_get(struct qcow2 *, uint64_t cluster, uint64_t *value);
int qcow2_refcount_add(struct qcow2 *, uint64_t cluster, uint64_t n, int delta);
/* Between 1 and n clusters in a row (exact: n), counted once. *offset in bytes. */
int qcow2_alloc(struct qcow2 *, uint64_t n, bool exact, uint64_t *offset, uint64_t *got);
/* Later, when nothing on disk points there: one reference less for all clusters the bytes touch. */
int qcow2_free_later(struct qcow2 *, uint64_t offset, uint64_t bytes);
int qcow2_check(struct blk_node *, unsigned fix, struct blk_check *, struct error *);
uint64_t qcow2_refcount_read(const struct qcow2 *, const uint8_t *block, uint64_t i);
void qcow2_refcount_write(const struct qcow2 *, uint8_t *block, uint64_t i, uint64_t value);

/* qcow2-cache.c, all (L) */
void qcow2_cache_init(struct qcow2_cache *, unsigned n);
void qcow2_cache_free(struct qcow2_cache *);
/* The table at offset, read when it is not there; valid until the next call that may load one. */
int qcow2_table(struct qcow2 *, struct qcow2_cache *, uint64_t offset, uint8_t **data);
/* An empty (zeroed) dirty one for a cluster just allocated. */
int qcow2_table_new(struct qcow2 *, struct qcow2_cache *, uint64_t offset, uint8_t **data);
void qcow2_table_dirty(struct qcow2 *, struct qcow2_cache *, const uint8_t *data, uint32_t lo, uint32_t hi);
void qcow2_table_forget(struct qcow2_cache *, uint64_t offset);
/* Writes everything back in order and carries out the frees. */
int qcow2_writeback(struct qcow2 *);

/* qcow2-create.c */
int qcow2_create(struct blk_graph *, const char *filename, const struct opts *, struct error *);
int qcow2_measure(const struct opts *, struct blk_backend *, struct blk_measure *, struct error *);
extern const struct blk_create_opt qcow2_create_opts[];

#endif
