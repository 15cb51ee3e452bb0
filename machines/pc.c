/*
 * pc.c - the PC: local and I/O APICs, HPET, ISA devices, and the 440FX chip set: 82441FX host bridge, PIIX3 south
 * bridge with the power management function of a PIIX4. The Q35 chip set is in pc-q35.c.
 *
 * Follows the data sheets of the chips (see the devices) and, for what is where, PC/AT practice and
 * the Multiprocessor Specification 1.4. Firmware runs from the reset vector; what it is told is in
 * pc-boot.c. Not there: a network card, USB, sound.
 */
#include "machines/pc.h"
#include "machines/pc-options.h"
#include "machines/threads.h"

#include "isa/x86/x86-board.h"
#include "machines/user-devices.h"
#include "periph/block/fdc.h"
#include "periph/block/ide.h"
#include "periph/input/i8042.h"
#include "periph/intc/i8259.h"
#include "periph/intc/ioapic.h"
#include "periph/intc/lapic.h"
#include "periph/pci/i440fx.h"
#include "periph/pci/piix4.h"
#include "periph/scsi/scsi.h"
#include "periph/timer/hpet.h"
#include "periph/timer/i8254.h"
#include "util/log.h"

#include <stdio.h>

enum {
    IRQ_PIT = 0,
    IRQ_KBD = 1,
    IRQ_CASCADE = 2,
    IRQ_COM2 = 3,
    IRQ_COM1 = 4,
    IRQ_FDC = 6,
    IRQ_LPT1 = 7,
    IRQ_RTC = 8,
    IRQ_SCI = 9,
    IRQ_MOUSE = 12,
    IRQ_FERR = 13,
    IRQ_IDE0 = 14,
    IRQ_IDE1 = 15
};
enum { DEVFN_HOST = 0x00, DEVFN_ISA = 0x08, DEVFN_IDE = 0x09, DEVFN_VGA = 0x10, DEVFN_Q35_VGA = 0x08 };
#define ADDR_PM      "01.3"
#define IOAPIC_BASE  UINT64_C(0xfec00000)
#define HPET_BASE    UINT64_C(0xfed00000)
#define APIC_BASE    UINT64_C(0xfee00000)
#define FOUR_GIB     UINT64_C(0x100000000)
#define LOW_RAM_MAX  UINT64_C(0xe0000000) /* with more RAM the rest from C0000000h on goes up */
#define LOW_RAM_LESS UINT64_C(0xc0000000)
#define Q35_LOW_MAX  UINT64_C(0xb0000000) /* PCI Express configuration space is from there on */
#define Q35_LOW_LESS UINT64_C(0x80000000)
enum { APIC_TIMER_PIN = 2, MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800 };

extern const struct board board_isapc; /* at the end */

static const struct prop_desc pc_props[] = {PROP_END};
static const struct state_field pc_state[] = {
    STATE_RUNTIME(struct pc, machine),  STATE_RUNTIME(struct pc, pcihost),
    STATE_RUNTIME(struct pc, apic_id),  STATE_RUNTIME(struct pc, max_cpus),
    STATE_RUNTIME(struct pc, pmc),      STATE_RUNTIME(struct pc, isa),
    STATE_RUNTIME(struct pc, pm),       STATE_RUNTIME(struct pc, pic),
    STATE_RUNTIME(struct pc, apic_bus), STATE_RUNTIME(struct pc, ioapic),
    STATE_RUNTIME(struct pc, hpet),     STATE_RUNTIME(struct pc, fw_cfg),
    STATE_RUNTIME(struct pc, rtc),      STATE_RUNTIME(struct pc, apic),
    STATE_RUNTIME(struct pc, ferr),     STATE_RUNTIME(struct pc, low_ram),
    STATE_RUNTIME(struct pc, high_ram), STATE_ARR(struct pc, a20),
    STATE_INT(struct pc, booted),       STATE_RUNTIME(struct pc, boot),
    STATE_RUNTIME(struct pc, isa_only), STATE_RUNTIME(struct pc, n_boot),
    STATE_RUNTIME(struct pc, q35),      STATE_RUNTIME(struct pc, isa_in),
    STATE_ARR(struct pc, gsi),
    STATE_RUNTIME(struct pc, fdc),      STATE_RUNTIME(struct pc, has_fdc),
    STATE_RUNTIME(struct pc, has_parallel),
    STATE_END,
};
static void pc_unrealize(struct device *d)
{
    pc_free_boot_entries((struct pc *)d);
}

static const struct dev_desc pc_desc = {
    .name = "pc-board",
    .help = "the PC's wiring",
    .bus = BUS_SYSTEM,
    .category = DEV_MISC,
    .size = sizeof(struct pc),
    .props = pc_props,
    .state = pc_state,
    .unrealize = pc_unrealize,
};

/* ---- lines ---- */

static struct pc *pc_of(void *opaque)
{
    return opaque;
}

/* An ISA interrupt goes to the 8259s and to the I/O APIC. */
void pc_isa_irq(void *opaque, unsigned n, bool level)
{
    struct pc *pc = pc_of(opaque);
    struct device *pic = pc->pic[n / 8];
    if (n != IRQ_CASCADE) pic->desc->input(pic, n % 8, level);
    if (pc->ioapic) pc->ioapic->desc->input(pc->ioapic, n == IRQ_PIT ? APIC_TIMER_PIN : n, level);
}

