/*
 * gen.c - a region as one function: cells as local variables, blocks, edges and exits by the contract of interp/jit.h.
 *
 * Slots live in local variables for the whole region: loaded at the entry, stored where the contract wants them. `dirty` says
 * which may differ from their cells at a place. A region with host floating point has two versions of each block: the fast
 * one may take for granted that certain slots hold no NaN, the slow one nothing (gen-fp.c); an edge from the slow
 * version leads through a check to the fast one.
 */
#include "jit-gccjit/gen.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- operands ---------------------------------------------------------------------------------------- */

unsigned gen_type_of(const struct gen *g, ir_id x)
{
    const struct gen_block *b = &g->r->blocks[g->b];
    if (ir_is_slot(x)) return g->cell[x].type;
    if (ir_is_temp(x)) return b->temp_type[x - IR_TEMP];
    return b->const_type[x - IR_CONST];
}

static gcc_jit_type *int_type(struct gen *g, unsigned type) { return type == T_I64 ? g->u64 : g->u32; }
static gcc_jit_type *float_type(struct gen *g, unsigned type) { return type == T_I64 ? g->f64 : g->f32; }
static gcc_jit_type *kind_type(struct gen *g, unsigned type, unsigned kind) { return kind == KIND_FLOAT ? float_type(g, type) : int_type(g, type); }

static gj_lv *temp_var(struct gen *g, ir_id x, unsigned *kind)
{
    unsigned n = x - IR_TEMP, type = g->r->blocks[g->b].temp_type[n];
    *kind = g->temp_kind[n];
    gj_lv **v = &g->temp[type][*kind][n];
    if (!*v) *v = gx_var(g, kind_type(g, type, *kind));
    return *v;
}

gj_rv *gen_cell_load(struct gen *g, uint32_t offset, gcc_jit_type *t, bool is_volatile)
{
    gj_rv *p = gcc_jit_lvalue_get_address(gcc_jit_context_new_array_access(g->ctx, NULL, g->cpu, gx_int(g, g->u64, offset)), NULL);
    p = gx_cast(g, p, gcc_jit_type_get_pointer(is_volatile ? gcc_jit_type_get_volatile(t) : t));
    return gcc_jit_lvalue_as_rvalue(gcc_jit_rvalue_dereference(p, NULL));
}

void gen_cell_store(struct gen *g, uint32_t offset, gcc_jit_type *t, gj_rv *v, bool is_volatile)
{
    gj_rv *p = gcc_jit_lvalue_get_address(gcc_jit_context_new_array_access(g->ctx, NULL, g->cpu, gx_int(g, g->u64, offset)), NULL);
    p = gx_cast(g, p, gcc_jit_type_get_pointer(is_volatile ? gcc_jit_type_get_volatile(t) : t));
    gcc_jit_block_add_assignment(g->blk, NULL, gcc_jit_rvalue_dereference(p, NULL), v);
}

static gcc_jit_type *cell_type(struct gen *g, unsigned i) { return i == g->ic ? g->i64 : kind_type(g, g->cell[i].type, g->cell[i].kind); }

gj_rv *gen_cell_value(struct gen *g, unsigned i)
{
    gj_rv *v = gcc_jit_lvalue_as_rvalue(g->cell[i].var);
    return g->cell[i].wide ? gx_cast(g, v, g->u32) : v;
}

void gen_cell_set(struct gen *g, unsigned i, gj_rv *v) { gx_set(g, g->cell[i].var, g->cell[i].wide ? gx_cast(g, v, g->u64) : v); }
void gen_cell_spill(struct gen *g, unsigned i) { gen_cell_store(g, g->cell[i].offset, cell_type(g, i), gen_cell_value(g, i), g->r->h->user); }
void gen_cell_fill(struct gen *g, unsigned i) { gen_cell_set(g, i, gen_cell_load(g, g->cell[i].offset, cell_type(g, i), false)); }

/* A value that is in no variable is read at once, so that later writes do not change it. */
static gj_rv *read_raw(struct gen *g, ir_id x, unsigned *kind)
{
    if (ir_is_temp(x)) return gcc_jit_lvalue_as_rvalue(temp_var(g, x, kind));
    struct gen_cell *c = &g->cell[x];
    *kind = c->kind;
    if (c->var) return gen_cell_value(g, x);
    gj_lv *v = gx_var(g, kind_type(g, c->type, c->kind));
    gx_set(g, v, gen_cell_load(g, c->offset, kind_type(g, c->type, c->kind), g->r->h->user));
    return gcc_jit_lvalue_as_rvalue(v);
}

struct gv gen_read(struct gen *g, ir_id x)
{
    if (ir_is_const(x)) return gx_const(g, gen_type_of(g, x) == T_I64 ? 64 : 32, g->r->blocks[g->b].consts[x - IR_CONST]);
    if (ir_is_slot(x) && g->bits[x]) return (struct gv){ .r = gcc_jit_lvalue_as_rvalue(g->bits[x]) };
    unsigned kind, type = gen_type_of(g, x);
    gj_rv *v = read_raw(g, x, &kind);
    return (struct gv){ .r = kind == KIND_FLOAT ? gx_bits(g, v, int_type(g, type)) : v };
}

gj_rv *gen_read_float(struct gen *g, ir_id x)
{
    unsigned type = gen_type_of(g, x), kind;
    if (ir_is_const(x)) {
        gj_lv *v = gx_var(g, int_type(g, type));
        gx_set(g, v, gen_read(g, x).r);
        return gx_bits(g, gcc_jit_lvalue_as_rvalue(v), float_type(g, type));
    }
    gj_rv *v = read_raw(g, x, &kind);
    return kind == KIND_FLOAT ? v : gx_bits(g, v, float_type(g, type));
}

gj_rv *gen_u64(struct gen *g, ir_id x) { return x == IR_NONE ? gx_int(g, g->u64, 0) : gx_cast(g, gen_read(g, x).r, g->u64); }

void gen_assign_cell(struct gen *g, unsigned i, gj_rv *v)
{
    if (g->txn.watch) gen_txn_cell(g, i);
    g->bits[i] = NULL;
    gen_cell_set(g, i, v);
    set_add(&g->f.dirty, i);
}

