/*
 * dmg.c - Apple disk images (UDIF), read-only: raw, zero, zlib and bzip2 chunks. After the published descriptions of the
 * format: a trailer ("koly"), an XML property list or a resource fork with tables ("mish"), the chunks. Big endian.
 *
 * Not here, and refused when an image has such chunks: ADC, LZFSE and LZMA. Encrypted images have no trailer.
 */
#include "blockfmt/compress.h"
#include "blockfmt/imgutil.h"

enum { K_DATA = 24, K_RSRC = 40, K_RSRC_LEN = 48, K_XML = 216, K_XML_LEN = 224 };
enum { M_SECTOR = 8, M_DATA = 24, M_COUNT = 200, M_CHUNKS = 204, C_SECTOR = 8, C_COUNT = 16, C_OFFSET = 24, C_LENGTH = 32, C_SIZE = 40 };
#define T_ZERO    0u
#define T_RAW     1u
#define T_IGNORE  2u
#define T_COMMENT 0x7ffffffeu
#define T_ADC     0x80000004u
#define T_ZLIB    0x80000005u
#define T_BZIP2   0x80000006u
#define T_LZFSE   0x80000007u
#define T_LZMA    0x80000008u
#define T_END     0xffffffffu
#define MAX_CHUNK (64u << 20)
#define MAX_LIST  (64u << 20)

struct chunk {
    uint32_t type;
    uint64_t sector, count, offset, length;
};

struct dmg {
    struct chunk *v;
    size_t n, room;
    uint64_t data, biggest;
    uint8_t *cache;
    size_t cached; /* SIZE_MAX: none */
};

static int dmg_probe(const uint8_t *b, size_t n, const char *filename)
{
    size_t len = strlen(filename);
    return len > 4 && !strcmp(filename + len - 4, ".dmg") ? 2 : 0;
}

/* ---- the tables ----------------------------------------------------------------------------------- */

static int add_chunk(struct blk_node *n, struct dmg *s, const uint8_t *p, uint64_t first, uint64_t base, struct error *e)
{
    struct chunk c = {ld32_be(p), ld64_be(p + C_SECTOR), ld64_be(p + C_COUNT), ld64_be(p + C_OFFSET), ld64_be(p + C_LENGTH)};
    uint64_t file = blk_node_size(blk_file(n));
    static const struct { uint32_t type; const char *name; } not_here[] = {
        {T_ADC, "ADC"}, {T_LZFSE, "LZFSE"}, {T_LZMA, "LZMA"}};

    if (c.type == T_COMMENT || c.type == T_END || !c.count) return 0;
    for (size_t i = 0; i < ARRAY_LEN(not_here); i++) {
        if (c.type != not_here[i].type) continue;
        error_set(e, "dmg: the image has chunks compressed by %s, which is not supported", not_here[i].name);
        return -ENOTSUP;
    }
    int rc = c.type == T_BZIP2  ? compress_need(COMPRESS_BZIP2, "a dmg image with chunks compressed by bzip2", e)
             : c.type == T_ZLIB ? compress_need(COMPRESS_ZLIB, "a dmg image with chunks compressed by zlib", e)
                                : 0;
    if (rc) return rc;
    if (c.type != T_ZERO && c.type != T_RAW && c.type != T_IGNORE && c.type != T_ZLIB && c.type != T_BZIP2)
        return img_bad(e, n, "unknown type of chunk", c.type);
    if (c.sector > INT64_MAX / 512 - first || c.count > INT64_MAX / 512 - first - c.sector)
        return img_bad(e, n, "a chunk is outside any disk, sector", c.sector);
    c.sector += first;
    if (c.type != T_ZERO && c.type != T_IGNORE) {
        if (base > file || c.offset > file - base || c.length > file - base - c.offset)
            return img_bad_at(e, n, "a chunk lies beyond the end of the file,", c.offset);
        c.offset += base;
        if (c.type == T_RAW) {
            if (c.length < c.count * 512) return img_bad(e, n, "a raw chunk is too short", c.length);
        } else {
            if (c.count > MAX_CHUNK / 512 || c.length > MAX_CHUNK) return img_bad(e, n, "a chunk is too large, sectors:", c.count);
            s->biggest = MAX(s->biggest, c.count * 512);
        }
    }
    if (s->n == s->room) s->room = s->room ? s->room * 2 : 64, s->v = mem_realloc(s->v, s->room * sizeof *s->v);
    s->v[s->n++] = c;
    return 0;
}

