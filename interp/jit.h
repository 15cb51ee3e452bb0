/*
 * jit.h - the contract between the engine and the code generators (jit-native/, jit-gccjit/, jit-tcc/, and the null backend
 * in interp/jit-null.c, which is the smallest example).
 *
 * A backend compiles regions. A region is one or more translated blocks with the edges between them; it has a single
 * entry, the start of blocks[0]. The engine decides what becomes a region and when (tier.c); the backend makes code of it
 * and knows no guest ISA.
 *
 * What compiled code must do, whatever made it:
 *
 *  State     Slots are cells in the CPU structure (guest->slots[].offset). Between guest instructions a backend may keep
 *            them anywhere, but at each of the following they must be in their cells: leaving the region; calling
 *            a helper that reads or writes them, may raise or access memory (struct helper_desc); every memory access that
 *            takes a slow path; and, in user mode, every access that can fault, unless recover() can put them there.
 *            At these places only what the IR has done before the op may be seen.
 *            Slots of class SLOT_SYS may be written by devices (interrupt lines): never keep them over an access.
 *  Points    Before anything that may leave by longjmp or ask for the count of instructions (helpers, slow paths, in user
 *            mode accesses unless recover() does it), cpu->xpoint = the point's number (jit_point()). A point says which block
 *            and which guest instruction of it is being executed. It may be left set.
 *  Counting  Entering a block, first or inside the region, charges it: cpu->icount_left -= n_insns. If that makes it
 *            negative, or cpu->kick is set (see below), nothing of the block is executed: the charge is undone, pc slot = block's pc,
 *            cpu->key = block's key, return JIT_LOOKUP. Leaving by link l gives back l->refund; by IND or EXIT, n_insns - aux.
 *            At points, icount_left in memory has the whole current block charged.
 *  Kick      cpu->kick set by this thread in a helper or slow path must be seen at the next block boundary. Set by
 *            another thread it need not be looked at: the count runs out soon enough (engine.c hands it out in slices).
 *  Edges     A link whose target is in the region (to[link] >= 0) goes on there; if check[link] is set, only when
 *            cpu->jump_cache[jc_index(pc)] is that block (the mapping of its page may have changed), else by leaving.
            Where check[link] is set without it, the link is not going to be chained, and the jump cache is the quick way.
 *            If the link's key is not the block's, the front end has stored it (IR_HINT_KEYED): nothing to do.
 *  IND       pc slot = target. If one of ind[] has that pc, and the current cpu->key, go on there (with the same check if check_ind).
 *            Else leave: JIT_IND, or straight to the body of the block that the jump cache has (same pc, key equal to the
 *            running block's, and body set).
 *  Leaving   Return a link's address (low three bits zero; pc slot and key need not be written) or a JIT_* code.
 *  FP        Host arithmetic only while cpu->fp_fast, by the rules of fpx.h: finite operands, a result that is no NaN, and the
 *            operation noted in cpu->fp_note; else fp_exec(). The host's flags are left to accumulate.
 *  Self-modifying code, invalidation: the engine's business; it calls unlink() and never enters the code again.
 */
#ifndef INTERP_JIT_H
#define INTERP_JIT_H

#include "interp/block.h"

enum jit_code_return {
    JIT_LOOKUP = 1,   /* pc slot and cpu->key say where to go on */
    JIT_IRQ, JIT_HALT, JIT_DEBUG, /* as enum xexit, after an EXIT; pc slot written */
    JIT_IND,          /* as LOOKUP: after an IND */
    JIT_REFUSE,       /* not executed, not charged: conditions that the code was made for do not hold; interpret the block */
    JIT_HOT,          /* not executed, not charged: tier 1 code ran often (*blk->code_heat reached 0); pc slot written */
    JIT_CODES
};

struct jit_code;
struct jit_region;
/* The C entry of compiled code. Returns a link's address or a jit_code_return. */
typedef uintptr_t (*jit_entry_fn)(struct cpu *, const struct jit_code *);

enum { JIT_MAX_IND = 24, JIT_MAX_BLOCKS = 64, JIT_MAX_OPS = 4000 };

/* A block of a region, with optimised IR (what ir_optimise leaves), self-contained. Ops: see ir.h. INSN ops are the
 * boundaries: the k-th INSN of ops[] is mark k of the block. */
