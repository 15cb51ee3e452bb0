/*
 * lockstep.h - what -lockstep says: two engines that are compared. Machines are compared in machines/lockstep.c, processes in
 * user/lockstep.c.
 */
#ifndef INTERP_LOCKSTEP_H
#define INTERP_LOCKSTEP_H

#include "interp/engine.h"

struct lockstep_config {
    char name[2][64];                /* as the user wrote them */
    struct engine_config engine[2];
    uint64_t every;                  /* instructions between comparisons */
    uint64_t limit;                  /* end after so many; 0: none */
    char *write, *replay;            /* files: of a difference; to begin with (NULL: none) */
};

/* "ref,native:threshold=1,every=10000" or "a=ref,b=native,...", on top of what -accel said (base). 0 or -1. */
int lockstep_parse(struct lockstep_config *, const char *text, const struct engine_config *base, struct error *);
void lockstep_config_free(struct lockstep_config *);

#endif
