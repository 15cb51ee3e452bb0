/*
 * cpu.h - a vCPU as the engine sees it, and what an ISA must tell the engine (struct guest).
 *
 * An ISA's own CPU structure begins with `struct cpu c;`. Slots lie anywhere in its first 64 KiB.
 * The engine knows no ISA: it reaches state through the slot table and behaviour through
 * `struct guest`; it knows no board and no OS: memory and code come through `struct cpu_world`.
 *
 * Byte order: cells are in host order; memory operations carry the guest's byte order.
 */
#ifndef INTERP_CPU_H
#define INTERP_CPU_H

#include "interp/ir.h"
#include "util/softfloat.h"

#include <setjmp.h>

/* ---- slots: the register table ------------------------------------------------------------ */
enum slot_class { /* also the bits of helper effect masks: 1u << class */
    SLOT_GPR, SLOT_FPR, SLOT_VEC, SLOT_FLAG, SLOT_PC, SLOT_MODE, SLOT_SYS, SLOT_SPECIAL, SLOT_CLASSES
};
#define SLOTS_ALL 0xffffffffu
struct slot_desc {
    const char *name;     /* the ISA manual's register name, as $name in the monitor */
    uint32_t offset;      /* in the ISA's CPU structure */
    uint8_t type;         /* enum ir_type */
    uint8_t cls;          /* enum slot_class */
};

/* ---- helpers: C functions that IR may call -------------------------------------------------- */
typedef uint64_t (*helper_fn)(struct cpu *, uint64_t a, uint64_t b, uint64_t c);
enum helper_flag {
    HELPER_PURE = 1,      /* no effect but its result, and the result depends on its arguments alone */
    HELPER_RAISE = 2,     /* may call cpu_raise */
    HELPER_MEM = 4,       /* may access guest memory (and so raise) */
    HELPER_TIME = 8,      /* needs exact icount or touches devices and interrupts; only in an instruction
                             after which the block ends */
};
struct helper_desc {
    const char *name;
    helper_fn fn;
    uint8_t flags;            /* enum helper_flag */
    uint32_t reads, writes;   /* slot classes (1u << SLOT_*) it may read and write */
};

/* ---- memory ------------------------------------------------------------------------------ */
enum mem_access { ACCESS_READ, ACCESS_WRITE, ACCESS_EXEC };
enum mem_fault { FAULT_ALIGN, FAULT_BUS /* nothing answers at that physical address */, FAULT_USER /* user mode: page not accessible */ };

/* What the guest's MMU says about a virtual address. */
struct mmu_hit {
    uint64_t phys;        /* physical address of va itself */
    uint8_t prot;         /* MMU_R | MMU_W | MMU_X */
    uint8_t page_bits;    /* log2 of the page's size; smaller than CPU_PAGE_BITS: never cached, and code there is translated anew
                             each time it runs */
    bool uncached;        /* informative */
    bool global;          /* the same in all contexts (cpu_mmu_context()) */
};
enum { MMU_R = 1, MMU_W = 2, MMU_X = 4 };
#define CPU_PAGE_BITS  12
#define CPU_PAGE_SIZE  (1u << CPU_PAGE_BITS)
#define CPU_PAGE_MASK  (~(uint64_t)(CPU_PAGE_SIZE - 1))
#define CPU_MMU_MODES  16
#define CPU_CONTEXTS   8
#define CPU_GUARD      ((uint64_t)1 << 18)
/* for guests with addresses of 64 bits: a word, times 8, may be added. Only where address space is plentiful */
#if defined __x86_64__
#define CPU_GUARD64    ((uint64_t)1 << 35)
#else
#define CPU_GUARD64    CPU_GUARD
#endif

/* What lies at a physical page. */
struct phys_page {
    uint8_t *host;        /* RAM or ROM: host address of the page's first byte; NULL: MMIO or nothing */
    bool readonly;        /* writes go through mmio_write (ROM, flash) */
};

