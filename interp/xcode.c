/*
 * xcode.c - lowering: IR ops to the records of the fast interpreter (xops.def).
 *
 * An op without a record of its own becomes an OP record, which runs it through the reference interpreter; so every op
 * works from the day it is in ops.def, and gets records when profiles ask for them.
 */
#include "interp/xcode.h"

#include <stdlib.h>

enum { MODE_RR, MODE_RI, MODE_AR, MODE_RA, MODE_AI, MODE_R = MODE_RR, MODE_A = MODE_RI, MODES = 5 };
#define NOX 0xffff

/* Tables from lists: record number by op, width, form; NOX where there is none. Built once. */
static uint16_t alu2[OP_COUNT][2][MODES], alu1[OP_COUNT][2][2], alu3[OP_COUNT][2], alu3k[OP_COUNT][2], conv[OP_COUNT], fp2[OP_COUNT][2];
static uint16_t setc[CC_COUNT][2][MODES], brc2[CC_COUNT][2][MODES], brc1[CC_COUNT][2][MODES], brl[CC_COUNT][2][MODES];
static uint16_t ld[64][2][2], st[64][2][2]; /* mem attribute, data type, address type */
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void init_fuse(void);

static void init_tables(void)
{
    init_fuse();
    memset(alu2, 0xff, sizeof alu2), memset(alu1, 0xff, sizeof alu1), memset(alu3, 0xff, sizeof alu3);
    memset(alu3k, 0xff, sizeof alu3k);
    memset(conv, 0xff, sizeof conv), memset(fp2, 0xff, sizeof fp2), memset(setc, 0xff, sizeof setc);
    memset(brc2, 0xff, sizeof brc2), memset(brc1, 0xff, sizeof brc1), memset(brl, 0xff, sizeof brl);
    memset(ld, 0xff, sizeof ld), memset(st, 0xff, sizeof st);
#define IX_32 T_I32
#define IX_64 T_I64
#define SZ_8 IR_M8
#define SZ_16 IR_M16
#define SZ_32 IR_M32
#define SZ_64 IR_M64
#define SG_u 0
#define SG_s IR_MS
#define EN_le 0
#define EN_be IR_MBE
#define X_ALU2(N, W, m) alu2[OP_##N][IX_##W][MODE_##m] = XO_##N##W##_##m;
#define X_ALU1(N, W, m) alu1[OP_##N][IX_##W][MODE_##m] = XO_##N##W##_##m;
#define X_ALU3(N, W) alu3[OP_##N][IX_##W] = XO_##N##W;
#define X_ALU3K(N, W) alu3k[OP_##N][IX_##W] = XO_##N##W##_K;
#define X_INS(W) alu3[OP_DEPOSIT][IX_##W] = XO_DEPOSIT##W;
#define X_CONV(N) conv[OP_##N] = XO_##N;
#define X_SETC(C, W, m) setc[CC_##C][IX_##W][MODE_##m] = XO_SETC_##C##W##_##m;
#define X_LD(sz, sg, T, AW, en, al) ld[SZ_##sz | SG_##sg | EN_##en | (al ? IR_MALIGN : 0)][IX_##T][IX_##AW] = XO_LD_##sz##sg##_##T##_##AW##_##en##_##al;
#define X_ST(sz, T, AW, en, al) st[SZ_##sz | EN_##en | (al ? IR_MALIGN : 0)][IX_##T][IX_##AW] = XO_ST_##sz##_##T##_##AW##_##en##_##al;
#define X_FP2(N, W) fp2[OP_##N][IX_##W] = XO_##N##W;
#define X_FPCV(N) conv[OP_##N] = XO_##N;
#define X_FCMP(W) fp2[OP_FCMP][IX_##W] = XO_FCMP##W;
#define X_BRC2(C, W, m) brc2[CC_##C][IX_##W][MODE_##m] = XO_BRC2_##C##W##_##m;
#define X_BRC1(C, W, m) brc1[CC_##C][IX_##W][MODE_##m] = XO_BRC1_##C##W##_##m;
#define X_BRL(C, W, m) brl[CC_##C][IX_##W][MODE_##m] = XO_BRL_##C##W##_##m;
#include "interp/xops.def"
}

