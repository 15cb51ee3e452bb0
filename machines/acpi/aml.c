/*
 * aml.c - the AML writer (aml.h). It encodes what it is told; that it makes sense is its caller's.
 */
#include "machines/acpi/aml.h"

void aml_free(struct aml *a)
{
    mem_free(a->data);
    memset(a, 0, sizeof *a);
}

static void reserve(struct aml *a, size_t n)
{
    if (a->cap - a->len >= n) return;
    a->cap = MAX(a->cap * 2, a->len + n + 256);
    a->data = mem_realloc(a->data, a->cap);
}

void aml_raw(struct aml *a, const void *data, size_t n)
{
    if (!n) return;
    reserve(a, n);
    memcpy(a->data + a->len, data, n);
    a->len += n;
}

void aml_byte(struct aml *a, uint8_t v)
{
    aml_raw(a, &v, 1);
}

static void put(struct aml *a, uint64_t v, unsigned bytes)
{
    uint8_t b[8];
    st64_le(b, v);
    aml_raw(a, b, bytes);
}

/* ---- packages: the length is inserted when its size is known ---- */

static void begin(struct aml *a)
{
    if (a->depth < AML_DEPTH) a->open[a->depth] = a->len;
    a->depth++;
}

/* A package length for n bytes of contents; it counts itself. Returns its size. */
static unsigned encode_length(uint8_t out[4], size_t n)
{
    unsigned bytes = n + 1 < 64 ? 1 : n + 2 < 1 << 12 ? 2 : n + 3 < 1 << 20 ? 3 : 4;
    size_t total = n + bytes;
    if (bytes == 1) {
        out[0] = (uint8_t)total;
        return 1;
    }
    out[0] = (uint8_t)((bytes - 1) << 6 | (total & 15));
    for (unsigned i = 1; i < bytes; i++)
        out[i] = (uint8_t)(total >> (8 * i - 4));
    return bytes;
}

void aml_end(struct aml *a)
{
    uint8_t head[4];
    if (!a->depth || --a->depth >= AML_DEPTH) return;
    size_t at = a->open[a->depth], n = a->len - at;
    unsigned bytes = encode_length(head, n);
    reserve(a, bytes);
    memmove(a->data + at + bytes, a->data + at, n);
    memcpy(a->data + at, head, bytes);
    a->len += bytes;
}

void aml_path(struct aml *a, const char *name)
{
    unsigned segments = 1;
    while (*name == '\\' || *name == '^')
        aml_byte(a, (uint8_t)*name++);
    if (!*name) {
        aml_byte(a, 0);
        return;
    }
    for (const char *p = name; *p; p++)
        segments += *p == '.';
    if (segments == 2) aml_byte(a, 0x2e);
    if (segments > 2) aml_byte(a, 0x2f), aml_byte(a, (uint8_t)segments);
    while (*name) {
        char seg[4] = {'_', '_', '_', '_'};
        for (unsigned i = 0; *name && *name != '.'; name++, i++) {
            if (i < 4) seg[i] = *name;
        }
        aml_raw(a, seg, 4);
        if (*name == '.') name++;
    }
}

void aml_scope(struct aml *a, const char *name)
{
    aml_byte(a, 0x10);
    begin(a);
    aml_path(a, name);
}

void aml_device(struct aml *a, const char *name)
{
    aml_raw(a, "\x5b\x82", 2);
    begin(a);
    aml_path(a, name);
}

void aml_method(struct aml *a, const char *name, unsigned n_args)
{
    aml_byte(a, 0x14);
    begin(a);
    aml_path(a, name);
    aml_byte(a, n_args & 7);
}

void aml_package(struct aml *a, unsigned n)
{
    aml_byte(a, 0x12);
    begin(a);
    aml_byte(a, (uint8_t)n);
}

void aml_if(struct aml *a)
{
    aml_byte(a, 0xa0);
    begin(a);
}

void aml_field(struct aml *a, const char *region)
{
    aml_raw(a, "\x5b\x81", 2);
    begin(a);
    aml_path(a, region);
    aml_byte(a, 1); /* byte access, no lock, preserve */
}

void aml_field_unit(struct aml *a, const char *name, unsigned bits)
{
    if (name)
        aml_path(a, name);
    else
        aml_byte(a, 0);
    aml_byte(a, (uint8_t)(bits & 63));
}

void aml_region(struct aml *a, const char *name, uint8_t space, uint64_t offset, uint64_t length)
{
    aml_raw(a, "\x5b\x80", 2);
    aml_path(a, name);
    aml_byte(a, space);
    aml_int(a, offset);
    aml_int(a, length);
}

