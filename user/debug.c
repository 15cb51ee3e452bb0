/*
 * debug.c - `-g`: a debugger on the process. All threads stop together and one of them, the one
 * that has something to tell, talks to the debugger until it lets go. Not the protocol itself,
 * which is mon/gdb.h's.
 *
 * Who may run: nobody while session->stopped is set, but session->step. A thread is at rest when it
 * waits in debug_hold or is inside a system call: both leave its registers exact and no translated
 * code of its in use, so that breakpoints may be set. A call that returns meanwhile is held before
 * the next block.
 *
 * Bytes from the debugger while the process runs (^C) are announced by SIGNAL_REKICK, which ends
 * blocking calls too.
 */
#include "user/abi.h"

#include "mon/gdb.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

struct gdb_session {
    struct gdb_user *user;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopped;
    struct thread *step;                 /* may run nevertheless, by one instruction */
    volatile sig_atomic_t talking, look; /* look: there may be bytes from the debugger */
};

/* ---- signal numbers ----------------------------------------------------------------------------
 */
/* The protocol's numbers (GDB's include/gdb/signals.def lists them) where they are not the host's.
 */
static const struct num_pair signal_numbers[] = {
    {SIGBUS, 10},    {SIGSYS, 12},  {SIGURG, 16},   {SIGSTOP, 17}, {SIGTSTP, 18}, {SIGCONT, 19},
    {SIGCHLD, 20},   {SIGTTIN, 21}, {SIGTTOU, 22},  {SIGIO, 23},   {SIGXCPU, 24}, {SIGXFSZ, 25},
    {SIGVTALRM, 26}, {SIGPROF, 27}, {SIGWINCH, 28}, {SIGUSR1, 30}, {SIGUSR2, 31}, {SIGPWR, 32},
};
enum { GDB_SIG_33 = 45, GDB_SIG_63 = 75, GDB_SIG_32 = 77, GDB_SIG_64 = 78, GDB_SIG_UNKNOWN = 143 };

static int signal_to_gdb(int sig)
{
    for (size_t i = 0; i < ARRAY_LEN(signal_numbers); i++)
        if (signal_numbers[i].host == sig) return signal_numbers[i].guest;
    if (sig == 32) return GDB_SIG_32;
    if (sig == 64) return GDB_SIG_64;
    if (sig > 32) return GDB_SIG_33 + sig - 33;
    return sig <= SIGTERM ? sig : GDB_SIG_UNKNOWN;
}

static int signal_from_gdb(int n)
{
    for (int sig = 1; sig < SIGNALS; sig++)
        if (signal_to_gdb(sig) == n) return sig;
    return 0;
}

/* ---- who runs ----------------------------------------------------------------------------------
 */

void debug_hold(struct thread *t)
{
    struct gdb_session *s = t->proc->gdb;
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    while (s->stopped && s->step != t) {
        atomic_store_u32(&t->held, 1);
        pthread_cond_wait(&s->changed, &s->lock);
    }
    atomic_store_u32(&t->held, 0);
    pthread_mutex_unlock(&s->lock);
}

/* Returns with all other threads at rest. When another thread was first: waits for its end, or,
 * without `wait`, false. */
static bool stop_world(struct thread *t, bool wait)
{
    struct proc *p = t->proc;
    struct gdb_session *s = p->gdb;
    pthread_mutex_lock(&s->lock);
    while (s->stopped && s->step != t) {
        if (!wait) {
            pthread_mutex_unlock(&s->lock);
            return false;
        }
        atomic_store_u32(&t->held, 1);
        pthread_cond_wait(&s->changed, &s->lock);
    }
    atomic_store_u32(&t->held, 0);
    s->stopped = true;
    s->step = NULL;
    pthread_mutex_unlock(&s->lock);
    for (;;) {
        bool all = true;
        pthread_mutex_lock(&p->lock);
        for (struct thread *q = p->threads; q; q = q->next) {
            if (q == t || q->in_syscall || atomic_load_u32(&q->held)) continue;
            cpu_kick(q->cpu);
            all = false;
        }
        pthread_mutex_unlock(&p->lock);
        if (all) return true;
        usleep(200);
    }
}

