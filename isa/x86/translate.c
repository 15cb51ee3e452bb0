/*
 * translate.c - x86 to IR: the block loop, fetching and decoding, operands, addresses, ways out.
 *
 * The bodies are in translate-*.c by topic, named in the table. How instructions behave follows the Intel SDM volume 2;
 * how blocks are formed follows isa/isa.h. System mode's part is translate-system.c.
 */
#include "isa/x86/translate.h"

#include "isa/x86/sys.h"

/* ---- values ---- */

ir_id x_zx(const struct x86_tr *t, ir_id x, unsigned bytes)
{
    switch (bytes) {
    case 1: return x1(t, OP_ZX8, x);
    case 2: return x1(t, OP_ZX16, x);
    case 4: return t->cells64 ? x1(t, OP_ZX32, x) : x;
    default: return x;
    }
}

ir_id x_sx(const struct x86_tr *t, ir_id x, unsigned bytes)
{
    switch (bytes) {
    case 1: return x1(t, OP_SX8, x);
    case 2: return x1(t, OP_SX16, x);
    case 4: return t->cells64 ? x1(t, OP_SX32, x) : x;
    default: return x;
    }
}

void x_forget(struct x86_tr *t, ir_id slot)
{
    if (t->cc.a == slot) t->cc.a = IR_NONE;
}

ir_id x_reg(const struct x86_tr *t, unsigned n, unsigned bytes, bool high)
{
    if (bytes == 1 && high && n >= 4 && n < 8) return ir_bits(t->b, OP_EXTRACT, t->w, xt(t), (ir_id)(XR_GPR0 + n - 4), 8, 8);
    return (ir_id)(XR_GPR0 + n);
}

void x_set_reg(struct x86_tr *t, unsigned n, unsigned bytes, bool high, ir_id v)
{
    unsigned pos = 0;

    if (bytes == 1 && high && n >= 4 && n < 8) n -= 4, pos = 8;
    ir_id slot = (ir_id)(XR_GPR0 + n);
    x_forget(t, slot);
    if (bytes < 4) ir_deposit(t->b, t->w, slot, slot, v, pos, 8 * bytes);
    else if (bytes == 4 && t->cells64 && v != t->zx) ir_op1(t->b, OP_ZX32, T_I64, slot, v);
    else ir_mov(t->b, t->w, slot, v);
}

ir_id x_whole(struct x86_tr *t, unsigned bytes, ir_id r)
{
    if (bytes == 4 && t->cells64) t->zx = r = x_zx(t, r, 4);
    return r;
}

void x_set_full(struct x86_tr *t, unsigned n, ir_id v)
{
    x_forget(t, (ir_id)(XR_GPR0 + n));
    ir_mov(t->b, t->w, (ir_id)(XR_GPR0 + n), v);
}

/* ---- addresses ---- */

static ir_id cut_address(const struct x86_tr *t, ir_id x) { return x_zx(t, x, t->i.asize); }

static bool has_base(const struct x86_tr *t, unsigned seg)
{
    if (seg >= 4) return true;
    return t->mode != X86_64 && t->key >> (XK_BASE_SHIFT + seg) & 1;
}

unsigned x_data_segment(const struct x86_tr *t)
{
    if (t->i.seg != X86_NO_REG) return t->i.seg;
    return t->i.base == 4 || t->i.base == 5 ? 2 : 3;
}

/* Sum of registers without displacement, uncut; NULL-like IR_NONE when there are none. */
static ir_id registers_sum(struct x86_tr *t)
{
    ir_id sum = IR_NONE;

    if (t->i.base != X86_NO_REG && t->i.base != X86_RIP) sum = (ir_id)(XR_GPR0 + t->i.base);
    if (t->i.index != X86_NO_REG) {
        ir_id x = (ir_id)(XR_GPR0 + t->i.index);
        if (t->i.scale) x = x2(t, OP_SHL, x, xk(t, t->i.scale));
        sum = sum == IR_NONE ? x : x2(t, OP_ADD, sum, x);
    }
    return sum;
}

