/*
 * fpu.c - the MIPS FPU's control registers, and arithmetic with traps enabled.
 * Follows MD00082, chapter "FPU programming model" (FCSR, exceptions).
 *
 * FCSR is kept in pieces. m->fcsr: rounding, enables, FS, NAN2008, ABS2008, and the Cause field as long as no
 * FP operation ran since it was set (c.fp_note.op is 0 then); otherwise Cause is what the last noted
 * operation raises. Flags are the engine's sticky flags; condition codes are the slot MS_FCC.
 *
 * Not here: arithmetic without traps, which is IR ops (translate-fpu.c).
 */
#include "isa/mips/mips.h"


enum {
    FCSR_RM = 3,
    FCSR_FLAGS_SHIFT = 2, FCSR_ENABLES_SHIFT = 7, FCSR_CAUSE_SHIFT = 12,
    FCSR_FLAGS = 0x1f << FCSR_FLAGS_SHIFT,
    FCSR_ENABLES = 0x1f << FCSR_ENABLES_SHIFT,
    FCSR_CAUSE = 0x3f << FCSR_CAUSE_SHIFT,
    FCSR_NAN2008 = 1 << 18, FCSR_ABS2008 = 1 << 19, FCSR_MAC2008 = 1 << 20,
    FCSR_FS = 1 << 24,
    CAUSE_E = 0x20, /* unimplemented operation: always traps */
    CAUSE_UNDERFLOW = 2,
    FCSR_STORED = FCSR_RM | FCSR_ENABLES | FCSR_NAN2008 | FCSR_ABS2008 | FCSR_MAC2008 | FCSR_FS,
};
static const uint32_t fcsr_fcc = 0xfe800000u;

/* The five-bit exception fields: I, U, O, Z, V from bit 0 up. */
static uint32_t to_field(unsigned flags)
{
    return (flags & FP_INEXACT ? 1u : 0) | (flags & FP_UNDERFLOW ? 2u : 0) | (flags & FP_OVERFLOW ? 4u : 0) |
           (flags & FP_DIVZERO ? 8u : 0) | (flags & FP_INVALID ? 16u : 0);
}

static unsigned from_field(uint32_t f)
{
    return (f & 1 ? FP_INEXACT : 0u) | (f & 2 ? FP_UNDERFLOW : 0u) | (f & 4 ? FP_OVERFLOW : 0u) |
           (f & 8 ? FP_DIVZERO : 0u) | (f & 16 ? FP_INVALID : 0u);
}

static uint32_t cause(struct mips_cpu *m)
{
    if (!m->c.fp_note.op) return m->fcsr & FCSR_CAUSE;
    return to_field(cpu_fp_last_flags(&m->c)) << FCSR_CAUSE_SHIFT;
}

static void set_cause(struct mips_cpu *m, uint32_t field)
{
    m->c.fp_note.op = 0;
    m->fcsr = (m->fcsr & ~(uint32_t)FCSR_CAUSE) | field << FCSR_CAUSE_SHIFT;
}

/* Condition code 0 is bit 23, 1 to 7 are bits 25 to 31. */
static uint32_t fcc_bits(uint32_t fcc) { return (fcc & 1) << 23 | (fcc & 0xfe) << 24; }

uint32_t mips_fcsr_read(struct mips_cpu *m)
{
    return (m->fcsr & FCSR_STORED) | cause(m) | to_field(cpu_fp_flags(&m->c)) << FCSR_FLAGS_SHIFT | fcc_bits(m->fcc);
}

/* What the FP rules of the engine derive from FCSR. */
static void set_env(struct mips_cpu *m)
{
    static const uint8_t round[4] = { FP_RNE, FP_RTZ, FP_RUP, FP_RDN };
    struct fp_env *e = &m->c.fp;
    bool nan2008 = m->fcsr & FCSR_NAN2008;

    e->round = round[m->fcsr & FCSR_RM];
    e->ftz = e->daz = m->fcsr & FCSR_FS;
    e->nan_rule = nan2008 ? FP_NAN_SNAN_FIRST : FP_NAN_MIPS_LEGACY;
    e->nan_legacy = !nan2008;
    e->nan_negative = false;
    e->tiny_before = false;
}

