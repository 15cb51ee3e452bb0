/*
 * alloc.c - which slots and temporaries live in host registers, and the analyses that follow from it: which of them must be
 * loaded, are dirty, are live. Host-neutral.
 *
 * Slots are ranked by use, weighted with how often their blocks run; the best get a register for the whole region.
 * Some registers are held back for temporaries if these gain more by it. Labels lead forwards only, so within a block one
 * pass in either direction is exact.
 *
 * Pairs: where the host has registers of 16 bytes, the two cells of a vector share one. Of slots these are pairs from the first
 * vector slot on, if the region uses both; of temporaries, those that some op takes as one vector and none in another way.
 */
#include "jit-native/native.h"

#include <stdlib.h>

enum { INT, FLT, NEITHER };

/* ---- classes ------------------------------------------------------------------------------------------ */

/* Of what kind operand i (3: the result) of the op has to be. */
static unsigned operand_class(const struct ir_op *o, unsigned i)
{
    switch (o->op) {
    case OP_MOV: case OP_LO: case OP_ZXW: case OP_HI: return NEITHER;
    case OP_DEPOSIT: return o->type == T_I64 && (o->aux == (32u << 8) || o->aux == (32u | 32u << 8)) ? NEITHER : INT;
    case OP_LD: return i == 3 ? NEITHER : INT;
    case OP_ST: return i == 1 ? NEITHER : INT;
    case OP_LD2: case OP_ST2: return i == 0 ? INT : NEITHER;
    case OP_FADD: case OP_FSUB: case OP_FMUL: case OP_FDIV: case OP_FSQRT: case OP_FMA: case OP_FMIN: case OP_FMAX: return FLT;
    case OP_FCMP: return i == 3 ? INT : FLT;
    case OP_F32_F64: case OP_F64_F32: return FLT;
    case OP_I32_F32: case OP_I32_F64: return i == 3 ? FLT : NEITHER;
    case OP_I64_F32: case OP_I64_F64: return i == 3 ? FLT : INT;
    case OP_F32_I32: case OP_F32_I64: case OP_F64_I32: case OP_F64_I64: return i == 3 ? INT : FLT;
    case OP_CALL: return NEITHER;
    default: return INT;
    }
}

/* vec: as part of a vector: a little is lost by putting it together from registers, much by its way through memory if it is made soon before */
struct score { uint64_t use[3], vec; uint8_t half; bool named; };
enum { HALF_NONE, HALF_LOW, HALF_HIGH, HALF_BAD };

static uint64_t worth(const struct score *s)
{
    uint64_t use = s->use[INT] + s->use[FLT] + s->use[NEITHER];
    return use + s->vec / 2;
}

/* Of both cells, in one register. */
static uint64_t pair_worth(const struct score *s) { return worth(s) + worth(s + 1) + (s->vec + 1) / 2 + (s[1].vec + 1) / 2; }

static unsigned class_of(const struct score *s, bool fpr)
{
    if (s->use[FLT] != s->use[INT]) return s->use[FLT] > s->use[INT] ? FLT : INT;
    return fpr ? FLT : INT;
}

/* ---- scores ------------------------------------------------------------------------------------------- */

struct want { uint64_t weight; ir_id slot; };

static int by_weight(const void *a, const void *b)
{
    const struct want *x = a, *y = b;
    return x->weight != y->weight ? (x->weight < y->weight ? 1 : -1) : (int)x->slot - (int)y->slot;
}

static bool allocatable(const struct gen *g, ir_id s)
{
    const struct slot_desc *d = &g->guest->slots[s];
    if (g->states && (unsigned)s - g->guest->lazy_first < g->guest->n_lazy) return false;
    /* devices write those of class SYS */
    return d->cls != SLOT_PC && d->cls != SLOT_MODE && (d->cls != SLOT_SYS || g->r->user) && d->type <= T_I64;
}

