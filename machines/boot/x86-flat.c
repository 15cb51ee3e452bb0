/*
 * x86-flat.c - reads kernels that are entered in flat 32-bit protected mode, and leaves them in fw_cfg for rom/flatboot.S:
 * Multiboot kernels (in ELF or with addresses in their header) and ELF kernels with a PVH entry.
 *
 * Follows the Multiboot specification 0.6.96 and Xen's "x86/HVM direct boot ABI". What they are told of memory leaves out what
 * firmware keeps for its tables. Video modes and boot devices are not passed.
 */
#include "machines/boot/x86-flat.h"

#include "machines/boot/loader.h"
#include "machines/boot/rom/flatboot.h"
#include "machines/boot/x86-linux.h"
#include "periph/misc/fw_cfg.h"

#include <inttypes.h>

enum { MB_MAGIC = 0x1badb002, MB_SEARCH = 8192, MB_ALIGN = 1, MB_MEMORY = 2, MB_VIDEO = 4, MB_ADDRESSES = 1 << 16 };
enum { MB_REQUIRED = 0xffff, MB_MAX_MODULES = 64 };
enum { INFO_MEMORY = 1, INFO_CMDLINE = 4, INFO_MODULES = 8, INFO_MAP = 64, INFO_LOADER = 512, INFO_SIZE = 116 };
enum { PVH_MAGIC = 0x336ec578, PVH_INFO = 56, PVH_NOTE = 18 };
enum { EM_386 = 3, EM_X86_64 = 62, PT_NOTE = 4 };
enum { PAGE = 4096, LOW_START = 0x8000, LOW_END = 0x90000, FIRMWARE = 0xf0000, HIGH = 0x100000, KEEP_FOR_FIRMWARE = 0x40000 };
static const uint64_t max_file = UINT64_C(1) << 30;

/* A kernel's memory, and behind it what it is told: information, texts, modules. */
struct flat {
    const char *path;
    uint64_t low_ram;
    struct elf_info elf;
    uint8_t *image;
    uint64_t addr, size, entry;
    uint8_t *blob;
    uint64_t blob_addr, blob_size;
};

/* ---- the blob ---- */

/* Room for n bytes, zeros, at a multiple of align; its offset. */
static uint64_t grow(struct flat *k, uint64_t n, uint64_t align)
{
    uint64_t at = ALIGN_UP(k->blob_size, align);
    k->blob = mem_realloc(k->blob, (size_t)(at + n));
    memset(k->blob + k->blob_size, 0, (size_t)(at + n - k->blob_size));
    k->blob_size = at + n;
    return at;
}

static uint64_t add_text(struct flat *k, const char *text)
{
    uint64_t at = grow(k, strlen(text) + 1, 4);
    memcpy(k->blob + at, text, strlen(text));
    return k->blob_addr + at;
}

/* A file on pages of its own; where and how long. */
static int add_module(struct flat *k, const char *path, uint64_t *addr, uint64_t *size, struct error *e)
{
    struct boot_file f;
    if (boot_read_raw(path, max_file, &f, e)) {
        error_prefix(e, "could not load initial RAM disk");
        return -1;
    }
    uint64_t at = grow(k, ALIGN_UP(f.size, (uint64_t)PAGE), PAGE);
    memcpy(k->blob + at, f.data, (size_t)f.size);
    *addr = k->blob_addr + at, *size = f.size;
    boot_file_free(&f);
    return 0;
}

/* The memory map: base, length, type. */
struct range {
    uint64_t base, size;
    uint32_t type;
};
enum { MAX_RANGES = 6, RAM = 1, RESERVED = 2 };
static unsigned memory_map(const struct flat *k, uint64_t high_ram, struct range *r)
{
    unsigned n = 0;
    uint64_t end = k->low_ram - KEEP_FOR_FIRMWARE;
    r[n++] = (struct range){0, 0x9fc00, RAM};
    r[n++] = (struct range){0x9fc00, 0x400, RESERVED};
    r[n++] = (struct range){0xf0000, 0x10000, RESERVED};
    r[n++] = (struct range){HIGH, end - HIGH, RAM};
    r[n++] = (struct range){end, KEEP_FOR_FIRMWARE, RESERVED};
    if (high_ram) r[n++] = (struct range){UINT64_C(1) << 32, high_ram, RAM};
    return n;
}

/* ---- ELF ---- */

static bool same_address(void *opaque, uint64_t vaddr, uint64_t paddr, uint64_t *phys)
{
    (void)opaque, (void)vaddr;
    *phys = paddr;
    return true;
}

