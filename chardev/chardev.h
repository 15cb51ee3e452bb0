/*
 * chardev.h - character backends: where a serial port, a monitor or a gdb stub gets and sends bytes.
 *
 * A backend has one front end at a time (mux: up to four). All calls happen in the main loop's thread.
 */
#ifndef CHARDEV_CHARDEV_H
#define CHARDEV_CHARDEV_H

#include "util/error.h"

struct chardev;
enum chr_event { CHR_OPENED, CHR_CLOSED, CHR_BREAK, CHR_MUX_IN, CHR_MUX_OUT };

struct chr_frontend {
    /* How many bytes may be delivered now (0: hold input back; call chr_accept_input when that changes). */
    int (*can_receive)(void *opaque);
    void (*receive)(void *opaque, const uint8_t *buf, int n);
    void (*event)(void *opaque, enum chr_event);  /* may be NULL */
    void *opaque;
};

/* Attaches a front end (mux: adds one, and gives it the focus). 0, or -1 when taken. */
int chr_attach(struct chardev *, const struct chr_frontend *, struct error *);
void chr_detach(struct chardev *, void *opaque);
/* Writes; returns the bytes taken (a backend that is full may take fewer; chr_write_all blocks). `opaque` names the
 * writing front end for a mux; others ignore it. */
int chr_write(struct chardev *, void *opaque, const uint8_t *buf, int n);
void chr_write_all(struct chardev *, void *opaque, const uint8_t *buf, int n);
void chr_accept_input(struct chardev *);
void chr_send_break(struct chardev *);
const char *chr_id(const struct chardev *);

#endif
