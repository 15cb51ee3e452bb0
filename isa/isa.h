/*
 * isa.h - an instruction set as the rest of the house sees it: its CPU models, its registers for
 * people and debuggers, its disassembler, and the translation contract.
 *
 * The contract for struct guest.translate (interp/cpu.h):
 *  - Decode from b->blk.pc in mode b->blk.key, one guest instruction after the other. For each:
 *    ir_insn(); ir_fetch(); emit. Stop after an instruction that ends the block, or when ir_insn
 *    returns false, with ir_goto(ir_link(b, pc, key, IR_HINT_NONE)) to the next instruction.
 *  - A branch and its delay slot are one unit: the branch's ir_insn without, the slot's with
 *    IR_INSN_CONT. Interrupts, budgets and single steps happen between units only.
 *  - Everything that selects semantics (mode bits) comes from b->blk.key or is constant for the CPU (its
 *    model); registers are read at run time. State that key depends on is changed by instructions that
 *    end the block with ir_exit(IR_EXIT_MODE or IRQ); the helper updates cpu->key.
 *  - A change of the key that also changes the MMU mode leaves by ir_exit, never by a link or ir_ind: those go on with
 *    the TLB of the mode they left.
 *  - Illegal encodings raise the ISA's exception at run time, via a helper.
 *  - Instructions that read time or touch interrupt state (HELPER_TIME) end the block.
 */
#ifndef ISA_ISA_H
#define ISA_ISA_H

#include "interp/cpu.h"
#include "interp/engine.h"

struct isa;
struct cpu_model {
    const char *name;        /* as -cpu takes it */
    const char *help;
    const void *def;         /* the ISA's own description */
};

struct bus_clock;
struct state_field;

/* A register for `info registers`, $reg and gdb; derived from slots where a slot is all there is. */
struct isa_reg {
    const char *name;
    uint8_t bits;            /* 32, 64, 80, 128 */
    uint64_t (*get)(struct cpu *, unsigned arg);  /* NULL: slot `arg` */
    void (*set)(struct cpu *, unsigned arg, uint64_t value);
    unsigned arg;
    unsigned regnum;         /* ISA_REGNUM(gdb's number); 0: one more than the register before it */
    const char *type;        /* as gdb's target description has it; NULL: by size */
    /* of registers of more than 64 bits: the rest */
    uint64_t (*get_high)(struct cpu *, unsigned arg);
    void (*set_high)(struct cpu *, unsigned arg, uint64_t value);
};
#define ISA_REGNUM(n) ((n) + 1)
struct isa_gdb_feature {
    const char *name;        /* "org.gnu.gdb.mips.cpu" */
    const struct isa_reg *regs;
    unsigned n_regs;
    const char *types;       /* XML of the types that its registers name, or NULL */
};

/* A program name suffix that means this ISA. */
struct isa_target {
    const char *suffix;      /* "mipsel" */
    bool big_endian;
};

struct isa {
    const char *name;                   /* "mips32": unique */
    const struct isa_target *targets;   /* ended by a NULL suffix */
    const struct guest *guest;
    const struct cpu_model *models;
    unsigned n_models;
    /* A model with changes ("NAME,+feature,-feature"), to be freed by mem_free. NULL + error. May be NULL. */
    const struct cpu_model *(*derive_model)(const struct isa *, const char *text, struct error *);
    /* The i-th feature that derive_model's changes can name, in its order of listing; NULL: there are no more. May be NULL. */
    const char *(*feature_name)(unsigned i);
    const char *gdb_arch;               /* <architecture> of target.xml */
    const struct isa_gdb_feature *gdb;
    unsigned n_gdb;
    /* After cpu_new: applies model and byte order; user: set up for Linux user mode. 0 or -1. */
    int (*init)(struct cpu *, const struct cpu_model *, bool big_endian, bool user, struct error *);
    void (*reset)(struct cpu *);        /* hardware reset; also done by init */
    /* Input pins: n is the ISA's numbering (MIPS: IP0..IP7 = hardware interrupts 2..7 as 2..7) */
    void (*set_irq)(struct cpu *, unsigned n, bool level);
    /* Text of the instruction at pc from bytes[0..n): returns its length, or 0 if n is too short. key: mode. */
    unsigned (*disas)(const struct cpu *, uint64_t key, uint64_t pc, const uint8_t *bytes, size_t n, char *out, size_t size);
    /* `info registers`: one call of put for each line of text, without newline; fpu: with the FPU's registers */
    void (*dump)(struct cpu *, void (*put)(void *, const char *text), void *opaque, bool fpu);
    /* `info tlb`; may be NULL */
    void (*dump_tlb)(struct cpu *, void (*put)(void *, const char *text), void *opaque);
    void (*set_pc)(struct cpu *, uint64_t pc); /* also mode bits that ride in addresses */
    /* Clock: called by the board once. ns per Count tick etc. come from the model; now_ns gives guest time. */
    void (*connect_clock)(struct cpu *, struct bus_clock *clk);
    /* saves and restores all state that is not a slot; visits named fields (bus/dev.h's visitor) */
    const struct state_field *state;    /* further fields of the CPU structure, for save/restore and lockstep */
    unsigned n_state;
};

/* All ISAs, in isa/isa.c from the one list isa/isas.def. */
extern const struct isa *const isa_list[];
extern const unsigned isa_count;
const struct isa *isa_find(const char *name);
/* By target suffix ("mipsel"); *big_endian is set. NULL: unknown. */
const struct isa *isa_find_target(const char *target, bool *big_endian);
const struct cpu_model *isa_find_model(const struct isa *, const char *name);
/* What -cpu says: a model's name, and changes to it after commas where the ISA has features to change. *made is NULL, or what
 * mem_free releases after the last CPU of this model. NULL + error. */
const struct cpu_model *isa_choose_model(const struct isa *, const char *text, void **made, struct error *);
/* What -cpu help prints: models, then the names of features. One call of put for each line. */
void isa_list_models(const struct isa *, void (*put)(void *, const char *line), void *opaque);

#endif
