/*
 * loop.c - the host event loop over poll(2) (see loop.h).
 *
 * Removal during a callback only marks an entry; entries are freed after the round, so that the round's
 * pointers stay good.
 */
#include "util/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

struct loop_fd {
    struct loop *loop;
    struct loop_fd *next;
    int fd;
    unsigned events;
    bool dead;
    void (*fn)(void *, unsigned);
    void *opaque;
};

struct loop_timer {
    struct loop *loop;
    struct loop_timer *next;
    uint64_t deadline; /* UINT64_MAX: not armed */
    bool dead;
    void (*fn)(void *);
    void *opaque;
};

struct loop {
    struct loop_fd *fds;
    struct loop_timer *timers;
    struct pollfd *pfd; /* [0] is the wake pipe */
    struct loop_fd **pfd_owner;
    unsigned pfd_size;
    int wake_pipe[2];
    int depth; /* of nested loop_poll */
    bool garbage, waiting;
    void (*on_wait)(void *, bool);
    void *on_wait_opaque;
    volatile char interrupted; /* one byte, set from signal handlers */
};

uint64_t loop_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct loop *loop_new(struct error *e)
{
    struct loop *l = NEW(struct loop);

    if (pipe(l->wake_pipe)) {
        error_set(e, "could not create a pipe: %s", strerror(errno));
        mem_free(l);
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(l->wake_pipe[i], F_SETFL, O_NONBLOCK);
        fcntl(l->wake_pipe[i], F_SETFD, FD_CLOEXEC);
    }
    return l;
}

static void collect(struct loop *l)
{
    l->garbage = false;
    for (struct loop_fd **p = &l->fds; *p;) {
        struct loop_fd *f = *p;
        if (f->dead) *p = f->next, mem_free(f);
        else p = &f->next;
    }
    for (struct loop_timer **p = &l->timers; *p;) {
        struct loop_timer *t = *p;
        if (t->dead) *p = t->next, mem_free(t);
        else p = &t->next;
    }
}

void loop_delete(struct loop *l)
{
    if (!l) return;
    for (struct loop_fd *f = l->fds; f; f = f->next) f->dead = true;
    for (struct loop_timer *t = l->timers; t; t = t->next) t->dead = true;
    collect(l);
    close(l->wake_pipe[0]);
    close(l->wake_pipe[1]);
    mem_free(l->pfd);
    mem_free(l->pfd_owner);
    mem_free(l);
}

struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned events, void (*fn)(void *, unsigned),
                            void *opaque)
{
    struct loop_fd *f = NEW(struct loop_fd);
    f->loop = l, f->fd = fd, f->events = events, f->fn = fn, f->opaque = opaque;
    f->next = l->fds;
    l->fds = f;
    if (l->waiting) loop_wake(l);
    return f;
}

void loop_fd_events(struct loop_fd *f, unsigned events)
{
    f->events = events;
    if (f->loop->waiting) loop_wake(f->loop);
}

void loop_fd_remove(struct loop_fd *f)
{
    if (!f) return;
    f->dead = true;
    f->loop->garbage = true;
    if (!f->loop->depth) collect(f->loop);
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *), void *opaque)
{
    struct loop_timer *t = NEW(struct loop_timer);
    t->loop = l, t->fn = fn, t->opaque = opaque, t->deadline = UINT64_MAX;
    t->next = l->timers;
    l->timers = t;
    return t;
}

void loop_timer_arm(struct loop_timer *t, uint64_t ns_from_now)
{
    t->deadline = loop_now_ns() + MIN(ns_from_now, UINT64_MAX / 4);
    if (t->loop->waiting) loop_wake(t->loop);
}

void loop_timer_delete(struct loop_timer *t)
{
    if (!t) return;
    t->dead = true;
    t->deadline = UINT64_MAX;
    t->loop->garbage = true;
    if (!t->loop->depth) collect(t->loop);
}

void loop_wake(struct loop *l)
{
    int saved = errno;
    /* A full pipe already wakes. */
    ssize_t n = write(l->wake_pipe[1], "", 1);
    (void)n;
    errno = saved;
}

