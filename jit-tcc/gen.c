/*
 * gen.c - one region as one C function (see tcc.h for its frame).
 *
 * Registers (slots) that the region uses more than once are locals: loaded when first needed, or at the entry when a loop needs
 * them, and stored where the region is left. Which ones hold their value (valid) and which differ from their cell (dirty) is
 * known at every place at compile time: walk() goes over the ops until the sets at the blocks' and labels' starts no longer
 * change, and then once more to write the text. libtcc keeps nothing in registers from one statement to the next, so a
 * statement is all it takes to have something done before a fault.
 */
#include "jit-tcc/tcc.h"

#include <stdio.h>
#include <stdlib.h>

enum pass { FIND_VALID, FIND_DIRTY, WRITE };
enum { NAME = 48, MAX_EXITS = 512 };

struct join { struct set valid, dirty; bool reached; };  /* the start of a block, or a label */

struct gen {
    const struct jit_region *r;
    const struct guest *g;
    struct tcc_code *code;
    struct text *o;
    uint32_t *needs;
    enum pass pass;
    bool changed, fp, f2i;        /* floating point there is; conversions to integers are */
    const char *why;
    /* slots */
    int16_t *local_of;            /* index in code->locals, or -1: used in its cell */
    struct set helper_class[SLOT_CLASSES]; /* locals of a class */
    struct set preload;
    unsigned mmu;                 /* system mode: whose TLB is at hand */
    /* where the walk is */
    unsigned bi, at;              /* block, op */
    const struct jit_block *b;
    unsigned mark;
    uint32_t number;              /* point of the current instruction, 0: none yet */
    bool dead, key_known;
    struct set valid, dirty;
    struct join *blocks, *labels; /* labels: those of all blocks, from label_at[block] */
    unsigned label_at[JIT_MAX_BLOCKS];
    struct set exits[MAX_EXITS];
    unsigned n_exits;
};

#define PUT(...)                                                                                   \
    do {                                                                                           \
        if (g->pass == WRITE) text_put(g->o, __VA_ARGS__);                                         \
    } while (0)
#define CPU(field) ((unsigned)offsetof(struct cpu, field))
#define U64(x) ((unsigned long long)(x))

static const char *cell_type(bool wide) { return wide ? "u64" : "u32"; }

/* ---- operands -------------------------------------------------------------------------------------- */

static void cell_text(char *s, uint32_t offset, bool wide) { snprintf(s, NAME, "(*(%s*)(c+%u))", cell_type(wide), (unsigned)offset); }

static void load(struct gen *g, unsigned l)
{
    const struct local *p = &g->code->locals[l];
    if (set_has(&g->valid, l)) return;
    PUT("L.s%u=*(%s*)(c+%u);", l, cell_type(p->wide), (unsigned)p->cell);
    set_add(&g->valid, l);
}

static void store(struct gen *g, const struct set *which)
{
    for (unsigned l = 0; l < g->code->n_locals; l++) {
        const struct local *p = &g->code->locals[l];
        if (set_has(which, l)) PUT("*(%s*)(c+%u)=L.s%u;", cell_type(p->wide), (unsigned)p->cell, l);
    }
}

static bool is_wide(const struct gen *g, ir_id x)
{
    if (ir_is_slot(x)) return g->g->slots[x].type == T_I64;
    if (ir_is_temp(x)) return g->b->temp_type[x - IR_TEMP] == T_I64;
    return g->b->const_type[x - IR_CONST] == T_I64;
}

static void name(struct gen *g, char *s, ir_id x)
{
    if (g->pass != WRITE) return;
    bool wide = x != IR_NONE && is_wide(g, x);
    if (x == IR_NONE) snprintf(s, NAME, "0");
    else if (ir_is_const(x)) snprintf(s, NAME, wide ? "0x%llxULL" : "0x%llxu", U64(g->b->consts[x - IR_CONST]));
    else if (ir_is_temp(x)) snprintf(s, NAME, "%c%u", wide ? 'j' : 'i', (unsigned)(x - IR_TEMP));
    else if (g->local_of[x] >= 0) snprintf(s, NAME, "L.s%d", g->local_of[x]);
    else cell_text(s, g->g->slots[x].offset, wide);
}

