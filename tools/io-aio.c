/*
 * io-aio.c - quern-io's asynchronous commands: several requests in flight until aio_flush.
 */
#include "tools/io.h"
#include "util/loop.h"

#include <errno.h>
#include <stdio.h>

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

    if (w->invalid) return 0;
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

/* ---- breakpoints: of blkdebug, which has none in this program ---- */

static int no_breakpoints(const char *what)
{
    printf("Could not %s: %s\n", what, strerror(EOPNOTSUPP));
    return -1;
}

int io_break(struct io *io, int argc, char **argv) { return no_breakpoints("set breakpoint"); }
int io_resume(struct io *io, int argc, char **argv) { return no_breakpoints("resume request"); }
int io_wait_break(struct io *io, int argc, char **argv) { return no_breakpoints("wait for a request"); }
int io_remove_break(struct io *io, int argc, char **argv)
{
    printf("Could not remove breakpoint %s: %s\n", argv[1], strerror(EOPNOTSUPP));
    return -1;
}