/* PIRQs and the HPET share inputs of the I/O APIC. */
static void set_gsi(struct pc *pc, unsigned source, unsigned n, bool level)
{
    uint32_t bit = UINT32_C(1) << n;
    pc->gsi[source] = level ? pc->gsi[source] | bit : pc->gsi[source] & ~bit;
    pc->ioapic->desc->input(pc->ioapic, n, (pc->gsi[0] | pc->gsi[1]) & bit);
}

void pc_pirq_gsi(void *opaque, unsigned n, bool level)
{
    set_gsi(pc_of(opaque), 0, n, level);
}

static void hpet_gsi(void *opaque, unsigned n, bool level)
{
    set_gsi(pc_of(opaque), 1, n, level);
}

/* Lines that every processor has; n: the pin. */
static void all_cpus(void *opaque, unsigned n, bool level)
{
    struct machine *m = pc_of(opaque)->machine;
    for (unsigned i = 0; i < m->n_cpus; i++)
        m->cfg.isa->set_irq(m->cpu[i], n, level);
}

/*
 * The chip set's SMI goes to the processor that asked for it by a port, or to the first: firmware for boards with
 * this chip set moves one processor's SMBASE and has no handler for the others'.
 */
void pc_smi_line(void *opaque, unsigned n, bool level)
{
    struct machine *m = pc_of(opaque)->machine;
    if (level) m->cfg.isa->set_irq(m->running ? m->running : m->cpu[0], X86_PIN_SMI, true);
    else all_cpus(opaque, X86_PIN_SMI, false);
}

static void set_a20(struct pc *pc, bool level)
{
    for (unsigned i = 0; i < pc->machine->n_cpus; i++)
        x86_set_a20(pc->machine->cpu[i], level);
}

/*
 * The 8042's output or port 92h's. The last that changed says how the gate is: firmware switches A20 off by one of
 * them without a thought of the other.
 */
static void gate_a20(void *opaque, unsigned n, bool level)
{
    struct pc *pc = pc_of(opaque);
    if (pc->a20[n] == level) return; /* said again when a state was loaded */
    pc->a20[n] = level;
    set_a20(pc, level);
}

/* Outputs of a local APIC; the opaque is its CPU. */
static void cpu_pin(void *opaque, unsigned n, bool level)
{
    static const uint8_t pins[LAPIC_OUTPUTS] = {X86_PIN_INTR, X86_PIN_NMI, X86_PIN_SMI};
    struct cpu *cpu = opaque;
    struct machine *m = cpu->bus;
    m->cfg.isa->set_irq(cpu, pins[n], level);
}

static void cpu_event(void *opaque, enum lapic_event what, uint8_t vector)
{
    struct cpu *cpu = opaque;
    struct machine *m = cpu->bus;
    if (what == LAPIC_EVENT_STARTUP) {
        x86_sipi(cpu, vector);
        return;
    }
    m->cfg.isa->set_irq(cpu, X86_PIN_INIT, true);
    m->cfg.isa->set_irq(cpu, X86_PIN_INIT, false);
}

/* A message of a PCI function; elsewhere than to the local APICs it is but a write. */
void pc_pci_message(void *opaque, uint64_t addr, uint32_t data)
{
    struct pc *pc = pc_of(opaque);
    if (addr - APIC_BASE < 0x100000)
        apic_bus_msi(pc->apic_bus, addr - APIC_BASE, data);
    else
        as_write(pc->machine->mb->mem, addr, 4, data);
}

static struct device *current_apic(void *opaque)
{
    struct pc *pc = pc_of(opaque);
    struct cpu *cpu = pc->machine->running;
    return cpu ? pc->apic[cpu->index] : NULL;
}

/* Slot s pin p; the south bridge is slot 1. */
static unsigned pin_map(unsigned devfn, unsigned pin)
{
    return ((devfn >> 3) - 1u + pin) & 3;
}

/* ---- what a CPU asks of its board: the devices are its own meanwhile ---- */

static uint32_t cpu_in(void *opaque, struct cpu *cpu, uint16_t port, unsigned size)
{
    struct machine *m = pc_of(opaque)->machine;
    uint64_t v;
    machine_lock(m, cpu);
    as_read(m->mb->io, port, size, &v);
    machine_unlock(m);
    return (uint32_t)v;
}

static void cpu_out(void *opaque, struct cpu *cpu, uint16_t port, uint32_t value, unsigned size)
{
    struct machine *m = pc_of(opaque)->machine;
    machine_lock(m, cpu);
    as_write(m->mb->io, port, size, value);
    machine_unlock(m);
}

static int cpu_acknowledge(void *opaque, struct cpu *cpu)
{
    struct pc *pc = pc_of(opaque);
    machine_lock(pc->machine, cpu);
    int v = lapic_ack(pc->apic[cpu->index]);
    if (v < 0) v = v == LAPIC_ACK_EXTINT ? i8259_ack(pc->pic[0]) : -1;
    machine_unlock(pc->machine);
    return v;
}

