/*
 * test-block-aio.c - asynchronous requests with every engine (aio=threads, native, io_uring) on raw and qcow2, beside
 * what makes nodes be alone: bigger and smaller images, reopening, snapshots, jobs' bitmaps; and callbacks that wait.
 * Every sector is compared with a copy in memory at the end.
 */
#include "blockfmt/aio.h"
#include "tests/count.h"

#include <stdlib.h>
#include <unistd.h>

enum { SIZE = 4 << 20, DEPTH = 48, ROUNDS = 12, STEP = 4096 };

struct slot {
    struct blk_req req;
    struct run *run;
    uint8_t *buf;
    unsigned unit; /* of STEP bytes, or UINT32_MAX: no request */
};

struct run {
    struct blk_ctx *ctx;
    struct blk_backend *blk;
    struct slot slots[DEPTH];
    uint8_t *copy;      /* what the disk should hold */
    bool busy[SIZE / STEP], sync_in_callback;
    uint64_t rng;
    unsigned wrong, finished;
};

static unsigned pick(struct run *t, unsigned n)
{
    t->rng = t->rng * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(t->rng >> 33) % n;
}

static void submit(struct slot *s);

static void done(struct blk_req *r)
{
    struct slot *s = r->opaque;
    struct run *t = s->run;

    if (r->rc) t->wrong++;
    else if (r->op == BLK_OP_READ && memcmp(s->buf, t->copy + r->offset, r->bytes)) t->wrong++;
    t->busy[s->unit] = false;
    t->finished++;
    /* A callback may wait for what others in this very round have asked for. */
    if (t->sync_in_callback && pick(t, 8) == 0 && (blk_flush(t->blk) || blk_truncate(t->blk, SIZE, BLK_PREALLOC_OFF, NULL))) t->wrong++;
    if (t->finished < DEPTH * ROUNDS) submit(s);
    else s->unit = UINT32_MAX;
}

static void submit(struct slot *s)
{
    struct run *t = s->run;
    unsigned unit;

    do unit = pick(t, SIZE / STEP); while (t->busy[unit]);
    t->busy[unit] = true, s->unit = unit;
    s->req = (struct blk_req){.blk = t->blk, .op = pick(t, 2) ? BLK_OP_WRITE : BLK_OP_READ, .offset = (uint64_t)unit * STEP,
                              .bytes = STEP, .buf = s->buf, .done = done, .opaque = s};
    if (pick(t, 4) == 0) s->req.offset += 512, s->req.bytes = 1024; /* off the alignment: by a thread */
    if (s->req.op == BLK_OP_WRITE) {
        memset(s->buf, (int)pick(t, 256), STEP);
        memcpy(t->copy + s->req.offset, s->buf, s->req.bytes);
    }
    blk_submit(t->ctx, &s->req);
}

static void disturb(struct run *t, unsigned round, bool qcow2)
{
    struct blk_snapshot sn = {.name = "s", .icount = UINT64_MAX};
    struct error e = ERROR_INIT;
    struct blk_bitmap *m;

    switch (round % 5) {
    case 0: CHECK(!blk_flush(t->blk)); break;
    case 1:
        CHECK(!blk_truncate(t->blk, SIZE + 65536, BLK_PREALLOC_OFF, &e) && !blk_truncate(t->blk, SIZE, BLK_PREALLOC_OFF, &e));
        break;
    case 2:
        m = blk_bitmap_new(blk_root(t->blk), "m", 65536, false, &e);
        CHECK(m != NULL);
        blk_bitmap_delete(m);
        break;
    case 3: CHECK(!blk_reopen(t->blk, blk_flags(t->blk), &e)); break;
    default:
        if (qcow2) CHECK(!blk_snapshot_create(t->blk, &sn, &e) && !blk_snapshot_delete(t->blk, "s", &e));
        break;
    }
    if (e.set) printf("%s\n", e.msg);
    error_clear(&e);
}

