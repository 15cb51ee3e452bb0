/*
 * x64-int.c - lowering of integer arithmetic, logic, shifts, products, quotients and comparisons.
 *
 * A destination may be the register of any operand: each body writes it only when the operands have been read.
 */
#include "jit-native/x64.h"

static bool wide(const struct lower *c) { return c->o->type == T_I64 && !X64_CONST(c)->low; }

/* The op behind the one in hand; NULL: none. */
static const struct ir_op *coming(const struct lower *c, unsigned *i)
{
    for (*i = c->i + 1; *i < c->jb->n_ops && c->jb->ops[*i].op == OP_INSN;) ++*i;
    return *i < c->jb->n_ops ? &c->jb->ops[*i] : NULL;
}

/* Is x read after op `at`, as far as this block tells? */
static bool dies_at(const struct lower *c, ir_id x, unsigned at) { return ir_is_temp(x) && c->gb->temp_last[x - IR_TEMP] == at; }

/* sub t, a, b; a branch if the low byte or half of t, which is of no other use, is 0: a comparison of these. */
static bool compare_low(struct lower *c)
{
    const struct ir_op *o = c->o, *p;
    unsigned i;
    uint64_t mask, k;

    if (ir_is_const(o->a) || !(p = coming(c, &i)) || (p->op != OP_BRC && p->op != OP_BRL) || (p->attr != CC_TZ && p->attr != CC_TNZ)) return false;
    if (p->a != o->d || !lower_const(c, p->b, &mask) || (mask != 0xff && mask != 0xffff) || !dies_at(c, o->d, i)) return false;
    unsigned a = x64_use(c, o->a, RAX), size = mask == 0xff ? X_B : X_66;
    if (lower_const(c, o->b, &k)) x64_op_imm(&c->e, (mask == 0xff ? 0x80 : 0x81) | size, false, ALU_CMP, x64_r(a), mask == 0xff ? 1 : 2, (uint32_t)k);
    else x64_op(&c->e, (mask == 0xff ? 0x3a : 0x3b) | size, false, a, x64_use_rm(c, o->b, RCX));
    X64(c)->equal.t = o->d, X64(c)->equal.at = c->e.changes;
    return true;
}

/* d = a op b */
static void two(struct lower *c, unsigned alu, bool commutes)
{
    if (alu == ALU_SUB && compare_low(c)) return;
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = wide(c);
    int32_t imm;
    ir_id a = o->a, b = o->b;

    if (lower_reg(c, o->d) == IN_MEMORY && o->d == a && !ir_is_const(a) && !X64(c)->low) {
        struct x64_rm m = x64_m(x64_cell(c, a));
        if (x64_imm(c, b, w, &imm)) x64_alu_imm(e, alu, w, m, imm);
        else x64_alu_to(e, alu, w, m, x64_use(c, b, RAX));
        return;
    }
    unsigned d = x64_def(c, RAX);
    if (x64_lives_in(c, b, d) && !x64_lives_in(c, a, d)) {
        if (commutes) {
            ir_id t = a;
            a = b, b = t;
        } else if (alu == ALU_SUB) { /* a - d: -d + a */
            x64_op(e, 0xf7, w, 3, x64_r(d));
            struct x64_rm m = x64_use_rm(c, a, RAX);
            x64_alu(e, ALU_ADD, w, d, m);
            return;
        } else {
            d = RAX;
        }
    }
    bool minus = alu == ALU_SUB && x64_imm(c, b, w, &imm) && imm != INT32_MIN;
    if ((alu == ALU_ADD || minus) && is_gpr(lower_reg(c, a)) && (!x64_lives_in(c, a, d) || x64_flags_live(c))) {
        unsigned ra = (unsigned)lower_reg(c, a);
        if (x64_imm(c, b, w, &imm)) {
            x64_lea(e, w, d, x64_at(ra, minus ? -imm : imm));
            x64_done(c, o->d, d);
            return;
        }
        if (is_gpr(lower_reg(c, b))) {
            x64_lea(e, w, d, x64_at2(ra, (unsigned)lower_reg(c, b), 0, 0));
            x64_done(c, o->d, d);
            return;
        }
    }
    if (x64_imm(c, b, w, &imm)) {
        x64_load(c, d, a);
        if (alu == ALU_AND && imm == 0xff && d < RSP) x64_op(e, 0xb6 | X_0F | X_B, false, d, x64_r(d));
        else if (alu == ALU_AND && imm == 0xffff) x64_op(e, 0xb7 | X_0F, false, d, x64_r(d));
        else if (alu == ALU_AND && imm >= 0) x64_alu_imm(e, alu, false, x64_r(d), imm);
        else if (o->attr & GEN_ZX || !(imm == 0 && (alu == ALU_ADD || alu == ALU_SUB || alu == ALU_OR || alu == ALU_XOR))) x64_alu_imm(e, alu, w, x64_r(d), imm);
    } else {
        struct x64_rm m = x64_use_rm(c, b, RCX);
        x64_load(c, d, a);
        x64_alu(e, alu, w, d, m);
    }
    x64_done(c, o->d, d);
}

