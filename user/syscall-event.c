/*
 * syscall-event.c - waiting for descriptors, and the descriptors that are made of events.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* What is left of a timeout that began at `start`. */
static void time_left(const struct timespec *start, struct timespec *ts)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ns = (ts->tv_sec - (now.tv_sec - start->tv_sec)) * (int64_t)1000000000 + ts->tv_nsec -
                 (now.tv_nsec - start->tv_nsec);
    if (ns < 0) ns = 0;
    ts->tv_sec = (time_t)(ns / 1000000000);
    ts->tv_nsec = (long)(ns % 1000000000);
}

/* ppoll and its like replace the mask while they wait. The host's call does it as atomically as the
 * guest's: NULL when there is no mask. */
static const sigset_t *waiting_mask(struct thread *t, bool have, uint64_t mask, sigset_t *set)
{
    if (!have) return NULL;
    signal_temporary_mask(t, mask);
    signal_to_sigset(t->mask & ~((uint64_t)1 << (SIGSEGV - 1) | (uint64_t)1 << (SIGBUS - 1) |
                                 (uint64_t)1 << (SIGNAL_REKICK - 1)),
                     set);
    return set;
}

/* ---- poll
 * ---------------------------------------------------------------------------------------------- */
static int64_t do_poll(struct thread *t, uint64_t fds, uint64_t n, struct timespec *ts,
                       bool have_mask, uint64_t mask)
{
    const struct abi *abi = t->proc->abi;
    if (n > 1 << 16) return -EINVAL;
    uint8_t *g = mem_out(t->proc, fds, n * 8);
    if (!g) return -EFAULT;
    struct pollfd *v = NEW_ARRAY(struct pollfd, n + 1);
    for (uint64_t i = 0; i < n; i++) {
        v[i].fd = (int32_t)guest_ld(abi, g + i * 8, 4);
        v[i].events = (short)guest_ld(abi, g + i * 8 + 4, 2);
    }
    sigset_t set;
    const sigset_t *sp = waiting_mask(t, have_mask, mask, &set);
    int64_t r = have_mask && signal_pick(t) ? -EINTR : sys_ret(ppoll(v, (nfds_t)n, ts, sp));
    if (r >= 0)
        for (uint64_t i = 0; i < n; i++)
            guest_st(abi, g + i * 8 + 6, 2, (uint16_t)v[i].revents);
    mem_free(v);
    if (r != -EINTR) signal_end_temporary(t);
    return r;
}

int64_t sys_poll(struct thread *t, const uint64_t *a)
{
    int32_t ms = (int32_t)a[2];
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    return do_poll(t, a[0], a[1], ms < 0 ? NULL : &ts, false, 0);
}

int64_t sys_ppoll(struct thread *t, const uint64_t *a)
{
    struct timespec ts, start;
    uint64_t mask = 0;
    if (a[2] && get_layout(t, a[2], layout_for_time(t), &ts)) return -EFAULT;
    if (a[3] && !signal_get_set(t, a[3], &mask)) return -EFAULT;
    clock_gettime(CLOCK_MONOTONIC, &start);
    struct timespec wait = ts;
    int64_t r = do_poll(t, a[0], a[1], a[2] ? &wait : NULL, a[3] != 0, mask);
    if (a[2]) {
        time_left(&start, &ts);
        if (put_layout(t, a[2], layout_for_time(t), &ts))
            LOG(UNIMP, "ppoll: the timeout is read-only\n");
    }
    return r;
}

/* ---- select
 * -----------------------------------------------------------------------------------------------
 */
static int get_fds(struct thread *t, uint64_t addr, int n, fd_set *set)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size, bits = w * 8;
    FD_ZERO(set);
    for (int i = 0; i < n; i += (int)bits) {
        uint64_t v;
        if (get_scalar(t, addr + (unsigned)i / 8, w, &v)) return -EFAULT;
        for (unsigned k = 0; k < bits && i + (int)k < n; k++)
            if (v >> k & 1) FD_SET(i + (int)k, set);
    }
    return 0;
}

static int put_fds(struct thread *t, uint64_t addr, int n, const fd_set *set)
{
    unsigned w = t->proc->abi->long_size, bits = w * 8;
    for (int i = 0; i < n; i += (int)bits) {
        uint64_t v = 0;
        for (unsigned k = 0; k < bits && i + (int)k < n; k++)
            if (FD_ISSET(i + (int)k, set)) v |= (uint64_t)1 << k;
        if (put_scalar(t, addr + (unsigned)i / 8, w, v)) return -EFAULT;
    }
    return 0;
}

