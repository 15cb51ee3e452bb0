/*
 * virtio-blk.h - the block device of virtio, without a transport. Follows VIRTIO 1.2, section 5.2.
 */
#ifndef PERIPH_VIRTIO_VIRTIO_BLK_H
#define PERIPH_VIRTIO_VIRTIO_BLK_H

#include "periph/virtio/virtio-io.h"

struct virtio_blk {
    struct virtio v;
    /* properties */
    struct blk_backend *blk;
    char *serial;
    uint16_t n_queues, queue_size;
    bool write_cache_prop, discard, write_zeroes;
    uint32_t logical, physical;
    /* state */
    bool write_cache;
    struct virtio_io io;
};
extern const struct state_field virtio_blk_state[];
extern const struct virtio_class virtio_blk_class;

/* M: the member that is the struct virtio_blk. */
#define VIRTIO_BLK_PROPS(S, M)                                                                     \
    PROP(S, PROP_DRIVE, "drive", M.blk, 0, "the disk image"),                                      \
        PROP_STRING(S, "serial", M.serial, NULL, "serial number, up to 20 characters"),            \
        PROP(S, PROP_U16, "num-queues", M.n_queues, 1, "request queues, 1 to 16"),                 \
        PROP(S, PROP_U16, "queue-size", M.queue_size, 256,                                         \
             "entries of a queue: a power of 2, 4 to 1024"),                                       \
        PROP(S, PROP_BOOL, "write-cache", M.write_cache_prop, true,                                \
             "writes are cached until a flush"),                                                   \
        PROP(S, PROP_BOOL, "discard", M.discard, true, "offers discarding"),                       \
        PROP(S, PROP_BOOL, "write-zeroes", M.write_zeroes, true, "offers writing zeros"),          \
        PROP(S, PROP_U32, "logical_block_size", M.logical, 512, "bytes: 512 to 32768"),            \
        PROP(S, PROP_U32, "physical_block_size", M.physical, 512,                                  \
             "bytes: at least the logical size")

#endif