static void one(struct lower *c, unsigned ext)
{
    unsigned d = x64_def(c, RAX);
    x64_load(c, d, c->o->a);
    x64_op(&c->e, 0xf7, wide(c), ext, x64_r(d));
    x64_done(c, c->o->d, d);
}

/* d = ~(a op b) */
static void two_not(struct lower *c, unsigned alu)
{
    struct x64_rm m = x64_use_rm(c, c->o->b, RCX);
    uint64_t k;
    if (alu == ALU_OR && lower_const(c, c->o->b, &k) && !k) { /* the MIPS way to write not */
        one(c, 2);
        return;
    }
    x64_load(c, RAX, c->o->a);
    x64_alu(&c->e, alu, wide(c), RAX, m);
    x64_op(&c->e, 0xf7, wide(c), 2, x64_r(RAX));
    x64_done(c, c->o->d, RAX);
}

/* d = a op ~b */
static void not_second(struct lower *c, unsigned alu)
{
    x64_load(c, RCX, c->o->b);
    x64_op(&c->e, 0xf7, wide(c), 2, x64_r(RCX));
    x64_load(c, RAX, c->o->a);
    x64_alu(&c->e, alu, wide(c), RAX, x64_r(RCX));
    x64_done(c, c->o->d, RAX);
}

/* ---- shifts ------------------------------------------------------------------------------------------- */

static const struct ir_op *coming(const struct lower *c, unsigned *i);
static bool lea_pair(struct lower *c, unsigned n), scaled_access(struct lower *c, unsigned n);

static void shift(struct lower *c, unsigned sh)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = wide(c), rotate = sh == SH_ROR || sh == SH_ROL;
    unsigned width = w ? 64 : 32, d = x64_def(c, RAX);
    uint64_t n;

    if (lower_const(c, o->b, &n)) {
        if (rotate) n &= width - 1;
        else if (n >= width && sh == SH_SAR) n = width - 1;
        if (n >= width) {
            x64_mov_imm(e, d, 0);
        } else if (sh == SH_SHL && n && n <= 3 && (lea_pair(c, (unsigned)n) || scaled_access(c, (unsigned)n))) {
            return;
        } else if (sh == SH_SHL && n >= 1 && n <= 3 && is_gpr(lower_reg(c, o->a)) && !x64_lives_in(c, o->a, d)) {
            if (n == 1) x64_lea(e, w, d, x64_at2((unsigned)lower_reg(c, o->a), (unsigned)lower_reg(c, o->a), 0, 0));
            else x64_lea(e, w, d, x64_at2(NO_REG, (unsigned)lower_reg(c, o->a), (unsigned)n, 0));
        } else {
            x64_load(c, d, o->a);
            if (n) x64_shift_imm(e, sh, w, x64_r(d), (unsigned)n);
        }
        x64_done(c, o->d, d);
        return;
    }
    bool in_range = rotate || lower_known_bits(c, o->b) <= (w ? 6u : 5u);
    x64_load(c, RCX, o->b);
    x64_load(c, RAX, o->a);
    if (!in_range && sh == SH_SAR) {
        x64_mov_imm(e, RDX, width - 1);
        x64_alu(e, ALU_CMP, w, RCX, x64_r(RDX));
        x64_cmov(e, X_A, w, RCX, x64_r(RDX));
    }
    if (!rotate && c->h->has.bmi2) {
        static const unsigned prefix[8] = { [SH_SHL] = X_66, [SH_SHR] = X_F2, [SH_SAR] = X_F3 };
        x64_vex(e, 0xf7 | X_0F38 | prefix[sh], w, RAX, RCX, x64_r(RAX)); /* shlx, shrx, sarx */
    } else {
        x64_shift_cl(e, sh, w, x64_r(RAX));
    }
    if (!in_range && sh != SH_SAR) { /* nothing is left of it */
        x64_alu_imm(e, ALU_CMP, w, x64_r(RCX), (int32_t)width);
        x64_alu(e, ALU_SBB, w, RCX, x64_r(RCX));
        x64_alu(e, ALU_AND, w, RAX, x64_r(RCX));
    }
    x64_done(c, o->d, RAX);
}

