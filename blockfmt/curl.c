/*
 * curl.c - protocols "http", "https", "ftp" and "ftps": images on a server, read by ranges with libcurl. The one file
 * that knows that library.
 *
 * What is read comes with the bytes that follow it (readahead), into one of a few buffers, each with a connection of its
 * own that is kept; requests that find their bytes in a buffer cost nothing. Requests run beside each other.
 */
#include "blockfmt/driver.h"
#include "util/lazy.h"
#include "config.h"

static int curl_parse(const char *filename, struct opts *o, struct error *e)
{
    opts_set(o, "url", filename);
    return 0;
}

static const struct opt_desc curl_opts[] = {
    {"url", OPT_STRING, "where the image is"},
    {"readahead", OPT_SIZE, "bytes to fetch at least (256k)"},
    {"timeout", OPT_NUMBER, "seconds without an answer (5)"},
    {"username", OPT_STRING, "who asks"},
    {"password-secret", OPT_STRING, "id of the secret with the password"},
    {"proxy-username", OPT_STRING, "who asks the proxy"},
    {"proxy-password-secret", OPT_STRING, "id of the secret with the proxy's password"},
    {"sslverify", OPT_BOOL, "check the server's certificate (on)"},
    {"cookie", OPT_STRING, "cookies, name=value; ..."},
    {"cookie-secret", OPT_STRING, "id of the secret with the cookies"},
    {"force-range", OPT_BOOL, "http: ask for ranges though the server does not say that it has them"},
    {NULL, OPT_STRING, NULL},
};

#ifdef HAVE_CURL

#define CURL_DISABLE_TYPECHECK /* calls go through pointers */
#include <curl/curl.h>
#include <stdio.h>
#include <strings.h>

#ifdef QUERN_SO_CURL
#define FUNCTIONS(X) X(curl_easy_cleanup) X(curl_easy_getinfo) X(curl_easy_init) X(curl_easy_perform) \
    X(curl_easy_setopt) X(curl_easy_strerror) X(curl_global_init)
LAZY_LIBRARY(FUNCTIONS, QUERN_SO_CURL)
#define L(f) lib.f
#define load_library(e) lazy_load(&lazy, e)
#else
#define L(f) f
#define load_library(e) 0
#endif

enum { SLOTS = 8, MAX_FETCH = 32 << 20 };

struct slot {
    CURL *easy;
    uint8_t *buf;
    size_t room, len, want;  /* len bytes are there, want are being fetched */
    uint64_t start, used;
    bool busy;
    char why[CURL_ERROR_SIZE];
};

struct web {
    char *url, *user, *password, *proxy_user, *proxy_password, *cookie;
    uint64_t size, clock;
    size_t readahead;
    long timeout;
    bool verify, ranges;     /* ranges: the server says that it has them */
    pthread_mutex_t lock;    /* of the slots but for the bytes of busy ones */
    pthread_cond_t idle;
    struct slot slots[SLOTS];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void start_library(void) { L(curl_global_init)(CURL_GLOBAL_DEFAULT); }

static size_t on_body(char *p, size_t size, size_t count, void *opaque)
{
    struct slot *s = opaque;
    size_t n = size * count;

    if (n > s->want - s->len) return 0; /* more than was asked for: the whole file, perhaps */
    memcpy(s->buf + s->len, p, n);
    s->len += n;
    return n;
}

static size_t on_header(char *p, size_t size, size_t count, void *opaque)
{
    struct web *w = opaque;
    size_t n = size * count;

    if (n > 14 && !strncasecmp(p, "accept-ranges:", 14)) {
        for (p += 14, n -= 14; n && (*p == ' ' || *p == '\t'); p++) n--;
        if (n >= 5 && !strncasecmp(p, "bytes", 5)) w->ranges = true;
    }
    return size * count;
}

static CURL *new_handle(struct web *w, char *why)
{
    CURL *h = L(curl_easy_init)();

    if (!h) return NULL;
    L(curl_easy_setopt)(h, CURLOPT_URL, w->url);
#if LIBCURL_VERSION_NUM >= 0x075500
    L(curl_easy_setopt)(h, CURLOPT_PROTOCOLS_STR, "http,https,ftp,ftps");
    L(curl_easy_setopt)(h, CURLOPT_REDIR_PROTOCOLS_STR, "http,https,ftp,ftps");
#else
    L(curl_easy_setopt)(h, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS | CURLPROTO_FTP | CURLPROTO_FTPS));
    L(curl_easy_setopt)(h, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS | CURLPROTO_FTP | CURLPROTO_FTPS));
