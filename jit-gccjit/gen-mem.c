/*
 * gen-mem.c - guest memory: directly in user mode, by the software TLB in system mode, with the slow paths of interp/jit.h.
 *
 * In user mode any access may end in a host fault. On x86-64 it is an asm statement that has all variables whose cells are
 * stale as further operands and writes down, in the section .quern.map, where the compiler put them: nothing is stored, and
 * backend.c finds the state by the address of the fault. An entry is: offset of the access in the function, number of
 * the region, point (these three 32 bits; GJ_AGAIN in the point: the state is that of an earlier unit, from which on all is done
 * again), then text: offset,bytes,operand-less; for each cell (less: what is to be subtracted from it), and a zero. Elsewhere the variables are
 * stored in front of each access. All accesses are volatile: the compiler must not move one over another.
 */
#include "jit-gccjit/gen.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What an access needs to have stored, and the point; clean: what has been stored counts as such afterwards. */
void gen_sync(struct gen *g, unsigned mark, bool clean)
{
    unsigned point = g->r->blocks[g->b].first_mark + mark;
    for (unsigned i = 0; i < g->n_cells; i++) {
        if (!set_has(&g->f.dirty, i)) continue;
        if (i == g->ic && gen_uncharged(g)) {
            gj_rv *v = gx_bin(g, GCC_JIT_BINARY_OP_MINUS, g->i64, gen_cell_value(g, i), gx_int(g, g->i64, gen_uncharged(g)));
            gen_cell_store(g, g->cell[i].offset, g->i64, v, g->r->h->user);
        } else {
            gen_cell_spill(g, i);
        }
        if (clean) set_del(&g->f.dirty, i);
    }
    if (g->f.point != (int)point || !clean) {
        gj_rv *p = gx_cast(g, gen_table(g, gjt_points(g->r->h->n_blocks) + point, g->u64), g->u32);
        gen_cell_store(g, offsetof(struct cpu, xpoint), g->u32, p, true);
        if (clean) g->f.point = (int)point;
    }
}

static gcc_jit_type *mem_type(struct gen *g, unsigned mem, bool is_signed)
{
    switch (mem & IR_MSIZE) {
    case IR_M8: return is_signed ? g->i8 : g->u8;
    case IR_M16: return is_signed ? g->i16 : g->u16;
    case IR_M32: return is_signed ? g->i32 : g->u32;
    default: return is_signed ? g->i64 : g->u64;
    }
}

static gj_rv *swapped(struct gen *g, gj_rv *v, unsigned mem)
{
    const char *name = (mem & IR_MSIZE) == IR_M16 ? "__builtin_bswap16" : (mem & IR_MSIZE) == IR_M32 ? "__builtin_bswap32" : "__builtin_bswap64";
    if ((mem & IR_MSIZE) == IR_M8 || !(mem & IR_MBE) == !HOST_BE) return v;
    v = gcc_jit_context_new_call(g->ctx, NULL, gcc_jit_context_get_builtin_function(g->ctx, name), 1, &v);
    return gx_cast(g, v, mem_type(g, mem, false));
}

static void fence(struct gen *g)
{
    gcc_jit_function *f = gcc_jit_context_get_builtin_function(g->ctx, "__sync_synchronize");
    gcc_jit_block_add_eval(g->blk, NULL, gcc_jit_context_new_call(g->ctx, NULL, f, 0, NULL));
}

static bool host_adds_disp(const struct gen *, const struct ir_op *);

/* The address as u64, without what the host adds, which is *host_disp. */
static gj_rv *address(struct gen *g, const struct ir_op *o, int *host_disp)
{
    gcc_jit_type *t = o->aux & IR_A64 ? g->u64 : g->u32;
    gj_rv *a = ir_is_slot(o->a) && g->cell[o->a].wide ? gcc_jit_lvalue_as_rvalue(g->cell[o->a].var) : gen_read(g, o->a).r;
    int disp = o->op == OP_CAS || o->op == OP_RMW ? 0 : IR_DISP(o);

    *host_disp = 0;
    if (host_adds_disp(g, o)) {
        struct gen_txn *x = &g->txn;
        *host_disp = disp;
        disp = 0;
        /* A pointer that goes through the rounds of a loop stays where it is meanwhile. */
        if (ir_is_slot(o->a) && gen_goes_back(g) && set_has(&x->stepped, o->a) && llabs(x->step[o->a] + *host_disp) < (int64_t)CPU_GUARD / 2) {
            set_add(&x->based, o->a);
            *host_disp += (int)x->step[o->a];
            a = gcc_jit_lvalue_as_rvalue(x->old[o->a]);
        }
    }
    if (disp) a = gx_bin(g, GCC_JIT_BINARY_OP_PLUS, t, gx_cast(g, a, t), gx_int(g, t, (uint64_t)(int64_t)disp));
    gj_lv *v = gx_var(g, g->u64);
    gx_set(g, v, gx_cast(g, a, g->u64));
    return gcc_jit_lvalue_as_rvalue(v);
}