static int copy_segment(void *opaque, uint64_t phys, const uint8_t *data, uint64_t size, struct error *e)
{
    struct flat *k = opaque;
    if (!k->image) {
        k->addr = k->elf.low, k->size = k->elf.high - k->elf.low;
        if (k->size > max_file)
            return error_set(e, "could not load kernel '%s': its segments are more than 1 GiB apart", k->path);
        k->image = mem_zalloc((size_t)k->size);
    }
    if (size) memcpy(k->image + (phys - k->addr), data, (size_t)size);
    return 0;
}

static int read_elf(struct flat *k, const struct boot_file *f, unsigned machine, struct error *e)
{
    const struct elf_target t = {.machine = (uint16_t)machine,
                                 .allow64 = machine == EM_X86_64,
                                 .to_phys = same_address,
                                 .segment = copy_segment,
                                 .opaque = k,
                                 .limit = k->low_ram};
    return elf_load(k->path, f->data, f->size, &t, NULL, &k->elf, e);
}

/* The PVH entry among an ELF file's notes; 0: it has none. elf_load checks the same headers later: here what is bad ends the search. */
static uint32_t pvh_entry(const struct boot_file *f)
{
    const uint8_t *p = f->data;
    if (f->size < 64 || p[5] != 1 || (p[4] != 1 && p[4] != 2)) return 0;
    bool wide = p[4] == 2;
    uint64_t phoff = wide ? ld64_le(p + 32) : ld32_le(p + 28);
    unsigned size = ld16_le(p + (wide ? 54 : 42)), n = ld16_le(p + (wide ? 56 : 44));
    for (unsigned i = 0; i < n && size >= (wide ? 56u : 32u); i++) {
        uint64_t at = phoff + (uint64_t)i * size;
        if (phoff > f->size || at + size > f->size) return 0;
        if (ld32_le(p + at) != PT_NOTE) continue;
        uint64_t note = wide ? ld64_le(p + at + 8) : ld32_le(p + at + 4);
        uint64_t left = wide ? ld64_le(p + at + 32) : ld32_le(p + at + 16);
        if (note > f->size || left > f->size - note) return 0;
        while (left >= 12) {
            uint64_t name = ld32_le(p + note), desc = ld32_le(p + note + 4);
            uint64_t whole = 12 + ALIGN_UP(name, UINT64_C(4)) + ALIGN_UP(desc, UINT64_C(4));
            if (whole > left) break;
            const uint8_t *value = p + note + 12 + ALIGN_UP(name, UINT64_C(4));
            if (name == 4 && !memcmp(p + note + 12, "Xen", 4) && ld32_le(p + note + 8) == PVH_NOTE && desc >= 4)
                return ld32_le(value);
            note += whole, left -= whole;
        }
    }
    return 0;
}

/* ---- Multiboot ---- */

static const uint8_t *multiboot_header(const struct boot_file *f, uint64_t *at)
{
    for (uint64_t i = 0; i + 12 <= MIN(f->size, (uint64_t)MB_SEARCH); i += 4) {
        const uint8_t *h = f->data + i;
        if (ld32_le(h) == MB_MAGIC && !(uint32_t)(ld32_le(h) + ld32_le(h + 4) + ld32_le(h + 8))) {
            *at = i;
            return h;
        }
    }
    return NULL;
}

/* The part of the file that the header's addresses name. */
static int read_addressed(struct flat *k, const struct boot_file *f, const uint8_t *h, uint64_t at, struct error *e)
{
    if (at + 32 > f->size) return error_set(e, "'%s': the Multiboot header is cut off", k->path);
    uint64_t header = ld32_le(h + 12), load = ld32_le(h + 16), load_end = ld32_le(h + 20), bss_end = ld32_le(h + 24);
    if (load > header || header - load > at)
        return error_set(e, "'%s': the Multiboot header's load address %" PRIx64 " is not in the file", k->path, load);
    uint64_t offset = at - (header - load), n = f->size - offset;
    if (load_end) {
        if (load_end < load || load_end - load > n)
            return error_set(e, "'%s': the Multiboot header's end of data %" PRIx64 " is beyond the file's end", k->path, load_end);
        n = load_end - load;
    }
    uint64_t size = bss_end ? bss_end - load : n;
    if (bss_end && bss_end < load + n)
        return error_set(e, "'%s': the Multiboot header's end of bss %" PRIx64 " is before the end of the data", k->path, bss_end);
    if (load + size > k->low_ram) return error_set(e, "'%s': the kernel does not fit into memory", k->path);
    k->addr = load, k->size = size, k->entry = ld32_le(h + 28);
    k->image = mem_zalloc((size_t)size + 1);
    memcpy(k->image, f->data + offset, (size_t)n);
    return 0;
}

