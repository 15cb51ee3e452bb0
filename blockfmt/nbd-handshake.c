/*
 * nbd-handshake.c - the NBD server's side of the negotiation ("Fixed newstyle", "Option types" of the protocol
 * document): which export, TLS or not, structured replies, metadata contexts. Everything read here is hostile.
 */
#include "blockfmt/nbd-server-impl.h"
#include "util/loop.h"
#include "util/tls.h"

#include <errno.h>
#include <stdio.h>

enum { MAX_OPTION = 64 << 10, SKIP_LIMIT = 1 << 20, MAX_QUERIES = 256 };

struct option {
    uint32_t number, len;
    uint8_t data[MAX_OPTION + 1]; /* a NUL behind it */
};

static int reply(struct nbd_client *c, const struct option *o, uint32_t type, const void *data, size_t n)
{
    uint8_t head[20];

    st64_be(head, NBD_REP_MAGIC);
    st32_be(head + 8, o->number);
    st32_be(head + 12, type);
    st32_be(head + 16, (uint32_t)n);
    return nbd_chan_write2(&c->chan, head, sizeof head, data, n);
}

static int ack(struct nbd_client *c, const struct option *o) { return reply(c, o, NBD_REP_ACK, NULL, 0); }

static int refuse(struct nbd_client *c, const struct option *o, enum nbd_option_error err, const char *why)
{
    nbd_say(c->server, "option %u refused: %s", o->number, why);
    return reply(c, o, NBD_REP_ERROR | (uint32_t)err, why, strlen(why));
}

/* ---- what is left of an option's data -------------------------------------------------------------- */

struct data { const uint8_t *p; size_t n; };

static bool get16(struct data *d, uint16_t *v)
{
    if (d->n < 2) return false;
    *v = ld16_be(d->p), d->p += 2, d->n -= 2;
    return true;
}

static bool get32(struct data *d, uint32_t *v)
{
    if (d->n < 4) return false;
    *v = ld32_be(d->p), d->p += 4, d->n -= 4;
    return true;
}

/* A string of 32-bit length into buf (NBD_MAX_STRING + 1 bytes). */
static bool get_string(struct data *d, char *buf)
{
    uint32_t len;

    if (!get32(d, &len) || len > d->n || len > NBD_MAX_STRING || memchr(d->p, 0, len)) return false;
    memcpy(buf, d->p, len);
    buf[len] = 0;
    d->p += len, d->n -= len;
    return true;
}

static int refuse_unknown(struct nbd_client *c, const struct option *o, const char *name)
{
    char why[NBD_MAX_STRING + 64];
    snprintf(why, sizeof why, "export '%s' not present", name);
    return refuse(c, o, NBD_ERR_UNKNOWN, why);
}

/* ---- options -------------------------------------------------------------------------------------- */

static void use_export(struct nbd_client *c, struct nbd_export *x)
{
    struct nbd_server *s = c->server;

    pthread_mutex_lock(&s->lock); /* nbd_server_remove looks at it */
    c->export = x;
    if (x->removed) nbd_chan_shutdown(&c->chan);
    pthread_mutex_unlock(&s->lock);
    if (c->has_contexts && strcmp(c->context_export, x->name)) c->has_contexts = false;
    if (!c->has_contexts) memset(c->contexts, 0, sizeof c->contexts);
}

static int opt_export_name(struct nbd_client *c, const struct option *o)
{
    uint8_t out[10 + 124] = {0};
    struct nbd_export *x;

    if (o->len > NBD_MAX_STRING || memchr(o->data, 0, o->len)) return -EINVAL;
    x = nbd_export_get(c->server, (const char *)o->data);
    if (!x) {
        nbd_say(c->server, "export '%s' not present", (const char *)o->data);
        return -ENOENT; /* this option has no error reply */
    }
    use_export(c, x);
    st64_be(out, x->size);
    st16_be(out + 8, (uint16_t)nbd_export_flags(c->server, x, c->structured));
    return nbd_chan_write(&c->chan, out, c->no_zeroes ? 10 : sizeof out);
}