/* The surroundings of a CPU: one per machine (system) or process (user). */
struct cpu_world {
    bool user;            /* user mode: no MMU; guest address + cpu->ubase is the host address */
    /* user mode: host page for code at va, or NULL when it is not executable/readable there */
    const uint8_t *(*user_code)(struct cpu *, uint64_t va);
    /* user mode: the page is about to hold translated code: make writes to it visible (mprotect) */
    void (*user_code_page)(struct cpu *, uint64_t va);
    /* user mode, for debuggers: host address of va if it may be read (or, made writable for a moment, written);
     * user_debug_done ends such a write. May be NULL. */
    uint8_t *(*user_debug)(struct cpu *, uint64_t va, bool write);
    void (*user_debug_done)(struct cpu *, uint64_t va);
    /* system mode. The opaque is cpu->bus. Values on the bus: lowest address = least significant byte.
     * Reads and writes return false when nothing answers (bus error). size: 1, 2, 4, 8 */
    void (*phys_page)(void *bus, uint64_t pa, struct phys_page *);
    bool (*mmio_read)(void *bus, struct cpu *, uint64_t pa, unsigned size, uint64_t *value);
    bool (*mmio_write)(void *bus, struct cpu *, uint64_t pa, unsigned size, uint64_t value);
};

struct tlb_entry {        /* va page in the tag when valid, all ones when not */
    uint64_t rd, wr;      /* tags; TLB_SLOW bit set: go through the slow path; where wr says no such thing rd does not either */
    uintptr_t addend;     /* host address = va + addend */
    uint64_t phys;        /* physical page */
};
#define TLB_BITS  12     /* 16 MiB of pages: what decompresses a kernel goes back and forth in more than 4 */
#define TLB_SIZE  (1u << TLB_BITS)
#define TLB_SLOW  0x800u  /* in a tag: never equal to a page address */
#define TLB_IO    0x400u  /* with TLB_SLOW: no memory, a device at phys */
#define TLB_GLOBAL 1u     /* in phys: so in all contexts */
#define TLB_ROM   0x200u  /* with TLB_SLOW, in the write tag: memory that is not written like that */

/* ---- what an ISA tells the engine ----------------------------------------------------------- */
struct guest_x87;
struct guest {
    const char *name;                     /* "mips32" */
    const struct slot_desc *slots;
    unsigned n_slots;
    const struct helper_desc *helpers;
    unsigned n_helpers;
    ir_id pc_slot;                        /* exact only outside of blocks and in exceptions */
    const struct guest_x87 *x87;          /* interp/x87.h, or NULL */
    ir_id lazy_first;                     /* n_lazy slots (at most 6) that most instructions write and few read, such as what flags */
    unsigned n_lazy;                      /* are made of: code generators do the writes when somebody looks. No writes by devices */
    uint8_t addr_type;                    /* type of addresses and of the pc slot */
    size_t cpu_size;                      /* sizeof the ISA's CPU structure */
    bool no_fp_notes;                     /* cpu_fp_last_flags() is never called */
    bool sse_fp;                          /* the rules in cpu->fp are always those of SSE (NaNs, tininess); rounding, flushing may change */
    bool watch_after;                     /* debuggers expect a watchpoint to be told behind the instruction that hit it, not before (x86) */
    bool ordered;                         /* a CPU's stores are seen by others in their order, and its loads happen in theirs (x86) */
    bool open_bus;                        /* system mode: there are no bus errors. Where nothing answers, reads give all ones */
    /* Translates one block from b->blk.pc in mode b->blk.key. See isa/isa.h for the rules. */
    void (*translate)(struct ir_builder *b);
    /* System mode: va -> phys. False: cpu->exc holds the exception. probe: leave cpu->exc and MMU state alone. Where data and
     * code are in different modes, the mode is the data's and ignored for ACCESS_EXEC. */
    bool (*mmu)(struct cpu *, uint64_t va, enum mem_access, unsigned mmu_mode, bool probe, struct mmu_hit *);
    /* Fills cpu->exc for a fault the engine found. */
    void (*fault)(struct cpu *, enum mem_fault, enum mem_access, uint64_t va);
    /* System mode: enter the exception in cpu->exc (pc slot holds the faulting instruction, cpu->insn_flags its INSN flags). */
    void (*exception)(struct cpu *);
    /* System mode: if an enabled interrupt is pending, enter it and return true. Clears halted. */
    bool (*interrupt)(struct cpu *);
    /* System mode: would an interrupt wake the halted cpu? */
    bool (*has_work)(struct cpu *);
    /* System mode: the id for cpu_mmu_context() in the present state. May be NULL: always 0 */
    uint64_t (*mmu_context)(struct cpu *);
    /* System mode: is the physical address of va always the same, whatever the guest does? Ways between such addresses are not
     * checked again. May be NULL: never */
    bool (*fixed)(uint64_t va);
    /* MMU mode for data and code in the current state (monitor, gdb, fetch) */
    unsigned (*mmu_mode)(struct cpu *);
    /* for -d in_asm; as isa.disas (isa/isa.h). May be NULL */
    unsigned (*disas)(const struct cpu *, uint64_t key, uint64_t pc, const uint8_t *bytes, size_t n, char *out, size_t size);
    /* for -d cpu; as isa.dump (isa/isa.h). May be NULL */
    void (*dump)(struct cpu *, void (*put)(void *, const char *text), void *opaque, bool fpu);
};

