/*
 * sys.h - what the files of x86 system mode share. Private to isa/x86.
 *
 * sys-paging.c: virtual to physical. sys-segment.c: descriptors, loading segment registers, far transfers, call gates.
 * sys-task.c: task switches. sys-except.c: exceptions and interrupts into their handlers, IRET. sys-regs.c: control and debug
 * registers. sys-msr.c: model-specific registers. sys-smm.c: system management mode. sys-cpu.c: key, reset, pins, board.
 *
 * Follows the Intel SDM volume 3 and the AMD64 APM volume 2.
 */
#ifndef ISA_X86_SYS_H
#define ISA_X86_SYS_H

#include "isa/x86/decode.h"
#include "isa/x86/x86-board.h"
#include "isa/x86/x86.h"

enum x86_seg_reg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

enum {
    CR0_PE = 1, CR0_MP = 2, CR0_EM = 4, CR0_TS = 8, CR0_ET = 16, CR0_NE = 32, CR0_WP = 1 << 16, CR0_AM = 1 << 18, CR0_NW = 1 << 29,
    CR0_CD = 1 << 30,
    CR4_VME = 1, CR4_PVI = 2, CR4_TSD = 4, CR4_DE = 8, CR4_PSE = 16, CR4_PAE = 32, CR4_MCE = 64, CR4_PGE = 128, CR4_PCE = 256,
    CR4_OSFXSR = 512, CR4_OSXMM = 1024, CR4_UMIP = 1 << 11, CR4_FSGSBASE = 1 << 16, CR4_PCIDE = 1 << 17, CR4_OSXSAVE = 1 << 18,
    CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21,
    EFER_SCE = 1, EFER_LME = 1 << 8, EFER_LMA = 1 << 10, EFER_NXE = 1 << 11, EFER_FFXSR = 1 << 14,
};
#define CR0_PG 0x80000000u

/* System features of a model: struct x86_model.sys. */
#define X86_SYS_FEATURES(X)                                                                        \
    X(VME, 1, 1) X(DE, 1, 2) X(PSE, 1, 3) X(PAE, 1, 6) X(MCE, 1, 7) X(MTRR, 1, 12) X(PGE, 1, 13) X(MCA, 1, 14) X(PAT, 1, 16)    \
    X(PSE36, 1, 17) X(PCID, 2, 17) X(X2APIC, 2, 21) X(TSC_DEADLINE, 2, 24) X(SMEP, 3, 7) X(NX, 4, 20) X(PDPE1GB, 4, 26)
enum x86_sys_feature_bit {
#define X(f, word, bit) XSB_##f,
    X86_SYS_FEATURES(X)
#undef X
    XSB_COUNT
};
#define XSF(f) (UINT32_C(1) << XSB_##f)

/* attributes, as in x86_cpu.seg_attr */
enum {
    SA_ACCESSED = 1 << 8, SA_RW = 1 << 9 /* data: writable; code: readable */, SA_EC = 1 << 10 /* data: expands down; code: conforming */,
    SA_CODE = 1 << 11, SA_S = 1 << 12, SA_DPL_SHIFT = 13, SA_P = 1 << 15, SA_AVL = 1 << 20, SA_L = 1 << 21, SA_DB = 1 << 22, SA_G = 1 << 23,
    SA_TYPE_SHIFT = 8, SA_MASK = 0x00f0ff00,
};
static inline unsigned sa_type(uint32_t attr) { return attr >> SA_TYPE_SHIFT & 15; }
static inline unsigned sa_dpl(uint32_t attr) { return attr >> SA_DPL_SHIFT & 3; }
enum { SYS_TSS16 = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK = 5, SYS_INT16 = 6, SYS_TRAP16 = 7, SYS_TSS = 9,
       SYS_TSS_BUSY = 11, SYS_CALL = 12, SYS_INT = 14, SYS_TRAP = 15 };

/* modes of the MMU */
enum { X86_MMU_KERNEL, X86_MMU_USER, X86_MMU_SMAP };

/* ---- short forms ---- */
static inline bool x86_protected(const struct x86_cpu *x) { return x->cr0 & CR0_PE && !(x->eflags & XFL_VM); }
static inline bool x86_v86(const struct x86_cpu *x) { return x->cr0 & CR0_PE && x->eflags & XFL_VM; }
static inline bool x86_long(const struct x86_cpu *x) { return x->efer & EFER_LMA; }
static inline bool x86_code64(const struct x86_cpu *x) { return x86_long(x) && x->seg_attr[SEG_CS] & SA_L; }
static inline unsigned x86_iopl(const struct x86_cpu *x) { return x->eflags >> 12 & 3; }
/* Does the program, which may not touch IF, have VIF in its stead? By CR4.VME in virtual-8086 mode, by CR4.PVI in ring 3: Intel
 * SDM volume 3, "8086 emulation". */
