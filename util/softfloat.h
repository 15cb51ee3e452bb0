/*
 * softfloat.h - IEEE 754 arithmetic in integer code: the authority on what a floating-point
 * operation means, on every host and in every engine.
 *
 * Values are their bit patterns. What differs between guests is data in `struct fp_env`:
 * rounding, tininess, flushing, NaN propagation. Follows IEEE 754-2019; per-guest NaN rules follow
 * the architecture manuals named at `enum fp_nan_rule`.
 */
#ifndef UTIL_SOFTFLOAT_H
#define UTIL_SOFTFLOAT_H

#include "util/host.h"

typedef uint16_t f16_t;
typedef uint16_t bf16_t;
typedef uint32_t f32_t;
typedef uint64_t f64_t;
/* x87: frac with the integer bit; se = sign (bit 15) and exponent */
typedef struct { uint64_t frac; uint16_t se; } f80_t;
typedef struct { uint64_t hi, lo; } f128_t;

enum fp_round {
    FP_RNE,  /* to nearest, ties to even */
    FP_RTZ,  /* towards zero */
    FP_RDN,  /* towards minus infinity */
    FP_RUP,  /* towards plus infinity */
    FP_RNA,  /* to nearest, ties away from zero */
    FP_RTO,  /* to odd (inexact: lowest bit set) */
};

enum fp_flag { /* sticky, in fp_env.flags */
    FP_INVALID = 1,
    FP_DIVZERO = 2,
    FP_OVERFLOW = 4,
    FP_UNDERFLOW = 8,
    FP_INEXACT = 16,
    FP_IN_DENORMAL = 32,   /* an operand was denormal and counted as such (x86 DE): never with daz,
                            * nor beside a NaN, an invalid operation or a division by zero */
    FP_FLUSHED = 64,       /* ftz made a result zero; FP_UNDERFLOW comes with it, FP_INEXACT does
                            * not: guests that report it too (x86, MIPS) add it */
    FP_IN_FLUSHED = 128,   /* daz took a denormal operand as zero (Arm IDC) */
};

/*
 * Which NaN comes out of an operation on NaNs; it comes out quiet. Where quiet is a clear bit
 * (nan_legacy) a signalling NaN becomes the default NaN, whatever the rule.
 */
enum fp_nan_rule {
    FP_NAN_SNAN_FIRST, /* first signalling operand, else first quiet one (Arm, MIPS 2008, s390x) */
    FP_NAN_FIRST,      /* first NaN operand of either kind (x86 SSE, PowerPC) */
    FP_NAN_SECOND,     /* last signalling operand, else last quiet one (SPARC) */
    FP_NAN_X87,        /* quiet before signalling; then the larger significand; then plus */
    FP_NAN_DEFAULT,    /* always the default NaN (RISC-V, SH4) */
    FP_NAN_MIPS_LEGACY /* any signalling operand: the default NaN; else first quiet operand */
};

struct fp_env {
    uint8_t round;         /* enum fp_round */
    uint8_t flags;         /* enum fp_flag, accumulated */
    uint8_t nan_rule;      /* enum fp_nan_rule */
    bool nan_legacy;       /* quiet bit inverted: highest fraction bit 1 = signalling; the default
                            * NaN is then 0x7fbfffff, 0x7ff7ffffffffffff, ... */
    bool nan_negative;     /* the default NaN has its sign bit set (x86) */
    bool nan_ones;         /* all fraction bits of the default NaN are ones (SPARC, m68k) */
    bool tiny_before;      /* tininess is detected before rounding (Arm, PowerPC), not after (x86,
                            * MIPS, RISC-V) */
    bool ftz;              /* results that would be denormal become zero of the same sign */
    bool daz;              /* denormal operands are taken as zero of the same sign */
    bool sees_denormal;    /* FP_IN_DENORMAL is a flag of the guest's: nobody may raise it in passing */
    uint8_t x87_precision; /* f80 add, sub, mul, div, sqrt round to 24, 53 or 64 bits; 0 means 64 */
    uint8_t muladd_inf_nan;/* enum fp_infzero: what inf*0 + NaN gives */
    uint8_t muladd_order;  /* enum fp_muladd_order: the operands of muladd as nan_rule sees them */
};

/* inf * 0 + qNaN in a fused multiply-add a*b+c */
enum fp_infzero {
    FP_INFZERO_DEFAULT_INVALID, /* the default NaN and INVALID (Arm, RISC-V) */
    FP_INFZERO_C_INVALID,       /* by the NaN rule, and INVALID (PowerPC) */
    FP_INFZERO_C_QUIET,         /* by the NaN rule, no flag (x86) */
};

enum fp_muladd_order {
    FP_MULADD_ABC, /* x86 */
    FP_MULADD_CAB, /* Arm */
    FP_MULADD_ACB, /* PowerPC */
};

enum fp_rel { FP_LESS = -1, FP_EQUAL = 0, FP_GREATER = 1, FP_UNORDERED = 2 };

