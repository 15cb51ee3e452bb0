/*
 * a64-operand.c - reaching slots, temporaries and constants: in registers, in their cells, as immediates.
 */
#include "jit-native/a64.h"

struct a64_mem a64_cell(const struct lower *c, ir_id x)
{
    size_t off = ir_is_slot(x) ? c->g->guest->slots[x].offset : offsetof(struct cpu, temps) + 8u * (x - IR_TEMP);
    return a64_at(R_CPU, (int32_t)off);
}

void a64_load_cell(struct lower *c, unsigned reg, ir_id x)
{
    uint64_t v;
    if (lower_const(c, x, &v)) a64_mov_imm(&c->e, reg, v);
    else a64_ldst(&c->e, lower_wide(c, x) ? A_LDRX : A_LDRW, reg, a64_cell(c, x));
}

void a64_load(struct lower *c, unsigned reg, ir_id x)
{
    int r = lower_reg(c, x);
    bool w = lower_wide(c, x);
    if (is_gpr(r)) a64_mov(&c->e, w, reg, a64_gpr(r));
    else if (is_fpr(r)) a64_fcvt(&c->e, A_FMOV_GF, w, w, reg, a64_fpr(r));
    else a64_load_cell(c, reg, x);
}

unsigned a64_use(struct lower *c, ir_id x, unsigned scratch)
{
    int r = lower_reg(c, x);
    if (is_gpr(r)) return a64_gpr(r);
    a64_load(c, scratch, x);
    return scratch;
}

unsigned a64_use_z(struct lower *c, ir_id x, unsigned scratch)
{
    uint64_t v;
    return lower_const(c, x, &v) && !v ? (unsigned)ZR : a64_use(c, x, scratch);
}

unsigned a64_def(const struct lower *c, unsigned scratch)
{
    int r = lower_reg(c, c->o->d);
    return is_gpr(r) ? a64_gpr(r) : scratch;
}

void a64_done(struct lower *c, ir_id d, unsigned reg)
{
    int r = lower_reg(c, d);
    bool w = lower_wide(c, d);
    if (is_gpr(r)) a64_mov(&c->e, w, a64_gpr(r), reg);
    else if (is_fpr(r)) a64_fcvt(&c->e, A_FMOV_FG, w, w, a64_fpr(r), reg);
    else a64_ldst(&c->e, w ? A_STRX : A_STRW, reg, a64_cell(c, d));
}

unsigned a64_use_fp(struct lower *c, ir_id x, unsigned scratch)
{
    int r = lower_reg(c, x);
    bool w = lower_wide(c, x);
    uint64_t v;
    if (is_fpr(r)) return a64_fpr(r);
    if (is_gpr(r)) {
        a64_fcvt(&c->e, A_FMOV_FG, w, w, scratch, a64_gpr(r));
    } else if (lower_const(c, x, &v)) {
        if (v) a64_mov_imm(&c->e, X0, v);
        a64_fcvt(&c->e, A_FMOV_FG, w, w, scratch, v ? X0 : ZR);
    } else {
        a64_ldst(&c->e, w ? A_LDRD : A_LDRS, scratch, a64_cell(c, x));
    }
    return scratch;
}

unsigned a64_def_fp(const struct lower *c, unsigned scratch)
{
    int r = lower_reg(c, c->o->d);
    return is_fpr(r) ? a64_fpr(r) : scratch;
}

void a64_done_fp(struct lower *c, ir_id d, unsigned v)
{
    int r = lower_reg(c, d);
    bool w = lower_wide(c, d);
    if (is_fpr(r)) {
        if (a64_fpr(r) != v) a64_ff(&c->e, A_FMOV, w, a64_fpr(r), v);
    } else if (is_gpr(r)) {
        a64_fcvt(&c->e, A_FMOV_GF, w, w, a64_gpr(r), v);
    } else {
        a64_ldst(&c->e, w ? A_STRD : A_STRS, v, a64_cell(c, d));
    }
}
