/*
 * a64-host.c - AArch64 as a host of the code generator: the thunks and stubs that all code shares, signal contexts, and
 * what is done around each op.
 *
 * The C convention is that of the Procedure Call Standard for the Arm 64-bit Architecture (x19-x29, sp and the low halves of
 * v8-v15 belong to the caller; sp is aligned to 16 bytes). Contexts are those of Linux: asm/sigcontext.h.
 */
#include "jit-native/a64.h"

#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>

/* How large the pool of code may be for every branch in it to reach the stubs, which are at its start. */
#define BRANCH_REACH ((size_t)127 << 20)

/* ---- thunks and stubs ----------------------------------------------------------------------------------- */

static void load_op(struct emit *e, unsigned reg, struct a64_mem m) { a64_ldst(e, A_LDRX, reg, m); }
static void store_op(struct emit *e, unsigned reg, struct a64_mem m) { a64_ldst(e, A_STRX, reg, m); }

static void move_saved(struct emit *e, bool load)
{
    int32_t at = AT_SAVED;
    for (unsigned r = X19; r <= X29; r += 2, at += 16) a64_pair(e, load ? A_LDP : A_STP, r, r + 1, SP, at);
    for (unsigned r = 8; r < 16; r += 2, at += 16) a64_pair(e, load ? A_LDPD : A_STPD, r, r + 1, SP, at);
}

/* (cpu, code) from C: x0, x1. */
static void make_entry(struct emit *e, bool user)
{
    a64_addsub(e, A_SUBI, true, SP, SP, FRAME);
    move_saved(e, false);
    a64_mov(e, true, R_CPU, X0);
    load_op(e, R_MEM, user ? AT_CPU(ubase) : AT_CPU(tlb_now));
    if (user) load_op(e, R_LIMIT, AT_CPU(ulimit));
    load_op(e, X0, AT_CPU(icount_left));
    a64_mov_imm(e, X2, SLICE);
    a64_rrr(e, A_SUBS, true, ZR, X0, X2);
    a64_csel(e, A_CSEL, true, R_COUNT, X0, X2, C_LT);
    a64_rrr(e, A_SUB, true, X0, X0, R_COUNT);
    store_op(e, X0, a64_at(SP, AT_REST));
    load_op(e, X16, a64_at(X1, (int32_t)offsetof(struct jit_code, body)));
    a64_word(e, A_BR | X16 << 5);
}

static void make_exit(struct emit *e)
{
    load_op(e, X1, a64_at(SP, AT_REST));
    a64_rrr(e, A_ADD, true, X1, X1, R_COUNT);
    store_op(e, X1, AT_CPU(icount_left));
    move_saved(e, true);
    a64_addsub(e, A_ADDI, true, SP, SP, FRAME);
    a64_word(e, A_RET);
}

static void make_refill(struct emit *e)
{
    unsigned none = emit_label(e);
    a64_ldst(e, A_LDRW, X0, AT_CPU(kick));
    a64_cbz(e, true, false, X0, none);
    load_op(e, X0, a64_at(SP, AT_REST));
    a64_cbz(e, false, true, X0, none);
    a64_mov_imm(e, X1, SLICE);
    a64_rrr(e, A_SUBS, true, ZR, X0, X1);
    a64_csel(e, A_CSEL, true, X1, X0, X1, C_LO);
    a64_rrr(e, A_SUB, true, X0, X0, X1);
    store_op(e, X0, a64_at(SP, AT_REST));
    a64_rrr(e, A_ADD, true, R_COUNT, R_COUNT, X1);
    a64_addsub(e, A_SUBSI, true, ZR, X1, 0);
    a64_word(e, A_RET);
    emit_place(e, none);
    a64_rrr(e, A_SUBS, true, ZR, ZR, ZR);
    a64_word(e, A_RET);
}

/* A kick that came up meanwhile empties the slice, so that the next charge fails. */
static void make_call(struct emit *e, bool fp)
{
    unsigned kicked = emit_label(e);
    a64_mov(e, true, X0, R_CPU);
    load_op(e, X17, a64_at(SP, AT_REST));
    a64_rrr(e, A_ADD, true, X17, X17, R_COUNT);
    store_op(e, X17, AT_CPU(icount_left));
    store_op(e, LR, a64_at(SP, AT_LR));
    a64_word(e, A_BLR | X16 << 5);
    load_op(e, LR, a64_at(SP, AT_LR));
    if (fp) { /* the host's invalid flag: see a64-fp.c */
        a64_word(e, A_MRS_FPSR | X1);
        a64_logic(e, A_ANDI, true, X1, X1, ~(uint64_t)FPSR_IOC);
        a64_word(e, A_MSR_FPSR | X1);
    }
    a64_ldst(e, A_LDRW, X1, AT_CPU(kick));
    a64_cbz(e, true, false, X1, kicked);
    a64_word(e, A_RET);
    emit_place(e, kicked);
    load_op(e, X1, a64_at(SP, AT_REST));
    a64_rrr(e, A_ADD, true, X1, X1, R_COUNT);
    store_op(e, X1, a64_at(SP, AT_REST));
    a64_mov_imm(e, R_COUNT, 0);
    a64_word(e, A_RET);
}

