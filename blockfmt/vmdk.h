/*
 * vmdk.h - the insides of the vmdk driver, shared by its files:
 *   vmdk.c         opening: descriptors, headers, extents; the driver's requests, information, check
 *   vmdk-extent.c  one sparse extent: directory, tables, grains, compressed grains
 *   vmdk-create.c  new images
 *
 * A disk is a row of extents, each flat, zero or sparse. Writes run alone (BLK_LOCK_READERS); reads beside each other,
 * so what they change - the tables in memory - has a mutex of the extent's.
 *
 * Order on disk: the grain, the redundant table entry, the entry. A stopped writer leaves grains nobody points to.
 */
#ifndef BLOCKFMT_VMDK_H
#define BLOCKFMT_VMDK_H

#include "blockfmt/imgutil.h"

#define VMDK_SECTOR 512u
#define VMDK_NEWLINE_TEST 1u   /* header flags */
#define VMDK_REDUNDANT    2u
#define VMDK_ZERO_GRAIN   4u
#define VMDK_COMPRESSED   0x10000u
#define VMDK_MARKERS      0x20000u
#define VMDK_AT_END       UINT64_MAX
#define VMDK_TABLES_KEPT  4096u /* grain tables in memory */
enum { VMDK_FLAT, VMDK_ZERO, VMDK_SPARSE };
enum { VMDK_UNALLOCATED, VMDK_ZEROED, VMDK_DATA };
/* fields of a sparse header */
enum { K_VERSION = 4, K_FLAGS = 8, K_CAPACITY = 12, K_GRAIN = 20, K_DESC = 28, K_DESC_SIZE = 36, K_PER_GT = 44, K_RGD = 48,
       K_GD = 56, K_OVERHEAD = 64, K_UNCLEAN = 72, K_NEWLINE = 73, K_ALGORITHM = 77 };

struct vmdk_extent {
    struct blk_node *file;
    int kind;
    char format[16], name[256];        /* as shown: "SPARSE", and the file */
    uint64_t start, sectors;           /* in the disk, in sectors */
    uint64_t flat_offset;              /* bytes */
    bool readonly, no_access, cowd, old; /* cowd: an ESX sparse file */
    uint32_t version, flags;
    uint32_t grain;                    /* sectors */
    uint32_t per_gt, gd_entries;
    uint64_t gd_offset, rgd_offset;    /* sectors; rgd 0: none */
    uint32_t *gd, *rgd;                /* host byte order */
    uint32_t **tables;                 /* loaded on demand, NULL: not in memory */
    uint32_t kept, clock;
    pthread_mutex_t lock;
    uint64_t next;                     /* bytes: where a grain goes */
    bool gd_at_end;                    /* the header says so: to be replaced before the first write */
    uint8_t *pending;                  /* a grain not compressed yet */
    uint64_t pending_index;            /* UINT64_MAX: none */
};

struct vmdk {
    struct vmdk_extent *v;
    unsigned n;
    char create_type[32];
    uint32_t cid, parent_cid;
    bool cid_fresh, cid_checked;
    char *desc;                        /* the descriptor's text */
    struct blk_node *desc_file;
    uint64_t desc_offset, desc_room;   /* bytes; room 0: a file of its own */
};

/* vmdk-extent.c. Offsets in bytes from the start of the extent; n stays inside one grain where `host` is a place. */
static inline uint64_t vmdk_grain_bytes(const struct vmdk_extent *x) { return (uint64_t)x->grain * VMDK_SECTOR; }
/* What a byte is: VMDK_DATA with its place in bytes (compressed: of the grain's start), or one of the others. */
int vmdk_lookup(struct vmdk_extent *, uint64_t offset, int *what, uint64_t *host);
int vmdk_extent_read(struct blk_node *, struct vmdk_extent *, uint64_t offset, uint8_t *buf, uint64_t n);
int vmdk_extent_write(struct blk_node *, struct vmdk_extent *, uint64_t offset, const uint8_t *buf, uint64_t n);
int vmdk_extent_zero(struct blk_node *, struct vmdk_extent *, uint64_t offset, uint64_t n, unsigned flags);
int vmdk_extent_flush(struct blk_node *, struct vmdk_extent *);
void vmdk_extent_free(struct vmdk_extent *);
void vmdk_extent_check(struct blk_node *, struct vmdk_extent *, struct blk_check *);

/* vmdk-create.c */
int vmdk_create(struct blk_graph *, const char *filename, const struct opts *, struct error *);
extern const struct blk_create_opt vmdk_create_opts[];

#endif
