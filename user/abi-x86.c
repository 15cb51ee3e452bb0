/*
 * abi-x86.c - Linux on x86-64: registers, calls, signal frames, numbers and layouts.
 *
 * Follows the x86-64 psABI, and the numbers and layouts of Linux's asm/ and asm-generic/ headers: unistd_64.h, errno.h,
 * signal.h, fcntl.h, mman.h, socket.h, ioctls.h, termbits.h, resource.h, stat.h, statfs.h, sigcontext.h, ucontext.h, shmbuf.h,
 * sembuf.h, msgbuf.h. Calls: x86-64.def.
 */
#include "user/abi.h"
#include "isa/x86/x86.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <termios.h>

#include "user/syscalls.h"
sys_fn sys_arch_prctl;

static const struct syscall_desc calls_64[] = {
#define SYS(num, name, fn, kinds, flags) {num, #name, fn, kinds, flags},
#include "user/x86-64.def"
};

/* ---- numbers ---- */
/* clang-format off */
static const struct num_pair errnos[] = {
    {EDEADLK, 35}, {ENAMETOOLONG, 36}, {ENOLCK, 37}, {ENOSYS, 38}, {ENOTEMPTY, 39}, {ELOOP, 40}, {ENOMSG, 42}, {EIDRM, 43}, {ECHRNG, 44},
    {EL2NSYNC, 45}, {EL3HLT, 46}, {EL3RST, 47}, {ELNRNG, 48}, {EUNATCH, 49}, {ENOCSI, 50}, {EL2HLT, 51}, {EBADE, 52}, {EBADR, 53},
    {EXFULL, 54}, {ENOANO, 55}, {EBADRQC, 56}, {EBADSLT, 57}, {EBFONT, 59}, {ENOSTR, 60}, {ENODATA, 61}, {ETIME, 62}, {ENOSR, 63},
    {ENONET, 64}, {ENOPKG, 65}, {EREMOTE, 66}, {ENOLINK, 67}, {EADV, 68}, {ESRMNT, 69}, {ECOMM, 70}, {EPROTO, 71}, {EMULTIHOP, 72},
    {EDOTDOT, 73}, {EBADMSG, 74}, {EOVERFLOW, 75}, {ENOTUNIQ, 76}, {EBADFD, 77}, {EREMCHG, 78}, {ELIBACC, 79}, {ELIBBAD, 80},
    {ELIBSCN, 81}, {ELIBMAX, 82}, {ELIBEXEC, 83}, {EILSEQ, 84}, {ERESTART, 85}, {ESTRPIPE, 86}, {EUSERS, 87}, {ENOTSOCK, 88},
    {EDESTADDRREQ, 89}, {EMSGSIZE, 90}, {EPROTOTYPE, 91}, {ENOPROTOOPT, 92}, {EPROTONOSUPPORT, 93}, {ESOCKTNOSUPPORT, 94},
    {EOPNOTSUPP, 95}, {EPFNOSUPPORT, 96}, {EAFNOSUPPORT, 97}, {EADDRINUSE, 98}, {EADDRNOTAVAIL, 99}, {ENETDOWN, 100},
    {ENETUNREACH, 101}, {ENETRESET, 102}, {ECONNABORTED, 103}, {ECONNRESET, 104}, {ENOBUFS, 105}, {EISCONN, 106}, {ENOTCONN, 107},
    {ESHUTDOWN, 108}, {ETOOMANYREFS, 109}, {ETIMEDOUT, 110}, {ECONNREFUSED, 111}, {EHOSTDOWN, 112}, {EHOSTUNREACH, 113},
    {EALREADY, 114}, {EINPROGRESS, 115}, {ESTALE, 116}, {EUCLEAN, 117}, {ENOTNAM, 118}, {ENAVAIL, 119}, {EISNAM, 120},
    {EREMOTEIO, 121}, {EDQUOT, 122}, {ENOMEDIUM, 123}, {EMEDIUMTYPE, 124}, {ECANCELED, 125}, {ENOKEY, 126}, {EKEYEXPIRED, 127},
    {EKEYREVOKED, 128}, {EKEYREJECTED, 129}, {EOWNERDEAD, 130}, {ENOTRECOVERABLE, 131}, {ERFKILL, 132}, {EHWPOISON, 133}, {0, 0}};

