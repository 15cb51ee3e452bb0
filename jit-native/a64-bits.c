/*
 * a64-bits.c - lowering of extensions, bit fields, counts, and moves between widths.
 */
#include "jit-native/a64.h"

static bool wide(const struct lower *c) { return c->o->type == T_I64; }

static void field(struct lower *c, uint32_t op, bool w, unsigned pos, unsigned len)
{
    unsigned a = a64_use(c, c->o->a, X0), d = a64_def(c, X0);
    a64_bitfield(&c->e, op, w, d, a, pos, pos + len - 1);
    a64_done(c, c->o->d, d);
}

static void one(struct lower *c, uint32_t op)
{
    unsigned a = a64_use(c, c->o->a, X0), d = a64_def(c, X0);
    a64_rr(&c->e, op, wide(c), d, a);
    a64_done(c, c->o->d, d);
}

/* The low word, zeros above. */
static void low_word(struct lower *c)
{
    unsigned a = a64_use(c, c->o->a, X0), d = a64_def(c, X0);
    a64_rrr(&c->e, A_ORR, false, d, ZR, a);
    a64_done(c, c->o->d, d);
}

static void trailing(struct lower *c)
{
    unsigned a = a64_use(c, c->o->a, X0), d = a64_def(c, X0);
    a64_rr(&c->e, A_RBIT, wide(c), d, a);
    a64_rr(&c->e, A_CLZ, wide(c), d, d);
    a64_done(c, c->o->d, d);
}

static void count(struct lower *c)
{
    unsigned v = a64_use_fp(c, c->o->a, 0);
    a64_dn(&c->e, A_CNT8B, 0, v);
    a64_dn(&c->e, A_ADDV8B, 0, 0);
    unsigned d = a64_def(c, X0);
    a64_fcvt(&c->e, A_FMOV_GF, false, false, d, 0);
    a64_done(c, c->o->d, d);
}

static void deposit(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = wide(c);
    unsigned width = w ? 64 : 32, pos = o->aux & 0xff, len = o->aux >> 8 & 0xff;

    if (len == width) {
        a64_done(c, o->d, a64_use_z(c, o->b, X0));
        return;
    }
    if (w && len == 32 && (pos == 0 || pos == 32) && (is_fpr(lower_reg(c, o->d)) || is_fpr(lower_reg(c, o->a)))) {
        unsigned d = a64_def_fp(c, 0);
        if (a64_lives_in_fp(c, o->b, d) && !a64_lives_in_fp(c, o->a, d)) d = 0;
        unsigned a = a64_use_fp(c, o->a, d);
        if (a != d) a64_ff(e, A_FMOV, true, d, a);
        int rb = lower_reg(c, o->b);
        if (is_fpr(rb)) a64_dn(e, pos ? A_INS_S1 : A_INS_S0, d, a64_fpr(rb));
        else a64_dn(e, pos ? A_INS_S1G : A_INS_S0G, d, a64_use_z(c, o->b, X0));
        a64_done_fp(c, o->d, d);
        return;
    }
    unsigned b = a64_use_z(c, o->b, X1), d = a64_def(c, X0);
    if (d == b) d = X0;
    a64_load(c, d, o->a);
    a64_bitfield(e, A_BFM, w, d, b, (width - pos) & (width - 1), len - 1);
    a64_done(c, o->d, d);
}

/* Conversions of width where one side lives in an FP register. */
static bool in_fp(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    int rd = lower_reg(c, o->d), ra = lower_reg(c, o->a);
    if (!is_fpr(rd) && !is_fpr(ra)) return false;
    if (o->op == OP_LO) {
        if (is_fpr(rd) && ra == IN_MEMORY && !ir_is_const(o->a)) { /* little-endian */
            a64_ldst(e, A_LDRS, a64_fpr(rd), a64_cell(c, o->a));
        } else if (is_fpr(rd) && is_gpr(ra)) {
            a64_fcvt(e, A_FMOV_FG, false, false, a64_fpr(rd), a64_gpr(ra));
        } else {
            unsigned a = a64_use_fp(c, o->a, 0);
            if (is_fpr(rd)) a64_ff(e, A_FMOV, false, a64_fpr(rd), a);
            else a64_done_fp(c, o->d, a);
        }
        return true;
    }
    if (o->op == OP_ZXW && is_fpr(rd)) { /* what is written to s registers has zeros above */
        unsigned d = a64_fpr(rd), a = a64_use_fp(c, o->a, d);
        if (a != d || is_fpr(ra)) a64_ff(e, A_FMOV, false, d, a);
        return true;
    }
    if (o->op == OP_HI && is_fpr(ra) && is_fpr(rd)) {
        a64_dn(e, A_DUP_S1, a64_fpr(rd), a64_fpr(ra));
        return true;
    }
    return false;
}

static void high_half(struct lower *c)
{
    struct emit *e = &c->e;
    unsigned d = a64_def(c, X0);
    if (lower_reg(c, c->o->a) == IN_MEMORY && !ir_is_const(c->o->a)) {
        struct a64_mem m = a64_cell(c, c->o->a);
        m.disp += 4;
        a64_ldst(e, A_LDRW, d, m);
    } else {
        a64_lsr(e, true, d, a64_use(c, c->o->a, X0), 32);
    }
    a64_done(c, c->o->d, d);
}

static void concat(struct lower *c)
{
    unsigned b = a64_use_z(c, c->o->b, X1), d = a64_def(c, X0);
    if (d == b) d = X0;
    a64_load(c, d, c->o->a);
    a64_bitfield(&c->e, A_BFM, true, d, b, 32, 31);
    a64_done(c, c->o->d, d);
}

bool a64_lower_bits(struct lower *c)
{
    const struct ir_op *o = c->o;
    bool w = wide(c);
    unsigned pos = o->aux & 0xff, len = o->aux >> 8 & 0xff;
    switch (o->op) {
    case OP_ZX8: field(c, A_UBFM, false, 0, 8); return true;
    case OP_ZX16: field(c, A_UBFM, false, 0, 16); return true;
    case OP_SX8: field(c, A_SBFM, w, 0, 8); return true;
    case OP_SX16: field(c, A_SBFM, w, 0, 16); return true;
    case OP_SX32: case OP_SXW: field(c, A_SBFM, true, 0, 32); return true;
    case OP_ZX32: low_word(c); return true;
    case OP_LO: case OP_ZXW:
        if (!in_fp(c)) low_word(c);
        return true;
    case OP_HI:
        if (!in_fp(c)) high_half(c);
        return true;
    case OP_CONCAT: concat(c); return true;
    case OP_BSWAP: one(c, w ? A_REV64 : A_REV32); return true;
    case OP_BSWAP16X: one(c, A_REV16); return true;
    case OP_EXTRACT: field(c, A_UBFM, w, pos, len); return true;
    case OP_SEXTRACT: field(c, A_SBFM, w, pos, len); return true;
    case OP_DEPOSIT: deposit(c); return true;
    case OP_CLZ: one(c, A_CLZ); return true;
    case OP_CLS: one(c, A_CLS); return true;
    case OP_BITREV: one(c, A_RBIT); return true;
    case OP_CTZ: trailing(c); return true;
    case OP_POPCNT: count(c); return true;
    default: return false;
    }
}
