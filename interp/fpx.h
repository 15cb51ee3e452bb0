/*
 * fpx.h - host floating point for the fast interpreter: used only where it provably gives softfloat's bits and flags
 * (round to nearest, finite operands, a result that is no NaN); everything else goes to fp_exec.
 */
#ifndef INTERP_FPX_H
#define INTERP_FPX_H

#include "interp/block.h"

#include <math.h>

static inline bool fpx_finite32(uint32_t x) { return (x & 0x7f800000u) != 0x7f800000u; }
static inline bool fpx_finite64(uint64_t x) { return (x & UINT64_C(0x7ff0000000000000)) != UINT64_C(0x7ff0000000000000); }

static inline bool fpx_nan32(uint32_t x) { return x << 1 > 0xff000000u; }
static inline bool fpx_nan64(uint64_t x) { return x << 1 > UINT64_C(0xffe0000000000000); }

#define f32_MIN_NORMAL 0x00800000u
#define f64_MIN_NORMAL UINT64_C(0x0010000000000000)
/* Tininess before and after rounding differ only for results that were rounded up to the smallest normal number. Where the
 * host is the one that detects it before, its underflow flag may be up for nothing: it is kept clear, so that one operation's
 * can be told, and softfloat sets the guest's. */
#if defined(__aarch64__) && defined(__linux__) && HOST_GNU
#define FP_HOST_TINY_BEFORE true
/* Has the operation that gave this result set the host's underflow flag? Clears it. */
bool fp_host_underflowed(uint64_t result);
#define FPX_TINY32(cpu, z) (((cpu)->fp_fast & FP_FAST_TINY) && unlikely(((z) & 0x7fffffffu) <= f32_MIN_NORMAL) && fp_host_underflowed(z))
#define FPX_TINY64(cpu, z) (((cpu)->fp_fast & FP_FAST_TINY) && unlikely(((z) & ~(UINT64_C(1) << 63)) <= f64_MIN_NORMAL) && fp_host_underflowed(z))
#else
#define FP_HOST_TINY_BEFORE false
#define FPX_TINY32(cpu, z) (unlikely((cpu)->fp_fast & FP_FAST_TINY) && ((z) & 0x7fffffffu) == f32_MIN_NORMAL)
#define FPX_TINY64(cpu, z) (unlikely((cpu)->fp_fast & FP_FAST_TINY) && ((z) & ~(UINT64_C(1) << 63)) == f64_MIN_NORMAL)
#endif
/* Sums that small are exact, and square roots are never small. */
#define FPX_CAN_BE_TINY(op) ((op) == OP_FMUL || (op) == OP_FDIV)

bool fp_host_has_fma(void);
float fp_host_fma32(float, float, float);
double fp_host_fma64(double, double, double);

