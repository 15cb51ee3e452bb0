/*
 * vec.c - vector ops of the IR (VEC, VECX in ops.def) on runs of I64 cells.
 *
 * A lane is a group of bits of a cell, whatever the host's byte order; lane 0 is the lowest bits of the first cell. Lanes are
 * taken from cells by shifts, or by the compiler where order does not matter. Not here: which
 * instruction sets' instructions these are; front ends compose them.
 */
#include "interp/block.h"
#include "interp/expr.h"
#include "interp/fpx.h"

#if HOST_GNU && !defined(__clang__)
#pragma GCC optimize("O3") /* loops over lanes become the host's vectors */
#endif

#define MAX_BYTES 64

typedef void (*vec_fn)(struct cpu *cpu, uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c, unsigned n, uint32_t aux);

/* ---- lane by lane --------------------------------------------------------------------------------------
 * Whole cells in turn through a buffer of 8 bytes: results may replace operands, and the compiler sees constant counts. The
 * mirroring does not matter here. */
#define X_LANES(N, in, e, W)                                                                       \
    static void vec_##N##_##W(struct cpu *cpu, uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c, unsigned n, uint32_t IMM) \
    {                                                                                              \
        (void)cpu, (void)IMM;                                                                      \
        for (unsigned j = 0; j < n; j++) {                                                         \
            xu##W x[64 / W], y[64 / W], z[64 / W];                                                 \
            memcpy(x, &a[j], 8);                                                                   \
            memcpy(y, in > 1 ? &b[j] : &a[j], 8);                                                  \
            memcpy(z, in > 2 ? &c[j] : &a[j], 8);                                                  \
            for (unsigned i = 0; i < 64 / W; i++) {                                                \
                const xu##W A = x[i], B = y[i], C = z[i];                                          \
                (void)A, (void)B, (void)C;                                                         \
                x[i] = (xu##W)(e);                                                                 \
            }                                                                                      \
            memcpy(&d[j], x, 8);                                                                   \
        }                                                                                          \
    }
#define XW 8
#define VEC(N, n, in, e) X_LANES(N, in, e, 8)
#include "interp/ops.def"
#undef XW
#define XW 16
#define VEC(N, n, in, e) X_LANES(N, in, e, 16)
#include "interp/ops.def"
#undef XW
#define XW 32
#define VEC(N, n, in, e) X_LANES(N, in, e, 32)
#include "interp/ops.def"
#undef XW
#define XW 64
#define VEC(N, n, in, e) X_LANES(N, in, e, 64)
#include "interp/ops.def"
#undef XW

/* ---- the rest: by generic lane access ---------------------------------------------------------------- */

static uint64_t get(const uint64_t *v, unsigned lane, unsigned i)
{
    unsigned w = 8u << lane, at = i * w;
    uint64_t x = v[at / 64] >> at % 64;
    return w == 64 ? x : x & ((UINT64_C(1) << w) - 1);
}

static int64_t get_s(const uint64_t *v, unsigned lane, unsigned i)
{
    unsigned w = 8u << lane;
    uint64_t x = get(v, lane, i), m = UINT64_C(1) << (w - 1);
    return (int64_t)((x ^ m) - m);
}

static void set(uint64_t *v, unsigned lane, unsigned i, uint64_t x)
{
    unsigned w = 8u << lane, at = i * w;
    uint64_t m = w == 64 ? UINT64_MAX : (UINT64_C(1) << w) - 1;
    v[at / 64] = (v[at / 64] & ~(m << at % 64)) | (x & m) << at % 64;
}

static uint64_t pack_one(const uint64_t *v, unsigned lane, unsigned i, unsigned rule)
{
    unsigned w = 8u << lane;
    int64_t s = get_s(v, lane + 1, i), max = (INT64_C(1) << (w - 1)) - 1;
    uint64_t u = get(v, lane + 1, i), umax = (UINT64_C(1) << w) - 1;
    switch (rule) {
    case IR_PACK_SS: return (uint64_t)(s > max ? max : s < -max - 1 ? -max - 1 : s);
    case IR_PACK_SU: return s < 0 ? 0 : (uint64_t)s > umax ? umax : (uint64_t)s;
    case IR_PACK_UU: return u > umax ? umax : u;
    default: return u;
    }
}

static uint64_t reduce(const uint64_t *a, unsigned lane, unsigned lanes, unsigned what)
{
    unsigned best = 0;
    uint64_t r = get(a, lane, 0);
    for (unsigned i = 1; i < lanes; i++) {
        uint64_t x = get(a, lane, i);
        switch (what) {
        case IR_RED_ADD: r += x; break;
        case IR_RED_AND: r &= x; break;
        case IR_RED_OR: r |= x; break;
        case IR_RED_XOR: r ^= x; break;
        case IR_RED_MINU: if (x < get(a, lane, best)) best = i; break;
        case IR_RED_MAXU: if (x > get(a, lane, best)) best = i; break;
        case IR_RED_MINS: if (get_s(a, lane, i) < get_s(a, lane, best)) best = i; break;
        default: if (get_s(a, lane, i) > get_s(a, lane, best)) best = i; break;
        }
    }
    if (what >= IR_RED_MINU && what <= IR_RED_MAXS) r = get(a, lane, best);
    return lane == 3 ? r : r & ((UINT64_C(1) << (8u << lane)) - 1);
}

static uint64_t madd(const uint64_t *a, const uint64_t *b, unsigned lane, unsigned i, unsigned how)
{
    uint64_t sum;
    if (!(how & (IR_V_SIGNED | IR_V_UXS))) return get(a, lane, 2 * i) * get(b, lane, 2 * i) + get(a, lane, 2 * i + 1) * get(b, lane, 2 * i + 1);
    uint64_t x0 = how & IR_V_UXS ? get(a, lane, 2 * i) : (uint64_t)get_s(a, lane, 2 * i), y0 = (uint64_t)get_s(b, lane, 2 * i);
    uint64_t x1 = how & IR_V_UXS ? get(a, lane, 2 * i + 1) : (uint64_t)get_s(a, lane, 2 * i + 1), y1 = (uint64_t)get_s(b, lane, 2 * i + 1);
    sum = x0 * y0 + x1 * y1;
    if ((how & IR_V_SAT) && lane < 2) {
        int64_t max = (INT64_C(1) << ((16u << lane) - 1)) - 1, s = (int64_t)sum;
        sum = (uint64_t)(s > max ? max : s < -max - 1 ? -max - 1 : s);
    }
    return sum;
}

static uint64_t mulw(const uint64_t *a, const uint64_t *b, unsigned lane, unsigned i, unsigned lanes, unsigned how)
{
    unsigned k = how & IR_V_EVEN ? 2 * i : how & IR_V_ODD ? 2 * i + 1 : how & IR_V_HIGH ? i + lanes / 2 : i;
    return how & IR_V_SIGNED ? (uint64_t)get_s(a, lane, k) * (uint64_t)get_s(b, lane, k) : get(a, lane, k) * get(b, lane, k);
}

static uint64_t shuffled(const uint64_t *a, const uint64_t *c, unsigned i, unsigned index, unsigned bytes, unsigned rule)
{
    switch (rule) {
    case IR_SHUF_X86: return index & 0x80 ? 0 : get(a, 0, ((i & ~15u) | (index & 15)) & (bytes - 1));
    case IR_SHUF_TBL: return index >= bytes ? 0 : get(a, 0, index);
    default:
        index &= 2 * bytes - 1;
        return index < bytes ? get(a, 0, index) : c ? get(c, 0, index - bytes) : 0;
    }
}

/* One lane of a floating-point op, by the host where that is the same. */
static uint64_t fp_lane(struct cpu *cpu, unsigned op, unsigned type, unsigned attr, unsigned f2i, uint64_t x, uint64_t y, uint64_t z)
{
    if (cpu->fp_fast) {
        switch (op) {
#define LANE_FP(N)                                                                                 \
    case OP_##N:                                                                                   \
        if (type == T_I64) {                                                                       \
            uint64_t r;                                                                            \
            if (!fpx_finite64(x) || !fpx_finite64(y) || !fpx_##N##64(x, y, &r) || (FPX_CAN_BE_TINY(OP_##N) && FPX_TINY64(cpu, r))) break; \
            cpu->fp_note = (struct fp_note){ x, y, z, op | type << 16 | attr << 24, f2i };         \
            return r;                                                                              \
        } else {                                                                                   \
            uint32_t r, u = (uint32_t)x, v = (uint32_t)y;                                          \
            if (!fpx_finite32(u) || !fpx_finite32(v) || !fpx_##N##32(u, v, &r) || (FPX_CAN_BE_TINY(OP_##N) && FPX_TINY32(cpu, r))) break; \
            cpu->fp_note = (struct fp_note){ x, y, z, op | type << 16 | attr << 24, f2i };         \
            return r;                                                                              \
        }
        LANE_FP(FADD) LANE_FP(FSUB) LANE_FP(FMUL) LANE_FP(FDIV)
        case OP_FMA: return type == T_I64 ? fpx_fma64(cpu, attr, x, y, z) : fpx_fma32(cpu, attr, (uint32_t)x, (uint32_t)y, (uint32_t)z);
        default: break;
        }
    }
    uint64_t r = fp_exec(cpu, op, type, attr, f2i, x, y, z);
    return op == OP_FCMP ? 0 - r : r;
}

/* Ops across lanes work on copies: a result may be an operand. aux as in the op; lane, n (cells) by the caller. */
static void across(struct cpu *cpu, unsigned op, unsigned lane, uint64_t *d, const uint64_t *pa, const uint64_t *pb, const uint64_t *pc, unsigned n, uint32_t aux)
{
    uint64_t a[MAX_BYTES / 8], b[MAX_BYTES / 8], c[MAX_BYTES / 8];
    unsigned bytes = n * 8, lanes = bytes >> lane;
    unsigned n_in = ir_op_info[op].n_in;

    if (op == OP_VDUP) {
        uint64_t v = *pa;
        for (unsigned i = 0; i < lanes; i++) set(d, lane, i, v);
        return;
    }
    memcpy(a, pa, bytes);
    memcpy(b, n_in > 1 ? pb : pa, bytes);
    memcpy(c, n_in > 2 ? pc : pa, bytes);
    switch (op) {
    case OP_VZIPLO: case OP_VZIPHI: {
        unsigned from = op == OP_VZIPHI ? lanes / 2 : 0;
        for (unsigned i = 0; i < lanes; i++) set(d, lane, i, get(i & 1 ? b : a, lane, lanes == 1 ? 0 : from + i / 2));
        break;
    }
    case OP_VUZPE: case OP_VUZPO:
        for (unsigned i = 0; i < lanes; i++) {
            unsigned k = 2 * i + (op == OP_VUZPO);
            set(d, lane, i, k < lanes ? get(a, lane, k) : get(b, lane, (k - lanes) % lanes));
        }
        break;
    case OP_VTRNE: case OP_VTRNO:
        for (unsigned i = 0; i < lanes; i++) set(d, lane, i, get(i & 1 ? b : a, lane, ((i & ~1u) + (op == OP_VTRNO)) % lanes));
        break;
    case OP_VEXT:
        for (unsigned i = 0; i < bytes; i++) {
            uint64_t k = (uint64_t)i + aux;
            set(d, 0, i, k < bytes ? get(a, 0, (unsigned)k) : k < 2 * bytes ? get(b, 0, (unsigned)k - bytes) : 0);
        }
        break;
    case OP_VSHUF:
        for (unsigned i = 0; i < bytes; i++) set(d, 0, i, shuffled(a, c, i, (unsigned)get(b, 0, i), bytes, aux));
        break;
    case OP_VPACK:
        for (unsigned i = 0; i < lanes; i++) set(d, lane, i, pack_one(i < lanes / 2 ? a : b, lane, i % (lanes / 2), aux));
        break;
    case OP_VWIDEN:
        for (unsigned i = 0; i < lanes / 2; i++) {
            unsigned k = aux & IR_V_HIGH ? i + lanes / 2 : i;
            set(d, lane + 1, i, aux & IR_V_SIGNED ? (uint64_t)get_s(a, lane, k) : get(a, lane, k));
        }
        break;
    case OP_VMULW:
        for (unsigned i = 0; i < lanes / 2; i++) set(d, lane + 1, i, mulw(a, b, lane, i, lanes, aux));
        break;
    case OP_VMADDW:
        for (unsigned i = 0; i < lanes / 2; i++) set(d, lane + 1, i, madd(a, b, lane, i, aux));
        break;
    case OP_VREDUCE: *d = reduce(a, lane, lanes, aux); break;
    default: /* VFP */
        for (unsigned i = 0; i < lanes; i++) {
            unsigned fop = aux & 0xffff;
            set(d, lane, i, fp_lane(cpu, fop, lane == 3 ? T_I64 : T_I32, aux >> 16 & 0xff, aux >> 24, get(a, lane, i), get(b, lane, i), get(c, lane, i)));
        }
        break;
    }
}

enum {
#define VEC(N, n, in, e) VN_##N,
#include "interp/ops.def"
    VN_COUNT
};
static const vec_fn lane_fns[VN_COUNT][4] = {
#define VEC(N, n, in, e) { vec_##N##_8, vec_##N##_16, vec_##N##_32, vec_##N##_64 },
#include "interp/ops.def"
};
static const uint16_t first_of_lanes = OP_VMOV; /* VEC lines follow each other */

unsigned vec_number(const struct ir_op *o) { return (unsigned)o->op << 8 | o->attr; }

void vec_run(struct cpu *cpu, unsigned number, uint32_t aux, uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c)
{
    unsigned op = number >> 8, lane = number & 3, n = 1u << (number >> 2 & 3);
    if (op - first_of_lanes < VN_COUNT) lane_fns[op - first_of_lanes][lane](cpu, d, a, b, c, n, aux);
    else across(cpu, op, lane, d, a, b, c, n, aux);
}

void vec_exec(struct cpu *cpu, const struct ir_op *o, uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c)
{
    if (!b) b = a; /* operands that an op does not have */
    if (!c) c = a;
    vec_run(cpu, vec_number(o), o->aux, d, a, b, c);
}
