/*
 * softfloat.c - binary16, binary32, binary64 and bfloat16 (conversions only): layouts, and the
 * functions made from the templates on a 64-bit significand.
 *
 * IEEE 754-2019, 3.4 (interchange formats). The wide formats are in softfloat-wide.c.
 */
#include "util/softfloat-parts.h"

#define FP_W 64
#include "util/softfloat-core.h"

static const struct fp_fmt f16_fmt = {11, 15, 31};
static const struct fp_fmt bf16_fmt = {8, 127, 255};
static const struct fp_fmt f32_fmt = {24, 127, 255};
static const struct fp_fmt f64_fmt = {53, 1023, 2047};

/* name, type, bits, bits of the fraction, bits of the exponent */
#define LAYOUT(f, type, bits, fbits, ebits)                                                        \
    static ATTR_INLINE struct parts64 f##_unpack(type a, struct fp_env *env)                       \
    {                                                                                              \
        return parts64_unpack(a >> (bits - 1), (a >> fbits) & ((1 << ebits) - 1),                  \
                              (uint64_t)a << (64 - fbits) >> 1, &f##_fmt, env);                    \
    }                                                                                              \
    static ATTR_INLINE type f##_pack(struct parts64 p)                                             \
    {                                                                                              \
        return (type)((uint64_t)p.sign << (bits - 1) | (uint64_t)p.exp << fbits |                  \
                      p.frac << 1 >> (64 - fbits));                                                \
    }
LAYOUT(f16, f16_t, 16, 10, 5)
LAYOUT(bf16, bf16_t, 16, 7, 8)
LAYOUT(f32, f32_t, 32, 23, 8)
LAYOUT(f64, f64_t, 64, 52, 11)

bool f16_is_nan(f16_t a) { return (a & 0x7fff) > 0x7c00; }
bool f32_is_nan(f32_t a) { return (a & 0x7fffffff) > 0x7f800000; }
bool f64_is_nan(f64_t a) { return (a & INT64_MAX) > 0x7ff0000000000000; }

#define FT                  f16
#define FT_T                f16_t
#define FT_RESULT_PREC(env) f16_fmt.prec
#define FT_ROUND_INT_DENORM 0
#include "util/softfloat-ops.h"

#define FT                  f32
#define FT_T                f32_t
#define FT_RESULT_PREC(env) f32_fmt.prec
#define FT_ROUND_INT_DENORM 0
#include "util/softfloat-ops.h"

#define FT                  f64
#define FT_T                f64_t
#define FT_RESULT_PREC(env) f64_fmt.prec
#define FT_ROUND_INT_DENORM 0
#include "util/softfloat-ops.h"

#define CONVERT(from, ft, to, tt)                                                                  \
    tt from##_to_##to(ft a, struct fp_env *env)                                                    \
    {                                                                                              \
        return to##_pack(parts64_convert(from##_unpack(a, env), &to##_fmt, env));                  \
    }
CONVERT(f16, f16_t, f32, f32_t)
CONVERT(f16, f16_t, f64, f64_t)
CONVERT(f32, f32_t, f16, f16_t)
CONVERT(f32, f32_t, bf16, bf16_t)
CONVERT(f32, f32_t, f64, f64_t)
CONVERT(f64, f64_t, f16, f16_t)
CONVERT(f64, f64_t, f32, f32_t)
CONVERT(bf16, bf16_t, f32, f32_t)
