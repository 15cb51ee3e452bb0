/*
 * mips.h - the MIPS CPU: state, block-key bits, models, and what the files of isa/mips share.
 *
 * One translator serves MIPS32 and MIPS64: registers are I32 slots on 32-bit models and I64 slots on
 * 64-bit models (two slot tables, two struct guest). Follows "MIPS Architecture For Programmers",
 * volumes I-A, II-A, III (MD00082/83, MD00086/87, MD00090/91), and the R4000 user's manual for R4000.
 *
 * Files: mips.def (instruction table), decode.c, disas.c, translate*.c (integer, branch, FPU, CP0, MIPS16e),
 * fpu.c (helpers), cp0.c (privileged registers, helpers), mmu.c (TLB and segments), except.c
 * (exceptions, interrupts, timer), models.c (CPU models), mips.c (tables, struct isa).
 */
#ifndef ISA_MIPS_MIPS_H
#define ISA_MIPS_MIPS_H

#include "bus/clock.h"
#include "bus/state.h"
#include "isa/isa.h"

/* ---- ISA levels and extensions: bits of mips_model.isa and of each instruction-table line ---- */
enum mips_isa_bits {
    MIPS_1 = 1 << 0, MIPS_2 = 1 << 1, MIPS_3 = 1 << 2, MIPS_4 = 1 << 3, MIPS_5 = 1 << 4,
    MIPS_32 = 1 << 5, MIPS_32R2 = 1 << 6, MIPS_64 = 1 << 7, MIPS_64R2 = 1 << 8,
    MIPS_16E = 1 << 12, MIPS_FPU = 1 << 13, MIPS_3D = 1 << 14,
};

/* ---- slots: ids are the same on both widths ---- */
enum mips_slot {
    MS_GPR0 = 0,          /* r0 is a slot that is never written; translators use constants for it */
    MS_HI = 32, MS_LO,
    MS_FPR0 = 34,         /* 32 I64 slots. FR=0: double 2k in slot 2k, single 2k+1 = high half of slot 2k */
    MS_PC = 66,
    MS_KEY,               /* I64: cpu->key */
    MS_BTARGET,           /* reserved for engines that split delay slots; unused */
    MS_LLADDR, MS_LLVAL,  /* LL: address (type of addresses; all ones: none) and value (I64) */
    MS_FCC,               /* I32: condition codes 0..7 in bits 0..7 (also shown in FCSR) */
    MS_ULOCAL,            /* UserLocal (rdhwr $29) */
    MS_STATUS,            /* CP0 Status */
    MS_COUNT
};

/* ---- block key: everything that selects semantics ---- */
enum mips_key {
    MK_KERNEL = 1 << 0,      /* kernel mode (KSU=0 or EXL or ERL); privileged instructions allowed */
    MK_SUPER = 1 << 1,       /* supervisor mode */
    MK_CP0 = 1 << 2,         /* CP0 usable (kernel, or Status.CU0) */
    MK_CP1 = 1 << 3,         /* Linux user mode: there is an FPU. Else code asks Status.CU1, which changes too often to be here */
    MK_FR = 1 << 4,          /* Status.FR: 32 64-bit FPRs */
    MK_CP3 = 1 << 5,         /* Status.CU3 where it matters (MIPS IV COP1X enable on R4000-class) */
    MK_64 = 1 << 6,          /* 64-bit operations allowed (64-bit model, and kernel or PX/UX/SX) */
    MK_ADDR64 = 1 << 7,      /* 64-bit addresses (KX/SX/UX by mode); else addresses are 32 bits sign-extended */
    MK_M16 = 1 << 8,         /* MIPS16e instruction mode */
    MK_FPSLOW = 1 << 9,      /* FCSR enables traps: FP arithmetic through helpers that may raise */
    MK_BE = 1 << 10,         /* big-endian data and code (board pin, or user mode's ABI; Status.RE flips in user mode) */
    MK_USERLAND = 1 << 11,   /* Linux user mode: no CP0 at all, syscall/break leave to the host side */
    MK_MMU_SHIFT = 12,       /* 2 bits: MMU mode: 0 kernel, 1 supervisor, 2 user, 3 kernel with ERL (kuseg unmapped) */
    MK_MMU_MASK = 3 << 12,
    MK_HWRENA_SHIFT = 16,    /* 4 bits: HWREna bits 0..3, and bit 29 (UserLocal) at 20 */
    MK_HWR_ULR = 1 << 20,
};

