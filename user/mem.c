/*
 * mem.c - the guest's address space: a window reserved in the host's, a byte of flags per page,
 * and the calls that map into it.
 *
 * Guest address + proc->base is the host address. Pages are as large as the larger of 4 KiB and
 * the host's, so host protection can follow the guest's page by page. Pages that hold translated
 * code are write-protected on the host (PAGE_CODE); a write by the guest faults and drops the
 * translations, a write by a call does the same ahead (mem_out).
 *
 * Lock order: the engine may call mem_user_code_page with locks of its own held, so the engine is
 * never called with mem_lock held.
 */
#include "user/abi.h"

#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#define PROT_MASK (PAGE_READ | PAGE_WRITE | PAGE_EXEC)

static inline uint64_t page_of(const struct proc *p, uint64_t addr)
{
    return addr >> p->page_bits;
}
static inline uint64_t page_up(const struct proc *p, uint64_t n)
{
    return ALIGN_UP(n, p->page_size);
}

/* Bytes on either side of the window that are nobody's. */
static uint64_t guard_size(const struct abi *abi, uint64_t page_size)
{
    if (sizeof(void *) < 8) return 0;
    return ALIGN_UP(abi->long_size == 8 || abi->reg64 ? CPU_GUARD64 : CPU_GUARD, page_size);
}

int mem_init(struct proc *p, uint64_t limit, uint64_t base, uint64_t page_size, struct error *e)
{
    uint64_t host_page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (page_size < host_page) page_size = host_page;
    if (page_size < CPU_PAGE_SIZE) page_size = CPU_PAGE_SIZE;
    p->page_size = page_size;
    p->page_bits = host_ctz64(page_size);
    if (limit > SIZE_MAX / 2 + 1)
        limit = SIZE_MAX / 4 + 1; /* a 32-bit host: as much as may be had */
    limit = ALIGN_DOWN(limit, page_size);
    /* Where the host has the room, the window of a 32-bit guest is complete: the engine then lets protection judge every
     * address, and one that has no page (the kernel's half, an access over the end) must not reach anything of ours. */
    uint64_t beyond = 0;
    if (sizeof(void *) == 8 && limit <= UINT64_C(1) << 32) beyond = (UINT64_C(1) << 32) + page_size - limit;
    /* Compiled code adds displacements to host addresses: what lies around must not be anybody's. */
    uint64_t guard = guard_size(p->abi, page_size);
    if (base && base < guard + 0x10000)
        return error_set(e, "the address of -B is too low: 0x%llx is the lowest", (unsigned long long)guard + 0x10000);
    if (base) base -= guard;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#ifdef MAP_FIXED_NOREPLACE
    if (base) flags |= MAP_FIXED_NOREPLACE;
#endif
    void *m = MAP_FAILED;
    for (;; limit /= 2) {
        m = mmap((void *)(uintptr_t)base, (size_t)(limit + beyond + 2 * guard), PROT_NONE, flags, -1, 0);
        if (m != MAP_FAILED || base || sizeof(size_t) > 4 || limit < 0x20000000) break;
    }
    if (m == MAP_FAILED || (base && m != (void *)(uintptr_t)base)) {
        if (m != MAP_FAILED) munmap(m, (size_t)(limit + beyond + 2 * guard));
        error_set(e, "cannot reserve %llu MiB of address space for the guest%s: %s",
                  (unsigned long long)((limit + beyond) >> 20), base ? " at the address of -B" : "",
                  strerror(errno));
        error_hint(e, "check the limit on virtual memory (ulimit -v)%s",
                   base ? ", or leave -B out" : "");
        return -1;
    }
    p->base = (uint8_t *)m + guard;
    p->guard = guard;
    p->limit = limit;
    p->window = limit + beyond;
    size_t n = (size_t)(limit >> p->page_bits);
    void *flags_table =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (flags_table == MAP_FAILED)
        return error_set(e, "no memory for the guest's page flags: %s", strerror(errno));
    p->pages = flags_table;
    pthread_mutex_init(&p->mem_lock, NULL);
    p->mmap_top = limit;
    return 0;
}

