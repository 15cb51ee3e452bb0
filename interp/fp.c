/*
 * fp.c - floating-point operations of the IR: the authority (util/softfloat), and the host's flags.
 *
 * Sticky IEEE flags may live in the host's FP environment while guest code runs (the fast interpreter uses host
 * arithmetic); they are harvested when somebody asks. ENGINE rules: host results are used only for
 * round-to-nearest without flushing, and only when no NaN is involved.
 */
#include "interp/block.h"
#include "interp/fpx.h"
#include "interp/jit.h"

/* Host FP is used only where tininess and flags are known: x86-64 and AArch64 so far. */
#if defined(__x86_64__) && HOST_GNU
#include <cpuid.h>
#include <stdatomic.h>
#include <ucontext.h>
#include <xmmintrin.h>
#define HOST_FLAGS_MXCSR 1
#define HOST_FLAGS_FPSR  0
#elif defined(__aarch64__) && defined(__linux__) && HOST_GNU
#include <signal.h>
#include <ucontext.h>
#define HOST_FLAGS_MXCSR 0
#define HOST_FLAGS_FPSR  1
#else
#include <fenv.h>
#define HOST_FLAGS_MXCSR 0
#define HOST_FLAGS_FPSR  0
#endif
#define HOST_FLAGS (HOST_FLAGS_MXCSR || HOST_FLAGS_FPSR)

#if HOST_FLAGS_MXCSR
static void host_flags_clear(void)
{
    unsigned m = _mm_getcsr();
    if (m & 0x3f) _mm_setcsr(m & ~0x3fu);
}

/* FP_IN_DENORMAL counts only where it is asked for: otherwise compiled code raises it by testing its results. */
static unsigned flags_of(const struct cpu *cpu, unsigned m)
{
    return (m & 2 && cpu->fp_fast & FP_FAST_DENORMAL ? FP_IN_DENORMAL : 0) | (m & 1 ? FP_INVALID : 0) | (m & 4 ? FP_DIVZERO : 0) | (m & 8 ? FP_OVERFLOW : 0) | (m & 16 ? FP_UNDERFLOW : 0) |
           (m & 32 ? FP_INEXACT : 0);
}

static unsigned host_flags(const struct cpu *cpu) { return flags_of(cpu, _mm_getcsr()); }

void cpu_fp_signal(struct cpu *cpu, const void *context)
{
    const ucontext_t *uc = context;
    if (cpu->fp_fast && uc->uc_mcontext.fpregs) cpu->fp.flags |= (uint8_t)flags_of(cpu, uc->uc_mcontext.fpregs->mxcsr);
}
#elif HOST_FLAGS_FPSR
enum { FPSR_FLAGS = 0x9f, FPSR_UNDERFLOW = 8 };

static uint64_t fpsr(void)
{
    uint64_t v;
    __asm__ volatile("mrs %0, fpsr" : "=r"(v) : : "memory");
    return v;
}

static void set_fpsr(uint64_t v) { __asm__ volatile("msr fpsr, %0" : : "r"(v) : "memory"); }

static void host_flags_clear(void)
{
    uint64_t m = fpsr();
    if (m & FPSR_FLAGS) set_fpsr(m & ~(uint64_t)FPSR_FLAGS);
}

static unsigned flags_of(uint64_t m)
{
    return (m & 1 ? FP_INVALID : 0) | (m & 2 ? FP_DIVZERO : 0) | (m & 4 ? FP_OVERFLOW : 0) | (m & FPSR_UNDERFLOW ? FP_UNDERFLOW : 0) |
           (m & 16 ? FP_INEXACT : 0);
}

static unsigned host_flags(const struct cpu *cpu)
{
    (void)cpu;
    return flags_of(fpsr());
}

void cpu_fp_signal(struct cpu *cpu, const void *context)
{
    const mcontext_t *mc = &((const ucontext_t *)context)->uc_mcontext;
    const uint8_t *p = (const uint8_t *)mc->__reserved, *end = p + sizeof mc->__reserved;
    if (!cpu->fp_fast) return;
    while (p + sizeof(struct _aarch64_ctx) <= end) { /* records, up to one of size 0 */
        struct fpsimd_context f;
        memcpy(&f.head, p, sizeof f.head);
        if (f.head.magic == FPSIMD_MAGIC) {
            memcpy(&f.fpsr, p + offsetof(struct fpsimd_context, fpsr), sizeof f.fpsr);
            cpu->fp.flags |= (uint8_t)flags_of(f.fpsr);
            return;
        }
        if (!f.head.size) return;
        p += f.head.size;
    }
}