static int64_t do_select(struct thread *t, const uint64_t *a, struct timespec *ts, bool have_mask,
                         uint64_t mask)
{
    int n = (int)a[0];
    fd_set set[3];
    if (n < 0) return -EINVAL;
    if (n > FD_SETSIZE) n = FD_SETSIZE;
    for (int i = 0; i < 3; i++)
        if (a[1 + i] && get_fds(t, a[1 + i], n, &set[i])) return -EFAULT;
    sigset_t sigs;
    const sigset_t *sp = waiting_mask(t, have_mask, mask, &sigs);
    int64_t r = have_mask && signal_pick(t)
                    ? -EINTR
                    : sys_ret(pselect(n, a[1] ? &set[0] : NULL, a[2] ? &set[1] : NULL,
                                      a[3] ? &set[2] : NULL, ts, sp));
    if (r != -EINTR) signal_end_temporary(t);
    for (int i = 0; r >= 0 && i < 3; i++)
        if (a[1 + i] && put_fds(t, a[1 + i], n, &set[i])) return -EFAULT;
    return r;
}

int64_t sys_select(struct thread *t, const uint64_t *a)
{
    struct timeval tv;
    struct timespec ts, start;
    if (a[4]) {
        if (get_layout(t, a[4], &layout_timeval, &tv)) return -EFAULT;
        if (tv.tv_sec < 0 || tv.tv_usec < 0) return -EINVAL;
        ts.tv_sec = tv.tv_sec + tv.tv_usec / 1000000;
        ts.tv_nsec = tv.tv_usec % 1000000 * 1000;
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    struct timespec wait = ts;
    int64_t r = do_select(t, a, a[4] ? &wait : NULL, false, 0);
    if (a[4]) {
        time_left(&start, &ts);
        tv.tv_sec = ts.tv_sec;
        tv.tv_usec = ts.tv_nsec / 1000;
        if (put_layout(t, a[4], &layout_timeval, &tv)) return r;
    }
    return r;
}

int64_t sys_pselect6(struct thread *t, const uint64_t *a)
{
    unsigned w = t->proc->abi->long_size;
    struct timespec ts;
    uint64_t set = 0, size = 0, mask = 0;
    if (a[4] && get_layout(t, a[4], layout_for_time(t), &ts)) return -EFAULT;
    /* The sixth argument points at a pair: set and its size */
    if (a[5] && (get_scalar(t, a[5], w, &set) || get_scalar(t, a[5] + w, w, &size))) return -EFAULT;
    if (set && size != t->proc->abi->sigset_size) return -EINVAL;
    if (set && !signal_get_set(t, set, &mask)) return -EFAULT;
    return do_select(t, a, a[4] ? &ts : NULL, set != 0, mask);
}

/* ---- epoll
 * --------------------------------------------------------------------------------------------------
 */
/* u32 events, padding, u64 data; the data are the guest's and go through as a number. */
static unsigned epoll_data_at(const struct abi *abi) { return abi->epoll_packed ? 4 : 8; }

int64_t sys_epoll_create(struct thread *t, const uint64_t *a)
{
    return (int)a[0] <= 0 ? -EINVAL : sys_ret(epoll_create1(0));
}
int64_t sys_epoll_create1(struct thread *t, const uint64_t *a)
{
    uint32_t unknown, flags = abi_flags_to_host(t->proc->abi->open_flags, (uint32_t)a[0], &unknown);
    return unknown || (flags & ~(uint32_t)O_CLOEXEC)
               ? -EINVAL
               : sys_ret(epoll_create1(flags ? EPOLL_CLOEXEC : 0));
}

int64_t sys_epoll_ctl(struct thread *t, const uint64_t *a)
{
    struct epoll_event ev;
    memset(&ev, 0, sizeof ev);
    if ((int)a[1] != EPOLL_CTL_DEL) {
        const uint8_t *g = mem_in(t->proc, a[3], epoll_data_at(t->proc->abi) + 8);
        if (!g) return -EFAULT;
        ev.events = (uint32_t)guest_ld(t->proc->abi, g, 4);
        ev.data.u64 = guest_ld(t->proc->abi, g + epoll_data_at(t->proc->abi), 8);
    }
    return sys_ret(epoll_ctl((int)a[0], (int)a[1], (int)a[2], &ev));
}

static int64_t do_epoll(struct thread *t, const uint64_t *a, const struct timespec *ts, int ms,
                        uint64_t set_addr)
{
    int n = (int)a[2];
    uint64_t mask = 0;
    unsigned data = epoll_data_at(t->proc->abi), size = data + 8;
    if (n <= 0 || n > 1 << 20) return -EINVAL;
    uint8_t *g = mem_out(t->proc, a[1], (uint64_t)n * size);
    if (!g) return -EFAULT;
    if (set_addr && !signal_get_set(t, set_addr, &mask)) return -EFAULT;
    if (ts)
        ms = (int)MIN(ts->tv_sec * (int64_t)1000 + (ts->tv_nsec + 999999) / 1000000,
                      (int64_t)INT32_MAX);
    n = MIN(n, 4096);
    struct epoll_event *v = NEW_ARRAY(struct epoll_event, n);
    sigset_t sigs;
    const sigset_t *sp = waiting_mask(t, set_addr != 0, mask, &sigs);
    int64_t r = set_addr && signal_pick(t) ? -EINTR : sys_ret(epoll_pwait((int)a[0], v, n, ms, sp));
    for (int64_t i = 0; i < r; i++) {
        guest_st(t->proc->abi, g + i * size, 4, v[i].events);
        guest_st(t->proc->abi, g + i * size + data, 8, v[i].data.u64);
    }
    mem_free(v);
    if (r != -EINTR) signal_end_temporary(t);
    return r;
}

int64_t sys_epoll_wait(struct thread *t, const uint64_t *a)
{
    return do_epoll(t, a, NULL, (int)a[3], 0);
}
int64_t sys_epoll_pwait(struct thread *t, const uint64_t *a)
{
    return do_epoll(t, a, NULL, (int)a[3], a[4]);
}
int64_t sys_epoll_pwait2(struct thread *t, const uint64_t *a)
{
    struct timespec ts;
    if (a[3] && get_layout(t, a[3], layout_for_time(t), &ts)) return -EFAULT;
    return do_epoll(t, a, a[3] ? &ts : NULL, -1, a[4]);
}

/* ---- descriptors of events
 * ------------------------------------------------------------------------------------ */
static int64_t new_fd(struct thread *t, int64_t fd, enum fd_kind kind)
{
    if (fd >= 0) fd_kind_set(t->proc, (int)fd, kind);
    return fd;
}

static int open_flags(struct thread *t, uint64_t guest)
{
    return (int)abi_flags_to_host(t->proc->abi->open_flags, (uint32_t)guest, NULL);
}

int64_t sys_eventfd(struct thread *t, const uint64_t *a)
{
    return new_fd(t, sys_ret(eventfd((unsigned)a[0], 0)), FD_COUNTER);
}
int64_t sys_eventfd2(struct thread *t, const uint64_t *a)
{
    /* EFD_SEMAPHORE is 1 everywhere, which is also an open flag. */
    int flags = open_flags(t, a[1] & ~(uint64_t)1) | (int)(a[1] & 1);
    return new_fd(t, sys_ret(eventfd((unsigned)a[0], flags)), FD_COUNTER);
}

static int64_t do_signalfd(struct thread *t, const uint64_t *a, int flags)
{
    uint64_t mask;
    sigset_t set;
    if (a[2] != t->proc->abi->sigset_size) return -EINVAL;
    if (!signal_get_set(t, a[1], &mask)) return -EFAULT;
    signal_to_sigset(mask, &set);
    return new_fd(t, sys_ret(signalfd((int)a[0], &set, flags)), FD_SIGNALFD);
}
int64_t sys_signalfd(struct thread *t, const uint64_t *a)
{
    return do_signalfd(t, a, 0);
}
int64_t sys_signalfd4(struct thread *t, const uint64_t *a)
{
    return do_signalfd(t, a, open_flags(t, a[3]));
}

int64_t sys_timerfd_create(struct thread *t, const uint64_t *a)
{
    return new_fd(t, sys_ret(timerfd_create((clockid_t)a[0], open_flags(t, a[1]))), FD_COUNTER);
}
int64_t sys_timerfd_settime(struct thread *t, const uint64_t *a)
{
    struct itimerspec it, old;
    if (get_layout(t, a[2], layout_for_itimer(t), &it)) return -EFAULT;
    if (timerfd_settime((int)a[0], (int)a[1], &it, &old)) return -errno;
    return a[3] ? put_layout(t, a[3], layout_for_itimer(t), &old) : 0;
}
int64_t sys_timerfd_gettime(struct thread *t, const uint64_t *a)
{
    struct itimerspec it;
    return timerfd_gettime((int)a[0], &it) ? -errno
                                           : put_layout(t, a[1], layout_for_itimer(t), &it);
}

int64_t sys_inotify_init(struct thread *t, const uint64_t *a)
{
    return new_fd(t, sys_ret(inotify_init1(0)), FD_INOTIFY);
}
int64_t sys_inotify_init1(struct thread *t, const uint64_t *a)
{
    return new_fd(t, sys_ret(inotify_init1(open_flags(t, a[0]))), FD_INOTIFY);
}
int64_t sys_inotify_add_watch(struct thread *t, const uint64_t *a)
{
    char room[PATH_ROOM];
    const char *s = path_guest(t, a[1], room, true);
    return s ? sys_ret(inotify_add_watch((int)a[0], s, (uint32_t)a[2])) : -EFAULT;
}
int64_t sys_inotify_rm_watch(struct thread *t, const uint64_t *a)
{
    return sys_ret(inotify_rm_watch((int)a[0], (int)a[1]));
}
