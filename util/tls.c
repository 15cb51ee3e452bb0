/*
 * tls.c - TLS by GnuTLS (see tls.h): the one file that knows it. Follows the library's reference manual.
 */
#include "util/tls.h"
#include "util/loop.h"
#include "util/sock.h"
#include "util/lazy.h"
#include "config.h"

#include <errno.h>

#ifdef HAVE_GNUTLS

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#ifdef QUERN_SO_GNUTLS
#define FUNCTIONS(X) X(gnutls_anon_allocate_client_credentials) X(gnutls_anon_allocate_server_credentials) \
    X(gnutls_anon_free_client_credentials) X(gnutls_anon_free_server_credentials) \
    X(gnutls_anon_set_server_known_dh_params) X(gnutls_bye) X(gnutls_certificate_allocate_credentials) \
    X(gnutls_certificate_free_credentials) X(gnutls_certificate_server_set_request) \
    X(gnutls_certificate_set_x509_crl_file) X(gnutls_certificate_set_x509_key_file2) \
    X(gnutls_certificate_set_x509_trust_file) X(gnutls_certificate_verification_status_print) \
    X(gnutls_certificate_verify_peers3) X(gnutls_credentials_set) X(gnutls_deinit) X(gnutls_error_is_fatal) \
    X(gnutls_free) X(gnutls_handshake) X(gnutls_init) X(gnutls_priority_set_direct) \
    X(gnutls_psk_allocate_client_credentials) X(gnutls_psk_allocate_server_credentials) \
    X(gnutls_psk_free_client_credentials) X(gnutls_psk_free_server_credentials) \
    X(gnutls_psk_set_client_credentials) X(gnutls_psk_set_server_credentials_file) \
    X(gnutls_psk_set_server_known_dh_params) X(gnutls_record_check_pending) X(gnutls_record_recv) \
    X(gnutls_record_send) X(gnutls_server_name_set) X(gnutls_strerror) X(gnutls_transport_set_errno) \
    X(gnutls_transport_set_ptr) X(gnutls_transport_set_pull_function) X(gnutls_transport_set_push_function)
LAZY_LIBRARY(FUNCTIONS, QUERN_SO_GNUTLS)
#define L(f) lib.f
#define L_FREE lib.gnutls_free /* a variable */
#define load_library(e) lazy_load(&lazy, e)
#else
#define L(f) f
#define L_FREE &gnutls_free
#define load_library(e) 0
#endif

enum creds_kind { CREDS_ANON, CREDS_PSK, CREDS_X509 };

struct tls_creds {
    atomic_uint refs;
    enum creds_kind kind;
    bool server, verify;
    char *priority;
    gnutls_anon_client_credentials_t anon_client;
    gnutls_anon_server_credentials_t anon_server;
    gnutls_psk_client_credentials_t psk_client;
    gnutls_psk_server_credentials_t psk_server;
    gnutls_certificate_credentials_t cert;
};

enum { OUT_SIZE = 256 << 10 };

struct tls_session {
    gnutls_session_t tls;
    struct tls_creds *creds;
    int fd;
    pthread_mutex_t lock; /* of out: the reader sends now and then too (alerts, new keys) */
    uint8_t *out;         /* records that go out together */
    size_t out_len;
    bool corked;
};

/* ---- credentials ---------------------------------------------------------------------------------- */

static char *file_of(const char *dir, const char *name, bool need, struct error *e)
{
    char *path = mem_printf("%s/%s", dir, name);

    if (!access(path, R_OK)) return path;
    if (need) error_set(e, "Unable to access credentials %s: %s", path, strerror(errno));
    mem_free(path);
    return NULL;
}

