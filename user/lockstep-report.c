/*
 * lockstep-report.c - two processes in lockstep differ: where exactly, what helps to see why, and a file to see it again.
 *
 * As in system mode (machines/lockstep-report.c): the stretch is halved until one instruction decides, by a third process
 * whose blocks are single instructions where these go wrong too.
 */
#include "user/lockstep.h"

#include "isa/cpu-state.h"
#include "user/abi.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

enum { WARM = 8, TRACE = 64, MAX_SHOWN = 12 };

static void put(void *opaque, const char *line)
{
    (void)opaque;
    fprintf(stderr, "%s\n", line);
}

static uint64_t pc_of(const struct ls_side *s) { return cpu_get_slot(s->t->cpu, s->t->cpu->guest->pc_slot); }

static void probe(struct ls_side *s, uint64_t n)
{
    uls_restore(s);
    s->exit = RUN_BUDGET, s->ran = 0;
    if (n) uls_run(s, n);
}

bool uls_differs(struct uls *ls, struct ls_side *s, uint64_t n)
{
    probe(&ls->side[0], n);
    probe(s, n);
    return !uls_equal(&ls->side[0], s);
}

struct ls_side *uls_third(struct uls *ls, struct error *e)
{
    struct engine_config cfg = ls->cfg.engine[1];
    if (ls->side[2].p) return &ls->side[2];
    probe(&ls->side[0], 0);
    cfg.max_block = 1;
    return uls_make(ls, 2, &cfg, e) ? NULL : &ls->side[2];
}

/* ---- where ---- */
static bool again(struct uls *ls, struct ls_side *s, uint64_t n)
{
    for (unsigned i = 0; i < WARM; i++)
        if (uls_differs(ls, s, n)) return true;
    return false;
}

/* The smallest n for which they differ; they do for hi. */
static uint64_t search(struct uls *ls, struct ls_side *s, uint64_t hi)
{
    uint64_t lo = 0;
    while (hi - lo > 1) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (uls_differs(ls, s, mid)) hi = mid;
        else lo = mid;
    }
    return hi;
}

/* The first process at the beginning of the unit whose end is n instructions on: a branch and its delay slot are not parted. */
static uint64_t unit_start(struct uls *ls, uint64_t n)
{
    while (n-- > 0) {
        probe(&ls->side[0], n);
        if (ls->side[0].ran <= n) return n;
    }
    return 0;
}

/* ---- what ---- */
static void show_difference(struct ls_side *a, struct ls_side *b)
{
    struct cpu *x = a->t->cpu, *y = b->t->cpu;
    unsigned shown = 0;

    fprintf(stderr, "What differs (%s, then %s):\n", a->ls->cfg.name[0], a->ls->cfg.name[1]);
    isa_cpu_show_difference(a->p->isa, x, y, stderr);
    if (a->exit != b->exit)
        fprintf(stderr, "  the run's end: %s, %s\n", a->exit == RUN_EXCEPTION ? "an exception" : "goes on", b->exit == RUN_EXCEPTION ? "an exception" : "goes on");
    else if (a->exit == RUN_EXCEPTION && (x->exc.code != y->exc.code || x->exc.sub != y->exc.sub || x->exc.addr != y->exc.addr))
        fprintf(stderr, "  exception  %u.%u at 0x%" PRIx64 "  %u.%u at 0x%" PRIx64 "\n", x->exc.code, x->exc.sub, x->exc.addr, y->exc.code, y->exc.sub,
                y->exc.addr);
    for (uint64_t n = 0, end = a->p->limit >> a->p->page_bits; n < end && shown < MAX_SHOWN; n++) {
        uint64_t at = n << a->p->page_bits;
        if (!(a->p->pages[n] & PAGE_WRITE) || (a->p->track->armed[n] && b->p->track->armed[n])) continue;
        for (uint64_t i = at; i < at + a->p->page_size && shown < MAX_SHOWN; i++) {
            if (a->p->base[i] == b->p->base[i]) continue;
            fprintf(stderr, "  memory 0x%08" PRIx64 "  %02x  %02x\n", i, a->p->base[i], b->p->base[i]);
            shown++;
        }
    }
    if (shown == MAX_SHOWN) fprintf(stderr, "  ...\n");
}

