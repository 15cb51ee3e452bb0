/*
 * shared.c - what quern-img, quern-io and quern-nbd have in common: --object, -l, and the "Format specific
 * information".
 */
#include "tools/shared.h"

#include "blockfmt/throttle.h"
#include "util/tls.h"

#include <errno.h>
#include <stdio.h>

static void release_tls(void *creds) { tls_creds_unref(creds); }

static int tls_object(struct blk_graph *g, const char *type, const char *id, const struct opts *o, struct error *e)
{
    const char *password = opts_get(o, "passwordid");
    struct blk_secret *s = password ? blk_object_find(g, "secret", password) : NULL;
    struct tls_creds *c;
    char *text;

    if (password && !s) return error_set(e, "No secret with id '%s'", password);
    text = s ? mem_printf("%.*s", (int)s->len, (const char *)s->data) : NULL;
    c = tls_creds_new(type, o, text, e);
    mem_free(text);
    if (!c) return -1;
    if (!blk_object_add(g, "tls-creds", id, c, release_tls, e)) return 0;
    tls_creds_unref(c);
    return -1;
}

static int throttle_object(struct blk_graph *g, const struct opts *o, const char *id, struct error *e)
{
    static const char *const ignore[] = {"qom-type", "id", NULL};
    struct throttle_group *t = throttle_group_new(o, ignore, e);

    if (!t) return -1;
    if (!blk_object_add(g, "throttle-group", id, t, throttle_group_delete, e)) return 0;
    throttle_group_delete(t);
    return -1;
}

/* In place: a secret that is given as base64 (RFC 4648, section 4; line ends may be in it). */
static int from_base64(struct blk_secret *s, struct error *e)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0, k = 0, pad = 0;
    uint32_t bits = 0;

    for (size_t i = 0; i < s->len; i++) {
        const char *d = s->data[i] ? strchr(digits, s->data[i]) : NULL;
        if (s->data[i] == '\n' || s->data[i] == '\r') continue;
        if (s->data[i] == '=' && k % 4 >= 2) d = digits, pad++;
        else if (pad) d = NULL;
        if (!d) return error_set(e, "the secret is not valid base64 data");
        bits = bits << 6 | (uint32_t)(d - digits);
        if (++k % 4) continue;
        s->data[n++] = (uint8_t)(bits >> 16), s->data[n++] = (uint8_t)(bits >> 8), s->data[n++] = (uint8_t)bits;
    }
    if (k % 4 || pad > 2) return error_set(e, "the secret is not valid base64 data");
    s->len = n - pad;
    return 0;
}

static int secret_object(struct blk_graph *g, const struct opts *o, const char *id, struct error *e)
{
    static const char *const known[] = {"qom-type", "id", "data", "file", "format"};
    const char *data = opts_get(o, "data"), *file = opts_get(o, "file"), *format = opts_get(o, "format");
    struct blk_secret *s;
    int rc = 0;

    for (unsigned i = 0; i < o->n; i++) {
        size_t k = 0;
        while (k < ARRAY_LEN(known) && strcmp(known[k], o->v[i].name)) k++;
        if (!strcmp(o->v[i].name, "keyid") || !strcmp(o->v[i].name, "iv"))
            return error_set(e, "secret '%s': encrypted secrets (keyid, iv) are not supported", id);
        if (k == ARRAY_LEN(known)) return error_set(e, "Parameter '%s' is unexpected", o->v[i].name);
    }
    if (!data && !file) return error_set(e, "Either 'file' or 'data' must be provided");
    if (data && file) return error_set(e, "'file' and 'data' are mutually exclusive");
    if (format && strcmp(format, "raw") && strcmp(format, "base64"))
        return error_set(e, "Parameter 'format' does not accept value '%s'", format);
    if (data) {
        s = mem_alloc(sizeof *s + strlen(data));
        s->len = strlen(data);
        memcpy(s->data, data, s->len);
    } else {
        FILE *f = fopen(file, "rb");
        if (!f) return error_set(e, "Unable to read %s: %s", file, strerror(errno));
        s = mem_alloc(sizeof *s + 65536);
        s->len = fread(s->data, 1, 65536, f);
        if (ferror(f)) rc = error_set(e, "Unable to read %s: %s", file, strerror(errno));
        fclose(f);
    }
    if (!rc && format && *format == 'b') rc = from_base64(s, e);
    if (!rc) rc = blk_object_add(g, "secret", id, s, free, e);
    if (rc) mem_free(s);
    return rc;
}

int img_object_add(struct blk_graph *g, const char *arg, struct error *e)
{
    struct opts o = {NULL, 0};
    const char *type, *id;
    int rc;

    if (*arg == '{') { /* flattened as an image's options are */
        char *json = mem_printf("json:%s", arg);
        rc = blk_parse_filename(json, &o, e);
        mem_free(json);
    } else {
        rc = opts_parse(&o, arg, "qom-type", NULL, e);
    }
    if (rc) return opts_free(&o), -1;
    type = opts_get(&o, "qom-type"), id = opts_get(&o, "id");
    rc = -1;
    if (!type || !id) {
        error_set(e, "Parameter '%s' is missing", type ? "id" : "qom-type");
    } else if (!strcmp(type, "throttle-group")) {
        rc = throttle_object(g, &o, id, e);
    } else if (!strcmp(type, "tls-creds-x509") || !strcmp(type, "tls-creds-psk") || !strcmp(type, "tls-creds-anon")) {
        rc = tls_object(g, type, id, &o, e);
    } else if (!strcmp(type, "secret")) {
        rc = secret_object(g, &o, id, e);
    } else {
        error_set(e, "Parameter 'qom-type' does not accept value '%s'", type);
    }
    opts_free(&o);
    return rc ? -1 : 0;
}

