/*
 * opt.c - the fast mode's passes over a block's IR: constants and copies forwards, results into slots, dead stores backwards.
 *
 * Precise state is kept: a slot's write is dropped only if it is overwritten with nothing between that can fault, call,
 * leave or be jumped to.
 */
#include "interp/block.h"
#include "interp/eval.h"

#include <stdlib.h>

#define NO_VALUE IR_NONE

struct values {
    ir_id *of;        /* per slot and temp: constant or copy it holds, or NO_VALUE */
    uint8_t *is;      /* per slot and temp: IS_* */
    ir_id touched[512];
    unsigned n_touched;
    unsigned n_slots;
};
enum { IS_LISTED = 1 /* in touched */, IS_COPIED = 2 /* others may hold it */ };

/* Which cells may be read before they are written. Most slots always may; so those that are not live are listed, and
 * "all slots are live" costs as many steps as there are such. */
struct liveness {
    uint8_t *live;    /* LIVE_* */
    ir_id *listed;    /* slots that have been made dead since all were live; may be live again */
    unsigned n_listed, n_slots;
};
enum { LIVE_NOT, LIVE_YES, LIVE_LISTED };

static unsigned live_index(const struct liveness *l, ir_id x) { return ir_is_slot(x) ? x : l->n_slots + (x - IR_TEMP); }

static void make_dead(struct liveness *l, ir_id x, unsigned n)
{
    for (unsigned i = 0; i < n; i++, x++) {
        uint8_t *p = &l->live[live_index(l, x)];
        if (*p == LIVE_YES && ir_is_slot(x)) l->listed[l->n_listed++] = x;
        *p = LIVE_NOT;
    }
}

static void make_live(struct liveness *l, ir_id x)
{
    if (x >= IR_CONST) return;
    uint8_t *p = &l->live[live_index(l, x)];
    if (*p == LIVE_NOT) *p = ir_is_slot(x) ? LIVE_LISTED : LIVE_YES;
}

static void all_live(struct liveness *l)
{
    for (unsigned i = 0; i < l->n_listed; i++) l->live[l->listed[i]] = LIVE_YES;
    l->n_listed = 0;
}

static unsigned cell_index(const struct values *v, ir_id x) { return ir_is_slot(x) ? x : v->n_slots + (x - IR_TEMP); }

static void forget_all(struct values *v)
{
    for (unsigned i = 0; i < v->n_touched; i++) {
        unsigned c = cell_index(v, v->touched[i]);
        v->of[c] = NO_VALUE, v->is[c] = 0;
    }
    v->n_touched = 0;
}

/* x is about to be written: what it held is gone, and so are copies of it. */
static void forget(struct values *v, ir_id x)
{
    unsigned c = cell_index(v, x);

    v->of[c] = NO_VALUE;
    if (!(v->is[c] & IS_COPIED)) return;
    v->is[c] &= (uint8_t)~IS_COPIED;
    for (unsigned i = 0; i < v->n_touched;) {
        c = cell_index(v, v->touched[i]);
        if (v->of[c] == x) v->of[c] = NO_VALUE;
        if (v->of[c] == NO_VALUE) v->is[c] &= (uint8_t)~IS_LISTED, v->touched[i] = v->touched[--v->n_touched];
        else i++;
    }
}

static void remember(struct values *v, ir_id x, ir_id value)
{
    unsigned c = cell_index(v, x);

    if (!(v->is[c] & IS_LISTED)) {
        if (v->n_touched == ARRAY_LEN(v->touched)) return;
        v->touched[v->n_touched++] = x;
        v->is[c] |= IS_LISTED;
    }
    v->of[c] = value;
    if (value < IR_CONST) v->is[cell_index(v, value)] |= IS_COPIED;
}

static ir_id value_of(const struct values *v, ir_id x)
{
    if (!(ir_is_slot(x) || ir_is_temp(x))) return x;
    ir_id y = v->of[cell_index(v, x)];
    return y == NO_VALUE ? x : y;
}

static ir_id intern(struct ir_block *b, unsigned type, uint64_t v)
{
    if (type == T_I32) v = (uint32_t)v;
    for (unsigned i = 0; i < b->n_consts; i++) {
        if (b->consts[i] == v && b->const_type[i] == type) return (ir_id)(IR_CONST + i);
    }
    return IR_NONE; /* the caller adds */
}

static unsigned out_type(const struct ir_op *o) { return o->op == OP_FCMP ? (unsigned)T_I32 : o->type; }

/* Puts the constant into the pool if there is room. */
static bool make_const(struct ir_builder *ib, struct ir_op *o, unsigned type, uint64_t v)
{
    ir_id k = intern(&ib->blk, type, v);
    if (k == IR_NONE) k = ir_const(ib, (enum ir_type)type, v);
    o->op = OP_MOV, o->type = (uint8_t)type, o->attr = 0, o->aux = 0, o->a = k, o->b = o->c = IR_NONE;
    return true;
}

