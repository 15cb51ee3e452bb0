/*
 * virtio-blk.c - the block device of virtio; see virtio-blk.h.
 */
#include "periph/virtio/virtio-blk.h"

#include "util/log.h"

#include <errno.h>

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
enum {
    F_SEG_MAX = 2,
    F_GEOMETRY = 4,
    F_RO = 5,
    F_BLK_SIZE = 6,
    F_FLUSH = 9,
    F_TOPOLOGY = 10,
    F_CONFIG_WCE = 11,
    F_MQ = 12,
    F_DISCARD = 13,
    F_WRITE_ZEROES = 14
};
/* struct virtio_blk_config */
enum {
    CFG_CAPACITY = 0,
    CFG_SEG_MAX = 12,
    CFG_CYLINDERS = 16,
    CFG_HEADS = 18,
    CFG_SECTORS = 19,
    CFG_BLK_SIZE = 20,
    CFG_PHYSICAL_EXP = 24,
    CFG_WCE = 32,
    CFG_NUM_QUEUES = 34,
    CFG_MAX_DISCARD = 36,
    CFG_MAX_DISCARD_SEG = 40,
    CFG_DISCARD_ALIGN = 44,
    CFG_MAX_ZERO = 48,
    CFG_MAX_ZERO_SEG = 52,
    CFG_ZERO_UNMAP = 56,
    CFG_SIZE = 60
};
enum { SECTOR = 512, ID_SIZE = 20, MAX_QUEUES = 16, HEADER = 16, RANGE = 16, RANGE_UNMAP = 1 };
#define MAX_RANGE_SECTORS 0x3fffffu

static struct virtio_blk *blk_of(struct virtio *v)
{
    return (struct virtio_blk *)v;
}

/* ---- requests ---- */

/* The last byte that the device writes is the status. */
static uint64_t in_capacity(const struct virtio_chain *c)
{
    return c->in_bytes - 1;
}

static void finish(struct virtio *v, struct virtio_io_slot *s, uint64_t written, uint8_t status)
{
    virtio_write(v, &s->chain, in_capacity(&s->chain), &status, 1);
    virtio_push(v, s->queue, s->head, written + 1);
    virtio_notify(v, s->queue);
}

static void blk_answer(struct virtio *v, struct virtio_io_slot *s, int rc)
{
    const struct blk_req *r = &s->req;
    uint64_t n = 0;
    if (rc == -ENOTSUP && r->op == BLK_OP_DISCARD) rc = 0; /* it is a hint */
    if (rc) {
        LOG(GUEST_ERRORS, "virtio-blk: request %u at %llu: %s\n", (unsigned)s->kind,
            (unsigned long long)r->offset, strerror(-rc));
    } else if (r->op == BLK_OP_READ) {
        n = virtio_write(v, &s->chain, 0, r->buf, (size_t)r->bytes);
    }
    finish(v, s, n, rc ? S_IOERR : S_OK);
}

static bool in_image(const struct virtio_blk *b, uint64_t sector, uint64_t bytes)
{
    uint64_t size = blk_size(b->blk);
    return !(bytes % b->logical) && sector <= size / SECTOR && !((sector * SECTOR) % b->logical) &&
           bytes <= size - sector * SECTOR;
}

/* Discard and write zeroes: one range. A status. */
static int parse_range(struct virtio_blk *b, struct virtio_io_slot *s)
{
    struct virtio *v = &b->v;
    bool discard = s->kind == T_DISCARD;
    uint8_t r[RANGE];
    if (!(discard ? b->discard : b->write_zeroes)) return S_UNSUPP;
    if (blk_readonly(b->blk) || s->chain.out_bytes != HEADER + RANGE) return S_IOERR;
    if (virtio_read(v, &s->chain, HEADER, r, RANGE) != RANGE) return S_IOERR;
    uint64_t sector = virtio_get64(v, r);
    uint32_t n = virtio_get32(v, r + 8), flags = virtio_get32(v, r + 12);
    if ((flags & ~(uint32_t)RANGE_UNMAP) || (discard && flags)) return S_UNSUPP;
    if (n > MAX_RANGE_SECTORS || !in_image(b, sector, (uint64_t)n * SECTOR)) return S_IOERR;
    s->req.op = discard ? BLK_OP_DISCARD : BLK_OP_ZERO;
    s->req.flags = flags ? BLK_MAY_UNMAP : 0;
    s->req.offset = sector * SECTOR, s->req.bytes = (uint64_t)n * SECTOR;
    return S_OK;
}

