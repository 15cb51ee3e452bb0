/*
 * input.c - the way of keys and pointer movements to devices; see input.h.
 */
#include "bus/input.h"

void input_add(struct machine_bus *mb, struct input_sink *s)
{
    s->next = mb->inputs;
    mb->inputs = s;
}

void input_remove(struct machine_bus *mb, struct input_sink *s)
{
    for (struct input_sink **p = &mb->inputs; *p; p = &(*p)->next) {
        if (*p != s) continue;
        *p = s->next;
        return;
    }
}

bool input_key(struct machine_bus *mb, unsigned code, bool down)
{
    for (struct input_sink *s = mb->inputs; s; s = s->next) {
        if (!s->key) continue;
        s->key(s->opaque, code, down);
        return true;
    }
    return false;
}

struct input_sink *input_pointer(struct machine_bus *mb)
{
    struct input_sink *s = mb->inputs;
    while (s && !s->move)
        s = s->next;
    return s;
}

bool input_move(struct machine_bus *mb, int dx, int dy, int dz, unsigned buttons)
{
    struct input_sink *s = input_pointer(mb);
    if (s) s->move(s->opaque, dx, dy, dz, buttons);
    return s != NULL;
}

bool input_place(struct machine_bus *mb, unsigned x, unsigned y, int dz, unsigned buttons)
{
    for (struct input_sink *s = mb->inputs; s; s = s->next) {
        if (!s->place) continue;
        s->place(s->opaque, MIN(x, (unsigned)INPUT_ABS_MAX), MIN(y, (unsigned)INPUT_ABS_MAX), dz,
                 buttons);
        return true;
    }
    return false;
}
