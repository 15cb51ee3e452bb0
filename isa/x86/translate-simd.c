/*
 * translate-simd.c - x86 to IR: MMX, SSE and AVX moves and integer operations. Floating point: translate-simd-fp.c.
 * Follows the Intel SDM volume 2.
 *
 * A vector operand is a run of I64 cells: register slots, or temps that memory was loaded into. Operations of 256 bits are
 * done in halves of 128, which is what the instructions mean. VEX results clear the rest of the register, others keep it.
 */
#include "isa/x86/translate-simd.h"

/* ---- operands ---- */

unsigned v_bytes(const struct x86_tr *t, unsigned k) { return x_bytes(t, k); }

static ir_id vec_slot(unsigned n) { return (ir_id)(XR_VEC + 4 * n); }

ir_id v_zeros(struct x86_tr *t, unsigned bytes)
{
    ir_id v = ir_vtemp(t->b, bytes);
    for (unsigned i = 0; i < bytes / 8; i++) ir_mov(t->b, T_I64, (ir_id)(v + i), ir_c64(t->b, 0));
    return v;
}

ir_id v_const(struct x86_tr *t, uint64_t lo, uint64_t hi)
{
    ir_id v = ir_vtemp(t->b, 16);
    ir_mov(t->b, T_I64, v, ir_c64(t->b, lo));
    ir_mov(t->b, T_I64, (ir_id)(v + 1), ir_c64(t->b, hi));
    return v;
}

static bool must_align(const struct x86_tr *t, unsigned bytes)
{
    uint32_t f = t->i.def->flags;
    if (f & XI_ALIGN) return true;
    return !t->i.vex && bytes == 16 && !(f & XI_UNAL);
}

/* The memory operand into cells, zero-extended to the next multiple of 8 bytes, at least `cells`. */
static ir_id load(struct x86_tr *t, unsigned bytes, unsigned cells)
{
    struct ir_builder *b = t->b;
    ir_id v = ir_vtemp(b, 8 * (cells > bytes / 8 ? cells : bytes / 8));
    unsigned n = bytes / 8, align = must_align(t, bytes) ? IR_MALIGN | IR_MPAIR : 0;

    x_address(t);
    if (bytes == 32) {
        if (align) /* the first half tells: its address must be a multiple of 32 */
            x_raise_if(t, t->w, CC_TNZ, x_ea(t), xk(t, 31), XE_GP, 0);
        ir_ld2(b, v, (ir_id)(v + 1), t->ea, t->ea_disp, IR_M64, t->mmu);
        ir_ld2(b, (ir_id)(v + 2), (ir_id)(v + 3), x_ea(t), 16, IR_M64, t->mmu);
    } else if (bytes == 16) {
        ir_ld2(b, v, (ir_id)(v + 1), t->ea, t->ea_disp, IR_M64 | align, t->mmu);
    } else {
        ir_ld(b, T_I64, v, t->ea, t->ea_disp, x_log2(bytes), t->mmu);
        n = 1;
    }
    for (; n < cells; n++) ir_mov(b, T_I64, (ir_id)(v + n), ir_c64(b, 0));
    return v;
}

ir_id v_get_cells(struct x86_tr *t, unsigned k, unsigned cells)
{
    const struct x86_operand *o = &t->i.form->op[k];

    switch (o->what) {
    case XO_V: return vec_slot(t->i.reg);
    case XO_H: return vec_slot(t->i.vvvv);
    case XO_L: return vec_slot((uint8_t)t->i.imm >> 4 & (t->mode == X86_64 ? 15 : 7));
    case XO_XMM0: return vec_slot(0);
    case XO_U: return vec_slot(t->i.rm);
    case XO_P: return (ir_id)(XR_MM + (t->i.reg & 7));
    case XO_N: return (ir_id)(XR_MM + (t->i.rm & 7));
    case XO_W:
        if (t->i.modrm >= 0xc0) return vec_slot(t->i.rm);
        break;
    case XO_Q:
        if (t->i.modrm >= 0xc0) return (ir_id)(XR_MM + (t->i.rm & 7));
        break;
    default: break;
    }
    return load(t, v_bytes(t, k), cells);
}

