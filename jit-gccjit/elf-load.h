/*
 * elf-load.h - puts an ELF relocatable object that needs no symbols of others into memory.
 */
#ifndef JIT_GCCJIT_ELF_LOAD_H
#define JIT_GCCJIT_ELF_LOAD_H

#include "util/host.h"

/* What of the object goes into memory, and where the functions r0, r1... are. Offsets are into that memory. */
struct elf_plan {
    const uint8_t *file;
    size_t file_size, size;       /* size: bytes of memory needed; align them to 64 */
    struct elf_place { uint64_t at; bool used; } *section;
    unsigned n_sections, symtab;
    struct elf_function { size_t at, size; } *functions;
    unsigned n_functions;
    uint8_t machine;              /* as in the ELF header, low byte */
};

/* Reads the object and lays it out; n functions must be defined in it. False: *why tells (static text); nothing to free then. */
bool elf_plan(struct elf_plan *, const uint8_t *file, size_t size, unsigned n, const char **why);
/* Fills memory of plan->size bytes that is written at rw and will be run at rx, relocations done. False: *why. */
bool elf_place(const struct elf_plan *, uint8_t *rw, const uint8_t *rx, const char **why);
/* The bytes of a section that is not loaded; NULL: there is none. */
const uint8_t *elf_section(const struct elf_plan *, const char *name, size_t *size);
void elf_plan_free(struct elf_plan *);

#endif
