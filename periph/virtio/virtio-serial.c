/*
 * virtio-serial.c - console and ports; see virtio-serial.h.
 */
#include "periph/virtio/virtio-serial.h"

#include "util/log.h"

enum { F_MULTIPORT = 1, F_EMERG_WRITE = 2 };
enum { Q_CONTROL_IN = 2, Q_CONTROL_OUT = 3, PORT_QUEUE = 128, CONTROL_QUEUE = 32 };
enum { CFG_MAX_PORTS = 4, CFG_EMERG_WRITE = 8, CFG_SIZE = 12 };
enum {
    M_DEVICE_READY = 0,
    M_DEVICE_ADD = 1,
    M_PORT_READY = 3,
    M_CONSOLE_PORT = 4,
    M_PORT_OPEN = 6,
    M_PORT_NAME = 7,
    M_SIZE = 8
};
/* Bits of pending, in the order of sending. */
enum { PEND_ADD = 1, PEND_CONSOLE = 2, PEND_NAME = 4, PEND_OPEN = 8, PEND_ALL = 15 };
enum { PIECE = 4096 };

static struct virtio_serial *serial_of(struct virtio *v)
{
    return (struct virtio_serial *)v;
}

static unsigned rx_queue(unsigned nr)
{
    return nr ? 2 * nr + 2 : 0;
}

/* The port of a queue that is none of control; NULL: nobody sits there. */
static struct virtio_port *port_of(struct virtio_serial *s, unsigned queue)
{
    unsigned nr = queue < 2 ? 0 : queue / 2 - 1;
    return nr < s->max_ports ? s->port[nr] : NULL;
}

static bool is_open(const struct virtio_port *p)
{
    const struct virtio *v = &p->serial->v;
    /* Without the multiport feature there is but port 0, and nobody to open it. */
    return virtio_has(v, F_MULTIPORT) ? p->guest_open : !p->nr && (v->status & VIRTIO_DRIVER_OK);
}

/* ---- control messages ---- */

static unsigned message(const struct virtio_port *p, unsigned what, uint8_t *b, size_t size)
{
    const struct virtio *v = &p->serial->v;
    unsigned n = M_SIZE;
    virtio_put32(v, b, p->nr);
    virtio_put16(v, b + 6, 1);
    switch (what) {
    case PEND_ADD: virtio_put16(v, b + 4, M_DEVICE_ADD); break;
    case PEND_CONSOLE: virtio_put16(v, b + 4, M_CONSOLE_PORT); break;
    case PEND_OPEN:
        virtio_put16(v, b + 4, M_PORT_OPEN);
        virtio_put16(v, b + 6, p->host_open);
        break;
    default: {
        size_t len = MIN(strlen(p->name), size - M_SIZE);
        virtio_put16(v, b + 4, M_PORT_NAME);
        memcpy(b + M_SIZE, p->name, len);
        n += (unsigned)len;
        break;
    }
    }
    return n;
}

static void send_control(struct virtio_serial *s)
{
    struct virtio_chain c = {0};
    uint8_t b[128];
    bool any = false;
    for (unsigned i = 0; i < s->max_ports; i++) {
        struct virtio_port *p = s->port[i];
        while (p && p->pending && virtio_pop(&s->v, Q_CONTROL_IN, &c)) {
            unsigned what = p->pending & (0u - p->pending), n = message(p, what, b, sizeof b);
            p->pending &= (uint8_t)~what;
            virtio_push(&s->v, Q_CONTROL_IN, c.head, virtio_write(&s->v, &c, 0, b, n));
            any = true;
        }
    }
    virtio_chain_free(&c);
    if (any) virtio_notify(&s->v, Q_CONTROL_IN);
}

static void handle_message(struct virtio_serial *s, const uint8_t *b)
{
    struct virtio *v = &s->v;
    uint32_t nr = virtio_get32(v, b);
    uint16_t event = virtio_get16(v, b + 4), value = virtio_get16(v, b + 6);
    if (event == M_DEVICE_READY) {
        s->ready = value;
        for (unsigned i = 0; i < s->max_ports && value; i++) {
            if (s->port[i]) s->port[i]->pending = PEND_ADD;
        }
        return;
    }
    struct virtio_port *p = nr < s->max_ports ? s->port[nr] : NULL;
    if (!p) {
        LOG(GUEST_ERRORS, "virtio-serial: message %u for port %u, which is not there\n", event,
            (unsigned)nr);
        return;
    }
    switch (event) {
    case M_PORT_READY:
        if (!value) break;
        if (p->is_console) p->pending |= PEND_CONSOLE;
        if (p->name) p->pending |= PEND_NAME;
        if (p->host_open) p->pending |= PEND_OPEN;
        break;
    case M_PORT_OPEN:
        p->guest_open = value;
        if (p->attached && value) chr_accept_input(p->chr);
        break;
    default: LOG(GUEST_ERRORS, "virtio-serial: message %u\n", event); break;
    }
}

