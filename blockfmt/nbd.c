/*
 * nbd.c - protocol "nbd": a disk behind a Network Block Device server. Negotiation is nbd-client.c's; this is names,
 * requests, and the connection that may break.
 *
 * Any number of requests are in flight. A thread sends its request and waits; one of those that wait is the receiver: it
 * reads whatever answer comes, into the memory of the request it belongs to, wakes that one's thread, and hands its
 * office on when its own answer has come. No thread of the driver's own is needed, and a single request wakes nobody.
 *
 * A connection that breaks fails what is in flight, or, within reconnect-delay seconds, sends it again over a new one.
 * Every number from the server is checked: it may be hostile.
 */
#include "blockfmt/driver.h"
#include "blockfmt/nbd-client.h"
#include "blockfmt/uri.h"
#include "util/loop.h"
#include "util/sock.h"
#include "util/tls.h"

#include <stdio.h>
#include <time.h>

struct call {
    struct call *next;
    uint64_t cookie, offset;
    uint32_t len;
    enum nbd_command type;
    uint8_t *buf;             /* of reads */
    uint32_t got;             /* bytes of it that have come */
    uint32_t status_len, status;
    bool done, lost;          /* lost: the connection broke */
    int rc;
    pthread_cond_t cond;
};

struct nbd {
    struct sock_addr addr;
    struct tls_creds *tls;
    char *export, *tls_hostname, *context;
    uint64_t reconnect_ns;

    pthread_mutex_t send;     /* of whole requests; taken before `lock` */
    pthread_mutex_t lock;     /* of all below */
    pthread_cond_t changed;   /* connected, connecting, receiving */
    struct nbd_chan chan;
    struct nbd_export_info info;
    struct call *calls;       /* in flight */
    uint64_t serial, generation, lost_at, next_try;
    bool connected, connecting, receiving;
};

/* ---- the connection ------------------------------------------------------------------------------- */

static int dial(struct nbd *d, struct nbd_chan *chan, struct nbd_export_info *info, uint64_t deadline, struct error *e)
{
    struct nbd_request_for f = {.export = d->export, .tls = d->tls, .tls_hostname = d->tls_hostname, .context = d->context};
    int fd = sock_connect(&d->addr, e), rc;

    if (fd < 0) return fd;
    nbd_chan_init(chan, fd);
    chan->deadline = deadline;
    rc = nbd_negotiate(chan, &f, info, e);
    chan->deadline = 0;
    if (rc) nbd_chan_close(chan, false);
    return rc;
}

/* Under lock. All that is in flight ends here; but while there is a receiver, who may be writing to the memory of any
 * call, it only hears of it, and comes here itself. */
static void lost(struct nbd *d)
{
    if (d->connected) {
        d->connected = false;
        d->lost_at = loop_now_ns(), d->next_try = 0;
        nbd_chan_shutdown(&d->chan);
    }
    for (struct call *c = d->calls; c && !d->receiving; c = c->next) {
        if (c->done) continue;
        c->done = c->lost = true;
        c->rc = -EIO;
        pthread_cond_signal(&c->cond);
    }
    pthread_cond_broadcast(&d->changed);
}

/* Waits on the condition at most until t, of loop_now_ns. */
static void wait_until(struct nbd *d, uint64_t t)
{
    uint64_t now = loop_now_ns(), ns = t > now ? t - now : 0;
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    ns += (uint64_t)ts.tv_nsec;
    ts.tv_sec += (time_t)(ns / 1000000000), ts.tv_nsec = (long)(ns % 1000000000);
    pthread_cond_timedwait(&d->changed, &d->lock, &ts);
}

