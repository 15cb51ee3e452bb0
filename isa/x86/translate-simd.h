/*
 * translate-simd.h - what the front end's vector files share. Private to isa/x86.
 */
#ifndef ISA_X86_TRANSLATE_SIMD_H
#define ISA_X86_TRANSLATE_SIMD_H

#include "isa/x86/translate.h"

unsigned v_bytes(const struct x86_tr *, unsigned operand);
/* First cell of an operand; memory that is smaller than so many cells is followed by zeros. */
ir_id v_get(struct x86_tr *, unsigned operand);
ir_id v_get_cells(struct x86_tr *, unsigned operand, unsigned cells);
ir_id v_dest(struct x86_tr *, unsigned operand);                    /* a register operand's slots */
void v_finish(struct x86_tr *, unsigned operand, unsigned bytes);   /* VEX: clears the register beyond so many bytes */
void v_set(struct x86_tr *, unsigned operand, ir_id v, unsigned bytes); /* register or memory */
void v_copy(struct x86_tr *, ir_id d, ir_id v, unsigned bytes);
void v_op(struct x86_tr *, enum ir_opcode, unsigned lane, unsigned bytes, ir_id d, ir_id a, ir_id b, ir_id c, uint32_t imm);
ir_id v_zeros(struct x86_tr *, unsigned bytes);
ir_id v_const(struct x86_tr *, uint64_t lo, uint64_t hi);
ir_id v_from_gpr(struct x86_tr *, ir_id, unsigned bytes);
ir_id v_to_gpr(struct x86_tr *, ir_id);

#endif