struct fuse_pair { uint16_t a, b, fused; };
static const struct fuse_pair fuse_pairs[] = {
#define X_FUSE2(A, B) { XO_##A, XO_##B, XO_##A##__##B },
#define X_FUSEG(A) { XO_##A, XO_GOTO, XO_##A##__GOTO },
#define X_FUSE1(A, C, W, m) { XO_##A, XO_BRC1_##C##W##_##m, XO_##A##__BRC1_##C##W##_##m },
#define X_FUSEB(A, C, W, m) { XO_##A, XO_BRC2_##C##W##_##m, XO_##A##__BRC2_##C##W##_##m },
#include "interp/xops.def"
    { NOX, NOX, NOX },
};

/* Chains of pairs, index + 1; most records that follow each other are none, and their place is empty. */
enum { FUSE_HASH = 4096 };
static uint16_t fuse_first[FUSE_HASH], fuse_next[ARRAY_LEN(fuse_pairs)];

static unsigned fuse_place(unsigned a, unsigned b) { return (a * 61 + b) & (FUSE_HASH - 1); }

static void init_fuse(void)
{
    for (unsigned i = ARRAY_LEN(fuse_pairs) - 1; i-- > 0;) {
        uint16_t *first = &fuse_first[fuse_place(fuse_pairs[i].a, fuse_pairs[i].b)];
        fuse_next[i] = *first;
        *first = (uint16_t)(i + 1);
    }
}

void xcode_fuse(uint16_t *xop, const uint8_t *start, unsigned n)
{
    for (unsigned i = 0; i + 1 < n; i++) {
        if (!start[i] || start[i + 1] != 1) continue; /* nothing may jump to the second of a pair */
        for (unsigned k = fuse_first[fuse_place(xop[i], xop[i + 1])]; k; k = fuse_next[k - 1]) {
            if (fuse_pairs[k - 1].a == xop[i] && fuse_pairs[k - 1].b == xop[i + 1]) {
                xop[i] = fuse_pairs[k - 1].fused;
                i++;
                break;
            }
        }
    }
}

/* ---- the lowering ------------------------------------------------------------------------------------ */

struct lower {
    struct cpu *cpu;
    const struct guest *g;
    const struct ir_block *ir;
    struct arena *arena;
    struct xrec *x;
    uint16_t *xop;
    uint8_t *start;       /* 0: payload, 1: a record, 2: a record that may be jumped to */
    unsigned n, cap;
    ir_id acc;            /* whose value the accumulator holds */
    unsigned scratch;
    uint8_t next_start;
};

static ATTR_COLD void more_records(struct lower *w)
{
    w->cap = w->cap ? w->cap * 2 : 256;
    w->x = mem_realloc(w->x, w->cap * sizeof *w->x);
    w->xop = mem_realloc(w->xop, w->cap * sizeof *w->xop);
    w->start = mem_realloc(w->start, w->cap);
}

static struct xrec *put(struct lower *w, unsigned xop)
{
    if (unlikely(w->n == w->cap)) more_records(w);
    memset(&w->x[w->n], 0, sizeof *w->x);
    w->xop[w->n] = (uint16_t)xop;
    w->start[w->n] = w->next_start;
    w->next_start = 1;
    return &w->x[w->n++];
}

static struct xrec *payload(struct lower *w)
{
    uint8_t keep = w->next_start;
    w->next_start = 0;
    struct xrec *r = put(w, 0);
    w->next_start = keep;
    return r;
}

static uint16_t temp_offset(unsigned i, unsigned type)
{
    /* an I32 temporary sits in the low half of its 64-bit cell, which the reference interpreter reads whole */
    return (uint16_t)(offsetof(struct cpu, temps) + i * 8 + (HOST_BE && type == T_I32 ? 4 : 0));
}

