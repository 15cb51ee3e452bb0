/*
 * prop.c - device properties: setting them from text, their help and their text in `info qtree`.
 */
#include "bus/dev.h"
#include "bus/prop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

void *(*dev_resolve_backend)(enum prop_kind, const char *id, struct error *);
const char *(*dev_backend_id)(enum prop_kind, const void *backend);

struct dev_backend_name {
    const struct prop_desc *prop;
    char *id;
    struct dev_backend_name *next;
};

static const char *const kind_text[] = {
    [PROP_U8] = "uint8",   [PROP_U16] = "uint16", [PROP_U32] = "uint32", [PROP_U64] = "uint64",
    [PROP_SIZE] = "size",  [PROP_BOOL] = "bool",  [PROP_STR] = "str",    [PROP_CHR] = "str",
    [PROP_DRIVE] = "str",  [PROP_NETDEV] = "str", [PROP_MAC] = "str",
};
static const char *const kind_help[] = {
    [PROP_CHR] = "ID of a chardev to use as a backend",
    [PROP_DRIVE] = "ID of a drive to use as a backend",
    [PROP_NETDEV] = "ID of a netdev to use as a backend",
    [PROP_MAC] = "Ethernet 6-byte MAC Address, example: 52:54:00:12:34:56",
};

size_t prop_size(const struct prop_desc *p)
{
    switch (p->kind) {
    case PROP_U8: return 1;
    case PROP_U16: return 2;
    case PROP_U32: return 4;
    case PROP_U64:
    case PROP_SIZE: return 8;
    case PROP_BOOL: return sizeof(bool);
    case PROP_MAC: return 6;
    default: return sizeof(void *);
    }
}

static void *member(struct device *d, const struct prop_desc *p) { return (char *)d + p->offset; }

static bool is_pointer(const struct prop_desc *p)
{
    return p->kind == PROP_CHR || p->kind == PROP_DRIVE || p->kind == PROP_NETDEV;
}

static void put_int(struct device *d, const struct prop_desc *p, uint64_t v)
{
    switch (p->kind) {
    case PROP_U8: *(uint8_t *)member(d, p) = (uint8_t)v; break;
    case PROP_U16: st16_host(member(d, p), (uint16_t)v); break;
    case PROP_U32: st32_host(member(d, p), (uint32_t)v); break;
    case PROP_BOOL: *(bool *)member(d, p) = v != 0; break;
    default: st64_host(member(d, p), v); break;
    }
}

static uint64_t get_int(struct device *d, const struct prop_desc *p)
{
    switch (p->kind) {
    case PROP_U8: return *(uint8_t *)member(d, p);
    case PROP_U16: return ld16_host(member(d, p));
    case PROP_U32: return ld32_host(member(d, p));
    case PROP_BOOL: return *(bool *)member(d, p);
    default: return ld64_host(member(d, p));
    }
}

static void put_ptr(struct device *d, const struct prop_desc *p, void *v)
{
    memcpy(member(d, p), &v, sizeof v);
}

static void *get_ptr(struct device *d, const struct prop_desc *p)
{
    void *v;
    memcpy(&v, member(d, p), sizeof v);
    return v;
}

static void put_str(struct device *d, const struct prop_desc *p, const char *s)
{
    mem_free(get_ptr(d, p));
    put_ptr(d, p, s ? mem_strdup(s) : NULL);
}

void prop_defaults(struct device *d)
{
    for (const struct prop_desc *p = d->desc->props; p && p->name; p++) {
        if (p->kind == PROP_STR) put_str(d, p, p->def_str);
        else if (p->kind <= PROP_BOOL) put_int(d, p, p->def);
    }
}

void prop_free(struct device *d)
{
    for (const struct prop_desc *p = d->desc->props; p && p->name; p++)
        if (p->kind == PROP_STR) put_str(d, p, NULL);
    while (d->backend_names) {
        struct dev_backend_name *n = d->backend_names;
        d->backend_names = n->next;
        mem_free(n->id);
        mem_free(n);
    }
}

/* ---- parsing ---- */
static bool parse_number(const char *s, bool size, uint64_t *v)
{
    static const char suffix[] = "bkmgtpe";
    char *end;

    if (*s < '0' || *s > '9') return false;
    errno = 0;
    unsigned long long n = strtoull(s, &end, 0);
    if (errno || n > UINT64_MAX) return false;
    if (size && *end) {
        char c = (char)(*end | 0x20);
        const char *at = strchr(suffix, c);
        if (!at || end[1]) return false;
        unsigned shift = 10 * (unsigned)(at - suffix);
        if (n << shift >> shift != n) return false;
        n <<= shift;
        end++;
    }
    *v = n;
    return !*end;
}

static bool parse_bool(const char *s, uint64_t *v)
{
    *v = !strcmp(s, "on") || !strcmp(s, "yes") || !strcmp(s, "true");
    return *v || !strcmp(s, "off") || !strcmp(s, "no") || !strcmp(s, "false");
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_mac(const char *s, uint8_t mac[6])
{
    for (int i = 0; i < 6; i++, s += 3) {
        int h = hex(s[0]), l = h < 0 ? -1 : hex(s[1]);
        if (l < 0 || (i < 5 ? s[2] != ':' && s[2] != '-' : s[2] != 0)) return false;
        mac[i] = (uint8_t)(h << 4 | l);
    }
    return true;
}

const struct prop_desc *prop_find(const struct dev_desc *desc, const char *name)
{
    for (const struct prop_desc *p = desc->props; p && p->name; p++)
        if (!strcmp(p->name, name)) return p;
    return NULL;
}

static uint64_t int_max(const struct prop_desc *p)
{
    size_t n = p->kind == PROP_BOOL ? 0 : prop_size(p);
    return n == 0 ? 1 : n == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * n) - 1;
}

