/*
 * vmdk-extent.c - one sparse extent: its directory and tables, grains as they are and compressed ones (see vmdk.h).
 *
 * Compressed grains have no fixed place: a grain that is written again goes to the end of the file. Pieces of one grain
 * that are written one after the other are gathered in memory, and compressed when another grain follows or at a flush.
 */
#include "blockfmt/compress.h"
#include "blockfmt/vmdk.h"

void vmdk_extent_free(struct vmdk_extent *x)
{
    if (x->kind != VMDK_SPARSE) return;
    for (uint32_t i = 0; x->tables && i < x->gd_entries; i++) mem_free(x->tables[i]);
    mem_free(x->tables);
    mem_free(x->gd);
    mem_free(x->rgd);
    mem_free(x->pending);
    pthread_mutex_destroy(&x->lock);
}

/* ---- tables --------------------------------------------------------------------------------------- */

/* The table with the number i, in memory; NULL in *t: there is none in the file. Under the lock. */
static int table(struct vmdk_extent *x, uint32_t i, uint32_t **t)
{
    uint64_t at = (uint64_t)x->gd[i] * VMDK_SECTOR, bytes = (uint64_t)x->per_gt * 4, file = blk_node_size(x->file);
    uint32_t *v;
    int rc;

    *t = x->tables[i];
    if (*t || !x->gd[i]) return 0;
    if (at > file || bytes > file - at) return -EIO; /* a table beyond the end */
    if (x->kept >= VMDK_TABLES_KEPT) { /* make room: the next one that is there */
        while (!x->tables[x->clock]) x->clock = (x->clock + 1) % x->gd_entries;
        mem_free(x->tables[x->clock]);
        x->tables[x->clock] = NULL;
        x->kept--;
    }
    v = mem_alloc((size_t)bytes);
    rc = blk_node_read(x->file, at, v, (size_t)bytes);
    if (rc) {
        mem_free(v);
        return rc;
    }
    for (uint32_t k = 0; k < x->per_gt; k++) v[k] = ld32_le(&v[k]);
    x->tables[i] = *t = v;
    x->kept++;
    return 0;
}

int vmdk_lookup(struct vmdk_extent *x, uint64_t offset, int *what, uint64_t *host)
{
    uint64_t grain = offset / vmdk_grain_bytes(x), i = grain / x->per_gt;
    uint32_t *t, entry = 0;
    int rc;

    *what = VMDK_UNALLOCATED, *host = 0;
    if (i >= x->gd_entries) return 0;
    pthread_mutex_lock(&x->lock);
    rc = table(x, (uint32_t)i, &t);
    if (!rc && t) entry = t[grain % x->per_gt];
    pthread_mutex_unlock(&x->lock);
    if (rc || !entry) return rc;
    if (entry == 1 && (x->flags & VMDK_ZERO_GRAIN)) return *what = VMDK_ZEROED, 0;
    *what = VMDK_DATA;
    *host = (uint64_t)entry * VMDK_SECTOR;
    if (!(x->flags & VMDK_COMPRESSED)) *host += offset % vmdk_grain_bytes(x);
    return 0;
}

static int put_le32(struct vmdk_extent *x, uint64_t offset, uint32_t value)
{
    uint8_t le[4];
    st32_le(le, value);
    return blk_node_write(x->file, offset, le, 4, 0);
}

/* A directory that is at the end of the file would be lost behind what is written there: the header names it now. */
static int settle_directory(struct vmdk_extent *x)
{
    uint8_t le[8];
    int rc;

    if (!x->gd_at_end) return 0;
    st64_le(le, x->gd_offset);
    rc = blk_node_write(x->file, K_GD, le, 8, 0);
    if (!rc) x->gd_at_end = false;
    return rc;
}

/* A table of zeros at the end of the file. */
static int new_table(struct vmdk_extent *x, uint32_t i)
{
    uint64_t bytes = ALIGN_UP((uint64_t)x->per_gt * 4, (uint64_t)VMDK_SECTOR), at = x->next;
    uint8_t *zeros;
    int rc;

    if (at / VMDK_SECTOR > UINT32_MAX) return -ENOSPC;
    zeros = mem_zalloc((size_t)bytes);
    rc = blk_node_write(x->file, at, zeros, (size_t)bytes, 0);
    mem_free(zeros);
    if (!rc) rc = put_le32(x, x->gd_offset * VMDK_SECTOR + (uint64_t)i * 4, (uint32_t)(at / VMDK_SECTOR));
    if (rc) return rc;
    x->gd[i] = (uint32_t)(at / VMDK_SECTOR);
    x->next = at + bytes;
    return 0;
}

