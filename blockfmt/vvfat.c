/*
 * vvfat.c - a directory of the host as a FAT disk, read-only: "fat:DIR", "fat:floppy:DIR", "fat:16:DIR". The layout follows
 * Microsoft's "FAT: General Overview of On-Disk Format", version 1.03.
 *
 * The tree is read once, when the disk is opened: names, sizes and dates stay what they were; the bytes of files are read
 * when they are asked for. Symbolic links are followed to files, not to directories; what is neither file nor directory
 * is left out. Not here: writing (fat:rw: is refused), names that are not ASCII keep their place as underscores.
 */
#include "blockfmt/imgutil.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_ENTRIES 65536u
#define MAX_DEPTH   16
#define ENTRY       32u
enum { A_LABEL = 8, A_DIR = 16, A_FILE = 32, A_LONG = 15 };

struct entry {
    char *path;
    uint32_t first, clusters, size; /* first: cluster; 0 for empty files */
    uint8_t *dir;                   /* contents of a directory; NULL: a file */
};

struct vvfat {
    struct entry *v;                /* in order of clusters; v[0] is the root */
    uint32_t n, room;
    unsigned bits, spc, reserved, root_entries, heads, spt;
    uint32_t start, total, fat_sectors, data, clusters, next; /* sectors; next: free cluster */
    uint32_t *fat;
    char label[12];
    bool floppy;
    int fd;
    uint32_t open_entry;
};

/* ---- names ---------------------------------------------------------------------------------------- */

static bool short_char(char c) { return isupper((unsigned char)c) || isdigit((unsigned char)c) || (c && strchr("!#$%&'()-@^_`{}~", c)); }

/* The 8.3 name; true when the long one is needed beside it. */
static bool short_name(const char *name, char out[11])
{
    const char *dot = strrchr(name, '.');
    size_t base = dot && dot != name ? (size_t)(dot - name) : strlen(name), n = 0;
    bool lossy = false;

    memset(out, ' ', 11);
    for (size_t i = 0; i < base; i++) {
        char c = (char)toupper((unsigned char)name[i]);
        lossy |= c != name[i] || n == 8 || !short_char(c);
        if (n < 8 && c != ' ' && c != '.') out[n++] = short_char(c) ? c : '_';
    }
    n = 0;
    for (const char *p = name + base + (name[base] == '.'); name[base] && *p; p++) {
        char c = (char)toupper((unsigned char)*p);
        lossy |= c != *p || n == 3 || !short_char(c);
        if (n < 3 && c != ' ') out[8 + n++] = short_char(c) ? c : '_';
    }
    if (out[0] == ' ') out[0] = '_', lossy = true;
    return lossy;
}

static bool taken(const uint8_t *dir, uint32_t n, const char name[11])
{
    for (uint32_t i = 0; i < n; i++) {
        if (dir[i * ENTRY + 11] != A_LONG && !memcmp(dir + i * ENTRY, name, 11)) return true;
    }
    return false;
}

static void number(const uint8_t *dir, uint32_t n, char name[11])
{
    char tail[8], base[11];

    memcpy(base, name, 11);
    for (unsigned i = 1; taken(dir, n, name) && i < 1000000; i++) {
        size_t len = (size_t)snprintf(tail, sizeof tail, "~%u", i), at = 0;
        while (at < 8 - len && base[at] != ' ') at++;
        memcpy(name, base, 11);
        memcpy(name + at, tail, len);
    }
}

/* Long-name entries, last part first. */
static uint32_t long_entries(uint8_t *out, const char *name, const char sn[11])
{
    static const uint8_t places[13] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    uint32_t len = (uint32_t)strlen(name), parts = (len + 12) / 13;
    uint8_t sum = 0;

    for (unsigned i = 0; i < 11; i++) sum = (uint8_t)((sum >> 1 | sum << 7) + (uint8_t)sn[i]);
    for (uint32_t k = 0; k < parts; k++) {
        uint8_t *e = out + k * ENTRY;
        uint32_t part = parts - 1 - k;
        memset(e, 0, ENTRY);
        e[0] = (uint8_t)(part + 1 + (k ? 0 : 0x40)), e[11] = A_LONG, e[13] = sum;
        for (uint32_t i = 0; i < 13; i++) {
            uint32_t at = part * 13 + i;
            unsigned char c = at < len ? (unsigned char)name[at] : 0;
            st16_le(e + places[i], at > len ? 0xffff : c < 0x80 ? c : '_');
        }
    }
    return parts;
}

static void put_entry(uint8_t *e, const char name[11], uint8_t attr, time_t when, uint32_t first, uint32_t size)
{
    struct tm tm;

    memset(e, 0, ENTRY);
    memcpy(e, name, 11);
    e[11] = attr;
    if (localtime_r(&when, &tm) && tm.tm_year >= 80) {
        uint16_t date = (uint16_t)((tm.tm_year - 80) << 9 | (tm.tm_mon + 1) << 5 | tm.tm_mday);
        uint16_t hour = (uint16_t)(tm.tm_hour << 11 | tm.tm_min << 5 | tm.tm_sec / 2);
        st16_le(e + 14, hour), st16_le(e + 16, date), st16_le(e + 18, date), st16_le(e + 22, hour), st16_le(e + 24, date);
    }
    st16_le(e + 20, (uint16_t)(first >> 16));
    st16_le(e + 26, (uint16_t)first);
    st32_le(e + 28, size);
}

