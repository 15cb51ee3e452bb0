/*
 * io.c - requests to nodes: the lock of driver.h, alignment, growing, zeros, the walk along backing chains. It
 * knows no format.
 */
#include "blockfmt/graph.h"

#include <limits.h>

#define BOUNCE      (1u << 20)
#define MAX_REQUEST (1u << 30) /* one call of a driver */

void blk_debug_event(struct blk_node *n, const char *event)
{
    for (; n; n = n->drv->kind == BLK_FILTER ? n->file : NULL) {
        if (n->drv->debug_event) n->drv->debug_event(n, event);
    }
}

int blk_debug_break(struct blk_node *n, enum blk_break op, const char *event, const char *tag)
{
    for (; n; n = n->file) {
        if (n->drv->debug_break) return n->drv->debug_break(n, op, event, tag);
    }
    return -ENOTSUP;
}

/* ---- the lock of a node (driver.h says who may be inside) ----------------------------------------- */

void node_lock_threads(struct blk_node *n) { pthread_rwlock_wrlock(&n->gate); }

void node_lock_all(struct blk_node *n)
{
    node_lock_threads(n); /* whoever starts has it shared for a moment: there will be no more */
    pthread_mutex_lock(&n->fly_lock);
    while (n->flying) pthread_cond_wait(&n->landed, &n->fly_lock);
    pthread_mutex_unlock(&n->fly_lock);
}

void node_lock(struct blk_node *n, bool reads)
{
    if (n->drv->locking == BLK_LOCK_OWN || (reads && n->drv->locking == BLK_LOCK_READERS)) pthread_rwlock_rdlock(&n->gate);
    else node_lock_all(n);
}

void node_unlock(struct blk_node *n) { pthread_rwlock_unlock(&n->gate); }

void *blk_alloc_aligned(size_t n)
{
    void *p = NULL;
    if (posix_memalign(&p, 4096, n ? n : 1)) p = NULL;
    if (!p) mem_free(mem_alloc(SIZE_MAX / 2)); /* says that memory is out, as every allocation does */
    return p;
}

void blk_free_aligned(void *p) { free(p); }

bool blk_is_zero(const void *buf, size_t n)
{
    const uint8_t *p = buf;
    uint64_t a[4];

    if (!n) return true;
    if (p[0] || p[n - 1] || p[n / 2]) return false;
    for (; n >= sizeof a; p += sizeof a, n -= sizeof a) {
        memcpy(a, p, sizeof a);
        if (a[0] | a[1] | a[2] | a[3]) return false;
    }
    while (n) {
        if (*p++) return false;
        n--;
    }
    return true;
}

/* ---- reading -------------------------------------------------------------------------------------- */

static bool unaligned(const struct blk_node *n, uint64_t offset, const void *buf, size_t len)
{
    uint32_t a = n->request_align;
    return a > 1 && ((offset | len | (uintptr_t)buf) & (a - 1));
}

static int read_bounced(struct blk_node *n, uint64_t offset, uint8_t *p, size_t len)
{
    uint64_t a = n->request_align;
    uint8_t *tmp = blk_alloc_aligned(BOUNCE);
    int rc = 0;

    while (len && !rc) {
        uint64_t start = ALIGN_DOWN(offset, a), skip = offset - start;
        size_t k = (size_t)MIN((uint64_t)len, BOUNCE - skip);
        rc = n->drv->read(n, start, tmp, (size_t)ALIGN_UP(skip + k, a));
        if (!rc) memcpy(p, tmp + skip, k);
        p += k, offset += k, len -= k;
    }
    blk_free_aligned(tmp);
    return rc;
}

int blk_node_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    uint64_t size = blk_node_size(n);
    uint8_t *p = buf;
    int rc = 0;

    if (offset >= size || len > size - offset) {
        size_t have = offset >= size ? 0 : (size_t)(size - offset);
        memset(p + have, 0, len - have);
        len = have;
    }
    if (!len) return 0;
    node_lock(n, true);
    if (unaligned(n, offset, buf, len)) {
        rc = read_bounced(n, offset, p, len);
    } else {
        size_t max = n->max_transfer ? n->max_transfer : MAX_REQUEST;
        while (len && !rc) {
            size_t k = MIN(len, max);
            rc = n->drv->read(n, offset, p, k);
            p += k, offset += k, len -= k;
        }
    }
    node_unlock(n);
    return rc;
}