static int load_x509(struct tls_creds *c, const char *dir, const char *password, struct error *e)
{
    char *ca = file_of(dir, "ca-cert.pem", true, e), *crl = file_of(dir, "ca-crl.pem", false, NULL);
    char *cert = NULL, *key = NULL;
    int rc = -1;

    if (!ca) goto out;
    cert = file_of(dir, c->server ? "server-cert.pem" : "client-cert.pem", c->server, e);
    key = file_of(dir, c->server ? "server-key.pem" : "client-key.pem", c->server || cert, e);
    if ((c->server || cert) && (!cert || !key)) goto out;
    if (L(gnutls_certificate_allocate_credentials)(&c->cert)) {
        error_set(e, "Cannot allocate credentials");
        goto out;
    }
    rc = L(gnutls_certificate_set_x509_trust_file)(c->cert, ca, GNUTLS_X509_FMT_PEM);
    if (rc < 0) {
        error_set(e, "Cannot load CA certificate '%s': %s", ca, L(gnutls_strerror)(rc));
        goto out;
    }
    rc = cert ? L(gnutls_certificate_set_x509_key_file2)(c->cert, cert, key, GNUTLS_X509_FMT_PEM, password, 0) : 0;
    if (rc < 0) {
        error_set(e, "Cannot load certificate '%s' & key '%s': %s", cert, key, L(gnutls_strerror)(rc));
        goto out;
    }
    rc = crl ? L(gnutls_certificate_set_x509_crl_file)(c->cert, crl, GNUTLS_X509_FMT_PEM) : 0;
    if (rc < 0) error_set(e, "Cannot load CRL '%s': %s", crl, L(gnutls_strerror)(rc));
out:
    mem_free(ca);
    mem_free(crl);
    mem_free(cert);
    mem_free(key);
    return rc < 0 ? -1 : 0;
}

/* The line `user:hexkey` of keys.psk. */
static int client_psk(struct tls_creds *c, const char *path, const char *user, struct error *e)
{
    FILE *f = fopen(path, "r");
    char line[2048];
    size_t n = strlen(user);
    int rc = -1;

    while (f && rc && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\r\n")] = 0;
        if (strncmp(line, user, n) || line[n] != ':') continue;
        gnutls_datum_t key = {(unsigned char *)line + n + 1, (unsigned)strlen(line + n + 1)};
        rc = L(gnutls_psk_set_client_credentials)(c->psk_client, user, &key, GNUTLS_PSK_KEY_HEX);
    }
    if (f) fclose(f);
    memset(line, 0, sizeof line);
    if (rc) error_set(e, "Username '%s' not found in PSK file '%s'", user, path);
    return rc;
}

static int load_psk(struct tls_creds *c, const char *dir, const char *user, struct error *e)
{
    char *path = file_of(dir, "keys.psk", true, e);
    int rc = -1;

    if (!path) return -1;
    if (c->server) {
        rc = L(gnutls_psk_allocate_server_credentials)(&c->psk_server);
        if (!rc) rc = L(gnutls_psk_set_server_credentials_file)(c->psk_server, path);
        if (!rc) L(gnutls_psk_set_server_known_dh_params)(c->psk_server, GNUTLS_SEC_PARAM_MEDIUM);
    } else {
        rc = L(gnutls_psk_allocate_client_credentials)(&c->psk_client);
        if (!rc) rc = client_psk(c, path, user ? user : "qemu", e);
    }
    if (rc) error_set(e, "Cannot load PSK file '%s': %s", path, L(gnutls_strerror)(rc));
    mem_free(path);
    return rc ? -1 : 0;
}

static int load_anon(struct tls_creds *c, struct error *e)
{
    int rc = c->server ? L(gnutls_anon_allocate_server_credentials)(&c->anon_server)
                       : L(gnutls_anon_allocate_client_credentials)(&c->anon_client);
    if (!rc && c->server) L(gnutls_anon_set_server_known_dh_params)(c->anon_server, GNUTLS_SEC_PARAM_MEDIUM);
    return rc ? error_set(e, "Cannot allocate credentials: %s", L(gnutls_strerror)(rc)) : 0;
}

