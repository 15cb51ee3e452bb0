/*
 * fd.c - backends over plain descriptors: null, file, pipe, pty, a host's serial port, and stdio; and the
 * input side with flow control that sockets use too. Ring buffers, which have no descriptor, live here as well.
 */
#include "chardev/backend.h"
#include "chardev/term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

/* ---- input with flow control ------------------------------------------------------------------ */

static void fd_input_ready(void *opaque, unsigned events)
{
    struct fd_input *in = opaque;
    uint8_t buf[1024];
    int room = chr_can_receive(in->c);
    ssize_t n;

    if (!room) {
        /* Watching on would spin; chr_accept_input starts it again. */
        loop_fd_events(in->watch, 0);
        return;
    }
    n = read(in->fd, buf, (size_t)MIN(room, (int)sizeof buf));
    /* ECONNREFUSED: an earlier UDP datagram had no taker. */
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED)) return;
    if (n <= 0) {
        struct chardev *c = in->c;
        fd_input_stop(in);
        if (in->eof) in->eof(c);
        return;
    }
    if (in->filter) n = in->filter(in->c, buf, (int)n);
    if (n > 0) chr_receive(in->c, buf, (int)n);
}

void fd_input_start(struct fd_input *in, struct chardev *c, int fd)
{
    in->c = c;
    in->fd = fd;
    in->watch = loop_fd_add(chr_loop(c), fd, LOOP_IN, fd_input_ready, in);
}

void fd_input_stop(struct fd_input *in)
{
    loop_fd_remove(in->watch);
    in->watch = NULL;
}

void fd_input_resume(struct fd_input *in)
{
    if (in->watch) loop_fd_events(in->watch, LOOP_IN);
}

int fd_write_some(int fd, const uint8_t *buf, int n)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    ssize_t k;

    /* Descriptors such as standard output are shared with other processes, so they cannot be made
     * non-blocking: look first, and write what a pipe takes without blocking. */
    if (poll(&p, 1, 0) <= 0) return 0;
    k = write(fd, buf, (size_t)MIN(n, 512));
    if (k < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return (int)k;
}

/* ---- backends with an input and an output descriptor -------------------------------------------- */

struct fd_chr {
    struct fd_input in;
    int in_fd, out_fd; /* may be the same; -1: none */
    bool isig;         /* stdio */
    char *path;
    struct loop_timer *retry; /* pty: looks for a reader */
};

static int fd_write(struct chardev *c, const uint8_t *buf, int n)
{
    struct fd_chr *f = c->data;
    return f->out_fd < 0 ? -1 : fd_write_some(f->out_fd, buf, n);
}

static void fd_resume(struct chardev *c) { fd_input_resume(&((struct fd_chr *)c->data)->in); }

static void fd_attached(struct chardev *c, bool yes)
{
    if (yes) fd_resume(c);
}

static int fd_out(const struct chardev *c) { return ((struct fd_chr *)c->data)->out_fd; }

static void fd_close(struct chardev *c)
{
    struct fd_chr *f = c->data;

    fd_input_stop(&f->in);
    loop_timer_delete(f->retry);
    if (f->in_fd > 2) close(f->in_fd);
    if (f->out_fd > 2 && f->out_fd != f->in_fd) close(f->out_fd);
    mem_free(f->path);
    mem_free(f);
}

static struct fd_chr *fd_new(struct chardev *c, int in_fd, int out_fd, const char *path)
{
    struct fd_chr *f = NEW(struct fd_chr);
    f->in_fd = in_fd, f->out_fd = out_fd;
    f->path = path ? mem_strdup(path) : NULL;
    c->data = f;
    c->open = true;
    if (in_fd > 2) fcntl(in_fd, F_SETFD, FD_CLOEXEC);
    if (out_fd > 2) fcntl(out_fd, F_SETFD, FD_CLOEXEC);
    if (in_fd >= 0) fd_input_start(&f->in, c, in_fd);
    return f;
}

static int need_path(const struct opts *o, const char **path, struct error *e)
{
    *path = opts_get(o, "path");
    return *path && **path ? 0 : error_set(e, "no path given");
}

/* ---- null ------------------------------------------------------------------------------------- */

const struct chr_ops chr_null = { .name = "null", .help = "takes everything, gives nothing" };

/* ---- file ------------------------------------------------------------------------------------- */

static int file_open(struct chardev *c, const struct opts *o, struct error *e)
{
    const char *path, *input = opts_get(o, "input-path");
    int how = opts_bool(o, "append", false) ? O_APPEND : O_TRUNC, in = -1, out;

    if (need_path(o, &path, e)) return -1;
    out = open(path, O_WRONLY | O_CREAT | how, 0666);
    if (out < 0) return error_set(e, "could not open '%s': %s", path, strerror(errno));
    if (input && (in = open(input, O_RDONLY | O_NONBLOCK)) < 0) {
        error_set(e, "could not open '%s': %s", input, strerror(errno));
        close(out);
        return -1;
    }
    fd_new(c, in, out, path);
    return 0;
}

