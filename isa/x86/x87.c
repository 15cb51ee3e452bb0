/*
 * x87.c - the x87 FPU by helpers: arithmetic in 80 bits, comparisons, conversions, state in memory.
 * Follows the Intel SDM volume 1 chapter 8 and volume 2. C1 tells of stack faults only, never of rounding direction.
 * Transcendental functions: x87-func.c.
 */
#include "isa/x86/x87-host.h"

/* ---- state ---- */

enum { ST_IE = 1, ST_SF = 0x40, ST_ES = 0x80 };

struct fp_env x87_env(const struct x86_cpu *x)
{
    static const uint8_t rounds[4] = { FP_RNE, FP_RDN, FP_RUP, FP_RTZ }, precisions[4] = { 24, 64, 53, 64 };

    return (struct fp_env){ .round = rounds[x->fcw >> 10 & 3], .nan_rule = FP_NAN_X87, .nan_negative = true,
                            .x87_precision = precisions[x->fcw >> 8 & 3] };
}

static uint16_t flags_of(unsigned f)
{
    return (uint16_t)((f & FP_INVALID ? 1 : 0) | (f & FP_IN_DENORMAL ? 2 : 0) | (f & FP_DIVZERO ? 4 : 0) | (f & FP_OVERFLOW ? 8 : 0) |
                      (f & FP_UNDERFLOW ? 16 : 0) | (f & FP_INEXACT ? 32 : 0));
}

static void summary(struct x86_cpu *x)
{
    if (x->fsw & ~x->fcw & 0x3f) x->fsw |= ST_ES | 0x8000;
    else x->fsw &= (uint16_t)~(ST_ES | 0x8000);
}

static void add_flags(struct x86_cpu *x, uint16_t flags)
{
    x->fsw |= flags;
    summary(x);
}

void x87_take(struct x86_cpu *x, const struct fp_env *e) { add_flags(x, flags_of(e->flags)); }

static unsigned phys(const struct x86_cpu *x, unsigned i) { return (x->ftop + i) & 7; }
static bool empty(const struct x86_cpu *x, unsigned i) { return !(x->ftw >> phys(x, i) & 1); }
static f80_t indefinite(void) { return (f80_t){ UINT64_C(0xc000000000000000), 0xffff }; }

f80_t x87_st(struct x86_cpu *x, unsigned i)
{
    if (empty(x, i)) {
        x->fsw &= (uint16_t)~0x200;
        add_flags(x, ST_IE | ST_SF);
        return indefinite();
    }
    return (f80_t){ x->st[phys(x, i)].mm, (uint16_t)x->st[phys(x, i)].se };
}

void x87_put(struct x86_cpu *x, unsigned i, f80_t v)
{
    x->st[phys(x, i)].mm = v.frac;
    x->st[phys(x, i)].se = v.se;
    x->ftw |= 1u << phys(x, i);
}

void x87_pop(struct x86_cpu *x)
{
    x->ftw &= ~(1u << phys(x, 0));
    x->ftop = (x->ftop + 1) & 7;
}

void x87_push(struct x86_cpu *x, f80_t v)
{
    x->ftop = (x->ftop - 1) & 7;
    if (!empty(x, 0)) {
        x->fsw |= 0x200;
        add_flags(x, ST_IE | ST_SF);
        v = indefinite();
    } else {
        x->fsw &= (uint16_t)~0x200;
    }
    x87_put(x, 0, v);
}

static void check(struct x86_cpu *x)
{
    if (x->fsw & ST_ES && !x86_ignores_numeric(x)) x86_raise(x, XE_MF, 0);
}

/* ---- arithmetic, compares ---- */

static f80_t arith(unsigned op, f80_t a, f80_t b, struct fp_env *e)
{
    switch (op) {
    case 0: return f80_add(a, b, e);
    case 1: return f80_mul(a, b, e);
    case 4: return f80_sub(a, b, e);
    case 5: return f80_sub(b, a, e);
    case 6: return f80_div(a, b, e);
    default: return f80_div(b, a, e);
    }
}

/* A denormal operand counts for nothing beside a NaN or what is invalid. */
static void beside_invalid(f80_t a, f80_t b, struct fp_env *e)
{
    if (e->flags & (FP_INVALID | FP_DIVZERO) || f80_is_nan(a) || f80_is_nan(b) || f80_is_unsupported(a)) e->flags &= (uint8_t)~FP_IN_DENORMAL;
}