/* shl t, a, n; add d, t, b with t dead after, or overwritten by d: one lea. */
static bool lea_pair(struct lower *c, unsigned n)
{
    unsigned i;
    const struct ir_op *o = c->o, *p = coming(c, &i);
    if (!p || p->op != OP_ADD || p->type != o->type) return false;
    ir_id other = p->a == o->d ? p->b : p->b == o->d ? p->a : IR_NONE;
    int32_t imm = 0;
    bool k = ir_is_const(other);
    if (other == IR_NONE || other == o->d || (k && !x64_imm(c, other, o->type == T_I64, &imm))) return false;
    if (p->d != o->d && !dies_at(c, o->d, i)) return false;
    if (!is_gpr(lower_reg(c, o->a)) || (!k && !is_gpr(lower_reg(c, other))) || !is_gpr(lower_reg(c, p->d))) return false;
    if (X64(c)->low || ((gen_slot_bit(c->g, o->a) | (k ? 0 : gen_slot_bit(c->g, other))) & c->g->narrow & ~X64(c)->whole)) return false;
    bool w = wide(c) && !(p->attr & GEN_ZX);
    x64_lea(&c->e, w, (unsigned)lower_reg(c, p->d), x64_at2(k ? NO_REG : (unsigned)lower_reg(c, other), (unsigned)lower_reg(c, o->a), n, imm));
    c->skip = i - c->i;
    return true;
}

/* shl t, a, n; ld or st at t, which is of no other use: part of the address. User mode only, and where it needs no comparison. */
static bool scaled_access(struct lower *c, unsigned n)
{
    unsigned i;
    const struct ir_op *o = c->o, *p = coming(c, &i);
    if (!p || !c->g->r->user || X64(c)->low || is_xmm(lower_reg(c, o->a)) || gen_slot_bit(c->g, o->a) & c->g->narrow & ~X64(c)->whole) return false;
    bool w = (p->aux & IR_A64) != 0;
    if ((p->op != OP_LD && p->op != OP_ST) || p->a != o->d || !dies_at(c, o->d, i) || (p->op == OP_ST && p->b == o->d)) return false;
    if (((p->attr & IR_MALIGN) && (p->attr & IR_MSIZE)) || w != (o->type == T_I64)) return false;
    if (w) {
        struct gen_fact f = gen_result(c->g, c->jb, c->known, o);
        if (!x64_is_near(c, &f, (int32_t)gen_disp(c->jb, p))) return false;
        c->need |= f.near_by;
    } else if (lower_known_bits(c, o->a) + n > 32) {
        return false;
    }
    X64(c)->scaled.t = o->d, X64(c)->scaled.index = (uint8_t)x64_use(c, o->a, RAX), X64(c)->scaled.shift = (uint8_t)n;
    return true;
}

/* ---- products ----------------------------------------------------------------------------------------- */

static const struct ir_op *partner(const struct lower *c, unsigned op)
{
    const struct ir_op *o = c->o, *p = o + 1;
    if (X64(c)->low || c->i + 1 >= c->jb->n_ops || p->op != op || p->type != o->type || p->a != o->a || p->b != o->b) return NULL;
    return o->d == o->a || o->d == o->b || o->d == p->d ? NULL : p;
}

