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

/* What waits in a lazy slot: into rcx; rdx is scratch. */
static void work_out(struct x64 *c, const struct gen_lazy *z, bool w)
{
    struct emit *e = &c->e;
    static const uint8_t alu[OP_COUNT] = { [OP_ADD] = ALU_ADD, [OP_SUB] = ALU_SUB, [OP_AND] = ALU_AND, [OP_OR] = ALU_OR, [OP_XOR] = ALU_XOR };
    static const uint8_t sh[OP_COUNT] = { [OP_SHL] = SH_SHL, [OP_SHR] = SH_SHR, [OP_SAR] = SH_SAR };
    unsigned width = w ? 64 : 32;

    if (z->a == IR_NONE) x64_mov_imm(e, RCX, w ? z->ka : (uint32_t)z->ka);
    else x64_load(c, RCX, z->a);
    switch (z->op) {
    case OP_MOV: break;
    case OP_NEG: x64_op(e, 0xf7, w, 3, x64_r(RCX)); break;
    case OP_ZX8: x64_op(e, 0xb6 | X_0F | X_B, false, RCX, x64_r(RCX)); break;
    case OP_ZX16: x64_op(e, 0xb7 | X_0F, false, RCX, x64_r(RCX)); break;
    case OP_ZX32: x64_op(e, 0x8b, false, RCX, x64_r(RCX)); break;
    case OP_SX8: x64_op(e, 0xbe | X_0F | X_B, w, RCX, x64_r(RCX)); break;
    case OP_SX16: x64_op(e, 0xbf | X_0F, w, RCX, x64_r(RCX)); break;
    case OP_SX32: x64_op(e, 0x63, true, RCX, x64_r(RCX)); break;
    case OP_SHL: case OP_SHR: case OP_SAR:
        if (z->kb >= width && z->op != OP_SAR) x64_mov_imm(e, RCX, 0);
        else if (z->kb) x64_shift_imm(e, sh[z->op], w, x64_r(RCX), (unsigned)MIN(z->kb, width - 1));
        break;
    default:
        if (z->b != IR_NONE) x64_load(c, RDX, z->b);
        else x64_mov_imm(e, RDX, w ? z->kb : (uint32_t)z->kb);
        x64_alu(e, alu[z->op], w, RCX, x64_r(RDX));
    }
}

void x64_settle(struct x64 *c, unsigned state)
{
    const struct gen *g = c->g;
    if (!g->states || !state) return;
    for (unsigned n = 0; n < g->guest->n_lazy; n++) {
        const struct gen_lazy *z = &g->states[state].v[n];
        if (z->op >= OP_COUNT) continue;
        ir_id s = (ir_id)(g->guest->lazy_first + n);
        bool w = g->guest->slots[s].type == T_I64;
        struct x64_rm m = x64_m(x64_cell(c, s));
        if (z->op == OP_MOV && z->a == IR_NONE && (!w || (int64_t)z->ka == (int32_t)z->ka)) {
            x64_op_imm(&c->e, 0xc7, w, 0, m, 4, (uint32_t)z->ka);
            continue;
        }
        work_out(c, z, w);
        x64_op(&c->e, 0x89, w, RCX, m);
    }
}

unsigned x64_state(const struct x64 *c) { return c->g->states ? c->g->state[c->k][c->i] : 0; }

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
    c->points[c->n_points++] = (struct gen_point){ c->e.n, x64_point(c), c->dirty & c->g->used, c->dirty & c->g->narrow, (uint16_t)x64_state(c), (uint16_t)x64_x87_now(c) };
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
    *k = (struct cold){ NULL, emit, x64_label(&c->e), x64_label(&c->e), c->k, c->i, c->mark, c->point, c->dirty, c->o, 0, c->key_kept };
    *c->cold_tail = k;
    c->cold_tail = &k->next;
    return k;
}

void x64_cold_begin(struct x64 *c, const struct cold *k)
{
    x64_spill(c, k->dirty, true);
    if (ir_op_info[k->o->op].flags & F_FAULT) x64_settle(c, x64_state(c));
    x64_x87_out(c, x64_x87_now(c));
    x64_save_temps(c);
}

void x64_cold_end(struct x64 *c, const struct cold *k)
{
    const struct ir_op *o = k->o;
    uint32_t live = c->gb->live[k->op] & c->g->regs->clobbered;
    if (o->d != IR_NONE) live &= ~gen_slot_bit(c->g, o->d);
    x64_reload(c, live, true);
    x64_x87_in(c, x64_x87_now(c));
    x64_restore_temps(c);
    if (o->d != IR_NONE) x64_done(c, o->d, RAX);
    x64_jmp(&c->e, k->back);
}
