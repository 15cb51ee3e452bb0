/*
 * a64-emit.c - the A64 encoder (see a64-emit.h).
 */
#include "jit-native/a64-emit.h"

void emit_align(struct emit *e, unsigned to)
{
    while (e->n & (to - 1) && !e->failed) a64_word(e, A_NOP);
}

/* ---- labels ------------------------------------------------------------------------------------------- */

/* Branches of 26 and 19 bits of words, and addresses of 21 bits of bytes. */
enum { FIX_B, FIX_COND, FIX_ADR };

static void to_label(struct emit *e, uint32_t insn, unsigned kind, unsigned label)
{
    emit_refer(e, kind, label);
    a64_word(e, insn);
}

static void outside(struct emit *e, uint32_t insn, const void *target)
{
    emit_refer_outside(e, FIX_B, target);
    a64_word(e, insn);
}

#define INSN_B  0x14000000u
#define INSN_BL 0x94000000u
void emit_jump(struct emit *e, unsigned label) { to_label(e, INSN_B, FIX_B, label); }
void emit_call(struct emit *e, unsigned label) { to_label(e, INSN_BL, FIX_B, label); }
void a64_bcond(struct emit *e, unsigned cc, unsigned label) { to_label(e, 0x54000000u | cc, FIX_COND, label); }
void a64_cbz(struct emit *e, bool nonzero, bool w, unsigned reg, unsigned label)
{
    to_label(e, 0x34000000u | (uint32_t)w << 31 | (uint32_t)nonzero << 24 | reg, FIX_COND, label);
}
void a64_adr(struct emit *e, unsigned reg, unsigned label) { to_label(e, 0x10000000u | reg, FIX_ADR, label); }

void emit_jump_abs(struct emit *e, const void *target)
{
    if (!e->far) {
        outside(e, INSN_B, target);
        return;
    }
    a64_mov_imm(e, X17, (uintptr_t)target);
    a64_word(e, A_BR | X17 << 5);
}

void emit_call_abs(struct emit *e, const void *target)
{
    if (!e->far) {
        outside(e, INSN_BL, target);
        return;
    }
    a64_mov_imm(e, X17, (uintptr_t)target);
    a64_word(e, A_BLR | X17 << 5);
}

static bool in_range(int64_t d, unsigned bits) { return d >= -((int64_t)1 << (bits - 1)) && d < (int64_t)1 << (bits - 1); }

bool emit_patch(uint8_t *at, unsigned kind, int64_t d)
{
    uint32_t insn = ld32_le(at);
    switch (kind) {
    case FIX_B:
        if (!in_range(d, 28)) return false;
        insn |= (uint32_t)(d >> 2) & 0x3ffffffu;
        break;
    case FIX_COND:
        if (!in_range(d, 21)) return false;
        insn |= ((uint32_t)(d >> 2) & 0x7ffffu) << 5;
        break;
    default:
        if (!in_range(d, 21)) return false;
        insn |= ((uint32_t)d & 3) << 29 | ((uint32_t)(d >> 2) & 0x7ffffu) << 5;
        break;
    }
    st32_le(at, insn);
    return true;
}

void emit_return(struct emit *e) { a64_word(e, A_RET); }

/* ---- registers ---------------------------------------------------------------------------------------- */

static uint32_t sf(bool w) { return (uint32_t)w << 31; }

void a64_rrr(struct emit *e, uint32_t op, bool w, unsigned d, unsigned n, unsigned m) { a64_word(e, op | sf(w) | m << 16 | n << 5 | d); }

void a64_rrs(struct emit *e, uint32_t op, bool w, unsigned d, unsigned n, unsigned m, unsigned shift, unsigned by)
{
    a64_word(e, op | sf(w) | shift << 22 | m << 16 | by << 10 | n << 5 | d);
}

void a64_rrrr(struct emit *e, uint32_t op, bool w, unsigned d, unsigned n, unsigned m, unsigned a)
{
    a64_word(e, op | sf(w) | m << 16 | a << 10 | n << 5 | d);
}

void a64_rr(struct emit *e, uint32_t op, bool w, unsigned d, unsigned n) { a64_word(e, op | sf(w) | n << 5 | d); }

void a64_csel(struct emit *e, uint32_t op, bool w, unsigned d, unsigned n, unsigned m, unsigned cc)
{
    a64_word(e, op | sf(w) | m << 16 | cc << 12 | n << 5 | d);
}