/* The two real-time signals that the C library keeps for itself go to numbers that the host's leaves free. */
static const struct num_pair signals[] = {
    {SIGBUS, 7}, {SIGFPE, 8}, {SIGUSR1, 10}, {SIGSEGV, 11}, {SIGUSR2, 12}, {SIGCHLD, 17}, {SIGCONT, 18}, {SIGSTOP, 19}, {SIGTSTP, 20},
    {SIGTTIN, 21}, {SIGTTOU, 22}, {SIGURG, 23}, {SIGXCPU, 24}, {SIGXFSZ, 25}, {SIGVTALRM, 26}, {SIGPROF, 27}, {SIGWINCH, 28},
    {SIGIO, 29}, {SIGPWR, 30}, {SIGSYS, 31}, {62, 32}, {63, 33}, {SIGNALS, 62}, {SIGNALS, 63}, {SIGNALS, 64}, {32, 0}, {33, 0}, {0, 0}};

static const struct flag_pair sa_flags[] = {
    {SA_NOCLDSTOP, 1}, {SA_NOCLDWAIT, 2}, {SA_SIGINFO, 4}, {SA_ONSTACK, 0x08000000}, {SA_RESTART, 0x10000000},
    {SA_NODEFER, 0x40000000}, {SA_RESETHAND, 0x80000000}, {0, 0x04000000}, {0, 0}};
static const struct flag_pair open_flags[] = {
    {O_WRONLY, 1}, {O_RDWR, 2}, {O_CREAT, 0x40}, {O_EXCL, 0x80}, {O_NOCTTY, 0x100}, {O_TRUNC, 0x200}, {O_APPEND, 0x400},
    {O_NONBLOCK, 0x800}, {O_DSYNC, 0x1000}, {O_ASYNC, 0x2000}, {O_DIRECT, 0x4000}, {0, 0x8000}, {O_DIRECTORY, 0x10000},
    {O_NOFOLLOW, 0x20000}, {O_NOATIME, 0x40000}, {O_CLOEXEC, 0x80000}, {O_SYNC, 0x101000}, {O_PATH, 0x200000}, {O_TMPFILE, 0x410000}, {0, 0}};
static const struct flag_pair mmap_flags[] = {
    {MAP_SHARED, 1}, {MAP_PRIVATE, 2}, {MAP_FIXED, 0x10}, {MAP_ANONYMOUS, 0x20}, {0, 0x40}, {0, 0x100}, {0, 0x800}, {0, 0x1000},
    {MAP_LOCKED, 0x2000}, {MAP_NORESERVE, 0x4000}, {MAP_POPULATE, 0x8000}, {MAP_NONBLOCK, 0x10000}, {0, 0x20000}, {0, 0x40000},
#ifdef MAP_FIXED_NOREPLACE
    {MAP_FIXED_NOREPLACE, 0x100000},
#endif
    {0, 0}};
static const struct num_pair sock_types[] = {{SOCK_STREAM, 1}, {SOCK_DGRAM, 2}, {0, 0}};
static const struct flag_pair sock_flags[] = {{SOCK_NONBLOCK, 0x800}, {SOCK_CLOEXEC, 0x80000}, {0, 0}};
static const struct num_pair sockopts[] = {
    {SO_DEBUG, 1}, {SO_REUSEADDR, 2}, {SO_TYPE, 3}, {SO_ERROR, 4}, {SO_DONTROUTE, 5}, {SO_BROADCAST, 6}, {SO_SNDBUF, 7}, {SO_RCVBUF, 8},
    {SO_KEEPALIVE, 9}, {SO_OOBINLINE, 10}, {SO_LINGER, 13}, {SO_REUSEPORT, 15}, {SO_PASSCRED, 16}, {SO_PEERCRED, 17}, {SO_RCVLOWAT, 18},
    {SO_SNDLOWAT, 19}, {SO_RCVTIMEO, 20}, {SO_SNDTIMEO, 21}, {SO_ACCEPTCONN, 30}, {SO_PROTOCOL, 38}, {SO_DOMAIN, 39}, {0, 0}};
