/*
 * vvfat-write.c - from a FAT disk that a guest writes to the directory it shows. Not here: the layout (vvfat.c) and the
 * first look at the directory (vvfat-scan.c).
 *
 * What the guest writes lies in a temporary file. At a flush and at the end the disk's file system is read whole, as a
 * guest would read it; if it is consistent (each cluster in one chain, chains long enough, names that can be names
 * here), the directory is made equal to it: files are created, written where they changed, renamed and removed. If not,
 * nothing is done: the guest is in the middle of something, and the next flush tries again.
 *
 * A file whose directory entry is gone, while its clusters are neither free nor another's, stays: it is being moved.
 * Names go one by one into directories that are there already, links are not followed: nothing outside is touched.
 */
#include "blockfmt/vvfat.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NONE UINT32_MAX

/* A file or directory as the disk has it. */
struct node {
    char *name;
    uint32_t parent, entry; /* entry: which of ours it is, or NONE */
    uint32_t first, size, when, *chain, n_chain;
    uint8_t attr;
    bool is_dir;
};

struct tree {
    struct vvfat *s;
    struct node *v; /* parents before children; v[0] is the root */
    uint32_t n, room, *fat;
    uint8_t *used; /* by cluster: 1 when in a chain */
    int rc;        /* the host refused something */
};

/* ---- the overlay ---------------------------------------------------------------------------------- */

int vvfat_overlay_open(struct vvfat *s, struct error *e)
{
    const char *dir = getenv("TMPDIR");
    char *name = mem_printf("%s/quern-XXXXXX", dir && *dir ? dir : "/var/tmp");
    uint32_t sectors = s->total + s->start;

    s->overlay = mkstemp(name);
    if (s->overlay < 0) {
        error_set(e, "Could not create a temporary file '%s': %s", name, strerror(errno));
        mem_free(name);
        return -EIO;
    }
    unlink(name);
    mem_free(name);
    s->written = mem_zalloc(sectors / 8 + 1);
    s->dirty = mem_zalloc(sectors / 8 + 1);
    return 0;
}

int vvfat_overlay_write(struct vvfat *s, uint32_t sector, uint32_t n, const uint8_t *p, bool by_guest)
{
    size_t len = (size_t)n * 512;

    for (size_t done = 0; done < len;) {
        ssize_t put = pwrite(s->overlay, p + done, len - done, (off_t)sector * 512 + (off_t)done);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return put ? -errno : -EIO;
        done += (size_t)put;
    }
    for (uint32_t i = sector; i < sector + n; i++) {
        s->written[i / 8] |= (uint8_t)(1u << i % 8);
        if (by_guest) s->dirty[i / 8] |= (uint8_t)(1u << i % 8);
    }
    s->changed |= by_guest;
    return 0;
}

static uint32_t first_sector(const struct vvfat *s, uint32_t cluster)
{
    return s->start + s->data + (cluster - 2) * s->spc;
}

static bool any_bit(const struct vvfat *s, const uint8_t *bits, uint32_t cluster)
{
    bool any = false;
    for (uint32_t i = 0; i < s->spc; i++) any |= vvfat_bit(bits, first_sector(s, cluster) + i);
    return any;
}

/* ---- reading the guest's file system -------------------------------------------------------------- */

static bool problem(struct tree *t, const char *text, const char *name)
{
    snprintf(t->s->problem, sizeof t->s->problem, "%s%s%.200s", text, name ? ": " : "", name ? name : "");
    return false;
}

static bool read_fat(struct tree *t)
{
    struct vvfat *s = t->s;
    uint8_t *raw = mem_alloc((size_t)s->fat_sectors * 512), boot[512], made[512] = {0};
    bool ok = !vvfat_sectors(s, s->start + s->reserved, s->fat_sectors, raw) && !vvfat_sectors(s, s->start, 1, boot);

    vvfat_boot_sector(s, made);
    if (!ok) problem(t, "the disk cannot be read", NULL);
    /* bytes per sector up to the last field that says where things lie */
    else if (memcmp(boot + 11, made + 11, s->bits == 32 ? 37 : 13)) ok = problem(t, "its file system was made anew", NULL);
    for (uint32_t i = 0; i < s->clusters + 2 && ok; i++) {
        const uint8_t *p;
        if (s->bits == 12) {
            p = raw + i / 2 * 3;
            t->fat[i] = i & 1 ? (uint32_t)p[1] >> 4 | (uint32_t)p[2] << 4 : p[0] | (p[1] & 15u) << 8;
        } else {
            p = raw + (size_t)i * (s->bits / 8);
            t->fat[i] = s->bits == 16 ? ld16_le(p) : ld32_le(p) & 0x0fffffff;
        }
    }
    mem_free(raw);
    return ok;
}

