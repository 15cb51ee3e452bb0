/*
 * helpers.c - C functions that translated x86 code calls, for what is rare or long: exceptions, EFLAGS, CPUID, double-width
 * signed division, decimal adjustment, CRC32, bit gathering. Follows the Intel SDM volume 2.
 */
#include "isa/x86/sys.h"
#include "util/log.h"

void x86_raise(struct x86_cpu *x, uint32_t code, uint32_t sub)
{
    x->c.exc = (struct exception){ .code = code, .sub = sub };
    cpu_raise(&x->c);
}

uint64_t x86_helper_raise(struct cpu *c, uint64_t code, uint64_t sub, uint64_t unused)
{
    (void)unused;
    x86_raise(x86_cpu(c), (uint32_t)code, (uint32_t)sub);
}

uint64_t x86_helper_unbuilt(struct cpu *c, uint64_t line, uint64_t b, uint64_t d)
{
    (void)b, (void)d;
    LOG(UNIMP, "x86: %s is not built\n", x86_defs[line].name);
    x86_raise(x86_cpu(c), XE_UD, 0);
}

/* ---- flags ---- */

uint64_t x86_helper_cc(struct cpu *c, uint64_t op, uint64_t r, uint64_t b)
{
    (void)c;
    return x86_cc_flags((unsigned)op, r, b);
}

uint64_t x86_helper_flags(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)a, (void)b, (void)d;
    return x86_flags_now(x86_cpu(c));
}

uint64_t x86_helper_eflags(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)a, (void)b, (void)d;
    return x86_get_eflags(x86_cpu(c)) & ~(uint32_t)(XFL_VM | XFL_RF);
}

uint64_t x86_helper_popf(struct cpu *c, uint64_t v, uint64_t bytes, uint64_t unused)
{
    struct x86_cpu *x = x86_cpu(c);
    uint32_t may = XFL_ARITH | XFL_DF | XFL_TF | XFL_NT | XFL_AC | XFL_ID;

    (void)unused;
    if (bytes == 2) may &= 0xffff;
    x86_set_eflags(x, (x86_get_eflags(x) & ~may) | ((uint32_t)v & may));
    return 0;
}

/* ---- identification, time ---- */

static void regs(struct x86_cpu *x, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    x86_set_gpr(x, 0, a), x86_set_gpr(x, 3, b), x86_set_gpr(x, 1, c), x86_set_gpr(x, 2, d);
}

uint64_t x86_helper_cpuid(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);
    uint32_t r[4];

    (void)a, (void)b, (void)d;
    x86_cpuid(x, (uint32_t)x86_gpr(x, 0), (uint32_t)x86_gpr(x, 1), r);
    if (!x->user) x86_sys_cpuid(x, (uint32_t)x86_gpr(x, 0), (uint32_t)x86_gpr(x, 1), r);
    regs(x, r[0], r[1], r[2], r[3]);
    return 0;
}

uint64_t x86_helper_rdtsc(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)a, (void)b, (void)d;
    if (x->user) return cpu_icount(c); /* one tick per instruction */
    if (x->cr0 & CR0_PE && x->cpl && x->cr4 & CR4_TSD) x86_gp(x, 0);
    return x86_tsc(x);
}

/* ---- arithmetic ---- */

uint64_t x86_helper_idiv64(struct cpu *c, uint64_t by, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);
    uint64_t hi = x->gpr.d[2], lo = x->gpr.d[0], q = 0;
    bool neg = hi >> 63, qneg = neg != (bool)(by >> 63);

    (void)b, (void)d;
    if (neg) lo = 0 - lo, hi = ~hi + !lo;
    if (by >> 63) by = 0 - by;
    if (hi >= by) x86_raise(x, XE_DE, 0); /* zero, too */
    for (unsigned i = 0; i < 64; i++) {
        bool out = hi >> 63;
        hi = hi << 1 | lo >> 63, lo <<= 1, q <<= 1;
        if (out || hi >= by) hi -= by, q |= 1;
    }
    if (q > (UINT64_C(1) << 63) - !qneg) x86_raise(x, XE_DE, 0);
    x->gpr.d[0] = qneg ? 0 - q : q;
    x->gpr.d[2] = neg ? 0 - hi : hi;
    return 0;
}

