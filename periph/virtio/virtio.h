/*
 * virtio.h - the part of a virtio device that no transport and no kind of device changes: status,
 * feature negotiation, split virtqueues. Follows "Virtual I/O Device (VIRTIO) Version 1.2" (OASIS),
 * chapters 2 and 3, with its legacy interface.
 *
 * A front (virtio-pci.c) embeds a kind of device (struct virtio_blk and so on, whose first member
 * is a struct virtio) and gives it memory and interrupts by a struct virtio_transport. Everything
 * in guest memory is checked when it is used; what is impossible makes the device ask for a reset
 * (DEVICE_NEEDS_RESET), is logged as a guest error and has no further effect.
 */
#ifndef PERIPH_VIRTIO_VIRTIO_H
#define PERIPH_VIRTIO_VIRTIO_H

#include "bus/dev.h"

enum {
    VIRTIO_MAX_QUEUES = 66,
    VIRTIO_MAX_SIZE = 1024,  /* entries of a queue */
    VIRTIO_MAX_CHAIN = 1024, /* descriptors of a chain, those of an indirect table included */
    VIRTIO_MAX_CONFIG = 256,
    VIRTIO_NO_VECTOR = 0xffff,
};
/* Device status. */
enum {
    VIRTIO_ACKNOWLEDGE = 1,
    VIRTIO_DRIVER = 2,
    VIRTIO_DRIVER_OK = 4,
    VIRTIO_FEATURES_OK = 8,
    VIRTIO_NEEDS_RESET = 0x40,
    VIRTIO_FAILED = 0x80,
};
/* Interrupt status. */
enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };
/* Feature bits of the rings and transports. */
enum {
    VIRTIO_F_NOTIFY_ON_EMPTY = 24, /* legacy */
    VIRTIO_F_ANY_LAYOUT = 27,      /* legacy */
    VIRTIO_F_INDIRECT_DESC = 28,
    VIRTIO_F_EVENT_IDX = 29,
    VIRTIO_F_VERSION_1 = 32,
};
#define VIRTIO_BIT(n) (UINT64_C(1) << (n))

struct virtio;

struct virtio_class {
    const char *name; /* for messages: "virtio-blk" */
    uint16_t id;      /* device ID, chapter 5 */
    uint16_t config_size;
    /* Properties are set, v->class and v->dev too: queues, features, backends. 0 or -1; unrealize
     * is called after either. */
    int (*realize)(struct virtio *, struct error *);
    void (*unrealize)(struct virtio *);
    int (*post_load)(struct virtio *, struct error *); /* may be NULL */
    /* Fills the configuration space, config_size bytes, in the driver's byte order (virtio_put16
     * and so on). Called before every read; NULL: none. */
    void (*get_config)(struct virtio *, uint8_t *config);
    /* The driver wrote `size` bytes at `offset` of config, which lie in it; NULL: read-only. */
    void (*set_config)(struct virtio *, const uint8_t *config, unsigned offset, unsigned size);
    /* The driver says that queue n has something. */
    void (*notify)(struct virtio *, unsigned n);
    /* DRIVER_OK was set; may be NULL. */
    void (*start)(struct virtio *);
    /* Reset by the driver or the machine: forget what is in flight. */
    void (*reset)(struct virtio *);
};

/* What a front gives; opaque is virtio.front. */
struct virtio_transport {
    bool (*read)(void *front, uint64_t addr, void *buf, size_t n);
    bool (*write)(void *front, uint64_t addr, const void *buf, size_t n);
    /* isr has changed or is to be told again. queue -1: the configuration. */
    void (*interrupt)(void *front, int queue);
};

struct virtio_queue {
    uint64_t desc, avail, used;
    uint16_t size, vector;
    bool enabled;
    uint16_t last_avail; /* next entry of the available ring */
    uint16_t used_idx;   /* next entry of the used ring */
    uint16_t signalled;  /* used_idx when the driver was last told */
    bool signalled_valid;
    uint16_t max_size; /* runtime; 0: there is no such queue */
};

struct virtio {
    uint64_t features; /* as negotiated so far */
    uint8_t status, isr, generation;
    struct virtio_queue vq[VIRTIO_MAX_QUEUES];
    /* runtime */
    const struct virtio_class *class;
    const struct virtio_transport *transport;
    void *front;
    struct device *dev;
    uint64_t host_features; /* without those of the transport */
    unsigned n_queues;
    bool in_dma; /* the device is in guest memory: fronts ignore accesses to its registers from
                    there */
};
extern const struct state_field virtio_state[];

