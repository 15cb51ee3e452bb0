/*
 * x64-control.c - what lower.c and lower-control.c ask of an x86-64 host: cells and registers, C calls, the count of
 * instructions, ways out, comparisons of indirect branches.
 */
#include "jit-native/x64.h"

/* ---- state -------------------------------------------------------------------------------------------- */

void host_move_cell(struct lower *c, unsigned r, ir_id x, bool load)
{
    bool w = lower_wide(c, x);
    struct x64_rm m = x64_m(x64_cell(c, x));
    if (!load && c->g->narrow >> r & 1) x64_op(&c->e, 0x63, true, r, x64_r(r)); /* movsxd */
    if (lower_pair(c, x)) x64_op(&c->e, (load ? 0x10 : 0x11) | X_0F, false, r - GPRS, m); /* movups */
    else if (r < GPRS) x64_op(&c->e, load ? 0x8b : 0x89, w, r, m);
    else x64_op(&c->e, (load ? 0x10 : 0x11) | X_0F | (w ? X_F2 : X_F3), false, r - GPRS, m);
}

void host_set_point(struct lower *c) { x64_op_imm(&c->e, 0xc7, false, 0, x64_m(AT_CPU(xpoint)), 4, lower_point(c)); }
void host_result(struct lower *c, ir_id d) { x64_done(c, d, RAX); }

void host_store_pc_of(struct lower *c, ir_id x)
{
    const struct guest *g = c->g->guest;
    uint64_t pc;
    if (lower_const(c, x, &pc)) host_store_pc(c, pc);
    else x64_op(&c->e, 0x89, g->slots[g->pc_slot].type == T_I64, x64_use(c, x, RAX), x64_m(x64_cell(c, g->pc_slot)));
}

void host_store_pc(struct lower *c, uint64_t pc)
{
    const struct guest *g = c->g->guest;
    bool w = g->slots[g->pc_slot].type == T_I64;
    struct x64_rm m = x64_m(x64_cell(c, g->pc_slot));
    if (!w || (int64_t)pc == (int32_t)pc) {
        x64_op_imm(&c->e, 0xc7, w, 0, m, 4, (uint32_t)pc);
    } else {
        x64_mov_imm(&c->e, RAX, pc);
        x64_op(&c->e, 0x89, true, RAX, m);
    }
}

void host_store_key(struct lower *c, uint64_t key)
{
    x64_mov_imm(&c->e, RAX, key);
    x64_op(&c->e, 0x89, true, RAX, x64_m(AT_CPU(key)));
}

/* ---- C calls ------------------------------------------------------------------------------------------ */

static const uint8_t args[] = { RDI, RSI, RDX, RCX, R8, R9 };

void host_arg(struct lower *c, unsigned n, ir_id x) { x64_load_cell(c, args[n], x); }
void host_arg_imm(struct lower *c, unsigned n, uint64_t v) { x64_mov_imm(&c->e, args[n], v); }
void host_arg_add(struct lower *c, unsigned n, bool wide, int32_t v) { x64_alu_imm(&c->e, ALU_ADD, wide, x64_r(args[n]), v); }
void host_arg_label(struct lower *c, unsigned n, unsigned label) { x64_lea_label(&c->e, args[n], label); }
void host_arg_address(struct lower *c, unsigned n, bool wide) { x64_mov(&c->e, wide, args[n], RAX); }

void host_call_c(struct lower *c, uintptr_t fn, bool fp)
{
    const struct stubs *s = &c->h->stubs;
    if (x64_is_sse(c)) fp = false; /* what the host's flags say is the guest's */
    const void *own = fn == (uintptr_t)jit_ld ? s->ld : fn == (uintptr_t)jit_st ? s->st : fn == (uintptr_t)jit_op ? s->op : NULL;
    if (!own) x64_mov_imm(&c->e, RAX, fn);
    emit_call_abs(&c->e, fp ? s->fp : own ? own : s->call);
}

/* ---- lazy slots ---------------------------------------------------------------------------------------- */

