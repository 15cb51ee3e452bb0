/*
 * x64-host.c - x86-64 as a host of the code generator: what the processor offers, the thunks and stubs that all code shares, signal
 * contexts, and what is done around each op.
 *
 * The C convention is that of the System V ABI for AMD64 (rbx, rbp, r12-r15 belong to the caller; the stack is aligned to 16
 * bytes at calls).
 */
#include "interp/fpx.h"
#include "jit-native/x64.h"

#include <cpuid.h>
#include <stdlib.h>
#include <ucontext.h>

/* ---- the processor -------------------------------------------------------------------------------------- */

static struct features features(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0, b7 = 0, c81 = 0;
    struct features f;
    if (!__get_cpuid(1, &a, &b, &c, &d)) c = 0;
    unsigned c1 = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) b7 = b;
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) c81 = c;
    f = (struct features){ .bmi1 = b7 >> 3 & 1, .bmi2 = b7 >> 8 & 1, .lzcnt = c81 >> 5 & 1, .popcnt = c1 >> 23 & 1, .movbe = c1 >> 22 & 1, .sse41 = c1 >> 19 & 1 };
    return f;
}

/* ---- thunks and stubs ----------------------------------------------------------------------------------- */

static void load_op(struct emit *e, unsigned reg, struct x64_mem m) { x64_op(e, 0x8b, true, reg, x64_m(m)); }
static void store_op(struct emit *e, unsigned reg, struct x64_mem m) { x64_op(e, 0x89, true, reg, x64_m(m)); }
static const uint8_t saved[] = { RBP, RBX, R12, R13, R14, R15 };

static void push(struct emit *e, unsigned reg)
{
    if (reg >= R8) emit_byte(e, 0x41);
    emit_byte(e, 0x50 | (reg & 7));
}

static void pop(struct emit *e, unsigned reg)
{
    if (reg >= R8) emit_byte(e, 0x41);
    emit_byte(e, 0x58 | (reg & 7));
}

/* (cpu, code) from C: rdi, rsi. */
static void make_entry(struct emit *e, bool user)
{
    for (unsigned i = 0; i < sizeof saved; i++) push(e, saved[i]);
    x64_alu_imm(e, ALU_SUB, true, x64_r(RSP), FRAME);
    x64_lea(e, true, RBP, x64_at(RDI, CPU_BIAS));
    load_op(e, R14, user ? AT_CPU(ubase) : AT_CPU(tlb_now));
    if (user) {
        load_op(e, RAX, AT_CPU(ulimit));
        store_op(e, RAX, x64_at(RSP, AT_LIMIT));
    }
    load_op(e, RAX, AT_CPU(icount_left));
    x64_mov_imm(e, R15, SLICE);
    x64_alu(e, ALU_CMP, true, RAX, x64_r(R15));
    x64_cmov(e, X_L, true, R15, x64_r(RAX));
    x64_alu(e, ALU_SUB, true, RAX, x64_r(R15));
    store_op(e, RAX, x64_at(RSP, AT_REST));
    x64_op(e, 0xff, false, 4, x64_m(x64_at(RSI, (int32_t)offsetof(struct jit_code, body))));
}

static void make_exit(struct emit *e)
{
    x64_alu(e, ALU_ADD, true, R15, x64_m(x64_at(RSP, AT_REST)));
    store_op(e, R15, AT_CPU(icount_left));
    x64_alu_imm(e, ALU_ADD, true, x64_r(RSP), FRAME);
    for (unsigned i = sizeof saved; i-- > 0;) pop(e, saved[i]);
    emit_return(e);
}

