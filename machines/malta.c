/*
 * malta.c - MIPS Malta evaluation board with a CoreLV card: GT-64120 system controller, PIIX4 south
 * bridge, FDC37M81x super I/O, board FPGA, 4 MiB of flash, PCnet Ethernet.
 *
 * Follows MIPS Technologies' Malta User's Manual (MD00048). A kernel given by -kernel is started as
 * YAMON would, with the system controller set up as YAMON leaves it. Not there: the display
 * adapter, the floppy controller, AC'97.
 */
#include "machines/mips-board.h"

#include "blockfmt/block.h"
#include "machines/user-devices.h"
#include "periph/intc/i8259.h"
#include "periph/misc/cfi-flash.h"
#include "periph/misc/malta-fpga.h"
#include "periph/misc/smbus.h"
#include "periph/misc/superio.h"
#include "periph/pci/gt64120.h"
#include "periph/pci/piix4.h"
#include "periph/timer/i8254.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    FLASH_BASE = 0x1e000000,
    FLASH_SIZE = 0x400000,
    FPGA_BASE = 0x1f000000,
    UART_BASE = 0x1f000900,
    BIOS_BASE = 0x1fc00000,
    REVISION_OFFSET = 0x10,
    REVISION = 0x420, /* core card 1: CoreLV; board revision 2 */
    PIRQ_PINS = 4,
    EMPTY_SIZE = 0x20000000,
    EXPANSION_SLOT = 18, /* slots 18 to 21 are connectors */
};
#define LOW_RAM  UINT64_C(0x10000000)
#define HIGH_RAM UINT64_C(0x80000000)
enum {
    DEVFN_HOST = 0x00,
    DEVFN_ISA = 0x50,
    DEVFN_IDE = 0x51,
    DEVFN_USB = 0x52,
    DEVFN_PM = 0x53,
    DEVFN_ETHERNET = 0x58
};
enum { CPU_PIN_I8259 = 2, CPU_PIN_UART = 4 }; /* hardware interrupts 0 and 2 */
enum {
    IRQ_PIT = 0,
    IRQ_KBD = 1,
    IRQ_CASCADE = 2,
    IRQ_COM2 = 3,
    IRQ_COM1 = 4,
    IRQ_LPT = 7,
    IRQ_RTC = 8,
    IRQ_SCI = 9,
    IRQ_MOUSE = 12,
    IRQ_IDE0 = 14,
    IRQ_IDE1 = 15
};

struct malta {
    struct mips_board board;
    struct device *gt, *pm;
};

static const struct state_field board_state[] = {
    MIPS_BOARD_STATE,
    STATE_RUNTIME(struct malta, gt),
    STATE_RUNTIME(struct malta, pm),
    STATE_END,
};
static const struct dev_desc board_desc = {
    .name = "mips-malta",
    .help = "the Malta board",
    .bus = BUS_SYSTEM,
    .category = DEV_MISC,
    .size = sizeof(struct malta),
    .props = mips_board_props,
    .state = board_state,
};

/* ---- wiring ---- */

/* Slot s pin p: the expansion slots' rule, which the on-board devices follow from slot 10 on. */
static unsigned pin_map(unsigned devfn, unsigned pin)
{
    return ((devfn >> 3) - 10u + pin) & 3;
}

static int intack(void *opaque)
{
    return i8259_ack(opaque);
}

/* ---- memory ---- */

static int make_ram(struct malta *b, struct error *e)
{
    struct machine *m = b->board.machine;
    uint64_t size = m->cfg.ram_size;
    struct region *ram = region_new_ram("mips_malta.ram", size, e);
    if (mips_board_map(&b->board, ram, HIGH_RAM, 0)) return -1;
    return mips_board_map(
        &b->board, region_new_alias("mips_malta_low_preio.ram", ram, 0, MIN(size, LOW_RAM)), 0, 0);
}

/* Firmware and kernels probe for boards that are not there: below the kernel segments' end nothing
 * gives bus errors. */
static int make_empty_space(struct malta *b, struct error *e)
{
    struct device *d = dev_create(b->board.machine->mb, dev_find("unimp"), &b->board.dev, NULL);
    dev_set_prop(d, "name", "empty-slot", NULL);
    dev_set_int(d, "size", EMPTY_SIZE);
    if (!dev_finish(d, e)) return -1;
    region_add(b->board.machine->mb->mem_root, dev_mmio(d, 0), 0, -10000);
    return 0;
}

static const struct drive_config *find_drive(const struct machine *m, enum drive_if kind, int index)
{
    for (unsigned i = 0; i < m->cfg.n_drives; i++) {
        const struct drive_config *d = &m->cfg.drives[i];
        if (d->interface == kind && d->index == index) return d;
    }
    return NULL;
}

