/*
 * piix4_pm.c - function 3 of the 82371AB (PIIX4): power management. Models the ACPI event and
 * control registers, the 3.58 MHz timer, soft off and the power button, and the advanced power
 * management ports b2/b3.
 *
 * Follows the 82371AB data sheet (Intel 290562), chapter 7; the registers of ACPI are in acpi-pm.c. Not modelled: device monitors, clock
 * control, general purpose inputs and outputs (their registers hold what is written), sources of SMI#
 * but the APM port. The SMBus host is in piix4_smbus.c.
 */
#include "periph/pci/piix4.h"

#include "periph/pci/acpi-pm.h"
#include "periph/pci/piix4_smbus.h"

enum { PM_BASE = 0x40, PM_MISC = 0x80, PM_SMB_BASE = 0x90, PM_SMB_CONFIG = 0xd2 };
enum { PM_DEVACTB = 0x58, DEVACTB_APMC_EN = 1 << 25 };
enum { PM_GLBCTL = 0x28, GLBCTL_SMI_EN = 1 };
enum { PM_IRQ_SCI, PM_IRQ_SMI, PM_IRQS };
enum { PM_SIZE = 0x40 };

/* Type 0 is soft off. */
static const struct acpi_pm_types sleep_types = {.soft_off = 0, .suspend_to_ram = 1};

struct piix4_pm {
    struct device dev;
    struct pci_func pci;
    struct acpi_pm acpi;
    uint8_t other[PM_SIZE]; /* registers that only hold what is written */
    struct smbus_host smb;
    bool smm; /* firmware is to set SMM up; else it finds that done */
    struct irq_line irq[PM_IRQS];
    struct region *io, *smb_io;
    bool io_mapped, smb_mapped;
};

static struct piix4_pm *pm(struct device *d)
{
    return (struct piix4_pm *)d;
}

void piix4_pm_power_button(struct device *d)
{
    acpi_pm_power_button(&pm(d)->acpi);
}

struct smbus *piix4_pm_smbus(struct device *d)
{
    return pm(d)->smb.bus;
}

static uint64_t pm_read(void *opaque, uint64_t addr, unsigned size)
{
    struct piix4_pm *s = opaque;
    return acpi_pm_read(&s->acpi, s->other, PM_SIZE, (unsigned)addr, size);
}

static void pm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;
    for (unsigned i = 0; i < size && addr + i < PM_SIZE; i++)
        s->other[addr + i] = (uint8_t)(value >> (8 * i));
    acpi_pm_write(&s->acpi, (unsigned)addr, value, size);
}

static const struct mmio_ops pm_ops = {
    .read = pm_read, .write = pm_write, .min_size = 1, .max_size = 4, .unaligned = true};

static void apm_command(struct device *d)
{
    struct piix4_pm *s = pm(d);
    if ((ld32_le(s->pci.config + PM_DEVACTB) & DEVACTB_APMC_EN) && s->smm &&
        (s->other[PM_GLBCTL] & GLBCTL_SMI_EN))
        irq_pulse(&s->irq[PM_IRQ_SMI]);
}

static void map_io(struct piix4_pm *s)
{
    const uint8_t *c = s->pci.config;
    bool on = c[PM_MISC] & 1;
    uint32_t base = ld32_le(c + PM_BASE) & 0xffc0;
    bus_transaction_begin();
    if (s->io_mapped) region_remove(s->io);
    if (on) region_add(s->dev.mb->io_root, s->io, base, 1);
    s->io_mapped = on;
    on = c[PM_SMB_CONFIG] & 1;
    if (s->smb_mapped) region_remove(s->smb_io);
    if (on) region_add(s->dev.mb->io_root, s->smb_io, ld32_le(c + PM_SMB_BASE) & 0xfff0, 1);
    s->smb_mapped = on;
    bus_transaction_commit();
}

static void pm_config_written(struct pci_device *p, unsigned reg, unsigned size)
{
    struct piix4_pm *s = pm(&p->dev);
    p->pci.config[PM_BASE] = (p->pci.config[PM_BASE] & 0xc0) | 1; /* an I/O range of 64 */
    p->pci.config[PM_SMB_BASE] = (p->pci.config[PM_SMB_BASE] & 0xf0) | 1;
    map_io(s);
}

