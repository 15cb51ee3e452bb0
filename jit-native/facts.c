/*
 * facts.c - what is known of values in a region: how many bits they take, and how near to the guest's memory they point.
 * Host-neutral.
 *
 * Two things come of it for guests with cells of 64 bits. An address that is at most gen_near_max() away from the window of
 * user mode need not be compared with the limit: around the window lie areas that nothing is mapped in (interp/cpu.h:
 * CPU_GUARD64), and an access that went well proves its address to be inside. And a slot to which only sign-extended words
 * are ever written need not be kept extended: it is "narrow", the upper half of its register is anything, until it matters.
 *
 * Both rest on what the slots hold when the region is entered. The values they had when it was formed are the guess; what is
 * made use of is tested at the entry (by the host's part), and code that assumes nothing stands by for when it is wrong.
 */
#include "jit-native/native.h"

/* Numbers of so many bits may be added to an address. */
enum { STEP_BITS = 35, ROUNDS = 8, WIDEN_AFTER = 4 };

static uint64_t reach(unsigned s) { return UINT64_C(1) << (s - 1); }

static unsigned signed_bits(uint64_t v)
{
    uint64_t m = (int64_t)v < 0 ? ~v : v;
    return 65u - (m ? (unsigned)host_clz64(m) : 64u);
}

static struct gen_fact unknown(unsigned type) { return (struct gen_fact){ GEN_FAR, 0, 0, type == T_I64 ? 64 : 32, 64 }; }

static unsigned place(const struct gen *g, ir_id x) { return ir_is_slot(x) ? x : g->guest->n_slots + (x - IR_TEMP); }

struct gen_fact gen_fact_of(const struct gen *g, const struct jit_block *jb, const struct gen_fact *known, ir_id x)
{
    if (!ir_is_const(x)) return known[place(g, x)];
    uint64_t v = x == IR_NONE ? 0 : jb->consts[x - IR_CONST];
    struct gen_fact f = { GEN_FAR, 0, 0, (uint8_t)(64u - (v ? (unsigned)host_clz64(v) : 64u)), (uint8_t)signed_bits(v) };
    if (f.s <= STEP_BITS) f.near = reach(f.s);
    return f;
}

/* ---- one op ------------------------------------------------------------------------------------------- */

/* from + by, or from - by */
static void moved(struct gen_fact *f, const struct gen_fact *from, const struct gen_fact *by)
{
    if (from->near == GEN_FAR || by->s > STEP_BITS) return;
    uint64_t d = from->near + reach(by->s);
    if (d >= f->near) return;
    f->near = d, f->near_by = from->near_by | by->s_by;
}

static bool const_of(const struct jit_block *jb, ir_id x, uint64_t *k)
{
    if (!ir_is_const(x)) return false;
    *k = x == IR_NONE ? 0 : jb->consts[x - IR_CONST];
    return true;
}

/* What is known of the op's result. */
struct gen_fact gen_result(const struct gen *g, const struct jit_block *jb, const struct gen_fact *known, const struct ir_op *o)
{
    unsigned width = o->type == T_I64 ? 64 : 32;
    struct gen_fact f = unknown(o->type), a = f, b = f;
    uint64_t k;
    const struct ir_op_info *info = &ir_op_info[o->op];

