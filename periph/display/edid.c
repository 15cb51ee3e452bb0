/*
 * edid.c - the description that a monitor gives of itself, as far as guests choose modes by it.
 * Follows VESA's E-EDID standard, release A (structure 1.4). The one detailed timing is made by the
 * reduced blanking formula of CVT 1.1 at 60 Hz, rounded.
 */
#include "periph/display/vga.h"

static void detailed_timing(uint8_t *d, unsigned w, unsigned h)
{
    unsigned hblank = 160, vblank = 3 + 6 + MAX(h / 40, 6u), hfront = 48, hsync = 32, vfront = 3, vsync = 6;
    uint32_t clock = (uint32_t)((uint64_t)(w + hblank) * (h + vblank) * 60 / 10000);
    unsigned mm_w = w * 254 / 960, mm_h = h * 254 / 960;
    st16_le(d, (uint16_t)MIN(clock, 0xffffu));
    d[2] = (uint8_t)w, d[3] = (uint8_t)hblank;
    d[4] = (uint8_t)((w >> 8 & 15) << 4 | hblank >> 8);
    d[5] = (uint8_t)h, d[6] = (uint8_t)vblank;
    d[7] = (uint8_t)((h >> 8 & 15) << 4 | vblank >> 8);
    d[8] = (uint8_t)hfront, d[9] = (uint8_t)hsync;
    d[10] = (uint8_t)((vfront & 15) << 4 | vsync);
    d[12] = (uint8_t)mm_w, d[13] = (uint8_t)mm_h;
    d[14] = (uint8_t)((mm_w >> 8 & 15) << 4 | (mm_h >> 8 & 15));
    d[17] = 0x18; /* digital separate syncs, negative */
}

static void text(uint8_t *d, uint8_t tag, const char *s)
{
    d[3] = tag;
    memset(d + 5, ' ', 13);
    memcpy(d + 5, s, strlen(s));
    d[5 + strlen(s)] = '\n';
}

void edid_make(uint8_t e[128], unsigned width, unsigned height)
{
    static const uint8_t head[8] = {0, 255, 255, 255, 255, 255, 255, 0};
    /* chromaticity of sRGB */
    static const uint8_t color[10] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
    uint8_t sum = 0;
    memset(e, 0, 128);
    memcpy(e, head, 8);
    st16_be(e + 8, 'Q' % 32 << 10 | 'R' % 32 << 5 | 'N' % 32);
    st16_le(e + 10, 1);
    e[17] = 30, e[18] = 1, e[19] = 4;
    e[20] = 0xa5;                                    /* digital, 8 bits, DisplayPort */
    e[21] = (uint8_t)MIN(width * 254 / 9600, 255u);  /* cm */
    e[22] = (uint8_t)MIN(height * 254 / 9600, 255u);
    e[23] = 120, e[24] = 0x06; /* gamma 2.2; sRGB, preferred timing first */
    memcpy(e + 25, color, sizeof color);
    e[35] = 0x21, e[36] = 0x08; /* 640x480, 800x600, 1024x768 at 60 Hz */
    memset(e + 38, 1, 16);
    detailed_timing(e + 54, width, height);
    text(e + 72, 0xfc, "Quern");
    e[93] = 0xfd, e[95] = 50, e[96] = 125, e[97] = 30, e[98] = 160, e[99] = 255; /* range limits */
    e[100] = 0, e[101] = '\n';
    memset(e + 102, ' ', 6);
    e[111] = 0x10; /* a dummy descriptor */
    for (unsigned i = 0; i < 127; i++)
        sum = (uint8_t)(sum + e[i]);
    e[127] = (uint8_t)-sum;
}
