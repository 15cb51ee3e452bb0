/*
 * devices.h - for the tests of device models: check macros, backends made here (a character device
 * that records, a disk in memory), and a machine without CPU whose time moves by hand.
 *
 * The backends' functions stand in for those of chardev/ and blockfmt/; included by one file of a
 * test only.
 */
#ifndef TESTS_DEVICES_H
#define TESTS_DEVICES_H

#include "blockfmt/block.h"
#include "bus/dev.h"
#include "chardev/chardev.h"
#include "periph/devices.h"

#include <inttypes.h>
#include <stdio.h>

static unsigned passed, failed;

static inline bool check_(bool ok, const char *what, int line)
{
    if (ok)
        passed++;
    else if (failed++ < 50)
        printf("line %d: %s\n", line, what);
    return ok;
}
static inline bool check_eq(uint64_t a, uint64_t b, const char *what, int line)
{
    if (a == b) return passed++, true;
    if (failed++ < 50)
        printf("line %d: %s is 0x%" PRIx64 ", not 0x%" PRIx64 "\n", line, what, a, b);
    return false;
}
#define CHECK(e) check_((e), #e, __LINE__)
#define EQ(a, b) check_eq((uint64_t)(a), (uint64_t)(b), #a, __LINE__)

/* ---- backends ---- */
struct chardev {
    struct chr_frontend fe;
    bool attached;
    uint8_t out[256];
    unsigned n_out, breaks;
    uint8_t in[64];
    unsigned n_in;
};

int chr_attach(struct chardev *c, const struct chr_frontend *fe, struct error *e)
{
    if (c->attached) return error_set(e, "taken");
    c->fe = *fe;
    c->attached = true;
    return 0;
}
void chr_detach(struct chardev *c, void *opaque)
{
    (void)opaque;
    c->attached = false;
}
int chr_write(struct chardev *c, void *opaque, const uint8_t *buf, int n)
{
    (void)opaque;
    for (int i = 0; i < n; i++)
        if (c->n_out < sizeof c->out) c->out[c->n_out++] = buf[i];
    return n;
}
void chr_write_all(struct chardev *c, void *opaque, const uint8_t *buf, int n)
{
    chr_write(c, opaque, buf, n);
}
void chr_accept_input(struct chardev *c)
{
    while (c->attached && c->n_in) {
        int n = c->fe.can_receive(c->fe.opaque);
        uint8_t buf[64];
        if (n <= 0) return;
        n = MIN(n, (int)c->n_in);
        memcpy(buf, c->in, (size_t)n);
        c->n_in -= (unsigned)n;
        memmove(c->in, c->in + n, c->n_in);
        c->fe.receive(c->fe.opaque, buf, n);
    }
}
void chr_send_break(struct chardev *c)
{
    c->breaks++;
}
const char *chr_id(const struct chardev *c)
{
    (void)c;
    return "test";
}
static inline void feed(struct chardev *c, const char *s, unsigned n)
{
    for (unsigned i = 0; i < n && c->n_in < sizeof c->in; i++)
        c->in[c->n_in++] = (uint8_t)s[i];
    chr_accept_input(c);
}

struct blk_backend {
    uint8_t *data;
    uint64_t size;
    bool readonly;
};
struct blk_backend *blk_open(const char *path, const char *format, unsigned flags, struct error *e)
{
    (void)path, (void)format, (void)flags;
    error_set(e, "no files in this test");
    return NULL;
}
void blk_close(struct blk_backend *b)
{
    (void)b;
}
uint64_t blk_size(const struct blk_backend *b)
{
    return b->size;
}
bool blk_readonly(const struct blk_backend *b)
{
    return b->readonly;
}
const char *blk_path(const struct blk_backend *b)
{
    (void)b;
    return "disk";
}
int blk_read(struct blk_backend *b, uint64_t offset, void *buf, size_t n)
{
    if (offset > b->size || n > b->size - offset) return -5;
    memcpy(buf, b->data + offset, n);
    return 0;
}
int blk_write(struct blk_backend *b, uint64_t offset, const void *buf, size_t n)
{
    if (offset > b->size || n > b->size - offset) return -5;
    memcpy(b->data + offset, buf, n);
    return 0;
}
int blk_flush(struct blk_backend *b)
{
    (void)b;
    return 0;
}

