/*
 * softfloat-tables.h - the part of test-softfloat.c that no computation can judge: which NaN comes
 * out under which guest's rule, what minimum and maximum do with NaNs and zeros, and the flags of
 * flushing. The values are the architecture manuals'. Then: are special operands (zeros,
 * infinities, NaNs) treated alike in every format?
 */

static const struct fp_env env_arm = {.nan_rule = FP_NAN_SNAN_FIRST, .tiny_before = true,
                                      .muladd_order = FP_MULADD_CAB};
static const struct fp_env env_x86 = {.nan_rule = FP_NAN_FIRST, .nan_negative = true,
                                      .muladd_inf_nan = FP_INFZERO_C_QUIET};
static const struct fp_env env_ppc = {.nan_rule = FP_NAN_FIRST, .tiny_before = true,
                                      .muladd_inf_nan = FP_INFZERO_C_INVALID,
                                      .muladd_order = FP_MULADD_ACB};
static const struct fp_env env_sparc = {.nan_rule = FP_NAN_SECOND, .nan_ones = true};
static const struct fp_env env_x87 = {.nan_rule = FP_NAN_X87, .nan_negative = true};
static const struct fp_env env_riscv = {.nan_rule = FP_NAN_DEFAULT};
static const struct fp_env env_mips = {.nan_rule = FP_NAN_MIPS_LEGACY, .nan_legacy = true};

/* binary32; Q and S carry their number as payload, the even ones are negative */
#define ONE  0x3f800000u
#define ZERO 0u
#define INF  0x7f800000u
#define NEG  0x80000000u
#define Q1   0x7fc00001u
#define Q2   0xffc00002u
#define Q3   0x7fc00003u
#define S1   0x7f800001u
#define S2   0xff800002u
#define S3   0x7f800003u
/* legacy encoding */
#define LQ1  0x7f800001u
#define LQ2  0xff800002u
#define LS1  0x7fc00001u
#define LS2  0xffc00002u

struct nan_case {
    const char *what;
    const struct fp_env *env;
    uint32_t a, b, want;
    unsigned flags;
};

static const struct nan_case add_cases[] = {
    {"Arm", &env_arm, Q1, S2, Q2, FP_INVALID},
    {"Arm", &env_arm, S1, Q2, Q1, FP_INVALID},
    {"Arm", &env_arm, S1, S2, Q1, FP_INVALID},
    {"Arm", &env_arm, Q1, Q2, Q1, 0},
    {"Arm", &env_arm, ONE, Q2, Q2, 0},
    {"Arm", &env_arm, INF, INF | NEG, 0x7fc00000, FP_INVALID},
    {"x86", &env_x86, Q1, S2, Q1, FP_INVALID},
    {"x86", &env_x86, S1, Q2, Q1, FP_INVALID},
    {"x86", &env_x86, Q2, Q1, Q2, 0},
    {"x86", &env_x86, ONE, S2, Q2, FP_INVALID},
    {"x86", &env_x86, INF, INF | NEG, 0xffc00000, FP_INVALID},
    {"SPARC", &env_sparc, Q1, Q2, Q2, 0},
    {"SPARC", &env_sparc, S1, Q2, Q1, FP_INVALID},
    {"SPARC", &env_sparc, S1, S2, Q2, FP_INVALID},
    {"SPARC", &env_sparc, Q1, ONE, Q1, 0},
    {"SPARC", &env_sparc, INF, INF | NEG, 0x7fffffff, FP_INVALID},
    {"x87", &env_x87, Q1, Q2, Q2, 0},
    {"x87", &env_x87, Q2, Q1, Q2, 0},
    {"x87", &env_x87, S3, Q2, Q2, FP_INVALID},
    {"x87", &env_x87, S3, S2, Q3, FP_INVALID},
    {"x87", &env_x87, Q1 | NEG, Q1, Q1, 0},
    {"RISC-V", &env_riscv, Q1, Q2, 0x7fc00000, 0},
    {"RISC-V", &env_riscv, ONE, S2, 0x7fc00000, FP_INVALID},
    {"MIPS legacy", &env_mips, LQ1, LQ2, LQ1, 0},
    {"MIPS legacy", &env_mips, ONE, LQ2, LQ2, 0},
    {"MIPS legacy", &env_mips, LQ1, LS2, 0x7fbfffff, FP_INVALID},
    {"MIPS legacy", &env_mips, LS1, ONE, 0x7fbfffff, FP_INVALID},
    {"MIPS legacy", &env_mips, INF, INF | NEG, 0x7fbfffff, FP_INVALID},
};

