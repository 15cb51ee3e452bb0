/*
 * lower.h - one region being turned into host code: the state of that, what is the same on every host (lower.c: where the
 * guest's state is, the walk over blocks and ops, calls of C code; lower-control.c: blocks' entries, edges, ways out), and
 * the few instructions' worth of things that a host provides for it.
 *
 * Not part of it: which slot lives where (alloc.c), what is known of values (facts.c), lowering of arithmetic and of accesses
 * that succeed (the host's files).
 */
#ifndef JIT_NATIVE_LOWER_H
#define JIT_NATIVE_LOWER_H

#include "jit-native/emit.h"
#include "jit-native/native.h"

/* Instructions in a slice: how long a kick by another thread may go unseen. */
enum { SLICE = 1 << 16 };

struct lower;
struct cold;
typedef void (*cold_fn)(struct lower *, const struct cold *);
/* Code for a rare case, emitted behind the region. */
struct cold {
    struct cold *next;
    cold_fn emit;
    unsigned label, back;
    unsigned block, op, mark;
    uint32_t point;              /* of the mark, if it was asked for by then */
    uint32_t dirty;
    const struct ir_op *o;
    int64_t arg;                 /* the host's, as the next */
    unsigned more;
    bool key_kept;
};

/* A subroutine of the region's own that stores or reloads registers. */
struct shared { uint32_t mask; bool reload; unsigned label; };

/* A host's own state of a compilation begins with this. */
struct lower {
    struct emit e;
    struct gen *g;
    struct host *h;
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
    bool key_kept;               /* nothing in the block changed cpu->key */
    unsigned skip;               /* ops that the last one has done too */
    struct cold *cold, **cold_tail;
    struct shared shared[128];
    unsigned n_shared;
    struct gen_point *points;
    uint32_t n_points, cap_points;
    struct { const struct ir_op *o; unsigned label; } *ops; /* that the code refers to: copied behind it */
    uint32_t n_ops, cap_ops;
};

/* ---- lower.c -------------------------------------------------------------------------------------------- */

/* Frees what it points to, not itself. */
void lower_fini(struct lower *);
/* Compiles what gen_allocate() has prepared: fills text, text_size, body, and the points (which stay its own). */
bool lower_region(struct lower *, struct gen *, struct jit_code *, struct gen_point **, uint32_t *n, const char **why);

static inline bool lower_wide(const struct lower *c, ir_id x) { return gen_type(c->g, c->jb, x) == T_I64; }
/* Allocated register of a slot or temp, or IN_MEMORY; + REGS: the upper half of one that holds a pair. */
int lower_reg(const struct lower *, ir_id);
/* Is it the first cell of a pair in a register? */
bool lower_pair(const struct lower *, ir_id);
/* Is it a constant? IR_NONE counts as 0. */
bool lower_const(const struct lower *, ir_id, uint64_t *);
/* The value is below 1 << the result. */
unsigned lower_known_bits(const struct lower *, ir_id);

/* Stores and reloads slots of registers; small: by a subroutine where that is shorter. */
void lower_spill(struct lower *, uint32_t mask, bool small);
void lower_reload(struct lower *, uint32_t mask, bool small);
/* Temporaries that live across the current op: into their cells; and those that C code clobbers back. */
void lower_save_temps(struct lower *);
void lower_restore_temps(struct lower *);
/* The number by which the engine finds the instruction in hand (jit_point). */
uint32_t lower_point(struct lower *);
/* The next instruction is a guest access. */
void lower_may_fault(struct lower *);
struct cold *lower_cold(struct lower *, cold_fn); /* with labels made */
/* Around a call from cold code: everything in its cells; afterwards the result goes to d, and on. */
void lower_cold_begin(struct lower *, const struct cold *);
/* A helper marked GEN_INLINE, called; nothing else changes. */
void lower_call_aside(struct lower *);
/* The state of lazy slots at the op in hand. */
unsigned lower_state(const struct lower *);
void lower_cold_end(struct lower *, const struct cold *);
/* The slow ways of OP_LD and OP_ST, as cold code: the guest address is in the host's first scratch register. */
void lower_cold_ld(struct lower *, const struct cold *);
void lower_cold_st(struct lower *, const struct cold *);
/* The op by way of jit_op(), as cold code; as the op in hand. */
void lower_cold_op(struct lower *, const struct cold *);
void lower_by_call(struct lower *);
/* A label at a copy of the op. */
unsigned lower_op_copy(struct lower *, const struct ir_op *);

/* ---- lower-control.c ------------------------------------------------------------------------------------ */

