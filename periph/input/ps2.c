/*
 * ps2.c - keyboard and mouse with the PS/2 interface.
 *
 * Follows the keyboard and auxiliary device chapters of IBM's PS/2 Hardware Interface Technical
 * Reference, and for the wheel and five buttons Microsoft's description of the IntelliMouse. Bytes
 * move whole and in no time: clock and data lines are not modelled. Keyboard: scan code sets 1, 2
 * and 3 with typematic repeat in guest time; the shift codes around cursor keys while Num Lock is
 * on are not sent.
 */
#include "periph/input/ps2.h"

#include "bus/input.h"

#include "util/log.h"

/* Replies to commands go before keys and movement. */
enum { REPLY_SIZE = 16, QUEUE_SIZE = 17, KEY_SIZE = 16 };

struct ps2 {
    struct device dev;
    uint8_t reply[REPLY_SIZE], queue[QUEUE_SIZE];
    uint8_t n_reply, n_queue;
    uint8_t last;   /* last byte sent, for "resend" */
    uint8_t expect; /* command that waits for its argument; 0: none */
    struct irq_line irq[1];
};

struct ps2_kbd {
    struct ps2 link;
    uint8_t set, leds, rate;
    bool enabled;
    uint16_t repeat_key;    /* 0: none */
    uint8_t held[32];       /* bit map of keys down: code, 0x80 added for e0xx */
    uint8_t set3_type[144]; /* KEY_* by set 3 code */
    struct timer repeat;
    struct input_sink sink; /* runtime */
};
enum { KEY_TYPEMATIC = 1, KEY_BREAK = 2 };

struct ps2_mouse {
    struct ps2 link;
    int32_t dx, dy, dz; /* movement not reported yet */
    uint8_t buttons, sent_buttons;
    uint8_t id; /* 0: three buttons, 3: wheel, 4: five buttons */
    uint8_t rate, resolution;
    uint8_t knock; /* the last two sample rates matched so far: see sample_rate_set */
    bool enabled, remote, wrap, scaling;
    struct timer pace;
    struct input_sink sink; /* runtime */
};

enum { PS2_ACK = 0xfa, PS2_BAT_OK = 0xaa, PS2_RESEND = 0xfe, PS2_ECHO = 0xee };

