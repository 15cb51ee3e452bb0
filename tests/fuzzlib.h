/*
 * fuzzlib.h - what the fuzzers of the engine share: a toy guest whose code is IR kept as data, small worlds to run it in
 * (system and user style), random programs, and a reducer.
 *
 * A program is a table of instructions, each a few IR ops. A word of code memory selects one (word modulo their number),
 * so a store into code memory makes other code of it. Everything a backend sees is made by the engine from this, in the
 * ordinary way: blocks, links, regions, faults, budgets.
 */
#ifndef TESTS_FUZZLIB_H
#define TESTS_FUZZLIB_H

#include "interp/block.h"
#include "interp/jit.h"

#include <stdio.h>

/* ---- the toy guest ---- */
enum {
    FZ_N32 = 8, FZ_N64 = 8, FZ_NV = 8,          /* r0..r7: I32, q0..q7: I64, v0..v7: I64, for vectors */
    FZ_V = FZ_N32 + FZ_N64, FZ_MAP = FZ_V + FZ_NV, FZ_KEY, FZ_PC, FZ_SLOTS,
    FZ_PAGES = 8, FZ_MEM = FZ_PAGES * 4096,
    FZ_DATA = 0x1000,                           /* two pages to read and write; page 0: read only in system mode */
    FZ_DEVICE = 0x3000,                         /* system: a device; user: nothing */
    FZ_RDONLY = 0x4000,
    FZ_CODE = 0x5f80, FZ_WORDS = 64,            /* code lies on both sides of a page's end */
    FZ_OTHER = 0x7000,                          /* system: what page 6 shows while the slot `map` is odd */
};
#define FZ_SLOT_R(n) ((ir_id)(n))
#define FZ_SLOT_Q(n) ((ir_id)(FZ_N32 + (n)))
#define FZ_SLOT_V(n) ((ir_id)(FZ_V + (n)))
enum { FZ_VTEMP = 2 };  /* t_type of a temporary of 16 bytes */

/* helpers, by index */
enum { FZ_H_MIX, FZ_H_BUMP, FZ_H_RAISE, FZ_H_READ, FZ_H_WRITE, FZ_H_LOAD, FZ_H_KICK, FZ_H_REMAP, FZ_HELPERS };

/* One IR op; operands are slots, temporaries and constants of its instruction. Ops with a link: aux = index in links. */
struct fz_link { uint32_t pc; uint8_t key, hint; };
enum { FZ_OPS = 16, FZ_TEMPS = 16, FZ_CONSTS = 16, FZ_LINKS = 2, FZ_INSNS = 96 };
struct fz_insn {
    struct ir_op ops[FZ_OPS];
    uint64_t k[FZ_CONSTS];
    uint8_t k_type[FZ_CONSTS], t_type[FZ_TEMPS];
    struct fz_link link[FZ_LINKS];
    uint8_t n_ops, n_k, n_t, n_links;
    uint8_t delay;      /* nonzero: the next word is executed before the op at delay - 1 (a delay slot) */
};
struct fz_prog {
    unsigned n;
    struct fz_insn insn[FZ_INSNS];
    uint32_t r[FZ_N32];
    uint64_t q[FZ_N64];
    uint32_t word[2 * FZ_WORDS];      /* code memory, and the first half of FZ_OTHER */
    uint64_t mem_seed;                /* of the data pages */
    uint32_t budget_seed;
    uint16_t steps, most;             /* runs, and instructions of a run at most */
    uint8_t user, wide;               /* style; addresses of 64 bits */
    uint8_t fp_round;                 /* enum fp_round */
};

/* ---- sides: an engine with a CPU and memory of its own ---- */
struct fz_side;
struct fz_side *fz_open(const struct engine_config *, bool user, bool wide, struct error *);
void fz_close(struct fz_side *);
/* Puts memory, code and registers as prog says. The program must live as long as it is run. */
void fz_start(struct fz_side *, const struct fz_prog *prog);
/* One engine_run; in user mode an exception is taken. What it returned. */
enum run_exit fz_run(struct fz_side *, unsigned budget);
struct cpu *fz_cpu(struct fz_side *);
struct engine *fz_engine(struct fz_side *);
/* All memory, readable now. */
uint8_t *fz_mem(struct fz_side *);
void fz_mem_done(struct fz_side *);
/* Equal in all that a guest can see? If f: differences are printed, `a` as what is wanted. */
bool fz_equal(struct fz_side *a, struct fz_side *b, FILE *f);

/* ---- engines under test ---- */
struct fz_engine { char name[48]; struct engine_config cfg; };
/* "ref", "goto", "switch", or a backend ("native"), with ":" and properties of -accel after it. */
int fz_engine_parse(struct fz_engine *, const char *text, struct error *);
/* The interpreters, the null backend, and each backend that is built in or found as a module. The end has an empty name. */
unsigned fz_engines(struct fz_engine *list, unsigned room, bool slow_too);
/* QUERN_MODULE_PATH is made to name the build's folder if it is not set. */
void fz_init(void);
/* What is being done, told when the program crashes. */
extern char fz_doing[160];

/* Types of the operands and the result of an op between widths or formats. */
bool fz_conv_types(unsigned op, unsigned *in, unsigned *out);
/* Does it make an integer of a float? */
bool fz_float_to_int(unsigned op);

/* ---- programs ---- */
/* Kinds of ops that are left out, while a backend has a known fault in them. */
enum { FZ_NO_VEC = 1, FZ_NO_PAIR = 2, FZ_NO_VALUES = 4, FZ_NO_FLOAT = 8, FZ_NO_NOTES = 16 };
extern unsigned fz_without;
uint64_t fz_random(uint64_t *state);
uint64_t fz_value(uint64_t *rng, unsigned type);
void fz_generate(struct fz_prog *, uint64_t seed);
void fz_print(const struct fz_prog *, FILE *);
/* As text that fz_read takes. */
void fz_write(const struct fz_prog *, FILE *);
int fz_read(struct fz_prog *, const char *path, struct error *);
/* Runs prog from its start on both sides. -1: equal; else the step after which they differ. */
int fz_compare(struct fz_side *a, struct fz_side *b, const struct fz_prog *, FILE *f);
/* Makes a failing program smaller as long as fails() says so. */
void fz_reduce(struct fz_prog *, bool (*fails)(void *, const struct fz_prog *), void *opaque);

#endif
