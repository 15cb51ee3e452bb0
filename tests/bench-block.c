/*
 * bench-block.c - `make bench-block`: quern-img and quern-io beside qemu-img and qemu-io on the same images: converting,
 * compressing, requests of 4 KiB in qcow2 and in backing chains, creating, checking; and the memory they take.
 *
 * Rounds are interleaved, so that a busy moment of the host hits both alike; medians count. CPU time is user and system
 * together; both ratios are the other program's time by ours. No time is ever judged: the status is 1 only when a
 * program failed, 77 when qemu-utils is not installed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

enum { MAX_ROUNDS = 99, QEMU = 0, QUERN = 1 };

static char dir[4096], tools[2][2][4096]; /* [whose][img, io] */
static const char *only = "";
static unsigned rounds = 5;
static bool failed;

struct result {
    double cpu, wall;
    long rss;
};

/*
 * What a run does: `prepare` is a shell command before the clock starts ($IMG and $IO are qemu's, $I and $O the
 * program's own, for what only that program should have made); `run` is what is measured. Words are split at spaces;
 * IMG and IO at the start name the program. `cold`: images leave the page cache first. `input`: commands for stdin.
 */
struct test {
    const char *name, *prepare, *run, *cold, *input;
};

static const struct test tests[] = {
    {"convert raw to qcow2, sparse", "rm -f out", "IMG convert -f raw -O qcow2 sparse.raw out", 0, 0},
    {"convert raw to qcow2, dense", "rm -f out", "IMG convert -f raw -O qcow2 dense.raw out", 0, 0},
    {"convert qcow2 to raw, sparse", "rm -f out", "IMG convert -f qcow2 -O raw sparse.qcow2 out", 0, 0},
    {"convert qcow2 to raw, dense", "rm -f out", "IMG convert -f qcow2 -O raw dense.qcow2 out", 0, 0},
    {"convert -c (zlib)", "rm -f out", "IMG convert -c -f raw -O qcow2 mixed.raw out", 0, 0},
    {"convert -c -W (zlib)", "rm -f out", "IMG convert -c -W -f raw -O qcow2 mixed.raw out", 0, 0},
    {"convert compressed to raw", "rm -f out", "IMG convert -f qcow2 -O raw mixed-c.qcow2 out", 0, 0},
    {"bench 4k read, cold", 0, "IMG bench -f qcow2 -S 40005632 dense.qcow2", "dense.qcow2", 0},
    {"bench 4k read, warm", "cat dense.qcow2 >/dev/null", "IMG bench -f qcow2 -S 40005632 dense.qcow2", 0, 0},
    {"bench 4k read, depth 1", 0, "IMG bench -d 1 -f qcow2 -S 40005632 dense.qcow2", 0, 0},
    {"bench 4k write, in place", "test -f w || cp dense.qcow2 w", "IMG bench -w -f qcow2 -S 40005632 w", 0, 0},
    {"bench 4k write, cold", 0, "IMG bench -w -f qcow2 -S 40005632 w", "w", 0},
    {"bench 4k write, new clusters", "rm -f n; $IMG create -q -f qcow2 n 512M",
     "IMG bench -w -t unsafe -f qcow2 -c 30000 -S 40005632 n", 0, 0},
    {"bench 4k read, 100 GiB scattered", 0, "IMG bench -f qcow2 -S 40005632 big.qcow2", 0, 0},
    {"bench 64k read, sequential", 0, "IMG bench -f qcow2 -s 65536 dense.qcow2", 0, 0},
    {"io 4k read", 0, "IO -f qcow2 dense.qcow2", 0, "reads"},
    {"io 4k read, cold", 0, "IO -f qcow2 dense.qcow2", "dense.qcow2", "reads"},
    {"io 4k write", "rm -f w; cp dense.qcow2 w", "IO -t unsafe -f qcow2 w", 0, "writes"},
    {"io 4k write, new clusters", "rm -f n; $IMG create -q -f qcow2 n 512M", "IO -t unsafe -f qcow2 n", 0, "writes"},
    {"io 4k aio_write", 0, "IO -t unsafe -f qcow2 w", 0, "aio"},
    {"chain of 1, 4k read", 0, "IMG bench -U -f qcow2 -S 4005888 chain1", 0, 0},
    {"chain of 10, 4k read", 0, "IMG bench -U -f qcow2 -S 4005888 chain10", 0, 0},
    {"chain of 100, 4k read", 0, "IMG bench -U -f qcow2 -S 4005888 chain100", 0, 0},
    {"chain of 100, convert", "rm -f out", "IMG convert -U -f qcow2 -O qcow2 chain100 out", 0, 0},
    {"create", "rm -f out", "IMG create -q -f qcow2 out 100G", 0, 0},
    {"create, preallocated metadata", "rm -f out", "IMG create -q -f qcow2 -o preallocation=metadata out 100G", 0, 0},
    {"info", 0, "IMG info dense.qcow2", 0, 0},
    {"check, 100 GiB", 0, "IMG check -q -f qcow2 big.qcow2", 0, 0},
    {"check, 100 GiB, 4k clusters", 0, "IMG check -q -f qcow2 big4k.qcow2", 0, 0},
    {"map, 100 GiB", 0, "IMG map -f qcow2 --output=json big.qcow2", 0, 0},
    {"compare", 0, "IMG compare -q -f raw -F qcow2 dense.raw dense.qcow2", 0, 0},
};
enum { N_TESTS = sizeof tests / sizeof tests[0] };