const uint8_t ps2_set2_to_set1[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

/* Set 3 by set 1 code; 0: no such key. */
static const uint8_t set3_plain[0x59] = {
    0x00, 0x08, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66,
    0x0d, 0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x11,
    0x1c, 0x1b, 0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5c, 0x1a,
    0x22, 0x21, 0x2a, 0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7e, 0x19, 0x29, 0x14, 0x07,
    0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x47, 0x4f, 0x76, 0x5f, 0x6c, 0x75, 0x7d, 0x84,
    0x6b, 0x73, 0x74, 0x7c, 0x69, 0x72, 0x7a, 0x70, 0x71, 0x57, 0x00, 0x13, 0x56, 0x5e,
};
static const struct {
    uint8_t set1, set3;
} set3_e0[] = {
    {0x1c, 0x79}, {0x1d, 0x58}, {0x35, 0x77}, {0x37, 0x57}, {0x38, 0x39},
    {0x46, 0x62}, {0x47, 0x6e}, {0x48, 0x63}, {0x49, 0x6f}, {0x4b, 0x61},
    {0x4d, 0x6a}, {0x4f, 0x65}, {0x50, 0x60}, {0x51, 0x6d}, {0x52, 0x67},
    {0x53, 0x64}, {0x5b, 0x8b}, {0x5c, 0x8c}, {0x5d, 0x8d},
};

/* --- the link --- */

static void update(struct ps2 *s)
{
    irq_set(&s->irq[0], s->n_reply || s->n_queue);
}

static void reply(struct ps2 *s, uint8_t byte)
{
    if (s->n_reply < REPLY_SIZE) s->reply[s->n_reply++] = byte;
}

bool ps2_has_data(struct device *d)
{
    struct ps2 *s = (struct ps2 *)d;

    return s->n_reply || s->n_queue;
}

uint8_t ps2_read(struct device *d)
{
    struct ps2 *s = (struct ps2 *)d;
    uint8_t *from = s->n_reply ? s->reply : s->queue, *n = s->n_reply ? &s->n_reply : &s->n_queue;

    if (!*n) return 0;
    s->last = from[0];
    memmove(from, from + 1, --*n);
    update(s);
    return s->last;
}

static void link_reset(struct ps2 *s)
{
    s->n_reply = s->n_queue = s->expect = 0;
    update(s);
}

static int link_post_load(struct ps2 *s, struct error *e)
{
    if (s->n_reply > REPLY_SIZE || s->n_queue > QUEUE_SIZE)
        return error_set(e, "%s: %u and %u bytes wait", s->dev.desc->name, s->n_reply, s->n_queue);
    update(s);
    return 0;
}

/* --- keyboard --- */

/* Set 2 code of a plain or prefixed set 1 code. */
static uint8_t set2_of(uint8_t set1)
{
    if (set1 == 0x41) return 0x83;
    if (set1 == 0x54) return 0x84;
    for (unsigned i = 1; i < 128; i++)
        if (ps2_set2_to_set1[i] == set1) return (uint8_t)i;
    return 0;
}

static uint8_t set3_of(unsigned key)
{
    if (key < sizeof set3_plain) return set3_plain[key];
    for (unsigned i = 0; i < ARRAY_LEN(set3_e0); i++)
        if ((0xe000u | set3_e0[i].set1) == key) return set3_e0[i].set3;
    return 0;
}

/* Writes the code of a key into buf; returns its length, 0 when it has none. */
static unsigned key_code(const struct ps2_kbd *s, unsigned key, bool down, uint8_t buf[8])
{
    static const uint8_t pause1[] = {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
    static const uint8_t pause2[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};
    static const uint8_t print1[2][4] = {{0xe0, 0xb7, 0xe0, 0xaa}, {0xe0, 0x2a, 0xe0, 0x37}};
    static const uint8_t print2_up[] = {0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12},
                         print2_down[] = {0xe0, 0x12, 0xe0, 0x7c};
    uint8_t set1 = key & 0x7f, code;
    unsigned n = 0;

    if (s->set == 3) {
        code = set3_of(key);
        if (!code || (!down && !(s->set3_type[code] & KEY_BREAK))) return 0;
        if (!down) buf[n++] = 0xf0;
        buf[n++] = code;
        return n;
    }
    if (key == PS2_KEY_PAUSE) { /* make only */
        if (!down) return 0;
        n = s->set == 1 ? sizeof pause1 : sizeof pause2;
        memcpy(buf, s->set == 1 ? pause1 : pause2, n);
        return n;
    }
    if (key == PS2_KEY_PRINT) {
        if (s->set == 1) return memcpy(buf, print1[down], 4), 4u;
        n = down ? sizeof print2_down : sizeof print2_up;
        memcpy(buf, down ? print2_down : print2_up, n);
        return n;
    }
    if (key >= 0xe000) buf[n++] = 0xe0;
    if (s->set == 1) {
        buf[n++] = down ? set1 : set1 | 0x80;
        return n;
    }
    code = set2_of(set1);
    if (!code) return 0;
    if (!down) buf[n++] = 0xf0;
    buf[n++] = code;
    return n;
}

static void send_key(struct ps2_kbd *s, unsigned key, bool down)
{
    uint8_t buf[8];
    unsigned n = key_code(s, key, down, buf);
    uint8_t overrun = s->set == 1 ? 0xff : 0x00;

    if (s->link.n_queue + n <= KEY_SIZE) {
        memcpy(s->link.queue + s->link.n_queue, buf, n);
        s->link.n_queue = (uint8_t)(s->link.n_queue + n);
    } else if (s->link.n_queue < QUEUE_SIZE &&
               (!s->link.n_queue || s->link.queue[s->link.n_queue - 1] != overrun)) {
        s->link.queue[s->link.n_queue++] = overrun;
    }
    update(&s->link);
}

/* Delay before the first repeat, and between repeats (typematic byte: bits 6-5 and 4-0). */
static uint64_t repeat_delay(const struct ps2_kbd *s)
{
    return ((s->rate >> 5 & 3) + 1) * UINT64_C(250000000);
}

static uint64_t repeat_period(const struct ps2_kbd *s)
{
    return (8 + (s->rate & 7)) * (UINT64_C(1) << (s->rate >> 3 & 3)) * UINT64_C(4170000);
}

static void stop_repeat(struct ps2_kbd *s)
{
    s->repeat_key = 0;
    timer_cancel(&s->repeat);
}

static void repeat_event(void *opaque)
{
    struct ps2_kbd *s = opaque;

    if (!s->repeat_key || !s->enabled) return;
    /* With unread codes waiting a repeat would only overrun the buffer. */
    if (!s->link.n_queue) send_key(s, s->repeat_key, true);
    timer_arm(&s->repeat, clock_now(s->link.dev.clock) + repeat_period(s));
}

void ps2_kbd_key(struct device *kbd, unsigned key, bool down)
{
    struct ps2_kbd *s = (struct ps2_kbd *)kbd;
    unsigned index = (key & 0x7f) | (key >= 0xe000 ? 0x80 : 0);
    uint8_t bit = (uint8_t)(1u << (index & 7));
    bool typematic;

    if (!(key & 0x7f) || (key & 0x80) || (key > 0x7f && key >> 8 != 0xe0)) return;
    if (down == !!(s->held[index >> 3] & bit)) return;
    s->held[index >> 3] ^= bit;
    if (!s->enabled) return;
    send_key(s, key, down);
    if (!down) {
        if (s->repeat_key == key) stop_repeat(s);
        return;
    }
    typematic =
        key != PS2_KEY_PAUSE && (s->set != 3 || (s->set3_type[set3_of(key)] & KEY_TYPEMATIC));
    if (!typematic) {
        stop_repeat(s);
        return;
    }
    s->repeat_key = (uint16_t)key;
    timer_arm(&s->repeat, clock_now(kbd->clock) + repeat_delay(s));
}

unsigned ps2_kbd_leds(struct device *kbd)
{
    return ((struct ps2_kbd *)kbd)->leds;
}

static void kbd_defaults(struct ps2_kbd *s)
{
    /* Set 3: shifts make and break, the digits' and letters' block repeats, function and editing
     * keys make only. */
    static const uint8_t make_break[] = {0x11, 0x12, 0x14, 0x19, 0x59};
    static const uint8_t make_only[] = {0x07, 0x08, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x47,
                                        0x4f, 0x56, 0x5e, 0x57, 0x5f, 0x62, 0x39, 0x58, 0x67, 0x65,
                                        0x6e, 0x6f, 0x6d, 0x76, 0x6c, 0x6b, 0x69, 0x77, 0x75, 0x73,
                                        0x72, 0x70, 0x7e, 0x7d, 0x74, 0x7a, 0x71, 0x84, 0x79};

    s->rate = 0x2b; /* 500 ms, 10.9 a second */
    memset(s->set3_type, KEY_TYPEMATIC, sizeof s->set3_type);
    for (unsigned i = 0; i < sizeof make_break; i++)
        s->set3_type[make_break[i]] = KEY_BREAK;
    for (unsigned i = 0; i < sizeof make_only; i++)
        s->set3_type[make_only[i]] = 0;
    s->link.n_queue = 0;
    stop_repeat(s);
}

static void kbd_power_on(struct ps2_kbd *s)
{
    kbd_defaults(s);
    s->set = 2;
    s->leds = 0;
    s->enabled = true;
}

/* The argument of a command. False: it is none, and a command itself. */
static bool kbd_argument(struct ps2_kbd *s, uint8_t v)
{
    uint8_t command = s->link.expect;

    s->link.expect = 0;
    if (v >= 0xed) return false;
    switch (command) {
    case 0xed: s->leds = v & 7; break;
    case 0xf3: s->rate = v & 0x7f; break;
    case 0xf0:
        if (v > 3) {
            reply(&s->link, PS2_RESEND);
            s->link.expect = command;
            return true;
        }
        reply(&s->link, PS2_ACK);
        if (!v)
            reply(&s->link, s->set);
        else
            s->set = v;
        return true;
    default: /* fb, fc, fd: any number of keys */
        if (v < sizeof s->set3_type)
            s->set3_type[v] = command == 0xfb ? KEY_TYPEMATIC : command == 0xfc ? KEY_BREAK : 0;
        s->link.expect = command;
        break;
    }
    reply(&s->link, PS2_ACK);
    return true;
}

static void kbd_command(struct ps2_kbd *s, uint8_t v)
{
    static const uint8_t all_types[] = {KEY_TYPEMATIC, KEY_BREAK, 0, KEY_TYPEMATIC | KEY_BREAK};

    if (s->link.expect && kbd_argument(s, v)) return;
    switch (v) {
    case 0xee: reply(&s->link, PS2_ECHO); return;
    case 0xfe: reply(&s->link, s->link.last); return;
    case 0xed:
    case 0xf0:
    case 0xf3:
    case 0xfb:
    case 0xfc:
    case 0xfd: s->link.expect = v; break;
    case 0xf2:
        reply(&s->link, PS2_ACK);
        reply(&s->link, 0xab);
        reply(&s->link, 0x83);
        return;
    case 0xf4:
        s->enabled = true;
        s->link.n_queue = 0;
        break;
    case 0xf5:
        kbd_defaults(s);
        s->enabled = false;
        break;
    case 0xf6:
        kbd_defaults(s);
        s->enabled = true;
        break;
    case 0xf7:
    case 0xf8:
    case 0xf9:
    case 0xfa: memset(s->set3_type, all_types[v - 0xf7], sizeof s->set3_type); break;
    case 0xff:
        kbd_power_on(s);
        reply(&s->link, PS2_ACK);
        reply(&s->link, PS2_BAT_OK);
        return;
    default:
        LOG(GUEST_ERRORS, "ps2-kbd: unknown command 0x%02x\n", v);
        reply(&s->link, PS2_RESEND);
        return;
    }
    reply(&s->link, PS2_ACK);
}

static void sink_key(void *opaque, unsigned code, bool down)
{
    ps2_kbd_key(opaque, code, down);
}

static int kbd_realize(struct device *d, struct error *e)
{
    struct ps2_kbd *s = (struct ps2_kbd *)d;

    (void)e;
    timer_init(&s->repeat, d->clock, repeat_event, s);
    s->sink = (struct input_sink){.name = "PS/2 Keyboard", .key = sink_key, .opaque = d};
    input_add(d->mb, &s->sink);
    return 0;
}

static void kbd_unrealize(struct device *d)
{
    timer_cancel(&((struct ps2_kbd *)d)->repeat);
    input_remove(d->mb, &((struct ps2_kbd *)d)->sink);
}

static void kbd_reset(struct device *d)
{
    struct ps2_kbd *s = (struct ps2_kbd *)d;

    link_reset(&s->link);
    memset(s->held, 0, sizeof s->held);
    kbd_power_on(s);
}

static int kbd_post_load(struct device *d, struct error *e)
{
    struct ps2_kbd *s = (struct ps2_kbd *)d;

    if (s->set < 1 || s->set > 3) return error_set(e, "ps2-kbd: scan code set %u", s->set);
    return link_post_load(&s->link, e);
}

/* --- mouse --- */

/* Stream mode reports small movements as they are and doubles larger ones when scaling is 2:1. */
static int scale(const struct ps2_mouse *s, int v)
{
    static const uint8_t small[6] = {0, 1, 1, 3, 6, 9};
    int a = v < 0 ? -v : v;

    if (!s->scaling || s->remote) return v;
    a = a < 6 ? small[a] : MIN(2 * a, 255);
    return v < 0 ? -a : a;
}

static int take(int32_t *from, int limit)
{
    int v = *from < -limit ? -limit : *from > limit ? limit : *from;

    *from -= v;
    return v;
}

/* Appends a movement packet to the replies (read data) or to the queue. */
static void send_packet(struct ps2_mouse *s, bool asked)
{
    int dx = scale(s, take(&s->dx, 255)), dy = scale(s, -take(&s->dy, 255)), dz;
    uint8_t p[4];
    unsigned n = 3;

    p[0] = (uint8_t)(8 | (s->buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
    p[1] = (uint8_t)dx;
    p[2] = (uint8_t)dy;
    if (s->id) {
        dz = take(&s->dz, 7);
        p[3] = (uint8_t)(s->id == 3 ? dz : (dz & 0x0f) | (s->buttons & 0x18) << 1);
        n = 4;
    } else {
        s->dz = 0;
    }
    s->sent_buttons = s->buttons;
    for (unsigned i = 0; i < n; i++) {
        if (asked)
            reply(&s->link, p[i]);
        else
            s->link.queue[s->link.n_queue++] = p[i];
    }
    update(&s->link);
}

/* Stream mode: reports what is new, at most at the sample rate and not before the last report was
 * read. */
static void stream(struct ps2_mouse *s)
{
    bool news = s->dx || s->dy || (s->id && s->dz) || s->buttons != s->sent_buttons;

    if (!s->enabled || s->remote || s->wrap || timer_armed(&s->pace) || !news) return;
    if (!s->link.n_queue) send_packet(s, false);
    timer_arm(&s->pace, clock_now(s->link.dev.clock) + NS_PER_SEC / (s->rate ? s->rate : 100));
}

static void pace_event(void *opaque)
{
    stream(opaque);
}

static int32_t add_clamped(int32_t a, int b)
{
    enum { FAR = 4096 }; /* more than a host sends between two reports */
    int64_t v = (int64_t)a + b;

    return (int32_t)(v < -FAR ? -FAR : v > FAR ? FAR : v);
}

void ps2_mouse_event(struct device *mouse, int dx, int dy, int dz, unsigned buttons)
{
    struct ps2_mouse *s = (struct ps2_mouse *)mouse;

    s->buttons = buttons & 0x1f;
    if (!s->enabled && !s->remote) return;
    s->dx = add_clamped(s->dx, dx);
    s->dy = add_clamped(s->dy, dy);
    s->dz = add_clamped(s->dz, dz);
    stream(s);
}

static void forget_movement(struct ps2_mouse *s)
{
    s->dx = s->dy = s->dz = 0;
    s->sent_buttons = s->buttons;
    s->link.n_queue = 0;
}

static void mouse_defaults(struct ps2_mouse *s)
{
    s->rate = 100;
    s->resolution = 2;
    s->enabled = s->remote = s->wrap = s->scaling = false;
    timer_cancel(&s->pace);
    forget_movement(s);
}

/* 200, 100, 80 turns the wheel on; after that 200, 200, 80 the five buttons. */
static void sample_rate_set(struct ps2_mouse *s, uint8_t rate)
{
    enum { KNOCK_NONE, KNOCK_200, KNOCK_200_100, KNOCK_200_200 };

    if (rate == 80 && s->knock == KNOCK_200_100) s->id = MAX(s->id, 3);
    if (rate == 80 && s->knock == KNOCK_200_200 && s->id) s->id = 4;
    if (rate == 200)
        s->knock = s->knock == KNOCK_200 || s->knock == KNOCK_200_200 ? KNOCK_200_200 : KNOCK_200;
    else
        s->knock = rate == 100 && s->knock == KNOCK_200 ? KNOCK_200_100 : KNOCK_NONE;
    s->rate = rate;
}

static void mouse_command(struct ps2_mouse *s, uint8_t v)
{
    /* A command ends the report that is under way. */
    s->link.n_queue = 0;
    if (s->wrap && v != 0xff && v != 0xec) {
        reply(&s->link, v);
        return;
    }
    if (s->link.expect) {
        if (s->link.expect == 0xe8)
            s->resolution = v & 3;
        else
            sample_rate_set(s, v);
        s->link.expect = 0;
        reply(&s->link, PS2_ACK);
        return;
    }
    if (v == 0xfe) {
        reply(&s->link, s->link.last);
        return;
    }
    reply(&s->link, PS2_ACK);
    switch (v) {
    case 0xe6: s->scaling = false; break;
    case 0xe7: s->scaling = true; break;
    case 0xe8:
    case 0xf3: s->link.expect = v; break;
    case 0xe9:
        reply(&s->link, (uint8_t)(s->remote << 6 | s->enabled << 5 | s->scaling << 4 |
                                  (s->buttons & PS2_BUTTON_LEFT) << 2 |
                                  (s->buttons & PS2_BUTTON_MIDDLE) >> 1 |
                                  (s->buttons & PS2_BUTTON_RIGHT) >> 1));
        reply(&s->link, s->resolution);
        reply(&s->link, s->rate);
        break;
    case 0xea: s->remote = false; break;
    case 0xeb: send_packet(s, true); break;
    case 0xec: s->wrap = false; break;
    case 0xee: s->wrap = true; break;
    case 0xf0: s->remote = true; break;
    case 0xf2: reply(&s->link, s->id); break;
    case 0xf4:
        s->enabled = true;
        forget_movement(s);
        break;
    case 0xf5: s->enabled = false; break;
    case 0xf6: mouse_defaults(s); break;
    case 0xff:
        mouse_defaults(s);
        s->id = s->knock = 0;
        reply(&s->link, PS2_BAT_OK);
        reply(&s->link, 0);
        break;
    default:
        LOG(GUEST_ERRORS, "ps2-mouse: unknown command 0x%02x\n", v);
        s->link.reply[s->link.n_reply - 1] = PS2_RESEND;
        break;
    }
}

static void sink_move(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    ps2_mouse_event(opaque, dx, dy, dz, buttons);
}

static int mouse_realize(struct device *d, struct error *e)
{
    struct ps2_mouse *s = (struct ps2_mouse *)d;

    (void)e;
    timer_init(&s->pace, d->clock, pace_event, s);
    s->sink = (struct input_sink){.name = "PS/2 Mouse", .move = sink_move, .opaque = d};
    input_add(d->mb, &s->sink);
    return 0;
}

static void mouse_unrealize(struct device *d)
{
    timer_cancel(&((struct ps2_mouse *)d)->pace);
    input_remove(d->mb, &((struct ps2_mouse *)d)->sink);
}

static void mouse_reset(struct device *d)
{
    struct ps2_mouse *s = (struct ps2_mouse *)d;

    link_reset(&s->link);
    mouse_defaults(s);
    s->id = s->knock = s->buttons = s->sent_buttons = 0;
}

static int mouse_post_load(struct device *d, struct error *e)
{
    struct ps2_mouse *s = (struct ps2_mouse *)d;

    if (s->id != 0 && s->id != 3 && s->id != 4)
        return error_set(e, "ps2-mouse: identity %u", s->id);
    if (s->link.n_queue > 4)
        return error_set(e, "ps2-mouse: %u bytes of a report", s->link.n_queue);
    s->dx = add_clamped(s->dx, 0), s->dy = add_clamped(s->dy, 0), s->dz = add_clamped(s->dz, 0);
    return link_post_load(&s->link, e);
}

void ps2_write(struct device *d, uint8_t byte)
{
    struct ps2 *s = (struct ps2 *)d;

    if (d->desc->realize == kbd_realize)
        kbd_command((struct ps2_kbd *)d, byte);
    else
        mouse_command((struct ps2_mouse *)d, byte);
    update(s);
}

/* --- descriptors --- */

/* The link comes first in both structures; its fields are listed flat, after the device part. */
#define LINK_STATE(S)                                                                              \
    STATE_ARR(S, link.reply), STATE_ARR(S, link.queue), STATE_INT(S, link.n_reply),                \
        STATE_INT(S, link.n_queue), STATE_INT_RESET(S, link.last, 0), STATE_INT(S, link.expect),   \
        STATE_RUNTIME(S, link.irq)

static const struct state_field kbd_state[] = {
    LINK_STATE(struct ps2_kbd),          STATE_INT(struct ps2_kbd, set),
    STATE_INT(struct ps2_kbd, leds),     STATE_INT(struct ps2_kbd, rate),
    STATE_INT(struct ps2_kbd, enabled),  STATE_INT(struct ps2_kbd, repeat_key),
    STATE_ARR(struct ps2_kbd, held),     STATE_ARR(struct ps2_kbd, set3_type),
    STATE_TIMER(struct ps2_kbd, repeat), STATE_RUNTIME(struct ps2_kbd, sink), STATE_END,
};

static const struct state_field mouse_state[] = {
    LINK_STATE(struct ps2_mouse),
    STATE_INT(struct ps2_mouse, dx),
    STATE_INT(struct ps2_mouse, dy),
    STATE_INT(struct ps2_mouse, dz),
    STATE_INT(struct ps2_mouse, buttons),
    STATE_INT(struct ps2_mouse, sent_buttons),
    STATE_INT(struct ps2_mouse, id),
    STATE_INT(struct ps2_mouse, rate),
    STATE_INT(struct ps2_mouse, resolution),
    STATE_INT(struct ps2_mouse, knock),
    STATE_INT(struct ps2_mouse, enabled),
    STATE_INT(struct ps2_mouse, remote),
    STATE_INT(struct ps2_mouse, wrap),
    STATE_INT(struct ps2_mouse, scaling),
    STATE_TIMER(struct ps2_mouse, pace), STATE_RUNTIME(struct ps2_mouse, sink),
    STATE_END,
};

static const struct prop_desc no_props[] = {
    PROP_END,
};

const struct dev_desc ps2_kbd_desc = {
    .name = "ps2-kbd",
    .help = "PS/2 keyboard",
    .bus = BUS_SYSTEM,
    .category = DEV_INPUT,
    .size = sizeof(struct ps2_kbd),
    .props = no_props,
    .state = kbd_state,
    .realize = kbd_realize,
    .unrealize = kbd_unrealize,
    .reset = kbd_reset,
    .post_load = kbd_post_load,
    .irq_offset = offsetof(struct ps2_kbd, link.irq),
    .n_irqs = 1,
};

const struct dev_desc ps2_mouse_desc = {
    .name = "ps2-mouse",
    .help = "PS/2 mouse with wheel and five buttons",
    .bus = BUS_SYSTEM,
    .category = DEV_INPUT,
    .size = sizeof(struct ps2_mouse),
    .props = no_props,
    .state = mouse_state,
    .realize = mouse_realize,
    .unrealize = mouse_unrealize,
    .reset = mouse_reset,
    .post_load = mouse_post_load,
    .irq_offset = offsetof(struct ps2_mouse, link.irq),
    .n_irqs = 1,
};