static int read_multiboot(struct flat *k, const struct boot_file *f, const uint8_t *h, uint64_t at, struct error *e)
{
    uint32_t flags = ld32_le(h + 4);
    uint32_t unknown = flags & MB_REQUIRED & ~(uint32_t)(MB_ALIGN | MB_MEMORY | MB_VIDEO);
    if (unknown) return error_set(e, "'%s': the Multiboot header asks for what is not known (flags %" PRIx32 "h)", k->path, unknown);
    if (flags & MB_VIDEO) error_warn("'%s' asks for a video mode, which is not set", k->path);
    if (flags & MB_ADDRESSES) return read_addressed(k, f, h, at, e);
    if (elf_is(f->data, f->size) && f->size > 4 && f->data[4] == 2)
        return error_set(e, "'%s' is a 64-bit file: Multiboot kernels are 32-bit ones", k->path);
    if (read_elf(k, f, EM_386, e)) return -1;
    k->entry = (uint32_t)k->elf.entry;
    return 0;
}

/* Modules: "FILE TEXT,FILE TEXT...". */
static int multiboot_modules(struct flat *k, const char *list, uint64_t info, struct error *e)
{
    uint64_t table = grow(k, 16 * MB_MAX_MODULES, 4);
    uint32_t n = 0;
    for (const char *p = list; *p; p += *p == ',') {
        size_t len = strcspn(p, ",");
        char *text = mem_printf("%.*s", (int)len, p), *space = strchr(text, ' ');
        char *path = mem_printf("%.*s", space ? (int)(space - text) : (int)len, text);
        uint64_t addr = 0, size = 0;
        int rc = n == MB_MAX_MODULES ? error_set(e, "more than %d modules in -initrd", MB_MAX_MODULES)
                                     : add_module(k, path, &addr, &size, e);
        uint64_t name = rc ? 0 : add_text(k, text);
        mem_free(path);
        mem_free(text);
        if (rc) return rc;
        uint8_t *m = k->blob + table + 16 * n++;
        st32_le(m, (uint32_t)addr), st32_le(m + 4, (uint32_t)(addr + size)), st32_le(m + 8, (uint32_t)name);
        p += len;
    }
    st32_le(k->blob + info + 20, n);
    st32_le(k->blob + info + 24, (uint32_t)(k->blob_addr + table));
    return 0;
}

static int tell_multiboot(struct flat *k, const struct machine_config *c, uint64_t high_ram, struct error *e)
{
    struct range r[MAX_RANGES];
    uint64_t info = grow(k, INFO_SIZE, 4);
    unsigned n = memory_map(k, high_ram, r);
    uint64_t map = grow(k, 24 * n, 4);
    for (unsigned i = 0; i < n; i++) {
        uint8_t *m = k->blob + map + 24 * i;
        st32_le(m, 20), st64_le(m + 4, r[i].base), st64_le(m + 12, r[i].size), st32_le(m + 20, r[i].type);
    }
    char *cmdline = c->append ? mem_printf("%s %s", k->path, c->append) : mem_strdup(k->path);
    uint64_t text = add_text(k, cmdline), loader = add_text(k, "quern");
    mem_free(cmdline);
    if (c->initrd && multiboot_modules(k, c->initrd, info, e)) return -1;
    uint8_t *b = k->blob + info;
    st32_le(b, INFO_MEMORY | INFO_CMDLINE | INFO_MAP | INFO_LOADER | (c->initrd ? INFO_MODULES : 0));
    st32_le(b + 4, 639);
    st32_le(b + 8, (uint32_t)((k->low_ram - KEEP_FOR_FIRMWARE - HIGH) >> 10));
    st32_le(b + 16, (uint32_t)text);
    st32_le(b + 44, 24 * n), st32_le(b + 48, (uint32_t)(k->blob_addr + map));
    st32_le(b + 64, (uint32_t)loader);
    return 0;
}

/* ---- PVH ---- */