static const struct muladd_case {
    const char *what;
    const struct fp_env *env;
    uint32_t a, b, c, want;
    unsigned flags;
} muladd_cases[] = {
    {"Arm fma", &env_arm, Q1, Q2, Q3, Q3, 0},
    {"Arm fma", &env_arm, Q1, S2, Q3, Q2, FP_INVALID},
    {"Arm fma", &env_arm, INF, ZERO, Q3, 0x7fc00000, FP_INVALID},
    {"Arm fma", &env_arm, INF, ZERO, S3, Q3, FP_INVALID},
    {"Arm fma", &env_arm, INF, ZERO, ONE, 0x7fc00000, FP_INVALID},
    {"x86 fma", &env_x86, Q1, Q2, Q3, Q1, 0},
    {"x86 fma", &env_x86, ONE, Q2, Q3, Q2, 0},
    {"x86 fma", &env_x86, ONE, Q2, S3, Q2, FP_INVALID},
    {"x86 fma", &env_x86, ZERO, INF, Q3, Q3, 0},
    {"x86 fma", &env_x86, ZERO, INF, S3, Q3, FP_INVALID},
    {"x86 fma", &env_x86, ZERO, INF, ONE, 0xffc00000, FP_INVALID},
    {"PowerPC fma", &env_ppc, Q1, Q2, Q3, Q1, 0},
    {"PowerPC fma", &env_ppc, ONE, Q2, Q3, Q3, 0},
    {"PowerPC fma", &env_ppc, ZERO, INF, Q3, Q3, FP_INVALID},
    {"RISC-V fma", &env_riscv, ZERO, INF, Q3, 0x7fc00000, FP_INVALID},
    {"RISC-V fma", &env_riscv, ZERO, ONE, Q3, 0x7fc00000, 0},
    {"MIPS legacy fma", &env_mips, ONE, ONE, LS1, 0x7fbfffff, FP_INVALID},
    {"MIPS legacy fma", &env_mips, ONE, LQ2, LQ1, LQ2, 0},
    {"fma inf - inf", &env_arm, INF, ONE, INF | NEG, 0x7fc00000, FP_INVALID},
    {"fma -0 + 0", &env_arm, ZERO | NEG, ONE, ZERO, ZERO, 0},
    {"fma -0 - 0", &env_arm, ZERO | NEG, ONE, ZERO | NEG, ZERO | NEG, 0},
};