static void make_refill(struct emit *e)
{
    unsigned none = emit_label(e);
    x64_alu_imm(e, ALU_CMP, false, x64_m(AT_CPU(kick)), 0);
    x64_jcc(e, X_NZ, none);
    load_op(e, RAX, x64_at(RSP, 8 + AT_REST));
    x64_test(e, true, RAX, RAX);
    x64_jcc(e, X_Z, none);
    x64_mov_imm(e, RCX, SLICE);
    x64_alu(e, ALU_CMP, true, RAX, x64_r(RCX));
    x64_cmov(e, X_C, true, RCX, x64_r(RAX));
    x64_alu_to(e, ALU_SUB, true, x64_m(x64_at(RSP, 8 + AT_REST)), RCX);
    x64_alu(e, ALU_ADD, true, R15, x64_r(RCX));
    x64_test(e, true, RCX, RCX);
    emit_return(e);
    emit_place(e, none);
    x64_alu(e, ALU_XOR, false, RAX, x64_r(RAX));
    emit_return(e);
}

/* fn NULL: it is in rax. A kick that came up meanwhile empties the slice, so that the next charge fails. */
static void make_call(struct emit *e, const void *fn, bool fp)
{
    unsigned kicked = emit_label(e);
    if (fn) x64_mov_imm(e, RAX, (uintptr_t)fn);
    x64_lea(e, true, RDI, x64_at(RBP, -CPU_BIAS));
    load_op(e, R10, x64_at(RSP, 8 + AT_REST));
    x64_alu(e, ALU_ADD, true, R10, x64_r(R15));
    store_op(e, R10, AT_CPU(icount_left));
    x64_alu_imm(e, ALU_SUB, true, x64_r(RSP), 8);
    x64_op(e, 0xff, false, 2, x64_r(RAX));
    x64_alu_imm(e, ALU_ADD, true, x64_r(RSP), 8);
    if (fp) { /* the host's invalid flag: see x64-fp.c */
        struct x64_rm word = x64_m(x64_at(RSP, -8));
        x64_op(e, 0xae | X_0F, false, 3, word);
        x64_alu_imm(e, ALU_AND, false, word, ~1);
        x64_op(e, 0xae | X_0F, false, 2, word);
    }
    x64_alu_imm(e, ALU_CMP, false, x64_m(AT_CPU(kick)), 0);
    x64_jcc(e, X_NZ, kicked);
    emit_return(e);
    emit_place(e, kicked);
    x64_alu_to(e, ALU_ADD, true, x64_m(x64_at(RSP, 8 + AT_REST)), R15);
    x64_alu(e, ALU_XOR, false, R15, x64_r(R15));
    emit_return(e);
}

/* The block that the jump cache has for the address in rax, if it is of the mode in rcx and compiled: jc_index() of block.h. */
static uint32_t make_indirect(struct emit *e, const void *exit)
{
    uint32_t candidate;
    unsigned no = emit_label(e);
#define OFF(field) ((int32_t)offsetof(struct blk, field))
    x64_alu_to(e, ALU_CMP, true, x64_m(AT_CPU(key)), RCX);
    x64_jcc(e, X_NZ, no);
    x64_mov(e, true, RDX, RAX);
    x64_shift_imm(e, SH_SHR, true, x64_r(RDX), CPU_PAGE_BITS);
    x64_mov(e, true, RSI, RDX);
    x64_shift_imm(e, SH_SHR, true, x64_r(RSI), JC_GROUP_BITS);
    x64_alu(e, ALU_XOR, false, RDX, x64_r(RSI));
    x64_alu_imm(e, ALU_AND, false, x64_r(RDX), JC_GROUPS - 1);
    x64_shift_imm(e, SH_SHL, false, x64_r(RDX), JC_PLACE_BITS);
    x64_mov(e, false, RDI, RAX);
    x64_mov(e, false, RSI, RAX);
    x64_shift_imm(e, SH_SHR, false, x64_r(RSI), 2);
    x64_alu(e, ALU_XOR, false, RSI, x64_r(RDI));
    x64_shift_imm(e, SH_SHR, false, x64_r(RDI), 8);
    x64_alu(e, ALU_XOR, false, RSI, x64_r(RDI));
    x64_alu_imm(e, ALU_AND, false, x64_r(RSI), JC_PLACES - 1);
    x64_alu(e, ALU_OR, false, RDX, x64_r(RSI));
    load_op(e, RSI, AT_CPU(jump_cache));
    load_op(e, RDX, x64_at2(RSI, RDX, 3, 0));
    candidate = e->n;
    x64_test(e, true, RDX, RDX);
    x64_jcc(e, X_Z, no);
    x64_alu(e, ALU_CMP, true, RAX, x64_m(x64_at(RDX, OFF(pc))));
    x64_jcc(e, X_NZ, no);
    x64_alu(e, ALU_CMP, true, RCX, x64_m(x64_at(RDX, OFF(key))));
    x64_jcc(e, X_NZ, no);
    load_op(e, RDX, x64_at(RDX, OFF(jit_body)));
    x64_test(e, true, RDX, RDX);
    x64_jcc(e, X_Z, no);
    x64_op(e, 0xff, false, 4, x64_r(RDX));
    emit_place(e, no);
    x64_mov_imm(e, RAX, JIT_IND);
    emit_jump_abs(e, exit);
    return candidate;
#undef OFF
}