ir_id x_linear(struct x86_tr *t, ir_id offset, unsigned seg)
{
    if (!has_base(t, seg)) return offset;
    ir_id sum = x2(t, OP_ADD, offset, (ir_id)(XR_SEG_BASE + seg));
    return t->cells64 && t->mode != X86_64 ? x1(t, OP_ZX32, sum) : sum;
}

ir_id x_offset(struct x86_tr *t)
{
    ir_id sum = registers_sum(t);
    uint64_t disp = (uint64_t)t->i.disp;

    if (t->i.base == X86_RIP) disp += t->next;
    if (sum == IR_NONE) {
        unsigned bits = 8u * t->i.asize;
        return xk(t, bits == 64 ? disp : disp & ((UINT64_C(1) << bits) - 1));
    }
    if (disp) sum = x2(t, OP_ADD, sum, xk(t, disp));
    return cut_address(t, sum);
}

void x_address(struct x86_tr *t)
{
    unsigned seg = x_data_segment(t);

    if (t->have_ea) return;
    t->have_ea = true;
    t->ea_disp = 0;
    /* full-width sums wrap as the memory operations do, which take small displacements */
    bool full = t->i.asize == (t->cells64 ? 8 : 4) && t->i.base != X86_RIP;
    if (full && t->i.disp == (int16_t)t->i.disp) {
        ir_id sum = registers_sum(t);
        if (sum != IR_NONE) {
            t->ea = has_base(t, seg) ? x_linear(t, sum, seg) : sum;
            t->ea_disp = (int)t->i.disp;
            return;
        }
    }
    t->ea = x_linear(t, x_offset(t), seg);
}

ir_id x_ea(struct x86_tr *t)
{
    x_address(t);
    if (!t->ea_disp) return t->ea;
    return x2(t, OP_ADD, t->ea, xk(t, (uint64_t)(int64_t)t->ea_disp));
}

/* Moffs has its offset in disp and no registers. */
ir_id x_ld(struct x86_tr *t, unsigned bytes)
{
    x_address(t);
    return ir_ld(t->b, t->w, xt(t), t->ea, t->ea_disp, x_log2(bytes), t->mmu);
}

void x_st(struct x86_tr *t, unsigned bytes, ir_id v)
{
    x_address(t);
    ir_st(t->b, t->w, v, t->ea, t->ea_disp, x_log2(bytes), t->mmu);
}

/* ---- operands ---- */

unsigned x_bytes(const struct x86_tr *t, unsigned k) { return x86_size_bytes(&t->i, t->i.form->op[k].size); }

/* Are byte registers 4 to 7 ah, ch, dh, bh here? */
static bool high_bytes(const struct x86_tr *t) { return !t->i.rex; }

ir_id x_get(struct x86_tr *t, unsigned k)
{
    const struct x86_operand *o = &t->i.form->op[k];
    unsigned bytes = x_bytes(t, k);

    switch (o->what) {
    case XO_E: case XO_M: case XO_O:
        if (x86_op_is_mem(&t->i, o)) return x_ld(t, bytes);
        return x_reg(t, t->i.rm, o->size == XS_DB ? 4 : bytes, high_bytes(t));
    case XO_R: case XO_Z: return x_reg(t, t->i.rm, bytes, high_bytes(t));
    case XO_G: return x_reg(t, t->i.reg, bytes, high_bytes(t));
    case XO_B: return x_reg(t, t->i.vvvv, bytes, false);
    case XO_REG: return x_reg(t, o->n, bytes, false);
    case XO_ONE: return xk(t, 1);
    default: return xk(t, (uint64_t)t->i.imm);
    }
}

void x_set(struct x86_tr *t, unsigned k, ir_id v)
{
    const struct x86_operand *o = &t->i.form->op[k];
    unsigned bytes = x_bytes(t, k);

    switch (o->what) {
    case XO_E: case XO_M: case XO_O:
        if (x86_op_is_mem(&t->i, o)) x_st(t, bytes, v);
        else x_set_reg(t, t->i.rm, bytes, high_bytes(t), v);
        break;
    case XO_R: case XO_Z: x_set_reg(t, t->i.rm, bytes, high_bytes(t), v); break;
    case XO_G: x_set_reg(t, t->i.reg, bytes, high_bytes(t), v); break;
    case XO_B: x_set_reg(t, t->i.vvvv, bytes, false, v); break;
    case XO_REG: x_set_reg(t, o->n, bytes, false, v); break;
    default: break;
    }
}

