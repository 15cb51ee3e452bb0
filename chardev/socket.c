/*
 * socket.c - TCP, Unix-domain and UDP sockets as character backends; the telnet protocol (RFC 854, 857, 858,
 * options echo and suppress-go-ahead as a server) on top of TCP.
 *
 * Servers take one connection at a time and listen again when it ends. Clients may reconnect.
 */
#include "chardev/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

enum { IAC = 255, DONT = 254, DO = 253, WONT = 252, WILL = 251, SB = 250, TEL_BREAK = 243, SE = 240 };
enum telnet_state { TEL_DATA, TEL_IAC, TEL_OPTION, TEL_SUB, TEL_SUB_IAC };

struct sock {
    struct chardev *c;
    struct fd_input in;
    int fd, listen_fd;          /* -1: none */
    struct loop_fd *accept_watch, *connect_watch;
    struct loop_timer *retry;
    uint64_t reconnect_ns;      /* 0: never */
    bool server, wait, telnet, nodelay;
    enum telnet_state tel;
    char *name;                 /* "tcp:host:port" or "unix:path" */
    char *unix_path;            /* to remove when a server ends */
    struct opts opts;           /* for connecting again */
};

static void set_nonblock(int fd)
{
    int fl = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, fl | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void sock_listen_again(struct sock *s);
static void try_connect(void *opaque);

static void sock_lost(struct chardev *c)
{
    struct sock *s = c->data;
    bool was_open = c->open;

    fd_input_stop(&s->in);
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    if (s->server) sock_listen_again(s);
    else if (s->reconnect_ns) loop_timer_arm(s->retry, s->reconnect_ns);
    if (was_open) chr_event(c, CHR_CLOSED);
}

/* Takes the telnet commands out of the input. */
static int telnet_filter(struct chardev *c, uint8_t *buf, int n)
{
    struct sock *s = c->data;
    int out = 0;

    for (int i = 0; i < n; i++) {
        uint8_t b = buf[i];
        switch (s->tel) {
        case TEL_DATA:
            if (b == IAC) s->tel = TEL_IAC;
            else buf[out++] = b;
            break;
        case TEL_IAC:
            s->tel = TEL_DATA;
            if (b == IAC) buf[out++] = b;
            else if (b == TEL_BREAK) chr_event(c, CHR_BREAK);
            else if (b >= WILL) s->tel = TEL_OPTION;
            else if (b == SB) s->tel = TEL_SUB;
            break;
        case TEL_OPTION: s->tel = TEL_DATA; break;
        case TEL_SUB:
            if (b == IAC) s->tel = TEL_SUB_IAC;
            break;
        case TEL_SUB_IAC: s->tel = b == SE ? TEL_DATA : TEL_SUB; break;
        }
    }
    return out;
}

static void sock_connected(struct sock *s, int fd)
{
    int one = 1;

    s->fd = fd;
    s->tel = TEL_DATA;
    set_nonblock(fd);
    if (s->nodelay) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
#ifdef SO_NOSIGPIPE
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof one);
#endif
    s->in.eof = sock_lost;
    s->in.filter = s->telnet ? telnet_filter : NULL;
    if (s->telnet && s->server) {
        /* We echo, and neither side waits for go-ahead: a terminal then sends characters, not lines. */
        static const uint8_t hello[] = { IAC, WILL, 1, IAC, WILL, 3, IAC, WILL, 0, IAC, DO, 0 };
        ssize_t k = send(fd, hello, sizeof hello, MSG_NOSIGNAL);
        (void)k;
    }
    fd_input_start(&s->in, s->c, fd);
    chr_event(s->c, CHR_OPENED);
}

/* ---- server ----------------------------------------------------------------------------------- */

static void sock_accept(void *opaque, unsigned events)
{
    struct sock *s = opaque;
    int fd = accept(s->listen_fd, NULL, NULL);

    if (fd < 0) return;
    /* One peer at a time: the next waits in the queue. */
    loop_fd_events(s->accept_watch, 0);
    sock_connected(s, fd);
}

