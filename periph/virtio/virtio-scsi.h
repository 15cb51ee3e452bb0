/*
 * virtio-scsi.h - the SCSI host adapter of virtio (VIRTIO 1.2, section 5.6), without a transport.
 * Its logical units are the devices of periph/scsi below it. No events, no asynchronous
 * notifications.
 */
#ifndef PERIPH_VIRTIO_VIRTIO_SCSI_H
#define PERIPH_VIRTIO_VIRTIO_SCSI_H

#include "periph/scsi/scsi.h"
#include "periph/virtio/virtio-io.h"

struct virtio_scsi {
    struct virtio v;
    /* properties */
    uint16_t n_queues, queue_size;
    uint32_t max_sectors, cmd_per_lun;
    /* state */
    uint32_t sense_size, cdb_size;
    struct virtio_io io;
    /* runtime */
    struct scsi_command *command; /* the one that is looked at */
    struct scsi_adapter adapter;
};
extern const struct state_field virtio_scsi_state[];
extern const struct virtio_class virtio_scsi_class;

#define VIRTIO_SCSI_PROPS(S, M)                                                                    \
    PROP(S, PROP_U16, "num_queues", M.n_queues, 1, "request queues, 1 to 16"),                     \
        PROP(S, PROP_U16, "virtqueue_size", M.queue_size, 256,                                     \
             "entries of a queue: a power of 2, 4 to 1024"),                                       \
        PROP(S, PROP_U32, "max_sectors", M.max_sectors, 0xffff, "most sectors of a command"),      \
        PROP(S, PROP_U32, "cmd_per_lun", M.cmd_per_lun, 128, "most commands for a unit at a time")

#endif
