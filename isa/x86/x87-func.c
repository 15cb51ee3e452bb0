/*
 * x87-func.c - x87 functions of one and two operands. The transcendental ones are series in 128-bit arithmetic, rounded once
 * to 80 bits: nearly always the correctly rounded value, the same on every host. Arguments of fsin and the like are reduced by
 * a value of pi with 66 bits, as on processors.
 * Follows the Intel SDM volume 1, sections 8.3.7 to 8.3.10.
 */
#include "isa/x86/x87.h"

typedef f128_t q;

static struct fp_env qe(void) { return (struct fp_env){ .round = FP_RNE, .nan_rule = FP_NAN_FIRST, .nan_negative = true }; }
static q add(q a, q b) { struct fp_env e = qe(); return f128_add(a, b, &e); }
static q sub(q a, q b) { struct fp_env e = qe(); return f128_sub(a, b, &e); }
static q mul(q a, q b) { struct fp_env e = qe(); return f128_mul(a, b, &e); }
static q divide(q a, q b) { struct fp_env e = qe(); return f128_div(a, b, &e); }
static q root(q a) { struct fp_env e = qe(); return f128_sqrt(a, &e); }
static q from(f80_t a) { struct fp_env e = qe(); return f80_to_f128(a, &e); }
static q num(int64_t n) { struct fp_env e = qe(); return f128_from_i64(n, &e); }
static bool less(q a, q b) { struct fp_env e = qe(); return f128_compare_quiet(a, b, &e) == FP_LESS; }

static const q PI_2 = { UINT64_C(0x3fff921fb54442d1), UINT64_C(0x8469898cc51701b8) };
/* for arguments of fsin and the like: 66 bits, as processors have */
static const q PI_2_SHORT = { UINT64_C(0x3fff921fb54442d1), UINT64_C(0x8469800000000000) };
static const q PI_4 = { UINT64_C(0x3ffe921fb54442d1), UINT64_C(0x8469898cc51701b8) };
static const q LEAST = { 0, 1 };
static const q LN2 = { UINT64_C(0x3ffe62e42fefa39e), UINT64_C(0xf35793c7673007e6) };

/* x + x^3 s/3 ..: the series whose n-th term has the factor step(n) of the one before, until nothing changes */
static q exp_minus_1(q x) /* |x| < 0.7 */
{
    q sum = x, term = x;
    for (int64_t n = 2; n < 40; n++) {
        term = divide(mul(term, x), num(n));
        sum = add(sum, term);
    }
    return sum;
}

static q sin_series(q x, bool cosine) /* |x| < 0.8 */
{
    q x2 = mul(x, x), term = cosine ? num(1) : x, sum = term;
    for (int64_t n = cosine ? 1 : 2; n < 34; n += 2) {
        term = divide(mul(term, x2), num(-(n * (n + 1))));
        sum = add(sum, term);
    }
    return sum;
}

static q atanh_series(q z, bool alternate) /* z + z^3/3 + ..., |z| < 0.2 */
{
    q z2 = mul(z, z), p = z, sum = z;
    for (int64_t n = 3; n < 60; n += 2) {
        p = mul(p, z2);
        sum = (n & 2) && alternate ? sub(sum, divide(p, num(n))) : add(sum, divide(p, num(n)));
    }
    return sum;
}

static q arctan(q x) /* 0 <= x <= 1 */
{
    unsigned doubled = 0;
    for (; !less(x, divide(num(1), num(8))); doubled++) x = divide(x, add(num(1), root(add(num(1), mul(x, x)))));
    x = atanh_series(x, true);
    while (doubled--) x = add(x, x);
    return x;
}

static q log2_of_1p(q y) /* y > -0.3, < 0.5: log2(1 + y) */
{
    q l = atanh_series(divide(y, add(num(2), y)), false);
    return divide(add(l, l), LN2);
}

static f80_t rounded(struct x86_cpu *x, q v)
{
    struct fp_env e = x87_env(x);
    e.x87_precision = 64;
    f80_t r = f128_to_f80(v, &e);
    e.flags |= FP_INEXACT | (!(r.se & 0x7fff) ? FP_UNDERFLOW : 0); /* never exactly 0 */
    e.flags &= ~(unsigned)FP_IN_DENORMAL;                          /* the operands' alone */
    x87_take(x, &e);
    return r;
}

static bool is_zero(f80_t a) { return !(a.se & 0x7fff) && !a.frac; }
static bool denormal(f80_t a) { return !(a.se & 0x7fff) && a.frac; }
static bool is_inf(f80_t a) { return (a.se & 0x7fff) == 0x7fff && a.frac == UINT64_C(0x8000000000000000); }
static bool odd_value(f80_t a) { return f80_is_nan(a) || f80_is_unsupported(a); }

