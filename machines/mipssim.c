/*
 * mipssim.c - the board of MIPS Technologies' instruction set simulator: RAM, a boot ROM, and an
 * ISA I/O window with a 16550 and the simulator's network device. There is no interrupt controller
 * but the CPU's.
 */
#include "machines/mips-board.h"

enum { ROM_BASE = 0x1fc00000, ROM_SIZE = 0x400000, IO_BASE = 0x1fd00000, IO_SIZE = 0x10000 };
enum { CPU_PIN_NET = 2, CPU_PIN_UART = 4 };
/* The kernel's segment ends where the ROM begins. */
#define MAX_RAM UINT64_C(0x10000000)

static const struct state_field board_state[] = {MIPS_BOARD_STATE, STATE_END};
static const struct dev_desc board_desc = {
    .name = "mipssim-board",
    .help = "the simulator's board",
    .bus = BUS_SYSTEM,
    .category = DEV_MISC,
    .size = sizeof(struct mips_board),
    .props = mips_board_props,
    .state = board_state,
};

static int make_memory(struct mips_board *b, uint8_t **rom_bytes, struct error *e)
{
    struct machine *m = b->machine;
    struct region *rom;
    if (mips_board_map(b, region_new_ram("mips_mipssim.ram", m->cfg.ram_size, e), 0, 0)) return -1;
    rom = region_new_rom("mips_mipssim.bios", ROM_SIZE, e);
    if (mips_board_map(b, rom, ROM_BASE, 0)) return -1;
    *rom_bytes = region_ram(rom);
    return mips_board_map(b, region_new_alias("isa-io", m->mb->io_root, 0, IO_SIZE), IO_BASE, 1);
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
    uint8_t *rom;
    struct mips_board *b = mips_board_new(m, &board_desc, e);
    if (!b || make_memory(b, &rom, e)) return -1;

    struct device *uart = dev_create(m->mb, dev_find("isa-serial"), &b->dev, NULL);
    if (m->cfg.serial[0]) dev_set_ptr(uart, "chardev", m->cfg.serial[0]);
    if (!dev_finish(uart, e)) return -1;
    irq_connect(dev_irq(uart, 0), mips_board_cpu_pin, m, CPU_PIN_UART);
    if (!m->cfg.no_defaults) {
        struct device *net = dev_make(m->mb, "mipsnet", &b->dev, e);
        if (!net) return -1;
        irq_connect(dev_irq(net, 0), mips_board_cpu_pin, m, CPU_PIN_NET);
    }
    if (m->cfg.bios && mips_board_firmware(m, rom, ROM_SIZE, false, e)) return -1;
    return m->cfg.kernel ? mips_board_kernel(b, m->cfg.ram_size, NULL, e) : 0;
}

static void mipssim_reset(struct machine *m)
{
    struct mips_board *b = m->board_data;
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
