/*
 * picture.h - a picture of a screen: what a display adapter offers to whoever looks at it, and how it is written to a file.
 */
#ifndef UI_PICTURE_H
#define UI_PICTURE_H

#include "util/error.h"
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

/* What d shows now, to a file: PNG if the name ends in .png, else PPM. 0, or -1 + error (PNG needs zlib). */
int display_save(struct display *d, const char *path, struct error *e);

#endif
