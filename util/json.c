/*
 * json.c - JSON into dotted keys, and JSON text (see json.h). RFC 8259; the only user of jansson.
 */
#include "util/json.h"

#include <stdio.h>

#ifdef HAVE_JANSSON
#include <jansson.h>
#include "util/lazy.h"

#ifdef QUERN_SO_JANSSON
#define FUNCTIONS(X) X(json_array_get) X(json_array_size) X(json_delete) X(json_integer_value) X(json_loads) X(json_object_iter) \
    X(json_object_iter_key) X(json_object_iter_next) X(json_object_iter_value) X(json_real_value) X(json_string_value)
LAZY_LIBRARY(FUNCTIONS, QUERN_SO_JANSSON)
#define L(f) lib.f
#define load_library(e) lazy_load(&lazy, e)
#else
#define L(f) f
#define load_library(e) 0
#endif

static int flatten(const json_t *v, const char *key, struct opts *o, struct error *e)
{
    char *s = NULL;
    int rc = 0;

    if (json_is_object(v) || json_is_array(v)) {
        const char *k = NULL;
        size_t n = json_is_array(v) ? L(json_array_size)(v) : 0;
        void *it = json_is_object(v) ? L(json_object_iter)((json_t *)(uintptr_t)v) : NULL;

        for (size_t i = 0; !rc && (it || i < n); i++) {
            const json_t *m = it ? L(json_object_iter_value)(it) : L(json_array_get)(v, i);
            char *sub;
            if (it) k = L(json_object_iter_key)(it), sub = mem_printf("%s%s%s", key, *key ? "." : "", k);
            else sub = mem_printf("%s%s%zu", key, *key ? "." : "", i);
            rc = flatten(m, sub, o, e);
            mem_free(sub);
            if (it) it = L(json_object_iter_next)((json_t *)(uintptr_t)v, it);
        }
        return rc;
    }
    if (json_is_string(v)) s = mem_strdup(L(json_string_value)(v));
    else if (json_is_integer(v)) s = mem_printf("%lld", (long long)L(json_integer_value)(v));
    else if (json_is_real(v)) s = mem_printf("%g", L(json_real_value)(v));
    else if (json_is_boolean(v)) s = mem_strdup(json_is_true(v) ? "on" : "off");
    else s = mem_strdup("");
    opts_set(o, key, s);
    mem_free(s);
    return 0;
}

int json_flatten(const char *text, struct opts *o, struct error *e)
{
    json_error_t je;
    json_t *v;
    int rc;

    if (load_library(e)) return -1;
    v = L(json_loads)(text, JSON_REJECT_DUPLICATES, &je);
    if (!v) return error_set(e, "invalid JSON: %s (at character %d)", je.text, je.position);
    rc = json_is_object(v) ? flatten(v, "", o, e) : error_set(e, "invalid JSON: an object was expected");
    L(json_delete)(v); /* nobody else has a reference */
    return rc;
}
#else
int json_flatten(const char *text, struct opts *o, struct error *e)
{
    return error_set(e, "JSON is not supported by this build (it was made without jansson)");
}
#endif

static void put(struct json_out *j, const char *s, size_t n)
{
    if (j->len + n + 1 > j->cap) {
        j->cap = (j->len + n + 1) * 2;
        j->text = mem_realloc(j->text, j->cap);
    }
    memcpy(j->text + j->len, s, n);
    j->len += n;
    j->text[j->len] = 0;
}

static void puts_(struct json_out *j, const char *s) { put(j, s, strlen(s)); }

static void quoted(struct json_out *j, const char *s)
{
    put(j, "\"", 1);
    for (; *s; s++) {
        char esc[8];
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') snprintf(esc, sizeof esc, "\\%c", c);
        else if (c == '\n') snprintf(esc, sizeof esc, "\\n");
        else if (c == '\t') snprintf(esc, sizeof esc, "\\t");
        else if (c == '\r') snprintf(esc, sizeof esc, "\\r");
        else if (c < 0x20 || c == 0x7f) snprintf(esc, sizeof esc, "\\u%04x", c);
        else esc[0] = (char)c, esc[1] = 0;
        puts_(j, esc);
    }
    put(j, "\"", 1);
}

static void line(struct json_out *j)
{
    put(j, "\n", 1);
    for (unsigned i = 0; i < j->depth; i++) put(j, "    ", 4);
}

static void member(struct json_out *j, const char *key)
{
    if (j->depth) {
        if (!j->first) put(j, ",", 1);
        line(j);
    }
    j->first = false;
    if (key) quoted(j, key), put(j, ": ", 2);
}

void jout_init(struct json_out *j)
{
    *j = (struct json_out){NULL, 0, 0, 0, true};
    put(j, "", 0);
}

void jout_free(struct json_out *j) { mem_free(j->text), j->text = NULL; }

void jout_object(struct json_out *j, const char *key)
{
    member(j, key), put(j, "{", 1), j->depth++, j->first = true;
}

void jout_array(struct json_out *j, const char *key)
{
    member(j, key), put(j, "[", 1), j->depth++, j->first = true;
}

void jout_end(struct json_out *j, char close)
{
    if (j->depth) j->depth--;
    line(j);
    put(j, &close, 1);
    j->first = false;
}

void jout_string(struct json_out *j, const char *key, const char *value) { member(j, key), quoted(j, value); }

void jout_uint(struct json_out *j, const char *key, uint64_t value)
{
    char buf[32];
    snprintf(buf, sizeof buf, "%llu", (unsigned long long)value);
    member(j, key), puts_(j, buf);
}

void jout_bool(struct json_out *j, const char *key, bool value) { member(j, key), puts_(j, value ? "true" : "false"); }
