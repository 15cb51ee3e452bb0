/*
 * x64-bits.c - lowering of extensions, bit fields, counts, and moves between widths.
 */
#include "jit-native/x64.h"

static bool wide(const struct lower *c) { return c->o->type == T_I64 && !X64_CONST(c)->low; }

static void extend(struct lower *c, unsigned op, bool w)
{
    struct x64_rm a = x64_use_rm(c, c->o->a, RAX);
    unsigned d = x64_def(c, RAX);
    x64_op(&c->e, op, w, d, a);
    x64_done(c, c->o->d, d);
}

/* A word that is sign-extended already, or need not be, is only moved. */
static void sign_extend_word(struct lower *c)
{
    const struct ir_op *o = c->o;
    uint32_t to = gen_slot_bit(c->g, o->d) & c->g->narrow, from = gen_slot_bit(c->g, o->a) & c->g->narrow;
    int rd = lower_reg(c, o->d), ra = lower_reg(c, o->a);
    if (to) {
        if (ra != rd) x64_op(&c->e, 0x8b, false, (unsigned)rd, x64_use_rm(c, o->a, RAX));
        return;
    }
    struct gen_fact f = gen_fact_of(c->g, c->jb, c->known, o->a);
    if (f.s <= 32 && !(from & ~X64(c)->whole) && is_gpr(rd) && is_gpr(ra)) {
        c->need |= f.s_by;
        x64_mov(&c->e, true, (unsigned)rd, (unsigned)ra);
        return;
    }
    extend(c, 0x63, true);
}

static void extract(struct lower *c, bool is_signed)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = wide(c);
    unsigned width = w ? 64 : 32, pos = o->aux & 0xff, len = o->aux >> 8 & 0xff, d = x64_def(c, RAX);

    if (!pos && (len == 8 || len == 16 || (len == 32 && w))) {
        static const unsigned ops[2][3] = { { 0xb6 | X_0F | X_B, 0xb7 | X_0F, 0x8b }, { 0xbe | X_0F | X_B, 0xbf | X_0F, 0x63 } };
        struct x64_rm a = x64_use_rm(c, o->a, RAX);
        x64_op(e, ops[is_signed][len == 8 ? 0 : len == 16 ? 1 : 2], is_signed && w, d, a);
    } else if (w && pos + len == 32 && !is_signed) { /* of the lower half */
        x64_op(e, 0x8b, false, d, x64_use_rm(c, o->a, RAX));
        x64_shift_imm(e, SH_SHR, false, x64_r(d), pos);
    } else if (w && pos + len == 32 && gen_slot_bit(c->g, o->d) & c->g->narrow) {
        x64_op(e, 0x8b, false, d, x64_use_rm(c, o->a, RAX));
        x64_shift_imm(e, SH_SAR, false, x64_r(d), pos);
    } else if (pos + len == width) {
        x64_load(c, d, o->a);
        if (pos) x64_shift_imm(e, is_signed ? SH_SAR : SH_SHR, w, x64_r(d), pos);
    } else if (!is_signed && len <= 31) {
        x64_load(c, d, o->a);
        if (pos) x64_shift_imm(e, SH_SHR, w, x64_r(d), pos);
        x64_alu_imm(e, ALU_AND, false, x64_r(d), (int32_t)(UINT32_MAX >> (32 - len)));
    } else {
        x64_load(c, d, o->a);
        if (width - pos - len) x64_shift_imm(e, SH_SHL, w, x64_r(d), width - pos - len);
        if (width - len) x64_shift_imm(e, is_signed ? SH_SAR : SH_SHR, w, x64_r(d), width - len);
    }
    x64_done(c, o->d, d);
}

