/*
 * x64-tlb.c - system mode: how accesses get from the guest's address to the host's, by way of the TLB.
 *
 * The probe is that of fast-body.h; alignment is folded into the comparison of the tag. Accesses of a block that lie about the
 * same address (a stack frame, the members of a structure) share one: the first of such a group asks whether all of it lies in
 * one page, and notes in the stack frame where that is in host memory. The others find it there, or 0: then each probes for
 * itself, out of line. Where one of them writes the first asks whether the page may be written: then it may be read as well
 * (tlb_fill()). What goes the slow way may change the TLB, so the notes are cleared before; what a group saves can be seen in the
 * speed alone.
 *
 * Not here: the accesses themselves and their slow ways (x64-mem.c).
 */
#include "jit-native/x64.h"

/* All that is known of a value: so much more than another one. */
struct value { uint32_t root; int32_t delta; };

struct page_group {
    uint32_t root;
    uint16_t first, last;        /* ops */
    int32_t at, lo, hi;          /* of the first access; lowest and one past the highest byte: distances from the root */
    uint8_t attr, mmu, size, cell;
    bool write, open, shared;    /* write: by one of them at least */
};

struct x64_pages {
    uint16_t *group;             /* of each op, 1 is groups[0]; 0: none */
    int32_t *at;                 /* of each op with a group: the distance of its address from the root */
    struct page_group *groups;
    unsigned n;
};

/* Groups that are looked through for one that an access fits in. A wider one would too often be in two pages. */
enum { LATEST = 6, SPAN = 256, FAR = 1 << 30 };

/* ---- which accesses belong together ----------------------------------------------------------------- */

static struct value *value_of(struct lower *c, ir_id x)
{
    const struct guest *g = c->g->guest;
    if (ir_is_temp(x)) return &X64(c)->values[g->n_slots + (x - IR_TEMP)];
    return ir_is_slot(x) && g->slots[x].cls == SLOT_GPR ? &X64(c)->values[x] : NULL;
}

static struct value read_value(struct lower *c, ir_id x, uint32_t *roots)
{
    struct value *v = ir_is_const(x) ? NULL : value_of(c, x);
    if (!v) return (struct value){ ++*roots, 0 };
    if (!v->root) *v = (struct value){ ++*roots, 0 };
    return *v;
}

static void write_value(struct lower *c, ir_id x, struct value v)
{
    struct value *to = x == IR_NONE || ir_is_const(x) ? NULL : value_of(c, x);
    if (to) *to = v;
}

static void close_groups(struct x64_pages *p)
{
    for (unsigned i = p->n; i-- > 0 && p->groups[i].open;) p->groups[i].open = false;
}

static void forget_values(struct lower *c) { memset(X64(c)->values, 0, (c->g->guest->n_slots + c->jb->n_temps) * sizeof *X64(c)->values); }

static bool fits(const struct page_group *g, int32_t at, unsigned size)
{
    if (MAX(g->hi, at + (int32_t)size) - MIN(g->lo, at) > SPAN) return false;
    return !(g->attr & IR_MALIGN) || (size <= g->size && !((at - g->at) & (int32_t)(size - 1)));
}

static void access(struct lower *c, struct x64_pages *p, unsigned i, struct value v)
{
    const struct ir_op *o = &c->jb->ops[i];
    bool write = o->op == OP_ST;
    uint8_t attr = o->attr & IR_MALIGN, mmu = (uint8_t)IR_MMU(o), size = (uint8_t)(1u << (o->attr & IR_MSIZE));
    int64_t disp = gen_disp(c->jb, o);

    if (disp >= FAR || disp <= -FAR) return;
    int32_t at = v.delta + (int32_t)disp;
    p->at[i] = at;
    for (unsigned k = p->n; k-- > 0 && p->n - k <= LATEST && p->groups[k].open;) {
        struct page_group *g = &p->groups[k];
        if (g->root != v.root || g->attr != attr || g->mmu != mmu || !fits(g, at, size)) continue;
        g->lo = MIN(g->lo, at), g->hi = MAX(g->hi, at + (int32_t)size);
        g->last = (uint16_t)i, g->shared = true, g->write |= write;
        p->group[i] = (uint16_t)(k + 1);
        return;
    }
    p->groups[p->n++] = (struct page_group){ .root = v.root, .first = (uint16_t)i, .last = (uint16_t)i, .at = at, .lo = at, .hi = at + size,
                                             .attr = attr, .mmu = mmu, .size = size, .write = write, .open = true };
    p->group[i] = (uint16_t)p->n;
}

