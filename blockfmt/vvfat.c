/*
 * vvfat.c - a directory of the host as a FAT disk: "fat:DIR", "fat:floppy:DIR", "fat:16:DIR", "fat:rw:DIR". The layout
 * follows Microsoft's "FAT: General Overview of On-Disk Format", version 1.03. Here: geometry, sectors, the driver.
 *
 * The tree is read once, when the disk is opened (vvfat-scan.c): names, sizes and dates stay what they were; the bytes of
 * files are read when they are asked for. With rw, what the guest writes goes to a temporary file at first, and the
 * directory is made equal to the disk at flushes and at the end (vvfat-write.c). Nobody else may change the
 * directory meanwhile.
 */
#include "blockfmt/vvfat.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPARED 32u /* sectors */

/* ---- opening -------------------------------------------------------------------------------------- */

static void vvfat_free(struct vvfat *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        mem_free(s->v[i].host);
        mem_free(s->v[i].shown);
        mem_free(s->v[i].chain);
        mem_free(s->v[i].dir);
    }
    if (s->fd >= 0) close(s->fd);
    if (s->overlay >= 0) close(s->overlay);
    mem_free(s->v);
    mem_free(s->fat);
    mem_free(s->owner);
    mem_free(s->written);
    mem_free(s->dirty);
}

static void vvfat_close(struct blk_node *n)
{
    struct vvfat *s = blk_state(n);

    if (s->rw && s->changed && !(blk_node_flags(n) & BLK_RDONLY)) {
        (void)vvfat_commit(s, false);
        if (s->problem[0]) error_warn("vvfat: '%s' is not what the disk holds: %s", s->v[0].host, s->problem);
    }
    vvfat_free(s);
}

static int geometry(struct vvfat *s, unsigned type, struct error *e)
{
    uint32_t cylinders = 1024, root;

    if (type && type != 12 && type != 16 && type != 32) return error_set(e, "Valid FAT types are only 12, 16 and 32"), -EINVAL;
    if (s->floppy) {
        if (type && type != 12) return error_set(e, "a floppy disk has FAT12"), -EINVAL;
        cylinders = 80, s->heads = 2, s->spt = type ? 18 : 36, s->spc = type ? 1 : 2, s->bits = 12;
    } else {
        s->heads = 16, s->spt = 63, s->bits = type ? type : 16;
        s->spc = s->bits == 32 ? 8 : 16, s->start = 63;
        if (s->bits == 12) cylinders = 64;
    }
    s->total = cylinders * s->heads * s->spt - s->start;
    s->root_entries = s->bits == 32 ? 0 : s->floppy ? 224 : 512;
    s->reserved = s->bits == 32 ? 32 : 1;
    root = s->root_entries * VVFAT_ENTRY / 512;
    s->clusters = (s->total - s->reserved - root) / s->spc;
    s->fat_sectors = (uint32_t)((((uint64_t)s->clusters + 2) * s->bits + 4095) / 4096);
    s->data = s->reserved + 2 * s->fat_sectors + root;
    s->clusters = (s->total - s->data) / s->spc;
    return 0;
}

static int vvfat_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct vvfat *s = blk_state(n);
    const char *dir = opts_get(o, "dir"), *label = opts_get(o, "label");
    int rc;

    s->fd = s->overlay = -1;
    s->rw = opts_bool(o, "rw", false);
    if (!dir || !*dir) return error_set(e, "vvfat block driver requires a 'dir' option"), -EINVAL;
    if (s->rw && (flags & BLK_RDONLY)) return error_set(e, "Unable to set VVFAT to 'rw' when drive is read-only"), -EACCES;
    if (!s->rw && !(flags & BLK_RDONLY)) {
        error_set(e, "vvfat: Image is read-only");
        error_hint(e, "fat:rw:DIR (rw=on) writes to the directory.");
        return -EACCES;
    }
    if (label && strlen(label) > 11) return error_set(e, "vvfat label cannot be longer than 11 bytes"), -EINVAL;
    memset(s->label, ' ', 11);
    memcpy(s->label, label ? label : "QUERN VVFAT", label ? strlen(label) : 11);
    s->floppy = opts_bool(o, "floppy", false);
    rc = geometry(s, (unsigned)MIN(opts_number(o, "fat-type", 0), (uint64_t)99), e);
    if (rc) return rc;
    s->fat = NEW_ARRAY(uint32_t, s->clusters + 2);
    s->owner = NEW_ARRAY(uint32_t, s->clusters + 2);
    s->fat[0] = s->floppy ? 0x0ffffff0 : 0x0ffffff8, s->fat[1] = 0x0fffffff;
    s->next = 2;
    struct vvfat_entry *root = vvfat_add(s);
    root->host = mem_strdup(dir), root->shown = mem_strdup(""), root->is_dir = true, root->attr = FAT_DIR;
    rc = vvfat_scan(s, e);
    if (!rc && s->rw) rc = vvfat_overlay_open(s, e);
    if (rc) {
        vvfat_free(s);
        return rc;
    }
    blk_set_size(n, ((uint64_t)s->total + s->start) * 512);
    blk_set_limits(n, 512, 0);
    return 0;
}