/* The chain of x, whose clusters become its own. */
static bool follow(struct tree *t, struct node *x)
{
    const struct vvfat *s = t->s;
    uint32_t end = s->bits == 12 ? 0xff8 : s->bits == 16 ? 0xfff8 : 0x0ffffff8, room = 0;

    for (uint32_t c = x->first; !x->n_chain || c < end;) { /* an end is none to begin with */
        if (c < 2 || c >= s->clusters + 2) return problem(t, "a chain of clusters leads nowhere", x->name);
        if (t->used[c]) return problem(t, "a cluster belongs to two files", x->name);
        t->used[c] = 1;
        if (x->n_chain == room) room = room ? room * 2 : 8, x->chain = mem_realloc(x->chain, room * sizeof *x->chain);
        x->chain[x->n_chain++] = c;
        c = t->fat[c];
    }
    return true;
}

static char *utf8(char *p, uint32_t c)
{
    if (c < 0x80) {
        *p++ = (char)c;
    } else if (c < 0x800) {
        *p++ = (char)(0xc0 | c >> 6), *p++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *p++ = (char)(0xe0 | c >> 12), *p++ = (char)(0x80 | (c >> 6 & 63)), *p++ = (char)(0x80 | (c & 63));
    } else {
        *p++ = (char)(0xf0 | c >> 18), *p++ = (char)(0x80 | (c >> 12 & 63)), *p++ = (char)(0x80 | (c >> 6 & 63));
        *p++ = (char)(0x80 | (c & 63));
    }
    return p;
}

/* A short name as text; bytes beyond ASCII, whose meaning is the guest's code page, become underscores. */
static char *short_text(const uint8_t *e)
{
    char out[13], *p = out;
    unsigned base = 8, ext = 3;

    while (base && e[base - 1] == ' ') base--;
    while (ext && e[8 + ext - 1] == ' ') ext--;
    for (unsigned i = 0; i < base; i++) *p++ = (char)(e[i] >= 0x80 || (!i && e[i] == 5) ? '_' : e[12] & 8 ? tolower(e[i]) : e[i]);
    if (ext) *p++ = '.';
    for (unsigned i = 0; i < ext; i++) *p++ = (char)(e[8 + i] >= 0x80 ? '_' : e[12] & 16 ? tolower(e[8 + i]) : e[8 + i]);
    *p = 0;
    return mem_strdup(out);
}

/* The parts of a long name as they come, last first. */
struct long_name {
    uint16_t units[20 * 13 + 1];
    unsigned next; /* the part that must come, 0: all are there */
    uint8_t sum;
    bool valid;
};

static void long_part(struct long_name *l, const uint8_t *e)
{
    static const uint8_t places[13] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    unsigned part = e[0] & 0x1f;

    if (e[0] & 0x40) {
        memset(l->units, 0, sizeof l->units);
        l->valid = part >= 1 && part <= 20;
        l->next = part, l->sum = e[13];
    }
    if (!l->valid || !part || part != l->next || e[13] != l->sum) {
        l->valid = false;
        return;
    }
    for (unsigned i = 0; i < 13; i++) l->units[(part - 1) * 13 + i] = ld16_le(e + places[i]);
    l->next--;
}