/* ---- the vCPU ------------------------------------------------------------------------------ */
struct exception {
    uint32_t code;        /* ISA's numbering; 0 is a valid code */
    uint32_t sub;         /* ISA's detail (coprocessor number, trap code, signal code in user mode) */
    uint64_t addr;        /* bad address, where there is one */
};

/* How the host's floating point may be used. */
enum fp_fast {
    FP_FAST = 1,          /* round to nearest, no flushing: the host's results and flags are the guest's */
    FP_FAST_TINY = 2,     /* but results that may be tiny are softfloat's: the guest and the host differ in when they detect tininess */
    FP_FAST_FMA = 4,      /* the host has a fused multiply-add */
    FP_FAST_DENORMAL = 8, /* the host's flag for denormal operands is the guest's, too: nothing but the guest's operations may raise it */
};

struct arena { struct arena_chunk *chunks; size_t used; };

/* A memory page at physical address pa; pa all ones: none. */
struct phys_near { uint64_t pa; uint8_t *host; bool readonly; };
enum { PHYS_NEAR = 64 };

struct engine;
struct blk;
struct link;

/* Device accesses made by the unit that is being executed, so that it can be run again without making them again. */
struct io_access { uint64_t phys, value; uint8_t size; bool write; };
enum { IO_LOG = 8, IO_CODE = 32 };
struct io_log {
    uint64_t unit;                   /* the instruction count at which the unit began */
    /* Most accesses are the only ones of their block: what `unit` is for the first is worked out when there is a second. */
    int64_t left;                    /* instructions left then, this block charged; INT64_MIN: none in this run of blocks */
    uint32_t xpoint;                 /* and the CPU's fields of these names */
    const void *xpc;
    struct blk *xblk;
    bool late;                       /* unit is still to be worked out from these */
    uint8_t n, at;                   /* accesses noted; the next to be repeated */
    bool replay;                     /* the unit is being run again */
    uint8_t n_code;                  /* not 0: its code as it was, as an access has changed what lies there */
    uint8_t code[IO_CODE];
    struct io_access e[IO_LOG];
};

/* The last FP operation whose per-operation flags may be asked for later (MIPS Cause, SPARC cexc...). */
struct fp_note { uint64_t a, b, c; uint32_t op; /* opcode | type << 16 */ uint32_t aux; };

struct cpu {
    const struct guest *guest;
    const struct cpu_world *world;
    void *bus;                       /* system: passed to the world's callbacks */
    struct engine *engine;
    int index;                       /* number of the vCPU */

    /* running */
    int64_t icount_left;             /* instructions until the engine must look up; exact outside blocks */
    uint64_t icount;                 /* instructions retired before the current budget was given */
    int64_t icount_budget;
    int64_t icount_reserve;          /* part of the budget not yet in icount_left: it is handed out in slices */
    uint64_t key;                    /* current mode: selects blocks together with pc. Kept by the ISA */
    uint32_t kick;                   /* nonzero: leave at the next block boundary (atomic access) */
    uint32_t flush_soon;             /* nonzero: the TLB is to be flushed before the next run (atomic access) */
    bool halted;
    bool step_over_break;            /* the first instruction of the next block ignores a breakpoint on it */
    bool parallel;                   /* other threads run vCPUs on this memory: atomics must be real */
    bool odd_locked;                 /* holds the engine's odd_sizes */
    const void *xpc;                 /* record (or, in reference mode, op) being executed, set before whatever may unwind */
    struct blk *xblk;                /* its block */
    uint32_t xpoint;                 /* in compiled code: the point (interp/jit.h) of what may unwind; else 0 */
    struct link *xlink;              /* the unresolved way out of it */
    uint32_t insn_flags;             /* INSN flags of the instruction that raised */
    struct exception exc;
    jmp_buf *unwind;                 /* dispatcher's */

