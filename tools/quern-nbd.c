/*
 * quern-nbd.c - exports a disk image by the NBD protocol. The server is blockfmt/nbd-server.h's; this is options, the
 * sockets to listen on, going to the background and leaving.
 *
 * Sockets may come from whoever started the program (LISTEN_FDS and LISTEN_PID of sd_listen_fds): then -b, -p and -k
 * have no meaning.
 */
#include "tools/nbd.h"
#include "util/loop.h"
#include "util/tls.h"
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_BITMAPS = 32, LONG_BASE = 256 };

/* ---- the table of options ------------------------------------------------------------------------- */

struct nbd_opt { int letter; const char *name, *arg, *help; }; /* name NULL: a heading */
static const struct nbd_opt table[] = {
#define NBD_GROUP(heading) {0, NULL, NULL, heading},
#define NBD(letter, name, arg, help) {letter, #name, arg, help},
#include "tools/nbd-options.def"
#undef NBD
#undef NBD_GROUP
};

static void usage(FILE *to)
{
    fprintf(to, "Usage: quern-nbd [OPTION]... FILE\n  or:  quern-nbd -L [OPTION]...\n  or:  quern-nbd -d DEVICE\n"
                "QUERN disk network block device server\n");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char left[64], letter[8] = "    ";
        if (!table[i].name) {
            fprintf(to, "\n%s:\n", table[i].help);
            continue;
        }
        if (table[i].letter) snprintf(letter, sizeof letter, "-%c, ", table[i].letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, table[i].name, *table[i].arg ? "=" : "", table[i].arg);
        fprintf(to, "  %-30s %s\n", left, table[i].help);
    }
}

/* The manual page: `quern-nbd --man`. */
static void manual(void)
{
    man_head("quern\\-nbd", "QUERN\\-NBD", "disk network block device server",
             ".B quern\\-nbd\n[options]\n.I file\n.br\n.B quern\\-nbd\n\\-L [options]\n.br\n.B quern\\-nbd\n\\-d\n.I device\n",
             "Exports a disk image to clients of the Network Block Device protocol. Without \\-t it ends when the last "
             "client has left.");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char name[64];
        if (!table[i].name) {
            printf("%s \"%s\"\n", i ? ".SS" : ".SH OPTIONS\n.SS", table[i].help);
            continue;
        }
        if (table[i].letter) snprintf(name, sizeof name, "-%c, --%s", table[i].letter, table[i].name);
        else snprintf(name, sizeof name, "--%s", table[i].name);
        man_item(name, table[i].arg, table[i].help);
    }
    printf(".SH \"EXIT STATUS\"\n0, or 1 after an error.\n"
           ".SH EXAMPLES\n.nf\nquern\\-nbd \\-t \\-e 4 \\-k /run/disk.sock \\-f qcow2 disk.qcow2\n"
           "quern\\-img convert nbd+unix:///?socket=/run/disk.sock \\-O raw copy.raw\n"
           "quern\\-nbd \\-\\-object tls\\-creds\\-x509,id=t,dir=/etc/pki/nbd,endpoint=server \\-\\-tls\\-creds t disk.raw\n.fi\n"
           ".SH \"SEE ALSO\"\n.BR quern (1),\n.BR quern\\-img (1),\n.BR quern\\-io (1)\n");
}

/* ---- what was asked for --------------------------------------------------------------------------- */

struct args {
    struct nbd_image image;
    const char *port, *bind, *socket, *name, *description, *tls_creds, *tls_hostname, *pid_file, *connect, *disconnect,
        *detect_zeroes;
    const char *bitmaps[MAX_BITMAPS + 1];
    unsigned bitmap_count, shared;
    bool persistent, verbose, fork, list, depth, cache_given, aio_given, discard_given;
};

/* What happens while the server runs. */
struct state {
    struct loop *loop;
    atomic_bool came, empty, device_gone;
};

static struct loop *signalled; /* for the handler */

static void on_signal(int sig) { loop_interrupt(signalled); }

