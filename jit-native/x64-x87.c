/*
 * x64-x87.c - the guest's x87 by the host's.
 *
 * A region of tier 2 in user mode, of a guest whose window is complete (32-bit addresses), may keep the guest's x87 stack in the
 * host's for as long as it runs: st(i) is st(i). Then an x87 instruction is the same x87 instruction. TOP and tags are known at every
 * op once they are known at the entry, where they are guessed (struct jit_region: values) and tested, with the control word, which
 * must be what the host's is: to nearest, 64 bits, all exceptions masked. Otherwise the region's other version calls the helper.
 *
 * The host's flags accumulate; they go to the guest's status word where the state is written back: at ways out, around calls of C
 * code (which must find the host's stack empty), and after a fault, from the signal's context. Loads and stores of the guest are the
 * x87's own, so that a fault comes before any flag. Registers that have been popped keep what they held, which can be seen (fxsave),
 * so those are loaded, too, and are found in the host's image of its registers. What the stack would overflow or underflow by is not done here, nor is what
 * interp/x87.h lists and x87_effect() refuses. Follows the Intel SDM, volume 1, chapter 8.
 */
#include "interp/x87.h"
#include "jit-native/x64.h"

#include <ucontext.h>

enum { CONTROL = 0x37f, C1 = 0x200, FLAGS = 0x3f, CODES = 0x4500, SPARE = 16 /* in the frame */ };

/* A state: TOP in the low byte, tags above. */
static unsigned top_of(unsigned s) { return s & 7; }
static bool full(unsigned s, unsigned i) { return s >> (8 + ((top_of(s) + i) & 7)) & 1; }
static unsigned depth_of(unsigned s)
{
    unsigned n = 0;
    while (n < 8 && full(s, n)) n++;
    return n;
}
/* Only what is on the stack without a gap can be mirrored. */
static bool contiguous(unsigned s)
{
    for (unsigned i = depth_of(s); i < 8; i++) {
        if (full(s, i)) return false;
    }
    return true;
}

static bool pop(unsigned *s)
{
    *s &= ~(1u << (8 + top_of(*s)));
    *s = (*s & ~7u) | ((*s + 1) & 7);
    return true;
}

static bool push(unsigned *s)
{
    if (full(*s, 7)) return false;
    *s = (*s & ~7u) | ((*s - 1) & 7);
    *s |= 1u << (8 + top_of(*s));
    return true;
}

/* ---- which calls, and what they do to the state ------------------------------------------------------- */

struct call { unsigned op, i, k, n; };

static struct call call_of(const struct jit_block *jb, const struct ir_op *o)
{
    uint64_t w = jb->consts[o->a - IR_CONST];
    return (struct call){ w & 255, w >> 8 & 255, w >> 16 & 255, w >> 24 & 255 };
}

static bool is_x87(const struct gen *g, const struct jit_block *jb, unsigned at)
{
    return at < jb->n_ops && jb->ops[at].op == OP_CALL && jb->ops[at].aux == g->guest->x87->helper && ir_is_const(jb->ops[at].a);
}

static unsigned uses_of(const struct jit_block *jb, ir_id x)
{
    unsigned n = 0;
    for (unsigned i = 0; i < jb->n_ops; i++) {
        const struct ir_op *o = &jb->ops[i];
        if (o->op != OP_INSN) n += (o->a == x) + (o->b == x) + (o->c == x) + (o->d == x);
    }
    return n;
}

static unsigned bytes_of(unsigned kind) { return kind == X87_I16 ? 1 : kind == X87_F32 || kind == X87_I32 ? 2 : 3; }

/* The op before loads what the call takes, and that alone. */
static bool from_memory(const struct jit_block *jb, unsigned at, unsigned kind)
{
    const struct ir_op *o = &jb->ops[at], *l = o - 1;
    return at && l->op == OP_LD && l->d == o->b && ir_is_temp(l->d) && (l->attr & ~IR_MS) == bytes_of(kind) && !(l->aux & IR_A64) &&
           uses_of(jb, l->d) == 2;
}

/* A store is three ops. */
static bool to_memory(const struct gen *g, const struct jit_block *jb, unsigned at, unsigned kind)
{
    const struct ir_op *o = &jb->ops[at], *s = o + 1;
    return at + 2 < jb->n_ops && s->op == OP_ST && s->b == o->d && ir_is_temp(s->b) && s->attr == bytes_of(kind) && !(s->aux & IR_A64) &&
           is_x87(g, jb, at + 2) && call_of(jb, o + 2).op == X87_STORED && uses_of(jb, o->d) == 2;
}

