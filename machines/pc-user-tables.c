/*
 * pc-user-tables.c - tables that the user adds or changes: -acpitable's ACPI tables and -smbios's structures and fields.
 *
 * Follows the ACPI specification 6.4, 5.2.6 (table header), and the SMBIOS reference specification 2.8.
 */
#include "machines/boot/loader.h"
#include "machines/pc-options.h"
#include "util/opts.h"

#include <inttypes.h>
#include <stdio.h>

enum { HEADER = 36, TABLE_MAX = 0x4000000 };

/* ---- ACPI ---- */

/* Appends the files of a list with ':' between. */
static int append_files(uint8_t **data, uint64_t *size, const char *list, struct error *e)
{
    for (const char *p = list; *p; p += *p == ':') {
        size_t n = strcspn(p, ":");
        char *path = mem_printf("%.*s", (int)n, p);
        struct boot_file f;
        int rc = boot_read_raw(path, TABLE_MAX, &f, e);
        mem_free(path);
        if (rc) {
        error_prefix(e, "-acpitable");
        return -1;
    }
        if (*size + f.size > TABLE_MAX) {
            boot_file_free(&f);
            return error_set(e, "-acpitable: the files have more than %u MiB together", TABLE_MAX >> 20);
        }
        *data = mem_realloc(*data, (size_t)(*size + f.size + 1));
        memcpy(*data + *size, f.data, (size_t)f.size);
        *size += f.size;
        boot_file_free(&f);
        p += n;
    }
    return 0;
}

/* A text field of the header, cut to its place and filled with `pad`. */
static void put_text(uint8_t *to, size_t n, const char *text, char pad)
{
    if (!text) return;
    size_t len = MIN(strlen(text), n);
    memset(to, pad, n);
    memcpy(to, text, len);
}

static int put_number(const struct opts *o, const char *key, uint8_t *to, unsigned bytes, struct error *e)
{
    uint64_t v;
    if (!opts_get(o, key)) return 0;
    if (opt_parse_number(key, opts_get(o, key), bytes == 1 ? 0xff : 0xffffffffu, &v, e)) return -1;
    if (bytes == 1) *to = (uint8_t)v;
    else st32_le(to, (uint32_t)v);
    return 0;
}

static int complete(uint8_t *t, uint64_t size, const struct opts *o, struct error *e)
{
    uint8_t sum = 0;
    put_text(t, 4, opts_get(o, "sig"), 0);
    put_text(t + 10, 6, opts_get(o, "oem_id"), 0);
    put_text(t + 16, 8, opts_get(o, "oem_table_id"), 0);
    put_text(t + 28, 4, opts_get(o, "asl_compiler_id"), 0);
    if (put_number(o, "rev", t + 8, 1, e) || put_number(o, "oem_rev", t + 24, 4, e)) return -1;
    if (put_number(o, "asl_compiler_rev", t + 32, 4, e)) return -1;
    if (opts_get(o, "file") && ld32_le(t + 4) != size)
        error_warn("-acpitable: the table's header says %" PRIu32 " bytes, there are %" PRIu64 ": its length is set right",
                   ld32_le(t + 4), size);
    st32_le(t + 4, (uint32_t)size);
    t[9] = 0;
    for (uint64_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + t[i]);
    t[9] = (uint8_t)-sum;
    return 0;
}

