/*
 * ir.h - the one small intermediate representation, and the builder that front ends call.
 *
 * A block is a straight list of three-address ops over typed cells (I32 or I64) with forward
 * local branches. Operands are 16-bit ids in one space:
 *   0 .. IR_TEMP-1      guest slots: the ISA's declared, non-overlapping table (interp/cpu.h)
 *   IR_TEMP ..          temporaries of the block; undefined until written
 *   IR_CONST ..         interned constants of the block
 * A slot or temp keeps its type; ops of another width never touch it: LO, HI, ZXW, SXW, CONCAT
 * cross over. Floating-point values are bit patterns in I32 (F32) or I64 (F64) cells.
 *
 * Guest state is precise at every op that can fault, call or leave: slots are written in program
 * order, so a front end writes destination slots only after everything that can fault in the
 * same instruction (write temps first).
 *
 * Not here: what the ops mean (ops.def), and running them (interp.h).
 */
#ifndef INTERP_IR_H
#define INTERP_IR_H

#include "util/error.h"

typedef uint16_t ir_id;
#define IR_TEMP   0x4000u
#define IR_CONST  0x8000u
#define IR_NONE   0xffffu
static inline bool ir_is_slot(ir_id x) { return x < IR_TEMP; }
static inline bool ir_is_temp(ir_id x) { return x >= IR_TEMP && x < IR_CONST; }
static inline bool ir_is_const(ir_id x) { return x >= IR_CONST && x != IR_NONE; }

enum ir_type { T_I32, T_I64 };

enum ir_opcode {
#define PURE(N, n, in, fl, ty, e) OP_##N,
#define CONV(N, n, in, fl, ti, to, e) OP_##N,
#define FPOP(N, n, in, soft, host) OP_##N,
#define FPCV(N, n, ti, to) OP_##N,
#define VEC(N, n, in, e) OP_##N,
#define VECX(N, n, in) OP_##N,
#define CTLO(N, n, fl) OP_##N,
#include "interp/ops.def"
    OP_COUNT
};

enum ir_cond {
#define COND(N, n, inv, swp, e) CC_##N,
#include "interp/ops.def"
    CC_COUNT
};
extern const uint8_t ir_cond_inverse[CC_COUNT], ir_cond_swapped[CC_COUNT];

enum ir_class { CLASS_PURE, CLASS_CONV, CLASS_FP, CLASS_FPCV, CLASS_VEC, CLASS_CTL };
enum ir_flag { F_COMM = 1, F_OPT = 2, F_FAULT = 4, F_EFFECT = 8, F_END = 16 };
struct ir_op_info {
    const char *name;
    uint8_t cls, n_in, flags;
};
extern const struct ir_op_info ir_op_info[OP_COUNT];

/* Fields by op:
 *   PURE, CONV, FPOP, FPCV  d, a, b, c; aux = pos | len << 8 for EXTRACT, SEXTRACT, DEPOSIT;
 *                           float -> int: aux = enum fp_round or IR_ROUND_ENV | enum ir_f2i << 4
 *   SETC                    attr = enum ir_cond; d has the operands' type
 *   FCMP                    type = operands' (I32 for F32), d is I32; attr = IR_REL_* mask.
 *                           aux == 0: d = 1 if the relation is in the mask, else 0. aux != 0: d = one of its four
 *                           bytes, from the lowest: less, equal, greater, unordered; attr is 0 or IR_REL_SIGNAL
 *   FROUND                  attr = enum fp_round or IR_ROUND_ENV | IR_ROUND_EXACT
 *   FMIN, FMAX              attr = enum ir_fmm
 *   FMA                     attr = FP_MULADD_* (util/softfloat.h)
 *   LD, ST                  attr = IR_M_*; aux = displacement (int16) | mmu mode << 16 | IR_A64;
 *                           type = type of the data cell
 *   LD2, ST2                two I64 cells and 16 bytes, each half as LD, ST of 64 bits; LD2 writes d and c, both after both
 *                           have been read, ST2 writes b and c after neither can fault. IR_M64 | IR_MBE, IR_MALIGN,
 *                           IR_MPAIR, order; aux as LD
 *   CAS                     attr, aux as LD with displacement 0; type = type of d, b, c. Without IR_MALIGN any address
 *                           works, but one that is no multiple of the size is atomic only among such accesses
 *   RMW                     as CAS; which operation: aux >> 28 = enum ir_rmw
 *   VEC, VECX               d, a, b, c = the first cells of runs of I64 cells: slots of class SLOT_VEC that follow each other in
 *                           the table and in the CPU structure, or temps from ir_vtemp. attr = log2 of a lane's bytes |
 *                           (log2 of all bytes - 3) << 2; aux = immediate. VDUP's a and VREDUCE's d are single cells.
 *                           A result may be one of the operands, but must not overlap one in part. VFP: see IR_VFP
 *   INSN                    aux = pc - block pc, a = length in bytes, attr = flags (front end's, low 7 bits) | IR_INSN_CONT
 *   BRC, GOTO               aux = link index; BRC: attr = cond, type = operands'
 *   IND                     a = target (type), attr = IR_HINT_*
 *   EXIT                    attr = enum ir_exit, a = constant guest pc
 *   CALL                    aux = helper index; d may be IR_NONE; unused arguments IR_NONE; type = result type
 */