static void remember_id(struct device *d, const struct prop_desc *p, const char *id)
{
    struct dev_backend_name *n = d->backend_names;
    while (n && n->prop != p) n = n->next;
    if (!n) {
        n = NEW(struct dev_backend_name);
        n->prop = p;
        n->next = d->backend_names;
        d->backend_names = n;
    }
    mem_free(n->id);
    n->id = id ? mem_strdup(id) : NULL;
}

int dev_set_prop(struct device *d, const char *name, const char *value, struct error *e)
{
    const struct prop_desc *p = prop_find(d->desc, name);
    const char *dev = d->desc->name;
    uint64_t v;
    uint8_t mac[6];

    if (!p) {
        error_set(e, "device \"%s\" has no property \"%s\" (value \"%s\")", dev, name, value);
        return error_hint(e, "-device %s,help lists its properties", dev);
    }
    if (d->realized)
        return error_set(e, "device \"%s\": property \"%s\" cannot be set to \"%s\" any more", dev, name, value);
    switch (p->kind) {
    case PROP_STR: put_str(d, p, value); return 0;
    case PROP_BOOL:
        if (!parse_bool(value, &v))
            return error_set(e, "device \"%s\": property \"%s\" is on or off, not \"%s\"", dev, name, value);
        put_int(d, p, v);
        return 0;
    case PROP_MAC:
        if (!parse_mac(value, mac))
            return error_set(e, "device \"%s\": property \"%s\" is a MAC address like 52:54:00:12:34:56, not \"%s\"",
                             dev, name, value);
        memcpy(member(d, p), mac, 6);
        return 0;
    case PROP_CHR:
    case PROP_DRIVE:
    case PROP_NETDEV: {
        struct error why = ERROR_INIT;
        void *b = dev_resolve_backend ? dev_resolve_backend((enum prop_kind)p->kind, value, &why) : NULL;
        if (!b) {
            error_set(e, "device \"%s\": property \"%s\": %s \"%s\"%s%s", dev, name,
                      why.set ? "cannot use" : "there is no backend", value, why.set ? ": " : "", why.msg);
            return -1;
        }
        put_ptr(d, p, b);
        remember_id(d, p, value);
        return 0;
    }
    default:
        if (!parse_number(value, p->kind == PROP_SIZE, &v) || v > int_max(p))
            return error_set(e, "device \"%s\": property \"%s\" is a %s from 0 to %" PRIu64 ", not \"%s\"", dev, name,
                             p->kind == PROP_SIZE ? "size" : "number", int_max(p), value);
        put_int(d, p, v);
        return 0;
    }
}

int dev_set_int(struct device *d, const char *name, uint64_t value)
{
    const struct prop_desc *p = prop_find(d->desc, name);
    if (!p || p->kind > PROP_BOOL || value > int_max(p) || d->realized) return -1;
    put_int(d, p, value);
    return 0;
}

int dev_set_ptr(struct device *d, const char *name, void *backend)
{
    const struct prop_desc *p = prop_find(d->desc, name);
    if (!p || !is_pointer(p) || d->realized) return -1;
    put_ptr(d, p, backend);
    remember_id(d, p, NULL);
    return 0;
}

/* ---- text ---- */
void prop_text(struct device *d, const struct prop_desc *p, char *out, size_t size)
{
    switch (p->kind) {
    case PROP_STR: {
        const char *s = get_ptr(d, p);
        snprintf(out, size, "\"%s\"", s ? s : "");
        return;
    }
    case PROP_BOOL: snprintf(out, size, "%s", get_int(d, p) ? "true" : "false"); return;
    case PROP_MAC: {
        const uint8_t *m = member(d, p);
        snprintf(out, size, "\"%02x:%02x:%02x:%02x:%02x:%02x\"", m[0], m[1], m[2], m[3], m[4], m[5]);
        return;
    }
    case PROP_CHR:
    case PROP_DRIVE:
    case PROP_NETDEV: {
        const char *id = NULL;
        void *b = get_ptr(d, p);
        for (struct dev_backend_name *n = d->backend_names; n; n = n->next)
            if (n->prop == p) id = n->id;
        if (!id && b && dev_backend_id) id = dev_backend_id((enum prop_kind)p->kind, b);
        snprintf(out, size, "\"%s\"", id ? id : "");
        return;
    }
    default: {
        uint64_t v = get_int(d, p);
        snprintf(out, size, "%" PRIu64 " (0x%" PRIx64 ")", v, v);
        return;
    }
    }
}

void dev_help(const struct dev_desc *desc, void (*put)(void *, const char *line), void *opaque)
{
    char line[512];
    for (const struct prop_desc *p = desc->props; p && p->name; p++) {
        const char *help = p->help ? p->help : kind_help[p->kind];
        if (help) snprintf(line, sizeof line, "%s.%s=%s (%s)", desc->name, p->name, kind_text[p->kind], help);
        else snprintf(line, sizeof line, "%s.%s=%s", desc->name, p->name, kind_text[p->kind]);
        put(opaque, line);
    }
}
