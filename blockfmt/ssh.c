/*
 * ssh.c - protocol "ssh": image files of another host, by SFTP with libssh. The one file that knows that library.
 *
 * The user is proved by the agent or by keys without a passphrase, the host by known_hosts or a hash. A session does
 * one thing at a time.
 */
#include "blockfmt/driver.h"
#include "blockfmt/uri.h"
#include "util/lazy.h"
#include "config.h"

static int set_if(struct opts *o, const char *key, const char *value) { return value ? opts_set(o, key, value), 0 : 0; }

/* ssh://[user@]host[:port]/path[?host_key_check=yes|no|md5:HEX|sha1:HEX|sha256:HEX] */
static int ssh_parse(const char *filename, struct opts *o, struct error *e)
{
    struct uri u;
    int rc = uri_parse(&u, filename, e);

    if (rc) return rc;
    if (!*u.host || !u.path) {
        error_set(e, "'%s' has no host or no path", filename);
        rc = -EINVAL;
    }
    set_if(o, "user", u.user);
    set_if(o, "server.host", u.host);
    set_if(o, "server.port", u.port);
    set_if(o, "path", u.path);
    for (unsigned i = 0; i < u.query.n && !rc; i++) {
        if (!strcmp(u.query.v[i].name, "host_key_check")) opts_set(o, "host_key_check", u.query.v[i].value);
        else rc = -EINVAL, error_set(e, "'%s' is unknown in an ssh URI", u.query.v[i].name);
    }
    uri_free(&u);
    return rc;
}

static const struct opt_desc ssh_opts[] = {
    {"server.*", OPT_STRING, "host, port"},
    {"host", OPT_STRING, "server.host"},
    {"port", OPT_STRING, "server.port"},
    {"path", OPT_STRING, "the file there"},
    {"user", OPT_STRING, "who (the user's own name)"},
    {"host-key-check.*", OPT_STRING, "mode: none, hash (with type: md5, sha1, sha256, and hash), known_hosts"},
    {"host_key_check", OPT_STRING, "yes, no, md5:HEX, sha1:HEX, sha256:HEX"},
    {NULL, OPT_STRING, NULL},
};

static const struct blk_create_opt ssh_create_opts[] = {
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

#ifdef HAVE_SSH

#include <ctype.h>
#include <fcntl.h>
#include <libssh/libssh.h>
#include <libssh/sftp.h>

#ifdef QUERN_SO_SSH
#define FUNCTIONS(X) X(sftp_attributes_free) X(sftp_close) X(sftp_extension_supported) X(sftp_free) \
    X(sftp_fstat) X(sftp_fsync) X(sftp_get_error) X(sftp_init) X(sftp_new) X(sftp_open) X(sftp_read) \
    X(sftp_seek64) X(sftp_setstat) X(sftp_write) X(ssh_clean_pubkey_hash) X(ssh_connect) X(ssh_disconnect) \
    X(ssh_free) X(ssh_get_error) X(ssh_get_publickey_hash) X(ssh_get_server_publickey) X(ssh_key_free) \
    X(ssh_new) X(ssh_options_parse_config) X(ssh_options_set) X(ssh_session_is_known_server) \
    X(ssh_userauth_none) X(ssh_userauth_publickey_auto)
LAZY_LIBRARY(FUNCTIONS, QUERN_SO_SSH)
#define L(f) lib.f
#define load_library(e) lazy_load(&lazy, e)
#else
#define L(f) f
#define load_library(e) 0
#endif

enum { PART = 32 << 10 /* what every server takes in one packet */ };

struct remote {
    ssh_session session;
    sftp_session sftp;
    sftp_file file;
    char *path;
    bool can_sync, warned;
};

/* ---- whom we talk to ------------------------------------------------------------------------------ */

/* HEX with or without colons between bytes. */
static bool same_hash(const char *hex, const uint8_t *hash, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        while (*hex == ':') hex++;
        for (int k = 0; k < 2; k++, hex++) {
            if (!isxdigit((uint8_t)*hex)) return false;
            v = v * 16 + (unsigned)(isdigit((uint8_t)*hex) ? *hex - '0' : tolower((uint8_t)*hex) - 'a' + 10);
        }
        if (v != hash[i]) return false;
    }
    return !*hex;
}

static int check_hash(ssh_session s, const char *type, const char *hex, struct error *e)
{
    static const struct { const char *name; enum ssh_publickey_hash_type type; } types[] = {
        {"md5", SSH_PUBLICKEY_HASH_MD5}, {"sha1", SSH_PUBLICKEY_HASH_SHA1}, {"sha256", SSH_PUBLICKEY_HASH_SHA256}};
    ssh_key key;
    unsigned char *hash = NULL;
    size_t n = 0;
    int rc = -1;

    if (L(ssh_get_server_publickey)(s, &key)) return error_set(e, "failed to read remote host key"), -EINVAL;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!strcmp(types[i].name, type)) rc = L(ssh_get_publickey_hash)(key, types[i].type, &hash, &n);
    }
    L(ssh_key_free)(key);
    if (rc) return error_set(e, "cannot compute a hash '%s' of the host key", type), -EINVAL;
    rc = same_hash(hex, hash, n) ? 0 : -EPERM;
    L(ssh_clean_pubkey_hash)(&hash);
    if (rc) error_set(e, "remote host key does not match host_key_check '%s'", hex);
    return rc;
}

