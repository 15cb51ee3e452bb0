/*
 * gdb-user.c - the gdb stub of a user-mode process: one debugger on a socket, talked to while the process is stopped.
 */
#include "mon/gdb.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct gdb_user {
    struct gdb_stub *stub;
    int fd;              /* -1: the debugger is gone */
    bool go, killed;     /* what the debugger asked for */
    unsigned step;
};

static void send_all(void *opaque, const uint8_t *buf, int n)
{
    struct gdb_user *u = opaque;

    while (n > 0 && u->fd >= 0) {
        ssize_t k = send(u->fd, buf, (size_t)n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return;
        buf += k, n -= (int)k;
    }
}

static void resume(void *opaque, unsigned step_thread, unsigned flags)
{
    struct gdb_user *u = opaque;
    u->go = true;
    u->step = step_thread;
}

/* The engine's callbacks get the caller's opaque; these three need ours. They are told apart by wrapping. */
struct wrapped { struct gdb_user u; struct gdb_target t; };

static unsigned w_n_threads(void *o) { struct wrapped *w = o; return w->t.n_threads(w->t.opaque); }
static struct cpu *w_thread(void *o, unsigned n) { struct wrapped *w = o; return w->t.thread(w->t.opaque, n); }
static int w_thread_id(void *o, unsigned n) { struct wrapped *w = o; return w->t.thread_id(w->t.opaque, n); }
static void w_resume(void *o, unsigned n, unsigned f) { struct wrapped *w = o; resume(&w->u, n, f); }
static void w_stop(void *o) {}
static bool w_running(void *o) { return false; }
static int w_insert(void *o, enum gdb_break k, uint64_t a, uint64_t n) { struct wrapped *w = o; return w->t.insert(w->t.opaque, k, a, n); }
static int w_remove(void *o, enum gdb_break k, uint64_t a, uint64_t n) { struct wrapped *w = o; return w->t.remove(w->t.opaque, k, a, n); }
static void w_kill(void *o) { struct wrapped *w = o; w->u.go = w->u.killed = true; }
static void w_detach(void *o)
{
    struct wrapped *w = o;
    w->u.go = true;
    w->u.step = 0;
    if (w->t.detach) w->t.detach(w->t.opaque);
    close(w->u.fd);
    w->u.fd = -1;
}
static char *w_monitor(void *o, unsigned n, const char *l) { struct wrapped *w = o; return w->t.monitor(w->t.opaque, n, l); }
static char *w_describe(void *o, unsigned n) { struct wrapped *w = o; return w->t.describe_thread(w->t.opaque, n); }
static bool w_offsets(void *o, uint64_t *a, uint64_t *b) { struct wrapped *w = o; return w->t.offsets(w->t.opaque, a, b); }
static const char *w_exec_file(void *o) { struct wrapped *w = o; return w->t.exec_file(w->t.opaque); }
static bool w_auxv(void *o, const uint8_t **d, size_t *n) { struct wrapped *w = o; return w->t.auxv(w->t.opaque, d, n); }

static int listen_on(const char *where, struct error *e)
{
    struct sockaddr_in in;
    struct sockaddr_un un;
    struct sockaddr *sa = (struct sockaddr *)&in;
    socklen_t len = sizeof in;
    int fd, one = 1;

    memset(&in, 0, sizeof in);
    memset(&un, 0, sizeof un);
    if (where[0] == '/') {
        un.sun_family = AF_UNIX;
        if (strlen(where) >= sizeof un.sun_path) return error_set(e, "socket path '%s' is too long", where);
        strcpy(un.sun_path, where);
        sa = (struct sockaddr *)&un, len = sizeof un;
        unlink(where);
    } else {
        char *end;
        unsigned long port = strtoul(where, &end, 10);
        if (*end || end == where || port > 65535) return error_set(e, "-g: '%s' is no port", where);
        in.sin_family = AF_INET;
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in.sin_port = htons((uint16_t)port);
    }
    fd = socket(sa->sa_family, SOCK_STREAM, 0);
    if (fd < 0) return error_set(e, "-g: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, sa, len) || listen(fd, 1)) {
        error_set(e, "could not listen for a debugger on '%s': %s", where, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

struct gdb_user *gdb_user_wait(const char *where, const struct gdb_target *t, struct error *e)
{
    struct wrapped *w;
    struct gdb_target ours;
    int lfd = listen_on(where, e), fd, high, one = 1;

    if (lfd < 0) return NULL;
    do fd = accept(lfd, NULL, NULL);
    while (fd < 0 && errno == EINTR);
    close(lfd);
    if (where[0] == '/') unlink(where);
    if (fd < 0) {
        error_set(e, "-g: %s", strerror(errno));
        return NULL;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* Out of the way of the numbers that the process uses, and not for what it executes. */
    high = fcntl(fd, F_DUPFD_CLOEXEC, 1000);
    if (high >= 0) {
        close(fd);
        fd = high;
    } else {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    w = NEW(struct wrapped);
    w->t = *t;
    w->u.fd = fd;
    ours = (struct gdb_target){
        .opaque = w, .isa = t->isa, .big_endian = t->big_endian, .n_threads = w_n_threads, .thread = w_thread,
        .thread_id = t->thread_id ? w_thread_id : NULL, .resume = w_resume, .stop = w_stop, .running = w_running,
        .insert = w_insert, .remove = w_remove, .kill = w_kill, .detach = w_detach,
        .monitor = t->monitor ? w_monitor : NULL, .describe_thread = t->describe_thread ? w_describe : NULL,
        .offsets = t->offsets ? w_offsets : NULL, .exec_file = t->exec_file ? w_exec_file : NULL,
        .auxv = t->auxv ? w_auxv : NULL,
    };
    w->u.stub = gdb_stub_new(&ours, send_all, &w->u);
    gdb_stub_connected(w->u.stub, true);
    return &w->u;
}

int gdb_user_stopped(struct gdb_user *u, const struct gdb_stop *stop, unsigned *step)
{
    *step = 0;
    if (u->fd < 0) return stop->kind == GDB_STOP_SIGNAL && stop->signo != 5 ? stop->signo : 0;
    u->go = u->killed = false;
    gdb_stub_stopped(u->stub, stop);
    if (stop->kind != GDB_STOP_SIGNAL) return 0;
    while (!u->go && u->fd >= 0) {
        uint8_t buf[4096];
        ssize_t n = recv(u->fd, buf, sizeof buf, 0);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) { /* gone without a word: the process goes on alone */
            gdb_stub_connected(u->stub, false);
            close(u->fd);
            u->fd = -1;
            return 0;
        }
        gdb_stub_input(u->stub, buf, (int)n);
    }
    *step = u->step;
    return u->killed ? -1 : gdb_stub_signal(u->stub);
}

bool gdb_user_wants_stop(struct gdb_user *u)
{
    struct pollfd p = { .fd = u->fd, .events = POLLIN };
    uint8_t buf[64];
    ssize_t n;

    if (u->fd < 0 || poll(&p, 1, 0) <= 0) return false;
    n = recv(u->fd, buf, sizeof buf, MSG_DONTWAIT);
    if (n == 0) {
        gdb_stub_connected(u->stub, false);
        close(u->fd);
        u->fd = -1;
    }
    /* Nothing but ^C and acknowledgements comes while the process runs. */
    return n > 0 && memchr(buf, 3, (size_t)n);
}

int gdb_user_fd(const struct gdb_user *u) { return u->fd; }
bool gdb_user_attached(const struct gdb_user *u) { return u && u->fd >= 0; }

void gdb_user_delete(struct gdb_user *u)
{
    if (!u) return;
    if (u->fd >= 0) close(u->fd);
    /* Not gdb_stub_delete's removal of breakpoints in a forked child's copy: the target's own are copies too, so removing them
     * is right in both. */
    gdb_stub_delete(u->stub);
    mem_free(container_of(u, struct wrapped, u));
}
