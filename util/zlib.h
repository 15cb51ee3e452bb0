/*
 * zlib.h - zlib's functions for the files that use them, each loading the library when it is first needed (lazy.h): Z(f)(...)
 * calls f, after z_load(e) has returned 0. Includes nothing where zlib was not found.
 */
#ifndef UTIL_ZLIB_H
#define UTIL_ZLIB_H

#include "util/lazy.h"

#ifdef HAVE_ZLIB
#include <zlib.h>
#ifdef QUERN_SO_ZLIB
#define Z_FUNCTIONS(X) X(compress2) X(compressBound) X(crc32) X(deflate) X(deflateEnd) X(deflateInit2_) X(inflate) X(inflateEnd) X(inflateInit2_)
LAZY_LIBRARY_AS(z_, Z_FUNCTIONS, QUERN_SO_ZLIB)
#define Z(f) z_lib.f
#else
#define Z(f) f
#define z_load(e) 0
#endif
#endif

#endif
