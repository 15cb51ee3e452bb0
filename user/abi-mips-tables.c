/*
 * abi-mips-tables.c - numbers and layouts of Linux on MIPS, against the host's by name.
 *
 * Follows the asm/ headers of Linux for MIPS: errno.h, signal.h, fcntl.h, mman.h, socket.h,
 * ioctls.h, termbits.h, resource.h, stat.h, statfs.h, shmbuf.h, sembuf.h, msgbuf.h.
 */
#include "user/abi-mips.h"

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

/* clang-format off */
const struct num_pair mips_errnos[] = {
    {ENOMSG, 35}, {EIDRM, 36}, {ECHRNG, 37}, {EL2NSYNC, 38}, {EL3HLT, 39}, {EL3RST, 40}, {ELNRNG, 41}, {EUNATCH, 42},
    {ENOCSI, 43}, {EL2HLT, 44}, {EDEADLK, 45}, {ENOLCK, 46}, {EBADE, 50}, {EBADR, 51}, {EXFULL, 52}, {ENOANO, 53},
    {EBADRQC, 54}, {EBADSLT, 55}, {EBFONT, 59}, {ENOSTR, 60}, {ENODATA, 61}, {ETIME, 62}, {ENOSR, 63}, {ENONET, 64},
    {ENOPKG, 65}, {EREMOTE, 66}, {ENOLINK, 67}, {EADV, 68}, {ESRMNT, 69}, {ECOMM, 70}, {EPROTO, 71}, {EDOTDOT, 73},
    {EMULTIHOP, 74}, {EBADMSG, 77}, {ENAMETOOLONG, 78}, {EOVERFLOW, 79}, {ENOTUNIQ, 80}, {EBADFD, 81}, {EREMCHG, 82},
    {ELIBACC, 83}, {ELIBBAD, 84}, {ELIBSCN, 85}, {ELIBMAX, 86}, {ELIBEXEC, 87}, {EILSEQ, 88}, {ENOSYS, 89}, {ELOOP, 90},
    {ERESTART, 91}, {ESTRPIPE, 92}, {ENOTEMPTY, 93}, {EUSERS, 94}, {ENOTSOCK, 95}, {EDESTADDRREQ, 96}, {EMSGSIZE, 97},
    {EPROTOTYPE, 98}, {ENOPROTOOPT, 99}, {EPROTONOSUPPORT, 120}, {ESOCKTNOSUPPORT, 121}, {EOPNOTSUPP, 122},
    {EPFNOSUPPORT, 123}, {EAFNOSUPPORT, 124}, {EADDRINUSE, 125}, {EADDRNOTAVAIL, 126}, {ENETDOWN, 127},
    {ENETUNREACH, 128}, {ENETRESET, 129}, {ECONNABORTED, 130}, {ECONNRESET, 131}, {ENOBUFS, 132}, {EISCONN, 133},
    {ENOTCONN, 134}, {EUCLEAN, 135}, {ENOTNAM, 137}, {ENAVAIL, 138}, {EISNAM, 139}, {EREMOTEIO, 140}, {ESHUTDOWN, 143},
    {ETOOMANYREFS, 144}, {ETIMEDOUT, 145}, {ECONNREFUSED, 146}, {EHOSTDOWN, 147}, {EHOSTUNREACH, 148}, {EALREADY, 149},
    {EINPROGRESS, 150}, {ESTALE, 151}, {ECANCELED, 158}, {ENOMEDIUM, 159}, {EMEDIUMTYPE, 160}, {ENOKEY, 161},
    {EKEYEXPIRED, 162}, {EKEYREVOKED, 163}, {EKEYREJECTED, 164}, {EOWNERDEAD, 165}, {ENOTRECOVERABLE, 166},
    {ERFKILL, 167}, {EHWPOISON, 168}, {EDQUOT, 1133}, {0, 0}};

