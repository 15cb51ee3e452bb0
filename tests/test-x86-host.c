/*
 * test-x86-host.c - x86 instructions against the processor this runs on: random encodings of every user-level line that is
 * built, random registers, flags and memory, executed natively and by every engine; registers, flags, memory and faults must be
 * equal. Flags that the manuals leave undefined are masked (undefined_flags). Under engines that compile, an instruction is
 * a block of its own and runs several times, so that it is interpreted, compiled, and compiled again as a region.
 *
 * Then chains of vector instructions, since compilers make something else of several than of one: a few registers, so that they meet.
 *
 *   test-x86-host [-e ENGINE[,...]] [CASES [SEED [NAME]]]      NAME chain: only these
 *     ENGINE: ref, fast, native, tcc (default: the first three); CASES per line and mode; NAME: only that instruction
 *
 * Natively an instruction runs by a signal's return with the trap flag set: the whole register file is put into the signal
 * context, the trap after the one instruction (or its fault) brings it back. Code of 32 bits runs in the kernel's
 * compatibility segment. Guest addresses are host addresses here (cpu->ubase is NULL), so both see one memory.
 *
 * Skipped on other hosts than Linux on x86-64.
 */
#include "util/host.h"

#include <stdio.h>

#if defined(__x86_64__) && defined(__linux__) && HOST_GNU

#include "interp/jit.h"
#include "isa/x86/decode.h"
#include "isa/x86/x86.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifdef HAVE_JIT_NATIVE
extern const struct jit_backend jit_native_backend;
#define NATIVE ",native"
#else
#define NATIVE ""
#endif

enum { ARENA_SIZE = 2 * 4096, MID = 4096, NEAR = 256, CODE_AT = 0x20000000, ARENA_AT = 0x20100000 };

struct state {
    uint64_t gpr[16], pc;
    uint32_t flags;
    uint64_t vec[16][4], mm[8];
    uint32_t mxcsr;
    uint16_t se[8], fcw, fsw;  /* by physical register, as mm; fsw with TOP */
    uint8_t ftw;
    int trap;                  /* -1: none */
};

static uint8_t *const code = (uint8_t *)(uintptr_t)CODE_AT;
static uint8_t *const arena = (uint8_t *)(uintptr_t)ARENA_AT;
static uint64_t rng = 0x9e3779b97f4a7c15;
static unsigned failures, passed;

static uint64_t next_random(void)
{
    rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
    return rng;
}

/* ---- the host ---- */

static const int greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
static struct state *native;       /* in: state to run; out: what came of it */
static bool native32;
static unsigned native_steps;
static uint64_t native_end;        /* of a chain */
static bool native_null;           /* it faulted at address 0, which the interpreters' C may not touch, as sanitizers say */
static gregset_t home;
static struct cpu *emulated;       /* the CPU that runs now, for memory faults */

/* The upper halves of vector registers lie in the XSAVE area (standard format) that the frame has behind the FXSAVE area. */
enum { XSAVE_BV = 512, XSAVE_YMM = 576, SW_MAGIC = 464 };
static uint8_t *ymm_area(mcontext_t *m)
{
    uint8_t *fp = (uint8_t *)m->fpregs;
    return ld32_le(fp + SW_MAGIC) == 0x46505853 && ld64_le(fp + SW_MAGIC + 8) & 4 ? fp : NULL;
}

static void put_vectors(mcontext_t *m, const struct state *s)
{
    uint8_t *x = ymm_area(m);

    for (unsigned i = 0; i < 16; i++) {
        memcpy(&m->fpregs->_xmm[i], s->vec[i], 16);
        if (x) memcpy(x + XSAVE_YMM + 16 * i, s->vec[i] + 2, 16);
    }
    if (x) st64_le(x + XSAVE_BV, ld64_le(x + XSAVE_BV) | 7);
    m->fpregs->mxcsr = s->mxcsr;
    m->fpregs->cwd = s->fcw, m->fpregs->swd = s->fsw, m->fpregs->ftw = s->ftw;
    for (unsigned i = 0; i < 8; i++) {
        unsigned r = ((s->fsw >> 11) + i) & 7;
        memcpy(m->fpregs->_st[i].significand, &s->mm[r], 8), m->fpregs->_st[i].exponent = s->se[r];
    }
}

static void get_vectors(const mcontext_t *m, struct state *s)
{
    const uint8_t *x = ymm_area((mcontext_t *)(uintptr_t)m);
    bool upper = x && ld64_le(x + XSAVE_BV) & 4;

    for (unsigned i = 0; i < 16; i++) {
        memcpy(s->vec[i], &m->fpregs->_xmm[i], 16);
        if (x && upper) memcpy(s->vec[i] + 2, x + XSAVE_YMM + 16 * i, 16);
        else s->vec[i][2] = s->vec[i][3] = 0;
    }
    s->mxcsr = m->fpregs->mxcsr;
    s->fcw = m->fpregs->cwd, s->fsw = m->fpregs->swd, s->ftw = (uint8_t)m->fpregs->ftw;
    for (unsigned i = 0; i < 8; i++) {
        unsigned r = ((s->fsw >> 11) + i) & 7;
        memcpy(&s->mm[r], m->fpregs->_st[i].significand, 8), s->se[r] = m->fpregs->_st[i].exponent;
    }
}

static void on_start(int sig, siginfo_t *info, void *context)
{
    mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;

    (void)sig, (void)info;
    memcpy(home, m->gregs, sizeof home);
    for (unsigned i = 0; i < 16; i++) m->gregs[greg_of[i]] = (greg_t)native->gpr[i];
    m->gregs[REG_RIP] = (greg_t)native->pc;
    m->gregs[REG_EFL] = (greg_t)(native->flags | XFL_TF | XFL_IF | XFL_ONE);
    if (native32) m->gregs[REG_CSGSFS] = (m->gregs[REG_CSGSFS] & ~(greg_t)0xffff) | 0x23;
    put_vectors(m, native);
    native_steps = 0;
}

