/*
 * qcow2-snapshot.c - internal snapshots: their table, making, applying and deleting them, and the VM state that lies
 * behind the end of the disk in the same L1 table.
 *
 * A snapshot is a copy of the L1 table; everything it leads to is counted once more. Counts that rise are on disk
 * before a table that needs them, counts that fall are written after the table without them; while COPIED flags and
 * counts differ, the dirty bit is set (version 3), so that whoever opens the image next sets them right.
 */
#include "blockfmt/qcow2.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the table ------------------------------------------------------------------------------------ */

static void free_one(struct qcow2_snapshot *sn)
{
    mem_free(sn->id);
    mem_free(sn->name);
    mem_free(sn->extra);
}

void qcow2_snapshots_free(struct qcow2 *s)
{
    for (uint32_t i = 0; s->snapshots && i < s->n_snapshots; i++) free_one(&s->snapshots[i]);
    mem_free(s->snapshots);
    s->snapshots = NULL;
}

static int bad(struct error *e, const char *what, uint32_t i, uint64_t at)
{
    error_set(e, "%s: snapshot %u, table entry at offset 0x%llx", what, i, (unsigned long long)at);
    return -EINVAL;
}

int qcow2_snapshots_read(struct qcow2 *s, unsigned flags, struct error *e)
{
    uint64_t at = s->snapshots_offset, end = blk_node_size(s->file);
    bool lenient = (flags & BLK_CHECK) != 0;

    if (!s->n_snapshots) return 0;
    if (!at) return error_set(e, "Snapshot table offset invalid (at offset 64 of the header: 0x0)"), -EINVAL;
    s->snapshots = NEW_ARRAY(struct qcow2_snapshot, s->n_snapshots);
    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        struct qcow2_snapshot *sn = &s->snapshots[i];
        uint8_t h[40], extra[24] = {0};
        if (at >= end) return bad(e, "Snapshot table is cut off", i, at);
        int rc = blk_node_read(s->file, at, h, sizeof h);
        if (rc) return error_set(e, "Failed to read snapshot table: %s", strerror(-rc)), rc;
        uint32_t id_len = ld16_be(h + 12), name_len = ld16_be(h + 14), extra_len = ld32_be(h + 36);
        if (extra_len > 1024) return bad(e, "Too much extra metadata in snapshot table entry", i, at);
        rc = blk_node_read(s->file, at + 40, extra, MIN(extra_len, (uint32_t)sizeof extra));
        sn->l1_offset = ld64_be(h), sn->l1_size = ld32_be(h + 8);
        sn->date_sec = ld32_be(h + 16), sn->date_nsec = ld32_be(h + 20), sn->vm_clock_ns = ld64_be(h + 24);
        sn->vm_state_size32 = ld32_be(h + 32);
        sn->vm_state_size = extra_len >= 8 ? ld64_be(extra) : sn->vm_state_size32;
        sn->disk_size = extra_len >= 16 ? ld64_be(extra + 8) : s->size;
        sn->icount = extra_len >= 24 ? ld64_be(extra + 16) : UINT64_MAX;
        if (!lenient && ((uint64_t)sn->l1_size * 8 > QCOW2_MAX_L1 || (sn->l1_offset & qcow2_cluster_mask(s)) ||
                         sn->l1_offset > QCOW2_OFFSET_MASK))
            return bad(e, "Snapshot L1 table is invalid", i, at);
        if ((uint64_t)sn->l1_size * 8 > QCOW2_MAX_L1) sn->l1_size = 0;
        sn->id = mem_zalloc(id_len + 1), sn->name = mem_zalloc(name_len + 1);
        if (extra_len > 24) {
            sn->extra_len = extra_len - 24;
            sn->extra = mem_alloc(sn->extra_len);
            if (!rc) rc = blk_node_read(s->file, at + 40 + 24, sn->extra, sn->extra_len);
        }
        if (!rc) rc = blk_node_read(s->file, at + 40 + extra_len, sn->id, id_len);
        if (!rc) rc = blk_node_read(s->file, at + 40 + extra_len + id_len, sn->name, name_len);
        if (rc) return error_set(e, "Failed to read snapshot table: %s", strerror(-rc)), rc;
        at += ALIGN_UP(40 + (uint64_t)extra_len + id_len + name_len, (uint64_t)8);
        if (at - s->snapshots_offset > 64 << 20) return bad(e, "Snapshot table is too large", i, at);
    }
    s->snapshots_bytes = at - s->snapshots_offset;
    return 0;
}

