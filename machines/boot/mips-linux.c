/*
 * mips-linux.c - loading a MIPS kernel and its initial RAM disk without firmware. Follows what
 * YAMON's reference manual (MD00008) says an application finds: argc, argv, envp, memory size in
 * a0..a3, kseg0 addresses, and the names the Linux kernel reads.
 */
#include "machines/boot/mips-linux.h"

#include "isa/mips/mips.h"

#include <inttypes.h>
#include <stdio.h>

#define KSEG0 UINT64_C(0xffffffff80000000)
enum { INITRD_ALIGN = 65536 }; /* no kernel uses larger pages */

bool mips_kseg_phys(void *opaque, uint64_t vaddr, uint64_t paddr, uint64_t *phys)
{
    uint32_t low = (uint32_t)vaddr, seg = low >> 29;
    if (vaddr >> 62 == 2) { /* xkphys */
        *phys = vaddr & UINT64_C(0x07ffffffffffffff);
        return true;
    }
    if (vaddr >> 31 == UINT64_C(0x1ffffffff) || vaddr >> 32 == 0) {
        if (seg == 4 || seg == 5) { /* kseg0, kseg1 */
            *phys = low & 0x1fffffff;
            return true;
        }
        if (seg <
            4) { /* kuseg, which ERL leaves unmapped: an image linked at its physical address */
            *phys = low;
            return true;
        }
    }
    return false;
}

static int load_initrd(struct machine *m, struct device *images, uint64_t low_memory,
                       struct mips_boot *b, uint64_t *start, uint64_t *size, struct error *e)
{
    struct boot_file f;
    /* Not unwrapped: kernels do that themselves. */
    if (boot_read_raw(m->cfg.initrd, low_memory, &f, e)) {
        error_prefix(e, "could not load initial ram disk");
        return -1;
    }
    /* As high as it goes: a compressed kernel unpacks itself around its own place. */
    uint64_t room = ALIGN_UP(f.size, (uint64_t)INITRD_ALIGN);
    uint64_t floor = ALIGN_UP(b->elf.high, (uint64_t)INITRD_ALIGN);
    if (room > low_memory || ALIGN_DOWN(low_memory - room, (uint64_t)INITRD_ALIGN) < floor) {
        boot_file_free(&f);
        error_set(e, "memory too small for initial ram disk '%s'", m->cfg.initrd);
        error_hint(e, "kernel and RAM disk need %" PRIu64 " MiB (-m)",
                   (floor + room + 0xfffff) >> 20);
        return -1;
    }
    *start = ALIGN_DOWN(low_memory - room, (uint64_t)INITRD_ALIGN);
    *size = f.size;
    boot_images_add(images, "initrd", *start, f.data, f.size, f.size);
    return 0;
}

int mips_load_kernel(struct machine *m, struct device *images, uint64_t low_memory,
                     struct mips_boot *b, struct error *e)
{
    struct elf_target t = {.machine = ELF_EM_MIPS,
                           .big_endian = m->cfg.big_endian,
                           .allow64 = m->cfg.isa->guest->addr_type == T_I64,
                           .to_phys = mips_kseg_phys,
                           .limit = low_memory};
    struct boot_file f;
    b->low_memory = low_memory;
    if (boot_read_file(m->cfg.kernel, UINT64_C(1) << 31, &f, e)) {
        error_prefix(e, "could not load kernel");
        return -1;
    }
    int rc = elf_load(m->cfg.kernel, f.data, f.size, &t, images, &b->elf, e);
    boot_file_free(&f);
    if (rc) return -1;
    b->entry = b->elf.entry;
    b->kernel = true;
    return 0;
}

/* ---- the argument block ---- */

struct block {
    uint8_t data[0x3000];
    uint32_t words; /* pointers so far */
    uint32_t end;   /* next free byte for strings */
    bool be, full;
};

static void add_word(struct block *b, uint32_t v)
{
    if (b->be)
        st32_be(b->data + 4 * b->words, v);
    else
        st32_le(b->data + 4 * b->words, v);
    b->words++;
}

static void add_string(struct block *b, const char *s)
{
    size_t n = strlen(s) + 1;
    if (n > sizeof b->data - b->end) {
        b->full = true;
        return;
    }
    memcpy(b->data + b->end, s, n);
    add_word(b, (uint32_t)KSEG0 + MIPS_YAMON_ENV + b->end);
    b->end += (uint32_t)ALIGN_UP(n, 4);
}

int mips_yamon_block(struct machine *m, struct device *images, struct mips_boot *boot,
                     const char *const *env, struct error *e)
{
    struct block b = {.be = m->cfg.big_endian, .end = 0x100};
    uint64_t start = 0, size = 0;
    char *cmdline;
    unsigned n_env = 0;
    while (env[n_env])
        n_env++;
    if (n_env > 32) return error_set(e, "too many environment variables");
    if (m->cfg.initrd && load_initrd(m, images, boot->low_memory, boot, &start, &size, e))
        return -1;
    const char *append = m->cfg.append ? m->cfg.append : "";
    if (m->cfg.initrd) {
        cmdline = mem_printf("rd_start=0x%" PRIx64 " rd_size=%" PRIu64 "%s%s", KSEG0 + start, size,
                             *append ? " " : "", append);
    } else {
        cmdline = mem_strdup(append);
    }
    add_string(&b, m->cfg.kernel);
    boot->argc = 1;
    if (*cmdline) add_string(&b, cmdline), boot->argc++;
    mem_free(cmdline);
    for (unsigned i = 0; i < n_env; i++)
        add_string(&b, env[i]);
    add_word(&b, 0);
    if (b.full) return error_set(e, "the kernel's command line is too long");
    if (boot_images_overlap(images, MIPS_YAMON_ENV, b.end)) {
        return error_set(
            e, "could not load kernel '%s': it lies where its arguments go (physical 0x%x)",
            m->cfg.kernel, MIPS_YAMON_ENV);
    }
    uint8_t *copy = mem_alloc(b.end);
    memcpy(copy, b.data, b.end);
    boot_images_add(images, "arguments", MIPS_YAMON_ENV, copy, b.end, b.end);
    return 0;
}

void mips_boot_cpu(struct machine *m, const struct mips_boot *b)
{
    struct cpu *cpu = m->cpu[0];
    struct mips_cpu *mips = mips_cpu(cpu);
    uint64_t argv = KSEG0 + MIPS_YAMON_ENV;
    mips_set_gpr(mips, 4, b->argc);
    mips_set_gpr(mips, 5, argv);
    mips_set_gpr(mips, 6, argv + 4 * b->argc);
    mips_set_gpr(mips, 7, b->low_memory);
    mips_set_gpr(mips, 29, argv - 64);
    mips_set_gpr(mips, 31, UINT64_C(0xffffffffbfc00000)); /* returning starts the firmware */
    mips->status &= ~4u; /* ERL: firmware has left the reset exception */
    mips_update_key(mips);
    m->cfg.isa->set_pc(cpu, b->entry);
}
