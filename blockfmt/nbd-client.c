/*
 * nbd-client.c - negotiation as an NBD client (see nbd-client.h; "Handshake phase" of the protocol document): oldstyle,
 * newstyle, fixed newstyle with GO where the server has it. Everything the server says is hostile.
 */
#include "blockfmt/nbd-client.h"
#include "util/tls.h"

#include <errno.h>
#include <stdio.h>

enum { MAX_REPLY = 64 << 10, MAX_EXPORTS = 10000 };

struct reply {
    uint32_t type, len;
    char data[MAX_REPLY + 1]; /* a NUL behind it */
};

static int broken(int rc, const char *what, struct error *e)
{
    if (rc == -ENOTCONN || rc == -ECONNRESET) error_set(e, "Failed to read %s: the server closed the connection", what);
    else error_set(e, "Failed to read %s: %s", what, strerror(-rc));
    return rc;
}

static int send_option(struct nbd_chan *c, enum nbd_option number, const void *data, size_t n, struct error *e)
{
    uint8_t head[16];
    int rc;

    st64_be(head, NBD_OPTION_MAGIC);
    st32_be(head + 8, number);
    st32_be(head + 12, (uint32_t)n);
    rc = nbd_chan_write2(c, head, sizeof head, data, n);
    return rc ? error_set(e, "Failed to send an option request: %s", strerror(-rc)), rc : 0;
}

static int read_reply(struct nbd_chan *c, enum nbd_option number, struct reply *r, struct error *e)
{
    uint8_t head[20];
    int rc = nbd_chan_read(c, head, sizeof head);

    if (rc) return broken(rc, "an option reply", e);
    if (ld64_be(head) != NBD_REP_MAGIC) return error_set(e, "Unexpected option reply magic"), -EPROTO;
    if (ld32_be(head + 8) != number)
        return error_set(e, "Unexpected option type %u, expected %u", ld32_be(head + 8), number), -EPROTO;
    r->type = ld32_be(head + 12), r->len = ld32_be(head + 16);
    if (r->len > MAX_REPLY) return error_set(e, "option reply is too long: %u bytes", r->len), -EPROTO;
    rc = nbd_chan_read(c, r->data, r->len);
    if (rc) return broken(rc, "an option reply", e);
    r->data[r->len] = 0;
    return 0;
}

static bool is_error(const struct reply *r) { return (r->type & NBD_REP_ERROR) != 0; }

static int reply_error(const struct reply *r, const char *option, const char *export, struct error *e)
{
    int rc = -EINVAL;

    switch (r->type & ~NBD_REP_ERROR) {
    case NBD_ERR_UNSUP: error_set(e, "Unsupported option type (%s)", option), rc = -ENOTSUP; break;
    case NBD_ERR_POLICY: error_set(e, "Denied by server for option (%s)", option), rc = -EPERM; break;
    case NBD_ERR_INVALID: error_set(e, "Invalid parameters for option (%s)", option); break;
    case NBD_ERR_PLATFORM: error_set(e, "Server lacks support for option (%s)", option), rc = -ENOTSUP; break;
    case NBD_ERR_TLS_REQD: error_set(e, "Server requires TLS for option (%s)", option), rc = -EACCES; break;
    case NBD_ERR_UNKNOWN: error_set(e, "Requested export not available"), rc = -ENOENT; break;
    case NBD_ERR_SHUTDOWN: error_set(e, "Server shutting down before option (%s)", option), rc = -ESHUTDOWN; break;
    case NBD_ERR_BLOCK_SIZE_REQD: error_set(e, "Server requires INFO_BLOCK_SIZE for option (%s)", option); break;
    default: error_set(e, "Unknown error code %#x from the server for option (%s)", r->type, option);
    }
    if (r->len) {
        char text[200];
        snprintf(text, sizeof text, "%.199s", r->data);
        for (char *p = text; *p; p++) {
            if ((uint8_t)*p < ' ' || *p == 127) *p = '?';
        }
        error_hint(e, "server reported: %s", text);
    } else if ((r->type & ~NBD_REP_ERROR) == NBD_ERR_TLS_REQD) {
        error_hint(e, "Did you forget a valid tls-creds?");
    }
    return rc;
}

/* An option that is answered by yes or no: 1 yes, 0 no (the answer in r), -errno. */
static int simple_option(struct nbd_chan *c, enum nbd_option number, struct reply *r, struct error *e)
{
    int rc = send_option(c, number, NULL, 0, e);

    if (!rc) rc = read_reply(c, number, r, e);
    if (rc) return rc;
    if (is_error(r)) return 0;
    if (r->type != NBD_REP_ACK || r->len) return error_set(e, "Unexpected reply %u to option %u", r->type, number), -EPROTO;
    return 1;
}

