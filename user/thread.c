/*
 * thread.c - guest threads: creation, the loop, exit, fork; futexes and robust lists.
 *
 * A thread of the guest is a thread of the host with its own CPU; from the first one on, all CPUs
 * know that they run in parallel. fork is the host's; of the CPUs only the caller's goes on in the
 * child.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct thread *thread_new(struct proc *p)
{
    struct thread *t = NEW(struct thread);
    t->proc = p;
    t->cpu = cpu_new(p->isa->guest, &p->world, p->engine, t, 0);
    t->cpu->ubase = p->base;
    t->cpu->ulimit = p->limit;
    pthread_mutex_lock(&p->lock);
    t->cpu->index = (int)p->n_threads;
    t->next = p->threads;
    p->threads = t;
    p->n_threads++;
    pthread_mutex_unlock(&p->lock);
    return t;
}

static void unlink_thread(struct thread *t)
{
    struct proc *p = t->proc;
    pthread_mutex_lock(&p->lock);
    for (struct thread **q = &p->threads; *q; q = &(*q)->next)
        if (*q == t) {
            *q = t->next;
            break;
        }
    p->n_threads--;
    pthread_mutex_unlock(&p->lock);
}

static void thread_delete(struct thread *t)
{
    cpu_delete(t->cpu);
    mem_free(t);
}

void thread_leave(struct proc *p)
{
    engine_leave(p->engine);
    if (p->follower) engine_leave(p->follower->engine);
}

ATTR_NORETURN void thread_exit_group(struct thread *t, int status)
{
    debug_end(t, false, status);
    uls_end(t);
    thread_leave(t->proc);
    if (log_stream()) fflush(log_stream());
    fflush(NULL);
    _exit(status);
}

static void thread_exception(struct thread *t)
{
    struct guest_event ev;
    t->proc->abi->event(t, &ev);
    if (ev.syscall)
        syscall_run(t);
    else if (!ev.retry)
        signal_force(t, ev.sig, ev.code, ev.addr);
    t->fault_bus = false;
}

void thread_left(struct thread *t, enum run_exit r)
{
    const struct abi *abi = t->proc->abi;
    if (r == RUN_EXCEPTION)
        thread_exception(t);
    else if (abi->trapped && abi->trapped(t))
        signal_force(t, SIGTRAP, TRAP_TRACE, abi->get_pc(t));
}

void thread_loop(struct thread *t)
{
    if (t->proc->lockstep) uls_loop(t);
    while (!t->exiting) {
        if (t->any_pending) signal_deliver(t);
        enum run_exit r = t->proc->gdb ? debug_run(t, INT64_MAX / 4) : engine_run(t->cpu, INT64_MAX / 4);
        thread_left(t, r);
    }
}

/* ---- futex
 * ----------------------------------------------------------------------------------------- */
static long host_futex(void *addr, int op, uint32_t val, const void *timeout_or_val2, void *addr2,
                       uint32_t val3)
{
    return syscall(SYS_futex, addr, op, val, timeout_or_val2, addr2, val3);
}

/* Futex words are compared by the host kernel as they lie in memory. */
static uint32_t as_in_memory(const struct abi *abi, uint32_t v)
{
    return abi->be == HOST_BE ? v : host_bswap32(v);
}

int64_t sys_futex(struct thread *t, const uint64_t *a)
{
    struct proc *p = t->proc;
    int op = (int)a[1], cmd = op & FUTEX_CMD_MASK;
    uint32_t val = (uint32_t)a[2], val3 = (uint32_t)a[5];
    if (a[0] & 3) return -EINVAL;
    if (!mem_check(p, a[0], 4, PAGE_READ)) return -EFAULT;
    void *w = p->base + a[0];
    struct timespec ts;
    const struct timespec *tp = NULL;
    switch (cmd) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        if (a[3]) {
            if (get_layout(t, a[3], layout_for_time(t), &ts)) return -EFAULT;
            tp = &ts;
        }
        return sys_ret(host_futex(w, op, as_in_memory(p->abi, val), tp, NULL, val3));
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET: return sys_ret(host_futex(w, op, val, NULL, NULL, val3));
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
        if (!mem_check(p, a[4], 4, PAGE_READ)) return -EFAULT;
        if (cmd == FUTEX_WAKE_OP && p->abi->be != HOST_BE) return -ENOSYS;
        if (cmd == FUTEX_CMP_REQUEUE) val3 = as_in_memory(p->abi, val3);
        return sys_ret(host_futex(w, op, val, (void *)(uintptr_t)a[3], p->base + a[4], val3));
    case FUTEX_LOCK_PI:
        if (a[3]) {
            if (get_layout(t, a[3], layout_for_time(t), &ts)) return -EFAULT;
            tp = &ts;
        }
        /* fall through */
    case FUTEX_UNLOCK_PI:
    case FUTEX_TRYLOCK_PI:
        /* The host kernel writes thread ids into these words. */
        if (p->abi->be != HOST_BE) return -ENOSYS;
        return sys_ret(host_futex(w, op, val, tp, NULL, val3));
    default: return -ENOSYS;
    }
}