/* NULL: there is none that belongs to this short name. */
static char *long_text(const struct long_name *l, const uint8_t *e)
{
    uint8_t sum = 0;
    char *out, *p;

    for (unsigned i = 0; i < 11; i++) sum = (uint8_t)((sum >> 1 | sum << 7) + e[i]);
    if (!l->valid || l->next || sum != l->sum || !l->units[0]) return NULL;
    out = p = mem_alloc(20 * 13 * 3 + 1);
    for (unsigned i = 0; i < 20 * 13 && l->units[i] && l->units[i] != 0xffff; i++) {
        uint32_t c = l->units[i], d = l->units[i + 1];
        if (c >= 0xd800 && c < 0xdc00 && d >= 0xdc00 && d < 0xe000) c = 0x10000 + ((c & 0x3ff) << 10) + (d & 0x3ff), i++;
        else if (c >= 0xd800 && c < 0xe000) c = '_';
        p = utf8(p, c);
    }
    *p = 0;
    return out;
}

static bool good_name(const char *s)
{
    if (!*s || !strcmp(s, ".") || !strcmp(s, "..") || strlen(s) > 255) return false;
    for (; *s; s++) {
        if (*s == '/' || (*s > 0 && *s < 0x20) || *s == 0x7f) return false;
    }
    return true;
}

static bool add_node(struct tree *t, uint32_t parent, const uint8_t *e, char *name)
{
    if (t->n == t->room) t->room = t->room ? t->room * 2 : 64, t->v = mem_realloc(t->v, t->room * sizeof *t->v);
    struct node *x = &t->v[t->n++];
    *x = (struct node){.name = name, .parent = parent, .entry = NONE, .attr = e[11], .is_dir = (e[11] & FAT_DIR) != 0};
    x->first = ld16_le(e + 26) | (t->s->bits == 32 ? (uint32_t)ld16_le(e + 20) << 16 : 0);
    x->size = x->is_dir ? 0 : ld32_le(e + 28);
    x->when = (uint32_t)ld16_le(e + 24) << 16 | ld16_le(e + 22);
    if (t->n > VVFAT_MAX_ENTRIES) return problem(t, "too many files", NULL);
    if (!good_name(name)) return problem(t, "a name that is none here", name);
    if (x->first && !follow(t, x)) return false;
    if (x->is_dir && !x->n_chain) return problem(t, "a directory without clusters", name);
    if ((uint64_t)x->n_chain * t->s->spc * 512 < x->size) return problem(t, "a file is longer than its clusters", name);
    return true;
}

/* Adds what directory number `self` holds. */
static bool read_dir(struct tree *t, uint32_t self)
{
    struct vvfat *s = t->s;
    bool root = self == VVFAT_ROOT && s->bits != 32, ok = true, end = false;
    uint32_t pieces = root ? 1 : t->v[self].n_chain, sectors = root ? s->root_entries * VVFAT_ENTRY / 512 : s->spc;
    uint8_t *p = mem_alloc((size_t)sectors * 512);
    struct long_name l = {.valid = false};

    for (uint32_t k = 0; k < pieces && ok && !end; k++) {
        uint32_t at = root ? s->start + s->data - sectors : first_sector(s, t->v[self].chain[k]);
        if (vvfat_sectors(s, at, sectors, p)) ok = problem(t, "the disk cannot be read", NULL);
        for (uint32_t i = 0; i < sectors * 512 && ok; i += VVFAT_ENTRY) {
            const uint8_t *e = p + i;
            char *name;
            end = !e[0];
            if (end) break;
            if (e[0] != 0xe5 && (e[11] & 0x3f) == FAT_LONG) {
                long_part(&l, e);
                continue;
            }
            if (e[0] != 0xe5 && !(e[11] & FAT_LABEL) && !(e[0] == '.' && self != VVFAT_ROOT && (e[1] == ' ' || e[1] == '.'))) {
                name = long_text(&l, e);
                ok = add_node(t, self, e, name ? name : short_text(e));
            }
            l.valid = false;
        }
    }
    mem_free(p);
    return ok;
}

static int by_parent_and_name(const void *a, const void *b)
{
    const struct node *x = *(const struct node *const *)a, *y = *(const struct node *const *)b;
    return x->parent != y->parent ? (x->parent < y->parent ? -1 : 1) : strcasecmp(x->name, y->name);
}