static void deposit(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = wide(c);
    unsigned width = w ? 64 : 32, pos = o->aux & 0xff, len = o->aux >> 8 & 0xff;
    uint64_t mask = UINT64_MAX >> (64 - len), k;

    if (len == width) {
        x64_done(c, o->d, x64_use(c, o->b, RAX));
        return;
    }
    if (w && len == 32 && (is_xmm(lower_reg(c, o->d)) || is_xmm(lower_reg(c, o->a))) && c->h->has.sse41 && (pos == 0 || pos == 32)) {
        unsigned d = x64_def_xmm(c, XMM0);
        int rb = lower_reg(c, o->b);
        if (is_xmm(rb) && (unsigned)rb - GPRS == d && !x64_lives_in(c, o->a, d + GPRS)) d = XMM0;
        unsigned a = x64_use_xmm(c, o->a, d);
        if (a != d) x64_op(e, 0x28 | X_0F, false, d, x64_r(a));
        if (is_xmm(rb)) {
            if (pos) x64_op_imm(e, 0x21 | X_0F3A | X_66, false, d, x64_r((unsigned)rb - GPRS), 1, 0x10); /* insertps */
            else x64_op(e, 0x10 | X_0F | X_F3, false, d, x64_r((unsigned)rb - GPRS)); /* movss */
        } else { /* pinsrd */
            struct x64_rm b;
            if (lower_const(c, o->b, &k)) x64_mov_imm(e, RAX, (uint32_t)k), b = x64_r(RAX);
            else b = x64_use_rm(c, o->b, RAX);
            x64_op_imm(e, 0x22 | X_0F3A | X_66, false, d, b, 1, pos != 0);
        }
        x64_done_xmm(c, o->d, d);
        return;
    }
    if (pos == 0 && (len == 8 || len == 16)) { /* a move of bytes */
        unsigned d = x64_def(c, RAX), prefix = len == 8 ? X_B : X_66;
        if (lower_const(c, o->b, &k)) {
            x64_load(c, d, o->a);
            x64_op_imm(e, (len == 8 ? 0xc6 : 0xc7) | prefix, false, 0, x64_r(d), len / 8, (uint32_t)k);
        } else {
            struct x64_rm b = x64_use_rm(c, o->b, RCX);
            if (x64_lives_in(c, o->b, d) && !x64_lives_in(c, o->a, d)) x64_mov(e, false, RCX, d), b = x64_r(RCX);
            x64_load(c, d, o->a);
            x64_op(e, (len == 8 ? 0x8a : 0x8b) | prefix, false, d, b);
        }
        x64_done(c, o->d, d);
        return;
    }
    if (lower_const(c, o->b, &k)) {
        k = (k & mask) << pos;
        if (k == mask << pos && !w) {
            unsigned d = x64_def(c, RAX);
            x64_load(c, d, o->a);
            x64_alu_imm(e, ALU_OR, false, x64_r(d), (int32_t)(uint32_t)k);
            x64_done(c, o->d, d);
            return;
        }
        x64_mov_imm(e, RCX, k);
    } else {
        x64_load(c, RCX, o->b);
        if (w && len == 32 && pos == 0) x64_mov(e, false, RCX, RCX), x64_op(e, 0x8b, false, RCX, x64_r(RCX));
        else if (lower_known_bits(c, o->b) > len && pos + len < width) {
            if (len <= 31) x64_alu_imm(e, ALU_AND, false, x64_r(RCX), (int32_t)mask);
            else x64_shift_imm(e, SH_SHL, true, x64_r(RCX), 64 - len), x64_shift_imm(e, SH_SHR, true, x64_r(RCX), 64 - len);
        }
        if (pos) x64_shift_imm(e, SH_SHL, w, x64_r(RCX), pos);
    }
    x64_load(c, RAX, o->a);
    if (w && pos == 0 && len == 32) {
        x64_shift_imm(e, SH_SHR, true, x64_r(RAX), 32);
        x64_shift_imm(e, SH_SHL, true, x64_r(RAX), 32);
    } else if (w && pos == 32 && len == 32) {
        x64_op(e, 0x8b, false, RAX, x64_r(RAX));
    } else {
        uint64_t keep = ~(mask << pos);
        if (!w || (int64_t)keep == (int32_t)keep) {
            x64_alu_imm(e, ALU_AND, w, x64_r(RAX), (int32_t)(uint32_t)keep);
        } else {
            x64_mov_imm(e, RDX, keep);
            x64_alu(e, ALU_AND, true, RAX, x64_r(RDX));
        }
    }
    x64_alu(e, ALU_OR, w, RAX, x64_r(RCX));
    x64_done(c, o->d, RAX);
}

