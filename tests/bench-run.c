/*
 * bench-run.c - `make bench`: runs the programs of tests/bench under every engine of user mode,
 * beside qemu-user and the host itself where they are there, and boots Debian's installer kernel
 * under both system emulators.
 *
 * Rounds are interleaved, so that a busy moment of the host hits all alike; the median counts.
 * Times are CPU time (user + system) unless the heading says otherwise. Results go to a table,
 * bench.json and bench.svg. No time is ever judged: the status is 1 only when a program printed
 * something wrong or could not be run.
 */
#define _GNU_SOURCE
#include "tests/bench-run.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct bench_engine known[] = {
    {"qemu", NULL, 0},
    {"goto", "interp,mode=fast,dispatch=goto", 0},
    {"switch", "interp,mode=fast,dispatch=switch", 0},
    {"soft", "interp,mode=fast,dispatch=goto,fp=soft", 0},
    {"ref", "interp,mode=ref", 1},
    {"native", "jit,backend=native", 0},
    {"tcc", "jit,backend=tcc", 0},
    {"gccjit", "jit,backend=gccjit", 0},
    {"host", NULL, 0},
};
enum { N_KNOWN = sizeof known / sizeof known[0] };

static const struct {
    const char *name;
    enum bench_kind kind;
} programs[] = {
    {"hash", BENCH_INT},  {"list", BENCH_INT},   {"recurse", BENCH_INT}, {"sieve", BENCH_INT},
    {"sort", BENCH_INT},  {"string", BENCH_INT}, {"vm", BENCH_INT},      {"mandel", BENCH_FP},
    {"matrix", BENCH_FP}, {"nbody", BENCH_FP},   {"hello", BENCH_START},
};
enum { N_PROGRAMS = sizeof programs / sizeof programs[0], MAX_ROUNDS = 99, OUTPUT = 4096 };

static const struct {
    const char *name, *cc; /* tests/bench/build.sh has the same */
} all_targets[] = {
    {"mipsel", "mipsel-linux-gnu-gcc"},
    {"mips", "mips-linux-gnu-gcc"},
    {"mips64el", "mips64el-linux-gnuabi64-gcc"},
    {"mips64", "mips64-linux-gnuabi64-gcc"},
    {"i386", "i686-linux-gnu-gcc"},
    {"x86_64", "x86_64-linux-gnu-gcc"},
};
static const char images[] = "/usr/lib/debian-installer/images/12/mipsel/malta/";

struct options {
    const char *build, *source, *out, *targets, *programs, *engines;
    unsigned rounds, boots, repeat;
};

/* ---- one run ------------------------------------------------------------------------------------
 */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Starts argv with its output in *out and, when `in` is given, its input from *in. */
static pid_t start(char *const argv[], int *out, int *in)
{
    int o[2], i[2] = {-1, -1};
    if (pipe(o)) return -1;
    if (in && pipe(i)) return close(o[0]), close(o[1]), -1;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(in ? i[0] : null, 0);
        dup2(o[1], 1);
        dup2(null, 2);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(o[1]);
    *out = o[0];
    if (in) {
        close(i[0]);
        *in = i[1];
    }
    return pid;
}

static void finish(pid_t pid, double began, struct bench_run *r)
{
    struct rusage u;
    int status = 0;
    while (wait4(pid, &status, 0, &u) < 0)
        if (errno != EINTR) return;
    r->wall = now() - began;
    r->cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
             (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    r->rss = u.ru_maxrss;
    r->ok = WIFEXITED(status) && !WEXITSTATUS(status);
}

static struct bench_run run(char *const argv[], char *text, size_t size)
{
    struct bench_run r = {0};
    size_t n = 0;
    ssize_t got;
    int out;
    double began = now();
    pid_t pid = start(argv, &out, NULL);
    if (pid < 0) return r;
    while (n + 1 < size &&
           ((got = read(out, text + n, size - 1 - n)) > 0 || (got < 0 && errno == EINTR)))
        if (got > 0) n += (size_t)got;
    text[n] = 0;
    close(out);
    finish(pid, began, &r);
    return r;
}

/* ---- programs under user mode
 * -------------------------------------------------------------------- */

static bool in_list(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && !strncmp(p, word, n)) return true;
    return false;
}

static bool program_there(const char *name)
{
    char room[512];
    if (strchr(name, '/')) return !access(name, X_OK);
    const char *p = getenv("PATH");
    while (p && *p) {
        size_t n = strcspn(p, ":");
        snprintf(room, sizeof room, "%.*s/%s", (int)n, p, name);
        if (!access(room, X_OK)) return true;
        p += n + (p[n] == ':');
    }
    return false;
}

