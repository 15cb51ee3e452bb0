/*
 * ref.c - the reference interpreter: unoptimised IR, one op at a time, soft floating point, every check on.
 *
 * It is the definition that the fast interpreter and the code generators are compared with, so it is kept plain. The same
 * bodies are dispatched by computed goto where the compiler has it and by switch otherwise.
 */
#include "interp/block.h"
#include "interp/eval.h"

static inline uint64_t rd(struct cpu *cpu, const uint64_t *consts, ir_id x)
{
    if (ir_is_slot(x)) return cpu_get_slot(cpu, x);
    if (ir_is_temp(x)) return cpu->temps[x - IR_TEMP];
    return x == IR_NONE ? 0 : consts[x - IR_CONST];
}

static inline void wr(struct cpu *cpu, ir_id d, unsigned type, uint64_t v)
{
    if (type == T_I32) v = (uint32_t)v;
    if (ir_is_slot(d)) cpu_set_slot(cpu, d, v);
    else if (ir_is_temp(d)) cpu->temps[d - IR_TEMP] = v;
}

static uint64_t op_addr(struct cpu *cpu, const struct ir_op *o, const uint64_t *consts)
{
    uint64_t va = rd(cpu, consts, o->a) + (uint64_t)(int64_t)IR_DISP(o);
    return o->aux & IR_A64 ? va : (uint32_t)va;
}

/* The width of a result that is not o->type: FCMP and float conversions. */
static unsigned result_type(const struct ir_op *o) { return o->op == OP_FCMP ? (unsigned)T_I32 : o->type; }

/* The first cell of a run. */
static uint64_t *cells(struct cpu *cpu, const uint64_t *consts, ir_id x)
{
    if (ir_is_slot(x)) return cpu_slot(cpu, x);
    if (ir_is_temp(x)) return &cpu->temps[x - IR_TEMP];
    return x == IR_NONE ? NULL : (uint64_t *)(uintptr_t)&consts[x - IR_CONST];
}

void ref_exec_op(struct cpu *cpu, const struct ir_op *o, const uint64_t *consts)
{
    uint64_t v;

    switch (ir_op_info[o->op].cls) {
    case CLASS_PURE:
    case CLASS_CONV:
        v = eval_pure(o->op, o->type, o->aux, rd(cpu, consts, o->a), rd(cpu, consts, o->b), rd(cpu, consts, o->c));
        break;
    case CLASS_FP:
    case CLASS_FPCV:
        v = fp_exec(cpu, o->op, o->type, o->attr, o->aux, rd(cpu, consts, o->a), rd(cpu, consts, o->b), 0);
        break;
    case CLASS_VEC:
        vec_exec(cpu, o, cells(cpu, consts, o->d), cells(cpu, consts, o->a), cells(cpu, consts, o->b), cells(cpu, consts, o->c));
        return;
    default:
        switch (o->op) {
        case OP_SETC: v = eval_cond(o->attr, o->type, rd(cpu, consts, o->a), rd(cpu, consts, o->b)); break;
        case OP_FCMP: case OP_FROUND: case OP_FMIN: case OP_FMAX: case OP_FMA:
            v = fp_exec(cpu, o->op, o->type, o->attr, o->aux, rd(cpu, consts, o->a), rd(cpu, consts, o->b), rd(cpu, consts, o->c));
            break;
        case OP_LD:
            v = mem_slow_ld(cpu, op_addr(cpu, o, consts), o->attr, IR_MMU(o));
            if (o->attr & IR_MORDER) mem_fence(cpu, IR_FENCE_RR | IR_FENCE_RW);
            break;
        case OP_ST:
            if (o->attr & IR_MORDER) mem_fence(cpu, IR_FENCE_RW | IR_FENCE_WW);
            mem_slow_st(cpu, op_addr(cpu, o, consts), rd(cpu, consts, o->b), o->attr, IR_MMU(o));
            if (o->attr & IR_MSEQ) mem_fence(cpu, IR_FENCE_ALL);
            return;
        case OP_LD2: {
            uint64_t pair[2];
            mem_slow_ld2(cpu, op_addr(cpu, o, consts), pair, o->attr, IR_MMU(o));
            if (o->attr & IR_MORDER) mem_fence(cpu, IR_FENCE_RR | IR_FENCE_RW);
            wr(cpu, o->d, T_I64, pair[0]);
            wr(cpu, o->c, T_I64, pair[1]);
            return;
        }
        case OP_ST2: {
            const uint64_t pair[2] = { rd(cpu, consts, o->b), rd(cpu, consts, o->c) };
            if (o->attr & IR_MORDER) mem_fence(cpu, IR_FENCE_RW | IR_FENCE_WW);
            mem_slow_st2(cpu, op_addr(cpu, o, consts), pair, o->attr, IR_MMU(o));
            if (o->attr & IR_MSEQ) mem_fence(cpu, IR_FENCE_ALL);
            return;
        }
        case OP_CAS:
            v = mem_cas(cpu, op_addr(cpu, o, consts), rd(cpu, consts, o->b), rd(cpu, consts, o->c), o->attr, IR_MMU(o));
            break;
        case OP_RMW: v = mem_rmw(cpu, o->aux >> 28, op_addr(cpu, o, consts), rd(cpu, consts, o->b), o->attr, IR_MMU(o)); break;
        case OP_FENCE:
            mem_fence(cpu, o->aux);
            return;
        case OP_CALL:
            v = cpu->guest->helpers[o->aux].fn(cpu, rd(cpu, consts, o->a), rd(cpu, consts, o->b), rd(cpu, consts, o->c));
            if (o->d == IR_NONE) return;
            break;
        default: return;
        }
    }
    wr(cpu, o->d, result_type(o), v);
}