struct ir_op {
    uint16_t op;
    uint8_t type, attr;
    ir_id d, a, b, c;
    uint32_t aux;
};

enum ir_mem {
    IR_M8 = 0, IR_M16 = 1, IR_M32 = 2, IR_M64 = 3, IR_MSIZE = 3, /* log2 of the bytes */
    IR_MS = 4,        /* sign-extend the loaded value into the cell (else zero-extend) */
    IR_MBE = 8,       /* big-endian in memory (else little-endian) */
    IR_MALIGN = 16,   /* an address that is no multiple of the size faults (else any address works) */
    IR_MPAIR = 32,    /* LD2, ST2: one access of 16 bytes, which is what IR_MALIGN asks for (else two of 8) */
    IR_MACQREL = 64,  /* LD, LD2: before all accesses that follow; ST, ST2: after all accesses before. CAS, RMW: always both */
    IR_MSEQ = 128,    /* the same, and in one order with all others marked so */
    IR_MORDER = IR_MACQREL | IR_MSEQ,
};
#define IR_A64        0x01000000u  /* aux: the address cell is I64; else it is I32 and wraps at 32 bits */
#define IR_DISP(op)   ((int16_t)(op)->aux)
#define IR_MMU(op)    (((op)->aux >> 16) & 15)

/* aux of FENCE: which accesses before it come before which after it */
enum { IR_FENCE_RR = 1, IR_FENCE_RW = 2, IR_FENCE_WR = 4, IR_FENCE_WW = 8, IR_FENCE_ALL = 15 };

enum { IR_REL_LT = 1, IR_REL_EQ = 2, IR_REL_GT = 4, IR_REL_UN = 8, IR_REL_SIGNAL = 16 /* any NaN is invalid */ };
/* aux of FCMP with values; at least one is not 0 */
#define IR_REL_VALUES(lt, eq, gt, un) ((uint32_t)(lt) | (uint32_t)(eq) << 8 | (uint32_t)(gt) << 16 | (uint32_t)(un) << 24)
enum { IR_ROUND_ENV = 15,    /* rounding mode of cpu->fp */
       IR_ROUND_EXACT = 16 };/* FROUND: a changed value is inexact (else only sNaNs raise a flag) */