struct jit_block {
    struct blk *blk;             /* pc, key, n_insns, links[] (addresses fixed), page_* ; nothing else of it is for backends */
    const struct ir_op *ops;
    const uint64_t *consts;
    const uint8_t *const_type, *temp_type;
    uint16_t n_ops, n_consts, n_temps, n_labels;
    int16_t to[IR_MAX_LINKS];    /* index in the region of the link's target, or -1 */
    bool check[IR_MAX_LINKS];
    int16_t ind[JIT_MAX_IND];    /* where its INDs are likely to go, most likely first */
    uint8_t n_ind;
    bool check_ind;
    bool header;                 /* some edge from this or a later block leads here */
    uint32_t weight;             /* how often it runs for every 16 entries of the region; a guess */
};

struct jit_region {
    struct engine *eng;
    const struct guest *guest;
    bool user;                   /* cpu->world->user: memory at cpu->ubase + address, below cpu->ulimit */
    unsigned tier;               /* 1: one block, quickly; 2: optimise */
    bool count;                  /* tier 1: count entries down in *blocks[0].blk->code_heat, return JIT_HOT when it becomes 0 */
    /* Guesses at what the entry will find, which code may be made for as long as it tests them: the slots' values (guest->n_slots
     * of them; NULL in tier 1), and cpu->fp_fast, when the region was formed. */
    const uint64_t *values;
    uint8_t fp_fast;
    unsigned n;
    struct jit_block *blocks;    /* in the order in which they should be laid out */
    struct arena arena;          /* all of the above */
    struct jit_code *code;       /* what compile() fills */
    struct jit_region *next;     /* the engine's queue */
};

/* Compiled code of one region. Filled by compile(); the rest is the engine's. */
struct jit_code {
    jit_entry_fn entry;
    const void *body;            /* where other code of the same backend may jump to, in its own convention; or NULL */
    const void *text;            /* for logs, perf and finding code by address; NULL: compiled elsewhere */
    size_t text_size, ir_ops;
    void *priv;                  /* the backend's: state maps; freed by release() */
    /* the engine's */
    const struct jit_backend *backend;
    struct blk **blocks;
    unsigned n_blocks, tier;
    bool valid;
    uint32_t point, points_end;  /* points taken for it and not yet used */
    void *gdb;
    struct jit_code *next;
};

/* Per engine. */
struct jit_backend {
    const char *name;            /* "native" */
    const char *help;
    unsigned tiers;              /* bit 0: wants single blocks (tier 1); bit 1: wants regions (tier 2) */
    unsigned threshold[2];       /* runs of a block before each, unless the user says otherwise */
    bool quick;                  /* compiling takes less than handing it to a thread would gain: done at once, unless sync=off */
    bool keeps_underflow;        /* its code keeps the host's underflow flag as fpx.h says for FP_HOST_TINY_BEFORE; else no host FP there */
    /* state: for the calls below. NULL + error when it cannot work here. */
    void *(*init)(struct engine *, struct error *);
    void (*fini)(void *state);
    /* One region, in the thread of the engine's choice (one at a time). False: not this one; it stays where it was and
     * *why (static text) is counted. */
    bool (*compile)(void *state, const struct jit_region *, struct jit_code *, const char **why);
    /* More at once, for those that gain from it; ok[i] tells. May be NULL. */
    unsigned batch;
    void (*compile_batch)(void *state, struct jit_region *const *, unsigned n, struct jit_code *const *, bool *ok);
    /* Frees code->priv. May be NULL. */
    void (*release)(void *state, struct jit_code *);
    /* A host fault (SIGSEGV, SIGBUS) at an address in code->text: puts exact state into cells, cpu->icount_left and cpu->xpoint.
     * Async-signal safe. False: it was no guest access. NULL: its code has these right at all times. */
    bool (*recover)(const struct jit_code *, struct cpu *, const void *ucontext); /* may end in jit_run_again() */
    /* What link->code holds while the link's target has no body: code that returns the link. NULL: no bodies. */
    const void *(*exit_stub)(void *state);
    /* All code memory is about to be reused: forget everything. May be NULL. */
    void (*flush)(void *state);
    /* Nothing is wanted any more (the process is about to end, or fini() follows): what compile() waits for is to be ended, what is
     * outside the process removed. Any thread, while another may be in compile(), which fails then. May be NULL. */
    void (*leave)(void *state);
    /* In the child of a fork, where there is no other thread: what was being compiled (parked, below) never came back. May be NULL. */
    void (*forked)(void *state);
};

