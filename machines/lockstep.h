/*
 * lockstep.h - two machines of one configuration under two engines, run in turns and compared: the checker of engines
 * that users have as well (-lockstep).
 *
 * What is compared every N instructions: each CPU's registers and other state, all devices, and the pages of memory that
 * either machine wrote. On a difference both go back to the last point at which they were equal, the first instruction after
 * which they differ is searched for, and a report and a file to replay it are written.
 */
#ifndef MACHINES_LOCKSTEP_H
#define MACHINES_LOCKSTEP_H

#include "interp/lockstep.h"
#include "machines/machine.h"

struct lockstep;
/* Twins of a machine's serial lines: what comes in on `real` goes to both, what the second sends is dropped. For each machine
 * (0, 1, and 2 for the search's) the backend that its configuration gets. NULL for NULL. */
struct lockstep *lockstep_new(const struct lockstep_config *, struct error *);
int lockstep_add_serial(struct lockstep *, unsigned port, struct chardev *real, struct error *);
/* Makes the machines; drives[i] are the second machine's. The first is returned, for whoever steers (signals, host_poll). */
struct machine *lockstep_machines(struct lockstep *, const struct machine_config *, struct drive_config *second_drives,
                                  struct error *);
/* Runs until the guest ends, somebody posts MACHINE_QUIT, the limit is reached, or a difference is found. 0: equal to the end;
 * 1: they differ, and it was reported; -1 + error. */
int lockstep_run(struct lockstep *, struct error *);
void lockstep_delete(struct lockstep *);  /* the machines too */

#endif
