/*
 * vhdx-log.c - headers and log of VHDX images (see vhdx.h): [MS-VHDX] sections 2.2.2 and 2.3.
 *
 * Each entry written here is a sequence of its own (its tail is itself): the one before it has been carried out, and
 * that is on disk, when the next is written.
 */
#include "blockfmt/vhdx.h"

enum { H_SUM = 4, H_SEQUENCE = 8, H_FILE_GUID = 16, H_DATA_GUID = 32, H_LOG_GUID = 48, H_LOG_VERSION = 64, H_VERSION = 66,
       H_LOG_LENGTH = 68, H_LOG_OFFSET = 72 };
enum { L_SUM = 4, L_LENGTH = 8, L_TAIL = 12, L_SEQUENCE = 16, L_COUNT = 24, L_GUID = 32, L_FLUSHED = 48, L_LAST = 56,
       L_SIZE = 64, D_TRAILING = 4, D_LEADING = 8, D_ZERO_LENGTH = 8, D_OFFSET = 16, D_SEQUENCE = 24, D_SIZE = 32 };
#define MAX_ENTRY (UINT64_C(64) << 20)
#define AT_ONCE   100u /* table sectors in one entry */

static const uint8_t no_guid[16];

uint32_t vhdx_sum(uint8_t *p, size_t n)
{
    uint32_t was = ld32_le(p + 4), sum;

    st32_le(p + 4, 0);
    sum = img_crc32c(0, p, n);
    st32_le(p + 4, was);
    return sum;
}

/* ---- headers -------------------------------------------------------------------------------------- */

static bool header_ok(uint8_t *h)
{
    return !memcmp(h, "head", 4) && ld32_le(h + H_SUM) == vhdx_sum(h, 4096) && ld16_le(h + H_VERSION) == 1;
}

int vhdx_read_headers(struct blk_node *n, struct vhdx *s, struct error *e)
{
    uint8_t *h[2] = {mem_alloc(4096), mem_alloc(4096)};
    int rc = blk_node_read(s->file, VHDX_HEADER_1, h[0], 4096), which;

    if (!rc) rc = blk_node_read(s->file, VHDX_HEADER_2, h[1], 4096);
    bool a = !rc && header_ok(h[0]), b = !rc && header_ok(h[1]);
    if (rc) {
        img_io_error(e, n, "the headers", rc);
    } else if (!a && !b) {
        error_set(e, "vhdx: No valid VHDX header found (checked at offsets 0x10000 and 0x20000)");
        rc = -EINVAL;
    } else {
        which = !a || (b && ld64_le(h[1] + H_SEQUENCE) > ld64_le(h[0] + H_SEQUENCE));
        memcpy(s->header, h[which], 4096);
        s->current = (unsigned)which;
        s->sequence = ld64_le(s->header + H_SEQUENCE);
        s->log_offset = ld64_le(s->header + H_LOG_OFFSET), s->log_length = ld32_le(s->header + H_LOG_LENGTH);
        if (s->log_offset < VHDX_MIB || s->log_offset % VHDX_MIB || s->log_length % VHDX_MIB || s->log_offset > INT64_MAX / 2)
            rc = img_bad(e, n, "invalid place of the log", s->log_offset);
        else if (!s->log_length && memcmp(s->header + H_LOG_GUID, no_guid, 16))
            rc = img_bad(e, n, "a log without length, offset", s->log_offset);
    }
    mem_free(h[0]);
    mem_free(h[1]);
    return rc;
}

/* Twice, so that both are current, one whole at every moment. */
static int write_headers(struct vhdx *s)
{
    int rc = 0;

    for (unsigned i = 0; i < 2 && !rc; i++) {
        unsigned other = !s->current;
        st64_le(s->header + H_SEQUENCE, s->sequence + 1);
        st32_le(s->header + H_SUM, vhdx_sum(s->header, 4096));
        rc = blk_node_write(s->file, other ? VHDX_HEADER_2 : VHDX_HEADER_1, s->header, 4096, 0);
        if (!rc) rc = blk_node_flush(s->file);
        if (!rc) s->current = other, s->sequence++;
    }
    return rc;
}

