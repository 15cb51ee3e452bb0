/*
 * ir.c - the IR builder and the tables derived from ops.def. Misuse of the builder is recorded in `bug`, never fatal.
 */
#include "interp/ir.h"

#include "interp/block.h"
#include "interp/cpu.h"
#include "interp/engine.h"

#include <stdlib.h>

const struct ir_op_info ir_op_info[OP_COUNT] = {
#define PURE(N, n, in, fl, ty, e)     [OP_##N] = { #n, CLASS_PURE, in, fl },
#define CONV(N, n, in, fl, ti, to, e) [OP_##N] = { #n, CLASS_CONV, in, fl },
#define FPOP(N, n, in, soft, host)    [OP_##N] = { #n, CLASS_FP, in, 0 },
#define FPCV(N, n, ti, to)            [OP_##N] = { #n, CLASS_FPCV, 1, 0 },
#define VEC(N, n, in, e)              [OP_##N] = { #n, CLASS_VEC, in, F_OPT },
#define VECX(N, n, in)                [OP_##N] = { #n, CLASS_VEC, in, F_OPT },
#define CTLO(N, n, fl)                [OP_##N] = { #n, CLASS_CTL, 3, fl },
#include "interp/ops.def"
};

const uint8_t ir_cond_inverse[CC_COUNT] = {
#define COND(N, n, inv, swp, e) [CC_##N] = CC_##inv,
#include "interp/ops.def"
};
const uint8_t ir_cond_swapped[CC_COUNT] = {
#define COND(N, n, inv, swp, e) [CC_##N] = CC_##swp,
#include "interp/ops.def"
};

/* Types of the operands of width-crossing ops: input, output. */
static bool conv_types(unsigned op, enum ir_type *in, enum ir_type *out)
{
    enum { T_32 = T_I32, T_64 = T_I64, F16 = T_I32, F32 = T_I32, F64 = T_I64, I32 = T_I32, I64 = T_I64, U32 = T_I32, U64 = T_I64 };
    switch (op) {
#define CONV(N, n, k, fl, ti, to, e) case OP_##N: *in = (enum ir_type)(ti), *out = (enum ir_type)(to); return true;
#define FPCV(N, n, ti, to) case OP_##N: *in = (enum ir_type)(ti), *out = (enum ir_type)(to); return true;
#include "interp/ops.def"
    default: return false;
    }
}

void ir_builder_init(struct ir_builder *b, struct cpu *cpu, uint64_t pc, uint64_t key, unsigned max_insns)
{
    /* Buffers survive from block to block: translation is the cold path's main cost. */
    struct ir_op *ops = b->blk.ops;
    uint64_t *consts = b->blk.consts;
    uint8_t *ct = b->blk.const_type, *tt = b->blk.temp_type;
    unsigned co = b->cap_ops, cc = b->cap_consts, cp = b->cap_temps;

    memset(b, 0, sizeof *b);
    b->blk.ops = ops, b->blk.consts = consts, b->blk.const_type = ct, b->blk.temp_type = tt;
    b->cap_ops = co, b->cap_consts = cc, b->cap_temps = cp;
    b->blk.pc = pc;
    b->blk.key = key;
    b->cpu = cpu;
    b->guest = cpu->guest;
    b->pc = pc;
    b->max_insns = max_insns;
    b->code_vpage = UINT64_MAX;
    b->code_mask = CPU_PAGE_MASK;
}

void ir_builder_free(struct ir_builder *b)
{
    free(b->blk.ops);
    free(b->blk.consts);
    free(b->blk.const_type);
    free(b->blk.temp_type);
    memset(b, 0, sizeof *b);
}

static ATTR_COLD void bug(struct ir_builder *b, const char *what)
{
    if (!b->bug) b->bug = what;
}

ir_id ir_temp(struct ir_builder *b, enum ir_type type)
{
    if (b->blk.n_temps >= IR_MAX_TEMPS - 8) { /* the last ones are the lowering's */
        bug(b, "too many temporaries");
        return IR_TEMP;
    }
    if (b->blk.n_temps == b->cap_temps) {
        b->cap_temps = b->cap_temps ? b->cap_temps * 2 : 64;
        b->blk.temp_type = mem_realloc(b->blk.temp_type, b->cap_temps);
    }
    b->blk.temp_type[b->blk.n_temps] = (uint8_t)type;
    return (ir_id)(IR_TEMP + b->blk.n_temps++);
}

