/*
 * file.c - protocols "file" and "host_device": bytes of plain files and host block devices, holes, and the advisory
 * locks that keep two programs from writing one image. Nothing in the file is interpreted here.
 *
 * Locks are Linux open file description locks on single bytes, all of them shared: byte 100 + n says "I use
 * permission n", byte 200 + n says "I do not share permission n"; a conflict is found by asking whether an exclusive
 * lock would be possible on the opposite byte. Hosts without such locks have none.
 */
#include "blockfmt/aio.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <sys/uio.h>
#include <unistd.h>
#ifdef HAVE_LINUX_FS_H
#include <linux/fs.h>
#include <sys/ioctl.h>
#endif
#ifdef HAVE_LINUX_FALLOC_H
#include <linux/falloc.h>
#endif

#define LOCK_USED   100
#define LOCK_KEPT   200 /* not shared */
#define LOCKED_PERM (BLK_PERM_READ | BLK_PERM_WRITE | BLK_PERM_RESIZE)

struct file {
    int fd, new_fd; /* new_fd: between the two halves of a reopen, or -1 */
    bool regular, no_locks, direct;
    bool no_punch, no_zero, no_holes; /* the file system cannot */
    atomic_bool no_nowait;            /* nor this */
    unsigned used, kept;              /* locks held, by permission */
    const struct aio_engine *engine;  /* NULL: threads */
    pthread_mutex_t lock;             /* of data_start, data_end */
    uint64_t data_start, data_end;    /* a run of data that was found; where others make holes, zeros are read */
};

/* ---- locks ---------------------------------------------------------------------------------------- */

#ifdef F_OFD_SETLK
/* For F_OFD_GETLK *busy tells whether somebody else holds the byte. 0 or -errno. */
static int lock_byte(int fd, int cmd, short type, off_t byte, bool *busy)
{
    struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (fcntl(fd, cmd, &fl) < 0) return -errno;
    if (busy) *busy = fl.l_type != F_UNLCK;
    return 0;
}

static void unlock_but(int fd, unsigned used, unsigned kept)
{
    for (unsigned n = 0; n < 5; n++) {
        if (!(used >> n & 1)) lock_byte(fd, F_OFD_SETLK, F_UNLCK, LOCK_USED + (off_t)n, NULL);
        if (!(kept >> n & 1)) lock_byte(fd, F_OFD_SETLK, F_UNLCK, LOCK_KEPT + (off_t)n, NULL);
    }
}

static int conflict(const char *path, unsigned n, bool shared, struct error *e)
{
    error_set(e, "Failed to get %s\"%s\" lock", shared ? "shared " : "", blk_perm_name(n));
    error_hint(e, "Is another process using the image [%s]?", path);
    return -EAGAIN;
}

/* Takes the bytes and looks for conflicts; what was held stays held on failure. */
static int take_locks(int fd, const char *path, unsigned used, unsigned kept, struct error *e)
{
    for (unsigned n = 0; n < 5; n++) {
        for (int k = 0; k < 2; k++) {
            int rc = 0;
            if ((k ? kept : used) >> n & 1)
                rc = lock_byte(fd, F_OFD_SETLK, F_RDLCK, (k ? LOCK_KEPT : LOCK_USED) + (off_t)n, NULL);
            if (rc == -EAGAIN || rc == -EACCES) return conflict(path, n, k, e);
            /* EINVAL, ENOLCK, ...: the file system has no locks; go without, as any program before locks did. */
            if (rc) return 0;
        }
    }
    for (unsigned n = 0; n < 5; n++) {
        bool busy = false;
        if (used >> n & 1) lock_byte(fd, F_OFD_GETLK, F_WRLCK, LOCK_KEPT + (off_t)n, &busy);
        if (busy) return conflict(path, n, false, e);
        if (kept >> n & 1) lock_byte(fd, F_OFD_GETLK, F_WRLCK, LOCK_USED + (off_t)n, &busy);
        if (busy) return conflict(path, n, true, e);
    }
    return 0;
}
#else
static void unlock_but(int fd, unsigned used, unsigned kept) {}
static int take_locks(int fd, const char *path, unsigned used, unsigned kept, struct error *e) { return 0; }
#endif

