/*
 * virtio-scsi.c - the SCSI host adapter; see virtio-scsi.h.
 */
#include "periph/virtio/virtio-scsi.h"

#include "util/log.h"

enum { Q_CONTROL, Q_EVENT, Q_REQUEST };
/* struct virtio_scsi_req_cmd: up to the CDB; of the response: up to the sense data. */
enum {
    REQ_LUN = 0,
    REQ_CDB = 19,
    RESP_SENSE_LEN = 0,
    RESP_RESID = 4,
    RESP_STATUS = 10,
    RESP_RESPONSE = 11,
    RESP_SIZE = 12
};
enum {
    R_OK = 0,
    R_BAD_TARGET = 3,
    R_FAILURE = 9,
    R_REJECTED = 11,
    R_INCORRECT_LUN = 12,
    R_COMPLETE = 0
};
enum { CTRL_TMF = 0, CTRL_QUERY = 1, CTRL_SUBSCRIBE = 2, TMF_SIZE = 24, AN_SIZE = 16 };
enum { TMF_NEXUS_RESET = 4, TMF_UNIT_RESET = 5, TMF_LAST = 7 };
enum { SENSE_DEFAULT = 96, SENSE_MAX = 252, CDB_DEFAULT = 32, CDB_MAX = 255, MAX_QUEUES = 16 };
enum { CFG_SENSE = 20, CFG_CDB = 24, CFG_SIZE = 36 };

static struct virtio_scsi *scsi_of(struct virtio *v)
{
    return (struct virtio_scsi *)v;
}

/* Target and LUN of an address; false: none that this adapter could have. */
static bool parse_lun(const uint8_t *a, unsigned *target, unsigned *lun)
{
    *target = a[1];
    *lun = ld16_be(a + 2) & 0x3fff;
    return a[0] == 1;
}

/* ---- commands ---- */

static uint64_t resp_size(const struct virtio_scsi *s)
{
    return RESP_SIZE + (uint64_t)s->sense_size;
}

static void respond(struct virtio_scsi *s, struct virtio_io_slot *slot, uint8_t response,
                    const struct scsi_command *c, uint64_t moved, uint64_t room)
{
    struct virtio *v = &s->v;
    uint8_t b[RESP_SIZE + SENSE_MAX] = {0};
    b[RESP_RESPONSE] = response;
    virtio_put32(v, b + RESP_RESID, (uint32_t)MIN(room - MIN(moved, room), (uint64_t)UINT32_MAX));
    if (c) {
        b[RESP_STATUS] = c->status;
        if (c->status == SCSI_CHECK_CONDITION) {
            size_t n = MIN((size_t)s->sense_size, sizeof c->sense);
            virtio_put32(v, b + RESP_SENSE_LEN, (uint32_t)n);
            memcpy(b + RESP_SIZE, c->sense, n);
        }
    }
    virtio_write(v, &slot->chain, 0, b, (size_t)resp_size(s));
    virtio_push(v, slot->queue, slot->head,
                resp_size(s) + (slot->chain.in_bytes > resp_size(s) ? moved : 0));
    virtio_notify(v, slot->queue);
}

static uint64_t room_of(const struct virtio_scsi *s, const struct virtio_chain *c)
{
    uint64_t in = c->in_bytes - resp_size(s), out = c->out_bytes - REQ_CDB - s->cdb_size;
    return in ? in : out;
}

struct parameters {
    struct virtio_scsi *s;
    struct virtio_chain *chain;
};

static size_t parameters(void *opaque, void *buf, size_t n)
{
    struct parameters *p = opaque;
    return virtio_read(&p->s->v, p->chain, REQ_CDB + p->s->cdb_size, buf, n);
}