static int start_tls(struct nbd_chan *c, struct tls_creds *creds, const char *hostname, struct reply *r, struct error *e)
{
    int rc = simple_option(c, NBD_OPT_STARTTLS, r, e);

    if (rc < 0) return rc;
    if (!rc) {
        rc = reply_error(r, "STARTTLS", "", e);
        return rc;
    }
    if (nbd_chan_buffered(c)) return error_set(e, "the server spoke before TLS began"), -EPROTO;
    c->tls = tls_start(creds, c->fd, hostname, c->deadline, e);
    return c->tls ? 0 : -EACCES;
}

/* ---- metadata contexts ---------------------------------------------------------------------------- */

/* export, and one query or none. */
static int send_contexts(struct nbd_chan *c, enum nbd_option number, const char *export, const char *query, struct error *e)
{
    size_t n = strlen(export), q = query ? strlen(query) : 0, len = 4 + n + 4 + (query ? 4 + q : 0);
    uint8_t *buf = mem_alloc(len);
    int rc;

    st32_be(buf, (uint32_t)n);
    memcpy(buf + 4, export, n);
    st32_be(buf + 4 + n, query ? 1 : 0);
    if (query) {
        st32_be(buf + 8 + n, (uint32_t)q);
        memcpy(buf + 12 + n, query, q);
    }
    rc = send_option(c, number, buf, len, e);
    mem_free(buf);
    return rc;
}

static int set_context(struct nbd_chan *c, const struct nbd_request_for *f, struct nbd_export_info *info,
                       struct reply *r, struct error *e)
{
    int rc = send_contexts(c, NBD_OPT_SET_META_CONTEXT, f->export, f->context, e);

    while (!rc && !(rc = read_reply(c, NBD_OPT_SET_META_CONTEXT, r, e))) {
        if (is_error(r) || r->type == NBD_REP_ACK) return 0; /* a server without contexts is no error */
        if (r->type != NBD_REP_META_CONTEXT || r->len < 4)
            return error_set(e, "Unexpected reply %u to SET_META_CONTEXT", r->type), -EPROTO;
        if (strcmp(r->data + 4, f->context) || info->has_context)
            return error_set(e, "the server chose a context that was not asked for"), -EPROTO;
        info->context_id = ld32_be(r->data);
        info->has_context = true;
    }
    return rc;
}

/* ---- exports -------------------------------------------------------------------------------------- */

static int take_info(const struct reply *r, struct nbd_export_info *info, bool *size, char **description, struct error *e)
{
    const char *p = r->data;

    if (r->len < 2) return error_set(e, "information reply is too short"), -EPROTO;
    switch (ld16_be(p)) {
    case NBD_INFO_EXPORT:
        if (r->len != 12) return error_set(e, "information on the export has a wrong length"), -EPROTO;
        info->size = ld64_be(p + 2), info->flags = ld16_be(p + 10);
        *size = true;
        break;
    case NBD_INFO_BLOCK_SIZE:
        if (r->len != 14) return error_set(e, "information on block sizes has a wrong length"), -EPROTO;
        info->min_block = ld32_be(p + 2), info->preferred_block = ld32_be(p + 6), info->max_block = ld32_be(p + 10);
        if (!info->min_block || info->min_block > 65536 || (info->min_block & (info->min_block - 1)))
            return error_set(e, "server asks for a minimum block size of %u", info->min_block), -EPROTO;
        if (info->max_block < info->min_block || (info->max_block != UINT32_MAX && info->max_block % info->min_block))
            return error_set(e, "server asks for a maximum block size of %u", info->max_block), -EPROTO;
        info->blocks_told = true;
        break;
    case NBD_INFO_DESCRIPTION:
        if (description) {
            mem_free(*description);
            *description = mem_strdup(p + 2);
        }
        break;
    }
    return 0;
}