static void mul(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = wide(c);
    int32_t imm;
    const struct ir_op *hi = partner(c, OP_MULHU), *his = hi ? NULL : partner(c, OP_MULHS);

    if ((hi || his) && w) { /* rdx:rax */
        x64_load(c, RAX, o->a);
        struct x64_rm m = x64_use_rm(c, o->b, RCX);
        x64_op(e, 0xf7, true, hi ? 4 : 5, m);
        x64_done(c, o->d, RAX);
        x64_done(c, (o + 1)->d, RDX);
        c->skip = 1;
        return;
    }
    if (hi || his) { /* 32 bits: one product of 64 */
        uint64_t k;
        if (hi) {
            x64_load(c, RAX, o->a);
            if (lower_const(c, o->b, &k)) x64_mov_imm(e, RCX, (uint32_t)k);
            x64_op(e, 0xaf | X_0F, true, RAX, x64_r(lower_const(c, o->b, &k) ? (unsigned)RCX : x64_use(c, o->b, RCX)));
        } else {
            struct x64_rm a = x64_use_rm(c, o->a, RAX), b = x64_use_rm(c, o->b, RCX);
            x64_op(e, 0x63, true, RAX, a);
            x64_op(e, 0x63, true, RCX, b);
            x64_op(e, 0xaf | X_0F, true, RAX, x64_r(RCX));
        }
        x64_done(c, o->d, RAX); /* the low half: 32-bit moves cut it off */
        if (x64_lives_in(c, o->d, RAX)) x64_mov(e, false, RAX, RAX);
        x64_shift_imm(e, SH_SHR, true, x64_r(RAX), 32);
        x64_done(c, (o + 1)->d, RAX);
        c->skip = 1;
        return;
    }
    unsigned d = x64_def(c, RAX);
    if (x64_imm(c, o->b, w, &imm)) {
        x64_op_imm(e, imm >= -128 && imm <= 127 ? 0x6b : 0x69, w, d, x64_use_rm(c, o->a, RAX), imm >= -128 && imm <= 127 ? 1 : 4, (uint32_t)imm);
    } else if (x64_lives_in(c, o->b, d)) {
        x64_op(e, 0xaf | X_0F, w, d, x64_use_rm(c, o->a, RAX));
    } else {
        struct x64_rm m = x64_use_rm(c, o->b, RCX);
        x64_load(c, d, o->a);
        x64_op(e, 0xaf | X_0F, w, d, m);
    }
    x64_done(c, o->d, d);
}

static void mulh(struct lower *c, bool is_signed)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    if (wide(c)) {
        x64_load(c, RAX, o->a);
        x64_op(e, 0xf7, true, is_signed ? 5 : 4, x64_use_rm(c, o->b, RCX));
        x64_done(c, o->d, RDX);
        return;
    }
    x64_load(c, RAX, o->a);
    x64_load(c, RCX, o->b);
    if (is_signed) {
        x64_op(e, 0x63, true, RAX, x64_r(RAX));
        x64_op(e, 0x63, true, RCX, x64_r(RCX));
    } else { /* constants may come sign-extended from nowhere, but never are: loads of 32 bits clear the rest */
        x64_mov(e, false, RAX, RAX);
    }
    x64_op(e, 0xaf | X_0F, true, RAX, x64_r(RCX));
    x64_shift_imm(e, SH_SHR, true, x64_r(RAX), 32);
    x64_done(c, o->d, RAX);
}

/* ---- quotients ---------------------------------------------------------------------------------------- */

/* The divisor in rcx is 0 or (signed) -1; the dividend is in rax. Leaves the quotient in rax and the remainder in rdx. */
static void cold_div(struct lower *c, const struct cold *k)
{
    struct emit *e = &c->e;
    bool w = k->o->type == T_I64;
    unsigned minus = emit_label(e);
    x64_test(e, w, RCX, RCX);
    x64_jcc(e, X_NZ, minus);
    x64_mov(e, w, RDX, RAX);
    x64_mov_imm(e, RAX, 0);
    emit_jump(e, k->back);
    emit_place(e, minus);
    x64_op(e, 0xf7, w, 3, x64_r(RAX));
    x64_mov_imm(e, RDX, 0);
    emit_jump(e, k->back);
}