ir_id ir_const(struct ir_builder *b, enum ir_type type, uint64_t v)
{
    if (type == T_I32) v = (uint32_t)v;
    for (unsigned i = b->blk.n_consts; i-- > 0;) {
        if (b->blk.consts[i] == v && b->blk.const_type[i] == type) return (ir_id)(IR_CONST + i);
    }
    if (b->blk.n_consts == b->cap_consts) {
        b->cap_consts = b->cap_consts ? b->cap_consts * 2 : 64;
        b->blk.consts = mem_realloc(b->blk.consts, b->cap_consts * sizeof(uint64_t));
        b->blk.const_type = mem_realloc(b->blk.const_type, b->cap_consts);
    }
    b->blk.consts[b->blk.n_consts] = v;
    b->blk.const_type[b->blk.n_consts] = (uint8_t)type;
    return (ir_id)(IR_CONST + b->blk.n_consts++);
}

/* The type of an operand, or -1. */
static int type_of(const struct ir_builder *b, ir_id x)
{
    if (likely(ir_is_slot(x))) return x < b->guest->n_slots ? b->guest->slots[x].type : -1;
    if (ir_is_temp(x)) return x - IR_TEMP < b->blk.n_temps ? b->blk.temp_type[x - IR_TEMP] : -1;
    if (x == IR_NONE) return -1;
    return x - IR_CONST < b->blk.n_consts ? b->blk.const_type[x - IR_CONST] : -1;
}

/* Every operand of every op comes by here: the usual case, a slot, without a call. */
static inline void want(struct ir_builder *b, ir_id x, enum ir_type type, const char *what)
{
    if (likely(x < b->guest->n_slots)) {
        if (unlikely(b->guest->slots[x].type != type)) bug(b, what);
    } else if (unlikely(type_of(b, x) != (int)type)) {
        bug(b, what);
    }
}

/* A place for one more op; false: there is none. */
static ATTR_COLD bool more_ops(struct ir_builder *b)
{
    if (b->blk.n_ops >= IR_MAX_OPS) {
        bug(b, "too many ops");
        return false;
    }
    b->cap_ops = b->cap_ops ? b->cap_ops * 2 : 256;
    b->blk.ops = mem_realloc(b->blk.ops, b->cap_ops * sizeof(struct ir_op));
    return true;
}

static struct ir_op *emit(struct ir_builder *b, unsigned op, unsigned type, ir_id d, ir_id a, ir_id bb, ir_id c)
{
    static struct ir_op overflow;

    if (b->ended && op != OP_LABEL) bug(b, "op after the end of the block");
    if (ir_is_const(d)) bug(b, "constant as destination");
    if (unlikely(b->blk.n_ops == b->cap_ops) && !more_ops(b)) return &overflow;
    struct ir_op *o = &b->blk.ops[b->blk.n_ops++];
    *o = (struct ir_op){ (uint16_t)op, (uint8_t)type, 0, d, a, bb, c, 0 };
    return o;
}

ir_id ir_op1(struct ir_builder *b, enum ir_opcode op, enum ir_type t, ir_id d, ir_id a)
{
    enum ir_type in, out;
    if (conv_types(op, &in, &out)) return ir_conv(b, op, d, a);
    want(b, d, t, "destination type");
    want(b, a, t, "operand type");
    emit(b, op, t, d, a, IR_NONE, IR_NONE);
    return d;
}

ir_id ir_op2(struct ir_builder *b, enum ir_opcode op, enum ir_type t, ir_id d, ir_id x, ir_id y)
{
    if (op == OP_CONCAT) {
        want(b, d, T_I64, "destination type");
        want(b, x, T_I32, "operand type");
        want(b, y, T_I32, "operand type");
        emit(b, op, T_I64, d, x, y, IR_NONE);
        return d;
    }
    want(b, d, t, "destination type");
    want(b, x, t, "operand type");
    want(b, y, t, "operand type");
    emit(b, op, t, d, x, y, IR_NONE);
    return d;
}

ir_id ir_op3(struct ir_builder *b, enum ir_opcode op, enum ir_type t, ir_id d, ir_id x, ir_id y, ir_id z)
{
    want(b, d, t, "destination type");
    want(b, x, t, "operand type");
    want(b, y, t, "operand type");
    want(b, z, t, "operand type");
    emit(b, op, t, d, x, y, z);
    return d;
}

ir_id ir_mov(struct ir_builder *b, enum ir_type t, ir_id d, ir_id a)
{
    if (d == a) return d;
    want(b, d, t, "destination type");
    want(b, a, t, "operand type");
    emit(b, OP_MOV, t, d, a, IR_NONE, IR_NONE);
    return d;
}

