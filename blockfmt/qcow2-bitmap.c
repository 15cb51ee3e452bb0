/*
 * qcow2-bitmap.c - dirty bitmaps kept in an image (the "bitmaps" header extension). While an image is open for
 * writing its bitmaps live in memory (bitmap.c marks them) and the directory says "in use"; closing stores them.
 * An image whose writer died shows them as inconsistent.
 */
#include "blockfmt/qcow2.h"
#include "util/json.h"

#define MAX_BITMAPS   65535u
#define MAX_DIRECTORY (64u << 20)
#define MAX_TABLE     (1u << 23) /* entries */

static void free_entry(struct qcow2_bitmap *b)
{
    mem_free(b->name);
    mem_free(b->extra);
}

void qcow2_bitmaps_free(struct qcow2 *s)
{
    for (uint32_t i = 0; s->bitmaps && i < s->n_bitmaps; i++) free_entry(&s->bitmaps[i]);
    mem_free(s->bitmaps);
    s->bitmaps = NULL;
    s->n_bitmaps = 0;
}

int qcow2_bitmaps_parse(struct qcow2 *s, const uint8_t *p, uint32_t len, struct error *e)
{
    if (len != 24) return error_set(e, "bitmaps_ext: Invalid extension length"), -EINVAL;
    /* Who wrote without knowing them has cleared the bit: they are stale. */
    if (!(s->autoclear & QCOW2_AUTOCLEAR_BITMAPS)) return 0;
    s->n_bitmaps = ld32_be(p), s->bitmap_dir_size = ld64_be(p + 8), s->bitmap_dir_offset = ld64_be(p + 16);
    if (ld32_be(p + 4)) return error_set(e, "bitmaps_ext: Reserved field is not zero"), -EINVAL;
    if (!s->n_bitmaps) return error_set(e, "found bitmaps extension with zero bitmaps"), -EINVAL;
    if (s->n_bitmaps > MAX_BITMAPS)
        return error_set(e, "bitmaps_ext: image has %u bitmaps, exceeding the supported maximum of %u", s->n_bitmaps, MAX_BITMAPS), -EINVAL;
    if (!s->bitmap_dir_offset || (s->bitmap_dir_offset & qcow2_cluster_mask(s)) || s->bitmap_dir_offset > QCOW2_OFFSET_MASK)
        return error_set(e, "bitmaps_ext: invalid bitmap directory offset 0x%llx", (unsigned long long)s->bitmap_dir_offset), -EINVAL;
    if (s->bitmap_dir_size > MAX_DIRECTORY || s->bitmap_dir_size < 24)
        return error_set(e, "bitmaps_ext: bitmap directory size (%llu) is invalid", (unsigned long long)s->bitmap_dir_size), -EINVAL;
    return 0;
}

static int bad(struct error *e, uint32_t i, const char *what)
{
    error_set(e, "bitmap directory: entry %u: %s", i, what);
    return -EINVAL;
}

static int read_directory(struct qcow2 *s, struct error *e)
{
    size_t size = (size_t)s->bitmap_dir_size, at = 0;
    uint8_t *d = mem_alloc(size);
    int rc = blk_node_read(s->file, s->bitmap_dir_offset, d, size);

    s->bitmaps = NEW_ARRAY(struct qcow2_bitmap, s->n_bitmaps);
    if (rc) error_set(e, "Failed to read bitmap directory: %s", strerror(-rc));
    for (uint32_t i = 0; i < s->n_bitmaps && !rc; i++) {
        struct qcow2_bitmap *b = &s->bitmaps[i];
        const uint8_t *p = d + at;
        if (size - at < 24) {
            rc = bad(e, i, "the directory is too short");
            break;
        }
        uint32_t name = ld16_be(p + 18), extra = ld32_be(p + 20);
        *b = (struct qcow2_bitmap){.table_offset = ld64_be(p), .table_size = ld32_be(p + 8), .flags = ld32_be(p + 12),
                                   .type = p[16], .granularity_bits = p[17]};
        if (extra > size || 24 + (uint64_t)extra + name > size - at) rc = bad(e, i, "its name is outside the directory");
        else if (!name || name > 1023) rc = bad(e, i, "its name is empty or too long");
        else if (b->granularity_bits < 9 || b->granularity_bits > 31) rc = bad(e, i, "granularity is out of range");
        else if ((b->table_offset & qcow2_cluster_mask(s)) || b->table_offset > QCOW2_OFFSET_MASK ||
                 b->table_size > MAX_TABLE || (b->table_size && !b->table_offset))
            rc = bad(e, i, "its table is in an impossible place");
        if (rc) break;
        b->name = mem_zalloc(name + 1);
        memcpy(b->name, p + 24 + extra, name);
        b->extra_len = extra;
        b->extra = extra ? mem_alloc(extra) : NULL;
        if (extra) memcpy(b->extra, p + 24, extra);
        at += ALIGN_UP(24 + (size_t)extra + name, (size_t)8);
        at = MIN(at, size);
    }
    mem_free(d);
    return rc;
}

