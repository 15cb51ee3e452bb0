/*
 * vvfat-scan.c - from a directory of the host to the directories and cluster chains of a FAT disk. Names follow Microsoft's
 * "FAT: General Overview of On-Disk Format", version 1.03 (short names, long-name entries).
 *
 * What cannot be shown is left out: sockets, fifos and devices silently, what cannot be read with a warning. Symbolic
 * links are followed to files, never to directories. Characters that FAT has not become underscores; of names that
 * differ only in what FAT does not tell apart, the later ones have their short name alone.
 */
#include "blockfmt/vvfat.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_LONG      255   /* UTF-16 units of a long name */
#define DIR_ENTRIES   65536u

/* ---- names that are taken, one set for each directory ---------------------------------------------- */

struct names {
    char **v;
    uint32_t room; /* power of two */
};

static uint32_t hash_name(const char *s)
{
    uint32_t h = 2166136261u;
    for (; *s; s++) h = (h ^ (uint8_t)toupper((unsigned char)*s)) * 16777619u;
    return h;
}

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        if (toupper((unsigned char)*a) != toupper((unsigned char)*b)) return false;
    }
    return *a == *b;
}

static char **slot(struct names *t, const char *name)
{
    uint32_t i = hash_name(name) & (t->room - 1);
    while (t->v[i] && !same_name(t->v[i], name)) i = (i + 1) & (t->room - 1);
    return &t->v[i];
}

static bool taken(struct names *t, const char *name) { return *slot(t, name) != NULL; }

static void take(struct names *t, const char *name)
{
    char **p = slot(t, name);
    if (!*p) *p = mem_strdup(name);
}

/* ---- names ---------------------------------------------------------------------------------------- */

static bool short_char(char c)
{
    return isupper((unsigned char)c) || isdigit((unsigned char)c) || (c && strchr("!#$%&'()-@^_`{}~", c));
}

/* The 8.3 name, padded with spaces; true when it does not say all. */
static bool short_name(const char *name, char out[11])
{
    const char *dot = strrchr(name, '.');
    size_t base = dot && dot != name && dot[1] ? (size_t)(dot - name) : strlen(name), n = 0;
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

static void short_text(const char sn[11], char out[13])
{
    size_t n = 0;

    for (unsigned i = 0; i < 8 && sn[i] != ' '; i++) out[n++] = sn[i];
    if (sn[8] != ' ') out[n++] = '.';
    for (unsigned i = 8; i < 11 && sn[i] != ' '; i++) out[n++] = sn[i];
    out[n] = 0;
}

/* Makes a short name that is free: NAME~1 to ~4, then NA1234~1, 1234 being derived from the whole name. */
static void number(struct names *t, const char *name, char sn[11])
{
    char base[11], tail[12], text[13];
    uint32_t hash = hash_name(name);

    memcpy(base, sn, 11);
    short_text(sn, text);
    for (unsigned i = 1; taken(t, text); i++) {
        size_t len, at = 0;
        if (i <= 4) len = (size_t)snprintf(tail, sizeof tail, "~%u", i);
        else len = (size_t)snprintf(tail, sizeof tail, "%04X~%u", (hash + i * 40503u) >> 8 & 0xffff, 1 + i % 9);
        memcpy(sn, base, 11);
        while (at < 8 - len && base[at] != ' ') at++;
        memset(sn, ' ', 8);
        memcpy(sn, base, at);
        memcpy(sn + at, tail, len);
        short_text(sn, text);
    }
}

/* UTF-8 as UTF-16, with underscores for what is neither, or what FAT does not take. *odd: there were some. */
static uint32_t long_units(const char *name, uint16_t out[MAX_LONG + 1], bool *odd)
{
    const uint8_t *p = (const uint8_t *)name;
    uint32_t n = 0;

    while (*p && n < MAX_LONG) {
        uint32_t c = *p, more = c >= 0xf0 && c < 0xf5 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 0, k;
        if (c >= 0xf5) more = 0;
        for (k = 0, c = more == 3 ? c & 7 : more == 2 ? c & 15 : more ? c & 31 : c; k < more && (p[k + 1] & 0xc0) == 0x80; k++)
            c = c << 6 | (p[k + 1] & 63);
        bool bad = k < more || (!more && *p >= 0x80) || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff ||
                   (more == 2 && c < 0x800) || (more == 3 && c < 0x10000);
        if (bad) {
            c = '_', more = 0, *odd = true;
        } else if (c < 0x20 || c == 0x7f || (c < 0x80 && strchr("\"*/:<>?\\|", (int)c))) {
            c = '_', *odd = true;
        }
        if (c >= 0x10000 && n + 1 < MAX_LONG) out[n++] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10)), c = 0xdc00 + (c & 0x3ff);
        out[n++] = (uint16_t)c;
        p += more + 1;
    }
    /* dots and spaces at the end are not kept by readers */
    if (n && (out[n - 1] == '.' || out[n - 1] == ' ')) out[n - 1] = '_', *odd = true;
    out[n] = 0;
    return n;
}