static int make_flash(struct malta *b, struct error *e)
{
    struct machine *m = b->board.machine;
    const struct drive_config *drive = find_drive(m, DRIVE_PFLASH, 0);
    struct device *d = dev_create(m->mb, dev_find("cfi.pflash01"), &b->board.dev, NULL);
    uint64_t size;
    if (drive) dev_set_ptr(d, "drive", drive->blk);
    dev_set_prop(d, "name", "mips_malta.bios", NULL);
    dev_set_int(d, "num-blocks", 64);
    dev_set_int(d, "sector-length", 65536);
    dev_set_int(d, "width", 4);
    dev_set_int(d, "device-width", 2);
    dev_set_int(d, "big-endian", m->cfg.big_endian);
    if (!dev_finish(d, e)) return -1;
    region_add(m->mb->mem_root, dev_mmio(d, 0), FLASH_BASE, 0);
    uint8_t *flash = cfi_flash_contents(d, &size);
    /* Firmware images are those of big-endian boards. */
    if (!drive && m->cfg.bios && mips_board_firmware(m, flash, size, !m->cfg.big_endian, e))
        return -1;
    /* The reset vector's view of the flash, in which the FPGA answers for one word: the board's
     * revision. */
    struct region *bios = region_new_rom("bios.1fc", FLASH_SIZE, e);
    if (mips_board_map(&b->board, bios, BIOS_BASE, 0)) return -1;
    uint8_t *rom = region_ram(bios);
    memcpy(rom, flash, (size_t)MIN(size, (uint64_t)FLASH_SIZE));
    if (m->cfg.big_endian)
        st32_be(rom + REVISION_OFFSET, REVISION);
    else
        st32_le(rom + REVISION_OFFSET, REVISION);
    return 0;
}

/* ---- devices ---- */

/* One SDRAM module: what its serial presence detect EEPROM says (JEDEC 21-C). */
static void make_spd(uint8_t spd[128], uint64_t size)
{
    static const uint8_t base[64] = {128,  8, 4, 13, 10,   1,  64, 0, 1,    0x75, 0x54, 0,
                                     0x82, 8, 0, 1,  0x8f, 4,  6,  1, 1,    0,    0x0e, 0,
                                     0,    0, 0, 20, 15,   20, 45, 0, 0x15, 8,    0x15, 8};
    memset(spd, 0, 128);
    memcpy(spd, base, sizeof base);
    uint64_t unit = size / (4 << 20); /* byte 31: density of a row in 4 MiB, one bit */
    unsigned bit = 0;
    while (bit < 7 && (UINT64_C(2) << bit) <= unit)
        bit++;
    spd[31] = (uint8_t)(1u << bit);
    spd[62] = 0x12;
    for (unsigned i = 0; i < 63; i++)
        spd[63] = (uint8_t)(spd[63] + spd[i]);
}

static int make_fpga(struct malta *b, struct error *e)
{
    struct machine *m = b->board.machine;
    struct device *fpga = dev_create(m->mb, dev_find("malta-fpga"), &b->board.dev, NULL);
    dev_set_int(fpga, "big-endian", m->cfg.big_endian);
    if (!dev_finish(fpga, e)) return -1;
    region_add(m->mb->mem_root, dev_mmio(fpga, 0), FPGA_BASE, 0);

    struct device *uart = dev_create(m->mb, dev_find("serial-mm"), &b->board.dev, NULL);
    if (m->cfg.serial[2]) dev_set_ptr(uart, "chardev", m->cfg.serial[2]);
    dev_set_int(uart, "baudbase", 230400);
    dev_set_int(uart, "regshift", 3);
    dev_set_int(uart, "big-endian", m->cfg.big_endian);
    if (!dev_finish(uart, e)) return -1;
    region_add(m->mb->mem_root, dev_mmio(uart, 0), UART_BASE, 1);
    irq_connect(dev_irq(uart, 0), mips_board_cpu_pin, m, CPU_PIN_UART);

    struct device *eeprom = dev_make(m->mb, "smbus-eeprom", fpga, e);
    return eeprom ? smbus_eeprom_attach(eeprom, malta_fpga_i2c(fpga), e) : -1;
}

/* Made before what drives them, so that they go last. */
static int make_pics(struct malta *b, struct device *pic[2], struct error *e)
{
    struct machine *m = b->board.machine;
    for (unsigned i = 0; i < 2; i++) {
        pic[i] = dev_create(m->mb, dev_find("isa-i8259"), &b->board.dev, NULL);
        dev_set_int(pic[i], "iobase", i ? 0xa0 : 0x20);
        dev_set_int(pic[i], "elcr", i ? 0x4d1 : 0x4d0);
        dev_set_int(pic[i], "elcr-mask", i ? 0xde : 0xf8);
        if (!dev_finish(pic[i], e)) return -1;
    }
    dev_connect(pic[1], 0, pic[0], IRQ_CASCADE);
    i8259_set_slave(pic[0], pic[1], IRQ_CASCADE);
    irq_connect(dev_irq(pic[0], 0), mips_board_cpu_pin, m, CPU_PIN_I8259);
    return 0;
}

