/*
 * a64-mem.c - lowering of guest memory accesses: directly in user mode, by way of the TLB in system mode.
 *
 * User mode: x27 is the host address of the guest's address 0. Around the guest's window lie areas that nothing is ever
 * mapped in (interp/cpu.h: ubase), so displacements, sums and sizes need no checks; a fault there is sorted out by the
 * interpreter. Addresses of 64 bits are compared with the limit unless they are known to be near (facts.c). An address that
 * a block uses several times is added to x27 once.
 * System mode: the probe of fast-body.h; alignment is folded into the comparison of the tag.
 * Ordered accesses are plain ones with barriers: the instructions that order by themselves want aligned addresses.
 */
#include "jit-native/a64.h"

static unsigned size_of(const struct ir_op *o) { return 1u << (o->attr & IR_MSIZE); }

/* reg = the guest address. */
static void address(struct lower *c, unsigned reg, bool w)
{
    const struct ir_op *o = c->o;
    int32_t disp = IR_DISP(o);
    uint64_t k;
    if (lower_const(c, o->a, &k)) {
        k += (uint64_t)(int64_t)disp;
        a64_mov_imm(&c->e, reg, w ? k : (uint32_t)k);
    } else {
        a64_add_imm(&c->e, w, reg, a64_use(c, o->a, reg), disp);
    }
}

/* Does the block access memory by the same base again before that changes? */
static bool used_again(const struct lower *c)
{
    const struct ir_op *o = c->o;
    for (unsigned i = c->i + 1; i < c->jb->n_ops && i < c->i + 48; i++) {
        const struct ir_op *p = &c->jb->ops[i];
        if ((p->op == OP_LD || p->op == OP_ST) && p->a == o->a && !((p->attr & IR_MALIGN) && size_of(p) > 1)) return true;
        if (p->d == o->a || p->op == OP_LABEL || p->op == OP_CALL) return false;
    }
    return false;
}

/* The base's host address if a register has it or is to have it, else 0. */
static unsigned kept_address(struct lower *c, unsigned base, bool w)
{
    const struct ir_op *o = c->o;
    for (unsigned i = 0; i < KEPT_ADDRESSES; i++) {
        if (A64(c)->kept[i] == o->a) return X24 + i;
    }
    if (o->d == o->a || !used_again(c)) return 0;
    unsigned i = A64(c)->kept_next++ % KEPT_ADDRESSES;
    A64(c)->kept[i] = o->a;
    /* add x, x27, base, uxtw */
    if (w) a64_rrr(&c->e, A_ADD, true, X24 + i, R_MEM, base);
    else a64_word(&c->e, 0x8b204000u | base << 16 | (uint32_t)R_MEM << 5 | (X24 + i));
    return X24 + i;
}

/* Where the access goes in host memory; one instruction can reach it. *k: its slow way, if there is one. */
static struct a64_mem user_address(struct lower *c, uint32_t op, cold_fn slow, struct cold **k)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = (o->aux & IR_A64) != 0, align = (o->attr & IR_MALIGN) && size_of(o) > 1;
    int32_t disp = IR_DISP(o);
    uint64_t v;
    bool constant = lower_const(c, o->a, &v);

    *k = NULL;
    if (align || (w && constant)) { /* rare: all checks on the sum */
        (void)lower_point(c);
        *k = lower_cold(c, slow);
        (*k)->arg = -1;
        address(c, X0, w);
        if (align) {
            a64_logic(e, A_ANDSI, false, ZR, X0, size_of(o) - 1);
            a64_bcond(e, C_NE, (*k)->label);
        }
        if (w) {
            a64_rrr(e, A_SUBS, true, ZR, X0, R_LIMIT);
            a64_bcond(e, C_HS, (*k)->label);
        }
        return a64_at2(R_MEM, X0, !w);
    }
    if (constant) {
        a64_mov_imm(e, X0, (uint32_t)v + (uint32_t)disp);
        return a64_at2(R_MEM, X0, true);
    }
    unsigned base = a64_use(c, o->a, X0);
    struct a64_mem m = a64_at(R_MEM, disp);
    unsigned host = a64_fits(op, m) ? kept_address(c, base, w) : 0; /* before a slow way could skip it */
    if (w) {
        if (gen_fact_of(c->g, c->jb, c->known, o->a).near > gen_near_max(c->g->guest)) {
            (void)lower_point(c);
            *k = lower_cold(c, slow);
            (*k)->arg = base;
            a64_rrr(e, A_SUBS, true, ZR, base, R_LIMIT);
            a64_bcond(e, C_HS, (*k)->label);
        }
    }
    if (host) {
        m.base = (uint8_t)host;
        return m;
    }
    if (disp) {
        a64_add_imm(e, w, X0, base, disp);
        base = X0;
    }
    return a64_at2(R_MEM, base, !w);
}

