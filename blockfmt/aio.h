/*
 * aio.h - requests that the host's kernel does by itself, without a thread that waits for each: what the engines
 * (aio-uring.c, aio-linux.c) offer, and the flights that carry a request from a backend to a file.
 *
 * A flight is for what needs no work on the way back: bytes of a file read or overwritten where they lie. Everything
 * else (allocation, compression, encryption, filters, requests off the file's alignment) is done by threads, whatever
 * aio= says, and so is what a queue has no room for or gives back half done.
 */
#ifndef BLOCKFMT_AIO_H
#define BLOCKFMT_AIO_H

#include "blockfmt/driver.h"

enum { AIO_DEPTH = 128 }; /* requests of one queue in the kernel at a time */

struct aio_op {
    int fd;
    bool write;
    void *buf;
    size_t len;
    uint64_t offset;
    void *tag;     /* given back */
};

struct aio_done {
    void *tag;
    int64_t res;   /* bytes, or -errno */
};

/* A queue of the kernel's. One thread at a time may be in add and submit, another one in reap. */
struct aio_engine {
    const char *name; /* as in aio=NAME */
    /* `event` is an eventfd that is told when something is done. -errno: the kernel will not (-ENOSYS, -EPERM, ...). */
    int (*open)(int event, void **queue);
    void (*close)(void *queue);                         /* nothing is in flight */
    int (*add)(void *queue, const struct aio_op *);     /* -EAGAIN: full */
    /* To the kernel, as many of those added as it takes: how many it has not taken yet. */
    unsigned (*submit)(void *queue);
    unsigned (*reap)(void *queue, struct aio_done *, unsigned max); /* what is there: does not wait */
};

extern const struct aio_engine aio_uring, aio_linux; /* where they are built */
/* The engine of aio=NAME ("native", "io_uring"): NULL when this build has it not. */
const struct aio_engine *aio_find(const char *name);
/* Does the kernel let us use it? 0 or -errno. */
int aio_try(const struct aio_engine *);

/* The queues of one context, made when they are first needed. */
struct aio;
/* landed(): in a thread of its own, for each flight that has started; rc 0, or -EAGAIN: to be done again otherwise. */
struct aio *aio_new(void (*landed)(void *opaque, struct blk_req *, int rc), void *opaque);
void aio_delete(struct aio *); /* after the last has landed. NULL: nothing */
/* 0: it is under way, and sent with the next aio_send at the latest. -EAGAIN: this is nothing for an engine. */
int aio_start(struct aio *, struct blk_req *);
void aio_send(struct aio *);

#endif
