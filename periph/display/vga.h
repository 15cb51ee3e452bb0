/*
 * vga.h - inside of periph/display: the VGA core, without any bus. Its front gives it ports and
 * memory addresses.
 */
#ifndef PERIPH_DISPLAY_VGA_H
#define PERIPH_DISPLAY_VGA_H

#include "bus/dev.h"
#include "ui/picture.h"

enum { VBE_ID, VBE_XRES, VBE_YRES, VBE_BPP, VBE_ENABLE, VBE_BANK, VBE_VIRT_WIDTH, VBE_VIRT_HEIGHT };
enum { VBE_X_OFFSET = 8, VBE_Y_OFFSET, VBE_MEMORY, VBE_REGS };
enum { VBE_ENABLED = 1, VBE_GETCAPS = 2, VBE_8BIT_DAC = 0x20, VBE_LFB = 0x40, VBE_NO_CLEAR = 0x80 };
enum { VGA_MAX_X = 16384, VGA_MAX_Y = 16384 };

struct vga {
    uint8_t misc, feature;
    uint8_t seq_index, seq[8];
    uint8_t gfx_index, gfx[16];
    uint8_t attr_index, attr[32];
    bool attr_data; /* the next write to 3C0h is data */
    uint8_t crtc_index, crtc[32];
    uint8_t dac_state, dac_read, dac_write, dac_sub, dac_mask, dac_cache[3];
    uint8_t palette[768];
    uint8_t latch[4];
    uint16_t vbe_index, vbe[VBE_REGS];
    /* runtime */
    struct bus_clock *clock;
    struct region *vram;
    uint8_t *mem; /* of vram; byte 4a + p is plane p of address a */
    uint32_t mem_size;
};
extern const struct state_field vga_state[];

void vga_reset(struct vga *);
/* Loaded state that registers cannot hold is an error. 0 or -1. */
int vga_check(const struct vga *, struct error *e);
/* Ports 3B0h to 3DFh. */
uint8_t vga_port_read(struct vga *, unsigned port);
void vga_port_write(struct vga *, unsigned port, uint8_t value);
/* Bytes of A0000h..BFFFFh, from 0 on. */
uint8_t vga_mem_read(struct vga *, uint32_t addr);
void vga_mem_write(struct vga *, uint32_t addr, uint8_t value);
/* The Bochs VBE extension's registers. */
uint16_t vbe_read(struct vga *, unsigned reg);
void vbe_write(struct vga *, unsigned reg, uint16_t value);
/* vga-draw.c: the screen. */
void vga_draw(void *vga, struct picture *);
/* edid.c: 128 bytes that describe a monitor whose preferred mode is width x height. */
void edid_make(uint8_t edid[128], unsigned width, unsigned height);

#endif