static int vvfat_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    struct vvfat *s = blk_state(n);

    if (!prepare || s->rw == !(flags & BLK_RDONLY)) return 0;
    return error_set(e, s->rw ? "Unable to set VVFAT to 'rw' when drive is read-only" : "vvfat: Image is read-only"), -EACCES;
}

static int vvfat_parse(const char *filename, struct opts *o, struct error *e)
{
    const char *p = filename + strlen("fat:");

    for (;;) {
        if (!strncmp(p, "floppy:", 7)) p += 7, opts_set(o, "floppy", "on");
        else if (!strncmp(p, "rw:", 3)) p += 3, opts_set(o, "rw", "on");
        else if (!strncmp(p, "12:", 3)) p += 3, opts_set(o, "fat-type", "12");
        else if (!strncmp(p, "16:", 3)) p += 3, opts_set(o, "fat-type", "16");
        else if (!strncmp(p, "32:", 3)) p += 3, opts_set(o, "fat-type", "32");
        else break;
    }
    opts_set(o, "dir", p);
    return 0;
}

/* ---- sectors -------------------------------------------------------------------------------------- */

static void partition_table(const struct vvfat *s, uint8_t *p)
{
    uint8_t *e = p + 446;

    st32_le(p + 440, 0xbe1afdfa);
    e[0] = 0x80, e[1] = 1, e[2] = 1; /* the second track's first sector */
    e[4] = s->bits == 12 ? 0x01 : s->bits == 16 ? 0x06 : 0x0b;
    e[5] = (uint8_t)(s->heads - 1), e[6] = 0xff, e[7] = 0xff;
    if (s->bits == 12) e[6] = 63, e[7] = 63;
    st32_le(e + 8, s->start);
    st32_le(e + 12, s->total);
    p[510] = 0x55, p[511] = 0xaa;
}

void vvfat_boot_sector(const struct vvfat *s, uint8_t *p)
{
    uint8_t *x = p + (s->bits == 32 ? 64 : 36);

    p[0] = 0xeb, p[1] = s->bits == 32 ? 0x58 : 0x3c, p[2] = 0x90;
    memcpy(p + 3, "MSWIN4.1", 8);
    st16_le(p + 11, 512);
    p[13] = (uint8_t)s->spc;
    st16_le(p + 14, (uint16_t)s->reserved);
    p[16] = 2;
    st16_le(p + 17, (uint16_t)s->root_entries);
    if (s->total < 65536 && s->bits != 32) st16_le(p + 19, (uint16_t)s->total);
    else st32_le(p + 32, s->total);
    p[21] = s->floppy ? 0xf0 : 0xf8;
    if (s->bits != 32) st16_le(p + 22, (uint16_t)s->fat_sectors);
    st16_le(p + 24, (uint16_t)s->spt);
    st16_le(p + 26, (uint16_t)s->heads);
    st32_le(p + 28, s->start);
    if (s->bits == 32) {
        st32_le(p + 36, s->fat_sectors);
        st32_le(p + 44, s->v[0].first);
        st16_le(p + 48, 1);
        st16_le(p + 50, 6);
    }
    x[0] = s->floppy ? 0 : 0x80, x[2] = 0x29;
    st32_le(x + 3, 0xfabe1afd);
    memcpy(x + 7, s->label, 11);
    memcpy(x + 18, s->bits == 12 ? "FAT12   " : s->bits == 16 ? "FAT16   " : "FAT32   ", 8);
    p[510] = 0x55, p[511] = 0xaa;
}

