/*
 * jit-gdb.c - compiled code for a host debugger: GDB's JIT compilation interface (GDB manual, "JIT Compilation Interface").
 *
 * Each region is announced as an ELF object in memory with one function symbol, so that backtraces and `info symbol` of
 * a debugger on Quern itself name guest code. On request only (-accel jit,gdb=on): debuggers get slow with thousands of objects.
 */
#include "interp/tier.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef HAVE_ELF_H
#include <elf.h>
#endif

#if defined HAVE_ELF_H && HOST_GNU
#if UINTPTR_MAX > 0xffffffffu
typedef Elf64_Ehdr elf_ehdr;
typedef Elf64_Shdr elf_shdr;
typedef Elf64_Sym elf_sym;
enum { CLASS = ELFCLASS64 };
#define SYM_INFO(b, t) ELF64_ST_INFO(b, t)
#else
typedef Elf32_Ehdr elf_ehdr;
typedef Elf32_Shdr elf_shdr;
typedef Elf32_Sym elf_sym;
enum { CLASS = ELFCLASS32 };
#define SYM_INFO(b, t) ELF32_ST_INFO(b, t)
#endif
#if defined __x86_64__
enum { MACHINE = EM_X86_64 };
#elif defined __aarch64__
enum { MACHINE = EM_AARCH64 };
#else
enum { MACHINE = EM_NONE };
#endif

/* Names and layout are the debugger's. */
struct jit_code_entry {
    struct jit_code_entry *next_entry, *prev_entry;
    const char *symfile_addr;
    uint64_t symfile_size;
};
struct jit_descriptor {
    uint32_t version, action_flag;
    struct jit_code_entry *relevant_entry, *first_entry;
};
extern struct jit_descriptor __jit_debug_descriptor;
void __jit_debug_register_code(void);
struct jit_descriptor __jit_debug_descriptor = { 1, 0, NULL, NULL };
__attribute__((noinline)) void __jit_debug_register_code(void) { __asm__ volatile("" ::: "memory"); }
static pthread_mutex_t debugger = PTHREAD_MUTEX_INITIALIZER; /* the list is the process's */

enum { S_NULL, S_TEXT, S_SYMTAB, S_STRTAB, S_SHSTRTAB, SECTIONS };

struct object {
    struct jit_code_entry entry;
    elf_ehdr head;
    elf_shdr section[SECTIONS];
    elf_sym sym[2];
    char strings[64], names[64];
};

static uint32_t name(struct object *o, size_t *used, const char *s)
{
    uint32_t at = (uint32_t)*used;
    memcpy(o->names + at, s, strlen(s) + 1);
    *used += strlen(s) + 1;
    return at;
}

void *jit_gdb_add(const struct jit_code *c)
{
    struct object *o = NEW(struct object);
    const char *base = (const char *)&o->head;
    size_t names = 1;

    memcpy(o->head.e_ident, ELFMAG, SELFMAG);
    o->head.e_ident[EI_CLASS] = CLASS;
    o->head.e_ident[EI_DATA] = HOST_BE ? ELFDATA2MSB : ELFDATA2LSB;
    o->head.e_ident[EI_VERSION] = EV_CURRENT;
    o->head.e_type = ET_REL, o->head.e_machine = MACHINE, o->head.e_version = EV_CURRENT;
    o->head.e_ehsize = sizeof o->head, o->head.e_shentsize = sizeof(elf_shdr), o->head.e_shnum = SECTIONS;
    o->head.e_shstrndx = S_SHSTRTAB;
    o->head.e_shoff = (size_t)((const char *)o->section - base);
    o->section[S_TEXT] = (elf_shdr){ .sh_name = name(o, &names, ".text"), .sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                                     .sh_addr = (uintptr_t)c->text, .sh_size = c->text_size, .sh_addralign = 1 };
    o->section[S_SYMTAB] = (elf_shdr){ .sh_name = name(o, &names, ".symtab"), .sh_type = SHT_SYMTAB, .sh_link = S_STRTAB, .sh_info = 1,
                                       .sh_offset = (size_t)((const char *)o->sym - base), .sh_size = sizeof o->sym,
                                       .sh_entsize = sizeof(elf_sym), .sh_addralign = sizeof(void *) };
    o->section[S_STRTAB] = (elf_shdr){ .sh_name = name(o, &names, ".strtab"), .sh_type = SHT_STRTAB, .sh_addralign = 1,
                                       .sh_offset = (size_t)(o->strings - base), .sh_size = sizeof o->strings };
    o->section[S_SHSTRTAB] = (elf_shdr){ .sh_name = name(o, &names, ".shstrtab"), .sh_type = SHT_STRTAB, .sh_addralign = 1,
                                         .sh_offset = (size_t)(o->names - base), .sh_size = sizeof o->names };
    o->sym[1] = (elf_sym){ .st_name = 1, .st_info = SYM_INFO(STB_GLOBAL, STT_FUNC), .st_shndx = S_TEXT, .st_size = c->text_size };
    snprintf(o->strings + 1, sizeof o->strings - 1, "guest_%" PRIx64 "_tier%u", c->blocks[0]->pc, c->tier);
    o->entry.symfile_addr = base;
    o->entry.symfile_size = sizeof *o - (size_t)(base - (const char *)o);

    pthread_mutex_lock(&debugger);
    o->entry.next_entry = __jit_debug_descriptor.first_entry;
    if (o->entry.next_entry) o->entry.next_entry->prev_entry = &o->entry;
    __jit_debug_descriptor.first_entry = __jit_debug_descriptor.relevant_entry = &o->entry;
    __jit_debug_descriptor.action_flag = 1; /* register */
    __jit_debug_register_code();
    pthread_mutex_unlock(&debugger);
    return o;
}

void jit_gdb_remove(void *object)
{
    struct object *o = object;
    if (!o) return;
    pthread_mutex_lock(&debugger);
    if (o->entry.prev_entry) o->entry.prev_entry->next_entry = o->entry.next_entry;
    else __jit_debug_descriptor.first_entry = o->entry.next_entry;
    if (o->entry.next_entry) o->entry.next_entry->prev_entry = o->entry.prev_entry;
    __jit_debug_descriptor.relevant_entry = &o->entry;
    __jit_debug_descriptor.action_flag = 2; /* unregister */
    __jit_debug_register_code();
    pthread_mutex_unlock(&debugger);
    free(o);
}
#else
void *jit_gdb_add(const struct jit_code *c) { return (void)c, NULL; }
void jit_gdb_remove(void *object) { (void)object; }
#endif