static void clients_changed(void *opaque, unsigned n)
{
    struct state *s = opaque;

    if (n) atomic_store(&s->came, true);
    atomic_store(&s->empty, !n);
    loop_wake(s->loop);
}

static void device_gone(void *opaque)
{
    struct state *s = opaque;
    atomic_store(&s->device_gone, true);
    loop_wake(s->loop);
}

static void say(void *opaque, const char *text) { error_info("%s", text); }

static int number(const char *what, const char *s, uint64_t max, uint64_t *out)
{
    struct error e = ERROR_INIT;
    if (!opt_parse_number(what, s, max, out, &e)) return 0;
    error_report("Invalid %s '%s'", what, s);
    return -1;
}

/* One option. 0, 1: done, nothing more to do; -1 after a message. */
static int take(struct blk_graph *g, struct args *a, const char *name, const char *arg)
{
    struct error e = ERROR_INIT;
    uint64_t v;

    if (!strcmp(name, "help")) return usage(stdout), 1;
    if (!strcmp(name, "version")) return printf("quern-nbd version %s\n", PACKAGE_VERSION), 1;
    if (!strcmp(name, "verbose")) a->verbose = true;
    else if (!strcmp(name, "fork")) a->fork = true;
    else if (!strcmp(name, "pid-file")) a->pid_file = arg;
    else if (!strcmp(name, "object")) return img_object(g, arg);
    else if (!strcmp(name, "port")) {
        if (number("port", arg, 65535, &v)) return -1;
        a->port = arg;
    } else if (!strcmp(name, "bind")) a->bind = arg;
    else if (!strcmp(name, "socket")) {
        if (*arg != '/') return error_report("socket path must be absolute"), -1;
        a->socket = arg;
    } else if (!strcmp(name, "shared")) {
        if (number("shared device number", arg, INT32_MAX, &v)) return -1;
        a->shared = (unsigned)v;
    } else if (!strcmp(name, "persistent")) a->persistent = true;
    else if (!strcmp(name, "export-name")) a->name = arg;
    else if (!strcmp(name, "description")) a->description = arg;
    else if (!strcmp(name, "tls-creds")) a->tls_creds = arg;
    else if (!strcmp(name, "tls-hostname")) a->tls_hostname = arg;
    else if (!strcmp(name, "tls-authz") || !strcmp(name, "selinux-label"))
        return error_report("--%s is not supported by this build", name), -1;
    else if (!strcmp(name, "list")) a->list = true;
    else if (!strcmp(name, "format")) a->image.format = arg;
    else if (!strcmp(name, "image-opts")) a->image.image_opts = true;
    else if (!strcmp(name, "read-only")) a->image.flags |= BLK_RDONLY;
    else if (!strcmp(name, "snapshot")) a->image.flags |= BLK_SNAPSHOT;
    else if (!strcmp(name, "load-snapshot")) {
        a->image.load_snapshot = arg;
        a->image.flags |= BLK_RDONLY;
    } else if (!strcmp(name, "nocache") || !strcmp(name, "cache")) {
        if (a->cache_given) return error_report("-n and --cache can only be specified once"), -1;
        a->cache_given = true;
        if (blk_parse_cache(arg ? arg : "none", &a->image.flags)) return error_report("Invalid cache mode `%s'", arg), -1;
    } else if (!strcmp(name, "aio")) {
        if (a->aio_given) return error_report("--aio can only be specified once"), -1;
        a->aio_given = true;
        if (blk_parse_aio(arg, &a->image.flags)) return error_report("Invalid aio mode '%s'", arg), -1;
    } else if (!strcmp(name, "discard")) {
        if (a->discard_given) return error_report("--discard can only be specified once"), -1;
        a->discard_given = true;
        if (blk_parse_discard(arg, &a->image.flags)) return error_report("Invalid discard mode `%s'", arg), -1;
    } else if (!strcmp(name, "detect-zeroes")) a->detect_zeroes = arg;
    else if (!strcmp(name, "offset")) {
        if (opt_parse_size("offset", arg, 1, &a->image.offset, &e)) return error_report("Invalid offset '%s'", arg), -1;
    } else if (!strcmp(name, "partition")) {
        if (number("partition", arg, 255, &v)) return -1;
        if (!v) return error_report("Invalid partition '%s'", arg), -1;
        a->image.partition = (unsigned)v;
    } else if (!strcmp(name, "bitmap")) {
        for (unsigned i = 0; i < a->bitmap_count; i++) {
            if (!strcmp(a->bitmaps[i], arg)) return 0; /* offered once */
        }
        if (a->bitmap_count == MAX_BITMAPS) return error_report("too many bitmaps"), -1;
        a->bitmaps[a->bitmap_count++] = arg;
    } else if (!strcmp(name, "allocation-depth")) a->depth = true;
    else if (!strcmp(name, "connect")) a->connect = arg;
    else if (!strcmp(name, "disconnect")) a->disconnect = arg;
    return 0;
}

