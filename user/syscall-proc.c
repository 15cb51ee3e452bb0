/*
 * syscall-proc.c - processes: waiting, identities, limits, scheduling, and what the system says of
 * itself.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/fsuid.h>
#include <sys/klog.h>
#include <sys/personality.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <grp.h>
#include <unistd.h>

/* ---- waiting
 * ------------------------------------------------------------------------------------------ */
static int status_to_guest(const struct abi *abi, int status)
{
    if (WIFSIGNALED(status)) return (status & ~0x7f) | abi_sig_to_guest(abi, WTERMSIG(status));
    if (WIFSTOPPED(status))
        return (status & ~0xff00) | abi_sig_to_guest(abi, WSTOPSIG(status)) << 8;
    return status;
}

int64_t sys_wait4(struct thread *t, const uint64_t *a)
{
    int status;
    struct rusage ru;
    int64_t r = sys_ret(syscall(SYS_wait4, (int)a[0], &status, (int)a[2], &ru));
    if (r <= 0) return r;
    if (a[1] && put_scalar(t, a[1], 4, (uint64_t)status_to_guest(t->proc->abi, status)))
        return -EFAULT;
    if (a[3] && put_layout(t, a[3], &layout_rusage, &ru)) return -EFAULT;
    return r;
}

int64_t sys_waitpid(struct thread *t, const uint64_t *a)
{
    uint64_t b[4] = {a[0], a[1], a[2], 0};
    return sys_wait4(t, b);
}

int64_t sys_waitid(struct thread *t, const uint64_t *a)
{
    siginfo_t info;
    struct rusage ru;
    memset(&info, 0, sizeof info);
    int64_t r = sys_ret(syscall(SYS_waitid, (int)a[0], (int)a[1], &info, (int)a[3], &ru));
    if (r < 0) return r;
    if (a[2]) {
        uint8_t *out = mem_out(t->proc, a[2], 128);
        if (!out) return -EFAULT;
        if (info.si_signo)
            signal_info_to_guest(t->proc->abi, &info, out);
        else
            memset(out, 0, 128);
    }
    return a[4] ? put_layout(t, a[4], &layout_rusage, &ru) : r;
}

/* ---- identities
 * ------------------------------------------------------------------------------------------ */
int64_t sys_getpid(struct thread *t, const uint64_t *a)
{
    return getpid();
}
int64_t sys_getppid(struct thread *t, const uint64_t *a)
{
    return getppid();
}
int64_t sys_gettid(struct thread *t, const uint64_t *a)
{
    return t->tid;
}
int64_t sys_getpgrp(struct thread *t, const uint64_t *a)
{
    return getpgrp();
}
int64_t sys_getpgid(struct thread *t, const uint64_t *a)
{
    return sys_ret(getpgid((pid_t)a[0]));
}
int64_t sys_setpgid(struct thread *t, const uint64_t *a)
{
    return sys_ret(setpgid((pid_t)a[0], (pid_t)a[1]));
}
int64_t sys_getsid(struct thread *t, const uint64_t *a)
{
    return sys_ret(getsid((pid_t)a[0]));
}
int64_t sys_setsid(struct thread *t, const uint64_t *a)
{
    return sys_ret(setsid());
}
int64_t sys_getuid(struct thread *t, const uint64_t *a)
{
    return getuid();
}
int64_t sys_geteuid(struct thread *t, const uint64_t *a)
{
    return geteuid();
}
int64_t sys_getgid(struct thread *t, const uint64_t *a)
{
    return getgid();
}
int64_t sys_getegid(struct thread *t, const uint64_t *a)
{
    return getegid();
}
/* The kernel's calls change one thread, which is what the guest's C library expects. */
int64_t sys_setuid(struct thread *t, const uint64_t *a)
{
    return sys_ret(syscall(SYS_setuid, (uid_t)a[0]));
}
int64_t sys_setgid(struct thread *t, const uint64_t *a)
{
    return sys_ret(syscall(SYS_setgid, (gid_t)a[0]));
}
int64_t sys_setreuid(struct thread *t, const uint64_t *a)
{
    return sys_ret(syscall(SYS_setreuid, (uid_t)a[0], (uid_t)a[1]));
}
int64_t sys_setregid(struct thread *t, const uint64_t *a)
{
    return sys_ret(syscall(SYS_setregid, (gid_t)a[0], (gid_t)a[1]));
}
int64_t sys_setresuid(struct thread *t, const uint64_t *a)
{
    return sys_ret(syscall(SYS_setresuid, (uid_t)a[0], (uid_t)a[1], (uid_t)a[2]));
}
int64_t sys_setresgid(struct thread *t, const uint64_t *a)
{
    return sys_ret(syscall(SYS_setresgid, (gid_t)a[0], (gid_t)a[1], (gid_t)a[2]));
}
int64_t sys_setfsuid(struct thread *t, const uint64_t *a)
{
    return setfsuid((uid_t)a[0]);
}
int64_t sys_setfsgid(struct thread *t, const uint64_t *a)
{
    return setfsgid((gid_t)a[0]);
}

