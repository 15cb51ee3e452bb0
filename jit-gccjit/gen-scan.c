/*
 * gen-scan.c - the worker's code generator: what ops do to the flow of knowledge, and what is known of a region from that before
 * code is made: which variables may differ from their cells, which slots hold no NaN, where a kick may come from.
 */
#include "jit-gccjit/gen.h"

#include <stdlib.h>

bool gen_is_fp(const struct ir_op *o)
{
    switch (o->op) {
#define FPOP(N, n, in, soft, host) case OP_##N:
#define FPCV(N, n, ti, to) case OP_##N:
#include "interp/ops.def"
    case OP_FCMP: case OP_FMA: case OP_FROUND: case OP_FMIN: case OP_FMAX: return true;
    default: return false;
    }
}

bool gen_is_pure(const struct ir_op *o)
{
    switch (o->op) {
#define PURE(N, n, in, fl, ty, e) case OP_##N:
#define CONV(N, n, in, fl, ti, to, e) case OP_##N:
#include "interp/ops.def"
    case OP_SETC: return true;
    default: return false;
    }
}

bool gen_is_mem(const struct ir_op *o) { return o->op == OP_LD || o->op == OP_ST || o->op == OP_CAS || o->op == OP_RMW; }
static bool is_vector(const struct ir_op *o)
{
    switch (o->op) {
#define VEC(N, n, in, e) case OP_##N:
#define VECX(N, n, in) case OP_##N:
#include "interp/ops.def"
        return true;
    default: return false;
    }
}

/* Others run by the reference on cells and cpu->temps. */
bool gen_known_op(const struct ir_op *o)
{
    if (gen_is_fp(o) || gen_is_pure(o) || gen_is_mem(o)) return true;
    switch (o->op) {
    case OP_FENCE: case OP_INSN: case OP_LABEL: case OP_BR: case OP_BRL: case OP_BRC: case OP_GOTO: case OP_IND: case OP_EXIT: case OP_CALL:
    case OP_FETCHF: return true;
    default: return false;
    }
}

/* Cells that operand k (0: d, 1: a, 2: b, 3: c) stands for. */
unsigned gen_operand_cells(const struct ir_op *o, unsigned k)
{
    const ir_id x[4] = { o->d, o->a, o->b, o->c };
    return x[k] == IR_NONE || o->op == OP_INSN ? 0 : is_vector(o) ? ir_vec_cells(o, k) : 1;
}
/* Is operand k written? */
bool gen_operand_out(const struct ir_op *o, unsigned k)
{
    return (k == 0 && o->op != OP_ST && o->op != OP_ST2) || (k == 3 && o->op == OP_LD2);
}

static bool mem_sync(const struct gen *g, const struct ir_op *o) { return gen_is_mem(o) && ((g->r->h->user && !g->maps) || o->op == OP_CAS || o->op == OP_RMW); }

const struct gj_helper *gen_helper_of(const struct gen *g, const struct ir_op *o) { return &g->r->helpers[o->aux]; }
bool gen_pure_helper(const struct gj_helper *h) { return h->flags & HELPER_PURE; }

/* Must cell i be in memory before helper h, and may it be another after it? The CPU's own fields always. */
bool gen_helper_reads(const struct gen *g, const struct gj_helper *h, unsigned i)
{
    if (i >= g->r->h->n_slots || (h->flags & (HELPER_RAISE | HELPER_MEM | HELPER_TIME))) return true;
    return (h->reads | h->writes) >> g->cell[i].cls & 1;
}
bool gen_helper_writes(const struct gen *g, const struct gj_helper *h, unsigned i)
{
    return i >= g->r->h->n_slots ? i != g->ic : h->writes >> g->cell[i].cls & 1;
}

static void edge_dirty(struct gen *g, int to, const struct gen_set *d, bool *changed)
{
    if (to < 0) return;
    struct gen_set *in = &g->pb[to].dirty_in, old = *in;
    set_or(in, d);
    if (memcmp(&old, in, sizeof old)) *changed = true;
}

static bool cell_var(const struct gen *g, ir_id d) { return ir_is_slot(d) && g->cell[d].var; }

