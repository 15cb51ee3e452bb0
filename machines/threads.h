/*
 * threads.h - a machine with one host thread for each CPU (-accel ...,thread=multi).
 *
 * CPUs run at the same time, guest time is the host's, and no two runs are equal. Devices, the clock and the board are one
 * thread's at a time: whoever holds the machine. All calls do nothing in a machine whose CPUs take turns (machines/run.c).
 */
#ifndef MACHINES_THREADS_H
#define MACHINES_THREADS_H

#include "machines/machine.h"

/* Holds the machine for devices to be used by `cpu`, in its thread (m->running is it meanwhile), or NULL: by the main thread.
 * May be nested. Not with the engine's locks held. */
void machine_lock(struct machine *, struct cpu *);
void machine_unlock(struct machine *);

/* Main thread, which holds the machine: when it returns no CPU is in guest code, nor comes there until the release. For looking at
 * CPUs, memory by virtual addresses, resetting, saving. May be nested. Guest time goes on, but m->idle_ns is made what the CPUs' instruction
 * counts need to give the time of now. */
void machine_hold(struct machine *);
void machine_release(struct machine *);

/* CPUs ask what lies at an address without holding the machine: so the map has a lock of its own, which is taken last. */
void machine_map_lock(struct machine *, bool change);
void machine_map_unlock(struct machine *);

/* For the main thread's event loop: called before (waits) and after it waits for the host. */
void machine_host_waits(struct machine *, bool waits);

/* machines/ only: runs as machine_run does. */
int machine_run_threads(struct machine *);
/* Guest time begins or ceases to follow the host's clock; held. */
void machine_threads_live(struct machine *, bool live);
/* Any thread that holds the machine: the main thread is to look at the clock and the events. */
void machine_threads_wake(struct machine *);

#endif