static unsigned type_of(const struct lower *w, ir_id x)
{
    if (ir_is_slot(x)) return w->g->slots[x].type;
    return ir_is_temp(x) ? w->ir->temp_type[x - IR_TEMP] : w->ir->const_type[x - IR_CONST];
}

static uint64_t const_of(const struct lower *w, ir_id x) { return w->ir->consts[x - IR_CONST]; }

static bool imm_of(const struct lower *w, ir_id x, unsigned type, int32_t *imm)
{
    if (!ir_is_const(x)) return false;
    uint64_t v = const_of(w, x);
    *imm = (int32_t)(uint32_t)v;
    return type == T_I32 || (uint64_t)(int64_t)*imm == v;
}

static void put_const(struct lower *w, uint16_t off, unsigned type, uint64_t v)
{
    int32_t imm = (int32_t)(uint32_t)v;
    if (type == T_I32) {
        struct xrec *r = put(w, XO_LI32);
        r->d = off, r->imm = imm;
    } else if ((uint64_t)(int64_t)imm == v) {
        struct xrec *r = put(w, XO_LI64);
        r->d = off, r->imm = imm;
    } else {
        put(w, XO_LI64W)->d = off;
        payload(w)->imm64 = v;
    }
    w->acc = IR_NONE;
}

/* Byte offset of the cell of x; a constant is put into a scratch cell first. */
static uint16_t cell(struct lower *w, ir_id x)
{
    if (ir_is_slot(x)) return (uint16_t)w->g->slots[x].offset;
    if (ir_is_temp(x)) return temp_offset(x - IR_TEMP, w->ir->temp_type[x - IR_TEMP]);
    unsigned type = type_of(w, x);
    uint16_t off = temp_offset(IR_MAX_TEMPS - 1 - (w->scratch++ & 3), type);
    put_const(w, off, type, const_of(w, x));
    return off;
}

static uint16_t dest(struct lower *w, ir_id d)
{
    return d == IR_NONE ? temp_offset(IR_MAX_TEMPS - 5, T_I64) : cell(w, d);
}

/* A record with two sources in the best form there is. Returns it, or NULL. */
static struct xrec *put_two(struct lower *w, const uint16_t forms[MODES], unsigned type, ir_id a, ir_id b)
{
    int32_t imm;
    bool a_acc = w->acc != IR_NONE && w->acc == a, b_acc = w->acc != IR_NONE && w->acc == b;

    if (imm_of(w, b, type, &imm) && forms[MODE_RI] != NOX) {
        bool use = a_acc && forms[MODE_AI] != NOX;
        uint16_t ca = use ? 0 : cell(w, a);
        struct xrec *r = put(w, forms[use ? MODE_AI : MODE_RI]);
        r->a = ca, r->imm = imm;
        return r;
    }
    if (forms[MODE_RR] == NOX) return NULL;
    uint16_t ca = cell(w, a), cb = cell(w, b);
    if (ir_is_const(a) || ir_is_const(b)) a_acc = b_acc = false; /* acc now holds the constant */
    unsigned mode = a_acc && forms[MODE_AR] != NOX ? MODE_AR : b_acc && forms[MODE_RA] != NOX ? MODE_RA : MODE_RR;
    struct xrec *r = put(w, forms[mode]);
    r->a = ca, r->b = cb;
    return r;
}

static void lower_generic(struct lower *w, const struct ir_op *o)
{
    struct op_record *k = arena_get(w->arena, sizeof *k);
    ir_id *ids[3] = { &k->op.a, &k->op.b, &k->op.c };
    k->op = *o;
    for (unsigned i = 0; i < 3; i++) {
        if (!ir_is_const(*ids[i])) continue;
        k->consts[i] = const_of(w, *ids[i]);
        *ids[i] = (ir_id)(IR_CONST + i);
    }
    put(w, XO_OP)->p = k;
    w->acc = IR_NONE;
}

