/*
 * native.c - the backend descriptor of the in-house code generator, and the host-neutral part of its life: compiling a region,
 * putting the guest's state in order after a host fault.
 */
#include "interp/eval.h"
#include "jit-native/native.h"

#include "jit-native/lower.h"

#include <stdlib.h>

static void *native_init(struct engine *eng, struct error *e) { return host_init(eng, e); }
static void native_fini(void *state) { host_fini(state); }

static ir_id place_of(const struct gen *g, ir_id x)
{
    if (x == IR_NONE) return x;
    return (ir_id)(g->slot_reg[x] >= 0 ? g->slot_reg[x] : REGS + (int)x);
}

static void keep_states(const struct gen *g, struct native_code *nc)
{
    nc->guest = g->guest;
    nc->x87_written = g->x87_written;
    if (!g->states || g->n_states < 2) return;
    nc->states = NEW_ARRAY(struct gen_state, g->n_states);
    memcpy(nc->states, g->states, g->n_states * sizeof *nc->states);
    for (unsigned i = 0; i < g->n_states; i++) {
        for (unsigned n = 0; n < g->guest->n_lazy; n++) {
            struct gen_lazy *z = &nc->states[i].v[n];
            z->a = place_of(g, z->a), z->b = place_of(g, z->b);
        }
    }
}

static uint64_t value_at(const struct native_code *nc, const struct cpu *cpu, const void *context, ir_id place, uint64_t k)
{
    if (place == IR_NONE) return k;
    unsigned type = place < REGS ? nc->type[place] : nc->guest->slots[place - REGS].type;
    const void *cell = (const char *)cpu + (place < REGS ? 0 : nc->guest->slots[place - REGS].offset);
    uint64_t v = place < REGS ? host_context_reg(context, place) : type == T_I64 ? *(const uint64_t *)cell : *(const uint32_t *)cell;
    return type == T_I64 ? v : (uint32_t)v;
}

/* Lazy slots into their cells. */
static void settle_lazy(const struct native_code *nc, struct cpu *cpu, const void *context, unsigned state)
{
    for (unsigned n = 0; state && n < nc->guest->n_lazy; n++) {
        const struct gen_lazy *z = &nc->states[state].v[n];
        const struct slot_desc *d = &nc->guest->slots[nc->guest->lazy_first + n];
        if (z->op >= OP_COUNT) continue;
        uint64_t v = eval_pure(z->op, z->type, z->aux, value_at(nc, cpu, context, z->a, z->ka), value_at(nc, cpu, context, z->b, z->kb), 0);
        void *cell = (char *)cpu + d->offset;
        if (d->type == T_I64) *(uint64_t *)cell = v;
        else *(uint32_t *)cell = (uint32_t)v;
    }
}

static bool native_compile(void *state, const struct jit_region *r, struct jit_code *code, const char **why)
{
    struct gen g = { .r = r, .guest = r->guest, .regs = host_regs(state) };
    struct gen_point *points = NULL;
    uint32_t n = 0;

    if (r->user && r->eng->n_watches) { /* the accesses would not be seen; the next change of watchpoints drops all code */
        *why = "watchpoints";
        return false;
    }
    for (unsigned i = 0; i < r->n; i++) {
        for (unsigned k = 0; k < r->blocks[i].n_ops; k++) {
            unsigned op = r->blocks[i].ops[k].op;
            if (host_traits.vectors || (ir_op_info[op].cls != CLASS_VEC && op != OP_LD2 && op != OP_ST2)) continue;
            *why = "vectors or pairs of cells";
            return false;
        }
    }
    if (host_traits.prepares) gen_prepare(&g);
    gen_allocate(&g);
    if (host_traits.facts) gen_facts(&g);
    bool ok = lower_region(host_lowering(state), &g, code, &points, &n, why);
    if (ok) {
        struct native_code *nc = mem_zalloc(sizeof *nc);
        nc->n_points = n;
        nc->pairs = g.pairs;
        if (n) {
            nc->points = NEW_ARRAY(struct gen_point, n);
            memcpy(nc->points, points, n * sizeof *points);
        }
        for (unsigned i = 0; i < REGS; i++) {
            if (g.reg_slot[i] == IR_NONE) continue;
            nc->offset[i] = g.guest->slots[g.reg_slot[i]].offset;
            nc->type[i] = g.guest->slots[g.reg_slot[i]].type;
        }
        keep_states(&g, nc);
        code->priv = nc;
        code->entry = host_entry(state, r->user);
    }
    arena_free(&g.arena);
    return ok;
}

static void native_release(void *state, struct jit_code *code)
{
    struct native_code *nc = code->priv;
    (void)state;
    free(nc->points);
    free(nc->states);
    free(nc);
}

static bool native_recover(const struct jit_code *code, struct cpu *cpu, const void *context)
{
    const struct native_code *nc = code->priv;
    uintptr_t at = host_context_pc(context) - (uintptr_t)code->text;
    uint32_t lo = 0, hi = nc->n_points;

    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (nc->points[mid].at <= at) lo = mid;
        else hi = mid;
    }
    if (lo == hi || nc->points[lo].at != at) return false;
    const struct gen_point *p = &nc->points[lo];
    settle_lazy(nc, cpu, context, p->state);
    if (p->x87 != GEN_NO_X87) host_recover_x87(context, cpu, nc->guest, p->x87, nc->x87_written);
    for (unsigned i = 0; i < REGS; i++) {
        if (!(p->dirty >> i & 1)) continue;
        uint64_t v = host_context_reg(context, i);
        if (p->narrow >> i & 1) v = (uint64_t)(int64_t)(int32_t)(uint32_t)v;
        void *cell = (char *)cpu + nc->offset[i];
        if (nc->type[i] == T_I64) *(uint64_t *)cell = v;
        else *(uint32_t *)cell = (uint32_t)v;
        if (nc->pairs >> i & 1) ((uint64_t *)cell)[1] = host_context_high(context, i);
    }
    cpu->icount_left = host_context_icount(context);
    cpu->xpoint = p->point;
    return true;
}

static const void *native_exit_stub(void *state) { return host_exit_stub(state); }

const struct jit_backend jit_native_backend = {
    .name = "native", .help = "the in-house code generator for this host",
    .tiers = 3, .threshold = { 250, 16000 }, .quick = true, .keeps_underflow = true,
    .init = native_init, .fini = native_fini, .compile = native_compile, .release = native_release, .recover = native_recover,
    .exit_stub = native_exit_stub,
};
