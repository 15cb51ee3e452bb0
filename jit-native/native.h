/*
 * native.h - the in-house code generator: what its parts share: the host-neutral ones (native.c, alloc.c, facts.c, and by lower.h
 * lower*.c) and those of the hosts (x64-*.c, a64-*.c).
 *
 * The shape of the code: every region decides once which slots live in host registers, and that holds from its entry to its
 * exits. So one table tells where the state is at any point; slots that may have been written (the dirty ones) are stored at
 * exits and before calls of C code, and after a host fault recover() stores them from the signal's context.
 * Temporaries share what registers are left, block by block. Everything unlikely is emitted behind the region.
 * A region of tier 2 may be there twice: made for what its entry was seen to find (facts.c), and for anything.
 *
 * A host provides what is declared in the last parts here and of lower.h. Host registers are numbered 0..31: 0..15 for integers, 16..31 for
 * floating point, whatever the host calls them.
 */
#ifndef JIT_NATIVE_NATIVE_H
#define JIT_NATIVE_NATIVE_H

#include "interp/jit.h"

enum { GPRS = 16, REGS = 32, IN_MEMORY = -1 };
#define MASK_GPR 0x0000ffffu
#define MASK_FPR 0xffff0000u

/* What the host offers; made by host_init(). */
struct host_regs {
    uint8_t order[2][GPRS];      /* allocatable integer and FP registers, best first */
    uint8_t n[2];
    uint32_t clobbered;          /* by calls of C functions */
    bool pairs;                  /* FP registers of 16 bytes hold two cells that follow each other */
};

/* What is known of a value (facts.c). Of a cell of 32 bits only u says something. */
struct gen_fact {
    uint64_t near;               /* an address at most so far from the guest's window (user mode); GEN_FAR: not known */
    uint16_t near_by, s_by;      /* which guesses (gen.guess) this rests on: a set */
    uint8_t u, s;                /* the value is below 1 << u; it is sign-extended from s bits */
};
#define GEN_FAR UINT64_MAX
/* So far from the window an access may be tried: what remains of the guard is for displacements. */
static inline uint64_t gen_near_max(const struct guest *g) { return (g->addr_type == T_I64 ? CPU_GUARD64 : CPU_GUARD) - ((uint64_t)1 << 17); }

/* PURE ops of type I64, attr: done in 32 bits, the upper half of the result is 0 (prep.c). LD, ST: operand c is a constant that is
 * added to the address. */
enum { GEN_ZX = 1 };
/* CALL, attr: the host does it without a call, if the region's entry has been found to be as guessed (host_takes_calls()). */
enum { GEN_INLINE = 1 };
enum { GEN_NO_X87 = 0xffff };

/* What a lazy slot is to hold (prep.c): op(a, b), where IR_NONE stands for the constants ka, kb. */
enum { GEN_LAZIES = 6, GEN_IN_CELL = OP_COUNT /* nothing waits */, GEN_DEAD /* anything */ };
struct gen_lazy {
    uint16_t op;
    uint8_t type;
    uint8_t moves;               /* so often an operand changed by a constant, which went into the other one */
    ir_id a, b;
    uint32_t aux;
    uint64_t ka, kb;
};
struct gen_state { struct gen_lazy v[GEN_LAZIES]; };

/* A block being compiled. */
struct gen_block {
    const struct jit_block *jb;
    uint32_t live_in;            /* registers whose slots are read before they are written */
    uint32_t dirty_in;           /* registers whose slots may have been written since the region's entry */
    uint32_t *live;              /* after each op */
    struct gen_fact *in;         /* with gen.facts: of each slot, when the block is entered */
    int8_t *temp_reg;            /* of each temporary: host register or IN_MEMORY; + REGS: the upper half of one, next to the other */
    uint16_t *temp_first, *temp_last; /* ops */
    bool *noted;                 /* FP ops: must the operation be noted? (struct fp_note) */
    unsigned label;              /* the host's: of its entry; past the charge; of what a failed charge leads to (0: none yet) */
    unsigned charged, failed;
};

struct gen {
    const struct jit_region *r;
    const struct guest *guest;
    const struct host_regs *regs;
    struct arena arena;
    struct gen_block *blocks;
    int8_t *slot_reg;            /* of each slot */
    ir_id reg_slot[REGS];        /* IR_NONE: none */
    uint32_t used;               /* registers that hold slots */
    uint32_t pairs;              /* of these: two slots, that of reg_slot and the next, whose slot_reg is that of the first + REGS */
    bool facts;                  /* something is known of the blocks' entries */
    ir_id guess[GPRS];           /* slots whose values at the entry are guessed; that of host register n, if it has one, is guess n */
    const struct gen_state *states; /* NULL: the region has not been prepared; number 0: all in cells */
    unsigned n_states;
    uint16_t *state_in, **state; /* by block: at its entry; before each op */
    bool x87;                    /* calls have been marked */
    uint8_t x87_written;         /* physical registers that the region writes */
    uint32_t narrow;             /* registers of slots that always hold sign-extended words, and of which only the lower half counts */
};

/* A place where a guest access may fault. */
struct gen_point { uint32_t at, point, dirty, narrow; uint16_t state, x87; }; /* narrow: of the dirty ones */

/* struct jit_code.priv */
struct native_code {
    uint32_t n_points;
    struct gen_point *points;    /* ascending */
    uint32_t pairs;              /* as in struct gen */
    uint32_t offset[REGS];       /* of the slot in each register */
    uint8_t type[REGS];
    unsigned n_states;
    uint8_t x87_written;
    struct gen_state *states;    /* with a, b: of operands, places: 0..31 registers, else IR_NONE or the offset of a cell + REGS */
    const struct guest *guest;
};

