/*
 * vhdx.c - Hyper-V disks (VHDX), dynamic and fixed: opening, requests, information, check (see vhdx.h). After Microsoft's
 * [MS-VHDX]. Little endian.
 *
 * Not here, and refused by name: differencing disks, disks with a logical sector size other than 512 bytes or 4 KiB.
 */
#include "blockfmt/vhdx.h"

const uint8_t vhdx_guids[8][16] = {
    {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08},
    {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e},
    {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b},
    {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8},
    {0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46},
    {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f},
    {0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56},
    {0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c},
};

static int vhdx_probe(const uint8_t *b, size_t n, const char *filename)
{
    return n >= 8 && !memcmp(b, "vhdxfile", 8) ? 100 : 0;
}

static bool guid_is(const uint8_t *p, unsigned which) { return !memcmp(p, vhdx_guids[which], 16); }

/* ---- opening -------------------------------------------------------------------------------------- */

static bool overlap(uint64_t a, uint64_t an, uint64_t b, uint64_t bn) { return a < b + bn && b < a + an; }

static int read_regions(struct blk_node *n, struct vhdx *s, struct error *e)
{
    uint8_t *t = mem_alloc(VHDX_REGION_SIZE);
    bool ok = false;
    int rc = 0;

    for (unsigned i = 0; i < 2 && !ok && !rc; i++) {
        rc = blk_node_read(s->file, i ? VHDX_REGION_2 : VHDX_REGION_1, t, VHDX_REGION_SIZE);
        ok = !rc && !memcmp(t, "regi", 4) && ld32_le(t + 4) == vhdx_sum(t, VHDX_REGION_SIZE) && ld32_le(t + 8) <= 2047;
    }
    if (rc) img_io_error(e, n, "the region table", rc);
    else if (!ok) rc = img_bad(e, n, "no valid region table, checked at 0x30000 and", VHDX_REGION_2);
    for (uint32_t i = 0; !rc && i < ld32_le(t + 8); i++) {
        const uint8_t *p = t + 16 + i * 32;
        uint64_t at = ld64_le(p + 16), len = ld32_le(p + 24);
        if (at < VHDX_MIB || at % VHDX_MIB || !len || len % VHDX_MIB || at > INT64_MAX / 2) {
            rc = img_bad(e, n, "invalid region in the region table, offset", at);
        } else if (overlap(at, len, s->log_offset, s->log_length) || (s->bat_length && overlap(at, len, s->bat_offset, s->bat_length)) ||
                   (s->meta_length && overlap(at, len, s->meta_offset, s->meta_length))) {
            rc = img_bad(e, n, "regions overlap, offset", at);
        } else if (guid_is(p, VHDX_GUID_BAT)) {
            s->bat_offset = at, s->bat_length = len;
        } else if (guid_is(p, VHDX_GUID_METADATA)) {
            s->meta_offset = at, s->meta_length = len;
        } else if (ld32_le(p + 28) & 1) {
            error_set(e, "vhdx: a required region of an unknown kind is in the image, number %u", i);
            rc = -ENOTSUP;
        }
    }
    if (!rc && (!s->bat_length || !s->meta_length)) rc = img_bad(e, n, "the region table lacks a region, entries", ld32_le(t + 8));
    mem_free(t);
    return rc;
}

