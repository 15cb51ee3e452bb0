/*
 * tls.h - TLS over a connected socket, by GnuTLS. Without the library tls_creds_new says so.
 *
 * Credentials are what -object calls tls-creds-anon, tls-creds-psk and tls-creds-x509: a directory of files (as the
 * manual of that option has them: ca-cert.pem, ca-crl.pem, server-cert.pem, server-key.pem, client-cert.pem,
 * client-key.pem, dh-params.pem; keys.psk), which end they are for, and whether the peer's certificate is checked.
 */
#ifndef UTIL_TLS_H
#define UTIL_TLS_H

#include "util/opts.h"

struct tls_creds;
struct tls_session;

/* type: "tls-creds-anon", "tls-creds-psk", "tls-creds-x509". Keys: dir, endpoint (client, server), verify-peer,
 * priority, username (psk, client), passwordid, sanity-check. password: what passwordid names, or NULL. */
struct tls_creds *tls_creds_new(const char *type, const struct opts *, const char *password, struct error *);
struct tls_creds *tls_creds_ref(struct tls_creds *); /* [any thread] */
void tls_creds_unref(struct tls_creds *);            /* [any thread] NULL: nothing */
bool tls_creds_server(const struct tls_creds *);
bool tls_creds_x509(const struct tls_creds *);

/* Shakes hands on fd (blocking, stays the caller's). hostname: whom the certificate has to name (clients; NULL: not
 * checked). deadline_ns: on the clock of loop_now_ns, 0 none. NULL + *e. */
struct tls_session *tls_start(struct tls_creds *, int fd, const char *hostname, uint64_t deadline_ns, struct error *);
void tls_end(struct tls_session *, bool goodbye); /* frees; NULL: nothing */
/* One reader and one writer at a time may be inside. Bytes, 0 at the end, -errno. */
ptrdiff_t tls_recv(struct tls_session *, void *buf, size_t n);
ptrdiff_t tls_send(struct tls_session *, const void *buf, size_t n); /* all of it, or an error */
bool tls_pending(struct tls_session *); /* decrypted bytes wait */

#endif