ir_id v_get(struct x86_tr *t, unsigned k) { return v_get_cells(t, k, v_bytes(t, k) < 16 ? 1 : v_bytes(t, k) / 8); }

/* The register that an operand names. */
ir_id v_dest(struct x86_tr *t, unsigned k) { return v_get_cells(t, k, 1); }

void v_finish(struct x86_tr *t, unsigned k, unsigned bytes)
{
    const struct x86_operand *o = &t->i.form->op[k];

    if (!t->i.vex || o->what == XO_P || o->what == XO_N || o->what == XO_Q) return;
    ir_id d = v_dest(t, k);
    for (unsigned i = bytes / 8; i < 4; i++) ir_mov(t->b, T_I64, (ir_id)(d + i), ir_c64(t->b, 0));
}

void v_copy(struct x86_tr *t, ir_id d, ir_id v, unsigned bytes)
{
    if (d == v) return;
    if (bytes == 8) ir_mov(t->b, T_I64, d, v);
    else for (unsigned i = 0; i < bytes / 8; i++) ir_mov(t->b, T_I64, (ir_id)(d + i), (ir_id)(v + i)); /* scalar code copies registers so */
}

void v_set(struct x86_tr *t, unsigned k, ir_id v, unsigned bytes)
{
    if (x_is_mem(t, k)) {
        unsigned align = must_align(t, bytes) ? IR_MALIGN | IR_MPAIR : 0;
        x_address(t);
        if (bytes == 32) {
            if (align) x_raise_if(t, t->w, CC_TNZ, x_ea(t), xk(t, 31), XE_GP, 0);
            ir_st2(t->b, v, (ir_id)(v + 1), t->ea, t->ea_disp, IR_M64, t->mmu);
            ir_st2(t->b, (ir_id)(v + 2), (ir_id)(v + 3), x_ea(t), 16, IR_M64, t->mmu);
        } else if (bytes == 16) {
            ir_st2(t->b, v, (ir_id)(v + 1), t->ea, t->ea_disp, IR_M64 | align, t->mmu);
        } else {
            ir_st(t->b, T_I64, v, t->ea, t->ea_disp, x_log2(bytes), t->mmu);
        }
        return;
    }
    v_copy(t, v_dest(t, k), v, bytes);
    v_finish(t, k, bytes);
}

/* Operands of d = a op b: two in legacy forms, three in VEX forms. */
static unsigned first(const struct x86_tr *t) { return t->i.form->uses_vvvv ? 1 : 0; }

void v_op(struct x86_tr *t, enum ir_opcode op, unsigned lane, unsigned bytes, ir_id d, ir_id a, ir_id b, ir_id c, uint32_t imm)
{
    unsigned step = bytes < 16 ? bytes : 16;

    for (unsigned i = 0; i < bytes; i += step) {
        unsigned n = i / 8;
        ir_vec(t->b, op, lane, step, (ir_id)(d + n), (ir_id)(a + n), b == IR_NONE ? b : (ir_id)(b + n), c == IR_NONE ? c : (ir_id)(c + n), imm);
    }
}

/* ---- two operands, lane by lane or nearly so ---- */

void x86_tr_vbin(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), k = first(t);
    ir_id b = v_get(t, k + 1), a = v_get(t, k);

    if (a == b && (t->arg & 0xfff) == OP_VXOR) { /* zeros, whatever it was */
        ir_id d = v_dest(t, 0);
        for (unsigned i = 0; i < bytes / 8; i++) ir_mov(t->b, T_I64, (ir_id)(d + i), ir_c64(t->b, 0));
        v_finish(t, 0, bytes);
        return;
    }
    v_op(t, (enum ir_opcode)(t->arg & 0xfff), t->arg >> 12 & 3, bytes, v_dest(t, 0), a, b, IR_NONE, t->arg >> 16);
    v_finish(t, 0, bytes);
}

void x86_tr_vun(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0);
    ir_id a = v_get(t, 1);

    v_op(t, (enum ir_opcode)(t->arg & 0xfff), t->arg >> 12 & 3, bytes, v_dest(t, 0), a, IR_NONE, IR_NONE, 0);
    v_finish(t, 0, bytes);
}