static void show_insn(struct uls *ls, uint64_t n)
{
    struct ls_side *a = &ls->side[0];
    struct cpu *c = a->t->cpu;
    char text[160];
    uint64_t pc = pc_of(a);

    engine_disas(c, pc, c->key, 0, text, sizeof text);
    fprintf(stderr, "The first instruction that differs: 0x%08" PRIx64 ":  %s\n  (%" PRIu64 " instructions from the start)\n", pc, text, ls->done + n);
}

/* The second's block that contains what the first stands at after n instructions. */
static void show_block(struct uls *ls, uint64_t n)
{
    struct ls_side *a = &ls->side[0], *b = &ls->side[1];
    uint64_t pc = 0, key = 0;
    bool found = false;

    for (uint64_t j = 0; j < TRACE && j <= n && !found; j++) {
        probe(a, n - j);
        if (!j || engine_block_at(b->t->cpu, pc_of(a), a->t->cpu->key) > j) {
            pc = pc_of(a), key = a->t->cpu->key;
            found = j || engine_block_at(b->t->cpu, pc, key);
        }
    }
    probe(a, n);
    probe(b, n);
    if (!found) pc = pc_of(a), key = a->t->cpu->key;
    fprintf(stderr, "Its block:\n");
    engine_explain(b->t->cpu, pc, key, EXPLAIN_GUEST, put, NULL);
    fprintf(stderr, "IR:\n");
    engine_explain(b->t->cpu, pc, key, EXPLAIN_IR, put, NULL);
    fprintf(stderr, "IR, optimised:\n");
    engine_explain(b->t->cpu, pc, key, EXPLAIN_OPT, put, NULL);
    for (unsigned k = 0; k < 2; k++) {
        if (!ls->cfg.engine[k].backend) continue;
        fprintf(stderr, "Host code of %s:\n", ls->cfg.name[k]);
        engine_explain(ls->side[k].t->cpu, pc, key, EXPLAIN_HOST, put, NULL);
    }
}

/* ---- the file: lines of text, an empty one, registers, memory ---- */
enum { FILE_END = 0xffff };
static const char magic[] = "QUERN USER LOCKSTEP 1\n";

static int write_replay(struct uls *ls, uint64_t length, struct error *e)
{
    const char *path = ls->cfg.write ? ls->cfg.write : "lockstep.replay";
    struct ls_side *a = &ls->side[0];
    struct proc *p = a->p;
    struct state_buf b = { 0 };
    const size_t page = (size_t)p->page_size;

    if (ls->cfg.replay) return 0;
    probe(a, 0);
    isa_cpu_save(p->isa, a->t->cpu, &b);
    for (uint64_t n = 0, end = p->limit >> p->page_bits; n < end; n++) {
        if (!(p->pages[n] & PAGE_USED)) continue;
        bool there = mem_touch(a->t, n << p->page_bits);
        state_put_int(&b, p->pages[n] & (PAGE_READ | PAGE_WRITE | PAGE_EXEC), 2);
        state_put_int(&b, n << p->page_bits, 8);
        state_put_int(&b, there, 1);
        if (there) state_put(&b, p->base + (n << p->page_bits), page);
    }
    state_put_int(&b, FILE_END, 2);
    FILE *f = fopen(path, "wb");
    int rc = f ? 0 : error_set(e, "%s: %s", path, strerror(errno));
    if (f) {
        fprintf(f, "%sengines %s %s\ntarget %s\npage %" PRIu64 "\nafter %" PRIu64 "\nlength %" PRIu64 "\n\n", magic, ls->cfg.name[0], ls->cfg.name[1], p->target,
                p->page_size, ls->done, length);
        if (fwrite(b.data, 1, b.len, f) != b.len) rc = error_set(e, "%s: cannot write", path);
        if (fclose(f) && !rc) rc = error_set(e, "%s: cannot write", path);
        if (!rc) fprintf(stderr, "To see it again: the same command line with replay=%s added to -lockstep's argument.\n", path);
    }
    state_buf_free(&b);
    return rc;
}

