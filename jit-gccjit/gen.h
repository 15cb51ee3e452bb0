/*
 * gen.h - the worker's code generator: what its files share.
 */
#ifndef JIT_GCCJIT_GEN_H
#define JIT_GCCJIT_GEN_H

#include "jit-gccjit/proto.h"

#include <libgccjit.h>

#if defined __x86_64__
#define HOST_TSO 1                    /* only a load after a store needs a fence */
#define GJ_FLOAT_CONSTRAINT (gx_simd() == SIMD_AVX512 ? "+v" : "+x")
#define GJ_MAPS 1
#else
#define HOST_TSO 0
#define GJ_FLOAT_CONSTRAINT "+w"
#define GJ_MAPS 0
#endif

typedef gcc_jit_rvalue gj_rv;
typedef gcc_jit_lvalue gj_lv;

/* A region as it came over the wire: pointers into the message. */
struct gen_block {
    const struct gj_block *h;
    const struct ir_op *ops;
    const uint64_t *consts;
    const uint8_t *const_type, *temp_type;
    unsigned first_mark;      /* number of INSN ops in the blocks before */
};
struct gen_region {
    const struct gj_region *h;
    const struct gj_slot *slots;
    const struct gj_helper *helpers;
    struct gen_block *blocks;
};

/* Adds the function r<number> for a region to the context. False: *why tells (static text). */
bool gen_region(gcc_jit_context *, const struct gen_region *, unsigned number, const char **why);

/* ---- inside ---- */

enum { GEN_MAX_CELLS = 512, GEN_WORDS = GEN_MAX_CELLS / 64 };
struct gen_set { uint64_t w[GEN_WORDS]; };
static inline bool set_has(const struct gen_set *s, unsigned i) { return s->w[i / 64] >> (i % 64) & 1; }
static inline void set_add(struct gen_set *s, unsigned i) { s->w[i / 64] |= UINT64_C(1) << (i % 64); }
static inline void set_del(struct gen_set *s, unsigned i) { s->w[i / 64] &= ~(UINT64_C(1) << (i % 64)); }

static inline void set_or(struct gen_set *to, const struct gen_set *from)
{
    for (unsigned i = 0; i < GEN_WORDS; i++) to->w[i] |= from->w[i];
}

/* How a cell's local variable is typed: moving between register files costs. */
enum gen_kind { KIND_INT, KIND_FLOAT };

/* An integer value of a width: rvalue, and what is known of it. */
struct gv {
    gj_rv *r;
    gj_rv *test;              /* the same as a boolean, if it is 0 or 1 from a comparison */
    bool is_const;
    uint64_t k;
};

struct gen_cell {             /* a slot, or one of the CPU's own fields that are kept in a register */
    gj_lv *var;               /* NULL: always in memory */
    uint32_t offset;
    uint8_t type, cls, kind;
    bool wide;                /* 32 bits that addresses are made from: the variable has 64, the upper ones zero, so that it can be one */
};

struct gen_flow {             /* what is known at a place */
    struct gen_set dirty;     /* variables that may differ from their cells */
    struct gen_set number;    /* slots that hold no NaN, in the fast version */
    uint8_t temp_number[IR_MAX_TEMPS];
    bool fp_ok;               /* cpu->fp_fast has been seen to be set */
    int point;                /* that cpu->xpoint holds, or -1 */
};

/*
 * Results of host arithmetic whose test for NaN is put off (fast versions only). An operation on a NaN gives a NaN, so a result
 * that others are computed from needs no test of its own. When a test fails, everything since the start of the unit in
 * which the first of them was computed is undone, by copies of the variables that changed, and done again by the slow version;
 * so there is nothing in between that cannot be: a store, a call, a way out. A load may be: if it faults, the state is
 * that of this start.
 */
enum { GEN_MAX_PENDING = 32 };
struct gen_pending { gj_lv *z; uint8_t w; bool covered, tested; }; /* covered: by the test of another */
struct gen_txn {
    bool watch;               /* changes are noted: a run of results may still begin in this unit */
    bool open;                /* there are results to be tested */
    bool kept;                /* the unit is the start of a piece of rounds: it stays the one to go back to */
    unsigned at, mark, n;     /* the unit: number of its INSN op, its mark */
    unsigned charge;          /* instructions to be charged when all is undone (gen.rounds) */
    struct gen_set dirty, changed; /* at its start; since then */
    struct gen_set stepped;   /* of the changed ones: by constants only, step[] in all. So their old value needs no register, */
    struct gen_set based;     /* unless addresses are made from it: step[] goes into the displacement */
    int64_t step[GEN_MAX_CELLS];
    gj_lv *old[GEN_MAX_CELLS], *old_temp[IR_MAX_TEMPS], *new_temp[IR_MAX_TEMPS];
    uint16_t temp_changed[IR_MAX_TEMPS], n_temps; /* a list */
    uint8_t temp_has[IR_MAX_TEMPS];
    uint8_t cell[GEN_MAX_CELLS], temp[IR_MAX_TEMPS]; /* number in pending + 1 of what it holds */
    struct gen_pending pending[GEN_MAX_PENDING];
};

