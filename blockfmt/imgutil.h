/*
 * imgutil.h - what several image formats need and the core does not: identifiers, checksums, refusals that name the
 * field, reads that go on to the backing file, and tables read with their sizes checked. No format lives here.
 */
#ifndef BLOCKFMT_IMGUTIL_H
#define BLOCKFMT_IMGUTIL_H

#include "blockfmt/driver.h"

/* "FORMAT: what (0xVALUE)"; returns -EINVAL. */
int img_bad(struct error *, struct blk_node *, const char *what, uint64_t value);
/* The same for a place in the file: "FORMAT: what at offset 0x..."; returns -EINVAL. */
int img_bad_at(struct error *, struct blk_node *, const char *what, uint64_t offset);
/* A random identifier (RFC 4122, version 4), in the byte order of the RFC. */
void img_uuid(uint8_t uuid[16]);
/* CRC-32C (Castagnoli) of n bytes; crc: 0, or what a call for the bytes before gave. */
uint32_t img_crc32c(uint32_t crc, const void *, size_t n);
/* What is not allocated: the backing file's bytes, or zeros. */
int img_read_backing(struct blk_node *, uint64_t offset, void *buf, size_t n);
/* A table of n entries of `entry` bytes that must lie inside the file; *out is allocated, the caller frees it. */
int img_read_table(struct blk_node *, const char *what, uint64_t offset, uint64_t n, unsigned entry, void *out,
                   struct error *);
/* Makes [offset, offset + n) of the file zeros without writing them where the host can. */
int img_clear(struct blk_node *file, uint64_t offset, uint64_t n);
/* Tables read piece by piece: pages of 4 KiB, a fixed number of them in memory, written through. Any thread. */
struct img_pages {
    struct blk_node *file;
    pthread_mutex_t lock;
    uint8_t **data; /* pages, once they are used */
    uint64_t *tags; /* offset + 1; 0: empty */
    unsigned n;
};
void img_pages_init(struct img_pages *, struct blk_node *file, unsigned pages);
void img_pages_free(struct img_pages *);
/* n bytes that do not cross a page. Beyond the end of the file: -EIO. */
int img_pages_read(struct img_pages *, uint64_t offset, void *buf, unsigned n);
int img_pages_write(struct img_pages *, uint64_t offset, const void *buf, unsigned n);

/* A detail line of check. */
void img_check_line(struct blk_check *, const char *fmt, ...) ATTR_PRINTF(2, 3);


/* The open image's own file could not be read or written: says so. Returns rc. */
int img_io_error(struct error *, struct blk_node *, const char *what, int rc);

#endif
