/*
 * job.c - the engine of long work on the graph (see job.h): what is left to copy is a bitmap of the source, which the
 * guest's writes set again; commit, mirror and backup differ in where it goes and in what happens at the end. Stream
 * is job-stream.c's.
 */
#include "blockfmt/job-impl.h"

#include <time.h>

static uint64_t job_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct blk_job *job_new(const struct job_kind *kind, struct blk_backend *b, const struct blk_job_opts *o)
{
    struct blk_job *j = NEW(struct blk_job);

    j->kind = kind, j->blk = b;
    if (o) j->opts = *o;
    pthread_mutex_init(&j->lock, NULL);
    atomic_init(&j->speed, j->opts.speed);
    atomic_init(&j->done, 0);
    atomic_init(&j->total, 0);
    j->buf = blk_alloc_aligned(JOB_CHUNK);
    return j;
}

void blk_job_free(struct blk_job *j)
{
    if (!j) return;
    if (!j->finished) {
        blk_job_cancel(j);
        (void)blk_job_finish(j, NULL);
    }
    pthread_mutex_destroy(&j->lock);
    blk_free_aligned(j->buf);
    mem_free(j->backing_name);
    mem_free(j);
}

void blk_job_cancel(struct blk_job *j) { atomic_store(&j->cancelled, true); }

void blk_job_set_speed(struct blk_job *j, uint64_t speed)
{
    atomic_store(&j->speed, speed);
    atomic_fetch_add(&j->retime, 1);
}

const char *blk_job_type(const struct blk_job *j) { return j->kind->name; }

void blk_job_progress(const struct blk_job *j, uint64_t *done, uint64_t *total)
{
    struct blk_job *m = (struct blk_job *)(uintptr_t)j;
    *done = atomic_load(&m->done), *total = atomic_load(&m->total);
}

int blk_job_parse_error(const char *text, enum blk_job_error *out)
{
    static const char *const names[] = {"report", "ignore", "stop", "enospc"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (!strcmp(text, names[i])) return *out = (enum blk_job_error)i, 0;
    }
    return -EINVAL;
}

void blk_job_pause(struct blk_job *j) { atomic_fetch_add(&j->paused, 1); }

void blk_job_resume(struct blk_job *j)
{
    unsigned n = atomic_load(&j->paused);

    atomic_store(&j->stopped, false);
    while (n && !atomic_compare_exchange_weak(&j->paused, &n, n - 1)) {
    }
}

enum blk_job_state blk_job_state(const struct blk_job *j)
{
    struct blk_job *m = (struct blk_job *)(uintptr_t)j;

    if (atomic_load(&m->over)) return BLK_JOB_OVER;
    if (atomic_load(&m->failed) || atomic_load(&m->cancelled)) return BLK_JOB_FAILED;
    if (atomic_load(&m->paused)) return BLK_JOB_PAUSED;
    if (atomic_load(&m->stopped)) return BLK_JOB_STOPPED;
    return atomic_load(&m->ready) ? BLK_JOB_READY : BLK_JOB_RUNNING;
}

static bool waits(struct blk_job *j) { return !j->hurry && (atomic_load(&j->paused) || atomic_load(&j->stopped)); }

unsigned blk_job_delay(const struct blk_job *j)
{
    struct blk_job *m = (struct blk_job *)(uintptr_t)j;
    uint64_t now = job_now();

    if (waits(m)) return 50;
    /* Not for long: the speed may change meanwhile. */
    return j->next_at > now && j->timed == atomic_load(&m->retime) ? (unsigned)MIN(j->next_at - now, 100) : 0;
}

/* An error of a step: what becomes of the job. */
static int step_failed(struct blk_job *j, int rc, uint64_t now)
{
    enum blk_job_error what = j->writing ? j->opts.on_target_error : j->opts.on_source_error;

    if (rc == -ECANCELED) return rc;
    if (what == BLK_JOB_ENOSPC) what = rc == -ENOSPC ? BLK_JOB_STOP : BLK_JOB_REPORT;
    if (j->hurry) what = BLK_JOB_REPORT; /* it would be tried for ever */
    if (j->opts.error) j->opts.error(j->opts.opaque, !j->writing, what, rc);
    if (what == BLK_JOB_REPORT) return rc;
    if (what == BLK_JOB_STOP) atomic_store(&j->stopped, true);
    j->next_at = MAX(j->next_at, now + 20);
    return 0;
}