    if (info->cls == CLASS_PURE || info->cls == CLASS_CONV) {
        a = gen_fact_of(g, jb, known, o->a);
        if (info->n_in > 1) b = gen_fact_of(g, jb, known, o->b);
    }
    uint16_t by = a.s_by | b.s_by;
    unsigned most = MAX(a.s, b.s);
    switch (o->op) {
    case OP_MOV: return a;
    case OP_ADD:
        f.s = (uint8_t)MIN(most + 1, 64u), f.s_by = by;
        moved(&f, &a, &b), moved(&f, &b, &a);
        break;
    case OP_SUB:
        f.s = (uint8_t)MIN(most + 1, 64u), f.s_by = by;
        moved(&f, &a, &b);
        break;
    case OP_NEG: f.s = (uint8_t)MIN(a.s + 1u, 64u), f.s_by = by; break;
    case OP_MUL: f.s = (uint8_t)MIN((unsigned)a.s + b.s, 64u), f.s_by = by; break;
    case OP_AND:
        f.u = MIN(a.u, b.u);
        f.s = (uint8_t)most, f.s_by = by;
        if (const_of(jb, o->b, &k) && (int64_t)k < 0 && b.s <= 16 && a.near != GEN_FAR) f.near = a.near + reach(b.s), f.near_by = a.near_by;
        break;
    case OP_OR: case OP_XOR:
        f.u = MAX(a.u, b.u);
        f.s = (uint8_t)most, f.s_by = by;
        if (const_of(jb, o->b, &k) && b.u <= 16 && a.near != GEN_FAR) f.near = a.near + reach(17), f.near_by = a.near_by;
        break;
    case OP_NOR: case OP_NAND: case OP_EQV: case OP_ANDC: case OP_ORC: f.s = (uint8_t)most, f.s_by = by; break;
    case OP_NOT: f.s = a.s, f.s_by = by; break;
    case OP_ZX8: f.u = 8; break;
    case OP_ZX16: f.u = 16; break;
    case OP_ZX32: f.u = MIN(a.u, 32); break;
    case OP_ZXW: f.u = a.u; break;
    case OP_SX8: f.s = 8; break;
    case OP_SX16: f.s = 16; break;
    case OP_SX32:
        if (a.s <= 32) return a;
        f.s = 32, f.u = a.u < 32 ? a.u : 64;
        break;
    case OP_SXW: f.s = 32; break;
    case OP_EXTRACT: f.u = o->aux >> 8 & 0xff; break;
    case OP_SEXTRACT: f.s = o->aux >> 8 & 0xff; break;
    case OP_SHR:
        f.u = a.u;
        if (const_of(jb, o->b, &k)) f.u = (uint8_t)(k >= width ? 1 : MIN(a.u, width) > k ? MIN(a.u, width) - k : 1);
        break;
    case OP_SHL:
        if (const_of(jb, o->b, &k) && k < 32) f.s = (uint8_t)MIN(a.s + k, 64), f.s_by = by, f.u = (uint8_t)MIN(a.u + k, width);
        break;
    case OP_SAR:
        f.s = a.s, f.s_by = by;
        if (const_of(jb, o->b, &k) && k < a.s) f.s = (uint8_t)(a.s - k);
        break;
    case OP_SELECT: {
        struct gen_fact x = gen_fact_of(g, jb, known, o->c);
        f.u = MAX(b.u, x.u), f.s = MAX(b.s, x.s), f.s_by = b.s_by | x.s_by;
        if (b.near != GEN_FAR && x.near != GEN_FAR) f.near = MAX(b.near, x.near), f.near_by = b.near_by | x.near_by;
        break;
    }
    case OP_MINS: case OP_MAXS: f.s = (uint8_t)most, f.s_by = by; break;
    case OP_SETC: f.u = 1; break;
    case OP_LD:
        if (o->attr & IR_MS) f.s = (uint8_t)(8u << (o->attr & IR_MSIZE));
        else f.u = (uint8_t)(8u << (o->attr & IR_MSIZE));
        break;
    default: break;
    }
    if (info->cls == CLASS_PURE && o->attr & GEN_ZX) f = unknown(T_I64), f.u = 32;
    f.u = (uint8_t)MIN(f.u, width);
    if (o->type != T_I64 && o->op != OP_SXW) { /* signs are for cells of 64 bits */
        f.s = 64, f.s_by = 0, f.near = GEN_FAR, f.near_by = 0;
        return f;
    }
    if (f.u < f.s) f.s = f.u + 1, f.s_by = 0;
    if (f.s <= STEP_BITS && reach(f.s) < f.near) f.near = reach(f.s), f.near_by = f.s_by;
    if (f.near > gen_near_max(g->guest)) f.near = GEN_FAR, f.near_by = 0;
    return f;
}

