/*
 * test-hash.c - a kernel's start is the same, bit for bit, under every engine, however the run is
 * cut into steps, and across a save and load; machines live side by side in one process.
 *
 * The kernel first unpacks itself, and that tests little: the comparison begins where it is about
 * to start devices, timers and its address spaces. tests/boot-hash does the same over a whole boot,
 * and between hosts.
 */
#include "tests/boot-hash.h"
#include "periph/devices.h"
#include "tests/count.h"

#include <inttypes.h>
#include <stdlib.h>

enum { M = 1000000, MAX_MILLIONS = 10000 };

/* In millions of instructions: where the comparison begins, and how long it is. The kernel's own
 * code begins at about 2370. With sanitizers everything takes ten times as long, and the beginning
 * has to do. */
#if defined(__SANITIZE_ADDRESS__)
enum { DEFAULT_START = 0, DEFAULT_MILLIONS = 10 };
#else
enum { DEFAULT_START = 2380, DEFAULT_MILLIONS = 60 };
#endif

struct boot {
    char *kernel, *initrd;
    uint64_t start;         /* instructions */
    unsigned n;             /* millions of instructions after it */
    uint64_t *hash;         /* of the first run, at every million */
    struct state_buf saved; /* at the start; empty when that is 0 */
};

/* "NAME,chaos=SEED": that backend with thresholds and flushes at random; else as boot_hash_engine. */
static bool engine_of(const char *name, struct engine_config *c, struct error *e)
{
    const char *chaos = strstr(name, ",chaos=");
    if (!chaos) return boot_hash_engine(name, c);
    char *backend = mem_printf("%.*s", (int)(chaos - name), name);
    *c = (struct engine_config){.mode = ENGINE_FAST, .sync = true};
    c->backend = jit_find(backend, e);
    c->chaos = (uint32_t)strtoul(chaos + 7, NULL, 10);
    mem_free(backend);
    return c->backend != NULL;
}

static struct machine *make(const struct boot *b, const char *engine)
{
    struct engine_config c;
    struct error e = ERROR_INIT;
    struct machine *m = NULL;
    if (engine_of(engine, &c, &e))
        m = boot_hash_machine(&c, b->kernel, b->initrd, BOOT_HASH_APPEND, NULL, &e);
    if (e.set) error_print(&e);
    CHECK(m != NULL);
    return m;
}

static bool load(struct machine *m, const struct state_buf *saved)
{
    struct state_buf b = *saved;
    struct error e = ERROR_INIT;
    b.pos = 0;
    if (!b.len) return true;
    int rc = machine_load(m, &b, &e);
    if (rc) error_print(&e);
    CHECK(!rc);
    return !rc;
}

/* To `insns` instructions after the start. */
static void step_to(struct boot *b, struct machine *m, uint64_t insns)
{
    uint64_t now = machine_time(m) >> m->cfg.icount_shift;
    insns += b->start;
    if (insns > now) machine_step(m, insns - now);
}

/* Compares with the first run from million `from` on; says where they part. */
static void follow(struct boot *b, struct machine *m, unsigned from, const char *what)
{
    for (unsigned i = from; i <= b->n; i++) {
        step_to(b, m, (uint64_t)i * M);
        uint64_t h = machine_hash(m);
        if (h == b->hash[i]) continue;
        printf("%s: differs at %u million instructions: %016" PRIx64 ", not %016" PRIx64
               " (tests/boot-hash --sections finds out more)\n",
               what, i, h, b->hash[i]);
        CHECK(!"hashes are equal");
        return;
    }
    CHECK("hashes are equal");
}

static void test_engine(struct boot *b, const char *engine)
{
    struct machine *m = make(b, engine);
    if (!m) return;
    if (load(m, &b->saved)) follow(b, m, 0, engine);
    machine_delete(m);
}

