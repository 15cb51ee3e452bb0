/*
 * lower-control.c - blocks' entries and their charge, branches, edges to other blocks, ways out. Host-neutral (lower.h).
 */
#include "jit-native/lower.h"

static const struct link *link_of(const struct lower *c, const struct ir_op *o) { return &c->jb->blk->links[o->aux]; }

/* ---- blocks ------------------------------------------------------------------------------------------- */

static void cold_hot(struct lower *c, const struct cold *k)
{
    (void)k;
    host_store_pc(c, c->jb->blk->pc);
    host_exit(c, JIT_HOT);
}

void lower_count_run(struct lower *c) { host_heat(c, c->jb->blk, 1, false, lower_cold(c, cold_hot)->label); }

/* All that is not in its cell though no register is dirty. */
static void out_at_entry(struct lower *c, unsigned block)
{
    host_settle(c, c->g->states ? c->g->state_in[block] : 0);
    host_own_out(c, true);
}

/* The charge failed: more of the budget, or out. */
static void cold_charge(struct lower *c, const struct cold *k)
{
    const struct gen_block *gb = &c->g->blocks[k->block];
    const struct blk *b = gb->jb->blk;
    unsigned out = emit_label(&c->e);

    host_count(c, b->n_insns);
    host_refill(c, out);
    if (c->g->r->count && gb->jb->header) { /* it goes round without passing the entry, where runs are counted: a slice at a time, then */
        host_heat(c, b, SLICE / MAX(b->n_insns, 1), true, gb->label);
        lower_spill(c, gb->dirty_in, true);
        out_at_entry(c, k->block);
        host_store_pc(c, b->pc);
        host_exit(c, JIT_HOT);
    } else {
        emit_jump(&c->e, gb->label);
    }
    emit_place(&c->e, out);
    lower_spill(c, gb->dirty_in, true);
    out_at_entry(c, k->block);
    host_store_pc(c, b->pc);
    host_store_key(c, b->key);
    host_exit(c, JIT_LOOKUP);
}

void lower_block_entry(struct lower *c)
{
    struct cold *k = lower_cold(c, cold_charge);
    if (c->jb->header && c->g->r->tier > 1) emit_align(&c->e, 16);
    emit_place(&c->e, c->gb->label);
    host_count_jump(c, -(int32_t)c->jb->blk->n_insns, true, k->label);
    emit_place(&c->e, c->gb->charged);
    c->gb->failed = k->label;
}

/* ---- edges -------------------------------------------------------------------------------------------- */

static void leave_by_link(struct lower *c, const struct ir_op *o, uint32_t dirty, bool small)
{
    const struct link *l = link_of(c, o);
    bool other = ((l->pc ^ l->from->pc) & CPU_PAGE_MASK) || c->jb->check[o->aux];
    host_count(c, l->refund);
    lower_spill(c, dirty, small);
    host_settle(c, lower_state(c));
    host_own_out(c, false);
    /* system mode makes no links to other pages, since mappings may change: what the jump cache has is good */
    if (!c->g->r->user && other && !l->keyed && l->key == l->from->key && c->key_kept) host_follow_cached(c, l);
    else host_follow_link(c, l);
}

static void follow(struct lower *c, const struct ir_op *o, uint32_t dirty, bool small)
{
    const struct link *l = link_of(c, o);
    int to = c->jb->to[o->aux];
    struct emit *e = &c->e;

    if (to < 0) {
        leave_by_link(c, o, dirty, small);
        return;
    }
    const struct gen_block *t = &c->g->blocks[to];
    bool checked = c->jb->check[o->aux];
    unsigned out = emit_label(e);
    if (checked) host_check_mapping(c, t->jb->blk, out);
    if (l->refund) { /* what is given back and the target's charge at once */
        host_count_jump(c, (int32_t)l->refund - t->jb->blk->n_insns, false, t->charged);
        if (t->failed) {
            emit_jump(e, t->failed);
        } else { /* not emitted yet: by its entry, which charges anew and fails again */
            host_count(c, t->jb->blk->n_insns);
            emit_jump(e, t->label);
        }
    } else {
        emit_jump(e, t->label);
    }
    emit_place(e, out);
    if (checked) leave_by_link(c, o, dirty, small);
}

