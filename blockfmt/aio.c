/*
 * aio.c - from a backend's request to a queue of the kernel's and back: the flights of aio.h, the thread that waits for
 * them, and which engines there are. It knows no format.
 *
 * On the way down every node has its say (struct blk_driver, start) and counts the flight; a node that is locked as a
 * whole waits for its flights (io.c). They land in a thread of their own, so that whoever waits for one, in whichever
 * thread, is not waiting for himself. Landing goes upwards from the file: who holds a lock of a format's while he waits
 * for the file is not waited for by it, and the thread does not wait for him either: such flights land a moment later.
 */
#include "blockfmt/aio.h"
#include "blockfmt/graph.h"
#include "config.h"

#ifdef __linux__
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const struct aio_engine *const engines[] = {
#ifdef HAVE_URING
    &aio_uring,
#endif
    &aio_linux,
};

const struct aio_engine *aio_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
        if (!strcmp(engines[i]->name, name)) return engines[i];
    }
    return NULL;
}

int aio_try(const struct aio_engine *x)
{
    int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), rc;
    void *queue;

    if (event < 0) return -errno;
    rc = x->open(event, &queue);
    if (!rc) x->close(queue);
    close(event);
    return rc;
}

/* ---- queues --------------------------------------------------------------------------------------- */

struct flight {
    struct blk_flight f;
    struct blk_req *req;
    int rc;
    struct flight *next;  /* of the free ones, or of those that are late */
};

struct queue {
    struct aio *aio;
    const struct aio_engine *engine;
    void *q;
    int event;
    unsigned flying;        /* all of them; of these: */
    unsigned added, unsent; /* since the last send; not taken by the kernel then */
    struct flight *late;    /* back, but not landed in all nodes; the thread's own */
    bool started, failed, stopping;
    pthread_t thread;
};

struct aio {
    pthread_mutex_t lock; /* of everything below, but of no engine's reap */
    struct queue queues[ARRAY_LEN(engines)];
    struct flight *free;
    void (*landed)(void *opaque, struct blk_req *, int rc);
    void *opaque;
};

struct aio *aio_new(void (*landed)(void *opaque, struct blk_req *, int rc), void *opaque)
{
    struct aio *a = NEW(struct aio);

    a->landed = landed, a->opaque = opaque;
    pthread_mutex_init(&a->lock, NULL);
    for (size_t i = 0; i < ARRAY_LEN(engines); i++) a->queues[i] = (struct queue){.aio = a, .engine = engines[i]};
    return a;
}

void aio_delete(struct aio *a)
{
    if (!a) return;
    for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
        struct queue *q = &a->queues[i];
        if (!q->started) continue;
        pthread_mutex_lock(&a->lock);
        q->stopping = true;
        pthread_mutex_unlock(&a->lock);
        (void)eventfd_write(q->event, 1);
        pthread_join(q->thread, NULL);
        q->engine->close(q->q);
        close(q->event);
    }
    for (struct flight *x = a->free, *next; x; x = next) {
        next = x->next;
        mem_free(x);
    }
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}

static void land(struct queue *q, struct flight *x)
{
    struct aio *a = q->aio;
    struct blk_req *r = x->req;
    int rc = x->rc;

    if (!blk_flight_land(&x->f, false)) {
        x->next = q->late;
        q->late = x;
        return;
    }
    pthread_mutex_lock(&a->lock);
    x->next = a->free;
    a->free = x;
    q->flying--;
    pthread_mutex_unlock(&a->lock);
    a->landed(a->opaque, r, rc);
}

static void land_late(struct queue *q)
{
    struct flight *x = q->late, *next;

    for (q->late = NULL; x; x = next) {
        next = x->next;
        land(q, x);
    }
}

static void reap(struct queue *q)
{
    struct aio_done done[32];
    unsigned n;

    while ((n = q->engine->reap(q->q, done, ARRAY_LEN(done)))) {
        for (unsigned i = 0; i < n; i++) {
            struct flight *x = done[i].tag;
            /* Errors and short transfers are done again by a thread, which finds out what is wrong, or where the file ends. */
            x->rc = done[i].res == (int64_t)x->req->bytes ? 0 : -EAGAIN;
            land(q, x);
        }
    }
}

