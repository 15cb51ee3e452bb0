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

#include "interp/accel.h"

#include <stdio.h>
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

/* What a test runs in the fast interpreter runs as $QUERN_ACCEL says, if that is set (make check-engines). */
static inline void engine_from_environment(struct engine_config *c)
{
    const char *accel = getenv("QUERN_ACCEL");
    struct error e = ERROR_INIT;
    if (!accel || c->mode != ENGINE_FAST || c->portable_switch) return;
    register_backends();
    c->sync = true;
    if (accel_parse(c, accel, &e)) {
        error_print(&e);
        exit(1);
    }
}

#endif