void gen_write(struct gen *g, ir_id d, gj_rv *v, bool is_float)
{
    unsigned type = gen_type_of(g, d), kind = ir_is_temp(d) ? g->temp_kind[d - IR_TEMP] : g->cell[d].kind;
    gj_lv *bits = NULL;
    if (kind == KIND_FLOAT && !is_float) {
        bits = gx_var(g, int_type(g, type));
        gx_set(g, bits, v);
        v = gen_opaque(g, gx_bits(g, gcc_jit_lvalue_as_rvalue(bits), float_type(g, type))); /* a map can't describe a constant */
    }
    if (kind == KIND_INT && is_float) v = gx_bits(g, v, int_type(g, type));
    if (ir_is_temp(d)) {
        gj_lv *t = temp_var(g, d, &kind);
        if (g->txn.watch) gen_txn_temp(g, d - IR_TEMP, t);
        gx_set(g, t, v);
        g->f.temp_number[d - IR_TEMP] = 0;
        return;
    }
    set_del(&g->f.number, d);
    if (g->cell[d].var) gen_assign_cell(g, d, v), g->bits[d] = bits;
    else gen_cell_store(g, g->cell[d].offset, kind_type(g, type, kind), v, g->r->h->user);
}

gj_rv *gen_table(struct gen *g, unsigned index, gcc_jit_type *t)
{
    gj_rv *p = gx_cast(g, gcc_jit_lvalue_as_rvalue(g->table), gcc_jit_type_get_pointer(t));
    return gcc_jit_lvalue_as_rvalue(gcc_jit_context_new_array_access(g->ctx, NULL, p, gx_int(g, g->u64, index)));
}

static void set_or(struct gen_set *to, const struct gen_set *from)
{
    for (unsigned i = 0; i < GEN_WORDS; i++) to->w[i] |= from->w[i];
}

gcc_jit_block *gen_slow_entry(struct gen *g, unsigned at, const struct gen_set *dirty)
{
    struct gen_per_block *p = &g->pb[g->b];
    unsigned n = g->r->blocks[g->b].h->n_ops;
    if (!p->slow_at) p->slow_at = calloc(n, sizeof *p->slow_at), p->slow_dirty = calloc(n, sizeof *p->slow_dirty);
    if (!p->slow_at[at]) p->slow_at[at] = gx_block(g);
    set_or(&p->slow_dirty[at], dirty);
    return p->slow_at[at];
}

/* ---- what ops do to the flow of knowledge -------------------------------------------------------------- */

static bool is_fp(const struct ir_op *o)
{
    switch (o->op) {
#define FPOP(N, n, in, soft, host) case OP_##N:
#define FPCV(N, n, ti, to) case OP_##N:
#include "interp/ops.def"
    case OP_FCMP: case OP_FMA: case OP_FROUND: case OP_FMIN: case OP_FMAX: return true;
    default: return false;
    }
}

static bool is_pure(const struct ir_op *o)
{
    switch (o->op) {
#define PURE(N, n, in, fl, ty, e) case OP_##N:
#define CONV(N, n, in, fl, ti, to, e) case OP_##N:
#include "interp/ops.def"
    case OP_SETC: return true;
    default: return false;
    }
}

static bool is_mem(const struct ir_op *o) { return o->op == OP_LD || o->op == OP_ST || o->op == OP_CAS || o->op == OP_RMW; }
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
static bool known_op(const struct ir_op *o)
{
    if (is_fp(o) || is_pure(o) || is_mem(o)) return true;
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
static bool operand_out(const struct ir_op *o, unsigned k)
{
    return (k == 0 && o->op != OP_ST && o->op != OP_ST2) || (k == 3 && o->op == OP_LD2);
}

static bool mem_sync(const struct gen *g, const struct ir_op *o) { return is_mem(o) && ((g->r->h->user && !g->maps) || o->op == OP_CAS || o->op == OP_RMW); }

static const struct gj_helper *helper(const struct gen *g, const struct ir_op *o) { return &g->r->helpers[o->aux]; }
static bool pure_helper(const struct gj_helper *h) { return h->flags & HELPER_PURE; }

/* Must cell i be in memory before helper h, and may it be another after it? The CPU's own fields always. */
static bool helper_reads(const struct gen *g, const struct gj_helper *h, unsigned i)
{
    if (i >= g->r->h->n_slots || (h->flags & (HELPER_RAISE | HELPER_MEM | HELPER_TIME))) return true;
    return (h->reads | h->writes) >> g->cell[i].cls & 1;
}
static bool helper_writes(const struct gen *g, const struct gj_helper *h, unsigned i)
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
            if (!pure_helper(helper(g, o))) {
                for (unsigned c = 0; c < g->n_cells; c++) {
                    if (helper_reads(g, helper(g, o), c)) set_del(&d, c);
                }
            }
            if (o->d != IR_NONE && cell_var(g, o->d)) set_add(&d, o->d);
            break;
        case OP_ST: case OP_LD: case OP_CAS: case OP_RMW:
            if (mem_sync(g, o)) d = (struct gen_set){ { 0 } };
            if (o->op != OP_ST && cell_var(g, o->d)) set_add(&d, o->d);
            break;
        default:
            if (!known_op(o)) d = (struct gen_set){ { 0 } };
            if (is_fp(o) && g->has_fp) set_add(&d, g->note_a), set_add(&d, g->note_b), set_add(&d, g->note_op), set_add(&d, g->note_aux);
            if ((is_fp(o) || is_pure(o)) && cell_var(g, o->d)) set_add(&d, o->d);
        }
    }
    free(label);
}

/* ---- ops ------------------------------------------------------------------------------------------------- */

/* jit_op(cpu, op, a, b, c) for op `at` of the block. */
gj_rv *gen_helper_op(struct gen *g, unsigned at, gj_rv *a, gj_rv *b, gj_rv *c)
{
    gj_rv *base = gen_table(g, gjt_ops(g->r->h->n_blocks, g->b), g->u8p);
    gj_rv *op = gcc_jit_lvalue_get_address(gcc_jit_context_new_array_access(g->ctx, NULL, base, gx_int(g, g->u64, at * sizeof(struct ir_op))), NULL);
    gj_rv *arg[] = { g->cpu, op, a, b, c };
    gj_lv *v = gx_var(g, g->u64);
    gx_set(g, v, gcc_jit_context_new_call_through_ptr(g->ctx, NULL, gen_table(g, is_fp(&g->r->blocks[g->b].ops[at]) ? GJT_FP : GJT_OP, g->fn_op), 5, arg));
    return gcc_jit_lvalue_as_rvalue(v);
}