static int read_metadata(struct blk_node *n, struct vhdx *s, struct error *e)
{
    uint8_t *t, item[16];
    unsigned seen = 0;
    int rc = img_read_table(n, "the metadata table", s->meta_offset, VHDX_REGION_SIZE, 1, &t, e);

    if (rc) return rc;
    if (memcmp(t, "metadata", 8) || ld16_le(t + 10) > 2047) rc = img_bad_at(e, n, "invalid metadata table", s->meta_offset);
    for (uint32_t i = 0; !rc && i < ld16_le(t + 10); i++) {
        const uint8_t *p = t + 32 + i * 32;
        uint64_t at = ld32_le(p + 16), len = ld32_le(p + 20);
        unsigned which = VHDX_GUID_PARAMETERS;
        while (which <= VHDX_GUID_PARENT && !guid_is(p, which)) which++;
        if (which > VHDX_GUID_PARENT) {
            if (!(ld32_le(p + 24) & 4)) continue;
            error_set(e, "vhdx: a required item of an unknown kind is in the metadata, number %u", i);
            rc = -ENOTSUP;
            break;
        }
        if (which == VHDX_GUID_PARENT) {
            error_set(e, "vhdx: differencing disks are not supported");
            rc = -ENOTSUP;
            break;
        }
        if (at < VHDX_REGION_SIZE || at > s->meta_length || len > s->meta_length - at || (seen >> which & 1)) {
            rc = img_bad(e, n, "invalid metadata item at", at);
            break;
        }
        memset(item, 0, sizeof item);
        rc = blk_node_read(s->file, s->meta_offset + at, item, sizeof item);
        if (rc) {
            img_io_error(e, n, "the metadata", rc);
            break;
        }
        seen |= 1u << which;
        if (which == VHDX_GUID_PARAMETERS) {
            s->block_size = ld32_le(item);
            if (ld32_le(item + 4) & 2) rc = (error_set(e, "vhdx: differencing disks are not supported"), -ENOTSUP);
        } else if (which == VHDX_GUID_SIZE) {
            s->size = ld64_le(item);
        } else if (which == VHDX_GUID_LOGICAL) {
            s->sector = ld32_le(item);
        } else if (which == VHDX_GUID_PHYSICAL) {
            s->physical = ld32_le(item);
        }
    }
    mem_free(t);
    if (rc) return rc;
    unsigned need = 1u << VHDX_GUID_PARAMETERS | 1u << VHDX_GUID_SIZE | 1u << VHDX_GUID_LOGICAL;
    if ((seen & need) != need) return img_bad(e, n, "required metadata items are missing, there are", seen);
    if (s->block_size < VHDX_MIB || s->block_size > 256 * VHDX_MIB || (s->block_size & (s->block_size - 1)))
        return img_bad(e, n, "invalid block size", s->block_size);
    if (s->sector != 512 && s->sector != 4096) return img_bad(e, n, "invalid logical sector size", s->sector);
    if (s->size > VHDX_MAX_SIZE || s->size % s->sector) return img_bad(e, n, "invalid virtual disk size", s->size);
    return 0;
}

static int read_bat(struct blk_node *n, struct vhdx *s, unsigned flags, struct error *e)
{
    uint64_t file = blk_node_size(s->file);
    int rc;

    s->chunk = (uint32_t)((UINT64_C(1) << 23) * s->sector / s->block_size);
    s->blocks = (s->size + s->block_size - 1) / s->block_size;
    s->entries = s->blocks ? s->blocks + (s->blocks - 1) / s->chunk : 0;
    if (s->entries * 8 > s->bat_length) return img_bad(e, n, "the block allocation table is too short", s->bat_length);
    rc = img_read_table(n, "the block allocation table", s->bat_offset, s->entries, 8, &s->bat, e);
    if (rc) return rc;
    s->end = MAX(MAX(s->log_offset + s->log_length, s->bat_offset + s->bat_length), s->meta_offset + s->meta_length);
    s->end = ALIGN_UP(MAX(s->end, file), VHDX_MIB);
    for (uint64_t i = 0; i < s->entries; i++) {
        uint64_t x = s->bat[i] = ld64_le(&s->bat[i]), at = x & VHDX_OFFSET;
        if (i % (s->chunk + UINT64_C(1)) == s->chunk || (flags & BLK_CHECK)) continue;
        if ((x & VHDX_STATE) == VHDX_PARTIAL) return img_bad(e, n, "a partially present block in a disk without parent, entry", i);
        if ((x & VHDX_STATE) != VHDX_PRESENT) continue;
        if (at > file || at < VHDX_MIB) {
            error_set(e, "vhdx: entry %llu of the block allocation table points outside the file (offset 0x%llx)",
                      (unsigned long long)i, (unsigned long long)at);
            return -EINVAL;
        }
        if (overlap(at, s->block_size, s->log_offset, s->log_length) || overlap(at, s->block_size, s->bat_offset, s->bat_length) ||
            overlap(at, s->block_size, s->meta_offset, s->meta_length))
            return img_bad_at(e, n, "a block overlaps tables", at);
        s->end = MAX(s->end, at + s->block_size);
    }
    s->dirty = mem_zalloc((size_t)(s->entries * 8 / VHDX_LOG_SECTOR / 8 + 1));
    return 0;
}

