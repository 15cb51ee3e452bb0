/*
 * uri.c - names of disks that are URIs (see uri.h).
 */
#include "blockfmt/uri.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

char *uri_unescape(const char *s, size_t n)
{
    char *out = mem_alloc(n + 1);
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned v;
        if (s[i] != '%') {
            out[k++] = s[i];
        } else if (i + 2 < n && isxdigit((uint8_t)s[i + 1]) && isxdigit((uint8_t)s[i + 2]) && sscanf(s + i + 1, "%2x", &v) == 1 && v) {
            out[k++] = (char)v;
            i += 2;
        } else {
            mem_free(out);
            return NULL;
        }
    }
    out[k] = 0;
    return out;
}

static int part(char **to, const char *s, const char *end) { return (*to = uri_unescape(s, (size_t)(end - s))) ? 0 : -1; }

int uri_parse(struct uri *u, const char *text, struct error *e)
{
    const char *p = strstr(text, "://"), *end, *q, *at, *colon;
    int rc = 0;

    *u = (struct uri){.user = NULL};
    if (!p) return error_set(e, "'%s' is no URI", text), -EINVAL;
    p += 3;
    end = p + strcspn(p, "/?");
    at = memchr(p, '@', (size_t)(end - p));
    if (at) rc = part(&u->user, p, at), p = at + 1;
    if (*p == '[') {
        q = memchr(p, ']', (size_t)(end - p));
        rc |= q ? part(&u->host, p + 1, q) : -1;
        p = q ? q + 1 : end;
        colon = p < end && *p == ':' ? p : NULL;
        if (p < end && !colon) rc = -1;
    } else {
        colon = memchr(p, ':', (size_t)(end - p));
        rc |= part(&u->host, p, colon ? colon : end);
    }
    if (colon && colon + 1 < end) rc |= part(&u->port, colon + 1, end);
    q = end + strcspn(end, "?");
    if (q > end) rc |= part(&u->path, end, q);
    while (*q && !rc) { /* ?key=value&key=value */
        const char *key = q + 1, *stop = key + strcspn(key, "&"), *eq = memchr(key, '=', (size_t)(stop - key));
        char *k = NULL, *v = NULL;
        if (!eq || part(&k, key, eq) || part(&v, eq + 1, stop)) rc = -1;
        else opts_set(&u->query, k, v);
        mem_free(k);
        mem_free(v);
        q = stop;
    }
    if (!rc) return 0;
    uri_free(u);
    return error_set(e, "'%s' is not a well-formed URI", text), -EINVAL;
}

void uri_free(struct uri *u)
{
    mem_free(u->user);
    mem_free(u->host);
    mem_free(u->port);
    mem_free(u->path);
    opts_free(&u->query);
    *u = (struct uri){.user = NULL};
}
