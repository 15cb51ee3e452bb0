/*
 * x86-linux.c - reads a bzImage or zImage, an initial RAM disk and a command line, completes the
 * kernel's header as a boot loader does, and leaves them in fw_cfg for rom/linuxboot.S.
 *
 * Follows Linux's Documentation/arch/x86/boot.rst, protocols 2.00 to 2.15. Multiboot kernels and ELF
 * kernels (PVH) are x86-flat.c's.
 */
#include "machines/boot/x86-linux.h"

#include "machines/boot/loader.h"
#include "machines/boot/rom/linuxboot.h"
#include "periph/misc/fw_cfg.h"

#include <inttypes.h>

enum {
    H_SETUP_SECTS = 0x1f1,
    H_VID_MODE = 0x1fa,
    H_BOOT_FLAG = 0x1fe,
    H_MAGIC = 0x202,
    H_VERSION = 0x206,
    H_LOADER = 0x210,
    H_LOADFLAGS = 0x211,
    H_INITRD = 0x218,
    H_INITRD_SIZE = 0x21c,
    H_HEAP_END = 0x224,
    H_CMDLINE = 0x228,
    H_INITRD_MAX = 0x22c,
    H_CMDLINE_SIZE = 0x238,
    H_INIT_SIZE = 0x260,
    H_OLD_CMDLINE = 0x20,
    HEADER_END = 0x264
};
enum { LOADED_HIGH = 1, CAN_USE_HEAP = 0x80, LOADER_OTHER = 0xff };
enum { SECTOR = 512, HIGH = 0x100000 };
enum { KEEP_FOR_FIRMWARE = 0x40000 }; /* tables at the end of RAM */
static const uint64_t max_file = UINT64_C(1) << 31;

struct kernel {
    struct boot_file file;             /* its beginning may be changed */
    struct boot_stream *rest, *initrd; /* what the guest gets as it is, behind the setup code */
    uint64_t initrd_size;
    uint32_t setup_size, setup_addr, cmdline_addr, kernel_addr, initrd_addr;
    uint16_t version;
};

/* The video mode that "vga=" asks for. */
static void set_video_mode(uint8_t *header, const char *cmdline)
{
    const char *v = strstr(cmdline, "vga=");
    if (!v || (v > cmdline && v[-1] != ' ')) return;
    v += 4;
    uint16_t mode = !strncmp(v, "normal", 6) ? 0xffff
                    : !strncmp(v, "ext", 3)  ? 0xfffe
                    : !strncmp(v, "ask", 3)  ? 0xfffd
                                             : (uint16_t)strtoul(v, NULL, 0);
    st16_le(header + H_VID_MODE, mode);
}

static int check_kernel(const char *path, struct kernel *k, struct error *e)
{
    const uint8_t *h = k->file.data;
    if (k->file.size < HEADER_END || ld16_le(h + H_BOOT_FLAG) != 0xaa55 ||
        memcmp(h + H_MAGIC, "HdrS", 4)) {
        error_set(e, "'%s' is no kernel for a PC", path);
        return error_hint(e, "bzImages of Linux, Multiboot kernels, and ELF files with a PVH entry are");
    }
    k->version = ld16_le(h + H_VERSION);
    if (k->version < 0x200) return error_set(e, "'%s': boot protocol %x is too old", path, k->version);
    k->setup_size = ((h[H_SETUP_SECTS] ? h[H_SETUP_SECTS] : 4) + 1u) * SECTOR;
    if (k->setup_size >= k->file.size)
        return error_set(e, "'%s': its setup code of %u bytes is longer than the file", path,
                         (unsigned)k->setup_size);
    bool high = h[H_LOADFLAGS] & LOADED_HIGH;
    k->setup_addr = high ? 0x10000 : 0x90000;
    k->kernel_addr = high ? HIGH : 0x10000;
    k->cmdline_addr = high ? 0x20000 : 0x99000;
    if (!high && k->file.size - k->setup_size > k->setup_addr - k->kernel_addr)
        return error_set(e, "'%s': a zImage of more than 512 KiB", path);
    return 0;
}

static int place_initrd(const char *path, struct kernel *k, uint64_t low_ram, struct error *e)
{
    const uint8_t *h = k->file.data;
    uint64_t max = k->version >= 0x203 ? ld32_le(h + H_INITRD_MAX) : 0x37ffffffu;
    uint64_t size = k->file.size - k->setup_size;
    if (k->version >= 0x20a) size = MAX(size, (uint64_t)ld32_le(h + H_INIT_SIZE));
    uint64_t end = k->kernel_addr + size;
    if (k->kernel_addr >= HIGH && end + KEEP_FOR_FIRMWARE > low_ram)
        return error_set(e, "'%s': the kernel needs more memory than the machine's %" PRIu64 " MiB",
                         path, low_ram >> 20);
    if (!k->initrd_size) return 0;
    max = MIN(max, low_ram - KEEP_FOR_FIRMWARE - 1);
    if (max < k->initrd_size || ((max + 1 - k->initrd_size) & ~UINT64_C(0xfff)) < end)
        return error_set(e,
                         "the initial RAM disk of %" PRIu64
                         " bytes does not fit into memory behind the kernel",
                         k->initrd_size);
    k->initrd_addr = (uint32_t)((max + 1 - k->initrd_size) & ~UINT64_C(0xfff));
    return 0;
}

