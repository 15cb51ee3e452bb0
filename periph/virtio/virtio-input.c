/*
 * virtio-input.c - keyboard, mouse, tablet; see virtio-input.h.
 */
#include "periph/virtio/virtio-input.h"

#include "util/log.h"

enum { Q_EVENT, Q_STATUS, QUEUE_SIZE = 64, EVENT_SIZE = 8 };
enum { EV_SYN = 0, EV_KEY = 1, EV_REL = 2, EV_ABS = 3, EV_LED = 0x11, EV_REP = 0x14 };
enum { REL_X = 0, REL_Y = 1, REL_WHEEL = 8, ABS_X = 0, ABS_Y = 1 };
enum { BTN_LEFT = 0x110 };
/* The configuration: what is selected, its length, up to 128 bytes of it. */
enum {
    CFG_SELECT = 0,
    CFG_SUBSELECT = 1,
    CFG_LEN = 2,
    CFG_DATA = 8,
    CFG_SIZE = 136,
    CFG_DATA_SIZE = 128
};
enum { ID_NAME = 1, ID_SERIAL = 2, ID_DEVIDS = 3, EV_BITS = 0x11, ABS_INFO = 0x12 };
enum { BUS_VIRTUAL = 6, VENDOR = 0x0627 };

static struct virtio_input *input_of(struct virtio *v)
{
    return (struct virtio_input *)v;
}

/* ---- keys: set 1 with prefix e0h ---- */

static const uint8_t extended[128] = {
    [0x10] = 165, [0x19] = 163, [0x1c] = 96,  [0x1d] = 97,  [0x20] = 113, [0x22] = 164,
    [0x24] = 166, [0x2e] = 114, [0x30] = 115, [0x32] = 172, [0x35] = 98,  [0x37] = 99,
    [0x38] = 100, [0x46] = 119, [0x47] = 102, [0x48] = 103, [0x49] = 104, [0x4b] = 105,
    [0x4d] = 106, [0x4f] = 107, [0x50] = 108, [0x51] = 109, [0x52] = 110, [0x53] = 111,
    [0x5b] = 125, [0x5c] = 126, [0x5d] = 127, [0x5e] = 116, [0x5f] = 142, [0x63] = 143,
    [0x65] = 217, [0x66] = 156, [0x67] = 173, [0x68] = 128, [0x69] = 159, [0x6a] = 158,
    [0x6b] = 157, [0x6c] = 155, [0x6d] = 226,
};

/* evdev's code; 0: none. Up to 58h both count alike. */
static unsigned key_code(unsigned code)
{
    if (code <= 0x58) return code == 0x54 ? 99 : code;
    return code >= 0xe000 && code < 0xe080 ? extended[code & 127] : 0;
}

/* ---- events ---- */

struct event {
    uint16_t type, code;
    uint32_t value;
};

/* All of them and a report, or none: without buffers the driver does not listen. */
static void send(struct virtio_input *s, const struct event *ev, unsigned n)
{
    struct virtio *v = &s->v;
    struct virtio_chain c = {0};
    uint8_t b[EVENT_SIZE];
    if (!n || virtio_waiting(v, Q_EVENT, n + 1) < n + 1) return;
    for (unsigned i = 0; i <= n && virtio_pop(v, Q_EVENT, &c); i++) {
        struct event x = i < n ? ev[i] : (struct event){EV_SYN, 0, 0};
        virtio_put16(v, b, x.type);
        virtio_put16(v, b + 2, x.code);
        virtio_put32(v, b + 4, x.value);
        virtio_push(v, Q_EVENT, c.head, virtio_write(v, &c, 0, b, sizeof b));
    }
    virtio_chain_free(&c);
    virtio_notify(v, Q_EVENT);
}

static void on_key(void *opaque, unsigned code, bool down)
{
    struct virtio_input *s = opaque;
    const struct event ev = {EV_KEY, (uint16_t)key_code(code), down};
    if (ev.code) send(s, &ev, 1);
}