/* Registers, by physical number, that the call writes; s: the state before. */
static unsigned written_by(struct call w, unsigned s)
{
    unsigned top = top_of(s), st0 = 1u << top, sti = 1u << ((top + w.i) & 7);

    switch (w.op) {
    case X87_LOAD: case X87_LOAD_ST: case X87_CONST: return 1u << ((top - 1) & 7);
    case X87_ARITH: return w.n & 1 ? sti : st0;
    case X87_STORE_ST: return sti;
    case X87_EXCHANGE: return st0 | sti;
    case X87_ARITH_MEM: case X87_SIGN: case X87_FUNC: return st0;
    default: return 0;
    }
}

/* What the op at `at` does to the state. False: it cannot be done here. */
static bool x87_effect(const struct gen *g, const struct jit_block *jb, unsigned at, unsigned *s)
{
    const struct ir_op *o = &jb->ops[at];

    if (o->op == OP_ST && at && is_x87(g, jb, at - 1) && call_of(jb, o - 1).op == X87_STORE && s) return call_of(jb, o + 1).i ? pop(s) : true;
    if (!is_x87(g, jb, at)) return true;
    struct call w = call_of(jb, o);
    bool two = full(*s, 0) && full(*s, w.i);
    switch (w.op) {
    case X87_LOAD: return from_memory(jb, at, w.i) && push(s);
    case X87_LOAD_ST: return full(*s, w.i) && push(s);
    case X87_CONST: return push(s);
    case X87_ARITH_MEM: return full(*s, 0) && w.k != X87_I64 && from_memory(jb, at, w.k);
    case X87_ARITH: return two && (!(w.n & 2) || pop(s));
    case X87_COMPARE:
        if (!two || (w.k == 2 && w.i != 1)) return false;
        for (unsigned n = 0; n < w.k; n++) pop(s);
        return true;
    case X87_COMPARE_MEM: return full(*s, 0) && w.i != X87_I64 && from_memory(jb, at, w.i) && (!w.k || pop(s));
    case X87_COMPARE_FLAGS: return two && (!w.k || pop(s));
    case X87_STORE:
        if (!full(*s, 0) || !to_memory(g, jb, at, w.i)) return false;
        if (w.k || w.i == X87_I64) return (w.i == X87_I16 || w.i == X87_I32 || w.i == X87_I64) && call_of(jb, o + 2).i == 1;
        return true;
    case X87_STORED: return at >= 2 && is_x87(g, jb, at - 2) && call_of(jb, o - 2).op == X87_STORE;
    case X87_STORE_ST: return two && (!w.k || pop(s));
    case X87_EXCHANGE: return two;
    case X87_SIGN: case X87_TEST: return full(*s, 0);
    case X87_FUNC: return full(*s, 0) && (w.i == 8 || w.i == 10);
    case X87_WAIT: case X87_GET_CW: case X87_GET_SW: return true;
    default: return false;
    }
}

/* Ops that know nothing of the x87 and call no C code that would. */
static bool bystander(const struct gen *g, const struct jit_block *jb, const struct ir_op *o)
{
    const struct guest_x87 *x = g->guest->x87;
    ir_id in[4] = { o->a, o->b, o->c, o->d };

    if (o->op == OP_INSN) return true;
    if (o->op == OP_CALL) return !(g->guest->helpers[o->aux].writes & ~(1u << SLOT_FLAG));
    if (ir_op_info[o->op].cls != CLASS_PURE && ir_op_info[o->op].cls != CLASS_CONV && ir_op_info[o->op].cls != CLASS_CTL) return false;
    if (o->op == OP_LD2 || o->op == OP_ST2 || o->op == OP_CAS || o->op == OP_RMW || o->op == OP_FCMP || o->op == OP_FMIN || o->op == OP_FMAX || o->op == OP_FMA || o->op == OP_FROUND) return false;
    if ((o->op == OP_LD || o->op == OP_ST) && o->attr & IR_MALIGN) return false;
    for (unsigned n = 0; n < 4; n++) {
        if (in[n] != IR_NONE && ir_is_slot(in[n]) && in[n] >= x->first && in[n] <= x->last) return false;
    }
    (void)jb;
    return true;
}

