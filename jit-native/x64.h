/*
 * x64.h - what the x86-64 files of jit-native/ share: registers' roles, the state of one compilation, access to operands.
 * Private to these.
 *
 * Roles: rbp = the CPU + CPU_BIAS (so that slots lie within reach of byte displacements), r15 = instructions left of the
 * present slice, r14 = the guest's memory (user mode) or the TLB of the current MMU mode. rax, rcx, rdx and xmm0-xmm2 are for
 * the op in hand; all others are allocated. The stack frame holds what of the budget is not in the slice, and the limit of
 * guest addresses; in system mode where the pages of a block's accesses are, too (x64-tlb.c).
 */
#ifndef JIT_NATIVE_X64_H
#define JIT_NATIVE_X64_H

#include "jit-native/lower.h"
#include "jit-native/x64-emit.h"

#define CPU_BIAS ((int32_t)sizeof(struct cpu) + 128)
#define AT_CPU(field) x64_at(RBP, (int32_t)offsetof(struct cpu, field) - CPU_BIAS)
enum { PAGE_CELLS = 8, FRAME = 24 + 8 * PAGE_CELLS, AT_REST = 0, AT_LIMIT = 8, AT_PAGES = 24 };
/* XMM registers as operands of the encoder: 0..15; as allocated registers: 16.. */
enum { XMM0 = 0, XMM1, XMM2 };

struct features { bool bmi1, bmi2, lzcnt, popcnt, movbe, sse41, avx, fma; };

struct stubs {
    const void *entry[2];        /* C entries: system, user mode */
    const void *exit;            /* rax = what to return; all state in cells */
    const void *indirect;        /* rax = guest address (already in the pc slot), rcx = key of the running block */
    const void *candidate;       /* the same with what the jump cache has in rdx, and cpu->key known to be the block's */
    const void *refill;          /* takes more of the budget: ZF clear when there was some */
    const void *call;            /* calls rax(cpu, rsi, rdx, rcx, r8, r9), then sees to kicks */
    const void *ld, *st, *op, *fp;
};

struct x64;
struct host {
    struct engine *eng;
    struct features has;
    struct host_regs regs;
    struct stubs stubs;
    struct x64 *x;                 /* of one compilation; kept for its buffers */
};

struct x64 {
    struct lower c;              /* first */
    uint32_t whole;              /* narrow registers that are extended just now */
    struct { ir_id d; uint8_t cc; uint32_t at; } flags; /* d is what SETC made of condition cc; as long as e.changes is `at` */
    struct { ir_id t; uint32_t at; } equal; /* the flags say whether what the coming test of t looks at is 0; as long as e.changes is `at` */
    struct { ir_id t; uint8_t index, shift; } scaled; /* t is that register shifted, and only the next access's address */
    ir_id relation;              /* holds the flags of a comparison, CF, PF and ZF where EFLAGS has them; so do the flags, */
    uint32_t relation_at;        /* as long as e.changes is this */
    ir_id same_d, same_a;        /* of two pairs: that the first cell of the one is a copy of the other's, though nothing has said so */
    bool low;                    /* the op in hand is done in 32 bits (gen_low) */
    uint8_t fp_fast;             /* the value of cpu->fp_fast that the code is for */
    bool fp_known, fp_used;      /* that has been tested at the entry; somebody has relied on it */
    bool x87_on;                 /* the guest's x87 registers are in the host's */
    struct { unsigned state, label; } x87_outs[64];
    unsigned n_x87_outs;
    uint16_t **x87, *x87_in;     /* by block: state before each op, at its entry: top | tags << 8 */
    struct value *values;        /* x64-tlb.c: of each slot, then of each temp */
    struct x64_pages **pages;    /* of each block */
};
#define X64(c) ((struct x64 *)(c))
#define X64_CONST(c) ((const struct x64 *)(c))

/* ---- operands (x64-operand.c) ----------------------------------------------------------------------- */

