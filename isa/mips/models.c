/*
 * models.c - the MIPS CPU models.
 *
 * Identification and geometry follow the cores' software user's manuals (4K MD00016, 4KE MD00103,
 * 24K MD00343, 34K MD00534, 74K MD00519, 5K MD00055, 20Kc MD00135, R4000 user's manual). Where a
 * manual leaves a choice to the builder of the chip (TLB and cache sizes, watch registers,
 * performance counters, shadow sets) a model advertises only what is built. Not built, and so
 * absent from the registers even where the part has it: watch registers, counters, shadow sets,
 * DSP, further thread contexts, paired single, MIPS-3D. Small caches keep a guest's flush loops
 * short and its pages free of aliases.
 */
#include "isa/mips/priv.h"

/* Config1: MMU size - 1; per cache sets/way code, line code, ways - 1; then the C1_* flags. */
#define CONFIG1(tlb, is, il, ia, ds, dl, da, flags)                                                \
    (CONFIG_M | ((tlb) ? (uint32_t)(tlb)-1 : 0) << 25 | (is) << 22 | (il) << 19 | (ia) << 16 |     \
     (ds) << 13 | (dl) << 10 | (da) << 7 | (flags))

#define CONFIG0_32(rel, mt)                                                                        \
    (CONFIG_M | (rel) | (mt) | 2) /* K0 = 2: uncached until the guest says else */
#define CONFIG0_64(rel, mt) (CONFIG0_32(rel, mt) | C0_AT_64)

#define ISA_M32   (MIPS_1 | MIPS_2 | MIPS_32)
#define ISA_M32R2 (ISA_M32 | MIPS_32R2)
#define ISA_M64   (MIPS_1 | MIPS_2 | MIPS_3 | MIPS_4 | MIPS_32 | MIPS_64)
#define ISA_M64R2 (ISA_M64 | MIPS_32R2 | MIPS_64R2)

/* Writable bits of Status. */
#define SR_32                                                                                      \
    (SR_CU0 | SR_RP | SR_RE | SR_BEV | SR_SR | SR_NMI | SR_IM | 1 << 4 | SR_ERL | SR_EXL | SR_IE)
#define SR_32_TLB (SR_32 | SR_TS)
#define SR_64     (SR_32_TLB | SR_PX | SR_KX | SR_SX | SR_UX | SR_KSU)
#define SR_FPU    (SR_CU1 | SR_FR)
#define SR_R4000                                                                                   \
    (SR_CU3 | SR_CU1 | SR_CU0 | SR_RP | SR_FR | SR_RE | SR_BEV | SR_TS | SR_SR | SR_IM | SR_KX |   \
     SR_SX | SR_UX | SR_KSU | SR_ERL | SR_EXL | SR_IE)

#define FCR31_RW  0xff83ffffu /* FCC, FS, Cause, Enables, Flags, RM */
#define FCR31_R4K 0x0183ffffu /* one condition code */

#define CORE_32 .seg_bits = 32, .phys_bits = 32, .cc_res = 2, .clock_hz = 200000000
#define CORE_64 .phys_bits = 36, .cc_res = 2, .clock_hz = 200000000

static const struct mips_model model_4kc = {
    .name = "4Kc",
    .isa = ISA_M32,
    .prid = 0x00018000,
    CORE_32,
    .tlb_entries = 16,
    .status_rw = SR_32_TLB,
    .config0 = CONFIG0_32(0, C0_MT_TLB),
    .config1 = CONFIG1(16, 0, 3, 1, 0, 3, 1, C1_EP),
};
static const struct mips_model model_4km = {
    .name = "4Km",
    .isa = ISA_M32,
    .prid = 0x00018300,
    CORE_32,
    .tlb_entries = 0,
    .status_rw = SR_32,
    .config0 = CONFIG0_32(0, C0_MT_FIXED),
    .config1 = CONFIG1(0, 0, 3, 1, 0, 3, 1, C1_EP),
};
static const struct mips_model model_4kecr1 = {
    .name = "4KEcR1",
    .isa = ISA_M32 | MIPS_16E,
    .prid = 0x00018400,
    CORE_32,
    .tlb_entries = 16,
    .status_rw = SR_32_TLB,
    .config0 = CONFIG0_32(0, C0_MT_TLB),
    .config1 = CONFIG1(16, 0, 3, 1, 0, 3, 1, C1_EP | C1_CA),
};
static const struct mips_model model_4kemr1 = {
    .name = "4KEmR1",
    .isa = ISA_M32 | MIPS_16E,
    .prid = 0x00018500,
    CORE_32,
    .tlb_entries = 0,
    .status_rw = SR_32,
    .config0 = CONFIG0_32(0, C0_MT_FIXED),
    .config1 = CONFIG1(0, 0, 3, 1, 0, 3, 1, C1_EP | C1_CA),
};
static const struct mips_model model_4kec = {
    .name = "4KEc",
    .isa = ISA_M32R2 | MIPS_16E,
    .prid = 0x00019000,
    CORE_32,
    .tlb_entries = 16,
    .status_rw = SR_32_TLB,
    .config0 = CONFIG0_32(C0_AR_R2, C0_MT_TLB),
    .config1 = CONFIG1(16, 0, 3, 1, 0, 3, 1, C1_EP | C1_CA),
    .config2 = CONFIG_M,
    .config3 = C3_VINT,
};
static const struct mips_model model_4kem = {
    .name = "4KEm",
    .isa = ISA_M32R2 | MIPS_16E,
    .prid = 0x00019100,
    CORE_32,
    .tlb_entries = 0,
    .status_rw = SR_32,
    .config0 = CONFIG0_32(C0_AR_R2, C0_MT_FIXED),
    .config1 = CONFIG1(0, 0, 3, 1, 0, 3, 1, C1_EP | C1_CA),
    .config2 = CONFIG_M,
    .config3 = C3_VINT,
};

