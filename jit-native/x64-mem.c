/*
 * x64-mem.c - lowering of guest memory accesses: directly in user mode, by way of the TLB in system mode.
 *
 * User mode: r14 is the host address of the guest's address 0. Around the guest's window lie areas that nothing is ever
 * mapped in (interp/cpu.h: ubase), so displacements, sums and sizes need no checks; a fault there is sorted out by the
 * interpreter. Addresses of 64 bits are compared with the limit unless they are known to be near (facts.c).
 * System mode: see x64-tlb.c.
 */
#include "jit-native/x64.h"

static bool is_pair(const struct ir_op *o) { return o->op == OP_LD2 || o->op == OP_ST2; }
static unsigned size_of(const struct ir_op *o) { return is_pair(o) ? 16 : 1u << (o->attr & IR_MSIZE); }

void x64_address(struct lower *c, unsigned reg, bool w)
{
    const struct ir_op *o = c->o;
    int32_t disp = (int32_t)gen_disp(c->jb, o);
    uint64_t k;
    if (lower_const(c, o->a, &k)) {
        k += (uint64_t)(int64_t)disp;
        x64_mov_imm(&c->e, reg, w ? k : (uint32_t)k);
    } else if (disp && is_gpr(lower_reg(c, o->a))) {
        x64_lea(&c->e, w, reg, x64_at((unsigned)lower_reg(c, o->a), disp));
    } else {
        x64_load(c, reg, o->a);
        if (disp) x64_alu_imm(&c->e, ALU_ADD, w, x64_r(reg), disp);
    }
}

bool x64_is_near(const struct lower *c, const struct gen_fact *f, int32_t disp)
{
    uint64_t far = (uint64_t)(disp < 0 ? -(int64_t)disp : disp);
    bool big = far > INT16_MAX + 1; /* the guard has room for small ones besides */
    return f->near != GEN_FAR && f->near + (big ? far : 0) <= gen_near_max(c->g->guest);
}

struct x64_mem x64_user_address(struct lower *c, cold_fn slow, struct cold **k)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = (o->aux & IR_A64) != 0, align = (o->attr & IR_MALIGN) && size_of(o) > 1;
    int32_t disp = (int32_t)gen_disp(c->jb, o);
    uint64_t v;
    bool constant = lower_const(c, o->a, &v);

    *k = NULL;
    if (align || (w && constant)) { /* rare: all checks on the sum */
        (void)lower_point(c);
        *k = lower_cold(c, slow);
        x64_address(c, RAX, w);
        if (align) {
            x64_test_imm(e, false, x64_r(RAX), size_of(o) - 1);
            x64_jcc(e, X_NZ, (*k)->label);
        }
        struct gen_fact f = gen_fact_of(c->g, c->jb, c->known, o->a);
        if (w && !constant && f.near != GEN_FAR && f.near + (uint64_t)(disp < 0 ? -(int64_t)disp : disp) <= gen_near_max(c->g->guest)) {
            c->need |= f.near_by;
        } else if (w) {
            x64_alu(e, ALU_CMP, true, RAX, x64_m(x64_at(RSP, AT_LIMIT)));
            x64_jcc(e, X_NC, (*k)->label);
        }
        return x64_at2(R14, RAX, 0, 0);
    }
    if (constant) {
        uint32_t va = (uint32_t)v + (uint32_t)disp;
        if (va <= INT32_MAX) return x64_at(R14, (int32_t)va);
        x64_mov_imm(e, RAX, va);
        return x64_at2(R14, RAX, 0, 0);
    }
    if (o->a == X64(c)->scaled.t) { /* found to be inside by who said so */
        X64(c)->scaled.t = IR_NONE;
        return x64_at2(R14, X64(c)->scaled.index, X64(c)->scaled.shift, disp);
    }
    unsigned base = x64_use(c, o->a, RAX);
    if (w) {
        struct gen_fact f = gen_fact_of(c->g, c->jb, c->known, o->a);
        if (!x64_is_near(c, &f, disp)) {
            (void)lower_point(c);
            *k = lower_cold(c, slow);
            (*k)->arg = base == RAX ? -1 : (int64_t)base;
            x64_alu(e, ALU_CMP, true, base, x64_m(x64_at(RSP, AT_LIMIT)));
            x64_jcc(e, X_NC, (*k)->label);
        } else {
            c->need |= f.near_by;
        }
    }
    return x64_at2(R14, base, 0, disp);
}

