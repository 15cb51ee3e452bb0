/*
 * test-ir.c - the engine's own differential tests.
 *   L0: every PURE and CONV op and every condition on boundary and random operands, against plain definitions written here
 *       bit by bit, independent of interp/expr.h.
 *   L1: random IR blocks (all op classes, faults, early exits, budgets) in the reference interpreter against the fast one in
 *       all its variants: registers, memory, instruction counts and exits must be equal.
 */
#include "interp/eval.h"
#include "interp/jit.h"
#include "tests/backends.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned passed, failed;
static uint64_t rng_state = 88172645463325252u;

static uint64_t rnd(void)
{
    rng_state ^= rng_state << 13, rng_state ^= rng_state >> 7, rng_state ^= rng_state << 17;
    return rng_state;
}
static unsigned below(unsigned n) { return (unsigned)(rnd() >> 20) % n; }

static uint64_t value(unsigned type)
{
    static const uint64_t edge[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000u, 0xffffffffu,
                                     UINT64_C(0x100000000), INT64_MAX, UINT64_C(1) << 63, UINT64_MAX, UINT64_C(0x5555555555555555),
                                     0x3f800000, 0xbf800000u, UINT64_C(0x3ff0000000000000), UINT64_C(0x4008000000000000) };
    uint64_t v;
    switch (below(4)) {
    case 0: v = edge[below(ARRAY_LEN(edge))]; break;
    case 1: v = below(70); break;
    case 2: v = rnd() >> below(64); break;
    default: v = rnd(); break;
    }
    return type == T_I32 ? (uint32_t)v : v;
}

/* ---- L0 ------------------------------------------------------------------------------------------- */

static int bit(uint64_t x, int i) { return (int)(x >> i & 1); }
static int64_t sgn(uint64_t x, int w) { return w == 64 ? (int64_t)x : bit(x, 31) ? (int64_t)x - (INT64_C(1) << 32) : (int64_t)x; }

/* Schoolbook product, 2w bits, in hi:lo of w bits. */
static void product(uint64_t a, uint64_t b, int w, uint64_t *hi, uint64_t *lo)
{
    uint8_t acc[256] = { 0 };
    for (int i = 0; i < w; i++) {
        int carry = 0;
        if (!bit(b, i)) continue;
        for (int j = 0; j < w || carry; j++) {
            int s = acc[i + j] + (j < w ? bit(a, j) : 0) + carry;
            acc[i + j] = (uint8_t)(s & 1), carry = s >> 1;
        }
    }
    *hi = *lo = 0;
    for (int i = 0; i < w; i++) *lo |= (uint64_t)acc[i] << i, *hi |= (uint64_t)acc[i + w] << i;
}

/* Sum of three, one bit at a time; carry out. */
static int sum3(uint64_t a, uint64_t b, uint64_t c, int w, uint64_t *out)
{
    int carry = 0;
    *out = 0;
    for (int i = 0; i < w; i++) {
        int s = bit(a, i) + bit(b, i) + bit(c, i) + carry;
        *out |= (uint64_t)(s & 1) << i, carry = s >> 1;
    }
    return carry;
}

static void divide(uint64_t a, uint64_t b, int w, uint64_t *q, uint64_t *r)
{
    *q = *r = 0;
    for (int i = w - 1; i >= 0; i--) {
        int top = bit(*r, w - 1);
        *r = (*r << 1 | (uint64_t)bit(a, i));
        if (w == 32) *r &= 0x1ffffffff;
        if (top || *r >= b) *r -= b, *q |= UINT64_C(1) << i;
        if (w == 32) *r &= 0xffffffff;
    }
}

/* (hi:lo) / b, schoolbook: one bit of the dividend at a time, quotient modulo 2^w. */
static void divide2(uint64_t hi, uint64_t lo, uint64_t b, int w, uint64_t *q, uint64_t *r)
{
    *q = *r = 0;
    for (int i = 2 * w - 1; i >= 0; i--) {
        int top = bit(*r, w - 1);
        *r = *r << 1 | (uint64_t)bit(i >= w ? hi : lo, i % w);
        *q <<= 1;
        if (top || *r >= b) *r -= b, *q |= 1;
        if (w == 32) *r &= 0xffffffff, *q &= 0xffffffff;
    }
}