/* GO or INFO. 0; 1 when the server does not know the option. */
static int go(struct nbd_chan *c, enum nbd_option number, const char *export, struct nbd_export_info *info,
              char **description, struct reply *r, struct error *e)
{
    size_t n = strlen(export);
    uint8_t *buf = mem_alloc(n + 16);
    const char *name = number == NBD_OPT_GO ? "go" : "info";
    bool size = false;
    unsigned count = 0;
    int rc;

    st32_be(buf, (uint32_t)n);
    memcpy(buf + 4, export, n);
    st16_be(buf + 4 + n, description ? 2 : 1);
    st16_be(buf + 6 + n, NBD_INFO_BLOCK_SIZE);
    st16_be(buf + 8 + n, NBD_INFO_DESCRIPTION);
    rc = send_option(c, number, buf, n + (description ? 10 : 8), e);
    mem_free(buf);
    while (!rc && !(rc = read_reply(c, number, r, e))) {
        if (r->type == NBD_REP_ACK)
            return size ? 0 : (error_set(e, "the server did not tell the size of the export"), -EPROTO);
        if (is_error(r)) {
            if ((r->type & ~NBD_REP_ERROR) == NBD_ERR_UNSUP) return 1;
            return reply_error(r, name, export, e);
        }
        if (r->type != NBD_REP_INFO || ++count > 1000) return error_set(e, "Unexpected reply %u to option %s", r->type, name), -EPROTO;
        rc = take_info(r, info, &size, description, e);
    }
    return rc;
}

static int by_name(struct nbd_chan *c, const char *export, bool no_zeroes, struct nbd_export_info *info, struct error *e)
{
    uint8_t buf[10 + 124];
    int rc = send_option(c, NBD_OPT_EXPORT_NAME, export, strlen(export), e);

    if (rc) return rc;
    rc = nbd_chan_read(c, buf, no_zeroes ? 10 : sizeof buf);
    if (rc) return broken(rc, "the size of the export, which the server may not have", e);
    info->size = ld64_be(buf), info->flags = ld16_be(buf + 8);
    return 0;
}

/* ---- the beginning -------------------------------------------------------------------------------- */

