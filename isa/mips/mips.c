/*
 * mips.c - the tables that describe MIPS to the rest of the house: slots, helpers, struct guest,
 * struct isa, gdb registers, saved state; and making, resetting and printing a CPU.
 *
 * Not here: behaviour of instructions and exceptions (see the list of files in mips.h).
 * gdb's register numbers: "MIPS Features" in the gdb manual and gdb's legacy MIPS numbering.
 */
#include "isa/mips/mips-user.h"
#include "isa/mips/priv.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- slots -------------------------------------------------------------- */

/* clang-format off */
#define OFF(f) offsetof(struct mips_cpu, f)
#define X32(X)                                                                                     \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)          \
    X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)

#define FPR_SLOT(n) [MS_FPR0 + n] = { "f" #n, OFF(fpr[n]), T_I64, SLOT_FPR },
/* u: the union member of the width */
#define SLOTS(u, T)                                                                                \
    [MS_HI] = { "hi", OFF(hilo.u[0]), T, SLOT_GPR },                                               \
    [MS_LO] = { "lo", OFF(hilo.u[1]), T, SLOT_GPR },                                               \
    X32(FPR_SLOT)                                                                                  \
    [MS_PC] = { "pc", OFF(pc.u), T, SLOT_PC },                                                     \
    [MS_KEY] = { "key", OFF(c.key), T_I64, SLOT_MODE },                                            \
    [MS_BTARGET] = { "btarget", OFF(btarget.u), T, SLOT_PC },                                      \
    [MS_LLADDR] = { "lladdr", OFF(lladdr.u), T, SLOT_SPECIAL },                                    \
    [MS_LLVAL] = { "llval", OFF(llval), T_I64, SLOT_SPECIAL },                                     \
    [MS_FCC] = { "fcc", OFF(fcc), T_I32, SLOT_FLAG },                                              \
    [MS_ULOCAL] = { "ulocal", OFF(ulocal.u), T, SLOT_SYS },                                        \
    [MS_STATUS] = { "status", OFF(status), T_I32, SLOT_SYS },

#define GPR32_SLOT(n) [MS_GPR0 + n] = { "r" #n, OFF(gpr.w[n]), T_I32, SLOT_GPR },
static const struct slot_desc mips32_slots[MS_COUNT] = { X32(GPR32_SLOT) SLOTS(w, T_I32) };

#define GPR64_SLOT(n) [MS_GPR0 + n] = { "r" #n, OFF(gpr.d[n]), T_I64, SLOT_GPR },
static const struct slot_desc mips64_slots[MS_COUNT] = { X32(GPR64_SLOT) SLOTS(d, T_I64) };
/* clang-format on */

/* ---- helpers ------------------------------------------------------------ */

static const struct helper_desc mips_helpers[MH_COUNT] = {
#define HELPER(N, fn, flags, reads, writes) [MH_##N] = { #N, fn, flags, reads, writes },
#include "isa/mips/helpers.def"
};

static void mips_dump(struct cpu *, void (*put)(void *, const char *), void *opaque, bool fpu);

/* clang-format off */
#define MIPS_GUEST(name_, slots_, type, fixed_)                                                    \
    {                                                                                              \
        .name = name_, .slots = slots_, .n_slots = MS_COUNT, .helpers = mips_helpers,              \
        .n_helpers = MH_COUNT, .pc_slot = MS_PC, .addr_type = type,                                \
        .cpu_size = sizeof(struct mips_cpu), .translate = mips_translate, .mmu = mips_mmu,         \
        .fault = mips_fault, .exception = mips_exception, .interrupt = mips_interrupt,             \
        .has_work = mips_has_work, .mmu_mode = mips_mmu_mode, .disas = mips_disas,                 \
        .dump = mips_dump, .mmu_context = mips_mmu_context, .fixed = fixed_,                       \
    }
const struct guest mips32_guest = MIPS_GUEST("mips32", mips32_slots, T_I32, mips32_fixed);
const struct guest mips64_guest = MIPS_GUEST("mips64", mips64_slots, T_I64, mips64_fixed);
/* clang-format on */

/* ---- making and resetting ----------------------------------------------- */