/* The same bytes with the underscores. */
static char *long_text(const uint16_t *u, uint32_t n)
{
    char *s = mem_alloc((size_t)n * 3 + 1), *p = s;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t c = u[i];
        if (c >= 0xd800 && c < 0xdc00 && i + 1 < n) c = 0x10000 + ((c & 0x3ff) << 10) + (u[++i] & 0x3ff);
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
    }
    *p = 0;
    return s;
}

/* Long-name entries, last part first; how many. */
static uint32_t long_entries(uint8_t *out, const uint16_t *name, uint32_t len, const char sn[11])
{
    static const uint8_t places[13] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    uint32_t parts = (len + 12) / 13;
    uint8_t sum = 0;

    for (unsigned i = 0; i < 11; i++) sum = (uint8_t)((sum >> 1 | sum << 7) + (uint8_t)sn[i]);
    for (uint32_t k = 0; k < parts; k++) {
        uint8_t *e = out + k * VVFAT_ENTRY;
        uint32_t part = parts - 1 - k;
        memset(e, 0, VVFAT_ENTRY);
        e[0] = (uint8_t)(part + 1 + (k ? 0 : 0x40)), e[11] = FAT_LONG, e[13] = sum;
        for (uint32_t i = 0; i < 13; i++) {
            uint32_t at = part * 13 + i;
            st16_le(e + places[i], at > len ? 0xffff : at == len ? 0 : name[at]);
        }
    }
    return parts;
}

uint32_t vvfat_when(int64_t unix_time)
{
    time_t t = (time_t)unix_time;
    struct tm tm;

    if (!localtime_r(&t, &tm) || tm.tm_year < 80 || tm.tm_year > 207) return 0x210000; /* 1 January 1980 */
    return (uint32_t)((tm.tm_year - 80) << 9 | (tm.tm_mon + 1) << 5 | tm.tm_mday) << 16 |
           (uint32_t)(tm.tm_hour << 11 | tm.tm_min << 5 | MIN(tm.tm_sec, 59) / 2);
}

static void put_entry(uint8_t *e, const char name[11], uint8_t attr, uint32_t when, uint32_t first, uint32_t size)
{
    memset(e, 0, VVFAT_ENTRY);
    memcpy(e, name, 11);
    e[11] = attr;
    st16_le(e + 14, (uint16_t)when), st16_le(e + 16, (uint16_t)(when >> 16)), st16_le(e + 18, (uint16_t)(when >> 16));
    st16_le(e + 22, (uint16_t)when), st16_le(e + 24, (uint16_t)(when >> 16));
    st16_le(e + 20, (uint16_t)(first >> 16));
    st16_le(e + 26, (uint16_t)first);
    st32_le(e + 28, size);
}

/* ---- the tree ------------------------------------------------------------------------------------- */

struct vvfat_entry *vvfat_add(struct vvfat *s)
{
    if (s->n == s->room) s->room = s->room ? s->room * 2 : 64, s->v = mem_realloc(s->v, s->room * sizeof *s->v);
    s->v[s->n] = (struct vvfat_entry){NULL};
    return &s->v[s->n++];
}

char *vvfat_path(const struct vvfat *s, uint32_t i)
{
    if (i == VVFAT_ROOT) return mem_strdup(s->v[i].host);
    char *above = vvfat_path(s, s->v[i].parent), *path = mem_printf("%s/%s", above, s->v[i].host);
    mem_free(above);
    return path;
}