static void on_trap(int sig, siginfo_t *info, void *context)
{
    mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;

    if (emulated) {
        if (sig == SIGSEGV || sig == SIGBUS) cpu_host_fault(emulated, context);
        if ((sig == SIGSEGV || sig == SIGBUS) && cpu_in_code(emulated)) {
            uint64_t va = (uint64_t)info->si_addr;
            bool write = m->gregs[REG_ERR] & 2;
            if (info->si_code == SI_KERNEL) va = UINT64_C(1) << 63; /* not canonical */
            cpu_fp_signal(emulated, context);
            if (va >= emulated->ulimit && emulated->xpoint) engine_run_again(emulated);
            emulated->guest->fault(emulated, FAULT_USER, write ? ACCESS_WRITE : ACCESS_READ, va);
            cpu_raise(emulated);
        }
        signal(sig, SIG_DFL);
        return;
    }
    if (!native) {
        signal(sig, SIG_DFL);
        return;
    }
    /* a repeated string instruction traps after each iteration */
    if (sig == SIGTRAP && (uint64_t)m->gregs[REG_RIP] - native->pc < native_end - native->pc && ++native_steps < 64) return;
    native_null = sig == SIGSEGV && info->si_code != SI_KERNEL && !info->si_addr;
    native->trap = sig == SIGTRAP && m->gregs[REG_TRAPNO] == 1 ? -1 : (int)m->gregs[REG_TRAPNO];
    for (unsigned i = 0; i < 16; i++) native->gpr[i] = (uint64_t)m->gregs[greg_of[i]];
    native->pc = (uint64_t)m->gregs[REG_RIP];
    native->flags = (uint32_t)m->gregs[REG_EFL];
    get_vectors(m, native);
    m->fpregs->cwd = 0x37f, m->fpregs->swd = 0, m->fpregs->ftw = 0; /* C code wants the stack empty */
    memcpy(m->gregs, home, sizeof home);
    native = NULL;
}

static void setup_signals(void)
{
    static const int sigs[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE };
    static uint8_t stack[1 << 17];
    stack_t ss = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction a = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

    sigaltstack(&ss, NULL);
    sigemptyset(&a.sa_mask);
    a.sa_sigaction = on_trap;
    for (unsigned i = 0; i < ARRAY_LEN(sigs); i++) sigaction(sigs[i], &a, NULL);
    a.sa_sigaction = on_start;
    sigaction(SIGUSR1, &a, NULL);
    /* code of 32 bits needs data segments */
    __asm__ volatile("mov %0,%%ds; mov %0,%%es" : : "r"(0x2b));
}

static void run_native(struct state *s, bool is32, unsigned bytes)
{
    native32 = is32, native_end = s->pc + bytes;
    native = s;
    raise(SIGUSR1);
}

/* ---- Quern ---- */

struct box { char name[40]; unsigned runs; bool is64, chains; enum x86_mode mode; struct engine *engine; struct cpu_world world; struct cpu *c; struct x86_model model; };
static struct box boxes[32];
static unsigned n_boxes;

static const uint8_t *user_code(struct cpu *c, uint64_t va)
{
    (void)c;
    return (va & CPU_PAGE_MASK) == CODE_AT ? (const uint8_t *)(uintptr_t)(va & CPU_PAGE_MASK) : NULL;
}

static bool open_box(const char *engine, bool is64, enum x86_mode mode, bool chains)
{
    const struct isa *isa = is64 ? &x86_64_isa : &x86_32_isa;
    struct engine_config cfg = { .mode = strcmp(engine, "ref") ? ENGINE_FAST : ENGINE_REF };
    struct error e = ERROR_INIT;
    struct box *b = &boxes[n_boxes++];

    *b = (struct box){ .runs = 1, .is64 = is64, .mode = mode, .chains = chains, .world = { .user = true, .user_code = user_code } };
    snprintf(b->name, sizeof b->name, "%s bits%s, %s%s", mode == X86_64 ? "64" : "32", is64 && mode != X86_64 ? " in 64" : "", engine, chains ? ", chains" : "");
    if (strcmp(engine, "ref") && strcmp(engine, "fast")) {
        cfg.backend = jit_find(engine, &e);
        cfg.threshold = 1, cfg.threshold2 = 1, cfg.max_block = chains ? 0 : 1, cfg.sync = true;
        b->runs = 8;
        if (!cfg.backend) {
            printf("FAILED %s: %s\n", b->name, e.msg);
            return false;
        }
    }
    b->engine = engine_new(&cfg, &e);
    b->c = b->engine ? cpu_new(isa->guest, &b->world, b->engine, NULL, 0) : NULL;
    if (!b->c || isa->init(b->c, &isa->models[0], false, true, &e)) {
        printf("FAILED %s: %s\n", b->name, e.msg);
        return false;
    }
    b->model = *x86_cpu(b->c)->model;
    b->model.features = XF_ALL;
    x86_cpu(b->c)->model = &b->model;
    x86_user_setup(b->c, mode == X86_64);
    b->c->ubase = NULL;
    b->c->ulimit = UINT64_C(1) << (is64 ? 47 : 32);
    return true;
}

