/*
 * boot-hash.c - boots a kernel on malta or another target's default board and prints the machine's hash at regular points of guest
 * time, so that two runs can be compared with diff: of two engines, of two hosts, of one engine
 * twice, with and without a save and load in between.
 *
 * A tool, not a test: tests/test-hash.c does the same for the first instants of a boot.
 */
#include "tests/boot-hash.h"
#include "interp/jit.h"
#if defined HAVE_JIT_NATIVE
#include "jit-native/native.h"
#endif

#include "chardev/backend.h"
#include "periph/devices.h"
#include "util/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: boot-hash [options]\n"
    "  --engine E      ref, goto or switch, with ,host (host floating point) or ,nofuse added; "
    "jit or a backend's name,\n"
    "                  ,PROPERTY=VALUE,... as of -accel after it (default goto)\n"
    "  --insns N       how far to run, in instructions of guest time (default 100000000)\n"
    "  --from N        the first hash is at N (default: at --every)\n"
    "  --every N       instructions between hashes (default 1000000)\n"
    "  --save-at N     at N, save the machine, load it into a new one, and go on with that\n"
    "  --load-engine E engine of the new machine (default: the same)\n"
    "  --write FILE    at --save-at, write the state to FILE and end\n"
    "  --read FILE     begin with the state in FILE, which another host may have written\n"
    "  --kernel FILE, --initrd FILE, --append STRING   in place of Debian's installer\n"
    "  --target T      in place of mipsel; --kernel and --initrd must be given\n"
    "  --smp N, --memory MIB   CPUs (1) and memory (256)\n"
    "  --console FILE  the serial console's output goes there (hashes tell that its line is "
    "connected)\n"
    "  --sections      hashes of CPU, devices and memory by themselves follow each hash\n"
    "Lines are: instructions of guest time, retired instructions, hash.\n";

struct options {
    struct engine_config engine, load_engine;
    uint64_t insns, from, every, save_at;
    const char *kernel, *initrd, *append, *console, *write, *read, *target;
    uint64_t smp, memory;
    bool sections;
};

static bool number(const char *s, uint64_t *v)
{
    char *end;
    *v = strtoull(s, &end, 0);
    return *s && !*end;
}

static bool parse(struct options *o, int argc, char **argv)
{
    bool load_engine = false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (!strcmp(a, "--sections")) {
            o->sections = true;
            continue;
        }
        const char *v = i + 1 < argc ? argv[++i] : NULL;
        bool ok = v != NULL;
        if (!ok) return false;
        if (!strcmp(a, "--engine"))
            ok = boot_hash_engine(v, &o->engine);
        else if (!strcmp(a, "--load-engine"))
            ok = load_engine = boot_hash_engine(v, &o->load_engine);
        else if (!strcmp(a, "--insns"))
            ok = number(v, &o->insns);
        else if (!strcmp(a, "--from"))
            ok = number(v, &o->from);
        else if (!strcmp(a, "--every"))
            ok = number(v, &o->every) && o->every;
        else if (!strcmp(a, "--save-at"))
            ok = number(v, &o->save_at);
        else if (!strcmp(a, "--kernel"))
            o->kernel = v;
        else if (!strcmp(a, "--initrd"))
            o->initrd = v;
        else if (!strcmp(a, "--append"))
            o->append = v;
        else if (!strcmp(a, "--target"))
            o->target = v;
        else if (!strcmp(a, "--smp"))
            ok = number(v, &o->smp) && o->smp && o->smp <= MACHINE_MAX_CPUS;
        else if (!strcmp(a, "--memory"))
            ok = number(v, &o->memory);
        else if (!strcmp(a, "--console"))
            o->console = v;
        else if (!strcmp(a, "--write"))
            o->write = v;
        else if (!strcmp(a, "--read"))
            o->read = v;
        else
            ok = false;
        if (!ok) return false;
    }
    if (!load_engine) o->load_engine = o->engine;
    return true;
}

static int write_state(struct machine *m, const char *path, struct error *e)
{
    struct state_buf b = {0};
    FILE *f = fopen(path, "wb");
    if (!f) return error_set(e, "%s: %s", path, strerror(errno));
    int rc = machine_save(m, &b, e);
    if (!rc && fwrite(b.data, 1, b.len, f) != b.len) rc = error_set(e, "%s: cannot write", path);
    if (fclose(f) && !rc) rc = error_set(e, "%s: cannot write", path);
    state_buf_free(&b);
    return rc;
}

static int read_state(struct machine *m, const char *path, struct error *e)
{
    static uint8_t block[65536];
    struct state_buf b = {0};
    FILE *f = fopen(path, "rb");
    if (!f) return error_set(e, "%s: %s", path, strerror(errno));
    for (size_t n; (n = fread(block, 1, sizeof block, f));)
        state_put(&b, block, n);
    fclose(f);
    int rc = machine_load(m, &b, e);
    state_buf_free(&b);
    return rc;
}

