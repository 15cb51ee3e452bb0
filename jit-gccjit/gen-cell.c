/*
 * gen-cell.c - the worker's code generator: operands. A slot, or a field of the CPU that is kept in a register, is a cell: a local
 * variable, its place in the CPU structure, and what moves between them. Temps are variables, too.
 */
#include "jit-gccjit/gen.h"

unsigned gen_type_of(const struct gen *g, ir_id x)
{
    const struct gen_block *b = &g->r->blocks[g->b];
    if (ir_is_slot(x)) return g->cell[x].type;
    if (ir_is_temp(x)) return b->temp_type[x - IR_TEMP];
    return b->const_type[x - IR_CONST];
}

gcc_jit_type *gen_int_type(struct gen *g, unsigned type) { return type == T_I64 ? g->u64 : g->u32; }
static gcc_jit_type *float_type(struct gen *g, unsigned type) { return type == T_I64 ? g->f64 : g->f32; }
gcc_jit_type *gen_kind_type(struct gen *g, unsigned type, unsigned kind) { return kind == KIND_FLOAT ? float_type(g, type) : gen_int_type(g, type); }

static gj_lv *temp_var(struct gen *g, ir_id x, unsigned *kind)
{
    unsigned n = x - IR_TEMP, type = g->r->blocks[g->b].temp_type[n];
    *kind = g->temp_kind[n];
    gj_lv **v = &g->temp[type][*kind][n];
    if (!*v) *v = gx_var(g, gen_kind_type(g, type, *kind));
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

gcc_jit_type *gen_cell_type(struct gen *g, unsigned i) { return i == g->ic ? g->i64 : gen_kind_type(g, g->cell[i].type, g->cell[i].kind); }

gj_rv *gen_cell_value(struct gen *g, unsigned i)
{
    gj_rv *v = gcc_jit_lvalue_as_rvalue(g->cell[i].var);
    return g->cell[i].wide ? gx_cast(g, v, g->u32) : v;
}

void gen_cell_set(struct gen *g, unsigned i, gj_rv *v) { gx_set(g, g->cell[i].var, g->cell[i].wide ? gx_cast(g, v, g->u64) : v); }
void gen_cell_spill(struct gen *g, unsigned i) { gen_cell_store(g, g->cell[i].offset, gen_cell_type(g, i), gen_cell_value(g, i), g->r->h->user); }
void gen_cell_fill(struct gen *g, unsigned i) { gen_cell_set(g, i, gen_cell_load(g, g->cell[i].offset, gen_cell_type(g, i), false)); }

/* A value that is in no variable is read at once, so that later writes do not change it. */
gj_rv *gen_read_raw(struct gen *g, ir_id x, unsigned *kind)
{
    if (ir_is_temp(x)) return gcc_jit_lvalue_as_rvalue(temp_var(g, x, kind));
    struct gen_cell *c = &g->cell[x];
    *kind = c->kind;
    if (c->var) return gen_cell_value(g, x);
    gj_lv *v = gx_var(g, gen_kind_type(g, c->type, c->kind));
    gx_set(g, v, gen_cell_load(g, c->offset, gen_kind_type(g, c->type, c->kind), g->r->h->user));
    return gcc_jit_lvalue_as_rvalue(v);
}

struct gv gen_read(struct gen *g, ir_id x)
{
    if (ir_is_const(x)) return gx_const(g, gen_type_of(g, x) == T_I64 ? 64 : 32, g->r->blocks[g->b].consts[x - IR_CONST]);
    if (ir_is_slot(x) && g->bits[x]) return (struct gv){ .r = gcc_jit_lvalue_as_rvalue(g->bits[x]) };
    unsigned kind, type = gen_type_of(g, x);
    gj_rv *v = gen_read_raw(g, x, &kind);
    return (struct gv){ .r = kind == KIND_FLOAT ? gx_bits(g, v, gen_int_type(g, type)) : v };
}

gj_rv *gen_read_float(struct gen *g, ir_id x)
{
    unsigned type = gen_type_of(g, x), kind;
    if (ir_is_const(x)) {
        gj_lv *v = gx_var(g, gen_int_type(g, type));
        gx_set(g, v, gen_read(g, x).r);
        return gx_bits(g, gcc_jit_lvalue_as_rvalue(v), float_type(g, type));
    }
    gj_rv *v = gen_read_raw(g, x, &kind);
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
        bits = gx_var(g, gen_int_type(g, type));
        gx_set(g, bits, v);
        v = gen_opaque(g, gx_bits(g, gcc_jit_lvalue_as_rvalue(bits), float_type(g, type))); /* a map can't describe a constant */
    }
    if (kind == KIND_INT && is_float) v = gx_bits(g, v, gen_int_type(g, type));
    if (ir_is_temp(d)) {
        gj_lv *t = temp_var(g, d, &kind);
        if (g->txn.watch) gen_txn_temp(g, d - IR_TEMP, t);
        gx_set(g, t, v);
        g->f.temp_number[d - IR_TEMP] = 0;
        return;
    }
    set_del(&g->f.number, d);
    if (g->cell[d].var) gen_assign_cell(g, d, v), g->bits[d] = bits;
    else gen_cell_store(g, g->cell[d].offset, gen_kind_type(g, type, kind), v, g->r->h->user);
}

gj_rv *gen_table(struct gen *g, unsigned index, gcc_jit_type *t)
{
    gj_rv *p = gx_cast(g, gcc_jit_lvalue_as_rvalue(g->table), gcc_jit_type_get_pointer(t));
    return gcc_jit_lvalue_as_rvalue(gcc_jit_context_new_array_access(g->ctx, NULL, p, gx_int(g, g->u64, index)));
}