/* ---- the tree ------------------------------------------------------------------------------------- */

static int claim(struct vvfat *s, struct entry *x, uint64_t bytes, struct error *e)
{
    uint64_t cluster = (uint64_t)s->spc * 512, n = (bytes + cluster - 1) / cluster;

    if (n > s->clusters || s->next - 2 > s->clusters - n) {
        error_set(e, "Directory does not fit in FAT%u (capacity %.2f MB)", s->bits, (double)s->clusters * (double)cluster / 1048576);
        return -ENOSPC;
    }
    x->first = n ? s->next : 0, x->clusters = (uint32_t)n;
    for (uint32_t i = 0; i < n; i++) s->fat[s->next + i] = i + 1 < n ? s->next + i + 1 : 0x0fffffff;
    s->next += (uint32_t)n;
    return 0;
}

static struct entry *add(struct vvfat *s, char *path)
{
    if (s->n == s->room) s->room = s->room ? s->room * 2 : 64, s->v = mem_realloc(s->v, s->room * sizeof *s->v);
    s->v[s->n] = (struct entry){.path = path};
    return &s->v[s->n++];
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int shown(const struct dirent *d) { return strcmp(d->d_name, ".") && strcmp(d->d_name, ".."); }

/* Fills directory number `self` (its clusters claimed with room for what scandir gives), then its children. */
static int scan(struct vvfat *s, uint32_t self, uint32_t parent, unsigned depth, struct error *e)
{
    struct dirent **list = NULL;
    char *where = mem_strdup(s->v[self].path);
    int count = scandir(where, &list, shown, by_name), rc = 0;
    uint32_t room = 4, n = 0;
    uint8_t *dir;

    if (count < 0) rc = -errno, error_set(e, "Could not read directory %s: %s", where, strerror(errno));
    for (int i = 0; i < count; i++) room += 2 + (uint32_t)strlen(list[i]->d_name) / 13 + 1;
    dir = mem_zalloc((size_t)room * ENTRY);
    s->v[self].dir = dir;
    if (!rc && depth > MAX_DEPTH) rc = (error_set(e, "%s: directories are nested too deeply", where), -ELOOP);
    if (!rc && self == 0 && s->bits != 32 && room > s->root_entries)
        rc = (error_set(e, "Too many entries in root directory (%s)", where), -ENOSPC);
    if (!rc && (self || s->bits == 32)) rc = claim(s, &s->v[self], (uint64_t)room * ENTRY, e);
    s->v[self].size = room * ENTRY;
    if (!rc && !self) {
        put_entry(dir, s->label, A_LABEL, time(NULL), 0, 0);
        n = 1;
    } else if (!rc) {
        put_entry(dir, ".          ", A_DIR, time(NULL), s->v[self].first, 0);
        put_entry(dir + ENTRY, "..         ", A_DIR, time(NULL), parent ? s->v[parent].first : 0, 0);
        n = 2;
    }
    for (int i = 0; i < count && !rc; i++) {
        const char *name = list[i]->d_name;
        char *path = mem_printf("%s/%s", where, name), sn[11];
        struct stat st, link;
        bool is_dir, lossy;
        if (stat(path, &st) || lstat(path, &link) || (!S_ISREG(st.st_mode) && !S_ISDIR(link.st_mode))) {
            mem_free(path);
            continue;
        }
        is_dir = S_ISDIR(link.st_mode);
        lossy = short_name(name, sn);
        number(dir, n, sn);
        if (s->n >= MAX_ENTRIES || (!is_dir && (uint64_t)st.st_size > UINT32_MAX)) {
            error_set(e, "%s: %s", path, s->n >= MAX_ENTRIES ? "too many files" : "file is larger than 4 GiB");
            mem_free(path);
            rc = -EFBIG;
            break;
        }
        uint32_t child = s->n;
        (void)add(s, path);
        if (is_dir) {
            rc = scan(s, child, self, depth + 1, e);
        } else {
            s->v[child].size = (uint32_t)st.st_size;
            rc = claim(s, &s->v[child], (uint64_t)st.st_size, e);
        }
        if (lossy || memchr(sn, '~', 11)) n += long_entries(dir + n * ENTRY, name, sn);
        put_entry(dir + n * ENTRY, sn, is_dir ? A_DIR : A_FILE, st.st_mtime, s->v[child].first, is_dir ? 0 : s->v[child].size);
        n++;
    }
    for (int i = 0; i < count; i++) free(list[i]);
    free(list);
    mem_free(where);
    return rc;
}

/* ---- opening -------------------------------------------------------------------------------------- */

static void vvfat_close(struct blk_node *n)
{
    struct vvfat *s = blk_state(n);

    for (uint32_t i = 0; i < s->n; i++) {
        mem_free(s->v[i].path);
        mem_free(s->v[i].dir);
    }
    if (s->fd >= 0) close(s->fd);
    mem_free(s->v);
    mem_free(s->fat);
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
    root = s->root_entries * ENTRY / 512;
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

    s->fd = -1;
    if (!dir || !*dir) return error_set(e, "vvfat block driver requires a 'dir' option"), -EINVAL;
    if (opts_bool(o, "rw", false)) return error_set(e, "vvfat: writing to the directory (rw) is not supported by this build"), -ENOTSUP;
    if (label && strlen(label) > 11) return error_set(e, "vvfat label cannot be longer than 11 bytes"), -EINVAL;
    memset(s->label, ' ', 11);
    memcpy(s->label, label ? label : "QUERN VVFAT", label ? strlen(label) : 11);
    s->floppy = opts_bool(o, "floppy", false);
    rc = geometry(s, (unsigned)MIN(opts_number(o, "fat-type", 0), (uint64_t)99), e);
    if (rc) return rc;
    s->fat = NEW_ARRAY(uint32_t, s->clusters + 2);
    s->fat[0] = s->floppy ? 0x0ffffff0 : 0x0ffffff8, s->fat[1] = 0x0fffffff;
    s->next = 2;
    (void)add(s, mem_strdup(dir));
    rc = scan(s, 0, 0, 0, e);
    if (rc) {
        vvfat_close(n);
        return rc;
    }
    blk_set_size(n, ((uint64_t)s->total + s->start) * 512);
    return 0;
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

static void boot_sector(const struct vvfat *s, uint8_t *p)
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

static int data_sector(struct vvfat *s, uint32_t sector, uint8_t *p)
{
    uint32_t cluster = 2 + sector / s->spc, best = UINT32_MAX;

    if (cluster >= s->next || !s->fat[cluster]) return 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct entry *x = &s->v[(s->open_entry + i) % s->n]; /* mostly the same as the last */
        if (x->clusters && cluster >= x->first && cluster < x->first + x->clusters) {
            best = (s->open_entry + i) % s->n;
            break;
        }
    }
    if (best == UINT32_MAX) return 0;
    const struct entry *x = &s->v[best];
    uint64_t at = (uint64_t)(cluster - x->first) * s->spc * 512 + sector % s->spc * 512u;
    if (at >= x->size) return 0;
    size_t len = (size_t)MIN((uint64_t)512, x->size - at);
    if (x->dir) return memcpy(p, x->dir + at, len), 0;
    if (best != s->open_entry || s->fd < 0) {
        if (s->fd >= 0) close(s->fd);
        s->fd = open(x->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        s->open_entry = best;
        if (s->fd < 0) return -errno;
    }
    for (size_t done = 0; done < len;) {
        ssize_t got = pread(s->fd, p + done, len - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        if (!got) break; /* shorter than it was: zeros */
        done += (size_t)got;
    }
    return 0;
}

static int one_sector(struct vvfat *s, uint32_t sector, uint8_t *p)
{
    uint32_t root = s->reserved + 2 * s->fat_sectors;

    memset(p, 0, 512);
    if (s->start && sector == 0) return partition_table(s, p), 0;
    if (sector < s->start) return 0;
    sector -= s->start;
    if (sector < s->reserved) {
        if (sector == 0 || (s->bits == 32 && sector == 6)) boot_sector(s, p);
        if (s->bits == 32 && (sector == 1 || sector == 7)) info_sector(s, p);
    } else if (sector < root) {
        fat_sector(s, (sector - s->reserved) % s->fat_sectors, p);
    } else if (sector < s->data) {
        uint64_t at = (uint64_t)(sector - root) * 512;
        if (at < s->v[0].size) memcpy(p, s->v[0].dir + at, (size_t)MIN((uint64_t)512, s->v[0].size - at));
    } else {
        return data_sector(s, sector - s->data, p);
    }
    return 0;
}

static int vvfat_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct vvfat *s = blk_state(n);
    uint8_t sector[512], *p = buf;
    int rc = 0;

    for (size_t k; len && !rc; p += k, offset += k, len -= k) {
        size_t in = (size_t)(offset % 512);
        k = MIN(len, 512 - in);
        rc = one_sector(s, (uint32_t)(offset / 512), sector);
        if (!rc) memcpy(p, sector + in, k);
    }
    return rc;
}

static const struct opt_desc vvfat_opts[] = {
    {"dir", OPT_STRING, "the directory"},
    {"fat-type", OPT_NUMBER, "12, 16 or 32"},
    {"floppy", OPT_BOOL, "a floppy disk, without partitions"},
    {"label", OPT_STRING, "volume label"},
    {"rw", OPT_BOOL, "not supported"},
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
    .read = vvfat_read,
};
