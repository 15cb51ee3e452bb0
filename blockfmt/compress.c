/*
 * compress.c - zlib, zstd and bzip2 for image formats (see compress.h). Each call has a state of its own: any thread.
 */
#include "blockfmt/compress.h"

#include "util/lazy.h"
#include "util/zlib.h"

#include <errno.h>
#ifdef HAVE_ZSTD
#include <zstd.h>
#ifdef QUERN_SO_ZSTD
#define ZSTD_FUNCTIONS(X) X(ZSTD_compress) X(ZSTD_createDStream) X(ZSTD_decompressStream) X(ZSTD_freeDStream) X(ZSTD_isError)
LAZY_LIBRARY_AS(zstd_, ZSTD_FUNCTIONS, QUERN_SO_ZSTD)
#define ZSTD(f) zstd_lib.f
#else
#define ZSTD(f) f
#define zstd_load(e) 0
#endif
#endif
#ifdef HAVE_BZ2
#include <bzlib.h>
#ifdef QUERN_SO_BZ2
#define BZ2_FUNCTIONS(X) X(BZ2_bzBuffToBuffDecompress)
LAZY_LIBRARY_AS(bz2_, BZ2_FUNCTIONS, QUERN_SO_BZ2)
#define BZ2(f) bz2_lib.f
#else
#define BZ2(f) f
#define bz2_load(e) 0
#endif
#endif

int compress_need(int kind, const char *what, struct error *e)
{
    const char *library = "zlib";

    switch (kind) {
    case COMPRESS_ZSTD:
        library = "libzstd";
#ifdef HAVE_ZSTD
        return zstd_load(e) ? -ENOTSUP : 0;
#else
        break;
#endif
    case COMPRESS_BZIP2:
        library = "libbz2";
#ifdef HAVE_BZ2
        return bz2_load(e) ? -ENOTSUP : 0;
#else
        break;
#endif
    default:
#ifdef HAVE_ZLIB
        return z_load(e) ? -ENOTSUP : 0;
#else
        break;
#endif
    }
    return error_set(e, "%s is not supported by this build (it was made without %s)", what, library), -ENOTSUP;
}

bool compress_built(int kind) { return !compress_need(kind, "", NULL); }

#ifdef HAVE_ZLIB
/*
 * Is there nothing to gain? Data that is compressed or encrypted already has all bytes equally often and no string of
 * four that comes again near by. A look costs a small part of what deflate needs to find that out. Never true for
 * data that would shrink by a hundredth.
 */
static bool incompressible(const uint8_t *p, size_t n)
{
    uint32_t seen[4096] = {0}, count[256] = {0};
    unsigned matches = 0;
    double squares = 0, even = (double)n / 256;

    if (n < 16384) return false;
    for (size_t i = 0; i < n; i++) count[p[i]]++;
    /* The variance of the counts: about `even` for random bytes. Ten times it is an entropy of 7.97 bits in 64 KiB. */
    for (unsigned i = 0; i < 256; i++) squares += ((double)count[i] - even) * ((double)count[i] - even);
    if (squares / 256 > 4 * even) return false;
    for (size_t i = 0; i + 4 <= n; i++) {
        uint32_t v = ld32_le(p + i), *last = &seen[(v * 2654435761u) >> 20];
        if (*last && ld32_le(p + *last - 1) == v && ++matches > n / 2048) return false;
        *last = (uint32_t)i + 1;
    }
    return true;
}

/* Room for no more symbols than there are bytes: 64 KiB of tables to clear would be most of the work for a small cluster. */
static int mem_level(size_t n)
{
    int level = 2;

    while (level < MAX_MEM_LEVEL && (size_t)1 << (level + 6) < n) level++;
    return level;
}