/* 1: options come; 0: oldstyle, all is said; -errno. */
static int greet(struct nbd_chan *c, struct nbd_export_info *info, unsigned *style, struct error *e)
{
    uint8_t buf[16], rest[12 + 124];
    uint64_t magic;
    int rc = nbd_chan_read(c, buf, sizeof buf);

    if (rc) return broken(rc, "the server's greeting", e);
    if (ld64_be(buf) != NBD_MAGIC) return error_set(e, "Bad initial magic received: 0x%llx", (unsigned long long)ld64_be(buf)), -EPROTO;
    magic = ld64_be(buf + 8);
    if (magic == NBD_OLD_MAGIC) {
        rc = nbd_chan_read(c, rest, sizeof rest);
        if (rc) return broken(rc, "the server's greeting", e);
        info->size = ld64_be(rest), info->flags = ld32_be(rest + 8) & 0xffff;
        return 0;
    }
    if (magic != NBD_OPTION_MAGIC)
        return error_set(e, "Bad server magic received: 0x%llx", (unsigned long long)magic), -EPROTO;
    rc = nbd_chan_read(c, rest, 2);
    if (rc) return broken(rc, "the server's flags", e);
    *style = ld16_be(rest) & (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    st32_be(buf, *style);
    rc = nbd_chan_write(c, buf, 4);
    return rc ? error_set(e, "Failed to send flags: %s", strerror(-rc)), rc : 1;
}

static int begin(struct nbd_chan *c, struct tls_creds *tls, const char *hostname, struct nbd_export_info *info,
                 unsigned *style, struct reply *r, struct error *e)
{
    int rc = greet(c, info, style, e);

    if (rc < 0 || !tls) return rc;
    if (!rc || !(*style & NBD_FLAG_FIXED_NEWSTYLE)) return error_set(e, "Server does not support STARTTLS"), -ENOTSUP;
    rc = start_tls(c, tls, hostname, r, e);
    return rc ? rc : 1;
}

int nbd_negotiate(struct nbd_chan *c, const struct nbd_request_for *f, struct nbd_export_info *info, struct error *e)
{
    struct reply *r = mem_alloc(sizeof *r);
    unsigned style = 0;
    int rc;

    *info = (struct nbd_export_info){.min_block = 1, .max_block = UINT32_MAX};
    rc = begin(c, f->tls, f->tls_hostname, info, &style, r, e);
    if (!rc && *f->export) error_set(e, "Server does not support non-empty export names"), rc = -ENOTSUP;
    if (rc <= 0) goto out;
    rc = 1;
    if (style & NBD_FLAG_FIXED_NEWSTYLE) {
        if (f->context) {
            rc = simple_option(c, NBD_OPT_STRUCTURED_REPLY, r, e);
            if (rc < 0) goto out;
            if (!rc && (r->type & ~NBD_REP_ERROR) == NBD_ERR_TLS_REQD) {
                rc = reply_error(r, "structured reply", f->export, e);
                goto out;
            }
            info->structured = rc > 0;
            rc = info->structured ? set_context(c, f, info, r, e) : 0;
            if (rc) goto out;
        }
        rc = go(c, NBD_OPT_GO, f->export, info, NULL, r, e);
    }
    if (rc == 1) rc = by_name(c, f->export, (style & NBD_FLAG_NO_ZEROES) != 0, info, e);
out:
    if (!rc && info->size > INT64_MAX)
        error_set(e, "export size %llu is too large", (unsigned long long)info->size), rc = -EFBIG;
    mem_free(r);
    return rc;
}

/* ---- listing -------------------------------------------------------------------------------------- */

static int describe(struct nbd_chan *c, struct nbd_listed *x, char **description, struct reply *r, struct error *e)
{
    int rc = go(c, NBD_OPT_INFO, x->name, &x->info, description, r, NULL);

    if (rc < 0 && !is_error(r)) return error_set(e, "Failed to ask for export '%s'", x->name), rc;
    x->told = !rc;
    if (rc || !x->info.structured) return 0;
    rc = send_contexts(c, NBD_OPT_LIST_META_CONTEXT, x->name, NULL, e);
    while (!rc && !(rc = read_reply(c, NBD_OPT_LIST_META_CONTEXT, r, e))) {
        if (r->type != NBD_REP_META_CONTEXT || r->len < 4 || x->context_count == 1000) break;
        x->contexts = mem_realloc(x->contexts, (x->context_count + 1) * sizeof *x->contexts);
        x->contexts[x->context_count++] = mem_strdup(r->data + 4);
    }
    return rc;
}

int nbd_list_exports(struct nbd_chan *c, struct tls_creds *tls, const char *hostname,
                     void (*each)(void *, const struct nbd_listed *, unsigned), void *opaque, struct error *e)
{
    struct reply *r = mem_alloc(sizeof *r);
    struct nbd_export_info info = {.min_block = 1};
    struct { char *name, *description; } *list = NULL;
    unsigned n = 0, style = 0;
    bool structured = false;
    int rc = begin(c, tls, hostname, &info, &style, r, e);

    if (rc < 0) goto out;
    if (!rc) { /* oldstyle: one export, without a name */
        struct nbd_listed x = {.name = "", .description = "", .info = info, .told = true};
        each(opaque, NULL, 1);
        each(opaque, &x, 1);
        goto out;
    }
    if (!(style & NBD_FLAG_FIXED_NEWSTYLE)) {
        error_set(e, "the server cannot list its exports"), rc = -ENOTSUP;
        goto out;
    }
    rc = simple_option(c, NBD_OPT_STRUCTURED_REPLY, r, e);
    if (rc < 0) goto out;
    structured = rc > 0;
    rc = send_option(c, NBD_OPT_LIST, NULL, 0, e);
    while (!rc && !(rc = read_reply(c, NBD_OPT_LIST, r, e))) {
        uint32_t len = r->type == NBD_REP_SERVER && r->len >= 4 ? ld32_be(r->data) : 0;
        if (r->type == NBD_REP_ACK) break;
        if (is_error(r)) rc = reply_error(r, "list", "", e);
        else if (r->type != NBD_REP_SERVER || r->len < 4 || len > r->len - 4 || n == MAX_EXPORTS)
            error_set(e, "incorrect reply to the option list"), rc = -EPROTO;
        if (rc) break;
        list = mem_realloc(list, (n + 1) * sizeof *list);
        list[n].name = mem_printf("%.*s", (int)len, r->data + 4);
        list[n++].description = mem_strdup(r->data + 4 + len);
    }
    if (!rc) each(opaque, NULL, n);
    for (unsigned i = 0; i < n && !rc; i++) {
        struct nbd_listed x = {.name = list[i].name, .info = {.min_block = 1, .structured = structured}};
        rc = describe(c, &x, &list[i].description, r, e);
        x.description = list[i].description;
        if (!rc) each(opaque, &x, n);
        for (unsigned k = 0; k < x.context_count; k++) mem_free(x.contexts[k]);
        mem_free(x.contexts);
    }
    if (!rc) (void)send_option(c, NBD_OPT_ABORT, NULL, 0, NULL);
out:
    for (unsigned i = 0; i < n; i++) {
        mem_free(list[i].name);
        mem_free(list[i].description);
    }
    mem_free(list);
    mem_free(r);
    return rc;
}