static uint8_t cpu_get_tpr(void *opaque, struct cpu *cpu)
{
    struct pc *pc = pc_of(opaque);
    machine_lock(pc->machine, cpu);
    uint8_t v = lapic_get_tpr(pc->apic[cpu->index]);
    machine_unlock(pc->machine);
    return v;
}

static void cpu_set_tpr(void *opaque, struct cpu *cpu, uint8_t cr8)
{
    struct pc *pc = pc_of(opaque);
    machine_lock(pc->machine, cpu);
    lapic_set_tpr(pc->apic[cpu->index], cr8 & 15);
    machine_unlock(pc->machine);
}

static bool cpu_read_msr(void *opaque, struct cpu *cpu, uint32_t msr, uint64_t *value)
{
    struct pc *pc = pc_of(opaque);
    struct device *apic = pc->apic[cpu->index];
    bool ok = true;
    machine_lock(pc->machine, cpu);
    if (msr >= MSR_X2APIC) ok = lapic_msr_read(apic, msr - MSR_X2APIC, value);
    else *value = msr == MSR_TSC_DEADLINE ? lapic_get_deadline(apic) : lapic_get_base(apic);
    machine_unlock(pc->machine);
    return ok;
}

static bool cpu_write_msr(void *opaque, struct cpu *cpu, uint32_t msr, uint64_t value)
{
    struct pc *pc = pc_of(opaque);
    struct device *apic = pc->apic[cpu->index];
    bool ok = true;
    machine_lock(pc->machine, cpu);
    if (msr >= MSR_X2APIC) ok = lapic_msr_write(apic, msr - MSR_X2APIC, value);
    else if (msr == MSR_APIC_BASE) ok = lapic_set_base(apic, value);
    else lapic_set_deadline(apic, value, x86_tsc_time(cpu, value));
    machine_unlock(pc->machine);
    return ok;
}

static void cpu_tsc_written(void *opaque, struct cpu *cpu)
{
    struct pc *pc = pc_of(opaque);
    struct device *apic = pc->apic[cpu->index];
    machine_lock(pc->machine, cpu);
    uint64_t deadline = lapic_get_deadline(apic);
    if (deadline) lapic_set_deadline(apic, deadline, x86_tsc_time(cpu, deadline));
    machine_unlock(pc->machine);
}

static void cpu_ferr(void *opaque, struct cpu *cpu, bool level)
{
    struct pc *pc = pc_of(opaque);
    if (cpu->index) return;
    machine_lock(pc->machine, cpu);
    pc->ferr->desc->input(pc->ferr, 0, level);
    machine_unlock(pc->machine);
}

static void cpu_smm(void *opaque, struct cpu *cpu, bool in)
{
    struct pc *pc = pc_of(opaque);
    if (!pc->pmc) return;
    machine_lock(pc->machine, cpu);
    i440fx_set_smm(pc->pmc, in);
    machine_unlock(pc->machine);
}

static void cpu_shutdown(void *opaque, struct cpu *cpu)
{
    struct machine *m = pc_of(opaque)->machine;
    machine_lock(m, cpu);
    m->mb->request(m->mb, MB_RESET);
    machine_unlock(m);
}

static const struct x86_board_ops cpu_ops = {
    .in = cpu_in,
    .out = cpu_out,
    .acknowledge = cpu_acknowledge,
    .get_tpr = cpu_get_tpr,
    .set_tpr = cpu_set_tpr,
    .read_apic_msr = cpu_read_msr,
    .write_apic_msr = cpu_write_msr,
    .tsc_written = cpu_tsc_written,
    .ferr = cpu_ferr,
    .smm = cpu_smm,
    .shutdown = cpu_shutdown,
};

/* On isapc there is no local APIC: the 8259 is the CPU's own. */
static int isa_acknowledge(void *opaque, struct cpu *cpu)
{
    return i8259_ack(pc_of(opaque)->pic[0]);
}

static const struct x86_board_ops isa_cpu_ops = {
    .in = cpu_in,
    .out = cpu_out,
    .acknowledge = isa_acknowledge,
    .ferr = cpu_ferr,
    .smm = cpu_smm,
    .shutdown = cpu_shutdown,
};

/* ---- parts ---- */

static struct device *make(struct pc *pc, const char *name, struct error *e)
{
    return dev_make(pc->machine->mb, name, &pc->dev, e);
}

/* What ISA devices hang on. */
static struct device *isa_parent(struct pc *pc)
{
    return pc->isa ? pc->isa : &pc->dev;
}

/* Output n of an ISA device is ISA interrupt irq: through the bridge, where there is one. */
static void connect_isa(struct pc *pc, struct device *d, unsigned n, unsigned irq)
{
    if (pc->isa)
        dev_connect(d, n, pc->isa, pc->isa_in + irq);
    else
        irq_connect(dev_irq(d, n), pc_isa_irq, pc, irq);
}

static void map(struct pc *pc, struct device *d, uint64_t addr)
{
    region_add(pc->machine->mb->mem_root, dev_mmio(d, 0), addr, 1);
}

