/*
 * softfloat-wide.c - the x87 extended format and binary128: layouts, and the functions made from
 * the templates on a 128-bit significand.
 *
 * IEEE 754-2019, 3.4; for the extended format the Intel SDM volume 1, 4.2.2 (encodings, including
 * the ones that have had no meaning since the 387) and 8.1.5.2 (precision control), as measured on
 * processors where the manual is silent. m68k takes unnormals as numbers: not done here.
 */
#include "util/softfloat-parts.h"

#define FP_W 128
#include "util/softfloat-core.h"

static const struct fp_fmt f32_fmt = {24, 127, 255};
static const struct fp_fmt f64_fmt = {53, 1023, 2047};
static const struct fp_fmt f80_fmt = {64, 16383, 32767};
static const struct fp_fmt f128_fmt = {113, 16383, 32767};

/* binary32 and binary64 as the other end of conversions */
#define LAYOUT(f, type, bits, fbits, ebits)                                                        \
    static struct parts128 f##_unpack(type a, struct fp_env *env)                                  \
    {                                                                                              \
        return parts128_unpack(a >> (bits - 1), (a >> fbits) & ((1 << ebits) - 1),                 \
                               sig128_from_top((uint64_t)a << (64 - fbits) >> 1), &f##_fmt, env);  \
    }                                                                                              \
    static type f##_pack(struct parts128 p)                                                        \
    {                                                                                              \
        return (type)((uint64_t)p.sign << (bits - 1) | (uint64_t)p.exp << fbits |                  \
                      p.frac.hi << 1 >> (64 - fbits));                                             \
    }
LAYOUT(f32, f32_t, 32, 23, 8)
LAYOUT(f64, f64_t, 64, 52, 11)

static struct parts128 f80_unpack(f80_t a, struct fp_env *env)
{
    int32_t field = a.se & 0x7fff;
    bool integer = a.frac >> 63;
    struct parts128 r = parts128_unpack(a.se >> 15, field, sig128_from_top(a.frac << 1 >> 1),
                                        &f80_fmt, env);
    if (field && !integer) {
        r.cls = FP_CLS_BAD;
    } else if (!field && integer) {
        /* A pseudo-denormal: what denormals look like that were rounded up to the normal range. */
        bool zero = env->daz;
        if (zero) env->flags |= FP_IN_FLUSHED;
        r.cls = zero ? FP_CLS_ZERO : FP_CLS_NORMAL;
        r.frac = sig128_from_top(zero ? 0 : a.frac);
        r.exp = 1 - f80_fmt.bias;
        r.denorm = !zero;
    }
    return r;
}

static f80_t f80_pack(struct parts128 p)
{
    f80_t r;
    r.frac = p.frac.hi | (uint64_t)(p.exp != 0) << 63;
    r.se = (uint16_t)((p.sign << 15) | p.exp);
    return r;
}

static struct parts128 f128_unpack(f128_t a, struct fp_env *env)
{
    sig128_t frac = sig128_shr(sig128_shl(sig128_make(a.hi, a.lo), 16), 1);
    return parts128_unpack(a.hi >> 63, a.hi >> 48 & 0x7fff, frac, &f128_fmt, env);
}

static f128_t f128_pack(struct parts128 p)
{
    sig128_t frac = sig128_shr(sig128_shl(p.frac, 1), 16);
    f128_t r;
    r.hi = (uint64_t)p.sign << 63 | (uint64_t)p.exp << 48 | frac.hi;
    r.lo = frac.lo;
    return r;
}

bool f80_is_nan(f80_t a) { return (a.se & 0x7fff) == 0x7fff && a.frac << 1; }
bool f80_is_unsupported(f80_t a) { return (a.se & 0x7fff) && !(a.frac >> 63); }

bool f128_is_nan(f128_t a)
{
    uint64_t hi = a.hi & INT64_MAX;
    return hi > 0x7fff000000000000 || (hi == 0x7fff000000000000 && a.lo);
}

static int x87_precision(const struct fp_env *env)
{
    return env->x87_precision == 24 || env->x87_precision == 53 ? env->x87_precision : 64;
}

#define FT                      f80
#define FT_T                    f80_t
#define FT_RESULT_PREC(env)     x87_precision(env)
#define FT_ROUND_INT_DENORM     1
#include "util/softfloat-ops.h"

#define FT                      f128
#define FT_T                    f128_t
#define FT_RESULT_PREC(env)     f128_fmt.prec
#define FT_ROUND_INT_DENORM     0
#include "util/softfloat-ops.h"

#define CONVERT(from, ft, to, tt)                                                                  \
    tt from##_to_##to(ft a, struct fp_env *env)                                                    \
    {                                                                                              \
        return to##_pack(parts128_convert(from##_unpack(a, env), &to##_fmt, env));                 \
    }
CONVERT(f32, f32_t, f80, f80_t)
CONVERT(f32, f32_t, f128, f128_t)
CONVERT(f64, f64_t, f80, f80_t)
CONVERT(f64, f64_t, f128, f128_t)
CONVERT(f80, f80_t, f128, f128_t)
CONVERT(f128, f128_t, f32, f32_t)
CONVERT(f128, f128_t, f64, f64_t)
CONVERT(f128, f128_t, f80, f80_t)

/* An x87 store to memory reports no denormal operand. */
static struct parts128 f80_stored(f80_t a, const struct fp_fmt *fmt, struct fp_env *env)
{
    struct parts128 p = f80_unpack(a, env);
    p.denorm = false;
    return parts128_convert(p, fmt, env);
}

f32_t f80_to_f32(f80_t a, struct fp_env *env) { return f32_pack(f80_stored(a, &f32_fmt, env)); }
f64_t f80_to_f64(f80_t a, struct fp_env *env) { return f64_pack(f80_stored(a, &f64_fmt, env)); }