    struct io_log io;
    struct arena scratch;            /* for a block of one use */

    /* memory */
    uint8_t *ubase;                  /* user mode. 32-bit addresses, 64-bit host: 4 GiB and a page from here are the guest's, as
                                        accesses beyond ulimit are tried too. 64-bit host: nothing is ever mapped in CPU_GUARD
                                        (CPU_GUARD64, by the guest's addr_type) bytes before and after the guest's, where sums
                                        of addresses may end up */
    uint64_t ulimit;                 /* user mode: guest addresses at or above it fault without being tried */
    struct tlb_table *tlb[CPU_MMU_MODES]; /* system mode; see block.h */
    struct tlb_entry *tlb_now;       /* the TLB_SIZE entries of the one of the current MMU mode, mmu_now */
    unsigned mmu_now;
    struct blk **jump_cache;
    uint32_t *jc_pages;              /* see block.h */
    struct mmu_context *contexts[CPU_CONTEXTS]; /* the first ones are there; tlb, jump_cache, jc_pages are those of the current one */
    unsigned context;                /* its number */
    uint64_t context_clock;          /* counts changes */
    struct phys_near *phys_near;     /* system mode: what the world said last of PHYS_NEAR pages; see cpu_phys_page() */
    uint8_t *written_pages;          /* system mode: of each page_hash(), whether a TLB entry may let writes to such a page through */

    /* floating point */
    struct fp_env fp;                /* the ISA keeps rounding and rules here; flags: cpu_fp_flags() */
    struct fp_note fp_note;
    uint8_t fp_fast;                 /* enum fp_fast; 0: softfloat only. Set by cpu_fp_changed() */

    uint64_t temps[IR_MAX_TEMPS];    /* temporaries of the running block (scratch) */
};

/* Allocates guest->cpu_size zeroed bytes and sets up the common part (TLBs in system mode). */
struct cpu *cpu_new(const struct guest *, const struct cpu_world *, struct engine *, void *bus, int index);
void cpu_delete(struct cpu *);

static inline void *cpu_slot(struct cpu *cpu, ir_id slot) { return (char *)cpu + cpu->guest->slots[slot].offset; }
uint64_t cpu_get_slot(struct cpu *, ir_id slot);
void cpu_set_slot(struct cpu *, ir_id slot, uint64_t value);
int cpu_find_slot(const struct guest *, const char *name); /* -1: none */

/* Leaves the running block with precise state and takes the exception in cpu->exc. For helpers and
 * guest callbacks while a block runs. */
ATTR_NORETURN void cpu_raise(struct cpu *);
/* The instruction count now; exact also inside helpers. */
uint64_t cpu_icount(struct cpu *);
/* -d cpu, cpu_reset: the registers into the log */
void cpu_log_state(struct cpu *);
/* May a host fault now be a guest access? For signal handlers, after cpu_host_fault. */
static inline bool cpu_in_code(const struct cpu *cpu) { return cpu->xpc || cpu->xpoint; }
/* A host fault (SIGSEGV, SIGBUS) came in while the cpu ran: if that was in compiled code, makes its state exact, as it
 * always is in interpreted code. Async-signal safe. */
void cpu_host_fault(struct cpu *, const void *ucontext);
/* Asks the cpu to leave at the next block boundary; any thread, async-signal safe. */
void cpu_kick(struct cpu *);

/* System mode: what lies at the physical page pa (a multiple of CPU_PAGE_SIZE), as the world says. */
static inline struct phys_page cpu_phys_page(struct cpu *cpu, uint64_t pa)
{
    struct phys_near *n = &cpu->phys_near[(pa >> CPU_PAGE_BITS) % PHYS_NEAR];
    struct phys_page p = { n->host, n->readonly };
    if (likely(n->pa == pa)) return p;
    p = (struct phys_page){ NULL, false };
    cpu->world->phys_page(cpu->bus, pa, &p);
    if (p.host) *n = (struct phys_near){ pa, p.host, p.readonly };
    return p;
}

