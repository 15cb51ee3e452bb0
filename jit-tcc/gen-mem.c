/*
 * gen-mem.c - the text of memory accesses, atomics and calls of helpers: what may leave in the middle, and has a point. The rules of
 * an access are those of interp/mem.c.
 */
#include "jit-tcc/gen.h"

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
    gen_use(g, a, o->a);
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

void gen_ld(struct gen *g, const struct ir_op *o)
{
    unsigned bits = 8u << (o->attr & IR_MSIZE);
    bool swap = bits > 8 && !(o->attr & IR_MBE) == HOST_BE, sign = o->attr & IR_MS, wide = o->type == T_I64;
    char d[NAME];

    address(g, o);
    unsigned k = gen_point(g, o->attr, IR_MMU(o), 0, NULL, &g->dirty);
    bool fast = fast_access(g, o);
    if (fast && g->r->user) PUT("L.pt=%u;", k);
    if (fast) reach(g, o, false);
    gen_define(g, d, o->d);
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

void gen_st(struct gen *g, const struct ir_op *o)
{
    unsigned bits = 8u << (o->attr & IR_MSIZE);
    bool swap = bits > 8 && !(o->attr & IR_MBE) == HOST_BE;
    char b[NAME];

    gen_use(g, b, o->b);
    address(g, o);
    unsigned k = gen_point(g, o->attr, IR_MMU(o), 0, NULL, &g->dirty);
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

void gen_atomic(struct gen *g, const struct ir_op *o)
{
    char b[NAME], cc[NAME], d[NAME];
    gen_use(g, b, o->b);
    gen_use(g, cc, o->op == OP_CAS ? o->c : IR_NONE);
    address(g, o);
    unsigned k = gen_point(g, o->attr, IR_MMU(o), o->op == OP_RMW ? o->aux >> 28 : 0, NULL, &g->dirty);
    gen_define(g, d, o->d);
    if (o->op == OP_CAS) PUT("%s=SC(c,m,%s,%s,%u);", d, b, cc, k);
    else PUT("%s=SR(c,m,%s,%u);", d, b, k);
}

void gen_call(struct gen *g, const struct ir_op *o)
{
    const struct helper_desc *h = &g->g->helpers[o->aux];
    char a[NAME], b[NAME], cc[NAME], d[NAME];
    struct set need = g->dirty;

    gen_use(g, a, o->a);
    gen_use(g, b, o->b);
    gen_use(g, cc, o->c);
    if (h->flags & HELPER_PURE) {
        if (o->d == IR_NONE) return;
        gen_define(g, d, o->d);
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
    unsigned k = gen_point(g, 0, 0, 0, h->fn, &need);
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
        gen_define(g, d, o->d);
        PUT("%s=w;", d);
    }
}

/* An op by jit_op(). */
void gen_other(struct gen *g, const struct ir_op *o)
{
    char a[NAME], b[NAME], cc[NAME], d[NAME];
    unsigned n = gen_keep_op(g, o);
    gen_use(g, a, o->a);
    gen_use(g, b, o->b);
    gen_use(g, cc, o->c);
    gen_define(g, d, o->d);
    PUT("%s=JO(c,%s,%s,%s,%u);", d, a, b, cc, n);
}