static void forget(const struct gen *g, struct gen_fact *known, ir_id s)
{
    known[s] = unknown(g->guest->slots[s].type);
    if (g->narrow & gen_slot_bit(g, s)) known[s].s = 32, known[s].near = reach(32);
}

void gen_forget(const struct gen *g, const struct jit_block *jb, struct gen_fact *known)
{
    for (unsigned s = 0; s < g->guest->n_slots; s++) known[s] = unknown(g->guest->slots[s].type);
    for (unsigned r = 0; r < REGS; r++) {
        if (g->narrow >> r & 1) forget(g, known, g->reg_slot[r]);
    }
    for (unsigned t = 0; t < jb->n_temps; t++) known[g->guest->n_slots + t] = unknown(jb->temp_type[t]);
}

void gen_learn(const struct gen *g, const struct jit_block *jb, struct gen_fact *known, const struct ir_op *o, const struct gen_fact *result)
{
    switch (o->op) {
    case OP_LABEL: gen_forget(g, jb, known); return;
    case OP_CALL:
        for (unsigned s = 0; s < g->guest->n_slots; s++) {
            if (g->guest->helpers[o->aux].writes >> g->guest->slots[s].cls & 1) forget(g, known, (ir_id)s);
        }
        break;
    case OP_LD: case OP_ST: case OP_LD2: case OP_ST2:
        if (g->r->user && (o->aux & IR_A64) && !ir_is_const(o->a)) { /* it was inside */
            struct gen_fact *f = &known[place(g, o->a)];
            int64_t d = gen_disp(jb, o);
            f->near = (uint64_t)(d < 0 ? -d : d), f->near_by = 0;
        }
        break;
    default: break;
    }
    if (o->op == OP_LD2) known[place(g, o->c)] = unknown(T_I64);
    for (unsigned n = op_is_vec(o) && o->op != OP_LD2 ? ir_vec_cells(o, 0) : 1; n-- > 1;) known[place(g, (ir_id)(o->d + n))] = unknown(T_I64);
    if (o->d != IR_NONE) known[place(g, o->d)] = *result;
}

/* ---- words in cells of 64 bits ------------------------------------------------------------------------ */

/* Do the low halves of the operands make that of the result? */
static bool low_from_low(const struct gen *g, const struct jit_block *jb, const struct gen_fact *known, const struct ir_op *o)
{
    uint64_t k;
    switch (o->op) {
    case OP_MOV: case OP_ADD: case OP_SUB: case OP_MUL: case OP_AND: case OP_OR: case OP_XOR: case OP_NOR: case OP_NAND: case OP_EQV:
    case OP_ANDC: case OP_ORC: case OP_NOT: case OP_NEG: return true;
    case OP_SHL: return const_of(jb, o->b, &k) ? k < 32 : gen_fact_of(g, jb, known, o->b).u <= 5;
    default: return false;
    }
}

bool gen_low(const struct gen *g, const struct jit_block *jb, const struct gen_fact *known, unsigned i, uint16_t *by)
{
    const struct ir_op *o = &jb->ops[i], *next = i + 1 < jb->n_ops ? o + 1 : NULL;
    if (o->type != T_I64) return false;
    *by = 0;
    if (o->op == OP_SETC || o->op == OP_BRC || o->op == OP_BRL) {
        struct gen_fact a = gen_fact_of(g, jb, known, o->a), b = gen_fact_of(g, jb, known, o->b);
        *by = a.s_by | b.s_by;
        return a.s <= 32 && b.s <= 32;
    }
    if (o->d == IR_NONE || !low_from_low(g, jb, known, o)) return false;
    bool narrow = (g->narrow & gen_slot_bit(g, o->d)) != 0, extended = next && next->op == OP_SX32 && next->a == o->d && next->d == o->d;
    if (narrow && extended) return true;
    if (!narrow && !extended) return false;
    struct gen_fact f = gen_result(g, jb, known, o);
    if (!narrow) return f.s > 32; /* else it is done whole, and there is nothing to extend */
    *by = f.s_by;
    return f.s <= 32;
}