/* A chain ends in a jump to itself, which is run once. */
static void run_box(struct box *b, struct state *s, unsigned insns)
{
    struct x86_cpu *x = x86_cpu(b->c);
    uint64_t pc = s->pc;

    for (unsigned i = 0; i < 16; i++) x86_set_gpr(x, i, s->gpr[i]);
    x86_set_eflags(x, s->flags | XFL_IF);
    x86_set_cell(x, &x->pc, pc);
    memcpy(x->vec, s->vec, sizeof s->vec);
    for (unsigned i = 0; i < 8; i++) x->st[i].mm = s->mm[i], x->st[i].se = s->se[i];
    x->fcw = s->fcw, x->fsw = s->fsw & 0xc7ff, x->ftop = s->fsw >> 11 & 7, x->ftw = s->ftw;
    x86_set_mxcsr(x, s->mxcsr);
    emulated = b->c;
    for (unsigned k = 0; k < 64; k++) {
        enum run_exit r = engine_run(b->c, insns);
        s->trap = r == RUN_EXCEPTION ? (int)b->c->exc.code : r == RUN_BUDGET ? -1 : -2;
        if (s->trap != -1 || x86_cell(x, &x->pc) != pc || insns > 1) break;
    }
    emulated = NULL;
    for (unsigned i = 0; i < 16; i++) s->gpr[i] = x86_gpr(x, i);
    s->pc = x86_cell(x, &x->pc);
    s->flags = x86_get_eflags(x);
    memcpy(s->vec, x->vec, sizeof s->vec);
    for (unsigned i = 0; i < 8; i++) s->mm[i] = x->st[i].mm, s->se[i] = (uint16_t)x->st[i].se;
    s->fcw = x->fcw, s->fsw = (uint16_t)(x->fsw | x->ftop << 11), s->ftw = (uint8_t)x->ftw;
    s->mxcsr = x86_get_mxcsr(x);
}

/* ---- cases ---- */

static bool is_any(const char *name, const char *list)
{
    size_t n = strlen(name);
    for (const char *p = list; (p = strstr(p, name)) != NULL; p += n) {
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
    }
    return false;
}

/* Flags left undefined (SDM volume 1, appendix A), by instruction and count. */
static uint32_t undefined_flags(const struct x86_insn *d, const struct state *s)
{
    const char *n = d->def->name;
    unsigned bits = 8 * x86_size_bytes(d, d->form->op[0].size), count = 0;

    if (is_any(n, "and or xor test andn daa das")) return XFL_AF | (n[0] == 'd' ? XFL_OF : 0) | (n[0] == 'd' ? 0 : 0);
    if (is_any(n, "aaa aas")) return XFL_OF | XFL_SF | XFL_ZF | XFL_PF;
    if (is_any(n, "aam aad")) return XFL_OF | XFL_AF | XFL_CF;
    if (is_any(n, "mul imul")) return XFL_SF | XFL_ZF | XFL_AF | XFL_PF;
    if (is_any(n, "div idiv")) return XFL_ARITH;
    if (is_any(n, "bsf bsr")) return XFL_ARITH & ~XFL_ZF;
    if (is_any(n, "bt bts btr btc")) return XFL_OF | XFL_SF | XFL_AF | XFL_PF;
    if (is_any(n, "tzcnt lzcnt")) return XFL_OF | XFL_SF | XFL_AF | XFL_PF;
    if (is_any(n, "blsr blsi blsmsk bzhi")) return XFL_AF | XFL_PF;
    if (is_any(n, "bextr")) return XFL_AF | XFL_SF | XFL_PF;
    if (is_any(n, "rol ror rcl rcr shl shr sar shld shrd")) {
        const struct x86_operand *o = &d->form->op[d->form->n_ops - 1];
        count = o->what == XO_REG ? (unsigned)s->gpr[1] : o->what == XO_ONE ? 1 : (unsigned)d->imm;
        count &= bits == 64 ? 63 : 31;
        bool rotate = n[0] == 'r';
        uint32_t u = (rotate || !count ? 0 : XFL_AF) | (count > 1 ? XFL_OF : 0);
        if (!rotate && count > bits) u |= XFL_ARITH;
        if (!rotate && count >= bits) u |= XFL_CF;
        return u;
    }
    return 0;
}

static bool undefined_result(const struct x86_insn *d, const struct state *s)
{
    if (is_any(d->def->name, "shld shrd") && d->osize == 2) {
        const struct x86_operand *o = &d->form->op[2];
        return ((o->what == XO_REG ? s->gpr[1] : (uint64_t)d->imm) & 31) > 16;
    }
    unsigned top = s->fsw >> 11 & 7, e0 = s->se[top] & 0x7fff, e1 = s->se[(top + 1) & 7] & 0x7fff;
    if (is_any(d->def->name, "f2xm1")) return e0 >= 0x3fff;               /* beyond -1 to 1 */
    if (is_any(d->def->name, "fyl2xp1")) return e0 >= 0x3ffd;
    if (is_any(d->def->name, "fprem fprem1")) return e0 > e1 + 50 || !e1; /* done in one step here, in several there */
    return is_any(d->def->name, "bswap") && d->osize == 2;
}

static bool has_sha(void)
{
    unsigned a = 7, b, c = 0, d;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b >> 29 & 1;
}