static int add_table(struct blk_node *n, struct dmg *s, const uint8_t *p, size_t len, struct error *e)
{
    uint64_t first, base;
    int rc = 0;

    if (len < M_CHUNKS || memcmp(p, "mish", 4)) return 0; /* some other resource */
    first = ld64_be(p + M_SECTOR), base = ld64_be(p + M_DATA);
    uint32_t count = ld32_be(p + M_COUNT);
    if (count > (len - M_CHUNKS) / C_SIZE) return img_bad(e, n, "a table of chunks is too short for its entries", count);
    if (first > INT64_MAX / 512 || base > INT64_MAX / 2 || s->data > INT64_MAX / 2)
        return img_bad(e, n, "invalid table of chunks, sector", first);
    for (uint32_t i = 0; i < count && !rc; i++) rc = add_chunk(n, s, p + M_CHUNKS + i * C_SIZE, first, s->data + base, e);
    return rc;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base 64 in place, blanks skipped; the number of bytes. */
static size_t decode(char *p, const char *end)
{
    uint8_t *out = (uint8_t *)p;
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;

    for (; p < end; p++) {
        int d = digit(*p);
        if (d < 0) continue;
        bits = bits << 6 | (uint32_t)d, have += 6;
        if (have >= 8) have -= 8, out[n++] = (uint8_t)(bits >> have);
    }
    return n;
}

static int read_xml(struct blk_node *n, struct dmg *s, uint64_t at, uint64_t len, struct error *e)
{
    char *text, *p, *end;
    int rc = img_read_table(n, "the property list", at, len, 1, &text, e);

    if (rc) return rc;
    text = mem_realloc(text, (size_t)len + 1);
    text[len] = 0;
    p = strstr(text, "<key>blkx</key>");
    end = p ? strstr(p, "</array>") : NULL;
    if (!p) rc = img_bad_at(e, n, "the property list has no block tables,", at);
    while (!rc && p && (p = strstr(p, "<data>")) && (!end || p < end)) {
        char *stop = strstr(p, "</data>");
        if (!stop) {
            rc = img_bad_at(e, n, "the property list ends too early,", at);
            break;
        }
        p += 6;
        /* Decoded, a table is shorter than its text: it does not reach `stop`. */
        rc = add_table(n, s, (uint8_t *)p, decode(p, stop), e);
        p = stop;
    }
    mem_free(text);
    return rc;
}

static int read_fork(struct blk_node *n, struct dmg *s, uint64_t at, uint64_t len, struct error *e)
{
    uint8_t *p;
    int rc = img_read_table(n, "the resource fork", at, len, 1, &p, e);

    if (rc) return rc;
    uint64_t pos = len >= 16 ? ld32_be(p) : len, end = len >= 16 ? pos + ld32_be(p + 8) : 0;
    end = MIN(end, len);
    while (!rc && pos < end && end - pos >= 4) {
        uint64_t k = ld32_be(p + pos);
        pos += 4;
        if (!k || k > end - pos) break;
        rc = add_table(n, s, p + pos, (size_t)k, e);
        pos += k;
    }
    mem_free(p);
    return rc;
}

static int by_sector(const void *a, const void *b)
{
    const struct chunk *x = a, *y = b;
    return x->sector < y->sector ? -1 : x->sector > y->sector;
}

static int dmg_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct dmg *s = blk_state(n);
    uint8_t k[512];
    uint64_t file = blk_node_size(blk_file(n)), size = 0;
    int rc;

    s->cached = SIZE_MAX;
    rc = file < sizeof k ? 0 : blk_node_read(blk_file(n), file - sizeof k, k, sizeof k);
    if (rc) return img_io_error(e, n, "the trailer", rc);
    if (file < sizeof k || memcmp(k, "koly", 4)) return error_set(e, "Could not locate UDIF trailer in dmg file"), -EINVAL;
    s->data = ld64_be(k + K_DATA);
    if (ld64_be(k + K_XML_LEN) > MAX_LIST || ld64_be(k + K_RSRC_LEN) > MAX_LIST)
        return img_bad(e, n, "the list of block tables is too long", MAX(ld64_be(k + K_XML_LEN), ld64_be(k + K_RSRC_LEN)));
    if (ld64_be(k + K_RSRC_LEN)) rc = read_fork(n, s, ld64_be(k + K_RSRC), ld64_be(k + K_RSRC_LEN), e);
    else if (ld64_be(k + K_XML_LEN)) rc = read_xml(n, s, ld64_be(k + K_XML), ld64_be(k + K_XML_LEN), e);
    else rc = img_bad(e, n, "the image has no block tables, data at", s->data);
    if (!rc && s->n) qsort(s->v, s->n, sizeof *s->v, by_sector);
    for (size_t i = 0; i < s->n && !rc; i++) {
        if (s->v[i].sector * 512 < size) rc = img_bad(e, n, "chunks overlap, sector", s->v[i].sector);
        size = (s->v[i].sector + s->v[i].count) * 512;
    }
    if (rc) {
        mem_free(s->v);
        return rc;
    }
    s->cache = mem_alloc((size_t)s->biggest + 1);
    blk_set_size(n, size);
    return 0;
}

