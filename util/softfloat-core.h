/*
 * softfloat-core.h - the arithmetic itself, on unpacked numbers: a template.
 *
 * Included with FP_W defined to 64 or 128, the width of the significand; makes struct partsW and
 * functions partsW_*. Knows no format's layout (softfloat-ops.h does); a format comes in as a
 * struct fp_fmt, which is constant in every caller, so most of it folds away.
 *
 * Exactness: a significand has at least 11 bits more than the widest format of its core, and every
 * bit lost below leaves its mark in the lowest one, so one rounding at the end is the correct one.
 */
#define FP_CAT_(a, b, c) a##b##c
#define FP_CAT(a, b, c)  FP_CAT_(a, b, c)
#define PARTS            FP_CAT(parts, FP_W, )
#define P(name)          FP_CAT(parts, FP_W, _##name)
#define SIG_T            FP_CAT(sig, FP_W, _t)
#define SIG(name)        FP_CAT(sig, FP_W, _##name)

struct PARTS {
    SIG_T frac;  /* NORMAL: top bit set. NaN: the fraction from the next bit down */
    int32_t exp; /* value = frac / 2^(W-1) * 2^exp */
    uint8_t cls; /* enum fp_class */
    bool sign;
    bool denorm; /* was a denormal in its format */
};

#define TOP_BIT   SIG(from_top)(1ull << 63)
#define QUIET_BIT SIG(from_top)(1ull << 62)

static ATTR_INLINE struct PARTS P(zero)(bool sign)
{
    struct PARTS r = {SIG(zero)(), 0, FP_CLS_ZERO, sign, false};
    return r;
}

static ATTR_INLINE struct PARTS P(inf)(bool sign)
{
    struct PARTS r = {SIG(zero)(), 0, FP_CLS_INF, sign, false};
    return r;
}

static struct PARTS P(default_nan)(const struct fp_env *env)
{
    struct PARTS r = {QUIET_BIT, 0, FP_CLS_QNAN, env->nan_negative, false};
    if (env->nan_legacy)
        r.frac = SIG(shr)(SIG(ones)(), 2);
    else if (env->nan_ones)
        r.frac = SIG(shr)(SIG(ones)(), 1);
    return r;
}

static ATTR_COLD struct PARTS P(invalid)(struct fp_env *env)
{
    env->flags |= FP_INVALID;
    return P(default_nan)(env);
}

static struct PARTS P(silence)(struct PARTS a, const struct fp_env *env)
{
    if (a.cls == FP_CLS_BAD) return P(default_nan)(env);
    if (a.cls != FP_CLS_SNAN) return a;
    /* Where quiet is a clear bit, clearing it could leave an infinity. */
    if (env->nan_legacy) return P(default_nan)(env);
    a.frac = SIG(or)(a.frac, QUIET_BIT);
    a.cls = FP_CLS_QNAN;
    return a;
}

/*
 * sign, exponent field and fraction (from the second highest bit down) to a number. The flags for
 * denormals are set by the operations, which know whether something more important happened.
 */
static ATTR_INLINE struct PARTS P(unpack)(bool sign, int32_t field, SIG_T frac,
                                          const struct fp_fmt *fmt, struct fp_env *env)
{
    struct PARTS r = {frac, field - fmt->bias, FP_CLS_NORMAL, sign, false};
    if (likely(field != 0 && field != fmt->exp_max)) {
        r.frac = SIG(or)(frac, TOP_BIT);
    } else if (SIG(is_zero)(frac)) {
        r.cls = field ? FP_CLS_INF : FP_CLS_ZERO;
    } else if (field) {
        bool bit = !SIG(is_zero)(SIG(and)(frac, QUIET_BIT));
        r.cls = bit != env->nan_legacy ? FP_CLS_QNAN : FP_CLS_SNAN;
    } else if (env->daz) {
        env->flags |= FP_IN_FLUSHED;
        r.cls = FP_CLS_ZERO;
        r.frac = SIG(zero)();
    } else {
        unsigned n = SIG(clz)(frac);
        r.frac = SIG(shl)(frac, n);
        r.exp = 1 - fmt->bias - (int32_t)n;
        r.denorm = true;
    }
    return r;
}

static ATTR_INLINE void P(note_denormal)(bool denorm, struct fp_env *env)
{
    if (unlikely(denorm)) env->flags |= FP_IN_DENORMAL;
}