static int file_set_perm(struct blk_node *n, unsigned perm, unsigned shared, struct error *e)
{
    struct file *f = blk_state(n);
    unsigned used = perm & LOCKED_PERM, kept = ~shared & LOCKED_PERM;
    int rc;

    if (f->no_locks) return 0;
    rc = take_locks(f->fd, blk_node_filename(n), used, kept, e);
    if (rc) unlock_but(f->fd, f->used, f->kept);
    else unlock_but(f->fd, used, kept), f->used = used, f->kept = kept;
    return rc;
}

/* ---- opening -------------------------------------------------------------------------------------- */

static int open_fd(const char *path, unsigned flags, struct error *e)
{
    int mode = (flags & BLK_RDONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK; /* a fifo must not stop us */
    int fd, rc;

#ifdef O_DIRECT
    if (flags & BLK_DIRECT) mode |= O_DIRECT;
#endif
    fd = open(path, mode);
    if (fd >= 0) return fd;
    rc = -errno;
    if (rc == -EINVAL && (flags & BLK_DIRECT))
        error_set(e, "file system on '%s' does not support O_DIRECT", path);
    error_set(e, "Could not open '%s': %s", path, strerror(-rc));
    return rc;
}

static int check_kind(int fd, const char *path, bool *regular, struct error *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0) return error_set(e, "Could not stat file '%s': %s", path, strerror(errno)), -EIO;
    *regular = S_ISREG(st.st_mode);
    if (*regular || S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)) return 0;
    if (S_ISDIR(st.st_mode)) return error_set(e, "Could not open '%s': %s", path, strerror(EISDIR)), -EISDIR;
    error_set(e, "Could not open '%s': neither a file nor a device", path);
    return -EINVAL;
}

/* aio=, or what the flags say. What this build has not is an error; what this kernel will not do is said, and done by threads. */
static int find_engine(struct file *f, const struct opts *o, unsigned flags, struct error *e)
{
    const char *name = opts_get(o, "aio");
    int rc;

    if (!name) name = flags & BLK_NATIVE_AIO ? "native" : flags & BLK_IO_URING ? "io_uring" : "threads";
    if (!strcmp(name, "threads")) return 0;
    if (strcmp(name, "native") && strcmp(name, "io_uring")) return error_set(e, "invalid parameter value: %s", name), -EINVAL;
    if (!strcmp(name, "native") && !(flags & BLK_DIRECT))
        return error_set(e, "aio=native was specified, but it requires cache.direct=on, which was not specified."), -EINVAL;
    f->engine = aio_find(name);
    if (!f->engine) return error_set(e, "aio=%s was specified, but is not supported in this build.", name), -ENOTSUP;
    rc = aio_try(f->engine);
    if (!rc) return 0;
    error_warn("aio=%s: the kernel does not let us (%s), threads are used", name, strerror(-rc));
    f->engine = NULL;
    return 0;
}

static int file_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct file *f = blk_state(n);
    const char *path = opts_get(o, "filename"), *s;
    off_t end;
    int rc;

    if (!path) return error_set(e, "The 'file' block driver requires a file name"), -EINVAL;
    rc = find_engine(f, o, flags, e);
    if (rc) return rc;
    if ((s = opts_get(o, "locking"))) {
        if (!strcmp(s, "off")) f->no_locks = true;
        else if (strcmp(s, "on") && strcmp(s, "auto"))
            return error_set(e, "Invalid parameter '%s' for locking", s), -EINVAL;
    }
    if (flags & BLK_FORCE_SHARE) f->no_locks = true;
    f->new_fd = -1;
    f->fd = open_fd(path, flags, e);
    if (f->fd < 0) return f->fd;
    rc = check_kind(f->fd, path, &f->regular, e);
    end = rc ? -1 : lseek(f->fd, 0, SEEK_END); /* works for files and block devices */
    if (!rc && end < 0) rc = -errno, error_set(e, "Could not get size of '%s': %s", path, strerror(-rc));
    if (rc) {
        close(f->fd);
        return rc;
    }
    pthread_mutex_init(&f->lock, NULL);
    f->direct = (flags & BLK_DIRECT) != 0;
    if (f->direct) blk_set_limits(n, 4096, 0);
    blk_set_size(n, (uint64_t)end);
    return 0;
}