static f80_t invalid(struct x86_cpu *x)
{
    struct fp_env e = x87_env(x);
    e.flags = FP_INVALID;
    x87_take(x, &e);
    return (f80_t){ UINT64_C(0xc000000000000000), 0xffff };
}

/* NaNs go through an addition, which quietens and chooses. */
static f80_t through(struct x86_cpu *x, f80_t a, f80_t b)
{
    struct fp_env e = x87_env(x);
    f80_t r = f80_add(a, b, &e);
    x87_take(x, &e);
    return r;
}

static f80_t f2xm1(struct x86_cpu *x, f80_t a)
{
    if (odd_value(a)) return through(x, a, a);
    if (is_zero(a)) return a;
    if (is_inf(a)) return a.se & 0x8000 ? (f80_t){ UINT64_C(0x8000000000000000), 0xbfff } : a;
    if ((a.se & 0x7fff) >= 0x4000) return a; /* outside of -1 to 1: undefined */
    return rounded(x, exp_minus_1(mul(from(a), LN2)));
}

/* log2 of a positive finite number */
static q log2_of(f80_t a)
{
    int32_t exp = (a.se & 0x7fff ? a.se & 0x7fff : 1) - 0x3fff;
    while (!(a.frac >> 63)) a.frac <<= 1, exp--;
    if (a.frac > UINT64_C(0xb504f333f9de6484)) exp++, a.se = 0x3ffe; /* between sqrt(1/2) and sqrt(2) */
    else a.se = 0x3fff;
    return add(num(exp), log2_of_1p(sub(from(a), num(1))));
}

static f80_t yl2x(struct x86_cpu *x, f80_t v, f80_t y, bool plus1)
{
    struct fp_env e = x87_env(x);
    bool neg = y.se & 0x8000;
    f80_t one = { UINT64_C(0x8000000000000000), 0x3fff };

    if (odd_value(v) || odd_value(y)) return through(x, v, y);
    if (plus1) {
        if (is_zero(v)) return is_inf(y) ? invalid(x) : (f80_t){ 0, (uint16_t)((v.se ^ y.se) & 0x8000) };
        if (is_inf(v)) return v.se & 0x8000 || is_zero(y) ? invalid(x) : (f80_t){ v.frac, (uint16_t)(0x7fff | (y.se & 0x8000)) };
        if (is_inf(y)) return (f80_t){ y.frac, (uint16_t)(0x7fff | ((v.se ^ y.se) & 0x8000)) };
        if (is_zero(y)) return (f80_t){ 0, (uint16_t)((v.se ^ y.se) & 0x8000) };
        q z = from(v);
        if (less(z, divide(num(-3), num(10))) || less(divide(num(1), num(2)), z)) { /* beyond the defined range */
            f80_t s = f80_add(v, one, &e);
            return s.se & 0x8000 || is_zero(s) ? invalid(x) : rounded(x, mul(log2_of(s), from(y)));
        }
        /* The logarithm of what is next to 1 may be too small for 128 bits, its product with y is not. */
        if ((v.se & 0x7fff) < 0x3fff - 200) return rounded(x, divide(mul(z, from(y)), LN2));
        return rounded(x, mul(log2_of_1p(z), from(y)));
    }
    if (is_zero(v)) {
        if (is_zero(y)) return invalid(x);
        if (!is_inf(y)) e.flags = FP_DIVZERO, x87_take(x, &e);
        return (f80_t){ UINT64_C(0x8000000000000000), (uint16_t)(neg ? 0x7fff : 0xffff) };
    }
    if (v.se & 0x8000) return invalid(x);
    if (is_inf(v)) return is_zero(y) ? invalid(x) : (f80_t){ v.frac, (uint16_t)(0x7fff | (y.se & 0x8000)) };
    if (v.se == one.se && v.frac == one.frac) return is_inf(y) ? invalid(x) : (f80_t){ 0, (uint16_t)(y.se & 0x8000) };
    bool below = v.se < 0x3fff;
    if (is_inf(y)) return (f80_t){ y.frac, (uint16_t)(0x7fff | (neg != below ? 0x8000 : 0)) };
    if (is_zero(y)) return (f80_t){ 0, (uint16_t)(neg != below ? 0x8000 : 0) };
    return rounded(x, mul(log2_of(v), from(y)));
}

