/*
 * backend.c - the gccjit backend: regions go to the worker program in batches and come back as objects, which are loaded into
 * the engine's code memory. Only tier 2, and late: compiling takes a millisecond for every dozen operations.
 */
#include "jit-gccjit/backend.h"

#include "jit-gccjit/client.h"
#include "jit-gccjit/elf-load.h"
#include "jit-gccjit/maps.h"
#include "util/log.h"

#include <stdlib.h>
#if defined __x86_64__ && HOST_GNU
#include <xmmintrin.h>
#endif

struct backend {
    struct engine *eng;
    struct gj_client *client;
};

/* What code->priv points to: the table that compiled code reads, then what it leads to. */
struct region_data {
    struct ir_op *ops;
    uint64_t *consts;
    struct gj_maps *maps;
    unsigned n_blocks;
    uint64_t table[];
};

/* ---- to the worker ---------------------------------------------------------------------------------------- */

struct buffer { uint8_t *p; size_t n, cap; };

static void *grow(struct buffer *b, size_t n)
{
    n = ALIGN_UP(n, (size_t)8);
    if (b->n + n > b->cap) {
        b->cap = MAX(b->cap * 2, b->n + n + 65536);
        b->p = mem_realloc(b->p, b->cap);
    }
    void *p = b->p + b->n;
    memset(p, 0, n);
    b->n += n;
    return p;
}

static void put(struct buffer *b, const void *from, size_t n)
{
    if (n) memcpy(grow(b, n), from, n);
}

static void encode_block(struct buffer *out, const struct jit_block *b)
{
    struct gj_block h = {
        .pc = b->blk->pc, .key = b->blk->key, .n_insns = b->blk->n_insns, .n_ops = b->n_ops, .n_consts = b->n_consts, .n_temps = b->n_temps,
        .n_labels = b->n_labels, .n_links = b->blk->n_links, .n_ind = b->n_ind, .check_ind = b->check_ind, .header = b->header,
    };
    for (unsigned l = 0; l < b->blk->n_links; l++) h.to[l] = b->to[l], h.check[l] = b->check[l], h.refund[l] = b->blk->links[l].refund;
    memcpy(h.ind, b->ind, b->n_ind * sizeof *h.ind);
    put(out, &h, sizeof h);
    put(out, b->ops, b->n_ops * sizeof *b->ops);
    put(out, b->consts, b->n_consts * sizeof *b->consts);
    put(out, b->const_type, b->n_consts);
    put(out, b->temp_type, b->n_temps);
}

static void encode(struct buffer *out, const struct jit_region *r)
{
    const struct guest *g = r->guest;
    struct gj_region h = { .n_blocks = r->n, .n_slots = g->n_slots, .n_helpers = g->n_helpers, .pc_slot = g->pc_slot, .addr_type = g->addr_type, .user = r->user, .fp_fast = r->fp_fast };
    put(out, &h, sizeof h);
    struct gj_slot *s = grow(out, g->n_slots * sizeof *s);
    for (unsigned i = 0; i < g->n_slots; i++) s[i] = (struct gj_slot){ g->slots[i].offset, g->slots[i].type, g->slots[i].cls, 0 };
    struct gj_helper *p = grow(out, g->n_helpers * sizeof *p);
    for (unsigned i = 0; i < g->n_helpers; i++) p[i] = (struct gj_helper){ g->helpers[i].flags, g->helpers[i].reads, g->helpers[i].writes, 0 };
    for (unsigned i = 0; i < r->n; i++) encode_block(out, &r->blocks[i]);
}

/* ---- from the worker ---------------------------------------------------------------------------------------- */

/* After the host made a NaN: what of that is invalid to the guest is found here, and in cpu->fp.flags then (gen-fp.c). */
static uint64_t slow_fp(struct cpu *cpu, const struct ir_op *o, uint64_t a, uint64_t b, uint64_t c)
{
#if defined __x86_64__ && HOST_GNU
    if (cpu->fp_fast) _mm_setcsr(_mm_getcsr() & ~1u);
#endif
    return jit_op(cpu, o, a, b, c);
}