static struct machine *make(const struct options *o, const struct engine_config *engine,
                            struct chardev *serial, struct error *e)
{
    return boot_hash_target(o->target, (unsigned)o->smp, o->memory, engine, o->kernel, o->initrd,
                            o->append, serial, e);
}

/* A machine in the state of `old`, which is deleted. NULL: *e says why. */
static struct machine *move(struct machine *old, const struct options *o, struct chardev *serial,
                            struct error *e)
{
    struct state_buf b = {0};
    int rc = machine_save(old, &b, e);
    machine_delete(old);
    struct machine *m = rc ? NULL : make(o, &o->load_engine, serial, e);
    if (m && machine_load(m, &b, e)) {
        machine_delete(m);
        m = NULL;
    }
    state_buf_free(&b);
    return m;
}

/* Registers by name and each device by itself tell where to look for a difference. */
static void print_sections(struct machine *m)
{
    const struct isa *isa = m->cfg.isa;
    for (unsigned i = 0; i < m->n_cpus; i++) {
        const struct guest *g = m->cpu[i]->guest;
        struct state_field *t = NEW_ARRAY(struct state_field, isa->n_state + 1);
        if (isa->n_state) memcpy(t, isa->state, isa->n_state * sizeof *t);
        printf("  cpu%u state %016" PRIx64, i, state_hash(m->cpu[i], t, 0));
        for (unsigned k = 0; k < g->n_slots; k++)
            printf(" %s=%" PRIx64, g->slots[k].name, cpu_get_slot(m->cpu[i], (ir_id)k));
        printf("\n");
        mem_free(t);
    }
    printf("  devices %016" PRIx64 " idle %" PRIu64, mb_hash(m->mb), m->idle_ns);
    for (struct device *d = m->mb->first; d; d = d->next)
        if (d->realized)
            printf(" %s=%08" PRIx32, d->desc->name, (uint32_t)state_hash(d, d->desc->state, 0));
    printf("\n");
}

static int run(const struct options *o, struct chardev *serial, struct error *e)
{
    struct machine *m = make(o, &o->engine, serial, e);
    uint64_t next = o->from ? o->from : o->every;
    bool save = o->save_at != 0;
    if (m && o->read) {
        if (read_state(m, o->read, e)) return machine_delete(m), -1;
        uint64_t now = machine_time(m) >> m->cfg.icount_shift;
        while (next < now)
            next += o->every;
    }

    while (m) {
        unsigned shift = m->cfg.icount_shift;
        uint64_t now = machine_time(m) >> shift, to = save && o->save_at < next ? o->save_at : next;
        if (to > o->insns) break;
        if (to > now) machine_step(m, to - now);
        if (atomic_load(&m->events)) {
            printf("the machine stopped at %" PRIu64 "\n", machine_time(m) >> shift);
            break;
        }
        if (save && to == o->save_at) {
            save = false;
            if (o->write) {
                int rc = write_state(m, o->write, e);
                machine_delete(m);
                return rc;
            }
            m = move(m, o, serial, e);
            if (!m) return -1;
        }
        if (to != next) continue;
        printf("%" PRIu64 " %" PRIu64 " %016" PRIx64 "\n", next, cpu_icount(m->cpu[0]),
               machine_hash(m));
        if (o->sections) print_sections(m);
        fflush(stdout);
        next += o->every;
    }
    if (!m) return -1;
    machine_delete(m);
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.insns = 100000000, .every = 1000000, .append = BOOT_HASH_APPEND,
                        .target = "mipsel", .smp = 1, .memory = 256};
    struct error e = ERROR_INIT;
    struct chardev *serial = NULL;
    bool mux;

#if defined HAVE_JIT_NATIVE
    jit_register(&jit_native_backend);
#endif
    boot_hash_engine("goto", &o.engine);
    if (!parse(&o, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    char *kernel = boot_hash_file("vmlinuz*"), *initrd = boot_hash_file("initrd.gz");
    if (!o.kernel) {
        o.kernel = kernel;
        if (!o.initrd) o.initrd = initrd;
    }
    if (!o.kernel) {
        fprintf(stderr, "boot-hash: no kernel below %s (Debian: %s)\n", BOOT_HASH_IMAGES,
                BOOT_HASH_PACKAGE);
        return 2;
    }
    periph_register_all();
    struct loop *loop = loop_new(&e);
    struct chr_set *chrs = loop ? chr_set_new(loop) : NULL;
    int rc = chrs ? 0 : -1;
    if (!rc && o.console) {
        char *s = mem_printf("file:%s", o.console);
        rc = chr_new_string(chrs, "serial0", s, &serial, &mux, &e);
        mem_free(s);
    }
    if (!rc) rc = run(&o, serial, &e);
    if (e.set) error_print(&e);
    if (chrs) chr_set_delete(chrs);
    if (loop) loop_delete(loop);
    mem_free(kernel);
    mem_free(initrd);
    return rc != 0;
}