struct tls_creds *tls_creds_new(const char *type, const struct opts *o, const char *password, struct error *e)
{
    static const char *const keys[] = {"qom-type", "id", "dir", "endpoint", "verify-peer", "priority", "username",
                                       "passwordid", "sanity-check"};
    static const char *const extra[] = {":+ANON-ECDH:+ANON-DH", ":+ECDHE-PSK:+DHE-PSK:+PSK", ""};
    const char *endpoint = opts_get(o, "endpoint"), *dir = opts_get(o, "dir"), *s;
    struct tls_creds *c;
    bool sane, verify;
    int rc;

    for (unsigned i = 0; i < o->n; i++) {
        bool known = false;
        for (size_t k = 0; k < ARRAY_LEN(keys); k++) known |= !strcmp(keys[k], o->v[i].name);
        if (!known) return error_set(e, "Invalid parameter '%s'", o->v[i].name), NULL;
    }
    if (endpoint && strcmp(endpoint, "client") && strcmp(endpoint, "server"))
        return error_set(e, "Invalid parameter '%s' for endpoint", endpoint), NULL;
    if (opt_parse_bool("verify-peer", (s = opts_get(o, "verify-peer")) ? s : "on", &verify, e) ||
        opt_parse_bool("sanity-check", (s = opts_get(o, "sanity-check")) ? s : "on", &sane, e))
        return NULL;
    if (strcmp(type, "tls-creds-anon") && !dir) return error_set(e, "Missing 'dir' property value"), NULL;
    if (load_library(e)) return NULL;
    c = NEW(struct tls_creds);
    atomic_init(&c->refs, 1);
    c->server = endpoint && !strcmp(endpoint, "server");
    c->verify = verify;
    if (!strcmp(type, "tls-creds-anon")) c->kind = CREDS_ANON, rc = load_anon(c, e);
    else if (!strcmp(type, "tls-creds-psk")) c->kind = CREDS_PSK, rc = load_psk(c, dir, opts_get(o, "username"), e);
    else c->kind = CREDS_X509, rc = load_x509(c, dir, password, e);
    c->priority = mem_printf("%s%s", (s = opts_get(o, "priority")) ? s : "NORMAL", extra[c->kind]);
    if (!rc) return c;
    tls_creds_unref(c);
    return NULL;
}

struct tls_creds *tls_creds_ref(struct tls_creds *c) { return atomic_fetch_add(&c->refs, 1), c; }

void tls_creds_unref(struct tls_creds *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) > 1) return;
    if (c->anon_client) L(gnutls_anon_free_client_credentials)(c->anon_client);
    if (c->anon_server) L(gnutls_anon_free_server_credentials)(c->anon_server);
    if (c->psk_client) L(gnutls_psk_free_client_credentials)(c->psk_client);
    if (c->psk_server) L(gnutls_psk_free_server_credentials)(c->psk_server);
    if (c->cert) L(gnutls_certificate_free_credentials)(c->cert);
    mem_free(c->priority);
    mem_free(c);
}

bool tls_creds_server(const struct tls_creds *c) { return c->server; }
bool tls_creds_x509(const struct tls_creds *c) { return c->kind == CREDS_X509; }

/* ---- the bytes below ------------------------------------------------------------------------------ */

static int send_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ptrdiff_t k = sock_send(fd, p, n);
        if (k < 0) return (int)k;
        p += k, n -= (size_t)k;
    }
    return 0;
}

static int flush_out(struct tls_session *s)
{
    int rc = send_all(s->fd, s->out, s->out_len);
    s->out_len = 0;
    return rc;
}

/* Records of one message are gathered, so that they cost one system call. */
static ssize_t push(gnutls_transport_ptr_t opaque, const void *buf, size_t n)
{
    struct tls_session *s = opaque;
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    if (s->corked && n <= OUT_SIZE) {
        if (s->out_len + n > OUT_SIZE) rc = flush_out(s);
        if (!rc) memcpy(s->out + s->out_len, buf, n), s->out_len += n;
    } else {
        rc = send_all(s->fd, buf, n);
    }
    pthread_mutex_unlock(&s->lock);
    if (!rc) return (ssize_t)n;
    L(gnutls_transport_set_errno)(s->tls, -rc);
    return -1;
}

