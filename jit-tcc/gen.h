/*
 * gen.h - what the files that write a region's C text share: gen.c (the walk over blocks and ops), gen-cell.c (operands, points, the
 * choice of locals), gen-mem.c (memory, calls), gen-fp.c. They write in the last pass only (PUT); in those before, they say
 * what becomes valid and dirty.
 */
#ifndef JIT_TCC_GEN_H
#define JIT_TCC_GEN_H

#include "jit-tcc/tcc.h"

enum pass { FIND_VALID, FIND_DIRTY, WRITE };
enum { NAME = 48, MAX_EXITS = 512 };

struct join { struct set valid, dirty; bool reached; };  /* the start of a block, or a label */

struct gen {
    const struct jit_region *r;
    const struct guest *g;
    struct tcc_code *code;
    struct text *o;
    uint32_t *needs;
    enum pass pass;
    bool changed, fp, f2i;        /* floating point there is; conversions to integers are */
    const char *why;
    /* slots */
    int16_t *local_of;            /* index in code->locals, or -1: used in its cell */
    struct set helper_class[SLOT_CLASSES]; /* locals of a class */
    struct set preload;
    unsigned mmu;                 /* system mode: whose TLB is at hand */
    /* where the walk is */
    unsigned bi, at;              /* block, op */
    const struct jit_block *b;
    unsigned mark;
    uint32_t number;              /* point of the current instruction, 0: none yet */
    bool dead, key_known;
    struct set valid, dirty;
    struct join *blocks, *labels; /* labels: those of all blocks, from label_at[block] */
    unsigned label_at[JIT_MAX_BLOCKS];
    struct set exits[MAX_EXITS];
    unsigned n_exits;
};

#define PUT(...)                                                                                   \
    do {                                                                                           \
        if (g->pass == WRITE) text_put(g->o, __VA_ARGS__);                                         \
    } while (0)
#define CPU(field) ((unsigned)offsetof(struct cpu, field))
#define U64(x) ((unsigned long long)(x))

static inline const char *gen_cell_type(bool wide) { return wide ? "u64" : "u32"; }

/* ---- gen-cell.c ---- */

/* Sets g->local_of, the locals, and what of floating point there is. False: no memory. */
bool gen_choose_locals(struct gen *);
/* Makes local l valid; stores those locals of a set in their cells. */
void gen_load(struct gen *, unsigned l);
void gen_store(struct gen *, const struct set *which);
/* The text (NAME bytes) of an input, whose local is loaded before; of an output, which the caller then writes. */
void gen_use(struct gen *, char *s, ir_id);
void gen_define(struct gen *, char *s, ir_id);
/* A new entry of points[] for what comes next; of ops[]. What they return is meant for the last pass. */
unsigned gen_point(struct gen *, unsigned mem, unsigned mmu, unsigned what, helper_fn, const struct set *dirty);
unsigned gen_keep_op(struct gen *, const struct ir_op *);

/* ---- gen-mem.c ---- */
void gen_ld(struct gen *, const struct ir_op *);
void gen_st(struct gen *, const struct ir_op *);
void gen_atomic(struct gen *, const struct ir_op *);
void gen_call(struct gen *, const struct ir_op *);
/* An op by jit_op(). */
void gen_other(struct gen *, const struct ir_op *);

/* ---- gen-fp.c ---- */
/* FCMP, FMA, FROUND, FMIN, FMAX and the ops of the classes FP and FPCV. */
void gen_fp(struct gen *, const struct ir_op *);

#endif