static void reload_notes(struct gen *g)
{
    gen_assign_cell(g, g->note_a, gen_cell_load(g, g->cell[g->note_a].offset, g->f64, false));
    gen_assign_cell(g, g->note_b, gen_cell_load(g, g->cell[g->note_b].offset, g->f64, false));
    gen_assign_cell(g, g->note_op, gen_cell_load(g, g->cell[g->note_op].offset, g->u32, false));
    gen_assign_cell(g, g->note_aux, gen_cell_load(g, g->cell[g->note_aux].offset, g->u32, false));
}

static void by_reference(struct gen *g, unsigned at)
{
    const struct ir_op *o = &g->r->blocks[g->b].ops[at];
    gj_rv *v = gen_helper_op(g, at, gen_u64(g, o->a), gen_u64(g, o->b), gen_u64(g, o->c));
    if (is_fp(o) && g->has_fp) reload_notes(g);
    gen_write(g, o->d, gx_cast(g, v, int_type(g, gen_type_of(g, o->d))), false);
}

static uint32_t temp_offset(ir_id t) { return (uint32_t)(offsetof(struct cpu, temps) + (t - IR_TEMP) * sizeof(uint64_t)); }

/* Any op: ref_exec_op() on the cells. */
static void on_cells(struct gen *g, unsigned at, unsigned mark)
{
    const struct ir_op *o = &g->r->blocks[g->b].ops[at];
    const unsigned n = g->r->h->n_blocks;
    const ir_id x[] = { o->d, o->a, o->b, o->c };

    for (unsigned k = 0; k < 4; k++) {
        for (unsigned c = 0; ir_is_temp(x[k]) && c < gen_operand_cells(o, k); c++) {
            ir_id t = (ir_id)(x[k] + c);
            if (!operand_out(o, k)) gen_cell_store(g, temp_offset(t), g->u64, gen_u64(g, t), g->r->h->user);
        }
    }
    gen_sync(g, mark, true);
    gj_rv *op = gen_table(g, gjt_ops(n, g->b), g->u8p);
    op = gcc_jit_lvalue_get_address(gcc_jit_context_new_array_access(g->ctx, NULL, op, gx_int(g, g->u64, at * sizeof *o)), NULL);
    gj_rv *arg[] = { g->cpu, op, gen_table(g, gjt_consts(n, g->b), g->u8p) };
    gcc_jit_block_add_eval(g->blk, NULL, gcc_jit_context_new_call_through_ptr(g->ctx, NULL, gen_table(g, GJT_REF, g->fn_ref), 3, arg));
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned c = 0; operand_out(o, k) && c < gen_operand_cells(o, k); c++) {
            ir_id y = (ir_id)(x[k] + c);
            unsigned type = gen_type_of(g, y);
            if (ir_is_temp(y)) gen_write(g, y, gx_cast(g, gen_cell_load(g, temp_offset(y), g->u64, false), int_type(g, type)), false);
            else set_del(&g->f.number, y);
            if (ir_is_slot(y) && g->cell[y].var) gen_cell_fill(g, y);
        }
    }
}

static void pure(struct gen *g, unsigned at)
{
    const struct ir_op *o = &g->r->blocks[g->b].ops[at];
    unsigned type = gen_type_of(g, o->d);
    if (o->op == OP_MOV && !ir_is_const(o->a)) { /* keeps what is known of it, and its register file */
        bool number = gen_known_number(g, o->a);
        unsigned kind;
        gj_rv *v = read_raw(g, o->a, &kind);
        unsigned pending = ir_is_slot(o->a) ? g->txn.cell[o->a] : g->txn.temp[o->a - IR_TEMP];
        gen_write(g, o->d, v, kind == KIND_FLOAT);
        *(ir_is_slot(o->d) ? &g->txn.cell[o->d] : &g->txn.temp[o->d - IR_TEMP]) = (uint8_t)pending;
        if (number && ir_is_slot(o->d)) set_add(&g->f.number, o->d);
        else if (number) g->f.temp_number[o->d - IR_TEMP] = 1;
        return;
    }
    gj_rv *v;
    if (o->op == OP_SETC) {
        v = gx_cast(g, gx_cond(g, o->attr, o->type, gen_read(g, o->a), gen_read(g, o->b)), int_type(g, type));
    } else {
        struct gv none = gx_const(g, 64, 0);
        struct gv a = gen_read(g, o->a), b = o->b == IR_NONE ? none : gen_read(g, o->b), c = o->c == IR_NONE ? none : gen_read(g, o->c);
        v = gx_pure(g, o, a, b, c).r;
    }
    if (!v) {
        gen_txn_stop(g);
        by_reference(g, at);
        return;
    }
    gj_lv *t = gx_var(g, int_type(g, type));
    const bool step = g->txn.watch && o->op == OP_ADD && o->d == o->a && ir_is_slot(o->d) && ir_is_const(o->b) && g->cell[o->d].kind == KIND_INT;
    const bool stepped = step && set_has(&g->txn.stepped, o->d), first = step && !set_has(&g->txn.changed, o->d);
    gx_set(g, t, v);
    gen_write(g, o->d, gcc_jit_lvalue_as_rvalue(t), false);
    uint64_t k = step ? g->r->blocks[g->b].consts[o->b - IR_CONST] : 0;
    if (stepped || first) gen_txn_step(g, o->d, stepped, type == T_I64 ? (int64_t)k : (int32_t)(uint32_t)k);
}

