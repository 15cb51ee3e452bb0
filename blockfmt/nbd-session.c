/*
 * nbd-session.c - the NBD server's side of the transmission phase: requests of one client.
 *
 * Threads. Whoever holds `turn` reads the next request. While requests are fast (their data are in memory) the same
 * thread answers them one after the other under its turn, and sends the answers together when no further request has
 * arrived: nothing is handed from thread to thread. When they turn out slow, the turn is given up before the work, and
 * another thread, made when none waits, reads on: then up to MAX_THREADS requests are worked on at once. Answers go
 * out under `wr`, each whole.
 *
 * Requests are hostile: lengths are limited before memory is had, ranges are checked here though the block layer would.
 */
#include "blockfmt/nbd-server-impl.h"
#include "blockfmt/driver.h"
#include "util/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum {
    MAX_THREADS = 16,
    BATCH = 256 << 10,      /* answers that wait for company */
    KEEP = 4 << 20,         /* buffers larger than this are given back */
    LEAD = 4096,            /* room before the data of an answer, so that they are aligned */
    MAX_EXTENTS = 8192,     /* of one answer to block status */
    SLOW_NS = 100000,       /* a request that takes longer (and more for its data) may have waited */
    SLOW_STEP = 8, SLOW_ENTER = 24, SLOW_MAX = 128
};

struct session {
    struct nbd_client *client;
    pthread_mutex_t turn, wr, lock;
    pthread_cond_t gone;
    unsigned threads;       /* besides the first; under lock */
    atomic_uint waiting;    /* for the turn */
    bool over;              /* under turn */
    atomic_bool broken;     /* the socket takes no more */
    int slow;               /* > SLOW_ENTER: slow; under turn */
};

struct worker {
    struct session *s;
    uint8_t *out, *in;      /* out: answers; in: data to be written */
    size_t out_room, out_len, in_room;
    bool at_once;           /* the data of the last request to read were in memory */
    long preempted;         /* how often this thread was */
};

struct request {
    uint16_t flags, type;
    uint8_t cookie[8];
    uint64_t offset;
    uint32_t len;
};

/* ---- answers -------------------------------------------------------------------------------------- */

static void transmit(struct session *s, const void *buf, size_t n)
{
    if (!n) return;
    pthread_mutex_lock(&s->wr);
    if (!atomic_load(&s->broken) && nbd_chan_write(&s->client->chan, buf, n)) {
        atomic_store(&s->broken, true);
        nbd_chan_shutdown(&s->client->chan); /* whoever reads comes back */
    }
    pthread_mutex_unlock(&s->wr);
}

static void flush_out(struct worker *w)
{
    transmit(w->s, w->out, w->out_len);
    w->out_len = 0;
}

static uint8_t *grow(uint8_t **buf, size_t *room, size_t need)
{
    if (*room < need) {
        blk_free_aligned(*buf);
        *room = ALIGN_UP(need, (size_t)65536);
        *buf = blk_alloc_aligned(*room);
    }
    return *buf;
}

/* Room for n more bytes of answers; what is there may be sent first. */
static uint8_t *room_for(struct worker *w, size_t n)
{
    if (w->out_len + n > BATCH || w->out_len + n > w->out_room) {
        flush_out(w);
        grow(&w->out, &w->out_room, MAX(n, (size_t)BATCH));
    }
    return w->out + w->out_len;
}

static void put_simple(uint8_t *p, const struct request *r, int rc)
{
    st32_be(p, NBD_SIMPLE_MAGIC);
    st32_be(p + 4, nbd_errno_out(rc));
    memcpy(p + 8, r->cookie, 8);
}

static void put_chunk(uint8_t *p, const struct request *r, enum nbd_chunk type, bool done, uint32_t len)
{
    st32_be(p, NBD_STRUCTURED_MAGIC);
    st16_be(p + 4, done ? NBD_CHUNK_DONE : 0);
    st16_be(p + 6, (uint16_t)type);
    memcpy(p + 8, r->cookie, 8);
    st32_be(p + 16, len);
}