/*
 * Rounds the bits below the place `shift` (1 to W) away: *frac keeps the rest, in place. Returns
 * whether a one was carried out of the top.
 */
static ATTR_INLINE bool P(round_at)(SIG_T *frac, unsigned shift, bool sign, unsigned mode,
                                    bool *inexact)
{
    SIG_T mask = SIG(shr)(SIG(ones)(), FP_W - shift), one = SIG(zero)(), add = SIG(zero)();
    SIG_T low = SIG(and)(*frac, mask);
    bool carry = false;
    *inexact = !SIG(is_zero)(low);
    if (!*inexact) return false;
    if (shift < FP_W) one = SIG(shl)(SIG(jam)(SIG(zero)(), true), shift);
    switch (mode) {
    default:
    case FP_RNE:
        add = SIG(shr)(mask, 1);
        if (!SIG(is_zero)(SIG(and)(*frac, one)))
            add = SIG(add)(add, SIG(jam)(SIG(zero)(), true), &carry);
        break;
    case FP_RNA:
        add = SIG(sub)(mask, SIG(shr)(mask, 1));
        break;
    case FP_RTZ:
        break;
    case FP_RDN:
        if (sign) add = mask;
        break;
    case FP_RUP:
        if (!sign) add = mask;
        break;
    case FP_RTO:
        *frac = SIG(or)(SIG(and)(*frac, SIG(not)(mask)), one);
        return shift == FP_W;
    }
    *frac = SIG(and)(SIG(add)(*frac, add, &carry), SIG(not)(mask));
    return carry;
}

/*
 * The end of every operation: rounds to `prec` bits in a format's exponent range and turns exp into
 * the format's exponent field. The fraction stays left-justified, with the integer bit on top.
 */
static ATTR_INLINE struct PARTS P(round)(struct PARTS p, const struct fp_fmt *fmt, int prec,
                                         struct fp_env *env)
{
    unsigned shift = FP_W - prec, mode = env->round;
    bool inexact;
    if (unlikely(p.cls != FP_CLS_NORMAL)) {
        if (p.cls == FP_CLS_ZERO) {
            p.frac = SIG(zero)();
            p.exp = 0;
            return p;
        }
        p.exp = fmt->exp_max;
        if (p.cls == FP_CLS_INF) {
            p.frac = SIG(zero)();
            return p;
        }
        /* A NaN; in a narrower format nothing may be left of its payload (legacy encoding). */
        p.frac = SIG(shl)(SIG(shr)(p.frac, FP_W - fmt->prec), FP_W - fmt->prec);
        if (SIG(is_zero)(p.frac)) p.frac = P(default_nan)(env).frac;
        return p;
    }
    p.exp += fmt->bias;
    if (likely(p.exp > 0)) {
        if (P(round_at)(&p.frac, shift, p.sign, mode, &inexact)) {
            p.frac = TOP_BIT;
            p.exp++;
        }
        if (unlikely(p.exp >= fmt->exp_max)) {
            bool away = mode == FP_RNE || mode == FP_RNA || mode == (p.sign ? FP_RDN : FP_RUP);
            env->flags |= FP_OVERFLOW | FP_INEXACT;
            p.exp = away ? fmt->exp_max : fmt->exp_max - 1;
            p.frac = away ? SIG(zero)() : SIG(shl)(SIG(ones)(), shift);
            p.cls = away ? FP_CLS_INF : FP_CLS_NORMAL;
            return p;
        }
        if (inexact) env->flags |= FP_INEXACT;
        return p;
    }
    /* Below the normal range. Rounding as if the range went on decides about "tiny after". */
    bool tiny = true;
    if (p.exp == 0 && !env->tiny_before) {
        SIG_T unbounded = p.frac;
        tiny = !P(round_at)(&unbounded, shift, p.sign, mode, &inexact);
    }
    if (tiny && env->ftz) {
        env->flags |= FP_FLUSHED | FP_UNDERFLOW;
        p.frac = SIG(zero)();
        p.exp = 0;
        return p;
    }
    p.frac = SIG(shr_jam)(p.frac, 1 - p.exp);
    P(round_at)(&p.frac, shift, p.sign, mode, &inexact);
    p.exp = !SIG(is_zero)(SIG(and)(p.frac, TOP_BIT)); /* rounded up to the least normal number */
    if (inexact) env->flags |= FP_INEXACT | (tiny ? FP_UNDERFLOW : 0);
    return p;
}

