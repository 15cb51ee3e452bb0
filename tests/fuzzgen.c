/*
 * fuzzgen.c - random programs for the toy guest out of the op table's metadata, their text form, and the reducer
 * (see fuzzlib.h).
 *
 * Rules that a front end keeps are kept here: what can fault comes first in its instruction, temporaries are read only when
 * surely written, what comes before a delay slot can be done twice.
 */
#include "tests/fuzzlib.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

unsigned fz_without;

uint64_t fz_random(uint64_t *s)
{
    *s ^= *s << 13, *s ^= *s >> 7, *s ^= *s << 17;
    return *s;
}

static unsigned below(uint64_t *s, unsigned n) { return (unsigned)(fz_random(s) >> 20) % n; }

uint64_t fz_value(uint64_t *s, unsigned type)
{
    static const uint64_t edge[] = {
        0, 1, 2, 31, 32, 33, 63, 64, 65, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000u, 0xfffffffeu, 0xffffffffu,
        UINT64_C(0x100000000), INT64_MAX, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 1, UINT64_C(0xffffffff80000000), UINT64_C(0x5555555555555555),
        /* floats: 1, -1, -0, inf, NaNs, smallest, largest, 2^31, 2^63 */
        0x3f800000, 0xbf800000u, 0x7f800000, 0xff800000u, 0x7fc00000, 0x7fa00000, 0x00800000, 0x007fffff, 0x7f7fffff, 0x4f000000, 0x5f000000,
        UINT64_C(0x3ff0000000000000), UINT64_C(0xbff0000000000000), UINT64_C(0x7ff0000000000000), UINT64_C(0xfff0000000000000),
        UINT64_C(0x7ff8000000000000), UINT64_C(0x7ff4000000000000), UINT64_C(0x0010000000000000), UINT64_C(0x000fffffffffffff),
        UINT64_C(0x7fefffffffffffff), UINT64_C(0x41e0000000000000), UINT64_C(0x43e0000000000000), UINT64_C(0x4008000000000000),
    };
    uint64_t v;
    switch (below(s, 6)) {
    case 0: case 1: v = edge[below(s, ARRAY_LEN(edge))]; break;
    case 2: v = below(s, 70); break;
    case 3: v = fz_random(s) >> below(s, 64); break;
    case 4: { /* a float of ordinary size, also in 32 bits */
        uint64_t r = fz_random(s);
        v = type == T_I64 ? (r & UINT64_C(0x800fffffffffffff)) | (uint64_t)(1003 + (r >> 52) % 40) << 52
                          : (r & 0x807fffff) | (uint64_t)(117 + (r >> 40) % 20) << 23;
        break;
    }
    default: v = fz_random(s); break;
    }
    return type == T_I32 ? (uint32_t)v : v;
}

/* ---- generating ---- */
struct gen {
    uint64_t *rng;
    struct fz_prog *p;
    struct fz_insn *in;
    bool known[FZ_TEMPS];    /* temporaries that are surely written */
    bool no_slots;           /* before a delay slot: only temporaries are written */
    /* as compilers for 64-bit guests do it: the first half of the wide slots holds words, sign-extended, but for a few; the last
     * one holds an address that moves */
    bool words, word;
};

#define ROLL(n) below(g->rng, n)

static ir_id konst(struct gen *g, unsigned type, uint64_t v)
{
    struct fz_insn *in = g->in;
    if (type == T_I32) v = (uint32_t)v;
    for (unsigned i = 0; i < in->n_k; i++) {
        if (in->k[i] == v && in->k_type[i] == type) return (ir_id)(IR_CONST + i);
    }
    if (in->n_k == FZ_CONSTS) return IR_NONE;
    in->k[in->n_k] = v, in->k_type[in->n_k] = (uint8_t)type;
    return (ir_id)(IR_CONST + in->n_k++);
}

static ir_id some_slot(struct gen *g, unsigned type) { return type == T_I32 ? FZ_SLOT_R(ROLL(FZ_N32)) : FZ_SLOT_Q(ROLL(FZ_N64)); }

static ir_id src(struct gen *g, unsigned type)
{
    unsigned k = ROLL(10);
    if (k < 3) {
        ir_id x = konst(g, type, fz_value(g->rng, type));
        if (x != IR_NONE) return x;
    }
    if (k < 7 && g->in->n_t) {
        unsigned t = ROLL(g->in->n_t);
        if (g->known[t] && g->in->t_type[t] == type) return (ir_id)(IR_TEMP + t);
    }
    return some_slot(g, type);
}

static ir_id new_temp(struct gen *g, unsigned type)
{
    if (g->in->n_t == FZ_TEMPS) return IR_NONE;
    g->in->t_type[g->in->n_t] = (uint8_t)type;
    return (ir_id)(IR_TEMP + g->in->n_t++);
}

static ir_id dst(struct gen *g, unsigned type, bool open)
{
    ir_id t = IR_NONE;
    if (g->no_slots || (!open && !ROLL(3))) {
        for (unsigned i = 0; i < g->in->n_t && t == IR_NONE; i++) { /* one may be written again */
            if (g->in->t_type[i] == type && !ROLL(4)) t = (ir_id)(IR_TEMP + i);
        }
        if (t == IR_NONE) t = new_temp(g, type);
    }
    if (t != IR_NONE) return t;
    if (type == T_I64 && g->words) return FZ_SLOT_Q(g->word ? ROLL(FZ_N64 / 2) : FZ_N64 / 2 + ROLL(FZ_N64 / 2 - 1));
    return some_slot(g, type);
}

