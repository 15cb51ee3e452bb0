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

#define FPX_OP(N, W, type, expr)                                                                   \
    static inline bool fpx_##N##W(uint##W##_t x, uint##W##_t y, uint##W##_t *z)                    \
    {                                                                                              \
        type a, b, r;                                                                              \
        memcpy(&a, &x, sizeof a);                                                                  \
        memcpy(&b, &y, sizeof b);                                                                  \
        r = expr;                                                                                  \
        memcpy(z, &r, sizeof r);                                                                   \
        return likely(r == r);                                                                     \
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
            return fpx_note(cpu, op, type, x, fpx_bits32((float)d));
        case OP_I32_F32: return fpx_note(cpu, op, type, x, fpx_bits32((float)(int32_t)x));
        case OP_I32_F64: return fpx_note(cpu, op, type, x, fpx_bits64((double)(int32_t)x));
        case OP_I64_F32: return fpx_note(cpu, op, type, x, fpx_bits32((float)(int64_t)x));
        case OP_I64_F64: return fpx_note(cpu, op, type, x, fpx_bits64((double)(int64_t)x));
        default: break;
        }
    }
    return fp_exec(cpu, op, type, 0, 0, x, 0, 0);
}

#define FPX_COMPARE(W, ftype, T)                                                                   \
    static inline uint64_t fpx_compare##W(struct cpu *cpu, unsigned mask, uint##W##_t x, uint##W##_t y) \
    {                                                                                              \
        if (likely(cpu->fp_fast && fpx_finite##W(x) && fpx_finite##W(y))) {                        \
            ftype a, b;                                                                            \
            memcpy(&a, &x, sizeof a);                                                              \
            memcpy(&b, &y, sizeof b);                                                              \
            cpu->fp_note.op = 0; /* raises nothing */                                              \
            return a < b ? mask & IR_REL_LT : a == b ? (mask & IR_REL_EQ) != 0 : (mask & IR_REL_GT) != 0; \
        }                                                                                          \
        return fp_exec(cpu, OP_FCMP, T, mask, 0, x, y, 0);                                         \
    }
FPX_COMPARE(32, float, T_I32)
FPX_COMPARE(64, double, T_I64)
#undef FPX_COMPARE

#endif
