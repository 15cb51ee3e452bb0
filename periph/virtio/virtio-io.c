/*
 * virtio-io.c - requests in flight; see virtio-io.h.
 */
#include "periph/virtio/virtio-io.h"

#define IO_NS    UINT64_C(20000) /* and half a nanosecond for each byte moved */
#define BUFS_MAX (UINT64_C(128) << 20)
enum { THREADS = 4 };

static void drop_buffer(struct virtio_io_slot *s)
{
    s->io->in_flight -= s->buf_size;
    mem_free(s->req.buf);
    s->req.buf = NULL, s->buf_size = 0;
}

static void free_slot(struct virtio_io_slot *s)
{
    drop_buffer(s);
    s->busy = s->sent = s->done = false;
}

void *virtio_io_buffer(struct virtio_io_slot *s, uint64_t n)
{
    drop_buffer(s);
    s->req.buf = mem_alloc((size_t)MAX(n, UINT64_C(1)));
    s->buf_size = n;
    s->io->in_flight += n;
    return s->req.buf;
}

static void request_done(struct blk_req *r)
{
    ((struct virtio_io_slot *)r->opaque)->done = true;
}

static bool changes(const struct blk_req *r)
{
    return r->op == BLK_OP_WRITE || r->op == BLK_OP_ZERO || r->op == BLK_OP_DISCARD;
}

/* Waits for requests whose order with this one can be seen. */
static void keep_order(struct virtio_io *io, const struct virtio_io_slot *s)
{
    const struct blk_req *a = &s->req;
    for (unsigned i = 0; i < VIRTIO_IO_SLOTS; i++) {
        const struct virtio_io_slot *o = &io->slot[i];
        const struct blk_req *b = &o->req;
        if (o == s || !o->sent || o->done || b->blk != a->blk || !(changes(a) || changes(b)))
            continue;
        if (b->offset >= a->offset + a->bytes || a->offset >= b->offset + b->bytes) continue;
        blk_ctx_drain(io->ctx);
        return;
    }
}

static void send(struct virtio_io_slot *s)
{
    s->req.done = request_done, s->req.opaque = s;
    s->req.next = NULL, s->req.rc = 0;
    keep_order(s->io, s);
    s->sent = true, s->done = false;
    blk_submit(s->io->ctx, &s->req);
}

/* After loading state requests are there that the host knows nothing of. */
static void send_again(struct virtio_io *io)
{
    for (;;) {
        struct virtio_io_slot *s = NULL;
        for (unsigned i = 0; i < VIRTIO_IO_SLOTS; i++) {
            struct virtio_io_slot *o = &io->slot[i];
            if (o->busy && !o->sent && (!s || o->seq < s->seq)) s = o;
        }
        if (!s) return;
        if (virtio_queue_ready(io->v, s->queue) &&
            virtio_chain_at(io->v, s->queue, s->head, &s->chain) &&
            io->ops->parse(io->v, s) == VIRTIO_IO_SEND) {
            send(s);
        } else { /* the driver changed what it had handed over */
            timer_cancel(&s->timer);
            free_slot(s);
        }
    }
}

static struct virtio_io_slot *free_place(struct virtio_io *io)
{
    if (io->in_flight >= BUFS_MAX) return NULL;
    for (unsigned i = 0; i < VIRTIO_IO_SLOTS; i++) {
        if (!io->slot[i].busy) return &io->slot[i];
    }
    return NULL;
}

static void take_requests(struct virtio_io *io, unsigned queue)
{
    struct virtio_io_slot *s;
    while ((s = free_place(io)) && virtio_pop(io->v, queue, &s->chain)) {
        s->queue = (uint8_t)queue;
        s->head = s->chain.head;
        if (io->ops->parse(io->v, s) == VIRTIO_IO_ANSWERED) {
            free_slot(s);
            continue;
        }
        s->busy = true;
        s->seq = io->seq++;
        send(s);
        timer_arm(&s->timer, clock_now(io->v->dev->clock) + IO_NS + s->buf_size / 2);
    }
}

void virtio_io_notify(struct virtio_io *io, unsigned queue)
{
    send_again(io);
    take_requests(io, queue);
}