static int tell_pvh(struct flat *k, const struct machine_config *c, uint64_t high_ram, struct error *e)
{
    struct range r[MAX_RANGES];
    uint64_t info = grow(k, PVH_INFO, 8), addr, size;
    unsigned n = memory_map(k, high_ram, r);
    uint64_t map = grow(k, 24 * n, 8);
    for (unsigned i = 0; i < n; i++) {
        uint8_t *m = k->blob + map + 24 * i;
        st64_le(m, r[i].base), st64_le(m + 8, r[i].size), st32_le(m + 16, r[i].type);
    }
    uint64_t text = add_text(k, c->append ? c->append : ""), modules = grow(k, 32, 8);
    if (c->initrd) {
        if (add_module(k, c->initrd, &addr, &size, e)) return -1;
        st64_le(k->blob + modules, addr), st64_le(k->blob + modules + 8, size);
    }
    uint8_t *b = k->blob + info;
    st32_le(b, PVH_MAGIC), st32_le(b + 4, 1);
    st32_le(b + 12, c->initrd ? 1 : 0);
    st64_le(b + 16, c->initrd ? k->blob_addr + modules : 0);
    st64_le(b + 24, text);
    st64_le(b + 40, k->blob_addr + map), st32_le(b + 48, n);
    return 0;
}

/* ---- all ---- */

static int place(struct flat *k, struct error *e)
{
    uint64_t end = k->addr + k->size;
    if (k->low_ram < HIGH + 2 * KEEP_FOR_FIRMWARE) return error_set(e, "there is too little memory for kernel '%s'", k->path);
    /* A first segment often begins with the file's headers, on the page below: writes to firmware's ROM are lost. */
    if (!(k->addr >= FIRMWARE || (k->addr >= LOW_START && end <= LOW_END)))
        return error_set(e, "'%s': a kernel at %" PRIx64 "h to %" PRIx64 "h is not in memory that firmware leaves free", k->path,
                         k->addr, end);
    if (end > k->low_ram - KEEP_FOR_FIRMWARE)
        return error_set(e, "'%s': the kernel needs more memory than the machine's %" PRIu64 " MiB", k->path, k->low_ram >> 20);
    if (k->entry < k->addr || k->entry >= end)
        return error_set(e, "'%s': the entry point %" PRIx64 "h is not in the kernel", k->path, k->entry);
    k->blob_addr = MAX(ALIGN_UP(end, (uint64_t)PAGE), (uint64_t)HIGH);
    return 0;
}

static int publish(struct flat *k, struct device *fw, struct error *e)
{
    if (k->blob_addr + k->blob_size > k->low_ram - KEEP_FOR_FIRMWARE)
        return error_set(e, "'%s' and its modules do not fit into memory", k->path);
    fw_cfg_add_int(fw, FW_CFG_KERNEL_ENTRY, k->entry, 4);
    fw_cfg_add_int(fw, FW_CFG_KERNEL_ADDR, k->addr, 4);
    fw_cfg_add_int(fw, FW_CFG_KERNEL_SIZE, k->size, 4);
    fw_cfg_add(fw, FW_CFG_KERNEL_DATA, k->image, (uint32_t)k->size);
    fw_cfg_add_int(fw, FW_CFG_INITRD_ADDR, k->blob_addr, 4);
    fw_cfg_add_int(fw, FW_CFG_INITRD_SIZE, k->blob_size, 4);
    fw_cfg_add(fw, FW_CFG_INITRD_DATA, k->blob, (uint32_t)k->blob_size);
    return x86_add_boot_rom(fw, "genroms/flatboot.bin", flatboot_rom, e);
}

int x86_flat_load(struct machine *m, struct device *fw, uint64_t low_ram, uint64_t high_ram, const char **boot, struct error *e)
{
    const struct machine_config *c = &m->cfg;
    struct flat k = {.path = c->kernel, .low_ram = low_ram};
    struct boot_file f;
    uint64_t at = 0;
    if (boot_read_file(c->kernel, max_file, &f, e)) {
        error_prefix(e, "could not load kernel");
        return -1;
    }
    const uint8_t *h = multiboot_header(&f, &at);
    bool elf = elf_is(f.data, f.size);
    uint32_t pvh = elf ? pvh_entry(&f) : 0;
    int rc = 1;
    if (h) {
        rc = read_multiboot(&k, &f, h, at, e);
    } else if (pvh) {
        rc = read_elf(&k, &f, f.data[4] == 2 ? EM_X86_64 : EM_386, e);
        k.entry = pvh;
    } else if (elf) {
        error_set(e, "'%s' is an ELF file without a Multiboot header and without a PVH entry", c->kernel);
        rc = -1;
    }
    if (!rc) rc = place(&k, e);
    if (!rc) rc = h ? tell_multiboot(&k, c, high_ram, e) : tell_pvh(&k, c, high_ram, e);
    if (!rc) rc = publish(&k, fw, e);
    if (!rc) *boot = "/rom@genroms/flatboot.bin";
    boot_file_free(&f);
    mem_free(k.image);
    mem_free(k.blob);
    return rc;
}