static const struct num_pair fcntls[] = {{F_GETLK, 5}, {F_SETLK, 6}, {F_SETLKW, 7}, {F_SETOWN, 8}, {F_GETOWN, 9}, {0, 0}};
static const struct num_pair rlimits[] = {
    {RLIMIT_RSS, 5}, {RLIMIT_NPROC, 6}, {RLIMIT_NOFILE, 7}, {RLIMIT_MEMLOCK, 8}, {RLIMIT_AS, 9}, {0, 0}};
static const struct flag_pair lflags[] = {
    {ISIG, 1}, {ICANON, 2}, {ECHO, 8}, {ECHOE, 0x10}, {ECHOK, 0x20}, {ECHONL, 0x40}, {NOFLSH, 0x80}, {TOSTOP, 0x100}, {ECHOCTL, 0x200},
    {ECHOPRT, 0x400}, {ECHOKE, 0x800}, {FLUSHO, 0x1000}, {PENDIN, 0x4000}, {IEXTEN, 0x8000},
#ifdef EXTPROC
    {EXTPROC, 0x10000},
#endif
    {0, 0}};
/* 100 is added to tell index 0 from the end */
static const struct num_pair control_chars[] = {
    {VINTR + 100, 100}, {VQUIT + 100, 101}, {VERASE + 100, 102}, {VKILL + 100, 103}, {VEOF + 100, 104}, {VTIME + 100, 105},
    {VMIN + 100, 106}, {VSTART + 100, 108}, {VSTOP + 100, 109}, {VSUSP + 100, 110}, {VEOL + 100, 111}, {VREPRINT + 100, 112},
    {VDISCARD + 100, 113}, {VWERASE + 100, 114}, {VLNEXT + 100, 115}, {VEOL2 + 100, 116}, {0, 0}};

#define IOC(name, number, kind) {number, name, kind, #name}
static const struct ioctl_desc ioctls[] = {
    IOC(TCGETS, 0x5401, 'T'), IOC(TCSETS, 0x5402, 't'), IOC(TCSETSW, 0x5403, 't'), IOC(TCSETSF, 0x5404, 't'),
    IOC(TCSBRK, 0x5409, 'v'), IOC(TCXONC, 0x540a, 'v'), IOC(TCFLSH, 0x540b, 'v'), IOC(TCSBRKP, 0x5425, 'v'),
    IOC(TIOCEXCL, 0x540c, '0'), IOC(TIOCNXCL, 0x540d, '0'), IOC(TIOCSCTTY, 0x540e, 'v'), IOC(TIOCGPGRP, 0x540f, 'I'),
    IOC(TIOCSPGRP, 0x5410, 'i'), IOC(TIOCOUTQ, 0x5411, 'I'), IOC(TIOCGWINSZ, 0x5413, 'W'), IOC(TIOCSWINSZ, 0x5414, 'w'),
    IOC(TIOCMGET, 0x5415, 'I'), IOC(TIOCMBIS, 0x5416, 'i'), IOC(TIOCMBIC, 0x5417, 'i'), IOC(TIOCMSET, 0x5418, 'i'),
    IOC(FIONREAD, 0x541b, 'I'), IOC(TIOCPKT, 0x5420, 'i'), IOC(FIONBIO, 0x5421, 'i'), IOC(TIOCNOTTY, 0x5422, '0'),
    IOC(TIOCSETD, 0x5423, 'i'), IOC(TIOCGETD, 0x5424, 'I'), IOC(TIOCSBRK, 0x5427, '0'), IOC(TIOCCBRK, 0x5428, '0'),
    IOC(TIOCGSID, 0x5429, 'I'), IOC(TIOCGPTN, 0x80045430, 'I'), IOC(TIOCSPTLCK, 0x40045431, 'i'), IOC(TIOCGPTPEER, 0x5441, 'o'),
    IOC(TIOCVHANGUP, 0x5437, '0'), IOC(FIONCLEX, 0x5450, '0'), IOC(FIOCLEX, 0x5451, '0'), IOC(FIOASYNC, 0x5452, 'i'),
    IOC(FIOQSIZE, 0x5460, 'Q'), IOC(SIOCATMARK, 0x8905, 'I'), IOC(SIOCSPGRP, 0x8902, 'i'), IOC(SIOCGPGRP, 0x8904, 'I'),
    IOC(FICLONE, 0x40049409, 'v'), IOC(FS_IOC_GETFLAGS, 0x80086601, 'I'), IOC(FS_IOC_SETFLAGS, 0x40086602, 'i'),
    IOC(FIGETBSZ, 2, 'I'), IOC(BLKGETSIZE64, 0x80081272, 'Q'), IOC(BLKSSZGET, 0x1268, 'I'), IOC(BLKROGET, 0x125e, 'I'),
    IOC(BLKFLSBUF, 0x1261, '0'), IOC(SIOCGIFINDEX, 0x8933, 'j'), IOC(SIOCGIFNAME, 0x8910, 'j'), IOC(SIOCGIFFLAGS, 0x8913, 'f'),
    IOC(SIOCSIFFLAGS, 0x8914, 'f'), IOC(SIOCGIFADDR, 0x8915, 'n'), IOC(SIOCGIFMTU, 0x8921, 'j'), IOC(SIOCGIFHWADDR, 0x8927, 'n'),
    IOC(SIOCGIFCONF, 0x8912, 'N'), {0, 0, 0, NULL}};