/* INSN flags: what an exception needs to know. */
enum { MI_DS = 1 /* in a delay slot; the branch is 4 bytes before */, MI_DS2 = 2 /* ... 2 bytes before (MIPS16e) */,
       MI_M16 = 4 };

/* ---- exception codes: cpu->exc.code = Cause.ExcCode, or these above 31 ---- */
enum mips_exc {
    ME_INT = 0, ME_MOD = 1, ME_TLBL = 2, ME_TLBS = 3, ME_ADEL = 4, ME_ADES = 5, ME_IBE = 6, ME_DBE = 7, ME_SYS = 8,
    ME_BP = 9, ME_RI = 10, ME_CPU = 11 /* exc.sub = coprocessor */, ME_OV = 12, ME_TR = 13, ME_FPE = 15, ME_C2E = 18,
    ME_MDMX = 22, ME_WATCH = 23, ME_MCHECK = 24,
    ME_TLB_REFILL = 32, /* or-ed to TLBL/TLBS: no entry matched (refill vector, else the general one) */
    ME_XTLB = 64,       /* or-ed: the address was in a 64-bit segment (XTLB refill vector) */
    ME_NMI = 128, ME_SOFT_RESET = 129, ME_DSS = 130, ME_DBP = 131 /* SDBBP */,
};
/* break and trap: exc.sub = code field. User mode memory faults: code TLBL/TLBS/ADEL/ADES with exc.addr. */

struct mips_tlb_entry {
    uint64_t vpn;        /* VPN2 << 13 (with R bits 63:62 on 64-bit models) */
    uint32_t mask;       /* PageMask register format (bits 28:13; 1 = don't compare) */
    uint16_t asid;       /* 8 bits */
    bool global, inuse;
    struct { uint64_t pfn; /* physical address of the page, bits 35:12 in place */ uint8_t c; bool v, d; } page[2];
};
#define MIPS_TLB_MAX 64
enum { MIPS_TLB2_WAYS = 4, MIPS_TLB2_MAX = 256 };

struct mips_model {
    const char *name;
    uint32_t isa;            /* enum mips_isa_bits */
    uint32_t prid;
    uint32_t config0, config1, config2, config3, config6, config7;
    uint32_t status_rw, fcr0, fcr31_rw;
    uint8_t seg_bits, phys_bits;   /* implemented virtual (64-bit) and physical address bits */
    uint8_t tlb_entries;     /* 0: fixed mapping */
    uint8_t cc_res;          /* Count increments every cc_res instructions-worth of clock */
    uint32_t clock_hz;       /* default pipeline clock; boards may override */
    bool fr_fixed;           /* FR is not writable */
    bool r4000_style;        /* R4000: EntryLo/Status/exception details of MIPS III */
};

struct mips_cpu {
    struct cpu c;
    union { uint32_t w[32]; uint64_t d[32]; } gpr;
    union { uint32_t w[2]; uint64_t d[2]; } hilo;    /* hi, lo */
    uint64_t fpr[32];
    union { uint32_t w; uint64_t d; } pc, btarget, lladdr, ulocal;
    uint64_t llval;
    uint32_t fcc;            /* condition codes, bits 0..7 */
    uint32_t fcsr;           /* RM, enables, FS, ABS2008, NAN2008; Flags/Cause/FCC live elsewhere: see fpu.c mips_fcsr_read */
    bool is64, big_endian, user;
    const struct mips_model *model;

