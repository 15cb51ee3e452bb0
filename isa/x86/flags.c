/*
 * flags.c - the flags that lazy state stands for, and EFLAGS as a whole.
 *
 * Which operation leaves which flags: Intel SDM volume 1, appendix A. Flags that are undefined after an operation get a
 * fixed value that processors give, too.
 */
#include "isa/x86/x86.h"

static uint64_t mask_of(unsigned op) { return (op & 3) == 3 ? ~UINT64_C(0) : (UINT64_C(1) << (8u << (op & 3))) - 1; }

static uint32_t parity(uint64_t r)
{
    uint32_t x = (uint32_t)r & 0xff;
    x ^= x >> 4;
    return 0x9669u >> (x & 15) & 1 ? XFL_PF : 0;
}

uint32_t x86_cc_flags(unsigned op, uint64_t r, uint64_t b)
{
    uint64_t mask = mask_of(op), sign = mask ^ mask >> 1, a;
    unsigned kind = op & ~3u;
    bool cf = false, of = false, af = false;

    if (kind == X86_CC_FLAGS) return (uint32_t)b & XFL_ARITH;
    r &= mask, b &= mask;
    switch (kind) {
    case X86_CC_ADD: case X86_CC_ADC:
        a = (r - b - (kind == X86_CC_ADC)) & mask;
        cf = kind == X86_CC_ADC ? r <= b : r < b;
        of = (a ^ r) & (b ^ r) & sign;
        af = (a ^ b ^ r) & 16;
        break;
    case X86_CC_SUB: case X86_CC_SBB:
        a = (r + b + (kind == X86_CC_SBB)) & mask;
        cf = kind == X86_CC_SBB ? a <= b : a < b;
        of = (a ^ b) & (a ^ r) & sign;
        af = (a ^ b ^ r) & 16;
        break;
    case X86_CC_INC:
        cf = b & 1, of = r == sign, af = !(r & 15);
        break;
    case X86_CC_DEC:
        cf = b & 1, of = r == (sign ^ mask), af = (r & 15) == 15;
        break;
    case X86_CC_SHL:
        cf = b & sign, of = cf != !!(r & sign);
        break;
    case X86_CC_SHR:
        cf = b & 1, of = b & sign;
        break;
    case X86_CC_SHRD:
        cf = b & 1, of = (b ^ r) & sign;
        break;
    case X86_CC_SAR:
        cf = b & 1;
        break;
    case X86_CC_MUL:
        cf = of = b & 1;
        break;
    case X86_CC_BLS:
        cf = b & 1;
        break;
    default: /* LOGIC */
        break;
    }
    return parity(r) | (r ? 0 : XFL_ZF) | (r & sign ? XFL_SF : 0) | (cf ? XFL_CF : 0) | (of ? XFL_OF : 0) | (af ? XFL_AF : 0);
}

uint32_t x86_flags_now(const struct x86_cpu *x)
{
    uint64_t r = x86_cell(x, &x->cc_r), b = x86_cell(x, &x->cc_b);
    unsigned op = x->cc_op;

    if ((op & ~3u) != X86_CC_INC2 && (op & ~3u) != X86_CC_DEC2) return x86_cc_flags(op, r, b);
    b = x86_cc_flags(x->cf_op, x86_cell(x, &x->cf_r), x86_cell(x, &x->cf_b)) & XFL_CF;
    return x86_cc_flags(op - X86_CC_INC2 + X86_CC_INC, r, b);
}

uint32_t x86_get_eflags(const struct x86_cpu *x)
{
    uint32_t df = x86_cell(x, &x->df) == 1 ? 0 : XFL_DF;
    return x->eflags | XFL_ONE | df | x86_flags_now(x);
}

void x86_set_eflags(struct x86_cpu *x, uint32_t v)
{
    x->cc_op = X86_CC_FLAGS;
    x86_set_cell(x, &x->cc_b, v & XFL_ARITH);
    x86_set_cell(x, &x->cc_r, 0);
    x86_set_cell(x, &x->df, v & XFL_DF ? ~UINT64_C(0) : 1);
    x->eflags = v & ~(uint32_t)(XFL_ARITH | XFL_DF | XFL_ONE);
    if (x->user) x->c.key = v & XFL_TF ? x->c.key | XK_STEP : x->c.key & ~(uint64_t)XK_STEP; /* else x86_update_key()'s */
}
