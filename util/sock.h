/*
 * sock.h - stream sockets by address: connecting, listening, reading and writing whole messages. No protocol.
 */
#ifndef UTIL_SOCK_H
#define UTIL_SOCK_H

#include "util/opts.h"

/* Where to: a Unix socket (path) or TCP (host, port as text; host NULL or "": this host, or every address). */
struct sock_addr {
    bool local;
    char *host, *port, *path;
};

/* From the keys type (inet or unix; derived when absent), host, port, path. 0 or -EINVAL. */
int sock_addr_from_opts(struct sock_addr *, const struct opts *, struct error *);
void sock_addr_free(struct sock_addr *);

/* A blocking socket, close-on-exec, without Nagle's delay; or -errno. */
int sock_connect(const struct sock_addr *, struct error *);
/* Listening sockets, one for each address that the host name has: how many (at most max), or -errno. A Unix path that
 * exists as a socket nobody listens on is replaced. */
int sock_listen(const struct sock_addr *, int *fds, int max, struct error *);
/* Options of an accepted socket. */
void sock_tune(int fd);

/* recv and send as the host has them, without SIGPIPE, again after EINTR. -errno. */
ptrdiff_t sock_recv(int fd, void *buf, size_t n);
ptrdiff_t sock_send(int fd, const void *buf, size_t n);

#endif