bool gen_wants_all(const struct ir_op *o, unsigned n)
{
    switch (o->op) {
    case OP_SX32: case OP_ZX32: case OP_SX8: case OP_SX16: case OP_ZX8: case OP_ZX16: case OP_LO: return false;
    case OP_SETC: case OP_BRC: case OP_BRL: return o->type == T_I64;
    case OP_EXTRACT: case OP_SEXTRACT: return (o->aux & 0xff) + (o->aux >> 8 & 0xff) > 32;
    case OP_ST: return n != 1 || (o->attr & IR_MSIZE) == IR_M64;
    case OP_CALL: case OP_CAS: case OP_RMW: case OP_FETCHF: return false; /* these take it from the cell */
    default: return true;
    }
}

/* ---- a region ----------------------------------------------------------------------------------------- */

struct region {
    struct gen *g;
    struct gen_fact *cur;
    uint8_t *visits;
    unsigned n;
    bool more;
};

/* What grows with each round of a loop stops at what a word, scaled or not, can do. */
static uint64_t widened(uint64_t near)
{
    return near <= reach(32) ? reach(32) : near <= reach(STEP_BITS) ? reach(STEP_BITS) : GEN_FAR;
}

static void meet_block(struct region *r, unsigned k)
{
    struct gen_block *gb = &r->g->blocks[k];
    bool first = !r->visits[k], grew = false;
    for (unsigned s = 0; s < r->n; s++) {
        struct gen_fact *f = &gb->in[s];
        const struct gen_fact *c = &r->cur[s];
        if (first) {
            *f = *c;
            continue;
        }
        struct gen_fact m = { MAX(f->near, c->near), f->near_by | c->near_by, f->s_by | c->s_by, MAX(f->u, c->u), MAX(f->s, c->s) };
        if (r->visits[k] >= WIDEN_AFTER) {
            if (m.near > f->near) m.near = widened(m.near);
            if (m.s > f->s) m.s = m.s <= 32 ? 32 : 64;
            if (m.u > f->u) m.u = m.u <= 8 ? 8 : m.u <= 32 ? 32 : 64;
        }
        if (m.near == GEN_FAR) m.near_by = 0;
        if (m.s == 64) m.s_by = 0;
        if (m.near == f->near && m.near_by == f->near_by && m.s == f->s && m.s_by == f->s_by && m.u == f->u) continue;
        *f = m;
        grew = true;
    }
    if (!first && !grew) return;
    if (r->visits[k] < UINT8_MAX) r->visits[k]++;
    r->more = true;
}

/* At the region's entry. */
static void guess(struct region *r)
{
    struct gen *g = r->g;
    for (unsigned s = 0; s < r->n; s++) r->cur[s] = unknown(g->guest->slots[s].type);
    for (unsigned i = 0; i < GPRS; i++) {
        ir_id s = g->guess[i];
        if (s == IR_NONE) continue;
        struct gen_fact *f = &r->cur[s];
        uint64_t v = g->r->values[s];
        if (g->narrow >> i & 1) f->s = 32, f->near = reach(32);
        else if (signed_bits(v) <= 32) f->s = 32, f->near = reach(32), f->s_by = f->near_by = (uint16_t)(1u << i);
        else if (v >> 47 == 0) f->near = 0, f->near_by = (uint16_t)(1u << i);
    }
}