static void file_close(struct blk_node *n)
{
    struct file *f = blk_state(n);
    if (f->new_fd >= 0) close(f->new_fd);
    close(f->fd); /* ends the locks too */
    pthread_mutex_destroy(&f->lock);
}

static int file_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    struct file *f = blk_state(n);
    struct stat a, b;

    if (prepare) {
        if (f->new_fd >= 0) close(f->new_fd);
        f->new_fd = open_fd(blk_node_filename(n), flags, e);
        if (f->new_fd < 0) return f->new_fd;
        if (!fstat(f->fd, &a) && !fstat(f->new_fd, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino) return 0;
        close(f->new_fd), f->new_fd = -1;
        return error_set(e, "'%s' is another file now", blk_node_filename(n)), -ESTALE;
    }
    if (f->new_fd < 0) return -EINVAL;
#ifdef F_OFD_SETLK
    for (unsigned i = 0; i < 5; i++) { /* without a moment in which nobody holds them */
        if (f->used >> i & 1) lock_byte(f->new_fd, F_OFD_SETLK, F_RDLCK, LOCK_USED + (off_t)i, NULL);
        if (f->kept >> i & 1) lock_byte(f->new_fd, F_OFD_SETLK, F_RDLCK, LOCK_KEPT + (off_t)i, NULL);
    }
#endif
    close(f->fd);
    f->fd = f->new_fd, f->new_fd = -1;
    f->direct = (flags & BLK_DIRECT) != 0;
    blk_set_limits(n, f->direct ? 4096 : 1, 0);
    return 0;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static int file_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct file *f = blk_state(n);
    uint8_t *p = buf;

    while (len) {
        ssize_t got = pread(f->fd, p, len, (off_t)offset);
        if (got < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        if (!got) { /* the end of the file, which may have shrunk */
            memset(p, 0, len);
            return 0;
        }
        p += got, len -= (size_t)got, offset += (uint64_t)got;
    }
    return 0;
}

#ifdef RWF_NOWAIT
static int file_read_now(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct file *f = blk_state(n);
    struct iovec v = {buf, len};
    ssize_t got;

    if (f->direct || atomic_load_explicit(&f->no_nowait, memory_order_relaxed)) return -EAGAIN;
    got = preadv2(f->fd, &v, 1, (off_t)offset, RWF_NOWAIT);
    if (got == (ssize_t)len) return 0;
    if (got < 0 && errno != EAGAIN && errno != EINTR) atomic_store(&f->no_nowait, true);
    return -EAGAIN; /* errors too: read says which */
}
#endif

static int file_start(struct blk_node *n, struct blk_flight *f, struct blk_stop *s)
{
    const struct file *file = blk_state(n);

    if (!file->engine) return -EAGAIN;
    f->engine = file->engine, f->fd = file->fd, f->file_offset = s->offset;
    return 0;
}

static int file_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct file *f = blk_state(n);
    const uint8_t *p = buf;

    while (len) {
        ssize_t put = pwrite(f->fd, p, len, (off_t)offset);
        if (put < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        if (!put) return -EIO;
        p += put, len -= (size_t)put, offset += (uint64_t)put;
    }
    return 0;
}

#if defined(__linux__) && defined(SYS_copy_file_range)
static int file_copy_from(struct blk_node *n, uint64_t offset, struct blk_node *from, uint64_t from_offset, uint64_t len)
{
    const struct file *f = blk_state(n), *g = blk_state(from);
    int64_t in = (int64_t)from_offset, out = (int64_t)offset;

    if (!f->regular || !g->regular) return -ENOTSUP;
    while (len) {
        long k = syscall(SYS_copy_file_range, g->fd, &in, f->fd, &out, (size_t)MIN(len, UINT64_C(1) << 30), 0u);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0)
            return errno == ENOSYS || errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == EPERM || errno == EBADF
                       ? -ENOTSUP : -errno;
        if (!k) return -ENOTSUP; /* the source ends in the middle of its last sector */
        len -= (uint64_t)k;
    }
    return 0;
}
#else
#define file_copy_from NULL
#endif

