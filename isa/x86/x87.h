/*
 * x87.h - the x87's helpers among themselves and their numbers for the translator. Private to isa/x86.
 */
#ifndef ISA_X86_X87_H
#define ISA_X86_X87_H

#include "interp/x87.h"
#include "isa/x86/x86.h"

struct fp_env x87_env(const struct x86_cpu *);                      /* as the control word says, without flags */
void x87_take(struct x86_cpu *, const struct fp_env *);             /* its flags into the status word */
f80_t x87_st(struct x86_cpu *, unsigned i);                         /* an empty register: a stack fault, the indefinite */
void x87_put(struct x86_cpu *, unsigned i, f80_t);
void x87_pop(struct x86_cpu *);
void x87_push(struct x86_cpu *, f80_t);
/* f2xm1 fyl2x fptan fpatan fxtract fprem1 fprem fyl2xp1 fsqrt fsincos frndint fscale fsin fcos by number: x87-func.c */
void x87_function(struct x86_cpu *, unsigned which);

#endif