enum ir_fmm {                /* minimum and maximum; -0 is below +0 but for IR_FMM_X86 */
    IR_FMM_NUM,              /* 754-2008 minNum: a number beats a quiet NaN, a signalling NaN gives a NaN (Arm fminnm, PowerPC) */
    IR_FMM_NAN,              /* 754-2019 minimum: a NaN wins (Arm fmin, s390x) */
    IR_FMM_NUMBER,           /* 754-2019 minimumNumber: a number beats any NaN (RISC-V) */
    IR_FMM_NUM_MAG,          /* 754-2008 minNumMag (MIPS mina) */
    IR_FMM_X86,              /* a < b ? a : b, and a > b ? a : b: the second if equal or unordered; any NaN is invalid */
    IR_FMM_COUNT
};
enum ir_f2i {                /* what an invalid float -> int conversion gives */
    IR_F2I_MAX,              /* the largest value (MIPS legacy) */
    IR_F2I_MIN,              /* the "integer indefinite" (x86): 0x80..., to unsigned all ones */
    IR_F2I_SAT_ZERO,         /* nearest limit; NaN: 0 (Arm, MIPS 2008) */
    IR_F2I_SAT_MAX,          /* nearest limit; NaN: largest value (RISC-V) */
    IR_F2I_SAT_MIN,          /* nearest limit; NaN: smallest value, to unsigned 0 (PowerPC, s390x, SH4) */
    IR_F2I_COUNT
};
enum ir_rmw { IR_RMW_XCHG, IR_RMW_ADD, IR_RMW_AND, IR_RMW_OR, IR_RMW_XOR, IR_RMW_MINU, IR_RMW_MAXU, IR_RMW_MINS, IR_RMW_MAXS };
enum ir_shuf {               /* what VSHUF does with an index that is too large */
    IR_SHUF_X86,             /* bit 7: 0, else its low 4 bits in the same 16 bytes (pshufb) */
    IR_SHUF_TBL,             /* not less than the bytes of a: 0 (Arm tbl) */
    IR_SHUF_TWO,             /* modulo 2n, in a followed by c (PowerPC vperm but for its numbering) */
};
enum ir_pack { IR_PACK_LOW, IR_PACK_SS /* signed, saturated */, IR_PACK_SU /* signed to unsigned */, IR_PACK_UU };
enum { IR_V_SIGNED = 1, IR_V_HIGH = 2, IR_V_EVEN = 4, IR_V_ODD = 8, IR_V_UXS = 16 /* a unsigned, b signed */, IR_V_SAT = 32 /* signed */ };
enum ir_red { IR_RED_ADD, IR_RED_MINU, IR_RED_MAXU, IR_RED_MINS, IR_RED_MAXS, IR_RED_AND, IR_RED_OR, IR_RED_XOR };
/* aux of VFP: an FPOP, FROUND, FMIN, FMAX, FMA, FCMP (mask form: lanes of all ones or 0), or FPCV between formats of the
 * lane's size; attr as that op's, and for float -> int its aux. */
#define IR_VFP(op, attr, f2i) ((uint32_t)(op) | (uint32_t)(attr) << 16 | (uint32_t)(f2i) << 24)
#define IR_VEC_LANE(op)   ((op)->attr & 3)                   /* log2 of bytes */
#define IR_VEC_BYTES(op)  (8u << ((op)->attr >> 2 & 3))
/* Cells that operand k (0: d, 1: a, 2: b, 3: c) of a VEC op stands for. */
static inline unsigned ir_vec_cells(const struct ir_op *o, unsigned k)
{
    return (o->op == OP_VDUP && k == 1) || (o->op == OP_VREDUCE && k == 0) ? 1 : IR_VEC_BYTES(o) / 8;
}

enum { IR_HINT_NONE, IR_HINT_CALL, IR_HINT_RET, IR_HINT_MASK = 3,
       IR_HINT_KEYED = 0x80 /* the block has itself stored the changed key in cpu->key */ };
enum ir_exit {
    IR_EXIT_MODE,      /* state that the block key depends on, or mappings, may have changed: look up again */
    IR_EXIT_IRQ,       /* as MODE; interrupts may have become deliverable */
    IR_EXIT_HALT,      /* the cpu waits for an interrupt: cpu->halted was set */
    IR_EXIT_DEBUG,     /* breakpoint at pc, not executed */
};
#define IR_INSN_CONT 0x80  /* INSN attr: not a restart point (a delay slot): retries start at the insn before */

struct ir_link {
    uint64_t pc;
    uint64_t key;        /* mode of the target block */
    uint16_t n_insns;    /* guest instructions retired when the block is left here */
    uint8_t hint;
};

#define IR_MAX_LINKS 6
#define IR_MAX_TEMPS 1024
#define IR_MAX_OPS   4096  /* blocks are ended long before; a single instruction must stay under 1,000 ops, 250 temporaries */

