/*
 * block.h - translated blocks, their links and side tables, and the engine's own functions.
 * Private to interp/ and the JIT backends.
 */
#ifndef INTERP_BLOCK_H
#define INTERP_BLOCK_H

#include "interp/engine.h"

#include <inttypes.h>
#include <pthread.h>

/* A predecoded record of the fast interpreter. `h`: handler address (computed goto) or number (switch). Operands are
 * byte offsets into the CPU structure; wide payloads take the following record. */
struct xrec {
    union { const void *h; uintptr_t op; };
    union {
        struct {
            uint16_t d, a;
            union { struct { uint16_t b, c; }; int32_t imm; };
        };
        uint64_t imm64;
        struct { const void *p; };
    };
};

/* A way out of a block. `to` is set once the target is known and may be entered without a check. */
struct link {
    struct blk *to;          /* atomic access; NULL: ask the dispatcher */
    uint16_t refund;         /* instructions of the block not executed on this way */
    uint16_t n_insns;
    bool keyed;              /* a key other than the block's has been stored in cpu->key by the block */
    uint8_t hint;            /* IR_HINT_NONE, CALL, RET */
    const void *code;        /* for compiled code: the body of `to`, or the backend's stub that returns this link. Atomic */
    struct blk *from;
    struct link *next_in;    /* list of links into `to` */
    uint64_t pc;
    uint64_t key;
};

/* Side table: where each guest instruction begins. */
struct mark {
    uint16_t at;             /* index of its first record (fast) or op (reference) */
    uint16_t n;              /* instructions retired before it */
    uint16_t pc_off;         /* pc - block pc */
    uint8_t flags;           /* INSN flags */
    uint8_t unit_back;       /* marks back to the one its unit starts with */
};

enum { JIT_PROFILE = 24 };

struct blk {
    /* One line of a cache: what finding, entering and counting looks at. */
    uint64_t pc;
    uint64_t key;
    struct blk *hash_next;
    const struct xrec *x;      /* fast mode: where to enter: records, or the gate in front of them */
    const void *jit_body;      /* of compiled code: its body (struct jit_code), or NULL (atomic) */
    struct xrec gate;          /* with a JIT: counts the runs, or enters compiled code; p = records */
    uint32_t heat;             /* runs in the interpreter to go until it is asked for promotion */
    uint16_t n_insns;
    bool valid, one_shot;

    const struct xrec *records;
    const uint8_t *page[2];    /* host pages of the code; page[1] NULL unless two_pages; none: made from cpu->io.code */
    bool two_pages, user;
    bool has_ind, jit_wanted;  /* it ends in an indirect branch; is being compiled */
    bool fixed;                /* its address always means the same memory (guest.fixed) */
    bool in_region, waited;    /* part of a region asked for; has given that region time to be entered */
    uint8_t ind_hint;          /* IR_HINT_* of that branch */
    uint16_t n_marks, n_links, n_ops, n_consts, n_temps;
    const struct jit_code *jit; /* compiled code that is entered here (atomic), or NULL */
    struct jit_ref *jit_refs;  /* all compiled code that contains this block */
    struct ind_profile *ind;   /* where its indirect branches went; NULL: not asked for (atomic) */
    const struct ir_op *ops;   /* reference mode */
    const uint64_t *consts;
    const uint8_t *temp_type;
    struct mark *marks;
    struct link *links;
    struct link *in;           /* links that point here */
    struct blk *page_next[2];
    uint64_t vpage2;
    const uint8_t *code;       /* system mode: the n_code bytes that it was made from */
    uint32_t size, n_code;
    uint32_t *code_heat;       /* what its compiled code counts down instead; NULL: none does */
    uint32_t runs;             /* counted in lower tiers, before the present countdown */
    uint32_t heat_start;       /* where the present countdown began */
};

static inline struct blk *blk_of_gate(const struct xrec *gate)
{
    return (struct blk *)((uintptr_t)gate - offsetof(struct blk, gate));
}

/* Targets of a block's indirect branches, counted while the interpreter runs it. Most have one or two, many never run again:
 * there is room for more once there are more. n is 0 behind the last. */
struct ind_target { uint64_t pc; uint32_t n; };
struct ind_profile { unsigned room; struct ind_target to[]; };
enum { IND_FIRST = 2 };