#endif
    L(curl_easy_setopt)(h, CURLOPT_SSL_VERIFYPEER, (long)w->verify);
    L(curl_easy_setopt)(h, CURLOPT_SSL_VERIFYHOST, w->verify ? 2L : 0L);
    /* A server that is silent so long is given up, a slow one is not. */
    L(curl_easy_setopt)(h, CURLOPT_CONNECTTIMEOUT, w->timeout);
    L(curl_easy_setopt)(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    L(curl_easy_setopt)(h, CURLOPT_LOW_SPEED_TIME, w->timeout);
    L(curl_easy_setopt)(h, CURLOPT_NOSIGNAL, 1L);
    L(curl_easy_setopt)(h, CURLOPT_AUTOREFERER, 1L);
    L(curl_easy_setopt)(h, CURLOPT_FOLLOWLOCATION, 1L);
    L(curl_easy_setopt)(h, CURLOPT_MAXREDIRS, 10L);
    L(curl_easy_setopt)(h, CURLOPT_FAILONERROR, 1L);
    L(curl_easy_setopt)(h, CURLOPT_ERRORBUFFER, why);
    if (w->user) L(curl_easy_setopt)(h, CURLOPT_USERNAME, w->user);
    if (w->password) L(curl_easy_setopt)(h, CURLOPT_PASSWORD, w->password);
    if (w->proxy_user) L(curl_easy_setopt)(h, CURLOPT_PROXYUSERNAME, w->proxy_user);
    if (w->proxy_password) L(curl_easy_setopt)(h, CURLOPT_PROXYPASSWORD, w->proxy_password);
    if (w->cookie) L(curl_easy_setopt)(h, CURLOPT_COOKIE, w->cookie);
    return h;
}

static int host_error(CURLcode c)
{
    switch (c) {
    case CURLE_OK: return 0;
    case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
    case CURLE_OUT_OF_MEMORY: return -ENOMEM;
    default: return -EIO;
    }
}

/* The slot is busy: nobody else touches it. */
static int fetch(struct web *w, struct slot *s, uint64_t start, size_t n)
{
    char range[64];
    int rc;

    if (!s->easy && !(s->easy = new_handle(w, s->why))) return -ENOMEM;
    if (s->room < n) {
        mem_free(s->buf);
        s->buf = mem_alloc(n), s->room = n;
    }
    s->start = start, s->len = 0, s->want = n;
    snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)start, (unsigned long long)(start + n - 1));
    L(curl_easy_setopt)(s->easy, CURLOPT_RANGE, range);
    L(curl_easy_setopt)(s->easy, CURLOPT_WRITEFUNCTION, on_body);
    L(curl_easy_setopt)(s->easy, CURLOPT_WRITEDATA, s);
    rc = host_error(L(curl_easy_perform)(s->easy));
    if (!rc && s->len < n) rc = -EIO;
    if (rc) s->len = 0;
    return rc;
}

static struct slot *holder(struct web *w, uint64_t offset)
{
    for (int i = 0; i < SLOTS; i++) {
        struct slot *s = &w->slots[i];
        if (!s->busy && offset >= s->start && offset - s->start < s->len) return s;
    }
    return NULL;
}

static struct slot *oldest(struct web *w)
{
    struct slot *best = NULL;

    for (int i = 0; i < SLOTS; i++) {
        struct slot *s = &w->slots[i];
        if (!s->busy && (!best || s->used < best->used)) best = s;
    }
    return best;
}