static int check_known(ssh_session s, struct error *e)
{
    switch (L(ssh_session_is_known_server)(s)) {
    case SSH_KNOWN_HOSTS_OK: return 0;
    case SSH_KNOWN_HOSTS_CHANGED: error_set(e, "host key does not match the one in known_hosts"); break;
    case SSH_KNOWN_HOSTS_OTHER: error_set(e, "host key for this server not found, another type exists"); break;
    case SSH_KNOWN_HOSTS_UNKNOWN:
    case SSH_KNOWN_HOSTS_NOT_FOUND: error_set(e, "no host key was found in known_hosts"); break;
    default: error_set(e, "error while checking for known server: %s", L(ssh_get_error)(s));
    }
    return -EPERM;
}

static int check_host(ssh_session s, const struct opts *o, struct error *e)
{
    const char *mode = opts_get(o, "host-key-check.mode"), *old = opts_get(o, "host_key_check"), *colon;
    const char *type = opts_get(o, "host-key-check.type"), *hash = opts_get(o, "host-key-check.hash");

    if (!mode && old) {
        if (!strcmp(old, "no")) return 0;
        if (!strcmp(old, "yes")) return check_known(s, e);
        colon = strchr(old, ':');
        if (!colon) return error_set(e, "unknown host_key_check setting (%s)", old), -EINVAL;
        char *t = mem_printf("%.*s", (int)(colon - old), old);
        int rc = check_hash(s, t, colon + 1, e);
        mem_free(t);
        return rc;
    }
    if (!mode || !strcmp(mode, "known_hosts")) return check_known(s, e);
    if (!strcmp(mode, "none")) return 0;
    if (strcmp(mode, "hash")) return error_set(e, "Invalid parameter '%s' for host-key-check.mode", mode), -EINVAL;
    if (!type || !hash) return error_set(e, "host-key-check.mode=hash needs type and hash"), -EINVAL;
    return check_hash(s, type, hash, e);
}

/* ---- the session ---------------------------------------------------------------------------------- */

static int failed(const struct remote *r, const char *what, struct error *e)
{
    return error_set(e, "%s: %s", what, L(ssh_get_error)(r->session)), -EIO;
}

static int host_error(const struct remote *r)
{
    switch (L(sftp_get_error)(r->sftp)) {
    case SSH_FX_OK: return 0;
    case SSH_FX_NO_SUCH_FILE:
    case SSH_FX_NO_SUCH_PATH: return -ENOENT;
    case SSH_FX_PERMISSION_DENIED: return -EACCES;
    case SSH_FX_WRITE_PROTECT: return -EROFS;
    case SSH_FX_OP_UNSUPPORTED: return -ENOTSUP;
    default: return -EIO;
    }
}

static void release(struct remote *r)
{
    if (r->file) L(sftp_close)(r->file);
    if (r->sftp) L(sftp_free)(r->sftp);
    if (r->session) {
        L(ssh_disconnect)(r->session);
        L(ssh_free)(r->session);
    }
    mem_free(r->path);
}

static int dial(struct remote *r, const struct opts *o, int mode, struct error *e)
{
    const char *host = opts_get(o, "server.host"), *port = opts_get(o, "server.port"), *user = opts_get(o, "user"),
               *path = opts_get(o, "path");
    uint64_t p = 22;
    int rc;

    if (load_library(e)) return -ENOENT;
    if (!host) host = opts_get(o, "host");
    if (!port) port = opts_get(o, "port");
    if (!host || !path) return error_set(e, "Parameter '%s' is missing", host ? "path" : "server.host"), -EINVAL;
    if (port && (opt_parse_number("server.port", port, 65535, &p, e))) return -EINVAL;
    r->path = mem_strdup(path);
    r->session = L(ssh_new)();
    if (!r->session) return -ENOMEM;
    unsigned number = (unsigned)p;
    if (L(ssh_options_set)(r->session, SSH_OPTIONS_HOST, host) || L(ssh_options_set)(r->session, SSH_OPTIONS_PORT, &number) ||
        (user && L(ssh_options_set)(r->session, SSH_OPTIONS_USER, user)) || L(ssh_options_parse_config)(r->session, NULL))
        return failed(r, "failed to set the session's options", e);
    if (L(ssh_options_set)(r->session, SSH_OPTIONS_PORT, &number)) return failed(r, "failed to set the port", e);
    if (L(ssh_connect)(r->session) != SSH_OK) return failed(r, "failed to establish SSH session", e);
    rc = check_host(r->session, o, e);
    if (rc) return rc;
    if (L(ssh_userauth_none)(r->session, NULL) != SSH_AUTH_SUCCESS &&
        L(ssh_userauth_publickey_auto)(r->session, NULL, NULL) != SSH_AUTH_SUCCESS) {
        error_set(e, "failed to authenticate using publickey authentication and the identities held by your ssh-agent");
        return -EPERM;
    }
    r->sftp = L(sftp_new)(r->session);
    if (!r->sftp) return failed(r, "failed to open the SFTP subsystem", e);
    if (L(sftp_init)(r->sftp)) return failed(r, "failed to initialize SFTP", e);
    r->file = L(sftp_open)(r->sftp, path, mode, 0644);
    if (!r->file) {
        rc = host_error(r);
        return error_set(e, "failed to open remote file '%s': %s", path, rc ? strerror(-rc) : L(ssh_get_error)(r->session)), rc ? rc : -EIO;
    }
    r->can_sync = L(sftp_extension_supported)(r->sftp, "fsync@openssh.com", "1");
    return 0;
}