/* Each backend that is built in or found as a module, but for those that compile for seconds. */
static void test_backends(struct boot *b)
{
    static const char *const names[] = {"null", "native", "tcc"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        struct error e = ERROR_INIT;
        bool there = jit_find(names[i], &e) != NULL;
        error_clear(&e);
        for (unsigned seed = 1; there && seed <= 2; seed++) {
            char *engine = mem_printf("%s,chaos=%u", names[i], seed);
            test_engine(b, engine);
            mem_free(engine);
        }
    }
}

/* Odd steps: the run is cut where no engine would by itself. */
static void test_steps(struct boot *b)
{
    struct machine *m = make(b, "goto");
    if (!m || !load(m, &b->saved)) return;
    uint64_t end = (uint64_t)b->n * M, step = 1;
    for (uint64_t at = 0; at < end; at += step) {
        step_to(b, m, at);
        step = step * 7 % 99991 + 1;
    }
    follow(b, m, b->n, "odd steps");
    machine_delete(m);
}

/* `engine` runs to `at`, and what was saved goes on under `other`. */
static void test_save(struct boot *b, const char *engine, const char *other, uint64_t at)
{
    struct machine *m = make(b, engine), *to = make(b, other);
    struct state_buf s = {0};
    struct error e = ERROR_INIT;
    if (!m || !to || !load(m, &b->saved) || !load(to, &b->saved)) return;
    step_to(b, m, at);
    step_to(b, to, at / 3); /* it was used before */
    CHECK(!machine_save(m, &s, &e));
    CHECK(!machine_load(to, &s, &e));
    if (e.set) error_print(&e);
    CHECK(machine_hash(m) == machine_hash(to));
    follow(b, to, (unsigned)(at / M) + 1, "loaded");
    follow(b, m, b->n, "after saving");
    state_buf_free(&s);
    machine_delete(m);
    machine_delete(to);
}

/* The first run: to the start, then its hashes. */
static void lead(struct boot *b)
{
    struct machine *m = make(b, "goto");
    struct error e = ERROR_INIT;
    if (!m) return;
    step_to(b, m, 0);
    if (b->start) CHECK(!machine_save(m, &b->saved, &e));
    if (e.set) error_print(&e);
    for (unsigned i = 0; i <= b->n; i++) {
        step_to(b, m, (uint64_t)i * M);
        b->hash[i] = machine_hash(m);
    }
    CHECK(b->hash[0] != b->hash[1]);
    machine_delete(m);
}

/* arguments: [millions compared [millions before]] */
int main(int argc, char **argv)
{
    struct boot b = {.n = DEFAULT_MILLIONS, .start = DEFAULT_START};
    if (argc > 1) b.n = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2) b.start = strtoull(argv[2], NULL, 10);
    b.n = MAX(2, MIN(b.n, MAX_MILLIONS));
    b.start = MIN(b.start, MAX_MILLIONS) * M;
    b.kernel = boot_hash_file("vmlinuz*");
    b.initrd = boot_hash_file("initrd.gz");
    if (!b.kernel || !b.initrd) {
        printf("no kernel below %s (Debian: %s)\n0 passed, 0 failed, 1 skipped\n", BOOT_HASH_IMAGES,
               BOOT_HASH_PACKAGE);
        return 0;
    }
    periph_register_all();
    register_backends();
    b.hash = NEW_ARRAY(uint64_t, b.n + 1);
    lead(&b);
    if (!count_failed) {
        uint64_t n = (uint64_t)b.n * M;
        test_engine(&b, "goto");
        test_engine(&b, "goto,nofuse");
        test_engine(&b, "switch");
        test_engine(&b, "ref");
        test_backends(&b);
        test_steps(&b);
        test_save(&b, "goto", "goto", n / 7 * 3 + 12347);
        test_save(&b, "goto", "ref", n / 5 * 4 + 77);
        test_save(&b, "ref", "switch", n / 11 * 9 + 1);
    }
    state_buf_free(&b.saved);
    mem_free(b.hash);
    mem_free(b.kernel);
    mem_free(b.initrd);
    return count_report();
}