/* The relation as C3, C2, C0 at bits 14, 10, 8. */
static uint16_t compare(struct x86_cpu *x, f80_t a, f80_t b, bool quiet)
{
    struct fp_env e = x87_env(x);
    enum fp_rel r = quiet ? f80_compare_quiet(a, b, &e) : f80_compare(a, b, &e);

    x87_take(x, &e);
    return r == FP_LESS ? 0x100 : r == FP_EQUAL ? 0x4000 : r == FP_GREATER ? 0 : 0x4500;
}

/* A memory operand's value by its kind: enum x87_mem. */
static f80_t operand(struct x86_cpu *x, unsigned kind, uint64_t v, struct fp_env *e)
{
    (void)x;
    switch (kind) {
    case X87_F32: return f32_to_f80((f32_t)v, e);
    case X87_F64: return f64_to_f80(v, e);
    case X87_I16: return f80_from_i32((int16_t)v, e);
    case X87_I32: return f80_from_i32((int32_t)v, e);
    default: return f80_from_i64((int64_t)v, e);
    }
}

/* The same for an operation: a NaN is not made quiet by being read. */
static f80_t raw_operand(struct x86_cpu *x, unsigned kind, uint64_t v, struct fp_env *e)
{
    if (kind == X87_F32 && (uint32_t)v << 1 > 0xff000000u) return (f80_t){ (v & 0x7fffff) << 40 | UINT64_C(1) << 63, (uint16_t)((v >> 16 & 0x8000) | 0x7fff) };
    if (kind == X87_F64 && v << 1 > UINT64_C(0xffe0000000000000)) return (f80_t){ v << 11 | UINT64_C(1) << 63, (uint16_t)((v >> 48 & 0x8000) | 0x7fff) };
    return operand(x, kind, v, e);
}

static void set_codes(struct x86_cpu *x, uint16_t codes) { x->fsw = (uint16_t)((x->fsw & ~0x4700) | codes); }