static void sock_listen_again(struct sock *s)
{
    if (s->accept_watch) loop_fd_events(s->accept_watch, LOOP_IN);
}

static int sock_wait(struct chardev *c, struct error *e)
{
    struct sock *s = c->data;

    if (!s->server || !s->wait || c->open) return 0;
    error_info("waiting for connection on: disconnected:%s,server", s->name);
    while (!c->open) {
        loop_poll(chr_loop(c), UINT64_C(1000000000));
        if (loop_interrupted(chr_loop(c))) return error_set(e, "interrupted");
    }
    return 0;
}

/* ---- addresses -------------------------------------------------------------------------------- */

static int unix_address(const char *path, struct sockaddr_un *un, struct error *e)
{
    memset(un, 0, sizeof *un);
    un->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof un->sun_path) return error_set(e, "socket path '%s' is too long", path);
    strcpy(un->sun_path, path);
    return 0;
}

/* -1 + error; frees nothing of the caller's. */
static struct addrinfo *resolve(const char *host, const char *port, int type, bool passive,
                                const struct opts *o, struct error *e)
{
    struct addrinfo hint, *list = NULL;
    int rc;

    /* The library may take a number modulo 65536. */
    if (port && *port && !port[strspn(port, "0123456789")] && strtoul(port, NULL, 10) > 65535) {
        error_set(e, "address '%s:%s': a port is at most 65535", host ? host : "", port);
        return NULL;
    }
    memset(&hint, 0, sizeof hint);
    hint.ai_socktype = type;
    hint.ai_family = AF_UNSPEC;
    if (opts_bool(o, "ipv4", false) && !opts_bool(o, "ipv6", false)) hint.ai_family = AF_INET;
    if (opts_bool(o, "ipv6", false) && !opts_bool(o, "ipv4", false)) hint.ai_family = AF_INET6;
    if (passive) hint.ai_flags = AI_PASSIVE;
    if (passive && !host) hint.ai_family = hint.ai_family == AF_UNSPEC ? AF_INET : hint.ai_family;
    rc = getaddrinfo(host, port, &hint, &list);
    if (rc) {
        error_set(e, "address '%s:%s': %s", host ? host : "", port, gai_strerror(rc));
        return NULL;
    }
    return list;
}

/* A listening or connecting descriptor for one of the addresses. */
static int open_one(const struct sockaddr *sa, socklen_t len, bool server, bool *pending)
{
    int fd = socket(sa->sa_family, SOCK_STREAM, 0), one = 1, rc;

    if (fd < 0) return -1;
    set_nonblock(fd);
    *pending = false;
    if (server) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        rc = bind(fd, sa, len) || listen(fd, 1);
    } else {
        rc = connect(fd, sa, len);
        if (rc && errno == EINPROGRESS) rc = 0, *pending = true;
    }
    if (rc) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int open_tcp(struct sock *s, bool *pending, struct error *e)
{
    const char *host = opts_get(&s->opts, "host"), *port = opts_get(&s->opts, "port");
    uint64_t first = 0, last;
    int fd = -1;

    if (host && !*host) host = NULL;
    if (!host && !s->server) host = "localhost";
    /* to=: the first free port of a range */
    if (s->server && opts_get(&s->opts, "to") && !opt_parse_number("port", port, 65535, &first, NULL)) {
        last = opts_number(&s->opts, "to", first);
    } else {
        last = first;
    }
    for (uint64_t p = first; fd < 0 && p <= last; p++) {
        char num[24];
        struct addrinfo *list, *a;

        snprintf(num, sizeof num, "%llu", (unsigned long long)p);
        list = resolve(host, first != last ? num : port, SOCK_STREAM, s->server, &s->opts, e);
        if (!list) return -1;
        for (a = list; a && fd < 0; a = a->ai_next) {
            fd = open_one(a->ai_addr, a->ai_addrlen, s->server, pending);
        }
        freeaddrinfo(list);
    }
    if (fd < 0) {
        error_set(e, "could not %s %s: %s", s->server ? "listen on" : "connect to", s->name, strerror(errno));
    }
    return fd;
}

