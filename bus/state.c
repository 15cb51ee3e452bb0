/*
 * state.c - what derives from a table of state fields: reset, save, load, hash, comparison, audit.
 *
 * A saved structure is a list of fields, each `u16 name length, name, u8 kind, u32 count, data`, ended by a
 * name length of 0. Integers are little-endian. A timer is its deadline and sequence number, a structure a list
 * again, a buffer its u64 length and bytes. Loading trusts nothing in the stream.
 */
#include "bus/state.h"
#include "bus/clock.h"
#include "bus/irq.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- the buffer ---- */
void state_buf_free(struct state_buf *b)
{
    mem_free(b->data);
    memset(b, 0, sizeof *b);
}

void state_put(struct state_buf *b, const void *p, size_t n)
{
    if (n > b->cap - b->len) {
        size_t cap = b->cap ? b->cap : 4096;
        while (cap - b->len < n) cap = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
        b->data = mem_realloc(b->data, cap);
        b->cap = cap;
    }
    if (n) memcpy(b->data + b->len, p, n);
    b->len += n;
}

void state_put_int(struct state_buf *b, uint64_t v, unsigned bytes)
{
    uint8_t t[8];
    st64_le(t, v);
    state_put(b, t, bytes);
}

void state_put_str(struct state_buf *b, const char *s)
{
    size_t n = strlen(s);
    if (n > 65535) n = 65535;
    state_put_int(b, n, 2);
    state_put(b, s, n);
}

const uint8_t *state_get(struct state_buf *b, size_t n)
{
    if (n > b->len - b->pos) return NULL;
    const uint8_t *p = b->data + b->pos;
    b->pos += n;
    return p;
}

bool state_get_int(struct state_buf *b, uint64_t *v, unsigned bytes)
{
    const uint8_t *p = state_get(b, bytes);
    uint8_t t[8] = { 0 };
    *v = 0;
    if (!p) return false;
    memcpy(t, p, bytes);
    *v = ld64_le(t);
    return true;
}

bool state_get_str(struct state_buf *b, char *out, size_t size)
{
    uint64_t n;
    out[0] = 0;
    if (!state_get_int(b, &n, 2) || n >= size) return false;
    const uint8_t *p = state_get(b, (size_t)n);
    if (!p || memchr(p, 0, (size_t)n)) return false;
    memcpy(out, p, (size_t)n);
    out[n] = 0;
    return true;
}

uint64_t state_mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

/* ---- elements ---- */
static const char *const kind_names[] = {
    [ST_U8] = "8-bit integer",   [ST_U16] = "16-bit integer", [ST_U32] = "32-bit integer",
    [ST_U64] = "64-bit integer", [ST_BOOL] = "boolean",       [ST_STRUCT] = "structure",
    [ST_TIMER] = "timer",        [ST_IRQ] = "line",           [ST_BUF] = "buffer",
};

static bool is_int(unsigned kind) { return kind <= ST_BOOL; }
static bool is_saved(unsigned kind) { return kind <= ST_BUF; }

static unsigned int_bytes(unsigned kind)
{
    switch (kind) {
    case ST_U8: return 1;
    case ST_U16: return 2;
    case ST_U32: return 4;
    case ST_U64: return 8;
    default: return 1; /* bool in streams */
    }
}

static uint64_t int_get(const void *p, unsigned kind)
{
    switch (kind) {
    case ST_U8: return *(const uint8_t *)p;
    case ST_U16: return ld16_host(p);
    case ST_U32: return ld32_host(p);
    case ST_U64: return ld64_host(p);
    default: return *(const bool *)p;
    }
}

static void int_put(void *p, unsigned kind, uint64_t v)
{
    switch (kind) {
    case ST_U8: *(uint8_t *)p = (uint8_t)v; break;
    case ST_U16: st16_host(p, (uint16_t)v); break;
    case ST_U32: st32_host(p, (uint32_t)v); break;
    case ST_U64: st64_host(p, v); break;
    default: *(bool *)p = v != 0; break;
    }
}

static size_t stride(const struct state_field *f) { return f->count ? f->size / f->count : 0; }

static uint64_t buf_len(const void *base, const struct state_field *f)
{
    const char *p = (const char *)base + f->aux;
    return f->aux_size == 8 ? ld64_host(p) : ld32_host(p);
}

static uint8_t *buf_ptr(const void *base, const struct state_field *f)
{
    uint8_t *p;
    memcpy(&p, (const char *)base + f->offset, sizeof p);
    return p;
}