static void dmg_close(struct blk_node *n)
{
    struct dmg *s = blk_state(n);
    mem_free(s->v);
    mem_free(s->cache);
}

/* ---- reading -------------------------------------------------------------------------------------- */

/* The last chunk that starts at or before a sector; n when there is none. */
static size_t find(const struct dmg *s, uint64_t sector)
{
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->v[mid].sector <= sector) lo = mid + 1;
        else hi = mid;
    }
    return lo ? lo - 1 : s->n;
}

static int load(struct blk_node *n, struct dmg *s, size_t i)
{
    const struct chunk *c = &s->v[i];
    uint8_t *src;
    int rc;

    if (s->cached == i) return 0;
    s->cached = SIZE_MAX;
    src = mem_alloc((size_t)c->length + 1);
    rc = blk_node_read(blk_file(n), c->offset, src, (size_t)c->length);
    if (!rc)
        rc = decompress_block(c->type == T_ZLIB ? COMPRESS_ZLIB : COMPRESS_BZIP2, src, (size_t)c->length, s->cache,
                              (size_t)c->count * 512);
    mem_free(src);
    if (!rc) s->cached = i;
    return rc;
}

static int dmg_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct dmg *s = blk_state(n);
    uint8_t *p = buf;
    uint64_t k;
    int rc = 0;

    for (; len && !rc; p += k, offset += k, len -= (size_t)k) {
        size_t i = find(s, offset / 512), next = i == s->n ? 0 : i + 1;
        const struct chunk *c = i == s->n ? NULL : &s->v[i];
        if (c && offset >= (c->sector + c->count) * 512) c = NULL;
        k = c ? (c->sector + c->count) * 512 - offset : next < s->n ? s->v[next].sector * 512 - offset : len;
        k = MIN(k, len);
        if (!c || c->type == T_ZERO || c->type == T_IGNORE) memset(p, 0, (size_t)k);
        else if (c->type == T_RAW) rc = blk_node_read(blk_file(n), c->offset + (offset - c->sector * 512), p, (size_t)k);
        else if (!(rc = load(n, s, i))) memcpy(p, s->cache + (offset - c->sector * 512), (size_t)k);
    }
    return rc;
}

const struct blk_driver blk_drv_dmg = {
    .name = "dmg",
    .kind = BLK_FORMAT,
    .state_size = sizeof(struct dmg),
    .probe = dmg_probe,
    .open = dmg_open,
    .close = dmg_close,
    .read = dmg_read,
};
