/*
 * a64-int.c - lowering of integer arithmetic, logic, shifts, products, quotients and comparisons.
 *
 * A destination may be the register of any operand: each body writes it only when the operands have been read.
 */
#include "jit-native/a64.h"

static bool wide(const struct lower *c) { return c->o->type == T_I64; }

/* d = a op b, by registers */
static void two(struct lower *c, uint32_t op)
{
    unsigned a = a64_use_z(c, c->o->a, X0), b = a64_use_z(c, c->o->b, X1), d = a64_def(c, X0);
    a64_rrr(&c->e, op, wide(c), d, a, b);
    a64_done(c, c->o->d, d);
}

/* The same with `not` behind. */
static void two_not(struct lower *c, uint32_t op)
{
    unsigned a = a64_use_z(c, c->o->a, X0), b = a64_use_z(c, c->o->b, X1), d = a64_def(c, X0);
    uint64_t k;
    if (op == A_ORR && lower_const(c, c->o->b, &k) && !k) { /* the MIPS way to write not */
        a64_rrr(&c->e, A_ORN, wide(c), d, ZR, a);
    } else {
        a64_rrr(&c->e, op, wide(c), d, a, b);
        a64_rrr(&c->e, A_ORN, wide(c), d, ZR, d);
    }
    a64_done(c, c->o->d, d);
}

static void sum(struct lower *c, bool minus)
{
    const struct ir_op *o = c->o;
    bool w = wide(c);
    uint64_t k;
    if (lower_const(c, o->b, &k) && !ir_is_const(o->a)) {
        int64_t v = w ? (int64_t)k : (int32_t)(uint32_t)k;
        v = minus ? (int64_t)(0 - (uint64_t)v) : v;
        if (v > -(1 << 24) && v < 1 << 24) {
            unsigned a = a64_use(c, o->a, X0), d = a64_def(c, X0);
            a64_add_imm(&c->e, w, d, a, v);
            a64_done(c, o->d, d);
            return;
        }
    }
    two(c, minus ? A_SUB : A_ADD);
}

static void logic(struct lower *c, uint32_t op, uint32_t imm_op)
{
    const struct ir_op *o = c->o;
    uint64_t k;
    uint32_t bits;
    if (lower_const(c, o->b, &k) && a64_logic_bits(wide(c), k, &bits)) {
        unsigned a = a64_use_z(c, o->a, X0), d = a64_def(c, X0);
        a64_logic(&c->e, imm_op, wide(c), d, a, k);
        a64_done(c, o->d, d);
        return;
    }
    two(c, op);
}

static void one(struct lower *c, uint32_t op)
{
    unsigned a = a64_use_z(c, c->o->a, X0), d = a64_def(c, X0);
    a64_rrr(&c->e, op, wide(c), d, ZR, a);
    a64_done(c, c->o->d, d);
}

/* The bits of b where c has ones, those of a elsewhere. */
static void merge(struct lower *c)
{
    const struct ir_op *o = c->o;
    bool w = wide(c);
    unsigned a = a64_use_z(c, o->a, X0), b = a64_use_z(c, o->b, X1);
    a64_rrr(&c->e, A_EOR, w, X1, a, b);
    unsigned m = a64_use_z(c, o->c, X2);
    a64_rrr(&c->e, A_AND, w, X1, X1, m);
    a64_rrr(&c->e, A_EOR, w, X1, X1, a);
    a64_done(c, o->d, X1);
}

/* ---- shifts ------------------------------------------------------------------------------------------- */

/* Is x, a temporary, read after op `at`? */
static bool dies_at(const struct lower *c, ir_id x, unsigned at) { return ir_is_temp(x) && c->gb->temp_last[x - IR_TEMP] == at; }

