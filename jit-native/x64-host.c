/*
 * x64-host.c - x86-64 as a host of the code generator: what the processor offers, the thunks and stubs that all code shares, signal
 * contexts, and the walk over a region's blocks.
 *
 * The C convention is that of the System V ABI for AMD64 (rbx, rbp, r12-r15 belong to the caller; the stack is aligned to 16
 * bytes at calls).
 */
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
    if (reg >= R8) x64_byte(e, 0x41);
    x64_byte(e, 0x50 | (reg & 7));
}

static void pop(struct emit *e, unsigned reg)
{
    if (reg >= R8) x64_byte(e, 0x41);
    x64_byte(e, 0x58 | (reg & 7));
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
    x64_byte(e, 0xc3);
}

static void make_refill(struct emit *e)
{
    unsigned none = x64_label(e);
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
    x64_byte(e, 0xc3);
    x64_place(e, none);
    x64_alu(e, ALU_XOR, false, RAX, x64_r(RAX));
    x64_byte(e, 0xc3);
}

/* fn NULL: it is in rax. A kick that came up meanwhile empties the slice, so that the next charge fails. */
static void make_call(struct emit *e, const void *fn, bool fp)
{
    unsigned kicked = x64_label(e);
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
    x64_byte(e, 0xc3);
    x64_place(e, kicked);
    x64_alu_to(e, ALU_ADD, true, x64_m(x64_at(RSP, 8 + AT_REST)), R15);
    x64_alu(e, ALU_XOR, false, R15, x64_r(R15));
    x64_byte(e, 0xc3);
}

/* The block that the jump cache has for the address in rax, if it is of the mode in rcx and compiled: jc_index() of block.h. */
static uint32_t make_indirect(struct emit *e, const void *exit)
{
    uint32_t candidate;
    unsigned no = x64_label(e);
#define OFF(field) ((int32_t)offsetof(struct blk, field))
    x64_alu_to(e, ALU_CMP, true, x64_m(AT_CPU(key)), RCX);
    x64_jcc(e, X_NZ, no);
    x64_mov(e, true, RDX, RAX);
    x64_shift_imm(e, SH_SHR, true, x64_r(RDX), CPU_PAGE_BITS);
    x64_mov(e, true, RSI, RDX);
    x64_shift_imm(e, SH_SHR, true, x64_r(RSI), 6);
    x64_mov(e, true, RDI, RSI);
    x64_shift_imm(e, SH_SHR, true, x64_r(RDI), 6);
    x64_alu(e, ALU_XOR, false, RDX, x64_r(RSI));
    x64_alu(e, ALU_XOR, false, RDX, x64_r(RDI));
    x64_alu_imm(e, ALU_AND, false, x64_r(RDX), 63);
    x64_shift_imm(e, SH_SHL, false, x64_r(RDX), 6);
    x64_mov(e, false, RSI, RAX);
    x64_shift_imm(e, SH_SHR, false, x64_r(RSI), 2);
    x64_mov(e, false, RDI, RAX);
    x64_shift_imm(e, SH_SHR, false, x64_r(RDI), 8);
    x64_alu(e, ALU_XOR, false, RSI, x64_r(RDI));
    x64_alu_imm(e, ALU_AND, false, x64_r(RSI), 63);
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
    x64_place(e, no);
    x64_mov_imm(e, RAX, JIT_IND);
    x64_jmp_abs(e, exit);
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
#define HERE(what) (x64_align(&e, 16), at[n++] = e.n, what)
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
    emit_finish(&e, m.rw, m.rx);
    jit_code_trim(h->eng, &m, e.n);
    emit_free(&e);
    return true;
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
    h->regs.clobbered = MASK_FPR | 1u << RSI | 1u << RDI | 1u << R8 | 1u << R9 | 1u << R10 | 1u << R11;
    h->x = NEW(struct x64);
    if (!make_stubs(h, err)) {
        host_fini(h);
        return NULL;
    }
    return h;
}

void host_fini(struct host *h)
{
    emit_free(&h->x->e);
    free(h->x->points);
    free(h->x->ops);
    free(h->x);
    free(h);
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

uint64_t host_context_reg(const void *context, unsigned reg)
{
    static const uint8_t greg[GPRS] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
    const ucontext_t *uc = context;
    if (reg < GPRS) return (uint64_t)uc->uc_mcontext.gregs[greg[reg]];
    const uint32_t *x = uc->uc_mcontext.fpregs->_xmm[reg - GPRS].element;
    return (uint64_t)x[1] << 32 | x[0];
}

uintptr_t host_context_pc(const void *context) { return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP]; }

