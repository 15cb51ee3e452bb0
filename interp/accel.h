/*
 * accel.h - the -accel option's properties that concern the engine, for system and user mode alike.
 */
#ifndef INTERP_ACCEL_H
#define INTERP_ACCEL_H

#include "interp/engine.h"

/* One accelerator by name ("interp", "jit", "tcg") with one property more; value NULL for a word alone. Call accel_begin
 * once, accel_set for each property. 0, or -1 + error. */
int accel_begin(struct engine_config *, const char *name, struct error *);
int accel_set(struct engine_config *, const char *property, const char *value, struct error *);
/* What runs guest code when nobody says, and "tcg": the built-in code generator for this host; without one, the interpreter. */
void accel_default(struct engine_config *);
/* Both from one text, "jit,backend=native,sync=on". */
int accel_parse(struct engine_config *, const char *text, struct error *);
/* Lines of text for `-accel help`. */
void accel_help(void (*put)(void *, const char *line), void *opaque);

#endif
