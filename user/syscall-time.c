/*
 * syscall-time.c - clocks, sleeps and timers.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

int64_t sys_time(struct thread *t, const uint64_t *a)
{
    time_t now = time(NULL);
    int r = a[0] ? put_scalar(t, a[0], t->proc->abi->long_size, (uint64_t)now) : 0;
    return r ? r : (int64_t)now;
}

int64_t sys_stime(struct thread *t, const uint64_t *a)
{
    uint64_t v;
    if (get_scalar(t, a[0], t->proc->abi->long_size, &v)) return -EFAULT;
    struct timespec ts = {(time_t)abi_slong(t->proc->abi, v), 0};
    return sys_ret(clock_settime(CLOCK_REALTIME, &ts));
}

int64_t sys_gettimeofday(struct thread *t, const uint64_t *a)
{
    struct timeval tv;
    struct timezone tz;
    if (gettimeofday(&tv, &tz)) return -errno;
    int r = a[0] ? put_layout(t, a[0], &layout_timeval, &tv) : 0;
    return !r && a[1] ? put_layout(t, a[1], &layout_timezone, &tz) : r;
}

int64_t sys_settimeofday(struct thread *t, const uint64_t *a)
{
    struct timeval tv;
    struct timezone tz;
    if (a[0] && get_layout(t, a[0], &layout_timeval, &tv)) return -EFAULT;
    if (a[1] && get_layout(t, a[1], &layout_timezone, &tz)) return -EFAULT;
    return sys_ret(settimeofday(a[0] ? &tv : NULL, a[1] ? &tz : NULL));
}

int64_t sys_clock_gettime(struct thread *t, const uint64_t *a)
{
    struct timespec ts;
    return clock_gettime((clockid_t)a[0], &ts) ? -errno
                                               : put_layout(t, a[1], layout_for_time(t), &ts);
}

int64_t sys_clock_settime(struct thread *t, const uint64_t *a)
{
    struct timespec ts;
    return get_layout(t, a[1], layout_for_time(t), &ts)
               ? -EFAULT
               : sys_ret(clock_settime((clockid_t)a[0], &ts));
}

int64_t sys_clock_getres(struct thread *t, const uint64_t *a)
{
    struct timespec ts;
    if (clock_getres((clockid_t)a[0], &ts)) return -errno;
    return a[1] ? put_layout(t, a[1], layout_for_time(t), &ts) : 0;
}

int64_t sys_nanosleep(struct thread *t, const uint64_t *a)
{
    struct timespec ts, rest;
    if (get_layout(t, a[0], layout_for_time(t), &ts)) return -EFAULT;
    int64_t r = sys_ret(nanosleep(&ts, &rest));
    if (r == -EINTR && a[1] && put_layout(t, a[1], layout_for_time(t), &rest)) return -EFAULT;
    return r;
}

int64_t sys_clock_nanosleep(struct thread *t, const uint64_t *a)
{
    struct timespec ts, rest;
    if (get_layout(t, a[2], layout_for_time(t), &ts)) return -EFAULT;
    int r = clock_nanosleep((clockid_t)a[0], (int)a[1], &ts, &rest);
    if (r == EINTR && a[3] && !(a[1] & TIMER_ABSTIME) &&
        put_layout(t, a[3], layout_for_time(t), &rest))
        return -EFAULT;
    return -r;
}

int64_t sys_times(struct thread *t, const uint64_t *a)
{
    struct tms tms;
    clock_t r = times(&tms);
    if (a[0] && put_layout(t, a[0], &layout_tms, &tms)) return -EFAULT;
    return abi_slong(t->proc->abi, (uint64_t)r);
}

int64_t sys_alarm(struct thread *t, const uint64_t *a)
{
    return alarm((unsigned)a[0]);
}

int64_t sys_getitimer(struct thread *t, const uint64_t *a)
{
    struct itimerval it;
    return getitimer((int)a[0], &it) ? -errno : put_layout(t, a[1], &layout_itimerval, &it);
}

int64_t sys_setitimer(struct thread *t, const uint64_t *a)
{
    struct itimerval it, old;
    memset(&it, 0, sizeof it);
    if (a[1] && get_layout(t, a[1], &layout_itimerval, &it)) return -EFAULT;
    if (setitimer((int)a[0], &it, &old)) return -errno;
    return a[2] ? put_layout(t, a[2], &layout_itimerval, &old) : 0;
}

/* POSIX timers go by the host kernel's numbers, which is why the C library is passed by. */
int64_t sys_timer_create(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size;
    struct sigevent ev;
    int id;
    memset(&ev, 0, sizeof ev);
    if (a[1]) {
        /* sigval, signo, notify, thread id */
        const uint8_t *g = mem_in(t->proc, a[1], 64);
        if (!g) return -EFAULT;
        ev.sigev_value.sival_ptr = (void *)(uintptr_t)guest_ld(abi, g, w);
        int sig = (int)guest_ld(abi, g + w, 4);
        ev.sigev_notify = (int)guest_ld(abi, g + w + 4, 4);
        ev.sigev_signo = sig ? abi_sig_to_host(abi, sig) : 0;
        if (sig && !ev.sigev_signo) return -EINVAL;
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
        ev.sigev_notify_thread_id = (pid_t)guest_ld(abi, g + w + 8, 4);
    }
    if (!mem_out(t->proc, a[2], 4)) return -EFAULT;
    if (syscall(SYS_timer_create, (clockid_t)a[0], a[1] ? &ev : NULL, &id)) return -errno;
    return put_scalar(t, a[2], 4, (uint64_t)id);
}

int64_t sys_timer_settime(struct thread *t, const uint64_t *a)
{
    struct itimerspec it, old;
    if (get_layout(t, a[2], layout_for_itimer(t), &it)) return -EFAULT;
    if (syscall(SYS_timer_settime, (int)a[0], (int)a[1], &it, &old)) return -errno;
    return a[3] ? put_layout(t, a[3], layout_for_itimer(t), &old) : 0;
}

int64_t sys_timer_gettime(struct thread *t, const uint64_t *a)
{
    struct itimerspec it;
    return syscall(SYS_timer_gettime, (int)a[0], &it)
               ? -errno
               : put_layout(t, a[1], layout_for_itimer(t), &it);
}

int64_t sys_timer_getoverrun(struct thread *t, const uint64_t *a)
{
    return sys_ret(syscall(SYS_timer_getoverrun, (int)a[0]));
}
int64_t sys_timer_delete(struct thread *t, const uint64_t *a)
{
    return sys_ret(syscall(SYS_timer_delete, (int)a[0]));
}
