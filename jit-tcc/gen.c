/*
 * gen.c - one region as one C function (see tcc.h for its frame).
 *
 * Registers (slots) that the region uses more than once are locals: loaded when first needed, or at the entry when a loop needs
 * them, and stored where the region is left. Which ones hold their value (valid) and which differ from their cell (dirty) is
 * known at every place at compile time: tcc_gen() goes over the ops until the sets at the blocks' and labels' starts no longer
 * change, and then once more to write the text. libtcc keeps nothing in registers from one statement to the next, so a
 * statement is all it takes to have something done before a fault.
 */
#include "jit-tcc/gen.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- leaving and joining ----------------------------------------------------------------------------- */

/* Leaves with what is dirty stored; x: text of the value to return. */
static void leave(struct gen *g, const char *x)
{
    unsigned i = 0;
    if (g->pass != WRITE) return;
    while (i < g->n_exits && memcmp(&g->exits[i], &g->dirty, sizeof g->dirty)) i++;
    if (i == g->n_exits) {
        if (i == MAX_EXITS) {
            g->why = "too many ways out";
            return;
        }
        g->exits[g->n_exits++] = g->dirty;
    }
    PUT("x=%s;goto x%u;", x, i);
}

/* The way from here to j: its state takes in ours. Emits what makes ours fit. */
static void join(struct gen *g, struct join *j)
{
    struct set left;
    bool some = false;
    for (unsigned i = 0; i < ARRAY_LEN(left.w); i++) {
        uint64_t v = j->reached ? j->valid.w[i] & g->valid.w[i] : g->valid.w[i];
        if (g->pass == FIND_VALID && (v != j->valid.w[i] || !j->reached)) j->valid.w[i] = v, g->changed = true;
        uint64_t d = j->dirty.w[i] | (g->dirty.w[i] & j->valid.w[i]);
        if (g->pass == FIND_DIRTY && d != j->dirty.w[i]) j->dirty.w[i] = d, g->changed = true;
        left.w[i] = g->dirty.w[i] & ~j->valid.w[i];
        some |= left.w[i] != 0;
    }
    j->reached = true;
    if (some) gen_store(g, &left);
}

static void to_block(struct gen *g, int t)
{
    join(g, &g->blocks[t]);
    PUT("goto b%d;", t);
}

static void check_text(struct gen *g, const struct blk *b)
{
    PUT("*(u64*)(*(char**)(c+%u)+%u)==%lluULL", CPU(jump_cache), (unsigned)(jc_index(b->pc) * sizeof(void *)), U64((uintptr_t)b));
}

/* Takes link l, from an if's body or at the block's end. */
static void follow(struct gen *g, unsigned l)
{
    const struct link *k = &g->b->blk->links[l];
    int t = g->b->to[l];
    char x[32];

    snprintf(x, sizeof x, "%lluULL", U64((uintptr_t)k));
    if (k->refund) PUT("L.ic+=%u;", (unsigned)k->refund);
    if (t >= 0) {
        if (g->b->check[l]) {
            PUT("if(");
            check_text(g, g->r->blocks[t].blk);
            PUT("){");
        }
        to_block(g, t);
        if (!g->b->check[l]) return;
        PUT("}");
    }
    leave(g, x);
}

static void indirect(struct gen *g, const struct ir_op *o)
{
    const struct jit_block *b = g->b;
    const struct slot_desc *pc = &g->g->slots[g->g->pc_slot];
    char a[NAME];

    gen_use(g, a, o->a);
    PUT("L.ic+=%lld;m=%s;", (long long)b->blk->n_insns - (long long)o->aux, a);
    for (unsigned i = 0; i < b->n_ind; i++) {
        const struct blk *to = g->r->blocks[b->ind[i]].blk;
        if (g->key_known && to->key != b->blk->key) continue;
        PUT("if(m==%lluULL", U64(to->pc));
        if (!g->key_known) PUT("&&*(u%u*)(c+%u)==%lluULL", (unsigned)sizeof(((struct cpu *)0)->key) * 8, CPU(key), U64(to->key));
        if (b->check_ind) {
            PUT("&&");
            check_text(g, to);
        }
        PUT("){");
        to_block(g, b->ind[i]);
        PUT("}\n");
    }
    PUT("*(%s*)(c+%u)=m;", gen_cell_type(pc->type == T_I64), (unsigned)pc->offset);
    char x[16];
    snprintf(x, sizeof x, "%d", JIT_IND);
    leave(g, x);
}