/* a = enum x87_op | i << 8 | more << 16; b = an operand's bits. What it returns is by the op. */
uint64_t x86_helper_x87(struct cpu *c, uint64_t what, uint64_t v, uint64_t unused)
{
    static const f80_t consts[7] = {
        { UINT64_C(0x8000000000000000), 0x3fff }, { UINT64_C(0xd49a784bcd1b8afe), 0x4000 }, { UINT64_C(0xb8aa3b295c17f0bc), 0x3fff },
        { UINT64_C(0xc90fdaa22168c235), 0x4000 }, { UINT64_C(0x9a209a84fbcff799), 0x3ffd }, { UINT64_C(0xb17217f7d1cf79ac), 0x3ffe }, { 0, 0 },
    };
    struct x86_cpu *x = x86_cpu(c);
    uint64_t done;
    if (x87_host(x, what, v, &done)) return done;
    struct fp_env e = x87_env(x);
    unsigned i = what >> 8 & 255, k = what >> 16 & 255, n = (unsigned)(what >> 24) & 255;
    f80_t a, b;

    (void)unused;
    switch (what & 255) {
    case X87_LOAD: /* i: kind */
        check(x);
        a = operand(x, i, v, &e);
        if (!empty(x, 7)) e.flags &= (uint8_t)~FP_IN_DENORMAL; /* a stack fault comes first */
        x87_take(x, &e);
        x87_push(x, a);
        break;
    case X87_LOAD_ST:
        check(x);
        x87_push(x, x87_st(x, i));
        break;
    case X87_CONST: { /* those that are not exact are rounded as the mode says: one bit */
        static const uint8_t rdn[7] = { 0, 0, 1, 1, 1, 1, 0 }, rup[7] = { 0, 1, 0, 0, 0, 0, 0 };
        check(x);
        a = consts[i];
        if (e.round == FP_RDN || e.round == FP_RTZ) a.frac -= rdn[i];
        if (e.round == FP_RUP) a.frac += rup[i];
        x87_push(x, a);
        break;
    }
    case X87_ARITH_MEM: /* st0 = st0 op v; i: op, k: kind */
        check(x);
        a = x87_st(x, 0);
        b = raw_operand(x, k, v, &e);
        if (empty(x, 0)) e.flags = 0;
        else a = arith(i, a, b, &e);
        beside_invalid(a, b, &e);
        x87_take(x, &e);
        x87_put(x, 0, a);
        break;
    case X87_ARITH: { /* k: op; n & 1: sti is the result, n & 2: pop */
        check(x);
        bool bad = empty(x, 0) || empty(x, i);
        a = x87_st(x, n & 1 ? i : 0);
        b = x87_st(x, n & 1 ? 0 : i);
        a = bad ? indefinite() : arith(k, a, b, &e);
        x87_take(x, &e);
        x87_put(x, n & 1 ? i : 0, a);
        if (n & 2) x87_pop(x);
        break;
    }
    case X87_COMPARE: /* k: pops; n: quiet */
    case X87_COMPARE_MEM: { /* i: kind */
        check(x);
        bool mem = (what & 255) == X87_COMPARE_MEM, bad = empty(x, 0) || (!mem && empty(x, i));
        a = x87_st(x, 0);
        b = mem ? raw_operand(x, i, v, &e) : x87_st(x, i);
        beside_invalid(a, b, &e);
        if (mem && !bad) x87_take(x, &e);
        set_codes(x, bad ? 0x4500 : compare(x, a, b, n));
        for (; k; k--) x87_pop(x);
        break;
    }
    case X87_COMPARE_FLAGS: { /* returns ZF, PF, CF */
        check(x);
        bool bad = empty(x, 0) || empty(x, i);
        a = x87_st(x, 0), b = x87_st(x, i);
        unsigned r = bad ? 0x4500 : compare(x, a, b, n);
        x->fsw &= (uint16_t)~0x200;
        if (k) x87_pop(x);
        return (r & 0x4000 ? XFL_ZF : 0) | (r & 0x400 ? XFL_PF : 0) | (r & 0x100 ? XFL_CF : 0);
    }
    case X87_STORE: { /* i: kind, k: truncate; returns the bits. Flags wait for X87_STORED. */
        check(x);
        uint16_t before = x->fsw;
        bool bad = empty(x, 0);
        uint64_t r;
        a = x87_st(x, 0);
        if (k) e.round = FP_RTZ;
        if (i == X87_F32) r = f80_to_f32(a, &e);
        else if (i == X87_F64) r = f80_to_f64(a, &e);
        else {
            bool nan = f80_is_nan(a) || bad || f80_is_unsupported(a);
            struct fp_env t = e;
            int64_t w = f80_to_i64(a, e.round, &t);
            if (nan || t.flags & FP_INVALID) r = UINT64_C(0x8000000000000000), t.flags = FP_INVALID;
            else r = (uint64_t)w;
            int64_t lim = i == X87_I16 ? 32767 : i == X87_I32 ? 2147483647 : INT64_MAX;
            if (t.flags & FP_INVALID || w > lim || w < -lim - 1) r = (uint64_t)(-lim - 1), t.flags = FP_INVALID;
            e.flags = t.flags & ~FP_IN_DENORMAL;
        }
        x->fsw_pending = (uint16_t)((x->fsw & ~before) | flags_of(e.flags));
        x->fsw = before;
        return r;
    }
    case X87_STORED: /* i: pops */
        x->fsw &= (uint16_t)~0x200;
        add_flags(x, x->fsw_pending);
        if (i) x87_pop(x);
        break;
    case X87_STORE_ST: /* k: pop; n: no stack fault */
        check(x);
        a = n && empty(x, 0) ? (f80_t){ 0, 0 } : x87_st(x, 0);
        if (!n || !empty(x, 0)) x87_put(x, i, a);
        if (k) x87_pop(x);
        break;
    case X87_EXCHANGE:
        check(x);
        a = x87_st(x, 0), b = x87_st(x, i);
        x87_put(x, 0, b), x87_put(x, i, a);
        x->fsw &= (uint16_t)~0x200;
        break;
    case X87_SIGN: /* 0 fchs, 1 fabs */
        check(x);
        a = x87_st(x, 0);
        if (!empty(x, 0)) a.se = (uint16_t)(i ? a.se & 0x7fff : a.se ^ 0x8000);
        x87_put(x, 0, a);
        x->fsw &= (uint16_t)~0x200;
        break;
    case X87_TEST:
        check(x);
        a = x87_st(x, 0);
        set_codes(x, compare(x, a, (f80_t){ 0, 0 }, false));
        break;
    case X87_EXAMINE: {
        check(x);
        uint64_t frac = x->st[phys(x, 0)].mm;
        unsigned se = x->st[phys(x, 0)].se, ex = se & 0x7fff;
        uint16_t r = se & 0x8000 ? 0x200 : 0;
        a = (f80_t){ frac, (uint16_t)se };
        if (empty(x, 0)) r |= 0x4100;
        else if (f80_is_unsupported(a)) r |= 0;
        else if (ex == 0x7fff) r |= frac << 1 ? 0x100 : 0x500;
        else if (!frac) r |= 0x4000;
        else r |= ex ? 0x400 : 0x4400;
        set_codes(x, r);
        break;
    }
    case X87_FREE: /* k: pop */
        check(x);
        x->ftw &= ~(1u << phys(x, i));
        if (k) x87_pop(x);
        break;
    case X87_ROTATE: /* i: by */
        check(x);
        x->ftop = (x->ftop + i) & 7;
        x->fsw &= (uint16_t)~0x200;
        break;
    case X87_CMOV: /* v: the condition */
        check(x);
        a = x87_st(x, 0), b = x87_st(x, i);
        if (empty(x, 0) || empty(x, i)) x87_put(x, 0, indefinite());
        else if (v) x87_put(x, 0, b);
        break;
    case X87_FUNC:
        check(x);
        x87_function(x, i);
        break;
    case X87_WAIT: check(x); break;
    case X87_INIT: x->fcw = 0x37f, x->fsw = 0, x->ftw = 0, x->ftop = 0; break;
    case X87_GET_CW: return x->fcw;
    case X87_SET_CW:
        check(x);
        x->fcw = (uint16_t)((v & 0xf3f) | 0x40);
        summary(x);
        break;
    case X87_GET_SW: return x->fsw | x->ftop << 11;
    case X87_CLEAR: x->fsw &= 0x7f00; break;
    }
    return 0;
}

