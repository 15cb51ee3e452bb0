/*
 * backends.h - tests know the code generators that the program knows, in the same order.
 */
#ifndef TESTS_BACKENDS_H
#define TESTS_BACKENDS_H

#include "interp/jit.h"
#ifdef HAVE_GCCJIT
#include "jit-gccjit/backend.h"
#endif
#ifdef HAVE_JIT_NATIVE
#include "jit-native/native.h"
#endif

#include <stdlib.h>

/* Modules, and workers, are those of the build's folder unless the environment says otherwise. */
static inline void register_backends(void)
{
#ifdef HAVE_JIT_NATIVE
    jit_register(&jit_native_backend);
#endif
    jit_register(&jit_null_backend);
#ifdef HAVE_GCCJIT
    jit_register(&jit_gccjit_backend);
#endif
    setenv("QUERN_MODULE_PATH", ".", 0);
}

#endif
