/*
 * nbd.h - quern-nbd's insides: nbd-device.c (Linux's client), nbd-list.c (-L), nbd-image.c (what is exported).
 */
#ifndef TOOLS_NBD_H
#define TOOLS_NBD_H

#include "blockfmt/nbd-server.h"
#include "tools/shared.h"
#include "util/sock.h"

struct tls_creds;

/* ---- nbd-list.c: prints the exports of a server. 0, or 1 after a message. */
int nbd_print_list(const struct sock_addr *, struct tls_creds *, const char *tls_hostname);

/* ---- nbd-device.c: all 0, or -1 after a message */
struct nbd_device;
/* Opens the device; says so when the host has none of the kind. */
struct nbd_device *nbd_device_open(const char *path);
/* Makes it a client of a connected socket, which is taken over: negotiates, then serves the device in a thread until it
 * is disconnected; then `gone` is called there. */
int nbd_device_attach(struct nbd_device *, int fd, const char *export, void (*gone)(void *), void *opaque);
void nbd_device_detach(struct nbd_device *); /* and frees; NULL: nothing */
int nbd_device_disconnect(const char *path);

/* ---- nbd-image.c */
struct nbd_image {
    const char *name, *format, *load_snapshot;
    bool image_opts;
    unsigned flags;
    uint64_t offset;
    unsigned partition; /* 0: the whole */
};
/* NULL after a message. */
struct blk_backend *nbd_open_image(struct blk_graph *, const struct nbd_image *);

#endif