int vhdx_touch(struct vhdx *s)
{
    int rc;

    if (s->touched) return 0;
    img_uuid(s->header + H_FILE_GUID);
    img_uuid(s->header + H_DATA_GUID);
    rc = write_headers(s);
    if (!rc) s->touched = true;
    return rc;
}

int vhdx_settle(struct vhdx *s)
{
    int rc;

    if (!s->log_open) return 0;
    rc = blk_node_flush(s->file);
    memset(s->header + H_LOG_GUID, 0, 16);
    if (!rc) rc = write_headers(s);
    if (!rc) s->log_open = false;
    return rc;
}

/* ---- replay --------------------------------------------------------------------------------------- */

static int log_read(const struct vhdx *s, uint64_t at, uint8_t *buf, uint64_t n)
{
    uint64_t first;
    int rc;

    at %= s->log_length;
    first = MIN(n, s->log_length - at);
    rc = blk_node_read(s->file, s->log_offset + at, buf, (size_t)first);
    if (!rc && n > first) rc = blk_node_read(s->file, s->log_offset, buf + first, (size_t)(n - first));
    return rc;
}

/* The entry at `at` when it is whole and ours; NULL when not. The caller frees it. */
static uint8_t *log_entry(const struct vhdx *s, uint64_t at)
{
    uint8_t h[L_SIZE], *p;
    uint64_t len;

    if (log_read(s, at, h, sizeof h) || memcmp(h, "loge", 4)) return NULL;
    len = ld32_le(h + L_LENGTH);
    if (!len || len % VHDX_LOG_SECTOR || len > s->log_length || len > MAX_ENTRY) return NULL;
    if (!ld64_le(h + L_SEQUENCE) || memcmp(h + L_GUID, s->header + H_LOG_GUID, 16)) return NULL;
    uint64_t tail = ld32_le(h + L_TAIL), count = ld32_le(h + L_COUNT);
    if (tail % VHDX_LOG_SECTOR || tail >= s->log_length) return NULL;
    if (L_SIZE + count * D_SIZE > len) return NULL;
    p = mem_alloc((size_t)len);
    if (log_read(s, at, p, len) || ld32_le(p + L_SUM) != vhdx_sum(p, (size_t)len)) {
        mem_free(p);
        return NULL;
    }
    return p;
}

static int apply(struct blk_node *n, struct vhdx *s, const uint8_t *p, struct error *e)
{
    uint64_t len = ld32_le(p + L_LENGTH), count = ld32_le(p + L_COUNT), seq = ld64_le(p + L_SEQUENCE);
    uint64_t data = ALIGN_UP(L_SIZE + count * D_SIZE, (uint64_t)VHDX_LOG_SECTOR);
    uint8_t sector[VHDX_LOG_SECTOR];
    int rc = 0;

    for (uint64_t i = 0; i < count && !rc; i++) {
        const uint8_t *d = p + L_SIZE + i * D_SIZE;
        uint64_t at = ld64_le(d + D_OFFSET);
        if (ld64_le(d + D_SEQUENCE) != seq || at % VHDX_LOG_SECTOR || at > INT64_MAX / 2)
            return img_bad(e, n, "invalid descriptor in the log, number", i);
        if (!memcmp(d, "zero", 4)) {
            uint64_t k = ld64_le(d + D_ZERO_LENGTH), size = blk_node_size(s->file);
            if (k % VHDX_LOG_SECTOR || k > INT64_MAX / 4) return img_bad(e, n, "invalid zero descriptor in the log, length", k);
            if (at < size && k) rc = blk_node_zero(s->file, at, MIN(k, size - at), 0);
        } else if (!memcmp(d, "desc", 4)) {
            if (data + VHDX_LOG_SECTOR > len) return img_bad(e, n, "a log entry without room for its data, descriptor", i);
            const uint8_t *q = p + data;
            if (memcmp(q, "data", 4) || ld32_le(q + 4) != (uint32_t)(seq >> 32) || ld32_le(q + 4092) != (uint32_t)seq)
                return img_bad(e, n, "invalid data sector in the log, descriptor", i);
            memcpy(sector, d + D_LEADING, 8);
            memcpy(sector + 8, q + 8, VHDX_LOG_SECTOR - 12);
            memcpy(sector + VHDX_LOG_SECTOR - 4, d + D_TRAILING, 4);
            rc = blk_node_write(s->file, at, sector, sizeof sector, 0);
            data += VHDX_LOG_SECTOR;
        } else {
            return img_bad(e, n, "unknown descriptor in the log, number", i);
        }
    }
    return rc ? img_io_error(e, n, "what the log says", rc) : 0;
}