static bool plain(unsigned op, int w, uint32_t aux, uint64_t a, uint64_t b, uint64_t c, uint64_t *out)
{
    uint64_t m = w == 64 ? UINT64_MAX : 0xffffffffu, r = 0, hi, lo, q, rem;
    int pos = (int)(aux & 0xff), len = (int)(aux >> 8 & 0xff), n;
    switch (op) {
    case OP_MOV: r = a; break;
    case OP_ZX8: r = a % 256; break;
    case OP_ZX16: r = a % 65536; break;
    case OP_ZX32: r = a % (UINT64_C(1) << 32); break;
    case OP_SX8: r = bit(a, 7) ? a | ~UINT64_C(0xff) : a & 0xff; break;
    case OP_SX16: r = bit(a, 15) ? a | ~UINT64_C(0xffff) : a & 0xffff; break;
    case OP_SX32: r = bit(a, 31) ? a | ~UINT64_C(0xffffffff) : a & 0xffffffff; break;
    case OP_BSWAP: for (int i = 0; i < w / 8; i++) r |= (a >> 8 * i & 0xff) << (w - 8 - 8 * i); break;
    case OP_BSWAP16X: for (int i = 0; i < w; i += 16) r |= (a >> i & 0xff) << (i + 8) | (a >> (i + 8) & 0xff) << i; break;
    case OP_EXTRACT: for (int i = 0; i < len; i++) r |= (uint64_t)bit(a, pos + i) << i; break;
    case OP_SEXTRACT: for (int i = 0; i < w; i++) r |= (uint64_t)bit(a, pos + (i < len ? i : len - 1)) << i; break;
    case OP_DEPOSIT: for (int i = 0; i < w; i++) r |= (uint64_t)(i >= pos && i < pos + len ? bit(b, i - pos) : bit(a, i)) << i; break;
    case OP_SELECT: r = a ? b : c; break;
    case OP_ADD: sum3(a, b, 0, w, &r); break;
    case OP_ADDC: sum3(a, b, c, w, &r); break;
    case OP_ADDCC: { uint64_t t; int k = sum3(a, b, 0, w, &t); r = (uint64_t)(k | sum3(t, c, 0, w, &t)); break; }
    case OP_SUB: sum3(a, ~b & m, 1, w, &r); break;
    case OP_SUBC: sum3(a, ~b & m, 1, w, &r); sum3(r, ~c & m, 1, w, &r); break;
    case OP_SUBCC: { uint64_t t; int k = !sum3(a, ~b & m, 1, w, &t); r = (uint64_t)(k | !sum3(t, ~c & m, 1, w, &t)); break; }
    case OP_ADDOV: { if (c > 1) return false; uint64_t t; sum3(a, b, c, w, &t); r = bit(a, w - 1) == bit(b, w - 1) && bit(t, w - 1) != bit(a, w - 1); break; }
    case OP_SUBOV: { if (c > 1) return false; uint64_t t; sum3(a, ~b & m, 1, w, &t); sum3(t, ~c & m, 1, w, &t); r = bit(a, w - 1) != bit(b, w - 1) && bit(t, w - 1) != bit(a, w - 1); break; }
    case OP_AND: for (int i = 0; i < w; i++) r |= (uint64_t)(bit(a, i) && bit(b, i)) << i; break;
    case OP_OR: for (int i = 0; i < w; i++) r |= (uint64_t)(bit(a, i) || bit(b, i)) << i; break;
    case OP_XOR: for (int i = 0; i < w; i++) r |= (uint64_t)(bit(a, i) != bit(b, i)) << i; break;
    case OP_ANDC: for (int i = 0; i < w; i++) r |= (uint64_t)(bit(a, i) && !bit(b, i)) << i; break;
    case OP_ORC: for (int i = 0; i < w; i++) r |= (uint64_t)(bit(a, i) || !bit(b, i)) << i; break;
    case OP_EQV: for (int i = 0; i < w; i++) r |= (uint64_t)(bit(a, i) == bit(b, i)) << i; break;
    case OP_NAND: for (int i = 0; i < w; i++) r |= (uint64_t)!(bit(a, i) && bit(b, i)) << i; break;
    case OP_NOR: for (int i = 0; i < w; i++) r |= (uint64_t)!(bit(a, i) || bit(b, i)) << i; break;
    case OP_NOT: for (int i = 0; i < w; i++) r |= (uint64_t)!bit(a, i) << i; break;
    case OP_NEG: sum3(~a & m, 0, 1, w, &r); break;
    case OP_SHL: for (int i = 0; i < w; i++) if ((uint64_t)i >= b) r |= (uint64_t)bit(a, i - (int)b) << i; break;
    case OP_SHR: for (int i = 0; i < w; i++) if (b < (uint64_t)w && i + (int)b < w) r |= (uint64_t)bit(a, i + (int)b) << i; break;
    case OP_SAR: for (int i = 0; i < w; i++) r |= (uint64_t)bit(a, b < (uint64_t)w && i + (int)b < w ? i + (int)b : w - 1) << i; break;
    case OP_ROTR: for (int i = 0; i < w; i++) r |= (uint64_t)bit(a, (int)(((uint64_t)i + b % (unsigned)w) % (unsigned)w)) << i; break;
    case OP_ROTL: for (int i = 0; i < w; i++) r |= (uint64_t)bit(a, i) << ((uint64_t)i + b % (unsigned)w) % (unsigned)w; break;
    case OP_MUL: product(a, b, w, &hi, &r); break;
    case OP_MULHU: product(a, b, w, &r, &lo); break;
    case OP_MULHS: case OP_MULHSU:
        product(a, b, w, &r, &lo);
        if (bit(a, w - 1)) r -= b;
        if (op == OP_MULHS && bit(b, w - 1)) r -= a;
        break;
    case OP_DIVU: if (b) divide(a, b, w, &r, &rem); break;
    case OP_REMU: if (b) divide(a, b, w, &q, &r); else r = a; break;
    case OP_DIVS: case OP_REMS: {
        uint64_t ua = bit(a, w - 1) ? (0 - a) & m : a, ub = bit(b, w - 1) ? (0 - b) & m : b;
        if (!b) { r = op == OP_REMS ? a : 0; break; }
        divide(ua, ub, w, &q, &rem);
        r = op == OP_DIVS ? (bit(a, w - 1) != bit(b, w - 1) ? 0 - q : q) : bit(a, w - 1) ? 0 - rem : rem;
        break;
    }
    case OP_CLZ: for (n = 0; n < w && !bit(a, w - 1 - n); n++) {} r = (uint64_t)n; break;
    case OP_CTZ: for (n = 0; n < w && !bit(a, n); n++) {} r = (uint64_t)n; break;
    case OP_CLS: for (n = 1; n < w && bit(a, w - 1 - n) == bit(a, w - 1); n++) {} r = (uint64_t)(n - 1); break;
    case OP_POPCNT: for (int i = 0; i < w; i++) r += (uint64_t)bit(a, i); break;
    case OP_BITREV: for (int i = 0; i < w; i++) r |= (uint64_t)bit(a, i) << (w - 1 - i); break;
    case OP_MINU: r = a > b ? b : a; break;
    case OP_MAXU: r = a > b ? a : b; break;
    case OP_MINS: r = sgn(a, w) > sgn(b, w) ? b : a; break;
    case OP_MAXS: r = sgn(a, w) > sgn(b, w) ? a : b; break;
    case OP_DIVU2: if (c) divide2(a, b, c, w, &r, &rem); break;
    case OP_REMU2: if (c) divide2(a, b, c, w, &q, &r); else r = b; break;
    case OP_MERGE: for (int i = 0; i < w; i++) r |= (uint64_t)(bit(c, i) ? bit(b, i) : bit(a, i)) << i; break;
    case OP_CMP3S: case OP_CMP3U: {
        int nibble = a == b ? 1 : (op == OP_CMP3S ? sgn(a, w) < sgn(b, w) : a < b) ? 2 : 0;
        for (int i = 0; i < 4; i++) r |= (uint64_t)bit(c, 4 * nibble + i) << i;
        break;
    }
    case OP_LO: r = a % (UINT64_C(1) << 32); break;
    case OP_HI: r = a / (UINT64_C(1) << 32); break;
    case OP_ZXW: r = a; break;
    case OP_SXW: r = (uint64_t)sgn(a, 32); break;
    case OP_CONCAT: r = a + b * (UINT64_C(1) << 32); break;
    default: return false;
    }
    *out = r & (op == OP_SXW || op == OP_CONCAT || op == OP_ZXW ? UINT64_MAX : op == OP_LO || op == OP_HI ? 0xffffffffu : m);
    return true;
}