static uint64_t entry_bytes(const struct qcow2_snapshot *sn)
{
    return ALIGN_UP(40 + 24 + (uint64_t)sn->extra_len + strlen(sn->id) + strlen(sn->name), (uint64_t)8);
}

/* old_n: how many the table on disk has */
int qcow2_snapshots_write(struct qcow2 *s, uint32_t old_n)
{
    uint64_t bytes = 0, at = 0, old = s->snapshots_offset, old_bytes = s->snapshots_bytes;
    uint8_t *buf, *p, head[12], was[12];
    int rc = 0;

    for (uint32_t i = 0; i < s->n_snapshots; i++) bytes += entry_bytes(&s->snapshots[i]);
    if (bytes) rc = qcow2_alloc(s, (bytes + s->cluster_size - 1) >> s->cluster_bits, true, &at, NULL);
    if (rc) return rc;
    p = buf = mem_zalloc((size_t)bytes + 1);
    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        const struct qcow2_snapshot *sn = &s->snapshots[i];
        size_t id = strlen(sn->id), name = strlen(sn->name);
        st64_be(p, sn->l1_offset);
        st32_be(p + 8, sn->l1_size);
        st16_be(p + 12, (uint16_t)id);
        st16_be(p + 14, (uint16_t)name);
        st32_be(p + 16, sn->date_sec);
        st32_be(p + 20, sn->date_nsec);
        st64_be(p + 24, sn->vm_clock_ns);
        st32_be(p + 32, sn->vm_state_size > UINT32_MAX ? 0 : (uint32_t)sn->vm_state_size);
        st32_be(p + 36, 24 + sn->extra_len);
        st64_be(p + 40, sn->vm_state_size);
        st64_be(p + 48, sn->disk_size);
        st64_be(p + 56, sn->icount);
        if (sn->extra_len) memcpy(p + 64, sn->extra, sn->extra_len);
        memcpy(p + 64 + sn->extra_len, sn->id, id);
        memcpy(p + 64 + sn->extra_len + id, sn->name, name);
        p += entry_bytes(sn);
    }
    rc = qcow2_writeback(s);
    if (!rc && bytes) rc = blk_node_write(s->file, at, buf, (size_t)bytes, 0);
    if (!rc) rc = blk_node_flush(s->file);
    st32_be(head, s->n_snapshots);
    st64_be(head + 4, at);
    if (!rc) {
        st32_be(was, old_n);
        st64_be(was + 4, old);
        rc = qcow2_switch(s, 60, head, was, 12);
    }
    mem_free(buf);
    if (rc && s->broken) return rc;
    if (rc) {
        if (bytes) (void)qcow2_refcount_add(s, at >> s->cluster_bits, (bytes + s->cluster_size - 1) >> s->cluster_bits, -1);
        return rc;
    }
    s->snapshots_offset = at, s->snapshots_bytes = bytes;
    return old && old_bytes ? qcow2_free_later(s, old, old_bytes) : 0;
}

static int find(const struct qcow2 *s, const char *id_or_name, bool name_first)
{
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < s->n_snapshots; i++) {
            const char *t = (pass == 0) != name_first ? s->snapshots[i].id : s->snapshots[i].name;
            if (!strcmp(t, id_or_name)) return (int)i;
        }
    }
    return -ENOENT;
}

/* ---- counts of a tree ----------------------------------------------------------------------------- */