static void call(struct gen *g, const struct ir_op *o, unsigned mark)
{
    const struct gj_helper *h = helper(g, o);
    gj_rv *a = gen_u64(g, o->a), *b = gen_u64(g, o->b), *c = gen_u64(g, o->c);

    if (!pure_helper(h)) {
        for (unsigned i = 0; i < g->n_cells; i++) {
            if (!set_has(&g->f.dirty, i) || !helper_reads(g, h, i)) continue;
            gen_cell_spill(g, i);
            set_del(&g->f.dirty, i);
        }
        unsigned point = g->r->blocks[g->b].first_mark + mark;
        gen_cell_store(g, offsetof(struct cpu, xpoint), g->u32, gx_cast(g, gen_table(g, gjt_points(g->r->h->n_blocks) + point, g->u64), g->u32), true);
        g->f.point = (int)point;
    }
    gj_rv *table = gen_table(g, GJT_HELPERS, g->u8p);
    gj_rv *at = gx_int(g, g->u64, o->aux * sizeof(struct helper_desc) + offsetof(struct helper_desc, fn));
    gj_rv *slot = gcc_jit_lvalue_get_address(gcc_jit_context_new_array_access(g->ctx, NULL, table, at), NULL);
    gj_rv *fn = gcc_jit_lvalue_as_rvalue(gcc_jit_rvalue_dereference(gx_cast(g, slot, gcc_jit_type_get_pointer(g->fn_helper)), NULL));
    gj_rv *arg[] = { g->cpu, a, b, c };
    gj_lv *v = gx_var(g, g->u64);
    gx_set(g, v, gcc_jit_context_new_call_through_ptr(g->ctx, NULL, fn, 4, arg));
    if (!pure_helper(h)) {
        for (unsigned i = 0; i < g->n_cells; i++) {
            if (!helper_writes(g, h, i)) continue;
            set_del(&g->f.number, i);
            if (!g->cell[i].var) continue;
            gen_cell_fill(g, i);
            set_del(&g->f.dirty, i);
        }
        g->f.fp_ok = false;
    }
    if (o->d != IR_NONE) gen_write(g, o->d, gx_cast(g, gcc_jit_lvalue_as_rvalue(v), int_type(g, o->type)), false);
}

/* ---- ways out ------------------------------------------------------------------------------------------------ */

void gen_take(struct gen *g, unsigned n)
{
    gj_lv *ic = g->cell[g->ic].var;
    gx_set(g, ic, gx_bin(g, GCC_JIT_BINARY_OP_MINUS, g->i64, gcc_jit_lvalue_as_rvalue(ic), gx_int(g, g->i64, n)));
}

static void give_back(struct gen *g, unsigned n)
{
    gj_rv *ic = gcc_jit_lvalue_as_rvalue(g->cell[g->ic].var);
    if (n) gen_assign_cell(g, g->ic, gx_bin(g, GCC_JIT_BINARY_OP_PLUS, g->i64, ic, gx_int(g, g->i64, n)));
}

static void store_pc(struct gen *g, gj_rv *v)
{
    gen_cell_store(g, g->r->slots[g->r->h->pc_slot].offset, int_type(g, g->r->h->addr_type), v, g->r->h->user);
}

static void leave_with(struct gen *g, gj_rv *ret)
{
    gx_set(g, g->ret, ret);
    gx_jump(g, g->leave);
}

/* Where an edge from the version being generated enters block n. */
static gcc_jit_block *entry_of(struct gen *g, unsigned n) { return g->has_fp && g->slow ? g->pb[n].check : g->pb[n].body[0]; }

static gj_rv *in_jump_cache(struct gen *g, unsigned n)
{
    gcc_jit_type *pp = gcc_jit_type_get_pointer(gcc_jit_type_get_volatile(g->u64));
    gj_rv *jc = gx_cast(g, gen_cell_load(g, offsetof(struct cpu, jump_cache), g->u8p, false), pp);
    gj_rv *there = gcc_jit_lvalue_as_rvalue(gcc_jit_context_new_array_access(g->ctx, NULL, jc, gx_int(g, g->u64, jc_index(g->r->blocks[n].h->pc))));
    return gx_cmp(g, GCC_JIT_COMPARISON_EQ, gx_cast(g, there, g->u64), gen_table(g, gjt_blk(n), g->u64));
}

static void by_link(struct gen *g, unsigned l)
{
    const struct gj_block *h = g->r->blocks[g->b].h;
    int to = h->to[l];
    if (g->rounds && to == (int)g->b && g->round + 1 < g->rounds) {
        g->next_f = g->f, g->next_txn = g->txn;
        gx_jump(g, g->next_round);
        return;
    }
    gen_txn_stop(g);
    if (g->rounds) gen_take(g, gen_uncharged(g));
    give_back(g, h->refund[l]);
    if (to >= 0) {
        if (h->check[l]) {
            gcc_jit_block *out = gx_block(g);
            gx_branch(g, in_jump_cache(g, (unsigned)to), entry_of(g, (unsigned)to), out, 0);
            g->blk = out;
        } else {
            gx_jump(g, entry_of(g, (unsigned)to));
            return;
        }
    }
    leave_with(g, gen_table(g, gjt_link(g->r->h->n_blocks, g->b, l), g->u64));
}

static void indirect(struct gen *g, const struct ir_op *o)
{
    const struct gj_block *h = g->r->blocks[g->b].h;
    gcc_jit_type *t = int_type(g, g->r->h->addr_type);
    gj_lv *v = gx_var(g, t);
    gx_set(g, v, gen_read(g, o->a).r);
    gj_rv *pc = gcc_jit_lvalue_as_rvalue(v);
    give_back(g, h->n_insns - (unsigned)o->aux);
    store_pc(g, pc);
    gcc_jit_block *out = gx_block(g);
    if (h->n_ind) {
        gcc_jit_block *on = gx_block(g);
        gj_rv *key = gen_cell_load(g, offsetof(struct cpu, key), g->u64, false);
        gx_branch(g, gx_cmp(g, GCC_JIT_COMPARISON_EQ, key, gx_int(g, g->u64, h->key)), on, out, 0);
        g->blk = on;
    }
    for (unsigned i = 0; i < h->n_ind; i++) {
        unsigned to = (unsigned)h->ind[i];
        gcc_jit_block *next = gx_block(g), *hit = h->check_ind ? gx_block(g) : entry_of(g, to);
        gx_branch(g, gx_cmp(g, GCC_JIT_COMPARISON_EQ, pc, gx_int(g, t, g->r->blocks[to].h->pc)), hit, next, -1);
        if (h->check_ind) {
            g->blk = hit;
            gx_branch(g, in_jump_cache(g, to), entry_of(g, to), next, 0);
        }
        g->blk = next;
    }
    gx_jump(g, out);
    g->blk = out;
    leave_with(g, gx_int(g, g->u64, JIT_IND));
}

static void leave_by_exit(struct gen *g, const struct ir_op *o)
{
    static const uint8_t code[] = { [IR_EXIT_MODE] = JIT_LOOKUP, [IR_EXIT_IRQ] = JIT_IRQ, [IR_EXIT_HALT] = JIT_HALT, [IR_EXIT_DEBUG] = JIT_DEBUG };
    give_back(g, g->r->blocks[g->b].h->n_insns - (unsigned)o->aux);
    store_pc(g, gen_read(g, o->a).r);
    leave_with(g, gx_int(g, g->u64, o->attr < sizeof code ? code[o->attr] : JIT_LOOKUP));
}