static gj_rv *and64(struct gen *g, gj_rv *x, uint64_t k) { return gx_bin(g, GCC_JIT_BINARY_OP_BITWISE_AND, g->u64, x, gx_int(g, g->u64, k)); }

static gj_lv *at_pointer(struct gen *g, gj_rv *base, gj_rv *index, gcc_jit_type *t)
{
    gj_rv *p = gcc_jit_lvalue_get_address(gcc_jit_context_new_array_access(g->ctx, NULL, base, index), NULL);
    gcc_jit_type *v = gcc_jit_type_get_pointer(gcc_jit_type_get_volatile(t));
    return gcc_jit_rvalue_dereference(gx_cast(g, p, v), NULL);
}

static gj_rv *service(struct gen *g, unsigned index, gcc_jit_type *fn, unsigned n, gj_rv **arg)
{
    return gcc_jit_context_new_call_through_ptr(g->ctx, NULL, gen_table(g, index, fn), (int)n, arg);
}

/* The slow path, in the block that is being filled: the loaded value, or NULL. */
static gj_rv *slow(struct gen *g, const struct ir_op *o, gj_rv *va)
{
    unsigned mem = o->attr;
    if (o->op == OP_LD) {
        gj_rv *arg[] = { g->cpu, va, gx_int(g, g->u32, mem), gx_int(g, g->u32, IR_MMU(o)) };
        return service(g, GJT_LD, g->fn_ld, 4, arg);
    }
    gj_rv *arg[] = { g->cpu, va, gen_u64(g, o->b), gx_int(g, g->u32, mem & ~(unsigned)IR_MS), gx_int(g, g->u32, IR_MMU(o)) };
    gcc_jit_block_add_eval(g->blk, NULL, service(g, GJT_ST, g->fn_st, 5, arg));
    return NULL;
}

#if GJ_MAPS
enum { MAX_MAPPED = 24 }; /* an asm statement has at most 30 operands */

/* The asm statement of an access; `insn` has three operands of its own, which the caller adds first. No memory operand: libgccjit 12
 * does not survive one; nothing else in the function touches guest memory but calls, over which volatile asm is not moved. */
static gcc_jit_extended_asm *mapped(struct gen *g, unsigned mark, const char *insn, unsigned *cells, unsigned *n_cells)
{
    char text[2048];
    size_t n;
    const bool again = gen_goes_back(g);
    const struct gen_set *dirty = again ? &g->txn.dirty : &g->f.dirty;

    *n_cells = 0;
    for (unsigned i = 0; i < g->n_cells; i++) {
        if (set_has(dirty, i) && *n_cells < MAX_MAPPED) cells[(*n_cells)++] = i;
    }
    n = (size_t)snprintf(text, sizeof text, "771: %s\n\t.pushsection .quern.map,\"\",@progbits\n\t.long 771b-r%u,%u,%u\n\t.asciz \"", insn, g->number, g->number,
                         (g->r->blocks[g->b].first_mark + (again ? g->txn.mark : mark)) | (again ? GJ_AGAIN : 0));
    for (unsigned i = 0; i < *n_cells; i++) {
        const struct gen_cell *c = &g->cell[cells[i]];
        bool step = again && set_has(&g->txn.stepped, cells[i]) && !set_has(&g->txn.based, cells[i]);
        int64_t less = cells[i] == g->ic ? again ? g->txn.charge : gen_uncharged(g) : step ? g->txn.step[cells[i]] : 0;
        n += (size_t)snprintf(text + n, sizeof text - n, "%u,%u,%%%u-%" PRId64 ";", (unsigned)c->offset, c->type == T_I64 ? 8u : 4u, i + 3, less);
    }
    snprintf(text + n, sizeof text - n, "\"\n\t.popsection");
    gcc_jit_extended_asm *a = gcc_jit_block_add_extended_asm(g->blk, NULL, text);
    gcc_jit_extended_asm_set_volatile_flag(a, 1);
    return a;
}