static void set_data(struct file *f, uint64_t start, uint64_t end)
{
    pthread_mutex_lock(&f->lock);
    f->data_start = start, f->data_end = end;
    pthread_mutex_unlock(&f->lock);
}

/* Where the run of data ends that is known at this offset; 0: none is. */
static uint64_t data_end(struct file *f, uint64_t offset)
{
    pthread_mutex_lock(&f->lock);
    uint64_t end = offset >= f->data_start && offset < f->data_end ? f->data_end : 0;
    pthread_mutex_unlock(&f->lock);
    return end;
}

static int file_flush(struct blk_node *n)
{
    struct file *f = blk_state(n);

    if (blk_node_flags(n) & BLK_NO_FLUSH) return 0;
#if defined(_POSIX_SYNCHRONIZED_IO) && _POSIX_SYNCHRONIZED_IO > 0
    return fdatasync(f->fd) < 0 ? -errno : 0;
#else
    return fsync(f->fd) < 0 ? -errno : 0;
#endif
}

#if defined(__linux__) && defined(FALLOC_FL_PUNCH_HOLE) && defined(FALLOC_FL_ZERO_RANGE)
static int allocate(int fd, int mode, uint64_t offset, uint64_t len)
{
    int rc;
    do rc = fallocate(fd, mode, (off_t)offset, (off_t)len);
    while (rc < 0 && errno == EINTR);
    if (!rc) return 0;
    return errno == ENOSYS || errno == ENODEV || errno == EOPNOTSUPP || errno == EINVAL ? -ENOTSUP : -errno;
}

static int file_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    struct file *f = blk_state(n);
    int rc;

    if (f->no_punch) return -ENOTSUP;
    set_data(f, 0, 0);
    rc = allocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len);
    if (rc == -ENOTSUP) f->no_punch = true;
    return rc;
}

static int file_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct file *f = blk_state(n);
    int rc;

    if ((flags & BLK_MAY_UNMAP) && !f->no_punch) {
        rc = file_discard(n, offset, len);
        /* The last byte makes the file long enough; a longer one stays as it is. */
        if (!rc && (flags & BLK_RESIZE)) rc = f->direct ? -ENOTSUP : file_write(n, offset + len - 1, "", 1, 0);
        if (rc != -ENOTSUP) return rc;
    }
    set_data(f, 0, 0);
    rc = f->no_zero ? -ENOTSUP : allocate(f->fd, FALLOC_FL_ZERO_RANGE, offset, len);
    if (rc != -ENOTSUP) return rc;
    f->no_zero = true;
    /* A hole that is filled again does as well. */
    rc = f->no_punch || !f->regular ? -ENOTSUP : allocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len);
    return rc ? rc : allocate(f->fd, 0, offset, len);
}
#else
static int file_discard(struct blk_node *n, uint64_t offset, uint64_t len) { return -ENOTSUP; }
static int file_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags) { return -ENOTSUP; }
#endif

static int file_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct file *f = blk_state(n);

    st->flags = BLK_ST_DATA | BLK_ST_OFFSET;
    st->offset = offset, st->file = n;