static f80_t patan(struct x86_cpu *x, f80_t v, f80_t y) /* the angle of the point (v, y) */
{
    if (odd_value(v) || odd_value(y)) return through(x, y, v);
    bool vneg = v.se & 0x8000, yneg = y.se & 0x8000;
    q r;

    if (is_zero(y) && !vneg) return (f80_t){ 0, (uint16_t)(y.se & 0x8000) };
    if (is_zero(y)) r = num(0);
    else if (is_inf(y) && is_inf(v)) r = PI_4;
    else if (is_inf(y) || is_zero(v)) r = PI_2;
    else if (is_inf(v)) r = num(0);
    else {
        f80_t av = v, ay = y;
        av.se &= 0x7fff, ay.se &= 0x7fff;
        q p = from(av), s = from(ay);
        r = less(s, p) ? arctan(divide(s, p)) : sub(PI_2, arctan(divide(p, s)));
        if (!less(num(0), r)) r = LEAST; /* the quotient is too small for 128 bits even; it underflows, but is not 0 */
    }
    if (vneg) r = sub(add(PI_2, PI_2), r);
    if (yneg) r = sub(num(0), r);
    if (!less(r, num(0)) && !less(num(0), r)) return (f80_t){ 0, (uint16_t)(y.se & 0x8000) };
    return rounded(x, r);
}

/* Sine and cosine, in *s and *c where they are special values (as the operand is), else exact in *qs and *qc. False: the
 * argument is too large. */
static bool sine_cosine(struct x86_cpu *x, f80_t a, f80_t *s, f80_t *c, q *qs, q *qc)
{
    if (odd_value(a)) {
        *s = *c = through(x, a, a);
        *qs = *qc = num(0);
        return true;
    }
    if (is_inf(a)) {
        *s = *c = invalid(x);
        return true;
    }
    if ((a.se & 0x7fff) >= 0x3fff + 63) return false;
    if (is_zero(a)) {
        *s = a, *c = (f80_t){ UINT64_C(0x8000000000000000), 0x3fff };
        *qs = num(0), *qc = num(1);
        return true;
    }
    struct fp_env e = qe();
    uint64_t quot = 0;
    q v = from(a), r = f128_mod(v, PI_2_SHORT, true, &quot, &e);
    bool neg = a.se & 0x8000;
    unsigned n = (unsigned)(neg ? 0 - quot : quot) & 3;
    q sn = sin_series(r, false), cs = sin_series(r, true), t;
    if (n & 1) t = sn, sn = cs, cs = sub(num(0), t);
    if (n & 2) sn = sub(num(0), sn), cs = sub(num(0), cs);
    *qs = sn, *qc = cs;
    return true;
}

enum { F_2XM1, F_YL2X, F_PTAN, F_PATAN, F_XTRACT, F_PREM1, F_PREM, F_YL2XP1, F_SQRT, F_SINCOS, F_RNDINT, F_SCALE, F_SIN, F_COS };

static void trig(struct x86_cpu *x, unsigned which, f80_t a)
{
    f80_t s = { 0, 0 }, c = s, one = { UINT64_C(0x8000000000000000), 0x3fff };
    q qs = num(0), qc = num(1);

    x->fsw &= (uint16_t)~0x600;
    if (!sine_cosine(x, a, &s, &c, &qs, &qc)) {
        x->fsw |= 0x400;
        return;
    }
    bool special = odd_value(a) || is_inf(a) || is_zero(a);
    if (!special && (which == F_SIN || which == F_SINCOS)) s = rounded(x, qs);
    if (!special && (which == F_COS || which == F_SINCOS)) c = rounded(x, qc);
    switch (which) {
    case F_SIN: x87_put(x, 0, s); break;
    case F_COS: x87_put(x, 0, c); break;
    case F_SINCOS:
        x87_put(x, 0, s);
        x87_push(x, c);
        break;
    default:
        x87_put(x, 0, special ? s : rounded(x, divide(qs, qc)));
        x87_push(x, odd_value(a) || is_inf(a) ? s : one);
        break;
    }
}

static void prem(struct x86_cpu *x, f80_t a, f80_t b, bool nearest)
{
    struct fp_env e = x87_env(x);
    uint64_t quot = 0;

    e.x87_precision = 64;
    f80_t r = f80_mod(a, b, nearest, &quot, &e);
    if (!odd_value(a) && !odd_value(b) && !(e.flags & FP_INVALID)) x->fsw &= (uint16_t)~0x4700;
    if (!(e.flags & FP_INVALID) && !odd_value(a) && !odd_value(b)) {
        x->fsw |= (uint16_t)((quot & 1 ? 0x200 : 0) | (quot & 2 ? 0x4000 : 0) | (quot & 4 ? 0x100 : 0));
    }
    x87_take(x, &e);
    x87_put(x, 0, r);
}