static bool make_stubs(struct host *h, struct error *err)
{
    struct emit e;
    struct codemem m;
    uint32_t at[10];
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
    uint32_t candidate;
    HERE(candidate = make_indirect(&e, m.rx + at[2]));
    HERE(make_refill(&e));
    HERE(make_call(&e, NULL, false));
    HERE(make_call(&e, (const void *)(uintptr_t)jit_ld, false));
    HERE(make_call(&e, (const void *)(uintptr_t)jit_st, false));
    HERE(make_call(&e, (const void *)(uintptr_t)jit_op, false));
    HERE(make_call(&e, (const void *)(uintptr_t)jit_op, true));
    const uint8_t *rx = m.rx;
    h->stubs = (struct stubs){ { rx + at[0], rx + at[1] }, rx + at[2], rx + at[3], rx + candidate, rx + at[4], rx + at[5], rx + at[6], rx + at[7], rx + at[8], rx + at[9] };
    bool ok = emit_finish(&e, m.rw, m.rx);
    jit_code_trim(h->eng, &m, e.n);
    emit_free(&e);
    if (!ok) error_set(err, "the thunks do not reach each other");
    return ok;
}

struct host *host_init(struct engine *eng, struct error *err)
{
    static const uint8_t ints[] = { RBX, RSI, RDI, R8, R9, R10, R11, R12, R13 };
    struct host *h = NEW(struct host);
    h->eng = eng;
    h->has = features();
    memcpy(h->regs.order[0], ints, sizeof ints);
    h->regs.n[0] = sizeof ints;
    for (unsigned i = 3; i < 16; i++) h->regs.order[1][h->regs.n[1]++] = (uint8_t)(GPRS + i);
    h->regs.pairs = h->has.sse41;
    h->regs.clobbered = MASK_FPR | 1u << RSI | 1u << RDI | 1u << R8 | 1u << R9 | 1u << R10 | 1u << R11;
    h->x = NEW(struct x64);
    h->x->c.h = h;
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
const struct host_traits host_traits = { .prepares = true, .vectors = true, .facts = true };
const struct host_regs *host_regs(const struct host *h) { return &h->regs; }
const void *host_exit_stub(const struct host *h) { return h->stubs.exit; }

jit_entry_fn host_entry(const struct host *h, bool user)
{
    jit_entry_fn fn;
    memcpy(&fn, &h->stubs.entry[user], sizeof fn);
    return fn;
}

/* ---- signal contexts ------------------------------------------------------------------------------------ */

uint64_t host_context_reg(const void *context, unsigned reg)
{
    static const uint8_t greg[GPRS] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
    const ucontext_t *uc = context;
    if (reg < GPRS) return (uint64_t)uc->uc_mcontext.gregs[greg[reg]];
    const uint32_t *x = uc->uc_mcontext.fpregs->_xmm[reg - GPRS].element;
    return (uint64_t)x[1] << 32 | x[0];
}

uint64_t host_context_high(const void *context, unsigned reg)
{
    const uint32_t *x = ((const ucontext_t *)context)->uc_mcontext.fpregs->_xmm[reg - GPRS].element;
    return (uint64_t)x[3] << 32 | x[2];
}

uintptr_t host_context_pc(const void *context) { return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP]; }