/* Those in registers, and with what bits are left some that are in memory. */
static void choose_guesses(struct gen *g)
{
    unsigned spare = 0;
    for (unsigned i = 0; i < GPRS; i++) {
        ir_id s = g->reg_slot[i];
        bool read = s != IR_NONE && ((g->blocks[0].live_in | g->narrow) >> i & 1) && g->guest->slots[s].type == T_I64;
        g->guess[i] = read ? s : IR_NONE;
        if (s == IR_NONE) spare++;
    }
    for (unsigned k = 0; k < g->r->n && spare; k++) {
        const struct jit_block *jb = g->blocks[k].jb;
        for (unsigned n = 0; n < jb->n_ops && spare; n++) {
            ir_id s = jb->ops[n].op == OP_ADD || jb->ops[n].op == OP_LD || jb->ops[n].op == OP_ST ? jb->ops[n].a : IR_NONE;
            if (s == IR_NONE || !ir_is_slot(s) || g->slot_reg[s] != IN_MEMORY || g->guest->slots[s].type != T_I64 || g->guest->slots[s].cls != SLOT_GPR) continue;
            unsigned free = GPRS;
            for (unsigned i = 0; i < GPRS; i++) {
                if (g->guess[i] == s) break;
                if (g->guess[i] == IR_NONE && g->reg_slot[i] == IR_NONE) free = i;
                if (i == GPRS - 1 && free < GPRS) g->guess[free] = s, spare--;
            }
        }
    }
}

/* Registers whose slots cannot be narrow after all. */
static uint32_t through(struct region *r, unsigned k)
{
    struct gen *g = r->g;
    const struct jit_block *jb = g->blocks[k].jb;
    uint32_t bad = 0;

    memcpy(r->cur, g->blocks[k].in, r->n * sizeof *r->cur);
    for (unsigned t = 0; t < jb->n_temps; t++) r->cur[r->n + t] = unknown(jb->temp_type[t]);
    for (unsigned i = 0; i < jb->n_ops; i++) {
        const struct ir_op *o = &jb->ops[i], *next = i + 1 < jb->n_ops ? o + 1 : NULL;
        struct gen_fact f = unknown(T_I64);
        if (o->d != IR_NONE) {
            f = gen_result(g, jb, r->cur, o);
            if (f.s > 32 && !(next && next->op == OP_SX32 && next->a == o->d && next->d == o->d)) bad |= gen_slot_bit(g, o->d);
        }
        if (op_is_vec(o) || o->op == OP_ST2) bad |= gen_writes(g, o) | gen_reads(g, o);
        gen_learn(g, jb, r->cur, o, &f);
        switch (o->op) {
        case OP_BRC: case OP_GOTO:
            if (jb->to[o->aux] >= 0) meet_block(r, (unsigned)jb->to[o->aux]);
            break;
        case OP_IND:
            for (unsigned n = 0; n < jb->n_ind; n++) meet_block(r, (unsigned)jb->ind[n]);
            break;
        default: break;
        }
    }
    return bad & g->narrow;
}

static uint32_t settle(struct region *r)
{
    struct gen *g = r->g;
    uint32_t bad = 0;
    memset(r->visits, 0, g->r->n);
    guess(r);
    meet_block(r, 0);
    for (r->more = true; r->more;) {
        r->more = false, bad = 0;
        for (unsigned k = 0; k < g->r->n; k++) {
            if (r->visits[k]) bad |= through(r, k);
        }
    }
    return bad;
}

/* Slots that get extended words somewhere, and of which nothing else is known to the contrary. */
static uint32_t candidates(const struct gen *g)
{
    uint32_t m = 0;
    if (g->states) return 0; /* what waits takes registers as they are */
    for (unsigned k = 0; k < g->r->n; k++) {
        const struct jit_block *jb = g->blocks[k].jb;
        for (unsigned i = 0; i < jb->n_ops; i++) {
            const struct ir_op *o = &jb->ops[i];
            if (gen_extends_aside(o)) m |= gen_slot_bit(g, o->d) & MASK_GPR;
            if (i && o->op == OP_SX32 && o->d == o->a && o[-1].d == o->d) m |= gen_slot_bit(g, o->d) & MASK_GPR;
        }
    }
    for (unsigned k = 0; k < g->r->n; k++) {
        const struct jit_block *jb = g->blocks[k].jb;
        for (unsigned i = 0; i < jb->n_ops; i++) m &= ~gen_written(g, &jb->ops[i]);
    }
    for (unsigned n = 0; n < GPRS; n++) {
        if (m >> n & 1 && signed_bits(g->r->values[g->reg_slot[n]]) > 32) m &= ~(1u << n);
    }
    return m;
}