static int parse(struct blk_graph *g, struct args *a, int argc, char **argv)
{
    struct option longs[ARRAY_LEN(table) + 1];
    char letters[3 * ARRAY_LEN(table) + 2];
    size_t n = 0, l = 0;
    int c, rc;

    letters[l++] = ':';
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (!table[i].name) continue;
        longs[n++] = (struct option){table[i].name, *table[i].arg ? required_argument : no_argument, NULL, LONG_BASE + (int)i};
        if (!table[i].letter) continue;
        letters[l++] = (char)table[i].letter;
        if (*table[i].arg) letters[l++] = ':';
    }
    longs[n] = (struct option){NULL, 0, NULL, 0};
    letters[l] = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const struct nbd_opt *t = NULL;
        for (size_t i = 0; i < ARRAY_LEN(table) && !t; i++) {
            if (table[i].name && (c == LONG_BASE + (int)i || (table[i].letter && c == table[i].letter))) t = &table[i];
        }
        if (!t) {
            error_report("%s '%s'", c == ':' ? "missing argument for option" : "unrecognized option", argv[optind - 1]);
            fprintf(stderr, "Try 'quern-nbd --help' for more information.\n");
            return -1;
        }
        rc = take(g, a, t->name, optarg);
        if (rc) return rc;
    }
    return 0;
}

static int check_args(struct args *a, int rest)
{
    struct error e = ERROR_INIT;

    if (a->disconnect || a->list) {
        if (rest && a->list) return error_report("List mode is incompatible with a file name"), -1;
        if (a->list && (a->name || a->description || a->bitmap_count || a->depth || a->image.offset || a->persistent ||
                        a->image.format || a->image.flags & (BLK_RDONLY | BLK_SNAPSHOT)))
            return error_report("List mode is incompatible with settings of an export"), -1;
        return 0;
    }
    if (rest != 1) {
        error_report("Invalid number of arguments");
        fprintf(stderr, "Try 'quern-nbd --help' for more information.\n");
        return -1;
    }
    if (a->detect_zeroes && blk_parse_detect_zeroes(a->detect_zeroes, &a->image.flags, &e)) return error_print(&e), -1;
    if (a->image.image_opts && a->image.format) return error_report("--image-opts and -f are mutually exclusive"), -1;
    if (a->connect && a->tls_creds) return error_report("TLS is not supported with a host device"), -1;
    if (a->tls_hostname) return error_report("--tls-hostname is only for -L"), -1;
    if (a->socket && (a->port || a->bind)) error_warn("with --socket, --port and --bind have no effect");
    return 0;
}

/* ---- going to the background ---------------------------------------------------------------------- */