static void add_cells(struct gen *g, gcc_jit_extended_asm *a, const unsigned *cells, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct gen_cell *c = &g->cell[cells[i]];
        bool old = gen_goes_back(g) && set_has(&g->txn.changed, cells[i]) && (!set_has(&g->txn.stepped, cells[i]) || set_has(&g->txn.based, cells[i]));
        gj_lv *v = old ? g->txn.old[cells[i]] : c->var;
        gcc_jit_extended_asm_add_input_operand(a, NULL, c->kind == KIND_FLOAT ? gx_in_float(true) : "rmn", gcc_jit_lvalue_as_rvalue(v));
    }
}

/* What does not go into an asm statement is stored. */
static void store_rest(struct gen *g)
{
    unsigned n = 0, then = 0;
    for (unsigned i = g->n_cells; i-- > 0;) n += set_has(&g->f.dirty, i), then += set_has(&g->txn.dirty, i);
    if (g->txn.watch && (n > MAX_MAPPED || then > MAX_MAPPED)) gen_txn_stop(g);
    for (unsigned i = 0; i < g->n_cells && n > MAX_MAPPED; i++) {
        if (!set_has(&g->f.dirty, i)) continue;
        gen_cell_spill(g, i);
        set_del(&g->f.dirty, i);
        n--;
    }
}

static bool float_cell(struct gen *g, ir_id x) { return ir_is_temp(x) ? g->temp_kind[x - IR_TEMP] == KIND_FLOAT : ir_is_slot(x) && g->cell[x].kind == KIND_FLOAT; }

/* Is it a float that goes to or comes from a variable of that kind? */
static bool float_access(struct gen *g, const struct ir_op *o)
{
    return !((o->attr & IR_MBE)) && (o->attr & IR_MSIZE) == (o->type == T_I64 ? IR_M64 : IR_M32) && float_cell(g, o->op == OP_LD ? o->d : o->b);
}

/* Addresses of 32 bits, not to be looked at before: what the displacement leads to beyond them is in the guard areas (cpu.h), where
 * a fault makes the interpreter do it. So it can be the host's. */
static bool host_adds_disp(const struct gen *g, const struct ir_op *o)
{
    return g->maps && (o->op == OP_LD || o->op == OP_ST) && !(o->aux & IR_A64) && !((o->attr & IR_MALIGN) && (o->attr & IR_MSIZE) != IR_M8);
}

static void mapped_access(struct gen *g, const struct ir_op *o, unsigned mark, gj_rv *base, gj_rv *va, int disp, gj_lv *as_float, gj_lv *loaded)
{
    const unsigned size = o->attr & IR_MSIZE;
    const bool swap = (o->attr & IR_MBE) && size, is_load = o->op == OP_LD;
    const bool fp = float_access(g, o);
    gcc_jit_type *t = mem_type(g, o->attr, false);
    static const char *const ld[] = { "movzbl %d(%%1,%%2),%%0", "movzwl %d(%%1,%%2),%%0", "movl %d(%%1,%%2),%%0", "movq %d(%%1,%%2),%%0" };
    static const char *const st[] = { "movb %%b2,%d(%%0,%%1)", "movw %%w2,%d(%%0,%%1)", "movl %%k2,%d(%%0,%%1)", "movq %%2,%d(%%0,%%1)" };
    const char *form = is_load ? ld[size] : st[size];
    char insn[48];
    unsigned cells[MAX_MAPPED], n;

    if (fp && is_load) form = size == IR_M64 ? "vmovsd %d(%%1,%%2),%%0" : "vmovss %d(%%1,%%2),%%0";
    else if (fp) form = size == IR_M64 ? "vmovsd %%2,%d(%%0,%%1)" : "vmovss %%2,%d(%%0,%%1)";
    snprintf(insn, sizeof insn, fp && gx_simd() == SIMD_PLAIN ? form + 1 : form, disp);

    store_rest(g);
    if (is_load) {
        gj_lv *v = fp ? as_float : gx_var(g, size == IR_M64 ? g->u64 : g->u32);
        gcc_jit_extended_asm *a = mapped(g, mark, insn, cells, &n);
        gcc_jit_extended_asm_add_output_operand(a, NULL, !fp ? "=r" : gx_simd() == SIMD_AVX512 ? "=v" : "=x", v);
        gcc_jit_extended_asm_add_input_operand(a, NULL, "r", base);
        gcc_jit_extended_asm_add_input_operand(a, NULL, "r", va);
        add_cells(g, a, cells, n);
        if (fp) return;
        gj_rv *x = gx_cast(g, gcc_jit_lvalue_as_rvalue(v), t);
        if (swap) {
            gj_lv *raw = gx_var(g, t);
            gx_set(g, raw, x);
            x = swapped(g, gcc_jit_lvalue_as_rvalue(raw), o->attr);
        }
        if (o->attr & IR_MS) x = gx_cast(g, gx_cast(g, x, mem_type(g, o->attr, true)), o->type == T_I64 ? g->i64 : g->i32);
        gx_set(g, loaded, gx_cast(g, x, o->type == T_I64 ? g->u64 : g->u32));
        return;
    }
    gj_rv *v = fp ? gen_read_float(g, o->b) : swapped(g, gx_cast(g, gen_read(g, o->b).r, t), o->attr);
    if (!fp) v = gx_cast(g, v, size == IR_M64 ? g->u64 : g->u32);
    gj_lv *w = gx_var(g, gcc_jit_rvalue_get_type(v));
    gx_set(g, w, v);
    gcc_jit_extended_asm *a = mapped(g, mark, insn, cells, &n);
    gcc_jit_extended_asm_add_input_operand(a, NULL, "r", base);
    gcc_jit_extended_asm_add_input_operand(a, NULL, "r", va);
    gcc_jit_extended_asm_add_input_operand(a, NULL, fp ? gx_in_float(false) : "r", gcc_jit_lvalue_as_rvalue(w));
    add_cells(g, a, cells, n);
}
#else
static bool host_adds_disp(const struct gen *g, const struct ir_op *o) { return (void)g, (void)o, false; }
static bool float_access(struct gen *g, const struct ir_op *o) { return (void)g, (void)o, false; }
static void mapped_access(struct gen *g, const struct ir_op *o, unsigned mark, gj_rv *base, gj_rv *va, int disp, gj_lv *as_float, gj_lv *loaded)
{
    (void)disp, (void)g, (void)o, (void)mark, (void)base, (void)va, (void)as_float, (void)loaded;
}
#endif

