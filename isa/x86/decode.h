/*
 * decode.h - the x86 instruction table as C sees it: features, flags, operands, and one decoded instruction.
 *
 * Private to isa/x86. The table is x86.def with x86-simd.def; decode.c holds it and what derives from it. Follows the Intel
 * SDM volume 2, chapters 2 (formats) and appendix A (operand letters), and the AMD64 APM volume 3, chapter 1.
 *
 * Not here: the translator (translate.h).
 */
#ifndef ISA_X86_DECODE_H
#define ISA_X86_DECODE_H

#include "interp/ir.h"

/* ---- features: what a model must have for an instruction to exist ---- */
#define X86_FEATURES(X)                                                                            \
    X(8086) X(186) X(286) X(386) X(486) X(P6) X(LM) X(FPU) X(CMOV) X(CX8) X(CX16) X(CPUID) X(TSC)  \
    X(MSR) X(SEP) X(SYSCALL) X(RDTSCP) X(MMX) X(3DNOW) X(3DNOWEXT) X(PREFETCHW) X(FXSR) X(SSE)     \
    X(SSE2) X(SSE3) X(SSSE3) X(SSE41) X(SSE42) X(SSE4A) X(POPCNT) X(LZCNT) X(AES) X(PCLMUL) X(SHA) \
    X(MOVBE) X(XSAVE) X(XSAVEOPT) X(XSAVEC) X(XSAVES) X(AVX) X(AVX2) X(FMA) X(F16C) X(BMI1)        \
    X(BMI2) X(ADX) X(RDRAND) X(RDSEED) X(RDPID) X(FSGSBASE) X(SMAP) X(INVPCID) X(CLFLUSH)          \
    X(CLFLUSHOPT) X(CLWB) X(MONITOR) X(PKU) X(SVM) X(LAHF64)
enum x86_feature {
#define X(f) XF_##f,
    X86_FEATURES(X)
#undef X
    XF_COUNT
};
/* A set of them: XF_COUNT <= 64. */
#define XF_BIT(f) (UINT64_C(1) << (f))
#define XF_ALL (XF_BIT(XF_COUNT) - 1)

/* ---- flags of a line ---- */
enum x86_insn_flag {
    XI_LOCK = 1 << 0,     /* LOCK is allowed when the first operand is memory */
    XI_REP = 1 << 1,      /* a string instruction: F2 and F3 repeat */
    XI_REPZ = 1 << 2,     /* ... and end by ZF */
    XI_BR = 1 << 3,       /* control may go elsewhere */
    XI_PRIV = 1 << 4,     /* CPL 0 only */
    XI_IOPL = 1 << 5,     /* IOPL-sensitive */
    XI_IOPL_VM = 1 << 6,  /* ... in virtual-8086 mode only */
    XI_IO = 1 << 7,       /* IOPL or the I/O bitmap permits it */
    XI_PROT = 1 << 8,     /* not in real and virtual-8086 mode */
    XI_SHADOW = 1 << 9,   /* interrupts wait until after the next instruction */
    XI_FPU = 1 << 10,     /* x87: CR0.EM, CR0.TS, pending exceptions */
    XI_SSE = 1 << 11,     /* needs CR4.OSFXSR though it names no vector register */
    XI_LAHF = 1 << 12,    /* in 64-bit mode only with its own feature */
    XI_XREL = 1 << 13,    /* F2 and F3 are hints for lock elision even without LOCK */
    XI_ANYMOD = 1 << 14,  /* mod is ignored: a register always */
    XI_ANYRM = 1 << 15,   /* r/m is ignored */
    XI_AVX2 = 1 << 16,    /* AVX2 when 256 bits wide */
    XI_AES = 1 << 17,     /* AES, too */
    XI_PCLMUL = 1 << 18,  /* PCLMULQDQ, too */
    XI_UNAL = 1 << 19,    /* 16 bytes of memory need no alignment */
    XI_ALIGN = 1 << 20,   /* memory is aligned to its size */
    XI_CMP = 1 << 21,     /* for disassembly: the immediate is a predicate */
    XI_XY = 1 << 22,      /* for disassembly: memory's size is in the name */
};

/* ---- operands ---- */
enum x86_what {
    XO_NONE,
    XO_E, XO_G, XO_M, XO_R, XO_Z, XO_B,          /* general registers and memory */
    XO_I, XO_SI, XO_J, XO_O, XO_A,               /* in the code: immediates, targets, offsets, far pointers */
    XO_S, XO_C, XO_D,                            /* segment, control, debug registers by ModRM.reg */
    XO_X, XO_Y,                                  /* strings: [rSI], [rDI] */
    XO_V, XO_W, XO_U, XO_H, XO_L,                /* vectors */
    XO_MI,                                       /* memory with a vector of indices */
    XO_P, XO_Q, XO_N,                            /* MMX */
    XO_ST0, XO_STI,
    XO_REG,                                      /* a general register by itself: n */
    XO_SEG,                                      /* a segment register by itself: n */
    XO_XMM0, XO_ONE,
};
enum x86_size {
    XS_NONE, XS_B, XS_W, XS_D, XS_Q, XS_O, XS_T, /* 1, 2, 4, 8, 16, 10 bytes */
    XS_V,                                        /* 2, 4, 8 by the operand size */
    XS_Z,                                        /* 2, 4, 4 */
    XS_Y,                                        /* 4, 4, 8 */
    XS_P, XS_A, XS_S,                            /* far pointer; two v; limit and base */
    XS_X, XS_H, XS_K, XS_E,                      /* 16 or 32 by VEX.L; a half, a quarter, an eighth of that */
    XS_DW, XS_DB,                                /* a register as d, memory as w or b */
};
struct x86_operand { uint8_t what, size, n; };

