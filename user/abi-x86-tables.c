/*
 * abi-x86-tables.c - numbers and layouts of Linux on x86-64 and i386.
 *
 * Follows Linux's asm/ and asm-generic/ headers: errno.h, signal.h, fcntl.h, mman.h, socket.h, ioctls.h, termbits.h,
 * resource.h, stat.h, statfs.h, shmbuf.h, sembuf.h, msgbuf.h.
 */
#include "user/abi-x86.h"

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

/* ---- numbers ---- */
/* clang-format off */
const struct num_pair x86_errnos[] = {
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
const struct num_pair x86_signals[] = {
    {SIGBUS, 7}, {SIGFPE, 8}, {SIGUSR1, 10}, {SIGSEGV, 11}, {SIGUSR2, 12}, {SIGCHLD, 17}, {SIGCONT, 18}, {SIGSTOP, 19}, {SIGTSTP, 20},
    {SIGTTIN, 21}, {SIGTTOU, 22}, {SIGURG, 23}, {SIGXCPU, 24}, {SIGXFSZ, 25}, {SIGVTALRM, 26}, {SIGPROF, 27}, {SIGWINCH, 28},
    {SIGIO, 29}, {SIGPWR, 30}, {SIGSYS, 31}, {62, 32}, {63, 33}, {SIGNALS, 62}, {SIGNALS, 63}, {SIGNALS, 64}, {32, 0}, {33, 0}, {0, 0}};

const struct flag_pair x86_sa_flags[] = {
    {SA_NOCLDSTOP, 1}, {SA_NOCLDWAIT, 2}, {SA_SIGINFO, 4}, {SA_ONSTACK, 0x08000000}, {SA_RESTART, 0x10000000},
    {SA_NODEFER, 0x40000000}, {SA_RESETHAND, 0x80000000}, {0, 0x04000000}, {0, 0}};
const struct flag_pair x86_open_flags[] = {
    {O_WRONLY, 1}, {O_RDWR, 2}, {O_CREAT, 0x40}, {O_EXCL, 0x80}, {O_NOCTTY, 0x100}, {O_TRUNC, 0x200}, {O_APPEND, 0x400},
    {O_NONBLOCK, 0x800}, {O_DSYNC, 0x1000}, {O_ASYNC, 0x2000}, {O_DIRECT, 0x4000}, {0, 0x8000}, {O_DIRECTORY, 0x10000},
    {O_NOFOLLOW, 0x20000}, {O_NOATIME, 0x40000}, {O_CLOEXEC, 0x80000}, {O_SYNC, 0x101000}, {O_PATH, 0x200000}, {O_TMPFILE, 0x410000}, {0, 0}};
const struct flag_pair x86_mmap_flags[] = {
    {MAP_SHARED, 1}, {MAP_PRIVATE, 2}, {MAP_FIXED, 0x10}, {MAP_ANONYMOUS, 0x20}, {0, 0x40}, {0, 0x100}, {0, 0x800}, {0, 0x1000},
    {MAP_LOCKED, 0x2000}, {MAP_NORESERVE, 0x4000}, {MAP_POPULATE, 0x8000}, {MAP_NONBLOCK, 0x10000}, {0, 0x20000}, {0, 0x40000},
#ifdef MAP_FIXED_NOREPLACE
    {MAP_FIXED_NOREPLACE, 0x100000},
#endif
    {0, 0}};
const struct num_pair x86_sock_types[] = {{SOCK_STREAM, 1}, {SOCK_DGRAM, 2}, {0, 0}};
const struct flag_pair x86_sock_flags[] = {{SOCK_NONBLOCK, 0x800}, {SOCK_CLOEXEC, 0x80000}, {0, 0}};
const struct num_pair x86_sockopts[] = {
    {SO_DEBUG, 1}, {SO_REUSEADDR, 2}, {SO_TYPE, 3}, {SO_ERROR, 4}, {SO_DONTROUTE, 5}, {SO_BROADCAST, 6}, {SO_SNDBUF, 7}, {SO_RCVBUF, 8},
    {SO_KEEPALIVE, 9}, {SO_OOBINLINE, 10}, {SO_LINGER, 13}, {SO_REUSEPORT, 15}, {SO_PASSCRED, 16}, {SO_PEERCRED, 17}, {SO_RCVLOWAT, 18},
    {SO_SNDLOWAT, 19}, {SO_RCVTIMEO, 20}, {SO_SNDTIMEO, 21}, {SO_ACCEPTCONN, 30}, {SO_PROTOCOL, 38}, {SO_DOMAIN, 39}, {0, 0}};
const struct num_pair x86_fcntls[] = {{F_GETLK, 5}, {F_SETLK, 6}, {F_SETLKW, 7}, {F_SETOWN, 8}, {F_GETOWN, 9}, {0, 0}};
const struct num_pair x86_rlimits[] = {
    {RLIMIT_RSS, 5}, {RLIMIT_NPROC, 6}, {RLIMIT_NOFILE, 7}, {RLIMIT_MEMLOCK, 8}, {RLIMIT_AS, 9}, {0, 0}};
const struct flag_pair x86_lflags[] = {
    {ISIG, 1}, {ICANON, 2}, {ECHO, 8}, {ECHOE, 0x10}, {ECHOK, 0x20}, {ECHONL, 0x40}, {NOFLSH, 0x80}, {TOSTOP, 0x100}, {ECHOCTL, 0x200},
    {ECHOPRT, 0x400}, {ECHOKE, 0x800}, {FLUSHO, 0x1000}, {PENDIN, 0x4000}, {IEXTEN, 0x8000},
#ifdef EXTPROC
    {EXTPROC, 0x10000},
#endif
    {0, 0}};
/* 100 is added to tell index 0 from the end */
const struct num_pair x86_control_chars[] = {
    {VINTR + 100, 100}, {VQUIT + 100, 101}, {VERASE + 100, 102}, {VKILL + 100, 103}, {VEOF + 100, 104}, {VTIME + 100, 105},
    {VMIN + 100, 106}, {VSTART + 100, 108}, {VSTOP + 100, 109}, {VSUSP + 100, 110}, {VEOL + 100, 111}, {VREPRINT + 100, 112},
    {VDISCARD + 100, 113}, {VWERASE + 100, 114}, {VLNEXT + 100, 115}, {VEOL2 + 100, 116}, {0, 0}};

#define IOC(name, number, kind) {number, name, kind, #name}
#define IOCTLS \
    IOC(TCGETS, 0x5401, 'T'), IOC(TCSETS, 0x5402, 't'), IOC(TCSETSW, 0x5403, 't'), IOC(TCSETSF, 0x5404, 't'), \
    IOC(TCSBRK, 0x5409, 'v'), IOC(TCXONC, 0x540a, 'v'), IOC(TCFLSH, 0x540b, 'v'), IOC(TCSBRKP, 0x5425, 'v'), \
    IOC(TIOCEXCL, 0x540c, '0'), IOC(TIOCNXCL, 0x540d, '0'), IOC(TIOCSCTTY, 0x540e, 'v'), IOC(TIOCGPGRP, 0x540f, 'I'), \
    IOC(TIOCSPGRP, 0x5410, 'i'), IOC(TIOCOUTQ, 0x5411, 'I'), IOC(TIOCGWINSZ, 0x5413, 'W'), IOC(TIOCSWINSZ, 0x5414, 'w'), \
    IOC(TIOCMGET, 0x5415, 'I'), IOC(TIOCMBIS, 0x5416, 'i'), IOC(TIOCMBIC, 0x5417, 'i'), IOC(TIOCMSET, 0x5418, 'i'), \
    IOC(FIONREAD, 0x541b, 'I'), IOC(TIOCPKT, 0x5420, 'i'), IOC(FIONBIO, 0x5421, 'i'), IOC(TIOCNOTTY, 0x5422, '0'), \
    IOC(TIOCSETD, 0x5423, 'i'), IOC(TIOCGETD, 0x5424, 'I'), IOC(TIOCSBRK, 0x5427, '0'), IOC(TIOCCBRK, 0x5428, '0'), \
    IOC(TIOCGSID, 0x5429, 'I'), IOC(TIOCGPTN, 0x80045430, 'I'), IOC(TIOCSPTLCK, 0x40045431, 'i'), IOC(TIOCGPTPEER, 0x5441, 'o'), \
    IOC(TIOCVHANGUP, 0x5437, '0'), IOC(FIONCLEX, 0x5450, '0'), IOC(FIOCLEX, 0x5451, '0'), IOC(FIOASYNC, 0x5452, 'i'), \
    IOC(FIOQSIZE, 0x5460, 'Q'), IOC(SIOCATMARK, 0x8905, 'I'), IOC(SIOCSPGRP, 0x8902, 'i'), IOC(SIOCGPGRP, 0x8904, 'I'), \
    IOC(FICLONE, 0x40049409, 'v'), \
    IOC(FIGETBSZ, 2, 'I'), IOC(BLKGETSIZE64, 0x80081272, 'Q'), IOC(BLKSSZGET, 0x1268, 'I'), IOC(BLKROGET, 0x125e, 'I'), \
    IOC(BLKFLSBUF, 0x1261, '0'), IOC(SIOCGIFINDEX, 0x8933, 'j'), IOC(SIOCGIFNAME, 0x8910, 'j'), IOC(SIOCGIFFLAGS, 0x8913, 'f'), \
    IOC(SIOCSIFFLAGS, 0x8914, 'f'), IOC(SIOCGIFADDR, 0x8915, 'n'), IOC(SIOCGIFMTU, 0x8921, 'j'), IOC(SIOCGIFHWADDR, 0x8927, 'n'), \
    IOC(SIOCGIFCONF, 0x8912, 'N')
const struct ioctl_desc x86_ioctls[] = {IOCTLS, IOC(FS_IOC_GETFLAGS, 0x80086601, 'I'), IOC(FS_IOC_SETFLAGS, 0x40086602, 'i'), {0, 0, 0, NULL}};
const struct ioctl_desc x86_32_ioctls[] = {IOCTLS, IOC(FS_IOC_GETFLAGS, 0x80046601, 'I'), IOC(FS_IOC_SETFLAGS, 0x40046602, 'i'), {0, 0, 0, NULL}};
/* clang-format on */

/* ---- layouts ---- */

#define DEFINE(name, ...)                                                                          \
    static const struct layout_field name##_fields[] = {__VA_ARGS__};                              \
    const struct layout x86_##name = LAYOUT(name##_fields)
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


/* i386 aligns what has 64 bits to four bytes (abi.h, max_align). */
DEFINE(stat_32, LF('L', stat, st_dev), LF('L', stat, st_ino), LF('H', stat, st_mode), LF('H', stat, st_nlink), LF('H', stat, st_uid),
       LF('H', stat, st_gid), LF('L', stat, st_rdev), LF('L', stat, st_size), LF('L', stat, st_blksize), LF('L', stat, st_blocks),
       LF('L', stat, st_atim.tv_sec), LF('L', stat, st_atim.tv_nsec), LF('L', stat, st_mtim.tv_sec), LF('L', stat, st_mtim.tv_nsec),
       LF('L', stat, st_ctim.tv_sec), LF('L', stat, st_ctim.tv_nsec), LPAD('L', 2));
DEFINE(stat64_32, LF('Q', stat, st_dev), LPAD('I', 1), LF('I', stat, st_ino), LF('I', stat, st_mode), LF('I', stat, st_nlink),
       LF('I', stat, st_uid), LF('I', stat, st_gid), LF('Q', stat, st_rdev), LPAD('I', 1), LF('q', stat, st_size), LF('I', stat, st_blksize),
       LF('Q', stat, st_blocks), LF('I', stat, st_atim.tv_sec), LF('I', stat, st_atim.tv_nsec), LF('I', stat, st_mtim.tv_sec),
       LF('I', stat, st_mtim.tv_nsec), LF('I', stat, st_ctim.tv_sec), LF('I', stat, st_ctim.tv_nsec), LF('Q', stat, st_ino));
DEFINE(statfs64_32, LF('I', statfs, f_type), LF('I', statfs, f_bsize), LF('Q', statfs, f_blocks), LF('Q', statfs, f_bfree),
       LF('Q', statfs, f_bavail), LF('Q', statfs, f_files), LF('Q', statfs, f_ffree), LA('i', statfs, f_fsid, 2),
       LF('I', statfs, f_namelen), LF('I', statfs, f_frsize), LF('I', statfs, f_flags), LPAD('I', 4));
DEFINE(flock64_32, LF('h', flock, l_type), LF('h', flock, l_whence), LF('q', flock, l_start), LF('q', flock, l_len), LF('i', flock, l_pid));
#define PERM32(S, m)                                                                               \
    LF('i', S, m.__key), LF('I', S, m.uid), LF('I', S, m.gid), LF('I', S, m.cuid),                 \
        LF('I', S, m.cgid), LF('H', S, m.mode), LPAD('H', 1), LF('H', S, m.__seq), LPAD('H', 1), LPAD('L', 2)
DEFINE(shmid_32, PERM32(shmid_ds, shm_perm), LF('L', shmid_ds, shm_segsz), LF('L', shmid_ds, shm_atime), LPAD('L', 1),
       LF('L', shmid_ds, shm_dtime), LPAD('L', 1), LF('L', shmid_ds, shm_ctime), LPAD('L', 1), LF('i', shmid_ds, shm_cpid),
       LF('i', shmid_ds, shm_lpid), LF('L', shmid_ds, shm_nattch), LPAD('L', 2));
DEFINE(semid_32, PERM32(semid_ds, sem_perm), LF('L', semid_ds, sem_otime), LPAD('L', 1), LF('L', semid_ds, sem_ctime), LPAD('L', 1),
       LF('L', semid_ds, sem_nsems), LPAD('L', 2));
DEFINE(msqid_32, PERM32(msqid_ds, msg_perm), LF('L', msqid_ds, msg_stime), LPAD('L', 1), LF('L', msqid_ds, msg_rtime), LPAD('L', 1),
       LF('L', msqid_ds, msg_ctime), LPAD('L', 1), LF('L', msqid_ds, __msg_cbytes), LF('L', msqid_ds, msg_qnum), LF('L', msqid_ds, msg_qbytes),
       LF('i', msqid_ds, msg_lspid), LF('i', msqid_ds, msg_lrpid), LPAD('L', 2));
