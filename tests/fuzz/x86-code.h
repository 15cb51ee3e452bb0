/*
 * x86-code.h - hostile x86 code out of an input's bytes: random encodings of every line of the instruction table, random
 * bytes, and short sequences aimed at what breaks emulators (see x86-code.c); and the tables and handlers of a bare machine.
 */
#ifndef TESTS_FUZZ_X86_CODE_H
#define TESTS_FUZZ_X86_CODE_H

#include "isa/x86/decode.h"
#include "tests/fuzz/fuzz.h"

struct x86_place {
    enum x86_mode mode;
    bool paging;               /* in 64-bit mode always */
    const uint64_t *pointers;  /* addresses that are worth a visit */
    unsigned n_pointers;
};

/* What a machine of these needs in memory, at X86_LOW. */
enum { X86_LOW = 0x10000, X86_LOW_SIZE = 0x8000, X86_BOOT = X86_LOW + 0x7000, X86_VECTOR = 0x21, X86_IRQ_PORT = 4 };

/* The physical address of the page tables. */
enum { X86_PAGES = X86_LOW + 0x2000 };

/* Fills n bytes at mem. */
void x86_code(struct fuzz_bytes *, const struct x86_place *, uint8_t *mem, unsigned n);
/* Descriptor tables, page tables of the first 64 pages (with rights by the input), handlers that go on one byte behind what
 * faulted, and at X86_BOOT code that begins in the state of x86_start_at() with flat 32-bit segments, enters the mode, loads all
 * registers and jumps to `start`. low: the X86_LOW_SIZE bytes there. */
void x86_low(struct fuzz_bytes *, const struct x86_place *, uint8_t *low, uint64_t start);
/* Real mode: vectors and the handler they lead to, which is in `low`. */
void x86_vectors(uint8_t *ram, uint8_t *low);

#endif