static void reset_system(struct mips_cpu *m)
{
    const struct mips_model *d = m->model;

    m->status = SR_BEV | SR_ERL;
    m->config0 = d->config0 | (m->big_endian ? C0_BE : 0);
    m->config3 = d->config3;
    m->index = m->pagemask = m->pagegrain = m->wired = m->hwrena = m->srsctl = m->cause = 0;
    m->intctl = mips_r2(m) ? 7u << 29 : 0; /* the timer interrupts on IP7 */
    m->ebase = 0x80000000u | (m->c.index & 0x3ff);
    m->entrylo0 = m->entrylo1 = m->context = m->xcontext = m->badvaddr = m->entryhi = m->epc =
        m->errorepc = m->lladdr_cp0 = m->depc = 0;
    m->taglo = m->datalo = m->debug = m->desave = m->errctl = 0;
    m->random_seed = 1;
    memset(m->tlb, 0, sizeof m->tlb);
    memset(m->tlb2, 0, sizeof m->tlb2);
    m->tlb2_used = m->tlb2_mask = 0;
    m->tlb_doubled = false;
    mips_put_pc(m, VA_RESET);
    mips_timer_reset(m);
    mips_update_irq(m);
    cpu_tlb_flush(&m->c);
}

void mips_reset(struct cpu *cpu)
{
    struct mips_cpu *m = mips_cpu(cpu);

    memset(&m->gpr, 0, sizeof m->gpr);
    memset(&m->hilo, 0, sizeof m->hilo);
    memset(m->fpr, 0, sizeof m->fpr);
    m->ulocal.d = m->btarget.d = m->pc.d = m->lladdr.d = m->llval = 0;
    if (m->is64) m->lladdr.d = LL_NONE;
    else m->lladdr.w = (uint32_t)LL_NONE;
    m->fcc = m->fcsr = 0;
    cpu->halted = false;
    cpu->key = m->user && m->is64 ? MK_64 | MK_ADDR64 | MK_FR : 0;
    cpu->fp =
        (struct fp_env){ .round = FP_RNE, .nan_rule = FP_NAN_MIPS_LEGACY, .nan_legacy = true };
    cpu->fp_note = (struct fp_note){ 0 };
    if (!m->user) reset_system(m);
    mips_fcsr_write(m, 0);
    mips_update_key(m);
}

static int mips_init(struct cpu *cpu, const struct cpu_model *model, bool big_endian, bool user,
                     struct error *e)
{
    struct mips_cpu *m = mips_cpu(cpu);
    const struct mips_model *d = model->def;
    bool is64 = cpu->guest == &mips64_guest;

    if (is64 != !!(d->isa & MIPS_3))
        return error_set(e, "CPU model '%s' is %d-bit, the target is %d-bit", model->name,
                         is64 ? 32 : 64, is64 ? 64 : 32);
    m->model = d;
    m->is64 = is64;
    m->big_endian = big_endian;
    m->user = user;
    m->clock_hz = d->clock_hz;
    m->timer.deadline = TIME_NEVER;
    mips_reset(cpu);
    return 0;
}

void mips_user_setup(struct cpu *cpu, unsigned abi)
{
    struct mips_cpu *m = mips_cpu(cpu);
    cpu->key &= ~(uint64_t)(MK_64 | MK_ADDR64 | MK_FR);
    if (m->is64 && abi != MIPS_ABI_O32)
        cpu->key |= MK_64 | MK_FR | (abi == MIPS_ABI_N64 ? MK_ADDR64 : 0);
    mips_update_key(m);
}

void mips_set_pc(struct cpu *cpu, uint64_t pc)
{
    struct mips_cpu *m = mips_cpu(cpu);
    cpu->key &= ~(uint64_t)MK_M16;
    if ((m->model->isa & MIPS_16E) && (pc & 1)) {
        cpu->key |= MK_M16;
        pc &= ~UINT64_C(1);
    }
    mips_put_pc(m, pc);
}

/* ---- registers for debuggers -------------------------------------------- */

enum { SPECIAL_STATUS, SPECIAL_BADVADDR, SPECIAL_CAUSE, SPECIAL_PC, SPECIAL_FCSR, SPECIAL_FIR };