static void connect_pics(struct malta *b, struct device *pic[2], struct device *isa)
{
    for (unsigned i = 0; i < 16; i++) {
        if (i != IRQ_CASCADE) dev_connect(isa, i, pic[i / 8], i % 8);
    }
    gt64120_set_ack(b->gt, intack, pic[0]);
}

static int make_pci(struct malta *b, struct device **isa, struct device **ide, struct error *e)
{
    struct machine *m = b->board.machine;
    b->gt = dev_create(m->mb, dev_find("gt64120"), &b->board.dev, NULL);
    dev_set_int(b->gt, "cpu-little-endian", !m->cfg.big_endian);
    if (!dev_finish(b->gt, e)) return -1;
    pci_bus_set_map(m->mb->pci, pin_map);
    pci_bus_set_first_slot(m->mb->pci, EXPANSION_SLOT);
    if (!pci_make(m->mb, "gt64120_pci", DEVFN_HOST, e)) return -1;
    *isa = pci_make(m->mb, "piix4-isa", DEVFN_ISA, e);
    if (!*isa) return -1;
    for (unsigned i = 0; i < PIRQ_PINS; i++)
        dev_connect(b->gt, i, *isa, PIIX4_IN_PIRQ + i);
    *ide = pci_make(m->mb, "piix4-ide", DEVFN_IDE, e);
    if (!*ide) return -1;
    dev_connect(*ide, 0, *isa, PIIX4_IN_ISA + IRQ_IDE0);
    dev_connect(*ide, 1, *isa, PIIX4_IN_ISA + IRQ_IDE1);
    if (!pci_make(m->mb, "piix4-usb-uhci", DEVFN_USB, e)) return -1;
    b->pm = pci_make(m->mb, "PIIX4_PM", DEVFN_PM, e);
    if (!b->pm) return -1;
    dev_connect(b->pm, 0, *isa, PIIX4_IN_ISA + IRQ_SCI);
    uint8_t spd[128];
    struct device *dimm = dev_make(m->mb, "smbus-eeprom", b->pm, e);
    if (!dimm || smbus_eeprom_attach(dimm, piix4_pm_smbus(b->pm), e)) return -1;
    make_spd(spd, m->cfg.ram_size);
    smbus_eeprom_set_data(dimm, spd, sizeof spd);
    if (!m->cfg.no_defaults && !pci_make(m->mb, "pcnet", DEVFN_ETHERNET, e)) return -1;
    return 0;
}

/* Makes an ISA device at `iobase` (0: its default); its output 0 is ISA interrupt `irq`. */
static struct device *make_isa(struct malta *b, struct device *isa, const char *name,
                               unsigned iobase, unsigned irq, struct chardev *chr, struct error *e)
{
    struct device *d = dev_create(b->board.machine->mb, dev_find(name), isa, NULL);
    if (iobase) dev_set_int(d, "iobase", iobase);
    if (iobase && irq) dev_set_int(d, "irq", irq);
    if (chr) dev_set_ptr(d, "chardev", chr);
    if (!dev_finish(d, e)) return NULL;
    if (d->desc->n_irqs) dev_connect(d, 0, isa, PIIX4_IN_ISA + irq);
    return d;
}

static int make_isa_devices(struct malta *b, struct device *isa, struct error *e)
{
    struct machine *m = b->board.machine;
    struct device *superio = dev_make(m->mb, "fdc37m81x-superio", isa, e);
    if (!superio || !dev_make(m->mb, "i8257", isa, e)) return -1;
    if (!make_isa(b, isa, "isa-pit", 0, IRQ_PIT, NULL, e)) return -1;

    struct device *rtc = dev_create(m->mb, dev_find("mc146818rtc"), isa, NULL);
    dev_set_int(rtc, "base_time", (uint64_t)m->cfg.rtc_start);
    if (!dev_finish(rtc, e)) return -1;
    dev_connect(rtc, 0, isa, PIIX4_IN_ISA + IRQ_RTC);

    struct device *com1 = make_isa(b, isa, "isa-serial", 0x3f8, IRQ_COM1, m->cfg.serial[0], e);
    struct device *com2 = make_isa(b, isa, "isa-serial", 0x2f8, IRQ_COM2, m->cfg.serial[1], e);
    struct device *lpt = make_isa(b, isa, "isa-parallel", 0x378, IRQ_LPT, NULL, e);
    struct device *kbc = make_isa(b, isa, "i8042", 0, IRQ_KBD, NULL, e);
    if (!com1 || !com2 || !lpt || !kbc) return -1;
    dev_connect(kbc, 1, isa, PIIX4_IN_ISA + IRQ_MOUSE);
    superio_attach(superio, SUPERIO_SERIAL1, com1);
    superio_attach(superio, SUPERIO_SERIAL2, com2);
    superio_attach(superio, SUPERIO_PARALLEL, lpt);
    superio_attach(superio, SUPERIO_KBD, kbc);
    return 0;
}

