/*
 * a64-control.c - what lower.c and lower-control.c ask of an AArch64 host: cells and registers, C calls, the count of
 * instructions, ways out, comparisons of branches.
 */
#include "jit-native/a64.h"

/* ---- state -------------------------------------------------------------------------------------------- */

void host_move_cell(struct lower *c, unsigned r, ir_id x, bool load)
{
    bool w = lower_wide(c, x);
    if (r < GPRS) a64_ldst(&c->e, load ? (w ? A_LDRX : A_LDRW) : w ? A_STRX : A_STRW, a64_gpr((int)r), a64_cell(c, x));
    else a64_ldst(&c->e, load ? (w ? A_LDRD : A_LDRS) : w ? A_STRD : A_STRS, a64_fpr((int)r), a64_cell(c, x));
}

void host_set_point(struct lower *c)
{
    a64_mov_imm(&c->e, X17, lower_point(c));
    a64_ldst(&c->e, A_STRW, X17, AT_CPU(xpoint));
}

void host_result(struct lower *c, ir_id d) { a64_done(c, d, X0); }

static void store_pc_reg(struct lower *c, unsigned reg)
{
    const struct guest *g = c->g->guest;
    a64_ldst(&c->e, g->slots[g->pc_slot].type == T_I64 ? A_STRX : A_STRW, reg, a64_cell(c, g->pc_slot));
}

void host_store_pc_of(struct lower *c, ir_id x) { store_pc_reg(c, a64_use(c, x, X0)); }

void host_store_pc(struct lower *c, uint64_t pc)
{
    a64_mov_imm(&c->e, X0, pc);
    store_pc_reg(c, X0);
}

void host_store_key(struct lower *c, uint64_t key)
{
    a64_mov_imm(&c->e, X0, key);
    a64_ldst(&c->e, A_STRX, X0, AT_CPU(key));
}

/* ---- C calls: arguments are in x0 and up -------------------------------------------------------------- */

void host_arg(struct lower *c, unsigned n, ir_id x) { a64_load_cell(c, n, x); }
void host_arg_imm(struct lower *c, unsigned n, uint64_t v) { a64_mov_imm(&c->e, n, v); }
void host_arg_add(struct lower *c, unsigned n, bool wide, int32_t v) { a64_add_imm(&c->e, wide, n, n, v); }
void host_arg_label(struct lower *c, unsigned n, unsigned label) { a64_adr(&c->e, n, label); }
void host_arg_address(struct lower *c, unsigned n, bool wide) { a64_mov(&c->e, wide, n, X0); }

void host_call_c(struct lower *c, uintptr_t fn, bool fp)
{
    a64_mov_imm(&c->e, X16, fn);
    emit_call_abs(&c->e, fp ? c->h->stubs.fp : c->h->stubs.call);
}

/* ---- the count of instructions ------------------------------------------------------------------------ */

void host_count(struct lower *c, int32_t n) { a64_add_imm(&c->e, true, R_COUNT, R_COUNT, n); }

void host_count_jump(struct lower *c, int32_t n, bool negative, unsigned label)
{
    uint32_t u = n < 0 ? 0u - (uint32_t)n : (uint32_t)n;
    if (a64_is_imm12(u)) {
        a64_addsub(&c->e, n < 0 ? A_SUBSI : A_ADDSI, true, R_COUNT, R_COUNT, u);
    } else {
        host_count(c, n);
        a64_addsub(&c->e, A_SUBSI, true, ZR, R_COUNT, 0);
    }
    a64_bcond(&c->e, negative ? C_MI : C_PL, label);
}

void host_refill(struct lower *c, unsigned none)
{
    emit_call_abs(&c->e, c->h->stubs.refill);
    a64_bcond(&c->e, C_EQ, none);
}

void host_heat(struct lower *c, const struct blk *b, uint32_t n, bool more, unsigned label)
{
    struct a64_mem heat = a64_at(X0, 0);
    a64_mov_imm(&c->e, X0, (uintptr_t)b->code_heat);
    a64_mov_imm(&c->e, X2, n);
    a64_ldst(&c->e, A_LDRW, X1, heat);
    a64_rrr(&c->e, A_SUBS, false, X1, X1, X2);
    a64_ldst(&c->e, A_STRW, X1, heat);
    a64_bcond(&c->e, more ? C_HI : C_EQ, label);
}