/* 8259s and APICs: made before what drives them, so that they go last. */
static int make_interrupts(struct pc *pc, struct error *e)
{
    struct machine *m = pc->machine;
    for (unsigned i = 0; i < 2; i++) {
        struct device *d = dev_create(m->mb, dev_find("isa-i8259"), &pc->dev, NULL);
        dev_set_int(d, "iobase", i ? 0xa0 : 0x20);
        dev_set_int(d, "elcr", i ? 0x4d1 : 0x4d0);
        dev_set_int(d, "elcr-mask", i ? 0xde : 0xf8);
        pc->pic[i] = dev_finish(d, e);
        if (!pc->pic[i]) return -1;
    }
    dev_connect(pc->pic[1], 0, pc->pic[0], IRQ_CASCADE);
    i8259_set_slave(pc->pic[0], pc->pic[1], IRQ_CASCADE);
    if (pc->isa_only) return 0;
    pc->apic_bus = make(pc, "apic-bus", e);
    if (!pc->apic_bus) return -1;
    map(pc, pc->apic_bus, APIC_BASE);
    apic_bus_set_current(pc->apic_bus, current_apic, pc);
    pc->ioapic = make(pc, "ioapic", e);
    if (!pc->ioapic) return -1;
    map(pc, pc->ioapic, IOAPIC_BASE);
    ioapic_connect(pc->ioapic, pc->apic_bus);
    return 0;
}

/* The APIC ids, in the order in which CPUs are counted: threads, cores, dies, packages. */
static int number_cpus(struct pc *pc, struct x86_topology *t, struct error *e)
{
    const struct machine_config *c = &pc->machine->cfg;
    enum { MAX_ID = 254 }; /* 255 is everybody */
    *t = (struct x86_topology){0, MAX(c->threads, 1u), MAX(c->cores, 1u), MAX(c->dies, 1u)};
    pc->max_cpus = MAX(MAX(c->n_cpus, c->max_cpus), 1u);
    if (pc->max_cpus > MACHINE_MAX_CPUS) return error_set(e, "more than %d CPUs are possible", MACHINE_MAX_CPUS);
    for (unsigned i = 0; i < pc->max_cpus; i++) {
        unsigned core = i / t->threads, die = core / t->cores, package = die / t->dies, id = package;
        id = id << x86_topology_bits(t->dies) | die % t->dies;
        id = id << x86_topology_bits(t->cores) | core % t->cores;
        id = id << x86_topology_bits(t->threads) | i % t->threads;
        if (id > MAX_ID)
            return error_set(e, "this CPU topology needs APIC ids up to %u at least: %d is the highest", id, MAX_ID);
        pc->apic_id[i] = (uint8_t)id;
    }
    return 0;
}

static int make_cpus(struct pc *pc, struct error *e)
{
    struct machine *m = pc->machine;
    struct x86_topology topology;
    if (number_cpus(pc, &topology, e)) return -1;
    for (unsigned i = 0; i < MAX(m->cfg.n_cpus, 1u); i++) {
        struct cpu *cpu = machine_add_cpu(m, e);
        if (!cpu) return -1;
        topology.apic_id = pc->apic_id[i];
        x86_set_topology(cpu, &topology);
        if (pc->isa_only) {
            x86_connect_board(cpu, &isa_cpu_ops, pc);
            irq_connect(dev_irq(pc->pic[0], 0), all_cpus, pc, X86_PIN_INTR);
            return 0;
        }
        struct device *d = dev_create(m->mb, dev_find("apic"), &pc->dev, NULL);
        dev_set_int(d, "id", pc->apic_id[i]);
        dev_set_int(d, "x2apic", x86_has_x2apic(cpu));
        dev_set_int(d, "tsc-deadline", x86_has_tsc_deadline(cpu));
        dev_set_int(d, "bsp", i == 0);
        pc->apic[i] = dev_finish(d, e);
        if (!pc->apic[i]) return -1;
        apic_bus_add(pc->apic_bus, d);
        lapic_connect(d, cpu_event, cpu);
        for (unsigned n = 0; n < LAPIC_OUTPUTS; n++)
            irq_connect(dev_irq(d, n), cpu_pin, cpu, n);
        x86_connect_board(cpu, &cpu_ops, pc);
    }
    dev_connect(pc->pic[0], 0, pc->apic[0], LAPIC_LINT0);
    return 0;
}

static int make_memory(struct pc *pc, struct region **low_rom, struct error *e)
{
    struct machine *m = pc->machine;
    struct machine_bus *mb = m->mb;
    uint64_t size = m->cfg.ram_size;
    if (size < 1 << 20) return error_set(e, "machine \"%s\" needs at least 1 MiB of memory", m->cfg.board->name);
    struct region *ram = mb_own_region(mb, region_new_ram("pc.ram", size, e));
    struct region *rom = mb_own_region(mb, region_new_rom("pc.rom", 0x20000, e));
    if (!ram || !rom) return -1;
    uint64_t most = pc->q35 ? Q35_LOW_MAX : LOW_RAM_MAX;
    pc->low_ram = size < most ? size : pc->q35 ? Q35_LOW_LESS : LOW_RAM_LESS;
    pc->high_ram = size - pc->low_ram;
    struct region *low = mb_own_region(mb, region_new_alias("ram-below-4g", ram, 0, pc->low_ram));
    region_add(mb->mem_root, low, 0, 0);
    if (pc->high_ram) {
        struct region *r = region_new_alias("ram-above-4g", ram, pc->low_ram, pc->high_ram);
        region_add(mb->mem_root, mb_own_region(mb, r), FOUR_GIB, 0);
    }
    if (pc->isa_only) return 0; /* RAM all through: firmware is copied */
    *low_rom = mb_own_region(mb, region_new_container("isa-rom", 0x40000));
    region_add(*low_rom, rom, 0, 0);
    i440fx_set_memory(pc->pmc, ram, *low_rom);
    return 0;
}

