/*
 * a64-control.c - lowering of branches, ways out, calls of helpers; blocks' entries.
 */
#include "jit-native/a64.h"

static const struct link *link_of(const struct a64 *c, const struct ir_op *o) { return &c->jb->blk->links[o->aux]; }

static void add_count(struct a64 *c, int32_t n) { a64_add_imm(&c->e, true, R_COUNT, R_COUNT, n); }

/* The same, and the flags of the result. */
static void add_count_flags(struct a64 *c, int32_t n)
{
    uint32_t u = n < 0 ? 0u - (uint32_t)n : (uint32_t)n;
    if (a64_is_imm12(u)) {
        a64_addsub(&c->e, n < 0 ? A_SUBSI : A_ADDSI, true, R_COUNT, R_COUNT, u);
    } else {
        add_count(c, n);
        a64_addsub(&c->e, A_SUBSI, true, ZR, R_COUNT, 0);
    }
}

static void store_pc_reg(struct a64 *c, unsigned reg)
{
    const struct guest *g = c->g->guest;
    a64_ldst(&c->e, g->slots[g->pc_slot].type == T_I64 ? A_STRX : A_STRW, reg, a64_cell(c, g->pc_slot));
}

static void store_pc(struct a64 *c, uint64_t pc)
{
    a64_mov_imm(&c->e, X0, pc);
    store_pc_reg(c, X0);
}

static void leave(struct a64 *c, unsigned code)
{
    a64_mov_imm(&c->e, X0, code);
    a64_b_abs(&c->e, c->h->stubs.exit);
}

/* ---- blocks ------------------------------------------------------------------------------------------- */

/* The charge failed: more of the budget, or out. */
static void cold_charge(struct a64 *c, const struct cold *k)
{
    const struct gen_block *gb = &c->g->blocks[k->block];
    const struct blk *b = gb->jb->blk;
    struct emit *e = &c->e;

    add_count(c, b->n_insns);
    a64_bl_abs(e, c->h->stubs.refill);
    if (c->g->r->count && gb->jb->header) { /* it goes round without passing the entry, where runs are counted: a slice at a time, then */
        struct a64_mem heat = a64_at(X0, (int32_t)offsetof(struct blk, heat));
        unsigned out = a64_label(e);
        a64_bcond(e, C_EQ, out);
        a64_mov_imm(e, X0, (uintptr_t)b);
        a64_mov_imm(e, X2, SLICE / MAX(b->n_insns, 1));
        a64_ldst(e, A_LDRW, X1, heat);
        a64_rrr(e, A_SUBS, false, X1, X1, X2);
        a64_ldst(e, A_STRW, X1, heat);
        a64_bcond(e, C_HI, gb->label);
        a64_spill(c, gb->dirty_in, true);
        store_pc(c, b->pc);
        leave(c, JIT_HOT);
        a64_place(e, out);
    } else {
        a64_bcond(e, C_NE, gb->label);
    }
    a64_spill(c, gb->dirty_in, true);
    store_pc(c, b->pc);
    a64_mov_imm(e, X0, b->key);
    a64_ldst(e, A_STRX, X0, AT_CPU(key));
    leave(c, JIT_LOOKUP);
}

void a64_block_entry(struct a64 *c)
{
    struct cold *k = a64_cold(c, cold_charge);
    if (c->jb->header && c->g->r->tier > 1) a64_align(&c->e, 16);
    a64_place(&c->e, c->gb->label);
    add_count_flags(c, -(int32_t)c->jb->blk->n_insns);
    a64_bcond(&c->e, C_MI, k->label);
    a64_place(&c->e, c->gb->charged);
    c->gb->failed = k->label;
}

/* ---- edges -------------------------------------------------------------------------------------------- */

static void leave_by_link(struct a64 *c, const struct ir_op *o, uint32_t dirty, bool small)
{
    const struct link *l = link_of(c, o);
    bool fixed = l->from->fixed && c->g->guest->fixed(l->pc); /* such links are made */
    bool other = (((l->pc ^ l->from->pc) & CPU_PAGE_MASK) && !fixed) || c->jb->check[o->aux];
    add_count(c, l->refund);
    a64_spill(c, dirty, small);
    if (!c->g->r->user && other && !l->keyed && l->key == l->from->key && c->key_kept) {
        /* such links are never made, since mappings may change: what the jump cache has is good */
        store_pc(c, l->pc);
        a64_mov_imm(&c->e, X1, l->key);
        a64_ldst(&c->e, A_LDRX, X2, AT_CPU(jump_cache));
        a64_ldst(&c->e, A_LDRX, X2, a64_at(X2, (int32_t)(jc_index(l->pc) * sizeof(void *))));
        a64_b_abs(&c->e, c->h->stubs.candidate);
        return;
    }
    a64_mov_imm(&c->e, X0, (uintptr_t)l);
    a64_ldst(&c->e, A_LDRX, X16, a64_at(X0, (int32_t)offsetof(struct link, code)));
    a64_word(&c->e, A_BR | X16 << 5);
}

