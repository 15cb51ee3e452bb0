/*
 * nbd-client.h - the client's side of the NBD negotiation, for the driver "nbd" and for listing exports.
 */
#ifndef BLOCKFMT_NBD_CLIENT_H
#define BLOCKFMT_NBD_CLIENT_H

#include "blockfmt/nbd-proto.h"

struct tls_creds;

struct nbd_request_for {
    const char *export;       /* its name, "" for the default one */
    struct tls_creds *tls;    /* NULL: plain */
    const char *tls_hostname; /* NULL: not checked */
    const char *context;      /* metadata context to ask for, "base:allocation"; NULL: none */
};

/* What the server says of an export. */
struct nbd_export_info {
    uint64_t size;
    unsigned flags;                 /* enum nbd_export_flags */
    uint32_t min_block, preferred_block, max_block;
    bool structured, blocks_told;
    bool has_context;
    uint32_t context_id;
};

/* Negotiates up to the transmission phase. 0 or -errno with a message. The channel's deadline applies. */
int nbd_negotiate(struct nbd_chan *, const struct nbd_request_for *, struct nbd_export_info *, struct error *);

struct nbd_listed {
    const char *name, *description; /* "" none */
    struct nbd_export_info info;
    bool told;                      /* info was given */
    unsigned context_count;
    char **contexts;
};
/* Asks what there is; calls `each` for every export, after the last with how many there are in all: listed NULL. */
int nbd_list_exports(struct nbd_chan *, struct tls_creds *, const char *tls_hostname,
                     void (*each)(void *opaque, const struct nbd_listed *, unsigned count), void *opaque, struct error *);

#endif