/* Not with -no-acpi: firmware that finds the function would make tables of its own. */
static int make_pm(struct pc *pc, struct error *e)
{
    struct machine *m = pc->machine;
    if (m->cfg.no_acpi) return 0;
    struct device *d = dev_create(m->mb, dev_find("PIIX4_PM"), pc->pcihost, NULL);
    dev_set_prop(d, "addr", ADDR_PM, NULL);
    dev_set_int(d, "smm-enabled", !m->cfg.no_smm);
    pc->pm = dev_finish(d, e);
    if (!pc->pm) return -1;
    connect_isa(pc, d, 0, IRQ_SCI);
    irq_connect(dev_irq(d, 1), pc_smi_line, pc, 0);
    return 0;
}

static int make_pci(struct pc *pc, struct device **ide, struct error *e)
{
    struct machine *m = pc->machine;
    pc->pcihost = make(pc, "i440FX-pcihost", e);
    if (!pc->pcihost) return -1;
    pci_bus_set_map(m->mb->pci, pin_map);
    pci_bus_set_msi(m->mb->pci, pc_pci_message, pc);
    pc->pmc = pci_make(m->mb, "i440FX", DEVFN_HOST, e);
    pc->isa = pc->pmc ? pci_make(m->mb, "PIIX3", DEVFN_ISA, e) : NULL;
    *ide = pc->isa ? pci_make(m->mb, "piix3-ide", DEVFN_IDE, e) : NULL;
    if (!*ide) return -1;
    pc->isa_in = PIIX4_IN_ISA;
    i440fx_set_reset_port(pc->pcihost, piix_reset_control, piix_write_reset_control, pc->isa);
    for (unsigned i = 0; i < 4; i++)
        dev_connect(pc->pcihost, i, pc->isa, PIIX4_IN_PIRQ + i);
    for (unsigned i = 0; i < 16; i++)
        irq_connect(dev_irq(pc->isa, i), pc_isa_irq, pc, i);
    connect_isa(pc, *ide, 0, IRQ_IDE0);
    connect_isa(pc, *ide, 1, IRQ_IDE1);
    return make_pm(pc, e);
}

static int make_vga(struct pc *pc, struct error *e)
{
    struct machine *m = pc->machine;
    if (m->cfg.no_vga || m->cfg.no_defaults) return 0;
    struct device *d = pci_make(m->mb, "VGA", pc->q35 ? DEVFN_Q35_VGA : DEVFN_VGA, e);
    return d ? pc_vga_rom(pc, d, e) : -1;
}

/* The timers; with an HPET the 8254's and the clock's interrupts go through it. */
static int make_timers(struct pc *pc, struct error *e)
{
    struct machine *m = pc->machine;
    struct device *pit = make(pc, "isa-pit", e), *speaker = pit ? make(pc, "isa-pcspk", e) : NULL;
    if (!speaker) return -1;
    pcspk_set_pit(speaker, pit);
    struct device *rtc = dev_create(m->mb, dev_find("mc146818rtc"), isa_parent(pc), NULL);
    dev_set_int(rtc, "base_time", (uint64_t)m->cfg.rtc_start);
    pc->rtc = dev_finish(rtc, e);
    if (!pc->rtc) return -1;
    if (m->cfg.no_hpet || pc->isa_only) {
        connect_isa(pc, pit, 0, IRQ_PIT);
        connect_isa(pc, rtc, 0, IRQ_RTC);
        return 0;
    }
    pc->hpet = make(pc, "hpet", e);
    if (!pc->hpet) return -1;
    map(pc, pc->hpet, HPET_BASE);
    dev_connect(pit, 0, pc->hpet, HPET_IN_PIT);
    dev_connect(rtc, 0, pc->hpet, HPET_IN_RTC);
    connect_isa(pc, pc->hpet, 0, IRQ_PIT);
    connect_isa(pc, pc->hpet, 8, IRQ_RTC);
    for (unsigned i = 16; i < IOAPIC_PINS; i++)
        irq_connect(dev_irq(pc->hpet, i), hpet_gsi, pc, i);
    return 0;
}

/* An ISA device with a backend at `iobase`; its output 0 is ISA interrupt `irq`. */
static int make_port(struct pc *pc, const char *name, unsigned iobase, unsigned irq,
                     struct chardev *chr, struct error *e)
{
    struct device *d = dev_create(pc->machine->mb, dev_find(name), isa_parent(pc), NULL);
    dev_set_int(d, "iobase", iobase);
    dev_set_int(d, "irq", irq);
    dev_set_int(d, "out2-gates-irq", 1); /* serial ports' */
    if (chr) dev_set_ptr(d, "chardev", chr);
    if (!dev_finish(d, e)) return -1;
    connect_isa(pc, d, 0, irq);
    return 0;
}