/* clang-format on */

/* ---- layouts ---- */

#define DEFINE(name, ...)                                                                          \
    static const struct layout_field name##_fields[] = {__VA_ARGS__};                              \
    static const struct layout name##_layout = LAYOUT(name##_fields)
DEFINE(stat, LF('Q', stat, st_dev), LF('Q', stat, st_ino), LF('Q', stat, st_nlink), LF('I', stat, st_mode), LF('I', stat, st_uid),
       LF('I', stat, st_gid), LPAD('I', 1), LF('Q', stat, st_rdev), LF('q', stat, st_size), LF('q', stat, st_blksize),
       LF('q', stat, st_blocks), LF('q', stat, st_atim.tv_sec), LF('Q', stat, st_atim.tv_nsec), LF('q', stat, st_mtim.tv_sec),
       LF('Q', stat, st_mtim.tv_nsec), LF('q', stat, st_ctim.tv_sec), LF('Q', stat, st_ctim.tv_nsec), LPAD('q', 3));
DEFINE(statfs, LF('l', statfs, f_type), LF('l', statfs, f_bsize), LF('l', statfs, f_blocks), LF('l', statfs, f_bfree),
       LF('l', statfs, f_bavail), LF('l', statfs, f_files), LF('l', statfs, f_ffree), LA('i', statfs, f_fsid, 2),
       LF('l', statfs, f_namelen), LF('l', statfs, f_frsize), LF('l', statfs, f_flags), LPAD('l', 4));
DEFINE(flock, LF('h', flock, l_type), LF('h', flock, l_whence), LF('l', flock, l_start), LF('l', flock, l_len), LF('i', flock, l_pid));
#define PERM(S, m)                                                                                 \
    LF('i', S, m.__key), LF('I', S, m.uid), LF('I', S, m.gid), LF('I', S, m.cuid),                 \
        LF('I', S, m.cgid), LF('I', S, m.mode), LF('H', S, m.__seq), LPAD('H', 1), LPAD('L', 2)
DEFINE(shmid, PERM(shmid_ds, shm_perm), LF('L', shmid_ds, shm_segsz), LF('L', shmid_ds, shm_atime), LF('L', shmid_ds, shm_dtime),
       LF('L', shmid_ds, shm_ctime), LF('i', shmid_ds, shm_cpid), LF('i', shmid_ds, shm_lpid), LF('L', shmid_ds, shm_nattch), LPAD('L', 2));
DEFINE(semid, PERM(semid_ds, sem_perm), LF('L', semid_ds, sem_otime), LPAD('L', 1), LF('L', semid_ds, sem_ctime), LPAD('L', 1),
       LF('L', semid_ds, sem_nsems), LPAD('L', 2));
DEFINE(msqid, PERM(msqid_ds, msg_perm), LF('L', msqid_ds, msg_stime), LF('L', msqid_ds, msg_rtime), LF('L', msqid_ds, msg_ctime),
       LF('L', msqid_ds, __msg_cbytes), LF('L', msqid_ds, msg_qnum), LF('L', msqid_ds, msg_qbytes), LF('i', msqid_ds, msg_lspid),
       LF('i', msqid_ds, msg_lrpid), LPAD('L', 2));

/* ---- registers ---- */

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R10 = 10, R11 = 11 };

