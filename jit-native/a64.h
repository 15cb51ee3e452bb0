/*
 * a64.h - what the AArch64 files of jit-native/ share: registers' roles, the state of one compilation, access to operands.
 * Private to these.
 *
 * Roles: x29 = the CPU, x28 = instructions left of the present slice, x27 = the guest's memory (user mode) or the TLB of the
 * current MMU mode, x26 = the limit of guest addresses (user mode), x24 and x25 = host addresses of guest addresses that a
 * block uses more than once. x0-x4 and v0-v7 are for the op in hand, x16 and x17 for the encoder and the thunks, x18 is the
 * platform's. All others are allocated: numbers 0..15 of the host-neutral part are x19-x23 and x5-x15, 16..31 are d8-d23.
 * A 32-bit value in a register has zeros above. The stack frame holds what of the budget is not in the slice.
 */
#ifndef JIT_NATIVE_A64_H
#define JIT_NATIVE_A64_H

#include "jit-native/a64-emit.h"
#include "jit-native/lower.h"

enum { R_CPU = X29, R_COUNT = X28, R_MEM = X27, R_LIMIT = X26 };
#define AT_CPU(field) a64_at(R_CPU, (int32_t)offsetof(struct cpu, field))
/* The frame: rest of the budget; return address of a stub that calls C code; registers of the caller. */
enum { AT_REST = 0, AT_LR = 8, AT_SAVED = 16, FRAME = AT_SAVED + 12 * 8 + 8 * 8 };
struct stubs {
    const void *entry[2];        /* C entries: system, user mode */
    const void *exit;            /* x0 = what to return; all state in cells */
    const void *indirect;        /* x0 = guest address (already in the pc slot), x1 = key of the running block */
    const void *candidate;       /* the same with what the jump cache has in x2, and cpu->key known to be the block's */
    const void *refill;          /* takes more of the budget: Z clear when there was some */
    const void *call;            /* calls x16(cpu, x1 ... x5), then sees to kicks */
    const void *fp;              /* the same, and clears the host's invalid flag */
};

struct a64;
struct host {
    struct engine *eng;
    struct host_regs regs;
    struct stubs stubs;
    struct a64 *x;                 /* of one compilation; kept for its buffers */
};

enum { KEPT_ADDRESSES = 2 };
struct a64 {
    struct lower c;              /* first */
    ir_id kept[KEPT_ADDRESSES];  /* whose host address x24, x25 hold; IR_NONE */
    unsigned kept_next;
};
#define A64(c) ((struct a64 *)(c))

/* ---- operands (a64-operand.c) ----------------------------------------------------------------------- */

/* An allocated register by its host-neutral number. */
static inline unsigned a64_gpr(int r) { return r < 5 ? X19 + (unsigned)r : (unsigned)r; }
static inline unsigned a64_fpr(int r) { return (unsigned)r - GPRS + 8; }
static inline bool is_gpr(int r) { return r >= 0 && r < GPRS; }
static inline bool is_fpr(int r) { return r >= GPRS; }
struct a64_mem a64_cell(const struct lower *, ir_id);
/* The value in some X register: its own, or `scratch`. */
unsigned a64_use(struct lower *, ir_id, unsigned scratch);
/* The same; ZR for the constant 0. */
unsigned a64_use_z(struct lower *, ir_id, unsigned scratch);
void a64_load(struct lower *, unsigned reg, ir_id);
/* Where the result of the current op may be computed: its own X register, or `scratch`. */
unsigned a64_def(const struct lower *, unsigned scratch);
/* The result of the current op is in `reg`: puts it where it belongs. */
void a64_done(struct lower *, ir_id d, unsigned reg);
/* The same for FP registers. */
unsigned a64_use_fp(struct lower *, ir_id x, unsigned scratch);
unsigned a64_def_fp(const struct lower *, unsigned scratch);
void a64_done_fp(struct lower *, ir_id d, unsigned v);
/* From its cell, for code that has stored all state. */
void a64_load_cell(struct lower *, unsigned reg, ir_id);
/* Is x in the X register, or FP register, of that number? */
static inline bool a64_lives_in(const struct lower *c, ir_id x, unsigned r)
{
    return x != IR_NONE && !ir_is_const(x) && is_gpr(lower_reg(c, x)) && a64_gpr(lower_reg(c, x)) == r;
}
static inline bool a64_lives_in_fp(const struct lower *c, ir_id x, unsigned v)
{
    return x != IR_NONE && !ir_is_const(x) && is_fpr(lower_reg(c, x)) && a64_fpr(lower_reg(c, x)) == v;
}

/* ---- lowering: each handles its ops; false: by lower_by_call() ------------------------------------------ */

bool a64_lower_int(struct lower *);     /* a64-int.c */
bool a64_lower_bits(struct lower *);    /* a64-bits.c */
bool a64_lower_fp(struct lower *);      /* a64-fp.c */
void a64_lower_ld(struct lower *);      /* a64-mem.c */
void a64_lower_st(struct lower *);
/* Compares a with b: the condition that is true when cond(a, b) is. */
unsigned a64_compare(struct lower *, const struct ir_op *);

#endif
