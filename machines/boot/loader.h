/*
 * loader.h - what boards use to bring kernels, initial RAM disks and firmware into a machine: files
 * (gzip is unwrapped), ELF executables, and images that every reset puts back into memory.
 */
#ifndef MACHINES_BOOT_LOADER_H
#define MACHINES_BOOT_LOADER_H

#include "bus/dev.h"

/* The contents of a file. boot_file_free releases data and clears. */
struct boot_file {
    uint8_t *data;
    uint64_t size;
};

/* Reads all of `path`; a gzip file is decompressed. More than max bytes (before or after) is an
 * error. 0 or -1. */
int boot_read_file(const char *path, uint64_t max, struct boot_file *out, struct error *e);
/* The same without unwrapping. */
int boot_read_raw(const char *path, uint64_t max, struct boot_file *out, struct error *e);
void boot_file_free(struct boot_file *);
/* A file that is read when its contents are wanted, from the offset `from` on. */
struct boot_stream {
    int fd;
    uint64_t from, size; /* as it was when it was opened, without what is before `from` */
    char *path;
    bool told;           /* that it is not what it was */
};
/* NULL + error as boot_read_raw. */
struct boot_stream *boot_stream_open(const char *path, uint64_t from, uint64_t max, struct error *e);
/* n bytes from `at` on; what the file does not have any more is left as it is, which is said once. opaque: the stream. */
void boot_stream_read(void *opaque, uint64_t at, uint8_t *buf, size_t n);
void boot_stream_close(void *opaque); /* NULL is fine */
/* Firmware: `name` as a path, then in the directories of search (NULL-ended, may be NULL), then in
 * those built in. Returns the allocated path, or NULL + error naming the file. */
char *boot_find_firmware(const char *name, const char *const *search, struct error *e);

/* Images that reset puts back: a device of the machine, gone with it. */
struct device *boot_images_new(struct machine_bus *mb, struct error *e);
/* Takes over data (mem_alloc'ed, `size` bytes, may be NULL when 0); zeros follow up to mem_size.
 * Ranges must be RAM or ROM. */
void boot_images_add(struct device *images, const char *name, uint64_t addr, uint8_t *data,
                     uint64_t size, uint64_t mem_size);
/* The range [addr, addr + size) that meets an image; its name, or NULL. */
const char *boot_images_overlap(struct device *images, uint64_t addr, uint64_t size);

/* ---- ELF ---- */

struct elf_target {
    uint16_t machine; /* EM_* the board's CPUs execute */
    bool big_endian, allow64;
    /* Where the program header's virtual (physical) address lies in physical memory; false:
     * nowhere. */
    bool (*to_phys)(void *opaque, uint64_t vaddr, uint64_t paddr, uint64_t *phys);
    /* NULL: segments become images. Else called for each once info is complete; data is of the file. 0 or -1. */
    int (*segment)(void *opaque, uint64_t phys, const uint8_t *data, uint64_t size, struct error *e);
    void *opaque;
    uint64_t limit; /* first physical address that is not memory */
};
struct elf_info {
    bool is64;
    uint64_t entry;     /* virtual; sign-extended for 32-bit files */
    uint64_t low, high; /* physical range of all segments: [low, high) */
    unsigned segments;
};

/* Is it an ELF file at all? */
bool elf_is(const uint8_t *data, uint64_t size);
/* Checks an ELF executable and adds its loadable segments to images. Every offset, size and address
 * is checked; messages name the file and the field. 0 or -1. */
int elf_load(const char *path, const uint8_t *data, uint64_t size, const struct elf_target *t,
             struct device *images, struct elf_info *info, struct error *e);

enum { ELF_EM_MIPS = 8 };

#endif
