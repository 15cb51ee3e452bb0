/*
 * syscall-file.c - calls on open files: reading and writing, descriptors, fcntl, copying between
 * files. By name: syscall-dir.c. Waiting: syscall-event.c.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- what special descriptors hand out
 * ------------------------------------------------------------ */
#define SF(k, m) LF(k, signalfd_siginfo, m)
static const struct layout_field signalfd_fields[] = {
    SF('I', ssi_signo),   SF('i', ssi_errno),  SF('i', ssi_code),   SF('I', ssi_pid),
    SF('I', ssi_uid),     SF('i', ssi_fd),     SF('I', ssi_tid),    SF('I', ssi_band),
    SF('I', ssi_overrun), SF('I', ssi_trapno), SF('i', ssi_status), SF('i', ssi_int),
    SF('Q', ssi_ptr),     SF('Q', ssi_utime),  SF('Q', ssi_stime),  SF('Q', ssi_addr),
    LPAD('Q', 6)};
static const struct layout layout_signalfd = LAYOUT(signalfd_fields);

static void convert_read(struct thread *t, int fd, uint8_t *buf, int64_t n)
{
    const struct abi *abi = t->proc->abi;
    int kind = fd_kind_get(t->proc, fd);
    if (kind == FD_PLAIN || n <= 0) return;
    if (kind == FD_COUNTER && n == 8) {
        guest_st(abi, buf, 8, ld64_host(buf));
    } else if (kind == FD_SIGNALFD) {
        struct signalfd_siginfo s;
        for (; n >= (int64_t)sizeof s; buf += sizeof s, n -= (int64_t)sizeof s) {
            memcpy(&s, buf, sizeof s);
            s.ssi_signo = (uint32_t)abi_sig_to_guest(abi, (int)s.ssi_signo);
            s.ssi_errno = abi_errno_to_guest(abi, s.ssi_errno);
            layout_to_guest(abi, &layout_signalfd, &s, buf);
        }
    } else if (kind == FD_INOTIFY) {
        while (n >= 16) {
            uint32_t len = ld32_host(buf + 12);
            for (int i = 0; i < 4; i++)
                guest_st(abi, buf + 4 * i, 4, ld32_host(buf + 4 * i));
            if (len > n - 16) break;
            buf += 16 + len;
            n -= 16 + len;
        }
    }
}

int64_t sys_read(struct thread *t, const uint64_t *a)
{
    void *buf = mem_out(t->proc, a[1], a[2]);
    if (!buf) return -EFAULT;
    int64_t n = sys_ret(read((int)a[0], buf, (size_t)a[2]));
    convert_read(t, (int)a[0], buf, n);
    return n;
}

int64_t sys_write(struct thread *t, const uint64_t *a)
{
    const void *buf = mem_in(t->proc, a[1], a[2]);
    if (!buf) return -EFAULT;
    uint64_t v;
    if (a[2] == 8 && fd_kind_get(t->proc, (int)a[0]) == FD_COUNTER) {
        v = guest_ld(t->proc->abi, buf, 8);
        buf = &v;
    }
    return sys_ret(write((int)a[0], buf, (size_t)a[2]));
}

int64_t sys_pread64(struct thread *t, const uint64_t *a)
{
    void *buf = mem_out(t->proc, a[1], a[2]);
    return buf ? sys_ret(pread((int)a[0], buf, (size_t)a[2], (off_t)a[3])) : -EFAULT;
}

int64_t sys_pwrite64(struct thread *t, const uint64_t *a)
{
    const void *buf = mem_in(t->proc, a[1], a[2]);
    return buf ? sys_ret(pwrite((int)a[0], buf, (size_t)a[2], (off_t)a[3])) : -EFAULT;
}