int blk_job_step(struct blk_job *j)
{
    uint64_t before = atomic_load(&j->done), moved, speed = atomic_load(&j->speed), now = job_now(), timed = atomic_load(&j->retime);
    int rc;

    if (j->rc) return atomic_store(&j->failed, j->rc), j->rc;
    if (atomic_load(&j->cancelled)) return atomic_store(&j->failed, -ECANCELED), j->rc = -ECANCELED;
    if (j->timed != timed) j->timed = timed, j->next_at = now;
    if (waits(j) || (!j->hurry && j->next_at > now)) return 0;
    j->writing = false;
    rc = j->kind->step(j);
    moved = j->moved, j->moved = 0;
    if (speed && moved) j->next_at = MAX(j->next_at, now) + moved * 1000 / speed;
    if (rc < 0) rc = step_failed(j, rc, now);
    if (rc < 0) j->rc = rc, atomic_store(&j->failed, rc);
    atomic_store(&j->ready, rc > 0);
    if (j->opts.progress && (rc || before != atomic_load(&j->done)))
        j->opts.progress(j->opts.opaque, atomic_load(&j->done), atomic_load(&j->total));
    return rc;
}

int blk_job_finish(struct blk_job *j, struct error *e)
{
    int rc = j->rc;

    if (j->finished) return rc;
    if (!rc && atomic_load(&j->cancelled)) rc = -ECANCELED;
    if (!rc && waits(j)) return error_set(e, "%s: the job is paused", j->kind->name), -EBUSY;
    j->hurry = true;
    while (!rc && (rc = blk_job_step(j)) == 0) {
    }
    if (rc > 0) rc = j->skipped;
    rc = j->kind->finish(j, rc, e);
    j->finished = true;
    j->rc = rc;
    atomic_store(&j->over, true);
    if (rc) error_set(e, "%s: %s", j->kind->name, strerror(-rc));
    return rc;
}

int blk_job_run(struct blk_job *j, struct error *e)
{
    int rc;

    do {
        while (!blk_job_step(j)) {
            unsigned ms = blk_job_delay(j);
            struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
            if (ms) nanosleep(&t, NULL);
        }
        if (e) error_clear(e);
        rc = blk_job_finish(j, e);
    } while (rc == -EBUSY && !j->finished); /* paused just then */
    return rc;
}

/* ---- copying -------------------------------------------------------------------------------------- */

static int job_copy(struct blk_job *j, struct blk_node *from, struct blk_node *to, uint64_t offset, uint64_t n)
{
    uint64_t end = MIN(offset + n, blk_node_size(from));
    int rc = 0;

    while (offset < end && !rc) {
        struct blk_status st;
        size_t k = (size_t)MIN(end - offset, (uint64_t)JOB_CHUNK);
        rc = blk_node_status_above(from, NULL, offset, k, &st);
        if (rc) break;
        k = (size_t)MIN((uint64_t)k, st.bytes);
        bool zero = st.flags & BLK_ST_ZERO;
        if (!zero) rc = blk_node_read(from, offset, j->buf, k);
        if (rc) break;
        rc = zero ? blk_node_zero(to, offset, k, BLK_MAY_UNMAP) : blk_node_write(to, offset, j->buf, k, 0);
        j->writing = rc != 0;
        if (!zero) j->moved += k;
        offset += k;
    }
    return rc;
}

/* A bitmap of the source that nobody else uses; `mark`: the guest's writes set it. */
static int job_todo(struct blk_job *j, struct blk_node *n, bool mark, struct error *e)
{
    char *name = mem_printf("#job-%s", j->kind->name);

    j->todo = blk_bitmap_new(n, name, JOB_GRAIN, false, e);
    mem_free(name);
    if (!j->todo) return -EBUSY;
    blk_bitmap_set_flags(j->todo, BLK_BITMAP_BUSY | (mark ? BLK_BITMAP_ENABLED : 0));
    return 0;
}

/* What the layers from top down to, but without, base hold. */
static int job_todo_allocated(struct blk_job *j, struct blk_node *top, struct blk_node *base)
{
    uint64_t size = blk_node_size(top);

    for (uint64_t at = 0; at < size;) {
        struct blk_status st;
        int rc = blk_node_status_above(top, base, at, size - at, &st);
        if (rc) return rc;
        if (st.flags & BLK_ST_ALLOCATED) blk_bitmap_set(j->todo, at, st.bytes);
        at += st.bytes;
    }
    return 0;
}