static bool is_k(const struct ir_block *b, ir_id x, uint64_t *v)
{
    if (!ir_is_const(x)) return false;
    *v = b->consts[x - IR_CONST];
    return true;
}

/* What an operand becomes: a copy's source; a constant only where records take immediates, for a cell costs nothing to read
 * and a constant elsewhere would have to be put into one. */
static ir_id operand(const struct values *v, ir_id x, bool immediate)
{
    ir_id y = value_of(v, x);
    return ir_is_const(y) && !immediate ? x : y;
}

/* A run of cells is written. */
static void forget_run(struct values *v, ir_id x, unsigned n)
{
    for (unsigned i = 0; i < n; i++) forget(v, (ir_id)(x + i));
}

static void forward_pure(struct ir_builder *ib, struct values *v, struct ir_op *o, const struct ir_op_info *info)
{
    struct ir_block *b = &ib->blk;
    ir_id in[3] = { value_of(v, o->a), value_of(v, o->b), value_of(v, o->c) };
    uint64_t k[3] = { 0, 0, 0 };
    bool all = true;

    for (unsigned i = 0; i < info->n_in; i++) all = is_k(b, in[i], &k[i]) && all;
    if (o->op == OP_MOV) {
        o->a = in[0];
    } else if (all) {
        make_const(ib, o, out_type(o), eval_pure(o->op, o->type, o->aux, k[0], k[1], k[2]));
    } else if (info->n_in == 2 && o->op != OP_DEPOSIT && o->op != OP_CONCAT) {
        if ((info->flags & F_COMM) && ir_is_const(in[0])) { /* constants go second */
            ir_id t = o->a;
            o->a = o->b, o->b = t;
            t = in[0], in[0] = in[1], in[1] = t;
        }
        o->a = operand(v, o->a, false);
        o->b = in[1];
    } else {
        o->a = operand(v, o->a, false), o->b = operand(v, o->b, false), o->c = operand(v, o->c, false);
    }
}

static void forward_compare(struct ir_builder *ib, struct values *v, struct ir_op *o)
{
    struct ir_block *b = &ib->blk;
    ir_id x = value_of(v, o->a), y = value_of(v, o->b);
    uint64_t kx, ky;

    if (is_k(b, x, &kx) && is_k(b, y, &ky)) {
        bool yes = eval_cond(o->attr, o->type, kx, ky);
        if (o->op == OP_SETC) make_const(ib, o, o->type, yes);
        return; /* branches on constants stay: rare, and their other way out is linked already */
    }
    if (ir_is_const(x)) {
        ir_id t = o->a;
        o->a = o->b, o->b = t, o->attr = ir_cond_swapped[o->attr];
        y = x;
    }
    o->a = operand(v, o->a, false);
    o->b = y;
}

static void forward(struct ir_builder *ib, struct values *v)
{
    struct ir_block *b = &ib->blk;

    for (unsigned i = 0; i < b->n_ops; i++) {
        struct ir_op *o = &b->ops[i];
        const struct ir_op_info *info = &ir_op_info[o->op];
        switch (o->op) {
        case OP_LABEL: forget_all(v); continue;
        case OP_INSN: case OP_BR: case OP_GOTO: case OP_EXIT: case OP_FETCHF: continue;
        case OP_SETC: case OP_BRC: case OP_BRL: forward_compare(ib, v, o); break;
        case OP_CALL:
            o->a = value_of(v, o->a), o->b = value_of(v, o->b), o->c = value_of(v, o->c);
            if (ib->guest->helpers[o->aux].writes) forget_all(v);
            break;
        default:
            if (info->cls == CLASS_VEC) { /* operands are places, not values */
                forget_run(v, o->d, ir_vec_cells(o, 0));
                continue;
            }
            if (info->cls == CLASS_PURE || info->cls == CLASS_CONV) {
                forward_pure(ib, v, o, info);
            } else {
                o->a = operand(v, o->a, false), o->b = operand(v, o->b, false);
                if (o->op != OP_LD2) o->c = operand(v, o->c, false);
            }
        }
        if (o->op == OP_LD2) forget(v, o->c); /* a second destination */
        if (o->d != IR_NONE && !ir_is_const(o->d)) {
            forget(v, o->d);
            if (o->op == OP_MOV && o->a != o->d) remember(v, o->d, o->a);
        }
    }
}