static int claim(struct vvfat *s, uint32_t entry, uint64_t bytes, struct error *e)
{
    uint64_t cluster = (uint64_t)s->spc * 512, n = (bytes + cluster - 1) / cluster;
    struct vvfat_entry *x = &s->v[entry];

    if (n > s->clusters || s->next - 2 > s->clusters - n) {
        error_set(e, "Directory does not fit in FAT%u (capacity %.2f MB)", s->bits,
                  (double)s->clusters * (double)cluster / 1048576);
        return -ENOSPC;
    }
    x->first = x->map_first = n ? s->next : 0;
    x->map_n = x->n_chain = (uint32_t)n;
    if (s->rw && n) x->chain = NEW_ARRAY(uint32_t, n);
    for (uint32_t i = 0; i < n; i++) {
        s->fat[s->next + i] = i + 1 < n ? s->next + i + 1 : 0x0fffffff;
        s->owner[s->next + i] = entry + 1;
        if (s->rw) x->chain[i] = s->next + i;
    }
    s->next += (uint32_t)n;
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int shown(const struct dirent *d) { return strcmp(d->d_name, ".") && strcmp(d->d_name, ".."); }

static int scan(struct vvfat *s, uint32_t self, unsigned depth, struct error *e);

/* Is it something to show? Warns of what should be but cannot be read. */
static bool wanted(const char *path, struct stat *st)
{
    struct stat link;

    if (stat(path, st) || lstat(path, &link)) return false;
    if (!S_ISREG(st->st_mode) && !S_ISDIR(link.st_mode)) return false;
    if (!access(path, S_ISDIR(link.st_mode) ? R_OK | X_OK : R_OK)) return true;
    error_warn("vvfat: '%s' is left out: %s", path, strerror(errno));
    return false;
}

/* One file or directory at dir + *at * VVFAT_ENTRY. */
static int show(struct vvfat *s, uint32_t self, const char *name, const char *path, const struct stat *st, struct names *t,
                uint8_t *dir, uint32_t *at, unsigned depth, struct error *e)
{
    bool is_dir = S_ISDIR(st->st_mode), odd = false, lossy;
    uint16_t units[MAX_LONG + 1];
    uint32_t n_units, child = s->n;
    char sn[11], text[13], *full;
    struct vvfat_entry *x;
    int rc;

    if (s->n >= VVFAT_MAX_ENTRIES) return error_set(e, "%s: more than %u files", path, VVFAT_MAX_ENTRIES), -EFBIG;
    if (!is_dir && (uint64_t)st->st_size > UINT32_MAX) return error_set(e, "%s: file is larger than 4 GiB", path), -EFBIG;
    lossy = short_name(name, sn);
    n_units = long_units(name, units, &odd);
    full = long_text(units, n_units);
    short_text(sn, text);
    if (!n_units || taken(t, full)) lossy = false; /* the short name alone */
    else if (odd || taken(t, text)) lossy = true;
    number(t, name, sn);
    short_text(sn, text);
    take(t, text);
    if (lossy) take(t, full);

    x = vvfat_add(s);
    x->host = mem_strdup(name), x->shown = lossy ? full : mem_strdup(text), x->parent = self, x->is_dir = is_dir;
    if (!lossy) mem_free(full);
    x->attr = (uint8_t)((is_dir ? FAT_DIR : FAT_ARCHIVE) | (st->st_mode & 0222 ? 0 : FAT_RDONLY));
    x->when = vvfat_when(st->st_mtime);
    if (is_dir) rc = scan(s, child, depth + 1, e);
    else s->v[child].size = (uint32_t)st->st_size, rc = claim(s, child, (uint64_t)st->st_size, e);
    if (rc) return rc;
    x = &s->v[child]; /* the array may have moved */
    if (lossy) *at += long_entries(dir + (size_t)*at * VVFAT_ENTRY, units, n_units, sn);
    put_entry(dir + (size_t)(*at)++ * VVFAT_ENTRY, sn, x->attr, x->when, x->first, is_dir ? 0 : x->size);
    return 0;
}

static int scan(struct vvfat *s, uint32_t self, unsigned depth, struct error *e)
{
    struct dirent **list = NULL;
    struct names t = {NULL, 64};
    char *where = vvfat_path(s, self);
    int count = scandir(where, &list, shown, by_name), rc = 0;
    uint32_t n = 0, parent = s->v[self].parent;
    uint64_t room = 3;
    uint8_t *dir;

    if (count < 0) rc = -errno, error_set(e, "Could not read directory %s: %s", where, strerror(errno));
    for (int i = 0; i < count; i++) room += 1 + (strlen(list[i]->d_name) + 12) / 13;
    if (!rc && depth > VVFAT_MAX_DEPTH) rc = (error_set(e, "%s: directories are nested too deeply", where), -ELOOP);
    if (!rc && self == VVFAT_ROOT && s->bits != 32 && room > s->root_entries)
        rc = (error_set(e, "Too many entries in root directory (%s): %u at most", where, s->root_entries), -ENOSPC);
    if (!rc && room > DIR_ENTRIES) rc = (error_set(e, "Too many entries in directory %s", where), -ENOSPC);
    room = MIN(room, (uint64_t)DIR_ENTRIES);
    dir = mem_zalloc((size_t)room * VVFAT_ENTRY);
    s->v[self].dir = dir, s->v[self].dir_bytes = (uint32_t)room * VVFAT_ENTRY;
    if (!rc && (self != VVFAT_ROOT || s->bits == 32)) rc = claim(s, self, room * VVFAT_ENTRY, e);
    while (t.room < room * 3) t.room *= 2;
    t.v = NEW_ARRAY(char *, t.room);
    if (self == VVFAT_ROOT) {
        put_entry(dir, s->label, FAT_LABEL, vvfat_when(time(NULL)), 0, 0);
        n = 1;
    } else {
        put_entry(dir, ".          ", FAT_DIR, s->v[self].when, s->v[self].first, 0);
        put_entry(dir + VVFAT_ENTRY, "..         ", FAT_DIR, s->v[self].when, parent == VVFAT_ROOT ? 0 : s->v[parent].first, 0);
        n = 2;
    }
    for (int i = 0; i < count && !rc; i++) {
        char *path = mem_printf("%s/%s", where, list[i]->d_name);
        struct stat st;
        if (wanted(path, &st)) rc = show(s, self, list[i]->d_name, path, &st, &t, dir, &n, depth, e);
        mem_free(path);
    }
    for (int i = 0; i < count; i++) free(list[i]);
    free(list);
    for (uint32_t i = 0; i < t.room; i++) mem_free(t.v[i]);
    mem_free(t.v);
    mem_free(where);
    return rc;
}

int vvfat_scan(struct vvfat *s, struct error *e) { return scan(s, VVFAT_ROOT, 0, e); }