static bool testable(unsigned line, enum x86_mode mode)
{
    const struct x86_def *d = &x86_defs[line];
    static const char skip[] = "int int1 int3 into syscall sysenter cpuid rdtsc rdtscp xgetbv popf iret wrfsbase wrgsbase rdfsbase rdgsbase ldmxcsr "
                               "lar lsl verr verw arpl sgdt sgdtl sidt sidtl sldt str smsw ljmp lcall lret lretq vmmcall vmcall " /* the kernel's tables */
                               "rdrand rdseed rdpid rcpps rcpss rsqrtps rsqrtss vrcpps vrcpss vrsqrtps vrsqrtss xsaveopt xsavec xsaves xrstors "
                               "stmxcsr fxsave fxrstor fldenv fnstenv frstor fnsave feni fdisi fsetpm fldcw xsave xrstor clflush clflushopt clwb pushf monitor mwait rdpmc "
                               "lar lsl verr verw sgdt sidt smsw sldt str lcall ljmp lret vmmcall" /* the kernel's business */;

    (void)mode;
    for (unsigned i = 0; i < x86_form(line)->n_ops; i++) { /* loading them would cost this program its own */
        if (x86_form(line)->op[i].what == XO_S || x86_form(line)->op[i].what == XO_SEG) return false;
    }
    if (x86_translators[line] == x86_tr_unbuilt || x86_translators[line] == x86_tr_load_far || d->flags & (XI_PRIV | XI_IO | XI_IOPL) || is_any(d->name, skip)) return false;
    switch (d->feature) { /* features this host may lack */
    case XF_BMI1: return __builtin_cpu_supports("bmi");
    case XF_BMI2: case XF_ADX: return __builtin_cpu_supports("bmi2");
    case XF_MOVBE: case XF_LZCNT: return __builtin_cpu_supports("avx2");
    case XF_SSE42: case XF_SSE41: return __builtin_cpu_supports("sse4.2");
    case XF_POPCNT: return __builtin_cpu_supports("popcnt");
    case XF_AVX: case XF_AVX2: return __builtin_cpu_supports("avx2");
    case XF_FMA: case XF_F16C: return __builtin_cpu_supports("fma");
    case XF_AES: case XF_PCLMUL: return __builtin_cpu_supports("aes");
    case XF_SHA: return has_sha();
    case XF_3DNOW: case XF_3DNOWEXT: case XF_SSE4A: return false;
    default: return true;
    }
}

static uint64_t interesting(void)
{
    static const uint64_t values[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                       0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0x123456789abcdef0 };
    uint64_t r = next_random();

    switch (r & 3) {
    case 0: return values[r >> 8 & 15];
    case 1: return r >> 16 & 0x3f;
    case 2: return (uint64_t)(int64_t)(int32_t)(r >> 16);
    default: return next_random();
    }
}

/* Bits that mean something as one double or two floats. */
static uint64_t interesting_fp(void)
{
    static const uint32_t singles[] = { 0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345, 0x7f812345, 0x00000001,
                                        0x807fffff, 0x00800000, 0x7f7fffff, 0x4b800001, 0x4f000000, 0x3f000000 };
    static const uint64_t doubles[] = { 0, 0x8000000000000000, 0x3ff0000000000000, 0xbff8000000000000, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000,
                                        0xfff8000012345678, 0x7ff0000012345678, 1, 0x800fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff, 0x43e0000000000000,
                                        0x41dfffffffe00000, 0x3fe0000000000000 };
    uint64_t r = next_random();

    switch (r & 7) {
    case 0: case 1: return singles[r >> 8 & 15] | (uint64_t)singles[r >> 12 & 15] << 32;
    case 2: case 3: return doubles[r >> 8 & 15];
    case 4: /* near 1 */ return (0x3f800000u + (uint32_t)(r >> 8 & 0xfffffff)) | (uint64_t)(0x3f000000u + (uint32_t)(r >> 36 & 0x1ffffff)) << 32;
    case 5: return 0x3fe0000000000000 + (r >> 8);
    default: return next_random();
    }
}

static void interesting_f80(uint64_t *frac, uint16_t *se)
{
    uint64_t r = next_random();

    *frac = next_random() | UINT64_C(1) << 63;
    *se = (uint16_t)((r & 0x8000) | (0x3fff - 4 + (r >> 16) % 12));
    switch (r >> 32 & 15) {
    case 0: *frac = 0, *se &= 0x8000; break;
    case 1: *frac = UINT64_C(1) << 63, *se |= 0x7fff; break;
    case 2: *se |= 0x7fff; break;
    case 3: *frac = UINT64_C(1) << 63; break;
    case 4: *frac >>= 1 + (r >> 40) % 62, *se &= 0x8000; break;
    case 5: *se = (uint16_t)r; break;
    case 6: *frac = (r >> 20) << 40 | UINT64_C(1) << 63; break;
    case 7: *frac = next_random(); break; /* may be one of the formats that are not supported any more */
    case 8: *frac &= ~UINT64_C(0) << (r >> 40) % 64; *se = (uint16_t)((r & 0x8000) | (0x3fff + (r >> 16) % 70)); break;
    default: break;
    }
}

/* Parts of the x87's status that are not compared: C1 where it tells the rounding direction; conditions that are undefined. */
static uint16_t status_mask(const struct x86_insn *d)
{
    if (!(d->def->flags & XI_FPU)) return 0xffff;
    return is_any(d->def->name, "fcom fcomp fcompp fucom fucomp fucompp ficom ficomp ftst fxam fprem fprem1") ? 0xfdff : 0xb8ff;
}

static void patch_disp(uint8_t *b, const struct x86_insn *d, uint64_t value, unsigned bytes)
{
    unsigned imms = 0;
    for (unsigned i = 0; i < 2; i++) {
        if (d->form->imm[i] == XIMM_MOFFS) continue;
        if (d->form->imm[i]) imms += i ? 1 : d->imm_size;
    }
    for (unsigned i = 0; i < bytes; i++) b[d->len - imms - bytes + i] = (uint8_t)(value >> 8 * i);
}

