/*
 * chacha.c - the ChaCha20 block function; see chacha.h.
 */
#include "util/chacha.h"

static uint32_t rotate(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static void quarter(uint32_t *x, unsigned a, unsigned b, unsigned c, unsigned d)
{
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 7);
}

void chacha_block(const uint8_t key[32], uint64_t stream, uint64_t number, uint8_t out[64])
{
    uint32_t s[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, x[16];
    for (unsigned i = 0; i < 8; i++)
        s[4 + i] = ld32_le(key + 4 * i);
    s[12] = (uint32_t)number, s[13] = (uint32_t)(number >> 32);
    s[14] = (uint32_t)stream, s[15] = (uint32_t)(stream >> 32);
    memcpy(x, s, sizeof x);
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned k = 0; k < 4; k++)
            quarter(x, k, k + 4, k + 8, k + 12);
        for (unsigned k = 0; k < 4; k++)
            quarter(x, k, 4 + (k + 1) % 4, 8 + (k + 2) % 4, 12 + (k + 3) % 4);
    }
    for (unsigned i = 0; i < 16; i++)
        st32_le(out + 4 * i, x[i] + s[i]);
}
