/*
 * lockstep-private.h - what lockstep.c and lockstep-report.c share.
 */
#ifndef MACHINES_LOCKSTEP_PRIVATE_H
#define MACHINES_LOCKSTEP_PRIVATE_H

#include "machines/lockstep.h"

/* Machines: 0 and 1 are the two; 2 is made for the search: engine 1 with one instruction in a block. */
enum { LS_MACHINES = 3, LS_MEMORIES = 32 };

/* One memory of the machines, and its contents when they were last equal. */
struct ls_memory {
    const char *name;
    uint64_t size;
    uint8_t *p[LS_MACHINES], *equal;
    uint8_t *dirty[LS_MACHINES];     /* by host page: written since */
    uint32_t *list[LS_MACHINES], n[LS_MACHINES];
};

struct lockstep {
    struct lockstep_config cfg;
    struct machine_config machine_cfg;
    struct drive_config *second_drives;
    struct machine *m[LS_MACHINES];
    struct ls_memory mem[LS_MEMORIES];
    unsigned n_mem;
    size_t page;
    struct state_buf equal;          /* everything but memory, when they were last equal */
    uint64_t done;                   /* instructions until then */
    struct ls_port { struct lockstep *ls; struct chardev *real, *twin[LS_MACHINES]; bool wanted; } port[MACHINE_MAX_SERIAL];
    struct ls_twin { struct ls_port *port; unsigned which; } twin[MACHINE_MAX_SERIAL][LS_MACHINES];
    bool quiet;                      /* searching: nothing is sent */
};

/* Machine k goes back to where the two were equal, and n instructions on. */
bool ls_probe(struct lockstep *, unsigned k, uint64_t n, struct error *);
/* Are 0 and k equal now? */
bool ls_equal(struct lockstep *, unsigned k);
/* Both n instructions from the last equal point: do they differ? */
bool ls_differs(struct lockstep *, unsigned k, uint64_t n, struct error *);
/* Machine 2, in the state of the last equal point. */
bool ls_make_third(struct lockstep *, struct error *);
/* They differ n instructions after the last equal point: searches, reports, writes the file. 0, or -1 + error. */
int ls_report(struct lockstep *, uint64_t n, struct error *);

#endif