void x86_tr_vandn(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), k = first(t);
    ir_id b = v_get(t, k + 1), a = v_get(t, k);

    v_op(t, OP_VANDC, 3, bytes, v_dest(t, 0), b, a, IR_NONE, 0);
    v_finish(t, 0, bytes);
}

void x86_tr_vshift(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), lane = t->arg >> 12 & 3, last = t->i.form->n_ops - 1u, k = first(t) && last == 2 ? 1 : 0;
    enum ir_opcode op = (enum ir_opcode)(t->arg & 0xfff);
    bool imm = t->i.form->op[last].what == XO_I;

    if (imm) {
        unsigned n = (uint8_t)t->i.imm, w = 8u << lane;
        ir_id a = v_get(t, k);
        if (n > w) n = op == OP_VSARI ? w - 1 : w;
        v_op(t, op, lane, bytes, v_dest(t, 0), a, IR_NONE, IR_NONE, n);
    } else {
        ir_id count = v_get(t, last), a = v_get(t, k);
        ir_id n = ir_op2(t->b, OP_MINU, T_I64, ir_temp(t->b, T_I64), count, ir_c64(t->b, 127)), v = ir_vtemp(t->b, 16);
        ir_vec(t->b, OP_VDUP, lane, 16, v, n, IR_NONE, IR_NONE, 0);
        op = op == OP_VSHLI ? OP_VSHL : op == OP_VSHRI ? OP_VSHR : OP_VSAR;
        for (unsigned i = 0; i < bytes; i += 16) {
            ir_vec(t->b, op, lane, bytes < 16 ? 8 : 16, (ir_id)(v_dest(t, 0) + i / 8), (ir_id)(a + i / 8), v, IR_NONE, 0);
        }
    }
    v_finish(t, 0, bytes);
}

/* psrldq pslldq */
void x86_tr_vbyteshift(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), n = (uint8_t)t->i.imm > 16 ? 16 : (uint8_t)t->i.imm;
    ir_id a = v_get(t, t->i.form->n_ops - 2u), z = v_zeros(t, 16), d = v_dest(t, 0);

    for (unsigned i = 0; i < bytes / 8; i += 2) {
        if (t->arg) ir_vec(t->b, OP_VEXT, 0, 16, (ir_id)(d + i), (ir_id)(a + i), z, IR_NONE, n);
        else ir_vec(t->b, OP_VEXT, 0, 16, (ir_id)(d + i), z, (ir_id)(a + i), IR_NONE, 16 - n);
    }
    v_finish(t, 0, bytes);
}

void x86_tr_palignr(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), k = first(t), one = bytes < 16 ? bytes : 16, n = (uint8_t)t->i.imm;
    ir_id b = v_get(t, k + 1), a = v_get(t, k);

    v_op(t, OP_VEXT, 0, bytes, v_dest(t, 0), b, a, IR_NONE, n > 2 * one ? 2 * one : n);
    v_finish(t, 0, bytes);
}

/* phadd, phsub */
void x86_tr_vhoriz(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), k = first(t), lane = t->arg >> 12 & 3;
    ir_id b = v_get(t, k + 1), a = v_get(t, k), e = ir_vtemp(t->b, bytes), o = ir_vtemp(t->b, bytes);

    v_op(t, OP_VUZPE, lane, bytes, e, a, b, IR_NONE, 0);
    v_op(t, OP_VUZPO, lane, bytes, o, a, b, IR_NONE, 0);
    v_op(t, (enum ir_opcode)(t->arg & 0xfff), lane, bytes, v_dest(t, 0), e, o, IR_NONE, 0);
    v_finish(t, 0, bytes);
}

