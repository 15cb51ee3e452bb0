/*
 * qcow2-change.c - changes of the whole image in one step: making, applying and deleting snapshots.
 *
 * Reference counts and COPIED flags are in different places and must agree, so neither can be written first. Hence all
 * that a change touches is written anew, to clusters that are free before and after it: the active L1 table, those L2
 * tables whose flags change, the snapshot table, and reference counts. Then one write of the header's first sector
 * puts the new structures in the place of the old. Until then the image is what it was, from then on it is the new one;
 * there is nothing to undo and no time at which check finds anything.
 */
#include "blockfmt/qcow2.h"

#define MAX_LOADED (UINT64_C(1) << 28) /* counts in memory at a time: 1 GiB of them */

int qcow2_change_begin(struct qcow2_change *k, struct qcow2 *s)
{
    int rc = s->broken ? -EIO : qcow2_writeback(s);

    *k = (struct qcow2_change){.s = s};
    if (!rc) rc = qcow2_writeback(s); /* what the frees of the first changed */
    if (!rc && s->lazy) rc = qcow2_writeback_counts(s);
    return rc;
}

void qcow2_change_end(struct qcow2_change *k)
{
    for (uint64_t r = 0; r < k->regions; r++) mem_free(k->counts[r]);
    mem_free(k->counts);
    mem_free(k->blocks);
    mem_free(k->l1);
}

static uint64_t clusters(const struct qcow2 *s, uint64_t bytes) { return (bytes + s->cluster_size - 1) >> s->cluster_bits; }

/* The counts of a region, to be changed. Those of regions that are never asked for stay as they are, in their place. */
static int region(struct qcow2_change *k, uint64_t r, uint32_t **out)
{
    struct qcow2 *s = k->s;
    uint64_t per = UINT64_C(1) << s->rb_bits, v;
    int rc = 0;

    if (r >= k->regions) {
        uint64_t n = MAX(r + 1, k->regions + k->regions / 2);
        if (r >= QCOW2_MAX_RT / 8) return -EFBIG;
        k->counts = mem_realloc(k->counts, n * sizeof *k->counts);
        k->blocks = mem_realloc(k->blocks, n * sizeof *k->blocks);
        for (; k->regions < n; k->regions++) k->counts[k->regions] = NULL, k->blocks[k->regions] = 0;
    }
    if (!k->counts[r]) {
        k->top = MAX(k->top, r + 1);
        k->loaded += per;
        if (k->loaded > MAX_LOADED + per) return -EFBIG;
        uint32_t *p = NEW_ARRAY(uint32_t, per);
        for (uint64_t i = 0; i < per && !rc; i++) {
            rc = qcow2_refcount_get(s, (r << s->rb_bits) + i, &v);
            if (!rc && v > UINT32_MAX) rc = -EINVAL;
            p[i] = (uint32_t)v;
        }
        if (rc) {
            mem_free(p);
            return rc;
        }
        k->counts[r] = p;
    }
    *out = k->counts[r];
    return 0;
}

/* As it will be. */
static int count_of(struct qcow2_change *k, uint64_t c, uint64_t *count)
{
    uint64_t r = c >> k->s->rb_bits;

    if (r >= k->regions || !k->counts[r]) return qcow2_refcount_get(k->s, c, count);
    *count = k->counts[r][c & ((UINT64_C(1) << k->s->rb_bits) - 1)];
    return 0;
}

/* Counts that contradict the tables are refused: check is to mend them first. */
static int add(struct qcow2_change *k, uint64_t c, uint64_t n, int delta)
{
    uint64_t most = MIN(qcow2_refcount_max(k->s), (uint64_t)UINT32_MAX), count;
    uint32_t *p;

    for (; n; n--, c++) {
        int rc = count_of(k, c, &count);
        if (!rc && (!count || (delta > 0 && count >= most))) rc = -EINVAL;
        if (!rc) rc = region(k, c >> k->s->rb_bits, &p);
        if (rc) return rc;
        p[c & ((UINT64_C(1) << k->s->rb_bits) - 1)] += (uint32_t)delta;
    }
    return 0;
}