struct ir_block {
    uint64_t pc;
    uint64_t key;
    uint32_t size;             /* guest bytes covered from pc */
    uint16_t n_insns;          /* retired by running to the end */
    uint16_t n_ops, n_temps, n_consts, n_links, n_labels;
    bool one_shot;             /* depends on something that can't be tracked: run once, do not keep */
    struct ir_op *ops;
    uint64_t *consts;
    uint8_t *const_type, *temp_type;
    struct ir_link links[IR_MAX_LINKS];
};

/* ---- the builder ------------------------------------------------------------------------- */
struct cpu;
struct guest;

struct ir_builder {
    struct ir_block blk;
    struct cpu *cpu;             /* whose code is translated; front ends may read models and mode from it */
    const struct guest *guest;
    uint64_t pc;                 /* for the front end: pc of the current instruction */
    unsigned max_insns;          /* never begin a unit when blk.n_insns has reached this */
    bool ended;                  /* a GOTO, IND, EXIT or FETCHF that no label follows was emitted */
    const char *bug;             /* first misuse of the builder, or NULL */
    unsigned cap_ops, cap_consts, cap_temps;
    void *user;                  /* the front end's own */
    /* the builder's: pages the code was fetched from */
    uint64_t code_vpage, code_vpage2;
    uint64_t code_mask;          /* ~0 << the size of the unit in which execution is permitted (a page, or less) */
    const uint8_t *code_host, *code_pages[2];
    const uint8_t *kept;         /* not NULL: the n_kept bytes of code there are, from blk.pc on; memory is not looked at */
    unsigned n_kept;
};

void ir_builder_init(struct ir_builder *, struct cpu *, uint64_t pc, uint64_t key, unsigned max_insns);
void ir_builder_free(struct ir_builder *);

ir_id ir_temp(struct ir_builder *, enum ir_type);
ir_id ir_const(struct ir_builder *, enum ir_type, uint64_t value); /* truncated to the type */
static inline ir_id ir_c32(struct ir_builder *b, uint32_t v) { return ir_const(b, T_I32, v); }
static inline ir_id ir_c64(struct ir_builder *b, uint64_t v) { return ir_const(b, T_I64, v); }