/* What a memory order asks for beyond what the host keeps: fences as records of their own. */
static void put_fence(struct lower *w, unsigned mask)
{
#if HOST_GNU && (defined(__x86_64__) || defined(__i386__))
    if (!(mask & IR_FENCE_WR)) return; /* the compiler does not move accesses from one record to another */
#endif
    if (mask) put(w, XO_FENCE)->a = (uint16_t)mask;
}

static void fence_before(struct lower *w, const struct ir_op *o)
{
    if ((o->attr & IR_MORDER) && (o->op == OP_ST || o->op == OP_ST2)) put_fence(w, IR_FENCE_RW | IR_FENCE_WW);
}

static void fence_after(struct lower *w, const struct ir_op *o)
{
    if (!(o->attr & IR_MORDER)) return;
    if (o->op == OP_LD || o->op == OP_LD2) put_fence(w, IR_FENCE_RR | IR_FENCE_RW);
    else if (o->attr & IR_MSEQ) put_fence(w, IR_FENCE_ALL);
}

static void lower_mem2(struct lower *w, const struct ir_op *o)
{
    bool mode_ok = w->cpu->world->user || IR_MMU(o) == w->g->mmu_mode(w->cpu), a64 = o->aux & IR_A64, be = o->attr & IR_MBE;
    static const uint16_t forms[2][2][2] = { { { XO_LD2_32_le, XO_LD2_32_be }, { XO_LD2_64_le, XO_LD2_64_be } },
                                             { { XO_ST2_32_le, XO_ST2_32_be }, { XO_ST2_64_le, XO_ST2_64_be } } };
    unsigned align = !(o->attr & IR_MALIGN) ? 0 : o->attr & IR_MPAIR ? 15 : 7;

    if (!mode_ok || w->cpu->engine->n_watches) {
        lower_generic(w, o);
        return;
    }
    bool load = o->op == OP_LD2;
    uint16_t ca = cell(w, o->a), cd = load ? dest(w, o->d) : cell(w, o->b), cc = cell(w, o->c);
    fence_before(w, o);
    struct xrec *r = put(w, forms[!load][a64][be]);
    r->d = cd, r->a = ca, r->b = (uint16_t)IR_DISP(o), r->c = cc;
    payload(w)->imm64 = align | (uint64_t)o->attr << 16;
    if (load) w->acc = o->c;
    fence_after(w, o);
}

static void lower_mem(struct lower *w, const struct ir_op *o)
{
    unsigned at = (o->aux & IR_A64) ? T_I64 : T_I32, attr = o->attr;
    bool mode_ok = w->cpu->world->user || IR_MMU(o) == w->g->mmu_mode(w->cpu);

    if ((attr & IR_MSIZE) == IR_M8) attr &= ~(unsigned)(IR_MBE | IR_MALIGN);
    if (o->op == OP_ST) attr &= ~(unsigned)IR_MS;
    if ((attr & IR_MSIZE) == IR_M64 || (o->type == T_I32 && (attr & IR_MSIZE) == IR_M32)) attr &= ~(unsigned)IR_MS;
    attr &= IR_MSIZE | IR_MS | IR_MBE | IR_MALIGN;
    unsigned x = o->op == OP_LD ? ld[attr][o->type][at] : st[attr][o->type][at];
    if (x == NOX || !mode_ok || w->cpu->engine->n_watches) {
        lower_generic(w, o);
        return;
    }
    uint16_t ca = cell(w, o->a);
    uint16_t cd = o->op == OP_LD ? dest(w, o->d) : cell(w, o->b);
    fence_before(w, o);
    struct xrec *r = put(w, x);
    r->d = cd, r->a = ca, r->imm = IR_DISP(o);
    if (o->op == OP_LD) w->acc = o->d;
    fence_after(w, o);
}