/* shl t, a, n; add d, t, b with t dead after, or overwritten by d: one instruction. */
static bool add_shifted(struct lower *c, unsigned n)
{
    const struct ir_op *o = c->o;
    unsigned i = c->i + 1;
    while (i < c->jb->n_ops && c->jb->ops[i].op == OP_INSN) i++;
    if (i >= c->jb->n_ops) return false;
    const struct ir_op *p = &c->jb->ops[i];
    if (p->op != OP_ADD || p->type != o->type) return false;
    ir_id other = p->a == o->d ? p->b : p->b == o->d ? p->a : IR_NONE;
    if (other == IR_NONE || other == o->d || ir_is_const(other)) return false;
    if (p->d != o->d && !dies_at(c, o->d, i)) return false;
    if (!is_gpr(lower_reg(c, o->a)) || !is_gpr(lower_reg(c, other)) || !is_gpr(lower_reg(c, p->d))) return false;
    a64_rrs(&c->e, A_ADD, wide(c), a64_gpr(lower_reg(c, p->d)), a64_gpr(lower_reg(c, other)), a64_gpr(lower_reg(c, o->a)), S_LSL, n);
    c->skip = i - c->i;
    return true;
}

static void shift(struct lower *c, uint32_t op)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = wide(c), rotate = o->op == OP_ROTR || o->op == OP_ROTL;
    unsigned width = w ? 64 : 32, d;
    uint64_t n;

    if (lower_const(c, o->b, &n)) {
        if (o->op == OP_ROTL) n = 0 - n;
        if (rotate) n &= width - 1;
        else if (n >= width && o->op == OP_SAR) n = width - 1;
        if (o->op == OP_SHL && n && n < width && add_shifted(c, (unsigned)n)) return;
        d = a64_def(c, X0);
        if (n >= width) {
            a64_mov(e, w, d, ZR);
        } else {
            unsigned a = a64_use(c, o->a, X0);
            if (!n) a64_mov(e, w, d, a);
            else if (o->op == OP_SHL) a64_lsl(e, w, d, a, (unsigned)n);
            else if (o->op == OP_SHR) a64_lsr(e, w, d, a, (unsigned)n);
            else if (o->op == OP_SAR) a64_asr(e, w, d, a, (unsigned)n);
            else a64_word(e, 0x13800000u | (w ? 0x80400000u : 0) | a << 16 | (uint32_t)n << 10 | a << 5 | d); /* extr d, a, a, n */
        }
        a64_done(c, o->d, d);
        return;
    }
    bool in_range = rotate || lower_known_bits(c, o->b) <= (w ? 6u : 5u);
    unsigned b = a64_use(c, o->b, X1), a = a64_use_z(c, o->a, X0);
    d = a64_def(c, X0);
    if (o->op == OP_ROTL) {
        a64_rrr(e, A_SUB, w, X1, ZR, b);
        b = X1;
    }
    if (in_range) {
        a64_rrr(e, op, w, d, a, b);
    } else if (o->op == OP_SAR) {
        a64_mov_imm(e, X2, width - 1);
        a64_rrr(e, A_SUBS, w, ZR, b, X2);
        a64_csel(e, A_CSEL, w, X2, b, X2, C_LO);
        a64_rrr(e, op, w, d, a, X2);
    } else { /* nothing is left of it */
        a64_addsub(e, A_SUBSI, w, ZR, b, width);
        a64_rrr(e, op, w, X2, a, b);
        a64_csel(e, A_CSEL, w, d, X2, ZR, C_LO);
    }
    a64_done(c, o->d, d);
}

/* ---- products, quotients ------------------------------------------------------------------------------ */

static const struct ir_op *partner(const struct lower *c, unsigned op)
{
    const struct ir_op *o = c->o, *p = o + 1;
    if (c->i + 1 >= c->jb->n_ops || p->op != op || p->type != o->type || p->a != o->a || p->b != o->b) return NULL;
    return o->d == o->a || o->d == o->b || o->d == p->d ? NULL : p;
}