/* Is block `to` what the jump cache has for its address? If not: to label `no`. */
static void check_mapping(struct a64 *c, const struct blk *to, unsigned no)
{
    a64_ldst(&c->e, A_LDRX, X0, AT_CPU(jump_cache));
    a64_ldst(&c->e, A_LDRX, X0, a64_at(X0, (int32_t)(jc_index(to->pc) * sizeof(void *))));
    a64_mov_imm(&c->e, X1, (uintptr_t)to);
    a64_rrr(&c->e, A_SUBS, true, ZR, X0, X1);
    a64_bcond(&c->e, C_NE, no);
}

static void follow(struct a64 *c, const struct ir_op *o, uint32_t dirty, bool small)
{
    const struct link *l = link_of(c, o);
    int to = c->jb->to[o->aux];
    struct emit *e = &c->e;
    unsigned out = a64_label(e);

    if (to < 0) {
        leave_by_link(c, o, dirty, small);
        return;
    }
    const struct gen_block *t = &c->g->blocks[to];
    bool checked = c->jb->check[o->aux];
    if (checked) check_mapping(c, t->jb->blk, out);
    if (l->refund) { /* what is given back and the target's charge at once */
        add_count_flags(c, (int32_t)l->refund - t->jb->blk->n_insns);
        a64_bcond(e, C_PL, t->charged);
        if (t->failed) {
            a64_b(e, t->failed);
        } else { /* not emitted yet: by its entry, which charges anew and fails again */
            add_count(c, t->jb->blk->n_insns);
            a64_b(e, t->label);
        }
    } else {
        a64_b(e, t->label);
    }
    a64_place(e, out);
    if (checked) leave_by_link(c, o, dirty, small);
}

static void cold_edge(struct a64 *c, const struct cold *k) { follow(c, k->o, k->dirty, true); }

/* Can the edge be a jump to the block's entry? */
static bool plain_edge(const struct a64 *c, const struct ir_op *o)
{
    return c->jb->to[o->aux] >= 0 && !c->jb->check[o->aux] && !link_of(c, o)->refund;
}

static unsigned edge_label(struct a64 *c, const struct ir_op *o)
{
    if (plain_edge(c, o)) return c->g->blocks[c->jb->to[o->aux]].label;
    struct cold *k = a64_cold(c, cold_edge);
    k->o = o;
    return k->label;
}

/* To the label if the op's condition holds, or (invert) does not. */
static void branch_if(struct a64 *c, const struct ir_op *o, bool invert, unsigned label)
{
    uint64_t k;
    if ((o->attr == CC_EQ || o->attr == CC_NE) && a64_const(c, o->b, &k) && !k && !ir_is_const(o->a)) {
        a64_cbz(&c->e, (o->attr == CC_NE) != invert, o->type == T_I64, a64_use(c, o->a, X0), label);
        return;
    }
    unsigned cc = a64_compare(c, o);
    a64_bcond(&c->e, cc ^ invert, label);
}

static void branch(struct a64 *c)
{
    const struct ir_op *o = c->o, *next = o + 1;
    if (c->i + 2 == c->jb->n_ops && next->op == OP_GOTO && plain_edge(c, o) && c->jb->to[o->aux] == (int)c->k + 1) {
        branch_if(c, o, true, edge_label(c, next));
        c->skip = 1;
        return;
    }
    branch_if(c, o, false, edge_label(c, o));
}

/* ---- indirect branches -------------------------------------------------------------------------------- */

static void cold_mapped(struct a64 *c, const struct cold *k)
{
    const struct gen_block *t = &c->g->blocks[k->arg];
    check_mapping(c, t->jb->blk, k->back);
    a64_b(&c->e, t->label);
}