uint64_t x86_helper_cmpxchg16b(struct cpu *c, uint64_t va, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);
    uint64_t expect[2] = { x->gpr.d[0], x->gpr.d[2] }, value[2] = { x->gpr.d[3], x->gpr.d[1] }, old[2];
    uint32_t f = x86_get_eflags(x) & XFL_ARITH & ~(uint32_t)XFL_ZF;

    (void)b, (void)d;
    if (va & 15) x86_raise(x, XE_GP, 0);
    if (cpu_cas128(c, va, expect, value, old, 0, c->mmu_now)) f |= XFL_ZF;
    else x->gpr.d[0] = old[0], x->gpr.d[2] = old[1];
    x->cc_op = X86_CC_FLAGS;
    x86_set_cell(x, &x->cc_b, f);
    return 0;
}

uint64_t x86_helper_crc32(struct cpu *c, uint64_t crc, uint64_t data, uint64_t bytes)
{
    uint32_t r = (uint32_t)crc;

    (void)c;
    for (unsigned i = 0; i < 8 * bytes; i++) {
        bool x = (r ^ (uint32_t)(data >> i)) & 1;
        r = r >> 1 ^ (x ? 0x82f63b78u : 0); /* 0x1EDC6F41 with its bits reversed */
    }
    return r;
}

uint64_t x86_helper_pext(struct cpu *c, uint64_t v, uint64_t mask, uint64_t extract)
{
    uint64_t r = 0;
    unsigned k = 0;

    (void)c;
    for (unsigned i = 0; i < 64; i++) {
        if (!(mask >> i & 1)) continue;
        if (extract) r |= (v >> i & 1) << k;
        else r |= (v >> k & 1) << i;
        k++;
    }
    return r;
}

/* what: 0 daa, 1 das, 2 aaa, 3 aas */
uint64_t x86_helper_decimal(struct cpu *c, uint64_t ax, uint64_t flags, uint64_t what)
{
    uint32_t al = (uint32_t)ax & 0xff, f = (uint32_t)flags, old = al;
    bool af = f & XFL_AF, cf = f & XFL_CF, sub = what & 1;

    (void)c;
    if (what < 2) {
        bool high = old > 0x99 || cf, low = (al & 15) > 9 || af;
        cf = false;
        if (low) {
            cf = (f & XFL_CF) || (sub ? al < 6 : al + 6 > 0xff);
            al = sub ? al - 6 : al + 6;
        }
        if (high) al = sub ? al - 0x60 : al + 0x60;
        if (high) cf = true;
        al &= 0xff;
        f = x86_cc_flags(X86_CC_LOGIC, al, 0) | (cf ? XFL_CF : 0) | (low ? XFL_AF : 0);
        ax = (ax & 0xff00) | al;
    } else {
        bool adjust = (al & 15) > 9 || af;
        uint32_t w = (uint32_t)ax & 0xffff;
        if (adjust) w = sub ? w - 6 - 0x100 : w + 0x106;
        ax = w & 0xff0f;
        f = (f & ~(uint32_t)(XFL_CF | XFL_AF)) | (adjust ? XFL_CF | XFL_AF : 0);
    }
    return (ax & 0xffff) | (uint64_t)f << 32;
}

/* ---- MXCSR ---- */

/* Flags: invalid, denormal, divide, overflow, underflow, precise in bits 0 to 5. */
static uint32_t mxcsr_flags(unsigned f)
{
    return (f & FP_INVALID ? 1 : 0) | (f & FP_IN_DENORMAL ? 2 : 0) | (f & FP_DIVZERO ? 4 : 0) | (f & FP_OVERFLOW ? 8 : 0) |
           (f & FP_UNDERFLOW ? 16 : 0) | (f & (FP_INEXACT | FP_FLUSHED) ? 32 : 0);
}

uint32_t x86_get_mxcsr(struct x86_cpu *x) { return x->mxcsr | mxcsr_flags(cpu_fp_flags(&x->c)); }

void x86_set_mxcsr(struct x86_cpu *x, uint32_t v)
{
    static const uint8_t rounds[4] = { FP_RNE, FP_RDN, FP_RUP, FP_RTZ };

    x->mxcsr = v & ~0x3fu;
    x->c.fp.round = rounds[v >> 13 & 3];
    x->c.fp.ftz = v >> 15 & 1;
    x->c.fp.daz = v >> 6 & 1;
    cpu_fp_set_flags(&x->c, (v & 1 ? FP_INVALID : 0u) | (v & 2 ? FP_IN_DENORMAL : 0u) | (v & 4 ? FP_DIVZERO : 0u) | (v & 8 ? FP_OVERFLOW : 0u) |
                                (v & 16 ? FP_UNDERFLOW : 0u) | (v & 32 ? FP_INEXACT : 0u));
    cpu_fp_changed(&x->c);
}

