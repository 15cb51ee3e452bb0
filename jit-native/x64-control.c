/*
 * x64-control.c - lowering of branches, ways out, calls of helpers; blocks' entries.
 */
#include "jit-native/x64.h"

static const struct link *link_of(const struct x64 *c, const struct ir_op *o) { return &c->jb->blk->links[o->aux]; }

static void add_count(struct x64 *c, int32_t n)
{
    if (n) x64_alu_imm(&c->e, n < 0 ? ALU_SUB : ALU_ADD, true, x64_r(R15), n < 0 ? -n : n);
}

static void store_pc(struct x64 *c, uint64_t pc)
{
    const struct guest *g = c->g->guest;
    bool w = g->slots[g->pc_slot].type == T_I64;
    struct x64_rm m = x64_m(x64_cell(c, g->pc_slot));
    if (!w || (int64_t)pc == (int32_t)pc) {
        x64_op_imm(&c->e, 0xc7, w, 0, m, 4, (uint32_t)pc);
    } else {
        x64_mov_imm(&c->e, RAX, pc);
        x64_op(&c->e, 0x89, true, RAX, m);
    }
}

static void leave(struct x64 *c, unsigned code)
{
    x64_mov_imm(&c->e, RAX, code);
    x64_jmp_abs(&c->e, c->h->stubs.exit);
}

/* ---- blocks ------------------------------------------------------------------------------------------- */

/* The charge failed: more of the budget, or out. */
static void cold_charge(struct x64 *c, const struct cold *k)
{
    const struct gen_block *gb = &c->g->blocks[k->block];
    const struct blk *b = gb->jb->blk;
    struct emit *e = &c->e;

    add_count(c, b->n_insns);
    x64_call_abs(e, c->h->stubs.refill);
    if (c->g->r->count && gb->jb->header) { /* it goes round without passing the entry, where runs are counted: a slice at a time, then */
        unsigned out = x64_label(e);
        x64_jcc(e, X_Z, out);
        x64_mov_imm(e, RAX, (uintptr_t)b);
        x64_alu_imm(e, ALU_SUB, false, x64_m(x64_at(RAX, (int32_t)offsetof(struct blk, heat))), SLICE / MAX(b->n_insns, 1));
        x64_jcc(e, X_A, gb->label);
        x64_spill(c, gb->dirty_in, true);
        store_pc(c, b->pc);
        leave(c, JIT_HOT);
        x64_place(e, out);
    } else {
        x64_jcc(e, X_NZ, gb->label);
    }
    x64_spill(c, gb->dirty_in, true);
    store_pc(c, b->pc);
    x64_mov_imm(e, RAX, b->key);
    x64_op(e, 0x89, true, RAX, x64_m(AT_CPU(key)));
    leave(c, JIT_LOOKUP);
}

void x64_block_entry(struct x64 *c)
{
    struct cold *k = x64_cold(c, cold_charge);
    if (c->jb->header && c->g->r->tier > 1) x64_align(&c->e, 16);
    x64_place(&c->e, c->gb->label);
    x64_alu_imm(&c->e, ALU_SUB, true, x64_r(R15), c->jb->blk->n_insns);
    x64_jcc(&c->e, X_S, k->label);
    x64_place(&c->e, c->gb->charged);
    c->gb->failed = k->label;
}

/* ---- edges -------------------------------------------------------------------------------------------- */

static void leave_by_link(struct x64 *c, const struct ir_op *o, uint32_t dirty, bool small)
{
    const struct link *l = link_of(c, o);
    bool fixed = l->from->fixed && c->g->guest->fixed(l->pc); /* such links are made */
    bool other = (((l->pc ^ l->from->pc) & CPU_PAGE_MASK) && !fixed) || c->jb->check[o->aux];
    add_count(c, l->refund);
    x64_spill(c, dirty, small);
    if (!c->g->r->user && other && !l->keyed && l->key == l->from->key && c->key_kept) {
        /* such links are never made, since mappings may change: what the jump cache has is good */
        store_pc(c, l->pc);
        x64_mov_imm(&c->e, RAX, l->pc);
        x64_mov_imm(&c->e, RCX, l->key);
        x64_op(&c->e, 0x8b, true, RDX, x64_m(AT_CPU(jump_cache)));
        x64_op(&c->e, 0x8b, true, RDX, x64_m(x64_at(RDX, (int32_t)(jc_index(l->pc) * sizeof(void *)))));
        x64_jmp_abs(&c->e, c->h->stubs.candidate);
        return;
    }
    x64_mov_imm(&c->e, RAX, (uintptr_t)l);
    x64_op(&c->e, 0xff, false, 4, x64_m(x64_at(RAX, (int32_t)offsetof(struct link, code))));
}

