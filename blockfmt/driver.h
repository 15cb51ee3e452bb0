/*
 * driver.h - between block.c and the files that implement a kind of storage. Not for devices or
 * programs.
 */
#ifndef BLOCKFMT_DRIVER_H
#define BLOCKFMT_DRIVER_H

#include "blockfmt/block.h"

/* Offsets and lengths have been checked against the size. 0 or -errno. */
struct blk_driver {
    const char *name;
    int (*read)(void *state, uint64_t offset, void *buf, size_t n);
    int (*write)(void *state, uint64_t offset, const void *buf, size_t n);
    int (*flush)(void *state);
    void (*close)(void *state); /* frees the state */
};

extern const struct blk_driver blk_raw_driver;
/* Opens and locks; *size is in bytes, a multiple of 512. NULL + error. */
void *blk_raw_open(const char *path, bool readonly, uint64_t *size, struct error *);

extern const struct blk_driver blk_overlay_driver;
/* A copy-on-write layer in an anonymous temporary file over `base`, which it takes over and closes.
 * NULL + error (base is then still the caller's). */
void *blk_overlay_open(const struct blk_driver *base, void *base_state, uint64_t size,
                       struct error *);

#endif