static const struct opt_desc file_opts[] = {
    { "path", OPT_STRING, "file to write" },
    { "append", OPT_BOOL, "keep what it holds" },
    { "input-path", OPT_STRING, "file to read input from" },
    { NULL, OPT_STRING, NULL },
};

const struct chr_ops chr_file = {
    .name = "file", .help = "output to a file", .opts = file_opts, .open = file_open, .close = fd_close,
    .write = fd_write, .accept_input = fd_resume, .attached = fd_attached, .out_fd = fd_out,
};

/* ---- pipe ------------------------------------------------------------------------------------- */

static int pipe_open(struct chardev *c, const struct opts *o, struct error *e)
{
    const char *path;
    char *in_name, *out_name;
    int in, out;

    if (need_path(o, &path, e)) return -1;
    in_name = mem_printf("%s.in", path);
    out_name = mem_printf("%s.out", path);
    /* Opened for both directions so that neither side has to wait for the other. */
    in = open(in_name, O_RDWR | O_NONBLOCK);
    out = open(out_name, O_RDWR | O_NONBLOCK);
    mem_free(in_name);
    mem_free(out_name);
    if (in < 0 || out < 0) {
        if (in >= 0) close(in);
        if (out >= 0) close(out);
        in = out = open(path, O_RDWR | O_NONBLOCK);
        if (in < 0) {
            error_set(e, "could not open '%s': %s", path, strerror(errno));
            return error_hint(e, "Make the pipes first: mkfifo %s.in %s.out", path, path);
        }
    }
    fd_new(c, in, out, path);
    return 0;
}

static const struct opt_desc path_opts[] = {
    { "path", OPT_STRING, "path" },
    { NULL, OPT_STRING, NULL },
};

const struct chr_ops chr_pipe = {
    .name = "pipe", .help = "named pipes PATH.in and PATH.out", .opts = path_opts, .open = pipe_open,
    .close = fd_close, .write = fd_write, .accept_input = fd_resume, .attached = fd_attached,
    .out_fd = fd_out,
};

/* ---- pty -------------------------------------------------------------------------------------- */

enum { PTY_RETRY_NS = 500000000 };

static bool pty_has_reader(struct fd_chr *f)
{
    struct pollfd p = { .fd = f->out_fd, .events = POLLOUT };
    return poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
}

/* Nobody has the other side open: reading says EIO until somebody does. */
static void pty_eof(struct chardev *c)
{
    struct fd_chr *f = c->data;
    if (c->open) chr_event(c, CHR_CLOSED);
    loop_timer_arm(f->retry, PTY_RETRY_NS);
}

static void pty_retry(void *opaque)
{
    struct chardev *c = opaque;
    struct fd_chr *f = c->data;

    if (!pty_has_reader(f)) {
        loop_timer_arm(f->retry, PTY_RETRY_NS);
        return;
    }
    fd_input_start(&f->in, c, f->in_fd);
    chr_event(c, CHR_OPENED);
}

static int pty_write(struct chardev *c, const uint8_t *buf, int n)
{
    struct fd_chr *f = c->data;
    if (!c->open && !pty_has_reader(f)) return -1;
    return fd_write(c, buf, n);
}

static int pty_open(struct chardev *c, const struct opts *o, struct error *e)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY);
    const char *name = fd >= 0 && !grantpt(fd) && !unlockpt(fd) ? ptsname(fd) : NULL;
    struct fd_chr *f;
    struct termios t;
    int slave;

    if (!name) {
        error_set(e, "could not make a pseudo terminal: %s", strerror(errno));
        if (fd >= 0) close(fd);
        return -1;
    }
    slave = open(name, O_RDWR | O_NOCTTY);
    if (slave >= 0) {
        if (!tcgetattr(slave, &t)) {
            t.c_iflag &= (tcflag_t) ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
            t.c_oflag &= (tcflag_t)~OPOST;
            t.c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
            t.c_cflag = (t.c_cflag & (tcflag_t) ~(CSIZE | PARENB)) | CS8;
            tcsetattr(slave, TCSANOW, &t);
        }
        close(slave);
    }
    f = fd_new(c, fd, fd, name);
    fd_input_stop(&f->in);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    f->in.eof = pty_eof;
    f->retry = loop_timer_new(chr_loop(c), pty_retry, c);
    c->open = false;
    loop_timer_arm(f->retry, 0);
    error_info("char device redirected to %s (label %s)", name, c->id);
    return 0;
}

static void pty_describe(const struct chardev *c, char *buf, size_t size)
{
    snprintf(buf, size, "pty:%s", ((struct fd_chr *)c->data)->path);
}

const struct chr_ops chr_pty = {
    .name = "pty", .help = "a new pseudo terminal", .open = pty_open, .close = fd_close, .write = pty_write,
    .accept_input = fd_resume, .attached = fd_attached, .describe = pty_describe, .out_fd = fd_out,
};

