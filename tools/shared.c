/*
 * shared.c - what quern-img, quern-io and quern-nbd have in common: --object, and the "Format specific information".
 */
#include "tools/shared.h"

#include "blockfmt/throttle.h"
#include "util/tls.h"

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

int img_object_add(struct blk_graph *g, const char *arg, struct error *e)
{
    struct opts o;
    const char *type, *id, *data, *file;
    struct blk_secret *s = NULL;
    int rc = -1;

    if (opts_parse(&o, arg, "qom-type", NULL, e)) return -1;
    type = opts_get(&o, "qom-type"), id = opts_get(&o, "id"), data = opts_get(&o, "data"), file = opts_get(&o, "file");
    if (!type || !id) {
        error_set(e, "Parameter '%s' is missing", type ? "id" : "qom-type");
    } else if (!strcmp(type, "throttle-group")) {
        rc = throttle_object(g, &o, id, e);
    } else if (!strcmp(type, "tls-creds-x509") || !strcmp(type, "tls-creds-psk") || !strcmp(type, "tls-creds-anon")) {
        rc = tls_object(g, type, id, &o, e);
    } else if (strcmp(type, "secret") || opts_get(&o, "format") || opts_get(&o, "keyid")) {
        error_set(e, "object type '%s' with these properties is not supported", type);
    } else if (!data == !file) {
        error_set(e, "Must provide either 'data' or 'file', not both");
    } else if (data) {
        s = mem_alloc(sizeof *s + strlen(data));
        s->len = strlen(data);
        memcpy(s->data, data, s->len);
    } else {
        FILE *f = fopen(file, "rb");
        s = mem_alloc(sizeof *s + 65536);
        s->len = f ? fread(s->data, 1, 65536, f) : 0;
        if (!f) error_set(e, "Unable to read %s", file), mem_free(s), s = NULL;
        else fclose(f);
    }
    if (s) rc = blk_object_add(g, "secret", id, s, free, e);
    if (rc && s) mem_free(s);
    opts_free(&o);
    return rc ? -1 : 0;
}

int img_object(struct blk_graph *g, const char *arg)
{
    struct error e = ERROR_INIT;
    return img_object_add(g, arg, &e) ? (error_print(&e), -1) : 0;
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
