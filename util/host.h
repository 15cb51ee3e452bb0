/*
 * host.h - what the code may assume of the host compiler and machine.
 *
 * Every GNU extension used in the project is behind a macro here, with a portable twin.
 * Guest memory is always touched through the ld/st helpers below: they work at any alignment
 * (memcpy folds to one instruction where the host allows it) and name the byte order.
 */
#ifndef UTIL_HOST_H
#define UTIL_HOST_H

#include "config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && !defined(QUERN_PORTABLE)
#define HOST_GNU        1
#define HOST_TYPEOF(x)  __typeof__(x)
#define likely(x)       __builtin_expect(!!(x), 1)
#define unlikely(x)     __builtin_expect(!!(x), 0)
#define ATTR_NORETURN   __attribute__((noreturn))
#define ATTR_NOINLINE   __attribute__((noinline))
#define ATTR_COLD       __attribute__((cold, noinline))
#define ATTR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define ATTR_UNUSED     __attribute__((unused))
#define ATTR_INLINE     inline __attribute__((always_inline))
#else
#define HOST_GNU        0
#define likely(x)       (x)
#define unlikely(x)     (x)
#define ATTR_NORETURN   _Noreturn
#define ATTR_NOINLINE
#define ATTR_COLD
#define ATTR_PRINTF(f, a)
#define ATTR_UNUSED
#define ATTR_INLINE     inline
#endif

#define ARRAY_LEN(a)        (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)           ((a) < (b) ? (a) : (b))
#define MAX(a, b)           ((a) > (b) ? (a) : (b))
/* a: power of two */
#define ALIGN_UP(x, a)      (((x) + (a) - 1) & ~((a) - 1))
#define ALIGN_DOWN(x, a)    ((x) & ~((a) - 1))
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))

/* WORDS_BIGENDIAN comes from configure. */
#ifdef WORDS_BIGENDIAN
#define HOST_BE 1
#else
#define HOST_BE 0
#endif

static inline uint16_t host_bswap16(uint16_t x) { return (uint16_t)((x >> 8) | (x << 8)); }

static inline uint32_t host_bswap32(uint32_t x)
{
#if HOST_GNU
    return __builtin_bswap32(x);
#else
    return (x >> 24) | ((x >> 8) & 0xff00) | ((x << 8) & 0xff0000) | (x << 24);
#endif
}

static inline uint64_t host_bswap64(uint64_t x)
{
#if HOST_GNU
    return __builtin_bswap64(x);
#else
    return ((uint64_t)host_bswap32((uint32_t)x) << 32) | host_bswap32((uint32_t)(x >> 32));
#endif
}

/* Loads and stores at any alignment: ld/st, le/be = byte order in memory, host = the host's. */
#define HOST_LDST(bits)                                                                            \
    static inline uint##bits##_t ld##bits##_host(const void *p)                                    \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof v);                                                                   \
        return v;                                                                                  \
    }                                                                                              \
    static inline void st##bits##_host(void *p, uint##bits##_t v) { memcpy(p, &v, sizeof v); }     \
    static inline uint##bits##_t ld##bits##_le(const void *p)                                      \
    {                                                                                              \
        return HOST_BE ? host_bswap##bits(ld##bits##_host(p)) : ld##bits##_host(p);                \
    }                                                                                              \
    static inline uint##bits##_t ld##bits##_be(const void *p)                                      \
    {                                                                                              \
        return HOST_BE ? ld##bits##_host(p) : host_bswap##bits(ld##bits##_host(p));                \
    }                                                                                              \
    static inline void st##bits##_le(void *p, uint##bits##_t v)                                    \
    {                                                                                              \
        st##bits##_host(p, HOST_BE ? host_bswap##bits(v) : v);                                     \
    }                                                                                              \
    static inline void st##bits##_be(void *p, uint##bits##_t v)                                    \
    {                                                                                              \
        st##bits##_host(p, HOST_BE ? v : host_bswap##bits(v));                                     \
    }
HOST_LDST(16)
HOST_LDST(32)
HOST_LDST(64)
#undef HOST_LDST

/* Counts; defined for 0 (result = width). */
static inline unsigned host_clz32(uint32_t x)
{
#if HOST_GNU
    return x ? (unsigned)__builtin_clz(x) : 32;
#else
    unsigned n = 0;
    if (!x) return 32;
    while (!(x & 0x80000000u)) x <<= 1, n++;
    return n;
#endif
}

static inline unsigned host_clz64(uint64_t x)
{
    return (x >> 32) ? host_clz32((uint32_t)(x >> 32)) : 32 + host_clz32((uint32_t)x);
}

static inline unsigned host_ctz32(uint32_t x)
{
    return x ? 31 - host_clz32(x & (0u - x)) : 32;
}

static inline unsigned host_ctz64(uint64_t x)
{
    return (uint32_t)x ? host_ctz32((uint32_t)x) : 32 + host_ctz32((uint32_t)(x >> 32));
}