static int open_unix(struct sock *s, bool *pending, struct error *e)
{
    const char *path = opts_get(&s->opts, "path");
    struct sockaddr_un un;
    int fd;

    if (unix_address(path, &un, e)) return -1;
    /* A socket that an earlier run left behind; never anything else. */
    if (s->server) {
        bool dummy;
        int probe = open_one((struct sockaddr *)&un, sizeof un, false, &dummy);
        if (probe >= 0) {
            close(probe);
            return error_set(e, "socket '%s' is in use", path);
        }
        if (errno == ECONNREFUSED) unlink(path);
    }
    fd = open_one((struct sockaddr *)&un, sizeof un, s->server, pending);
    if (fd < 0) {
        error_set(e, "could not %s '%s': %s", s->server ? "listen on" : "connect to", path, strerror(errno));
    } else if (s->server) {
        s->unix_path = mem_strdup(path);
    }
    return fd;
}

/* ---- client ----------------------------------------------------------------------------------- */

static void connect_done(void *opaque, unsigned events)
{
    struct sock *s = opaque;
    int fd = s->fd, err = 0;
    socklen_t len = sizeof err;

    loop_fd_remove(s->connect_watch);
    s->connect_watch = NULL;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err) {
        error_warn("chardev '%s': could not connect to %s: %s", s->c->id, s->name, strerror(err));
        sock_lost(s->c);
    } else {
        sock_connected(s, fd);
    }
}

static int start_connect(struct sock *s, struct error *e)
{
    bool pending = false;
    int fd = opts_get(&s->opts, "path") ? open_unix(s, &pending, e) : open_tcp(s, &pending, e);

    if (fd < 0) return -1;
    s->fd = fd;
    if (pending && !s->reconnect_ns) {
        /* Without reconnect a connection that cannot be made is the user's error: find out now. */
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        int err = 0;
        socklen_t len = sizeof err;
        while (poll(&p, 1, 1000) <= 0) {
            if (loop_interrupted(chr_loop(s->c))) break;
        }
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
        if (err) {
            close(fd);
            s->fd = -1;
            return error_set(e, "could not connect to %s: %s", s->name, strerror(err));
        }
        pending = false;
    }
    if (pending) s->connect_watch = loop_fd_add(chr_loop(s->c), fd, LOOP_OUT, connect_done, s);
    else sock_connected(s, fd);
    return 0;
}

static void try_connect(void *opaque)
{
    struct sock *s = opaque;
    if (start_connect(s, NULL)) loop_timer_arm(s->retry, s->reconnect_ns);
}

/* ---- the backend ------------------------------------------------------------------------------ */

static void sock_close(struct chardev *c)
{
    struct sock *s = c->data;

    fd_input_stop(&s->in);
    loop_fd_remove(s->accept_watch);
    loop_fd_remove(s->connect_watch);
    loop_timer_delete(s->retry);
    if (s->fd >= 0) close(s->fd);
    if (s->listen_fd >= 0) close(s->listen_fd);
    if (s->unix_path) unlink(s->unix_path);
    mem_free(s->unix_path);
    mem_free(s->name);
    opts_free(&s->opts);
    mem_free(s);
    c->data = NULL;
}