int blk_node_read_now(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    uint64_t size = blk_node_size(n);
    int rc;

    if (!n->drv->read_now || n->drv->locking == BLK_LOCK_NODE || unaligned(n, offset, buf, len)) return -EAGAIN;
    if (offset >= size || len > size - offset || (n->max_transfer && len > n->max_transfer)) return -EAGAIN;
    if (pthread_rwlock_tryrdlock(&n->gate)) return -EAGAIN;
    rc = n->drv->read_now(n, offset, buf, len);
    node_unlock(n);
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------------- */

static void grow(struct blk_node *n, uint64_t end)
{
    uint64_t now = atomic_load(&n->size);
    while (end > now && !atomic_compare_exchange_weak(&n->size, &now, end)) {
    }
}

/* May this range be written? Sets BLK_RESIZE where it extends the node. */
static int check_write(struct blk_node *n, uint64_t offset, uint64_t len, unsigned *flags)
{
    uint64_t size = blk_node_size(n);

    if (!n->drv->write || (n->flags & BLK_RDONLY)) return -EROFS;
    if (offset > INT64_MAX || len > INT64_MAX - offset) return -EFBIG;
    *flags &= ~(unsigned)(BLK_FUA | BLK_RESIZE);
    if (offset + len > size) {
        if (!n->drv->grows) return -EIO;
        *flags |= BLK_RESIZE;
    }
    return 0;
}

/* Reads what surrounds the data, under the exclusive lock, so that nothing written meanwhile is lost. */
static int write_bounced(struct blk_node *n, uint64_t offset, const uint8_t *p, size_t len, unsigned flags)
{
    uint64_t a = n->request_align;
    uint8_t *tmp = blk_alloc_aligned(BOUNCE);
    int rc = 0;

    while (len && !rc) {
        uint64_t start = ALIGN_DOWN(offset, a), skip = offset - start;
        size_t k = (size_t)MIN((uint64_t)len, BOUNCE - skip), whole = (size_t)ALIGN_UP(skip + k, a);
        if (skip) rc = n->drv->read(n, start, tmp, (size_t)a);
        if (!rc && skip + k < whole && (!skip || whole > a))
            rc = n->drv->read(n, start + whole - a, tmp + whole - a, (size_t)a);
        memcpy(tmp + skip, p, k);
        if (!rc) rc = n->drv->write(n, start, tmp, whole, flags);
        p += k, offset += k, len -= k;
    }
    blk_free_aligned(tmp);
    return rc;
}

/* For dirty bitmaps, before the gate opens: who holds it alone sees all that has been written. Failed requests count,
 * they may be half done. */
static void note_change(struct blk_node *n, uint64_t offset, uint64_t len)
{
    if (atomic_load(&n->marking)) bitmaps_mark(n, offset, len);
}

static int write_locked(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    const uint8_t *p = buf;
    uint64_t start = offset, end = offset + len;
    int rc = 0;

    if (unaligned(n, offset, buf, len)) {
        node_lock_all(n);
        rc = write_bounced(n, offset, p, len, flags);
    } else {
        size_t max = n->max_transfer ? n->max_transfer : MAX_REQUEST;
        node_lock(n, false);
        while (len && !rc) {
            size_t k = MIN(len, max);
            rc = n->drv->write(n, offset, p, k, flags);
            p += k, offset += k, len -= k;
        }
    }
    if (!rc) grow(n, end);
    note_change(n, start, end - start);
    node_unlock(n);
    return rc;
}

/* Has somebody asked to see what is there before it goes? Called before the request's own locks. */
static void before_change(struct blk_node *n, uint64_t offset, uint64_t len)
{
    if (!n->before) return;
    n->before(n->before_opaque, offset, len);
}

int blk_node_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    bool fua = (flags & BLK_FUA) != 0;
    int rc;

    if (!len) return 0;
    if ((n->flags & (BLK_DZ_ON | BLK_DZ_UNMAP)) && !(flags & BLK_COMPRESSED) && blk_is_zero(buf, len))
        return blk_node_zero(n, offset, len, flags | (n->flags & BLK_DZ_UNMAP ? BLK_MAY_UNMAP : 0));
    rc = check_write(n, offset, len, &flags);
    if (!rc) before_change(n, offset, len);
    if (!rc) rc = write_locked(n, offset, buf, len, flags);
    if (!rc && fua) rc = blk_node_flush(n);
    return rc;
}

