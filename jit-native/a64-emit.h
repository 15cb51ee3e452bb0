/*
 * a64-emit.h - encoding A64 instructions: register, immediate and memory forms.
 *
 * Follows the Arm Architecture Reference Manual for A-profile, chapter C4 (encodings) and C6, C7 (instruction pages). An
 * instruction is a constant with the bits that are fixed, and a function for each shape of operands that fills in the rest.
 * It knows nothing of the IR, nor of what the code is for.
 */
#ifndef JIT_NATIVE_A64_EMIT_H
#define JIT_NATIVE_A64_EMIT_H

#include "jit-native/emit.h"

enum lower_reg { X0, X1, X2, X3, X4, X5, X16 = 16, X17, X19 = 19, X24 = 24, X25, X26, X27, X28, X29, LR, ZR = 31, SP = 31, NO_REG = 0xff };
enum { C_EQ, C_NE, C_HS, C_LO, C_MI, C_PL, C_VS, C_VC, C_HI, C_LS, C_GE, C_LT, C_GT, C_LE, C_AL };

/* Three registers (a64_rrr; d, n, m). Add, subtract and logic may shift the third (a64_rrs). */
#define A_ADD   0x0b000000u
#define A_ADDS  0x2b000000u
#define A_SUB   0x4b000000u
#define A_SUBS  0x6b000000u
#define A_AND   0x0a000000u
#define A_BIC   0x0a200000u
#define A_ORR   0x2a000000u
#define A_ORN   0x2a200000u
#define A_EOR   0x4a000000u
#define A_EON   0x4a200000u
#define A_ANDS  0x6a000000u
#define A_LSLV  0x1ac02000u
#define A_LSRV  0x1ac02400u
#define A_ASRV  0x1ac02800u
#define A_RORV  0x1ac02c00u
#define A_UDIV  0x1ac00800u
#define A_SDIV  0x1ac00c00u
#define A_MUL   0x1b007c00u
#define A_SMULL 0x1b207c00u /* with w */
#define A_UMULL 0x1ba07c00u
#define A_SMULH 0x1b407c00u
#define A_UMULH 0x1bc07c00u
/* Four registers (a64_rrrr; d = a -+ n * m). */
#define A_MADD  0x1b000000u
#define A_MSUB  0x1b008000u
/* Two registers (a64_rr). */
#define A_CLZ   0x5ac01000u
#define A_CLS   0x5ac01400u
#define A_RBIT  0x5ac00000u
#define A_REV16 0x5ac00400u
#define A_REV32 0x5ac00800u /* the whole of a W register */
#define A_REV64 0x5ac00c00u /* with w */
/* Conditional (a64_csel). */
#define A_CSEL  0x1a800000u
#define A_CSINC 0x1a800400u
/* Immediates: add and subtract (a64_addsub), logic (a64_logic), bit fields (a64_bitfield), moves (a64_movw). */
#define A_ADDI  0x11000000u
#define A_ADDSI 0x31000000u
#define A_SUBI  0x51000000u
#define A_SUBSI 0x71000000u
#define A_ANDI  0x12000000u
#define A_ORRI  0x32000000u
#define A_EORI  0x52000000u
#define A_ANDSI 0x72000000u
#define A_SBFM  0x13000000u
#define A_BFM   0x33000000u
#define A_UBFM  0x53000000u
#define A_MOVN  0x12800000u
#define A_MOVZ  0x52800000u
#define A_MOVK  0x72800000u
/* Conditional compare with an immediate (a64_ccmp). */
#define A_CCMPI 0x7a400800u
#define A_CCMNI 0x3a400800u
/* Loads and stores (a64_ldst). The two highest bits are log2 of the size. */
#define A_STRB  0x39000000u
#define A_LDRB  0x39400000u
#define A_LDRSBX 0x39800000u
#define A_LDRSBW 0x39c00000u
#define A_STRH  0x79000000u
#define A_LDRH  0x79400000u
#define A_LDRSHX 0x79800000u
#define A_LDRSHW 0x79c00000u
#define A_STRW  0xb9000000u
#define A_LDRW  0xb9400000u
#define A_LDRSW 0xb9800000u
#define A_STRX  0xf9000000u
#define A_LDRX  0xf9400000u
#define A_STRS  0xbd000000u /* FP registers */
#define A_LDRS  0xbd400000u
#define A_STRD  0xfd000000u
#define A_LDRD  0xfd400000u
/* Pairs of 8 bytes (a64_pair). */
#define A_STP   0xa9000000u
#define A_LDP   0xa9400000u
#define A_STPD  0x6d000000u
#define A_LDPD  0x6d400000u
/* Floating point: three registers (a64_fff), two (a64_ff), four (a64_ffff), with an integer register (a64_fcvt). */
#define A_FADD  0x1e202800u
#define A_FSUB  0x1e203800u
#define A_FMUL  0x1e200800u
#define A_FDIV  0x1e201800u
#define A_FMAX  0x1e204800u
#define A_FMIN  0x1e205800u
#define A_FSQRT 0x1e21c000u
#define A_FMOV  0x1e204000u
#define A_FNEG  0x1e214000u
#define A_FCVT_DS 0x1e22c000u /* d = s */
#define A_FCVT_SD 0x1e624000u /* s = d */
#define A_FRINTN 0x1e244000u
#define A_FRINTP 0x1e24c000u
#define A_FRINTM 0x1e254000u
#define A_FRINTZ 0x1e25c000u
#define A_FRINTA 0x1e264000u
#define A_FRINTX 0x1e274000u
#define A_FCMP  0x1e202000u /* n, m; d = 0 */
#define A_FMADD 0x1f000000u /* a + n * m */
#define A_FMSUB 0x1f008000u /* a - n * m */
#define A_FNMADD 0x1f200000u /* -a - n * m */
#define A_FNMSUB 0x1f208000u /* -a + n * m */
#define A_SCVTF 0x1e220000u
#define A_UCVTF 0x1e230000u
#define A_FCVTNS 0x1e200000u
#define A_FCVTAS 0x1e240000u
#define A_FCVTPS 0x1e280000u
#define A_FCVTMS 0x1e300000u
#define A_FCVTZS 0x1e380000u
#define A_TO_UNSIGNED 0x00010000u /* added to FCVTxS */
#define A_FMOV_GF 0x1e260000u /* general = FP */
#define A_FMOV_FG 0x1e270000u /* FP = general */
/* Advanced SIMD (a64_word, with d and n). */
#define A_CNT8B 0x0e205800u
#define A_ADDV8B 0x0e31b800u
#define A_INS_S1 0x6e0c0400u /* d.s[1] = n.s[0] */
#define A_INS_S0 0x6e040400u
#define A_INS_S1G 0x4e0c1c00u /* d.s[1] = general n */
#define A_INS_S0G 0x4e041c00u
#define A_DUP_S1 0x5e0c0400u /* d = n.s[1] */
/* System. */
#define A_MRS_FPSR 0xd53b4420u
#define A_MSR_FPSR 0xd51b4420u
#define A_DMB_ISH 0xd5033bbfu
#define A_DMB_ISHLD 0xd50339bfu
#define A_NOP   0xd503201fu
#define A_BR    0xd61f0000u
#define A_BLR   0xd63f0000u
#define A_RET   0xd65f03c0u
enum { FPSR_IOC = 1, FPSR_UFC = 8 };
enum { S_LSL, S_LSR, S_ASR };