/* ---- ops ----------------------------------------------------------------------------------------------------- */

static void gen_pure(struct gen *g, const struct ir_op *o)
{
    char a[NAME], b[NAME], cc[NAME], d[NAME];
    gen_use(g, a, o->a);
    gen_use(g, b, o->b);
    gen_use(g, cc, o->c);
    gen_define(g, d, o->d);
    if (g->pass != WRITE) return;
    size_t at = g->o->n;
    text_put(g->o, "%s=", d);
    if (tcc_text_pure(g->o, o->op, o->type, o->aux, &(struct operands){ a, b, cc }, g->needs)) {
        text_put(g->o, ";");
    } else {
        g->o->n = at;
        text_put(g->o, "%s=JO(c,%s,%s,%s,%u);", d, a, b, cc, gen_keep_op(g, o));
    }
}

static void condition(struct gen *g, const struct ir_op *o)
{
    char a[NAME], b[NAME];
    gen_use(g, a, o->a);
    gen_use(g, b, o->b);
    PUT("if(");
    if (g->pass == WRITE) tcc_text_cond(g->o, o->attr, o->type, &(struct operands){ a, b, "0" });
    PUT("){");
}

static void op(struct gen *g, const struct ir_op *o)
{
    const struct slot_desc *pc = &g->g->slots[g->g->pc_slot];
    struct join *labels = g->labels + g->label_at[g->bi];
    char a[NAME], x[16];

    switch (o->op) {
    case OP_SETC: {
        char b[NAME], d[NAME];
        gen_use(g, a, o->a);
        gen_use(g, b, o->b);
        gen_define(g, d, o->d);
        PUT("%s=", d);
        if (g->pass == WRITE) tcc_text_cond(g->o, o->attr, o->type, &(struct operands){ a, b, "0" });
        PUT(";");
        break;
    }
    case OP_FCMP: case OP_FMA: case OP_FROUND: case OP_FMIN: case OP_FMAX: gen_fp(g, o); break;
    case OP_LD: gen_ld(g, o); break;
    case OP_ST: gen_st(g, o); break;
    case OP_CAS:
    case OP_RMW: gen_atomic(g, o); break;
    case OP_FENCE: PUT("FE();"); break;
    case OP_CALL: gen_call(g, o); break;
    case OP_BR:
        join(g, &labels[o->aux]);
        PUT("goto l%u_%u;", g->bi, (unsigned)o->aux);
        g->dead = true;
        break;
    case OP_BRL:
        condition(g, o);
        join(g, &labels[o->aux]);
        PUT("goto l%u_%u;}", g->bi, (unsigned)o->aux);
        break;
    case OP_BRC:
        condition(g, o);
        follow(g, o->aux);
        PUT("}");
        break;
    case OP_GOTO:
        follow(g, o->aux);
        g->dead = true;
        break;
    case OP_IND:
        indirect(g, o);
        g->dead = true;
        break;
    case OP_EXIT:
        gen_use(g, a, o->a);
        PUT("L.ic+=%lld;*(%s*)(c+%u)=%s;", (long long)g->b->blk->n_insns - (long long)o->aux, gen_cell_type(pc->type == T_I64), (unsigned)pc->offset, a);
        snprintf(x, sizeof x, "%d", o->attr == IR_EXIT_IRQ ? JIT_IRQ : o->attr == IR_EXIT_HALT ? JIT_HALT : o->attr == IR_EXIT_DEBUG ? JIT_DEBUG : JIT_LOOKUP);
        leave(g, x);
        g->dead = true;
        break;
    case OP_FETCHF:
        gen_use(g, a, o->a);
        PUT("FF(c,%s,%u);return %d;", a, gen_point(g, 0, 0, 0, NULL, &g->dirty), JIT_LOOKUP);
        g->dead = true;
        break;
    default:
        switch (tcc_svc->op_info[o->op].cls) {
        case CLASS_PURE:
        case CLASS_CONV: gen_pure(g, o); break;
        case CLASS_FP:
        case CLASS_FPCV: gen_fp(g, o); break;
        default: g->why = "an op that this backend does not know";
        }
    }
    PUT("\n");
}

