/*
 * ich9.h - functions of the 82801IB/IR (ICH9) south bridge: "ICH9-LPC" and "ICH9-SMB". Its SATA controller is in
 * periph/block/ahci.c.
 *
 * ICH9-LPC is the board's ISA interrupt junction and has the power management. Inputs 0..7: PIRQA#..PIRQH# (true:
 * asserted). Inputs 8..23: ISA IRQ 0..15. Outputs 0..15: IRQ 0..15 to the 8259 pair; 16..23: PIRQA#..PIRQH# to the I/O
 * APIC's inputs of these numbers; 24: SMI# (pulses).
 */
#ifndef PERIPH_PCI_ICH9_H
#define PERIPH_PCI_ICH9_H

#include "periph/pci/pci.h"

enum { ICH9_IN_PIRQ = 0, ICH9_IN_ISA = 8, ICH9_INPUTS = 24 };
enum { ICH9_OUT_GSI = 16, ICH9_OUT_SMI = 24, ICH9_OUTPUTS = 25 };

/* The reset control register, which the host bridge passes bytes at port CF9h to. */
uint8_t ich9_reset_control(void *lpc);
void ich9_write_reset_control(void *lpc, uint8_t value);
void ich9_power_button(struct device *lpc);
/* The PIRQ of a function's pin (0..3): those of slots 25 to 31 as the chip's routing registers have it after reset, A to
 * D; of others, which are no functions of the ICH9, by slot, E to H. */
unsigned ich9_pin_map(unsigned devfn, unsigned pin);
/* The SMBus that an ICH9-SMB is host of (periph/misc/smbus.h); it lives as long as the device. */
struct smbus;
struct smbus *ich9_smbus(struct device *);

#endif
