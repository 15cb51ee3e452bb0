/*
 * emit.h - a growing buffer of host code: bytes, labels, and the places to be filled in when it is known where things are.
 *
 * It knows no instructions: these are the encoders' (x64-emit.h, a64-emit.h), each of which provides what the last part
 * declares. A buffer that could not grow sets `failed` and swallows the rest.
 */
#ifndef JIT_NATIVE_EMIT_H
#define JIT_NATIVE_EMIT_H

#include "util/host.h"

/* A place to fill in; what kind of place it is, the encoder says. */
struct emit_fix { uint32_t at, label; uint8_t kind; };
struct emit_outside { uint32_t at; uint8_t kind; const void *target; };
struct emit {
    uint8_t *buf;
    uint32_t n, cap;             /* bytes */
    bool failed;
    bool far;                    /* addresses outside may be further away than a branch reaches */
    uint32_t changes;            /* of the flags, so far, as far as the encoder counts them; places that jumps lead to count as one */
    uint32_t *labels;            /* position, or EMIT_NOWHERE */
    uint32_t n_labels, cap_labels;
    struct emit_fix *fixes;      /* references to labels */
    uint32_t n_fixes, cap_fixes;
    struct emit_outside *outside; /* references to addresses outside */
    uint32_t n_outside, cap_outside;
};
#define EMIT_NOWHERE UINT32_MAX

void emit_init(struct emit *);
/* Empty; the buffers are kept, and `far`. */
void emit_reset(struct emit *);
void emit_free(struct emit *);
/* Fills in labels and outside addresses for code that will run at rx, and copies it to rw. False: something is too far away. */
bool emit_finish(struct emit *, uint8_t *rw, const uint8_t *rx);

void emit_bytes(struct emit *, const void *, uint32_t n);
static inline void emit_byte(struct emit *e, unsigned byte)
{
    uint8_t b = (uint8_t)byte;
    if (e->n < e->cap) e->buf[e->n++] = b;
    else emit_bytes(e, &b, 1);
}
void emit_u32(struct emit *, uint32_t); /* little-endian, as the next */
void emit_u64(struct emit *, uint64_t);

unsigned emit_label(struct emit *);
void emit_place(struct emit *, unsigned label);
/* Notes that the code about to be emitted refers to the label, or to an address outside. */
void emit_refer(struct emit *, unsigned kind, unsigned label);
void emit_refer_outside(struct emit *, unsigned kind, const void *target);

/* ---- what an encoder provides -------------------------------------------------------------------------- */

/* Fills in a place of that kind: what it refers to is d bytes from it. False: too far. */
bool emit_patch(uint8_t *place, unsigned kind, int64_t d);
void emit_align(struct emit *, unsigned to);
void emit_jump(struct emit *, unsigned label);
void emit_call(struct emit *, unsigned label);
void emit_return(struct emit *);
void emit_jump_abs(struct emit *, const void *);
void emit_call_abs(struct emit *, const void *);

#endif
