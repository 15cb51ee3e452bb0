/*
 * syscall-mem.c - calls that map memory; the work is in mem.c.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <sys/mman.h>

static int64_t do_mmap(struct thread *t, const uint64_t *a, uint64_t off)
{
    uint32_t unknown;
    int flags = (int)abi_flags_to_host(t->proc->abi->mmap_flags, (uint32_t)a[3], &unknown);
    if (unknown) LOG(UNIMP, "mmap flags 0x%x\n", (unsigned)unknown);
    /* Type 3 is MAP_SHARED_VALIDATE, whose bits are those of both others. */
    if ((flags & (MAP_SHARED | MAP_PRIVATE)) == (MAP_SHARED | MAP_PRIVATE)) flags &= ~MAP_PRIVATE;
    return mem_mmap(t->proc, a[0], a[1], (int)a[2], flags, flags & MAP_ANONYMOUS ? -1 : (int)a[4],
                    off);
}

int64_t sys_mmap(struct thread *t, const uint64_t *a)
{
    return do_mmap(t, a, a[5]);
}
/* The offset counts units of 4096 bytes whatever the page size is. */
int64_t sys_mmap2(struct thread *t, const uint64_t *a)
{
    return do_mmap(t, a, (uint64_t)(uint32_t)a[5] << 12);
}
int64_t sys_munmap(struct thread *t, const uint64_t *a)
{
    return mem_munmap(t->proc, a[0], a[1]);
}

int64_t sys_mprotect(struct thread *t, const uint64_t *a)
{
    if (a[2] & ~(uint64_t)(PROT_READ | PROT_WRITE | PROT_EXEC | 8 /* PROT_SEM */)) return -EINVAL;
    return mem_mprotect(t->proc, a[0], a[1], (int)a[2]);
}

int64_t sys_mremap(struct thread *t, const uint64_t *a)
{
    return mem_mremap(t->proc, a[0], a[1], a[2], (int)a[3], a[4]);
}

int64_t sys_brk(struct thread *t, const uint64_t *a)
{
    return mem_brk(t->proc, a[0]);
}

static bool in_window(struct thread *t, const uint64_t *a)
{
    return a[0] < t->proc->limit && a[1] <= t->proc->limit - a[0];
}

int64_t sys_madvise(struct thread *t, const uint64_t *a)
{
    if (a[0] & (t->proc->page_size - 1)) return -EINVAL;
    if (!a[1]) return 0;
    if (!in_window(t, a)) return -ENOMEM;
    uint64_t len = ALIGN_UP(a[1], t->proc->page_size);
    /* Advice is taken only where it changes what the guest reads. */
    if ((int)a[2] != MADV_DONTNEED) return 0;
    if (!mem_check(t->proc, a[0], len, 0)) return -ENOMEM;
    for (uint64_t at = a[0]; at < a[0] + len; at += t->proc->page_size)
        if (mem_page(t->proc, at) & PAGE_CODE)
            engine_code_written(t->proc->engine, t->proc->base + at, (size_t)t->proc->page_size);
    int64_t r = sys_ret(madvise(t->proc->base + a[0], (size_t)len, MADV_DONTNEED));
    if (!r) mem_track_range(t->proc, a[0], len);
    return r;
}

int64_t sys_msync(struct thread *t, const uint64_t *a)
{
    if (!in_window(t, a) || !mem_check(t->proc, a[0], a[1], 0)) return -ENOMEM;
    return sys_ret(msync(t->proc->base + a[0], (size_t)a[1], (int)a[2]));
}

int64_t sys_mincore(struct thread *t, const uint64_t *a)
{
    if (a[0] & (t->proc->page_size - 1)) return -EINVAL;
    if (!in_window(t, a) || !mem_check(t->proc, a[0], a[1], 0)) return -ENOMEM;
    void *v = mem_out(t->proc, a[2], ALIGN_UP(a[1], t->proc->page_size) >> t->proc->page_bits);
    return v ? sys_ret(mincore(t->proc->base + a[0], (size_t)a[1], v)) : -EFAULT;
}

int64_t sys_mlock(struct thread *t, const uint64_t *a)
{
    if (!in_window(t, a) || !mem_check(t->proc, ALIGN_DOWN(a[0], t->proc->page_size), a[1], 0))
        return -ENOMEM;
    return sys_ret(mlock(t->proc->base + a[0], (size_t)a[1]));
}
int64_t sys_mlock2(struct thread *t, const uint64_t *a)
{
    return sys_mlock(t, a);
}

int64_t sys_munlock(struct thread *t, const uint64_t *a)
{
    if (!in_window(t, a)) return -ENOMEM;
    return sys_ret(munlock(t->proc->base + a[0], (size_t)a[1]));
}

/* Locking all of the reservation is not what the guest means; saying yes is allowed, since locking
 * cannot be told from the outside. */
int64_t sys_mlockall(struct thread *t, const uint64_t *a)
{
    return 0;
}
int64_t sys_munlockall(struct thread *t, const uint64_t *a)
{
    return 0;
}
int64_t sys_remap_file_pages(struct thread *t, const uint64_t *a)
{
    return -ENOSYS;
}
