/*
 * opts.h - option strings: `key=value,key=value` lists, numbers, sizes, booleans, identifiers.
 *
 * Pure functions of their input (tests/test-opts.c throws random bytes at them). They know no
 * option: what keys exist is said by a table of struct opt_desc. Follows the parsing rules of the
 * manual page, section "Option syntax".
 */
#ifndef UTIL_OPTS_H
#define UTIL_OPTS_H

#include "util/error.h"

enum opt_kind { OPT_STRING, OPT_BOOL, OPT_NUMBER, OPT_SIZE };

/* A key that a list may have. Tables end with a NULL name. */
struct opt_desc {
    const char *name;
    enum opt_kind kind;
    const char *help;
};

struct opt { char *name, *value; };

/* A parsed list, in order of writing; a key may appear more than once (the last one counts, except
 * for those that read the list themselves). */
struct opts {
    struct opt *v;
    unsigned n;
};

/* Parses s into *o (which need not be initialised; on error it is empty). A comma inside a value is
 * written twice. `implied` (may be NULL) is the key of a first item that has no '='. An item that is a
 * key alone means key=on, `nokey` means key=off. With a table (desc not NULL) unknown keys, and values
 * that do not fit their kind, are errors; without, every key is taken. `id` is always checked to be an
 * identifier. 0 or -1. */
int opts_parse(struct opts *o, const char *s, const char *implied, const struct opt_desc *desc,
               struct error *e);
void opts_free(struct opts *o);

/* The value of a key, or NULL (`def` where there is one). Values of kinds other than OPT_STRING were
 * checked by opts_parse when it had a table; where they cannot be read, def is returned. */
const char *opts_get(const struct opts *o, const char *name);
bool opts_bool(const struct opts *o, const char *name, bool def);
uint64_t opts_number(const struct opts *o, const char *name, uint64_t def);
uint64_t opts_size(const struct opts *o, const char *name, uint64_t def);
/* Adds or replaces. */
void opts_set(struct opts *o, const char *name, const char *value);

/* Single values. `what` names the option or key in messages. 0 or -1. */
int opt_parse_bool(const char *what, const char *s, bool *out, struct error *e);
/* Decimal, 0x hexadecimal or 0 octal; at most max. (A size is never octal.) */
int opt_parse_number(const char *what, const char *s, uint64_t max, uint64_t *out, struct error *e);
/* A size: number with an optional suffix B, K, M, G, T, P, E (powers of 1024; either case); a decimal
 * number may have a fraction ("1.5G"). Without suffix it is multiplied by `unit`.
 * -ERANGE: it has no room in 64 bits. */
int opt_parse_size(const char *what, const char *s, uint64_t unit, uint64_t *out, struct error *e);
/* A letter, then letters, digits, '-', '.', '_'. */
bool opt_is_id(const char *s);
/* Is s a request for help: "help" or "?". */
bool opt_is_help(const char *s);

#endif
