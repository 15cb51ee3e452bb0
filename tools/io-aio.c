/*
 * io-aio.c - quern-io's asynchronous commands: several requests in flight until aio_flush.
 */
#include "tools/io.h"
#include "util/loop.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

struct aio {
    struct blk_req req;
    struct io_rw w;
    uint64_t start;
};

static void aio_done(struct blk_req *r)
{
    struct aio *a = container_of(r, struct aio, req);
    bool read = r->op == BLK_OP_READ;

    if (r->rc) {
        printf("%s failed: %s\n", read ? "readv" : "aio_write", strerror(-r->rc));
    } else {
        if (read) (void)io_verify(&a->w, r->buf);
        if (read && a->w.dump && !a->w.quiet) io_dump(r->buf, r->offset, (size_t)r->bytes);
        if (!a->w.quiet) io_report(read ? "read" : "wrote", loop_now_ns() - a->start, &a->w);
    }
    io_buffer_free(r->buf);
    mem_free(a);
}

enum { MAX_IN_FLIGHT = 256 }; /* each has its buffer */

static int aio_start(struct io *io, const struct io_rw *w, enum blk_op op)
{
    struct aio *a;

    if (w->invalid) return printf("injecting invalid %s request\n", op == BLK_OP_READ ? "read" : "write"), 0;
    a = NEW(struct aio);
    a->w = *w, a->start = loop_now_ns();
    a->req = (struct blk_req){.blk = io->blk, .op = op, .flags = io_write_flags(w), .offset = w->offset, .bytes = w->len,
                              .done = aio_done};
    if (op != BLK_OP_ZERO) a->req.buf = io_buffer(io, w->len);
    if (op == BLK_OP_WRITE) (void)io_fill(w, a->req.buf);
    while (blk_ctx_pending(io->ctx) >= MAX_IN_FLIGHT) blk_ctx_wait(io->ctx);
    blk_submit(io->ctx, &a->req);
    return 0;
}

int io_aio_read(struct io *io, int argc, char **argv)
{
    struct io_rw w;
    return io_parse_rw(argc, argv, "CP:iqv", &w) ? -1 : aio_start(io, &w, BLK_OP_READ);
}

int io_aio_write(struct io *io, int argc, char **argv)
{
    struct io_rw w;
    return io_parse_rw(argc, argv, "CfiP:quz", &w) ? -1 : aio_start(io, &w, w.zero ? BLK_OP_ZERO : BLK_OP_WRITE);
}

int io_aio_flush(struct io *io, int argc, char **argv)
{
    blk_ctx_drain(io->ctx);
    return 0;
}

/* ---- breakpoints: of blkdebug, which may lie anywhere under the image ---- */

static int breakpoint(struct io *io, enum blk_break op, const char *event, const char *tag)
{
    return blk_debug_break(blk_root(io->blk), op, event, tag);
}

void io_release(struct io *io)
{
    if (io->blk) (void)breakpoint(io, BLK_BREAK_NONE, NULL, NULL);
    blk_ctx_drain(io->ctx);
}

int io_break(struct io *io, int argc, char **argv)
{
    int rc = breakpoint(io, BLK_BREAK_SET, argv[1], argv[2]);
    return rc < 0 ? printf("Could not set breakpoint: %s\n", strerror(-rc)), -1 : 0;
}

int io_resume(struct io *io, int argc, char **argv)
{
    int rc = breakpoint(io, BLK_BREAK_RESUME, NULL, argv[1]);
    return rc < 0 ? printf("Could not resume request: %s\n", strerror(-rc)), -1 : 0;
}

int io_wait_break(struct io *io, int argc, char **argv)
{
    int rc = breakpoint(io, BLK_BREAK_ASK, NULL, argv[1]);

    while (!rc) {
        blk_ctx_poll(io->ctx);
        if (!blk_ctx_pending(io->ctx)) return printf("No request is under way that could stop at '%s'\n", argv[1]), -1;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        rc = breakpoint(io, BLK_BREAK_ASK, NULL, argv[1]);
    }
    return rc < 0 ? printf("Could not wait for a request: %s\n", strerror(-rc)), -1 : 0;
}

int io_remove_break(struct io *io, int argc, char **argv)
{
    int rc = breakpoint(io, BLK_BREAK_REMOVE, NULL, argv[1]);
    return rc < 0 ? printf("Could not remove breakpoint %s: %s\n", argv[1], strerror(-rc)), -1 : 0;
}