#if defined(SEEK_DATA) && defined(SEEK_HOLE)
    if (!f->regular || f->no_holes) return 0;
    /* To find the end of a run takes some file systems as long as the run is; so that is done once for a run. */
    uint64_t end = data_end(f, offset);
    if (end) return st->bytes = MIN(len, end - offset), 0;
    off_t data = lseek(f->fd, (off_t)offset, SEEK_DATA), hole;
    if (data < 0) {
        if (errno == ENXIO) st->flags = BLK_ST_ZERO | BLK_ST_OFFSET; /* nothing but a hole up to the end */
        else f->no_holes = true;
        return 0;
    }
    if ((uint64_t)data > offset) {
        st->flags = BLK_ST_ZERO | BLK_ST_OFFSET;
        st->bytes = MIN(len, (uint64_t)data - offset);
        return 0;
    }
    hole = lseek(f->fd, (off_t)offset, SEEK_HOLE);
    if (hole > (off_t)offset) {
        /* The hole behind the end is none: the last bytes of an odd length belong to its sector. */
        end = (uint64_t)hole < blk_node_size(n) ? (uint64_t)hole : ALIGN_UP(blk_node_size(n), 512);
        if (end > offset) st->bytes = MIN(len, end - offset);
        set_data(f, offset, end);
    }
#endif
    return 0;
}

/* ---- structure ------------------------------------------------------------------------------------ */

static int file_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    struct file *f = blk_state(n);
    uint64_t old = blk_node_size(n);
    int rc = 0;

    set_data(f, 0, 0);
    if (!f->regular) {
        if (size > old) return error_set(e, "Cannot grow device files"), -EINVAL;
        return 0; /* a smaller image on a device just uses less of it */
    }
    if (prealloc == BLK_PREALLOC_METADATA)
        return error_set(e, "Unsupported preallocation mode 'metadata'"), -ENOTSUP;
    if (prealloc != BLK_PREALLOC_OFF && size < old)
        return error_set(e, "Preallocation can't be used for shrinking files"), -ENOTSUP;
    if (prealloc == BLK_PREALLOC_FALLOC && size > old) {
        do rc = posix_fallocate(f->fd, (off_t)old, (off_t)(size - old));
        while (rc == EINTR);
        if (rc) rc = -rc, error_set(e, "Could not preallocate data for the new file: %s", strerror(-rc));
    } else if (prealloc == BLK_PREALLOC_FULL && size > old) {
        size_t unit = 1 << 20;
        uint8_t *zeros = blk_alloc_aligned(unit);
        memset(zeros, 0, unit);
        for (uint64_t at = old; at < size && !rc; at += unit)
            rc = file_write(n, at, zeros, (size_t)MIN((uint64_t)unit, size - at), 0);
        blk_free_aligned(zeros);
        if (!rc && fsync(f->fd) < 0) rc = -errno;
        if (rc) error_set(e, "Could not write zeros for preallocation: %s", strerror(-rc));
    } else {
        do rc = ftruncate(f->fd, (off_t)size) < 0 ? -errno : 0;
        while (rc == -EINTR);
        if (rc) error_set(e, "Failed to resize the file: %s", strerror(-rc));
    }
    if (rc && size > old && ftruncate(f->fd, (off_t)old) < 0) error_hint(e, "The file is longer than it was.");
    return rc;
}

static int file_info(struct blk_node *n, struct blk_info *i)
{
    struct file *f = blk_state(n);
    struct stat st;

    if (fstat(f->fd, &st) < 0) return -errno;
    i->allocated = (uint64_t)st.st_blocks * 512;
    i->zero_init = f->regular;
    i->is_host_device = !f->regular;
    return 0;
}

/* Files in which nothing is yet. A file system that knows no such attribute does without it. */
static void no_cow(int fd)
{
#if defined(FS_IOC_SETFLAGS) && defined(FS_NOCOW_FL)
    int flags;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0) return;
    flags |= FS_NOCOW_FL;
    (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
#endif
}

/* 0: no hint. -1 and errno. */
static int set_extent_hint(int fd, uint32_t hint)
{
#if defined(FS_IOC_FSSETXATTR) && defined(FS_XFLAG_EXTSIZE)
    struct fsxattr a;

    if (!hint) return 0;
    if (ioctl(fd, FS_IOC_FSGETXATTR, &a) < 0) return -1;
    a.fsx_xflags |= FS_XFLAG_EXTSIZE;
    a.fsx_extsize = hint;
    return ioctl(fd, FS_IOC_FSSETXATTR, &a) < 0 ? -1 : 0;
#else
    return hint ? errno = ENOTSUP, -1 : 0;
#endif
}