/* The block that the jump cache has for the address in x0, if it is of the mode in x1 and compiled: jc_index() of block.h. */
static uint32_t make_indirect(struct emit *e, const void *exit)
{
    uint32_t candidate;
    unsigned no = emit_label(e);
#define OFF(field) ((int32_t)offsetof(struct blk, field))
    load_op(e, X2, AT_CPU(key));
    a64_rrr(e, A_SUBS, true, ZR, X2, X1);
    a64_bcond(e, C_NE, no);
    a64_lsr(e, true, X2, X0, CPU_PAGE_BITS);
    a64_rrs(e, A_EOR, true, X3, X2, X2, S_LSR, JC_GROUP_BITS);
    a64_rrs(e, A_EOR, true, X2, X0, X0, S_LSR, 2);
    a64_rrs(e, A_EOR, true, X2, X2, X0, S_LSR, 8);
    a64_logic(e, A_ANDI, true, X2, X2, JC_PLACES - 1);
    a64_bitfield(e, A_BFM, true, X2, X3, 64 - JC_PLACE_BITS, JC_GROUP_BITS - 1); /* the page's bits above */
    load_op(e, X3, AT_CPU(jump_cache));
    struct a64_mem m = a64_at2(X3, X2, false);
    m.shift = 3;
    load_op(e, X2, m);
    candidate = e->n;
    a64_cbz(e, false, true, X2, no);
    load_op(e, X3, a64_at(X2, OFF(pc)));
    a64_rrr(e, A_SUBS, true, ZR, X3, X0);
    a64_bcond(e, C_NE, no);
    load_op(e, X3, a64_at(X2, OFF(key)));
    a64_rrr(e, A_SUBS, true, ZR, X3, X1);
    a64_bcond(e, C_NE, no);
    load_op(e, X16, a64_at(X2, OFF(jit_body)));
    a64_cbz(e, false, true, X16, no);
    a64_word(e, A_BR | X16 << 5);
    emit_place(e, no);
    a64_mov_imm(e, X0, JIT_IND);
    emit_jump_abs(e, exit);
    return candidate;
#undef OFF
}

static bool make_stubs(struct host *h, struct error *err)
{
    struct emit e;
    struct codemem m;
    uint32_t at[8], candidate;
    unsigned n = 0;

    emit_init(&e);
    if (!jit_code_alloc(h->eng, 4096, &m)) {
        error_set(err, "no code memory for the thunks");
        return false;
    }
#define HERE(what) (emit_align(&e, 16), at[n++] = e.n, what)
    HERE(make_entry(&e, false));
    HERE(make_entry(&e, true));
    HERE(make_exit(&e));
    HERE(candidate = make_indirect(&e, m.rx + at[2]));
    HERE(make_refill(&e));
    HERE(make_call(&e, false));
    HERE(make_call(&e, true));
#undef HERE
    const uint8_t *rx = m.rx;
    h->stubs = (struct stubs){ { rx + at[0], rx + at[1] }, rx + at[2], rx + at[3], rx + candidate, rx + at[4], rx + at[5], rx + at[6] };
    bool ok = emit_finish(&e, m.rw, m.rx);
    jit_code_flush_icache(m.rx, e.n);
    jit_code_trim(h->eng, &m, e.n);
    emit_free(&e);
    if (!ok) error_set(err, "the thunks do not reach each other");
    return ok;
}

struct host *host_init(struct engine *eng, struct error *err)
{
    struct host *h = NEW(struct host);
    h->eng = eng;
    for (unsigned i = 0; i < GPRS; i++) h->regs.order[0][i] = (uint8_t)i, h->regs.order[1][i] = (uint8_t)(GPRS + i);
    h->regs.n[0] = h->regs.n[1] = GPRS;
    h->regs.clobbered = 0xffe0u | 0xff000000u; /* x5-x15, d16-d23 */
    h->x = NEW(struct a64);
    h->x->c.h = h;
    h->x->c.e.far = eng->cfg.code_size > BRANCH_REACH;
    if (!make_stubs(h, err)) {
        host_fini(h);
        return NULL;
    }
    return h;
}

