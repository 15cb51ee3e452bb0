/*
 * signal.c - signals between the host and the guest.
 *
 * A guest thread's mask is its host thread's mask and a guest's SIG_DFL and SIG_IGN are the host's,
 * so routing, queueing and default actions are the host kernel's. For signals that the guest
 * handles, the host handler only notes the signal, keeps it blocked and kicks the CPU; the frame is
 * built between two blocks.
 *
 * A blocking call that a signal comes just ahead of would sleep with the signal noted: therefore
 * the handler starts a timer that sends SIGNAL_REKICK to the thread until the call is over.
 */
#include "user/abi.h"

#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

_Thread_local struct thread *thread_current;

static uint64_t bit(int sig)
{
    return (uint64_t)1 << (sig - 1);
}

void signal_to_sigset(uint64_t mask, sigset_t *set)
{
    sigemptyset(set);
    for (int s = 1; s < SIGNALS; s++)
        if (mask & bit(s)) sigaddset(set, s);
}

uint64_t signal_from_sigset(const sigset_t *set)
{
    uint64_t mask = 0;
    for (int s = 1; s < SIGNALS; s++)
        if (sigismember(set, s) == 1) mask |= bit(s);
    return mask;
}

/* What the host thread may never block: faults come from guest memory accesses, and our own. */
static uint64_t host_mask(uint64_t mask)
{
    return mask & ~(bit(SIGSEGV) | bit(SIGBUS) | bit(SIGNAL_REKICK) | bit(SIGKILL) | bit(SIGSTOP));
}

static void set_host_mask(struct thread *t)
{
    uint64_t m = host_mask(t->mask);
    for (int s = 1; s < SIGNALS; s++)
        if (t->pending[s] && s != SIGSEGV && s != SIGBUS) m |= bit(s);
    sigset_t set;
    signal_to_sigset(m, &set);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}

void signal_set_mask(struct thread *t, uint64_t mask)
{
    t->mask = mask & ~(bit(SIGKILL) | bit(SIGSTOP));
    t->any_pending = 1; /* something that waited may be due now */
    set_host_mask(t);
}

void signal_temporary_mask(struct thread *t, uint64_t mask)
{
    if (!t->have_saved_mask) t->saved_mask = t->mask;
    t->have_saved_mask = true;
    signal_set_mask(t, mask);
}

void signal_end_temporary(struct thread *t)
{
    if (!t->have_saved_mask) return;
    t->have_saved_mask = false;
    signal_set_mask(t, t->saved_mask);
}

bool signal_on_altstack(const struct thread *t, uint64_t sp)
{
    return t->altstack_size && sp - t->altstack < t->altstack_size;
}

/* ---- the host's handler
 * ---------------------------------------------------------------------------- */
static void arm_rekick(struct thread *t)
{
    if (!t->have_rekick || t->rekick_armed) return;
    struct itimerspec its = {{0, 5000000}, {0, 1000000}};
    t->rekick_armed = 1;
    timer_settime(t->rekick, 0, &its, NULL);
}

static bool memory_fault(struct thread *t, int sig, const siginfo_t *info, const void *uc)
{
    struct proc *p = t->proc;
    uint64_t va = (uint64_t)((uint8_t *)info->si_addr - p->base);
    if (va >= p->window && (sizeof(void *) < 8 || va + p->guard >= p->window + 2 * p->guard || t->in_syscall)) return false;
    if (sig == SIGSEGV && mem_code_fault(p, info->si_addr)) {
        if (!t->in_syscall) {
            cpu_host_fault(t->cpu, uc);
            if (cpu_in_code(t->cpu)) {
                cpu_fp_signal(t->cpu, uc); /* it may not return */
                engine_code_page_own(t->cpu, info->si_addr);
            }
        }
        return true;
    }
    if (t->in_syscall) {
        if (t->recover) siglongjmp(*t->recover, 1);
        return false;
    }
    cpu_host_fault(t->cpu, uc);
    if (!cpu_in_code(t->cpu)) return false;
    if (va >= p->limit && t->cpu->xpoint) { /* compiled code does not wrap addresses */
        cpu_fp_signal(t->cpu, uc);
        engine_run_again(t->cpu);
    }
    if (va >= p->window) return false;
    t->fault_bus = sig == SIGBUS;
    bool write = sig == SIGSEGV && (mem_page(p, va) & PAGE_READ);
    t->cpu->guest->fault(t->cpu, FAULT_USER, write ? ACCESS_WRITE : ACCESS_READ, va);
    cpu_fp_signal(t->cpu, uc);
    cpu_raise(t->cpu);
}