static int64_t put_ids(struct thread *t, const uint64_t *a, uint64_t r, uint64_t e, uint64_t s)
{
    return put_scalar(t, a[0], 4, r) || put_scalar(t, a[1], 4, e) || put_scalar(t, a[2], 4, s)
               ? -EFAULT
               : 0;
}
int64_t sys_getresuid(struct thread *t, const uint64_t *a)
{
    uid_t r, e, s;
    return getresuid(&r, &e, &s) ? -errno : put_ids(t, a, r, e, s);
}
int64_t sys_getresgid(struct thread *t, const uint64_t *a)
{
    gid_t r, e, s;
    return getresgid(&r, &e, &s) ? -errno : put_ids(t, a, r, e, s);
}

enum { MAX_GROUPS = 65536 };
int64_t sys_getgroups(struct thread *t, const uint64_t *a)
{
    int n = (int)a[0];
    if (n < 0 || n > MAX_GROUPS) return -EINVAL;
    gid_t *g = NEW_ARRAY(gid_t, n + 1);
    int64_t r = sys_ret(getgroups(n, g));
    for (int i = 0; n && i < r; i++)
        if (put_scalar(t, a[1] + 4u * (unsigned)i, 4, g[i])) {
            r = -EFAULT;
            break;
        }
    mem_free(g);
    return r;
}

int64_t sys_setgroups(struct thread *t, const uint64_t *a)
{
    int n = (int)a[0];
    if (n < 0 || n > MAX_GROUPS) return -EINVAL;
    gid_t *g = NEW_ARRAY(gid_t, n + 1);
    int64_t r = 0;
    for (int i = 0; i < n && !r; i++) {
        uint64_t v;
        r = get_scalar(t, a[1] + 4u * (unsigned)i, 4, &v);
        g[i] = (gid_t)v;
    }
    if (!r) r = sys_ret(syscall(SYS_setgroups, n, g));
    mem_free(g);
    return r;
}

/* header: u32 version, int pid; data: 1 or 2 times u32 effective, permitted, inheritable */
static int64_t do_cap(struct thread *t, const uint64_t *a, bool set)
{
    const struct abi *abi = t->proc->abi;
    uint32_t head[2], data[6] = {0};
    uint64_t v[2];
    if (get_scalar(t, a[0], 4, &v[0]) || get_scalar(t, a[0] + 4, 4, &v[1])) return -EFAULT;
    head[0] = (uint32_t)v[0];
    head[1] = (uint32_t)v[1];
    unsigned n = head[0] == 0x19980330 ? 3 : 6;
    if (set) {
        const uint8_t *g = mem_in(t->proc, a[1], 4 * n);
        if (!g) return -EFAULT;
        for (unsigned i = 0; i < n; i++)
            data[i] = (uint32_t)guest_ld(abi, g + 4 * i, 4);
        return sys_ret(syscall(SYS_capset, head, data));
    }
    int64_t r = sys_ret(syscall(SYS_capget, head, a[1] ? data : NULL));
    if (put_scalar(t, a[0], 4, head[0])) return -EFAULT;
    for (unsigned i = 0; !r && a[1] && i < n; i++)
        if (put_scalar(t, a[1] + 4 * i, 4, data[i])) return -EFAULT;
    return r;
}
int64_t sys_capget(struct thread *t, const uint64_t *a)
{
    return do_cap(t, a, false);
}
int64_t sys_capset(struct thread *t, const uint64_t *a)
{
    return do_cap(t, a, true);
}

