/*
 * backend.h - the gccjit backend, for main() to register.
 */
#ifndef JIT_GCCJIT_BACKEND_H
#define JIT_GCCJIT_BACKEND_H

#include "interp/jit.h"

extern const struct jit_backend jit_gccjit_backend;

#endif
