/*
 * softfloat-host.h - the part of test-softfloat.c that asks the host's own arithmetic: SSE and x87
 * by single instructions (so that the order of NaN operands is known), everything else in C.
 */

/* ---- <fenv.h>: any host that computes float as float ---- */

#if FLT_EVAL_METHOD == 0 && defined(FE_TONEAREST) && defined(FE_TOWARDZERO) &&                     \
    defined(FE_DOWNWARD) && defined(FE_UPWARD) && defined(FE_UNDERFLOW)
#define HAVE_FENV 1

static const int host_modes[4] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};

static unsigned host_flags(void)
{
    int f = fetestexcept(FE_ALL_EXCEPT);
    return (f & FE_INVALID ? FP_INVALID : 0) | (f & FE_DIVBYZERO ? FP_DIVZERO : 0) |
           (f & FE_OVERFLOW ? FP_OVERFLOW : 0) | (f & FE_UNDERFLOW ? FP_UNDERFLOW : 0) |
           (f & FE_INEXACT ? FP_INEXACT : 0);
}

/* Tininess is the host's choice: this product is below 2^-126 by less than a quarter of a unit. */
static bool host_tiny_before(void)
{
    volatile float a = 0x1.0008p-63f, b = 0x1.fff0p-64f;
    fesetround(FE_TONEAREST);
    feclearexcept(FE_ALL_EXCEPT);
    a = a * b;
    return fetestexcept(FE_UNDERFLOW);
}

/* There are C libraries where these calls do nothing, and emulators where they do half of it. */
static bool host_fenv_works(void)
{
    volatile float a = 1, b = 3, up, down;
    bool raised;
    fesetround(FE_UPWARD);
    feclearexcept(FE_ALL_EXCEPT);
    up = a / b;
    raised = fetestexcept(FE_ALL_EXCEPT) == FE_INEXACT;
    feclearexcept(FE_ALL_EXCEPT);
    raised &= !fetestexcept(FE_ALL_EXCEPT);
    fesetround(FE_DOWNWARD);
    down = a / b;
    return raised && up > down;
}

static void report_host(const char *what, struct fp_env *env, const struct val *in, int n_in,
                        int fi, struct val got, struct val want)
{
    if (fi >= 0 && decode(&formats[fi], want).kind >= K_QNAN &&
        decode(&formats[fi], got).kind >= K_QNAN)
        got = want; /* which NaN is a matter for the tables */
    report(what, env, in, n_in, got, env->flags & FIVE, want, host_flags());
}

