/*
 * lockstep-report.c - the machines differ: where exactly, and everything that helps to see why (see lockstep.h).
 *
 * First the stretch is halved until one instruction of guest time decides. Cutting execution inside a block hands its
 * beginning to the interpreter, so that finds the end of the block that goes wrong; a third machine, whose blocks are single
 * instructions, finds the instruction.
 */
#include "machines/lockstep-private.h"

#include "isa/cpu-state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { WARM = 8, TRACE = 64, MAX_SHOWN = 12 };

static void put(void *opaque, const char *line)
{
    (void)opaque;
    fprintf(stderr, "%s\n", line);
}

/* The smallest n for which they differ; they do for hi. */
static uint64_t search(struct lockstep *ls, unsigned k, uint64_t hi, struct error *e)
{
    uint64_t lo = 0;
    while (hi - lo > 1 && !e->set) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (ls_differs(ls, k, mid, e)) hi = mid;
        else lo = mid;
    }
    return hi;
}

static bool again(struct lockstep *ls, unsigned k, uint64_t n, struct error *e)
{
    for (unsigned i = 0; i < WARM && !e->set; i++) {
        if (ls_differs(ls, k, n, e)) return true;
    }
    return false;
}

/* ---- what differs ---- */
static void show_memory(struct lockstep *ls, unsigned k)
{
    unsigned shown = 0;
    for (unsigned i = 0; i < ls->n_mem; i++) {
        struct ls_memory *r = &ls->mem[i];
        for (size_t page = 0; page < r->size / ls->page; page++) {
            if (!r->dirty[0][page] && !r->dirty[k][page]) continue;
            const uint8_t *a = r->p[0] + page * ls->page, *b = r->p[k] + page * ls->page;
            if (!memcmp(a, b, ls->page)) continue;
            for (size_t n = 0; n < ls->page && shown < MAX_SHOWN; n++) {
                if (a[n] == b[n]) continue;
                fprintf(stderr, "  memory \"%s\" + 0x%zx  %02x  %02x\n", r->name, page * ls->page + n, a[n], b[n]);
                shown++;
            }
        }
    }
    if (shown == MAX_SHOWN) fprintf(stderr, "  ...\n");
}

static void show_devices(struct lockstep *ls, unsigned k)
{
    struct device *a = ls->m[0]->mb->first, *b = ls->m[k]->mb->first;
    for (; a && b; a = a->next, b = b->next) {
        if (!a->realized) continue;
        for (const struct state_field *f = a->desc->state; f && f->name; f++) {
            struct state_field one[2];
            memset(one, 0, sizeof one);
            one[0] = *f;
            if (state_hash(a, one, 0) != state_hash(b, one, 0)) fprintf(stderr, "  device \"%s\": %s\n", a->desc->name, f->name);
        }
    }
}

static void show_difference(struct lockstep *ls, unsigned k)
{
    struct machine *a = ls->m[0], *b = ls->m[k];
    fprintf(stderr, "What differs (%s, then %s):\n", ls->cfg.name[0], ls->cfg.name[1]);
    for (unsigned n = 0; n < a->n_cpus; n++) {
        if (a->n_cpus > 1) fprintf(stderr, " cpu%u:\n", n);
        isa_cpu_show_difference(a->cfg.isa, a->cpu[n], b->cpu[n], stderr);
    }
    show_memory(ls, k);
    show_devices(ls, k);
    if (machine_time(a) != machine_time(b)) fprintf(stderr, "  guest time  %" PRIu64 "  %" PRIu64 "\n", machine_time(a), machine_time(b));
    if (a->idle_ns != b->idle_ns) fprintf(stderr, "  idle time  %" PRIu64 "  %" PRIu64 "\n", a->idle_ns, b->idle_ns);
    if (a->state != b->state || atomic_load(&a->events) != atomic_load(&b->events)) fprintf(stderr, "  one of them has stopped\n");
}

/* ---- where ---- */
static struct cpu *current(struct machine *m) { return m->cpu[m->n_cpus > 1 ? m->turn : 0]; }

static uint64_t pc_of(struct cpu *cpu) { return cpu_get_slot(cpu, cpu->guest->pc_slot); }