/* A request's time has come. */
static void slot_event(void *opaque)
{
    struct virtio_io_slot *s = opaque;
    struct virtio_io *io = s->io;
    send_again(io);
    if (!s->busy) return;
    while (!s->done)
        blk_ctx_wait(io->ctx);
    int rc = s->req.rc;
    switch (rc ? blk_error_action(s->req.blk, s->req.op == BLK_OP_READ, rc) : BLK_ON_ERROR_REPORT) {
    case BLK_ON_ERROR_IGNORE: rc = 0; break;
    case BLK_ON_ERROR_STOP: /* time stands still until somebody continues: then again */
        send(s);
        timer_arm(&s->timer, clock_now(io->v->dev->clock) + IO_NS);
        return;
    default: break;
    }
    io->ops->answer(io->v, s, rc);
    free_slot(s);
    for (unsigned q = io->first_queue; q < io->v->n_queues; q++)
        take_requests(io, q);
}

void virtio_io_finish(struct virtio_io *io)
{
    send_again(io);
    blk_ctx_drain(io->ctx);
    for (;;) {
        struct virtio_io_slot *s = NULL;
        for (unsigned i = 0; i < VIRTIO_IO_SLOTS; i++) {
            struct virtio_io_slot *o = &io->slot[i];
            if (o->busy && (!s || o->seq < s->seq)) s = o;
        }
        if (!s) return;
        timer_cancel(&s->timer);
        io->ops->answer(io->v, s, s->req.rc);
        free_slot(s);
    }
}

void virtio_io_reset(struct virtio_io *io)
{
    if (!io->ctx) return;
    blk_ctx_drain(io->ctx);
    for (unsigned i = 0; i < VIRTIO_IO_SLOTS; i++) {
        struct virtio_io_slot *s = &io->slot[i];
        timer_cancel(&s->timer);
        free_slot(s);
        s->queue = 0, s->head = 0, s->seq = 0;
    }
    io->seq = 0;
}

int virtio_io_init(struct virtio_io *io, struct virtio *v, const struct virtio_io_ops *ops,
                   unsigned first_queue, struct error *e)
{
    io->v = v, io->ops = ops, io->first_queue = first_queue;
    io->ctx = blk_ctx_new(NULL, THREADS, e);
    if (!io->ctx) return -1;
    for (unsigned i = 0; i < VIRTIO_IO_SLOTS; i++) {
        io->slot[i].io = io;
        timer_init(&io->slot[i].timer, v->dev->clock, slot_event, &io->slot[i]);
    }
    return 0;
}

void virtio_io_free(struct virtio_io *io)
{
    if (!io->ctx) return;
    virtio_io_reset(io);
    for (unsigned i = 0; i < VIRTIO_IO_SLOTS; i++)
        virtio_chain_free(&io->slot[i].chain);
    blk_ctx_delete(io->ctx);
    io->ctx = NULL;
}

int virtio_io_post_load(struct virtio_io *io, struct error *e)
{
    blk_ctx_drain(io->ctx); /* what was in flight before is forgotten */
    for (unsigned i = 0; i < VIRTIO_IO_SLOTS; i++) {
        struct virtio_io_slot *s = &io->slot[i];
        drop_buffer(s);
        s->sent = s->done = false;
        if (s->busy &&
            (s->queue < io->first_queue || s->queue >= io->v->n_queues || !timer_armed(&s->timer)))
            return error_set(e, "%s: an impossible request in flight", io->v->class->name);
        if (!s->busy) timer_cancel(&s->timer);
    }
    return 0;
}

#define R(f) STATE_RUNTIME(struct virtio_io_slot, f)
static const struct state_field slot_state[] = {
    STATE_INT(struct virtio_io_slot, busy),
    STATE_INT(struct virtio_io_slot, queue),
    STATE_INT(struct virtio_io_slot, head),
    STATE_INT(struct virtio_io_slot, seq),
    STATE_TIMER(struct virtio_io_slot, timer),
    R(io),
    R(sent),
    R(done),
    R(chain),
    R(req),
    R(buf_size),
    R(target),
    R(kind),
    STATE_END,
};
#undef R
const struct state_field virtio_io_state[] = {
    STATE_INT(struct virtio_io, seq),
    STATE_STRUCT(struct virtio_io, slot, VIRTIO_IO_SLOTS, slot_state),
    STATE_RUNTIME(struct virtio_io, v),
    STATE_RUNTIME(struct virtio_io, ops),
    STATE_RUNTIME(struct virtio_io, ctx),
    STATE_RUNTIME(struct virtio_io, in_flight),
    STATE_RUNTIME(struct virtio_io, first_queue),
    STATE_END,
};