static void lower_call(struct lower *w, const struct ir_op *o)
{
    struct call_record *k = arena_get(w->arena, sizeof *k);
    const ir_id ids[3] = { o->a, o->b, o->c };
    memset(k, 0, sizeof *k);
    k->fn = w->g->helpers[o->aux].fn;
    if (o->d != IR_NONE) k->d = dest(w, o->d), k->d_type = o->type;
    for (unsigned i = 0; i < 3; i++) {
        if (ids[i] == IR_NONE || ir_is_const(ids[i])) {
            k->a_type[i] = CALL_CONST;
            k->a[i].value = ids[i] == IR_NONE ? 0 : const_of(w, ids[i]);
        } else {
            k->a_type[i] = (uint8_t)type_of(w, ids[i]);
            k->a[i].off = cell(w, ids[i]);
        }
    }
    put(w, XO_CALL)->p = k;
    w->acc = IR_NONE;
}

static void lower_brc(struct lower *w, struct blk *blk, const struct ir_op *o, const struct ir_op *next)
{
    bool both = next && next->op == OP_GOTO;
    struct xrec *r = put_two(w, both ? brc2[o->attr][o->type] : brc1[o->attr][o->type], o->type, o->a, o->b);
    (void)r; /* comparisons have records for all conditions and widths */
    struct xrec *p = payload(w);
    p->h = &blk->links[o->aux];
    p->p = both ? &blk->links[next->aux] : NULL;
}

/* "If a has one of these low bits set go to a label, else leave to a": one record. */
static bool lower_checked_ind(struct lower *w, struct blk *blk, const struct ir_op *o, const struct ir_op *ind)
{
    int32_t mask;
    if (o->op != OP_BRL || o->attr != CC_TNZ || !ind || ind->op != OP_IND || ind->a != o->a || ir_is_const(o->a)) return false;
    if (!imm_of(w, o->b, o->type, &mask) || mask < 0 || mask > UINT16_MAX) return false;
    uint16_t ca = cell(w, o->a);
    struct xrec *r = put(w, o->type == T_I64 ? XO_INDC64 : XO_INDC32);
    r->a = ca, r->b = (uint16_t)mask, r->c = (uint16_t)(blk->n_insns - ind->aux);
    return true;
}

static void lower_vec(struct lower *w, const struct ir_op *o)
{
    uint16_t ca = o->a == IR_NONE ? 0 : cell(w, o->a), cb = o->b == IR_NONE ? ca : cell(w, o->b), cc = o->c == IR_NONE ? ca : cell(w, o->c);
    struct xrec *r = put(w, XO_VEC);
    r->d = cell(w, o->d), r->a = ca, r->b = cb, r->c = cc;
    struct xrec *p = payload(w);
    p->op = vec_number(o), p->imm64 = o->aux;
    w->acc = IR_NONE;
}

