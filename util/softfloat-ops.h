/*
 * softfloat-ops.h - the public functions of one format: a template over softfloat-core.h.
 *
 * The includer defines FT (the prefix, as in f64), FT_T (the value's type), FP_W (the core's
 * width), FT_RESULT_PREC(env) (bits that add, sub, mul, div, sqrt and muladd round to),
 * FT_ROUND_INT_DENORM (rounding to integers reports denormal operands: the x87 does, SSE does
 * not), and has written
 *     static const struct fp_fmt FT_fmt;
 *     static struct partsW FT_unpack(FT_T, struct fp_env *);
 *     static FT_T FT_pack(struct partsW rounded);
 */
#define FP_CAT_(a, b, c) a##b##c
#define FP_CAT(a, b, c)  FP_CAT_(a, b, c)
#define F(name)          FP_CAT(FT, _, name)
#define PARTS            FP_CAT(parts, FP_W, )
#define P(name)          FP_CAT(parts, FP_W, _##name)

/* The end of the operations that the x87's precision control narrows, and of all others. */
static ATTR_INLINE FT_T F(finish)(struct PARTS p, struct fp_env *env)
{
    return F(pack)(P(round)(p, &F(fmt), FT_RESULT_PREC(env), env));
}

static ATTR_NOINLINE FT_T F(finish_full)(struct PARTS p, struct fp_env *env)
{
    return F(pack)(P(round)(p, &F(fmt), F(fmt).prec, env));
}

/* For what is rarely used: not in line. */
static ATTR_NOINLINE struct PARTS F(load)(FT_T a, struct fp_env *env)
{
    return F(unpack)(a, env);
}

FT_T F(add)(FT_T a, FT_T b, struct fp_env *env)
{
    return F(finish)(P(add)(F(unpack)(a, env), F(unpack)(b, env), false, env), env);
}

FT_T F(sub)(FT_T a, FT_T b, struct fp_env *env)
{
    return F(finish)(P(add)(F(unpack)(a, env), F(unpack)(b, env), true, env), env);
}

FT_T F(mul)(FT_T a, FT_T b, struct fp_env *env)
{
    return F(finish)(P(mul)(F(unpack)(a, env), F(unpack)(b, env), env), env);
}

FT_T F(div)(FT_T a, FT_T b, struct fp_env *env)
{
    return F(finish)(P(div)(F(unpack)(a, env), F(unpack)(b, env), env), env);
}

FT_T F(sqrt)(FT_T a, struct fp_env *env)
{
    return F(finish)(P(sqrt)(F(unpack)(a, env), env), env);
}

FT_T F(muladd)(FT_T a, FT_T b, FT_T c, int how, struct fp_env *env)
{
    struct PARTS r = P(muladd)(F(unpack)(a, env), F(unpack)(b, env), F(unpack)(c, env), how, env);
    r = P(round)(r, &F(fmt), FT_RESULT_PREC(env), env);
    if ((how & FP_MULADD_NEG_RESULT) && !(r.cls & FP_CLS_NAN)) r.sign = !r.sign;
    return F(pack)(r);
}

FT_T F(rem)(FT_T a, FT_T b, struct fp_env *env)
{
    uint64_t quot;
    struct PARTS x = F(load)(a, env), y = F(load)(b, env);
    return F(finish_full)(P(rem)(x, y, true, &quot, env), env);
}

FT_T F(mod)(FT_T a, FT_T b, bool nearest, uint64_t *quot, struct fp_env *env)
{
    struct PARTS x = F(load)(a, env), y = F(load)(b, env);
    return F(finish_full)(P(rem)(x, y, nearest, quot, env), env);
}

FT_T F(round_int)(FT_T a, enum fp_round mode, bool exact, struct fp_env *env)
{
    struct PARTS x = F(load)(a, env);
    bool inexact;
    if (x.cls & FP_CLS_NAN) return F(finish_full)(P(pick_nan1)(x, env), env);
    if (FT_ROUND_INT_DENORM) P(note_denormal)(x.denorm, env);
    x = P(round_int)(x, mode, &inexact);
    if (exact && inexact) env->flags |= FP_INEXACT;
    return F(finish_full)(x, env);
}