static long zlib_deflate(int bits, int level, const void *src, size_t n, void *dst, size_t room)
{
    z_stream z = {0};
    int rc;
    long out;

    if (z_load(NULL)) return -ENOTSUP;
    if (Z(deflateInit2_)(&z, level ? level : Z_DEFAULT_COMPRESSION, Z_DEFLATED, bits, mem_level(n), Z_DEFAULT_STRATEGY, ZLIB_VERSION, sizeof z) != Z_OK)
        return -EIO;
    z.next_in = (Bytef *)(uintptr_t)src, z.avail_in = (uInt)n;
    z.next_out = dst, z.avail_out = (uInt)room;
    rc = Z(deflate)(&z, Z_FINISH);
    out = (long)(room - z.avail_out);
    Z(deflateEnd)(&z);
    return rc == Z_STREAM_END ? out : rc == Z_OK || rc == Z_BUF_ERROR ? -ENOSPC : -EIO;
}

static int zlib_inflate(int bits, const void *src, size_t len, void *dst, size_t n)
{
    z_stream z = {0};
    int rc;

    if (z_load(NULL)) return -ENOTSUP;
    if (Z(inflateInit2_)(&z, bits, ZLIB_VERSION, sizeof z) != Z_OK) return -EIO;
    z.next_in = (Bytef *)(uintptr_t)src, z.avail_in = (uInt)len;
    z.next_out = dst, z.avail_out = (uInt)n;
    rc = Z(inflate)(&z, Z_FINISH);
    /* A full buffer is enough: some writers leave the end of the stream out. */
    rc = (rc == Z_STREAM_END || rc == Z_BUF_ERROR || rc == Z_OK) && !z.avail_out ? 0 : -EIO;
    Z(inflateEnd)(&z);
    return rc;
}
#endif

long compress_block(int kind, int level, const void *src, size_t n, void *dst, size_t room)
{
#ifdef HAVE_ZLIB
    if (kind == COMPRESS_DEFLATE_RAW && room < n && incompressible(src, n)) return -ENOSPC;
    if (kind == COMPRESS_DEFLATE_RAW) return zlib_deflate(-12, level, src, n, dst, room);
    if (kind == COMPRESS_ZLIB) return zlib_deflate(15, level, src, n, dst, room);
#endif
#ifdef HAVE_ZSTD
    if (kind == COMPRESS_ZSTD && !zstd_load(NULL)) {
        size_t k = ZSTD(ZSTD_compress)(dst, room, src, n, level ? level : 3);
        return ZSTD(ZSTD_isError)(k) ? -ENOSPC : (long)k;
    }
#endif
    return -ENOTSUP;
}

int decompress_block(int kind, const void *src, size_t len, void *dst, size_t n)
{
#ifdef HAVE_ZLIB
    if (kind == COMPRESS_DEFLATE_RAW) return zlib_inflate(-12, src, len, dst, n);
    if (kind == COMPRESS_ZLIB) return zlib_inflate(15, src, len, dst, n);
#endif
#ifdef HAVE_ZSTD
    if (kind == COMPRESS_ZSTD && !zstd_load(NULL)) {
        ZSTD_DStream *d = ZSTD(ZSTD_createDStream)();
        ZSTD_inBuffer in = {src, len, 0};
        ZSTD_outBuffer out = {dst, n, 0};
        size_t rc = d ? 1 : 0;
        while (d && rc && !ZSTD(ZSTD_isError)(rc) && out.pos < n && in.pos < len) rc = ZSTD(ZSTD_decompressStream)(d, &out, &in);
        ZSTD(ZSTD_freeDStream)(d);
        return out.pos == n && !ZSTD(ZSTD_isError)(rc) ? 0 : -EIO;
    }
#endif
#ifdef HAVE_BZ2
    if (kind == COMPRESS_BZIP2 && !bz2_load(NULL)) {
        unsigned out = (unsigned)n;
        int rc = BZ2(BZ2_bzBuffToBuffDecompress)(dst, &out, (char *)(uintptr_t)src, (unsigned)len, 0, 0);
        return (rc == BZ_OK || rc == BZ_OUTBUFF_FULL) && out == n ? 0 : -EIO;
    }
#endif
    return -ENOTSUP;
}
