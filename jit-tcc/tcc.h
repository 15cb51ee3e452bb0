/*
 * tcc.h - what the files of the libtcc backend share: text.c (C text of ops), gen*.c (C text of regions), jit-tcc.c (compiling
 * it, and what compiled code calls). Private to jit-tcc/.
 *
 * One region becomes one C function. Its registers are members of a struct on its stack, laid out as struct frame says; in
 * front of every op that may fault the function stores in there a number that selects an entry of points[]. So a fault, or
 * a slow path, finds what has to go to which cell, with no code of the region's own for it.
 */
#ifndef JIT_TCC_TCC_H
#define JIT_TCC_TCC_H

#include "interp/jit.h"

extern const struct jit_services *tcc_svc;

/* ---- text ------------------------------------------------------------------------------------------ */

struct text {
    char *s;
    size_t n, cap;
    bool failed;              /* no memory */
};
void text_put(struct text *, const char *fmt, ...) ATTR_PRINTF(2, 3);
void text_free(struct text *);

/* Operands of an op as text; unused ones NULL. */
struct operands { const char *a, *b, *c; };
/* Builds the tables; asm_ok: inline assembly of x86 may be used. */
void tcc_text_init(bool asm_ok);
/* Appends the value of a PURE or CONV op. False: it has no text here. *needs gets bits of prelude functions. */
bool tcc_text_pure(struct text *, unsigned op, unsigned type, uint32_t aux, const struct operands *, uint32_t *needs);
void tcc_text_cond(struct text *, unsigned cond, unsigned type, const struct operands *);
/* A statement that swaps the bytes of the variable v, of 16, 32 or 64 bits. */
void tcc_text_swap(struct text *, unsigned bits, const char *v, uint32_t *needs);
/* The beginning of a source: types, and the functions in needs. */
void tcc_text_prelude(struct text *, uint32_t needs);

/* ---- regions --------------------------------------------------------------------------------------- */

enum { MAX_LOCALS = 256, FRAME_TEMP = IR_MAX_TEMPS - 1, CODE_TEMP = IR_MAX_TEMPS - 2 };

struct set { uint64_t w[MAX_LOCALS / 64]; };
static inline bool set_has(const struct set *s, unsigned i) { return s->w[i / 64] >> (i % 64) & 1; }
static inline void set_add(struct set *s, unsigned i) { s->w[i / 64] |= UINT64_C(1) << (i % 64); }
static inline void set_remove(struct set *s, unsigned i) { s->w[i / 64] &= ~(UINT64_C(1) << (i % 64)); }

/* The generated function's frame; the 64-bit slots follow, then those of 32 bits. cpu->temps[FRAME_TEMP] has its address. */
struct frame {
    int64_t ic, lim;          /* instructions left; blocks are entered while ic >= lim: 0, or more than ic once kicked */
    uint64_t na, nb;          /* operands of the last FP operation done here */
    uint64_t base, ulimit;    /* user: cpu->ubase, cpu->ulimit; system: the TLB */
    uint32_t no, pt;          /* that operation (struct fp_note.op) | NOTE_SET; index in points[] */
    uint32_t ff, nx;          /* cpu->fp_fast; aux of the operation */
};
#define NOTE_SET 0x80000000u
/* ... as C text; the order is that of struct frame */
#define FRAME_TEXT "s64 ic,lim;u64 na,nb,base,ulimit;u32 no,pt,ff,nx;"

struct local { uint32_t cell; uint16_t at; bool wide; };  /* at: in the frame */
/* A place where something may leave, or look. */
struct point {
    struct set dirty;         /* locals to be stored */
    uint32_t number;          /* jit_point() */
    uint8_t mem, mmu, what;
    helper_fn fn;
};
/* struct jit_code.priv */
struct tcc_code {
    struct local *locals;
    struct point *points;
    struct ir_op *ops;        /* for jit_op() */
    unsigned n_locals, n_points, n_ops, cap_points, cap_ops;
};
void tcc_code_free(struct tcc_code *);

/* Writes the region as a function `name`. NULL, or why not. */
const char *tcc_gen(const struct jit_region *, struct text *, const char *name, struct tcc_code *, uint32_t *needs);

/* What generated code calls, by these names. cpu's scratch says which region and frame it is. */
#define TCC_CALLS(X)                                                                               \
    X(SL, "u64(*)(char*,u64,u32)", tcc_ld)                                                         \
    X(SS, "void(*)(char*,u64,u64,u32)", tcc_st)                                                    \
    X(SC, "u64(*)(char*,u64,u64,u64,u32)", tcc_cas)                                                \
    X(SR, "u64(*)(char*,u64,u64,u32)", tcc_rmw)                                                    \
    X(HC, "u64(*)(char*,u64,u64,u64,u32)", tcc_call)                                               \
    X(JO, "u64(*)(char*,u64,u64,u64,u32)", tcc_op)                                                 \
    X(NT, "void(*)(char*)", tcc_note)                                                              \
    X(FE, "void(*)()", tcc_fence)                                                                  \
    X(FF, "void(*)(char*,u64,u32)", tcc_fetch_fault)
uint64_t tcc_ld(struct cpu *, uint64_t va, uint32_t k);
void tcc_st(struct cpu *, uint64_t va, uint64_t v, uint32_t k);
uint64_t tcc_cas(struct cpu *, uint64_t va, uint64_t expect, uint64_t v, uint32_t k);
uint64_t tcc_rmw(struct cpu *, uint64_t va, uint64_t v, uint32_t k);
uint64_t tcc_call(struct cpu *, uint64_t a, uint64_t b, uint64_t c, uint32_t k);
uint64_t tcc_op(struct cpu *, uint64_t a, uint64_t b, uint64_t c, uint32_t k);
void tcc_note(struct cpu *);
void tcc_fence(void);
void tcc_fetch_fault(struct cpu *, uint64_t va, uint32_t k);

#endif
