/*
 * convert.c - structures between the guest's layout and the host's (see convert.h).
 *
 * Not here: layouts that only one ISA has (abi-*.c) and structures with variable parts (msghdr,
 * dirents, iovec: with their calls).
 */
#include "user/convert.h"
#include "user/abi.h"

#include <linux/stat.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/ioctl.h>
#include <time.h>
#include <utime.h>

uint64_t guest_ld(const struct abi *abi, const void *p, unsigned size)
{
    switch (size) {
    case 1: return *(const uint8_t *)p;
    case 2: return abi->be ? ld16_be(p) : ld16_le(p);
    case 4: return abi->be ? ld32_be(p) : ld32_le(p);
    default: return abi->be ? ld64_be(p) : ld64_le(p);
    }
}

void guest_st(const struct abi *abi, void *p, unsigned size, uint64_t v)
{
    switch (size) {
    case 1: *(uint8_t *)p = (uint8_t)v; break;
    case 2:
        if (abi->be)
            st16_be(p, (uint16_t)v);
        else
            st16_le(p, (uint16_t)v);
        break;
    case 4:
        if (abi->be)
            st32_be(p, (uint32_t)v);
        else
            st32_le(p, (uint32_t)v);
        break;
    default:
        if (abi->be)
            st64_be(p, v);
        else
            st64_le(p, v);
    }
}

static unsigned kind_size(const struct abi *abi, char kind)
{
    switch (kind | 32) {
    case 'b': return 1;
    case 'h': return 2;
    case 'i': return 4;
    case 'q': return 8;
    default: return abi->long_size;
    }
}

static unsigned kind_align(const struct abi *abi, char kind)
{
    unsigned size = kind_size(abi, kind);
    return abi->max_align && abi->max_align < size ? abi->max_align : size;
}

static bool kind_signed(char kind)
{
    return kind >= 'a' && kind != 'p';
}

static uint64_t host_ld(const void *p, unsigned size, bool sign)
{
    switch (size) {
    case 1: return sign ? (uint64_t)(int64_t) * (const int8_t *)p : *(const uint8_t *)p;
    case 2: return sign ? (uint64_t)(int64_t)(int16_t)ld16_host(p) : ld16_host(p);
    case 4: return sign ? (uint64_t)(int64_t)(int32_t)ld32_host(p) : ld32_host(p);
    default: return ld64_host(p);
    }
}

static void host_st(void *p, unsigned size, uint64_t v)
{
    switch (size) {
    case 1: *(uint8_t *)p = (uint8_t)v; break;
    case 2: st16_host(p, (uint16_t)v); break;
    case 4: st32_host(p, (uint32_t)v); break;
    default: st64_host(p, v);
    }
}

size_t layout_size(const struct abi *abi, const struct layout *l)
{
    size_t off = 0, max = 1;
    for (unsigned i = 0; i < l->n; i++) {
        unsigned size = kind_size(abi, l->field[i].kind), align = kind_align(abi, l->field[i].kind);
        off = ALIGN_UP(off, align) + (size_t)size * l->field[i].count;
        if (align > max) max = align;
    }
    return ALIGN_UP(off, max);
}

void layout_to_guest(const struct abi *abi, const struct layout *l, const void *host,
                     uint8_t *guest)
{
    size_t off = 0;
    memset(guest, 0, layout_size(abi, l));
    for (unsigned i = 0; i < l->n; i++) {
        const struct layout_field *f = &l->field[i];
        unsigned size = kind_size(abi, f->kind);
        off = ALIGN_UP(off, kind_align(abi, f->kind));
        for (unsigned k = 0; k < f->count; k++, off += size)
            if (f->size)
                guest_st(abi, guest + off, size,
                         host_ld((const char *)host + f->off + (size_t)k * f->size, f->size,
                                 kind_signed(f->kind)));
    }
}

void layout_to_host(const struct abi *abi, const struct layout *l, const uint8_t *guest, void *host)
{
    size_t off = 0;
    for (unsigned i = 0; i < l->n; i++) {
        const struct layout_field *f = &l->field[i];
        unsigned size = kind_size(abi, f->kind);
        off = ALIGN_UP(off, kind_align(abi, f->kind));
        for (unsigned k = 0; k < f->count; k++, off += size) {
            if (!f->size) continue;
            uint64_t v = guest_ld(abi, guest + off, size);
            if (kind_signed(f->kind) && size < 8) {
                uint64_t sign = (uint64_t)1 << (size * 8 - 1);
                v = (v ^ sign) - sign;
            }
            host_st((char *)host + f->off + (size_t)k * f->size, f->size, v);
        }
    }
}

int put_layout(struct thread *t, uint64_t addr, const struct layout *l, const void *host)
{
    uint8_t *p = mem_out(t->proc, addr, layout_size(t->proc->abi, l));
    if (!p) return -EFAULT;
    layout_to_guest(t->proc->abi, l, host, p);
    return 0;
}

int get_layout(struct thread *t, uint64_t addr, const struct layout *l, void *host)
{
    const uint8_t *p = mem_in(t->proc, addr, layout_size(t->proc->abi, l));
    if (!p) return -EFAULT;
    layout_to_host(t->proc->abi, l, p, host);
    return 0;
}

int put_scalar(struct thread *t, uint64_t addr, unsigned size, uint64_t v)
{
    uint8_t *p = mem_out(t->proc, addr, size);
    if (!p) return -EFAULT;
    guest_st(t->proc->abi, p, size, v);
    return 0;
}