static struct ir_op *add(struct gen *g, unsigned op, unsigned type, ir_id d, ir_id a, ir_id b, ir_id c)
{
    static struct ir_op none;
    if (g->in->n_ops == FZ_OPS) return &none;
    struct ir_op *o = &g->in->ops[g->in->n_ops++];
    *o = (struct ir_op){ (uint16_t)op, (uint8_t)type, 0, d, a, b, c, 0 };
    return o;
}

static bool room(const struct gen *g, unsigned n) { return g->in->n_ops + n <= FZ_OPS && g->in->n_k + 4 <= FZ_CONSTS && g->in->n_t + 3 <= FZ_TEMPS; }

static void written(struct gen *g, ir_id d, bool open)
{
    if (ir_is_temp(d) && d != IR_NONE && !open) g->known[d - IR_TEMP] = true;
}

static void move_pointer(struct gen *g)
{
    ir_id p = FZ_SLOT_Q(FZ_N64 - 1), by = konst(g, T_I64, ROLL(8) ? 8 * (uint64_t)ROLL(8) - 24 : FZ_DATA + 64);
    if (by == IR_NONE) return;
    if (g->in->k[by - IR_CONST] == FZ_DATA + 64) add(g, OP_MOV, T_I64, p, by, IR_NONE, IR_NONE);
    else add(g, ROLL(8) ? OP_ADD : OP_SUB, T_I64, p, p, ROLL(3) ? by : FZ_SLOT_Q(ROLL(FZ_N64 / 2)), IR_NONE);
}

static void pure(struct gen *g, bool open)
{
    if (g->words && !g->no_slots && !ROLL(6)) move_pointer(g);
    unsigned op, type = ROLL(2);
    do op = ROLL(OP_COUNT);
    while (ir_op_info[op].cls != CLASS_PURE || op == OP_ZX32 || op == OP_SX32 || (ROLL(3) && ir_op_info[op].flags & F_OPT));
    if (!ROLL(24)) op = ROLL(2) ? OP_ZX32 : OP_SX32, type = T_I64;
    unsigned n = ir_op_info[op].n_in;
    ir_id a = src(g, type), b = n > 1 ? src(g, type) : IR_NONE, c = n > 2 ? src(g, type) : IR_NONE;
    if (n > 1 && (op == OP_SHL || op == OP_SHR || op == OP_SAR || op == OP_ROTL || op == OP_ROTR) && ROLL(2)) {
        ir_id k = konst(g, type, ROLL(type == T_I64 ? 66 : 34));
        if (k != IR_NONE) b = k;
    }
    g->word = g->words && ROLL(4) && g->in->n_ops + 2 <= FZ_OPS;
    ir_id d = dst(g, type, open);
    struct ir_op *o = add(g, op, type, d, a, b, c);
    if (op == OP_EXTRACT || op == OP_SEXTRACT || op == OP_DEPOSIT) {
        unsigned w = type == T_I64 ? 64 : 32, pos = ROLL(w);
        o->aux = pos | (1 + ROLL(w - pos)) << 8;
    }
    if (g->word && type == T_I64) add(g, OP_SX32, T_I64, d, d, IR_NONE, IR_NONE);
    g->word = false;
    written(g, d, open);
}

static void convert(struct gen *g, bool open)
{
    static const uint8_t ops[] = { OP_LO, OP_HI, OP_ZXW, OP_SXW, OP_CONCAT };
    unsigned op = ops[ROLL(ARRAY_LEN(ops))], in = op == OP_LO || op == OP_HI ? (unsigned)T_I64 : (unsigned)T_I32, out = !in;
    ir_id a = src(g, in), b = op == OP_CONCAT ? src(g, in) : IR_NONE, d = dst(g, out, open);
    add(g, op, out, d, a, b, IR_NONE);
    written(g, d, open);
}

static void floating(struct gen *g, bool open)
{
    unsigned what = ROLL(16), type = ROLL(2);
    ir_id d;
    if (what < 6) {
        unsigned op = OP_FADD + ROLL(5);
        ir_id a = src(g, type), b = op == OP_FSQRT ? IR_NONE : src(g, type);
        d = dst(g, type, open);
        add(g, op, type, d, a, b, IR_NONE);
    } else if (what < 9) {
        ir_id a = src(g, type), b = src(g, type);
        d = dst(g, T_I32, open);
        struct ir_op *o = add(g, OP_FCMP, type, d, a, b, IR_NONE);
        o->attr = (uint8_t)ROLL(32);
        if (!ROLL(3) && !(fz_without & FZ_NO_VALUES)) o->aux = (uint32_t)fz_random(g->rng) | 1, o->attr &= IR_REL_SIGNAL;
    } else if (what < 10) {
        ir_id a = src(g, type), b = src(g, type), c = src(g, type);
        d = dst(g, type, open);
        add(g, OP_FMA, type, d, a, b, c)->attr = (uint8_t)ROLL(8);
    } else if (what < 11) {
        ir_id a = src(g, type);
        d = dst(g, type, open);
        add(g, OP_FROUND, type, d, a, IR_NONE, IR_NONE)->attr = (uint8_t)((ROLL(6) ? ROLL(4) : IR_ROUND_ENV) | (ROLL(2) ? IR_ROUND_EXACT : 0));
    } else if (what < 12) {
        ir_id a = src(g, type), b = src(g, type);
        d = dst(g, type, open);
        add(g, ROLL(2) ? OP_FMIN : OP_FMAX, type, d, a, b, IR_NONE)->attr = (uint8_t)ROLL(IR_FMM_COUNT);
    } else {
        unsigned op, in = 0, out = 0;
        do op = ROLL(OP_COUNT);
        while (ir_op_info[op].cls != CLASS_FPCV);
        fz_conv_types(op, &in, &out);
        ir_id a = src(g, in);
        d = dst(g, out, open);
        struct ir_op *p = add(g, op, out, d, a, IR_NONE, IR_NONE);
        if (fz_float_to_int(op)) p->aux = (ROLL(6) ? ROLL(4) : IR_ROUND_ENV) | ROLL(IR_F2I_COUNT) << 4;
    }
    written(g, d, open);
}