/* The two real-time signals that the C library keeps for itself go to numbers that the host's leaves free. */
const struct num_pair mips_signals[] = {
    {SIGNALS, 7}, {SIGFPE, 8}, {SIGBUS, 10}, {SIGSEGV, 11}, {SIGSYS, 12}, {SIGUSR1, 16}, {SIGUSR2, 17},
    {SIGCHLD, 18}, {SIGPWR, 19}, {SIGWINCH, 20}, {SIGURG, 21}, {SIGIO, 22}, {SIGSTOP, 23}, {SIGTSTP, 24}, {SIGCONT, 25},
    {SIGTTIN, 26}, {SIGTTOU, 27}, {SIGVTALRM, 28}, {SIGPROF, 29}, {SIGXCPU, 30}, {SIGXFSZ, 31},
    {62, 32}, {63, 33}, {SIGNALS, 62}, {SIGNALS, 63}, {SIGNALS, 64}, {32, 0}, {33, 0},
#ifdef SIGSTKFLT
    {SIGSTKFLT, 0},
#endif
    {0, 0}};

const struct flag_pair mips_sa_flags[] = {
    {SA_ONSTACK, 0x08000000}, {SA_RESETHAND, 0x80000000}, {SA_RESTART, 0x10000000}, {SA_SIGINFO, 8},
    {SA_NODEFER, 0x40000000}, {SA_NOCLDWAIT, 0x10000}, {SA_NOCLDSTOP, 1}, {0, 0}};

const struct num_pair mips_sock_types[] = {{SOCK_DGRAM, 1}, {SOCK_STREAM, 2}, {0, 0}};
const struct flag_pair mips_sock_flags[] = {{SOCK_NONBLOCK, 0x80}, {SOCK_CLOEXEC, 0x80000}, {0, 0}};
const struct num_pair mips_sockopts[] = {
    {SO_DEBUG, 1}, {SO_REUSEADDR, 4}, {SO_KEEPALIVE, 8}, {SO_DONTROUTE, 0x10}, {SO_BROADCAST, 0x20}, {SO_LINGER, 0x80},
    {SO_OOBINLINE, 0x100}, {SO_REUSEPORT, 0x200}, {SO_TYPE, 0x1008}, {SO_ERROR, 0x1007}, {SO_SNDBUF, 0x1001},
    {SO_RCVBUF, 0x1002}, {SO_SNDLOWAT, 0x1003}, {SO_RCVLOWAT, 0x1004}, {SO_SNDTIMEO, 0x1005}, {SO_RCVTIMEO, 0x1006},
    {SO_ACCEPTCONN, 0x1009}, {SO_PROTOCOL, 0x1028}, {SO_DOMAIN, 0x1029}, {SO_PASSCRED, 17}, {SO_PEERCRED, 18}, {0, 0}};

const struct flag_pair mips_open_flags[] = {
    {O_WRONLY, 1}, {O_RDWR, 2}, {O_APPEND, 8}, {O_DSYNC, 0x10}, {O_NONBLOCK, 0x80}, {O_CREAT, 0x100}, {O_TRUNC, 0x200},
    {O_EXCL, 0x400}, {O_NOCTTY, 0x800}, {O_ASYNC, 0x1000}, {0, 0x2000}, {O_SYNC, 0x4010}, {O_DIRECT, 0x8000},
    {O_DIRECTORY, 0x10000}, {O_NOFOLLOW, 0x20000}, {O_NOATIME, 0x40000}, {O_CLOEXEC, 0x80000}, {O_PATH, 0x200000},
    {O_TMPFILE, 0x410000}, {0, 0}};

const struct flag_pair mips_mmap_flags[] = {
    {MAP_SHARED, 1}, {MAP_PRIVATE, 2}, {MAP_FIXED, 0x10}, {MAP_NORESERVE, 0x400}, {MAP_ANONYMOUS, 0x800},
    {0, 0x1000}, {0, 0x2000}, {0, 0x4000}, {MAP_LOCKED, 0x8000}, {MAP_POPULATE, 0x10000}, {MAP_NONBLOCK, 0x20000},
    {0, 0x40000},
#ifdef MAP_FIXED_NOREPLACE
    {MAP_FIXED_NOREPLACE, 0x100000},
#endif
    {0, 0}};