static int set_entry(struct vmdk_extent *x, uint64_t grain, uint32_t value)
{
    uint32_t i = (uint32_t)(grain / x->per_gt), k = (uint32_t)(grain % x->per_gt), *t;
    int rc = settle_directory(x);

    if (!rc && !x->gd[i]) rc = new_table(x, i);
    pthread_mutex_lock(&x->lock);
    if (!rc) rc = table(x, i, &t);
    if (!rc && !t) rc = -EIO;
    if (!rc && x->rgd && x->rgd[i]) rc = put_le32(x, (uint64_t)x->rgd[i] * VMDK_SECTOR + k * 4, value);
    if (!rc) rc = put_le32(x, (uint64_t)x->gd[i] * VMDK_SECTOR + k * 4, value);
    if (!rc) t[k] = value;
    pthread_mutex_unlock(&x->lock);
    return rc;
}

/* ---- compressed grains ---------------------------------------------------------------------------- */

static int read_compressed(struct vmdk_extent *x, uint64_t grain, uint64_t host, uint8_t *out)
{
    uint64_t whole = vmdk_grain_bytes(x), left = x->sectors * VMDK_SECTOR - grain * whole, len = whole * 2;
    uint64_t file = blk_node_size(x->file), skip = 0;
    uint8_t head[12], *src;
    int rc;

    if (host >= file) return -EIO;
    if (x->flags & VMDK_MARKERS) {
        rc = blk_node_read(x->file, host, head, sizeof head);
        if (rc) return rc;
        len = ld32_le(head + 8), skip = sizeof head;
        if (!len || len > whole * 2 || ld64_le(head) != grain * x->grain) return -EIO;
    }
    len = MIN(len, file - host);
    src = mem_alloc((size_t)len);
    rc = blk_node_read(x->file, host + skip, src, (size_t)len);
    if (!rc) rc = decompress_block(COMPRESS_ZLIB, src, (size_t)len, out, (size_t)whole);
    if (rc && left < whole) { /* the last grain may be as short as the disk */
        memset(out, 0, (size_t)whole);
        rc = decompress_block(COMPRESS_ZLIB, src, (size_t)len, out, (size_t)left);
    }
    mem_free(src);
    return rc;
}

/* The whole grain as it is seen, from wherever. */
static int read_grain(struct blk_node *n, struct vmdk_extent *x, uint64_t grain, uint8_t *out)
{
    uint64_t whole = vmdk_grain_bytes(x), host, offset = grain * whole;
    int what, rc = vmdk_lookup(x, offset, &what, &host);

    if (rc) return rc;
    if (what == VMDK_UNALLOCATED) return img_read_backing(n, x->start * VMDK_SECTOR + offset, out, (size_t)whole);
    if (what == VMDK_ZEROED) return memset(out, 0, (size_t)whole), 0;
    if (x->flags & VMDK_COMPRESSED) return read_compressed(x, grain, host, out);
    return blk_node_read(x->file, host, out, (size_t)whole);
}

static int write_pending(struct blk_node *n, struct vmdk_extent *x)
{
    uint64_t whole = vmdk_grain_bytes(x), grain = x->pending_index, at = x->next;
    size_t room = (size_t)whole * 2 + 12, padded;
    uint8_t *out;
    long k;
    int rc = settle_directory(x);

    if (grain == UINT64_MAX || rc) return rc;
    if (at / VMDK_SECTOR > UINT32_MAX) return -ENOSPC;
    out = mem_zalloc(room + VMDK_SECTOR);
    k = compress_block(COMPRESS_ZLIB, 0, x->pending, (size_t)whole, out + 12, room - 12);
    if (k < 0) {
        rc = (int)k;
    } else {
        st64_le(out, grain * x->grain);
        st32_le(out + 8, (uint32_t)k);
        bool marker = (x->flags & VMDK_MARKERS) != 0;
        padded = ALIGN_UP((size_t)k + (marker ? 12 : 0), (size_t)VMDK_SECTOR);
        memset(out + 12 + k, 0, padded + 12 > (size_t)k + 12 ? padded - (size_t)k : 0);
        rc = blk_node_write(x->file, at, marker ? out : out + 12, padded, 0);
        if (!rc) x->next = at + padded;
        if (!rc) rc = set_entry(x, grain, (uint32_t)(at / VMDK_SECTOR));
    }
    mem_free(out);
    if (!rc) x->pending_index = UINT64_MAX;
    return rc;
}