/* The slow way of an address to which the displacement was not added yet. arg: where it is, -1 for rax; 0: it is all in rax. */
static void outside(struct lower *c, const struct cold *k, cold_fn slow)
{
    int32_t disp = (int32_t)gen_disp(c->jb, k->o);
    if (k->arg > 0) x64_lea(&c->e, true, RAX, x64_at((unsigned)k->arg, disp));
    else if (k->arg < 0 && disp) x64_alu_imm(&c->e, ALU_ADD, true, x64_r(RAX), disp);
    x64_tlb_forget(c);
    slow(c, k);
}
static void cold_ld_at(struct lower *c, const struct cold *k) { outside(c, k, lower_cold_ld); }
static void cold_st_at(struct lower *c, const struct cold *k) { outside(c, k, lower_cold_st); }
void x64_slow_access(struct lower *c, const struct cold *k) { outside(c, k, k->o->op == OP_ST ? lower_cold_st : lower_cold_ld); }

void x64_lower_ld(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool w = lower_wide(c, o->d), user = c->g->r->user, be = (o->attr & IR_MBE) && (o->attr & IR_MSIZE);
    struct cold *k;
    struct x64_mem m = user ? x64_user_address(c, cold_ld_at, &k) : x64_tlb_address(c, cold_ld_at, offsetof(struct tlb_entry, rd), size_of(o), &k);
    int rd = lower_reg(c, o->d);
    unsigned d = x64_def(c, RAX), size = o->attr & IR_MSIZE;

    bool pair = lower_pair(c, o->d), clears = x64_clears_high(c);
    if (!be && size == 3 && (is_high(rd) || (pair && !clears))) { /* movhpd, movlpd */
        if (user) lower_may_fault(c);
        x64_op(e, (pair ? 0x12 : 0x16) | X_0F | X_66, false, pair ? (unsigned)rd - GPRS : high_xmm(rd), x64_m(m));
        if (k) emit_place(e, k->back);
        return;
    }
    if (clears) c->skip = 1; /* movs and movd do, and so does x64_done() */
    if (is_xmm(rd) && !be && (!pair || clears) && (size == (w ? 3u : 2u) || (size == 2 && !(o->attr & IR_MS)))) {
        if (user) lower_may_fault(c);
        x64_op(e, 0x10 | X_0F | (size == 3 ? X_F2 : X_F3), false, (unsigned)rd - GPRS, x64_m(m));
        if (k) emit_place(e, k->back);
        return;
    }
    bool sx = (o->attr & IR_MS) != 0;
    if (user) lower_may_fault(c);
    if (be) {
        /* movbe is no faster anywhere, and slower in places; stores have no register to turn */
        x64_op(e, size == 1 ? 0xb7 | X_0F : 0x8b, size == 3, d, x64_m(m));
        if (size == 1) {
            x64_op_imm(e, 0xc1 | X_66, false, SH_ROL, x64_r(d), 1, 8);
        } else {
            if (size == 3 || d >= R8) emit_byte(e, 0x40 | (size == 3 ? 8u : 0) | (d >= R8 ? 1u : 0));
            emit_byte(e, 0x0f);
            emit_byte(e, 0xc8 | (d & 7));
        }
        if (size == 1 && sx) x64_op(e, 0xbf | X_0F, w, d, x64_r(d));
        else if (size == 2 && w && sx && !(gen_slot_bit(c->g, o->d) & c->g->narrow)) x64_op(e, 0x63, true, d, x64_r(d));
    } else {
        switch (size) {
        case 0: x64_op(e, (sx ? 0xbe : 0xb6) | X_0F, sx && w, d, x64_m(m)); break;
        case 1: x64_op(e, (sx ? 0xbf : 0xb7) | X_0F, sx && w, d, x64_m(m)); break;
        case 2: x64_op(e, sx && w ? 0x63 : 0x8b, sx && w, d, x64_m(m)); break;
        default: x64_op(e, 0x8b, true, d, x64_m(m));
        }
    }
    x64_done(c, o->d, d);
    if (k) emit_place(e, k->back);
}

