/*
 * async.c - requests that complete later: worker threads that take them from a queue, the kernel's queues (aio.h) for
 * what these can do, and a list of finished ones whose callbacks run in the context's own thread.
 */
#include "blockfmt/aio.h"
#include "util/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define READ_NOW (32u << 10) /* larger reads are worth a thread */

struct blk_ctx {
    pthread_mutex_t lock;
    pthread_cond_t work, finished;
    struct blk_req *queue, **queue_end, *done, **done_end;
    unsigned max, threads, idle, queued, pending;
    bool stopping, waiting, told; /* told: the pipe has a byte in it */
    struct aio *aio;              /* made with the context */
    bool polling, unsent;         /* callbacks run: what they submit is sent together, at their end */
    pthread_t *ids;
    struct loop_fd *watch;
    int pipe[2];
};

static int run(struct blk_req *r)
{
    switch (r->op) {
    case BLK_OP_READ: return blk_read(r->blk, r->offset, r->buf, (size_t)r->bytes);
    case BLK_OP_WRITE: return blk_write_flags(r->blk, r->offset, r->buf, (size_t)r->bytes, r->flags);
    case BLK_OP_ZERO: return blk_zero(r->blk, r->offset, r->bytes, r->flags);
    case BLK_OP_DISCARD: return blk_discard(r->blk, r->offset, r->bytes);
    case BLK_OP_FLUSH: return blk_flush(r->blk);
    case BLK_OP_FN: return r->fn(r);
    }
    return -EINVAL;
}

/* (with the lock) */
static void add_done(struct blk_ctx *c, struct blk_req *r)
{
    *c->done_end = r;
    c->done_end = &r->next;
    if (c->watch && !c->told) {
        ssize_t n = write(c->pipe[1], "", 1);
        (void)n;
        c->told = true;
    }
}

static void finish(struct blk_ctx *c, struct blk_req *r, int rc)
{
    bool wake;

    r->rc = rc;
    r->next = NULL;
    pthread_mutex_lock(&c->lock);
    wake = c->waiting && !c->done;
    add_done(c, r);
    pthread_mutex_unlock(&c->lock);
    if (wake) pthread_cond_signal(&c->finished); /* without the lock, so that who wakes up does not stop at it */
}

static void *worker(void *opaque)
{
    struct blk_ctx *c = opaque;
    struct blk_req *r;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->queue && !c->stopping) {
            c->idle++;
            pthread_cond_wait(&c->work, &c->lock);
            c->idle--;
        }
        r = c->queue;
        if (!r) break;
        c->queue = r->next;
        if (!c->queue) c->queue_end = &c->queue;
        c->queued--;
        pthread_mutex_unlock(&c->lock);
        finish(c, r, run(r));
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* Signals are for the thread that made the context. */
static bool start_worker(struct blk_ctx *c)
{
    sigset_t all, old;
    bool ok;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    ok = !pthread_create(&c->ids[c->threads], NULL, worker, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (ok) c->threads++;
    return ok;
}

static void for_worker(struct blk_ctx *c, struct blk_req *r)
{
    bool wake;

    pthread_mutex_lock(&c->lock);
    if (c->queued >= c->idle && c->threads < c->max) (void)start_worker(c);
    if (!c->threads) { /* no thread can be had: do it here, finish it as usual */
        pthread_mutex_unlock(&c->lock);
        finish(c, r, run(r));
        return;
    }
    *c->queue_end = r;
    c->queue_end = &r->next;
    wake = ++c->queued <= c->idle;
    pthread_mutex_unlock(&c->lock);
    if (wake) pthread_cond_signal(&c->work);
}

static void landed(void *opaque, struct blk_req *r, int rc)
{
    r->next = NULL;
    if (rc) for_worker(opaque, r);
    else finish(opaque, r, 0);
}

static void finished(void *opaque, unsigned events) { blk_ctx_poll(opaque); }

struct blk_ctx *blk_ctx_new(struct loop *loop, unsigned threads, struct error *e)
{
    struct blk_ctx *c = NEW(struct blk_ctx);

    c->max = threads ? threads : 16;
    c->ids = NEW_ARRAY(pthread_t, c->max);
    c->queue_end = &c->queue, c->done_end = &c->done;
    c->aio = aio_new(landed, c);
    c->pipe[0] = c->pipe[1] = -1;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->finished, NULL);
    if (loop) {
        if (pipe(c->pipe)) {
            error_set(e, "could not create a pipe: %s", strerror(errno));
            blk_ctx_delete(c);
            return NULL;
        }
        for (int i = 0; i < 2; i++) {
            fcntl(c->pipe[i], F_SETFL, O_NONBLOCK);
            fcntl(c->pipe[i], F_SETFD, FD_CLOEXEC);
        }
        c->watch = loop_fd_add(loop, c->pipe[0], LOOP_IN, finished, c);
    }
    return c;
}

void blk_ctx_delete(struct blk_ctx *c)
{
    if (!c) return;
    blk_ctx_drain(c);
    aio_delete(c->aio);
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < c->threads; i++) pthread_join(c->ids[i], NULL);
    loop_fd_remove(c->watch);
    for (int i = 0; i < 2; i++) {
        if (c->pipe[i] >= 0) close(c->pipe[i]);
    }
    pthread_cond_destroy(&c->work);
    pthread_cond_destroy(&c->finished);
    pthread_mutex_destroy(&c->lock);
    mem_free(c->ids);
    mem_free(c);
}

static void send(struct blk_ctx *c)
{
    if (c->unsent) c->unsent = false, aio_send(c->aio);
}

void blk_submit(struct blk_ctx *c, struct blk_req *r)
{
    r->next = NULL;
    c->pending++;
    /* What the page cache has is read sooner than a thread is told of it. */
    if (r->op == BLK_OP_READ && r->bytes <= READ_NOW) {
        int rc = blk_read_now(r->blk, r->offset, r->buf, (size_t)r->bytes);
        if (rc != -EAGAIN) {
            finish(c, r, rc);
            return;
        }
    }
    if (c->aio && !aio_start(c->aio, r)) {
        c->unsent = true;
        if (!c->polling) send(c);
        return;
    }
    for_worker(c, r);
}

unsigned blk_ctx_pending(const struct blk_ctx *c) { return c->pending; } /* changed by the calling thread only */

unsigned blk_ctx_poll(struct blk_ctx *c)
{
    struct blk_req *r;
    unsigned n = 0;

    pthread_mutex_lock(&c->lock);
    if (c->told) {
        char b[8];
        ssize_t k = read(c->pipe[0], b, sizeof b);
        (void)k;
        c->told = false;
    }
    r = c->done;
    c->done = NULL, c->done_end = &c->done;
    pthread_mutex_unlock(&c->lock);
    bool outer = c->polling;
    c->polling = true;
    while (r) {
        struct blk_req *next = r->next;
        c->pending--, n++;
        if (r->done) r->done(r);
        r = next;
    }
    c->polling = outer;
    if (!outer) send(c);
    return n;
}

void blk_ctx_wait(struct blk_ctx *c)
{
    send(c); /* a callback may wait */
    pthread_mutex_lock(&c->lock);
    c->waiting = true;
    while (!c->done && c->pending) pthread_cond_wait(&c->finished, &c->lock);
    c->waiting = false;
    pthread_mutex_unlock(&c->lock);
    blk_ctx_poll(c);
}

void blk_ctx_drain(struct blk_ctx *c)
{
    while (c->pending) blk_ctx_wait(c);
}