ir_id ir_bits(struct ir_builder *b, enum ir_opcode op, enum ir_type t, ir_id d, ir_id a, unsigned pos, unsigned len)
{
    if (!len || pos + len > (t == T_I64 ? 64u : 32u)) bug(b, "bit field range");
    want(b, d, t, "destination type");
    want(b, a, t, "operand type");
    emit(b, op, t, d, a, IR_NONE, IR_NONE)->aux = pos | len << 8;
    return d;
}

ir_id ir_deposit(struct ir_builder *b, enum ir_type t, ir_id d, ir_id x, ir_id y, unsigned pos, unsigned len)
{
    if (!len || pos + len > (t == T_I64 ? 64u : 32u)) bug(b, "bit field range");
    want(b, d, t, "destination type");
    want(b, x, t, "operand type");
    want(b, y, t, "operand type");
    emit(b, OP_DEPOSIT, t, d, x, y, IR_NONE)->aux = pos | len << 8;
    return d;
}

ir_id ir_setc(struct ir_builder *b, enum ir_type t, enum ir_cond cc, ir_id d, ir_id x, ir_id y)
{
    want(b, d, t, "destination type");
    want(b, x, t, "operand type");
    want(b, y, t, "operand type");
    emit(b, OP_SETC, t, d, x, y, IR_NONE)->attr = (uint8_t)cc;
    return d;
}

ir_id ir_conv(struct ir_builder *b, enum ir_opcode op, ir_id d, ir_id a)
{
    enum ir_type in = T_I32, out = T_I32;
    if (!conv_types(op, &in, &out)) bug(b, "no conversion");
    want(b, d, out, "destination type");
    want(b, a, in, "operand type");
    emit(b, op, out, d, a, IR_NONE, IR_NONE);
    return d;
}

ir_id ir_f2i(struct ir_builder *b, enum ir_opcode op, ir_id d, ir_id a, unsigned round, enum ir_f2i rule)
{
    ir_conv(b, op, d, a);
    if (b->blk.n_ops) b->blk.ops[b->blk.n_ops - 1].aux = round | (uint32_t)rule << 4;
    return d;
}

ir_id ir_fcmp(struct ir_builder *b, enum ir_type t, unsigned mask, ir_id d, ir_id x, ir_id y)
{
    want(b, d, T_I32, "destination type");
    want(b, x, t, "operand type");
    want(b, y, t, "operand type");
    emit(b, OP_FCMP, t, d, x, y, IR_NONE)->attr = (uint8_t)mask;
    return d;
}

ir_id ir_fcmp_values(struct ir_builder *b, enum ir_type t, uint32_t values, unsigned signal, ir_id d, ir_id x, ir_id y)
{
    if (!values) bug(b, "comparison without values");
    ir_fcmp(b, t, signal & IR_REL_SIGNAL, d, x, y);
    if (b->blk.n_ops) b->blk.ops[b->blk.n_ops - 1].aux = values;
    return d;
}

ir_id ir_fround(struct ir_builder *b, enum ir_type t, unsigned mode, ir_id d, ir_id a)
{
    if ((mode & IR_ROUND_ENV) > FP_RTO && (mode & IR_ROUND_ENV) != IR_ROUND_ENV) bug(b, "rounding mode");
    ir_op1(b, OP_FROUND, t, d, a);
    if (b->blk.n_ops) b->blk.ops[b->blk.n_ops - 1].attr = (uint8_t)mode;
    return d;
}

ir_id ir_fminmax(struct ir_builder *b, enum ir_opcode op, enum ir_type t, enum ir_fmm rule, ir_id d, ir_id x, ir_id y)
{
    if ((op != OP_FMIN && op != OP_FMAX) || rule >= IR_FMM_COUNT) bug(b, "minimum or maximum");
    ir_op2(b, op, t, d, x, y);
    if (b->blk.n_ops) b->blk.ops[b->blk.n_ops - 1].attr = (uint8_t)rule;
    return d;
}

ir_id ir_fma(struct ir_builder *b, enum ir_type t, unsigned flags, ir_id d, ir_id x, ir_id y, ir_id z)
{
    ir_op3(b, OP_FMA, t, d, x, y, z);
    if (b->blk.n_ops) b->blk.ops[b->blk.n_ops - 1].attr = (uint8_t)flags;
    return d;
}

