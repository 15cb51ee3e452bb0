/*
 * x86-board.h - the pins and cycles of an x86 CPU in system mode: what its board gives it, and what it does for the board.
 * Nothing here knows a device; machines/ ties a local APIC, 8259s and the port space to these calls.
 *
 * Follows the Intel SDM volume 3, chapters 7 (interrupts), 9 (reset, INIT), 11 (APIC) and 32 (SMM).
 */
#ifndef ISA_X86_X86_BOARD_H
#define ISA_X86_X86_BOARD_H

#include "isa/isa.h"

/* Numbers of isa.set_irq. Levels; NMI, SMI and INIT act on the rising edge. */
enum x86_pin { X86_PIN_INTR, X86_PIN_NMI, X86_PIN_SMI, X86_PIN_INIT, X86_PIN_IGNNE, X86_PINS };

/* Called on the CPU's own turn, at exact instruction counts (from HELPER_TIME helpers). Members may be NULL: ports read as all
 * ones, no vector, nothing happens. */
struct x86_board_ops {
    /* size 1, 2 or 4; ports that nobody answers read as all ones */
    uint32_t (*in)(void *opaque, struct cpu *, uint16_t port, unsigned size);
    void (*out)(void *opaque, struct cpu *, uint16_t port, uint32_t value, unsigned size);
    /* The interrupt acknowledge cycle, when an interrupt is taken: its vector, or -1 if the request went away. May lower INTR. */
    int (*acknowledge)(void *opaque, struct cpu *);
    /* Task priority: CR8 (bits 7:4 of the APIC's TPR as 3:0) */
    uint8_t (*get_tpr)(void *opaque, struct cpu *);
    void (*set_tpr)(void *opaque, struct cpu *, uint8_t cr8);
    /* MSR 1Bh, 6E0h (the TSC deadline), and 800h to 8FFh. False: #GP */
    bool (*read_apic_msr)(void *opaque, struct cpu *, uint32_t msr, uint64_t *value);
    bool (*write_apic_msr)(void *opaque, struct cpu *, uint32_t msr, uint64_t value);
    /* The time stamp counter was written: a deadline is met at another time. */
    void (*tsc_written)(void *opaque, struct cpu *);
    /* #FERR, the numeric error's line (IRQ 13 of a PC) */
    void (*ferr)(void *opaque, struct cpu *, bool level);
    /* The CPU entered or left system management mode: SMRAM becomes visible to it or not. Followed by cpu_tlb_flush. */
    void (*smm)(void *opaque, struct cpu *, bool in);
    /* A triple fault: the CPU stopped. A PC resets. */
    void (*shutdown)(void *opaque, struct cpu *);
};

/* Where a CPU is, as CPUID and its APIC id say it: threads of a core, cores of a die, dies of a package, and its id, which has
 * x86_topology_bits() for each of the three from below and the package's number above. 1 and up. */
struct x86_topology { uint32_t apic_id, threads, cores, dies; };
/* Bits that the numbers below n take. */
unsigned x86_topology_bits(uint32_t n);
/* Before the CPU runs; else it is a package of its own with the CPU's number for its id. */
void x86_set_topology(struct cpu *, const struct x86_topology *);
/* What the CPU's local APIC is to have. */
bool x86_has_x2apic(const struct cpu *);
bool x86_has_tsc_deadline(const struct cpu *);
/* The guest time at which the time stamp counter reaches a value; one that it has passed: now. A CPU has a clock. */
uint64_t x86_tsc_time(struct cpu *, uint64_t tsc);

/* Once, before the CPU runs. */
void x86_connect_board(struct cpu *, const struct x86_board_ops *, void *opaque);
/* A20: off masks bit 20 of every physical address. Flushes what must be. */
void x86_set_a20(struct cpu *, bool on);
/* This is an application processor: it waits for a start-up IPI, now and after each INIT. The board calls it after reset. */
void x86_wait_for_sipi(struct cpu *);
/* A start-up IPI: the CPU starts at vector << 12 in real mode, when it has its turn, if it waits for one then; else ignored. */
void x86_sipi(struct cpu *, uint8_t vector);
/* The time stamp counter and the APIC timer derive from guest time: nanoseconds of isa.connect_clock's clock. */

/* Start states that a board's loader asks for instead of the reset vector (after isa.reset). */
struct x86_start {
    bool protected_mode;     /* flat 32-bit segments (base 0, limit 4 GiB, selectors code 10h, data 18h), paging off; else real mode */
    uint16_t cs, ss;         /* real mode: selectors; bases are 16 times these */
    uint32_t eip, esp, eax, ebx, ecx, edx, esi, edi, ebp;
};
void x86_start_at(struct cpu *, const struct x86_start *);

#endif
