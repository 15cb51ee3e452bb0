/*
 * piix4.h - the functions of the 82371AB (PIIX4) south bridge: "piix4-isa", "piix4-ide",
 * "piix4-usb-uhci", "PIIX4_PM".
 *
 * piix4-isa is the board's ISA interrupt junction. Inputs 0..3: PIRQA#..PIRQD# (true: asserted).
 * Inputs 4..19: ISA IRQ 0..15. Outputs 0..15: IRQ 0..15 to the 8259 pair. PIIX4_PM's output 0 is
 * the SCI (to IRQ 9). piix4-ide's outputs 0 and 1 are IRQ 14 and 15.
 */
#ifndef PERIPH_PCI_PIIX4_H
#define PERIPH_PCI_PIIX4_H

#include "periph/pci/pci.h"

enum { PIIX4_IN_PIRQ = 0, PIIX4_IN_ISA = 4, PIIX4_INPUTS = 20 };

/* The power button of a PIIX4_PM. */
void piix4_pm_power_button(struct device *);
/* The SMBus that a PIIX4_PM is host of (periph/misc/smbus.h); it lives as long as the device. */
struct smbus;
struct smbus *piix4_pm_smbus(struct device *);

#endif
