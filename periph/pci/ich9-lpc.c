/*
 * ich9-lpc.c - function 31.0 of the 82801IB/IR (ICH9): the LPC bridge. Models the routing of PIRQ lines to ISA interrupts and
 * to the I/O APIC, the reset control register, the power management ports with SMI# for the APM port, and the registers
 * of the root complex that drivers look at.
 *
 * Follows the ICH9 data sheet (Intel 316972), chapters 10, 13. Not modelled: the TCO watchdog, general purpose events and
 * pins, sources of SMI# but the APM port (their registers hold what is written); interrupt routes of the chip's own functions
 * are those after reset, their registers (DxxIR) are read-only. The ISA devices behind the bridge are devices of their own.
 */
#include "periph/pci/ich9.h"

#include "periph/pci/acpi-pm.h"
#include "periph/pci/piix4.h"
#include "util/log.h"

enum { PMBASE = 0x40, ACPI_CNTL = 0x44, PIRQ_A = 0x60, SIRQ_CNTL = 0x64, PIRQ_E = 0x68, RCBA = 0xf0 };
enum { ACPI_EN = 0x80, PIRQ_OFF = 0x80, RCBA_EN = 1, PMBASE_MASK = 0xff80 };
enum { PM_SIZE = 0x80, GPE0_STS = 0x20, GPE0_EN = 0x28, SMI_EN = 0x30, SMI_STS = 0x34 };
enum { SMI_GBL = 1, SMI_APM = 1 << 5 };
enum { SCI_IRQ = 9 };
/* In the root complex's 16 KiB. */
enum { RCRB_SIZE = 0x4000, DIR_FIRST = 0x3140, DIR_END = 0x3152, OIC = 0x31fe, HPTC = 0x3404, GCS = 0x3410, BUC = 0x3414 };
enum { DIR_RESET = 0x3210, HPTC_MASK = 0x83, GCS_MASK = 0x0ffe };

static const struct acpi_pm_types sleep_types = {.soft_off = 7, .suspend_to_ram = 5};

struct ich9_lpc {
    struct device dev;
    struct pci_func pci;
    struct acpi_pm acpi;
    uint8_t other[PM_SIZE]; /* power management registers that only hold what is written */
    uint32_t inputs;        /* bit n: input n */
    uint8_t rcr;            /* reset control register */
    uint32_t hptc, gcs;
    bool smm; /* firmware is to set SMM up; else it finds that done */
    struct irq_line irq[ICH9_OUTPUTS];
    struct irq_line sci;
    struct region *io, *rcrb;
    bool io_mapped, rcrb_mapped;
};

static struct ich9_lpc *lpc(struct device *d)
{
    return (struct ich9_lpc *)d;
}

/* ---- interrupts ---- */

static void update(struct ich9_lpc *s)
{
    uint32_t out = s->inputs >> ICH9_IN_ISA & 0xffff;
    for (unsigned i = 0; i < 8; i++) {
        uint8_t route = s->pci.config[i < 4 ? PIRQ_A + i : PIRQ_E + i - 4];
        bool level = s->inputs >> (ICH9_IN_PIRQ + i) & 1;
        if (level && !(route & PIRQ_OFF)) out |= 1u << (route & 15);
        irq_set(&s->irq[ICH9_OUT_GSI + i], level);
    }
    for (unsigned i = 0; i < 16; i++)
        irq_set(&s->irq[i], out >> i & 1);
}

static void lpc_input(void *opaque, unsigned n, bool level)
{
    struct ich9_lpc *s = opaque;
    if (n >= ICH9_INPUTS) return;
    if (level)
        s->inputs |= 1u << n;
    else
        s->inputs &= ~(1u << n);
    update(s);
}

unsigned ich9_pin_map(unsigned devfn, unsigned pin)
{
    unsigned slot = devfn >> 3;
    return slot >= 25 ? pin & 3 : 4 + ((slot + pin) & 3);
}

/* ---- power management ---- */

uint8_t ich9_reset_control(void *d)
{
    return lpc(d)->rcr;
}

void ich9_write_reset_control(void *d, uint8_t value)
{
    lpc(d)->rcr = piix_reset(lpc(d)->dev.mb, lpc(d)->rcr, value);
}

void ich9_power_button(struct device *d)
{
    acpi_pm_power_button(&lpc(d)->acpi);
}

static uint64_t pm_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ich9_lpc *s = opaque;
    return acpi_pm_read(&s->acpi, s->other, PM_SIZE, (unsigned)addr, size);
}