static void follow(struct lower *c, struct x64_pages *p, unsigned i, uint32_t *roots)
{
    const struct ir_op *o = &c->jb->ops[i];
    struct value v = { 0, 0 };
    uint64_t k;

    switch (o->op) {
    case OP_INSN: return;
    case OP_LABEL:
        close_groups(p);
        forget_values(c);
        return;
    case OP_CALL:
        if (!(c->g->guest->helpers[o->aux].flags & HELPER_PURE)) {
            close_groups(p);
            forget_values(c);
        }
        break;
    case OP_CAS: case OP_RMW: case OP_FETCHF: close_groups(p); break;
    case OP_LD: case OP_ST:
        v = read_value(c, o->a, roots);
        if (v.delta < FAR && v.delta > -FAR && !ir_is_const(o->a)) access(c, p, i, v);
        v.root = 0;
        break;
    case OP_LD2: write_value(c, o->c, v); break;
    case OP_MOV:
        if (!ir_is_const(o->a) && !(o->attr & GEN_ZX)) v = read_value(c, o->a, roots);
        break;
    case OP_ADD: case OP_SUB:
        if (o->type != c->g->guest->addr_type || (o->attr & GEN_ZX) || ir_is_const(o->a) || !lower_const(c, o->b, &k) || (int64_t)k != (int32_t)k) break;
        v = read_value(c, o->a, roots);
        if (v.delta >= FAR || v.delta <= -FAR || (int32_t)k >= FAR || (int32_t)k <= -FAR) v.root = 0;
        else v.delta += o->op == OP_ADD ? (int32_t)k : -(int32_t)k;
        break;
    default: break;
    }
    if (o->d != IR_NONE) write_value(c, o->d, v);
}

/* Each group's place in the stack frame, as long as there are some. */
static void give_cells(struct x64_pages *p)
{
    uint16_t until[PAGE_CELLS] = { 0 };
    for (unsigned k = 0; k < p->n; k++) {
        struct page_group *g = &p->groups[k];
        unsigned n = 0;
        while (n < PAGE_CELLS && until[n] > g->first) n++;
        if (!g->shared || n == PAGE_CELLS) {
            for (unsigned i = g->first; i <= g->last; i++) {
                if (p->group[i] == k + 1) p->group[i] = 0;
            }
            g->first = g->last = 0;
            continue;
        }
        g->cell = (uint8_t)n;
        until[n] = g->last;
    }
}

void x64_pages_region(struct lower *c)
{
    unsigned max_temps = 0;
    for (unsigned k = 0; k < c->g->r->n; k++) max_temps = MAX(max_temps, (unsigned)c->g->r->blocks[k].n_temps);
    X64(c)->pages = arena_get(&c->g->arena, c->g->r->n * sizeof *X64(c)->pages);
    X64(c)->values = arena_get(&c->g->arena, (c->g->guest->n_slots + max_temps) * sizeof *X64(c)->values);
}

void x64_pages_block(struct lower *c)
{
    const struct jit_block *jb = c->jb;
    unsigned n = 0;
    uint32_t roots = 0;

    X64(c)->pages[c->k] = NULL;
    if (c->g->r->user) return;
    for (unsigned i = 0; i < jb->n_ops; i++) n += jb->ops[i].op == OP_LD || jb->ops[i].op == OP_ST;
    if (n < 2) return;
    struct x64_pages *p = arena_get(&c->g->arena, sizeof *p);
    *p = (struct x64_pages){ .group = arena_get(&c->g->arena, jb->n_ops * sizeof *p->group), .at = arena_get(&c->g->arena, jb->n_ops * sizeof *p->at),
                             .groups = arena_get(&c->g->arena, n * sizeof *p->groups) };
    memset(p->group, 0, jb->n_ops * sizeof *p->group);
    forget_values(c);
    for (unsigned i = 0; i < jb->n_ops; i++) follow(c, p, i, &roots);
    give_cells(p);
    X64(c)->pages[c->k] = p;
}

static const struct page_group *group_of(const struct lower *c)
{
    const struct x64_pages *p = X64_CONST(c)->pages[c->k];
    return p && p->group[c->i] ? &p->groups[p->group[c->i] - 1] : NULL;
}

/* ---- the probe ---------------------------------------------------------------------------------------- */

static struct x64_mem cell(const struct page_group *g) { return x64_at(RSP, AT_PAGES + 8 * g->cell); }

/* The address, but for a displacement, in a register. k->arg: see outside() in x64-mem.c. */
static unsigned address(struct lower *c, struct cold *k, int32_t *disp)
{
    const struct ir_op *o = c->o;
    bool w = (o->aux & IR_A64) != 0;
    uint64_t v;

    *disp = (int32_t)gen_disp(c->jb, o);
    if (lower_const(c, o->a, &v) || (!w && *disp) || *disp >= FAR || *disp <= -FAR) {
        x64_address(c, RAX, w);
        *disp = 0;
        return RAX;
    }
    unsigned base = x64_use(c, o->a, RAX);
    k->arg = base == RAX ? -1 : (int64_t)base;
    return base;
}