int qcow2_change_drop(struct qcow2_change *k, uint64_t offset, uint64_t bytes)
{
    return bytes ? add(k, offset >> k->s->cluster_bits, clusters(k->s, bytes), -1) : 0;
}

static int set(struct qcow2_change *k, uint64_t c, uint64_t n, uint32_t value)
{
    uint32_t *p;

    for (; n; n--, c++) {
        int rc = region(k, c >> k->s->rb_bits, &p);
        if (rc) return rc;
        p[c & ((UINT64_C(1) << k->s->rb_bits) - 1)] = value;
    }
    return 0;
}

/* n clusters in a row that are free now and afterwards. */
static int place(struct qcow2_change *k, uint64_t n, uint64_t *offset)
{
    uint64_t run = 0, c = k->hint, old, new;

    for (; run < n; c++) {
        int rc = qcow2_refcount_get(k->s, c, &old);
        if (!rc) rc = count_of(k, c, &new);
        if (rc) return rc;
        run = old || new ? 0 : run + 1;
        if (c > QCOW2_OFFSET_MASK >> k->s->cluster_bits) return -EFBIG;
    }
    if (n == 1) k->hint = c;
    *offset = (c - n) << k->s->cluster_bits;
    return set(k, c - n, n, 1);
}

int qcow2_change_count(struct qcow2_change *k, const uint64_t *l1, uint32_t n, int delta)
{
    struct qcow2 *s = k->s;
    uint8_t *t = blk_alloc_aligned(s->cluster_size);
    int rc = 0;

    for (uint32_t i = 0; i < n && !rc; i++) {
        uint64_t at = l1[i] & QCOW2_OFFSET_MASK;
        if (!at) continue;
        if (at & qcow2_cluster_mask(s)) {
            rc = qcow2_corrupt(s, at, "L2 table offset unaligned");
            break;
        }
        rc = blk_node_read(s->file, at, t, s->cluster_size); /* the file has all that memory has */
        for (uint32_t j = 0; j < 1u << s->l2_bits && !rc; j++) {
            uint64_t e = ld64_be(t + ((size_t)j << s->entry_shift)), host = e & QCOW2_OFFSET_MASK, bytes = s->cluster_size;
            if (e & QCOW2_COMPRESSED) qcow2_compressed_place(s, e, &host, &bytes);
            else if (!host) continue;
            else if (host & qcow2_cluster_mask(s)) rc = qcow2_corrupt(s, host, "Data cluster offset unaligned");
            uint64_t c = host >> s->cluster_bits;
            if (!rc) rc = add(k, c, ((host + bytes - 1) >> s->cluster_bits) - c + 1, delta);
        }
        if (!rc) rc = add(k, at >> s->cluster_bits, 1, delta);
    }
    blk_free_aligned(t);
    return rc;
}

int qcow2_change_l1(struct qcow2_change *k, const uint64_t *l1, uint32_t n, uint64_t *offset)
{
    uint64_t *be = NEW_ARRAY(uint64_t, n + 1);
    int rc = n ? place(k, clusters(k->s, (uint64_t)n * 8), offset) : 0;

    if (!n) *offset = 0;
    for (uint32_t i = 0; i < n; i++) st64_be(&be[i], l1[i]);
    if (!rc && n) rc = blk_node_write(k->s->file, *offset, be, (size_t)n * 8, 0);
    mem_free(be);
    return rc;
}