void x86_tr_psign(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), k = first(t), lane = t->arg;
    ir_id b = v_get(t, k + 1), a = v_get(t, k), m = ir_vtemp(t->b, bytes), r = ir_vtemp(t->b, bytes), z = v_zeros(t, bytes);

    v_op(t, OP_VSARI, lane, bytes, m, b, IR_NONE, IR_NONE, (8u << lane) - 1);
    v_op(t, OP_VXOR, lane, bytes, r, a, m, IR_NONE, 0);
    v_op(t, OP_VSUB, lane, bytes, r, r, m, IR_NONE, 0);
    v_op(t, OP_VCMPEQ, lane, bytes, m, b, z, IR_NONE, 0);
    v_op(t, OP_VANDC, lane, bytes, v_dest(t, 0), r, m, IR_NONE, 0);
    v_finish(t, 0, bytes);
}

void x86_tr_pmulhrsw(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), k = first(t), step = bytes < 16 ? 8 : 16;
    ir_id b = v_get(t, k + 1), a = v_get(t, k), p[2], one = ir_vtemp(t->b, 16), d = v_dest(t, 0);

    ir_vec(t->b, OP_VDUP, 2, 16, one, ir_c64(t->b, 1), IR_NONE, IR_NONE, 0);
    for (unsigned i = 0; i < bytes / 8; i += 2) {
        for (unsigned h = 0; h < 2; h++) {
            p[h] = ir_vtemp(t->b, 16);
            ir_vec(t->b, OP_VMULW, 1, step, p[h], (ir_id)(a + i), (ir_id)(b + i), IR_NONE, IR_V_SIGNED | (h ? IR_V_HIGH : 0u));
            ir_vec(t->b, OP_VSARI, 2, step, p[h], p[h], IR_NONE, IR_NONE, 14);
            ir_vec(t->b, OP_VADD, 2, step, p[h], p[h], one, IR_NONE, 0);
            ir_vec(t->b, OP_VSARI, 2, step, p[h], p[h], IR_NONE, IR_NONE, 1);
        }
        ir_vec(t->b, OP_VPACK, 1, step, (ir_id)(d + i), p[0], p[1], IR_NONE, IR_PACK_LOW);
    }
    v_finish(t, 0, bytes);
}

static ir_id op64(struct x86_tr *t, enum ir_opcode op, ir_id a, uint64_t k) { return ir_op2(t->b, op, T_I64, ir_temp(t->b, T_I64), a, ir_c64(t->b, k)); }

void x86_tr_psadbw(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), k = first(t);
    ir_id b = v_get(t, k + 1), a = v_get(t, k), x = ir_vtemp(t->b, bytes), d = v_dest(t, 0);

    v_op(t, OP_VABDU, 0, bytes, x, a, b, IR_NONE, 0);
    for (unsigned i = 0; i < bytes / 8; i++) { /* the sum of eight bytes: pairs, then all by a product */
        ir_id e = op64(t, OP_AND, (ir_id)(x + i), 0x00ff00ff00ff00ff), o = op64(t, OP_AND, op64(t, OP_SHR, (ir_id)(x + i), 8), 0x00ff00ff00ff00ff);
        ir_id s = ir_op2(t->b, OP_ADD, T_I64, ir_temp(t->b, T_I64), e, o);
        ir_op2(t->b, OP_SHR, T_I64, (ir_id)(d + i), op64(t, OP_MUL, s, 0x0001000100010001), ir_c64(t->b, 48));
    }
    v_finish(t, 0, bytes);
}

/* arg: log2 of the lanes' bytes before << 4 | after | 0x100 signed */
void x86_tr_pmovx(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), from = t->arg >> 4 & 3, to = t->arg & 3;
    ir_id v = v_get_cells(t, 1, bytes / 8), r = ir_vtemp(t->b, bytes);

    for (unsigned lane = from; lane < to; lane++) {
        ir_vec(t->b, OP_VWIDEN, lane, bytes, r, v, IR_NONE, IR_NONE, t->arg & 0x100 ? IR_V_SIGNED : 0);
        v = r;
    }
    v_set(t, 0, r, bytes);
}

/* ---- moves ---- */

void x86_tr_vmov(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0);
    v_set(t, 0, v_get(t, 1), bytes);
}

void x86_tr_mmx_mov(struct x86_tr *t) { v_set(t, 0, v_get(t, 1), 8); }
void x86_tr_emms(struct x86_tr *t) { ir_mov(t->b, T_I32, XR_FTW, ir_c32(t->b, 0)); }