/* What may be read of a buffer: its length is the device's own variable, so it is not believed blindly. */
static uint64_t buf_valid(const void *base, const struct state_field *f)
{
    uint64_t n = buf_len(base, f);
    if (!buf_ptr(base, f)) return 0;
    return f->flags & STF_FIXED ? n : MIN(n, f->count);
}

/* ---- reset ---- */
void state_reset(void *base, const struct state_field *f)
{
    for (; f && f->name; f++) {
        char *p = (char *)base + f->offset;
        size_t step = stride(f);
        for (uint32_t i = 0; i < f->count && f->kind != ST_BUF; i++, p += step) {
            if (f->kind == ST_STRUCT) state_reset(p, f->sub);
            else if (f->kind == ST_IRQ) irq_lower((struct irq_line *)(void *)p);
            else if (!(f->flags & STF_RESET)) break;
            else if (f->kind == ST_TIMER) timer_cancel((struct timer *)(void *)p);
            else if (is_int(f->kind)) int_put(p, f->kind, f->reset);
        }
    }
}

void state_cancel_timers(void *base, const struct state_field *f)
{
    for (; f && f->name; f++) {
        char *p = (char *)base + f->offset;
        if (f->kind != ST_TIMER && f->kind != ST_STRUCT) continue;
        for (uint32_t i = 0; i < f->count; i++, p += stride(f)) {
            if (f->kind == ST_TIMER) timer_cancel((struct timer *)(void *)p);
            else state_cancel_timers(p, f->sub);
        }
    }
}

/* ---- save ---- */
void state_save(const void *base, const struct state_field *f, struct state_buf *b)
{
    for (; f && f->name; f++) {
        if (!is_saved(f->kind)) continue;
        const char *p = (const char *)base + f->offset;
        size_t step = stride(f);
        state_put_str(b, f->name);
        state_put_int(b, f->kind, 1);
        state_put_int(b, f->kind == ST_BUF ? 1 : f->count, 4);
        if (f->kind == ST_BUF) {
            uint64_t n = buf_valid(base, f);
            state_put_int(b, n, 8);
            state_put(b, buf_ptr(base, f), (size_t)n);
            continue;
        }
        for (uint32_t i = 0; i < f->count; i++, p += step) {
            if (is_int(f->kind)) {
                state_put_int(b, int_get(p, f->kind), int_bytes(f->kind));
            } else if (f->kind == ST_STRUCT) {
                state_save(p, f->sub, b);
            } else if (f->kind == ST_IRQ) {
                state_put_int(b, ((const struct irq_line *)(const void *)p)->level, 1);
            } else {
                const struct timer *t = (const void *)p;
                state_put_int(b, timer_armed(t) ? t->deadline : TIME_NEVER, 8);
                state_put_int(b, t->seq, 8);
            }
        }
    }
    state_put_int(b, 0, 2);
}

/* ---- load ---- */
static int load_fields(void *, const struct state_field *, struct state_buf *, const char *, unsigned,
                       struct error *);

static int truncated(const char *who, const char *name, struct error *e)
{
    return error_set(e, "%s: the saved state ends inside of field \"%s\"", who, name);
}

static int load_buf(void *base, const struct state_field *f, struct state_buf *b, const char *who,
                    struct error *e)
{
    uint64_t n;
    uint8_t *p = buf_ptr(base, f);
    if (!state_get_int(b, &n, 8)) return truncated(who, f->name, e);
    if (f->flags & STF_FIXED ? n != buf_valid(base, f) : n > f->count)
        return error_set(e, "%s: field \"%s\" was saved with %" PRIu64 " bytes, which do not fit its %" PRIu64,
                         who, f->name, n,
                         f->flags & STF_FIXED ? buf_valid(base, f) : (uint64_t)f->count);
    const uint8_t *src = n <= SIZE_MAX ? state_get(b, (size_t)n) : NULL;
    if (!src) return truncated(who, f->name, e);
    if (!p && n) {
        p = mem_zalloc(f->count);
        memcpy((char *)base + f->offset, &p, sizeof p);
    }
    if (n) memcpy(p, src, (size_t)n);
    if (f->flags & STF_FIXED) return 0;
    if (f->aux_size == 8) st64_host((char *)base + f->aux, n);
    else st32_host((char *)base + f->aux, (uint32_t)n);
    return 0;
}