static void take_control(struct virtio_serial *s)
{
    struct virtio_chain c = {0};
    uint8_t b[M_SIZE];
    bool any = false;
    while (virtio_pop(&s->v, Q_CONTROL_OUT, &c)) {
        if (virtio_read(&s->v, &c, 0, b, sizeof b) == sizeof b) handle_message(s, b);
        virtio_push(&s->v, Q_CONTROL_OUT, c.head, 0);
        any = true;
    }
    virtio_chain_free(&c);
    if (any) virtio_notify(&s->v, Q_CONTROL_OUT);
    send_control(s);
}

/* ---- data ---- */

static void transmit(struct virtio_serial *s, unsigned queue)
{
    struct virtio_port *p = port_of(s, queue);
    struct virtio_chain c = {0};
    uint8_t b[PIECE];
    bool any = false;
    while (virtio_pop(&s->v, queue, &c)) {
        for (uint64_t at = 0; at < c.out_bytes && p && p->chr;) {
            size_t n =
                virtio_read(&s->v, &c, at, b, (size_t)MIN(c.out_bytes - at, (uint64_t)PIECE));
            if (!n) break;
            chr_write_all(p->chr, p, b, (int)n);
            at += n;
        }
        virtio_push(&s->v, queue, c.head, 0);
        any = true;
    }
    virtio_chain_free(&c);
    if (any) virtio_notify(&s->v, queue);
}

static int port_can_receive(void *opaque)
{
    struct virtio_port *p = opaque;
    return is_open(p) ? (int)virtio_in_room(&p->serial->v, rx_queue(p->nr), PIECE) : 0;
}

static void port_receive(void *opaque, const uint8_t *buf, int n)
{
    struct virtio_port *p = opaque;
    struct virtio *v = &p->serial->v;
    struct virtio_chain c = {0};
    unsigned queue = rx_queue(p->nr);
    size_t left = (size_t)n;
    while (left && virtio_pop(v, queue, &c)) {
        size_t k = virtio_write(v, &c, 0, buf, left);
        virtio_push(v, queue, c.head, k);
        buf += k, left -= k;
    }
    virtio_chain_free(&c);
    virtio_notify(v, queue);
}

static void port_event(void *opaque, enum chr_event event)
{
    struct virtio_port *p = opaque;
    if (p->is_console || (event != CHR_OPENED && event != CHR_CLOSED)) return;
    if (p->host_open == (event == CHR_OPENED)) return;
    p->host_open = event == CHR_OPENED;
    if (!p->serial->ready) return;
    p->pending |= PEND_OPEN;
    send_control(p->serial);
}

static void serial_notify(struct virtio *v, unsigned queue)
{
    struct virtio_serial *s = serial_of(v);
    if (queue == Q_CONTROL_IN) {
        send_control(s);
    } else if (queue == Q_CONTROL_OUT) {
        take_control(s);
    } else if (queue & 1) {
        transmit(s, queue);
    } else {
        struct virtio_port *p = port_of(s, queue);
        if (p && p->attached) chr_accept_input(p->chr);
    }
}

/* ---- configuration and life ---- */

static void serial_get_config(struct virtio *v, uint8_t *c)
{
    virtio_put32(v, c + CFG_MAX_PORTS, serial_of(v)->max_ports);
}

static void serial_set_config(struct virtio *v, const uint8_t *c, unsigned offset, unsigned size)
{
    struct virtio_port *p = serial_of(v)->port[0];
    uint8_t byte = (uint8_t)virtio_get32(v, c + CFG_EMERG_WRITE);
    if (offset != CFG_EMERG_WRITE) return;
    if (size == 1) byte = c[CFG_EMERG_WRITE];
    if (p && p->is_console && p->chr) chr_write_all(p->chr, p, &byte, 1);
}

static void serial_reset(struct virtio *v)
{
    struct virtio_serial *s = serial_of(v);
    s->ready = false;
    for (unsigned i = 0; i < VIRTIO_SERIAL_PORTS; i++) {
        if (s->port[i]) s->port[i]->guest_open = false, s->port[i]->pending = 0;
    }
}

static int serial_realize(struct virtio *v, struct error *e)
{
    struct virtio_serial *s = serial_of(v);
    if (!s->max_ports || s->max_ports > VIRTIO_SERIAL_PORTS)
        return error_set(e, "%s: maximum ports supported: %u", v->dev->desc->name,
                         VIRTIO_SERIAL_PORTS);
    v->dev->bus_children = s;
    v->host_features |= VIRTIO_BIT(F_MULTIPORT) | VIRTIO_BIT(F_EMERG_WRITE);
    for (unsigned i = 0; i < 2 * s->max_ports + 2; i++)
        virtio_add_queue(v, i == Q_CONTROL_IN || i == Q_CONTROL_OUT ? CONTROL_QUEUE : PORT_QUEUE);
    return 0;
}