bool fp_host_underflowed(uint64_t result)
{
    (void)result;
    uint64_t m = fpsr();
    if (!(m & FPSR_UNDERFLOW)) return false;
    set_fpsr(m & ~(uint64_t)FPSR_UNDERFLOW);
    return true;
}
#else
void cpu_fp_signal(struct cpu *cpu, const void *context) { (void)cpu, (void)context; } /* no flags in the host */

static void host_flags_clear(void) { feclearexcept(FE_ALL_EXCEPT); }

static unsigned host_flags(const struct cpu *cpu)
{
    (void)cpu;
    int m = fetestexcept(FE_ALL_EXCEPT);
    unsigned f = 0;
#ifdef FE_INVALID
    if (m & FE_INVALID) f |= FP_INVALID;
#endif
#ifdef FE_DIVBYZERO
    if (m & FE_DIVBYZERO) f |= FP_DIVZERO;
#endif
#ifdef FE_OVERFLOW
    if (m & FE_OVERFLOW) f |= FP_OVERFLOW;
#endif
#ifdef FE_UNDERFLOW
    if (m & FE_UNDERFLOW) f |= FP_UNDERFLOW;
#endif
#ifdef FE_INEXACT
    if (m & FE_INEXACT) f |= FP_INEXACT;
#endif
    return f;
}
#endif

/* A fused multiply-add that is one instruction of the host; false: it has none. Kept out of line, as the rest is compiled
 * for hosts without it. */