/* Under lock, which is given up meanwhile. Is the new export what the old one was? */
static void redial(struct nbd *d)
{
    struct nbd_chan chan;
    struct nbd_export_info info;
    bool ok;

    d->connecting = true;
    while (d->receiving) pthread_cond_wait(&d->changed, &d->lock);
    pthread_mutex_unlock(&d->lock);
    ok = !dial(d, &chan, &info, loop_now_ns() + UINT64_C(30000000000), NULL);
    if (ok && (info.size != d->info.size || (d->info.flags & ~info.flags & (NBD_SEND_FLUSH | NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES)) ||
               (info.flags & ~d->info.flags & NBD_READ_ONLY) || info.min_block > d->info.min_block ||
               info.max_block < d->info.max_block)) {
        nbd_chan_close(&chan, false); /* another disk */
        ok = false;
    }
    pthread_mutex_lock(&d->send); /* nobody is sending into the old one */
    pthread_mutex_lock(&d->lock);
    if (ok) {
        nbd_chan_close(&d->chan, false);
        d->chan = chan, d->info = info;
        d->connected = true, d->generation++;
    }
    pthread_mutex_unlock(&d->send);
    d->next_try = loop_now_ns() + 500000000;
    d->connecting = false;
    pthread_cond_broadcast(&d->changed);
}

/* Under lock. 0, or -EIO when there is no connection and time is up. */
static int connected(struct nbd *d)
{
    bool tried = false;

    while (!d->connected) {
        uint64_t now = loop_now_ns();
        if (d->connecting) {
            pthread_cond_wait(&d->changed, &d->lock);
            tried = true;
        } else if (now >= d->next_try && (!tried || now < d->lost_at + d->reconnect_ns)) {
            redial(d);
            tried = true;
        } else if (now < d->lost_at + d->reconnect_ns) {
            wait_until(d, d->next_try);
        } else {
            return -EIO;
        }
    }
    return 0;
}

/* ---- answers -------------------------------------------------------------------------------------- */

static struct call *find(struct nbd *d, uint64_t cookie)
{
    struct call *c;

    pthread_mutex_lock(&d->lock);
    for (c = d->calls; c && (c->cookie != cookie || c->done);) c = c->next;
    pthread_mutex_unlock(&d->lock);
    return c; /* its owner waits until we say that it is done */
}

static void finish(struct nbd *d, struct call *c)
{
    pthread_mutex_lock(&d->lock);
    c->done = true;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&d->lock);
}

static int chunk_data(struct nbd *d, struct call *c, unsigned type, uint32_t len)
{
    uint8_t head[12];
    uint64_t offset, n;
    int rc;

    if (c->type != NBD_CMD_READ || (type == NBD_CHUNK_HOLE ? len != 12 : len < 9)) return -EPROTO;
    rc = nbd_chan_read(&d->chan, head, type == NBD_CHUNK_HOLE ? 12 : 8);
    if (rc) return rc;
    offset = ld64_be(head), n = type == NBD_CHUNK_HOLE ? ld32_be(head + 8) : len - 8;
    if (offset < c->offset || offset - c->offset > c->len || n > c->len - (offset - c->offset) || n > c->len - c->got)
        return -EPROTO;
    c->got += (uint32_t)n;
    if (type == NBD_CHUNK_HOLE) return memset(c->buf + (offset - c->offset), 0, (size_t)n), 0;
    return nbd_chan_read(&d->chan, c->buf + (offset - c->offset), (size_t)n);
}

static int chunk_status(struct nbd *d, struct call *c, uint32_t len)
{
    uint8_t head[12];
    int rc;

    if (c->type != NBD_CMD_BLOCK_STATUS || len < 12 || (len - 4) % 8 || c->status_len) return -EPROTO;
    rc = nbd_chan_read(&d->chan, head, sizeof head);
    if (rc) return rc;
    if (ld32_be(head) != d->info.context_id || !ld32_be(head + 4)) return -EPROTO;
    c->status_len = ld32_be(head + 4), c->status = ld32_be(head + 8);
    return nbd_chan_skip(&d->chan, len - 12);
}

