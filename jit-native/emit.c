/*
 * emit.c - buffers of host code (see emit.h).
 */
#include "jit-native/emit.h"

#include <stdlib.h>

enum { MOST = 1 << 26 };

void emit_init(struct emit *e) { memset(e, 0, sizeof *e); }

void emit_reset(struct emit *e)
{
    e->n = e->n_labels = e->n_fixes = e->n_outside = 0;
    e->failed = false;
}

void emit_free(struct emit *e)
{
    free(e->buf);
    free(e->labels);
    free(e->fixes);
    free(e->outside);
    emit_init(e);
}

static bool room(struct emit *e, uint32_t n)
{
    while (e->n + n > e->cap) {
        if (e->failed || e->cap > MOST) {
            e->failed = true;
            return false;
        }
        e->cap = e->cap ? e->cap * 2 : 4096;
        e->buf = mem_realloc(e->buf, e->cap);
    }
    return true;
}

void emit_bytes(struct emit *e, const void *p, uint32_t n)
{
    if (!room(e, n)) return;
    memcpy(e->buf + e->n, p, n);
    e->n += n;
}

void emit_u32(struct emit *e, uint32_t v)
{
    if (!room(e, 4)) return;
    st32_le(e->buf + e->n, v);
    e->n += 4;
}

void emit_u64(struct emit *e, uint64_t v)
{
    emit_u32(e, (uint32_t)v);
    emit_u32(e, (uint32_t)(v >> 32));
}

/* ---- labels ------------------------------------------------------------------------------------------- */

#define GROW(array, n, cap)                                                                        \
    do {                                                                                           \
        if ((n) == (cap)) {                                                                        \
            (cap) = (cap) ? (cap) * 2 : 64;                                                        \
            (array) = mem_realloc((array), (cap) * sizeof *(array));                               \
        }                                                                                          \
    } while (0)

unsigned emit_label(struct emit *e)
{
    GROW(e->labels, e->n_labels, e->cap_labels);
    e->labels[e->n_labels] = EMIT_NOWHERE;
    return e->n_labels++;
}

void emit_place(struct emit *e, unsigned label)
{
    e->labels[label] = e->n;
    e->changes++;
}

void emit_refer(struct emit *e, unsigned kind, unsigned label)
{
    GROW(e->fixes, e->n_fixes, e->cap_fixes);
    e->fixes[e->n_fixes++] = (struct emit_fix){ e->n, label, (uint8_t)kind };
}

void emit_refer_outside(struct emit *e, unsigned kind, const void *target)
{
    GROW(e->outside, e->n_outside, e->cap_outside);
    e->outside[e->n_outside++] = (struct emit_outside){ e->n, (uint8_t)kind, target };
}

bool emit_finish(struct emit *e, uint8_t *rw, const uint8_t *rx)
{
    for (uint32_t i = 0; i < e->n_fixes; i++) {
        const struct emit_fix *f = &e->fixes[i];
        if (!emit_patch(e->buf + f->at, f->kind, (int64_t)e->labels[f->label] - (int64_t)f->at)) return false;
    }
    for (uint32_t i = 0; i < e->n_outside; i++) {
        const struct emit_outside *o = &e->outside[i];
        if (!emit_patch(e->buf + o->at, o->kind, (int64_t)((intptr_t)o->target - (intptr_t)(rx + o->at)))) return false;
    }
    memcpy(rw, e->buf, e->n);
    return true;
}