static int parse_transfer(struct virtio_blk *b, struct virtio_io_slot *s, uint64_t sector)
{
    bool in = s->kind == T_IN;
    uint64_t n = in ? in_capacity(&s->chain) : s->chain.out_bytes - HEADER;
    if (!in_image(b, sector, n) || n > VIRTIO_IO_MAX || (!in && blk_readonly(b->blk))) {
        LOG(GUEST_ERRORS, "virtio-blk: a request for %llu bytes at sector %llu\n",
            (unsigned long long)n, (unsigned long long)sector);
        return S_IOERR;
    }
    s->req.op = in ? BLK_OP_READ : BLK_OP_WRITE;
    s->req.offset = sector * SECTOR, s->req.bytes = n;
    virtio_io_buffer(s, n);
    if (in) return S_OK;
    /* Drivers that do not flush expect that what is written is there. */
    if (!b->write_cache || !virtio_has(&b->v, F_FLUSH)) s->req.flags = BLK_FUA;
    return virtio_read(&b->v, &s->chain, HEADER, s->req.buf, (size_t)n) == n ? S_OK : S_IOERR;
}

static enum virtio_io_parse blk_parse(struct virtio *v, struct virtio_io_slot *s)
{
    struct virtio_blk *b = blk_of(v);
    uint8_t header[HEADER], id[ID_SIZE] = {0};
    uint64_t written = 0;
    int status = S_OK;
    if (s->chain.out_bytes < HEADER || !s->chain.in_bytes) {
        virtio_error(v, "a request without header or place for its status");
        return VIRTIO_IO_ANSWERED;
    }
    if (virtio_read(v, &s->chain, 0, header, HEADER) != HEADER) return VIRTIO_IO_ANSWERED;
    s->kind = virtio_get32(v, header) & ~UINT32_C(0x80000000); /* the legacy barrier bit */
    s->req = (struct blk_req){.blk = b->blk, .op = BLK_OP_FLUSH, .buf = s->req.buf};
    switch (s->kind) {
    case T_IN:
    case T_OUT: status = parse_transfer(b, s, virtio_get64(v, header + 8)); break;
    case T_FLUSH: break;
    case T_DISCARD:
    case T_WRITE_ZEROES: status = parse_range(b, s); break;
    case T_GET_ID:
        if (b->serial) memcpy(id, b->serial, MIN(strlen(b->serial), sizeof id));
        written = virtio_write(v, &s->chain, 0, id,
                               (size_t)MIN(in_capacity(&s->chain), (uint64_t)ID_SIZE));
        finish(v, s, written, S_OK);
        return VIRTIO_IO_ANSWERED;
    default:
        LOG(UNIMP, "virtio-blk: request %u\n", (unsigned)s->kind);
        status = S_UNSUPP;
        break;
    }
    if (status == S_OK) return VIRTIO_IO_SEND;
    finish(v, s, 0, (uint8_t)status);
    return VIRTIO_IO_ANSWERED;
}

static const struct virtio_io_ops blk_io_ops = {.parse = blk_parse, .answer = blk_answer};

static void blk_notify(struct virtio *v, unsigned queue)
{
    virtio_io_notify(&blk_of(v)->io, queue);
}

/* ---- configuration ---- */

static void blk_get_config(struct virtio *v, uint8_t *c)
{
    const struct virtio_blk *b = blk_of(v);
    uint64_t sectors = blk_size(b->blk) / SECTOR,
             cylinders = MIN(sectors / (16 * 63), UINT64_C(16383));
    uint32_t unit = b->logical / SECTOR;
    unsigned exp = 0;
    while (b->logical << exp < b->physical)
        exp++;
    virtio_put64(v, c + CFG_CAPACITY, sectors);
    virtio_put32(v, c + CFG_SEG_MAX, b->queue_size - 2u);
    virtio_put16(v, c + CFG_CYLINDERS, (uint16_t)cylinders);
    c[CFG_HEADS] = 16, c[CFG_SECTORS] = 63;
    virtio_put32(v, c + CFG_BLK_SIZE, b->logical);
    c[CFG_PHYSICAL_EXP] = (uint8_t)exp;
    c[CFG_WCE] = b->write_cache;
    virtio_put16(v, c + CFG_NUM_QUEUES, b->n_queues);
    virtio_put32(v, c + CFG_MAX_DISCARD, MAX_RANGE_SECTORS / unit * unit);
    virtio_put32(v, c + CFG_MAX_DISCARD_SEG, 1);
    virtio_put32(v, c + CFG_DISCARD_ALIGN, unit);
    virtio_put32(v, c + CFG_MAX_ZERO, MAX_RANGE_SECTORS / unit * unit);
    virtio_put32(v, c + CFG_MAX_ZERO_SEG, 1);
    c[CFG_ZERO_UNMAP] = 1;
}

