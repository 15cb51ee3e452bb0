/*
 * syscalls.h - the calls that tables of ABIs may name. Arguments come converted by their kinds
 * (user/syscall.c); the result is the call's or -errno of the host.
 */
#ifndef USER_SYSCALLS_H
#define USER_SYSCALLS_H

#include "user/user.h"

sys_fn sys__llseek, sys_accept, sys_accept4, sys_access, sys_acct, sys_alarm, sys_bind, sys_brk,
    sys_cachectl, sys_cacheflush, sys_capget, sys_capset, sys_chdir, sys_chmod, sys_chown,
    sys_chroot, sys_clock_getres, sys_clock_gettime, sys_clock_nanosleep, sys_clock_settime,
    sys_clone, sys_close, sys_close_range, sys_connect, sys_copy_file_range, sys_creat, sys_dup,
    sys_dup2, sys_dup3, sys_epoll_create, sys_epoll_create1, sys_epoll_ctl, sys_epoll_pwait,
    sys_epoll_pwait2, sys_epoll_wait, sys_eventfd, sys_eventfd2, sys_execve, sys_execveat, sys_exit,
    sys_exit_group, sys_faccessat, sys_faccessat2, sys_fadvise64, sys_fallocate, sys_fchdir,
    sys_fchmod, sys_fchmodat, sys_fchown, sys_fchownat, sys_fcntl, sys_fcntl64, sys_fdatasync,
    sys_fgetxattr, sys_flistxattr, sys_flock, sys_fork, sys_fremovexattr, sys_fsetxattr, sys_fstat,
    sys_fstat64, sys_fstatat64, sys_fstatfs, sys_fstatfs64, sys_fsync, sys_ftruncate, sys_futex,
    sys_futimesat, sys_get_robust_list, sys_getcpu, sys_getcwd, sys_getdents, sys_getdents64,
    sys_getegid, sys_geteuid, sys_getgid, sys_getgroups, sys_getitimer, sys_getpeername,
    sys_getpgid, sys_getpgrp, sys_getpid, sys_getppid, sys_getpriority, sys_getrandom,
    sys_getresgid, sys_getresuid, sys_getrlimit, sys_getrusage, sys_getsid, sys_getsockname,
    sys_getsockopt, sys_gettid, sys_gettimeofday, sys_getuid, sys_getxattr, sys_inotify_add_watch,
    sys_inotify_init, sys_inotify_init1, sys_inotify_rm_watch, sys_ioctl, sys_ioprio_get,
    sys_ioprio_set, sys_ipc, sys_kill, sys_lchown, sys_lgetxattr, sys_link, sys_linkat, sys_listen,
    sys_listxattr, sys_llistxattr, sys_lremovexattr, sys_lseek, sys_lsetxattr, sys_lstat,
    sys_lstat64, sys_madvise, sys_memfd_create, sys_mincore, sys_mkdir, sys_mkdirat, sys_mknod,
    sys_mknodat, sys_mlock, sys_mlock2, sys_mlockall, sys_mmap, sys_mmap2, sys_mount, sys_mprotect,
    sys_mremap, sys_msgctl, sys_msgget, sys_msgrcv, sys_msgsnd, sys_msync, sys_munlock,
    sys_munlockall, sys_munmap, sys_nanosleep, sys_newfstatat, sys_nice, sys_open, sys_openat,
    sys_pause, sys_personality, sys_pidfd_open, sys_pidfd_send_signal, sys_pipe, sys_pipe2,
    sys_poll, sys_ppoll, sys_prctl, sys_pread64, sys_preadv, sys_preadv2, sys_prlimit64,
    sys_pselect6, sys_pwrite64, sys_pwritev, sys_pwritev2, sys_read, sys_readahead, sys_readlink,
    sys_readlinkat, sys_readv, sys_recv, sys_recvfrom, sys_recvmmsg, sys_recvmsg,
    sys_remap_file_pages, sys_removexattr, sys_rename, sys_renameat, sys_renameat2,
    sys_restart_syscall, sys_rmdir, sys_rt_sigaction, sys_rt_sigpending, sys_rt_sigprocmask,
    sys_rt_sigqueueinfo, sys_rt_sigreturn, sys_rt_sigsuspend, sys_rt_sigtimedwait,
    sys_rt_tgsigqueueinfo, sys_sched_get_priority_max, sys_sched_get_priority_min,
    sys_sched_getaffinity, sys_sched_getparam, sys_sched_getscheduler, sys_sched_rr_get_interval,
    sys_sched_setaffinity, sys_sched_setparam, sys_sched_setscheduler, sys_sched_yield, sys_select,
    sys_semctl, sys_semget, sys_semop, sys_semtimedop, sys_send, sys_sendfile, sys_sendfile64,
    sys_sendmmsg, sys_sendmsg, sys_sendto, sys_set_robust_list, sys_set_thread_area,
    sys_set_tid_address, sys_setdomainname, sys_setfsgid, sys_setfsuid, sys_setgid, sys_setgroups,
    sys_sethostname, sys_setitimer, sys_setns, sys_setpgid, sys_setpriority, sys_setregid,
    sys_setresgid, sys_setresuid, sys_setreuid, sys_setrlimit, sys_setsid, sys_setsockopt,
    sys_settimeofday, sys_setuid, sys_setxattr, sys_sgetmask, sys_shmat, sys_shmctl, sys_shmdt,
    sys_shmget, sys_shutdown, sys_sigaction, sys_sigaltstack, sys_signal, sys_signalfd,
    sys_signalfd4, sys_sigpending, sys_sigprocmask, sys_sigreturn, sys_sigsuspend, sys_socket,
    sys_socketcall, sys_socketpair, sys_splice, sys_ssetmask, sys_stat, sys_stat64, sys_statfs,
    sys_statfs64, sys_statx, sys_stime, sys_symlink, sys_symlinkat, sys_sync, sys_sync_file_range,
    sys_syncfs, sys_sysinfo, sys_syslog, sys_sysmips, sys_tee, sys_tgkill, sys_time,
    sys_timer_create, sys_timer_delete, sys_timer_getoverrun, sys_timer_gettime, sys_timer_settime,
    sys_timerfd_create, sys_timerfd_gettime, sys_timerfd_settime, sys_times, sys_tkill,
    sys_truncate, sys_umask, sys_umount, sys_umount2, sys_uname, sys_unlink, sys_unlinkat,
    sys_unshare, sys_utime, sys_utimensat, sys_utimes, sys_vhangup, sys_vmsplice, sys_wait4,
    sys_waitid, sys_waitpid, sys_write, sys_writev;

#endif