static bool only64(unsigned op) { return op == OP_ZX32 || op == OP_SX32; }

static void test_l0(unsigned rounds)
{
    for (unsigned op = 0; op < OP_COUNT; op++) {
        unsigned cls = ir_op_info[op].cls, bad = 0;
        if (cls != CLASS_PURE && cls != CLASS_CONV) continue;
        for (unsigned type = T_I32; type <= T_I64; type++) {
            int w = type == T_I64 ? 64 : 32;
            if (type == T_I32 && only64(op)) continue;
            unsigned in = op == OP_ZXW || op == OP_SXW || op == OP_CONCAT ? (unsigned)T_I32 : op == OP_LO || op == OP_HI ? (unsigned)T_I64 : type;
            for (unsigned i = 0; i < rounds && bad < 3; i++) {
                uint64_t a = value(in), b = value(in), c = value(in), want;
                unsigned pos = below((unsigned)w), len = 1 + below((unsigned)w - pos);
                uint32_t aux = pos | len << 8;
                if (op == OP_ADDC || op == OP_ADDCC || op == OP_SUBC || op == OP_SUBCC || op == OP_ADDOV || op == OP_SUBOV) c &= 1;
                if (!plain(op, w, aux, a, b, c, &want)) {
                    printf("L0: no plain definition of %s\n", ir_op_info[op].name);
                    bad++;
                    break;
                }
                uint64_t got = eval_pure(op, type, aux, a, b, c);
                if (got != want) {
                    printf("L0: %s%d(0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ") aux 0x%x = 0x%" PRIx64 ", want 0x%" PRIx64 "\n", ir_op_info[op].name, w,
                           a, b, c, aux, got, want);
                    bad++;
                }
            }
        }
        if (bad) failed++;
        else passed++;
    }
    static const char rel[CC_COUNT] = { [CC_EQ] = 'e', [CC_NE] = 'E', [CC_LTU] = 'u', [CC_GEU] = 'U', [CC_LEU] = 'v', [CC_GTU] = 'V',
                                        [CC_LTS] = 's', [CC_GES] = 'S', [CC_LES] = 't', [CC_GTS] = 'T', [CC_TZ] = 'z', [CC_TNZ] = 'Z' };
    unsigned bad = 0;
    for (unsigned cc = 0; cc < CC_COUNT; cc++) {
        for (unsigned i = 0; i < rounds * 2; i++) {
            unsigned type = i & 1;
            uint64_t a = value(type), b = below(4) ? value(type) : a;
            int w = type == T_I64 ? 64 : 32;
            uint64_t and = 0;
            for (int k = 0; k < w; k++) and |= (uint64_t)(bit(a, k) & bit(b, k)) << k;
            bool want;
            switch (rel[cc] | 0x20) {
            case 'e': want = a == b; break;
            case 'u': want = a < b; break;
            case 'v': want = a <= b; break;
            case 's': want = sgn(a, w) < sgn(b, w); break;
            case 't': want = sgn(a, w) <= sgn(b, w); break;
            default: want = and == 0; break;
            }
            if (rel[cc] < 'a') want = !want;
            bad += eval_cond(cc, type, a, b) != want || eval_cond(ir_cond_inverse[cc], type, a, b) == want ||
                   eval_cond(ir_cond_swapped[cc], type, b, a) != want;
        }
    }
    if (bad) failed++, printf("L0: %u wrong conditions\n", bad);
    else passed++;
}

