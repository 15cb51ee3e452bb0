/*
 * x86.h - the x86 CPU: registers, slots, block key, exceptions, helpers. One set of names for 32-bit models (cells of 32 bits)
 * and 64-bit models (cells of 64 bits).
 *
 * Follows the Intel SDM volume 1 (registers) and 3 (exceptions) and the AMD64 APM volume 2.
 *
 * Files: x86.def, x86-simd.def the instruction table; decode.c, disas.c what derives from it; translate-*.c the front end;
 * flags.c lazy flags; helpers.def, helpers.c what translated code calls; cpu.c the tables that tie it together; sys.h,
 * sys-*.c and translate-system.c system mode.
 */
#ifndef ISA_X86_X86_H
#define ISA_X86_X86_H

#include "isa/x86/x86-board.h"

/* ---- slots ---- */
enum x86_slot {
    XR_GPR0 = 0,                 /* ax cx dx bx sp bp si di, r8 to r15 */
    XR_PC = 16,                  /* linear: CS base + instruction pointer */
    XR_KEY,
    XR_CC_OP,                    /* enum x86_cc | log2 of the operation's bytes; I32 */
    XR_CC_R, XR_CC_B,            /* the operation's result and second operand, see enum x86_cc */
    XR_CF_OP,                    /* with X86_CC_INC2 and DEC2: the state that CF is of; as CC_OP, CC_R, CC_B */
    XR_CF_R, XR_CF_B,
    XR_DF,                       /* 1 or -1 (direction flag) */
    XR_SEG_BASE,                 /* es cs ss ds fs gs */
    XR_MM = XR_SEG_BASE + 6,     /* physical x87 registers' significands = MMX registers; I64 */
    XR_ST_SE = XR_MM + 8,        /* their sign and exponent; I32 */
    XR_FTOP = XR_ST_SE + 8,      /* I32 */
    XR_FTW,                      /* I32 */
    XR_VEC,       /* 16 vector registers of four I64 cells */
    XR_LIMIT = XR_VEC + 64,      /* es cs ss ds fs gs; I32: offsets up to it need no further check, see seg_fast in struct x86_cpu */
    XR_COUNT = XR_LIMIT + 6
};

/*
 * Lazy flags. CC_OP says how the six arithmetic flags follow from CC_R and CC_B; upper bits of both beyond the operation's
 * size are anything. ZF, SF and PF are those of CC_R but for X86_CC_FLAGS.
 */
enum x86_cc {
    X86_CC_FLAGS = 0,    /* CC_B: the flags as in EFLAGS */
    X86_CC_ADD = 4,      /* CC_B: second operand; the first is r - b */
    X86_CC_ADC = 8,      /* the same, carry in was 1 */
    X86_CC_SUB = 12,     /* the first is r + b */
    X86_CC_SBB = 16,
    X86_CC_LOGIC = 20,   /* CF, OF, AF are 0 */
    X86_CC_INC = 24,     /* CC_B: CF */
    X86_CC_DEC = 28,
    X86_CC_SHL = 32,     /* CC_B: the operand before the last bit was shifted */
    X86_CC_SHR = 36,
    X86_CC_SAR = 40,
    X86_CC_MUL = 44,     /* CC_B: CF and OF */
    X86_CC_BLS = 48,     /* CC_B: CF; OF 0 */
    X86_CC_INC2 = 56,    /* as INC, DEC; CF is that of the state before, which is kept: see XR_CF_OP */
    X86_CC_DEC2 = 60,
    X86_CC_SHRD = 52,    /* CC_B: the operand before the last bit was shifted */
};
enum x86_eflag {
    XFL_CF = 1, XFL_ONE = 2, XFL_PF = 4, XFL_AF = 16, XFL_ZF = 64, XFL_SF = 128, XFL_TF = 256, XFL_IF = 512, XFL_DF = 1024,
    XFL_OF = 2048, XFL_IOPL = 0x3000, XFL_NT = 0x4000, XFL_RF = 0x10000, XFL_VM = 0x20000, XFL_AC = 0x40000, XFL_VIF = 0x80000,
    XFL_VIP = 0x100000, XFL_ID = 0x200000,
    XFL_ARITH = XFL_CF | XFL_PF | XFL_AF | XFL_ZF | XFL_SF | XFL_OF,
};