FT_T F(scalbn)(FT_T a, int n, struct fp_env *env)
{
    struct PARTS x = F(load)(a, env);
    if (x.cls & FP_CLS_NAN) return F(finish_full)(P(pick_nan1)(x, env), env);
    P(note_denormal)(x.denorm, env);
    /* No format's range is as wide; the exponent cannot overflow then. */
    x.exp += MAX(MIN(n, 0x40000), -0x40000);
    return F(finish_full)(x, env);
}

static FT_T F(minmax)(FT_T a, FT_T b, int how, struct fp_env *env)
{
    struct PARTS x = F(load)(a, env), y = F(load)(b, env), nan;
    int which = P(minmax)(x, y, how, &nan, env);
    if (which == 2) return F(finish_full)(nan, env);
    if (which) {
        a = b;
        x = y;
    }
    /* The operand itself, denormal or not, unless it was read as zero. */
    return x.cls == FP_CLS_ZERO ? F(finish_full)(x, env) : a;
}

#define FT_MINMAX(name, how)                                                                       \
    FT_T F(name)(FT_T a, FT_T b, struct fp_env *env) { return F(minmax)(a, b, how, env); }
FT_MINMAX(minnum, FP_MM_NUM)
FT_MINMAX(maxnum, FP_MM_NUM | FP_MM_MAX)
FT_MINMAX(minnummag, FP_MM_NUM | FP_MM_MAG)
FT_MINMAX(maxnummag, FP_MM_NUM | FP_MM_MAG | FP_MM_MAX)
FT_MINMAX(min, 0)
FT_MINMAX(max, FP_MM_MAX)
FT_MINMAX(minnumber, FP_MM_NUM | FP_MM_NUMBER)
FT_MINMAX(maxnumber, FP_MM_NUM | FP_MM_NUMBER | FP_MM_MAX)
#undef FT_MINMAX

enum fp_rel F(compare)(FT_T a, FT_T b, struct fp_env *env)
{
    return P(compare)(F(unpack)(a, env), F(unpack)(b, env), false, env);
}

enum fp_rel F(compare_quiet)(FT_T a, FT_T b, struct fp_env *env)
{
    return P(compare)(F(unpack)(a, env), F(unpack)(b, env), true, env);
}

bool F(is_snan)(FT_T a, const struct fp_env *env)
{
    struct fp_env scratch = *env;
    return F(load)(a, &scratch).cls == FP_CLS_SNAN;
}

FT_T F(default_nan)(const struct fp_env *env)
{
    struct fp_env scratch = *env;
    return F(finish_full)(P(default_nan)(env), &scratch);
}

FT_T F(silence_nan)(FT_T a, const struct fp_env *env)
{
    struct fp_env scratch = *env;
    struct PARTS x = F(load)(a, &scratch);
    if (!(x.cls & (FP_CLS_SNAN | FP_CLS_BAD))) return a;
    return F(finish_full)(P(silence)(x, env), &scratch);
}

int32_t F(to_i32)(FT_T a, enum fp_round mode, struct fp_env *env)
{
    uint64_t v = P(to_int)(F(unpack)(a, env), mode, 1ull << 31, INT32_MAX, env);
    return (int32_t)(uint32_t)v;
}

int64_t F(to_i64)(FT_T a, enum fp_round mode, struct fp_env *env)
{
    return (int64_t)P(to_int)(F(unpack)(a, env), mode, 1ull << 63, INT64_MAX, env);
}

uint32_t F(to_u32)(FT_T a, enum fp_round mode, struct fp_env *env)
{
    return (uint32_t)P(to_int)(F(load)(a, env), mode, 0, UINT32_MAX, env);
}

uint64_t F(to_u64)(FT_T a, enum fp_round mode, struct fp_env *env)
{
    return P(to_int)(F(load)(a, env), mode, 0, UINT64_MAX, env);
}

FT_T F(from_i32)(int32_t v, struct fp_env *env)
{
    return F(from_i64)(v, env);
}

FT_T F(from_i64)(int64_t v, struct fp_env *env)
{
    uint64_t mag = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    return F(finish_full)(P(from_int)(v < 0, mag), env);
}

FT_T F(from_u32)(uint32_t v, struct fp_env *env)
{
    return F(from_u64)(v, env);
}

FT_T F(from_u64)(uint64_t v, struct fp_env *env)
{
    return F(finish_full)(P(from_int)(false, v), env);
}

#undef F
#undef P
#undef PARTS
#undef FP_CAT
#undef FP_CAT_
#undef FT
#undef FT_T
#undef FT_RESULT_PREC
#undef FT_ROUND_INT_DENORM