/* What waits in a lazy slot: into rcx; rdx is scratch. */
static void work_out(struct lower *c, const struct gen_lazy *z, bool w)
{
    struct emit *e = &c->e;
    static const uint8_t alu[OP_COUNT] = { [OP_ADD] = ALU_ADD, [OP_SUB] = ALU_SUB, [OP_AND] = ALU_AND, [OP_OR] = ALU_OR, [OP_XOR] = ALU_XOR };
    static const uint8_t sh[OP_COUNT] = { [OP_SHL] = SH_SHL, [OP_SHR] = SH_SHR, [OP_SAR] = SH_SAR };
    unsigned width = w ? 64 : 32;

    if (z->a == IR_NONE) x64_mov_imm(e, RCX, w ? z->ka : (uint32_t)z->ka);
    else x64_load(c, RCX, z->a);
    switch (z->op) {
    case OP_MOV: break;
    case OP_NEG: x64_op(e, 0xf7, w, 3, x64_r(RCX)); break;
    case OP_ZX8: x64_op(e, 0xb6 | X_0F | X_B, false, RCX, x64_r(RCX)); break;
    case OP_ZX16: x64_op(e, 0xb7 | X_0F, false, RCX, x64_r(RCX)); break;
    case OP_ZX32: x64_op(e, 0x8b, false, RCX, x64_r(RCX)); break;
    case OP_SX8: x64_op(e, 0xbe | X_0F | X_B, w, RCX, x64_r(RCX)); break;
    case OP_SX16: x64_op(e, 0xbf | X_0F, w, RCX, x64_r(RCX)); break;
    case OP_SX32: x64_op(e, 0x63, true, RCX, x64_r(RCX)); break;
    case OP_SHL: case OP_SHR: case OP_SAR:
        if (z->kb >= width && z->op != OP_SAR) x64_mov_imm(e, RCX, 0);
        else if (z->kb) x64_shift_imm(e, sh[z->op], w, x64_r(RCX), (unsigned)MIN(z->kb, width - 1));
        break;
    default:
        if (z->b != IR_NONE) x64_load(c, RDX, z->b);
        else x64_mov_imm(e, RDX, w ? z->kb : (uint32_t)z->kb);
        x64_alu(e, alu[z->op], w, RCX, x64_r(RDX));
    }
}

void host_settle(struct lower *c, unsigned state)
{
    const struct gen *g = c->g;
    if (!g->states || !state) return;
    for (unsigned n = 0; n < g->guest->n_lazy; n++) {
        const struct gen_lazy *z = &g->states[state].v[n];
        if (z->op >= OP_COUNT) continue;
        ir_id s = (ir_id)(g->guest->lazy_first + n);
        bool w = g->guest->slots[s].type == T_I64;
        struct x64_rm m = x64_m(x64_cell(c, s));
        if (z->op == OP_MOV && z->a == IR_NONE && (!w || (int64_t)z->ka == (int32_t)z->ka)) {
            x64_op_imm(&c->e, 0xc7, w, 0, m, 4, (uint32_t)z->ka);
            continue;
        }
        work_out(c, z, w);
        x64_op(&c->e, 0x89, w, RCX, m);
    }
}

/* ---- the count of instructions ------------------------------------------------------------------------ */

void host_count(struct lower *c, int32_t n)
{
    if (n) x64_alu_imm(&c->e, n < 0 ? ALU_SUB : ALU_ADD, true, x64_r(R15), n < 0 ? -n : n);
}

void host_count_jump(struct lower *c, int32_t n, bool negative, unsigned label)
{
    host_count(c, n);
    if (!n) x64_test(&c->e, true, R15, R15);
    x64_jcc(&c->e, negative ? X_S : X_NS, label);
}

void host_refill(struct lower *c, unsigned none)
{
    emit_call_abs(&c->e, c->h->stubs.refill);
    x64_jcc(&c->e, X_Z, none);
}

void host_heat(struct lower *c, const struct blk *b, uint32_t n, bool more, unsigned label)
{
    x64_mov_imm(&c->e, RAX, (uintptr_t)b->code_heat);
    x64_alu_imm(&c->e, ALU_SUB, false, x64_m(x64_at(RAX, 0)), (int32_t)n);
    x64_jcc(&c->e, more ? X_A : X_Z, label);
}

/* ---- ways out ----------------------------------------------------------------------------------------- */