/* Adds delta to the counts of all that an L1 table leads to. Runs of clusters are one step. */
static int count_tree(struct qcow2 *s, const uint64_t *l1, uint32_t n, int delta)
{
    uint8_t *t = mem_alloc(s->cluster_size);
    int rc = 0;

    for (uint32_t i = 0; i < n && !rc; i++) {
        uint64_t at = l1[i] & QCOW2_OFFSET_MASK, first = 0, run = 0;
        if (!at) continue;
        if (at & qcow2_cluster_mask(s)) {
            rc = qcow2_corrupt(s, at, "L2 table offset unaligned");
            break;
        }
        /* from the file: tables of snapshots do not displace those in use; all is written back before */
        rc = blk_node_read(s->file, at, t, s->cluster_size);
        for (uint32_t j = 0; j < 1u << s->l2_bits && !rc; j++) {
            uint64_t e = ld64_be(t + ((size_t)j << s->entry_shift)), host, bytes;
            if (e & QCOW2_COMPRESSED) {
                qcow2_compressed_place(s, e, &host, &bytes);
                uint64_t c = host >> s->cluster_bits, last = (host + bytes - 1) >> s->cluster_bits;
                rc = qcow2_refcount_add(s, c, last - c + 1, delta);
                continue;
            }
            host = e & QCOW2_OFFSET_MASK;
            if (!host) continue;
            if (host & qcow2_cluster_mask(s)) {
                rc = qcow2_corrupt(s, host, "Data cluster offset unaligned");
                break;
            }
            if (run && host == first + (run << s->cluster_bits)) {
                run++;
                continue;
            }
            if (run) rc = qcow2_refcount_add(s, first >> s->cluster_bits, run, delta);
            first = host, run = 1;
        }
        if (!rc && run) rc = qcow2_refcount_add(s, first >> s->cluster_bits, run, delta);
        if (!rc) rc = qcow2_refcount_add(s, at >> s->cluster_bits, 1, delta);
    }
    mem_free(t);
    return rc;
}

static int read_l1(struct qcow2 *s, uint64_t offset, uint32_t n, uint64_t **out)
{
    uint64_t *l1 = NEW_ARRAY(uint64_t, n + 1);
    int rc = blk_node_read(s->file, offset, l1, (size_t)n * 8);

    for (uint32_t i = 0; i < n; i++) l1[i] = ld64_be(&l1[i]);
    if (rc) mem_free(l1);
    else *out = l1;
    return rc;
}

/* Counts were half changed: they are made right from what the tables say. */
static void undo(struct qcow2 *s)
{
    struct blk_check c = {0};
    struct error e = ERROR_INIT;

    if (!s->broken) (void)qcow2_check_locked(s, BLK_FIX_ERRORS | BLK_FIX_LEAKS, &c, &e);
}

static int begin(struct qcow2 *s)
{
    int rc = s->broken ? -EIO : qcow2_writeback(s);
    if (!rc) rc = qcow2_writeback(s);
    if (!rc && s->lazy) rc = qcow2_writeback_counts(s);
    return rc ? rc : qcow2_mark_dirty(s);
}

/* Everything written, the dirty bit gone (unless lazy refcounts keep it). */
static int finish(struct qcow2 *s)
{
    int rc = qcow2_fix_copied(s);
    return rc ? rc : qcow2_writeback_all(s);
}

/* ---- the operations ------------------------------------------------------------------------------- */

int qcow2_snapshot_list(struct blk_node *n, struct blk_snapshot **list, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    struct blk_snapshot *v = NEW_ARRAY(struct blk_snapshot, s->n_snapshots + 1);

    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        const struct qcow2_snapshot *sn = &s->snapshots[i];
        memcpy(v[i].id, sn->id, MIN(strlen(sn->id), sizeof v[i].id - 1));
        memcpy(v[i].name, sn->name, MIN(strlen(sn->name), sizeof v[i].name - 1));
        v[i].vm_state_size = sn->vm_state_size, v[i].vm_clock_ns = sn->vm_clock_ns, v[i].disk_size = sn->disk_size;
        v[i].icount = sn->icount, v[i].date_sec = sn->date_sec, v[i].date_nsec = sn->date_nsec;
    }
    *list = v;
    return (int)s->n_snapshots;
}

static void new_id(const struct qcow2 *s, struct blk_snapshot *sn)
{
    unsigned long most = 0;
    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        unsigned long v = strtoul(s->snapshots[i].id, NULL, 10);
        if (v > most) most = v;
    }
    snprintf(sn->id, sizeof sn->id, "%lu", most + 1);
}