static void on_signal(int sig, siginfo_t *info, void *uc)
{
    int saved = errno;
    struct thread *t = thread_current;
    if (!t) return;
    if ((sig == SIGSEGV || sig == SIGBUS) && info->si_code > 0 && info->si_code != SI_KERNEL) {
        if (memory_fault(t, sig, info, uc)) {
            errno = saved;
            return;
        }
    }
    if ((sig == SIGSEGV || sig == SIGBUS) && info->si_code > 0) {
        /* Not the guest's doing: let it take its course. */
        static const char msg[] = "quern: internal error: host memory fault outside of the guest\n";
        ssize_t r = write(2, msg, sizeof msg - 1);
        (void)r;
        signal(sig, SIG_DFL);
        return;
    }
    if (sig == SIGNAL_REKICK) { /* to end a call is all it is for */
        if (info->si_code > 0 && t->proc->gdb) {
            debug_poke(t);
            cpu_kick(t->cpu);
            if (t->in_syscall) arm_rekick(t);
        }
        errno = saved;
        return;
    }
    if (t->leader) t = t->leader;
    t->info[sig] = *info;
    t->pending[sig] = 1;
    t->any_pending = 1;
    if (sig != SIGSEGV && sig != SIGBUS) sigaddset(&((ucontext_t *)uc)->uc_sigmask, sig);
    cpu_kick(t->cpu);
    if (t->in_syscall) arm_rekick(t);
    errno = saved;
}

static void install(int sig, int flags)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = on_signal;
    sigemptyset(&sa.sa_mask);
    if (sig == SIGSEGV || sig == SIGBUS)
        flags |= SA_NODEFER; /* left by longjmp */
    else
        sigfillset(&sa.sa_mask);
    sigdelset(&sa.sa_mask, SIGSEGV);
    sigdelset(&sa.sa_mask, SIGBUS);
    sa.sa_flags = SA_SIGINFO | flags;
    sigaction(sig, &sa, NULL);
}

static bool ignored_by_default(int sig)
{
    return sig == SIGCHLD || sig == SIGURG || sig == SIGWINCH || sig == SIGCONT;
}

static bool stops_by_default(int sig)
{
    return sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

/* A debugger is to hear of signals before the process dies of them. */
static bool wanted_by_debugger(const struct proc *p, int sig)
{
    return p->gdb && !ignored_by_default(sig) && !stops_by_default(sig);
}

/* Brings the host's disposition in line with the guest's action. */
void signal_apply_action(struct proc *p, int sig)
{
    const struct guest_action *a = &p->sig->action[sig];
    if (sig == SIGSEGV || sig == SIGBUS || sig == SIGKILL || sig == SIGSTOP || sig == SIGNAL_REKICK)
        return;
    if (a->handler <= 1 && !(a->handler == 0 && wanted_by_debugger(p, sig))) {
        struct sigaction sa;
        memset(&sa, 0, sizeof sa);
        sa.sa_handler = a->handler ? SIG_IGN : SIG_DFL;
        sa.sa_flags = a->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT);
        sigaction(sig, &sa, NULL);
        return;
    }
    install(sig, a->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
}

int signal_init(struct proc *p, struct error *e)
{
    p->sig = NEW(struct signal_state);
    for (int s = 1; s < SIGNALS; s++) {
        struct sigaction sa;
        if (sigaction(s, NULL, &sa)) continue;
        if (!(sa.sa_flags & SA_SIGINFO) && sa.sa_handler == SIG_IGN)
            p->sig->action[s].handler = 1;
        else if (p->gdb)
            signal_apply_action(p, s);
    }
    install(SIGSEGV, 0);
    install(SIGBUS, 0);
    install(SIGNAL_REKICK, 0);
    return 0;
}

void signal_init_thread(struct thread *t)
{
    struct sigevent ev;
    memset(&ev, 0, sizeof ev);
#ifdef SIGEV_THREAD_ID
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
    ev.sigev_notify = SIGEV_THREAD_ID;
    ev.sigev_notify_thread_id = t->tid;
    ev.sigev_signo = SIGNAL_REKICK;
    t->have_rekick = timer_create(CLOCK_MONOTONIC, &ev, &t->rekick) == 0;
#endif
    set_host_mask(t);
}

void signal_end_thread(struct thread *t)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    if (t->have_rekick) timer_delete(t->rekick);
    t->have_rekick = false;
}

/* ---- delivery
 * ------------------------------------------------------------------------------------- */
