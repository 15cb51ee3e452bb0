/*
 * qcow2-map.c - from guest offsets to host clusters: L1 and L2 tables, subclusters, and the ways entries change.
 * Almost all with the image's mutex held. qcow2.h has the rules of order.
 */
#include "blockfmt/qcow2.h"

void qcow2_compressed_place(const struct qcow2 *s, uint64_t entry, uint64_t *host, uint64_t *bytes)
{
    unsigned x = 62 - (s->cluster_bits - 8);
    uint64_t sectors = (entry >> x & ((UINT64_C(1) << (s->cluster_bits - 8)) - 1)) + 1;

    *host = entry & ((UINT64_C(1) << x) - 1);
    *bytes = sectors * 512 - (*host & 511);
}

/* ---- looking up ----------------------------------------------------------------------------------- */

static uint32_t l2_index(const struct qcow2 *s, uint64_t offset)
{
    return (uint32_t)(offset >> s->cluster_bits) & ((1u << s->l2_bits) - 1);
}

static void load_entry(const struct qcow2 *s, const uint8_t *l2, uint32_t i, uint64_t *e, uint64_t *bits)
{
    *e = ld64_be(l2 + ((size_t)i << s->entry_shift));
    *bits = s->ext_l2 ? ld64_be(l2 + ((size_t)i << 4) + 8) : 0;
}

/* Of one subcluster; -EIO: the bits contradict each other. */
static int type_of(const struct qcow2 *s, uint64_t e, uint64_t bits, unsigned sub)
{
    bool host = qcow2_has_host(s, e);

    if (e & QCOW2_COMPRESSED) return QCOW2_COMPR;
    if (!s->ext_l2) {
        if (s->version >= 3 && (e & QCOW2_ZERO)) return QCOW2_ZEROS;
        return host ? QCOW2_NORMAL : QCOW2_UNALLOCATED;
    }
    switch ((bits >> sub & 1) | (bits >> (32 + sub) & 1) << 1) {
    case 0: return QCOW2_UNALLOCATED;
    case 1: return host ? QCOW2_NORMAL : -EIO;
    case 2: return QCOW2_ZEROS;
    default: return -EIO;
    }
}

int qcow2_map(struct qcow2 *s, uint64_t offset, uint64_t n, struct qcow2_map *m)
{
    uint64_t mask = qcow2_cluster_mask(s), in = offset & mask, span = qcow2_l2_span(s), sub_size = UINT64_C(1) << s->sub_bits;
    uint64_t l1i = offset / span, e, bits, have, first;
    uint32_t i = l2_index(s, offset);
    uint8_t *l2;
    int rc;

    n = MIN(n, span - (offset & (span - 1)));
    *m = (struct qcow2_map){.type = QCOW2_UNALLOCATED, .bytes = n};
    if (l1i >= s->l1_size || !(s->l1[l1i] & QCOW2_OFFSET_MASK)) return 0;
    if (s->l1[l1i] & QCOW2_OFFSET_MASK & mask)
        return qcow2_corrupt(s, s->l1[l1i] & QCOW2_OFFSET_MASK, "L2 table offset unaligned");
    rc = qcow2_table(s, &s->l2c, s->l1[l1i] & QCOW2_OFFSET_MASK, &l2);
    if (rc) return rc;
    load_entry(s, l2, i, &e, &bits);
    rc = type_of(s, e, bits, (unsigned)(in >> s->sub_bits));
    if (rc < 0) return qcow2_corrupt(s, offset, "Invalid cluster entry found (guest offset)");
    m->type = (enum qcow2_type)rc;
    if (m->type == QCOW2_COMPR) {
        if (s->external) return qcow2_corrupt(s, offset, "Compressed cluster in an image with external data (guest offset)");
        m->host = e, m->bytes = MIN(n, s->cluster_size - in);
        return 0;
    }
    m->alloc = qcow2_has_host(s, e);
    m->copied = (e & QCOW2_COPIED) != 0 && (s->l1[l1i] & QCOW2_COPIED);
    m->host = m->alloc ? (e & QCOW2_OFFSET_MASK) + in : 0;
    if (e & QCOW2_OFFSET_MASK & mask) return qcow2_corrupt(s, e & QCOW2_OFFSET_MASK, "Cluster allocation offset unaligned");
    if (s->external && m->alloc && (e & QCOW2_OFFSET_MASK) != offset - in)
        return qcow2_corrupt(s, offset, "External data file host cluster offset is not equal to the guest offset");
    first = e & QCOW2_OFFSET_MASK;
    have = sub_size - (in & (sub_size - 1));
    for (uint64_t at = ALIGN_DOWN(in, sub_size) + sub_size; have < n; at += sub_size, have += sub_size) {
        if (!(at & mask)) {
            uint64_t f;
            load_entry(s, l2, ++i, &f, &bits);
            if (m->alloc ? (f & QCOW2_OFFSET_MASK) != first + at || ((f ^ e) & QCOW2_COPIED) : qcow2_has_host(s, f)) break;
            if (f & QCOW2_COMPRESSED) break;
            e = f;
        }
        rc = type_of(s, e, bits, (unsigned)((at & mask) >> s->sub_bits));
        if (rc != (int)m->type) break;
    }
    m->bytes = MIN(n, have);
    return 0;
}