static int step_copy(struct blk_job *j)
{
    uint64_t at = j->cursor, n;
    int rc;

    if (!blk_bitmap_run(j->todo, &at, &n)) {
        at = 0;
        if (!blk_bitmap_run(j->todo, &at, &n)) return 1;
    }
    n = MIN(n, (uint64_t)JOB_CHUNK);
    if (at + n < blk_node_size(j->source)) n = MAX(ALIGN_DOWN(at + n, (uint64_t)JOB_GRAIN), at + 1) - at;
    blk_bitmap_clear(j->todo, at, n); /* before reading: a write from now on sets it again */
    rc = job_copy(j, j->source, j->target, at, n);
    if (rc) blk_bitmap_set(j->todo, at, n);
    j->cursor = at + n;
    if (rc) return rc;
    uint64_t left = blk_bitmap_count(j->todo), done = atomic_load(&j->done) + n;
    atomic_store(&j->done, done);
    if (done + left > atomic_load(&j->total)) atomic_store(&j->total, done + left);
    return 0;
}

static void drop_todo(struct blk_job *j)
{
    if (j->todo) blk_bitmap_delete(j->todo);
    j->todo = NULL;
}

/* ---- commit --------------------------------------------------------------------------------------- */

/* The image whose backing is n, on the way down from root. */
static struct blk_node *overlay_of(struct blk_node *root, const struct blk_node *n)
{
    struct blk_node *x = root;
    while (x && blk_node_backing(x) != n) x = blk_node_backing(x);
    while (x && x->drv->kind == BLK_FILTER && x->file) x = x->file;
    return x;
}

/* Empties the top when the base has all of it: while no request is inside. */
static int empty_top(struct blk_job *j, struct error *e)
{
    uint64_t at, n;
    int rc = 0;

    while (!rc) {
        rc = blk_node_flush(j->target);
        node_lock_all(j->source);
        at = 0;
        if (rc || !blk_bitmap_run(j->todo, &at, &n)) break;
        node_unlock(j->source);
        while (!rc) rc = step_copy(j);
        if (rc < 0) return rc;
        rc = 0;
    }
    if (!rc && j->source->drv->make_empty) rc = j->source->drv->make_empty(j->source, e);
    node_unlock(j->source);
    return rc;
}

static int finish_commit(struct blk_job *j, int rc, struct error *e)
{
    if (!rc && j->empty) rc = empty_top(j, e);
    drop_todo(j);
    if (!rc) rc = blk_node_flush(j->target);
    if (!rc && j->pivot && j->source == j->blk->root) {
        rc = backend_move(j->blk, j->target, e);
        j->was_readonly = false; /* the guest writes it now */
    } else if (!rc && j->pivot) {
        struct blk_node *over = overlay_of(j->blk->root, j->source);
        bool readonly = over && (over->flags & BLK_RDONLY);
        const char *name = j->backing_name ? j->backing_name : blk_node_filename(j->target);
        if (!over) rc = -EINVAL;
        if (!rc && readonly) rc = node_reopen(over, 0, BLK_RDONLY, e);
        if (!rc) rc = blk_change_backing(over, name, j->target->drv->name, e);
        if (readonly) (void)node_reopen(over, BLK_RDONLY, 0, NULL);
        if (!rc) rc = edge_move(over, "backing", j->target, e);
    }
    if (j->was_readonly) (void)node_reopen(j->target, BLK_RDONLY, 0, NULL);
    blk_node_unref(j->source);
    blk_node_unref(j->target);
    return rc;
}

static const struct job_kind commit_kind = {"commit", step_copy, finish_commit};

