/*
 * virtio-pci-devices.c - the devices "virtio-*-pci": each kind of device behind the PCI front, with
 * the identification that drivers know (VIRTIO 1.2, section 4.1.2).
 */
#include "periph/virtio/virtio-balloon.h"
#include "periph/virtio/virtio-blk.h"
#include "periph/virtio/virtio-input.h"
#include "periph/virtio/virtio-pci.h"
#include "periph/virtio/virtio-rng.h"
#include "periph/virtio/virtio-scsi.h"
#include "periph/virtio/virtio-serial.h"

enum {
    CLASS_SCSI = 0x010000,
    CLASS_OTHER = 0x00ff00,
    CLASS_COMMUNICATION = 0x078000,
    CLASS_KEYBOARD = 0x090000,
    CLASS_MOUSE = 0x090200,
    CLASS_INPUT = 0x098000
};

/* One device: NAME_pci_desc with structure `struct NAME_pci`, whose members are p and v. */
#define PCI_ID(id_, subsystem_, class_)                                                            \
    {                                                                                              \
        .vendor = 0x1af4, .device = (id_), .subvendor = 0x1af4, .subdevice = (subsystem_),         \
        .class_code = (class_), .int_pin = 1, .config_written = virtio_pci_config_written,         \
        .config_reading = virtio_pci_config_reading                                                \
    }