static int opt_list(struct nbd_client *c, const struct option *o)
{
    struct nbd_server *s = c->server;
    unsigned at = 0;
    int rc = 0;

    if (o->len) return refuse(c, o, NBD_ERR_INVALID, "this option takes no data");
    for (; !rc; at++) { /* the list may change while it is sent: by number, and a copy of each */
        struct nbd_export *x;
        uint8_t *buf = NULL;
        size_t n = 0, len;
        pthread_mutex_lock(&s->lock);
        unsigned i = 0;
        for (x = s->exports; x && i < at; x = x->next) i++;
        if (x) {
            len = strlen(x->name);
            n = 4 + len + strlen(x->description);
            buf = mem_alloc(n + 1);
            st32_be(buf, (uint32_t)len);
            memcpy(buf + 4, x->name, len);
            memcpy(buf + 4 + len, x->description, n - 4 - len);
        }
        pthread_mutex_unlock(&s->lock);
        if (!x) break;
        rc = reply(c, o, NBD_REP_SERVER, buf, n);
        mem_free(buf);
    }
    return rc ? rc : ack(c, o);
}

static int opt_starttls(struct nbd_client *c, const struct option *o)
{
    struct nbd_server *s = c->server;
    struct error e = ERROR_INIT;
    int rc;

    if (o->len) return refuse(c, o, NBD_ERR_INVALID, "this option takes no data");
    if (!s->cfg.tls) return refuse(c, o, NBD_ERR_POLICY, "TLS not configured");
    if (c->chan.tls) return refuse(c, o, NBD_ERR_INVALID, "TLS already enabled");
    if (nbd_chan_buffered(&c->chan)) return -EPROTO; /* said before the channel was safe */
    rc = ack(c, o);
    if (rc) return rc;
    c->chan.tls = tls_start(s->cfg.tls, c->chan.fd, NULL, c->chan.deadline, &e);
    if (!c->chan.tls) {
        nbd_say(s, "%s", e.msg);
        return -EPROTO;
    }
    c->structured = c->has_contexts = false; /* whatever was agreed before is void */
    return 0;
}

static int send_info(struct nbd_client *c, const struct option *o, struct nbd_export *x, bool name, bool description,
                     bool blocks)
{
    uint8_t buf[2 + NBD_MAX_STRING];
    size_t n;
    int rc;

    if (name) {
        n = strlen(x->name);
        st16_be(buf, NBD_INFO_NAME);
        memcpy(buf + 2, x->name, n);
        if ((rc = reply(c, o, NBD_REP_INFO, buf, 2 + n))) return rc;
    }
    if (description && *x->description) {
        n = strlen(x->description);
        st16_be(buf, NBD_INFO_DESCRIPTION);
        memcpy(buf + 2, x->description, n);
        if ((rc = reply(c, o, NBD_REP_INFO, buf, 2 + n))) return rc;
    }
    if (blocks) { /* all clients hear it; one that asks is one that heeds it, but ours is 1 anyway */
        st16_be(buf, NBD_INFO_BLOCK_SIZE);
        st32_be(buf + 2, 1);
        st32_be(buf + 6, 4096);
        st32_be(buf + 10, NBD_MAX_DATA);
        if ((rc = reply(c, o, NBD_REP_INFO, buf, 14))) return rc;
    }
    st16_be(buf, NBD_INFO_EXPORT);
    st64_be(buf + 2, x->size);
    st16_be(buf + 10, (uint16_t)nbd_export_flags(c->server, x, c->structured));
    return reply(c, o, NBD_REP_INFO, buf, 12);
}