int user_get_iov(struct thread *t, uint64_t addr, uint64_t n, bool out, struct iovec **iov)
{
    struct proc *p = t->proc;
    unsigned w = p->abi->long_size;
    *iov = NULL;
    if (n > 1024) return -EINVAL;
    const uint8_t *g = mem_in(p, addr, n * 2 * w);
    if (!g) return -EFAULT;
    struct iovec *v = NEW_ARRAY(struct iovec, n + 1);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t base = guest_ld(p->abi, g + i * 2 * w, w),
                 len = guest_ld(p->abi, g + i * 2 * w + w, w);
        const void *host = !len ? p->base : out ? mem_out(p, base, len) : mem_in(p, base, len);
        if (!host || (int64_t)abi_slong(p->abi, len) < 0) {
            mem_free(v);
            return host ? -EINVAL : -EFAULT;
        }
        v[i].iov_base = (void *)host;
        v[i].iov_len = (size_t)len;
    }
    *iov = v;
    return 0;
}

#ifndef HAVE_PREADV2
static ssize_t preadv2(int fd, const struct iovec *v, int n, off_t at, int flags)
{
    return syscall(SYS_preadv2, fd, v, n, (long)at, (long)((uint64_t)at >> 32), flags);
}

static ssize_t pwritev2(int fd, const struct iovec *v, int n, off_t at, int flags)
{
    return syscall(SYS_pwritev2, fd, v, n, (long)at, (long)((uint64_t)at >> 32), flags);
}
#endif

static int64_t vector_call(struct thread *t, const uint64_t *a, bool out, bool at, int flags)
{
    struct iovec *v;
    int r = user_get_iov(t, a[1], a[2], out, &v);
    if (r) return r;
    int64_t n;
    if (flags)
        n = out ? preadv2((int)a[0], v, (int)a[2], (off_t)a[3], flags)
                : pwritev2((int)a[0], v, (int)a[2], (off_t)a[3], flags);
    else if (at)
        n = out ? preadv((int)a[0], v, (int)a[2], (off_t)a[3])
                : pwritev((int)a[0], v, (int)a[2], (off_t)a[3]);
    else
        n = out ? readv((int)a[0], v, (int)a[2]) : writev((int)a[0], v, (int)a[2]);
    n = sys_ret(n);
    if (out && n > 0 && a[2] == 1) convert_read(t, (int)a[0], v[0].iov_base, n);
    mem_free(v);
    return n;
}

int64_t sys_readv(struct thread *t, const uint64_t *a)
{
    return vector_call(t, a, true, false, 0);
}
int64_t sys_writev(struct thread *t, const uint64_t *a)
{
    return vector_call(t, a, false, false, 0);
}
int64_t sys_preadv(struct thread *t, const uint64_t *a)
{
    return vector_call(t, a, true, true, 0);
}
int64_t sys_pwritev(struct thread *t, const uint64_t *a)
{
    return vector_call(t, a, false, true, 0);
}
int64_t sys_preadv2(struct thread *t, const uint64_t *a)
{
    return vector_call(t, a, true, a[3] != UINT64_MAX, (int)a[4]);
}
int64_t sys_pwritev2(struct thread *t, const uint64_t *a)
{
    return vector_call(t, a, false, a[3] != UINT64_MAX, (int)a[4]);
}

/* ---- opening and descriptors
 * ------------------------------------------------------------------------- */
static int64_t do_open(struct thread *t, int dirfd, uint64_t addr, uint32_t guest_flags,
                       mode_t mode)
{
    char room[PATH_ROOM];
    int flags = (int)abi_flags_to_host(t->proc->abi->open_flags, guest_flags, NULL);
    const char *s = mem_str(t->proc, addr, 4096);
    if (!s) return -EFAULT;
    int fake = path_open_fake(t, s, flags);
    if (fake != -ENOTSUP) return fake;
    s = path_map(t->proc, s, room,
                 !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL));
    int64_t fd = sys_ret(openat(dirfd, s, flags, mode));
    if (fd >= 0) fd_kind_set(t->proc, (int)fd, FD_PLAIN);
    return fd;
}

int64_t sys_open(struct thread *t, const uint64_t *a)
{
    return do_open(t, AT_FDCWD, a[0], (uint32_t)a[1], (mode_t)a[2]);
}
int64_t sys_openat(struct thread *t, const uint64_t *a)
{
    return do_open(t, (int)a[0], a[1], (uint32_t)a[2], (mode_t)a[3]);
}

