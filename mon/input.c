/*
 * input.c - the monitor's commands for keys, pointers and the memory balloon.
 */
#include "mon/internal.h"

#include "bus/input.h"
#include "machines/user-devices.h"

#include <stdlib.h>

enum { HOLD_MS = 100 };

/* Names of keys, and their codes in set 1. */
static const struct { const char *name; uint16_t code; } keys[] = {
    { "shift", 0x2a }, { "shift_r", 0x36 }, { "alt", 0x38 }, { "alt_r", 0xe038 }, { "altgr", 0xe038 }, { "ctrl", 0x1d },
    { "ctrl_r", 0xe01d }, { "menu", 0xe05d }, { "esc", 0x01 }, { "1", 0x02 }, { "2", 0x03 }, { "3", 0x04 }, { "4", 0x05 },
    { "5", 0x06 }, { "6", 0x07 }, { "7", 0x08 }, { "8", 0x09 }, { "9", 0x0a }, { "0", 0x0b }, { "minus", 0x0c },
    { "equal", 0x0d }, { "backspace", 0x0e }, { "tab", 0x0f }, { "q", 0x10 }, { "w", 0x11 }, { "e", 0x12 }, { "r", 0x13 },
    { "t", 0x14 }, { "y", 0x15 }, { "u", 0x16 }, { "i", 0x17 }, { "o", 0x18 }, { "p", 0x19 }, { "bracket_left", 0x1a },
    { "bracket_right", 0x1b }, { "ret", 0x1c }, { "a", 0x1e }, { "s", 0x1f }, { "d", 0x20 }, { "f", 0x21 }, { "g", 0x22 },
    { "h", 0x23 }, { "j", 0x24 }, { "k", 0x25 }, { "l", 0x26 }, { "semicolon", 0x27 }, { "apostrophe", 0x28 },
    { "grave_accent", 0x29 }, { "backslash", 0x2b }, { "z", 0x2c }, { "x", 0x2d }, { "c", 0x2e }, { "v", 0x2f },
    { "b", 0x30 }, { "n", 0x31 }, { "m", 0x32 }, { "comma", 0x33 }, { "dot", 0x34 }, { "slash", 0x35 }, { "asterisk", 0x37 },
    { "spc", 0x39 }, { "caps_lock", 0x3a }, { "f1", 0x3b }, { "f2", 0x3c }, { "f3", 0x3d }, { "f4", 0x3e }, { "f5", 0x3f },
    { "f6", 0x40 }, { "f7", 0x41 }, { "f8", 0x42 }, { "f9", 0x43 }, { "f10", 0x44 }, { "num_lock", 0x45 },
    { "scroll_lock", 0x46 }, { "kp_7", 0x47 }, { "kp_8", 0x48 }, { "kp_9", 0x49 }, { "kp_subtract", 0x4a }, { "kp_4", 0x4b },
    { "kp_5", 0x4c }, { "kp_6", 0x4d }, { "kp_add", 0x4e }, { "kp_1", 0x4f }, { "kp_2", 0x50 }, { "kp_3", 0x51 },
    { "kp_0", 0x52 }, { "kp_decimal", 0x53 }, { "kp_multiply", 0x37 }, { "less", 0x56 }, { "f11", 0x57 }, { "f12", 0x58 },
    { "kp_divide", 0xe035 }, { "kp_enter", 0xe01c }, { "sysrq", 0x54 }, { "print", 0xe037 }, { "pause", 0xe046 },
    { "home", 0xe047 }, { "pgup", 0xe049 }, { "pgdn", 0xe051 }, { "end", 0xe04f }, { "left", 0xe04b }, { "up", 0xe048 },
    { "down", 0xe050 }, { "right", 0xe04d }, { "insert", 0xe052 }, { "delete", 0xe053 }, { "meta_l", 0xe05b },
    { "meta_r", 0xe05c }, { "compose", 0xe05d }, { "power", 0xe05e }, { "sleep", 0xe05f }, { "wake", 0xe063 },
};

/* A name of n characters, or a number (codes above 7Fh: with prefix E0h, as 80h more). 0: unknown. */
static unsigned key_code(const char *s, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (strlen(keys[i].name) == n && !memcmp(keys[i].name, s, n)) return keys[i].code;
    }
    if (n > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
        char *end;
        unsigned long v = strtoul(s, &end, 16);
        if (end == s + n && v && v < 0x100) return v & 0x80 ? 0xe000 | (unsigned)(v & 0x7f) : (unsigned)v;
    }
    return 0;
}

