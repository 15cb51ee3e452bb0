/*
 * piix4_pm.c - function 3 of the 82371AB (PIIX4): power management. Models the ACPI event and
 * control registers, the 3.58 MHz timer, soft off and the power button, and the advanced power
 * management ports b2/b3.
 *
 * Follows the 82371AB data sheet (Intel 290562), chapter 7. Not modelled: device monitors, clock
 * control, general purpose inputs and outputs (their registers hold what is written), sources of SMI#
 * but the APM port. The SMBus host is in piix4_smbus.c.
 *
 * Ports b2h and b3h talk to firmware's SMI handler; its part that switches ACPI on and off (the
 * commands f1h and f0h, as the PC's ACPI tables say) is done here, so that it works without SMM.
 */
#include "periph/pci/piix4.h"

#include "periph/pci/piix4_smbus.h"
#include "util/log.h"

#define PM_TIMER_HZ UINT64_C(3579545)

enum { PM_BASE = 0x40, PM_MISC = 0x80, PM_SMB_BASE = 0x90, PM_SMB_CONFIG = 0xd2 };
enum { PM_DEVACTB = 0x58, DEVACTB_APMC_EN = 1 << 25 };
enum { PM_GLBCTL = 0x28, GLBCTL_SMI_EN = 1 };
enum { APM_ACPI_OFF = 0xf0, APM_ACPI_ON = 0xf1 };
enum { PM_IRQ_SCI, PM_IRQ_SMI, PM_IRQS };
enum { PM_STS = 0x00, PM_EN = 0x02, PM_CNTRL = 0x04, PM_TMR = 0x08, PM_SIZE = 0x40 };
enum {
    STS_TMROF = 1 << 0,
    STS_BM = 1 << 4,
    STS_GBL = 1 << 5,
    STS_PWRBTN = 1 << 8,
    STS_RTC = 1 << 10,
    STS_RSM = 1 << 15
};
enum { CNTRL_SCI_EN = 1, CNTRL_SUS_TYP = 7 << 10, CNTRL_SUS_EN = 1 << 13 };
enum { EN_BITS = STS_TMROF | STS_GBL | STS_PWRBTN | STS_RTC };

struct piix4_pm {
    struct device dev;
    struct pci_func pci;
    uint16_t sts, en, cntrl;
    uint8_t other[PM_SIZE]; /* registers that only hold what is written */
    uint8_t apmc, apms;
    struct timer overflow; /* bit 23 of the timer changes */
    struct smbus_host smb;
    bool smm; /* firmware is to set SMM up; else it finds that done */
    struct irq_line irq[PM_IRQS];
    struct region *io, *apm, *smb_io;
    bool io_mapped, smb_mapped;
};

static struct piix4_pm *pm(struct device *d)
{
    return (struct piix4_pm *)d;
}

static void pm_update(struct piix4_pm *s)
{
    irq_set(&s->irq[0], (s->cntrl & CNTRL_SCI_EN) && (s->sts & s->en & EN_BITS));
}

static void arm_overflow(struct piix4_pm *s)
{
    uint64_t now = clock_ticks(clock_now(s->dev.clock), PM_TIMER_HZ);
    uint64_t half = UINT64_C(1) << 23;
    if (s->en & STS_TMROF)
        timer_arm(&s->overflow, clock_ticks_to_ns((now / half + 1) * half, PM_TIMER_HZ));
    else
        timer_cancel(&s->overflow);
}

/* The status bit is set each time the timer's top bit changes; while nobody listens it is not kept.
 */
static void overflow_event(void *opaque)
{
    struct piix4_pm *s = opaque;
    s->sts |= STS_TMROF;
    arm_overflow(s);
    pm_update(s);
}

void piix4_pm_power_button(struct device *d)
{
    struct piix4_pm *s = pm(d);
    s->sts |= STS_PWRBTN;
    pm_update(s);
}

struct smbus *piix4_pm_smbus(struct device *d)
{
    return pm(d)->smb.bus;
}

static void write_cntrl(struct piix4_pm *s, uint16_t v)
{
    s->cntrl = v & (uint16_t)~CNTRL_SUS_EN;
    if (v & CNTRL_SUS_EN) {
        unsigned type = (v & CNTRL_SUS_TYP) >> 10;
        struct machine_bus *mb = s->dev.mb;
        if (type == 0 && mb->request)
            mb->request(mb, MB_POWEROFF); /* soft off */
        else if (type == 1 && mb->request)
            mb->request(mb, MB_SUSPEND); /* suspend to RAM */
        else
            LOG(UNIMP, "PIIX4_PM: suspend type %u\n", type);
    }
    pm_update(s);
}

static uint64_t pm_read(void *opaque, uint64_t addr, unsigned size)
{
    struct piix4_pm *s = opaque;
    uint8_t r[PM_SIZE];
    memcpy(r, s->other, sizeof r);
    st16_le(r + PM_STS, s->sts);
    st16_le(r + PM_EN, s->en);
    st16_le(r + PM_CNTRL, s->cntrl);
    st32_le(r + PM_TMR, (uint32_t)clock_ticks(clock_now(s->dev.clock), PM_TIMER_HZ) & 0xffffff);
    uint64_t v = 0;
    for (unsigned i = 0; i < size && addr + i < PM_SIZE; i++)
        v |= (uint64_t)r[addr + i] << (8 * i);
    return v;
}

