/*
 * client.h - the backend's end of the conversation with its worker program: starting, asking, restarting, giving up.
 */
#ifndef JIT_GCCJIT_CLIENT_H
#define JIT_GCCJIT_CLIENT_H

#include "jit-gccjit/proto.h"

struct gj_client;

/* Does not start the worker yet. Never fails: what is missing shows when something is asked. */
struct gj_client *gj_client_new(void);
void gj_client_free(struct gj_client *);
/* Sends regions (n of them, encoded) and waits for the object: allocated, the caller frees it; NULL: not compiled, *dead says
 * whether the batch itself was refused (false) or there is no worker any more (true). Any thread, one at a time. */
uint8_t *gj_client_compile(struct gj_client *, const void *regions, size_t size, unsigned n, size_t *object_size, bool *dead);
/* The process is about to end, or nothing is wanted any more: ends the worker and removes its files; what is being compiled fails.
 * Any thread, while another may be in gj_client_compile(). */
void gj_client_leave(struct gj_client *);
/* In the child of a fork, where there is no other thread: forgets its parent's worker. */
void gj_client_forked(struct gj_client *);

#endif