/* Registers such that memory operands lie in the arena, most of the time. False: not a case. */
static bool place(struct state *s, struct x86_insn *d, uint8_t *b)
{
    uint64_t mask = d->mode == X86_64 ? ~UINT64_C(0) : 0xffffffff, at = ARENA_AT + MID + next_random() % NEAR;
    bool wild = next_random() % 64 == 0 && d->base != X86_RIP;
    bool indirect = d->def->flags & XI_BR && d->form->n_ops && d->form->op[0].what == XO_E;

    if (d->seg == 4 || d->seg == 5 || (d->mode == X86_32 && d->seg == 1)) return false;
    s->gpr[4] = ARENA_AT + MID + (next_random() & 0xf8);
    s->gpr[5] = next_random() & 1 ? ARENA_AT + MID + (next_random() & 0xff) : s->gpr[5];
    if (d->def->flags & (XI_REP | XI_REPZ) || is_any(d->def->name, "xlat")) {
        s->gpr[6] = at, s->gpr[7] = ARENA_AT + MID + next_random() % NEAR, s->gpr[3] = at;
        s->gpr[1] = next_random() % 6;
        if (d->asize == 8 && next_random() & 1) s->gpr[1] = 0;
    }
    if (is_any(d->def->name, "maskmovq maskmovdqu vmaskmovdqu")) s->gpr[7] = at;
    if (is_any(d->def->name, "enter leave")) s->gpr[5] = ARENA_AT + MID + (next_random() & 0xf8);
    if (d->form->imm[0] == XIMM_MOFFS) {
        if (d->asize == 2) return false;
        patch_disp(b, d, at, d->asize);
    } else if (d->form->modrm && d->modrm < 0xc0 && !wild && d->asize != 2) {
        if (is_any(d->def->name, "bt bts btr btc") && d->form->op[1].what == XO_G) s->gpr[d->reg] = (uint64_t)(int64_t)((int)(next_random() % 2048) - 1024);
        if (d->index != X86_NO_REG && d->index != 4) s->gpr[d->index] = next_random() & 15;
        uint64_t index = d->index != X86_NO_REG ? s->gpr[d->index] << d->scale : 0;
        if (d->base == X86_RIP || d->base == X86_NO_REG) {
            if (d->disp_size != 4) return false;
            patch_disp(b, d, at - index - (d->base == X86_RIP ? s->pc + d->len : 0), 4);
        } else if (d->base == d->index) {
            uint64_t want = at - (uint64_t)d->disp;
            if (d->base == 4 || want % ((1u << d->scale) + 1)) want -= want % ((1u << d->scale) + 1);
            s->gpr[d->base] = want / ((1u << d->scale) + 1);
        } else {
            s->gpr[d->base] = at - (uint64_t)d->disp - index;
            /* what the address needs may not be destroyed by being below 4 GiB only */
            if (d->asize == 4 && d->mode == X86_64 && next_random() & 1) s->gpr[d->base] = (uint32_t)s->gpr[d->base] | next_random() << 32;
        }
        if (d->asize == 4) s->gpr[d->base == X86_NO_REG || d->base == X86_RIP ? 12 : d->base] &= d->mode == X86_64 ? ~UINT64_C(0) : mask;
    }
    if (indirect && d->modrm >= 0xc0) s->gpr[d->rm] &= 0x7fffffff;
    for (unsigned i = 0; i < 16; i++) s->gpr[i] &= mask;
    return true;
}

static void report(const char *box, const struct x86_insn *d, const uint8_t *b, const struct state *in, const struct state *want, const struct state *got, uint32_t mask)
{
    char text[100];

    x86_disas_att(b, d->len, (enum x86_mode)d->mode, XF_ALL, in->pc, text, sizeof text);
    printf("FAILED %s: %s [", box, text);
    for (unsigned i = 0; i < d->len; i++) printf("%s%02x", i ? " " : "", b[i]);
    printf("]");
    if (want->trap != got->trap) printf(" trap %d, host %d", got->trap, want->trap);
    if (want->pc != got->pc) printf(" pc %" PRIx64 ", host %" PRIx64, got->pc, want->pc);
    if ((want->flags ^ got->flags) & mask) printf(" flags %03x, host %03x (were %03x)", got->flags & mask, want->flags & mask, in->flags & XFL_ARITH);
    for (unsigned i = 0; i < 16; i++) {
        if (want->gpr[i] != got->gpr[i]) printf(" r%u %" PRIx64 ", host %" PRIx64 " (was %" PRIx64 ")", i, got->gpr[i], want->gpr[i], in->gpr[i]);
        for (unsigned k = 4; k--;) {
            if (want->vec[i][k] != got->vec[i][k]) {
                printf(" v%u.%u %016" PRIx64 ", host %016" PRIx64 " (was %016" PRIx64 ")", i, k, got->vec[i][k], want->vec[i][k], in->vec[i][k]);
            }
        }
        if (i < 8 && want->se[i] != got->se[i]) printf(" se%u %04x, host %04x (was %04x)", i, got->se[i], want->se[i], in->se[i]);
        if (i < 8 && want->mm[i] != got->mm[i]) printf(" mm%u %" PRIx64 ", host %" PRIx64 " (was %" PRIx64 ")", i, got->mm[i], want->mm[i], in->mm[i]);
    }
    if (want->fsw != got->fsw || want->ftw != got->ftw || want->fcw != got->fcw) {
        printf(" fsw %04x ftw %02x fcw %04x, host %04x %02x %04x (was %04x %02x %04x)", got->fsw, got->ftw, got->fcw, want->fsw, want->ftw, want->fcw, in->fsw,
               in->ftw, in->fcw);
    }
    if (d->def->flags & XI_FPU) {
        unsigned top = in->fsw >> 11 & 7;
        printf(" st0 %04x %016" PRIx64 " st1 %04x %016" PRIx64, in->se[top], in->mm[top], in->se[(top + 1) & 7], in->mm[(top + 1) & 7]);
    }
    if ((want->mxcsr ^ got->mxcsr) & ~2u) printf(" mxcsr %" PRIx32 ", host %" PRIx32 " (was %" PRIx32 ")", got->mxcsr, want->mxcsr, in->mxcsr);
    if (d->form->op[0].what >= XO_V || (d->form->n_ops > 1 && d->form->op[1].what >= XO_V)) {
        static const char *const what[] = { "reg", "rm", "vvvv" };
        unsigned n[] = { d->reg, d->rm, d->vvvv };
        for (unsigned i = 0; i < 3; i++) printf(" %s: %016" PRIx64 " %016" PRIx64, what[i], in->vec[n[i] & 15][1], in->vec[n[i] & 15][0]);
    }
    printf("; ax %" PRIx64 " cx %" PRIx64 " dx %" PRIx64 " bx %" PRIx64 "\n", in->gpr[0], in->gpr[1], in->gpr[2], in->gpr[3]);
}