/* ---- contents ------------------------------------------------------------------------------------- */

/* One bit of the file is 1 << granularity_bits bytes of the disk. */
static void set_bits(struct blk_bitmap *bm, const uint8_t *p, size_t n, uint64_t first, unsigned shift)
{
    for (size_t i = 0; i < n * 8;) {
        size_t k = i;
        if (!(i & 7) && !p[i / 8]) {
            i += 8;
            continue;
        }
        while (k < n * 8 && (p[k / 8] >> (k & 7) & 1)) k++;
        if (k > i) blk_bitmap_set(bm, (first + i) << shift, (uint64_t)(k - i) << shift);
        i = k > i ? k : i + 1;
    }
}

static int load_one(struct qcow2 *s, const struct qcow2_bitmap *b, struct blk_bitmap *bm)
{
    uint64_t *t = NEW_ARRAY(uint64_t, b->table_size + 1), bits = (uint64_t)s->cluster_size * 8;
    uint64_t all = (s->size + (UINT64_C(1) << b->granularity_bits) - 1) >> b->granularity_bits;
    uint8_t *data = mem_alloc(s->cluster_size);
    int rc = blk_node_read(s->file, b->table_offset, t, (size_t)b->table_size * 8);

    if (!rc && b->table_size != (all + bits - 1) / bits) rc = -EINVAL;
    for (uint32_t i = 0; i < b->table_size && !rc; i++) {
        uint64_t e = ld64_be(&t[i]), at = e & QCOW2_OFFSET_MASK;
        if (at & qcow2_cluster_mask(s)) {
            rc = -EINVAL;
        } else if (at) {
            rc = blk_node_read(s->file, at, data, s->cluster_size);
            if (!rc) set_bits(bm, data, s->cluster_size, i * bits, b->granularity_bits);
        } else if (e & 1) {
            blk_bitmap_set(bm, (i * bits) << b->granularity_bits, bits << b->granularity_bits);
        }
    }
    mem_free(data);
    mem_free(t);
    return rc;
}

/* Says on disk whether they are open: the flag of each, where it stands. */
static int mark_directory(struct qcow2 *s, bool in_use)
{
    uint64_t at = s->bitmap_dir_offset;
    int rc = 0;

    for (uint32_t i = 0; i < s->n_bitmaps && !rc; i++) {
        struct qcow2_bitmap *b = &s->bitmaps[i];
        uint32_t flags = in_use ? b->flags | QCOW2_BITMAP_IN_USE : b->flags;
        uint8_t be[4];
        st32_be(be, flags);
        if (flags != b->flags) rc = blk_node_write(s->file, at + 12, be, 4, 0);
        at += ALIGN_UP(24 + (uint64_t)b->extra_len + strlen(b->name), (uint64_t)8);
    }
    return rc ? rc : blk_node_flush(s->file);
}

