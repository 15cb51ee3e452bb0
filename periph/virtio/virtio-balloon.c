/*
 * virtio-balloon.c - the memory balloon; see virtio-balloon.h.
 */
#include "periph/virtio/virtio-balloon.h"

#include "util/log.h"

enum { F_STATS_VQ = 1, F_DEFLATE_ON_OOM = 2 };
enum { Q_INFLATE, Q_DEFLATE, Q_STATS, QUEUE_SIZE = 128 };
enum { CFG_TARGET = 0, CFG_ACTUAL = 4, CFG_SIZE = 16 };
enum { PAGE_SHIFT = 12, PAGE = 4096, STAT_SIZE = 10 };

static struct virtio_balloon *balloon_of(struct virtio *v)
{
    return (struct virtio_balloon *)v;
}

/* Only whole pages of RAM; anything else stays as it is. */
static void give_up(struct virtio *v, uint64_t page)
{
    if (!as_discard(v->dev->mb->mem, page << PAGE_SHIFT, PAGE))
        LOG(GUEST_ERRORS, "virtio-balloon: page 0x%llx is no memory\n", (unsigned long long)page);
}

static void take_pages(struct virtio *v, unsigned queue)
{
    struct virtio_chain c = {0};
    uint8_t b[256 * 4];
    while (virtio_pop(v, queue, &c)) {
        for (uint64_t at = 0; at < c.out_bytes;) {
            size_t n = virtio_read(v, &c, at, b, (size_t)MIN(c.out_bytes - at, (uint64_t)sizeof b));
            for (size_t i = 0; i + 4 <= n && queue == Q_INFLATE; i += 4)
                give_up(v, virtio_get32(v, b + i));
            if (n < 4) break;
            at += n;
        }
        virtio_push(v, queue, c.head, 0);
        virtio_notify(v, queue);
    }
    virtio_chain_free(&c);
}

/* A buffer with statistics is kept until new ones are asked for, which is by returning it. */
static void take_stats(struct virtio *v)
{
    struct virtio_balloon *s = balloon_of(v);
    struct virtio_chain c = {0};
    uint8_t b[STAT_SIZE];
    while (virtio_pop(v, Q_STATS, &c)) {
        if (s->stats_held) virtio_push(v, Q_STATS, s->stats_head, 0);
        s->stats_held = true, s->stats_head = c.head;
        for (uint64_t at = 0; virtio_read(v, &c, at, b, sizeof b) == sizeof b; at += sizeof b) {
            unsigned tag = virtio_get16(v, b);
            if (tag < ARRAY_LEN(s->stats)) s->stats[tag] = virtio_get64(v, b + 2);
        }
    }
    virtio_chain_free(&c);
}

static void balloon_notify(struct virtio *v, unsigned queue)
{
    if (queue == Q_STATS)
        take_stats(v);
    else
        take_pages(v, queue);
}

/* These are little-endian also for legacy drivers. */
static void balloon_get_config(struct virtio *v, uint8_t *c)
{
    st32_le(c + CFG_TARGET, balloon_of(v)->target);
    st32_le(c + CFG_ACTUAL, balloon_of(v)->actual);
}

static void balloon_set_config(struct virtio *v, const uint8_t *c, unsigned offset, unsigned size)
{
    balloon_of(v)->actual = ld32_le(c + CFG_ACTUAL);
}

static void balloon_reset(struct virtio *v)
{
    struct virtio_balloon *s = balloon_of(v);
    s->stats_held = false, s->stats_head = 0;
    memset(s->stats, 0xff, sizeof s->stats);
}

static int balloon_realize(struct virtio *v, struct error *e)
{
    struct machine_bus *mb = v->dev->mb;
    if (mb->balloon)
        return error_set(e, "%s: the machine has a balloon already", v->dev->desc->name);
    mb->balloon = balloon_of(v);
    v->host_features |= VIRTIO_BIT(F_STATS_VQ);
    if (balloon_of(v)->deflate_on_oom) v->host_features |= VIRTIO_BIT(F_DEFLATE_ON_OOM);
    for (unsigned i = 0; i < 3; i++)
        virtio_add_queue(v, QUEUE_SIZE);
    return 0;
}

static void balloon_unrealize(struct virtio *v)
{
    struct machine_bus *mb = v->dev->mb;
    if (mb->balloon == balloon_of(v)) mb->balloon = NULL;
}

const struct virtio_class virtio_balloon_class = {
    .name = "virtio-balloon",
    .id = 5,
    .config_size = CFG_SIZE,
    .realize = balloon_realize,
    .unrealize = balloon_unrealize,
    .get_config = balloon_get_config,
    .set_config = balloon_set_config,
    .notify = balloon_notify,
    .reset = balloon_reset,
};

const struct state_field virtio_balloon_state[] = {
    STATE_STRUCT(struct virtio_balloon, v, 1, virtio_state),
    STATE_PROP(struct virtio_balloon, deflate_on_oom),
    STATE_INT(struct virtio_balloon, target),
    STATE_INT_RESET(struct virtio_balloon, actual, 0),
    STATE_INT(struct virtio_balloon, stats_held),
    STATE_INT(struct virtio_balloon, stats_head),
    STATE_ARR(struct virtio_balloon, stats),
    STATE_END,
};

/* ---- the monitor ---- */

bool virtio_balloon_set(struct machine_bus *mb, uint64_t bytes)
{
    struct virtio_balloon *s = mb->balloon;
    if (!s) return false;
    s->target = (uint32_t)MIN(bytes >> PAGE_SHIFT, (uint64_t)UINT32_MAX);
    virtio_config_changed(&s->v);
    return true;
}

bool virtio_balloon_get(struct machine_bus *mb, uint64_t *bytes)
{
    struct virtio_balloon *s = mb->balloon;
    if (s) *bytes = (uint64_t)s->actual << PAGE_SHIFT;
    return s != NULL;
}
