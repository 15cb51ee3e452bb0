/*
 * virtio-rng.h - the entropy device of virtio (VIRTIO 1.2, section 5.4), without a transport. Its
 * bytes come from the machine's seed, so that a run with the same seed sees the same ones.
 */
#ifndef PERIPH_VIRTIO_VIRTIO_RNG_H
#define PERIPH_VIRTIO_VIRTIO_RNG_H

#include "periph/virtio/virtio.h"

struct virtio_rng {
    struct virtio v;
    /* properties */
    uint64_t max_bytes;
    uint32_t period;
    /* state */
    uint8_t key[32];
    uint64_t block;  /* next of the stream */
    uint64_t budget; /* bytes left in this period */
    struct timer timer;
};
extern const struct state_field virtio_rng_state[];
extern const struct virtio_class virtio_rng_class;

#define VIRTIO_RNG_PROPS(S, M)                                                                     \
    PROP(S, PROP_U64, "max-bytes", M.max_bytes, INT64_MAX, "bytes the guest gets in a period"),    \
        PROP(S, PROP_U32, "period", M.period, 65536, "the period, in ms")

#endif
