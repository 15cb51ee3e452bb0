/*
 * vmdk.c - VMware disks: opening, requests, information (vmdk.h says how the files divide the work). The layouts follow
 * VMware's technical note "Virtual Disk Format 5.0": descriptors, hosted sparse extents (KDMV), ESX sparse extents
 * (COWD), stream-optimized ones.
 *
 * Not here, and refused by name: SESPARSE extents, raw device mappings.
 */
#include "blockfmt/compress.h"
#include "blockfmt/vmdk.h"
#include "util/json.h"

#include <stdio.h>

#define MAX_DESCRIPTOR (1u << 20)
#define MAX_EXTENTS    8192u
#define MAX_GRAIN      0x20000u /* sectors: 64 MiB */

static int vmdk_probe(const uint8_t *b, size_t n, const char *filename)
{
    const char *p = (const char *)b, *end = p + n;

    if (n >= 4 && (!memcmp(b, "KDMV", 4) || !memcmp(b, "COWD", 4))) return 100;
    /* A descriptor: comments and empty lines, then its version. */
    while (p < end && *p) {
        const char *line = p, *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) break;
        p = stop + 1;
        while (line < stop && (*line == ' ' || *line == '\r')) line++;
        if (line == stop || *line == '#') continue;
        return stop - line >= 9 && !memcmp(line, "version=", 8) && line[8] >= '1' && line[8] <= '3' ? 100 : 0;
    }
    return 0;
}

/* ---- the descriptor ------------------------------------------------------------------------------- */

/* The text behind `key` and '=' at the start of a line; NULL: none. */
static char *find_key(char *desc, const char *key)
{
    size_t n = strlen(key);

    for (char *p = desc; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
        p += strspn(p, " \t");
        if (strncmp(p, key, n)) continue;
        char *q = p + n + strspn(p + n, " \t");
        if (*q == '=') return q + 1 + strspn(q + 1, " \t");
    }
    return NULL;
}

static void get_string(char *desc, const char *key, char *out, size_t room)
{
    char *p = find_key(desc, key);
    size_t n;

    *out = 0;
    if (!p) return;
    if (*p == '"') p++, n = strcspn(p, "\"\r\n");
    else n = strcspn(p, "\r\n");
    n = MIN(n, room - 1);
    memcpy(out, p, n);
    out[n] = 0;
}

static uint32_t get_hex(char *desc, const char *key, uint32_t def)
{
    char *p = find_key(desc, key);
    return p ? (uint32_t)strtoul(p, NULL, 16) : def;
}

/* A new content identifier before the first change, so that images above notice. */
static int renew_cid(struct vmdk *s)
{
    char *p = s->desc ? find_key(s->desc, "CID") : NULL, hex[9];
    uint8_t id[16];
    size_t len;
    int rc;

    s->cid_fresh = true;
    if (!p || strspn(p, "0123456789abcdefABCDEF") != 8) return 0; /* nothing to keep in its place */
    do {
        img_uuid(id);
        s->cid = ld32_be(id);
    } while (s->cid >= 0xfffffffe);
    snprintf(hex, sizeof hex, "%08x", s->cid);
    memcpy(p, hex, 8);
    len = strlen(s->desc);
    rc = blk_node_write(s->desc_file, s->desc_offset + (uint64_t)(p - s->desc), p, MIN((size_t)8, len), 0);
    return rc;
}

/* The image below must be what it was when this one was made over it. */
static int check_parent(struct blk_node *n, struct vmdk *s)
{
    struct blk_node *below;
    const struct vmdk *p;

    if (s->cid_checked) return 0;
    below = blk_node_child(n, "backing");
    if (below && !strcmp(blk_node_driver(below), "vmdk") && s->parent_cid != 0xffffffff) {
        p = blk_state(below);
        if (p->cid != s->parent_cid) return -EINVAL;
    }
    s->cid_checked = true;
    return 0;
}

/* ---- extents -------------------------------------------------------------------------------------- */