/* Narrow slots that would be extended more often than they are now. */
static uint32_t losers(struct region *r)
{
    struct gen *g = r->g;
    int64_t gain[GPRS] = { 0 };
    uint32_t bad = 0;

    for (unsigned k = 0; k < g->r->n; k++) {
        const struct jit_block *jb = g->blocks[k].jb;
        uint32_t whole = 0;
        if (!r->visits[k]) continue;
        memcpy(r->cur, g->blocks[k].in, r->n * sizeof *r->cur);
        for (unsigned t = 0; t < jb->n_temps; t++) r->cur[r->n + t] = unknown(jb->temp_type[t]);
        for (unsigned i = 0; i < jb->n_ops; i++) {
            const struct ir_op *o = &jb->ops[i];
            struct gen_fact f = gen_result(g, jb, r->cur, o);
            ir_id in[3];
            uint16_t by;
            bool low = gen_low(g, jb, r->cur, i, &by);
            op_inputs(o, in);
            for (unsigned n = 0; n < 3 && !low; n++) {
                uint32_t bit = in[n] == IR_NONE ? 0 : gen_slot_bit(g, in[n]) & g->narrow & ~whole;
                if (!bit || !gen_wants_all(o, n)) continue;
                gain[host_ctz32(bit)] -= jb->weight;
                whole |= bit;
            }
            if (o->d != IR_NONE) {
                uint32_t bit = gen_slot_bit(g, o->d) & g->narrow;
                bool half = low || o->op == OP_SX32 || gen_extends_aside(o);
                if (bit && ((o->op == OP_SX32 && o->d == o->a) || gen_extends_aside(o))) gain[host_ctz32(bit)] += jb->weight;
                if (half) whole &= ~bit;
                else whole |= bit;
            }
            gen_learn(g, jb, r->cur, o, &f);
        }
    }
    for (unsigned n = 0; n < GPRS; n++) {
        if (gain[n] < 0) bad |= 1u << n;
    }
    return bad & g->narrow;
}

void gen_facts(struct gen *g)
{
    struct region r = { .g = g, .n = g->guest->n_slots };
    unsigned temps = 0, round = 0;
    bool wide = false;

    g->narrow = 0;
    for (unsigned i = 0; i < GPRS; i++) wide |= g->reg_slot[i] != IR_NONE && g->guest->slots[g->reg_slot[i]].type == T_I64;
    if (!wide || !g->r->values || g->r->tier < 2) return;
    for (unsigned k = 0; k < g->r->n; k++) {
        temps = MAX(temps, (unsigned)g->blocks[k].jb->n_temps);
        g->blocks[k].in = arena_get(&g->arena, r.n * sizeof(struct gen_fact));
    }
    r.cur = arena_get(&g->arena, (r.n + temps) * sizeof *r.cur);
    r.visits = arena_get(&g->arena, g->r->n);
    g->narrow = candidates(g);
    choose_guesses(g);
    for (;;) {
        uint32_t bad = settle(&r);
        if (!bad && g->narrow && round < ROUNDS) bad = losers(&r);
        if (!bad) break;
        g->narrow = ++round < ROUNDS ? g->narrow & ~bad : 0;
    }
    g->facts = true;
    for (unsigned k = 0; k < g->r->n; k++) {
        if (r.visits[k]) continue;
        for (unsigned s = 0; s < r.n; s++) forget(g, g->blocks[k].in, (ir_id)s); /* nothing leads there */
    }
}

void gen_no_facts(struct gen *g)
{
    g->facts = false, g->narrow = 0;
}