static enum virtio_io_parse to_image(struct virtio_scsi *s, struct virtio_io_slot *slot,
                                     struct scsi_disk *d)
{
    struct scsi_command *c = s->command;
    if (c->io_op == BLK_OP_READ || c->io_op == BLK_OP_WRITE) {
        if (c->io_bytes > VIRTIO_IO_MAX) {
            respond(s, slot, R_FAILURE, NULL, 0, room_of(s, &slot->chain));
            return VIRTIO_IO_ANSWERED;
        }
        virtio_io_buffer(slot, c->io_bytes);
    }
    slot->req = (struct blk_req){.blk = d->blk,
                                 .op = c->io_op,
                                 .flags = c->io_flags,
                                 .offset = c->io_offset,
                                 .bytes = c->io_bytes,
                                 .buf = slot->req.buf};
    slot->target = d;
    slot->kind = c->cdb[0];
    if (c->io_op == BLK_OP_WRITE)
        virtio_read(&s->v, &slot->chain, REQ_CDB + s->cdb_size, slot->req.buf, (size_t)c->io_bytes);
    return VIRTIO_IO_SEND;
}

static enum virtio_io_parse scsi_parse(struct virtio *v, struct virtio_io_slot *slot)
{
    struct virtio_scsi *s = scsi_of(v);
    struct scsi_command *c = s->command;
    struct parameters p = {s, &slot->chain};
    uint8_t head[REQ_CDB + CDB_MAX];
    size_t head_size = REQ_CDB + s->cdb_size;
    unsigned target, lun;
    if (slot->chain.out_bytes < head_size || slot->chain.in_bytes < resp_size(s)) {
        virtio_error(v, "a command without room for header or response");
        return VIRTIO_IO_ANSWERED;
    }
    if (virtio_read(v, &slot->chain, 0, head, head_size) != head_size) return VIRTIO_IO_ANSWERED;
    uint64_t room = room_of(s, &slot->chain);
    if (!parse_lun(head + REQ_LUN, &target, &lun)) {
        respond(s, slot, R_BAD_TARGET, NULL, 0, room);
        return VIRTIO_IO_ANSWERED;
    }
    memset(c->cdb, 0, sizeof c->cdb);
    memcpy(c->cdb, head + REQ_CDB, MIN(sizeof c->cdb, (size_t)s->cdb_size));
    c->parameters = parameters, c->opaque = &p;
    c->in_bytes = slot->chain.in_bytes - resp_size(s);
    c->out_bytes = slot->chain.out_bytes - head_size;
    struct scsi_disk *d = scsi_find(v->dev, target, lun);
    if (!d && !scsi_find(v->dev, target, 0)) {
        bool any = false;
        for (unsigned i = 1; i <= SCSI_MAX_LUN; i++)
            any |= scsi_find(v->dev, target, i) != NULL;
        if (!any) {
            respond(s, slot, R_BAD_TARGET, NULL, 0, room);
            return VIRTIO_IO_ANSWERED;
        }
    }
    if (d)
        scsi_start(d, c);
    else
        scsi_start_absent(v->dev, target, c);
    if (d && c->io) return to_image(s, slot, d);
    size_t n = (size_t)MIN(c->in_bytes, (uint64_t)c->reply_len);
    n = virtio_write(v, &slot->chain, resp_size(s), c->reply, n);
    respond(s, slot, R_OK, c, n, room);
    return VIRTIO_IO_ANSWERED;
}

static void scsi_answer(struct virtio *v, struct virtio_io_slot *slot, int rc)
{
    struct virtio_scsi *s = scsi_of(v);
    struct scsi_command *c = s->command;
    const struct blk_req *r = &slot->req;
    uint64_t moved = 0;
    memset(c->cdb, 0, sizeof c->cdb);
    c->cdb[0] = (uint8_t)slot->kind;
    c->io_op = r->op;
    scsi_done(slot->target, c, rc);
    if (!rc && r->op == BLK_OP_READ)
        moved = virtio_write(v, &slot->chain, resp_size(s), r->buf, (size_t)r->bytes);
    else if (!rc)
        moved = r->op == BLK_OP_WRITE ? r->bytes : room_of(s, &slot->chain);
    respond(s, slot, R_OK, c, moved, room_of(s, &slot->chain));
}

