/*
 * elf-load.c - a loader for ELF relocatable objects (System V ABI, chapter 4; the x86-64 psABI and the ELF for the Arm 64-bit
 * Architecture supplements for relocations). Only what a compiler makes of code without symbols of others: sections with
 * code and constants, local and defined symbols. Everything else is refused. The object is input: nothing in it is trusted.
 */
#include "jit-gccjit/elf-load.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef HAVE_ELF_H
#include <elf.h>

static const Elf64_Ehdr *header(const struct elf_plan *p) { return (const void *)p->file; }
static const Elf64_Shdr *section(const struct elf_plan *p, unsigned i) { return (const Elf64_Shdr *)(const void *)(p->file + header(p)->e_shoff) + i; }

static bool inside(const struct elf_plan *p, uint64_t at, uint64_t n) { return at <= p->file_size && n <= p->file_size - at; }

static bool refuse(const char **why, const char *text)
{
    *why = text;
    return false;
}

static bool headers(struct elf_plan *p, const char **why)
{
    const Elf64_Ehdr *h = header(p);
    const uint16_t machine =
#if defined __aarch64__
        EM_AARCH64;
#else
        EM_X86_64;
#endif
    if (p->file_size < sizeof *h || memcmp(h->e_ident, ELFMAG, SELFMAG) || h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_type != ET_REL) return refuse(why, "no ELF object");
    if (h->e_ident[EI_DATA] != (HOST_BE ? ELFDATA2MSB : ELFDATA2LSB) || h->e_machine != machine) return refuse(why, "an object for another machine");
    if (h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shoff % 8 || !inside(p, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr))) return refuse(why, "a bad section table");
    p->n_sections = h->e_shnum;
    for (unsigned i = 0; i < p->n_sections; i++) {
        const Elf64_Shdr *s = section(p, i);
        if (s->sh_type != SHT_NOBITS && !inside(p, s->sh_offset, s->sh_size)) return refuse(why, "a section outside of the file");
        if (s->sh_addralign > 4096 || (s->sh_addralign & (s->sh_addralign - 1))) return refuse(why, "a strange alignment");
        if (s->sh_type == SHT_SYMTAB) p->symtab = i;
    }
    const Elf64_Shdr *t = section(p, p->symtab);
    if (!p->symtab || t->sh_entsize != sizeof(Elf64_Sym) || t->sh_offset % 8 || t->sh_link >= p->n_sections) return refuse(why, "no symbol table");
    return true;
}

static bool loaded(const Elf64_Shdr *s) { return (s->sh_flags & SHF_ALLOC) && s->sh_size && s->sh_type == SHT_PROGBITS; }

static bool lay_out(struct elf_plan *p, const char **why)
{
    p->section = NEW_ARRAY(struct elf_place, p->n_sections);
    for (unsigned i = 1; i < p->n_sections; i++) {
        const Elf64_Shdr *s = section(p, i);
        if ((s->sh_flags & SHF_ALLOC) && (s->sh_flags & SHF_WRITE) && s->sh_size) return refuse(why, "writable data");
        if (!loaded(s)) continue;
        p->size = ALIGN_UP(p->size, (size_t)MAX(s->sh_addralign, (uint64_t)16));
        p->section[i] = (struct elf_place){ p->size, true };
        p->size += s->sh_size;
        if (p->size > (size_t)1 << 30) return refuse(why, "an object that is too large");
    }
    return true;
}

static const Elf64_Sym *symbol(const struct elf_plan *p, uint64_t i)
{
    const Elf64_Shdr *t = section(p, p->symtab);
    return i < t->sh_size / sizeof(Elf64_Sym) ? (const Elf64_Sym *)(const void *)(p->file + t->sh_offset) + i : NULL;
}