static void info_sector(const struct vvfat *s, uint8_t *p)
{
    st32_le(p, 0x41615252);
    st32_le(p + 484, 0x61417272);
    st32_le(p + 488, s->clusters + 2 - s->next);
    st32_le(p + 492, s->next);
    p[510] = 0x55, p[511] = 0xaa;
}

static void fat_sector(const struct vvfat *s, uint32_t sector, uint8_t *p)
{
    for (uint32_t i = 0; i < 512; i++) {
        uint32_t at = sector * 512 + i, k, v;
        if (s->bits == 12) { /* two entries in three bytes */
            k = at / 3 * 2;
            uint32_t a = k < s->clusters + 2 ? s->fat[k] & 0xfff : 0, b = k + 1 < s->clusters + 2 ? s->fat[k + 1] & 0xfff : 0;
            p[i] = (uint8_t)(at % 3 == 0 ? a : at % 3 == 1 ? a >> 8 | b << 4 : b >> 4);
            continue;
        }
        k = at / (s->bits / 8);
        v = k < s->clusters + 2 ? s->fat[k] : 0;
        p[i] = (uint8_t)(v >> at % (s->bits / 8) * 8);
    }
}

/* Bytes of a file at `at`: zeros behind its end. */
static int file_bytes(struct vvfat *s, uint32_t entry, uint64_t at, uint8_t *p, size_t len)
{
    if (entry != s->open_entry || s->fd < 0) {
        char *path = vvfat_path(s, entry);
        if (s->fd >= 0) close(s->fd);
        s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        s->open_entry = entry;
        mem_free(path);
        if (s->fd < 0) return -errno;
    }
    for (size_t done = 0; done < len;) {
        ssize_t got = pread(s->fd, p + done, len - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        if (!got) break; /* shorter than it was */
        done += (size_t)got;
    }
    return 0;
}

/* Up to n sectors of one cluster, from what the host has; *done: how many. p is zeros. */
static int data_sectors(struct vvfat *s, uint32_t sector, uint32_t n, uint8_t *p, uint32_t *done)
{
    uint32_t cluster = 2 + sector / s->spc, in = sector % s->spc, entry;

    *done = MIN(n, s->spc - in);
    if (cluster >= s->clusters + 2 || !s->owner[cluster]) return 0;
    entry = s->owner[cluster] - 1;
    const struct vvfat_entry *x = &s->v[entry];
    uint64_t at = ((uint64_t)(cluster - x->map_first) * s->spc + in) * 512, end = x->is_dir ? x->dir_bytes : x->size;
    if (x->gone || at >= end) return 0;
    size_t len = (size_t)MIN((uint64_t)*done * 512, end - at);
    if (x->is_dir) return memcpy(p, x->dir + at, len), 0;
    return file_bytes(s, entry, at, p, len);
}

/* Sectors that the guest has not written. */
static int made_sectors(struct vvfat *s, uint32_t sector, uint32_t n, uint8_t *p, uint32_t *done)
{
    uint32_t root = s->reserved + 2 * s->fat_sectors;

    *done = 1;
    if (s->start && sector == 0) return partition_table(s, p), 0;
    if (sector < s->start) return 0;
    sector -= s->start;
    if (sector < s->reserved) {
        if (sector == 0 || (s->bits == 32 && sector == 6)) vvfat_boot_sector(s, p);
        if (s->bits == 32 && (sector == 1 || sector == 7)) info_sector(s, p);
    } else if (sector < root) {
        fat_sector(s, (sector - s->reserved) % s->fat_sectors, p);
    } else if (sector < s->data) {
        uint64_t at = (uint64_t)(sector - root) * 512;
        if (at < s->v[0].dir_bytes) memcpy(p, s->v[0].dir + at, (size_t)MIN((uint64_t)512, s->v[0].dir_bytes - at));
    } else {
        return data_sectors(s, sector - s->data, n, p, done);
    }
    return 0;
}

int vvfat_sectors(struct vvfat *s, uint32_t sector, uint32_t n, uint8_t *p)
{
    memset(p, 0, (size_t)n * 512);
    for (uint32_t k; n; sector += k, n -= k, p += (size_t)k * 512) {
        bool over = s->written && vvfat_bit(s->written, sector);
        int rc;
        for (k = 1; s->written && k < n && vvfat_bit(s->written, sector + k) == over; k++) {
        }
        if (!s->written) k = n;
        if (!over) {
            rc = made_sectors(s, sector, k, p, &k);
            if (rc) return rc;
            continue;
        }
        for (size_t got = 0; got < (size_t)k * 512;) {
            ssize_t r = pread(s->overlay, p + got, (size_t)k * 512 - got, (off_t)sector * 512 + (off_t)got);
            if (r < 0 && errno == EINTR) continue;
            if (r <= 0) return r ? -errno : -EIO;
            got += (size_t)r;
        }
    }
    return 0;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static int vvfat_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    return vvfat_sectors(blk_state(n), (uint32_t)(offset / 512), (uint32_t)(len / 512), buf);
}

/* What is there already is not written: files that a copy of the whole disk does not change stay untouched. */
static int vvfat_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct vvfat *s = blk_state(n);
    uint32_t sector = (uint32_t)(offset / 512), left = (uint32_t)(len / 512);
    const uint8_t *p = buf;
    uint8_t *now;
    int rc = s->rw ? 0 : -EROFS;

    now = mem_alloc(COMPARED * 512);
    for (uint32_t k; left && !rc; sector += k, left -= k, p += (size_t)k * 512) {
        k = MIN(left, COMPARED - sector % COMPARED);
        if (vvfat_sectors(s, sector, k, now) || memcmp(now, p, (size_t)k * 512)) rc = vvfat_overlay_write(s, sector, k, p, true);
    }
    mem_free(now);
    return rc;
}