static struct vmdk_extent *add_extent(struct vmdk *s, struct blk_node *file, int kind, uint64_t sectors)
{
    uint64_t start = s->n ? s->v[s->n - 1].start + s->v[s->n - 1].sectors : 0;
    struct vmdk_extent *x;

    s->v = mem_realloc(s->v, (s->n + 1) * sizeof *s->v);
    x = &s->v[s->n++];
    *x = (struct vmdk_extent){.file = file, .kind = kind, .start = start, .sectors = sectors, .pending_index = UINT64_MAX};
    if (kind == VMDK_SPARSE) pthread_mutex_init(&x->lock, NULL);
    return x;
}

static int load_directory(struct blk_node *n, struct vmdk_extent *x, uint64_t offset, uint32_t **out, struct error *e)
{
    uint64_t bytes = (uint64_t)x->gd_entries * 4, file = blk_node_size(x->file);
    uint32_t *v;
    int rc;

    if (offset > file / VMDK_SECTOR || bytes > file - offset * VMDK_SECTOR)
        return img_bad_at(e, n, "grain directory beyond the end of the file", offset * VMDK_SECTOR);
    v = mem_alloc((size_t)bytes + 4);
    rc = blk_node_read(x->file, offset * VMDK_SECTOR, v, (size_t)bytes);
    for (uint32_t i = 0; i < x->gd_entries; i++) v[i] = ld32_le(&v[i]);
    *out = v;
    return rc ? img_io_error(e, n, "the grain directory", rc) : 0;
}

static int load_directories(struct blk_node *n, struct vmdk_extent *x, struct error *e)
{
    uint64_t covered = (uint64_t)x->grain * x->per_gt, entries = (x->sectors + covered - 1) / covered;
    uint64_t file = blk_node_size(x->file);
    int rc;

    if (entries > (UINT64_C(512) << 20) / 4) return img_bad(e, n, "L1 size too big", entries);
    x->gd_entries = (uint32_t)entries;
    rc = load_directory(n, x, x->gd_offset, &x->gd, e);
    if (!rc && x->rgd_offset) rc = load_directory(n, x, x->rgd_offset, &x->rgd, e);
    if (rc) return rc;
    x->tables = NEW_ARRAY(uint32_t *, x->gd_entries + 1);
    x->next = x->cowd || (x->flags & VMDK_COMPRESSED) ? ALIGN_UP(file, (uint64_t)VMDK_SECTOR)
                                                      : (file + vmdk_grain_bytes(x) - 1) / vmdk_grain_bytes(x) * vmdk_grain_bytes(x);
    return 0;
}

static int open_cowd(struct blk_node *n, struct vmdk *s, struct blk_node *file, struct error *e)
{
    uint8_t h[44];
    struct vmdk_extent *x;
    int rc = blk_node_read(file, 0, h, sizeof h);

    if (rc) return img_io_error(e, n, "the header", rc);
    if (!ld32_le(h + 16) || ld32_le(h + 16) > MAX_GRAIN) return img_bad(e, n, "invalid granularity", ld32_le(h + 16));
    x = add_extent(s, file, VMDK_SPARSE, ld32_le(h + 12));
    x->cowd = true, x->version = 1;
    x->grain = ld32_le(h + 16), x->per_gt = 4096, x->gd_offset = ld32_le(h + 20);
    return load_directories(n, x, e);
}