static int chunk(struct nbd *d, struct call *c, unsigned flags, unsigned type, uint32_t len)
{
    uint8_t head[6];
    int rc;

    switch (type) {
    case NBD_CHUNK_NONE: rc = len || !(flags & NBD_CHUNK_DONE) ? -EPROTO : 0; break;
    case NBD_CHUNK_DATA:
    case NBD_CHUNK_HOLE: rc = chunk_data(d, c, type, len); break;
    case NBD_CHUNK_STATUS: rc = chunk_status(d, c, len); break;
    default:
        if (!(type & NBD_CHUNK_IS_ERROR) || len < 6 || len > NBD_MAX_STRING + 64) return -EPROTO;
        rc = nbd_chan_read(&d->chan, head, sizeof head);
        if (rc) return rc;
        if (!c->rc) c->rc = nbd_errno_in(ld32_be(head));
        if (!c->rc) c->rc = -EIO; /* an error without a number */
        rc = nbd_chan_skip(&d->chan, len - 6);
    }
    return rc;
}

/* Reads one answer and gives it to whom it belongs. Nonzero: the connection is of no use any more. */
static int receive(struct nbd *d)
{
    uint8_t head[NBD_CHUNK_SIZE];
    struct call *c;
    uint32_t magic;
    int rc = nbd_chan_read(&d->chan, head, NBD_SIMPLE_SIZE);

    if (rc) return rc;
    magic = ld32_be(head);
    c = find(d, ld64_be(head + 8));
    if (!c) return -EPROTO;
    if (magic == NBD_SIMPLE_MAGIC) {
        if (d->info.structured && (c->type == NBD_CMD_READ || c->type == NBD_CMD_BLOCK_STATUS)) return -EPROTO;
        c->rc = nbd_errno_in(ld32_be(head + 4));
        if (!c->rc && c->type == NBD_CMD_READ) {
            rc = nbd_chan_read(&d->chan, c->buf, c->len);
            c->got = c->len;
        }
        if (!rc) finish(d, c);
        return rc;
    }
    if (magic != NBD_STRUCTURED_MAGIC || !d->info.structured) return -EPROTO;
    rc = nbd_chan_read(&d->chan, head + NBD_SIMPLE_SIZE, NBD_CHUNK_SIZE - NBD_SIMPLE_SIZE);
    if (!rc) rc = chunk(d, c, ld16_be(head + 4), ld16_be(head + 6), ld32_be(head + 16));
    if (!rc && (ld16_be(head + 4) & NBD_CHUNK_DONE)) {
        if (!c->rc && c->type == NBD_CMD_READ && c->got != c->len) return -EPROTO;
        if (!c->rc && c->type == NBD_CMD_BLOCK_STATUS && !c->status_len) c->rc = -EIO;
        finish(d, c);
    }
    return rc;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static void send_call(struct nbd *d, struct call *c, unsigned flags, const void *data, uint64_t generation)
{
    uint8_t head[NBD_REQUEST_SIZE];
    bool ours;
    int rc = 0;

    st32_be(head, NBD_REQUEST_MAGIC);
    st16_be(head + 4, (uint16_t)flags);
    st16_be(head + 6, (uint16_t)c->type);
    st64_be(head + 8, c->cookie);
    st64_be(head + 16, c->offset);
    st32_be(head + 24, c->len);
    pthread_mutex_lock(&d->send);
    pthread_mutex_lock(&d->lock);
    ours = d->connected && d->generation == generation && !c->done;
    pthread_mutex_unlock(&d->lock);
    if (ours) rc = nbd_chan_write2(&d->chan, head, sizeof head, data, data ? c->len : 0);
    pthread_mutex_unlock(&d->send);
    if (!rc) return;
    pthread_mutex_lock(&d->lock);
    if (d->generation == generation) lost(d);
    pthread_mutex_unlock(&d->lock);
}

static void await(struct nbd *d, struct call *c)
{
    while (!c->done) {
        if (d->receiving) {
            pthread_cond_wait(&c->cond, &d->lock);
            continue;
        }
        int rc = 0;
        d->receiving = true;
        while (!rc && !c->done) {
            pthread_mutex_unlock(&d->lock);
            rc = receive(d);
            pthread_mutex_lock(&d->lock);
        }
        d->receiving = false;
        if (rc || !d->connected) lost(d);
        if (d->connecting) pthread_cond_broadcast(&d->changed);
    }
}

static int submit(struct nbd *d, enum nbd_command type, unsigned flags, uint64_t offset, uint32_t len, void *buf,
                  const void *data, struct call *result)
{
    struct call c = {.type = type, .offset = offset, .len = len};
    struct call **p;
    int rc;

    pthread_cond_init(&c.cond, NULL);
    pthread_mutex_lock(&d->lock);
    do {
        rc = connected(d);
        if (rc) break;
        c.cookie = ++d->serial, c.buf = buf, c.got = 0, c.status_len = 0, c.rc = 0, c.done = c.lost = false;
        c.next = d->calls;
        d->calls = &c;
        uint64_t generation = d->generation;
        pthread_mutex_unlock(&d->lock);
        send_call(d, &c, flags, data, generation);
        pthread_mutex_lock(&d->lock);
        await(d, &c);
        for (p = &d->calls; *p != &c;) p = &(*p)->next;
        *p = c.next;
        for (struct call *x = d->calls; x && !d->receiving; x = x->next) {
            if (x->done) continue;
            pthread_cond_signal(&x->cond); /* it receives now */
            break;
        }
        rc = c.rc;
    } while (c.lost && d->reconnect_ns && loop_now_ns() < d->lost_at + d->reconnect_ns);
    pthread_mutex_unlock(&d->lock);
    pthread_cond_destroy(&c.cond);
    if (result) *result = c;
    return rc;
}

static int nbd_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct nbd *d = blk_state(n);
    uint64_t size = d->info.size;

    if (offset + len > size) { /* the rest of the last sector */
        size_t have = offset < size ? (size_t)(size - offset) : 0;
        memset((uint8_t *)buf + have, 0, len - have);
        len = have;
    }
    return len ? submit(d, NBD_CMD_READ, 0, offset, (uint32_t)len, buf, NULL, NULL) : 0;
}

