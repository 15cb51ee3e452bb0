/*
 * ps2.h - the PS/2 keyboard ("ps2-kbd") and mouse ("ps2-mouse"): the side of a user interface, and
 * the serial link to a controller such as i8042.
 *
 * Output 0 of both is high while bytes wait to be read.
 */
#ifndef PERIPH_INPUT_PS2_H
#define PERIPH_INPUT_PS2_H

#include "bus/dev.h"

/* User interfaces. Keys are named by their code in scan code set 1: 0x01..0x58 plain, 0xe0xx with
 * prefix; Pause is PS2_KEY_PAUSE and Print Screen PS2_KEY_PRINT. Repeats of the host may be passed
 * on: the keyboard ignores them and repeats by itself in guest time. Unknown codes are ignored. */
enum { PS2_KEY_PAUSE = 0xe046, PS2_KEY_PRINT = 0xe037 };
void ps2_kbd_key(struct device *kbd, unsigned key, bool down);
/* Bits: 0 scroll lock, 1 num lock, 2 caps lock. */
unsigned ps2_kbd_leds(struct device *kbd);

enum {
    PS2_BUTTON_LEFT = 1,
    PS2_BUTTON_RIGHT = 2,
    PS2_BUTTON_MIDDLE = 4,
    PS2_BUTTON_SIDE = 8,
    PS2_BUTTON_EXTRA = 16
};
/* Relative movement since the last call: right, down, and wheel towards the user are positive.
 * buttons: those held now. */
void ps2_mouse_event(struct device *mouse, int dx, int dy, int dz, unsigned buttons);

/* The link, for controllers; either device. ps2_read returns 0 when nothing waits. */
bool ps2_has_data(struct device *d);
uint8_t ps2_read(struct device *d);
void ps2_write(struct device *d, uint8_t byte);

/* Set 2 to set 1, codes below 0x80 (0x83 and 0x84 have their own: 0x41 and 0x54). */
extern const uint8_t ps2_set2_to_set1[128];

#endif
