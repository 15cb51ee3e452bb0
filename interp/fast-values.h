/*
 * fast-values.h - what the instantiations of the fast interpreter share: ops and conditions as functions of values, from ops.def.
 */
#ifndef INTERP_FAST_VALUES_H
#define INTERP_FAST_VALUES_H

#include "interp/expr.h"
#include "interp/fpx.h"
#include "interp/jit.h"
#include "interp/xcode.h"

/* PURE ops and conditions as functions of values: v32_ADD(a, b, c, aux), c64_LTU(a, b). */
#define KPOS ((unsigned)(aux & 0xff))
#define KLEN ((unsigned)(aux >> 8 & 0xff))
#define XW 32
#define PURE(N, n, in, fl, ty, e)                                                                  \
    static ATTR_INLINE ATTR_UNUSED uint32_t v32_##N(uint32_t A, uint32_t B, uint32_t C, unsigned aux) \
    {                                                                                              \
        (void)A, (void)B, (void)C, (void)aux;                                                      \
        return e;                                                                                  \
    }
#define COND(N, n, inv, swp, e)                                                                    \
    static ATTR_INLINE ATTR_UNUSED bool c32_##N(uint32_t A, uint32_t B) { return e; }
#include "interp/ops.def"
#undef XW
#define XW 64
#define PURE(N, n, in, fl, ty, e)                                                                  \
    static ATTR_INLINE ATTR_UNUSED uint64_t v64_##N(uint64_t A, uint64_t B, uint64_t C, unsigned aux) \
    {                                                                                              \
        (void)A, (void)B, (void)C, (void)aux;                                                      \
        return e;                                                                                  \
    }
#define COND(N, n, inv, swp, e)                                                                    \
    static ATTR_INLINE ATTR_UNUSED bool c64_##N(uint64_t A, uint64_t B) { return e; }
#include "interp/ops.def"
#undef XW

#endif
