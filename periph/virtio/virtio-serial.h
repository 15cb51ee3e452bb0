/*
 * virtio-serial.h - the console device of virtio with many ports (VIRTIO 1.2, section 5.3), without
 * a transport; and its ports, the devices "virtconsole" and "virtserialport" below it.
 */
#ifndef PERIPH_VIRTIO_VIRTIO_SERIAL_H
#define PERIPH_VIRTIO_VIRTIO_SERIAL_H

#include "chardev/chardev.h"
#include "periph/virtio/virtio.h"

enum { VIRTIO_SERIAL_PORTS = 31 };

struct virtio_serial;
struct virtio_port {
    struct device dev;
    /* properties */
    struct chardev *chr;
    char *name;
    uint32_t nr; /* all ones: the first free one */
    /* state */
    bool guest_open;
    uint8_t pending; /* control messages that wait for a buffer */
    /* runtime */
    struct virtio_serial *serial;
    bool is_console, attached, host_open;
};

struct virtio_serial {
    struct virtio v;
    uint32_t max_ports;                            /* property */
    bool ready;                                    /* the driver has asked for the ports */
    struct virtio_port *port[VIRTIO_SERIAL_PORTS]; /* runtime */
};
extern const struct state_field virtio_serial_state[];
extern const struct virtio_class virtio_serial_class;

#define VIRTIO_SERIAL_PROPS(S, M)                                                                  \
    PROP(S, PROP_U32, "max_ports", M.max_ports, VIRTIO_SERIAL_PORTS, "places for ports, 1 to 31")

#endif
