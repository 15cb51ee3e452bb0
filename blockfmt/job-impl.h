/*
 * job-impl.h - the insides of jobs, for job.c and job-stream.c.
 */
#ifndef BLOCKFMT_JOB_IMPL_H
#define BLOCKFMT_JOB_IMPL_H

#include "blockfmt/graph.h"
#include "blockfmt/job.h"

#define JOB_CHUNK (1u << 20) /* bytes of one step at most */
#define JOB_GRAIN (1u << 16) /* what the bitmap of work left counts in */

struct job_kind {
    const char *name;
    int (*step)(struct blk_job *);
    int (*finish)(struct blk_job *, int rc, struct error *); /* rc: how it went; always called once */
};

struct blk_job {
    const struct job_kind *kind;
    struct blk_backend *blk;
    struct blk_job_opts opts;
    struct blk_node *source, *target; /* referenced */
    struct blk_bitmap *todo, *taken;
    char *backing_name;
    bool pivot, was_readonly, finished, empty; /* empty: what was committed goes from the top */
    int rc;                           /* why it failed */
    uint64_t cursor, moved, next_at;  /* moved: bytes of this step */
    atomic_bool cancelled, stopped, ready, over;
    atomic_uint paused;
    _Atomic int failed;               /* as rc, for other threads */
    _Atomic uint64_t retime;          /* the speed is another: counted */
    uint64_t timed;                   /* the last one seen */
    bool hurry;                       /* finishing: no limit, no pause */
    bool writing;                     /* what failed was a write to the target */
    int skipped;                      /* stream: the error that was ignored */
    _Atomic uint64_t speed, done, total;
    pthread_mutex_t lock;             /* backup: of todo and the copying */
    uint8_t *buf;
};

struct blk_job *job_new(const struct job_kind *, struct blk_backend *, const struct blk_job_opts *);

#endif