int qcow2_bitmaps_load(struct qcow2 *s, unsigned flags, struct error *e)
{
    bool readonly = (flags & (BLK_RDONLY | BLK_CHECK)) != 0;
    int rc;

    if (!s->n_bitmaps) return 0;
    rc = s->bitmaps ? 0 : read_directory(s, e);
    for (uint32_t i = 0; i < s->n_bitmaps && !rc; i++) {
        const struct qcow2_bitmap *b = &s->bitmaps[i];
        struct blk_bitmap *bm = blk_bitmap_find(s->node, b->name);
        unsigned f = BLK_BITMAP_PERSISTENT | (readonly ? BLK_BITMAP_READONLY : 0);
        bool known = b->type == 1 && !(b->flags & ~(uint32_t)(QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO | QCOW2_BITMAP_EXTRA_OK)) &&
                     (!b->extra_len || (b->flags & QCOW2_BITMAP_EXTRA_OK));
        if (b->flags & QCOW2_BITMAP_AUTO) f |= BLK_BITMAP_ENABLED;
        if (!bm) {
            if (!known || (flags & (BLK_CHECK | BLK_NO_IO))) continue;
            bm = blk_bitmap_new(s->node, b->name, UINT32_C(1) << b->granularity_bits, false, e);
            if (!bm) return -EINVAL;
            blk_bitmap_set_flags(bm, f & ~(unsigned)BLK_BITMAP_ENABLED);
            if (b->flags & QCOW2_BITMAP_IN_USE) {
                f = (f | BLK_BITMAP_INCONSISTENT) & ~(unsigned)BLK_BITMAP_ENABLED;
            } else if ((rc = load_one(s, b, bm))) {
                error_set(e, "Could not read bitmap '%s' from image: %s", b->name, strerror(-rc));
                break;
            }
        } else {
            f |= blk_bitmap_flags(bm) & (BLK_BITMAP_INCONSISTENT | BLK_BITMAP_BUSY);
            if (f & BLK_BITMAP_INCONSISTENT) f &= ~(unsigned)BLK_BITMAP_ENABLED;
        }
        blk_bitmap_set_flags(bm, f);
    }
    if (!rc && !readonly && !s->bitmaps_in_use) {
        rc = mark_directory(s, true);
        if (rc) error_set(e, "Failed to mark bitmaps as in use: %s", strerror(-rc));
        else s->bitmaps_in_use = true;
    }
    return rc;
}

/* ---- storing -------------------------------------------------------------------------------------- */

static int free_table(struct qcow2 *s, const struct qcow2_bitmap *b)
{
    uint64_t *t = NEW_ARRAY(uint64_t, b->table_size + 1);
    int rc = blk_node_read(s->file, b->table_offset, t, (size_t)b->table_size * 8);

    for (uint32_t i = 0; i < b->table_size && !rc; i++) {
        uint64_t at = ld64_be(&t[i]) & QCOW2_OFFSET_MASK;
        if (at && !(at & qcow2_cluster_mask(s))) rc = qcow2_free_later(s, at, s->cluster_size);
    }
    if (!rc && b->table_size) rc = qcow2_free_later(s, b->table_offset, (uint64_t)b->table_size * 8);
    mem_free(t);
    return rc;
}

