/*
 * aio-linux.c - the engine of aio=native: Linux's older asynchronous requests (io_setup(2), io_submit(2)), by their
 * system calls, since libaio is little more than these. For files opened with O_DIRECT: others make io_submit wait.
 */
#include "blockfmt/aio.h"

#ifdef __linux__

#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct native {
    aio_context_t ctx;
    int event;
    unsigned n;                    /* added, not sent */
    struct iocb cb[AIO_DEPTH];     /* the kernel copies them as it takes them */
    pthread_mutex_t lock;          /* of what follows */
    unsigned n_refused;
    void *refused[AIO_DEPTH];      /* tags of what the kernel will not have */
};

static int native_open(int event, void **queue)
{
    struct native *q = NEW(struct native);

    q->event = event;
    pthread_mutex_init(&q->lock, NULL);
    if (syscall(SYS_io_setup, (unsigned)AIO_DEPTH, &q->ctx) < 0) {
        int rc = -errno;
        pthread_mutex_destroy(&q->lock);
        mem_free(q);
        return rc;
    }
    *queue = q;
    return 0;
}

static void native_close(void *queue)
{
    struct native *q = queue;
    syscall(SYS_io_destroy, q->ctx);
    pthread_mutex_destroy(&q->lock);
    mem_free(q);
}

static int native_add(void *queue, const struct aio_op *op)
{
    struct native *q = queue;

    if (q->n == AIO_DEPTH) return -EAGAIN;
    q->cb[q->n++] = (struct iocb){
        .aio_data = (uintptr_t)op->tag, .aio_lio_opcode = op->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
        .aio_fildes = (uint32_t)op->fd, .aio_buf = (uintptr_t)op->buf, .aio_nbytes = op->len,
        .aio_offset = (int64_t)op->offset, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = (uint32_t)q->event};
    return 0;
}

/* The first of those left, which the kernel will never take (a file that cannot): reap says so. */
static void refuse(struct native *q, void *tag)
{
    uint64_t one = 1;
    ssize_t k;

    pthread_mutex_lock(&q->lock);
    if (q->n_refused < AIO_DEPTH) q->refused[q->n_refused++] = tag;
    pthread_mutex_unlock(&q->lock);
    k = write(q->event, &one, sizeof one);
    (void)k;
}

static unsigned native_submit(void *queue)
{
    struct native *q = queue;
    struct iocb *v[AIO_DEPTH];
    unsigned sent = 0;

    for (unsigned i = 0; i < q->n; i++) v[i] = &q->cb[i];
    while (sent < q->n) {
        long k = syscall(SYS_io_submit, q->ctx, (long)(q->n - sent), v + sent);
        if (k < 0 && errno == EINTR) continue;
        if (k > 0) sent += (unsigned)k;
        else if (k < 0 && errno != EAGAIN && q->n_refused < AIO_DEPTH) refuse(q, (void *)(uintptr_t)v[sent++]->aio_data);
        else break;
    }
    q->n -= sent;
    memmove(q->cb, q->cb + sent, q->n * sizeof *q->cb);
    return q->n;
}

static unsigned native_reap(void *queue, struct aio_done *out, unsigned max)
{
    struct native *q = queue;
    struct io_event v[32];
    struct timespec none = {0, 0};
    unsigned bad = 0;
    long n;

    pthread_mutex_lock(&q->lock);
    while (q->n_refused && bad < max) out[bad++] = (struct aio_done){q->refused[--q->n_refused], -EAGAIN};
    pthread_mutex_unlock(&q->lock);
    if (bad) return bad;

    do n = syscall(SYS_io_getevents, q->ctx, 0L, (long)MIN(max, (unsigned)ARRAY_LEN(v)), v, &none);
    while (n < 0 && errno == EINTR);
    for (long i = 0; i < n; i++) out[i] = (struct aio_done){(void *)(uintptr_t)v[i].data, v[i].res};
    return n < 0 ? 0 : (unsigned)n;
}

const struct aio_engine aio_linux = {"native", native_open, native_close, native_add, native_submit, native_reap};

#endif
