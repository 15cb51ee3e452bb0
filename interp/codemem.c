/*
 * codemem.c - memory for compiled code: one pool per engine, handed out from bottom to top and reused as a whole.
 *
 * Two views of the same pages, one writable and one executable, so that nothing is ever both; where the host has no
 * anonymous shared memory, one view that is both. Around fork() the child gets a copy of its own: the views of a
 * parent and a child would otherwise share their pages.
 */
#include "interp/tier.h"

#include <errno.h>
#include <unistd.h>
#ifdef HAVE_SYS_MMAN_H
#include <sys/mman.h>
#endif
#ifdef HAVE_MEMFD_CREATE
#include <sys/resource.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#endif

#if defined HAVE_SYS_MMAN_H && defined PROT_EXEC
static int shared_fd(size_t size)
{
#if defined HAVE_MEMFD_CREATE
    struct rlimit most; /* of files, and this is one: going over it is a signal */
    if (getrlimit(RLIMIT_FSIZE, &most) || (most.rlim_cur != RLIM_INFINITY && most.rlim_cur < size)) return -1;
    int fd = memfd_create("quern-code", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, (off_t)size)) {
        close(fd);
        fd = -1;
    }
    return fd;
#else
    (void)size;
    return -1;
#endif
}

static bool map_views(struct codepool *p, int fd, void *rw_at, void *rx_at)
{
    int fixed = rw_at ? MAP_FIXED : 0;
    void *rw = mmap(rw_at, p->size, PROT_READ | PROT_WRITE, MAP_SHARED | fixed, fd, 0);
    if (rw == MAP_FAILED) return false;
    void *rx = mmap(rx_at, p->size, PROT_READ | PROT_EXEC, MAP_SHARED | fixed, fd, 0);
    if (rx == MAP_FAILED) {
        if (!rw_at) munmap(rw, p->size);
        return false;
    }
    p->rw = rw, p->rx = rx;
    return true;
}

bool codepool_init(struct codepool *p, size_t size, struct error *e)
{
    size = ALIGN_UP(size, (size_t)65536);
    *p = (struct codepool){ .size = size, .child_fd = -1 };
    int fd = shared_fd(size);
    if (fd >= 0) {
        bool ok = map_views(p, fd, NULL, NULL);
        close(fd);
        if (ok) {
            p->dual = true;
            return true;
        }
    }
    void *m = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) {
        error_set(e, "no executable memory (%zu bytes): %s", size, strerror(errno));
        return false;
    }
    p->rw = p->rx = m;
    return true;
}

void codepool_free(struct codepool *p)
{
    if (p->rw) munmap(p->rw, p->size);
    if (p->dual) munmap(p->rx, p->size);
    *p = (struct codepool){ .child_fd = -1 };
}

void codepool_before_fork(struct codepool *p)
{
    p->child_fd = -1;
    if (!p->dual || !p->used) return;
    int fd = shared_fd(p->size);
    for (size_t at = 0; fd >= 0 && at < p->used;) {
        ssize_t n = pwrite(fd, p->rw + at, p->used - at, (off_t)at);
        if (n <= 0) {
            close(fd);
            fd = -1;
        } else {
            at += (size_t)n;
        }
    }
    p->child_fd = fd;
}

bool codepool_after_fork(struct codepool *p, bool child)
{
    bool ok = true;
    if (!p->dual || !p->used) ok = !child || !p->dual;
    else if (child) ok = p->child_fd >= 0 && map_views(p, p->child_fd, p->rw, p->rx);
    if (p->child_fd >= 0) close(p->child_fd);
    p->child_fd = -1;
    return ok;
}
#else
bool codepool_init(struct codepool *p, size_t size, struct error *e)
{
    (void)size;
    *p = (struct codepool){ .child_fd = -1 };
    error_set(e, "no executable memory on this host");
    return false;
}
void codepool_free(struct codepool *p) { (void)p; }
void codepool_before_fork(struct codepool *p) { (void)p; }
bool codepool_after_fork(struct codepool *p, bool child) { (void)p, (void)child; return true; }
#endif

/* What has been written will hardly be written again: the host need not keep, and count, two mappings of its pages. */
static void give_back(struct codepool *p, size_t upto)
{
#if defined HAVE_SYS_MMAN_H && defined MADV_DONTNEED
    enum { STEP = 1 << 19 };
    p->written = MIN(p->written, upto / STEP * STEP); /* after a flush it begins again */
    for (; p->dual && upto - p->written >= STEP; p->written += STEP) (void)madvise(p->rw + p->written, STEP, MADV_DONTNEED);
#else
    (void)p, (void)upto;
#endif
}

bool codepool_get(struct codepool *p, size_t n, struct codemem *m)
{
    size_t at = ALIGN_UP(p->used, (size_t)32);
    if (at > p->size || p->size - at < n) return false;
    give_back(p, at);
    p->used = at + n;
    *m = (struct codemem){ p->rw + at, p->rx + at, n };
    return true;
}

#if HOST_GNU
/* AArch64: other threads' processors may hold instructions that they fetched before; each has to synchronise its context. */
static void sync_cores(void)
{
#if defined(__aarch64__) && defined(SYS_membarrier)
    enum { SYNC_CORE = 1 << 5, REGISTER_SYNC_CORE = 1 << 6 };
    if (syscall(SYS_membarrier, SYNC_CORE, 0, 0) && errno == EPERM && !syscall(SYS_membarrier, REGISTER_SYNC_CORE, 0, 0))
        syscall(SYS_membarrier, SYNC_CORE, 0, 0);
#endif
}
#endif

void jit_code_flush_icache(const void *rx, size_t n)
{
#if HOST_GNU
    /* Written through another view: data caches go by physical addresses, and the instructions' is invalidated by rx. */
    __builtin___clear_cache((char *)(uintptr_t)rx, (char *)(uintptr_t)rx + n);
    sync_cores();
#else
    (void)rx, (void)n;
#endif
}