/* Writes what a bitmap holds to new clusters; fills table_offset and table_size. */
static int store_one(struct qcow2 *s, const struct blk_bitmap *bm, struct qcow2_bitmap *b)
{
    uint64_t bits = (uint64_t)s->cluster_size * 8, all = (s->size + (UINT64_C(1) << b->granularity_bits) - 1) >> b->granularity_bits;
    uint64_t n = (all + bits - 1) / bits, at = 0, len = 0, where;
    uint64_t *t = NEW_ARRAY(uint64_t, n + 1);
    uint8_t *data = mem_alloc(s->cluster_size);
    bool more = blk_bitmap_run(bm, &at, &len);
    int rc = n > MAX_TABLE ? -EFBIG : 0;

    for (uint64_t i = 0; i < n && !rc; i++) {
        uint64_t first = i * bits, end = MIN(first + bits, all);
        memset(data, 0, s->cluster_size);
        while (more) {
            uint64_t a = at >> b->granularity_bits, z = (at + len + (UINT64_C(1) << b->granularity_bits) - 1) >> b->granularity_bits;
            if (a >= end) break;
            for (uint64_t x = MAX(a, first); x < MIN(z, end); x++) data[(x - first) / 8] |= (uint8_t)(1u << ((x - first) & 7));
            if (z > end) break; /* goes on in the next cluster */
            at += len;
            more = at < s->size && blk_bitmap_run(bm, &at, &len);
        }
        if (blk_is_zero(data, s->cluster_size)) continue;
        rc = qcow2_alloc(s, 1, true, &where, NULL);
        if (!rc) rc = blk_node_write(s->file, where, data, s->cluster_size, 0);
        st64_be(&t[i], where);
    }
    if (!rc && n) rc = qcow2_alloc(s, (n * 8 + s->cluster_size - 1) >> s->cluster_bits, true, &where, NULL);
    if (!rc && n) rc = blk_node_write(s->file, where, t, (size_t)n * 8, 0);
    b->table_offset = n ? where : 0, b->table_size = (uint32_t)n;
    mem_free(data);
    mem_free(t);
    return rc;
}

static int write_directory(struct qcow2 *s)
{
    uint64_t size = 0, at = 0;
    uint8_t *d, *p;
    int rc = 0;

    for (uint32_t i = 0; i < s->n_bitmaps; i++)
        size += ALIGN_UP(24 + (uint64_t)s->bitmaps[i].extra_len + strlen(s->bitmaps[i].name), (uint64_t)8);
    p = d = mem_zalloc((size_t)size + 1);
    for (uint32_t i = 0; i < s->n_bitmaps; i++) {
        const struct qcow2_bitmap *b = &s->bitmaps[i];
        size_t name = strlen(b->name);
        st64_be(p, b->table_offset);
        st32_be(p + 8, b->table_size);
        st32_be(p + 12, b->flags);
        p[16] = b->type, p[17] = b->granularity_bits;
        st16_be(p + 18, (uint16_t)name);
        st32_be(p + 20, b->extra_len);
        if (b->extra_len) memcpy(p + 24, b->extra, b->extra_len);
        memcpy(p + 24 + b->extra_len, b->name, name);
        p += ALIGN_UP(24 + (size_t)b->extra_len + name, (size_t)8);
    }
    if (size) rc = qcow2_alloc(s, (size + s->cluster_size - 1) >> s->cluster_bits, true, &at, NULL);
    if (!rc && size) rc = blk_node_write(s->file, at, d, (size_t)size, 0);
    mem_free(d);
    if (!rc) rc = qcow2_writeback(s);
    if (!rc) rc = blk_node_flush(s->file);
    if (rc) return rc;
    s->bitmap_dir_offset = at, s->bitmap_dir_size = size;
    if (size) s->autoclear |= QCOW2_AUTOCLEAR_BITMAPS;
    else s->autoclear &= ~(uint64_t)QCOW2_AUTOCLEAR_BITMAPS;
    rc = qcow2_header_write(s, NULL, NULL);
    return rc ? rc : blk_node_flush(s->file);
}