/* [base + disp], or [base + index], the index as it is or as an unsigned word. */
struct a64_mem { uint8_t base, index; bool word; int32_t disp; uint8_t shift; };
static inline struct a64_mem a64_at(unsigned base, int32_t disp) { return (struct a64_mem){ (uint8_t)base, NO_REG, false, disp, 0 }; }
static inline struct a64_mem a64_at2(unsigned base, unsigned index, bool word) { return (struct a64_mem){ (uint8_t)base, (uint8_t)index, word, 0, 0 }; }

static inline void a64_word(struct emit *e, uint32_t v) { emit_u32(e, v); }

void a64_bcond(struct emit *, unsigned cc, unsigned label);
void a64_cbz(struct emit *, bool nonzero, bool w, unsigned reg, unsigned label);
void a64_adr(struct emit *, unsigned reg, unsigned label);

/* w: 64-bit operands. */
void a64_rrr(struct emit *, uint32_t op, bool w, unsigned d, unsigned n, unsigned m);
void a64_rrs(struct emit *, uint32_t op, bool w, unsigned d, unsigned n, unsigned m, unsigned shift, unsigned by);
void a64_rrrr(struct emit *, uint32_t op, bool w, unsigned d, unsigned n, unsigned m, unsigned a);
void a64_rr(struct emit *, uint32_t op, bool w, unsigned d, unsigned n);
void a64_csel(struct emit *, uint32_t op, bool w, unsigned d, unsigned n, unsigned m, unsigned cc);
/* If cc then compare n with imm (0..31), else the flags are nzcv. */
void a64_ccmp(struct emit *, uint32_t op, bool w, unsigned n, unsigned imm, unsigned nzcv, unsigned cc);
/* Can v be the immediate of add and subtract: 12 bits, or these shifted by 12? */
bool a64_is_imm12(uint64_t v);
void a64_addsub(struct emit *, uint32_t op, bool w, unsigned d, unsigned n, uint32_t imm);
/* d = n + v, any v; by way of x17 where it takes a constant. d, n: no ZR. */
void a64_add_imm(struct emit *, bool w, unsigned d, unsigned n, int64_t v);
/* The 13 bits N:immr:imms of a logical immediate; false: v is none. */
bool a64_logic_bits(bool w, uint64_t v, uint32_t *bits);
/* False: nothing emitted, no such immediate. */
bool a64_logic(struct emit *, uint32_t op, bool w, unsigned d, unsigned n, uint64_t v);
void a64_bitfield(struct emit *, uint32_t op, bool w, unsigned d, unsigned n, unsigned immr, unsigned imms);
void a64_movw(struct emit *, uint32_t op, bool w, unsigned d, unsigned imm16, unsigned part);
/* The shortest form that gives the value. */
void a64_mov_imm(struct emit *, unsigned d, uint64_t v);
void a64_mov(struct emit *, bool w, unsigned d, unsigned n);
void a64_lsl(struct emit *, bool w, unsigned d, unsigned n, unsigned by);
void a64_lsr(struct emit *, bool w, unsigned d, unsigned n, unsigned by);
void a64_asr(struct emit *, bool w, unsigned d, unsigned n, unsigned by);
/* Is the address one that the instruction can encode? */
bool a64_fits(uint32_t op, struct a64_mem);
/* One instruction if it fits, else by way of x17. */
void a64_ldst(struct emit *, uint32_t op, unsigned reg, struct a64_mem);
void a64_pair(struct emit *, uint32_t op, unsigned reg, unsigned reg2, unsigned base, int32_t disp);
/* dbl: operands are doubles. */
void a64_fff(struct emit *, uint32_t op, bool dbl, unsigned d, unsigned n, unsigned m);
void a64_ff(struct emit *, uint32_t op, bool dbl, unsigned d, unsigned n);
void a64_ffff(struct emit *, uint32_t op, bool dbl, unsigned d, unsigned n, unsigned m, unsigned a);
void a64_fcvt(struct emit *, uint32_t op, bool w, bool dbl, unsigned d, unsigned n);
void a64_dn(struct emit *, uint32_t op, unsigned d, unsigned n);

#endif
