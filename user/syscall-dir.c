/*
 * syscall-dir.c - calls that name files: status, directories, links, owners, times, attributes.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

/* Declares `name`: the host's path of the string at addr; returns -EFAULT from the function
 * otherwise. */
#define PATH(name, addr, follow)                                                                   \
    char name##_room[PATH_ROOM];                                                                   \
    const char *name = path_guest(t, addr, name##_room, follow);                                   \
    if (!name) return -EFAULT

/* ---- status
 * ---------------------------------------------------------------------------------------- */
static int64_t stat_at(struct thread *t, int dirfd, uint64_t path, uint64_t out, int flags,
                       const struct layout *l)
{
    struct stat st;
    PATH(s, path, !(flags & AT_SYMLINK_NOFOLLOW));
    if (path_is_self_exe(s) && !(flags & AT_SYMLINK_NOFOLLOW)) s = t->proc->exe;
    if (fstatat(dirfd, s, &st, flags)) return -errno;
    return put_layout(t, out, l, &st);
}

static int64_t stat_fd(struct thread *t, int fd, uint64_t out, const struct layout *l)
{
    struct stat st;
    return fstat(fd, &st) ? -errno : put_layout(t, out, l, &st);
}

int64_t sys_stat(struct thread *t, const uint64_t *a)
{
    return stat_at(t, AT_FDCWD, a[0], a[1], 0, t->proc->abi->stat);
}
int64_t sys_lstat(struct thread *t, const uint64_t *a)
{
    return stat_at(t, AT_FDCWD, a[0], a[1], AT_SYMLINK_NOFOLLOW, t->proc->abi->stat);
}
int64_t sys_fstat(struct thread *t, const uint64_t *a)
{
    return stat_fd(t, (int)a[0], a[1], t->proc->abi->stat);
}
int64_t sys_stat64(struct thread *t, const uint64_t *a)
{
    return stat_at(t, AT_FDCWD, a[0], a[1], 0, t->proc->abi->stat64);
}
int64_t sys_lstat64(struct thread *t, const uint64_t *a)
{
    return stat_at(t, AT_FDCWD, a[0], a[1], AT_SYMLINK_NOFOLLOW, t->proc->abi->stat64);
}
int64_t sys_fstat64(struct thread *t, const uint64_t *a)
{
    return stat_fd(t, (int)a[0], a[1], t->proc->abi->stat64);
}
int64_t sys_newfstatat(struct thread *t, const uint64_t *a)
{
    return stat_at(t, (int)a[0], a[1], a[2], (int)a[3], t->proc->abi->stat);
}
int64_t sys_fstatat64(struct thread *t, const uint64_t *a)
{
    return stat_at(t, (int)a[0], a[1], a[2], (int)a[3], t->proc->abi->stat64);
}

int64_t sys_statx(struct thread *t, const uint64_t *a)
{
#ifdef SYS_statx
    struct statx sx;
    PATH(s, a[1], !(a[2] & AT_SYMLINK_NOFOLLOW));
    if (path_is_self_exe(s) && !(a[2] & AT_SYMLINK_NOFOLLOW)) s = t->proc->exe;
    if (syscall(SYS_statx, (int)a[0], s, (int)a[2], (unsigned)a[3], &sx)) return -errno;
    return put_layout(t, a[4], &layout_statx, &sx);
#else
    return -ENOSYS;
#endif
}

static int64_t put_statfs(struct thread *t, int r, uint64_t out, const struct layout *l,
                          const struct statfs *st)
{
    return r ? -errno : put_layout(t, out, l, st);
}

int64_t sys_statfs(struct thread *t, const uint64_t *a)
{
    struct statfs st;
    PATH(s, a[0], true);
    return put_statfs(t, statfs(s, &st), a[1], t->proc->abi->statfs, &st);
}

int64_t sys_fstatfs(struct thread *t, const uint64_t *a)
{
    struct statfs st;
    return put_statfs(t, fstatfs((int)a[0], &st), a[1], t->proc->abi->statfs, &st);
}

int64_t sys_statfs64(struct thread *t, const uint64_t *a)
{
    struct statfs st;
    PATH(s, a[0], true);
    return put_statfs(t, statfs(s, &st), a[2], t->proc->abi->statfs64, &st);
}

int64_t sys_fstatfs64(struct thread *t, const uint64_t *a)
{
    struct statfs st;
    return put_statfs(t, fstatfs((int)a[0], &st), a[2], t->proc->abi->statfs64, &st);
}

static int64_t do_access(struct thread *t, int dirfd, uint64_t path, int mode, int flags)
{
    PATH(s, path, !(flags & AT_SYMLINK_NOFOLLOW));
    if (path_is_self_exe(s)) s = t->proc->exe;
    return sys_ret(faccessat(dirfd, s, mode, flags));
}

int64_t sys_access(struct thread *t, const uint64_t *a)
{
    return do_access(t, AT_FDCWD, a[0], (int)a[1], 0);
}
int64_t sys_faccessat(struct thread *t, const uint64_t *a)
{
    return do_access(t, (int)a[0], a[1], (int)a[2], 0);
}
int64_t sys_faccessat2(struct thread *t, const uint64_t *a)
{
    return do_access(t, (int)a[0], a[1], (int)a[2], (int)a[3]);
}

/* ---- directories
 * ------------------------------------------------------------------------------------- */
/* The host's linux_dirent64: u64 inode, s64 offset, u16 length, u8 type, name */
enum { DIRENT64_NAME = 19 };

/* Positions in a directory may be 64-bit hashes, which a 32-bit C library refuses. The upper half
 * alone orders the entries nearly as well; sys_lseek widens it again for descriptors marked here.
 */
static uint64_t dir_offset(struct thread *t, int fd, uint64_t off)
{
    if (t->proc->abi->long_size == 8 || off <= INT32_MAX) return off;
    if (fd_kind_get(t->proc, fd) != FD_BIGDIR) fd_kind_set(t->proc, fd, FD_BIGDIR);
    return off >> 32 & INT32_MAX;
}

int64_t sys_getdents64(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    uint8_t *buf = mem_out(t->proc, a[1], a[2]);
    if (!buf) return -EFAULT;
    int64_t n = sys_ret(syscall(SYS_getdents64, (int)a[0], buf, (unsigned)a[2]));
    for (int64_t i = 0; i < n;) {
        uint8_t *d = buf + i;
        uint16_t len = ld16_host(d + 16);
        guest_st(abi, d, 8, ld64_host(d));
        guest_st(abi, d + 8, 8, dir_offset(t, (int)a[0], ld64_host(d + 8)));
        guest_st(abi, d + 16, 2, len);
        i += len;
    }
    return n;
}

/* The older form: inode and offset are longs, the type is the record's last byte. Records are no
 * longer than the host's. */
int64_t sys_getdents(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size;
    uint8_t *out = mem_out(t->proc, a[1], a[2]);
    if (!out) return -EFAULT;
    size_t room = (size_t)MIN(a[2], 65536);
    uint8_t *buf = mem_alloc(room);
    int64_t n = sys_ret(syscall(SYS_getdents64, (int)a[0], buf, (unsigned)room)),
            done = n < 0 ? n : 0;
    for (int64_t i = 0; i < n;) {
        const uint8_t *d = buf + i;
        size_t name = strlen((const char *)d + DIRENT64_NAME);
        size_t len = ALIGN_UP(2 * w + 2 + name + 2, (size_t)w);
        uint8_t *o = out + done;
        memset(o, 0, len);
        guest_st(abi, o, w, ld64_host(d));
        guest_st(abi, o + w, w, dir_offset(t, (int)a[0], ld64_host(d + 8)));
        guest_st(abi, o + 2 * w, 2, len);
        memcpy(o + 2 * w + 2, d + DIRENT64_NAME, name + 1);
        o[len - 1] = d[18];
        done += (int64_t)len;
        i += ld16_host(d + 16);
    }
    mem_free(buf);
    return done;
}

int64_t sys_getcwd(struct thread *t, const uint64_t *a)
{
    char *buf = mem_out(t->proc, a[0], a[1]);
    if (!buf) return -EFAULT;
    return sys_ret(syscall(SYS_getcwd, buf, (size_t)a[1]));
}

int64_t sys_chdir(struct thread *t, const uint64_t *a)
{
    PATH(s, a[0], true);
    return sys_ret(chdir(s));
}
int64_t sys_fchdir(struct thread *t, const uint64_t *a)
{
    return sys_ret(fchdir((int)a[0]));
}
int64_t sys_chroot(struct thread *t, const uint64_t *a)
{
    PATH(s, a[0], true);
    return sys_ret(chroot(s));
}

static int64_t do_mkdir(struct thread *t, int dirfd, uint64_t path, mode_t mode)
{
    PATH(s, path, false);
    return sys_ret(mkdirat(dirfd, s, mode));
}
int64_t sys_mkdir(struct thread *t, const uint64_t *a)
{
    return do_mkdir(t, AT_FDCWD, a[0], (mode_t)a[1]);
}
int64_t sys_mkdirat(struct thread *t, const uint64_t *a)
{
    return do_mkdir(t, (int)a[0], a[1], (mode_t)a[2]);
}

static int64_t do_unlink(struct thread *t, int dirfd, uint64_t path, int flags)
{
    PATH(s, path, false);
    return sys_ret(unlinkat(dirfd, s, flags));
}
int64_t sys_rmdir(struct thread *t, const uint64_t *a)
{
    return do_unlink(t, AT_FDCWD, a[0], AT_REMOVEDIR);
}
int64_t sys_unlink(struct thread *t, const uint64_t *a)
{
    return do_unlink(t, AT_FDCWD, a[0], 0);
}
int64_t sys_unlinkat(struct thread *t, const uint64_t *a)
{
    return do_unlink(t, (int)a[0], a[1], (int)a[2]);
}

static int64_t do_rename(struct thread *t, int fd1, uint64_t p1, int fd2, uint64_t p2,
                         unsigned flags)
{
    PATH(from, p1, false);
    PATH(to, p2, false);
    if (flags) return sys_ret(syscall(SYS_renameat2, fd1, from, fd2, to, flags));
    return sys_ret(renameat(fd1, from, fd2, to));
}
int64_t sys_rename(struct thread *t, const uint64_t *a)
{
    return do_rename(t, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
}
int64_t sys_renameat(struct thread *t, const uint64_t *a)
{
    return do_rename(t, (int)a[0], a[1], (int)a[2], a[3], 0);
}
int64_t sys_renameat2(struct thread *t, const uint64_t *a)
{
    return do_rename(t, (int)a[0], a[1], (int)a[2], a[3], (unsigned)a[4]);
}

static int64_t do_link(struct thread *t, int fd1, uint64_t p1, int fd2, uint64_t p2, int flags)
{
    PATH(from, p1, (flags & AT_SYMLINK_FOLLOW) != 0);
    PATH(to, p2, false);
    return sys_ret(linkat(fd1, from, fd2, to, flags));
}
int64_t sys_link(struct thread *t, const uint64_t *a)
{
    return do_link(t, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
}
int64_t sys_linkat(struct thread *t, const uint64_t *a)
{
    return do_link(t, (int)a[0], a[1], (int)a[2], a[3], (int)a[4]);
}

static int64_t do_symlink(struct thread *t, uint64_t target, int dirfd, uint64_t path)
{
    const char *s = mem_str(t->proc, target, 4096);
    if (!s) return -EFAULT;
    PATH(at, path, false);
    return sys_ret(symlinkat(s, dirfd, at));
}
int64_t sys_symlink(struct thread *t, const uint64_t *a)
{
    return do_symlink(t, a[0], AT_FDCWD, a[1]);
}
int64_t sys_symlinkat(struct thread *t, const uint64_t *a)
{
    return do_symlink(t, a[0], (int)a[1], a[2]);
}

static int64_t do_readlink(struct thread *t, int dirfd, uint64_t path, uint64_t out, uint64_t n)
{
    PATH(s, path, false);
    char *buf = mem_out(t->proc, out, n);
    if (!buf) return -EFAULT;
    if ((int64_t)n <= 0) return -EINVAL;
    if (path_is_self_exe(s)) {
        size_t len = MIN(strlen(t->proc->exe), (size_t)n);
        memcpy(buf, t->proc->exe, len);
        return (int64_t)len;
    }
    return sys_ret(readlinkat(dirfd, s, buf, (size_t)n));
}
int64_t sys_readlink(struct thread *t, const uint64_t *a)
{
    return do_readlink(t, AT_FDCWD, a[0], a[1], a[2]);
}
int64_t sys_readlinkat(struct thread *t, const uint64_t *a)
{
    return do_readlink(t, (int)a[0], a[1], a[2], a[3]);
}

/* ---- modes, owners, nodes
 * --------------------------------------------------------------------------------- */
static int64_t do_chmod(struct thread *t, int dirfd, uint64_t path, mode_t mode)
{
    PATH(s, path, true);
    return sys_ret(fchmodat(dirfd, s, mode, 0));
}
int64_t sys_chmod(struct thread *t, const uint64_t *a)
{
    return do_chmod(t, AT_FDCWD, a[0], (mode_t)a[1]);
}
int64_t sys_fchmodat(struct thread *t, const uint64_t *a)
{
    return do_chmod(t, (int)a[0], a[1], (mode_t)a[2]);
}
int64_t sys_fchmod(struct thread *t, const uint64_t *a)
{
    return sys_ret(fchmod((int)a[0], (mode_t)a[1]));
}

static int64_t do_chown(struct thread *t, int dirfd, uint64_t path, uint64_t uid, uint64_t gid,
                        int flags)
{
    PATH(s, path, !(flags & AT_SYMLINK_NOFOLLOW));
    return sys_ret(fchownat(dirfd, s, (uid_t)uid, (gid_t)gid, flags));
}
int64_t sys_chown(struct thread *t, const uint64_t *a)
{
    return do_chown(t, AT_FDCWD, a[0], a[1], a[2], 0);
}
int64_t sys_lchown(struct thread *t, const uint64_t *a)
{
    return do_chown(t, AT_FDCWD, a[0], a[1], a[2], AT_SYMLINK_NOFOLLOW);
}
int64_t sys_fchownat(struct thread *t, const uint64_t *a)
{
    return do_chown(t, (int)a[0], a[1], a[2], a[3], (int)a[4]);
}
int64_t sys_fchown(struct thread *t, const uint64_t *a)
{
    return sys_ret(fchown((int)a[0], (uid_t)a[1], (gid_t)a[2]));
}

static int64_t do_mknod(struct thread *t, int dirfd, uint64_t path, mode_t mode, uint64_t dev)
{
    PATH(s, path, false);
    return sys_ret(mknodat(dirfd, s, mode, (dev_t)dev));
}
int64_t sys_mknod(struct thread *t, const uint64_t *a)
{
    return do_mknod(t, AT_FDCWD, a[0], (mode_t)a[1], a[2]);
}
int64_t sys_mknodat(struct thread *t, const uint64_t *a)
{
    return do_mknod(t, (int)a[0], a[1], (mode_t)a[2], a[3]);
}

int64_t sys_truncate(struct thread *t, const uint64_t *a)
{
    PATH(s, a[0], true);
    return sys_ret(truncate(s, (off_t)a[1]));
}

int64_t sys_umask(struct thread *t, const uint64_t *a)
{
    return umask((mode_t)a[0]);
}

/* ---- times
 * ------------------------------------------------------------------------------------------------
 */
static int64_t set_times(struct thread *t, int dirfd, uint64_t path, const struct timespec *ts,
                         int flags)
{
    if (!path)
        return sys_ret(syscall(SYS_utimensat, dirfd, NULL, ts, flags)); /* the descriptor itself */
    PATH(s, path, !(flags & AT_SYMLINK_NOFOLLOW));
    return sys_ret(utimensat(dirfd, s, ts, flags));
}

int64_t sys_utime(struct thread *t, const uint64_t *a)
{
    struct utimbuf u;
    struct timespec ts[2] = {{0, 0}, {0, 0}};
    if (a[1] && get_layout(t, a[1], &layout_utimbuf, &u)) return -EFAULT;
    if (a[1]) ts[0].tv_sec = u.actime, ts[1].tv_sec = u.modtime;
    return set_times(t, AT_FDCWD, a[0], a[1] ? ts : NULL, 0);
}

static int64_t do_utimes(struct thread *t, int dirfd, uint64_t path, uint64_t times)
{
    struct timespec ts[2];
    for (unsigned i = 0; times && i < 2; i++) {
        struct timeval tv;
        if (get_layout(t, times + i * layout_size(t->proc->abi, &layout_timeval), &layout_timeval,
                       &tv))
            return -EFAULT;
        if (tv.tv_usec < 0 || tv.tv_usec >= 1000000) return -EINVAL;
        ts[i].tv_sec = tv.tv_sec;
        ts[i].tv_nsec = tv.tv_usec * 1000;
    }
    return set_times(t, dirfd, path, times ? ts : NULL, 0);
}
int64_t sys_utimes(struct thread *t, const uint64_t *a)
{
    return do_utimes(t, AT_FDCWD, a[0], a[1]);
}
int64_t sys_futimesat(struct thread *t, const uint64_t *a)
{
    return do_utimes(t, (int)a[0], a[1], a[2]);
}

int64_t sys_utimensat(struct thread *t, const uint64_t *a)
{
    struct timespec ts[2];
    const struct layout *l = layout_for_time(t);
    for (unsigned i = 0; a[2] && i < 2; i++)
        if (get_layout(t, a[2] + i * layout_size(t->proc->abi, l), l, &ts[i])) return -EFAULT;
    return set_times(t, (int)a[0], a[1], a[2] ? ts : NULL, (int)a[3]);
}

/* ---- extended attributes
 * ------------------------------------------------------------------------------------ */
static int64_t do_setxattr(struct thread *t, const uint64_t *a, bool follow)
{
    PATH(s, a[0], follow);
    const char *name = mem_str(t->proc, a[1], 256);
    const void *v = mem_in(t->proc, a[2], a[3]);
    if (!name || (!v && a[3])) return -EFAULT;
    return sys_ret(follow ? setxattr(s, name, v, (size_t)a[3], (int)a[4])
                          : lsetxattr(s, name, v, (size_t)a[3], (int)a[4]));
}
int64_t sys_setxattr(struct thread *t, const uint64_t *a)
{
    return do_setxattr(t, a, true);
}
int64_t sys_lsetxattr(struct thread *t, const uint64_t *a)
{
    return do_setxattr(t, a, false);
}
int64_t sys_fsetxattr(struct thread *t, const uint64_t *a)
{
    const char *name = mem_str(t->proc, a[1], 256);
    const void *v = mem_in(t->proc, a[2], a[3]);
    if (!name || (!v && a[3])) return -EFAULT;
    return sys_ret(fsetxattr((int)a[0], name, v, (size_t)a[3], (int)a[4]));
}

static int64_t do_getxattr(struct thread *t, const uint64_t *a, bool follow)
{
    PATH(s, a[0], follow);
    const char *name = mem_str(t->proc, a[1], 256);
    void *v = a[3] ? mem_out(t->proc, a[2], a[3]) : NULL;
    if (!name || (!v && a[3])) return -EFAULT;
    return sys_ret(follow ? getxattr(s, name, v, (size_t)a[3])
                          : lgetxattr(s, name, v, (size_t)a[3]));
}
int64_t sys_getxattr(struct thread *t, const uint64_t *a)
{
    return do_getxattr(t, a, true);
}
int64_t sys_lgetxattr(struct thread *t, const uint64_t *a)
{
    return do_getxattr(t, a, false);
}
int64_t sys_fgetxattr(struct thread *t, const uint64_t *a)
{
    const char *name = mem_str(t->proc, a[1], 256);
    void *v = a[3] ? mem_out(t->proc, a[2], a[3]) : NULL;
    if (!name || (!v && a[3])) return -EFAULT;
    return sys_ret(fgetxattr((int)a[0], name, v, (size_t)a[3]));
}

static int64_t do_listxattr(struct thread *t, const uint64_t *a, bool follow)
{
    PATH(s, a[0], follow);
    void *v = a[2] ? mem_out(t->proc, a[1], a[2]) : NULL;
    if (!v && a[2]) return -EFAULT;
    return sys_ret(follow ? listxattr(s, v, (size_t)a[2]) : llistxattr(s, v, (size_t)a[2]));
}
int64_t sys_listxattr(struct thread *t, const uint64_t *a)
{
    return do_listxattr(t, a, true);
}
int64_t sys_llistxattr(struct thread *t, const uint64_t *a)
{
    return do_listxattr(t, a, false);
}
int64_t sys_flistxattr(struct thread *t, const uint64_t *a)
{
    void *v = a[2] ? mem_out(t->proc, a[1], a[2]) : NULL;
    return !v && a[2] ? -EFAULT : sys_ret(flistxattr((int)a[0], v, (size_t)a[2]));
}

static int64_t do_removexattr(struct thread *t, const uint64_t *a, bool follow)
{
    PATH(s, a[0], follow);
    const char *name = mem_str(t->proc, a[1], 256);
    if (!name) return -EFAULT;
    return sys_ret(follow ? removexattr(s, name) : lremovexattr(s, name));
}
int64_t sys_removexattr(struct thread *t, const uint64_t *a)
{
    return do_removexattr(t, a, true);
}
int64_t sys_lremovexattr(struct thread *t, const uint64_t *a)
{
    return do_removexattr(t, a, false);
}
int64_t sys_fremovexattr(struct thread *t, const uint64_t *a)
{
    const char *name = mem_str(t->proc, a[1], 256);
    return name ? sys_ret(fremovexattr((int)a[0], name)) : -EFAULT;
}

/* ---- mounts
 * ---------------------------------------------------------------------------------------------------
 */
int64_t sys_mount(struct thread *t, const uint64_t *a)
{
    const char *src = a[0] ? mem_str(t->proc, a[0], 4096) : NULL,
               *type = a[2] ? mem_str(t->proc, a[2], 4096) : NULL;
    const char *data = a[4] ? mem_str(t->proc, a[4], 4096) : NULL;
    if ((a[0] && !src) || (a[2] && !type) || (a[4] && !data)) return -EFAULT;
    PATH(s, a[1], true);
    return sys_ret(mount(src, s, type, (unsigned long)a[3], data));
}

int64_t sys_umount2(struct thread *t, const uint64_t *a)
{
    PATH(s, a[0], true);
    return sys_ret(umount2(s, (int)a[1]));
}

int64_t sys_umount(struct thread *t, const uint64_t *a)
{
    uint64_t b[2] = {a[0], 0};
    return sys_umount2(t, b);
}