/* Buttons that changed, and the wheel, behind ev[n]. */
static unsigned add_buttons(struct virtio_input *s, struct event *ev, unsigned n, int dz,
                            unsigned buttons)
{
    for (unsigned i = 0; i < 5; i++) {
        if (!((buttons ^ s->buttons) >> i & 1)) continue;
        ev[n++] = (struct event){EV_KEY, (uint16_t)(BTN_LEFT + i), buttons >> i & 1};
    }
    s->buttons = buttons & 31;
    if (dz) ev[n++] = (struct event){EV_REL, REL_WHEEL, (uint32_t)-dz};
    return n;
}

static void on_move(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    struct event ev[8];
    unsigned n = 0;
    if (dx) ev[n++] = (struct event){EV_REL, REL_X, (uint32_t)dx};
    if (dy) ev[n++] = (struct event){EV_REL, REL_Y, (uint32_t)dy};
    send(opaque, ev, add_buttons(opaque, ev, n, dz, buttons));
}

static void on_place(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    struct event ev[8] = {{EV_ABS, ABS_X, x}, {EV_ABS, ABS_Y, y}};
    send(opaque, ev, add_buttons(opaque, ev, 2, dz, buttons));
}

/* What the driver tells: LEDs. */
static void take_status(struct virtio_input *s)
{
    struct virtio *v = &s->v;
    struct virtio_chain c = {0};
    uint8_t b[EVENT_SIZE];
    bool any = false;
    while (virtio_pop(v, Q_STATUS, &c)) {
        if (virtio_read(v, &c, 0, b, sizeof b) == sizeof b && virtio_get16(v, b) == EV_LED) {
            unsigned led = virtio_get16(v, b + 2);
            uint8_t bit = led < 3 ? (uint8_t)(1u << led) : 0;
            s->leds = (uint8_t)(virtio_get32(v, b + 4) ? s->leds | bit : s->leds & ~bit);
        }
        virtio_push(v, Q_STATUS, c.head, 0);
        any = true;
    }
    virtio_chain_free(&c);
    if (any) virtio_notify(v, Q_STATUS);
}

static void input_notify(struct virtio *v, unsigned queue)
{
    if (queue == Q_STATUS) take_status(input_of(v));
}

/* ---- configuration ---- */

static const char *name_of(const struct virtio_input *s)
{
    static const char *const names[] = {"Quern Virtio Keyboard", "Quern Virtio Mouse",
                                        "Quern Virtio Tablet"};
    return names[s->kind];
}

static void set_bit(uint8_t *b, unsigned n)
{
    b[n / 8] |= (uint8_t)(1u << n % 8);
}

static void event_bits(const struct virtio_input *s, unsigned type, uint8_t *b)
{
    switch (type) {
    case EV_KEY:
        for (unsigned i = 1; s->kind == VIRTIO_KEYBOARD && i <= 0x58; i++)
            set_bit(b, key_code(i));
        for (unsigned i = 0; s->kind == VIRTIO_KEYBOARD && i < 128; i++) {
            if (extended[i]) set_bit(b, extended[i]);
        }
        for (unsigned i = 0; s->kind != VIRTIO_KEYBOARD && i < 5; i++)
            set_bit(b, BTN_LEFT + i);
        break;
    case EV_REL:
        if (s->kind == VIRTIO_MOUSE) set_bit(b, REL_X), set_bit(b, REL_Y);
        if (s->kind != VIRTIO_KEYBOARD) set_bit(b, REL_WHEEL);
        break;
    case EV_ABS:
        if (s->kind == VIRTIO_TABLET) set_bit(b, ABS_X), set_bit(b, ABS_Y);
        break;
    case EV_LED:
        if (s->kind == VIRTIO_KEYBOARD) b[0] = 7;
        break;
    case EV_REP:
        if (s->kind == VIRTIO_KEYBOARD) b[0] = 3;
        break;
    default: break;
    }
}

static size_t put_string(uint8_t *b, const char *text)
{
    size_t n = text ? MIN(strlen(text), (size_t)CFG_DATA_SIZE) : 0;
    if (n) memcpy(b, text, n);
    return n;
}