static void divide(struct lower *c, bool is_signed, bool remainder)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = wide(c);
    const struct ir_op *p = partner(c, is_signed ? (remainder ? OP_DIVS : OP_REMS) : remainder ? OP_DIVU : OP_REMU);
    struct cold *k = lower_cold(c, cold_div);

    x64_load(c, RCX, o->b);
    x64_load(c, RAX, o->a);
    if (is_signed) {
        x64_lea(e, w, RDX, x64_at(RCX, 1));
        x64_alu_imm(e, ALU_CMP, w, x64_r(RDX), 1);
        x64_jcc(e, X_BE, k->label);
        if (w) emit_byte(e, 0x48);
        emit_byte(e, 0x99); /* cdq, cqo */
        x64_op(e, 0xf7, w, 7, x64_r(RCX));
    } else {
        x64_test(e, w, RCX, RCX);
        x64_jcc(e, X_Z, k->label);
        x64_mov_imm(e, RDX, 0);
        x64_op(e, 0xf7, w, 6, x64_r(RCX));
    }
    emit_place(e, k->back);
    x64_done(c, o->d, remainder ? RDX : RAX);
    if (p) {
        x64_done(c, p->d, remainder ? RAX : RDX);
        c->skip = 1;
    }
}

/* ---- comparisons -------------------------------------------------------------------------------------- */

unsigned x64_compare(struct lower *c, const struct ir_op *o)
{
    static const uint8_t cc[CC_COUNT] = { [CC_EQ] = X_Z, [CC_NE] = X_NZ, [CC_LTU] = X_C, [CC_GEU] = X_NC, [CC_LEU] = X_BE, [CC_GTU] = X_A,
                                          [CC_LTS] = X_L, [CC_GES] = X_GE, [CC_LES] = X_LE, [CC_GTS] = X_G, [CC_TZ] = X_Z, [CC_TNZ] = X_NZ };
    struct emit *e = &c->e;
    bool w = o->type == T_I64 && !X64(c)->low;
    int32_t imm;
    ir_id a = o->a, b = o->b;
    unsigned cond = o->attr;
    uint64_t k;

    if (o->op != OP_SETC && (cond == CC_NE || cond == CC_EQ) && a == X64(c)->flags.d && x64_flags_live(c) && lower_const(c, b, &k) && !k) {
        return X64(c)->flags.cc ^ (cond == CC_EQ);
    }
    if (o->op != OP_SETC && (cond == CC_TZ || cond == CC_TNZ) && a == X64(c)->equal.t && X64(c)->equal.at == e->changes) return cc[cond];
    if ((cond == CC_TZ || cond == CC_TNZ) && a == X64(c)->relation && e->changes == X64(c)->relation_at && lower_const(c, b, &k)) {
        int by = (k & 0x45) == 1 ? X_C : (k & 0x45) == 0x40 ? X_Z : (k & 0x45) == 0x41 ? X_BE : (k & 0x45) == 4 ? X_P : -1;
        if (by >= 0) return (unsigned)by ^ (cond == CC_TZ);
    }
    if (ir_is_const(a) && !ir_is_const(b)) {
        a = o->b, b = o->a;
        cond = ir_cond_swapped[cond];
    }
    if (cond == CC_TZ || cond == CC_TNZ) {
        if (w && lower_const(c, b, &k) && k == (uint32_t)k) w = false;
        unsigned bits = MIN(lower_known_bits(c, a), w ? 64u : 32u); /* of what there is in it */
        if (lower_const(c, b, &k) && !(~k << (64 - MAX(bits, 1u)))) { /* all of it */
            struct x64_rm m = x64_use_rm(c, a, RAX);
            if (m.is_reg) x64_test(e, w, m.reg, m.reg);
            else x64_alu_imm(e, ALU_CMP, w, m, 0);
            return cc[cond];
        }
        if (x64_imm(c, b, w, &imm)) {
            struct x64_rm m = x64_use_rm(c, a, RAX);
            x64_test_imm(e, w && imm < 0, m, (uint32_t)imm);
        } else {
            unsigned rb = x64_use(c, b, RCX);
            x64_test(e, w, x64_use(c, a, RAX), rb);
        }
    } else if (x64_imm(c, b, w, &imm)) {
        struct x64_rm m = x64_use_rm(c, a, RAX);
        if (!imm && m.is_reg) x64_test(e, w, m.reg, m.reg);
        else x64_alu_imm(e, ALU_CMP, w, m, imm);
    } else if (is_gpr(lower_reg(c, b)) && lower_reg(c, a) == IN_MEMORY && !ir_is_const(a)) {
        x64_alu_to(e, ALU_CMP, w, x64_m(x64_cell(c, a)), (unsigned)lower_reg(c, b));
    } else {
        struct x64_rm m = x64_use_rm(c, b, RCX);
        x64_alu(e, ALU_CMP, w, x64_use(c, a, RAX), m);
    }
    return cc[cond];
}