/* ---- L1: a toy guest whose "code" is random IR ------------------------------------------------------ */

enum { N32 = 8, N64 = 8, S_PC = N32 + N64, S_KEY, S_COUNT, MEM_SIZE = 3 * 4096 };
struct toy {
    struct cpu c;
    uint32_t r[N32];
    uint64_t q[N64];
    uint32_t pc;
};
static struct slot_desc toy_slots[S_COUNT];

static uint64_t h_mix(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)c;
    return (a ^ b << 7 ^ d << 13) * UINT64_C(0x9e3779b97f4a7c15);
}
static uint64_t h_bump(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct toy *t = (struct toy *)c;
    (void)b, (void)d;
    t->q[1] += a + t->r[2];
    t->r[3] ^= (uint32_t)cpu_icount(c);
    return t->q[1];
}
static uint64_t h_raise(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)d;
    if ((a & 7) == 3) {
        c->exc = (struct exception){ 77, (uint32_t)b, a };
        cpu_raise(c);
    }
    return a + 1;
}
static const struct helper_desc toy_helpers[] = {
    { "mix", h_mix, HELPER_PURE, 0, 0 },
    { "bump", h_bump, 0, SLOTS_ALL, SLOTS_ALL },
    { "raise", h_raise, HELPER_RAISE, SLOTS_ALL, 0 },
};
static uint64_t toy_seed; /* the program: a block's IR is a function of this and its pc */

static ir_id src(struct ir_builder *b, unsigned type, const ir_id *temps, unsigned n_temps)
{
    unsigned k = below(10);
    if (k < 3) return ir_const(b, (enum ir_type)type, value(type));
    if (k < 6 && n_temps) {
        ir_id t = temps[below(n_temps)];
        if (b->blk.temp_type[t - IR_TEMP] == type) return t;
    }
    return type == T_I32 ? (ir_id)below(N32) : (ir_id)(N32 + below(N64));
}

