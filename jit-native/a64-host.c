/*
 * a64-host.c - AArch64 as a host of the code generator: the thunks and stubs that all code shares, signal contexts, and the walk
 * over a region's blocks.
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
    unsigned none = a64_label(e);
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
    a64_place(e, none);
    a64_rrr(e, A_SUBS, true, ZR, ZR, ZR);
    a64_word(e, A_RET);
}

/* A kick that came up meanwhile empties the slice, so that the next charge fails. */
static void make_call(struct emit *e, bool fp)
{
    unsigned kicked = a64_label(e);
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
    a64_place(e, kicked);
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
    unsigned no = a64_label(e);
#define OFF(field) ((int32_t)offsetof(struct blk, field))
    load_op(e, X2, AT_CPU(key));
    a64_rrr(e, A_SUBS, true, ZR, X2, X1);
    a64_bcond(e, C_NE, no);
    a64_lsr(e, true, X2, X0, CPU_PAGE_BITS);
    a64_rrs(e, A_EOR, true, X3, X2, X2, S_LSR, JC_GROUP_BITS);
    a64_lsr(e, true, X2, X0, 2);
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
    a64_place(e, no);
    a64_mov_imm(e, X0, JIT_IND);
    a64_b_abs(e, exit);
    return candidate;
#undef OFF
}

static bool make_stubs(struct host *h, struct error *err)
{
    struct emit e;
    struct codemem m;
    uint32_t at[8], candidate;
    unsigned n = 0;

    a64_emit_init(&e);
    if (!jit_code_alloc(h->eng, 4096, &m)) {
        error_set(err, "no code memory for the thunks");
        return false;
    }
#define HERE(what) (a64_align(&e, 16), at[n++] = e.n, what)
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
    bool ok = a64_emit_finish(&e, m.rw, m.rx);
    jit_code_flush_icache(m.rx, e.n);
    jit_code_trim(h->eng, &m, e.n);
    a64_emit_free(&e);
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
    h->x->e.far = eng->cfg.code_size > BRANCH_REACH;
    if (!make_stubs(h, err)) {
        host_fini(h);
        return NULL;
    }
    return h;
}

void host_fini(struct host *h)
{
    a64_emit_free(&h->x->e);
    free(h->x->points);
    free(h->x->ops);
    free(h->x);
    free(h);
}

bool host_has_vectors(void) { return false; }
bool host_prepares(void) { return false; }
void host_takes_calls(struct gen *g, struct jit_block *blocks) { (void)g, (void)blocks; }
void host_recover_x87(const void *context, struct cpu *cpu, const struct guest *g, unsigned x87, unsigned written)
{
    (void)context, (void)cpu, (void)g, (void)x87, (void)written;
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

static void forget_facts(struct a64 *c)
{
    unsigned n = c->g->guest->n_slots + c->jb->n_temps;
    memset(c->bits, 0, n);
    for (unsigned i = 0; i < n; i++) c->inside[i] = NOT_INSIDE;
    a64_forget_address(c, IR_NONE);
}

/* How many bits the result has at most; 0: not known. */
static unsigned result_bits(const struct a64 *c)
{
    const struct ir_op *o = c->o;
    unsigned width = o->type == T_I64 ? 64 : 32, x, y;
    uint64_t k;
    switch (o->op) {
    case OP_AND:
        x = a64_known_bits(c, o->a), y = a64_known_bits(c, o->b);
        return MIN(x, y);
    case OP_OR: case OP_XOR:
        x = a64_known_bits(c, o->a), y = a64_known_bits(c, o->b);
        return MAX(x, y);
    case OP_ZX8: return 8;
    case OP_ZX16: return 16;
    case OP_ZX32: return 32;
    case OP_EXTRACT: return o->aux >> 8 & 0xff;
    case OP_SETC: return 1;
    case OP_MOV: case OP_ZXW: return a64_known_bits(c, o->a);
    case OP_LD: return o->attr & IR_MS ? 0 : 8u << (o->attr & IR_MSIZE);
    case OP_SHR:
        if (!a64_const(c, o->b, &k)) return a64_known_bits(c, o->a);
        return k < width ? width - (unsigned)k : 1;
    default: return 0;
    }
}

static int32_t result_inside(const struct a64 *c)
{
    const struct ir_op *o = c->o;
    uint64_t k;
    if (o->op != OP_MOV && o->op != OP_ADD) return NOT_INSIDE;
    if (ir_is_const(o->a) || o->type != T_I64) return NOT_INSIDE;
    int32_t in = c->inside[a64_index(c, o->a)];
    if (in == NOT_INSIDE || o->op == OP_MOV) return in;
    if (!a64_const(c, o->b, &k) || (int64_t)k < -JIT_DRIFT || (int64_t)k > JIT_DRIFT) return NOT_INSIDE;
    in += (int32_t)(int64_t)k;
    return in < -JIT_DRIFT || in > JIT_DRIFT ? NOT_INSIDE : in;
}

static void lower(struct a64 *c)
{
    switch (c->o->op) {
    case OP_LD: a64_lower_ld(c); return;
    case OP_ST: a64_lower_st(c); return;
    case OP_CAS: case OP_RMW: a64_lower_atomic(c); return;
    case OP_INSN: case OP_LABEL: case OP_BR: case OP_BRL: case OP_BRC: case OP_GOTO: case OP_IND: case OP_EXIT: case OP_CALL: case OP_FENCE: case OP_FETCHF:
        a64_lower_control(c);
        return;
    default:
        if (!a64_lower_int(c) && !a64_lower_bits(c) && !a64_lower_fp(c)) a64_lower_op(c);
    }
}

static void block(struct a64 *c, unsigned k)
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
    for (unsigned i = 0; i < c->jb->n_labels; i++) c->labels[i] = a64_label(&c->e), c->label_dirty[i] = 0;
    c->bits = arena_get(&g->arena, g->guest->n_slots + c->jb->n_temps + 1u);
    c->inside = arena_get(&g->arena, (g->guest->n_slots + c->jb->n_temps) * sizeof *c->inside + 1);
    forget_facts(c);
    a64_block_entry(c);
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
                c->bits[a64_index(c, o->d)] = (uint8_t)bits;
                c->inside[a64_index(c, o->d)] = in;
                a64_forget_address(c, o->d);
                if (ir_is_slot(o->d) && g->guest->slots[o->d].cls == SLOT_MODE) c->key_kept = false;
            }
            if (c->i == last) break;
        }
    }
}