static uint64_t special_get(struct cpu *cpu, unsigned which)
{
    struct mips_cpu *m = mips_cpu(cpu);
    switch (which) {
    case SPECIAL_STATUS: return sign32(m->status);
    case SPECIAL_BADVADDR: return m->badvaddr;
    case SPECIAL_CAUSE: return sign32(m->cause);
    case SPECIAL_PC: return mips_get_pc(m) | (cpu->key & MK_M16 ? 1 : 0);
    case SPECIAL_FCSR: return mips_fcsr_read(m);
    default: return m->model->fcr0;
    }
}

static void special_set(struct cpu *cpu, unsigned which, uint64_t v)
{
    struct mips_cpu *m = mips_cpu(cpu);
    uint32_t old = m->status;
    switch (which) {
    case SPECIAL_STATUS:
        if (m->user) break;
        m->status = (old & ~m->model->status_rw) | ((uint32_t)v & m->model->status_rw);
        mips_status_changed(m, old);
        break;
    case SPECIAL_BADVADDR: m->badvaddr = mips_addr(m, v); break;
    case SPECIAL_CAUSE:
        if (m->user) break;
        m->cause = (m->cause & ~(uint32_t)(CA_SWINT | CA_IV)) | ((uint32_t)v & (CA_SWINT | CA_IV));
        break;
    case SPECIAL_PC: mips_set_pc(cpu, v); break;
    case SPECIAL_FCSR: /* a cause with its enable would trap: a debugger's write must not */
        mips_fcsr_write(m, (uint32_t)v & ~(((uint32_t)v & 0xf80) << 5) & ~0x20000u);
        break;
    default: break;
    }
}

/* FR=0: an odd register is the high half of the even one. */
static uint64_t fpr_get(struct cpu *cpu, unsigned n)
{
    struct mips_cpu *m = mips_cpu(cpu);
    if (cpu->key & MK_FR) return m->fpr[n];
    return n & 1 ? m->fpr[n - 1] >> 32 : (uint32_t)m->fpr[n];
}

static void fpr_set(struct cpu *cpu, unsigned n, uint64_t v)
{
    struct mips_cpu *m = mips_cpu(cpu);
    if (cpu->key & MK_FR) m->fpr[n] = v;
    else if (n & 1) m->fpr[n - 1] = (m->fpr[n - 1] & 0xffffffffu) | v << 32;
    else m->fpr[n] = (m->fpr[n] & ~UINT64_C(0xffffffff)) | (uint32_t)v;
}

/* clang-format off */
#define SPECIAL(name_, bits_, which, num)                                                          \
    { .name = name_, .bits = bits_, .get = special_get, .set = special_set, .arg = which, \
      .regnum = ISA_REGNUM(num) },