static struct x86_cpu *cpu_of(struct thread *t) { return x86_cpu(t->cpu); }
static uint64_t get(struct thread *t, unsigned r) { return x86_gpr(cpu_of(t), r); }
static void set(struct thread *t, unsigned r, uint64_t v) { x86_set_gpr(cpu_of(t), r, v); }
static uint64_t get_sp(struct thread *t) { return get(t, RSP); }
static uint64_t get_pc(struct thread *t) { return x86_cell(cpu_of(t), &cpu_of(t)->pc); }
static void set_pc(struct thread *t, uint64_t pc) { x86_set_cell(cpu_of(t), &cpu_of(t)->pc, pc); }
static bool any_flags(uint32_t f) { (void)f; return true; }

static int setup(struct thread *t, struct error *e)
{
    (void)e;
    x86_user_setup(t->cpu, true);
    cpu_of(t)->sel[1] = 0x33, cpu_of(t)->sel[2] = 0x2b;
    return 0;
}

static void start(struct thread *t, uint64_t entry, uint64_t sp)
{
    set(t, RSP, sp);
    set(t, RDX, 0);
    set_pc(t, entry);
}

static void set_tls(struct thread *t, uint64_t v) { cpu_set_slot(t->cpu, XR_SEG_BASE + 4, v); }

static void clone_regs(struct thread *child, uint64_t sp, uint64_t tls, bool with_tls)
{
    if (sp) set(child, RSP, sp);
    if (with_tls) set_tls(child, tls);
}

/* ---- calls ---- */

static unsigned syscall_number(struct thread *t, unsigned *shift)
{
    *shift = 0;
    return (unsigned)get(t, RAX);
}

static bool arg(struct thread *t, unsigned n, uint64_t *v)
{
    static const uint8_t regs[6] = { RDI, RSI, RDX, R10, R8, 9 };
    if (n >= ARRAY_LEN(regs)) return false;
    *v = get(t, regs[n]);
    return true;
}

/* The instruction leaves the return address in rcx and the flags in r11. */
static void skip_call(struct thread *t)
{
    set_pc(t, get_pc(t) + 2);
    set(t, RCX, get_pc(t));
    set(t, R11, x86_get_eflags(cpu_of(t)));
}

static void syscall_done(struct thread *t, int64_t r)
{
    bool err = r < 0 && r >= -4095;
    set(t, RAX, err ? (uint64_t)-(int64_t)abi_errno_to_guest(t->proc->abi, (int)-r) : (uint64_t)r);
    skip_call(t);
}

static void set_second(struct thread *t, uint64_t v) { (void)t, (void)v; }

int64_t sys_arch_prctl(struct thread *t, const uint64_t *a)
{
    enum { SET_GS = 0x1001, SET_FS, GET_FS, GET_GS };
    ir_id fs = XR_SEG_BASE + 4, gs = XR_SEG_BASE + 5;

    switch (a[0]) {
    case SET_FS: case SET_GS:
        if (a[1] >= UINT64_C(1) << 47) return -EPERM;
        cpu_set_slot(t->cpu, a[0] == SET_FS ? fs : gs, a[1]);
        return 0;
    case GET_FS: case GET_GS: return put_scalar(t, a[1], 8, cpu_get_slot(t->cpu, a[0] == GET_FS ? fs : gs));
    default: return -EINVAL;
    }
}

/* ---- exceptions ---- */

static void event(struct thread *t, struct guest_event *ev)
{
    const struct exception *x = &t->cpu->exc;
    uint64_t at = get_pc(t);

    memset(ev, 0, sizeof *ev);
    ev->addr = at;
    ev->sig = SIGSEGV;
    ev->code = SI_KERNEL;
    switch (x->code) {
    case XE_SYSCALL:
        ev->syscall = true;
        return;
    case XE_PF:
        ev->addr = x->addr;
        if (x->addr >> 47) { /* not canonical: a general protection fault, whose address nobody knows */
            ev->addr = 0;
            break;
        }
        ev->sig = t->fault_bus ? SIGBUS : SIGSEGV;
        ev->code = t->fault_bus ? BUS_ADRERR : 0;
        break;
    case XE_DE:
        ev->sig = SIGFPE, ev->code = FPE_INTDIV;
        break;
    case XE_UD:
        ev->sig = SIGILL, ev->code = ILL_ILLOPN;
        break;
    case XE_BP: case XE_DB: /* traps: they lie behind the instruction */
        set_pc(t, at + (t->cpu->insn_flags & XI_LEN_MASK));
        ev->sig = SIGTRAP, ev->code = x->code == XE_BP ? SI_KERNEL : TRAP_BRKPT;
        break;
    case XE_MF: case XE_XM:
        ev->sig = SIGFPE, ev->code = FPE_FLTINV;
        break;
    default: ev->addr = 0; break; /* general protection */
    }
}

