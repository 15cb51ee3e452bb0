/*
 * test-block-jobs.c - jobs as whoever steers them sees them: speed, pausing, cancelling, completing, and errors of the
 * source and the target with each of report, ignore, stop and enospc. Nothing is lost by any of it: after a job that
 * succeeded its target holds what it should, after one that did not the chain is as it was.
 */
#include "blockfmt/driver.h"
#include "blockfmt/job.h"
#include "tests/count.h"

#include <stdlib.h>
#include <unistd.h>

enum { SIZE = 4 << 20 };
enum kind { COMMIT, STREAM, MIRROR, BACKUP, N_KINDS };
static const char *const names[N_KINDS] = {"commit", "stream", "mirror", "backup"};

static char dir[] = "test-block-jobs-XXXXXX";

struct set {
    struct blk_graph *g;
    struct blk_backend *top, *target;
    uint8_t *want; /* what top shows */
    struct blk_job *job;
};

static unsigned told[2][3]; /* [read][action] */
static void on_error(void *opaque, bool read, enum blk_job_error action, int rc) { told[read][action]++; }

static void make(const char *name, const char *format, const char *backing)
{
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    char *size = mem_printf("%d", SIZE);

    opts_set(&o, "size", size);
    if (backing) opts_set(&o, "backing_file", backing), opts_set(&o, "backing_fmt", "raw");
    CHECK(!blk_create(NULL, format, name, &o, false, &e));
    if (e.set) printf("%s\n", e.msg);
    error_clear(&e);
    opts_free(&o);
    mem_free(size);
}

static struct blk_backend *open_with(struct blk_graph *g, const char *text, unsigned flags)
{
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    struct blk_backend *b = opts_parse(&o, text, NULL, NULL, &e) ? NULL : blk_open_opts(g, &o, flags, &e);

    CHECK(b != NULL);
    if (!b) printf("%s: %s\n", text, e.msg), exit(count_report());
    opts_free(&o);
    return b;
}

/* base.raw below top.qcow2, and target.raw; faults: options of blkdebug for base and for the target, or NULL. */
static void set_up(struct set *s, enum kind k, const char *base_fault, const char *target_fault, const struct blk_job_opts *o)
{
    struct error e = ERROR_INIT;
    struct blk_backend *b;
    char *text;

    memset(told, 0, sizeof told);
    make("base.raw", "raw", NULL);
    make("top.qcow2", "qcow2", "base.raw");
    make("target.raw", "raw", NULL);
    s->g = blk_graph_new();
    s->want = mem_alloc(SIZE);
    for (unsigned i = 0; i < SIZE; i++) s->want[i] = (uint8_t)(i / 777 + 1);
    b = open_with(s->g, "driver=raw,file.driver=file,file.filename=base.raw", 0);
    CHECK(!blk_write(b, 0, s->want, SIZE));
    blk_close(b);
    memset(s->want + (1 << 20), 0xaa, 2 << 20);
    text = mem_printf("driver=qcow2,file.driver=file,file.filename=top.qcow2,backing.driver=raw,backing.file.driver=%s",
                      base_fault ? base_fault : "file,backing.file.filename=base.raw");
    s->top = open_with(s->g, text, 0);
    mem_free(text);
    CHECK(!blk_write(s->top, 1 << 20, s->want + (1 << 20), 2 << 20));
    text = mem_printf("driver=raw,file.driver=%s", target_fault ? target_fault : "file,file.filename=target.raw");
    s->target = open_with(s->g, text, 0);
    mem_free(text);
    struct blk_job_opts opts = *o;
    opts.error = on_error;
    if (k == COMMIT) s->job = blk_job_commit(s->top, blk_root(s->top), NULL, NULL, &opts, &e);
    if (k == STREAM) s->job = blk_job_stream(s->top, NULL, NULL, &opts, &e);
    if (k == MIRROR) s->job = blk_job_mirror(s->top, s->target, false, &opts, &e);
    if (k == BACKUP) s->job = blk_job_backup(s->top, s->target, &opts, &e);
    CHECK(s->job != NULL);
    if (!s->job) printf("%s: %s\n", names[k], e.msg), exit(count_report());
}

static bool holds(struct blk_backend *b, const uint8_t *want)
{
    uint8_t *back = mem_alloc(SIZE);
    bool same = !blk_read(b, 0, back, SIZE) && !memcmp(back, want, SIZE);

    mem_free(back);
    return same;
}