void x64_lower_st(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool user = c->g->r->user, be = (o->attr & IR_MBE) && (o->attr & IR_MSIZE);
    unsigned size = o->attr & IR_MSIZE;
    struct cold *k;
    struct x64_mem m = user ? x64_user_address(c, cold_st_at, &k) : x64_tlb_address(c, cold_st_at, offsetof(struct tlb_entry, wr), size_of(o), &k);
    int rb = lower_reg(c, o->b);
    uint64_t v;

    if (is_xmm(rb) && !be && (size == 3 || size == 2)) {
        if (user) lower_may_fault(c);
        x64_op(e, 0x11 | X_0F | (size == 3 ? X_F2 : X_F3), false, (unsigned)rb - GPRS, x64_m(m));
    } else if (is_high(rb) && !be && size == 3) {
        if (user) lower_may_fault(c);
        x64_op(e, 0x17 | X_0F | X_66, false, high_xmm(rb), x64_m(m)); /* movhpd */
    } else if (lower_const(c, o->b, &v) && (size < 3 || (int64_t)v == (int32_t)v)) {
        if (be) v = size == 1 ? host_bswap16((uint16_t)v) : size == 2 ? host_bswap32((uint32_t)v) : host_bswap64(v);
        if (size < 3 || (int64_t)v == (int32_t)v) {
            if (user) lower_may_fault(c);
            x64_op_imm(e, (size == 0 ? 0xc6 : 0xc7) | (size == 1 ? X_66 : 0), size == 3, 0, x64_m(m), size == 0 ? 1 : size == 1 ? 2 : 4, (uint32_t)v);
        } else {
            x64_mov_imm(e, RDX, v);
            if (user) lower_may_fault(c);
            x64_op(e, 0x89, true, RDX, x64_m(m));
        }
    } else {
        unsigned r = x64_use(c, o->b, RDX);
        if (be && !c->h->has.movbe) {
            x64_mov(e, size == 3, RDX, r);
            r = RDX;
            if (size == 1) {
                x64_op_imm(e, 0xc1 | X_66, false, SH_ROL, x64_r(RDX), 1, 8);
            } else {
                if (size == 3) emit_byte(e, 0x48);
                emit_byte(e, 0x0f);
                emit_byte(e, 0xc8 | RDX);
            }
            be = false;
        }
        if (user) lower_may_fault(c);
        if (be) x64_op(e, 0xf1 | X_0F38 | (size == 1 ? X_66 : 0), size == 3, r, x64_m(m));
        else x64_op(e, size == 0 ? 0x88 | X_B : size == 1 ? 0x89 | X_66 : 0x89, size == 3, r, x64_m(m));
    }
    if (k) emit_place(e, k->back);
}

/* ---- two cells ---- */

/* Orders of bytes and alignments that are not x86's go the slow way. */
static bool plain_pair(const struct ir_op *o) { return !(o->attr & IR_MBE) && (!(o->attr & IR_MALIGN) || (o->attr & IR_MPAIR)); }

/* fn(cpu, address, two cells at m, attr, MMU mode); the address is in rax. */
static void call_pair(struct lower *c, const struct ir_op *o, uintptr_t fn, struct x64_mem m)
{
    host_arg_address(c, 1, (o->aux & IR_A64) != 0);
    x64_lea(&c->e, true, RDX, m);
    host_arg_imm(c, 3, o->attr);
    host_arg_imm(c, 4, IR_MMU(o));
    host_set_point(c);
    host_call_c(c, fn, false);
}

static void cold_ld2(struct lower *c, const struct cold *k)
{
    const struct ir_op *o = k->o;
    struct x64_mem m = x64_scratch_cells(c);

    lower_cold_begin(c, k);
    call_pair(c, o, (uintptr_t)jit_ld2, m);
    lower_reload(c, c->gb->live[k->op] & c->g->regs->clobbered & ~gen_kills(c->g, o), true);
    lower_restore_temps(c);
    x64_op(&c->e, 0x8b, true, RAX, x64_m(m));
    x64_done(c, o->d, RAX);
    m.disp += 8;
    x64_op(&c->e, 0x8b, true, RAX, x64_m(m));
    x64_done(c, o->c, RAX);
    emit_jump(&c->e, k->back);
}