static int vhdx_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct vhdx *s = blk_state(n);
    uint8_t magic[8];
    int rc;

    s->file = blk_file(n);
    rc = blk_node_read(s->file, 0, magic, sizeof magic);
    if (rc) return img_io_error(e, n, "the file identifier", rc);
    if (memcmp(magic, "vhdxfile", 8)) return error_set(e, "Image not in VHDX format"), -EINVAL;
    rc = vhdx_read_headers(n, s, e);
    if (!rc) rc = vhdx_replay(n, s, !(flags & BLK_RDONLY), e);
    if (!rc) rc = read_regions(n, s, e);
    if (!rc) rc = read_metadata(n, s, e);
    if (!rc) rc = read_bat(n, s, flags, e);
    if (rc) {
        mem_free(s->bat);
        return rc;
    }
    blk_set_size(n, s->size);
    return 0;
}

static int write_back(struct vhdx *s)
{
    int rc = vhdx_commit(s);
    return rc ? rc : vhdx_settle(s);
}

static void vhdx_close(struct blk_node *n)
{
    struct vhdx *s = blk_state(n);

    if (!(blk_node_flags(n) & BLK_RDONLY)) (void)write_back(s);
    mem_free(s->bat);
    mem_free(s->dirty);
}

static int vhdx_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    int rc = blk_node_flags(n) & BLK_RDONLY ? 0 : write_back(blk_state(n));
    return rc ? img_io_error(e, n, "the block allocation table", rc) : 0;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static bool place(const struct vhdx *s, uint64_t offset, uint64_t len, uint64_t *host, uint64_t *run)
{
    uint64_t in = offset & (s->block_size - 1), x = s->bat[vhdx_entry(s, offset / s->block_size)];

    *run = MIN(len, s->block_size - in);
    *host = (x & VHDX_OFFSET) + in;
    return (x & VHDX_STATE) == VHDX_PRESENT;
}

static int vhdx_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct vhdx *s = blk_state(n);
    uint8_t *p = buf;
    uint64_t host, run;
    int rc = 0;

    for (; len && !rc; p += run, offset += run, len -= (size_t)run) {
        if (place(s, offset, len, &host, &run)) rc = blk_node_read(s->file, host, p, (size_t)run);
        else memset(p, 0, (size_t)run);
    }
    return rc;
}

static int allocate(struct vhdx *s, uint64_t offset, const uint8_t *p, uint64_t run)
{
    uint64_t i = vhdx_entry(s, offset / s->block_size), at = s->end;
    int rc = 0;

    if (s->n_dirty >= 64) rc = vhdx_commit(s);
    if (!rc && run < s->block_size) rc = img_clear(s->file, at, s->block_size);
    if (!rc) rc = blk_node_write(s->file, at + (offset & (s->block_size - 1)), p, (size_t)run, 0);
    if (rc) return rc;
    s->bat[i] = at | VHDX_PRESENT;
    s->end = at + s->block_size;
    vhdx_mark_dirty(s, i);
    return 0;
}

static int vhdx_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct vhdx *s = blk_state(n);
    const uint8_t *p = buf;
    uint64_t host, run;
    int rc;

    if (flags & BLK_COMPRESSED) return -ENOTSUP;
    rc = vhdx_touch(s);
    for (; len && !rc; p += run, offset += run, len -= (size_t)run) {
        if (place(s, offset, len, &host, &run)) rc = blk_node_write(s->file, host, p, (size_t)run, 0);
        else rc = allocate(s, offset, p, run);
    }
    return rc;
}

