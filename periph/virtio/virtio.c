/*
 * virtio.c - status, features and split virtqueues of virtio devices; see virtio.h. VIRTIO 1.2,
 * sections 2.1 to 2.7, 3.1, 4.1.4; packed rings (2.8) are not offered.
 */
#include "periph/virtio/virtio.h"

#include "util/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_SIZE = 16 };
enum { AVAIL_NO_INTERRUPT = 1 };
#define RING_FEATURES (VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX))

static const struct state_field queue_state[] = {
    STATE_INT(struct virtio_queue, desc),         STATE_INT(struct virtio_queue, avail),
    STATE_INT(struct virtio_queue, used),         STATE_INT(struct virtio_queue, size),
    STATE_INT(struct virtio_queue, vector),       STATE_INT(struct virtio_queue, enabled),
    STATE_INT(struct virtio_queue, last_avail),   STATE_INT(struct virtio_queue, used_idx),
    STATE_INT(struct virtio_queue, signalled),    STATE_INT(struct virtio_queue, signalled_valid),
    STATE_RUNTIME(struct virtio_queue, max_size), STATE_END,
};

const struct state_field virtio_state[] = {
    STATE_INT(struct virtio, features),
    STATE_INT(struct virtio, status),
    STATE_INT(struct virtio, isr),
    STATE_INT(struct virtio, generation),
    STATE_STRUCT(struct virtio, vq, VIRTIO_MAX_QUEUES, queue_state),
    STATE_RUNTIME(struct virtio, class),
    STATE_RUNTIME(struct virtio, transport),
    STATE_RUNTIME(struct virtio, front),
    STATE_RUNTIME(struct virtio, dev),
    STATE_RUNTIME(struct virtio, host_features),
    STATE_RUNTIME(struct virtio, n_queues),
    STATE_RUNTIME(struct virtio, in_dma),
    STATE_END,
};

/* ---- byte order ---- */

bool virtio_big_endian(const struct virtio *v)
{
    return v->dev->mb->big_endian && !virtio_has(v, VIRTIO_F_VERSION_1);
}

uint16_t virtio_get16(const struct virtio *v, const void *p)
{
    return virtio_big_endian(v) ? ld16_be(p) : ld16_le(p);
}

uint32_t virtio_get32(const struct virtio *v, const void *p)
{
    return virtio_big_endian(v) ? ld32_be(p) : ld32_le(p);
}

uint64_t virtio_get64(const struct virtio *v, const void *p)
{
    return virtio_big_endian(v) ? ld64_be(p) : ld64_le(p);
}

void virtio_put16(const struct virtio *v, void *p, uint16_t x)
{
    if (virtio_big_endian(v))
        st16_be(p, x);
    else
        st16_le(p, x);
}

void virtio_put32(const struct virtio *v, void *p, uint32_t x)
{
    if (virtio_big_endian(v))
        st32_be(p, x);
    else
        st32_le(p, x);
}

void virtio_put64(const struct virtio *v, void *p, uint64_t x)
{
    if (virtio_big_endian(v))
        st64_be(p, x);
    else
        st64_le(p, x);
}

/* ---- errors and interrupts ---- */