static void indirect(struct a64 *c)
{
    const struct ir_op *o = c->o;
    const struct jit_block *jb = c->jb;
    struct emit *e = &c->e;
    bool w = o->type == T_I64, based = false;
    unsigned out = a64_label(e), pc = a64_use(c, o->a, X2);
    uint64_t base = 0;

    add_count(c, jb->blk->n_insns - (int32_t)o->aux);
    if (jb->n_ind && !c->key_kept) {
        a64_mov_imm(e, X0, jb->blk->key);
        a64_ldst(e, A_LDRX, X1, AT_CPU(key));
        a64_rrr(e, A_SUBS, true, ZR, X0, X1);
        a64_bcond(e, C_NE, out);
    }
    for (unsigned i = 0; i < jb->n_ind; i++) {
        const struct gen_block *t = &c->g->blocks[jb->ind[i]];
        uint64_t to = t->jb->blk->pc;
        int64_t off = (int64_t)(to - base);
        if (!based || off <= -(1 << 12) || off >= 1 << 12) { /* the others by their distance from the first */
            base = to, based = true, off = 0;
            a64_mov_imm(e, X1, w ? to : (uint32_t)to);
            a64_rrr(e, A_SUBS, w, X0, pc, X1);
        } else if (off < 0) {
            a64_addsub(e, A_ADDSI, w, ZR, X0, (uint32_t)-off);
        } else {
            a64_addsub(e, A_SUBSI, w, ZR, X0, (uint32_t)off);
        }
        if (jb->check_ind) {
            struct cold *k = a64_cold(c, cold_mapped);
            k->arg = jb->ind[i];
            k->back = out;
            a64_bcond(e, C_EQ, k->label);
        } else {
            a64_bcond(e, C_EQ, t->label);
        }
    }
    a64_place(e, out);
    a64_mov(e, w, X0, pc);
    store_pc_reg(c, X0);
    a64_spill(c, c->dirty, false);
    a64_mov_imm(e, X1, jb->blk->key);
    a64_b_abs(e, c->h->stubs.indirect);
}

static void leave_to_engine(struct a64 *c)
{
    const struct ir_op *o = c->o;
    add_count(c, c->jb->blk->n_insns - (int32_t)o->aux);
    a64_spill(c, c->dirty, true);
    store_pc_reg(c, a64_use(c, o->a, X0));
    leave(c, o->attr == IR_EXIT_IRQ ? JIT_IRQ : o->attr == IR_EXIT_HALT ? JIT_HALT : o->attr == IR_EXIT_DEBUG ? JIT_DEBUG : JIT_LOOKUP);
}

/* ---- calls -------------------------------------------------------------------------------------------- */

static void call(struct a64 *c)
{
    const struct ir_op *o = c->o;
    const struct helper_desc *h = &c->g->guest->helpers[o->aux];

    a64_spill(c, c->dirty, false);
    a64_save_temps(c);
    c->dirty = 0;
    if (!(h->flags & HELPER_PURE)) a64_set_point(c);
    a64_load_cell(c, X1, o->a); /* arguments that are not given are 0 */
    a64_load_cell(c, X2, o->b);
    a64_load_cell(c, X3, o->c);
    a64_call_c(c, (uintptr_t)h->fn, c->h->stubs.call);
    uint32_t back = c->gb->live[c->i] & (c->g->regs->clobbered | gen_written(c->g, o));
    if (o->d != IR_NONE) back &= ~gen_slot_bit(c->g, o->d);
    a64_reload(c, back, false);
    a64_restore_temps(c);
    if (o->d != IR_NONE) a64_done(c, o->d, X0);
    if (h->writes >> SLOT_MODE & 1) c->key_kept = false;
}

static void fetch_fault_here(struct a64 *c)
{
    a64_spill(c, c->dirty, true);
    a64_set_point(c);
    a64_load_cell(c, X1, c->o->a);
    a64_call_c(c, (uintptr_t)jit_fetch_fault, c->h->stubs.call);
}

void a64_lower_control(struct a64 *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;

    switch (o->op) {
    case OP_INSN: break;
    case OP_LABEL:
        a64_place(e, c->labels[o->aux]);
        c->dirty |= c->label_dirty[o->aux];
        break;
    case OP_BR:
        a64_b(e, c->labels[o->aux]);
        c->label_dirty[o->aux] |= c->dirty;
        c->dirty = 0;
        break;
    case OP_BRL:
        branch_if(c, o, false, c->labels[o->aux]);
        c->label_dirty[o->aux] |= c->dirty;
        break;
    case OP_BRC: branch(c); break;
    case OP_GOTO:
        if (c->i + 1u == c->jb->n_ops && plain_edge(c, o) && c->jb->to[o->aux] == (int)c->k + 1) break; /* falls through */
        follow(c, o, c->dirty, c->jb->to[o->aux] >= 0);
        break;
    case OP_IND: indirect(c); break;
    case OP_EXIT: leave_to_engine(c); break;
    case OP_CALL: call(c); break;
    case OP_FETCHF: fetch_fault_here(c); break;
    case OP_FENCE: a64_word(e, A_DMB_ISH); break;
    default: break;
    }
}
