/*
 * pc-q35.c - what a PC with the Q35 chip set has of its own: 82Q35 host bridge with PCI Express configuration space, ICH9 with
 * LPC bridge, AHCI and SMBus. The rest is pc.c's.
 *
 * Follows the chips' data sheets (see the devices); functions are where the ICH9 has them. Not there: the ICH9's
 * USB, network and sound functions, its PCI bridge and its PCI Express ports.
 */
#include "machines/pc.h"

#include "periph/pci/i440fx.h"
#include "periph/pci/ich9.h"

enum { DEVFN_MCH = 0x00, DEVFN_LPC = 0xf8, DEVFN_SMB = 0xfb };

static struct device *make_lpc(struct pc *pc, struct error *e)
{
    struct machine *m = pc->machine;
    struct device *d = dev_create(m->mb, dev_find("ICH9-LPC"), pc->pcihost, NULL);
    dev_set_prop(d, "addr", "1f.0", NULL);
    dev_set_int(d, "smm-enabled", !m->cfg.no_smm);
    return dev_finish(d, e);
}

int pc_q35_make_pci(struct pc *pc, struct device **ide, struct error *e)
{
    struct machine_bus *mb = pc->machine->mb;
    pc->pcihost = dev_make(mb, "q35-pcihost", &pc->dev, e);
    if (!pc->pcihost) return -1;
    pci_bus_set_map(mb->pci, ich9_pin_map);
    pci_bus_set_msi(mb->pci, pc_pci_message, pc);
    pc->pmc = pci_make(mb, "mch", DEVFN_MCH, e);
    pc->isa = pc->pmc ? make_lpc(pc, e) : NULL;
    if (!pc->isa) return -1;
    pc->isa_in = ICH9_IN_ISA;
    i440fx_set_reset_port(pc->pcihost, ich9_reset_control, ich9_write_reset_control, pc->isa);
    for (unsigned i = 0; i < 8; i++) {
        dev_connect(pc->pcihost, i, pc->isa, ICH9_IN_PIRQ + i);
        irq_connect(dev_irq(pc->isa, ICH9_OUT_GSI + i), pc_pirq_gsi, pc, ICH9_OUT_GSI + i);
    }
    for (unsigned i = 0; i < 16; i++)
        irq_connect(dev_irq(pc->isa, i), pc_isa_irq, pc, i);
    irq_connect(dev_irq(pc->isa, ICH9_OUT_SMI), pc_smi_line, pc, 0);
    *ide = pci_make(mb, "ich9-ahci", PC_Q35_DEVFN_AHCI, e);
    return *ide && pci_make(mb, "ICH9-SMB", DEVFN_SMB, e) ? 0 : -1;
}

static void q35_powerdown(struct machine *m)
{
    struct pc *pc = m->board_data;
    if (!m->cfg.no_acpi) ich9_power_button(pc->isa);
}

static const char *const q35_versions[] = {
    "pc-q35-7.2", "pc-q35-7.1", "pc-q35-7.0", "pc-q35-6.2", "pc-q35-6.1", "pc-q35-6.0",  "pc-q35-5.2",  "pc-q35-5.1", "pc-q35-5.0",
    "pc-q35-4.2", "pc-q35-4.1", "pc-q35-4.0", "pc-q35-3.1", "pc-q35-3.0", "pc-q35-2.12", "pc-q35-2.11", "pc-q35-2.10", "pc-q35-2.9",
    "pc-q35-2.8", NULL};

const struct board board_q35 = {
    .name = "q35",
    .versions = q35_versions,
    .help = "Standard PC (Q35 + ICH9, 2009)",
    .default_cpu32 = "qemu32",
    .max_ram = UINT64_C(1) << 39,
    .max_cpus = MACHINE_MAX_CPUS,
    .ide_buses = PC_Q35_PORTS,
    .ide_units = 1,
    PC_BOARD_COMMON,
    .powerdown = q35_powerdown,
};