void x86_tr_vzero(struct x86_tr *t)
{
    for (unsigned r = 0; r < (t->mode == X86_64 ? 16u : 8u); r++) {
        for (unsigned i = t->arg ? 0 : 2; i < 4; i++) ir_mov(t->b, T_I64, (ir_id)(vec_slot(r) + i), ir_c64(t->b, 0));
    }
}

/* the rest of the register from the second operand, which is the destination itself in legacy forms */
static void rest_from(struct x86_tr *t, ir_id d, ir_id from)
{
    if (d != from) ir_mov(t->b, T_I64, (ir_id)(d + 1), (ir_id)(from + 1));
}

/* movss movsd from memory: zeros above. arg: log2 of bytes */
void x86_tr_movs_load(struct x86_tr *t)
{
    ir_id v = v_get_cells(t, 1, 2);
    v_set(t, 0, v, 16);
}

void x86_tr_movs_store(struct x86_tr *t) { v_set(t, 0, v_get(t, 1), 1u << t->arg); }

void x86_tr_movs_reg(struct x86_tr *t)
{
    unsigned k = first(t);
    ir_id b = v_get(t, k + 1), a = v_get(t, k), d = v_dest(t, 0);

    if (t->arg == 3) {
        ir_id lo = ir_mov(t->b, T_I64, ir_temp(t->b, T_I64), b);
        rest_from(t, d, a);
        ir_mov(t->b, T_I64, d, lo);
    } else {
        ir_id lo = ir_deposit(t->b, T_I64, ir_temp(t->b, T_I64), a, b, 0, 32);
        rest_from(t, d, a);
        ir_mov(t->b, T_I64, d, lo);
    }
    v_finish(t, 0, 16);
}

/* movlps movhps and the like. arg: which half */
void x86_tr_movhl_load(struct x86_tr *t)
{
    unsigned k = first(t);
    ir_id v = v_get_cells(t, k + 1, 1), a = v_get(t, k), d = v_dest(t, 0);

    if (a != d) ir_mov(t->b, T_I64, (ir_id)(d + !t->arg), (ir_id)(a + !t->arg));
    ir_mov(t->b, T_I64, (ir_id)(d + t->arg), v);
    v_finish(t, 0, 16);
}

void x86_tr_movhl_store(struct x86_tr *t) { v_set(t, 0, (ir_id)(v_get(t, 1) + t->arg), 8); }

void x86_tr_movhlps(struct x86_tr *t)
{
    unsigned k = first(t);
    ir_id b = v_get(t, k + 1), a = v_get(t, k), d = v_dest(t, 0);
    ir_id v = ir_mov(t->b, T_I64, ir_temp(t->b, T_I64), (ir_id)(b + !t->arg));

    if (a != d) ir_mov(t->b, T_I64, (ir_id)(d + !t->arg), (ir_id)(a + !t->arg));
    ir_mov(t->b, T_I64, (ir_id)(d + t->arg), v);
    v_finish(t, 0, 16);
}

/* movsldup movshdup */
void x86_tr_movdup(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0);
    ir_id v = v_get(t, 1);

    v_op(t, t->arg ? OP_VTRNO : OP_VTRNE, 2, bytes, v_dest(t, 0), v, v, IR_NONE, 0);
    v_finish(t, 0, bytes);
}

void x86_tr_movddup(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0);
    ir_id v = v_get(t, 1), d = v_dest(t, 0);

    for (unsigned i = 0; i < bytes / 8; i += 2) {
        ir_mov(t->b, T_I64, (ir_id)(d + i), (ir_id)(v + i));
        ir_mov(t->b, T_I64, (ir_id)(d + i + 1), (ir_id)(d + i));
    }
    v_finish(t, 0, bytes);
}

/* movq between vector registers and memory: zeros above */
void x86_tr_movq(struct x86_tr *t)
{
    ir_id v = v_get_cells(t, 1, 1);

    if (x_is_mem(t, 0)) {
        v_set(t, 0, v, 8);
        return;
    }
    ir_id d = v_dest(t, 0);
    ir_mov(t->b, T_I64, d, v);
    ir_mov(t->b, T_I64, (ir_id)(d + 1), ir_c64(t->b, 0));
    v_finish(t, 0, 16);
}

