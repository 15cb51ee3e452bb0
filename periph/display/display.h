/*
 * display.h - what a display adapter offers to whoever looks at its screen: the present picture.
 */
#ifndef PERIPH_DISPLAY_DISPLAY_H
#define PERIPH_DISPLAY_DISPLAY_H

#include "util/host.h"

/* Rows from top to bottom, three bytes (red, green, blue) for each pixel. picture_free releases. */
struct picture {
    uint32_t width, height;
    uint8_t *rgb;
};
static inline void picture_free(struct picture *p)
{
    mem_free(p->rgb);
    p->rgb = NULL, p->width = p->height = 0;
}

/* Belongs to the adapter; found as machine_bus.display. */
struct display {
    void (*draw)(void *opaque, struct picture *); /* at least one pixel */
    void *opaque;
};

#endif
