/*
 * x87.h - the x87's helpers among themselves and their numbers for the translator. Private to isa/x86.
 */
#ifndef ISA_X86_X87_H
#define ISA_X86_X87_H

#include "isa/x86/x86.h"

enum x87_op {
    X87_LOAD, X87_LOAD_ST, X87_CONST, X87_ARITH_MEM, X87_ARITH, X87_COMPARE, X87_COMPARE_MEM, X87_COMPARE_FLAGS, X87_STORE, X87_STORED,
    X87_STORE_ST, X87_EXCHANGE, X87_SIGN, X87_TEST, X87_EXAMINE, X87_FREE, X87_ROTATE, X87_CMOV, X87_FUNC, X87_WAIT, X87_INIT,
    X87_GET_CW, X87_SET_CW, X87_GET_SW, X87_CLEAR,
};
enum x87_mem { X87_F32, X87_F64, X87_I16, X87_I32, X87_I64 };

struct fp_env x87_env(const struct x86_cpu *);                      /* as the control word says, without flags */
void x87_take(struct x86_cpu *, const struct fp_env *);             /* its flags into the status word */
f80_t x87_st(struct x86_cpu *, unsigned i);                         /* an empty register: a stack fault, the indefinite */
void x87_put(struct x86_cpu *, unsigned i, f80_t);
void x87_pop(struct x86_cpu *);
void x87_push(struct x86_cpu *, f80_t);
/* f2xm1 fyl2x fptan fpatan fxtract fprem1 fprem fyl2xp1 fsqrt fsincos frndint fscale fsin fcos by number: x87-func.c */
void x87_function(struct x86_cpu *, unsigned which);

#endif