static void random_insn(struct ir_builder *b, ir_id *temps, unsigned *n_temps)
{
    unsigned n = 1 + below(4);
    unsigned label = 0;
    bool open = false, left = false;

    for (unsigned i = 0; i < n; i++) {
        unsigned type = below(2), op;
        ir_id d;
        if (!open && !below(3) && *n_temps < 20) d = ir_temp(b, (enum ir_type)type);
        else d = type == T_I32 ? (ir_id)below(N32) : (ir_id)(N32 + below(N64));
#define SRC(t) src(b, t, temps, *n_temps)
        unsigned what = below(16);
        /* what can fault comes first: an instruction may be run again from its start */
        if (i && (what == 2 || what == 3 || what == 6)) what = 9;
        switch (what) {
        default:
            do op = below(OP_COUNT);
            while (ir_op_info[op].cls != CLASS_PURE || only64(op));
            {
                ir_id x = SRC(type), y = SRC(type), z = SRC(type);
                if (op == OP_EXTRACT || op == OP_SEXTRACT || op == OP_DEPOSIT) {
                    unsigned w = type == T_I64 ? 64 : 32, pos = below(w), len = 1 + below(w - pos);
                    if (op == OP_DEPOSIT) ir_deposit(b, (enum ir_type)type, d, x, y, pos, len);
                    else ir_bits(b, op, (enum ir_type)type, d, x, pos, len);
                } else if (ir_op_info[op].n_in == 1) ir_op1(b, op, (enum ir_type)type, d, x);
                else if (ir_op_info[op].n_in == 2) ir_op2(b, op, (enum ir_type)type, d, x, y);
                else ir_op3(b, op, (enum ir_type)type, d, x, y, z);
            }
            break;
        case 0:
            if (type == T_I32) ir_conv(b, below(2) ? OP_LO : OP_HI, d, SRC(T_I64));
            else if (below(3)) ir_conv(b, below(2) ? OP_ZXW : OP_SXW, d, SRC(T_I32));
            else ir_op2(b, OP_CONCAT, T_I64, d, SRC(T_I32), SRC(T_I32));
            break;
        case 1: ir_setc(b, (enum ir_type)type, (enum ir_cond)below(CC_COUNT), d, SRC(type), SRC(type)); break;
        case 2: case 3: { /* memory: mostly inside the window */
            unsigned at = below(2), sz = below(type == T_I64 ? 4 : 3), mem = sz | (below(2) ? IR_MS : 0) | (below(2) ? IR_MBE : 0) | (below(2) ? IR_MALIGN : 0);
            ir_id a = SRC(at);
            if (below(8)) {
                ir_id t = ir_temp(b, (enum ir_type)at), u = ir_temp(b, (enum ir_type)at);
                ir_op2(b, OP_AND, (enum ir_type)at, t, a, ir_const(b, (enum ir_type)at, mem & IR_MALIGN ? 0x1ff8 : 0x1fff));
                ir_op2(b, OP_ADD, (enum ir_type)at, u, t, ir_const(b, (enum ir_type)at, 256));
                a = u;
            }
            int disp = (int)below(64) * 8 - 256;
            if (!below(5)) ir_rmw(b, (enum ir_type)type, (enum ir_rmw)below(9), d, a, SRC(type), mem, 0);
            else if (!below(4)) {
                unsigned j = below(N64);
                mem = (mem & ~(unsigned)IR_MS) | (below(2) ? IR_MPAIR : 0) | below(4) << 6;
                if (below(2)) ir_ld2(b, (ir_id)(N32 + j), (ir_id)(N32 + (j + 1 + below(N64 - 1)) % N64), a, disp, mem, 0);
                else ir_st2(b, SRC(T_I64), SRC(T_I64), a, disp, mem, 0);
            }
            else if (!below(5)) ir_cas(b, (enum ir_type)type, d, a, SRC(type), SRC(type), mem, 0);
            else if (below(2)) ir_ld(b, (enum ir_type)type, d, a, disp, mem | below(4) << 6, 0);
            else ir_st(b, (enum ir_type)type, SRC(type), a, disp, (mem & ~(unsigned)IR_MS) | below(4) << 6, 0);
            break;
        }
        case 4:
            op = OP_FADD + below(5);
            if (op == OP_FSQRT) ir_op1(b, op, (enum ir_type)type, d, SRC(type));
            else ir_op2(b, op, (enum ir_type)type, d, SRC(type), SRC(type));
            break;
        case 5:
            if (type == T_I32) {
                switch (below(4)) {
                case 0: ir_fcmp(b, T_I64, below(32), d, SRC(T_I64), SRC(T_I64)); break;
                case 1: ir_conv(b, OP_F64_F32, d, SRC(T_I64)); break;
                case 2: ir_f2i(b, OP_F64_I32, d, SRC(T_I64), below(4), (enum ir_f2i)below(4)); break;
                default: ir_conv(b, OP_I64_F32, d, SRC(T_I64)); break;
                }
            } else {
                switch (below(4)) {
                case 0: ir_conv(b, OP_F32_F64, d, SRC(T_I32)); break;
                case 1: ir_conv(b, OP_I32_F64, d, SRC(T_I32)); break;
                case 2: ir_f2i(b, OP_F32_I64, d, SRC(T_I32), below(4), (enum ir_f2i)below(4)); break;
                default: ir_conv(b, OP_I64_F64, d, SRC(T_I64)); break;
                }
            }
            break;
        case 6: ir_call(b, below(8) ? 0 : 1 + below(2), (enum ir_type)type, d, SRC(type), SRC(T_I32), SRC(T_I64)); break;
        case 7:
            if (!open && below(2)) {
                label = ir_label(b);
                open = true;
                ir_brl(b, (enum ir_type)type, (enum ir_cond)below(CC_COUNT), SRC(type), SRC(type), label);
            }
            break;
        case 8:
            if ((b->pc & 12) == 8 && !open && !left) { /* at most four in a block */
                left = true;
                unsigned l = ir_link(b, 0x1000 + below(64) * 16, b->blk.key, 0);
                ir_brc(b, (enum ir_type)type, (enum ir_cond)below(CC_COUNT), SRC(type), SRC(type), l);
            }
            break;
        }
        if (ir_is_temp(d)) { /* temporaries become sources once surely written */
            if (b->blk.n_ops && b->blk.ops[b->blk.n_ops - 1].d == d && !open) temps[(*n_temps)++] = d;
        }
    }
    if (open) ir_place(b, label);
}