static void answer(struct worker *w, const struct request *r, int rc)
{
    uint8_t *p = room_for(w, 512);

    if (!w->s->client->structured || (!rc && r->type != NBD_CMD_READ && r->type != NBD_CMD_BLOCK_STATUS)) {
        put_simple(p, r, rc);
        w->out_len += NBD_SIMPLE_SIZE;
    } else if (!rc) {
        put_chunk(p, r, NBD_CHUNK_NONE, true, 0);
        w->out_len += NBD_CHUNK_SIZE;
    } else {
        const char *why = strerror(-rc);
        size_t n = MIN(strlen(why), (size_t)256);
        put_chunk(p, r, NBD_CHUNK_ERROR, true, (uint32_t)(6 + n));
        st32_be(p + 20, nbd_errno_out(rc));
        st16_be(p + 24, (uint16_t)n);
        memcpy(p + 26, why, n);
        w->out_len += NBD_CHUNK_SIZE + 6 + n;
    }
}

/* ---- requests ------------------------------------------------------------------------------------- */

static void do_read(struct worker *w, const struct request *r)
{
    struct nbd_client *c = w->s->client;
    struct blk_backend *blk = c->export->blk;
    size_t head = c->structured ? NBD_CHUNK_SIZE + 8 : NBD_SIMPLE_SIZE, n = r->len;
    uint8_t *p;
    int rc;

    if (!n) return answer(w, r, 0);
    if (n > BATCH / 4 || (blk_flags(blk) & BLK_DIRECT)) { /* alone, its data where O_DIRECT likes them */
        flush_out(w);
        p = grow(&w->out, &w->out_room, LEAD + n) + LEAD;
    } else {
        p = room_for(w, head + n) + head;
    }
    rc = n <= BATCH ? blk_read_now(blk, r->offset, p, n) : -EAGAIN;
    w->at_once = rc != -EAGAIN;
    if (!w->at_once) rc = blk_read(blk, r->offset, p, n);
    if (rc) return answer(w, r, rc);
    if (c->structured && !(r->flags & NBD_CMD_DF) && n >= 512 && blk_is_zero(p, n)) {
        p = room_for(w, NBD_CHUNK_SIZE + 12);
        put_chunk(p, r, NBD_CHUNK_HOLE, true, 12);
        st64_be(p + 20, r->offset);
        st32_be(p + 28, r->len);
        w->out_len += NBD_CHUNK_SIZE + 12;
        return;
    }
    if (c->structured) {
        put_chunk(p - head, r, NBD_CHUNK_DATA, true, (uint32_t)(8 + n));
        st64_be(p - 8, r->offset);
    } else {
        put_simple(p - head, r, 0);
    }
    if (w->out_len || p == w->out + head) w->out_len += head + n;
    else transmit(w->s, p - head, head + n);
}

static int do_cache(struct worker *w, const struct request *r)
{
    struct blk_backend *blk = w->s->client->export->blk;
    uint8_t *p = grow(&w->in, &w->in_room, MIN((size_t)r->len, (size_t)1 << 20));
    int rc = 0;

    for (uint32_t at = 0; at < r->len && !rc;) {
        uint32_t k = MIN(r->len - at, 1u << 20);
        rc = blk_read(blk, r->offset + at, p, k);
        at += k;
    }
    return rc;
}

/* ---- block status --------------------------------------------------------------------------------- */

struct extents {
    uint8_t *p;       /* pairs of length and state */
    unsigned n, max;
    uint64_t last;    /* length of the last so far */
    uint32_t state;
};

static bool extent_flush(struct extents *x)
{
    if (!x->last) return true;
    if (x->n == x->max) return false;
    st32_be(x->p + x->n * 8, (uint32_t)x->last);
    st32_be(x->p + x->n * 8 + 4, x->state);
    x->n++, x->last = 0;
    return true;
}

