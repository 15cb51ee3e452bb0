/*
 * vga-draw.c - the screen of a VGA as a picture: text, planar, CGA-like and 256-colour modes, and the
 * modes of the VBE extension. The text cursor and blinking characters are always shown.
 */
#include "periph/display/vga.h"

enum { ATTR_MODE = 0x10, ATTR_PLANES = 0x12, ATTR_PANNING = 0x13, ATTR_SELECT = 0x14 };
enum { SHOWN_MAX = 4096 };

static uint8_t scale6(uint8_t v)
{
    v &= 63;
    return (uint8_t)(v << 2 | v >> 4);
}

/* A DAC entry. */
static void dac_color(const struct vga *s, uint8_t index, uint8_t *rgb)
{
    const uint8_t *p = s->palette + 3 * (index & s->dac_mask);
    bool wide = s->vbe[VBE_ENABLE] & VBE_8BIT_DAC;
    for (unsigned i = 0; i < 3; i++)
        rgb[i] = wide ? p[i] : scale6(p[i]);
}

/* One of 16 colours, through the attribute controller. */
static void attr_color(const struct vga *s, unsigned c, uint8_t *rgb)
{
    uint8_t v = s->attr[c & 15], select = s->attr[ATTR_SELECT];
    if (s->attr[ATTR_MODE] & 0x80)
        v = (uint8_t)((v & 0x0f) | (select & 0x0f) << 4);
    else
        v = (uint8_t)((v & 0x3f) | (select & 0x0c) << 4);
    dac_color(s, v, rgb);
}

static uint8_t byte_at(const struct vga *s, uint64_t at)
{
    return s->mem[at % s->mem_size];
}

static unsigned scan_lines(const struct vga *s)
{
    return (s->crtc[0x12] | (s->crtc[7] & 2u) << 7 | (s->crtc[7] & 0x40u) << 3) + 1;
}

static uint32_t start_address(const struct vga *s)
{
    return (uint32_t)s->crtc[0x0c] << 8 | s->crtc[0x0d];
}

/* Bytes of memory from one of the CRT controller's addresses to the next: in word mode it skips every
 * second one. (Double word mode goes with chained planes, which are packed here.) */
static unsigned step(const struct vga *s)
{
    return s->crtc[0x17] & 0x40 || s->crtc[0x14] & 0x40 ? 4 : 8;
}

static bool make_picture(struct picture *p, uint32_t w, uint32_t h)
{
    bool ok = w && h && w <= VGA_MAX_X && h <= VGA_MAX_Y && (uint64_t)w * h <= SHOWN_MAX * SHOWN_MAX;
    p->width = ok ? w : 1, p->height = ok ? h : 1;
    p->rgb = mem_zalloc((size_t)p->width * p->height * 3);
    return ok;
}

/* ---- the VBE extension's modes ---- */

static void direct_color(unsigned bpp, const uint8_t *p, uint8_t *rgb)
{
    unsigned v = ld16_le(p);
    switch (bpp) {
    case 15:
        rgb[0] = (uint8_t)((v >> 10 & 31) * 255 / 31);
        rgb[1] = (uint8_t)((v >> 5 & 31) * 255 / 31);
        rgb[2] = (uint8_t)((v & 31) * 255 / 31);
        break;
    case 16:
        rgb[0] = (uint8_t)((v >> 11 & 31) * 255 / 31);
        rgb[1] = (uint8_t)((v >> 5 & 63) * 255 / 63);
        rgb[2] = (uint8_t)((v & 31) * 255 / 31);
        break;
    default: rgb[0] = p[2], rgb[1] = p[1], rgb[2] = p[0]; break;
    }
}

static void planar_row(const struct vga *s, uint64_t at, unsigned w, uint8_t *out)
{
    for (unsigned x = 0; x < w; x++) {
        unsigned c = 0;
        for (unsigned p = 0; p < 4; p++)
            c |= (byte_at(s, at + x / 8 * 4 + p) >> (7 - (x & 7)) & 1u) << p;
        attr_color(s, c & s->attr[ATTR_PLANES], out + 3 * x);
    }
}

static void draw_vbe(const struct vga *s, struct picture *p)
{
    const uint16_t *r = s->vbe;
    unsigned bpp = r[VBE_BPP], bytes = (bpp + 7) / 8;
    if (!make_picture(p, r[VBE_XRES], r[VBE_YRES])) return;
    for (uint32_t y = 0; y < p->height; y++) {
        uint64_t pixel = (uint64_t)(r[VBE_Y_OFFSET] + y) * r[VBE_VIRT_WIDTH] + r[VBE_X_OFFSET];
        uint8_t *out = p->rgb + (size_t)y * p->width * 3;
        if (bpp == 4) {
            planar_row(s, pixel / 8 * 4, p->width, out);
            continue;
        }
        for (uint32_t x = 0; x < p->width; x++, out += 3) {
            uint8_t b[4] = {0};
            for (unsigned i = 0; i < bytes; i++)
                b[i] = byte_at(s, (pixel + x) * bytes + i);
            if (bpp == 8)
                dac_color(s, b[0], out);
            else
                direct_color(bpp, b, out);
        }
    }
}