/* Is slot s the first of a pair that could share a register? */
static bool pair_slot(const struct gen *g, ir_id s)
{
    const struct slot_desc *d = &g->guest->slots[s];
    unsigned n = 0;
    if (d->cls != SLOT_VEC || !g->regs->pairs || s + 1u >= g->guest->n_slots || d[1].cls != SLOT_VEC || d[1].offset != d->offset + 8) return false;
    while (n < s && d[-1 - (int)n].cls == SLOT_VEC) n++;
    return !(n & 1) && d->type == T_I64 && d[1].type == T_I64;
}

static bool temp_pair(const struct score *s, unsigned t, unsigned n) { return t + 1 < n && s[t].half == HALF_LOW && s[t + 1].half == HALF_HIGH; }

/* A temporary, or pair of them, that may get a register: where it is first written, until where it is needed. */
struct wish { uint64_t weight; uint16_t temp, first, last; uint8_t cls; bool pair; };

struct plan {
    struct gen *g;
    struct score *slots;
    ir_id *used;                 /* slots that some op names; most blocks name few */
    unsigned n_used;
    struct score *temps;         /* of the block in hand */
    struct wish **wishes;        /* per block, in the order in which they are written */
    unsigned *n_wishes;
};

static struct score *score_of(struct plan *p, ir_id slot)
{
    struct score *s = &p->slots[slot];
    if (!s->named) {
        s->named = true;
        p->used[p->n_used++] = slot;
    }
    return s;
}

/* Temporaries x and the next are one vector; cells: of how many it is. */
static void note_run(struct score *temps, ir_id x, unsigned cells)
{
    struct score *s = &temps[x - IR_TEMP];
    if (cells == 2 && (s->half == HALF_NONE || s->half == HALF_LOW) && (s[1].half == HALF_NONE || s[1].half == HALF_HIGH)) {
        s->half = HALF_LOW, s[1].half = HALF_HIGH;
    } else {
        for (unsigned i = 0; i < cells && cells > 1; i++) s[i].half = HALF_BAD;
    }
}

static void count_uses(struct plan *p, unsigned k)
{
    struct gen *g = p->g;
    struct gen_block *gb = &g->blocks[k];
    const struct jit_block *jb = gb->jb;

    for (unsigned t = 0; t < jb->n_temps; t++) gb->temp_first[t] = UINT16_MAX, gb->temp_last[t] = 0, gb->temp_reg[t] = IN_MEMORY;
    for (unsigned i = 0; i < jb->n_ops; i++) {
        const struct ir_op *o = &jb->ops[i];
        ir_id x[4];
        op_inputs(o, x);
        x[3] = o->d;
        bool fpr = false, gpr = false;
        for (unsigned n = 0; n < 4; n++) {
            if (x[n] == IR_NONE || !ir_is_slot(x[n]) || (n == 0 && ir_op_info[o->op].flags & F_FAULT)) continue; /* nor does an address say anything */
            if (g->guest->slots[x[n]].cls == SLOT_FPR) fpr = true;
            else gpr = true;
        }
        if (o->op == OP_LD2) x[2] = o->c;
        if (o->op == OP_LD2 && ir_is_temp(o->d) && o->c == o->d + 1) note_run(p->temps, o->d, 2);
        if (o->op == OP_ST2 && ir_is_temp(o->b) && o->c == o->b + 1) note_run(p->temps, o->b, 2);
        for (unsigned n = 0; n < 4; n++) {
            if (x[n] == IR_NONE || ir_is_const(x[n])) continue;
            unsigned c = operand_class(o, n), cells = 1;
            bool vec = ir_op_info[o->op].cls == CLASS_VEC && !(o->op == OP_VDUP && n == 0) && !(o->op == OP_VREDUCE && n == 3);
            if (vec) cells = ir_vec_cells(o, (n + 1) & 3);
            if (vec && ir_is_temp(x[n])) note_run(p->temps, x[n], cells);
            for (unsigned m = 0; m < cells; m++) {
                ir_id id = (ir_id)(x[n] + m);
                if (ir_is_slot(id)) {
                    struct score *s = score_of(p, id);
                    if (vec) s->vec += jb->weight;
                    else s->use[c] += jb->weight;
                } else {
                    unsigned t = id - IR_TEMP;
                    if (c == NEITHER && fpr != gpr) c = fpr ? FLT : INT;
                    if (vec) p->temps[t].vec += jb->weight;
                    else p->temps[t].use[c] += jb->weight;
                    if (gb->temp_first[t] == UINT16_MAX) gb->temp_first[t] = (uint16_t)i;
                    gb->temp_last[t] = (uint16_t)i;
                }
            }
        }
    }
    for (unsigned t = 0; t < jb->n_temps; t++) {
        if (!g->regs->pairs) p->temps[t].half = HALF_NONE;
        if (!temp_pair(p->temps, t, jb->n_temps)) continue;
        gb->temp_first[t] = gb->temp_first[t + 1] = MIN(gb->temp_first[t], gb->temp_first[t + 1]);
        gb->temp_last[t] = gb->temp_last[t + 1] = MAX(gb->temp_last[t], gb->temp_last[t + 1]);
    }
}