static void mul(struct lower *c)
{
    const struct ir_op *o = c->o, *hi = NULL, *his = NULL;
    struct emit *e = &c->e;
    if (!wide(c)) { /* of 32 bits: one product of 64 */
        hi = partner(c, OP_MULHU);
        his = hi ? NULL : partner(c, OP_MULHS);
    }
    if (!hi && !his) {
        two(c, A_MUL);
        return;
    }
    unsigned a = a64_use_z(c, o->a, X0), b = a64_use_z(c, o->b, X1);
    a64_rrr(e, hi ? A_UMULL : A_SMULL, true, X0, a, b);
    a64_done(c, o->d, X0);
    a64_lsr(e, true, X0, X0, 32);
    a64_done(c, (o + 1)->d, X0);
    c->skip = 1;
}

static void mulh(struct lower *c, bool is_signed)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    unsigned a = a64_use_z(c, o->a, X0), b = a64_use_z(c, o->b, X1), d = a64_def(c, X0);
    if (wide(c)) {
        a64_rrr(e, is_signed ? A_SMULH : A_UMULH, true, d, a, b);
    } else {
        a64_rrr(e, is_signed ? A_SMULL : A_UMULL, true, d, a, b);
        a64_lsr(e, true, d, d, 32);
    }
    a64_done(c, o->d, d);
}

/* The host's x / 0 = 0 and MIN / -1 = MIN are the IR's. */
static void divide(struct lower *c, bool is_signed, bool remainder)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = wide(c);
    const struct ir_op *p = partner(c, is_signed ? (remainder ? OP_DIVS : OP_REMS) : remainder ? OP_DIVU : OP_REMU);
    unsigned a = a64_use_z(c, o->a, X0), b = a64_use_z(c, o->b, X1);

    a64_rrr(e, is_signed ? A_SDIV : A_UDIV, w, X2, a, b);
    if (remainder || p) a64_rrrr(e, A_MSUB, w, X3, X2, b, a);
    a64_done(c, o->d, remainder ? X3 : X2);
    if (p) {
        a64_done(c, p->d, remainder ? X2 : X3);
        c->skip = 1;
    }
}

/* ---- comparisons -------------------------------------------------------------------------------------- */

unsigned a64_compare(struct lower *c, const struct ir_op *o)
{
    static const uint8_t cc[CC_COUNT] = { [CC_EQ] = C_EQ, [CC_NE] = C_NE, [CC_LTU] = C_LO, [CC_GEU] = C_HS, [CC_LEU] = C_LS, [CC_GTU] = C_HI,
                                          [CC_LTS] = C_LT, [CC_GES] = C_GE, [CC_LES] = C_LE, [CC_GTS] = C_GT, [CC_TZ] = C_EQ, [CC_TNZ] = C_NE };
    struct emit *e = &c->e;
    bool w = o->type == T_I64;
    ir_id a = o->a, b = o->b;
    unsigned cond = o->attr;
    uint64_t k;

    if (ir_is_const(a) && !ir_is_const(b)) {
        a = o->b, b = o->a;
        cond = ir_cond_swapped[cond];
    }
    bool constant = lower_const(c, b, &k), test = cond == CC_TZ || cond == CC_TNZ;
    if (test) {
        if (!constant || !a64_logic(e, A_ANDSI, w, ZR, a64_use_z(c, a, X0), k)) {
            unsigned rb = a64_use_z(c, b, X1);
            a64_rrr(e, A_ANDS, w, ZR, a64_use_z(c, a, X0), rb);
        }
        return cc[cond];
    }
    int64_t v = w ? (int64_t)k : (int32_t)(uint32_t)k;
    if (constant && v >= 0 && a64_is_imm12((uint64_t)v)) {
        a64_addsub(e, A_SUBSI, w, ZR, a64_use(c, a, X0), (uint32_t)v);
    } else if (constant && v < 0 && v > -(1 << 24) && a64_is_imm12(0 - (uint64_t)v)) { /* not 0, so the carry is that of a - v */
        a64_addsub(e, A_ADDSI, w, ZR, a64_use(c, a, X0), (uint32_t)-v);
    } else {
        unsigned rb = a64_use_z(c, b, X1);
        a64_rrr(e, A_SUBS, w, ZR, a64_use_z(c, a, X0), rb);
    }
    return cc[cond];
}

