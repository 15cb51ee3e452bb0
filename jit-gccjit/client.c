/*
 * client.c - starting and talking to quern-jit-worker-gccjit (jit-gccjit/client.h).
 *
 * The guest must not meet the worker. It is no child of this process, so that the guest's wait() does not find it and no
 * SIGCHLD comes: a helper that sends no signal starts it and ends. Its socket is moved to a high number and closed on exec.
 * A guest may still close it, so before each use it is looked whether the descriptor is still what it was. After
 * a fork the child starts a worker of its own.
 *
 * How long the worker takes says nothing about it: the host may be busy. It limits its own CPU time (worker.c) and ends when a
 * region takes more; here only one that does nothing at all for minutes is given up. A region that ends the worker twice
 * is refused; the worker itself is given up when it does not come up, or ends again and again with nothing compiled in between.
 */
#include "jit-gccjit/client.h"

#include "util/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

enum {
    MAX_FAILURES = 3,           /* to start it, in a row */
    MAX_DEATHS = 20,            /* at work, in a row */
    MAX_CONTEXTS = 200,         /* then a fresh worker: libgccjit keeps memory */
    MAX_RSS_KB = 400 << 10,
    IDLE_SECONDS = 600,         /* without using the processor, while something is wanted of it; an assembler may be at work for it */
    TICK_MS = 5000, END_MS = 5000,
};

struct gj_client {
    char *program;
    int fd;
    dev_t dev;                  /* what fd was when it was made */
    ino_t ino;
    pid_t owner, worker;        /* who started it; its process */
    char *dir;                  /* its temporary files */
    unsigned failures, deaths;
    bool dead, told;
    pthread_mutex_t lock;       /* guards fd, owner, worker, dir: gj_client_leave() may come at any time */
    uint32_t leaving;           /* atomic */
    uint32_t contexts;
    uint32_t rss_kb;             /* of the worker, when it last answered */
};

struct gj_client *gj_client_new(void)
{
    struct gj_client *c = NEW(struct gj_client);
    const char *dir = getenv("QUERN_MODULE_PATH");
    c->program = mem_printf("%s/quern-jit-worker-gccjit", dir ? dir : QUERN_PKGLIBEXECDIR);
    c->fd = -1;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static bool leaving(const struct gj_client *c) { return atomic_load_u32(&c->leaving) != 0; }

static void tell(struct gj_client *c, const char *what, const char *then)
{
    if (!c->told) error_warn("gccjit: %s; %s", what, then);
    c->told = true;
}

static void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.') continue;
        char *path = mem_printf("%s/%s", dir, e->d_name);
        if (unlink(path) && errno != ENOENT) { /* one of libgccjit's own */
            DIR *sub = opendir(path);
            const struct dirent *f;
            while (sub && (f = readdir(sub))) {
                char *inner = f->d_name[0] == '.' ? NULL : mem_printf("%s/%s", path, f->d_name);
                if (inner) unlink(inner);
                mem_free(inner);
            }
            if (sub) closedir(sub);
            rmdir(path);
        }
        mem_free(path);
    }
    if (d) closedir(d);
    rmdir(dir);
}

static bool fd_is_ours(const struct gj_client *c)
{
    struct stat s;
    return c->fd >= 0 && !fstat(c->fd, &s) && s.st_dev == c->dev && s.st_ino == c->ino;
}

/* Ends the worker, in whatever state it is, and removes its files. Lock held. */
static void end(struct gj_client *c)
{
    if (c->owner != getpid()) return;
    if (fd_is_ours(c) && c->worker > 1) {
        /* The worker, and an assembler that it has started, have the other end; so while there is one, the group exists. */
        struct pollfd p = { c->fd, 0, 0 };
        if (poll(&p, 1, 0) == 0) kill(-c->worker, SIGKILL);
        for (unsigned ms = 0; ms < END_MS && poll(&p, 1, 10) <= 0; ms += 10) {
        }
    }
    /* Where a guest has closed the socket the worker finds that out, and removes what is there if it still does something. */
    if (c->dir) remove_dir(c->dir);
}

static void stop(struct gj_client *c)
{
    end(c);
    if (fd_is_ours(c)) close(c->fd);
    mem_free(c->dir);
    c->dir = NULL;
    c->fd = -1;
    c->worker = 0;
}

