/*
 * gen-ops.c - the worker's code generator: ops that are neither floating point on the host (gen-fp.c) nor memory (gen-mem.c): integer
 * ones as expressions, helpers, and the rest by the reference.
 */
#include "jit-gccjit/gen.h"

/* jit_op(cpu, op, a, b, c) for op `at` of the block. */
gj_rv *gen_helper_op(struct gen *g, unsigned at, gj_rv *a, gj_rv *b, gj_rv *c)
{
    gj_rv *base = gen_table(g, gjt_ops(g->r->h->n_blocks, g->b), g->u8p);
    gj_rv *op = gcc_jit_lvalue_get_address(gcc_jit_context_new_array_access(g->ctx, NULL, base, gx_int(g, g->u64, at * sizeof(struct ir_op))), NULL);
    gj_rv *arg[] = { g->cpu, op, a, b, c };
    gj_lv *v = gx_var(g, g->u64);
    gx_set(g, v, gcc_jit_context_new_call_through_ptr(g->ctx, NULL, gen_table(g, gen_is_fp(&g->r->blocks[g->b].ops[at]) ? GJT_FP : GJT_OP, g->fn_op), 5, arg));
    return gcc_jit_lvalue_as_rvalue(v);
}

static void reload_notes(struct gen *g)
{
    gen_assign_cell(g, g->note_a, gen_cell_load(g, g->cell[g->note_a].offset, g->f64, false));
    gen_assign_cell(g, g->note_b, gen_cell_load(g, g->cell[g->note_b].offset, g->f64, false));
    gen_assign_cell(g, g->note_op, gen_cell_load(g, g->cell[g->note_op].offset, g->u32, false));
    gen_assign_cell(g, g->note_aux, gen_cell_load(g, g->cell[g->note_aux].offset, g->u32, false));
}

void gen_by_reference(struct gen *g, unsigned at)
{
    const struct ir_op *o = &g->r->blocks[g->b].ops[at];
    gj_rv *v = gen_helper_op(g, at, gen_u64(g, o->a), gen_u64(g, o->b), gen_u64(g, o->c));
    if (gen_is_fp(o) && g->has_fp) reload_notes(g);
    gen_write(g, o->d, gx_cast(g, v, gen_int_type(g, gen_type_of(g, o->d))), false);
}

static uint32_t temp_offset(ir_id t) { return (uint32_t)(offsetof(struct cpu, temps) + (t - IR_TEMP) * sizeof(uint64_t)); }

/* Any op: ref_exec_op() on the cells. */
void gen_on_cells(struct gen *g, unsigned at, unsigned mark)
{
    const struct ir_op *o = &g->r->blocks[g->b].ops[at];
    const unsigned n = g->r->h->n_blocks;
    const ir_id x[] = { o->d, o->a, o->b, o->c };

    for (unsigned k = 0; k < 4; k++) {
        for (unsigned c = 0; ir_is_temp(x[k]) && c < gen_operand_cells(o, k); c++) {
            ir_id t = (ir_id)(x[k] + c);
            if (!gen_operand_out(o, k)) gen_cell_store(g, temp_offset(t), g->u64, gen_u64(g, t), g->r->h->user);
        }
    }
    gen_sync(g, mark, true);
    gj_rv *op = gen_table(g, gjt_ops(n, g->b), g->u8p);
    op = gcc_jit_lvalue_get_address(gcc_jit_context_new_array_access(g->ctx, NULL, op, gx_int(g, g->u64, at * sizeof *o)), NULL);
    gj_rv *arg[] = { g->cpu, op, gen_table(g, gjt_consts(n, g->b), g->u8p) };
    gcc_jit_block_add_eval(g->blk, NULL, gcc_jit_context_new_call_through_ptr(g->ctx, NULL, gen_table(g, GJT_REF, g->fn_ref), 3, arg));
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned c = 0; gen_operand_out(o, k) && c < gen_operand_cells(o, k); c++) {
            ir_id y = (ir_id)(x[k] + c);
            unsigned type = gen_type_of(g, y);
            if (ir_is_temp(y)) gen_write(g, y, gx_cast(g, gen_cell_load(g, temp_offset(y), g->u64, false), gen_int_type(g, type)), false);
            else set_del(&g->f.number, y);
            if (ir_is_slot(y) && g->cell[y].var) gen_cell_fill(g, y);
        }
    }
}

