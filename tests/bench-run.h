/*
 * bench-run.h - results of a benchmark: what bench-run.c measures and bench-out.c writes.
 */
#ifndef TESTS_BENCH_RUN_H
#define TESTS_BENCH_RUN_H

#include <stdbool.h>

enum bench_kind { BENCH_INT, BENCH_FP, BENCH_START, BENCH_KINDS };
enum { BENCH_ENGINES = 12, BENCH_ROWS = 16, BENCH_TARGETS = 8 };

struct bench_engine {
    const char *name;
    const char *accel; /* of -accel; NULL: not one of quern's */
    unsigned rounds;   /* at most; 0: as many as asked */
};

/* ok: it ran and printed the right thing. Seconds, KiB. */
struct bench_run {
    double cpu, wall;
    long rss;
    bool ok;
};

struct bench_row {
    const char *name;
    enum bench_kind kind;
    struct bench_run run[BENCH_ENGINES];
};

struct bench_target {
    const char *name;
    unsigned n;
    struct bench_row row[BENCH_ROWS];
};

struct bench_results {
    const struct bench_engine *engines; /* the first is qemu, what others are compared with */
    unsigned n_engines, n_targets;
    struct bench_target target[BENCH_TARGETS];
    struct bench_run boot[BENCH_ENGINES];
};

/* Geometric mean of qemu's time / the engine's over programs of a kind; 0: nothing to compare. */
double bench_geomean(const struct bench_target *, enum bench_kind, unsigned engine);
/* Into the directory, as bench.json and bench.svg. 0, or -1 with errno. */
int bench_write_json(const struct bench_results *, const char *dir);
int bench_write_svg(const struct bench_results *, const char *dir);

#endif