int64_t sys_prctl(struct thread *t, const uint64_t *a)
{
    switch ((int)a[0]) {
    case PR_SET_PDEATHSIG: {
        int sig = a[1] ? abi_sig_to_host(t->proc->abi, (int)a[1]) : 0;
        return a[1] && !sig ? -EINVAL : sys_ret(prctl(PR_SET_PDEATHSIG, sig));
    }
    case PR_GET_PDEATHSIG: {
        int sig;
        if (prctl(PR_GET_PDEATHSIG, &sig)) return -errno;
        return put_scalar(t, a[1], 4, (uint64_t)(sig ? abi_sig_to_guest(t->proc->abi, sig) : 0));
    }
    case PR_SET_NAME: {
        const char *s = mem_str(t->proc, a[1], 4096);
        return s ? sys_ret(prctl(PR_SET_NAME, s)) : -EFAULT;
    }
    case PR_GET_NAME: {
        void *s = mem_out(t->proc, a[1], 16);
        return s ? sys_ret(prctl(PR_GET_NAME, s)) : -EFAULT;
    }
    case PR_GET_DUMPABLE:
    case PR_SET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_NO_NEW_PRIVS:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_SET_CHILD_SUBREAPER:
    case PR_GET_TIMERSLACK:
    case PR_SET_TIMERSLACK:
    case PR_GET_SECUREBITS:
    case PR_SET_SECUREBITS:
    case PR_CAP_AMBIENT:
        return sys_ret(prctl((int)a[0], (unsigned long)a[1], (unsigned long)a[2],
                             (unsigned long)a[3], (unsigned long)a[4]));
    default: LOG(UNIMP, "prctl %d\n", (int)a[0]); return -EINVAL;
    }
}

int64_t sys_personality(struct thread *t, const uint64_t *a)
{
    return a[0] == 0xffffffff ? 0 : a[0] & 0xff ? -EINVAL : 0;
}

/* ---- limits
 * ---------------------------------------------------------------------------------------------- */
/* Limits on memory would hit the emulator and not the guest. */
static bool memory_limit(int host)
{
    return host == RLIMIT_AS || host == RLIMIT_DATA || host == RLIMIT_STACK;
}

static uint64_t rlim_out(const struct abi *abi, rlim_t v)
{
    return v == RLIM_INFINITY || (abi->long_size == 4 && v > abi->rlim_infinity)
               ? abi->rlim_infinity
               : v;
}

int64_t sys_getrlimit(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    struct rlimit r;
    if (getrlimit(abi_num_to_host(abi->rlimits, (int)a[0]), &r)) return -errno;
    r.rlim_cur = (rlim_t)rlim_out(abi, r.rlim_cur);
    r.rlim_max = (rlim_t)rlim_out(abi, r.rlim_max);
    return put_layout(t, a[1], &layout_rlimit, &r);
}

int64_t sys_setrlimit(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    struct rlimit r;
    int host = abi_num_to_host(abi->rlimits, (int)a[0]);
    if (get_layout(t, a[1], &layout_rlimit, &r)) return -EFAULT;
    if (r.rlim_cur >= abi->rlim_infinity) r.rlim_cur = RLIM_INFINITY;
    if (r.rlim_max >= abi->rlim_infinity) r.rlim_max = RLIM_INFINITY;
    return memory_limit(host) ? 0 : sys_ret(setrlimit(host, &r));
}

int64_t sys_prlimit64(struct thread *t, const uint64_t *a)
{
    struct rlimit r, old;
    int host = abi_num_to_host(t->proc->abi->rlimits, (int)a[1]);
    bool set = a[2] != 0;
    if (set && get_layout(t, a[2], &layout_rlimit64, &r)) return -EFAULT;
    if (memory_limit(host)) set = false;
    if (prlimit((pid_t)a[0], host, set ? &r : NULL, &old)) return -errno;
    return a[3] ? put_layout(t, a[3], &layout_rlimit64, &old) : 0;
}

int64_t sys_getrusage(struct thread *t, const uint64_t *a)
{
    struct rusage ru;
    return getrusage((int)a[0], &ru) ? -errno : put_layout(t, a[1], &layout_rusage, &ru);
}

/* ---- scheduling
 * ------------------------------------------------------------------------------------------ */