int64_t host_context_icount(const void *context)
{
    const int64_t *rest = (const int64_t *)(uintptr_t)(host_context_reg(context, RSP) + AT_REST);
    return (int64_t)host_context_reg(context, R15) + *rest;
}

/* ---- a region ------------------------------------------------------------------------------------------- */

static unsigned index_of(const struct x64 *c, ir_id x) { return ir_is_slot(x) ? x : c->g->guest->n_slots + (x - IR_TEMP); }

static void forget_facts(struct x64 *c)
{
    unsigned n = c->g->guest->n_slots + c->jb->n_temps;
    memset(c->bits, 0, n);
    for (unsigned i = 0; i < n; i++) c->inside[i] = NOT_INSIDE;
}

/* How many bits the result has at most; 0: not known. */
static unsigned result_bits(const struct x64 *c)
{
    const struct ir_op *o = c->o;
    unsigned width = o->type == T_I64 ? 64 : 32, x, y;
    uint64_t k;
    switch (o->op) {
    case OP_AND:
        x = x64_known_bits(c, o->a), y = x64_known_bits(c, o->b);
        return MIN(x, y);
    case OP_OR: case OP_XOR:
        x = x64_known_bits(c, o->a), y = x64_known_bits(c, o->b);
        return MAX(x, y);
    case OP_ZX8: return 8;
    case OP_ZX16: return 16;
    case OP_ZX32: return 32;
    case OP_EXTRACT: return o->aux >> 8 & 0xff;
    case OP_SETC: return 1;
    case OP_MOV: case OP_ZXW: return x64_known_bits(c, o->a);
    case OP_LD: return o->attr & IR_MS ? 0 : 8u << (o->attr & IR_MSIZE);
    case OP_SHR:
        if (!x64_const(c, o->b, &k)) return x64_known_bits(c, o->a);
        return k < width ? width - (unsigned)k : 1;
    default: return 0;
    }
}

static int32_t result_inside(const struct x64 *c)
{
    const struct ir_op *o = c->o;
    int32_t imm;
    if (o->op != OP_MOV && o->op != OP_ADD) return NOT_INSIDE;
    if (ir_is_const(o->a) || o->type != T_I64) return NOT_INSIDE;
    int32_t in = c->inside[index_of(c, o->a)];
    if (in == NOT_INSIDE || o->op == OP_MOV) return in;
    if (!x64_imm(c, o->b, true, &imm) || imm < -JIT_DRIFT || imm > JIT_DRIFT) return NOT_INSIDE;
    in += imm;
    return in < -JIT_DRIFT || in > JIT_DRIFT ? NOT_INSIDE : in;
}

static void lower(struct x64 *c)
{
    switch (c->o->op) {
    case OP_LD: x64_lower_ld(c); return;
    case OP_ST: x64_lower_st(c); return;
    case OP_CAS: case OP_RMW: x64_lower_atomic(c); return;
    case OP_INSN: case OP_LABEL: case OP_BR: case OP_BRL: case OP_BRC: case OP_GOTO: case OP_IND: case OP_EXIT: case OP_CALL: case OP_FENCE: case OP_FETCHF:
        x64_lower_control(c);
        return;
    default:
        if (!x64_lower_int(c) && !x64_lower_bits(c) && !x64_lower_fp(c)) x64_lower_op(c);
    }
}

static void block(struct x64 *c, unsigned k)
{
    struct gen *g = c->g;
    unsigned marks = 0;

    c->k = k;
    c->gb = &g->blocks[k];
    c->jb = c->gb->jb;
    c->dirty = c->gb->dirty_in;
    c->mark = 0, c->point = 0, c->key_kept = true;
    c->labels = arena_get(&g->arena, c->jb->n_labels * sizeof *c->labels + 1);
    c->label_dirty = arena_get(&g->arena, c->jb->n_labels * sizeof *c->label_dirty + 1);
    for (unsigned i = 0; i < c->jb->n_labels; i++) c->labels[i] = x64_label(&c->e), c->label_dirty[i] = 0;
    c->bits = arena_get(&g->arena, g->guest->n_slots + c->jb->n_temps + 1u);
    c->inside = arena_get(&g->arena, (g->guest->n_slots + c->jb->n_temps) * sizeof *c->inside + 1);
    forget_facts(c);
    x64_block_entry(c);
    for (c->i = 0; c->i < c->jb->n_ops && !c->why; c->i++) {
        c->o = &c->jb->ops[c->i];
        c->skip = 0;
        unsigned bits = result_bits(c);
        int32_t in = result_inside(c);
        if (c->o->op == OP_INSN) c->mark = marks++, c->point = 0;
        lower(c);
        if (c->o->op == OP_LABEL || c->o->op == OP_CALL) forget_facts(c);
        for (unsigned last = c->i + c->skip;; c->i++, bits = 0, in = NOT_INSIDE) {
            const struct ir_op *o = &c->jb->ops[c->i];
            if (o != c->o && o->op == OP_INSN) c->mark = marks++, c->point = 0;
            if (o->d != IR_NONE) {
                c->dirty |= gen_slot_bit(g, o->d);
                c->bits[index_of(c, o->d)] = (uint8_t)bits;
                c->inside[index_of(c, o->d)] = in;
                if (ir_is_slot(o->d) && g->guest->slots[o->d].cls == SLOT_MODE) c->key_kept = false;
            }
            if (c->i == last) break;
        }
    }
}

