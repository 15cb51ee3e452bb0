/*
 * guest-code.h - hostile MIPS code out of an input's bytes: random words, random encodings of every line of the
 * instruction table, and short sequences aimed at what breaks emulators (see guest-code.c).
 */
#ifndef TESTS_FUZZ_GUEST_CODE_H
#define TESTS_FUZZ_GUEST_CODE_H

#include "tests/fuzz/fuzz.h"

struct code_place {
    bool is64, big_endian, user;
    const uint64_t *pointers;  /* addresses that are worth a visit */
    unsigned n_pointers;
};

/* Fills n words at mem, in the guest's byte order. */
void guest_code(struct fuzz_bytes *, const struct code_place *, uint8_t *mem, unsigned n);
/* A handler for exceptions that goes on behind the instruction (system mode), 4 words. */
void guest_handler(const struct code_place *, uint8_t *mem);
/* A refill handler that maps what was asked for onto low memory, 9 words. */
void guest_refill(const struct code_place *, uint8_t *mem);

#endif
