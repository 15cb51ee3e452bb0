/* Hashing: CRC-32 by table, FNV, and a mixing step; shifts, xors, dependent loads. */
#include "rt.h"
static u32 table[256];
static u8 text[65536];
unsigned bench(void)
{
    u32 s = 12345, crc = ~0u, fnv = 2166136261u, mix = 0;
    for (u32 i = 0; i < 256; i++) {
        u32 c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        table[i] = c;
    }
    for (unsigned i = 0; i < sizeof text; i++) text[i] = (u8)rt_random(&s);
    for (int round = 0; round < 150; round++) {
        for (unsigned i = 0; i < sizeof text; i++) {
            crc = table[(crc ^ text[i]) & 255] ^ crc >> 8;
            fnv = (fnv ^ text[i]) * 16777619u;
        }
        mix ^= crc + fnv, mix = mix << 7 | mix >> 25;
    }
    return mix;
}