/* ---- the table ---- */
struct x86_tr;
/* Text in place and no pointers: a table that need not be relocated is only read where it is looked at. */
struct x86_def {
    char name[18], enc[26], ops[13];
    uint8_t feature;
    uint32_t flags, arg;
};
extern const struct x86_def x86_defs[];
extern const unsigned x86_n_defs;
extern void (*const x86_translators[])(struct x86_tr *); /* of each line */

/* What derives from a line. */
enum { X86_MAX_OPS = 4 };
enum x86_imm { XIMM_NONE, XIMM_B, XIMM_W, XIMM_Z, XIMM_V, XIMM_CB, XIMM_CZ, XIMM_PTR, XIMM_MOFFS, XIMM_L };
enum x86_map { XMAP_1, XMAP_0F, XMAP_0F38, XMAP_0F3A, XMAP_3DNOW, XMAP_VEX = 4 /* + 1, 2, 3 */, XMAP_COUNT = 8 };
enum x86_mode { X86_16, X86_32, X86_64 };
enum { XD_ANY = 0xff };
struct x86_form {
    uint8_t map, opcode;
    uint8_t prefixes;        /* bits: 1 none, 2 66, 4 F2, 8 F3 */
    bool plus_r, modrm, i64, o64, d64, f64, vsib, uses_vvvv, gpr_w, no_b;
    bool mmx, vec;           /* has an operand in MMX registers, in vector registers */
    bool special;            /* ... in segment, control or debug registers, or memory with a vector of indices */
    uint8_t rm_mask, rm_match; /* of the ModRM byte */
    uint8_t mem, reg;        /* only with memory, only with a register */
    uint8_t osizes, asizes;  /* bits: 2, 4, 8 */
    uint8_t w, l;            /* 0, 1, XD_ANY */
    uint8_t imm[2];          /* enum x86_imm */
    uint8_t n_ops;
    struct x86_operand op[X86_MAX_OPS];
    const char *error;       /* what is wrong with the line, or NULL */
};
const struct x86_form *x86_form(unsigned line); /* any thread */

/* ---- one decoded instruction ---- */
enum { X86_NO_REG = 0xff, X86_RIP = 16, X86_MAX_LEN = 15 };
struct x86_insn {
    const struct x86_def *def;
    const struct x86_form *form;
    void (*tr)(struct x86_tr *);
    uint16_t line;
    uint8_t len;
    uint8_t mode;                /* enum x86_mode */
    uint8_t osize, asize;        /* effective: 2, 4, 8 */
    uint8_t map, opcode;
    bool p66, p67, lock, vex, has_modrm;
    uint8_t rep;                 /* the last of F2 and F3, or 0 */
    uint8_t seg;                 /* override 0 to 5 (es cs ss ds fs gs), or X86_NO_REG */
    uint8_t idle_seg;            /* an override that 64-bit mode ignores, or X86_NO_REG; for disassembly */
    uint8_t rex;                 /* the byte, or 0; with VEX: 0x40 and the same bits */
    uint8_t w, l, vvvv;
    uint8_t modrm;
    uint8_t reg, rm;             /* with their extension bits */
    uint8_t base, index, scale;  /* of a memory operand: register, X86_RIP or X86_NO_REG; log2 */
    uint8_t disp_size, imm_size;
    uint8_t n_prefix;            /* bytes before the opcode's first (0F, VEX) or REX */
    uint16_t sel;                /* of a far pointer */
    int64_t disp;                /* sign-extended; for moffs the offset */
    int64_t imm;                 /* sign-extended from its size */
    uint32_t imm2;               /* the second one, unsigned */
};

enum x86_decoded {
    X86_OK,
    X86_SHORT,      /* more than n bytes are needed; len is how many at least */
    X86_UD,         /* undefined; len is what was looked at */
    X86_TOO_LONG,   /* more than 15 bytes: #GP */
};
/* Decodes bytes[0..n). features: XF_BIT set; novex: real or virtual-8086 mode, where VEX does not exist. Any thread. */
enum x86_decoded x86_decode(const uint8_t *bytes, size_t n, enum x86_mode, bool novex, uint64_t features, struct x86_insn *);
/* Bytes of a size in this instruction. */
unsigned x86_size_bytes_any(const struct x86_insn *, unsigned size);
static inline unsigned x86_size_bytes(const struct x86_insn *d, unsigned size)
{
    return size == XS_V ? d->osize : size == XS_B ? 1 : x86_size_bytes_any(d, size);
}
/* Is the operand in memory here? */
bool x86_op_is_mem(const struct x86_insn *, const struct x86_operand *);
/* A random encoding of a line for a mode into out[15]: its length, or 0 when the line has none there. *rng: xorshift, nonzero. */
unsigned x86_encode_random(unsigned line, enum x86_mode, uint64_t *rng, uint8_t *out);

/* Disassembly of bytes[0..n) in AT&T syntax as GNU objdump writes it: length, or 0 if n is too short. What is undefined is
 * "(bad)", of length 1. */
unsigned x86_disas_att(const uint8_t *bytes, size_t n, enum x86_mode, uint64_t features, uint64_t pc, char *out, size_t size);

/* Translators named in the table; those in unbuilt.h are one function. */
#include "isa/x86/unbuilt.h"
void x86_tr_unbuilt(struct x86_tr *);
#define INSN(name, enc, ops, feature, flags, fn, arg) X86_TR(x86_tr_##fn)
#define X86_TR(fn) void fn(struct x86_tr *);
#include "isa/x86/x86.def"
#undef X86_TR

#endif