static void make_wishes(struct plan *p, unsigned k)
{
    const struct gen_block *gb = &p->g->blocks[k];
    const struct jit_block *jb = gb->jb;
    const struct score *all = p->temps;
    struct wish *w = p->wishes[k] = arena_get(&p->g->arena, jb->n_temps * sizeof *w + 1);
    unsigned n = 0;

    for (unsigned i = 0; jb->n_temps && i < jb->n_ops; i++) {
        const struct ir_op *o = &jb->ops[i];
        ir_id d = o->d, second = o->op == OP_LD2 ? o->c : IR_NONE;
        for (unsigned m = 0; m < 2; m++, d = second) {
            if (d == IR_NONE || !ir_is_temp(d)) continue;
            unsigned t = d - IR_TEMP;
            bool high = t && temp_pair(all, t - 1, jb->n_temps), pair = high || temp_pair(all, t, jb->n_temps);
            if (high && m && o->d == d - 1) continue; /* done with the first */
            if (high) t--;
            uint64_t weight = pair ? pair_worth(&all[t]) : worth(&all[t]);
            if (gb->temp_first[t] != i || !weight || n == jb->n_temps) continue;
            w[n++] = (struct wish){ weight, (uint16_t)t, (uint16_t)i, gb->temp_last[t], (uint8_t)(pair ? FLT : class_of(&all[t], false)), pair };
        }
    }
    p->n_wishes[k] = n;
}

/* Gives the block's temporaries of one class the n registers regs[]; returns the weight of the uses that got one. *all: did every one? */
static uint64_t place_temps(const struct plan *p, unsigned k, unsigned cls, const uint8_t *regs, unsigned n, bool keep, bool *all)
{
    const struct gen_block *gb = &p->g->blocks[k];
    int busy_until[GPRS];
    uint64_t won = 0;

    for (unsigned i = 0; i < n; i++) busy_until[i] = -1;
    for (const struct wish *w = p->wishes[k], *end = w + p->n_wishes[k]; w < end; w++) {
        unsigned r = 0;
        if (w->cls != cls) continue;
        while (r < n && busy_until[r] >= (int)w->first) r++;
        if (r == n) {
            *all = false;
            continue;
        }
        busy_until[r] = w->last;
        won += w->weight;
        if (!keep) continue;
        gb->temp_reg[w->temp] = (int8_t)regs[r];
        if (w->pair) gb->temp_reg[w->temp + 1] = (int8_t)(regs[r] + REGS);
    }
    return won;
}

/* Slots of the class that want a register, best first. */
static unsigned wanted(const struct plan *p, unsigned cls, struct want *wants)
{
    const struct gen *g = p->g;
    unsigned n = 0;

    for (unsigned i = 0; i < p->n_used; i++) {
        ir_id s = p->used[i], low = pair_slot(g, s) ? s : s && pair_slot(g, (ir_id)(s - 1)) ? (ir_id)(s - 1) : IR_NONE;
        if (low != IR_NONE && allocatable(g, low) && worth(&p->slots[low + 1])) {
            if (cls == FLT && (s == low || !p->slots[low].named)) wants[n++] = (struct want){ pair_worth(&p->slots[low]), low };
            continue;
        }
        const struct score *sc = &p->slots[s];
        uint64_t w = worth(sc);
        if (w && allocatable(g, s) && class_of(sc, g->guest->slots[s].cls == SLOT_FPR) == cls) wants[n++] = (struct want){ w, s };
    }
    if (n > 1) qsort(wants, n, sizeof *wants, by_weight);
    return n;
}

