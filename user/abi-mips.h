/*
 * abi-mips.h - what the files of the MIPS ABIs share: the tables of numbers and layouts.
 */
#ifndef USER_ABI_MIPS_H
#define USER_ABI_MIPS_H

#include "user/abi.h"

extern const struct num_pair mips_errnos[], mips_signals[], mips_sock_types[], mips_sockopts[],
    mips_fcntls[], mips_rlimits[], mips_cc[];
extern const struct flag_pair mips_sa_flags[], mips_open_flags[], mips_mmap_flags[],
    mips_sock_flags[], mips_lflags[];
extern const struct ioctl_desc mips_ioctls[];
extern const struct layout mips_stat_o32, mips_stat64, mips_statfs, mips_statfs64, mips_flock_o32,
    mips_flock64_o32, mips_flock_n64, mips_shmid, mips_semid_32, mips_semid_64, mips_msqid_be32,
    mips_msqid_le32, mips_msqid_64;
#endif