static int nbd_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    if (flags & BLK_RESIZE) return -ENOSPC;
    return submit(blk_state(n), NBD_CMD_WRITE, 0, offset, (uint32_t)len, NULL, buf, NULL);
}

/* Requests without data, in parts that 32 bits can say. */
static int ranged(struct blk_node *n, enum nbd_command type, unsigned flags, uint64_t offset, uint64_t len)
{
    struct nbd *d = blk_state(n);
    int rc = 0;

    while (len && !rc) {
        uint32_t k = (uint32_t)MIN(len, UINT64_C(1) << 30);
        rc = submit(d, type, flags, offset, k, NULL, NULL, NULL);
        offset += k, len -= k;
    }
    return rc;
}

static int nbd_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct nbd *d = blk_state(n);
    unsigned f = flags & BLK_MAY_UNMAP ? 0 : NBD_CMD_NO_HOLE;

    if (flags & BLK_RESIZE) return -ENOSPC;
    if (!(d->info.flags & NBD_SEND_WRITE_ZEROES)) return -ENOTSUP;
    if (flags & BLK_NO_FALLBACK) {
        if (!(d->info.flags & NBD_SEND_FAST_ZERO)) return -ENOTSUP;
        f |= NBD_CMD_FAST_ZERO;
    }
    return ranged(n, NBD_CMD_WRITE_ZEROES, f, offset, len);
}

static int nbd_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    struct nbd *d = blk_state(n);
    return d->info.flags & NBD_SEND_TRIM ? ranged(n, NBD_CMD_TRIM, 0, offset, len) : -ENOTSUP;
}

static int nbd_flush(struct blk_node *n)
{
    struct nbd *d = blk_state(n);

    if ((blk_node_flags(n) & BLK_NO_FLUSH) || !(d->info.flags & NBD_SEND_FLUSH)) return 0;
    return submit(d, NBD_CMD_FLUSH, 0, 0, 0, NULL, NULL, NULL);
}