/* The backends that are built in are registered by main(); modules by jit_load. */
void jit_register(const struct jit_backend *);
/* Finds by name, loading a module when there is one. NULL + error. */
const struct jit_backend *jit_find(const char *name, struct error *);
extern const struct jit_backend jit_null_backend;

/* ---- for backends ------------------------------------------------------------------------------- */

/* A new point; mark: the number of INSN ops before the op, less 1 (0 if none). 0: no more to be had. Any thread. */
uint32_t jit_point(const struct jit_region *, unsigned block, unsigned mark);

/* Code memory: two views of the same bytes, one to write and one to execute. NULL: full (a flush follows) or refused by the host. */
struct codemem { uint8_t *rw; const uint8_t *rx; size_t size; };
bool jit_code_alloc(struct engine *, size_t n, struct codemem *);
/* Gives back what was not used of the last allocation. */
void jit_code_trim(struct engine *, struct codemem *, size_t used);
/* Makes the n bytes at rx visible to instruction fetch (nothing to do on x86). */
void jit_code_flush_icache(const void *rx, size_t n);

/* Around waiting for something outside the process, in compile(): the backend's state is consistent, no lock is held. So a fork
 * need not wait until compiling is done; it happens between the two. */
void jit_park(struct engine *);
void jit_unpark(struct engine *);

/* Out-of-line pieces that compiled code may call; cpu->xpoint set, slots in their cells. Widths as the op says; results have
 * the cell's width, zero-extended to 64 bits. */
uint64_t jit_ld(struct cpu *, uint64_t va, unsigned mem, unsigned mmu);
void jit_st(struct cpu *, uint64_t va, uint64_t v, unsigned mem, unsigned mmu);
void jit_ld2(struct cpu *, uint64_t va, uint64_t v[2], unsigned mem, unsigned mmu);
void jit_st2(struct cpu *, uint64_t va, const uint64_t v[2], unsigned mem, unsigned mmu);
/* A vector op on runs of cells, by the C code that is the authority. */
void jit_vec(struct cpu *, const struct ir_op *, uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c);
uint64_t jit_cas(struct cpu *, uint64_t va, uint64_t expect, uint64_t v, unsigned mem, unsigned mmu);
uint64_t jit_rmw(struct cpu *, uint64_t va, uint64_t v, unsigned what, unsigned mem, unsigned mmu);
ATTR_NORETURN void jit_fetch_fault(struct cpu *, uint64_t va);
/* From recover(), the state of an earlier point being in its place: nothing since then counts, execution goes on there. */
ATTR_NORETURN void jit_run_again(struct cpu *, const void *ucontext);
/* Any op of class PURE to FPCV, FCMP and FMA, by the reference: eval_pure() or fp_exec(). */
uint64_t jit_op(struct cpu *, const struct ir_op *, uint64_t a, uint64_t b, uint64_t c);

/* ---- modules --------------------------------------------------------------------------------------
 *
 * A module is the file quern-jit-NAME.so with one symbol, the function quern_jit_backend (a jit_module_fn). It is called once
 * and gives the backend's descriptor, or NULL + error. A module must not need symbols of the program, since that may have
 * been linked in any way: what it calls comes in the table of services, or is linked into it (of util/ and interp/ only what
 * is inline in headers). Module and program are built from the same source; abi tells when they were not. */
