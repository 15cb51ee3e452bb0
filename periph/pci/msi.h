/*
 * msi.h - the MSI capability of a PCI function, one message with a 64-bit address, no mask. Follows the PCI Local Bus
 * Specification 3.0, section 6.8.1. Its state is in configuration space.
 */
#ifndef PERIPH_PCI_MSI_H
#define PERIPH_PCI_MSI_H

#include "periph/pci/pci.h"

/* In realize: the offset of the capability; 0: the bus has no messages (or no room), and there is none. The other functions
 * take this offset. */
unsigned msi_init(struct pci_device *);
/* After pci_reset. */
void msi_reset(struct pci_device *, unsigned cap);
bool msi_enabled(const struct pci_device *, unsigned cap);
/* Sends the message, if it is enabled. */
void msi_notify(struct pci_device *, unsigned cap);

#endif
