/*
 * opts.c - option strings (see opts.h). No option is known here.
 */
#include "util/opts.h"

#include <errno.h>
#include <stdio.h>

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool opt_is_id(const char *s)
{
    if (!is_letter(*s)) return false;
    for (s++; *s; s++) {
        if (!is_letter(*s) && !is_digit(*s) && *s != '-' && *s != '.' && *s != '_') return false;
    }
    return true;
}

bool opt_is_help(const char *s) { return !strcmp(s, "help") || !strcmp(s, "?"); }

int opt_parse_bool(const char *what, const char *s, bool *out, struct error *e)
{
    if (!strcmp(s, "on") || !strcmp(s, "yes") || !strcmp(s, "true")) *out = true;
    else if (!strcmp(s, "off") || !strcmp(s, "no") || !strcmp(s, "false")) *out = false;
    else return error_set(e, "Parameter '%s' expects 'on' or 'off'", what);
    return 0;
}

static int digit_value(char c)
{
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 16;
}

/* Reads an unsigned number; the own loop refuses signs and blanks, which strtoull would take.
 * Returns the first character after it, or NULL (no digit). *over: it is too large. */
static const char *scan_number(const char *s, bool octal, uint64_t *out, bool *decimal, bool *over)
{
    unsigned base = 10;
    uint64_t v = 0;
    const char *start;

    *over = false;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) base = 16, s += 2;
    else if (octal && s[0] == '0' && is_digit(s[1])) base = 8, s += 1;
    for (start = s; (unsigned)digit_value(*s) < base; s++) {
        unsigned d = (unsigned)digit_value(*s);
        *over |= v > (UINT64_MAX - d) / base;
        v = v * base + d;
    }
    if (s == start) return NULL;
    *out = v;
    *decimal = base == 10;
    return s;
}

int opt_parse_number(const char *what, const char *s, uint64_t max, uint64_t *out, struct error *e)
{
    uint64_t v;
    bool dec, over;
    const char *end = scan_number(s, true, &v, &dec, &over);

    if (!end || *end) return error_set(e, "Parameter '%s' expects a number, not '%s'", what, s);
    if (over || v > max) {
        return error_set(e, "Parameter '%s': %s is out of range (at most %llu)", what, s,
                         (unsigned long long)max);
    }
    *out = v;
    return 0;
}

/* Bytes of a suffix letter, 0 when it is none. */
static uint64_t suffix_unit(char c)
{
    switch (c) {
    case 'B': case 'b': return 1;
    case 'K': case 'k': return UINT64_C(1) << 10;
    case 'M': case 'm': return UINT64_C(1) << 20;
    case 'G': case 'g': return UINT64_C(1) << 30;
    case 'T': case 't': return UINT64_C(1) << 40;
    case 'P': case 'p': return UINT64_C(1) << 50;
    case 'E': case 'e': return UINT64_C(1) << 60;
    default: return 0;
    }
}

int opt_parse_size(const char *what, const char *s, uint64_t unit, uint64_t *out, struct error *e)
{
    uint64_t v, frac = 0, scale = 1;
    bool dec, over;
    const char *p = scan_number(s, false, &v, &dec, &over);

    if (!p) goto bad;
    if (*p == '.' && dec) {
        /* Digits beyond the ninth do not change a size anybody can mean. */
        for (p++; is_digit(*p); p++) {
            if (scale < 1000000000) frac = frac * 10 + (uint64_t)(*p - '0'), scale *= 10;
        }
        if (scale == 1) goto bad;
    }
    if (*p) {
        unit = suffix_unit(*p++);
        if (!unit || *p) goto bad;
    }
    if (over || (v && unit > UINT64_MAX / v)) goto range;
    v *= unit;
    if (frac) {
        uint64_t hi, part;
        if (unit == 1) goto bad;
        /* frac < 10^9 and unit <= 2^60: divide first where the product would not fit */
        part = host_mul64u(frac, unit, &hi);
        part = hi ? unit / scale * frac : part / scale;
        if (v > UINT64_MAX - part) goto range;
        v += part;
    }
    *out = v;
    return 0;
bad:
    error_set(e, "Parameter '%s' expects a size, not '%s'", what, s);
    return error_hint(e, "A size is a number with an optional suffix B, K, M, G, T, P or E");
range:
    error_set(e, "Parameter '%s': size %s is too large", what, s);
    return -ERANGE;
}

void opts_free(struct opts *o)
{
    for (unsigned i = 0; i < o->n; i++) {
        mem_free(o->v[i].name);
        mem_free(o->v[i].value);
    }
    mem_free(o->v);
    o->v = NULL;
    o->n = 0;
}

