/*
 * qcow2-check.c - check and repair: all references of an image are counted anew and compared with what it says. A
 * repair corrects counts and COPIED flags, makes entries that lead nowhere read as zeros, and builds all reference
 * counts anew behind the end of the file when their own tables are damaged. Nothing is freed while a table could not
 * be read.
 */
#include "blockfmt/qcow2.h"

#include <stdarg.h>
#include <stdio.h>

/* A count for each cluster of the file, in pieces, as a file may be mostly holes. */
enum { PIECE_BITS = 12 };
#define MAX_PIECES (UINT64_C(1) << 18) /* 4 GiB of counts */
struct counts {
    uint32_t **piece;
    uint64_t n, n_pieces;
    bool full; /* there was no room for more */
};

struct checker {
    struct qcow2 *s;
    struct blk_check *c;
    unsigned fix;
    struct counts used;  /* references found, by cluster; those of the refcount structures last */
    uint64_t n;          /* clusters of the file */
    uint64_t last_host;
    uint8_t *table;      /* room for one */
    bool damaged;        /* tables could not be followed: nothing may be freed */
    bool rebuild;        /* the refcount structures cannot be mended in place */
    bool exact;          /* all counts of the image are those of `used` */
};

static void say(struct checker *k, const char *fmt, ...) ATTR_PRINTF(2, 3);
static void say(struct checker *k, const char *fmt, ...)
{
    char buf[256];
    va_list ap;

    if (!k->c->message) return;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    k->c->message(k->c->opaque, buf);
}



static void counts_init(struct counts *v, uint64_t n)
{
    *v = (struct counts){.n = n};
    v->piece = NEW_ARRAY(uint32_t *, (n >> PIECE_BITS) + 1);
}

static void counts_free(struct counts *v)
{
    for (uint64_t i = 0; v->piece && i <= v->n >> PIECE_BITS; i++) mem_free(v->piece[i]);
    mem_free(v->piece);
    v->piece = NULL;
}

static inline uint32_t counts_get(const struct counts *v, uint64_t c)
{
    const uint32_t *p = c < v->n ? v->piece[c >> PIECE_BITS] : NULL;
    return p ? p[c & ((1u << PIECE_BITS) - 1)] : 0;
}

static inline void counts_add(struct counts *v, uint64_t c)
{
    uint32_t **p = &v->piece[c >> PIECE_BITS], *x;

    if (!*p) {
        if (v->n_pieces == MAX_PIECES) {
            v->full = true;
            return;
        }
        v->n_pieces++;
        *p = NEW_ARRAY(uint32_t, 1u << PIECE_BITS);
    }
    x = &(*p)[c & ((1u << PIECE_BITS) - 1)];
    if (*x < UINT32_MAX) ++*x;
}

static void counts_copy(struct counts *to, const struct counts *from)
{
    counts_init(to, from->n);
    for (uint64_t i = 0; i <= from->n >> PIECE_BITS; i++) {
        if (!from->piece[i]) continue;
        to->piece[i] = mem_alloc(sizeof(uint32_t) << PIECE_BITS);
        memcpy(to->piece[i], from->piece[i], sizeof(uint32_t) << PIECE_BITS);
    }
}

/* How many clusters from c on have no reference for certain: to the end of an absent piece. */
static inline uint64_t counts_hole(const struct counts *v, uint64_t c)
{
    return c < v->n && v->piece[c >> PIECE_BITS] ? 0 : (UINT64_C(1) << PIECE_BITS) - (c & ((1u << PIECE_BITS) - 1));
}

/* Counts a reference to all clusters that the bytes touch; false: they are not in the file. */
static bool refer(struct checker *k, uint64_t offset, uint64_t bytes)
{
    unsigned bits = k->s->cluster_bits;

    if (!bytes) return true;
    if (offset + bytes < offset || (offset + bytes - 1) >> bits >= k->n) {
        say(k, "ERROR: counting reference for region exceeding the end of the file by one cluster or more: offset 0x%llx size 0x%llx",
            (unsigned long long)offset, (unsigned long long)bytes);
        return false;
    }
    for (uint64_t c = offset >> bits; c <= (offset + bytes - 1) >> bits; c++) counts_add(&k->used, c);
    return true;
}

