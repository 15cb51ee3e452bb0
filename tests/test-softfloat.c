/*
 * test-softfloat.c - is util/softfloat right?
 *
 * Four judges, each where it is available: the host's SSE and x87 (bits, NaNs and every flag), the
 * host's C arithmetic through <fenv.h>, the compiler's binary128, and (always) exact arithmetic on
 * big integers written for this test, which covers every format and every rounding mode. What no
 * judge decides, the NaN rules of the guests, is a table. Millions of vectors are judged; what counts
 * as one test is a function (by one judge) in one rounding mode, which fails when one of its vectors
 * does. Prints vectors that failed, how many were judged, and a last line "N passed, N failed".
 */
#include "util/softfloat.h"

#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#if HOST_GNU && defined(__x86_64__)
#define HAVE_SSE 1
#define HAVE_X87 1
#elif HOST_GNU && defined(__i386__)
#define HAVE_SSE 0
#define HAVE_X87 1
#else
#define HAVE_SSE 0
#define HAVE_X87 0
#endif

#define SHOWN 40

/* A function as one judge names it, in one rounding mode. */
struct group {
    char what[32];
    uint8_t round;
    unsigned long vectors, bad;
};
enum { MAX_GROUPS = 4096 }; /* a power of two; some 1,000 are used */
static struct group groups[MAX_GROUPS];
static unsigned long vectors_failed;

static struct group *group_of(const char *what, uint8_t round)
{
    uint32_t h = 2166136261u ^ round;
    for (const char *p = what; *p; p++)
        h = (h ^ (uint8_t)*p) * 16777619u;
    for (unsigned n = 0; n < MAX_GROUPS; n++) {
        struct group *g = &groups[(h + n) % MAX_GROUPS];
        if (!g->vectors) { /* free: every group in use has one */
            snprintf(g->what, sizeof g->what, "%s", what);
            g->round = round;
        }
        if (g->round == round && !strncmp(g->what, what, sizeof g->what - 1)) return g;
    }
    fprintf(stderr, "more groups than MAX_GROUPS\n");
    exit(1);
}

/* Any value of any format: right-justified in 128 bits; x87: hi = sign and exponent. */
struct val {
    uint64_t hi, lo;
};

static void report(const char *what, const struct fp_env *env, const struct val *in, int n_in,
                   struct val got, unsigned got_flags, struct val want, unsigned want_flags)
{
    struct group *g = group_of(what, env->round);
    g->vectors++;
    if (got.hi == want.hi && got.lo == want.lo && got_flags == want_flags) return;
    g->bad++;
    if (vectors_failed++ >= SHOWN) return;
    printf("FAIL %s (round %d%s%s%s, precision %d)", what, env->round,
           env->tiny_before ? ", tiny before" : "", env->ftz ? ", ftz" : "",
           env->daz ? ", daz" : "", env->x87_precision);
    for (int i = 0; i < n_in; i++)
        printf(" %llx:%016llx", (unsigned long long)in[i].hi, (unsigned long long)in[i].lo);
    printf("\n    got  %llx:%016llx flags %02x\n    want %llx:%016llx flags %02x\n",
           (unsigned long long)got.hi, (unsigned long long)got.lo, got_flags,
           (unsigned long long)want.hi, (unsigned long long)want.lo, want_flags);
}

/* ---- operands ---- */