static int create(struct qcow2 *s, struct blk_snapshot *sn)
{
    uint64_t at = 0, clusters = ((uint64_t)s->l1_size * 8 + s->cluster_size - 1) >> s->cluster_bits, *be;
    bool copied;
    int rc = begin(s);

    if (rc) return rc;
    rc = clusters ? qcow2_alloc(s, clusters, true, &at, NULL) : 0;
    if (!rc) rc = count_tree(s, s->l1, s->l1_size, 1);
    if (!rc) rc = qcow2_writeback_counts(s);
    if (!rc) rc = blk_node_flush(s->file);
    /* No flags before the snapshot can be seen: the active tables are its tables. */
    if (!rc) rc = qcow2_fix_copied(s);
    if (!rc) rc = qcow2_writeback(s);
    be = NEW_ARRAY(uint64_t, s->l1_size + 1);
    for (uint32_t i = 0; i < s->l1_size; i++) st64_be(&be[i], s->l1[i] & ~QCOW2_COPIED);
    if (!rc) rc = blk_node_write(s->file, at, be, (size_t)s->l1_size * 8, 0);
    mem_free(be);
    if (rc) return rc;
    copied = s->n_snapshots != 0;
    s->snapshots = mem_realloc(s->snapshots, (s->n_snapshots + 1) * sizeof *s->snapshots);
    if (!copied) s->snapshots_bytes = 0;
    s->snapshots[s->n_snapshots] = (struct qcow2_snapshot){
        .l1_offset = at, .l1_size = s->l1_size, .date_sec = sn->date_sec, .date_nsec = sn->date_nsec,
        .vm_clock_ns = sn->vm_clock_ns, .vm_state_size = sn->vm_state_size, .disk_size = s->size, .icount = sn->icount,
        .id = mem_strdup(sn->id), .name = mem_strdup(sn->name)};
    s->n_snapshots++;
    rc = qcow2_snapshots_write(s, s->n_snapshots - 1);
    if (rc) {
        s->n_snapshots--;
        free_one(&s->snapshots[s->n_snapshots]);
    }
    return rc;
}

int qcow2_snapshot_create(struct blk_node *n, struct blk_snapshot *sn, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    uint64_t vm = qcow2_vm_state(s);
    int rc;

    if (s->external)
        return error_set(e, "snapshots are not supported for qcow2 images with an external data file"), -ENOTSUP;
    if (s->n_snapshots >= QCOW2_MAX_SNAPSHOTS) return error_set(e, "Too many snapshots"), -EFBIG;
    pthread_mutex_lock(&s->lock);
    new_id(s, sn);
    rc = create(s, sn);
    if (rc && s->lazy) undo(s);
    if (!rc) rc = finish(s);
    pthread_mutex_unlock(&s->lock);
    /* The state belongs to the snapshot, not to the disk that goes on. */
    if (!rc && sn->vm_state_size) rc = qcow2_forget_clusters(s, vm, ALIGN_UP(vm + sn->vm_state_size, (uint64_t)s->cluster_size));
    if (rc) error_set(e, "Failed to create snapshot '%s': %s", sn->name, strerror(-rc));
    return rc;
}

int qcow2_snapshot_apply(struct blk_node *n, const char *id, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    uint64_t *l1 = NULL, *old = NULL;
    uint32_t old_n;
    int rc = find(s, id, false);

    if (rc < 0) return error_set(e, "Can't find snapshot '%s'", id), rc;
    const struct qcow2_snapshot *sn = &s->snapshots[rc];
    if (sn->disk_size != s->size) {
        if (s->version < 3)
            return error_set(e, "Cannot apply snapshot '%s' with another disk size to a version 2 image", id), -ENOTSUP;
        if (sn->disk_size > INT64_MAX - qcow2_l2_span(s) || sn->disk_size & 511 ||
            (sn->disk_size + qcow2_l2_span(s) - 1) / qcow2_l2_span(s) > sn->l1_size)
            return error_set(e, "Snapshot '%s' has an invalid disk size", id), -EINVAL;
    }
    pthread_mutex_lock(&s->lock);
    rc = begin(s);
    if (!rc) rc = read_l1(s, sn->l1_offset, sn->l1_size, &l1);
    if (!rc) {
        old_n = s->l1_size;
        old = NEW_ARRAY(uint64_t, old_n + 1);
        memcpy(old, s->l1, old_n * sizeof *old);
        rc = count_tree(s, l1, sn->l1_size, 1);
        if (!rc) rc = qcow2_writeback_counts(s);
        if (!rc) {
            uint32_t need = MAX(sn->l1_size, 1);
            rc = qcow2_replace_l1(s, l1, need); /* takes l1 */
            l1 = NULL;
        }
        if (!rc && sn->disk_size != s->size) {
            uint8_t be[8];
            st64_be(be, sn->disk_size);
            rc = blk_node_write(s->file, 24, be, 8, 0);
            if (!rc) s->size = sn->disk_size, blk_set_size(n, s->size);
        }
        qcow2_cache_drop(&s->l2c); /* all clean: begin() wrote them, and nothing has changed them since */
        s->generation++;
        if (!rc) rc = count_tree(s, old, old_n, -1);
        mem_free(old);
    }
    mem_free(l1);
    if (rc && s->lazy) undo(s);
    if (!rc) rc = finish(s);
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "Failed to apply snapshot '%s': %s", id, strerror(-rc));
    return rc;
}