static bool find_functions(struct elf_plan *p, const char **why)
{
    const Elf64_Shdr *t = section(p, p->symtab), *names = section(p, t->sh_link);
    unsigned found = 0;
    p->functions = NEW_ARRAY(struct elf_function, p->n_functions);
    for (uint64_t i = 0; i < t->sh_size / sizeof(Elf64_Sym); i++) {
        const Elf64_Sym *y = symbol(p, i);
        char name[16];
        if (ELF64_ST_TYPE(y->st_info) != STT_FUNC || y->st_shndx >= p->n_sections || !p->section[y->st_shndx].used || y->st_name >= names->sh_size) continue;
        size_t room = MIN((size_t)(names->sh_size - y->st_name), sizeof name - 1);
        memcpy(name, p->file + names->sh_offset + y->st_name, room);
        name[room] = 0;
        if (name[0] != 'r' || name[1] < '0' || name[1] > '9') continue;
        unsigned long n = strtoul(name + 1, NULL, 10);
        const Elf64_Shdr *s = section(p, y->st_shndx);
        if (n >= p->n_functions || p->functions[n].size || y->st_value > s->sh_size || y->st_size > s->sh_size - y->st_value || !y->st_size) continue;
        p->functions[n] = (struct elf_function){ p->section[y->st_shndx].at + y->st_value, y->st_size };
        found++;
    }
    return found == p->n_functions ? true : refuse(why, "a function is missing");
}

bool elf_plan(struct elf_plan *p, const uint8_t *file, size_t size, unsigned n, const char **why)
{
    *p = (struct elf_plan){ .file = file, .file_size = size, .n_functions = n };
    if (headers(p, why) && lay_out(p, why) && find_functions(p, why)) return true;
    elf_plan_free(p);
    return false;
}

void elf_plan_free(struct elf_plan *p)
{
    free(p->section);
    free(p->functions);
    p->section = NULL;
    p->functions = NULL;
}

const uint8_t *elf_section(const struct elf_plan *p, const char *name, size_t *size)
{
    const Elf64_Ehdr *h = header(p);
    const Elf64_Shdr *names = h->e_shstrndx < p->n_sections ? section(p, h->e_shstrndx) : NULL;
    size_t n = strlen(name) + 1;
    for (unsigned i = 1; names && names->sh_type == SHT_STRTAB && i < p->n_sections; i++) {
        const Elf64_Shdr *s = section(p, i);
        if (s->sh_name > names->sh_size || names->sh_size - s->sh_name < n || s->sh_type != SHT_PROGBITS) continue;
        if (memcmp(p->file + names->sh_offset + s->sh_name, name, n)) continue;
        *size = s->sh_size;
        return p->file + s->sh_offset;
    }
    return NULL;
}

/* ---- relocations ----------------------------------------------------------------------------------------- */

static bool fits32s(uint64_t v) { return v + 0x80000000u <= 0xffffffffu; }

#if defined __aarch64__
static void insn_bits(uint8_t *at, uint32_t mask, uint32_t bits) { st32_host(at, (ld32_host(at) & ~mask) | (bits & mask)); }

static bool relocate(uint8_t *at, unsigned type, uint64_t place, uint64_t v)
{
    uint64_t rel = v - place, pages = ((v & ~UINT64_C(0xfff)) - (place & ~UINT64_C(0xfff))) >> 12;
    switch (type) {
    case R_AARCH64_NONE: return true;
    case R_AARCH64_ABS64: st64_host(at, v); return true;
    case R_AARCH64_PREL32: st32_host(at, (uint32_t)rel); return fits32s(rel);
    case R_AARCH64_PREL64: st64_host(at, rel); return true;
    case R_AARCH64_CALL26:
    case R_AARCH64_JUMP26: insn_bits(at, 0x03ffffff, (uint32_t)(rel >> 2)); return rel + 0x8000000 < 0x10000000;
    case R_AARCH64_ADR_PREL_PG_HI21: insn_bits(at, 0x60ffffe0, (uint32_t)((pages & 3) << 29 | (pages >> 2 & 0x7ffff) << 5)); return pages + 0x100000 < 0x200000;
    case R_AARCH64_ADD_ABS_LO12_NC:
    case R_AARCH64_LDST8_ABS_LO12_NC: insn_bits(at, 0x003ffc00, (uint32_t)(v & 0xfff) << 10); return true;
    case R_AARCH64_LDST16_ABS_LO12_NC: insn_bits(at, 0x003ffc00, (uint32_t)(v & 0xfff) >> 1 << 10); return true;
    case R_AARCH64_LDST32_ABS_LO12_NC: insn_bits(at, 0x003ffc00, (uint32_t)(v & 0xfff) >> 2 << 10); return true;
    case R_AARCH64_LDST64_ABS_LO12_NC: insn_bits(at, 0x003ffc00, (uint32_t)(v & 0xfff) >> 3 << 10); return true;
    case R_AARCH64_LDST128_ABS_LO12_NC: insn_bits(at, 0x003ffc00, (uint32_t)(v & 0xfff) >> 4 << 10); return true;
    default: return false;
    }
}
#else
static bool relocate(uint8_t *at, unsigned type, uint64_t place, uint64_t v)
{
    switch (type) {
    case R_X86_64_NONE: return true;
    case R_X86_64_64: st64_host(at, v); return true;
    case R_X86_64_PC64: st64_host(at, v - place); return true;
    case R_X86_64_32: st32_host(at, (uint32_t)v); return v <= 0xffffffffu;
    case R_X86_64_32S: st32_host(at, (uint32_t)v); return fits32s(v);
    case R_X86_64_PC32:
    case R_X86_64_PLT32: st32_host(at, (uint32_t)(v - place)); return fits32s(v - place);
    default: return false;
    }
}
#endif