/* A run of slots, or of temporaries when 16 bytes do. */
static ir_id vsrc(struct gen *g, unsigned log)
{
    for (unsigned i = 0; log <= 1 && i < g->in->n_t; i++) {
        if (g->known[i] && g->in->t_type[i] == FZ_VTEMP && ROLL(2)) return (ir_id)(IR_TEMP + i);
    }
    unsigned cells = 1u << log;
    return FZ_SLOT_V(ROLL(FZ_NV / cells) * cells);
}

static void vector(struct gen *g, bool open)
{
    unsigned op;
    do op = ROLL(OP_COUNT);
    while (ir_op_info[op].cls != CLASS_VEC || op == OP_VFP); /* whose operations have rules of their own */
    unsigned n = ir_op_info[op].n_in, log = ROLL(3) ? 1 : ROLL(4), lane = ROLL(4);
    if (log == 0 && lane == 3 && op >= OP_VZIPLO) lane = 2;
    if ((op == OP_VPACK || op == OP_VWIDEN || op == OP_VMULW || op == OP_VMADDW) && lane == 3) lane = ROLL(3);
    ir_id a = op == OP_VDUP ? src(g, T_I64) : vsrc(g, log), b = n > 1 ? vsrc(g, log) : IR_NONE, c = n > 2 ? vsrc(g, log) : IR_NONE, d;
    if (ir_is_const(a)) a = some_slot(g, T_I64);
    if (op == OP_VREDUCE) d = dst(g, T_I64, open);
    else if (log == 1 && (g->no_slots || (!open && !ROLL(3)))) d = new_temp(g, FZ_VTEMP); /* both cells: any reader may follow */
    else d = FZ_SLOT_V(ROLL(FZ_NV >> log) << log);
    if (d == IR_NONE || (g->no_slots && ir_is_slot(d))) return;
    struct ir_op *o = add(g, op, T_I64, d, a, b, c);
    o->attr = (uint8_t)(lane | log << 2);
    switch (op) {
    case OP_VSHLI: case OP_VSHRI: case OP_VSARI: o->aux = ROLL(8u << lane); break;
    case OP_VEXT: o->aux = ROLL(2 * (8u << log) + 1); break;
    case OP_VSHUF: o->aux = ROLL(3); break;
    case OP_VPACK: o->aux = ROLL(4); break;
    case OP_VWIDEN: o->aux = ROLL(4); break;
    case OP_VMULW: o->aux = (ROLL(2) ? IR_V_SIGNED : 0) | (ROLL(3) ? (ROLL(2) ? IR_V_EVEN : IR_V_ODD) : ROLL(2) ? IR_V_HIGH : 0); break;
    case OP_VMADDW: o->aux = ROLL(2) ? IR_V_SIGNED : IR_V_UXS | (ROLL(2) ? IR_V_SAT : 0); break;
    case OP_VREDUCE: o->aux = ROLL(8); break;
    default: break;
    }
    written(g, d, open);
}

/* Mostly inside the data pages and a little around them; now and then code memory, or anywhere. */
static ir_id address(struct gen *g, unsigned mem, unsigned at)
{
    unsigned where = ROLL(16);
    if (where == 0) return src(g, at);
    if (g->words && at == T_I64 && ROLL(4)) return FZ_SLOT_Q(FZ_N64 - 1);
    ir_id t = new_temp(g, at), u = new_temp(g, at);
    uint64_t mask = where == 1 ? (mem & IR_MALIGN ? 0xf8 : 0xff) : mem & IR_MALIGN ? 0x1ff8 : 0x1fff;
    if (where > 12) mask &= 0x78; /* near each other: what is stored is loaded again */
    add(g, OP_AND, at, t, src(g, at), konst(g, at, mask), IR_NONE);
    add(g, OP_ADD, at, u, t, konst(g, at, where == 1 ? FZ_CODE : FZ_DATA + (where == 2 ? 0 : 64)), IR_NONE);
    g->known[t - IR_TEMP] = g->known[u - IR_TEMP] = true;
    return u;
}