static int open_kdmv(struct blk_node *n, struct vmdk *s, struct blk_node *file, unsigned flags, struct error *e)
{
    uint8_t h[512], foot[1536];
    uint64_t size = blk_node_size(file), capacity, grain;
    struct vmdk_extent *x;
    bool at_end = false;
    int rc = blk_node_read(file, 0, h, sizeof h);

    if (rc) return img_io_error(e, n, "the header", rc);
    if (ld64_le(h + K_GD) == VMDK_AT_END) { /* the real header is a footer: marker, header, end marker */
        if (size < sizeof foot) return img_bad(e, n, "no room for the footer in a file of", size);
        rc = blk_node_read(file, ALIGN_DOWN(size, (uint64_t)512) - sizeof foot, foot, sizeof foot);
        if (rc) return img_io_error(e, n, "the footer", rc);
        if (memcmp(foot + 512, "KDMV", 4) || ld32_le(foot + 8) || ld32_le(foot + 12) != 3 || ld32_le(foot + 1024 + 8) ||
            ld32_le(foot + 1024 + 12))
            return img_bad_at(e, n, "invalid footer", size - sizeof foot);
        memcpy(h, foot + 512, 512);
        at_end = true;
    }
    uint32_t version = ld32_le(h + K_VERSION), hflags = ld32_le(h + K_FLAGS);
    if (version > 3) return error_set(e, "Unsupported VMDK version %u", version), -ENOTSUP;
    if (version == 3 && !(flags & BLK_RDONLY) && !(hflags & VMDK_COMPRESSED))
        return error_set(e, "VMDK version 3 must be read only"), -EACCES;
    if ((hflags & VMDK_NEWLINE_TEST) && memcmp(h + K_NEWLINE, "\n \r\n", 4))
        return img_bad_at(e, n, "the file was damaged by a transfer in text mode: line ends", K_NEWLINE);
    capacity = ld64_le(h + K_CAPACITY), grain = ld64_le(h + K_GRAIN);
    if (!grain || grain > MAX_GRAIN) return img_bad(e, n, "Invalid granularity, image may be corrupt:", grain);
    if (capacity > INT64_MAX / VMDK_SECTOR) return img_bad(e, n, "capacity is too large", capacity);
    if (!ld32_le(h + K_PER_GT) || ld32_le(h + K_PER_GT) > 65536)
        return img_bad(e, n, "L2 table size is invalid", ld32_le(h + K_PER_GT));
    if ((hflags & VMDK_COMPRESSED) && ld16_le(h + K_ALGORITHM) != 1)
        return img_bad(e, n, "unknown compression algorithm", ld16_le(h + K_ALGORITHM));
    rc = hflags & VMDK_COMPRESSED ? compress_need(COMPRESS_ZLIB, "a vmdk image with compressed grains", e) : 0;
    if (rc) return rc;
    if (ld64_le(h + K_OVERHEAD) > size / VMDK_SECTOR + 1 && !at_end && !(hflags & VMDK_COMPRESSED)) {
        error_set(e, "vmdk: File truncated, expecting at least %llu bytes",
                  (unsigned long long)MIN(ld64_le(h + K_OVERHEAD), UINT64_MAX / VMDK_SECTOR) * VMDK_SECTOR);
        return -EINVAL;
    }
    x = add_extent(s, file, VMDK_SPARSE, capacity);
    x->version = version, x->flags = hflags, x->grain = (uint32_t)grain, x->per_gt = ld32_le(h + K_PER_GT);
    x->gd_offset = ld64_le(h + K_GD), x->rgd_offset = hflags & VMDK_REDUNDANT ? ld64_le(h + K_RGD) : 0;
    x->gd_at_end = at_end;
    return load_directories(n, x, e);
}

static int open_sparse(struct blk_node *n, struct vmdk *s, struct blk_node *file, unsigned flags, struct error *e)
{
    uint8_t magic[4];
    int rc = blk_node_read(file, 0, magic, 4);

    if (rc) return img_io_error(e, n, "the header", rc);
    if (!memcmp(magic, "KDMV", 4)) return open_kdmv(n, s, file, flags, e);
    if (!memcmp(magic, "COWD", 4)) return open_cowd(n, s, file, e);
    return error_set(e, "'%s' is no sparse extent", blk_node_filename(file)), -EINVAL;
}

