/*
 * translate-simd-func.c - x86 to IR: vector instructions that C functions do (simd-func.c), XSAVE, random numbers, packed decimals.
 * Follows the Intel SDM volume 2.
 */
#include "isa/x86/simd-func.h"
#include "isa/x86/translate-simd.h"

static unsigned dest_of(const struct x86_tr *t) { return t->i.reg; }
static unsigned first_of(const struct x86_tr *t) { return t->i.form->uses_vvvv ? t->i.vvvv : t->i.reg; }
static unsigned last(const struct x86_tr *t) { return t->i.form->op[t->i.form->n_ops - 1].what == XO_I ? t->i.form->n_ops - 2u : t->i.form->n_ops - 1u; }

static void call(struct x86_tr *t, unsigned which, unsigned half, unsigned imm, ir_id lo, ir_id hi)
{
    uint64_t how = which | (dest_of(t) * 2 + half) << 8 | (first_of(t) * 2 + half) << 16 | (uint64_t)(imm & 0xff) << 24 | (uint64_t)(t->i.w == 1 && t->mode == X86_64) << 32;
    ir_call(t->b, XH_SIMD, T_I32, IR_NONE, ir_c64(t->b, how), lo, hi);
}

/* By 128 bits; the immediate of the upper half is shifted. */
static void simd(struct x86_tr *t, unsigned which, unsigned shift)
{
    unsigned bytes = v_bytes(t, 0);
    ir_id b = v_get_cells(t, last(t), bytes < 16 ? 2 : bytes / 8);

    for (unsigned h = 0; h < bytes / 16; h++) call(t, which, h, (uint8_t)t->i.imm >> shift * h, (ir_id)(b + 2 * h), (ir_id)(b + 2 * h + 1));
    v_finish(t, 0, bytes);
}

void x86_tr_aes(struct x86_tr *t) { simd(t, XV_AES + t->arg, 0); }
void x86_tr_aesimc(struct x86_tr *t) { simd(t, XV_AESIMC, 0); }
void x86_tr_aeskey(struct x86_tr *t) { simd(t, XV_AESKEY, 0); }
void x86_tr_pclmul(struct x86_tr *t) { simd(t, XV_CLMUL, 0); }
void x86_tr_mpsadbw(struct x86_tr *t) { simd(t, XV_MPSADBW, 3); }
void x86_tr_phminposuw(struct x86_tr *t) { simd(t, XV_PHMINPOS, 0); }
void x86_tr_dpp(struct x86_tr *t) { simd(t, t->arg ? XV_DPPD : XV_DPPS, 0); }
void x86_tr_vpermil(struct x86_tr *t) { simd(t, t->arg ? XV_PERMILPD : XV_PERMILPS, 0); }

/* The third operand is XMM0 where there is one. */
void x86_tr_sha(struct x86_tr *t)
{
    ir_id b = v_get(t, 1);
    call(t, XV_SHA + t->arg, 0, (uint8_t)t->i.imm, b, (ir_id)(b + 1));
}

void x86_tr_pcmpstr(struct x86_tr *t)
{
    ir_id b = v_get(t, 1);

    call(t, XV_PCMPSTR + t->arg, 0, (uint8_t)t->i.imm, b, (ir_id)(b + 1));
    x_flags_unknown(t);
    if (t->arg & 1 || !t->i.vex) return;
    for (unsigned i = 2; i < 4; i++) ir_mov(t->b, T_I64, (ir_id)(XR_VEC + i), ir_c64(t->b, 0));
}

/* Memory is the element itself. */
void x86_tr_insertps(struct x86_tr *t)
{
    unsigned k = last(t), imm = (uint8_t)t->i.imm;
    ir_id b = v_get_cells(t, k, 2);

    call(t, XV_INSERTPS, 0, x_is_mem(t, k) ? imm & 0x3f : imm, b, (ir_id)(b + 1));
    v_finish(t, 0, 16);
}

void x86_tr_vpermd(struct x86_tr *t)
{
    ir_id b = v_get(t, 2);

    for (unsigned h = 0; h < 2; h++) call(t, XV_STASH, 0, h, (ir_id)(b + 2 * h), (ir_id)(b + 2 * h + 1));
    call(t, XV_PERMD, 0, 0, ir_c64(t->b, 0), ir_c64(t->b, 0));
}

void x86_tr_vpermil_imm(struct x86_tr *t)
{
    unsigned bytes = v_bytes(t, 0);
    ir_id v = v_get(t, 1), r = ir_vtemp(t->b, bytes);

    for (unsigned i = 0; i < bytes / 8; i++) ir_mov(t->b, T_I64, (ir_id)(r + i), (ir_id)(v + (i & ~1u) + ((uint8_t)t->i.imm >> i & 1)));
    v_set(t, 0, r, bytes);
}

/* arg: 1 reciprocal, 2 one lane */
void x86_tr_vrcp(struct x86_tr *t)
{
    bool one = t->arg & 2;
    unsigned bytes = one ? 16 : v_bytes(t, 0);
    ir_id b = v_get_cells(t, last(t), one ? 2 : bytes / 8);

    for (unsigned h = 0; h < bytes / 16; h++) {
        call(t, one ? (t->arg & 1 ? XV_RCP1 : XV_RSQRT1) : t->arg & 1 ? XV_RCP : XV_RSQRT, h, 0, (ir_id)(b + 2 * h), (ir_id)(b + 2 * h + 1));
    }
    v_finish(t, 0, bytes);
}