static int make_isa_ports(struct pc *pc, struct error *e)
{
    static const uint16_t com[4] = {0x3f8, 0x2f8, 0x3e8, 0x2e8}, lpt[3] = {0x378, 0x278, 0x3bc};
    static const uint8_t com_irq[4] = {IRQ_COM1, IRQ_COM2, IRQ_COM1, IRQ_COM2}, lpt_irq[3] = {7, 7, 7};
    const struct machine_config *c = &pc->machine->cfg;
    for (unsigned i = 0; i < 4; i++) {
        if (!c->serial[i] && (i || c->no_defaults)) continue;
        if (make_port(pc, "isa-serial", com[i], com_irq[i], c->serial[i], e)) return -1;
    }
    for (unsigned i = 0; i < MACHINE_MAX_PARALLEL; i++) {
        if (!c->parallel[i] && (i || c->no_defaults)) continue;
        if (make_port(pc, "isa-parallel", lpt[i], lpt_irq[i], c->parallel[i], e)) return -1;
        pc->has_parallel |= !i;
    }
    if (!c->debugcon) return 0;
    struct device *d = dev_create(pc->machine->mb, dev_find("isa-debugcon"), isa_parent(pc), NULL);
    dev_set_ptr(d, "chardev", c->debugcon);
    return dev_finish(d, e) ? 0 : -1;
}

/* A Q35 has a floppy controller when there is something in a drive. */
static bool wants_fdc(const struct pc *pc)
{
    bool wants = !pc->q35;
    for (unsigned i = 0; i < pc->machine->cfg.n_drives; i++)
        wants |= pc->machine->cfg.drives[i].interface == DRIVE_FLOPPY;
    return wants;
}

static int make_fdc(struct pc *pc, struct device *dma, struct error *e)
{
    pc->fdc = dev_make(pc->machine->mb, "isa-fdc", isa_parent(pc), e);
    if (!pc->fdc) return -1;
    fdc_set_dma(pc->fdc, dma);
    connect_isa(pc, pc->fdc, 0, IRQ_FDC);
    pc->has_fdc = true;
    return 0;
}

static int make_isa(struct pc *pc, struct error *e)
{
    struct machine *m = pc->machine;
    struct device *dma = dev_make(m->mb, "i8257", isa_parent(pc), e);
    if (!dma || (wants_fdc(pc) && make_fdc(pc, dma, e))) return -1;
    struct device *kbc = dev_make(m->mb, "i8042", isa_parent(pc), e);
    struct device *p92 = kbc ? dev_make(m->mb, "port92", isa_parent(pc), e) : NULL;
    pc->ferr = p92 ? dev_make(m->mb, "isa-ferr", isa_parent(pc), e) : NULL;
    pc->fw_cfg = pc->ferr ? dev_make(m->mb, "fw_cfg_io", isa_parent(pc), e) : NULL;
    if (!pc->fw_cfg) return -1;
    connect_isa(pc, kbc, I8042_IRQ_KBD, IRQ_KBD);
    connect_isa(pc, kbc, I8042_IRQ_MOUSE, IRQ_MOUSE);
    irq_connect(dev_irq(kbc, I8042_A20), gate_a20, pc, 0);
    irq_connect(dev_irq(p92, 0), gate_a20, pc, 1);
    connect_isa(pc, pc->ferr, 0, IRQ_FERR);
    irq_connect(dev_irq(pc->ferr, 1), all_cpus, pc, X86_PIN_IGNNE);
    return make_isa_ports(pc, e);
}

/* How firmware calls the IDE drive at `index`; to be freed. */
static char *drive_path(const struct pc *pc, int index)
{
    unsigned devfn = pc->q35 ? PC_Q35_DEVFN_AHCI : DEVFN_IDE;
    int units = pc->q35 ? 1 : 2;
    return mem_printf("/pci@i0cf8/ide@%x,%x/drive@%d/disk@%d", devfn >> 3, devfn & 7, index / units, index % units);
}

static char *floppy_path(const struct pc *pc, unsigned drive)
{
    return mem_printf("/pci@i0cf8/isa@%x/fdc@03f0/floppy@%x", pc->q35 ? 0x1f : DEVFN_ISA >> 3, drive);
}

/* Takes the path. */
static int add_boot(struct pc *pc, const char *index, char *path, struct error *e)
{
    if (!pc->isa_only) return pc_add_boot_text(pc, index, path, e);
    mem_free(path);
    return error_set(e, "machine \"isapc\" has no bootindex: -boot order= is its boot order");
}

/* Drive `index` is the only one of an AHCI port, or one of two of a channel. */
static unsigned drive_unit(const struct pc *pc, int index)
{
    return (unsigned)(pc->q35 ? 2 * index : index);
}

static int make_ide_drive(struct pc *pc, struct device *ide, struct drive_config *c, struct error *e)
{
    struct device *d = dev_create(pc->machine->mb, dev_find(c->cdrom ? "ide-cd" : "ide-hd"), ide, c->id);
    dev_set_int(d, "unit", drive_unit(pc, c->index));
    if (c->blk) dev_set_ptr(d, "drive", c->blk);
    if (!dev_finish(d, e)) return -1;
    c->device = d;
    return c->bootindex ? add_boot(pc, c->bootindex, drive_path(pc, c->index), e) : 0;
}