/* The text of an input; its local is loaded before. */
static void use(struct gen *g, char *s, ir_id x)
{
    if (ir_is_slot(x) && g->local_of[x] >= 0) load(g, (unsigned)g->local_of[x]);
    name(g, s, x);
}

/* The text of an output, which the caller then writes. */
static void define(struct gen *g, char *s, ir_id x)
{
    if (ir_is_slot(x) && g->local_of[x] >= 0) {
        set_add(&g->valid, (unsigned)g->local_of[x]);
        set_add(&g->dirty, (unsigned)g->local_of[x]);
    }
    if (ir_is_slot(x) && g->g->slots[x].offset == CPU(key)) g->key_known = false;
    name(g, s, x);
}

/* ---- points ---------------------------------------------------------------------------------------- */

static bool room(void **p, unsigned n, unsigned *cap, size_t size)
{
    if (n < *cap) return true;
    unsigned more = *cap ? *cap * 2 : 64;
    void *q = realloc(*p, more * size);
    if (!q) return false;
    *p = q, *cap = more;
    return true;
}

/* A new entry of points[] for what comes next. */
static unsigned point(struct gen *g, unsigned mem, unsigned mmu, unsigned what, helper_fn fn, const struct set *dirty)
{
    struct tcc_code *c = g->code;
    if (g->pass != WRITE) return 0;
    if (!g->number) g->number = tcc_svc->point(g->r, g->bi, g->mark);
    if (!g->number) g->why = "no points left";
    if (!room((void **)&c->points, c->n_points, &c->cap_points, sizeof *c->points)) {
        g->why = "no memory";
        return 0;
    }
    c->points[c->n_points] = (struct point){ *dirty, g->number, (uint8_t)mem, (uint8_t)mmu, (uint8_t)what, fn };
    return c->n_points++;
}

static unsigned keep_op(struct gen *g, const struct ir_op *o)
{
    struct tcc_code *c = g->code;
    if (g->pass != WRITE) return 0;
    if (!room((void **)&c->ops, c->n_ops, &c->cap_ops, sizeof *c->ops)) {
        g->why = "no memory";
        return 0;
    }
    c->ops[c->n_ops] = *o;
    return c->n_ops++;
}

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
    if (some) store(g, &left);
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

    use(g, a, o->a);
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
    PUT("*(%s*)(c+%u)=m;", cell_type(pc->type == T_I64), (unsigned)pc->offset);
    char x[16];
    snprintf(x, sizeof x, "%d", JIT_IND);
    leave(g, x);
}

/* ---- memory -------------------------------------------------------------------------------------------- */

#if defined __x86_64__ || defined __i386__ || defined __aarch64__
#define HOST_ANY_ALIGNMENT 1
#else
#define HOST_ANY_ALIGNMENT 0
#endif

enum { MEM_KNOWN = IR_MSIZE | IR_MS | IR_MBE | IR_MALIGN };

/* m = the address */
static void address(struct gen *g, const struct ir_op *o)
{
    char a[NAME];
    int disp = IR_DISP(o);
    use(g, a, o->a);
    if (o->aux & IR_A64) PUT("m=%s+%lluULL;", a, U64((int64_t)disp));
    else PUT("m=(u32)(%s+%uu);", a, (unsigned)disp);
}

/* The condition that sends the access to the slow path, where there is one (has_slow): an if() without its statement. */
static void reach(struct gen *g, const struct ir_op *o, bool write)
{
    unsigned size = 1u << (o->attr & IR_MSIZE);
    bool align = (o->attr & IR_MALIGN) && size > 1, a64 = o->aux & IR_A64;
    if (g->r->user) {
        bool whole = !a64 && sizeof(void *) == 8;
        if (align || !whole) {
            PUT("if(");
            if (align) PUT("m&%u%s", size - 1, whole ? "" : "||");
            if (!whole) PUT("m>=L.ulimit-%u", size - 1);
            PUT(")");
        }
        return;
    }
    PUT("p=(char*)(L.base+(m>>%u&%u));if(*(u64*)(p+%u)!=", CPU_PAGE_BITS - 5, (TLB_SIZE - 1) << 5,
        (unsigned)(write ? offsetof(struct tlb_entry, wr) : offsetof(struct tlb_entry, rd)));
    if (align || size == 1) PUT("(m&%lluULL))", U64(CPU_PAGE_MASK | (size - 1)) & (a64 ? UINT64_MAX : UINT32_MAX));
    else PUT("(m+%u&%lluULL))", size - 1, U64(CPU_PAGE_MASK));
}