/* The slow way of an address that was compared before its displacement was added. */
static void outside(struct lower *c, const struct cold *k, cold_fn slow)
{
    if (k->arg >= 0) a64_add_imm(&c->e, true, X0, (unsigned)k->arg, IR_DISP(k->o));
    slow(c, k);
}
static void cold_ld_user(struct lower *c, const struct cold *k) { outside(c, k, lower_cold_ld); }
static void cold_st_user(struct lower *c, const struct cold *k) { outside(c, k, lower_cold_st); }

static struct a64_mem tlb_address(struct lower *c, cold_fn slow, size_t tag, struct cold **k)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = (o->aux & IR_A64) != 0;
    unsigned size = size_of(o);

    (void)lower_point(c);
    *k = lower_cold(c, slow);
    address(c, X0, w);
    a64_bitfield(e, A_UBFM, w, X1, X0, CPU_PAGE_BITS, CPU_PAGE_BITS + TLB_BITS - 1);
    a64_rrs(e, A_ADD, true, X1, R_MEM, X1, S_LSL, 5);
    if ((o->attr & IR_MALIGN) || size == 1) {
        a64_logic(e, A_ANDI, w, X2, X0, CPU_PAGE_MASK | (size - 1));
    } else {
        a64_addsub(e, A_ADDI, w, X2, X0, size - 1);
        a64_logic(e, A_ANDI, w, X2, X2, CPU_PAGE_MASK);
    }
    a64_ldst(e, A_LDRX, X3, a64_at(X1, (int32_t)tag));
    a64_ldst(e, A_LDRX, X1, a64_at(X1, (int32_t)offsetof(struct tlb_entry, addend)));
    a64_rrr(e, A_SUBS, true, ZR, X2, X3);
    a64_bcond(e, C_NE, (*k)->label);
    return a64_at2(X1, X0, false);
}

static void barrier(struct lower *c, uint32_t insn) { a64_word(&c->e, insn); }

void a64_lower_ld(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = lower_wide(c, o->d), user = c->g->r->user, be = (o->attr & IR_MBE) && (o->attr & IR_MSIZE), sx = (o->attr & IR_MS) != 0;
    unsigned size = o->attr & IR_MSIZE;
    int rd = lower_reg(c, o->d);
    bool fp = is_fpr(rd) && !be && size == (w ? 3u : 2u);
    static const uint32_t plain[3][4] = { { A_LDRB, A_LDRH, A_LDRW, A_LDRX }, { A_LDRSBW, A_LDRSHW, A_LDRW, A_LDRX }, { A_LDRSBX, A_LDRSHX, A_LDRSW, A_LDRX } };
    uint32_t op = fp ? (w ? A_LDRD : A_LDRS) : plain[be || !sx ? 0 : 1 + w][size];
    struct cold *k;
    struct a64_mem m = user ? user_address(c, op, cold_ld_user, &k) : tlb_address(c, lower_cold_ld, offsetof(struct tlb_entry, rd), &k);
    unsigned d = a64_def(c, X0);

    if (user) lower_may_fault(c);
    a64_ldst(e, op, fp ? a64_fpr(rd) : d, m);
    if (!fp) {
        if (be) {
            a64_rr(e, size == 1 ? A_REV16 : size == 2 ? A_REV32 : A_REV64, size == 3, d, d);
            if (sx && (size == 1 || (size == 2 && w))) a64_bitfield(e, A_SBFM, w, d, d, 0, size == 1 ? 15 : 31);
        }
        a64_done(c, o->d, d);
    }
    if (k) emit_place(e, k->back);
    if (o->attr & IR_MORDER) barrier(c, A_DMB_ISHLD);
}

void a64_lower_st(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = lower_wide(c, o->b), user = c->g->r->user, be = (o->attr & IR_MBE) && (o->attr & IR_MSIZE);
    unsigned size = o->attr & IR_MSIZE;
    static const uint32_t plain[4] = { A_STRB, A_STRH, A_STRW, A_STRX };
    int rb = lower_reg(c, o->b);
    bool fp = is_fpr(rb) && !be && size == (w ? 3u : 2u);
    uint32_t op = fp ? (w ? A_STRD : A_STRS) : plain[size];
    struct cold *k;

    if (o->attr & IR_MORDER) barrier(c, A_DMB_ISH);
    struct a64_mem m = user ? user_address(c, op, cold_st_user, &k) : tlb_address(c, lower_cold_st, offsetof(struct tlb_entry, wr), &k);
    unsigned r = fp ? a64_fpr(rb) : a64_use_z(c, o->b, X2);
    if (be) {
        a64_rr(e, size == 1 ? A_REV16 : size == 2 ? A_REV32 : A_REV64, size == 3, X2, r);
        r = X2;
    }
    if (user) lower_may_fault(c);
    a64_ldst(e, op, r, m);
    if (k) emit_place(e, k->back);
    if (o->attr & IR_MSEQ) barrier(c, A_DMB_ISH);
}