void loop_interrupt(struct loop *l)
{
    l->interrupted = 1;
    loop_wake(l);
}

void loop_on_wait(struct loop *l, void (*fn)(void *, bool), void *opaque)
{
    l->on_wait = fn;
    l->on_wait_opaque = opaque;
}

bool loop_interrupted(const struct loop *l) { return l->interrupted; }

static unsigned fill_pollfds(struct loop *l)
{
    unsigned n = 1;

    for (struct loop_fd *f = l->fds; f; f = f->next) n++;
    if (n > l->pfd_size) {
        l->pfd = mem_realloc(l->pfd, n * sizeof *l->pfd);
        l->pfd_owner = mem_realloc(l->pfd_owner, n * sizeof *l->pfd_owner);
        l->pfd_size = n;
    }
    l->pfd[0] = (struct pollfd){ .fd = l->wake_pipe[0], .events = POLLIN };
    n = 1;
    for (struct loop_fd *f = l->fds; f; f = f->next) {
        if (f->dead || !f->events) continue;
        l->pfd[n] = (struct pollfd){ .fd = f->fd };
        if (f->events & LOOP_IN) l->pfd[n].events |= POLLIN;
        if (f->events & LOOP_OUT) l->pfd[n].events |= POLLOUT;
        l->pfd_owner[n++] = f;
    }
    return n;
}

static void run_timers(struct loop *l)
{
    uint64_t now = loop_now_ns();

    for (struct loop_timer *t = l->timers; t; t = t->next) {
        if (t->dead || t->deadline > now) continue;
        t->deadline = UINT64_MAX;
        t->fn(t->opaque);
    }
}

/* poll(2), with finer time where the host has it. */
static int wait_fds(struct pollfd *pfd, unsigned n, uint64_t ns)
{
#ifdef HAVE_PPOLL
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    return ppoll(pfd, n, &t, NULL);
#else
    uint64_t ms = ns / 1000000 + (ns % 1000000 != 0); /* rounded up: waking before a deadline would spin */
    return poll(pfd, n, (int)ms);
#endif
}

void loop_poll(struct loop *l, uint64_t max_wait_ns)
{
    uint64_t next = UINT64_MAX, now;
    unsigned n;

    for (struct loop_timer *t = l->timers; t; t = t->next) {
        if (!t->dead && t->deadline < next) next = t->deadline;
    }
    if (next != UINT64_MAX) {
        now = loop_now_ns();
        max_wait_ns = MIN(max_wait_ns, next > now ? next - now : 0);
    }
    n = fill_pollfds(l);
    l->depth++;
    if (l->on_wait) l->waiting = true, l->on_wait(l->on_wait_opaque, true);
    int ready = wait_fds(l->pfd, n, MIN(max_wait_ns, UINT64_C(1000000000000)));
    if (l->on_wait) l->on_wait(l->on_wait_opaque, false), l->waiting = false;
    if (ready > 0) {
        struct pollfd *pfd = l->pfd;
        struct loop_fd **owner = l->pfd_owner;

        if (pfd[0].revents) {
            char buf[64];
            while (read(l->wake_pipe[0], buf, sizeof buf) > 0) {
            }
        }
        /* A callback that polls again may move the arrays: take them away for this round. */
        l->pfd = NULL, l->pfd_owner = NULL, l->pfd_size = 0;
        for (unsigned i = 1; i < n; i++) {
            unsigned ev = 0;
            if (owner[i]->dead || !pfd[i].revents) continue;
            if (pfd[i].revents & POLLIN) ev |= LOOP_IN;
            if (pfd[i].revents & POLLOUT) ev |= LOOP_OUT;
            if (pfd[i].revents & (POLLHUP | POLLERR | POLLNVAL)) ev |= LOOP_HUP;
            owner[i]->fn(owner[i]->opaque, ev);
        }
        if (l->pfd) {
            mem_free(pfd);
            mem_free(owner);
        } else {
            l->pfd = pfd, l->pfd_owner = owner, l->pfd_size = n;
        }
    }
    run_timers(l);
    if (!--l->depth && l->garbage) collect(l);
}