/* cond(t, 0) with t = setc(...) of unchanged operands becomes the comparison itself. */
static void fuse_compare(struct ir_block *b)
{
    for (unsigned i = 1; i < b->n_ops; i++) {
        struct ir_op *o = &b->ops[i];
        if (o->op != OP_BRC && o->op != OP_BRL) continue;
        if ((o->attr != CC_NE && o->attr != CC_EQ) || !ir_is_const(o->b) || b->consts[o->b - IR_CONST] || ir_is_const(o->a)) continue;
        for (unsigned j = i; j-- > 0 && i - j < 24;) {
            struct ir_op *s = &b->ops[j];
            if (s->op == OP_LABEL || s->op == OP_CALL) break;
            if (s->d == o->a && s->op != OP_SETC) break;
            if (s->op == OP_LD2 && s->c == o->a) break;
            if (ir_op_info[s->op].cls == CLASS_VEC) break;
            if (s->op == OP_SETC && s->d == o->a) {
                bool clean = s->a != s->d && s->b != s->d;
                for (unsigned k = j + 1; k < i && clean; k++) {
                    clean = b->ops[k].d == IR_NONE || (b->ops[k].d != s->a && b->ops[k].d != s->b);
                    if (b->ops[k].op == OP_LD2 && (b->ops[k].c == s->a || b->ops[k].c == s->b)) clean = false;
                }
                if (clean) {
                    o->attr = o->attr == CC_NE ? s->attr : ir_cond_inverse[s->attr];
                    o->a = s->a, o->b = s->b, o->type = s->type;
                }
                break;
            }
        }
    }
}

/* ---- results straight into slots ---------------------------------------------------------------------- */

/* May the op's result go to another cell of the same type? */
static bool can_redirect(const struct ir_op *o)
{
    switch (ir_op_info[o->op].cls) {
    case CLASS_PURE:
    case CLASS_CONV:
    case CLASS_FP:
    case CLASS_FPCV: return true;
    default: return o->op == OP_SETC || o->op == OP_FCMP || o->op == OP_LD;
    }
}

static bool names(const struct ir_op *o, ir_id x) { return o->a == x || o->b == x || o->c == x; }

/* mov s, t with t the result of the op at `def`, which nothing has seen the end of since: the op writes s itself, and what is
 * read from t is read from s, as long as that holds the same. last: the last op that names t. */
static bool redirect(struct ir_block *b, unsigned def, unsigned at, unsigned last, bool lazy)
{
    ir_id s = b->ops[at].d, t = b->ops[at].a;

    for (unsigned i = def + 1; i < at; i++) {
        const struct ir_op *o = &b->ops[i];
        if (o->op == OP_INSN) continue;
        if (lazy && names(o, t)) return false;
        if (ir_op_info[o->op].flags & (F_FAULT | F_EFFECT | F_END) || ir_op_info[o->op].cls == CLASS_VEC || o->d == s || names(o, s)) return false;
    }
    for (unsigned i = at + 1; i <= last; i++) {
        const struct ir_op *o = &b->ops[i];
        if (o->op == OP_INSN) continue;
        bool writes = o->d == s || (o->op == OP_LD2 && o->c == s) || ir_op_info[o->op].cls == CLASS_VEC || o->op == OP_CALL;
        if (writes && i < last) return false;
    }
    b->ops[def].d = s;
    for (unsigned i = def + 1; i <= last; i++) {
        struct ir_op *o = &b->ops[i];
        if (o->op == OP_INSN) continue;
        if (o->a == t) o->a = s;
        if (o->b == t) o->b = s;
        if (o->c == t && o->op != OP_LD2) o->c = s;
    }
    return true;
}

static void results_into_slots(struct ir_builder *ib)
{
    struct ir_block *b = &ib->blk;
    enum { NONE = UINT16_MAX, MANY = UINT16_MAX - 1 };
    uint16_t stack_def[2 * 256], *def = b->n_temps > 256 ? mem_alloc(2 * b->n_temps * sizeof *def) : stack_def, *last = def + b->n_temps;

    for (unsigned t = 0; t < b->n_temps; t++) def[t] = NONE, last[t] = 0;
    for (unsigned i = 0; i < b->n_ops; i++) {
        const struct ir_op *o = &b->ops[i];
        if (o->op == OP_INSN) continue;
        const ir_id x[4] = { o->d, o->a, o->b, o->c };
        for (unsigned n = 0; n < 4; n++) {
            if (x[n] == IR_NONE || !ir_is_temp(x[n])) continue;
            unsigned t = x[n] - IR_TEMP;
            bool run = ir_op_info[o->op].cls == CLASS_VEC, written = n == 0 || (n == 3 && o->op == OP_LD2);
            for (unsigned k = run ? ir_vec_cells(o, n) : 1; k-- > 0;) {
                last[t + k] = (uint16_t)i;
                if (run || o->op == OP_LD2) def[t + k] = MANY;
                else if (written) def[t + k] = def[t + k] == NONE ? (uint16_t)i : MANY;
            }
        }
    }
    for (unsigned i = 0; i < b->n_ops; i++) {
        struct ir_op *o = &b->ops[i];
        if (o->op != OP_MOV || !ir_is_slot(o->d) || !ir_is_temp(o->a)) continue;
        unsigned t = o->a - IR_TEMP, d = def[t];
        bool lazy = (unsigned)o->d - ib->guest->lazy_first < ib->guest->n_lazy; /* others write it soon: not worth reading t from there */
        if (lazy && last[t] > i) continue;
        if (d >= MANY || d >= i || !can_redirect(&b->ops[d]) || !redirect(b, d, i, last[t], lazy)) continue;
        def[t] = NONE;
    }
    if (def != stack_def) free(def);
}

