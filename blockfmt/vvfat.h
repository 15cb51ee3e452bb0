/*
 * vvfat.h - what the parts of the vvfat driver share (vvfat.c: layout and reading; vvfat-scan.c: from the directory to the
 * disk; vvfat-write.c: from the disk to the directory). Not for others.
 */
#ifndef BLOCKFMT_VVFAT_H
#define BLOCKFMT_VVFAT_H

#include "blockfmt/imgutil.h"

#define VVFAT_MAX_ENTRIES 65536u /* files and directories */
#define VVFAT_MAX_DEPTH   16
#define VVFAT_ENTRY       32u    /* bytes of a directory entry */
#define VVFAT_ROOT        0u     /* index of the root */
enum { FAT_RDONLY = 1, FAT_LABEL = 8, FAT_DIR = 16, FAT_ARCHIVE = 32, FAT_LONG = 15 };

struct vvfat_entry {
    char *host;                     /* name in its parent's directory; the root: the path as it was given */
    char *shown;                    /* the name the guest sees (UTF-8) */
    uint32_t parent;                /* index; the root is its own */
    uint32_t map_first, map_n;      /* clusters whose bytes come from the file, or from dir */
    uint32_t *chain, n_chain;       /* clusters as they were when the file was last equal to the disk (rw only) */
    uint32_t first, size;           /* first: cluster, 0 for empty files */
    uint32_t when;                  /* date << 16 | time, as FAT has them */
    uint8_t attr;
    bool is_dir, gone;              /* gone: removed from the host */
    uint8_t *dir;                   /* bytes of a directory as first shown: dir_bytes of them */
    uint32_t dir_bytes;
};

struct vvfat {
    struct vvfat_entry *v;
    uint32_t n, room;
    unsigned bits, spc, reserved, root_entries, heads, spt;
    uint32_t start, total, fat_sectors, data, clusters, next; /* sectors; next: free cluster */
    uint32_t *fat, *owner;          /* by cluster; owner: index of the entry + 1 whose bytes it shows, 0: none */
    char label[12];
    bool floppy, rw;
    int fd;                         /* the file last read, or -1 */
    uint32_t open_entry;
    /* rw: sectors the guest has written lie in a temporary file, at their places */
    int overlay;
    uint8_t *written, *dirty;       /* bits by sector: in the overlay; since the directory was last made equal */
    bool changed;                   /* a bit of dirty is set */
    char problem[256];              /* why the directory could not be made equal; "": it was */
};

/* vvfat-scan.c: reads the tree below s->v[0] and lays it out. 0, or -errno with *e. */
int vvfat_scan(struct vvfat *, struct error *);
struct vvfat_entry *vvfat_add(struct vvfat *);
/* The path of an entry on the host; caller frees. */
char *vvfat_path(const struct vvfat *, uint32_t entry);
/* Date and time as FAT has them, or 0 for what it cannot say. */
uint32_t vvfat_when(int64_t unix_time);

/* vvfat.c: sectors as the guest sees them. */
int vvfat_sectors(struct vvfat *, uint32_t sector, uint32_t n, uint8_t *p);
/* The boot sector as it was made. */
void vvfat_boot_sector(const struct vvfat *, uint8_t *p);

/* vvfat-write.c */
int vvfat_overlay_open(struct vvfat *, struct error *);
int vvfat_overlay_write(struct vvfat *, uint32_t sector, uint32_t n, const uint8_t *p, bool by_guest);
/* Makes the directory what the disk says, when its file system is consistent: 0 also when it is not (s->problem says
 * why; the next call tries again). -errno when the host refuses something, which has been reported. */
int vvfat_commit(struct vvfat *, bool sync);

static inline bool vvfat_bit(const uint8_t *bits, uint32_t i) { return bits[i / 8] >> i % 8 & 1; }

#endif