void mem_fini(struct proc *p)
{
    munmap(p->pages, (size_t)(p->limit >> p->page_bits));
    munmap(p->base - p->guard, (size_t)(p->window + 2 * p->guard));
    pthread_mutex_destroy(&p->mem_lock);
}

unsigned mem_page(struct proc *p, uint64_t addr)
{
    return addr < p->limit ? p->pages[page_of(p, addr)] : 0;
}

bool mem_check(struct proc *p, uint64_t addr, uint64_t len, unsigned want)
{
    if (addr >= p->limit || len > p->limit - addr) return false;
    if (!len) return true;
    for (uint64_t n = page_of(p, addr), last = page_of(p, addr + len - 1); n <= last; n++)
        if ((p->pages[n] & (want | PAGE_USED)) != (want | PAGE_USED)) return false;
    return true;
}

const void *mem_in(struct proc *p, uint64_t addr, uint64_t len)
{
    return mem_check(p, addr, len, PAGE_READ) ? p->base + addr : NULL;
}

/* Would the host refuse a write that the guest may make? */
static bool write_noted(const struct proc *p, uint64_t n)
{
    return (p->pages[n] & PAGE_CODE) || (p->track && p->track->armed[n]);
}

void *mem_out(struct proc *p, uint64_t addr, uint64_t len)
{
    if (!mem_check(p, addr, len, PAGE_WRITE)) return NULL;
    if (len)
        for (uint64_t n = page_of(p, addr), last = page_of(p, addr + len - 1); n <= last; n++)
            if (write_noted(p, n)) mem_code_fault(p, p->base + (n << p->page_bits));
    return p->base + addr;
}

const char *mem_str(struct proc *p, uint64_t addr, size_t max)
{
    for (uint64_t a = addr; a - addr < max;) {
        if (!(mem_page(p, a) & PAGE_READ)) return NULL;
        uint64_t end = MIN(ALIGN_DOWN(a, p->page_size) + p->page_size, addr + max);
        if (memchr(p->base + a, 0, (size_t)(end - a))) return (const char *)(p->base + addr);
        a = end;
    }
    return NULL;
}

/* ---- translated code ------------------------------------------------------------------------- */
const uint8_t *mem_user_code(struct cpu *cpu, uint64_t va)
{
    struct proc *p = ((struct thread *)cpu->bus)->proc;
    unsigned f = mem_page(p, va);
    /* As on the many machines without an execute-inhibit bit, readable pages are executable. */
    return f & (PAGE_EXEC | PAGE_READ) ? p->base + (va & CPU_PAGE_MASK) : NULL;
}

void mem_user_code_page(struct cpu *cpu, uint64_t va)
{
    struct proc *p = ((struct thread *)cpu->bus)->proc;
    if (va >= p->limit) return;
    pthread_mutex_lock(&p->mem_lock);
    uint64_t n = page_of(p, va);
    if ((p->pages[n] & PAGE_USED) && !(p->pages[n] & PAGE_CODE)) {
        if (p->pages[n] & PAGE_WRITE)
            mprotect(p->base + (n << p->page_bits), (size_t)p->page_size, PROT_READ);
        p->pages[n] |= PAGE_CODE;
    }
    pthread_mutex_unlock(&p->mem_lock);
}

/* A page in lockstep is written for the first time. Runs in signal handlers too. */
static void track_write(struct proc *p, uint64_t n)
{
    struct page_track *t = p->track;
    if (!t->armed[n]) return;
    if (t->save && t->n < t->most)
        memcpy(t->before + (t->n << p->page_bits), p->base + (n << p->page_bits), (size_t)p->page_size);
    if (t->save && t->n > t->most / 2) cpu_kick(p->threads->cpu); /* while there is room */
    t->list[t->n++] = n;
    t->armed[n] = 0;
}

struct opening { struct proc *p; uint64_t n; };

static void open_page(void *opaque)
{
    struct opening *o = opaque;
    struct proc *p = o->p;
    p->pages[o->n] &= (uint8_t)~PAGE_CODE;
    mprotect(p->base + (o->n << p->page_bits), (size_t)p->page_size, PROT_READ | PROT_WRITE);
}