static const struct minmax_case {
    int op;
    const struct fp_env *env;
    uint32_t a, b, want;
    unsigned flags;
} minmax_cases[] = {
    {MINNUM, &env_arm, ONE, Q2, ONE, 0},
    {MINNUM, &env_arm, Q1, ONE, ONE, 0},
    {MINNUM, &env_arm, Q1, Q2, Q1, 0},
    {MINNUM, &env_arm, ONE, S2, Q2, FP_INVALID},
    {MAXNUM, &env_arm, S1, Q2, Q1, FP_INVALID},
    {MINNUM, &env_arm, ZERO, NEG, NEG, 0},
    {MINNUM, &env_arm, NEG, ZERO, NEG, 0},
    {MAXNUM, &env_arm, NEG, ZERO, ZERO, 0},
    {MAXNUM, &env_arm, ONE, INF, INF, 0},
    {MAXNUM, &env_arm, ONE | NEG, INF | NEG, ONE | NEG, 0},
    {MINNUM, &env_arm, 1, 2, 1, FP_IN_DENORMAL},
    {MINNUMMAG, &env_arm, ONE, INF | NEG, ONE, 0},
    {MINNUMMAG, &env_arm, ONE, ONE | NEG, ONE | NEG, 0},
    {MAXNUMMAG, &env_arm, ONE, ONE | NEG, ONE, 0},
    {MAXNUMMAG, &env_arm, ONE, INF | NEG, INF | NEG, 0},
    {MAXNUMMAG, &env_arm, Q1, INF | NEG, INF | NEG, 0},
    {MIN_, &env_arm, ONE, Q2, Q2, 0},
    {MAX_, &env_arm, Q1, ONE, Q1, 0},
    {MAX_, &env_arm, ONE | NEG, ONE, ONE, 0},
    {MIN_, &env_arm, ONE, S2, Q2, FP_INVALID},
    {MINNUMBER, &env_riscv, ONE, S2, ONE, FP_INVALID},
    {MINNUMBER, &env_riscv, Q1, ONE, ONE, 0},
    {MAXNUMBER, &env_riscv, S1, Q2, 0x7fc00000, FP_INVALID},
    {MAXNUMBER, &env_riscv, Q1, Q2, 0x7fc00000, 0},
    {MAXNUMBER, &env_riscv, NEG, ZERO, ZERO, 0},
};

static void check32(const char *what, const struct fp_env *env, uint32_t a, uint32_t b,
                    uint64_t got, uint64_t want, unsigned flags)
{
    struct val in[2] = {{0, a}, {0, b}};
    report(what, env, in, 2, from_u64(got), env->flags, from_u64(want), flags);
}

