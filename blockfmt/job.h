/*
 * job.h - long work on the graph while devices go on: commit, stream, mirror, backup. The engine only: whoever runs a
 * job (a tool, the monitor) calls blk_job_step from one thread of its choice until it says that the job is done, then
 * blk_job_finish in the thread that owns the graph.
 *
 *   struct blk_job *j = blk_job_stream(b, base, NULL, &opts, &e);
 *   while ((rc = blk_job_step(j)) == 0) sleep for blk_job_delay(j) milliseconds;     (a step before its time does nothing)
 *   rc = blk_job_finish(j, &e);      (or blk_job_run, which does both)
 *   blk_job_free(j);
 *
 * Guest requests may run beside blk_job_step. While blk_job_finish runs, no request of the backends concerned is in
 * flight: it changes edges of the graph. Making, finishing and freeing belong to the owning thread.
 */
#ifndef BLOCKFMT_JOB_H
#define BLOCKFMT_JOB_H

#include "blockfmt/block.h"

struct blk_job;

enum blk_sync {
    BLK_SYNC_FULL, /* all that can be read */
    BLK_SYNC_TOP,  /* what the top layer holds */
    BLK_SYNC_NONE, /* only what changes from now on */
    BLK_SYNC_BITMAP /* what `bitmap` says; it is cleared by a backup that succeeds */
};
/* What becomes of a job when a piece cannot be read or written. Nothing is lost by any: what was not copied is tried again
 * (a little later), and a stream that could not copy all of it leaves the chain as it is and fails at its end. */
enum blk_job_error {
    BLK_JOB_REPORT, /* it fails */
    BLK_JOB_IGNORE, /* it goes on */
    BLK_JOB_STOP,   /* it waits for blk_job_resume */
    BLK_JOB_ENOSPC  /* STOP when there is no room, else REPORT */
};
enum blk_job_state {
    BLK_JOB_RUNNING,
    BLK_JOB_PAUSED,  /* by blk_job_pause */
    BLK_JOB_STOPPED, /* by an error */
    BLK_JOB_READY,   /* nothing left for now: blk_job_finish completes it */
    BLK_JOB_FAILED,  /* or cancelled; blk_job_finish says why */
    BLK_JOB_OVER     /* finished */
};

struct blk_job_opts {
    uint64_t speed;             /* bytes a second; 0: no limit */
    enum blk_sync sync;         /* mirror, backup */
    struct blk_bitmap *bitmap;  /* with BLK_SYNC_BITMAP */
    enum blk_job_error on_source_error, on_target_error;
    /* Told of each error, with what is done about it (REPORT, IGNORE or STOP), by the thread that steps; may be NULL. */
    void (*error)(void *opaque, bool read, enum blk_job_error action, int rc);
    void (*progress)(void *opaque, uint64_t done, uint64_t total); /* after each step; may be NULL */
    void *opaque;
};

/* Moves what top and the images below it, down to base, hold into base (NULL: the backing of top), and takes them out
 * of the chain: whoever used top uses base then (what that image says of its backing becomes backing_name, or base's
 * name). top is the backend's root, or an image below it. NULL + *e. */
struct blk_job *blk_job_commit(struct blk_backend *, struct blk_node *top, struct blk_node *base, const char *backing_name,
                               const struct blk_job_opts *, struct error *);
/* The same for the tools: only the data; the graph stays. */
struct blk_job *blk_job_commit_data(struct blk_backend *, struct blk_node *base, const struct blk_job_opts *, struct error *);
/* All of it at once, for `commit`: what the backend's top image holds goes to its backing file (which is opened for writing
 * meanwhile) and from the top. Requests may go on. -ENOTSUP without a backing file. */
int blk_commit(struct blk_backend *, struct error *);
/* Copies what images below the root hold (down to, but without, base; NULL: all) into the root, whose backing becomes
 * base. */
struct blk_job *blk_job_stream(struct blk_backend *, struct blk_node *base, const char *backing_name,
                               const struct blk_job_opts *, struct error *);
/* Copies to target, again where the guest wrote meanwhile. pivot: finishing lets the backend use the target. The
 * target stays the caller's. */
struct blk_job *blk_job_mirror(struct blk_backend *, struct blk_backend *target, bool pivot, const struct blk_job_opts *,
                               struct error *);
/* Copies the state of this moment: what the guest overwrites is saved first. */
struct blk_job *blk_job_backup(struct blk_backend *, struct blk_backend *target, const struct blk_job_opts *, struct error *);

/* "report", "ignore", "stop", "enospc". -EINVAL */
int blk_job_parse_error(const char *, enum blk_job_error *);
/* 0: more to do, or paused; 1: nothing left (mirror: for now, in step with the guest); -errno: failed or -ECANCELED. */
int blk_job_step(struct blk_job *);
/* Ends the job: changes the graph when all went well, after doing what is left without a limit of speed. 0 or -errno; -EBUSY:
 * it is paused or stopped, and still there (unless it has been cancelled). */
int blk_job_finish(struct blk_job *, struct error *);
/* Steps, waits and finishes. */
int blk_job_run(struct blk_job *, struct error *);
void blk_job_cancel(struct blk_job *);                   /* any thread: the next step fails, of a paused job too */
void blk_job_pause(struct blk_job *);                    /* any thread: no step does anything until as many resumes; */
void blk_job_resume(struct blk_job *);                   /* one undoes a stop as well */
enum blk_job_state blk_job_state(const struct blk_job *); /* any thread */
void blk_job_set_speed(struct blk_job *, uint64_t speed); /* any thread */
unsigned blk_job_delay(const struct blk_job *);          /* milliseconds until the next step may run */
void blk_job_progress(const struct blk_job *, uint64_t *done, uint64_t *total); /* any thread */
const char *blk_job_type(const struct blk_job *);        /* "commit", "stream", ... */
void blk_job_free(struct blk_job *);                     /* cancels what has not finished */

#endif