static inline unsigned host_popcnt32(uint32_t x)
{
    x = x - ((x >> 1) & 0x55555555u);
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0fu;
    /* Not by a multiplication, which compilers know for a population count: gcc 12 makes one count of several lanes together
     * when it vectorises that for hosts that count in general registers only (s390x). */
    x += x >> 8;
    return (x + (x >> 16)) & 0x3f;
}

static inline unsigned host_popcnt64(uint64_t x)
{
    return host_popcnt32((uint32_t)x) + host_popcnt32((uint32_t)(x >> 32));
}

/* 64x64 -> 128 unsigned multiply; returns the low half, *hi gets the high half. */
static inline uint64_t host_mul64u(uint64_t a, uint64_t b, uint64_t *hi)
{
#if HOST_GNU && defined(__SIZEOF_INT128__)
    unsigned __int128 p = (unsigned __int128)a * b;
    *hi = (uint64_t)(p >> 64);
    return (uint64_t)p;
#else
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t ll = al * bl, lh = al * bh, hl = ah * bl, hh = ah * bh;
    uint64_t mid = (ll >> 32) + (uint32_t)lh + (uint32_t)hl;
    *hi = hh + (lh >> 32) + (hl >> 32) + (mid >> 32);
    return (mid << 32) | (uint32_t)ll;
#endif
}

/* The same, signed: high half as two's complement. */
static inline uint64_t host_mul64s(uint64_t a, uint64_t b, uint64_t *hi)
{
    uint64_t h, l = host_mul64u(a, b, &h);
    if ((int64_t)a < 0) h -= b;
    if ((int64_t)b < 0) h -= a;
    *hi = h;
    return l;
}

/* (hi:lo) / d for hi < d, so that the quotient fits; *rem gets the remainder. */
static inline uint64_t host_div128u(uint64_t hi, uint64_t lo, uint64_t d, uint64_t *rem)
{
#if HOST_GNU && defined(__SIZEOF_INT128__)
    unsigned __int128 n = (unsigned __int128)hi << 64 | lo;
    *rem = (uint64_t)(n % d);
    return (uint64_t)(n / d);
#else
    uint64_t q = 0;
    for (unsigned i = 0; i < 64; i++) {
        bool top = hi >> 63; /* the partial remainder has 65 bits then, and is larger than d */
        hi = hi << 1 | lo >> 63;
        lo <<= 1;
        q <<= 1;
        if (top || hi >= d) hi -= d, q |= 1;
    }
    *rem = hi;
    return q;
#endif
}

/* The most bytes that the compiler's atomic operations have without a library. */
#if HOST_GNU && (defined(__LP64__) || defined(__x86_64__))
#define HOST_ATOMIC_MAX 8u
#elif HOST_GNU
#define HOST_ATOMIC_MAX 4u
#else
#define HOST_ATOMIC_MAX 0u
#endif
/* Do all threads see one's stores in their order, and its loads too (but for a load that overtakes a store)? */
#if defined(__x86_64__) || defined(__i386__)
#define HOST_ORDERED 1
#else
#define HOST_ORDERED 0
#endif

/* Words shared with other threads or signal handlers. Portable twin: volatile, for hosts without threads in play. */
#if HOST_GNU
#define atomic_load_u32(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define atomic_store_u32(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define atomic_or_u32(p, v)    __atomic_fetch_or(p, v, __ATOMIC_ACQ_REL)
#define atomic_xchg_u32(p, v)  __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
#define atomic_fence()         __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define atomic_load_ptr(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define atomic_store_ptr(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
/* bool and integers of at most a pointer's size */
#define atomic_load_int(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define atomic_store_int(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#else
#define atomic_load_u32(p)     (*(volatile uint32_t *)(p))
#define atomic_store_u32(p, v) (*(volatile uint32_t *)(p) = (v))
#define atomic_or_u32(p, v)    (*(volatile uint32_t *)(p) |= (v))
#define atomic_xchg_u32(p, v)  host_xchg_u32(p, v)
#define atomic_fence()         ((void)0)
#define atomic_load_ptr(p)     (*(p))
#define atomic_store_ptr(p, v) (*(p) = (v))
#define atomic_load_int(p)     (*(p))
#define atomic_store_int(p, v) (*(p) = (v))
static inline uint32_t host_xchg_u32(volatile uint32_t *p, uint32_t v)
{
    uint32_t was = *p;
    *p = v;
    return was;
}
#endif

/* Memory that cannot be had is the one condition that ends the program from below: util/error.c. */
void *mem_alloc(size_t n);            /* uninitialised; never NULL */
/* All of it is about to be written: the host may provide its pages at once. A hint only. */
void mem_will_write(void *, size_t n);
void *mem_zalloc(size_t n);           /* zeroed; never NULL */
void *mem_realloc(void *p, size_t n); /* never NULL */
char *mem_strdup(const char *s);      /* never NULL; s may not be NULL */
char *mem_printf(const char *fmt, ...) ATTR_PRINTF(1, 2); /* allocated string, caller frees */
#define mem_free(p) free(p)
#define NEW(type)        ((type *)mem_zalloc(sizeof(type)))
#define NEW_ARRAY(type, n) ((type *)mem_zalloc(sizeof(type) * (size_t)(n)))

#include <stdlib.h>

#endif