static void append(struct opts *o, char *name, char *value)
{
    o->v = mem_realloc(o->v, (o->n + 1) * sizeof *o->v);
    o->v[o->n].name = name;
    o->v[o->n].value = value;
    o->n++;
}

void opts_set(struct opts *o, const char *name, const char *value)
{
    for (unsigned i = o->n; i-- > 0;) {
        if (!strcmp(o->v[i].name, name)) {
            mem_free(o->v[i].value);
            o->v[i].value = mem_strdup(value);
            return;
        }
    }
    append(o, mem_strdup(name), mem_strdup(value));
}

const char *opts_get(const struct opts *o, const char *name)
{
    for (unsigned i = o->n; i-- > 0;) {
        if (!strcmp(o->v[i].name, name)) return o->v[i].value;
    }
    return NULL;
}

bool opts_bool(const struct opts *o, const char *name, bool def)
{
    const char *s = opts_get(o, name);
    bool v;
    return s && !opt_parse_bool(name, s, &v, NULL) ? v : def;
}

uint64_t opts_number(const struct opts *o, const char *name, uint64_t def)
{
    const char *s = opts_get(o, name);
    uint64_t v;
    return s && !opt_parse_number(name, s, UINT64_MAX, &v, NULL) ? v : def;
}

uint64_t opts_size(const struct opts *o, const char *name, uint64_t def)
{
    const char *s = opts_get(o, name);
    uint64_t v;
    return s && !opt_parse_size(name, s, 1, &v, NULL) ? v : def;
}

/* The next item up to a single comma, with doubled commas made one. *s moves past the comma; NULL at
 * the end of the string. */
static char *next_item(const char **s)
{
    const char *p = *s;
    char *item = mem_alloc(strlen(p) + 1), *q = item;

    for (; *p; p++) {
        if (*p == ',') {
            if (p[1] != ',') break;
            p++;
        }
        *q++ = *p;
    }
    *q = 0;
    *s = *p ? p + 1 : NULL;
    return item;
}

static const struct opt_desc *find_desc(const struct opt_desc *desc, const char *name)
{
    for (; desc->name; desc++) {
        if (!strcmp(desc->name, name)) return desc;
    }
    return NULL;
}

static int check_value(const struct opt_desc *d, const char *value, struct error *e)
{
    bool b;
    uint64_t v;

    switch (d->kind) {
    case OPT_BOOL: return opt_parse_bool(d->name, value, &b, e);
    case OPT_NUMBER: return opt_parse_number(d->name, value, UINT64_MAX, &v, e);
    case OPT_SIZE: return opt_parse_size(d->name, value, 1, &v, e);
    case OPT_STRING: break;
    }
    return 0;
}

/* Splits one item into key and value (both allocated). */
static int split_item(const char *item, const char *implied, const struct opt_desc *desc, char **name,
                      char **value, struct error *e)
{
    const char *eq = strchr(item, '=');

    if (eq) {
        *name = mem_printf("%.*s", (int)(eq - item), item);
        *value = mem_strdup(eq + 1);
    } else if (implied) {
        *name = mem_strdup(implied);
        *value = mem_strdup(item);
    } else {
        bool off = !strncmp(item, "no", 2) && (desc ? !find_desc(desc, item) : true);
        if (off && desc && !find_desc(desc, item + 2)) off = false;
        *name = mem_strdup(off ? item + 2 : item);
        *value = mem_strdup(off ? "off" : "on");
    }
    if (!**name) return error_set(e, "Parameter without a name at '%s'", item);
    return 0;
}

int opts_parse(struct opts *o, const char *s, const char *implied, const struct opt_desc *desc,
               struct error *e)
{
    o->v = NULL;
    o->n = 0;
    if (*s == '{') return error_set(e, "JSON is not accepted here in this version");
    while (s && *s) {
        char *item = next_item(&s), *name = NULL, *value = NULL;
        const struct opt_desc *d;
        int rc = split_item(item, implied, desc, &name, &value, e);

        mem_free(item);
        implied = NULL;
        if (!rc && !strcmp(name, "id") && !opt_is_id(value)) {
            error_set(e, "Parameter 'id' expects an identifier");
            rc = error_hint(e, "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter");
        }
        if (!rc && desc) {
            d = find_desc(desc, name);
            rc = d ? check_value(d, value, e) : error_set(e, "Invalid parameter '%s'", name);
        }
        if (rc) {
            mem_free(name);
            mem_free(value);
            opts_free(o);
            return -1;
        }
        append(o, name, value);
    }
    return 0;
}