static bool fast_access(const struct gen *g, const struct ir_op *o)
{
    if (o->attr & ~MEM_KNOWN) return false;
    if (!HOST_ANY_ALIGNMENT && (o->attr & IR_MSIZE) && !(o->attr & IR_MALIGN)) return false;
    return g->r->user || (IR_MMU(o) == g->mmu && sizeof(struct tlb_entry) == 32);
}

static const char *host_address(const struct gen *g) { return g->r->user ? "(L.base+m)" : "(m+*(u64*)(p+16))"; }

static bool has_slow(const struct gen *g, const struct ir_op *o)
{
    return !g->r->user || ((o->attr & IR_MALIGN) && (o->attr & IR_MSIZE)) || (o->aux & IR_A64) || sizeof(void *) != 8;
}

static void gen_ld(struct gen *g, const struct ir_op *o)
{
    unsigned bits = 8u << (o->attr & IR_MSIZE);
    bool swap = bits > 8 && !(o->attr & IR_MBE) == HOST_BE, sign = o->attr & IR_MS, wide = o->type == T_I64;
    char d[NAME];

    address(g, o);
    unsigned k = point(g, o->attr, IR_MMU(o), 0, NULL, &g->dirty);
    bool fast = fast_access(g, o);
    if (fast && g->r->user) PUT("L.pt=%u;", k);
    if (fast) reach(g, o, false);
    define(g, d, o->d);
    if (!fast || has_slow(g, o)) PUT("%s=%sSL(c,m,%u);", d, wide ? "" : "(u32)", k);
    if (!fast) return;
    PUT(has_slow(g, o) ? "else{" : "{");
    if (!swap) {
        PUT("%s=*(%c%u*)%s;}", d, sign ? 's' : 'u', bits, host_address(g));
    } else {
        const char *v = bits == 64 ? "w" : "v";
        PUT("%s=*(u%u*)%s;", v, bits, host_address(g));
        if (g->pass == WRITE) tcc_text_swap(g->o, bits, v, g->needs);
        PUT("%s=(%c%u)%s;}", d, sign ? 's' : 'u', bits, v);
    }
}

static void gen_st(struct gen *g, const struct ir_op *o)
{
    unsigned bits = 8u << (o->attr & IR_MSIZE);
    bool swap = bits > 8 && !(o->attr & IR_MBE) == HOST_BE;
    char b[NAME];

    use(g, b, o->b);
    address(g, o);
    unsigned k = point(g, o->attr, IR_MMU(o), 0, NULL, &g->dirty);
    bool fast = fast_access(g, o);
    if (fast && g->r->user) PUT("L.pt=%u;", k);
    if (fast) reach(g, o, true);
    if (!fast || has_slow(g, o)) PUT("SS(c,m,%s,%u);", b, k);
    if (!fast) return;
    PUT(has_slow(g, o) ? "else{" : "{");
    if (swap) {
        const char *v = bits == 64 ? "w" : "v";
        PUT("%s=%s%s;", v, bits == 16 ? "(u16)" : "", b);
        if (g->pass == WRITE) tcc_text_swap(g->o, bits, v, g->needs);
        PUT("*(u%u*)%s=%s;}", bits, host_address(g), v);
    } else {
        PUT("*(u%u*)%s=%s;}", bits, host_address(g), b);
    }
}

static void gen_atomic(struct gen *g, const struct ir_op *o)
{
    char b[NAME], cc[NAME], d[NAME];
    use(g, b, o->b);
    use(g, cc, o->op == OP_CAS ? o->c : IR_NONE);
    address(g, o);
    unsigned k = point(g, o->attr, IR_MMU(o), o->op == OP_RMW ? o->aux >> 28 : 0, NULL, &g->dirty);
    define(g, d, o->d);
    if (o->op == OP_CAS) PUT("%s=SC(c,m,%s,%s,%u);", d, b, cc, k);
    else PUT("%s=SR(c,m,%s,%u);", d, b, k);
}