/* `RW 4194304 SPARSE "name" [offset]` */
static int extent_line(struct blk_node *n, struct vmdk *s, const struct opts *o, const char *line, unsigned flags, struct error *e)
{
    char access[12], type[16], name[512] = "", role[32];
    unsigned long long sectors = 0, offset = 0;
    struct vmdk_extent *x;
    struct blk_node *file;
    char *path;
    int got = sscanf(line, "%11s %llu %15s \"%511[^\n\r\"]\" %llu", access, &sectors, type, name, &offset), rc = 0;

    if (got < 3) return 0;
    bool flat = !strcmp(type, "FLAT") || !strcmp(type, "VMFS");
    if (!sectors || sectors > INT64_MAX / VMDK_SECTOR ||
        (s->n && sectors > INT64_MAX / VMDK_SECTOR - s->v[s->n - 1].start - s->v[s->n - 1].sectors))
        return error_set(e, "Invalid extent line: %.*s", (int)strcspn(line, "\r\n"), line), -EINVAL;
    if (s->n >= MAX_EXTENTS) return error_set(e, "vmdk: more than %u extents", MAX_EXTENTS), -EFBIG;
    if (!strcmp(type, "ZERO")) {
        x = add_extent(s, NULL, VMDK_ZERO, sectors);
        snprintf(x->format, sizeof x->format, "%s", type);
    } else {
        if (!flat && strcmp(type, "SPARSE") && strcmp(type, "VMFSSPARSE"))
            return error_set(e, "Unsupported extent type '%s'", type), -ENOTSUP;
        if (got < 4 || (!strcmp(type, "FLAT") && got < 5) || offset > INT64_MAX / VMDK_SECTOR)
            return error_set(e, "Invalid extent line: %.*s", (int)strcspn(line, "\r\n"), line), -EINVAL;
        path = blk_path_combine(blk_node_filename(blk_file(n)), name);
        snprintf(role, sizeof role, "extents.%u", s->n);
        file = blk_open_child(n, o, role, path, false, e);
        mem_free(path);
        if (!file) return -EINVAL;
        if (flat) {
            x = add_extent(s, file, VMDK_FLAT, sectors);
            x->flat_offset = offset * VMDK_SECTOR;
            if (blk_node_size(file) < x->flat_offset || blk_node_size(file) - x->flat_offset < sectors * VMDK_SECTOR) {
                error_set(e, "vmdk: extent file '%s' is too short (%llu bytes)", name, (unsigned long long)blk_node_size(file));
                return -EINVAL;
            }
        } else {
            rc = open_sparse(n, s, file, flags, e);
            if (rc) return rc;
            x = &s->v[s->n - 1];
            if (x->sectors < sectors) return img_bad(e, n, "a sparse extent is shorter than the descriptor says", x->sectors);
            x->sectors = sectors;
        }
        snprintf(x->format, sizeof x->format, "%s", type);
        snprintf(x->name, sizeof x->name, "%.255s", blk_node_filename(file));
    }
    x->readonly = strcmp(access, "RW") != 0, x->no_access = !strcmp(access, "NOACCESS");
    return 0;
}

static int open_extents(struct blk_node *n, struct vmdk *s, const struct opts *o, unsigned flags, struct error *e)
{
    static const char *const types[] = {"monolithicFlat", "monolithicSparse", "vmfs", "vmfsSparse", "twoGbMaxExtentSparse",
                                        "twoGbMaxExtentFlat", "streamOptimized", "custom"};
    bool known = false;
    int rc = 0;

    for (size_t i = 0; i < ARRAY_LEN(types); i++) known |= !strcmp(s->create_type, types[i]);
    if (!known) return error_set(e, "Unsupported image type '%s'", s->create_type), -ENOTSUP;
    for (const char *p = s->desc; p && !rc; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
        p += strspn(p, " \t");
        if (!strncmp(p, "RW ", 3) || !strncmp(p, "RDONLY ", 7) || !strncmp(p, "NOACCESS ", 9)) rc = extent_line(n, s, o, p, flags, e);
    }
    if (!rc && !s->n) return error_set(e, "vmdk: the descriptor names no extent"), -EINVAL;
    return rc;
}

/* ---- opening -------------------------------------------------------------------------------------- */

