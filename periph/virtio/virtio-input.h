/*
 * virtio-input.h - keyboard, mouse and tablet of virtio (VIRTIO 1.2, section 5.8), without a
 * transport. Event codes are those of Linux's evdev interface, as the specification says.
 */
#ifndef PERIPH_VIRTIO_VIRTIO_INPUT_H
#define PERIPH_VIRTIO_VIRTIO_INPUT_H

#include "bus/input.h"
#include "periph/virtio/virtio.h"

enum virtio_input_kind { VIRTIO_KEYBOARD, VIRTIO_MOUSE, VIRTIO_TABLET };

struct virtio_input {
    struct virtio v;
    char *serial;              /* property */
    uint8_t select, subselect; /* which part of the configuration is shown */
    uint8_t leds;              /* bits of evdev: num, caps, scroll lock */
    uint32_t buttons;          /* held */
    /* runtime */
    enum virtio_input_kind kind;
    bool added;
    struct input_sink sink;
};
extern const struct state_field virtio_input_state[];
extern const struct virtio_class virtio_keyboard_class, virtio_mouse_class, virtio_tablet_class;

#define VIRTIO_INPUT_PROPS(S, M)                                                                   \
    PROP_STRING(S, "serial", M.serial, NULL, "serial number that the guest sees")

#endif
