/*
 * convert.h - structures in the guest's layout, by description.
 *
 * A layout lists fields in order; offsets follow from sizes and natural alignment, which is how
 * Linux ABIs lay their structures out (i386 aligns to four bytes at most: abi.h, max_align). The host's side is given by offsetof and sizeof.
 */
#ifndef USER_CONVERT_H
#define USER_CONVERT_H

#include "util/host.h"

struct abi;
struct proc;
struct thread;

/* kind: b/h/i/q = 8, 16, 32, 64 bits signed; l = long; capitals: unsigned. 'p' = address (unsigned
 * long). */
struct layout_field {
    char kind;
    uint8_t count;
    uint16_t off; /* in the host's structure */
    uint8_t size; /* of one element there; 0: padding in the guest's structure */
};
struct layout {
    const struct layout_field *field;
    unsigned n;
};
#define LF(k, S, m)                                                                                \
    {                                                                                              \
        k, 1, offsetof(struct S, m), sizeof(((struct S *)0)->m)                                    \
    }
#define LA(k, S, m, n)                                                                             \
    {                                                                                              \
        k, n, offsetof(struct S, m), sizeof(((struct S *)0)->m) / (n)                              \
    }
#define LPAD(k, n)                                                                                 \
    {                                                                                              \
        k, n, 0, 0                                                                                 \
    }
#define LAYOUT(fields)                                                                             \
    {                                                                                              \
        fields, sizeof(fields) / sizeof((fields)[0])                                               \
    }

size_t layout_size(const struct abi *, const struct layout *);
void layout_to_guest(const struct abi *, const struct layout *, const void *host, uint8_t *guest);
/* Members without a field are left alone. */
void layout_to_host(const struct abi *, const struct layout *, const uint8_t *guest, void *host);

/* Scalars in the guest's byte order; size 1, 2, 4, 8 */
uint64_t guest_ld(const struct abi *, const void *p, unsigned size);
void guest_st(const struct abi *, void *p, unsigned size, uint64_t v);

/* Between guest memory and the host's structure: 0 or -EFAULT */
int put_layout(struct thread *, uint64_t addr, const struct layout *, const void *host);
int get_layout(struct thread *, uint64_t addr, const struct layout *, void *host);
int put_scalar(struct thread *, uint64_t addr, unsigned size, uint64_t v);
int get_scalar(struct thread *, uint64_t addr, unsigned size, uint64_t *v);
int put_bytes(struct thread *, uint64_t addr, const void *, size_t n);
int get_bytes(struct thread *, uint64_t addr, void *, size_t n);

/* Layouts that are the same on every ABI but for the size of long */
extern const struct layout layout_timespec, layout_timespec64, layout_timeval, layout_timezone,
    layout_itimerval, layout_itimerspec, layout_itimerspec64, layout_rusage, layout_rlimit,
    layout_rlimit64, layout_sysinfo, layout_tms, layout_utimbuf, layout_sched_param, layout_statx,
    layout_winsize;
const struct layout *
layout_for_time(const struct thread *); /* timespec, by SYS_T64 of the running call */
const struct layout *layout_for_itimer(const struct thread *);

#endif
