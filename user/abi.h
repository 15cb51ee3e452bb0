/*
 * abi.h - a guest ABI of Linux: numbers, layouts and register conventions, as tables and a few
 * functions. One file abi-ISA.c per ISA fills these in; nothing else in user/ knows an ISA.
 *
 * Follows: Linux's user-space headers (asm/, linux/) of each architecture and the psABI documents.
 */
#ifndef USER_ABI_H
#define USER_ABI_H

#include "user/convert.h"
#include "user/user.h"

struct num_pair {
    int host, guest;
};
/* guest bits of the form (value & mask) == bits stand for host bits; single flags have mask == bits
 */
struct flag_pair {
    uint32_t host, guest;
};
struct ioctl_desc {
    uint32_t guest;
    unsigned long host;
    /* 'i' int in, 'I' int out, '=' both, 'v' argument by value, '0' none, 't'/'T' termios in/out,
     * 'w'/'W' winsize in/out, 'n' ifreq in and out, 'N' ifconf, 'q'/'Q' u64 in/out, 'r' same bytes
     * in and out (size bytes, all-byte or same-order structures) */
    char kind;
    const char *name;
};
struct guest_event { /* why the CPU left in user mode */
    bool syscall;
    int sig, code; /* host numbering; code 0 for a SIGSEGV: found from the page table */
    uint64_t addr;
    bool retry; /* the ABI's emulation has dealt with it: go on */
};
struct guest_frame { /* what a signal frame is built from */
    int sig;         /* host number */
    const siginfo_t *info;
    const struct guest_action *action;
    uint64_t mask; /* to be restored */
};

struct abi {
    const char *target;   /* "mipsel" */
    const char *machine;  /* uname */
    const char *platform; /* AT_PLATFORM or NULL */
    const char *default_cpu;
    bool be;
    uint8_t long_size;  /* 4, 8 */
    uint8_t max_align;  /* members of structures are aligned to their size, but no more than to this; 0: 8 */
    bool epoll_packed;  /* struct epoll_event has no hole */
    bool old_sigset;    /* the calls older than rt_* take sets of one long, and sigaction the order handler, mask, flags, restorer */
    bool pairs_aligned; /* 64-bit arguments start at an even register */
    bool reg64;         /* 64-bit arguments take one register even where long is 4 bytes */
    uint64_t limit;     /* user addresses are below */
    /* ELF */
    uint8_t elf_class, elf_data;
    uint16_t elf_machine;
    bool (*elf_flags_ok)(uint32_t flags);
    uint32_t abiflags_pt; /* program header with ABI flags, 0: none */
    /* calls */
    const struct syscall_desc *calls;
    sys_fn *const *call_fns;
    unsigned n_calls;
    /* errno: host -> guest where they differ */
    const struct num_pair *errnos;
    /* signals: host <-> guest where they differ; 0 = does not exist */
    const struct num_pair *signals;
    unsigned n_signals;   /* guest's highest signal */
    unsigned sigset_size; /* bytes */
    int sig_block, sig_unblock, sig_setmask;
    const struct flag_pair *sa_flags;
    bool siginfo_code_first; /* si_signo, si_code, si_errno */
    /* sigaction layout: size of flags and handler (both `long_size` unless said) and order */
    bool sa_flags_first; /* sigaction: flags (int), handler, mask; stack_t: sp, size, flags. Else
                            the order of most others */
    /* flags */
    const struct flag_pair *open_flags, *mmap_flags, *sock_flags;
    const struct num_pair *sock_types, *sockopts /* of SOL_SOCKET */, *fcntls, *rlimits,
        *epoll_flags;
    uint8_t fcntl_lock64; /* number of F_GETLK64; F_SETLK64 and F_SETLKW64 follow; 0: 33 */
    int sol_socket;
    uint64_t rlim_infinity;
    /* layouts */
    const struct layout *stat, *stat64, *statfs, *statfs64, *flock, *flock64, *shmid_ds, *semid_ds,
        *msqid_ds;
    const struct flag_pair *lflags, *iflags, *oflags, *cflags;
    const struct num_pair *cc; /* control characters: host index, guest index */
    unsigned n_cc;             /* NCCS of the kernel structure */
    const struct ioctl_desc *ioctls;
    bool sembuf_pad;
    /* CPU */
    int (*setup)(struct thread *,
                 struct error *); /* after isa->init, before the first instruction */
    void (*start)(struct thread *, uint64_t entry, uint64_t sp);
    void (*event)(struct thread *, struct guest_event *);
    /* Asked when the CPU has left without an exception: does the instruction that it executed last
     * end in a trap (a single step)? The CPU is to say it once. NULL: never. */
    bool (*trapped)(struct thread *);
    unsigned (*syscall_number)(struct thread *,
                               unsigned *shift); /* shift: arguments to skip (indirect call) */
    bool (*arg)(struct thread *, unsigned n,
                uint64_t *value); /* nth argument register or stack slot */
    void (*syscall_done)(struct thread *,
                         int64_t result); /* result or -host errno; steps over the call */
    void (*skip_call)(struct thread *);   /* steps over the call and no more */
    void (*set_second)(struct thread *, uint64_t value); /* pipe: second result */
    bool pipe_in_regs;
    uint64_t (*get_sp)(struct thread *);
    uint64_t (*get_pc)(struct thread *);
    void (*clone)(struct thread *child, uint64_t sp, uint64_t tls,
                  bool set_tls); /* the child's registers after clone */
    void (*set_tls)(struct thread *, uint64_t);
    int clone_tls_arg; /* position of the tls argument of clone; ctid is the other of 3 and 4 */
    bool (*setup_frame)(struct thread *, const struct guest_frame *); /* false: no room */
    /* Restores from the frame at sp; returns the mask and, rt, the alternate stack. false: bad
     * frame */
    bool (*sigreturn)(struct thread *, bool rt, uint64_t *mask);
    void (*write_sigpage)(struct proc *, uint8_t *page);
    /* auxv entries of the ABI: HWCAP values */
    uint64_t (*hwcap)(struct thread *, unsigned n);
    void (*cpuinfo)(struct thread *, FILE *);
};

/* All ABIs of all ISAs, user/abi.c */
extern const struct abi *const abi_list[];
extern const unsigned abi_count;
const struct abi *abi_find(const char *target);

int abi_errno_to_guest(const struct abi *, int host);
int abi_num_to_host(const struct num_pair *, int guest); /* the same number when not listed */
int abi_num_to_guest(const struct num_pair *, int host);
uint32_t abi_flags_to_host(const struct flag_pair *, uint32_t guest, uint32_t *unknown);
uint32_t abi_flags_to_guest(const struct flag_pair *, uint32_t host);
int abi_sig_to_host(const struct abi *, int guest); /* 0: none */
int abi_sig_to_guest(const struct abi *, int host); /* 0: none */
uint64_t abi_set_to_host(const struct abi *, const uint8_t *set, unsigned bytes);
void abi_set_to_guest(const struct abi *, uint64_t mask, uint8_t *set, unsigned bytes);
uint64_t abi_long(const struct abi *, uint64_t v); /* truncates to the ABI's long, zero-extended */
int64_t abi_slong(const struct abi *, uint64_t v);

#endif