/* ---- ways out ----------------------------------------------------------------------------------------- */

void host_exit(struct lower *c, unsigned code)
{
    a64_mov_imm(&c->e, X0, code);
    emit_jump_abs(&c->e, c->h->stubs.exit);
}

void host_follow_link(struct lower *c, const struct link *l)
{
    a64_mov_imm(&c->e, X0, (uintptr_t)l);
    a64_ldst(&c->e, A_LDRX, X16, a64_at(X0, (int32_t)offsetof(struct link, code)));
    a64_word(&c->e, A_BR | X16 << 5);
}

/* reg = the jump cache's block for the address. */
static void cached(struct lower *c, unsigned reg, uint64_t pc)
{
    a64_ldst(&c->e, A_LDRX, reg, AT_CPU(jump_cache));
    a64_ldst(&c->e, A_LDRX, reg, a64_at(reg, (int32_t)(jc_index(pc) * sizeof(void *))));
}

void host_follow_cached(struct lower *c, const struct link *l)
{
    host_store_pc(c, l->pc); /* by way of x0, where it stays */
    a64_mov_imm(&c->e, X1, l->key);
    cached(c, X2, l->pc);
    emit_jump_abs(&c->e, c->h->stubs.candidate);
}

/* To the label if x0 is another. */
static void unless_equal(struct lower *c, uint64_t v, unsigned no)
{
    a64_mov_imm(&c->e, X1, v);
    a64_rrr(&c->e, A_SUBS, true, ZR, X0, X1);
    a64_bcond(&c->e, C_NE, no);
}

void host_check_mapping(struct lower *c, const struct blk *b, unsigned no)
{
    cached(c, X0, b->pc);
    unless_equal(c, (uintptr_t)b, no);
}

void host_check_key(struct lower *c, uint64_t key, unsigned no)
{
    a64_ldst(&c->e, A_LDRX, X0, AT_CPU(key));
    unless_equal(c, key, no);
}

/* ---- branches ----------------------------------------------------------------------------------------- */

struct lower_ind host_ind(struct lower *c) { return (struct lower_ind){ .reg = a64_use(c, c->o->a, X2) }; }

void host_ind_is(struct lower *c, struct lower_ind *at, uint64_t pc, unsigned label)
{
    struct emit *e = &c->e;
    bool w = c->o->type == T_I64;
    int64_t off = (int64_t)(pc - at->base);
    if (!at->based || off <= -(1 << 12) || off >= 1 << 12) { /* the others by their distance from the first */
        at->base = pc, at->based = true;
        a64_mov_imm(e, X1, w ? pc : (uint32_t)pc);
        a64_rrr(e, A_SUBS, w, X0, at->reg, X1);
    } else if (off < 0) {
        a64_addsub(e, A_ADDSI, w, ZR, X0, (uint32_t)-off);
    } else {
        a64_addsub(e, A_SUBSI, w, ZR, X0, (uint32_t)off);
    }
    a64_bcond(e, C_EQ, label);
}

void host_ind_leave(struct lower *c, const struct lower_ind *at)
{
    a64_mov(&c->e, c->o->type == T_I64, X0, at->reg);
    store_pc_reg(c, X0);
    lower_spill(c, c->dirty, false);
    a64_mov_imm(&c->e, X1, c->jb->blk->key);
    emit_jump_abs(&c->e, c->h->stubs.indirect);
}

void host_branch(struct lower *c, const struct ir_op *o, bool invert, unsigned label)
{
    uint64_t k;
    if ((o->attr == CC_EQ || o->attr == CC_NE) && lower_const(c, o->b, &k) && !k && !ir_is_const(o->a)) {
        a64_cbz(&c->e, (o->attr == CC_NE) != invert, o->type == T_I64, a64_use(c, o->a, X0), label);
        return;
    }
    a64_bcond(&c->e, a64_compare(c, o) ^ invert, label);
}

void host_fence(struct lower *c) { a64_word(&c->e, A_DMB_ISH); }