/* Builds a program for the host (cc NULL), where the sources know it, or for a guest. The library-free runtime has few hosts:
 * not built, not run. */
static bool build(const struct options *o, const char *cc, const char *name, char *path, size_t size)
{
    char source[512], repeat[64], text[16];
    snprintf(source, sizeof source, "%s/tests/bench/%s.c", o->source, name);
    snprintf(path, size, "%s/bench-%s-%s", o->out, cc ? cc : "host", name);
    snprintf(repeat, sizeof repeat, "-DBENCH_REPEAT=%u", o->repeat);
    char *argv[24] = {cc ? (char *)cc : "cc",
                      "-O2",
                      "-ffreestanding",
                      "-fno-builtin",
                      "-fno-tree-loop-distribute-patterns",
                      "-fno-stack-protector",
                      "-nostdlib",
                      "-static",
                      "-Wl,--build-id=none",
                      repeat,
                      "-o",
                      path,
                      source};
    unsigned n = 13;
    if (cc) argv[n++] = "-fno-pic", argv[n++] = "-lgcc";
    if (cc && !strncmp(cc, "mips", 4)) argv[n++] = "-mno-abicalls", argv[n++] = "-G0";
    if (cc && !strncmp(cc, "i686", 4)) argv[n++] = "-march=i686";
    argv[n] = NULL;
    return program_there(argv[0]) && run(argv, text, sizeof text).ok;
}

/* Was the engine built? Another would run in its place. */
static bool engine_there(const struct options *o, const char *name)
{
    const char *file = !strcmp(name, "tcc")      ? "quern-jit-tcc.so"
                       : !strcmp(name, "gccjit") ? "quern-jit-worker-gccjit"
                                                 : NULL;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", o->build, file ? file : "");
    return !file || !access(path, R_OK);
}

static void progress(const char *target, const char *program, const char *engine, unsigned done,
                     unsigned all)
{
    if (isatty(2))
        fprintf(stderr, "\r%3u%%  %-9s %-8s %-7s", all ? done * 100 / all : 100, target, program,
                engine);
    else if (!strcmp(engine, "host"))
        fprintf(stderr, "%3u%%  %s %s\n", all ? done * 100 / all : 100, target, program);
}

static int by_cpu(const void *a, const void *b)
{
    double x = ((const struct bench_run *)a)->cpu, y = ((const struct bench_run *)b)->cpu;
    return (x > y) - (x < y);
}

static struct bench_run median(struct bench_run *r, unsigned n)
{
    if (!n) return (struct bench_run){0};
    qsort(r, n, sizeof *r, by_cpu);
    struct bench_run m = r[n / 2];
    if (n % 2 == 0) m.cpu = (m.cpu + r[n / 2 - 1].cpu) / 2;
    return m;
}

/* All engines in turn, `rounds` times. Returns the number of wrong results. */
static unsigned bench_program(const struct options *o, const char *target, const char *cc,
                              unsigned p, struct bench_row *row)
{
    static struct bench_run runs[BENCH_ENGINES][MAX_ROUNDS];
    unsigned n[BENCH_ENGINES] = {0}, wrong = 0;
    const char *name = programs[p].name;
    char guest[512], host[512], quern[512], qemu[64], text[OUTPUT], expect[OUTPUT] = "";

    row->name = name;
    row->kind = programs[p].kind;
    snprintf(guest, sizeof guest, "%s/tests/bench/guest/%s/%s", o->source, target, name);
    snprintf(quern, sizeof quern, "%s/quern-%s", o->build, target);
    snprintf(qemu, sizeof qemu, "qemu-%s", target);
    bool use[BENCH_ENGINES];
    for (unsigned e = 0; e < N_KNOWN; e++) {
        use[e] = in_list(o->engines, known[e].name);
        if (use[e] && !strcmp(known[e].name, "qemu")) use[e] = program_there(qemu);
        if (use[e] && known[e].accel) use[e] = engine_there(o, known[e].name);
        /* the x87 of i386 rounds to 64 bits: results may differ from the host's */
        if (use[e] && !strcmp(known[e].name, "host"))
            use[e] = !(row->kind == BENCH_FP && !strcmp(target, "i386")) && build(o, NULL, name, host, sizeof host);
    }
    if (o->repeat > 1 && !build(o, cc, name, guest, sizeof guest)) {
        fprintf(stderr, "\nbench: %s for %s cannot be built by %s\n", name, target, cc);
        return 0;
    }
    for (unsigned round = 0; round < o->rounds; round++) {
        for (unsigned e = 0; e < N_KNOWN; e++) {
            if (!use[e] || (known[e].rounds && round >= known[e].rounds)) continue;
            char *by_qemu[] = {qemu, guest, NULL}, *by_host[] = {host, NULL};
            char *by_quern[] = {quern, "-accel", (char *)known[e].accel, guest, NULL};
            progress(target, name, known[e].name, round, o->rounds);
            struct bench_run r = run(known[e].accel            ? by_quern
                                     : known[e].name[0] == 'q' ? by_qemu
                                                               : by_host,
                                     text, sizeof text);
            if (r.ok && !*expect) memcpy(expect, text, sizeof expect);
            if (!r.ok || strcmp(text, expect)) {
                fprintf(stderr, "\nbench: %s on %s under %s: %s\n", name, target, known[e].name,
                        r.ok ? "printed another result" : "failed");
                wrong++;
                use[e] = false;
                n[e] = 0;
                continue;
            }
            runs[e][n[e]++] = r;
        }
    }
    if (use[N_KNOWN - 1]) unlink(host);
    if (o->repeat > 1) unlink(guest);
    for (unsigned e = 0; e < N_KNOWN; e++)
        row->run[e] = median(runs[e], n[e]);
    return wrong;
}

