/*
 * expr.h - integer expressions of the monitor: numbers, character constants, $registers, + - * / % & | ^ ~ and
 * parentheses. Products bind closer than sums, sums closer than & | ^, which are equal and go left to right.
 */
#ifndef MON_EXPR_H
#define MON_EXPR_H

#include "util/error.h"

/* Looks a register up by name (without the '$'). */
typedef bool (*expr_reg_fn)(void *opaque, const char *name, uint64_t *value);

/* Evaluates the longest expression at *p and moves *p to what follows it (blanks skipped). 0 or -1. */
int expr_eval(const char **p, uint64_t *out, expr_reg_fn reg, void *opaque, struct error *e);

#endif
