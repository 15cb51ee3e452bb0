/*
 * uri.h - file names of protocols that are URIs (RFC 3986, as far as disks need it).
 */
#ifndef BLOCKFMT_URI_H
#define BLOCKFMT_URI_H

#include "util/opts.h"

/* Parts of proto://[user@]host[:port]/path[?query], %xx undone; NULL where there is none. path begins with '/'. */
struct uri { char *user, *host, *port, *path; struct opts query; };
/* 0 or -EINVAL. */
int uri_parse(struct uri *, const char *text, struct error *);
void uri_free(struct uri *);
/* %xx into bytes; caller frees. NULL: malformed, or a NUL. */
char *uri_unescape(const char *s, size_t n);

#endif