ir_id ir_vtemp(struct ir_builder *b, unsigned bytes)
{
    ir_id first = ir_temp(b, T_I64);
    for (unsigned i = 8; i < bytes; i += 8) ir_temp(b, T_I64);
    return first;
}

/* n cells from x on: of 64 bits, and one behind the other in memory. */
static void want_run(struct ir_builder *b, ir_id x, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        want(b, (ir_id)(x + i), T_I64, "vector operand");
        if (n > 1 && ir_is_const(x)) bug(b, "constant as a vector");
        if (!b->bug && ir_is_slot(x) && b->guest->slots[x + i].offset != b->guest->slots[x].offset + 8 * i) bug(b, "slots of a vector");
    }
}

ir_id ir_vec(struct ir_builder *b, enum ir_opcode op, unsigned lane, unsigned bytes, ir_id d, ir_id x, ir_id y, ir_id z, uint32_t imm)
{
    const ir_id in[3] = { x, y, z };
    unsigned size = bytes == 8 ? 0 : bytes == 16 ? 1 : bytes == 32 ? 2 : bytes == 64 ? 3 : 4;
    bool doubles = op == OP_VPACK || op == OP_VWIDEN || op == OP_VMULW || op == OP_VMADDW;

    if (op >= OP_COUNT || ir_op_info[op].cls != CLASS_VEC || size > 3 || lane > 3 || (doubles && lane == 3)) {
        bug(b, "vector op");
        return d;
    }
    if (op == OP_VFP && lane < 2) bug(b, "floating-point lanes");
    struct ir_op *o = emit(b, op, T_I64, d, x, y, z);
    o->attr = (uint8_t)(lane | size << 2), o->aux = imm;
    want_run(b, d, ir_vec_cells(o, 0));
    for (unsigned i = 0; i < 3; i++) {
        if (in[i] == IR_NONE) {
            if (i < ir_op_info[op].n_in && op != OP_VFP && op != OP_VSHUF) bug(b, "vector operand");
            o = b->blk.n_ops ? &b->blk.ops[b->blk.n_ops - 1] : o;
            continue;
        }
        want_run(b, in[i], ir_vec_cells(o, i + 1));
    }
    return d;
}

static uint32_t mem_aux(struct ir_builder *b, ir_id addr, int disp, unsigned mmu)
{
    int t = type_of(b, addr);
    if (t < 0) bug(b, "address type");
    if (mmu >= CPU_MMU_MODES) bug(b, "mmu mode");
    if (disp < INT16_MIN || disp > INT16_MAX) bug(b, "displacement range");
    return (uint16_t)disp | mmu << 16 | (t == T_I64 ? IR_A64 : 0);
}

ir_id ir_ld(struct ir_builder *b, enum ir_type t, ir_id d, ir_id addr, int disp, unsigned mem, unsigned mmu)
{
    want(b, d, t, "destination type");
    if (t == T_I32 && (mem & IR_MSIZE) == IR_M64) bug(b, "64-bit load into I32");
    uint32_t aux = mem_aux(b, addr, disp, mmu);
    struct ir_op *o = emit(b, OP_LD, t, d, addr, IR_NONE, IR_NONE);
    o->attr = (uint8_t)mem, o->aux = aux;
    return d;
}

void ir_st(struct ir_builder *b, enum ir_type t, ir_id v, ir_id addr, int disp, unsigned mem, unsigned mmu)
{
    want(b, v, t, "operand type");
    if (t == T_I32 && (mem & IR_MSIZE) == IR_M64) bug(b, "64-bit store from I32");
    uint32_t aux = mem_aux(b, addr, disp, mmu);
    struct ir_op *o = emit(b, OP_ST, t, IR_NONE, addr, v, IR_NONE);
    o->attr = (uint8_t)mem, o->aux = aux;
}

void ir_ld2(struct ir_builder *b, ir_id d, ir_id c, ir_id addr, int disp, unsigned mem, unsigned mmu)
{
    want(b, d, T_I64, "destination type");
    want(b, c, T_I64, "destination type");
    if (d == c || ir_is_const(c)) bug(b, "destinations of a pair");
    uint32_t aux = mem_aux(b, addr, disp, mmu);
    struct ir_op *o = emit(b, OP_LD2, T_I64, d, addr, IR_NONE, c);
    o->attr = (uint8_t)((mem & ~(unsigned)(IR_MSIZE | IR_MS)) | IR_M64), o->aux = aux;
}

