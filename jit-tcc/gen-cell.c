/*
 * gen-cell.c - where values are: slots in their cells or in locals, temporaries, constants; the points from which a fault or a
 * slow path finds them (see tcc.h); and the choice of the slots that are locals.
 */
#include "jit-tcc/gen.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- operands -------------------------------------------------------------------------------------- */

static void cell_text(char *s, uint32_t offset, bool wide) { snprintf(s, NAME, "(*(%s*)(c+%u))", gen_cell_type(wide), (unsigned)offset); }

void gen_load(struct gen *g, unsigned l)
{
    const struct local *p = &g->code->locals[l];
    if (set_has(&g->valid, l)) return;
    PUT("L.s%u=*(%s*)(c+%u);", l, gen_cell_type(p->wide), (unsigned)p->cell);
    set_add(&g->valid, l);
}

void gen_store(struct gen *g, const struct set *which)
{
    for (unsigned l = 0; l < g->code->n_locals; l++) {
        const struct local *p = &g->code->locals[l];
        if (set_has(which, l)) PUT("*(%s*)(c+%u)=L.s%u;", gen_cell_type(p->wide), (unsigned)p->cell, l);
    }
}

static bool is_wide(const struct gen *g, ir_id x)
{
    if (ir_is_slot(x)) return g->g->slots[x].type == T_I64;
    if (ir_is_temp(x)) return g->b->temp_type[x - IR_TEMP] == T_I64;
    return g->b->const_type[x - IR_CONST] == T_I64;
}

static void name(struct gen *g, char *s, ir_id x)
{
    if (g->pass != WRITE) return;
    bool wide = x != IR_NONE && is_wide(g, x);
    if (x == IR_NONE) snprintf(s, NAME, "0");
    else if (ir_is_const(x)) snprintf(s, NAME, wide ? "0x%llxULL" : "0x%llxu", U64(g->b->consts[x - IR_CONST]));
    else if (ir_is_temp(x)) snprintf(s, NAME, "%c%u", wide ? 'j' : 'i', (unsigned)(x - IR_TEMP));
    else if (g->local_of[x] >= 0) snprintf(s, NAME, "L.s%d", g->local_of[x]);
    else cell_text(s, g->g->slots[x].offset, wide);
}

/* The text of an input; its local is loaded before. */
void gen_use(struct gen *g, char *s, ir_id x)
{
    if (ir_is_slot(x) && g->local_of[x] >= 0) gen_load(g, (unsigned)g->local_of[x]);
    name(g, s, x);
}

/* The text of an output, which the caller then writes. */
void gen_define(struct gen *g, char *s, ir_id x)
{
    if (ir_is_slot(x) && g->local_of[x] >= 0) {
        set_add(&g->valid, (unsigned)g->local_of[x]);
        set_add(&g->dirty, (unsigned)g->local_of[x]);
    }
    if (ir_is_slot(x) && g->g->slots[x].offset == CPU(key)) g->key_known = false;
    name(g, s, x);
}

/* ---- points ---------------------------------------------------------------------------------------- */

static bool room(void **p, unsigned n, unsigned *cap, size_t size)
{
    if (n < *cap) return true;
    unsigned more = *cap ? *cap * 2 : 64;
    void *q = realloc(*p, more * size);
    if (!q) return false;
    *p = q, *cap = more;
    return true;
}

/* A new entry of points[] for what comes next. */
unsigned gen_point(struct gen *g, unsigned mem, unsigned mmu, unsigned what, helper_fn fn, const struct set *dirty)
{
    struct tcc_code *c = g->code;
    if (g->pass != WRITE) return 0;
    if (!g->number) g->number = tcc_svc->point(g->r, g->bi, g->mark);
    if (!g->number) g->why = "no points left";
    if (!room((void **)&c->points, c->n_points, &c->cap_points, sizeof *c->points)) {
        g->why = "no memory";
        return 0;
    }
    c->points[c->n_points] = (struct point){ *dirty, g->number, (uint8_t)mem, (uint8_t)mmu, (uint8_t)what, fn };
    return c->n_points++;
}