static int opt_info(struct nbd_client *c, const struct option *o)
{
    struct data d = {o->data, o->len};
    char name[NBD_MAX_STRING + 1];
    bool want_name = false, want_description = false;
    struct nbd_export *x;
    uint16_t count, what;
    int rc;

    if (!get_string(&d, name) || !get16(&d, &count) || d.n != (size_t)count * 2)
        return refuse(c, o, NBD_ERR_INVALID, "malformed request for information");
    while (get16(&d, &what)) {
        if (what == NBD_INFO_NAME) want_name = true;
        if (what == NBD_INFO_DESCRIPTION) want_description = true;
    }
    x = nbd_export_get(c->server, name);
    if (!x) return refuse_unknown(c, o, name);
    rc = send_info(c, o, x, want_name, want_description, true);
    if (!rc && o->number == NBD_OPT_GO) use_export(c, x); /* the use is the client's now */
    if (!rc) rc = ack(c, o);
    if (c->export != x) nbd_export_put(c->server, x);
    return rc;
}

static int opt_structured(struct nbd_client *c, const struct option *o)
{
    if (o->len) return refuse(c, o, NBD_ERR_INVALID, "this option takes no data");
    if (c->structured) return refuse(c, o, NBD_ERR_INVALID, "structured replies were chosen already");
    c->structured = true;
    return ack(c, o);
}

/* ---- metadata contexts ---------------------------------------------------------------------------- */

static bool context_name(const struct nbd_export *x, unsigned i, char *buf, size_t room)
{
    if (i == CTX_ALLOCATION) snprintf(buf, room, "%s", NBD_BASE_ALLOCATION);
    else if (i == CTX_DEPTH && x->depth) snprintf(buf, room, "%s", NBD_ALLOCATION_DEPTH);
    else if (i >= CTX_BITMAP && i - CTX_BITMAP < x->bitmap_count)
        snprintf(buf, room, "%s%s", NBD_DIRTY_BITMAP, x->bitmap_names[i - CTX_BITMAP]);
    else return false;
    return true;
}

static int opt_contexts(struct nbd_client *c, const struct option *o)
{
    struct data d = {o->data, o->len};
    bool list = o->number == NBD_OPT_LIST_META_CONTEXT, chosen[NBD_MAX_CONTEXTS] = {false};
    char *text = mem_alloc(3 * (NBD_MAX_STRING + 64)), *query = text + NBD_MAX_STRING + 64, *name = query + NBD_MAX_STRING + 64;
    struct nbd_export *x = NULL;
    uint32_t count;
    int rc = 0;

    if (!list) c->has_contexts = false;
    if (!c->structured) {
        rc = refuse(c, o, NBD_ERR_INVALID, "structured replies come first");
        goto out;
    }
    if (!get_string(&d, name) || !get32(&d, &count) || count > MAX_QUERIES) {
        rc = refuse(c, o, NBD_ERR_INVALID, "malformed request for contexts");
        goto out;
    }
    x = nbd_export_get(c->server, name);
    if (!x) {
        rc = refuse_unknown(c, o, name);
        goto out;
    }
    if (list && !count) memset(chosen, true, sizeof chosen);
    for (; count; count--) {
        if (!get_string(&d, query)) {
            rc = refuse(c, o, NBD_ERR_INVALID, "malformed query");
            goto out;
        }
        for (unsigned i = 0; i < NBD_MAX_CONTEXTS; i++) {
            size_t n = strlen(query);
            if (!context_name(x, i, text, NBD_MAX_STRING + 64)) continue;
            if (!strcmp(text, query)) chosen[i] = true;
            /* "base:" and "qemu:dirty-bitmap:" ask what there is */
            if (list && n && query[n - 1] == ':' && !strncmp(text, query, n)) chosen[i] = true;
        }
    }
    if (d.n) {
        rc = refuse(c, o, NBD_ERR_INVALID, "more data than queries");
        goto out;
    }
    for (unsigned i = 0; i < NBD_MAX_CONTEXTS && !rc; i++) {
        uint8_t id[4];
        if (!chosen[i] || !context_name(x, i, text, NBD_MAX_STRING + 64)) {
            chosen[i] = false;
            continue;
        }
        uint8_t *both = mem_alloc(4 + strlen(text));
        st32_be(id, list ? 0 : i);
        memcpy(both, id, 4);
        memcpy(both + 4, text, strlen(text));
        rc = reply(c, o, NBD_REP_META_CONTEXT, both, 4 + strlen(text));
        mem_free(both);
    }
    if (!rc && !list) {
        memcpy(c->contexts, chosen, sizeof chosen);
        snprintf(c->context_export, sizeof c->context_export, "%s", name);
        c->has_contexts = true;
    }
    if (!rc) rc = ack(c, o);
out:
    nbd_export_put(c->server, x);
    mem_free(text);
    return rc;
}