static int nbd_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct nbd *d = blk_state(n);
    uint64_t a = d->info.min_block, start = ALIGN_DOWN(offset, a), end = MIN(ALIGN_UP(offset + len, a), d->info.size);
    struct call c;
    int rc;

    st->flags = BLK_ST_DATA | BLK_ST_OFFSET;
    st->offset = offset, st->file = n;
    if (!d->info.has_context || start >= end) return 0;
    end = MIN(end, start + (UINT64_C(1) << 31));
    rc = submit(d, NBD_CMD_BLOCK_STATUS, NBD_CMD_REQ_ONE, start, (uint32_t)(end - start), NULL, NULL, &c);
    if (rc) return rc;
    if (start + c.status_len <= offset) return -EIO; /* not a multiple of its own block size */
    st->bytes = MIN(len, start + c.status_len - offset);
    st->flags = BLK_ST_OFFSET | (c.status & NBD_STATE_HOLE ? 0 : BLK_ST_DATA) | (c.status & NBD_STATE_ZERO ? BLK_ST_ZERO : 0);
    return 0;
}

static int nbd_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    if (size == blk_node_size(n)) return 0;
    return error_set(e, "Cannot resize NBD nodes"), -ENOTSUP;
}

/* ---- names ---------------------------------------------------------------------------------------- */

static int set_part(struct opts *o, const char *key, const char *s, size_t n, struct error *e)
{
    char *v = uri_unescape(s, n);

    if (!v) return error_set(e, "'%.*s' is not a well-formed part of a URI", (int)n, s), -EINVAL;
    opts_set(o, key, v);
    mem_free(v);
    return 0;
}

static int parse_uri(const char *filename, struct opts *o, struct error *e)
{
    bool local = !strncmp(filename, "nbd+unix:", 9);
    const char *p = strstr(filename, "://") + 3, *query = strchr(p, '?'), *end = query ? query : p + strlen(p);
    const char *slash = memchr(p, '/', (size_t)(end - p)), *host_end = slash ? slash : end, *colon;

    if (slash && slash + 1 < end && set_part(o, "export", slash + 1, (size_t)(end - slash - 1), e)) return -EINVAL;
    if (local) {
        const char *path = query && !strncmp(query, "?socket=", 8) ? query + 8 : NULL;
        if (!path || host_end != p || strchr(path, '&'))
            return error_set(e, "'%s' is not of the form nbd+unix:///[EXPORT]?socket=PATH", filename), -EINVAL;
        opts_set(o, "server.type", "unix");
        return set_part(o, "server.path", path, strlen(path), e);
    }
    if (query) return error_set(e, "a question mark has no meaning in '%s'", filename), -EINVAL;
    opts_set(o, "server.type", "inet");
    colon = host_end;
    if (*p == '[') { /* an IPv6 address */
        const char *close = memchr(p, ']', (size_t)(host_end - p));
        if (!close || (close + 1 != host_end && close[1] != ':')) return error_set(e, "'%s' has a malformed address", filename), -EINVAL;
        colon = close + 1;
        p++;
        if (set_part(o, "server.host", p, (size_t)(close - p), e)) return -EINVAL;
    } else {
        const char *c = memchr(p, ':', (size_t)(host_end - p));
        if (c) colon = c;
        if (set_part(o, "server.host", p, (size_t)(colon - p), e)) return -EINVAL;
    }
    if (colon < host_end) return set_part(o, "server.port", colon + 1, (size_t)(host_end - colon - 1), e);
    opts_set(o, "server.port", "10809");
    return 0;
}

/* nbd:HOST:PORT[:exportname=NAME], nbd:unix:PATH[:exportname=NAME] */
static int parse_filename(const char *filename, struct opts *o, struct error *e)
{
    const char *p = strchr(filename, ':') + 1, *name, *colon;
    char *where, *host;
    int rc = 0;

    if (strstr(filename, "://")) return parse_uri(filename, o, e);
    name = strstr(p, ":exportname=");
    where = name ? mem_printf("%.*s", (int)(name - p), p) : mem_strdup(p);
    if (name) opts_set(o, "export", name + 12);
    if (!strncmp(where, "unix:", 5)) {
        opts_set(o, "server.type", "unix");
        opts_set(o, "server.path", where + 5);
    } else if ((colon = strrchr(where, ':')) && colon[1]) {
        bool bracket = *where == '[' && colon > where + 1 && colon[-1] == ']';
        host = bracket ? mem_printf("%.*s", (int)(colon - where - 2), where + 1) : mem_printf("%.*s", (int)(colon - where), where);
        opts_set(o, "server.type", "inet");
        opts_set(o, "server.host", host);
        opts_set(o, "server.port", colon + 1);
        mem_free(host);
    } else {
        error_set(e, "'%s' names neither a host and a port nor a Unix socket", filename), rc = -EINVAL;
    }
    mem_free(where);
    return rc;
}