/* fld and fstp of 80 bits. b = 0: load, 1: store and pop */
uint64_t x86_helper_x87_m80(struct cpu *c, uint64_t va, uint64_t store, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);
    uint64_t end = x->is64 ? va + 8 : (uint32_t)(va + 8);

    (void)d;
    check(x);
    if (!store) {
        uint64_t frac = cpu_ld(c, va, IR_M64, c->mmu_now);
        x87_push(x, (f80_t){ frac, (uint16_t)cpu_ld(c, end, IR_M16, c->mmu_now) });
        return 0;
    }
    bool bad = empty(x, 0);
    f80_t v = bad ? indefinite() : x87_st(x, 0);
    cpu_probe(c, va, 8, ACCESS_WRITE, c->mmu_now);
    cpu_probe(c, end, 2, ACCESS_WRITE, c->mmu_now);
    cpu_st(c, va, v.frac, IR_M64, c->mmu_now);
    cpu_st(c, end, v.se, IR_M16, c->mmu_now);
    x87_st(x, 0);
    if (!bad) x->fsw &= (uint16_t)~0x200;
    x87_pop(x);
    return 0;
}

/* fbld, fbstp: eighteen decimal digits, the sign in the last byte's highest bit. b = 1: store and pop */
uint64_t x86_helper_x87_bcd(struct cpu *c, uint64_t va, uint64_t store, uint64_t d)
{
    const uint64_t limit = UINT64_C(1000000000000000000);
    struct x86_cpu *x = x86_cpu(c);
    struct fp_env e = x87_env(x);
    uint64_t end = x->is64 ? va + 8 : (uint32_t)(va + 8), lo = 0, v = 0;
    uint16_t hi = 0;

    (void)d;
    check(x);
    if (!store) {
        lo = cpu_ld(c, va, IR_M64, c->mmu_now), hi = (uint16_t)cpu_ld(c, end, IR_M16, c->mmu_now);
        for (unsigned i = 18; i-- > 0;) v = v * 10 + (i >= 16 ? hi >> 4 * (i - 16) & 15 : lo >> 4 * i & 15);
        f80_t r = f80_from_i64((int64_t)v, &e);
        if (hi & 0x8000) r.se |= 0x8000;
        x87_push(x, r);
        return 0;
    }
    bool bad = empty(x, 0);
    f80_t a = bad ? indefinite() : x87_st(x, 0);
    bool neg = a.se & 0x8000;
    a.se &= 0x7fff;
    if (neg && e.round == FP_RUP) e.round = FP_RDN; /* of the magnitude */
    else if (neg && e.round == FP_RDN) e.round = FP_RUP;
    v = (uint64_t)f80_to_i64(a, (enum fp_round)e.round, &e);
    if (bad || e.flags & FP_INVALID || v >= limit) {
        e.flags = FP_INVALID;
        lo = UINT64_C(0xc000000000000000), hi = 0xffff;
    } else {
        for (unsigned i = 0; i < 18; i++, v /= 10) {
            if (i < 16) lo |= v % 10 << 4 * i;
            else hi |= (uint16_t)(v % 10 << 4 * (i - 16));
        }
        if (neg) hi |= 0x8000;
    }
    cpu_probe(c, va, 8, ACCESS_WRITE, c->mmu_now);
    cpu_probe(c, end, 2, ACCESS_WRITE, c->mmu_now);
    cpu_st(c, va, lo, IR_M64, c->mmu_now);
    cpu_st(c, end, hi, IR_M16, c->mmu_now);
    x87_st(x, 0);
    if (!bad) {
        x->fsw &= (uint16_t)~0x200;
        x87_take(x, &e);
    }
    x87_pop(x);
    return 0;
}