/* ---- blocks ---------------------------------------------------------------------------------------------------- */

static void charge(struct gen *g)
{
    const struct gj_block *h = g->r->blocks[g->b].h;
    gcc_jit_block *undo = gx_block(g), *on = gx_block(g);
    gj_rv *ic = gcc_jit_lvalue_as_rvalue(g->cell[g->ic].var);

    gen_assign_cell(g, g->ic, gx_bin(g, GCC_JIT_BINARY_OP_MINUS, g->i64, ic, gx_int(g, g->i64, h->n_insns)));
    gj_rv *no = gx_cmp(g, GCC_JIT_COMPARISON_LT, ic, gx_int(g, g->i64, 0));
    if (g->pb[g->b].kick) {
        gcc_jit_block *enough = gx_block(g);
        gx_branch(g, no, undo, enough, 1);
        g->blk = enough;
        no = gx_cmp(g, GCC_JIT_COMPARISON_NE, gen_cell_load(g, offsetof(struct cpu, kick), g->u32, true), gx_int(g, g->u32, 0));
    }
    gx_branch(g, no, undo, on, 1);
    g->blk = undo;
    struct gen_flow keep = g->f;
    /* opaque: else the compiler keeps the count of before in a register of its own */
    gen_assign_cell(g, g->ic, gen_pinned(g, ic, false));
    give_back(g, h->n_insns);
    store_pc(g, gx_int(g, int_type(g, g->r->h->addr_type), h->pc));
    gen_cell_store(g, offsetof(struct cpu, key), g->u64, gx_int(g, g->u64, h->key), g->r->h->user);
    leave_with(g, gx_int(g, g->u64, JIT_LOOKUP));
    g->f = keep;
    g->blk = on;
}

static void flow_join(struct gen_flow *to, const struct gen_flow *from)
{
    set_or(&to->dirty, &from->dirty);
    for (unsigned i = 0; i < GEN_WORDS; i++) to->number.w[i] &= from->number.w[i];
    for (unsigned i = 0; i < IR_MAX_TEMPS; i++) to->temp_number[i] &= from->temp_number[i];
    to->fp_ok &= from->fp_ok;
    if (to->point != from->point) to->point = -1;
}

static void to_label(struct gen *g, unsigned label)
{
    if (!g->label_seen[label]) g->label_flow[label] = g->f;
    else flow_join(&g->label_flow[label], &g->f);
    g->label_seen[label] = true;
}

static gcc_jit_block *label_block(struct gen *g, unsigned label)
{
    if (!g->label[label]) g->label[label] = gx_block(g);
    return g->label[label];
}

/* Can op o be done again, if it is found later that something before it was not right? */
static bool undoable(const struct gen *g, const struct ir_op *o)
{
    if (g->rounds && (o->op == OP_BRC || o->op == OP_GOTO)) return true; /* by_link() sees to it */
    if (o->op != OP_INSN && ir_is_slot(o->d) && !g->cell[o->d].var) return false;
    return o->op == OP_INSN || is_pure(o) || gen_fp_inline(o) || (o->op == OP_LD && (g->maps || (!g->r->h->user && g->txn.open)));
}

static void ops(struct gen *g)
{
    const struct gen_block *b = &g->r->blocks[g->b];
    unsigned mark = 0, marks = 0;
    const bool puts_off = g->has_fp && !g->slow;

    memset(g->bits, 0, sizeof g->bits);
    for (unsigned i = 0; i < b->h->n_ops && !g->why; i++) {
        const struct ir_op *o = &b->ops[i];
        if (g->txn.watch && !undoable(g, o)) gen_txn_stop(g);
        if (o->op == OP_LABEL) {
            bool fell = g->blk != NULL;
            if (!fell && !g->label_seen[o->aux]) continue; /* nothing leads here */
            gcc_jit_block *l = label_block(g, o->aux);
            gx_jump(g, l);
            if (g->label_seen[o->aux]) {
                if (fell) flow_join(&g->f, &g->label_flow[o->aux]);
                else g->f = g->label_flow[o->aux];
            }
            g->blk = l;
            continue;
        }
        if (!is_pure(o) && !is_fp(o) && !is_mem(o) && o->op != OP_INSN) memset(g->bits, 0, sizeof g->bits);
        if (o->op == OP_INSN) mark = marks++;
        if (!g->blk) continue;
        if (g->slow && g->pb[g->b].slow_at && g->pb[g->b].slow_at[i]) {
            gcc_jit_block *at = g->pb[g->b].slow_at[i];
            gx_jump(g, at);
            g->blk = at;
            g->f.point = -1;
            memset(g->bits, 0, sizeof g->bits);
            set_or(&g->f.dirty, &g->pb[g->b].slow_dirty[i]);
        }
        if (o->op == OP_INSN) {
            if (puts_off && !(o->attr & IR_INSN_CONT)) gen_txn_unit(g, i, mark);
            continue;
        }
        switch (o->op) {
        case OP_BR:
            to_label(g, o->aux);
            gx_jump(g, label_block(g, o->aux));
            break;
        case OP_BRL: {
            gcc_jit_block *on = gx_block(g);
            gj_rv *test = gx_cond(g, o->attr, o->type, gen_read(g, o->a), gen_read(g, o->b));
            to_label(g, o->aux);
            gx_branch(g, test, label_block(g, o->aux), on, -1);
            g->blk = on;
            break;
        }
        case OP_BRC: {
            gcc_jit_block *on = gx_block(g), *out = gx_block(g);
            if (g->txn.open) gen_test_operands(g, i);
            gx_branch(g, gx_cond(g, o->attr, o->type, gen_read(g, o->a), gen_read(g, o->b)), out, on, -1);
            struct gen_flow keep = g->f;
            if (g->rounds) g->brc_txn = g->txn;
            g->blk = out;
            by_link(g, o->aux);
            if (g->rounds) g->txn = g->brc_txn;
            g->f = keep;
            g->blk = on;
            break;
        }
        case OP_GOTO: by_link(g, o->aux); break;
        case OP_IND: indirect(g, o); break;
        case OP_EXIT: leave_by_exit(g, o); break;
        case OP_CALL: call(g, o, mark); break;
        case OP_LD: case OP_ST: case OP_CAS: case OP_RMW: case OP_FENCE:
            if (g->txn.open) gen_test_operands(g, i);
            gen_mem(g, i, mark);
            break;
        case OP_FETCHF: {
            gj_rv *arg[] = { g->cpu, gen_u64(g, o->a) };
            gen_sync(g, mark, true);
            gcc_jit_block_add_eval(g->blk, NULL, gcc_jit_context_new_call_through_ptr(g->ctx, NULL, gen_table(g, GJT_FETCH_FAULT, g->fn_fetch), 2, arg));
            leave_with(g, gx_int(g, g->u64, JIT_LOOKUP));
            break;
        }
        default:
            if (is_pure(o)) {
                if (g->txn.open && o->op != OP_MOV) gen_test_operands(g, i);
                pure(g, i);
            } else if (!g->slow && g->has_fp && gen_fp_inline(o)) gen_fp(g, i);
            else if (is_fp(o)) by_reference(g, i);
            else on_cells(g, i, mark);
        }
    }
}