static void blk_set_config(struct virtio *v, const uint8_t *c, unsigned offset, unsigned size)
{
    if (offset <= CFG_WCE && CFG_WCE < offset + size) blk_of(v)->write_cache = c[CFG_WCE] & 1;
}

/* ---- life ---- */

static void blk_class_reset(struct virtio *v)
{
    struct virtio_blk *b = blk_of(v);
    virtio_io_reset(&b->io);
    b->write_cache = b->write_cache_prop;
}

static bool power_of_2(uint32_t x, uint32_t min, uint32_t max)
{
    return x >= min && x <= max && !(x & (x - 1));
}

static int blk_realize(struct virtio *v, struct error *e)
{
    struct virtio_blk *b = blk_of(v);
    static const uint8_t always[] = {F_SEG_MAX, F_GEOMETRY, F_BLK_SIZE,
                                     F_FLUSH,   F_TOPOLOGY, F_CONFIG_WCE};
    const char *name = v->dev->desc->name;
    if (!b->blk) return error_set(e, "%s: drive property not set", name);
    if (!b->n_queues || b->n_queues > MAX_QUEUES)
        return error_set(e, "%s: num-queues must be between 1 and %u", name, MAX_QUEUES);
    if (!power_of_2(b->queue_size, 4, VIRTIO_MAX_SIZE))
        return error_set(e, "%s: invalid queue-size property (%u), must be a power of 2 (max %u)",
                         name, b->queue_size, VIRTIO_MAX_SIZE);
    if (!power_of_2(b->logical, 512, 32768) || !power_of_2(b->physical, b->logical, 1 << 21))
        return error_set(
            e, "%s: block sizes must be powers of 2, from 512 on, the physical one not less", name);
    if (!blk_size(b->blk)) return error_set(e, "%s: image '%s' is empty", name, blk_path(b->blk));
    if (b->serial && strlen(b->serial) > ID_SIZE)
        return error_set(e, "%s: a serial number has at most %u characters", name, ID_SIZE);
    for (unsigned i = 0; i < sizeof always; i++)
        v->host_features |= VIRTIO_BIT(always[i]);
    if (blk_readonly(b->blk)) v->host_features |= VIRTIO_BIT(F_RO);
    if (b->n_queues > 1) v->host_features |= VIRTIO_BIT(F_MQ);
    if (b->discard) v->host_features |= VIRTIO_BIT(F_DISCARD);
    if (b->write_zeroes) v->host_features |= VIRTIO_BIT(F_WRITE_ZEROES);
    for (unsigned i = 0; i < b->n_queues; i++)
        virtio_add_queue(v, b->queue_size);
    return virtio_io_init(&b->io, &b->v, &blk_io_ops, 0, e);
}

static void blk_unrealize(struct virtio *v)
{
    virtio_io_free(&blk_of(v)->io);
}

static int blk_post_load(struct virtio *v, struct error *e)
{
    return virtio_io_post_load(&blk_of(v)->io, e);
}

const struct virtio_class virtio_blk_class = {
    .name = "virtio-blk",
    .id = 2,
    .config_size = CFG_SIZE,
    .realize = blk_realize,
    .unrealize = blk_unrealize,
    .post_load = blk_post_load,
    .get_config = blk_get_config,
    .set_config = blk_set_config,
    .notify = blk_notify,
    .reset = blk_class_reset,
};

const struct state_field virtio_blk_state[] = {
    STATE_STRUCT(struct virtio_blk, v, 1, virtio_state),
    STATE_PROP(struct virtio_blk, blk),
    STATE_PROP(struct virtio_blk, serial),
    STATE_PROP(struct virtio_blk, n_queues),
    STATE_PROP(struct virtio_blk, queue_size),
    STATE_PROP(struct virtio_blk, write_cache_prop),
    STATE_PROP(struct virtio_blk, discard),
    STATE_PROP(struct virtio_blk, write_zeroes),
    STATE_PROP(struct virtio_blk, logical),
    STATE_PROP(struct virtio_blk, physical),
    STATE_INT(struct virtio_blk, write_cache),
    STATE_STRUCT(struct virtio_blk, io, 1, virtio_io_state),
    STATE_END,
};
