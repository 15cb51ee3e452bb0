/*
 * mutant.c - the faulty backend (see mutant.h). It is the other backend's descriptor with a compile() of its own in front.
 */
#include "tests/mutant.h"

#include "interp/jit.h"

#include <stdlib.h>

enum mutation { M_ADD, M_COND, M_STORE, M_EXT, M_SHIFT, M_REFUND, M_POINT, M_FP, M_LINK, M_ENDIAN, M_COUNT };
const char *const mutant_classes[] = { "add", "cond", "store", "ext", "shift", "refund", "point", "fp", "link", "endian", NULL };

/* Tests only: one backend in a program, set up before anything runs. */
static struct jit_backend mutant;
static const struct jit_backend *inner;
static enum mutation what;

struct copy {
    struct jit_block *b;
    struct ir_op *ops;
    uint64_t *consts;
    uint8_t *types;
};

static ir_id new_const(struct copy *c, unsigned type, uint64_t v)
{
    struct jit_block *b = c->b;
    if (b->n_consts >= UINT16_MAX / 4) return IR_NONE;
    c->consts[b->n_consts] = v;
    c->types[b->n_consts] = (uint8_t)type;
    return (ir_id)(IR_CONST + b->n_consts++);
}

static void change(struct copy *c, struct ir_op *o)
{
    struct jit_block *b = c->b;
    unsigned size = 1u << (o->attr & IR_MSIZE), cell = o->type == T_I64 ? 8 : 4;

    switch (what) {
    case M_ADD: /* the wrong operation */
        if (o->op == OP_ADD) o->op = OP_SUB;
        break;
    case M_COND: /* less for less or equal */
        if (o->op == OP_SETC || o->op == OP_BRC || o->op == OP_BRL) {
            if (o->attr == CC_LTS) o->attr = CC_LES;
            else if (o->attr == CC_LES) o->attr = CC_LTS;
            else if (o->attr == CC_GTS) o->attr = CC_GES;
            else if (o->attr == CC_GES) o->attr = CC_GTS;
        }
        break;
    case M_STORE: /* it never happens */
        if (o->op == OP_ST) *o = (struct ir_op){ .op = OP_FENCE, .d = IR_NONE, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE };
        break;
    case M_EXT:
        if (o->op == OP_LD && size < cell) o->attr ^= IR_MS;
        break;
    case M_SHIFT: /* one too far */
        if ((o->op == OP_SHL || o->op == OP_SHR || o->op == OP_SAR || o->op == OP_ROTR) && ir_is_const(o->b)) {
            ir_id k = new_const(c, c->types[o->b - IR_CONST], c->consts[o->b - IR_CONST] + 1);
            if (k != IR_NONE) o->b = k;
        }
        break;
    case M_REFUND: /* one instruction is not counted */
        if ((o->op == OP_IND || o->op == OP_EXIT) && o->aux) o->aux--;
        break;
    case M_FP:
        if (o->op == OP_FADD) o->op = OP_FSUB;
        break;
    case M_LINK: /* the other way */
        if (o->op == OP_BRC && b->blk->n_links == 2) o->aux ^= 1;
        break;
    case M_ENDIAN:
        if ((o->op == OP_LD || o->op == OP_ST) && size > 1) o->attr ^= IR_MBE;
        break;
    default: break;
    }
}

/* Faulting ops move in front of their instruction's beginning: they are told to belong to the one before. */
static void shift_points(struct copy *c)
{
    for (unsigned i = 1; i + 1 < c->b->n_ops; i++) {
        struct ir_op *o = &c->ops[i];
        if (o->op != OP_INSN) continue;
        unsigned k = i + 1;
        while (k < c->b->n_ops && (ir_op_info[c->ops[k].op].cls == CLASS_PURE || ir_op_info[c->ops[k].op].cls == CLASS_CONV)) k++;
        if (k == c->b->n_ops || !(ir_op_info[c->ops[k].op].flags & F_FAULT)) continue;
        struct ir_op insn = *o;
        memmove(o, o + 1, (k - i) * sizeof *o);
        c->ops[k] = insn;
        i = k;
    }
}

static bool compile(void *state, const struct jit_region *r, struct jit_code *code, const char **why)
{
    struct jit_region twin = *r;

    twin.blocks = NEW_ARRAY(struct jit_block, r->n);
    for (unsigned i = 0; i < r->n; i++) {
        struct jit_block *b = &twin.blocks[i];
        unsigned room = r->blocks[i].n_consts + r->blocks[i].n_ops;
        struct copy c = { b, NEW_ARRAY(struct ir_op, r->blocks[i].n_ops), NEW_ARRAY(uint64_t, room), NEW_ARRAY(uint8_t, room) };
        *b = r->blocks[i];
        memcpy(c.ops, b->ops, b->n_ops * sizeof *c.ops);
        if (b->n_consts) {
            memcpy(c.consts, b->consts, b->n_consts * sizeof *c.consts);
            memcpy(c.types, b->const_type, b->n_consts);
        }
        b->ops = c.ops, b->consts = c.consts, b->const_type = c.types;
        for (unsigned k = 0; k < b->n_ops; k++) change(&c, &c.ops[k]);
        if (what == M_POINT) shift_points(&c);
    }
    bool ok = inner->compile(state, &twin, code, why);
    for (unsigned i = 0; i < r->n; i++) {
        mem_free((void *)(uintptr_t)twin.blocks[i].ops);
        mem_free((void *)(uintptr_t)twin.blocks[i].consts);
        mem_free((void *)(uintptr_t)twin.blocks[i].const_type);
    }
    mem_free(twin.blocks);
    return ok;
}

int mutant_register(struct error *e)
{
    const char *s = getenv("QUERN_MUTANT"), *colon;
    if (!s || inner) return 0;
    size_t n = strcspn(s, ":");
    colon = s[n] ? s + n + 1 : "null";
    for (unsigned i = 0; i < M_COUNT; i++) {
        if (strlen(mutant_classes[i]) != n || strncmp(mutant_classes[i], s, n)) continue;
        what = (enum mutation)i;
        inner = jit_find(colon, e);
        if (!inner) return -1;
        mutant = *inner;
        mutant.name = "mutant", mutant.help = "a backend with a fault (tests)";
        mutant.compile = compile, mutant.compile_batch = NULL;
        jit_register(&mutant);
        return 0;
    }
    return error_set(e, "QUERN_MUTANT: no class '%.*s'", (int)n, s);
}