/* Where each operand of an op comes from: IR_NONE where there is none. Of vectors the first cell. */
static inline void op_inputs(const struct ir_op *o, ir_id in[3])
{
    in[0] = o->op == OP_INSN ? IR_NONE : o->a, in[1] = o->b, in[2] = o->op == OP_LD2 ? IR_NONE : o->c;
}
/* Does the op have operands of more than one cell, or two results? */
static inline bool op_is_vec(const struct ir_op *o) { return ir_op_info[o->op].cls == CLASS_VEC || o->op == OP_LD2; }
/* Ops that store all state and call C code each time. */
static inline bool op_syncs(const struct ir_op *o) { return (o->op == OP_CALL && !(o->attr & GEN_INLINE)) || o->op == OP_CAS || o->op == OP_RMW || o->op == OP_FETCHF; }

/* prep.c: the region as g wants it; before all else. */
void gen_prepare(struct gen *);
/* Registers that hold operands of what waits in state s. */
uint32_t gen_state_regs(const struct gen *, unsigned s);

/* alloc.c: fills all of g but the labels. */
void gen_allocate(struct gen *);
/* Registers of slots that are operands, and results, of the op. */
uint32_t gen_reads(const struct gen *, const struct ir_op *);
uint32_t gen_writes(const struct gen *, const struct ir_op *);
/* Those of gen_writes() of which nothing remains. */
uint32_t gen_kills(const struct gen *, const struct ir_op *);
/* Registers of slots that the op may write besides d: those of a helper. */
uint32_t gen_written(const struct gen *, const struct ir_op *);
static inline uint32_t reg_bit(int r) { return r < 0 ? 0 : 1u << (r & (REGS - 1)); }
static inline uint32_t gen_slot_bit(const struct gen *g, ir_id x) { return ir_is_slot(x) ? reg_bit(g->slot_reg[x]) : 0; }
static inline unsigned gen_type(const struct gen *g, const struct jit_block *b, ir_id x)
{
    return ir_is_slot(x) ? g->guest->slots[x].type : ir_is_temp(x) ? b->temp_type[x - IR_TEMP] : x == IR_NONE ? T_I64 : b->const_type[x - IR_CONST];
}

/* What an access adds to its address operand. */
static inline int64_t gen_disp(const struct jit_block *b, const struct ir_op *o)
{
    int64_t d = IR_DISP(o);
    if ((o->op == OP_LD || o->op == OP_ST) && o->c != IR_NONE) {
        uint64_t k = b->consts[o->c - IR_CONST];
        d += o->aux & IR_A64 ? (int64_t)k : (int32_t)(uint32_t)k;
    }
    return d;
}

/* facts.c. gen_facts() fills facts, narrow and the blocks' in[]; gen_no_facts() takes it back, for code that assumes nothing.
 * Neither need be called: nothing is known and nothing narrow then. `known`: of all slots, then of the block's temporaries. */
void gen_facts(struct gen *);
void gen_no_facts(struct gen *);
void gen_forget(const struct gen *, const struct jit_block *, struct gen_fact *known);
struct gen_fact gen_fact_of(const struct gen *, const struct jit_block *, const struct gen_fact *known, ir_id);
/* Of the result of an op that is about to be done; what is known when it has been. */
struct gen_fact gen_result(const struct gen *, const struct jit_block *, const struct gen_fact *known, const struct ir_op *);
void gen_learn(const struct gen *, const struct jit_block *, struct gen_fact *known, const struct ir_op *, const struct gen_fact *result);
/* Can op i of the block, of type I64, be done on the lower halves of its operands alone, so that the lower half of the result
 * is right (and nobody wants more of it)? *by: what that rests on, as in struct gen_fact. */
bool gen_low(const struct gen *, const struct jit_block *, const struct gen_fact *known, unsigned i, uint16_t *by);
/* Otherwise: does it need all of operand n? */
bool gen_wants_all(const struct ir_op *, unsigned n);
/* A load of a signed word for which extending is an instruction of its own: bytes have to be turned first. */
static inline bool gen_extends_aside(const struct ir_op *o) { return o->op == OP_LD && (o->attr & (IR_MBE | IR_MS | IR_MSIZE)) == (IR_MBE | IR_MS | IR_M32); }

/* ---- what a host provides ------------------------------------------------------------------------------ */

struct host;
/* The engine's thunks and stubs, in its code memory. NULL + error: not on this processor. */
struct host *host_init(struct engine *, struct error *);
void host_fini(struct host *);
const struct host_regs *host_regs(const struct host *);
/* Marks calls in the blocks (copies of the region's) that the host can do without calling. */
void host_takes_calls(struct gen *, struct jit_block *blocks);
/* After a fault: what the signal's context has of the guest's x87 (of gen_point.x87). */
void host_recover_x87(const void *ucontext, struct cpu *, const struct guest *, unsigned x87, unsigned written);
struct host_traits {
    bool prepares;               /* does it understand what gen_prepare() makes? */
    bool vectors;                /* has it CLASS_VEC, LD2, ST2? */
    bool facts;                  /* can it make use of guesses and of narrow slots (gen_facts)? */
};
extern const struct host_traits host_traits;
jit_entry_fn host_entry(const struct host *, bool user);
const void *host_exit_stub(const struct host *);
/* The state of a compilation (lower.h), kept for its buffers. */
struct lower *host_lowering(struct host *);
/* From a signal's context: the host pc, the count of instructions left, a register. Async-signal safe. */
uintptr_t host_context_pc(const void *ucontext);
int64_t host_context_icount(const void *ucontext);
uint64_t host_context_reg(const void *ucontext, unsigned reg);
/* The upper half of one that can hold a pair. */
uint64_t host_context_high(const void *ucontext, unsigned reg);

extern const struct jit_backend jit_native_backend;

#endif