static void memory(struct gen *g)
{
    unsigned type = ROLL(2), at = ROLL(2), mem = ROLL(type == T_I64 ? 4 : 3) | (ROLL(2) ? IR_MS : 0) | (ROLL(2) ? IR_MBE : 0) | (ROLL(2) ? IR_MALIGN : 0);
    unsigned kind = ROLL(10);
    if (kind == 6 && fz_without & FZ_NO_PAIR) kind = 7;
    if (kind < 2) mem |= IR_MALIGN;
    ir_id a = address(g, mem, at);
    uint32_t aux = at == T_I64 ? IR_A64 : 0;
    struct ir_op *o;
    ir_id d = dst(g, type, false), b;
    int disp = ROLL(2) ? 0 : (int)ROLL(16) * 8 - 64;
    if (!ROLL(64)) disp = ROLL(2) ? 0x7ff8 : -0x8000;
    switch (kind) {
    case 0:
        b = src(g, type);
        o = add(g, OP_RMW, type, d, a, b, IR_NONE);
        o->aux = aux | (uint32_t)ROLL(9) << 28;
        break;
    case 1:
        b = src(g, type);
        o = add(g, OP_CAS, type, d, a, b, src(g, type));
        o->aux = aux;
        break;
    case 2: case 3: case 4: case 5:
        if (!ROLL(6) && !(fz_without & FZ_NO_PAIR)) { /* two cells */
            unsigned j = ROLL(FZ_N64);
            mem = IR_M64 | (mem & (IR_MBE | IR_MALIGN)) | (ROLL(2) ? IR_MPAIR : 0);
            o = add(g, OP_LD2, T_I64, FZ_SLOT_Q(j), a, IR_NONE, FZ_SLOT_Q((j + 1 + ROLL(FZ_N64 - 1)) % FZ_N64));
        } else {
            o = add(g, OP_LD, type, d, a, IR_NONE, IR_NONE);
        }
        mem |= ROLL(4) ? 0 : ROLL(4) << 6;
        o->aux = aux | (uint16_t)disp;
        break;
    case 6:
        mem = IR_M64 | (mem & (IR_MBE | IR_MALIGN)) | (ROLL(2) ? IR_MPAIR : 0) | ROLL(4) << 6;
        b = src(g, T_I64);
        o = add(g, OP_ST2, T_I64, IR_NONE, a, b, src(g, T_I64));
        o->aux = aux | (uint16_t)disp;
        break;
    default:
        mem |= ROLL(4) ? 0 : ROLL(4) << 6;
        o = add(g, OP_ST, type, IR_NONE, a, src(g, type), IR_NONE);
        o->aux = aux | (uint16_t)disp;
        mem &= ~(unsigned)IR_MS;
    }
    o->attr = (uint8_t)mem;
    written(g, o->d, false);
}

static uint32_t somewhere(struct gen *g)
{
    unsigned k = ROLL(64);
    if (k == 0) return FZ_CODE + ROLL(4 * FZ_WORDS);                 /* also between words */
    if (k == 1) return ROLL(2) ? (uint32_t)fz_random(g->rng) : 0x3000;
    return FZ_CODE + 4 * ROLL(ROLL(2) ? 24 : FZ_WORDS);
}

static unsigned new_link(struct gen *g)
{
    struct fz_link *l = &g->in->link[g->in->n_links];
    *l = (struct fz_link){ somewhere(g), 0, (uint8_t)(ROLL(4) ? IR_HINT_NONE : ROLL(3)) };
    return g->in->n_links++;
}

/* Another mode: told by the link, or stored as well. */
static void new_key(struct gen *g, struct fz_link *l)
{
    if (ROLL(8)) return;
    l->key = (uint8_t)ROLL(2);
    if (ROLL(2) || !room(g, 2)) return;
    l->hint |= IR_HINT_KEYED;
    add(g, OP_MOV, T_I64, FZ_KEY, konst(g, T_I64, l->key), IR_NONE, IR_NONE);
}

static void branch_op(struct gen *g, unsigned op, uint32_t aux)
{
    unsigned type = ROLL(2);
    ir_id a = src(g, type), b = src(g, type);
    if (!ROLL(4)) { /* a comparison's result */
        ir_id t = new_temp(g, type);
        if (t != IR_NONE && room(g, 3)) {
            add(g, OP_SETC, type, t, a, b, IR_NONE)->attr = (uint8_t)ROLL(CC_COUNT);
            a = t, b = konst(g, type, 0);
            struct ir_op *o = add(g, op, type, IR_NONE, a, b, IR_NONE);
            o->attr = ROLL(2) ? CC_NE : CC_EQ, o->aux = aux;
            return;
        }
    }
    struct ir_op *o = add(g, op, type, IR_NONE, a, b, IR_NONE);
    o->attr = (uint8_t)ROLL(CC_COUNT), o->aux = aux;
}