static inline bool is_gpr(int r) { return r >= 0 && r < GPRS; }
static inline bool is_xmm(int r) { return r >= GPRS && r < REGS; }
/* The upper half of an XMM register: the second cell of a pair (SSE4.1). */
static inline bool is_high(int r) { return r >= REGS; }
static inline unsigned high_xmm(int r) { return (unsigned)r - REGS - GPRS; }
/* A constant that fits a sign-extended 32-bit immediate of an operation of that width. */
bool x64_imm(const struct lower *, ir_id, bool w, int32_t *);
struct x64_mem x64_cell(const struct lower *, ir_id);
/* The value in some GPR: its own, or `scratch`. */
unsigned x64_use(struct lower *, ir_id, unsigned scratch);
void x64_load(struct lower *, unsigned reg, ir_id);
/* As an r/m operand; constants and XMM registers by way of `scratch`. */
struct x64_rm x64_use_rm(struct lower *, ir_id, unsigned scratch);
/* Where the result of the current op may be computed: its own GPR, or `scratch`. */
unsigned x64_def(const struct lower *, unsigned scratch);
/* The result of op o is in `reg`: puts it where it belongs. */
void x64_done(struct lower *, ir_id d, unsigned reg);
/* Is the op a load of a pair's first cell, and the next one makes the second 0? Both are done at once, and x64_done() for both. */
bool x64_clears_high(const struct lower *);
/* The same for XMM registers (0..15). A register of x64_use_xmm() may have another cell in its upper half; one of x64_def_xmm() is
 * all the op's. */
unsigned x64_use_xmm(struct lower *, ir_id, unsigned scratch);
unsigned x64_def_xmm(const struct lower *, unsigned scratch);
void x64_done_xmm(struct lower *, ir_id d, unsigned xmm);
/* From its cell, for code that has stored all state. */
void x64_load_cell(struct lower *, unsigned reg, ir_id);
/* Is GPR r the place of x? */
static inline bool x64_lives_in(const struct lower *c, ir_id x, unsigned r) { return x != IR_NONE && !ir_is_const(x) && lower_reg(c, x) == (int)r; }

/* ---- system mode's TLB (x64-tlb.c) --------------------------------------------------------------------- */

/* Where the current op's access goes in host memory; *k: its slow way, where the address is as x64-mem.c says. tag: the field of
 * struct tlb_entry that permits it. */
struct x64_mem x64_tlb_address(struct lower *, cold_fn slow, size_t tag, unsigned size, struct cold **k);
/* A region begins; a block, which finds out which of its accesses belong together. */
void x64_pages_region(struct lower *);
void x64_pages_block(struct lower *);
/* The op in hand is about to go the slow way. */
void x64_tlb_forget(struct lower *);
/* x64-mem.c: the current op's address into reg; the slow way of a load or store by way of the TLB. */
void x64_address(struct lower *, unsigned reg, bool w);
void x64_slow_access(struct lower *, const struct cold *);

/* ---- lowering: each handles its ops; false: by lower_by_call() ------------------------------------------ */

bool x64_lower_int(struct lower *);     /* x64-int.c */
bool x64_lower_bits(struct lower *);    /* x64-bits.c */
bool x64_lower_fp(struct lower *);      /* x64-fp.c */
bool x64_is_sse(const struct lower *);  /* are operations of the code's mode the guest's own? */
void x64_test_fp(struct lower *, unsigned no); /* is cpu->fp_fast what the code is for? If not: to label `no` */
bool x64_lower_x87(struct lower *);     /* x64-x87.c: the op is part of what the host's x87 does: done */
bool x64_x87_begin(struct lower *);     /* works out all states; false: not in this region */
void x64_x87_test(struct lower *, unsigned no); /* is the entry as guessed? If not: to label `no` */
void x64_x87_in(struct lower *, unsigned state); /* from cells to the host's registers */
/* x64-mem.c. Where the access goes in host memory. *k: its slow way, if there is one. */
struct x64_mem x64_user_address(struct lower *, cold_fn slow, struct cold **k);
bool x64_is_near(const struct lower *, const struct gen_fact *, int32_t disp); /* need it not be compared with the limit? */
void x64_lower_ld(struct lower *);
void x64_lower_st(struct lower *);
void x64_lower_ld2(struct lower *);
void x64_lower_st2(struct lower *);
void x64_lower_vec(struct lower *);     /* x64-vec.c */
/* Two cells into an XMM register and back; XMM2 is scratch. bytes: 8 (one cell) or 16 */
void x64_vec_get(struct lower *, unsigned xmm, ir_id x, unsigned bytes);
void x64_vec_put(struct lower *, ir_id d, unsigned xmm, unsigned bytes);
/* Room for two cells that belongs to no temporary. */
struct x64_mem x64_scratch_cells(struct lower *);
/* Do the flags hold what a SETC's result came from? */
static inline bool x64_flags_live(const struct lower *c) { return X64_CONST(c)->flags.d != IR_NONE && X64_CONST(c)->flags.at == c->e.changes; }
/* Compares a with b: the x86 condition that is true when cond(a, b) is. */
unsigned x64_compare(struct lower *, const struct ir_op *);

#endif