static int ssh_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct remote *r = blk_state(n);
    sftp_attributes a;
    int rc = dial(r, o, flags & BLK_RDONLY ? O_RDONLY : O_RDWR, e);

    if (!rc) {
        a = L(sftp_fstat)(r->file);
        if (a) blk_set_size(n, a->size), L(sftp_attributes_free)(a);
        else rc = failed(r, "failed to read the file's attributes", e);
    }
    if (rc) release(r);
    return rc;
}

static void ssh_close(struct blk_node *n) { release(blk_state(n)); }

static int ssh_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    if (!(flags & BLK_RDONLY) && (blk_node_flags(n) & BLK_RDONLY))
        return error_set(e, "a file opened read-only over ssh cannot be made writable"), -ENOTSUP;
    return 0;
}

static int ssh_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct remote *r = blk_state(n);
    uint8_t *p = buf;

    if (L(sftp_seek64)(r->file, offset)) return -EIO;
    while (len) {
        ssize_t k = L(sftp_read)(r->file, p, MIN(len, (size_t)PART));
        if (k < 0) return host_error(r) ? host_error(r) : -EIO;
        if (!k) return memset(p, 0, len), 0; /* its end */
        p += k, len -= (size_t)k;
    }
    return 0;
}

static int ssh_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct remote *r = blk_state(n);
    const uint8_t *p = buf;

    if (L(sftp_seek64)(r->file, offset)) return -EIO;
    while (len) {
        ssize_t k = L(sftp_write)(r->file, p, MIN(len, (size_t)PART));
        if (k <= 0) return host_error(r) ? host_error(r) : -EIO;
        p += k, len -= (size_t)k;
    }
    return 0;
}

static int ssh_flush(struct blk_node *n)
{
    struct remote *r = blk_state(n);

    if (r->can_sync) return L(sftp_fsync)(r->file) < 0 ? -EIO : 0;
    if (!r->warned) error_warn("ssh server does not support fsync: '%s' may lose what was flushed", r->path);
    r->warned = true;
    return 0;
}

static int set_size(struct remote *r, uint64_t size)
{
    struct sftp_attributes_struct a = {.flags = SSH_FILEXFER_ATTR_SIZE, .size = size};
    return L(sftp_setstat)(r->sftp, r->path, &a) < 0 ? -EIO : 0;
}

static int ssh_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    struct remote *r = blk_state(n);

    if (prealloc != BLK_PREALLOC_OFF) return error_set(e, "Unsupported preallocation mode"), -ENOTSUP;
    return set_size(r, size) ? failed(r, "Failed to resize the file", e) : 0;
}

static int ssh_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    struct remote r = {.session = NULL};
    struct opts where = {NULL, 0};
    int rc = ssh_parse(filename, &where, e);

    if (!rc) rc = dial(&r, &where, O_RDWR | O_CREAT | O_TRUNC, e);
    if (!rc && set_size(&r, opts_size(o, "size", 0))) rc = failed(&r, "Failed to resize the file", e);
    release(&r);
    opts_free(&where);
    return rc;
}

#define SSH_CALLS                                                                                                              \
    .state_size = sizeof(struct remote), .close = ssh_close, .reopen = ssh_reopen, .flush = ssh_flush, .truncate = ssh_truncate

#else

static int no_library(struct error *e)
{
    return error_set(e, "this program was built without libssh, which the protocol 'ssh' needs"), -ENOTSUP;
}
static int ssh_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e) { return no_library(e); }
static int ssh_read(struct blk_node *n, uint64_t offset, void *buf, size_t len) { return -EIO; }
static int ssh_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags) { return -EIO; }
static int ssh_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e) { return no_library(e); }

#define SSH_CALLS .state_size = 1

#endif

static const char *const ssh_prefixes[] = {"ssh", NULL};
const struct blk_driver blk_drv_ssh = {
    .name = "ssh", .kind = BLK_PROTOCOL, .grows = true, .open_opts = ssh_opts, .create_opts = ssh_create_opts,
    .prefixes = ssh_prefixes, .parse_filename = ssh_parse, .open = ssh_open, .read = ssh_read, .write = ssh_write,
    .create = ssh_create, SSH_CALLS,
};