int64_t sys_creat(struct thread *t, const uint64_t *a)
{
    uint32_t flags = abi_flags_to_guest(t->proc->abi->open_flags, O_CREAT | O_WRONLY | O_TRUNC);
    return do_open(t, AT_FDCWD, a[0], flags, (mode_t)a[1]);
}

int64_t sys_close(struct thread *t, const uint64_t *a)
{
    fd_kind_set(t->proc, (int)a[0], FD_PLAIN);
    int64_t r = sys_ret(close((int)a[0]));
    return r == -EINTR ? 0 : r; /* the descriptor is gone all the same */
}

int64_t sys_close_range(struct thread *t, const uint64_t *a)
{
#ifdef SYS_close_range
    int64_t r = sys_ret(syscall(SYS_close_range, (unsigned)a[0], (unsigned)a[1], (unsigned)a[2]));
    if (!r && !a[2])
        for (uint64_t fd = a[0]; fd <= a[1] && fd < (uint64_t)t->proc->n_fds; fd++)
            fd_kind_set(t->proc, (int)fd, FD_PLAIN);
    return r;
#else
    return -ENOSYS;
#endif
}

static int64_t new_fd_like(struct thread *t, int64_t fd, int like)
{
    if (fd >= 0) fd_kind_set(t->proc, (int)fd, (enum fd_kind)fd_kind_get(t->proc, like));
    return fd;
}

int64_t sys_dup(struct thread *t, const uint64_t *a)
{
    return new_fd_like(t, sys_ret(dup((int)a[0])), (int)a[0]);
}
int64_t sys_dup2(struct thread *t, const uint64_t *a)
{
    return new_fd_like(t, sys_ret(dup2((int)a[0], (int)a[1])), (int)a[0]);
}

int64_t sys_dup3(struct thread *t, const uint64_t *a)
{
    int flags = (int)abi_flags_to_host(t->proc->abi->open_flags, (uint32_t)a[2], NULL);
    return new_fd_like(t, sys_ret(dup3((int)a[0], (int)a[1], flags)), (int)a[0]);
}

int64_t sys_pipe(struct thread *t, const uint64_t *a)
{
    int fd[2];
    if (pipe(fd)) return -errno;
    if (t->proc->abi->pipe_in_regs) {
        t->proc->abi->set_second(t, (uint64_t)fd[1]);
        return fd[0];
    }
    int r = put_scalar(t, a[0], 4, (uint64_t)fd[0]);
    return r ? r : put_scalar(t, a[0] + 4, 4, (uint64_t)fd[1]);
}

int64_t sys_pipe2(struct thread *t, const uint64_t *a)
{
    int fd[2], flags = (int)abi_flags_to_host(t->proc->abi->open_flags, (uint32_t)a[1], NULL);
    if (!mem_out(t->proc, a[0], 8)) return -EFAULT;
    if (pipe2(fd, flags)) return -errno;
    put_scalar(t, a[0], 4, (uint64_t)fd[0]);
    return put_scalar(t, a[0] + 4, 4, (uint64_t)fd[1]);
}

static int64_t do_lseek(struct thread *t, int fd, off_t off, int whence)
{
    bool big = fd_kind_get(t->proc, fd) == FD_BIGDIR; /* see syscall-dir.c */
    off_t r = lseek(fd, big && whence == SEEK_SET ? (off_t)((uint64_t)off << 32) : off, whence);
    return r == -1 ? -errno : big ? r >> 32 : r;
}

int64_t sys_lseek(struct thread *t, const uint64_t *a)
{
    return do_lseek(t, (int)a[0], (off_t)a[1], (int)a[2]);
}

int64_t sys__llseek(struct thread *t, const uint64_t *a)
{
    int64_t r = do_lseek(t, (int)a[0], (off_t)(a[1] << 32 | (uint32_t)a[2]), (int)a[4]);
    return r < 0 ? r : put_scalar(t, a[3], 8, (uint64_t)r);
}

/* ---- fcntl
 * ------------------------------------------------------------------------------------------- */