void a64_ccmp(struct emit *e, uint32_t op, bool w, unsigned n, unsigned imm, unsigned nzcv, unsigned cc)
{
    a64_word(e, op | sf(w) | imm << 16 | cc << 12 | n << 5 | nzcv);
}

void a64_mov(struct emit *e, bool w, unsigned d, unsigned n)
{
    if (d != n) a64_rrr(e, A_ORR, w, d, ZR, n);
}

/* ---- immediates --------------------------------------------------------------------------------------- */

bool a64_is_imm12(uint64_t v) { return !(v & ~UINT64_C(0xfff)) || !(v & ~UINT64_C(0xfff000)); }

void a64_addsub(struct emit *e, uint32_t op, bool w, unsigned d, unsigned n, uint32_t imm)
{
    bool high = imm > 0xfff;
    a64_word(e, op | sf(w) | (uint32_t)high << 22 | (high ? imm >> 12 : imm) << 10 | n << 5 | d);
}

void a64_add_imm(struct emit *e, bool w, unsigned d, unsigned n, int64_t v)
{
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    uint32_t op = v < 0 ? A_SUBI : A_ADDI;
    if (!v) {
        a64_mov(e, w, d, n);
    } else if (a64_is_imm12(u)) {
        a64_addsub(e, op, w, d, n, (uint32_t)u);
    } else if (u < 1u << 24) {
        a64_addsub(e, op, w, d, n, (uint32_t)u & 0xfff000u);
        a64_addsub(e, op, w, d, d, (uint32_t)u & 0xfffu);
    } else {
        a64_mov_imm(e, X17, w ? (uint64_t)v : (uint32_t)v);
        a64_rrr(e, A_ADD, w, d, n, X17);
    }
}

/* An immediate is an element of 2 to 64 bits, repeated; the element is a run of ones, turned right by immr. */
bool a64_logic_bits(bool w, uint64_t v, uint32_t *bits)
{
    if (!w) v = (uint32_t)v | v << 32;
    if (!v || !~v) return false;
    unsigned size = 64;
    while (size > 2) {
        unsigned half = size / 2;
        uint64_t mask = UINT64_MAX >> (64 - half);
        if ((v & mask) != (v >> half & mask)) break;
        size = half;
    }
    uint64_t mask = UINT64_MAX >> (64 - size), x = v & mask;
    unsigned ones = host_popcnt64(x), start;
    /* where the run starts, looking up from a zero */
    if (x & 1) start = (size - (host_clz64(~x & mask) - (64 - size))) % size; /* above the highest zero */
    else start = host_ctz64(x);
    uint64_t run = ones == 64 ? UINT64_MAX : (UINT64_C(1) << ones) - 1;
    uint64_t turned = start ? (run << start | run >> (size - start)) & mask : run;
    if (turned != x) return false;
    unsigned immr = (size - start) % size;
    unsigned imms = ((0x3fu & ~(size * 2 - 1)) | (ones - 1)) & 0x3f;
    *bits = (uint32_t)(size == 64) << 12 | immr << 6 | imms;
    return true;
}

bool a64_logic(struct emit *e, uint32_t op, bool w, unsigned d, unsigned n, uint64_t v)
{
    uint32_t bits;
    if (!a64_logic_bits(w, v, &bits)) return false;
    a64_word(e, op | sf(w) | bits << 10 | n << 5 | d);
    return true;
}

void a64_bitfield(struct emit *e, uint32_t op, bool w, unsigned d, unsigned n, unsigned immr, unsigned imms)
{
    a64_word(e, op | sf(w) | (uint32_t)w << 22 | immr << 16 | imms << 10 | n << 5 | d);
}

void a64_lsl(struct emit *e, bool w, unsigned d, unsigned n, unsigned by)
{
    unsigned width = w ? 64 : 32;
    if (by) a64_bitfield(e, A_UBFM, w, d, n, width - by, width - 1 - by);
    else a64_mov(e, w, d, n);
}

void a64_lsr(struct emit *e, bool w, unsigned d, unsigned n, unsigned by)
{
    if (by) a64_bitfield(e, A_UBFM, w, d, n, by, w ? 63 : 31);
    else a64_mov(e, w, d, n);
}