/* How many rounds of a block that is a loop are worth being made one piece. What is gained is the tests of results, and of the count,
 * so there must be floats; and nothing that may set cpu->kick. */
static unsigned rounds_of(const struct gen *g, unsigned n)
{
    const struct gj_block *h = g->r->blocks[n].h;
    bool loop = false, fp = false;
    if (!g->maps || !g->has_fp || g->has_calls || h->n_labels || h->n_ind || h->n_insns > 24 || g->pb[n].kick) return 0;
    for (unsigned l = 0; l < h->n_links; l++) {
        if (h->to[l] != (int)n) continue;
        if (loop || h->check[l] || h->refund[l]) return 0;
        loop = true;
    }
    for (unsigned i = 0; i < h->n_ops; i++) {
        const struct ir_op *o = &g->r->blocks[n].ops[i];
        if (!is_pure(o) && !gen_fp_inline(o) && o->op != OP_INSN && o->op != OP_LD && o->op != OP_BRC && o->op != OP_GOTO) return 0;
        fp |= gen_fp_inline(o);
    }
    return !loop || !fp ? 0 : h->n_insns <= 8 ? 8 : h->n_insns <= 12 ? 4 : 2;
}

static void body(struct gen *g)
{
    gj_rv *ic = gcc_jit_lvalue_as_rvalue(g->cell[g->ic].var);
    unsigned rounds = g->slow ? 0 : rounds_of(g, g->b);

    g->txn.watch = g->txn.open = g->txn.kept = false;
    g->rounds = g->round = 0;
    if (rounds) {
        gcc_jit_block *many = gx_block(g), *one = gx_block(g);
        struct gen_flow keep = g->f;
        gx_branch(g, gx_cmp(g, GCC_JIT_COMPARISON_GE, ic, gx_int(g, g->i64, rounds * g->r->blocks[g->b].h->n_insns)), many, one, 0);
        g->rounds = rounds;
        for (g->blk = many; g->round < rounds; g->round++) {
            g->next_round = gx_block(g);
            ops(g);
            g->blk = g->next_round;
            g->f = g->next_f, g->txn = g->next_txn;
        }
        gcc_jit_block_end_with_return(g->blk, NULL, gx_int(g, g->u64, JIT_REFUSE)); /* nothing leads here */
        g->txn.watch = g->txn.open = g->txn.kept = false;
        g->rounds = g->round = 0;
        g->f = keep;
        g->blk = one;
    }
    charge(g);
    ops(g);
}

/* Enters the fast version of the block if what it takes for granted holds. */
static void check_entry(struct gen *g)
{
    struct gen_per_block *p = &g->pb[g->b];
    g->blk = p->check;
    if (!g->has_calls) {
        gcc_jit_block *on = gx_block(g);
        gx_branch(g, gen_fp_expected(g), on, p->body[1], 0);
        g->blk = on;
    }
    for (unsigned i = 0; i < g->r->h->n_slots; i++) {
        if (!set_has(&p->number_in, i)) continue;
        gcc_jit_block *on = gx_block(g);
        gx_branch(g, gen_is_number(g, (ir_id)i), on, p->body[1], 0);
        g->blk = on;
    }
    gx_jump(g, p->body[0]);
}

static void gen_version(struct gen *g, unsigned n, bool slow)
{
    const struct gen_block *b = &g->r->blocks[n];
    g->b = n;
    g->slow = slow;
    memset(g->temp_kind, 0, sizeof g->temp_kind);
    for (unsigned i = 0; g->has_fp && i < b->h->n_ops; i++) {
        const struct ir_op *o = &b->ops[i];
        if (!gen_fp_inline(o)) continue;
        bool from_int = o->op == OP_I32_F32 || o->op == OP_I32_F64 || o->op == OP_I64_F32 || o->op == OP_I64_F64;
        bool to_int = o->op == OP_FCMP || o->op == OP_F32_I32 || o->op == OP_F32_I64 || o->op == OP_F64_I32 || o->op == OP_F64_I64;
        if (ir_is_temp(o->a) && !from_int) g->temp_kind[o->a - IR_TEMP] = KIND_FLOAT;
        if (ir_is_temp(o->b)) g->temp_kind[o->b - IR_TEMP] = KIND_FLOAT;
        if (ir_is_temp(o->d) && !to_int) g->temp_kind[o->d - IR_TEMP] = KIND_FLOAT;
    }
    for (unsigned l = 0; l < b->h->n_labels; l++) g->label[l] = NULL, g->label_seen[l] = false;
    memset(&g->f, 0, sizeof g->f);
    g->f.dirty = g->pb[n].dirty_in;
    g->f.point = -1;
    if (!slow) g->f.number = g->pb[n].number_in;
    g->f.fp_ok = !slow && !g->has_calls;
    g->blk = g->pb[n].body[slow];
    body(g);
}

/* ---- the region ------------------------------------------------------------------------------------------------ */