static void ending(struct gen *g)
{
    struct fz_insn *in = g->in;
    unsigned l;

    if (g->no_slots) in->delay = (uint8_t)(in->n_ops + 1);
    switch (ROLL(g->no_slots ? 6 : 9)) {
    case 0: case 1: case 2: /* there or here */
        branch_op(g, OP_BRC, new_link(g));
        if (g->no_slots) break; /* the translator goes on behind the slot */
        l = new_link(g);
        if (!g->no_slots) new_key(g, &in->link[l]);
        add(g, OP_GOTO, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = l;
        break;
    case 3:
        if (room(g, 5) && !ROLL(2)) { /* a way out in the middle; the label's number is nobody else's */
            branch_op(g, OP_BRL, FZ_OPS - 1);
            if (in->ops[in->n_ops - 1].op == OP_BRL && in->ops[in->n_ops - 1].aux == FZ_OPS - 1) {
                add(g, OP_GOTO, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = new_link(g);
                add(g, OP_LABEL, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = FZ_OPS - 1;
            }
        }
        l = new_link(g);
        if (!g->no_slots) new_key(g, &in->link[l]);
        add(g, OP_GOTO, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = l;
        break;
    case 4: case 5: {
        ir_id t = new_temp(g, T_I32), u = new_temp(g, T_I32), x = some_slot(g, T_I32);
        uint8_t hint = (uint8_t)ROLL(3);
        unsigned few = ROLL(2) ? 0x1c : 4 * FZ_WORDS - 4;
        if (t == IR_NONE || u == IR_NONE || !room(g, 4)) { /* full */
            l = new_link(g);
            add(g, OP_GOTO, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = l;
            break;
        }
        unsigned from = in->n_ops;
        add(g, OP_AND, T_I32, t, x, konst(g, T_I32, ROLL(32) ? few : few | 2), IR_NONE);
        add(g, OP_ADD, T_I32, u, t, konst(g, T_I32, FZ_CODE), IR_NONE);
        if (g->no_slots) in->delay = (uint8_t)(from + 3); /* the target is known before the slot is executed */
        else if (!ROLL(10)) {
            add(g, OP_MOV, T_I64, FZ_KEY, konst(g, T_I64, ROLL(2)), IR_NONE, IR_NONE);
            hint |= IR_HINT_KEYED;
        }
        add(g, OP_IND, T_I32, IR_NONE, u, IR_NONE, IR_NONE)->attr = hint;
        break;
    }
    case 6: {
        struct ir_op *o = add(g, OP_EXIT, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE);
        o->attr = ROLL(2) ? IR_EXIT_MODE : IR_EXIT_IRQ;
        o->aux = FZ_CODE + 4 * ROLL(FZ_WORDS);
        break;
    }
    case 7: /* helpers after which a block must end */
        if (in->n_ops) { /* they must come first, and ending() comes last */
            l = new_link(g);
            add(g, OP_GOTO, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = l;
            break;
        }
        l = ROLL(2) ? FZ_H_KICK : FZ_H_REMAP;
        add(g, OP_CALL, T_I32, ROLL(2) ? FZ_SLOT_R(ROLL(FZ_N32)) : IR_NONE, some_slot(g, T_I32), IR_NONE, IR_NONE)->aux = l;
        if (l == FZ_H_KICK) {
            l = new_link(g);
            add(g, OP_GOTO, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = l;
        } else {
            struct ir_op *o = add(g, OP_EXIT, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE);
            o->attr = IR_EXIT_MODE, o->aux = FZ_CODE + 4 * ROLL(FZ_WORDS);
        }
        break;
    default: /* a loop's end: counts a slot down */
        if (room(g, 4)) {
            ir_id r = some_slot(g, T_I32), t = new_temp(g, T_I32);
            add(g, OP_AND, T_I32, t, r, konst(g, T_I32, 31), IR_NONE);
            add(g, OP_SUB, T_I32, r, t, konst(g, T_I32, 1), IR_NONE);
            struct ir_op *o = add(g, OP_BRC, T_I32, IR_NONE, r, konst(g, T_I32, 0), IR_NONE);
            o->attr = CC_GTS, o->aux = new_link(g);
        }
        l = new_link(g);
        add(g, OP_GOTO, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = l;
    }
}

static void instruction(struct gen *g, struct fz_insn *in)
{
    unsigned n = 1 + ROLL(4), label = 0, end = ROLL(4);
    bool open = false;

    memset(in, 0, sizeof *in);
    memset(g->known, 0, sizeof g->known);
    g->in = in;
    g->no_slots = end == 0 && !ROLL(3); /* with a delay slot */
    if (end == 0 && !ROLL(12)) n = 0;
    for (unsigned i = 0; i < n && room(g, 6); i++) {
        unsigned what = ROLL(16);
        if (!i && !g->no_slots && what < 6) {
            if (what < 4) {
                memory(g);
            } else {
                static const uint8_t h[] = { FZ_H_BUMP, FZ_H_RAISE, FZ_H_LOAD };
                unsigned type = ROLL(2);
                ir_id a = src(g, type), b = src(g, T_I32), d = ROLL(4) ? dst(g, type, false) : IR_NONE;
                add(g, OP_CALL, type, d, a, b, ROLL(2) ? src(g, T_I64) : IR_NONE)->aux = h[ROLL(3)];
                if (d != IR_NONE) written(g, d, false);
            }
            continue;
        }
        switch (what) {
        default: pure(g, open); break;
        case 0: convert(g, open); break;
        case 1: {
            unsigned type = ROLL(2);
            ir_id a = src(g, type), b = src(g, type), d = dst(g, type, open);
            add(g, OP_SETC, type, d, a, b, IR_NONE)->attr = (uint8_t)ROLL(CC_COUNT);
            written(g, d, open);
            break;
        }
        case 2: case 3:
            if (!(fz_without & FZ_NO_FLOAT)) floating(g, open);
            break;
        case 4: {
            static const uint8_t h[] = { FZ_H_MIX, FZ_H_READ, FZ_H_WRITE };
            unsigned type = ROLL(2), which = g->no_slots ? FZ_H_MIX : h[ROLL(3)];
            ir_id a = src(g, type), b = src(g, T_I32), c = ROLL(3) ? src(g, T_I64) : IR_NONE, d = dst(g, type, open); /* not given: 0 */
            add(g, OP_CALL, type, d, a, b, c)->aux = which;
            written(g, d, open);
            break;
        }
        case 5:
            if (!open && !g->no_slots) {
                branch_op(g, OP_BRL, label);
                open = true;
            } else if (open && !ROLL(2)) { /* else */
                add(g, OP_BR, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = label + 1;
                add(g, OP_LABEL, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = label++;
            }
            break;
        case 6:
            if (!open && !in->n_links && !g->no_slots && !ROLL(3)) branch_op(g, OP_BRC, new_link(g));
            break;
        case 7:
            if (!ROLL(8)) add(g, OP_FENCE, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = 1 + ROLL(15);
            break;
        case 8:
            if (ROLL(2) && !(fz_without & FZ_NO_VEC)) vector(g, open);
            break;
        }
    }
    if (open) add(g, OP_LABEL, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = label;
    if (end == 0 && in->n_links == 0 && room(g, g->no_slots ? 2 : 0)) ending(g);
}

void fz_generate(struct fz_prog *p, uint64_t seed)
{
    uint64_t rng = seed * UINT64_C(0x9e3779b97f4a7c15) + 0x1234567;
    struct gen gen = { .rng = &rng, .p = p }, *g = &gen;

    if (!rng) rng = 1;
    for (unsigned i = 0; i < 4; i++) fz_random(&rng);
    memset(p, 0, offsetof(struct fz_prog, insn));
    p->user = (uint8_t)ROLL(2), p->wide = (uint8_t)ROLL(2);
    p->fp_round = ROLL(8) ? 0 : (uint8_t)ROLL(16);
    g->words = !ROLL(3);
    p->n = ROLL(3) ? FZ_WORDS + ROLL(FZ_INSNS - FZ_WORDS + 1) : 4 + ROLL(24);
    for (unsigned i = 0; i < p->n; i++) instruction(g, &p->insn[i]);
    for (unsigned i = 0; i < FZ_N32; i++) p->r[i] = (uint32_t)fz_value(&rng, T_I32);
    for (unsigned i = 0; i < FZ_N64; i++) {
        p->q[i] = fz_value(&rng, T_I64);
        if (g->words && i < FZ_N64 / 2 && ROLL(16)) p->q[i] = (uint64_t)(int64_t)(int32_t)(uint32_t)p->q[i] >> (ROLL(2) ? 0 : 32 + ROLL(31));
    }
    if (g->words) p->q[FZ_N64 - 1] = FZ_DATA + 64;
    for (unsigned i = 0; i < 2 * FZ_WORDS; i++) p->word[i] = i < FZ_WORDS ? i : (uint32_t)fz_random(&rng);
    p->mem_seed = fz_random(&rng);
    p->budget_seed = (uint32_t)fz_random(&rng) | 1;
    p->steps = (uint16_t)(4 + ROLL(24));
    p->most = ROLL(4) ? 300 : 24;
}

/* ---- running and comparing ---- */
int fz_compare(struct fz_side *a, struct fz_side *b, const struct fz_prog *p, FILE *f)
{
    uint64_t rng = p->budget_seed;
    fz_start(a, p);
    fz_start(b, p);
    for (int i = 0; i < p->steps; i++) {
        unsigned budget = 1 + below(&rng, p->most);
        enum run_exit x = fz_run(a, budget), y = fz_run(b, budget);
        if (x == y && fz_equal(a, b, NULL)) continue;
        if (f && x != y) fprintf(f, "  run ended by %d, want %d\n", (int)y, (int)x);
        if (f) fz_equal(a, b, f);
        return i;
    }
    return -1;
}

/* ---- text ---- */
static void put_line(void *opaque, const char *line) { fprintf(opaque, "%s\n", line); }

void fz_print(const struct fz_prog *p, FILE *f)
{
    struct engine_config cfg = { .mode = ENGINE_REF };
    struct error e = ERROR_INIT;
    struct fz_side *s = fz_open(&cfg, p->user, p->wide, &e);
    struct ir_builder b;

    if (!s) return;
    fprintf(f, "%s style, addresses of %u bits, rounding %u, %u runs of at most %u instructions\n", p->user ? "user" : "system", p->wide ? 64 : 32,
            p->fp_round, p->steps, p->most);
    for (unsigned i = 0; i < FZ_N32; i++) fprintf(f, "%sr%u=0x%" PRIx32, i ? " " : "", i, p->r[i]);
    for (unsigned i = 0; i < FZ_N64; i++) fprintf(f, " q%u=0x%" PRIx64, i, p->q[i]);
    fprintf(f, "\n");
    fz_start(s, p);
    memset(&b, 0, sizeof b);
    unsigned empty = 0;
    for (unsigned i = 0; i < FZ_WORDS; i++) {
        const struct fz_insn *in = &p->insn[p->word[i] % p->n];
        if (!in->n_ops) {
            empty++;
            continue;
        }
        if (empty) fprintf(f, " ---- %u words do nothing\n", empty), empty = 0;
        ir_builder_init(&b, fz_cpu(s), FZ_CODE + 4 * i, 0, 1);
        fz_cpu(s)->guest->translate(&b);
        ir_dump(&b.blk, fz_cpu(s)->guest, put_line, f);
        if (b.bug) fprintf(f, "  (the builder says: %s)\n", b.bug);
    }
    if (empty) fprintf(f, " ---- %u words do nothing\n", empty);
    ir_builder_free(&b);
    fz_close(s);
}

/* Numbers only, named by lines: `prog`, `regs`, `words`, then for each instruction `insn`, its ops, constants, links. */
void fz_write(const struct fz_prog *p, FILE *f)
{
    fprintf(f, "prog %u %u %u %u %u %u %" PRIu64 " %" PRIu32 "\nregs", p->n, p->user, p->wide, p->fp_round, p->steps, p->most, p->mem_seed, p->budget_seed);
    for (unsigned i = 0; i < FZ_N32; i++) fprintf(f, " 0x%" PRIx32, p->r[i]);
    for (unsigned i = 0; i < FZ_N64; i++) fprintf(f, " 0x%" PRIx64, p->q[i]);
    fprintf(f, "\nwords");
    for (unsigned i = 0; i < 2 * FZ_WORDS; i++) fprintf(f, " %" PRIu32, p->word[i]);
    fprintf(f, "\n");
    for (unsigned i = 0; i < p->n; i++) {
        const struct fz_insn *in = &p->insn[i];
        if (!in->n_ops) continue;
        fprintf(f, "insn %u %u\n", i, in->delay);
        for (unsigned k = 0; k < in->n_t; k++) fprintf(f, "temp %u\n", in->t_type[k]);
        for (unsigned k = 0; k < in->n_k; k++) fprintf(f, "const %u 0x%" PRIx64 "\n", in->k_type[k], in->k[k]);
        for (unsigned k = 0; k < in->n_links; k++) fprintf(f, "link 0x%" PRIx32 " %u %u\n", in->link[k].pc, in->link[k].key, in->link[k].hint);
        for (unsigned k = 0; k < in->n_ops; k++) {
            const struct ir_op *o = &in->ops[k];
            fprintf(f, "op %s %u 0x%x 0x%x 0x%x 0x%x 0x%x 0x%" PRIx32 "\n", ir_op_info[o->op].name, o->type, o->attr, o->d, o->a, o->b, o->c, o->aux);
        }
    }
}

static unsigned op_named(const char *s)
{
    unsigned op = 0;
    while (op < OP_COUNT && strcmp(ir_op_info[op].name, s)) op++;
    return op;
}

int fz_read(struct fz_prog *p, const char *path, struct error *e)
{
    char line[4096], name[32];
    unsigned n = 0, a, b, c, d, u[6];
    struct fz_insn *in = NULL;
    FILE *f = fopen(path, "r");

    if (!f) return error_set(e, "%s: %s", path, strerror(errno));
    memset(p, 0, sizeof *p);
    for (int lines = 1; fgets(line, sizeof line, f); lines++) {
        uint64_t v;
        uint32_t w;
        char *s = line;
        bool ok = true;
        if (*line == '#' || *line == '\n') continue;
        if (sscanf(line, "prog %u %u %u %u %u %u %" SCNu64 " %" SCNu32, &n, &u[0], &u[1], &u[2], &u[3], &u[4], &v, &w) == 8) {
            ok = n && n <= FZ_INSNS;
            p->n = n, p->user = u[0] & 1, p->wide = u[1] & 1, p->fp_round = u[2] & 15, p->steps = (uint16_t)u[3], p->most = (uint16_t)MAX(u[4], 1u);
            p->mem_seed = v, p->budget_seed = w;
        } else if (!strncmp(line, "regs", 4)) {
            s += 4;
            for (unsigned i = 0; i < FZ_N32; i++) p->r[i] = (uint32_t)strtoull(s, &s, 0);
            for (unsigned i = 0; i < FZ_N64; i++) p->q[i] = strtoull(s, &s, 0);
        } else if (!strncmp(line, "words", 5)) {
            s += 5;
            for (unsigned i = 0; i < 2 * FZ_WORDS; i++) p->word[i] = (uint32_t)strtoull(s, &s, 0);
        } else if (sscanf(line, "insn %u %u", &a, &b) == 2) {
            ok = a < n;
            in = ok ? &p->insn[a] : NULL;
            if (in) in->delay = (uint8_t)b;
        } else if (!in) {
            ok = false;
        } else if (sscanf(line, "temp %u", &a) == 1) {
            ok = in->n_t < FZ_TEMPS;
            if (ok) in->t_type[in->n_t++] = (uint8_t)(a % 3);
        } else if (sscanf(line, "const %u 0x%" SCNx64, &a, &v) == 2) {
            ok = in->n_k < FZ_CONSTS;
            if (ok) in->k_type[in->n_k] = a & 1, in->k[in->n_k++] = v;
        } else if (sscanf(line, "link 0x%x %u %u", &a, &b, &c) == 3) {
            ok = in->n_links < FZ_LINKS;
            if (ok) in->link[in->n_links++] = (struct fz_link){ a, b & 1, (uint8_t)c };
        } else if (sscanf(line, "op %31s %u 0x%x 0x%x 0x%x 0x%x 0x%x 0x%" SCNx32, name, &a, &b, &c, &d, &u[0], &u[1], &w) == 8) {
            unsigned op = op_named(name);
            ok = op < OP_COUNT && in->n_ops < FZ_OPS;
            if (ok) in->ops[in->n_ops++] = (struct ir_op){ (uint16_t)op, a & 1, (uint8_t)b, (ir_id)c, (ir_id)d, (ir_id)u[0], (ir_id)u[1], w };
        } else {
            ok = false;
        }
        if (!ok) {
            fclose(f);
            return error_set(e, "%s:%d: not understood", path, lines);
        }
    }
    fclose(f);
    return n ? 0 : error_set(e, "%s: no program", path);
}

/* ---- reducing ---- */
struct reducer {
    struct fz_prog *p, try;
    bool (*fails)(void *, const struct fz_prog *);
    void *opaque;
    unsigned tries;
};

/* Takes what is in r->try if it still fails. */
/* A key that is stored must be that of the way out behind it (IR_HINT_KEYED). */
static bool keys_are_told(const struct fz_prog *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        const struct fz_insn *in = &p->insn[i];
        for (unsigned k = 0; k < in->n_ops; k++) {
            const struct ir_op *o = &in->ops[k], *next = o + 1;
            if (o->d != FZ_KEY) continue;
            if (k + 1u == in->n_ops || !ir_is_const(o->a)) return false;
            const struct fz_link *l = next->op == OP_GOTO && next->aux < in->n_links ? &in->link[next->aux] : NULL;
            if (l ? !(l->hint & IR_HINT_KEYED) || in->k[o->a - IR_CONST] != l->key : next->op != OP_IND || !(next->attr & IR_HINT_KEYED)) return false;
        }
    }
    return true;
}

static bool keep(struct reducer *r)
{
    if (r->tries++ > 40000 || !keys_are_told(&r->try) || !r->fails(r->opaque, &r->try)) {
        r->try = *r->p;
        return false;
    }
    *r->p = r->try;
    return true;
}

/* A temporary that is read must still be written: ops that write one may not go while one behind them reads it. */
static bool needed(const struct fz_insn *in, unsigned k)
{
    ir_id d = in->ops[k].d;
    if (d == IR_NONE || !ir_is_temp(d)) return false;
    for (unsigned i = k + 1; i < in->n_ops; i++) {
        if (in->ops[i].a == d || in->ops[i].b == d || in->ops[i].c == d) return true;
    }
    return false;
}

static void drop_op(struct fz_insn *in, unsigned k)
{
    memmove(&in->ops[k], &in->ops[k + 1], (in->n_ops - k - 1u) * sizeof in->ops[0]);
    in->n_ops--;
    if (in->delay > k + 1u) in->delay--;
    if (!in->n_ops) in->delay = 0;
}

static bool label_op(unsigned op) { return op == OP_BR || op == OP_BRL || op == OP_LABEL; }

static bool reduce_ops(struct reducer *r)
{
    bool any = false;
    for (unsigned i = 0; i < r->p->n; i++) {
        struct fz_insn *in = &r->try.insn[i];
        if (in->n_ops) { /* all of it */
            memset(in, 0, sizeof *in);
            any |= keep(r);
        }
        for (unsigned k = in->n_ops; k-- > 0 && k < in->n_ops;) {
            if (label_op(in->ops[k].op)) {
                for (unsigned m = in->n_ops; m-- > 0;) if (label_op(in->ops[m].op)) drop_op(in, m);
            } else if (!needed(in, k)) {
                drop_op(in, k);
            } else {
                continue;
            }
            any |= keep(r);
        }
        if (in->delay) {
            in->delay = 0;
            any |= keep(r);
        }
    }
    return any;
}

static bool in_place(const struct ir_op *o, unsigned n) /* may this input become a constant? */
{
    const struct ir_op_info *info = &ir_op_info[o->op];
    if (o->op == OP_IND) return false;
    if (info->cls == CLASS_VEC) return false;
    if (info->cls != CLASS_CTL) return n < info->n_in;
    return o->op == OP_SETC || o->op == OP_BRC || o->op == OP_BRL ? n < 2 : o->op == OP_ST || o->op == OP_RMW ? n == 1 : o->op == OP_FMA;
}

static bool reduce_operands(struct reducer *r)
{
    bool any = false;
    for (unsigned i = 0; i < r->p->n; i++) {
        struct fz_insn *in = &r->try.insn[i];
        for (unsigned k = 0; k < in->n_ops; k++) {
            struct ir_op *o = &in->ops[k];
            for (unsigned n = 0; n < 3; n++) {
                ir_id *x = n == 0 ? &o->a : n == 1 ? &o->b : &o->c;
                if (!in_place(o, n) || *x == IR_NONE || ir_is_const(*x) || in->n_k == FZ_CONSTS) continue;
                unsigned type = ir_is_slot(*x) ? (*x < FZ_N32 || *x == FZ_MAP ? (unsigned)T_I32 : (unsigned)T_I64) : in->t_type[*x - IR_TEMP];
                in->k[in->n_k] = 1, in->k_type[in->n_k] = (uint8_t)type;
                *x = (ir_id)(IR_CONST + in->n_k++);
                any |= keep(r);
            }
        }
        for (unsigned k = 0; k < in->n_k; k++) {
            static const uint64_t plain[] = { 0, 1, FZ_DATA, FZ_CODE };
            for (unsigned n = 0; n < ARRAY_LEN(plain) && in->k[k] != plain[n]; n++) {
                if (in->k[k] < plain[n]) break;
                in->k[k] = plain[n];
                if (keep(r)) {
                    any = true;
                    break;
                }
            }
        }
    }
    return any;
}

static bool reduce_state(struct reducer *r)
{
    bool any = false;
    struct fz_prog *t = &r->try;
    for (unsigned n = t->steps; n > 1;) { /* fewer runs */
        n = n / 2;
        t->steps = (uint16_t)(r->p->steps - MIN(n, r->p->steps - 1u));
        if (t->steps != r->p->steps) any |= keep(r);
    }
    for (unsigned i = 0; i < FZ_N32; i++) {
        if (!t->r[i]) continue;
        t->r[i] = 0;
        any |= keep(r);
    }
    for (unsigned i = 0; i < FZ_N64; i++) {
        if (!t->q[i]) continue;
        t->q[i] = 0;
        any |= keep(r);
    }
    if (t->fp_round) t->fp_round = 0, any |= keep(r);
    if (t->wide) t->wide = 0, any |= keep(r);
    return any;
}

void fz_reduce(struct fz_prog *p, bool (*fails)(void *, const struct fz_prog *), void *opaque)
{
    struct reducer r = { .p = p, .try = *p, .fails = fails, .opaque = opaque };
    while (r.tries < 40000) {
        bool any = reduce_state(&r);
        any |= reduce_ops(&r);
        any |= reduce_operands(&r);
        if (!any) break;
    }
}