int get_scalar(struct thread *t, uint64_t addr, unsigned size, uint64_t *v)
{
    const uint8_t *p = mem_in(t->proc, addr, size);
    if (!p) return -EFAULT;
    *v = guest_ld(t->proc->abi, p, size);
    return 0;
}

int put_bytes(struct thread *t, uint64_t addr, const void *src, size_t n)
{
    void *p = mem_out(t->proc, addr, n);
    if (!p) return -EFAULT;
    memcpy(p, src, n);
    return 0;
}

int get_bytes(struct thread *t, uint64_t addr, void *dst, size_t n)
{
    const void *p = mem_in(t->proc, addr, n);
    if (!p) return -EFAULT;
    memcpy(dst, p, n);
    return 0;
}

/* ---- layouts ------------------------------------------------------------------------------- */
#define DEFINE(name, ...)                                                                          \
    static const struct layout_field name##_fields[] = {__VA_ARGS__};                              \
    const struct layout layout_##name = LAYOUT(name##_fields)

DEFINE(timespec, LF('l', timespec, tv_sec), LF('l', timespec, tv_nsec));
DEFINE(timespec64, LF('q', timespec, tv_sec), LF('q', timespec, tv_nsec));
DEFINE(timeval, LF('l', timeval, tv_sec), LF('l', timeval, tv_usec));
DEFINE(timezone, LF('i', timezone, tz_minuteswest), LF('i', timezone, tz_dsttime));
DEFINE(itimerval, LF('l', itimerval, it_interval.tv_sec), LF('l', itimerval, it_interval.tv_usec),
       LF('l', itimerval, it_value.tv_sec), LF('l', itimerval, it_value.tv_usec));
DEFINE(itimerspec, LF('l', itimerspec, it_interval.tv_sec),
       LF('l', itimerspec, it_interval.tv_nsec), LF('l', itimerspec, it_value.tv_sec),
       LF('l', itimerspec, it_value.tv_nsec));
DEFINE(itimerspec64, LF('q', itimerspec, it_interval.tv_sec),
       LF('q', itimerspec, it_interval.tv_nsec), LF('q', itimerspec, it_value.tv_sec),
       LF('q', itimerspec, it_value.tv_nsec));
DEFINE(rusage, LF('l', rusage, ru_utime.tv_sec), LF('l', rusage, ru_utime.tv_usec),
       LF('l', rusage, ru_stime.tv_sec), LF('l', rusage, ru_stime.tv_usec),
       LF('l', rusage, ru_maxrss), LF('l', rusage, ru_ixrss), LF('l', rusage, ru_idrss),
       LF('l', rusage, ru_isrss), LF('l', rusage, ru_minflt), LF('l', rusage, ru_majflt),
       LF('l', rusage, ru_nswap), LF('l', rusage, ru_inblock), LF('l', rusage, ru_oublock),
       LF('l', rusage, ru_msgsnd), LF('l', rusage, ru_msgrcv), LF('l', rusage, ru_nsignals),
       LF('l', rusage, ru_nvcsw), LF('l', rusage, ru_nivcsw));
DEFINE(rlimit, LF('L', rlimit, rlim_cur), LF('L', rlimit, rlim_max));
DEFINE(rlimit64, LF('Q', rlimit, rlim_cur), LF('Q', rlimit, rlim_max));
DEFINE(sysinfo, LF('l', sysinfo, uptime), LA('L', sysinfo, loads, 3), LF('L', sysinfo, totalram),
       LF('L', sysinfo, freeram), LF('L', sysinfo, sharedram), LF('L', sysinfo, bufferram),
       LF('L', sysinfo, totalswap), LF('L', sysinfo, freeswap), LF('H', sysinfo, procs),
       LPAD('H', 1), LF('L', sysinfo, totalhigh), LF('L', sysinfo, freehigh),
       LF('I', sysinfo, mem_unit));
DEFINE(tms, LF('l', tms, tms_utime), LF('l', tms, tms_stime), LF('l', tms, tms_cutime),
       LF('l', tms, tms_cstime));
DEFINE(utimbuf, LF('l', utimbuf, actime), LF('l', utimbuf, modtime));
DEFINE(sched_param, LF('i', sched_param, sched_priority));
DEFINE(winsize, LF('H', winsize, ws_row), LF('H', winsize, ws_col), LF('H', winsize, ws_xpixel),
       LF('H', winsize, ws_ypixel));
DEFINE(statx, LF('I', statx, stx_mask), LF('I', statx, stx_blksize), LF('Q', statx, stx_attributes),
       LF('I', statx, stx_nlink), LF('I', statx, stx_uid), LF('I', statx, stx_gid),
       LF('H', statx, stx_mode), LPAD('H', 1), LF('Q', statx, stx_ino), LF('Q', statx, stx_size),
       LF('Q', statx, stx_blocks), LF('Q', statx, stx_attributes_mask),
#define STATX_TIME(m) LF('q', statx, m.tv_sec), LF('I', statx, m.tv_nsec), LPAD('i', 1)
       STATX_TIME(stx_atime), STATX_TIME(stx_btime), STATX_TIME(stx_ctime), STATX_TIME(stx_mtime),
       LF('I', statx, stx_rdev_major), LF('I', statx, stx_rdev_minor),
       LF('I', statx, stx_dev_major), LF('I', statx, stx_dev_minor), LPAD('Q', 14));

const struct layout *layout_for_time(const struct thread *t)
{
    return t->call->flags & SYS_T64 ? &layout_timespec64 : &layout_timespec;
}

const struct layout *layout_for_itimer(const struct thread *t)
{
    return t->call->flags & SYS_T64 ? &layout_itimerspec64 : &layout_itimerspec;
}
