/*
 * graph.h - the insides of nodes and backends, for the files that make up the core (graph.c, open.c, io.c,
 * backend.c, bitmap.c). Drivers use driver.h.
 */
#ifndef BLOCKFMT_GRAPH_H
#define BLOCKFMT_GRAPH_H

#include "blockfmt/driver.h"

#include <stdatomic.h>

/* A use of a node: by a parent node or by a backend. */
struct blk_edge {
    char role[24];
    struct blk_node *child;
    struct blk_node *parent;     /* NULL: a backend's or the graph's */
    unsigned perm, shared;
    struct blk_edge *next;       /* the parent's next child */
    struct blk_edge *next_user;  /* the child's next user */
};

struct blk_node {
    struct blk_graph *graph;
    struct blk_node *next;       /* in order of opening */
    char *name, *filename, *backing_file, *backing_format;
    const struct blk_driver *drv;
    void *state;
    bool opened;                 /* drv->open has succeeded */
    bool named;                  /* by the user */
    unsigned flags;              /* enum blk_flags */
    unsigned refs;
    struct blk_edge *children, *users;
    struct blk_node *file;       /* the child "file", looked up once */
    struct blk_node *backing;    /* the child "backing" */
    _Atomic uint64_t size;
    uint32_t request_align, max_transfer, zero_align;
    pthread_rwlock_t gate;       /* see driver.h: who is inside the driver */
    pthread_mutex_t fly_lock;    /* of: */
    unsigned flying;             /* requests inside without a thread (driver.h, struct blk_flight) */
    pthread_cond_t landed;       /* the last of them has landed */
    struct blk_bitmap *bitmaps;
    atomic_bool marking;         /* there are bitmaps */
    void (*before)(void *opaque, uint64_t offset, uint64_t n); /* called before what is there changes (backup) */
    void *before_opaque;
};

struct blk_object {
    struct blk_object *next;
    char *type, *id;
    void *object;
    void (*release)(void *);
};

struct blk_graph {
    struct blk_node *nodes;
    struct blk_object *objects;
    unsigned serial;             /* of automatic names */
};

struct blk_backend {
    struct blk_graph *graph;
    bool own_graph;
    struct blk_node *root;
    struct blk_edge *edge;
    unsigned flags;
    char *path;
    enum blk_on_error on_read_error, on_write_error;
    void (*told)(void *opaque, const struct blk_io_error *);
    void *told_opaque;
};

/* graph.c */
struct blk_node *node_new(struct blk_graph *, const char *name, struct error *);
void node_ref(struct blk_node *);
/* Checks rights against all users and tells the protocol; NULL + *e. */
struct blk_edge *edge_new(struct blk_node *child, struct blk_node *parent, const char *role, unsigned perm,
                          unsigned shared, struct error *);
void edge_delete(struct blk_edge *); /* and gives up the reference */
/* Another child in the place of the one that parent has as `role`; NULL: none. Requests of the parent wait. */
int edge_move(struct blk_node *parent, const char *role, struct blk_node *to, struct error *);
/* The backend's root becomes another node; no request of it is in flight. */
int backend_move(struct blk_backend *, struct blk_node *to, struct error *);
/* fn NULL: no more. One at a time. */
void node_before_write(struct blk_node *, void (*fn)(void *, uint64_t, uint64_t), void *opaque);
void node_child_perm(const struct blk_node *parent, const char *role, unsigned *perm, unsigned *shared);

/* backend.c: sets and clears flags of a node and what lies under it (not its backing). */
int node_reopen(struct blk_node *, unsigned set, unsigned clear, struct error *);

/* open.c: takes nothing over; the node has one reference, the caller's. protocol: no probing, no format. */
struct blk_node *node_open(struct blk_graph *, const struct opts *, unsigned flags, bool protocol, struct error *);
struct blk_node *node_snapshot(struct blk_graph *, struct blk_node *base, unsigned flags, struct error *);

/* create.c: are these options of `amend -o`? */
int node_check_amend(const struct blk_driver *, const struct opts *, struct error *);

/* io.c */
void node_lock(struct blk_node *, bool reads);
void node_lock_all(struct blk_node *);    /* nobody is inside, and nothing is in flight */
void node_lock_threads(struct blk_node *); /* no thread is inside; flights go on: for looking at what they do not change */
void node_unlock(struct blk_node *);
/* Bytes of `n` from offset, which lie at `at` of its file, come from another file. */
int node_copy(struct blk_node *n, uint64_t offset, struct blk_node *file, uint64_t at, struct blk_node *from, uint64_t from_at,
              uint64_t len);

/* A request of a backend as a flight: 0, or -EAGAIN. */
int blk_flight_start(struct blk_flight *, const struct blk_req *);
/* In any thread. Without `wait`, false where a driver has to be asked again: it has landed in the nodes below that one. */
bool blk_flight_land(struct blk_flight *, bool wait);

/* bitmap.c */
/* With the node's gate held, in whichever way. */
void bitmaps_mark(struct blk_node *, uint64_t offset, uint64_t n);
void bitmaps_resize(struct blk_node *, uint64_t size);

#endif
