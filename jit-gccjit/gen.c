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
            if (o->op == OP_CALL && !gen_pure_helper(gen_helper_of(g, o))) g->has_calls = true;
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
            c->var = gx_var(g, c->wide ? g->u64 : gen_cell_type(g, i));
        }
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
            gen_cell_store(g, g->cell[i].offset, gen_cell_type(g, i), gen_cell_value(g, i), false);
        }
    }
    gcc_jit_block_end_with_return(g->blk, NULL, gcc_jit_lvalue_as_rvalue(g->ret));
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
        gen_scan(g);
        for (unsigned n = 0; n < r->h->n_blocks; n++) {
            g->pb[n].body[0] = gx_block(g);
            if (g->has_fp) g->pb[n].check = gx_block(g), g->pb[n].body[1] = gx_block(g);
        }
        prologue(g, start, gcc_jit_param_as_rvalue(param[1]));
        for (unsigned n = 0; n < r->h->n_blocks && !g->why; n++) {
            gen_version(g, n, false);
            if (!g->has_fp) continue;
            gen_version(g, n, true);
            gen_check_entry(g);
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