uint8_t *pc_acpi_user_table(const char *text, uint32_t *size, struct error *e)
{
    static const struct opt_desc keys[] = {
        {"sig", OPT_STRING, NULL},          {"rev", OPT_STRING, NULL},
        {"oem_id", OPT_STRING, NULL},       {"oem_table_id", OPT_STRING, NULL},
        {"oem_rev", OPT_STRING, NULL},      {"asl_compiler_id", OPT_STRING, NULL},
        {"file", OPT_STRING, NULL},         {"asl_compiler_rev", OPT_STRING, NULL},
        {"data", OPT_STRING, NULL},         {NULL, OPT_STRING, NULL}};
    static const uint8_t header[HEADER] = "OEMQ\0\0\0\0\1\0QUERN QUERNPC \1\0\0\0QRN \1\0\0";
    struct opts o;
    uint8_t *t = NULL;
    uint64_t n = 0;
    int rc = 0;
    if (opts_parse(&o, text, NULL, keys, e)) return NULL;
    const char *file = opts_get(&o, "file"), *data = opts_get(&o, "data");
    if (!file == !data) {
        rc = error_set(e, "'-acpitable' requires one of 'data' or 'file'");
    } else if (data) {
        t = mem_alloc(HEADER);
        memcpy(t, header, HEADER);
        n = HEADER;
        rc = append_files(&t, &n, data, e);
    } else {
        rc = append_files(&t, &n, file, e);
        if (!rc && n < HEADER)
            rc = error_set(e, "-acpitable: '%s' is too short for the header of a table: %" PRIu64 " bytes, expected: %d", file,
                           n, HEADER);
    }
    if (!rc) rc = complete(t, n, &o, e);
    opts_free(&o);
    *size = (uint32_t)n;
    if (!rc) return t;
    mem_free(t);
    return NULL;
}

/* ---- SMBIOS ---- */

struct field {
    unsigned type;
    char *name, *value;
};
struct pc_smbios_set {
    struct field *fields;
    unsigned n_fields;
    uint8_t *files;
    size_t size;
    bool in_file[256];
};

#define STR(n) {n, OPT_STRING, NULL}
#define END    {NULL, OPT_STRING, NULL}
static const struct opt_desc keys_0[] = {STR("type"), STR("vendor"), STR("version"), STR("date"), STR("release"), {"uefi", OPT_BOOL, NULL}, END};
static const struct opt_desc keys_1[] = {STR("type"), STR("manufacturer"), STR("product"), STR("version"), STR("serial"), STR("uuid"), STR("sku"), STR("family"), END};
static const struct opt_desc keys_2[] = {STR("type"), STR("manufacturer"), STR("product"), STR("version"), STR("serial"), STR("asset"), STR("location"), END};
static const struct opt_desc keys_3[] = {STR("type"), STR("manufacturer"), STR("version"), STR("serial"), STR("asset"), STR("sku"), END};
static const struct opt_desc keys_4[] = {STR("type"), STR("sock_pfx"), STR("manufacturer"), STR("version"), STR("serial"), STR("asset"), STR("part"), END};
static const struct opt_desc keys_11[] = {STR("type"), STR("value"), END};
static const struct opt_desc keys_17[] = {STR("type"), STR("loc_pfx"), STR("bank"), STR("manufacturer"), STR("serial"), STR("asset"), STR("part"), {"speed", OPT_NUMBER, NULL}, END};
static const struct opt_desc *const keys_of[18] = {
    [0] = keys_0, [1] = keys_1, [2] = keys_2, [3] = keys_3, [4] = keys_4, [11] = keys_11, [17] = keys_17};

static bool is_uuid(const char *s)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (strlen(s) != sizeof form - 1) return false;
    for (unsigned i = 0; form[i]; i++)
        if (form[i] == '-' ? s[i] != '-' : !strchr("0123456789abcdefABCDEF", s[i])) return false;
    return true;
}

static int check_field(unsigned type, const struct opt *v, struct error *e)
{
    unsigned a, b;
    int n = 0;
    if (type == 1 && !strcmp(v->name, "uuid") && !is_uuid(v->value)) return error_set(e, "-smbios: Invalid UUID");
    if (type == 0 && !strcmp(v->name, "release") &&
        (sscanf(v->value, "%3u.%3u%n", &a, &b, &n) != 2 || v->value[n] || a > 255 || b > 255))
        return error_set(e, "-smbios: Invalid release");
    if (type == 17 && !strcmp(v->name, "speed")) {
        uint64_t speed;
        return opt_parse_number("speed", v->value, 0xffff, &speed, e);
    }
    return 0;
}

static int parse_fields(struct pc_smbios_set *s, const char *text, unsigned type, struct error *e)
{
    struct opts o;
    int rc = 0;
    if (opts_parse(&o, text, NULL, keys_of[type], e)) return -1;
    for (unsigned i = 0; i < o.n && !rc; i++) {
        if (!strcmp(o.v[i].name, "type")) continue;
        rc = check_field(type, &o.v[i], e);
        s->fields = mem_realloc(s->fields, (s->n_fields + 1) * sizeof *s->fields);
        s->fields[s->n_fields++] = (struct field){type, mem_strdup(o.v[i].name), mem_strdup(o.v[i].value)};
    }
    opts_free(&o);
    return rc;
}