int64_t sys_getpriority(struct thread *t, const uint64_t *a)
{
    return sys_ret(syscall(SYS_getpriority, (int)a[0], (int)a[1]));
}
int64_t sys_setpriority(struct thread *t, const uint64_t *a)
{
    return sys_ret(setpriority((int)a[0], (id_t)a[1], (int)a[2]));
}
int64_t sys_nice(struct thread *t, const uint64_t *a)
{
    errno = 0;
    int r = nice((int)a[0]);
    return r == -1 && errno ? -errno : 0;
}
int64_t sys_sched_yield(struct thread *t, const uint64_t *a)
{
    return sys_ret(sched_yield());
}
int64_t sys_sched_getscheduler(struct thread *t, const uint64_t *a)
{
    return sys_ret(sched_getscheduler((pid_t)a[0]));
}
int64_t sys_sched_get_priority_max(struct thread *t, const uint64_t *a)
{
    return sys_ret(sched_get_priority_max((int)a[0]));
}
int64_t sys_sched_get_priority_min(struct thread *t, const uint64_t *a)
{
    return sys_ret(sched_get_priority_min((int)a[0]));
}

int64_t sys_sched_getparam(struct thread *t, const uint64_t *a)
{
    struct sched_param sp;
    return sched_getparam((pid_t)a[0], &sp) ? -errno
                                            : put_layout(t, a[1], &layout_sched_param, &sp);
}
int64_t sys_sched_setparam(struct thread *t, const uint64_t *a)
{
    struct sched_param sp;
    return get_layout(t, a[1], &layout_sched_param, &sp)
               ? -EFAULT
               : sys_ret(sched_setparam((pid_t)a[0], &sp));
}
int64_t sys_sched_setscheduler(struct thread *t, const uint64_t *a)
{
    struct sched_param sp;
    return get_layout(t, a[2], &layout_sched_param, &sp)
               ? -EFAULT
               : sys_ret(sched_setscheduler((pid_t)a[0], (int)a[1], &sp));
}
int64_t sys_sched_rr_get_interval(struct thread *t, const uint64_t *a)
{
    struct timespec ts;
    return sched_rr_get_interval((pid_t)a[0], &ts) ? -errno
                                                   : put_layout(t, a[1], layout_for_time(t), &ts);
}

enum { CPU_BYTES = 1024 };
int64_t sys_sched_getaffinity(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size;
    unsigned long host[CPU_BYTES / sizeof(unsigned long)];
    if (a[1] & (w - 1)) return -EINVAL;
    int64_t n = sys_ret(syscall(SYS_sched_getaffinity, (int)a[0], sizeof host, host));
    if (n < 0) return n;
    /* As many bytes as hold a CPU, no more than there is room for */
    while (n > (int64_t)w && (uint64_t)n > a[1])
        n -= w;
    if ((uint64_t)n > a[1]) return -EINVAL;
    uint8_t *out = mem_out(t->proc, a[2], (uint64_t)n);
    if (!out) return -EFAULT;
    for (int64_t i = 0; i < n; i += w) {
        uint64_t v = host[(size_t)i / sizeof *host] >> ((size_t)i % sizeof *host * 8);
        guest_st(abi, out + i, w, v);
    }
    return n;
}

int64_t sys_sched_setaffinity(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size;
    unsigned long host[CPU_BYTES / sizeof(unsigned long)] = {0};
    uint64_t n = ALIGN_DOWN(MIN(a[1], sizeof host), (uint64_t)w);
    const uint8_t *g = mem_in(t->proc, a[2], n);
    if (!g) return -EFAULT;
    for (uint64_t i = 0; i < n; i += w)
        host[i / sizeof *host] |=
            (unsigned long)(guest_ld(abi, g + i, w) << (i % sizeof *host * 8));
    return sys_ret(syscall(SYS_sched_setaffinity, (int)a[0], sizeof host, host));
}

int64_t sys_getcpu(struct thread *t, const uint64_t *a)
{
    unsigned cpu = 0, node = 0;
    if (syscall(SYS_getcpu, &cpu, &node, NULL)) return -errno;
    if (a[0] && put_scalar(t, a[0], 4, cpu)) return -EFAULT;
    return a[1] ? put_scalar(t, a[1], 4, node) : 0;
}

int64_t sys_ioprio_get(struct thread *t, const uint64_t *a)
{
    return sys_ret(syscall(SYS_ioprio_get, (int)a[0], (int)a[1]));
}
int64_t sys_ioprio_set(struct thread *t, const uint64_t *a)
{
    return sys_ret(syscall(SYS_ioprio_set, (int)a[0], (int)a[1], (int)a[2]));
}

/* ---- the system
 * -------------------------------------------------------------------------------------------- */
