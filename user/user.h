/*
 * user.h - Linux user mode: one guest process as its host process sees it.
 *
 * What is particular to a guest architecture (numbers, layouts, registers, frames) is behind
 * struct abi (user/abi.h). Everything here uses the host's numbering: errno, signals, open flags
 * and so on are converted at the edges.
 *
 * Threads of the guest are threads of the host, each with its own CPU. A guest thread's signal mask
 * is its host thread's signal mask, so that the host kernel routes and queues signals; only signals
 * that the host has handed over and the guest has not yet seen are kept here (user/signal.c).
 */
#ifndef USER_USER_H
#define USER_USER_H

#include "interp/engine.h"
#include "isa/isa.h"
#include "util/log.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/types.h>

struct abi;
struct uls;
struct gdb_session;
struct thread;
struct syscall_desc;

/* ---- options ------------------------------------------------------------------------------- */
struct user_options {
    const char *gdb, *prefix, *stack_size, *cpu, *argv0, *uname, *guest_base, *reserved, *log,
        *dfilter, *log_file, *page_size, *singlestep, *strace, *seed, *accel, *version, *help,
        *set_env, *unset_env, *trace, *lockstep;
};

/* ---- the process --------------------------------------------------------------------------- */
/* Flags of a guest page; the low three are the guest's protection. */
enum {
    PAGE_READ = 1,
    PAGE_WRITE = 2,
    PAGE_EXEC = 4,
    PAGE_USED = 8,
    PAGE_CODE = 16 /* write-protected: holds translated code */,
    PAGE_SHARED = 32
};

struct guest_action { /* of a signal, host numbering */
    uint64_t handler; /* 0 default, 1 ignore */
    int flags;        /* host SA_* */
    uint64_t mask;    /* host numbering: bit sig - 1 */
    uint64_t restorer;
};

#define SIGNALS       65 /* host signals 1..64 */
#define SIGNAL_REKICK 64 /* kept for ourselves: ends a blocking call that a signal raced with */

struct signal_state { /* shared by the threads of the process */
    struct guest_action action[SIGNALS];
};

enum fd_kind {
    FD_PLAIN,
    FD_SIGNALFD,
    FD_COUNTER /* 8-byte values: eventfd, timerfd */,
    FD_INOTIFY,
    FD_BIGDIR /* a directory whose positions are told by their upper half */
};

struct proc {
    const struct abi *abi;
    struct user_options opt;
    struct engine_config engine_config;
    struct engine *engine;
    struct cpu_world world;
    const struct isa *isa;
    const struct cpu_model *model;
    void *made_model;        /* by -cpu with features: for the process's life */
    const char *target; /* "mipsel" */

    /* memory: user/mem.c */
    uint8_t *base;      /* host address of guest address 0 */
    uint64_t limit;     /* guest addresses below this exist */
    uint64_t window;    /* bytes reserved at base: at least limit; all that a 32-bit guest can form */
    uint64_t guard;     /* bytes before and after the window that nothing is ever mapped in */
    uint8_t *pages;     /* PAGE_* per page */
    uint64_t page_size; /* the guest's, at least the host's */
    unsigned page_bits;
    pthread_mutex_t mem_lock;
    uint64_t mmap_top; /* new mappings are placed below this */
    uint64_t brk_start, brk_now, brk_mapped;
    uint64_t stack_low, stack_high;
    uint64_t sigpage; /* signal trampolines */

    /* image: user/elf.c */
    char *exe;   /* host path of the program */
    char **argv; /* guest's argv */
    int argc;
    uint64_t entry, load_bias, phdr, phnum, interp_base, exe_entry;
    uint64_t arg_start, arg_end, auxv_start, auxv_end;
    /* -lockstep (user/lockstep.c): what compares; its second process, whose memory follows the first's; and, in both,
     * pages whose first write is to be noted */
    struct uls *lockstep;
    struct proc *follower;
    struct page_track *track;
    uint32_t elf_flags;
    uint8_t fp_abi; /* ISA's ABI-flags section, where there is one */

