/*
 * maps.h - where compiled code keeps the guest's state at each access that may fault (user mode, x86-64; see gen-mem.c).
 */
#ifndef JIT_GCCJIT_MAPS_H
#define JIT_GCCJIT_MAPS_H

#include "interp/jit.h"

struct gj_maps;

/* The maps of region `number` from the bytes of the section .quern.map. NULL: *why (static text), or there are none (*why NULL). */
struct gj_maps *gj_maps_new(const uint8_t *section, size_t size, unsigned number, const char **why);
void gj_maps_free(struct gj_maps *);
/* A fault of the code at `text`: puts the state into the CPU. points: by mark. Async-signal safe. False: not at an access. */
bool gj_maps_recover(const struct gj_maps *, const uint8_t *text, struct cpu *, const void *ucontext, const uint64_t *points);

#endif