static int curl_read(struct blk_node *node, uint64_t offset, void *buf, size_t n)
{
    struct web *w = blk_state(node);
    uint8_t *p = buf;
    int rc = 0;

    pthread_mutex_lock(&w->lock);
    while (n && !rc) {
        struct slot *s = holder(w, offset);
        if (s) {
            size_t skip = (size_t)(offset - s->start), k = MIN(s->len - skip, n);
            memcpy(p, s->buf + skip, k);
            p += k, offset += k, n -= k;
            s->used = ++w->clock;
            continue;
        }
        if (offset >= w->size) {
            memset(p, 0, n);
            break;
        }
        s = oldest(w);
        if (!s) {
            pthread_cond_wait(&w->idle, &w->lock);
            continue;
        }
        s->busy = true;
        pthread_mutex_unlock(&w->lock);
        rc = fetch(w, s, offset, (size_t)MIN(w->size - offset, (uint64_t)MAX(MIN(n, (size_t)MAX_FETCH), w->readahead)));
        pthread_mutex_lock(&w->lock);
        s->busy = false, s->used = ++w->clock;
        pthread_cond_signal(&w->idle);
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

static void release(struct web *w)
{
    for (int i = 0; i < SLOTS; i++) {
        if (w->slots[i].easy) L(curl_easy_cleanup)(w->slots[i].easy);
        mem_free(w->slots[i].buf);
    }
    mem_free(w->url);
    mem_free(w->user);
    mem_free(w->password);
    mem_free(w->proxy_user);
    mem_free(w->proxy_password);
    mem_free(w->cookie);
    pthread_cond_destroy(&w->idle);
    pthread_mutex_destroy(&w->lock);
}

static void curl_close(struct blk_node *n) { release(blk_state(n)); }

/* The secret that a key names. 0 also when there is no such key. */
static int secret(struct blk_node *n, const struct opts *o, const char *key, char **out, struct error *e)
{
    const char *id = opts_get(o, key);
    const struct blk_secret *s = id ? blk_object_find(blk_node_graph(n), "secret", id) : NULL;

    if (!id) return 0;
    if (!s) return error_set(e, "No secret with id '%s'", id), -ENOENT;
    *out = mem_printf("%.*s", (int)s->len, (const char *)s->data);
    return 0;
}

static int take_opts(struct blk_node *n, struct web *w, const struct opts *o, struct error *e)
{
    const char *s = opts_get(o, "url"), *proto = blk_node_driver(n);
    uint64_t v = opts_size(o, "readahead", 256 << 10);

    if (!s) s = opts_get(o, "filename");
    if (!s) return error_set(e, "curl block driver requires an 'url' option"), -EINVAL;
    if (strncasecmp(s, proto, strlen(proto)) || strncmp(s + strlen(proto), "://", 3))
        return error_set(e, "'%s' is no URL of the protocol '%s'", s, proto), -EINVAL;
    w->url = mem_strdup(s);
    if (v % 512 || v > MAX_FETCH) return error_set(e, "readahead has to be a multiple of 512, and at most 32 MiB"), -EINVAL;
    w->readahead = (size_t)v;
    v = opts_number(o, "timeout", 5);
    if (v > 10000) return error_set(e, "timeout parameter is too large or negative"), -EINVAL;
    w->timeout = (long)v;
    w->verify = opts_bool(o, "sslverify", true);
    if ((s = opts_get(o, "username"))) w->user = mem_strdup(s);
    if ((s = opts_get(o, "proxy-username"))) w->proxy_user = mem_strdup(s);
    if ((s = opts_get(o, "cookie")) && opts_get(o, "cookie-secret"))
        return error_set(e, "curl driver cannot handle both cookie and cookie secret"), -EINVAL;
    if (s) w->cookie = mem_strdup(s);
    if (secret(n, o, "password-secret", &w->password, e) || secret(n, o, "proxy-password-secret", &w->proxy_password, e) ||
        secret(n, o, "cookie-secret", &w->cookie, e))
        return -ENOENT;
    return 0;
}

static int ask_size(struct blk_node *n, struct web *w, const struct opts *o, struct error *e)
{
    bool http = !strncmp(blk_node_driver(n), "http", 4);
    char why[CURL_ERROR_SIZE] = "";
    CURL *h = new_handle(w, why);
    curl_off_t size = -1;
    CURLcode c;

    if (!h) return -ENOMEM;
    w->ranges = !http || opts_bool(o, "force-range", false);
    L(curl_easy_setopt)(h, CURLOPT_NOBODY, 1L);
    L(curl_easy_setopt)(h, CURLOPT_HEADERFUNCTION, on_header);
    L(curl_easy_setopt)(h, CURLOPT_HEADERDATA, w);
    c = L(curl_easy_perform)(h);
    if (!c) c = L(curl_easy_getinfo)(h, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    L(curl_easy_cleanup)(h);
    if (c) return error_set(e, "CURL: Error opening file: %s", *why ? why : L(curl_easy_strerror)(c)), host_error(c);
    if (size < 0) return error_set(e, "Server didn't report file size."), -EINVAL;
    if (!w->ranges) return error_set(e, "Server does not support 'range' (byte ranges)."), -ENOTSUP;
    w->size = (uint64_t)size;
    return 0;
}

static int curl_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct web *w = blk_state(n);
    int rc;

    if (load_library(e)) return -ENOENT;
    pthread_once(&once, start_library);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->idle, NULL);
    rc = take_opts(n, w, o, e);
    if (!rc) rc = ask_size(n, w, o, e);
    if (rc) {
        release(w);
        return rc;
    }
    blk_set_size(n, w->size);
    blk_set_filename(n, w->url);
    return 0;
}

#define CURL_CALLS .state_size = sizeof(struct web), .close = curl_close, .read = curl_read

#else

static int curl_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    return error_set(e, "this program was built without libcurl, which the protocol '%s' needs", blk_node_driver(n)), -ENOTSUP;
}

static int curl_read(struct blk_node *n, uint64_t offset, void *buf, size_t len) { return -EIO; }

#define CURL_CALLS .state_size = 1, .read = curl_read

#endif

#define CURL_COMMON .kind = BLK_PROTOCOL, .locking = BLK_LOCK_OWN, .open_opts = curl_opts, .parse_filename = curl_parse, .open = curl_open

static const char *const http_names[] = {"http", NULL}, *const https_names[] = {"https", NULL}, *const ftp_names[] = {"ftp", NULL},
                  *const ftps_names[] = {"ftps", NULL};
const struct blk_driver blk_drv_http = {.name = "http", .prefixes = http_names, CURL_CALLS, CURL_COMMON};
const struct blk_driver blk_drv_https = {.name = "https", .prefixes = https_names, CURL_CALLS, CURL_COMMON};
const struct blk_driver blk_drv_ftp = {.name = "ftp", .prefixes = ftp_names, CURL_CALLS, CURL_COMMON};
const struct blk_driver blk_drv_ftps = {.name = "ftps", .prefixes = ftps_names, CURL_CALLS, CURL_COMMON};