static void lower_op(struct lower *w, struct blk *blk, const struct ir_op *o)
{
    struct xrec *r = NULL;
    if (ir_op_info[o->op].cls == CLASS_VEC) {
        lower_vec(w, o);
        return;
    }

    switch (o->op) {
    case OP_MOV:
        if (ir_is_const(o->a)) {
            put_const(w, dest(w, o->d), o->type, const_of(w, o->a));
            w->acc = o->d;
            return;
        }
        break;
    case OP_LD: case OP_ST: lower_mem(w, o); return;
    case OP_CALL: lower_call(w, o); return;
    case OP_LD2: case OP_ST2: lower_mem2(w, o); return;
    case OP_FENCE: put_fence(w, o->aux); return;
    case OP_SETC:
        r = put_two(w, setc[o->attr][o->type], o->type, o->a, o->b);
        break;
    case OP_FCMP: {
        uint16_t ca = cell(w, o->a), cb = cell(w, o->b);
        r = put(w, !o->aux ? fp2[OP_FCMP][o->type] : o->type == T_I64 ? XO_FCMPV64 : XO_FCMPV32);
        r->a = ca, r->b = cb, r->c = o->attr;
        break;
    }
    case OP_FMA: {
        uint16_t ca = cell(w, o->a), cb = cell(w, o->b), cc = cell(w, o->c);
        r = put(w, o->type == T_I64 ? XO_FMA64 : XO_FMA32);
        r->a = ca, r->b = cb, r->c = cc;
        break;
    }
    case OP_GOTO: put(w, XO_GOTO)->p = &blk->links[o->aux]; return;
    case OP_IND: {
        uint16_t ca = cell(w, o->a);
        r = put(w, o->type == T_I64 ? XO_IND64 : XO_IND32);
        r->a = ca, r->d = (uint16_t)(blk->n_insns - o->aux);
        return;
    }
    case OP_EXIT:
        r = put(w, XO_EXIT);
        r->d = (uint16_t)(blk->n_insns - o->aux);
        r->a = o->attr == IR_EXIT_IRQ ? X_IRQ : o->attr == IR_EXIT_HALT ? X_HALT : o->attr == IR_EXIT_DEBUG ? X_DEBUG : X_LOOKUP;
        payload(w)->imm64 = const_of(w, o->a);
        return;
    case OP_FETCHF:
        put(w, XO_FETCHF);
        payload(w)->imm64 = const_of(w, o->a);
        return;
    default: break;
    }
    if (!r) {
        const struct ir_op_info *info = &ir_op_info[o->op];
        if (conv[o->op] != NOX && info->cls != CLASS_PURE) {
            uint16_t ca = cell(w, o->a), cb = o->op == OP_CONCAT ? cell(w, o->b) : 0;
            r = put(w, conv[o->op]);
            r->a = ca, r->b = cb, r->c = (uint16_t)o->aux;
        } else if (info->cls == CLASS_FP && fp2[o->op][o->type] != NOX) {
            uint16_t ca = cell(w, o->a), cb = info->n_in == 2 ? cell(w, o->b) : ca;
            r = put(w, fp2[o->op][o->type]);
            r->a = ca, r->b = cb;
        } else if (info->cls == CLASS_PURE && info->n_in == 1 && alu1[o->op][o->type][0] != NOX) {
            bool acc = w->acc != IR_NONE && w->acc == o->a;
            uint16_t ca = acc ? 0 : cell(w, o->a);
            r = put(w, alu1[o->op][o->type][acc]);
            r->a = ca, r->b = (uint16_t)o->aux;
        } else if (info->cls == CLASS_PURE && info->n_in == 2 && o->op != OP_DEPOSIT) {
            r = put_two(w, alu2[o->op][o->type], o->type, o->a, o->b);
        } else if (info->cls == CLASS_PURE && info->n_in == 3 && alu3k[o->op][o->type] != NOX && ir_is_const(o->c) && const_of(w, o->c) <= UINT16_MAX) {
            uint16_t ca = cell(w, o->a), cb = cell(w, o->b);
            r = put(w, alu3k[o->op][o->type]);
            r->a = ca, r->b = cb, r->c = (uint16_t)const_of(w, o->c);
        } else if (info->cls == CLASS_PURE && (info->n_in == 3 || o->op == OP_DEPOSIT) && alu3[o->op][o->type] != NOX) {
            uint16_t ca = cell(w, o->a), cb = cell(w, o->b), cc = o->op == OP_DEPOSIT ? (uint16_t)o->aux : cell(w, o->c);
            r = put(w, alu3[o->op][o->type]);
            r->a = ca, r->b = cb, r->c = cc;
        }
        if (!r) {
            lower_generic(w, o);
            return;
        }
    }
    unsigned at = (unsigned)(r - w->x);
    uint16_t cd = dest(w, o->d); /* never a constant, so no record is added */
    w->x[at].d = cd;
    if (o->op == OP_FMA) payload(w)->imm64 = o->attr;
    if (o->op == OP_FCMP && o->aux) payload(w)->imm64 = o->aux;
    w->acc = o->d;
}

