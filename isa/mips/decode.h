/*
 * decode.h - the MIPS instruction tables as C sees them, and the translator's working state.
 *
 * Private to isa/mips. The tables themselves are mips.def and mips16.def; decode.c holds them in one array
 * (32-bit lines first, then MIPS16e) together with what derives from the patterns.
 */
#ifndef ISA_MIPS_DECODE_H
#define ISA_MIPS_DECODE_H

#include "isa/mips/mips.h"

/* Sets of levels: "from here on". Release 2 and MIPS32/64 lines stand apart from MIPS III to V. */
enum {
    ML_R2 = MIPS_32R2 | MIPS_64R2,
    ML_64R2 = MIPS_64R2,
    ML_64 = MIPS_64 | MIPS_64R2,
    ML_32 = MIPS_32 | ML_64 | ML_R2,
    ML_5 = MIPS_5 | ML_64,
    ML_4 = MIPS_4 | ML_5,
    ML_3 = MIPS_3 | ML_4,
    ML_2 = MIPS_2 | ML_3 | ML_32,
    ML_1 = MIPS_1 | ML_2,
    ML_5_R2 = ML_5 | ML_R2,      /* FPU instructions that MIPS32 got with release 2 */
    ML_4_R2 = ML_4 | ML_R2,
    ML_3_R2 = ML_3 | ML_R2,
    ML_4_32 = ML_4 | ML_32,
    ML_3_32 = ML_3 | ML_32,
};

enum mips_insn_flag {
    MF_RD = 1 << 0,      /* writes the GPR in bits 15:11 */
    MF_RT = 1 << 1,      /* writes the GPR in bits 20:16 */
    MF_RA = 1 << 2,      /* writes r31 */
    MF_FCC = 1 << 3,     /* writes floating-point condition codes */
    MF_BR = 1 << 4,      /* a branch, or otherwise nothing for a delay slot */
    MF_64 = 1 << 5,      /* needs 64-bit operations (MK_64) */
    MF_CP0 = 1 << 6,     /* privileged: coprocessor 0 must be usable */
    MF_CP1 = 1 << 7,     /* needs the FPU */
    MF_COP1X = 1 << 8,   /* MIPS IV: also needs Status.XX */
    MF_MORE = 1 << 9,    /* the wider form of another line, which has precedence */
    MF_EXT = 1 << 10,    /* MIPS16e: may be extended; the immediate's form is in the syntax letter */
};

/* Translator parameters: bits beside the basic code. */
enum { MB_LIKELY = 0x100, MB_LINK = 0x200, MB_COMPACT = 0x400 };   /* branches: enum ir_cond | ... */
enum { MP_LEFT = 1, MP_D = 2 };                                     /* partial loads and stores */
enum { MFMT_D = 0x1000, MFMT_TO_L = 0x2000 };                       /* FPU: operands are doubles; result is L */

struct mips_tr;
/* Text in place and no pointers: a table that need not be relocated is only read where it is looked at. */
struct mips_insn {
    char name[10], pattern[40], syntax[10];
    uint32_t levels, flags;              /* ML_*, MF_* */
    int arg;
};
/* What derives from a pattern. */
struct mips_bits { uint32_t mask, match; };

/* All lines; [0, mips_n_insns32) are 32 bits wide, the rest MIPS16e (16 bits; jal and jalx 32). */
extern const struct mips_insn mips_insns[];
extern const unsigned mips_n_insns, mips_n_insns32;
const struct mips_bits *mips_insn_bits(unsigned line);
extern void (*const mips_translators[])(struct mips_tr *); /* of each line */

/* Line of an encoding for a CPU with these levels (enum mips_isa_bits), or -1. Any thread. */
int mips_decode(uint32_t insn, uint32_t levels);
/* MIPS16e: insn is the first halfword, or for jal and jalx both, first one high. */
int mips16_decode(uint32_t insn);
/* A random encoding of a line: fixed bits as in the pattern, the others from *rng (xorshift, nonzero). It
 * may decode to a narrower line that takes precedence (MF_MORE). */
uint32_t mips_encode_random(unsigned line, uint64_t *rng);

/* ---- the translator ------------------------------------------------------------------------ */
struct mips_tr {
    struct ir_builder *b;
    struct mips_cpu *m;
    const struct mips_insn *def;
    uint64_t key;
    uint32_t levels;
    bool is64, be, fr, user, m16;
    enum ir_type w;          /* type of a GPR */
    unsigned mmu;            /* MMU mode of data accesses */
    /* the current instruction */
    uint64_t pc;
    uint32_t len;            /* bytes */
    uint32_t insn;
    int arg;
    uint8_t rs, rt, rd, sa;
    int32_t imm;             /* signed immediate */
    bool in_slot;
    uint64_t branch_pc;      /* in a slot: the branch's */
    int exit;                /* enum ir_exit to leave by after the instruction (or its unit); -1: go on */
    bool done;               /* the block is complete */
    bool cp1;                /* Status.CU1 has been asked for */
};

/* translate.c */
ir_id tr_gpr(const struct mips_tr *, unsigned n);               /* as an operand; r0 is a constant */
static inline ir_id tr_k(const struct mips_tr *t, uint64_t v) { return ir_const(t->b, t->w, v); }
static inline ir_id tr_tmp(const struct mips_tr *t) { return ir_temp(t->b, t->w); }
void tr_raise_code(struct mips_tr *, unsigned code, unsigned sub); /* at run time, always; ends the block */
void tr_raise_if(struct mips_tr *, enum ir_type, enum ir_cond, ir_id a, ir_id b, unsigned code, unsigned sub);
uint64_t tr_addr(const struct mips_tr *, uint64_t va);          /* canonical form of a code address */
bool tr_one(struct mips_tr *);                                  /* translates t->insn at t->pc */
bool tr_delay_slot(struct mips_tr *, uint64_t pc);              /* false: it can't be fetched, the block ended */
/* The delay slot's instruction, undecoded state untouched: its line or -1. */
int tr_peek_slot(struct mips_tr *, uint64_t pc, uint32_t *insn);
/* translate-branch.c: leaves to an address whose bit 0 may be the ISA mode */
void tr_indirect(struct mips_tr *, ir_id target, unsigned hint);
/* translate-mips16.c */
bool tr16_unit(struct mips_tr *);
void tr16_slot(struct mips_tr *);
/* translate-memory.c: base register + displacement, ready for ir_ld/ir_st */
struct tr_ea { ir_id base; int disp; };
struct tr_ea tr_ea(struct mips_tr *, ir_id base, int disp);
unsigned tr_mem(const struct mips_tr *, unsigned size);         /* attributes of an ordinary access */

/* Translators named in the tables. */
#define INSN(n, p, s, l, f, fn, a) void tr_##fn(struct mips_tr *);
#include "isa/mips/mips.def"
#define INSN16(n, p, s, f, fn, a) void tr16_##fn(struct mips_tr *);
#include "isa/mips/mips16.def"

#endif
