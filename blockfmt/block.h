/*
 * block.h - disks as devices see them: sectors that can be read and written.
 *
 * The raw format over plain files and host devices; the format and protocol graph grows behind this interface.
 * Requests complete synchronously in the calling thread.
 */
#ifndef BLOCKFMT_BLOCK_H
#define BLOCKFMT_BLOCK_H

#include "util/error.h"

struct blk_backend;

enum blk_flags { BLK_RDONLY = 1, BLK_SNAPSHOT = 2 /* writes go to a temporary overlay */ };
/* path: image file or host device. format: "raw", or NULL to probe (anything but raw is an error that names the format). */
struct blk_backend *blk_open(const char *path, const char *format, unsigned flags, struct error *);
void blk_close(struct blk_backend *);   /* flushes */
uint64_t blk_size(const struct blk_backend *);  /* bytes */
bool blk_readonly(const struct blk_backend *);
const char *blk_path(const struct blk_backend *);
/* Bytes; 0 or -errno. Beyond the end: -EIO. */
int blk_read(struct blk_backend *, uint64_t offset, void *buf, size_t n);
int blk_write(struct blk_backend *, uint64_t offset, const void *buf, size_t n);
int blk_flush(struct blk_backend *);

#endif