static ssize_t pull(gnutls_transport_ptr_t opaque, void *buf, size_t n)
{
    struct tls_session *s = opaque;
    ptrdiff_t k = sock_recv(s->fd, buf, n);

    if (k >= 0) return (ssize_t)k;
    L(gnutls_transport_set_errno)(s->tls, (int)-k);
    return -1;
}

/* ---- sessions ------------------------------------------------------------------------------------- */

static void set_timeout(int fd, uint64_t ns)
{
    struct timeval tv = {.tv_sec = (time_t)(ns / 1000000000u), .tv_usec = (suseconds_t)(ns / 1000 % 1000000)};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
}

static int give_creds(struct tls_session *s)
{
    struct tls_creds *c = s->creds;

    switch (c->kind) {
    case CREDS_ANON:
        return L(gnutls_credentials_set)(s->tls, GNUTLS_CRD_ANON, c->server ? (void *)c->anon_server : (void *)c->anon_client);
    case CREDS_PSK:
        return L(gnutls_credentials_set)(s->tls, GNUTLS_CRD_PSK, c->server ? (void *)c->psk_server : (void *)c->psk_client);
    default:
        if (c->server) L(gnutls_certificate_server_set_request)(s->tls, c->verify ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
        return L(gnutls_credentials_set)(s->tls, GNUTLS_CRD_CERTIFICATE, c->cert);
    }
}

static int verify(struct tls_session *s, const char *hostname, struct error *e)
{
    gnutls_datum_t why = {NULL, 0};
    unsigned status = 0;
    int rc;

    if (s->creds->kind != CREDS_X509 || !s->creds->verify) return 0;
    rc = L(gnutls_certificate_verify_peers3)(s->tls, s->creds->server ? NULL : hostname, &status);
    if (rc < 0) return error_set(e, "Verify failed: %s", L(gnutls_strerror)(rc));
    if (!status) return 0;
    if (!L(gnutls_certificate_verification_status_print)(status, GNUTLS_CRT_X509, &why, 0)) {
        error_set(e, "Certificate does not verify: %s", (const char *)why.data);
        (*L_FREE)(why.data);
    }
    return error_set(e, "Certificate does not verify");
}

struct tls_session *tls_start(struct tls_creds *c, int fd, const char *hostname, uint64_t deadline, struct error *e)
{
    struct tls_session *s = NEW(struct tls_session);
    const char *at = NULL;
    int rc;

    s->fd = fd, s->creds = tls_creds_ref(c);
    pthread_mutex_init(&s->lock, NULL);
    rc = L(gnutls_init)(&s->tls, c->server ? GNUTLS_SERVER : GNUTLS_CLIENT);
    if (rc) {
        error_set(e, "Cannot initialize session: %s", L(gnutls_strerror)(rc));
        pthread_mutex_destroy(&s->lock);
        tls_creds_unref(c);
        mem_free(s);
        return NULL;
    }
    rc = L(gnutls_priority_set_direct)(s->tls, c->priority, &at);
    if (rc) error_set(e, "Unable to set TLS session priority '%s': %s", c->priority, L(gnutls_strerror)(rc));
    if (!rc && (rc = give_creds(s))) error_set(e, "Cannot set session credentials: %s", L(gnutls_strerror)(rc));
    if (!rc && hostname && !c->server && c->kind == CREDS_X509)
        (void)L(gnutls_server_name_set)(s->tls, GNUTLS_NAME_DNS, hostname, strlen(hostname));
    L(gnutls_transport_set_ptr)(s->tls, s);
    L(gnutls_transport_set_push_function)(s->tls, push);
    L(gnutls_transport_set_pull_function)(s->tls, pull);
    while (!rc) {
        uint64_t now = loop_now_ns();
        if (deadline && now >= deadline) {
            rc = -1, error_set(e, "TLS handshake failed: it took too long");
            break;
        }
        if (deadline) set_timeout(fd, deadline - now + 1000000);
        rc = L(gnutls_handshake)(s->tls);
        if (!rc) break;
        if (!L(gnutls_error_is_fatal)(rc)) {
            rc = 0; /* asked to try again: after a signal, or when the time is over */
            continue;
        }
        error_set(e, "TLS handshake failed: %s", L(gnutls_strerror)(rc));
    }
    if (deadline) set_timeout(fd, 0);
    if (!rc) rc = verify(s, hostname, e);
    if (!rc) {
        s->out = mem_alloc(OUT_SIZE);
        return s;
    }
    tls_end(s, false);
    return NULL;
}

void tls_end(struct tls_session *s, bool goodbye)
{
    if (!s) return;
    if (goodbye) (void)L(gnutls_bye)(s->tls, GNUTLS_SHUT_WR);
    L(gnutls_deinit)(s->tls);
    pthread_mutex_destroy(&s->lock);
    tls_creds_unref(s->creds);
    mem_free(s->out);
    mem_free(s);
}

static int host_error(ssize_t rc)
{
    switch (rc) {
    case GNUTLS_E_INTERRUPTED:
    case GNUTLS_E_AGAIN: return -EAGAIN;
    case GNUTLS_E_PREMATURE_TERMINATION: return -ECONNABORTED;
    default: return -EIO;
    }
}

ptrdiff_t tls_recv(struct tls_session *s, void *buf, size_t n)
{
    for (;;) {
        ssize_t k = L(gnutls_record_recv)(s->tls, buf, n);
        if (k >= 0) return k;
        if (k == GNUTLS_E_INTERRUPTED) continue;
        if (k == GNUTLS_E_REHANDSHAKE) continue; /* a wish, not granted */
        return host_error(k);
    }
}

ptrdiff_t tls_send(struct tls_session *s, const void *buf, size_t n)
{
    const uint8_t *p = buf;
    size_t left = n;
    int rc;

    pthread_mutex_lock(&s->lock);
    s->corked = true;
    pthread_mutex_unlock(&s->lock);
    while (left) {
        ssize_t k = L(gnutls_record_send)(s->tls, p, left);
        if (k == GNUTLS_E_INTERRUPTED) continue;
        if (k < 0) return host_error(k);
        p += k, left -= (size_t)k;
    }
    pthread_mutex_lock(&s->lock);
    s->corked = false;
    rc = flush_out(s);
    pthread_mutex_unlock(&s->lock);
    return rc ? rc : (ptrdiff_t)n;
}

bool tls_pending(struct tls_session *s) { return L(gnutls_record_check_pending)(s->tls) > 0; }

#else

struct tls_creds *tls_creds_new(const char *type, const struct opts *o, const char *password, struct error *e)
{
    error_set(e, "TLS is not built in");
    error_hint(e, "It needs the library GnuTLS when the program is configured.");
    return NULL;
}

/* Nothing can be had without credentials: the rest is never called. */
struct tls_creds *tls_creds_ref(struct tls_creds *c) { return c; }
void tls_creds_unref(struct tls_creds *c) {}
bool tls_creds_server(const struct tls_creds *c) { return false; }
bool tls_creds_x509(const struct tls_creds *c) { return false; }
struct tls_session *tls_start(struct tls_creds *c, int fd, const char *hostname, uint64_t deadline, struct error *e)
{
    return error_set(e, "TLS is not built in"), NULL;
}
void tls_end(struct tls_session *s, bool goodbye) {}
ptrdiff_t tls_recv(struct tls_session *s, void *buf, size_t n) { return -ENOTSUP; }
ptrdiff_t tls_send(struct tls_session *s, const void *buf, size_t n) { return -ENOTSUP; }
bool tls_pending(struct tls_session *s) { return false; }

#endif
