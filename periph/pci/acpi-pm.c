/*
 * acpi-pm.c - PM1 event and control registers, power management timer, APM ports; see acpi-pm.h.
 *
 * Follows the ACPI specification 6.4, chapter 4.8, as far as the 82371AB (Intel 290562, chapter 7) and the ICH9 (Intel
 * 316972, chapter 13.8) agree.
 *
 * Ports b2h and b3h talk to firmware's SMI handler; its part that switches ACPI on and off (the
 * commands f1h and f0h, as the PC's ACPI tables say) is done here, so that it works without SMM.
 */
#include "periph/pci/acpi-pm.h"

#include "util/log.h"

#define PM_TIMER_HZ UINT64_C(3579545)

enum { APM_ACPI_OFF = 0xf0, APM_ACPI_ON = 0xf1 };
enum {
    STS_TMROF = 1 << 0,
    STS_GBL = 1 << 5,
    STS_PWRBTN = 1 << 8,
    STS_RTC = 1 << 10,
};
enum { CNTRL_SCI_EN = 1, CNTRL_SUS_TYP_SHIFT = 10, CNTRL_SUS_EN = 1 << 13 };
enum { EN_BITS = STS_TMROF | STS_GBL | STS_PWRBTN | STS_RTC };

void acpi_pm_update(struct acpi_pm *s)
{
    irq_set(s->sci, (s->cntrl & CNTRL_SCI_EN) && (s->sts & s->en & EN_BITS));
}

static void arm_overflow(struct acpi_pm *s)
{
    uint64_t now = clock_ticks(clock_now(s->owner->clock), PM_TIMER_HZ);
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
    struct acpi_pm *s = opaque;
    s->sts |= STS_TMROF;
    arm_overflow(s);
    acpi_pm_update(s);
}

void acpi_pm_power_button(struct acpi_pm *s)
{
    s->sts |= STS_PWRBTN;
    acpi_pm_update(s);
}

static void write_cntrl(struct acpi_pm *s, uint16_t v)
{
    s->cntrl = v & (uint16_t)~CNTRL_SUS_EN;
    if (v & CNTRL_SUS_EN) {
        unsigned type = v >> CNTRL_SUS_TYP_SHIFT & 7;
        struct machine_bus *mb = s->owner->mb;
        if (type == s->types->soft_off && mb->request)
            mb->request(mb, MB_POWEROFF);
        else if (type == s->types->suspend_to_ram && mb->request)
            mb->request(mb, MB_SUSPEND);
        else
            LOG(UNIMP, "%s: suspend type %u\n", s->owner->desc->name, type);
    }
    acpi_pm_update(s);
}

uint64_t acpi_pm_read(struct acpi_pm *s, const uint8_t *other, unsigned n, unsigned addr, unsigned size)
{
    uint8_t r[ACPI_PM_SIZE] = {0};
    uint64_t v = 0;
    st16_le(r + ACPI_PM_STS, s->sts);
    st16_le(r + ACPI_PM_EN, s->en);
    st16_le(r + ACPI_PM_CNTRL, s->cntrl);
    st32_le(r + ACPI_PM_TMR, (uint32_t)clock_ticks(clock_now(s->owner->clock), PM_TIMER_HZ) & 0xffffff);
    for (unsigned i = 0; i < size && addr + i < n; i++)
        v |= (uint64_t)(addr + i < ACPI_PM_SIZE ? r : other)[addr + i] << (8 * i);
    return v;
}

void acpi_pm_write(struct acpi_pm *s, unsigned addr, uint64_t value, unsigned size)
{
    uint8_t r[ACPI_PM_SIZE] = {0};
    bool wr[ACPI_PM_SIZE] = {false};
    st16_le(r + ACPI_PM_EN, s->en);
    st16_le(r + ACPI_PM_CNTRL, s->cntrl);
    for (unsigned i = 0; i < size && addr + i < ACPI_PM_SIZE; i++) {
        r[addr + i] = (uint8_t)(value >> (8 * i));
        wr[addr + i] = true;
    }
    if (wr[ACPI_PM_STS] || wr[ACPI_PM_STS + 1]) s->sts &= (uint16_t)~ld16_le(r + ACPI_PM_STS);
    if (wr[ACPI_PM_EN] || wr[ACPI_PM_EN + 1]) {
        s->en = ld16_le(r + ACPI_PM_EN) & EN_BITS;
        arm_overflow(s);
    }
    acpi_pm_update(s);
    if (wr[ACPI_PM_CNTRL] || wr[ACPI_PM_CNTRL + 1]) write_cntrl(s, ld16_le(r + ACPI_PM_CNTRL));
}

static uint64_t apm_read(void *opaque, uint64_t addr, unsigned size)
{
    struct acpi_pm *s = opaque;
    return addr ? s->apms : s->apmc;
}

static void apm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct acpi_pm *s = opaque;
    if (addr) {
        s->apms = (uint8_t)value;
        return;
    }
    s->apmc = (uint8_t)value;
    if (value == APM_ACPI_ON || value == APM_ACPI_OFF)
        write_cntrl(s, (uint16_t)((s->cntrl & ~CNTRL_SCI_EN) | (value == APM_ACPI_ON)));
    else
        s->apm_command(s->owner);
}

static const struct mmio_ops apm_ops = {.read = apm_read,
                                        .write = apm_write,
                                        .min_size = 1,
                                        .max_size = 4,
                                        .impl_min = 1,
                                        .impl_max = 1};

void acpi_pm_init(struct acpi_pm *s, struct device *owner, struct irq_line *sci, const struct acpi_pm_types *types,
                  void (*apm_command)(struct device *))
{
    s->owner = owner, s->sci = sci, s->types = types, s->apm_command = apm_command;
    timer_init(&s->overflow, owner->clock, overflow_event, s);
    s->apm = region_new_mmio("apm-io", 2, &apm_ops, s);
    region_add(owner->mb->io_root, s->apm, 0xb2, 0);
}

void acpi_pm_drop(struct acpi_pm *s)
{
    if (!s->apm) return;
    timer_cancel(&s->overflow);
    region_remove(s->apm);
    region_delete(s->apm);
    s->apm = NULL;
}

void acpi_pm_reset(struct acpi_pm *s)
{
    s->sts = s->en = s->cntrl = 0;
    s->apmc = s->apms = 0;
    timer_cancel(&s->overflow);
    acpi_pm_update(s);
}

const struct state_field acpi_pm_state[] = {
    STATE_INT(struct acpi_pm, sts),
    STATE_INT(struct acpi_pm, en),
    STATE_INT(struct acpi_pm, cntrl),
    STATE_INT(struct acpi_pm, apmc),
    STATE_INT(struct acpi_pm, apms),
    STATE_TIMER(struct acpi_pm, overflow),
    STATE_RUNTIME(struct acpi_pm, owner),
    STATE_RUNTIME(struct acpi_pm, sci),
    STATE_RUNTIME(struct acpi_pm, types),
    STATE_RUNTIME(struct acpi_pm, apm_command),
    STATE_RUNTIME(struct acpi_pm, apm),
    STATE_END,
};
