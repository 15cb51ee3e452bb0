/*
 * job-stream.c - stream: what the images below the root hold is copied into the root, piece by piece, each with the
 * root's requests held off so that no write of the guest is lost; then the root's backing is what lies below them.
 */
#include "blockfmt/job-impl.h"

/* One piece that the root does not hold itself. The root's gate is held. */
static int copy_piece(struct blk_job *j, struct blk_node *top, uint64_t offset, size_t n)
{
    struct blk_node *below = blk_node_backing(top);
    struct blk_status st;
    int rc = 0;

    while (n) {
        size_t k = n;
        if (offset >= blk_node_size(below)) return 0; /* reads as zeros, with or without it */
        rc = blk_node_status_above(below, j->target, offset, n, &st);
        if (rc) return rc;
        k = (size_t)MIN((uint64_t)n, st.bytes);
        if ((st.flags & BLK_ST_ZERO) && (st.flags & BLK_ST_ALLOCATED)) {
            rc = j->target && top->drv->zero ? top->drv->zero(top, offset, k, BLK_MAY_UNMAP) : 0;
            if (rc == -ENOTSUP || (j->target && !top->drv->zero)) {
                memset(j->buf, 0, k);
                rc = top->drv->write(top, offset, j->buf, k, BLK_UNCHANGED);
            }
            j->writing = rc != 0;
        } else if (st.flags & BLK_ST_ALLOCATED) {
            rc = blk_node_read(below, offset, j->buf, k);
            if (rc) return rc;
            rc = top->drv->write(top, offset, j->buf, k, BLK_UNCHANGED);
            j->writing = rc != 0;
            j->moved += k;
        }
        if (rc) return rc;
        offset += k, n -= k;
    }
    return 0;
}

static int step_stream(struct blk_job *j)
{
    struct blk_node *top = j->source;
    uint64_t size = blk_node_size(top), at = j->cursor;
    size_t n;
    int rc = 0;

    if (at >= size) return 1;
    n = (size_t)MIN(size - at, (uint64_t)JOB_CHUNK / 2);
    node_lock_all(top);
    for (uint64_t end = at + n; at < end && !rc;) {
        struct blk_status st = {.bytes = end - at};
        if (top->drv->status) rc = top->drv->status(top, at, end - at, &st);
        else st.flags = BLK_ST_DATA;
        if (!rc && !(st.flags & (BLK_ST_DATA | BLK_ST_ZERO | BLK_ST_ALLOCATED)) && blk_node_backing(top))
            rc = copy_piece(j, top, at, (size_t)st.bytes);
        at += st.bytes;
    }
    node_unlock(top);
    if (rc) {
        enum blk_job_error what = j->writing ? j->opts.on_target_error : j->opts.on_source_error;
        if (what != BLK_JOB_IGNORE) return rc; /* this piece again, if the job goes on */
        j->skipped = rc;
    }
    j->cursor += n;
    atomic_store(&j->done, j->cursor);
    return rc;
}

static int finish_stream(struct blk_job *j, int rc, struct error *e)
{
    struct blk_node *top = j->source, *base = j->target;
    const char *name = j->backing_name ? j->backing_name : base ? blk_node_filename(base) : "";

    if (!rc) rc = blk_node_flush(top);
    if (!rc && blk_node_backing(top)) {
        rc = blk_change_backing(top, name, base ? base->drv->name : "", e);
        if (!rc) rc = edge_move(top, "backing", base, e);
    }
    blk_node_unref(top);
    blk_node_unref(base);
    return rc;
}

static const struct job_kind stream_kind = {"stream", step_stream, finish_stream};

struct blk_job *blk_job_stream(struct blk_backend *b, struct blk_node *base, const char *backing_name,
                               const struct blk_job_opts *o, struct error *e)
{
    struct blk_node *top = b->root;
    bool below = !base;
    struct blk_job *j;

    while (top->drv->kind == BLK_FILTER && top->file) top = top->file;
    for (struct blk_node *x = top; x && !below; x = blk_node_backing(x)) below = blk_node_backing(x) == base;
    if (!below) return error_set(e, "'%s' is not below '%s'", blk_node_filename(base), blk_node_filename(top)), NULL;
    if (top->flags & BLK_RDONLY) return error_set(e, "'%s' is read-only", blk_node_filename(top)), NULL;
    j = job_new(&stream_kind, b, o);
    j->source = top, j->target = base;
    node_ref(top);
    if (base) node_ref(base);
    j->backing_name = backing_name ? mem_strdup(backing_name) : NULL;
    atomic_store(&j->total, blk_node_size(top));
    return j;
}
