/*
 * pc-boot.c - what the PC boards' firmware is given: its ROM, CMOS contents, and the items and files
 * of fw_cfg.
 *
 * The CMOS layout is that of IBM compatible firmware, with the fields that SeaBIOS reads.
 */
#include "machines/pc.h"

#include "blockfmt/block.h"
#include "machines/boot/loader.h"
#include "machines/boot/x86-linux.h"
#include "machines/pc-tables.h"
#include "periph/block/fdc.h"
#include "periph/misc/fw_cfg.h"
#include "periph/pci/pci.h"
#include "periph/timer/mc146818.h"

#include <inttypes.h>

enum { BIOS_UNIT = 0x10000, BIOS_MAX = 0x1000000, LOW_SIZE = 0x40000, LOW_BIOS = 0x20000 };
enum { E820_RAM = 1, E820_RESERVED = 2 };

int pc_load_firmware(struct pc *pc, struct region *low, struct error *e)
{
    struct machine *m = pc->machine;
    struct machine_bus *mb = m->mb;
    struct boot_file f;
    const char *name = m->cfg.bios ? m->cfg.bios : "bios-256k.bin";
    char *path = boot_find_firmware(name, m->cfg.firmware_path, e);
    if (!path) return error_hint(e, "SeaBIOS is in Debian's package seabios; -L adds a directory to look in");
    int rc = boot_read_raw(path, BIOS_MAX, &f, e);
    if (!rc && f.size % BIOS_UNIT) {
        rc = error_set(e, "'%s' is no firmware: its size, %" PRIu64 ", is not a multiple of 64 KiB",
                       path, f.size);
        boot_file_free(&f);
    }
    mem_free(path);
    if (rc) {
        error_prefix(e, "could not load PC BIOS");
        return -1;
    }
    struct region *bios = mb_own_region(mb, region_new_rom("pc.bios", f.size, e));
    if (bios) {
        uint64_t n = MIN(f.size, (uint64_t)LOW_BIOS);
        memcpy(region_ram(bios), f.data, (size_t)f.size);
        region_add(mb->mem_root, bios, UINT64_C(0x100000000) - f.size, 0);
        region_add(low, mb_own_region(mb, region_new_alias("isa-bios", bios, f.size - n, n)),
                   LOW_SIZE - n, 0);
    }
    boot_file_free(&f);
    return bios ? 0 : -1;
}

int pc_vga_rom(struct pc *pc, struct device *vga, struct error *e)
{
    struct boot_file f;
    char *path = boot_find_firmware("vgabios-stdvga.bin", pc->machine->cfg.firmware_path, e);
    if (!path) return error_hint(e, "SeaVGABIOS is in Debian's package seabios; -vga none does without");
    int rc = boot_read_raw(path, BIOS_MAX, &f, e);
    mem_free(path);
    if (rc) return -1;
    rc = pci_load_rom(pci_device(vga), f.data, f.size, e);
    boot_file_free(&f);
    return rc;
}

/* ---- CMOS ---- */

static void cmos16(struct pc *pc, unsigned index, uint64_t value)
{
    uint64_t v = MIN(value, 0xffffu);
    mc146818_set_cmos(pc->rtc, index, (uint8_t)v);
    mc146818_set_cmos(pc->rtc, index + 1, (uint8_t)(v >> 8));
}

static uint8_t boot_letter(char c)
{
    switch (c) {
    case 'a':
    case 'b': return 1;
    case 'c': return 2;
    case 'd': return 3;
    case 'n':
    case 'o':
    case 'p': return 4;
    default: return 0;
    }
}

static int boot_order(struct pc *pc, struct error *e)
{
    const char *order = pc->machine->cfg.boot_order ? pc->machine->cfg.boot_order : "cad";
    uint8_t v[3] = {0};
    for (unsigned i = 0; order[i]; i++) {
        uint8_t b = boot_letter(order[i]);
        if (!b) return error_set(e, "Invalid boot device for PC: '%c'", order[i]);
        if (i < 3) v[i] = b;
    }
    mc146818_set_cmos(pc->rtc, 0x3d, (uint8_t)(v[1] << 4 | v[0]));
    mc146818_set_cmos(pc->rtc, 0x38, (uint8_t)(v[2] << 4 | pc->machine->cfg.no_fd_bootchk));
    return 0;
}