static int write_compressed(struct blk_node *n, struct vmdk_extent *x, uint64_t offset, const uint8_t *buf, uint64_t len)
{
    uint64_t whole = vmdk_grain_bytes(x), grain = offset / whole;
    int rc = 0;

    if (x->pending_index != grain) {
        rc = write_pending(n, x);
        if (rc) return rc;
        if (!x->pending) x->pending = mem_alloc((size_t)whole);
        if (len < whole) rc = read_grain(n, x, grain, x->pending);
        if (rc) return rc;
        x->pending_index = grain;
    }
    memcpy(x->pending + offset % whole, buf, (size_t)len);
    return 0;
}

int vmdk_extent_flush(struct blk_node *n, struct vmdk_extent *x)
{
    return x->kind == VMDK_SPARSE && x->pending_index != UINT64_MAX ? write_pending(n, x) : 0;
}

/* ---- reading and writing -------------------------------------------------------------------------- */

int vmdk_extent_read(struct blk_node *n, struct vmdk_extent *x, uint64_t offset, uint8_t *buf, uint64_t len)
{
    uint64_t whole = vmdk_grain_bytes(x), host, k;
    int what, rc = 0;

    for (; len && !rc; offset += k, buf += k, len -= k) {
        uint64_t grain = offset / whole, in = offset % whole;
        k = MIN(len, whole - in);
        if (x->pending_index == grain) {
            memcpy(buf, x->pending + in, (size_t)k);
            continue;
        }
        rc = vmdk_lookup(x, offset, &what, &host);
        if (rc) break;
        if (what == VMDK_UNALLOCATED) {
            rc = img_read_backing(n, x->start * VMDK_SECTOR + offset, buf, (size_t)k);
        } else if (what == VMDK_ZEROED) {
            memset(buf, 0, (size_t)k);
        } else if (!(x->flags & VMDK_COMPRESSED)) {
            rc = host >= blk_node_size(x->file) ? -EIO : blk_node_read(x->file, host, buf, (size_t)k);
        } else if (k == whole) {
            rc = read_compressed(x, grain, host, buf);
        } else {
            uint8_t *tmp = mem_alloc((size_t)whole);
            rc = read_compressed(x, grain, host, tmp);
            if (!rc) memcpy(buf, tmp + in, (size_t)k);
            mem_free(tmp);
        }
    }
    return rc;
}

static int allocate(struct blk_node *n, struct vmdk_extent *x, uint64_t offset, const uint8_t *buf, uint64_t len, bool zeroed)
{
    uint64_t whole = vmdk_grain_bytes(x), in = offset % whole, grain = offset / whole, at;
    uint8_t *tmp = NULL;
    int rc = settle_directory(x);

    if (!rc && !x->gd[grain / x->per_gt]) rc = new_table(x, (uint32_t)(grain / x->per_gt)); /* so that it lies before */
    at = x->next;
    if (!rc && at / VMDK_SECTOR > UINT32_MAX) rc = -ENOSPC;
    if (!rc && len < whole) {
        tmp = mem_zalloc((size_t)whole);
        if (!zeroed) rc = img_read_backing(n, x->start * VMDK_SECTOR + offset - in, tmp, (size_t)whole);
        memcpy(tmp + in, buf, (size_t)len);
    }
    if (!rc) rc = blk_node_write(x->file, at, tmp ? tmp : buf, (size_t)whole, 0);
    mem_free(tmp);
    if (!rc) rc = set_entry(x, grain, (uint32_t)(at / VMDK_SECTOR));
    if (!rc) x->next = at + whole;
    return rc;
}