/* The address sanitizer's shadow memory lies where wild addresses go: the instruction can reach it, the interpreters' C cannot. */
static bool in_shadow(const struct cpu *c)
{
#ifdef __SANITIZE_ADDRESS__
    return c->exc.addr >= 0x7fff0000 && c->exc.addr < UINT64_C(0x10007fff8000);
#else
    (void)c;
    return false;
#endif
}

/* Nor does what the instruction finds in the shadow stay as it is while code is compiled: results of such are not compared. */
static bool may_use_shadow(const struct x86_insn *d)
{
#ifdef __SANITIZE_ADDRESS__
    return !d->form->modrm || d->modrm < 0xc0;
#else
    (void)d;
    return false;
#endif
}

static bool same_trap(const struct state *want, const struct state *got, const struct cpu *c)
{
    if (want->trap == got->trap) return true;
    /* accesses across the end of 4 GiB, or to addresses that are not canonical */
    if ((want->trap == XE_GP || want->trap == XE_SS) && got->trap == XE_PF && (c->exc.addr < 256 || c->exc.addr - 0xffffff00u < 512)) return true;
    return (want->trap == XE_GP || want->trap == XE_SS) && got->trap == XE_PF && c->exc.addr >= UINT64_C(1) << 47;
}

/* The transcendental functions of processors are right to within an ulp, ours are rounded correctly: one is as good as the
 * other's neighbour. */
static void forgive_ulp(const struct x86_insn *d, const struct state *want, struct state *got)
{
    if (!is_any(d->def->name, "f2xm1 fyl2x fyl2xp1 fptan fpatan fsin fcos fsincos")) return;
    for (unsigned i = 0; i < 8; i++) {
        bool next = got->se[i] == want->se[i] && got->mm[i] - want->mm[i] + 1 < 3;
        bool over = (got->se[i] == want->se[i] + 1 && !(got->mm[i] << 1) && !~want->mm[i]) || (want->se[i] == got->se[i] + 1 && !(want->mm[i] << 1) && !~got->mm[i]);
        if (next || over) got->mm[i] = want->mm[i], got->se[i] = want->se[i];
    }
}

/* One case; returns false when it was none. */
static bool one(unsigned line, enum x86_mode mode, unsigned *bad)
{
    static uint8_t before[ARENA_SIZE], wanted[ARENA_SIZE];
    uint8_t b[16];
    struct x86_insn d;
    struct state in = { 0 }, want, got;
    unsigned len = x86_encode_random(line, mode, &rng, b);

    if (!len || x86_decode(b, len, mode, false, XF_ALL, &d) != X86_OK || d.tr == x86_tr_unbuilt || !testable(d.line, mode)) return false;
    for (unsigned i = 0; i < (mode == X86_64 ? 16u : 8u); i++) in.gpr[i] = interesting();
    bool fp = next_random() & 1;
    for (unsigned i = 0; i < 64; i++) in.vec[i / 4][i % 4] = fp ? interesting_fp() : interesting();
    for (unsigned i = 0; i < 8; i++) in.mm[i] = interesting();
    bool x87 = d.def->flags & XI_FPU;
    in.fcw = 0x37f, in.ftw = 0xff;
    for (unsigned i = 0; i < 8; i++) in.se[i] = 0xffff;
    if (x87) {
        in.fsw = (uint16_t)(next_random() & 0x7f00);
        in.fsw &= 0x7800; /* flags and conditions start clear */
        in.fcw |= next_random() % 3 ? 0 : (uint16_t)(next_random() & 0xc00);
        if (next_random() % 8 == 0) in.fcw = (uint16_t)((in.fcw & ~0x300) | (next_random() & 1 ? 0x200 : 0));
        if (next_random() % 8 == 0) in.ftw = (uint8_t)next_random();
        for (unsigned i = 0; i < 8; i++) interesting_f80(&in.mm[i], &in.se[i]);
    }
    in.mxcsr = 0x1f80 | (next_random() % 4 ? 0 : (uint32_t)(next_random() & 3) << 13) | (next_random() % 16 ? 0 : 0x8000) | (next_random() % 16 ? 0 : 0x40);
    in.flags = (uint32_t)next_random() & XFL_ARITH;
    if (next_random() % 4 == 0) in.flags |= XFL_DF;
    in.pc = CODE_AT + (next_random() & 0x7f);
    if (!place(&in, &d, b) || x86_decode(b, len, mode, false, XF_ALL, &d) != X86_OK) return false;
    for (unsigned i = MID - NEAR; i < MID + 2 * NEAR; i += 8) {
        uint64_t v = fp ? interesting_fp() : interesting();
        if (d.def->flags & XI_BR) v &= 0x7fffffff;
        memcpy(arena + i, &v, 8);
    }
    memcpy(before, arena, sizeof before);
    memset(code, 0x90, 256);
    memcpy((uint8_t *)(uintptr_t)in.pc, b, len);
    uint32_t mask = (XFL_ARITH | XFL_DF) & ~undefined_flags(&d, &in);
    want = in;
    run_native(&want, mode == X86_32, 1);
    memcpy(wanted, arena, sizeof wanted);
    if (undefined_result(&d, &in) || native_null) return false;
    if (want.trap == XE_GP && d.def->flags & XI_BR) return false; /* a target that is not canonical */
    for (unsigned i = 0; i < n_boxes; i++) {
        struct box *x = &boxes[i];
        if (x->mode != mode || x->chains) continue;
        engine_code_written(x->engine, code, 256);
        for (unsigned run = 0; run < x->runs; run++) {
            memcpy(arena, before, sizeof before);
            got = in;
            run_box(x, &got, 1);
            if (got.trap == XE_PF && want.trap != XE_PF && in_shadow(x->c)) continue;
            if (got.trap == XE_GP && d.def->feature == XF_SHA) continue; /* some processors let these be misaligned */
            if (!x->is64 || mode == X86_32) memcpy(got.gpr + 8, want.gpr + 8, 64);
            if (mode == X86_32) memcpy(got.vec + 8, want.vec + 8, sizeof got.vec / 2);
            forgive_ulp(&d, &want, &got);
            bool ok = same_trap(&want, &got, x->c) && want.pc == got.pc && !((want.flags ^ got.flags) & mask) && !memcmp(want.gpr, got.gpr, sizeof want.gpr) &&
                      !memcmp(want.vec, got.vec, sizeof want.vec) && !memcmp(want.mm, got.mm, sizeof want.mm) && !((want.mxcsr ^ got.mxcsr) & ~2u) &&
                      !memcmp(want.se, got.se, sizeof want.se) && !((want.fsw ^ got.fsw) & status_mask(&d)) && want.ftw == got.ftw && want.fcw == got.fcw;
            bool mem = !memcmp(arena, wanted, sizeof wanted);
            if (ok && mem) {
                passed++;
                continue;
            }
            if (may_use_shadow(&d)) continue;
            failures++;
            if (++*bad > 2) continue;
            report(x->name, &d, b, &in, &want, &got, mask);
            if (!mem) {
                unsigned at = 0;
                while (arena[at] == wanted[at]) at++;
                printf("       memory at %x: %02x, host %02x (was %02x)\n", ARENA_AT + at, arena[at], wanted[at], before[at]);
            }
        }
    }
    memcpy(arena, before, sizeof before);
    return true;
}

