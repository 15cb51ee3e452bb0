/*
 * x64-vec.c - lowering of vector ops to SSE.
 *
 * Vectors are runs of cells. Cells that ops of this kind use stay in memory unless scalar code uses them more (alloc.c), so an
 * op is a load, an instruction and a store; cells in registers are put together and taken apart. XMM0 has the first
 * operand and the result, XMM1 the second, XMM2 is scratch. What has no instruction here is done by jit_vec().
 * Floating point follows the rules of x64-fp.c; what is checked is that no lane of the result is a NaN.
 */
#include "interp/fpx.h"
#include "jit-native/x64.h"

#define SSE(op) ((op) | X_0F | X_66)
#define SSE38(op) ((op) | X_0F38 | X_66)

struct x64_mem x64_scratch_cells(struct lower *c)
{
    if (c->jb->n_temps > IR_MAX_TEMPS - 2) c->why = "too many temporaries";
    return AT_CPU(temps[0]);
}

static void op_rr(struct lower *c, unsigned op, unsigned d, unsigned s) { x64_op(&c->e, op, false, d, x64_r(s)); }
static void op_imm(struct lower *c, unsigned op, unsigned d, unsigned s, unsigned imm) { x64_op_imm(&c->e, op, false, d, x64_r(s), 1, imm); }

void x64_vec_get(struct lower *c, unsigned xmm, ir_id x, unsigned bytes)
{
    int lo = lower_reg(c, x), hi = bytes > 8 ? lower_reg(c, (ir_id)(x + 1)) : IN_MEMORY;
    struct emit *e = &c->e;

    if (bytes > 8 && lower_pair(c, x)) {
        if ((unsigned)lo - GPRS != xmm) op_rr(c, 0x28 | X_0F, xmm, (unsigned)lo - GPRS); /* movaps */
        return;
    }
    /* in halves: one load would wait for two stores of halves to be done */
    if (lo == IN_MEMORY) x64_op(e, 0x7e | X_0F | X_F3, false, xmm, x64_m(x64_cell(c, x)));
    else if (is_xmm(lo)) op_rr(c, 0x7e | X_0F | X_F3, xmm, (unsigned)lo - GPRS);
    else if (is_high(lo)) (void)x64_use_xmm(c, x, xmm);
    else x64_op(e, SSE(0x6e), true, xmm, x64_r((unsigned)lo));
    if (bytes <= 8) return;
    if (hi == IN_MEMORY) x64_op(e, SSE(0x16), false, xmm, x64_m(x64_cell(c, (ir_id)(x + 1)))); /* movhpd */
    else op_rr(c, SSE(0x6c), xmm, x64_use_xmm(c, (ir_id)(x + 1), XMM2));                      /* punpcklqdq */
}

void x64_vec_put(struct lower *c, ir_id d, unsigned xmm, unsigned bytes)
{
    int lo = lower_reg(c, d), hi = bytes > 8 ? lower_reg(c, (ir_id)(d + 1)) : IN_MEMORY;
    struct emit *e = &c->e;

    if (bytes > 8 && lower_pair(c, d)) {
        if ((unsigned)lo - GPRS != xmm) op_rr(c, 0x28 | X_0F, (unsigned)lo - GPRS, xmm); /* movaps */
        return;
    }
    if (lo == IN_MEMORY && hi == IN_MEMORY) {
        if (bytes > 8) x64_op(e, 0x11 | X_0F, false, xmm, x64_m(x64_cell(c, d)));
        else x64_op(e, SSE(0xd6), false, xmm, x64_m(x64_cell(c, d)));
        return;
    }
    if (bytes > 8) {
        if (hi == IN_MEMORY) {
            x64_op(e, SSE(0x17), false, xmm, x64_m(x64_cell(c, (ir_id)(d + 1)))); /* movhpd */
        } else {
            unsigned to = is_xmm(hi) && !lower_pair(c, (ir_id)(d + 1)) ? (unsigned)hi - GPRS : XMM2;
            op_imm(c, SSE(0x70), to, xmm, 0xee); /* pshufd */
            x64_done_xmm(c, (ir_id)(d + 1), to);
        }
    }
    if (lo == IN_MEMORY) x64_op(e, SSE(0xd6), false, xmm, x64_m(x64_cell(c, d)));
    else if (is_high(lo) || lower_pair(c, d)) x64_done_xmm(c, d, xmm);
    else if (is_xmm(lo)) op_rr(c, 0x7e | X_0F | X_F3, (unsigned)lo - GPRS, xmm);
    else x64_op(e, SSE(0x7e), true, xmm, x64_r((unsigned)lo));
}

