/*
 * lower.c - turning a region into host code, what is the same on every host: where the guest's state is (storing and
 * reloading what lives in registers, points), cold code, calls of C code, and the walk over blocks and ops.
 */
#include "jit-native/lower.h"

#include <stdlib.h>

void lower_fini(struct lower *c)
{
    emit_free(&c->e);
    free(c->points);
    free(c->ops);
}

/* ---- operands ------------------------------------------------------------------------------------------- */

int lower_reg(const struct lower *c, ir_id x)
{
    if (ir_is_slot(x)) return c->g->slot_reg[x];
    if (ir_is_temp(x)) return c->gb->temp_reg[x - IR_TEMP];
    return IN_MEMORY;
}

bool lower_pair(const struct lower *c, ir_id x)
{
    int r = lower_reg(c, x);
    if (r < 0 || r >= REGS) return false;
    if (ir_is_slot(x)) return c->g->pairs >> r & 1;
    unsigned t = x - IR_TEMP;
    return t + 1u < c->jb->n_temps && c->gb->temp_reg[t + 1] == r + REGS;
}

bool lower_const(const struct lower *c, ir_id x, uint64_t *v)
{
    if (!ir_is_const(x)) {
        *v = 0;
        return x == IR_NONE;
    }
    *v = c->jb->consts[x - IR_CONST];
    return true;
}

unsigned lower_known_bits(const struct lower *c, ir_id x)
{
    uint64_t v;
    if (lower_const(c, x, &v)) return 64u - (v ? (unsigned)host_clz64(v) : 64u);
    return c->known[ir_is_slot(x) ? x : c->g->guest->n_slots + (x - IR_TEMP)].u;
}

/* ---- state ---------------------------------------------------------------------------------------------- */