/* ---- running -------------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

static void drop_cache(const char *name)
{
    int fd = open(name, O_RDONLY);

    if (fd < 0) return;
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

static int child(const struct test *t, int who, bool quiet)
{
    char line[1024], *argv[32], *p = line;
    int n = 0, fd = open(t->input ? t->input : "/dev/null", O_RDONLY);

    snprintf(line, sizeof line, "%s", t->run);
    for (char *w = strtok(p, " "); w && n < 31; w = strtok(NULL, " ")) argv[n++] = w;
    argv[n] = NULL;
    argv[0] = tools[who][strcmp(argv[0], "IO") ? 0 : 1];
    dup2(fd, 0);
    fd = open(quiet ? "/dev/null" : "output", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    execv(argv[0], argv);
    _exit(127);
}

static bool measure(const struct test *t, int who, struct result *r)
{
    struct rusage u;
    int status;
    pid_t pid;

    if (t->prepare) {
        setenv("I", tools[who][0], 1);
        setenv("O", tools[who][1], 1);
        if (system(t->prepare)) return false;
    }
    if (t->cold) drop_cache(t->cold);
    double start = now();
    pid = fork();
    if (!pid) child(t, who, false);
    if (pid < 0 || wait4(pid, &status, 0, &u) != pid) return false;
    *r = (struct result){seconds(u.ru_utime) + seconds(u.ru_stime), now() - start, u.ru_maxrss};
    return WIFEXITED(status) && !WEXITSTATUS(status);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, unsigned n)
{
    qsort(v, n, sizeof *v, by_value);
    return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* ---- images --------------------------------------------------------------------------------------- */

static uint64_t state = 88172645463325252u;
static uint64_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* What is written where: all random bytes; every 16th 64 KiB of it; or text-like bytes, random ones and zeros in turn. */
enum kind { DENSE, SPARSE, MIXED };
static bool raw_image(const char *name, uint64_t size, enum kind kind)
{
    static uint64_t block[8192];
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    bool ok = fd >= 0 && !ftruncate(fd, (off_t)size);

    for (uint64_t at = 0; ok && at < size; at += sizeof block) {
        uint64_t n = at / sizeof block;
        if (kind == SPARSE && n % 16) continue;
        if (kind == MIXED && n % 4 == 3) continue;
        for (unsigned i = 0; i < 8192; i++) block[i] = rnd();
        for (unsigned i = 0; kind == MIXED && n % 4 && i < 8192; i++) block[i] = (block[i] & 0x0703070f01030707) | 0x6060606060606060;
        ok = pwrite(fd, block, sizeof block, (off_t)at) == (ssize_t)sizeof block;
    }
    if (fd >= 0) close(fd);
    return ok;
}

