/*
 * eval.c - PURE and CONV ops and conditions evaluated on values (see eval.h, ops.def).
 */
#include "interp/eval.h"

#include "interp/expr.h"

#define KPOS ((unsigned)(aux & 0xff))
#define KLEN ((unsigned)(aux >> 8 & 0xff))

static uint64_t eval32(unsigned op, uint32_t aux, uint32_t A, uint32_t B, uint32_t C)
{
    (void)aux, (void)B, (void)C;
    switch (op) {
#define XW 32
#define T_ANY 3
#define T_64 2
#define PURE(N, n, in, fl, ty, e)                                                                  \
    case OP_##N: return (ty) & 1 ? (uint32_t)(e) : 0;
/* I64-only ops still have to compile at 32 bits */
#include "interp/ops.def"
#undef XW
    default: return 0;
    }
}

static uint64_t eval64(unsigned op, uint32_t aux, uint64_t A, uint64_t B, uint64_t C)
{
    (void)aux, (void)B, (void)C;
    switch (op) {
#define XW 64
#define PURE(N, n, in, fl, ty, e) case OP_##N: return (e);
#define CONV(N, n, in, fl, ti, to, e) case OP_##N: return (e);
#include "interp/ops.def"
#undef XW
    default: return 0;
    }
}

uint64_t eval_pure(unsigned op, unsigned type, uint32_t aux, uint64_t a, uint64_t b, uint64_t c)
{
    if (type == T_I64 || ir_op_info[op].cls == CLASS_CONV) return eval64(op, aux, a, b, c);
    return eval32(op, aux, (uint32_t)a, (uint32_t)b, (uint32_t)c);
}

static bool cond32(unsigned cond, uint32_t A, uint32_t B)
{
    switch (cond) {
#define XW 32
#define COND(N, n, inv, swp, e) case CC_##N: return e;
#include "interp/ops.def"
#undef XW
    default: return false;
    }
}

static bool cond64(unsigned cond, uint64_t A, uint64_t B)
{
    switch (cond) {
#define XW 64
#define COND(N, n, inv, swp, e) case CC_##N: return e;
#include "interp/ops.def"
#undef XW
    default: return false;
    }
}

bool eval_cond(unsigned cond, unsigned type, uint64_t a, uint64_t b)
{
    return type == T_I64 ? cond64(cond, a, b) : cond32(cond, (uint32_t)a, (uint32_t)b);
}