static void stop_now(struct gj_client *c)
{
    pthread_mutex_lock(&c->lock);
    stop(c);
    pthread_mutex_unlock(&c->lock);
}

/* ---- starting ------------------------------------------------------------------------------------------- */

struct start { const struct gj_client *c; int fd; pid_t pid; int error; };

static void spawn(struct start *s)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none, all;
    char *argv[] = { s->c->program, s->c->dir, NULL }, *env[] = { NULL };

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, s->fd, 0);
    posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0); /* a terminal's signals are not for it */
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    s->error = posix_spawn(&s->pid, s->c->program, &fa, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&fa);
}

#ifdef __linux__
static int helper(void *opaque)
{
    spawn(opaque);
    _exit(0);
}

/* In a child that shares our memory while we wait, and whose end sends no signal. */
static bool spawn_apart(struct start *s)
{
    const size_t size = 65536;
    char *stack = malloc(size);
    sigset_t all, old;
    if (!stack) return false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* handlers must not run in it */
    pid_t pid = clone(helper, (void *)((uintptr_t)(stack + size) & ~(uintptr_t)15), CLONE_VM | CLONE_VFORK, s);
    int err = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    while (pid > 0 && waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR) {
    }
    free(stack);
    if (pid < 0) s->error = err;
    return pid > 0;
}
#else
static bool spawn_apart(struct start *s)
{
    spawn(s);
    return true;
}
#endif