static bool read_tree(struct tree *t)
{
    uint32_t depth_end = 1, depth = 0;
    const struct node **sorted;
    bool ok = read_fat(t);

    if (!ok) return false;
    t->room = 64, t->v = mem_alloc(t->room * sizeof *t->v);
    t->n = 1, t->v[0] = (struct node){.name = mem_strdup("/"), .is_dir = true, .first = t->s->v[0].first};
    if (t->s->bits == 32 && !follow(t, &t->v[0])) return false;
    for (uint32_t i = 0; i < t->n && ok; i++) {
        if (i == depth_end) depth_end = t->n, depth++; /* all before were read, so the next level is there whole */
        if (depth > VVFAT_MAX_DEPTH) ok = problem(t, "directories are nested too deeply", t->v[i].name);
        else if (t->v[i].is_dir) ok = read_dir(t, i);
    }
    if (!ok) return false;
    sorted = NEW_ARRAY(const struct node *, t->n);
    for (uint32_t i = 0; i < t->n; i++) sorted[i] = &t->v[i];
    qsort(sorted, t->n, sizeof *sorted, by_parent_and_name);
    for (uint32_t i = 1; i < t->n && ok; i++) {
        if (sorted[i]->parent == sorted[i - 1]->parent && !strcasecmp(sorted[i]->name, sorted[i - 1]->name))
            ok = problem(t, "two files have one name", sorted[i]->name);
    }
    mem_free(sorted);
    return ok;
}

/* ---- what is what --------------------------------------------------------------------------------- */

struct key {
    uint32_t parent, entry;
    const char *name;
};

static int by_shown(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    return x->parent != y->parent ? (x->parent < y->parent ? -1 : 1) : strcmp(x->name, y->name);
}

/* Finds the entry of each node: the same name in the same directory, or else the same first cluster. */
static void match(struct tree *t, uint8_t *matched)
{
    struct vvfat *s = t->s;
    struct key *sorted = NEW_ARRAY(struct key, s->n), *hit;
    uint32_t *by_first = NEW_ARRAY(uint32_t, s->clusters + 2), n = 0;

    for (uint32_t i = 1; i < s->n; i++) {
        if (s->v[i].gone) continue;
        sorted[n++] = (struct key){s->v[i].parent, i, s->v[i].shown};
        if (s->v[i].first) by_first[s->v[i].first] = i;
    }
    qsort(sorted, n, sizeof *sorted, by_shown);
    t->v[0].entry = VVFAT_ROOT;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 1; i < t->n; i++) {
            struct node *x = &t->v[i];
            struct key k = {t->v[x->parent].entry, 0, x->name};
            uint32_t found = NONE;
            if (x->entry != NONE) continue;
            hit = k.parent != NONE ? bsearch(&k, sorted, n, sizeof k, by_shown) : NULL;
            if (hit) found = hit->entry;
            if (found == NONE && pass && x->first && by_first[x->first]) found = by_first[x->first];
            if (found == NONE || matched[found] || s->v[found].is_dir != x->is_dir) continue;
            x->entry = found, matched[found] = 1;
        }
    }
    mem_free(sorted);
    mem_free(by_first);
}

/* Must these bytes be written to the host's file: is cluster i of x not what the file has there? */
static bool differs(const struct tree *t, const struct node *x, uint32_t i)
{
    const struct vvfat_entry *y = x->entry == NONE ? NULL : &t->s->v[x->entry];
    if (!y || i >= y->n_chain || y->chain[i] != x->chain[i] || any_bit(t->s, t->s->dirty, x->chain[i])) return true;
    /* what was behind the end has not been written, however long ago it came to the disk */
    return x->size > y->size && (uint64_t)(i + 1) * t->s->spc * 512 > y->size;
}

