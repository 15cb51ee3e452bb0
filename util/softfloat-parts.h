/*
 * softfloat-parts.h - what the floating-point templates share: number classes, format
 * descriptions, and unsigned significands of 64 and 128 bits with one set of operation names.
 *
 * Private to util/softfloat*.c. A significand is held left-justified: for a normal number the
 * integer bit is the top bit, whatever the format, so the bits below the format's precision are
 * guard bits and the lowest one doubles as the sticky bit ("jam": a shift that loses ones leaves a
 * one in the lowest place). Algorithms: Knuth, TAOCP 2, 4.3.1 (division); Zimmermann, "Karatsuba
 * Square Root", INRIA RR-3805 (square root).
 */
#ifndef UTIL_SOFTFLOAT_PARTS_H
#define UTIL_SOFTFLOAT_PARTS_H

#include "util/softfloat.h"

/* Classes of numbers, as bits so that operand pairs can be tested at once. */
enum fp_class {
    FP_CLS_ZERO = 1,
    FP_CLS_NORMAL = 2, /* finite and not zero; denormals are normalised when unpacked */
    FP_CLS_INF = 4,
    FP_CLS_QNAN = 8,
    FP_CLS_SNAN = 16,
    FP_CLS_BAD = 32, /* an x87 encoding that is no number at all */
    FP_CLS_NAN = FP_CLS_QNAN | FP_CLS_SNAN | FP_CLS_BAD,
};

struct fp_fmt {
    int prec;    /* significand bits with the integer bit, stored or not */
    int bias;    /* of the exponent; 1 - bias is the least normal exponent */
    int exp_max; /* the exponent field of infinities and NaNs */
};

typedef uint64_t sig64_t;
typedef struct { uint64_t hi, lo; } sig128_t;

/* ---- 64 bits ---- */

static inline sig64_t sig64_zero(void) { return 0; }
static inline sig64_t sig64_ones(void) { return UINT64_MAX; }
static inline sig64_t sig64_from_top(uint64_t top) { return top; } /* the top 64 bits; rest zero */
static inline uint64_t sig64_top(sig64_t a) { return a; }
static inline bool sig64_is_zero(sig64_t a) { return a == 0; }
static inline bool sig64_lt(sig64_t a, sig64_t b) { return a < b; }
static inline bool sig64_eq(sig64_t a, sig64_t b) { return a == b; }
static inline sig64_t sig64_or(sig64_t a, sig64_t b) { return a | b; }
static inline sig64_t sig64_and(sig64_t a, sig64_t b) { return a & b; }
static inline sig64_t sig64_not(sig64_t a) { return ~a; }
static inline unsigned sig64_clz(sig64_t a) { return host_clz64(a); }
static inline sig64_t sig64_jam(sig64_t a, bool sticky) { return a | sticky; }
static inline sig64_t sig64_sub(sig64_t a, sig64_t b) { return a - b; }

static inline sig64_t sig64_add(sig64_t a, sig64_t b, bool *carry)
{
    sig64_t s = a + b;
    *carry = s < a;
    return s;
}

/* n below the width */
static inline sig64_t sig64_shl(sig64_t a, unsigned n) { return a << n; }
static inline sig64_t sig64_shr(sig64_t a, unsigned n) { return a >> n; }

/* any n */
static inline sig64_t sig64_shr_jam(sig64_t a, unsigned n)
{
    if (n == 0) return a;
    if (n < 64) return (a >> n) | ((a << (64 - n)) != 0);
    return a != 0;
}

/* floor(a / 2^n) for 0 <= n <= 64 */
static inline uint64_t sig64_int(sig64_t a, unsigned n) { return n < 64 ? a >> n : 0; }

/* returns the high half */
static inline sig64_t sig64_mul(sig64_t a, sig64_t b, sig64_t *lo)
{
    uint64_t hi;
    *lo = host_mul64u(a, b, &hi);
    return hi;
}

/* One digit of base 2^32: (r:next) / d with r < d and d's top bit set; r becomes the remainder. */
static inline uint64_t sig64_div_digit(uint64_t *r, uint32_t next, uint64_t d)
{
    uint64_t dh = d >> 32, dl = (uint32_t)d;
    uint64_t q = *r / dh, rest = *r % dh;
    /* The estimate from the leading digit of d is at most two too large. */
    while ((q >> 32) || q * dl > (rest << 32 | next)) {
        q--;
        rest += dh;
        if (rest >> 32) break;
    }
    *r = (*r << 32 | next) - q * d;
    return q;
}