/* States at the blocks' entries, by going round until nothing changes: they have to agree wherever ways meet. */
static bool settle_states(struct gen *g, const struct jit_block *blocks, unsigned n, uint16_t *in, uint16_t **before)
{
    const struct guest_x87 *x = g->guest->x87;

    memset(in, 0xff, n * sizeof *in);
    in[0] = (uint16_t)((g->r->values[x->top] & 7) | (g->r->values[x->tags] & 0xff) << 8);
    if (!contiguous(in[0])) return false;
    for (bool more = true; more;) {
        more = false;
        for (unsigned k = 0; k < n; k++) {
            const struct jit_block *jb = &blocks[k];
            unsigned s = in[k];
            if (s == GEN_NO_X87) continue;
            for (unsigned i = 0; i < jb->n_ops; i++) {
                const struct ir_op *o = &jb->ops[i];
                if (before) before[k][i] = (uint16_t)s;
                if (o->op == OP_INSN) continue;
                if (is_x87(g, jb, i)) g->x87_written |= (uint8_t)written_by(call_of(jb, o), s);
                if (!x87_effect(g, jb, i, &s) || !contiguous(s)) return false;
                unsigned ways = o->op == OP_IND ? jb->n_ind : o->op == OP_BRC || o->op == OP_GOTO ? 1 : 0;
                for (unsigned w = 0; w < ways; w++) {
                    int to = o->op == OP_IND ? jb->ind[w] : jb->to[o->aux];
                    if (to < 0 || in[to] == s) continue;
                    if (in[to] != GEN_NO_X87) return false;
                    in[to] = (uint16_t)s;
                    more = true;
                }
            }
        }
    }
    return true;
}

void host_takes_calls(struct gen *g, struct jit_block *blocks)
{
    uint16_t in[JIT_MAX_BLOCKS];
    bool any = false;

    if (!g->guest->x87 || !g->r->values || g->r->tier < 2 || !g->r->user || g->guest->addr_type != T_I32 || g->r->eng->cfg.soft_fp) return;
    for (unsigned k = 0; k < g->r->n; k++) {
        for (unsigned i = 0; i < blocks[k].n_ops; i++) {
            if (is_x87(g, &blocks[k], i)) any = true;
            else if (!bystander(g, &blocks[k], &blocks[k].ops[i])) return;
        }
    }
    if (!any || !settle_states(g, blocks, g->r->n, in, NULL)) return;
    for (unsigned k = 0; k < g->r->n; k++) {
        for (unsigned i = 0; i < blocks[k].n_ops; i++) {
            if (is_x87(g, &blocks[k], i)) ((struct ir_op *)blocks[k].ops)[i].attr = GEN_INLINE; /* of the copy */
        }
    }
    g->x87 = true;
}

/* ---- state -------------------------------------------------------------------------------------------- */

bool x64_x87_begin(struct lower *c)
{
    struct gen *g = c->g;
    unsigned n = g->r->n;

    X64(c)->x87_on = false, X64(c)->n_x87_outs = 0;
    if (!g->x87) return false;
    X64(c)->x87 = arena_get(&g->arena, n * sizeof *X64(c)->x87);
    X64(c)->x87_in = arena_get(&g->arena, n * sizeof *X64(c)->x87_in);
    for (unsigned k = 0; k < n; k++) X64(c)->x87[k] = arena_get(&g->arena, g->r->blocks[k].n_ops * sizeof **X64(c)->x87 + 1);
    X64(c)->x87_on = settle_states(g, g->r->blocks, n, X64(c)->x87_in, X64(c)->x87);
    return X64(c)->x87_on;
}

static unsigned state_now(const struct lower *c) { return X64_CONST(c)->x87_on ? X64_CONST(c)->x87[c->k][c->i] : (unsigned)GEN_NO_X87; }

static struct x64_mem at(const struct lower *c, uint32_t offset)
{
    (void)c;
    return x64_at(RBP, (int32_t)offset - CPU_BIAS);
}

static struct x64_rm cell(const struct lower *c, unsigned state, unsigned i)
{
    return x64_m(at(c, c->g->guest->x87->st + 16 * ((top_of(state) + i) & 7)));
}

/* The host's flags to the guest's. */
static void take_flags(struct lower *c)
{
    struct emit *e = &c->e;
    x64_op(e, 0xdd, false, 7, x64_m(x64_at(RSP, SPARE))); /* fnstsw */
    x64_op(e, 0xb7 | X_0F, false, RCX, x64_m(x64_at(RSP, SPARE)));
    x64_alu_imm(e, ALU_AND, false, x64_r(RCX), FLAGS);
    x64_op(e, 0x09 | X_66, false, RCX, x64_m(at(c, c->g->guest->x87->status)));
}