static void xtract(struct x86_cpu *x, f80_t a)
{
    struct fp_env e = x87_env(x);
    f80_t exp, m = a;

    if (odd_value(a)) {
        m = exp = through(x, a, a);
    } else if (is_inf(a)) {
        exp = (f80_t){ a.frac, 0x7fff };
    } else if (is_zero(a)) {
        e.flags = FP_DIVZERO;
        exp = (f80_t){ UINT64_C(0x8000000000000000), 0xffff };
        x87_take(x, &e);
    } else {
        int32_t n = (a.se & 0x7fff) - 0x3fff;
        if (!(a.se & 0x7fff)) n++, e.flags = FP_IN_DENORMAL;
        while (!(m.frac >> 63)) m.frac <<= 1, n--;
        m.se = (uint16_t)((a.se & 0x8000) | 0x3fff);
        x87_take(x, &e);
        struct fp_env quiet = qe();
        exp = f80_from_i32(n, &quiet);
    }
    x87_put(x, 0, exp);
    x87_push(x, m);
}

static f80_t scale(struct x86_cpu *x, f80_t a, f80_t b)
{
    struct fp_env e = x87_env(x), quiet = qe();
    f80_t r;

    e.x87_precision = 64;
    if (odd_value(a) || odd_value(b)) return through(x, a, b);
    if (is_inf(b)) {
        if (b.se & 0x8000) return is_inf(a) ? invalid(x) : (f80_t){ 0, (uint16_t)(a.se & 0x8000) };
        return is_zero(a) ? invalid(x) : (f80_t){ b.frac, (uint16_t)((a.se & 0x8000) | 0x7fff) };
    }
    r = f80_scalbn(a, f80_to_i32(b, FP_RTZ, &quiet), &e);
    x87_take(x, &e);
    return r;
}

void x87_function(struct x86_cpu *x, unsigned which)
{
    struct fp_env e = x87_env(x);
    bool two = which == F_YL2X || which == F_PATAN || which == F_YL2XP1 || which == F_PREM || which == F_PREM1 || which == F_SCALE;
    bool bad = !(x->ftw >> (x->ftop & 7) & 1) || (two && !(x->ftw >> ((x->ftop + 1) & 7) & 1));
    f80_t a = x87_st(x, 0), b = two ? x87_st(x, 1) : a, ind = { UINT64_C(0xc000000000000000), 0xffff };

    if (!bad) x->fsw &= (uint16_t)~0x200;
    if (bad) {
        x87_put(x, two && which != F_PREM && which != F_PREM1 && which != F_SCALE ? 1 : 0, ind);
        if (two && which != F_PREM && which != F_PREM1 && which != F_SCALE) x87_pop(x);
        if (which == F_XTRACT || which == F_SINCOS || which == F_PTAN) x87_push(x, ind);
        return;
    }
    if ((which == F_XTRACT || which == F_SINCOS || which == F_PTAN) && x->ftw >> ((x->ftop + 7) & 7) & 1) {
        x87_put(x, 0, ind);
        x87_push(x, ind); /* the stack fault */
        return;
    }
    if (which != F_SQRT && which != F_RNDINT && !odd_value(a) && !odd_value(b) && (denormal(a) || denormal(b)) &&
        !(which == F_YL2X && (a.se & 0x8000 || is_zero(a)))) {
        struct fp_env d = { .flags = FP_IN_DENORMAL };
        x87_take(x, &d);
    }
    switch (which) {
    case F_2XM1: x87_put(x, 0, f2xm1(x, a)); break;
    case F_YL2X: case F_YL2XP1:
        x87_put(x, 1, yl2x(x, a, b, which == F_YL2XP1));
        x87_pop(x);
        break;
    case F_PATAN:
        x87_put(x, 1, patan(x, a, b));
        x87_pop(x);
        break;
    case F_XTRACT: xtract(x, a); break;
    case F_PREM: case F_PREM1:
        prem(x, a, b, which == F_PREM1);
        break;
    case F_SQRT:
        a = f80_sqrt(a, &e);
        x87_take(x, &e);
        x87_put(x, 0, a);
        break;
    case F_RNDINT:
        a = f80_round_int(a, e.round, true, &e);
        x87_take(x, &e);
        x87_put(x, 0, a);
        break;
    case F_SCALE: x87_put(x, 0, scale(x, a, b)); break;
    default: trig(x, which, a); break;
    }
}