static void move_slots(struct lower *c, uint32_t mask, bool load)
{
    for (unsigned r = 0; r < REGS; r++) {
        if (mask >> r & 1) host_move_cell(c, r, c->g->reg_slot[r], load);
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
        if (r < 0 || r >= REGS || gb->temp_first[t] >= c->i || gb->temp_last[t] < c->i + (load ? 1 : 0)) continue;
        if (load && !(c->g->regs->clobbered >> r & 1)) continue;
        if (load && c->o->d == IR_TEMP + t && !lower_pair(c, c->o->d)) continue; /* it is about to get the result */
        host_move_cell(c, (unsigned)r, (ir_id)(IR_TEMP + t), load);
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

unsigned lower_state(const struct lower *c) { return c->g->states ? c->g->state[c->k][c->i] : 0; }

void lower_may_fault(struct lower *c)
{
    if (c->n_points == c->cap_points) {
        c->cap_points = c->cap_points ? c->cap_points * 2 : 64;
        c->points = mem_realloc(c->points, c->cap_points * sizeof *c->points);
    }
    c->points[c->n_points++] = (struct gen_point){ c->e.n, lower_point(c), c->dirty & c->g->used, c->dirty & c->g->narrow, (uint16_t)lower_state(c), (uint16_t)host_x87(c) };
}

/* ---- cold code and calls -------------------------------------------------------------------------------- */

struct cold *lower_cold(struct lower *c, cold_fn emit)
{
    struct cold *k = arena_get(&c->g->arena, sizeof *k);
    *k = (struct cold){ .emit = emit, .label = emit_label(&c->e), .back = emit_label(&c->e), .block = c->k, .op = c->i, .mark = c->mark,
                        .point = c->point, .dirty = c->dirty, .o = c->o, .key_kept = c->key_kept };
    *c->cold_tail = k;
    c->cold_tail = &k->next;
    return k;
}

void lower_cold_begin(struct lower *c, const struct cold *k)
{
    lower_spill(c, k->dirty, true);
    if (ir_op_info[k->o->op].flags & F_FAULT) host_settle(c, lower_state(c));
    host_own_out(c, false);
    lower_save_temps(c);
}

/* After a call that stored all state: back what C code clobbered or may have written, but for the op's result, which follows. */
static void after_call(struct lower *c, const struct ir_op *o, uint32_t live, uint32_t lost, bool small)
{
    live &= lost;
    live &= ~gen_kills(c->g, o);
    lower_reload(c, live, small);
    host_own_in(c);
    lower_restore_temps(c);
    if (o->d != IR_NONE) host_result(c, o->d);
}

void lower_cold_end(struct lower *c, const struct cold *k)
{
    after_call(c, k->o, c->gb->live[k->op], c->g->regs->clobbered, true);
    emit_jump(&c->e, k->back);
}

void lower_cold_ld(struct lower *c, const struct cold *k)
{
    lower_cold_begin(c, k);
    host_arg_address(c, 1, (k->o->aux & IR_A64) != 0);
    host_arg_imm(c, 2, k->o->attr);
    host_arg_imm(c, 3, IR_MMU(k->o));
    host_set_point(c);
    host_call_c(c, (uintptr_t)jit_ld, false);
    lower_cold_end(c, k);
}

void lower_cold_st(struct lower *c, const struct cold *k)
{
    lower_cold_begin(c, k);
    host_arg_address(c, 1, (k->o->aux & IR_A64) != 0);
    host_arg(c, 2, k->o->b);
    host_arg_imm(c, 3, k->o->attr);
    host_arg_imm(c, 4, IR_MMU(k->o));
    host_set_point(c);
    host_call_c(c, (uintptr_t)jit_st, false);
    lower_cold_end(c, k);
}

unsigned lower_op_copy(struct lower *c, const struct ir_op *o)
{
    if (c->n_ops == c->cap_ops) {
        c->cap_ops = c->cap_ops ? c->cap_ops * 2 : 16;
        c->ops = mem_realloc(c->ops, c->cap_ops * sizeof *c->ops);
    }
    unsigned label = emit_label(&c->e);
    c->ops[c->n_ops].o = o, c->ops[c->n_ops].label = label;
    c->n_ops++;
    return label;
}

static void call_op(struct lower *c, const struct ir_op *o)
{
    unsigned cls = ir_op_info[o->op].cls;
    host_arg(c, 2, o->a);
    host_arg(c, 3, o->b);
    host_arg(c, 4, o->c);
    host_arg_label(c, 1, lower_op_copy(c, o));
    host_call_c(c, (uintptr_t)jit_op, cls != CLASS_PURE && cls != CLASS_CONV);
}

void lower_cold_op(struct lower *c, const struct cold *k)
{
    lower_cold_begin(c, k);
    call_op(c, k->o);
    lower_cold_end(c, k);
}

void lower_by_call(struct lower *c)
{
    lower_spill(c, c->dirty, true);
    host_own_out(c, false);
    lower_save_temps(c);
    call_op(c, c->o);
    after_call(c, c->o, c->gb->live[c->i], c->g->regs->clobbered, true);
}

/* State that C code may read, and change, is in its cells. */
static void all_stored(struct lower *c)
{
    lower_spill(c, c->dirty, false);
    host_own_out(c, false);
    lower_save_temps(c);
    c->dirty = 0;
}

static void atomic(struct lower *c)
{
    const struct ir_op *o = c->o;
    bool cas = o->op == OP_CAS;

    all_stored(c);
    host_set_point(c);
    host_arg(c, 1, o->a);
    if (IR_DISP(o)) host_arg_add(c, 1, (o->aux & IR_A64) != 0, IR_DISP(o));
    host_arg(c, 2, o->b);
    if (cas) host_arg(c, 3, o->c);
    else host_arg_imm(c, 3, o->aux >> 28);
    host_arg_imm(c, 4, o->attr);
    host_arg_imm(c, 5, IR_MMU(o));
    host_call_c(c, cas ? (uintptr_t)jit_cas : (uintptr_t)jit_rmw, false);
    after_call(c, o, c->gb->live[c->i], c->g->regs->clobbered | gen_written(c->g, o), false);
}

static void call(struct lower *c)
{
    const struct ir_op *o = c->o;
    const struct helper_desc *h = &c->g->guest->helpers[o->aux];

    all_stored(c);
    if (!(h->flags & HELPER_PURE)) host_set_point(c);
    host_arg(c, 1, o->a); /* arguments that are not given are 0 */
    host_arg(c, 2, o->b);
    host_arg(c, 3, o->c);
    host_call_c(c, (uintptr_t)h->fn, false);
    after_call(c, o, c->gb->live[c->i], c->g->regs->clobbered | gen_written(c->g, o), false);
    if (h->writes >> SLOT_MODE & 1) c->key_kept = false;
}

void lower_call_aside(struct lower *c)
{
    const struct ir_op *o = c->o;

    lower_spill(c, c->dirty, true);
    host_settle(c, lower_state(c));
    lower_save_temps(c);
    host_set_point(c);
    host_arg(c, 1, o->a);
    host_arg(c, 2, o->b);
    host_arg(c, 3, o->c);
    host_call_c(c, (uintptr_t)c->g->guest->helpers[o->aux].fn, false);
    after_call(c, o, c->gb->live[c->i], c->g->regs->clobbered, true);
}

static void fetch_faults(struct lower *c)
{
    lower_spill(c, c->dirty, true);
    host_own_out(c, false);
    host_set_point(c);
    host_arg(c, 1, c->o->a);
    host_call_c(c, (uintptr_t)jit_fetch_fault, false);
}

/* ---- blocks and ops ------------------------------------------------------------------------------------- */

static void lower_op(struct lower *c)
{
    switch (c->o->op) {
    case OP_CALL:
        if (c->o->attr & GEN_INLINE) host_lower(c);
        else call(c);
        return;
    case OP_CAS: case OP_RMW: atomic(c); return;
    case OP_FETCHF: fetch_faults(c); return;
    case OP_FENCE: host_fence(c); return;
    default:
        if (!lower_control(c)) host_lower(c);
    }
}

static void block(struct lower *c, unsigned k)
{
    struct gen *g = c->g;
    unsigned marks = 0;

    c->k = k;
    c->gb = &g->blocks[k];
    c->jb = c->gb->jb;
    c->dirty = c->gb->dirty_in;
    c->mark = 0, c->point = 0, c->key_kept = true;
    c->labels = arena_get(&g->arena, c->jb->n_labels * sizeof *c->labels + 1);
    c->label_dirty = arena_get(&g->arena, c->jb->n_labels * sizeof *c->label_dirty + 1);
    for (unsigned i = 0; i < c->jb->n_labels; i++) c->labels[i] = emit_label(&c->e), c->label_dirty[i] = 0;
    gen_forget(g, c->jb, c->known);
    if (g->facts) memcpy(c->known, c->gb->in, g->guest->n_slots * sizeof *c->known);
    host_begin_block(c);
    lower_block_entry(c);
    for (c->i = 0; c->i < c->jb->n_ops && !c->why; c->i++) {
        c->o = &c->jb->ops[c->i];
        c->skip = 0;
        if (c->o->op == OP_INSN) {
            c->mark = marks++, c->point = 0;
            continue;
        }
        host_prepare(c);
        lower_op(c);
        for (unsigned last = c->i + c->skip;; c->i++) {
            const struct ir_op *o = &c->jb->ops[c->i];
            struct gen_fact f = { 0 };
            if (o != c->o && o->op == OP_INSN) c->mark = marks++, c->point = 0;
            if (o->d != IR_NONE) {
                f = gen_result(g, c->jb, c->known, o);
                c->dirty |= gen_writes(g, o);
                if (ir_is_slot(o->d) && g->guest->slots[o->d].cls == SLOT_MODE) c->key_kept = false;
            }
            host_done_op(c, o, o == c->o, &f);
            gen_learn(g, c->jb, c->known, o, &f);
            if (c->i == last) break;
        }
    }
}

static void behind(struct lower *c)
{
    for (const struct cold *k = c->cold; k && !c->why; k = k->next) {
        c->k = k->block, c->gb = &c->g->blocks[k->block], c->jb = c->gb->jb;
        c->i = k->op, c->o = k->o, c->mark = k->mark, c->point = k->point, c->dirty = k->dirty, c->key_kept = k->key_kept;
        emit_place(&c->e, k->label);
        k->emit(c, k);
    }
    for (unsigned i = 0; i < c->n_shared; i++) {
        emit_place(&c->e, c->shared[i].label);
        move_slots(c, c->shared[i].mask, c->shared[i].reload);
        emit_return(&c->e);
    }
    host_behind(c);
    c->cold = NULL, c->cold_tail = &c->cold, c->n_shared = 0;
}

static void op_copies(struct lower *c)
{
    if (!c->n_ops) return;
    emit_align(&c->e, 16);
    for (unsigned i = 0; i < c->n_ops; i++) {
        emit_place(&c->e, c->ops[i].label);
        emit_bytes(&c->e, c->ops[i].o, sizeof *c->ops[i].o);
    }
}

static void entry(struct lower *c)
{
    struct gen *g = c->g;
    c->k = 0, c->gb = &g->blocks[0], c->jb = c->gb->jb, c->i = 0, c->o = &c->jb->ops[0];
    if (g->r->count) lower_count_run(c);
    lower_reload(c, c->gb->live_in, false);
}

static void labels(struct lower *c)
{
    for (unsigned k = 0; k < c->g->r->n; k++) {
        struct gen_block *gb = &c->g->blocks[k];
        gb->label = emit_label(&c->e), gb->charged = emit_label(&c->e), gb->failed = 0;
    }
}

/* All blocks and what belongs to them. */
static void blocks(struct lower *c)
{
    for (unsigned k = 0; k < c->g->r->n && !c->why; k++) block(c, k);
    behind(c);
}

/* Where the region is entered. */
static uint32_t emit_all(struct lower *c)
{
    struct gen *g = c->g;
    uint32_t at = 0;
    unsigned max_temps = 0;

    for (unsigned k = 0; k < g->r->n; k++) max_temps = MAX(max_temps, (unsigned)g->r->blocks[k].n_temps);
    c->known = arena_get(&g->arena, (g->guest->n_slots + max_temps) * sizeof *c->known);
    c->need = 0;
    labels(c);
    bool more = host_may_assume(c);
    if (!g->facts && !more) {
        entry(c);
        blocks(c);
    } else { /* what has to be tested turns out on the way */
        blocks(c);
        at = c->e.n;
        entry(c);
        unsigned made_for = g->blocks[0].label;
        more = more && host_has_assumed(c);
        bool tested = c->need || g->narrow || more;
        if (tested) {
            unsigned other = emit_label(&c->e);
            if (g->facts) host_test_guess(c, other);
            if (more) host_test_assumed(c, other);
            host_assume_nothing(c);
            emit_jump(&c->e, made_for);
            gen_no_facts(g);
            labels(c);
            emit_place(&c->e, other);
            blocks(c);
        } else {
            emit_jump(&c->e, made_for);
        }
    }
    op_copies(c);
    return at;
}

bool lower_region(struct lower *c, struct gen *g, struct jit_code *code, struct gen_point **points, uint32_t *n, const char **why)
{
    struct codemem m;

    emit_reset(&c->e);
    c->g = g, c->why = NULL;
    c->cold = NULL, c->cold_tail = &c->cold;
    c->n_shared = c->n_points = c->n_ops = 0;
    host_begin(c);
    uint32_t at = emit_all(c);
    if (c->e.failed && !c->why) c->why = "too large";
    if (!c->why && !jit_code_alloc(c->g->r->eng, c->e.n, &m)) c->why = "no code memory";
    if (!c->why && !emit_finish(&c->e, m.rw, m.rx)) {
        jit_code_trim(c->g->r->eng, &m, 0);
        c->why = "branches that reach too far";
    }
    if (c->why) {
        *why = c->why;
        return false;
    }
    jit_code_flush_icache(m.rx, c->e.n);
    code->text = m.rx, code->body = m.rx + at;
    code->text_size = c->e.n;
    *points = c->points, *n = c->n_points;
    return true;
}