static inline bool x86_virtual_if(const struct x86_cpu *x)
{
    if (!(x->cr0 & CR0_PE) || x->cpl != 3 || x86_iopl(x) == 3) return false;
    return x->cr4 & (x->eflags & XFL_VM ? CR4_VME : CR4_PVI);
}
/* ... and it has enabled interrupts while one waits: #GP before the next instruction. */
static inline bool x86_virtual_due(const struct x86_cpu *x)
{
    return (x->eflags & (XFL_VIF | XFL_VIP)) == (XFL_VIF | XFL_VIP) && x86_virtual_if(x);
}
static inline uint64_t x86_base(const struct x86_cpu *x, unsigned s) { return x->is64 ? x->seg_base.d[s] : x->seg_base.w[s]; }
static inline void x86_set_base(struct x86_cpu *x, unsigned s, uint64_t v)
{
    if (x->is64) x->seg_base.d[s] = v;
    else x->seg_base.w[s] = (uint32_t)v;
}
static inline uint64_t x86_lin(const struct x86_cpu *x) { return x86_cell(x, &x->pc); }
/* The instruction pointer, of a linear address in the current code segment; and back. */
static inline uint64_t x86_ip_of(const struct x86_cpu *x, uint64_t lin)
{
    return x86_code64(x) ? lin : (uint32_t)(lin - x86_base(x, SEG_CS));
}
static inline void x86_set_ip(struct x86_cpu *x, uint64_t ip)
{
    x86_set_cell(x, &x->pc, x86_code64(x) ? ip : (uint32_t)(ip + x86_base(x, SEG_CS)));
}
static inline bool x86_canonical(uint64_t va) { return (va ^ (uint64_t)((int64_t)(va << 16) >> 16)) == 0; }
static inline bool x86_has(const struct x86_cpu *x, unsigned feature) { return x->model->features >> feature & 1; }

/* ---- sys-cpu.c ---- */
void x86_update_key(struct x86_cpu *);            /* after whatever it is computed from changed */
unsigned x86_mmu_mode(struct cpu *);
void x86_sys_reset(struct x86_cpu *, bool init);  /* init: the INIT pin, which keeps the FPU, MSRs and caches */
void x86_sys_set_irq(struct cpu *, unsigned pin, bool level);
void x86_sys_connect_clock(struct cpu *, struct bus_clock *);
uint64_t x86_tsc(struct x86_cpu *);
void x86_look_for_interrupts(struct x86_cpu *);   /* leave soon if one may be taken now */
void x86_stop(struct x86_cpu *);                  /* a triple fault */
void x86_set_ferr(struct x86_cpu *, bool level);
void x86_take_sipi(struct x86_cpu *);              /* the start-up IPI that has come */

/* ---- sys-paging.c ---- */
bool x86_mmu(struct cpu *, uint64_t va, enum mem_access, unsigned mode, bool probe, struct mmu_hit *);
void x86_load_pdptes(struct x86_cpu *);           /* may raise #GP */
void x86_flush_page(struct x86_cpu *, uint64_t va);
void x86_dump_tlb(struct cpu *, void (*put)(void *, const char *), void *opaque);
/* Physical memory, little-endian; what is not memory goes over the bus. size: 1, 2, 4, 8 */
uint64_t x86_phys_ld(struct x86_cpu *, uint64_t pa, unsigned size);
void x86_phys_st(struct x86_cpu *, uint64_t pa, uint64_t value, unsigned size);

/* ---- supervisor accesses to tables: linear addresses, size 1, 2, 4, 8; faults raise ---- */
uint64_t x86_sys_ld(struct x86_cpu *, uint64_t va, unsigned size);
void x86_sys_st(struct x86_cpu *, uint64_t va, uint64_t value, unsigned size);

/* ---- sys-segment.c ---- */
struct x86_desc { uint32_t lo, hi, base_hi, limit; uint64_t base, at; /* at: its linear address */ };
static inline uint32_t x86_desc_attr(const struct x86_desc *d) { return d->hi & SA_MASK; }
/* Reads the descriptor of a selector, which is not null. False: beyond its table. wide: system descriptors have 16 bytes */
bool x86_desc_read(struct x86_cpu *, uint16_t sel, bool wide, struct x86_desc *);
void x86_desc_mark(struct x86_cpu *, struct x86_desc *);          /* sets the accessed bit */
void x86_desc_busy(struct x86_cpu *, struct x86_desc *, bool busy);
/* A segment register and its hidden part. */
void x86_seg_put(struct x86_cpu *, unsigned s, uint16_t sel, uint64_t base, uint32_t limit, uint32_t attr);
void x86_seg_put_desc(struct x86_cpu *, unsigned s, uint16_t sel, const struct x86_desc *);
void x86_seg_put_real(struct x86_cpu *, unsigned s, uint16_t sel); /* real mode and virtual-8086 mode */
void x86_seg_null(struct x86_cpu *, unsigned s, uint16_t sel);
void x86_seg_load(struct x86_cpu *, unsigned s, uint16_t sel);     /* as mov does, with its faults */
/* The checks of a data segment register's load; fills *d. in_task: faults are #TS */
bool x86_seg_check(struct x86_cpu *, unsigned s, uint16_t sel, unsigned cpl, unsigned bad, struct x86_desc *d);
void x86_seg_update(struct x86_cpu *, unsigned s);                 /* seg_fast */
bool x86_limit_ok(uint32_t attr, uint32_t limit, uint64_t off, unsigned bytes);
void x86_drop_outer_segments(struct x86_cpu *);                    /* after a return to less privilege */