static void types(struct gen *g)
{
#define T(name) gcc_jit_context_get_type(g->ctx, GCC_JIT_TYPE_##name)
    g->nothing = T(VOID), g->boolean = T(BOOL), g->lng = T(LONG);
    g->u8 = T(UINT8_T), g->u16 = T(UINT16_T), g->u32 = T(UINT32_T), g->u64 = T(UINT64_T), g->u128 = T(UINT128_T);
    g->i8 = T(INT8_T), g->i16 = T(INT16_T), g->i32 = T(INT32_T), g->i64 = T(INT64_T), g->i128 = T(INT128_T);
    g->f32 = T(FLOAT), g->f64 = T(DOUBLE);
    g->u8p = gcc_jit_type_get_pointer(g->u8), g->u64p = gcc_jit_type_get_pointer(g->u64);
#define FN(ret, ...)                                                                                                   \
    gcc_jit_context_new_function_ptr_type(g->ctx, NULL, ret, sizeof((gcc_jit_type *[]){ __VA_ARGS__ }) / sizeof(gcc_jit_type *), \
                                          (gcc_jit_type *[]){ __VA_ARGS__ }, 0)
    g->fn_ld = FN(g->u64, g->u8p, g->u64, g->u32, g->u32);
    g->fn_st = FN(g->nothing, g->u8p, g->u64, g->u64, g->u32, g->u32);
    g->fn_cas = FN(g->u64, g->u8p, g->u64, g->u64, g->u64, g->u32, g->u32);
    g->fn_rmw = FN(g->u64, g->u8p, g->u64, g->u64, g->u32, g->u32, g->u32);
    g->fn_op = FN(g->u64, g->u8p, g->u8p, g->u64, g->u64, g->u64);
    g->fn_ref = FN(g->nothing, g->u8p, g->u8p, g->u8p);
    g->fn_fetch = FN(g->nothing, g->u8p, g->u64);
    g->fn_helper = FN(g->u64, g->u8p, g->u64, g->u64, g->u64);
}

static void own_cell(struct gen *g, unsigned i, uint32_t offset, unsigned type)
{
    g->cell[i] = (struct gen_cell){ .offset = offset, .type = (uint8_t)type, .cls = SLOT_SPECIAL };
}

/* In variables: the slots that the region uses, but for the pc and what is part of the mode or the system: others change these. */
static void find_cells(struct gen *g)
{
    const struct gj_region *h = g->r->h;
    bool used[GEN_MAX_CELLS] = { false }, address[GEN_MAX_CELLS] = { false };

    for (unsigned i = 0; i < h->n_slots; i++) g->cell[i] = (struct gen_cell){ .offset = g->r->slots[i].offset, .type = g->r->slots[i].type, .cls = g->r->slots[i].cls };
    g->ic = h->n_slots, g->note_a = g->ic + 1, g->note_b = g->ic + 2, g->note_op = g->ic + 3, g->note_aux = g->ic + 4;
    g->n_cells = g->ic + 5;
    own_cell(g, g->ic, offsetof(struct cpu, icount_left), T_I64);
    own_cell(g, g->note_a, offsetof(struct cpu, fp_note.a), T_I64);
    own_cell(g, g->note_b, offsetof(struct cpu, fp_note.b), T_I64);
    g->cell[g->note_a].kind = g->cell[g->note_b].kind = KIND_FLOAT; /* as most operands are */
    own_cell(g, g->note_op, offsetof(struct cpu, fp_note.op), T_I32);
    own_cell(g, g->note_aux, offsetof(struct cpu, fp_note.aux), T_I32);
    for (unsigned n = 0; n < h->n_blocks; n++) {
        const struct gen_block *b = &g->r->blocks[n];
        for (unsigned i = 0; i < b->h->n_ops; i++) {
            const struct ir_op *o = &b->ops[i];
            if (gen_fp_inline(o) && (h->fp_fast & FP_FAST)) g->has_fp = true;
            if (o->op == OP_CALL && !pure_helper(helper(g, o))) g->has_calls = true;
            if ((o->op == OP_LD || o->op == OP_ST) && !g->has_mmu) g->mmu = IR_MMU(o), g->has_mmu = true;
            if (o->op == OP_INSN) continue;
            if (g->maps && (o->op == OP_LD || o->op == OP_ST) && ir_is_slot(o->a)) address[o->a] = true;
            const ir_id x[] = { o->d, o->a, o->b, o->c };
            for (unsigned k = 0; k < 4; k++) {
                for (unsigned c = 0; ir_is_slot(x[k]) && c < gen_operand_cells(o, k) && x[k] + c < h->n_slots; c++) used[x[k] + c] = true;
            }
        }
    }
    for (unsigned n = 0; g->has_fp && n < h->n_blocks; n++) { /* slots that floats go through are of that kind */
        const struct gen_block *b = &g->r->blocks[n];
        for (unsigned i = 0; i < b->h->n_ops; i++) {
            const struct ir_op *o = &b->ops[i];
            bool arith = o->op == OP_FADD || o->op == OP_FSUB || o->op == OP_FMUL || o->op == OP_FDIV || o->op == OP_FSQRT;
            if (ir_is_slot(o->a) && (arith || o->op == OP_FCMP)) g->cell[o->a].kind = KIND_FLOAT;
            if (ir_is_slot(o->b) && (arith || o->op == OP_FCMP)) g->cell[o->b].kind = KIND_FLOAT;
            if (ir_is_slot(o->d) && arith) g->cell[o->d].kind = KIND_FLOAT;
        }
    }
    for (unsigned i = 0; i < g->n_cells; i++) {
        struct gen_cell *c = &g->cell[i];
        bool special = c->cls == SLOT_PC || c->cls == SLOT_MODE || c->cls == SLOT_SYS || i == h->pc_slot;
        if (i >= h->n_slots ? i == g->ic || g->has_fp : used[i] && !special) {
            c->wide = i < h->n_slots && address[i] && c->type == T_I32 && c->kind == KIND_INT;
            c->var = gx_var(g, c->wide ? g->u64 : cell_type(g, i));
        }
    }
}