/* ---- by a call ---- */


/* All state is in its cells. fp: the host's invalid flag is cleared afterwards (x64-fp.c). */
static void call_vec(struct lower *c, const struct ir_op *o, bool fp)
{
    struct emit *e = &c->e;
    bool reduce = o->op == OP_VREDUCE;

    if (reduce) x64_lea(e, true, RDX, x64_scratch_cells(c));
    else x64_lea(e, true, RDX, x64_cell(c, o->d));
    x64_lea(e, true, RCX, x64_cell(c, o->a));
    if (o->b == IR_NONE) x64_mov(e, true, R8, RCX);
    else x64_lea(e, true, R8, x64_cell(c, o->b));
    if (o->c == IR_NONE) x64_mov(e, true, R9, RCX);
    else x64_lea(e, true, R9, x64_cell(c, o->c));
    x64_lea_label(e, RSI, lower_op_copy(c, o));
    host_call_c(c, (uintptr_t)jit_vec, false);
    if (!fp || x64_is_sse(c)) return;
    struct x64_rm word = x64_m(x64_scratch_cells(c));
    x64_op(e, 0xae | X_0F, false, 3, word);
    x64_alu_imm(e, ALU_AND, false, word, ~1);
    x64_op(e, 0xae | X_0F, false, 2, word);
}

/* What the call leaves behind: results to their registers, the rest back. */
static void after_vec(struct lower *c, const struct ir_op *o, unsigned op_at)
{
    struct emit *e = &c->e;

    lower_reload(c, c->gb->live[op_at] & c->g->regs->clobbered & ~gen_kills(c->g, o), true);
    lower_restore_temps(c);
    if (o->op == OP_VREDUCE) {
        x64_op(e, 0x8b, true, RAX, x64_m(x64_scratch_cells(c)));
        x64_done(c, o->d, RAX);
        return;
    }
    for (unsigned i = 0; i < ir_vec_cells(o, 0); i++) {
        ir_id d = (ir_id)(o->d + i);
        if (lower_reg(c, d) == IN_MEMORY) continue;
        x64_op(e, 0x8b, true, RAX, x64_m(x64_cell(c, d)));
        x64_done(c, d, RAX);
    }
}

static void lower_call(struct lower *c)
{
    lower_spill(c, c->dirty, true);
    lower_save_temps(c);
    call_vec(c, c->o, false);
    after_vec(c, c->o, c->i);
}

/* ---- instructions ---- */

/* By lane: op d, s; 0: none. */
struct lanes { unsigned op[4]; };
#define NEEDS_41 0x80000000u /* SSSE3, too: has.sse41 stands for both */
#define L(b, w, d, q) { { b, w, d, q } }
#define S41(op) (SSE38(op) | NEEDS_41)