static struct blk_job *commit(struct blk_backend *b, struct blk_node *top, struct blk_node *base, bool pivot,
                              const char *backing_name, const struct blk_job_opts *o, struct error *e)
{
    bool below = false;
    struct blk_job *j;
    int rc = 0;

    if (!base) base = blk_node_backing(top);
    if (!base) return error_set(e, "Image '%s' does not have a backing file", blk_node_filename(top)), NULL;
    for (struct blk_node *x = top; x && !below; x = blk_node_backing(x)) below = blk_node_backing(x) == base;
    if (!below) return error_set(e, "'%s' is not below '%s'", blk_node_filename(base), blk_node_filename(top)), NULL;
    if (!base->drv->write) return error_set(e, "format '%s' cannot be written", base->drv->name), NULL;
    j = job_new(&commit_kind, b, o);
    j->source = top, j->target = base, j->pivot = pivot;
    j->backing_name = backing_name ? mem_strdup(backing_name) : NULL;
    node_ref(top);
    node_ref(base);
    j->was_readonly = (base->flags & BLK_RDONLY) != 0;
    if (j->was_readonly) rc = node_reopen(base, 0, BLK_RDONLY, e);
    if (rc) j->was_readonly = false;
    if (!rc && blk_node_size(base) < blk_node_size(top)) rc = blk_node_truncate(base, blk_node_size(top), BLK_PREALLOC_OFF, e);
    if (!rc) rc = job_todo(j, top, true, e);
    if (!rc) rc = job_todo_allocated(j, top, base);
    if (rc) {
        error_set(e, "commit: %s", strerror(-rc));
        j->rc = rc;
        blk_job_free(j);
        return NULL;
    }
    atomic_store(&j->total, blk_bitmap_count(j->todo));
    return j;
}

struct blk_job *blk_job_commit(struct blk_backend *b, struct blk_node *top, struct blk_node *base, const char *backing_name,
                               const struct blk_job_opts *o, struct error *e)
{
    return commit(b, top, base, true, backing_name, o, e);
}

struct blk_job *blk_job_commit_data(struct blk_backend *b, struct blk_node *base, const struct blk_job_opts *o, struct error *e)
{
    struct blk_node *top = b->root;
    while (top->drv->kind == BLK_FILTER && top->file) top = top->file;
    return commit(b, top, base, false, NULL, o, e);
}

int blk_commit(struct blk_backend *b, struct error *e)
{
    struct blk_job *j;
    int rc;

    if (!b->root->backing && !blk_node_backing(b->root)) return error_set(e, "%s", strerror(ENOTSUP)), -ENOTSUP;
    j = blk_job_commit_data(b, NULL, NULL, e);
    if (!j) return -EIO;
    j->empty = true;
    rc = blk_job_run(j, e);
    blk_job_free(j);
    return rc;
}

/* ---- mirror --------------------------------------------------------------------------------------- */

static int finish_mirror(struct blk_job *j, int rc, struct error *e)
{
    drop_todo(j);
    if (!rc) rc = blk_node_flush(j->target);
    if (!rc && j->pivot) rc = backend_move(j->blk, j->target, e);
    blk_node_unref(j->source);
    blk_node_unref(j->target);
    return rc;
}

static const struct job_kind mirror_kind = {"mirror", step_copy, finish_mirror};

/* What a copy starts with, by its mode. */
static int fill_todo(struct blk_job *j, struct error *e)
{
    struct blk_node *below = blk_node_backing(j->source);

    switch (j->opts.sync) {
    case BLK_SYNC_FULL: blk_bitmap_set(j->todo, 0, blk_node_size(j->source)); return 0;
    case BLK_SYNC_TOP:
        if (below) return job_todo_allocated(j, j->source, below);
        blk_bitmap_set(j->todo, 0, blk_node_size(j->source));
        return 0;
    case BLK_SYNC_BITMAP:
        if (!j->opts.bitmap) return error_set(e, "a bitmap is needed"), -EINVAL;
        if (blk_bitmap_flags(j->opts.bitmap) & (BLK_BITMAP_INCONSISTENT | BLK_BITMAP_BUSY))
            return error_set(e, "Bitmap '%s' is inconsistent or in use", blk_bitmap_name(j->opts.bitmap)), -EINVAL;
        return blk_bitmap_merge(j->todo, j->opts.bitmap, e);
    case BLK_SYNC_NONE: return 0;
    }
    return -EINVAL;
}

static int check_target(const struct blk_backend *b, const struct blk_backend *to, struct error *e)
{
    if (b->root == to->root) return error_set(e, "source and target are the same image"), -EINVAL;
    if (to->flags & BLK_RDONLY) return error_set(e, "the target is read-only"), -EROFS;
    if (blk_size(to) < blk_size(b)) return error_set(e, "the target is smaller than the source"), -EINVAL;
    return 0;
}

struct blk_job *blk_job_mirror(struct blk_backend *b, struct blk_backend *to, bool pivot, const struct blk_job_opts *o,
                               struct error *e)
{
    struct blk_job *j;
    int rc = check_target(b, to, e);