void virtio_error(struct virtio *v, const char *fmt, ...)
{
    char text[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    LOG(GUEST_ERRORS, "%s: %s; the device needs a reset\n", v->class->name, text);
    if (virtio_broken(v)) return;
    v->status |= VIRTIO_NEEDS_RESET;
    if (virtio_has(v, VIRTIO_F_VERSION_1)) virtio_config_changed(v);
}

void virtio_config_changed(struct virtio *v)
{
    if (!(v->status & VIRTIO_DRIVER_OK)) return;
    v->isr |= VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG;
    v->generation++;
    v->transport->interrupt(v->front, -1);
}

/* ---- guest memory ---- */

/* False when memory does not answer; the device is broken then. */
static bool guest_read(struct virtio *v, uint64_t addr, void *buf, size_t n)
{
    v->in_dma = true;
    bool ok = v->transport->read(v->front, addr, buf, n);
    v->in_dma = false;
    if (ok) return true;
    virtio_error(v, "no memory to read at 0x%llx", (unsigned long long)addr);
    return false;
}

static bool guest_write(struct virtio *v, uint64_t addr, const void *buf, size_t n)
{
    v->in_dma = true;
    bool ok = v->transport->write(v->front, addr, buf, n);
    v->in_dma = false;
    if (ok) return true;
    virtio_error(v, "no memory to write at 0x%llx", (unsigned long long)addr);
    return false;
}

static bool read16(struct virtio *v, uint64_t addr, uint16_t *x)
{
    uint8_t b[2];
    if (!guest_read(v, addr, b, sizeof b)) return false;
    *x = virtio_get16(v, b);
    return true;
}

static bool write16(struct virtio *v, uint64_t addr, uint16_t x)
{
    uint8_t b[2];
    virtio_put16(v, b, x);
    return guest_write(v, addr, b, sizeof b);
}

/* ---- chains ---- */

struct descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

static bool read_descriptor(struct virtio *v, uint64_t table, unsigned i, struct descriptor *d)
{
    uint8_t b[DESC_SIZE];
    if (!guest_read(v, table + (uint64_t)i * DESC_SIZE, b, sizeof b)) return false;
    d->addr = virtio_get64(v, b);
    d->len = virtio_get32(v, b + 8);
    d->flags = virtio_get16(v, b + 12);
    d->next = virtio_get16(v, b + 14);
    return true;
}

static bool add_segment(struct virtio *v, struct virtio_chain *c, const struct descriptor *d)
{
    unsigned n = c->n_out + c->n_in;
    if (d->len && d->addr + (d->len - 1) < d->addr)
        return virtio_error(v, "a buffer goes beyond the end of memory"), false;
    if (n == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 16;
        c->seg = mem_realloc(c->seg, sizeof *c->seg * c->cap);
    }
    c->seg[n] = (struct virtio_seg){d->addr, d->len};
    if (d->flags & DESC_WRITE)
        c->n_in++, c->in_bytes += d->len;
    else if (c->n_in)
        return virtio_error(v, "a buffer to read comes after one to write"), false;
    else
        c->n_out++, c->out_bytes += d->len;
    return true;
}

bool virtio_chain_at(struct virtio *v, unsigned queue, uint16_t head, struct virtio_chain *c)
{
    const struct virtio_queue *q = &v->vq[queue];
    uint64_t table = q->desc;
    unsigned limit = q->size, i = head, count = 0;
    bool indirect = false;
    struct descriptor d;
    c->head = head;
    c->n_out = c->n_in = 0;
    c->out_bytes = c->in_bytes = 0;
    if (head >= limit)
        return virtio_error(v, "descriptor %u of %u is made available", head, limit), false;
    for (;;) {
        if (!read_descriptor(v, table, i, &d)) return false;
        if (d.flags & DESC_INDIRECT) {
            if (!virtio_has(v, VIRTIO_F_INDIRECT_DESC))
                return virtio_error(v, "an indirect descriptor, which was not negotiated"), false;
            if (indirect) return virtio_error(v, "an indirect table in another"), false;
            if (d.flags & DESC_NEXT)
                return virtio_error(v, "an indirect descriptor with a next one"), false;
            if (!d.len || d.len % DESC_SIZE || d.len / DESC_SIZE > VIRTIO_MAX_CHAIN)
                return virtio_error(v, "an indirect table of %u bytes", (unsigned)d.len), false;
            indirect = true;
            table = d.addr, limit = d.len / DESC_SIZE, i = 0;
            continue;
        }
        /* More than there are entries: a loop. */
        if (++count > VIRTIO_MAX_CHAIN || count > MAX(limit, (unsigned)q->size))
            return virtio_error(v, "a chain without end"), false;
        if (!add_segment(v, c, &d)) return false;
        if (!(d.flags & DESC_NEXT)) return true;
        if (d.next >= limit)
            return virtio_error(v, "next descriptor %u of %u", d.next, limit), false;
        i = d.next;
    }
}

void virtio_chain_free(struct virtio_chain *c)
{
    mem_free(c->seg);
    *c = (struct virtio_chain){0};
}

/* Moves n bytes at `offset` of the segments, out of guest memory or into it. */
static size_t copy(struct virtio *v, const struct virtio_seg *s, unsigned n_seg, uint64_t offset,
                   uint8_t *out, const uint8_t *in, size_t n)
{
    size_t done = 0;
    for (unsigned i = 0; i < n_seg && done < n; i++) {
        if (offset >= s[i].len) {
            offset -= s[i].len;
            continue;
        }
        size_t k = (size_t)MIN((uint64_t)(s[i].len - offset), (uint64_t)(n - done));
        bool ok = out ? guest_read(v, s[i].addr + offset, out + done, k)
                      : guest_write(v, s[i].addr + offset, in + done, k);
        if (!ok) break;
        done += k;
        offset = 0;
    }
    return done;
}

size_t virtio_read(struct virtio *v, const struct virtio_chain *c, uint64_t offset, void *buf,
                   size_t n)
{
    return copy(v, c->seg, c->n_out, offset, buf, NULL, n);
}

size_t virtio_write(struct virtio *v, const struct virtio_chain *c, uint64_t offset,
                    const void *buf, size_t n)
{
    return copy(v, c->seg + c->n_out, c->n_in, offset, NULL, buf, n);
}

/* ---- rings: the driver may run at the same time (specification 1.1, 2.6.7 and 2.6.13: where barriers are) ---- */

static uint64_t used_event_addr(const struct virtio_queue *q)
{
    return q->avail + 4 + 2 * (uint64_t)q->size;
}

static uint64_t avail_event_addr(const struct virtio_queue *q)
{
    return q->used + 4 + 8 * (uint64_t)q->size;
}

bool virtio_queue_ready(const struct virtio *v, unsigned queue)
{
    if (queue >= v->n_queues || virtio_broken(v) || !v->vq[queue].enabled) return false;
    /* Legacy drivers may begin before they say so. */
    return (v->status & VIRTIO_DRIVER_OK) || !virtio_has(v, VIRTIO_F_VERSION_1);
}

bool virtio_queue_empty(struct virtio *v, unsigned queue)
{
    uint16_t idx;
    if (!virtio_queue_ready(v, queue)) return true;
    return !read16(v, v->vq[queue].avail + 2, &idx) || idx == v->vq[queue].last_avail;
}

bool virtio_pop(struct virtio *v, unsigned queue, struct virtio_chain *c)
{
    uint16_t idx, head;
    if (!virtio_queue_ready(v, queue)) return false;
    struct virtio_queue *q = &v->vq[queue];
    if (!read16(v, q->avail + 2, &idx)) return false;
    if (idx == q->last_avail) {
        if (!virtio_has(v, VIRTIO_F_EVENT_IDX)) return false;
        /* From here on the driver is to tell of new ones, of which there may be some by now. */
        write16(v, avail_event_addr(q), q->last_avail);
        atomic_fence();
        if (!read16(v, q->avail + 2, &idx) || idx == q->last_avail) return false;
    }
    atomic_fence(); /* what the index says is there is read after it */
    if ((uint16_t)(idx - q->last_avail) > q->size) {
        virtio_error(v, "the available index goes from %u to %u in a queue of %u", q->last_avail,
                     idx, q->size);
        return false;
    }
    if (!read16(v, q->avail + 4 + 2 * (uint64_t)(q->last_avail % q->size), &head)) return false;
    if (!virtio_chain_at(v, queue, head, c)) return false;
    q->last_avail++;
    return true;
}

unsigned virtio_waiting(struct virtio *v, unsigned queue, unsigned limit)
{
    uint16_t idx;
    if (!virtio_queue_ready(v, queue) || !read16(v, v->vq[queue].avail + 2, &idx)) return 0;
    unsigned n = (uint16_t)(idx - v->vq[queue].last_avail);
    return MIN(n, limit);
}

uint64_t virtio_in_room(struct virtio *v, unsigned queue, uint64_t limit)
{
    struct virtio_chain c = {0};
    uint64_t sum = 0;
    if (!virtio_queue_ready(v, queue)) return 0;
    uint16_t start = v->vq[queue].last_avail;
    while (sum < limit && virtio_pop(v, queue, &c))
        sum += c.in_bytes;
    v->vq[queue].last_avail = start;
    virtio_chain_free(&c);
    return MIN(sum, limit);
}

void virtio_push(struct virtio *v, unsigned queue, uint16_t head, uint64_t written)
{
    struct virtio_queue *q = &v->vq[queue];
    uint8_t b[8];
    if (!virtio_queue_ready(v, queue)) return;
    virtio_put32(v, b, head);
    virtio_put32(v, b + 4, (uint32_t)MIN(written, (uint64_t)UINT32_MAX));
    if (!guest_write(v, q->used + 4 + 8 * (uint64_t)(q->used_idx % q->size), b, sizeof b)) return;
    q->used_idx++;
    atomic_fence(); /* all of the answer is seen before the index */
    write16(v, q->used + 2, q->used_idx);
}

static bool wants_interrupt(struct virtio *v, unsigned queue)
{
    struct virtio_queue *q = &v->vq[queue];
    uint16_t flags, event, old = q->signalled;
    bool valid = q->signalled_valid;
    atomic_fence(); /* the driver says that it wants to be told, and then looks at the index */
    if (virtio_has(v, VIRTIO_F_NOTIFY_ON_EMPTY) && q->used_idx == q->last_avail &&
        virtio_queue_empty(v, queue))
        return true;
    if (!virtio_has(v, VIRTIO_F_EVENT_IDX))
        return read16(v, q->avail, &flags) && !(flags & AVAIL_NO_INTERRUPT);
    q->signalled = q->used_idx, q->signalled_valid = true;
    if (!read16(v, used_event_addr(q), &event)) return false;
    /* Did used_idx pass the event. */
    return !valid || (uint16_t)(q->used_idx - event - 1) < (uint16_t)(q->used_idx - old);
}

void virtio_notify(struct virtio *v, unsigned queue)
{
    if (!virtio_queue_ready(v, queue) || !wants_interrupt(v, queue)) return;
    v->isr |= VIRTIO_ISR_QUEUE;
    v->transport->interrupt(v->front, (int)queue);
}

void virtio_kick(struct virtio *v, unsigned queue)
{
    if (queue >= v->n_queues)
        LOG(GUEST_ERRORS, "%s: notification of queue %u of %u\n", v->class->name, queue,
            v->n_queues);
    else if (virtio_queue_ready(v, queue))
        v->class->notify(v, queue);
}

/* ---- queues ---- */

void virtio_add_queue(struct virtio *v, uint16_t max_size)
{
    if (v->n_queues < VIRTIO_MAX_QUEUES) v->vq[v->n_queues++].max_size = max_size;
}

void virtio_reset_queue(struct virtio *v, unsigned n)
{
    uint16_t max = v->vq[n].max_size;
    v->vq[n] = (struct virtio_queue){.max_size = max, .size = max, .vector = VIRTIO_NO_VECTOR};
}

void virtio_set_legacy_queue(struct virtio *v, unsigned n, uint64_t addr)
{
    struct virtio_queue *q = &v->vq[n];
    q->last_avail = q->used_idx = 0;
    q->signalled_valid = false;
    q->enabled = addr != 0;
    q->desc = addr;
    q->avail = addr + DESC_SIZE * (uint64_t)q->size;
    q->used = ALIGN_UP(used_event_addr(q) + 2, UINT64_C(4096));
    if (!addr) q->avail = q->used = 0;
}

/* ---- status and features ---- */

uint64_t virtio_offered(const struct virtio *v, bool legacy)
{
    uint64_t f = v->host_features | RING_FEATURES;
    if (legacy) f |= VIRTIO_BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | VIRTIO_BIT(VIRTIO_F_ANY_LAYOUT);
    return legacy ? f & UINT32_MAX : f | VIRTIO_BIT(VIRTIO_F_VERSION_1);
}

void virtio_set_features(struct virtio *v, unsigned word, uint32_t bits, bool legacy)
{
    if (word > 1) {
        if (bits) LOG(GUEST_ERRORS, "%s: features beyond bit 63\n", v->class->name);
        return;
    }
    if (v->status & (VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK)) {
        LOG(GUEST_ERRORS, "%s: features are written after they were agreed on\n", v->class->name);
        return;
    }
    uint64_t mask = (uint64_t)UINT32_MAX << 32 * word, f = (uint64_t)bits << 32 * word;
    v->features = (v->features & ~mask) | f;
    if (!legacy) return; /* judged at FEATURES_OK */
    if (v->features & ~virtio_offered(v, true))
        LOG(GUEST_ERRORS, "%s: features that were not offered\n", v->class->name);
    v->features &= virtio_offered(v, true);
}

static bool features_ok(const struct virtio *v)
{
    return virtio_has(v, VIRTIO_F_VERSION_1) && !(v->features & ~virtio_offered(v, false));
}

void virtio_set_status(struct virtio *v, uint8_t status, bool legacy)
{
    uint8_t old = v->status;
    if (!status) {
        virtio_reset(v);
        return;
    }
    if (!legacy && (status & ~old & VIRTIO_FEATURES_OK) && !features_ok(v)) {
        LOG(GUEST_ERRORS, "%s: features 0x%llx are refused\n", v->class->name,
            (unsigned long long)v->features);
        status &= (uint8_t)~VIRTIO_FEATURES_OK;
    }
    v->status = (uint8_t)((status & ~VIRTIO_NEEDS_RESET) | (old & VIRTIO_NEEDS_RESET));
    if ((v->status & ~old & VIRTIO_DRIVER_OK) && v->class->start) v->class->start(v);
}

void virtio_reset(struct virtio *v)
{
    v->class->reset(v);
    v->status = v->isr = v->generation = 0;
    v->features = 0;
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
        virtio_reset_queue(v, i);
}

int virtio_post_load(struct virtio *v, struct error *e)
{
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
        const struct virtio_queue *q = &v->vq[i];
        bool bad = q->size > q->max_size || (q->size & (q->size - 1)) ||
                   (q->enabled && (i >= v->n_queues || !q->size));
        if (bad)
            return error_set(e, "%s: queue %u cannot be of %u entries", v->class->name, i, q->size);
    }
    return 0;
}

/* ---- configuration space ---- */

uint8_t virtio_config_read(struct virtio *v, unsigned offset)
{
    uint8_t c[VIRTIO_MAX_CONFIG] = {0};
    if (offset >= v->class->config_size) return 0xff;
    v->class->get_config(v, c);
    return c[offset];
}

void virtio_config_write(struct virtio *v, unsigned offset, uint64_t value, unsigned size)
{
    uint8_t c[VIRTIO_MAX_CONFIG] = {0};
    if (!v->class->set_config || offset >= v->class->config_size ||
        size > v->class->config_size - offset) {
        LOG(GUEST_ERRORS, "%s: write to the configuration at %u\n", v->class->name, offset);
        return;
    }
    v->class->get_config(v, c);
    for (unsigned i = 0; i < size; i++)
        c[offset + i] = (uint8_t)(value >> 8 * i);
    v->class->set_config(v, c, offset, size);
}