/* ---- the table
 * ------------------------------------------------------------------------------------- */

/* Of qemu's time by the engine's; 0: one of them is missing. */
static double ratio(const struct bench_row *r, unsigned e)
{
    return r->run[0].ok && r->run[e].ok && r->run[e].cpu > 0 ? r->run[0].cpu / r->run[e].cpu : 0;
}

double bench_geomean(const struct bench_target *t, enum bench_kind kind, unsigned e)
{
    double sum = 0;
    unsigned n = 0;
    for (unsigned i = 0; i < t->n; i++) {
        double x = t->row[i].kind == kind ? ratio(&t->row[i], e) : 0;
        if (x > 0) sum += log(x), n++;
    }
    return n ? exp(sum / n) : 0;
}

static void put_time(const struct bench_run *r)
{
    if (r->ok)
        printf(" %9.4f", r->cpu);
    else
        printf(" %9s", "-");
}

static void put_ratio(double x)
{
    if (x > 0)
        printf(" %8.2f", x);
    else
        printf(" %8s", "-");
}

static bool engine_shown(const struct options *o, unsigned e)
{
    return in_list(o->engines, known[e].name);
}

static void print_target(const struct options *o, const struct bench_target *t)
{
    printf("\n%-9s", t->name);
    for (unsigned e = 0; e < N_KNOWN; e++)
        if (engine_shown(o, e)) printf(" %9s", known[e].name);
    printf("  |");
    for (unsigned e = 0; e < N_KNOWN; e++)
        if (engine_shown(o, e) && known[e].accel) printf(" %8s", known[e].name);
    printf("\n%-9s", "");
    for (unsigned e = 0; e < N_KNOWN; e++)
        if (engine_shown(o, e)) printf(" %9s", "s");
    printf("  | (qemu's time / quern's: above 1 quern is faster)\n");
    for (unsigned i = 0; i < t->n; i++) {
        printf("%-9s", t->row[i].name);
        for (unsigned e = 0; e < N_KNOWN; e++)
            if (engine_shown(o, e)) put_time(&t->row[i].run[e]);
        printf("  |");
        for (unsigned e = 0; e < N_KNOWN; e++)
            if (engine_shown(o, e) && known[e].accel) put_ratio(ratio(&t->row[i], e));
        printf("\n");
    }
    static const char *const what[] = {"integer", "FP", "start-up"};
    for (unsigned k = 0; k < BENCH_KINDS; k++) {
        printf("%-9s", what[k]);
        for (unsigned e = 0; e < N_KNOWN; e++)
            if (engine_shown(o, e)) printf(" %9s", "");
        printf("  |");
        for (unsigned e = 0; e < N_KNOWN; e++)
            if (engine_shown(o, e) && known[e].accel) put_ratio(bench_geomean(t, k, e));
        printf("\n");
    }
    printf("%-9s", "peak MiB");
    for (unsigned e = 0; e < N_KNOWN; e++) {
        long most = 0;
        for (unsigned i = 0; i < t->n; i++)
            if (t->row[i].run[e].ok && t->row[i].run[e].rss > most) most = t->row[i].run[e].rss;
        if (engine_shown(o, e) && most) printf(" %9.1f", (double)most / 1024);
        if (engine_shown(o, e) && !most) printf(" %9s", "-");
    }
    printf("  |\n");
    fflush(stdout);
}