void a64_asr(struct emit *e, bool w, unsigned d, unsigned n, unsigned by)
{
    if (by) a64_bitfield(e, A_SBFM, w, d, n, by, w ? 63 : 31);
    else a64_mov(e, w, d, n);
}

void a64_movw(struct emit *e, uint32_t op, bool w, unsigned d, unsigned imm16, unsigned part)
{
    a64_word(e, op | sf(w) | part << 21 | (uint32_t)imm16 << 5 | d);
}

void a64_mov_imm(struct emit *e, unsigned d, uint64_t v)
{
    unsigned parts = v > UINT32_MAX ? 4 : 2, zeros = 0, ones = 0;
    bool w = parts == 4;
    for (unsigned i = 0; i < parts; i++) {
        unsigned p = v >> 16 * i & 0xffff;
        zeros += p == 0, ones += p == 0xffff;
    }
    if (zeros < parts - 1 && ones < parts - 1 && a64_logic(e, A_ORRI, w, d, ZR, v)) return;
    bool inverted = ones > zeros, first = true;
    unsigned skip = inverted ? 0xffff : 0;
    for (unsigned i = 0; i < parts; i++) {
        unsigned p = v >> 16 * i & 0xffff;
        if (p == skip) continue;
        if (first) a64_movw(e, inverted ? A_MOVN : A_MOVZ, w, d, inverted ? p ^ 0xffff : p, i);
        else a64_movw(e, A_MOVK, w, d, p, i);
        first = false;
    }
    if (first) a64_movw(e, inverted ? A_MOVN : A_MOVZ, w, d, 0, 0);
}

/* ---- memory ------------------------------------------------------------------------------------------- */

bool a64_fits(uint32_t op, struct a64_mem m)
{
    unsigned size = op >> 30;
    if (m.index != NO_REG) return true;
    if (m.disp >= -256 && m.disp < 256) return true;
    return m.disp >= 0 && !(m.disp & ((1 << size) - 1)) && m.disp >> size < 4096;
}

void a64_ldst(struct emit *e, uint32_t op, unsigned reg, struct a64_mem m)
{
    unsigned size = op >> 30;
    uint32_t other = op & ~(1u << 24);
    if (!a64_fits(op, m)) {
        a64_mov_imm(e, X17, (uint64_t)(int64_t)m.disp);
        m = a64_at2(m.base, X17, false);
    }
    if (m.index != NO_REG) {
        a64_word(e, other | 1u << 21 | (uint32_t)m.index << 16 | (m.word ? 2u : 3u) << 13 | (m.shift ? 1u : 0) << 12 | 2u << 10 | (uint32_t)m.base << 5 | reg);
    } else if (m.disp >= 0 && !(m.disp & ((1 << size) - 1)) && m.disp >> size < 4096) {
        a64_word(e, op | (uint32_t)(m.disp >> size) << 10 | (uint32_t)m.base << 5 | reg);
    } else {
        a64_word(e, other | ((uint32_t)m.disp & 0x1ff) << 12 | (uint32_t)m.base << 5 | reg);
    }
}

void a64_pair(struct emit *e, uint32_t op, unsigned reg, unsigned reg2, unsigned base, int32_t disp)
{
    a64_word(e, op | ((uint32_t)(disp >> 3) & 0x7f) << 15 | reg2 << 10 | base << 5 | reg);
}

/* ---- floating point ----------------------------------------------------------------------------------- */

void a64_fff(struct emit *e, uint32_t op, bool dbl, unsigned d, unsigned n, unsigned m)
{
    a64_word(e, op | (uint32_t)dbl << 22 | m << 16 | n << 5 | d);
}

void a64_ff(struct emit *e, uint32_t op, bool dbl, unsigned d, unsigned n) { a64_word(e, op | (uint32_t)dbl << 22 | n << 5 | d); }

void a64_ffff(struct emit *e, uint32_t op, bool dbl, unsigned d, unsigned n, unsigned m, unsigned a)
{
    a64_word(e, op | (uint32_t)dbl << 22 | m << 16 | a << 10 | n << 5 | d);
}

void a64_fcvt(struct emit *e, uint32_t op, bool w, bool dbl, unsigned d, unsigned n)
{
    a64_word(e, op | sf(w) | (uint32_t)dbl << 22 | n << 5 | d);
}

void a64_dn(struct emit *e, uint32_t op, unsigned d, unsigned n) { a64_word(e, op | n << 5 | d); }