/* c NULL: the empty drive that is there when nobody asked for one. */
static int make_floppy(struct pc *pc, struct drive_config *c, struct error *e)
{
    unsigned n = c ? (unsigned)c->index : 0;
    const char *index = c && c->bootindex ? c->bootindex : fdc_boot_index(pc->fdc, n);
    if (fdc_add_drive(pc->fdc, n, c ? c->blk : NULL, e)) return -1;
    if (c) c->device = pc->fdc;
    return index ? add_boot(pc, index, floppy_path(pc, n), e) : 0;
}

static int make_drives(struct pc *pc, struct device *ide, struct error *e)
{
    struct machine *m = pc->machine;
    bool cd_place_taken = false, floppy = m->cfg.no_defaults || !pc->fdc;
    int places = pc->q35 ? PC_Q35_PORTS : 4;
    for (unsigned i = 0; i < m->cfg.n_drives; i++) {
        struct drive_config *c = &m->cfg.drives[i];
        if (c->interface == DRIVE_NONE || c->interface == DRIVE_VIRTIO) continue;
        if (c->interface == DRIVE_FLOPPY) {
            if (make_floppy(pc, c, e)) return -1;
            floppy |= c->index == 0;
            continue;
        }
        if (c->interface != DRIVE_IDE || c->index < 0 || c->index >= places) {
            return error_set(e, "machine \"%s\" has no place for drive '%s' (IDE 0 to %d)",
                             m->cfg.board->name, c->id ? c->id : "?", places - 1);
        }
        if (make_ide_drive(pc, ide, c, e)) return -1;
        cd_place_taken |= c->index == 2;
    }
    if (!floppy && make_floppy(pc, NULL, e)) return -1;
    if (m->cfg.no_defaults || cd_place_taken) return 0;
    struct device *cd = dev_create(m->mb, dev_find("ide-cd"), ide, pc->q35 ? "ide2-cd0" : "ide1-cd0"); /* empty */
    dev_set_int(cd, "unit", drive_unit(pc, 2));
    return dev_finish(cd, e) ? 0 : -1;
}

/* ISA only: two channels, a VGA. *ide: what drives hang on. */
static int make_isa_cards(struct pc *pc, struct device **ide, struct error *e)
{
    static const uint16_t port[2] = {0x1f0, 0x170}, control[2] = {0x3f6, 0x376};
    const struct machine_config *c = &pc->machine->cfg;
    for (unsigned i = 0; i < 2; i++) {
        struct device *d = dev_create(pc->machine->mb, dev_find("isa-ide"), &pc->dev, NULL);
        dev_set_int(d, "iobase", port[i]);
        dev_set_int(d, "iobase2", control[i]);
        if (!dev_finish(d, e)) return -1;
        connect_isa(pc, d, 0, IRQ_IDE0 + i);
        if (!i) *ide = d;
    }
    if (c->no_vga || c->no_defaults) return 0;
    return dev_make(pc->machine->mb, "isa-vga", &pc->dev, e) ? pc_isa_vga_rom(pc, e) : -1;
}

/* ---- -device ---- */

/* The ISA interrupt that a device's property says; 16: it has none. */
static unsigned irq_property(const struct device *d)
{
    for (const struct prop_desc *p = d->desc->props; p && p->name; p++) {
        if (!strcmp(p->name, "irq") && p->kind == PROP_U8)
            return *((const uint8_t *)d + p->offset) & 15;
    }
    return 16;
}

/* The name of a PCI function in firmware's paths, behind that of the bridge it is behind; to be freed. */
static char *pci_path(const struct pci_device *p, const char *name, const char *rest)
{
    const struct pci_device *bridge = pci_bus_bridge(p->pci.bus);
    char *up = bridge ? pci_path(bridge, "pci-bridge", "") : mem_strdup("/pci@i0cf8");
    unsigned slot = p->pci.devfn >> 3, fn = p->pci.devfn & 7;
    char *path = fn ? mem_printf("%s/%s@%x,%x%s", up, name, slot, fn, rest) : mem_printf("%s/%s@%x%s", up, name, slot, rest);
    mem_free(up);
    return path;
}

/* A PCI device with a bootindex as firmware calls it. */
static int add_pci_boot(struct pc *pc, struct device *d, const char *index, struct error *e)
{
    const struct pci_device *p = pci_device(d);
    unsigned class = ld16_le(p->pci.config + PCI_CLASS + 1);
    const char *name = class == 0x0100 ? "scsi" : class >> 8 == 2 ? "ethernet" : class == 0x0101 ? "ide" : "pci";
    return pc_add_boot_text(pc, index, pci_path(p, name, class == 0x0100 ? "/disk@0,0" : ""), e);
}

/* The same of a drive that has its controller from -device, too. */
static int add_user_boot(struct pc *pc, struct device *d, const char *index, struct error *e)
{
    if (d->desc->bus == BUS_PCI) return add_pci_boot(pc, d, index, e);
    struct device *controller = d->parent;
    if (controller->desc->bus != BUS_PCI)
        return error_set(e, "Device '%s' has no place in the boot order: its controller is no PCI device", d->desc->name);
    char *rest;
    if (d->desc->bus == BUS_SCSI) {
        const struct scsi_disk *s = (const struct scsi_disk *)d;
        rest = mem_printf("/channel@0/disk@%x,%x", s->id, s->lun);
    } else {
        rest = mem_printf("/drive@%x/disk@0", ide_port(d));
    }
    char *path = pci_path(pci_device(controller), d->desc->bus == BUS_SCSI ? "scsi" : "ide", rest);
    mem_free(rest);
    return pc_add_boot_text(pc, index, path, e);
}