/* ---- NaNs ---- */

static struct PARTS P(pick_x87)(struct PARTS a, struct PARTS b)
{
    if (!(a.cls & FP_CLS_NAN)) return b;
    if (!(b.cls & FP_CLS_NAN)) return a;
    if (a.cls != b.cls) return a.cls == FP_CLS_QNAN ? a : b;
    if (SIG(lt)(a.frac, b.frac)) return b;
    if (SIG(eq)(a.frac, b.frac) && a.sign) return b;
    return a;
}

/* Which of up to three operands, given in order of preference, gives the result. */
static ATTR_COLD struct PARTS P(pick_nan)(const struct PARTS *o, int n, struct fp_env *env)
{
    int first = -1, first_snan = -1, first_qnan = -1, last = -1, last_snan = -1, pick;
    for (int i = 0; i < n; i++) {
        if (o[i].cls == FP_CLS_BAD) return P(invalid)(env);
        if (!(o[i].cls & FP_CLS_NAN)) continue;
        last = i;
        if (first < 0) first = i;
        if (o[i].cls == FP_CLS_SNAN) {
            last_snan = i;
            if (first_snan < 0) first_snan = i;
        } else if (first_qnan < 0) {
            first_qnan = i;
        }
    }
    if (first_snan >= 0) env->flags |= FP_INVALID;
    switch (env->nan_rule) {
    case FP_NAN_SNAN_FIRST:
        pick = first_snan >= 0 ? first_snan : first;
        break;
    case FP_NAN_FIRST:
        pick = first;
        break;
    case FP_NAN_SECOND:
        pick = last_snan >= 0 ? last_snan : last;
        break;
    case FP_NAN_X87: {
        struct PARTS r = o[0];
        for (int i = 1; i < n; i++)
            r = P(pick_x87)(r, o[i]);
        return P(silence)(r, env);
    }
    case FP_NAN_MIPS_LEGACY:
        pick = first_snan >= 0 ? -1 : first_qnan;
        break;
    default:
        pick = -1;
        break;
    }
    return pick < 0 ? P(default_nan)(env) : P(silence)(o[pick], env);
}

static ATTR_COLD struct PARTS P(pick_nan1)(struct PARTS a, struct fp_env *env)
{
    return P(pick_nan)(&a, 1, env);
}

static ATTR_COLD struct PARTS P(pick_nan2)(struct PARTS a, struct PARTS b, struct fp_env *env)
{
    struct PARTS o[2] = {a, b};
    return P(pick_nan)(o, 2, env);
}

static ATTR_COLD struct PARTS P(pick_nan3)(struct PARTS a, struct PARTS b, struct PARTS c,
                                           struct fp_env *env)
{
    struct PARTS abc[3] = {a, b, c}, cab[3] = {c, a, b}, acb[3] = {a, c, b};
    bool inf_zero = (a.cls | b.cls) == (FP_CLS_INF | FP_CLS_ZERO);
    if (inf_zero && c.cls == FP_CLS_QNAN) {
        if (env->muladd_inf_nan != FP_INFZERO_C_QUIET) env->flags |= FP_INVALID;
        if (env->muladd_inf_nan == FP_INFZERO_DEFAULT_INVALID) return P(default_nan)(env);
    }
    return P(pick_nan)(env->muladd_order == FP_MULADD_CAB   ? cab
                       : env->muladd_order == FP_MULADD_ACB ? acb
                                                            : abc,
                       3, env);
}

/* The end of a conversion between formats: NaNs go by the rule as a single operand. */
static ATTR_INLINE struct PARTS P(convert)(struct PARTS p, const struct fp_fmt *fmt,
                                         struct fp_env *env)
{
    if (unlikely(p.cls & FP_CLS_NAN))
        p = P(pick_nan1)(p, env);
    else
        P(note_denormal)(p.denorm, env);
    return P(round)(p, fmt, fmt->prec, env);
}

/* ---- arithmetic ---- */