/* Is block `to` what the jump cache has for its address? If not: to label `no`. */
static void check_mapping(struct x64 *c, const struct blk *to, unsigned no)
{
    x64_op(&c->e, 0x8b, true, RAX, x64_m(AT_CPU(jump_cache)));
    x64_mov_imm(&c->e, RCX, (uintptr_t)to);
    x64_op(&c->e, 0x39, true, RCX, x64_m(x64_at(RAX, (int32_t)(jc_index(to->pc) * sizeof(void *)))));
    x64_jcc(&c->e, X_NZ, no);
}

static void follow(struct x64 *c, const struct ir_op *o, uint32_t dirty, bool small)
{
    const struct link *l = link_of(c, o);
    int to = c->jb->to[o->aux];
    struct emit *e = &c->e;
    unsigned out = x64_label(e);

    if (to < 0) {
        leave_by_link(c, o, dirty, small);
        return;
    }
    const struct gen_block *t = &c->g->blocks[to];
    bool checked = c->jb->check[o->aux];
    if (checked) check_mapping(c, t->jb->blk, out);
    if (l->refund) {
        add_count(c, (int32_t)l->refund - t->jb->blk->n_insns);
        if (l->refund == t->jb->blk->n_insns) x64_test(e, true, R15, R15);
        x64_jcc(e, X_NS, t->charged);
        if (t->failed) x64_jmp(e, t->failed);
        else { /* not emitted yet: by its entry, which charges anew and fails again */
            add_count(c, t->jb->blk->n_insns);
            x64_jmp(e, t->label);
        }
    } else {
        x64_jmp(e, t->label);
    }
    x64_place(e, out);
    if (checked) leave_by_link(c, o, dirty, small);
}

static void cold_edge(struct x64 *c, const struct cold *k) { follow(c, k->o, k->dirty, true); }

/* Can the edge be a jump to the block's entry? */
static bool plain_edge(const struct x64 *c, const struct ir_op *o)
{
    return c->jb->to[o->aux] >= 0 && !c->jb->check[o->aux] && !link_of(c, o)->refund;
}

static unsigned edge_label(struct x64 *c, const struct ir_op *o)
{
    if (plain_edge(c, o)) return c->g->blocks[c->jb->to[o->aux]].label;
    struct cold *k = x64_cold(c, cold_edge);
    k->o = o;
    return k->label;
}

static void branch(struct x64 *c, unsigned cc)
{
    const struct ir_op *o = c->o, *next = o + 1;
    if (c->i + 2 == c->jb->n_ops && next->op == OP_GOTO && plain_edge(c, o) && c->jb->to[o->aux] == (int)c->k + 1) {
        x64_jcc(&c->e, cc ^ 1, edge_label(c, next));
        c->skip = 1;
        return;
    }
    x64_jcc(&c->e, cc, edge_label(c, o));
}

/* ---- indirect branches -------------------------------------------------------------------------------- */

static void cold_mapped(struct x64 *c, const struct cold *k)
{
    const struct gen_block *t = &c->g->blocks[k->arg];
    check_mapping(c, t->jb->blk, k->back);
    x64_jmp(&c->e, t->label);
}

static void indirect(struct x64 *c)
{
    const struct ir_op *o = c->o;
    const struct jit_block *jb = c->jb;
    struct emit *e = &c->e;
    bool w = o->type == T_I64;
    unsigned out = x64_label(e), pc = x64_use(c, o->a, RDX);

    add_count(c, jb->blk->n_insns - (int32_t)o->aux);
    if (jb->n_ind && !c->key_kept) {
        x64_mov_imm(e, RCX, jb->blk->key);
        x64_op(e, 0x39, true, RCX, x64_m(AT_CPU(key)));
        x64_jcc(e, X_NZ, out);
    }
    uint64_t base = 0;
    for (unsigned i = 0; i < jb->n_ind; i++) {
        const struct gen_block *t = &c->g->blocks[jb->ind[i]];
        uint64_t to = t->jb->blk->pc;
        if (!w) {
            x64_alu_imm(e, ALU_CMP, false, x64_r(pc), (int32_t)(uint32_t)to);
        } else if ((int64_t)to == (int32_t)to) {
            x64_alu_imm(e, ALU_CMP, true, x64_r(pc), (int32_t)to);
        } else { /* by the distance from the first */
            int64_t off = (int64_t)(to - base);
            if (!base || off != (int32_t)off) {
                base = to;
                off = 0;
                x64_mov_imm(e, RAX, 0 - to);
                x64_alu(e, ALU_ADD, true, RAX, x64_r(pc));
            }
            if (off) x64_alu_imm(e, ALU_CMP, true, x64_r(RAX), (int32_t)off); /* else the addition has set ZF */
        }
        if (jb->check_ind) {
            struct cold *k = x64_cold(c, cold_mapped);
            k->arg = jb->ind[i];
            k->back = out;
            x64_jcc(e, X_Z, k->label);
        } else {
            x64_jcc(e, X_Z, t->label);
        }
    }
    x64_place(e, out);
    const struct guest *g = c->g->guest;
    x64_mov(e, w, RAX, pc);
    if (!w && pc == RAX) x64_op(e, 0x8b, false, RAX, x64_r(RAX));
    x64_op(e, 0x89, g->slots[g->pc_slot].type == T_I64, RAX, x64_m(x64_cell(c, g->pc_slot)));
    x64_spill(c, c->dirty, false);
    x64_mov_imm(e, RCX, jb->blk->key);
    x64_jmp_abs(e, c->h->stubs.indirect);
}