int node_copy(struct blk_node *n, uint64_t offset, struct blk_node *file, uint64_t at, struct blk_node *from, uint64_t from_at,
              uint64_t len)
{
    int rc;

    if (file->drv != from->drv || !file->drv->copy_from || file == from || (file->flags & BLK_RDONLY) || n->before) return -ENOTSUP;
    node_lock(n, false);
    node_lock(file, false);
    rc = file->drv->copy_from(file, at, from, from_at, len);
    node_unlock(file);
    note_change(n, offset, len);
    node_unlock(n);
    return rc;
}

static int zero_by_writing(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    size_t size = (size_t)MIN(len, (uint64_t)BOUNCE);
    uint8_t *zeros = blk_alloc_aligned(size);
    int rc = 0;

    memset(zeros, 0, size);
    while (len && !rc) {
        size_t k = (size_t)MIN(len, (uint64_t)size);
        if ((offset & (BOUNCE - 1)) && len > k) k = (size_t)MIN((uint64_t)k, BOUNCE - (offset & (BOUNCE - 1)));
        rc = write_locked(n, offset, zeros, k, flags);
        offset += k, len -= k;
    }
    blk_free_aligned(zeros);
    return rc;
}

static int zero_part(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    int rc = -ENOTSUP;

    if (!len) return 0;
    if (n->drv->zero && !(n->request_align > 1 && ((offset | len) & (n->request_align - 1)))) {
        node_lock(n, false);
        rc = n->drv->zero(n, offset, len, flags);
        if (!rc) grow(n, offset + len);
        note_change(n, offset, len);
        node_unlock(n);
    }
    if (rc == -ENOTSUP && !(flags & BLK_NO_FALLBACK))
        rc = zero_by_writing(n, offset, len, flags & ~(unsigned)(BLK_MAY_UNMAP | BLK_NO_FALLBACK));
    return rc;
}

int blk_node_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    bool fua = (flags & BLK_FUA) != 0;
    uint64_t a = n->zero_align, at = offset, left = len;
    int rc;

    if (!len) return 0;
    rc = check_write(n, offset, len, &flags);
    if (rc) return rc;
    before_change(n, offset, len);
    if (!(n->flags & BLK_UNMAP)) flags &= ~(unsigned)BLK_MAY_UNMAP;
    if (a > 1) {
        /* the ends off the format's unit are data */
        uint64_t head = MIN(left, ALIGN_UP(at, a) - at);
        if (head) rc = zero_part(n, at, head, flags), at += head, left -= head;
        uint64_t tail = offset + len == blk_node_size(n) ? 0 : left & (a - 1);
        if (!rc) rc = zero_part(n, at, left - tail, flags), at += left - tail;
        if (!rc) rc = zero_part(n, at, tail, flags);
    } else {
        rc = zero_part(n, at, left, flags);
    }
    if (!rc && fua) rc = blk_node_flush(n);
    return rc;
}

int blk_node_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    uint64_t size = blk_node_size(n);
    int rc;

    if (!n->drv->write || (n->flags & BLK_RDONLY)) return -EROFS;
    if (offset >= size) return 0;
    len = MIN(len, size - offset);
    if (!len || !n->drv->discard || !(n->flags & BLK_UNMAP)) return 0;
    before_change(n, offset, len);
    node_lock(n, false);
    rc = n->drv->discard(n, offset, len);
    note_change(n, offset, len);
    node_unlock(n);
    return rc == -ENOTSUP ? 0 : rc;
}

int blk_node_flush(struct blk_node *n)
{
    int rc = 0;

    if (n->flags & BLK_RDONLY) return 0;
    if (n->drv->flush) {
        node_lock(n, false);
        rc = n->drv->flush(n);
        node_unlock(n);
    }
    for (const struct blk_edge *x = n->children; x && !rc; x = x->next) {
        if (strcmp(x->role, "backing")) rc = blk_node_flush(x->child);
    }
    return rc;
}