/* ---- helpers and floating point --------------------------------------------------------------------------- */

static void gen_call(struct gen *g, const struct ir_op *o)
{
    const struct helper_desc *h = &g->g->helpers[o->aux];
    char a[NAME], b[NAME], cc[NAME], d[NAME];
    struct set need = g->dirty;

    use(g, a, o->a);
    use(g, b, o->b);
    use(g, cc, o->c);
    if (h->flags & HELPER_PURE) {
        if (o->d == IR_NONE) return;
        define(g, d, o->d);
        PUT("%s=((u64(*)(char*,u64,u64,u64))%lluULL)(c,%s,%s,%s);", d, U64((uintptr_t)h->fn), a, b, cc);
        return;
    }
    if (!(h->flags & (HELPER_RAISE | HELPER_MEM))) {
        struct set seen = { { 0 } };
        for (unsigned k = 0; k < SLOT_CLASSES; k++) {
            for (unsigned i = 0; ((h->reads | h->writes) >> k & 1) && i < ARRAY_LEN(seen.w); i++) seen.w[i] |= g->helper_class[k].w[i];
        }
        for (unsigned i = 0; i < ARRAY_LEN(seen.w); i++) need.w[i] &= seen.w[i];
    }
    unsigned k = point(g, 0, 0, 0, h->fn, &need);
    for (unsigned i = 0; i < ARRAY_LEN(need.w); i++) g->dirty.w[i] &= ~need.w[i];
    for (unsigned cls = 0; cls < SLOT_CLASSES; cls++) {
        if (!(h->writes >> cls & 1)) continue;
        for (unsigned i = 0; i < ARRAY_LEN(need.w); i++) g->valid.w[i] &= ~g->helper_class[cls].w[i];
    }
    g->key_known = false;
    if (o->d == IR_NONE) {
        PUT("HC(c,%s,%s,%s,%u);", a, b, cc, k);
    } else {
        PUT("w=HC(c,%s,%s,%s,%u);", a, b, cc, k);
        define(g, d, o->d);
        PUT("%s=w;", d);
    }
}

/* An op by jit_op(). */
static void gen_other(struct gen *g, const struct ir_op *o)
{
    char a[NAME], b[NAME], cc[NAME], d[NAME];
    unsigned n = keep_op(g, o);
    use(g, a, o->a);
    use(g, b, o->b);
    use(g, cc, o->c);
    define(g, d, o->d);
    PUT("%s=JO(c,%s,%s,%s,%u);", d, a, b, cc, n);
}

/* Host arithmetic by the rules of interp/fpx.h: operands finite, no result that is no number (which of finite numbers only a
 * quotient is), none that may be tiny before rounding and was not after it. The tests look at the upper 32 bits alone. */

/* The text of the upper half (of 64 bits) or all (of 32) of the variable v, shifted left by one: without its sign. */
static void put_magnitude(struct gen *g, const char *v, bool wide)
{
    if (wide) PUT("*(u32*)((char*)&%s+%d)<<1", v, HOST_BE ? 0 : 4);
    else PUT("%s<<1", v);
}

static void put_finite(struct gen *g, const char *v, bool wide)
{
    put_magnitude(g, v, wide);
    PUT("<%uu", wide ? 0xffe00000u : 0xff000000u);
}

/* ... that the variable v is a result to be had from softfloat. */
static void put_suspect(struct gen *g, unsigned op, const char *v, bool wide)
{
    put_magnitude(g, v, wide);
    PUT("==%uu", wide ? 0x00200000u : 0x01000000u);
    if (op != OP_FDIV) return;
    PUT("||");
    put_magnitude(g, v, wide);
    PUT(">=%uu", wide ? 0xffe00000u : 0xff000000u);
}

/* An operand as something that has an address. */
static void use_variable(struct gen *g, char *s, ir_id x, const char *spare)
{
    use(g, s, x);
    if (!ir_is_const(x)) return;
    PUT("%s=%s;", spare, s);
    snprintf(s, NAME, "%s", spare);
}