/* hi:lo / d with hi < d and d's top bit set; returns the quotient */
static inline uint64_t sig64_div_wide(uint64_t hi, uint64_t lo, uint64_t d, uint64_t *rem)
{
    uint64_t q1 = sig64_div_digit(&hi, (uint32_t)(lo >> 32), d);
    uint64_t q0 = sig64_div_digit(&hi, (uint32_t)lo, d);
    *rem = hi;
    return q1 << 32 | q0;
}

/* a:0 / b, shifted right by one if half is set; the quotient must fit; jammed. */
static inline sig64_t sig64_div(sig64_t a, sig64_t b, bool half)
{
    uint64_t rem, q = sig64_div_wide(half ? a >> 1 : a, half ? a << 63 : 0, b, &rem);
    return q | (rem != 0);
}

/* Square root by digits of x >= 2^30; *rem = x - root^2. */
static inline uint32_t sig32_root(uint32_t x, uint32_t *rem)
{
    uint32_t root = 0, bit = 1u << 30;
    while (bit) {
        uint32_t t = root + bit;
        root >>= 1;
        if (x >= t) {
            x -= t;
            root += bit;
        }
        bit >>= 2;
    }
    *rem = x;
    return root;
}

/* The same of x >= 2^62: root of the high half, then one division for the low half. */
static inline uint64_t sig64_root(uint64_t x, uint64_t *rem)
{
    uint32_t r1;
    uint64_t s1 = sig32_root((uint32_t)(x >> 32), &r1);
    uint64_t n = (uint64_t)r1 << 16 | (uint16_t)(x >> 16);
    uint64_t q = n / (2 * s1), u = n % (2 * s1);
    uint64_t s = (s1 << 16) + q, r = (u << 16 | (uint16_t)x) - q * q;
    if ((int64_t)r < 0) {
        r += 2 * s - 1;
        s--;
    }
    *rem = r;
    return s;
}

/* The same of hi:lo, hi >= 2^62. */
static inline uint64_t sig128_root(uint64_t hi, uint64_t lo, sig128_t *rem)
{
    uint64_t r1, s1 = sig64_root(hi, &r1);
    /* r1 may have 33 bits, so r1:next would not fit: divide by s1 and put the last bit back. */
    uint64_t n = r1 << 31 | lo >> 33;
    uint64_t q = n / s1, u = (n % s1) << 1 | (lo >> 32 & 1);
    uint64_t s = (s1 << 32) + q; /* modulo 2^64: a carry out is undone by the correction */
    uint64_t sq_hi, sq_lo = host_mul64u(q, q, &sq_hi);
    uint64_t rl = u << 32 | (uint32_t)lo, rh = u >> 32;
    rh = rh - sq_hi - (rl < sq_lo);
    rl -= sq_lo;
    if ((int64_t)rh < 0) {
        uint64_t old = rl;
        s--;
        rl += s << 1 | 1; /* 2 * (s + 1) - 1 */
        rh += (s >> 63) + (rl < old);
    }
    rem->hi = rh;
    rem->lo = rl;
    return s;
}

/* a times 2^63 (half) or 2^64: its root has the top bit set; jammed. */
static inline sig64_t sig64_sqrt(sig64_t a, bool half)
{
    sig128_t rem;
    uint64_t s = half ? sig128_root(a >> 1, a << 63, &rem) : sig128_root(a, 0, &rem);
    return s | ((rem.hi | rem.lo) != 0);
}

/* ---- 128 bits ---- */

static inline sig128_t sig128_make(uint64_t hi, uint64_t lo)
{
    sig128_t r = {hi, lo};
    return r;
}

static inline sig128_t sig128_zero(void) { return sig128_make(0, 0); }
static inline sig128_t sig128_ones(void) { return sig128_make(UINT64_MAX, UINT64_MAX); }
static inline sig128_t sig128_from_top(uint64_t top) { return sig128_make(top, 0); }
static inline uint64_t sig128_top(sig128_t a) { return a.hi; }
static inline bool sig128_is_zero(sig128_t a) { return (a.hi | a.lo) == 0; }
static inline bool sig128_eq(sig128_t a, sig128_t b) { return a.hi == b.hi && a.lo == b.lo; }
static inline sig128_t sig128_not(sig128_t a) { return sig128_make(~a.hi, ~a.lo); }