static unsigned width(unsigned type)
{
#if defined __aarch64__
    return type == R_AARCH64_ABS64 || type == R_AARCH64_PREL64 ? 8 : 4;
#else
    return type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4;
#endif
}

bool elf_place(const struct elf_plan *p, uint8_t *rw, const uint8_t *rx, const char **why)
{
    for (unsigned i = 1; i < p->n_sections; i++) {
        if (p->section[i].used) memcpy(rw + p->section[i].at, p->file + section(p, i)->sh_offset, section(p, i)->sh_size);
    }
    for (unsigned i = 1; i < p->n_sections; i++) {
        const Elf64_Shdr *s = section(p, i);
        if ((s->sh_type != SHT_RELA && s->sh_type != SHT_REL) || s->sh_info >= p->n_sections || !p->section[s->sh_info].used) continue;
        if (s->sh_type == SHT_REL || s->sh_entsize != sizeof(Elf64_Rela) || s->sh_offset % 8 || s->sh_link != p->symtab) return refuse(why, "bad relocations");
        const Elf64_Rela *r = (const void *)(p->file + s->sh_offset);
        const Elf64_Shdr *to = section(p, s->sh_info);
        for (uint64_t k = 0; k < s->sh_size / sizeof *r; k++, r++) {
            const Elf64_Sym *y = symbol(p, ELF64_R_SYM(r->r_info));
            unsigned type = (unsigned)ELF64_R_TYPE(r->r_info);
            if (!y || y->st_shndx >= p->n_sections || !p->section[y->st_shndx].used) return refuse(why, "a symbol that is not defined");
            if (r->r_offset > to->sh_size || to->sh_size - r->r_offset < width(type)) return refuse(why, "a relocation outside of its section");
            uint64_t at = p->section[s->sh_info].at + r->r_offset, base = (uint64_t)(uintptr_t)rx;
            uint64_t v = base + p->section[y->st_shndx].at + y->st_value + (uint64_t)r->r_addend;
            if (!relocate(rw + at, type, base + at, v)) return refuse(why, "a relocation that can't be done");
        }
    }
    return true;
}
#else
bool elf_plan(struct elf_plan *p, const uint8_t *file, size_t size, unsigned n, const char **why)
{
    *p = (struct elf_plan){ .file = file, .file_size = size, .n_functions = n };
    *why = "no ELF on this host";
    return false;
}
bool elf_place(const struct elf_plan *p, uint8_t *rw, const uint8_t *rx, const char **why)
{
    (void)p, (void)rw, (void)rx;
    *why = "no ELF on this host";
    return false;
}
const uint8_t *elf_section(const struct elf_plan *p, const char *name, size_t *size) { return (void)p, (void)name, (void)size, NULL; }
void elf_plan_free(struct elf_plan *p) { (void)p; }
#endif