void x86_tr_movq2dq(struct x86_tr *t)
{
    ir_id v = v_get(t, 1), d = v_dest(t, 0);

    ir_mov(t->b, T_I64, d, v);
    if (!t->arg) ir_mov(t->b, T_I64, (ir_id)(d + 1), ir_c64(t->b, 0));
}

/* A general register's or memory's value as an I64 cell of so many bytes, and back. */
ir_id v_from_gpr(struct x86_tr *t, ir_id v, unsigned bytes)
{
    v = x_zx(t, v, bytes);
    return t->cells64 ? v : ir_conv(t->b, OP_ZXW, ir_temp(t->b, T_I64), v);
}

ir_id v_to_gpr(struct x86_tr *t, ir_id v) { return t->cells64 ? v : ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), v); }

void x86_tr_movd_to(struct x86_tr *t)
{
    ir_id v = v_from_gpr(t, x_get(t, 1), 1u << t->arg), d = v_dest(t, 0);

    ir_mov(t->b, T_I64, d, v);
    if (t->i.form->op[0].what == XO_V) ir_mov(t->b, T_I64, (ir_id)(d + 1), ir_c64(t->b, 0));
    v_finish(t, 0, 16);
}

void x86_tr_movd_from(struct x86_tr *t) { x_set(t, 0, v_to_gpr(t, v_get(t, 1))); }

/* ---- masks, inserts, extracts ---- */

/* arg: log2 of a lane's bytes */
void x86_tr_movmsk(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 1);
    ir_id v = v_get(t, 1), r = ir_c64(t->b, 0);

    for (unsigned i = 0; i < bytes / 8; i++) {
        ir_id x = (ir_id)(v + i), m;
        unsigned per = 8u >> t->arg;
        if (t->arg == 3) {
            m = op64(t, OP_SHR, x, 63);
        } else if (t->arg == 2) {
            m = ir_op2(t->b, OP_OR, T_I64, ir_temp(t->b, T_I64), op64(t, OP_AND, op64(t, OP_SHR, x, 31), 1), op64(t, OP_AND, op64(t, OP_SHR, x, 62), 2));
        } else { /* the eight sign bits side by side, by a product whose partial sums do not meet */
            m = op64(t, OP_SHR, op64(t, OP_AND, x, 0x8080808080808080), 7);
            m = op64(t, OP_SHR, op64(t, OP_MUL, m, 0x0102040810204080), 56);
        }
        r = i ? ir_op2(t->b, OP_OR, T_I64, ir_temp(t->b, T_I64), r, op64(t, OP_SHL, m, per * i)) : m;
    }
    x_set(t, 0, v_to_gpr(t, r));
}

void x86_tr_pinsr(struct x86_tr *t)
{
    unsigned k = first(t), bits = 8u << t->arg, bytes = v_bytes(t, 0), at = ((uint8_t)t->i.imm & (8 * bytes / bits - 1)) * bits;
    ir_id v = v_from_gpr(t, x_get(t, k + 1), 1u << t->arg), a = v_get(t, k), d = v_dest(t, 0);

    v_copy(t, d, a, bytes);
    ir_id cell = (ir_id)(d + at / 64);
    if (bits == 64) ir_mov(t->b, T_I64, cell, v);
    else ir_deposit(t->b, T_I64, cell, cell, v, at % 64, bits);
    v_finish(t, 0, bytes);
}

void x86_tr_pextr(struct x86_tr *t)
{
    unsigned bits = 8u << t->arg, bytes = v_bytes(t, 1), at = ((uint8_t)t->i.imm & (8 * bytes / bits - 1)) * bits;
    ir_id cell = (ir_id)(v_get(t, 1) + at / 64);

    if (bits < 64) cell = ir_bits(t->b, OP_EXTRACT, T_I64, ir_temp(t->b, T_I64), cell, at % 64, bits);
    ir_id v = v_to_gpr(t, cell);
    /* a register gets 32 or 64 bits; memory the element */
    if (x_is_mem(t, 0)) x_st(t, 1u << t->arg, v);
    else x_set_reg(t, t->i.form->op[0].what == XO_G ? t->i.reg : t->i.rm, t->i.mode == X86_64 ? 8 : 4, false, v);
}