/* ---- ways out ---- */

void x_raise(struct x86_tr *t, unsigned code, unsigned sub)
{
    ir_call(t->b, XH_RAISE, T_I32, IR_NONE, ir_c32(t->b, code), ir_c32(t->b, sub), IR_NONE);
    t->exit = IR_EXIT_MODE; /* never reached, but the block must end */
}

void x_raise_if(struct x86_tr *t, enum ir_type type, enum ir_cond cc, ir_id a, ir_id b, unsigned code, unsigned sub)
{
    unsigned ok = ir_label(t->b);

    ir_brl(t->b, type, ir_cond_inverse[cc], a, b, ok);
    ir_call(t->b, XH_RAISE, T_I32, IR_NONE, ir_c32(t->b, code), ir_c32(t->b, sub), IR_NONE);
    ir_place(t->b, ok);
}

static uint64_t cut_pc(const struct x86_tr *t, uint64_t pc) { return t->mode == X86_64 ? pc : (uint32_t)pc; }

uint64_t x_target(const struct x86_tr *t)
{
    uint64_t to = t->next + (uint64_t)t->i.imm;
    return t->i.osize == 2 ? (uint32_t)(((to - t->cs_base) & 0xffff) + t->cs_base) : cut_pc(t, to);
}

ir_id x_to_linear(struct x86_tr *t, ir_id ip)
{
    if (t->i.osize < 4 || (t->cells64 && t->i.osize == 4)) ip = x_zx(t, ip, t->i.osize);
    if (!t->cs_base) return ip;
    ip = x2(t, OP_ADD, ip, xk(t, t->cs_base));
    return t->cells64 ? x1(t, OP_ZX32, ip) : ip;
}

void x_goto(struct x86_tr *t, uint64_t pc, unsigned hint)
{
    ir_goto(t->b, ir_link(t->b, pc, t->key, hint));
    t->done = true;
}

void x86_tr_unbuilt(struct x86_tr *t)
{
    ir_call(t->b, XH_UNBUILT, T_I32, IR_NONE, ir_c32(t->b, t->i.line), IR_NONE, IR_NONE);
    t->exit = IR_EXIT_MODE;
}

/* ---- the loop ---- */

/* Bytes of the instruction at pc: as many of 15 as can be fetched and are needed. */
static unsigned fetch(struct x86_tr *t, uint8_t *buf)
{
    unsigned in_page = CPU_PAGE_SIZE - (unsigned)(t->pc & ~CPU_PAGE_MASK), n = in_page < X86_MAX_LEN ? in_page : X86_MAX_LEN;

    if (!ir_fetch(t->b, t->pc, n, buf)) {
        for (n = 0; n < X86_MAX_LEN && ir_fetch(t->b, t->pc + n, 1, buf + n);) n++;
    }
    return n;
}

static enum x86_decoded decode(struct x86_tr *t, uint8_t *buf, unsigned *n)
{
    bool novex = !(t->key & XK_PROT);

    for (;;) {
        enum x86_decoded r = x86_decode(buf, *n, t->mode, novex, t->features, &t->i);
        if (r != X86_SHORT || *n == X86_MAX_LEN || !ir_fetch(t->b, t->pc + *n, 1, buf + *n)) return r;
        ++*n;
    }
}

static bool usable(struct x86_tr *t)
{
    uint32_t f = t->i.def->flags;

    if (f & XI_PROT && !(t->key & XK_PROT)) {
        x_raise(t, XE_UD, 0);
        return false;
    }
    if (f & XI_PRIV && t->key >> XK_CPL_SHIFT & 3) {
        x_raise(t, XE_GP, 0);
        return false;
    }
    return x_fp_permitted(t);
}

/* The instruction's bytes lie within the code segment. Said at translation where the limit is one of the usual ones. */
static bool within_code(struct x86_tr *t, unsigned len)
{
    unsigned cls = t->key >> (XK_SEG_SHIFT + 2) & 3;
    uint32_t last = (uint32_t)(t->pc - t->cs_base) + len - 1;

    if (cls == X86_SEG_FLAT || (cls == X86_SEG_64K && last <= 0xffff)) return true;
    if (cls == X86_SEG_64K) {
        x_raise(t, XE_GP, 0);
        return false;
    }
    x_raise_if(t, T_I32, CC_GTU, ir_c32(t->b, last), XR_LIMIT + 1, XE_GP, 0);
    return true;
}

