/*
 * block-samples.c - images of read-only formats (see block-samples.h), after the same descriptions as the drivers.
 */
#include "tests/block-samples.h"

#include "blockfmt/compress.h"

#include <stdio.h>

enum { EXTENT = 32 << 10, CLOOP_BLOCK = 64 << 10 };

void sample_disk(uint8_t *p)
{
    uint64_t x = 88172645463325252u;

    memset(p, 0, SAMPLE_SIZE);
    for (unsigned i = 0; i < 40000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        p[i] = (uint8_t)x;
    }
    memset(p + 150000, 'A', 30000);
    for (unsigned i = 230000; i < SAMPLE_SIZE; i++) p[i] = (uint8_t)(i / 7);
}

static size_t bochs(const uint8_t *disk, bool old, uint8_t *out)
{
    unsigned n = SAMPLE_SIZE / EXTENT, used = 0;
    size_t at = 512 + n * 4;

    memcpy(out, "Bochs Virtual HD Image", 22);
    memcpy(out + 32, "Redolog", 7);
    memcpy(out + 48, "Growing", 7);
    st32_le(out + 64, old ? 0x10000 : 0x20000);
    st32_le(out + 68, 512);
    st32_le(out + 72, n);
    st32_le(out + 76, 512);
    st32_le(out + 80, EXTENT);
    st64_le(out + (old ? 84 : 88), SAMPLE_SIZE);
    /* Extents in the file go backwards. */
    for (unsigned i = n; i-- > 0;) {
        const uint8_t *e = disk + i * EXTENT;
        bool any = false;
        for (unsigned k = 0; k < EXTENT; k++) any |= e[k] != 0;
        st32_le(out + 512 + i * 4, any ? used : 0xffffffffu);
        if (!any) continue;
        used++;
        for (unsigned k = 0; k < EXTENT; k++) {
            if (e[k]) out[at + k / 512 / 8] |= (uint8_t)(1u << k / 512 % 8);
        }
        memcpy(out + at + 512, e, EXTENT);
        at += 512 + EXTENT;
    }
    return at;
}

static size_t cloop(const uint8_t *disk, uint8_t *out)
{
    unsigned n = SAMPLE_SIZE / CLOOP_BLOCK;
    size_t at = 136 + (n + 1) * 8;

    memcpy(out, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n", 84);
    st32_be(out + 128, CLOOP_BLOCK);
    st32_be(out + 132, n);
    for (unsigned i = 0; i < n; i++) {
        long k = compress_block(COMPRESS_ZLIB, 0, disk + i * CLOOP_BLOCK, CLOOP_BLOCK, out + at, CLOOP_BLOCK * 2);
        if (k < 0) return 0;
        st64_be(out + 136 + i * 8, at);
        at += (size_t)k;
    }
    st64_be(out + 136 + n * 8, at);
    return at;
}

static size_t base64(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t k = 0;

    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0u);
        for (unsigned d = 0; d < 4; d++) out[k++] = d > n - i ? '=' : digits[v >> (18 - 6 * d) & 63];
        if (i % 48 == 45) out[k++] = '\n';
    }
    return k;
}

static size_t dmg(const uint8_t *disk, bool fork, uint8_t *out)
{
    /* sectors up to, type */
    static const struct { uint32_t end, type; } parts[] = {
        {40, 1}, {80, 0x80000005u}, {290, 2}, {292, 0}, {360, 0x80000005u}, {500, 0x80000005u}, {512, 1}, {512, 0xffffffffu}};
    uint8_t mish[204 + ARRAY_LEN(parts) * 40] = {0};
    size_t at = 0, list;
    uint32_t from = 0;

    memcpy(mish, "mish", 4);
    st32_be(mish + 4, 1);
    st64_be(mish + 16, 512);
    st32_be(mish + 200, ARRAY_LEN(parts));
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        uint8_t *c = mish + 204 + i * 40;
        size_t n = (size_t)(parts[i].end - from) * 512;
        long k = 0;
        if (parts[i].type == 1) memcpy(out + at, disk + from * 512, n), k = (long)n;
        if (parts[i].type == 0x80000005u) k = compress_block(COMPRESS_ZLIB, 0, disk + from * 512, n, out + at, n * 2);
        if (k < 0) return 0;
        st32_be(c, parts[i].type);
        st64_be(c + 8, from);
        st64_be(c + 16, n / 512);
        st64_be(c + 24, at);
        st64_be(c + 32, (uint64_t)k);
        at += (size_t)k, from = parts[i].end;
    }
    list = at;
    if (fork) {
        st32_be(out + at, 256);
        st32_be(out + at + 8, 4 + sizeof mish);
        st32_be(out + at + 256, sizeof mish);
        memcpy(out + at + 260, mish, sizeof mish);
        at += 260 + sizeof mish + 32;
    } else {
        at += (size_t)sprintf((char *)out + at, "<?xml version=\"1.0\"?>\n<plist version=\"1.0\"><dict><key>resource-fork"
                                                "</key><dict><key>blkx</key>\n<array><dict><key>Data</key><data>\n");
        at += base64(mish, sizeof mish, (char *)out + at);
        at += (size_t)sprintf((char *)out + at, "</data></dict></array></dict></dict></plist>\n");
    }
    memcpy(out + at, "koly", 4);
    st32_be(out + at + 4, 4);
    st32_be(out + at + 8, 512);
    st64_be(out + at + 32, list);
    st64_be(out + at + (fork ? 40 : 216), list);
    st64_be(out + at + (fork ? 48 : 224), at - list);
    st64_be(out + at + 492, 512);
    return at + 512;
}

/* VMware's older sparse extents: written by the driver, made by nobody here. */
static size_t cowd(const uint8_t *disk, uint8_t *out)
{
    enum { GRAIN = 8, DIRECTORY = 4, TABLE = 5, DATA = 64 }; /* sectors */
    unsigned at = DATA;

    memcpy(out, "COWD", 4);
    st32_le(out + 4, 1);
    st32_le(out + 8, 3);
    st32_le(out + 12, SAMPLE_SIZE / 512);
    st32_le(out + 16, GRAIN);
    st32_le(out + 20, DIRECTORY);
    st32_le(out + 24, 1);
    st32_le(out + DIRECTORY * 512, TABLE);
    for (unsigned i = 0; i < SAMPLE_SIZE / (GRAIN * 512); i += 2) { /* every other grain is zeros */
        st32_le(out + TABLE * 512 + i * 4, at);
        memcpy(out + at * 512, disk + i * GRAIN * 512, GRAIN * 512);
        at += GRAIN;
    }
    st32_le(out + 28, at);
    return (size_t)at * 512;
}

size_t sample_image(const char *name, uint8_t **out)
{
    uint8_t *disk = mem_alloc(SAMPLE_SIZE);
    size_t n = 0;

    *out = mem_zalloc(SAMPLE_SIZE * 2 + 65536);
    sample_disk(disk);
    if (!strcmp(name, "bochs")) n = bochs(disk, false, *out);
    if (!strcmp(name, "bochs1")) n = bochs(disk, true, *out);
    if (!strcmp(name, "cloop")) n = cloop(disk, *out);
    if (!strcmp(name, "cowd")) n = cowd(disk, *out);
    if (!strcmp(name, "dmg")) n = dmg(disk, false, *out);
    if (!strcmp(name, "dmg-fork")) n = dmg(disk, true, *out);
    mem_free(disk);
    if (!n) mem_free(*out), *out = NULL;
    return n;
}
