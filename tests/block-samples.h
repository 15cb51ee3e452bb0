/*
 * block-samples.h - small images of the formats that are only read, made from scratch for tests and fuzzing.
 */
#ifndef TESTS_BLOCK_SAMPLES_H
#define TESTS_BLOCK_SAMPLES_H

#include "util/host.h"

enum { SAMPLE_SIZE = 256 << 10 };
/* The disk that all samples hold: SAMPLE_SIZE bytes, noise, zeros and text. */
void sample_disk(uint8_t *out);
/* "bochs", "bochs1", "cloop", "dmg", "dmg-fork"; the length, 0: unknown, or no zlib. *out is allocated. */
size_t sample_image(const char *name, uint8_t **out);

#endif