static void forget_outputs(struct gen *g, const struct ir_op *o, struct gen_set *f, uint8_t *temp)
{
    const ir_id x[] = { o->d, o->a, o->b, o->c };
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned c = 0; operand_out(o, k) && c < gen_operand_cells(o, k); c++) {
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
                bool writes = is_pure(o) || is_fp(o) || o->op == OP_LD || o->op == OP_RMW || o->op == OP_CAS || o->op == OP_CALL;
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
                if (o->op == OP_CALL && !pure_helper(helper(g, o))) {
                    for (unsigned c = 0; c < g->r->h->n_slots; c++) {
                        if (helper_writes(g, helper(g, o), c)) set_del(&f, c);
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
                if (is_fp(o) && gen_fp_inline(o)) { /* results are no NaNs in the fast version */
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
                } else if (!known_op(o)) {
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
        for (unsigned i = 0; i < b->h->n_ops; i++) may |= (is_mem(&b->ops[i]) && !g->r->h->user) || !known_op(&b->ops[i]) || (b->ops[i].op == OP_CALL && !pure_helper(helper(g, &b->ops[i])));
        if (!may) continue;
        for (unsigned l = 0; l < b->h->n_links; l++) {
            if (b->h->to[l] >= 0) g->pb[b->h->to[l]].kick = true;
        }
        for (unsigned k = 0; k < b->h->n_ind; k++) g->pb[b->h->ind[k]].kick = true;
    }
}

static void prologue(struct gen *g, gcc_jit_block *start, gj_rv *code)
{
    g->blk = start;
    if (!g->r->h->user && g->has_mmu) {
        gcc_jit_block *on = gx_block(g), *refuse = gx_block(g);
        gx_branch(g, gx_cmp(g, GCC_JIT_COMPARISON_EQ, gen_cell_load(g, offsetof(struct cpu, mmu_now), g->u32, false), gx_int(g, g->u32, g->mmu)), on, refuse, 0);
        gcc_jit_block_end_with_return(refuse, NULL, gx_int(g, g->u64, JIT_REFUSE));
        g->blk = on;
    }
    gj_rv *at = gcc_jit_lvalue_get_address(gcc_jit_context_new_array_access(g->ctx, NULL, code, gx_int(g, g->u64, offsetof(struct jit_code, priv))), NULL);
    gx_set(g, g->table, gcc_jit_lvalue_as_rvalue(gcc_jit_rvalue_dereference(gx_cast(g, at, gcc_jit_type_get_pointer(g->u8p)), NULL)));
    if (g->r->h->user) {
        gx_set(g, g->ubase, gen_cell_load(g, offsetof(struct cpu, ubase), g->u8p, false));
        gx_set(g, g->ulimit, gen_cell_load(g, offsetof(struct cpu, ulimit), g->u64, false));
    } else {
        gx_set(g, g->tlb, gen_cell_load(g, offsetof(struct cpu, tlb_now), g->u8p, false));
    }
    for (unsigned i = 0; i < g->n_cells; i++) {
        if (g->cell[i].var) gen_cell_fill(g, i);
    }
    if (!g->has_fp) {
        gx_jump(g, g->pb[0].body[0]);
        return;
    }
    gx_jump(g, g->pb[0].check);
}

static void epilogue(struct gen *g)
{
    g->blk = g->leave;
    for (unsigned i = 0; i < g->n_cells; i++) {
        if (g->cell[i].var && set_has(&g->ever_dirty, i)) {
            gen_cell_store(g, g->cell[i].offset, cell_type(g, i), gen_cell_value(g, i), false);
        }
    }
    gcc_jit_block_end_with_return(g->blk, NULL, gcc_jit_lvalue_as_rvalue(g->ret));
}

static void find_ever_dirty(struct gen *g)
{
    set_add(&g->ever_dirty, g->ic);
    if (g->has_fp) set_add(&g->ever_dirty, g->note_a), set_add(&g->ever_dirty, g->note_b), set_add(&g->ever_dirty, g->note_op), set_add(&g->ever_dirty, g->note_aux);
    for (unsigned n = 0; n < g->r->h->n_blocks; n++) {
        const struct gen_block *b = &g->r->blocks[n];
        for (unsigned i = 0; i < b->h->n_ops; i++) {
            const struct ir_op *o = &b->ops[i];
            if (o->op != OP_INSN && o->op != OP_ST && ir_is_slot(o->d) && known_op(o)) set_add(&g->ever_dirty, o->d);
        }
    }
}

bool gen_region(gcc_jit_context *ctx, const struct gen_region *r, unsigned number, const char **why)
{
    struct gen *g = calloc(1, sizeof *g);
    unsigned labels = 1;

    char name[16];

    snprintf(name, sizeof name, "r%u", number);
    g->ctx = ctx, g->r = r, g->number = number;
    g->maps = r->h->user && GJ_MAPS;
    types(g);
    gcc_jit_param *param[2] = { gcc_jit_context_new_param(ctx, NULL, g->u8p, "cpu"), gcc_jit_context_new_param(ctx, NULL, g->u8p, "code") };
    if (r->h->n_slots + 5 > GEN_MAX_CELLS) g->why = "too many slots";
    g->fn = gcc_jit_context_new_function(ctx, NULL, GCC_JIT_FUNCTION_EXPORTED, g->u64, name, 2, param, 0);
    g->cpu = gcc_jit_param_as_rvalue(param[0]);
    gcc_jit_block *start = gx_block(g);
    g->pb = calloc(r->h->n_blocks, sizeof *g->pb);
    if (!g->why) find_cells(g);
    if (!g->why) {
        for (unsigned n = 0; n < r->h->n_blocks; n++) labels = MAX(labels, r->blocks[n].h->n_labels + 1u);
        g->label = calloc(labels, sizeof *g->label);
        g->label_flow = calloc(labels, sizeof *g->label_flow);
        g->label_seen = calloc(labels, sizeof *g->label_seen);
        g->table = gx_var(g, g->u8p), g->ubase = gx_var(g, g->u8p), g->ulimit = gx_var(g, g->u64), g->tlb = gx_var(g, g->u8p), g->ret = gx_var(g, g->u64);
        g->leave = gx_block(g);
        find_ever_dirty(g);
        bool changed = true;
        while (changed) {
            changed = false;
            for (unsigned n = 0; n < r->h->n_blocks; n++) scan_dirty(g, n, &changed);
        }
        if (g->has_fp) scan_numbers(g);
        scan_kicks(g);
        for (unsigned n = 0; n < r->h->n_blocks; n++) {
            g->pb[n].body[0] = gx_block(g);
            if (g->has_fp) g->pb[n].check = gx_block(g), g->pb[n].body[1] = gx_block(g);
        }
        prologue(g, start, gcc_jit_param_as_rvalue(param[1]));
        for (unsigned n = 0; n < r->h->n_blocks && !g->why; n++) {
            gen_version(g, n, false);
            if (!g->has_fp) continue;
            gen_version(g, n, true);
            check_entry(g);
        }
        epilogue(g);
    }
    for (unsigned n = 0; n < r->h->n_blocks; n++) free(g->pb[n].slow_at), free(g->pb[n].slow_dirty);
    free(g->pb);
    free(g->label);
    free(g->label_flow);
    free(g->label_seen);
    *why = g->why;
    free(g);
    return !*why;
}