/* ---- shuffles ---- */

/* Sixteen bytes of a (0 to 15) and c (16 to 31), chosen by constants. */
static void choose(struct x86_tr *t, ir_id d, ir_id a, ir_id c, const uint8_t idx[16])
{
    ir_vec(t->b, OP_VSHUF, 0, 16, d, a, v_const(t, ld64_le(idx), ld64_le(idx + 8)), c, IR_SHUF_TWO);
}

/* arg: 1 pshufw, 2 pshufd, 3 pshufhw, 0 pshuflw */
void x86_tr_pshuf(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), imm = (uint8_t)t->i.imm;
    ir_id v = v_get(t, 1), d = v_dest(t, 0);
    uint8_t idx[16];

    if (bytes == 8) {
        ir_id r = ir_c64(t->b, 0);
        for (unsigned i = 0; i < 4; i++) {
            ir_id x = ir_bits(t->b, OP_EXTRACT, T_I64, ir_temp(t->b, T_I64), v, 16 * (imm >> 2 * i & 3), 16);
            r = ir_deposit(t->b, T_I64, ir_temp(t->b, T_I64), r, x, 16 * i, 16);
        }
        ir_mov(t->b, T_I64, d, r);
        return;
    }
    for (unsigned i = 0; i < 16; i++) {
        unsigned half = t->arg == 3 ? 8 : 0;
        if (t->arg == 2) idx[i] = (uint8_t)(4 * (imm >> 2 * (i / 4) & 3) + i % 4);
        else if ((i & 8) == half) idx[i] = (uint8_t)(half + 2 * (imm >> 2 * (i / 2 & 3) & 3) + i % 2);
        else idx[i] = (uint8_t)i;
    }
    for (unsigned i = 0; i < bytes / 8; i += 2) choose(t, (ir_id)(d + i), (ir_id)(v + i), (ir_id)(v + i), idx);
    v_finish(t, 0, bytes);
}

/* shufps shufpd. arg: log2 of a lane's bytes */
void x86_tr_shufp(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), k = first(t), imm = (uint8_t)t->i.imm;
    ir_id b = v_get(t, k + 1), a = v_get(t, k), d = v_dest(t, 0);

    for (unsigned h = 0; h < bytes / 16; h++) {
        uint8_t idx[16];
        for (unsigned i = 0; i < 16; i++) {
            if (t->arg == 2) idx[i] = (uint8_t)((i & 8) * 2 + 4 * (imm >> 2 * (i / 4) & 3) + i % 4);
            else idx[i] = (uint8_t)((i & 8) * 2 + 8 * (imm >> (2 * h + i / 8) & 1) + i % 8);
        }
        choose(t, (ir_id)(d + 2 * h), (ir_id)(a + 2 * h), (ir_id)(b + 2 * h), idx);
    }
    v_finish(t, 0, bytes);
}

/* arg: log2 of a lane's bytes; a bit of the immediate per lane (words of 256 bits: the same eight for both halves) */
void x86_tr_vblend(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), k = first(t), imm = (uint8_t)t->i.imm, per = 16u >> t->arg;
    ir_id b = v_get(t, k + 1), a = v_get(t, k), d = v_dest(t, 0);

    for (unsigned h = 0; h < bytes / 16; h++) {
        uint8_t mask[16];
        for (unsigned i = 0; i < 16; i++) mask[i] = imm >> ((i >> t->arg) + (t->arg == 1 ? 0 : h * per)) & 1 ? 0xff : 0;
        ir_vec(t->b, OP_VMERGE, 3, 16, (ir_id)(d + 2 * h), (ir_id)(a + 2 * h), (ir_id)(b + 2 * h), v_const(t, ld64_le(mask), ld64_le(mask + 8)), 0);
    }
    v_finish(t, 0, bytes);
}