/* ---- environments ---- */

/* Two bits per physical register: valid, zero, special, empty. */
static unsigned tag_word(const struct x86_cpu *x)
{
    unsigned w = 0;

    for (unsigned r = 0; r < 8; r++) {
        unsigned ex = x->st[r].se & 0x7fff, t = 0;
        if (!(x->ftw >> r & 1)) t = 3;
        else if (!ex && !x->st[r].mm) t = 1;
        else if (!ex || ex == 0x7fff || !(x->st[r].mm >> 63)) t = 2;
        w |= t << 2 * r;
    }
    return w;
}

/* fldenv, fnstenv, frstor, fnsave: b = 0 load, 1 store; c = bytes of a field | with the registers << 8 */
uint64_t x86_helper_x87_env(struct cpu *c, uint64_t va, uint64_t store, uint64_t how)
{
    struct x86_cpu *x = x86_cpu(c);
    unsigned w = how & 255, mem = w == 2 ? IR_M16 : IR_M32, m = c->mmu_now;
    bool regs = how >> 8;
    uint64_t at = va + 7 * w;
    uint32_t high = w == 4 ? 0xffff0000u : 0;

    if (store) {
        cpu_probe(c, va, 7 * w + (regs ? 80 : 0), ACCESS_WRITE, m);
        cpu_st(c, va, x->fcw | high, mem, m);
        cpu_st(c, va + w, x->fsw | x->ftop << 11 | high, mem, m);
        cpu_st(c, va + 2 * w, tag_word(x) | high, mem, m);
        for (unsigned i = 3; i < 7; i++) cpu_st(c, va + i * w, i == 6 ? high : 0, mem, m);
        for (unsigned i = 0; regs && i < 8; i++) {
            cpu_st(c, at + 10 * i, x->st[phys(x, i)].mm, IR_M64, m);
            cpu_st(c, at + 10 * i + 8, x->st[phys(x, i)].se, IR_M16, m);
        }
        if (regs) x->fcw = 0x37f, x->fsw = 0, x->ftw = 0, x->ftop = 0;
        else x->fcw |= 0x3f, summary(x);
        return 0;
    }
    unsigned cw = (unsigned)cpu_ld(c, va, mem, m), sw = (unsigned)cpu_ld(c, va + w, mem, m), tw = (unsigned)cpu_ld(c, va + 2 * w, mem, m);
    uint64_t frac[8];
    uint16_t se[8];
    for (unsigned i = 0; regs && i < 8; i++) frac[i] = cpu_ld(c, at + 10 * i, IR_M64, m), se[i] = (uint16_t)cpu_ld(c, at + 10 * i + 8, IR_M16, m);
    x->fcw = (uint16_t)((cw & 0xf3f) | 0x40);
    x->fsw = (uint16_t)(sw & 0x477f);
    x->ftop = sw >> 11 & 7;
    x->ftw = 0;
    for (unsigned r = 0; r < 8; r++) x->ftw |= (uint32_t)((tw >> 2 * r & 3) != 3) << r;
    for (unsigned i = 0; regs && i < 8; i++) x->st[phys(x, i)].mm = frac[i], x->st[phys(x, i)].se = se[i];
    summary(x);
    return 0;
}
