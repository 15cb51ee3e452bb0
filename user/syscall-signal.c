/*
 * syscall-signal.c - calls about signals; delivery is in signal.c.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <sys/syscall.h>
#include <unistd.h>

static uint64_t bit(int sig)
{
    return (uint64_t)1 << (sig - 1);
}

/* Bytes of a set that the old calls take. */
static unsigned old_set_bytes(const struct abi *abi)
{
    return abi->old_sigset ? abi->long_size : abi->sigset_size;
}

/* ---- actions
 * ------------------------------------------------------------------------------------------ */
struct action_layout {
    unsigned flags_at, handler_at, mask_at, size;
};

static struct action_layout action_layout(const struct abi *abi, unsigned set_bytes)
{
    unsigned w = abi->long_size;
    struct action_layout l;
    if (set_bytes != abi->sigset_size)
        l = (struct action_layout){2 * w, 0, w, 4 * w};
    else if (abi->sa_flags_first)
        l = (struct action_layout){0, w, 2 * w, 2 * w + set_bytes};
    else
        l = (struct action_layout){w, 0, 3 * w, 3 * w + set_bytes};
    return l;
}

static int64_t do_sigaction(struct thread *t, int guest_sig, uint64_t act, uint64_t old,
                            unsigned set_bytes)
{
    struct proc *p = t->proc;
    const struct abi *abi = p->abi;
    struct action_layout l = action_layout(abi, set_bytes);
    unsigned w = abi->long_size;
    if (guest_sig < 1 || guest_sig > (int)abi->n_signals) return -EINVAL;
    int sig = abi_sig_to_host(abi, guest_sig);
    if (!sig) {
        /* A signal that nobody here can send: as if nothing but the default ever mattered. */
        if (old) {
            uint8_t *o = mem_out(p, old, l.size);
            if (!o) return -EFAULT;
            memset(o, 0, l.size);
        }
        return 0;
    }
    struct guest_action now;
    const uint8_t *g = act ? mem_in(p, act, l.size) : NULL;
    if (act && !g) return -EFAULT;
    if (act && (sig == SIGKILL || sig == SIGSTOP)) return -EINVAL;
    if (act) {
        now.handler = guest_ld(abi, g + l.handler_at, w);
        now.flags = (int)abi_flags_to_host(
            abi->sa_flags, (uint32_t)guest_ld(abi, g + l.flags_at, abi->sa_flags_first ? 4 : w),
            NULL);
        now.mask = abi_set_to_host(abi, g + l.mask_at, set_bytes);
        now.restorer = 0;
    }
    pthread_mutex_lock(&p->lock);
    struct guest_action before = p->sig->action[sig];
    if (act) {
        p->sig->action[sig] = now;
        signal_apply_action(p, sig);
    }
    pthread_mutex_unlock(&p->lock);
    if (!old) return 0;
    uint8_t *o = mem_out(p, old, l.size);
    if (!o) return -EFAULT;
    memset(o, 0, l.size);
    guest_st(abi, o + l.handler_at, w, before.handler);
    guest_st(abi, o + l.flags_at, abi->sa_flags_first ? 4 : w,
             abi_flags_to_guest(abi->sa_flags, (uint32_t)before.flags));
    abi_set_to_guest(abi, before.mask, o + l.mask_at, set_bytes);
    return 0;
}

int64_t sys_rt_sigaction(struct thread *t, const uint64_t *a)
{
    if (a[3] != t->proc->abi->sigset_size) return -EINVAL;
    return do_sigaction(t, (int)a[0], a[1], a[2], (unsigned)a[3]);
}

int64_t sys_sigaction(struct thread *t, const uint64_t *a)
{
    return do_sigaction(t, (int)a[0], a[1], a[2], old_set_bytes(t->proc->abi));
}

int64_t sys_signal(struct thread *t, const uint64_t *a)
{
    int sig = abi_sig_to_host(t->proc->abi, (int)a[0]);
    if (!sig || sig == SIGKILL || sig == SIGSTOP) return -EINVAL;
    struct guest_action now = {a[1], SA_RESETHAND | SA_NODEFER, 0, 0};
    pthread_mutex_lock(&t->proc->lock);
    uint64_t before = t->proc->sig->action[sig].handler;
    t->proc->sig->action[sig] = now;
    signal_apply_action(t->proc, sig);
    pthread_mutex_unlock(&t->proc->lock);
    return (int64_t)before;
}

/* ---- masks
 * --------------------------------------------------------------------------------------------- */