/* From tail to head; the entries have been found whole before. */
static int apply_all(struct blk_node *n, struct vhdx *s, uint64_t tail, uint64_t count, struct error *e)
{
    uint64_t at = tail;
    int rc = 0;

    for (uint64_t i = 0; i < count && !rc; i++) {
        uint8_t *p = log_entry(s, at);
        if (!p) return img_bad_at(e, n, "the log has changed while it was replayed", s->log_offset + at);
        if (ld64_le(p + L_FLUSHED) > blk_node_size(s->file)) {
            rc = img_bad(e, n, "the file is shorter than when the log was written, then", ld64_le(p + L_FLUSHED));
        } else {
            uint64_t last = ld64_le(p + L_LAST);
            if (last > INT64_MAX / 2 || last > blk_node_size(s->file) + (VHDX_MAX_SIZE >> 6))
                rc = img_bad(e, n, "invalid file size in the log", last);
            else if (last > blk_node_size(s->file)) rc = blk_node_truncate(s->file, last, BLK_PREALLOC_OFF, e);
            if (!rc) rc = apply(n, s, p, e);
        }
        at = (at + ld32_le(p + L_LENGTH)) % s->log_length;
        mem_free(p);
    }
    return rc;
}

int vhdx_replay(struct blk_node *n, struct vhdx *s, bool writable, struct error *e)
{
    uint64_t best_seq = 0, best_tail = 0, best_count = 0;
    int rc;

    if (!memcmp(s->header + H_LOG_GUID, no_guid, 16)) return 0;
    if (ld16_le(s->header + H_LOG_VERSION)) return img_bad(e, n, "unknown version of the log", ld16_le(s->header + H_LOG_VERSION));
    if (s->log_offset > blk_node_size(s->file) || s->log_length > blk_node_size(s->file) - s->log_offset)
        return img_bad_at(e, n, "the log lies beyond the end of the file", s->log_offset);
    /* The active sequence: entries in a row, numbered in a row, the last of which names the first as its tail, with the
     * highest number. */
    for (uint64_t at = 0; at < s->log_length;) {
        uint64_t pos = at, seq = 0, total = 0, count = 0, step = VHDX_LOG_SECTOR;
        for (;;) {
            uint8_t *p = total < s->log_length ? log_entry(s, pos) : NULL;
            if (!p) break;
            uint64_t this_seq = ld64_le(p + L_SEQUENCE), len = ld32_le(p + L_LENGTH), tail = ld32_le(p + L_TAIL);
            mem_free(p);
            if ((count && this_seq != seq + 1) || total + len > s->log_length) break;
            if (!count) step = len;
            count++;
            seq = this_seq, total += len;
            if (tail == at && seq > best_seq) best_seq = seq, best_tail = at, best_count = count;
            pos = (pos + len) % s->log_length;
        }
        at += step;
    }
    if (best_count && !writable) {
        error_set(e, "VHDX image file '%s' opened read-only, but contains a log that needs to be replayed", blk_node_filename(n));
        error_hint(e, "To replay the log, run: check -r all '%s'", blk_node_filename(n));
        return -EPERM;
    }
    if (!writable) return 0;
    rc = apply_all(n, s, best_tail, best_count, e);
    if (!rc) rc = blk_node_flush(s->file);
    if (rc) return rc;
    memset(s->header + H_LOG_GUID, 0, 16);
    rc = write_headers(s);
    if (rc) return img_io_error(e, n, "the headers", rc);
    s->replayed = best_count != 0;
    return 0;
}

/* ---- writing -------------------------------------------------------------------------------------- */

void vhdx_mark_dirty(struct vhdx *s, uint64_t entry)
{
    uint64_t i = entry * 8 / VHDX_LOG_SECTOR;

    if (s->dirty[i / 8] >> i % 8 & 1) return;
    s->dirty[i / 8] |= (uint8_t)(1u << i % 8);
    s->n_dirty++;
}