int qcow2_prefetch(struct qcow2 *s, uint64_t offset)
{
    uint64_t l1i = offset / qcow2_l2_span(s), at = l1i < s->l1_size ? s->l1[l1i] & QCOW2_OFFSET_MASK : 0, generation;
    uint8_t *tmp;
    int rc;

    if (!at || (at & qcow2_cluster_mask(s)) || qcow2_table_cached(s, &s->l2c, at)) return 0;
    tmp = blk_alloc_aligned(s->cluster_size);
    generation = s->generation;
    pthread_mutex_unlock(&s->lock);
    blk_debug_event(s->file, "l2_load");
    rc = blk_node_read(s->file, at, tmp, s->cluster_size);
    pthread_mutex_lock(&s->lock);
    /* When tables have been written or dropped meanwhile, what was read may be old: the caller reads it again. */
    if (!rc && generation == s->generation) qcow2_table_insert(s, &s->l2c, at, tmp);
    blk_free_aligned(tmp);
    return rc;
}

int qcow2_get_entry(struct qcow2 *s, uint64_t offset, uint64_t *e, uint64_t *bits)
{
    uint64_t l1i = offset / qcow2_l2_span(s);
    uint8_t *l2;
    int rc;

    *e = *bits = 0;
    if (l1i >= s->l1_size || !(s->l1[l1i] & QCOW2_OFFSET_MASK)) return 0;
    rc = qcow2_table(s, &s->l2c, s->l1[l1i] & QCOW2_OFFSET_MASK, &l2);
    if (!rc) load_entry(s, l2, l2_index(s, offset), e, bits);
    return rc;
}

/* ---- changing ------------------------------------------------------------------------------------- */

static void l1_changed(struct qcow2 *s, uint64_t i)
{
    if (s->l1_dirty_lo == s->l1_dirty_hi) s->l1_dirty_lo = (uint32_t)i, s->l1_dirty_hi = (uint32_t)i + 1;
    s->l1_dirty_lo = MIN(s->l1_dirty_lo, (uint32_t)i), s->l1_dirty_hi = MAX(s->l1_dirty_hi, (uint32_t)i + 1);
}

/* The L2 table for a guest offset, writable: made, or copied when a snapshot shares it. */
static int l2_for_write(struct qcow2 *s, uint64_t offset, uint8_t **l2)
{
    uint64_t l1i = offset / qcow2_l2_span(s), old, at;
    uint8_t *copy = NULL, *data;
    int rc;

    if (s->broken) return -EIO;
    if (l1i >= s->l1_size) return -EIO;
    old = s->l1[l1i] & QCOW2_OFFSET_MASK;
    if (old & qcow2_cluster_mask(s)) return qcow2_corrupt(s, old, "L2 table offset unaligned");
    if (old && (s->l1[l1i] & QCOW2_COPIED)) return qcow2_table(s, &s->l2c, old, l2);
    rc = qcow2_alloc(s, 1, true, &at, NULL);
    if (rc) return rc;
    if (old) {
        rc = qcow2_table(s, &s->l2c, old, &data);
        if (rc) goto fail;
        copy = mem_alloc(s->cluster_size);
        memcpy(copy, data, s->cluster_size);
    }
    rc = qcow2_table_new(s, &s->l2c, at, l2);
    if (rc) goto fail;
    if (copy) memcpy(*l2, copy, s->cluster_size);
    mem_free(copy);
    s->l1[l1i] = at | QCOW2_COPIED;
    l1_changed(s, l1i);
    s->l1_barrier = true;
    if (!old) return 0;
    rc = qcow2_free_later(s, old, s->cluster_size);
    return rc ? rc : qcow2_table(s, &s->l2c, at, l2); /* freeing may have written back and evicted */
fail:
    mem_free(copy);
    (void)qcow2_refcount_add(s, at >> s->cluster_bits, 1, -1);
    return rc;
}

