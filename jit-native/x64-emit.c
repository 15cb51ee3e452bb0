/*
 * x64-emit.c - the x86-64 encoder (see x64-emit.h).
 */
#include "jit-native/x64-emit.h"

void emit_align(struct emit *e, unsigned to)
{
    /* no-ops by length, as the manual recommends */
    static const uint8_t nops[9][9] = {
        { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 }, { 0x0f, 0x1f, 0x40, 0 }, { 0x0f, 0x1f, 0x44, 0, 0 }, { 0x66, 0x0f, 0x1f, 0x44, 0, 0 },
        { 0x0f, 0x1f, 0x80, 0, 0, 0, 0 }, { 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 }, { 0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 } };
    unsigned n = (0u - e->n) & (to - 1);
    while (n) {
        unsigned k = MIN(n, 9u);
        for (unsigned i = 0; i < k; i++) emit_byte(e, nops[k - 1][i]);
        n -= k;
    }
}

/* ---- labels ------------------------------------------------------------------------------------------- */

/* The one kind of place: the distance from its end, of 32 bits. */
bool emit_patch(uint8_t *place, unsigned kind, int64_t d)
{
    (void)kind;
    st32_le(place, (uint32_t)(d - 4));
    return d - 4 == (int32_t)(d - 4);
}

static void rel32(struct emit *e, unsigned label)
{
    emit_refer(e, 0, label);
    emit_u32(e, 0);
}

static void rel32_outside(struct emit *e, const void *target)
{
    emit_refer_outside(e, 0, target);
    emit_u32(e, 0);
}

/* The distance to a label behind us, from the end of a two-byte jump, if it fits in a byte. */
static bool near(const struct emit *e, unsigned label, int *d)
{
    if (e->labels[label] == EMIT_NOWHERE) return false;
    *d = (int)e->labels[label] - (int)(e->n + 2);
    return *d >= -128;
}

void emit_jump(struct emit *e, unsigned label)
{
    int d;
    if (near(e, label, &d)) {
        emit_byte(e, 0xeb);
        emit_byte(e, (unsigned)d & 0xff);
        return;
    }
    emit_byte(e, 0xe9);
    rel32(e, label);
}

void x64_jcc(struct emit *e, unsigned cc, unsigned label)
{
    int d;
    if (near(e, label, &d)) {
        emit_byte(e, 0x70 + cc);
        emit_byte(e, (unsigned)d & 0xff);
        return;
    }
    emit_byte(e, 0x0f);
    emit_byte(e, 0x80 + cc);
    rel32(e, label);
}

void emit_call(struct emit *e, unsigned label)
{
    emit_byte(e, 0xe8);
    rel32(e, label);
    e->changes++;
}

void emit_jump_abs(struct emit *e, const void *target)
{
    emit_byte(e, 0xe9);
    rel32_outside(e, target);
}

void emit_call_abs(struct emit *e, const void *target)
{
    emit_byte(e, 0xe8);
    rel32_outside(e, target);
    e->changes++;
}

void emit_return(struct emit *e) { emit_byte(e, 0xc3); }

void x64_lea_label(struct emit *e, unsigned reg, unsigned label)
{
    emit_byte(e, reg >= R8 ? 0x4c : 0x48), emit_byte(e, 0x8d), emit_byte(e, (reg & 7) << 3 | 5); /* [rip + disp32] */
    rel32(e, label);
}

/* ---- instructions ------------------------------------------------------------------------------------ */

static bool high(unsigned reg) { return reg != NO_REG && (reg & 8); }

static void modrm(struct emit *e, unsigned reg, struct x64_rm rm)
{
    reg = (reg & 7) << 3;
    if (rm.is_reg) {
        emit_byte(e, 0xc0 | reg | (rm.reg & 7));
        return;
    }
    struct x64_mem m = rm.mem;
    if (m.base == NO_REG) { /* [index << scale + disp32] or [disp32] */
        emit_byte(e, reg | 4);
        emit_byte(e, (unsigned)m.scale << 6 | (m.index == NO_REG ? 4u : m.index & 7u) << 3 | 5);
        emit_u32(e, (uint32_t)m.disp);
        return;
    }
    unsigned mod = m.disp == 0 && (m.base & 7) != 5 ? 0 : m.disp >= -128 && m.disp <= 127 ? 1 : 2;
    if (m.index == NO_REG && (m.base & 7) != 4) {
        emit_byte(e, mod << 6 | reg | (m.base & 7u));
    } else {
        emit_byte(e, mod << 6 | reg | 4);
        emit_byte(e, (unsigned)m.scale << 6 | (m.index == NO_REG ? 4u : m.index & 7u) << 3 | (m.base & 7u));
    }
    if (mod == 1) emit_byte(e, (unsigned)m.disp & 0xff);
    else if (mod == 2) emit_u32(e, (uint32_t)m.disp);
}

/* Moves, extensions, lea, setcc, cmov: what surely leaves the flags alone. */
static bool keeps_flags(unsigned op)
{
    unsigned b = op & 0xff;
    if ((op & X_MAP) == 0) return b == 0x63 || (b >= 0x88 && b <= 0x8d) || b == 0xc6 || b == 0xc7;
    if ((op & X_MAP) != X_0F) return false;
    return (b >= 0x40 && b <= 0x4f) || (b >= 0x90 && b <= 0x9f) || b == 0xb6 || b == 0xb7 || ((b == 0xbe || b == 0xbf) && !(op & X_F3)) ||
           (b >= 0x10 && b <= 0x17) || b == 0x28 || (b >= 0x51 && b <= 0x6f) || b == 0x70 || b == 0x7e || b == 0xc2 || b == 0xc6 || b == 0xd6;
}

