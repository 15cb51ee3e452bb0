/*
 * a64-state.c - where the guest's state is: storing and reloading what lives in registers, points, cold code around C calls.
 */
#include "jit-native/a64.h"

#include <stdlib.h>

static void move_slots(struct lower *c, uint32_t mask, bool load)
{
    for (int r = 0; r < REGS; r++) {
        if (mask >> r & 1) a64_move_cell(c, r, c->g->reg_slot[r], load);
    }
}

/* By a subroutine of the region's own: rare code is to be small. */
static void move_shared(struct lower *c, uint32_t mask, bool load)
{
    if (!(mask & (mask - 1))) {
        move_slots(c, mask, load);
        return;
    }
    for (unsigned i = 0; i < c->n_shared; i++) {
        if (c->shared[i].mask != mask || c->shared[i].reload != load) continue;
        emit_call(&c->e, c->shared[i].label);
        return;
    }
    if (c->n_shared == ARRAY_LEN(c->shared)) {
        move_slots(c, mask, load);
        return;
    }
    struct shared *s = &c->shared[c->n_shared++];
    *s = (struct shared){ mask, load, emit_label(&c->e) };
    emit_call(&c->e, s->label);
}

void lower_spill(struct lower *c, uint32_t mask, bool small)
{
    mask &= c->g->used;
    if (small) move_shared(c, mask, false);
    else move_slots(c, mask, false);
}

void lower_reload(struct lower *c, uint32_t mask, bool small)
{
    mask &= c->g->used;
    if (small) move_shared(c, mask, true);
    else move_slots(c, mask, true);
}

static void move_temps(struct lower *c, bool load)
{
    const struct gen_block *gb = c->gb;
    for (unsigned t = 0; t < c->jb->n_temps; t++) {
        int r = gb->temp_reg[t];
        if (r < 0 || gb->temp_first[t] >= c->i || gb->temp_last[t] < c->i + (load ? 1 : 0)) continue;
        if (load && !(c->g->regs->clobbered >> r & 1)) continue;
        if (load && c->o->d == IR_TEMP + t) continue; /* it is about to get the result */
        a64_move_cell(c, r, (ir_id)(IR_TEMP + t), load);
    }
}

void lower_save_temps(struct lower *c) { move_temps(c, false); }
void lower_restore_temps(struct lower *c) { move_temps(c, true); }

uint32_t lower_point(struct lower *c)
{
    if (!c->point) c->point = jit_point(c->g->r, c->k, c->mark);
    if (!c->point) c->why = "no points left";
    return c->point;
}

void host_set_point(struct lower *c)
{
    a64_mov_imm(&c->e, X17, lower_point(c));
    a64_ldst(&c->e, A_STRW, X17, AT_CPU(xpoint));
}

void lower_may_fault(struct lower *c)
{
    if (c->n_points == c->cap_points) {
        c->cap_points = c->cap_points ? c->cap_points * 2 : 64;
        c->points = mem_realloc(c->points, c->cap_points * sizeof *c->points);
    }
    c->points[c->n_points++] = (struct gen_point){ c->e.n, lower_point(c), c->dirty & c->g->used, 0 };
}

void a64_adr_op(struct lower *c, const struct ir_op *o)
{
    if (c->n_ops == c->cap_ops) {
        c->cap_ops = c->cap_ops ? c->cap_ops * 2 : 16;
        c->ops = mem_realloc(c->ops, c->cap_ops * sizeof *c->ops);
    }
    unsigned label = emit_label(&c->e);
    c->ops[c->n_ops].o = o, c->ops[c->n_ops].label = label;
    c->n_ops++;
    a64_adr(&c->e, X1, label);
}

void a64_call_c(struct lower *c, uintptr_t fn, const void *stub)
{
    a64_mov_imm(&c->e, X16, fn);
    emit_call_abs(&c->e, stub);
}

struct cold *lower_cold(struct lower *c, cold_fn emit)
{
    struct cold *k = arena_get(&c->g->arena, sizeof *k);
    *k = (struct cold){ NULL, emit, emit_label(&c->e), emit_label(&c->e), c->k, c->i, c->mark, c->point, c->dirty, c->o, 0, 0, c->key_kept };
    *c->cold_tail = k;
    c->cold_tail = &k->next;
    return k;
}

void lower_cold_begin(struct lower *c, const struct cold *k)
{
    lower_spill(c, k->dirty, true);
    lower_save_temps(c);
}

void lower_cold_end(struct lower *c, const struct cold *k)
{
    const struct ir_op *o = k->o;
    uint32_t live = c->gb->live[k->op] & c->g->regs->clobbered;
    if (o->d != IR_NONE) live &= ~gen_slot_bit(c->g, o->d);
    lower_reload(c, live, true);
    lower_restore_temps(c);
    if (o->d != IR_NONE) a64_done(c, o->d, X0);
    emit_jump(&c->e, k->back);
}

void a64_forget_address(struct lower *c, ir_id x)
{
    for (unsigned i = 0; i < KEPT_ADDRESSES; i++) {
        if (x == IR_NONE || c->kept[i] == x) c->kept[i] = IR_NONE;
    }
}