struct jit_services {
    uint64_t abi;                /* jit_abi() of the program */
    const struct ir_op_info *op_info; /* OP_COUNT of them */
    int (*error_set)(struct error *, const char *fmt, ...);
    void (*warn)(const char *fmt, ...);       /* a line on stderr, with the program's name */
    void (*log)(const char *fmt, ...);        /* with -d out_asm; else nothing */
    /* as the functions of the same names above */
    uint32_t (*point)(const struct jit_region *, unsigned block, unsigned mark);
    bool (*code_alloc)(struct engine *, size_t n, struct codemem *);
    void (*code_trim)(struct engine *, struct codemem *, size_t used);
    void (*code_flush_icache)(const void *rx, size_t n);
    uint64_t (*ld)(struct cpu *, uint64_t va, unsigned mem, unsigned mmu);
    void (*st)(struct cpu *, uint64_t va, uint64_t v, unsigned mem, unsigned mmu);
    uint64_t (*cas)(struct cpu *, uint64_t va, uint64_t expect, uint64_t v, unsigned mem, unsigned mmu);
    uint64_t (*rmw)(struct cpu *, uint64_t va, uint64_t v, unsigned what, unsigned mem, unsigned mmu);
    void (*fetch_fault)(struct cpu *, uint64_t va); /* does not return */
    uint64_t (*op)(struct cpu *, const struct ir_op *, uint64_t a, uint64_t b, uint64_t c);
};
typedef const struct jit_backend *jit_module_fn(const struct jit_services *, struct error *);
#define JIT_MODULE_SYMBOL "quern_jit_backend"

/* A fingerprint of what a module and the program must agree on. */
static inline uint64_t jit_abi(void)
{
    const uint64_t v[] = { sizeof(struct jit_services), sizeof(struct jit_backend), sizeof(struct jit_region), sizeof(struct jit_block),
                           sizeof(struct jit_code), sizeof(struct cpu), offsetof(struct cpu, tlb_now), offsetof(struct cpu, fp_note),
                           offsetof(struct cpu, temps), sizeof(struct blk), offsetof(struct blk, links), sizeof(struct link),
                           sizeof(struct ir_op), sizeof(struct guest), sizeof(struct tlb_entry), OP_COUNT, CC_COUNT, JC_BITS, TLB_BITS };
    uint64_t h = 1;
    for (unsigned i = 0; i < ARRAY_LEN(v); i++) h = (h ^ v[i]) * UINT64_C(0x9e3779b97f4a7c15), h ^= h >> 29;
    return h;
}

/* ---- the engine's side (tier.c) ------------------------------------------------------------------ */

struct jit_point { struct blk *blk; const struct jit_code *code; uint16_t mark; };
const struct jit_point *jit_point_get(const struct engine *, uint32_t point);
struct jit *jit_new(struct engine *);
void jit_delete(struct engine *);
/* A new block in fast mode: sets b->x to what counts its runs. Lock held. */
void jit_block_made(struct engine *, struct blk *);
/* Are blocks compiled before they have run so often that optimising them for the interpreter would pay? */
bool jit_soon(const struct engine *);
/* b->heat or *b->code_heat has come to 0 (by the interpreter, or tier 1 code). Not under the lock. */
void jit_hot(struct cpu *, struct blk *);
/* The same for the block at the pc slot. */
void jit_hot_here(struct cpu *);
/* Lock held: b is no more; what was compiled with it is not entered again. */
void jit_block_gone(struct engine *, struct blk *);
/* Lock held, everything is dropped. */
void jit_flush(struct engine *);
/* Lock held: l now leads to `to`, or nowhere (NULL). */
void jit_link_changed(struct engine *, struct link *, struct blk *to);
/* Is `page` one that the code of a point was made from? */
bool jit_running_on(const struct engine *, uint32_t point, const uint8_t *page);
void jit_host_fault(struct cpu *, const void *ucontext);
/* The process is about to end without jit_delete(). */
void jit_leave(struct engine *);
void jit_before_fork(struct engine *);
void jit_after_fork(struct engine *, bool child);
/* Waits until nothing is being compiled and drops what was asked for. Not under the lock. */
void jit_quiesce(struct engine *);
/* Code that holds a host address, or NULL. Async-signal safe. */
const struct jit_code *jit_code_at(const struct engine *, const void *host_pc);
/* The n-th piece of valid code that contains the block; NULL: no more. Lock held. */
const struct jit_code *jit_code_with(const struct blk *, unsigned n);

struct jit_stats {
    struct { uint64_t regions, blocks, ir_ops, text, ns, refused; } tier[3];
    uint64_t invalidated, flushes;
    size_t mem_used, mem_size;
};
void jit_get_stats(const struct engine *, struct jit_stats *);

#endif