/* One round over a block: which variables may be dirty where, as the generator will find it. */
static void scan_dirty(struct gen *g, unsigned n, bool *changed)
{
    const struct gen_block *b = &g->r->blocks[n];
    struct gen_set d = g->pb[n].dirty_in, *label = calloc(b->h->n_labels + 1u, sizeof *label);

    set_add(&d, g->ic);
    for (unsigned i = 0; i < b->h->n_ops; i++) {
        const struct ir_op *o = &b->ops[i];
        switch (o->op) {
        case OP_LABEL: set_or(&d, &label[o->aux]); break;
        case OP_BR: case OP_BRL: set_or(&label[o->aux], &d); break;
        case OP_BRC: case OP_GOTO: {
            struct gen_set out = d;
            set_add(&out, g->ic);
            edge_dirty(g, b->h->to[o->aux], &out, changed);
            break;
        }
        case OP_IND: {
            struct gen_set out = d;
            set_add(&out, g->ic);
            for (unsigned k = 0; k < b->h->n_ind; k++) edge_dirty(g, b->h->ind[k], &out, changed);
            break;
        }
        case OP_CALL:
            if (!gen_pure_helper(gen_helper_of(g, o))) {
                for (unsigned c = 0; c < g->n_cells; c++) {
                    if (gen_helper_reads(g, gen_helper_of(g, o), c)) set_del(&d, c);
                }
            }
            if (o->d != IR_NONE && cell_var(g, o->d)) set_add(&d, o->d);
            break;
        case OP_ST: case OP_LD: case OP_CAS: case OP_RMW:
            if (mem_sync(g, o)) d = (struct gen_set){ { 0 } };
            if (o->op != OP_ST && cell_var(g, o->d)) set_add(&d, o->d);
            break;
        default:
            if (!gen_known_op(o)) d = (struct gen_set){ { 0 } };
            if (gen_is_fp(o) && g->has_fp) set_add(&d, g->note_a), set_add(&d, g->note_b), set_add(&d, g->note_op), set_add(&d, g->note_aux);
            if ((gen_is_fp(o) || gen_is_pure(o)) && cell_var(g, o->d)) set_add(&d, o->d);
        }
    }
    free(label);
}

static void find_ever_dirty(struct gen *g)
{
    set_add(&g->ever_dirty, g->ic);
    if (g->has_fp) set_add(&g->ever_dirty, g->note_a), set_add(&g->ever_dirty, g->note_b), set_add(&g->ever_dirty, g->note_op), set_add(&g->ever_dirty, g->note_aux);
    for (unsigned n = 0; n < g->r->h->n_blocks; n++) {
        const struct gen_block *b = &g->r->blocks[n];
        for (unsigned i = 0; i < b->h->n_ops; i++) {
            const struct ir_op *o = &b->ops[i];
            if (o->op != OP_INSN && o->op != OP_ST && ir_is_slot(o->d) && gen_known_op(o)) set_add(&g->ever_dirty, o->d);
        }
    }
}

static void forget_outputs(struct gen *g, const struct ir_op *o, struct gen_set *f, uint8_t *temp)
{
    const ir_id x[] = { o->d, o->a, o->b, o->c };
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned c = 0; gen_operand_out(o, k) && c < gen_operand_cells(o, k); c++) {
            if (ir_is_temp(x[k])) temp[x[k] - IR_TEMP + c] = 0;
            else if (x[k] + c < g->r->h->n_slots) set_del(f, x[k] + c);
        }
    }
}

/* Fast versions: which slots are no NaN at the start of each block, if they are in all blocks before it; only those that
 * some comparison that can follow uses. */