/* MMX instructions but emms make the x87's stack full and its top 0; a register written gets an exponent of ones. */
static void enter_mmx(struct x86_tr *t)
{
    const struct x86_form *f = t->i.form;

    if (!f->mmx || t->exit >= 0) return;
    ir_mov(t->b, T_I32, XR_FTOP, ir_c32(t->b, 0));
    ir_mov(t->b, T_I32, XR_FTW, ir_c32(t->b, 0xff));
    if (x_is_mem(t, 0)) return;
    if (f->op[0].what == XO_P) ir_mov(t->b, T_I32, (ir_id)(XR_ST_SE + (t->i.reg & 7)), ir_c32(t->b, 0xffff));
    else if (f->op[0].what == XO_Q || f->op[0].what == XO_N) ir_mov(t->b, T_I32, (ir_id)(XR_ST_SE + (t->i.rm & 7)), ir_c32(t->b, 0xffff));
}

static bool unit(struct x86_tr *t)
{
    struct ir_builder *b = t->b;
    uint8_t buf[16];
    unsigned n = 0;
    enum x86_decoded r = X86_SHORT;
    bool same_page = !((t->pc ^ b->blk.pc) & CPU_PAGE_MASK) || !b->blk.n_insns;

    if (same_page) {
        n = fetch(t, buf);
        r = decode(t, buf, &n);
    }
    unsigned len = r == X86_OK || r == X86_UD ? t->i.len : n ? n : 1;
    if (!ir_insn(b, t->pc, len, len)) {
        if (!b->ended) ir_goto(b, ir_link(b, t->pc, t->key, IR_HINT_NONE));
        return false;
    }
    t->next = cut_pc(t, t->pc + len);
    if (r == X86_SHORT) {
        ir_fetch_fault(b, cut_pc(t, t->pc + n));
        return false;
    }
    if (t->key & XK_SHADOW) {
        t->key &= ~(uint64_t)XK_SHADOW;
        ir_call(b, XH_UNSHADOW, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE);
    }
    if (t->key & XK_STEP) ir_call(b, XH_STEP, T_I32, IR_NONE, xk(t, t->pc), IR_NONE, IR_NONE);
    if (!t->x->user && t->mode != X86_64 && !within_code(t, len)) {
        t->pc = t->next;
        return true;
    }
    if (r == X86_TOO_LONG) x_raise(t, XE_GP, 0);
    else if (r == X86_UD) x_raise(t, XE_UD, 0);
    else if (usable(t)) {
        t->arg = t->i.def->arg;
        t->size = t->i.form->n_ops ? x_bytes(t, 0) : t->i.osize;
        t->have_ea = false;
        x_check_operands(t);
        t->i.tr(t);
        enter_mmx(t);
    }
    t->pc = t->next;
    return true;
}

void x86_translate(struct ir_builder *b)
{
    struct x86_tr t = { .b = b, .x = x86_cpu(b->cpu), .key = b->blk.key, .exit = -1, .pc = b->blk.pc };

    t.features = t.x->model->features;
    t.cells64 = t.x->is64;
    t.w = t.cells64 ? T_I64 : T_I32;
    t.mode = (enum x86_mode)(t.key & XK_MODE);
    t.cs_base = (uint32_t)(t.key >> XK_CS_SHIFT);
    if (!t.x->user) t.mmu = (t.key >> XK_CPL_SHIFT & 3) == 3 ? X86_MMU_USER : t.key & XK_SMAP ? X86_MMU_SMAP : X86_MMU_KERNEL;
    bool one = t.key & (XK_STEP | XK_SHADOW);
    t.cc.a = t.zx = IR_NONE;
    for (;;) {
        if (!unit(&t) || t.done) return;
        if (one && t.exit < 0) t.exit = IR_EXIT_IRQ;
        if (t.exit >= 0) {
            ir_exit(b, (enum ir_exit)t.exit, t.pc);
            return;
        }
    }
}
