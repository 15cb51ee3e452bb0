/*
 * state.h - described state: the field schema that devices and CPUs share, and what derives from
 * it: reset values, save and restore, comparison, hashing, dumps, and the audit that every byte
 * of a structure is accounted for.
 *
 * Save stream: little-endian, named and typed; an unknown field, a wrong type or a length beyond
 * the field's capacity is an error naming it, never a silent skip.
 */
#ifndef BUS_STATE_H
#define BUS_STATE_H

#include "util/error.h"

enum state_kind {
    ST_U8, ST_U16, ST_U32, ST_U64, /* unsigned or signed integers, arrays by count */
    ST_BOOL,
    ST_STRUCT,  /* count structures described by sub */
    ST_TIMER,   /* struct timer embedded (bus/clock.h) */
    ST_IRQ,     /* struct irq_line embedded (bus/irq.h): the level it drives; loading sets it without calling the
                   input, whose owner saves what it made of it. Reset lowers it (and calls the input) */
    ST_BUF,     /* a uint8_t *, length in the uint32_t/uint64_t member at `aux`. See STATE_BUF, STATE_BUF_FIXED */
    ST_PROP,    /* a property (bus/dev.h): configuration, not saved; for the audit */
    ST_RUNTIME, /* pointers and caches rebuilt by realize or post_load: not saved; for the audit */
};

struct state_field {
    const char *name;
    uint8_t kind;
    uint32_t offset, size;       /* of the whole field in the structure, in bytes */
    uint32_t count;              /* elements (1 for scalars) */
    uint64_t reset;              /* value at reset, for integer kinds with STF_RESET */
    uint32_t flags;
    const struct state_field *sub; /* ST_STRUCT: ended by a field with NULL name */
    uint32_t aux;                /* ST_BUF: offset of the length */
    uint8_t aux_size;            /* ST_BUF: bytes of the length member, 4 or 8 */
};
enum {
    STF_RESET = 1,    /* reset writes `reset`; a timer is cancelled */
    STF_SIGNED = 2,   /* shown as a signed number */
    STF_SINCE2 = 4,   /* may be missing from a stream: then the field keeps its value */
    STF_FIXED = 8,    /* ST_BUF: the stream's length must be the present one */
};

/* The kind of an integer or bool expression (which is not evaluated). Enumerations are uint32_t or int32_t to _Generic. */
#define ST_KIND_(e) ((uint8_t)_Generic((e), char: ST_U8, uint8_t: ST_U8, int8_t: ST_U8, uint16_t: ST_U16, int16_t: ST_U16, \
                     uint32_t: ST_U32, int32_t: ST_U32, uint64_t: ST_U64, int64_t: ST_U64, bool: ST_BOOL))
#define ST_AT_(S, f) .name = #f, .offset = offsetof(S, f), .size = sizeof(((S *)0)->f)
#define ST_LEN_(S, f, first) ((uint32_t)(sizeof(((S *)0)->f) / sizeof(((S *)0)->first)))

/* S: the structure's type. A macro per sort of field; names are those of the members. */
#define STATE_INT(S, f)           { ST_AT_(S, f), .kind = ST_KIND_(((S *)0)->f), .count = 1 }
#define STATE_INT_RESET(S, f, v)  { ST_AT_(S, f), .kind = ST_KIND_(((S *)0)->f), .count = 1, .reset = (v), .flags = STF_RESET }
/* Arrays of integers; ARR2: of two dimensions. Every element resets to v. */
#define STATE_ARR(S, f)           { ST_AT_(S, f), .kind = ST_KIND_(((S *)0)->f[0]), .count = ST_LEN_(S, f, f[0]) }
#define STATE_ARR_RESET(S, f, v)  { ST_AT_(S, f), .kind = ST_KIND_(((S *)0)->f[0]), .count = ST_LEN_(S, f, f[0]), \
                                    .reset = (v), .flags = STF_RESET }