static unsigned two_operands(const struct lower *c, const struct ir_op *o)
{
    static const struct { uint16_t op; struct lanes l; } table[] = {
        { OP_VADD, L(SSE(0xfc), SSE(0xfd), SSE(0xfe), SSE(0xd4)) },
        { OP_VSUB, L(SSE(0xf8), SSE(0xf9), SSE(0xfa), SSE(0xfb)) },
        { OP_VMUL, L(0, SSE(0xd5), S41(0x40), 0) },
        { OP_VMULHU, L(0, SSE(0xe4), 0, 0) },
        { OP_VMULHS, L(0, SSE(0xe5), 0, 0) },
        { OP_VAND, L(SSE(0xdb), SSE(0xdb), SSE(0xdb), SSE(0xdb)) },
        { OP_VOR, L(SSE(0xeb), SSE(0xeb), SSE(0xeb), SSE(0xeb)) },
        { OP_VXOR, L(SSE(0xef), SSE(0xef), SSE(0xef), SSE(0xef)) },
        { OP_VCMPEQ, L(SSE(0x74), SSE(0x75), SSE(0x76), S41(0x29)) },
        { OP_VCMPGTS, L(SSE(0x64), SSE(0x65), SSE(0x66), 0) },
        { OP_VMINU, L(SSE(0xda), S41(0x3a), S41(0x3b), 0) },
        { OP_VMAXU, L(SSE(0xde), S41(0x3e), S41(0x3f), 0) },
        { OP_VMINS, L(S41(0x38), SSE(0xea), S41(0x39), 0) },
        { OP_VMAXS, L(S41(0x3c), SSE(0xee), S41(0x3d), 0) },
        { OP_VADDUS, L(SSE(0xdc), SSE(0xdd), 0, 0) },
        { OP_VSUBUS, L(SSE(0xd8), SSE(0xd9), 0, 0) },
        { OP_VADDSS, L(SSE(0xec), SSE(0xed), 0, 0) },
        { OP_VSUBSS, L(SSE(0xe8), SSE(0xe9), 0, 0) },
        { OP_VAVGU, L(SSE(0xe0), SSE(0xe3), 0, 0) },
    };
    unsigned op = 0;

    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].op == o->op) op = table[i].l.op[IR_VEC_LANE(o)];
    }
    if (op & NEEDS_41 && !c->h->has.sse41) return 0;
    return op & ~NEEDS_41;
}

/* An operation on i cells from the operands' first, with an immediate or (negative) without. */
static void binary_at(struct lower *c, unsigned op, unsigned i, unsigned bytes, int imm)
{
    const struct ir_op *o = c->o;
    ir_id d = (ir_id)(o->d + i), a = (ir_id)(o->a + i), b = (ir_id)(o->b + i);
    bool pairs = bytes == 16 && lower_pair(c, d) && lower_pair(c, a);
    unsigned xb = XMM1, to = XMM0;

    if (bytes == 16 && lower_pair(c, b)) xb = (unsigned)lower_reg(c, b) - GPRS;
    else x64_vec_get(c, XMM1, b, bytes);
    if (pairs && (a == d || b != d)) to = (unsigned)lower_reg(c, d) - GPRS;
    x64_vec_get(c, to, a, bytes);
    if (imm < 0) op_rr(c, op, to, xb);
    else op_imm(c, op, to, xb, (unsigned)imm);
    x64_vec_put(c, d, to, bytes);
}

/* One chunk of 8 or 16 bytes, i cells from the operands' first. False: no instruction (nothing has been emitted). */
static bool chunk(struct lower *c, unsigned i, unsigned bytes)
{
    const struct ir_op *o = c->o;
    unsigned lane = IR_VEC_LANE(o), op = two_operands(c, o);
    ir_id d = (ir_id)(o->d + i), a = (ir_id)(o->a + i), b = o->b == IR_NONE ? o->b : (ir_id)(o->b + i);

    if (op) {
        binary_at(c, op, i, bytes, -1);
        return true;
    }
    switch (o->op) {
    case OP_VMOV:
        x64_vec_get(c, XMM0, a, bytes);
        break;
    case OP_VANDC: /* pandn inverts its first operand */
        x64_vec_get(c, XMM0, b, bytes);
        x64_vec_get(c, XMM1, a, bytes);
        op_rr(c, SSE(0xdf), XMM0, XMM1);
        break;
    case OP_VNOT: case OP_VORC:
        x64_vec_get(c, XMM0, o->op == OP_VNOT ? a : b, bytes);
        op_rr(c, SSE(0x76), XMM1, XMM1);
        op_rr(c, SSE(0xef), XMM0, XMM1);
        if (o->op == OP_VNOT) break;
        x64_vec_get(c, XMM1, a, bytes);
        op_rr(c, SSE(0xeb), XMM0, XMM1);
        break;
    case OP_VNEG: {
        static const uint16_t sub[4] = { 0xf8, 0xf9, 0xfa, 0xfb };
        x64_vec_get(c, XMM1, a, bytes);
        op_rr(c, SSE(0xef), XMM0, XMM0);
        op_rr(c, SSE(sub[lane]), XMM0, XMM1);
        break;
    }
    case OP_VMERGE:
        x64_vec_get(c, XMM0, a, bytes);
        x64_vec_get(c, XMM1, b, bytes);
        op_rr(c, SSE(0xef), XMM1, XMM0);
        op_rr(c, 0x28 | X_0F, XMM0, XMM1); /* movaps; a ^ b */
        x64_vec_get(c, XMM1, (ir_id)(o->c + i), bytes);
        op_rr(c, SSE(0xdb), XMM0, XMM1);
        x64_vec_get(c, XMM1, a, bytes);
        op_rr(c, SSE(0xef), XMM0, XMM1);
        break;
    case OP_VABS:
        if (lane > 2 || !c->h->has.sse41) return false;
        x64_vec_get(c, XMM1, a, bytes);
        op_rr(c, SSE38(0x1c + lane), XMM0, XMM1);
        break;
    case OP_VSHLI: case OP_VSHRI: case OP_VSARI: {
        unsigned group = o->op == OP_VSHLI ? 6 : o->op == OP_VSHRI ? 2 : 4;
        if (!lane || (lane == 3 && group == 4)) return false;
        x64_vec_get(c, XMM0, a, bytes);
        x64_op_imm(&c->e, SSE(0x70 + lane), false, group, x64_r(XMM0), 1, MIN(o->aux, 255u));
        break;
    }
    default: return false;
    }
    x64_vec_put(c, d, XMM0, bytes);
    return true;
}

