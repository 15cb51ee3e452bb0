/*
 * jit-null.c - the null backend: "compiles" a region by keeping its IR, "runs" it op by op through the reference.
 *
 * It makes nothing faster. It is the contract of interp/jit.h in its shortest form, to start a new backend from and to test
 * the tier policy with on hosts for which there is no other. The order of things in run() is what every backend must keep.
 */
#include "interp/eval.h"
#include "interp/jit.h"

#include <stdlib.h>

struct null_block {
    struct jit_block b;          /* its arrays live in the arena */
    uint32_t *points;            /* of each op: the point of its instruction */
};

struct null_region {
    struct arena arena;
    unsigned n;
    bool count;
    struct null_block *blocks;
};

static uint64_t get(struct cpu *cpu, const struct jit_block *b, ir_id x)
{
    if (ir_is_slot(x)) return cpu_get_slot(cpu, x);
    if (ir_is_temp(x)) return b->temp_type[x - IR_TEMP] == T_I32 ? (uint32_t)cpu->temps[x - IR_TEMP] : cpu->temps[x - IR_TEMP];
    return x == IR_NONE ? 0 : b->consts[x - IR_CONST];
}

static unsigned to_label(const struct jit_block *b, unsigned at, uint32_t label)
{
    do at++;
    while (!(b->ops[at].op == OP_LABEL && b->ops[at].aux == label));
    return at;
}

/* Enters block n: its number, or -1 after undoing the charge. */
static bool charge(struct cpu *cpu, const struct blk *b)
{
    cpu->icount_left -= b->n_insns;
    if (cpu->icount_left >= 0 && !atomic_load_u32(&cpu->kick)) return true;
    cpu->icount_left += b->n_insns;
    cpu_set_slot(cpu, cpu->guest->pc_slot, b->pc);
    cpu->key = b->key;
    return false;
}

static bool jumps_to(struct cpu *cpu, bool check, const struct blk *b)
{
    return !check || atomic_load_ptr(&cpu->jump_cache[jc_index(b->pc)]) == b;
}

static int indirect(struct cpu *cpu, const struct null_region *r, const struct jit_block *b, uint64_t pc)
{
    for (unsigned i = 0; i < b->n_ind; i++) {
        const struct blk *to = r->blocks[b->ind[i]].b.blk;
        if (to->pc == pc && to->key == cpu->key && jumps_to(cpu, b->check_ind, to)) return b->ind[i];
    }
    return -1;
}

static uintptr_t run(struct cpu *cpu, const struct jit_code *code)
{
    const struct null_region *r = code->priv;
    struct blk *first = r->blocks[0].b.blk;
    int at = 0;

    if (r->count && !--*first->code_heat) {
        cpu_set_slot(cpu, cpu->guest->pc_slot, first->pc);
        return JIT_HOT;
    }
    while (charge(cpu, r->blocks[at].b.blk)) {
        const struct null_block *nb = &r->blocks[at];
        const struct jit_block *b = &nb->b;
        int link = -1;
        for (unsigned i = 0; link < 0; i++) {
            const struct ir_op *o = &b->ops[i];
            uint64_t x = get(cpu, b, o->a), y = o->op == OP_INSN ? 0 : get(cpu, b, o->b);
            cpu->xpoint = nb->points[i];
            switch (o->op) {
            case OP_INSN: case OP_LABEL: break;
            case OP_BR: i = to_label(b, i, o->aux); break;
            case OP_BRL:
                if (eval_cond(o->attr, o->type, x, y)) i = to_label(b, i, o->aux);
                break;
            case OP_BRC:
                if (eval_cond(o->attr, o->type, x, y)) link = (int)o->aux;
                break;
            case OP_GOTO: link = (int)o->aux; break;
            case OP_IND:
                cpu->icount_left += b->blk->n_insns - (int64_t)o->aux;
                at = indirect(cpu, r, b, x);
                if (at >= 0) goto next;
                cpu_set_slot(cpu, cpu->guest->pc_slot, x);
                return JIT_IND;
            case OP_EXIT:
                cpu->icount_left += b->blk->n_insns - (int64_t)o->aux;
                cpu_set_slot(cpu, cpu->guest->pc_slot, x);
                return o->attr == IR_EXIT_IRQ ? JIT_IRQ : o->attr == IR_EXIT_HALT ? JIT_HALT : o->attr == IR_EXIT_DEBUG ? JIT_DEBUG : JIT_LOOKUP;
            case OP_FETCHF: jit_fetch_fault(cpu, x);
            default: ref_exec_op(cpu, o, b->consts);
            }
        }
        struct link *l = &b->blk->links[link];
        cpu->icount_left += l->refund;
        at = b->to[link];
        if (at < 0 || !jumps_to(cpu, b->check[link], r->blocks[at].b.blk)) return (uintptr_t)l;
    next:;
    }
    return JIT_LOOKUP;
}

static bool compile(void *state, const struct jit_region *r, struct jit_code *code, const char **why)
{
    struct null_region *n = NEW(struct null_region);
    (void)state;
    n->n = r->n, n->count = r->count;
    n->blocks = arena_get(&n->arena, r->n * sizeof *n->blocks);
    for (unsigned i = 0; i < r->n; i++) {
        const struct jit_block *b = &r->blocks[i];
        struct null_block *nb = &n->blocks[i];
        nb->b = *b;
#define KEEP(field, count) (nb->b.field = memcpy(arena_get(&n->arena, (count) * sizeof *b->field + 1), b->field, (count) * sizeof *b->field))
        KEEP(ops, b->n_ops);
        KEEP(consts, b->n_consts);
        KEEP(temp_type, b->n_temps);
        nb->points = arena_get(&n->arena, b->n_ops * sizeof *nb->points);
        unsigned mark = 0, marks = 0;
        uint32_t point = 0;
        for (unsigned k = 0; k < b->n_ops; k++) {
            if (b->ops[k].op == OP_INSN) mark = marks++, point = 0;
            if (!point) point = jit_point(r, i, mark);
            if (!point) {
                *why = "no points left";
                arena_free(&n->arena);
                free(n);
                return false;
            }
            nb->points[k] = point;
        }
    }
    code->entry = run;
    code->priv = n;
    return true;
}

static void release(void *state, struct jit_code *code)
{
    struct null_region *n = code->priv;
    (void)state;
    arena_free(&n->arena);
    free(n);
}

static void *init(struct engine *eng, struct error *e)
{
    (void)e;
    return eng; /* nothing of its own */
}

const struct jit_backend jit_null_backend = {
    .name = "null", .help = "runs regions by the reference interpreter: tests the tiers, gains no speed",
    .tiers = 3, .threshold = { 50, 1000 },
    .init = init, .compile = compile, .release = release,
};