/* ---- block key ---- */
enum x86_key {
    XK_MODE = 3,             /* enum x86_mode of the code segment */
    XK_SS32 = 1 << 2,        /* the stack pointer has 32 bits (64 in 64-bit mode) */
    XK_CPL_SHIFT = 3,        /* two bits */
    XK_PROT = 1 << 5,        /* protected mode, not virtual-8086 */
    XK_BASE_SHIFT = 6,       /* es cs ss ds: the segment's base is not 0 */
    XK_SSE = 1 << 10,        /* CR4.OSFXSR, not CR0.EM, not CR0.TS */
    XK_AVX = 1 << 11,        /* XCR0 and CR4.OSXSAVE permit it */
    XK_X87 = 1 << 12,        /* not CR0.EM, not CR0.TS */
    /* system mode */
    XK_SEG_SHIFT = 13,       /* es cs ss ds fs gs, two bits each: enum x86_seg_class */
    XK_STEP = 1 << 25,       /* blocks of one instruction: TF, or breakpoints are on */
    XK_SHADOW = 1 << 26,     /* the next instruction comes before any interrupt */
    XK_SMAP = 1 << 27,       /* data of user pages is out of bounds */
    XK_ALIGN = 1 << 28,      /* misaligned accesses raise #AC */
    XK_CS_SHIFT = 31,        /* and the 32 bits from here: the base of CS */
};
enum x86_seg_class {
    X86_SEG_FLAT,            /* to 4 GiB, readable, writable (CS: readable): nothing to check */
    X86_SEG_64K,             /* the same to 64 KiB */
    X86_SEG_OTHER,
};

/* ---- exceptions: cpu->exc.code; .sub = error code or the vector of INT n; .addr = CR2 ---- */
enum x86_exc {
    XE_DE = 0, XE_DB = 1, XE_BP = 3, XE_OF = 4, XE_BR = 5, XE_UD = 6, XE_NM = 7, XE_DF = 8, XE_TS = 10, XE_NP = 11, XE_SS = 12,
    XE_GP = 13, XE_PF = 14, XE_MF = 16, XE_AC = 17, XE_XM = 19,
    XE_INT = 256,            /* INT n, by the program: .sub = n. As BP and OF it lies behind the instruction */
    XE_SYSCALL = 257, XE_SYSENTER = 258,
};
enum { XI_LEN_MASK = 15 };   /* INSN flags: the instruction's length */

struct x86_model {
    uint64_t features;       /* XF_BIT */
    uint32_t signature;      /* CPUID 1 eax */
    uint32_t sys;            /* XSF_*: features of system mode, sys.h */
    char vendor[13], brand[49];
};

struct bus_clock;
/* A descriptor table or system segment. */
struct x86_table { uint64_t base; uint32_t limit, attr; uint16_t sel; };
enum { X86_MTRRS = 8, X86_MTRR_FIXED = 11, X86_MC_BANKS = 4 };

union x86_cell { uint32_t w; uint64_t d; };
struct x86_cpu {
    struct cpu c;
    union { uint32_t w[16]; uint64_t d[16]; } gpr;
    union x86_cell pc, cc_r, cc_b, df;
    uint32_t cc_op, cf_op;
    union x86_cell cf_r, cf_b;
    union { uint32_t w[6]; uint64_t d[6]; } seg_base;
    struct { uint64_t mm; uint32_t se, spare; } st[8]; /* physical x87 and MMX registers; as in memory, so that a host's x87 can get at them */
    uint32_t ftop, ftw;      /* top of stack; bit set: the physical register is not empty */
    uint64_t vec[16][4];
    /* not slots */
    bool is64, user;
    const struct x86_model *model;
    uint32_t eflags;         /* what is neither arithmetic nor DF */
    uint16_t sel[6];
    uint64_t random;         /* state of the generator behind rdrand */
    uint64_t stash[4];       /* simd-func.c: within one instruction */
    uint64_t user_tls[3], *user_ldt; /* user mode: descriptors, see segment-user.c; the second is the process's */
    uint16_t fcw, fsw;       /* fsw without TOP */
    uint16_t fsw_pending;    /* flags of a store that has not been made: nothing between instructions, so no state */
    uint32_t mxcsr;          /* without its flags, which are cpu_fp_flags() */
    /* system mode: sys.h */
    uint32_t seg_fast[6];    /* slots: the limit where readable, writable and expanding up, else 0; CS: its limit */
    uint32_t seg_limit[6];   /* in bytes */
    uint32_t seg_attr[6];    /* bits 8 to 23 of the descriptor's second word, without the limit's */
    struct x86_table gdt, idt, ldt, tr;
    uint8_t cpl;
    uint32_t cr0;
    uint64_t cr2, cr3, cr4, efer, xcr0, dr[8];
    uint64_t star, lstar, cstar, fmask, kernel_gs, tsc_aux, sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, mtrr_def, mtrr_fixed[X86_MTRR_FIXED], mtrr_base[X86_MTRRS], mtrr_mask[X86_MTRRS];
    uint64_t misc_enable, mcg_status, mcg_ctl, mc_bank[4 * X86_MC_BANKS], debugctl, microcode, feature_control;
    uint64_t tsc_offset;
    uint64_t pdpte[4];       /* PAE: read when CR3 is written */
    uint64_t monitor;        /* address watched */
    uint64_t large_pages;    /* for each GiB, modulo 64, whether the engine's TLB may have parts of large pages there; log2 of the largest */
    uint8_t large_bits;
    uint32_t smbase;
    bool a20_off, smm, nmi_blocked, nmi_pending, smi_pending, init_pending, wait_sipi, is_ap, stopped, in_mwait;
    uint16_t sipi;           /* a start-up IPI that this CPU has not seen yet: 100h and its vector; 0: none */
    uint8_t db_pending;      /* bits of DR6 to report after the instruction; 0x80 stands for BS (bit 14) */
    bool delivering;         /* an event is on its way to its handler */
    uint8_t delivering_vector;
    bool delivering_soft, delivering_external;
    bool ferr, ferr_wait;    /* the line; waiting for its interrupt */
    uint8_t pins;            /* levels by enum x86_pin */
    struct x86_topology topology; /* as the board said; none of a width is 0 */
    const struct x86_board_ops *board;
    void *board_opaque;
    struct bus_clock *clock;
};
static inline struct x86_cpu *x86_cpu(struct cpu *c) { return (struct x86_cpu *)c; }