/* Record locks on 64-bit structures have numbers of their own on 32-bit ABIs: see sys_fcntl */
const struct num_pair mips_fcntls[] = {
    {F_GETLK, 14}, {F_SETLK, 6}, {F_SETLKW, 7}, {F_SETOWN, 24}, {F_GETOWN, 23}, {0, 0}};
const struct num_pair mips_rlimits[] = {
    {RLIMIT_NOFILE, 5}, {RLIMIT_AS, 6}, {RLIMIT_RSS, 7}, {RLIMIT_NPROC, 8}, {RLIMIT_MEMLOCK, 9}, {0, 0}};

const struct flag_pair mips_lflags[] = {
    {ISIG, 1}, {ICANON, 2}, {ECHO, 8}, {ECHOE, 0x10}, {ECHOK, 0x20}, {ECHONL, 0x40}, {NOFLSH, 0x80}, {IEXTEN, 0x100},
    {ECHOCTL, 0x200}, {ECHOPRT, 0x400}, {ECHOKE, 0x800}, {FLUSHO, 0x2000}, {PENDIN, 0x4000}, {TOSTOP, 0x8000},
#ifdef EXTPROC
    {EXTPROC, 0x10000},
#endif
    {0, 0}};
/* 100 is added to tell index 0 from the end */
const struct num_pair mips_cc[] = {
    {VINTR + 100, 0 + 100}, {VQUIT + 100, 1 + 100}, {VERASE + 100, 2 + 100}, {VKILL + 100, 3 + 100}, {VMIN + 100, 4 + 100},
    {VTIME + 100, 5 + 100}, {VEOL2 + 100, 6 + 100}, {VSTART + 100, 8 + 100}, {VSTOP + 100, 9 + 100},
    {VSUSP + 100, 10 + 100}, {VREPRINT + 100, 12 + 100}, {VDISCARD + 100, 13 + 100}, {VWERASE + 100, 14 + 100},
    {VLNEXT + 100, 15 + 100}, {VEOF + 100, 16 + 100}, {VEOL + 100, 17 + 100}, {0, 0}};