static int64_t do_lock(struct thread *t, int fd, int cmd, uint64_t addr, const struct layout *l)
{
    struct flock f;
    memset(&f, 0, sizeof f);
    int r = get_layout(t, addr, l, &f);
    if (r) return r;
    int64_t ret = sys_ret(fcntl(fd, cmd, &f));
    bool get = cmd == F_GETLK;
#ifdef F_OFD_GETLK
    get |= cmd == F_OFD_GETLK;
#endif
    if (!ret && get) ret = put_layout(t, addr, l, &f);
    return ret;
}

int64_t sys_fcntl(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    int fd = (int)a[0], cmd = (int)a[1];
    int lock64 = abi->fcntl_lock64 ? abi->fcntl_lock64 : 33;
    if (abi->long_size == 4 && cmd >= lock64 && cmd <= lock64 + 2) {
        static const int host[] = {F_GETLK, F_SETLK, F_SETLKW};
        return do_lock(t, fd, host[cmd - lock64], a[2], abi->flock64);
    }
    cmd = abi_num_to_host(abi->fcntls, cmd);
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: return new_fd_like(t, sys_ret(fcntl(fd, cmd, (int)a[2])), fd);
    case F_GETFD:
    case F_SETFD:
    case F_GETOWN:
    case F_SETOWN:
    case F_GETLEASE:
    case F_SETLEASE:
    case F_NOTIFY:
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ:
    case 1033: /* F_ADD_SEALS */
    case 1034: return sys_ret(fcntl(fd, cmd, (int)a[2]));
    case F_GETFL: {
        int64_t r = sys_ret(fcntl(fd, F_GETFL));
        if (r < 0) return r;
        uint32_t g = abi_flags_to_guest(abi->open_flags, (uint32_t)r);
        return g;
    }
    case F_SETFL:
        return sys_ret(
            fcntl(fd, F_SETFL, (int)abi_flags_to_host(abi->open_flags, (uint32_t)a[2], NULL)));
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW: return do_lock(t, fd, cmd, a[2], abi->flock);
#ifdef F_OFD_GETLK
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW: return do_lock(t, fd, cmd, a[2], abi->flock64);
#endif
    case F_SETSIG: {
        int sig = a[2] ? abi_sig_to_host(abi, (int)a[2]) : 0;
        return a[2] && !sig ? -EINVAL : sys_ret(fcntl(fd, F_SETSIG, sig));
    }
    case F_GETSIG: {
        int64_t r = sys_ret(fcntl(fd, F_GETSIG));
        return r > 0 ? abi_sig_to_guest(abi, (int)r) : r;
    }
    case F_SETOWN_EX:
    case F_GETOWN_EX: {
        struct f_owner_ex o;
        uint64_t v[2];
        if (cmd == F_SETOWN_EX) {
            if (get_scalar(t, a[2], 4, &v[0]) || get_scalar(t, a[2] + 4, 4, &v[1])) return -EFAULT;
            o.type = (int)v[0];
            o.pid = (pid_t)v[1];
            return sys_ret(fcntl(fd, cmd, &o));
        }
        if (fcntl(fd, cmd, &o)) return -errno;
        int r = put_scalar(t, a[2], 4, (uint64_t)o.type);
        return r ? r : put_scalar(t, a[2] + 4, 4, (uint64_t)o.pid);
    }
    default: LOG(UNIMP, "fcntl command %d\n", (int)a[1]); return -EINVAL;
    }
}

int64_t sys_fcntl64(struct thread *t, const uint64_t *a)
{
    return sys_fcntl(t, a);
}

/* ---- whole files
 * -------------------------------------------------------------------------------------- */
int64_t sys_fsync(struct thread *t, const uint64_t *a)
{
    return sys_ret(fsync((int)a[0]));
}
int64_t sys_fdatasync(struct thread *t, const uint64_t *a)
{
    return sys_ret(fdatasync((int)a[0]));
}
int64_t sys_syncfs(struct thread *t, const uint64_t *a)
{
    return sys_ret(syncfs((int)a[0]));
}
int64_t sys_flock(struct thread *t, const uint64_t *a)
{
    return sys_ret(flock((int)a[0], (int)a[1]));
}
int64_t sys_ftruncate(struct thread *t, const uint64_t *a)
{
    return sys_ret(ftruncate((int)a[0], (off_t)a[1]));
}
int64_t sys_readahead(struct thread *t, const uint64_t *a)
{
    return sys_ret(readahead((int)a[0], (off64_t)a[1], (size_t)a[2]));
}