static void cold_hot(struct a64 *c, const struct cold *k)
{
    const struct guest *g = c->g->guest;
    (void)k;
    a64_mov_imm(&c->e, X0, c->jb->blk->pc);
    a64_ldst(&c->e, g->slots[g->pc_slot].type == T_I64 ? A_STRX : A_STRW, X0, a64_cell(c, g->pc_slot));
    a64_mov_imm(&c->e, X0, JIT_HOT);
    a64_b_abs(&c->e, c->h->stubs.exit);
}

static void entry(struct a64 *c)
{
    struct gen *g = c->g;
    c->k = 0, c->gb = &g->blocks[0], c->jb = c->gb->jb, c->i = 0, c->o = &c->jb->ops[0];
    if (g->r->count) {
        struct cold *k = a64_cold(c, cold_hot);
        struct a64_mem heat = a64_at(X0, (int32_t)offsetof(struct blk, heat));
        a64_mov_imm(&c->e, X0, (uintptr_t)c->jb->blk);
        a64_ldst(&c->e, A_LDRW, X1, heat);
        a64_addsub(&c->e, A_SUBSI, false, X1, X1, 1);
        a64_ldst(&c->e, A_STRW, X1, heat);
        a64_bcond(&c->e, C_EQ, k->label);
    }
    a64_reload(c, c->gb->live_in, false);
}

static void behind(struct a64 *c)
{
    for (const struct cold *k = c->cold; k && !c->why; k = k->next) {
        c->k = k->block, c->gb = &c->g->blocks[k->block], c->jb = c->gb->jb;
        c->i = k->op, c->o = k->o, c->mark = k->mark, c->point = k->point, c->dirty = k->dirty, c->key_kept = k->key_kept;
        a64_place(&c->e, k->label);
        k->emit(c, k);
    }
    for (unsigned i = 0; i < c->n_shared; i++) {
        a64_place(&c->e, c->shared[i].label);
        if (c->shared[i].reload) a64_reload(c, c->shared[i].mask, false);
        else a64_spill(c, c->shared[i].mask, false);
        a64_word(&c->e, A_RET);
    }
    if (!c->n_ops) return;
    a64_align(&c->e, 16);
    for (unsigned i = 0; i < c->n_ops; i++) {
        uint32_t copy[sizeof *c->ops[i].o / 4];
        memcpy(copy, c->ops[i].o, sizeof copy);
        a64_place(&c->e, c->ops[i].label);
        for (unsigned n = 0; n < ARRAY_LEN(copy); n++) a64_word(&c->e, copy[n]);
    }
}

bool host_compile(struct host *h, struct gen *g, struct jit_code *code, struct gen_point **points, uint32_t *n, const char **why)
{
    struct a64 *c = h->x;
    struct codemem m;

    gen_no_facts(g); /* not made use of here: every register holds all of its slot */
    a64_emit_reset(&c->e);
    c->g = g, c->h = h, c->why = NULL;
    c->cold = NULL, c->cold_tail = &c->cold;
    c->n_shared = c->n_points = c->n_ops = 0;
    for (unsigned k = 0; k < g->r->n; k++) {
        g->blocks[k].label = a64_label(&c->e);
        g->blocks[k].charged = a64_label(&c->e);
    }
    entry(c);
    for (unsigned k = 0; k < g->r->n && !c->why; k++) block(c, k);
    behind(c);
    if (c->e.failed && !c->why) c->why = "too large";
    if (!c->why && !jit_code_alloc(h->eng, c->e.n, &m)) c->why = "no code memory";
    if (!c->why && !a64_emit_finish(&c->e, m.rw, m.rx)) {
        jit_code_trim(h->eng, &m, 0);
        c->why = "branches that reach too far";
    }
    if (c->why) {
        *why = c->why;
        return false;
    }
    jit_code_flush_icache(m.rx, c->e.n);
    code->text = code->body = m.rx;
    code->text_size = c->e.n;
    *points = c->points, *n = c->n_points;
    return true;
}