int blk_zero(struct blk_backend *b, uint64_t offset, uint64_t n, unsigned flags)
{
    (void)flags;
    if (offset > b->size || n > b->size - offset) return -5;
    memset(b->data + offset, 0, (size_t)n);
    return 0;
}

struct blk_ctx {
    int none;
};
struct blk_ctx *blk_ctx_new(struct loop *l, unsigned threads, struct error *e)
{
    static struct blk_ctx c;
    (void)l, (void)threads, (void)e;
    return &c;
}
void blk_ctx_delete(struct blk_ctx *c)
{
    (void)c;
}
void blk_ctx_drain(struct blk_ctx *c)
{
    (void)c;
}
void blk_submit(struct blk_ctx *c, struct blk_req *r)
{
    (void)c;
    r->rc = r->op == BLK_OP_READ    ? blk_read(r->blk, r->offset, r->buf, (size_t)r->bytes)
            : r->op == BLK_OP_WRITE ? blk_write(r->blk, r->offset, r->buf, (size_t)r->bytes)
            : r->op == BLK_OP_ZERO ? blk_zero(r->blk, r->offset, r->bytes, 0)
                                    : 0;
    if (r->done) r->done(r);
}
void blk_ctx_wait(struct blk_ctx *c)
{
    (void)c;
}
enum blk_on_error blk_error_action(struct blk_backend *b, bool read, int rc)
{
    (void)b, (void)read, (void)rc;
    return BLK_ON_ERROR_REPORT;
}

/* ---- a machine without CPU: time moves by hand ---- */
static struct machine_bus *mb;
static uint64_t now;
static unsigned resets;

static inline uint64_t read_now(void *opaque)
{
    (void)opaque;
    return now;
}
static inline void on_request(struct machine_bus *m, int what)
{
    (void)m;
    if (what == MB_RESET) resets++;
}
static inline void begin(void)
{
    mb = mb_new(32);
    now = 0;
    resets = 0;
    clock_connect(mb->clock, read_now, NULL, NULL);
    mb->request = on_request;
}
static inline void end(void)
{
    mb_delete(mb);
    mb = NULL;
}
/* Runs all events up to `t`, each at its time. */
static inline void run_to(uint64_t t)
{
    for (unsigned i = 0; i < 2000000 && clock_next(mb->clock) <= t; i++) {
        now = MAX(now, clock_next(mb->clock));
        clock_run(mb->clock, now);
    }
    now = t;
}
static inline void wait_ns(uint64_t ns)
{
    run_to(now + ns);
}

static inline struct device *make(const char *name)
{
    struct error e = ERROR_INIT;
    struct device *d = dev_make(mb, name, NULL, &e);
    if (!CHECK(d != NULL)) printf("%s: %s\n", name, e.msg), exit(1);
    return d;
}
static inline struct device *create(const char *name)
{
    return dev_create(mb, dev_find(name), NULL, NULL);
}
static inline void realize(struct device *d)
{
    struct error e = ERROR_INIT;
    if (!CHECK(dev_realize(d, &e) == 0)) printf("%s: %s\n", d->desc->name, e.msg), exit(1);
}

static inline uint8_t in(unsigned port)
{
    uint64_t v;
    as_read(mb->io, port, 1, &v);
    return (uint8_t)v;
}
static inline void out(unsigned port, unsigned v)
{
    as_write(mb->io, port, 1, v);
}
static inline uint64_t peek(uint64_t addr, unsigned size)
{
    uint64_t v;
    as_read(mb->mem, addr, size, &v);
    return v;
}
static inline void poke(uint64_t addr, unsigned size, uint64_t v)
{
    as_write(mb->mem, addr, size, v);
}
static inline bool line(struct device *d, unsigned n)
{
    return dev_irq(d, n)->level;
}
static inline void pin(struct device *d, unsigned n, bool level)
{
    d->desc->input(d, n, level);
}

/* Counts rising edges. */
static unsigned edges;
static inline void count_edge(void *opaque, unsigned n, bool level)
{
    (void)opaque, (void)n;
    if (level) edges++;
}

#endif