static void exercise(const char *dir, const char *format, const char *aio, bool sync_in_callback)
{
    char *path = mem_printf("%s/a.%s", dir, format), *size = mem_printf("%d", SIZE);
    struct opts o = {NULL, 0}, how = {NULL, 0};
    struct error e = ERROR_INIT;
    struct run *t = NEW(struct run);
    uint8_t *back = blk_alloc_aligned(SIZE);
    struct blk_check k = {0};

    opts_set(&o, "size", size);
    opts_set(&how, "file.aio", aio);
    CHECK(!blk_create(NULL, format, path, &o, true, &e));
    t->blk = blk_open_in(NULL, path, format, &how, BLK_NO_FLUSH | BLK_DIRECT, &e);
    CHECK(t->blk != NULL);
    if (!t->blk) printf("%s\n", e.msg), exit(count_report());
    t->ctx = blk_ctx_new(NULL, 4, &e);
    t->copy = blk_alloc_aligned(SIZE);
    for (unsigned i = 0; i < SIZE; i++) t->copy[i] = (uint8_t)(i >> 9);
    CHECK(!blk_write(t->blk, 0, t->copy, SIZE / 2)); /* the rest is not there, or a hole */
    memset(t->copy + SIZE / 2, 0, SIZE / 2);
    t->rng = 1, t->sync_in_callback = sync_in_callback;
    for (unsigned i = 0; i < DEPTH; i++) {
        t->slots[i].run = t, t->slots[i].buf = blk_alloc_aligned(STEP);
        submit(&t->slots[i]);
    }
    for (unsigned round = 0; blk_ctx_pending(t->ctx); round++) {
        blk_ctx_wait(t->ctx);
        if (round % 4 == 3) disturb(t, round / 4, !strcmp(format, "qcow2"));
    }
    CHECK(!t->wrong && t->finished >= DEPTH * ROUNDS);
    CHECK(!blk_read(t->blk, 0, back, SIZE) && !memcmp(back, t->copy, SIZE));
    if (!strcmp(format, "qcow2")) CHECK(!blk_check(t->blk, 0, &k, &e) && !k.corruptions && !k.leaks);
    blk_ctx_delete(t->ctx);
    blk_close(t->blk);
    for (unsigned i = 0; i < DEPTH; i++) blk_free_aligned(t->slots[i].buf);
    blk_free_aligned(t->copy);
    blk_free_aligned(back);
    mem_free(t);
    opts_free(&o);
    opts_free(&how);
    unlink(path);
    mem_free(path);
    mem_free(size);
}

/* A bitmap that is made while writes are in flight has them all, whoever lands them. */
static void test_marks(const char *dir, const char *aio)
{
    char *path = mem_printf("%s/m.raw", dir);
    struct opts o = {NULL, 0}, how = {NULL, 0};
    struct error e = ERROR_INIT;
    struct blk_ctx *c = blk_ctx_new(NULL, 4, &e);
    struct blk_req req[16];
    uint8_t *buf = blk_alloc_aligned(65536);

    memset(buf, 1, 65536);
    opts_set(&o, "size", "2M");
    opts_set(&how, "file.aio", aio);
    CHECK(!blk_create(NULL, "raw", path, &o, true, &e));
    struct blk_backend *b = blk_open_in(NULL, path, "raw", &how, BLK_DIRECT, &e);
    struct blk_bitmap *m = b ? blk_bitmap_new(blk_root(b), "m", 65536, false, &e) : NULL;
    CHECK(m != NULL);
    for (unsigned i = 0; m && i < 16; i++) {
        req[i] = (struct blk_req){.blk = b, .op = BLK_OP_WRITE, .offset = i * UINT64_C(131072), .bytes = 4096, .buf = buf};
        blk_submit(c, &req[i]);
    }
    blk_ctx_drain(c);
    CHECK(m && blk_bitmap_count(m) == 16 * 65536);
    blk_ctx_delete(c);
    if (m) blk_bitmap_delete(m);
    blk_close(b);
    blk_free_aligned(buf);
    opts_free(&o);
    opts_free(&how);
    unlink(path);
    mem_free(path);
}

int main(void)
{
    static const char *const names[] = {"threads", "native", "io_uring"};
    char dir[] = "test-block-aio-XXXXXX"; /* here, not in /tmp, which may be memory without O_DIRECT */
    struct blk_backend *b;
    struct opts how = {NULL, 0}, size = {NULL, 0};
    struct error e = ERROR_INIT;
    char *path;

    if (!mkdtemp(dir)) return printf("no directory for the test\n0 passed, 1 failed\n"), 1;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (i && !aio_find(names[i])) {
            printf("SKIPPED: aio=%s is not built in\n", names[i]);
            continue;
        }
        for (int k = 0; k < 2; k++) {
            exercise(dir, "raw", names[i], k);
            exercise(dir, "qcow2", names[i], k);
        }
        test_marks(dir, names[i]);
    }
    path = mem_printf("%s/x", dir);
    opts_set(&size, "size", "64k");
    CHECK(!blk_create(NULL, "raw", path, &size, true, &e));
    opts_free(&size);
    opts_set(&how, "file.aio", "native");
    b = blk_open_in(NULL, path, "raw", &how, 0, &e);
    CHECK(!b && strstr(e.msg, "requires cache.direct=on"));
    unlink(path);
    mem_free(path);
    opts_free(&how);
    rmdir(dir);
    return count_report();
}
