/*
 * test-hash.c - the first instants of a kernel's boot are the same, bit for bit, under every
 * engine, however the run is cut into steps, and across a save and load; two machines live side by
 * side in one process.
 *
 * tests/boot-hash does the same over a whole boot, and between hosts.
 */
#include "tests/boot-hash.h"
#include "periph/devices.h"
#include "tests/count.h"

#include <inttypes.h>
#include <stdlib.h>

/* With sanitizers everything takes ten times as long. */
#if defined(__SANITIZE_ADDRESS__)
enum { M = 1000000, DEFAULT_MILLIONS = 10, MAX_MILLIONS = 10000 };
#else
enum { M = 1000000, DEFAULT_MILLIONS = 60, MAX_MILLIONS = 10000 };
#endif

struct boot {
    char *kernel, *initrd;
    unsigned n;     /* millions of instructions */
    uint64_t *hash; /* of the first run, at every million */
};

static struct machine *make(const struct boot *b, const char *engine)
{
    struct engine_config c;
    struct error e = ERROR_INIT;
    struct machine *m = NULL;
    if (boot_hash_engine(engine, &c))
        m = boot_hash_machine(&c, b->kernel, b->initrd, BOOT_HASH_APPEND, NULL, &e);
    if (e.set) error_print(&e);
    CHECK(m != NULL);
    return m;
}

static void step_to(struct machine *m, uint64_t insns)
{
    uint64_t now = machine_time(m) >> m->cfg.icount_shift;
    if (insns > now) machine_step(m, insns - now);
}

/* Compares with the first run from million `from` on; says where they part. */
static void follow(struct boot *b, struct machine *m, unsigned from, const char *what)
{
    for (unsigned i = from; i <= b->n; i++) {
        step_to(m, (uint64_t)i * M);
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
    follow(b, m, 0, engine);
    machine_delete(m);
}

/* Odd steps: the run is cut where no engine would by itself. */
static void test_steps(struct boot *b)
{
    struct machine *m = make(b, "goto");
    if (!m) return;
    uint64_t end = (uint64_t)b->n * M, step = 1;
    for (uint64_t at = 0; at < end; at += step) {
        step_to(m, at);
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
    if (!m || !to) return;
    step_to(m, at);
    step_to(to, at / 3); /* it was used before */
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

int main(int argc, char **argv)
{
    struct boot b = {.n = DEFAULT_MILLIONS};
    if (argc > 1) b.n = (unsigned)strtoul(argv[1], NULL, 10);
    b.n = MAX(2, MIN(b.n, MAX_MILLIONS));
    b.kernel = boot_hash_file("vmlinuz*");
    b.initrd = boot_hash_file("initrd.gz");
    if (!b.kernel || !b.initrd) {
        printf("no kernel below %s (Debian: %s)\n0 passed, 0 failed, 1 skipped\n", BOOT_HASH_IMAGES,
               BOOT_HASH_PACKAGE);
        return 0;
    }
    periph_register_all();
    b.hash = NEW_ARRAY(uint64_t, b.n + 1);
    struct machine *m = make(&b, "goto");
    if (m) {
        for (unsigned i = 0; i <= b.n; i++) {
            step_to(m, (uint64_t)i * M);
            b.hash[i] = machine_hash(m);
        }
        machine_delete(m);
        CHECK(b.hash[0] != b.hash[1]);
        test_engine(&b, "goto");
        test_engine(&b, "goto,nofuse");
        test_engine(&b, "switch");
        test_engine(&b, "ref");
        test_steps(&b);
        uint64_t n = (uint64_t)b.n * M;
        test_save(&b, "goto", "goto", n / 7 * 3 + 12347);
        test_save(&b, "goto", "ref", n / 5 * 4 + 77);
        test_save(&b, "ref", "switch", n / 11 * 9 + 1);
    }
    mem_free(b.hash);
    mem_free(b.kernel);
    mem_free(b.initrd);
    return count_report();
}
