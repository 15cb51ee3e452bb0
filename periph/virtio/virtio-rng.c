/*
 * virtio-rng.c - the entropy device; see virtio-rng.h.
 */
#include "periph/virtio/virtio-rng.h"

#include "util/chacha.h"

enum { PER_BUFFER = 4096, QUEUE_SIZE = 8, BLOCK = 64 };

static struct virtio_rng *rng_of(struct virtio *v)
{
    return (struct virtio_rng *)v;
}

static void serve(struct virtio_rng *r)
{
    struct virtio_chain c = {0};
    bool any = false;
    while (r->budget && virtio_pop(&r->v, 0, &c)) {
        /* A driver that wants more asks again. */
        uint64_t n = MIN(MIN(c.in_bytes, (uint64_t)PER_BUFFER), r->budget), done = 0;
        while (done < n) {
            uint8_t block[BLOCK];
            size_t k = (size_t)MIN(n - done, (uint64_t)BLOCK);
            chacha_block(r->key, 0, r->block++, block);
            if (virtio_write(&r->v, &c, done, block, k) != k) break;
            done += k;
        }
        r->budget -= done;
        virtio_push(&r->v, 0, c.head, done);
        any = true;
    }
    virtio_chain_free(&c);
    if (any) virtio_notify(&r->v, 0);
    if (!r->budget && !timer_armed(&r->timer))
        timer_arm(&r->timer, clock_now(r->v.dev->clock) + r->period * UINT64_C(1000000));
}

static void new_period(void *opaque)
{
    struct virtio_rng *r = opaque;
    r->budget = r->max_bytes;
    serve(r);
}

static void rng_notify(struct virtio *v, unsigned queue)
{
    serve(rng_of(v));
}

static void rng_reset(struct virtio *v)
{
    struct virtio_rng *r = rng_of(v);
    timer_cancel(&r->timer);
    r->budget = r->max_bytes;
}

static int rng_realize(struct virtio *v, struct error *e)
{
    struct virtio_rng *r = rng_of(v);
    const char *name = v->dev->desc->name;
    if (!r->period || !r->max_bytes)
        return error_set(e, "%s: 'period' and 'max-bytes' expect a number larger than 0", name);
    virtio_add_queue(v, QUEUE_SIZE);
    timer_init(&r->timer, v->dev->clock, new_period, r);
    /* Several such devices: each has a stream of its own. */
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    uint8_t block[BLOCK];
    for (const char *p = v->dev->path; *p; p++)
        hash = (hash ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    chacha_block(v->dev->mb->seed, hash, 0, block);
    memcpy(r->key, block, sizeof r->key);
    return 0;
}

static void rng_unrealize(struct virtio *v)
{
    timer_cancel(&rng_of(v)->timer);
}

const struct virtio_class virtio_rng_class = {
    .name = "virtio-rng",
    .id = 4,
    .realize = rng_realize,
    .unrealize = rng_unrealize,
    .notify = rng_notify,
    .reset = rng_reset,
};

const struct state_field virtio_rng_state[] = {
    STATE_STRUCT(struct virtio_rng, v, 1, virtio_state),
    STATE_PROP(struct virtio_rng, max_bytes),
    STATE_PROP(struct virtio_rng, period),
    STATE_ARR(struct virtio_rng, key),
    STATE_INT(struct virtio_rng, block),
    STATE_INT(struct virtio_rng, budget),
    STATE_TIMER(struct virtio_rng, timer),
    STATE_END,
};