static void load_store(struct gen *g, unsigned at, const struct ir_op *o, unsigned mark)
{
    const bool user = g->r->h->user, is_load = o->op == OP_LD;
    const unsigned size = 1u << (o->attr & IR_MSIZE);
    gcc_jit_type *t = mem_type(g, o->attr, false), *cell = o->type == T_I64 ? g->u64 : g->u32;
    int disp;
    gj_rv *va = address(g, o, &disp), *ok = NULL, *base = NULL;
    gcc_jit_block *fast = NULL, *rare = NULL, *on = gx_block(g);
    gj_lv *loaded = is_load ? gx_var(g, cell) : NULL, *as_float = NULL;

    if (g->maps && is_load && float_access(g, o)) as_float = gx_var(g, o->type == T_I64 ? g->f64 : g->f32);

    if (user) {
        base = gcc_jit_lvalue_as_rvalue(g->ubase);
        if (o->aux & IR_A64) {
            gj_rv *limit = gx_bin(g, GCC_JIT_BINARY_OP_MINUS, g->u64, gcc_jit_lvalue_as_rvalue(g->ulimit), gx_int(g, g->u64, size - 1));
            ok = gx_cmp(g, GCC_JIT_COMPARISON_LT, va, limit);
        }
        if ((o->attr & IR_MALIGN) && size > 1) {
            if (ok) {
                gcc_jit_block *inside = gx_block(g);
                rare = gx_block(g);
                gx_branch(g, ok, inside, rare, 0);
                g->blk = inside;
            }
            ok = gx_cmp(g, GCC_JIT_COMPARISON_EQ, and64(g, va, size - 1), gx_int(g, g->u64, 0));
        }
    } else if (IR_MMU(o) == g->mmu) {
        gj_rv *index = and64(g, gx_bin(g, GCC_JIT_BINARY_OP_RSHIFT, g->u64, va, gx_int(g, g->u64, CPU_PAGE_BITS)), TLB_SIZE - 1);
        index = gx_bin(g, GCC_JIT_BINARY_OP_MULT, g->u64, index, gx_int(g, g->u64, sizeof(struct tlb_entry)));
        gj_rv *e = gcc_jit_lvalue_get_address(gcc_jit_context_new_array_access(g->ctx, NULL, gcc_jit_lvalue_as_rvalue(g->tlb), index), NULL);
        gj_lv *entry = gx_var(g, g->u8p);
        gx_set(g, entry, e);
        size_t tag_at = is_load ? offsetof(struct tlb_entry, rd) : offsetof(struct tlb_entry, wr);
        gj_rv *tag = gcc_jit_lvalue_as_rvalue(at_pointer(g, gcc_jit_lvalue_as_rvalue(entry), gx_int(g, g->u64, tag_at), g->u64));
        gj_rv *want = o->attr & IR_MALIGN ? and64(g, va, CPU_PAGE_MASK | (size - 1))
                                          : and64(g, gx_bin(g, GCC_JIT_BINARY_OP_PLUS, g->u64, va, gx_int(g, g->u64, size - 1)), CPU_PAGE_MASK);
        ok = gx_cmp(g, GCC_JIT_COMPARISON_EQ, tag, want);
        gj_lv *addend = at_pointer(g, gcc_jit_lvalue_as_rvalue(entry), gx_int(g, g->u64, offsetof(struct tlb_entry, addend)), g->u8p);
        base = gcc_jit_lvalue_as_rvalue(addend);
    }
    if (base) fast = gx_block(g);
    if ((!base || ok) && !rare) rare = gx_block(g);
    if (!base) gx_jump(g, rare);
    else if (ok) gx_branch(g, ok, fast, rare, 0);
    else gx_jump(g, fast);

    if (!base || ok) { /* out of line; leaves the flow as it was */
        struct gen_flow keep = g->f;
        g->blk = rare;
        gj_rv *v = NULL;
        if (gen_goes_back(g)) {
            gx_jump(g, gen_fp_fail(g, at));
        } else {
            gen_sync(g, mark, false);
            v = slow(g, o, va);
        }
        if (v && as_float) gx_set(g, as_float, gx_bits(g, gx_cast(g, v, cell), gcc_jit_rvalue_get_type(gcc_jit_lvalue_as_rvalue(as_float))));
        else if (v) gx_set(g, loaded, gx_cast(g, v, cell));
        gx_jump(g, on);
        g->f = keep;
        g->f.point = -1;
    }
    if (base) {
        g->blk = fast;
        if (user && !g->maps) gen_sync(g, mark, true);
        if (g->maps) {
            mapped_access(g, o, mark, base, va, disp, as_float, loaded);
            if (o->op == OP_ST && (o->attr & IR_MSEQ)) fence(g);
        } else if (is_load) {
            gj_lv *v = gx_var(g, t);
            gx_set(g, v, swapped(g, gcc_jit_lvalue_as_rvalue(at_pointer(g, base, va, t)), o->attr));
            gj_rv *x = gcc_jit_lvalue_as_rvalue(v);
            if (o->attr & IR_MS) x = gx_cast(g, gx_cast(g, x, mem_type(g, o->attr, true)), o->type == T_I64 ? g->i64 : g->i32);
            gx_set(g, loaded, gx_cast(g, x, cell));
            if ((o->attr & IR_MORDER) && !HOST_TSO) fence(g);
        } else {
            if ((o->attr & IR_MORDER) && !HOST_TSO) fence(g);
            gx_set(g, at_pointer(g, base, va, t), swapped(g, gx_cast(g, gen_read(g, o->b).r, t), o->attr));
            if (o->attr & IR_MSEQ) fence(g);
        }
        gx_jump(g, on);
    }
    g->blk = on;
    if (is_load) gen_write(g, o->d, gcc_jit_lvalue_as_rvalue(as_float ? as_float : loaded), as_float != NULL);
}

