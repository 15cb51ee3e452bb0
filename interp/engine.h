/*
 * engine.h - running vCPUs: configuration, the run loop, code invalidation, breakpoints.
 *
 * One engine serves all vCPUs that share memory (a machine or a process).
 */
#ifndef INTERP_ENGINE_H
#define INTERP_ENGINE_H

#include "interp/cpu.h"

enum engine_mode {
    ENGINE_REF,     /* unoptimised IR, soft FP, checks on: the reference */
    ENGINE_FAST,    /* xcode records */
};

struct engine_config {
    enum engine_mode mode;
    bool portable_switch;   /* dispatch by switch even where computed goto is available */
    bool soft_fp;           /* never use host FP */
    bool no_fuse;           /* no superinstructions */
    unsigned max_block;     /* instructions per block, 0 = default (64); 1 = -singlestep */
    size_t cache_size;      /* bytes for translated blocks, 0 = default */
    /* the JIT (interp/jit.h) */
    const struct jit_backend *backend; /* NULL: interpreter only */
    unsigned threshold;     /* runs of a block before it is compiled, 0 = the backend's default */
    unsigned threshold2;    /* runs of compiled blocks before a region is made of them, 0 = default */
    bool no_regions;        /* single blocks only */
    bool sync;              /* compile in the vCPU's thread, at once */
    bool async;             /* never do so; neither: as the backend likes it */
    bool perfmap;           /* write /tmp/perf-PID.map */
    bool gdb;               /* announce compiled code to a debugger of this process */
    uint32_t chaos;         /* nonzero: seed for random thresholds and flushes (a test mode; results must not change) */
    size_t code_size;       /* bytes of code memory, 0 = default */
    bool threads;           /* a machine's vCPUs run in threads of their own, at the same time (machines/threads.h) */
};

struct engine *engine_new(const struct engine_config *, struct error *);
void engine_delete(struct engine *);
const struct engine_config *engine_get_config(const struct engine *);

enum run_exit {
    RUN_BUDGET,     /* the budget is used up (never exceeded by more than one unit, i.e. a branch and its delay slot) */
    RUN_KICKED,
    RUN_HALTED,     /* waits for an interrupt and none is pending */
    RUN_EXCEPTION,  /* user mode: cpu->exc, pc slot at the instruction */
    RUN_DEBUG,      /* breakpoint or watchpoint: engine_debug_hit */
};

/* Runs until `budget` more instructions have retired, or something else ends it. In system mode exceptions
 * and interrupts are taken inside (interrupts at block boundaries; MMIO ends its block). */
enum run_exit engine_run(struct cpu *, uint64_t budget);

/* Host memory at [host, host + n) that may hold translated code was written behind the CPU's back (DMA, debugger, loader). */
void engine_code_written(struct engine *, const void *host, size_t n);
/* The world has put something else at physical addresses; after cpu_tlb_flush(), by the cpu that runs or any. */
void engine_map_changed(struct engine *, struct cpu *);
/* User mode, in the SIGSEGV handler: was the fault a write to a page write-protected because of code? Then its
 * blocks are dropped and the caller makes the page writable and retries. */
bool engine_code_page_fault(struct engine *, const void *host);
/* The same for the pages of [host, host + n); open(opaque) makes them writable. Until it returns no thread translates: code that
 * was read before the write would stay unseen. */
bool engine_code_pages_open(struct engine *, const void *host, size_t n, void (*open)(void *), void *opaque);
/* User mode, in the SIGSEGV handler once such a page is writable again: if the running block lies on it, and does not end
 * with the store, this does not return: the block is left and the store is done anew, alone, so that what follows is
 * the code that is there then. */
void engine_code_page_own(struct cpu *, const void *host);
void engine_flush(struct engine *);  /* drop all code; safe point: no block running */

/* User mode, in the SIGSEGV handler: compiled code (cpu->xpoint is set by cpu_host_fault) did an access beyond ulimit or in the
 * guard areas (see ubase), where sums of addresses are not wrapped: does not return; the unit is run again, alone, by
 * the interpreter. */
ATTR_NORETURN void engine_run_again(struct cpu *);

/* Debugging. Addresses are virtual. */
void engine_break_insert(struct engine *, uint64_t va);
void engine_break_remove(struct engine *, uint64_t va);
bool engine_break_at(const struct engine *, uint64_t va);
enum watch_kind { WATCH_READ = 1, WATCH_WRITE = 2, WATCH_ACCESS = 3 };
int engine_watch_insert(struct engine *, uint64_t va, uint64_t len, enum watch_kind);
int engine_watch_remove(struct engine *, uint64_t va, uint64_t len, enum watch_kind);
struct debug_hit { bool watch; enum watch_kind kind; uint64_t addr; int cpu; /* its index */ };
struct debug_hit engine_debug_hit(const struct engine *);

/* `info jit` */
struct engine_stats { uint64_t blocks, block_bytes, guest_insns, lookups, translations, invalidations, flushes; };
void engine_get_stats(const struct engine *, struct engine_stats *);
/* The text of the instruction at pc, "" if it cannot be read. n: its length in bytes; 0: as long as they get. */
void engine_disas(struct cpu *, uint64_t pc, uint64_t key, unsigned n, char *text, size_t size);
/* For reports: what the engine makes of the block at (pc, key), line by line: the guest's instructions, IR, optimised IR,
 * the host code that contains it. Nothing is running. */
enum engine_explain { EXPLAIN_GUEST = 1, EXPLAIN_IR = 2, EXPLAIN_OPT = 4, EXPLAIN_HOST = 8 };
void engine_explain(struct cpu *, uint64_t pc, uint64_t key, unsigned what, void (*put)(void *, const char *line), void *opaque);
/* Instructions of the block at (pc, key); 0: there is none. */
unsigned engine_block_at(struct cpu *, uint64_t pc, uint64_t key);
/* A process is about to end without engine_delete(): what the engine has outside of it is ended and removed. */
void engine_leave(struct engine *);
/* Around fork of a user-mode process: before it, and after it in both (child: locks are as if just made). */
void engine_before_fork(struct engine *);
void engine_after_fork(struct engine *, bool child);

#endif