/* ---- booting a kernel
 * ------------------------------------------------------------------------------- */

static bool find_image(const char *name, char *path, size_t size)
{
    static const char *const below[] = {"", "netboot/"};
    for (unsigned i = 0; i < 2; i++) {
        char pattern[256];
        glob_t g;
        snprintf(pattern, sizeof pattern, "%s%s%s", images, below[i], name);
        bool found = !glob(pattern, 0, NULL, &g);
        if (found) snprintf(path, size, "%s", g.gl_pathv[0]);
        globfree(&g);
        if (found) return true;
    }
    return false;
}

/* To the shell's prompt; then it is killed. */
static struct bench_run boot(char *const argv[], double limit)
{
    static const char prompt[] = "~ # ";
    struct bench_run r = {0};
    size_t seen = 0;
    int out, in;
    double began = now();
    pid_t pid = start(argv, &out, &in);
    if (pid < 0) return r;
    while (prompt[seen] && now() - began < limit) {
        char c[256];
        struct pollfd p = {out, POLLIN, 0};
        if (poll(&p, 1, 1000) <= 0) continue;
        ssize_t n = read(out, c, sizeof c);
        if (n <= 0) break;
        for (ssize_t i = 0; i < n && prompt[seen]; i++)
            seen = c[i] == prompt[seen] ? seen + 1 : c[i] == prompt[0];
    }
    bool reached = !prompt[seen];
    kill(pid, SIGKILL);
    finish(pid, began, &r);
    r.ok = reached;
    close(out);
    close(in);
    return r;
}

static void bench_boot(const struct options *o, struct bench_results *res)
{
    char kernel[512], initrd[512], quern[512];
    if (!o->boots) return;
    if (!find_image("vmlinuz*", kernel, sizeof kernel) ||
        !find_image("initrd.gz", initrd, sizeof initrd)) {
        printf("\nboot: no kernel below %s (Debian: debian-installer-12-netboot-mipsel)\n", images);
        return;
    }
    snprintf(quern, sizeof quern, "%s/quern-system-mipsel", o->build);
    static struct bench_run runs[BENCH_ENGINES][MAX_ROUNDS];
    unsigned n[BENCH_ENGINES] = {0};
    bool use[BENCH_ENGINES];
    for (unsigned e = 0; e < N_KNOWN; e++)
        use[e] = in_list(o->engines, known[e].name) && in_list("qemu,goto,native", known[e].name);
    if (use[0] && !program_there("qemu-system-mipsel")) {
        printf("\nboot: no qemu-system-mipsel (Debian: qemu-system-mips)\n");
        use[0] = false;
    }
    for (unsigned i = 0; i < o->boots; i++) {
        for (unsigned e = 0; e < N_KNOWN; e++) {
            if (!use[e]) continue;
            char *argv[] = {e ? quern : "qemu-system-mipsel",
                            "-accel",
                            e ? (char *)known[e].accel : "tcg",
                            "-M",
                            "malta",
                            "-m",
                            "256",
                            "-nographic",
                            "-no-reboot",
                            "-kernel",
                            kernel,
                            "-initrd",
                            initrd,
                            "-append",
                            "console=ttyS0 rdinit=/bin/sh quiet",
                            NULL};
            progress("boot", "", known[e].name, i, o->boots);
            runs[e][n[e]] = boot(argv, 600);
            if (runs[e][n[e]].ok)
                n[e]++;
            else {
                fprintf(stderr, "bench: %s came to no prompt%s\n", argv[0],
                        e ? "" : " (it needs Debian's ipxe-qemu and seabios too)");
                use[e] = false;
            }
        }
    }
    printf("\nboot of Debian's installer kernel on malta to a shell's prompt\n%-9s %9s %9s %9s\n",
           "", "CPU s", "wall s", "peak MiB");
    for (unsigned e = 0; e < N_KNOWN; e++) {
        const struct bench_run *r = &res->boot[e];
        res->boot[e] = median(runs[e], n[e]);
        if (!r->ok) continue;
        printf("%-9s %9.2f %9.2f %9.1f", known[e].name, r->cpu, r->wall, (double)r->rss / 1024);
        if (e && res->boot[0].ok)
            printf("  %.2f of qemu's CPU time, %.2f of its wall time", r->cpu / res->boot[0].cpu, r->wall / res->boot[0].wall);
        printf("\n");
    }
}

