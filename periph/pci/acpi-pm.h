/*
 * acpi-pm.h - the fixed power management registers of ACPI that Intel's south bridges have at the beginning of their
 * power management ports: PM1 event and control, the 3.58 MHz timer; and the APM ports B2h and B3h.
 */
#ifndef PERIPH_PCI_ACPI_PM_H
#define PERIPH_PCI_ACPI_PM_H

#include "bus/dev.h"

/* Offsets of the registers, and how many bytes they are in. */
enum { ACPI_PM_STS = 0, ACPI_PM_EN = 2, ACPI_PM_CNTRL = 4, ACPI_PM_TMR = 8, ACPI_PM_SIZE = 12 };

/* What differs between the chips: sleep types (bits 10 to 12 of PM1_CNT). */
struct acpi_pm_types {
    uint8_t soft_off, suspend_to_ram;
};

struct acpi_pm {
    uint16_t sts, en, cntrl;
    uint8_t apmc, apms;
    struct timer overflow; /* bit 23 of the timer changes */
    /* runtime */
    struct device *owner;
    struct irq_line *sci;
    const struct acpi_pm_types *types;
    /* A byte came to port B2h that is not the switching of ACPI: the chip makes an SMI, if it is told to. */
    void (*apm_command)(struct device *owner);
    struct region *apm;
};
extern const struct state_field acpi_pm_state[];

/* In realize and unrealize; maps the APM ports. */
void acpi_pm_init(struct acpi_pm *, struct device *owner, struct irq_line *sci, const struct acpi_pm_types *,
                  void (*apm_command)(struct device *));
void acpi_pm_drop(struct acpi_pm *);
/* In reset, after the state table's values. */
void acpi_pm_reset(struct acpi_pm *);
/* Drives the SCI again: after loading. */
void acpi_pm_update(struct acpi_pm *);
/* A read of `size` bytes at addr, of the registers and of what the chip has around them: `other`, n bytes. */
uint64_t acpi_pm_read(struct acpi_pm *, const uint8_t *other, unsigned n, unsigned addr, unsigned size);
/* A write of `size` bytes at addr; what is behind the registers is ignored. */
void acpi_pm_write(struct acpi_pm *, unsigned addr, uint64_t value, unsigned size);
void acpi_pm_power_button(struct acpi_pm *);

#endif
