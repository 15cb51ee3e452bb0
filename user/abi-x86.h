/*
 * abi-x86.h - what x86-64 and i386 have in common: tables (abi-x86-tables.c). Private to user/abi-x86*.c.
 */
#ifndef USER_ABI_X86_H
#define USER_ABI_X86_H

#include "isa/x86/x86.h"
#include "user/abi.h"

extern const struct num_pair x86_errnos[], x86_signals[], x86_sock_types[], x86_sockopts[], x86_fcntls[], x86_rlimits[], x86_control_chars[];
extern const struct flag_pair x86_sa_flags[], x86_open_flags[], x86_mmap_flags[], x86_sock_flags[], x86_lflags[];
extern const struct ioctl_desc x86_ioctls[], x86_32_ioctls[];
extern const struct layout x86_stat, x86_statfs, x86_flock, x86_shmid, x86_semid, x86_msqid;
extern const struct layout x86_stat_32, x86_stat64_32, x86_statfs64_32, x86_flock64_32, x86_shmid_32, x86_semid_32, x86_msqid_32;

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R10 = 10, R11 = 11 };

/* See struct abi. */
bool x86_trapped(struct thread *);
/* A CPU exception that no call is: the signal of it, as the kernel tells it. at: the instruction's address. */
void x86_fault_event(struct thread *, struct guest_event *, uint64_t at);
void x86_cpuinfo(struct thread *, FILE *);

#endif