/* Is the note of the op at hand replaced before anybody can ask for it? */
static bool note_is_dead(const struct gen *g)
{
    for (unsigned k = g->at + 1; k < g->b->n_ops; k++) {
        unsigned op = g->b->ops[k].op, cls = tcc_svc->op_info[op].cls;
        if (cls == CLASS_FP || cls == CLASS_FPCV || op == OP_FCMP || op == OP_FMA) return true;
        if (cls != CLASS_PURE && cls != CLASS_CONV && op != OP_SETC && op != OP_INSN) return false;
    }
    return false;
}

static void put_note(struct gen *g, const struct ir_op *o, const char *a, const char *b, uint32_t aux)
{
    if (g->pass != WRITE || note_is_dead(g)) return;
    PUT("L.na=%s;", a);
    if (b) PUT("L.nb=%s;", b);
    if (g->f2i) PUT("L.nx=%u;", (unsigned)aux);
    PUT("L.no=%uu;", NOTE_SET | o->op | (unsigned)o->type << 16);
}

static void gen_arith(struct gen *g, const struct ir_op *o, const char *operator_)
{
    bool wide = o->type == T_I64;
    const char *r = wide ? "fr" : "gr", *type = wide ? "double" : "float";
    char a[NAME], b[NAME], d[NAME];
    unsigned n = keep_op(g, o);

    use_variable(g, a, o->a, wide ? "fa" : "ga");
    use_variable(g, b, o->b, wide ? "fb" : "gb");
    PUT("if(L.ff&&");
    put_finite(g, a, wide);
    if (strcmp(a, b)) {
        PUT("&&");
        put_finite(g, b, wide);
    }
    define(g, d, o->d);
    PUT("){");
    put_note(g, o, a, b, 0);
    bool suspect = o->op == OP_FMUL || o->op == OP_FDIV;
    const char *to = suspect && (!strcmp(d, a) || !strcmp(d, b)) ? r : d; /* the operands may be needed again */
    PUT("*(%s*)&%s=*(%s*)&%s%s *(%s*)&%s;", type, to, type, a, operator_, type, b);
    if (suspect) {
        PUT("if(");
        put_suspect(g, o->op, to, wide);
        PUT(")%s=JO(c,%s,%s,0,%u);", d, a, b, n);
        if (to != d) PUT("else %s=%s;", d, to);
    }
    PUT("}else %s=JO(c,%s,%s,0,%u);", d, a, b, n);
}

static void gen_compare(struct gen *g, const struct ir_op *o)
{
    bool wide = o->type == T_I64;
    const char *type = wide ? "double" : "float";
    char a[NAME], b[NAME], d[NAME];
    unsigned n = keep_op(g, o);

    use_variable(g, a, o->a, wide ? "fa" : "ga");
    use_variable(g, b, o->b, wide ? "fb" : "gb");
    PUT("if(L.ff&&");
    put_finite(g, a, wide);
    PUT("&&");
    put_finite(g, b, wide);
    define(g, d, o->d);
    PUT("){");
    /* it raises nothing, but that must be told: flags of the operation before are gone */
    put_note(g, o, a, b, 0);
    PUT("%s=*(%s*)&%s<*(%s*)&%s?%d:*(%s*)&%s==*(%s*)&%s?%d:%d;}else %s=JO(c,%s,%s,0,%u);", d, type, a, type, b, !!(o->attr & IR_REL_LT), type, a, type,
        b, !!(o->attr & IR_REL_EQ), !!(o->attr & IR_REL_GT), d, a, b, n);
}

