/*
 * backend.h - making character backends, and what a backend is made of.
 *
 * Front ends (devices, monitors, the gdb stub) need chardev.h only. The program creates backends through
 * a chr_set, from -chardev options or the short device strings of -serial and friends. One file per
 * family of backends; each is one struct chr_ops in the list of chardev.c.
 */
#ifndef CHARDEV_BACKEND_H
#define CHARDEV_BACKEND_H

#include "chardev/chardev.h"
#include "util/loop.h"
#include "util/opts.h"

/* ---- for the program ------------------------------------------------------------------------ */

/* All character backends of a program, by id. */
struct chr_set;
struct chr_set *chr_set_new(struct loop *);
void chr_set_delete(struct chr_set *); /* closes all of them */

/* -chardev BACKEND,id=ID,... NULL on error. Owned by the set. */
struct chardev *chr_new_opts(struct chr_set *, const char *optstring, struct error *e);
/* A device string ("stdio", "tcp::4444,server,nowait", "mon:stdio", "chardev:ID", ...). `id` is the new
 * backend's id. "none" gives *out = NULL. *monitor is set for "mon:" (the backend is then a mux). 0 or -1. */
int chr_new_string(struct chr_set *, const char *id, const char *s, struct chardev **out,
                   bool *monitor, struct error *e);
struct chardev *chr_find(struct chr_set *, const char *id);
/* Refuses (-1) while a front end is attached. */
int chr_remove(struct chr_set *, const char *id, struct error *e);
/* In order of creation: pass NULL first. */
struct chardev *chr_next(struct chr_set *, struct chardev *);
/* "disconnected:tcp:..." and such, for people; into buf. */
void chr_describe(const struct chardev *, char *buf, size_t size);
bool chr_is_mux(const struct chardev *);
/* `-chardev help` */
void chr_list_backends(void (*put)(void *, const char *name, const char *help), void *opaque);

/* Sockets that wait for a first connection (server without nowait) do it here; returns when all are
 * connected, or -1 when interrupted. */
int chr_wait_connected(struct chr_set *, struct error *e);

/* The mux escape character (-echr); 0 turns escapes off. Default 1 (Ctrl-A). */
void chr_set_escape(struct chr_set *, uint8_t c);
/* What the mux's own commands do: C-a x (quit), C-a s (commit); also for the msmouse of the future. */
void chr_set_actions(struct chr_set *, void (*quit)(void *), void (*commit)(void *), void *opaque);
/* Gives the first front end of every mux the focus (after all have attached). Until then a mux's front ends are not told of
 * the focus. */
void chr_focus_first(struct chr_set *);

/* ring buffers: 0, or -1 when the backend is of another kind */
int chr_ringbuf_read(struct chardev *, uint8_t *buf, unsigned *n, struct error *e);
int chr_ringbuf_write(struct chardev *, const uint8_t *buf, unsigned n, struct error *e);

/* ---- for backends --------------------------------------------------------------------------- */

struct chr_ops {
    const char *name, *alias, *help;
    const struct opt_desc *opts;   /* beyond the common ones */
    /* Opens; fills c->data and c->open. 0 or -1 (nothing is left behind). */
    int (*open)(struct chardev *c, const struct opts *, struct error *);
    void (*close)(struct chardev *c);
    /* Bytes taken, 0 when full, -1 when there is no peer (bytes are dropped). NULL: bytes are dropped. */
    int (*write)(struct chardev *c, const uint8_t *buf, int n);
    /* The front end can take input again. May be NULL. */
    void (*accept_input)(struct chardev *c);
    /* A front end came or went. May be NULL. */
    void (*attached)(struct chardev *c, bool yes);
    /* Waits (blocking) until connected. May be NULL. */
    int (*wait)(struct chardev *c, struct error *);
    void (*describe)(const struct chardev *c, char *buf, size_t size); /* may be NULL */
    /* File descriptor to poll for room in a blocking write, or -1. May be NULL */
    int (*out_fd)(const struct chardev *c);
};

struct chardev {
    char *id;
    const struct chr_ops *ops;
    struct chr_set *set;
    struct chardev *next;
    struct chr_frontend fe;
    bool has_fe;
    bool open;                     /* a peer is there */
    struct chardev *mux;           /* the mux that is this backend's front end, or NULL */
    int log_fd;                    /* logfile=, or -1 */
    void *data;                    /* the backend's own */
};

struct loop *chr_loop(const struct chardev *);
/* How much the front end takes now (0 without one), and giving it that much. */
int chr_can_receive(struct chardev *);
void chr_receive(struct chardev *, const uint8_t *buf, int n);
void chr_event(struct chardev *, enum chr_event); /* also keeps c->open */
/* Registers a made backend under id (for mux over another backend); NULL + error for bad or known ids. */
struct chardev *chr_add(struct chr_set *, const char *id, const struct chr_ops *, const struct opts *,
                        struct error *);

/* Input from a descriptor with flow control; used by every backend that has one (fd.c). */
struct fd_input {
    struct chardev *c;
    struct loop_fd *watch;
    int fd;
    void (*eof)(struct chardev *);                     /* end of file or error; may be NULL */
    int (*filter)(struct chardev *, uint8_t *, int n); /* edits what was read; may be NULL */
};
void fd_input_start(struct fd_input *, struct chardev *, int fd);
void fd_input_stop(struct fd_input *);
void fd_input_resume(struct fd_input *); /* from accept_input and attached */
/* One write that does not block, or takes little time: bytes taken, 0 full, -1 error. */
int fd_write_some(int fd, const uint8_t *buf, int n);

extern const struct chr_ops chr_null, chr_file, chr_pipe, chr_ringbuf, chr_stdio, chr_pty, chr_serial,
    chr_socket, chr_udp, chr_mux;
/* mux.c: puts a mux on an existing backend */
struct chardev *chr_mux_over(struct chr_set *, const char *id, struct chardev *lower, struct error *);
int chr_mux_attach(struct chardev *, const struct chr_frontend *, struct error *);
void chr_mux_detach(struct chardev *, void *opaque);
int chr_mux_write(struct chardev *, void *opaque, const uint8_t *buf, int n);
void chr_mux_focus(struct chardev *, unsigned n);
uint8_t chr_set_get_escape(const struct chr_set *);
void chr_set_act(struct chr_set *, char what); /* 'x' or 's' */
bool chr_set_started(const struct chr_set *);

#endif
