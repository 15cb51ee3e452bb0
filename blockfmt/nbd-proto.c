/*
 * nbd-proto.c - errors and flags of the NBD protocol, and its channel (see nbd-proto.h).
 */
#include "blockfmt/nbd-proto.h"
#include "util/loop.h"
#include "util/sock.h"
#include "util/tls.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

enum { IN_SIZE = 64 << 10 };

static const struct { int host; uint32_t wire; } errors[] = {
    {EPERM, 1}, {EIO, 5}, {ENOMEM, 12}, {EINVAL, 22}, {ENOSPC, 28}, {EOVERFLOW, 75}, {ENOTSUP, 95}, {ESHUTDOWN, 108},
};

uint32_t nbd_errno_out(int rc)
{
    if (rc == -EROFS || rc == -EACCES) rc = -EPERM;
    if (rc == -EFBIG || rc == -EDQUOT) rc = -ENOSPC;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        if (errors[i].host == -rc) return errors[i].wire;
    }
    return rc ? 22 : 0;
}

int nbd_errno_in(uint32_t wire)
{
    if (!wire) return 0;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        if (errors[i].wire == wire) return -errors[i].host;
    }
    return -EIO;
}

void nbd_flags_text(unsigned flags, char *buf, size_t room)
{
    static const char *const names[] = {NULL, "readonly", "flush", "fua", "rotational", "trim", "zeroes", "df", "multi",
                                        "resize", "cache", "fast-zero", "block-status-payload"};
    size_t at = 0;

    *buf = 0;
    for (unsigned i = 1; i < ARRAY_LEN(names); i++) {
        if (!(flags >> i & 1) || at >= room) continue;
        int n = snprintf(buf + at, room - at, "%s ", names[i]);
        at += n > 0 ? (size_t)n : 0;
    }
}

/* ---- the channel ---------------------------------------------------------------------------------- */

void nbd_chan_init(struct nbd_chan *c, int fd) { *c = (struct nbd_chan){.fd = fd, .in = mem_alloc(IN_SIZE)}; }

void nbd_chan_close(struct nbd_chan *c, bool goodbye)
{
    tls_end(c->tls, goodbye);
    if (c->fd >= 0) close(c->fd);
    mem_free(c->in);
    *c = (struct nbd_chan){.fd = -1};
}

void nbd_chan_shutdown(struct nbd_chan *c) { shutdown(c->fd, SHUT_RDWR); }

/* Waits for bytes until the deadline. */
static int wait_input(struct nbd_chan *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};

    if (!c->deadline || (c->tls && tls_pending(c->tls))) return 0;
    for (;;) {
        uint64_t now = loop_now_ns();
        if (now >= c->deadline) return -ETIMEDOUT;
        uint64_t ms = (c->deadline - now) / 1000000 + 1;
        int rc = poll(&p, 1, ms > 100000 ? 100000 : (int)ms);
        if (rc > 0) return 0;
        if (rc < 0 && errno != EINTR) return -errno;
    }
}

static ptrdiff_t receive(struct nbd_chan *c, void *buf, size_t n)
{
    int rc = wait_input(c);
    if (rc) return rc;
    return c->tls ? tls_recv(c->tls, buf, n) : sock_recv(c->fd, buf, n);
}

int nbd_chan_read(struct nbd_chan *c, void *buf, size_t n)
{
    uint8_t *p = buf;
    bool some = false;

    while (n) {
        size_t have = MIN(nbd_chan_buffered(c), n);
        ptrdiff_t got;
        if (have) {
            memcpy(p, c->in + c->in_pos, have);
            c->in_pos += have, p += have, n -= have;
            some = true;
            continue;
        }
        c->in_pos = c->in_len = 0;
        /* What is small comes with what follows it. */
        if (n >= IN_SIZE / 2 || c->exact) {
            got = receive(c, p, n);
            if (got > 0) p += got, n -= (size_t)got;
        } else {
            got = receive(c, c->in, IN_SIZE);
            if (got > 0) c->in_len = (size_t)got;
        }
        if (got < 0) return (int)got;
        if (!got) return some ? -ECONNRESET : -ENOTCONN;
        some = true;
    }
    return 0;
}

int nbd_chan_skip(struct nbd_chan *c, uint64_t n)
{
    uint8_t dump[4096];
    int rc = 0;

    while (n && !rc) {
        size_t k = (size_t)MIN(n, (uint64_t)sizeof dump);
        rc = nbd_chan_read(c, dump, k);
        n -= k;
    }
    return rc;
}

int nbd_chan_write(struct nbd_chan *c, const void *buf, size_t n)
{
    const uint8_t *p = buf;

    if (c->tls) {
        ptrdiff_t k = tls_send(c->tls, p, n);
        return k < 0 ? (int)k : 0;
    }
    while (n) {
        ptrdiff_t k = sock_send(c->fd, p, n);
        if (k < 0) return (int)k;
        p += k, n -= (size_t)k;
    }
    return 0;
}

int nbd_chan_write2(struct nbd_chan *c, const void *head, size_t head_len, const void *body, size_t body_len)
{
    struct iovec v[2] = {{(void *)(uintptr_t)head, head_len}, {(void *)(uintptr_t)body, body_len}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    ssize_t k;

    if (!body_len) return nbd_chan_write(c, head, head_len);
    if (c->tls) {
        uint8_t *both = mem_alloc(head_len + body_len);
        memcpy(both, head, head_len);
        memcpy(both + head_len, body, body_len);
        int rc = nbd_chan_write(c, both, head_len + body_len);
        mem_free(both);
        return rc;
    }
    do k = sendmsg(c->fd, &m, MSG_NOSIGNAL);
    while (k < 0 && errno == EINTR);
    if (k < 0) return -errno;
    if ((size_t)k < head_len) {
        int rc = nbd_chan_write(c, (const uint8_t *)head + k, head_len - (size_t)k);
        return rc ? rc : nbd_chan_write(c, body, body_len);
    }
    k -= (ssize_t)head_len;
    return nbd_chan_write(c, (const uint8_t *)body + k, body_len - (size_t)k);
}
