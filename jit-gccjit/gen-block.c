/*
 * gen-block.c - the worker's code generator: blocks, op by op, in their versions and rounds; charging for instructions; the edges
 * between blocks and the ways out of the region.
 */
#include "jit-gccjit/gen.h"

#include <stdlib.h>

gcc_jit_block *gen_slow_entry(struct gen *g, unsigned at, const struct gen_set *dirty)
{
    struct gen_per_block *p = &g->pb[g->b];
    unsigned n = g->r->blocks[g->b].h->n_ops;
    if (!p->slow_at) p->slow_at = calloc(n, sizeof *p->slow_at), p->slow_dirty = calloc(n, sizeof *p->slow_dirty);
    if (!p->slow_at[at]) p->slow_at[at] = gx_block(g);
    set_or(&p->slow_dirty[at], dirty);
    return p->slow_at[at];
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
    gen_cell_store(g, g->r->slots[g->r->h->pc_slot].offset, gen_int_type(g, g->r->h->addr_type), v, g->r->h->user);
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
    gcc_jit_type *t = gen_int_type(g, g->r->h->addr_type);
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
    store_pc(g, gx_int(g, gen_int_type(g, g->r->h->addr_type), h->pc));
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
    return o->op == OP_INSN || gen_is_pure(o) || gen_fp_inline(o) || (o->op == OP_LD && (g->maps || (!g->r->h->user && g->txn.open)));
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
            memset(g->bits, 0, sizeof g->bits); /* of one way here only */
            g->blk = l;
            continue;
        }
        if (!gen_is_pure(o) && !gen_is_fp(o) && !gen_is_mem(o) && o->op != OP_INSN) memset(g->bits, 0, sizeof g->bits);
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
        case OP_CALL: gen_call(g, o, mark); break;
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
            if (gen_is_pure(o)) {
                if (g->txn.open && o->op != OP_MOV) gen_test_operands(g, i);
                gen_pure(g, i);
            } else if (!g->slow && g->has_fp && gen_fp_inline(o)) gen_fp(g, i);
            else if (gen_is_fp(o)) gen_by_reference(g, i);
            else gen_on_cells(g, i, mark);
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
        if (!gen_is_pure(o) && !gen_fp_inline(o) && o->op != OP_INSN && o->op != OP_LD && o->op != OP_BRC && o->op != OP_GOTO) return 0;
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
void gen_check_entry(struct gen *g)
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

void gen_version(struct gen *g, unsigned n, bool slow)
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