    /* signals */
    struct signal_state *sig;
    struct gdb_session *gdb; /* -g; NULL: none */
    /* threads */
    pthread_mutex_t lock; /* thread list, actions, fd kinds */
    struct thread *threads;
    unsigned n_threads;
    uint8_t *fd_kinds;
    int n_fds;
    uint64_t rng; /* -seed */
    bool seeded, strace;
};

struct thread {
    struct proc *proc;
    struct cpu *cpu;
    struct thread *next;
    pid_t tid;
    uint64_t clear_tid; /* guest address */
    uint64_t robust_list;
    uint64_t altstack, altstack_size;
    int altstack_flags;
    uint64_t mask;       /* signals blocked, host numbering */
    uint64_t saved_mask; /* sigsuspend and its like: to be restored by the frame */
    bool have_saved_mask;
    volatile sig_atomic_t in_syscall, rekick_armed;
    bool have_rekick;
    timer_t rekick;
    /* Handed over by the host and not yet delivered. While a signal waits here the host keeps it
     * blocked, so that there is one of each at most; the handler sets, the thread clears. */
    volatile sig_atomic_t pending[SIGNALS], any_pending;
    siginfo_t info[SIGNALS];
    bool fault_bus;                  /* the last memory fault was the host's SIGBUS */
    sigjmp_buf *recover;             /* where a fault on guest memory in a call leads: -EFAULT */
    const struct syscall_desc *call; /* being executed */
    uint64_t told;                   /* pending signals that the debugger has let pass */
    uint32_t held;                   /* by the debugger (atomic access) */
    bool stepped;                    /* a step is to be reported before anything else is run */
    bool skip;                       /* no stop for what is at skip_pc, once */
    uint64_t skip_pc;
    bool exiting;                    /* the loop ends after this call */
    bool vfork_child;
    struct thread *leader; /* of a lockstep's second process: signals from outside are this one's */
};

/* The calling host thread's guest thread. Signal handlers have no other way to find it. */
extern _Thread_local struct thread *thread_current;

/* ---- user/mem.c ---------------------------------------------------------------------------- */
int mem_init(struct proc *, uint64_t limit, uint64_t base, uint64_t page_size, struct error *);
void mem_fini(struct proc *); /* gives back what mem_init took */
/* prot and flags are the host's; flags may hold MAP_FIXED and MAP_FIXED_NOREPLACE. Guest address or
 * -errno */
int64_t mem_mmap(struct proc *, uint64_t addr, uint64_t len, int prot, int flags, int fd,
                 uint64_t off);
int64_t mem_munmap(struct proc *, uint64_t addr, uint64_t len);
int64_t mem_mprotect(struct proc *, uint64_t addr, uint64_t len, int prot);
int64_t mem_mremap(struct proc *, uint64_t old, uint64_t old_len, uint64_t new_len, int flags,
                   uint64_t new_addr);
int64_t mem_brk(struct proc *, uint64_t addr);
int64_t mem_shmat(struct proc *, int id, uint64_t addr, int flags);
int64_t mem_shmdt(struct proc *, uint64_t addr);
bool mem_check(struct proc *, uint64_t addr, uint64_t len, unsigned page_flags);
/* Host pointer to guest memory that can be read (written) now, or NULL. Writing drops translations.
 */
const void *mem_in(struct proc *, uint64_t addr, uint64_t len);
void *mem_out(struct proc *, uint64_t addr, uint64_t len);
/* String in guest memory, or NULL; at most max bytes with the NUL */
const char *mem_str(struct proc *, uint64_t addr, size_t max);
unsigned mem_page(struct proc *, uint64_t addr); /* PAGE_* of a page; 0: nothing there */
/* In the SIGSEGV handler: true when the fault was ours (a write to a page with translated code) and
 * is mended */
bool mem_code_fault(struct proc *, const void *host);
const uint8_t *mem_user_code(struct cpu *, uint64_t va);
void mem_user_code_page(struct cpu *, uint64_t va);
uint8_t *mem_user_debug(struct cpu *, uint64_t va, bool write);
void mem_user_debug_done(struct cpu *, uint64_t va);