static int read_descriptor(struct blk_node *n, struct vmdk *s, uint64_t offset, uint64_t len, struct error *e)
{
    int rc;

    s->desc = mem_zalloc((size_t)len + 1);
    rc = blk_node_read(blk_file(n), offset, s->desc, (size_t)len);
    s->desc_file = blk_file(n), s->desc_offset = offset;
    if (rc) return img_io_error(e, n, "the descriptor", rc);
    get_string(s->desc, "createType", s->create_type, sizeof s->create_type);
    s->cid = get_hex(s->desc, "CID", 0xffffffff);
    s->parent_cid = get_hex(s->desc, "parentCID", 0xffffffff);
    char parent[1024];
    get_string(s->desc, "parentFileNameHint", parent, sizeof parent);
    if (*parent) blk_set_backing_name(n, parent, "vmdk");
    return 0;
}

static void free_all(struct vmdk *s)
{
    for (unsigned i = 0; i < s->n; i++) vmdk_extent_free(&s->v[i]);
    mem_free(s->v);
    mem_free(s->desc);
}

static int vmdk_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct vmdk *s = blk_state(n);
    struct blk_node *file = blk_file(n);
    uint8_t h[512];
    int rc = blk_node_read(file, 0, h, sizeof h);

    s->cid = s->parent_cid = 0xffffffff;
    if (rc) {
        img_io_error(e, n, "the header", rc);
    } else if (!memcmp(h, "KDMV", 4) || !memcmp(h, "COWD", 4)) {
        rc = open_sparse(n, s, file, flags, e);
        uint64_t at = ld64_le(h + K_DESC), len = ld64_le(h + K_DESC_SIZE), size = blk_node_size(file) / VMDK_SECTOR;
        if (!rc && h[0] == 'K' && at) {
            if (at > size || len > size - at || len > MAX_DESCRIPTOR / VMDK_SECTOR)
                rc = img_bad_at(e, n, "the descriptor is too long or lies beyond the end of the file,", MIN(at, size) * VMDK_SECTOR);
            else rc = read_descriptor(n, s, at * VMDK_SECTOR, len * VMDK_SECTOR, e);
            s->desc_room = len * VMDK_SECTOR;
        }
        if (!rc) snprintf(s->v[0].name, sizeof s->v[0].name, "%.255s", blk_node_filename(file));
        /* An extent of a split disk is opened alone: a disk of its own. */
        if (!rc && s->desc && !*s->create_type) snprintf(s->create_type, sizeof s->create_type, "monolithicSparse");
    } else {
        uint64_t size = blk_node_size(file);
        if (size > MAX_DESCRIPTOR) rc = img_bad(e, n, "the descriptor is too long", size);
        if (!rc && !vmdk_probe(h, sizeof h, "")) {
            error_set(e, "Image not in VMDK format");
            rc = -EINVAL;
        }
        if (!rc) rc = read_descriptor(n, s, 0, size, e);
        if (!rc) rc = open_extents(n, s, o, flags, e);
    }
    if (rc) {
        free_all(s);
        return rc;
    }
    blk_set_size(n, (s->v[s->n - 1].start + s->v[s->n - 1].sectors) * VMDK_SECTOR);
    return 0;
}

static int vmdk_flush(struct blk_node *n)
{
    struct vmdk *s = blk_state(n);
    int rc = 0;

    for (unsigned i = 0; i < s->n && !rc; i++) rc = vmdk_extent_flush(n, &s->v[i]);
    return rc;
}

static void vmdk_close(struct blk_node *n)
{
    if (!(blk_node_flags(n) & BLK_RDONLY)) (void)vmdk_flush(n);
    free_all(blk_state(n));
}

static int vmdk_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    struct vmdk *s = blk_state(n);
    int rc = blk_node_flags(n) & BLK_RDONLY ? 0 : vmdk_flush(n);

    if (rc) return img_io_error(e, n, "a compressed grain", rc);
    for (unsigned i = 0; i < s->n && !(flags & BLK_RDONLY); i++) {
        if (s->v[i].kind == VMDK_SPARSE && s->v[i].version == 3 && !(s->v[i].flags & VMDK_COMPRESSED))
            return error_set(e, "VMDK version 3 must be read only"), -EACCES;
    }
    return 0;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static struct vmdk_extent *extent_at(const struct vmdk *s, uint64_t sector)
{
    unsigned lo = 0, hi = s->n - 1;

    while (lo < hi) {
        unsigned mid = (lo + hi + 1) / 2;
        if (s->v[mid].start <= sector) lo = mid;
        else hi = mid - 1;
    }
    return &s->v[lo];
}