static void cold_edge(struct lower *c, const struct cold *k) { follow(c, k->o, k->dirty, true); }

/* Can the edge be a jump to the block's entry? */
static bool plain_edge(const struct lower *c, const struct ir_op *o)
{
    return c->jb->to[o->aux] >= 0 && !c->jb->check[o->aux] && !link_of(c, o)->refund;
}

static unsigned edge_label(struct lower *c, const struct ir_op *o)
{
    if (plain_edge(c, o)) return c->g->blocks[c->jb->to[o->aux]].label;
    struct cold *k = lower_cold(c, cold_edge);
    k->o = o;
    return k->label;
}

/* Is the edge to the block that comes next in the code? */
static bool falls_through(const struct lower *c, const struct ir_op *o) { return plain_edge(c, o) && c->jb->to[o->aux] == (int)c->k + 1; }

static void branch(struct lower *c)
{
    const struct ir_op *o = c->o, *next = o + 1;
    if (c->i + 2 == c->jb->n_ops && next->op == OP_GOTO && falls_through(c, o)) {
        host_branch(c, o, true, edge_label(c, next));
        c->skip = 1;
        return;
    }
    host_branch(c, o, false, edge_label(c, o));
}

/* ---- indirect branches, ways out ---------------------------------------------------------------------- */

static void cold_mapped(struct lower *c, const struct cold *k)
{
    const struct gen_block *t = &c->g->blocks[k->arg];
    host_check_mapping(c, t->jb->blk, k->back);
    emit_jump(&c->e, t->label);
}

static void indirect(struct lower *c)
{
    const struct jit_block *jb = c->jb;
    unsigned out = emit_label(&c->e);
    struct lower_ind at = host_ind(c);

    host_count(c, jb->blk->n_insns - (int32_t)c->o->aux);
    if (jb->n_ind && !c->key_kept) host_check_key(c, jb->blk->key, out);
    for (unsigned i = 0; i < jb->n_ind; i++) {
        const struct gen_block *t = &c->g->blocks[jb->ind[i]];
        unsigned label = t->label;
        if (jb->check_ind) {
            struct cold *k = lower_cold(c, cold_mapped);
            k->arg = jb->ind[i];
            k->back = out;
            label = k->label;
        }
        host_ind_is(c, &at, t->jb->blk->pc, label);
    }
    emit_place(&c->e, out);
    host_ind_leave(c, &at);
}

static void leave_to_engine(struct lower *c)
{
    const struct ir_op *o = c->o;
    host_count(c, c->jb->blk->n_insns - (int32_t)o->aux);
    lower_spill(c, c->dirty, true);
    host_settle(c, lower_state(c));
    host_own_out(c, false);
    host_store_pc_of(c, o->a);
    host_exit(c, o->attr == IR_EXIT_IRQ ? JIT_IRQ : o->attr == IR_EXIT_HALT ? JIT_HALT : o->attr == IR_EXIT_DEBUG ? JIT_DEBUG : JIT_LOOKUP);
}

bool lower_control(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;

    switch (o->op) {
    case OP_LABEL:
        emit_place(e, c->labels[o->aux]);
        c->dirty |= c->label_dirty[o->aux];
        return true;
    case OP_BR:
        emit_jump(e, c->labels[o->aux]);
        c->label_dirty[o->aux] |= c->dirty;
        c->dirty = 0;
        return true;
    case OP_BRL:
        host_branch(c, o, false, c->labels[o->aux]);
        c->label_dirty[o->aux] |= c->dirty;
        return true;
    case OP_BRC: branch(c); return true;
    case OP_GOTO:
        if (c->i + 1u == c->jb->n_ops && falls_through(c, o)) return true;
        follow(c, o, c->dirty, c->jb->to[o->aux] >= 0);
        return true;
    case OP_IND: indirect(c); return true;
    case OP_EXIT: leave_to_engine(c); return true;
    default: return false;
    }
}