static void label(struct gen *g, unsigned n)
{
    struct join *j = &g->labels[g->label_at[g->bi] + n];
    if (!g->dead) join(g, j);
    g->dead = !j->reached;
    g->valid = j->valid, g->dirty = j->dirty;
    if (!g->dead) PUT("l%u_%u:;", g->bi, n);
}

static void block(struct gen *g, unsigned i)
{
    const struct jit_block *b = g->b = &g->r->blocks[i];
    unsigned marks = 0;

    if (!g->blocks[i].reached) return;
    g->bi = i;
    g->number = 0, g->mark = 0;
    g->dead = false, g->key_known = true;
    g->valid = g->blocks[i].valid, g->dirty = g->blocks[i].dirty;
    PUT("b%u:if((L.ic-=%u)<L.lim", i, (unsigned)b->blk->n_insns);
    if (!i) PUT("||*(u32*)(c+%u)", CPU(kick)); /* later ones of this thread come by resume(), others' by the count */
    PUT(")goto u%u;\n", i);
    for (unsigned k = 0; k < b->n_ops && !g->why; k++) {
        const struct ir_op *o = &b->ops[k];
        g->at = k;
        if (o->op == OP_INSN) g->mark = marks++, g->number = 0;
        else if (o->op == OP_LABEL) label(g, o->aux);
        else if (!g->dead) op(g, o);
    }
}

/* Not executing block i after all. */
static void undo(struct gen *g, unsigned i)
{
    const struct jit_block *b = &g->r->blocks[i];
    const struct slot_desc *pc = &g->g->slots[g->g->pc_slot];
    char x[16];
    if (!g->blocks[i].reached) return;
    g->dirty = g->blocks[i].dirty;
    PUT("u%u:L.ic+=%u;*(%s*)(c+%u)=%lluULL;*(u%u*)(c+%u)=%lluULL;", i, (unsigned)b->blk->n_insns, gen_cell_type(pc->type == T_I64), (unsigned)pc->offset,
        U64(b->blk->pc), (unsigned)sizeof(((struct cpu *)0)->key) * 8, CPU(key), U64(b->blk->key));
    snprintf(x, sizeof x, "%d", JIT_LOOKUP);
    leave(g, x);
    PUT("\n");
}

/* ---- the function -------------------------------------------------------------------------------------------------- */

static void declare_temps(struct gen *g)
{
    uint64_t seen[2][IR_MAX_TEMPS / 64] = { { 0 } };
    for (unsigned i = 0; i < g->r->n; i++) {
        const struct jit_block *b = &g->r->blocks[i];
        for (unsigned k = 0; k < b->n_ops; k++) {
            const struct ir_op *o = &b->ops[k];
            const ir_id ids[] = { o->d, o->a, o->b, o->c };
            if (o->op == OP_INSN) continue;
            for (unsigned x = 0; x < ARRAY_LEN(ids); x++) {
                unsigned t = ids[x] - IR_TEMP;
                if (ir_is_temp(ids[x])) seen[b->temp_type[t] == T_I64][t / 64] |= UINT64_C(1) << t % 64;
            }
        }
    }
    for (unsigned wide = 0; wide < 2; wide++) {
        for (unsigned t = 0; t < IR_MAX_TEMPS; t++) {
            if (seen[wide][t / 64] >> (t % 64) & 1) PUT("%s %c%u;", gen_cell_type(wide), wide ? 'j' : 'i', t);
        }
    }
    PUT("\n");
}