/* Pages of a process in lockstep that are write-protected until somebody writes there. */
struct page_track {
    uint8_t *armed;  /* by page */
    uint64_t *list;  /* pages written since they were armed; one may be there twice unless `save` */
    size_t n;
    uint8_t *before; /* with `save`: what was on page list[i] */
    size_t most;     /* room in `before`, in pages */
    bool save;       /* the guest runs: keep what is overwritten */
    struct { uint64_t addr, len; } *shared; /* mappings that others may write to */
    size_t n_shared;
};
/* A copy of all of the guest's memory, in a window of its own. -1 + error. */
int mem_clone(struct proc *to, struct proc *from, struct error *);
/* Begins and ends the noting of writes; arms what has been written again, and empties the list. False: out of memory. */
bool mem_track(struct proc *);
void mem_untrack(struct proc *);
bool mem_track_again(struct proc *);
/* The range's contents have changed behind our back: all of it is listed as written. */
void mem_track_range(struct proc *, uint64_t addr, uint64_t len);
/* A page that can be read without a fault? */
bool mem_touch(struct thread *, uint64_t addr);

/* ---- user/elf.c ---------------------------------------------------------------------------- */
enum elf_kind { ELF_GUEST, ELF_FOREIGN, ELF_SCRIPT, ELF_UNKNOWN };
/* What a file is, from its first n bytes. *abi is set for ELF_GUEST. */
enum elf_kind elf_probe(const uint8_t *head, size_t n, const struct abi **abi);
/* Loads the program at host path (and its interpreter). 0 or -1. */
int user_elf_load(struct proc *, const char *path, struct error *);
/* Builds the initial stack; returns the stack pointer, 0 on error. */
uint64_t elf_build_stack(struct proc *, int argc, char **argv, char **envp, const char *execfn,
                         struct error *);

/* ---- user/path.c --------------------------------------------------------------------------- */
#define PATH_ROOM 4200
/* Host path for a guest path: below the prefix where it exists there. Returns path itself or out
 * (PATH_ROOM bytes). */
const char *path_map(struct proc *, const char *path, char *out, bool follow_last);
/* The same for a string in guest memory: NULL when unreadable. */
const char *path_guest(struct thread *, uint64_t addr, char *out, bool follow_last);
/* Opens one of the faked /proc files: fd, -errno, or -ENOTSUP when the path is none of them */
int path_open_fake(struct thread *, const char *path, int flags);
bool path_is_self_exe(const char *path);

/* ---- user/signal.c ------------------------------------------------------------------------- */
int signal_init(struct proc *, struct error *);
void signal_init_thread(struct thread *);
void signal_end_thread(struct thread *);
/* The signal that signal_deliver would bring to a guest handler now, or 0. */
int signal_pick(struct thread *);
/* Delivers what is pending and not blocked. */
void signal_deliver(struct thread *);
/* A synchronous signal: delivers it at once; blocked or ignored ends the process by it. */
void signal_force(struct thread *, int sig, int code, uint64_t addr);
/* Notes a signal for this thread as if it had come from outside, past the debugger. */
void signal_add(struct thread *, int sig);
ATTR_NORETURN void signal_die(struct thread *, int sig);
void signal_set_mask(struct thread *, uint64_t mask);
/* Replaces the mask until the next frame (or signal_end_temporary) */
void signal_temporary_mask(struct thread *, uint64_t mask);
void signal_end_temporary(struct thread *);
void signal_apply_action(struct proc *, int sig);
/* Guest sigset at addr -> host mask; false: unreadable */
bool signal_get_set(struct thread *, uint64_t addr, uint64_t *mask);
bool signal_put_set(struct thread *, uint64_t addr, uint64_t mask, unsigned bytes);
void signal_to_sigset(uint64_t mask, sigset_t *set);
uint64_t signal_from_sigset(const sigset_t *set);
/* siginfo in the guest's layout, 128 bytes */
void signal_info_to_guest(const struct abi *, const siginfo_t *, uint8_t *out);
void signal_info_to_host(const struct abi *, const uint8_t *in, siginfo_t *);
bool signal_on_altstack(const struct thread *, uint64_t sp);