/* A corruption of an entry: true when it is to be mended. */
static bool mend(struct checker *k)
{
    if (k->fix & BLK_FIX_ERRORS) k->c->corruptions_fixed++;
    else k->c->corruptions++;
    return (k->fix & BLK_FIX_ERRORS) != 0;
}

/* ---- references ----------------------------------------------------------------------------------- */

/* One entry of an L2 table: false when it must become zeros. */
static bool check_entry(struct checker *k, uint64_t e, uint64_t bits, uint64_t guest, bool active)
{
    struct qcow2 *s = k->s;
    uint64_t host, bytes;

    if (e & QCOW2_COMPRESSED) {
        if (e & QCOW2_COPIED) {
            say(k, "ERROR: coffset=0x%llx: copied flag must never be set for compressed clusters",
                (unsigned long long)(e & ~(QCOW2_COPIED | QCOW2_COMPRESSED)));
            k->c->corruptions++;
        }
        if (s->external || bits) {
            say(k, "ERROR compressed cluster %llx: %s", (unsigned long long)guest,
                bits ? "has subclusters allocated" : "in an image with an external data file");
            return false;
        }
        qcow2_compressed_place(s, e, &host, &bytes);
        /* the last sector may be said to reach behind the end of the file */
        if (host < k->n << s->cluster_bits) bytes = MIN(bytes, (k->n << s->cluster_bits) - host);
        if (active) k->c->allocated_clusters++, k->c->compressed_clusters++, k->c->fragmented_clusters++;
        return refer(k, host, bytes);
    }
    if (s->ext_l2 && (bits & bits >> 32 & 0xffffffff)) {
        say(k, "ERROR guest offset=%llx: subclusters both allocated and zero; L2 entry corrupted", (unsigned long long)guest);
        return false;
    }
    if (!qcow2_has_host(s, e)) {
        if (!(bits & 0xffffffff)) return true;
        say(k, "ERROR guest offset=%llx: subclusters allocated without a cluster; L2 entry corrupted", (unsigned long long)guest);
        return false;
    }
    host = e & QCOW2_OFFSET_MASK;
    if (host & qcow2_cluster_mask(s)) {
        say(k, "ERROR offset=%llx: %s is not properly aligned; L2 entry corrupted.", (unsigned long long)host,
            !s->ext_l2 && s->version >= 3 && (e & QCOW2_ZERO) ? "Preallocated zero cluster" : "Data cluster");
        return false;
    }
    if (s->external) {
        if (active) k->c->allocated_clusters++;
        if (host == guest) return true;
        say(k, "ERROR guest offset=%llx host offset=%llx: external data lies elsewhere", (unsigned long long)guest,
            (unsigned long long)host);
        return false;
    }
    if (!refer(k, host, s->cluster_size)) return false;
    if (active) {
        k->c->allocated_clusters++;
        if (k->last_host && k->last_host + s->cluster_size != host) k->c->fragmented_clusters++;
        k->last_host = host;
    }
    return true;
}

static int check_l2(struct checker *k, uint64_t l2_offset, uint64_t guest, bool active)
{
    struct qcow2 *s = k->s;
    uint8_t *t = k->table;
    bool changed = false;
    int rc = blk_node_read(s->file, l2_offset, t, s->cluster_size);

    k->last_host = 0; /* each table starts anew: the table itself lies between */
    for (uint32_t i = 0; !rc && i < 1u << s->l2_bits; i++, guest += s->cluster_size) {
        uint8_t *p = t + ((size_t)i << s->entry_shift);
        uint64_t e = ld64_be(p), bits = s->ext_l2 ? ld64_be(p + 8) : 0;
        if ((!e && !bits) || check_entry(k, e, bits, guest, active)) continue;
        if (!mend(k)) continue;
        st64_be(p, s->ext_l2 || s->version < 3 ? 0 : QCOW2_ZERO);
        if (s->ext_l2) st64_be(p + 8, UINT64_C(0xffffffff) << 32);
        changed = true;
    }
    if (!rc && changed) rc = blk_node_write(s->file, l2_offset, t, s->cluster_size, 0);
    return rc;
}

