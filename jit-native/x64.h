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

#include "jit-native/native.h"
#include "jit-native/x64-emit.h"

#define CPU_BIAS ((int32_t)sizeof(struct cpu) + 128)
#define AT_CPU(field) x64_at(RBP, (int32_t)offsetof(struct cpu, field) - CPU_BIAS)
enum { PAGE_CELLS = 8, FRAME = 24 + 8 * PAGE_CELLS, AT_REST = 0, AT_LIMIT = 8, AT_PAGES = 24 };
/* Instructions in a slice: how long a kick by another thread may go unseen. */
enum { SLICE = 1 << 16 };
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
    struct x64 *x;               /* of one compilation; kept for its buffers */
};

struct cold;
typedef void (*cold_fn)(struct x64 *, const struct cold *);
/* Code for a rare case, emitted behind the region. */
struct cold {
    struct cold *next;
    cold_fn emit;
    unsigned label, back;
    unsigned block, op, mark;
    uint32_t point;              /* of the mark, if it was asked for by then */
    uint32_t dirty;
    const struct ir_op *o;
    int64_t arg;
    bool key_kept;
    cold_fn then;                /* x64-tlb.c */
    unsigned again;
};

struct shared { uint32_t mask; bool reload; unsigned label; };

struct x64 {
    struct emit e;
    struct gen *g;
    struct host *h;
    struct native_code *nc;
    const char *why;             /* failed: static text */
    /* where we are */
    unsigned k, i;
    struct gen_block *gb;
    const struct jit_block *jb;
    const struct ir_op *o;
    unsigned mark;
    uint32_t point;              /* of the mark; 0: not asked for yet */
    uint32_t dirty;
    uint32_t *label_dirty;       /* of the block's labels */
    unsigned *labels;
    struct gen_fact *known;      /* of each slot, then of each temp */
    uint32_t need;               /* what the code has assumed of the entry: registers, as in struct gen_fact */
    uint32_t whole;              /* narrow registers that are extended just now */
    struct { ir_id d; uint8_t cc; uint32_t at; } flags; /* d is what SETC made of condition cc; as long as e.changes is `at` */
    bool low;                    /* the op is done in 32 bits (gen_low) */
    uint8_t fp_fast;             /* the value of cpu->fp_fast that the code is for */
    bool key_kept;               /* nothing in the block changed cpu->key */
    unsigned skip;               /* ops that the last one has done too */
    struct cold *cold, **cold_tail;
    struct shared shared[128];
    unsigned n_shared;
    struct gen_point *points;
    uint32_t n_points, cap_points;
    struct { const struct ir_op *o; uint32_t at; } *ops; /* that the code refers to: copied behind it */
    uint32_t n_ops, cap_ops;
    struct value *values;        /* x64-tlb.c: of each slot, then of each temp */
    struct x64_pages **pages;    /* of each block */
};

/* ---- operands (x64-operand.c) ----------------------------------------------------------------------- */

static inline bool is_gpr(int r) { return r >= 0 && r < GPRS; }
static inline bool is_xmm(int r) { return r >= GPRS; }
static inline bool x64_wide(const struct x64 *c, ir_id x) { return gen_type(c->g, c->jb, x) == T_I64; }
/* Allocated register of a slot or temp, or IN_MEMORY. */
int x64_reg(const struct x64 *, ir_id);
bool x64_const(const struct x64 *, ir_id, uint64_t *);
/* A constant that fits a sign-extended 32-bit immediate of an operation of that width. */
bool x64_imm(const struct x64 *, ir_id, bool w, int32_t *);
struct x64_mem x64_cell(const struct x64 *, ir_id);
/* The value in some GPR: its own, or `scratch`. */
unsigned x64_use(struct x64 *, ir_id, unsigned scratch);
void x64_load(struct x64 *, unsigned reg, ir_id);
/* As an r/m operand; constants and XMM registers by way of `scratch`. */
struct x64_rm x64_use_rm(struct x64 *, ir_id, unsigned scratch);
/* Where the result of the current op may be computed: its own GPR, or `scratch`. */
unsigned x64_def(const struct x64 *, unsigned scratch);
/* The result of op o is in `reg`: puts it where it belongs. */
void x64_done(struct x64 *, ir_id d, unsigned reg);
/* The same for XMM registers (0..15). */
unsigned x64_use_xmm(struct x64 *, ir_id, unsigned scratch);
unsigned x64_def_xmm(const struct x64 *, unsigned scratch);
void x64_done_xmm(struct x64 *, ir_id d, unsigned xmm);
/* From its cell, for code that has stored all state. */
void x64_load_cell(struct x64 *, unsigned reg, ir_id);
/* Is GPR r the place of x? */
static inline bool x64_lives_in(const struct x64 *c, ir_id x, unsigned r) { return x != IR_NONE && !ir_is_const(x) && x64_reg(c, x) == (int)r; }
unsigned x64_known_bits(const struct x64 *, ir_id);