void lower_block_entry(struct lower *);
/* Branches, ways out, calls of helpers; false: it is none of these. */
bool lower_control(struct lower *);
/* Subtracts one run from the entry block's heat; out when it is hot. */
void lower_count_run(struct lower *);

/* ---- what a host provides ------------------------------------------------------------------------------- */

/* Arguments of C calls are numbered from 1: argument 0 is the CPU. The first scratch register is the C result's. */

/* A compilation begins; a block. */
void host_begin(struct lower *);
void host_begin_block(struct lower *);
/* The op in hand, of any kind, is about to be done. */
void host_prepare(struct lower *);
/* It is to be done; not control, nor what is done by calls. */
void host_lower(struct lower *);
/* An op has been done: the one in hand (first), or one that it did too. f: of its result, if it has one. */
void host_done_op(struct lower *, const struct ir_op *, bool first, const struct gen_fact *f);
/* Do the slots hold what the code assumes (need, narrow)? If not: to label `no`. */
void host_test_guess(struct lower *, unsigned no);

/* What the host keeps besides registers of slots. What waits in lazy slots (state: struct gen) goes to their cells; may use no register
 * that lower_spill() may not. What else there is, for the op in hand or (entry) its block's beginning, goes to its cells, and back:
 * around calls of C code, at ways out. */
void host_settle(struct lower *, unsigned state);
void host_own_out(struct lower *, bool entry);
void host_own_in(struct lower *);
/* May code assume something of the entry besides facts? Called once; then, when blocks have been made: did it? Then tests at the
 * entry (to label `no` if it is otherwise; last: the host's own state is there from here on), and blocks that assume nothing. */
bool host_may_assume(struct lower *);
bool host_has_assumed(struct lower *);
void host_test_assumed(struct lower *, unsigned no);
void host_assume_nothing(struct lower *);
/* The state of the op in hand by what gen_point.x87 needs. */
unsigned host_x87(const struct lower *);
/* Subroutines of its own, behind the region. */
void host_behind(struct lower *);

/* Moves between register r (numbered as native.h does) and the cell of x. */
void host_move_cell(struct lower *, unsigned r, ir_id x, bool load);
/* The C result to d. */
void host_result(struct lower *, ir_id d);
/* cpu->xpoint = lower_point(). */
void host_set_point(struct lower *);
void host_arg(struct lower *, unsigned n, ir_id x); /* from its cell */
void host_arg_imm(struct lower *, unsigned n, uint64_t);
void host_arg_add(struct lower *, unsigned n, bool wide, int32_t);
void host_arg_label(struct lower *, unsigned n, unsigned label);
void host_arg_address(struct lower *, unsigned n, bool wide); /* from the first scratch register */
/* Calls fn(cpu, ...), then sees to kicks. fp: and clears what it did to the host's FP flags. */
void host_call_c(struct lower *, uintptr_t fn, bool fp);

/* Instructions left of the slice: += n; the same, and to the label if they are then (not) negative. */
void host_count(struct lower *, int32_t n);
void host_count_jump(struct lower *, int32_t n, bool negative, unsigned label);
/* Takes more of the budget; to the label if there is none. */
void host_refill(struct lower *, unsigned none);
/* heat -= n; to the label if it is then zero, or (more) if it was more than n. */
void host_heat(struct lower *, const struct blk *, uint32_t n, bool more, unsigned label);
void host_store_pc(struct lower *, uint64_t pc);
void host_store_pc_of(struct lower *, ir_id x);
void host_store_key(struct lower *, uint64_t key);
/* To label `no` if cpu->key is another. */
void host_check_key(struct lower *, uint64_t key, unsigned no);
/* Is the block what the jump cache has for its address? If not: to label `no`. */
void host_check_mapping(struct lower *, const struct blk *, unsigned no);
/* Out to the engine, with a JIT_ code; by the link; to what the jump cache has for the link's target. All state is in cells. */
void host_exit(struct lower *, unsigned code);
void host_follow_link(struct lower *, const struct link *);
void host_follow_cached(struct lower *, const struct link *);
/* OP_IND: where the target address is while it is compared; the comparison; out by the jump cache (lower_spill() included). */
struct lower_ind { unsigned reg; bool based; uint64_t base; };
struct lower_ind host_ind(struct lower *);
void host_ind_is(struct lower *, struct lower_ind *, uint64_t pc, unsigned label);
void host_ind_leave(struct lower *, const struct lower_ind *);
/* To the label if the op's condition holds, or (invert) does not. */
void host_branch(struct lower *, const struct ir_op *, bool invert, unsigned label);
void host_fence(struct lower *);

#endif