static ATTR_INLINE struct PARTS P(add)(struct PARTS a, struct PARTS b, bool subtract,
                                       struct fp_env *env)
{
    unsigned classes = a.cls | b.cls;
    if (likely(classes == FP_CLS_NORMAL)) {
        int d = a.exp - b.exp;
        bool same;
        P(note_denormal)(a.denorm | b.denorm, env);
        b.sign ^= subtract;
        same = a.sign == b.sign;
        if (d < 0 || (d == 0 && SIG(lt)(a.frac, b.frac))) {
            struct PARTS t = a;
            a = b;
            b = t;
            d = -d;
        }
        b.frac = SIG(shr_jam)(b.frac, (unsigned)d);
        if (same) {
            bool carry;
            a.frac = SIG(add)(a.frac, b.frac, &carry);
            if (carry) {
                a.frac = SIG(or)(SIG(shr_jam)(a.frac, 1), TOP_BIT);
                a.exp++;
            }
        } else {
            unsigned n;
            a.frac = SIG(sub)(a.frac, b.frac);
            if (SIG(is_zero)(a.frac)) return P(zero)(env->round == FP_RDN);
            n = SIG(clz)(a.frac);
            a.frac = SIG(shl)(a.frac, n);
            a.exp -= (int32_t)n;
        }
        return a;
    }
    if (classes & FP_CLS_NAN) return P(pick_nan2)(a, b, env);
    b.sign ^= subtract;
    if (classes & FP_CLS_INF) {
        if (a.cls == b.cls && a.sign != b.sign) return P(invalid)(env);
        P(note_denormal)(a.denorm | b.denorm, env);
        return P(inf)(a.cls == FP_CLS_INF ? a.sign : b.sign);
    }
    P(note_denormal)(a.denorm | b.denorm, env);
    if (a.cls != FP_CLS_ZERO) return a;
    if (b.cls != FP_CLS_ZERO) return b;
    return a.sign == b.sign ? a : P(zero)(env->round == FP_RDN);
}

static ATTR_INLINE struct PARTS P(mul)(struct PARTS a, struct PARTS b, struct fp_env *env)
{
    unsigned classes = a.cls | b.cls;
    if (likely(classes == FP_CLS_NORMAL)) {
        SIG_T lo;
        P(note_denormal)(a.denorm | b.denorm, env);
        a.sign ^= b.sign;
        a.exp += b.exp + 1;
        a.frac = SIG(mul)(a.frac, b.frac, &lo);
        if (!(SIG(top)(a.frac) >> 63)) {
            /* the bit shifted in is below every format's guard bits: it counts as sticky */
            a.frac = SIG(shl)(a.frac, 1);
            a.exp--;
        }
        a.frac = SIG(jam)(a.frac, !SIG(is_zero)(lo));
        return a;
    }
    if (classes & FP_CLS_NAN) return P(pick_nan2)(a, b, env);
    if (classes == (FP_CLS_INF | FP_CLS_ZERO)) return P(invalid)(env);
    P(note_denormal)(a.denorm | b.denorm, env);
    return classes & FP_CLS_INF ? P(inf)(a.sign ^ b.sign) : P(zero)(a.sign ^ b.sign);
}

static ATTR_INLINE struct PARTS P(div)(struct PARTS a, struct PARTS b, struct fp_env *env)
{
    unsigned classes = a.cls | b.cls;
    if (likely(classes == FP_CLS_NORMAL)) {
        bool ge = !SIG(lt)(a.frac, b.frac);
        P(note_denormal)(a.denorm | b.denorm, env);
        a.sign ^= b.sign;
        a.exp -= b.exp + !ge;
        a.frac = SIG(div)(a.frac, b.frac, ge);
        return a;
    }
    if (classes & FP_CLS_NAN) return P(pick_nan2)(a, b, env);
    if (a.cls == b.cls) return P(invalid)(env); /* 0 / 0 or inf / inf */
    if (b.cls == FP_CLS_ZERO && a.cls == FP_CLS_NORMAL) {
        env->flags |= FP_DIVZERO;
        return P(inf)(a.sign ^ b.sign);
    }
    P(note_denormal)(a.denorm | b.denorm, env);
    if (a.cls == FP_CLS_INF || b.cls == FP_CLS_ZERO) return P(inf)(a.sign ^ b.sign);
    return P(zero)(a.sign ^ b.sign);
}

