/*
 * elf.c - ELF executables for system mode (System V ABI, chapters 4 and 5): program headers only.
 * Files come from users and may be hostile: nothing in them is believed before it was compared with
 * the file's size and the target's memory.
 */
#include "machines/boot/loader.h"

#include <inttypes.h>

enum {
    EI_CLASS = 4,
    EI_DATA = 5,
    EI_VERSION = 6,
    ELFCLASS32 = 1,
    ELFCLASS64 = 2,
    ELFDATA2LSB = 1,
    ELFDATA2MSB = 2
};
enum { ET_EXEC = 2, ET_DYN = 3, PT_LOAD = 1, PN_XNUM = 0xffff };

/* A file being read: fields by offset, in its byte order. */
struct reader {
    const uint8_t *p;
    bool be, is64;
};

static uint16_t r16(const struct reader *r, uint64_t at)
{
    return r->be ? ld16_be(r->p + at) : ld16_le(r->p + at);
}

static uint32_t r32(const struct reader *r, uint64_t at)
{
    return r->be ? ld32_be(r->p + at) : ld32_le(r->p + at);
}

static uint64_t r64(const struct reader *r, uint64_t at)
{
    return r->be ? ld64_be(r->p + at) : ld64_le(r->p + at);
}

/* An address: 32-bit files hold addresses that 64-bit processors see sign-extended. */
static uint64_t raddr(const struct reader *r, uint64_t at)
{
    return r->is64 ? r64(r, at) : (uint64_t)(int64_t)(int32_t)r32(r, at);
}

static uint64_t rsize(const struct reader *r, uint64_t at)
{
    return r->is64 ? r64(r, at) : r32(r, at);
}

bool elf_is(const uint8_t *data, uint64_t size)
{
    return size >= 4 && !memcmp(data, "\177ELF", 4);
}

static int check_header(const char *path, const uint8_t *data, uint64_t size,
                        const struct elf_target *t, struct reader *r, struct error *e)
{
    if (!elf_is(data, size))
        return error_set(e, "could not load kernel '%s': not an ELF file", path);
    if (size < 52)
        return error_set(e, "could not load kernel '%s': the ELF header is cut off", path);
    uint8_t class = data[EI_CLASS], order = data[EI_DATA];
    if (class != ELFCLASS32 && class != ELFCLASS64) {
        return error_set(e, "could not load kernel '%s': unknown ELF class %u", path, class);
    }
    if (order != ELFDATA2LSB && order != ELFDATA2MSB) {
        return error_set(e, "could not load kernel '%s': unknown ELF data encoding %u", path,
                         order);
    }
    *r = (struct reader){data, order == ELFDATA2MSB, class == ELFCLASS64};
    if (r->is64 && size < 64)
        return error_set(e, "could not load kernel '%s': the ELF header is cut off", path);
    if (r->be != t->big_endian) {
        error_set(e, "could not load kernel '%s': The image has incorrect endianness", path);
        error_hint(e, "it is a %s-endian file", r->be ? "big" : "little");
        return -1;
    }
    if (r16(r, 18) != t->machine) {
        return error_set(e,
                         "could not load kernel '%s': The image is from incompatible architecture "
                         "(e_machine %u)",
                         path, r16(r, 18));
    }
    if (r->is64 && !t->allow64)
        return error_set(e, "could not load kernel '%s': a 64-bit file for a 32-bit CPU", path);
    if (r16(r, 16) != ET_EXEC && r16(r, 16) != ET_DYN) {
        return error_set(e, "could not load kernel '%s': not an executable (e_type %u)", path,
                         r16(r, 16));
    }
    return 0;
}

struct segment {
    uint64_t offset, vaddr, paddr, filesz, memsz;
};