/* ---- chains ---- */

static bool is_vector(unsigned line)
{
    const struct x86_form *f = x86_form(line);
    for (unsigned i = 0; i < f->n_ops && x86_defs[line].feature != XF_SHA /* see one() */; i++) {
        unsigned what = f->op[i].what;
        if (what == XO_V || what == XO_W || what == XO_U) return f->modrm && !is_any(x86_defs[line].name, "maskmovdqu vmaskmovdqu");
    }
    return false;
}

/* A random vector instruction, between four registers or with an address that needs none, to be at pc. 0: it came out otherwise. */
static unsigned vector_insn(const uint16_t *lines, unsigned n, enum x86_mode mode, uint64_t pc, uint8_t *b)
{
    struct x86_insn d, e;
    unsigned line = lines[next_random() % n], len = x86_encode_random(line, mode, &rng, b);

    if (!len || x86_decode(b, len, mode, false, XF_ALL, &d) != X86_OK || d.tr == x86_tr_unbuilt || !testable(d.line, mode) || d.asize == 2) return 0;
    if (d.modrm < 0xc0) {
        if (d.seg >= 4 || d.index != X86_NO_REG || (d.base != X86_RIP && d.base != X86_NO_REG) || d.disp_size != 4) return 0;
        patch_disp(b, &d, ARENA_AT + MID + next_random() % NEAR / 8 * 8 - (d.base == X86_RIP ? pc + len : 0), 4);
        return len;
    }
    unsigned imms = 0;
    for (unsigned i = 0; i < 2; i++) {
        if (d.form->imm[i]) imms += i ? 1 : d.imm_size;
    }
    b[len - imms - 1] &= 0xdb;
    return x86_decode(b, len, mode, false, XF_ALL, &e) == X86_OK && e.line == d.line ? len : 0;
}

static void report_chain(const struct box *x, enum x86_mode mode, const uint8_t *b, unsigned len, const struct state *in, const struct state *want, const struct state *got)
{
    printf("FAILED %s: trap %d, host %d; pc %" PRIx64 ", host %" PRIx64 "; mxcsr %x, host %x (was %x); flags %x, host %x\n", x->name, got->trap, want->trap, got->pc, want->pc,
           got->mxcsr, want->mxcsr, in->mxcsr, got->flags, want->flags);
    for (unsigned at = 0; at < len;) {
        struct x86_insn d;
        char text[100];
        if (x86_decode(b + at, len - at, mode, false, XF_ALL, &d) != X86_OK) break;
        x86_disas_att(b + at, d.len, mode, XF_ALL, in->pc + at, text, sizeof text);
        printf("       %s\n", text);
        at += d.len;
    }
    for (unsigned i = 0; i < 64; i++) {
        if (want->vec[i / 4][i % 4] == got->vec[i / 4][i % 4]) continue;
        printf("       v%u.%u %" PRIx64 ", host %" PRIx64 " (was %" PRIx64 ")\n", i / 4, i % 4, got->vec[i / 4][i % 4], want->vec[i / 4][i % 4], in->vec[i / 4][i % 4]);
    }
    for (unsigned i = 0; i < 16; i++) {
        if (want->gpr[i] != got->gpr[i]) printf("       r%u %" PRIx64 ", host %" PRIx64 "\n", i, got->gpr[i], want->gpr[i]);
    }
}