static void put_state(struct lower *c, unsigned state)
{
    const struct guest_x87 *x = c->g->guest->x87;
    x64_op_imm(&c->e, 0xc7, false, 0, x64_m(x64_cell(c, x->top)), 4, top_of(state));
    x64_op_imm(&c->e, 0xc7, false, 0, x64_m(x64_cell(c, x->tags)), 4, state >> 8);
}

/* By the image of all registers: popped ones count. A subroutine. */
static void out_by_image(struct lower *c, unsigned state)
{
    enum { IMAGE = 512, STATUS = 2, REGS_AT = 32 };
    struct emit *e = &c->e;

    x64_mov(e, true, RCX, RSP);
    x64_lea(e, true, RSP, x64_at(RCX, -IMAGE - 16));
    x64_alu_imm(e, ALU_AND, true, x64_r(RSP), -16);
    x64_op(e, 0xae | X_0F, false, 0, x64_m(x64_at(RSP, 0))); /* fxsave */
    for (unsigned i = 0; i < 8; i++) {
        struct x64_rm to = cell(c, state, i);
        if (!(c->g->x87_written >> ((top_of(state) + i) & 7) & 1)) continue;
        x64_op(e, 0x8b, true, RDX, x64_m(x64_at(RSP, REGS_AT + 16 * (int32_t)i)));
        x64_op(e, 0x89, true, RDX, to);
        x64_op(e, 0xb7 | X_0F, false, RDX, x64_m(x64_at(RSP, REGS_AT + 8 + 16 * (int32_t)i)));
        to.mem.disp += 8;
        x64_op(e, 0x89, false, RDX, to);
    }
    x64_op(e, 0xb7 | X_0F, false, RDX, x64_m(x64_at(RSP, STATUS)));
    x64_alu_imm(e, ALU_AND, false, x64_r(RDX), FLAGS);
    x64_op(e, 0x09 | X_66, false, RDX, x64_m(at(c, c->g->guest->x87->status)));
    emit_byte(e, 0x0f), emit_byte(e, 0x77); /* emms */
    x64_mov(e, true, RSP, RCX);
    put_state(c, state);
    emit_byte(e, 0xc3);
}

static void out(struct lower *c, unsigned state)
{
    unsigned n;

    if (state == GEN_NO_X87) return;
    n = depth_of(state);
    if (!(c->g->x87_written & ~(state >> 8))) {
        for (unsigned i = 0; i < n; i++) x64_op(&c->e, 0xdb, false, 7, cell(c, state, i)); /* fstp tbyte */
        put_state(c, state);
        take_flags(c);
        return;
    }
    for (n = 0; n < X64(c)->n_x87_outs && X64(c)->x87_outs[n].state != state;) n++;
    if (n == ARRAY_LEN(X64(c)->x87_outs)) {
        c->why = "too many states of the x87";
        return;
    }
    if (n == X64(c)->n_x87_outs) X64(c)->x87_outs[X64(c)->n_x87_outs++].state = state, X64(c)->x87_outs[n].label = emit_label(&c->e);
    emit_call(&c->e, X64(c)->x87_outs[n].label);
}

void host_behind(struct lower *c)
{
    for (unsigned n = 0; n < X64(c)->n_x87_outs; n++) {
        emit_place(&c->e, X64(c)->x87_outs[n].label);
        out_by_image(c, X64(c)->x87_outs[n].state);
    }
    X64(c)->n_x87_outs = 0;
}

void host_own_out(struct lower *c, bool entry) { out(c, entry && X64(c)->x87_on ? X64(c)->x87_in[c->k] : state_now(c)); }
void host_own_in(struct lower *c) { x64_x87_in(c, state_now(c)); }
unsigned host_x87(const struct lower *c) { return state_now(c); }

void x64_x87_in(struct lower *c, unsigned state)
{
    if (state == GEN_NO_X87) return;
    unsigned n = depth_of(state), all = c->g->x87_written & ~(state >> 8) ? 8 : n;
    for (unsigned i = all; i-- > 0;) x64_op(&c->e, 0xdb, false, 5, cell(c, state, i)); /* fld tbyte */
    for (unsigned i = n; i < all; i++) emit_byte(&c->e, 0xdd), emit_byte(&c->e, 0xc0 + i); /* ffree */
}

/* The host's flags are old ones, and the guest has not all of them: they would look like new ones. */
static void cold_clear(struct lower *c, const struct cold *k)
{
    emit_byte(&c->e, 0xdb), emit_byte(&c->e, 0xe2); /* fnclex */
    emit_jump(&c->e, k->back);
}

