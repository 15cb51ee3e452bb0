/*
 * monitor.h - the human monitor: commands that inspect and steer a running machine, over a character backend.
 *
 * Not here: the machine protocol (JSON), which shares the machinery below but is a front end of its own.
 */
#ifndef MON_MONITOR_H
#define MON_MONITOR_H

#include "chardev/backend.h"
#include "machines/media.h"

struct monitor;
struct gdb_server;

/* What monitors of one program share. Owned by the program; outlives its monitors. */
struct mon_env {
    struct machine *machine;
    struct loop *loop;
    struct chr_set *chrs;
    struct gdb_server *gdb;   /* NULL: none runs; owned here (mon_env_close) */
    unsigned n_monitors;
    /* Opens an image for a drive as its options say; closes a medium that the machine no longer uses. NULL: media are not
     * changed. */
    struct blk_backend *(*open_medium)(void *, const struct machine_drive *, const char *file, const char *format,
                                       bool read_only, struct error *);
    void (*close_medium)(void *, struct blk_backend *);
    void *media_opaque;
};

/* Makes a monitor on c. NULL + error. */
struct monitor *monitor_new(struct mon_env *, struct chardev *c, struct error *e);
void monitor_delete(struct monitor *); /* NULL: nothing */
/* Runs one command line and gives its output, as for `monitor ...` in a debugger. The caller frees. */
char *monitor_command(struct mon_env *, struct cpu *current, const char *line);

#endif