struct gen {
    gcc_jit_context *ctx;
    const struct gen_region *r;
    const char *why;
    gcc_jit_function *fn;
    gcc_jit_block *blk;       /* being filled; NULL: unreachable */
    unsigned width;           /* of the expression being built */
    gcc_jit_type *u8p, *u64p, *boolean, *i8, *i16, *i32, *i64, *u8, *u16, *u32, *u64, *f32, *f64, *u128, *i128, *lng, *nothing;
    gj_rv *cpu;               /* u8p */
    gj_lv *table, *ubase, *ulimit, *tlb, *ret;
    gcc_jit_block *leave;     /* stores everything, returns ret */
    gcc_jit_type *fn_ld, *fn_st, *fn_cas, *fn_rmw, *fn_op, *fn_fetch, *fn_helper, *fn_ref;

    struct gen_cell cell[GEN_MAX_CELLS];
    unsigned n_cells, ic, note_a, note_b, note_op, note_aux;
    struct gen_set ever_dirty;
    bool has_fp, has_calls;   /* host arithmetic; helpers that may see the host's FP flags */
    bool maps;                /* user mode: state at faults is described (gen-mem.c), not stored */
    unsigned number;
    unsigned mmu;             /* mode of the accesses that are inline */
    bool has_mmu;

    /* the block and version being generated */
    unsigned b;
    bool slow;
    struct gen_flow f;
    struct gen_txn txn;
    gj_lv *bits[GEN_MAX_CELLS]; /* the integer that was written to a cell of the kind of floats, while it is what the cell holds: so
                                   that putting a double together from two words does not go through its register */
    /* A loop of one block, several rounds of which are made as one piece: how many, the current one, where the next begins and with
     * what. It charges nothing until it is left or begins anew: the count is less by gen_uncharged() than the variable says. */
    unsigned rounds, round;
    gcc_jit_block *next_round;
    struct gen_flow next_f;
    struct gen_txn next_txn, brc_txn;
    gj_lv *temp[2][2][IR_MAX_TEMPS]; /* by type and kind */
    uint8_t temp_kind[IR_MAX_TEMPS];
    struct gen_per_block {
        struct gen_set dirty_in, number_in, used;
        gcc_jit_block *check, *body[2];  /* where edges lead; by slow */
        gcc_jit_block **slow_at; /* by op: where the slow version is entered */
        struct gen_set *slow_dirty; /* and what may be dirty then */
        bool kick;               /* something before it may have set cpu->kick */
    } *pb;
    gcc_jit_block **label;
    struct gen_flow *label_flow;
    bool *label_seen;
};

/* What code is made for: the processor this runs on. With AVX, operations have three operands and need fewer moves; with AVX-512
 * there are 32 registers for floats. */
enum gx_simd { SIMD_PLAIN, SIMD_AVX, SIMD_AVX512 };
enum gx_simd gx_simd(void);
/* Constraints of asm operands: a register for floats, one that is changed, or memory, too. */
static inline const char *gx_in_float(bool or_memory)
{
    bool all = gx_simd() == SIMD_AVX512;
    return or_memory ? all ? "vm" : "xm" : all ? "v" : "x";
}

/* gen-expr.c: values */
gj_rv *gx_int(struct gen *, gcc_jit_type *, uint64_t);
gj_rv *gx_bin(struct gen *, enum gcc_jit_binary_op, gcc_jit_type *, gj_rv *, gj_rv *);
gj_rv *gx_cmp(struct gen *, enum gcc_jit_comparison, gj_rv *, gj_rv *);
gj_rv *gx_cast(struct gen *, gj_rv *, gcc_jit_type *);
gj_rv *gx_bits(struct gen *, gj_rv *, gcc_jit_type *); /* the same bits as another type */
gj_lv *gx_var(struct gen *, gcc_jit_type *);
void gx_set(struct gen *, gj_lv *, gj_rv *);
void gx_jump(struct gen *, gcc_jit_block *);
gcc_jit_block *gx_block(struct gen *);
/* Ends the block: to yes if test, else to no. Which of them, if one, is hardly ever taken: -1 none, 0 no, 1 yes */
void gx_branch(struct gen *, gj_rv *test, gcc_jit_block *yes, gcc_jit_block *no, int rare);
struct gv gx_const(struct gen *, unsigned width, uint64_t);
/* An op of class PURE or CONV; its operands' types are by the op. r NULL: left to the reference (jit_op). */
struct gv gx_pure(struct gen *, const struct ir_op *, struct gv a, struct gv b, struct gv c);
/* A condition, as a boolean. */
gj_rv *gx_cond(struct gen *, unsigned cond, unsigned type, struct gv a, struct gv b);