/* Runs in signal handlers too, so without mem_lock. Under the engine's, as mem_user_code_page: protection and flag agree, and no
 * code is read between the end of its translations and the write. */
bool mem_code_fault(struct proc *p, const void *host)
{
    uint64_t va = (uint64_t)((const uint8_t *)host - p->base);
    if (va >= p->limit) return false;
    uint64_t n = page_of(p, va);
    unsigned f = p->pages[n];
    if ((f & (PAGE_USED | PAGE_WRITE)) != (PAGE_USED | PAGE_WRITE)) return false;
    if (p->track) track_write(p, n);
    /* Without the flag another thread was just ahead of us: the next try will tell. */
    engine_code_pages_open(p->engine, p->base + (n << p->page_bits), (size_t)p->page_size, open_page, &(struct opening){ p, n });
    return true;
}

/* Touches a page that ought to be there: a file may have become shorter than its mapping. */
static bool touch(struct thread *t, const volatile uint8_t *page)
{
    sigjmp_buf recover, *outer = t->recover;
    sig_atomic_t in_syscall = t->in_syscall;
    bool ok;
    t->recover = &recover;
    t->in_syscall = 1; /* a fault leads to recover */
    if (!sigsetjmp(recover, 0)) {
        (void)*page;
        ok = true;
    } else {
        ok = false;
    }
    t->in_syscall = in_syscall;
    t->recover = outer;
    return ok;
}

uint8_t *mem_user_debug(struct cpu *cpu, uint64_t va, bool write)
{
    struct proc *p = ((struct thread *)cpu->bus)->proc;
    unsigned f = mem_page(p, va);
    /* The asking thread is not always the one whose memory it is. */
    if (!(f & PAGE_USED) || !(f & PAGE_READ) || !thread_current || !p->sig) return NULL;
    if (!touch(thread_current, p->base + va)) return NULL;
    if (write && (!(f & PAGE_WRITE) || (f & PAGE_CODE)) &&
        mprotect(p->base + ALIGN_DOWN(va, p->page_size), (size_t)p->page_size, PROT_READ | PROT_WRITE))
        return NULL;
    return p->base + va;
}

void mem_user_debug_done(struct cpu *cpu, uint64_t va)
{
    struct proc *p = ((struct thread *)cpu->bus)->proc;
    pthread_mutex_lock(&p->mem_lock);
    unsigned f = mem_page(p, va);
    if (!(f & PAGE_WRITE) || (f & PAGE_CODE))
        mprotect(p->base + ALIGN_DOWN(va, p->page_size), (size_t)p->page_size, PROT_READ);
    pthread_mutex_unlock(&p->mem_lock);
}

/* Drops translations of a range whose mapping has changed. `had`: some page was PAGE_CODE. */
static void code_gone(struct proc *p, uint64_t addr, uint64_t len, bool had)
{
    if (had && p->engine) engine_code_written(p->engine, p->base + addr, (size_t)len);
}

/* ---- a process in lockstep, and the one that follows it --------------------------------------------- */
static bool set_pages(struct proc *, uint64_t addr, uint64_t len, unsigned flags);
static int host_prot(int prot);

/* Writes to the range are noted from now on. False: the host refuses. */
static bool arm(struct proc *p, uint64_t addr, uint64_t len)
{
    uint64_t end = page_of(p, addr + len);
    bool ok = true;
    for (uint64_t n = page_of(p, addr); n < end;) {
        uint64_t from = n;
        for (; n < end && (p->pages[n] & PAGE_USED) && (p->pages[n] & PAGE_WRITE); n++)
            p->track->armed[n] = 1;
        if (n > from) ok &= !mprotect(p->base + (from << p->page_bits), (size_t)((n - from) << p->page_bits), PROT_READ);
        for (; n < end && !((p->pages[n] & PAGE_USED) && (p->pages[n] & PAGE_WRITE)); n++)
            if (p->track->armed[n]) p->track->armed[n] = 0; /* reading takes no memory */
    }
    return ok;
}