static int sock_open(struct chardev *c, const struct opts *o, struct error *e)
{
    const char *path = opts_get(o, "path"), *port = opts_get(o, "port"), *host = opts_get(o, "host");
    struct sock *s;
    bool pending;
    int rc = 0;

    if (!path == !port) return error_set(e, "a socket needs either path= or port=");
    if (opts_get(o, "tls-creds")) return error_set(e, "tls-creds is not supported yet");
    if (opts_bool(o, "server", false) && opts_get(o, "reconnect")) {
        return error_set(e, "'reconnect' option is incompatible with socket in server listen mode");
    }
    c->data = s = NEW(struct sock);
    s->c = c;
    s->fd = s->listen_fd = -1;
    s->server = opts_bool(o, "server", false);
    s->wait = opts_bool(o, "wait", s->server);
    s->telnet = opts_bool(o, "telnet", false);
    s->nodelay = !path && opts_bool(o, "nodelay", opts_bool(o, "delay", true) ? false : true);
    s->reconnect_ns = MIN(opts_number(o, "reconnect", 0), 86400) * UINT64_C(1000000000);
    s->name = path ? mem_printf("unix:%s", path)
                   : mem_printf("%s:%s:%s", s->telnet ? "telnet" : "tcp", host ? host : "", port);
    for (unsigned i = 0; i < o->n; i++) opts_set(&s->opts, o->v[i].name, o->v[i].value);
    s->retry = loop_timer_new(chr_loop(c), try_connect, s);
    if (!s->server) {
        rc = start_connect(s, s->reconnect_ns ? NULL : e);
        if (rc && s->reconnect_ns) {
            loop_timer_arm(s->retry, s->reconnect_ns);
            rc = 0;
        }
    } else {
        s->listen_fd = path ? open_unix(s, &pending, e) : open_tcp(s, &pending, e);
        if (s->listen_fd < 0) rc = -1;
        else s->accept_watch = loop_fd_add(chr_loop(c), s->listen_fd, LOOP_IN, sock_accept, s);
    }
    if (rc) sock_close(c);
    return rc;
}