static void table_sector(const struct vhdx *s, uint64_t i, uint8_t *out)
{
    memset(out, 0, VHDX_LOG_SECTOR);
    for (uint64_t k = 0; k < VHDX_LOG_SECTOR / 8 && i * (VHDX_LOG_SECTOR / 8) + k < s->entries; k++)
        st64_le(out + k * 8, s->bat[i * (VHDX_LOG_SECTOR / 8) + k]);
}

/* One entry with the sectors of the table in list. */
static int write_entry(struct vhdx *s, const uint64_t *list, uint32_t n)
{
    uint64_t head = ALIGN_UP(L_SIZE + (uint64_t)n * D_SIZE, (uint64_t)VHDX_LOG_SECTOR), len = head + (uint64_t)n * VHDX_LOG_SECTOR;
    uint64_t size = ALIGN_UP(blk_node_size(s->file), VHDX_MIB), seq = s->log_sequence + 1;
    uint8_t *p = mem_zalloc((size_t)len), sector[VHDX_LOG_SECTOR];
    int rc;

    if (s->log_next + len > s->log_length) s->log_next = 0;
    memcpy(p, "loge", 4);
    st32_le(p + L_LENGTH, (uint32_t)len);
    st32_le(p + L_TAIL, (uint32_t)s->log_next);
    st64_le(p + L_SEQUENCE, seq);
    st32_le(p + L_COUNT, n);
    memcpy(p + L_GUID, s->header + H_LOG_GUID, 16);
    st64_le(p + L_FLUSHED, ALIGN_DOWN(blk_node_size(s->file), VHDX_MIB));
    st64_le(p + L_LAST, size);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *d = p + L_SIZE + i * D_SIZE, *q = p + head + (uint64_t)i * VHDX_LOG_SECTOR;
        table_sector(s, list[i], sector);
        memcpy(d, "desc", 4);
        memcpy(d + D_TRAILING, sector + VHDX_LOG_SECTOR - 4, 4);
        memcpy(d + D_LEADING, sector, 8);
        st64_le(d + D_OFFSET, s->bat_offset + list[i] * VHDX_LOG_SECTOR);
        st64_le(d + D_SEQUENCE, seq);
        memcpy(q, sector, VHDX_LOG_SECTOR);
        memcpy(q, "data", 4);
        st32_le(q + 4, (uint32_t)(seq >> 32));
        st32_le(q + 4092, (uint32_t)seq);
    }
    st32_le(p + L_SUM, vhdx_sum(p, (size_t)len));
    rc = blk_node_write(s->file, s->log_offset + s->log_next, p, (size_t)len, 0);
    mem_free(p);
    if (rc) return rc;
    s->log_next += len, s->log_sequence = seq;
    return 0;
}

int vhdx_commit(struct vhdx *s)
{
    uint64_t list[AT_ONCE], sectors = (s->entries * 8 + VHDX_LOG_SECTOR - 1) / VHDX_LOG_SECTOR, at = 0;
    uint8_t sector[VHDX_LOG_SECTOR];
    uint32_t room = (uint32_t)MIN((uint64_t)AT_ONCE, s->log_length / VHDX_LOG_SECTOR / 2), n;
    int rc = 0;

    if (!s->n_dirty) return 0;
    if (!s->log_open) {
        if (!s->log_length) return -ENOTSUP;
        img_uuid(s->header + H_LOG_GUID);
        s->log_next = 0, s->log_sequence = 0;
        rc = write_headers(s);
        if (rc) return rc;
        s->log_open = true;
    }
    while (s->n_dirty && !rc) {
        for (n = 0; n < room && at < sectors; at++) {
            if (s->dirty[at / 8] >> at % 8 & 1) list[n++] = at;
        }
        if (!n) break;
        rc = blk_node_flush(s->file); /* the blocks' bytes, and what the entry before this one did */
        if (!rc) rc = write_entry(s, list, n);
        if (!rc) rc = blk_node_flush(s->file);
        for (uint32_t i = 0; i < n && !rc; i++) {
            table_sector(s, list[i], sector);
            rc = blk_node_write(s->file, s->bat_offset + list[i] * VHDX_LOG_SECTOR, sector, sizeof sector, 0);
        }
        for (uint32_t i = 0; i < n && !rc; i++) s->dirty[list[i] / 8] &= (uint8_t)~(1u << list[i] % 8), s->n_dirty--;
    }
    return rc;
}