    if (rc) return NULL;
    j = job_new(&mirror_kind, b, o);
    j->source = b->root, j->target = to->root, j->pivot = pivot;
    node_ref(j->source);
    node_ref(j->target);
    rc = job_todo(j, j->source, true, e);
    if (!rc) rc = fill_todo(j, e);
    if (rc) {
        j->rc = rc;
        blk_job_free(j);
        return NULL;
    }
    atomic_store(&j->total, blk_bitmap_count(j->todo));
    return j;
}

/* ---- backup --------------------------------------------------------------------------------------- */

static int save(struct blk_job *j, uint64_t at, uint64_t n)
{
    int rc = job_copy(j, j->source, j->target, at, n);
    if (rc) return rc;
    blk_bitmap_clear(j->todo, at, n);
    atomic_fetch_add(&j->done, n);
    return 0;
}

/* The guest is about to write: what lies there goes to the target first. */
static void before_write(void *opaque, uint64_t offset, uint64_t n)
{
    struct blk_job *j = opaque;
    uint64_t end = MIN(ALIGN_UP(offset + n, (uint64_t)JOB_GRAIN), blk_node_size(j->source)),
             at = ALIGN_DOWN(offset, (uint64_t)JOB_GRAIN), k;

    pthread_mutex_lock(&j->lock);
    while (!j->rc && at < end && blk_bitmap_run(j->todo, &at, &k) && at < end) {
        int rc = save(j, at, MIN(k, end - at));
        if (rc) j->rc = rc; /* the guest goes on, the backup is lost */
        at += MIN(k, end - at);
    }
    pthread_mutex_unlock(&j->lock);
}

static int step_backup(struct blk_job *j)
{
    uint64_t at = j->cursor, n;
    int rc = 1;

    if (j->opts.sync == BLK_SYNC_NONE) return 1;
    pthread_mutex_lock(&j->lock);
    if (j->rc) rc = j->rc;
    else if (blk_bitmap_run(j->todo, &at, &n)) {
        n = MIN(n, (uint64_t)JOB_CHUNK);
        j->cursor = at;
        rc = save(j, at, n);
    }
    pthread_mutex_unlock(&j->lock);
    return rc;
}

static int finish_backup(struct blk_job *j, int rc, struct error *e)
{
    node_before_write(j->source, NULL, NULL);
    drop_todo(j);
    if (!rc) rc = blk_node_flush(j->target);
    if (j->taken) {
        if (rc) (void)blk_bitmap_merge(j->opts.bitmap, j->taken, NULL);
        blk_bitmap_delete(j->taken);
    }
    blk_node_unref(j->source);
    blk_node_unref(j->target);
    return rc;
}

static const struct job_kind backup_kind = {"backup", step_backup, finish_backup};

struct blk_job *blk_job_backup(struct blk_backend *b, struct blk_backend *to, const struct blk_job_opts *o, struct error *e)
{
    struct blk_job *j;
    int rc = check_target(b, to, e);

    if (rc) return NULL;
    if (b->root->before) return error_set(e, "a backup of this image runs already"), NULL;
    j = job_new(&backup_kind, b, o);
    j->source = b->root, j->target = to->root;
    node_ref(j->source);
    node_ref(j->target);
    rc = job_todo(j, j->source, false, e);
    if (!rc) rc = fill_todo(j, e);
    if (!rc && j->opts.sync == BLK_SYNC_NONE) blk_bitmap_set(j->todo, 0, blk_node_size(j->source));
    if (!rc && j->opts.sync == BLK_SYNC_BITMAP) {
        /* from now on the bitmap counts for the next backup */
        j->taken = blk_bitmap_new(j->source, "#job-taken", blk_bitmap_granularity(j->opts.bitmap), false, e);
        if (!j->taken) rc = -EBUSY;
        else blk_bitmap_set_flags(j->taken, BLK_BITMAP_BUSY);
        if (!rc) rc = blk_bitmap_merge(j->taken, j->opts.bitmap, e);
        if (!rc) blk_bitmap_clear(j->opts.bitmap, 0, blk_node_size(j->source));
    }
    if (rc) {
        j->rc = rc;
        blk_job_free(j);
        return NULL;
    }
    atomic_store(&j->total, j->opts.sync == BLK_SYNC_NONE ? 0 : blk_bitmap_count(j->todo));
    node_before_write(j->source, before_write, j);
    return j;
}
