/*
 * translate.h - the x86 front end's working state and what its files share. Private to isa/x86.
 *
 * A value of a general operand is a cell of the register type (t->w); only its low bits, as many as the operand has, count,
 * unless a function says otherwise.
 */
#ifndef ISA_X86_TRANSLATE_H
#define ISA_X86_TRANSLATE_H

#include "isa/x86/decode.h"
#include "isa/x86/x86.h"

struct x86_tr {
    struct ir_builder *b;
    struct x86_cpu *x;
    uint64_t key, features;
    enum x86_mode mode;
    bool cells64;            /* registers are 64-bit cells */
    uint32_t cs_base;
    enum ir_type w;
    unsigned mmu;
    /* the current instruction */
    struct x86_insn i;
    uint64_t pc, next;       /* its linear address and that of the one behind it */
    uint32_t arg;
    unsigned size;           /* bytes of the first operand, or the operand size */
    bool have_ea;
    ir_id ea;                /* linear address of the memory operand, once computed */
    int ea_disp;
    /* the flags, as far as this block knows; a: the first operand, or IR_NONE */
    struct { bool known; unsigned op; ir_id a; } cc;
    ir_id zx;                /* a value of 32 bits that is known to be zero-extended */
    int exit;                /* enum ir_exit to leave by after the instruction; -1: go on */
    bool done;               /* the block is complete */
};

/* translate.c */
static inline ir_id xk(const struct x86_tr *t, uint64_t v) { return ir_const(t->b, t->w, v); }
static inline ir_id xt(const struct x86_tr *t) { return ir_temp(t->b, t->w); }
static inline ir_id x2(const struct x86_tr *t, enum ir_opcode op, ir_id a, ir_id b) { return ir_op2(t->b, op, t->w, xt(t), a, b); }
static inline ir_id x1(const struct x86_tr *t, enum ir_opcode op, ir_id a) { return ir_op1(t->b, op, t->w, xt(t), a); }
static inline unsigned x_log2(unsigned bytes) { return bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3; }
ir_id x_zx(const struct x86_tr *, ir_id, unsigned bytes);       /* zero-extended into a cell */
ir_id x_sx(const struct x86_tr *, ir_id, unsigned bytes);
ir_id x_reg(const struct x86_tr *, unsigned n, unsigned bytes, bool high); /* high: ah ch dh bh by 4..7 */
void x_set_reg(struct x86_tr *, unsigned n, unsigned bytes, bool high, ir_id value);
ir_id x_whole(struct x86_tr *, unsigned bytes, ir_id value);   /* as its register will hold it: flags and register share one value */
void x_set_full(struct x86_tr *, unsigned n, ir_id value);      /* the whole cell */
ir_id x_get(struct x86_tr *, unsigned operand);                 /* reads an operand; memory: zero-extended */
void x_set(struct x86_tr *, unsigned operand, ir_id value);     /* writes it */
unsigned x_bytes(const struct x86_tr *, unsigned operand);
static inline bool x_is_mem(const struct x86_tr *t, unsigned k) { return x86_op_is_mem(&t->i, &t->i.form->op[k]); }
void x_address(struct x86_tr *);                                /* computes t->ea, t->ea_disp */
ir_id x_linear(struct x86_tr *, ir_id offset, unsigned seg);    /* an offset of t->i.asize bytes in a segment */
ir_id x_offset(struct x86_tr *);                                /* the memory operand's offset, as lea gives it */
ir_id x_ea(struct x86_tr *);                                    /* its linear address in one cell */
ir_id x_ld(struct x86_tr *, unsigned bytes);                    /* the memory operand, zero-extended */
void x_st(struct x86_tr *, unsigned bytes, ir_id value);
void x_raise(struct x86_tr *, unsigned code, unsigned sub);     /* always; the block ends */
void x_raise_if(struct x86_tr *, enum ir_type, enum ir_cond, ir_id a, ir_id b, unsigned code, unsigned sub);
void x_goto(struct x86_tr *, uint64_t pc, unsigned hint);       /* ends the block */
uint64_t x_target(const struct x86_tr *);                       /* of a relative jump */
ir_id x_to_linear(struct x86_tr *, ir_id ip);                   /* an instruction pointer of the operand size */
unsigned x_data_segment(const struct x86_tr *);                 /* of the memory operand */
void x_forget(struct x86_tr *, ir_id slot);                     /* a register slot is written: as an operand of flags it is gone */

/* translate-system.c. The check of an access to a segment, where the key says that one is needed; those of an instruction's
 * operands; whether the mode permits its floating point (else the fault has been emitted). */
void x_check(struct x86_tr *, ir_id off, unsigned seg, unsigned bytes, bool write);
void x_check_operands(struct x86_tr *);
bool x_fp_permitted(struct x86_tr *);
void x_put_pair(struct x86_tr *, ir_id v);                      /* edx:eax from an I64 cell */

/* flags */
struct x_cond { enum ir_type type; enum ir_cond cond; ir_id a, b; };
/* a: the operation's first operand when it is known and stays what it is, or IR_NONE */
void x_flags(struct x86_tr *, unsigned kind, unsigned bytes, ir_id r, ir_id b, ir_id a);
void x_flags_incdec(struct x86_tr *, unsigned dec, unsigned bytes, ir_id r); /* when CF is not known, or not of this block */
bool x_carry_far(const struct x86_tr *);                        /* is that so? */
void x_flags_unknown(struct x86_tr *);                          /* at labels: what is known holds no longer */
ir_id x_flags_all(struct x86_tr *);                             /* the six flags in an I32 cell */
void x_flags_set(struct x86_tr *, ir_id flags32);               /* from an I32 cell */
struct x_cond x_cond(struct x86_tr *, unsigned cc);             /* cc as in opcodes, 0 to 15 */
ir_id x_cond_value(struct x86_tr *, unsigned cc);               /* 0 or 1 in a cell */
ir_id x_carry(struct x86_tr *);                                 /* CF, 0 or 1, in a cell */

/* stack: the pointer is written by the caller, last */
ir_id x_push_value(struct x86_tr *, ir_id sp, unsigned bytes, ir_id value); /* stores; returns the new pointer */
ir_id x_pop_value(struct x86_tr *, ir_id sp, unsigned bytes);               /* loads */
void x_set_sp(struct x86_tr *, ir_id sp);

/* segment-user.c: these are user mode's; system mode's call them when x->user is set */
void x86_tr_user_mov_from_seg(struct x86_tr *), x86_tr_user_mov_to_seg(struct x86_tr *), x86_tr_user_push_seg(struct x86_tr *),
    x86_tr_user_pop_seg(struct x86_tr *), x86_tr_user_load_far(struct x86_tr *);

#endif
