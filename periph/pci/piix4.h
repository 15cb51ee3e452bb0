/*
 * piix4.h - the functions of the 82371AB (PIIX4) south bridge: "piix4-isa", "piix4-ide",
 * "piix4-usb-uhci", "PIIX4_PM"; and those of the 82371SB (PIIX3) that differ: "PIIX3", "piix3-ide",
 * "piix3-usb-uhci".
 *
 * piix4-isa (PIIX3) is the board's ISA interrupt junction. Inputs 0..3: PIRQA#..PIRQD# (true: asserted).
 * Inputs 4..19: ISA IRQ 0..15. Outputs 0..15: IRQ 0..15 to the 8259 pair. PIIX4_PM's output 0 is
 * the SCI (to IRQ 9), output 1 is SMI# (pulses). piix4-ide's outputs 0 and 1 are IRQ 14 and 15.
 */
#ifndef PERIPH_PCI_PIIX4_H
#define PERIPH_PCI_PIIX4_H

#include "periph/pci/pci.h"

enum { PIIX4_IN_PIRQ = 0, PIIX4_IN_ISA = 4, PIIX4_INPUTS = 20 };

/* The reset control register of a PIIX3, which its host bridge passes bytes at port CF9h to. */
uint8_t piix_reset_control(void *piix3);
void piix_write_reset_control(void *piix3, uint8_t value);
/* What a write to the register with contents `old` makes of it; resets the machine when the value says so. */
uint8_t piix_reset(struct machine_bus *, uint8_t old, uint8_t value);
/* The power button of a PIIX4_PM. */
void piix4_pm_power_button(struct device *);
/* The SMBus that a PIIX4_PM is host of (periph/misc/smbus.h); it lives as long as the device. */
struct smbus;
struct smbus *piix4_pm_smbus(struct device *);

#endif