void xcode_lower(struct engine *eng, struct cpu *cpu, struct blk *blk, const struct ir_block *ir, struct arena *arena)
{
    struct lower w = { .cpu = cpu, .g = cpu->guest, .ir = ir, .arena = arena, .acc = IR_NONE, .next_start = 1 };
    unsigned n_marks = 0, labels[64], *label_at = labels;
    struct { unsigned at, label; } *refs = NULL;
    unsigned n_refs = 0, cap_refs = 0;

    pthread_once(&tables_once, init_tables);
    w.x = eng->low_x, w.xop = eng->low_xop, w.start = eng->low_start, w.cap = eng->low_cap;
    if (ir->n_labels > ARRAY_LEN(labels)) label_at = mem_alloc(ir->n_labels * sizeof *label_at);

    for (unsigned i = 0; i < ir->n_ops; i++) {
        const struct ir_op *o = &ir->ops[i];
        struct xrec *r;
        switch (o->op) {
        case OP_INSN: blk->marks[n_marks++].at = (uint16_t)w.n; break;
        case OP_LABEL:
            label_at[o->aux] = w.n;
            w.next_start = 2;
            w.acc = IR_NONE;
            break;
        case OP_BR:
        case OP_BRL:
            if (lower_checked_ind(&w, blk, o, i + 1 < ir->n_ops ? &ir->ops[i + 1] : NULL)) {
                r = &w.x[w.n - 1];
                i++;
            } else if (o->op == OP_BR) r = put(&w, XO_SKIP);
            else r = put_two(&w, brl[o->attr][o->type], o->type, o->a, o->b);
            if (n_refs == cap_refs) {
                cap_refs = cap_refs ? cap_refs * 2 : 16;
                refs = mem_realloc(refs, cap_refs * sizeof *refs);
            }
            refs[n_refs].at = (unsigned)(r - w.x), refs[n_refs++].label = o->aux;
            break;
        case OP_BRC: {
            const struct ir_op *next = i + 1 < ir->n_ops ? &ir->ops[i + 1] : NULL;
            lower_brc(&w, blk, o, next);
            if (next && next->op == OP_GOTO) i++;
            break;
        }
        default: lower_op(&w, blk, o); break;
        }
    }
    if (w.next_start == 2) put(&w, XO_SKIP)->imm = 1; /* a label at the very end never happens in a block that ends */
    for (unsigned i = 0; i < n_refs; i++) {
        unsigned dist = label_at[refs[i].label] - refs[i].at;
        if (w.xop[refs[i].at] == XO_SKIP) w.x[refs[i].at].imm = (int32_t)dist;
        else w.x[refs[i].at].d = (uint16_t)dist;
    }
    if (!eng->cfg.no_fuse && HOST_GNU && !eng->cfg.portable_switch) xcode_fuse(w.xop, w.start, w.n);

    const struct fast_table *table = NULL;
    if (!eng->cfg.portable_switch) table = cpu->world->user ? fast_table_user() : fast_table_sys();
    for (unsigned i = 0; i < w.n; i++) {
        if (!w.start[i]) continue;
        if (table) w.x[i].h = table->base + table->offset[w.xop[i]];
        else w.x[i].op = w.xop[i];
    }
    struct xrec *x = arena_get(arena, w.n * sizeof *x);
    memcpy(x, w.x, w.n * sizeof *x);
    blk->x = blk->records = x;
    eng->low_x = w.x, eng->low_xop = w.xop, eng->low_start = w.start, eng->low_cap = w.cap;
    free(refs);
    if (label_at != labels) free(label_at);
}

void xcode_gate(const struct engine *eng, struct blk *b, unsigned xop)
{
    const struct fast_table *table = NULL;
    b->gate.p = b->records;
    if (!eng->cfg.portable_switch) table = b->user ? fast_table_user() : fast_table_sys();
    if (table) atomic_store_ptr(&b->gate.h, (const void *)(table->base + table->offset[xop]));
    else b->gate.op = xop;
}
