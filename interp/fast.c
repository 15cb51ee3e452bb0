/*
 * fast.c - the fast interpreter, instantiated: user and system memory, by computed goto and by switch.
 */
#include "interp/expr.h"
#include "interp/fpx.h"
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

#if HOST_GNU
static const void *const *fast_run_goto_user_table, *const *fast_run_goto_sys_table;

#define FAST_RUN  fast_run_goto_user
#define FAST_USER 1
#define FAST_GOTO 1
#include "interp/fast-body.h"
#define FAST_RUN  fast_run_goto_sys
#define FAST_USER 0
#define FAST_GOTO 1
#include "interp/fast-body.h"
#endif

#define FAST_RUN  fast_run_switch_user
#define FAST_USER 1
#define FAST_GOTO 0
#include "interp/fast-body.h"
#define FAST_RUN  fast_run_switch_sys
#define FAST_USER 0
#define FAST_GOTO 0
#include "interp/fast-body.h"

const void *const *fast_table_user(void)
{
#if HOST_GNU
    if (!fast_run_goto_user_table) fast_run_goto_user(NULL, NULL);
    return fast_run_goto_user_table;
#else
    return NULL;
#endif
}

const void *const *fast_table_sys(void)
{
#if HOST_GNU
    if (!fast_run_goto_sys_table) fast_run_goto_sys(NULL, NULL);
    return fast_run_goto_sys_table;
#else
    return NULL;
#endif
}