/* The first process becomes what the rest of the file says. */
static int read_state(struct ls_side *a, struct state_buf *b, struct error *e)
{
    struct proc *p = a->p;
    uint64_t flags, addr, there;

    for (uint64_t n = 0, end = p->limit >> p->page_bits; n < end; n++)
        if (p->pages[n] & PAGE_USED) mem_munmap(p, n << p->page_bits, p->page_size);
    if (isa_cpu_load(p->isa, a->t->cpu, b, e)) return -1;
    cpu_fp_changed(a->t->cpu);
    for (;;) {
        if (!state_get_int(b, &flags, 2)) break;
        if (flags == FILE_END) return 0;
        if (!state_get_int(b, &addr, 8) || !state_get_int(b, &there, 1)) break;
        const uint8_t *from = there ? state_get(b, (size_t)p->page_size) : NULL;
        if ((there && !from) || mem_mmap(p, addr, p->page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) < 0) break;
        uint8_t *to = mem_out(p, addr, p->page_size);
        if (there && to) memcpy(to, from, (size_t)p->page_size);
        mem_mprotect(p, addr, p->page_size, (flags & PAGE_READ ? PROT_READ : 0) | (flags & PAGE_WRITE ? PROT_WRITE : 0) | (flags & PAGE_EXEC ? PROT_EXEC : 0));
    }
    return error_set(e, "the file is damaged or cut off");
}

int uls_read(struct uls *ls, uint64_t *length, struct error *e)
{
    static const size_t block = 65536;
    FILE *f = fopen(ls->cfg.replay, "rb");
    struct ls_side *a = &ls->side[0];
    struct state_buf b = { 0 };
    char line[256], target[32] = "";
    uint64_t page = 0;
    int rc = 0;

    if (!f) return error_set(e, "%s: %s", ls->cfg.replay, strerror(errno));
    bool ok = fgets(line, sizeof line, f) && !strcmp(line, magic);
    while (ok && fgets(line, sizeof line, f) && *line != '\n') {
        if (sscanf(line, "after %" SCNu64, &ls->done) == 1 || sscanf(line, "length %" SCNu64, length) == 1) continue;
        if (sscanf(line, "target %31s", target) == 1) continue;
        sscanf(line, "page %" SCNu64, &page);
    }
    uint8_t *buf = mem_alloc(block);
    for (size_t n; ok && (n = fread(buf, 1, block, f));) state_put(&b, buf, n);
    mem_free(buf);
    fclose(f);
    if (!ok || !*length) rc = error_set(e, "not a file that user mode's -lockstep has written");
    else if (strcmp(target, a->p->target) || page != a->p->page_size) rc = error_set(e, "the program was one of %s, pages of %" PRIu64 " bytes", target, page);
    else rc = read_state(a, &b, e);
    state_buf_free(&b);
    if (rc) error_prefix(e, "%s", ls->cfg.replay);
    else uls_follow(ls);
    return rc;
}

int uls_report(struct uls *ls, uint64_t n, struct error *e)
{
    struct ls_side *a = &ls->side[0], *b = &ls->side[1], *c;

    fflush(stdout);
    fprintf(stderr, "lockstep: %s and %s differ between instructions %" PRIu64 " and %" PRIu64 "\n", ls->cfg.name[0], ls->cfg.name[1], ls->done, ls->done + n);
    if (a->p->track->n > a->p->track->most || b->p->track->n > b->p->track->most) {
        show_difference(a, b);
        return error_set(e, "lockstep: too much was written to go back; a smaller every=N helps");
    }
    show_difference(a, b);
    bool repeats = again(ls, b, n);
    if (!repeats) fprintf(stderr, "It does not happen again from the last point at which they were equal: it depends on what was compiled when.\n");
    uint64_t block_end = repeats ? search(ls, b, n) : n;
    c = uls_third(ls, e);
    if (!c) return -1;
    bool exact = again(ls, c, n);
    if (!exact && repeats) fprintf(stderr, "Single instructions are right; a block, or several together, are not.\n");
    if (exact || repeats) {
        uint64_t at = exact ? search(ls, c, n) : block_end, start = unit_start(ls, at);
        show_insn(ls, start);
        if (uls_differs(ls, exact ? c : b, at)) show_difference(a, exact ? c : b);
        show_block(ls, start);
    }
    return write_replay(ls, n, e);
}