/* What an L2 entry held is used no more. */
static int release(struct qcow2 *s, uint64_t e)
{
    uint64_t host, bytes;

    if (e & QCOW2_COMPRESSED) {
        qcow2_compressed_place(s, e, &host, &bytes);
        return qcow2_free_later(s, host, bytes);
    }
    if (!(e & QCOW2_OFFSET_MASK) || s->external) return 0;
    return qcow2_free_later(s, e & QCOW2_OFFSET_MASK, s->cluster_size);
}

int qcow2_set_entry(struct qcow2 *s, uint64_t offset, uint64_t value, uint64_t bits)
{
    uint32_t i = l2_index(s, offset), at = i << s->entry_shift;
    uint64_t old, old_bits;
    uint8_t *l2;
    int rc = l2_for_write(s, offset, &l2);

    if (rc) return rc;
    load_entry(s, l2, i, &old, &old_bits);
    if (old == value && old_bits == bits) return 0;
    st64_be(l2 + at, value);
    if (s->ext_l2) st64_be(l2 + at + 8, bits);
    qcow2_table_dirty(s, &s->l2c, l2, at, at + (1u << s->entry_shift));
    if ((old & QCOW2_COMPRESSED) || (old & QCOW2_OFFSET_MASK) != (value & QCOW2_OFFSET_MASK)) return release(s, old);
    return 0;
}

int qcow2_set_data(struct qcow2 *s, uint64_t offset, uint64_t n, uint64_t host, uint64_t from, uint64_t to, bool whole)
{
    for (uint64_t k = 0; k < n; k++, offset += s->cluster_size, host += s->cluster_size) {
        uint64_t e, bits = 0;
        int rc = 0;
        if (s->ext_l2) {
            uint64_t a = MAX(from, offset), b = MIN(to, offset + s->cluster_size), touched = 0xffffffff;
            if (!whole) {
                unsigned first = (unsigned)((a - offset) >> s->sub_bits), last = (unsigned)((b - 1 - offset) >> s->sub_bits);
                rc = qcow2_get_entry(s, offset, &e, &bits);
                if (rc) return rc;
                touched = ((UINT64_C(2) << last) - 1) & ~((UINT64_C(1) << first) - 1);
            }
            bits = (bits | touched) & ~(touched << 32);
        }
        rc = qcow2_set_entry(s, offset, host | QCOW2_COPIED, bits);
        if (rc) return rc;
    }
    return 0;
}

/* ---- the L1 table --------------------------------------------------------------------------------- */

/* Another L1 table becomes the active one: `l1` (host order, n entries; taken over) is written to a new place. */
static int replace_l1(struct qcow2 *s, uint64_t *l1, uint32_t n)
{
    uint64_t at, old = s->l1_offset, clusters = MAX(((uint64_t)n * 8 + s->cluster_size - 1) >> s->cluster_bits, 1), bytes;
    uint32_t old_n = s->l1_size;
    uint8_t head[12], was[12];
    int rc = qcow2_alloc(s, clusters, true, &at, NULL);

    if (rc) goto fail;
    bytes = clusters << s->cluster_bits;
    uint64_t *be = mem_zalloc((size_t)bytes);
    for (uint32_t i = 0; i < n; i++) st64_be(&be[i], l1[i]);
    rc = qcow2_writeback(s); /* the counts */
    if (!rc) rc = blk_node_write(s->file, at, be, (size_t)bytes, 0);
    if (!rc) rc = blk_node_flush(s->file);
    st32_be(head, n);
    st64_be(head + 4, at);
    if (!rc) {
        st32_be(was, old_n);
        st64_be(was + 4, old);
        rc = qcow2_switch(s, 36, head, was, 12);
    }
    mem_free(be);
    if (rc) {
        if (!s->broken) (void)qcow2_refcount_add(s, at >> s->cluster_bits, clusters, -1);
        goto fail;
    }
    mem_free(s->l1);
    s->l1 = l1, s->l1_size = n, s->l1_offset = at;
    s->l1_dirty_lo = s->l1_dirty_hi = 0;
    return old ? qcow2_free_later(s, old, MAX((uint64_t)old_n * 8, 1)) : 0;
fail:
    mem_free(l1);
    return rc;
}

int qcow2_grow_l1(struct qcow2 *s, uint64_t size)
{
    uint64_t span = qcow2_l2_span(s), n = size / span + (size % span != 0);
    int rc;

    if (n <= s->l1_size) return 0;
    if (n * 8 > QCOW2_MAX_L1) return -EFBIG;
    rc = qcow2_writeback(s);
    if (rc) return rc;
    uint64_t *l1 = NEW_ARRAY(uint64_t, n);
    memcpy(l1, s->l1, s->l1_size * sizeof *l1);
    return replace_l1(s, l1, (uint32_t)n);
}