static int64_t do_sigprocmask(struct thread *t, const uint64_t *a, unsigned bytes)
{
    const struct abi *abi = t->proc->abi;
    uint64_t old = t->mask;
    if (a[1]) {
        const uint8_t *g = mem_in(t->proc, a[1], bytes);
        if (!g) return -EFAULT;
        uint64_t set = abi_set_to_host(abi, g, bytes);
        int how = (int)a[0];
        if (how == abi->sig_block)
            set |= old;
        else if (how == abi->sig_unblock)
            set = old & ~set;
        else if (how != abi->sig_setmask)
            return -EINVAL;
        if (a[2] && !mem_out(t->proc, a[2], bytes)) return -EFAULT;
        signal_set_mask(t, set);
    }
    return a[2] && !signal_put_set(t, a[2], old, bytes) ? -EFAULT : 0;
}

int64_t sys_rt_sigprocmask(struct thread *t, const uint64_t *a)
{
    return a[3] != t->proc->abi->sigset_size ? -EINVAL : do_sigprocmask(t, a, (unsigned)a[3]);
}
int64_t sys_sigprocmask(struct thread *t, const uint64_t *a)
{
    return do_sigprocmask(t, a, old_set_bytes(t->proc->abi));
}

int64_t sys_sgetmask(struct thread *t, const uint64_t *a)
{
    uint8_t set[16];
    abi_set_to_guest(t->proc->abi, t->mask, set, sizeof set);
    return (int64_t)guest_ld(t->proc->abi, set, 4);
}

int64_t sys_ssetmask(struct thread *t, const uint64_t *a)
{
    uint8_t set[16] = {0};
    int64_t old = sys_sgetmask(t, a);
    guest_st(t->proc->abi, set, 4, a[0]);
    signal_set_mask(t, abi_set_to_host(t->proc->abi, set, sizeof set));
    return old;
}

static uint64_t pending_mask(struct thread *t)
{
    sigset_t set;
    sigemptyset(&set);
    sigpending(&set);
    uint64_t m = signal_from_sigset(&set);
    for (int s = 1; s < SIGNALS; s++)
        if (t->pending[s]) m |= bit(s);
    return m & t->mask;
}

int64_t sys_rt_sigpending(struct thread *t, const uint64_t *a)
{
    if (a[1] > t->proc->abi->sigset_size) return -EINVAL;
    return signal_put_set(t, a[0], pending_mask(t), (unsigned)a[1]) ? 0 : -EFAULT;
}
int64_t sys_sigpending(struct thread *t, const uint64_t *a)
{
    return signal_put_set(t, a[0], pending_mask(t), old_set_bytes(t->proc->abi)) ? 0 : -EFAULT;
}

static int64_t do_suspend(struct thread *t, uint64_t mask)
{
    signal_temporary_mask(t, mask);
    if (signal_pick(t)) return -EINTR;
    sigset_t set;
    signal_to_sigset(t->mask & ~(bit(SIGSEGV) | bit(SIGBUS) | bit(SIGNAL_REKICK)), &set);
    sigsuspend(&set);
    return -EINTR;
}

int64_t sys_rt_sigsuspend(struct thread *t, const uint64_t *a)
{
    uint64_t mask;
    if (a[1] != t->proc->abi->sigset_size) return -EINVAL;
    return signal_get_set(t, a[0], &mask) ? do_suspend(t, mask) : -EFAULT;
}
int64_t sys_sigsuspend(struct thread *t, const uint64_t *a)
{
    uint64_t mask;
    if (t->proc->abi->old_sigset) { /* the set itself, behind two words that mean nothing */
        uint8_t set[8] = {0};
        guest_st(t->proc->abi, set, t->proc->abi->long_size, a[2]);
        return do_suspend(t, abi_set_to_host(t->proc->abi, set, t->proc->abi->long_size));
    }
    return signal_get_set(t, a[0], &mask) ? do_suspend(t, mask) : -EFAULT;
}

int64_t sys_pause(struct thread *t, const uint64_t *a)
{
    return sys_ret(pause());
}

int64_t sys_rt_sigtimedwait(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    uint64_t mask;
    struct timespec ts;
    siginfo_t info;
    int sig = 0;
    if (a[3] != abi->sigset_size) return -EINVAL;
    if (!signal_get_set(t, a[0], &mask)) return -EFAULT;
    if (a[2] && get_layout(t, a[2], layout_for_time(t), &ts)) return -EFAULT;
    uint8_t *out = a[1] ? mem_out(t->proc, a[1], 128) : NULL;
    if (a[1] && !out) return -EFAULT;
    for (int s = 1; s < SIGNALS && !sig; s++)
        if ((mask & bit(s)) && t->pending[s]) {
            sig = s;
            info = t->info[s];
            t->pending[s] = 0;
            signal_set_mask(t, t->mask);
        }
    if (!sig) {
        sigset_t set;
        signal_to_sigset(mask, &set);
        sig = sigtimedwait(&set, &info, a[2] ? &ts : NULL);
        if (sig < 0) return -errno;
    }
    if (out) signal_info_to_guest(abi, &info, out);
    return abi_sig_to_guest(abi, sig);
}

/* ---- sending
 * --------------------------------------------------------------------------------------------- */
