/*
 * x87.h - how a front end with an x87 says what its helper for it is to do, so that a code generator whose host has an x87 can do
 * the common operations itself. Numbers and conventions alone: the operations are the front end's helper's, which is right always.
 */
#ifndef INTERP_X87_H
#define INTERP_X87_H

#include "interp/ir.h"

/* The helper's first argument is one of these | i << 8 | k << 16 | n << 24; the second an operand's bits. What i, k, n mean: */
enum x87_op {
    X87_LOAD,          /* pushes the operand, of kind i */
    X87_LOAD_ST,       /* pushes st(i) */
    X87_CONST,         /* pushes a constant, by i: 1, log2 10, log2 e, pi, log10 2, ln 2, 0 */
    X87_ARITH_MEM,     /* st0 = st0 op the operand; i: op (0 + 1 * 4 - 5 - reversed 6 / 7 / reversed), k: kind */
    X87_ARITH,         /* st0 and st(i); k: op, n & 1: st(i) is the first operand and the result, n & 2: pops */
    X87_COMPARE,       /* st0 with st(i), k: pops, n: quiet; codes to the status word */
    X87_COMPARE_MEM,   /* i: kind, k: pops */
    X87_COMPARE_FLAGS, /* st0 with st(i), k: pops, n: quiet; returns 0x40 (equal), 4 (unordered), 1 (less), unordered has all */
    X87_STORE,         /* returns st0 as kind i, k: truncated. Then an ST of it, then */
    X87_STORED,        /* i: pops */
    X87_STORE_ST,      /* st(i) = st0, k: pops, n: no stack fault */
    X87_EXCHANGE,      /* st0 and st(i) */
    X87_SIGN,          /* i: 0 changed, 1 cleared */
    X87_TEST,          /* compares with 0 */
    X87_EXAMINE, X87_FREE, X87_ROTATE, X87_CMOV,
    X87_FUNC,          /* i: f2xm1 fyl2x fptan fpatan fxtract fprem1 fprem fyl2xp1 fsqrt fsincos frndint fscale fsin fcos */
    X87_WAIT, X87_INIT, X87_GET_CW, X87_SET_CW, X87_GET_SW, X87_CLEAR,
};
enum x87_mem { X87_F32, X87_F64, X87_I16, X87_I32, X87_I64 };

/* struct guest: where the x87's state is. Registers are eight of 10 bytes (as in memory), 16 apart; C1 never tells of rounding. */
struct guest_x87 {
    unsigned helper;             /* index of the helper */
    uint32_t st;                 /* offset of physical register 0 in the CPU structure */
    uint32_t control, status;    /* offsets of the words, 16 bits each; the status word's TOP and stack are in: */
    ir_id top, tags;             /* slots (I32): 0 to 7; a bit for each physical register that is not empty */
    ir_id first, last;           /* all slots of the x87 */
};

#endif
