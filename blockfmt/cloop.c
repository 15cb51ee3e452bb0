/*
 * cloop.c - compressed loop images, version 2, read-only: a shell script of 128 bytes, the size and number of blocks, the
 * offsets of the blocks, the blocks (zlib). Big endian. After the description in the cloop package of KNOPPIX.
 */
#include "blockfmt/compress.h"
#include "blockfmt/imgutil.h"

#define HEAD "#!/bin/sh\n#V2.0 Format\n"
#define MAX_BLOCK (64u << 20)

struct cloop {
    uint32_t block, n;
    uint64_t *offsets;  /* n + 1, ascending */
    uint8_t *data;      /* the block read last */
    uint64_t current;
};

static int cloop_probe(const uint8_t *b, size_t n, const char *filename)
{
    return n >= sizeof HEAD && !memcmp(b, HEAD, sizeof HEAD - 1) ? 2 : 0;
}

static int cloop_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct cloop *s = blk_state(n);
    uint8_t h[136];
    uint64_t file = blk_node_size(blk_file(n));
    int rc = blk_node_read(blk_file(n), 0, h, sizeof h);

    if (rc) return img_io_error(e, n, "the header", rc);
    rc = compress_need(COMPRESS_ZLIB, "cloop", e);
    if (rc) return rc;
    s->block = ld32_be(h + 128), s->n = ld32_be(h + 132);
    if (s->block % 512) return error_set(e, "block_size %u must be a multiple of 512", s->block), -EINVAL;
    if (!s->block) return error_set(e, "block_size cannot be zero"), -EINVAL;
    if (s->block > MAX_BLOCK) return error_set(e, "block_size %u must be %u MB or less", s->block, MAX_BLOCK >> 20), -EINVAL;
    rc = img_read_table(n, "the table of offsets", 136, (uint64_t)s->n + 1, 8, &s->offsets, e);
    if (rc) return rc;
    for (uint64_t i = 0; i <= s->n; i++) {
        uint64_t x = s->offsets[i] = ld64_be(&s->offsets[i]);
        if (!i || (x >= s->offsets[i - 1] && x - s->offsets[i - 1] <= 2u * MAX_BLOCK && x <= file)) continue;
        error_set(e,
                  "cloop: offsets not monotonically increasing, too far apart or beyond the end of the file at index %llu, "
                  "image file is corrupt",
                  (unsigned long long)i);
        mem_free(s->offsets);
        return -EINVAL;
    }
    s->data = mem_alloc(s->block);
    s->current = UINT64_MAX;
    blk_set_size(n, (uint64_t)s->n * s->block);
    return 0;
}

static void cloop_close(struct blk_node *n)
{
    struct cloop *s = blk_state(n);
    mem_free(s->offsets);
    mem_free(s->data);
}

static int load(struct blk_node *n, struct cloop *s, uint64_t i)
{
    size_t len = (size_t)(s->offsets[i + 1] - s->offsets[i]);
    uint8_t *src;
    int rc;

    if (s->current == i) return 0;
    s->current = UINT64_MAX;
    src = mem_alloc(len + 1);
    rc = blk_node_read(blk_file(n), s->offsets[i], src, len);
    if (!rc) rc = decompress_block(COMPRESS_ZLIB, src, len, s->data, s->block);
    mem_free(src);
    if (!rc) s->current = i;
    return rc;
}

static int cloop_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct cloop *s = blk_state(n);
    uint8_t *p = buf;
    int rc = 0;

    for (size_t k; len && !rc; p += k, offset += k, len -= k) {
        uint32_t in = (uint32_t)(offset % s->block);
        k = MIN(len, (size_t)(s->block - in));
        rc = load(n, s, offset / s->block);
        if (!rc) memcpy(p, s->data + in, k);
    }
    return rc;
}

const struct blk_driver blk_drv_cloop = {
    .name = "cloop",
    .kind = BLK_FORMAT,
    .state_size = sizeof(struct cloop),
    .probe = cloop_probe,
    .open = cloop_open,
    .close = cloop_close,
    .read = cloop_read,
};