/* False: no more room, the rest is not told. */
static bool extent_add(struct extents *x, uint64_t len, uint32_t state)
{
    if (x->last && x->state != state && (!extent_flush(x) || x->n == x->max)) return false;
    x->last += len, x->state = state;
    return true;
}

static int extents_of(struct nbd_client *c, unsigned ctx, const struct request *r, struct extents *x)
{
    struct nbd_export *e = c->export;
    uint64_t at = r->offset, end = r->offset + r->len;

    while (at < end) {
        uint64_t n = end - at;
        uint32_t state = 0;
        if (ctx >= CTX_BITMAP) {
            uint64_t dirty = at, run;
            if (!blk_bitmap_run(e->bitmaps[ctx - CTX_BITMAP], &dirty, &run)) run = 0, dirty = end;
            if (dirty > at) n = MIN(n, dirty - at);
            else n = MIN(n, run), state = NBD_STATE_DIRTY;
        } else {
            struct blk_status st;
            int rc = blk_status(e->blk, at, n, NULL, &st);
            if (rc) return rc;
            if (!st.bytes) return -EIO;
            n = MIN(n, st.bytes);
            if (ctx == CTX_ALLOCATION)
                state = (st.flags & BLK_ST_DATA ? 0 : NBD_STATE_HOLE) | (st.flags & BLK_ST_ZERO ? NBD_STATE_ZERO : 0);
            else if (st.flags & BLK_ST_ALLOCATED) state = (uint32_t)st.depth + 1;
        }
        if (!extent_add(x, n, state)) return 0;
        at += n;
    }
    extent_flush(x);
    return 0;
}

static void do_status(struct worker *w, const struct request *r)
{
    struct nbd_client *c = w->s->client;
    unsigned count = 0, sent = 0, max = r->flags & NBD_CMD_REQ_ONE ? 1 : MAX_EXTENTS;
    int rc = 0;

    for (unsigned i = 0; i < NBD_MAX_CONTEXTS; i++) count += c->contexts[i];
    if (!count || !r->len) return answer(w, r, -EINVAL);
    flush_out(w);
    grow(&w->out, &w->out_room, NBD_CHUNK_SIZE + 4 + (size_t)max * 8);
    for (unsigned i = 0; i < NBD_MAX_CONTEXTS && !rc; i++) {
        struct extents x = {.p = w->out + NBD_CHUNK_SIZE + 4, .max = max};
        if (!c->contexts[i]) continue;
        rc = extents_of(c, i, r, &x);
        if (rc) break;
        sent++;
        put_chunk(w->out, r, NBD_CHUNK_STATUS, sent == count, 4 + x.n * 8);
        st32_be(w->out + NBD_CHUNK_SIZE, i);
        w->out_len = NBD_CHUNK_SIZE + 4 + x.n * 8;
        if (sent < count) flush_out(w);
    }
    if (rc) {
        w->out_len = 0;
        answer(w, r, rc);
    }
}

/* ---- checking and doing --------------------------------------------------------------------------- */

/* What may be wrong with a request before anything is done. */
static int check(const struct nbd_client *c, const struct request *r)
{
    static const uint16_t allowed[] = {
        [NBD_CMD_READ] = NBD_CMD_FUA | NBD_CMD_DF, [NBD_CMD_WRITE] = NBD_CMD_FUA, [NBD_CMD_DISC] = 0xffff,
        [NBD_CMD_FLUSH] = NBD_CMD_FUA, [NBD_CMD_TRIM] = NBD_CMD_FUA, [NBD_CMD_CACHE] = 0,
        [NBD_CMD_WRITE_ZEROES] = NBD_CMD_FUA | NBD_CMD_NO_HOLE | NBD_CMD_FAST_ZERO,
        [NBD_CMD_BLOCK_STATUS] = NBD_CMD_REQ_ONE,
    };
    const struct nbd_export *x = c->export;

    if (r->type >= ARRAY_LEN(allowed)) return -EINVAL;
    if (r->flags & ~(unsigned)allowed[r->type]) return -EINVAL;
    if ((r->flags & NBD_CMD_DF) && !c->structured) return -EINVAL;
    if (r->type == NBD_CMD_FLUSH) return r->offset || r->len ? -EINVAL : 0;
    if (r->type == NBD_CMD_WRITE || r->type == NBD_CMD_TRIM || r->type == NBD_CMD_WRITE_ZEROES) {
        if (!x->writable) return -EPERM;
        if (r->offset > x->size || r->len > x->size - r->offset) return -ENOSPC;
    } else if (r->offset > x->size || r->len > x->size - r->offset) {
        return -EINVAL;
    }
    if ((r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE) && r->len > NBD_MAX_DATA) return -EOVERFLOW;
    return 0;
}