/* The part of a request that lies in one extent. */
static struct vmdk_extent *piece(const struct vmdk *s, uint64_t offset, uint64_t len, uint64_t *in, uint64_t *run)
{
    struct vmdk_extent *x = extent_at(s, offset / VMDK_SECTOR);

    *in = offset - x->start * VMDK_SECTOR;
    *run = MIN(len, x->sectors * VMDK_SECTOR - *in);
    return x;
}

static int vmdk_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct vmdk *s = blk_state(n);
    uint8_t *p = buf;
    uint64_t in, run;
    int rc = check_parent(n, s);

    for (; len && !rc; p += run, offset += run, len -= (size_t)run) {
        struct vmdk_extent *x = piece(s, offset, len, &in, &run);
        if (x->no_access) rc = -EACCES;
        else if (x->kind == VMDK_ZERO) memset(p, 0, (size_t)run);
        else if (x->kind == VMDK_FLAT) rc = blk_node_read(x->file, x->flat_offset + in, p, (size_t)run);
        else rc = vmdk_extent_read(n, x, in, p, run);
    }
    return rc;
}

static int vmdk_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct vmdk *s = blk_state(n);
    const uint8_t *p = buf;
    uint64_t in, run;
    int rc = check_parent(n, s);

    /* BLK_COMPRESSED: whether grains are compressed is a matter of the extent; elsewhere they are written as they are. */
    if (!rc && !s->cid_fresh) rc = renew_cid(s);
    for (; len && !rc; p += run, offset += run, len -= (size_t)run) {
        struct vmdk_extent *x = piece(s, offset, len, &in, &run);
        if (x->readonly) rc = -EACCES;
        else if (x->kind == VMDK_ZERO) rc = -EIO;
        else if (x->kind == VMDK_FLAT) rc = blk_node_write(x->file, x->flat_offset + in, p, (size_t)run, 0);
        else rc = vmdk_extent_write(n, x, in, p, run);
    }
    return rc;
}

static int vmdk_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct vmdk *s = blk_state(n);
    uint64_t in, run;
    int rc = check_parent(n, s);

    if (!rc && !s->cid_fresh) rc = renew_cid(s);
    for (; len && !rc; offset += run, len -= run) {
        struct vmdk_extent *x = piece(s, offset, len, &in, &run);
        if (x->kind == VMDK_ZERO) continue;
        if (x->readonly) rc = -EACCES;
        else if (x->kind == VMDK_FLAT) rc = blk_node_zero(x->file, x->flat_offset + in, run, flags);
        else rc = vmdk_extent_zero(n, x, in, run, flags);
    }
    return rc;
}

static int vmdk_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct vmdk *s = blk_state(n);
    uint64_t in, run, host, next, whole, k;
    struct vmdk_extent *x = piece(s, offset, len, &in, &run);
    int what, other, rc;

    st->bytes = run;
    if (x->kind == VMDK_ZERO) return st->flags = BLK_ST_ZERO, 0;
    if (x->kind == VMDK_FLAT) {
        st->flags = BLK_ST_DATA | BLK_ST_OFFSET | BLK_ST_RECURSE;
        st->offset = x->flat_offset + in, st->file = x->file;
        return 0;
    }
    whole = vmdk_grain_bytes(x);
    if (x->pending_index == in / whole) {
        st->flags = BLK_ST_DATA | BLK_ST_COMPRESSED;
        st->bytes = MIN(run, whole - in % whole);
        return 0;
    }
    rc = vmdk_lookup(x, in, &what, &host);
    for (k = MIN(run, whole - in % whole); !rc && k < run; k += MIN(run - k, whole)) {
        rc = vmdk_lookup(x, in + k, &other, &next);
        if (rc || other != what || x->pending_index == (in + k) / whole) break;
        if (what == VMDK_DATA && !(x->flags & VMDK_COMPRESSED) && next != host + k) break;
    }
    if (rc) return rc;
    st->bytes = k;
    if (what == VMDK_ZEROED) {
        st->flags = BLK_ST_ZERO;
    } else if (what == VMDK_DATA && (x->flags & VMDK_COMPRESSED)) {
        st->flags = BLK_ST_DATA | BLK_ST_COMPRESSED;
    } else if (what == VMDK_DATA) {
        st->flags = BLK_ST_DATA | BLK_ST_OFFSET;
        st->offset = host, st->file = x->file;
    }
    return 0;
}