static void input_get_config(struct virtio *v, uint8_t *c)
{
    const struct virtio_input *s = input_of(v);
    uint8_t *b = c + CFG_DATA;
    size_t n = 0;
    c[CFG_SELECT] = s->select, c[CFG_SUBSELECT] = s->subselect;
    switch (s->select) {
    case ID_NAME: n = put_string(b, s->subselect ? NULL : name_of(s)); break;
    case ID_SERIAL: n = put_string(b, s->subselect ? NULL : s->serial); break;
    case ID_DEVIDS:
        if (s->subselect) break;
        virtio_put16(v, b, BUS_VIRTUAL), virtio_put16(v, b + 2, VENDOR);
        virtio_put16(v, b + 4, (uint16_t)(s->kind + 1)), virtio_put16(v, b + 6, 1);
        n = 8;
        break;
    case EV_BITS:
        event_bits(s, s->subselect, b);
        for (n = CFG_DATA_SIZE; n && !b[n - 1];)
            n--;
        break;
    case ABS_INFO:
        if (s->kind != VIRTIO_TABLET || s->subselect > ABS_Y) break;
        virtio_put32(v, b + 4, INPUT_ABS_MAX);
        n = 20;
        break;
    default: break;
    }
    c[CFG_LEN] = (uint8_t)n;
}

static void input_set_config(struct virtio *v, const uint8_t *c, unsigned offset, unsigned size)
{
    struct virtio_input *s = input_of(v);
    s->select = c[CFG_SELECT];
    s->subselect = c[CFG_SUBSELECT];
}

/* ---- life ---- */

static void input_reset(struct virtio *v)
{
    struct virtio_input *s = input_of(v);
    s->select = s->subselect = 0;
    s->leds = 0;
    s->buttons = 0;
}

static int input_realize(struct virtio *v, struct error *e)
{
    struct virtio_input *s = input_of(v);
    s->kind = v->class == &virtio_keyboard_class ? VIRTIO_KEYBOARD
              : v->class == &virtio_mouse_class  ? VIRTIO_MOUSE
                                                 : VIRTIO_TABLET;
    virtio_add_queue(v, QUEUE_SIZE);
    virtio_add_queue(v, QUEUE_SIZE);
    s->sink = (struct input_sink){.name = name_of(s), .opaque = s};
    if (s->kind == VIRTIO_KEYBOARD) s->sink.key = on_key;
    if (s->kind == VIRTIO_MOUSE) s->sink.move = on_move;
    if (s->kind == VIRTIO_TABLET) s->sink.place = on_place;
    input_add(v->dev->mb, &s->sink);
    s->added = true;
    return 0;
}

static void input_unrealize(struct virtio *v)
{
    struct virtio_input *s = input_of(v);
    if (s->added) input_remove(v->dev->mb, &s->sink);
    s->added = false;
}

#define CLASS(name_)                                                                               \
    {                                                                                              \
        .name = name_, .id = 18, .config_size = CFG_SIZE, .realize = input_realize,                \
        .unrealize = input_unrealize, .get_config = input_get_config,                              \
        .set_config = input_set_config, .notify = input_notify, .reset = input_reset               \
    }
const struct virtio_class virtio_keyboard_class = CLASS("virtio-keyboard");
const struct virtio_class virtio_mouse_class = CLASS("virtio-mouse");
const struct virtio_class virtio_tablet_class = CLASS("virtio-tablet");

const struct state_field virtio_input_state[] = {
    STATE_STRUCT(struct virtio_input, v, 1, virtio_state),
    STATE_PROP(struct virtio_input, serial),
    STATE_INT(struct virtio_input, select),
    STATE_INT(struct virtio_input, subselect),
    STATE_INT(struct virtio_input, leds),
    STATE_INT(struct virtio_input, buttons),
    STATE_RUNTIME(struct virtio_input, kind),
    STATE_RUNTIME(struct virtio_input, added),
    STATE_RUNTIME(struct virtio_input, sink),
    STATE_END,
};