/* The flags of one table of the new active tree, *entry of its L1 table: where they change, it moves. */
static int flags_of(struct qcow2_change *k, uint8_t *t, uint64_t *entry)
{
    struct qcow2 *s = k->s;
    uint64_t at = *entry & QCOW2_OFFSET_MASK, c = at >> s->cluster_bits, count;
    bool changed = false;
    int rc = blk_node_read(s->file, at, t, s->cluster_size);

    for (uint32_t i = 0; i < s->cluster_size && !rc; i += 1u << s->entry_shift) {
        uint64_t e = ld64_be(t + i), host = e & QCOW2_OFFSET_MASK;
        if ((e & QCOW2_COMPRESSED) || !host || (host & qcow2_cluster_mask(s))) continue;
        rc = count_of(k, host >> s->cluster_bits, &count);
        if (rc || (count == 1) == !!(e & QCOW2_COPIED)) continue;
        st64_be(t + i, e ^ QCOW2_COPIED);
        changed = true;
    }
    if (!rc && changed) {
        rc = add(k, c, 1, -1);
        if (!rc) rc = place(k, 1, &at);
        if (!rc) rc = blk_node_write(s->file, at, t, s->cluster_size, 0);
    }
    if (!rc) rc = count_of(k, at >> s->cluster_bits, &count);
    if (!rc) *entry = at | (count == 1 ? QCOW2_COPIED : 0);
    return rc;
}

static int active_tables(struct qcow2_change *k)
{
    uint8_t *t = blk_alloc_aligned(k->s->cluster_size);
    int rc = 0;

    for (uint32_t i = 0; i < k->l1_size && !rc; i++) {
        if (k->l1[i] & QCOW2_OFFSET_MASK) rc = flags_of(k, t, &k->l1[i]);
    }
    blk_free_aligned(t);
    return rc;
}

static bool all_free(const struct qcow2_change *k, uint64_t r)
{
    uint64_t per = UINT64_C(1) << k->s->rb_bits;
    const uint32_t *p = k->counts[r];

    while (per && !*p) p++, per--;
    return !per;
}

/* The places of the new counts: the table, and a block for each region with changes. Finding them changes counts too, so
 * until it does not any more. */
static int place_counts(struct qcow2_change *k)
{
    struct qcow2 *s = k->s;
    uint64_t per = s->cluster_size / 8, tclusters = 0, dropped = 0;
    uint8_t *seen = NULL; /* regions whose old block is dropped */
    bool more = true;
    int rc = qcow2_change_drop(k, s->rt_offset, (uint64_t)s->rt_size * 8);

    while (more && !rc) {
        more = false;
        for (uint64_t r = 0; r < k->regions && !rc; r++) {
            if (!k->counts[r]) continue;
            if (r >= dropped) {
                seen = mem_realloc(seen, k->regions);
                memset(seen + dropped, 0, k->regions - dropped);
                dropped = k->regions;
            }
            if (!seen[r]) {
                seen[r] = 1, more = true;
                if (r < s->rt_size && (s->rt[r] & QCOW2_OFFSET_MASK))
                    rc = qcow2_change_drop(k, s->rt[r] & QCOW2_OFFSET_MASK, s->cluster_size);
            }
            if (rc || k->blocks[r] || all_free(k, r)) continue;
            uint64_t at; /* the array may move */
            rc = place(k, 1, &at);
            if (!rc) k->blocks[r] = at, more = true;
        }
        if (!rc && tclusters * per < MAX(k->top, (uint64_t)s->rt_size)) {
            if (tclusters) rc = set(k, k->rt_offset >> s->cluster_bits, tclusters, 0);
            tclusters = (MAX(k->top, (uint64_t)s->rt_size) + per - 1) / per;
            if (!rc && tclusters << s->cluster_bits > QCOW2_MAX_RT) rc = -EFBIG;
            if (!rc) rc = place(k, tclusters, &k->rt_offset);
            more = true;
        }
    }
    mem_free(seen);
    k->rt_size = tclusters * per;
    return rc;
}