/* Conversions of width where one side lives in an XMM register. */
static bool in_xmm(struct lower *c)
{
    const struct ir_op *o = c->o;
    int rd = lower_reg(c, o->d), ra = lower_reg(c, o->a);
    if (!is_xmm(rd) && !is_xmm(ra)) return false;
    if (o->op == OP_LO && is_xmm(ra)) {
        x64_done_xmm(c, o->d, (unsigned)ra - GPRS);
        return true;
    }
    if (o->op == OP_ZXW && is_xmm(rd)) { /* movd clears what is above */
        unsigned d = x64_def_xmm(c, XMM0);
        if (is_xmm(ra)) {
            if (!c->h->has.sse41) return false;
            x64_op(&c->e, 0x35 | X_0F38 | X_66, false, d, x64_r((unsigned)ra - GPRS)); /* pmovzxdq */
        } else {
            x64_op(&c->e, 0x6e | X_0F | X_66, false, d, x64_use_rm(c, o->a, RAX));
        }
        x64_done_xmm(c, o->d, d);
        return true;
    }
    if (o->op == OP_LO && is_xmm(rd) && ra == IN_MEMORY && !ir_is_const(o->a)) {
        x64_op(&c->e, 0x10 | X_0F | X_F3, false, (unsigned)rd - GPRS, x64_m(x64_cell(c, o->a)));
        return true;
    }
    if (o->op == OP_HI && is_xmm(ra) && is_xmm(rd)) {
        unsigned d = (unsigned)rd - GPRS;
        x64_op_imm(&c->e, 0x70 | X_0F | X_66, false, d, x64_r((unsigned)ra - GPRS), 1, 0x55); /* pshufd */
        return true;
    }
    return false;
}

static void high_half(struct lower *c)
{
    unsigned d = x64_def(c, RAX);
    if (lower_reg(c, c->o->a) == IN_MEMORY && !ir_is_const(c->o->a)) {
        struct x64_mem m = x64_cell(c, c->o->a);
        m.disp += 4;
        x64_op(&c->e, 0x8b, false, d, x64_m(m));
    } else {
        x64_load(c, RAX, c->o->a);
        x64_shift_imm(&c->e, SH_SHR, true, x64_r(RAX), 32);
        d = RAX;
    }
    x64_done(c, c->o->d, d);
}

static void concat(struct lower *c)
{
    x64_load(c, RCX, c->o->a);
    x64_load(c, RAX, c->o->b);
    x64_shift_imm(&c->e, SH_SHL, true, x64_r(RAX), 32);
    x64_alu(&c->e, ALU_OR, true, RAX, x64_r(RCX));
    x64_done(c, c->o->d, RAX);
}

static void bswap(struct lower *c)
{
    bool w = wide(c);
    unsigned d = x64_def(c, RAX);
    x64_load(c, d, c->o->a);
    if (w || d >= R8) emit_byte(&c->e, 0x40 | (w ? 8u : 0) | (d >= R8 ? 1u : 0));
    emit_byte(&c->e, 0x0f);
    emit_byte(&c->e, 0xc8 | (d & 7));
    x64_done(c, c->o->d, d);
}

bool x64_lower_bits(struct lower *c)
{
    bool w = wide(c);
    switch (c->o->op) {
    case OP_ZX8: extend(c, 0xb6 | X_0F | X_B, false); return true;
    case OP_ZX16: extend(c, 0xb7 | X_0F, false); return true;
    case OP_SX8: extend(c, 0xbe | X_0F | X_B, w); return true;
    case OP_SX16: extend(c, 0xbf | X_0F, w); return true;
    case OP_SX32: sign_extend_word(c); return true;
    case OP_ZX32: extend(c, 0x8b, false); return true;
    case OP_LO:
        if (!in_xmm(c)) extend(c, 0x8b, false);
        return true;
    case OP_ZXW:
        if (!in_xmm(c)) extend(c, 0x8b, false);
        return true;
    case OP_SXW: extend(c, 0x63, true); return true;
    case OP_HI:
        if (!in_xmm(c)) high_half(c);
        return true;
    case OP_CONCAT: concat(c); return true;
    case OP_BSWAP: bswap(c); return true;
    case OP_EXTRACT: extract(c, false); return true;
    case OP_SEXTRACT: extract(c, true); return true;
    case OP_DEPOSIT: deposit(c); return true;
    case OP_CLZ:
        if (!c->h->has.lzcnt) return false;
        extend(c, 0xbd | X_0F | X_F3, w);
        return true;
    case OP_CTZ:
        if (!c->h->has.bmi1) return false;
        extend(c, 0xbc | X_0F | X_F3, w);
        return true;
    case OP_POPCNT:
        if (!c->h->has.popcnt) return false;
        extend(c, 0xb8 | X_0F | X_F3, w);
        return true;
    default: return false;
    }
}