/* done: the job has succeeded. */
static void tear_down(struct set *s, enum kind k, bool done)
{
    struct blk_check c = {0};
    struct error e = ERROR_INIT;

    blk_job_free(s->job);
    CHECK(holds(s->top, s->want)); /* whatever has happened */
    if (k == STREAM) CHECK(done == !blk_node_backing(blk_root(s->top)));
    if (k == COMMIT) CHECK(done == !strcmp(blk_node_driver(blk_root(s->top)), "raw"));
    if (done && (k == MIRROR || k == BACKUP)) CHECK(holds(s->target, s->want));
    if (k == STREAM) CHECK(!blk_check(s->top, 0, &c, &e) && !c.corruptions && !c.leaks);
    blk_close(s->top);
    blk_close(s->target);
    blk_graph_delete(s->g);
    mem_free(s->want);
}

static void test_steering(enum kind k)
{
    struct blk_job_opts o = {.sync = BLK_SYNC_FULL, .speed = 65536};
    struct error e = ERROR_INIT;
    uint64_t done, total, before;
    struct set s;

    set_up(&s, k, NULL, NULL, &o);
    CHECK(blk_job_state(s.job) == BLK_JOB_RUNNING && !strcmp(blk_job_type(s.job), names[k]));
    for (unsigned i = 0; i < 100 && !blk_job_delay(s.job); i++) CHECK(!blk_job_step(s.job));
    blk_job_progress(s.job, &before, &total);
    CHECK(blk_job_delay(s.job) && before && before < total);
    CHECK(!blk_job_step(s.job)); /* too early: nothing */
    blk_job_progress(s.job, &done, &total);
    CHECK(done == before);
    blk_job_pause(s.job);
    blk_job_set_speed(s.job, 0);
    CHECK(blk_job_state(s.job) == BLK_JOB_PAUSED && blk_job_delay(s.job));
    CHECK(!blk_job_step(s.job) && blk_job_finish(s.job, &e) == -EBUSY);
    error_clear(&e);
    blk_job_progress(s.job, &done, &total);
    CHECK(done == before);
    blk_job_pause(s.job);
    blk_job_resume(s.job);
    CHECK(blk_job_state(s.job) == BLK_JOB_PAUSED); /* it counts */
    blk_job_resume(s.job);
    CHECK(blk_job_state(s.job) == BLK_JOB_RUNNING && !blk_job_delay(s.job));
    /* The guest writes meanwhile; a backup holds what was there when it began. */
    if (k != BACKUP) memset(s.want + 12345, 0x33, 100000);
    uint8_t *new = mem_alloc(100000);
    memset(new, 0x33, 100000);
    CHECK(!blk_write(s.top, 12345, new, 100000));
    mem_free(new);
    int rc;
    while (!(rc = blk_job_step(s.job))) {
    }
    CHECK(rc == 1 && blk_job_state(s.job) == BLK_JOB_READY);
    CHECK(!blk_job_finish(s.job, &e) && blk_job_state(s.job) == BLK_JOB_OVER);
    if (k == BACKUP) {
        CHECK(holds(s.target, s.want));
        memset(s.want + 12345, 0x33, 100000);
        blk_job_free(s.job);
        s.job = NULL;
        k = N_KINDS;
    }
    tear_down(&s, k, true);
}

static void test_cancel(enum kind k)
{
    struct blk_job_opts o = {.sync = BLK_SYNC_FULL, .speed = 1};
    struct error e = ERROR_INIT;
    struct set s;

    set_up(&s, k, NULL, NULL, &o);
    CHECK(!blk_job_step(s.job));
    blk_job_pause(s.job);
    blk_job_cancel(s.job);
    CHECK(blk_job_step(s.job) == -ECANCELED && blk_job_state(s.job) == BLK_JOB_FAILED);
    CHECK(blk_job_finish(s.job, &e) == -ECANCELED && strstr(e.msg, names[k]));
    error_clear(&e);
    tear_down(&s, k, false);
}

#define BASE                                                                                                                   \
    "blkdebug,backing.file.image.driver=file,backing.file.image.filename=base.raw,backing.file.inject-error.0.event=none,"     \
    "backing.file.inject-error.0."
#define TARGET "blkdebug,file.image.driver=file,file.image.filename=target.raw,file.inject-error.0.event=none,file.inject-error.0."