static void pm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ich9_lpc *s = opaque;
    for (unsigned i = 0; i < size && addr + i < PM_SIZE; i++) {
        unsigned at = (unsigned)addr + i;
        uint8_t v = (uint8_t)(value >> (8 * i));
        bool status = (at >= GPE0_STS && at < GPE0_EN) || (at >= SMI_STS && at < SMI_STS + 4);
        s->other[at] = status ? s->other[at] & (uint8_t)~v : v;
    }
    acpi_pm_write(&s->acpi, (unsigned)addr, value, size);
}

static const struct mmio_ops pm_ops = {
    .read = pm_read, .write = pm_write, .min_size = 1, .max_size = 4, .unaligned = true};

static void apm_command(struct device *d)
{
    struct ich9_lpc *s = lpc(d);
    s->other[SMI_STS] |= SMI_APM;
    if (s->smm && (s->other[SMI_EN] & SMI_APM) && (s->other[SMI_EN] & SMI_GBL)) irq_pulse(&s->irq[ICH9_OUT_SMI]);
}

/* ---- the root complex's registers ---- */

static uint64_t rcrb_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct ich9_lpc *s = opaque;
    uint32_t at = (uint32_t)addr & ~3u, v = 0;
    if (at == HPTC) v = s->hptc;
    else if (at == GCS) v = s->gcs;
    else if (at >= DIR_FIRST && at < DIR_END) v = DIR_RESET | (uint32_t)DIR_RESET << 16;
    else if (at == (OIC & ~3)) v = 0x0100u << 16; /* the I/O APIC is on */
    return v >> 8 * (addr & 3);
}

static void rcrb_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ich9_lpc *s = opaque;
    if (addr == HPTC) s->hptc = (uint32_t)value & HPTC_MASK;
    else if (addr == GCS) s->gcs = (uint32_t)value & GCS_MASK;
    else LOG(UNIMP, "ICH9-LPC: write to 0x%x of the root complex registers\n", (unsigned)addr);
}

static const struct mmio_ops rcrb_ops = {
    .read = rcrb_read, .write = rcrb_write, .min_size = 1, .max_size = 4};

/* ---- configuration ---- */

static void map_regions(struct ich9_lpc *s)
{
    const uint8_t *c = s->pci.config;
    bool io = c[ACPI_CNTL] & ACPI_EN, rcrb = c[RCBA] & RCBA_EN;
    bus_transaction_begin();
    if (s->io_mapped) region_remove(s->io);
    if (io) region_add(s->dev.mb->io_root, s->io, ld32_le(c + PMBASE) & PMBASE_MASK, 1);
    s->io_mapped = io;
    if (s->rcrb_mapped) region_remove(s->rcrb);
    if (rcrb) region_add(s->dev.mb->mem_root, s->rcrb, ld32_le(c + RCBA) & ~(RCRB_SIZE - 1u), 1);
    s->rcrb_mapped = rcrb;
    bus_transaction_commit();
}

static void config_written(struct pci_device *p, unsigned reg, unsigned size)
{
    struct ich9_lpc *s = lpc(&p->dev);
    if (reg < PIRQ_E + 4 && reg + size > PIRQ_A) update(s);
    if (reg >= RCBA || reg < ACPI_CNTL + 4) map_regions(s);
}

static int lpc_realize(struct device *d, struct error *e)
{
    struct ich9_lpc *s = lpc(d);
    struct pci_device *p = pci_device(d);
    if (pci_realize(p, e)) return -1;
    memset(p->pci.wmask + 0x40, 0xff, 0xc0);
    pci_set_wmask32(p, PMBASE, PMBASE_MASK);
    pci_set_wmask32(p, RCBA, ~(RCRB_SIZE - 1u) | RCBA_EN);
    memset(p->pci.wmask + PIRQ_A, 0x8f, 4);
    memset(p->pci.wmask + PIRQ_E, 0x8f, 4);
    irq_connect(&s->sci, lpc_input, s, ICH9_IN_ISA + SCI_IRQ);
    acpi_pm_init(&s->acpi, d, &s->sci, &sleep_types, apm_command);
    s->io = region_new_mmio("ich9-pm", PM_SIZE, &pm_ops, s);
    s->rcrb = region_new_mmio("lpc-rcrb-mmio", RCRB_SIZE, &rcrb_ops, s);
    return 0;
}