static const struct ir_op *to_label(const struct ir_op *o, uint32_t label)
{
    do o++;
    while (!(o->op == OP_LABEL && o->aux == label));
    return o;
}

static enum xexit leave(struct cpu *cpu, struct link *l)
{
    cpu->icount_left += l->refund;
    cpu_set_slot(cpu, cpu->guest->pc_slot, l->pc);
    cpu->key = l->key;
    return X_LOOKUP;
}

enum xexit ref_run(struct cpu *cpu, struct blk *b)
{
    const uint64_t *k = b->consts;

    cpu->xblk = b;
    cpu->icount_left -= b->n_insns;
    for (const struct ir_op *o = b->ops;; o++) {
        cpu->xpc = o;
        switch (o->op) {
        case OP_INSN: case OP_LABEL: break;
        case OP_BR: o = to_label(o, o->aux); break;
        case OP_BRL:
            if (eval_cond(o->attr, o->type, rd(cpu, k, o->a), rd(cpu, k, o->b))) o = to_label(o, o->aux);
            break;
        case OP_BRC:
            if (eval_cond(o->attr, o->type, rd(cpu, k, o->a), rd(cpu, k, o->b))) return leave(cpu, &b->links[o->aux]);
            break;
        case OP_GOTO: return leave(cpu, &b->links[o->aux]);
        case OP_IND:
            cpu->icount_left += b->n_insns - (int64_t)o->aux;
            cpu_set_slot(cpu, cpu->guest->pc_slot, rd(cpu, k, o->a));
            return X_LOOKUP;
        case OP_EXIT:
            cpu->icount_left += b->n_insns - (int64_t)o->aux;
            cpu_set_slot(cpu, cpu->guest->pc_slot, rd(cpu, k, o->a));
            return o->attr == IR_EXIT_IRQ ? X_IRQ : o->attr == IR_EXIT_HALT ? X_HALT : o->attr == IR_EXIT_DEBUG ? X_DEBUG : X_LOOKUP;
        case OP_FETCHF: fetch_fault(cpu, rd(cpu, k, o->a));
        default: ref_exec_op(cpu, o, k); break;
        }
    }
}