#define KEY_ONE (UINT64_C(1) << 63)   /* a block of one unit, made to run device accesses exactly */

/* Code pages: host page -> blocks on it. */
struct code_page {
    const uint8_t *host;
    struct code_page *next;
    struct blk *blocks;        /* linked through page_next[which] */
    uint64_t vaddr;            /* user mode: for unprotecting */
    uint64_t fixed;            /* of a block here with that property; 0: none */
    uint64_t granules;         /* which 64ths of the page hold, or held, code */
    bool closed;               /* parallel system mode: no TLB lets writes to it through, so that code may be read from it */
};

/* The granules of n > 0 bytes at offset `at` of a page. */
static inline uint64_t code_granules(unsigned at, unsigned n)
{
    unsigned first = at >> (CPU_PAGE_BITS - 6), last = (MIN(at + n, CPU_PAGE_SIZE) - 1) >> (CPU_PAGE_BITS - 6);
    return UINT64_MAX << first & UINT64_MAX >> (63 - last);
}

enum { BLK_HASH_BITS = 9 /* at first */, PAGE_HASH_BITS = 12 };
static inline unsigned page_hash(const uint8_t *page)
{
    return (uint32_t)((uint32_t)((uintptr_t)page >> CPU_PAGE_BITS) * 0x9e3779b1u) >> (32 - PAGE_HASH_BITS);
}

struct watchpoint { uint64_t va, len; enum watch_kind kind; };

enum { HIT_LATE = 1, HIT_TOLD };

struct engine {
    struct engine_config cfg;
    pthread_mutex_t lock;          /* translation, hash and page tables */
    struct blk **hash;             /* 1 << hash_bits lists of blocks */
    unsigned hash_bits, n_hashed;
    struct code_page *pages[1 << PAGE_HASH_BITS];
    struct arena arena;            /* blocks; dropped together by a flush */
    struct cpu **cpus;
    unsigned n_cpus, cap_cpus;
    struct ir_builder builder;     /* under lock */
    uint64_t *breaks;
    unsigned n_breaks;
    struct watchpoint *watches;
    unsigned n_watches;
    struct debug_hit hit;
    uint8_t hit_late;              /* HIT_LATE: it was while an exception or interrupt was entered, the vCPU stops behind that; HIT_TOLD: has */
    struct engine_stats stats;
    unsigned flush_wanted;         /* at the next safe point everything is dropped (atomic) */
    unsigned inside;               /* threads of parallel vCPUs between safe points; under lock */
    bool flushing;
    unsigned alone_wanted;         /* of them wait for all others to be at one (engine_alone_begin) */
    bool alone;                    /* one of them has that */
    pthread_cond_t safe;           /* one of them has reached one, or everything has been dropped, or who was alone is done */
    pthread_mutex_t odd_sizes;     /* atomics that the host has no primitive for, of parallel vCPUs (mem.c) */
    struct jit *jit;               /* NULL: interpreter only */
    /* lowering's buffers, under lock */
    struct xrec *low_x;
    uint16_t *low_xop;
    uint8_t *low_start;
    unsigned low_cap;
};

/* The jump cache: the page picks one of JC_GROUPS groups, the address in the page one of JC_PLACES places. cpu->jc_pages tells
 * for each group whose it is, so that the flush of a page, which is frequent where the guest's TLB is small, leaves others'. */
enum { JC_GROUP_BITS = 8, JC_PLACE_BITS = 8, JC_GROUPS = 1 << JC_GROUP_BITS, JC_PLACES = 1 << JC_PLACE_BITS,
       JC_BITS = JC_GROUP_BITS + JC_PLACE_BITS, JC_SIZE = 1 << JC_BITS };
#define JC_EMPTY 0xffffffffu  /* in jc_pages: nothing is in the group */
#define JC_PAGE  0x000fffffu  /* jc_page() of all blocks, unless */
#define JC_MIXED 0x00100000u  /* it has blocks of several pages */
#define JC_LOCAL 0x00200000u  /* some are not global */
#define JC_TWO   0x00400000u  /* some go on to the next page */

static inline uint32_t jc_page(uint64_t pc) { return (uint32_t)pc >> CPU_PAGE_BITS; }