/* ---- the host's serial ports ------------------------------------------------------------------ */

static int serial_open(struct chardev *c, const struct opts *o, struct error *e)
{
    const char *path;
    struct termios t;
    int fd;

    if (need_path(o, &path, e)) return -1;
    fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return error_set(e, "could not open '%s': %s", path, strerror(errno));
    if (tcgetattr(fd, &t)) {
        error_set(e, "'%s' is not a terminal device", path);
        close(fd);
        return -1;
    }
    t.c_iflag &= (tcflag_t) ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    t.c_oflag &= (tcflag_t)~OPOST;
    t.c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    t.c_cflag = (t.c_cflag & (tcflag_t) ~(CSIZE | PARENB)) | CS8 | CLOCAL | CREAD;
    cfsetispeed(&t, B115200);
    cfsetospeed(&t, B115200);
    tcsetattr(fd, TCSANOW, &t);
    fd_new(c, fd, fd, path);
    return 0;
}

static void serial_describe(const struct chardev *c, char *buf, size_t size)
{
    snprintf(buf, size, "%s", ((struct fd_chr *)c->data)->path);
}

const struct chr_ops chr_serial = {
    .name = "serial", .alias = "tty", .help = "a serial port of the host", .opts = path_opts,
    .open = serial_open, .close = fd_close, .write = fd_write, .accept_input = fd_resume,
    .attached = fd_attached, .describe = serial_describe, .out_fd = fd_out,
};

/* ---- stdio ------------------------------------------------------------------------------------ */

static bool stdio_taken;

static int stdio_open(struct chardev *c, const struct opts *o, struct error *e)
{
    struct fd_chr *f;

    if (stdio_taken) return error_set(e, "standard input and output are already in use");
    stdio_taken = true;
    f = fd_new(c, 0, 1, NULL);
    f->isig = opts_bool(o, "signal", true);
    return 0;
}

static void stdio_attached(struct chardev *c, bool yes)
{
    if (yes) term_raw(((struct fd_chr *)c->data)->isig);
    else term_restore();
    fd_attached(c, yes);
}

static void stdio_close(struct chardev *c)
{
    term_restore();
    stdio_taken = false;
    fd_close(c);
}

static const struct opt_desc stdio_opts[] = {
    { "signal", OPT_BOOL, "^C ends the program instead of reaching the guest" },
    { NULL, OPT_STRING, NULL },
};

const struct chr_ops chr_stdio = {
    .name = "stdio", .help = "standard input and output", .opts = stdio_opts, .open = stdio_open,
    .close = stdio_close, .write = fd_write, .accept_input = fd_resume, .attached = stdio_attached,
    .out_fd = fd_out,
};

/* ---- ring buffer ------------------------------------------------------------------------------ */

struct ringbuf { uint8_t *data; uint32_t size, head, tail; }; /* head: next to write; both count freely */

static int ring_open(struct chardev *c, const struct opts *o, struct error *e)
{
    uint64_t size = opts_size(o, "size", 65536);
    struct ringbuf *r;

    if (!size || (size & (size - 1)) || size > 1 << 30) {
        return error_set(e, "the size of a ring buffer must be a power of two (at most 1G)");
    }
    r = NEW(struct ringbuf);
    r->size = (uint32_t)size;
    r->data = mem_zalloc((size_t)size);
    c->data = r;
    c->open = true;
    return 0;
}

static void ring_close(struct chardev *c)
{
    struct ringbuf *r = c->data;
    mem_free(r->data);
    mem_free(r);
}

static int ring_write(struct chardev *c, const uint8_t *buf, int n)
{
    struct ringbuf *r = c->data;

    for (int i = 0; i < n; i++) {
        r->data[r->head++ & (r->size - 1)] = buf[i];
        if (r->head - r->tail > r->size) r->tail = r->head - r->size;
    }
    return n;
}

int chr_ringbuf_read(struct chardev *c, uint8_t *buf, unsigned *n, struct error *e)
{
    struct ringbuf *r = c->data;
    unsigned i;

    if (c->ops != &chr_ringbuf) return error_set(e, "%s is not a ringbuf device", c->id);
    for (i = 0; i < *n && r->tail != r->head; i++) buf[i] = r->data[r->tail++ & (r->size - 1)];
    *n = i;
    return 0;
}

int chr_ringbuf_write(struct chardev *c, const uint8_t *buf, unsigned n, struct error *e)
{
    if (c->ops != &chr_ringbuf) return error_set(e, "%s is not a ringbuf device", c->id);
    ring_write(c, buf, (int)n);
    return 0;
}

static const struct opt_desc ring_opts[] = {
    { "size", OPT_SIZE, "bytes kept; a power of two (default 64K)" },
    { NULL, OPT_STRING, NULL },
};

const struct chr_ops chr_ringbuf = {
    .name = "ringbuf", .alias = "memory", .help = "the last bytes, kept in memory", .opts = ring_opts,
    .open = ring_open, .close = ring_close, .write = ring_write,
};