/* The same low bits in every lane. */
static void dup_lane(struct lower *c)
{
    const struct ir_op *o = c->o;
    unsigned lane = IR_VEC_LANE(o), bytes = IR_VEC_BYTES(o);

    x64_load(c, RAX, o->a);
    x64_op(&c->e, SSE(0x6e), lane == 3, XMM0, x64_r(RAX));
    if (lane == 0) op_rr(c, SSE(0x60), XMM0, XMM0);                    /* punpcklbw */
    if (lane <= 1) op_imm(c, 0x70 | X_0F | X_F2, XMM0, XMM0, 0);       /* pshuflw */
    op_imm(c, SSE(0x70), XMM0, XMM0, lane == 3 ? 0x44 : 0);
    for (unsigned i = 0; i < bytes / 8; i += 2) x64_vec_put(c, (ir_id)(o->d + i), XMM0, bytes < 16 ? 8 : 16);
}

/* ---- permutations of one vector of 16 bytes, and what goes across ---- */

/* A value of 16 bytes from a constant pair of cells? Front ends make indices by moves of constants. */
static bool known_cells(const struct lower *c, ir_id x, uint64_t v[2])
{
    unsigned have = 0;

    for (unsigned i = c->i; i-- > 0 && have != 3;) {
        const struct ir_op *p = &c->jb->ops[i];
        if (p->op == OP_LABEL) return false;
        for (unsigned k = 0; k < 2; k++) {
            if (have >> k & 1) continue;
            bool run = ir_op_info[p->op].cls == CLASS_VEC;
            unsigned n = p->d == IR_NONE ? 0 : run ? ir_vec_cells(p, 0) : 1;
            bool hit = n && x + k >= p->d && x + k < (ir_id)(p->d + n);
            if (p->op == OP_LD2 && p->c == x + k) return false;
            if (!hit) continue;
            if (p->op != OP_MOV || !ir_is_const(p->a)) return false;
            (void)lower_const(c, p->a, &v[k]);
            have |= 1u << k;
        }
    }
    return have == 3;
}

/* Do the indices choose whole lanes of 4 bytes? from[]: lanes 0 to 3 of the first, 4 to 7 of the second. */
static bool lane_shuffle(const uint64_t v[2], uint8_t from[4])
{
    for (unsigned i = 0; i < 4; i++) {
        uint32_t w = (uint32_t)(v[i / 2] >> 32 * (i & 1));
        unsigned first = w & 31;
        if (first & 3 || w != first * 0x01010101u + 0x03020100u) return false;
        from[i] = (uint8_t)(first / 4);
    }
    return true;
}

