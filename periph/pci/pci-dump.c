/*
 * pci-dump.c - the functions of a PCI bus as text, for people (`info pci`). Class codes: PCI Local
 * Bus Specification 2.1, appendix D.
 */
#include "periph/pci/pci.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    uint16_t code; /* base class, sub-class */
    const char *name;
} class_names[] = {
    {0x0001, "VGA controller"},
    {0x0100, "SCSI controller"},
    {0x0101, "IDE controller"},
    {0x0102, "Floppy controller"},
    {0x0104, "RAID controller"},
    {0x0106, "SATA controller"},
    {0x0180, "Storage controller"},
    {0x0200, "Ethernet controller"},
    {0x0280, "Network controller"},
    {0x0300, "VGA controller"},
    {0x0380, "Display controller"},
    {0x0401, "Audio controller"},
    {0x0500, "RAM controller"},
    {0x0580, "Memory controller"},
    {0x0600, "Host bridge"},
    {0x0601, "ISA bridge"},
    {0x0604, "PCI bridge"},
    {0x0680, "Bridge"},
    {0x0700, "Serial port"},
    {0x0780, "Communication controller"},
    {0x0800, "Interrupt controller"},
    {0x0880, "System peripheral"},
    {0x0c00, "Firewire controller"},
    {0x0c03, "USB controller"},
    {0x0c05, "SMBus"},
    {0x0900, "Keyboard"},
    {0x0902, "Mouse"},
};

static void put_bar(const struct pci_device *d, unsigned n, void (*put)(void *, const char *),
                    void *opaque)
{
    const struct pci_bar *bar = &d->pci.bar[n];
    uint32_t value = ld32_le(d->pci.config + PCI_BAR0 + 4 * n);
    bool io = bar->kind == PCI_BAR_IO;
    /* Where it is not mapped QEMU's users know an address of all ones, and an end counted from it.
     */
    bool wide = bar->kind == PCI_BAR_MEM64_PREFETCH;
    uint64_t high = wide ? (uint64_t)ld32_le(d->pci.config + PCI_BAR0 + 4 * n + 4) << 32 : 0;
    uint64_t at = bar->mapped ? high | (value & ~(uint64_t)(io ? 3 : 15)) : UINT64_MAX,
             end = at + region_size(bar->region) - 1;
    char line[120];

    if (io)
        snprintf(line, sizeof line, "      BAR%u: I/O at 0x%04" PRIx64 " [0x%04" PRIx64 "].", n, at,
                 end);
    else
        snprintf(line, sizeof line,
                 "      BAR%u: %u bit %smemory at 0x%08" PRIx64 " [0x%08" PRIx64 "].", n,
                 wide ? 64 : 32, bar->kind & PCI_BAR_MEM_PREFETCH ? "prefetchable " : "", at, end);
    put(opaque, line);
}

static void put_function(const struct pci_device *d, void (*put)(void *, const char *),
                         void *opaque)
{
    const uint8_t *c = d->pci.config;
    unsigned code = ld16_le(c + PCI_CLASS + 1);
    const char *name = NULL;
    char line[160], number[16];

    const struct pci_device *bridge = pci_bus_bridge(d->pci.bus);
    snprintf(line, sizeof line, "  Bus %2d, device %3d, function %d:", bridge ? bridge->pci.config[PCI_SECONDARY] : 0,
             d->pci.devfn >> 3, d->pci.devfn & 7);
    put(opaque, line);
    for (size_t i = 0; i < ARRAY_LEN(class_names); i++) {
        if (class_names[i].code == code) name = class_names[i].name;
    }
    snprintf(number, sizeof number, "Class %04x", code);
    snprintf(line, sizeof line, "    %s: PCI device %04x:%04x", name ? name : number,
             ld16_le(c + PCI_VENDOR), ld16_le(c + PCI_DEVICE));
    put(opaque, line);
    if (!d->pci.secondary) {
        snprintf(line, sizeof line, "      PCI subsystem %04x:%04x", ld16_le(c + PCI_SUBVENDOR), ld16_le(c + PCI_SUBDEVICE));
        put(opaque, line);
    }
    if (c[PCI_INT_PIN]) {
        snprintf(line, sizeof line, "      IRQ %d, pin %c", c[PCI_INT_LINE],
                 'A' + c[PCI_INT_PIN] - 1);
        put(opaque, line);
    }
    static const char *const numbers[] = {"BUS", "secondary bus", "subordinate bus"};
    for (unsigned n = 0; n < 3 && d->pci.secondary; n++) {
        snprintf(line, sizeof line, "      %s %d.", numbers[n], c[PCI_PRIMARY + n]);
        put(opaque, line);
    }
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (d->pci.bar[n].region) put_bar(d, n, put, opaque);
    }
    snprintf(line, sizeof line, "      id \"%.100s\"", d->dev.id ? d->dev.id : "");
    put(opaque, line);
}

void pci_bus_dump(struct pci_bus *b, void (*put)(void *, const char *line), void *opaque)
{
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        const struct pci_device *d = pci_bus_device(b, devfn);
        if (d) put_function(d, put, opaque);
        if (d && d->pci.secondary) pci_bus_dump(d->pci.secondary, put, opaque);
    }
}