/* In the parent, waits for the child and ends with what it says; returns in the child the descriptor to say it on. */
static int go_background(void)
{
    int p[2];
    char ok;
    pid_t pid;

    if (pipe(p)) return error_report("could not create a pipe: %s", strerror(errno)), -1;
    fflush(NULL);
    pid = fork();
    if (pid < 0) return error_report("Failed to fork: %s", strerror(errno)), -1;
    if (pid) {
        ssize_t n;
        close(p[1]);
        do n = read(p[0], &ok, 1);
        while (n < 0 && errno == EINTR);
        _exit(n == 1 ? 0 : 1); /* nothing was opened on this side */
    }
    close(p[0]);
    setsid();
    fcntl(p[1], F_SETFD, FD_CLOEXEC);
    return p[1];
}

static void say_ready(int fd, bool keep_stderr)
{
    int null = open("/dev/null", O_RDWR);
    ssize_t n;

    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
        if (!keep_stderr) dup2(null, 2);
        if (null > 2) close(null);
    }
    n = write(fd, "", 1);
    (void)n;
    close(fd);
}

static int write_pid(const char *path)
{
    FILE *f = fopen(path, "w");
    bool ok = f && fprintf(f, "%ld\n", (long)getpid()) > 0;

    if (f && fclose(f)) ok = false;
    return ok ? 0 : (error_report("cannot create PID file '%s': %s", path, strerror(errno)), -1);
}

/* ---- listening ------------------------------------------------------------------------------------ */

/* Sockets the starter left us: how many, from descriptor 3 on. */
static int inherited(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    int n = pid && fds && atol(pid) == (long)getpid() ? atoi(fds) : 0;

    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    for (int i = 0; i < n; i++) {
        struct stat st;
        if (n > 16 || fstat(3 + i, &st) || !S_ISSOCK(st.st_mode)) return error_report("LISTEN_FDS does not tell of sockets"), -1;
        fcntl(3 + i, F_SETFD, FD_CLOEXEC);
    }
    return MAX(n, 0);
}

static int listen_all(struct nbd_server *s, const struct args *a, int given)
{
    struct error e = ERROR_INIT;
    struct sock_addr addr = {.local = a->socket != NULL, .path = (char *)(uintptr_t)a->socket,
                             .host = (char *)(uintptr_t)(a->bind ? a->bind : "0.0.0.0"),
                             .port = (char *)(uintptr_t)(a->port ? a->port : "10809")};
    int fds[16], n = given;

    if (given) {
        for (int i = 0; i < n; i++) fds[i] = 3 + i;
    } else {
        n = sock_listen(&addr, fds, ARRAY_LEN(fds), &e);
        if (n < 0) return error_print(&e), -1;
    }
    for (int i = 0; i < n; i++) nbd_server_listen(s, fds[i]);
    return 0;
}

static int attach_device(struct nbd_server *s, struct nbd_device *d, const struct args *a, struct state *st)
{
    int p[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, p)) return error_report("could not create a socket: %s", strerror(errno)), -1;
    if (nbd_server_client(s, p[0])) {
        close(p[1]);
        return error_report("could not start a thread"), -1;
    }
    return nbd_device_attach(d, p[1], a->name ? a->name : "", device_gone, st);
}

/* ---- main ----------------------------------------------------------------------------------------- */

static struct tls_creds *find_tls(struct blk_graph *g, const struct args *a, bool server, bool *bad)
{
    struct tls_creds *c = a->tls_creds ? blk_object_find(g, "tls-creds", a->tls_creds) : NULL;

    *bad = a->tls_creds && (!c || tls_creds_server(c) != server);
    if (a->tls_creds && !c) error_report("Failed to get TLS creds: No TLS credentials with id '%s'", a->tls_creds);
    else if (*bad) error_report("Expecting TLS credentials with a %s endpoint", server ? "server" : "client");
    return c;
}

static int list(struct blk_graph *g, const struct args *a)
{
    struct sock_addr addr = {.local = a->socket != NULL, .path = (char *)(uintptr_t)a->socket,
                             .host = (char *)(uintptr_t)(a->bind ? a->bind : "localhost"),
                             .port = (char *)(uintptr_t)(a->port ? a->port : "10809")};
    bool bad;
    struct tls_creds *tls = find_tls(g, a, false, &bad);
    const char *host = a->tls_hostname ? a->tls_hostname : addr.local ? NULL : addr.host;

    if (bad) return 1;
    if (tls && !host && tls_creds_x509(tls)) return error_report("--tls-hostname is needed with a Unix socket"), 1;
    return nbd_print_list(&addr, tls, host);
}

