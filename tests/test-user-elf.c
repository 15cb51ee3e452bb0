/*
 * test-user-elf.c - user mode without a guest running: the ELF loader on good and hostile files,
 * layouts, number tables, the address space.
 */
#include "user/abi.h"

#include "tests/count.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct proc *new_proc(const char *target)
{
    struct proc *p = NEW(struct proc);
    struct error e = ERROR_INIT;
    p->target = target;
    p->abi = abi_find(target);
    CHECK(p->abi != NULL);
    CHECK(mem_init(p, p->abi->limit, 0, 0, &e) == 0);
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

static void put16(const struct abi *abi, uint8_t *p, unsigned v)
{
    guest_st(abi, p, 2, v);
}

/* A program of one segment of 64 bytes of code at 0x400000. Returns its length. */
static size_t make_elf(const struct abi *abi, uint8_t *f)
{
    bool w = abi->elf_class == ELFCLASS64;
    unsigned a = w ? 8 : 4, eh = w ? 64 : 52, ph = w ? 56 : 32;
    memset(f, 0, 8192);
    memcpy(f, ELFMAG, SELFMAG);
    f[EI_CLASS] = abi->elf_class;
    f[EI_DATA] = abi->elf_data;
    f[EI_VERSION] = 1;
    put16(abi, f + 16, ET_EXEC);
    put16(abi, f + 18, abi->elf_machine);
    guest_st(abi, f + 24, a, 0x400000 + eh + ph);
    guest_st(abi, f + 24 + a, a, eh);
    guest_st(abi, f + (w ? 48 : 36), 4,
             abi->elf_flags_ok(0x1000) && !w ? 0x1000
             : abi->elf_flags_ok(0x20)       ? 0x20
                                             : 0);
    put16(abi, f + (w ? 54 : 42), ph);
    put16(abi, f + (w ? 56 : 44), 1);
    uint8_t *q = f + eh;
    guest_st(abi, q, 4, PT_LOAD);
    if (w) {
        guest_st(abi, q + 4, 4, PF_R | PF_X);
        guest_st(abi, q + 16, 8, 0x400000);
        guest_st(abi, q + 32, 8, 4096);
        guest_st(abi, q + 40, 8, 12288);
    } else {
        guest_st(abi, q + 8, 4, 0x400000);
        guest_st(abi, q + 16, 4, 4096);
        guest_st(abi, q + 20, 4, 12288);
        guest_st(abi, q + 24, 4, PF_R | PF_X);
    }
    return 4096;
}

static char path[64];

static int load(const char *target, const uint8_t *f, size_t n, struct error *e, struct proc **out)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0700);
    CHECK(write(fd, f, n) == (ssize_t)n);
    close(fd);
    struct proc *p = new_proc(target);
    error_clear(e);
    int r = user_elf_load(p, path, e);
    if (out) {
        *out = p;
    } else {
        mem_fini(p);
        mem_free(p);
    }
    return r;
}

static void test_elf(const char *target)
{
    static uint8_t f[8192];
    struct error e = ERROR_INIT;
    struct proc *p;
    const struct abi *abi = abi_find(target), *found;
    size_t n = make_elf(abi, f);
    CHECK(elf_probe(f, n, &found) == ELF_GUEST && found == abi);
    CHECK(load(target, f, n, &e, &p) == 0);
    CHECK(mem_check(p, 0x400000, 12288, PAGE_READ | PAGE_EXEC));
    CHECK(!mem_check(p, 0x400000, 12289, PAGE_READ));
    CHECK(!mem_check(p, 0x400000, 1, PAGE_WRITE));
    CHECK(p->brk_start == 0x403000);
    CHECK(memcmp(p->base + 0x400000, f, 4096) == 0 && p->base[0x401000] == 0);
    mem_fini(p);
    mem_free(p);
    /* Cut at every length: an error that names the file, never a crash. */
    for (size_t len = 0; len < n; len += len < 200 ? 1 : 500) {
        CHECK(load(target, f, len, &e, NULL) == -1);
        CHECK(e.set && strstr(e.msg, path));
    }
    /* Every byte of the headers, one at a time, as all ones and flipped */
    for (size_t i = 0; i < 120; i++)
        for (int k = 0; k < 2; k++) {
            uint8_t old = f[i];
            f[i] = k ? 0xff : old ^ 0x41;
            if (load(target, f, n, &e, NULL)) CHECK(e.set && e.msg[0]);
            f[i] = old;
        }
}