/* Each structure: its formed area, of the length that its second byte says, and strings up to two zeros. */
static int parse_file(struct pc_smbios_set *s, const char *path, struct error *e)
{
    struct boot_file f;
    if (boot_read_raw(path, 0xffff, &f, e)) {
        error_prefix(e, "-smbios: Cannot read SMBIOS file");
        return -1;
    }
    uint64_t at = 0;
    while (at < f.size) {
        uint64_t p = at + (at + 1 < f.size ? f.data[at + 1] : 0);
        bool bad = p < at + 4;
        while (!bad && p + 1 < f.size && (f.data[p] || f.data[p + 1]))
            p++;
        if (bad || p + 1 >= f.size) {
            boot_file_free(&f);
            return error_set(e, "-smbios: '%s' does not hold whole SMBIOS structures (byte %" PRIu64 ")", path, at);
        }
        s->in_file[f.data[at]] = true;
        at = p + 2;
    }
    s->files = mem_realloc(s->files, s->size + (size_t)f.size + 1);
    memcpy(s->files + s->size, f.data, (size_t)f.size);
    s->size += (size_t)f.size;
    boot_file_free(&f);
    return 0;
}

static int parse_one(struct pc_smbios_set *s, const char *text, struct error *e)
{
    struct opts o;
    uint64_t type = 0;
    int rc = -1;
    if (opts_parse(&o, text, NULL, NULL, e)) return -1;
    const char *file = opts_get(&o, "file"), *t = opts_get(&o, "type");
    if (file && o.n > 1) error_set(e, "-smbios: Invalid parameter '%s'", o.v[strcmp(o.v[0].name, "file") ? 0 : 1].name);
    else if (file) rc = parse_file(s, file, e);
    else if (!t) error_set(e, "-smbios: Must specify type= or file=");
    else if (!opt_parse_number("type", t, 255, &type, e)) rc = 0;
    opts_free(&o);
    if (rc || file) return rc;
    if (type >= ARRAY_LEN(keys_of) || !keys_of[type])
        return error_set(e, "-smbios: Don't know how to build fields for SMBIOS type %u", (unsigned)type);
    return parse_fields(s, text, (unsigned)type, e);
}

struct pc_smbios_set *pc_smbios_parse(const char *const *texts, struct error *e)
{
    struct pc_smbios_set *s = NEW(struct pc_smbios_set);
    for (const char *const *p = texts; p && *p; p++) {
        if (parse_one(s, *p, e)) {
            pc_smbios_free(s);
            return NULL;
        }
    }
    for (unsigned i = 0; i < s->n_fields; i++) {
        if (!s->in_file[s->fields[i].type]) continue;
        error_set(e, "-smbios: type %u comes from a file already, its fields cannot be given", s->fields[i].type);
        pc_smbios_free(s);
        return NULL;
    }
    return s;
}

void pc_smbios_free(struct pc_smbios_set *s)
{
    if (!s) return;
    for (unsigned i = 0; i < s->n_fields; i++) {
        mem_free(s->fields[i].name);
        mem_free(s->fields[i].value);
    }
    mem_free(s->fields);
    mem_free(s->files);
    mem_free(s);
}

const char *pc_smbios_text(const struct pc_smbios_set *s, unsigned type, const char *field, const char *def)
{
    for (unsigned i = s->n_fields; i-- > 0;)
        if (s->fields[i].type == type && !strcmp(s->fields[i].name, field)) return s->fields[i].value;
    return def;
}

const uint8_t *pc_smbios_files(const struct pc_smbios_set *s, size_t *size)
{
    *size = s->size;
    return s->files;
}

bool pc_smbios_in_file(const struct pc_smbios_set *s, unsigned type)
{
    return s->in_file[type & 255];
}

const char *pc_smbios_oem_string(const struct pc_smbios_set *s, unsigned n)
{
    for (unsigned i = 0; i < s->n_fields; i++)
        if (s->fields[i].type == 11 && n-- == 0) return s->fields[i].value;
    return NULL;
}