int vmdk_extent_write(struct blk_node *n, struct vmdk_extent *x, uint64_t offset, const uint8_t *buf, uint64_t len)
{
    uint64_t whole = vmdk_grain_bytes(x), host, k;
    int what, rc = 0;

    for (; len && !rc; offset += k, buf += k, len -= k) {
        k = MIN(len, whole - offset % whole);
        if (x->flags & VMDK_COMPRESSED) {
            rc = write_compressed(n, x, offset, buf, k);
            continue;
        }
        rc = vmdk_lookup(x, offset, &what, &host);
        if (rc) break;
        if (what == VMDK_DATA) rc = blk_node_write(x->file, host, buf, (size_t)k, 0);
        else rc = allocate(n, x, offset, buf, k, what == VMDK_ZEROED);
    }
    return rc;
}

int vmdk_extent_zero(struct blk_node *n, struct vmdk_extent *x, uint64_t offset, uint64_t len, unsigned flags)
{
    uint64_t whole = vmdk_grain_bytes(x), host, k;
    bool below = blk_node_child(n, "backing") != NULL;
    uint8_t *zeros = NULL;
    int what, rc = 0;

    for (; len && !rc; offset += k, len -= k) {
        k = MIN(len, whole - offset % whole);
        rc = vmdk_lookup(x, offset, &what, &host);
        if (rc) break;
        bool mine = x->pending_index == offset / whole;
        if (!mine && (what == VMDK_ZEROED || (what == VMDK_UNALLOCATED && !below))) continue;
        if (!mine && (x->flags & VMDK_ZERO_GRAIN) && k == whole && (what == VMDK_UNALLOCATED || (flags & BLK_MAY_UNMAP))) {
            rc = set_entry(x, offset / whole, 1);
        } else if (!mine && what == VMDK_DATA && !(x->flags & VMDK_COMPRESSED)) {
            rc = blk_node_zero(x->file, host, k, flags);
        } else {
            if (!zeros) zeros = mem_zalloc((size_t)whole);
            rc = vmdk_extent_write(n, x, offset, zeros, k);
        }
    }
    mem_free(zeros);
    return rc;
}

/* ---- check ---------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void vmdk_extent_check(struct blk_node *n, struct vmdk_extent *x, struct blk_check *c)
{
    uint64_t file = blk_node_size(x->file) / VMDK_SECTOR, whole = vmdk_grain_bytes(x);
    uint64_t grains = (x->sectors + x->grain - 1) / x->grain, step, used = 0, room = 0;
    uint32_t *seen = NULL;

    for (uint64_t g = 0; g < grains; g += step) {
        uint64_t host;
        int what, rc;
        step = 1;
        if (g / x->per_gt < x->gd_entries && !x->gd[g / x->per_gt]) {
            step = x->per_gt - g % x->per_gt;
            continue;
        }
        rc = vmdk_lookup(x, g * whole, &what, &host);
        if (rc) {
            img_check_line(c, "ERROR: could not get cluster_offset for sector %llu: %s", (unsigned long long)(g * x->grain),
                           strerror(-rc));
            c->corruptions++;
            step = x->per_gt - g % x->per_gt;
            continue;
        }
        if (what != VMDK_DATA) continue;
        host /= VMDK_SECTOR;
        if (host >= file) {
            img_check_line(c, "ERROR: cluster offset after file size for sector %llu", (unsigned long long)(g * x->grain));
            c->corruptions++;
            continue;
        }
        if (used == room) {
            room = room ? room * 2 : 1024;
            seen = mem_realloc(seen, (size_t)room * 4);
        }
        seen[used++] = (uint32_t)host;
    }
    if (used) qsort(seen, (size_t)used, 4, by_place);
    for (uint64_t i = 1; i < used; i++) {
        uint32_t gap = x->flags & VMDK_COMPRESSED ? 1 : x->grain;
        if (seen[i] - seen[i - 1] >= gap) continue;
        img_check_line(c, "ERROR: two clusters share the bytes at offset 0x%llx", (unsigned long long)seen[i] * VMDK_SECTOR);
        c->corruptions++;
    }
    mem_free(seen);
}
