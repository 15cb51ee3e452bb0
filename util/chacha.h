/*
 * chacha.h - a stream of random bytes from a seed: the ChaCha20 block function (RFC 8439, section
 * 2.3) in counter mode. For devices that give random numbers to guests; not for secrets on disk.
 */
#ifndef UTIL_CHACHA_H
#define UTIL_CHACHA_H

#include "util/host.h"

/* The block with this number (64 bytes) of the stream that key and stream number name. */
void chacha_block(const uint8_t key[32], uint64_t stream, uint64_t number, uint8_t out[64]);

#endif
