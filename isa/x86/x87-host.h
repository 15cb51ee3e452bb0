/*
 * x87-host.h - the common x87 operations by the host's own x87, where it has one: same bits, same flags. Private to x87.c.
 *
 * Used while the guest's control word is the usual one (0x37f: nearest, 64 bits, all exceptions masked), which is also what the
 * host's is; all else, and stack faults, are x87.c's. Flags of the host accumulate: one that the guest does not have yet may be
 * an old one, so they are cleared then and the operation is done again.
 */
#ifndef ISA_X86_X87_HOST_H
#define ISA_X86_X87_HOST_H

#include "isa/x86/x87.h"

/* Is register i from the top empty? */
static inline unsigned x87_phys(const struct x86_cpu *x, unsigned i) { return (x->ftop + i) & 7; }
static inline bool x87_full(const struct x86_cpu *x, unsigned i) { return x->ftw >> x87_phys(x, i) & 1; }

/* A memory operand that is a number like most: false for NaNs, infinities, denormal numbers. */
static inline bool x87_expand(unsigned kind, uint64_t v, f80_t *r)
{
    unsigned e;
    int64_t n;

    switch (kind) {
    case X87_F64:
        e = v >> 52 & 0x7ff;
        if (e == 0x7ff || (!e && v << 1)) return false;
        *r = e ? (f80_t){ v << 11 | UINT64_C(1) << 63, (uint16_t)((v >> 48 & 0x8000) | (e + 15360)) } : (f80_t){ 0, (uint16_t)(v >> 48 & 0x8000) };
        return true;
    case X87_F32:
        e = v >> 23 & 0xff;
        if (e == 0xff || (!e && (uint32_t)v << 1)) return false;
        *r = e ? (f80_t){ (v & 0x7fffff) << 40 | UINT64_C(1) << 63, (uint16_t)((v >> 16 & 0x8000) | (e + 16256)) } : (f80_t){ 0, (uint16_t)(v >> 16 & 0x8000) };
        return true;
    default:
        n = kind == X87_I16 ? (int16_t)v : kind == X87_I32 ? (int32_t)v : (int64_t)v;
        if (!n) {
            *r = (f80_t){ 0, 0 };
        } else {
            uint64_t m = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
            unsigned z = (unsigned)host_clz64(m);
            *r = (f80_t){ m << z, (uint16_t)((n < 0 ? 0x8000 : 0) | (0x403e - z)) };
        }
        return true;
    }
}

#if HOST_GNU && defined(__x86_64__)

#define X87_TWO(bytes) __asm__ volatile("fldt %2\n\tfldt %3\n\t.byte " bytes "\n\tfnstsw %0\n\tfstpt %1" : "=a"(sw), "=m"(*r) : "m"(*a), "m"(*b) : "st", "st(1)")

/* op as in the opcodes: add mul . . sub subr div divr */
static inline uint16_t x87_host_arith(const struct x86_cpu *x, unsigned op, const f80_t *a, const f80_t *b, f80_t *r)
{
    uint16_t sw = 0;

    for (unsigned pass = 0; pass < 2; pass++) {
        switch (op) {
        case 0: X87_TWO("0xde, 0xc1"); break;
        case 1: X87_TWO("0xde, 0xc9"); break;
        case 4: X87_TWO("0xde, 0xe9"); break;
        case 5: X87_TWO("0xde, 0xe1"); break;
        case 6: X87_TWO("0xde, 0xf9"); break;
        default: X87_TWO("0xde, 0xf1"); break;
        }
        if (!(sw & 0x3f & ~x->fsw)) break;
        if (!pass) __asm__ volatile("fnclex");
    }
    return sw & 0x3f;
}

/* Codes (C3, C2, C0 at 14, 10, 8) and flags. */
static inline uint16_t x87_host_compare(const struct x86_cpu *x, const f80_t *a, const f80_t *b, bool quiet)
{
    uint16_t sw = 0;

    for (unsigned pass = 0; pass < 2; pass++) {
        if (quiet) __asm__ volatile("fldt %2\n\tfldt %1\n\tfucompp\n\tfnstsw %0" : "=a"(sw) : "m"(*a), "m"(*b) : "st", "st(1)");
        else __asm__ volatile("fldt %2\n\tfldt %1\n\tfcompp\n\tfnstsw %0" : "=a"(sw) : "m"(*a), "m"(*b) : "st", "st(1)");
        if (!(sw & 0x3f & ~x->fsw)) break;
        if (!pass) __asm__ volatile("fnclex");
    }
    return sw & 0x453f;
}