static const struct virtio_io_ops scsi_io_ops = {.parse = scsi_parse, .answer = scsi_answer};

/* ---- the control queue ---- */

static uint8_t task_management(struct virtio_scsi *s, const uint8_t *b)
{
    unsigned target, lun;
    uint32_t what = virtio_get32(&s->v, b + 4);
    if (what > TMF_LAST) return R_REJECTED;
    if (!parse_lun(b + 8, &target, &lun)) return R_BAD_TARGET;
    struct scsi_disk *d = scsi_find(s->v.dev, target, lun);
    if (!d && what != TMF_NEXUS_RESET) return R_INCORRECT_LUN;
    /* Requests end soon anyway: here and now, so that there is nothing left to abort. */
    virtio_io_finish(&s->io);
    for (unsigned i = 0; i <= SCSI_MAX_LUN; i++) {
        struct scsi_disk *u = scsi_find(s->v.dev, target, i);
        if (u && (what == TMF_NEXUS_RESET || (what == TMF_UNIT_RESET && u == d)))
            scsi_unit_reset(u);
    }
    return R_COMPLETE;
}

static void control(struct virtio_scsi *s)
{
    struct virtio *v = &s->v;
    struct virtio_chain c = {0};
    uint8_t b[TMF_SIZE], answer[5];
    while (virtio_pop(v, Q_CONTROL, &c)) {
        size_t n = virtio_read(v, &c, 0, b, sizeof b), out = 1;
        uint32_t type = n >= 4 ? virtio_get32(v, b) : UINT32_MAX;
        if (type == CTRL_TMF && n >= TMF_SIZE) {
            answer[0] = task_management(s, b);
        } else if ((type == CTRL_QUERY || type == CTRL_SUBSCRIBE) && n >= AN_SIZE) {
            memset(answer, 0, sizeof answer); /* no events; OK */
            out = sizeof answer;
        } else {
            virtio_error(v, "an unknown control request");
            break;
        }
        if (c.in_bytes < out) {
            virtio_error(v, "no room for the answer to a control request");
            break;
        }
        virtio_push(v, Q_CONTROL, c.head, virtio_write(v, &c, 0, answer, out));
        virtio_notify(v, Q_CONTROL);
    }
    virtio_chain_free(&c);
}

static void scsi_notify(struct virtio *v, unsigned queue)
{
    if (queue == Q_CONTROL)
        control(scsi_of(v));
    else if (queue >= Q_REQUEST)
        virtio_io_notify(&scsi_of(v)->io, queue);
}

/* ---- configuration and life ---- */

static void scsi_get_config(struct virtio *v, uint8_t *c)
{
    const struct virtio_scsi *s = scsi_of(v);
    virtio_put32(v, c, s->n_queues);
    virtio_put32(v, c + 4, s->queue_size - 2u);
    virtio_put32(v, c + 8, s->max_sectors);
    virtio_put32(v, c + 12, s->cmd_per_lun);
    virtio_put32(v, c + 16, 16); /* size of an event */
    virtio_put32(v, c + CFG_SENSE, s->sense_size);
    virtio_put32(v, c + CFG_CDB, s->cdb_size);
    virtio_put16(v, c + 28, 0);
    virtio_put16(v, c + 30, SCSI_MAX_TARGET);
    virtio_put32(v, c + 32, 16383);
}