/* ---- state (x64-state.c) ------------------------------------------------------------------------------ */

void x64_spill(struct x64 *, uint32_t mask, bool small);
void x64_reload(struct x64 *, uint32_t mask, bool small);
/* Temporaries that live across the current op: into their cells; and those that C code clobbers back. */
void x64_save_temps(struct x64 *);
void x64_restore_temps(struct x64 *);
uint32_t x64_point(struct x64 *);
void x64_set_point(struct x64 *);
/* The next instruction is a guest access. */
void x64_may_fault(struct x64 *);
struct cold *x64_cold(struct x64 *, cold_fn); /* with labels made */
/* rsi = the address of a copy of the op. */
void x64_lea_op(struct x64 *, const struct ir_op *);
/* Around a call from cold code: everything in its cells; afterwards the result in rax goes to d, and on. */
void x64_cold_begin(struct x64 *, const struct cold *);
void x64_cold_end(struct x64 *, const struct cold *);

/* ---- system mode's TLB (x64-tlb.c) --------------------------------------------------------------------- */

/* Where the current op's access goes in host memory; *k: its slow way, where the address is as x64-mem.c says. tag: the field of
 * struct tlb_entry that permits it. */
struct x64_mem x64_tlb_address(struct x64 *, cold_fn slow, size_t tag, unsigned size, struct cold **k);
/* A region begins; a block, which finds out which of its accesses belong together. */
void x64_pages_region(struct x64 *, unsigned max_temps);
void x64_pages_block(struct x64 *);
/* The current op went the slow way. */
void x64_tlb_forget(struct x64 *);
/* x64-mem.c: the current op's address into reg. */
void x64_address(struct x64 *, unsigned reg, bool w);

/* ---- lowering: each handles its ops; false: by jit_op() ------------------------------------------------- */

bool x64_lower_int(struct x64 *);     /* x64-int.c */
bool x64_lower_bits(struct x64 *);    /* x64-bits.c */
bool x64_lower_fp(struct x64 *);      /* x64-fp.c */
void x64_lower_ld(struct x64 *);      /* x64-mem.c */
void x64_lower_st(struct x64 *);
void x64_lower_ld2(struct x64 *);
void x64_lower_st2(struct x64 *);
void x64_lower_atomic(struct x64 *);
void x64_lower_vec(struct x64 *);     /* x64-vec.c */
/* Two cells into an XMM register and back; XMM2 is scratch. bytes: 8 (one cell) or 16 */
void x64_vec_get(struct x64 *, unsigned xmm, ir_id x, unsigned bytes);
void x64_vec_put(struct x64 *, ir_id d, unsigned xmm, unsigned bytes);
/* Room for two cells that belongs to no temporary. */
struct x64_mem x64_scratch_cells(struct x64 *);
void x64_lower_op(struct x64 *);      /* through jit_op() */
void x64_lower_control(struct x64 *); /* x64-control.c */
void x64_block_entry(struct x64 *);
/* Do the flags hold what a SETC's result came from? */
static inline bool x64_flags_live(const struct x64 *c) { return c->flags.d != IR_NONE && c->flags.at == c->e.changes; }
/* Compares a with b: the x86 condition that is true when cond(a, b) is. */
unsigned x64_compare(struct x64 *, const struct ir_op *);

#endif
