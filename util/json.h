/*
 * json.h - the little JSON the program needs: reading an object into dotted keys, writing indented text.
 *
 * Reading is done by jansson, when that is built in. Writing needs no library.
 */
#ifndef UTIL_JSON_H
#define UTIL_JSON_H

#include "util/opts.h"

/* Adds the members of a JSON object to *o, nested ones with dotted keys ("a.b", "list.0.c"); null becomes "",
 * booleans on/off. -1 with a message (also when JSON is not built in). */
int json_flatten(const char *text, struct opts *o, struct error *e);

/* A text under construction: one value, usually an object; members are indented by four blanks. */
struct json_out {
    char *text; /* NUL-ended; the caller frees it with jout_free */
    size_t len, cap;
    unsigned depth;
    bool first; /* nothing in the innermost object or array yet */
};
void jout_init(struct json_out *);
void jout_free(struct json_out *);
/* key NULL: an element of an array, or the outermost value. close: '}' or ']'. */
void jout_object(struct json_out *, const char *key);
void jout_array(struct json_out *, const char *key);
void jout_end(struct json_out *, char close);
void jout_string(struct json_out *, const char *key, const char *value);
void jout_uint(struct json_out *, const char *key, uint64_t value);
void jout_bool(struct json_out *, const char *key, bool value);

#endif
