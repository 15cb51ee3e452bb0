/*
 * virtio-pci-devices.c - the devices "virtio-*-pci": each kind of device behind the PCI front, with
 * the identification that drivers know (VIRTIO 1.2, section 4.1.2).
 */
#include "periph/virtio/virtio-blk.h"
#include "periph/virtio/virtio-pci.h"
#include "periph/virtio/virtio-rng.h"

enum { CLASS_SCSI = 0x010000, CLASS_OTHER = 0x00ff00, CLASS_COMMUNICATION = 0x078000 };

/* One device: NAME_pci_desc with structure `struct NAME_pci`, whose members are p and v. */
#define PCI_ID(id_, subsystem_, class_)                                                            \
    {                                                                                              \
        .vendor = 0x1af4, .device = (id_), .subvendor = 0x1af4, .subdevice = (subsystem_),         \
        .class_code = (class_), .int_pin = 1,                                                      \
        .config_written = virtio_pci_config_written, .config_reading = virtio_pci_config_reading   \
    }
#define VIRTIO_PCI_DEVICE(NAME, name_, help_, category_)                                           \
    const struct dev_desc NAME##_pci_desc = {                                                      \
        .name = name_,                                                                             \
        .help = help_,                                                                             \
        .bus = BUS_PCI,                                                                            \
        .category = category_,                                                                     \
        .user_creatable = true,                                                                    \
        .size = sizeof(struct NAME##_pci),                                                         \
        .props = NAME##_props,                                                                     \
        .state = NAME##_pci_state,                                                                 \
        .regs = virtio_pci_regs,                                                                   \
        .realize = virtio_pci_realize,                                                             \
        .unrealize = virtio_pci_unrealize,                                                         \
        .reset = virtio_pci_reset,                                                                 \
        .post_load = virtio_pci_post_load,                                                         \
        .bus_desc = &NAME##_bus,                                                                   \
    }
#define PCI_STATE_OF(NAME)                                                                         \
    static const struct state_field NAME##_pci_state[] = {                                         \
        VIRTIO_PCI_STATE(struct NAME##_pci),                                                       \
        STATE_STRUCT(struct NAME##_pci, v, 1, NAME##_state),                                       \
        STATE_END,                                                                                 \
    }

struct virtio_blk_pci {
    struct virtio_pci p;
    struct virtio_blk v;
};
static const struct prop_desc virtio_blk_props[] = {VIRTIO_PCI_PROPS(struct virtio_blk_pci),
                                                    VIRTIO_BLK_PROPS(struct virtio_blk_pci, v), PROP_END};
PCI_STATE_OF(virtio_blk);
static const struct virtio_pci_desc virtio_blk_bus = {.pci = PCI_ID(0x1001, 2, CLASS_SCSI),
                                                      .class = &virtio_blk_class,
                                                      .offset = offsetof(struct virtio_blk_pci, v),
                                                      .vectors = -1,
                                                      .legacy = true};
VIRTIO_PCI_DEVICE(virtio_blk, "virtio-blk-pci", "virtio block device", DEV_STORAGE);

struct virtio_rng_pci {
    struct virtio_pci p;
    struct virtio_rng v;
};
static const struct prop_desc virtio_rng_props[] = {VIRTIO_PCI_PROPS(struct virtio_rng_pci),
                                                    VIRTIO_RNG_PROPS(struct virtio_rng_pci, v), PROP_END};
PCI_STATE_OF(virtio_rng);
static const struct virtio_pci_desc virtio_rng_bus = {.pci = PCI_ID(0x1005, 4, CLASS_OTHER),
                                                      .class = &virtio_rng_class,
                                                      .offset = offsetof(struct virtio_rng_pci, v),
                                                      .vectors = 2,
                                                      .legacy = true};
VIRTIO_PCI_DEVICE(virtio_rng, "virtio-rng-pci", "virtio entropy device", DEV_MISC);