static int pm_realize(struct device *d, struct error *e)
{
    struct piix4_pm *s = pm(d);
    struct pci_device *p = pci_device(d);
    if (pci_realize(p, e)) return -1;
    memset(p->pci.wmask + 0x40, 0xff, 0xc0);
    acpi_pm_init(&s->acpi, d, &s->irq[PM_IRQ_SCI], &sleep_types, apm_command);
    s->io = region_new_mmio("piix4-pm", PM_SIZE, &pm_ops, s);
    s->smb_io = region_new_mmio("pm-smbus", SMBUS_HOST_PORTS, &smbus_host_ops, &s->smb);
    s->smb.bus = smbus_new();
    return 0;
}

static void pm_unrealize(struct device *d)
{
    struct piix4_pm *s = pm(d);
    if (s->io) {
        acpi_pm_drop(&s->acpi);
        if (s->io_mapped) region_remove(s->io);
        region_delete(s->io);
        if (s->smb_mapped) region_remove(s->smb_io);
        region_delete(s->smb_io);
        smbus_delete(s->smb.bus);
        s->io = s->smb_io = NULL;
        s->smb.bus = NULL;
        s->io_mapped = s->smb_mapped = false;
    }
    pci_unrealize(pci_device(d));
}

static void pm_reset(struct device *d)
{
    struct piix4_pm *s = pm(d);
    uint8_t *c = s->pci.config;
    pci_reset(pci_device(d));
    memset(c + 0x40, 0, 0xc0);
    st32_le(c + PM_BASE, 1);
    if (!s->smm) c[0x5b] = 0x02; /* APMC_EN: nothing to do for firmware */
    c[0x5f] = 0x90;
    c[0x63] = 0x60;
    c[0x67] = 0x98;
    st32_le(c + PM_SMB_BASE, 0x1101); /* where firmware puts the SMBus host */
    c[PM_SMB_CONFIG] = 0x09;
    memset(s->other, 0, sizeof s->other);
    acpi_pm_reset(&s->acpi);
    smbus_host_reset(&s->smb);
    map_io(s);
}

static int pm_post_load(struct device *d, struct error *e)
{
    pci_post_load(pci_device(d));
    map_io(pm(d));
    acpi_pm_update(&pm(d)->acpi);
    return 0;
}

static const struct prop_desc pm_props[] = {
    PCI_PROPS(struct piix4_pm),
    PROP(struct piix4_pm, PROP_BOOL, "smm-enabled", smm, 0, "system management interrupts are made"),
    PROP_END,
};
static const struct state_field pm_state[] = {
    PCI_STATE(struct piix4_pm),
    STATE_STRUCT(struct piix4_pm, acpi, 1, acpi_pm_state),
    STATE_ARR(struct piix4_pm, other),
    STATE_STRUCT(struct piix4_pm, smb, 1, smbus_host_state),
    STATE_PROP(struct piix4_pm, smm),
    STATE_IRQ(struct piix4_pm, irq, PM_IRQS),
    STATE_RUNTIME(struct piix4_pm, io),
    STATE_RUNTIME(struct piix4_pm, smb_io),
    STATE_RUNTIME(struct piix4_pm, io_mapped),
    STATE_RUNTIME(struct piix4_pm, smb_mapped),
    STATE_END,
};
static const struct reg_desc pm_regs[] = {{ACPI_PM_STS, "PMSTS", 2},
                                          {ACPI_PM_EN, "PMEN", 2},
                                          {ACPI_PM_CNTRL, "PMCNTRL", 2},
                                          {ACPI_PM_TMR, "PMTMR", 4},
                                          REG_END};
static const struct pci_dev_desc pm_pci = {.vendor = 0x8086,
                                           .device = 0x7113,
                                           .class_code = 0x068000,
                                           .revision = 3,
                                           .status = 0x0280,
                                           .int_pin = 1,
                                           .config_written = pm_config_written};

const struct dev_desc piix4_pm_desc = {
    .name = "PIIX4_PM",
    .help = "82371AB (PIIX4) power management",
    .bus = BUS_PCI,
    .category = DEV_BRIDGE,
    .size = sizeof(struct piix4_pm),
    .props = pm_props,
    .state = pm_state,
    .regs = pm_regs,
    .realize = pm_realize,
    .unrealize = pm_unrealize,
    .reset = pm_reset,
    .post_load = pm_post_load,
    .bus_desc = &pm_pci,
    .irq_offset = offsetof(struct piix4_pm, irq),
    .n_irqs = PM_IRQS,
};