static bool shuffle(struct lower *c)
{
    const struct ir_op *o = c->o;
    uint64_t v[2];
    uint8_t from[4];

    if (IR_VEC_BYTES(o) != 16) return false;
    if (o->aux == IR_SHUF_X86) {
        if (!c->h->has.sse41) return false;
        x64_vec_get(c, XMM0, o->a, 16);
        x64_vec_get(c, XMM1, o->b, 16);
        op_rr(c, SSE38(0x00), XMM0, XMM1);
        x64_vec_put(c, o->d, XMM0, 16);
        return true;
    }
    if (o->aux != IR_SHUF_TWO || !known_cells(c, o->b, v) || ((v[0] | v[1]) & 0xe0e0e0e0e0e0e0e0)) return false;
    bool two = ((v[0] | v[1]) & 0x1010101010101010) && o->c != o->a && o->c != IR_NONE;
    if (!two) v[0] &= ~UINT64_C(0x1010101010101010), v[1] &= ~UINT64_C(0x1010101010101010);
    if (lane_shuffle(v, from)) {
        unsigned imm = (from[0] & 3u) | (from[1] & 3u) << 2 | (from[2] & 3u) << 4 | (from[3] & 3u) << 6;
        if (!two) {
            x64_vec_get(c, XMM1, o->a, 16);
            op_imm(c, SSE(0x70), XMM0, XMM1, imm);
            x64_vec_put(c, o->d, XMM0, 16);
            return true;
        }
        if (from[0] < 4 && from[1] < 4 && from[2] >= 4 && from[3] >= 4) { /* shufps */
            x64_vec_get(c, XMM0, o->a, 16);
            x64_vec_get(c, XMM1, o->c, 16);
            op_imm(c, 0xc6 | X_0F, XMM0, XMM1, imm);
            x64_vec_put(c, o->d, XMM0, 16);
            return true;
        }
    }
    if (two || !c->h->has.sse41) return false;
    x64_vec_get(c, XMM0, o->a, 16);
    x64_vec_get(c, XMM1, o->b, 16);
    op_rr(c, SSE38(0x00), XMM0, XMM1);
    x64_vec_put(c, o->d, XMM0, 16);
    return true;
}

static void binary(struct lower *c, unsigned op, unsigned bytes)
{
    const struct ir_op *o = c->o;

    x64_vec_get(c, XMM0, o->a, bytes);
    x64_vec_get(c, XMM1, o->b, bytes);
    op_rr(c, op, XMM0, XMM1);
}