/* (with the lock) */
static void send(struct queue *q)
{
    unsigned before = q->unsent;

    q->added = 0;
    q->unsent = q->engine->submit(q->q);
    if (q->unsent && !before) (void)eventfd_write(q->event, 1); /* its thread tries again */
}

static void *reaper(void *opaque)
{
    struct queue *q = opaque;
    long pause = 20000; /* ns, between looks at what is late */
    bool stop = false;

    while (!stop) {
        struct pollfd p = {q->event, POLLIN, 0};
        struct timespec t = {0, 1000000};
        eventfd_t count;

        pthread_mutex_lock(&q->aio->lock);
        bool forever = !q->unsent && !q->late; /* unsent: the kernel had no room; it is asked again, whatever lands */
        pthread_mutex_unlock(&q->aio->lock);
        if (q->late) t.tv_nsec = pause, pause = MIN(pause * 2, 1000000);
        else pause = 20000;
        if (ppoll(&p, 1, forever ? NULL : &t, NULL) > 0) (void)eventfd_read(q->event, &count);
        reap(q);
        land_late(q);
        pthread_mutex_lock(&q->aio->lock);
        /* What has been added meanwhile is not left for its owner to send: he may be waiting for it in other ways. */
        if (q->unsent || q->added) send(q);
        stop = q->stopping;
        pthread_mutex_unlock(&q->aio->lock);
    }
    return NULL;
}

/* (with the lock) */
static int queue_open(struct queue *q)
{
    sigset_t all, old;
    int rc;

    if (q->started) return 0;
    if (q->failed) return -EAGAIN;
    q->failed = true; /* unless all goes well; it is not tried again */
    q->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (q->event < 0) return -EAGAIN;
    rc = q->engine->open(q->event, &q->q);
    if (!rc) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        rc = pthread_create(&q->thread, NULL, reaper, q);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (rc) q->engine->close(q->q);
    }
    if (rc) {
        close(q->event);
        return -EAGAIN;
    }
    q->failed = false, q->started = true;
    return 0;
}

static struct queue *queue_of(struct aio *a, const struct aio_engine *x)
{
    for (size_t i = 0;; i++) {
        if (engines[i] == x) return &a->queues[i];
    }
}

int aio_start(struct aio *a, struct blk_req *r)
{
    struct flight *x;
    int rc;

    if ((r->op != BLK_OP_READ && r->op != BLK_OP_WRITE) || r->flags || !r->bytes) return -EAGAIN;
    pthread_mutex_lock(&a->lock);
    x = a->free;
    if (x) a->free = x->next;
    pthread_mutex_unlock(&a->lock);
    if (!x) x = NEW(struct flight);
    x->req = r;
    rc = blk_flight_start(&x->f, r);
    pthread_mutex_lock(&a->lock);
    if (!rc) {
        struct queue *q = queue_of(a, x->f.engine);
        struct aio_op op = {x->f.fd, r->op == BLK_OP_WRITE, r->buf, (size_t)r->bytes, x->f.file_offset, x};
        rc = queue_open(q);
        if (!rc) rc = q->engine->add(q->q, &op);
        if (!rc) {
            q->added++, q->flying++;
            if (q->flying == q->added + q->unsent) send(q); /* nothing is on its way whose landing would send it */
        } else {
            pthread_mutex_unlock(&a->lock);
            (void)blk_flight_land(&x->f, true);
            pthread_mutex_lock(&a->lock);
        }
    }
    if (rc) x->next = a->free, a->free = x;
    pthread_mutex_unlock(&a->lock);
    return rc ? -EAGAIN : 0;
}

void aio_send(struct aio *a)
{
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
        if (a->queues[i].added) send(&a->queues[i]);
    }
    pthread_mutex_unlock(&a->lock);
}

#else /* no engines */

const struct aio_engine *aio_find(const char *name) { return NULL; }
int aio_try(const struct aio_engine *x) { return -ENOSYS; }
struct aio *aio_new(void (*landed)(void *opaque, struct blk_req *, int rc), void *opaque) { return NULL; }
void aio_delete(struct aio *a) {}
int aio_start(struct aio *a, struct blk_req *r) { return -EAGAIN; }
void aio_send(struct aio *a) {}
#endif
