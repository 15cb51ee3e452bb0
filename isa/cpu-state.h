/*
 * cpu-state.h - the state of a CPU that a guest can see: registers, the ISA's further fields, the count of instructions. It is
 * saved, loaded and hashed in the same way for a machine and for a process.
 */
#ifndef ISA_CPU_STATE_H
#define ISA_CPU_STATE_H

#include "bus/state.h"
#include "isa/isa.h"

#include <stdio.h>

/* Not while the CPU runs. */
void isa_cpu_save(const struct isa *, struct cpu *, struct state_buf *);
/* 0 or -1; on error the CPU may be partly written. Caches that depend on the state (TLBs) are the caller's business. */
int isa_cpu_load(const struct isa *, struct cpu *, struct state_buf *, struct error *);
/* Equal for equal states, on every host. h: to begin with. */
uint64_t isa_cpu_hash(const struct isa *, struct cpu *, uint64_t h);
/* What differs, a line each to f: "  NAME  A  B", numbers in hexadecimal where they have up to 64 bits. */
void isa_cpu_show_difference(const struct isa *, struct cpu *a, struct cpu *b, FILE *f);

#endif