/* arg: log2 of a lane's bytes; the sign of the mask's lanes chooses */
void x86_tr_vblendv(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0), k = first(t);
    ir_id b = v_get(t, k + 1), a = v_get(t, k), m = ir_vtemp(t->b, bytes);

    v_op(t, OP_VSARI, t->arg, bytes, m, v_get(t, k + 2), IR_NONE, IR_NONE, (8u << t->arg) - 1);
    v_op(t, OP_VMERGE, 3, bytes, v_dest(t, 0), a, b, m, 0);
    v_finish(t, 0, bytes);
}

/* ptest vtestps vtestpd: arg 0: all bits, else the signs of lanes */
void x86_tr_ptest(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0);
    ir_id b = v_get(t, 1), a = v_get(t, 0), z = ir_c64(t->b, 0), c = z, zero = z;
    uint64_t mask = t->arg == 2 ? 0x8000000080000000 : t->arg == 3 ? 0x8000000000000000 : ~UINT64_C(0);

    for (unsigned i = 0; i < bytes / 8; i++) {
        ir_id x = op64(t, OP_AND, (ir_id)(b + i), mask);
        ir_id both = ir_op2(t->b, OP_AND, T_I64, ir_temp(t->b, T_I64), x, (ir_id)(a + i));
        ir_id only = ir_op2(t->b, OP_ANDC, T_I64, ir_temp(t->b, T_I64), x, (ir_id)(a + i));
        z = ir_op2(t->b, OP_OR, T_I64, ir_temp(t->b, T_I64), z, both);
        c = ir_op2(t->b, OP_OR, T_I64, ir_temp(t->b, T_I64), c, only);
    }
    ir_id zf = ir_setc(t->b, T_I64, CC_EQ, ir_temp(t->b, T_I64), z, zero), cf = ir_setc(t->b, T_I64, CC_EQ, ir_temp(t->b, T_I64), c, zero);
    ir_id f = ir_op2(t->b, OP_OR, T_I64, ir_temp(t->b, T_I64), cf, op64(t, OP_SHL, zf, 6));
    x_flags_set(t, ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), f));
}

/* arg: log2 of the bytes repeated; 4: 16 bytes */
void x86_tr_vbroadcast(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0);
    ir_id v = v_get_cells(t, 1, t->arg == 4 ? 2 : 1), d = v_dest(t, 0);

    if (t->arg == 4) {
        v_copy(t, d, v, 16);
        v_copy(t, (ir_id)(d + 2), v, 16);
    } else {
        ir_vec(t->b, OP_VDUP, t->arg, bytes, d, v, IR_NONE, IR_NONE, 0);
    }
    v_finish(t, 0, bytes);
}

void x86_tr_vinsert128(struct x86_tr *t)
{
    ir_id b = v_get(t, 2), a = v_get(t, 1), r = ir_vtemp(t->b, 32);

    v_copy(t, r, a, 32);
    v_copy(t, (ir_id)(r + ((t->i.imm & 1) ? 2 : 0)), b, 16);
    v_set(t, 0, r, 32);
}

void x86_tr_vextract128(struct x86_tr *t) { v_set(t, 0, (ir_id)(v_get(t, 1) + ((t->i.imm & 1) ? 2 : 0)), 16); }

void x86_tr_vperm2(struct x86_tr *t)
{
    unsigned imm = (uint8_t)t->i.imm;
    ir_id b = v_get(t, 2), a = v_get(t, 1), r = ir_vtemp(t->b, 32);

    for (unsigned h = 0; h < 2; h++, imm >>= 4) {
        ir_id from = (ir_id)((imm & 2 ? b : a) + (imm & 1 ? 2 : 0));
        v_copy(t, (ir_id)(r + 2 * h), imm & 8 ? v_zeros(t, 16) : from, 16);
    }
    v_set(t, 0, r, 32);
}

void x86_tr_vpermq(struct x86_tr *t)
{
    ir_id v = v_get(t, 1), r = ir_vtemp(t->b, 32);

    for (unsigned i = 0; i < 4; i++) ir_mov(t->b, T_I64, (ir_id)(r + i), (ir_id)(v + ((uint8_t)t->i.imm >> 2 * i & 3)));
    v_set(t, 0, r, 32);
}