/* A block may be cut anywhere and must then go on as the whole would have: all choices are functions of the pc. */
static void reseed(uint64_t pc, unsigned what)
{
    rng_state = (toy_seed ^ pc) * UINT64_C(0x9e3779b97f4a7c15) + what;
    if (!rng_state) rng_state = 1;
    rnd(), rnd(), rnd();
}

static void toy_translate(struct ir_builder *b)
{
    uint64_t keep = rng_state;
    ir_id temps[64];
    uint64_t pc = b->blk.pc;

    for (;; pc += 4) {
        unsigned n_temps = 0;
        if (!ir_insn(b, pc, 4, 0)) {
            ir_goto(b, ir_link(b, pc, b->blk.key, 0));
            goto out;
        }
        reseed(pc, 0);
        random_insn(b, temps, &n_temps);
        reseed(pc, 1);
        if (below(4) == 0 || (pc & 0x3c) == 0x3c) break;
    }
    ir_id t = ir_temp(b, T_I32), u = ir_temp(b, T_I32);
    switch (below(3)) {
    case 0: ir_goto(b, ir_link(b, 0x1000 + below(64) * 16, b->blk.key, 0)); break;
    case 1:
        ir_op2(b, OP_AND, T_I32, t, (ir_id)below(N32), ir_c32(b, 63 << 4));
        ir_op2(b, OP_ADD, T_I32, u, t, ir_c32(b, 0x1000));
        ir_ind(b, T_I32, u, 0);
        break;
    default: {
        unsigned l = ir_link(b, 0x1000 + below(64) * 16, b->blk.key, 0);
        ir_brc(b, T_I32, (enum ir_cond)below(CC_COUNT), (ir_id)below(N32), (ir_id)below(N32), l);
        ir_goto(b, ir_link(b, 0x1000 + below(64) * 16, b->blk.key, 0));
    }
    }
out:
    rng_state = keep;
}

static bool toy_mmu(struct cpu *c, uint64_t va, enum mem_access acc, unsigned mode, bool probe, struct mmu_hit *h)
{
    (void)mode;
    if (va >= 2 * MEM_SIZE || (acc == ACCESS_WRITE && (va & 0x700) == 0x700 && va < 0x800)) {
        if (!probe) c->exc = (struct exception){ 88, (uint32_t)acc, va };
        return false;
    }
    *h = (struct mmu_hit){ va, MMU_R | MMU_X | (va < 0x1000 ? 0 : MMU_W), 12, false, false };
    if (acc == ACCESS_WRITE && va < 0x1000) { /* page 0: read only */
        if (!probe) c->exc = (struct exception){ 89, 0, va };
        return false;
    }
    return true;
}
static void toy_fault(struct cpu *c, enum mem_fault f, enum mem_access acc, uint64_t va) { c->exc = (struct exception){ 90 + (uint32_t)f, (uint32_t)acc, va }; }
static void toy_exception(struct cpu *c)
{
    struct toy *t = (struct toy *)c;
    t->q[0] = t->q[0] * 31 + c->exc.code + c->exc.addr * 7 + t->pc;
    t->r[0] += (uint32_t)cpu_icount(c);
    t->pc = 0x1000 + ((t->pc * 5 + 16) & (63 << 4));
}
static bool toy_interrupt(struct cpu *c) { (void)c; return false; }
static bool toy_work(struct cpu *c) { (void)c; return true; }
static unsigned toy_mode(struct cpu *c) { (void)c; return 0; }

