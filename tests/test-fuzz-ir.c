/*
 * test-fuzz-ir.c - L1: random programs of IR blocks, run by the reference and by each other engine; registers, memory,
 * instruction counts, FP flags and the way each run ends must be equal. Programs loop, branch through links, labels and
 * indirectly, fault in the middle, reach a device, rewrite themselves, change modes and mappings, and are cut by budgets.
 *
 * A difference is reduced, printed as IR, and left as a file that --replay takes; see tests/regress/.
 */
#include "tests/fuzzlib.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: test-fuzz-ir [options]\n"
    "  --engine E    only this one: goto, switch, or a backend's name, with :PROPERTY=VALUE,... of -accel\n"
    "  --count N     programs for each engine (default 300)\n"
    "  --blocks N    go on until so many blocks were compiled (backends) or translated\n"
    "  --seconds N   go on for so long\n"
    "  --seed N      the first program's seed (default 1)\n"
    "  --without X   leaves out vec, pair (LD2, ST2), values (FCMP with values), float, notes (flags of the last FP op): a list\n"
    "  --first       ends at the first difference, which is named but not reduced\n"
    "  --crash       each program in a child process, so that one that crashes is reduced as well (slow)\n"
    "  --replay FILE run the program in FILE\n"
    "  --print SEED  print that program\n"
    "  --out FILE    where a reduced program goes (default: fuzz-ir.found)\n";

struct options {
    const char *engine, *replay, *out;
    uint64_t count, blocks, seconds, seed, print;
    bool first;
};

static unsigned passed, failed;

/* Sides that are kept from program to program: [user][wide]. */
struct pair { struct fz_side *ref, *got; };

static bool open_pair(struct pair *p, const struct fz_engine *g, bool user, bool wide)
{
    static const struct engine_config ref = { .mode = ENGINE_REF, .soft_fp = true, .cache_size = (size_t)4 << 20 };
    struct error e = ERROR_INIT;
    if (p->ref && p->got) return true;
    p->ref = fz_open(&ref, user, wide, &e);
    p->got = p->ref ? fz_open(&g->cfg, user, wide, &e) : NULL;
    if (e.set) error_print(&e);
    return p->got;
}

static void close_pair(struct pair *p)
{
    fz_close(p->ref);
    fz_close(p->got);
    memset(p, 0, sizeof *p);
}

/* Does it fail by itself, in new engines? */
static bool in_child; /* --crash: by the death of a child, too */

static bool fails_alone(void *opaque, const struct fz_prog *prog)
{
    if (in_child) {
        int status;
        fflush(NULL);
        pid_t pid = fork();
        if (!pid) {
            in_child = false;
            int null = open("/dev/null", O_WRONLY);
            if (null >= 0) dup2(null, 2);
            alarm(10);
            _exit(fails_alone(opaque, prog));
        }
        return pid > 0 && waitpid(pid, &status, 0) == pid && status;
    }
    struct pair p = { NULL, NULL };
    bool bad = open_pair(&p, opaque, prog->user, prog->wide) && fz_compare(p.ref, p.got, prog, NULL) >= 0;
    close_pair(&p);
    return bad;
}

static void show(const struct fz_engine *g, struct fz_prog *prog, const char *out)
{
    struct pair p = { NULL, NULL };
    if (!in_child && open_pair(&p, g, prog->user, prog->wide)) fz_compare(p.ref, p.got, prog, stdout);
    close_pair(&p);
    fz_print(prog, stdout);
    FILE *f = out ? fopen(out, "w") : NULL;
    if (f) {
        fprintf(f, "# engine %s\n", g->name);
        fz_write(prog, f);
        fclose(f);
        printf("The program is in %s (--replay takes it).\n", out);
    }
}

static void found(const struct fz_engine *g, struct fz_prog *prog, uint64_t seed, const char *out)
{
    static struct fz_prog small;
    failed++;
    printf("L1: %s differs from the reference in program %" PRIu64 " (--engine %s --seed %" PRIu64 " --count 1):\n", g->name, seed, g->name, seed);
    small = *prog;
    if (!fails_alone((void *)(uintptr_t)g, &small)) {
        printf("It needs the programs before it: by itself it does not fail.\n");
        return;
    }
    struct pair p = { NULL, NULL };
    if (!in_child && open_pair(&p, g, prog->user, prog->wide)) fz_compare(p.ref, p.got, prog, stdout); /* before it is reduced to something else */
    close_pair(&p);
    fflush(stdout);
    fz_reduce(&small, fails_alone, (void *)(uintptr_t)g);
    show(g, &small, out);
}

static uint64_t compiled(const struct pair p[2][2], uint64_t *regions)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < 4; i++) {
        const struct fz_side *s = p[i >> 1][i & 1].got;
        struct jit_stats j;
        struct engine_stats st;
        if (!s) continue;
        struct engine *eng = fz_engine((struct fz_side *)(uintptr_t)s);
        jit_get_stats(eng, &j);
        engine_get_stats(eng, &st);
        if (engine_get_config(eng)->backend) n += j.tier[1].blocks + j.tier[2].blocks, *regions += j.tier[2].regions;
        else n += st.translations;
    }
    return n;
}