int img_object(struct blk_graph *g, const char *arg)
{
    struct error e = ERROR_INIT;
    return img_object_add(g, arg, &e) ? (error_print(&e), -1) : 0;
}

/* ---- internal snapshots ---------------------------------------------------------------------------- */

int img_load_snapshot(struct blk_backend *b, const char *param)
{
    static const struct opt_desc keys[] = {{"snapshot.id", OPT_STRING, NULL}, {"snapshot.name", OPT_STRING, NULL},
                                           {NULL, OPT_STRING, NULL}};
    struct blk_snapshot *list = NULL;
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    const char *id, *name;
    int n, rc;

    if (strncmp(param, "snapshot.", 9)) {
        rc = blk_snapshot_load(b, param, &e);
    } else {
        if (opts_parse(&o, param, NULL, keys, &e)) {
            error_print(&e);
            return error_report("Failed in parsing snapshot param '%s'", param), -1;
        }
        id = opts_get(&o, "snapshot.id"), name = opts_get(&o, "snapshot.name");
        n = blk_snapshot_list(blk_root(b), &list, &e);
        rc = n < 0 ? n : -ENOENT;
        for (int i = 0; i < n; i++) {
            if ((id && strcmp(id, list[i].id)) || (name && strcmp(name, list[i].name))) continue;
            rc = blk_snapshot_load(b, list[i].id, &e);
            break;
        }
        if (rc) error_set(&e, "Can't find snapshot");
        mem_free(list);
        opts_free(&o);
    }
    if (!rc) return 0;
    error_prefix(&e, "Failed to load snapshot");
    return error_print(&e), -1;
}

/* ---- "Format specific information" ---------------------------------------------------------------- */

/* Our own JSON writer's text, one member a line: keys lose their quotes and get blanks for dashes. */
static void print_spec(const char *json, unsigned indent)
{
    bool in_array[16] = {false};
    unsigned index[16] = {0}, nest = 0;

    for (const char *p = json; *p;) {
        size_t n = strcspn(p, "\n"), lead = strspn(p, " ");
        const char *q = p + lead, *end = p + n;
        if (q < end && *q == '"') {
            const char *key = q + 1, *stop = strchr(key, '"');
            if (end > q && end[-1] == ',') end--;
            printf("%*s", (int)(indent + lead - MIN(lead, 4)), "");
            if (nest && in_array[nest]) { /* a string of an array: "..." alone */
                printf("[%u]: %.*s\n", index[nest]++, (int)(end - q - 2), q + 1);
            } else {
                for (; key < stop; key++) putchar(*key == '-' ? ' ' : *key);
                q = stop + 3;
                if (end - q >= 2 && *q == '"') q++, end--;
                if (end - q == 1 && (*q == '{' || *q == '[')) {
                    printf(":\n");
                    if (nest + 1 < ARRAY_LEN(index)) nest++;
                    in_array[nest] = *q == '[', index[nest] = 0;
                } else {
                    printf(": %.*s\n", (int)(end - q), q);
                }
            }
        } else if (q < end && (*q == '{' || (in_array[nest] && *q != ']' && *q != '}'))) {
            bool object = *q == '{';
            if (end > q && end[-1] == ',') end--;
            printf("%*s[%u]:", (int)(indent + lead - MIN(lead, 4)), "", index[nest]++);
            if (object && nest + 1 < ARRAY_LEN(index)) in_array[++nest] = false;
            printf(object ? "\n" : " %.*s\n", (int)(end - q), q);
        } else if (q < end && (*q == '}' || *q == ']') && nest) {
            nest--;
        }
        p += n + (p[n] == '\n');
    }
}

void img_print_specific(struct blk_node *n)
{
    struct json_out j;

    jout_init(&j);
    jout_object(&j, NULL);
    if (blk_node_info_specific(n, &j)) {
        const char *data = strchr(j.text, '{');
        data = data ? strchr(data + 1, '{') : NULL;
        printf("Format specific information:\n");
        if (data) print_spec(data + 1, 0);
    }
    jout_free(&j);
}

/* ---- manual pages --------------------------------------------------------------------------------- */

void man_text(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '-' || s[i] == '\\') putchar('\\');
        if ((!i || s[i - 1] == '\n') && (s[i] == '\'' || s[i] == '.')) printf("\\&");
        putchar(s[i]);
    }
}

void man_head(const char *name, const char *title, const char *what, const char *synopsis, const char *description)
{
    printf(".\\\" Made by `--man` from the command tables in tools/: edit those.\n.TH %s 1 \"\" \"quern %s\"\n"
           ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n%s.SH DESCRIPTION\n%s\n",
           title, PACKAGE_VERSION, name, what, synopsis, description);
}

void man_item(const char *name, const char *args, const char *help)
{
    printf(".TP\n.B ");
    man_text(name, strlen(name));
    printf("\n");
    if (*args) man_text(args, strlen(args)), printf("\n.br\n");
    man_text(help, strlen(help));
    printf("\n");
}