void ir_st2(struct ir_builder *b, ir_id v, ir_id w, ir_id addr, int disp, unsigned mem, unsigned mmu)
{
    want(b, v, T_I64, "operand type");
    want(b, w, T_I64, "operand type");
    uint32_t aux = mem_aux(b, addr, disp, mmu);
    struct ir_op *o = emit(b, OP_ST2, T_I64, IR_NONE, addr, v, w);
    o->attr = (uint8_t)((mem & ~(unsigned)(IR_MSIZE | IR_MS)) | IR_M64), o->aux = aux;
}

ir_id ir_cas(struct ir_builder *b, enum ir_type t, ir_id d, ir_id addr, ir_id expect, ir_id value, unsigned mem, unsigned mmu)
{
    want(b, d, t, "destination type");
    want(b, expect, t, "operand type");
    want(b, value, t, "operand type");
    if (t == T_I32 && (mem & IR_MSIZE) == IR_M64) bug(b, "64-bit cas on I32");
    uint32_t aux = mem_aux(b, addr, 0, mmu);
    struct ir_op *o = emit(b, OP_CAS, t, d, addr, expect, value);
    o->attr = (uint8_t)mem, o->aux = aux;
    return d;
}

ir_id ir_rmw(struct ir_builder *b, enum ir_type t, enum ir_rmw what, ir_id d, ir_id addr, ir_id value, unsigned mem, unsigned mmu)
{
    want(b, d, t, "destination type");
    want(b, value, t, "operand type");
    if (t == T_I32 && (mem & IR_MSIZE) == IR_M64) bug(b, "64-bit rmw on I32");
    uint32_t aux = mem_aux(b, addr, 0, mmu);
    struct ir_op *o = emit(b, OP_RMW, t, d, addr, value, IR_NONE);
    o->attr = (uint8_t)mem, o->aux = aux | (uint32_t)what << 28;
    return d;
}

ir_id ir_call(struct ir_builder *b, unsigned helper, enum ir_type t, ir_id d, ir_id x, ir_id y, ir_id z)
{
    if (helper >= b->guest->n_helpers) bug(b, "no such helper");
    if (d != IR_NONE) want(b, d, t, "destination type");
    emit(b, OP_CALL, t, d, x, y, z)->aux = helper;
    return d;
}

