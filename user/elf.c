/*
 * elf.c - the program loader: ELF of both classes and byte orders, static, dynamic and position
 * independent, and the initial stack.
 *
 * Follows the System V gABI (ELF header, program headers) and Linux's conventions for argv, envp
 * and the auxiliary vector. Every number of the file is checked against the file's size and the
 * address space before it is used; what is wrong is named with the file.
 */
#include "user/abi.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#ifndef AT_EXECFN
#define AT_EXECFN 31
#endif

struct segment {
    uint32_t type, flags;
    uint64_t offset, vaddr, filesz, memsz, align;
};
struct image {
    const char *path;
    int fd;
    uint64_t size;
    uint16_t type;
    uint32_t flags;
    uint64_t entry, phoff;
    unsigned phnum;
    struct segment *seg;
    uint64_t low, high; /* of the loadable segments */
    uint64_t bias;
    uint64_t phdr_va;
    char interp[1024];
};

static const struct abi *match_abi(const uint8_t *h, size_t n)
{
    if (n < 52 || memcmp(h, ELFMAG, SELFMAG)) return NULL;
    for (unsigned i = 0; i < abi_count; i++) {
        const struct abi *abi = abi_list[i];
        if (h[EI_CLASS] != abi->elf_class || h[EI_DATA] != abi->elf_data) continue;
        if (guest_ld(abi, h + 18, 2) != abi->elf_machine) continue;
        size_t at = abi->elf_class == ELFCLASS64 ? 48 : 36;
        if (n < at + 4) continue;
        if (abi->elf_flags_ok((uint32_t)guest_ld(abi, h + at, 4))) return abi;
    }
    return NULL;
}

enum elf_kind elf_probe(const uint8_t *head, size_t n, const struct abi **abi)
{
    if (n >= 2 && head[0] == '#' && head[1] == '!') return ELF_SCRIPT;
    if (n < SELFMAG || memcmp(head, ELFMAG, SELFMAG)) return ELF_UNKNOWN;
    const struct abi *found = match_abi(head, n);
    if (abi) *abi = found;
    return found ? ELF_GUEST : ELF_FOREIGN;
}

static int read_at(struct image *m, void *buf, size_t n, uint64_t off, struct error *e)
{
    if (off > m->size || n > m->size - off)
        return error_set(e, "%s: truncated: %zu bytes at offset 0x%llx lie beyond its end", m->path,
                         n, (unsigned long long)off);
    size_t done = 0;
    while (done < n) {
        ssize_t r = pread(m->fd, (char *)buf + done, n - done, (off_t)(off + done));
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0)
            return error_set(e, "%s: cannot read: %s", m->path,
                             r ? strerror(errno) : "unexpected end of file");
        done += (size_t)r;
    }
    return 0;
}