/* ---- information ---------------------------------------------------------------------------------- */

static int vmdk_info(struct blk_node *n, struct blk_info *i)
{
    struct vmdk *s = blk_state(n);
    bool all = true;

    for (unsigned k = 0; k < s->n; k++) all &= s->v[k].kind == VMDK_SPARSE;
    if (all) i->cluster_size = (uint32_t)vmdk_grain_bytes(&s->v[0]);
    /* Of a split disk, the parts are what takes room. */
    for (unsigned k = 0; k < s->n; k++) {
        struct blk_info below;
        if (!s->v[k].file || s->v[k].file == blk_file(n) || blk_node_info(s->v[k].file, &below)) continue;
        if (i->allocated != UINT64_MAX && below.allocated != UINT64_MAX) i->allocated += below.allocated;
    }
    i->zero_init = all && !blk_node_backing(n);
    return 0;
}

static void vmdk_info_specific(struct blk_node *n, struct json_out *j)
{
    struct vmdk *s = blk_state(n);

    jout_uint(j, "cid", s->cid);
    jout_uint(j, "parent-cid", s->parent_cid);
    jout_string(j, "create-type", s->create_type);
    jout_array(j, "extents");
    for (unsigned i = 0; i < s->n; i++) {
        struct vmdk_extent *x = &s->v[i];
        jout_object(j, NULL);
        if (x->flags & VMDK_COMPRESSED) jout_bool(j, "compressed", true);
        jout_uint(j, "virtual-size", x->sectors * VMDK_SECTOR);
        jout_string(j, "filename", x->name);
        if (x->kind == VMDK_SPARSE) jout_uint(j, "cluster-size", vmdk_grain_bytes(x));
        jout_string(j, "format", x->format);
        jout_end(j, '}');
    }
    jout_end(j, ']');
}

static int vmdk_check(struct blk_node *n, unsigned fix, struct blk_check *c, struct error *e)
{
    struct vmdk *s = blk_state(n);

    if (fix) return error_set(e, "vmdk: repairing is not supported"), -ENOTSUP;
    for (unsigned i = 0; i < s->n; i++) {
        if (s->v[i].kind == VMDK_SPARSE) vmdk_extent_check(n, &s->v[i], c);
    }
    return 0;
}

static const struct opt_desc vmdk_opts[] = {
    {"extents.*", OPT_STRING, "the files of extents, by number"},
    {NULL, OPT_STRING, NULL},
};

const struct blk_driver blk_drv_vmdk = {
    .name = "vmdk",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_READERS,
    .compresses = true,
    .state_size = sizeof(struct vmdk),
    .backing = true,
    .open_opts = vmdk_opts,
    .create_opts = vmdk_create_opts,
    .probe = vmdk_probe,
    .open = vmdk_open,
    .close = vmdk_close,
    .reopen = vmdk_reopen,
    .create = vmdk_create,
    .read = vmdk_read,
    .write = vmdk_write,
    .zero = vmdk_zero,
    .flush = vmdk_flush,
    .status = vmdk_status,
    .info = vmdk_info,
    .info_specific = vmdk_info_specific,
    .check = vmdk_check,
};