/* Zeros without a look: free clusters that the guest has not written. */
static bool is_free(const struct vvfat *s, uint32_t sector)
{
    uint32_t cluster;

    if (s->written && vvfat_bit(s->written, sector)) return false;
    if (sector < s->start) return sector > 0;
    if (sector < s->start + s->data) return false;
    cluster = 2 + (sector - s->start - s->data) / s->spc;
    return cluster >= s->clusters + 2 || !s->owner[cluster];
}

static int vvfat_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    const struct vvfat *s = blk_state(n);
    uint32_t sector = (uint32_t)(offset / 512), end = (uint32_t)((offset + len + 511) / 512), at;
    bool zero = is_free(s, sector);

    for (at = sector + 1; at < end && is_free(s, at) == zero; at++) {
    }
    st->flags = zero ? BLK_ST_ZERO : BLK_ST_DATA;
    st->bytes = MIN(len, (uint64_t)at * 512 - offset);
    return 0;
}

static int vvfat_flush(struct blk_node *n)
{
    struct vvfat *s = blk_state(n);
    return s->rw && s->changed ? vvfat_commit(s, !(blk_node_flags(n) & BLK_NO_FLUSH)) : 0;
}

static const struct opt_desc vvfat_opts[] = {
    {"dir", OPT_STRING, "the directory"},
    {"fat-type", OPT_NUMBER, "12, 16 or 32"},
    {"floppy", OPT_BOOL, "a floppy disk, without partitions"},
    {"label", OPT_STRING, "volume label"},
    {"rw", OPT_BOOL, "what is written goes to the directory"},
    {NULL, OPT_STRING, NULL},
};

static const char *const prefixes[] = {"fat", NULL};
const struct blk_driver blk_drv_vvfat = {
    .name = "vvfat",
    .kind = BLK_PROTOCOL,
    .state_size = sizeof(struct vvfat),
    .open_opts = vvfat_opts,
    .prefixes = prefixes,
    .parse_filename = vvfat_parse,
    .open = vvfat_open,
    .close = vvfat_close,
    .reopen = vvfat_reopen,
    .read = vvfat_read,
    .write = vvfat_write,
    .flush = vvfat_flush,
    .status = vvfat_status,
};