static void test_nan_tables(void)
{
    for (size_t i = 0; i < ARRAY_LEN(add_cases); i++) {
        const struct nan_case *t = &add_cases[i];
        struct fp_env env = *t->env;
        uint32_t got = f32_add(t->a, t->b, &env);
        check32(t->what, &env, t->a, t->b, got, t->want, t->flags);
        /* The same rule holds when there is one operand only. */
        if (t->a == ONE) {
            env = *t->env;
            got = f32_sqrt(t->b, &env);
            check32(t->what, &env, t->b, t->b, got, t->want, t->flags);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(muladd_cases); i++) {
        const struct muladd_case *t = &muladd_cases[i];
        struct fp_env env = *t->env;
        uint32_t got = f32_muladd(t->a, t->b, t->c, 0, &env);
        check32(t->what, &env, t->a, t->c, got, t->want, t->flags);
    }
    for (size_t i = 0; i < ARRAY_LEN(minmax_cases); i++) {
        const struct minmax_case *t = &minmax_cases[i];
        struct fp_env env = *t->env;
        struct val a = {0, t->a}, b = {0, t->b};
        uint32_t got = (uint32_t)apply(F32, t->op, a, b, b, 0, &env).lo;
        check32(op_names[t->op], &env, t->a, t->b, got, t->want, t->flags);
    }
}

static void test_default_nans(void)
{
    static const struct {
        const struct fp_env *env;
        f16_t h;
        f32_t s;
        f64_t d;
        f128_t q;
    } t[] = {
        {&env_arm, 0x7e00, 0x7fc00000, 0x7ff8000000000000, {0x7fff800000000000, 0}},
        {&env_x86, 0xfe00, 0xffc00000, 0xfff8000000000000, {0xffff800000000000, 0}},
        {&env_sparc, 0x7fff, 0x7fffffff, 0x7fffffffffffffff, {0x7fffffffffffffff, UINT64_MAX}},
        {&env_mips, 0x7dff, 0x7fbfffff, 0x7ff7ffffffffffff, {0x7fff7fffffffffff, UINT64_MAX}},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct fp_env env = *t[i].env;
        struct val none = {0, 0};
        report("f16_default_nan", &env, &none, 0, from_u64(f16_default_nan(&env)), 0,
               from_u64(t[i].h), 0);
        report("f32_default_nan", &env, &none, 0, from_u64(f32_default_nan(&env)), 0,
               from_u64(t[i].s), 0);
        report("f64_default_nan", &env, &none, 0, from_u64(f64_default_nan(&env)), 0,
               from_u64(t[i].d), 0);
        report("f128_default_nan", &env, &none, 0, from_f128(f128_default_nan(&env)), 0,
               from_f128(t[i].q), 0);
    }
    f80_t indefinite = f80_default_nan(&env_x87);
    check32("f80_default_nan", &env_x87, 0, 0, indefinite.se, 0xffff, 0);
    check32("f80_default_nan", &env_x87, 0, 0, indefinite.frac, 0xc000000000000000, 0);
}

#define CHECK(what, expr, want, wanted_flags)                                                      \
    do {                                                                                           \
        uint64_t got_ = (uint64_t)(expr);                                                          \
        check32(what, &env, 0, 0, got_, want, wanted_flags);                                       \
        env.flags = 0;                                                                             \
    } while (0)

static void test_odds_and_ends(void)
{
    struct fp_env env = env_arm;
    uint64_t quot;
    f80_t r;

    CHECK("silence", f32_silence_nan(S2, &env), Q2, 0);
    CHECK("silence", f32_silence_nan(ONE, &env), ONE, 0);
    CHECK("is_snan", f32_is_snan(S1, &env), 1, 0);
    CHECK("is_snan", f32_is_snan(Q1, &env), 0, 0);
    CHECK("is_nan", f32_is_nan(INF), 0, 0);
    CHECK("is_nan", f32_is_nan(S2), 1, 0);
    CHECK("f32 to f64", f32_to_f64(S2, &env), 0xfff8000040000000, FP_INVALID);
    CHECK("f64 to f32", f64_to_f32(0x7ff0000000000001, &env), 0x7fc00000, FP_INVALID);
    CHECK("f64 to f32", f64_to_f32(0xfff8000020000000, &env), 0xffc00001, 0);
    CHECK("f32 to bf16", f32_to_bf16(S1, &env), 0x7fc0, FP_INVALID);
    CHECK("bf16 to f32", bf16_to_f32(0xff81, &env), 0xffc10000, FP_INVALID);
    CHECK("f32 to bf16", f32_to_bf16(0x7f7fffff, &env), 0x7f80, FP_OVERFLOW | FP_INEXACT);
    CHECK("to_i32", f32_to_i32(Q2, FP_RTZ, &env), INT32_MAX, FP_INVALID);
    CHECK("to_i32", (uint32_t)f32_to_i32(INF | NEG, FP_RTZ, &env), 0x80000000, FP_INVALID);
    CHECK("to_u32", f32_to_u32(INF | NEG, FP_RTZ, &env), 0, FP_INVALID);
    CHECK("to_u32", f32_to_u32(0xbf000000, FP_RTZ, &env), 0, FP_INEXACT);
    CHECK("to_u32", f32_to_u32(0xbf000000, FP_RDN, &env), 0, FP_INVALID);
    CHECK("to_u64", f32_to_u64(INF, FP_RDN, &env), UINT64_MAX, FP_INVALID);
    CHECK("round_int", f32_round_int(0xbf000000, FP_RNE, true, &env), 0x80000000, FP_INEXACT);
    CHECK("round_int", f32_round_int(0xbf000000, FP_RNA, false, &env), 0xbf800000, 0);
    CHECK("round_int", f32_round_int(S2, FP_RNE, false, &env), Q2, FP_INVALID);
    CHECK("compare", (int64_t)f32_compare(ONE, Q1, &env), FP_UNORDERED, FP_INVALID);
    CHECK("compare", (int64_t)f32_compare_quiet(ONE, Q1, &env), FP_UNORDERED, 0);
    CHECK("compare", (int64_t)f32_compare_quiet(ONE, S1, &env), FP_UNORDERED, FP_INVALID);
    CHECK("compare", (int64_t)f32_compare(ZERO, NEG, &env), FP_EQUAL, 0);
    CHECK("scalbn", f64_scalbn(1, INT32_MAX, &env), 0x7ff0000000000000,
          FP_OVERFLOW | FP_INEXACT | FP_IN_DENORMAL);
    CHECK("scalbn", f64_scalbn(0x7fe0000000000000, INT32_MIN, &env), 0, FP_UNDERFLOW | FP_INEXACT);

    /* flushing; Arm keeps denormal operands and results apart */
    env.daz = env.ftz = true;
    CHECK("daz", f32_add(1, ONE, &env), ONE, FP_IN_FLUSHED);
    CHECK("daz", f32_sub(0x80000001, ZERO, &env), NEG, FP_IN_FLUSHED);
    CHECK("daz", f32_maxnum(0x80000001, 0xbf800000, &env), NEG, FP_IN_FLUSHED);
    CHECK("daz", f32_to_i32(1, FP_RUP, &env), 0, FP_IN_FLUSHED);
    CHECK("ftz", f32_mul(0x80800000, 0x3f000000, &env), NEG, FP_FLUSHED | FP_UNDERFLOW);
    CHECK("ftz", f32_mul(0x00800000, ONE, &env), 0x00800000, 0);
    env.daz = env.ftz = false;

    /* legacy NaNs through conversions: what would leave an infinity becomes the default */
    env = env_mips;
    CHECK("legacy", f64_to_f32(0x7ff0000000000001, &env), 0x7fbfffff, 0);
    CHECK("legacy", f64_to_f32(0x7ff8000000000000, &env), 0x7fbfffff, FP_INVALID);
    CHECK("legacy", f64_to_f32(0xfff0000040000000, &env), 0xff800002, 0);
    CHECK("legacy", f32_to_f64(0x7fbfffff, &env), 0x7ff7ffffe0000000, 0);
    CHECK("legacy", f32_silence_nan(LS2, &env), 0x7fbfffff, 0);
    CHECK("legacy", f32_is_snan(LS2, &env), 1, 0);
    CHECK("legacy", f32_is_snan(LQ2, &env), 0, 0);
    CHECK("legacy", (int64_t)f64_compare_quiet(0x7ff0000000000001, 0, &env), FP_UNORDERED, 0);
    CHECK("legacy", f64_div(0, 0, &env), 0x7ff7ffffffffffff, FP_INVALID);
    env.nan_rule = FP_NAN_SNAN_FIRST; /* MIPS 2008 */
    env.nan_legacy = false;
    CHECK("2008", f64_div(0, 0, &env), 0x7ff8000000000000, FP_INVALID);

    /* remainders with their quotient */
    env = env_x87;
    r = f80_mod(f80_from_i32(-18, &env), f80_from_i32(5, &env), false, &quot, &env);
    CHECK("mod", f80_to_i32(r, FP_RNE, &env), (uint64_t)-3, 0);
    CHECK("mod", quot, 3, 0);
    r = f80_mod(f80_from_i32(-18, &env), f80_from_i32(5, &env), true, &quot, &env);
    CHECK("mod", f80_to_i32(r, FP_RNE, &env), 2, 0);
    CHECK("mod", quot, 4, 0);
    r = f80_mod(f80_from_i32(3, &env), f80_from_i32(6, &env), true, &quot, &env);
    CHECK("mod", f80_to_i32(r, FP_RNE, &env), 3, 0);
    CHECK("mod", quot, 0, 0);
    r.se = 0x3fff; /* an unnormal */
    r.frac = 1;
    CHECK("unsupported", f80_is_unsupported(r), 1, 0);
    CHECK("unsupported", f80_compare_quiet(r, r, &env), FP_UNORDERED, FP_INVALID);
    CHECK("unsupported", f80_is_nan(r) || f80_is_snan(r, &env), 0, 0);
}

static void test_tables(void)
{
    test_nan_tables();
    test_default_nans();
    test_odds_and_ends();
}

/* ---- every format as binary64 ---- */

static const int special_kinds[] = {K_ZERO, K_FINITE, K_INF, K_QNAN, K_SNAN};

static struct val special(const struct format *f, int kind, bool sign)
{
    struct val frac = {0, 0}, quiet = frac_mask(f);
    unsigned max = (1u << f->exp_bits) - 1;
    unsigned exp = kind == K_ZERO ? 0 : kind == K_FINITE ? max / 2 : max;
    struct val shifted = {quiet.hi >> 1, quiet.lo >> 1 | quiet.hi << 63};
    if (f->explicit_bit) shifted.lo = INT64_MAX >> 1;
    if (kind == K_QNAN) {
        frac.hi = quiet.hi & ~shifted.hi;
        frac.lo = quiet.lo & ~shifted.lo;
        if (f->explicit_bit) frac.lo &= INT64_MAX;
    }
    if (kind == K_SNAN) frac.lo = 1;
    return encode(f, sign, exp, frac);
}

static void test_special(void)
{
    static const int ops[] = {ADD, SUB, MUL, DIV, SQRT, MULADD, REM, COMPARE, COMPARE_QUIET, TO_I32,
                              TO_U64, ROUND_INT, MINNUM, MAXNUM, MAXNUMMAG, MIN_, MAXNUMBER};
    const int n = 2 * (int)ARRAY_LEN(special_kinds);
    static const struct fp_env *const envs[] = {&env_arm, &env_x86, &env_sparc, &env_riscv};
    char what[32];
    for (int i = 0; i < n * n * n * 6; i++) {
        int pick[3] = {i % n, i / n % n, i / n / n % n};
        for (int k = 0; k < (int)ARRAY_LEN(ops); k++) {
            struct fp_env base = *envs[i & 3];
            struct val in[3], ref, got;
            struct exact x, y;
            unsigned flags = 0;
            base.round = (uint8_t)(i / n / n / n);
            for (int fi = F64, step = 0; step <= N_FORMATS; fi = step++) {
                const struct format *f = &formats[fi];
                struct fp_env env = base;
                if (fi == BF16) continue;
                for (int o = 0; o < 3; o++)
                    in[o] = special(f, special_kinds[pick[o] / 2], pick[o] & 1);
                got = apply(fi, ops[k], in[0], in[1], in[2], 0, &env);
                if (step == 0) {
                    ref = got;
                    flags = env.flags;
                    continue;
                }
                snprintf(what, sizeof what, "%s %s as f64", f->name, op_names[ops[k]]);
                if (ops[k] == COMPARE || ops[k] == COMPARE_QUIET || ops[k] == TO_I32 ||
                    ops[k] == TO_U64) {
                    report(what, &env, in, 3, got, env.flags, ref, flags);
                    continue;
                }
                x = decode(f, got);
                y = decode(&formats[F64], ref);
                struct val g = {(uint64_t)x.kind, x.sign}, w = {(uint64_t)y.kind, y.sign};
                if (x.kind == K_FINITE) { /* small integers: compare them as such */
                    struct fp_env quiet = {0};
                    g.hi += 100 * apply(fi, TO_U64, got, got, got, 0, &quiet).lo;
                    w.hi += 100 * apply(F64, TO_U64, ref, ref, ref, 0, &quiet).lo;
                }
                report(what, &env, in, 3, g, env.flags, w, flags);
            }
        }
    }
}