static void test_layouts(void)
{
    const struct abi *o32 = abi_find("mips"), *n64 = abi_find("mips64el");
    CHECK(layout_size(o32, o32->stat) == 144);
    CHECK(layout_size(o32, o32->stat64) == 104);
    CHECK(layout_size(n64, n64->stat) == 104);
    CHECK(layout_size(o32, o32->statfs) == 68);
    CHECK(layout_size(o32, o32->statfs64) == 96);
    CHECK(layout_size(n64, n64->statfs) == 128);
    CHECK(layout_size(o32, o32->flock) == 36);
    CHECK(layout_size(o32, o32->flock64) == 32);
    CHECK(layout_size(o32, &layout_rusage) == 72);
    CHECK(layout_size(n64, &layout_rusage) == 144);
    CHECK(layout_size(o32, &layout_sysinfo) <= 64 && layout_size(n64, &layout_sysinfo) <= 112);
    CHECK(layout_size(o32, &layout_statx) == 256);
    CHECK(layout_size(n64, &layout_statx) == 256);
    struct timespec ts = {-2, 5}, back = {0, 0};
    uint8_t b[16];
    layout_to_guest(o32, &layout_timespec, &ts, b);
    CHECK(!memcmp(b, "\xff\xff\xff\xfe\0\0\0\5", 8));
    layout_to_host(o32, &layout_timespec, b, &back);
    CHECK(back.tv_sec == -2 && back.tv_nsec == 5);
}

static void test_numbers(void)
{
    const struct abi *a = abi_find("mipsel");
    CHECK(abi_errno_to_guest(a, ENOSYS) == 89 && abi_errno_to_guest(a, EPERM) == 1);
    CHECK(abi_sig_to_guest(a, SIGCHLD) == 18 && abi_sig_to_host(a, 18) == SIGCHLD);
    CHECK(abi_sig_to_host(a, 7) == 0 && abi_sig_to_host(a, 128) == 0 &&
          abi_sig_to_host(a, -1) == 0);
    for (int s = 1; s <= 127; s++) {
        int h = abi_sig_to_host(a, s);
        CHECK(!h || abi_sig_to_guest(a, h) == s);
    }
    uint8_t set[16];
    abi_set_to_guest(a, (uint64_t)1 << (SIGUSR1 - 1), set, 16);
    CHECK(set[1] == 0x80 && abi_set_to_host(a, set, 16) == (uint64_t)1 << (SIGUSR1 - 1));
    uint32_t unknown;
    CHECK(abi_flags_to_host(a->open_flags, 0x101, &unknown) == (O_CREAT | O_WRONLY) && !unknown);
    for (unsigned i = 0; i < abi_count; i++)
        for (unsigned k = 1; k < abi_list[i]->n_calls; k++)
            CHECK(abi_list[i]->calls[k - 1].num < abi_list[i]->calls[k].num);
}

static void test_memory(void)
{
    struct proc *p = new_proc("mipsel");
    int anon = MAP_PRIVATE | MAP_ANONYMOUS;
    uint64_t ps = p->page_size;
    int64_t a = mem_mmap(p, 0, 3 * ps, PROT_READ | PROT_WRITE, anon, -1, 0);
    CHECK(a > 0 && mem_check(p, (uint64_t)a, 3 * ps, PAGE_WRITE));
    CHECK(mem_munmap(p, (uint64_t)a + ps, ps) == 0);
    CHECK(!mem_check(p, (uint64_t)a, 3 * ps, 0) &&
          mem_check(p, (uint64_t)a + 2 * ps, ps, PAGE_READ));
    CHECK(mem_mprotect(p, (uint64_t)a, 3 * ps, PROT_READ) == -ENOMEM);
    CHECK(mem_mmap(p, p->limit - ps, 2 * ps, PROT_READ, anon | MAP_FIXED, -1, 0) == -ENOMEM);
    CHECK(mem_mmap(p, UINT64_MAX - ps + 1, ps, PROT_READ, anon | MAP_FIXED, -1, 0) == -ENOMEM);
    CHECK(mem_mmap(p, 0, UINT64_MAX, PROT_READ, anon, -1, 0) == -ENOMEM);
    CHECK(mem_munmap(p, 0, UINT64_MAX) == -EINVAL);
    CHECK(mem_mremap(p, (uint64_t)a, ps, 2 * ps, 0, 0) == a);
    CHECK(mem_mremap(p, (uint64_t)a, 2 * ps, 10 * ps, 0, 0) == -ENOMEM);
    strcpy((char *)p->base + a, "kept");
    int64_t b = mem_mremap(p, (uint64_t)a, 2 * ps, 10 * ps, MREMAP_MAYMOVE, 0);
    CHECK(b > 0 && b != a && !strcmp(mem_str(p, (uint64_t)b, 100), "kept"));
    CHECK(mem_str(p, (uint64_t)a, 100) == NULL && mem_in(p, p->limit, 1) == NULL &&
          mem_in(p, 0, UINT64_MAX) == NULL);
    p->brk_start = p->brk_now = p->brk_mapped = 0x500000;
    CHECK(mem_brk(p, 0) == 0x500000 && mem_brk(p, 0x500123) == 0x500123);
    memset(p->base + 0x500000, 7, 0x123);
    CHECK(mem_brk(p, 0x500010) == 0x500010 && mem_brk(p, 0x500200) == 0x500200);
    CHECK(p->base[0x50000f] == 7 && p->base[0x500010] == 0);
    mem_fini(p);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/quern-elf-%d", (int)getpid());
    for (unsigned i = 0; i < abi_count; i++)
        test_elf(abi_list[i]->target);
    unlink(path);
    test_layouts();
    test_numbers();
    test_memory();
    return count_report();
}