static bool command_file(const char *name, const char *format, unsigned n, const char *end)
{
    FILE *f = fopen(name, "w");

    for (unsigned i = 0; f && i < n; i++) fprintf(f, format, (unsigned long long)(rnd() % (512 * MIB / 4096) * 4096));
    return f && fputs(end, f) >= 0 && !fclose(f);
}

static bool make_chain(unsigned depth)
{
    char cmd[4096];

    /* each layer has some clusters of its own */
    snprintf(cmd, sizeof cmd, "set -e; $IMG create -q -f qcow2 l%u.0 256M; $IO -f qcow2 -c 'write -q -P 1 0 64M' l%u.0; i=1; "
             "while [ $i -lt %u ]; do $IMG create -q -f qcow2 -b l%u.$((i-1)) -F qcow2 l%u.$i; "
             "$IO -f qcow2 -c \"write -q -P 2 $((i*2))M 256k\" l%u.$i; i=$((i+1)); done; ln -f l%u.$((i-1)) chain%u",
             depth, depth, depth, depth, depth, depth, depth, depth);
    return !system(cmd);
}

static bool make_images(void)
{
    /* 100 GiB of which 40,000 places are written */
    FILE *f = fopen("scatter", "w");
    for (unsigned i = 0; f && i < 20000; i++)
        fprintf(f, "aio_write -q -P 1 %llu 4k\n%s", (unsigned long long)(rnd() % (102400 * MIB / 65536) * 65536),
                i % 64 ? "" : "aio_flush\n");
    return f && !fclose(f) && raw_image("dense.raw", 512 * MIB, DENSE) && raw_image("sparse.raw", 1024 * MIB, SPARSE) &&
           raw_image("mixed.raw", 128 * MIB, MIXED) &&
           !system("set -e; $IMG convert -f raw -O qcow2 dense.raw dense.qcow2; "
                   "$IMG convert -f raw -O qcow2 sparse.raw sparse.qcow2; "
                   "$IMG convert -c -f raw -O qcow2 mixed.raw mixed-c.qcow2; "
                   "$IMG create -q -f qcow2 big.qcow2 100G; $IMG create -q -f qcow2 -o cluster_size=4k big4k.qcow2 100G; "
                   "for i in big big4k; do $IO -t unsafe -f qcow2 $i.qcow2 <scatter >/dev/null; done") &&
           command_file("reads", "read -q %llu 4k\n", 20000, "") && command_file("writes", "write -q -P 5 %llu 4k\n", 20000, "") &&
           command_file("aio", "aio_write -q -P 5 %llu 4k\n", 10000, "aio_flush\n") && make_chain(1) && make_chain(10) &&
           make_chain(100);
}

/* ---- the table ------------------------------------------------------------------------------------ */

static void run_test(const struct test *t, double log_sum[2], unsigned *n, unsigned counts[3])
{
    double cpu[2][MAX_ROUNDS], wall[2][MAX_ROUNDS], rss[2][MAX_ROUNDS], c[2], w[2], m[2];

    for (unsigned i = 0; i < rounds; i++) {
        for (int k = 0; k < 2; k++) {
            int who = (int)(i & 1) ^ k;
            struct result r;
            if (!measure(t, who, &r)) {
                printf("%-36s FAILED: %s, see %s/output\n", t->name, tools[who][0], dir);
                failed = true;
                return;
            }
            cpu[who][i] = r.cpu, wall[who][i] = r.wall, rss[who][i] = (double)r.rss;
        }
    }
    for (int k = 0; k < 2; k++) c[k] = median(cpu[k], rounds), w[k] = median(wall[k], rounds), m[k] = median(rss[k], rounds);
    printf("%-36s %8.3f %8.3f %6.2fx %8.3f %8.3f %6.2fx %7.1f %7.1f\n", t->name, c[0], c[1], c[0] / c[1], w[0], w[1], w[0] / w[1],
           m[0] / 1024, m[1] / 1024);
    fflush(stdout);
    log_sum[0] += log(c[0] / c[1]), log_sum[1] += log(w[0] / w[1]), ++*n;
    counts[0] += c[0] < c[1], counts[1] += w[0] < w[1], counts[2] += m[0] < m[1];
}