static void test_engine(const struct fz_engine *g, const struct options *o)
{
    static struct fz_prog prog;
    struct pair p[2][2];
    uint64_t done = 0, blocks = 0, regions = 0;
    time_t start = time(NULL);
    unsigned bad = 0;

    memset(p, 0, sizeof p);
    for (uint64_t seed = o->seed;; seed++, done++) {
        if (o->seconds ? time(NULL) - start >= (time_t)o->seconds : o->blocks ? (regions = 0, blocks = compiled(p, &regions)) >= o->blocks : done >= o->count)
            break;
        fz_generate(&prog, seed);
        struct pair *q = &p[prog.user][prog.wide];
        if (!open_pair(q, g, prog.user, prog.wide)) {
            bad++;
            break;
        }
        snprintf(fz_doing, sizeof fz_doing, "test-fuzz-ir --engine %s --crash --seed %" PRIu64 " --count 1", g->name, seed);
        if (in_child ? !fails_alone((void *)(uintptr_t)g, &prog) : fz_compare(q->ref, q->got, &prog, NULL) < 0) continue;
        if (!o->first) found(g, &prog, seed, o->out);
        close_pair(q);
        if (++bad == 3 || o->first) break;
    }
    regions = 0;
    blocks = compiled(p, &regions);
    for (unsigned i = 0; i < 4; i++) close_pair(&p[i >> 1][i & 1]);
    printf("L1 %s: %" PRIu64 " programs, %" PRIu64 " blocks %s, %" PRIu64 " regions, %u differ, %ld s\n", g->name, done, blocks,
           g->cfg.backend ? "compiled" : "translated", regions, bad, (long)(time(NULL) - start));
    fflush(stdout);
    if (bad) failed++;
    else passed++;
}

static int replay(const struct fz_engine *list, unsigned n, const char *path)
{
    static struct fz_prog prog;
    struct error e = ERROR_INIT;
    if (fz_read(&prog, path, &e)) {
        error_print(&e);
        return 2;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!fails_alone((void *)(uintptr_t)&list[i], &prog)) {
            passed++;
            continue;
        }
        failed++;
        printf("%s: %s differs from the reference:\n", path, list[i].name);
        show(&list[i], &prog, NULL);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}

int main(int argc, char **argv)
{
    struct options o = { .count = 300, .seed = 1, .out = "fuzz-ir.found" };
    struct fz_engine list[16];
    struct error e = ERROR_INIT;
    unsigned n;

    fz_init();
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--first")) {
            o.first = true;
            continue;
        }
        if (!strcmp(argv[i], "--crash")) {
            in_child = true;
            continue;
        }
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        bool ok = v != NULL;
        if (!ok) ;
        else if (!strcmp(a, "--engine")) o.engine = v;
        else if (!strcmp(a, "--without"))
            fz_without = (strstr(v, "vec") ? FZ_NO_VEC : 0) | (strstr(v, "pair") ? FZ_NO_PAIR : 0) | (strstr(v, "values") ? FZ_NO_VALUES : 0) |
                         (strstr(v, "float") ? FZ_NO_FLOAT : 0) | (strstr(v, "notes") ? FZ_NO_NOTES : 0);
        else if (!strcmp(a, "--count")) o.count = strtoull(v, NULL, 0);
        else if (!strcmp(a, "--blocks")) o.blocks = strtoull(v, NULL, 0);
        else if (!strcmp(a, "--seconds")) o.seconds = strtoull(v, NULL, 0);
        else if (!strcmp(a, "--seed")) o.seed = strtoull(v, NULL, 0);
        else if (!strcmp(a, "--print")) o.print = strtoull(v, NULL, 0);
        else if (!strcmp(a, "--replay")) o.replay = v;
        else if (!strcmp(a, "--out")) o.out = v;
        else ok = false;
        if (!ok) {
            fputs(usage, stderr);
            return 2;
        }
        i++;
    }
    if (o.print) {
        static struct fz_prog prog;
        fz_generate(&prog, o.print);
        fz_print(&prog, stdout);
        fz_write(&prog, stdout);
        return 0;
    }
    if (o.engine) {
        if (fz_engine_parse(&list[0], o.engine, &e)) {
            error_print(&e);
            return 2;
        }
        n = 1;
    } else {
        n = fz_engines(list, ARRAY_LEN(list), false);
    }
    if (o.replay) return replay(list, n, o.replay);
    for (unsigned i = 0; i < n; i++) {
        test_engine(&list[i], &o);
        if (o.engine || !list[i].cfg.backend) continue;
        /* the same with thresholds and flushes at random */
        struct fz_engine chaos = list[i];
        snprintf(chaos.name, sizeof chaos.name, "%.30s:chaos=7", list[i].name);
        chaos.cfg.chaos = 7;
        test_engine(&chaos, &o);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