/* Before instruction n (of the stretch), machine 0's CPU stands at pc; machine 1's block that contains it begins j before. */
static void show_block(struct lockstep *ls, uint64_t n, struct error *e)
{
    uint64_t pc = 0, key = 0;
    bool found = false;

    for (uint64_t j = 0; j < TRACE && j <= n && !found; j++) {
        if (!ls_probe(ls, 0, n - j, e)) return;
        struct cpu *a = current(ls->m[0]);
        if (!j || engine_block_at(ls->m[1]->cpu[a->index], pc_of(a), a->key) > j) {
            pc = pc_of(a), key = a->key;
            found = j || engine_block_at(ls->m[1]->cpu[a->index], pc, key);
        }
    }
    if (!ls_probe(ls, 0, n, e) || !ls_probe(ls, 1, n, e)) return;
    struct cpu *b = ls->m[1]->cpu[current(ls->m[0])->index], *a = ls->m[0]->cpu[b->index];
    if (!found) pc = pc_of(a), key = a->key;
    fprintf(stderr, "Its block:\n");
    engine_explain(b, pc, key, EXPLAIN_GUEST, put, NULL);
    fprintf(stderr, "IR:\n");
    engine_explain(b, pc, key, EXPLAIN_IR, put, NULL);
    fprintf(stderr, "IR, optimised:\n");
    engine_explain(b, pc, key, EXPLAIN_OPT, put, NULL);
    for (unsigned k = 0; k < 2; k++) {
        if (!ls->cfg.engine[k].backend) continue;
        fprintf(stderr, "Host code of %s:\n", ls->cfg.name[k]);
        engine_explain(ls->m[k]->cpu[b->index], pc, key, EXPLAIN_HOST, put, NULL);
    }
}

/* Machine 0 at the beginning of the unit (an instruction, or a branch and its delay slot) whose end is n instructions from the
 * last equal point: execution cannot be cut inside of one, and goes on to its end. */
static uint64_t unit_start(struct lockstep *ls, uint64_t n, struct error *e)
{
    while (n-- > 0) {
        if (!ls_probe(ls, 0, 0, e)) break;
        uint64_t from = machine_time(ls->m[0]);
        machine_step(ls->m[0], n);
        if (machine_time(ls->m[0]) - from <= n << ls->m[0]->cfg.icount_shift) return n;
    }
    return 0;
}

static void show_insn(struct lockstep *ls, uint64_t n)
{
    struct cpu *a = current(ls->m[0]);
    char text[160];
    uint64_t pc = pc_of(a);

    engine_disas(a, pc, a->key, 0, text, sizeof text);
    fprintf(stderr, "The first instruction that differs: cpu%d, 0x%08" PRIx64 ":  %s\n  (%" PRIu64 " instructions of guest time from the start)\n", a->index, pc,
            text, ls->done + n);
}

/* ---- the file ---- */
static int write_replay(struct lockstep *ls, uint64_t length, struct error *e)
{
    const char *path = ls->cfg.write ? ls->cfg.write : "lockstep.replay";
    struct state_buf b = { 0 };

    if (ls->cfg.replay) return 0;
    if (!ls_probe(ls, 0, 0, e) || machine_save(ls->m[0], &b, e)) return -1;
    FILE *f = fopen(path, "wb");
    int rc = f ? 0 : error_set(e, "%s: %s", path, strerror(errno));
    if (f) {
        fprintf(f, "QUERN LOCKSTEP 1\nengines %s %s\nafter %" PRIu64 "\nlength %" PRIu64 "\n\n", ls->cfg.name[0], ls->cfg.name[1], ls->done, length);
        if (fwrite(b.data, 1, b.len, f) != b.len) rc = error_set(e, "%s: cannot write", path);
        if (fclose(f) && !rc) rc = error_set(e, "%s: cannot write", path);
        if (!rc) fprintf(stderr, "To see it again: the same command line with replay=%s added to -lockstep's argument.\n", path);
    }
    state_buf_free(&b);
    return rc;
}

int ls_report(struct lockstep *ls, uint64_t n, struct error *e)
{
    ls->quiet = true;
    fprintf(stderr, "lockstep: %s and %s differ between instructions %" PRIu64 " and %" PRIu64 " of guest time\n", ls->cfg.name[0], ls->cfg.name[1], ls->done,
            ls->done + n);
    show_difference(ls, 1);
    bool repeats = again(ls, 1, n, e);
    if (!repeats && !e->set)
        fprintf(stderr, "It does not happen again from the last point at which they were equal: it depends on what was compiled when.\n");
    uint64_t block_end = repeats ? search(ls, 1, n, e) : n;
    if (!ls->m[2] && !ls_make_third(ls, e)) return -1;
    bool exact = again(ls, 2, n, e);
    if (exact) {
        uint64_t at = search(ls, 2, n, e);
        uint64_t start = unit_start(ls, at, e);
        if (!e->set) show_insn(ls, start);
        if (!e->set && ls_differs(ls, 2, at, e)) show_difference(ls, 2);
        show_block(ls, start, e);
    } else if (repeats) {
        fprintf(stderr, "Single instructions are right; a block, or several together, are not.\n");
        uint64_t start = unit_start(ls, block_end, e);
        if (!e->set) show_insn(ls, start);
        if (!e->set && ls_differs(ls, 1, block_end, e)) show_difference(ls, 1);
        show_block(ls, start, e);
    }
    if (e->set) return -1;
    return write_replay(ls, n, e);
}