static bool across(struct lower *c)
{
    const struct ir_op *o = c->o;
    unsigned lane = IR_VEC_LANE(o), bytes = IR_VEC_BYTES(o);

    if (bytes > 16) return false;
    switch (o->op) {
    case OP_VZIPLO: case OP_VZIPHI: {
        static const uint8_t lo[4] = { 0x60, 0x61, 0x62, 0x6c }, hi[4] = { 0x68, 0x69, 0x6a, 0x6d };
        if (bytes == 8 && lane == 3) return false;
        if (bytes == 16) {
            binary_at(c, SSE(o->op == OP_VZIPLO ? lo[lane] : hi[lane]), 0, 16, -1);
            return true;
        }
        binary(c, SSE(o->op == OP_VZIPLO || bytes == 8 ? lo[lane] : hi[lane]), bytes);
        if (bytes == 8 && o->op == OP_VZIPHI) op_imm(c, SSE(0x70), XMM0, XMM0, 0xee);
        break;
    }
    case OP_VUZPE: case OP_VUZPO:
        if (bytes != 16 || lane < 2) return false;
        if (lane == 3) {
            binary(c, SSE(o->op == OP_VUZPE ? 0x6c : 0x6d), 16);
        } else {
            x64_vec_get(c, XMM0, o->a, 16);
            x64_vec_get(c, XMM1, o->b, 16);
            op_imm(c, 0xc6 | X_0F, XMM0, XMM1, o->op == OP_VUZPE ? 0x88 : 0xdd);
        }
        break;
    case OP_VEXT:
        if (bytes != 16 || !c->h->has.sse41) return false;
        x64_vec_get(c, XMM0, o->b, 16);
        x64_vec_get(c, XMM1, o->a, 16);
        x64_op_imm(&c->e, 0x0f | X_0F3A | X_66, false, XMM0, x64_r(XMM1), 1, MIN(o->aux, 32u)); /* palignr */
        break;
    case OP_VPACK: {
        unsigned op = 0;
        if (bytes != 16) return false;
        if (o->aux == IR_PACK_SS) op = lane == 0 ? SSE(0x63) : lane == 1 ? SSE(0x6b) : 0;
        if (o->aux == IR_PACK_SU) op = lane == 0 ? SSE(0x67) : lane == 1 && c->h->has.sse41 ? SSE38(0x2b) : 0;
        if (!op) return false;
        binary(c, op, 16);
        break;
    }
    case OP_VWIDEN:
        if (bytes != 16 || lane > 2 || !c->h->has.sse41) return false;
        x64_vec_get(c, XMM1, o->a, 16);
        if (o->aux & IR_V_HIGH) op_imm(c, SSE(0x70), XMM1, XMM1, 0xee);
        op_rr(c, SSE38((o->aux & IR_V_SIGNED ? 0x20 : 0x30) + (lane == 0 ? 0 : lane == 1 ? 3 : 5)), XMM0, XMM1);
        break;
    case OP_VMULW:
        if (bytes != 16 || lane != 2 || !(o->aux & (IR_V_EVEN | IR_V_ODD))) return false;
        if ((o->aux & IR_V_SIGNED) && !c->h->has.sse41) return false;
        x64_vec_get(c, XMM0, o->a, 16);
        x64_vec_get(c, XMM1, o->b, 16);
        if (o->aux & IR_V_ODD) {
            x64_op_imm(&c->e, SSE(0x73), false, 2, x64_r(XMM0), 1, 32);
            x64_op_imm(&c->e, SSE(0x73), false, 2, x64_r(XMM1), 1, 32);
        }
        op_rr(c, o->aux & IR_V_SIGNED ? SSE38(0x28) : SSE(0xf4), XMM0, XMM1);
        break;
    case OP_VMADDW:
        if (bytes != 16) return false;
        if (lane == 1 && (o->aux & (IR_V_SIGNED | IR_V_UXS | IR_V_SAT)) == IR_V_SIGNED) binary(c, SSE(0xf5), 16);
        else if (lane == 0 && o->aux == (IR_V_UXS | IR_V_SAT) && c->h->has.sse41) binary(c, SSE38(0x04), 16);
        else return false;
        break;
    default: return false;
    }
    x64_vec_put(c, o->d, XMM0, bytes);
    return true;
}

/* ---- floating point ---- */

static void cold_vfp(struct lower *c, const struct cold *k)
{
    lower_spill(c, k->dirty, true);
    lower_save_temps(c);
    call_vec(c, k->o, true);
    after_vec(c, k->o, k->op);
    emit_jump(&c->e, k->back);
}

/* cmpps' first eight, which are those without VEX; -1: it is none of them. */
static int sse_predicate(unsigned attr)
{
    static const uint8_t relations[8] = {
        IR_REL_EQ, IR_REL_LT | IR_REL_SIGNAL, IR_REL_LT | IR_REL_EQ | IR_REL_SIGNAL, IR_REL_UN, IR_REL_LT | IR_REL_GT | IR_REL_UN,
        IR_REL_EQ | IR_REL_GT | IR_REL_UN | IR_REL_SIGNAL, IR_REL_GT | IR_REL_UN | IR_REL_SIGNAL, IR_REL_LT | IR_REL_EQ | IR_REL_GT,
    };
    for (int i = 0; i < 8; i++) {
        if (relations[i] == attr) return i;
    }
    return -1;
}