static inline unsigned jc_index(uint64_t pc)
{
    uint64_t page = pc >> CPU_PAGE_BITS;
    return (unsigned)(((page ^ (page >> JC_GROUP_BITS)) & (JC_GROUPS - 1)) << JC_PLACE_BITS | ((pc ^ pc >> 2 ^ pc >> 8) & (JC_PLACES - 1)));
}

static inline void jc_set(struct cpu *cpu, uint64_t pc, struct blk *b, bool global)
{
    unsigned i = jc_index(pc);
    uint32_t *whose = &cpu->jc_pages[i >> JC_PLACE_BITS];
    if (*whose == JC_EMPTY) *whose = jc_page(pc);
    else if ((*whose & JC_PAGE) != jc_page(pc)) *whose |= JC_MIXED;
    if (!global) *whose |= JC_LOCAL;
    if (b->two_pages) *whose |= JC_TWO;
    atomic_store_ptr(&cpu->jump_cache[i], b);
}

/* tlb.c. The TLB of one mode in one address space, and which groups of its entries may hold something: emptying it costs what was
 * in it, not its size. */
enum { TLB_GROUP = 16, TLB_WORDS = TLB_SIZE / TLB_GROUP / 64 };
struct tlb_table { struct tlb_entry e[TLB_SIZE]; uint64_t used[TLB_WORDS]; };

static inline struct tlb_entry *tlb_at(struct tlb_table *t, uint64_t va) { return &t->e[va >> CPU_PAGE_BITS & (TLB_SIZE - 1)]; }

/* The entry for va is about to be filled. */
static inline struct tlb_entry *tlb_use(struct tlb_table *t, uint64_t va)
{
    unsigned group = (unsigned)(va >> CPU_PAGE_BITS & (TLB_SIZE - 1)) / TLB_GROUP;
    t->used[group / 64] |= UINT64_C(1) << group % 64;
    return tlb_at(t, va);
}

/* What is known of one address space. */
struct mmu_context {
    uint64_t id, used;
    struct tlb_table *tlb[CPU_MMU_MODES]; /* of the current one: those in the CPU */
    struct blk **jump_cache;
    uint32_t *jc_pages;
};
void tlb_init(struct cpu *);
void tlb_free(struct cpu *);
void jc_flush(struct cpu *); /* all of it */
void jc_drop(struct cpu *, const struct blk *);

/* How a run of blocks ended. */
enum xexit {
    X_LOOKUP,     /* pc slot and key say where to go on; cpu->xlink: the way out that was not linked yet, or NULL */
    X_IRQ, X_HALT, X_DEBUG,
};
/* values of longjmp on cpu->unwind */
enum { UNWIND_EXCEPTION = 1, UNWIND_IO = 2, UNWIND_WATCH = 3 };

/* May the way out l be taken without asking again whether `to` is what lies there? Mappings may change between
 * pages, so in system mode only within the page that is being executed, and where the guest has no say. */
static inline bool blk_may_link(const struct link *l, const struct blk *to)
{
    if (to->one_shot || l->from->one_shot || (to->key & KEY_ONE) || (l->key != l->from->key && !l->keyed)) return false;
    if (l->from->user) return true;
    if (to->two_pages || l->from->two_pages) return false;
    return (l->from->fixed && to->fixed) || (!((l->from->pc ^ to->pc) & CPU_PAGE_MASK) && l->from->page[0] == to->page[0]);
}

/* Entries of the interpreters. */
enum xexit ref_run(struct cpu *, struct blk *);
enum xexit fast_run_goto_user(struct cpu *, struct blk *);
enum xexit fast_run_goto_sys(struct cpu *, struct blk *);
enum xexit fast_run_switch_user(struct cpu *, struct blk *);
enum xexit fast_run_switch_sys(struct cpu *, struct blk *);

/* Runs one IR op that has no record of its own; used by the reference interpreter and as a fallback. Not for control ops. */
void ref_exec_op(struct cpu *, const struct ir_op *, const uint64_t *consts);

/* Lowers an IR block to records; fills x and the marks' positions. */
void xcode_lower(struct engine *, struct cpu *, struct blk *, const struct ir_block *, struct arena *);
void ir_optimise(struct ir_builder *);

/* vec.c: a VEC op on cells; d may be a, b or c. The number is for records. */
void vec_exec(struct cpu *, const struct ir_op *, uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c);
unsigned vec_number(const struct ir_op *);
void vec_run(struct cpu *, unsigned number, uint32_t aux, uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c);

