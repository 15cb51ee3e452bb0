/*
 * compress.h - the compressors of image formats; one place for each library. -ENOTSUP when it is not built in,
 * or not there when it is needed.
 */
#ifndef BLOCKFMT_COMPRESS_H
#define BLOCKFMT_COMPRESS_H

#include "util/error.h"
#include "util/host.h"

enum { COMPRESS_DEFLATE_RAW /* no header, 4 KiB window: qcow, qcow2 */, COMPRESS_ZLIB /* vmdk, dmg, cloop */, COMPRESS_ZSTD,
       COMPRESS_BZIP2 /* dmg, reading only */ };
/* Bytes written to dst, or -ENOSPC when they do not fit (it does not get smaller), -EIO. level 0: the default. */
long compress_block(int kind, int level, const void *src, size_t n, void *dst, size_t room);
/* Fills dst (exactly n bytes); src may be longer than its stream. 0 or -EIO. */
int decompress_block(int kind, const void *src, size_t len, void *dst, size_t n);
/* Whether it is built in, and its library can be loaded. */
bool compress_built(int kind);
/* 0 when it is, else -ENOTSUP and a message: `what` needs it. */
int compress_need(int kind, const char *what, struct error *);

#endif