int blk_node_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    uint64_t old = blk_node_size(n);
    int rc;

    if (n->flags & BLK_RDONLY) return error_set(e, "'%s' is read-only", blk_node_filename(n)), -EACCES;
    if (!n->drv->truncate)
        return error_set(e, "Image format driver '%s' does not support resize", n->drv->name), -ENOTSUP;
    if (size > INT64_MAX - 511) return error_set(e, "Required too big image size"), -EFBIG;
    node_lock_all(n);
    rc = n->drv->truncate(n, size, prealloc, e);
    if (!rc) blk_set_size(n, n->drv->kind == BLK_PROTOCOL ? size : ALIGN_UP(size, (uint64_t)512));
    node_unlock(n);
    if (!rc && n->bitmaps) bitmaps_resize(n, blk_node_size(n));
    /* What a longer overlay shows must be zeros, not what a longer backing file has there. */
    if (!rc && size > old && n->backing && blk_node_size(n->backing) > old)
        rc = blk_node_zero(n, old, size - old, 0);
    return rc;
}

/* ---- flights (driver.h) --------------------------------------------------------------------------- */

static bool may_fly(struct blk_node *n, const struct blk_flight *f, uint64_t offset, size_t len)
{
    uint64_t size = blk_node_size(n);

    if (!n->drv->start || n->drv->locking != BLK_LOCK_OWN || f->n == BLK_FLIGHT_NODES) return false;
    if (offset >= size || len > size - offset || (n->max_transfer && len > n->max_transfer)) return false;
    if (unaligned(n, offset, f->buf, len)) return false;
    return !f->write || (n->drv->write && !n->before && !(n->flags & (BLK_RDONLY | BLK_DZ_ON | BLK_DZ_UNMAP)));
}

static void landed(struct blk_node *n)
{
    pthread_mutex_lock(&n->fly_lock);
    if (!--n->flying) pthread_cond_broadcast(&n->landed);
    pthread_mutex_unlock(&n->fly_lock);
}

int blk_node_start(struct blk_node *n, struct blk_flight *f, uint64_t offset, size_t len)
{
    struct blk_stop *s;
    int rc;

    if (!may_fly(n, f, offset, len) || pthread_rwlock_tryrdlock(&n->gate)) return -EAGAIN;
    s = &f->at[f->n++];
    s->node = n, s->offset = offset, s->len = len;
    pthread_mutex_lock(&n->fly_lock);
    n->flying++;
    pthread_mutex_unlock(&n->fly_lock);
    rc = n->drv->start(n, f, s);
    node_unlock(n);
    if (!rc) return 0;
    f->n--;
    landed(n);
    return rc;
}

int blk_flight_start(struct blk_flight *f, const struct blk_req *r)
{
    struct blk_backend *b = r->blk;

    *f = (struct blk_flight){.write = r->op == BLK_OP_WRITE, .buf = r->buf};
    if (f->write && (b->flags & (BLK_RDONLY | BLK_WRITETHROUGH))) return -EAGAIN;
    if (r->bytes > MAX_REQUEST) return -EAGAIN;
    return blk_node_start(b->root, f, r->offset, (size_t)r->bytes);
}

bool blk_flight_land(struct blk_flight *f, bool wait)
{
    for (; f->n; f->n--) {
        struct blk_stop *s = &f->at[f->n - 1];
        struct blk_node *n = s->node;
        if (n->drv->landed && !n->drv->landed(n, s, wait)) return false;
        if (f->write) note_change(n, s->offset, s->len);
        landed(n);
    }
    return true;
}

/* ---- status --------------------------------------------------------------------------------------- */

enum { ST_FINAL = 1 << 15 }; /* internal: the children have been asked */

static int status_one(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    int rc = 0;

    *st = (struct blk_status){.bytes = len};
    if (n->drv->status) {
        node_lock(n, true);
        rc = n->drv->status(n, offset, len, st);
        node_unlock(n);
        if (rc) return rc;
        if (!st->bytes || st->bytes > len) return -EIO;
        if (n->drv->kind == BLK_PROTOCOL) st->flags |= ST_FINAL | BLK_ST_ALLOCATED;
    } else if (n->drv->kind == BLK_FILTER && n->file) {
        return status_one(n->file, offset, len, st);
    } else {
        st->flags = BLK_ST_DATA | BLK_ST_ALLOCATED;
        if (n->drv->kind == BLK_PROTOCOL) st->flags |= BLK_ST_OFFSET, st->offset = offset, st->file = n;
    }
    if (st->flags & (BLK_ST_DATA | BLK_ST_ZERO)) st->flags |= BLK_ST_ALLOCATED;
    return 0;
}