/* Is all from `lo` to `hi` bytes behind the address in one page, which may be accessed so? Then rcx: how far the host's memory is
 * from the guest's. If not: to k. hi is the last byte, or with IR_MALIGN the distance of the last unit as large as the access. */
static struct x64_mem probe(struct lower *c, struct cold *k, size_t tag, unsigned size, int32_t lo, int32_t hi)
{
    struct emit *e = &c->e;
    bool w = (c->o->aux & IR_A64) != 0, align = (c->o->attr & IR_MALIGN) != 0;
    int32_t disp;
    unsigned base = address(c, k, &disp);

    if (!(disp + lo) && c->h->has.bmi2) {
        x64_vex(e, 0xf0 | X_0F3A | X_F2, false, RCX, 0, x64_r(base)); /* rorx */
        emit_byte(e, CPU_PAGE_BITS - 5);
    } else {
        if (disp + lo) x64_lea(e, false, RCX, x64_at(base, disp + lo));
        else x64_mov(e, false, RCX, base);
        x64_shift_imm(e, SH_SHR, false, x64_r(RCX), CPU_PAGE_BITS - 5);
    }
    x64_alu_imm(e, ALU_AND, false, x64_r(RCX), (int32_t)((TLB_SIZE - 1) << 5));
    if (disp + hi) x64_lea(e, w, RDX, x64_at(base, disp + hi));
    else x64_mov(e, w, RDX, base);
    x64_alu_imm(e, ALU_AND, w, x64_r(RDX), (int32_t)((uint32_t)CPU_PAGE_MASK | (align ? size - 1 : 0)));
    x64_alu(e, ALU_CMP, true, RDX, x64_m(x64_at2(R14, RCX, 0, (int32_t)tag)));
    x64_jcc(e, X_NZ, k->label);
    x64_op(e, 0x8b, true, RCX, x64_m(x64_at2(R14, RCX, 0, (int32_t)offsetof(struct tlb_entry, addend))));
    return x64_at2(RCX, base, 0, disp);
}

static struct x64_mem probe_one(struct lower *c, struct cold *k, size_t tag, unsigned size)
{
    return probe(c, k, tag, size, 0, (c->o->attr & IR_MALIGN) ? 0 : (int32_t)size - 1);
}

static size_t tag_of(bool write) { return write ? offsetof(struct tlb_entry, wr) : offsetof(struct tlb_entry, rd); }

/* Its group is not in one page, or something has come between. */
static void cold_alone(struct lower *c, const struct cold *k)
{
    const struct x64_pages *p = X64_CONST(c)->pages[c->k];
    const struct page_group *g = group_of(c);
    unsigned size = 1u << (c->o->attr & IR_MSIZE);

    if (g->first == c->i) x64_op_imm(&c->e, 0xc7, true, 0, x64_m(cell(g)), 4, 0);
    struct cold *slow = lower_cold(c, x64_slow_access);
    slow->back = k->back;
    struct x64_mem m = probe_one(c, slow, tag_of(c->o->op == OP_ST), size);
    m.disp -= p->at[c->i];
    x64_lea(&c->e, true, RCX, m);
    emit_jump(&c->e, k->more);
}

struct x64_mem x64_tlb_address(struct lower *c, cold_fn slow, size_t tag, unsigned size, struct cold **k)
{
    const struct page_group *g = group_of(c);
    struct emit *e = &c->e;

    (void)lower_point(c);
    if (!g) {
        *k = lower_cold(c, slow);
        return probe_one(c, *k, tag, size);
    }
    int32_t at = X64(c)->pages[c->k]->at[c->i];
    *k = lower_cold(c, cold_alone);
    (*k)->more = emit_label(e);
    if (g->first == c->i) {
        int32_t last = g->hi - 1 - at;
        struct x64_mem m = probe(c, *k, tag_of(g->write), size, g->lo - at, g->attr & IR_MALIGN ? last & ~((int32_t)size - 1) : last);
        m.disp -= at;
        x64_lea(e, true, RCX, m);
        x64_op(e, 0x89, true, RCX, x64_m(cell(g)));
    } else {
        x64_op(e, 0x8b, true, RCX, x64_m(cell(g)));
        x64_test(e, true, RCX, RCX);
        x64_jcc(e, X_Z, (*k)->label);
    }
    emit_place(e, (*k)->more);
    return x64_at(RCX, at);
}

void x64_tlb_forget(struct lower *c)
{
    const struct x64_pages *p = X64_CONST(c)->pages[c->k];
    for (unsigned i = 0; p && i < p->n; i++) {
        const struct page_group *g = &p->groups[i];
        if (g->first <= c->i && c->i < g->last) x64_op_imm(&c->e, 0xc7, true, 0, x64_m(cell(g)), 4, 0);
    }
}