#define VIRTIO_PCI_DEVICE(NAME, name_, help_, category_, child_)                                   \
    const struct dev_desc NAME##_pci_desc = {                                                      \
        .name = name_,                                                                             \
        .help = help_,                                                                             \
        .bus = BUS_PCI,                                                                            \
        .category = category_,                                                                     \
        .child_bus = child_,                                                                       \
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
#define PCI_STATE_OF(NAME, STATE)                                                                  \
    static const struct state_field NAME##_pci_state[] = {                                         \
        VIRTIO_PCI_STATE(struct NAME##_pci),                                                       \
        STATE_STRUCT(struct NAME##_pci, v, 1, STATE),                                              \
        STATE_END,                                                                                 \
    }

struct virtio_blk_pci {
    struct virtio_pci p;
    struct virtio_blk v;
};
static const struct prop_desc virtio_blk_props[] = {
    VIRTIO_PCI_PROPS(struct virtio_blk_pci), VIRTIO_BLK_PROPS(struct virtio_blk_pci, v), PROP_END};
PCI_STATE_OF(virtio_blk, virtio_blk_state);
static const struct virtio_pci_desc virtio_blk_bus = {.pci = PCI_ID(0x1001, 2, CLASS_SCSI),
                                                      .class = &virtio_blk_class,
                                                      .offset = offsetof(struct virtio_blk_pci, v),
                                                      .vectors = -1,
                                                      .legacy = true};
VIRTIO_PCI_DEVICE(virtio_blk, "virtio-blk-pci", "virtio block device", DEV_STORAGE, BUS_SYSTEM);

struct virtio_rng_pci {
    struct virtio_pci p;
    struct virtio_rng v;
};
static const struct prop_desc virtio_rng_props[] = {
    VIRTIO_PCI_PROPS(struct virtio_rng_pci), VIRTIO_RNG_PROPS(struct virtio_rng_pci, v), PROP_END};
PCI_STATE_OF(virtio_rng, virtio_rng_state);
static const struct virtio_pci_desc virtio_rng_bus = {.pci = PCI_ID(0x1005, 4, CLASS_OTHER),
                                                      .class = &virtio_rng_class,
                                                      .offset = offsetof(struct virtio_rng_pci, v),
                                                      .vectors = 2,
                                                      .legacy = true};
VIRTIO_PCI_DEVICE(virtio_rng, "virtio-rng-pci", "virtio entropy device", DEV_MISC, BUS_SYSTEM);

struct virtio_scsi_pci {
    struct virtio_pci p;
    struct virtio_scsi v;
};
static const struct prop_desc virtio_scsi_props[] = {VIRTIO_PCI_PROPS(struct virtio_scsi_pci),
                                                     VIRTIO_SCSI_PROPS(struct virtio_scsi_pci, v),
                                                     PROP_END};
PCI_STATE_OF(virtio_scsi, virtio_scsi_state);
static const struct virtio_pci_desc virtio_scsi_bus = {.pci = PCI_ID(0x1004, 8, CLASS_SCSI),
                                                       .class = &virtio_scsi_class,
                                                       .offset =
                                                           offsetof(struct virtio_scsi_pci, v),
                                                       .vectors = -1,
                                                       .legacy = true};
VIRTIO_PCI_DEVICE(virtio_scsi, "virtio-scsi-pci", "virtio SCSI host adapter", DEV_STORAGE,
                  BUS_SCSI);

struct virtio_serial_pci {
    struct virtio_pci p;
    struct virtio_serial v;
};
static const struct prop_desc virtio_serial_props[] = {
    VIRTIO_PCI_PROPS(struct virtio_serial_pci), VIRTIO_SERIAL_PROPS(struct virtio_serial_pci, v),
    PROP_END};
PCI_STATE_OF(virtio_serial, virtio_serial_state);
static const struct virtio_pci_desc virtio_serial_bus = {
    .pci = PCI_ID(0x1003, 3, CLASS_COMMUNICATION),
    .class = &virtio_serial_class,
    .offset = offsetof(struct virtio_serial_pci, v),
    .vectors = 2,
    .legacy = true};
VIRTIO_PCI_DEVICE(virtio_serial, "virtio-serial-pci", "virtio serial bus", DEV_CHAR,
                  BUS_VIRTIO_SERIAL);

struct virtio_balloon_pci {
    struct virtio_pci p;
    struct virtio_balloon v;
};
static const struct prop_desc virtio_balloon_props[] = {
    VIRTIO_PCI_PROPS(struct virtio_balloon_pci), VIRTIO_BALLOON_PROPS(struct virtio_balloon_pci, v),
    PROP_END};
PCI_STATE_OF(virtio_balloon, virtio_balloon_state);
static const struct virtio_pci_desc virtio_balloon_bus = {
    .pci = PCI_ID(0x1002, 5, CLASS_OTHER),
    .class = &virtio_balloon_class,
    .offset = offsetof(struct virtio_balloon_pci, v),
    .vectors = 0,
    .legacy = true};
VIRTIO_PCI_DEVICE(virtio_balloon, "virtio-balloon-pci", "virtio memory balloon", DEV_MISC,
                  BUS_SYSTEM);

struct virtio_keyboard_pci {
    struct virtio_pci p;
    struct virtio_input v;
};
static const struct prop_desc virtio_keyboard_props[] = {
    VIRTIO_PCI_PROPS(struct virtio_keyboard_pci), VIRTIO_INPUT_PROPS(struct virtio_keyboard_pci, v),
    PROP_END};
PCI_STATE_OF(virtio_keyboard, virtio_input_state);
static const struct virtio_pci_desc virtio_keyboard_bus = {
    .pci = PCI_ID(0x1052, 0x1100, CLASS_KEYBOARD),
    .class = &virtio_keyboard_class,
    .offset = offsetof(struct virtio_keyboard_pci, v),
    .vectors = 2,
    .legacy = false};
VIRTIO_PCI_DEVICE(virtio_keyboard, "virtio-keyboard-pci", "virtio keyboard", DEV_INPUT, BUS_SYSTEM);

struct virtio_mouse_pci {
    struct virtio_pci p;
    struct virtio_input v;
};
static const struct prop_desc virtio_mouse_props[] = {
    VIRTIO_PCI_PROPS(struct virtio_mouse_pci), VIRTIO_INPUT_PROPS(struct virtio_mouse_pci, v),
    PROP_END};
PCI_STATE_OF(virtio_mouse, virtio_input_state);
static const struct virtio_pci_desc virtio_mouse_bus = {.pci = PCI_ID(0x1052, 0x1100, CLASS_MOUSE),
                                                        .class = &virtio_mouse_class,
                                                        .offset =
                                                            offsetof(struct virtio_mouse_pci, v),
                                                        .vectors = 2,
                                                        .legacy = false};
VIRTIO_PCI_DEVICE(virtio_mouse, "virtio-mouse-pci", "virtio mouse", DEV_INPUT, BUS_SYSTEM);

struct virtio_tablet_pci {
    struct virtio_pci p;
    struct virtio_input v;
};
static const struct prop_desc virtio_tablet_props[] = {
    VIRTIO_PCI_PROPS(struct virtio_tablet_pci), VIRTIO_INPUT_PROPS(struct virtio_tablet_pci, v),
    PROP_END};
PCI_STATE_OF(virtio_tablet, virtio_input_state);
static const struct virtio_pci_desc virtio_tablet_bus = {.pci = PCI_ID(0x1052, 0x1100, CLASS_INPUT),
                                                         .class = &virtio_tablet_class,
                                                         .offset =
                                                             offsetof(struct virtio_tablet_pci, v),
                                                         .vectors = 2,
                                                         .legacy = false};
VIRTIO_PCI_DEVICE(virtio_tablet, "virtio-tablet-pci", "virtio tablet: a pointer with places",
                  DEV_INPUT, BUS_SYSTEM);