unsigned gen_keep_op(struct gen *g, const struct ir_op *o)
{
    struct tcc_code *c = g->code;
    if (g->pass != WRITE) return 0;
    if (!room((void **)&c->ops, c->n_ops, &c->cap_ops, sizeof *c->ops)) {
        g->why = "no memory";
        return 0;
    }
    c->ops[c->n_ops] = *o;
    return c->n_ops++;
}

/* ---- which slots are locals -------------------------------------------------------------------------------------- */

static uint64_t successors(const struct jit_block *b)
{
    uint64_t s = 0;
    for (unsigned l = 0; l < b->blk->n_links; l++) {
        if (b->to[l] >= 0) s |= UINT64_C(1) << b->to[l];
    }
    for (unsigned k = 0; k < b->n_ind; k++) s |= UINT64_C(1) << b->ind[k];
    return s;
}

/* Blocks that can be reached from themselves. */
static uint64_t in_loops(const struct jit_region *r)
{
    uint64_t to[JIT_MAX_BLOCKS], loops = 0;
    for (unsigned i = 0; i < r->n; i++) to[i] = successors(&r->blocks[i]);
    for (unsigned k = 0; k < r->n; k++) {
        for (unsigned i = 0; i < r->n; i++) {
            if (to[i] >> k & 1) to[i] |= to[k];
        }
    }
    for (unsigned i = 0; i < r->n; i++) loops |= to[i] & UINT64_C(1) << i;
    return loops;
}

struct slot_use { uint16_t n; bool loop; };

static void count(const struct gen *g, struct slot_use *u, ir_id x, bool loop)
{
    if (!ir_is_slot(x) || x >= g->g->n_slots) return;
    if (u[x].n < UINT16_MAX) u[x].n++;
    u[x].loop |= loop;
}

bool gen_choose_locals(struct gen *g)
{
    const struct guest *guest = g->g;
    struct tcc_code *c = g->code;
    uint64_t loops = in_loops(g->r);
    struct slot_use *u = calloc(guest->n_slots, sizeof *u);
    unsigned n_wide = 0, n = 0;

    g->local_of = malloc(guest->n_slots * sizeof *g->local_of);
    c->locals = malloc(MAX_LOCALS * sizeof *c->locals);
    if (!u || !g->local_of || !c->locals) {
        free(u);
        return false;
    }
    for (unsigned i = 0; i < g->r->n; i++) {
        const struct jit_block *b = &g->r->blocks[i];
        for (unsigned k = 0; k < b->n_ops; k++) {
            const struct ir_op *o = &b->ops[k];
            unsigned cls = tcc_svc->op_info[o->op].cls;
            if (o->op == OP_INSN || o->op == OP_LABEL || o->op == OP_BR || o->op == OP_GOTO) continue;
            count(g, u, o->d, loops >> i & 1);
            count(g, u, o->a, loops >> i & 1);
            count(g, u, o->b, loops >> i & 1);
            count(g, u, o->c, loops >> i & 1);
            g->fp |= cls == CLASS_FP || cls == CLASS_FPCV || o->op == OP_FCMP;
            g->f2i |= cls == CLASS_FPCV && o->aux;
        }
    }
    for (unsigned wide = 2; wide-- > 0;) {
        for (unsigned s = 0; s < guest->n_slots; s++) {
            const struct slot_desc *d = &guest->slots[s];
            if ((d->type == T_I64) != (bool)wide) continue;
            g->local_of[s] = -1;
            /* cells of the common part are the engine's too, those of class SYS devices' */
            if (s == guest->pc_slot || d->offset < sizeof(struct cpu) || d->cls == SLOT_SYS || d->cls == SLOT_VEC) continue;
            if (n == MAX_LOCALS || !(u[s].loop || u[s].n > 1)) continue;
            c->locals[n] = (struct local){ d->offset, (uint16_t)(sizeof(struct frame) + 8 * n_wide + 4 * (n - n_wide)), wide };
            n_wide += wide;
            set_add(&g->helper_class[d->cls], n);
            if (u[s].loop) set_add(&g->preload, n);
            g->local_of[s] = (int16_t)n++;
        }
    }
    c->n_locals = n;
    free(u);
    return true;
}