/* maskmovq maskmovdqu: at rDI. arg: 1 XMM */
void x86_tr_maskmov(struct x86_tr *t)
{
    ir_id to = x_linear(t, x_zx(t, XR_GPR0 + 7, t->i.asize), t->i.seg == X86_NO_REG ? 3 : t->i.seg);
    unsigned mask = t->arg ? 15 : 7;
    uint64_t how = 4 | (t->i.reg & mask) << 8 | (t->i.rm & mask) << 16 | (t->arg ? 16u : 8u) << 24 | (uint64_t)!t->arg << 32;

    ir_call(t->b, XH_MASKMOV, T_I32, IR_NONE, to, ir_c64(t->b, how), IR_NONE);
}

/* vmaskmov, vpmaskmov. arg: log2 of a lane's bytes | 4 store */
void x86_tr_vmaskmov(struct x86_tr *t)
{
    unsigned bytes = t->i.l ? 32 : 16;

    ir_call(t->b, XH_MASKMOV, T_I32, IR_NONE, x_ea(t), ir_c64(t->b, t->arg | t->i.reg << 8 | (uint32_t)t->i.vvvv << 16 | bytes << 24), IR_NONE);
}

void x86_tr_gather(struct x86_tr *t)
{
    unsigned lane = t->arg & 3, wide = t->arg >> 2 & 1, bytes = t->i.l ? 32 : 16, n = lane == 3 || wide ? bytes / 8 : bytes / 4;
    unsigned d = t->i.reg, idx = t->i.index, mask = t->i.vvvv, seg = t->i.seg != X86_NO_REG ? t->i.seg : t->i.base == 4 || t->i.base == 5 ? 2 : 3;
    uint64_t how = t->arg | (unsigned)t->i.scale << 3 | d << 8 | idx << 16 | (uint64_t)mask << 24 | (uint64_t)n << 32 | (uint64_t)t->i.asize << 40;

    if (d == idx || d == mask || idx == mask) {
        x_raise(t, XE_UD, 0);
        return;
    }
    ir_id base = xk(t, (uint64_t)t->i.disp), zero = xk(t, 0);
    if (t->i.base != X86_NO_REG) base = x2(t, OP_ADD, (ir_id)(XR_GPR0 + t->i.base), base);
    ir_id from = x_linear(t, zero, seg);
    ir_call(t->b, XH_GATHER, T_I32, IR_NONE, base, ir_c64(t->b, how), from);
}

/* ---- SSE4a, 3DNow! ---- */

static void sse4a(struct x86_tr *t, unsigned reg, bool insert, ir_id b, ir_id control)
{
    ir_id d = (ir_id)(XR_VEC + 4 * reg);
    ir_id how = ir_op2(t->b, OP_OR, T_I64, ir_temp(t->b, T_I64), control, ir_c64(t->b, insert));

    ir_call(t->b, XH_SSE4A, T_I64, d, d, b, how);
}

static ir_id sse4a_imm(struct x86_tr *t) { return ir_c64(t->b, (uint64_t)(t->i.imm & 63) << 8 | (uint64_t)(t->i.imm2 & 63) << 16); }

/* Length in bits 5:0 and index in bits 13:8 of a cell, to where the function wants them. */
static ir_id sse4a_reg(struct x86_tr *t, ir_id cell)
{
    ir_id v = ir_op2(t->b, OP_AND, T_I64, ir_temp(t->b, T_I64), cell, ir_c64(t->b, 0x3f3f));
    return ir_op2(t->b, OP_SHL, T_I64, ir_temp(t->b, T_I64), v, ir_c64(t->b, 8));
}

void x86_tr_extrq(struct x86_tr *t)
{
    ir_id m = (ir_id)(XR_VEC + 4 * t->i.rm);

    if (t->arg) sse4a(t, t->i.reg, false, m, sse4a_reg(t, m));
    else sse4a(t, t->i.rm, false, m, sse4a_imm(t));
}

void x86_tr_insertq(struct x86_tr *t)
{
    ir_id m = (ir_id)(XR_VEC + 4 * t->i.rm);
    sse4a(t, t->i.reg, true, m, t->arg ? sse4a_reg(t, (ir_id)(m + 1)) : sse4a_imm(t));
}

void x86_tr_amd3d(struct x86_tr *t)
{
    ir_id b = v_get(t, 1), d = v_dest(t, 0);
    ir_call(t->b, XH_3DNOW, T_I64, d, ir_c64(t->b, t->arg), d, b);
}

/* ---- the rest ---- */

/* rdrand rdseed: always there */
void x86_tr_rdrand(struct x86_tr *t)
{
    ir_id v = ir_call(t->b, XH_RANDOM, T_I64, ir_temp(t->b, T_I64), IR_NONE, IR_NONE, IR_NONE);

    x_flags_set(t, ir_c32(t->b, XFL_CF));
    x_set(t, 0, t->cells64 ? v : ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), v));
}

void x86_tr_xsave(struct x86_tr *t)
{
    ir_id lo = x_zx(t, XR_GPR0, 4);
    if (t->cells64) lo = ir_conv(t->b, OP_LO, ir_temp(t->b, T_I32), lo);
    ir_call(t->b, XH_XSAVE, T_I32, IR_NONE, x_ea(t), ir_c32(t->b, t->arg), lo);
}

void x86_tr_fbld(struct x86_tr *t) { ir_call(t->b, XH_X87_BCD, T_I32, IR_NONE, x_ea(t), ir_c32(t->b, 0), IR_NONE); }
void x86_tr_fbstp(struct x86_tr *t) { ir_call(t->b, XH_X87_BCD, T_I32, IR_NONE, x_ea(t), ir_c32(t->b, 1), IR_NONE); }