/* ---- signal frames ----
 * return address; ucontext: flags, link, stack, 256 bytes of sigcontext, mask; siginfo. The FXSAVE image is above. */
enum { FRAME_UC = 8, UC_STACK = 16, UC_SC = 40, UC_MASK = 296, UC_SIZE = 304, FRAME_INFO = FRAME_UC + UC_SIZE, FRAME_SIZE = FRAME_INFO + 128, FX_SIZE = 512 };
enum { SC_RIP = 128, SC_FLAGS = 136, SC_CS = 144, SC_SS = 150, SC_TRAP = 160, SC_CR2 = 176, SC_FP = 184 };
static const uint8_t sc_order[16] = { 8, 9, 10, 11, 12, 13, 14, 15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP };

static bool setup_frame(struct thread *t, const struct guest_frame *f)
{
    struct proc *p = t->proc;
    const struct abi *abi = p->abi;
    struct x86_cpu *x = cpu_of(t);
    uint64_t sp = get_sp(t);

    if ((f->action->flags & SA_ONSTACK) && t->altstack_size && !signal_on_altstack(t, sp)) sp = t->altstack + t->altstack_size;
    else sp -= 128; /* the area below the stack pointer that functions may use */
    uint64_t fx = ALIGN_DOWN(sp - FX_SIZE, 64), at = ALIGN_DOWN(fx - FRAME_SIZE, 16) - 8;
    uint8_t *fr = mem_out(p, at, (size_t)(fx + FX_SIZE - at));
    if (!fr) return false;
    memset(fr, 0, (size_t)(fx + FX_SIZE - at));
    x86_fxsave_image(x, fr + (fx - at));
    guest_st(abi, fr, 8, p->sigpage);
    uint8_t *uc = fr + FRAME_UC, *sc = uc + UC_SC;
    guest_st(abi, uc, 8, 6); /* the sigcontext has SS, and it is to be restored */
    guest_st(abi, uc + UC_STACK, 8, t->altstack);
    guest_st(abi, uc + UC_STACK + 8, 4, (uint32_t)(!t->altstack_size ? SS_DISABLE : signal_on_altstack(t, get_sp(t)) ? SS_ONSTACK : 0));
    guest_st(abi, uc + UC_STACK + 16, 8, t->altstack_size);
    for (unsigned i = 0; i < 16; i++) guest_st(abi, sc + 8 * i, 8, get(t, sc_order[i]));
    guest_st(abi, sc + SC_RIP, 8, get_pc(t));
    guest_st(abi, sc + SC_FLAGS, 8, x86_get_eflags(x));
    guest_st(abi, sc + SC_CS, 2, x->sel[1]);
    guest_st(abi, sc + SC_SS, 2, x->sel[2]);
    guest_st(abi, sc + SC_TRAP, 8, t->cpu->exc.code & 31);
    guest_st(abi, sc + SC_CR2, 8, t->cpu->exc.addr);
    guest_st(abi, sc + SC_FP, 8, fx);
    abi_set_to_guest(abi, f->mask, uc + UC_MASK, 8);
    signal_info_to_guest(abi, f->info, fr + FRAME_INFO);
    set(t, RDI, (uint64_t)abi_sig_to_guest(abi, f->sig));
    set(t, RSI, at + FRAME_INFO);
    set(t, RDX, at + FRAME_UC);
    set(t, RAX, 0);
    set(t, RSP, at);
    x86_set_eflags(x, x86_get_eflags(x) & ~(uint32_t)(XFL_DF | XFL_TF | XFL_RF));
    set_pc(t, f->action->handler);
    return true;
}