static int write_counts(struct qcow2_change *k)
{
    struct qcow2 *s = k->s;
    uint64_t per = UINT64_C(1) << s->rb_bits, *be;
    uint8_t *buf = blk_alloc_aligned(s->cluster_size);
    int rc = 0;

    k->rt = NEW_ARRAY(uint64_t, k->rt_size);
    for (uint64_t r = 0; r < k->rt_size; r++)
        k->rt[r] = r < k->regions && k->counts[r] ? k->blocks[r] : r < s->rt_size ? s->rt[r] : 0;
    for (uint64_t r = 0; r < k->top && !rc; r++) {
        if (!k->counts[r] || !k->blocks[r]) continue;
        memset(buf, 0, s->cluster_size);
        for (uint64_t i = 0; i < per; i++) qcow2_refcount_write(s, buf, i, k->counts[r][i]);
        rc = blk_node_write(s->file, k->blocks[r], buf, s->cluster_size, 0);
    }
    blk_free_aligned(buf);
    be = NEW_ARRAY(uint64_t, k->rt_size);
    for (uint64_t r = 0; r < k->rt_size; r++) st64_be(&be[r], k->rt[r]);
    if (!rc) rc = blk_node_write(s->file, k->rt_offset, be, (size_t)k->rt_size * 8, 0);
    mem_free(be);
    return rc;
}

/* Gives the space of clusters back that are free from now on; s->rt still leads to the old counts. */
static void discard(struct qcow2_change *k)
{
    struct qcow2 *s = k->s;
    uint64_t per = UINT64_C(1) << s->rb_bits, first = 0, run = 0, old;

    for (uint64_t r = 0; r < k->regions; r++) {
        for (uint64_t i = 0; k->counts[r] && i < per; i++) {
            uint64_t c = (r << s->rb_bits) + i;
            if (k->counts[r][i] || qcow2_refcount_get(s, c, &old) || !old) continue;
            if (run && first + run == c) {
                run++;
                continue;
            }
            if (run) (void)blk_node_discard(s->file, first << s->cluster_bits, run << s->cluster_bits);
            first = c, run = 1;
        }
    }
    if (run) (void)blk_node_discard(s->file, first << s->cluster_bits, run << s->cluster_bits);
}

int qcow2_change_commit(struct qcow2_change *k, uint64_t size)
{
    struct qcow2 *s = k->s;
    uint64_t l1_offset = s->l1_offset, snapshots = 0, bytes = 0;
    uint8_t now[48], was[48], *table = qcow2_snapshots_build(s, &bytes);
    int rc = active_tables(k);

    if (!rc && s->l1_size) rc = qcow2_change_drop(k, s->l1_offset, (uint64_t)s->l1_size * 8);
    if (!rc && k->l1_size) rc = qcow2_change_l1(k, k->l1, k->l1_size, &l1_offset);
    if (!rc && s->snapshots_bytes) rc = qcow2_change_drop(k, s->snapshots_offset, s->snapshots_bytes);
    if (!rc && bytes) rc = place(k, clusters(s, bytes), &snapshots);
    if (!rc && bytes) rc = blk_node_write(s->file, snapshots, table, (size_t)bytes, 0);
    if (!rc) rc = place_counts(k);
    if (!rc) rc = write_counts(k);
    if (!rc) rc = blk_node_flush(s->file);
    if (!rc) rc = blk_node_read(s->file, 24, was, sizeof was);
    if (!rc) {
        memcpy(now, was, sizeof now);
        st64_be(now, size);
        st32_be(now + 12, k->l1_size);
        st64_be(now + 16, l1_offset);
        st64_be(now + 24, k->rt_offset);
        st32_be(now + 32, (uint32_t)(k->rt_size >> (s->cluster_bits - 3)));
        st32_be(now + 36, s->n_snapshots);
        st64_be(now + 40, snapshots);
        rc = qcow2_switch(s, 24, now, was, sizeof now);
    }
    mem_free(table);
    if (rc) {
        mem_free(k->rt);
        return rc;
    }
    if (s->pass_discard) discard(k);
    mem_free(s->rt);
    mem_free(s->l1);
    s->rt = k->rt, s->rt_size = (uint32_t)k->rt_size, s->rt_offset = k->rt_offset;
    s->l1 = k->l1, s->l1_size = k->l1_size, s->l1_offset = l1_offset;
    s->snapshots_offset = snapshots, s->snapshots_bytes = bytes;
    k->l1 = NULL;
    qcow2_cache_drop(&s->l2c); /* all clean, and their clusters may be other things now */
    qcow2_cache_drop(&s->rbc);
    s->generation++;
    s->hint = 0, s->comp_offset = 0;
    return 0;
}
