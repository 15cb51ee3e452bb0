/*
 * nbd-server.h - a server for the NBD protocol: exports of block backends by name, to any number of clients. It has
 * threads of its own; what it is told by tools and the monitor comes through here.
 */
#ifndef BLOCKFMT_NBD_SERVER_H
#define BLOCKFMT_NBD_SERVER_H

#include "blockfmt/block.h"

struct nbd_server;
struct tls_creds;

struct nbd_server_config {
    struct tls_creds *tls;   /* every client has to use it; NULL: plain. A reference is taken */
    unsigned max_clients;    /* 0: any number; more wait until one leaves */
    unsigned handshake_ms;   /* a client that takes longer to choose an export is dropped; 0: 30 s */
    bool multi_conn;         /* tells clients that several connections see one disk */
    /* Called by threads of the server when a client has come or gone: how many there are. May be NULL. Must not call
     * the server. */
    void (*clients_changed)(void *opaque, unsigned clients);
    /* What clients did wrong, and who came (for -v). Any thread. NULL: quiet. */
    void (*message)(void *opaque, const char *text);
    void *opaque;
};
struct nbd_server *nbd_server_new(const struct nbd_server_config *, struct error *);
/* Stops listening, ends all clients (requests in flight are finished) and forgets the exports. NULL: nothing. */
void nbd_server_delete(struct nbd_server *);

/* Accepts clients from a listening socket, which becomes the server's. */
void nbd_server_listen(struct nbd_server *, int fd);
/* Serves one connection, in a thread; fd becomes the server's. -EAGAIN: no thread could be had. */
int nbd_server_client(struct nbd_server *, int fd);
/* The same in the calling thread, until the client leaves. */
void nbd_server_serve(struct nbd_server *, int fd);

struct nbd_export_config {
    const char *name, *description;      /* description: "" none */
    bool writable;
    bool allocation_depth;               /* offers the context qemu:allocation-depth */
    const char *const *bitmaps;          /* names of bitmaps of the node or its backing chain, NULL-ended; may be NULL */
};
/* blk stays the caller's, and open until the export is gone. -EEXIST, -ENOENT (bitmaps), -EINVAL. */
int nbd_server_add(struct nbd_server *, struct blk_backend *blk, const struct nbd_export_config *, struct error *);
/* hard: ends its clients; otherwise -EBUSY when there are any. Waits until nobody is inside. -ENOENT. */
int nbd_server_remove(struct nbd_server *, const char *name, bool hard, struct error *);

#endif