/* One operation in C on host type T, result of type R (format fi, or -1: an integer). */
#define HOST_OP(what, n_in, fi, T, R, U, in, soft, expr)                                           \
    do {                                                                                           \
        volatile T a, b, c;                                                                        \
        volatile R r;                                                                              \
        U bits;                                                                                    \
        R plain;                                                                                   \
        struct fp_env env = base;                                                                  \
        struct val got, want = {0, 0};                                                             \
        memcpy((void *)&a, &in##_bits[0], sizeof a);                                               \
        memcpy((void *)&b, &in##_bits[1], sizeof b);                                               \
        memcpy((void *)&c, &in##_bits[2], sizeof c);                                               \
        (void)b;                                                                                   \
        (void)c;                                                                                   \
        fesetround(host_modes[env.round]);                                                         \
        feclearexcept(FE_ALL_EXCEPT);                                                              \
        r = expr;                                                                                  \
        got = from_u64((U)(soft));                                                                 \
        plain = r;                                                                                 \
        memcpy(&bits, &plain, sizeof bits);                                                        \
        want.lo = bits;                                                                            \
        report_host(what, &env, in, n_in, fi, got, want);                                          \
    } while (0)

/* Called, not computed in place: that is done with tricks that hold in one rounding mode only. */
static float (*volatile host_rintf)(float) = rintf;
static double (*volatile host_rint)(double) = rint;

static void test_host_fenv(void)
{
    struct fp_env base = {.nan_rule = FP_NAN_FIRST, .muladd_inf_nan = FP_INFZERO_C_QUIET};
    if (!host_fenv_works()) {
        printf("the host's <fenv.h> does not work: not compared with its arithmetic\n");
        return;
    }
    base.tiny_before = host_tiny_before();
#if defined(__mips__) && !defined(__mips_nan2008)
    base.nan_legacy = true;
#endif
    for (int i = 0; i < 40000; i++) {
        struct val s[3], d[3];
        uint32_t s_bits[3];
        uint64_t d_bits[3], quot;
        bool any_nan = false;
        const bool wide = UINTPTR_MAX > UINT32_MAX;
        for (int k = 0; k < 3; k++) {
            s[k] = random_value(&formats[F32], 26);
            d[k] = random_value(&formats[F64], 55);
            s_bits[k] = (uint32_t)s[k].lo;
            d_bits[k] = d[k].lo;
            any_nan |= f32_is_nan(s_bits[k]) || f64_is_nan(d_bits[k]);
        }
        base.round = (uint8_t)below(4);
#define S(x) s_bits[x]
#define D(x) d_bits[x]
        HOST_OP("C float +", 2, F32, float, float, uint32_t, s, f32_add(S(0), S(1), &env), a + b);
        HOST_OP("C float -", 2, F32, float, float, uint32_t, s, f32_sub(S(0), S(1), &env), a - b);
        HOST_OP("C float *", 2, F32, float, float, uint32_t, s, f32_mul(S(0), S(1), &env), a * b);
        HOST_OP("C float /", 2, F32, float, float, uint32_t, s, f32_div(S(0), S(1), &env), a / b);
        HOST_OP("C double +", 2, F64, double, double, uint64_t, d,
                f64_add(D(0), D(1), &env), a + b);
        HOST_OP("C double -", 2, F64, double, double, uint64_t, d,
                f64_sub(D(0), D(1), &env), a - b);
        HOST_OP("C double *", 2, F64, double, double, uint64_t, d,
                f64_mul(D(0), D(1), &env), a * b);
        HOST_OP("C double /", 2, F64, double, double, uint64_t, d,
                f64_div(D(0), D(1), &env), a / b);
        HOST_OP("C sqrtf", 1, F32, float, float, uint32_t, s, f32_sqrt(S(0), &env), sqrtf(a));
        HOST_OP("C sqrt", 1, F64, double, double, uint64_t, d, f64_sqrt(D(0), &env), sqrt(a));
        /* loading a float into a wider register is a conversion that may not signal */
        if (!any_nan)
            HOST_OP("C float to double", 1, F64, float, double, uint64_t, s, f32_to_f64(S(0), &env),
                    (double)a);
        HOST_OP("C double to float", 1, F32, double, float, uint32_t, d, f64_to_f32(D(0), &env),
                (float)a);
        HOST_OP("C rint", 1, F64, double, double, uint64_t, d,
                f64_round_int(D(0), (enum fp_round)env.round, true, &env), host_rint(a));
        HOST_OP("C rintf", 1, F32, float, float, uint32_t, s,
                f32_round_int(S(0), (enum fp_round)env.round, true, &env), host_rintf(a));
        if (wide) /* else it is done in pieces */
            HOST_OP("C int to float", 1, F32, int32_t, float, uint32_t, s,
                    f32_from_i32((int32_t)S(0), &env), (float)a);
        if (wide)
            HOST_OP("C int64 to double", 1, F64, int64_t, double, uint64_t, d,
                    f64_from_i64((int64_t)D(0), &env), (double)a);
        HOST_OP("C ==", 2, -1, double, int32_t, uint32_t, d,
                f64_compare_quiet(D(0), D(1), &env) == FP_EQUAL, a == b);
#if HAVE_SSE && !defined(__clang__) /* many compilers compare quietly */
        HOST_OP("C <", 2, -1, float, int32_t, uint32_t, s,
                f32_compare(S(0), S(1), &env) == FP_LESS, a < b);
        HOST_OP("C >=", 2, -1, double, int32_t, uint32_t, d,
                f64_compare(D(1), D(0), &env) < FP_GREATER, a >= b);
#endif
        if (any_nan) continue;
#ifdef FP_FAST_FMA /* in one instruction; the library's substitutes are less exact about flags */
        HOST_OP("C fmaf", 3, F32, float, float, uint32_t, s,
                f32_muladd(S(0), S(1), S(2), 0, &env), fmaf(a, b, c));
        HOST_OP("C fma", 3, F64, double, double, uint64_t, d,
                f64_muladd(D(0), D(1), D(2), 0, &env), fma(a, b, c));
#endif
        base.round = FP_RNE;
        if (i & 7) continue;
        HOST_OP("C remainder", 2, F64, double, double, uint64_t, d, f64_rem(D(0), D(1), &env),
                /* some libraries lose the sign of a zero */
                remainder(a, b) == 0 ? copysign(0, a) : remainder(a, b));
        HOST_OP("C fmod", 2, F64, double, double, uint64_t, d,
                f64_mod(D(0), D(1), false, &quot, &env), fmod(a, b));
    }
}
#undef S
#undef D
#else
static void test_host_fenv(void) {}
#endif

/* ---- SSE ---- */

#if HAVE_SSE
static const unsigned x86_rc[4] = {0, 3, 1, 2}; /* of FP_RNE, RTZ, RDN, RUP */

/* The six flags in the order of MXCSR and the x87 status word. */
static unsigned from_x86_flags(unsigned f)
{
    return (f & 1 ? FP_INVALID : 0) | (f & 2 ? FP_IN_DENORMAL : 0) | (f & 4 ? FP_DIVZERO : 0) |
           (f & 8 ? FP_OVERFLOW : 0) | (f & 16 ? FP_UNDERFLOW : 0) | (f & 32 ? FP_INEXACT : 0);
}

static unsigned as_x86_flags(const struct fp_env *env)
{
    unsigned f = env->flags;
    if (f & FP_FLUSHED) f |= FP_INEXACT;
    return f & (FIVE | FP_IN_DENORMAL);
}

/* x86 has one answer to everything that does not fit. */
static uint64_t x86_int(int64_t v, const struct fp_env *env)
{
    return env->flags & FP_INVALID ? 1ull << 63 : (uint64_t)v;
}

/* code: operands, RUN(one instruction), PUT(result) */
#define SSE(what, n_in, code, soft)                                                                \
    do {                                                                                           \
        struct fp_env env = base;                                                                  \
        struct val got, want = {0, 0};                                                             \
        unsigned csr = control;                                                                    \
        code;                                                                                      \
        got = from_u64(soft);                                                                      \
        report(what, &env, in, n_in, got, as_x86_flags(&env), want, from_x86_flags(csr));          \
    } while (0)
#define RUN(...)                                                                                   \
    __asm__ volatile("ldmxcsr %0" : : "m"(csr));                                                   \
    __asm__ volatile(__VA_ARGS__);                                                                 \
    __asm__ volatile("stmxcsr %0" : "=m"(csr))
#define PUT(x)       memcpy(&want.lo, &x, sizeof x)
#define SSE_2(name, insn, t)                                                                       \
    SSE("SSE " insn, 2, t x = t##_in[0]; RUN(insn " %1, %0" : "+x"(x) : "x"(t##_in[1])); PUT(x),   \
        name(in[0].lo, in[1].lo, &env))
#define SSE_COMPARE(name, insn, t)                                                                 \
    SSE("SSE " insn, 2, uint8_t z; uint8_t p; uint8_t c;                                           \
        RUN(insn " %4, %3; setz %0; setp %1; setc %2" : "=r"(z), "=r"(p), "=r"(c)                  \
            : "x"(t##_in[0]), "x"(t##_in[1]) : "cc");                                              \
        want.lo = (uint64_t)(p ? FP_UNORDERED : z ? FP_EQUAL : c ? FP_LESS : FP_GREATER),          \
        (uint64_t)name(in[0].lo, in[1].lo, &env))
static void test_sse(const struct fp_env *env0, unsigned control)
{
    struct fp_env base = *env0;
    struct val in[3];
    float float_in[3];
    double double_in[3];
    for (int k = 0; k < 3; k++) {
        uint32_t bits;
        in[k] = random_value(&formats[F32], 26);
        bits = (uint32_t)in[k].lo;
        memcpy(&float_in[k], &bits, 4);
    }
    SSE_2(f32_add, "addss", float);
    SSE_2(f32_sub, "subss", float);
    SSE_2(f32_mul, "mulss", float);
    SSE_2(f32_div, "divss", float);
    SSE("SSE sqrtss", 1, float x; RUN("sqrtss %1, %0" : "=x"(x) : "x"(float_in[0])); PUT(x),
        f32_sqrt(in[0].lo, &env));
    SSE("SSE cvtss2sd", 1, double x; RUN("cvtss2sd %1, %0" : "=x"(x) : "x"(float_in[0])); PUT(x),
        f32_to_f64(in[0].lo, &env));
    SSE("SSE cvtss2si", 1, int64_t x; RUN("cvtss2siq %1, %0" : "=r"(x) : "x"(float_in[0])); PUT(x),
        x86_int(f32_to_i64(in[0].lo, base.round, &env), &env));
    SSE_COMPARE(f32_compare_quiet, "ucomiss", float);
    SSE_COMPARE(f32_compare, "comiss", float);
    /* 213: the second operand is the multiplicand, the first the multiplier */
    if (__builtin_cpu_supports("fma"))
        SSE("FMA vfmadd213ss", 3, float x = float_in[1];
            RUN("vfmadd213ss %2, %1, %0" : "+x"(x) : "x"(float_in[0]), "x"(float_in[2])); PUT(x),
            f32_muladd(in[0].lo, in[1].lo, in[2].lo, 0, &env));

    for (int k = 0; k < 3; k++) {
        in[k] = random_value(&formats[F64], 55);
        memcpy(&double_in[k], &in[k].lo, 8);
    }
    SSE_2(f64_add, "addsd", double);
    SSE_2(f64_sub, "subsd", double);
    SSE_2(f64_mul, "mulsd", double);
    SSE_2(f64_div, "divsd", double);
    SSE("SSE sqrtsd", 1, double x; RUN("sqrtsd %1, %0" : "=x"(x) : "x"(double_in[0])); PUT(x),
        f64_sqrt(in[0].lo, &env));
    SSE("SSE cvtsd2ss", 1, float x; RUN("cvtsd2ss %1, %0" : "=x"(x) : "x"(double_in[0])); PUT(x),
        f64_to_f32(in[0].lo, &env));
    SSE("SSE cvtsd2si", 1, int64_t x; RUN("cvtsd2siq %1, %0" : "=r"(x) : "x"(double_in[0])); PUT(x),
        x86_int(f64_to_i64(in[0].lo, base.round, &env), &env));
    SSE_COMPARE(f64_compare_quiet, "ucomisd", double);
    SSE_COMPARE(f64_compare, "comisd", double);
    SSE("SSE cvtsi2ss", 1, float x; RUN("cvtsi2ssq %1, %0" : "=x"(x) : "r"(in[0].lo)); PUT(x),
        f32_from_i64((int64_t)in[0].lo, &env));
    SSE("SSE cvtsi2sd", 1, double x; RUN("cvtsi2sdq %1, %0" : "=x"(x) : "r"(in[0].lo)); PUT(x),
        f64_from_i64((int64_t)in[0].lo, &env));
    if (__builtin_cpu_supports("sse4.1")) {
        base.round = FP_RUP;
        SSE("SSE roundsd", 1, double x; RUN("roundsd $2, %1, %0" : "=x"(x) : "x"(double_in[0]));
            PUT(x), f64_round_int(in[0].lo, FP_RUP, true, &env));
        base.round = env0->round;
    }
    if (!__builtin_cpu_supports("fma")) return;
    SSE("FMA vfmadd213sd", 3, double x = double_in[1];
        RUN("vfmadd213sd %2, %1, %0" : "+x"(x) : "x"(double_in[0]), "x"(double_in[2])); PUT(x),
        f64_muladd(in[0].lo, in[1].lo, in[2].lo, 0, &env));
    SSE("FMA vfnmsub213sd", 3, double x = double_in[1];
        RUN("vfnmsub213sd %2, %1, %0" : "+x"(x) : "x"(double_in[0]), "x"(double_in[2])); PUT(x),
        f64_muladd(in[0].lo, in[1].lo, in[2].lo,
                   (int)FP_MULADD_NEG_PRODUCT | (int)FP_MULADD_NEG_ADDEND, &env));
}

static f32_t half_to_f32(f16_t half, struct fp_env *env)
{
    f32_t r = f16_to_f32(half, env);
    env->flags &= (uint8_t)~FP_IN_DENORMAL;
    return r;
}

/* Half precision conversions, where the processor has them: all of it one way, a lot the other. */
static void test_f16c(const struct fp_env *env0, unsigned control, unsigned half)
{
    struct fp_env base = *env0;
    struct val in[1];
    uint32_t bits = half;
    float h, s;
    /* F16C has its own ideas about daz and ftz, and reports no denormal halves. Not every compiler
     * can ask for it by name; processors with AVX2 have it. */
    if (!__builtin_cpu_supports("avx2") || base.daz || base.ftz) return;
    memcpy(&h, &bits, 4);
    in[0] = from_u64(half);
    SSE("F16C vcvtph2ps", 1, float x; RUN("vcvtph2ps %1, %0" : "=x"(x) : "x"(h)); PUT(x),
        half_to_f32((f16_t)half, &env));
    in[0] = random_value(&formats[F32], 18);
    bits = (uint32_t)in[0].lo;
    memcpy(&s, &bits, 4);
    SSE("F16C vcvtps2ph", 1, float x; RUN("vcvtps2ph $4, %1, %0" : "=x"(x) : "x"(s));
        memcpy(&bits, &x, 4); want.lo = (uint16_t)bits, f32_to_f16((f32_t)in[0].lo, &env));
}

static void test_host_sse(void)
{
    unsigned saved;
    __asm__ volatile("stmxcsr %0" : "=m"(saved));
    for (unsigned i = 0; i < 0x10000; i++) {
        struct fp_env env = {.round = i & 3, .nan_rule = FP_NAN_FIRST, .nan_negative = true,
                             .muladd_inf_nan = FP_INFZERO_C_QUIET, .ftz = below(4) == 0,
                             .daz = below(4) == 0};
        unsigned control = 0x1f80 | x86_rc[env.round] << 13 | env.ftz << 15 | env.daz << 6;
        test_sse(&env, control);
        test_f16c(&env, control, i >> 2 | (i & 3) << 14);
    }
    __asm__ volatile("ldmxcsr %0" : : "m"(saved));
}
#else
static void test_host_sse(void) {}
#endif

/* ---- x87 ---- */

#if HAVE_X87
#if !HAVE_SSE
static const unsigned x86_rc[4] = {0, 3, 1, 2};
#endif

struct x87 { /* one instruction's surroundings */
    uint8_t a[16], b[16], r[16];
    uint16_t control, status;
};

static void x87_put(uint8_t *p, struct val v)
{
    uint16_t se = (uint16_t)v.hi;
    memcpy(p, &v.lo, 8);
    memcpy(p + 8, &se, 2);
}

static struct val x87_get(const uint8_t *p)
{
    struct val v = {0, 0};
    uint16_t se;
    memcpy(&v.lo, p, 8);
    memcpy(&se, p + 8, 2);
    v.hi = se;
    return v;
}

/* st(0) = a, st(1) = b; the instruction leaves its result in st(0). */
#define X87_RUN(x, insn)                                                                           \
    __asm__ volatile("fninit; fldcw %2; fldt %4; fldt %3; fnclex; " insn                           \
                     "; fnstsw %1; fstpt %0; fninit"                                               \
                     : "=m"((x)->r), "=m"((x)->status)                                             \
                     : "m"((x)->control), "m"((x)->a), "m"((x)->b)                                 \
                     : "ax", "memory")
/* From memory: b's first bytes are the operand. */
#define X87_LOAD(x, insn)                                                                          \
    __asm__ volatile("fninit; fldcw %2; " insn " %3; fnstsw %1; fstpt %0; fninit"                  \
                     : "=m"((x)->r), "=m"((x)->status)                                             \
                     : "m"((x)->control), "m"(*(x)->b))
#define X87_STORE(x, insn)                                                                         \
    __asm__ volatile("fninit; fldcw %2; fldt %3; " insn " %0; fnstsw %1; fninit"                   \
                     : "=m"((x)->r), "=m"((x)->status)                                             \
                     : "m"((x)->control), "m"((x)->a))

static unsigned x87_flags(unsigned f)
{
    return (f & 1 ? FP_INVALID : 0) | (f & 2 ? FP_IN_DENORMAL : 0) | (f & 4 ? FP_DIVZERO : 0) |
           (f & 8 ? FP_OVERFLOW : 0) | (f & 16 ? FP_UNDERFLOW : 0) | (f & 32 ? FP_INEXACT : 0);
}

static void report_x87(const char *what, const struct fp_env *env, const struct val *in, int n_in,
                       struct val got, struct val want, unsigned status)
{
    report(what, env, in, n_in, got, env->flags, want, x87_flags(status));
}

#define X87_OP(insn, n_in, op)                                                                     \
    do {                                                                                           \
        struct fp_env env = base;                                                                  \
        struct val got;                                                                            \
        X87_RUN(&x, insn);                                                                         \
        got = apply(F80, op, in[0], in[1], in[1], 0, &env);                                        \
        if (op == REM) { /* what is left after the first of several may be denormal */             \
            x.status &= ~2u;                                                                       \
            env.flags &= (uint8_t)~FP_IN_DENORMAL;                                                 \
        }                                                                                          \
        report_x87("x87 " insn, &env, in, n_in, got, x87_get(x.r), x.status);                      \
    } while (0)

#define X87_COMPARE(insn, name)                                                                    \
    do {                                                                                           \
        struct fp_env env = base;                                                                  \
        struct val got, want;                                                                      \
        unsigned cc;                                                                               \
        X87_RUN(&x, insn);                                                                         \
        cc = x.status & 0x4500;                                                                    \
        got = from_u64((uint64_t)name(to_f80(in[0]), to_f80(in[1]), &env));                        \
        want = from_u64((uint64_t)(cc == 0x4500   ? FP_UNORDERED                                   \
                                   : cc == 0x4000 ? FP_EQUAL                                       \
                                   : cc == 0x100  ? FP_LESS                                        \
                                                  : FP_GREATER));                                  \
        report_x87("x87 " insn, &env, in, 2, got, want, x.status);                                 \
    } while (0)

static void test_x87(const struct fp_env *env0, uint16_t control)
{
    struct fp_env base = *env0;
    struct x87 x;
    struct val in[2], v;
    for (int k = 0; k < 2; k++) {
        in[k] = random_value(&formats[F80], 66);
        /* Encodings that only the x87 has: any exponent with any integer bit. */
        if (below(12) == 0) in[k].lo ^= 1ull << 63;
    }
    x.control = control;
    x87_put(x.a, in[0]);
    x87_put(x.b, in[1]);
    X87_OP("fadd %%st(1), %%st", 2, ADD);
    X87_OP("fsub %%st(1), %%st", 2, SUB);
    X87_OP("fmul %%st(1), %%st", 2, MUL);
    X87_OP("fdiv %%st(1), %%st", 2, DIV);
    X87_OP("fsqrt", 1, SQRT);
    X87_OP("frndint", 1, ROUND_INT);
    X87_COMPARE("fcom", f80_compare);
    X87_COMPARE("fucom", f80_compare_quiet);
    if (below(8) == 0) /* reduces by up to 2^63 a time, until C2 is clear */
        X87_OP("1: fprem1; fnstsw %%ax; testw $0x400, %%ax; jnz 1b", 2, REM);

    { /* scaling by small integers is fxx_scalbn; the rest of fscale is the guest's business */
        struct fp_env env = base;
        int n = (int)below(66000) - 33000;
        struct val scale = from_f80(f80_from_i32(n, &env));
        if (below(2)) scale = from_f80(f80_from_i32(n /= 100, &env));
        x87_put(x.b, scale);
        X87_RUN(&x, "fscale");
        v = apply(F80, SCALBN, in[0], in[0], in[0], n, &env);
        in[1] = scale;
        report_x87("x87 fscale", &env, in, 2, v, x87_get(x.r), x.status);
    }
    {
        struct fp_env env = base;
        struct val want = {0, 0};
        X87_STORE(&x, "fstpl");
        memcpy(&want.lo, x.r, 8);
        report_x87("x87 fst m64", &env, in, 1, from_u64(f80_to_f64(to_f80(in[0]), &env)), want,
                   x.status);
    }
    {
        struct fp_env env = base;
        uint32_t w;
        X87_STORE(&x, "fstps");
        memcpy(&w, x.r, 4);
        report_x87("x87 fst m32", &env, in, 1, from_u64(f80_to_f32(to_f80(in[0]), &env)),
                   from_u64(w), x.status);
    }
    {
        struct fp_env env = base;
        struct val want = {0, 0};
        uint64_t got;
        X87_STORE(&x, "fistpll");
        memcpy(&want.lo, x.r, 8);
        got = (uint64_t)f80_to_i64(to_f80(in[0]), (enum fp_round)base.round, &env);
        if (env.flags & FP_INVALID) got = 1ull << 63;
        report_x87("x87 fist m64", &env, in, 1, from_u64(got), want, x.status);
    }
    {
        struct fp_env env = base;
        uint32_t w, got;
        X87_STORE(&x, "fistpl");
        memcpy(&w, x.r, 4);
        got = (uint32_t)f80_to_i32(to_f80(in[0]), (enum fp_round)base.round, &env);
        if (env.flags & FP_INVALID) got = 1u << 31;
        report_x87("x87 fist m32", &env, in, 1, from_u64(got), from_u64(w), x.status);
    }
    {
        struct fp_env env = base;
        v = random_value(&formats[F64], 55);
        memcpy(x.b, &v.lo, 8);
        X87_LOAD(&x, "fldl");
        report_x87("x87 fld m64", &env, &v, 1, from_f80(f64_to_f80(v.lo, &env)), x87_get(x.r),
                   x.status);
        env = base;
        X87_LOAD(&x, "fildll");
        report_x87("x87 fild m64", &env, &v, 1, from_f80(f80_from_i64((int64_t)v.lo, &env)),
                   x87_get(x.r), x.status);
    }
    {
        struct fp_env env = base;
        uint32_t w;
        v = random_value(&formats[F32], 55);
        w = (uint32_t)v.lo;
        memcpy(x.b, &w, 4);
        X87_LOAD(&x, "flds");
        report_x87("x87 fld m32", &env, &v, 1, from_f80(f32_to_f80(w, &env)), x87_get(x.r),
                   x.status);
    }
}

static void test_host_x87(void)
{
    static const uint8_t precision[4] = {24, 0, 53, 64}; /* by the control word's field */
    for (unsigned i = 0; i < 100000; i++) {
        struct fp_env env = {.round = i & 3, .nan_rule = FP_NAN_X87, .nan_negative = true};
        unsigned pc = below(3);
        pc += pc > 0; /* 1 is reserved */
        env.x87_precision = precision[pc];
        test_x87(&env, (uint16_t)(0x7f | x86_rc[env.round] << 10 | pc << 8));
    }
}
#else
static void test_host_x87(void) {}
#endif

/* ---- binary128 as the compiler's library does it ---- */

#ifndef HAVE_FENV
/* no rounding modes to compare in */
#elif LDBL_MANT_DIG == 113
#define QUAD long double
#elif HOST_GNU && defined(__SIZEOF_FLOAT128__) && defined(__x86_64__)
#define QUAD __float128
#endif

#ifdef QUAD
static QUAD quad_in(struct val v)
{
    QUAD q;
    uint64_t w[2] = {HOST_BE ? v.hi : v.lo, HOST_BE ? v.lo : v.hi};
    memcpy(&q, w, 16);
    return q;
}

static struct val quad_out(QUAD q)
{
    uint64_t w[2];
    struct val v;
    memcpy(w, &q, 16);
    v.hi = w[!HOST_BE];
    v.lo = w[HOST_BE];
    return v;
}

#define QUAD_OP(what, op, expr)                                                                    \
    do {                                                                                           \
        struct fp_env env = base;                                                                  \
        struct val got, want;                                                                      \
        volatile QUAD r;                                                                           \
        fesetround(modes[base.round]);                                                             \
        r = expr;                                                                                  \
        fesetround(FE_TONEAREST);                                                                  \
        want = quad_out(r);                                                                        \
        got = apply(F128, op, in[0], in[1], in[1], 0, &env);                                       \
        if (decode(&formats[F128], want).kind >= K_QNAN &&                                         \
            decode(&formats[F128], got).kind == K_QNAN)                                            \
            got = want;                                                                            \
        report(what, &env, in, 2, got, 0, want, 0);                                                \
    } while (0)

/* Values only: the flags are partly set, and have been checked by exact arithmetic. */
static void test_host_f128(void)
{
    const struct format *f = &formats[F128];
    static const int modes[4] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    if (!host_fenv_works()) return;
    for (unsigned i = 0; i < 100000; i++) {
        struct fp_env base = {.round = i & 3, .nan_rule = FP_NAN_FIRST};
        struct val in[2] = {random_value(f, 115), random_value(f, 115)};
        volatile QUAD a = quad_in(in[0]), b = quad_in(in[1]);
        QUAD_OP("compiler f128 +", ADD, a + b);
        QUAD_OP("compiler f128 -", SUB, a - b);
        QUAD_OP("compiler f128 *", MUL, a * b);
        QUAD_OP("compiler f128 /", DIV, a / b);
    }
}
#else
static void test_host_f128(void) {}
#endif