int qcow2_bitmaps_store(struct qcow2 *s, struct error *e)
{
    struct qcow2_bitmap *old = s->bitmaps, *now = NULL;
    uint32_t n_old = s->n_bitmaps, n = 0;
    uint64_t old_dir = s->bitmap_dir_offset, old_size = s->bitmap_dir_size;
    bool *kept = NEW_ARRAY(bool, n_old + 1);
    int rc = 0;

    for (struct blk_bitmap *bm = blk_bitmap_next(s->node, NULL); bm && !rc; bm = blk_bitmap_next(s->node, bm)) {
        unsigned f = blk_bitmap_flags(bm);
        uint32_t i = 0;
        if (!(f & BLK_BITMAP_PERSISTENT)) continue;
        now = mem_realloc(now, (n + 1) * sizeof *now);
        while (i < n_old && strcmp(old[i].name, blk_bitmap_name(bm))) i++;
        struct qcow2_bitmap b = {.type = 1, .granularity_bits = (uint8_t)host_ctz32(blk_bitmap_granularity(bm))};
        if (f & BLK_BITMAP_ENABLED) b.flags |= QCOW2_BITMAP_AUTO;
        if (i < n_old && (f & BLK_BITMAP_INCONSISTENT)) {
            b = old[i]; /* stays as it is, and inconsistent */
            b.flags |= QCOW2_BITMAP_IN_USE;
            kept[i] = true;
        } else {
            rc = store_one(s, bm, &b);
        }
        b.extra = NULL, b.extra_len = 0, b.name = mem_strdup(blk_bitmap_name(bm));
        now[n++] = b;
    }
    /* What we do not understand is kept. */
    for (uint32_t i = 0; i < n_old && !rc; i++) {
        if (kept[i] || blk_bitmap_find(s->node, old[i].name) || (old[i].type == 1 && !old[i].extra_len)) continue;
        now = mem_realloc(now, (n + 1) * sizeof *now);
        now[n] = old[i];
        now[n].name = mem_strdup(old[i].name);
        now[n].extra = old[i].extra_len ? mem_alloc(old[i].extra_len) : NULL;
        if (old[i].extra_len) memcpy(now[n].extra, old[i].extra, old[i].extra_len);
        n++;
        kept[i] = true;
    }
    if (!rc && (n || n_old)) {
        s->bitmaps = now, s->n_bitmaps = n;
        rc = write_directory(s);
        if (!rc && old_size) rc = qcow2_free_later(s, old_dir, old_size);
        for (uint32_t i = 0; i < n_old && !rc; i++) {
            if (!kept[i]) rc = free_table(s, &old[i]);
        }
        for (uint32_t i = 0; i < n_old; i++) free_entry(&old[i]);
        mem_free(old);
    } else {
        for (uint32_t i = 0; i < n; i++) free_entry(&now[i]);
        mem_free(now);
    }
    mem_free(kept);
    s->bitmaps_in_use = false;
    if (rc) error_set(e, "could not store dirty bitmaps: %s", strerror(-rc));
    return rc;
}

bool qcow2_can_store_bitmap(struct blk_node *n, const char *name, uint32_t granularity, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    uint64_t bits = (uint64_t)s->cluster_size * 8, all = (s->size + granularity - 1) / granularity;

    if (s->version < 3) return error_set(e, "Cannot store dirty bitmaps in qcow2 v2 files"), false;
    if (granularity < 512 || granularity > UINT32_C(1) << 31)
        return error_set(e, "Granularity is out of range for a stored bitmap"), false;
    if (s->n_bitmaps >= MAX_BITMAPS) return error_set(e, "Maximum number of persistent bitmaps is already reached"), false;
    if ((all + bits - 1) / bits > MAX_TABLE)
        return error_set(e, "Too much space will be occupied by the bitmap. Use larger granularity"), false;
    if (blk_node_flags(n) & BLK_RDONLY) return error_set(e, "the image is read-only"), false;
    return true;
}

void qcow2_bitmaps_info(struct qcow2 *s, struct json_out *j)
{
    if (!s->n_bitmaps || !s->bitmaps) return;
    jout_array(j, "bitmaps");
    for (uint32_t i = 0; i < s->n_bitmaps; i++) {
        const struct qcow2_bitmap *b = &s->bitmaps[i];
        jout_object(j, NULL);
        jout_array(j, "flags");
        if (b->flags & QCOW2_BITMAP_IN_USE) jout_string(j, NULL, "in-use");
        if (b->flags & QCOW2_BITMAP_AUTO) jout_string(j, NULL, "auto");
        jout_end(j, ']');
        jout_string(j, "name", b->name);
        jout_uint(j, "granularity", UINT64_C(1) << b->granularity_bits);
        jout_end(j, '}');
    }
    jout_end(j, ']');
}
