/*
 * qcow2-snapshot.c - internal snapshots: their table, making, applying and deleting them, and the VM state that lies
 * behind the end of the disk in the same L1 table.
 *
 * A snapshot is a copy of the L1 table; everything it leads to is counted once more. What an operation changes takes its
 * place in one step (qcow2-change.c): the image has the snapshot, its counts and its flags, or nothing of them.
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

uint8_t *qcow2_snapshots_build(const struct qcow2 *s, uint64_t *bytes)
{
    uint8_t *buf, *p;

    *bytes = 0;
    for (uint32_t i = 0; i < s->n_snapshots; i++) *bytes += entry_bytes(&s->snapshots[i]);
    p = buf = mem_zalloc((size_t)*bytes + 1);
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
    return buf;
}

/* old_n: how many the table on disk has */
int qcow2_snapshots_write(struct qcow2 *s, uint32_t old_n)
{
    uint64_t bytes, at = 0, old = s->snapshots_offset, old_bytes = s->snapshots_bytes;
    uint8_t *buf = qcow2_snapshots_build(s, &bytes), head[12], was[12];
    int rc = bytes ? qcow2_alloc(s, (bytes + s->cluster_size - 1) >> s->cluster_bits, true, &at, NULL) : 0;

    if (rc) {
        mem_free(buf);
        return rc;
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

static int read_l1(struct qcow2 *s, uint64_t offset, uint32_t n, uint64_t **out)
{
    uint64_t *l1 = NEW_ARRAY(uint64_t, n + 1);
    int rc = blk_node_read(s->file, offset, l1, (size_t)n * 8);

    for (uint32_t i = 0; i < n; i++) l1[i] = ld64_be(&l1[i]);
    if (rc) mem_free(l1);
    else *out = l1;
    return rc;
}

static uint64_t *copy_l1(const uint64_t *l1, uint32_t n)
{
    uint64_t *v = NEW_ARRAY(uint64_t, n + 1);
    for (uint32_t i = 0; i < n; i++) v[i] = l1[i] & ~QCOW2_COPIED;
    return v;
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

static int create(struct qcow2 *s, const struct blk_snapshot *sn)
{
    struct qcow2_change k;
    uint64_t at = 0;
    int rc = qcow2_change_begin(&k, s);

    if (!rc) rc = qcow2_change_count(&k, s->l1, s->l1_size, 1);
    k.l1 = copy_l1(s->l1, s->l1_size), k.l1_size = s->l1_size;
    if (!rc) rc = qcow2_change_l1(&k, k.l1, k.l1_size, &at);
    if (!rc) {
        s->snapshots = mem_realloc(s->snapshots, (s->n_snapshots + 1) * sizeof *s->snapshots);
        s->snapshots[s->n_snapshots++] = (struct qcow2_snapshot){
            .l1_offset = at, .l1_size = s->l1_size, .date_sec = sn->date_sec, .date_nsec = sn->date_nsec,
            .vm_clock_ns = sn->vm_clock_ns, .vm_state_size = sn->vm_state_size, .disk_size = s->size, .icount = sn->icount,
            .id = mem_strdup(sn->id), .name = mem_strdup(sn->name)};
        rc = qcow2_change_commit(&k, s->size);
        if (rc) free_one(&s->snapshots[--s->n_snapshots]);
    }
    qcow2_change_end(&k);
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
    pthread_mutex_unlock(&s->lock);
    /* The state belongs to the snapshot, not to the disk that goes on. */
    if (!rc && sn->vm_state_size) rc = qcow2_forget_clusters(s, vm, ALIGN_UP(vm + sn->vm_state_size, (uint64_t)s->cluster_size));
    if (rc) error_set(e, "Failed to create snapshot '%s': %s", sn->name, strerror(-rc));
    return rc;
}

int qcow2_snapshot_apply(struct blk_node *n, const char *id, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    struct qcow2_change k;
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
    rc = qcow2_change_begin(&k, s);
    if (!rc) rc = read_l1(s, sn->l1_offset, sn->l1_size, &k.l1);
    if (!rc) {
        k.l1_size = sn->l1_size;
        rc = qcow2_change_count(&k, k.l1, k.l1_size, 1);
    }
    if (!rc) rc = qcow2_change_count(&k, s->l1, s->l1_size, -1);
    if (!rc) rc = qcow2_change_commit(&k, sn->disk_size);
    if (!rc && sn->disk_size != s->size) s->size = sn->disk_size, blk_set_size(n, s->size);
    qcow2_change_end(&k);
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "Failed to apply snapshot '%s': %s", id, strerror(-rc));
    return rc;
}

int qcow2_snapshot_delete(struct blk_node *n, const char *id, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    struct qcow2_change k;
    struct qcow2_snapshot sn;
    uint64_t *l1 = NULL;
    int i = find(s, id, false), rc;

    if (i < 0) return error_set(e, "Can't find snapshot '%s'", id), i;
    pthread_mutex_lock(&s->lock);
    sn = s->snapshots[i];
    rc = qcow2_change_begin(&k, s);
    if (!rc) rc = read_l1(s, sn.l1_offset, sn.l1_size, &l1);
    if (!rc) rc = qcow2_change_count(&k, l1, sn.l1_size, -1);
    if (!rc) rc = qcow2_change_drop(&k, sn.l1_offset, (uint64_t)sn.l1_size * 8);
    if (!rc) {
        uint32_t tail = --s->n_snapshots - (uint32_t)i;
        memmove(&s->snapshots[i], &s->snapshots[i + 1], tail * sizeof sn);
        k.l1 = copy_l1(s->l1, s->l1_size), k.l1_size = s->l1_size;
        rc = qcow2_change_commit(&k, s->size);
        if (rc) { /* still there */
            memmove(&s->snapshots[i + 1], &s->snapshots[i], tail * sizeof sn);
            s->snapshots[i] = sn;
            s->n_snapshots++;
        } else {
            free_one(&sn);
        }
    }
    mem_free(l1);
    qcow2_change_end(&k);
    pthread_mutex_unlock(&s->lock);
    if (rc) error_set(e, "Failed to delete snapshot '%s': %s", id, strerror(-rc));
    return rc;
}

int qcow2_snapshot_load(struct blk_node *n, const char *id, struct error *e)
{
    struct qcow2 *s = blk_state(n);
    uint64_t *l1 = NULL, need;
    int i = find(s, id, false), rc;

    if (i < 0) return error_set(e, "Can't find snapshot '%s'", id), i;
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
    if (rc) error_set(e, "snapshot '%s': %s", id, strerror(-rc));
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