int64_t host_context_icount(const void *context)
{
    const int64_t *rest = (const int64_t *)(uintptr_t)(host_context_reg(context, RSP) + AT_REST);
    return (int64_t)host_context_reg(context, R15) + *rest;
}

/* ---- a region ------------------------------------------------------------------------------------------- */

void host_begin(struct lower *c)
{
    X64(c)->fp_fast = (uint8_t)(c->g->r->fp_fast ? c->g->r->fp_fast : FP_FAST | (fp_host_has_fma() ? FP_FAST_FMA : 0));
    x64_pages_region(c);
}

void host_begin_block(struct lower *c)
{
    struct x64 *x = X64(c);
    x->whole = 0, x->flags.d = x->scaled.t = x->equal.t = x->same_d = x->relation = IR_NONE;
    x64_pages_block(c);
}

/* Extends the narrow operands that the op wants all of; it stays so until they are written. */
void host_prepare(struct lower *c)
{
    uint16_t by = 0;
    ir_id in[3];

    X64(c)->low = gen_low(c->g, c->jb, c->known, c->i, &by);
    if (X64(c)->low) c->need |= by;
    if (c->o->attr & GEN_ZX && ir_op_info[c->o->op].cls == CLASS_PURE) X64(c)->low = true;
    if (X64(c)->low || !c->g->narrow) return;
    op_inputs(c->o, in);
    for (unsigned n = 0; n < 3; n++) {
        uint32_t bit = in[n] == IR_NONE ? 0 : gen_slot_bit(c->g, in[n]) & c->g->narrow & ~X64(c)->whole;
        if (!bit || !gen_wants_all(c->o, n)) continue;
        unsigned r = (unsigned)lower_reg(c, in[n]);
        x64_op(&c->e, 0x63, true, r, x64_r(r)); /* movsxd */
        X64(c)->whole |= bit;
    }
}

/* The op has been done: is its result, if that is narrow, extended? */
static void result_is_whole(struct lower *c, const struct ir_op *o, bool low, const struct gen_fact *f)
{
    uint32_t bit = gen_slot_bit(c->g, o->d) & c->g->narrow, from;
    bool whole = !low;
    if (!bit) return;
    switch (o->op) {
    case OP_SX32: whole = false; break;
    case OP_SEXTRACT: whole = (o->aux & 0xff) + (o->aux >> 8 & 0xff) != 32; break;
    case OP_SETC: whole = true; break;
    case OP_LD: whole = !gen_extends_aside(o); break;
    case OP_AND: whole |= ir_is_const(o->b) && f->u < 32; break;
    case OP_MOV:
        from = ir_is_const(o->a) ? 0 : gen_slot_bit(c->g, o->a) & c->g->narrow;
        whole = !(from & ~X64(c)->whole);
        break;
    default: break;
    }
    if (whole) X64(c)->whole |= bit;
    else X64(c)->whole &= ~bit;
}

/* Is there floating point, and nothing that may change its mode? */
static bool may_know_fp(const struct gen *g)
{
    bool fp = false;
    if (g->r->tier < 2) return false;
    for (unsigned k = 0; k < g->r->n; k++) {
        for (unsigned i = 0; i < g->r->blocks[k].n_ops; i++) {
            const struct ir_op *o = &g->r->blocks[k].ops[i];
            if (o->op == OP_CALL && !(o->attr & GEN_INLINE) && g->guest->helpers[o->aux].writes) return false;
            unsigned cls = ir_op_info[o->op].cls;
            fp |= cls == CLASS_FP || cls == CLASS_FPCV || o->op == OP_FCMP || o->op == OP_VFP || o->op == OP_FMIN || o->op == OP_FMAX;
        }
    }
    return fp;
}