int blk_node_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    uint64_t size = blk_node_size(n);
    int rc;

    if (offset >= size) {
        *st = (struct blk_status){.flags = BLK_ST_EOF, .bytes = len};
        return 0;
    }
    len = MIN(len, size - offset);
    if (!len) return -EINVAL;
    rc = status_one(n, offset, len, st);
    if (rc) return rc;
    /* Data of a format may lie in a hole of its file: allocated, and zeros. That is worth a look where the format says
     * so (flat files, clusters allocated without being written); elsewhere a hole is a part of a cluster, of no use. */
    if (st->file && (st->file->drv->kind != BLK_PROTOCOL || (st->flags & BLK_ST_RECURSE)) &&
        (st->flags & (BLK_ST_DATA | BLK_ST_OFFSET | ST_FINAL)) == (BLK_ST_DATA | BLK_ST_OFFSET) && st->file != n) {
        struct blk_status below;
        if (st->offset < blk_node_size(st->file) && !blk_node_status(st->file, st->offset, st->bytes, &below)) {
            if (below.flags & BLK_ST_ZERO) st->flags |= BLK_ST_ZERO;
            st->bytes = MIN(st->bytes, below.bytes);
            if (below.flags & BLK_ST_OFFSET) st->file = below.file, st->offset = below.offset;
        } else if (st->offset >= blk_node_size(st->file)) {
            st->flags |= BLK_ST_ZERO; /* allocated, and the file ends before */
        }
    }
    st->flags &= ~(unsigned)(ST_FINAL | BLK_ST_RECURSE);
    if (offset + st->bytes == size) st->flags |= BLK_ST_EOF;
    return 0;
}

int blk_node_status_above(struct blk_node *top, struct blk_node *base, uint64_t offset, uint64_t len,
                          struct blk_status *st)
{
    uint64_t size = blk_node_size(top), left;
    int depth = 0;

    if (offset >= size) {
        *st = (struct blk_status){.flags = BLK_ST_EOF | BLK_ST_ZERO, .bytes = len};
        return 0;
    }
    left = MIN(len, size - offset);
    for (struct blk_node *n = top; n && n != base; depth++) {
        struct blk_node *below = blk_node_backing(n);
        int rc = 0;

        if (offset >= blk_node_size(n)) {
            /* A shorter backing file reads as zeros behind its end: it hides what is below it; when nothing is, no
             * layer has it. */
            *st = (struct blk_status){.flags = BLK_ST_ZERO | (below ? BLK_ST_ALLOCATED : 0), .bytes = left,
                                      .depth = below || !depth ? depth : depth - 1};
            break;
        }
        rc = blk_node_status(n, offset, left, st);
        if (rc) return rc;
        st->depth = depth;
        left = st->bytes;
        if (st->flags & BLK_ST_ALLOCATED) break;
        if (!below) st->flags |= BLK_ST_ZERO;
        n = below;
    }
    st->flags &= ~(unsigned)BLK_ST_EOF;
    if (offset + st->bytes == size) st->flags |= BLK_ST_EOF;
    return 0;
}

/* ---- range locks ---------------------------------------------------------------------------------- */

void blk_ranges_init(struct blk_ranges *r)
{
    r->list = NULL, r->waiting = 0;
    pthread_cond_init(&r->cond, NULL);
}

void blk_ranges_destroy(struct blk_ranges *r) { pthread_cond_destroy(&r->cond); }

void blk_range_lock(struct blk_ranges *r, pthread_mutex_t *m, struct blk_range *x, uint64_t start, uint64_t end,
                    bool exclusive)
{
    *x = (struct blk_range){start, end, exclusive, NULL};
again:
    for (const struct blk_range *y = r->list; y; y = y->next) {
        if (y->start >= end || y->end <= start || (!y->exclusive && !exclusive)) continue;
        r->waiting++;
        pthread_cond_wait(&r->cond, m);
        r->waiting--;
        goto again;
    }
    x->next = r->list;
    r->list = x;
}

void blk_range_unlock(struct blk_ranges *r, struct blk_range *x)
{
    for (struct blk_range **p = &r->list; *p; p = &(*p)->next) {
        if (*p == x) {
            *p = x->next;
            break;
        }
    }
    if (r->waiting) pthread_cond_broadcast(&r->cond);
}