static inline bool sig128_lt(sig128_t a, sig128_t b)
{
    return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

static inline sig128_t sig128_or(sig128_t a, sig128_t b)
{
    return sig128_make(a.hi | b.hi, a.lo | b.lo);
}

static inline sig128_t sig128_and(sig128_t a, sig128_t b)
{
    return sig128_make(a.hi & b.hi, a.lo & b.lo);
}

static inline unsigned sig128_clz(sig128_t a)
{
    return a.hi ? host_clz64(a.hi) : 64 + host_clz64(a.lo);
}

static inline sig128_t sig128_jam(sig128_t a, bool sticky)
{
    return sig128_make(a.hi, a.lo | sticky);
}

static inline sig128_t sig128_sub(sig128_t a, sig128_t b)
{
    return sig128_make(a.hi - b.hi - (a.lo < b.lo), a.lo - b.lo);
}

static inline sig128_t sig128_add(sig128_t a, sig128_t b, bool *carry)
{
    sig128_t s;
    bool c;
    s.lo = a.lo + b.lo;
    c = s.lo < a.lo;
    s.hi = a.hi + b.hi;
    *carry = s.hi < a.hi;
    s.hi += c;
    *carry |= s.hi < c;
    return s;
}

static inline sig128_t sig128_shl(sig128_t a, unsigned n)
{
    if (n == 0) return a;
    if (n < 64) return sig128_make(a.hi << n | a.lo >> (64 - n), a.lo << n);
    return sig128_make(a.lo << (n - 64), 0);
}

static inline sig128_t sig128_shr(sig128_t a, unsigned n)
{
    if (n == 0) return a;
    if (n < 64) return sig128_make(a.hi >> n, a.hi << (64 - n) | a.lo >> n);
    return sig128_make(0, a.hi >> (n - 64));
}

static inline sig128_t sig128_shr_jam(sig128_t a, unsigned n)
{
    if (n == 0) return a;
    if (n >= 128) return sig128_make(0, !sig128_is_zero(a));
    return sig128_jam(sig128_shr(a, n), !sig128_is_zero(sig128_shl(a, 128 - n)));
}

/* floor(a / 2^n), which must fit, for 64 <= n <= 128 */
static inline uint64_t sig128_int(sig128_t a, unsigned n) { return n < 128 ? a.hi >> (n - 64) : 0; }

static inline sig128_t sig128_mul(sig128_t a, sig128_t b, sig128_t *lo)
{
    sig128_t hh, hl, lh, ll, mid;
    bool c1, c2;
    hh.lo = host_mul64u(a.hi, b.hi, &hh.hi);
    hl.lo = host_mul64u(a.hi, b.lo, &hl.hi);
    lh.lo = host_mul64u(a.lo, b.hi, &lh.hi);
    ll.lo = host_mul64u(a.lo, b.lo, &ll.hi);
    mid = sig128_add(hl, lh, &c1);
    mid = sig128_add(mid, sig128_make(0, ll.hi), &c2);
    *lo = sig128_make(mid.lo, ll.lo);
    return sig128_add(hh, sig128_make(c1 + c2, mid.hi), &c1);
}

/* One digit of base 2^64: (r:next) / d with r < d and d's top bit set; r becomes the remainder. */
static inline uint64_t sig128_div_digit(sig128_t *r, uint64_t next, sig128_t d)
{
    uint64_t q, rest;
    sig128_t p;
    bool over = false;
    if (r->hi >= d.hi) {
        q = UINT64_MAX;
        rest = r->lo + d.hi;
        over = rest < d.hi;
    } else {
        q = sig64_div_wide(r->hi, r->lo, d.hi, &rest);
    }
    p.lo = host_mul64u(q, d.lo, &p.hi);
    while (!over && sig128_lt(sig128_make(rest, next), p)) {
        q--;
        rest += d.hi;
        over = rest < d.hi;
        p = sig128_sub(p, sig128_make(0, d.lo));
    }
    /* r:next - q * d; what remains has two words, so the third word up needs no computing */
    *r = sig128_sub(sig128_make(r->lo, next), sig128_make(p.hi + q * d.hi, p.lo));
    return q;
}

static inline sig128_t sig128_div(sig128_t a, sig128_t b, bool half)
{
    sig128_t q, r = half ? sig128_shr(a, 1) : a;
    q.hi = sig128_div_digit(&r, half ? a.lo << 63 : 0, b);
    q.lo = sig128_div_digit(&r, 0, b);
    return sig128_jam(q, !sig128_is_zero(r));
}

/*
 * a times 2^127 (half) or 2^128, for an a whose lowest bit is zero. 116 bits of root are enough for
 * every format; the others are only represented by the sticky bit.
 */
static inline sig128_t sig128_sqrt(sig128_t a, bool half)
{
    sig128_t r, t, s;
    if (half) a = sig128_shr(a, 1);
    s = sig128_make(0, sig128_root(a.hi, a.lo, &r));
    for (int i = 0; i < 52; i++) {
        r = sig128_shl(r, 2);
        t = sig128_jam(sig128_shl(s, 2), true);
        s = sig128_shl(s, 1);
        if (!sig128_lt(r, t)) {
            r = sig128_sub(r, t);
            s.lo |= 1;
        }
    }
    return sig128_jam(sig128_shl(s, 12), !sig128_is_zero(r));
}

#endif