/* What the kernel does for the robust futexes of a thread that ends (list of user addresses). */
static void robust_exit(struct thread *t)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size;
    uint64_t head = t->robust_list, entry, offset, pending;
    if (!head || get_scalar(t, head, w, &entry) || get_scalar(t, head + w, w, &offset) ||
        get_scalar(t, head + 2 * w, w, &pending))
        return;
    offset = (uint64_t)abi_slong(abi, offset);
    for (int n = 0; n < 2048; n++) {
        bool last = entry == head || !entry;
        uint64_t e = last ? pending : entry, next = 0, v;
        if (!last && get_scalar(t, entry & ~(uint64_t)1, w, &next)) return;
        uint64_t word = abi_long(abi, (e & ~(uint64_t)1) + offset);
        if (e && !get_scalar(t, word, 4, &v) && (v & FUTEX_TID_MASK) == (uint32_t)t->tid) {
            put_scalar(t, word, 4, (v & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
            if (v & FUTEX_WAITERS) host_futex(t->proc->base + word, FUTEX_WAKE, 1, NULL, NULL, 0);
        }
        if (last) return;
        entry = next;
    }
}

/* Leaves the process as a thread; the memory side. */
static void announce_exit(struct thread *t)
{
    robust_exit(t);
    if (t->clear_tid && !put_scalar(t, t->clear_tid, 4, 0))
        host_futex(t->proc->base + t->clear_tid, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* ---- clone
 * ------------------------------------------------------------------------------------------ */
struct clone_args {
    struct thread *parent, *child;
    uint64_t flags, ptid, ctid;
    pthread_mutex_t lock;
    pthread_cond_t started;
    pid_t tid; /* of the child, 0 until it runs; it may be gone before the parent looks */
};

static void *thread_main(void *opaque)
{
    struct clone_args *c = opaque;
    struct thread *t = c->child;
    thread_current = t;
    t->tid = (pid_t)syscall(SYS_gettid);
    if (c->flags & CLONE_PARENT_SETTID) put_scalar(t, c->ptid, 4, (uint64_t)t->tid);
    if (c->flags & CLONE_CHILD_SETTID) put_scalar(t, c->ctid, 4, (uint64_t)t->tid);
    if (c->flags & CLONE_CHILD_CLEARTID) t->clear_tid = c->ctid;
    pthread_mutex_lock(&c->lock);
    c->tid = t->tid;
    pthread_cond_signal(&c->started);
    pthread_mutex_unlock(&c->lock);
    signal_init_thread(t);
    thread_loop(t);
    debug_hold(t);
    signal_end_thread(t);
    announce_exit(t);
    unlink_thread(t);
    thread_current = NULL;
    thread_delete(t);
    return NULL;
}

void thread_copy_cpu(struct cpu *to, const struct cpu *from)
{
    /* The ISA's part as it is; of the common part what describes the guest and not the run. */
    memcpy((char *)to + sizeof(struct cpu), (const char *)from + sizeof(struct cpu),
           from->guest->cpu_size - sizeof(struct cpu));
    to->key = from->key;
    to->fp = from->fp;
    to->fp_note = from->fp_note;
    cpu_fp_changed(to); /* how fast depends on its engine */
}

static int64_t new_thread(struct thread *t, uint64_t flags, uint64_t sp, uint64_t ptid,
                          uint64_t tls, uint64_t ctid)
{
    struct proc *p = t->proc;
    const struct abi *abi = p->abi;
    uls_leave(t, "the program makes a thread");
    struct thread *child = thread_new(p);
    thread_copy_cpu(child->cpu, t->cpu);
    pthread_mutex_lock(&p->lock);
    for (struct thread *q = p->threads; q; q = q->next)
        q->cpu->parallel = true;
    pthread_mutex_unlock(&p->lock);
    child->mask = t->mask;
    abi->clone(child, sp, tls, (flags & CLONE_SETTLS) != 0);
    abi->syscall_done(child, 0);
    struct clone_args c = {
        t, child, flags, ptid, ctid, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 1 << 20);
    pthread_t id;
    int err = pthread_create(&id, &attr, thread_main, &c);
    pthread_attr_destroy(&attr);
    int64_t ret = -err;
    if (!err) {
        pthread_mutex_lock(&c.lock);
        while (!c.tid)
            pthread_cond_wait(&c.started, &c.lock);
        ret = c.tid;
        pthread_mutex_unlock(&c.lock);
    } else {
        unlink_thread(child);
        thread_delete(child);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ret;
}

/* In the child of a fork: this thread is the only one left. */
static void after_fork(struct thread *t)
{
    struct proc *p = t->proc;
    engine_after_fork(p->engine, true);
    uls_after_fork(p, true);
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->mem_lock, NULL);
    for (struct thread *q = p->threads, *next; q; q = next) {
        next = q->next;
        if (q != t) thread_delete(q);
    }
    p->threads = t;
    t->next = NULL;
    p->n_threads = 1;
    t->cpu->parallel = false;
    t->tid = (pid_t)syscall(SYS_gettid);
    t->robust_list = 0;
    t->clear_tid = 0;
    for (int s = 1; s < SIGNALS; s++)
        t->pending[s] = 0;
    t->rekick_armed = 0;
    debug_after_fork(p);
    signal_init_thread(t); /* timers are not inherited */
}

static int64_t fork_process(struct thread *t, uint64_t flags, uint64_t sp, uint64_t ptid,
                            uint64_t tls, uint64_t ctid)
{
    struct proc *p = t->proc;
    int done[2] = {-1, -1};
    /* vfork: the parent goes on when the child has called exec or ended, which closes its end. */
    bool wait = (flags & CLONE_VFORK) && pipe2(done, O_CLOEXEC) == 0;
    debug_hold(t);
    if (log_stream()) fflush(log_stream());
    fflush(NULL);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_mutex_lock(&p->lock);
    pthread_mutex_lock(&p->mem_lock);
    engine_before_fork(p->engine);
    uls_before_fork(p);
    pid_t pid = fork();
    int err = errno;
    if (pid) {
        engine_after_fork(p->engine, false);
        uls_after_fork(p, false);
    }
    pthread_mutex_unlock(&p->mem_lock);
    pthread_mutex_unlock(&p->lock);
    if (pid == 0) {
        if (wait) {
            /* The guest must not meet it: out of the way of the numbers it uses. */
            close(done[0]);
            int high = fcntl(done[1], F_DUPFD_CLOEXEC, 1000);
            if (high >= 0) close(done[1]);
        }
        after_fork(t);
        p->abi->clone(t, sp, tls, (flags & CLONE_SETTLS) != 0);
        if (flags & CLONE_CHILD_SETTID) put_scalar(t, ctid, 4, (uint64_t)t->tid);
        if (flags & CLONE_CHILD_CLEARTID) t->clear_tid = ctid;
        return 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (wait) {
        close(done[1]);
        char c;
        while (pid > 0 && read(done[0], &c, 1) < 0 && errno == EINTR) {
        }
        close(done[0]);
    }
    if (pid < 0) return -err;
    if (flags & CLONE_PARENT_SETTID) put_scalar(t, ptid, 4, (uint64_t)pid);
    return pid;
}

int64_t sys_clone(struct thread *t, const uint64_t *a)
{
    const uint64_t thread_flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    uint64_t flags = a[0], tls = a[t->proc->abi->clone_tls_arg],
             ctid = a[t->proc->abi->clone_tls_arg == 3 ? 4 : 3];
    if ((flags & thread_flags) == thread_flags) return new_thread(t, flags, a[1], a[2], tls, ctid);
    if ((flags & CLONE_VM) && !(flags & CLONE_VFORK)) {
        LOG(UNIMP, "clone of a process that shares memory (flags 0x%llx)\n",
            (unsigned long long)flags);
        return -EINVAL;
    }
    if (flags &
        (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET))
        return -EINVAL;
    int sig = abi_sig_to_host(t->proc->abi, (int)(flags & 0xff));
    if (sig != SIGCHLD && (flags & 0xff))
        LOG(UNIMP, "clone with exit signal %d\n", (int)(flags & 0xff));
    return fork_process(t, flags, a[1], a[2], tls, ctid);
}

int64_t sys_fork(struct thread *t, const uint64_t *a)
{
    return fork_process(t, 0, 0, 0, 0, 0);
}

int64_t sys_exit(struct thread *t, const uint64_t *a)
{
    struct proc *p = t->proc;
    pthread_mutex_lock(&p->lock);
    bool last = p->n_threads == 1;
    pthread_mutex_unlock(&p->lock);
    if (last) {
        announce_exit(t);
        thread_exit_group(t, (int)a[0] & 0xff);
    }
    t->exiting = true;
    if (t->tid != getpid()) return 0;
    /* The first thread's host thread is the process's: it sleeps until the others have ended it. */
    debug_hold(t);
    announce_exit(t);
    signal_end_thread(t);
    unlink_thread(t);
    t->in_syscall = 0;
    pthread_exit(NULL);
}

int64_t sys_exit_group(struct thread *t, const uint64_t *a)
{
    thread_exit_group(t, (int)a[0] & 0xff);
}

int64_t sys_set_tid_address(struct thread *t, const uint64_t *a)
{
    t->clear_tid = a[0];
    return t->tid;
}

int64_t sys_set_robust_list(struct thread *t, const uint64_t *a)
{
    if (a[1] != 3u * t->proc->abi->long_size) return -EINVAL;
    t->robust_list = a[0];
    return 0;
}

int64_t sys_get_robust_list(struct thread *t, const uint64_t *a)
{
    unsigned w = t->proc->abi->long_size;
    uint64_t head = 0;
    bool found = !a[0];
    if (found) head = t->robust_list;
    pthread_mutex_lock(&t->proc->lock);
    for (struct thread *q = t->proc->threads; q && !found; q = q->next)
        if (q->tid == (pid_t)a[0]) {
            head = q->robust_list;
            found = true;
        }
    pthread_mutex_unlock(&t->proc->lock);
    if (!found) return -ESRCH;
    int r = put_scalar(t, a[1], w, head);
    return r ? r : put_scalar(t, a[2], w, 3 * w);
}