/* setc t; select d, t, x, y with t of no other use: the flags are all it takes. */
static bool only_selects(const struct lower *c)
{
    unsigned i;
    uint64_t k;
    const struct ir_op *p = coming(c, &i);
    if (!p || p->op != OP_SELECT || p->a != c->o->d || p->b == c->o->d || p->c == c->o->d || !dies_at(c, c->o->d, i)) return false;
    return !(lower_const(c, p->b, &k) && !k) && !(lower_const(c, p->c, &k) && !k); /* zeros are made by ways that change flags */
}

static void setc(struct lower *c)
{
    if (only_selects(c)) {
        X64(c)->flags.cc = (uint8_t)x64_compare(c, c->o);
        X64(c)->flags.d = c->o->d, X64(c)->flags.at = c->e.changes;
        return;
    }
    unsigned d = x64_def(c, RDX), cc;
    if (!x64_lives_in(c, c->o->a, d) && !x64_lives_in(c, c->o->b, d)) { /* cleared before, it has no past to wait for */
        x64_op(&c->e, 0x33, false, d, x64_r(d));
        cc = x64_compare(c, c->o);
        x64_setcc(&c->e, cc, d);
    } else {
        cc = x64_compare(c, c->o);
        x64_setcc(&c->e, cc, d);
        x64_op(&c->e, 0xb6 | X_0F | X_B, false, d, x64_r(d));
    }
    x64_done(c, c->o->d, d);
    X64(c)->flags.d = c->o->d, X64(c)->flags.cc = (uint8_t)cc, X64(c)->flags.at = c->e.changes;
}

static void select_one(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = wide(c);
    struct x64_rm t = x64_use_rm(c, o->b, RCX);
    bool in_place = !x64_lives_in(c, o->a, x64_def(c, RAX)) && !x64_lives_in(c, o->b, x64_def(c, RAX));
    unsigned d = in_place ? x64_def(c, RAX) : RAX, cc = X_NZ;
    x64_load(c, d, o->c);
    if (o->a == X64(c)->flags.d && x64_flags_live(c)) {
        cc = X64(c)->flags.cc;
    } else {
        unsigned a = x64_use(c, o->a, RDX);
        x64_test(e, lower_wide(c, o->a) && !X64(c)->low, a, a);
    }
    x64_cmov(e, cc, w, d, t);
    x64_done(c, o->d, d);
}

static void least(struct lower *c, unsigned cc)
{
    const struct ir_op *o = c->o;
    bool w = wide(c);
    struct x64_rm b = x64_use_rm(c, o->b, RCX);
    x64_load(c, RAX, o->a);
    x64_alu(&c->e, ALU_CMP, w, RAX, b);
    x64_cmov(&c->e, cc, w, RAX, b);
    x64_done(c, o->d, RAX);
}

/* ---- moves -------------------------------------------------------------------------------------------- */

static bool is_zero(const struct lower *c, ir_id x)
{
    uint64_t k;
    return ir_is_const(x) && lower_const(c, x, &k) && !k;
}

static bool in_run(ir_id first, ir_id x, unsigned cells) { return first != IR_NONE && x >= first && x < first + cells; }

