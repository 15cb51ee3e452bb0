/*
 * msi.c - MSI; see msi.h.
 */
#include "periph/pci/msi.h"

enum { CAP_ID = 5, CAP_SIZE = 14, CONTROL = 2, ADDRESS = 4, DATA = 12 };
enum { ENABLE = 1, WIDE = 0x80 };

unsigned msi_init(struct pci_device *d)
{
    unsigned cap = pci_bus_has_msi(d->pci.bus) ? pci_add_capability(d, CAP_ID, CAP_SIZE) : 0;
    if (!cap) return 0;
    d->pci.wmask[cap + CONTROL] = ENABLE;
    pci_set_wmask32(d, cap + ADDRESS, ~3u);
    pci_set_wmask32(d, cap + ADDRESS + 4, ~0u);
    st16_le(d->pci.wmask + cap + DATA, 0xffff);
    msi_reset(d, cap);
    return cap;
}

void msi_reset(struct pci_device *d, unsigned cap)
{
    if (!cap) return;
    memset(d->pci.config + cap + CONTROL, 0, CAP_SIZE - CONTROL);
    d->pci.config[cap + CONTROL] = WIDE;
}

bool msi_enabled(const struct pci_device *d, unsigned cap)
{
    return cap && (d->pci.config[cap + CONTROL] & ENABLE);
}

void msi_notify(struct pci_device *d, unsigned cap)
{
    const uint8_t *c = d->pci.config + cap;
    if (msi_enabled(d, cap)) pci_send_msi(d, ld64_le(c + ADDRESS), ld16_le(c + DATA));
}