/* The 24K, 34K and 74K are built with 16 to 64 TLB entries: the largest costs a guest the fewest
 * refills. */
#define CORE_24K                                                                                   \
    CORE_32, .tlb_entries = 64, .config0 = CONFIG0_32(C0_AR_R2, C0_MT_TLB), .config2 = CONFIG_M,   \
             .config3 = C3_VINT | C3_ULRI
static const struct mips_model model_24kc = {
    .name = "24Kc",
    .isa = ISA_M32R2 | MIPS_16E,
    .prid = 0x00019300,
    CORE_24K,
    .status_rw = SR_32_TLB,
    .config1 = CONFIG1(64, 0, 3, 1, 0, 3, 1, C1_EP | C1_CA),
};
static const struct mips_model model_24kf = {
    .name = "24Kf",
    .isa = ISA_M32R2 | MIPS_16E | MIPS_FPU,
    .prid = 0x00019300,
    CORE_24K,
    .status_rw = SR_32_TLB | SR_FPU,
    .config1 = CONFIG1(64, 0, 3, 1, 0, 3, 1, C1_EP | C1_CA | C1_FP),
    .fcr0 = 0x00739300,
    .fcr31_rw = FCR31_RW,
};
static const struct mips_model model_34kf = {
    .name = "34Kf",
    .isa = ISA_M32R2 | MIPS_16E | MIPS_FPU,
    .prid = 0x00019500,
    CORE_24K,
    .status_rw = SR_32_TLB | SR_FPU,
    .config1 = CONFIG1(64, 0, 3, 1, 0, 3, 1, C1_EP | C1_CA | C1_FP),
    .fcr0 = 0x00739500,
    .fcr31_rw = FCR31_RW,
};
static const struct mips_model model_74kf = {
    .name = "74Kf",
    .isa = ISA_M32R2 | MIPS_16E | MIPS_FPU,
    .prid = 0x00019700,
    CORE_24K,
    .status_rw = SR_32_TLB | SR_FPU,
    .config1 = CONFIG1(64, 0, 3, 1, 0, 3, 1, C1_EP | C1_CA | C1_FP),
    .fcr0 = 0x00739700,
    .fcr31_rw = FCR31_RW,
};