static void cold_st2(struct lower *c, const struct cold *k)
{
    struct x64_mem m = x64_scratch_cells(c), hi = m;

    hi.disp += 8;
    lower_cold_begin(c, k);
    x64_load_cell(c, RCX, k->o->b);
    x64_op(&c->e, 0x89, true, RCX, x64_m(m));
    x64_load_cell(c, RCX, k->o->c);
    x64_op(&c->e, 0x89, true, RCX, x64_m(hi));
    call_pair(c, k->o, (uintptr_t)jit_st2, m);
    lower_cold_end(c, k);
}
static void cold_ld2_at(struct lower *c, const struct cold *k) { outside(c, k, cold_ld2); }
static void cold_st2_at(struct lower *c, const struct cold *k) { outside(c, k, cold_st2); }

/* The slow way always. */
static struct cold *slow_pair(struct lower *c, cold_fn slow)
{
    (void)lower_point(c);
    struct cold *k = lower_cold(c, slow);
    x64_address(c, RAX, (c->o->aux & IR_A64) != 0);
    emit_jump(&c->e, k->label);
    return k;
}

void x64_lower_ld2(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool user = c->g->r->user;
    struct cold *k;

    if (!plain_pair(o)) {
        k = slow_pair(c, cold_ld2_at);
        emit_place(e, k->back);
        return;
    }
    struct x64_mem m = user ? x64_user_address(c, cold_ld2_at, &k) : x64_tlb_address(c, cold_ld2_at, offsetof(struct tlb_entry, rd), size_of(o), &k);
    struct x64_mem lo = x64_cell(c, o->d), hi = x64_cell(c, o->c);
    if (lower_pair(c, o->d) && o->c == o->d + 1) {
        if (user) lower_may_fault(c);
        x64_op(e, 0x10 | X_0F, false, (unsigned)lower_reg(c, o->d) - GPRS, x64_m(m)); /* movups */
    } else if (lower_reg(c, o->d) == IN_MEMORY && lower_reg(c, o->c) == IN_MEMORY && hi.disp == lo.disp + 8) {
        if (user) lower_may_fault(c);
        x64_op(e, 0x10 | X_0F, false, XMM0, x64_m(m)); /* movups */
        x64_op(e, 0x11 | X_0F, false, XMM0, x64_m(lo));
    } else {
        if (user) lower_may_fault(c);
        x64_op(e, 0x10 | X_0F | X_F2, false, XMM0, x64_m(m));
        m.disp += 8;
        if (user) lower_may_fault(c);
        x64_op(e, 0x10 | X_0F | X_F2, false, XMM1, x64_m(m));
        x64_done_xmm(c, o->d, XMM0);
        x64_done_xmm(c, o->c, XMM1);
    }
    if (k) emit_place(e, k->back);
}

/* One store, so that all of it or nothing is written. */
void x64_lower_st2(struct lower *c)
{
    const struct ir_op *o = c->o;
    struct emit *e = &c->e;
    bool user = c->g->r->user;
    struct cold *k;

    if (!plain_pair(o)) {
        k = slow_pair(c, cold_st2_at);
        emit_place(e, k->back);
        return;
    }
    struct x64_mem lo = { 0 }, hi = { 0 };
    unsigned from = XMM0;
    bool cells = !ir_is_const(o->b) && !ir_is_const(o->c) && lower_reg(c, o->b) == IN_MEMORY && lower_reg(c, o->c) == IN_MEMORY;
    if (cells) lo = x64_cell(c, o->b), hi = x64_cell(c, o->c);
    if (cells) {
        x64_op(e, 0x7e | X_0F | X_F3, false, XMM0, x64_m(lo));
        x64_op(e, 0x16 | X_0F | X_66, false, XMM0, x64_m(hi)); /* movhpd */
    } else if (o->c == o->b + 1 && !ir_is_const(o->b) && lower_pair(c, o->b)) {
        from = (unsigned)lower_reg(c, o->b) - GPRS;
    } else {
        unsigned b = x64_use_xmm(c, o->b, XMM0);
        if (b != XMM0) x64_op(e, 0x28 | X_0F, false, XMM0, x64_r(b));
        x64_op(e, 0x6c | X_0F | X_66, false, XMM0, x64_r(x64_use_xmm(c, o->c, XMM1))); /* punpcklqdq */
    }
    struct x64_mem m = user ? x64_user_address(c, cold_st2_at, &k) : x64_tlb_address(c, cold_st2_at, offsetof(struct tlb_entry, wr), size_of(o), &k);
    if (user) lower_may_fault(c);
    x64_op(e, 0x11 | X_0F, false, from, x64_m(m));
    if (k) emit_place(e, k->back);
}
