/*
 * lockstep.h - what user/lockstep.c and user/lockstep-report.c share.
 */
#ifndef USER_LOCKSTEP_H
#define USER_LOCKSTEP_H

#include "interp/lockstep.h"
#include "user/user.h"

/* 0 is the process, 1 the one that is compared with it, 2 is made for the search: engine 1, one instruction in a block. */
struct ls_side {
    struct uls *ls;
    struct proc *p;
    struct thread *t;
    enum run_exit exit; /* of the last run */
    uint64_t ran;       /* instructions of it */
};

struct uls {
    struct lockstep_config cfg;
    struct ls_side side[3];
    struct cpu *equal;  /* the registers when they were last equal; memory: struct page_track */
    uint64_t done;      /* instructions until then */
    bool left, quiet;   /* no longer compared; all has been said */
};

int uls_make(struct uls *, unsigned k, const struct engine_config *, struct error *);
/* What the first has done with the kernel's help happens to the second; they are equal now. */
void uls_follow(struct uls *);
/* Runs n instructions, or to what ends it before. */
void uls_run(struct ls_side *, uint64_t n);
/* Back to where they were last equal. */
void uls_restore(struct ls_side *);
/* After runs: do they agree? */
bool uls_equal(struct ls_side *a, struct ls_side *b);
/* Both go back and run n instructions: do they differ? */
bool uls_differs(struct uls *, struct ls_side *, uint64_t n);
/* Side 2, in the state in which they were last equal; NULL + error. */
struct ls_side *uls_third(struct uls *, struct error *);
/* They differ n instructions after they were last equal: searches, reports, writes the file. 0, or -1 + error. */
int uls_report(struct uls *, uint64_t n, struct error *);
/* The file: the state in it becomes that of both, *n how far to run. 0, or -1 + error. */
int uls_read(struct uls *, uint64_t *n, struct error *);

#endif