static inline uint16_t x87_host_store(const struct x86_cpu *x, bool dbl, const f80_t *a, uint64_t *v)
{
    uint16_t sw = 0;
    uint64_t d = 0;
    uint32_t f = 0;

    for (unsigned pass = 0; pass < 2; pass++) {
        if (dbl) __asm__ volatile("fldt %2\n\tfstpl %1\n\tfnstsw %0" : "=a"(sw), "=m"(d) : "m"(*a) : "st");
        else __asm__ volatile("fldt %2\n\tfstps %1\n\tfnstsw %0" : "=a"(sw), "=m"(f) : "m"(*a) : "st");
        if (!(sw & 0x3f & ~x->fsw)) break;
        if (!pass) __asm__ volatile("fnclex");
    }
    *v = dbl ? d : f;
    return sw & 0x3f;
}
#undef X87_TWO

/* Does the operation (as x86_helper_x87 has it) if it is a common one on common operands; *ret: what it returns. */
static inline bool x87_host(struct x86_cpu *x, uint64_t what, uint64_t v, uint64_t *ret)
{
    unsigned i = what >> 8 & 255, k = what >> 16 & 255, n = (unsigned)(what >> 24) & 255, p, q;
    f80_t a, b, r;
    uint16_t sw;

    if (x->fcw != 0x37f) return false;
    *ret = 0;
    switch (what & 255) {
    case X87_LOAD:
        if (x87_full(x, 7) || !x87_expand(i, v, &r)) return false;
        x->ftop = (x->ftop - 1) & 7;
        p = x->ftop;
        x->st[p].mm = r.frac, x->st[p].se = r.se;
        x->ftw |= 1u << p;
        x->fsw &= (uint16_t)~0x200;
        return true;
    case X87_ARITH_MEM:
        if (!x87_full(x, 0) || !x87_expand(k, v, &b)) return false;
        p = x87_phys(x, 0);
        a = (f80_t){ x->st[p].mm, (uint16_t)x->st[p].se };
        x->fsw |= x87_host_arith(x, i, &a, &b, &r);
        x->st[p].mm = r.frac, x->st[p].se = r.se;
        return true;
    case X87_ARITH:
        if (!x87_full(x, 0) || !x87_full(x, i)) return false;
        p = x87_phys(x, n & 1 ? i : 0), q = x87_phys(x, n & 1 ? 0 : i);
        a = (f80_t){ x->st[p].mm, (uint16_t)x->st[p].se }, b = (f80_t){ x->st[q].mm, (uint16_t)x->st[q].se };
        x->fsw |= x87_host_arith(x, k, &a, &b, &r);
        x->st[p].mm = r.frac, x->st[p].se = r.se;
        if (n & 2) x87_pop(x);
        return true;
    case X87_COMPARE: case X87_COMPARE_FLAGS:
        if (!x87_full(x, 0) || !x87_full(x, i)) return false;
        p = x87_phys(x, 0), q = x87_phys(x, i);
        a = (f80_t){ x->st[p].mm, (uint16_t)x->st[p].se }, b = (f80_t){ x->st[q].mm, (uint16_t)x->st[q].se };
        sw = x87_host_compare(x, &a, &b, n);
        x->fsw |= sw & 0x3f;
        if ((what & 255) == X87_COMPARE) {
            x->fsw = (uint16_t)((x->fsw & ~0x4700) | (sw & 0x4500));
        } else {
            x->fsw &= (uint16_t)~0x200;
            *ret = (sw & 0x4000 ? XFL_ZF : 0) | (sw & 0x400 ? XFL_PF : 0) | (sw & 0x100 ? XFL_CF : 0);
        }
        for (; k; k--) x87_pop(x);
        return true;
    case X87_STORE:
        if (!x87_full(x, 0) || (i != X87_F32 && i != X87_F64)) return false;
        p = x87_phys(x, 0);
        a = (f80_t){ x->st[p].mm, (uint16_t)x->st[p].se };
        x->fsw_pending = x87_host_store(x, i == X87_F64, &a, ret);
        return true;
    default: return false;
    }
}

#else

static inline bool x87_host(struct x86_cpu *x, uint64_t what, uint64_t v, uint64_t *ret)
{
    (void)x, (void)what, (void)v, (void)ret;
    return false;
}

#endif
#endif