static int work(struct worker *w, const struct request *r)
{
    struct blk_backend *blk = w->s->client->export->blk;
    unsigned fua = r->flags & NBD_CMD_FUA ? BLK_FUA : 0;
    int rc;

    switch (r->type) {
    case NBD_CMD_WRITE: return r->len ? blk_write_flags(blk, r->offset, w->in, r->len, fua) : 0;
    case NBD_CMD_FLUSH: return blk_flush(blk);
    case NBD_CMD_TRIM:
        rc = r->len ? blk_discard(blk, r->offset, r->len) : 0;
        return !rc && fua ? blk_flush(blk) : rc;
    case NBD_CMD_CACHE: return do_cache(w, r);
    case NBD_CMD_WRITE_ZEROES:
        if (!r->len) return 0;
        return blk_zero(blk, r->offset, r->len, fua | (r->flags & NBD_CMD_NO_HOLE ? 0 : BLK_MAY_UNMAP) |
                                                    (r->flags & NBD_CMD_FAST_ZERO ? BLK_NO_FALLBACK : 0));
    default: return -EINVAL;
    }
}

/* ---- threads -------------------------------------------------------------------------------------- */

static void *follower(void *opaque);

static void more_threads(struct session *s)
{
    sigset_t all, old;
    pthread_attr_t attr;
    pthread_t id;

    pthread_mutex_lock(&s->lock);
    if (s->threads < MAX_THREADS - 1 && !atomic_load(&s->waiting)) {
        sigfillset(&all);
        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        if (!pthread_create(&id, &attr, follower, s)) s->threads++;
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Reads a request and its data. Nonzero: there are no more. */
static int next_request(struct worker *w, struct request *r, int *bad)
{
    struct nbd_client *c = w->s->client;
    uint8_t head[NBD_REQUEST_SIZE];
    int rc;

    if (nbd_chan_buffered(&c->chan) < sizeof head) flush_out(w);
    rc = nbd_chan_read(&c->chan, head, sizeof head);
    if (rc) return rc;
    if (ld32_be(head) != NBD_REQUEST_MAGIC) return nbd_say(c->server, "bad magic number of a request"), -EPROTO;
    r->flags = ld16_be(head + 4), r->type = ld16_be(head + 6);
    memcpy(r->cookie, head + 8, 8);
    r->offset = ld64_be(head + 16), r->len = ld32_be(head + 24);
    *bad = check(c, r);
    if (*bad && r->type != NBD_CMD_DISC)
        nbd_say(c->server, "request %u of %u bytes at %llu (flags %#x): %s", r->type, r->len,
                (unsigned long long)r->offset, r->flags, strerror(-*bad));
    if (r->type == NBD_CMD_DISC) return -ENOTCONN;
    c->chan.exact = r->type == NBD_CMD_WRITE && r->len >= 32768;
    if (r->type != NBD_CMD_WRITE) return 0;
    if (*bad) {
        if (r->len > 2 * NBD_MAX_DATA) return -EPROTO;
        flush_out(w);
        return nbd_chan_skip(&c->chan, r->len);
    }
    grow(&w->in, &w->in_room, r->len + !r->len);
    if (nbd_chan_buffered(&c->chan) < r->len) flush_out(w);
    return nbd_chan_read(&c->chan, w->in, r->len);
}

static void shrink(struct worker *w)
{
    if (w->out_room > KEEP && !w->out_len) blk_free_aligned(w->out), w->out = NULL, w->out_room = 0;
    if (w->in_room > KEEP) blk_free_aligned(w->in), w->in = NULL, w->in_room = 0;
}

/* Did a request wait for something, by the time it took? Not when its data were at hand, nor when other threads had the
 * processor meanwhile, which says nothing. */
static bool waited(struct worker *w, const struct request *r, uint64_t ns)
{
    bool preempted = false;

    if (ns <= SLOW_NS + r->len / 2 || (r->type == NBD_CMD_READ && w->at_once)) return false;
#ifdef RUSAGE_THREAD
    struct rusage u;
    if (!getrusage(RUSAGE_THREAD, &u)) preempted = u.ru_nivcsw != w->preempted, w->preempted = u.ru_nivcsw;
#endif
    return !preempted;
}

static void serve(struct worker *w)
{
    struct session *s = w->s;
    bool turn = false, always = (blk_flags(s->client->export->blk) & BLK_DIRECT) != 0;

    for (;;) {
        struct request r;
        int bad = 0;
        if (!turn) {
            atomic_fetch_add(&s->waiting, 1);
            pthread_mutex_lock(&s->turn);
            atomic_fetch_sub(&s->waiting, 1);
            turn = true;
        }
        if (s->over || next_request(w, &r, &bad)) break;
        if (bad) {
            answer(w, &r, bad);
            continue;
        }
        if (always || s->slow > SLOW_ENTER) { /* let another read on */
            if (s->slow) s->slow--;
            flush_out(w);
            more_threads(s);
            pthread_mutex_unlock(&s->turn);
            turn = false;
        }
        uint64_t t = loop_now_ns();
        if (r.type == NBD_CMD_READ) do_read(w, &r);
        else if (r.type == NBD_CMD_BLOCK_STATUS) do_status(w, &r);
        else answer(w, &r, work(w, &r));
        t = loop_now_ns() - t;
        if (turn) {
            if (waited(w, &r, t)) s->slow = MIN(s->slow + SLOW_STEP, SLOW_MAX);
            else if (s->slow) s->slow--;
        } else {
            flush_out(w);
            if (waited(w, &r, t)) { /* it still is */
                pthread_mutex_lock(&s->turn);
                turn = true;
                s->slow = MIN(s->slow + SLOW_STEP, SLOW_MAX);
            }
        }
        shrink(w);
    }
    s->over = true;
    flush_out(w);
    pthread_mutex_unlock(&s->turn);
    blk_free_aligned(w->out);
    blk_free_aligned(w->in);
}

static void *follower(void *opaque)
{
    struct session *s = opaque;
    struct worker w = {.s = s};

    serve(&w);
    pthread_mutex_lock(&s->lock);
    s->threads--;
    pthread_cond_signal(&s->gone);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void nbd_session(struct nbd_client *c)
{
    struct session s = {.client = c};
    struct worker w = {.s = &s};

    pthread_mutex_init(&s.turn, NULL);
    pthread_mutex_init(&s.wr, NULL);
    pthread_mutex_init(&s.lock, NULL);
    pthread_cond_init(&s.gone, NULL);
    atomic_init(&s.waiting, 0);
    atomic_init(&s.broken, false);
    serve(&w);
    pthread_mutex_lock(&s.lock);
    while (s.threads) pthread_cond_wait(&s.gone, &s.lock);
    pthread_mutex_unlock(&s.lock);
    pthread_cond_destroy(&s.gone);
    pthread_mutex_destroy(&s.turn);
    pthread_mutex_destroy(&s.wr);
    pthread_mutex_destroy(&s.lock);
}
