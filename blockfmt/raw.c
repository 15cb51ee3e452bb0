/*
 * raw.c - bytes of a plain file or a host block device as they are, with the advisory locks that
 * keep two programs from writing one image. It is not a format: nothing in the file is interpreted.
 *
 * Locks are Linux open file description locks on single bytes, all of them shared: byte 100 + n
 * says "I use permission n", byte 200 + n says "I do not share permission n"; a conflict is found
 * by asking whether an exclusive lock would be possible on the opposite byte. Permissions: 0
 * consistent read, 1 write, 3 resize. Hosts without such locks have none.
 */
#include "blockfmt/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u

struct raw_file {
    int fd;
    uint64_t file_size; /* real length; the image is rounded up to whole sectors */
};

#ifdef F_OFD_SETLK
enum { PERM_READ = 1 << 0, PERM_WRITE = 1 << 1, PERM_RESIZE = 1 << 3 };

static const char *perm_name(int n)
{
    return n == 0 ? "consistent read" : n == 1 ? "write" : "resize";
}

/* Applies `cmd` to one byte; for F_OFD_GETLK *busy tells whether somebody else holds it. 0 or
 * -errno. */
static int lock_byte(int fd, int cmd, short type, off_t byte, bool *busy)
{
    struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (fcntl(fd, cmd, &fl) < 0) return -errno;
    if (busy) *busy = fl.l_type != F_UNLCK;
    return 0;
}

static int raw_lock(int fd, const char *path, bool readonly, struct error *e)
{
    unsigned used = readonly ? PERM_READ : PERM_READ | PERM_WRITE | PERM_RESIZE;
    unsigned exclusive =
        PERM_WRITE | PERM_RESIZE; /* what no other program may do while we have it open */
    for (int n = 0; n < 4; n++) {
        int rc = 0;
        if (used >> n & 1) rc = lock_byte(fd, F_OFD_SETLK, F_RDLCK, 100 + n, NULL);
        if (!rc && (exclusive >> n & 1)) rc = lock_byte(fd, F_OFD_SETLK, F_RDLCK, 200 + n, NULL);
        /* EINVAL, ENOLCK, ...: the file system has no locks; go without, as any program before
         * locks did. */
        if (rc == -EAGAIN || rc == -EACCES) {
            error_set(e, "cannot lock image '%s': Failed to get \"%s\" lock", path, perm_name(n));
            error_hint(e, "Is another process using the image [%s]?", path);
            return -1;
        }
        if (rc) return 0;
    }
    for (int n = 0; n < 4; n++) {
        bool busy = false;
        if (used >> n & 1) lock_byte(fd, F_OFD_GETLK, F_WRLCK, 200 + n, &busy);
        if (busy) goto conflict;
        if (exclusive >> n & 1) lock_byte(fd, F_OFD_GETLK, F_WRLCK, 100 + n, &busy);
        if (!busy) continue;
    conflict:
        error_set(e, "cannot lock image '%s': Failed to get %s\"%s\" lock", path,
                  (used >> n & 1) ? "" : "shared ", perm_name(n));
        error_hint(e, "Is another process using the image [%s]?", path);
        return -1;
    }
    return 0;
}
#else
static int raw_lock(int fd, const char *path, bool readonly, struct error *e)
{
    return 0;
}
#endif

void *blk_raw_open(const char *path, bool readonly, uint64_t *size, struct error *e)
{
    int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (fd < 0) {
        error_set(e, "Could not open '%s': %s", path, strerror(errno));
        return NULL;
    }
    struct stat st;
    if (fstat(fd, &st) < 0) {
        error_set(e, "Could not open '%s': %s", path, strerror(errno));
        goto fail;
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        error_set(e, "Could not open '%s': %s", path,
                  S_ISDIR(st.st_mode) ? strerror(EISDIR) : "neither a file nor a block device");
        goto fail;
    }
    off_t end = lseek(fd, 0, SEEK_END); /* works for files and block devices */
    if (end < 0) {
        error_set(e, "Could not find the size of '%s': %s", path, strerror(errno));
        goto fail;
    }
    if (raw_lock(fd, path, readonly, e)) goto fail;
    struct raw_file *r = NEW(struct raw_file);
    r->fd = fd;
    r->file_size = (uint64_t)end;
    *size = ALIGN_UP((uint64_t)end, (uint64_t)SECTOR);
    return r;
fail:
    close(fd);
    return NULL;
}

static int raw_read(void *state, uint64_t offset, void *buf, size_t n)
{
    struct raw_file *r = state;
    uint8_t *p = buf;
    while (n) {
        ssize_t got = pread(r->fd, p, n, (off_t)offset);
        if (got < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        if (!got) { /* the tail of the last sector, or a file that shrank: reads as zeros */
            memset(p, 0, n);
            return 0;
        }
        p += got, n -= (size_t)got, offset += (uint64_t)got;
    }
    return 0;
}

static int raw_write(void *state, uint64_t offset, const void *buf, size_t n)
{
    struct raw_file *r = state;
    const uint8_t *p = buf;
    while (n) {
        ssize_t put = pwrite(r->fd, p, n, (off_t)offset);
        if (put < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        if (!put) return -EIO;
        p += put, n -= (size_t)put, offset += (uint64_t)put;
    }
    return 0;
}

static int raw_flush(void *state)
{
    struct raw_file *r = state;
#if defined(_POSIX_SYNCHRONIZED_IO) && _POSIX_SYNCHRONIZED_IO > 0
    return fdatasync(r->fd) < 0 ? -errno : 0;
#else
    return fsync(r->fd) < 0 ? -errno : 0;
#endif
}

static void raw_close(void *state)
{
    struct raw_file *r = state;
    close(r->fd); /* ends the locks too */
    mem_free(r);
}

const struct blk_driver blk_raw_driver = {
    .name = "raw", .read = raw_read, .write = raw_write, .flush = raw_flush, .close = raw_close};