#define IOC(name, number, kind) {number, name, kind, #name}
const struct ioctl_desc mips_ioctls[] = {
    IOC(TCGETS, 0x540d, 'T'), IOC(TCSETS, 0x540e, 't'), IOC(TCSETSW, 0x540f, 't'), IOC(TCSETSF, 0x5410, 't'),
    IOC(TCSBRK, 0x5405, 'v'), IOC(TCXONC, 0x5406, 'v'), IOC(TCFLSH, 0x5407, 'v'), IOC(TCSBRKP, 0x5486, 'v'),
    IOC(TIOCEXCL, 0x740d, '0'), IOC(TIOCNXCL, 0x740e, '0'), IOC(TIOCOUTQ, 0x7472, 'I'), IOC(TIOCMGET, 0x741d, 'I'),
    IOC(TIOCMBIS, 0x741b, 'i'), IOC(TIOCMBIC, 0x741c, 'i'), IOC(TIOCMSET, 0x741a, 'i'), IOC(TIOCPKT, 0x5470, 'i'),
    IOC(TIOCSWINSZ, 0x80087467, 'w'), IOC(TIOCGWINSZ, 0x40087468, 'W'), IOC(TIOCNOTTY, 0x5471, '0'),
    IOC(TIOCSETD, 0x7401, 'i'), IOC(TIOCGETD, 0x7400, 'I'), IOC(FIOCLEX, 0x6601, '0'), IOC(FIONCLEX, 0x6602, '0'),
    IOC(FIOASYNC, 0x667d, 'i'), IOC(FIONBIO, 0x667e, 'i'), IOC(FIONREAD, 0x467f, 'I'), IOC(FIOQSIZE, 0x667f, 'Q'),
    IOC(TIOCSPGRP, 0x80047476, 'i'), IOC(TIOCGPGRP, 0x40047477, 'I'), IOC(TIOCSBRK, 0x5427, '0'), IOC(TIOCCBRK, 0x5428, '0'),
    IOC(TIOCGSID, 0x7416, 'I'), IOC(TIOCGPTN, 0x40045430, 'I'), IOC(TIOCSPTLCK, 0x80045431, 'i'),
    IOC(TIOCGPTPEER, 0x20005441, 'o'), IOC(TIOCVHANGUP, 0x5437, '0'), IOC(TIOCSCTTY, 0x5480, 'v'),
    IOC(SIOCATMARK, 0x40047307, 'I'), IOC(SIOCSPGRP, 0x80047308, 'i'), IOC(SIOCGPGRP, 0x40047309, 'I'),
    IOC(FICLONE, 0x80049409, 'v'),
    IOC(FS_IOC_GETFLAGS, 0x40046601, 'I'), IOC(FS_IOC_GETFLAGS, 0x40086601, 'I'),
    IOC(FS_IOC_SETFLAGS, 0x80046602, 'i'), IOC(FS_IOC_SETFLAGS, 0x80086602, 'i'),
    IOC(FIGETBSZ, 0x20000002, 'I'), IOC(BLKGETSIZE64, 0x40041272, 'Q'), IOC(BLKGETSIZE64, 0x40081272, 'Q'),
    IOC(BLKSSZGET, 0x20001268, 'I'), IOC(BLKROGET, 0x2000125e, 'I'), IOC(BLKFLSBUF, 0x20001261, '0'),
    IOC(SIOCGIFINDEX, 0x8933, 'j'), IOC(SIOCGIFNAME, 0x8910, 'j'), IOC(SIOCGIFFLAGS, 0x8913, 'f'),
    IOC(SIOCSIFFLAGS, 0x8914, 'f'), IOC(SIOCGIFADDR, 0x8915, 'n'), IOC(SIOCSIFADDR, 0x8916, 'n'),
    IOC(SIOCGIFDSTADDR, 0x8917, 'n'), IOC(SIOCGIFBRDADDR, 0x8919, 'n'), IOC(SIOCSIFBRDADDR, 0x891a, 'n'),
    IOC(SIOCGIFNETMASK, 0x891b, 'n'), IOC(SIOCSIFNETMASK, 0x891c, 'n'), IOC(SIOCGIFMETRIC, 0x891d, 'j'),
    IOC(SIOCGIFMTU, 0x8921, 'j'), IOC(SIOCSIFMTU, 0x8922, 'j'), IOC(SIOCGIFHWADDR, 0x8927, 'n'),
    IOC(SIOCGIFTXQLEN, 0x8942, 'j'), IOC(SIOCGIFCONF, 0x8912, 'N'),
    {0, 0, 0, NULL}};
/* clang-format on */

#define DEFINE(name, ...)                                                                          \
    static const struct layout_field name##_fields[] = {__VA_ARGS__};                              \
    const struct layout mips_##name = LAYOUT(name##_fields)
#define TIMES(k, kn)                                                                               \
    LF(k, stat, st_atim.tv_sec), LF(kn, stat, st_atim.tv_nsec), LF(k, stat, st_mtim.tv_sec),       \
        LF(kn, stat, st_mtim.tv_nsec), LF(k, stat, st_ctim.tv_sec), LF(kn, stat, st_ctim.tv_nsec)

DEFINE(stat_o32, LF('I', stat, st_dev), LPAD('l', 3), LF('L', stat, st_ino), LF('I', stat, st_mode),
       LF('I', stat, st_nlink), LF('I', stat, st_uid), LF('I', stat, st_gid),
       LF('I', stat, st_rdev), LPAD('l', 2), LF('l', stat, st_size), LPAD('l', 1), TIMES('l', 'l'),
       LF('l', stat, st_blksize), LF('l', stat, st_blocks), LPAD('l', 14));
/* stat64 of o32 and stat of n32 and n64 */
DEFINE(stat64, LF('I', stat, st_dev), LPAD('I', 3), LF('Q', stat, st_ino), LF('I', stat, st_mode),
       LF('I', stat, st_nlink), LF('I', stat, st_uid), LF('I', stat, st_gid),
       LF('I', stat, st_rdev), LPAD('I', 3), LF('q', stat, st_size), TIMES('i', 'I'),
       LF('I', stat, st_blksize), LPAD('I', 1), LF('q', stat, st_blocks));
