/*
 * xcode.h - numbers of the fast interpreter's records (see xops.def).
 */
#ifndef INTERP_XCODE_H
#define INTERP_XCODE_H

#include "interp/block.h"

enum xop {
#define X_ALU2(N, W, m) XO_##N##W##_##m,
#define X_ALU1(N, W, m) XO_##N##W##_##m,
#define X_ALU3(N, W) XO_##N##W,
#define X_ALU3K(N, W) XO_##N##W##_K,
#define X_INS(W) XO_DEPOSIT##W,
#define X_CONV(N) XO_##N,
#define X_SETC(C, W, m) XO_SETC_##C##W##_##m,
#define X_LD(sz, sg, T, AW, en, al) XO_LD_##sz##sg##_##T##_##AW##_##en##_##al,
#define X_ST(sz, T, AW, en, al) XO_ST_##sz##_##T##_##AW##_##en##_##al,
#define X_LD2(AW, en) XO_LD2_##AW##_##en,
#define X_ST2(AW, en) XO_ST2_##AW##_##en,
#define X_FP2(N, W) XO_##N##W,
#define X_FPCV(N) XO_##N,
#define X_FCMP(W) XO_FCMP##W,
#define X_FMA(W) XO_FMA##W,
#define X_BRC2(C, W, m) XO_BRC2_##C##W##_##m,
#define X_BRC1(C, W, m) XO_BRC1_##C##W##_##m,
#define X_BRL(C, W, m) XO_BRL_##C##W##_##m,
#define X_MISC(N) XO_##N,
#define X_FUSE2(A, B) XO_##A##__##B,
#define X_FUSEG(A) XO_##A##__GOTO,
#define X_FUSE1(A, C, W, m) XO_##A##__BRC1_##C##W##_##m,
#define X_FUSEB(A, C, W, m) XO_##A##__BRC2_##C##W##_##m,
#include "interp/xops.def"
    XO_COUNT
};

/* Payloads of OP and CALL records. */
struct op_record {
    struct ir_op op;
    uint64_t consts[3];    /* operands that are constants: ids IR_CONST + 0..2 */
};
struct call_record {
    helper_fn fn;
    uint16_t d;            /* offset of the result's cell; 0: none */
    uint8_t d_type;        /* T_I32, T_I64; with d == 0: T_I32 */
    uint8_t a_type[3];     /* T_I32, T_I64, or CALL_CONST */
    union { uint16_t off; uint64_t value; } a[3];
};
enum { CALL_CONST = 2 };

static inline uint64_t call_arg(struct cpu *cpu, const struct call_record *k, unsigned i)
{
    if (k->a_type[i] == CALL_CONST) return k->a[i].value;
    const char *p = (const char *)cpu + k->a[i].off;
    return k->a_type[i] == T_I64 ? *(const uint64_t *)p : *(const uint32_t *)p;
}

/* Makes of *gate a record of that number (HEAT, NATIVE) for b. */
void xcode_gate(const struct engine *, struct blk *, unsigned xop);
/* Handler addresses for computed goto, as distances (which need not be relocated); NULL where the compiler has none. */
struct fast_table { const char *base; const int32_t *offset; };
const struct fast_table *fast_table_user(void);
const struct fast_table *fast_table_sys(void);
/* Replaces pairs of records by superinstructions; n: number of records, is_start[i]: record i begins one. */
void xcode_fuse(uint16_t *xop, const uint8_t *is_start, unsigned n);

#endif