static const struct mips_model model_r4000 = {
    /* Config: no secondary cache, 8 KiB caches with 16-byte lines; EntryHi has 40 virtual address
       bits. */
    .name = "R4000",
    .isa = MIPS_1 | MIPS_2 | MIPS_3 | MIPS_FPU,
    .prid = 0x00000400,
    .seg_bits = 40,
    CORE_64,
    .tlb_entries = 48,
    .status_rw = SR_R4000,
    .config0 = 0x00020242,
    .fcr0 = 0x00000500,
    .fcr31_rw = FCR31_R4K,
    .r4000_style = true,
};
static const struct mips_model model_5kc = {
    .name = "5Kc",
    .isa = ISA_M64,
    .prid = 0x00018100,
    .seg_bits = 42,
    CORE_64,
    .tlb_entries = 32,
    .status_rw = SR_64,
    .config0 = CONFIG0_64(0, C0_MT_TLB),
    .config1 = CONFIG1(32, 1, 4, 1, 1, 4, 1, C1_EP),
};
static const struct mips_model model_5kf = {
    .name = "5Kf",
    .isa = ISA_M64 | MIPS_FPU,
    .prid = 0x00018100,
    .seg_bits = 42,
    CORE_64,
    .tlb_entries = 32,
    .status_rw = SR_64 | SR_FPU,
    .config0 = CONFIG0_64(0, C0_MT_TLB),
    .config1 = CONFIG1(32, 1, 4, 1, 1, 4, 1, C1_EP | C1_FP),
    .fcr0 = 0x00038100,
    .fcr31_rw = FCR31_RW,
};
static const struct mips_model model_20kc = {
    /* Config bit 3: the 20Kc's virtually tagged instruction cache. */
    .name = "20Kc",
    .isa = ISA_M64 | MIPS_FPU,
    .prid = 0x000182a0,
    .seg_bits = 40,
    CORE_64,
    .tlb_entries = 48,
    .status_rw = SR_64 | SR_FPU,
    .config0 = CONFIG0_64(0, C0_MT_TLB) | 1 << 3,
    .config1 = CONFIG1(48, 2, 4, 3, 2, 4, 3, C1_EP | C1_FP),
    .fcr0 = 0x00038200,
    .fcr31_rw = FCR31_RW,
};
static const struct mips_model model_5kec = {
    .name = "5KEc",
    .isa = ISA_M64R2,
    .prid = 0x00018900,
    .seg_bits = 42,
    CORE_64,
    .tlb_entries = 32,
    .status_rw = SR_64,
    .config0 = CONFIG0_64(C0_AR_R2, C0_MT_TLB),
    .config1 = CONFIG1(32, 1, 4, 1, 1, 4, 1, C1_EP),
    .config2 = CONFIG_M,
    .config3 = C3_VINT | C3_ULRI,
};
static const struct mips_model model_5kef = {
    .name = "5KEf",
    .isa = ISA_M64R2 | MIPS_FPU,
    .prid = 0x00018900,
    .seg_bits = 42,
    CORE_64,
    .tlb_entries = 32,
    .status_rw = SR_64 | SR_FPU,
    .config0 = CONFIG0_64(C0_AR_R2, C0_MT_TLB),
    .config1 = CONFIG1(32, 1, 4, 1, 1, 4, 1, C1_EP | C1_FP),
    .config2 = CONFIG_M,
    .config3 = C3_VINT | C3_ULRI,
    .fcr0 = 0x00738900,
    .fcr31_rw = FCR31_RW,
};
static const struct mips_model model_64r2 = {
    /* No real part: every feature of MIPS64 release 2 that is built. */
    .name = "MIPS64R2-generic",
    .isa = ISA_M64R2 | MIPS_FPU,
    .prid = 0x00010000,
    .seg_bits = 42,
    CORE_64,
    .tlb_entries = 64,
    .status_rw = SR_64 | SR_FPU,
    .config0 = CONFIG0_64(C0_AR_R2, C0_MT_TLB),
    .config1 = CONFIG1(64, 2, 4, 3, 2, 4, 3, C1_EP | C1_FP),
    .config2 = CONFIG_M,
    .config3 = C3_VINT | C3_ULRI,
    .fcr0 = 0x00730000,
    .fcr31_rw = FCR31_RW,
};

const struct cpu_model mips_models[] = {
    /* 32-bit: MIPS32_MODELS of them (priv.h) */
    { "24Kf", "MIPS32 release 2, FPU, 64 TLB entries", &model_24kf },
    { "24Kc", "MIPS32 release 2, 64 TLB entries", &model_24kc },
    { "34Kf", "MIPS32 release 2, FPU, one thread context", &model_34kf },
    { "74Kf", "MIPS32 release 2, FPU", &model_74kf },
    { "4KEc", "MIPS32 release 2, 16 TLB entries", &model_4kec },
    { "4KEm", "MIPS32 release 2, fixed mapping", &model_4kem },
    { "4KEcR1", "MIPS32 release 1, MIPS16e, 16 TLB entries", &model_4kecr1 },
    { "4KEmR1", "MIPS32 release 1, MIPS16e, fixed mapping", &model_4kemr1 },
    { "4Kc", "MIPS32 release 1, 16 TLB entries", &model_4kc },
    { "4Km", "MIPS32 release 1, fixed mapping", &model_4km },
    /* 64-bit: MIPS64_MODELS of them */
    { "MIPS64R2-generic", "MIPS64 release 2, FPU, 64 TLB entries", &model_64r2 },
    { "5KEf", "MIPS64 release 2, FPU, 32 TLB entries", &model_5kef },
    { "5KEc", "MIPS64 release 2, 32 TLB entries", &model_5kec },
    { "20Kc", "MIPS64 release 1, FPU, 48 TLB entries", &model_20kc },
    { "5Kf", "MIPS64 release 1, FPU, 32 TLB entries", &model_5kf },
    { "5Kc", "MIPS64 release 1, 32 TLB entries", &model_5kc },
    { "R4000", "MIPS III, FPU, 48 TLB entries", &model_r4000 },
    { NULL, NULL, NULL },
};
