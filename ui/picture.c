/*
 * picture.c - pictures to files: PPM, and PNG (ISO/IEC 15948) when zlib is there.
 */
#include "ui/picture.h"

#include "util/zlib.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool write_ppm(FILE *f, const struct picture *p)
{
    fprintf(f, "P6\n%u %u\n255\n", (unsigned)p->width, (unsigned)p->height);
    return fwrite(p->rgb, (size_t)p->width * 3, p->height, f) == p->height;
}

#ifdef HAVE_ZLIB
static bool chunk(FILE *f, const char *type, const uint8_t *data, size_t n)
{
    uint8_t head[8], end[4];
    uLong crc = Z(crc32)(0, (const Bytef *)type, 4);

    st32_be(head, (uint32_t)n);
    memcpy(head + 4, type, 4);
    if (n) crc = Z(crc32)(crc, data, (uInt)n);
    st32_be(end, (uint32_t)crc);
    return fwrite(head, 8, 1, f) == 1 && (!n || fwrite(data, n, 1, f) == 1) && fwrite(end, 4, 1, f) == 1;
}

static bool write_png(FILE *f, const struct picture *p)
{
    size_t row = (size_t)p->width * 3, n = (row + 1) * p->height;
    uLongf packed = Z(compressBound)((uLong)n);
    uint8_t *raw = mem_alloc(n), *out = mem_alloc(packed), head[13] = { 0 };
    bool ok;

    for (size_t y = 0; y < p->height; y++) {
        raw[y * (row + 1)] = 0; /* no filter */
        memcpy(raw + y * (row + 1) + 1, p->rgb + y * row, row);
    }
    st32_be(head, p->width);
    st32_be(head + 4, p->height);
    head[8] = 8, head[9] = 2; /* 8 bits, RGB */
    ok = Z(compress2)(out, &packed, raw, (uLong)n, 6) == Z_OK && fwrite("\x89PNG\r\n\x1a\n", 8, 1, f) == 1 &&
         chunk(f, "IHDR", head, sizeof head) && chunk(f, "IDAT", out, packed) && chunk(f, "IEND", NULL, 0);
    mem_free(raw);
    mem_free(out);
    return ok;
}
#endif

int display_save(struct display *d, const char *path, struct error *e)
{
    const char *dot = strrchr(path, '.');
    bool png = dot && !strcmp(dot, ".png"), ok;
    struct picture p;
    FILE *f;

#ifndef HAVE_ZLIB
    if (png) return error_set(e, "PNG needs zlib, which this program was built without");
#else
    if (png && z_load(e)) return -1;
#endif
    f = fopen(path, "wb");
    if (!f) return error_set(e, "failed to open file '%s': %s", path, strerror(errno));
    d->draw(d->opaque, &p);
#ifdef HAVE_ZLIB
    ok = png ? write_png(f, &p) : write_ppm(f, &p);
#else
    ok = write_ppm(f, &p);
#endif
    picture_free(&p);
    ok &= !fclose(f);
    return ok ? 0 : error_set(e, "failed to write file '%s'", path);
}
