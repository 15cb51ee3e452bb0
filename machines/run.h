/*
 * run.h - what the two ways of running a machine share: CPUs that take turns (run.c) and a thread for each (threads.c). Private to
 * machines/.
 */
#ifndef MACHINES_RUN_H
#define MACHINES_RUN_H

#include "machines/machine.h"

/* Guest ns, for the machine's clock. */
uint64_t machine_now(struct machine *);
/* Acts on what was posted. Returns the events that end the run (0: none). */
uint32_t machine_take_events(struct machine *);
/* Has it something to do but wait for an interrupt? */
bool cpu_awake(struct cpu *);

#endif