void ir_fence_mask(struct ir_builder *b, unsigned mask)
{
    emit(b, OP_FENCE, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = mask & IR_FENCE_ALL;
}

void ir_fence(struct ir_builder *b) { ir_fence_mask(b, IR_FENCE_ALL); }

unsigned ir_label(struct ir_builder *b) { return b->blk.n_labels++; }

void ir_br(struct ir_builder *b, unsigned label)
{
    emit(b, OP_BR, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = label;
}

void ir_brl(struct ir_builder *b, enum ir_type t, enum ir_cond cc, ir_id x, ir_id y, unsigned label)
{
    want(b, x, t, "operand type");
    want(b, y, t, "operand type");
    struct ir_op *o = emit(b, OP_BRL, t, IR_NONE, x, y, IR_NONE);
    o->attr = (uint8_t)cc, o->aux = label;
}

void ir_place(struct ir_builder *b, unsigned label)
{
    b->ended = false;
    emit(b, OP_LABEL, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = label;
}

unsigned ir_link(struct ir_builder *b, uint64_t pc, uint64_t key, unsigned hint)
{
    if (b->blk.n_links >= IR_MAX_LINKS) {
        bug(b, "too many links");
        return 0;
    }
    if (b->guest->addr_type == T_I32) pc = (uint32_t)pc;
    b->blk.links[b->blk.n_links] = (struct ir_link){ pc, key, b->blk.n_insns, (uint8_t)hint };
    return b->blk.n_links++;
}

void ir_brc(struct ir_builder *b, enum ir_type t, enum ir_cond cc, ir_id x, ir_id y, unsigned link)
{
    want(b, x, t, "operand type");
    want(b, y, t, "operand type");
    if (link < b->blk.n_links) b->blk.links[link].n_insns = b->blk.n_insns;
    struct ir_op *o = emit(b, OP_BRC, t, IR_NONE, x, y, IR_NONE);
    o->attr = (uint8_t)cc, o->aux = link;
}

void ir_goto(struct ir_builder *b, unsigned link)
{
    if (link < b->blk.n_links) b->blk.links[link].n_insns = b->blk.n_insns;
    emit(b, OP_GOTO, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE)->aux = link;
    b->ended = true;
}

void ir_ind(struct ir_builder *b, enum ir_type t, ir_id target, unsigned hint)
{
    want(b, target, t, "operand type");
    if (t != b->guest->addr_type) bug(b, "indirect target's type");
    struct ir_op *o = emit(b, OP_IND, t, IR_NONE, target, IR_NONE, IR_NONE);
    o->attr = (uint8_t)hint, o->aux = b->blk.n_insns;
    b->ended = true;
}

void ir_exit(struct ir_builder *b, enum ir_exit why, uint64_t pc)
{
    ir_id a = ir_const(b, b->guest->addr_type, pc);
    struct ir_op *o = emit(b, OP_EXIT, b->guest->addr_type, IR_NONE, a, IR_NONE, IR_NONE);
    o->attr = (uint8_t)why, o->aux = b->blk.n_insns;
    b->ended = true;
}

void ir_fetch_fault(struct ir_builder *b, uint64_t va)
{
    ir_id a = ir_const(b, T_I64, va);
    emit(b, OP_FETCHF, T_I64, IR_NONE, a, IR_NONE, IR_NONE);
    b->ended = true;
    b->blk.one_shot = true;
}

bool ir_insn(struct ir_builder *b, uint64_t pc, unsigned len, unsigned flags)
{
    bool first = b->blk.n_insns == 0;

    if (!(flags & IR_INSN_CONT)) {
        if (!first) {
            if (b->blk.n_insns >= b->max_insns || b->blk.n_ops > IR_MAX_OPS - 1000) return false;
            if (b->blk.n_temps > IR_MAX_TEMPS - 260) return false;
            if ((pc ^ b->blk.pc) & b->code_mask) return false;
            if (engine_break_at(b->cpu->engine, pc)) return false;
        } else if (engine_break_at(b->cpu->engine, pc) && !b->cpu->step_over_break) {
            ir_exit(b, IR_EXIT_DEBUG, pc);
            return false;
        }
    }
    uint32_t off = (uint32_t)(pc - b->blk.pc);
    struct ir_op *o = emit(b, OP_INSN, T_I32, IR_NONE, (ir_id)len, IR_NONE, IR_NONE);
    o->attr = (uint8_t)flags, o->aux = off;
    b->blk.n_insns++;
    if (off + len > b->blk.size) b->blk.size = off + len;
    b->pc = pc;
    return true;
}

bool ir_fetch(struct ir_builder *b, uint64_t pc, unsigned n, uint8_t *buf)
{
    unsigned at = (unsigned)(pc & ~CPU_PAGE_MASK);
    if (likely((pc & CPU_PAGE_MASK) == b->code_vpage && at + n <= CPU_PAGE_SIZE && b->code_mask == CPU_PAGE_MASK)) {
        if (n == 4) memcpy(buf, b->code_host + at, 4); /* the two usual lengths without a call */
        else if (n == 15) memcpy(buf, b->code_host + at, 15);
        else memcpy(buf, b->code_host + at, n);
        return true;
    }
    if (b->kept) {
        uint64_t off = pc - b->blk.pc;
        if (off > b->n_kept || n > b->n_kept - off) return false;
        memcpy(buf, b->kept + off, n);
        return true;
    }
    while (n) {
        uint64_t page = pc & CPU_PAGE_MASK;
        unsigned off = (unsigned)(pc - page), k = MIN(n, CPU_PAGE_SIZE - off);
        struct code_unit unit;
        /* where permission is given in less than pages (memory protection units), each such unit is asked for */
        if (b->code_mask != CPU_PAGE_MASK) k = MIN(k, (unsigned)(~(pc | b->code_mask) + 1));
        if (page != b->code_vpage || b->code_mask != CPU_PAGE_MASK) {
            const uint8_t *host = cpu_code_unit(b->cpu, pc, pc != b->blk.pc, &unit);
            if (!host) return false;
            if (unit.bits < CPU_PAGE_BITS) {
                if (~(~UINT64_C(0) << unit.bits) < ~b->code_mask) b->code_mask = ~UINT64_C(0) << unit.bits;
                b->blk.one_shot = true; /* links and jumps inside of a page do not ask again */
                k = MIN(k, (unsigned)(~(pc | b->code_mask) + 1));
            }
            b->code_vpage = page;
            b->code_host = host;
            if (page == (b->blk.pc & CPU_PAGE_MASK)) b->code_pages[0] = host;
            else {
                b->code_pages[1] = host, b->code_vpage2 = page;
                user_protect_code(b->cpu, page);
            }
        }
        memcpy(buf, b->code_host + off, k);
        buf += k, pc += k, n -= k;
    }
    return true;
}