ATTR_NORETURN void signal_die(struct thread *t, int sig)
{
    debug_end(t, true, sig);
    uls_end(t);
    thread_leave(t->proc);
    if (log_stream()) fflush(log_stream());
    fflush(stderr);
    signal(sig, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    kill(getpid(), sig);
    /* A signal that the host does not die of, or not at once. */
    for (int i = 0; i < 100; i++)
        usleep(1000);
    _exit(128 + sig);
}

/* Default action of a signal that came through our handler. */
static void default_action(struct thread *t, int sig)
{
    if (ignored_by_default(sig)) return;
    if (stops_by_default(sig) || sig == SIGSTOP) {
        kill(getpid(), SIGSTOP);
        return;
    }
    signal_die(t, sig);
}

static void build_frame(struct thread *t, int sig, const siginfo_t *info)
{
    struct proc *p = t->proc;
    pthread_mutex_lock(&p->lock);
    struct guest_action a = p->sig->action[sig];
    if (a.flags & SA_RESETHAND) {
        p->sig->action[sig].handler = 0;
        signal_apply_action(p, sig);
    }
    pthread_mutex_unlock(&p->lock);
    struct guest_frame f = {sig, info, &a, t->have_saved_mask ? t->saved_mask : t->mask};
    t->have_saved_mask = false;
    if (!p->abi->setup_frame(t, &f)) {
        LOG(GUEST_ERRORS, "no room for a signal frame at sp 0x%llx\n",
            (unsigned long long)p->abi->get_sp(t));
        signal_die(t, SIGSEGV);
    }
    signal_set_mask(t, t->mask | a.mask | (a.flags & SA_NODEFER ? 0 : bit(sig)));
}

void signal_add(struct thread *t, int sig)
{
    if (!t->pending[sig]) {
        memset(&t->info[sig], 0, sizeof t->info[sig]);
        t->info[sig].si_signo = sig;
        t->info[sig].si_code = SI_USER;
        t->info[sig].si_pid = getpid();
        t->info[sig].si_uid = getuid();
    }
    t->told |= bit(sig);
    t->pending[sig] = 1;
    t->any_pending = 1;
    set_host_mask(t);
}

int signal_pick(struct thread *t)
{
    t->any_pending = 0;
    for (int s = 1; s < SIGNALS; s++) {
        if (!t->pending[s] || (t->mask & bit(s))) continue;
        if (t->proc->gdb && !(t->told & bit(s))) {
            int now = debug_signal(t, s);
            if (now != s) { /* another one, or none: look at all of them again */
                t->pending[s] = 0;
                set_host_mask(t);
                if (now) signal_add(t, now);
                s = 0;
                continue;
            }
            t->told |= bit(s);
        }
        uint64_t h = t->proc->sig->action[s].handler;
        if (h > 1) {
            t->any_pending = 1;
            return s;
        }
        t->pending[s] = 0;
        t->told &= ~bit(s);
        set_host_mask(t);
        if (!h) default_action(t, s);
    }
    return 0;
}

void signal_deliver(struct thread *t)
{
    int s;
    while ((s = signal_pick(t)) != 0) {
        siginfo_t info = t->info[s];
        t->pending[s] = 0;
        t->told &= ~bit(s);
        if (t->proc->strace) strace_signal(t, s, &info);
        build_frame(t, s, &info);
    }
    signal_end_temporary(t);
}

void signal_force(struct thread *t, int sig, int code, uint64_t addr)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = sig;
    if (sig == SIGSEGV && !code)
        code = mem_page(t->proc, addr) & PAGE_USED ? SEGV_ACCERR : SEGV_MAPERR;
    info.si_code = code;
    info.si_addr = (void *)(uintptr_t)addr;
    int now = t->proc->gdb ? debug_signal(t, sig) : sig;
    if (now != sig) {
        if (now) signal_add(t, now);
        return;
    }
    if (t->proc->strace) strace_signal(t, sig, &info);
    if (t->proc->sig->action[sig].handler <= 1 || (t->mask & bit(sig))) {
        static const struct {
            int sig;
            const char *text;
        } names[] = {
            {SIGSEGV, "Segmentation fault"},    {SIGBUS, "Bus error"},
            {SIGILL, "Illegal instruction"},    {SIGFPE, "Arithmetic exception"},
            {SIGTRAP, "Trace/breakpoint trap"},
        };
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (names[i].sig == sig)
                fprintf(stderr, "%s: uncaught target signal %d (%s) - core dumped\n",
                        error_progname(), abi_sig_to_guest(t->proc->abi, sig), names[i].text);
        signal_die(t, sig);
    }
    build_frame(t, sig, &info);
}

/* ---- sets and siginfo
 * ----------------------------------------------------------------------------- */
bool signal_get_set(struct thread *t, uint64_t addr, uint64_t *mask)
{
    const struct abi *abi = t->proc->abi;
    const uint8_t *p = mem_in(t->proc, addr, abi->sigset_size);
    if (!p) return false;
    *mask = abi_set_to_host(abi, p, abi->sigset_size);
    return true;
}