#if HOST_FLAGS_MXCSR
bool fp_host_has_fma(void)
{
    static atomic_int known; /* 1 no, 2 yes. Not by the compiler's library, which asks the processor ten things at each start */
    int k = atomic_load_explicit(&known, memory_order_relaxed);

    if (!k) {
        enum { FMA = 1 << 12, OSXSAVE = 1 << 27, YMM = 6 };
        uint32_t a, b, c, d, state = 0;
        __cpuid(1, a, b, c, d); /* whoever has SSE has this leaf; asking for that first takes as long again */
        if (c & OSXSAVE) __asm__ volatile("xgetbv" : "=a"(state), "=d"(d) : "c"(0));
        k = c & FMA && (state & YMM) == YMM ? 2 : 1;
        atomic_store_explicit(&known, k, memory_order_relaxed);
    }
    return k == 2;
}
__attribute__((target("fma"))) float fp_host_fma32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
__attribute__((target("fma"))) double fp_host_fma64(double a, double b, double c) { return __builtin_fma(a, b, c); }
#elif HOST_FLAGS_FPSR
bool fp_host_has_fma(void) { return true; }
float fp_host_fma32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
double fp_host_fma64(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
bool fp_host_has_fma(void) { return false; }
float fp_host_fma32(float a, float b, float c) { return a * b + c; } /* not used */
double fp_host_fma64(double a, double b, double c) { return a * b + c; }
#endif

void fp_enter(struct cpu *cpu)
{
    if (cpu->fp_fast) host_flags_clear();
}

void fp_leave(struct cpu *cpu)
{
    if (cpu->fp_fast) cpu->fp.flags |= (uint8_t)host_flags(cpu);
}

void cpu_fp_changed(struct cpu *cpu)
{
    if (cpu->fp_fast && cpu->unwind) fp_leave(cpu);
    bool fast = HOST_FLAGS && cpu->fp.round == FP_RNE && !cpu->fp.ftz && !cpu->fp.daz && !cpu->engine->cfg.soft_fp &&
                cpu->engine->cfg.mode != ENGINE_REF;
    /* that flag is x86's. Elsewhere a guest with SSE goes without it rather than without all of the host's arithmetic */
    if (cpu->fp.sees_denormal && !HOST_FLAGS_MXCSR && !cpu->guest->sse_fp) fast = false;
    const struct jit_backend *jit = cpu->engine->cfg.backend;
    if (FP_HOST_TINY_BEFORE && !cpu->fp.tiny_before && jit && !jit->keeps_underflow) fast = false;
    cpu->fp_fast = (uint8_t)(!fast ? 0 : FP_FAST | (cpu->fp.tiny_before != FP_HOST_TINY_BEFORE ? FP_FAST_TINY : 0) | (fp_host_has_fma() ? FP_FAST_FMA : 0) |
                              (cpu->fp.sees_denormal ? FP_FAST_DENORMAL : 0));
    if (cpu->fp_fast && cpu->unwind) host_flags_clear();
}

unsigned cpu_fp_flags(struct cpu *cpu)
{
    if (cpu->fp_fast && cpu->unwind) cpu->fp.flags |= (uint8_t)host_flags(cpu);
    return cpu->fp.flags;
}

void cpu_fp_set_flags(struct cpu *cpu, unsigned flags)
{
    if (cpu->fp_fast && cpu->unwind) host_flags_clear();
    cpu->fp.flags = (uint8_t)flags;
}

/* What an invalid conversion to an integer of `bits` bits gives, where it is not the nearest limit. */
static void f2i_invalid(unsigned rule, bool nan, unsigned bits, bool is_signed, uint64_t *v)
{
    uint64_t max = is_signed ? (UINT64_C(1) << (bits - 1)) - 1 : UINT64_MAX >> (64 - bits);
    switch (rule) {
    case IR_F2I_MAX: *v = max; break;
    case IR_F2I_MIN: *v = is_signed ? max + 1 : max; break;
    case IR_F2I_SAT_ZERO:
        if (nan) *v = 0;
        break;
    case IR_F2I_SAT_MIN:
        if (nan) *v = is_signed ? max + 1 : 0;
        break;
    default:
        if (nan) *v = max;
        break;
    }
}

static uint64_t f2i(unsigned op, uint32_t aux, uint64_t a, struct fp_env *env)
{
    unsigned r = aux & 15, rule = aux >> 4 & 15;
    enum fp_round round = r == IR_ROUND_ENV ? (enum fp_round)env->round : (enum fp_round)r;
    uint8_t before = env->flags;
    uint64_t v;
    bool f32 = op == OP_F32_I32 || op == OP_F32_I64 || op == OP_F32_U32 || op == OP_F32_U64;
    bool is_signed = op == OP_F32_I32 || op == OP_F32_I64 || op == OP_F64_I32 || op == OP_F64_I64;
    unsigned bits = op == OP_F32_I32 || op == OP_F64_I32 || op == OP_F32_U32 || op == OP_F64_U32 ? 32 : 64;

    env->flags = 0;
    switch (op) {
    case OP_F32_I32: v = (uint32_t)f32_to_i32((f32_t)a, round, env); break;
    case OP_F32_I64: v = (uint64_t)f32_to_i64((f32_t)a, round, env); break;
    case OP_F64_I32: v = (uint32_t)f64_to_i32(a, round, env); break;
    case OP_F32_U32: v = f32_to_u32((f32_t)a, round, env); break;
    case OP_F32_U64: v = f32_to_u64((f32_t)a, round, env); break;
    case OP_F64_U32: v = f64_to_u32(a, round, env); break;
    case OP_F64_U64: v = f64_to_u64(a, round, env); break;
    default: v = (uint64_t)f64_to_i64(a, round, env); break;
    }
    if (env->flags & FP_INVALID) f2i_invalid(rule, f32 ? f32_is_nan((f32_t)a) : f64_is_nan(a), bits, is_signed, &v);
    env->flags |= before;
    return v;
}

static uint64_t fcmp(unsigned type, unsigned mask, uint32_t values, uint64_t a, uint64_t b, struct fp_env *env)
{
    enum fp_rel r;
    if (type == T_I32) r = mask & IR_REL_SIGNAL ? f32_compare((f32_t)a, (f32_t)b, env) : f32_compare_quiet((f32_t)a, (f32_t)b, env);
    else r = mask & IR_REL_SIGNAL ? f64_compare(a, b, env) : f64_compare_quiet(a, b, env);
    unsigned k = (unsigned)((int)r + 1); /* less, equal, greater, unordered */
    return values ? values >> 8 * k & 0xff : mask >> k & 1;
}

/* The x86 rule: the second operand unless the first is strictly smaller (larger). */
#define FMINMAX_X86(f)                                                                             \
    static f##_t f##_minmax_x86(bool max, f##_t a, f##_t b, struct fp_env *env)                    \
    {                                                                                              \
        const f##_t sign = (f##_t)1 << (sizeof(f##_t) * 8 - 1);                                    \
        f##_t r = f##_compare(a, b, env) == (max ? FP_GREATER : FP_LESS) ? a : b;                  \
        return env->daz && (r & ~sign) < f##_MIN_NORMAL ? r & sign : r;                            \
    }
FMINMAX_X86(f32)
FMINMAX_X86(f64)
#undef FMINMAX_X86

#define FMINMAX(f)                                                                                 \
    static f##_t f##_minmax(bool max, unsigned rule, f##_t a, f##_t b, struct fp_env *env)         \
    {                                                                                              \
        switch (rule) {                                                                            \
        case IR_FMM_NUM: return max ? f##_maxnum(a, b, env) : f##_minnum(a, b, env);               \
        case IR_FMM_NAN: return max ? f##_max(a, b, env) : f##_min(a, b, env);                     \
        case IR_FMM_NUMBER: return max ? f##_maxnumber(a, b, env) : f##_minnumber(a, b, env);      \
        case IR_FMM_NUM_MAG: return max ? f##_maxnummag(a, b, env) : f##_minnummag(a, b, env);     \
        default: return f##_minmax_x86(max, a, b, env);                                            \
        }                                                                                          \
    }
FMINMAX(f32)
FMINMAX(f64)
#undef FMINMAX

static uint64_t fround(unsigned type, unsigned attr, uint64_t a, struct fp_env *env)
{
    unsigned r = attr & IR_ROUND_ENV;
    enum fp_round round = r == IR_ROUND_ENV ? (enum fp_round)env->round : (enum fp_round)r;
    bool exact = attr & IR_ROUND_EXACT;
    return type == T_I32 ? f32_round_int((f32_t)a, round, exact, env) : f64_round_int(a, round, exact, env);
}

static uint64_t fp_eval(unsigned op, unsigned type, unsigned attr, uint32_t aux, uint64_t a, uint64_t b, uint64_t c, struct fp_env *env)
{
    switch (op) {
    case OP_FADD: return type == T_I32 ? f32_add((f32_t)a, (f32_t)b, env) : f64_add(a, b, env);
    case OP_FSUB: return type == T_I32 ? f32_sub((f32_t)a, (f32_t)b, env) : f64_sub(a, b, env);
    case OP_FMUL: return type == T_I32 ? f32_mul((f32_t)a, (f32_t)b, env) : f64_mul(a, b, env);
    case OP_FDIV: return type == T_I32 ? f32_div((f32_t)a, (f32_t)b, env) : f64_div(a, b, env);
    case OP_FSQRT: return type == T_I32 ? f32_sqrt((f32_t)a, env) : f64_sqrt(a, env);
    case OP_FMA:
        return type == T_I32 ? f32_muladd((f32_t)a, (f32_t)b, (f32_t)c, (int)attr, env) : f64_muladd(a, b, c, (int)attr, env);
    case OP_FCMP: return fcmp(type, attr, aux, a, b, env);
    case OP_FROUND: return fround(type, attr, a, env);
    case OP_FMIN:
    case OP_FMAX:
        return type == T_I32 ? f32_minmax(op == OP_FMAX, attr, (f32_t)a, (f32_t)b, env) : f64_minmax(op == OP_FMAX, attr, a, b, env);
    case OP_F32_F64: return f32_to_f64((f32_t)a, env);
    case OP_F64_F32: return f64_to_f32(a, env);
    case OP_I32_F32: return f32_from_i32((int32_t)a, env);
    case OP_I32_F64: return f64_from_i32((int32_t)a, env);
    case OP_I64_F32: return f32_from_i64((int64_t)a, env);
    case OP_I64_F64: return f64_from_i64((int64_t)a, env);
    case OP_U64_F32: return f32_from_u64(a, env);
    case OP_U64_F64: return f64_from_u64(a, env);
    case OP_F16_F32: return f16_to_f32((f16_t)a, env);
    case OP_F16_F64: return f16_to_f64((f16_t)a, env);
    case OP_F32_F16: return f32_to_f16((f32_t)a, env);
    case OP_F64_F16: return f64_to_f16(a, env);
    default: return f2i(op, aux, a, env);
    }
}

uint64_t fp_exec(struct cpu *cpu, unsigned op, unsigned type, unsigned attr, uint32_t aux, uint64_t a, uint64_t b, uint64_t c)
{
    cpu->fp_note = (struct fp_note){ a, b, c, op | type << 16 | attr << 24, aux };
    uint64_t v = fp_eval(op, type, attr, aux, a, b, c, &cpu->fp);
    if (!cpu->fp.sees_denormal) cpu->fp.flags &= (uint8_t)~FP_IN_DENORMAL;
    return v;
}

unsigned cpu_fp_last_flags(struct cpu *cpu)
{
    struct fp_env env = cpu->fp;
    const struct fp_note *n = &cpu->fp_note;
    env.flags = 0;
    if (n->op) fp_eval(n->op & 0xffff, n->op >> 16 & 0xff, n->op >> 24, n->aux, n->a, n->b, n->c, &env);
    return env.flags;
}