static void scan_numbers(struct gen *g)
{
    const unsigned n = g->r->h->n_blocks;
    bool changed = true;

    while (changed) { /* used: compared from here on */
        changed = false;
        for (unsigned i = n; i-- > 0;) {
            const struct gen_block *b = &g->r->blocks[i];
            struct gen_set u = { { 0 } }, old = g->pb[i].used;
            for (unsigned l = 0; l < b->h->n_links; l++) {
                if (b->h->to[l] >= 0) set_or(&u, &g->pb[b->h->to[l]].used);
            }
            for (unsigned k = 0; k < b->h->n_ind; k++) set_or(&u, &g->pb[b->h->ind[k]].used);
            for (unsigned k = b->h->n_ops; k-- > 0;) {
                const struct ir_op *o = &b->ops[k];
                bool writes = gen_is_pure(o) || gen_is_fp(o) || o->op == OP_LD || o->op == OP_RMW || o->op == OP_CAS || o->op == OP_CALL;
                bool moved = o->op == OP_MOV && ir_is_slot(o->a) && ir_is_slot(o->d) && set_has(&u, o->d);
                if (writes && ir_is_slot(o->d) && !b->h->n_labels) set_del(&u, o->d);
                if (moved && g->cell[o->a].var) set_add(&u, o->a);
                if (o->op != OP_FCMP) continue;
                if (ir_is_slot(o->a) && g->cell[o->a].var) set_add(&u, o->a);
                if (ir_is_slot(o->b) && g->cell[o->b].var) set_add(&u, o->b);
            }
            g->pb[i].used = u;
            if (memcmp(&old, &u, sizeof u)) changed = true;
        }
    }
    for (unsigned i = 0; i < n; i++) g->pb[i].number_in = g->pb[i].used;
    for (changed = true; changed;) {
        changed = false;
        for (unsigned i = 0; i < n; i++) {
            const struct gen_block *b = &g->r->blocks[i];
            struct gen_set f = g->pb[i].number_in;
            uint8_t temp[IR_MAX_TEMPS] = { 0 };
            for (unsigned k = 0; k < b->h->n_ops; k++) {
                const struct ir_op *o = &b->ops[k];
                if (o->op == OP_LABEL) { /* what is known depends on the way: only what was at the start, and is not written */
                    f = g->pb[i].number_in;
                    for (unsigned w = 0; w < k; w++) forget_outputs(g, &b->ops[w], &f, temp);
                    memset(temp, 0, sizeof temp);
                }
                if (o->op == OP_CALL && !gen_pure_helper(gen_helper_of(g, o))) {
                    for (unsigned c = 0; c < g->r->h->n_slots; c++) {
                        if (gen_helper_writes(g, gen_helper_of(g, o), c)) set_del(&f, c);
                    }
                }
                if (o->op == OP_BRC || o->op == OP_GOTO || o->op == OP_IND) {
                    for (unsigned e = 0; e < (o->op == OP_IND ? b->h->n_ind : 1u); e++) {
                        int to = o->op == OP_IND ? b->h->ind[e] : b->h->to[o->aux];
                        if (to < 0) continue;
                        struct gen_set old = g->pb[to].number_in;
                        for (unsigned w = 0; w < GEN_WORDS; w++) g->pb[to].number_in.w[w] &= f.w[w];
                        if (memcmp(&old, &g->pb[to].number_in, sizeof old)) changed = true;
                    }
                    continue;
                }
                if (gen_is_fp(o) && gen_fp_inline(o)) { /* results are no NaNs in the fast version */
                    bool to_int = o->op == OP_F32_I32 || o->op == OP_F32_I64 || o->op == OP_F64_I32 || o->op == OP_F64_I64, cmp = o->op == OP_FCMP;
                    if (cmp && ir_is_slot(o->a) && g->cell[o->a].var) set_add(&f, o->a);
                    if (cmp && ir_is_temp(o->a)) temp[o->a - IR_TEMP] = 1;
                    if (cmp && ir_is_slot(o->b) && g->cell[o->b].var) set_add(&f, o->b);
                    if (cmp && ir_is_temp(o->b)) temp[o->b - IR_TEMP] = 1;
                    bool known = !to_int && o->op != OP_FCMP;
                    if (ir_is_temp(o->d)) temp[o->d - IR_TEMP] = known;
                    else if (known && g->cell[o->d].var) set_add(&f, o->d);
                    else set_del(&f, o->d);
                } else if (o->op == OP_MOV && !ir_is_const(o->a)) {
                    bool known = ir_is_slot(o->a) ? set_has(&f, o->a) : temp[o->a - IR_TEMP];
                    if (ir_is_temp(o->d)) temp[o->d - IR_TEMP] = known;
                    else if (known && g->cell[o->d].var) set_add(&f, o->d);
                    else set_del(&f, o->d);
                } else if (!gen_known_op(o)) {
                    forget_outputs(g, o, &f, temp);
                } else if (o->op != OP_INSN && o->op != OP_ST && o->d != IR_NONE) {
                    if (ir_is_slot(o->d)) set_del(&f, o->d);
                    else if (ir_is_temp(o->d)) temp[o->d - IR_TEMP] = 0;
                }
            }
        }
    }
}

/* A kick is seen at the next block after a helper or slow path. */
static void scan_kicks(struct gen *g)
{
    for (unsigned n = 0; n < g->r->h->n_blocks; n++) {
        const struct gen_block *b = &g->r->blocks[n];
        bool may = false;
        for (unsigned i = 0; i < b->h->n_ops; i++) may |= (gen_is_mem(&b->ops[i]) && !g->r->h->user) || !gen_known_op(&b->ops[i]) || (b->ops[i].op == OP_CALL && !gen_pure_helper(gen_helper_of(g, &b->ops[i])));
        if (!may) continue;
        for (unsigned l = 0; l < b->h->n_links; l++) {
            if (b->h->to[l] >= 0) g->pb[b->h->to[l]].kick = true;
        }
        for (unsigned k = 0; k < b->h->n_ind; k++) g->pb[b->h->ind[k]].kick = true;
    }
}

void gen_scan(struct gen *g)
{
    bool changed = true;
    find_ever_dirty(g);
    while (changed) {
        changed = false;
        for (unsigned n = 0; n < g->r->h->n_blocks; n++) scan_dirty(g, n, &changed);
    }
    if (g->has_fp) scan_numbers(g);
    scan_kicks(g);
}