static void assign(struct plan *p, unsigned cls)
{
    struct gen *g = p->g;
    const uint8_t *order = g->regs->order[cls];
    struct want *wants = arena_get(&g->arena, p->n_used * sizeof *wants + 1);
    unsigned n_regs = g->regs->n[cls], n = wanted(p, cls, wants), most = MIN(n_regs, 7u);
    unsigned left = n_regs > n ? n_regs - n : 0, best = MIN(left, most);
    int64_t best_value = 0, lost = 0;
    bool all = false;

    /* Holding back one more register costs the least used slot that would have had it. */
    for (unsigned t = best; t <= most && !all; t++) {
        uint64_t gain = 0;
        all = true;
        for (unsigned k = 0; k < g->r->n; k++) gain += place_temps(p, k, cls, order, t, false, &all);
        if (t > left) lost += (int64_t)wants[n_regs - t].weight;
        if (t > MIN(left, most) && (int64_t)gain - lost <= best_value) continue;
        best_value = (int64_t)gain - lost, best = t;
    }
    unsigned n_slots = MIN(n, n_regs - MIN(best, n_regs));
    for (unsigned i = 0; i < n_slots; i++) {
        g->slot_reg[wants[i].slot] = (int8_t)order[i];
        g->reg_slot[order[i]] = wants[i].slot;
        g->used |= 1u << order[i];
        if (!pair_slot(g, wants[i].slot) || !worth(&p->slots[wants[i].slot + 1])) continue;
        g->pairs |= 1u << order[i];
        g->slot_reg[wants[i].slot + 1] = (int8_t)(order[i] + REGS);
    }
    for (unsigned k = 0; k < g->r->n; k++) place_temps(p, k, cls, order + n_slots, n_regs - n_slots, true, &all);
}

/* ---- flow --------------------------------------------------------------------------------------------- */

uint32_t gen_written(const struct gen *g, const struct ir_op *o)
{
    uint32_t m = 0;
    if (o->op != OP_CALL) return 0;
    const struct helper_desc *h = &g->guest->helpers[o->aux];
    for (unsigned i = 0; i < REGS; i++) {
        if (g->reg_slot[i] != IR_NONE && h->writes >> g->guest->slots[g->reg_slot[i]].cls & 1) m |= 1u << i;
    }
    return m;
}

static uint32_t run_bits(const struct gen *g, ir_id x, unsigned n)
{
    uint32_t m = 0;
    if (x == IR_NONE || ir_is_const(x)) return 0;
    for (unsigned i = 0; i < n; i++) m |= gen_slot_bit(g, (ir_id)(x + i));
    return m;
}

uint32_t gen_reads(const struct gen *g, const struct ir_op *o)
{
    bool vec = ir_op_info[o->op].cls == CLASS_VEC;
    uint32_t m = 0;
    ir_id in[3];

    op_inputs(o, in);
    for (unsigned n = 0; n < 3; n++) m |= run_bits(g, in[n], vec ? ir_vec_cells(o, n + 1) : 1);
    return m;
}

uint32_t gen_writes(const struct gen *g, const struct ir_op *o)
{
    uint32_t m = run_bits(g, o->d, ir_op_info[o->op].cls == CLASS_VEC ? ir_vec_cells(o, 0) : 1);
    return o->op == OP_LD2 ? m | run_bits(g, o->c, 1) : m;
}

uint32_t gen_kills(const struct gen *g, const struct ir_op *o)
{
    bool vec = ir_op_info[o->op].cls == CLASS_VEC;
    unsigned cells = vec ? ir_vec_cells(o, 0) : 1;
    uint32_t m = gen_writes(g, o) & ~g->pairs;

    if (o->d == IR_NONE || !ir_is_slot(o->d) || !g->pairs) return m;
    if (o->op == OP_LD2 && o->c == o->d + 1) cells = 2;
    for (unsigned i = 0; i + 1 < cells; i++) {
        int r = g->slot_reg[o->d + i];
        if (r >= 0 && r < REGS) m |= reg_bit(r) & g->pairs;
    }
    return m;
}