static void serial_unrealize(struct virtio *v) {}

const struct virtio_class virtio_serial_class = {
    .name = "virtio-serial",
    .id = 3,
    .config_size = CFG_SIZE,
    .realize = serial_realize,
    .unrealize = serial_unrealize,
    .get_config = serial_get_config,
    .set_config = serial_set_config,
    .notify = serial_notify,
    .reset = serial_reset,
};

const struct state_field virtio_serial_state[] = {
    STATE_STRUCT(struct virtio_serial, v, 1, virtio_state),
    STATE_PROP(struct virtio_serial, max_ports),
    STATE_INT(struct virtio_serial, ready),
    STATE_RUNTIME(struct virtio_serial, port),
    STATE_END,
};

/* ---- ports ---- */

static struct virtio_port *port(struct device *d)
{
    return (struct virtio_port *)d;
}

/* The bus of the parent, whatever transport that is behind. */
static struct virtio_serial *bus_of(struct device *parent)
{
    return parent && parent->desc->child_bus == BUS_VIRTIO_SERIAL ? parent->bus_children : NULL;
}

static int port_realize(struct device *d, struct error *e)
{
    struct virtio_port *p = port(d);
    struct virtio_serial *s = bus_of(d->parent);
    const struct chr_frontend fe = {port_can_receive, port_receive, port_event, p};
    const char *name = d->desc->name;
    p->is_console = !strcmp(name, "virtconsole");
    if (!s) return error_set(e, "No 'virtio-serial-bus' bus found for device '%s'", name);
    if (p->nr == UINT32_MAX) {
        /* The first port is where drivers look for a console. */
        uint32_t nr = p->is_console ? 0 : 1;
        while (nr < s->max_ports && s->port[nr])
            nr++;
        p->nr = nr;
    }
    if (p->nr >= s->max_ports)
        return error_set(e, "virtio-serial-bus: Out-of-range port id specified, max. allowed: %u",
                         s->max_ports - 1);
    if (s->port[p->nr])
        return error_set(e, "virtio-serial-bus: A port already exists at id %u", p->nr);
    if (!p->nr && !p->is_console)
        return error_set(e,
                         "Port number 0 on virtio-serial devices reserved for virtconsole devices");
    p->serial = s;
    p->host_open = p->is_console;
    if (p->chr) {
        if (chr_attach(p->chr, &fe, e)) return -1;
        p->attached = true;
    }
    s->port[p->nr] = p;
    return 0;
}

static void port_unrealize(struct device *d)
{
    struct virtio_port *p = port(d);
    if (p->attached) chr_detach(p->chr, p);
    p->attached = false;
    p->serial->port[p->nr] = NULL;
}

static int port_post_load(struct device *d, struct error *e)
{
    struct virtio_port *p = port(d);
    if (p->pending & ~(unsigned)PEND_ALL || ((p->pending & PEND_NAME) && !p->name))
        return error_set(e, "%s: unknown messages wait", d->desc->name);
    /* Whoever was at the other end then: the driver is told how it is now. */
    if (p->serial->ready && !p->is_console) p->pending |= PEND_OPEN;
    return 0;
}

static const struct prop_desc port_props[] = {
    PROP(struct virtio_port, PROP_CHR, "chardev", chr, 0, "where the bytes go and come from"),
    PROP_STRING(struct virtio_port, "name", name, NULL, "name that the guest sees"),
    PROP(struct virtio_port, PROP_U32, "nr", nr, UINT32_MAX,
         "number of the port (default: the first free)"),
    PROP_END,
};
static const struct state_field port_state[] = {
    STATE_PROP(struct virtio_port, chr),
    STATE_PROP(struct virtio_port, name),
    STATE_PROP(struct virtio_port, nr),
    STATE_INT_RESET(struct virtio_port, guest_open, 0),
    STATE_INT_RESET(struct virtio_port, pending, 0),
    STATE_RUNTIME(struct virtio_port, serial),
    STATE_RUNTIME(struct virtio_port, is_console),
    STATE_RUNTIME(struct virtio_port, attached),
    STATE_RUNTIME(struct virtio_port, host_open),
    STATE_END,
};

#define PORT(name_, help_)                                                                         \
    {                                                                                              \
        .name = name_, .help = help_, .bus = BUS_VIRTIO_SERIAL, .category = DEV_CHAR,              \
        .user_creatable = true, .size = sizeof(struct virtio_port), .props = port_props,           \
        .state = port_state, .realize = port_realize, .unrealize = port_unrealize,                 \
        .post_load = port_post_load                                                                \
    }
const struct dev_desc virtconsole_desc = PORT("virtconsole", "console on a virtio serial bus");
const struct dev_desc virtserialport_desc = PORT("virtserialport", "port on a virtio serial bus");