int qcow2_snapshot_delete(struct blk_node *n, const char *id, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    struct qcow2_snapshot sn;
    uint64_t *l1 = NULL;
    int i = find(s, id, false), rc;

    if (i < 0) return error_set(e, "Can't find snapshot '%s'", id), i;
    pthread_mutex_lock(&s->lock);
    sn = s->snapshots[i];
    rc = begin(s);
    if (!rc) rc = read_l1(s, sn.l1_offset, sn.l1_size, &l1);
    if (!rc) {
        uint32_t tail = s->n_snapshots - 1 - (uint32_t)i;
        memmove(&s->snapshots[i], &s->snapshots[i + 1], tail * sizeof sn);
        s->n_snapshots--;
        rc = qcow2_snapshots_write(s, s->n_snapshots + 1);
        if (rc) { /* still there */
            memmove(&s->snapshots[i + 1], &s->snapshots[i], tail * sizeof sn);
            s->snapshots[i] = sn;
            s->n_snapshots++;
        } else {
            free_one(&sn);
            rc = count_tree(s, l1, sn.l1_size, -1);
            if (!rc && sn.l1_size) rc = qcow2_free_later(s, sn.l1_offset, (uint64_t)sn.l1_size * 8);
            if (rc && s->lazy) undo(s);
        }
    }
    mem_free(l1);
    if (!rc) rc = finish(s);
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "Failed to delete snapshot '%s': %s", id, strerror(-rc));
    return rc;
}

int qcow2_snapshot_load(struct blk_node *n, const char *id, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    uint64_t *l1 = NULL, need;
    int i = find(s, id, false), rc;

    if (i < 0) return error_set(e, "Failed to load snapshot: Can't find snapshot '%s'", id), i;
    const struct qcow2_snapshot *sn = &s->snapshots[i];
    need = (sn->disk_size + qcow2_l2_span(s) - 1) / qcow2_l2_span(s);
    if (sn->disk_size > INT64_MAX - qcow2_l2_span(s) || need > sn->l1_size)
        return error_set(e, "Snapshot '%s' has an invalid disk size", id), -EINVAL;
    pthread_mutex_lock(&s->lock);
    rc = read_l1(s, sn->l1_offset, sn->l1_size, &l1);
    if (!rc) {
        mem_free(s->l1);
        s->l1 = l1, s->l1_size = sn->l1_size, s->l1_offset = sn->l1_offset;
        s->size = ALIGN_UP(sn->disk_size, (uint64_t)512);
        s->loaded = true;
        blk_set_size(n, s->size);
    }
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "Failed to load snapshot '%s': %s", id, strerror(-rc));
    return rc;
}

/* ---- VM state ------------------------------------------------------------------------------------- */

int qcow2_vmstate_read(struct blk_node *n, uint64_t pos, void *buf, size_t len)
{
    struct qcow2 *s = blk_state(n);
    uint64_t vm = qcow2_vm_state(s);

    if (pos > INT64_MAX - vm || len > INT64_MAX - vm - pos) return -EFBIG;
    return qcow2_read_data(s, vm + pos, buf, len);
}

int qcow2_vmstate_write(struct blk_node *n, uint64_t pos, const void *buf, size_t len)
{
    struct qcow2 *s = blk_state(n);
    uint64_t vm = qcow2_vm_state(s);
    int rc;

    if (s->external) return -ENOTSUP;
    if (pos > INT64_MAX - vm || len > INT64_MAX - vm - pos) return -EFBIG;
    pthread_mutex_lock(&s->lock);
    rc = qcow2_grow_l1(s, vm + pos + len);
    pthread_mutex_unlock(&s->lock);
    return rc ? rc : qcow2_write_data(s, vm + pos, buf, len);
}
