/*
 * mipssim.c - the board of MIPS Technologies' instruction set simulator: RAM, a boot ROM, and an
 * ISA I/O window with a 16550 and the simulator's network device. There is no interrupt controller
 * but the CPU's.
 */
#include "machines/boot/mips-linux.h"
#include "machines/machine.h"

#include <inttypes.h>
#include <stdio.h>

enum { ROM_BASE = 0x1fc00000, ROM_SIZE = 0x400000, IO_BASE = 0x1fd00000, IO_SIZE = 0x10000 };
enum { CPU_PIN_NET = 2, CPU_PIN_UART = 4 };
/* The kernel's segment ends where the ROM begins. */
#define MAX_RAM UINT64_C(0x10000000)

struct mipssim {
    struct device dev; /* owns the memory */
    struct region *ram, *rom, *io;
    struct mips_boot boot;
};

static int board_realize(struct device *d, struct error *e)
{
    return 0;
}

static void board_unrealize(struct device *d)
{
    struct mipssim *b = (struct mipssim *)d;
    struct region *r[] = {b->io, b->ram, b->rom};
    for (unsigned i = 0; i < ARRAY_LEN(r); i++) {
        if (!r[i]) continue;
        region_remove(r[i]);
        region_delete(r[i]);
    }
    b->io = b->ram = b->rom = NULL;
}

static const struct prop_desc board_props[] = {PROP_END};
static const struct state_field board_state[] = {
    STATE_RUNTIME(struct mipssim, ram),
    STATE_RUNTIME(struct mipssim, rom),
    STATE_RUNTIME(struct mipssim, io),
    STATE_RUNTIME(struct mipssim, boot),
    STATE_END,
};
static const struct dev_desc board_desc = {
    .name = "mipssim-board",
    .help = "the simulator's board",
    .bus = BUS_SYSTEM,
    .category = DEV_MISC,
    .size = sizeof(struct mipssim),
    .props = board_props,
    .state = board_state,
    .realize = board_realize,
    .unrealize = board_unrealize,
};

static void cpu_pin(void *opaque, unsigned n, bool level)
{
    struct machine *m = opaque;
    if (m->n_cpus) m->cfg.isa->set_irq(m->cpu[0], n, level);
}

static int make_memory(struct machine *m, struct mipssim *b, struct error *e)
{
    b->ram = region_new_ram("mips_mipssim.ram", m->cfg.ram_size, e);
    if (!b->ram) return -1;
    region_add(m->mb->mem_root, b->ram, 0, 0);
    b->rom = region_new_rom("mips_mipssim.bios", ROM_SIZE, e);
    if (!b->rom) return -1;
    region_add(m->mb->mem_root, b->rom, ROM_BASE, 0);
    b->io = region_new_alias("isa-io", m->mb->io_root, 0, IO_SIZE);
    region_add(m->mb->mem_root, b->io, IO_BASE, 1);
    return 0;
}

static int load_bios(struct machine *m, struct mipssim *b, struct error *e)
{
    struct boot_file f;
    char *path = boot_find_firmware(m->cfg.bios, m->cfg.firmware_path, e);
    if (!path) return -1;
    int rc = boot_read_raw(path, ROM_SIZE, &f, e);
    if (!rc) memcpy(region_ram(b->rom), f.data, (size_t)f.size);
    boot_file_free(&f);
    mem_free(path);
    return rc;
}

static int load_kernel(struct machine *m, struct mipssim *b, struct error *e)
{
    char size[32];
    snprintf(size, sizeof size, "%" PRIu64, m->cfg.ram_size);
    const char *const env[] = {"memsize", size, NULL};
    struct device *images = boot_images_new(m->mb, e);
    if (!images || mips_load_kernel(m, images, m->cfg.ram_size, &b->boot, e)) return -1;
    return mips_yamon_block(m, images, &b->boot, env, e);
}

static int mipssim_init(struct machine *m, struct error *e)
{
    if (!m->cfg.kernel && !m->cfg.bios) {
        return error_set(e, "machine \"mipssim\" needs a kernel (-kernel) or firmware (-bios)");
    }
    for (unsigned i = 0; i < m->cfg.n_drives; i++) {
        if (m->cfg.drives[i].interface != DRIVE_NONE)
            return error_set(e, "machine \"mipssim\" has no drives");
    }
    struct mipssim *b = (struct mipssim *)dev_create(m->mb, &board_desc, NULL, NULL);
    if (dev_realize(&b->dev, e)) {
        dev_destroy(&b->dev);
        return -1;
    }
    m->board_data = b;
    if (!machine_add_cpu(m, e) || make_memory(m, b, e)) return -1;

    struct device *uart = dev_create(m->mb, dev_find("isa-serial"), &b->dev, NULL);
    if (m->cfg.serial[0]) dev_set_ptr(uart, "chardev", m->cfg.serial[0]);
    if (dev_realize(uart, e)) {
        dev_destroy(uart);
        return -1;
    }
    irq_connect(dev_irq(uart, 0), cpu_pin, m, CPU_PIN_UART);
    if (!m->cfg.no_defaults) {
        struct device *net = dev_make(m->mb, "mipsnet", &b->dev, e);
        if (!net) return -1;
        irq_connect(dev_irq(net, 0), cpu_pin, m, CPU_PIN_NET);
    }
    if (m->cfg.bios && load_bios(m, b, e)) return -1;
    return m->cfg.kernel ? load_kernel(m, b, e) : 0;
}

static void mipssim_reset(struct machine *m)
{
    struct mipssim *b = m->board_data;
    if (b->boot.kernel) mips_boot_cpu(m, &b->boot);
}

static const char *const mipssim_isas[] = {"mips32", "mips64", NULL};

const struct board board_mipssim = {
    .name = "mipssim",
    .help = "MIPS MIPSsim platform",
    .isas = mipssim_isas,
    .default_cpu32 = "24Kf",
    .default_cpu64 = "5Kf",
    .default_ram = UINT64_C(128) << 20,
    .max_ram = MAX_RAM,
    .max_cpus = 1,
    .n_serial = 1,
    .init = mipssim_init,
    .reset = mipssim_reset,
};