void gen_pure(struct gen *g, unsigned at)
{
    const struct ir_op *o = &g->r->blocks[g->b].ops[at];
    unsigned type = gen_type_of(g, o->d);
    if (o->op == OP_MOV && !ir_is_const(o->a)) { /* keeps what is known of it, and its register file */
        bool number = gen_known_number(g, o->a);
        unsigned kind;
        gj_rv *v = gen_read_raw(g, o->a, &kind);
        unsigned pending = ir_is_slot(o->a) ? g->txn.cell[o->a] : g->txn.temp[o->a - IR_TEMP];
        gen_write(g, o->d, v, kind == KIND_FLOAT);
        *(ir_is_slot(o->d) ? &g->txn.cell[o->d] : &g->txn.temp[o->d - IR_TEMP]) = (uint8_t)pending;
        if (number && ir_is_slot(o->d)) set_add(&g->f.number, o->d);
        else if (number) g->f.temp_number[o->d - IR_TEMP] = 1;
        return;
    }
    gj_rv *v;
    if (o->op == OP_SETC) {
        v = gx_cast(g, gx_cond(g, o->attr, o->type, gen_read(g, o->a), gen_read(g, o->b)), gen_int_type(g, type));
    } else {
        struct gv none = gx_const(g, 64, 0);
        struct gv a = gen_read(g, o->a), b = o->b == IR_NONE ? none : gen_read(g, o->b), c = o->c == IR_NONE ? none : gen_read(g, o->c);
        v = gx_pure(g, o, a, b, c).r;
    }
    if (!v) {
        gen_txn_stop(g);
        gen_by_reference(g, at);
        return;
    }
    gj_lv *t = gx_var(g, gen_int_type(g, type));
    const bool step = g->txn.watch && o->op == OP_ADD && o->d == o->a && ir_is_slot(o->d) && ir_is_const(o->b) && g->cell[o->d].kind == KIND_INT;
    const bool stepped = step && set_has(&g->txn.stepped, o->d), first = step && !set_has(&g->txn.changed, o->d);
    gx_set(g, t, v);
    gen_write(g, o->d, gcc_jit_lvalue_as_rvalue(t), false);
    uint64_t k = step ? g->r->blocks[g->b].consts[o->b - IR_CONST] : 0;
    if (stepped || first) gen_txn_step(g, o->d, stepped, type == T_I64 ? (int64_t)k : (int32_t)(uint32_t)k);
}

void gen_call(struct gen *g, const struct ir_op *o, unsigned mark)
{
    const struct gj_helper *h = gen_helper_of(g, o);
    gj_rv *a = gen_u64(g, o->a), *b = gen_u64(g, o->b), *c = gen_u64(g, o->c);

    if (!gen_pure_helper(h)) {
        for (unsigned i = 0; i < g->n_cells; i++) {
            if (!set_has(&g->f.dirty, i) || !gen_helper_reads(g, h, i)) continue;
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
    if (!gen_pure_helper(h)) {
        for (unsigned i = 0; i < g->n_cells; i++) {
            if (!gen_helper_writes(g, h, i)) continue;
            set_del(&g->f.number, i);
            if (!g->cell[i].var) continue;
            gen_cell_fill(g, i);
            set_del(&g->f.dirty, i);
        }
        g->f.fp_ok = false;
    }
    if (o->d != IR_NONE) gen_write(g, o->d, gx_cast(g, gcc_jit_lvalue_as_rvalue(v), gen_int_type(g, o->type)), false);
}
