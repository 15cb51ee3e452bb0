/*
 * priv.h - names of CP0 fields and what the privileged files of isa/mips share (cp0.c, mmu.c,
 * except.c, timer.c, mips.c). Bit positions as in MIPS64 Privileged Resource Architecture (MD00091)
 * chapter 9.
 *
 * Not here: what the translator needs (mips.h).
 */
#ifndef ISA_MIPS_PRIV_H
#define ISA_MIPS_PRIV_H

#include "isa/mips/mips.h"

enum mips_status {
    SR_IE = 1 << 0,
    SR_EXL = 1 << 1,
    SR_ERL = 1 << 2,
    SR_KSU = 3 << 3,
    SR_KSU_SHIFT = 3,
    SR_UX = 1 << 5,
    SR_SX = 1 << 6,
    SR_KX = 1 << 7,
    SR_IM = 0xff00,
    SR_NMI = 1 << 19,
    SR_SR = 1 << 20,
    SR_TS = 1 << 21,
    SR_BEV = 1 << 22,
    SR_PX = 1 << 23,
    SR_RE = 1 << 25,
    SR_FR = 1 << 26,
    SR_RP = 1 << 27,
    SR_CU0 = 1 << 28,
    SR_CU1 = 1 << 29,
};
#define SR_CU3 0x80000000u

enum mips_cause {
    CA_EXC = 0x1f << 2,
    CA_EXC_SHIFT = 2,
    CA_IP = 0xff00,
    CA_IP_SHIFT = 8,
    CA_SWINT = 3 << 8,
    CA_WP = 1 << 22,
    CA_IV = 1 << 23,
    CA_DC = 1 << 27,
    CA_CE = 3 << 28,
    CA_CE_SHIFT = 28,
    CA_TI = 1 << 30,
};
#define CA_BD 0x80000000u

enum mips_config {
    C0_K0 = 7,
    C0_MT_SHIFT = 7,
    C0_MT_TLB = 1 << 7,
    C0_MT_FIXED = 3 << 7,
    C0_AR_R2 = 1 << 10,
    C0_AT_64 = 2 << 13,
    C0_BE = 1 << 15,
    C1_FP = 1 << 0,
    C1_EP = 1 << 1,
    C1_CA = 1 << 2,
    C1_WR = 1 << 3,
    C1_PC = 1 << 4,
    C3_VINT = 1 << 5,
    C3_ULRI = 1 << 13,
};
#define CONFIG_M 0x80000000u

enum mips_debug {
    DB_DSS = 1 << 0,
    DB_DBP = 1 << 1,
    DB_EXC_SHIFT = 10,
    DB_EXC = 0x1f << 10,
    DB_VER_2_6 = 2 << 15,
    DB_NODCR = 1 << 29,
    DB_DM = 1 << 30,
};
#define DB_DBD 0x80000000u

#define INTCTL_VS 0x3e0u /* the field's value is the spacing in bytes */
#define VA_KSEG0  UINT64_C(0xffffffff80000000)
#define VA_RESET  UINT64_C(0xffffffffbfc00000)
#define LL_NONE   UINT64_MAX

enum { MIPS_PIN_NMI = 8 }; /* mips_set_irq: not an IP bit; acts on the rising edge */
#define IRQ_NMI_PIN   (1u << MIPS_PIN_NMI)
#define IRQ_NMI_LATCH (1u << (MIPS_PIN_NMI + 1))

static inline bool mips_r2(const struct mips_cpu *m)
{
    return m->model->isa & (MIPS_32R2 | MIPS_64R2);
}
/* Release 1 of MIPS32/MIPS64 or later, in contrast to MIPS I to V. */
static inline bool mips_r1(const struct mips_cpu *m)
{
    return m->model->isa & (MIPS_32 | MIPS_64);
}
static inline bool mips_has_ejtag(const struct mips_cpu *m)
{
    return m->model->config1 & C1_EP;
}
static inline void mips_put_pc(struct mips_cpu *m, uint64_t pc)
{
    if (m->is64) m->pc.d = pc;
    else m->pc.w = (uint32_t)pc;
}
/* An address as this CPU holds it: 32-bit models keep the low half. */
static inline uint64_t mips_addr(const struct mips_cpu *m, uint64_t va)
{
    return m->is64 ? va : (uint32_t)va;
}
static inline uint64_t sign32(uint64_t v)
{
    return (uint64_t)(int64_t)(int32_t)(uint32_t)v;
}
/* Debug mode: kernel rights, no interrupts, exceptions re-enter the debug vector. */
static inline bool mips_in_debug(const struct mips_cpu *m)
{
    return m->debug & DB_DM;
}

/* except.c */
/* After any write to Status: key and mappings. */
void mips_status_changed(struct mips_cpu *, uint32_t old);
/* Cause.IP from pins, timer and IntCtl.IPTI. */
void mips_update_irq(struct mips_cpu *);
/* After ERET and DERET, which leave their block by an indirect jump: the engine looks for
 * interrupts only when asked. */
void mips_kick_if_interrupted(struct mips_cpu *);

/* mmu.c */
/* Address bits that EntryHi and TLB entries hold, with R. */
uint64_t mips_seg_mask(const struct mips_cpu *);
/* The nearest smaller PageMask that the model has. */
uint32_t mips_pagemask_legal(const struct mips_cpu *, uint32_t value);

/* tlb.c */
/* Writes EntryHi; the engine then goes by the translations of the new ASID. */
void mips_set_entryhi(struct mips_cpu *, uint64_t value);
/* Index of the matching entry or -1. */
int mips_tlb_find(struct mips_cpu *, uint64_t va, unsigned asid);
/* The same in the second level; NULL: none. */
const struct mips_tlb_entry *mips_tlb2_find(const struct mips_cpu *, uint64_t va, unsigned asid);
/* Empties the second level. */
void mips_tlb2_drop(struct mips_cpu *);
/* struct guest */
uint64_t mips_mmu_context(struct cpu *);
bool mips32_fixed(uint64_t va);
bool mips64_fixed(uint64_t va);

/* cp0.c */
/* The next Random: Wired..entries-1. Only for models with a TLB. */
unsigned mips_random(struct mips_cpu *);

/* timer.c */
uint32_t mips_count_read(struct mips_cpu *);
void mips_count_write(struct mips_cpu *, uint32_t value);
void mips_count_stop(struct mips_cpu *, bool stop); /* Cause.DC */
void mips_compare_write(struct mips_cpu *, uint32_t value);
void mips_timer_reset(struct mips_cpu *);
/* Takes a match that is due but whose event has not run yet: an instruction that reads Cause after
 * Count passed Compare must see it. */
void mips_timer_poll(struct mips_cpu *);

enum { MIPS32_MODELS = 10, MIPS64_MODELS = 7 }; /* in mips_models */

/* mips.c */
void mips_reset(struct cpu *);
void mips_set_pc(struct cpu *, uint64_t pc);

/* struct guest: except.c */
unsigned mips_mmu_mode(struct cpu *);

#endif
