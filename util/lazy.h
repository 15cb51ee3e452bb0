/*
 * lazy.h - libraries that few runs need (curl, libssh, ...) are loaded when they are first needed, not at each start.
 *
 * configure finds the name under which such a library is loaded and defines QUERN_SO_NAME; without it (another linker,
 * a static program, no GNU C) the library is linked as any other. A file that uses one lists its functions, and calls
 * each as L(function)(...):
 *
 *   #define FUNCTIONS(X) X(curl_easy_init) X(curl_easy_cleanup)
 *   LAZY_LIBRARY(FUNCTIONS)            a struct `lib` of pointers, and their names
 *   #define L(f) lib.f                 or f alone, without QUERN_SO_NAME
 *   lazy_load(&lazy, e)                before the first call, from any thread
 *
 * A file with more than one library gives each a prefix: LAZY_LIBRARY_AS(z_, FUNCTIONS, so) makes z_lib and z_load(e).
 */
#ifndef UTIL_LAZY_H
#define UTIL_LAZY_H

#include "util/error.h"

struct lazy {
    const char *file;          /* "libcurl.so.4" */
    const char *const *names;  /* NULL at the end */
    void **pointers;           /* as many */
    void *handle;              /* NULL: not loaded */
};

/* 0, or -ENOENT and *e: it cannot be loaded, or lacks something. Once loaded it stays. */
int lazy_load(struct lazy *, struct error *e);

#define LAZY_FIELD(f) HOST_TYPEOF(f) *f;
#define LAZY_NAME(f)  #f,
#define LAZY_TABLES(p, functions, so)                                                              \
    static struct p##lazy_functions { functions(LAZY_FIELD) } p##lib;                              \
    static const char *const p##lib_names[] = { functions(LAZY_NAME) NULL };                       \
    static struct lazy p##lazy = { so, p##lib_names, (void **)&p##lib, NULL };
#define LAZY_LIBRARY(functions, so) LAZY_TABLES(, functions, so)
#define LAZY_LIBRARY_AS(p, functions, so)                                                          \
    LAZY_TABLES(p, functions, so)                                                                  \
    static int p##load(struct error *e) { return lazy_load(&p##lazy, e); }

#endif