static int file_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    uint64_t size = opts_size(o, "size", 0);
    const char *pre = opts_get(o, "preallocation");
    uint64_t hint = opts_size(o, "extent_size_hint", 0);
    enum blk_prealloc prealloc = BLK_PREALLOC_OFF;
    bool regular;
    int fd, rc;

    if (hint > UINT32_MAX) return error_set(e, "Extent size hint is too large"), -EINVAL;
    if (!strncmp(filename, "file:", 5)) filename += 5;
    if (pre && blk_parse_prealloc(pre, &prealloc))
        return error_set(e, "Invalid parameter '%s' for preallocation", pre), -EINVAL;
    /* Emptied only when nobody else uses it. */
    fd = open(filename, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
    if (fd < 0) return rc = -errno, error_set(e, "Could not create '%s': %s", filename, strerror(-rc)), rc;
    rc = check_kind(fd, filename, &regular, e);
    if (!rc) rc = take_locks(fd, filename, BLK_PERM_WRITE | BLK_PERM_RESIZE, BLK_PERM_WRITE | BLK_PERM_RESIZE, e);
    if (!rc && !regular) {
        off_t end = lseek(fd, 0, SEEK_END);
        if (end < 0 || (uint64_t)end < size)
            rc = -ENOSPC, error_set(e, "The image size is too large: device '%s' is smaller", filename);
    } else if (!rc && ftruncate(fd, 0) < 0) {
        rc = -errno, error_set(e, "Could not empty '%s': %s", filename, strerror(-rc));
    } else if (!rc) {
        if (opts_bool(o, "nocow", false)) no_cow(fd);
        if (opts_get(o, "extent_size_hint") && set_extent_hint(fd, (uint32_t)hint))
            error_warn("Failed to set extent size hint: %s", strerror(errno));
    }
    close(fd);
    if (rc || !regular || !size) return rc;
    struct blk_node *n = blk_open_file(g, filename, 0, e);
    if (!n) return -EIO;
    rc = blk_node_truncate(n, size, prealloc, e);
    blk_node_unref(n);
    return rc;
}

static const struct opt_desc file_opts[] = {
    {"aio", OPT_STRING, "threads (the default), native or io_uring"},
    {"locking", OPT_STRING, "on, off or auto"},
    {"pr-manager", OPT_STRING, NULL},
    {NULL, OPT_STRING, NULL},
};

static const struct blk_create_opt file_create_opts[] = {
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {"nocow", OPT_BOOL, "Turn off copy-on-write (valid only on btrfs)", NULL},
    {"extent_size_hint", OPT_SIZE, "Extent size hint for the image file, 0 to disable", NULL},
    {"preallocation", OPT_STRING, "Preallocation mode (allowed values: off, falloc, full)", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};

#ifndef RWF_NOWAIT
#define file_read_now NULL
#endif

#define FILE_COMMON                                                                                                            \
    .kind = BLK_PROTOCOL, .locking = BLK_LOCK_OWN, .grows = true, .state_size = sizeof(struct file), .open_opts = file_opts,   \
    .open = file_open, .close = file_close, .reopen = file_reopen, .read = file_read, .read_now = file_read_now,               \
    .start = file_start, .copy_from = file_copy_from, .write = file_write, .zero = file_zero, .discard = file_discard,         \
    .flush = file_flush, .status = file_status, .truncate = file_truncate, .info = file_info, .set_perm = file_set_perm,       \
    .create = file_create, .create_opts = file_create_opts

const struct blk_driver blk_drv_file = {.name = "file", FILE_COMMON};

static int device_probe(const char *filename)
{
    struct stat st;
    return !stat(filename, &st) && (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)) ? 100 : 0;
}

const struct blk_driver blk_drv_host_device = {.name = "host_device", .probe_device = device_probe, FILE_COMMON};
