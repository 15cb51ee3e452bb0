/*
 * aio-uring.c - the engine of aio=io_uring: a ring of Linux's io_uring(7), by liburing. The one file that knows that
 * library.
 */
#include "blockfmt/aio.h"
#include "util/lazy.h"
#include "config.h"

#ifdef HAVE_URING

#include <liburing.h>

#define FUNCTIONS(X)                                                                                                           \
    X(io_uring_queue_init) X(io_uring_queue_exit) X(io_uring_register_eventfd) X(io_uring_submit) X(io_uring_peek_batch_cqe)
#ifdef QUERN_SO_URING
LAZY_LIBRARY(FUNCTIONS, QUERN_SO_URING)
#define L(f) lib.f
static int load(void) { return lazy_load(&lazy, NULL) ? -ENOSYS : 0; }
#else
#define L(f) f
static int load(void) { return 0; }
#endif

static int uring_open(int event, void **queue)
{
    struct io_uring *ring;
    int rc = load();

    if (rc) return rc;
    ring = NEW(struct io_uring);
    rc = L(io_uring_queue_init)(AIO_DEPTH, ring, 0);
    if (!rc && (rc = L(io_uring_register_eventfd)(ring, event))) L(io_uring_queue_exit)(ring);
    if (rc) mem_free(ring);
    else *queue = ring;
    return rc;
}

static void uring_close(void *queue)
{
    L(io_uring_queue_exit)(queue);
    mem_free(queue);
}

static int uring_add(void *queue, const struct aio_op *op)
{
    struct io_uring *ring = queue;
    struct io_uring_sqe *sqe;

    if (op->len > INT32_MAX) return -EAGAIN;
    sqe = io_uring_get_sqe(ring);
    if (!sqe) return -EAGAIN;
    if (op->write) io_uring_prep_write(sqe, op->fd, op->buf, (unsigned)op->len, op->offset);
    else io_uring_prep_read(sqe, op->fd, op->buf, (unsigned)op->len, op->offset);
    io_uring_sqe_set_data(sqe, op->tag);
    return 0;
}

/* Errors (no memory, completions to be taken first) leave the rest in the ring. */
static unsigned uring_submit(void *queue)
{
    int rc;
    do rc = L(io_uring_submit)(queue);
    while (rc == -EINTR);
    return io_uring_sq_ready(queue);
}

static unsigned uring_reap(void *queue, struct aio_done *out, unsigned max)
{
    struct io_uring_cqe *cqes[32];
    unsigned n = L(io_uring_peek_batch_cqe)(queue, cqes, MIN(max, (unsigned)ARRAY_LEN(cqes)));

    for (unsigned i = 0; i < n; i++) out[i] = (struct aio_done){io_uring_cqe_get_data(cqes[i]), cqes[i]->res};
    io_uring_cq_advance(queue, n);
    return n;
}

const struct aio_engine aio_uring = {"io_uring", uring_open, uring_close, uring_add, uring_submit, uring_reap};

#endif