/* Conversions to floating point; UINT64 only of what is no negative INT64. */
static void gen_convert(struct gen *g, const struct ir_op *o)
{
    const char *value;
    bool from64 = false, to64 = false, float_in = false, positive = false;
    char a[NAME], d[NAME];

    switch (o->op) {
    case OP_F32_F64: value = "(double)*(float*)&", to64 = float_in = true; break;
    case OP_F64_F32: value = "(float)*(double*)&", from64 = float_in = true; break;
    case OP_I32_F32: value = "(float)*(s32*)&"; break;
    case OP_I32_F64: value = "(double)*(s32*)&", to64 = true; break;
    case OP_U64_F32:
    case OP_I64_F32: value = "(float)*(s64*)&", from64 = true, positive = o->op == OP_U64_F32; break;
    default: value = "(double)*(s64*)&", from64 = to64 = true, positive = o->op == OP_U64_F64; break;
    }
    const char *r = to64 ? "fr" : "gr";
    unsigned n = keep_op(g, o);
    use_variable(g, a, o->a, from64 ? "fa" : "ga");
    PUT("if(L.ff");
    if (positive) PUT("&&!(%s>>63)", a);
    if (float_in) {
        PUT("&&");
        put_finite(g, a, from64);
    }
    define(g, d, o->d);
    PUT("){");
    put_note(g, o, a, NULL, 0);
    PUT("*(%s*)&%s=%s%s;", to64 ? "double" : "float", r, value, a);
    if (o->op == OP_F64_F32) {
        PUT("if(");
        put_suspect(g, o->op, r, false);
        PUT(")%s=JO(c,%s,0,0,%u);else ", d, a, n);
    }
    PUT("%s=%s;}else %s=JO(c,%s,0,0,%u);", d, r, d, a, n);
}

/* Truncations of what surely fits. */
static void gen_truncate(struct gen *g, const struct ir_op *o)
{
    bool from64 = o->op == OP_F64_I32 || o->op == OP_F64_I64, to64 = o->type == T_I64;
    unsigned bias = from64 ? 1023 : 127, n = keep_op(g, o);
    char a[NAME], d[NAME];

    use_variable(g, a, o->a, from64 ? "fa" : "ga");
    PUT("if(L.ff&&");
    put_magnitude(g, a, from64);
    PUT("<%uu", (bias + (to64 ? 63 : 31)) << (from64 ? 21 : 24));
    define(g, d, o->d);
    PUT("){");
    put_note(g, o, a, NULL, o->aux);
    PUT("%s=(s%d)*(%s*)&%s;}else %s=JO(c,%s,0,0,%u);", d, to64 ? 64 : 32, from64 ? "double" : "float", a, d, a, n);
}

/* ---- ops ----------------------------------------------------------------------------------------------------- */

static void gen_pure(struct gen *g, const struct ir_op *o)
{
    char a[NAME], b[NAME], cc[NAME], d[NAME];
    use(g, a, o->a);
    use(g, b, o->b);
    use(g, cc, o->c);
    define(g, d, o->d);
    if (g->pass != WRITE) return;
    size_t at = g->o->n;
    text_put(g->o, "%s=", d);
    if (tcc_text_pure(g->o, o->op, o->type, o->aux, &(struct operands){ a, b, cc }, g->needs)) {
        text_put(g->o, ";");
    } else {
        g->o->n = at;
        text_put(g->o, "%s=JO(c,%s,%s,%s,%u);", d, a, b, cc, keep_op(g, o));
    }
}

static void condition(struct gen *g, const struct ir_op *o)
{
    char a[NAME], b[NAME];
    use(g, a, o->a);
    use(g, b, o->b);
    PUT("if(");
    if (g->pass == WRITE) tcc_text_cond(g->o, o->attr, o->type, &(struct operands){ a, b, "0" });
    PUT("){");
}

static void arith(struct gen *g, const struct ir_op *o)
{
    static const char operators[OP_COUNT] = { [OP_FADD] = '+', [OP_FSUB] = '-', [OP_FMUL] = '*', [OP_FDIV] = '/' };
    char text[2] = { operators[o->op], '\0' };
    if (text[0] && !o->attr) gen_arith(g, o, text);
    else gen_other(g, o);
}