static void release_keys(void *opaque)
{
    struct monitor *m = opaque;
    while (m->n_held) input_key(m->env->machine->mb, m->held[--m->n_held], false);
}

void mon_release_keys(struct monitor *m)
{
    if (!m->release.clock) return;
    timer_cancel(&m->release);
    release_keys(m);
    m->release.clock = NULL;
}

void mon_sendkey(struct monitor *m, const struct mon_args *a)
{
    struct machine_bus *mb = m->env->machine->mb;
    uint64_t hold = mon_arg(a, "hold-time") ? mon_num(a, "hold-time") : HOLD_MS;
    unsigned codes[MON_MAX_KEYS], n = 0;

    for (const char *s = mon_str(a, "keys"); s;) {
        const char *end = strchr(s, '-');
        size_t len = end ? (size_t)(end - s) : strlen(s);
        if (n == MON_MAX_KEYS) {
            mon_printf(m, "too many keys\n");
            return;
        }
        codes[n] = len == 1 && *s == '<' ? 0x56 : key_code(s, len);
        if (!codes[n++]) {
            mon_printf(m, "invalid parameter: %.*s\n", (int)len, s);
            return;
        }
        s = end ? end + 1 : NULL;
    }
    if (!m->release.clock) timer_init(&m->release, mb->clock, release_keys, m);
    timer_cancel(&m->release);
    release_keys(m);
    for (unsigned i = 0; i < n; i++) {
        if (!input_key(mb, codes[i], true)) {
            mon_printf(m, "the machine has no keyboard\n");
            return;
        }
        m->held[m->n_held++] = codes[i];
    }
    timer_arm(&m->release, clock_now(mb->clock) + hold * UINT64_C(1000000));
}

/* A signed number; false: it is none, and that has been said. */
static bool distance(struct monitor *m, const char *s, int *out)
{
    char *end;
    long v = s ? strtol(s, &end, 0) : 0;
    if (s && (end == s || *end)) {
        mon_printf(m, "invalid number '%s'\n", s);
        return false;
    }
    *out = (int)MAX(MIN(v, 10000L), -10000L);
    return true;
}

void mon_mouse_move(struct monitor *m, const struct mon_args *a)
{
    struct machine_bus *mb = m->env->machine->mb;
    int dx, dy, dz;
    if (!distance(m, mon_str(a, "dx"), &dx) || !distance(m, mon_str(a, "dy"), &dy) || !distance(m, mon_str(a, "dz"), &dz))
        return;
    if (!input_move(mb, dx, dy, dz, m->buttons))
        mon_printf(m, "the machine has no mouse\n");
}

/* 1 left, 2 middle, 4 right. */
void mon_mouse_button(struct monitor *m, const struct mon_args *a)
{
    uint64_t v = mon_num(a, "state");
    m->buttons = (v & 1 ? INPUT_LEFT : 0u) | (v & 2 ? INPUT_MIDDLE : 0u) | (v & 4 ? INPUT_RIGHT : 0u);
    if (!input_move(m->env->machine->mb, 0, 0, 0, m->buttons)) mon_printf(m, "the machine has no mouse\n");
}

void mon_info_mice(struct monitor *m, const struct mon_args *a)
{
    const struct input_sink *now = input_pointer(m->env->machine->mb);
    unsigned n = 0;
    for (const struct input_sink *s = m->env->machine->mb->inputs; s; s = s->next) {
        if (!s->move && !s->place) continue;
        mon_printf(m, "%c Mouse #%u: %s%s\n", s == now ? '*' : ' ', n++, s->name, s->place ? " (absolute)" : "");
    }
    if (!n) mon_printf(m, "No mouse devices connected\n");
}

void mon_balloon(struct monitor *m, const struct mon_args *a)
{
    struct machine *mc = m->env->machine;
    uint64_t want = mon_num(a, "value");
    if (want && !machine_balloon_set(mc, mc->cfg.ram_size - MIN(want, mc->cfg.ram_size)))
        mon_printf(m, "Error: No balloon device has been activated\n");
}

void mon_info_balloon(struct monitor *m, const struct mon_args *a)
{
    struct machine *mc = m->env->machine;
    uint64_t held = 0;
    if (!machine_balloon_get(mc, &held)) {
        mon_printf(m, "Error: No balloon device has been activated\n");
        return;
    }
    mon_printf(m, "balloon: actual=%llu\n", (unsigned long long)((mc->cfg.ram_size - MIN(held, mc->cfg.ram_size)) >> 20));
}