static int sock_write(struct chardev *c, const uint8_t *buf, int n)
{
    struct sock *s = c->data;
    ssize_t k;

    if (!c->open || s->fd < 0) return -1;
    if (s->telnet) {
        /* A data byte 255 is written twice; bytes up to the next one go out as they are. */
        const uint8_t *iac = memchr(buf, IAC, (size_t)n);
        static const uint8_t two[2] = { IAC, IAC };
        if (iac == buf) {
            k = send(s->fd, two, 2, MSG_NOSIGNAL);
            if (k == 1) {
                uint8_t b = IAC;
                struct pollfd p = { .fd = s->fd, .events = POLLOUT };
                poll(&p, 1, 1000);
                k = send(s->fd, &b, 1, MSG_NOSIGNAL);
            }
            if (k > 0) return 1;
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        }
        if (iac) n = (int)(iac - buf);
    }
    k = send(s->fd, buf, (size_t)n, MSG_NOSIGNAL);
    if (k < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
    return (int)k;
}

static void sock_resume(struct chardev *c) { fd_input_resume(&((struct sock *)c->data)->in); }
static void sock_attached(struct chardev *c, bool yes)
{
    if (yes) sock_resume(c);
}

static void sock_describe(const struct chardev *c, char *buf, size_t size)
{
    const struct sock *s = c->data;
    snprintf(buf, size, "%s%s%s", c->open ? "" : "disconnected:", s->name, s->server ? ",server" : "");
}

static int sock_out_fd(const struct chardev *c) { return ((const struct sock *)c->data)->fd; }

static const struct opt_desc sock_opts[] = {
    { "host", OPT_STRING, "address to connect to, or to listen on" },
    { "port", OPT_STRING, "TCP port, number or name" },
    { "path", OPT_STRING, "path of a Unix-domain socket" },
    { "to", OPT_NUMBER, "last port to try when listening" },
    { "ipv4", OPT_BOOL, "use IPv4" },
    { "ipv6", OPT_BOOL, "use IPv6" },
    { "nodelay", OPT_BOOL, "send small packets at once" },
    { "delay", OPT_BOOL, "the opposite of nodelay" },
    { "server", OPT_BOOL, "listen instead of connecting" },
    { "wait", OPT_BOOL, "a server waits for its first connection before the guest starts" },
    { "telnet", OPT_BOOL, "speak the telnet protocol" },
    { "reconnect", OPT_NUMBER, "seconds after which a client connects again (0: never)" },
    { "tls-creds", OPT_STRING, "credentials object (not supported yet)" },
    { NULL, OPT_STRING, NULL },
};

const struct chr_ops chr_socket = {
    .name = "socket", .help = "TCP or Unix-domain socket, client or server", .opts = sock_opts,
    .open = sock_open, .close = sock_close, .write = sock_write, .accept_input = sock_resume,
    .attached = sock_attached, .wait = sock_wait, .describe = sock_describe, .out_fd = sock_out_fd,
};

/* ---- UDP -------------------------------------------------------------------------------------- */

static int udp_open(struct chardev *c, const struct opts *o, struct error *e)
{
    const char *host = opts_get(o, "host"), *port = opts_get(o, "port"), *lport = opts_get(o, "localport");
    struct addrinfo *remote, *local;
    struct sock *s;
    int fd;

    if (!port) return error_set(e, "udp needs port=");
    remote = resolve(host ? host : "localhost", port, SOCK_DGRAM, false, o, e);
    if (!remote) return -1;
    fd = socket(remote->ai_family, SOCK_DGRAM, 0);
    if (fd < 0) {
        freeaddrinfo(remote);
        return error_set(e, "could not make a UDP socket: %s", strerror(errno));
    }
    if (lport || opts_get(o, "localaddr")) {
        local = resolve(opts_get(o, "localaddr"), lport ? lport : "0", SOCK_DGRAM, true, o, e);
        if (!local || bind(fd, local->ai_addr, local->ai_addrlen)) {
            if (local) error_set(e, "could not bind UDP port %s: %s", lport ? lport : "", strerror(errno));
            if (local) freeaddrinfo(local);
            freeaddrinfo(remote);
            close(fd);
            return -1;
        }
        freeaddrinfo(local);
    }
    if (connect(fd, remote->ai_addr, remote->ai_addrlen)) {
        error_set(e, "could not reach '%s:%s': %s", host ? host : "", port, strerror(errno));
        freeaddrinfo(remote);
        close(fd);
        return -1;
    }
    freeaddrinfo(remote);
    c->data = s = NEW(struct sock);
    s->c = c;
    s->fd = fd;
    s->listen_fd = -1;
    s->name = mem_printf("udp:%s:%s", host ? host : "", port);
    set_nonblock(fd);
    fd_input_start(&s->in, c, fd);
    c->open = true;
    return 0;
}

/* A refused datagram is no reason to end. */
static int udp_write(struct chardev *c, const uint8_t *buf, int n)
{
    struct sock *s = c->data;
    ssize_t k = send(s->fd, buf, (size_t)MIN(n, 1400), MSG_NOSIGNAL);
    if (k < 0) return errno == EAGAIN ? 0 : -1;
    return (int)k;
}

static const struct opt_desc udp_opts[] = {
    { "host", OPT_STRING, "where to send (default localhost)" },
    { "port", OPT_STRING, "port to send to" },
    { "localaddr", OPT_STRING, "address to receive on" },
    { "localport", OPT_STRING, "port to receive on" },
    { "ipv4", OPT_BOOL, "use IPv4" },
    { "ipv6", OPT_BOOL, "use IPv6" },
    { NULL, OPT_STRING, NULL },
};

const struct chr_ops chr_udp = {
    .name = "udp", .help = "UDP datagrams", .opts = udp_opts, .open = udp_open, .close = sock_close,
    .write = udp_write, .accept_input = sock_resume, .attached = sock_attached, .describe = sock_describe,
    .out_fd = sock_out_fd,
};