/* ---- VGA modes ---- */

static void draw_graphics(const struct vga *s, struct picture *p)
{
    unsigned shift = s->gfx[5] >> 5 & 3, repeat = (s->crtc[9] & 31) + 1;
    uint32_t w = (s->crtc[1] + 1u) * 8, row = s->crtc[0x13] * 2u * step(s);
    if (s->crtc[9] & 0x80) repeat *= 2;
    if (shift >= 2) w /= 2;
    bool cga = !(s->crtc[0x17] & 1); /* bit 0 of the row scan counter is address bit 13 */
    uint32_t h = scan_lines(s) / repeat * (cga ? 2 : 1);
    if (cga && repeat > 1) h = scan_lines(s) / (repeat / 2 ? repeat / 2 : 1);
    if (!make_picture(p, w, h)) return;
    for (uint32_t y = 0; y < p->height; y++) {
        uint64_t at = (uint64_t)start_address(s) * step(s) + (uint64_t)(cga ? y / 2 : y) * row;
        if (cga && (y & 1)) at += 0x2000 * 4;
        uint8_t *out = p->rgb + (size_t)y * p->width * 3;
        if (shift == 0) {
            planar_row(s, at, p->width, out);
        } else if (shift == 1) {
            /* Two bits for a pixel; even bytes are in plane 0, odd ones in plane 1. */
            for (uint32_t x = 0; x < p->width; x++) {
                uint8_t b = byte_at(s, at + x / 8 * step(s) + (x / 4 & 1));
                attr_color(s, b >> (6 - 2 * (x & 3)) & 3, out + 3 * x);
            }
        } else {
            for (uint32_t x = 0; x < p->width; x++)
                dac_color(s, byte_at(s, at + x), out + 3 * x);
        }
    }
}

/* The plane 2 address of one of the two fonts. */
static uint32_t font(const struct vga *s, bool second)
{
    uint8_t v = s->seq[3];
    unsigned n = second ? (v >> 2 & 3) | (v >> 3 & 4) : (v & 3) | (v >> 2 & 4);
    return (n & 3) * 0x4000 + (n & 4 ? 0x2000 : 0);
}

struct cell {
    uint8_t ch, attr;
    bool cursor;
};

static void draw_cell(const struct vga *s, struct picture *p, unsigned x0, unsigned y0, unsigned w,
                      unsigned h, struct cell c)
{
    uint8_t color[2][3];
    bool second = s->seq[3] && (c.attr & 8), blink = s->attr[ATTR_MODE] & 8;
    uint32_t glyph = font(s, second) + c.ch * 32u;
    unsigned first = s->crtc[0x0a] & 31, last = s->crtc[0x0b] & 31;
    attr_color(s, blink ? c.attr >> 4 & 7 : c.attr >> 4, color[0]);
    attr_color(s, c.attr & 15, color[1]);
    for (unsigned y = 0; y < h; y++) {
        uint8_t bits = byte_at(s, (uint64_t)(glyph + y) * 4 + 2);
        uint8_t *out = p->rgb + ((size_t)(y0 + y) * p->width + x0) * 3;
        bool cursor = c.cursor && y >= first && y <= last;
        for (unsigned x = 0; x < w; x++, out += 3) {
            /* The ninth dot continues the eighth in the line drawing characters. */
            bool on = x < 8 ? bits >> (7 - x) & 1
                            : (bits & 1) && (s->attr[ATTR_MODE] & 4) && (c.ch & 0xe0) == 0xc0;
            memcpy(out, color[on || cursor], 3);
        }
    }
}

static void draw_text(const struct vga *s, struct picture *p)
{
    unsigned cols = s->crtc[1] + 1u, h = (s->crtc[9] & 31) + 1u, w = s->seq[1] & 1 ? 8 : 9;
    unsigned rows = scan_lines(s) / (s->crtc[9] & 0x80 ? 2 : 1) / h;
    uint32_t cursor = (uint32_t)s->crtc[0x0e] << 8 | s->crtc[0x0f];
    bool shown = !(s->crtc[0x0a] & 0x20);
    if (!make_picture(p, cols * w, rows * h)) return;
    for (unsigned y = 0; y < rows; y++) {
        uint32_t n = start_address(s) + y * s->crtc[0x13] * 2u;
        for (unsigned x = 0; x < cols; x++, n++) {
            uint64_t at = (uint64_t)n * step(s);
            struct cell c = {byte_at(s, at), byte_at(s, at + 1), shown && n == cursor};
            draw_cell(s, p, x * w, y * h, w, h, c);
        }
    }
}

void vga_draw(void *opaque, struct picture *p)
{
    const struct vga *s = opaque;
    if (s->vbe[VBE_ENABLE] & VBE_ENABLED)
        draw_vbe(s, p);
    else if (!(s->attr_index & 0x20)) /* the screen is off: it has its size and is black */
        make_picture(p, 640, 480);
    else if (s->gfx[6] & 1)
        draw_graphics(s, p);
    else
        draw_text(s, p);
}