static int serve(struct blk_graph *g, struct args *a, int background, int given)
{
    struct state st = {NULL};
    struct error e = ERROR_INIT;
    struct nbd_server_config cfg = {.max_clients = a->shared, .multi_conn = a->shared != 1, .clients_changed = clients_changed,
                                    .message = a->verbose ? say : NULL, .opaque = &st};
    struct nbd_export_config x = {.name = a->name ? a->name : "", .description = a->description, .allocation_depth = a->depth,
                                  .bitmaps = a->bitmaps};
    struct nbd_server *s = NULL;
    struct nbd_device *dev = NULL;
    struct blk_backend *blk = NULL;
    bool bad;
    int rc = 1;

    cfg.tls = find_tls(g, a, true, &bad);
    if (bad) goto out;
    atomic_init(&st.came, false), atomic_init(&st.empty, true), atomic_init(&st.device_gone, false);
    st.loop = signalled = loop_new(&e);
    if (!st.loop) goto out;
    struct sigaction sa = {.sa_handler = on_signal};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    blk = nbd_open_image(g, &a->image);
    if (!blk) goto out;
    x.writable = !blk_readonly(blk);
    if (a->connect && !(dev = nbd_device_open(a->connect))) goto out;
    s = nbd_server_new(&cfg, &e);
    if (!s || nbd_server_add(s, blk, &x, &e)) goto out;
    if (dev && attach_device(s, dev, a, &st)) goto out;
    if ((!dev || a->socket || a->port || given) && listen_all(s, a, given)) goto out;
    if (a->pid_file && write_pid(a->pid_file)) goto out;
    if (dev && a->verbose) printf("NBD device %s is now connected to %s\n", a->connect, a->image.name);
    if (background >= 0) say_ready(background, a->verbose);
    while (!loop_interrupted(st.loop) && !atomic_load(&st.device_gone)) {
        if (!a->persistent && atomic_load(&st.came) && atomic_load(&st.empty)) break;
        loop_poll(st.loop, UINT64_C(60000000000));
    }
    rc = 0;
out:
    if (e.set) error_print(&e);
    nbd_device_detach(dev);
    nbd_server_delete(s);
    if (s && a->socket && !given) unlink(a->socket);
    blk_close(blk);
    if (st.loop) {
        signal(SIGTERM, SIG_DFL), signal(SIGINT, SIG_DFL), signal(SIGHUP, SIG_DFL);
        loop_delete(st.loop);
    }
    return rc;
}

int main(int argc, char **argv)
{
    struct args a = {.shared = 1, .image.flags = BLK_UNMAP};
    struct blk_graph *g;
    int rc, background = -1, given;

    error_set_progname("quern-nbd");
    if (argc == 2 && !strcmp(argv[1], "--man")) return manual(), 0;
    g = blk_graph_new();
    rc = parse(g, &a, argc, argv);
    if (!rc) rc = check_args(&a, argc - optind);
    if (rc) {
        rc = rc < 0; /* 1: help or the version, which is all */
        goto end;
    }
    if (a.disconnect) {
        rc = nbd_device_disconnect(a.disconnect);
        goto end;
    }
    if (a.list) {
        rc = list(g, &a);
        goto end;
    }
    a.image.name = argv[optind];
    given = inherited(); /* the child of --fork has another process id */
    rc = given < 0;
    if (!rc && a.fork && (background = go_background()) < 0) rc = 1;
    if (!rc) rc = serve(g, &a, background, given);
end:
    blk_graph_delete(g);
    if (fflush(stdout)) rc = 1;
    return rc ? 1 : 0;
}
