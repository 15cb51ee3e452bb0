/*
 * text.h - the combinators of ops.def as C text for libtcc: the same meaning as interp/expr.h, written with as few calls as
 * possible. Expressions are turned into strings after expansion (text.c), so A, B, C, KPOS and KLEN stay names here.
 *
 * Included by text.c alone, which defines XW as 32 or 64 before each use of ops.def. u32, s64 and so on are typedefs, and
 * x32_... and x64_... functions, of the generated source's prelude; an op whose text calls a function that the prelude does
 * not have is left to jit_op().
 */
#ifndef JIT_TCC_TEXT_H
#define JIT_TCC_TEXT_H

#define X_CAT3_(a, b, c) a##b##c
#define X_CAT3(a, b, c) X_CAT3_(a, b, c)
#define X_U X_CAT3(u, XW, )
#define X_S X_CAT3(s, XW, )
#define X_FN(name) X_CAT3(x, XW, name)
#define X_ONES(n) (~(X_U)0 >> (XW - (n)))
#define E_K(n)          ((X_U)(n))
#define E_ADD(x, y)     ((x) + (y))
#define E_SUB(x, y)     ((x) - (y))
#define E_MUL(x, y)     ((x) * (y))
#define E_AND(x, y)     ((x) & (y))
#define E_OR(x, y)      ((x) | (y))
#define E_XOR(x, y)     ((x) ^ (y))
#define E_NOT(x)        (~(x))
#define E_NEG(x)        ((X_U)0 - (x))
#define E_SHL(x, n)     ((n) < XW ? (x) << (n) : 0)
#define E_SHR(x, n)     ((n) < XW ? (x) >> (n) : 0)
#define E_SAR(x, n)     ((X_U)((X_S)(x) >> ((n) < XW ? (n) : XW - 1)))
#define E_ROTR(x, n)    (((x) >> ((n) & (XW - 1))) | ((x) << ((XW - ((n) & (XW - 1))) & (XW - 1))))
#define E_DIVU(x, y)    ((y) ? (x) / (y) : 0)
#define E_REMU(x, y)    ((y) ? (x) % (y) : (x))
#define E_DIVS(x, y)    (!(y) ? 0 : (y) == (X_U)-1 ? (X_U)0 - (x) : (X_U)((X_S)(x) / (X_S)(y)))
#define E_REMS(x, y)    (!(y) ? (x) : (y) == (X_U)-1 ? 0 : (X_U)((X_S)(x) % (X_S)(y)))
#define T_MULHU32(x, y) ((u32)((u64)(x) * (u64)(y) >> 32))
#define T_MULHS32(x, y) ((u32)((s64)(s32)(x) * (s64)(s32)(y) >> 32))
#define T_MULHU64(x, y) x64_mulhu(x, y)
#define T_MULHS64(x, y) x64_mulhs(x, y)
#define E_MULHU(x, y)   X_CAT3(T_MULHU, XW, )(x, y)
#define E_MULHS(x, y)   X_CAT3(T_MULHS, XW, )(x, y)
#define T_DIVU232(x, y, z) ((z) ? (u32)(((u64)(x) << 32 | (y)) / (z)) : 0)
#define T_REMU232(x, y, z) ((z) ? (u32)(((u64)(x) << 32 | (y)) % (z)) : (y))
#define T_DIVU264(x, y, z) x64_divu2(x, y, z)
#define T_REMU264(x, y, z) x64_remu2(x, y, z)
#define E_DIVU2(x, y, z) X_CAT3(T_DIVU2, XW, )(x, y, z)
#define E_REMU2(x, y, z) X_CAT3(T_REMU2, XW, )(x, y, z)
#define E_EQ(x, y)      ((x) == (y))
#define E_NE(x, y)      ((x) != (y))
#define E_LTU(x, y)     ((x) < (y))
#define E_LEU(x, y)     ((x) <= (y))
#define E_LTS(x, y)     ((X_S)(x) < (X_S)(y))
#define E_LES(x, y)     ((X_S)(x) <= (X_S)(y))
#define E_SEL(c, x, y)  ((c) ? (x) : (y))
#define E_ZX(n, x)      ((x) & X_ONES(n))
#define E_SX(n, x)      ((X_U)((X_S)((x) << (XW - (n))) >> (XW - (n))))
#define E_BITS(x, p, n) ((x) >> (p) & X_ONES(n))
#define E_SBITS(x, p, n) ((X_U)((X_S)((x) << (XW - (n) - (p))) >> (XW - (n))))
#define E_INS(x, y, p, n) (((x) & ~(X_ONES(n) << (p))) | (((y) << (p)) & (X_ONES(n) << (p))))
#define E_BSWAP(x)      X_FN(_bswap)(x)
#define E_BSWAP16X(x)   X_FN(_bswap16x)(x)
#define E_CLZ(x)        X_FN(_clz)(x)
#define E_CTZ(x)        X_FN(_ctz)(x)
#define E_POPCNT(x)     X_FN(_popcnt)(x)
#define E_BITREV(x)     X_FN(_bitrev)(x)
#define E_LO(x)         ((u32)(x))
#define E_HI(x)         ((u32)((x) >> 32))
#define E_ZXW(x)        ((u64)(x))
#define E_SXW(x)        ((u64)(s64)(s32)(x))
#define E_CONCAT(x, y)  ((u64)(x) | (u64)(y) << 32)

#endif