/* l1: host order. *changed: entries were cleared. */
static void check_l1(struct checker *k, uint64_t *l1, uint32_t n, bool active, bool *changed)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t l2 = l1[i] & QCOW2_OFFSET_MASK;
        bool aligned = !(l2 & qcow2_cluster_mask(k->s));
        const char *meta = qcow2_overlap_known(k->s, l2, k->s->cluster_size);
        int rc;
        if (!l2) continue;
        if (!aligned) say(k, "ERROR l2_offset=%llx: Table is not cluster aligned; L1 entry corrupted", (unsigned long long)l2);
        else if (meta) say(k, "ERROR l2_offset=%llx: Table overlaps with %s; L1 entry corrupted", (unsigned long long)l2, meta);
        if (!aligned || meta || !refer(k, l2, k->s->cluster_size)) {
            k->damaged = true;
            if (mend(k)) l1[i] = 0, *changed = true;
            continue;
        }
        rc = check_l2(k, l2, (uint64_t)i * qcow2_l2_span(k->s), active);
        if (rc) {
            say(k, "ERROR: I/O error in L2 table at offset 0x%llx: %s", (unsigned long long)l2, strerror(-rc));
            k->c->check_errors++;
            k->damaged = true;
        }
    }
}

static int store_l1(struct qcow2 *s, uint64_t offset, const uint64_t *l1, uint32_t n)
{
    uint64_t *be = NEW_ARRAY(uint64_t, n + 1);
    for (uint32_t i = 0; i < n; i++) st64_be(&be[i], l1[i]);
    int rc = blk_node_write(s->file, offset, be, (size_t)n * 8, 0);
    mem_free(be);
    return rc;
}

static int check_snapshot(struct checker *k, const struct qcow2_snapshot *sn)
{
    uint64_t *l1;
    bool changed = false;
    int rc;

    /* Where it says that its table is, may be another one: nothing is to be changed there. */
    const char *meta = sn->l1_size ? qcow2_overlap_known(k->s, sn->l1_offset, (uint64_t)sn->l1_size * 8) : NULL;
    const char *wrong = sn->l1_offset & qcow2_cluster_mask(k->s) ? "is not cluster aligned" : meta ? "overlaps with " : NULL;
    if (!wrong && !refer(k, sn->l1_offset, (uint64_t)sn->l1_size * 8)) wrong = "is not in the file";
    if (wrong) {
        say(k, "ERROR snapshot %s (%s): its L1 table %s%s", sn->id, sn->name, wrong, meta && wrong[0] == 'o' ? meta : "");
        k->c->corruptions++;
        k->damaged = true;
        return 0;
    }
    l1 = NEW_ARRAY(uint64_t, sn->l1_size + 1);
    rc = blk_node_read(k->s->file, sn->l1_offset, l1, (size_t)sn->l1_size * 8);
    for (uint32_t x = 0; x < sn->l1_size; x++) l1[x] = ld64_be(&l1[x]);
    if (!rc) check_l1(k, l1, sn->l1_size, false, &changed);
    if (!rc && changed) rc = store_l1(k->s, sn->l1_offset, l1, sn->l1_size);
    mem_free(l1);
    return rc;
}

static int check_bitmaps(struct checker *k)
{
    struct qcow2 *s = k->s;
    int rc = 0;

    if (!s->n_bitmaps) return 0;
    if (!refer(k, s->bitmap_dir_offset, s->bitmap_dir_size)) k->c->corruptions++;
    for (uint32_t i = 0; i < s->n_bitmaps && !rc; i++) {
        const struct qcow2_bitmap *b = &s->bitmaps[i];
        if (!refer(k, b->table_offset, (uint64_t)b->table_size * 8)) {
            k->c->corruptions++;
            continue;
        }
        uint64_t *t = NEW_ARRAY(uint64_t, b->table_size + 1);
        rc = blk_node_read(s->file, b->table_offset, t, (size_t)b->table_size * 8);
        for (uint32_t x = 0; x < b->table_size && !rc; x++) {
            uint64_t e = ld64_be(&t[x]), at = e & QCOW2_OFFSET_MASK;
            if (!at) continue;
            if ((at & qcow2_cluster_mask(s)) || !refer(k, at, s->cluster_size)) {
                say(k, "ERROR bitmap '%s': entry %u of its table is %llx", b->name, x, (unsigned long long)e);
                k->c->corruptions++;
            }
        }
        mem_free(t);
    }
    return rc;
}

