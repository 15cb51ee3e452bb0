/*
 * loop.h - the host event loop: file descriptors, one-shot timers in host time, wake-ups from other
 * threads and signal handlers.
 *
 * Guest time is not known here (bus/clock.h). All calls except loop_wake and loop_interrupt are made
 * in the thread that polls, or while it waits and lets others do so (loop_on_wait). Callbacks may add and remove anything, themselves included.
 */
#ifndef UTIL_LOOP_H
#define UTIL_LOOP_H

#include "util/error.h"

struct loop;
struct loop_fd;
struct loop_timer;

enum loop_events { LOOP_IN = 1, LOOP_OUT = 2, LOOP_HUP = 4 /* error or hang-up; always reported */ };

/* NULL on error. */
struct loop *loop_new(struct error *e);
void loop_delete(struct loop *);

/* Watches fd (which stays the caller's) for `events` (enum loop_events; 0 = do not watch at all now). */
struct loop_fd *loop_fd_add(struct loop *, int fd, unsigned events,
                            void (*fn)(void *opaque, unsigned events), void *opaque);
void loop_fd_events(struct loop_fd *, unsigned events);
void loop_fd_remove(struct loop_fd *); /* NULL: nothing */

struct loop_timer *loop_timer_new(struct loop *, void (*fn)(void *opaque), void *opaque);
void loop_timer_arm(struct loop_timer *, uint64_t ns_from_now); /* moves it when armed */
void loop_timer_delete(struct loop_timer *); /* NULL: nothing */

/* Waits at most max_wait_ns (0: just look) for something to happen and calls what it concerns. */
void loop_poll(struct loop *, uint64_t max_wait_ns);

/* Makes a loop_poll that waits, or the next one, return. Any thread; async-signal safe. */
void loop_wake(struct loop *);
/* The same, and loop_interrupted() is true from now on: long waits elsewhere (a full pipe) give up. */
void loop_interrupt(struct loop *);
bool loop_interrupted(const struct loop *);

/* Called before (true) and after loop_poll waits, when other threads may use the loop: add and remove, arm and change. */
void loop_on_wait(struct loop *, void (*fn)(void *opaque, bool waits), void *opaque);

uint64_t loop_now_ns(void); /* monotonic host time */

#endif