static bool no_effect(const struct ir_op *o)
{
    switch (ir_op_info[o->op].cls) {
    case CLASS_PURE:
    case CLASS_CONV: return true;
    default: return o->op == OP_SETC;
    }
}

/* Backward. */
static void dead_stores(struct ir_block *b, const struct guest *g, struct liveness *l)
{
    unsigned n_temps = b->n_temps, w = b->n_ops;
    bool labels = b->n_labels != 0;

    for (unsigned i = b->n_ops; i-- > 0;) {
        struct ir_op *o = &b->ops[i];
        const struct ir_op_info *info = &ir_op_info[o->op];
        if (o->op == OP_INSN) {
            b->ops[--w] = *o;
            continue;
        }
        if (info->cls == CLASS_VEC) {
            const ir_id run[4] = { o->d, o->a, o->b, o->c };
            for (unsigned k = 0; k < 4; k++) {
                if (run[k] == IR_NONE || ir_is_const(run[k])) continue;
                unsigned n = ir_vec_cells(o, k);
                if (!k) make_dead(l, run[k], n);
                else for (unsigned j = 0; j < n; j++) make_live(l, (ir_id)(run[k] + j));
            }
            b->ops[--w] = *o;
            continue;
        }
        if (o->d != IR_NONE) {
            if (!l->live[live_index(l, o->d)] && no_effect(o)) continue;
            if (o->op == OP_MOV && o->a == o->d) continue;
            make_dead(l, o->d, 1);
        }
        if (o->op == OP_LD2) make_dead(l, o->c, 1);
        if (info->flags & (F_FAULT | F_END) || o->op == OP_BRC || o->op == OP_LABEL || o->op == OP_BR || o->op == OP_BRL) {
            all_live(l);
            if (labels) memset(l->live + l->n_slots, LIVE_YES, n_temps);
        } else if (o->op == OP_CALL) {
            const struct helper_desc *h = &g->helpers[o->aux];
            if (h->reads || (h->flags & (HELPER_RAISE | HELPER_MEM))) all_live(l);
        }
        make_live(l, o->a);
        make_live(l, o->b);
        if (o->op != OP_LD2) make_live(l, o->c);
        b->ops[--w] = *o;
    }
    memmove(b->ops, b->ops + w, (b->n_ops - w) * sizeof *b->ops);
    b->n_ops = (uint16_t)(b->n_ops - w);
}

void ir_optimise(struct ir_builder *ib)
{
    struct ir_block *b = &ib->blk;
    unsigned n_slots = ib->guest->n_slots, cells = n_slots + b->n_temps;
    struct values v;
    struct liveness l = { .n_slots = n_slots };
    ir_id stack_of[1024];

    v.n_slots = n_slots, v.n_touched = 0; /* not the list: it is big */
    v.of = cells > ARRAY_LEN(stack_of) ? mem_alloc(cells * sizeof *v.of) : stack_of;
    memset(v.of, 0xff, cells * sizeof *v.of); /* NO_VALUE */
    uint8_t stack_is[1024];
    v.is = cells > sizeof stack_is ? mem_alloc(cells) : stack_is;
    memset(v.is, 0, cells);
    forward(ib, &v);
    if (b->n_ops) fuse_compare(b);
    if (b->n_temps) results_into_slots(ib);
    uint8_t stack_live[1024];
    ir_id stack_list[512];
    l.live = cells > sizeof stack_live ? mem_alloc(cells) : stack_live;
    l.listed = n_slots > ARRAY_LEN(stack_list) ? mem_alloc(n_slots * sizeof *l.listed) : stack_list;
    memset(l.live, LIVE_YES, n_slots);
    memset(l.live + n_slots, LIVE_NOT, b->n_temps);
    dead_stores(b, ib->guest, &l);
    if (l.listed != stack_list) free(l.listed);
    if (l.live != stack_live) free(l.live);
    if (v.of != stack_of) free(v.of);
    if (v.is != stack_is) free(v.is);
}