static int make_user_device(struct pc *pc, const struct machine_device *c, struct error *e)
{
    const char *bootindex = NULL;
    struct device *d = machine_user_device(pc->machine, c, pc->pcihost, isa_parent(pc), &bootindex, e);
    if (!d || (bootindex && add_user_boot(pc, d, bootindex, e))) return -1;
    unsigned irq = d->desc->bus == BUS_ISA && d->desc->n_irqs ? irq_property(d) : 16;
    if (irq < 16) connect_isa(pc, d, 0, irq);
    return 0;
}

static int make_user_devices(struct pc *pc, struct error *e)
{
    const struct machine_config *c = &pc->machine->cfg;
    for (unsigned i = 0; i < c->n_drives; i++) {
        struct drive_config *v = &c->drives[i];
        if (v->interface != DRIVE_VIRTIO) continue;
        struct device *d = machine_virtio_drive(pc->machine, v, pc->pcihost, e);
        if (!d || (v->bootindex && add_pci_boot(pc, d, v->bootindex, e))) return -1;
    }
    for (unsigned i = 0; i < c->n_devices; i++) {
        if (make_user_device(pc, &c->devices[i], e)) return -1;
    }
    return 0;
}

/* ---- the boards ---- */

int pc_init(struct machine *m, struct error *e)
{
    struct pc *pc = (struct pc *)dev_finish(dev_create(m->mb, &pc_desc, NULL, NULL), e);
    struct device *ide = NULL;
    struct region *low_rom = NULL;
    if (!pc) return -1;
    pc->machine = m;
    m->board_data = pc;
    pc->isa_only = m->cfg.board == &board_isapc;
    pc->q35 = m->cfg.board == &board_q35;
    if (pc->isa_only) {
        if (make_interrupts(pc, e) || make_cpus(pc, e) || make_memory(pc, NULL, e) || pc_load_firmware(pc, NULL, e)) return -1;
        for (unsigned i = 0; i < m->cfg.n_drives; i++) {
            if (m->cfg.drives[i].interface == DRIVE_VIRTIO) return error_set(e, "machine type does not support if=virtio");
        }
        if (make_timers(pc, e) || make_isa(pc, e) || make_isa_cards(pc, &ide, e) || make_drives(pc, ide, e)) return -1;
        return make_user_devices(pc, e) || pc_configure(pc, e) ? -1 : 0;
    }
    if (make_interrupts(pc, e) || make_cpus(pc, e)) return -1;
    if (pc->q35 ? pc_q35_make_pci(pc, &ide, e) : make_pci(pc, &ide, e)) return -1;
    if (make_memory(pc, &low_rom, e) || pc_load_firmware(pc, low_rom, e)) return -1;
    if (make_vga(pc, e) || make_timers(pc, e) || make_isa(pc, e) || make_drives(pc, ide, e)) return -1;
    return make_user_devices(pc, e) || pc_configure(pc, e) ? -1 : 0;
}

void pc_reset(struct machine *m)
{
    pc_set_boot_order(m->board_data);
    set_a20(m->board_data, true);
    for (unsigned i = 1; i < m->n_cpus; i++)
        x86_wait_for_sipi(m->cpu[i]);
}

static void pc_powerdown(struct machine *m)
{
    struct pc *pc = m->board_data;
    if (pc->pm) piix4_pm_power_button(pc->pm);
}

const char *const pc_isas[] = {"x86-32", "x86-64", NULL};
static const char *const pc_versions[] = {
    "pc-i440fx-7.2", "pc-i440fx-7.1", "pc-i440fx-7.0", "pc-i440fx-6.2", "pc-i440fx-6.1",
    "pc-i440fx-6.0", "pc-i440fx-5.2", "pc-i440fx-5.1", "pc-i440fx-5.0", "pc-i440fx-4.2",
    "pc-i440fx-4.1", "pc-i440fx-4.0", "pc-i440fx-3.1", "pc-i440fx-3.0", "pc-i440fx-2.12",
    "pc-i440fx-2.11", "pc-i440fx-2.10", "pc-i440fx-2.9", "pc-i440fx-2.8", NULL};

const struct board board_pc = {
    .name = "pc",
    .versions = pc_versions,
    .help = "Standard PC (i440FX + PIIX, 1996)",
    .default_cpu32 = "qemu32",
    .max_ram = UINT64_C(1) << 39,
    .max_cpus = MACHINE_MAX_CPUS,
    .is_default = true,
    PC_BOARD_COMMON,
    .powerdown = pc_powerdown,
};

const struct board board_isapc = {
    .name = "isapc",
    .help = "ISA-only PC",
    .default_cpu32 = "486",
    .max_ram = LOW_RAM_MAX,
    .max_cpus = 1,
    PC_BOARD_COMMON,
};