/* Half precision: flushing does not apply to the halves. */
uint64_t x86_helper_f16_f32(struct cpu *c, uint64_t v, uint64_t b, uint64_t d)
{
    struct fp_env e = c->fp;

    (void)b, (void)d;
    e.flags = 0, e.daz = e.ftz = false;
    uint32_t r = f16_to_f32((f16_t)v, &e);
    c->fp.flags |= e.flags & ~FP_IN_DENORMAL;
    return r;
}

uint64_t x86_helper_f32_f16(struct cpu *c, uint64_t v, uint64_t imm, uint64_t d)
{
    static const uint8_t rounds[4] = { FP_RNE, FP_RDN, FP_RUP, FP_RTZ };
    struct fp_env e = c->fp;

    (void)d;
    e.flags = 0, e.ftz = false;
    if (!(imm & 4)) e.round = rounds[imm & 3];
    uint32_t r = f32_to_f16((f32_t)v, &e);
    c->fp.flags |= e.flags;
    return r;
}

uint64_t x86_helper_ldmxcsr(struct cpu *c, uint64_t v, uint64_t b, uint64_t d)
{
    (void)b, (void)d;
    if (v & 0xffff0000u) x86_raise(x86_cpu(c), XE_GP, 0);
    x86_set_mxcsr(x86_cpu(c), (uint32_t)v);
    return 0;
}

uint64_t x86_helper_stmxcsr(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)a, (void)b, (void)d;
    return x86_get_mxcsr(x86_cpu(c));
}

/* ---- FXSAVE, FXRSTOR ---- */

/* Little-endian image: SDM volume 1, section 10.5.1. Instruction and data pointers are not kept. */
void x86_fxsave_image(struct x86_cpu *x, uint8_t image[512])
{
    unsigned top = x->ftop & 7;

    memset(image, 0, 512);
    st16_le(image, x->fcw);
    st16_le(image + 2, (uint16_t)(x->fsw | top << 11));
    image[4] = (uint8_t)x->ftw;
    st32_le(image + 24, x86_get_mxcsr(x));
    st32_le(image + 28, 0xffff);
    for (unsigned i = 0; i < 8; i++) {
        st64_le(image + 32 + 16 * i, x->st[(top + i) & 7].mm);
        st16_le(image + 40 + 16 * i, (uint16_t)x->st[(top + i) & 7].se);
    }
    for (unsigned i = 0; i < (x->is64 ? 16u : 8u); i++) {
        st64_le(image + 160 + 16 * i, x->vec[i][0]);
        st64_le(image + 168 + 16 * i, x->vec[i][1]);
    }
}

void x86_fxrstor_image(struct x86_cpu *x, const uint8_t image[512])
{
    unsigned top = image[3] >> 3 & 7;

    x->fcw = ld16_le(image);
    x->fsw = ld16_le(image + 2) & 0xc7ff;
    x->ftw = image[4];
    x->ftop = top;
    x86_set_mxcsr(x, ld32_le(image + 24) & 0xffff);
    for (unsigned i = 0; i < 8; i++) {
        x->st[(top + i) & 7].mm = ld64_le(image + 32 + 16 * i);
        x->st[(top + i) & 7].se = ld16_le(image + 40 + 16 * i);
    }
    for (unsigned i = 0; i < (x->is64 ? 16u : 8u); i++) {
        x->vec[i][0] = ld64_le(image + 160 + 16 * i);
        x->vec[i][1] = ld64_le(image + 168 + 16 * i);
    }
}

uint64_t x86_helper_fxsave(struct cpu *c, uint64_t va, uint64_t restore, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);
    uint8_t image[512];

    (void)d;
    if (va & 15) x86_raise(x, XE_GP, 0);
    if (restore) {
        for (unsigned i = 0; i < 512; i += 8) st64_le(image + i, cpu_ld(c, va + i, IR_M64, c->mmu_now));
        if (ld32_le(image + 24) & 0xffff0000u) x86_raise(x, XE_GP, 0);
        x86_fxrstor_image(x, image);
        return 0;
    }
    x86_fxsave_image(x, image);
    /* the last 96 bytes are the program's */
    for (unsigned i = 0; i < (x->is64 ? 416u : 288u); i += 8) cpu_st(c, va + i, ld64_le(image + i), IR_M64, c->mmu_now);
    return 0;
}