static const struct guest toy_guest = {
    .name = "toy", .slots = toy_slots, .n_slots = S_COUNT, .helpers = toy_helpers, .n_helpers = ARRAY_LEN(toy_helpers), .pc_slot = S_PC,
    .addr_type = T_I32, .cpu_size = sizeof(struct toy), .translate = toy_translate, .mmu = toy_mmu, .fault = toy_fault, .exception = toy_exception,
    .interrupt = toy_interrupt, .has_work = toy_work, .mmu_mode = toy_mode,
};

/* Pages 0..2 are RAM, 3..5 a device that hashes what it sees, with time. */
struct toy_bus { uint8_t *ram; uint64_t dev; };
static void toy_phys(void *bus, uint64_t pa, struct phys_page *p)
{
    if (pa < MEM_SIZE) p->host = ((struct toy_bus *)bus)->ram + pa;
}
static bool toy_read(void *bus, struct cpu *c, uint64_t pa, unsigned size, uint64_t *v)
{
    struct toy_bus *t = bus;
    t->dev = t->dev * 33 + pa + size + cpu_icount(c);
    *v = t->dev >> 8;
    return pa < MEM_SIZE * 2 - 16;
}
static bool toy_write(void *bus, struct cpu *c, uint64_t pa, unsigned size, uint64_t v)
{
    struct toy_bus *t = bus;
    t->dev = (t->dev ^ v) * 37 + pa + size + cpu_icount(c);
    return pa < MEM_SIZE * 2 - 16;
}
static const struct cpu_world toy_world = { .phys_page = toy_phys, .mmio_read = toy_read, .mmio_write = toy_write };

static uint64_t jit_regions, jit_refused, jit_ops;

struct outcome { uint32_t r[N32], pc, kind; uint64_t q[N64], dev, icount, mem; unsigned fp; };

static void run_one(const struct engine_config *cfg, uint64_t seed, struct outcome *o, unsigned steps)
{
    struct error e = ERROR_INIT;
    struct engine *eng = engine_new(cfg, &e);
    struct toy_bus bus = { NULL, seed };
    void *mem = mem_zalloc(MEM_SIZE + 4096);
    bus.ram = (uint8_t *)ALIGN_UP((uintptr_t)mem, (uintptr_t)4096);
    struct toy *t = (struct toy *)cpu_new(&toy_guest, &toy_world, eng, &bus, 0);

    toy_seed = seed;
    rng_state = seed * 2 + 1;
    for (unsigned i = 0; i < N32; i++) t->r[i] = (uint32_t)value(T_I32);
    for (unsigned i = 0; i < N64; i++) t->q[i] = value(T_I64);
    for (unsigned i = 0; i < MEM_SIZE; i += 8) st64_le(bus.ram + i, rnd());
    t->pc = 0x1000;
    memset(o, 0, sizeof *o);
    for (unsigned s = 0; s < steps; s++) {
        unsigned budget = 1 + below(200);
        enum run_exit x = engine_run(&t->c, budget);
        o->kind = o->kind * 7 + x;
    }
    memcpy(o->r, t->r, sizeof o->r);
    memcpy(o->q, t->q, sizeof o->q);
    o->pc = t->pc, o->dev = bus.dev, o->icount = cpu_icount(&t->c), o->fp = cpu_fp_flags(&t->c) & ~(unsigned)FP_IN_DENORMAL;
    for (unsigned i = 0; i < MEM_SIZE; i += 8) o->mem = (o->mem ^ ld64_le(bus.ram + i)) * UINT64_C(0x100000001b3);
    struct jit_stats js;
    jit_get_stats(eng, &js);
    for (unsigned i = 1; i < 3; i++) jit_regions += js.tier[i].regions, jit_refused += js.tier[i].refused, jit_ops += js.tier[i].ir_ops;
    cpu_delete(&t->c);
    engine_delete(eng);
    free(mem);
}