/* Of fXX_muladd: the first two negate before the sum, the last after rounding; never a NaN. */
enum { FP_MULADD_NEG_PRODUCT = 1, FP_MULADD_NEG_ADDEND = 2, FP_MULADD_NEG_RESULT = 4 };

/*
 * Every function takes values by their bits and adds what happened to env->flags. Operands of min
 * and max compare -0 below +0.
 */
#define FP_DECLARE(f, type)                                                                        \
    type f##_add(type a, type b, struct fp_env *);                                                 \
    type f##_sub(type a, type b, struct fp_env *);                                                 \
    type f##_mul(type a, type b, struct fp_env *);                                                 \
    type f##_div(type a, type b, struct fp_env *);                                                 \
    type f##_rem(type a, type b, struct fp_env *); /* IEEE remainder (nearest quotient) */      \
    /* a - n*b, exact; n = a/b rounded to nearest even or else towards zero; *quot: n's low 64     \
     * bits, without sign */                                                                       \
    type f##_mod(type a, type b, bool nearest, uint64_t *quot, struct fp_env *);                   \
    type f##_sqrt(type a, struct fp_env *);                                                        \
    type f##_muladd(type a, type b, type c, int flags, struct fp_env *); /* a*b+c, rounded once */ \
    type f##_round_int(type a, enum fp_round, bool exact, struct fp_env *); /* exact: flag it */ \
    type f##_minnum(type a, type b, struct fp_env *); /* IEEE 754-2008 minNum */                   \
    type f##_maxnum(type a, type b, struct fp_env *);                                              \
    type f##_minnummag(type a, type b, struct fp_env *);                                           \
    type f##_maxnummag(type a, type b, struct fp_env *);                                           \
    /* 754-2019: minimum, maximum (a NaN wins); minimumNumber, maximumNumber (a number wins) */    \
    type f##_min(type a, type b, struct fp_env *);                                                 \
    type f##_max(type a, type b, struct fp_env *);                                                 \
    type f##_minnumber(type a, type b, struct fp_env *);                                           \
    type f##_maxnumber(type a, type b, struct fp_env *);                                           \
    type f##_scalbn(type a, int n, struct fp_env *); /* a * 2^n, any n */                          \
    enum fp_rel f##_compare(type a, type b, struct fp_env *);       /* signals on any NaN */       \
    enum fp_rel f##_compare_quiet(type a, type b, struct fp_env *); /* signals on sNaN only */     \
    bool f##_is_nan(type a);                                                                       \
    bool f##_is_snan(type a, const struct fp_env *);                                               \
    type f##_silence_nan(type a, const struct fp_env *);                                           \
    type f##_default_nan(const struct fp_env *);                                                   \
    /* To integers, rounding as given; out of range or NaN: INVALID and the nearest limit (NaN:    \
     * the maximum); the caller maps that to what its guest wants by looking at the operand. */    \
    int32_t f##_to_i32(type a, enum fp_round, struct fp_env *);                                    \
    int64_t f##_to_i64(type a, enum fp_round, struct fp_env *);                                    \
    uint32_t f##_to_u32(type a, enum fp_round, struct fp_env *);                                   \
    uint64_t f##_to_u64(type a, enum fp_round, struct fp_env *);                                   \
    type f##_from_i32(int32_t, struct fp_env *);                                                   \
    type f##_from_i64(int64_t, struct fp_env *);                                                   \
    type f##_from_u32(uint32_t, struct fp_env *);                                                  \
    type f##_from_u64(uint64_t, struct fp_env *);

FP_DECLARE(f16, f16_t)
FP_DECLARE(f32, f32_t)
FP_DECLARE(f64, f64_t)
FP_DECLARE(f80, f80_t)
FP_DECLARE(f128, f128_t)
#undef FP_DECLARE

/* An unnormal, pseudo-infinity or pseudo-NaN: an invalid operand, as on the 387 and later. */
bool f80_is_unsupported(f80_t a);

/* Conversions between formats: FROM_to_TO. */
#define FP_CVT(from, ft, to, tt) tt from##_to_##to(ft, struct fp_env *);
FP_CVT(f16, f16_t, f32, f32_t)   FP_CVT(f16, f16_t, f64, f64_t)
FP_CVT(f32, f32_t, f16, f16_t)   FP_CVT(f32, f32_t, f64, f64_t)   FP_CVT(f32, f32_t, f80, f80_t)
FP_CVT(f32, f32_t, f128, f128_t) FP_CVT(f32, f32_t, bf16, bf16_t) FP_CVT(bf16, bf16_t, f32, f32_t)
FP_CVT(f64, f64_t, f16, f16_t)   FP_CVT(f64, f64_t, f32, f32_t)   FP_CVT(f64, f64_t, f80, f80_t)
FP_CVT(f64, f64_t, f128, f128_t)
FP_CVT(f80, f80_t, f32, f32_t)   FP_CVT(f80, f80_t, f64, f64_t)   FP_CVT(f80, f80_t, f128, f128_t)
FP_CVT(f128, f128_t, f32, f32_t) FP_CVT(f128, f128_t, f64, f64_t) FP_CVT(f128, f128_t, f80, f80_t)
#undef FP_CVT

#endif