static void cold_hot(struct x64 *c, const struct cold *k)
{
    const struct guest *g = c->g->guest;
    (void)k;
    x64_mov_imm(&c->e, RAX, c->jb->blk->pc);
    x64_op(&c->e, 0x89, g->slots[g->pc_slot].type == T_I64, RAX, x64_m(x64_cell(c, g->pc_slot)));
    x64_mov_imm(&c->e, RAX, JIT_HOT);
    x64_jmp_abs(&c->e, c->h->stubs.exit);
}

static void entry(struct x64 *c)
{
    struct gen *g = c->g;
    c->k = 0, c->gb = &g->blocks[0], c->jb = c->gb->jb, c->i = 0, c->o = &c->jb->ops[0];
    if (g->r->count) {
        struct cold *k = x64_cold(c, cold_hot);
        x64_mov_imm(&c->e, RAX, (uintptr_t)c->jb->blk);
        x64_alu_imm(&c->e, ALU_SUB, false, x64_m(x64_at(RAX, (int32_t)offsetof(struct blk, heat))), 1);
        x64_jcc(&c->e, X_Z, k->label);
    }
    x64_reload(c, c->gb->live_in, false);
}

static void behind(struct x64 *c)
{
    for (const struct cold *k = c->cold; k && !c->why; k = k->next) {
        c->k = k->block, c->gb = &c->g->blocks[k->block], c->jb = c->gb->jb;
        c->i = k->op, c->o = k->o, c->mark = k->mark, c->point = k->point, c->dirty = k->dirty, c->key_kept = k->key_kept;
        x64_place(&c->e, k->label);
        k->emit(c, k);
    }
    for (unsigned i = 0; i < c->n_shared; i++) {
        x64_place(&c->e, c->shared[i].label);
        if (c->shared[i].reload) x64_reload(c, c->shared[i].mask, false);
        else x64_spill(c, c->shared[i].mask, false);
        x64_byte(&c->e, 0xc3);
    }
    if (!c->n_ops) return;
    x64_align(&c->e, 16);
    for (unsigned i = 0; i < c->n_ops; i++) {
        uint32_t at = c->e.n, ref = c->ops[i].at;
        for (unsigned n = 0; n < sizeof *c->ops[i].o; n++) x64_byte(&c->e, ((const uint8_t *)c->ops[i].o)[n]);
        if (!c->e.failed) st32_le(c->e.buf + ref, at - (ref + 4));
    }
}

bool host_compile(struct host *h, struct gen *g, struct jit_code *code, struct gen_point **points, uint32_t *n, const char **why)
{
    struct x64 *c = h->x;
    struct codemem m;

    c->e.n = c->e.n_labels = c->e.n_fixes = c->e.n_abs = 0;
    c->e.failed = false;
    c->g = g, c->h = h, c->why = NULL;
    c->cold = NULL, c->cold_tail = &c->cold;
    c->n_shared = c->n_points = c->n_ops = 0;
    for (unsigned k = 0; k < g->r->n; k++) {
        g->blocks[k].label = x64_label(&c->e);
        g->blocks[k].charged = x64_label(&c->e);
    }
    entry(c);
    for (unsigned k = 0; k < g->r->n && !c->why; k++) block(c, k);
    behind(c);
    if (c->e.failed && !c->why) c->why = "too large";
    if (!c->why && !jit_code_alloc(h->eng, c->e.n, &m)) c->why = "no code memory";
    if (c->why) {
        *why = c->why;
        return false;
    }
    emit_finish(&c->e, m.rw, m.rx);
    jit_code_flush_icache(m.rx, c->e.n);
    code->text = code->body = m.rx;
    code->text_size = c->e.n;
    *points = c->points, *n = c->n_points;
    return true;
}