static void pm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;
    uint8_t r[PM_SIZE] = {0};
    bool wr[PM_SIZE] = {false};
    st16_le(r + PM_EN, s->en);
    st16_le(r + PM_CNTRL, s->cntrl);
    for (unsigned i = 0; i < size && addr + i < PM_SIZE; i++) {
        r[addr + i] = (uint8_t)(value >> (8 * i));
        wr[addr + i] = true;
        s->other[addr + i] = r[addr + i];
    }
    if (wr[PM_STS] || wr[PM_STS + 1]) s->sts &= (uint16_t)~ld16_le(r + PM_STS);
    if (wr[PM_EN] || wr[PM_EN + 1]) {
        s->en = ld16_le(r + PM_EN) & EN_BITS;
        arm_overflow(s);
    }
    pm_update(s);
    if (wr[PM_CNTRL] || wr[PM_CNTRL + 1]) write_cntrl(s, ld16_le(r + PM_CNTRL));
}

static const struct mmio_ops pm_ops = {
    .read = pm_read, .write = pm_write, .min_size = 1, .max_size = 4, .unaligned = true};

static uint64_t apm_read(void *opaque, uint64_t addr, unsigned size)
{
    return addr ? pm(opaque)->apms : pm(opaque)->apmc;
}

static void apm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct piix4_pm *s = pm(opaque);
    if (addr) {
        s->apms = (uint8_t)value;
        return;
    }
    s->apmc = (uint8_t)value;
    if (value == APM_ACPI_ON || value == APM_ACPI_OFF) {
        write_cntrl(s, (uint16_t)((s->cntrl & ~CNTRL_SCI_EN) | (value == APM_ACPI_ON)));
        return;
    }
    if ((ld32_le(s->pci.config + PM_DEVACTB) & DEVACTB_APMC_EN) && s->smm &&
        (s->other[PM_GLBCTL] & GLBCTL_SMI_EN))
        irq_pulse(&s->irq[PM_IRQ_SMI]);
}

static const struct mmio_ops apm_ops = {.read = apm_read,
                                        .write = apm_write,
                                        .min_size = 1,
                                        .max_size = 4,
                                        .impl_min = 1,
                                        .impl_max = 1};

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
    timer_init(&s->overflow, d->clock, overflow_event, s);
    s->io = region_new_mmio("piix4-pm", PM_SIZE, &pm_ops, s);
    s->apm = region_new_mmio("apm-io", 2, &apm_ops, s);
    region_add(d->mb->io_root, s->apm, 0xb2, 0);
    s->smb_io = region_new_mmio("pm-smbus", SMBUS_HOST_PORTS, &smbus_host_ops, &s->smb);
    s->smb.bus = smbus_new();
    return 0;
}

static void pm_unrealize(struct device *d)
{
    struct piix4_pm *s = pm(d);
    if (s->io) {
        timer_cancel(&s->overflow);
        if (s->io_mapped) region_remove(s->io);
        region_delete(s->io);
        region_remove(s->apm);
        region_delete(s->apm);
        if (s->smb_mapped) region_remove(s->smb_io);
        region_delete(s->smb_io);
        smbus_delete(s->smb.bus);
        s->io = s->apm = s->smb_io = NULL;
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
    timer_cancel(&s->overflow);
    smbus_host_reset(&s->smb);
    map_io(s);
    pm_update(s);
}

static int pm_post_load(struct device *d, struct error *e)
{
    pci_post_load(pci_device(d));
    map_io(pm(d));
    pm_update(pm(d));
    return 0;
}

static const struct prop_desc pm_props[] = {
    PCI_PROPS(struct piix4_pm),
    PROP(struct piix4_pm, PROP_BOOL, "smm-enabled", smm, 0, "system management interrupts are made"),
    PROP_END,
};
static const struct state_field pm_state[] = {
    PCI_STATE(struct piix4_pm),
    STATE_INT_RESET(struct piix4_pm, sts, 0),
    STATE_INT_RESET(struct piix4_pm, en, 0),
    STATE_INT_RESET(struct piix4_pm, cntrl, 0),
    STATE_ARR(struct piix4_pm, other),
    STATE_INT_RESET(struct piix4_pm, apmc, 0),
    STATE_INT_RESET(struct piix4_pm, apms, 0),
    STATE_TIMER(struct piix4_pm, overflow),
    STATE_STRUCT(struct piix4_pm, smb, 1, smbus_host_state),
    STATE_PROP(struct piix4_pm, smm),
    STATE_IRQ(struct piix4_pm, irq, PM_IRQS),
    STATE_RUNTIME(struct piix4_pm, io),
    STATE_RUNTIME(struct piix4_pm, apm),
    STATE_RUNTIME(struct piix4_pm, smb_io),
    STATE_RUNTIME(struct piix4_pm, io_mapped),
    STATE_RUNTIME(struct piix4_pm, smb_mapped),
    STATE_END,
};
static const struct reg_desc pm_regs[] = {{PM_STS, "PMSTS", 2},
                                          {PM_EN, "PMEN", 2},
                                          {PM_CNTRL, "PMCNTRL", 2},
                                          {PM_TMR, "PMTMR", 4},
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