void host_fini(struct host *h)
{
    lower_fini(&h->x->c);
    free(h->x);
    free(h);
}

struct lower *host_lowering(struct host *h) { return &h->x->c; }
/* No facts: every register holds all of its slot. */
const struct host_traits host_traits = { .prepares = false, .vectors = false, .facts = false };
/* It has nothing of its own besides registers of slots. */
void host_takes_calls(struct gen *g, struct jit_block *blocks) { (void)g, (void)blocks; }
void host_recover_x87(const void *context, struct cpu *cpu, const struct guest *g, unsigned x87, unsigned written)
{
    (void)context, (void)cpu, (void)g, (void)x87, (void)written;
}
void host_settle(struct lower *c, unsigned state) { (void)c, (void)state; }
void host_own_out(struct lower *c, bool entry) { (void)c, (void)entry; }
void host_own_in(struct lower *c) { (void)c; }
void host_behind(struct lower *c) { (void)c; }
bool host_may_assume(struct lower *c)
{
    (void)c;
    return false;
}
bool host_has_assumed(struct lower *c)
{
    (void)c;
    return false;
}
void host_test_assumed(struct lower *c, unsigned no) { (void)c, (void)no; }
void host_assume_nothing(struct lower *c) { (void)c; }
unsigned host_x87(const struct lower *c)
{
    (void)c;
    return GEN_NO_X87;
}

const struct host_regs *host_regs(const struct host *h) { return &h->regs; }
const void *host_exit_stub(const struct host *h) { return h->stubs.exit; }

jit_entry_fn host_entry(const struct host *h, bool user)
{
    jit_entry_fn fn;
    memcpy(&fn, &h->stubs.entry[user], sizeof fn);
    return fn;
}

/* ---- signal contexts ------------------------------------------------------------------------------------ */

uint64_t host_context_high(const void *context, unsigned reg) /* no pairs here */
{
    (void)context, (void)reg;
    return 0;
}

uint64_t host_context_reg(const void *context, unsigned reg)
{
    const mcontext_t *mc = &((const ucontext_t *)context)->uc_mcontext;
    if (reg < GPRS) return mc->regs[a64_gpr((int)reg)];
    /* records of a head and what it says, up to one of size 0 */
    const uint8_t *p = (const uint8_t *)mc->__reserved, *end = p + sizeof mc->__reserved;
    while (p + sizeof(struct _aarch64_ctx) <= end) {
        struct _aarch64_ctx head;
        memcpy(&head, p, sizeof head);
        if (head.magic == FPSIMD_MAGIC) {
            uint64_t v;
            memcpy(&v, p + offsetof(struct fpsimd_context, vregs) + 16 * a64_fpr((int)reg), sizeof v);
            return v;
        }
        if (!head.size) break;
        p += head.size;
    }
    return 0; /* Linux always gives it */
}

uintptr_t host_context_pc(const void *context) { return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.pc; }

int64_t host_context_icount(const void *context)
{
    const mcontext_t *mc = &((const ucontext_t *)context)->uc_mcontext;
    const int64_t *rest = (const int64_t *)(uintptr_t)(mc->sp + AT_REST);
    return (int64_t)mc->regs[R_COUNT] + *rest;
}

/* ---- a region ------------------------------------------------------------------------------------------- */

void host_begin(struct lower *c) { (void)c; }
void host_prepare(struct lower *c) { (void)c; }

/* The cell x changed, or IR_NONE: any may have. */
static void forget_address(struct lower *c, ir_id x)
{
    for (unsigned i = 0; i < KEPT_ADDRESSES; i++) {
        if (x == IR_NONE || A64(c)->kept[i] == x) A64(c)->kept[i] = IR_NONE;
    }
}

void host_begin_block(struct lower *c) { forget_address(c, IR_NONE); }

void host_lower(struct lower *c)
{
    switch (c->o->op) {
    case OP_LD: a64_lower_ld(c); return;
    case OP_ST: a64_lower_st(c); return;
    default:
        if (!a64_lower_int(c) && !a64_lower_bits(c) && !a64_lower_fp(c)) lower_by_call(c);
    }
}

void host_done_op(struct lower *c, const struct ir_op *o, bool first, const struct gen_fact *f)
{
    (void)first, (void)f;
    if (o->op == OP_LABEL || o->op == OP_CALL) forget_address(c, IR_NONE);
    if (o->d != IR_NONE) forget_address(c, o->d);
}

void host_test_guess(struct lower *c, unsigned no) { (void)c, (void)no; /* nothing is assumed */ }