static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static uint64_t random64(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static unsigned below(unsigned n) { return (unsigned)(random64() >> 33) % n; }

enum { F16, BF16, F32, F64, F80, F128, N_FORMATS };

struct format {
    const char *name;
    int prec, exp_bits; /* prec with the integer bit */
    bool explicit_bit;
};

static const struct format formats[N_FORMATS] = {
    [F16] = {"f16", 11, 5, false},    [BF16] = {"bf16", 8, 8, false},
    [F32] = {"f32", 24, 8, false},    [F64] = {"f64", 53, 11, false},
    [F80] = {"f80", 64, 15, true},    [F128] = {"f128", 113, 15, false},
};

static int bias_of(const struct format *f) { return (1 << (f->exp_bits - 1)) - 1; }

/* frac: 128 bits right-justified, without the integer bit */
static struct val encode(const struct format *f, bool sign, unsigned exp, struct val frac)
{
    struct val v;
    int fbits = f->prec - 1;
    if (f->explicit_bit) {
        v.hi = (uint64_t)sign << 15 | exp;
        v.lo = frac.lo | (uint64_t)(exp != 0) << 63;
    } else if (fbits > 64) {
        v.hi = (uint64_t)sign << 63 | (uint64_t)exp << (fbits - 64) | frac.hi;
        v.lo = frac.lo;
    } else {
        v.hi = 0;
        v.lo = (uint64_t)sign << (fbits + f->exp_bits) | (uint64_t)exp << fbits | frac.lo;
    }
    return v;
}

static struct val frac_mask(const struct format *f)
{
    int fbits = f->prec - 1;
    struct val m;
    m.hi = fbits > 64 ? (1ull << (fbits - 64)) - 1 : 0;
    m.lo = fbits >= 64 ? UINT64_MAX : (1ull << fbits) - 1;
    return m;
}

/* Fractions with runs of ones and zeros, single bits, ends of the range, and plain random ones. */
static struct val random_frac(const struct format *f)
{
    struct val m = frac_mask(f), r = {random64(), random64()};
    unsigned n = below((unsigned)f->prec - 1);
    struct val bit = {n >= 64 ? 1ull << (n - 64) : 0, n < 64 ? 1ull << n : 0};
    switch (below(9)) {
    case 0: r.hi = r.lo = 0; break;
    case 1: r = m; break;
    case 2: r = bit; break;
    case 3: r.hi = 0 - bit.hi - (bit.lo != 0); r.lo = 0 - bit.lo; break;
    case 4: r.hi = ~bit.hi; r.lo = ~bit.lo; break;
    case 5: r.hi = 0; r.lo &= 7; break;
    default: break;
    }
    r.hi &= m.hi;
    r.lo &= m.lo;
    return r;
}

static struct val random_value(const struct format *f, int near)
{
    unsigned max = (1u << f->exp_bits) - 1, exp, bias = max / 2;
    struct val frac = random_frac(f);
    switch (below(10)) {
    case 0: exp = below(3); break;
    case 1: exp = max - below(3); break;
    case 2: exp = below(max + 1); break;
    case 3: exp = below((unsigned)f->prec + 4); break;
    case 4: exp = 0; break;
    case 5: exp = bias / 2 + below((unsigned)f->prec); break;
    default: exp = bias + below(2 * (unsigned)near + 1) - (unsigned)near; break;
    }
    return encode(f, random64() & 1, exp & max, frac);
}

static f80_t to_f80(struct val v)
{
    f80_t r;
    r.se = (uint16_t)v.hi;
    r.frac = v.lo;
    return r;
}

static struct val from_f80(f80_t a)
{
    struct val v = {a.se, a.frac};
    return v;
}

static f128_t to_f128(struct val v)
{
    f128_t r = {v.hi, v.lo};
    return r;
}

static struct val from_f128(f128_t a)
{
    struct val v = {a.hi, a.lo};
    return v;
}

static struct val from_u64(uint64_t a)
{
    struct val v = {0, a};
    return v;
}

/* ---- softfloat behind one signature ---- */

enum { ADD, SUB, MUL, DIV, SQRT, MULADD, REM, SCALBN, ROUND_INT, TO_I32, TO_I64, TO_U32, TO_U64,
       COMPARE, COMPARE_QUIET, MINNUM, MAXNUM, MINNUMMAG, MAXNUMMAG, MIN_, MAX_, MINNUMBER,
       MAXNUMBER, N_OPS };

static const char *const op_names[N_OPS] = {
    "add", "sub", "mul", "div", "sqrt", "muladd", "rem", "scalbn", "round_int", "to_i32", "to_i64",
    "to_u32", "to_u64", "compare", "compare_quiet", "minnum", "maxnum", "minnummag", "maxnummag",
    "min", "max", "minnumber", "maxnumber",
};

#define APPLY(f, in, out)                                                                          \
    static struct val apply_##f(int op, struct val a, struct val b, struct val c, int how,         \
                                struct fp_env *e)                                                  \
    {                                                                                              \
        switch (op) {                                                                              \
        case ADD: return out(f##_add(in(a), in(b), e));                                            \
        case SUB: return out(f##_sub(in(a), in(b), e));                                            \
        case MUL: return out(f##_mul(in(a), in(b), e));                                            \
        case DIV: return out(f##_div(in(a), in(b), e));                                            \
        case SQRT: return out(f##_sqrt(in(a), e));                                                 \
        case MULADD: return out(f##_muladd(in(a), in(b), in(c), how, e));                          \
        case REM: return out(f##_rem(in(a), in(b), e));                                            \
        case SCALBN: return out(f##_scalbn(in(a), how, e));                                        \
        case ROUND_INT: return out(f##_round_int(in(a), (enum fp_round)e->round, true, e));        \
        case TO_I32: return from_u64((uint32_t)f##_to_i32(in(a), (enum fp_round)e->round, e));     \
        case TO_I64: return from_u64((uint64_t)f##_to_i64(in(a), (enum fp_round)e->round, e));     \
        case TO_U32: return from_u64(f##_to_u32(in(a), (enum fp_round)e->round, e));               \
        case TO_U64: return from_u64(f##_to_u64(in(a), (enum fp_round)e->round, e));               \
        case COMPARE: return from_u64((uint64_t)f##_compare(in(a), in(b), e));                     \
        case COMPARE_QUIET: return from_u64((uint64_t)f##_compare_quiet(in(a), in(b), e));         \
        case MINNUM: return out(f##_minnum(in(a), in(b), e));                                      \
        case MAXNUM: return out(f##_maxnum(in(a), in(b), e));                                      \
        case MINNUMMAG: return out(f##_minnummag(in(a), in(b), e));                                \
        case MAXNUMMAG: return out(f##_maxnummag(in(a), in(b), e));                                \
        case MIN_: return out(f##_min(in(a), in(b), e));                                           \
        case MAX_: return out(f##_max(in(a), in(b), e));                                           \
        case MINNUMBER: return out(f##_minnumber(in(a), in(b), e));                                \
        default: return out(f##_maxnumber(in(a), in(b), e));                                       \
        }                                                                                          \
    }
#define IN16(x) ((f16_t)(x).lo)
#define IN32(x) ((f32_t)(x).lo)
#define IN64(x) ((x).lo)
APPLY(f16, IN16, from_u64)
APPLY(f32, IN32, from_u64)
APPLY(f64, IN64, from_u64)
APPLY(f80, to_f80, from_f80)
APPLY(f128, to_f128, from_f128)

static struct val apply(int f, int op, struct val a, struct val b, struct val c, int how,
                        struct fp_env *env)
{
    switch (f) {
    case F16: return apply_f16(op, a, b, c, how, env);
    case F32: return apply_f32(op, a, b, c, how, env);
    case F64: return apply_f64(op, a, b, c, how, env);
    case F80: return apply_f80(op, a, b, c, how, env);
    default: return apply_f128(op, a, b, c, how, env);
    }
}

/* Conversions: every pair the contract has. */
static bool convert(int from, int to, struct val a, struct val *r, struct fp_env *e)
{
    switch (from * N_FORMATS + to) {
#define PAIR(FROM, from, in, TO, to, out)                                                          \
    case FROM * N_FORMATS + TO: *r = out(from##_to_##to(in(a), e)); return true;
    PAIR(F16, f16, IN16, F32, f32, from_u64)
    PAIR(F16, f16, IN16, F64, f64, from_u64)
    PAIR(F32, f32, IN32, F16, f16, from_u64)
    PAIR(F32, f32, IN32, F64, f64, from_u64)
    PAIR(F32, f32, IN32, F80, f80, from_f80)
    PAIR(F32, f32, IN32, F128, f128, from_f128)
    PAIR(F32, f32, IN32, BF16, bf16, from_u64)
    PAIR(BF16, bf16, IN16, F32, f32, from_u64)
    PAIR(F64, f64, IN64, F16, f16, from_u64)
    PAIR(F64, f64, IN64, F32, f32, from_u64)
    PAIR(F64, f64, IN64, F80, f80, from_f80)
    PAIR(F64, f64, IN64, F128, f128, from_f128)
    PAIR(F80, f80, to_f80, F32, f32, from_u64)
    PAIR(F80, f80, to_f80, F64, f64, from_u64)
    PAIR(F80, f80, to_f80, F128, f128, from_f128)
    PAIR(F128, f128, to_f128, F32, f32, from_u64)
    PAIR(F128, f128, to_f128, F64, f64, from_u64)
    PAIR(F128, f128, to_f128, F80, f80, from_f80)
#undef PAIR
    default: return false;
    }
}

static struct val from_int(int f, bool is_signed, uint64_t v, struct fp_env *e)
{
    switch (f) {
    case F16: return from_u64(is_signed ? f16_from_i64((int64_t)v, e) : f16_from_u64(v, e));
    case F32: return from_u64(is_signed ? f32_from_i64((int64_t)v, e) : f32_from_u64(v, e));
    case F64: return from_u64(is_signed ? f64_from_i64((int64_t)v, e) : f64_from_u64(v, e));
    case F80: return from_f80(is_signed ? f80_from_i64((int64_t)v, e) : f80_from_u64(v, e));
    default: return from_f128(is_signed ? f128_from_i64((int64_t)v, e) : f128_from_u64(v, e));
    }
}

/* ---- exact arithmetic ---- */

#define LIMBS 72

struct big { /* little-endian; d[n - 1] is not zero */
    int n;
    uint32_t d[LIMBS];
};

static void big_trim(struct big *a)
{
    while (a->n && !a->d[a->n - 1]) a->n--;
}

static struct big big_make(uint64_t hi, uint64_t lo)
{
    struct big r;
    r.n = 4;
    r.d[0] = (uint32_t)lo;
    r.d[1] = (uint32_t)(lo >> 32);
    r.d[2] = (uint32_t)hi;
    r.d[3] = (uint32_t)(hi >> 32);
    big_trim(&r);
    return r;
}

static int big_bits(const struct big *a)
{
    return a->n ? 32 * a->n - (int)host_clz32(a->d[a->n - 1]) : 0;
}

static void big_shl(struct big *a, int s)
{
    int w = s / 32, b = s % 32;
    uint32_t above = 0;
    if (!a->n || !s) return;
    for (int i = a->n - 1; i >= 0; i--) {
        uint32_t x = a->d[i];
        a->d[i + w + 1] = above | (b ? x >> (32 - b) : 0);
        above = x << b;
    }
    a->d[w] = above;
    for (int i = 0; i < w; i++)
        a->d[i] = 0;
    a->n += w + 1;
    big_trim(a);
}

/* returns whether ones were lost */
static bool big_shr(struct big *a, int s)
{
    int w = s / 32, b = s % 32;
    bool lost = false;
    for (int i = 0; i < a->n && i < w; i++)
        lost |= a->d[i] != 0;
    if (w >= a->n) {
        a->n = 0;
        return lost;
    }
    if (b) lost |= (a->d[w] << (32 - b)) != 0;
    for (int i = w; i < a->n; i++)
        a->d[i - w] = a->d[i] >> b | (b && i + 1 < a->n ? a->d[i + 1] << (32 - b) : 0);
    a->n -= w;
    big_trim(a);
    return lost;
}

static int big_cmp(const struct big *a, const struct big *b)
{
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    for (int i = a->n - 1; i >= 0; i--)
        if (a->d[i] != b->d[i]) return a->d[i] < b->d[i] ? -1 : 1;
    return 0;
}

static void big_add(struct big *a, const struct big *b)
{
    uint64_t c = 0;
    int n = MAX(a->n, b->n);
    for (int i = 0; i < n; i++) {
        c += (uint64_t)(i < a->n ? a->d[i] : 0) + (i < b->n ? b->d[i] : 0);
        a->d[i] = (uint32_t)c;
        c >>= 32;
    }
    a->d[n] = (uint32_t)c;
    a->n = n + 1;
    big_trim(a);
}

static void big_sub(struct big *a, const struct big *b)
{
    uint32_t borrow = 0;
    for (int i = 0; i < a->n; i++) {
        uint64_t x = (uint64_t)a->d[i] - (i < b->n ? b->d[i] : 0) - borrow;
        a->d[i] = (uint32_t)x;
        borrow = (uint32_t)(x >> 32) & 1;
    }
    big_trim(a);
}

static struct big big_mul(const struct big *a, const struct big *b)
{
    struct big r;
    r.n = a->n + b->n;
    for (int i = 0; i < r.n; i++)
        r.d[i] = 0;
    for (int i = 0; i < a->n; i++) {
        uint64_t c = 0;
        for (int j = 0; j < b->n; j++) {
            c += (uint64_t)a->d[i] * b->d[j] + r.d[i + j];
            r.d[i + j] = (uint32_t)c;
            c >>= 32;
        }
        r.d[i + b->n] = (uint32_t)c;
    }
    big_trim(&r);
    return r;
}

/* a becomes the remainder */
static struct big big_div(struct big *a, const struct big *b)
{
    struct big q = big_make(0, 0), one = big_make(0, 1), t;
    for (int i = big_bits(a) - big_bits(b); i >= 0; i--) {
        t = *b;
        big_shl(&t, i);
        big_shl(&q, 1);
        if (big_cmp(a, &t) >= 0) {
            big_sub(a, &t);
            big_add(&q, &one);
        }
    }
    return q;
}

static struct big big_sqrt(const struct big *a, bool *exact)
{
    struct big r = big_make(0, 0), sq;
    for (int i = (big_bits(a) + 1) / 2; i >= 0; i--) {
        struct big t = big_make(0, 1);
        big_shl(&t, i);
        big_add(&t, &r);
        sq = big_mul(&t, &t);
        if (big_cmp(&sq, a) <= 0) r = t;
    }
    sq = big_mul(&r, &r);
    *exact = big_cmp(&sq, a) == 0;
    return r;
}

enum { K_ZERO, K_FINITE, K_INF, K_QNAN, K_SNAN, K_BAD };

struct exact { /* (-1)^sign * m * 2^e */
    int kind;
    bool sign;
    struct big m;
    int e;
};

static struct exact decode(const struct format *f, struct val v)
{
    struct exact x;
    int fbits = f->prec - 1, max = (1 << f->exp_bits) - 1, exp;
    struct val mask = frac_mask(f), frac = {v.hi & mask.hi, v.lo & mask.lo};
    bool integer, quiet;
    if (f->explicit_bit) {
        exp = (int)v.hi & max;
        x.sign = v.hi >> 15;
        integer = v.lo >> 63;
        frac.hi = 0;
    } else {
        exp = (int)(fbits > 64 ? v.hi >> (fbits - 64) : v.lo >> fbits) & max;
        x.sign = fbits > 64 ? v.hi >> 63 : v.lo >> (fbits + f->exp_bits) & 1;
        integer = exp != 0;
    }
    quiet = fbits > 64 ? frac.hi >> (fbits - 65) : frac.lo >> (fbits - 1);
    x.e = (exp ? exp : 1) - bias_of(f) - fbits;
    x.m = big_make(frac.hi, frac.lo);
    if (integer) {
        struct big one = big_make(0, 1);
        big_shl(&one, fbits);
        big_add(&x.m, &one);
    }
    if (exp == max)
        x.kind = !integer ? K_BAD : !(frac.hi | frac.lo) ? K_INF : quiet ? K_QNAN : K_SNAN;
    else if (exp && !integer)
        x.kind = K_BAD;
    else
        x.kind = x.m.n ? K_FINITE : K_ZERO;
    return x;
}

/* m / 2^s rounded to an integer by the book */
static struct big round_big(const struct big *m, int s, bool sign, int mode, bool *inexact)
{
    struct big k = *m, one = big_make(0, 1), back, half = one;
    int c;
    bool up = false;
    *inexact = false;
    if (s <= 0) {
        big_shl(&k, -s);
        return k;
    }
    s = MIN(s, big_bits(m) + 2); /* below a quarter is below a quarter */
    *inexact = big_shr(&k, s);
    if (!*inexact) return k;
    back = k;
    big_shl(&back, s);
    {
        struct big rest = *m;
        big_sub(&rest, &back);
        big_shl(&half, s - 1);
        c = big_cmp(&rest, &half);
    }
    bool odd = k.n && (k.d[0] & 1);
    switch (mode) {
    case FP_RNE: up = c > 0 || (c == 0 && odd); break;
    case FP_RNA: up = c >= 0; break;
    case FP_RDN: up = sign; break;
    case FP_RUP: up = !sign; break;
    case FP_RTO: up = !odd; break;
    default: break;
    }
    if (up) big_add(&k, &one);
    return k;
}

/* An exact result, rounded once. prec: to how many bits, at most the format's. */
static struct val expect(const struct format *f, struct exact x, int prec, const struct fp_env *env,
                         unsigned *flags)
{
    int emin = 1 - bias_of(f), emax = bias_of(f), max = (1 << f->exp_bits) - 1;
    int top = big_bits(&x.m) - 1 + x.e, q, qu = top - prec + 1, exp;
    bool inexact, tiny;
    struct big k;
    struct val frac = {0, 0};

    if (x.kind == K_ZERO || !x.m.n) return encode(f, x.sign, 0, frac);
    k = round_big(&x.m, qu - x.e, x.sign, env->round, &inexact);
    tiny = env->tiny_before ? top < emin : big_bits(&k) - 1 + qu < emin;
    if (tiny && env->ftz) {
        *flags |= FP_FLUSHED | FP_UNDERFLOW;
        return encode(f, x.sign, 0, frac);
    }
    q = MAX(qu, emin - prec + 1);
    k = round_big(&x.m, q - x.e, x.sign, env->round, &inexact);
    if (inexact) *flags |= FP_INEXACT;
    if (big_bits(&k) - 1 + q > emax) {
        bool away = env->round == FP_RNE || env->round == FP_RNA ||
                    env->round == (x.sign ? FP_RDN : FP_RUP);
        *flags |= FP_OVERFLOW | FP_INEXACT;
        if (away) return encode(f, x.sign, (unsigned)max, frac);
        k = big_make(0, 1);
        big_shl(&k, prec);
        {
            struct big one = big_make(0, 1);
            big_sub(&k, &one);
        }
        q = emax - prec + 1;
    }
    if (tiny && inexact) *flags |= FP_UNDERFLOW;
    big_shl(&k, f->prec - prec);
    q -= f->prec - prec;
    if (big_bits(&k) > f->prec) {
        big_shr(&k, 1);
        q++;
    }
    exp = big_bits(&k) == f->prec ? q + f->prec - 1 + bias_of(f) : 0;
    for (int i = k.n; i < 4; i++)
        k.d[i] = 0;
    frac.lo = (uint64_t)k.d[1] << 32 | k.d[0];
    frac.hi = (uint64_t)k.d[3] << 32 | k.d[2];
    frac.lo &= frac_mask(f).lo;
    frac.hi &= frac_mask(f).hi;
    return encode(f, x.sign, (unsigned)exp, frac);
}

/* The exact sum; false if the exponents are too far apart for this arithmetic. */
static bool exact_add(struct exact *x, struct exact y, int round)
{
    int d = x->e - y.e, c;
    if (d > 1900 || d < -1900) return false;
    if (d > 0) {
        big_shl(&x->m, d);
        x->e = y.e;
    } else {
        big_shl(&y.m, -d);
    }
    if (x->sign == y.sign) {
        big_add(&x->m, &y.m);
        return true;
    }
    c = big_cmp(&x->m, &y.m);
    if (c >= 0) {
        big_sub(&x->m, &y.m);
        if (c == 0) x->sign = round == FP_RDN;
    } else {
        big_sub(&y.m, &x->m);
        x->m = y.m;
        x->sign = y.sign;
    }
    if (!x->m.n) x->kind = K_ZERO;
    return true;
}

/* Finite operands, result by exact arithmetic; false: no opinion. */
static bool reference(const struct format *f, int op, const struct val *in, int how,
                      const struct fp_env *env, struct val *want, unsigned *flags)
{
    struct exact x = decode(f, in[0]), y = decode(f, in[1]), z = decode(f, in[2]);
    struct big one = big_make(0, 1);
    int prec = f->explicit_bit && env->x87_precision ? env->x87_precision : f->prec;
    bool exact = true;

    *flags = 0;
    if (x.kind != K_FINITE) return false;
    if (op != SQRT && op != SCALBN && op != ROUND_INT && !(op >= TO_I32 && op <= TO_U64) &&
        y.kind != K_FINITE)
        return false;
    switch (op) {
    case SUB: y.sign = !y.sign; /* fall through */
    case ADD:
        if (!exact_add(&x, y, env->round)) return false;
        break;
    case MULADD:
    case MUL:
        x.m = big_mul(&x.m, &y.m);
        x.e += y.e;
        x.sign ^= y.sign;
        if (op == MUL) break;
        if (z.kind != K_FINITE) return false;
        if (how & FP_MULADD_NEG_PRODUCT) x.sign = !x.sign;
        if (how & FP_MULADD_NEG_ADDEND) z.sign = !z.sign;
        if (!exact_add(&x, z, env->round)) return false;
        break;
    case DIV:
        big_shl(&x.m, 300);
        x.e -= 300 + y.e;
        x.sign ^= y.sign;
        {
            struct big q = big_div(&x.m, &y.m);
            exact = !x.m.n;
            x.m = q;
        }
        break;
    case SQRT: {
        if (x.sign) return false;
        int s = 300 + (x.e & 1);
        big_shl(&x.m, s);
        x.m = big_sqrt(&x.m, &exact);
        x.e = (x.e - s) / 2;
        break;
    }
    case REM: {
        int d = x.e - y.e, c;
        struct big q, twice;
        if (d > 1900 || d < -1900) return false;
        if (d > 0) big_shl(&x.m, d);
        else big_shl(&y.m, -d);
        x.e = MIN(x.e, y.e);
        q = big_div(&x.m, &y.m);
        twice = x.m;
        big_shl(&twice, 1);
        c = big_cmp(&twice, &y.m);
        if (c > 0 || (c == 0 && q.n && (q.d[0] & 1))) {
            big_sub(&y.m, &x.m);
            x.m = y.m;
            x.sign = !x.sign;
        }
        prec = f->prec;
        break;
    }
    case SCALBN:
        x.e += how;
        prec = f->prec;
        break;
    case ROUND_INT: {
        bool inexact;
        x.m = round_big(&x.m, MAX(-x.e, 0), x.sign, env->round, &inexact);
        x.e = MAX(x.e, 0);
        if (inexact) *flags |= FP_INEXACT;
        prec = f->prec;
        break;
    }
    case TO_I32:
    case TO_I64:
    case TO_U32:
    case TO_U64: {
        bool inexact = false, is_signed = op == TO_I32 || op == TO_I64;
        int n = op == TO_I32 || op == TO_U32 ? 32 : 64;
        struct big limit = big_make(0, 1);
        uint64_t mag;
        if (x.e > 64) x.e = 64;
        x.m = round_big(&x.m, -x.e, x.sign, env->round, &inexact);
        big_shl(&limit, is_signed ? n - 1 : n);
        if (!x.sign) big_sub(&limit, &one);
        if (x.sign && !is_signed) limit = big_make(0, 0);
        if (big_cmp(&x.m, &limit) > 0) {
            *flags |= FP_INVALID;
            x.m = limit;
        } else if (inexact) {
            *flags |= FP_INEXACT;
        }
        for (int i = x.m.n; i < 2; i++)
            x.m.d[i] = 0;
        mag = (uint64_t)x.m.d[1] << 32 | x.m.d[0];
        if (x.sign) mag = 0 - mag;
        *want = from_u64(n == 32 ? (uint32_t)mag : mag);
        return true;
    }
    default:
        return false;
    }
    if (!exact) { /* somewhere between m and m + 1 */
        big_shl(&x.m, 1);
        big_add(&x.m, &one);
        x.e--;
    }
    if (x.m.n) x.kind = K_FINITE;
    *want = expect(f, x, prec, env, flags);
    return true;
}

#define FIVE (FP_INVALID | FP_DIVZERO | FP_OVERFLOW | FP_UNDERFLOW | FP_INEXACT)

static void test_against_exact(int fi, int rounds)
{
    static const int ops[] = {ADD, SUB, MUL, DIV, SQRT, MULADD, REM, SCALBN, ROUND_INT,
                              TO_I32, TO_I64, TO_U32, TO_U64};
    const struct format *f = &formats[fi];
    static const uint8_t precisions[] = {0, 24, 53, 64};
    char what[32];
    for (int i = 0; i < rounds; i++) {
        for (int k = 0; k < (int)ARRAY_LEN(ops); k++) {
            struct fp_env env = {.round = (uint8_t)below(6), .tiny_before = random64() & 1,
                                 .ftz = below(4) == 0};
            int near = fi == F16 ? 4 : ops[k] >= ROUND_INT ? 70 : f->prec + 3;
            struct val in[3], got, want;
            int how = ops[k] == MULADD ? (int)below(4) : 0;
            unsigned flags;
            for (int o = 0; o < 3; o++)
                in[o] = random_value(f, near);
            if (ops[k] == SCALBN) how = (int)below(1u << f->exp_bits) - (1 << f->exp_bits) / 2;
            if (fi == F80) env.x87_precision = precisions[below(4)];
            if (!reference(f, ops[k], in, how, &env, &want, &flags)) continue;
            got = apply(fi, ops[k], in[0], in[1], in[2], how, &env);
            snprintf(what, sizeof what, "%s %s", f->name, op_names[ops[k]]);
            report(what, &env, in, 3, got, env.flags & (FIVE | FP_FLUSHED), want, flags);
            if (ops[k] == MULADD) { /* the negated result is the result, negated */
                struct val neg;
                env.flags = 0;
                neg = apply(fi, MULADD, in[0], in[1], in[2], how | FP_MULADD_NEG_RESULT, &env);
                want = got;
                if (fi == F80) want.hi ^= 0x8000;
                else if (fi == F128) want.hi ^= 1ull << 63;
                else want.lo ^= 1ull << (f->prec - 1 + f->exp_bits);
                report(what, &env, in, 3, neg, env.flags & (FIVE | FP_FLUSHED), want, flags);
            }
        }
    }
}

static void test_conversions(int rounds)
{
    char what[32];
    for (int from = 0; from < N_FORMATS; from++)
        for (int to = 0; to < N_FORMATS; to++)
            for (int i = 0; i < rounds; i++) {
                struct fp_env env = {.round = (uint8_t)below(6), .tiny_before = random64() & 1,
                                     .ftz = below(4) == 0};
                struct val a = random_value(&formats[from], 20), got, want;
                unsigned flags = 0;
                struct exact x;
                if (below(2)) { /* around the ends of the other format's range */
                    int exp = bias_of(&formats[from]) + (below(2) ? 1 : -1) * bias_of(&formats[to]);
                    exp += (int)below(60) - 50;
                    if (exp > 0 && exp < 2 * bias_of(&formats[from]))
                        a = encode(&formats[from], below(2), (unsigned)exp,
                                   random_frac(&formats[from]));
                }
                x = decode(&formats[from], a);
                if (x.kind > K_FINITE || !convert(from, to, a, &got, &env)) continue;
                want = expect(&formats[to], x, formats[to].prec, &env, &flags);
                snprintf(what, sizeof what, "%s to %s", formats[from].name, formats[to].name);
                report(what, &env, &a, 1, got, env.flags & (FIVE | FP_FLUSHED), want, flags);
            }
    for (int to = 0; to < N_FORMATS; to++)
        for (int i = 0; i < rounds && to != BF16; i++) {
            struct fp_env env = {.round = (uint8_t)below(6)};
            uint64_t v = (int64_t)random64() >> below(64);
            bool is_signed = below(2), minus = is_signed && (int64_t)v < 0;
            struct exact x = {v ? K_FINITE : K_ZERO, minus, big_make(0, minus ? 0 - v : v), 0};
            struct val got = from_int(to, is_signed, v, &env), a = {0, v};
            unsigned flags = 0;
            struct val want = expect(&formats[to], x, formats[to].prec, &env, &flags);
            snprintf(what, sizeof what, "%s from %c64", formats[to].name, is_signed ? 'i' : 'u');
            report(what, &env, &a, 1, got, env.flags, want, flags);
        }
}

/* Everything there is of binary16 with one operand, and a slice of what there is with two. */
static void test_f16(void)
{
    static const int unary[] = {SQRT, ROUND_INT, TO_I32, TO_U32, TO_I64, TO_U64};
    const struct format *f = &formats[F16];
    char what[32];
    for (unsigned a = 0; a < 0x10000; a++) {
        struct val in[3] = {{0, a}, {0, 0}, {0, 0}};
        struct fp_env env = {0};
        struct val got, want;
        unsigned flags;
        for (int k = 0; k < (int)ARRAY_LEN(unary); k++) {
            memset(&env, 0, sizeof env);
            env.round = (uint8_t)below(6);
            if (!reference(f, unary[k], in, 0, &env, &want, &flags)) continue;
            got = apply(F16, unary[k], in[0], in[1], in[2], 0, &env);
            snprintf(what, sizeof what, "f16 %s", op_names[unary[k]]);
            report(what, &env, in, 1, got, env.flags & FIVE, want, flags);
        }
        for (int k = ADD; k <= DIV; k++) {
            memset(&env, 0, sizeof env);
            env.round = (uint8_t)below(6);
            in[1] = random_value(f, 12);
            if (!reference(f, k, in, 0, &env, &want, &flags)) continue;
            got = apply(F16, k, in[0], in[1], in[2], 0, &env);
            snprintf(what, sizeof what, "f16 %s", op_names[k]);
            report(what, &env, in, 2, got, env.flags & FIVE, want, flags);
        }
    }
}

#include "tests/softfloat-host.h"
#include "tests/softfloat-tables.h"

int main(void)
{
    fenv_t start;
    fegetenv(&start);
    test_against_exact(F16, 20000);
    test_against_exact(F32, 20000);
    test_against_exact(F64, 20000);
    test_against_exact(F80, 20000);
    test_against_exact(F128, 20000);
    test_conversions(10000);
    test_f16();
    test_tables();
    test_special();
    test_host_fenv();
    test_host_sse();
    test_host_x87();
    test_host_f128();
    fesetenv(&start);
    unsigned long vectors = 0;
    unsigned passed = 0, failed = 0;
    for (const struct group *g = groups; g < groups + MAX_GROUPS; g++) {
        vectors += g->vectors;
        if (g->bad) printf("%s, round %d: %lu of %lu\n", g->what, g->round, g->bad, g->vectors);
        failed += g->bad != 0;
        passed += g->vectors && !g->bad;
    }
    printf("%lu vectors, %lu wrong\n%u passed, %u failed\n", vectors, vectors_failed, passed, failed);
    return failed != 0;
}