static void lpc_unrealize(struct device *d)
{
    struct ich9_lpc *s = lpc(d);
    acpi_pm_drop(&s->acpi);
    if (s->io_mapped) region_remove(s->io);
    if (s->rcrb_mapped) region_remove(s->rcrb);
    region_delete(s->io);
    region_delete(s->rcrb);
    s->io = s->rcrb = NULL;
    s->io_mapped = s->rcrb_mapped = false;
    pci_unrealize(pci_device(d));
}

static void lpc_reset(struct device *d)
{
    struct ich9_lpc *s = lpc(d);
    uint8_t *c = s->pci.config;
    pci_reset(pci_device(d));
    memset(c + 0x40, 0, 0xc0);
    st32_le(c + PMBASE, 1);
    memset(c + PIRQ_A, PIRQ_OFF, 4);
    memset(c + PIRQ_E, PIRQ_OFF, 4);
    c[SIRQ_CNTL] = 0x10;
    c[0x4c] = 0x00;
    st32_le(c + 0xd0, 0x00112233); /* firmware hub select */
    st16_le(c + 0xd4, 0x4567);
    st16_le(c + 0xd8, 0xffcf);
    memset(s->other, 0, sizeof s->other);
    if (!s->smm) s->other[SMI_EN] = SMI_APM; /* nothing to do for firmware */
    acpi_pm_reset(&s->acpi);
    map_regions(s);
    update(s);
}

static int lpc_post_load(struct device *d, struct error *e)
{
    pci_post_load(pci_device(d));
    map_regions(lpc(d));
    acpi_pm_update(&lpc(d)->acpi);
    update(lpc(d));
    return 0;
}

static const struct prop_desc lpc_props[] = {
    PCI_PROPS(struct ich9_lpc),
    PROP(struct ich9_lpc, PROP_BOOL, "smm-enabled", smm, 0, "system management interrupts are made"),
    PROP_END,
};
static const struct state_field lpc_state[] = {
    PCI_STATE(struct ich9_lpc),
    STATE_STRUCT(struct ich9_lpc, acpi, 1, acpi_pm_state),
    STATE_ARR(struct ich9_lpc, other),
    STATE_INT(struct ich9_lpc, inputs),
    STATE_INT_RESET(struct ich9_lpc, rcr, 0),
    STATE_INT_RESET(struct ich9_lpc, hptc, 0),
    STATE_INT_RESET(struct ich9_lpc, gcs, 0),
    STATE_PROP(struct ich9_lpc, smm),
    STATE_IRQ(struct ich9_lpc, irq, ICH9_OUTPUTS),
    STATE_RUNTIME(struct ich9_lpc, sci),
    STATE_RUNTIME(struct ich9_lpc, io),
    STATE_RUNTIME(struct ich9_lpc, rcrb),
    STATE_RUNTIME(struct ich9_lpc, io_mapped),
    STATE_RUNTIME(struct ich9_lpc, rcrb_mapped),
    STATE_END,
};
static const struct reg_desc lpc_regs[] = {{ACPI_PM_STS, "PM1_STS", 2}, {ACPI_PM_EN, "PM1_EN", 2},
                                           {ACPI_PM_CNTRL, "PM1_CNT", 4}, {ACPI_PM_TMR, "PM1_TMR", 4},
                                           {GPE0_STS, "GPE0_STS", 8}, {GPE0_EN, "GPE0_EN", 8},
                                           {SMI_EN, "SMI_EN", 4}, {SMI_STS, "SMI_STS", 4}, REG_END};
static const struct pci_dev_desc lpc_pci = {.vendor = 0x8086,
                                            .device = 0x2918,
                                            .class_code = 0x060100,
                                            .revision = 2,
                                            .status = 0x0200,
                                            .subvendor = 0x1af4,
                                            .subdevice = 0x1100,
                                            .multifunction = true,
                                            .config_written = config_written};

const struct dev_desc ich9_lpc_desc = {
    .name = "ICH9-LPC",
    .help = "82801IB (ICH9) LPC bridge with power management",
    .bus = BUS_PCI,
    .category = DEV_BRIDGE,
    .size = sizeof(struct ich9_lpc),
    .props = lpc_props,
    .state = lpc_state,
    .regs = lpc_regs,
    .realize = lpc_realize,
    .unrealize = lpc_unrealize,
    .reset = lpc_reset,
    .post_load = lpc_post_load,
    .bus_desc = &lpc_pci,
    .irq_offset = offsetof(struct ich9_lpc, irq),
    .n_irqs = ICH9_OUTPUTS,
    .input = lpc_input,
    .n_inputs = ICH9_INPUTS,
};