void aml_processor(struct aml *a, const char *name, uint8_t id)
{
    aml_raw(a, "\x5b\x83", 2);
    begin(a);
    aml_path(a, name);
    aml_byte(a, id);
    put(a, 0, 5); /* no P_BLK */
    aml_end(a);
}

/* ---- objects ---- */

void aml_name(struct aml *a, const char *name)
{
    aml_byte(a, 0x08);
    aml_path(a, name);
}

void aml_int(struct aml *a, uint64_t v)
{
    if (v <= 1) {
        aml_byte(a, (uint8_t)v);
    } else if (v <= 0xff) {
        aml_byte(a, 0x0a), put(a, v, 1);
    } else if (v <= 0xffff) {
        aml_byte(a, 0x0b), put(a, v, 2);
    } else if (v <= 0xffffffffu) {
        aml_byte(a, 0x0c), put(a, v, 4);
    } else {
        aml_byte(a, 0x0e), put(a, v, 8);
    }
}

static unsigned hex(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10) & 15;
}

void aml_eisa_id(struct aml *a, const char *id)
{
    /* Three letters of five bits and four digits, big-endian. */
    uint32_t v = (uint32_t)(id[0] & 31) << 26 | (uint32_t)(id[1] & 31) << 21 |
                 (uint32_t)(id[2] & 31) << 16 | hex(id[3]) << 12 | hex(id[4]) << 8 |
                 hex(id[5]) << 4 | hex(id[6]);
    aml_byte(a, 0x0c);
    put(a, host_bswap32(v), 4);
}

void aml_buffer(struct aml *a, const void *data, size_t n)
{
    aml_byte(a, 0x11);
    begin(a);
    aml_int(a, n);
    aml_raw(a, data, n);
    aml_end(a);
}

void aml_name_int(struct aml *a, const char *name, uint64_t value)
{
    aml_name(a, name);
    aml_int(a, value);
}

void aml_name_eisa(struct aml *a, const char *name, const char *id)
{
    aml_name(a, name);
    aml_eisa_id(a, id);
}

/* ---- resources ---- */

void res_io(struct aml *a, uint16_t base, uint8_t length, uint8_t align)
{
    aml_byte(a, 0x47);
    aml_byte(a, 1);
    put(a, base, 2);
    put(a, base, 2);
    aml_byte(a, align);
    aml_byte(a, length);
}

void res_irq(struct aml *a, unsigned irq)
{
    aml_byte(a, 0x22);
    put(a, UINT64_C(1) << irq, 2);
}

void res_dma(struct aml *a, unsigned channel)
{
    aml_byte(a, 0x2a);
    aml_byte(a, (uint8_t)(1u << channel));
    aml_byte(a, 0);
}

void res_memory(struct aml *a, uint32_t base, uint32_t length, bool writable)
{
    aml_byte(a, 0x86);
    put(a, 9, 2);
    aml_byte(a, writable);
    put(a, base, 4);
    put(a, length, 4);
}

void res_interrupt(struct aml *a, const uint32_t *irqs, unsigned n)
{
    aml_byte(a, 0x89);
    put(a, 2 + 4 * n, 2);
    aml_byte(a, 0x09);
    aml_byte(a, (uint8_t)n);
    for (unsigned i = 0; i < n; i++)
        put(a, irqs[i], 4);
}

/* Windows of a bridge: produced, decoded positively, with fixed ends. */
static void window(struct aml *a, unsigned bytes, unsigned type, uint64_t first, uint64_t last)
{
    aml_byte(a, bytes == 2 ? 0x88 : 0x87);
    put(a, 3 + 5 * bytes, 2);
    aml_byte(a, (uint8_t)type);
    aml_byte(a, 0x0c);
    aml_byte(a, type == RES_IO ? 3 : type == RES_MEMORY ? 1 : 0);
    put(a, 0, bytes);
    put(a, first, bytes);
    put(a, last, bytes);
    put(a, 0, bytes);
    put(a, last - first + 1, bytes);
}

void res_window16(struct aml *a, unsigned type, uint16_t first, uint16_t last)
{
    window(a, 2, type, first, last);
}

void res_window32(struct aml *a, unsigned type, uint32_t first, uint32_t last)
{
    window(a, 4, type, first, last);
}

void res_end(struct aml *a)
{
    put(a, 0x0079, 2);
}

void aml_name_resources(struct aml *a, const char *name, struct aml *res)
{
    res_end(res);
    aml_name(a, name);
    aml_buffer(a, res->data, res->len);
    aml_free(res);
}