static void set_name(struct blk_node *n, const struct nbd *d)
{
    char *s;

    if (d->addr.local)
        s = mem_printf(*d->export ? "nbd+unix:///%s?socket=%s" : "nbd+unix://%s?socket=%s", d->export, d->addr.path);
    else
        s = mem_printf(*d->export ? "nbd://%s:%s/%s" : "nbd://%s:%s%s", d->addr.host, d->addr.port, d->export);
    blk_set_filename(n, s);
    mem_free(s);
}

/* ---- opening -------------------------------------------------------------------------------------- */

static void release(struct nbd *d)
{
    sock_addr_free(&d->addr);
    tls_creds_unref(d->tls);
    mem_free(d->export);
    mem_free(d->tls_hostname);
    mem_free(d->context);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->send);
    pthread_mutex_destroy(&d->lock);
}

static int take_opts(struct blk_node *n, struct nbd *d, const struct opts *o, struct error *e)
{
    struct opts server = opts_below(o, "server");
    const char *s;
    int rc;

    for (int i = 0; i < 3; i++) { /* the old way */
        static const char *const old[] = {"host", "port", "path"};
        if ((s = opts_get(o, old[i]))) opts_set(&server, old[i], s);
    }
    if (!server.n) error_set(e, "NBD server address missing"), rc = -EINVAL;
    else rc = sock_addr_from_opts(&d->addr, &server, e);
    opts_free(&server);
    if (rc) return rc;
    if (!d->addr.local && !d->addr.port) d->addr.port = mem_strdup("10809");
    if (!d->addr.local && !d->addr.host) d->addr.host = mem_strdup("localhost");
    d->export = mem_strdup((s = opts_get(o, "export")) ? s : "");
    if (strlen(d->export) > NBD_MAX_STRING) return error_set(e, "export name too long to send to server"), -EINVAL;
    d->context = mem_strdup((s = opts_get(o, "x-dirty-bitmap")) ? s : NBD_BASE_ALLOCATION);
    if (strlen(d->context) > NBD_MAX_STRING) return error_set(e, "x-dirty-bitmap query too long to send to server"), -EINVAL;
    d->reconnect_ns = opts_number(o, "reconnect-delay", 0);
    if (d->reconnect_ns > UINT32_MAX) return error_set(e, "reconnect-delay is too large"), -EINVAL;
    d->reconnect_ns *= 1000000000;
    s = opts_get(o, "tls-creds");
    if (s && !(d->tls = blk_object_find(blk_node_graph(n), "tls-creds", s)))
        return error_set(e, "No TLS credentials with id '%s'", s), -ENOENT;
    if (d->tls) tls_creds_ref(d->tls);
    if (d->tls && tls_creds_server(d->tls)) return error_set(e, "Expecting TLS credentials with a client endpoint"), -EINVAL;
    s = opts_get(o, "tls-hostname");
    if (s && !d->tls) return error_set(e, "tls-hostname without tls-creds"), -EINVAL;
    if (!s && d->tls && !d->addr.local) s = d->addr.host;
    if (d->tls && !s && tls_creds_x509(d->tls))
        return error_set(e, "tls-hostname is needed: a Unix socket has no name for the certificate to show"), -EINVAL;
    if (s) d->tls_hostname = mem_strdup(s);
    return 0;
}