static bool installed(const char *name, char *path, size_t n)
{
    char cmd[64];
    snprintf(cmd, sizeof cmd, "command -v %s", name);
    FILE *f = popen(cmd, "r");
    bool ok = f && fgets(path, (int)n, f);
    if (f) pclose(f);
    path[strcspn(path, "\n")] = 0;
    return ok;
}

int main(int argc, char **argv)
{
    const char *build = ".", *tmp = getenv("TMPDIR");
    double log_sum[2] = {0, 0};
    unsigned n = 0, counts[3] = {0, 0, 0};
    bool keep = false;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--build") && i + 1 < argc) build = argv[++i];
        else if (!strcmp(argv[i], "--dir") && i + 1 < argc) tmp = argv[++i];
        else if (!strcmp(argv[i], "--rounds") && i + 1 < argc) rounds = (unsigned)atoi(argv[++i]);
        else if (!strcmp(argv[i], "--only") && i + 1 < argc) only = argv[++i];
        else if (!strcmp(argv[i], "--keep")) keep = true;
        else {
            fprintf(stderr, "usage: bench-block [--build DIR] [--dir DIR] [--rounds N] [--only WORD] [--keep]\n"
                            "  --dir   where the images go (3 GiB): $TMPDIR, or /tmp\n"
                            "  --only  tests whose name has the word\n"
                            "  --keep  keeps the images in DIR/bench-block, and takes those that are there\n");
            return 2;
        }
    }
    if (!rounds || rounds > MAX_ROUNDS) rounds = 5;
    if (!installed("qemu-img", tools[QEMU][0], sizeof tools[0][0]) || !installed("qemu-io", tools[QEMU][1], sizeof tools[0][0])) {
        printf("bench-block: qemu-img is not installed (package qemu-utils): skipped\n");
        return 77;
    }
    char *abs = realpath(build, NULL);
    if (!abs) return perror(build), 1;
    snprintf(tools[QUERN][0], sizeof tools[0][0], "%s/quern-img", abs);
    snprintf(tools[QUERN][1], sizeof tools[0][0], "%s/quern-io", abs);
    setenv("IMG", tools[QEMU][0], 1);
    setenv("IO", tools[QEMU][1], 1);
    snprintf(dir, sizeof dir, keep ? "%s/bench-block" : "%s/bench-block.XXXXXX", tmp ? tmp : "/tmp");
    if (keep ? mkdir(dir, 0700) && errno != EEXIST : !mkdtemp(dir)) return perror(dir), 1;
    if (chdir(dir)) return perror(dir), 1;
    if (access("chain100", F_OK) && !make_images()) {
        fprintf(stderr, "bench-block: the images could not be made in %s\n", dir);
        failed = true;
    }
    printf("Medians of %u rounds; CPU time, wall time (seconds), peak memory (MiB); ratios: qemu by quern\n"
           "%-36s %8s %8s %7s %8s %8s %7s %7s %7s\n",
           rounds, "", "cpu qemu", "quern", "ratio", "wall", "quern", "ratio", "memory", "quern");
    for (unsigned i = 0; i < N_TESTS && !failed; i++) {
        if (strstr(tests[i].name, only)) run_test(&tests[i], log_sum, &n, counts);
    }
    if (n)
        printf("%-36s %17s %6.2fx %17s %6.2fx\nslower: %u by CPU time, %u by wall time, %u with more memory, of %u\n",
               "geometric mean", "", exp(log_sum[0] / n), "", exp(log_sum[1] / n), counts[0], counts[1], counts[2], n);
    if (!keep && !failed) {
        char *cmd = malloc(sizeof dir + 16);
        snprintf(cmd, sizeof dir + 16, "rm -rf '%s'", dir);
        if (!chdir("/") && system(cmd)) perror(dir);
        free(cmd);
    }
    free(abs);
    return failed;
}