static int sig_arg(struct thread *t, uint64_t guest, int *host)
{
    *host = guest ? abi_sig_to_host(t->proc->abi, (int)guest) : 0;
    return guest && !*host ? -EINVAL : 0;
}

int64_t sys_kill(struct thread *t, const uint64_t *a)
{
    int sig;
    return sig_arg(t, a[1], &sig) ? -EINVAL : sys_ret(kill((pid_t)a[0], sig));
}
int64_t sys_tkill(struct thread *t, const uint64_t *a)
{
    int sig;
    return sig_arg(t, a[1], &sig) ? -EINVAL : sys_ret(syscall(SYS_tkill, (int)a[0], sig));
}
int64_t sys_tgkill(struct thread *t, const uint64_t *a)
{
    int sig;
    return sig_arg(t, a[2], &sig) ? -EINVAL
                                  : sys_ret(syscall(SYS_tgkill, (int)a[0], (int)a[1], sig));
}

static int get_info(struct thread *t, uint64_t addr, uint64_t guest_sig, siginfo_t *info)
{
    const uint8_t *g = mem_in(t->proc, addr, 128);
    if (!g) return -EFAULT;
    signal_info_to_host(t->proc->abi, g, info);
    return sig_arg(t, guest_sig, &info->si_signo);
}

int64_t sys_rt_sigqueueinfo(struct thread *t, const uint64_t *a)
{
    siginfo_t info;
    int r = get_info(t, a[2], a[1], &info);
    return r ? r : sys_ret(syscall(SYS_rt_sigqueueinfo, (int)a[0], info.si_signo, &info));
}
int64_t sys_rt_tgsigqueueinfo(struct thread *t, const uint64_t *a)
{
    siginfo_t info;
    int r = get_info(t, a[3], a[2], &info);
    return r ? r
             : sys_ret(syscall(SYS_rt_tgsigqueueinfo, (int)a[0], (int)a[1], info.si_signo, &info));
}
int64_t sys_pidfd_send_signal(struct thread *t, const uint64_t *a)
{
#ifdef SYS_pidfd_send_signal
    siginfo_t info;
    int sig = 0, r = a[2] ? get_info(t, a[2], a[1], &info) : sig_arg(t, a[1], &sig);
    if (r) return r;
    return sys_ret(syscall(SYS_pidfd_send_signal, (int)a[0], a[2] ? info.si_signo : sig,
                           a[2] ? &info : NULL, (unsigned)a[3]));
#else
    return -ENOSYS;
#endif
}

/* ---- stacks and frames
 * -------------------------------------------------------------------------------------- */
int64_t sys_sigaltstack(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size;
    uint64_t sp = abi->get_sp(t), base = t->altstack, size = t->altstack_size;
    bool on = signal_on_altstack(t, sp);
    if (a[0]) {
        /* ss_sp, ss_size, ss_flags on MIPS; ss_sp, ss_flags, ss_size elsewhere */
        const uint8_t *g = mem_in(t->proc, a[0], 3 * w);
        if (!g) return -EFAULT;
        if (on) return -EPERM;
        unsigned size_at = abi->sa_flags_first ? w : 2 * w,
                 flags_at = abi->sa_flags_first ? 2 * w : w;
        int flags = (int)guest_ld(abi, g + flags_at, 4);
        if (flags & ~(SS_ONSTACK | SS_DISABLE)) return -EINVAL;
        uint64_t n = guest_ld(abi, g + size_at, w);
        if (!(flags & SS_DISABLE) && n < 2048) return -ENOMEM;
        t->altstack = guest_ld(abi, g, w);
        t->altstack_size = flags & SS_DISABLE ? 0 : n;
    }
    if (!a[1]) return 0;
    uint8_t *o = mem_out(t->proc, a[1], 3 * w);
    if (!o) return -EFAULT;
    memset(o, 0, 3 * w);
    guest_st(abi, o, w, size ? base : 0);
    guest_st(abi, o + (abi->sa_flags_first ? w : 2 * w), w, size);
    guest_st(abi, o + (abi->sa_flags_first ? 2 * w : w), 4,
             (uint64_t)(!size ? SS_DISABLE
                        : on  ? SS_ONSTACK
                              : 0));
    return 0;
}

static int64_t do_sigreturn(struct thread *t, bool rt)
{
    uint64_t mask;
    if (!t->proc->abi->sigreturn(t, rt, &mask)) return -EFAULT;
    signal_set_mask(t, mask);
    return 0;
}
int64_t sys_sigreturn(struct thread *t, const uint64_t *a)
{
    return do_sigreturn(t, false);
}
int64_t sys_rt_sigreturn(struct thread *t, const uint64_t *a)
{
    return do_sigreturn(t, true);
}
int64_t sys_restart_syscall(struct thread *t, const uint64_t *a)
{
    return -EINTR;
}