/* All but the refcount structures. */
static int count_references(struct checker *k)
{
    struct qcow2 *s = k->s;
    bool changed = false;
    int rc = 0;

    (void)refer(k, 0, s->cluster_size);
    if (!refer(k, s->l1_offset, (uint64_t)s->l1_size * 8)) k->c->corruptions++, k->damaged = true;
    check_l1(k, s->l1, s->l1_size, true, &changed);
    if (changed) rc = store_l1(s, s->l1_offset, s->l1, s->l1_size);
    if (s->n_snapshots && !refer(k, s->snapshots_offset, s->snapshots_bytes)) k->c->corruptions++, k->damaged = true;
    for (uint32_t i = 0; i < s->n_snapshots && !rc; i++) rc = check_snapshot(k, &s->snapshots[i]);
    if (!rc) rc = check_bitmaps(k);
    if (!rc && k->used.full) rc = -EFBIG;
    if (s->crypto_offset && !refer(k, s->crypto_offset, s->crypto_length)) k->c->corruptions++;
    return rc;
}

/* ---- the refcount structures ---------------------------------------------------------------------- */

static void count_structures(struct checker *k)
{
    struct qcow2 *s = k->s;

    if (!s->rt_size || !refer(k, s->rt_offset, (uint64_t)s->rt_size * 8)) k->rebuild = true, k->c->corruptions += !s->rt_size;
    for (uint32_t i = 0; i < s->rt_size; i++) {
        uint64_t b = s->rt[i] & QCOW2_OFFSET_MASK;
        bool odd = (b & qcow2_cluster_mask(s)) != 0;
        if (!b) continue;
        if (odd || !refer(k, b, s->cluster_size)) {
            say(k, "%s refcount block %u is %s", k->fix & BLK_FIX_ERRORS ? "Repairing" : "ERROR", i,
                odd ? "not cluster aligned; refcount table entry corrupted" : "outside image");
            k->rebuild = true;
            k->c->corruptions++;
            s->rt[i] = 0; /* in memory: what it counted is missing */
        }
    }
    /* Blocks that lie on something else count nothing. */
    for (uint32_t i = 0; i < s->rt_size; i++) {
        uint64_t b = s->rt[i] & QCOW2_OFFSET_MASK;
        uint32_t used = counts_get(&k->used, b >> s->cluster_bits);
        if (!b || used == 1) continue;
        say(k, "ERROR refcount block %u refcount=%u", i, used);
        k->rebuild = true;
    }
    for (uint64_t c = s->rt_offset >> s->cluster_bits, n = (uint64_t)s->rt_size * 8 >> s->cluster_bits; n && c < k->n; c++, n--) {
        if (counts_get(&k->used, c) > 1) k->rebuild = true;
    }
}

static bool next_block(struct checker *k, uint64_t c)
{
    struct qcow2 *s = k->s;
    return c >> s->rb_bits < s->rt_size && (s->rt[c >> s->rb_bits] & QCOW2_OFFSET_MASK);
}