static void chain(const uint16_t *lines, unsigned n_lines, enum x86_mode mode, unsigned *bad)
{
    static uint8_t before[ARENA_SIZE], wanted[ARENA_SIZE];
    uint8_t b[256];
    struct state in = { .fcw = 0x37f, .ftw = 0xff, .pc = CODE_AT }, want, got;
    unsigned most = 2 + (unsigned)(next_random() % 12), n = 0, len = 0;
    bool fp = next_random() & 3;

    uint16_t few[5];
    for (unsigned i = 0; i < ARRAY_LEN(few); i++) {
        do few[i] = lines[next_random() % n_lines];
        while (i && x86_form(few[i])->uses_vvvv); /* a chain of VEX forms clears upper halves all the time */
    }
    for (unsigned tries = 0; n < most && tries < 500; tries++) {
        unsigned got_len = vector_insn(few, ARRAY_LEN(few), mode, in.pc + len, b + len);
        len += got_len, n += got_len != 0;
    }
    b[len] = 0xeb, b[len + 1] = 0xfe; /* jmp . */
    for (unsigned i = 0; i < (mode == X86_64 ? 16u : 8u); i++) in.gpr[i] = interesting() & (mode == X86_64 ? ~UINT64_C(0) : 0xffffffff);
    in.gpr[4] = ARENA_AT + MID;
    for (unsigned i = 0; i < 64; i++) in.vec[i / 4][i % 4] = fp ? interesting_fp() : interesting();
    for (unsigned i = 0; i < 8; i++) in.mm[i] = interesting(), in.se[i] = 0xffff;
    in.mxcsr = 0x1f80 | (next_random() % 8 ? 0 : (uint32_t)(next_random() & 3) << 13) | (next_random() % 32 ? 0 : 0x8040);
    for (unsigned i = MID - NEAR; i < MID + 2 * NEAR; i += 8) {
        uint64_t v = fp ? interesting_fp() : interesting();
        memcpy(arena + i, &v, 8);
    }
    memcpy(before, arena, sizeof before);
    memset(code, 0x90, 512);
    memcpy(code, b, len + 2);
    want = in;
    run_native(&want, mode == X86_32, len);
    memcpy(wanted, arena, sizeof wanted);
    if (native_null || want.fsw || want.trap != -1) return; /* traps are the other cases' */
    for (unsigned i = 0; i < n_boxes; i++) {
        struct box *x = &boxes[i];
        if (x->mode != mode || !x->chains) continue;
        engine_code_written(x->engine, code, 512);
        for (unsigned run = 0; run < x->runs; run++) {
            memcpy(arena, before, sizeof before);
            got = in;
            run_box(x, &got, n + 1);
            if (!x->is64 || mode == X86_32) memcpy(got.gpr + 8, want.gpr + 8, 64);
            if (mode == X86_32) memcpy(got.vec + 8, want.vec + 8, sizeof got.vec / 2);
            bool ok = want.trap == got.trap && want.pc == got.pc && !((want.flags ^ got.flags) & XFL_ARITH) && !memcmp(want.gpr, got.gpr, sizeof want.gpr) &&
                      !memcmp(want.vec, got.vec, sizeof want.vec) && !memcmp(want.mm, got.mm, sizeof want.mm) && !((want.mxcsr ^ got.mxcsr) & ~2u) &&
                      !memcmp(arena, wanted, sizeof wanted);
            passed += ok, failures += !ok;
            if (!ok && ++*bad <= 2) report_chain(x, mode, b, len, &in, &want, &got);
        }
    }
    memcpy(arena, before, sizeof before);
}

static void chains(unsigned n)
{
    static uint16_t lines[4096];
    for (enum x86_mode mode = X86_32; mode <= X86_64; mode++) {
        unsigned n_lines = 0, bad = 0;
        for (unsigned i = 0; i < x86_n_defs && n_lines < ARRAY_LEN(lines); i++) {
            if (is_vector(i) && testable(i, mode)) lines[n_lines++] = (uint16_t)i;
        }
        for (unsigned k = 0; k < n; k++) chain(lines, n_lines, mode, &bad);
    }
}

int main(int argc, char **argv)
{
    const char *engines = "ref,fast" NATIVE;
    unsigned cases, forms[3] = { 0 };

    if (argc > 2 && !strcmp(argv[1], "-e")) engines = argv[2], argv += 2, argc -= 2;
    cases = argc > 1 ? (unsigned)atoi(argv[1]) : 40;
    if (argc > 2) rng += strtoull(argv[2], NULL, 0) * 0x123456789;
    if (mmap(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != code ||
        mmap(arena, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != arena) {
        printf("SKIP: no memory at fixed addresses\n");
        return 77;
    }
    setup_signals();
#ifdef HAVE_JIT_NATIVE
    jit_register(&jit_native_backend);
#endif
    for (const char *p = engines; *p;) {
        char name[20];
        unsigned n = (unsigned)strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        if (!open_box(name, true, X86_64, false) || !open_box(name, false, X86_32, false) || !open_box(name, true, X86_32, false)) return 1;
        if (!open_box(name, true, X86_64, true) || !open_box(name, false, X86_32, true)) return 1;
        p += n + (p[n] == ',');
    }
    for (unsigned i = 0; i < x86_n_defs; i++) {
        if (argc > 3 && strcmp(argv[3], x86_defs[i].name)) continue;
        for (enum x86_mode mode = X86_32; mode <= X86_64; mode++) {
            unsigned bad = 0, n = 0;
            if (!testable(i, mode)) continue;
            for (unsigned k = 0; k < cases; k++) n += one(i, mode, &bad);
            forms[mode] += n > 0;
        }
    }
    if (argc <= 3 || !strcmp(argv[3], "chain")) chains(argc > 3 ? cases : cases * 25);
    for (unsigned i = 0; i < n_boxes; i++) {
        struct jit_stats js;
        if (boxes[i].runs == 1) continue;
        jit_get_stats(boxes[i].engine, &js);
        printf("%s: compiled %" PRIu64 " blocks, %" PRIu64 " regions\n", boxes[i].name, js.tier[1].regions, js.tier[2].regions);
    }
    printf("forms: %u of 32 bits, %u of 64 bits\n%u passed, %u failed\n", forms[X86_32], forms[X86_64], passed, failures);
    for (unsigned i = 0; i < n_boxes; i++) cpu_delete(boxes[i].c), engine_delete(boxes[i].engine);
    return failures != 0;
}

#else

int main(void)
{
    printf("SKIP: the host is not Linux on x86-64\n0 passed, 0 failed, 1 skipped\n");
    return 77;
}

#endif