void mem_track_range(struct proc *p, uint64_t addr, uint64_t len)
{
    if (!p->track || !p->follower) return;
    for (uint64_t n = page_of(p, addr); n < page_of(p, addr + len); n++)
        if (p->pages[n] & PAGE_USED) p->track->list[p->track->n++] = n;
}

static size_t list_room(const struct proc *p) { return (size_t)(p->limit >> p->page_bits) * 4 + 65536; }

bool mem_track(struct proc *p)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, prot = PROT_READ | PROT_WRITE;
    struct page_track *t = NEW(struct page_track);
    t->most = 400000;
    void *armed = mmap(NULL, (size_t)(p->limit >> p->page_bits), prot, flags, -1, 0);
    void *list = mmap(NULL, list_room(p) * sizeof *t->list, prot, flags, -1, 0);
    void *before = mmap(NULL, t->most << p->page_bits, prot, flags, -1, 0);
    if (armed == MAP_FAILED || list == MAP_FAILED || before == MAP_FAILED) {
        mem_free(t);
        return false;
    }
    t->armed = armed, t->list = list, t->before = before;
    p->track = t;
    return arm(p, 0, p->limit);
}

void mem_untrack(struct proc *p)
{
    struct page_track *t = p->track;
    if (!t) return;
    for (uint64_t n = 0, end = p->limit >> p->page_bits; n < end; n++)
        if (t->armed[n] && !(p->pages[n] & PAGE_CODE))
            mprotect(p->base + (n << p->page_bits), (size_t)p->page_size, PROT_READ | PROT_WRITE);
    p->track = NULL;
    munmap(t->armed, (size_t)(p->limit >> p->page_bits));
    munmap(t->list, list_room(p) * sizeof *t->list);
    munmap(t->before, t->most << p->page_bits);
    mem_free(t->shared);
    mem_free(t);
}

bool mem_track_again(struct proc *p)
{
    struct page_track *t = p->track;
    bool ok = true;
    for (size_t i = 0; i < t->n; i++) {
        /* neighbours together, as stacks and buffers are */
        uint64_t from = t->list[i], n = 1;
        while (i + 1 < t->n && t->list[i + 1] == from + n) i++, n++;
        ok &= arm(p, from << p->page_bits, n << p->page_bits);
    }
    t->n = 0;
    return ok;
}

/* p's range has just been mapped so: the follower gets memory of its own with the same contents. Nothing that it writes reaches
 * a file or another process: the first process has done that. */