static int compare_counts(struct checker *k)
{
    struct qcow2 *s = k->s;
    uint64_t end = MAX(k->n, (uint64_t)s->rt_size << s->rb_bits), count, most = qcow2_refcount_max(s);

    for (uint64_t c = 0; c < end; c++) {
        uint64_t used = counts_get(&k->used, c), left = (UINT64_C(1) << s->rb_bits) - (c & ((UINT64_C(1) << s->rb_bits) - 1));
        bool there = next_block(k, c);
        int rc = 0;
        if (!there && !used) { /* regions without a block count nothing */
            uint64_t hole = counts_hole(&k->used, c);
            if (hole) c += MIN(hole, left) - 1;
            continue;
        }
        rc = qcow2_refcount_get(s, c, &count);
        if (rc) return rc;
        if (used || count) k->c->image_end_offset = (c + 1) << s->cluster_bits;
        if (count == used) continue;
        bool leak = count > used, can = leak ? k->fix & (BLK_FIX_LEAKS | BLK_FIX_ERRORS) : k->fix & BLK_FIX_ERRORS;
        if (leak && k->damaged) can = false;
        if (!leak && (!there || used > most)) k->rebuild = k->rebuild || !there, can = false;
        if (k->rebuild && (k->fix & BLK_FIX_ERRORS)) can = false; /* the blocks may lie on other tables; new ones are made */
        say(k, "%s cluster %llu refcount=%llu reference=%llu", can ? "Repairing" : leak ? "Leaked" : "ERROR", (unsigned long long)c,
            (unsigned long long)count, (unsigned long long)used);
        if (can) {
            rc = qcow2_refcount_set(s, c, used);
            if (!rc) {
                if (leak) k->c->leaks_fixed++;
                else k->c->corruptions_fixed++;
                continue;
            }
        }
        if (leak) k->c->leaks++;
        else k->c->corruptions++;
    }
    return 0;
}

static bool region_used(const struct counts *used, uint64_t c, uint64_t n)
{
    for (uint64_t end = c + n; c < end; c++) {
        uint64_t hole = counts_hole(used, c);
        if (hole) c += hole - 1;
        else if (counts_get(used, c)) return true;
    }
    return false;
}

/* New refcount structures for `used` (without the old structures), behind the end of the file. */
static int build_counts(struct qcow2 *s, const struct counts *used, unsigned order, struct error *e)
{
    struct qcow2 as = {.refcount_order = order};
    unsigned rb_bits = s->cluster_bits + 3 - order;
    uint64_t per = UINT64_C(1) << rb_bits, most = order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << order)) - 1;
    uint64_t n = used->n, rb = 0, rt = 0, first = n, at, next;
    uint8_t *buf, head[12], be[4];
    int rc;

    for (uint64_t c = 0; c < n; c++) {
        uint64_t hole = counts_hole(used, c);
        if (hole) {
            c += hole - 1;
            continue;
        }
        if (counts_get(used, c) > most)
            return error_set(e, "Cannot decrease refcount entry width to %u bits: Cluster at offset 0x%llx has a refcount of %u",
                             1u << order, (unsigned long long)(c << s->cluster_bits), counts_get(used, c)), -ENOTSUP;
    }
    /* Blocks for the regions in use, which lie before that of `first`, and for that and all behind it. */
    uint64_t before = 0;
    for (uint64_t i = 0; i < first >> rb_bits; i++) before += region_used(used, i << rb_bits, per);
    for (;;) {
        uint64_t regions = (first + rb + rt + per - 1) >> rb_bits, blocks = before + regions - (first >> rb_bits);
        uint64_t table = (regions * 8 + s->cluster_size - 1) >> s->cluster_bits;
        if (blocks <= rb && table <= rt) break;
        rb = MAX(blocks, rb), rt = MAX(table, rt);
        if (rt << s->cluster_bits > QCOW2_MAX_RT) break;
    }
    if (rt << s->cluster_bits > QCOW2_MAX_RT) return error_set(e, "the refcount table would be too large"), -EFBIG;
    rc = qcow2_writeback(s);
    buf = mem_alloc(s->cluster_size);
    uint64_t entries = rt << (s->cluster_bits - 3), *table = NEW_ARRAY(uint64_t, entries), *host = NEW_ARRAY(uint64_t, entries);
    next = first;
    for (uint64_t i = 0; i < entries && next < first + rb && !rc; i++) {
        if (i < first >> rb_bits && !region_used(used, i << rb_bits, per)) continue;
        memset(buf, 0, s->cluster_size);
        for (uint64_t j = 0; j < per; j++) {
            uint64_t c = (i << rb_bits) + j;
            qcow2_refcount_write(&as, buf, j, c < n ? counts_get(used, c) : c >= first && c < first + rb + rt);
        }
        at = next++ << s->cluster_bits;
        host[i] = at;
        st64_be(&table[i], at);
        rc = blk_node_write(s->file, at, buf, s->cluster_size, 0);
    }
    at = (first + rb) << s->cluster_bits;
    if (!rc) rc = blk_node_write(s->file, at, table, (size_t)entries * 8, 0);
    if (!rc) rc = blk_node_flush(s->file);
    st64_be(head, at);
    st32_be(head + 8, (uint32_t)rt);
    st32_be(be, order);
    if (!rc && s->refcount_order != order) { /* both fields at once */
        uint8_t all[56];
        rc = blk_node_read(s->file, 48, all, sizeof all);
        memcpy(all, head, 12);
        memcpy(all + 48, be, 4);
        if (!rc) rc = blk_node_write(s->file, 48, all, sizeof all, 0);
    } else if (!rc) {
        rc = blk_node_write(s->file, 48, head, 12, 0);
    }
    if (!rc) rc = blk_node_flush(s->file);
    mem_free(table);
    mem_free(buf);
    if (rc) {
        mem_free(host);
        return error_set(e, "could not write new reference counts: %s", strerror(-rc)), rc;
    }
    mem_free(s->rt);
    s->rt = host, s->rt_size = (uint32_t)entries, s->rt_offset = at, s->refcount_order = order, s->rb_bits = rb_bits;
    s->rt_dirty_lo = s->rt_dirty_hi = 0, s->hint = 0, s->comp_offset = 0;
    qcow2_cache_drop(&s->rbc);
    s->generation++;
    return 0;
}