static void enter(struct gen *g, const char *fn)
{
    const struct blk *b = g->r->blocks[0].blk;
    const struct slot_desc *pc = &g->g->slots[g->g->pc_slot];

    PUT("u64 %s(char*c,char*k){struct{" FRAME_TEXT, fn);
    for (unsigned l = 0; l < g->code->n_locals; l++) PUT("%s s%u;", gen_cell_type(g->code->locals[l].wide), l);
    PUT("}L;u64 m,w,x,fa,fb,fr;u32 v,ga,gb,gr;char*p;\n");
    declare_temps(g);
    if (g->r->count) {
        PUT("if(!--*(u32*)%lluULL){*(%s*)(c+%u)=%lluULL;return %d;}\n", U64((uintptr_t)b->code_heat), gen_cell_type(pc->type == T_I64), (unsigned)pc->offset,
            U64(b->pc), JIT_HOT);
    }
    if (g->r->user) PUT("L.base=*(u64*)(c+%u);L.ulimit=*(u64*)(c+%u);", CPU(ubase), CPU(ulimit));
    else PUT("if(!(L.base=*(u64*)(c+%u)))return %d;", (unsigned)(CPU(tlb) + g->mmu * sizeof(void *)), JIT_REFUSE);
    PUT("*(char**)(c+%u)=(char*)&L;*(char**)(c+%u)=k;L.ic=*(s64*)(c+%u);L.lim=0;", (unsigned)(CPU(temps) + FRAME_TEMP * 8),
        (unsigned)(CPU(temps) + CODE_TEMP * 8), CPU(icount_left));
    PUT("L.no=L.nx=0;");
    if (g->fp) PUT("L.ff=*(u8*)(c+%u);", CPU(fp_fast));
    for (unsigned l = 0; l < g->code->n_locals; l++) {
        if (set_has(&g->preload, l)) gen_load(g, l);
    }
    PUT("\n");
}

static void finish(struct gen *g)
{
    for (unsigned i = 0; i < g->r->n; i++) undo(g, i);
    for (unsigned i = 0; i < g->n_exits; i++) {
        PUT("x%u:", i);
        gen_store(g, &g->exits[i]);
        PUT("*(s64*)(c+%u)=L.ic;", CPU(icount_left));
        if (g->fp) PUT("if(L.no)NT(c);");
        PUT("return x;\n");
    }
    PUT("}\n");
}

static unsigned usual_mmu(const struct jit_region *r)
{
    unsigned n[16] = { 0 }, best = 0;
    for (unsigned i = 0; i < r->n; i++) {
        for (unsigned k = 0; k < r->blocks[i].n_ops; k++) {
            const struct ir_op *o = &r->blocks[i].ops[k];
            if ((o->op == OP_LD || o->op == OP_ST) && ++n[IR_MMU(o)] > n[best]) best = IR_MMU(o);
        }
    }
    return best < CPU_MMU_MODES ? best : 0;
}

const char *tcc_gen(const struct jit_region *r, struct text *o, const char *fn, struct tcc_code *code, uint32_t *needs)
{
    struct gen *g = calloc(1, sizeof *g);
    unsigned n_labels = 0;
    const char *why = "no memory";

    if (!g) return why;
    g->r = r, g->g = r->guest, g->code = code, g->o = o, g->needs = needs;
    for (unsigned i = 0; i < r->n; i++) g->label_at[i] = n_labels, n_labels += r->blocks[i].n_labels;
    g->blocks = calloc(r->n, sizeof *g->blocks);
    g->labels = calloc(n_labels + 1, sizeof *g->labels);
    if (g->blocks && g->labels && gen_choose_locals(g)) {
        g->mmu = usual_mmu(r);
        g->blocks[0].reached = true;
        g->blocks[0].valid = g->preload;
        for (g->pass = FIND_VALID; g->pass < WRITE && !g->why; g->pass++) {
            do {
                g->changed = false;
                for (unsigned i = 0; i < r->n; i++) block(g, i);
            } while (g->changed && !g->why);
        }
        memset(&g->valid, 0, sizeof g->valid);
        enter(g, fn);
        for (unsigned i = 0; i < r->n && !g->why; i++) block(g, i);
        finish(g);
        why = o->failed ? "no memory" : g->why;
    }
    free(g->local_of);
    free(g->blocks);
    free(g->labels);
    free(g);
    return why;
}

void tcc_code_free(struct tcc_code *c)
{
    if (!c) return;
    free(c->locals);
    free(c->points);
    free(c->ops);
    free(c);
}