/* jit: not the interpreters but this. */
static void test_l1(unsigned programs, uint64_t first, const struct jit_backend *jit, unsigned threshold)
{
    static const struct engine_config variants[] = {
        { .mode = ENGINE_FAST },
        { .mode = ENGINE_FAST, .portable_switch = true },
        { .mode = ENGINE_FAST, .soft_fp = true, .no_fuse = true },
        { .mode = ENGINE_FAST, .max_block = 1 },
        { .mode = ENGINE_FAST, .max_block = 3, .cache_size = 20000 },
        { .mode = ENGINE_FAST, .backend = &jit_null_backend, .threshold = 1, .threshold2 = 3, .sync = true },
#if defined HAVE_JIT_NATIVE
        { .mode = ENGINE_FAST, .backend = &jit_native_backend, .threshold = 1, .threshold2 = 1000000, .sync = true },
        { .mode = ENGINE_FAST, .backend = &jit_native_backend, .threshold = 1, .threshold2 = 2, .sync = true },
        { .mode = ENGINE_FAST, .backend = &jit_native_backend, .chaos = 77, .sync = true },
        { .mode = ENGINE_FAST, .backend = &jit_native_backend, .threshold = 1, .soft_fp = true, .max_block = 3 },
#endif
    };
    const struct engine_config by_jit[] = { { .mode = ENGINE_FAST, .backend = jit, .sync = true, .threshold = 1, .threshold2 = threshold } };
    const struct engine_config *list = jit ? by_jit : variants;
    struct engine_config ref = { .mode = ENGINE_REF };
    unsigned bad = 0;

    for (unsigned i = 0; i < S_COUNT; i++) toy_slots[i].name = "s";
    for (unsigned i = 0; i < N32; i++) toy_slots[i] = (struct slot_desc){ "r", offsetof(struct toy, r) + 4 * i, T_I32, SLOT_GPR };
    for (unsigned i = 0; i < N64; i++) toy_slots[N32 + i] = (struct slot_desc){ "q", offsetof(struct toy, q) + 8 * i, T_I64, SLOT_GPR };
    toy_slots[S_PC] = (struct slot_desc){ "pc", offsetof(struct toy, pc), T_I32, SLOT_PC };
    toy_slots[S_KEY] = (struct slot_desc){ "key", offsetof(struct toy, c.key), T_I64, SLOT_MODE };
    for (unsigned p = 0; p < programs && bad < 5; p++) {
        struct outcome want, got;
        uint64_t seed = first + p;
        run_one(&ref, seed, &want, 20);
        for (unsigned v = 0; v < (jit ? ARRAY_LEN(by_jit) : ARRAY_LEN(variants)); v++) {
            run_one(&list[v], seed, &got, 20);
            if (memcmp(&want, &got, sizeof want)) {
                bad++;
                printf("L1: program %" PRIu64 " variant %u differs from the reference:\n", seed, v);
                for (unsigned i = 0; i < N32; i++) if (want.r[i] != got.r[i]) printf("  r%u %08x, want %08x\n", i, got.r[i], want.r[i]);
                for (unsigned i = 0; i < N64; i++) if (want.q[i] != got.q[i]) printf("  q%u %016" PRIx64 ", want %016" PRIx64 "\n", i, got.q[i], want.q[i]);
                printf("  pc %x/%x icount %" PRIu64 "/%" PRIu64 " dev %d mem %d fp %x/%x exits %d\n", got.pc, want.pc, got.icount, want.icount,
                       got.dev == want.dev, got.mem == want.mem, got.fp, want.fp, got.kind == want.kind);
                break;
            }
        }
    }
    if (bad) failed++;
    else passed++;
}

/* test-ir [PROGRAMS [BACKEND [THRESHOLD [FIRST]]]]: with a backend, random IR by it against the reference. */
int main(int argc, char **argv)
{
    unsigned programs = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 600;
    uint64_t first = argc > 4 ? strtoull(argv[4], NULL, 0) : 1000;

    if (argc > 2) {
        struct error e = ERROR_INIT;
        register_backends();
        const struct jit_backend *jit = jit_find(argv[2], &e);
        if (!jit) {
            printf("%s\n0 passed, 0 failed, 1 skipped\n", e.msg);
            return 77;
        }
        test_l1(programs, first, jit, argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : 2);
        printf("%s: %" PRIu64 " regions of %" PRIu64 " ops, %" PRIu64 " refused\n", jit->name, jit_regions, jit_ops, jit_refused);
    } else {
        test_l0(3000);
        test_l1(programs, first, NULL, 0);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