static int make_drives(struct malta *b, struct device *ide, struct error *e)
{
    struct machine *m = b->board.machine;
    bool cd_place_taken = false;
    for (unsigned i = 0; i < m->cfg.n_drives; i++) {
        struct drive_config *c = &m->cfg.drives[i];
        if (c->interface == DRIVE_PFLASH || c->interface == DRIVE_NONE || c->interface == DRIVE_VIRTIO) continue;
        if (c->interface != DRIVE_IDE || c->index < 0 || c->index > 3) {
            return error_set(
                e, "machine \"malta\" has no place for drive '%s' (IDE 0 to 3, one pflash)",
                c->id ? c->id : "?");
        }
        struct device *d = dev_create(m->mb, dev_find(c->cdrom ? "ide-cd" : "ide-hd"), ide, c->id);
        dev_set_int(d, "unit", (uint64_t)c->index);
        if (c->blk) dev_set_ptr(d, "drive", c->blk);
        if (!dev_finish(d, e)) return -1;
        c->device = d;
        cd_place_taken |= c->index == 2;
    }
    if (m->cfg.no_defaults || cd_place_taken) return 0;
    struct device *cd = dev_create(m->mb, dev_find("ide-cd"), ide, "ide1-cd0"); /* empty */
    dev_set_int(cd, "unit", 2);
    return dev_finish(cd, e) ? 0 : -1;
}

/* ---- the board ---- */

static int load_kernel(struct malta *b, struct error *e)
{
    uint64_t ram_size = b->board.machine->cfg.ram_size;
    char all[32];
    snprintf(all, sizeof all, "%" PRIu64, ram_size);
    const char *const env[] = {"ememsize", all, "modetty0", "38400n8r", NULL};
    return mips_board_kernel(&b->board, MIN(ram_size, LOW_RAM), env, e);
}

static int malta_init(struct machine *m, struct error *e)
{
    struct device *isa, *ide, *pic[2];
    struct malta *b;
    if (!m->cfg.kernel && !m->cfg.bios && !find_drive(m, DRIVE_PFLASH, 0)) {
        error_set(
            e, "machine \"malta\" needs a kernel (-kernel) or firmware (-bios, -drive if=pflash)");
        return -1;
    }
    b = (struct malta *)mips_board_new(m, &board_desc, e);
    if (!b || make_ram(b, e) || make_empty_space(b, e) || make_flash(b, e) || make_fpga(b, e))
        return -1;
    if (make_pics(b, pic, e) || make_pci(b, &isa, &ide, e)) return -1;
    connect_pics(b, pic, isa);
    if (make_isa_devices(b, isa, e) || make_drives(b, ide, e)) return -1;
    if (machine_virtio_drives(m, b->gt, e)) return -1;
    for (unsigned i = 0; i < m->cfg.n_devices; i++) {
        if (!machine_user_device(m, &m->cfg.devices[i], b->gt, NULL, NULL, e)) return -1;
    }
    return m->cfg.kernel ? load_kernel(b, e) : 0;
}

static void malta_reset(struct machine *m)
{
    struct malta *b = m->board_data;
    if (!b->board.boot.kernel) return;
    gt64120_as_firmware(b->gt);
    mips_boot_cpu(m, &b->board.boot);
}

static void malta_powerdown(struct machine *m)
{
    struct malta *b = m->board_data;
    piix4_pm_power_button(b->pm);
}

static const char *const malta_isas[] = {"mips32", "mips64", NULL};

const struct board board_malta = {
    .name = "malta",
    .help = "MIPS Malta Core LV",
    .isas = malta_isas,
    .default_cpu32 = "24Kf",
    .default_cpu64 = "20Kc",
    .default_ram = UINT64_C(128) << 20,
    .max_ram = UINT64_C(2) << 30,
    .max_cpus = 1,
    .n_serial = 3,
    .takes_devices = true,
    .is_default = true,
    .init = malta_init,
    .reset = malta_reset,
    .powerdown = malta_powerdown,
};