#define GDB_GPR(bits_, n)                                                                          \
    { .name = "r" #n, .bits = bits_, .arg = MS_GPR0 + n, .regnum = ISA_REGNUM(n) },
#define GDB_FPR(bits_, n)                                                                          \
    { .name = "f" #n, .bits = bits_, .get = fpr_get, .set = fpr_set, .arg = n,         \
      .regnum = ISA_REGNUM(38 + n) },
#define GDB_TABLES(w)                                                                              \
    static const struct isa_reg gdb_cpu##w[] = {                                                   \
        X32(GDB_GPR##w)                                                                            \
        { .name = "lo", .bits = w, .arg = MS_LO, .regnum = ISA_REGNUM(33) },                       \
        { .name = "hi", .bits = w, .arg = MS_HI, .regnum = ISA_REGNUM(34) },                       \
        SPECIAL("pc", w, SPECIAL_PC, 37)                                                           \
    };                                                                                             \
    static const struct isa_reg gdb_cp0##w[] = {                                                   \
        SPECIAL("status", w, SPECIAL_STATUS, 32)                                                   \
        SPECIAL("badvaddr", w, SPECIAL_BADVADDR, 35)                                               \
        SPECIAL("cause", w, SPECIAL_CAUSE, 36)                                                     \
    };                                                                                             \
    static const struct isa_reg gdb_fpu##w[] = {                                                   \
        X32(GDB_FPR##w)                                                                            \
        SPECIAL("fcsr", w, SPECIAL_FCSR, 70)                                                       \
        SPECIAL("fir", w, SPECIAL_FIR, 71)                                                         \
    };                                                                                             \
    static const struct isa_gdb_feature gdb##w[] = {                                               \
        { "org.gnu.gdb.mips.cpu", gdb_cpu##w, ARRAY_LEN(gdb_cpu##w), NULL },                           \
        { "org.gnu.gdb.mips.cp0", gdb_cp0##w, ARRAY_LEN(gdb_cp0##w), NULL },                           \
        { "org.gnu.gdb.mips.fpu", gdb_fpu##w, ARRAY_LEN(gdb_fpu##w), NULL },                           \
    };
#define GDB_GPR32(n) GDB_GPR(32, n)
#define GDB_GPR64(n) GDB_GPR(64, n)
#define GDB_FPR32(n) GDB_FPR(32, n)
#define GDB_FPR64(n) GDB_FPR(64, n)
GDB_TABLES(32)
GDB_TABLES(64)
/* clang-format on */

/* ---- printing ----------------------------------------------------------- */

static const char gpr_names[32][3] = {
    "r0", "at", "v0", "v1", "a0", "a1", "a2", "a3", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7",
    "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "t8", "t9", "k0", "k1", "gp", "sp", "s8", "ra",
};

static void dump_fpu(struct mips_cpu *m, void (*put)(void *, const char *), void *opaque)
{
    char line[128];
    bool fr = m->c.key & MK_FR;
    snprintf(line, sizeof line,
             "CP1 FCR0 0x%08" PRIx32 "  FCR31 0x%08" PRIx32 "  SR.FR %d  flags 0x%02x",
             m->model->fcr0, mips_fcsr_read(m), fr, cpu_fp_flags(&m->c));
    put(opaque, line);
    for (unsigned i = 0; i < 32; i += fr ? 1 : 2) {
        snprintf(line, sizeof line, "f%-2u: w:%08" PRIx32 " d:%016" PRIx64, i, (uint32_t)m->fpr[i],
                 m->fpr[i]);
        put(opaque, line);
    }
}

static void mips_dump(struct cpu *cpu, void (*put)(void *, const char *), void *opaque, bool fpu)
{
    struct mips_cpu *m = mips_cpu(cpu);
    int w = m->is64 ? 16 : 8;
    char line[160];
    uint64_t hi = m->is64 ? m->hilo.d[0] : m->hilo.w[0], lo = m->is64 ? m->hilo.d[1] : m->hilo.w[1];
    uint64_t target = m->is64 ? m->btarget.d : m->btarget.w;

    snprintf(line, sizeof line,
             "pc=0x%0*" PRIx64 " HI=0x%0*" PRIx64 " LO=0x%0*" PRIx64 " ds %08" PRIx32 " %0*" PRIx64
             " %d",
             w, mips_get_pc(m), w, hi, w, lo, (unsigned)cpu->key, w, target, (cpu->key & MK_M16) != 0);
    put(opaque, line);
    for (unsigned i = 0; i < 32; i += 4) {
        int n = snprintf(line, sizeof line, "GPR%02u:", i);
        for (unsigned j = i; j < i + 4; j++)
            n += snprintf(line + n, sizeof line - (size_t)n, " %s %0*" PRIx64, gpr_names[j], w,
                          mips_gpr(m, j));
        put(opaque, line);
    }
    if (!m->user) {
        const struct mips_model *d = m->model;
        uint32_t config1 = d->config1 | (d->config2 ? CONFIG_M : 0),
                 config2 = d->config2 | (m->config3 ? CONFIG_M : 0);
        snprintf(line, sizeof line,
                 "CP0 Status  0x%08" PRIx32 " Cause   0x%08" PRIx32 " EPC    0x%0*" PRIx64,
                 m->status, m->cause, w, m->epc);
        put(opaque, line);
        snprintf(line, sizeof line,
                 "    Config0 0x%08" PRIx32 " Config1 0x%08" PRIx32 " LLAddr 0x%016" PRIx64,
                 m->config0, config1, m->lladdr_cp0);
        put(opaque, line);
        snprintf(line, sizeof line, "    Config2 0x%08" PRIx32 " Config3 0x%08" PRIx32, config2,
                 m->config3);
        put(opaque, line);
        snprintf(line, sizeof line, "    Config4 0x%08x Config5 0x%08x", 0, 0);
        put(opaque, line);
    }
    if (fpu && (m->model->isa & MIPS_FPU)) dump_fpu(m, put, opaque);
}

static void mips_dump_tlb(struct cpu *cpu, void (*put)(void *, const char *), void *opaque)
{
    struct mips_cpu *m = mips_cpu(cpu);
    int w = m->is64 ? 16 : 8;
    char line[200];

    if (!m->model->tlb_entries) put(opaque, "fixed mapping, no TLB");
    for (unsigned i = 0; i < m->model->tlb_entries; i++) {
        const struct mips_tlb_entry *e = &m->tlb[i];
        if (!e->inuse) continue;
        int n =
            snprintf(line, sizeof line, "%2u: va %0*" PRIx64 " page %6uK asid %02x %c", i, w,
                     e->vpn, (unsigned)((e->mask + 0x2000) >> 11), e->asid, e->global ? 'g' : '-');
        for (unsigned odd = 0; odd < 2; odd++)
            n += snprintf(line + n, sizeof line - (size_t)n, " | pa %09" PRIx64 " c%u %c%c",
                          e->page[odd].pfn, e->page[odd].c, e->page[odd].v ? 'v' : '-',
                          e->page[odd].d ? 'd' : '-');
        put(opaque, line);
    }
}

/* ---- saved state -------------------------------------------------------- */

/* clang-format off */
#define T(f) STATE_INT(struct mips_tlb_entry, f)
static const struct state_field tlb_state[] = {
    T(vpn), T(mask), T(asid), T(global), T(inuse),
    T(page[0].pfn), T(page[0].c), T(page[0].v), T(page[0].d),
    T(page[1].pfn), T(page[1].c), T(page[1].v), T(page[1].d),
    STATE_END,
};
#undef T

#define I(f) STATE_INT(struct mips_cpu, f)
#define A(f) STATE_ARR(struct mips_cpu, f)
static const struct state_field mips_state[] = {
    I(fcsr), I(index), I(random_seed), I(wired), I(pagemask), I(pagegrain), I(hwrena), I(srsctl),
    I(intctl), I(status), I(cause), I(ebase), I(compare), I(entrylo0), I(entrylo1), I(context),
    I(xcontext), I(badvaddr), I(entryhi), I(epc), I(errorepc), I(lladdr_cp0), I(config0),
    I(config3), A(watchlo), A(watchhi), I(taglo), I(datalo), I(debug), I(desave), I(errctl),
    I(perfctl), I(framemask), A(kscratch_lo), I(depc),
    STATE_STRUCT(struct mips_cpu, tlb, MIPS_TLB_MAX, tlb_state),
    STATE_STRUCT(struct mips_cpu, tlb2, MIPS_TLB2_MAX, tlb_state), I(tlb2_used), I(tlb2_mask), I(tlb_doubled),
    I(irq_level), I(count_base), I(count_stopped), STATE_TIMER(struct mips_cpu, timer), STATE_END,
};
#undef I
#undef A
/* clang-format on */

/* ---- the ISAs ----------------------------------------------------------- */

static const struct isa_target targets32[] = { { "mips", true },
                                               { "mipsel", false },
                                               { NULL, false } };
static const struct isa_target targets64[] = {
    { "mips64", true },     { "mips64el", false }, { "mipsn32", true },
    { "mipsn32el", false }, { NULL, false },
};

/* clang-format off */
#define MIPS_ISA(w, arch, first, count)                                                            \
    {                                                                                              \
        .name = "mips" #w, .targets = targets##w, .guest = &mips##w##_guest,                       \
        .models = &mips_models[first], .n_models = count, .gdb_arch = arch, .gdb = gdb##w,         \
        .n_gdb = ARRAY_LEN(gdb##w), .init = mips_init, .reset = mips_reset,                        \
        .set_irq = mips_set_irq, .disas = mips_disas, .dump = mips_dump,                           \
        .dump_tlb = mips_dump_tlb, .set_pc = mips_set_pc, .connect_clock = mips_connect_clock,     \
        .state = mips_state, .n_state = MIPS_N_STATE,                                              \
    }
enum { MIPS_N_STATE = ARRAY_LEN(mips_state) - 1 };
const struct isa mips32_isa = MIPS_ISA(32, "mips", 0, MIPS32_MODELS);
const struct isa mips64_isa = MIPS_ISA(64, "mips:isa64r2", MIPS32_MODELS, MIPS64_MODELS);
/* clang-format on */