uint32_t gen_state_regs(const struct gen *g, unsigned s)
{
    uint32_t m = 0;
    for (unsigned n = 0; s && n < g->guest->n_lazy; n++) {
        const struct gen_lazy *z = &g->states[s].v[n];
        if (z->op >= OP_COUNT) continue;
        if (z->a != IR_NONE) m |= gen_slot_bit(g, z->a);
        if (z->b != IR_NONE) m |= gen_slot_bit(g, z->b);
    }
    return m;
}

static bool grow(uint32_t *set, uint32_t by)
{
    bool more = (by & ~*set) != 0;
    *set |= by;
    return more;
}

/* Dirty registers forwards; `at`: before each op. True if an entry of a block changed. */
static bool dirty_pass(struct gen *g, unsigned k, uint32_t *at, uint32_t *label)
{
    const struct jit_block *jb = g->blocks[k].jb;
    uint32_t cur = g->blocks[k].dirty_in;
    bool more = false;

    memset(label, 0, (jb->n_labels + 1u) * sizeof *label);
    for (unsigned i = 0; i < jb->n_ops; i++) {
        const struct ir_op *o = &jb->ops[i];
        if (o->op == OP_LABEL) cur |= label[o->aux];
        at[i] = cur;
        if (op_syncs(o)) cur = 0;
        cur |= gen_writes(g, o);
        switch (o->op) {
        case OP_BR:
            label[o->aux] |= cur;
            cur = 0;
            break;
        case OP_BRL: label[o->aux] |= cur; break;
        case OP_BRC: case OP_GOTO:
            if (jb->to[o->aux] >= 0) more |= grow(&g->blocks[jb->to[o->aux]].dirty_in, cur);
            break;
        case OP_IND:
            for (unsigned n = 0; n < jb->n_ind; n++) more |= grow(&g->blocks[jb->ind[n]].dirty_in, cur);
            break;
        default: break;
        }
    }
    return more;
}

static bool live_pass(struct gen *g, unsigned k, const uint32_t *dirty, uint32_t *label)
{
    struct gen_block *gb = &g->blocks[k];
    const struct jit_block *jb = gb->jb;
    uint32_t cur = 0;

    memset(label, 0, (jb->n_labels + 1u) * sizeof *label);
    for (unsigned i = jb->n_ops; i-- > 0;) {
        const struct ir_op *o = &jb->ops[i];
        switch (o->op) {
        case OP_BR: cur = label[o->aux]; break;
        case OP_BRL: cur |= label[o->aux]; break;
        case OP_BRC: case OP_GOTO:
            if (o->op == OP_GOTO) cur = 0;
            cur |= jb->to[o->aux] >= 0 ? g->blocks[jb->to[o->aux]].live_in : 0;
            cur |= dirty[i];
            break;
        case OP_IND:
            cur = dirty[i];
            for (unsigned n = 0; n < jb->n_ind; n++) cur |= g->blocks[jb->ind[n]].live_in;
            break;
        case OP_EXIT: cur = dirty[i]; break;
        default: break;
        }
        gb->live[i] = cur;
        if (o->op == OP_LABEL) label[o->aux] = cur;
        cur &= ~gen_kills(g, o);
        if (op_syncs(o)) cur = (cur & ~(g->regs->clobbered | gen_written(g, o))) | dirty[i];
        else if (o->op == OP_LD || o->op == OP_ST || o->op == OP_LD2 || o->op == OP_ST2) cur |= dirty[i];
        cur |= gen_reads(g, o);
        if (g->states) cur |= gen_state_regs(g, g->state[k][i]);
    }
    if (g->states) cur |= gen_state_regs(g, g->state_in[k]);
    return grow(&gb->live_in, cur | gb->dirty_in);
}