void gen_mem(struct gen *g, unsigned at, unsigned mark)
{
    const struct ir_op *o = &g->r->blocks[g->b].ops[at];
    gcc_jit_type *cell = o->type == T_I64 ? g->u64 : g->u32;
    gj_rv *v = NULL;

    switch (o->op) {
    case OP_LD:
    case OP_ST: load_store(g, at, o, mark); return;
    case OP_FENCE:
        if (!HOST_TSO || (o->aux & IR_FENCE_WR)) fence(g);
        return;
    case OP_CAS: {
        int disp;
        gj_rv *va = address(g, o, &disp);
        gen_sync(g, mark, true);
        gj_rv *arg[] = { g->cpu, va, gen_u64(g, o->b), gen_u64(g, o->c), gx_int(g, g->u32, o->attr), gx_int(g, g->u32, IR_MMU(o)) };
        v = service(g, GJT_CAS, g->fn_cas, 6, arg);
        break;
    }
    default: { /* RMW */
        int disp;
        gj_rv *va = address(g, o, &disp);
        gen_sync(g, mark, true);
        gj_rv *arg[] = { g->cpu, va, gen_u64(g, o->b), gx_int(g, g->u32, o->aux >> 28), gx_int(g, g->u32, o->attr), gx_int(g, g->u32, IR_MMU(o)) };
        v = service(g, GJT_RMW, g->fn_rmw, 6, arg);
    }
    }
    gj_lv *old = gx_var(g, cell);
    gx_set(g, old, gx_cast(g, v, cell));
    gen_write(g, o->d, gcc_jit_lvalue_as_rvalue(old), false);
}