static void op(struct gen *g, const struct ir_op *o)
{
    const struct slot_desc *pc = &g->g->slots[g->g->pc_slot];
    struct join *labels = g->labels + g->label_at[g->bi];
    char a[NAME], x[16];

    switch (o->op) {
    case OP_SETC: {
        char b[NAME], d[NAME];
        use(g, a, o->a);
        use(g, b, o->b);
        define(g, d, o->d);
        PUT("%s=", d);
        if (g->pass == WRITE) tcc_text_cond(g->o, o->attr, o->type, &(struct operands){ a, b, "0" });
        PUT(";");
        break;
    }
    case OP_FCMP:
        if (o->aux) gen_other(g, o);
        else gen_compare(g, o);
        break;
    case OP_FMA: case OP_FROUND: case OP_FMIN: case OP_FMAX: gen_other(g, o); break;
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
        use(g, a, o->a);
        PUT("L.ic+=%lld;*(%s*)(c+%u)=%s;", (long long)g->b->blk->n_insns - (long long)o->aux, cell_type(pc->type == T_I64), (unsigned)pc->offset, a);
        snprintf(x, sizeof x, "%d", o->attr == IR_EXIT_IRQ ? JIT_IRQ : o->attr == IR_EXIT_HALT ? JIT_HALT : o->attr == IR_EXIT_DEBUG ? JIT_DEBUG : JIT_LOOKUP);
        leave(g, x);
        g->dead = true;
        break;
    case OP_FETCHF:
        use(g, a, o->a);
        PUT("FF(c,%s,%u);return %d;", a, point(g, 0, 0, 0, NULL, &g->dirty), JIT_LOOKUP);
        g->dead = true;
        break;
    default:
        switch (tcc_svc->op_info[o->op].cls) {
        case CLASS_PURE:
        case CLASS_CONV: gen_pure(g, o); break;
        case CLASS_FP: arith(g, o); break;
        case CLASS_FPCV:
            switch (o->op) {
            case OP_F32_F64: case OP_F64_F32: case OP_I32_F32: case OP_I32_F64: case OP_I64_F32: case OP_I64_F64: case OP_U64_F32:
            case OP_U64_F64:
                gen_convert(g, o);
                break;
            case OP_F32_I32: case OP_F32_I64: case OP_F64_I32: case OP_F64_I64:
                if ((o->aux & 15) == FP_RTZ) gen_truncate(g, o);
                else gen_other(g, o);
                break;
            default: gen_other(g, o);
            }
            break;
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
    PUT("u%u:L.ic+=%u;*(%s*)(c+%u)=%lluULL;*(u%u*)(c+%u)=%lluULL;", i, (unsigned)b->blk->n_insns, cell_type(pc->type == T_I64), (unsigned)pc->offset,
        U64(b->blk->pc), (unsigned)sizeof(((struct cpu *)0)->key) * 8, CPU(key), U64(b->blk->key));
    snprintf(x, sizeof x, "%d", JIT_LOOKUP);
    leave(g, x);
    PUT("\n");
}

/* ---- which slots are locals -------------------------------------------------------------------------------------- */

static uint64_t successors(const struct jit_block *b)
{
    uint64_t s = 0;
    for (unsigned l = 0; l < b->blk->n_links; l++) {
        if (b->to[l] >= 0) s |= UINT64_C(1) << b->to[l];
    }
    for (unsigned k = 0; k < b->n_ind; k++) s |= UINT64_C(1) << b->ind[k];
    return s;
}

/* Blocks that can be reached from themselves. */
static uint64_t in_loops(const struct jit_region *r)
{
    uint64_t to[JIT_MAX_BLOCKS], loops = 0;
    for (unsigned i = 0; i < r->n; i++) to[i] = successors(&r->blocks[i]);
    for (unsigned k = 0; k < r->n; k++) {
        for (unsigned i = 0; i < r->n; i++) {
            if (to[i] >> k & 1) to[i] |= to[k];
        }
    }
    for (unsigned i = 0; i < r->n; i++) loops |= to[i] & UINT64_C(1) << i;
    return loops;
}

struct slot_use { uint16_t n; bool loop; };

static void count(const struct gen *g, struct slot_use *u, ir_id x, bool loop)
{
    if (!ir_is_slot(x) || x >= g->g->n_slots) return;
    if (u[x].n < UINT16_MAX) u[x].n++;
    u[x].loop |= loop;
}

static bool choose_locals(struct gen *g)
{
    const struct guest *guest = g->g;
    struct tcc_code *c = g->code;
    uint64_t loops = in_loops(g->r);
    struct slot_use *u = calloc(guest->n_slots, sizeof *u);
    unsigned n_wide = 0, n = 0;

    g->local_of = malloc(guest->n_slots * sizeof *g->local_of);
    c->locals = malloc(MAX_LOCALS * sizeof *c->locals);
    if (!u || !g->local_of || !c->locals) {
        free(u);
        return false;
    }
    for (unsigned i = 0; i < g->r->n; i++) {
        const struct jit_block *b = &g->r->blocks[i];
        for (unsigned k = 0; k < b->n_ops; k++) {
            const struct ir_op *o = &b->ops[k];
            unsigned cls = tcc_svc->op_info[o->op].cls;
            if (o->op == OP_INSN || o->op == OP_LABEL || o->op == OP_BR || o->op == OP_GOTO) continue;
            count(g, u, o->d, loops >> i & 1);
            count(g, u, o->a, loops >> i & 1);
            count(g, u, o->b, loops >> i & 1);
            count(g, u, o->c, loops >> i & 1);
            g->fp |= cls == CLASS_FP || cls == CLASS_FPCV || o->op == OP_FCMP;
            g->f2i |= cls == CLASS_FPCV && o->aux;
        }
    }
    for (unsigned wide = 2; wide-- > 0;) {
        for (unsigned s = 0; s < guest->n_slots; s++) {
            const struct slot_desc *d = &guest->slots[s];
            if ((d->type == T_I64) != (bool)wide) continue;
            g->local_of[s] = -1;
            /* cells of the common part are the engine's too, those of class SYS devices' */
            if (s == guest->pc_slot || d->offset < sizeof(struct cpu) || d->cls == SLOT_SYS || d->cls == SLOT_VEC) continue;
            if (n == MAX_LOCALS || !(u[s].loop || u[s].n > 1)) continue;
            c->locals[n] = (struct local){ d->offset, (uint16_t)(sizeof(struct frame) + 8 * n_wide + 4 * (n - n_wide)), wide };
            n_wide += wide;
            set_add(&g->helper_class[d->cls], n);
            if (u[s].loop) set_add(&g->preload, n);
            g->local_of[s] = (int16_t)n++;
        }
    }
    c->n_locals = n;
    free(u);
    return true;
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
            if (seen[wide][t / 64] >> (t % 64) & 1) PUT("%s %c%u;", cell_type(wide), wide ? 'j' : 'i', t);
        }
    }
    PUT("\n");
}

