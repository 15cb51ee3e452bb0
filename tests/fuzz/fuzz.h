/*
 * fuzz.h - what a fuzz target is made of: one function that takes bytes, seeds for the mutator, and a main() for builds
 * without libFuzzer.
 *
 * With clang: -fsanitize=fuzzer -DFUZZ_LIBFUZZER. With any compiler: the program itself mutates, see `--help` in
 * driver.c. A finding ends the process by abort() or by the sanitizer; the input is left in the file that --last names.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "util/host.h"

enum { FUZZ_MAX_INPUT = 1 << 16 };

/* The target. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The n-th seed into buf (room bytes): its length, 0 after the last. */
size_t fuzz_seed(unsigned n, uint8_t *buf, size_t room);

/* Random numbers that are the same on every host. *s is never 0. */
static inline uint64_t fuzz_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

/* Bytes of the input; when they are used up, random ones that the input determines. */
struct fuzz_bytes { const uint8_t *p, *end; uint64_t rng; };

static inline struct fuzz_bytes fuzz_bytes(const uint8_t *data, size_t size)
{
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < size; i++) h = (h ^ data[i]) * UINT64_C(0x100000001b3);
    h ^= h >> 29;
    return (struct fuzz_bytes){ data, data + size, h ? h : 1 };
}

static inline uint8_t fuzz_u8(struct fuzz_bytes *b)
{
    return b->p < b->end ? *b->p++ : (uint8_t)(fuzz_random(&b->rng) >> 24);
}

static inline uint32_t fuzz_u16(struct fuzz_bytes *b)
{
    uint32_t lo = fuzz_u8(b);
    return lo | (uint32_t)fuzz_u8(b) << 8;
}

static inline uint32_t fuzz_u32(struct fuzz_bytes *b)
{
    uint32_t lo = fuzz_u16(b);
    return lo | fuzz_u16(b) << 16;
}

/* 0 to n - 1 */
static inline uint32_t fuzz_pick(struct fuzz_bytes *b, uint32_t n)
{
    return (n <= 256 ? fuzz_u8(b) : fuzz_u16(b)) % n;
}

#endif
