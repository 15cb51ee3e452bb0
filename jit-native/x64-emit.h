/*
 * x64-emit.h - encoding x86-64 instructions: prefixes, ModRM and SIB, immediates.
 *
 * Follows the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2 (chapter 2 and the instruction pages).
 * It knows nothing of the IR, nor of what the code is for.
 */
#ifndef JIT_NATIVE_X64_EMIT_H
#define JIT_NATIVE_X64_EMIT_H

#include "jit-native/emit.h"

enum lower_reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NO_REG = 0xff };

/* [base + index << scale + disp] */
struct x64_mem { uint8_t base, index, scale; int32_t disp; };
/* The r/m operand: a register (GPR or XMM, as the instruction says) or memory. */
struct x64_rm { bool is_reg; uint8_t reg; struct x64_mem mem; };

static inline struct x64_mem x64_at(unsigned base, int32_t disp) { return (struct x64_mem){ (uint8_t)base, NO_REG, 0, disp }; }
static inline struct x64_mem x64_at2(unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    return (struct x64_mem){ (uint8_t)base, (uint8_t)index, (uint8_t)scale, disp };
}
static inline struct x64_rm x64_r(unsigned reg) { return (struct x64_rm){ true, (uint8_t)reg, { 0, 0, 0, 0 } }; }
static inline struct x64_rm x64_m(struct x64_mem m) { return (struct x64_rm){ false, 0, m }; }

/* An opcode: the byte, its map, its mandatory prefix; XB: the operands in register fields are bytes. */
enum {
    X_0F = 0x100, X_0F38 = 0x200, X_0F3A = 0x300, X_MAP = 0x300,
    X_66 = 0x400, X_F3 = 0x800, X_F2 = 0x1000, X_B = 0x2000,
};
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
enum { SH_ROL, SH_ROR, SH_RCL, SH_RCR, SH_SHL, SH_SHR, SH_SAL, SH_SAR };
enum { X_O, X_NO, X_C, X_NC, X_Z, X_NZ, X_BE, X_A, X_S, X_NS, X_P, X_NP, X_L, X_GE, X_LE, X_G };

void x64_jcc(struct emit *, unsigned cc, unsigned label);
/* reg = the address of the label. */
void x64_lea_label(struct emit *, unsigned reg, unsigned label);

/* reg, r/m. w: 64-bit operands. */
void x64_op(struct emit *, unsigned op, bool w, unsigned reg, struct x64_rm);
/* The same followed by an immediate of n bytes. */
void x64_op_imm(struct emit *, unsigned op, bool w, unsigned reg, struct x64_rm, unsigned n, uint32_t imm);
/* VEX: reg, v, r/m; pp and map are taken from the opcode's prefix and map. */
void x64_vex(struct emit *, unsigned op, bool w, unsigned reg, unsigned v, struct x64_rm);

/* The shortest form that gives the value; 32-bit writes clear the upper half. */
void x64_mov_imm(struct emit *, unsigned reg, uint64_t);
void x64_mov(struct emit *, bool w, unsigned to, unsigned from);
void x64_alu(struct emit *, unsigned alu, bool w, unsigned reg, struct x64_rm);     /* reg op= r/m */
void x64_alu_to(struct emit *, unsigned alu, bool w, struct x64_rm, unsigned reg);  /* r/m op= reg */
void x64_alu_imm(struct emit *, unsigned alu, bool w, struct x64_rm, int32_t imm);
void x64_shift_imm(struct emit *, unsigned sh, bool w, struct x64_rm, unsigned n);
void x64_shift_cl(struct emit *, unsigned sh, bool w, struct x64_rm);
void x64_lea(struct emit *, bool w, unsigned reg, struct x64_mem);
void x64_test(struct emit *, bool w, unsigned a, unsigned b);
void x64_test_imm(struct emit *, bool w, struct x64_rm, uint32_t imm);
void x64_setcc(struct emit *, unsigned cc, unsigned reg8);
void x64_cmov(struct emit *, unsigned cc, bool w, unsigned reg, struct x64_rm);

#endif