DEFINE(statfs, LF('l', statfs, f_type), LF('l', statfs, f_bsize), LF('l', statfs, f_frsize),
       LF('l', statfs, f_blocks), LF('l', statfs, f_bfree), LF('l', statfs, f_files),
       LF('l', statfs, f_ffree), LF('l', statfs, f_bavail), LA('i', statfs, f_fsid, 2),
       LF('l', statfs, f_namelen), LF('l', statfs, f_flags), LPAD('l', 5));
DEFINE(statfs64, LF('I', statfs, f_type), LF('I', statfs, f_bsize), LF('I', statfs, f_frsize),
       LPAD('I', 1), LF('Q', statfs, f_blocks), LF('Q', statfs, f_bfree), LF('Q', statfs, f_files),
       LF('Q', statfs, f_ffree), LF('Q', statfs, f_bavail), LA('i', statfs, f_fsid, 2),
       LF('I', statfs, f_namelen), LF('I', statfs, f_flags), LPAD('I', 5));
DEFINE(flock_o32, LF('h', flock, l_type), LF('h', flock, l_whence), LF('l', flock, l_start),
       LF('l', flock, l_len), LPAD('l', 1), LF('i', flock, l_pid), LPAD('l', 4));
DEFINE(flock64_o32, LF('h', flock, l_type), LF('h', flock, l_whence), LF('q', flock, l_start),
       LF('q', flock, l_len), LF('i', flock, l_pid));
DEFINE(flock_n64, LF('h', flock, l_type), LF('h', flock, l_whence), LF('l', flock, l_start),
       LF('l', flock, l_len), LF('i', flock, l_pid));

#define PERM(S, m)                                                                                 \
    LF('i', S, m.__key), LF('I', S, m.uid), LF('I', S, m.gid), LF('I', S, m.cuid),                 \
        LF('I', S, m.cgid), LF('I', S, m.mode), LF('H', S, m.__seq), LPAD('H', 1), LPAD('L', 2)
DEFINE(shmid, PERM(shmid_ds, shm_perm), LF('L', shmid_ds, shm_segsz), LF('L', shmid_ds, shm_atime),
       LF('L', shmid_ds, shm_dtime), LF('L', shmid_ds, shm_ctime), LF('i', shmid_ds, shm_cpid),
       LF('i', shmid_ds, shm_lpid), LF('L', shmid_ds, shm_nattch), LPAD('L', 2));
DEFINE(semid_32, PERM(semid_ds, sem_perm), LF('L', semid_ds, sem_otime),
       LF('L', semid_ds, sem_ctime), LF('L', semid_ds, sem_nsems), LPAD('L', 2));
DEFINE(semid_64, PERM(semid_ds, sem_perm), LF('L', semid_ds, sem_otime),
       LF('L', semid_ds, sem_ctime), LF('L', semid_ds, sem_nsems), LPAD('L', 2));
#define MSG_REST                                                                                   \
    LF('L', msqid_ds, __msg_cbytes), LF('L', msqid_ds, msg_qnum), LF('L', msqid_ds, msg_qbytes),   \
        LF('i', msqid_ds, msg_lspid), LF('i', msqid_ds, msg_lrpid), LPAD('L', 2)
#define MSG_TIME(m) LF('L', msqid_ds, m)
DEFINE(msqid_be32, PERM(msqid_ds, msg_perm), LPAD('L', 1), MSG_TIME(msg_stime), LPAD('L', 1),
       MSG_TIME(msg_rtime), LPAD('L', 1), MSG_TIME(msg_ctime), MSG_REST);
DEFINE(msqid_le32, PERM(msqid_ds, msg_perm), MSG_TIME(msg_stime), LPAD('L', 1), MSG_TIME(msg_rtime),
       LPAD('L', 1), MSG_TIME(msg_ctime), LPAD('L', 1), MSG_REST);
DEFINE(msqid_64, PERM(msqid_ds, msg_perm), MSG_TIME(msg_stime), MSG_TIME(msg_rtime),
       MSG_TIME(msg_ctime), MSG_REST);
