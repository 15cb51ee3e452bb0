/*
 * expr.h - the combinators of ops.def as C expressions.
 *
 * Whoever includes ops.def for values defines XW as 32 or 64 (lanes of vectors: 8 and 16 too). Every combinator is defined for all inputs, as ops.def
 * promises.
 */
#ifndef INTERP_EXPR_H
#define INTERP_EXPR_H

#include "util/host.h"

#define EXPR_FNS(W, OTHER)                                                                         \
    typedef uint##W##_t xu##W;                                                                     \
    typedef int##W##_t xs##W;                                                                      \
    static inline xu##W x##W##_shl(xu##W x, xu##W n) { return n < W ? (xu##W)(x << n) : 0; }       \
    static inline xu##W x##W##_shr(xu##W x, xu##W n) { return n < W ? (xu##W)(x >> n) : 0; }       \
    static inline xu##W x##W##_sar(xu##W x, xu##W n)                                               \
    {                                                                                              \
        unsigned k = n < W ? (unsigned)n : W - 1;                                                  \
        return (xs##W)x < 0 ? (xu##W)~((xu##W)~x >> k) : (xu##W)(x >> k);                          \
    }                                                                                              \
    static inline xu##W x##W##_rotr(xu##W x, xu##W n)                                              \
    {                                                                                              \
        unsigned k = (unsigned)(n & (W - 1));                                                      \
        return (xu##W)((x >> k) | (x << ((W - k) & (W - 1))));                                     \
    }
#define EXPR_FNS_WIDE(W)                                                                           \
    static inline xu##W x##W##_divu(xu##W a, xu##W b) { return b ? a / b : 0; }                    \
    static inline xu##W x##W##_remu(xu##W a, xu##W b) { return b ? a % b : a; }                    \
    static inline xu##W x##W##_divs(xu##W a, xu##W b)                                              \
    {                                                                                              \
        return !b ? 0 : b == (xu##W)-1 ? (xu##W)0 - a : (xu##W)((xs##W)a / (xs##W)b);              \
    }                                                                                              \
    static inline xu##W x##W##_rems(xu##W a, xu##W b)                                              \
    {                                                                                              \
        return !b ? a : b == (xu##W)-1 ? 0 : (xu##W)((xs##W)a % (xs##W)b);                         \
    }                                                                                              \
    static inline xu##W x##W##_zx(unsigned n, xu##W x) { return x & (~(xu##W)0 >> (W - n)); }      \
    static inline xu##W x##W##_sx(unsigned n, xu##W x)                                             \
    {                                                                                              \
        xu##W m = (xu##W)1 << (n - 1);                                                             \
        return ((x & (~(xu##W)0 >> (W - n))) ^ m) - m;                                             \
    }                                                                                              \
    static inline xu##W x##W##_bits(xu##W x, unsigned p, unsigned n)                               \
    {                                                                                              \
        return (x >> p) & (~(xu##W)0 >> (W - n));                                                  \
    }                                                                                              \
    static inline xu##W x##W##_ins(xu##W x, xu##W y, unsigned p, unsigned n)                       \
    {                                                                                              \
        xu##W m = (~(xu##W)0 >> (W - n)) << p;                                                     \
        return (x & ~m) | ((y << p) & m);                                                          \
    }                                                                                              \
    static inline xu##W x##W##_bitrev(xu##W x)                                                     \
    {                                                                                              \
        xu##W r = 0;                                                                               \
        for (unsigned i = 0; i < W; i++) r = (r << 1) | ((x >> i) & 1);                            \
        return r;                                                                                  \
    }                                                                                              \
    static inline xu##W x##W##_clz(xu##W x) { return host_clz##W(x); }                             \
    static inline xu##W x##W##_ctz(xu##W x) { return host_ctz##W(x); }                             \
    static inline xu##W x##W##_popcnt(xu##W x) { return host_popcnt##W(x); }                       \
    static inline xu##W x##W##_bswap(xu##W x) { return host_bswap##W(x); }
EXPR_FNS(8, 0)
EXPR_FNS(16, 0)
EXPR_FNS(32, 64)
EXPR_FNS(64, 32)
EXPR_FNS_WIDE(32)
EXPR_FNS_WIDE(64)
#undef EXPR_FNS
#undef EXPR_FNS_WIDE
static inline xu8 x8_clz(xu8 x) { return (xu8)(host_clz32(x) - 24); }
static inline xu16 x16_clz(xu16 x) { return (xu16)(host_clz32(x) - 16); }
static inline xu8 x8_popcnt(xu8 x) { return (xu8)host_popcnt32(x); }
static inline xu16 x16_popcnt(xu16 x) { return (xu16)host_popcnt32(x); }
static inline xu8 x8_bswap(xu8 x) { return x; }
static inline xu16 x16_bswap(xu16 x) { return host_bswap16(x); }
static inline xu8 x8_mulhu(xu8 a, xu8 b) { return (xu8)((unsigned)a * b >> 8); }
static inline xu8 x8_mulhs(xu8 a, xu8 b) { return (xu8)((unsigned)((int)(xs8)a * (xs8)b) >> 8); }
static inline xu16 x16_mulhu(xu16 a, xu16 b) { return (xu16)((uint32_t)a * b >> 16); }
static inline xu16 x16_mulhs(xu16 a, xu16 b) { return (xu16)((uint32_t)((int32_t)(xs16)a * (xs16)b) >> 16); }
static inline xu8 x8_bitrev(xu8 x)
{
    x = (xu8)(x >> 4 | x << 4);
    x = (xu8)((x >> 2 & 0x33) | (x & 0x33) << 2);
    return (xu8)((x >> 1 & 0x55) | (x & 0x55) << 1);
}
static inline xu16 x16_bitrev(xu16 x) { return (xu16)(x8_bitrev((xu8)x) << 8 | x8_bitrev((xu8)(x >> 8))); }

static inline uint32_t x32_mulhu(uint32_t a, uint32_t b) { return (uint32_t)(((uint64_t)a * b) >> 32); }
static inline uint32_t x32_mulhs(uint32_t a, uint32_t b)
{
    return (uint32_t)((uint64_t)((int64_t)(int32_t)a * (int32_t)b) >> 32);
}
static inline uint64_t x64_mulhu(uint64_t a, uint64_t b)
{
    uint64_t hi;
    host_mul64u(a, b, &hi);
    return hi;
}
static inline uint64_t x64_mulhs(uint64_t a, uint64_t b)
{
    uint64_t hi;
    host_mul64s(a, b, &hi);
    return hi;
}
static inline uint32_t x32_divu2(uint32_t hi, uint32_t lo, uint32_t d)
{
    return d ? (uint32_t)(((uint64_t)hi << 32 | lo) / d) : 0;
}
static inline uint32_t x32_remu2(uint32_t hi, uint32_t lo, uint32_t d)
{
    return d ? (uint32_t)(((uint64_t)hi << 32 | lo) % d) : lo;
}
static inline uint64_t x64_divu2(uint64_t hi, uint64_t lo, uint64_t d)
{
    uint64_t rem;
    return d ? host_div128u(hi % d, lo, d, &rem) : 0;
}
static inline uint64_t x64_remu2(uint64_t hi, uint64_t lo, uint64_t d)
{
    uint64_t rem;
    if (!d) return lo;
    host_div128u(hi % d, lo, d, &rem);
    return rem;
}
static inline uint32_t x32_bswap16x(uint32_t x) { return ((x & 0x00ff00ffu) << 8) | ((x >> 8) & 0x00ff00ffu); }
static inline uint64_t x64_bswap16x(uint64_t x)
{
    return ((x & UINT64_C(0x00ff00ff00ff00ff)) << 8) | ((x >> 8) & UINT64_C(0x00ff00ff00ff00ff));
}

/* XW: the width in force, 32 or 64. Pasting goes through two macros so that XW is expanded. */
#define X_CAT3_(a, b, c) a##b##c
#define X_CAT3(a, b, c) X_CAT3_(a, b, c)
#define X_U X_CAT3(xu, XW, )
#define X_S X_CAT3(xs, XW, )
#define X_FN(name) X_CAT3(x, XW, name)
#define E_K(n)          ((X_U)(n))
#define E_ADD(x, y)     ((X_U)((x) + (y)))
#define E_SUB(x, y)     ((X_U)((x) - (y)))
#define E_MUL(x, y)     ((X_U)(1u * (X_U)(x) * (X_U)(y)))
#define E_AND(x, y)     ((x) & (y))
#define E_OR(x, y)      ((x) | (y))
#define E_XOR(x, y)     ((x) ^ (y))
#define E_NOT(x)        ((X_U)~(x))
#define E_NEG(x)        ((X_U)((X_U)0 - (x)))
#define E_SHL(x, n)     X_FN(_shl)(x, n)
#define E_SHR(x, n)     X_FN(_shr)(x, n)
#define E_SAR(x, n)     X_FN(_sar)(x, n)
#define E_ROTR(x, n)    X_FN(_rotr)(x, n)
#define E_DIVU(x, y)    X_FN(_divu)(x, y)
#define E_DIVS(x, y)    X_FN(_divs)(x, y)
#define E_REMU(x, y)    X_FN(_remu)(x, y)
#define E_REMS(x, y)    X_FN(_rems)(x, y)
#define E_MULHU(x, y)   X_FN(_mulhu)(x, y)
#define E_MULHS(x, y)   X_FN(_mulhs)(x, y)
#define E_DIVU2(x, y, z) X_FN(_divu2)(x, y, z)
#define E_REMU2(x, y, z) X_FN(_remu2)(x, y, z)
#define E_EQ(x, y)      ((X_U)((x) == (y)))
#define E_NE(x, y)      ((X_U)((x) != (y)))
#define E_LTU(x, y)     ((X_U)((X_U)(x) < (X_U)(y)))
#define E_LEU(x, y)     ((X_U)((X_U)(x) <= (X_U)(y)))
#define E_LTS(x, y)     ((X_U)((X_S)(x) < (X_S)(y)))
#define E_LES(x, y)     ((X_U)((X_S)(x) <= (X_S)(y)))
#define E_SEL(c, x, y)  ((c) ? (x) : (y))
#define E_ZX(n, x)      X_FN(_zx)(n, x)
#define E_SX(n, x)      X_FN(_sx)(n, x)
#define E_BITS(x, p, n) X_FN(_bits)(x, p, n)
#define E_SBITS(x, p, n) E_SX(n, E_BITS(x, p, n))
#define E_INS(x, y, p, n) X_FN(_ins)(x, y, p, n)
#define E_BSWAP(x)      X_FN(_bswap)(x)
#define E_BSWAP16X(x)   X_FN(_bswap16x)(x)
#define E_CLZ(x)        X_FN(_clz)(x)
#define E_CTZ(x)        X_FN(_ctz)(x)
#define E_POPCNT(x)     X_FN(_popcnt)(x)
#define E_BITREV(x)     X_FN(_bitrev)(x)
#define E_LO(x)         ((uint32_t)(x))
#define E_HI(x)         ((uint32_t)((uint64_t)(x) >> 32))
#define E_ZXW(x)        ((uint64_t)(uint32_t)(x))
#define E_SXW(x)        ((uint64_t)(int64_t)(int32_t)(x))
#define E_CONCAT(x, y)  ((uint64_t)(uint32_t)(x) | (uint64_t)(y) << 32)

#endif
