/*
 * vhdx.h - the insides of the vhdx driver, shared by its files, after Microsoft's [MS-VHDX]:
 *   vhdx.c         opening, requests, information, check
 *   vhdx-log.c     the two headers, the log: replay, and writing table sectors through it
 *   vhdx-create.c  new images
 *
 * The block allocation table is in memory; its 4 KiB sectors that changed are written back together, at a flush or when
 * there are many: what the blocks hold is flushed, the sectors go to the log, that is flushed, then they go to their
 * place. So the table on disk is always whole, and never names a block whose bytes are not there. An allocation that was
 * not flushed is forgotten by a crash, with the bytes written to it.
 */
#ifndef BLOCKFMT_VHDX_H
#define BLOCKFMT_VHDX_H

#include "blockfmt/imgutil.h"

#define VHDX_MIB         (UINT64_C(1) << 20)
#define VHDX_HEADER_1    (UINT64_C(64) << 10)
#define VHDX_HEADER_2    (UINT64_C(128) << 10)
#define VHDX_REGION_1    (UINT64_C(192) << 10)
#define VHDX_REGION_2    (UINT64_C(256) << 10)
#define VHDX_REGION_SIZE (64u << 10)
#define VHDX_MAX_SIZE    (UINT64_C(64) << 40)
#define VHDX_LOG_SECTOR  4096u
#define VHDX_STATE       7u                 /* of a table entry; the rest from bit 20 is the offset in MiB */
#define VHDX_OFFSET      UINT64_C(0xfffffffffff00000)
enum { VHDX_NOT_PRESENT, VHDX_UNDEFINED, VHDX_ZERO, VHDX_UNMAPPED, VHDX_PRESENT = 6, VHDX_PARTIAL = 7 };
enum { VHDX_GUID_BAT, VHDX_GUID_METADATA, VHDX_GUID_PARAMETERS, VHDX_GUID_SIZE, VHDX_GUID_PAGE83, VHDX_GUID_LOGICAL,
       VHDX_GUID_PHYSICAL, VHDX_GUID_PARENT };
extern const uint8_t vhdx_guids[8][16];

struct vhdx {
    struct blk_node *file;
    uint8_t header[4096];      /* the current one */
    unsigned current;          /* 0 or 1: which of the two it is */
    uint64_t sequence, log_offset, log_length, log_sequence, log_next;
    bool log_open;             /* the headers name our log */
    bool touched;              /* the headers say that the file is in use, and that its data has changed */
    bool replayed;
    uint64_t bat_offset, bat_length, meta_offset, meta_length;
    uint64_t size, *bat;       /* host byte order */
    uint32_t block_size, sector, physical, chunk; /* chunk: payload entries between two of sector bitmaps */
    uint64_t blocks, entries;
    uint64_t end;              /* where the next block goes */
    uint8_t *dirty;            /* a bit for each 4 KiB of the table */
    uint64_t n_dirty;
};

static inline uint64_t vhdx_entry(const struct vhdx *s, uint64_t block) { return block + block / s->chunk; }

/* vhdx-log.c */
uint32_t vhdx_sum(uint8_t *p, size_t n); /* of a structure with its checksum at 4 */
int vhdx_read_headers(struct blk_node *, struct vhdx *, struct error *);
/* Replays the log when there is one; writable false: that is an error. */
int vhdx_replay(struct blk_node *, struct vhdx *, bool writable, struct error *);
/* Before the first change of the disk. */
int vhdx_touch(struct vhdx *);
void vhdx_mark_dirty(struct vhdx *, uint64_t entry);
/* Writes back the table. */
int vhdx_commit(struct vhdx *);
/* After the last commit: no log, nothing to replay. */
int vhdx_settle(struct vhdx *);

/* vhdx-create.c */
int vhdx_create(struct blk_graph *, const char *filename, const struct opts *, struct error *);
extern const struct blk_create_opt vhdx_create_opts[];

#endif