/* An FP operation must be noted if anything can look before the next one; never for guests that do not look. */
static void note_pass(struct gen_block *gb, bool notes)
{
    bool seen = notes;
    for (unsigned i = gb->jb->n_ops; i-- > 0;) {
        const struct ir_op *o = &gb->jb->ops[i];
        switch (o->op) {
        case OP_FADD: case OP_FSUB: case OP_FMUL: case OP_FDIV: case OP_FSQRT: case OP_FCMP: case OP_FMA:
        case OP_F32_F64: case OP_F64_F32: case OP_I32_F32: case OP_I32_F64: case OP_I64_F32: case OP_I64_F64:
        case OP_F32_I32: case OP_F32_I64: case OP_F64_I32: case OP_F64_I64:
            gb->noted[i] = seen;
            seen = false;
            break;
        case OP_INSN: break;
        default:
            if ((ir_op_info[o->op].flags & (F_FAULT | F_EFFECT | F_END)) || o->op == OP_VFP) seen = notes;
        }
    }
}

/* Does an edge lead from the only block of a region to itself? */
static bool goes_round(const struct jit_block *jb)
{
    for (unsigned l = 0; l < jb->blk->n_links; l++) {
        if (jb->to[l] >= 0) return true;
    }
    return jb->n_ind != 0;
}

static void flow(struct gen *g)
{
    unsigned max_ops = 1, max_labels = 0;
    for (unsigned k = 0; k < g->r->n; k++) {
        max_ops = MAX(max_ops, (unsigned)g->r->blocks[k].n_ops);
        max_labels = MAX(max_labels, (unsigned)g->r->blocks[k].n_labels);
    }
    uint32_t *dirty = arena_get(&g->arena, max_ops * sizeof *dirty), *label = arena_get(&g->arena, (max_labels + 1) * sizeof *label);
    bool alone = g->r->n == 1 && !goes_round(&g->r->blocks[0]);
    for (bool more = !alone; more;) {
        more = false;
        for (unsigned k = 0; k < g->r->n; k++) more |= dirty_pass(g, k, dirty, label);
    }
    for (bool more = true; more;) {
        more = false;
        for (unsigned k = g->r->n; k-- > 0;) {
            dirty_pass(g, k, dirty, label);
            more |= live_pass(g, k, dirty, label);
        }
        if (alone) break;
    }
    for (unsigned k = 0; k < g->r->n; k++) note_pass(&g->blocks[k], !g->guest->no_fp_notes);
}

void gen_allocate(struct gen *g)
{
    struct plan p = { .g = g };
    unsigned n_slots = g->guest->n_slots;

#define ARENA_ARRAY(type, n) memset(arena_get(&g->arena, (n) * sizeof(type) + 1), 0, (n) * sizeof(type))
    g->blocks = ARENA_ARRAY(struct gen_block, g->r->n);
    g->slot_reg = arena_get(&g->arena, n_slots);
    memset(g->slot_reg, IN_MEMORY, n_slots);
    for (unsigned i = 0; i < REGS; i++) g->reg_slot[i] = IR_NONE;
    p.slots = ARENA_ARRAY(struct score, n_slots);
    p.used = arena_get(&g->arena, n_slots * sizeof *p.used);
    p.wishes = arena_get(&g->arena, g->r->n * sizeof *p.wishes);
    p.n_wishes = arena_get(&g->arena, g->r->n * sizeof *p.n_wishes);
    for (unsigned k = 0; k < g->r->n; k++) {
        const struct jit_block *jb = &g->r->blocks[k];
        struct gen_block *gb = &g->blocks[k];
        gb->jb = jb;
        gb->live = ARENA_ARRAY(uint32_t, jb->n_ops);
        gb->noted = ARENA_ARRAY(bool, jb->n_ops);
        gb->temp_reg = ARENA_ARRAY(int8_t, jb->n_temps);
        gb->temp_first = ARENA_ARRAY(uint16_t, jb->n_temps);
        gb->temp_last = ARENA_ARRAY(uint16_t, jb->n_temps);
        p.temps = ARENA_ARRAY(struct score, jb->n_temps);
        count_uses(&p, k);
        make_wishes(&p, k);
    }
    assign(&p, INT);
    assign(&p, FLT);
    flow(g);
}
