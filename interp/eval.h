/*
 * eval.h - one op on values: the constant folder's and the reference interpreter's view of ops.def.
 */
#ifndef INTERP_EVAL_H
#define INTERP_EVAL_H

#include "interp/ir.h"

/* PURE and CONV ops. Inputs and results are zero-extended to 64 bits; unused inputs are ignored. */
uint64_t eval_pure(unsigned op, unsigned type, uint32_t aux, uint64_t a, uint64_t b, uint64_t c);
bool eval_cond(unsigned cond, unsigned type, uint64_t a, uint64_t b);

#endif