static void leave_to_engine(struct x64 *c)
{
    const struct ir_op *o = c->o;
    uint64_t pc = 0;
    add_count(c, c->jb->blk->n_insns - (int32_t)o->aux);
    x64_spill(c, c->dirty, true);
    if (x64_const(c, o->a, &pc)) {
        store_pc(c, pc);
    } else {
        const struct guest *g = c->g->guest;
        unsigned r = x64_use(c, o->a, RAX);
        x64_op(&c->e, 0x89, g->slots[g->pc_slot].type == T_I64, r, x64_m(x64_cell(c, g->pc_slot)));
    }
    leave(c, o->attr == IR_EXIT_IRQ ? JIT_IRQ : o->attr == IR_EXIT_HALT ? JIT_HALT : o->attr == IR_EXIT_DEBUG ? JIT_DEBUG : JIT_LOOKUP);
}

/* ---- calls -------------------------------------------------------------------------------------------- */

static void call(struct x64 *c)
{
    const struct ir_op *o = c->o;
    const struct helper_desc *h = &c->g->guest->helpers[o->aux];
    struct emit *e = &c->e;

    x64_spill(c, c->dirty, false);
    x64_save_temps(c);
    c->dirty = 0;
    if (!(h->flags & HELPER_PURE)) x64_set_point(c);
    x64_load_cell(c, RSI, o->a); /* arguments that are not given are 0 */
    x64_load_cell(c, RDX, o->b);
    x64_load_cell(c, RCX, o->c);
    x64_mov_imm(e, RAX, (uintptr_t)h->fn);
    x64_call_abs(e, c->h->stubs.call);
    uint32_t back = c->gb->live[c->i] & (c->g->regs->clobbered | gen_written(c->g, o));
    if (o->d != IR_NONE) back &= ~gen_slot_bit(c->g, o->d);
    x64_reload(c, back, false);
    x64_restore_temps(c);
    if (o->d != IR_NONE) x64_done(c, o->d, RAX);
    if (h->writes >> SLOT_MODE & 1) c->key_kept = false;
}

static void fetch_fault_here(struct x64 *c)
{
    x64_spill(c, c->dirty, true);
    x64_set_point(c);
    x64_load_cell(c, RSI, c->o->a);
    x64_mov_imm(&c->e, RAX, (uintptr_t)jit_fetch_fault);
    x64_call_abs(&c->e, c->h->stubs.call);
}

void x64_lower_control(struct x64 *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;

    switch (o->op) {
    case OP_INSN: break;
    case OP_LABEL:
        x64_place(e, c->labels[o->aux]);
        c->dirty |= c->label_dirty[o->aux];
        break;
    case OP_BR:
        x64_jmp(e, c->labels[o->aux]);
        c->label_dirty[o->aux] |= c->dirty;
        c->dirty = 0;
        break;
    case OP_BRL:
        x64_jcc(e, x64_compare(c, o), c->labels[o->aux]);
        c->label_dirty[o->aux] |= c->dirty;
        break;
    case OP_BRC: branch(c, x64_compare(c, o)); break;
    case OP_GOTO:
        if (c->i + 1u == c->jb->n_ops && plain_edge(c, o) && c->jb->to[o->aux] == (int)c->k + 1) break; /* falls through */
        follow(c, o, c->dirty, c->jb->to[o->aux] >= 0);
        break;
    case OP_IND: indirect(c); break;
    case OP_EXIT: leave_to_engine(c); break;
    case OP_CALL: call(c); break;
    case OP_FETCHF: fetch_fault_here(c); break;
    case OP_FENCE: /* lock or dword [rsp + spare], 0 */
        x64_byte(e, 0xf0);
        x64_alu_imm(e, ALU_OR, false, x64_m(x64_at(RSP, 16)), 0);
        break;
    default: break;
    }
}