/* ---- user/thread.c ------------------------------------------------------------------------- */
struct thread *thread_new(struct proc *);
void thread_loop(struct thread *); /* until the thread exits */
/* The guest's registers of one CPU become another's. */
void thread_copy_cpu(struct cpu *to, const struct cpu *from);
/* Deals with what engine_run has ended for: a call, a fault, the trap of a single step. */
void thread_left(struct thread *, enum run_exit);
/* The process is about to end, or to be something else, in whatever way: what it has outside is ended. */
void thread_leave(struct proc *);
ATTR_NORETURN void thread_exit_group(struct thread *, int status);

/* ---- user/syscall.c ------------------------------------------------------------------------ */
void syscall_run(struct thread *); /* the call the CPU stands at */
typedef int64_t sys_fn(struct thread *, const uint64_t *a);
enum {
    SYS_T64 = 1 /* 64-bit time structures on a 32-bit ABI */,
    SYS_NORESTART = 2 /* -EINTR even with SA_RESTART */,
    SYS_NORET = 4 /* sets the registers itself */
};
/* Text in place; handlers (NULL: known by name only, -ENOSYS) have a table of their own: a table without pointers need not be
 * relocated at each start. */
struct syscall_desc {
    uint16_t num;
    uint8_t flags;
    char kinds[8]; /* one letter per argument, see syscall.c */
    char name[30];
};
#define SYSCALL_DESC(num, name, kinds, flags) {num, flags, kinds, #name}
void strace_call(struct thread *, const struct syscall_desc *, const uint64_t *a, unsigned n);
void strace_result(struct thread *, const struct syscall_desc *, int64_t ret);
void strace_signal(struct thread *, int sig, const siginfo_t *);
int fd_kind_get(struct proc *, int fd);
void fd_kind_set(struct proc *, int fd, enum fd_kind);

/* user/syscall-file.c: n entries of a guest iovec as a host one (freed by the caller); 0 or -errno.
 * out: written to */
struct iovec;
int user_get_iov(struct thread *, uint64_t addr, uint64_t n, bool out, struct iovec **);

/* user/exec.c. Does not return on success. */
int64_t exec_program(struct thread *, int dirfd, const char *path, char **argv, char **envp,
                     int flags);

/* ---- user/debug.c: all but debug_wait do nothing, or the plain thing, without -g ------------------- */
int debug_wait(struct proc *, struct error *); /* for a debugger on -g's port; ahead of signal_init */
void debug_start(struct thread *);             /* the stop before the first instruction */
enum run_exit debug_run(struct thread *, uint64_t budget); /* engine_run; only with proc->gdb */
/* A signal is about to be delivered: the one to deliver in its place, 0 for none */
int debug_signal(struct thread *, int sig);
void debug_hold(struct thread *); /* waits while the debugger has the process stopped */
void debug_poke(struct thread *); /* in a signal handler: the debugger has sent something */
void debug_end(struct thread *, bool killed, int value); /* exit status or host signal */
void debug_after_fork(struct proc *);                    /* in the child: it is not debugged */

/* ---- user/lockstep.c: all but uls_new do nothing without -lockstep ---------------------------- */
/* From the text of the option; the process has its engine, the first of the two, already. */
struct lockstep_config;
int uls_new(struct thread *, const struct lockstep_config *, struct error *);
void uls_loop(struct thread *); /* until the thread exits, a difference is found (exit status 1), or it has to end */
/* What can't be compared: says so, and the first engine goes on alone. */
void uls_leave(struct thread *, const char *why);
void uls_end(struct thread *); /* the process ends */
void uls_before_fork(struct proc *);
void uls_after_fork(struct proc *, bool child);

/* user/main.c */
int user_main(int argc, char **argv, const char *target);
struct user_option {
    const char *name, *arg, *env, *help;
    size_t offset;
};
extern const struct user_option user_options[];
extern const unsigned user_n_options;

#include <errno.h>
static inline int64_t sys_ret(int64_t r)
{
    return r == -1 ? -(int64_t)errno : r;
}

#endif