void x64_op(struct emit *e, unsigned op, bool w, unsigned reg, struct x64_rm rm)
{
    if (!keeps_flags(op)) e->changes++;
    unsigned rex = (w ? 8u : 0) | (high(reg) ? 4u : 0);
    if (rm.is_reg) rex |= high(rm.reg) ? 1u : 0;
    else rex |= (high(rm.mem.index) ? 2u : 0) | (high(rm.mem.base) ? 1u : 0);
    if (op & X_66) emit_byte(e, 0x66);
    if (op & X_F3) emit_byte(e, 0xf3);
    if (op & X_F2) emit_byte(e, 0xf2);
    if (rex || ((op & X_B) && ((reg >= RSP && reg <= RDI) || (rm.is_reg && rm.reg >= RSP && rm.reg <= RDI)))) emit_byte(e, 0x40 | rex);
    switch (op & X_MAP) {
    case X_0F: emit_byte(e, 0x0f); break;
    case X_0F38: emit_byte(e, 0x0f), emit_byte(e, 0x38); break;
    case X_0F3A: emit_byte(e, 0x0f), emit_byte(e, 0x3a); break;
    default: break;
    }
    emit_byte(e, op & 0xff);
    modrm(e, reg, rm);
}

void x64_op_imm(struct emit *e, unsigned op, bool w, unsigned reg, struct x64_rm rm, unsigned n, uint32_t imm)
{
    x64_op(e, op, w, reg, rm);
    for (unsigned i = 0; i < n; i++) emit_byte(e, imm >> 8 * i & 0xff);
}

void x64_vex(struct emit *e, unsigned op, bool w, unsigned reg, unsigned v, struct x64_rm rm)
{
    unsigned map = (op & X_MAP) >> 8, pp = op & X_66 ? 1 : op & X_F3 ? 2 : op & X_F2 ? 3 : 0;
    bool x = !rm.is_reg && high(rm.mem.index), b = rm.is_reg ? high(rm.reg) : high(rm.mem.base);
    emit_byte(e, 0xc4);
    emit_byte(e, (high(reg) ? 0 : 0x80u) | (x ? 0 : 0x40u) | (b ? 0 : 0x20u) | map);
    emit_byte(e, (w ? 0x80u : 0) | (~v & 15) << 3 | pp);
    emit_byte(e, op & 0xff);
    modrm(e, reg, rm);
}

void x64_mov_imm(struct emit *e, unsigned reg, uint64_t v)
{
    if (!v) {
        x64_op(e, 0x33, false, reg, x64_r(reg)); /* changes flags */
    } else if (v <= UINT32_MAX) {
        if (high(reg)) emit_byte(e, 0x41);
        emit_byte(e, 0xb8 | (reg & 7));
        emit_u32(e, (uint32_t)v);
    } else if ((int64_t)v == (int32_t)v) {
        x64_op_imm(e, 0xc7, true, 0, x64_r(reg), 4, (uint32_t)v);
    } else {
        emit_byte(e, 0x48 | (high(reg) ? 1u : 0));
        emit_byte(e, 0xb8 | (reg & 7));
        emit_u64(e, v);
    }
}

void x64_mov(struct emit *e, bool w, unsigned to, unsigned from)
{
    if (to != from) x64_op(e, 0x8b, w, to, x64_r(from));
}

void x64_alu(struct emit *e, unsigned alu, bool w, unsigned reg, struct x64_rm rm) { x64_op(e, alu << 3 | 3, w, reg, rm); }
void x64_alu_to(struct emit *e, unsigned alu, bool w, struct x64_rm rm, unsigned reg) { x64_op(e, alu << 3 | 1, w, reg, rm); }

void x64_alu_imm(struct emit *e, unsigned alu, bool w, struct x64_rm rm, int32_t imm)
{
    if (imm >= -128 && imm <= 127) x64_op_imm(e, 0x83, w, alu, rm, 1, (uint32_t)imm);
    else x64_op_imm(e, 0x81, w, alu, rm, 4, (uint32_t)imm);
}

void x64_shift_imm(struct emit *e, unsigned sh, bool w, struct x64_rm rm, unsigned n)
{
    if (n == 1) x64_op(e, 0xd1, w, sh, rm);
    else x64_op_imm(e, 0xc1, w, sh, rm, 1, n);
}

void x64_shift_cl(struct emit *e, unsigned sh, bool w, struct x64_rm rm) { x64_op(e, 0xd3, w, sh, rm); }
void x64_lea(struct emit *e, bool w, unsigned reg, struct x64_mem m) { x64_op(e, 0x8d, w, reg, x64_m(m)); }
void x64_test(struct emit *e, bool w, unsigned a, unsigned b) { x64_op(e, 0x85, w, a, x64_r(b)); }

void x64_test_imm(struct emit *e, bool w, struct x64_rm rm, uint32_t imm)
{
    if (imm < 0x80 && rm.is_reg) x64_op_imm(e, 0xf6 | X_B, false, 0, rm, 1, imm);
    else x64_op_imm(e, 0xf7, w, 0, rm, 4, imm);
}

void x64_setcc(struct emit *e, unsigned cc, unsigned reg8) { x64_op(e, (0x90 + cc) | X_0F | X_B, false, 0, x64_r(reg8)); }
void x64_cmov(struct emit *e, unsigned cc, bool w, unsigned reg, struct x64_rm rm) { x64_op(e, (0x40 + cc) | X_0F, w, reg, rm); }