/* Bytes that one file's clusters have from another's on the host are copied before either changes. */
static int pin(struct tree *t)
{
    struct vvfat *s = t->s;
    uint8_t *p = mem_alloc((size_t)s->spc * 512);
    int rc = 0;

    for (uint32_t i = 1; i < t->n && !rc; i++) {
        const struct node *x = &t->v[i];
        for (uint32_t k = 0; k < x->n_chain && !rc && !x->is_dir; k++) {
            uint32_t c = x->chain[k], at = first_sector(s, c), owner = s->owner[c];
            if (!owner || (owner - 1 == x->entry && c - s->v[owner - 1].map_first == k)) continue;
            for (uint32_t j = 0; j < s->spc && !rc; j++) {
                if (vvfat_bit(s->written, at + j)) continue;
                rc = vvfat_sectors(s, at + j, 1, p);
                if (!rc) rc = vvfat_overlay_write(s, at + j, 1, p, false);
            }
        }
    }
    mem_free(p);
    return rc;
}

/* ---- making it so --------------------------------------------------------------------------------- */

static void refused(struct tree *t, const char *what, const char *path)
{
    if (!t->rc) error_report("vvfat: could not %s '%s': %s", what, path, strerror(errno));
    if (!t->rc) t->rc = errno ? -errno : -EIO;
}

static void set_text(char **p, char *text)
{
    mem_free(*p);
    *p = text;
}

/* What will have another place waits in the root under a name of ours. */
static void set_aside(struct tree *t)
{
    struct vvfat *s = t->s;

    for (uint32_t i = 1; i < t->n && !t->rc; i++) {
        const struct node *x = &t->v[i];
        struct vvfat_entry *y = x->entry == NONE ? NULL : &s->v[x->entry];
        if (!y || (!strcmp(y->shown, x->name) && y->parent == t->v[x->parent].entry)) continue;
        char *from = vvfat_path(s, x->entry), *name = mem_printf(".quern-vvfat/%u-%ld", x->entry, (long)getpid());
        *strchr(name, '/') = '-';
        char *to = mem_printf("%s/%s", s->v[0].host, name);
        struct stat st;
        if (!lstat(to, &st)) errno = EEXIST, refused(t, "rename a file to", to);
        else if (rename(from, to)) refused(t, "rename", from);
        else y->parent = VVFAT_ROOT, set_text(&y->host, mem_strdup(name));
        mem_free(from);
        mem_free(to);
        mem_free(name);
    }
}

static unsigned depth_of(const struct vvfat *s, uint32_t i)
{
    unsigned depth = 0;
    for (; i != VVFAT_ROOT && depth < 1000; i = s->v[i].parent) depth++;
    return depth;
}

/* Its clusters are somebody's, but not in the tree: perhaps it is between two directories. */
static bool in_flight(const struct tree *t, const uint8_t *matched, uint32_t i)
{
    const struct vvfat *s = t->s;
    for (unsigned depth = 0; i != VVFAT_ROOT && !matched[i] && depth < 1000; i = s->v[i].parent, depth++) {
        uint32_t first = s->v[i].first;
        if (first && t->fat[first] && !t->used[first]) return true; /* or what it lies in is */
    }
    return false;
}

static void remove_gone(struct tree *t, const uint8_t *matched, uint32_t n_old)
{
    struct vvfat *s = t->s;
    unsigned deepest = 0;

    for (uint32_t i = 1; i < n_old && !t->rc; i++) {
        struct vvfat_entry *y = &s->v[i];
        if (y->gone || matched[i] || in_flight(t, matched, i)) continue;
        if (y->is_dir) {
            deepest = MAX(deepest, depth_of(s, i));
            continue;
        }
        char *path = vvfat_path(s, i);
        if (unlink(path) && errno != ENOENT) refused(t, "remove", path);
        else y->gone = true;
        mem_free(path);
    }
    for (; deepest && !t->rc; deepest--) {
        for (uint32_t i = 1; i < n_old && !t->rc; i++) {
            struct vvfat_entry *y = &s->v[i];
            if (y->gone || matched[i] || !y->is_dir || in_flight(t, matched, i) || depth_of(s, i) != deepest) continue;
            char *path = vvfat_path(s, i);
            if (!rmdir(path) || errno == ENOENT) y->gone = true;
            else if (errno != ENOTEMPTY && errno != EEXIST) refused(t, "remove", path);
            else { /* something in it is not the guest's to remove, or in flight */
                bool ours = false;
                for (uint32_t k = 1; k < n_old; k++) ours |= !s->v[k].gone && s->v[k].parent == i;
                if (!ours) error_warn("vvfat: '%s' is not empty and stays", path), y->gone = true;
            }
            mem_free(path);
        }
    }
}