static bool vfp(struct lower *c)
{
    const struct ir_op *o = c->o;
    unsigned what = o->aux & 0xffff, attr = o->aux >> 16 & 0xff, lane = IR_VEC_LANE(o), bytes = IR_VEC_BYTES(o), op = 0;
    bool wide = lane == 3, compare = what == OP_FCMP;

    if (lane < 2 || bytes != 16 || c->h->eng->cfg.soft_fp || !c->g->guest->no_fp_notes) return false;
    if (!x64_is_sse(c) && X64(c)->fp_fast & (FP_FAST_TINY | FP_FAST_DENORMAL)) return false;
    switch (what) {
    case OP_FADD: op = 0x58; break;
    case OP_FSUB: op = 0x5c; break;
    case OP_FMUL: op = 0x59; break;
    case OP_FDIV: op = 0x5e; break;
    case OP_FSQRT: op = 0x51; break;
    case OP_FMIN: case OP_FMAX:
        if (attr != IR_FMM_X86) return false;
        op = what == OP_FMIN ? 0x5d : 0x5f;
        break;
    case OP_FCMP: break;
    default: return false;
    }
    unsigned prefix = wide ? X_66 : 0;
    if (x64_is_sse(c)) {
        int imm = compare ? sse_predicate(attr) : -1;
        if (compare && imm < 0) return false;
        struct cold *k = X64(c)->fp_known ? NULL : lower_cold(c, cold_vfp);
        x64_test_fp(c, k ? k->label : 0);
        binary_at(c, (compare ? 0xc2 : op) | X_0F | prefix, 0, 16, imm);
        if (k) emit_place(&c->e, k->back);
        return true;
    }
    struct cold *k = lower_cold(c, cold_vfp);
    x64_test_fp(c, k->label);
    x64_vec_get(c, XMM0, o->a, 16);
    if (what == OP_FSQRT) op_rr(c, 0x28 | X_0F, XMM1, XMM0);
    else x64_vec_get(c, XMM1, o->b, 16);
    /* minima and comparisons hide a NaN among their operands */
    bool operands = compare || what == OP_FMIN || what == OP_FMAX;
    if (operands) {
        op_rr(c, 0x28 | X_0F, XMM2, XMM0);
        op_imm(c, 0xc2 | X_0F | prefix, XMM2, XMM1, 3); /* unordered */
    }
    if (compare) {
        static const uint8_t predicates[8] = { 0, 1, 0, 2, 6, 4, 5, 0 }; /* of lt, eq, gt: false .. true are not here */
        unsigned mask = attr & 7;
        if (mask == 0 || mask == 7) op_rr(c, mask ? SSE(0x76) : SSE(0xef), XMM0, XMM0);
        else op_imm(c, 0xc2 | X_0F | prefix, XMM0, XMM1, predicates[mask]);
    } else {
        op_rr(c, op | X_0F | prefix, XMM0, XMM1);
    }
    if (!operands) {
        op_rr(c, 0x28 | X_0F, XMM2, XMM0);
        op_imm(c, 0xc2 | X_0F | prefix, XMM2, XMM2, 3);
    }
    x64_op(&c->e, 0x50 | X_0F | prefix, false, RAX, x64_r(XMM2)); /* movmsk */
    x64_test(&c->e, false, RAX, RAX);
    x64_jcc(&c->e, X_NZ, k->label);
    x64_vec_put(c, o->d, XMM0, 16);
    emit_place(&c->e, k->back);
    return true;
}

/* Do two runs share cells without being the same? */
static bool crossing(ir_id x, ir_id y, unsigned n) { return y != IR_NONE && x != y && x < (ir_id)(y + n) && y < (ir_id)(x + n); }

void x64_lower_vec(struct lower *c)
{
    const struct ir_op *o = c->o;
    unsigned bytes = IR_VEC_BYTES(o), cells = bytes / 8;

    if (o->op == OP_VDUP) {
        dup_lane(c);
        return;
    }
    if (o->op == OP_VFP ? vfp(c) : o->op == OP_VSHUF ? shuffle(c) : across(c)) return;
    if (!crossing(o->d, o->a, cells) && !crossing(o->d, o->b, cells) && !crossing(o->d, o->c, cells) && o->op != OP_VREDUCE) {
        unsigned step = bytes < 16 ? 8 : 16, i = 0;
        while (i < cells && chunk(c, i, step)) i += step / 8;
        if (i >= cells) return;
    }
    lower_call(c);
}