/* A descriptor chain: first what the device reads, then what it writes. */
struct virtio_seg {
    uint64_t addr;
    uint32_t len;
};
struct virtio_chain {
    uint16_t head;
    unsigned n_out, n_in, cap;
    uint64_t out_bytes, in_bytes;
    struct virtio_seg *seg; /* n_out, then n_in */
};

/* ---- for devices ---- */

/* In realize, class and host_features set: adds a queue. */
void virtio_add_queue(struct virtio *, uint16_t max_size);
/* Takes the next chain of a queue; false: there is none now. *c is reused (zeroed at first) and
 * freed by virtio_chain_free. */
bool virtio_pop(struct virtio *, unsigned queue, struct virtio_chain *c);
/* The chain that begins at `head`, again: after loading state. False: it is none any more. */
bool virtio_chain_at(struct virtio *, unsigned queue, uint16_t head, struct virtio_chain *c);
void virtio_chain_free(struct virtio_chain *);
/* Copies from the part of the chain that the device reads, into the part it writes; returns how
 * much could be copied. When memory does not answer, the device needs a reset. */
size_t virtio_read(struct virtio *, const struct virtio_chain *, uint64_t offset, void *buf,
                   size_t n);
size_t virtio_write(struct virtio *, const struct virtio_chain *, uint64_t offset, const void *buf,
                    size_t n);
/* Returns a chain, of which `written` bytes were written. */
void virtio_push(struct virtio *, unsigned queue, uint16_t head, uint64_t written);
/* After one or more pushes: interrupts if the driver wants that. */
void virtio_notify(struct virtio *, unsigned queue);
/* Are there entries, without taking them. */
bool virtio_queue_empty(struct virtio *, unsigned queue);
/* Chains that wait, at most `limit`; and how many bytes the device could write into them, counted
 * up to `limit`. */
unsigned virtio_waiting(struct virtio *, unsigned queue, unsigned limit);
uint64_t virtio_in_room(struct virtio *, unsigned queue, uint64_t limit);
/* May the device use this queue. */
bool virtio_queue_ready(const struct virtio *, unsigned queue);
/* The configuration has changed. */
void virtio_config_changed(struct virtio *);
/* The driver broke the rules. */
void virtio_error(struct virtio *, const char *fmt, ...) ATTR_PRINTF(2, 3);
static inline bool virtio_has(const struct virtio *v, unsigned feature)
{
    return v->features >> feature & 1;
}
static inline bool virtio_broken(const struct virtio *v)
{
    return v->status & VIRTIO_NEEDS_RESET;
}
/* Numbers in the driver's byte order: little-endian, or for legacy drivers the guest's. */
bool virtio_big_endian(const struct virtio *);
uint16_t virtio_get16(const struct virtio *, const void *);
uint32_t virtio_get32(const struct virtio *, const void *);
uint64_t virtio_get64(const struct virtio *, const void *);
void virtio_put16(const struct virtio *, void *, uint16_t);
void virtio_put32(const struct virtio *, void *, uint32_t);
void virtio_put64(const struct virtio *, void *, uint64_t);

/* ---- for fronts ---- */

void virtio_reset(struct virtio *);
/* 0 or -1: state that cannot be. */
int virtio_post_load(struct virtio *, struct error *);
uint64_t virtio_offered(const struct virtio *, bool legacy);
/* Writes 32 of the feature bits; after FEATURES_OK without effect. */
void virtio_set_features(struct virtio *, unsigned word, uint32_t bits, bool legacy);
void virtio_set_status(struct virtio *, uint8_t status, bool legacy);
/* The legacy layout: all three parts of a queue from one address on; 0 disables it. */
void virtio_set_legacy_queue(struct virtio *, unsigned queue, uint64_t addr);
void virtio_reset_queue(struct virtio *, unsigned queue);
void virtio_kick(struct virtio *, unsigned queue);
uint8_t virtio_config_read(struct virtio *, unsigned offset);
void virtio_config_write(struct virtio *, unsigned offset, uint64_t value, unsigned size);

#endif
