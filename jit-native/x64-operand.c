/*
 * x64-operand.c - reaching slots, temporaries and constants: in registers, in their cells, as immediates.
 */
#include "jit-native/x64.h"

bool x64_imm(const struct lower *c, ir_id x, bool w, int32_t *imm)
{
    uint64_t v;
    if (!lower_const(c, x, &v)) return false;
    *imm = (int32_t)(uint32_t)v;
    return !w || (int64_t)v == *imm;
}

struct x64_mem x64_cell(const struct lower *c, ir_id x)
{
    size_t off = ir_is_slot(x) ? c->g->guest->slots[x].offset
                               : offsetof(struct cpu, temps) + 8u * (IR_MAX_TEMPS - c->jb->n_temps + (x - IR_TEMP)); /* as near as can be */
    return x64_at(RBP, (int32_t)off - CPU_BIAS);
}

void x64_load_cell(struct lower *c, unsigned reg, ir_id x)
{
    uint64_t v;
    if (lower_const(c, x, &v)) x64_mov_imm(&c->e, reg, v);
    else x64_op(&c->e, 0x8b, lower_wide(c, x), reg, x64_m(x64_cell(c, x)));
}

void x64_load(struct lower *c, unsigned reg, ir_id x)
{
    int r = lower_reg(c, x);
    if (is_gpr(r)) x64_mov(&c->e, lower_wide(c, x), reg, (unsigned)r);
    else if (is_xmm(r)) x64_op(&c->e, 0x7e | X_0F | X_66, lower_wide(c, x), (unsigned)r - GPRS, x64_r(reg)); /* movd, movq */
    else if (is_high(r)) x64_op_imm(&c->e, 0x16 | X_0F3A | X_66, true, high_xmm(r), x64_r(reg), 1, 1);       /* pextrq */
    else x64_load_cell(c, reg, x);
}

unsigned x64_use(struct lower *c, ir_id x, unsigned scratch)
{
    int r = lower_reg(c, x);
    if (is_gpr(r)) return (unsigned)r;
    x64_load(c, scratch, x);
    return scratch;
}

struct x64_rm x64_use_rm(struct lower *c, ir_id x, unsigned scratch)
{
    int r = lower_reg(c, x);
    if (is_gpr(r)) return x64_r((unsigned)r);
    if (r == IN_MEMORY && !ir_is_const(x)) return x64_m(x64_cell(c, x));
    x64_load(c, scratch, x);
    return x64_r(scratch);
}

unsigned x64_def(const struct lower *c, unsigned scratch)
{
    int r = lower_reg(c, c->o->d);
    return is_gpr(r) ? (unsigned)r : scratch;
}

bool x64_clears_high(const struct lower *c)
{
    const struct ir_op *o = c->o, *p = o + 1;
    uint64_t k;
    return o->op == OP_LD && lower_pair(c, o->d) && c->i + 1u < c->jb->n_ops && p->op == OP_MOV && p->d == o->d + 1 && ir_is_const(p->a) &&
           lower_const(c, p->a, &k) && !k;
}

void x64_done(struct lower *c, ir_id d, unsigned reg)
{
    int r = lower_reg(c, d);
    bool w = lower_wide(c, d);
    if (is_gpr(r)) x64_mov(&c->e, w, (unsigned)r, reg);
    else if (is_high(r)) x64_op_imm(&c->e, 0x22 | X_0F3A | X_66, true, high_xmm(r), x64_r(reg), 1, 1); /* pinsrq */
    else if (lower_pair(c, d) && !(d == c->o->d && x64_clears_high(c))) x64_op_imm(&c->e, 0x22 | X_0F3A | X_66, true, (unsigned)r - GPRS, x64_r(reg), 1, 0);
    else if (is_xmm(r)) x64_op(&c->e, 0x6e | X_0F | X_66, w, (unsigned)r - GPRS, x64_r(reg));
    else {
        const struct ir_op *next = c->o + 1;
        if (w && X64(c)->low && ir_op_info[c->o->op].cls == CLASS_PURE && d == c->o->d && c->i + 1u < c->jb->n_ops && next->op == OP_SX32 && next->a == d && next->d == d) { /* that too */
            x64_op(&c->e, 0x63, true, RAX, x64_r(reg));
            reg = RAX, c->skip = 1;
        }
        x64_op(&c->e, 0x89, w, reg, x64_m(x64_cell(c, d)));
    }
}

unsigned x64_use_xmm(struct lower *c, ir_id x, unsigned scratch)
{
    int r = lower_reg(c, x);
    bool w = lower_wide(c, x);
    uint64_t v;
    if (is_xmm(r)) return (unsigned)r - GPRS;
    if (is_gpr(r)) {
        x64_op(&c->e, 0x6e | X_0F | X_66, w, scratch, x64_r((unsigned)r));
    } else if (is_high(r)) {
        x64_op_imm(&c->e, 0x70 | X_0F | X_66, false, scratch, x64_r(high_xmm(r)), 1, 0xee); /* pshufd */
    } else if (lower_const(c, x, &v)) {
        if (v) {
            x64_mov_imm(&c->e, RAX, v);
            x64_op(&c->e, 0x6e | X_0F | X_66, w, scratch, x64_r(RAX));
        } else {
            x64_op(&c->e, 0x57 | X_0F, false, scratch, x64_r(scratch)); /* xorps */
        }
    } else {
        x64_op(&c->e, 0x10 | X_0F | (w ? X_F2 : X_F3), false, scratch, x64_m(x64_cell(c, x)));
    }
    return scratch;
}

unsigned x64_def_xmm(const struct lower *c, unsigned scratch)
{
    int r = lower_reg(c, c->o->d);
    return is_xmm(r) && !lower_pair(c, c->o->d) ? (unsigned)r - GPRS : scratch;
}

void x64_done_xmm(struct lower *c, ir_id d, unsigned xmm)
{
    int r = lower_reg(c, d);
    bool w = lower_wide(c, d);
    if (is_high(r)) {
        x64_op(&c->e, 0x16 | X_0F, false, high_xmm(r), x64_r(xmm)); /* movlhps */
    } else if (lower_pair(c, d)) {
        if ((unsigned)r - GPRS != xmm) x64_op(&c->e, 0x10 | X_0F | X_F2, false, (unsigned)r - GPRS, x64_r(xmm)); /* movsd */
    } else if (is_xmm(r)) {
        if ((unsigned)r - GPRS != xmm) x64_op(&c->e, 0x28 | X_0F, false, (unsigned)r - GPRS, x64_r(xmm)); /* movaps */
    } else if (is_gpr(r)) {
        x64_op(&c->e, 0x7e | X_0F | X_66, w, xmm, x64_r((unsigned)r));
    } else {
        x64_op(&c->e, 0x11 | X_0F | (w ? X_F2 : X_F3), false, xmm, x64_m(x64_cell(c, d)));
    }
}
