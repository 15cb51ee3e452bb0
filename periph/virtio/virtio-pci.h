/*
 * virtio-pci.h - virtio over PCI: the legacy registers in an I/O BAR and those of version 1.0 in a
 * memory BAR, both in one "transitional" function unless a property says otherwise. Follows VIRTIO
 * 1.2, section 4.1. Not here: devices.
 *
 * A function's state structure begins with `struct virtio_pci`; a kind of device follows. BARs: 0
 * legacy registers, 1 MSI-X, 4 registers of 1.0.
 */
#ifndef PERIPH_VIRTIO_VIRTIO_PCI_H
#define PERIPH_VIRTIO_VIRTIO_PCI_H

#include "periph/pci/msix.h"
#include "periph/virtio/virtio.h"

/* The front's own state. */
struct virtio_front {
    char *disable_legacy; /* property: on, off, auto */
    bool disable_modern;
    uint32_t vectors; /* property; all ones: what the device has use for */
    uint16_t config_vector, queue_select;
    uint32_t offered_select, feature_select;
    struct pci_msix msix;
    /* runtime */
    struct virtio *v;
    bool legacy, modern;
    uint8_t window; /* offset of the capability that is a window to BAR 4 */
};
extern const struct state_field virtio_front_state[];

struct virtio_pci {
    struct device dev;
    struct pci_func pci;
    struct virtio_front front;
};

/* First lines of the tables. P: the member that is the struct virtio_pci. */
#define VIRTIO_PCI_PROPS(S)                                                                        \
    PROP_STRING(S, "addr", p.pci.addr, NULL,                                                       \
                "PCI slot and function: SLOT[.FUNCTION], hexadecimal"),                            \
        PROP_STRING(S, "disable-legacy", p.front.disable_legacy, "auto",                           \
                    "on: no legacy registers; off, auto: where the device has them"),              \
        PROP(S, PROP_BOOL, "disable-modern", p.front.disable_modern, false,                        \
             "no registers of virtio 1.0"),                                                        \
        PROP(S, PROP_U32, "vectors", p.front.vectors, UINT32_MAX,                                  \
             "MSI-X vectors (default: as many as the device uses; 0: no MSI-X)")
#define VIRTIO_PCI_STATE(S)                                                                        \
    STATE_STRUCT(S, p.pci, 1, pci_func_state), STATE_STRUCT(S, p.front, 1, virtio_front_state)

/* What bus_desc of a function points at. */
struct virtio_pci_desc {
    struct pci_dev_desc pci; /* of the transitional function, or of 1.0's when there is no legacy */
    const struct virtio_class *class;
    size_t offset; /* of the struct virtio in the state structure */
    int vectors;   /* -1: one for each queue and one for the configuration */
    bool legacy;   /* exists in the legacy interface */
};

/* For struct dev_desc. */
int virtio_pci_realize(struct device *, struct error *);
void virtio_pci_unrealize(struct device *);
void virtio_pci_reset(struct device *);
int virtio_pci_post_load(struct device *, struct error *);
/* For struct pci_dev_desc. */
void virtio_pci_config_written(struct pci_device *, unsigned reg, unsigned size);
void virtio_pci_config_reading(struct pci_device *, unsigned reg, unsigned size);
extern const struct reg_desc virtio_pci_regs[];

#endif