static int check_segment(const char *path, uint64_t size, unsigned i, const struct segment *s,
                         const struct elf_target *t, uint64_t *phys, struct error *e)
{
    if (s->filesz > s->memsz) {
        return error_set(e,
                         "could not load kernel '%s': segment %u: p_filesz 0x%" PRIx64
                         " is more than p_memsz 0x%" PRIx64,
                         path, i, s->filesz, s->memsz);
    }
    if (s->offset > size || s->filesz > size - s->offset) {
        return error_set(e,
                         "could not load kernel '%s': segment %u: p_offset 0x%" PRIx64
                         " and p_filesz 0x%" PRIx64 " reach beyond the file's end",
                         path, i, s->offset, s->filesz);
    }
    if (!t->to_phys(t->opaque, s->vaddr, s->paddr, phys)) {
        return error_set(e,
                         "could not load kernel '%s': segment %u: p_vaddr 0x%" PRIx64
                         " is not an address of memory",
                         path, i, s->vaddr);
    }
    if (*phys >= t->limit || s->memsz > t->limit - *phys) {
        return error_set(e,
                         "could not load kernel '%s': segment %u: p_vaddr 0x%" PRIx64
                         " with p_memsz 0x%" PRIx64 " does not fit into memory",
                         path, i, s->vaddr, s->memsz);
    }
    return 0;
}

int elf_load(const char *path, const uint8_t *data, uint64_t size, const struct elf_target *t,
             struct device *images, struct elf_info *info, struct error *e)
{
    struct reader r = {data, false, false};
    if (check_header(path, data, size, t, &r, e)) return -1;
    unsigned want = r.is64 ? 56 : 32;
    uint64_t phoff = rsize(&r, r.is64 ? 32 : 28);
    unsigned phentsize = r16(&r, r.is64 ? 54 : 42), phnum = r16(&r, r.is64 ? 56 : 44);
    if (!phnum || phnum == PN_XNUM) {
        return error_set(e, "could not load kernel '%s': e_phnum %u: no program headers", path,
                         phnum);
    }
    if (phentsize < want) {
        return error_set(e, "could not load kernel '%s': e_phentsize %u is less than %u", path,
                         phentsize, want);
    }
    if (phoff > size || (uint64_t)phentsize * phnum > size - phoff) {
        return error_set(e,
                         "could not load kernel '%s': e_phoff 0x%" PRIx64
                         ": the program headers reach beyond the file's end",
                         path, phoff);
    }
    memset(info, 0, sizeof *info);
    info->is64 = r.is64;
    info->entry = raddr(&r, 24);
    info->low = UINT64_MAX;
    /* First all checks, so that a bad file adds nothing. */
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < phnum; i++) {
            uint64_t at = phoff + (uint64_t)i * phentsize, phys;
            if (r32(&r, at) != PT_LOAD) continue;
            struct segment s;
            if (r.is64) {
                s = (struct segment){r64(&r, at + 8), r64(&r, at + 16), r64(&r, at + 24),
                                     r64(&r, at + 32), r64(&r, at + 40)};
            } else {
                s = (struct segment){r32(&r, at + 4), raddr(&r, at + 8), raddr(&r, at + 12),
                                     r32(&r, at + 16), r32(&r, at + 20)};
            }
            if (!s.memsz) continue;
            if (check_segment(path, size, i, &s, t, &phys, e)) return -1;
            if (!pass) {
                info->low = MIN(info->low, phys);
                info->high = MAX(info->high, phys + s.memsz);
                info->segments++;
                continue;
            }
            if (t->segment) {
                if (t->segment(t->opaque, phys, data + s.offset, s.filesz, e)) return -1;
                continue;
            }
            uint8_t *copy = s.filesz ? mem_alloc((size_t)s.filesz) : NULL;
            if (copy) memcpy(copy, data + s.offset, (size_t)s.filesz);
            boot_images_add(images, "kernel", phys, copy, s.filesz, s.memsz);
        }
        if (!info->segments)
            return error_set(e, "could not load kernel '%s': no segment to load", path);
    }
    return 0;
}