#define FPX_OP(N, W, type, expr)                                                                   \
    static inline bool fpx_##N##W(uint##W##_t x, uint##W##_t y, uint##W##_t *z)                    \
    {                                                                                              \
        type a, b, r;                                                                              \
        memcpy(&a, &x, sizeof a);                                                                  \
        memcpy(&b, &y, sizeof b);                                                                  \
        r = expr;                                                                                  \
        memcpy(z, &r, sizeof r);                                                                   \
        return likely(!fpx_nan##W(*z)); /* by bits: comparing a denormal number raises a flag */   \
    }
/* sqrt and sqrtf are correctly rounded; by type, since the table has one expression for both */
#define FP_HOST_SQRT(a) ((void)b, _Generic((a), float: sqrtf(a), default: sqrt(a)))
#define FPOP(N, n, in, soft, host) FPX_OP(N, 32, float, host) FPX_OP(N, 64, double, host)
#include "interp/ops.def"
#undef FPX_OP

static inline uint64_t fpx_note(struct cpu *cpu, unsigned op, unsigned type, uint64_t a, uint64_t v)
{
    cpu->fp_note.a = a, cpu->fp_note.op = op | type << 16, cpu->fp_note.aux = 0;
    return v;
}

static inline uint64_t fpx_bits32(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline uint64_t fpx_bits64(double f)
{
    uint64_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline uint64_t fpx_convert(struct cpu *cpu, unsigned op, unsigned type, uint64_t x)
{
    if (likely(cpu->fp_fast)) {
        float f;
        double d;
        uint32_t w = (uint32_t)x;
        switch (op) {
        case OP_F32_F64:
            if (!fpx_finite32(w)) break;
            memcpy(&f, &w, sizeof f);
            return fpx_note(cpu, op, type, x, fpx_bits64((double)f));
        case OP_F64_F32:
            if (!fpx_finite64(x)) break;
            memcpy(&d, &x, sizeof d);
            w = (uint32_t)fpx_bits32((float)d);
            if (FPX_TINY32(cpu, w)) break;
            return fpx_note(cpu, op, type, x, w);
        case OP_I32_F32: return fpx_note(cpu, op, type, x, fpx_bits32((float)(int32_t)x));
        case OP_I32_F64: return fpx_note(cpu, op, type, x, fpx_bits64((double)(int32_t)x));
        case OP_I64_F32: return fpx_note(cpu, op, type, x, fpx_bits32((float)(int64_t)x));
        case OP_I64_F64: return fpx_note(cpu, op, type, x, fpx_bits64((double)(int64_t)x));
        case OP_U64_F32:
            if (x >> 63) break;
            return fpx_note(cpu, op, type, x, fpx_bits32((float)(int64_t)x));
        case OP_U64_F64:
            if (x >> 63) break;
            return fpx_note(cpu, op, type, x, fpx_bits64((double)(int64_t)x));
        default: break;
        }
    }
    return fp_exec(cpu, op, type, 0, 0, x, 0, 0);
}

#define FPX_EXP32(x) ((int)((x) >> 23 & 0xff) - 127)
#define FPX_EXP64(x) ((int)((x) >> 52 & 0x7ff) - 1023)
#define FPX_COMPARE(W, ftype, T)                                                                   \
    static inline uint64_t fpx_compare##W(struct cpu *cpu, unsigned mask, uint##W##_t x, uint##W##_t y) \
    {                                                                                              \
        if (likely(cpu->fp_fast && fpx_finite##W(x) && fpx_finite##W(y))) {                        \
            ftype a, b;                                                                            \
            memcpy(&a, &x, sizeof a);                                                              \
            memcpy(&b, &y, sizeof b);                                                              \
            /* raises nothing, and that must be told: per-operation flags of before are gone */    \
            cpu->fp_note.a = x, cpu->fp_note.b = y, cpu->fp_note.op = OP_FCMP | T << 16, cpu->fp_note.aux = 0; \
            return a < b ? mask & IR_REL_LT : a == b ? (mask & IR_REL_EQ) != 0 : (mask & IR_REL_GT) != 0; \
        }                                                                                          \
        return fp_exec(cpu, OP_FCMP, T, mask, 0, x, y, 0);                                         \
    }                                                                                              \
    static inline uint64_t fpx_relation##W(struct cpu *cpu, uint32_t values, unsigned signal, uint##W##_t x, uint##W##_t y) \
    {                                                                                              \
        if (likely(cpu->fp_fast && fpx_finite##W(x) && fpx_finite##W(y))) {                        \
            ftype a, b;                                                                            \
            memcpy(&a, &x, sizeof a);                                                              \
            memcpy(&b, &y, sizeof b);                                                              \
            cpu->fp_note.a = x, cpu->fp_note.b = y, cpu->fp_note.op = OP_FCMP | T << 16, cpu->fp_note.aux = values; \
            return values >> (a < b ? 0 : a == b ? 8 : 16) & 0xff;                                 \
        }                                                                                          \
        return fp_exec(cpu, OP_FCMP, T, signal, values, x, y, 0);                                  \
    }                                                                                              \
    static inline uint64_t fpx_fma##W(struct cpu *cpu, unsigned how, uint##W##_t x, uint##W##_t y, uint##W##_t z) \
    {                                                                                              \
        if (likely((cpu->fp_fast & FP_FAST_FMA) && fpx_finite##W(x) && fpx_finite##W(y) && fpx_finite##W(z))) { \
            const uint##W##_t sign = (uint##W##_t)1 << (W - 1);                                    \
            uint##W##_t nx = how & FP_MULADD_NEG_PRODUCT ? x ^ sign : x, nz = how & FP_MULADD_NEG_ADDEND ? z ^ sign : z, v; \
            ftype a, b, c;                                                                         \
            memcpy(&a, &nx, sizeof a);                                                             \
            memcpy(&b, &y, sizeof b);                                                              \
            memcpy(&c, &nz, sizeof c);                                                             \
            a = fp_host_fma##W(a, b, c);                                                           \
            memcpy(&v, &a, sizeof v);                                                              \
            if (!FPX_TINY##W(cpu, v)) {                                                            \
                cpu->fp_note = (struct fp_note){ x, y, z, OP_FMA | T << 16 | how << 24, 0 };       \
                return how & FP_MULADD_NEG_RESULT ? v ^ sign : v;                                  \
            }                                                                                      \
        }                                                                                          \
        return fp_exec(cpu, OP_FMA, T, how, 0, x, y, z);                                           \
    }                                                                                              \
    static inline uint64_t fpx_to_int##W(struct cpu *cpu, unsigned op, unsigned type, uint32_t aux, uint##W##_t x) \
    {                                                                                              \
        /* truncation of what surely fits */                                                       \
        if (likely(cpu->fp_fast && (aux & 15) == FP_RTZ && fpx_finite##W(x))) {                    \
            ftype a;                                                                               \
            memcpy(&a, &x, sizeof a);                                                              \
            if (FPX_EXP##W(x) < (type == T_I32 ? 31 : 63)) { /* less than 2 to that */             \
                cpu->fp_note.a = x, cpu->fp_note.op = op | type << 16, cpu->fp_note.aux = aux;     \
                return type == T_I32 ? (uint32_t)(int32_t)a : (uint64_t)(int64_t)a;                \
            }                                                                                      \
        }                                                                                          \
        return fp_exec(cpu, op, type, 0, aux, x, 0, 0);                                            \
    }
FPX_COMPARE(32, float, T_I32)
FPX_COMPARE(64, double, T_I64)
#undef FPX_COMPARE

#endif