bool signal_put_set(struct thread *t, uint64_t addr, uint64_t mask, unsigned bytes)
{
    uint8_t *p = mem_out(t->proc, addr, bytes);
    if (!p) return false;
    abi_set_to_guest(t->proc->abi, mask, p, bytes);
    return true;
}

/* Which members of the union a siginfo has. */
enum info_kind { INFO_KILL, INFO_RT, INFO_CHILD, INFO_FAULT, INFO_POLL, INFO_TIMER };

static enum info_kind info_kind(int sig, int code)
{
    if (code == SI_TIMER) return INFO_TIMER;
    if (code == SI_QUEUE || code == SI_MESGQ || code == SI_ASYNCIO) return INFO_RT;
    if (code <= 0) return INFO_KILL;
    switch (sig) {
    case SIGCHLD: return INFO_CHILD;
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGTRAP: return INFO_FAULT;
    case SIGIO: return INFO_POLL;
    default: return INFO_KILL;
    }
}

/* The value goes through as the guest gave it (see signal_info_to_host): the low bytes of the
 * pointer. */
static void put_value(const struct abi *abi, const siginfo_t *i, uint8_t *out)
{
    if (abi->long_size == 8) {
        guest_st(abi, out, 8, (uint64_t)(uintptr_t)i->si_value.sival_ptr);
    } else {
        guest_st(abi, out, 4, (uint64_t)(uintptr_t)i->si_value.sival_ptr);
    }
}

void signal_info_to_guest(const struct abi *abi, const siginfo_t *i, uint8_t *out)
{
    unsigned w = abi->long_size, u = w == 8 ? 16 : 12;
    memset(out, 0, 128);
    int code = i->si_code, sig = i->si_signo;
    guest_st(abi, out, 4, (uint64_t)abi_sig_to_guest(abi, sig));
    guest_st(abi, out + (abi->siginfo_code_first ? 8 : 4), 4,
             (uint64_t)abi_errno_to_guest(abi, i->si_errno));
    guest_st(abi, out + (abi->siginfo_code_first ? 4 : 8), 4, (uint64_t)(int64_t)code);
    switch (info_kind(sig, code)) {
    case INFO_TIMER:
        guest_st(abi, out + u, 4, (uint64_t)i->si_timerid);
        guest_st(abi, out + u + 4, 4, (uint64_t)i->si_overrun);
        put_value(abi, i, out + u + 8);
        break;
    case INFO_RT:
        guest_st(abi, out + u, 4, (uint64_t)i->si_pid);
        guest_st(abi, out + u + 4, 4, i->si_uid);
        put_value(abi, i, out + u + 8);
        break;
    case INFO_KILL:
        guest_st(abi, out + u, 4, (uint64_t)i->si_pid);
        guest_st(abi, out + u + 4, 4, i->si_uid);
        break;
    case INFO_CHILD: {
        int status = i->si_status;
        if (code != CLD_EXITED) status = abi_sig_to_guest(abi, status);
        guest_st(abi, out + u, 4, (uint64_t)i->si_pid);
        guest_st(abi, out + u + 4, 4, i->si_uid);
        guest_st(abi, out + u + 8, 4, (uint64_t)status);
        guest_st(abi, out + ALIGN_UP(u + 12, w), w, (uint64_t)i->si_utime);
        guest_st(abi, out + ALIGN_UP(u + 12, w) + w, w, (uint64_t)i->si_stime);
        break;
    }
    case INFO_FAULT: guest_st(abi, out + u, w, (uint64_t)(uintptr_t)i->si_addr); break;
    case INFO_POLL:
        guest_st(abi, out + u, w, (uint64_t)i->si_band);
        guest_st(abi, out + u + w, 4, (uint64_t)i->si_fd);
        break;
    }
}

void signal_info_to_host(const struct abi *abi, const uint8_t *in, siginfo_t *i)
{
    unsigned w = abi->long_size, u = w == 8 ? 16 : 12;
    memset(i, 0, sizeof *i);
    i->si_signo = abi_sig_to_host(abi, (int)guest_ld(abi, in, 4));
    i->si_code = (int32_t)guest_ld(abi, in + (abi->siginfo_code_first ? 4 : 8), 4);
    i->si_errno =
        abi_num_to_host(abi->errnos, (int)guest_ld(abi, in + (abi->siginfo_code_first ? 8 : 4), 4));
    i->si_pid = (pid_t)guest_ld(abi, in + u, 4);
    i->si_uid = (uid_t)guest_ld(abi, in + u + 4, 4);
    i->si_value.sival_ptr = (void *)(uintptr_t)guest_ld(abi, in + u + 8, w);
}