/* A stack that is being pushed to or popped from; the registers change when all is done. */
struct x86_stack { struct x86_cpu *x; uint64_t base, sp, mask; uint32_t limit, attr; unsigned mmu; uint32_t error; bool wide; };
struct x86_stack x86_stack_now(struct x86_cpu *);
struct x86_stack x86_stack_in(struct x86_cpu *, const struct x86_desc *ss, uint64_t sp, unsigned cpl, uint32_t error);
void x86_push(struct x86_stack *, uint64_t v, unsigned bytes);
uint64_t x86_pop(struct x86_stack *, unsigned bytes);
void x86_stack_done(struct x86_stack *);                           /* writes SP, ESP or RSP, as wide as the stack is */
unsigned x86_data_mmu(const struct x86_cpu *, unsigned cpl);       /* the MMU mode of data accesses with this privilege */

/* The stack for privilege level `cpl` from the TSS; raises #TS. */
void x86_tss_stack(struct x86_cpu *, unsigned cpl, uint16_t *ss, uint64_t *sp);
/* Loads SS for an inner level: checks, raises #TS and #SS. */
void x86_inner_ss(struct x86_cpu *, uint16_t ss, unsigned cpl, uint32_t ext, struct x86_desc *);

/* ---- sys-task.c ---- */
enum x86_task_why { TASK_JUMP, TASK_CALL, TASK_IRET, TASK_GATE };
/* Switches to the TSS of sel. next: instruction pointer saved in the old one. error: pushed in the new one, unless negative. */
void x86_task_switch(struct x86_cpu *, uint16_t sel, struct x86_desc *, enum x86_task_why, uint64_t next, int64_t error);

/* ---- sys-except.c ---- */
void x86_exception(struct cpu *);
bool x86_interrupt(struct cpu *);
bool x86_has_work(struct cpu *);
void x86_sys_fault(struct cpu *, enum mem_fault, enum mem_access, uint64_t va);
ATTR_NORETURN void x86_gp(struct x86_cpu *, uint32_t error);
/* EFLAGS by a program: what may change at this privilege, among `may`. */
void x86_put_flags(struct x86_cpu *, uint32_t value, uint32_t may);
/* FLAGS as a program of virtual-8086 mode that has VIF for IF sees them, of the true ones. */
uint32_t x86_flags_seen(const struct x86_cpu *, uint32_t flags);
/* Virtual-8086 mode: #GP where IOPL forbids that `bytes` of flags are pushed or popped, and v is not what may be popped (0: not known). */
void x86_v86_flags(struct x86_cpu *, unsigned bytes, uint32_t v);

/* ---- sys-regs.c ---- */
void x86_set_cr0(struct x86_cpu *, uint32_t);     /* raises #GP */
void x86_set_cr3(struct x86_cpu *, uint64_t);
void x86_set_cr4(struct x86_cpu *, uint64_t);
/* Kinds of FP instructions that the key may forbid: #UD or #NM (helper FP_GATE). */
enum { X86_FP_X87, X86_FP_MMX, X86_FP_SSE, X86_FP_AVX };
bool x86_debug_active(const struct x86_cpu *);    /* breakpoints, or TF */
void x86_data_break(struct x86_cpu *, uint64_t va, unsigned bytes, bool write);
bool x86_data_break_page(const struct x86_cpu *, uint64_t va);
void x86_io_break(struct x86_cpu *, unsigned port, unsigned bytes);

/* ---- sys-msr.c ---- */
bool x86_msr_read(struct x86_cpu *, uint32_t msr, uint64_t *);
bool x86_msr_write(struct x86_cpu *, uint32_t msr, uint64_t);
/* The parts of CPUID that belong to system mode, into r[0..3] = eax ebx ecx edx. */
void x86_sys_cpuid(struct x86_cpu *, uint32_t leaf, uint32_t sub, uint32_t r[4]);

/* ---- sys-smm.c ---- */
void x86_enter_smm(struct x86_cpu *);

/* ---- sys-dump.c ---- */
void x86_sys_dump(struct cpu *, void (*put)(void *, const char *), void *opaque);

#endif