static int complete_header(struct kernel *k, const char *cmdline, struct error *e)
{
    uint8_t *h = k->file.data;
    uint64_t limit = k->version >= 0x206 ? ld32_le(h + H_CMDLINE_SIZE) : 255;
    if (strlen(cmdline) > MIN(limit, 0xfff0u))
        return error_set(e, "the kernel takes a command line of at most %" PRIu64 " bytes",
                         MIN(limit, 0xfff0u));
    set_video_mode(h, cmdline);
    h[H_LOADER] = LOADER_OTHER;
    if (k->version >= 0x201) {
        h[H_LOADFLAGS] |= CAN_USE_HEAP;
        st16_le(h + H_HEAP_END, (uint16_t)(k->cmdline_addr - k->setup_addr - 0x200));
    }
    if (k->version >= 0x202) {
        st32_le(h + H_CMDLINE, k->cmdline_addr);
    } else {
        st16_le(h + H_OLD_CMDLINE, 0xa33f);
        st16_le(h + H_OLD_CMDLINE + 2, (uint16_t)(k->cmdline_addr - k->setup_addr));
    }
    st32_le(h + H_INITRD, k->initrd_addr);
    st32_le(h + H_INITRD_SIZE, (uint32_t)k->initrd_size);
    return 0;
}

int x86_add_boot_rom(struct device *fw, const char *name, const uint8_t code[512], struct error *e)
{
    enum { PNP_POINTER = 0x1a, PNP_SIZE = 32, PNP_CHECKSUM = 9 };
    uint8_t rom[512], sum = 0;
    memcpy(rom, code, sizeof rom);
    uint8_t *pnp = rom + ld16_le(rom + PNP_POINTER);
    for (unsigned i = 0; i < PNP_SIZE; i++)
        sum = (uint8_t)(sum + pnp[i]);
    pnp[PNP_CHECKSUM] = (uint8_t)-sum;
    sum = 0;
    for (unsigned i = 0; i < sizeof rom; i++)
        sum = (uint8_t)(sum + rom[i]);
    rom[sizeof rom - 1] = (uint8_t)-sum;
    return fw_cfg_add_file(fw, name, rom, sizeof rom, e);
}

static void add_stream(struct device *fw, unsigned key, struct boot_stream **s)
{
    struct fw_cfg_source source = {boot_stream_read, boot_stream_close, *s};
    fw_cfg_add_source(fw, key, &source, (uint32_t)(*s)->size);
    *s = NULL; /* the device's from now on */
}

static void publish(struct device *fw, struct kernel *k, const char *cmdline)
{
    uint32_t n = (uint32_t)strlen(cmdline) + 1;
    fw_cfg_add_int(fw, FW_CFG_SETUP_ADDR, k->setup_addr, 4);
    fw_cfg_add_int(fw, FW_CFG_SETUP_SIZE, k->setup_size, 4);
    fw_cfg_add(fw, FW_CFG_SETUP_DATA, k->file.data, k->setup_size);
    fw_cfg_add_int(fw, FW_CFG_KERNEL_ADDR, k->kernel_addr, 4);
    fw_cfg_add_int(fw, FW_CFG_KERNEL_SIZE, k->rest->size, 4);
    add_stream(fw, FW_CFG_KERNEL_DATA, &k->rest);
    fw_cfg_add_int(fw, FW_CFG_CMDLINE_ADDR, k->cmdline_addr, 4);
    fw_cfg_add_int(fw, FW_CFG_CMDLINE_SIZE, n, 4);
    fw_cfg_add(fw, FW_CFG_CMDLINE_DATA, cmdline, n);
    fw_cfg_add_int(fw, FW_CFG_INITRD_ADDR, k->initrd_addr, 4);
    fw_cfg_add_int(fw, FW_CFG_INITRD_SIZE, k->initrd_size, 4);
    if (k->initrd) add_stream(fw, FW_CFG_INITRD_DATA, &k->initrd);
}

int x86_linux_load(struct machine *m, struct device *fw, uint64_t low_ram, const char **boot, struct error *e)
{
    const struct machine_config *c = &m->cfg;
    const char *cmdline = c->append ? c->append : "";
    struct kernel k;
    memset(&k, 0, sizeof k);
    int rc = boot_read_raw(c->kernel, max_file, &k.file, e);
    if (rc) error_prefix(e, "could not load kernel");
    if (!rc) rc = check_kernel(c->kernel, &k, e);
    if (!rc) {
        k.rest = boot_stream_open(c->kernel, k.setup_size, max_file, e);
        if (!k.rest) error_prefix(e, "could not load kernel");
        rc = k.rest ? 0 : -1;
    }
    if (!rc && c->initrd) {
        k.initrd = boot_stream_open(c->initrd, 0, max_file, e);
        if (!k.initrd) error_prefix(e, "could not load initial RAM disk");
        rc = k.initrd ? 0 : -1;
        if (k.initrd) k.initrd_size = k.initrd->size;
    }
    if (!rc) rc = place_initrd(c->kernel, &k, low_ram, e);
    if (!rc) rc = complete_header(&k, cmdline, e);
    if (!rc) rc = x86_add_boot_rom(fw, "genroms/linuxboot.bin", linuxboot_rom, e);
    if (!rc) publish(fw, &k, cmdline);
    *boot = "/rom@genroms/linuxboot.bin";
    boot_file_free(&k.file);
    boot_stream_close(k.rest);
    boot_stream_close(k.initrd);
    return rc;
}