static void setc(struct lower *c)
{
    unsigned cc = a64_compare(c, c->o), d = a64_def(c, X0);
    a64_csel(&c->e, A_CSINC, false, d, ZR, ZR, cc ^ 1);
    a64_done(c, c->o->d, d);
}

static void select_one(struct lower *c)
{
    const struct ir_op *o = c->o;
    bool w = wide(c);
    unsigned a = a64_use(c, o->a, X0), x = a64_use_z(c, o->b, X1), y = a64_use_z(c, o->c, X2), d = a64_def(c, X0);
    a64_addsub(&c->e, A_SUBSI, w, ZR, a, 0);
    a64_csel(&c->e, A_CSEL, w, d, x, y, C_NE);
    a64_done(c, o->d, d);
}

static void least(struct lower *c, unsigned cc)
{
    const struct ir_op *o = c->o;
    bool w = wide(c);
    unsigned a = a64_use_z(c, o->a, X0), b = a64_use_z(c, o->b, X1), d = a64_def(c, X0);
    a64_rrr(&c->e, A_SUBS, w, ZR, a, b);
    a64_csel(&c->e, A_CSEL, w, d, a, b, cc);
    a64_done(c, o->d, d);
}

static void mov(struct lower *c)
{
    const struct ir_op *o = c->o;
    int rd = lower_reg(c, o->d), ra = lower_reg(c, o->a);
    if (is_fpr(rd) || is_fpr(ra)) a64_done_fp(c, o->d, a64_use_fp(c, o->a, is_fpr(rd) ? a64_fpr(rd) : 0));
    else if (is_gpr(rd)) a64_load(c, a64_gpr(rd), o->a);
    else a64_done(c, o->d, a64_use_z(c, o->a, X0));
}

bool a64_lower_int(struct lower *c)
{
    switch (c->o->op) {
    case OP_MOV: mov(c); return true;
    case OP_ADD: sum(c, false); return true;
    case OP_SUB: sum(c, true); return true;
    case OP_AND: logic(c, A_AND, A_ANDI); return true;
    case OP_OR: logic(c, A_ORR, A_ORRI); return true;
    case OP_XOR: logic(c, A_EOR, A_EORI); return true;
    case OP_NEG: one(c, A_SUB); return true;
    case OP_NOT: one(c, A_ORN); return true;
    case OP_NOR: two_not(c, A_ORR); return true;
    case OP_NAND: two_not(c, A_AND); return true;
    case OP_EQV: two(c, A_EON); return true;
    case OP_ANDC: two(c, A_BIC); return true;
    case OP_ORC: two(c, A_ORN); return true;
    case OP_MERGE: merge(c); return true;
    case OP_SHL: shift(c, A_LSLV); return true;
    case OP_SHR: shift(c, A_LSRV); return true;
    case OP_SAR: shift(c, A_ASRV); return true;
    case OP_ROTR: case OP_ROTL: shift(c, A_RORV); return true;
    case OP_MUL: mul(c); return true;
    case OP_MULHU: mulh(c, false); return true;
    case OP_MULHS: mulh(c, true); return true;
    case OP_DIVU: divide(c, false, false); return true;
    case OP_REMU: divide(c, false, true); return true;
    case OP_DIVS: divide(c, true, false); return true;
    case OP_REMS: divide(c, true, true); return true;
    case OP_SETC: setc(c); return true;
    case OP_SELECT: select_one(c); return true;
    case OP_MINU: least(c, C_LO); return true;
    case OP_MAXU: least(c, C_HI); return true;
    case OP_MINS: least(c, C_LT); return true;
    case OP_MAXS: least(c, C_GT); return true;
    default: return false;
    }
}