/* Is cell x written before anybody reads it, or the state counts? Looks at what follows the op in hand. */
static bool overwritten(const struct lower *c, ir_id x)
{
    for (unsigned i = c->i + 1; i < c->jb->n_ops; i++) {
        const struct ir_op *p = &c->jb->ops[i];
        unsigned cls = ir_op_info[p->op].cls;
        if (p->op == OP_INSN) continue;
        if ((cls != CLASS_PURE && cls != CLASS_CONV && cls != CLASS_FP && cls != CLASS_FPCV && cls != CLASS_VEC) || ir_op_info[p->op].flags & (F_FAULT | F_EFFECT | F_END)) return false;
        bool vec = cls == CLASS_VEC;
        const ir_id in[3] = { p->a, p->b, p->c };
        for (unsigned n = 0; n < 3; n++) {
            if (in_run(in[n], x, vec ? ir_vec_cells(p, n + 1) : 1)) return false;
        }
        if (in_run(p->d, x, vec ? ir_vec_cells(p, 0) : 1)) return true;
    }
    return false;
}

/* Both cells of a pair, from `lo` and `hi`. False: no short way. */
static bool move_pair(struct lower *c, unsigned d, ir_id lo, ir_id hi)
{
    struct emit *e = &c->e;
    int r = lower_reg(c, lo);

    if (is_zero(c, lo) && is_zero(c, hi)) {
        x64_op(e, 0x57 | X_0F, false, d, x64_r(d)); /* xorps */
    } else if (hi == lo + 1 && lower_pair(c, lo)) {
        if ((unsigned)r - GPRS != d) x64_op(e, 0x28 | X_0F, false, d, x64_r((unsigned)r - GPRS)); /* movaps */
    } else if (is_zero(c, hi) && !ir_is_const(lo)) {
        if (is_gpr(r)) x64_op(e, 0x6e | X_0F | X_66, true, d, x64_r((unsigned)r)); /* movq */
        else if (r == IN_MEMORY) x64_op(e, 0x7e | X_0F | X_F3, false, d, x64_m(x64_cell(c, lo)));
        else x64_op(e, 0x7e | X_0F | X_F3, false, d, x64_r(x64_use_xmm(c, lo, XMM0)));
    } else if (hi == lo && is_xmm(r)) {
        x64_op_imm(e, 0x70 | X_0F | X_66, false, d, x64_r((unsigned)r - GPRS), 1, 0x44); /* pshufd */
    } else {
        return false;
    }
    return true;
}

/* Moves to or from a cell that shares its register. */
static bool move_half(struct lower *c)
{
    const struct ir_op *o = c->o, *p = NULL;
    struct emit *e = &c->e;
    int rd = lower_reg(c, o->d), ra = lower_reg(c, o->a);
    bool low = lower_pair(c, o->d), high = is_high(rd);

    if (!low && !high) {
        if (!is_high(ra)) return false;
        if (is_gpr(rd)) x64_load(c, (unsigned)rd, o->a);
        else if (rd == IN_MEMORY) x64_op(e, 0x17 | X_0F | X_66, false, high_xmm(ra), x64_m(x64_cell(c, o->d))); /* movhpd */
        else x64_done_xmm(c, o->d, x64_use_xmm(c, o->a, (unsigned)rd - GPRS));
        return true;
    }
    unsigned d = low ? (unsigned)rd - GPRS : high_xmm(rd), i = c->i + 1;
    while (i < c->jb->n_ops && c->jb->ops[i].op == OP_INSN) i++;
    if (i < c->jb->n_ops) p = &c->jb->ops[i];
    if (p && p->op == OP_MOV && p->d == (ir_id)(low ? o->d + 1 : o->d - 1)) {
        ir_id second = p->a == o->d ? o->a : p->a;
        if (move_pair(c, d, low ? o->a : second, low ? second : o->a)) {
            c->skip = i - c->i;
            return true;
        }
    }
    if (high && is_high(ra)) {
        ir_id lo = (ir_id)(o->d - 1), from = (ir_id)(o->a - 1);
        if (overwritten(c, lo)) { /* as movaps, whose lower half is about to be operated on */
            x64_op(e, 0x28 | X_0F, false, d, x64_r(high_xmm(ra)));
            X64(c)->same_d = lo, X64(c)->same_a = from;
        } else {
            x64_op_imm(e, 0xc6 | X_0F | X_66, false, d, x64_r(high_xmm(ra)), 1, 2); /* shufpd */
        }
    } else if (high && is_zero(c, o->a)) {
        x64_op(e, 0x7e | X_0F | X_F3, false, d, x64_r(d)); /* movq */
    } else if (low && is_high(ra)) {
        x64_op(e, 0x12 | X_0F, false, d, x64_r(high_xmm(ra))); /* movhlps */
    } else if (ra == IN_MEMORY && !ir_is_const(o->a)) {
        x64_op(e, (low ? 0x12 : 0x16) | X_0F | X_66, false, d, x64_m(x64_cell(c, o->a))); /* movlpd, movhpd */
    } else if (is_gpr(ra)) {
        x64_done(c, o->d, (unsigned)ra);
    } else {
        x64_done_xmm(c, o->d, x64_use_xmm(c, o->a, XMM0));
    }
    return true;
}

