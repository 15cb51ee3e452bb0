/*
 * input.h - where keys and pointer movements of a user interface go: devices register sinks with
 * their machine, user interfaces and the monitor call the functions below.
 *
 * Keys are named by their code in scan code set 1: 0x01..0x58 plain, 0xe0xx with prefix; Pause is
 * 0xe046, Print Screen 0xe037 (as periph/input/ps2.h). What came last into the machine has
 * precedence.
 */
#ifndef BUS_INPUT_H
#define BUS_INPUT_H

#include "bus/dev.h"

enum { INPUT_LEFT = 1, INPUT_RIGHT = 2, INPUT_MIDDLE = 4, INPUT_SIDE = 8, INPUT_EXTRA = 16 };
enum { INPUT_ABS_MAX = 0x7fff };

/* NULL functions: not such a device. Owned by the device. */
struct input_sink {
    const char *name; /* for people */
    void (*key)(void *opaque, unsigned code, bool down);
    /* Relative movement: right, down and wheel towards the user are positive. */
    void (*move)(void *opaque, int dx, int dy, int dz, unsigned buttons);
    /* To a place: 0 to INPUT_ABS_MAX from the upper left corner. */
    void (*place)(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons);
    void *opaque;
    struct input_sink *next;
};
void input_add(struct machine_bus *, struct input_sink *);
void input_remove(struct machine_bus *, struct input_sink *);

/* False: nobody takes it. */
bool input_key(struct machine_bus *, unsigned code, bool down);
/* To the last pointer that moves, or to a place. */
bool input_move(struct machine_bus *, int dx, int dy, int dz, unsigned buttons);
bool input_place(struct machine_bus *, unsigned x, unsigned y, int dz, unsigned buttons);
/* The pointer that input_move reaches, or NULL. */
struct input_sink *input_pointer(struct machine_bus *);

#endif