/* ---- the dialogue --------------------------------------------------------------------------------- */

static int one_option(struct nbd_client *c, struct option *o, bool fixed)
{
    uint8_t head[16];
    int rc = nbd_chan_read(&c->chan, head, sizeof head);

    if (rc) return rc;
    if (ld64_be(head) != NBD_OPTION_MAGIC) return nbd_say(c->server, "bad magic number of an option"), -EPROTO;
    o->number = ld32_be(head + 8), o->len = ld32_be(head + 12);
    if (o->len > MAX_OPTION) {
        if (o->len > SKIP_LIMIT || o->number == NBD_OPT_EXPORT_NAME || !fixed) return -EMSGSIZE;
        rc = nbd_chan_skip(&c->chan, o->len);
        return rc ? rc : refuse(c, o, NBD_ERR_TOO_BIG, "too much data for an option");
    }
    rc = nbd_chan_read(&c->chan, o->data, o->len);
    if (rc) return rc;
    o->data[o->len] = 0;
    if (c->server->cfg.tls && !c->chan.tls) {
        if (o->number == NBD_OPT_EXPORT_NAME) return -EPERM;
        if (o->number != NBD_OPT_STARTTLS && o->number != NBD_OPT_ABORT)
            return refuse(c, o, NBD_ERR_TLS_REQD, "this server wants TLS first");
    }
    if (!fixed && o->number != NBD_OPT_EXPORT_NAME) return -EPROTO;
    switch (o->number) {
    case NBD_OPT_EXPORT_NAME: return opt_export_name(c, o);
    case NBD_OPT_ABORT: return ack(c, o), -ECONNABORTED;
    case NBD_OPT_LIST: return opt_list(c, o);
    case NBD_OPT_STARTTLS: return opt_starttls(c, o);
    case NBD_OPT_INFO:
    case NBD_OPT_GO: return opt_info(c, o);
    case NBD_OPT_STRUCTURED_REPLY: return opt_structured(c, o);
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT: return opt_contexts(c, o);
    default: return refuse(c, o, NBD_ERR_UNSUP, "this server does not know the option");
    }
}

int nbd_handshake(struct nbd_client *c)
{
    struct option *o = mem_alloc(sizeof *o);
    uint8_t hello[18], flags[4];
    uint32_t f;
    int rc;

    c->chan.deadline = loop_now_ns() + (uint64_t)c->server->cfg.handshake_ms * 1000000;
    st64_be(hello, NBD_MAGIC);
    st64_be(hello + 8, NBD_OPTION_MAGIC);
    st16_be(hello + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    rc = nbd_chan_write(&c->chan, hello, sizeof hello);
    if (!rc) rc = nbd_chan_read(&c->chan, flags, sizeof flags);
    f = rc ? 0 : ld32_be(flags);
    if (f & ~(uint32_t)(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)) rc = -EPROTO;
    c->no_zeroes = (f & NBD_FLAG_NO_ZEROES) != 0;
    while (!rc && !c->export) rc = one_option(c, o, (f & NBD_FLAG_FIXED_NEWSTYLE) != 0);
    c->chan.deadline = 0;
    mem_free(o);
    if (rc && rc != -ENOTCONN && rc != -ECONNABORTED) nbd_say(c->server, "negotiation failed: %s", strerror(-rc));
    return rc;
}