static void free_region(struct region_data *d)
{
    free(d->ops);
    free(d->consts);
    gj_maps_free(d->maps);
    free(d);
}

static struct region_data *make_table(const struct jit_region *r, const char **why)
{
    unsigned marks = 0, n_ops = 0, n_consts = 0;
    for (unsigned i = 0; i < r->n; i++) {
        n_ops += r->blocks[i].n_ops, n_consts += r->blocks[i].n_consts;
        for (unsigned k = 0; k < r->blocks[i].n_ops; k++) marks += r->blocks[i].ops[k].op == OP_INSN;
    }
    struct region_data *d = mem_zalloc(sizeof *d + (gjt_points(r->n) + marks) * sizeof d->table[0]);
    d->ops = NEW_ARRAY(struct ir_op, n_ops);
    d->consts = NEW_ARRAY(uint64_t, n_consts + 1u);
#define ADDRESS(x) ((uint64_t)(uintptr_t)(x))
    d->table[GJT_LD] = ADDRESS(jit_ld), d->table[GJT_ST] = ADDRESS(jit_st), d->table[GJT_CAS] = ADDRESS(jit_cas), d->table[GJT_RMW] = ADDRESS(jit_rmw);
    d->table[GJT_OP] = ADDRESS(jit_op), d->table[GJT_FETCH_FAULT] = ADDRESS(jit_fetch_fault), d->table[GJT_HELPERS] = ADDRESS(r->guest->helpers);
    d->table[GJT_REF] = ADDRESS(ref_exec_op), d->table[GJT_FP] = ADDRESS(slow_fp);
    struct ir_op *ops = d->ops;
    uint64_t *consts = d->consts;
    unsigned point = gjt_points(r->n);
    for (unsigned i = 0; i < r->n; i++) {
        const struct jit_block *b = &r->blocks[i];
        memcpy(ops, b->ops, b->n_ops * sizeof *ops);
        memcpy(consts, b->consts, b->n_consts * sizeof *consts);
        d->table[gjt_blk(i)] = ADDRESS(b->blk);
        d->table[gjt_consts(r->n, i)] = ADDRESS(consts);
        d->table[gjt_ops(r->n, i)] = ADDRESS(ops);
        for (unsigned l = 0; l < b->blk->n_links; l++) d->table[gjt_link(r->n, i, l)] = ADDRESS(&b->blk->links[l]);
        unsigned mark = 0;
        for (unsigned k = 0; k < b->n_ops; k++) {
            if (b->ops[k].op != OP_INSN) continue;
            d->table[point] = jit_point(r, i, mark++);
            if (!d->table[point++]) {
                *why = "no points left";
                free_region(d);
                return NULL;
            }
        }
        ops += b->n_ops, consts += b->n_consts;
    }
    d->n_blocks = r->n;
    return d;
}

static bool install(struct backend *s, const uint8_t *object, size_t size, struct jit_region *const *r, unsigned n, struct jit_code *const *code, bool *ok,
                    const char **why)
{
    struct elf_plan plan;
    struct codemem m;

    if (!elf_plan(&plan, object, size, n, why)) return false;
    bool done = false;
    if (!jit_code_alloc(s->eng, plan.size + 64, &m)) {
        *why = "no code memory";
    } else {
        size_t skip = (size_t)(ALIGN_UP((uintptr_t)m.rx, (uintptr_t)64) - (uintptr_t)m.rx);
        done = elf_place(&plan, m.rw + skip, m.rx + skip, why);
        jit_code_trim(s->eng, &m, done ? skip + plan.size : 0);
        if (done) jit_code_flush_icache(m.rx + skip, plan.size);
        size_t last = 0, maps_size = 0;
        const uint8_t *maps = elf_section(&plan, ".quern.map", &maps_size);
        *why = NULL;
        for (unsigned i = 0; done && i < n; i++) {
            const uint8_t *text = m.rx + skip + plan.functions[i].at;
            /* the engine finds code by address, in the order in which it was made */
            struct region_data *d = plan.functions[i].at < last ? NULL : make_table(r[i], why);
            if (!d) continue;
            if (r[i]->user && maps) d->maps = gj_maps_new(maps, maps_size, i, why);
            if (*why) {
                free_region(d);
                continue;
            }
            code[i]->priv = d->table;
            last = plan.functions[i].at + plan.functions[i].size;
            code[i]->text = text;
            code[i]->text_size = plan.functions[i].size;
            code[i]->entry = (jit_entry_fn)(uintptr_t)text;
            ok[i] = true;
        }
    }
    elf_plan_free(&plan);
    return done;
}

