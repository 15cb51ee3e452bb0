/*
 * x64-state.c - where the guest's state is: storing and reloading what lives in registers, points, cold code around C calls.
 */
#include "jit-native/x64.h"

#include <stdlib.h>

static void move_slot(struct x64 *c, unsigned r, bool load)
{
    ir_id s = c->g->reg_slot[r];
    bool w = c->g->guest->slots[s].type == T_I64;
    struct x64_rm m = x64_m(x64_cell(c, s));
    if (!load && c->g->narrow >> r & 1) x64_op(&c->e, 0x63, true, r, x64_r(r)); /* movsxd */
    if (r < GPRS) x64_op(&c->e, load ? 0x8b : 0x89, w, r, m);
    else x64_op(&c->e, (load ? 0x10 : 0x11) | X_0F | (w ? X_F2 : X_F3), false, r - GPRS, m);
}

static void move_slots(struct x64 *c, uint32_t mask, bool load)
{
    for (unsigned r = 0; r < REGS; r++) {
        if (mask >> r & 1) move_slot(c, r, load);
    }
}

/* By a subroutine of the region's own: rare code is to be small. */
static void move_shared(struct x64 *c, uint32_t mask, bool load)
{
    if (!(mask & (mask - 1))) {
        move_slots(c, mask, load);
        return;
    }
    for (unsigned i = 0; i < c->n_shared; i++) {
        if (c->shared[i].mask != mask || c->shared[i].reload != load) continue;
        x64_call(&c->e, c->shared[i].label);
        return;
    }
    if (c->n_shared == ARRAY_LEN(c->shared)) {
        move_slots(c, mask, load);
        return;
    }
    struct shared *s = &c->shared[c->n_shared++];
    *s = (struct shared){ mask, load, x64_label(&c->e) };
    x64_call(&c->e, s->label);
}

void x64_spill(struct x64 *c, uint32_t mask, bool small)
{
    mask &= c->g->used;
    if (small) move_shared(c, mask, false);
    else move_slots(c, mask, false);
}

void x64_reload(struct x64 *c, uint32_t mask, bool small)
{
    mask &= c->g->used;
    if (small) move_shared(c, mask, true);
    else move_slots(c, mask, true);
}

static void move_temps(struct x64 *c, bool load)
{
    const struct gen_block *gb = c->gb;
    for (unsigned t = 0; t < c->jb->n_temps; t++) {
        int r = gb->temp_reg[t];
        if (r < 0 || gb->temp_first[t] >= c->i || gb->temp_last[t] < c->i + (load ? 1 : 0)) continue;
        if (load && !(c->g->regs->clobbered >> r & 1)) continue;
        if (load && c->o->d == IR_TEMP + t) continue; /* it is about to get the result */
        bool w = c->jb->temp_type[t] == T_I64;
        struct x64_rm m = x64_m(x64_cell(c, (ir_id)(IR_TEMP + t)));
        if (r < GPRS) x64_op(&c->e, load ? 0x8b : 0x89, w, (unsigned)r, m);
        else x64_op(&c->e, (load ? 0x10 : 0x11) | X_0F | (w ? X_F2 : X_F3), false, (unsigned)r - GPRS, m);
    }
}

void x64_save_temps(struct x64 *c) { move_temps(c, false); }
void x64_restore_temps(struct x64 *c) { move_temps(c, true); }

uint32_t x64_point(struct x64 *c)
{
    if (!c->point) c->point = jit_point(c->g->r, c->k, c->mark);
    if (!c->point) c->why = "no points left";
    return c->point;
}

void x64_set_point(struct x64 *c)
{
    x64_op_imm(&c->e, 0xc7, false, 0, x64_m(AT_CPU(xpoint)), 4, x64_point(c));
}

void x64_may_fault(struct x64 *c)
{
    if (c->n_points == c->cap_points) {
        c->cap_points = c->cap_points ? c->cap_points * 2 : 64;
        c->points = mem_realloc(c->points, c->cap_points * sizeof *c->points);
    }
    c->points[c->n_points++] = (struct gen_point){ c->e.n, x64_point(c), c->dirty & c->g->used, c->dirty & c->g->narrow };
}

void x64_lea_op(struct x64 *c, const struct ir_op *o)
{
    if (c->n_ops == c->cap_ops) {
        c->cap_ops = c->cap_ops ? c->cap_ops * 2 : 16;
        c->ops = mem_realloc(c->ops, c->cap_ops * sizeof *c->ops);
    }
    x64_byte(&c->e, 0x48), x64_byte(&c->e, 0x8d), x64_byte(&c->e, 0x35); /* lea rsi, [rip + disp32] */
    c->ops[c->n_ops].o = o, c->ops[c->n_ops].at = c->e.n;
    c->n_ops++;
    x64_u32(&c->e, 0);
}

struct cold *x64_cold(struct x64 *c, cold_fn emit)
{
    struct cold *k = arena_get(&c->g->arena, sizeof *k);
    *k = (struct cold){ NULL, emit, x64_label(&c->e), x64_label(&c->e), c->k, c->i, c->mark, c->point, c->dirty, c->o, 0, c->key_kept, NULL, 0 };
    *c->cold_tail = k;
    c->cold_tail = &k->next;
    return k;
}

void x64_cold_begin(struct x64 *c, const struct cold *k)
{
    x64_spill(c, k->dirty, true);
    x64_save_temps(c);
}

void x64_cold_end(struct x64 *c, const struct cold *k)
{
    const struct ir_op *o = k->o;
    uint32_t live = c->gb->live[k->op] & c->g->regs->clobbered;
    if (o->d != IR_NONE) live &= ~gen_slot_bit(c->g, o->d);
    x64_reload(c, live, true);
    x64_restore_temps(c);
    if (o->d != IR_NONE) x64_done(c, o->d, RAX);
    x64_jmp(&c->e, k->back);
}