static ATTR_INLINE struct PARTS P(sqrt)(struct PARTS a, struct fp_env *env)
{
    if (unlikely(a.cls & FP_CLS_NAN)) return P(pick_nan1)(a, env);
    if (a.cls == FP_CLS_ZERO) return a;
    if (a.sign) return P(invalid)(env);
    if (a.cls == FP_CLS_INF) return a;
    P(note_denormal)(a.denorm, env);
    bool odd = a.exp & 1;
    a.exp = (a.exp - odd) / 2;
    a.frac = SIG(sqrt)(a.frac, !odd);
    return a;
}

/* A significand of two words for the product inside muladd. */
struct P(wide) {
    SIG_T hi, lo;
};

static inline struct P(wide) P(wide_shr_jam)(struct P(wide) a, unsigned n)
{
    bool sticky;
    if (n == 0) return a;
    if (n >= FP_W) {
        sticky = !SIG(is_zero)(a.lo);
        a.lo = SIG(jam)(SIG(shr_jam)(a.hi, n - FP_W), sticky);
        a.hi = SIG(zero)();
    } else {
        a.lo = SIG(or)(SIG(shr_jam)(a.lo, n), SIG(shl)(a.hi, FP_W - n));
        a.hi = SIG(shr)(a.hi, n);
    }
    return a;
}

static inline struct P(wide) P(wide_shl)(struct P(wide) a, unsigned n)
{
    if (n >= FP_W) {
        a.hi = SIG(shl)(a.lo, n - FP_W);
        a.lo = SIG(zero)();
    } else if (n) {
        a.hi = SIG(or)(SIG(shl)(a.hi, n), SIG(shr)(a.lo, FP_W - n));
        a.lo = SIG(shl)(a.lo, n);
    }
    return a;
}

static ATTR_INLINE struct PARTS P(muladd)(struct PARTS a, struct PARTS b, struct PARTS c, int how,
                                          struct fp_env *env)
{
    unsigned ab = a.cls | b.cls;
    struct P(wide) x, y;
    struct PARTS r;
    int32_t d, exp;
    bool sign, carry;
    unsigned n;

    if (unlikely((ab | c.cls) & FP_CLS_NAN)) return P(pick_nan3)(a, b, c, env);
    sign = a.sign ^ b.sign ^ !!(how & FP_MULADD_NEG_PRODUCT);
    c.sign ^= !!(how & FP_MULADD_NEG_ADDEND);
    if (unlikely(ab == (FP_CLS_INF | FP_CLS_ZERO))) return P(invalid)(env);
    if (unlikely(ab & FP_CLS_INF)) {
        if (c.cls == FP_CLS_INF && c.sign != sign) return P(invalid)(env);
        P(note_denormal)(a.denorm | b.denorm | c.denorm, env);
        return P(inf)(sign);
    }
    P(note_denormal)(a.denorm | b.denorm | c.denorm, env);
    if (unlikely(c.cls == FP_CLS_INF)) return c;
    if (unlikely(ab & FP_CLS_ZERO)) {
        if (c.cls == FP_CLS_ZERO && c.sign != sign) c.sign = env->round == FP_RDN;
        return c;
    }

    x.hi = SIG(mul)(a.frac, b.frac, &x.lo);
    exp = a.exp + b.exp + 1;
    if (!(SIG(top)(x.hi) >> 63)) {
        x = P(wide_shl)(x, 1);
        exp--;
    }
    if (c.cls != FP_CLS_ZERO) {
        bool same = sign == c.sign;
        y.hi = c.frac;
        y.lo = SIG(zero)();
        d = exp - c.exp;
        if (d < 0 || (d == 0 && SIG(lt)(x.hi, y.hi))) {
            struct P(wide) t = x;
            x = y;
            y = t;
            exp = c.exp;
            sign = c.sign;
            d = -d;
        }
        y = P(wide_shr_jam)(y, (unsigned)d);
        if (same) {
            bool low;
            x.lo = SIG(add)(x.lo, y.lo, &low);
            x.hi = SIG(add)(x.hi, y.hi, &carry);
            if (low) {
                bool more;
                x.hi = SIG(add)(x.hi, SIG(jam)(SIG(zero)(), true), &more);
                carry |= more;
            }
            if (carry) {
                x = P(wide_shr_jam)(x, 1);
                x.hi = SIG(or)(x.hi, TOP_BIT);
                exp++;
            }
        } else {
            bool borrow = SIG(lt)(x.lo, y.lo);
            x.lo = SIG(sub)(x.lo, y.lo);
            x.hi = SIG(sub)(x.hi, y.hi);
            if (borrow) x.hi = SIG(sub)(x.hi, SIG(jam)(SIG(zero)(), true));
            if (SIG(is_zero)(x.hi) && SIG(is_zero)(x.lo)) return P(zero)(env->round == FP_RDN);
            n = SIG(is_zero)(x.hi) ? FP_W + SIG(clz)(x.lo) : SIG(clz)(x.hi);
            x = P(wide_shl)(x, n);
            exp -= (int32_t)n;
        }
    }
    r.frac = SIG(jam)(x.hi, !SIG(is_zero)(x.lo));
    r.exp = exp;
    r.cls = FP_CLS_NORMAL;
    r.sign = sign;
    r.denorm = false;
    return r;
}

