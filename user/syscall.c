/*
 * syscall.c - from the registers to a handler and back.
 *
 * Kinds of arguments, one letter each in the tables (they also say how -strace prints them):
 *   h user or group id of 16 bits   d fd   @ directory fd   i int   u unsigned   x bits   m mode   o open flags   M PROT_*   F
 * MAP_* S signal   s string   P address read   B address written   z size   L signed long l 64 bits
 * (a register pair on 32-bit ABIs)   w 64 bits as two longs, low one first
 */
#include "user/abi.h"

#define MAX_ARGS 6

static const struct syscall_desc *find_call(const struct abi *abi, unsigned num)
{
    unsigned lo = 0, hi = abi->n_calls;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (abi->calls[mid].num < num)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < abi->n_calls && abi->calls[lo].num == num ? &abi->calls[lo] : NULL;
}

/* Collects and converts the arguments; -1 when the stack holding them is unreadable. */
static int get_args(struct thread *t, const struct syscall_desc *call, unsigned pos, uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    bool pairs = abi->long_size == 4 && !abi->reg64;
    unsigned i = 0;
    for (const char *k = call->kinds; *k && i < MAX_ARGS; k++, i++) {
        uint64_t v, second;
        if (*k == 'l' && pairs && abi->pairs_aligned) pos = (pos + 1) & ~1u;
        if (!abi->arg(t, pos++, &v)) return -1;
        switch (*k) {
        case 'd':
        case '@':
        case 'i':
        case 'S': v = (uint64_t)(int64_t)(int32_t)v; break;
        case 'h': v = (uint16_t)v == 0xffff ? UINT32_MAX : (uint16_t)v; break;
        case 'u':
        case 'm':
        case 'o':
        case 'M':
        case 'F': v = (uint32_t)v; break;
        case 'L':
            if (!abi->reg64) v = (uint64_t)abi_slong(abi, v);
            break;
        case 'l':
            if (!pairs) break;
            if (!abi->arg(t, pos++, &second)) return -1;
            v = abi->be ? v << 32 | (uint32_t)second : second << 32 | (uint32_t)v;
            break;
        case 'w':
            if (!abi->arg(t, pos++, &second)) return -1;
            if (abi->long_size == 4) v = second << 32 | (uint32_t)v;
            break;
        default: v = abi_long(abi, v);
        }
        a[i] = v;
    }
    return (int)i;
}

static void disarm_rekick(struct thread *t)
{
    if (!t->rekick_armed) return;
    struct itimerspec its = {{0, 0}, {0, 0}};
    timer_settime(t->rekick, 0, &its, NULL);
    t->rekick_armed = 0;
}

/* Apart, because of sigsetjmp: nothing here changes after it. */
static int64_t call_handler(struct thread *t, sys_fn *fn, const uint64_t *a)
{
    sigjmp_buf recover;
    t->recover = &recover;
    /* Memory that another thread unmaps while the call uses it. */
    int64_t r = sigsetjmp(recover, 0) ? -EFAULT : fn(t, a);
    t->recover = NULL;
    return r;
}

void syscall_run(struct thread *t)
{
    struct proc *p = t->proc;
    const struct abi *abi = p->abi;
    /* A signal noted up to here is delivered first; one that comes later finds in_syscall set. */
    t->in_syscall = 1;
    if (t->any_pending && signal_pick(t)) {
        t->in_syscall = 0;
        return;
    }
    unsigned shift, num = abi->syscall_number(t, &shift);
    const struct syscall_desc *call = find_call(abi, num);
    sys_fn *fn = call ? abi->call_fns[call - abi->calls] : NULL;
    int64_t ret;
    uint64_t a[MAX_ARGS] = {0};
    if (!fn) {
        if (p->strace) {
            if (call)
                log_printf("%d %s() = -1 errno=%d (%s)\n", (int)t->tid, call->name,
                           abi_errno_to_guest(abi, ENOSYS), strerror(ENOSYS));
            else
                log_printf("%d Unknown syscall %u\n", (int)t->tid, num);
        }
        LOG(UNIMP, "Unsupported syscall: %u%s%s%s\n", num, call ? " (" : "", call ? call->name : "",
            call ? ")" : "");
        t->in_syscall = 0;
        abi->syscall_done(t, -ENOSYS);
        return;
    }
    t->call = call;
    int n = get_args(t, call, shift, a);
    if (n < 0) {
        t->in_syscall = 0;
        abi->syscall_done(t, -EFAULT);
        return;
    }
    if (p->strace) strace_call(t, call, a, (unsigned)n);
    ret = call_handler(t, fn, a);
    t->in_syscall = 0;
    disarm_rekick(t);
    if (p->strace) strace_result(t, call, ret);
    if (call->flags & SYS_NORET) {
        if (ret < 0) signal_force(t, SIGSEGV, SI_KERNEL, 0);
        return;
    }
    if (ret == -EINTR) {
        /* Nobody to tell, or a handler that asks for it: the call is made again, so the pc stays.
         */
        int sig = t->any_pending ? signal_pick(t) : 0;
        if (!sig || (!(call->flags & SYS_NORESTART) && (p->sig->action[sig].flags & SA_RESTART))) {
            if (!sig) signal_end_temporary(t);
            return;
        }
    }
    abi->syscall_done(t, ret);
}

/* ---- kinds of descriptors
 * ------------------------------------------------------------------------- */
int fd_kind_get(struct proc *p, int fd)
{
    /* Racy by nature: a descriptor's kind is set before the guest learns its number. */
    return fd >= 0 && fd < p->n_fds ? p->fd_kinds[fd] : FD_PLAIN;
}

void fd_kind_set(struct proc *p, int fd, enum fd_kind kind)
{
    if (fd < 0) return;
    pthread_mutex_lock(&p->lock);
    if (fd >= p->n_fds && kind != FD_PLAIN && fd < 1 << 20) {
        /* The old table stays: another thread may be looking at it. Sizes double, so little is
         * kept. */
        int n = MAX(256, fd * 2);
        uint8_t *table = mem_zalloc((size_t)n);
        if (p->n_fds) memcpy(table, p->fd_kinds, (size_t)p->n_fds);
        p->fd_kinds = table;
        p->n_fds = n;
    }
    if (fd < p->n_fds) p->fd_kinds[fd] = (uint8_t)kind;
    pthread_mutex_unlock(&p->lock);
}