static int load_field(void *base, const struct state_field *f, struct state_buf *b, const char *who,
                      unsigned depth, struct error *e)
{
    char *p = (char *)base + f->offset;
    size_t step = stride(f);
    uint64_t v, seq;

    if (f->kind == ST_BUF) return load_buf(base, f, b, who, e);
    for (uint32_t i = 0; i < f->count; i++, p += step) {
        if (f->kind == ST_STRUCT) {
            if (load_fields(p, f->sub, b, who, depth + 1, e)) return -1;
            continue;
        }
        if (f->kind == ST_TIMER) {
            if (!state_get_int(b, &v, 8) || !state_get_int(b, &seq, 8))
                return truncated(who, f->name, e);
            timer_restore((struct timer *)(void *)p, v, seq);
            continue;
        }
        if (!state_get_int(b, &v, is_int(f->kind) ? int_bytes(f->kind) : 1))
            return truncated(who, f->name, e);
        if ((f->kind == ST_BOOL || f->kind == ST_IRQ) && v > 1)
            return error_set(e, "%s: field \"%s\" is a boolean, but its saved value is %" PRIu64, who,
                             f->name, v);
        if (f->kind == ST_IRQ) ((struct irq_line *)(void *)p)->level = v;
        else int_put(p, f->kind, v);
    }
    return 0;
}

static int load_fields(void *base, const struct state_field *fields, struct state_buf *b,
                       const char *who, unsigned depth, struct error *e)
{
    unsigned n = 0;
    int rc = -1;
    char name[256];

    if (depth > 16) return error_set(e, "%s: the saved state is nested too deeply", who);
    while (fields && fields[n].name) n++;
    uint8_t *seen = mem_zalloc(n);

    for (;;) {
        uint64_t len, kind, count;
        const uint8_t *p;
        if (!state_get_int(b, &len, 2)) {
            error_set(e, "%s: the saved state ends too early", who);
            goto out;
        }
        if (!len) break;
        if (len >= sizeof name || !(p = state_get(b, (size_t)len)) || memchr(p, 0, (size_t)len)) {
            error_set(e, "%s: the saved state has a damaged field name", who);
            goto out;
        }
        memcpy(name, p, (size_t)len);
        name[len] = 0;
        unsigned i = 0;
        while (i < n && (!is_saved(fields[i].kind) || strcmp(fields[i].name, name))) i++;
        if (i == n) {
            for (char *c = name; *c; c++)
                if (*c < ' ' || *c > '~') *c = '?';
            error_set(e, "%s: the saved state has a field \"%s\", which is not known here", who, name);
            goto out;
        }
        const struct state_field *f = &fields[i];
        if (seen[i]++) {
            error_set(e, "%s: the saved state has the field \"%s\" twice", who, name);
            goto out;
        }
        if (!state_get_int(b, &kind, 1) || !state_get_int(b, &count, 4)) {
            truncated(who, name, e);
            goto out;
        }
        if (kind != f->kind) {
            error_set(e, "%s: field \"%s\" was saved as a %s and is a %s here", who, name,
                      kind <= ST_BUF ? kind_names[kind] : "thing of unknown type", kind_names[f->kind]);
            goto out;
        }
        if (count != (f->kind == ST_BUF ? 1 : f->count)) {
            error_set(e, "%s: field \"%s\" was saved with %" PRIu64 " elements and has %" PRIu32 " here",
                      who, name, count, f->count);
            goto out;
        }
        if (load_field(base, f, b, who, depth, e)) goto out;
    }
    for (unsigned i = 0; i < n; i++)
        if (!seen[i] && is_saved(fields[i].kind) && !(fields[i].flags & STF_SINCE2)) {
            error_set(e, "%s: the saved state lacks the field \"%s\"", who, fields[i].name);
            goto out;
        }
    rc = 0;
out:
    mem_free(seen);
    return rc;
}

int state_load(void *base, const struct state_field *f, struct state_buf *b, const char *who,
               struct error *e)
{
    return load_fields(base, f, b, who, 0, e);
}

/* ---- hash ---- */
static uint64_t hash_bytes(uint64_t h, const uint8_t *p, uint64_t n)
{
    uint8_t last[8] = { 0 };
    h = state_mix(h, n);
    for (; n >= 8; n -= 8, p += 8) h = state_mix(h, ld64_le(p));
    if (!n) return h;
    memcpy(last, p, (size_t)n);
    return state_mix(h, ld64_le(last));
}