    /* CP0, by the architecture's names; 64-bit where the register is on 64-bit models */
    uint32_t index, random_seed, wired, pagemask, pagegrain, hwrena, srsctl, intctl, status, cause, ebase, compare;
    uint64_t entrylo0, entrylo1, context, xcontext, badvaddr, entryhi, epc, errorepc, lladdr_cp0;
    uint32_t config0, config3, watchlo[8], watchhi[8], taglo, datalo, debug, desave, errctl, perfctl, framemask;
    uint32_t kscratch_lo[6];
    uint64_t depc;
    struct mips_tlb_entry tlb[MIPS_TLB_MAX];
    struct mips_tlb_entry tlb2[MIPS_TLB2_MAX]; /* tlb.c; sets of MIPS_TLB2_WAYS, the newest first */
    uint32_t tlb2_used, tlb2_mask; /* entries; their mask */
    bool tlb_doubled;        /* entries of tlb may overlap */
    uint8_t tlb_hint[64];    /* where to look first; no state */
    uint32_t irq_level;      /* input pins IP0..IP7 as driven from outside (bits 2..7) */
    uint64_t count_base;     /* Count = count_base + ticks since time 0, modulo 2^32 */
    bool count_stopped;
    struct timer timer;      /* Compare match */
    struct bus_clock *clock;
    uint32_t clock_hz;
};
static inline struct mips_cpu *mips_cpu(struct cpu *c) { return (struct mips_cpu *)c; }

static inline uint64_t mips_gpr(const struct mips_cpu *m, unsigned n) { return m->is64 ? m->gpr.d[n] : m->gpr.w[n]; }
static inline void mips_set_gpr(struct mips_cpu *m, unsigned n, uint64_t v)
{
    if (!n) return;
    if (m->is64) m->gpr.d[n] = v;
    else m->gpr.w[n] = (uint32_t)v;
}
static inline uint64_t mips_get_pc(const struct mips_cpu *m) { return m->is64 ? m->pc.d : m->pc.w; }

/* Recomputes c.key from Status, FCSR, HWREna and the model; also calls cpu_fp_changed for FCSR. except.c */
void mips_update_key(struct mips_cpu *);
/* FCSR as a guest reads it, and writing it (may raise FPE: returns false when exc is filled and must be raised). fpu.c */
uint32_t mips_fcsr_read(struct mips_cpu *);
bool mips_fcsr_write(struct mips_cpu *, uint32_t value);
/* Fills c.exc and raises. For helpers. */
ATTR_NORETURN void mips_raise(struct mips_cpu *, uint32_t code, uint32_t sub);

/* Helpers: index and descriptor; X-macro in helpers.def: HELPER(NAME, function, flags, reads, writes).
 * Defined in fpu.c, cp0.c, except.c; the table is in mips.c. */
enum mips_helper {
#define HELPER(N, fn, flags, reads, writes) MH_##N,
#include "isa/mips/helpers.def"
    MH_COUNT
};
#define HELPER(N, fn, flags, reads, writes) uint64_t fn(struct cpu *, uint64_t, uint64_t, uint64_t);
#include "isa/mips/helpers.def"

/* Is writing the CP0 register (number * 8 + select) without effect on mode, mappings, interrupts, time and slots? Then
 * the block need not end after it (MH_MTC0_QUIET, MH_DMTC0_QUIET). These are what a TLB refill handler writes. */
static inline bool mips_cp0_quiet(unsigned reg)
{
    switch (reg >> 3) {
    case 0: case 2: case 3: case 6: case 14: case 20: case 28: case 30: case 31: return true;
    case 4: case 5: return (reg & 7) == 0; /* Context, PageMask */
    default: return false;
    }
}

extern const struct guest mips32_guest, mips64_guest;
extern const struct isa mips32_isa, mips64_isa;
extern const struct cpu_model mips_models[];   /* both widths, ended by NULL name */

/* struct guest and struct isa members */
void mips_translate(struct ir_builder *);
bool mips_mmu(struct cpu *, uint64_t va, enum mem_access, unsigned mode, bool probe, struct mmu_hit *);
void mips_fault(struct cpu *, enum mem_fault, enum mem_access, uint64_t va);
void mips_exception(struct cpu *);
bool mips_interrupt(struct cpu *);
bool mips_has_work(struct cpu *);
void mips_set_irq(struct cpu *, unsigned n, bool level);
void mips_connect_clock(struct cpu *, struct bus_clock *);
unsigned mips_disas(const struct cpu *, uint64_t key, uint64_t pc, const uint8_t *bytes, size_t n, char *out, size_t size);

#endif