/* ---- the program
 * ------------------------------------------------------------------------------------- */

static void usage(FILE *f)
{
    fprintf(
        f,
        "usage: bench-run [options]\n"
        "  --build DIR       where quern-TARGET are (default .)\n"
        "  --source DIR      the source tree (default .)\n"
        "  --out DIR         where bench.json and bench.svg go (default: --build)\n"
        "  --targets LIST    of mipsel,mips,mips64el,mips64,i386,x86_64 (default: all)\n"
        "  --programs LIST   of tests/bench/*.c without .c (default: all)\n"
        "  --engines LIST    of qemu,goto,switch,soft,ref,native,tcc,gccjit,host (default: all)\n"
        "  --rounds N        default 5; ref is run once\n"
        "  --repeat N        each program does its work N times, built with the cross compiler (default 1: the\n"
        "                    programs of the source tree): what is left when compiling does not weigh\n"
        "  --boots N         boots of a kernel under each system emulator (default 1; 0: none)\n");
}

static bool parse(struct options *o, int argc, char **argv)
{
    const struct {
        const char *name;
        const char **text;
        unsigned *number;
    } known_options[] = {
        {"--build", &o->build, NULL},       {"--source", &o->source, NULL},
        {"--out", &o->out, NULL},           {"--targets", &o->targets, NULL},
        {"--programs", &o->programs, NULL}, {"--engines", &o->engines, NULL},
        {"--rounds", NULL, &o->rounds},     {"--boots", NULL, &o->boots},
        {"--repeat", NULL, &o->repeat},
    };
    for (int i = 1; i < argc; i++) {
        unsigned k = 0, n = sizeof known_options / sizeof known_options[0];
        while (k < n && strcmp(argv[i], known_options[k].name))
            k++;
        if (k == n || i + 1 == argc) return false;
        const char *v = argv[++i];
        if (known_options[k].text) {
            *known_options[k].text = v;
        } else {
            char *end;
            unsigned long x = strtoul(v, &end, 10);
            if (!*v || *end || x > (known_options[k].number == &o->repeat ? 1000000 : MAX_ROUNDS)) return false;
            *known_options[k].number = (unsigned)x;
        }
    }
    if (!o->out) o->out = o->build;
    return o->rounds > 0 && o->repeat > 0;
}

int main(int argc, char **argv)
{
    struct options o = {".",
                        ".",
                        NULL,
                        "mipsel,mips,mips64el,mips64,i386,x86_64",
                        "hash,list,recurse,sieve,sort,string,vm,mandel,matrix,nbody,hello",
                        "qemu,goto,switch,soft,ref,native,tcc,gccjit,host",
                        5,
                        1,
                        1};
    static struct bench_results res;
    unsigned wrong = 0, programs_run = 0;

    if (argc == 2 && !strcmp(argv[1], "--help")) return usage(stdout), 0;
    if (!parse(&o, argc, argv)) return usage(stderr), 2;
    signal(SIGPIPE, SIG_IGN);
    setenv("QUERN_MODULE_PATH", o.build, 1);
    res.engines = known;
    res.n_engines = N_KNOWN;
    printf("CPU time (user + system), median of %u interleaved rounds (ref: 1)\n", o.rounds);
    for (unsigned i = 0; i < sizeof all_targets / sizeof all_targets[0]; i++) {
        if (!in_list(o.targets, all_targets[i].name)) continue;
        struct bench_target *t = &res.target[res.n_targets++];
        t->name = all_targets[i].name;
        for (unsigned p = 0; p < N_PROGRAMS; p++) {
            if (!in_list(o.programs, programs[p].name)) continue;
            wrong += bench_program(&o, t->name, all_targets[i].cc, p, &t->row[t->n++]);
            programs_run++;
        }
        if (isatty(2)) fprintf(stderr, "\r%60s\r", "");
        print_target(&o, t);
    }
    bench_boot(&o, &res);
    if (bench_write_json(&res, o.out) || bench_write_svg(&res, o.out)) {
        fprintf(stderr, "bench: cannot write below %s: %s\n", o.out, strerror(errno));
        return 1;
    }
    printf("\nwrote %s/bench.json and %s/bench.svg\n", o.out, o.out);
    if (!programs_run && !o.boots) fprintf(stderr, "bench: nothing was asked for\n");
    return wrong != 0;
}