void *arena_get(struct arena *, size_t n);
void arena_free(struct arena *);
/* The block at (pc, key), translated if need be. NULL: fetching faulted, cpu->exc tells. */
struct blk *engine_lookup(struct cpu *, uint64_t pc, uint64_t key);
/* A block of at most max instructions for one use; NULL: the code is not there any more. */
struct blk *engine_translate_partial(struct cpu *, uint64_t pc, uint64_t key, unsigned max);
/* The unit at pc, made from cpu->io.code, for one use. */
struct blk *engine_translate_kept(struct cpu *, uint64_t pc, uint64_t key);
void link_set(struct engine *, struct link *, struct blk *to);
struct code_page *code_page_find(struct engine *, const uint8_t *host_page);
void engine_set_hit(struct engine *, struct debug_hit);
/* Puts exact pc, icount_left and insn_flags for cpu->xpc into the CPU; unit: at the start of the unit. */
void cpu_restore(struct cpu *, bool unit);
/* The guest instruction being executed and its block, from cpu->xpoint or cpu->xpc; NULL: none. */
struct mark *cpu_running(const struct cpu *, struct blk **);
/* Is `page` one whose code is being run? */
bool cpu_runs_page(const struct cpu *, const uint8_t *page);
/* Notes where the indirect branch of the block that runs, which has a profile, went. */
void ind_note(struct cpu *, uint64_t pc);
/* The block at (pc, key) if there is one; never translates. Lock held. */
struct blk *blk_find(struct cpu *, uint64_t pc, uint64_t key);
struct jit_block;
/* Translates b once more, for a code generator: IR copied into the arena. Lock held. False: it can't be had any more. */
bool blk_retranslate(struct cpu *, struct blk *, struct arena *, struct jit_block *);

/* mem.c */
const uint8_t *cpu_code_page(struct cpu *, uint64_t va, bool probe); /* host address of the page holding va, or NULL */
/* The same; bits: log2 of the size of the part of the page it is true of, CPU_PAGE_BITS for all of it. */
struct code_unit { unsigned bits; bool global; };
const uint8_t *cpu_code_unit(struct cpu *, uint64_t va, bool probe, struct code_unit *);
uint64_t mem_slow_ld(struct cpu *, uint64_t va, unsigned mem, unsigned mmu);
void mem_slow_st(struct cpu *, uint64_t va, uint64_t v, unsigned mem, unsigned mmu);
/* LD2, ST2: v[0] at va, v[1] at va + 8 */
void mem_slow_ld2(struct cpu *, uint64_t va, uint64_t v[2], unsigned mem, unsigned mmu);
void mem_slow_st2(struct cpu *, uint64_t va, const uint64_t v[2], unsigned mem, unsigned mmu);
void mem_fence(struct cpu *, unsigned mask); /* IR_FENCE_*; nothing while one thread runs the guest */
void user_protect_code(struct cpu *, uint64_t va);
/* Gives back what an atomic that was unwound holds (cpu->odd_locked). */
void mem_odd_unlock(struct cpu *);
uint64_t mem_cas(struct cpu *, uint64_t va, uint64_t expect, uint64_t v, unsigned mem, unsigned mmu);
uint64_t mem_rmw(struct cpu *, unsigned what, uint64_t va, uint64_t v, unsigned mem, unsigned mmu);
ATTR_NORETURN void mem_fault(struct cpu *, enum mem_fault, enum mem_access, uint64_t va);
/* Raises the fault that fetching at va gives; if there is none any more, runs the unit again. */
ATTR_NORETURN void fetch_fault(struct cpu *, uint64_t va);
void mem_protect_code(struct engine *, const uint8_t *host_page);
/* May some TLB let writes to the page through? Lock held. */
bool mem_code_open(struct engine *, const uint8_t *host_page);

/* engine.c. Between these no other vCPU is inside a block or a helper. In engine_run of a parallel vCPU, between blocks, no lock held. */
void engine_alone_begin(struct cpu *);
void engine_alone_end(struct cpu *);

struct tlb_table *cpu_tlb_of(struct cpu *, unsigned mmu);

/* fp.c */
void fp_enter(struct cpu *);  /* before and after running blocks: the host's FP flags become the guest's and back */
void fp_leave(struct cpu *);

#endif