static int vhdx_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct vhdx *s = blk_state(n);
    uint64_t host, run;
    int rc = vhdx_touch(s);

    for (; len && !rc; offset += run, len -= run) {
        if (place(s, offset, len, &host, &run)) rc = blk_node_zero(s->file, host, run, flags);
    }
    return rc;
}

static int vhdx_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    struct vhdx *s = blk_state(n);
    uint64_t host, run;
    int rc = vhdx_touch(s);

    for (; len && !rc; offset += run, len -= run) {
        if (place(s, offset, len, &host, &run)) rc = blk_node_discard(s->file, host, run);
    }
    return rc;
}

static int vhdx_flush(struct blk_node *n) { return vhdx_commit(blk_state(n)); }

static int vhdx_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct vhdx *s = blk_state(n);
    uint64_t host, run, more, next;
    bool data = place(s, offset, len, &host, &run);

    for (; run < len; run += more) {
        if (place(s, offset + run, len - run, &next, &more) != data || (data && next != host + run)) break;
    }
    st->bytes = run;
    st->flags = data ? BLK_ST_DATA | BLK_ST_OFFSET : BLK_ST_ZERO;
    if (data) st->offset = host, st->file = s->file, st->flags |= BLK_ST_RECURSE; /* blocks are large: parts may be holes */
    return 0;
}

/* ---- information ---------------------------------------------------------------------------------- */

static int vhdx_info(struct blk_node *n, struct blk_info *i)
{
    struct vhdx *s = blk_state(n);

    i->cluster_size = s->block_size;
    i->zero_init = true;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int vhdx_check(struct blk_node *n, unsigned fix, struct blk_check *c, struct error *e)
{
    struct vhdx *s = blk_state(n);
    uint64_t file = blk_node_size(s->file), *seen = mem_alloc((size_t)(s->entries + 1) * 8), used = 0;

    if (s->replayed && fix) { /* what opening has done counts as repaired */
        c->corruptions_fixed++;
        s->replayed = false;
    }
    for (uint64_t i = 0; i < s->entries; i++) {
        uint64_t at = s->bat[i] & VHDX_OFFSET, state = s->bat[i] & VHDX_STATE;
        if (i % (s->chunk + UINT64_C(1)) == s->chunk || state != VHDX_PRESENT) {
            if (state != VHDX_PARTIAL || i % (s->chunk + UINT64_C(1)) == s->chunk) continue;
            img_check_line(c, "ERROR: block allocation table entry %llu: partially present", (unsigned long long)i);
            c->corruptions++;
            continue;
        }
        if (at > file || at < VHDX_MIB || overlap(at, s->block_size, s->log_offset, s->log_length) ||
            overlap(at, s->block_size, s->bat_offset, s->bat_length) || overlap(at, s->block_size, s->meta_offset, s->meta_length)) {
            img_check_line(c, "ERROR: block allocation table entry %llu: offset 0x%llx is outside the file or on tables",
                           (unsigned long long)i, (unsigned long long)at);
            c->corruptions++;
            continue;
        }
        seen[used++] = at;
    }
    qsort(seen, (size_t)used, 8, by_place);
    for (uint64_t i = 1; i < used; i++) {
        if (seen[i] - seen[i - 1] >= s->block_size) continue;
        img_check_line(c, "ERROR: two blocks share the bytes at offset 0x%llx", (unsigned long long)seen[i]);
        c->corruptions++;
    }
    mem_free(seen);
    return 0;
}

const struct blk_driver blk_drv_vhdx = {
    .name = "vhdx",
    .kind = BLK_FORMAT,
    .locking = BLK_LOCK_READERS,
    .state_size = sizeof(struct vhdx),
    .create_opts = vhdx_create_opts,
    .probe = vhdx_probe,
    .open = vhdx_open,
    .close = vhdx_close,
    .reopen = vhdx_reopen,
    .create = vhdx_create,
    .read = vhdx_read,
    .write = vhdx_write,
    .zero = vhdx_zero,
    .discard = vhdx_discard,
    .flush = vhdx_flush,
    .status = vhdx_status,
    .info = vhdx_info,
    .check = vhdx_check,
};