/* TLB upkeep, for ISAs: all modes and contexts. To be called, too, when the world puts something else at physical addresses. */
void cpu_tlb_flush(struct cpu *);
void cpu_tlb_flush_soon(struct cpu *);  /* any thread: now, or where others run vCPUs on this memory before the vCPU's next run, which is soon */
void cpu_tlb_flush_local(struct cpu *); /* what is global stays */
void cpu_tlb_flush_page(struct cpu *, uint64_t va);
void cpu_tlb_flush_range(struct cpu *, uint64_t va, uint64_t size);
/* Address spaces (ASID, PCID): translations asked for from now on, unless struct mmu_hit calls them global, belong to `id`, and
 * those of id from before are back; what is taken from another one meanwhile must be flushed there. An ISA that says
 * nothing has one context, 0. May be called while a block runs, by a helper with which the block ends. */
void cpu_mmu_context(struct cpu *, uint64_t id);
void cpu_tlb_flush_range_in(struct cpu *, uint64_t id, uint64_t va, uint64_t size);

/* For guest.mmu, which marks what it has used: replaces the `size` (4 or 8) bytes at host, of RAM, by `value` if they are `expect`,
 * both little-endian, at once for all vCPUs. Whether it did; if not, somebody else was faster. */
bool cpu_host_cas(struct cpu *, uint8_t *host, unsigned size, uint64_t expect, uint64_t value);

/* Guest memory by virtual address in the CPU's current mode, from helpers (HELPER_MEM): faults raise.
 * mem = IR_M* attributes. */
uint64_t cpu_ld(struct cpu *, uint64_t va, unsigned mem, unsigned mmu_mode);
void cpu_st(struct cpu *, uint64_t va, uint64_t value, unsigned mem, unsigned mmu_mode);
/* Asks for the faults of an access to n (at most CPU_PAGE_SIZE) bytes at va without making it: raises the first, in address
 * order. acc: ACCESS_READ or ACCESS_WRITE. Then returns the host address, if the range is memory (inside one page in system
 * mode) that may be accessed directly until the helper returns; NULL: use cpu_ld and cpu_st (a device, code, a watchpoint,
 * two pages). For HELPER_MEM helpers that must fault before they change anything, or that move many bytes. */
uint8_t *cpu_probe(struct cpu *, uint64_t va, unsigned n, enum mem_access acc, unsigned mmu_mode);
/* For HELPER_MEM helpers that do something which must not be done twice and then store n (at most 8) bytes at va by cpu_st: what may
 * unwind (faults, watchpoints, running code that is stored to) does so here, the store does not. */
void cpu_before_st(struct cpu *, uint64_t va, unsigned n, unsigned mmu_mode);
/* Compares 16 bytes at va with `expect` and stores `value` if they are equal; `old` gets what was there. [0] is the doubleword
 * at va, [1] that at va + 8, each in the byte order of mem (IR_MBE); IR_MALIGN: va must be a multiple of 16. Atomic
 * under the same conditions as CAS. For HELPER_MEM helpers. Returns whether it stored. */
bool cpu_cas128(struct cpu *, uint64_t va, const uint64_t expect[2], const uint64_t value[2], uint64_t old[2], unsigned mem, unsigned mmu_mode);
/* The same for debuggers: never raise, no side effects on MMIO; bytes as they lie in memory. Both worlds.
 * Return false if some byte is not accessible. Writes reach read-only memory and drop stale code. */
bool cpu_debug_read(struct cpu *, uint64_t va, void *buf, size_t n);
bool cpu_debug_write(struct cpu *, uint64_t va, const void *buf, size_t n);

/* The ISA changed cpu->fp (rounding, flushing, NaN rules). */
void cpu_fp_changed(struct cpu *);
/* Accumulated IEEE flags (enum fp_flag), harvested from the host when needed. */
unsigned cpu_fp_flags(struct cpu *);
void cpu_fp_set_flags(struct cpu *, unsigned flags);
/* One FP operation of the IR by softfloat, in cpu->fp, noted for cpu_fp_last_flags: for helpers of ISAs that must see its
 * flags at once. op, type, attr, aux as in struct ir_op. */
uint64_t fp_exec(struct cpu *, unsigned op, unsigned type, unsigned attr, uint32_t aux, uint64_t a, uint64_t b, uint64_t c);
/* For a SIGSEGV handler that is about to call cpu_raise: the host's FP flags of the interrupted code lie in the
 * signal's context (ucontext_t) and would be lost. Async-signal safe. */
void cpu_fp_signal(struct cpu *, const void *ucontext);
/* Flags that the last noted FP operation raised, recomputed (see fp_note). */
unsigned cpu_fp_last_flags(struct cpu *);

#endif
