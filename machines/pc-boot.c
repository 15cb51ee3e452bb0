/*
 * pc-boot.c - what the PC boards' firmware is given: its ROM, CMOS contents, and the items and files
 * of fw_cfg.
 *
 * The CMOS layout is that of IBM compatible firmware, with the fields that SeaBIOS reads.
 */
#include "machines/pc.h"
#include "machines/pc-options.h"

#include "blockfmt/block.h"
#include "machines/boot/loader.h"
#include "machines/boot/x86-flat.h"
#include "machines/boot/x86-linux.h"
#include "machines/pc-tables.h"
#include "periph/block/fdc.h"
#include "periph/misc/fw_cfg.h"
#include "periph/pci/pci.h"
#include "periph/timer/mc146818.h"

#include <inttypes.h>

enum { BIOS_UNIT = 0x10000, BIOS_MAX = 0x1000000, LOW_SIZE = 0x40000, LOW_BIOS = 0x20000 };
enum { E820_RAM = 1, E820_RESERVED = 2 };

/* The last n bytes, in RAM below 1 MiB. */
static int copy_firmware(struct machine_bus *mb, const struct boot_file *f, uint64_t n, struct error *e)
{
    struct device *images = boot_images_new(mb, e);
    if (!images) return -1;
    uint8_t *copy = mem_alloc((size_t)n);
    memcpy(copy, f->data + (f->size - n), (size_t)n);
    boot_images_add(images, "bios", 0x100000 - n, copy, n, n);
    return 0;
}

int pc_load_firmware(struct pc *pc, struct region *low, struct error *e)
{
    struct machine *m = pc->machine;
    struct machine_bus *mb = m->mb;
    struct boot_file f;
    /* Without a bridge that makes memory of ROM all of the firmware has to fit below 1 MiB. */
    const char *name = m->cfg.bios ? m->cfg.bios : pc->isa_only ? "bios.bin" : "bios-256k.bin";
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
        if (low)
            region_add(low, mb_own_region(mb, region_new_alias("isa-bios", bios, f.size - n, n)), LOW_SIZE - n, 0);
        else if (copy_firmware(mb, &f, n, e))
            bios = NULL;
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

int pc_isa_vga_rom(struct pc *pc, struct error *e)
{
    static const char name[] = "vgabios-isavga.bin";
    struct boot_file f;
    char *path = boot_find_firmware(name, pc->machine->cfg.firmware_path, e);
    if (!path) return error_hint(e, "SeaVGABIOS is in Debian's package seabios; -vga none does without");
    int rc = boot_read_raw(path, BIOS_MAX, &f, e);
    mem_free(path);
    if (rc) return -1;
    rc = fw_cfg_add_file(pc->fw_cfg, "vgaroms/vgabios-isavga.bin", f.data, (uint32_t)f.size, e);
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

static int check_boot_order(const char *order, struct error *e)
{
    for (unsigned i = 0; order && order[i]; i++) {
        if (i == 3) return error_set(e, "Too many boot devices for PC");
        if (!boot_letter(order[i])) return error_set(e, "Invalid boot device for PC: '%c'", order[i]);
    }
    return 0;
}

void pc_set_boot_order(struct pc *pc)
{
    const struct machine_config *c = &pc->machine->cfg;
    const char *order = c->boot_once && !pc->booted ? c->boot_once : c->boot_order ? c->boot_order : "cad";
    uint8_t v[3] = {0};
    for (unsigned i = 0; i < 3 && order[i]; i++)
        v[i] = boot_letter(order[i]);
    mc146818_set_cmos(pc->rtc, 0x3d, (uint8_t)(v[1] << 4 | v[0]));
    mc146818_set_cmos(pc->rtc, 0x38, (uint8_t)(v[2] << 4 | c->no_fd_bootchk));
    pc->booted = true;
}

/* How firmware translates the geometry of IDE disks: two bits for each. */
static void disk_translation(struct pc *pc)
{
    const struct machine_config *c = &pc->machine->cfg;
    unsigned v = 0;
    if (pc->q35) return; /* not of AHCI's */
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
    unsigned a = pc->fdc ? fdc_drive_type(pc->fdc, 0) : 0, b = pc->fdc ? fdc_drive_type(pc->fdc, 1) : 0;
    unsigned floppies = (a != 0) + (b != 0);
    mc146818_set_cmos(pc->rtc, 0x10, (uint8_t)(a << 4 | b));
    /* Equipment: FPU, PS/2 mouse, floppy drives. */
    mc146818_set_cmos(pc->rtc, 0x14, (uint8_t)(0x06 | (floppies ? 1 | (floppies - 1) << 6 : 0)));
    disk_translation(pc);
    const struct machine_config *c = &pc->machine->cfg;
    return check_boot_order(c->boot_order, e) || check_boot_order(c->boot_once, e) ? -1 : 0;
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
    const char *first = NULL; /* in the boot order */
    unsigned cores = MAX(c->cores, 1u) * MAX(c->dies, 1u), threads = cores * MAX(c->threads, 1u);
    struct pc_tables t = {.n_cpus = pc->machine->n_cpus,
                                .max_cpus = pc->max_cpus,
                                .apic_id = pc->apic_id,
                                .sockets = (pc->max_cpus + threads - 1) / threads,
                                .cores = cores,
                                .threads = threads,
                                .low_ram = pc->low_ram,
                                .high_ram = pc->high_ram,
                                .q35 = pc->q35,
                                .hpet = pc->hpet != NULL,
                                .fdc = pc->has_fdc,
                                .parallel = pc->has_parallel,
                                .uuid = c->uuid,
                                .acpi_tables = c->acpi_tables};
    fw_cfg_add_int(fw, FW_CFG_RAM_SIZE, c->ram_size, 8);
    fw_cfg_add_int(fw, FW_CFG_NOGRAPHIC, 0, 2);
    fw_cfg_add_int(fw, FW_CFG_NB_CPUS, pc->machine->n_cpus, 2);
    fw_cfg_add_int(fw, FW_CFG_MAX_CPUS, pc->apic_id[pc->max_cpus - 1] + 1u, 2); /* the ids, not the CPUs */
    fw_cfg_add_int(fw, FW_CFG_BOOT_MENU, c->boot_menu, 2);
    if (add_e820(pc, e) || pc_boot_files(pc, e) || pc_option_roms(pc, e)) return -1;
    if (!c->no_acpi && !pc->isa_only && pc_acpi_tables(fw, &t, e)) return -1;
    struct pc_smbios_set *smbios = pc_smbios_parse(c->smbios, e);
    t.smbios = smbios;
    int rc = smbios ? pc_smbios_tables(fw, &t, e) : -1;
    pc_smbios_free(smbios);
    if (rc) return rc;
    rc = c->kernel ? x86_flat_load(pc->machine, fw, pc->low_ram, pc->high_ram, &first, e) : 0;
    if (rc > 0) rc = x86_linux_load(pc->machine, fw, pc->low_ram, &first, e);
    if (rc) return rc;
    if (pc_boot_order_file(pc, first, e) || pc_user_fw_cfg(pc, e)) return -1;
    return fill_cmos(pc, e);
}