static void mov(struct lower *c)
{
    const struct ir_op *o = c->o;
    int rd = lower_reg(c, o->d), ra = lower_reg(c, o->a);
    uint64_t k;
    int32_t imm;
    if (move_half(c)) return;
    if (lower_const(c, o->a, &k)) {
        if (is_xmm(rd)) {
            unsigned x = x64_use_xmm(c, o->a, (unsigned)rd - GPRS);
            x64_done_xmm(c, o->d, x);
        } else if (is_gpr(rd)) {
            x64_mov_imm(&c->e, (unsigned)rd, k);
        } else if (x64_imm(c, o->a, wide(c), &imm)) {
            x64_op_imm(&c->e, 0xc7, wide(c), 0, x64_m(x64_cell(c, o->d)), 4, (uint32_t)imm);
        } else {
            x64_mov_imm(&c->e, RAX, k);
            x64_done(c, o->d, RAX);
        }
    } else if (is_xmm(rd) || is_xmm(ra)) {
        x64_done_xmm(c, o->d, x64_use_xmm(c, o->a, is_xmm(rd) ? (unsigned)rd - GPRS : (unsigned)XMM0));
    } else if (is_gpr(rd)) {
        x64_load(c, (unsigned)rd, o->a);
    } else {
        x64_done(c, o->d, x64_use(c, o->a, RAX));
    }
}

bool x64_lower_int(struct lower *c)
{
    switch (c->o->op) {
    case OP_MOV: mov(c); return true;
    case OP_ADD: two(c, ALU_ADD, true); return true;
    case OP_SUB: two(c, ALU_SUB, false); return true;
    case OP_AND: two(c, ALU_AND, true); return true;
    case OP_OR: two(c, ALU_OR, true); return true;
    case OP_XOR: two(c, ALU_XOR, true); return true;
    case OP_NEG: one(c, 3); return true;
    case OP_NOT: one(c, 2); return true;
    case OP_NOR: two_not(c, ALU_OR); return true;
    case OP_NAND: two_not(c, ALU_AND); return true;
    case OP_EQV: two_not(c, ALU_XOR); return true;
    case OP_ANDC: not_second(c, ALU_AND); return true;
    case OP_ORC: not_second(c, ALU_OR); return true;
    case OP_SHL: shift(c, SH_SHL); return true;
    case OP_SHR: shift(c, SH_SHR); return true;
    case OP_SAR: shift(c, SH_SAR); return true;
    case OP_ROTR: shift(c, SH_ROR); return true;
    case OP_ROTL: shift(c, SH_ROL); return true;
    case OP_MUL: mul(c); return true;
    case OP_MULHU: mulh(c, false); return true;
    case OP_MULHS: mulh(c, true); return true;
    case OP_DIVU: divide(c, false, false); return true;
    case OP_REMU: divide(c, false, true); return true;
    case OP_DIVS: divide(c, true, false); return true;
    case OP_REMS: divide(c, true, true); return true;
    case OP_SETC: setc(c); return true;
    case OP_SELECT: select_one(c); return true;
    case OP_MINU: least(c, X_A); return true;
    case OP_MAXU: least(c, X_C); return true;
    case OP_MINS: least(c, X_G); return true;
    case OP_MAXS: least(c, X_L); return true;
    default: return false;
    }
}