static void scsi_set_config(struct virtio *v, const uint8_t *c, unsigned offset, unsigned size)
{
    struct virtio_scsi *s = scsi_of(v);
    uint32_t sense = virtio_get32(v, c + CFG_SENSE), cdb = virtio_get32(v, c + CFG_CDB);
    if (sense > SENSE_MAX || !cdb || cdb > CDB_MAX) {
        LOG(GUEST_ERRORS, "virtio-scsi: sense data of %u bytes, CDBs of %u\n", (unsigned)sense,
            (unsigned)cdb);
        return;
    }
    if (sense == s->sense_size && cdb == s->cdb_size) return;
    virtio_io_finish(&s->io); /* in the form in which they began */
    s->sense_size = sense, s->cdb_size = cdb;
}

static void scsi_class_reset(struct virtio *v)
{
    struct virtio_scsi *s = scsi_of(v);
    virtio_io_reset(&s->io);
    s->sense_size = SENSE_DEFAULT;
    s->cdb_size = CDB_DEFAULT;
    for (struct device *d = v->dev->mb->first; d; d = d->next) {
        if (d->parent == v->dev && d->desc->bus == BUS_SCSI && d->realized)
            scsi_unit_reset((struct scsi_disk *)d);
    }
}

static void scsi_finish(struct scsi_adapter *a)
{
    virtio_io_finish(&((struct virtio_scsi *)((char *)a - offsetof(struct virtio_scsi, adapter)))->io);
}

static int scsi_realize(struct virtio *v, struct error *e)
{
    struct virtio_scsi *s = scsi_of(v);
    const char *name = v->dev->desc->name;
    if (!s->n_queues || s->n_queues > MAX_QUEUES)
        return error_set(e, "%s: num_queues must be between 1 and %u", name, MAX_QUEUES);
    if (s->queue_size < 4 || s->queue_size > VIRTIO_MAX_SIZE ||
        (s->queue_size & (s->queue_size - 1)))
        return error_set(e, "%s: virtqueue_size must be a power of 2, 4 to %u", name,
                         VIRTIO_MAX_SIZE);
    s->command = NEW(struct scsi_command);
    s->adapter.finish = scsi_finish;
    v->dev->bus_children = &s->adapter;
    for (unsigned i = 0; i < Q_REQUEST + s->n_queues; i++)
        virtio_add_queue(v, s->queue_size);
    return virtio_io_init(&s->io, v, &scsi_io_ops, Q_REQUEST, e);
}

static void scsi_unrealize(struct virtio *v)
{
    struct virtio_scsi *s = scsi_of(v);
    virtio_io_free(&s->io);
    mem_free(s->command);
    s->command = NULL;
}

static int scsi_post_load(struct virtio *v, struct error *e)
{
    struct virtio_scsi *s = scsi_of(v);
    if (s->sense_size > SENSE_MAX || !s->cdb_size || s->cdb_size > CDB_MAX)
        return error_set(e, "virtio-scsi: impossible sizes of sense data and CDB");
    return virtio_io_post_load(&s->io, e);
}

const struct virtio_class virtio_scsi_class = {
    .name = "virtio-scsi",
    .id = 8,
    .config_size = CFG_SIZE,
    .realize = scsi_realize,
    .unrealize = scsi_unrealize,
    .post_load = scsi_post_load,
    .get_config = scsi_get_config,
    .set_config = scsi_set_config,
    .notify = scsi_notify,
    .reset = scsi_class_reset,
};

const struct state_field virtio_scsi_state[] = {
    STATE_STRUCT(struct virtio_scsi, v, 1, virtio_state),
    STATE_PROP(struct virtio_scsi, n_queues),
    STATE_PROP(struct virtio_scsi, queue_size),
    STATE_PROP(struct virtio_scsi, max_sectors),
    STATE_PROP(struct virtio_scsi, cmd_per_lun),
    STATE_INT(struct virtio_scsi, sense_size),
    STATE_INT(struct virtio_scsi, cdb_size),
    STATE_STRUCT(struct virtio_scsi, io, 1, virtio_io_state),
    STATE_RUNTIME(struct virtio_scsi, command),
    STATE_RUNTIME(struct virtio_scsi, adapter),
    STATE_END,
};