/* Emit with a given destination. All return d. */
ir_id ir_op1(struct ir_builder *, enum ir_opcode, enum ir_type, ir_id d, ir_id a);
ir_id ir_op2(struct ir_builder *, enum ir_opcode, enum ir_type, ir_id d, ir_id a, ir_id b);
ir_id ir_op3(struct ir_builder *, enum ir_opcode, enum ir_type, ir_id d, ir_id a, ir_id b, ir_id c);
ir_id ir_mov(struct ir_builder *, enum ir_type, ir_id d, ir_id a);
ir_id ir_bits(struct ir_builder *, enum ir_opcode, enum ir_type, ir_id d, ir_id a, unsigned pos, unsigned len); /* EXTRACT, SEXTRACT */
ir_id ir_deposit(struct ir_builder *, enum ir_type, ir_id d, ir_id a, ir_id b, unsigned pos, unsigned len);
ir_id ir_setc(struct ir_builder *, enum ir_type, enum ir_cond, ir_id d, ir_id a, ir_id b);
ir_id ir_conv(struct ir_builder *, enum ir_opcode, ir_id d, ir_id a); /* LO HI ZXW SXW; float conversions */
ir_id ir_f2i(struct ir_builder *, enum ir_opcode, ir_id d, ir_id a, unsigned round, enum ir_f2i rule);
ir_id ir_fcmp(struct ir_builder *, enum ir_type, unsigned rel_mask, ir_id d, ir_id a, ir_id b);
/* d = the byte of `values` (IR_REL_VALUES, not 0) for the relation found; signal: 0 or IR_REL_SIGNAL */
ir_id ir_fcmp_values(struct ir_builder *, enum ir_type, uint32_t values, unsigned signal, ir_id d, ir_id a, ir_id b);
ir_id ir_fround(struct ir_builder *, enum ir_type, unsigned mode, ir_id d, ir_id a); /* mode: enum fp_round, IR_ROUND_* */
ir_id ir_fminmax(struct ir_builder *, enum ir_opcode, enum ir_type, enum ir_fmm, ir_id d, ir_id a, ir_id b); /* FMIN, FMAX */
ir_id ir_fma(struct ir_builder *, enum ir_type, unsigned muladd_flags, ir_id d, ir_id a, ir_id b, ir_id c);
/* Vectors: runs of cells (see VEC above). lane: log2 of the bytes of a lane; bytes: 8, 16, 32, 64; unused operands IR_NONE. */
ir_id ir_vtemp(struct ir_builder *, unsigned bytes);
ir_id ir_vec(struct ir_builder *, enum ir_opcode, unsigned lane, unsigned bytes, ir_id d, ir_id a, ir_id b, ir_id c, uint32_t imm);
/* addr: I32 or I64 cell by its type; the access is at addr + disp (modulo the address width). */
ir_id ir_ld(struct ir_builder *, enum ir_type, ir_id d, ir_id addr, int disp, unsigned mem, unsigned mmu);
void ir_st(struct ir_builder *, enum ir_type, ir_id value, ir_id addr, int disp, unsigned mem, unsigned mmu);
/* d, c = the doublewords at addr + disp and 8 behind; a store of two. mem: IR_MBE, IR_MALIGN, IR_MPAIR, order */
void ir_ld2(struct ir_builder *, ir_id d, ir_id c, ir_id addr, int disp, unsigned mem, unsigned mmu);
void ir_st2(struct ir_builder *, ir_id v, ir_id w, ir_id addr, int disp, unsigned mem, unsigned mmu);
ir_id ir_cas(struct ir_builder *, enum ir_type, ir_id d, ir_id addr, ir_id expect, ir_id value, unsigned mem, unsigned mmu);
/* d = old value (sign-extended with IR_MS) */
ir_id ir_rmw(struct ir_builder *, enum ir_type, enum ir_rmw, ir_id d, ir_id addr, ir_id value, unsigned mem, unsigned mmu);
ir_id ir_call(struct ir_builder *, unsigned helper, enum ir_type, ir_id d, ir_id a, ir_id b, ir_id c);
void ir_fence(struct ir_builder *); /* IR_FENCE_ALL */
void ir_fence_mask(struct ir_builder *, unsigned mask);

/* Forward labels: made, branched to, then placed once. */
unsigned ir_label(struct ir_builder *);
void ir_br(struct ir_builder *, unsigned label);
void ir_brl(struct ir_builder *, enum ir_type, enum ir_cond, ir_id a, ir_id b, unsigned label);
void ir_place(struct ir_builder *, unsigned label);

/* Leaving. Links record how many instructions have retired so far; INSN must have been emitted for each. */
unsigned ir_link(struct ir_builder *, uint64_t pc, uint64_t key, unsigned hint);
void ir_brc(struct ir_builder *, enum ir_type, enum ir_cond, ir_id a, ir_id b, unsigned link);
void ir_goto(struct ir_builder *, unsigned link);
void ir_ind(struct ir_builder *, enum ir_type, ir_id target, unsigned hint);
void ir_exit(struct ir_builder *, enum ir_exit, uint64_t next_pc);

/* Instruction boundaries and fetching.
 * ir_insn: the instruction at pc starts. Returns false when the block must end before it (budget
 *   used up, page left, breakpoint): the front end then emits ir_goto to pc, unless `ended` is set
 *   (a breakpoint at the block's first instruction). With IR_INSN_CONT it always returns true.
 * ir_fetch: the bytes of code at pc..pc+n-1 (n <= 16) into buf. False: they can't be fetched; possible for all but the
 *   block's first byte; then the front end emits ir_fetch_fault(b, pc of the first missing byte) in the
 *   instruction's (or delay slot's) place and ends. */
bool ir_insn(struct ir_builder *, uint64_t pc, unsigned len, unsigned flags);
bool ir_fetch(struct ir_builder *, uint64_t pc, unsigned n, uint8_t *buf);
void ir_fetch_fault(struct ir_builder *, uint64_t va);

void ir_dump(const struct ir_block *, const struct guest *, void (*put)(void *, const char *line), void *opaque);

#endif