uint64_t state_hash(const void *base, const struct state_field *f, uint64_t h)
{
    for (; f && f->name; f++) {
        if (!is_saved(f->kind)) continue;
        const char *p = (const char *)base + f->offset;
        size_t step = stride(f);
        if (f->kind == ST_BUF) {
            h = hash_bytes(h, buf_ptr(base, f), buf_valid(base, f));
            continue;
        }
        for (uint32_t i = 0; i < f->count; i++, p += step) {
            if (is_int(f->kind)) {
                h = state_mix(h, int_get(p, f->kind));
            } else if (f->kind == ST_STRUCT) {
                h = state_hash(p, f->sub, h);
            } else if (f->kind == ST_IRQ) {
                h = state_mix(h, ((const struct irq_line *)(const void *)p)->level);
            } else {
                const struct timer *t = (const void *)p; /* its seq counts armings, which nobody sees */
                h = state_mix(h, timer_armed(t) ? t->deadline : TIME_NEVER);
            }
        }
    }
    return h;
}

/* ---- comparison ---- */
static bool differs(const struct state_field *f, uint32_t i, uint64_t a, uint64_t b, char *out,
                    size_t size)
{
    char index[16] = "";
    if (a == b) return false;
    if (f->count > 1) snprintf(index, sizeof index, "[%" PRIu32 "]", i);
    snprintf(out, size, "%s%s: 0x%" PRIx64 " != 0x%" PRIx64, f->name, index, a, b);
    return true;
}

bool state_diff(const void *a, const void *b, const struct state_field *f, char *out, size_t size)
{
    for (; f && f->name; f++) {
        if (!is_saved(f->kind)) continue;
        const char *p = (const char *)a + f->offset, *q = (const char *)b + f->offset;
        size_t step = stride(f);
        if (f->kind == ST_BUF) {
            uint64_t n = buf_valid(a, f), m = buf_valid(b, f);
            const uint8_t *x = buf_ptr(a, f), *y = buf_ptr(b, f);
            if (n != m) {
                snprintf(out, size, "%s: %" PRIu64 " bytes != %" PRIu64 " bytes", f->name, n, m);
                return true;
            }
            for (uint64_t i = 0; i < n; i++)
                if (x[i] != y[i]) {
                    snprintf(out, size, "%s[%" PRIu64 "]: 0x%x != 0x%x", f->name, i, x[i], y[i]);
                    return true;
                }
            continue;
        }
        for (uint32_t i = 0; i < f->count; i++, p += step, q += step) {
            if (is_int(f->kind)) {
                if (differs(f, i, int_get(p, f->kind), int_get(q, f->kind), out, size)) return true;
            } else if (f->kind == ST_STRUCT) {
                char sub[256];
                if (!state_diff(p, q, f->sub, sub, sizeof sub)) continue;
                if (f->count > 1) snprintf(out, size, "%s[%" PRIu32 "].%s", f->name, i, sub);
                else snprintf(out, size, "%s.%s", f->name, sub);
                return true;
            } else if (f->kind == ST_IRQ) {
                const struct irq_line *x = (const void *)p, *y = (const void *)q;
                if (differs(f, i, x->level, y->level, out, size)) return true;
            } else {
                const struct timer *x = (const void *)p, *y = (const void *)q;
                if (differs(f, i, timer_armed(x) ? x->deadline : TIME_NEVER,
                            timer_armed(y) ? y->deadline : TIME_NEVER, out, size))
                    return true;
            }
        }
    }
    return false;
}

/* ---- audit ---- */
static size_t align_of(const struct state_field *f, size_t offset)
{
    size_t a;
    if (is_int(f->kind)) a = f->kind == ST_BOOL ? sizeof(bool) : int_bytes(f->kind);
    else a = 8;
    while (a > 1 && offset & (a - 1)) a >>= 1; /* hosts may align 64-bit integers to 4 */
    return a;
}

long state_audit(const struct state_field *fields, size_t start, size_t size)
{
    size_t at = start;
    for (;;) { /* the next field in order of offsets; tables are short */
        const struct state_field *best = NULL;
        for (const struct state_field *f = fields; f && f->name; f++) {
            if ((f->kind == ST_STRUCT) && f->sub && stride(f)) {
                long in = state_audit(f->sub, 0, stride(f));
                if (in >= 0) return (long)(f->offset + (size_t)in);
            }
            if ((size_t)f->offset + f->size <= at) continue;
            if (!best || f->offset < best->offset) best = f;
        }
        if (!best) break;
        if (best->offset > at && ALIGN_UP(at, align_of(best, best->offset)) != best->offset)
            return (long)at;
        at = (size_t)best->offset + best->size;
    }
    return ALIGN_UP(at, 8) >= size ? -1 : (long)at;
}