/* ---- COPIED flags --------------------------------------------------------------------------------- */

/* Should the flag of entry e change? */
static int copied_wrong(struct qcow2 *s, const struct checker *k, uint64_t e, uint64_t *count, bool *wrong)
{
    uint64_t host = e & QCOW2_OFFSET_MASK;
    int rc = 0;

    *wrong = false;
    if ((e & QCOW2_COMPRESSED) || !host || (host & qcow2_cluster_mask(s)) || s->external) return 0;
    if (k->exact) *count = counts_get(&k->used, host >> s->cluster_bits);
    else rc = qcow2_refcount_get(s, host >> s->cluster_bits, count);
    *wrong = !rc && (*count == 1) != !!(e & QCOW2_COPIED);
    return rc;
}

/* One active L2 table; none is wanted in memory. */
static int check_copied_l2(struct qcow2 *s, struct checker *k, uint64_t l2_offset)
{
    uint8_t *l2 = k->table;
    bool changed = false;
    int rc = blk_node_read(s->file, l2_offset, l2, s->cluster_size);

    for (uint32_t at = 0; at < s->cluster_size && !rc; at += 1u << s->entry_shift) {
        uint64_t e = ld64_be(l2 + at), count;
        bool wrong;
        rc = copied_wrong(s, k, e, &count, &wrong);
        if (rc || !wrong) continue;
        say(k, "%s OFLAG_COPIED data cluster: l2_entry=%llx refcount=%llu",
            k->fix & BLK_FIX_ERRORS ? "Repairing" : "ERROR", (unsigned long long)e, (unsigned long long)count);
        if (!mend(k)) continue;
        st64_be(l2 + at, e ^ QCOW2_COPIED);
        changed = true;
    }
    if (!rc && changed) rc = blk_node_write(s->file, l2_offset, l2, s->cluster_size, 0);
    return rc;
}

static int copied_l1(struct qcow2 *s, struct checker *k)
{
    int rc = 0;

    for (uint32_t i = 0; i < s->l1_size && !rc; i++) {
        uint64_t l2 = s->l1[i] & QCOW2_OFFSET_MASK, count;
        if (!l2 || (l2 & qcow2_cluster_mask(s)) || l2 >> s->cluster_bits >= k->n) continue;
        rc = qcow2_refcount_get(s, l2 >> s->cluster_bits, &count);
        if (!rc && (count == 1) != !!(s->l1[i] & QCOW2_COPIED)) {
            say(k, "%s OFLAG_COPIED L2 cluster: l1_index=%u l1_entry=%llx refcount=%llu",
                k->fix & BLK_FIX_ERRORS ? "Repairing" : "ERROR", i, (unsigned long long)s->l1[i], (unsigned long long)count);
            if (mend(k)) {
                s->l1[i] ^= QCOW2_COPIED;
                if (s->l1_dirty_lo == s->l1_dirty_hi) s->l1_dirty_lo = i, s->l1_dirty_hi = i + 1;
                s->l1_dirty_lo = MIN(s->l1_dirty_lo, i), s->l1_dirty_hi = MAX(s->l1_dirty_hi, i + 1);
            }
        }
        if (!rc) rc = check_copied_l2(s, k, l2);
    }
    return rc;
}

