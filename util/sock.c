/*
 * sock.c - stream sockets (see sock.h), POSIX.1-2008.
 */
#include "util/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

int sock_addr_from_opts(struct sock_addr *a, const struct opts *o, struct error *e)
{
    const char *type = opts_get(o, "type"), *host = opts_get(o, "host"), *port = opts_get(o, "port"),
               *path = opts_get(o, "path");

    *a = (struct sock_addr){.local = false};
    if (!type) type = path ? "unix" : "inet";
    if (strcmp(type, "unix") && strcmp(type, "inet"))
        return error_set(e, "Invalid parameter '%s' for the type of a socket address", type), -EINVAL;
    a->local = !strcmp(type, "unix");
    if (a->local && (host || port)) return error_set(e, "a Unix socket has neither host nor port"), -EINVAL;
    if (!a->local && path) return error_set(e, "path is only for Unix sockets"), -EINVAL;
    if (a->local && (!path || !*path)) return error_set(e, "Parameter 'path' is missing"), -EINVAL;
    if (path) a->path = mem_strdup(path);
    if (host) a->host = mem_strdup(host);
    if (port) a->port = mem_strdup(port);
    return 0;
}

void sock_addr_free(struct sock_addr *a)
{
    mem_free(a->host);
    mem_free(a->port);
    mem_free(a->path);
    *a = (struct sock_addr){.local = false};
}

/* "host:port" or the path, for messages; caller frees. */
static char *addr_text(const struct sock_addr *a)
{
    if (a->local) return mem_strdup(a->path);
    return mem_printf("%s:%s", a->host && *a->host ? a->host : "localhost", a->port ? a->port : "");
}

void sock_tune(int fd)
{
    int on = 1;

    fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails for Unix sockets, which need it not */
#ifdef SO_NOSIGPIPE
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
}

static int local_addr(const struct sock_addr *a, struct sockaddr_un *un, struct error *e)
{
    *un = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(a->path) >= sizeof un->sun_path)
        return error_set(e, "the socket's path '%s' is longer than %zu bytes", a->path, sizeof un->sun_path - 1),
               -ENAMETOOLONG;
    memcpy(un->sun_path, a->path, strlen(a->path));
    return 0;
}

static int failed(const struct sock_addr *a, const char *what, int rc, struct error *e)
{
    char *text = addr_text(a);
    error_set(e, "Failed to %s '%s': %s", what, text, strerror(-rc));
    mem_free(text);
    return rc;
}

static int resolve(const struct sock_addr *a, bool passive, struct addrinfo **list, struct error *e)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0};
    int rc = getaddrinfo(a->host && *a->host ? a->host : NULL, a->port, &hints, list);

    if (!rc) return 0;
    error_set(e, "address resolution failed for %s:%s: %s", a->host ? a->host : "", a->port ? a->port : "", gai_strerror(rc));
    return -EHOSTUNREACH;
}

int sock_connect(const struct sock_addr *a, struct error *e)
{
    struct addrinfo *list;
    int fd = -1, rc = -EHOSTUNREACH;

    if (a->local) {
        struct sockaddr_un un;
        rc = local_addr(a, &un, e);
        if (rc) return rc;
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fd < 0) return failed(a, "connect to", -errno, e);
        sock_tune(fd);
        do rc = connect(fd, (struct sockaddr *)&un, sizeof un) < 0 ? -errno : 0;
        while (rc == -EINTR);
    } else {
        rc = resolve(a, false, &list, e);
        if (rc) return rc;
        rc = -EHOSTUNREACH;
        for (const struct addrinfo *x = list; x && rc; x = x->ai_next) {
            if (fd >= 0) close(fd);
            fd = socket(x->ai_family, x->ai_socktype, x->ai_protocol);
            if (fd < 0) {
                rc = -errno;
                continue;
            }
            sock_tune(fd);
            rc = connect(fd, x->ai_addr, x->ai_addrlen) < 0 ? -errno : 0;
        }
        freeaddrinfo(list);
    }
    if (!rc) return fd;
    if (fd >= 0) close(fd);
    return failed(a, "connect to", rc, e);
}

/* Is there a socket at the path that nobody answers? */
static bool stale(const struct sockaddr_un *un)
{
    struct stat st;
    bool dead;
    int fd;

    if (lstat(un->sun_path, &st) || !S_ISSOCK(st.st_mode)) return false;
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return false;
    dead = connect(fd, (const struct sockaddr *)un, sizeof *un) < 0 && errno == ECONNREFUSED;
    close(fd);
    return dead;
}

int sock_listen(const struct sock_addr *a, int *fds, int max, struct error *e)
{
    struct addrinfo *list;
    int n = 0, rc, on = 1;

    if (a->local) {
        struct sockaddr_un un;
        rc = local_addr(a, &un, e);
        if (rc) return rc;
        if (stale(&un)) unlink(un.sun_path);
        fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fds[0] < 0) return failed(a, "listen on", -errno, e);
        fcntl(fds[0], F_SETFD, FD_CLOEXEC);
        if (!bind(fds[0], (struct sockaddr *)&un, sizeof un) && !listen(fds[0], 128)) return 1;
        rc = -errno;
        close(fds[0]);
        return failed(a, "listen on", rc, e);
    }
    rc = resolve(a, true, &list, e);
    if (rc) return rc;
    rc = -EADDRNOTAVAIL;
    for (const struct addrinfo *x = list; x && n < max; x = x->ai_next) {
        int fd = socket(x->ai_family, x->ai_socktype, x->ai_protocol);
        if (fd < 0) {
            rc = -errno;
            continue;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
#ifdef IPV6_V6ONLY
        if (x->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
#endif
        if (!bind(fd, x->ai_addr, x->ai_addrlen) && !listen(fd, 128)) {
            fds[n++] = fd;
            continue;
        }
        rc = -errno;
        close(fd);
    }
    freeaddrinfo(list);
    return n ? n : failed(a, "listen on", rc, e);
}

ptrdiff_t sock_recv(int fd, void *buf, size_t n)
{
    ssize_t k;
    do k = recv(fd, buf, n, 0);
    while (k < 0 && errno == EINTR);
    return k < 0 ? -errno : k;
}

ptrdiff_t sock_send(int fd, const void *buf, size_t n)
{
    ssize_t k;
    do k = send(fd, buf, n, MSG_NOSIGNAL);
    while (k < 0 && errno == EINTR);
    return k < 0 ? -errno : k;
}
