/*
 * gdb.h - the gdb remote serial protocol, server side, for machines and for user-mode processes.
 *
 * The protocol engine (gdb.c) knows a debuggee only through struct gdb_target. gdb-system.c makes one of a machine
 * on a character backend; user mode fills one itself and drives the engine over a blocking TCP socket
 * (gdb-user.c). Follows the GDB manual, appendix "Remote Serial Protocol".
 */
#ifndef MON_GDB_H
#define MON_GDB_H

#include "isa/isa.h"
#include "util/error.h"

enum gdb_break { GDB_BREAK_SW, GDB_BREAK_HW, GDB_WATCH_WRITE, GDB_WATCH_READ, GDB_WATCH_ACCESS };
enum { GDB_SSTEP_ENABLE = 1, GDB_SSTEP_NOIRQ = 2, GDB_SSTEP_NOTIMER = 4 };

/* The debuggee. Threads are numbered from 1. Everything is called while it is stopped, except stop(). */
struct gdb_target {
    void *opaque;
    const struct isa *isa;
    bool big_endian;                      /* byte order of registers in packets */
    unsigned (*n_threads)(void *opaque);
    struct cpu *(*thread)(void *opaque, unsigned n);      /* NULL: there is none of that number */
    int (*thread_id)(void *opaque, unsigned n);           /* NULL: n itself. User mode: the thread's id */
    /* Runs all threads; thread n (0: none) by one instruction only. Returns at once; gdb_stopped() tells the end. */
    void (*resume)(void *opaque, unsigned step_thread, unsigned sstep_flags);
    void (*stop)(void *opaque);                           /* ^C from gdb */
    bool (*running)(void *opaque);
    int (*insert)(void *opaque, enum gdb_break, uint64_t addr, uint64_t len); /* 0, or -1: not possible */
    int (*remove)(void *opaque, enum gdb_break, uint64_t addr, uint64_t len);
    void (*kill)(void *opaque);                           /* `k` */
    void (*detach)(void *opaque);                         /* `D`: breakpoints are gone; run on. May be NULL: resume */
    /* May be NULL: */
    char *(*monitor)(void *opaque, unsigned thread, const char *line); /* qRcmd; allocated */
    char *(*describe_thread)(void *opaque, unsigned n);                /* qThreadExtraInfo; allocated */
    bool (*offsets)(void *opaque, uint64_t *text, uint64_t *data);     /* qOffsets */
    const char *(*exec_file)(void *opaque);                            /* qXfer:exec-file:read */
    bool (*auxv)(void *opaque, const uint8_t **data, size_t *n);       /* qXfer:auxv:read */
};

/* A stop, as it is reported. signo is in gdb's numbering (POSIX's for the common ones: 2 INT, 4 ILL, 5 TRAP, 11 SEGV). */
struct gdb_stop {
    enum { GDB_STOP_SIGNAL, GDB_STOP_EXITED, GDB_STOP_KILLED } kind;
    int signo;                             /* or exit status */
    unsigned thread;
    bool watch;                            /* a watchpoint: */
    enum gdb_break watch_kind;
    uint64_t watch_addr;
};

/* ---- the engine ------------------------------------------------------------------------------- */
struct gdb_stub;
/* `send` gives bytes to the debugger. The target is copied. */
struct gdb_stub *gdb_stub_new(const struct gdb_target *, void (*send)(void *, const uint8_t *, int), void *opaque);
void gdb_stub_delete(struct gdb_stub *);
void gdb_stub_input(struct gdb_stub *, const uint8_t *buf, int n); /* bytes from the debugger */
void gdb_stub_stopped(struct gdb_stub *, const struct gdb_stop *); /* the debuggee stopped by itself or by stop() */
void gdb_stub_connected(struct gdb_stub *, bool yes);              /* a debugger came, or went (breakpoints are removed) */
int gdb_stub_signal(const struct gdb_stub *);                       /* the signal to deliver that the last resume gave; 0: none */

/* ---- system mode (gdb-system.c) ------------------------------------------------------------------- */
struct mon_env;
struct gdb_server;
/* DEV as of -gdb ("tcp::1234", "stdio", "chardev:ID"). NULL + error. */
struct gdb_server *gdb_server_new(struct mon_env *, const char *dev, struct error *);
void gdb_server_delete(struct gdb_server *); /* NULL: nothing */

/* ---- user mode (gdb-user.c) ----------------------------------------------------------------------- */
struct gdb_user;
/* Listens on a TCP port of the loopback address ("1234") or a Unix-domain path ("/...") and waits for one debugger.
 * The target's resume, stop and running are filled in here; the rest by the caller. NULL + error. */
struct gdb_user *gdb_user_wait(const char *where, const struct gdb_target *, struct error *);
/* The process stopped: talks to the debugger until it lets go. *step: the thread to step by one instruction (0: all run).
 * Returns the signal (gdb's number) to deliver to that thread, 0 for none, or -1: the debugger wants the process killed. With
 * GDB_STOP_EXITED or KILLED it only tells the debugger and returns 0. */
int gdb_user_stopped(struct gdb_user *, const struct gdb_stop *, unsigned *step);
/* Has the debugger asked for a stop (^C)? Cheap; to be called now and then by a running thread. */
bool gdb_user_wants_stop(struct gdb_user *);
/* The connection, for waiting on it only; -1 when the debugger is gone */
int gdb_user_fd(const struct gdb_user *);
/* A debugger is attached (false after detach). */
bool gdb_user_attached(const struct gdb_user *);
void gdb_user_delete(struct gdb_user *); /* also in the child after fork: closes only */

#endif
