/*
 * nbd-server.c - exports and clients of the NBD server (see nbd-server.h). One thread accepts; each client has a thread,
 * and more when its requests are slow (nbd-session.c).
 */
#include "blockfmt/nbd-server-impl.h"
#include "util/sock.h"
#include "util/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

void nbd_say(struct nbd_server *s, const char *fmt, ...)
{
    char buf[512];
    va_list ap;

    if (!s->cfg.message) return;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    for (char *p = buf; *p; p++) {
        if ((uint8_t)*p < ' ' || *p == 127) *p = '?'; /* a client's words on somebody's terminal */
    }
    s->cfg.message(s->cfg.opaque, buf);
}

/* ---- exports -------------------------------------------------------------------------------------- */

struct nbd_export *nbd_export_get(struct nbd_server *s, const char *name)
{
    struct nbd_export *x;

    pthread_mutex_lock(&s->lock);
    for (x = s->exports; x; x = x->next) {
        if (!x->removed && !strcmp(x->name, name)) break;
    }
    if (x) x->users++;
    pthread_mutex_unlock(&s->lock);
    return x;
}

void nbd_export_put(struct nbd_server *s, struct nbd_export *x)
{
    if (!x) return;
    pthread_mutex_lock(&s->lock);
    x->users--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

unsigned nbd_export_flags(const struct nbd_server *s, const struct nbd_export *x, bool structured)
{
    unsigned flags = NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_SEND_FUA | NBD_SEND_CACHE;

    if (structured) flags |= NBD_SEND_DF;
    if (x->writable) flags |= NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES | NBD_SEND_FAST_ZERO;
    else flags |= NBD_READ_ONLY;
    /* All clients use one backend: what one has written and flushed the others see. */
    if (s->cfg.multi_conn) flags |= NBD_CAN_MULTI_CONN;
    return flags;
}

static void export_free(struct nbd_export *x)
{
    for (unsigned i = 0; i < x->bitmap_count; i++) {
        blk_bitmap_set_flags(x->bitmaps[i], blk_bitmap_flags(x->bitmaps[i]) & ~(unsigned)BLK_BITMAP_BUSY);
        mem_free(x->bitmap_names[i]);
    }
    mem_free(x->name);
    mem_free(x->description);
    mem_free(x);
}

static int take_bitmap(struct nbd_export *x, const char *name, struct error *e)
{
    struct blk_bitmap *b = NULL;

    for (struct blk_node *n = blk_root(x->blk); n && !b; n = blk_node_backing(n)) {
        for (struct blk_node *f = n; f && !b; f = blk_node_child(f, "file")) b = blk_bitmap_find(f, name);
    }
    if (!b) return error_set(e, "Bitmap '%s' is not found", name), -ENOENT;
    if (x->bitmap_count == ARRAY_LEN(x->bitmaps)) return error_set(e, "too many bitmaps"), -EINVAL;
    if (strlen(name) > NBD_MAX_STRING - 32) return error_set(e, "Bitmap name '%s' is too long", name), -EINVAL;
    if (blk_bitmap_flags(b) & BLK_BITMAP_INCONSISTENT) {
        error_set(e, "Bitmap '%s' is inconsistent and cannot be used", name);
        return -EINVAL;
    }
    if (blk_bitmap_flags(b) & BLK_BITMAP_BUSY)
        return error_set(e, "Bitmap '%s' is currently in use by another operation and cannot be used", name), -EBUSY;
    blk_bitmap_set_flags(b, blk_bitmap_flags(b) | BLK_BITMAP_BUSY);
    x->bitmap_names[x->bitmap_count] = mem_strdup(name);
    x->bitmaps[x->bitmap_count++] = b;
    return 0;
}

int nbd_server_add(struct nbd_server *s, struct blk_backend *blk, const struct nbd_export_config *cfg, struct error *e)
{
    struct nbd_export *x, **p;
    int rc = 0;

    if (strlen(cfg->name) > NBD_MAX_STRING) return error_set(e, "export name is too long"), -EINVAL;
    if (cfg->description && strlen(cfg->description) > NBD_MAX_STRING)
        return error_set(e, "export description is too long"), -EINVAL;
    if (cfg->writable && blk_readonly(blk)) return error_set(e, "Cannot export read-only node as writable"), -EROFS;
    x = NEW(struct nbd_export);
    x->name = mem_strdup(cfg->name), x->description = mem_strdup(cfg->description ? cfg->description : "");
    x->blk = blk, x->writable = cfg->writable, x->depth = cfg->allocation_depth, x->size = blk_size(blk);
    for (const char *const *b = cfg->bitmaps; b && *b && !rc; b++) rc = take_bitmap(x, *b, e);
    pthread_mutex_lock(&s->lock);
    for (p = &s->exports; *p && !rc; p = &(*p)->next) {
        if (!strcmp((*p)->name, x->name)) error_set(e, "NBD server already has export named '%s'", x->name), rc = -EEXIST;
    }
    if (!rc) *p = x;
    pthread_mutex_unlock(&s->lock);
    if (rc) export_free(x);
    return rc;
}

int nbd_server_remove(struct nbd_server *s, const char *name, bool hard, struct error *e)
{
    struct nbd_export **p, *x;

    pthread_mutex_lock(&s->lock);
    for (p = &s->exports; *p && strcmp((*p)->name, name);) p = &(*p)->next;
    x = *p;
    if (!x || x->removed || (x->users && !hard)) {
        pthread_mutex_unlock(&s->lock);
        if (!x || x->removed) return error_set(e, "Export '%s' is not found", name), -ENOENT;
        return error_set(e, "export '%s' still in use", name), -EBUSY;
    }
    x->removed = true;
    for (struct nbd_client *c = s->clients; c; c = c->next) {
        if (c->export == x) nbd_chan_shutdown(&c->chan);
    }
    while (x->users) pthread_cond_wait(&s->changed, &s->lock);
    for (p = &s->exports; *p != x;) p = &(*p)->next;
    *p = x->next;
    pthread_mutex_unlock(&s->lock);
    export_free(x);
    return 0;
}

/* ---- clients -------------------------------------------------------------------------------------- */

static void wake(struct nbd_server *s)
{
    ssize_t n = write(s->wake[1], "", 1);
    (void)n; /* full: it wakes anyway */
}

static struct nbd_client *client_new(struct nbd_server *s, int fd)
{
    struct nbd_client *c = NEW(struct nbd_client);
    unsigned n;

    sock_tune(fd);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    c->server = s;
    nbd_chan_init(&c->chan, fd);
    pthread_mutex_lock(&s->lock);
    c->next = s->clients;
    s->clients = c;
    n = ++s->client_count;
    if (s->stopping) nbd_chan_shutdown(&c->chan);
    pthread_mutex_unlock(&s->lock);
    if (s->cfg.clients_changed) s->cfg.clients_changed(s->cfg.opaque, n);
    return c;
}

static void client_run(struct nbd_client *c)
{
    struct nbd_server *s = c->server;
    struct nbd_client **p;
    unsigned n;
    int rc = nbd_handshake(c);

    if (!rc) nbd_session(c);
    pthread_mutex_lock(&s->lock); /* from here on nobody shuts its socket down, which may soon be another's */
    for (p = &s->clients; *p != c;) p = &(*p)->next;
    *p = c->next;
    pthread_mutex_unlock(&s->lock);
    nbd_chan_close(&c->chan, !rc);
    nbd_export_put(s, c->export);
    mem_free(c);
    pthread_mutex_lock(&s->lock);
    n = --s->client_count;
    pthread_mutex_unlock(&s->lock);
    if (s->cfg.clients_changed) s->cfg.clients_changed(s->cfg.opaque, n);
    pthread_mutex_lock(&s->lock);
    wake(s); /* there may be room for another */
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void *client_thread(void *opaque)
{
    struct nbd_client *c = opaque;
    struct nbd_server *s = c->server;

    client_run(c);
    pthread_mutex_lock(&s->lock);
    s->threads--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Signals are for the threads of the program, not the server's. */
static int start(pthread_t *id, void *(*fn)(void *), void *opaque, bool detached)
{
    sigset_t all, old;
    pthread_attr_t attr;
    int rc;

    sigfillset(&all);
    pthread_attr_init(&attr);
    if (detached) pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(id, &attr, fn, opaque);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return -rc;
}

int nbd_server_client(struct nbd_server *s, int fd)
{
    struct nbd_client *c = client_new(s, fd), **p;
    pthread_t id;
    int rc;

    pthread_mutex_lock(&s->lock);
    s->threads++;
    pthread_mutex_unlock(&s->lock);
    rc = start(&id, client_thread, c, true);
    if (!rc) return 0;
    pthread_mutex_lock(&s->lock);
    for (p = &s->clients; *p != c;) p = &(*p)->next;
    *p = c->next;
    s->threads--, s->client_count--;
    pthread_mutex_unlock(&s->lock);
    nbd_chan_close(&c->chan, false);
    mem_free(c);
    return rc;
}

void nbd_server_serve(struct nbd_server *s, int fd) { client_run(client_new(s, fd)); }

/* ---- listening ------------------------------------------------------------------------------------ */

static void *accept_thread(void *opaque)
{
    struct nbd_server *s = opaque;
    struct pollfd p[1 + ARRAY_LEN(s->listen_fds)];

    for (;;) {
        unsigned n = 1;
        char drop[64];
        pthread_mutex_lock(&s->lock);
        bool stop = s->stopping, full = s->cfg.max_clients && s->client_count >= s->cfg.max_clients;
        for (unsigned i = 0; i < s->listen_count && !full; i++)
            p[n++] = (struct pollfd){.fd = s->listen_fds[i], .events = POLLIN};
        pthread_mutex_unlock(&s->lock);
        if (stop) return NULL;
        p[0] = (struct pollfd){.fd = s->wake[0], .events = POLLIN};
        if (poll(p, n, -1) < 0) continue;
        if (p[0].revents && read(s->wake[0], drop, sizeof drop) < 0) continue;
        for (unsigned i = 1; i < n; i++) {
            if (!p[i].revents) continue;
            int fd = accept(p[i].fd, NULL, NULL);
            if (fd >= 0) (void)nbd_server_client(s, fd);
            /* No descriptors left, or the like: not in a circle. */
            else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) poll(NULL, 0, 100);
            break; /* the number of clients is looked at again */
        }
    }
}

void nbd_server_listen(struct nbd_server *s, int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    pthread_mutex_lock(&s->lock);
    if (s->listen_count < ARRAY_LEN(s->listen_fds)) s->listen_fds[s->listen_count++] = fd;
    else close(fd);
    if (!s->accepting) s->accepting = !start(&s->acceptor, accept_thread, s, false);
    else wake(s);
    pthread_mutex_unlock(&s->lock);
}

struct nbd_server *nbd_server_new(const struct nbd_server_config *cfg, struct error *e)
{
    struct nbd_server *s = NEW(struct nbd_server);

    s->cfg = *cfg;
    if (!s->cfg.handshake_ms) s->cfg.handshake_ms = 30000;
    if (cfg->tls && !tls_creds_server(cfg->tls)) {
        error_set(e, "Expecting TLS credentials with a server endpoint");
        mem_free(s);
        return NULL;
    }
    if (pipe(s->wake)) {
        error_set(e, "could not create a pipe: %s", strerror(errno));
        mem_free(s);
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(s->wake[i], F_SETFL, O_NONBLOCK);
        fcntl(s->wake[i], F_SETFD, FD_CLOEXEC);
    }
    if (s->cfg.tls) tls_creds_ref(s->cfg.tls);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    return s;
}

void nbd_server_delete(struct nbd_server *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    wake(s);
    for (struct nbd_client *c = s->clients; c; c = c->next) nbd_chan_shutdown(&c->chan);
    pthread_mutex_unlock(&s->lock);
    if (s->accepting) pthread_join(s->acceptor, NULL);
    pthread_mutex_lock(&s->lock);
    for (struct nbd_client *c = s->clients; c; c = c->next) nbd_chan_shutdown(&c->chan); /* those accepted last */
    while (s->client_count || s->threads) pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->listen_count; i++) close(s->listen_fds[i]);
    while (s->exports) {
        struct nbd_export *x = s->exports;
        s->exports = x->next;
        export_free(x);
    }
    close(s->wake[0]);
    close(s->wake[1]);
    tls_creds_unref(s->cfg.tls);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}