/* step: the one thread that may run; NULL: all */
static void release_world(struct gdb_session *s, struct thread *step)
{
    pthread_mutex_lock(&s->lock);
    s->step = step;
    s->stopped = step != NULL;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- the debuggee as mon/gdb.h wants it
 * ---------------------------------------------------------- */

static unsigned n_threads(void *opaque)
{
    struct proc *p = opaque;
    pthread_mutex_lock(&p->lock);
    unsigned n = p->n_threads;
    pthread_mutex_unlock(&p->lock);
    return n;
}

/* The list has the newest first, numbers count from the oldest. */
static struct thread *thread_at(struct proc *p, unsigned n)
{
    pthread_mutex_lock(&p->lock);
    struct thread *q = n >= 1 && n <= p->n_threads ? p->threads : NULL;
    for (unsigned skip = p->n_threads - n; q && skip; skip--)
        q = q->next;
    pthread_mutex_unlock(&p->lock);
    return q;
}

static unsigned number_of(struct thread *t)
{
    for (unsigned n = 1;; n++) {
        struct thread *q = thread_at(t->proc, n);
        if (q == t) return n;
        if (!q) return 1;
    }
}

static struct cpu *thread_cpu(void *opaque, unsigned n)
{
    struct thread *t = thread_at(opaque, n);
    return t ? t->cpu : NULL;
}

static int thread_id(void *opaque, unsigned n)
{
    struct thread *t = thread_at(opaque, n);
    return t ? (int)t->tid : 0;
}

static char *describe_thread(void *opaque, unsigned n)
{
    struct thread *t = thread_at(opaque, n);
    return mem_strdup(t && t->in_syscall && t->call ? t->call->name : "running");
}

static const enum watch_kind watch_kinds[] = {[GDB_WATCH_WRITE] = WATCH_WRITE,
                                              [GDB_WATCH_READ] = WATCH_READ,
                                              [GDB_WATCH_ACCESS] = WATCH_ACCESS};

static int insert(void *opaque, enum gdb_break kind, uint64_t addr, uint64_t len)
{
    struct engine *eng = ((struct proc *)opaque)->engine;
    if (kind > GDB_BREAK_HW) return engine_watch_insert(eng, addr, len, watch_kinds[kind]);
    engine_break_insert(eng, addr);
    return 0;
}

static int remove_(void *opaque, enum gdb_break kind, uint64_t addr, uint64_t len)
{
    struct engine *eng = ((struct proc *)opaque)->engine;
    if (kind > GDB_BREAK_HW) return engine_watch_remove(eng, addr, len, watch_kinds[kind]);
    engine_break_remove(eng, addr);
    return 0;
}

/* What gdb_user_stopped returns tells of it. */
static void kill_(void *opaque) {}

static bool offsets(void *opaque, uint64_t *text, uint64_t *data)
{
    *text = *data = ((struct proc *)opaque)->load_bias;
    return true;
}

static bool auxv(void *opaque, const uint8_t **data, size_t *n)
{
    struct proc *p = opaque;
    *n = (size_t)(p->auxv_end - p->auxv_start);
    *data = mem_in(p, p->auxv_start, *n);
    return *data != NULL;
}

/* ---- stops
 * --------------------------------------------------------------------------------------- */

static uint64_t pc_of(struct thread *t)
{
    return cpu_get_slot(t->cpu, t->cpu->guest->pc_slot);
}

/* The world is stopped; runs it again as the debugger wants. Returns the host's number of the
 * signal to deliver, or 0. */
static int talk(struct thread *t, struct gdb_stop *stop)
{
    struct proc *p = t->proc;
    struct gdb_session *s = p->gdb;
    unsigned step;
    pthread_mutex_lock(&p->lock);
    for (struct thread *q = p->threads; q; q = q->next)
        q->stepped = false;
    pthread_mutex_unlock(&p->lock);
    /* What it stopped for is not to stop it again where it stands. */
    t->skip = (stop->watch && !t->cpu->guest->watch_after) || engine_break_at(p->engine, pc_of(t));
    t->skip_pc = pc_of(t);
    stop->thread = number_of(t);
    s->talking = 1;
    int sig = gdb_user_stopped(s->user, stop, &step);
    s->talking = 0;
    s->look = 1; /* what came between its last word and this */
    if (sig < 0) {
        thread_leave(p);
        kill(getpid(), SIGKILL);
        _exit(128 + SIGKILL);
    }
    struct thread *stepper = step ? thread_at(p, step) : NULL;
    if (stepper && stepper != t && stepper->in_syscall) {
        /* The end of its call may need the others. */
        stepper->stepped = true;
        stepper = NULL;
    }
    release_world(s, stepper);
    return sig ? signal_from_gdb(sig) : 0;
}

static void report(struct thread *t, struct gdb_stop *stop)
{
    int sig = talk(t, stop);
    if (sig) signal_add(t, sig);
}

int debug_signal(struct thread *t, int sig)
{
    struct gdb_session *s = t->proc->gdb;
    if (!s || !gdb_user_attached(s->user)) return sig;
    stop_world(t, true);
    struct gdb_stop stop = {.kind = GDB_STOP_SIGNAL, .signo = signal_to_gdb(sig)};
    return talk(t, &stop);
}

/* There may be bytes from the debugger: ^C, or its end. */
static void look(struct thread *t)
{
    struct gdb_session *s = t->proc->gdb;
    struct pollfd fd = {.fd = gdb_user_fd(s->user), .events = POLLIN};
    if (fd.fd < 0 || poll(&fd, 1, 0) <= 0) return;
    struct thread *step = s->step;
    stop_world(t, true); /* breakpoints go with the connection */
    if (gdb_user_wants_stop(s->user)) {
        struct gdb_stop stop = {.kind = GDB_STOP_SIGNAL, .signo = signal_to_gdb(SIGINT)};
        report(t, &stop);
    } else {
        release_world(s, step);
    }
}

void debug_poke(struct thread *t)
{
    struct gdb_session *s = t->proc->gdb;
    if (!s->talking) s->look = 1;
}

enum run_exit debug_run(struct thread *t, uint64_t budget)
{
    struct gdb_session *s = t->proc->gdb;
    struct cpu *cpu = t->cpu;
    struct gdb_stop stop = {.kind = GDB_STOP_SIGNAL, .signo = signal_to_gdb(SIGTRAP)};
    debug_hold(t);
    if (s->look) {
        s->look = 0;
        look(t);
        return RUN_KICKED;
    }
    if (t->stepped) {
        if (stop_world(t, false)) report(t, &stop);
        return RUN_KICKED;
    }
    bool step = s->step == t;
    uint64_t before = cpu_icount(cpu);
    cpu->step_over_break = t->skip && t->skip_pc == pc_of(t);
    enum run_exit r = engine_run(cpu, step ? 1 : budget);
    bool moved = cpu_icount(cpu) != before;
    if (moved || r != RUN_KICKED) t->skip = false;
    if (r == RUN_DEBUG) {
        struct debug_hit hit = engine_debug_hit(t->proc->engine);
        /* Not the first to stop: it will come here again, if the breakpoint is there still. */
        if (!stop_world(t, false)) return RUN_KICKED;
        stop.watch = hit.watch;
        stop.watch_kind = hit.kind == WATCH_WRITE  ? GDB_WATCH_WRITE
                          : hit.kind == WATCH_READ ? GDB_WATCH_READ
                                                   : GDB_WATCH_ACCESS;
        stop.watch_addr = hit.addr;
        report(t, &stop);
        return RUN_KICKED;
    }
    if (!step) return r;
    if (r == RUN_EXCEPTION) {
        /* A system call may wait for the others; the step ends behind it. */
        t->stepped = true;
        release_world(s, NULL);
        return r;
    }
    if (moved && stop_world(t, false)) report(t, &stop);
    return RUN_KICKED;
}

/* ---- the beginning and the end
 * --------------------------------------------------------------------- */

int debug_wait(struct proc *p, struct error *e)
{
    struct gdb_target target = {
        .opaque = p,
        .isa = p->isa,
        .big_endian = p->abi->be,
        .n_threads = n_threads,
        .thread = thread_cpu,
        .thread_id = thread_id,
        .insert = insert,
        .remove = remove_,
        .kill = kill_,
        .describe_thread = describe_thread,
        .offsets = offsets,
        .auxv = auxv,
    };
    struct gdb_session *s = NEW(struct gdb_session);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->user = gdb_user_wait(p->opt.gdb, &target, e);
    if (!s->user) {
        mem_free(s);
        return -1;
    }
    p->gdb = s;
    return 0;
}

void debug_start(struct thread *t)
{
    struct gdb_session *s = t->proc->gdb;
    int fd = gdb_user_fd(s->user);
    fcntl(fd, F_SETOWN, getpid());
    fcntl(fd, F_SETSIG, SIGNAL_REKICK);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC);
    struct gdb_stop stop = {.kind = GDB_STOP_SIGNAL, .signo = signal_to_gdb(SIGTRAP)};
    stop_world(t, true);
    report(t, &stop);
}

void debug_end(struct thread *t, bool killed, int value)
{
    struct gdb_session *s = t->proc->gdb;
    struct gdb_stop stop = {.kind = killed ? GDB_STOP_KILLED : GDB_STOP_EXITED,
                            .signo = killed ? signal_to_gdb(value) : value};
    unsigned step;
    if (!s || !gdb_user_attached(s->user)) return;
    stop_world(t, true);
    gdb_user_stopped(s->user, &stop, &step);
}

void debug_after_fork(struct proc *p)
{
    if (!p->gdb) return;
    gdb_user_delete(p->gdb->user);
    mem_free(p->gdb);
    p->gdb = NULL;
}
