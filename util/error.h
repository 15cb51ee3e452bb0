/*
 * error.h - how a function says what went wrong.
 *
 * Functions that can fail take a `struct error *` as last argument (may be NULL) and return a
 * status (0 or true for success as the function's comment says, or NULL for a pointer). The
 * message names the thing and the value, without trailing newline or full stop. Only programs in
 * tools/ print errors and exit; everything below returns them.
 */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include "util/host.h"

struct error {
    bool set;
    char msg[512];
    char hint[256]; /* what the user can do; may be empty */
};

#define ERROR_INIT { false, "", "" }

/* Sets *e unless it is NULL or already set (the first error wins). Returns -1 always, so that
 * `return error_set(e, ...)` reads well. */
int error_set(struct error *e, const char *fmt, ...) ATTR_PRINTF(2, 3);
int error_hint(struct error *e, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* Puts "prefix: " in front of a message that is set. */
void error_prefix(struct error *e, const char *fmt, ...) ATTR_PRINTF(2, 3);
void error_clear(struct error *e);

/* Messages on stderr as `PROGNAME: text`. The program's name is set once by main(). */
void error_set_progname(const char *name);
const char *error_progname(void);
void error_print(const struct error *e);                     /* message and, on a line of its own, the hint */
void error_report(const char *fmt, ...) ATTR_PRINTF(1, 2);
void error_warn(const char *fmt, ...) ATTR_PRINTF(1, 2);     /* `PROGNAME: warning: text` */
void error_info(const char *fmt, ...) ATTR_PRINTF(1, 2);

#endif