/* gen-cell.c: operands */
unsigned gen_type_of(const struct gen *, ir_id);
gcc_jit_type *gen_int_type(struct gen *, unsigned type);
gcc_jit_type *gen_kind_type(struct gen *, unsigned type, unsigned kind);
gcc_jit_type *gen_cell_type(struct gen *, unsigned cell);
struct gv gen_read(struct gen *, ir_id);               /* bits, of the cell's own width */
gj_rv *gen_read_float(struct gen *, ir_id);            /* as float or double by its width */
gj_rv *gen_read_raw(struct gen *, ir_id, unsigned *kind); /* as what it is kept as; no constant */
void gen_write(struct gen *, ir_id, gj_rv *bits_or_float, bool is_float);
gj_rv *gen_u64(struct gen *, ir_id);
gj_rv *gen_cell_value(struct gen *, unsigned cell);     /* what its variable holds, of the cell's type */
void gen_cell_set(struct gen *, unsigned cell, gj_rv *); /* sets the variable, and nothing else */
void gen_cell_spill(struct gen *, unsigned cell);       /* from the variable to its place */
void gen_cell_fill(struct gen *, unsigned cell);        /* and back */
gj_rv *gen_cell_load(struct gen *, uint32_t offset, gcc_jit_type *, bool is_volatile);
void gen_cell_store(struct gen *, uint32_t offset, gcc_jit_type *, gj_rv *, bool is_volatile);
void gen_assign_cell(struct gen *, unsigned cell, gj_rv *); /* a variable changes */
gj_rv *gen_table(struct gen *, unsigned index, gcc_jit_type *);

/* gen-scan.c */
void gen_scan(struct gen *);
bool gen_is_fp(const struct ir_op *);
bool gen_is_pure(const struct ir_op *);
bool gen_is_mem(const struct ir_op *);
bool gen_known_op(const struct ir_op *);               /* others are run by the reference, on cells and cpu->temps */
unsigned gen_operand_cells(const struct ir_op *, unsigned k); /* k: 0 d, 1 a, 2 b, 3 c */
bool gen_operand_out(const struct ir_op *, unsigned k); /* is it written? */
const struct gj_helper *gen_helper_of(const struct gen *, const struct ir_op *);
bool gen_pure_helper(const struct gj_helper *);
/* Must a cell be in memory before the helper, and may it be another after it? The CPU's own fields always. */
bool gen_helper_reads(const struct gen *, const struct gj_helper *, unsigned cell);
bool gen_helper_writes(const struct gen *, const struct gj_helper *, unsigned cell);

/* gen-ops.c; mark: number of INSN ops before, less 1 */
gj_rv *gen_helper_op(struct gen *, unsigned at, gj_rv *a, gj_rv *b, gj_rv *c); /* jit_op for op `at` of the block: u64 */
void gen_pure(struct gen *, unsigned at);
void gen_by_reference(struct gen *, unsigned at);
void gen_on_cells(struct gen *, unsigned at, unsigned mark);
void gen_call(struct gen *, const struct ir_op *, unsigned mark);

/* gen-block.c */
gcc_jit_block *gen_slow_entry(struct gen *, unsigned at, const struct gen_set *dirty);
void gen_take(struct gen *, unsigned n);               /* n instructions off the count, outside units */
void gen_version(struct gen *, unsigned block, bool slow);
/* Enters the fast version of the block if what it takes for granted holds. */
void gen_check_entry(struct gen *);

/* Does what goes wrong here lead back to the start of the unit that is noted? */
static inline bool gen_goes_back(const struct gen *g) { return g->txn.watch && (g->txn.open || g->txn.kept); }

static inline unsigned gen_uncharged(const struct gen *g) { return g->rounds ? (g->round + 1) * g->r->blocks[g->b].h->n_insns : 0; }

/* gen-fp.c */
bool gen_fp_inline(const struct ir_op *);
/* That cpu->fp_fast is what the fast versions are made for. */
gj_rv *gen_fp_expected(struct gen *);
/* The same value, of which the compiler knows nothing. */
gj_rv *gen_pinned(struct gen *, gj_rv *, bool is_float);
/* The same, for a float, but free to move and to disappear. */
gj_rv *gen_opaque(struct gen *, gj_rv *);
/* An op for which that holds, in the fast version. */
void gen_fp(struct gen *, unsigned at);
/* Where to go when the fast version cannot do op `at`. */
gcc_jit_block *gen_fp_fail(struct gen *, unsigned at);
/* Op `at` looks at bits of its operands: they are tested now. */
void gen_test_operands(struct gen *, unsigned at);
/* Tests that were put off are made here. */
void gen_settle(struct gen *);
void gen_txn_unit(struct gen *, unsigned at, unsigned mark); /* a unit starts */
void gen_txn_stop(struct gen *);                             /* settles; what comes cannot be undone */
void gen_txn_cell(struct gen *, unsigned cell);              /* before a change */
void gen_txn_step(struct gen *, unsigned cell, bool was_stepped, int64_t by); /* after it: what was added */
void gen_txn_temp(struct gen *, unsigned temp, gj_lv *);
/* The test that a cell holds no NaN of the width of its type. */
gj_rv *gen_is_number(struct gen *, ir_id);
bool gen_known_number(const struct gen *, ir_id);

/* gen-mem.c */
void gen_mem(struct gen *, unsigned at, unsigned mark);
void gen_sync(struct gen *, unsigned mark, bool clean); /* cells and point as the contract wants before what may unwind */

#endif