/*
 * a - n*b, exact: n is a/b rounded to nearest even, or towards zero. *quot gets n's low 64 bits.
 * One quotient bit at a time: guests rarely ask, and the loop is bounded by the exponent range.
 */
static struct PARTS P(rem)(struct PARTS a, struct PARTS b, bool nearest, uint64_t *quot,
                           struct fp_env *env)
{
    unsigned classes = a.cls | b.cls;
    uint64_t q = 0;
    int32_t d;
    bool carry = false;
    unsigned n;

    *quot = 0;
    if (classes & FP_CLS_NAN) return P(pick_nan2)(a, b, env);
    if (a.cls == FP_CLS_INF || b.cls == FP_CLS_ZERO) return P(invalid)(env);
    P(note_denormal)(a.denorm | b.denorm, env);
    if (a.cls == FP_CLS_ZERO || b.cls == FP_CLS_INF) return a;
    d = a.exp - b.exp;
    if (d < -1 || (d < 0 && !nearest)) return a;
    if (d < 0) {
        /* |b|/4 < |a| < |b|: n is 0 or 1, and a.frac counts half of what b.frac does */
        if (!SIG(lt)(b.frac, a.frac)) return a;
        *quot = 1;
        a.sign = !a.sign;
        a.frac = SIG(sub)(b.frac, SIG(sub)(a.frac, b.frac));
    } else {
        SIG_T r = a.frac;
        for (;;) {
            q <<= 1;
            if (carry || !SIG(lt)(r, b.frac)) {
                r = SIG(sub)(r, b.frac);
                q |= 1;
            }
            if (d-- == 0) break;
            carry = SIG(top)(r) >> 63;
            r = SIG(shl)(r, 1);
        }
        a.exp = b.exp;
        if (nearest) {
            SIG_T other = SIG(sub)(b.frac, r);
            if (SIG(lt)(other, r) || (SIG(eq)(other, r) && (q & 1))) {
                r = other;
                a.sign = !a.sign;
                q++;
            }
        }
        *quot = q;
        a.frac = r;
        if (SIG(is_zero)(r)) return P(zero)(a.sign);
    }
    n = SIG(clz)(a.frac);
    a.frac = SIG(shl)(a.frac, n);
    a.exp -= (int32_t)n;
    return a;
}

/* ---- integers ---- */

/* To an integral value; NaNs are the caller's. */
static struct PARTS P(round_int)(struct PARTS a, unsigned mode, bool *inexact)
{
    unsigned shift;
    *inexact = false;
    if (a.cls != FP_CLS_NORMAL || a.exp >= FP_W - 1) return a;
    if (a.exp < -1) {
        a.frac = SIG(jam)(SIG(zero)(), true); /* anything above zero and below a half */
        a.exp = -1;
    }
    shift = (unsigned)(FP_W - 1 - a.exp);
    if (P(round_at)(&a.frac, shift, a.sign, mode, inexact)) {
        a.frac = TOP_BIT;
        a.exp++;
    }
    return SIG(is_zero)(a.frac) ? P(zero)(a.sign) : a;
}

/*
 * To a 64-bit integer within -min_mag .. max, rounding as asked; outside (or NaN): INVALID and the
 * nearest limit (max). The result is in two's complement.
 */
static uint64_t P(to_int)(struct PARTS a, unsigned mode, uint64_t min_mag, uint64_t max,
                          struct fp_env *env)
{
    uint64_t limit = a.sign ? min_mag : max, mag;
    bool inexact;