static bool restore_frame(struct thread *t, bool rt, uint64_t *mask)
{
    struct proc *p = t->proc;
    const struct abi *abi = p->abi;
    struct x86_cpu *x = cpu_of(t);
    const uint32_t keep = XFL_ARITH | XFL_DF | XFL_TF | XFL_AC | XFL_NT;
    const uint8_t *fr = mem_in(p, get_sp(t) - 8, FRAME_SIZE);

    (void)rt;
    if (!fr) return false;
    const uint8_t *uc = fr + FRAME_UC, *sc = uc + UC_SC;
    uint32_t ss = (uint32_t)guest_ld(abi, uc + UC_STACK + 8, 4);
    if (!(ss & SS_ONSTACK)) {
        t->altstack = guest_ld(abi, uc + UC_STACK, 8);
        t->altstack_size = ss & SS_DISABLE ? 0 : guest_ld(abi, uc + UC_STACK + 16, 8);
    }
    *mask = abi_set_to_host(abi, uc + UC_MASK, 8);
    uint64_t fx = guest_ld(abi, sc + SC_FP, 8);
    if (fx) {
        const uint8_t *image = mem_in(p, fx, FX_SIZE);
        if (!image) return false;
        x86_fxrstor_image(x, image);
    }
    for (unsigned i = 0; i < 16; i++) set(t, sc_order[i], guest_ld(abi, sc + 8 * i, 8));
    x86_set_eflags(x, (x86_get_eflags(x) & ~keep) | ((uint32_t)guest_ld(abi, sc + SC_FLAGS, 8) & keep));
    set_pc(t, guest_ld(abi, sc + SC_RIP, 8));
    return true;
}

/* Unwinders know a frame by these instructions at the return address: mov $15,%rax; syscall */
static void write_sigpage(struct proc *p, uint8_t *page)
{
    static const uint8_t code[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
    (void)p;
    memcpy(page, code, sizeof code);
}

static uint64_t hwcap(struct thread *t, unsigned n) { return n ? 0 : x86_cpuid_features(cpu_of(t)); }

static void cpuinfo(struct thread *t, FILE *f)
{
    const struct x86_model *m = cpu_of(t)->model;
    fprintf(f, "processor\t: 0\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\n\n", m->vendor,
            (m->signature >> 8 & 15) + (m->signature >> 20 & 255), (m->signature >> 4 & 15) | (m->signature >> 12 & 0xf0), m->brand);
}

extern const struct abi abi_x86_64;
/* clang-format off */
const struct abi abi_x86_64 = {
    .target = "x86_64", .machine = "x86_64", .platform = "x86_64", .default_cpu = "qemu64", .be = false, .long_size = 8, .reg64 = true,
    .limit = (uint64_t)1 << 40, .elf_class = ELFCLASS64, .elf_data = ELFDATA2LSB, .elf_machine = EM_X86_64, .elf_flags_ok = any_flags,
    .calls = calls_64, .n_calls = ARRAY_LEN(calls_64), .errnos = errnos, .signals = signals, .n_signals = 64, .sigset_size = 8,
    .sig_block = 0, .sig_unblock = 1, .sig_setmask = 2, .sa_flags = sa_flags, .open_flags = open_flags, .mmap_flags = mmap_flags,
    .sock_flags = sock_flags, .sock_types = sock_types, .sockopts = sockopts, .sol_socket = 1, .fcntls = fcntls, .rlimits = rlimits,
    .rlim_infinity = UINT64_MAX, .stat = &stat_layout, .stat64 = &stat_layout, .statfs = &statfs_layout, .statfs64 = &statfs_layout,
    .flock = &flock_layout, .flock64 = &flock_layout, .shmid_ds = &shmid_layout, .semid_ds = &semid_layout, .msqid_ds = &msqid_layout,
    .lflags = lflags, .cc = control_chars, .n_cc = 19, .ioctls = ioctls, .setup = setup, .start = start, .event = event,
    .syscall_number = syscall_number, .arg = arg, .syscall_done = syscall_done, .skip_call = skip_call, .set_second = set_second,
    .get_sp = get_sp, .get_pc = get_pc, .clone = clone_regs, .set_tls = set_tls, .clone_tls_arg = 4, .setup_frame = setup_frame,
    .sigreturn = restore_frame, .write_sigpage = write_sigpage, .hwcap = hwcap, .cpuinfo = cpuinfo,
};
/* clang-format on */