static inline uint64_t x86_gpr(const struct x86_cpu *x, unsigned n) { return x->is64 ? x->gpr.d[n] : x->gpr.w[n]; }
static inline void x86_set_gpr(struct x86_cpu *x, unsigned n, uint64_t v)
{
    if (x->is64) x->gpr.d[n] = v;
    else x->gpr.w[n] = (uint32_t)v;
}
static inline uint64_t x86_cell(const struct x86_cpu *x, const union x86_cell *u) { return x->is64 ? u->d : u->w; }
static inline void x86_set_cell(const struct x86_cpu *x, union x86_cell *u, uint64_t v)
{
    if (x->is64) u->d = v;
    else u->w = (uint32_t)v;
}

/* flags.c: the six flags of the CPU's lazy state; those that an operation leaves (not INC2, DEC2); EFLAGS as a whole, read and written (all bits; the caller masks).
 * In user mode TF takes effect by itself. */
uint32_t x86_flags_now(const struct x86_cpu *);
uint32_t x86_cc_flags(unsigned op, uint64_t r, uint64_t b);
uint32_t x86_get_eflags(const struct x86_cpu *);
void x86_set_eflags(struct x86_cpu *, uint32_t value);

/* sys-regs.c: does IGNNE# let instructions pass in spite of a numeric error? Ends FERR# when there is none. */
bool x86_ignores_numeric(struct x86_cpu *);

ATTR_NORETURN void x86_raise(struct x86_cpu *, uint32_t code, uint32_t sub);

/* Sets up a CPU made for user mode: code of 64 or 32 bits, flat segments. */
void x86_user_setup(struct cpu *, bool long_mode);
/* segment-user.c: selectors and tables of user mode. Loading is false for a selector that cannot be loaded (#GP); reload takes changes of the
 * tables into effect. */
enum { X86_USER_CS32 = 0x23, X86_USER_DS = 0x2b, X86_USER_CS = 0x33, X86_USER_TLS = 12, X86_USER_TLS_COUNT = 3, X86_USER_LDT_COUNT = 8192 };
bool x86_user_load_segment(struct x86_cpu *, unsigned seg, uint16_t sel);
void x86_user_reload(struct x86_cpu *);
uint32_t x86_descriptor_base(uint64_t descriptor);
/* user mode: the descriptor that a selector names; false: there is none. */
bool x86_user_descriptor(const struct x86_cpu *, uint16_t sel, uint64_t *d);
/* MXCSR as a program sees it. A write takes the rounding mode and flushing into effect. */
uint32_t x86_get_mxcsr(struct x86_cpu *);
void x86_set_mxcsr(struct x86_cpu *, uint32_t value);

/* The 512 bytes of FXSAVE, FXRSTOR. */
void x86_fxsave_image(struct x86_cpu *, uint8_t image[512]);
void x86_fxrstor_image(struct x86_cpu *, const uint8_t image[512]);
/* models.c */
enum { X86_MODELS_32 = 9, X86_MODELS_64 = 13 };
extern const struct cpu_model x86_models_32[X86_MODELS_32], x86_models_64[X86_MODELS_64];
const struct cpu_model *x86_derive_model(const struct isa *, const char *text, struct error *);
const char *x86_feature_name(unsigned i);
void x86_cpuid(const struct x86_cpu *, uint32_t leaf, uint32_t sub, uint32_t r[4]); /* eax, ebx, ecx, edx */
/* CPUID leaf 1, edx */
uint32_t x86_cpuid_features(const struct x86_cpu *);

enum x86_helper {
#define HELPER(N, fn, flags, reads, writes) XH_##N,
#include "isa/x86/helpers.def"
    XH_COUNT
};
#define HELPER(N, fn, flags, reads, writes) uint64_t fn(struct cpu *, uint64_t, uint64_t, uint64_t);
#include "isa/x86/helpers.def"

/* gdb.c: the core, the x87 and SSE, and user mode's segment bases */
enum { X86_GDB_FEATURES = 2 };
extern const struct isa_gdb_feature x86_gdb_32[X86_GDB_FEATURES], x86_gdb_64[X86_GDB_FEATURES + 1];

extern const struct guest x86_32_guest, x86_64_guest;
extern const struct isa x86_32_isa, x86_64_isa;

void x86_translate(struct ir_builder *);
unsigned x86_disas(const struct cpu *, uint64_t key, uint64_t pc, const uint8_t *bytes, size_t n, char *out, size_t size);

#endif