int64_t sys_sync(struct thread *t, const uint64_t *a)
{
    sync();
    return 0;
}

int64_t sys_fallocate(struct thread *t, const uint64_t *a)
{
    return sys_ret(fallocate((int)a[0], (int)a[1], (off_t)a[2], (off_t)a[3]));
}

int64_t sys_fadvise64(struct thread *t, const uint64_t *a)
{
    return -posix_fadvise((int)a[0], (off_t)a[1], (off_t)a[2], (int)a[3]);
}

int64_t sys_sync_file_range(struct thread *t, const uint64_t *a)
{
    return sys_ret(sync_file_range((int)a[0], (off64_t)a[1], (off64_t)a[2], (unsigned)a[3]));
}

int64_t sys_memfd_create(struct thread *t, const uint64_t *a)
{
    const char *name = mem_str(t->proc, a[0], 4096);
    return name ? sys_ret(memfd_create(name, (unsigned)a[1])) : -EFAULT;
}

/* ---- copying inside the kernel
 * ------------------------------------------------------------------------ */
static int64_t do_sendfile(struct thread *t, const uint64_t *a, unsigned size)
{
    off_t off;
    uint64_t v;
    if (a[2]) {
        if (get_scalar(t, a[2], size, &v)) return -EFAULT;
        off = size == 4 ? (int32_t)v : (off_t)v;
    }
    int64_t r = sys_ret(sendfile((int)a[0], (int)a[1], a[2] ? &off : NULL, (size_t)a[3]));
    if (r >= 0 && a[2] && put_scalar(t, a[2], size, (uint64_t)off)) return -EFAULT;
    return r;
}

int64_t sys_sendfile(struct thread *t, const uint64_t *a)
{
    return do_sendfile(t, a, t->proc->abi->long_size);
}
int64_t sys_sendfile64(struct thread *t, const uint64_t *a)
{
    return do_sendfile(t, a, 8);
}

/* splice and copy_file_range: fd, offset, fd, offset, length, flags */
static int64_t between(struct thread *t, const uint64_t *a, bool copy)
{
    loff_t off[2];
    loff_t *po[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        uint64_t v;
        if (!a[1 + 2 * i]) continue;
        if (get_scalar(t, a[1 + 2 * i], 8, &v)) return -EFAULT;
        off[i] = (loff_t)v;
        po[i] = &off[i];
    }
    int64_t r =
        copy ? copy_file_range((int)a[0], po[0], (int)a[2], po[1], (size_t)a[4], (unsigned)a[5])
             : splice((int)a[0], po[0], (int)a[2], po[1], (size_t)a[4], (unsigned)a[5]);
    r = sys_ret(r);
    for (int i = 0; i < 2 && r >= 0; i++)
        if (po[i] && put_scalar(t, a[1 + 2 * i], 8, (uint64_t)off[i])) return -EFAULT;
    return r;
}

int64_t sys_splice(struct thread *t, const uint64_t *a)
{
    return between(t, a, false);
}
int64_t sys_copy_file_range(struct thread *t, const uint64_t *a)
{
    return between(t, a, true);
}
int64_t sys_tee(struct thread *t, const uint64_t *a)
{
    return sys_ret(tee((int)a[0], (int)a[1], (size_t)a[2], (unsigned)a[3]));
}

int64_t sys_vmsplice(struct thread *t, const uint64_t *a)
{
    struct iovec *v;
    int r = user_get_iov(t, a[1], a[2], false, &v);
    if (r) return r;
    int64_t n = sys_ret(vmsplice((int)a[0], v, (size_t)a[2], (unsigned)a[3]));
    mem_free(v);
    return n;
}
