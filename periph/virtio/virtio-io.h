/*
 * virtio-io.h - requests to disk images on behalf of a virtio device: which are in flight, when
 * they end, and how they survive being saved. For virtio-blk and virtio-scsi; what a request means
 * is theirs.
 *
 * The host's threads work while the guest goes on, and each request ends at a guest time that
 * depends on its size alone, so that two runs are alike however fast the host's disk is. Requests
 * that touch the same bytes are done in the order in which they were made. A saved request is its
 * place in the ring: after loading the chain is read again, which the driver has to leave alone
 * meanwhile.
 */
#ifndef PERIPH_VIRTIO_VIRTIO_IO_H
#define PERIPH_VIRTIO_VIRTIO_IO_H

#include "blockfmt/block.h"
#include "periph/virtio/virtio.h"

enum { VIRTIO_IO_SLOTS = 64 };
#define VIRTIO_IO_MAX (UINT64_C(64) << 20) /* bytes of one request */

struct virtio_io;
struct virtio_io_slot {
    bool busy;
    uint8_t queue;
    uint16_t head;
    uint64_t seq; /* order of submission */
    struct timer timer;
    /* runtime; after loading state made again from the chain */
    struct virtio_io *io;
    bool sent, done;
    struct virtio_chain chain;
    struct blk_req req; /* parse: blk, op, flags, offset, bytes, buf (the slot's own, or NULL) */
    uint64_t buf_size;
    void *target;  /* the device's own */
    uint32_t kind; /* the device's own */
};

enum virtio_io_parse {
    VIRTIO_IO_SEND,    /* req is to be sent */
    VIRTIO_IO_ANSWERED /* the chain was pushed already */
};
struct virtio_io_ops {
    /* Looks at slot->chain. Without effects when it ends with VIRTIO_IO_SEND: it may be asked
     * again. */
    enum virtio_io_parse (*parse)(struct virtio *, struct virtio_io_slot *);
    /* The request has ended: rc 0 or -errno. Pushes the chain. */
    void (*answer)(struct virtio *, struct virtio_io_slot *, int rc);
};

struct virtio_io {
    uint64_t seq;
    struct virtio_io_slot slot[VIRTIO_IO_SLOTS];
    /* runtime */
    struct virtio *v;
    const struct virtio_io_ops *ops;
    struct blk_ctx *ctx;
    uint64_t in_flight; /* bytes of buffers */
    unsigned first_queue;
};
extern const struct state_field virtio_io_state[];

/* first_queue: requests come from this queue and those after it. 0 or -1. */
int virtio_io_init(struct virtio_io *, struct virtio *, const struct virtio_io_ops *,
                   unsigned first_queue, struct error *);
void virtio_io_free(struct virtio_io *);
/* Waits for all and forgets them. */
void virtio_io_reset(struct virtio_io *);
int virtio_io_post_load(struct virtio_io *, struct error *);
/* Ends all requests in flight now, with their answers. */
void virtio_io_finish(struct virtio_io *);
/* The driver says that the queue has something. */
void virtio_io_notify(struct virtio_io *, unsigned queue);
/* Gives the slot a buffer. */
void *virtio_io_buffer(struct virtio_io_slot *, uint64_t n);

#endif
