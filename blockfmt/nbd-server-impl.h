/*
 * nbd-server-impl.h - what the files of the NBD server share: nbd-server.c (exports, clients), nbd-handshake.c (the
 * choice of an export), nbd-session.c (requests).
 */
#ifndef BLOCKFMT_NBD_SERVER_IMPL_H
#define BLOCKFMT_NBD_SERVER_IMPL_H

#include "blockfmt/nbd-proto.h"
#include "blockfmt/nbd-server.h"

#include <pthread.h>

enum { NBD_MAX_CONTEXTS = 66 }; /* allocation, depth, and bitmaps */
enum { CTX_ALLOCATION, CTX_DEPTH, CTX_BITMAP };

struct nbd_export {
    struct nbd_export *next;
    char *name, *description;
    struct blk_backend *blk;
    bool writable, depth, removed;
    unsigned users;             /* clients that chose it */
    unsigned bitmap_count;
    struct blk_bitmap *bitmaps[NBD_MAX_CONTEXTS - CTX_BITMAP];
    char *bitmap_names[NBD_MAX_CONTEXTS - CTX_BITMAP];
    /* Filled before clients see it. */
    uint64_t size;
};

struct nbd_client {
    struct nbd_server *server;
    struct nbd_client *next;
    struct nbd_chan chan;
    struct nbd_export *export;  /* NULL: not chosen yet */
    bool structured, no_zeroes;
    bool contexts[NBD_MAX_CONTEXTS]; /* chosen, by number */
    char context_export[NBD_MAX_STRING + 1]; /* for which export */
    bool has_contexts;
};

struct nbd_server {
    struct nbd_server_config cfg;
    pthread_mutex_t lock;
    pthread_cond_t changed;     /* clients and their exports */
    struct nbd_export *exports;
    struct nbd_client *clients;
    unsigned client_count, threads;
    bool stopping;
    int wake[2];                /* of the thread that accepts */
    int listen_fds[16];
    unsigned listen_count;
    bool accepting;             /* that thread is there */
    pthread_t acceptor;
};

void nbd_say(struct nbd_server *, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* By name, with a use of it that nbd_export_put gives back. NULL: none. */
struct nbd_export *nbd_export_get(struct nbd_server *, const char *name);
void nbd_export_put(struct nbd_server *, struct nbd_export *);
unsigned nbd_export_flags(const struct nbd_server *, const struct nbd_export *, bool structured);

/* nbd-handshake.c: 0 when client->export is set and requests may come; -errno when the client is to be dropped. */
int nbd_handshake(struct nbd_client *);
/* nbd-session.c: until the client leaves. */
void nbd_session(struct nbd_client *);

#endif