static void enter(struct gen *g, const char *fn)
{
    const struct blk *b = g->r->blocks[0].blk;
    const struct slot_desc *pc = &g->g->slots[g->g->pc_slot];

    PUT("u64 %s(char*c,char*k){struct{" FRAME_TEXT, fn);
    for (unsigned l = 0; l < g->code->n_locals; l++) PUT("%s s%u;", cell_type(g->code->locals[l].wide), l);
    PUT("}L;u64 m,w,x,fa,fb,fr;u32 v,ga,gb,gr;char*p;\n");
    declare_temps(g);
    if (g->r->count) {
        PUT("if(!--*(u32*)%lluULL){*(%s*)(c+%u)=%lluULL;return %d;}\n", U64((uintptr_t)b->heat), cell_type(pc->type == T_I64), (unsigned)pc->offset,
            U64(b->pc), JIT_HOT);
    }
    if (g->r->user) PUT("L.base=*(u64*)(c+%u);L.ulimit=*(u64*)(c+%u);", CPU(ubase), CPU(ulimit));
    else PUT("if(!(L.base=*(u64*)(c+%u)))return %d;", (unsigned)(CPU(tlb) + g->mmu * sizeof(void *)), JIT_REFUSE);
    PUT("*(char**)(c+%u)=(char*)&L;*(char**)(c+%u)=k;L.ic=*(s64*)(c+%u);L.lim=0;", (unsigned)(CPU(temps) + FRAME_TEMP * 8),
        (unsigned)(CPU(temps) + CODE_TEMP * 8), CPU(icount_left));
    PUT("L.no=L.nx=0;");
    if (g->fp) PUT("L.ff=*(u8*)(c+%u);", CPU(fp_fast));
    for (unsigned l = 0; l < g->code->n_locals; l++) {
        if (set_has(&g->preload, l)) load(g, l);
    }
    PUT("\n");
}

static void finish(struct gen *g)
{
    for (unsigned i = 0; i < g->r->n; i++) undo(g, i);
    for (unsigned i = 0; i < g->n_exits; i++) {
        PUT("x%u:", i);
        store(g, &g->exits[i]);
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
    if (g->blocks && g->labels && choose_locals(g)) {
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