void x64_x87_test(struct lower *c, unsigned no)
{
    const struct guest_x87 *x = c->g->guest->x87;
    struct emit *e = &c->e;
    struct cold *k = lower_cold(c, cold_clear);

    x64_op_imm(e, 0x81 | X_66, false, ALU_CMP, x64_m(at(c, x->control)), 2, CONTROL);
    x64_jcc(e, X_NZ, no);
    x64_alu_imm(e, ALU_CMP, false, x64_m(x64_cell(c, x->top)), (int32_t)top_of(X64(c)->x87_in[0]));
    x64_jcc(e, X_NZ, no);
    x64_alu_imm(e, ALU_CMP, false, x64_m(x64_cell(c, x->tags)), X64(c)->x87_in[0] >> 8);
    x64_jcc(e, X_NZ, no);
    x64_op(e, 0xb7 | X_0F, false, RCX, x64_m(at(c, x->status)));
    x64_test_imm(e, false, x64_r(RCX), C1);
    x64_jcc(e, X_NZ, no);
    x64_op(e, 0xdd, false, 7, x64_m(x64_at(RSP, SPARE)));
    x64_op(e, 0xb7 | X_0F, false, RAX, x64_m(x64_at(RSP, SPARE)));
    x64_op(e, 0xf7, false, 2, x64_r(RCX));
    x64_alu(e, ALU_AND, false, RAX, x64_r(RCX));
    x64_test_imm(e, false, x64_r(RAX), FLAGS);
    x64_jcc(e, X_NZ, k->label);
    emit_place(e, k->back);
}

void host_recover_x87(const void *context, struct cpu *cpu, const struct guest *g, unsigned state, unsigned written)
{
    const ucontext_t *uc = context;
    const struct guest_x87 *x = g->x87;
    char *base = (char *)cpu;

    if (!uc->uc_mcontext.fpregs) return;
    for (unsigned i = 0; i < 8; i++) {
        char *to = base + x->st + 16 * ((top_of(state) + i) & 7);
        if (!(written >> ((top_of(state) + i) & 7) & 1)) continue;
        memcpy(to, uc->uc_mcontext.fpregs->_st[i].significand, 8);
        memcpy(to + 8, &uc->uc_mcontext.fpregs->_st[i].exponent, 2);
    }
    *(uint32_t *)(base + g->slots[x->top].offset) = top_of(state);
    *(uint32_t *)(base + g->slots[x->tags].offset) = state >> 8;
    uint16_t sw;
    memcpy(&sw, base + x->status, 2);
    sw |= uc->uc_mcontext.fpregs->swd & FLAGS;
    memcpy(base + x->status, &sw, 2);
}

/* ---- instructions --------------------------------------------------------------------------------------- */

static void two_bytes(struct lower *c, unsigned a, unsigned b) { emit_byte(&c->e, a), emit_byte(&c->e, b); }

/* The access of op `at`, by the x87. */
static void memory(struct lower *c, unsigned at_op, unsigned opcode, unsigned ext)
{
    const struct ir_op *o = c->o;
    struct cold *k;

    c->o = &c->jb->ops[at_op];
    struct x64_mem m = x64_user_address(c, NULL, &k);
    lower_may_fault(c);
    x64_op(&c->e, opcode, false, ext, x64_m(m));
    c->o = o;
}

/* C3, C2, C0 of the host to the guest's status word. */
static void take_codes(struct lower *c)
{
    struct emit *e = &c->e;
    struct x64_rm word = x64_m(at(c, c->g->guest->x87->status));

    two_bytes(c, 0xdf, 0xe0); /* fnstsw ax */
    x64_op(e, 0xb7 | X_0F, false, RCX, word);
    x64_alu_imm(e, ALU_AND, false, x64_r(RAX), CODES);
    x64_alu_imm(e, ALU_AND, false, x64_r(RCX), ~0x4700);
    x64_alu(e, ALU_OR, false, RCX, x64_r(RAX));
    x64_op(e, 0x89 | X_66, false, RCX, word);
}

static void store(struct lower *c, struct call w, unsigned at_op)
{
    unsigned pops = call_of(c->jb, &c->jb->ops[at_op + 1]).i;

    switch (w.i) {
    case X87_F32: memory(c, at_op, 0xd9, pops ? 3 : 2); break;
    case X87_F64: memory(c, at_op, 0xdd, pops ? 3 : 2); break;
    case X87_I16: memory(c, at_op, 0xdf, w.k ? 1 : pops ? 3 : 2); break;
    case X87_I32: memory(c, at_op, 0xdb, w.k ? 1 : pops ? 3 : 2); break;
    default: memory(c, at_op, w.k ? 0xdd : 0xdf, w.k ? 1 : 7); break;
    }
}