static void follow_map(struct proc *p, uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off)
{
    struct proc *f = p->follower;
    bool shared = !(flags & MAP_PRIVATE), copy = shared;
    if (!f) return;
    flags = (flags & (MAP_ANONYMOUS | MAP_NORESERVE)) | MAP_PRIVATE | MAP_FIXED;
    if (mmap(f->base + addr, (size_t)len, host_prot(prot), flags, fd, (off_t)off) == MAP_FAILED) {
        mmap(f->base + addr, (size_t)len, host_prot(prot), MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        copy = true;
    }
    if (set_pages(f, addr, len, p->pages[page_of(p, addr)])) code_gone(f, addr, len, true);
    if (shared) {
        struct page_track *t = p->track;
        t->shared = mem_realloc(t->shared, (t->n_shared + 1) * sizeof *t->shared);
        t->shared[t->n_shared].addr = addr, t->shared[t->n_shared].len = len;
        t->n_shared++;
    }
    arm(p, addr, len);
    arm(f, addr, len);
    if (copy) mem_track_range(p, addr, len);
}

static bool unmap(struct proc *p, uint64_t addr, uint64_t len);
static void follow_unmap(struct proc *p, uint64_t addr, uint64_t len)
{
    if (!p->follower) return;
    if (unmap(p->follower, addr, len)) code_gone(p->follower, addr, len, true);
    arm(p, addr, len); /* nothing there: forgets */
    arm(p->follower, addr, len);
}

static void follow_protect(struct proc *p, uint64_t addr, uint64_t len, int prot)
{
    struct proc *f = p->follower;
    bool had = false;
    if (!f) return;
    mprotect(f->base + addr, (size_t)len, host_prot(prot));
    for (uint64_t n = page_of(p, addr); n < page_of(p, addr + len); n++) {
        had |= (f->pages[n] & PAGE_CODE) != 0;
        f->pages[n] = p->pages[n];
    }
    code_gone(f, addr, len, had);
    arm(p, addr, len);
    arm(f, addr, len);
}

/* The contents come from where they were; what the follower's pages hold is theirs. */
static void follow_move(struct proc *p, uint64_t old, uint64_t old_len, uint64_t at, uint64_t new_len)
{
    struct proc *f = p->follower;
    if (!f) return;
    if (at != old) follow_unmap(p, old, old_len);
    else if (new_len < old_len) follow_unmap(p, old + new_len, old_len - new_len);
    if (at == old && new_len <= old_len) return;
    uint64_t from = at == old ? old + old_len : at, len = at + new_len - from;
    mmap(f->base + from, (size_t)len, host_prot(p->pages[page_of(p, at)] & PROT_MASK),
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (set_pages(f, from, len, p->pages[page_of(p, at)])) code_gone(f, from, len, true);
    arm(p, at, new_len);
    arm(f, from, len);
    mem_track_range(p, from, len);
}

bool mem_touch(struct thread *t, uint64_t addr)
{
    return (mem_page(t->proc, addr) & PAGE_READ) && touch(t, t->proc->base + addr);
}

static bool all_zero(const uint8_t *p, size_t n) { return !*p && !memcmp(p, p + 1, n - 1); }

int mem_clone(struct proc *to, struct proc *from, struct error *e)
{
    if (mem_init(to, from->limit, 0, from->page_size, e)) return -1;
    if (to->limit != from->limit) return error_set(e, "no room for a second copy of the guest's memory");
    const uint64_t end = page_of(to, to->limit);
    for (uint64_t n = 0; n < end;) {
        uint64_t first = n, addr = n << to->page_bits;
        unsigned flags = from->pages[n] & ~(unsigned)PAGE_CODE;
        while (n < end && (from->pages[n] & ~(unsigned)PAGE_CODE) == flags) n++;
        if (!(flags & PAGE_USED)) continue;
        size_t len = (size_t)((n - first) << to->page_bits);
        if (mmap(to->base + addr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
            return error_set(e, "no memory for a second copy of the guest's: %s", strerror(errno));
        for (uint64_t at = addr; at < addr + len; at += to->page_size)
            if (mem_touch(thread_current, at) && !all_zero(from->base + at, (size_t)to->page_size))
                memcpy(to->base + at, from->base + at, (size_t)to->page_size);
        mprotect(to->base + addr, len, host_prot((int)(flags & PROT_MASK)));
        set_pages(to, addr, len, flags);
    }
    return 0;
}

/* ---- the page table ----------------------------------------------------------------------------
 */
static bool set_pages(struct proc *p, uint64_t addr, uint64_t len, unsigned flags)
{
    bool had = false;
    for (uint64_t n = page_of(p, addr), end = page_of(p, addr + len); n < end; n++) {
        had |= (p->pages[n] & PAGE_CODE) != 0;
        p->pages[n] = (uint8_t)flags;
    }
    return had;
}

static bool range_free(struct proc *p, uint64_t addr, uint64_t len)
{
    if (addr >= p->limit || len > p->limit - addr) return false;
    for (uint64_t n = page_of(p, addr), end = page_of(p, addr + len); n < end; n++)
        if (p->pages[n]) return false;
    return true;
}

/* Highest free range below mmap_top, else the lowest above. 0: none */
static uint64_t find_free(struct proc *p, uint64_t len, uint64_t align)
{
    uint64_t need = len >> p->page_bits, run = 0;
    uint64_t lowest = page_of(p, 0x10000);
    for (uint64_t n = page_of(p, p->mmap_top); n-- > lowest;) {
        run = p->pages[n] ? 0 : run + 1;
        if (run >= need) {
            uint64_t at = n << p->page_bits;
            if (ALIGN_DOWN(at + (run - need) * p->page_size, align) >= at)
                return ALIGN_DOWN(at + (run - need) * p->page_size, align);
        }
    }
    return 0;
}

static int host_prot(int prot)
{
    /* The host never executes guest memory; what the guest may execute must be readable. */
    int h = prot & (PROT_READ | PROT_WRITE);
    if (prot & (PROT_EXEC | PROT_WRITE)) h |= PROT_READ;
    return h;
}

static unsigned page_flags(int prot, bool shared)
{
    unsigned f = PAGE_USED | (shared ? PAGE_SHARED : 0);
    if (prot & PROT_READ) f |= PAGE_READ;
    if (prot & PROT_WRITE) f |= PAGE_WRITE | PAGE_READ;
    if (prot & PROT_EXEC) f |= PAGE_EXEC | PAGE_READ;
    return f;
}

int64_t mem_mmap(struct proc *p, uint64_t addr, uint64_t len, int prot, int flags, int fd,
                 uint64_t off)
{
    if (!len) return -EINVAL;
    if (off & (p->page_size - 1)) return -EINVAL;
    if (len > p->limit) return -ENOMEM;
    len = page_up(p, len);
    bool fixed = (flags & MAP_FIXED) != 0, noreplace = false;
#ifdef MAP_FIXED_NOREPLACE
    noreplace = (flags & MAP_FIXED_NOREPLACE) != 0;
    flags &= ~MAP_FIXED_NOREPLACE;
#endif
    flags &= ~(MAP_FIXED | MAP_GROWSDOWN);
#ifdef MAP_32BIT
    flags &= ~MAP_32BIT;
#endif
    pthread_mutex_lock(&p->mem_lock);
    int64_t ret;
    if (fixed || noreplace) {
        if (addr & (p->page_size - 1)) {
            ret = -EINVAL;
            goto out;
        }
        if (addr >= p->limit || len > p->limit - addr) {
            ret = -ENOMEM;
            goto out;
        }
        if (noreplace && !range_free(p, addr, len)) {
            ret = -EEXIST;
            goto out;
        }
    } else {
        addr = page_up(p, addr);
        if (addr < 0x10000 || !range_free(p, addr, len)) {
            /* Shared mappings keep the widest colour a cache may need. */
            addr =
                find_free(p, len, flags & MAP_SHARED ? MAX(p->page_size, 0x10000) : p->page_size);
            if (!addr) {
                ret = -ENOMEM;
                goto out;
            }
        }
    }
    void *m = mmap(p->base + addr, (size_t)len, host_prot(prot), flags | MAP_FIXED, fd, (off_t)off);
    if (m == MAP_FAILED) {
        ret = -errno;
        goto out;
    }
    bool had = set_pages(p, addr, len, page_flags(prot, (flags & MAP_SHARED) != 0));
    follow_map(p, addr, len, prot, flags, fd, off);
    pthread_mutex_unlock(&p->mem_lock);
    code_gone(p, addr, len, had);
    return (int64_t)addr;
out:
    pthread_mutex_unlock(&p->mem_lock);
    return ret;
}

/* Gives a range back to the reservation. */
static bool unmap(struct proc *p, uint64_t addr, uint64_t len)
{
    mmap(p->base + addr, (size_t)len, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return set_pages(p, addr, len, 0);
}

int64_t mem_munmap(struct proc *p, uint64_t addr, uint64_t len)
{
    if ((addr & (p->page_size - 1)) || !len || addr >= p->limit || len > p->limit - addr)
        return -EINVAL;
    len = page_up(p, len);
    pthread_mutex_lock(&p->mem_lock);
    bool had = unmap(p, addr, len);
    follow_unmap(p, addr, len);
    pthread_mutex_unlock(&p->mem_lock);
    code_gone(p, addr, len, had);
    return 0;
}

int64_t mem_mprotect(struct proc *p, uint64_t addr, uint64_t len, int prot)
{
    if (addr & (p->page_size - 1)) return -EINVAL;
    len = page_up(p, len);
    if (!len) return 0;
    if (addr >= p->limit || len > p->limit - addr) return -ENOMEM;
    pthread_mutex_lock(&p->mem_lock);
    for (uint64_t n = page_of(p, addr); n < page_of(p, addr + len); n++)
        if (!(p->pages[n] & PAGE_USED)) {
            pthread_mutex_unlock(&p->mem_lock);
            return -ENOMEM;
        }
    if (mprotect(p->base + addr, (size_t)len, host_prot(prot))) {
        int err = errno;
        pthread_mutex_unlock(&p->mem_lock);
        return -err;
    }
    bool had = false;
    for (uint64_t n = page_of(p, addr); n < page_of(p, addr + len); n++) {
        had |= (p->pages[n] & PAGE_CODE) != 0;
        p->pages[n] = (uint8_t)(page_flags(prot, false) | (p->pages[n] & PAGE_SHARED));
    }
    follow_protect(p, addr, len, prot);
    pthread_mutex_unlock(&p->mem_lock);
    code_gone(p, addr, len, had);
    return 0;
}

/* Pages that we have write-protected make pieces of a mapping, which the host does not move together. Translations in
 * the range are to be dropped if the result is true. */
static bool join_pieces(struct proc *p, uint64_t addr, uint64_t len)
{
    const uint64_t first = page_of(p, addr), end = page_of(p, addr + len);
    const unsigned f = p->pages[first] & ~(unsigned)PAGE_CODE;
    bool had = false;
    for (uint64_t n = first; n < end; n++) {
        if ((p->pages[n] & ~(unsigned)PAGE_CODE) != f) return false; /* the guest has made pieces of it too */
        had |= (p->pages[n] & PAGE_CODE) != 0;
    }
    for (uint64_t n = first; n < end; n++) p->pages[n] = (uint8_t)f;
    mprotect(p->base + addr, (size_t)len, host_prot((int)(f & PROT_MASK)));
    return had;
}

int64_t mem_mremap(struct proc *p, uint64_t old, uint64_t old_len, uint64_t new_len, int flags,
                   uint64_t new_addr)
{
    bool fixed = (flags & MREMAP_FIXED) != 0, may_move = (flags & MREMAP_MAYMOVE) != 0, had = false;
    if ((old & (p->page_size - 1)) || !new_len ||
        (fixed && (!may_move || (new_addr & (p->page_size - 1)))))
        return -EINVAL;
    if (flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE)) return -EINVAL;
    old_len = page_up(p, old_len);
    new_len = page_up(p, new_len);
    if (!old_len || !new_len || new_len > p->limit) return !old_len || !new_len ? -EINVAL : -ENOMEM;
    if (!mem_check(p, old, old_len, 0)) return -EFAULT;
    if (fixed && (new_addr >= p->limit || new_len > p->limit - new_addr)) return -EINVAL;
    if (fixed && new_addr < old + old_len && old < new_addr + new_len) return -EINVAL;
    pthread_mutex_lock(&p->mem_lock);
    unsigned f = p->pages[page_of(p, old)] & ~(unsigned)PAGE_CODE;
    uint64_t at = old;
    int64_t ret = 0;
    if (!fixed && new_len <= old_len) {
        if (new_len < old_len) had = unmap(p, old + new_len, old_len - new_len);
    } else {
        bool grow = !fixed && range_free(p, old + old_len, new_len - old_len);
        if (fixed)
            at = new_addr;
        else if (!grow)
            at = may_move ? find_free(p, new_len, p->page_size) : 0;
        if (!at) {
            ret = -ENOMEM;
        } else {
            /* The pages behind lie in the reservation, so growing in place is a move onto itself:
             * through a spare place, since the host refuses overlapping moves. */
            if (grow) munmap(p->base + old + old_len, (size_t)(new_len - old_len));
            had = join_pieces(p, old, old_len);
            void *m = mremap(p->base + old, (size_t)old_len, (size_t)new_len,
                             grow ? 0 : MREMAP_MAYMOVE | MREMAP_FIXED, p->base + at);
            if (m == MAP_FAILED) {
                ret = -errno;
                if (grow)
                    mmap(p->base + old + old_len, (size_t)(new_len - old_len), PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
                if (p->follower) arm(p, old, old_len);
            } else {
                if (at != old) had |= unmap(p, old, old_len);
                had |= set_pages(p, at, new_len, f);
                /* Pages that held code came along write-protected. */
                mprotect(p->base + at, (size_t)new_len, host_prot((int)(f & PROT_MASK)));
            }
        }
    }
    if (!ret) follow_move(p, old, old_len, at, new_len);
    pthread_mutex_unlock(&p->mem_lock);
    code_gone(p, old, old_len, had);
    if (ret) return ret;
    if (at != old) code_gone(p, at, new_len, had);
    return (int64_t)at;
}

int64_t mem_brk(struct proc *p, uint64_t addr)
{
    if (addr < p->brk_start || addr >= p->limit) return (int64_t)p->brk_now;
    uint64_t end = page_up(p, addr);
    if (end > p->brk_mapped) {
        if (!range_free(p, p->brk_mapped, end - p->brk_mapped)) return (int64_t)p->brk_now;
        if (mem_mmap(p, p->brk_mapped, end - p->brk_mapped, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) < 0)
            return (int64_t)p->brk_now;
        p->brk_mapped = end;
    } else if (end < p->brk_mapped) {
        mem_munmap(p, end, p->brk_mapped - end);
        p->brk_mapped = end;
    }
    /* What lies between is zero when it is given out again. */
    if (addr < p->brk_now && addr < end) memset(p->base + addr, 0, (size_t)(end - addr));
    p->brk_now = addr;
    return (int64_t)addr;
}

int64_t mem_shmat(struct proc *p, int id, uint64_t addr, int flags)
{
    struct shmid_ds ds;
    if (shmctl(id, IPC_STAT, &ds)) return -errno;
    uint64_t len = page_up(p, ds.shm_segsz), align = MAX(p->page_size, (uint64_t)SHMLBA);
    if (addr && (flags & SHM_RND)) addr = ALIGN_DOWN(addr, align);
    if (addr & (p->page_size - 1)) return -EINVAL;
    pthread_mutex_lock(&p->mem_lock);
    if (!addr)
        addr = find_free(p, len, align);
    else if (!(flags & SHM_REMAP) && !range_free(p, addr, len))
        addr = 0;
    int64_t ret = addr ? (int64_t)addr : -ENOMEM;
    bool had = false;
    if (addr) {
        if (shmat(id, p->base + addr, (flags & SHM_RDONLY) | SHM_REMAP) == (void *)-1)
            ret = -errno;
        else
            had = set_pages(
                p, addr, len,
                page_flags(flags & SHM_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE, true));
        if (ret >= 0) follow_map(p, addr, len, flags & SHM_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    pthread_mutex_unlock(&p->mem_lock);
    code_gone(p, addr, len, had);
    return ret;
}

int64_t mem_shmdt(struct proc *p, uint64_t addr)
{
    if (addr >= p->limit || !(p->pages[page_of(p, addr)] & PAGE_SHARED)) return -EINVAL;
    pthread_mutex_lock(&p->mem_lock);
    int64_t ret = 0;
    if (shmdt(p->base + addr)) {
        ret = -errno;
    } else {
        /* The host has cut a hole; its length is the run of pages that are gone now. */
        uint64_t a = addr;
        while (a < p->limit && (p->pages[page_of(p, a)] & PAGE_SHARED)) {
            void *m = mmap(p->base + a, (size_t)p->page_size, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
#ifdef MAP_FIXED_NOREPLACE
                               | MAP_FIXED_NOREPLACE
#endif
                           ,
                           -1, 0);
            if (m != p->base + a) {
                if (m != MAP_FAILED) munmap(m, (size_t)p->page_size);
                break;
            }
            p->pages[page_of(p, a)] = 0;
            a += p->page_size;
        }
        follow_unmap(p, addr, a - addr);
    }
    pthread_mutex_unlock(&p->mem_lock);
    return ret;
}