static void set_times(const char *path, int fd, uint32_t when)
{
    struct tm tm = {.tm_year = (int)(when >> 25) + 80, .tm_mon = (int)(when >> 21 & 15) - 1, .tm_mday = (int)(when >> 16 & 31),
                    .tm_hour = (int)(when >> 11 & 31), .tm_min = (int)(when >> 5 & 63), .tm_sec = (int)(when & 31) * 2,
                    .tm_isdst = -1};
    struct timespec t[2] = {{0, UTIME_NOW}, {0, 0}};

    if (!(when >> 16)) return; /* the guest has no clock */
    t[1].tv_sec = mktime(&tm);
    if (t[1].tv_sec == (time_t)-1) return;
    if (fd >= 0) (void)futimens(fd, t);
    else (void)utimensat(AT_FDCWD, path, t, AT_SYMLINK_NOFOLLOW);
}

static int write_all(int fd, const uint8_t *p, size_t n, uint64_t at)
{
    while (n) {
        ssize_t put = pwrite(fd, p, n, (off_t)at);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return errno = put ? errno : EIO, -1;
        p += put, n -= (size_t)put, at += (uint64_t)put;
    }
    return 0;
}

/* The clusters that differ (or all) into fd, which gets its size. */
static int write_file(struct tree *t, const struct node *x, int fd, bool all, bool sync)
{
    struct vvfat *s = t->s;
    size_t unit = (size_t)s->spc * 512;
    uint8_t *p = mem_alloc(unit);
    int rc = 0;

    for (uint32_t i = 0; i < x->n_chain && !rc && (uint64_t)i * unit < x->size; i++) {
        uint64_t at = (uint64_t)i * unit;
        if (!all && !differs(t, x, i)) continue;
        rc = vvfat_sectors(s, first_sector(s, x->chain[i]), s->spc, p);
        if (rc) errno = -rc;
        else rc = write_all(fd, p, (size_t)MIN((uint64_t)unit, x->size - at), at);
    }
    if (!rc) rc = ftruncate(fd, (off_t)x->size);
    if (!rc && sync) rc = fdatasync(fd);
    mem_free(p);
    return rc;
}

/* A link, or what else became of the file: a new file takes its place. */
static void replace(struct tree *t, const struct node *x, const char *path, bool sync)
{
    char *tmp = mem_printf("%s/.quern-vvfat-XXXXXX", t->s->v[0].host);
    int fd = mkstemp(tmp), rc = fd < 0;
    mode_t mask = umask(0);

    umask(mask);
    if (!rc) rc = write_file(t, x, fd, true, sync) || fchmod(fd, (x->attr & FAT_RDONLY ? 0444 : 0666) & ~mask) || rename(tmp, path);
    if (!rc) set_times(NULL, fd, x->when);
    if (rc) {
        int saved = errno;
        if (fd >= 0) unlink(tmp);
        errno = saved;
        refused(t, "write", path);
    }
    if (fd >= 0) close(fd);
    if (t->s->fd >= 0) close(t->s->fd), t->s->fd = -1;
    mem_free(tmp);
}

static void put_file(struct tree *t, const struct node *x, const char *path, bool fresh, bool sync)
{
    int mode = fresh ? O_CREAT | O_EXCL : 0, fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | mode, 0666);
    struct stat st;

    if (fd < 0 && !fresh && errno == ELOOP) {
        replace(t, x, path, sync);
        return;
    }
    if (fd < 0) {
        refused(t, fresh ? "create" : "write", path);
        return;
    }
    if (write_file(t, x, fd, fresh, sync)) {
        refused(t, "write", path);
        if (fresh) unlink(path);
    } else if (!fstat(fd, &st) && !(st.st_mode & 0222) != ((x->attr & FAT_RDONLY) != 0)) {
        (void)fchmod(fd, x->attr & FAT_RDONLY ? st.st_mode & 0555 : st.st_mode | 0200);
    }
    set_times(NULL, fd, x->when);
    close(fd);
}

