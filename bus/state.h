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
    ST_IRQ_IN,  /* struct irq_pin embedded: its level is state (bus/irq.h) */
    ST_BUF,     /* uint8_t * of `count` bytes at most, length in the uint32_t/uint64_t at `aux`; RAM contents */
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
};
enum { STF_RESET = 1 /* reset writes `reset` */, STF_SIGNED = 2, STF_SINCE2 = 4 };

#define ST_KIND_(t) ((uint8_t)_Generic(*(t *)0, uint8_t: ST_U8, int8_t: ST_U8, uint16_t: ST_U16, int16_t: ST_U16,       \
                     uint32_t: ST_U32, int32_t: ST_U32, uint64_t: ST_U64, int64_t: ST_U64, bool: ST_BOOL))
/* S: the structure's type. A macro per sort of field; names are those of the members. */
#define STATE_INT(S, f)          { .name = #f, .kind = ST_KIND_(__typeof__(((S *)0)->f)), .offset = offsetof(S, f), .size = sizeof(((S *)0)->f), .count = 1 }
#define STATE_INT_RESET(S, f, v) { .name = #f, .kind = ST_KIND_(__typeof__(((S *)0)->f)), .offset = offsetof(S, f), .size = sizeof(((S *)0)->f), .count = 1, .reset = (v), .flags = STF_RESET }
#define STATE_ARR(S, f)          { .name = #f, .kind = ST_KIND_(__typeof__(((S *)0)->f[0])), .offset = offsetof(S, f), .size = sizeof(((S *)0)->f), .count = sizeof(((S *)0)->f) / sizeof(((S *)0)->f[0]) }
#define STATE_ARR_RESET(S, f, v) { .name = #f, .kind = ST_KIND_(__typeof__(((S *)0)->f[0])), .offset = offsetof(S, f), .size = sizeof(((S *)0)->f), .count = sizeof(((S *)0)->f) / sizeof(((S *)0)->f[0]), .reset = (v), .flags = STF_RESET }
#define STATE_STRUCT(S, f, n, fields) { .name = #f, .kind = ST_STRUCT, .offset = offsetof(S, f), .size = sizeof(((S *)0)->f), .count = (n), .sub = (fields) }
#define STATE_TIMER(S, f)        { .name = #f, .kind = ST_TIMER, .offset = offsetof(S, f), .size = sizeof(((S *)0)->f), .count = 1 }
#define STATE_IRQ(S, f, n)       { .name = #f, .kind = ST_IRQ_IN, .offset = offsetof(S, f), .size = sizeof(((S *)0)->f), .count = (n) }
#define STATE_BUF(S, f, cap, len) { .name = #f, .kind = ST_BUF, .offset = offsetof(S, f), .size = sizeof(((S *)0)->f), .count = (cap), .aux = offsetof(S, len) }
#define STATE_RUNTIME(S, f)      { .name = #f, .kind = ST_RUNTIME, .offset = offsetof(S, f), .size = sizeof(((S *)0)->f), .count = 1 }
#define STATE_PROP(S, f)         { .name = #f, .kind = ST_PROP, .offset = offsetof(S, f), .size = sizeof(((S *)0)->f), .count = 1 }
#define STATE_END                { .name = NULL }

/* A growing byte buffer for streams. */
struct state_buf { uint8_t *data; size_t len, cap, pos; };
void state_buf_free(struct state_buf *);

/* base: the structure; fields end with a NULL name. */
void state_reset(void *base, const struct state_field *);
void state_save(const void *base, const struct state_field *, struct state_buf *);
/* 0 or -1; on error the structure may be partly written and must not be used further. */
int state_load(void *base, const struct state_field *, struct state_buf *, const char *who, struct error *);
/* 64-bit hash over all saved fields (values, not host bytes: equal on every host). */
uint64_t state_hash(const void *base, const struct state_field *, uint64_t seed);
/* First field that differs: writes "name[i]: 0x.. != 0x.." and returns true; false when equal. */
bool state_diff(const void *a, const void *b, const struct state_field *, char *out, size_t size);
/* The audit: finds a byte of [start, size) that no field covers; returns its offset or -1. Padding between
 * fields counts as covered when it is smaller than the following field's alignment. */
long state_audit(const struct state_field *, size_t start, size_t size);

#endif
