/*
 * msix.h - the MSI-X capability of a PCI function: its table and pending bits in a memory BAR of
 * their own, masking, messages. Follows the PCI Local Bus Specification 3.0, section 6.8.2.
 */
#ifndef PERIPH_PCI_MSIX_H
#define PERIPH_PCI_MSIX_H

#include "periph/pci/pci.h"

enum { MSIX_MAX = 64, MSIX_PBA = 0x800, MSIX_BAR_SIZE = 0x1000 };

struct pci_msix {
    uint8_t table[16 * MSIX_MAX];
    uint64_t pending;
    /* runtime */
    struct pci_device *pci;
    uint8_t cap; /* offset of the capability; 0: there is none */
    unsigned n;  /* vectors */
};
extern const struct state_field pci_msix_state[];

/* In realize: the capability and BAR `bar` for n vectors (1 to MSIX_MAX). A bus without messages
 * has none: nothing is made. 0 or -1. */
int msix_init(struct pci_msix *, struct pci_device *, unsigned n, unsigned bar, struct error *);
/* After pci_reset. */
void msix_reset(struct pci_msix *);
/* In config_written. */
void msix_config_written(struct pci_msix *, unsigned reg, unsigned size);
bool msix_enabled(const struct pci_msix *);
/* Sends the message of a vector, or keeps it while masked. Vectors that do not exist send none. */
void msix_notify(struct pci_msix *, unsigned vector);

#endif
