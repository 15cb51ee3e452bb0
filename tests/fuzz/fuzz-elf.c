/*
 * fuzz-elf.c - fuzz target: ELF files, for both loaders (machines/boot/elf.c, user/elf.c). First byte: which loader and
 * target; the rest is the file. A refusal must say something; what is accepted is put into memory.
 */
#include "tests/fuzz/fuzz.h"

#include "machines/boot/loader.h"
#include "user/abi.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RAM = 1 << 20 };

static bool to_phys(void *opaque, uint64_t va, uint64_t pa, uint64_t *phys)
{
    (void)opaque, (void)pa;
    *phys = va & 0x1fffffff;
    return (va >> 29 & 7) == 4;
}

static void load_system(const uint8_t *data, size_t size, unsigned how)
{
    struct elf_target t = {
        .machine = ELF_EM_MIPS, .big_endian = how & 1, .allow64 = how & 2, .to_phys = to_phys, .limit = RAM,
    };
    struct elf_info info;
    struct error e = ERROR_INIT;
    struct machine_bus *mb = mb_new(64);
    struct region *ram = mb_own_region(mb, region_new_ram("ram", RAM, &e));
    struct device *images;

    if (ram) region_add(mb->mem_root, ram, 0, 0);
    images = ram ? boot_images_new(mb, &e) : NULL;
    if (!images) abort();
    if (elf_load("input", data, size, &t, images, &info, &e)) {
        if (!e.set || !strstr(e.msg, "input")) abort();
    } else {
        if (info.low >= info.high || info.high > RAM) abort();
        boot_images_overlap(images, info.low, 1);
        mb_reset(mb);
    }
    error_clear(&e);
    mb_delete(mb);
}

static void load_user(const uint8_t *data, size_t size, unsigned how)
{
    static char path[64];
    struct error e = ERROR_INIT;
    struct proc *p = NEW(struct proc);
    const struct abi *found;

    if (!path[0]) {
        /* A file without a name: whatever ends us, nothing stays behind. */
        FILE *f = tmpfile();
        if (!f) abort();
        snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(f));
    }
    int fd = open(path, O_RDWR | O_TRUNC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    close(fd);
    elf_probe(data, size, &found);
    p->abi = abi_list[how % abi_count];
    p->target = p->abi->target;
    if (mem_init(p, p->abi->limit, 0, 0, &e)) abort();
    pthread_mutex_init(&p->lock, NULL);
    if (user_elf_load(p, path, &e)) {
        if (!e.set || !e.msg[0]) abort();
    } else if (p->entry >= p->limit && !p->abi->reg64) {
        abort();
    }
    error_clear(&e);
    mem_fini(p);
    mem_free(p->exe);
    mem_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    if (data[0] & 1) load_user(data + 1, size - 1, data[0] >> 1);
    else load_system(data + 1, size - 1, data[0] >> 1);
    return 0;
}

struct writer { uint8_t *p; bool be, wide; };

static void put(struct writer *w, unsigned at, unsigned n, uint64_t v)
{
    for (unsigned i = 0; i < n; i++) w->p[at + i] = (uint8_t)(v >> 8 * (w->be ? n - 1 - i : i));
}

/* A good file with an interpreter and three segments for each class, order, loader and ABI. */
size_t fuzz_seed(unsigned n, uint8_t *buf, size_t room)
{
    static const char interp[] = "/proc/self/fd/0";
    bool wide = n & 1, be = n & 2, user = n & 4, dyn = n & 8;
    unsigned a = wide ? 8 : 4, ph = wide ? 56 : 32, eh = wide ? 64 : 52;
    uint64_t base = user ? 0x400000 : 0xffffffff80000000;
    uint64_t vaddr[] = { base, base + 0x1000, base + 0x2800, 0 };
    struct writer w = { buf + 1, be, wide };

    if (n >= 16 || room < 1024) return 0;
    memset(buf, 0, 1024);
    buf[0] = user ? 1 : (uint8_t)((be | 2) << 1);
    for (unsigned i = 0; user && i < abi_count; i++) {
        if (abi_list[i]->elf_class == (wide ? ELFCLASS64 : ELFCLASS32) && abi_list[i]->elf_data == (be ? ELFDATA2MSB : ELFDATA2LSB) &&
            abi_list[i]->reg64 == wide) buf[0] = (uint8_t)(i << 1 | 1);
    }
    memcpy(w.p, ELFMAG, SELFMAG);
    w.p[EI_CLASS] = wide ? ELFCLASS64 : ELFCLASS32;
    w.p[EI_DATA] = be ? ELFDATA2MSB : ELFDATA2LSB;
    w.p[EI_VERSION] = 1;
    put(&w, 16, 2, dyn && user ? ET_DYN : ET_EXEC);
    put(&w, 18, 2, EM_MIPS);
    put(&w, 20, 4, 1);
    put(&w, 24, a, base + 0x100);
    put(&w, 24 + a, a, eh);
    put(&w, wide ? 48 : 36, 4, wide ? 0x20000007 : 0x1000);
    put(&w, wide ? 52 : 40, 2, eh);
    put(&w, wide ? 54 : 42, 2, ph);
    put(&w, wide ? 56 : 44, 2, dyn ? 4 : 3);
    for (unsigned i = 0; i < 4; i++) {
        unsigned q = eh + i * ph;
        uint64_t size = i == 3 ? sizeof interp : 0x200u;
        put(&w, q, 4, i == 3 ? PT_INTERP : PT_LOAD);
        put(&w, q + (wide ? 4 : 24), 4, PF_R | PF_X | (i ? PF_W : 0));
        put(&w, q + (wide ? 8 : 4), a, i == 3 ? 0x300 : 0);
        put(&w, q + (wide ? 16 : 8), a, vaddr[i]);
        put(&w, q + (wide ? 24 : 12), a, vaddr[i]);
        put(&w, q + (wide ? 32 : 16), a, size);
        put(&w, q + (wide ? 40 : 20), a, size + 0x100 * i);
        put(&w, q + (wide ? 48 : 28), a, 0x1000);
    }
    memcpy(w.p + 0x300, interp, sizeof interp);
    return 1 + 0x320;
}
