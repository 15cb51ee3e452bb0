/*
 * virtio-balloon.h - the traditional memory balloon of virtio (VIRTIO 1.2, section 5.5), without a
 * transport. Pages that the guest gives up are zeroed, and the host's memory behind them is given
 * back; the statistics queue holds what the guest said last.
 */
#ifndef PERIPH_VIRTIO_VIRTIO_BALLOON_H
#define PERIPH_VIRTIO_VIRTIO_BALLOON_H

#include "periph/virtio/virtio.h"

struct virtio_balloon {
    struct virtio v;
    bool deflate_on_oom;     /* property */
    uint32_t target, actual; /* pages of 4 KiB in the balloon: wished, there */
    bool stats_held;         /* the driver's buffer for the next request of statistics */
    uint16_t stats_head;
    uint64_t stats[16]; /* by tag; all ones: not known */
};
extern const struct state_field virtio_balloon_state[];
extern const struct virtio_class virtio_balloon_class;

#define VIRTIO_BALLOON_PROPS(S, M)                                                                 \
    PROP(S, PROP_BOOL, "deflate-on-oom", M.deflate_on_oom, false,                                  \
         "the guest may take pages back when it has none")

/* The monitor: the machine's balloon shall hold this many bytes; how many it does. False: there is
 * no balloon. */
bool virtio_balloon_set(struct machine_bus *, uint64_t bytes);
bool virtio_balloon_get(struct machine_bus *, uint64_t *bytes);

#endif