static uint64_t ms_of(clockid_t clock)
{
    struct timespec t;
    return clock_gettime(clock, &t) ? 0 : (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* CPU time of the worker; 0: not known. */
static uint64_t worker_ms(const struct gj_client *c)
{
#if defined _POSIX_CPUTIME && _POSIX_CPUTIME >= 0
    clockid_t clock;
    if (c->worker > 1 && !clock_getcpuclockid(c->worker, &clock)) return ms_of(clock);
#endif
    return (void)c, 0;
}

/* False: it does nothing any more, or has ended. */
static bool wait_for(const struct gj_client *c, short what)
{
    uint64_t last = ms_of(CLOCK_MONOTONIC), used = worker_ms(c);
    for (;;) {
        struct pollfd p = { c->fd, what, 0 };
        int n = poll(&p, 1, TICK_MS);
        if (n > 0) return true;
        if (n < 0 && errno != EINTR) return false;
        uint64_t now = ms_of(CLOCK_MONOTONIC), cpu = worker_ms(c);
        if (cpu != used) used = cpu, last = now;
        if (now - last >= IDLE_SECONDS * 1000u) {
            LOG(OUT_ASM, "gccjit: the worker has done nothing for %d s\n", IDLE_SECONDS);
            return false;
        }
    }
}

static bool receive(const struct gj_client *c, void *to, size_t n)
{
    for (char *p = to; n;) {
        if (!wait_for(c, POLLIN)) return false;
        ssize_t k = recv(c->fd, p, n, MSG_DONTWAIT);
        if (k < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (k <= 0) return false;
        p += k, n -= (size_t)k;
    }
    return true;
}

static bool transmit(const struct gj_client *c, const void *from, size_t n)
{
    for (const char *p = from; n;) {
        if (!wait_for(c, POLLOUT)) return false;
        ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (k <= 0) return false;
        p += k, n -= (size_t)k;
    }
    return true;
}

/* Out of the way of the numbers that guests use. */
static int high_number(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 1000);
    if (high < 0) high = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    if (high < 0) return fd;
    close(fd);
    return high;
}

/* Lock held. */
static bool begin(struct gj_client *c)
{
    const char *tmp = getenv("TMPDIR");
    struct stat s;
    int pair[2];

    c->dir = mem_printf("%s/quern-jit-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
    if (!mkdtemp(c->dir) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
        tell(c, strerror(errno), "nothing is compiled");
        if (errno != ENOENT) rmdir(c->dir);
        mem_free(c->dir);
        c->dir = NULL;
        c->dead = true;
        return false;
    }
    pair[0] = high_number(pair[0]);
    pair[1] = high_number(pair[1]);
    c->fd = pair[0];
    if (!fstat(c->fd, &s)) c->dev = s.st_dev, c->ino = s.st_ino;
    struct start st = { .c = c, .fd = pair[1] };
    bool ok = spawn_apart(&st) && !st.error;
    close(pair[1]);
    c->owner = getpid();
    c->worker = ok ? st.pid : 0;
    c->contexts = 0;
    return ok;
}

static bool start(struct gj_client *c)
{
    struct gj_hello hello;

    if (access(c->program, X_OK)) {
        char *text = mem_printf("%s: %s", c->program, strerror(errno));
        tell(c, text, "nothing is compiled");
        mem_free(text);
        c->dead = true;
        return false;
    }
    pthread_mutex_lock(&c->lock);
    bool ok = !leaving(c) && begin(c);
    pthread_mutex_unlock(&c->lock);
    if (ok) ok = receive(c, &hello, sizeof hello);
    if (ok && (hello.magic != GJ_HELLO || hello.version != GJ_VERSION || hello.abi != jit_abi())) {
        tell(c, "the worker program is of another build", "nothing is compiled");
        c->dead = true;
        ok = false;
    }
    if (!ok) stop_now(c);
    return ok;
}

/* ---- asking --------------------------------------------------------------------------------------------- */

static bool ready(struct gj_client *c)
{
    if (c->fd >= 0 && (c->owner != getpid() || !fd_is_ours(c) || c->contexts >= MAX_CONTEXTS || c->rss_kb > MAX_RSS_KB)) {
        stop_now(c);
        c->rss_kb = 0;
    }
    while (c->fd < 0 && !c->dead && !leaving(c)) {
        if (start(c)) {
            c->failures = 0;
            return true;
        }
        if (!c->dead && !leaving(c) && ++c->failures >= MAX_FAILURES) {
            tell(c, "the worker program does not start", "nothing is compiled");
            c->dead = true;
        }
    }
    return c->fd >= 0;
}

/* NULL, and not refused: the worker is gone. */
static uint8_t *ask(struct gj_client *c, const struct gj_request *q, const void *regions, size_t *size, bool *refused)
{
    struct gj_reply r;

    *refused = false;
    if (!transmit(c, q, sizeof *q) || !transmit(c, regions, q->size) || !receive(c, &r, sizeof r)) return NULL;
    if (r.magic != GJ_REPLY || r.size > GJ_MAX_SIZE) return NULL;
    c->contexts = r.contexts;
    c->rss_kb = r.rss_kb;
    if (!r.size) {
        r.error[sizeof r.error - 1] = 0;
        LOG(OUT_ASM, "gccjit: a batch of %u not compiled: %s\n", q->n_regions, r.error);
        *refused = true;
        return NULL;
    }
    uint8_t *object = malloc(r.size);
    if (!object || !receive(c, object, r.size)) {
        free(object);
        return NULL;
    }
    *size = r.size;
    return object;
}

uint8_t *gj_client_compile(struct gj_client *c, const void *regions, size_t size, unsigned n, size_t *object_size, bool *dead)
{
    const struct gj_request q = { GJ_REQUEST, (uint32_t)size, n, 0 };

    *dead = false;
    for (unsigned tries = n > 1 ? 1 : 2; tries && ready(c);) { /* of many, one may be what it ends of: the caller tries smaller batches */
        bool refused;
        uint8_t *object = ask(c, &q, regions, object_size, &refused);
        if (object || refused) {
            c->deaths = 0;
            return object;
        }
        stop_now(c);
        if (leaving(c)) break;
        LOG(OUT_ASM, "gccjit: the worker ended over a batch of %u\n", n);
        if (++c->deaths >= MAX_DEATHS) {
            c->told = false;
            tell(c, "the worker program has failed too often", "nothing more is compiled");
            c->dead = true;
        } else {
            tell(c, "the worker program ended unexpectedly", "starting another");
            tries--;
        }
    }
    *dead = c->dead || leaving(c);
    return NULL;
}

void gj_client_leave(struct gj_client *c)
{
    pthread_mutex_lock(&c->lock);
    atomic_store_u32(&c->leaving, 1);
    end(c); /* no more than that: another thread may be waiting for an answer */
    pthread_mutex_unlock(&c->lock);
}

void gj_client_forked(struct gj_client *c)
{
    pthread_mutex_init(&c->lock, NULL);
    stop(c);
}

void gj_client_free(struct gj_client *c)
{
    if (!c) return;
    stop_now(c);
    pthread_mutex_destroy(&c->lock);
    mem_free(c->program);
    free(c);
}