/* How firmware translates the geometry of IDE disks: two bits for each. */
static void disk_translation(struct pc *pc)
{
    const struct machine_config *c = &pc->machine->cfg;
    unsigned v = 0;
    for (unsigned i = 0; i < c->n_drives; i++) {
        const struct drive_config *d = &c->drives[i];
        if (d->interface != DRIVE_IDE || d->cdrom || !d->blk || d->index < 0 || d->index > 3) continue;
        /* More cylinders than the BIOS interface has: by logical block addresses. */
        if (blk_size(d->blk) / 512 / (16 * 63) > 1024) v |= 1u << (2 * d->index);
    }
    mc146818_set_cmos(pc->rtc, 0x39, (uint8_t)v);
}

static int fill_cmos(struct pc *pc, struct error *e)
{
    uint64_t low = pc->low_ram;
    cmos16(pc, 0x15, MIN(low >> 10, 640u));
    cmos16(pc, 0x17, low > 1 << 20 ? (low - (1 << 20)) >> 10 : 0);
    cmos16(pc, 0x30, low > 1 << 20 ? (low - (1 << 20)) >> 10 : 0);
    cmos16(pc, 0x34, low > 16 << 20 ? (low - (16 << 20)) >> 16 : 0);
    for (unsigned i = 0; i < 3; i++)
        mc146818_set_cmos(pc->rtc, 0x5b + i, (uint8_t)(pc->high_ram >> (16 + 8 * i)));
    mc146818_set_cmos(pc->rtc, 0x5f, (uint8_t)(pc->machine->n_cpus - 1));
    unsigned a = fdc_drive_type(pc->fdc, 0), b = fdc_drive_type(pc->fdc, 1), floppies = (a != 0) + (b != 0);
    mc146818_set_cmos(pc->rtc, 0x10, (uint8_t)(a << 4 | b));
    /* Equipment: FPU, PS/2 mouse, floppy drives. */
    mc146818_set_cmos(pc->rtc, 0x14, (uint8_t)(0x06 | (floppies ? 1 | (floppies - 1) << 6 : 0)));
    disk_translation(pc);
    return boot_order(pc, e);
}

/* ---- fw_cfg ---- */

static int add_e820(struct pc *pc, struct error *e)
{
    uint8_t t[2 * 20];
    st64_le(t, 0), st64_le(t + 8, pc->low_ram), st32_le(t + 16, E820_RAM);
    st64_le(t + 20, UINT64_C(1) << 32), st64_le(t + 28, pc->high_ram), st32_le(t + 36, E820_RAM);
    return fw_cfg_add_file(pc->fw_cfg, "etc/e820", t, pc->high_ram ? 40 : 20, e);
}

int pc_configure(struct pc *pc, struct error *e)
{
    const struct machine_config *c = &pc->machine->cfg;
    struct device *fw = pc->fw_cfg;
    uint8_t wait[4];
    const struct pc_tables t = {.n_cpus = pc->machine->n_cpus,
                                .low_ram = pc->low_ram,
                                .high_ram = pc->high_ram,
                                .hpet = pc->hpet != NULL,
                                .fdc = pc->has_fdc,
                                .parallel = pc->has_parallel,
                                .uuid = c->uuid};
    fw_cfg_add_int(fw, FW_CFG_RAM_SIZE, c->ram_size, 8);
    fw_cfg_add_int(fw, FW_CFG_NOGRAPHIC, 0, 2);
    fw_cfg_add_int(fw, FW_CFG_NB_CPUS, pc->machine->n_cpus, 2);
    fw_cfg_add_int(fw, FW_CFG_MAX_CPUS, pc->machine->n_cpus, 2);
    fw_cfg_add_int(fw, FW_CFG_BOOT_MENU, c->boot_menu, 2);
    st32_le(wait, UINT32_MAX); /* no reboot when nothing can be booted */
    if (add_e820(pc, e) || fw_cfg_add_file(fw, "etc/boot-fail-wait", wait, sizeof wait, e)) return -1;
    if (fw_cfg_add_file(fw, "bootorder", "", 0, e)) return -1;
    if (!c->no_acpi && pc_acpi_tables(fw, &t, e)) return -1;
    if (pc_smbios_tables(fw, &t, e)) return -1;
    if (c->kernel && x86_linux_load(pc->machine, fw, pc->low_ram, e)) return -1;
    return fill_cmos(pc, e);
}