/* Steps until it is ready, has failed or has stopped; resumes at most once. */
static int drive(struct blk_job *j, bool resume)
{
    for (unsigned i = 0; i < 400; i++) {
        unsigned ms = blk_job_delay(j);
        if (blk_job_state(j) == BLK_JOB_STOPPED) {
            if (!resume) return -EAGAIN;
            blk_job_resume(j), resume = false;
        }
        int rc = blk_job_step(j);
        if (rc) return rc;
        if (ms) usleep(ms * 1000);
    }
    return 0;
}

static void test_error(enum kind k, bool source, int error, enum blk_job_error what)
{
    struct blk_job_opts o = {.sync = BLK_SYNC_FULL,
                             .on_source_error = source ? what : BLK_JOB_REPORT,
                             .on_target_error = source ? BLK_JOB_REPORT : what};
    struct error e = ERROR_INIT;
    struct set s;
    /* commit writes to the base, and reads the top: only the base and the target have faults here */
    bool at_base = k == COMMIT ? !source : source;
    char *fault = mem_printf("%s%s", at_base ? BASE : TARGET,
                             source ? "iotype=read" : "iotype=write"), *all;
    const char *p = at_base ? "backing.file" : "file";

    all = mem_printf("%s,%s.inject-error.0.errno=%d,%s.inject-error.0.once=on,%s.inject-error.0.after=%d", fault, p, error, p, p, 1);
    set_up(&s, k, at_base ? all : NULL, at_base ? NULL : all, &o);
    enum blk_job_error seen = what == BLK_JOB_ENOSPC ? (error == ENOSPC ? BLK_JOB_STOP : BLK_JOB_REPORT) : what;
    bool lost = seen == BLK_JOB_REPORT;
    int rc = drive(s.job, true);
    if (lost) {
        CHECK(rc == -error && blk_job_finish(s.job, &e) == -error);
    } else if (k == STREAM && seen == BLK_JOB_IGNORE) {
        CHECK(rc == 1 && blk_job_finish(s.job, &e) == -error); /* the chain stays: not all of it was copied */
        lost = true;
    } else {
        CHECK(rc == 1 && !blk_job_finish(s.job, &e));
    }
    if (told[source][seen] != 1) printf("%s of %s, %d: ", names[k], source ? "source" : "target", what);
    CHECK(told[source][seen] == 1);
    error_clear(&e);
    tear_down(&s, k, !lost);
    mem_free(fault);
    mem_free(all);
}

static void test_stopped(void)
{
    struct blk_job_opts o = {.sync = BLK_SYNC_FULL, .on_target_error = BLK_JOB_ENOSPC};
    struct error e = ERROR_INIT;
    struct set s;
    enum blk_job_error what;

    /* no room, for good: it stops, as often as it is resumed; it can be cancelled then */
    set_up(&s, MIRROR, NULL, TARGET "iotype=write,file.inject-error.0.errno=28", &o);
    CHECK(drive(s.job, false) == -EAGAIN && blk_job_state(s.job) == BLK_JOB_STOPPED);
    CHECK(!blk_job_step(s.job) && blk_job_finish(s.job, &e) == -EBUSY && told[0][BLK_JOB_STOP] == 1);
    error_clear(&e);
    CHECK(drive(s.job, true) == -EAGAIN && told[0][BLK_JOB_STOP] == 2);
    blk_job_cancel(s.job);
    CHECK(blk_job_finish(s.job, &e) == -ECANCELED);
    error_clear(&e);
    tear_down(&s, MIRROR, false);
    CHECK(!blk_job_parse_error("enospc", &what) && what == BLK_JOB_ENOSPC && blk_job_parse_error("x", &what) == -EINVAL);
}

int main(void)
{
    static const enum blk_job_error all[] = {BLK_JOB_REPORT, BLK_JOB_IGNORE, BLK_JOB_STOP, BLK_JOB_ENOSPC};

    if (!mkdtemp(dir) || chdir(dir)) return printf("no directory for the test\n0 passed, 1 failed\n"), 1;
    for (enum kind k = 0; k < N_KINDS; k++) {
        test_steering(k);
        test_cancel(k);
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
            if (k != COMMIT) test_error(k, true, EIO, all[i]);
            if (k != STREAM) test_error(k, false, EIO, all[i]);
            if (k != STREAM) test_error(k, false, ENOSPC, all[i]);
        }
    }
    test_stopped();
    unlink("base.raw"), unlink("top.qcow2"), unlink("target.raw");
    CHECK(!chdir(".."));
    rmdir(dir);
    return count_report();
}