static void compare_flags(struct lower *c, struct call w)
{
    two_bytes(c, w.k ? 0xdf : 0xdb, (w.n ? 0xe8 : 0xf0) + w.i);
    emit_byte(&c->e, 0x9f); /* lahf */
    emit_byte(&c->e, 0x0f), emit_byte(&c->e, 0xb6), emit_byte(&c->e, 0xc4); /* movzx eax, ah */
    x64_alu_imm(&c->e, ALU_AND, false, x64_r(RAX), 0x45);
    c->e.changes++;
    x64_done(c, c->o->d, RAX);
}

static void status_word(struct lower *c)
{
    take_flags(c);
    x64_op(&c->e, 0xb7 | X_0F, false, RAX, x64_m(at(c, c->g->guest->x87->status)));
    if (top_of(state_now(c))) x64_alu_imm(&c->e, ALU_OR, false, x64_r(RAX), (int32_t)(top_of(state_now(c)) << 11));
    x64_done(c, c->o->d, RAX);
}

bool x64_lower_x87(struct lower *c)
{
    const struct ir_op *o = c->o;
    const struct jit_block *jb = c->jb;
    static const uint8_t arith[5] = { 0xd8, 0xdc, 0xde, 0xda, 0 }, loads[5] = { 0xd9, 0xdd, 0xdf, 0xdb, 0xdf };

    if (!X64(c)->x87_on) return false;
    if (o->op == OP_LD && is_x87(c->g, jb, c->i + 1) && o[1].b == o->d) return true; /* with the next op */
    if (o->op == OP_ST && c->i && is_x87(c->g, jb, c->i - 1) && o[-1].d == o->b && call_of(jb, o - 1).op == X87_STORE) {
        store(c, call_of(jb, o - 1), c->i);
        return true;
    }
    if (!is_x87(c->g, jb, c->i)) return false;
    struct call w = call_of(jb, o);
    switch (w.op) {
    case X87_LOAD: memory(c, c->i - 1, loads[w.i], w.i == X87_I64 ? 5 : 0); break;
    case X87_LOAD_ST: two_bytes(c, 0xd9, 0xc0 + w.i); break;
    case X87_CONST: two_bytes(c, 0xd9, 0xe8 + w.i); break;
    case X87_ARITH_MEM: memory(c, c->i - 1, arith[w.k], w.i); break;
    case X87_ARITH: two_bytes(c, w.n & 2 ? 0xde : w.n & 1 ? 0xdc : 0xd8, 0xc0 + ((w.n & 1 && w.k >= 4 ? w.k ^ 1 : w.k) << 3) + w.i); break;
    case X87_COMPARE:
        if (w.k == 2) two_bytes(c, w.n ? 0xda : 0xde, w.n ? 0xe9 : 0xd9);
        else if (w.n) two_bytes(c, 0xdd, (w.k ? 0xe8 : 0xe0) + w.i);
        else two_bytes(c, 0xd8, (w.k ? 0xd8 : 0xd0) + w.i);
        take_codes(c);
        break;
    case X87_COMPARE_MEM:
        memory(c, c->i - 1, arith[w.i], w.k ? 3 : 2);
        take_codes(c);
        break;
    case X87_COMPARE_FLAGS: compare_flags(c, w); break;
    case X87_STORE: case X87_STORED: case X87_WAIT: break;
    case X87_STORE_ST: two_bytes(c, 0xdd, (w.k ? 0xd8 : 0xd0) + w.i); break;
    case X87_EXCHANGE: two_bytes(c, 0xd9, 0xc8 + w.i); break;
    case X87_SIGN: two_bytes(c, 0xd9, w.i ? 0xe1 : 0xe0); break;
    case X87_TEST:
        two_bytes(c, 0xd9, 0xe4);
        take_codes(c);
        break;
    case X87_FUNC: two_bytes(c, 0xd9, w.i == 8 ? 0xfa : 0xfc); break;
    case X87_GET_CW:
        x64_mov_imm(&c->e, RAX, CONTROL);
        x64_done(c, o->d, RAX);
        break;
    case X87_GET_SW: status_word(c); break;
    default: c->why = "an x87 operation"; break;
    }
    return true;
}