bool host_may_assume(struct lower *c)
{
    struct x64 *x = X64(c);
    x->fp_known = may_know_fp(c->g), x->fp_used = false;
    return x64_x87_begin(c) || x->fp_known;
}

bool host_has_assumed(struct lower *c) { return X64(c)->fp_used || X64(c)->x87_on; }

void host_test_assumed(struct lower *c, unsigned no)
{
    struct x64 *x = X64(c);
    x->fp_known = false;
    if (x->fp_used) x64_test_fp(c, no);
    if (!x->x87_on) return;
    x64_x87_test(c, no);
    x64_x87_in(c, x->x87_in[0]);
}

void host_assume_nothing(struct lower *c) { X64(c)->fp_known = X64(c)->x87_on = false; }

void host_lower(struct lower *c)
{
    if (x64_lower_x87(c)) return;
    switch (c->o->op) {
    case OP_CALL: lower_call_aside(c); return;
    case OP_LD: x64_lower_ld(c); return;
    case OP_ST: x64_lower_st(c); return;
    case OP_LD2: x64_lower_ld2(c); return;
    case OP_ST2: x64_lower_st2(c); return;
    default:
        if (ir_op_info[c->o->op].cls == CLASS_VEC) x64_lower_vec(c);
        else if (!x64_lower_int(c) && !x64_lower_bits(c) && !x64_lower_fp(c)) lower_by_call(c);
    }
}

void host_done_op(struct lower *c, const struct ir_op *o, bool first, const struct gen_fact *f)
{
    struct x64 *x = X64(c);
    if (o->op == OP_LABEL) x->whole = 0;
    if (x->same_d != IR_NONE && !(o->op == OP_MOV && o->d == x->same_d + 1)) {
        unsigned cells = ir_op_info[o->op].cls == CLASS_VEC ? ir_vec_cells(o, 0) : 1;
        bool in = o->d != IR_NONE && ((x->same_d >= o->d && x->same_d < o->d + cells) || (x->same_a >= o->d && x->same_a < o->d + cells));
        if (in || op_syncs(o) || o->op == OP_LD2 || ir_op_info[o->op].flags & (F_EFFECT | F_END)) x->same_d = IR_NONE;
    }
    if (o->op == OP_ZXW && o->a == x->relation && o->d != IR_NONE) x->relation = o->d;
    else if (o->d == x->relation && o->op != OP_FCMP) x->relation = IR_NONE;
    if (o->d == x->flags.d && o->op != OP_SETC) x->flags.d = IR_NONE;
    if (o->d == IR_NONE) return;
    if (op_is_vec(o)) x->flags.d = IR_NONE;
    if (c->g->narrow) result_is_whole(c, o, first && x->low, f);
}

void host_test_guess(struct lower *c, unsigned no)
{
    const struct gen *g = c->g;
    for (unsigned r = 0; r < GPRS; r++) {
        if (!((c->need | g->narrow) >> r & 1)) continue;
        int64_t v = (int64_t)g->r->values[g->guess[r]];
        bool loaded = g->slot_reg[g->guess[r]] == (int)r && c->gb->live_in >> r & 1;
        struct x64_rm at = loaded ? x64_r(r) : x64_m(x64_cell(c, g->guess[r]));
        if (g->narrow >> r & 1 || v == (int32_t)v) { /* narrow ones that are not loaded here may be so behind a call */
            x64_op(&c->e, 0x63, true, RAX, at); /* movsxd */
            x64_alu(&c->e, ALU_CMP, true, RAX, at);
            x64_jcc(&c->e, X_NZ, no);
        } else {
            if (!loaded) x64_op(&c->e, 0x8b, true, RAX, at);
            x64_alu(&c->e, ALU_CMP, true, loaded ? r : (unsigned)RAX, x64_m(x64_at(RSP, AT_LIMIT)));
            x64_jcc(&c->e, X_NC, no);
        }
    }
}