int64_t sys_getrandom(struct thread *t, const uint64_t *a)
{
    struct proc *p = t->proc;
    uint8_t *out = mem_out(p, a[0], a[1]);
    if (!out) return -EFAULT;
    if (!p->seeded) return sys_ret(getrandom(out, (size_t)a[1], (unsigned)a[2]));
    uint64_t n = MIN(a[1], (uint64_t)0x1ffffff); /* as the host's */
    for (uint64_t done = 0; done < n;) {
        uint8_t some[256];
        unsigned k = (unsigned)MIN(n - done, (uint64_t)sizeof some);
        /* Guest memory may fault, so not with the lock held. */
        pthread_mutex_lock(&p->lock);
        for (unsigned i = 0; i < k; i++) {
            p->rng = p->rng * 6364136223846793005u + 1442695040888963407u;
            some[i] = (uint8_t)(p->rng >> 56);
        }
        pthread_mutex_unlock(&p->lock);
        memcpy(out + done, some, k);
        done += k;
    }
    return (int64_t)n;
}

int64_t sys_uname(struct thread *t, const uint64_t *a)
{
    struct utsname u;
    enum { FIELD = 65 };
    if (uname(&u)) return -errno;
    char *out = mem_out(t->proc, a[0], 6 * FIELD);
    if (!out) return -EFAULT;
    memset(out, 0, 6 * FIELD);
    const char *field[] = {u.sysname,
                           u.nodename,
                           t->proc->opt.uname ? t->proc->opt.uname : u.release,
                           u.version,
                           t->proc->abi->machine,
#ifdef _GNU_SOURCE
                           u.domainname
#else
                            ""
#endif
    };
    for (size_t i = 0; i < ARRAY_LEN(field); i++)
        memcpy(out + i * FIELD, field[i], MIN(strlen(field[i]), (size_t)FIELD - 1));
    return 0;
}

int64_t sys_sethostname(struct thread *t, const uint64_t *a)
{
    const char *s = mem_in(t->proc, a[0], a[1]);
    return s ? sys_ret(sethostname(s, (size_t)a[1])) : -EFAULT;
}
int64_t sys_setdomainname(struct thread *t, const uint64_t *a)
{
    const char *s = mem_in(t->proc, a[0], a[1]);
    return s ? sys_ret(setdomainname(s, (size_t)a[1])) : -EFAULT;
}

int64_t sys_sysinfo(struct thread *t, const uint64_t *a)
{
    struct sysinfo si;
    if (sysinfo(&si)) return -errno;
    if (t->proc->abi->long_size == 4) {
        /* Larger units, until the numbers fit */
        unsigned long *v[] = {&si.totalram,  &si.freeram,  &si.sharedram, &si.bufferram,
                              &si.totalswap, &si.freeswap, &si.totalhigh, &si.freehigh};
        unsigned shift = 0;
        for (size_t i = 0; i < ARRAY_LEN(v); i++)
            while ((uint64_t)*v[i] * si.mem_unit >> shift > UINT32_MAX)
                shift++;
        if (shift && shift < 12) shift = 12;
        for (size_t i = 0; shift && i < ARRAY_LEN(v); i++)
            *v[i] = (unsigned long)((uint64_t)*v[i] * si.mem_unit >> shift);
        if (shift) si.mem_unit = 1u << shift;
    }
    return put_layout(t, a[0], &layout_sysinfo, &si);
}

int64_t sys_acct(struct thread *t, const uint64_t *a)
{
    char room[PATH_ROOM];
    const char *s = a[0] ? path_guest(t, a[0], room, true) : NULL;
    return a[0] && !s ? -EFAULT : sys_ret(acct(s));
}

int64_t sys_syslog(struct thread *t, const uint64_t *a)
{
    char *buf = a[1] ? mem_out(t->proc, a[1], (uint64_t)(uint32_t)a[2]) : NULL;
    return a[1] && !buf ? -EFAULT : sys_ret(klogctl((int)a[0], buf, (int)a[2]));
}

int64_t sys_vhangup(struct thread *t, const uint64_t *a)
{
    return sys_ret(vhangup());
}
int64_t sys_unshare(struct thread *t, const uint64_t *a)
{
    return sys_ret(unshare((int)a[0]));
}
int64_t sys_setns(struct thread *t, const uint64_t *a)
{
    return sys_ret(setns((int)a[0], (int)a[1]));
}
int64_t sys_pidfd_open(struct thread *t, const uint64_t *a)
{
#ifdef SYS_pidfd_open
    return sys_ret(syscall(SYS_pidfd_open, (int)a[0], (unsigned)a[1]));
#else
    return -ENOSYS;
#endif
}