static int read_headers(struct proc *p, struct image *m, struct error *e)
{
    const struct abi *abi = p->abi;
    uint8_t h[64];
    struct stat st;
    if (fstat(m->fd, &st)) return error_set(e, "%s: %s", m->path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return error_set(e, "%s: not a regular file", m->path);
    m->size = (uint64_t)st.st_size;
    memset(h, 0, sizeof h);
    if (m->size < 52)
        return error_set(e, "%s: not an ELF file: only %llu bytes", m->path,
                         (unsigned long long)m->size);
    if (read_at(m, h, MIN(sizeof h, m->size), 0, e)) return -1;
    const struct abi *found = NULL;
    enum elf_kind kind = elf_probe(h, sizeof h, &found);
    if (kind != ELF_GUEST && kind != ELF_FOREIGN)
        return error_set(e, "%s: not an ELF file", m->path);
    if (found != abi) {
        if (found) {
            error_set(e, "%s: is an ELF file for %s, not for %s", m->path, found->target,
                      abi->target);
            error_hint(e, "run it with quern-%s", found->target);
            return -1;
        }
        unsigned machine = h[EI_DATA] == ELFDATA2MSB ? ld16_be(h + 18) : ld16_le(h + 18);
        return error_set(
            e,
            "%s: is an ELF file for another machine (machine %u, class %u, data %u) or ABI than %s",
            m->path, machine, h[EI_CLASS], h[EI_DATA], abi->target);
    }
    bool w = abi->elf_class == ELFCLASS64;
    unsigned a = w ? 8 : 4;
    m->type = (uint16_t)guest_ld(abi, h + 16, 2);
    m->entry = guest_ld(abi, h + 24, a);
    m->phoff = guest_ld(abi, h + 24 + a, a);
    m->flags = (uint32_t)guest_ld(abi, h + (w ? 48 : 36), 4);
    unsigned phentsize = (unsigned)guest_ld(abi, h + (w ? 54 : 42), 2);
    m->phnum = (unsigned)guest_ld(abi, h + (w ? 56 : 44), 2);
    if (m->type != ET_EXEC && m->type != ET_DYN) {
        error_set(e, "%s: is not an executable (ELF type %u)", m->path, m->type);
        if (m->type == ET_REL) error_hint(e, "it is an object file: link it first");
        return -1;
    }
    if (phentsize != (w ? 56 : 32))
        return error_set(e, "%s: program header entries of %u bytes", m->path, phentsize);
    if (!m->phnum || m->phnum > 1024)
        return error_set(e, "%s: %u program headers", m->path, m->phnum);
    uint8_t *ph = mem_alloc((size_t)m->phnum * phentsize);
    if (read_at(m, ph, (size_t)m->phnum * phentsize, m->phoff, e)) {
        mem_free(ph);
        return -1;
    }
    m->seg = NEW_ARRAY(struct segment, m->phnum);
    for (unsigned i = 0; i < m->phnum; i++) {
        const uint8_t *q = ph + (size_t)i * phentsize;
        struct segment *s = &m->seg[i];
        s->type = (uint32_t)guest_ld(abi, q, 4);
        if (w) {
            s->flags = (uint32_t)guest_ld(abi, q + 4, 4);
            s->offset = guest_ld(abi, q + 8, 8);
            s->vaddr = guest_ld(abi, q + 16, 8);
            s->filesz = guest_ld(abi, q + 32, 8);
            s->memsz = guest_ld(abi, q + 40, 8);
            s->align = guest_ld(abi, q + 48, 8);
        } else {
            s->offset = guest_ld(abi, q + 4, 4);
            s->vaddr = guest_ld(abi, q + 8, 4);
            s->filesz = guest_ld(abi, q + 16, 4);
            s->memsz = guest_ld(abi, q + 20, 4);
            s->flags = (uint32_t)guest_ld(abi, q + 24, 4);
            s->align = guest_ld(abi, q + 28, 4);
        }
    }
    mem_free(ph);
    return 0;
}

static int check_segments(struct proc *p, struct image *m, bool is_interp, struct error *e)
{
    bool any = false;
    m->low = UINT64_MAX;
    for (unsigned i = 0; i < m->phnum; i++) {
        struct segment *s = &m->seg[i];
        if (s->type == PT_INTERP && !is_interp) {
            if (s->filesz < 2 || s->filesz > sizeof m->interp)
                return error_set(e, "%s: interpreter name of %llu bytes", m->path,
                                 (unsigned long long)s->filesz);
            if (read_at(m, m->interp, (size_t)s->filesz, s->offset, e)) return -1;
            if (m->interp[s->filesz - 1])
                return error_set(e, "%s: interpreter name without an end", m->path);
        } else if (s->type == p->abi->abiflags_pt && s->type && !is_interp) {
            uint8_t b[24];
            if (s->filesz >= sizeof b && !read_at(m, b, sizeof b, s->offset, NULL))
                p->fp_abi = b[7];
        }
        if (s->type != PT_LOAD || !s->memsz) continue;
        any = true;
        if (s->filesz > s->memsz)
            return error_set(e, "%s: segment %u is larger in the file than in memory", m->path, i);
        /* One of zeros alone may name any place in the file. */
        if (s->filesz && (s->offset > m->size || s->filesz > m->size - s->offset))
            return error_set(e, "%s: truncated: segment %u lies beyond its end", m->path, i);
        if (s->vaddr >= p->limit || s->memsz > p->limit - s->vaddr)
            return error_set(e, "%s: segment %u at 0x%llx does not fit the guest's address space",
                             m->path, i, (unsigned long long)s->vaddr);
        uint64_t lo = ALIGN_DOWN(s->vaddr, p->page_size),
                 hi = ALIGN_UP(s->vaddr + s->memsz, p->page_size);
        if (lo < m->low) m->low = lo;
        if (hi > m->high) m->high = hi;
        if (m->phoff >= s->offset && m->phoff - s->offset < s->filesz)
            m->phdr_va = s->vaddr + (m->phoff - s->offset);
    }
    if (!any) return error_set(e, "%s: nothing to load in it", m->path);
    return 0;
}

static int map_segments(struct proc *p, struct image *m, struct error *e)
{
    uint64_t ps = p->page_size;
    for (unsigned i = 0; i < m->phnum; i++) {
        struct segment *s = &m->seg[i];
        if (s->type != PT_LOAD || !s->memsz) continue;
        uint64_t va = m->bias + s->vaddr, lo = ALIGN_DOWN(va, ps);
        uint64_t file_end = va + s->filesz, hi = ALIGN_UP(va + s->memsz, ps);
        int prot = (s->flags & PF_R ? PROT_READ : 0) | (s->flags & PF_W ? PROT_WRITE : 0) |
                   (s->flags & PF_X ? PROT_EXEC : 0);
        uint64_t mapped = lo;
        int64_t r = 0;
        /* A page that an earlier segment of the file also lies in must keep that segment's bytes.
         */
        bool shares = mem_page(p, lo) & PAGE_USED;
        if (s->filesz && !shares && ((s->offset ^ va) & (ps - 1)) == 0) {
            mapped = ALIGN_UP(file_end, ps);
            r = mem_mmap(p, lo, mapped - lo, prot, MAP_PRIVATE | MAP_FIXED, m->fd,
                         ALIGN_DOWN(s->offset, ps));
            if (r >= 0 && (s->flags & PF_W) && mapped > file_end)
                memset(p->base + file_end, 0, (size_t)(mapped - file_end));
        } else if (s->filesz) {
            uint64_t from = shares ? lo + ps : lo, to = ALIGN_UP(file_end, ps);
            if (from < to)
                r = mem_mmap(p, from, to - from, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            if (r >= 0 && shares) r = mem_mprotect(p, lo, ps, PROT_READ | PROT_WRITE);
            if (r >= 0 && read_at(m, p->base + va, (size_t)s->filesz, s->offset, e)) return -1;
            if (r >= 0)
                r = mem_mprotect(p, lo, to - lo, prot | (shares ? PROT_READ | PROT_EXEC : 0));
            mapped = to;
        } else if (shares) {
            mapped = lo + ps;
        }
        if (r >= 0 && hi > mapped)
            r = mem_mmap(p, mapped, hi - mapped, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                         0);
        if (r < 0)
            return error_set(e, "%s: cannot map segment %u: %s", m->path, i, strerror((int)-r));
    }
    return 0;
}

static int open_image(struct proc *p, struct image *m, const char *path, bool is_interp,
                      struct error *e)
{
    memset(m, 0, sizeof *m);
    m->path = path;
    m->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (m->fd < 0) return error_set(e, "%s: %s", path, strerror(errno));
    if (read_headers(p, m, e) || check_segments(p, m, is_interp, e)) return -1;
    return 0;
}

static void close_image(struct image *m)
{
    if (m->fd >= 0) close(m->fd);
    mem_free(m->seg);
}

/* Chooses where a position-independent image goes: 0 or -1. */
static int place(struct proc *p, struct image *m, uint64_t hint, struct error *e)
{
    uint64_t len = m->high - m->low;
    if (m->type == ET_EXEC) {
        for (uint64_t a = m->low; a < m->high; a += p->page_size)
            if (mem_page(p, a))
                return error_set(e, "%s: its address 0x%llx is already in use", m->path,
                                 (unsigned long long)a);
        return 0;
    }
    /* The largest alignment asked for, so that p_vaddr keeps its residue. */
    uint64_t align = 0x10000;
    for (unsigned i = 0; i < m->phnum; i++) {
        uint64_t al = m->seg[i].align;
        if (m->seg[i].type == PT_LOAD && al > align && !(al & (al - 1)) && al <= 0x10000000)
            align = al;
    }
    int64_t at = mem_mmap(p, hint, len + align, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0) return error_set(e, "%s: no room in the guest's address space", m->path);
    mem_munmap(p, (uint64_t)at, len + align);
    m->bias = ALIGN_UP((uint64_t)at, align) - ALIGN_DOWN(m->low, align);
    if (m->bias + m->low < (uint64_t)at) m->bias += align;
    return 0;
}

int user_elf_load(struct proc *p, const char *path, struct error *e)
{
    struct image prog, interp;
    interp.fd = -1;
    interp.seg = NULL;
    int rc = -1;
    if (open_image(p, &prog, path, false, e)) goto out;
    uint64_t dyn_base = ALIGN_DOWN(p->limit / 3 * 2, 0x10000);
    if (place(p, &prog, dyn_base, e) || map_segments(p, &prog, e)) goto out;
    p->load_bias = prog.bias;
    p->phnum = prog.phnum;
    p->elf_flags = prog.flags;
    p->phdr = prog.phdr_va ? prog.phdr_va + prog.bias : 0;
    for (unsigned i = 0; i < prog.phnum; i++)
        if (prog.seg[i].type == PT_PHDR) p->phdr = prog.seg[i].vaddr + prog.bias;
    p->entry = p->exe_entry = prog.entry + prog.bias;
    p->brk_start = p->brk_now = p->brk_mapped = prog.high + prog.bias;
    if (prog.interp[0]) {
        char room[PATH_ROOM];
        const char *ip = path_map(p, prog.interp, room, true);
        if (open_image(p, &interp, ip, true, e)) {
            error_prefix(e, "%s: needs the interpreter %s", path, prog.interp);
            error_hint(e, "name the directory of the guest's libraries with -L");
            goto out;
        }
        if (place(p, &interp, 0, e) || map_segments(p, &interp, e)) goto out;
        p->interp_base = interp.bias;
        p->entry = interp.entry + interp.bias;
    }
    if (!(mem_page(p, p->entry & ~(uint64_t)3) & PAGE_USED)) {
        error_set(e, "%s: its entry point 0x%llx lies outside of it", path,
                  (unsigned long long)p->entry);
        goto out;
    }
    rc = 0;
out:
    close_image(&prog);
    close_image(&interp);
    return rc;
}

/* ---- the initial stack ----------------------------------------------------------------------- */
struct stack_builder {
    struct proc *p;
    uint64_t sp, low;
    bool full;
};

static uint64_t push(struct stack_builder *b, const void *data, size_t n)
{
    if (b->sp - b->low < n) {
        b->full = true;
        return b->sp;
    }
    b->sp -= n;
    memcpy(b->p->base + b->sp, data, n);
    return b->sp;
}

uint64_t elf_build_stack(struct proc *p, int argc, char **argv, char **envp, const char *execfn,
                         struct error *e)
{
    const struct abi *abi = p->abi;
    unsigned w = abi->long_size;
    int envc = 0;
    while (envp[envc])
        envc++;
    /* Half of the stack is the most that arguments may take. */
    struct stack_builder b = {p, p->stack_high - 16,
                              p->stack_low + (p->stack_high - p->stack_low) / 2, false};
    uint64_t *ptr = NEW_ARRAY(uint64_t, argc + envc + 1), n = 0;
    uint64_t fn = push(&b, execfn, strlen(execfn) + 1);
    for (int i = envc; i-- > 0;)
        ptr[argc + i] = push(&b, envp[i], strlen(envp[i]) + 1);
    p->arg_end = b.sp;
    for (int i = argc; i-- > 0;)
        ptr[i] = push(&b, argv[i], strlen(argv[i]) + 1);
    p->arg_start = b.sp;
    uint64_t platform = abi->platform ? push(&b, abi->platform, strlen(abi->platform) + 1) : 0;
    uint8_t rnd[16];
    for (unsigned i = 0; i < sizeof rnd; i++) {
        p->rng = p->rng * 6364136223846793005u + 1442695040888963407u;
        rnd[i] = (uint8_t)(p->rng >> 56);
    }
    b.sp = ALIGN_DOWN(b.sp, 16);
    uint64_t random = push(&b, rnd, sizeof rnd);
    struct thread *t = thread_current;
    struct {
        uint64_t key, value;
    } aux[] = {
        {AT_PHDR, p->phdr},
        {AT_PHENT, abi->elf_class == ELFCLASS64 ? 56 : 32},
        {AT_PHNUM, p->phnum},
        {AT_PAGESZ, p->page_size},
        {AT_BASE, p->interp_base},
        {AT_FLAGS, 0},
        {AT_ENTRY, p->exe_entry},
        {AT_UID, getuid()},
        {AT_EUID, geteuid()},
        {AT_GID, getgid()},
        {AT_EGID, getegid()},
        {AT_HWCAP, abi->hwcap(t, 0)},
        {AT_CLKTCK, (uint64_t)sysconf(_SC_CLK_TCK)},
        {AT_RANDOM, random},
        {AT_SECURE, 0},
        {AT_HWCAP2, abi->hwcap(t, 1)},
        {AT_EXECFN, fn},
        {AT_PLATFORM, platform},
        {AT_NULL, 0},
    };
    uint64_t words = 1 + (uint64_t)argc + 1 + (uint64_t)envc + 1 + 2 * ARRAY_LEN(aux);
    b.sp = ALIGN_DOWN(b.sp, 16);
    uint64_t need = ALIGN_UP(words * w, 16);
    if (b.full || b.sp - b.low < need) {
        mem_free(ptr);
        error_set(e, "arguments and environment do not fit the guest's stack");
        error_hint(e, "give it a larger one with -s");
        return 0;
    }
    b.sp -= need;
    uint8_t *at = p->base + b.sp;
#define WORD(v) (guest_st(abi, at + n * w, w, (v)), n++)
    WORD((uint64_t)argc);
    for (int i = 0; i < argc; i++)
        WORD(ptr[i]);
    WORD(0);
    for (int i = 0; i < envc; i++)
        WORD(ptr[argc + i]);
    WORD(0);
    p->auxv_start = b.sp + n * w;
    for (size_t i = 0; i < ARRAY_LEN(aux); i++) {
        if (aux[i].key == AT_PLATFORM && !platform) continue;
        WORD(aux[i].key);
        WORD(aux[i].value);
    }
    p->auxv_end = b.sp + n * w;
#undef WORD
    mem_free(ptr);
    return b.sp;
}