bool mips_fcsr_write(struct mips_cpu *m, uint32_t value)
{
    uint32_t rw = m->model->fcr31_rw | FCSR_CAUSE;

    value = (value & rw) | (mips_fcsr_read(m) & ~rw);
    m->fcsr = value & FCSR_STORED;
    m->fcc = (value >> 23 & 1) | (value & fcsr_fcc) >> 24;
    m->fcc &= 0xff;
    set_env(m);
    mips_update_key(m);
    cpu_fp_set_flags(&m->c, from_field(value >> FCSR_FLAGS_SHIFT & 0x1f));
    set_cause(m, value >> FCSR_CAUSE_SHIFT & 0x3f);

    uint32_t trap = value >> FCSR_CAUSE_SHIFT & (CAUSE_E | (value >> FCSR_ENABLES_SHIFT & 0x1f));
    if (!trap) return true;
    m->c.exc = (struct exception){ ME_FPE, 0, 0 };
    return false;
}

enum { FIR = 0, FCCR = 25, FEXR = 26, FENR = 28, FCSR = 31 };

uint64_t mips_helper_cfc1(struct cpu *cpu, uint64_t reg, uint64_t b, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    uint32_t v = mips_fcsr_read(m);

    (void)b, (void)c;
    switch (reg) {
    case FIR: return m->model->fcr0;
    case FCCR: return m->fcc;
    case FEXR: return v & (FCSR_CAUSE | FCSR_FLAGS);
    case FENR: return (v & (FCSR_ENABLES | FCSR_RM)) | (v & FCSR_FS ? 4 : 0);
    case FCSR: return v;
    default: return 0;
    }
}

uint64_t mips_helper_ctc1(struct cpu *cpu, uint64_t reg, uint64_t value, uint64_t c)
{
    struct mips_cpu *m = mips_cpu(cpu);
    uint32_t v = (uint32_t)value, old = mips_fcsr_read(m);

    (void)c;
    switch (reg) {
    case FCCR: v = (old & ~fcsr_fcc) | fcc_bits(v & 0xff); break;
    case FEXR: v = (old & ~(uint32_t)(FCSR_CAUSE | FCSR_FLAGS)) | (v & (FCSR_CAUSE | FCSR_FLAGS)); break;
    case FENR:
        v = (old & ~(uint32_t)(FCSR_ENABLES | FCSR_RM | FCSR_FS)) | (v & (FCSR_ENABLES | FCSR_RM)) |
            (v & 4 ? FCSR_FS : 0);
        break;
    case FCSR: break;
    default: return 0; /* read-only or not there */
    }
    if (!mips_fcsr_write(m, v)) cpu_raise(cpu);
    return 0;
}

/* A nonzero result too small for a normal number: underflow where that traps, exact or not. */
static bool is_tiny(unsigned type, uint64_t v)
{
    if (type == T_I64) return (v << 1) && !(v << 1 >> 53);
    return (v & 0x7fffffff) && !(v & 0x7f800000);
}

/* Result format of an op that yields a floating-point number, or -1. */
static int result_type(unsigned op, unsigned type)
{
    switch (op) {
    case OP_FCMP: case OP_F32_I32: case OP_F32_I64: case OP_F64_I32: case OP_F64_I64: return -1;
    case OP_F64_F32: case OP_I32_F32: case OP_I64_F32: return T_I32;
    case OP_F32_F64: case OP_I32_F64: case OP_I64_F64: return T_I64;
    default: return (int)type;
    }
}

/* a: IR opcode | operand type << 16 | attribute (FCMP) or rounding and rule (float -> int) << 24 */
uint64_t mips_helper_fp_slow(struct cpu *cpu, uint64_t what, uint64_t a, uint64_t b)
{
    struct mips_cpu *m = mips_cpu(cpu);
    unsigned op = what & 0xffff, type = what >> 16 & 0xff, extra = what >> 24 & 0xff;
    unsigned sticky = cpu_fp_flags(cpu);
    uint32_t enables = m->fcsr >> FCSR_ENABLES_SHIFT & 0x1f, raised;
    uint64_t r;

    if (op >= OP_COUNT || (op != OP_FCMP && ir_op_info[op].cls != CLASS_FP && ir_op_info[op].cls != CLASS_FPCV)) return 0;
    cpu_fp_set_flags(cpu, 0);
    r = fp_exec(cpu, op, type, op == OP_FCMP ? extra : 0, op == OP_FCMP ? 0 : extra, a, b, 0);
    raised = to_field(cpu->fp.flags);
    int result = result_type(op, type);
    if (enables & CAUSE_UNDERFLOW && result >= 0 && is_tiny((unsigned)result, r)) raised |= CAUSE_UNDERFLOW;
    if (raised & enables) {
        cpu_fp_set_flags(cpu, sticky);
        set_cause(m, raised);
        m->c.exc = (struct exception){ ME_FPE, 0, 0 };
        cpu_raise(cpu);
    }
    cpu_fp_set_flags(cpu, sticky | cpu->fp.flags);
    return r;
}