void host_exit(struct lower *c, unsigned code)
{
    x64_mov_imm(&c->e, RAX, code);
    emit_jump_abs(&c->e, c->h->stubs.exit);
}

void host_follow_link(struct lower *c, const struct link *l)
{
    x64_mov_imm(&c->e, RAX, (uintptr_t)l);
    x64_op(&c->e, 0xff, false, 4, x64_m(x64_at(RAX, (int32_t)offsetof(struct link, code))));
}

/* reg = the jump cache's block for the address. */
static struct x64_mem cached(struct lower *c, unsigned reg, uint64_t pc)
{
    x64_op(&c->e, 0x8b, true, reg, x64_m(AT_CPU(jump_cache)));
    return x64_at(reg, (int32_t)(jc_index(pc) * sizeof(void *)));
}

void host_follow_cached(struct lower *c, const struct link *l)
{
    host_store_pc(c, l->pc);
    x64_mov_imm(&c->e, RAX, l->pc);
    x64_mov_imm(&c->e, RCX, l->key);
    struct x64_mem m = cached(c, RDX, l->pc);
    x64_op(&c->e, 0x8b, true, RDX, x64_m(m));
    emit_jump_abs(&c->e, c->h->stubs.candidate);
}

void host_check_mapping(struct lower *c, const struct blk *b, unsigned no)
{
    struct x64_mem m = cached(c, RAX, b->pc);
    x64_mov_imm(&c->e, RCX, (uintptr_t)b);
    x64_op(&c->e, 0x39, true, RCX, x64_m(m));
    x64_jcc(&c->e, X_NZ, no);
}

void host_check_key(struct lower *c, uint64_t key, unsigned no)
{
    x64_mov_imm(&c->e, RCX, key);
    x64_op(&c->e, 0x39, true, RCX, x64_m(AT_CPU(key)));
    x64_jcc(&c->e, X_NZ, no);
}

/* ---- branches ----------------------------------------------------------------------------------------- */

struct lower_ind host_ind(struct lower *c) { return (struct lower_ind){ .reg = x64_use(c, c->o->a, RDX) }; }

void host_ind_is(struct lower *c, struct lower_ind *at, uint64_t pc, unsigned label)
{
    struct emit *e = &c->e;
    if (c->o->type != T_I64) {
        x64_alu_imm(e, ALU_CMP, false, x64_r(at->reg), (int32_t)(uint32_t)pc);
    } else if ((int64_t)pc == (int32_t)pc) {
        x64_alu_imm(e, ALU_CMP, true, x64_r(at->reg), (int32_t)pc);
    } else { /* by the distance from the first */
        int64_t off = (int64_t)(pc - at->base);
        if (!at->based || off != (int32_t)off) {
            at->base = pc, at->based = true;
            off = 0;
            x64_mov_imm(e, RAX, 0 - pc);
            x64_alu(e, ALU_ADD, true, RAX, x64_r(at->reg));
        }
        if (off) x64_alu_imm(e, ALU_CMP, true, x64_r(RAX), (int32_t)off); /* else the addition has set ZF */
    }
    x64_jcc(e, X_Z, label);
}

void host_ind_leave(struct lower *c, const struct lower_ind *at)
{
    const struct guest *g = c->g->guest;
    struct emit *e = &c->e;
    bool w = c->o->type == T_I64;
    x64_mov(e, w, RAX, at->reg);
    if (!w && at->reg == RAX) x64_op(e, 0x8b, false, RAX, x64_r(RAX));
    x64_op(e, 0x89, g->slots[g->pc_slot].type == T_I64, RAX, x64_m(x64_cell(c, g->pc_slot)));
    lower_spill(c, c->dirty, false);
    host_settle(c, lower_state(c));
    host_own_out(c, false);
    x64_mov_imm(e, RCX, c->jb->blk->key);
    emit_jump_abs(e, c->h->stubs.indirect);
}

void host_branch(struct lower *c, const struct ir_op *o, bool invert, unsigned label) { x64_jcc(&c->e, x64_compare(c, o) ^ invert, label); }

void host_fence(struct lower *c) /* lock or dword [rsp + spare], 0 */
{
    emit_byte(&c->e, 0xf0);
    x64_alu_imm(&c->e, ALU_OR, false, x64_m(x64_at(RSP, 16)), 0);
}