static int open_connection(struct nbd *d, uint64_t timeout_ns, struct error *e)
{
    uint64_t end = loop_now_ns() + timeout_ns;

    for (;;) {
        struct error why = ERROR_INIT;
        int rc = dial(d, &d->chan, &d->info, timeout_ns ? end : 0, &why);
        struct timespec nap = {0, 100000000};
        if (!rc) return 0;
        if (!timeout_ns || loop_now_ns() >= end || (rc != -ECONNREFUSED && rc != -ENOENT && rc != -EHOSTUNREACH)) {
            error_set(e, "%s", why.msg);
            if (*why.hint) error_hint(e, "%s", why.hint);
            return rc;
        }
        nanosleep(&nap, NULL);
    }
}

static int nbd_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct nbd *d = blk_state(n);
    int rc;

    pthread_mutex_init(&d->send, NULL);
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->changed, NULL);
    rc = take_opts(n, d, o, e);
    if (!rc) rc = open_connection(d, MIN(opts_number(o, "open-timeout", 0), (uint64_t)UINT32_MAX) * 1000000000, e);
    if (!rc && !(flags & BLK_RDONLY) && (d->info.flags & NBD_READ_ONLY)) {
        error_set(e, "request for write access denied: the NBD export is read-only"), rc = -EACCES;
        nbd_chan_close(&d->chan, true);
    }
    if (!rc && opts_get(o, "x-dirty-bitmap") && !d->info.has_context) {
        error_set(e, "requested x-dirty-bitmap %s not found", d->context), rc = -EINVAL;
        nbd_chan_close(&d->chan, true);
    }
    if (rc) {
        release(d);
        return rc;
    }
    d->connected = true;
    blk_set_size(n, d->info.size);
    /* Data have to fit the buffers of any server: 32 MiB unless it says less. */
    blk_set_limits(n, d->info.min_block, ALIGN_DOWN(MIN(d->info.max_block, (uint32_t)NBD_MAX_DATA), d->info.min_block));
    set_name(n, d);
    return 0;
}

static void nbd_close(struct blk_node *n)
{
    struct nbd *d = blk_state(n);

    if (d->connected) {
        uint8_t head[NBD_REQUEST_SIZE] = {0};
        st32_be(head, NBD_REQUEST_MAGIC);
        st16_be(head + 6, NBD_CMD_DISC);
        (void)nbd_chan_write(&d->chan, head, sizeof head);
    }
    nbd_chan_close(&d->chan, d->connected);
    release(d);
}

static int nbd_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    struct nbd *d = blk_state(n);
    if (!(flags & BLK_RDONLY) && (d->info.flags & NBD_READ_ONLY))
        return error_set(e, "Can't reopen read-only NBD mount as read/write"), -EACCES;
    return 0;
}

static const struct opt_desc nbd_opts[] = {
    {"server.*", OPT_STRING, "address: type (inet, unix), host, port, path"},
    {"host", OPT_STRING, "server.host"},
    {"port", OPT_STRING, "server.port"},
    {"path", OPT_STRING, "server.path"},
    {"export", OPT_STRING, "name of the export"},
    {"tls-creds", OPT_STRING, "id of the TLS credentials"},
    {"tls-hostname", OPT_STRING, "whom the server's certificate has to name"},
    {"x-dirty-bitmap", OPT_STRING, "metadata context to show in place of base:allocation"},
    {"reconnect-delay", OPT_NUMBER, "seconds for which requests wait for a lost server"},
    {"open-timeout", OPT_NUMBER, "seconds to wait for the server at first"},
    {NULL, OPT_STRING, NULL},
};

static const char *const nbd_prefixes[] = {"nbd", "nbd+tcp", "nbd+unix", NULL};
const struct blk_driver blk_drv_nbd = {
    .name = "nbd", .kind = BLK_PROTOCOL, .locking = BLK_LOCK_OWN, .state_size = sizeof(struct nbd), .open_opts = nbd_opts,
    .prefixes = nbd_prefixes, .parse_filename = parse_filename, .open = nbd_open, .close = nbd_close, .reopen = nbd_reopen,
    .read = nbd_read, .write = nbd_write, .zero = nbd_zero, .discard = nbd_discard, .flush = nbd_flush,
    .status = nbd_status, .truncate = nbd_truncate,
};