static void compile_some(struct backend *s, struct jit_region *const *r, unsigned n, struct jit_code *const *code, bool *ok, const char **why)
{
    struct buffer b = { NULL, 0, 0 };
    size_t size;
    bool dead = false;

    for (unsigned i = 0; i < n; i++) encode(&b, r[i]);
    uint8_t *object = NULL;
    if (b.n < GJ_MAX_SIZE) {
        jit_park(s->eng);
        object = gj_client_compile(s->client, b.p, b.n, n, &size, &dead);
        jit_unpark(s->eng);
    }
    mem_free(b.p);
    if (object) {
        if (!install(s, object, size, r, n, code, ok, why)) LOG(OUT_ASM, "gccjit: object not loaded: %s\n", *why);
    } else if (!dead && n > 1) { /* one of them is what it does not like */
        compile_some(s, r, n / 2, code, ok, why);
        compile_some(s, r + n / 2, n - n / 2, code + n / 2, ok + n / 2, why);
    } else {
        *why = dead ? "no worker program" : "the compiler refused it";
    }
    free(object);
}

static void compile_batch(void *state, struct jit_region *const *r, unsigned n, struct jit_code *const *code, bool *ok)
{
    struct backend *s = state;
    const char *why = NULL;

    while (n) {
        unsigned k = MIN(n, (unsigned)GJ_BATCH);
        compile_some(s, r, k, code, ok, &why);
        r += k, code += k, ok += k, n -= k;
    }
}

static bool compile(void *state, const struct jit_region *r, struct jit_code *code, const char **why)
{
    struct backend *s = state;
    struct jit_region *one = (struct jit_region *)(uintptr_t)r;
    bool ok = false;

    if (r->count) {
        *why = "a block that counts";
        return false;
    }
    compile_some(s, &one, 1, &code, &ok, why);
    return ok;
}

static struct region_data *data_of(const struct jit_code *code)
{
    return (struct region_data *)(void *)((char *)code->priv - offsetof(struct region_data, table));
}

static bool recover(const struct jit_code *code, struct cpu *cpu, const void *ucontext)
{
    const struct region_data *d = data_of(code);
    return d->maps && gj_maps_recover(d->maps, code->text, cpu, ucontext, &d->table[gjt_points(d->n_blocks)]);
}

static void release(void *state, struct jit_code *code)
{
    struct region_data *d = data_of(code);
    (void)state;
    free_region(d);
}

static void *init(struct engine *eng, struct error *e)
{
    struct backend *s = NEW(struct backend);
    (void)e;
    s->eng = eng;
    s->client = gj_client_new();
    return s;
}

static void fini(void *state)
{
    struct backend *s = state;
    gj_client_free(s->client);
    free(s);
}

static void leave(void *state) { gj_client_leave(((struct backend *)state)->client); }
static void forked(void *state) { gj_client_forked(((struct backend *)state)->client); }

const struct jit_backend jit_gccjit_backend = {
    .name = "gccjit", .help = "very hot regions by libgccjit, in a process of its own",
    .tiers = 2, .threshold = { 0, 200000 }, .batch = GJ_BATCH,
    .init = init, .fini = fini, .compile = compile, .compile_batch = compile_batch, .release = release, .recover = recover,
    .leave = leave, .forked = forked,
};