    if (a.cls & FP_CLS_NAN) {
        env->flags |= FP_INVALID;
        return max;
    }
    if (a.cls == FP_CLS_ZERO) return 0;
    a = P(round_int)(a, mode, &inexact);
    if (a.cls == FP_CLS_INF || (a.cls == FP_CLS_NORMAL && a.exp > 63)) {
        env->flags |= FP_INVALID;
        return a.sign ? 0 - limit : limit;
    }
    mag = a.cls == FP_CLS_ZERO ? 0 : SIG(int)(a.frac, (unsigned)(FP_W - 1 - a.exp));
    if (mag > limit) {
        env->flags |= FP_INVALID;
        mag = limit;
    } else if (inexact) {
        env->flags |= FP_INEXACT;
    }
    return a.sign ? 0 - mag : mag;
}

static ATTR_INLINE struct PARTS P(from_int)(bool sign, uint64_t mag)
{
    struct PARTS r = {SIG(zero)(), 0, FP_CLS_NORMAL, sign, false};
    unsigned n;
    if (!mag) return P(zero)(false);
    n = host_clz64(mag);
    r.frac = SIG(from_top)(mag << n);
    r.exp = 63 - (int32_t)n;
    return r;
}

/* ---- comparison ---- */

/* -1, 0, 1 for magnitudes; no NaNs */
static ATTR_INLINE int P(compare_mag)(struct PARTS a, struct PARTS b)
{
    if (a.cls != b.cls) return a.cls < b.cls ? -1 : 1; /* ZERO < NORMAL < INF */
    if (a.cls != FP_CLS_NORMAL) return 0;
    if (a.exp != b.exp) return a.exp < b.exp ? -1 : 1;
    return SIG(lt)(a.frac, b.frac) ? -1 : !SIG(eq)(a.frac, b.frac);
}

static ATTR_INLINE enum fp_rel P(compare)(struct PARTS a, struct PARTS b, bool quiet,
                                          struct fp_env *env)
{
    unsigned classes = a.cls | b.cls;
    int c;
    if (unlikely(classes & FP_CLS_NAN)) {
        if (!quiet || (classes & (FP_CLS_SNAN | FP_CLS_BAD))) env->flags |= FP_INVALID;
        return FP_UNORDERED;
    }
    P(note_denormal)(a.denorm | b.denorm, env);
    if (classes == FP_CLS_ZERO) return FP_EQUAL;
    if (a.sign != b.sign) return a.sign ? FP_LESS : FP_GREATER;
    c = P(compare_mag)(a, b);
    return (enum fp_rel)(a.sign ? -c : c);
}

/* What the minimum and maximum functions differ in. */
#ifndef FP_MINMAX_DEFINED
#define FP_MINMAX_DEFINED
enum {
    FP_MM_MAX = 1,
    FP_MM_MAG = 2,    /* by magnitude; by value if equal */
    FP_MM_NUM = 4,    /* a number goes before a quiet NaN (754-2008) */
    FP_MM_NUMBER = 8, /* and before a signalling one (754-2019) */
};
#endif

/* 0 or 1: the operand; 2: *nan. Minus zero is below plus zero. */
static int P(minmax)(struct PARTS a, struct PARTS b, int how, struct PARTS *nan, struct fp_env *env)
{
    unsigned classes = a.cls | b.cls;
    int c = 0;
    if (unlikely(classes & FP_CLS_NAN)) {
        bool a_nan = a.cls & FP_CLS_NAN, b_nan = b.cls & FP_CLS_NAN;
        if (a_nan != b_nan && ((how & FP_MM_NUMBER) ||
                               ((how & FP_MM_NUM) && !(classes & (FP_CLS_SNAN | FP_CLS_BAD))))) {
            if (classes & (FP_CLS_SNAN | FP_CLS_BAD)) env->flags |= FP_INVALID;
            return a_nan;
        }
        *nan = P(pick_nan2)(a, b, env);
        return 2;
    }
    P(note_denormal)(a.denorm | b.denorm, env);
    if (how & FP_MM_MAG) c = P(compare_mag)(a, b);
    if (!c) {
        if (a.sign != b.sign)
            c = a.sign ? -1 : 1;
        else
            c = a.sign ? -P(compare_mag)(a, b) : P(compare_mag)(a, b);
    }
    return how & FP_MM_MAX ? c < 0 : c > 0;
}

#undef PARTS
#undef P
#undef SIG_T
#undef SIG
#undef TOP_BIT
#undef QUIET_BIT
#undef FP_CAT
#undef FP_CAT_