#define STATE_ARR2(S, f)          { ST_AT_(S, f), .kind = ST_KIND_(((S *)0)->f[0][0]), .count = ST_LEN_(S, f, f[0][0]) }
#define STATE_ARR2_RESET(S, f, v) { ST_AT_(S, f), .kind = ST_KIND_(((S *)0)->f[0][0]), .count = ST_LEN_(S, f, f[0][0]), \
                                    .reset = (v), .flags = STF_RESET }
/* n structures (1: not an array) described by `fields`. */
#define STATE_STRUCT(S, f, n, fields) { ST_AT_(S, f), .kind = ST_STRUCT, .count = (n), .sub = (fields) }
/* A timer; reset leaves STATE_TIMER alone and cancels STATE_TIMER_RESET. */
#define STATE_TIMER(S, f)         { ST_AT_(S, f), .kind = ST_TIMER, .count = 1 }
#define STATE_TIMER_RESET(S, f)   { ST_AT_(S, f), .kind = ST_TIMER, .count = 1, .flags = STF_RESET }
/* n output lines (1: not an array). */
#define STATE_IRQ(S, f, n)        { ST_AT_(S, f), .kind = ST_IRQ, .count = (n) }
/* A uint8_t * to at least `cap` bytes (NULL: loading allocates cap bytes with mem_alloc), of which the first `len` (a
 * uint32_t or uint64_t member) are meaningful. */
#define STATE_BUF(S, f, cap, len) { ST_AT_(S, f), .kind = ST_BUF, .count = (cap), .aux = offsetof(S, len), \
                                    .aux_size = sizeof(((S *)0)->len) }
/* A uint8_t * to exactly `len` bytes, which configuration decides: loading another length is an error. */
#define STATE_BUF_FIXED(S, f, len) { ST_AT_(S, f), .kind = ST_BUF, .count = 0xffffffffu, .aux = offsetof(S, len), \
                                    .aux_size = sizeof(((S *)0)->len), .flags = STF_FIXED }
#define STATE_RUNTIME(S, f)       { ST_AT_(S, f), .kind = ST_RUNTIME, .count = 1 }
#define STATE_PROP(S, f)          { ST_AT_(S, f), .kind = ST_PROP, .count = 1 }
#define STATE_END                { .name = NULL }

/* A growing byte buffer for streams. */
struct state_buf { uint8_t *data; size_t len, cap, pos; /* reading */ };
void state_buf_free(struct state_buf *);
void state_put(struct state_buf *, const void *, size_t n);
void state_put_int(struct state_buf *, uint64_t v, unsigned bytes);      /* 1, 2, 4, 8; little-endian */
void state_put_str(struct state_buf *, const char *);                    /* at most 65535 bytes */
/* The next n bytes, or NULL at the stream's end; valid while the buffer is. */
const uint8_t *state_get(struct state_buf *, size_t n);
bool state_get_int(struct state_buf *, uint64_t *v, unsigned bytes);
bool state_get_str(struct state_buf *, char *out, size_t size);          /* false also when it does not fit */
uint64_t state_mix(uint64_t h, uint64_t v);                              /* one step of the hash */

/* base: the structure; fields end with a NULL name. */
void state_reset(void *base, const struct state_field *);
void state_save(const void *base, const struct state_field *, struct state_buf *);
/* 0 or -1; on error the structure may be partly written and must not be used further. */
int state_load(void *base, const struct state_field *, struct state_buf *, const char *who, struct error *);
/* 64-bit hash over all saved fields (values, not host bytes: equal on every host). */
uint64_t state_hash(const void *base, const struct state_field *, uint64_t seed);
/* First field that differs: writes "name[i]: 0x.. != 0x.." and returns true; false when equal. */
bool state_diff(const void *a, const void *b, const struct state_field *, char *out, size_t size);
/* Cancels every timer in the structure (before it is freed). */
void state_cancel_timers(void *base, const struct state_field *);
/* The audit: finds a byte of [start, size) that no field covers; returns its offset or -1. Padding between
 * fields counts as covered when it is smaller than the following field's alignment. */
long state_audit(const struct state_field *, size_t start, size_t size);

#endif
