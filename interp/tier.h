/*
 * tier.h - what the files of the tier policy share: tier.c (heat, queue, installing), region.c (what to compile), codemem.c.
 * Private to these.
 */
#ifndef INTERP_TIER_H
#define INTERP_TIER_H

#include "interp/jit.h"

struct codepool {
    uint8_t *rw, *rx;
    size_t size, used;
    size_t written;      /* dual: so far the writable view's pages have been given back */
    bool dual;
    int child_fd;        /* around fork: the copy for the child */
};
bool codepool_init(struct codepool *, size_t size, struct error *);
void codepool_free(struct codepool *);
bool codepool_get(struct codepool *, size_t n, struct codemem *);
void codepool_before_fork(struct codepool *);
/* False: the child has no code memory any more. */
bool codepool_after_fork(struct codepool *, bool child);

/* How often b has run in the tiers that count. */
static inline uint32_t blk_runs(const struct blk *b)
{
    return b->runs + (b->heat_start - b->heat) + (b->code_heat ? b->heat_start - *b->code_heat : 0);
}

/* The region to compile when b is hot; lock held. NULL: nothing to be had. */
struct jit_region *region_form(struct cpu *, struct blk *, unsigned tier);
void region_free(struct jit_region *);

/* Announces code to a host debugger; the result goes to remove, before the code's memory is reused. */
void *jit_gdb_add(const struct jit_code *);
void jit_gdb_remove(void *);

#endif