static bool is_changed(const struct tree *t, const struct node *x)
{
    const struct vvfat_entry *y = &t->s->v[x->entry];

    if (y->size != x->size || y->n_chain != x->n_chain) return true;
    for (uint32_t i = 0; i < x->n_chain; i++) {
        if (differs(t, x, i)) return true;
    }
    return false;
}

/* Entry and host become what node i says. Parents have been. */
static void make_so(struct tree *t, uint32_t i, bool sync)
{
    struct vvfat *s = t->s;
    struct node *x = &t->v[i];
    uint32_t parent = t->v[x->parent].entry;
    bool fresh = x->entry == NONE;
    struct vvfat_entry *y;
    char *path;

    if (!fresh && (strcmp(s->v[x->entry].shown, x->name) || s->v[x->entry].parent != parent)) { /* set aside */
        char *above = vvfat_path(s, parent), *from = vvfat_path(s, x->entry);
        path = mem_printf("%s/%s", above, x->name);
        struct stat st;
        if (!lstat(path, &st)) errno = EEXIST, refused(t, "rename a file to", path);
        else if (rename(from, path)) refused(t, "rename a file to", path);
        else {
            y = &s->v[x->entry];
            y->parent = parent;
            set_text(&y->host, mem_strdup(x->name)), set_text(&y->shown, mem_strdup(x->name));
        }
        mem_free(above);
        mem_free(from);
    } else if (fresh) {
        char *above = vvfat_path(s, parent);
        path = mem_printf("%s/%s", above, x->name);
        mem_free(above);
        if (x->is_dir && mkdir(path, 0777)) refused(t, "create", path);
    } else {
        path = vvfat_path(s, x->entry);
    }
    if (!t->rc && !x->is_dir && (fresh || is_changed(t, x))) {
        put_file(t, x, path, fresh, sync);
        if (t->rc && !fresh) s->v[x->entry].n_chain = 0; /* the next time all of it */
    } else if (!t->rc && !x->is_dir && s->v[x->entry].when != x->when) {
        set_times(path, -1, x->when);
    }
    mem_free(path);
    if (t->rc) return;
    if (fresh) {
        x->entry = s->n;
        y = vvfat_add(s);
        y->host = mem_strdup(x->name), y->shown = mem_strdup(x->name), y->parent = parent, y->is_dir = x->is_dir;
    }
    y = &s->v[x->entry];
    mem_free(y->chain);
    y->chain = x->chain, y->n_chain = x->n_chain, x->chain = NULL;
    y->first = x->first, y->size = x->size, y->when = x->when, y->attr = x->attr;
}

int vvfat_commit(struct vvfat *s, bool sync)
{
    struct tree t = {.s = s};
    uint32_t n_old = s->n;
    uint8_t *matched = mem_zalloc(n_old);
    bool waiting = false;

    t.fat = NEW_ARRAY(uint32_t, s->clusters + 2);
    t.used = mem_zalloc(s->clusters + 2);
    s->problem[0] = 0;
    if (read_tree(&t)) {
        match(&t, matched);
        t.rc = pin(&t);
        if (t.rc) error_report("vvfat: could not read '%s': %s", s->v[0].host, strerror(-t.rc));
        set_aside(&t);
        remove_gone(&t, matched, n_old);
        for (uint32_t i = 1; i < t.n && !t.rc; i++) make_so(&t, i, sync);
        for (uint32_t i = 1; i < n_old; i++) waiting |= !s->v[i].gone && !matched[i];
        if (!t.rc) {
            memset(s->dirty, 0, (s->total + s->start) / 8 + 1);
            s->changed = waiting;
            if (waiting) problem(&t, "files have clusters, but no name any more", NULL);
        } else {
            problem(&t, "the host refused a change", NULL);
        }
    }
    for (uint32_t i = 0; i < t.n; i++) {
        mem_free(t.v[i].name);
        mem_free(t.v[i].chain);
    }
    mem_free(t.v);
    mem_free(t.fat);
    mem_free(t.used);
    mem_free(matched);
    return t.rc;
}