/* ---- all of it ------------------------------------------------------------------------------------ */

static int start(struct checker *k, struct qcow2 *s, unsigned fix, struct blk_check *c)
{
    int rc = 0;

    *k = (struct checker){.s = s, .c = c, .fix = fix};
    if (!(blk_node_flags(s->node) & BLK_RDONLY)) {
        rc = qcow2_writeback(s);
        if (!rc) rc = qcow2_writeback(s);
        if (!rc && s->lazy) rc = qcow2_writeback_counts(s);
    }
    if (rc) return rc;
    qcow2_cache_drop(&s->l2c);
    k->n = (blk_node_size(s->file) + s->cluster_size - 1) >> s->cluster_bits;
    if (k->n > UINT64_C(1) << 34) return -EFBIG;
    counts_init(&k->used, k->n);
    k->table = blk_alloc_aligned(s->cluster_size);
    return 0;
}

int qcow2_rebuild(struct qcow2 *s, unsigned order, struct error *e)
{
    struct blk_check c = {0};
    struct checker k;
    int rc = start(&k, s, 0, &c);

    if (!rc) rc = count_references(&k);
    if (!rc && (c.corruptions || c.check_errors)) rc = (error_set(e, "the image has errors: check it first"), -EIO);
    if (!rc) rc = build_counts(s, &k.used, order, e);
    counts_free(&k.used);
    blk_free_aligned(k.table);
    return rc;
}

int qcow2_check_locked(struct qcow2 *s, unsigned fix, struct blk_check *c, struct error *e)
{
    struct checker k;
    bool broken = s->broken;
    uint64_t before;
    struct counts plain = {NULL, 0, 0, false};
    int rc = start(&k, s, fix, c);

    if (rc) goto out;
    s->broken = false; /* repairs write */
    c->total_clusters = (s->size + s->cluster_size - 1) >> s->cluster_bits;
    rc = count_references(&k);
    if (rc) goto out;
    if (fix & BLK_FIX_ERRORS) { /* for building anew */
        counts_copy(&plain, &k.used);
    }
    before = c->corruptions;
    count_structures(&k);
    rc = k.used.full ? -EFBIG : compare_counts(&k);
    if (!rc && k.rebuild && (fix & BLK_FIX_ERRORS) && !c->check_errors) {
        say(&k, "Rebuilding refcount structure");
        rc = build_counts(s, &plain, s->refcount_order, e);
        if (!rc) {
            c->corruptions_fixed += c->corruptions - before;
            c->corruptions = before;
            c->leaks_fixed += c->leaks, c->leaks = 0;
        }
    }
    k.exact = !rc && !k.damaged && !k.rebuild && !c->corruptions && !c->leaks && !c->corruptions_fixed && !c->leaks_fixed;
    if (!rc) rc = copied_l1(s, &k);
    if (!rc && fix) {
        rc = qcow2_writeback(s);
        if (!rc) rc = qcow2_writeback(s);
        if (!rc && s->lazy) rc = qcow2_writeback_counts(s);
        if (!rc) rc = blk_node_flush(s->file);
    }
    /* What was marked is sound again. */
    if (!rc && (fix & BLK_FIX_ERRORS) && !c->corruptions && !c->check_errors && s->version >= 3) {
        rc = qcow2_incompat(s, 0, QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT);
        if (!rc) s->lazy = broken = false;
    }
out:
    if (broken) s->broken = true;
    counts_free(&plain);
    counts_free(&k.used);
    blk_free_aligned(k.table);
    if (rc) error_set(e, "check: %s", strerror(-rc)), c->check_errors++;
    return rc;
}

int qcow2_check(struct blk_node *n, unsigned fix, struct blk_check *c, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    int rc;

    pthread_mutex_lock(&s->lock);
    rc = qcow2_check_locked(s, fix, c, e);
    pthread_mutex_unlock(&s->lock);
    return rc;
}
