/*
 * vga.c - the VGA: sequencer, graphics, attribute and CRT controllers, DAC, planar memory, and the
 * Bochs VBE extension for higher resolutions.
 *
 * Follows IBM's PS/2 Hardware Interface Technical Reference (video subsystem) and the description of
 * the VBE "dispi" interface as its guests use it. Display timing has no effect but for the status
 * register, which shows 60 frames per second of guest time. Not modelled: split screens, panning by
 * pixels, the vertical interrupt.
 */
#include "periph/display/vga.h"

#include "util/log.h"

enum { GFX_SET_RESET, GFX_ENABLE_SR, GFX_COMPARE, GFX_ROTATE, GFX_READ_MAP, GFX_MODE, GFX_MISC };
enum { GFX_DONT_CARE = 7, GFX_BIT_MASK = 8 };
enum { SEQ_MAP_MASK = 2, SEQ_MEMORY = 4, MEM_CHAIN4 = 8, MEM_SEQUENTIAL = 4 };
enum { MISC_COLOR = 1 };
enum { VBE_VERSION = 0xb0c5 };

/* ---- planar memory ---- */

/* Where an address of the window lies in its map; false: the map does not show there. */
static bool in_map(const struct vga *s, uint32_t *addr)
{
    switch (s->gfx[GFX_MISC] >> 2 & 3) {
    case 0: return true;
    case 1: return *addr < 0x10000;
    case 2: *addr -= 0x10000; return *addr < 0x8000;
    default: *addr -= 0x18000; return *addr < 0x8000;
    }
}

static uint32_t banked(const struct vga *s, uint32_t addr)
{
    return (s->vbe[VBE_ENABLE] & VBE_ENABLED) ? addr + ((uint32_t)s->vbe[VBE_BANK] << 16) : addr;
}

static bool odd_even(const struct vga *s)
{
    return !(s->seq[SEQ_MEMORY] & MEM_SEQUENTIAL);
}

uint8_t vga_mem_read(struct vga *s, uint32_t addr)
{
    if (!in_map(s, &addr)) return 0xff;
    if (s->seq[SEQ_MEMORY] & MEM_CHAIN4) {
        addr = banked(s, addr);
        return addr < s->mem_size ? s->mem[addr] : 0xff;
    }
    unsigned plane = s->gfx[GFX_READ_MAP] & 3;
    if (s->gfx[GFX_MODE] & 0x10) {
        plane = (plane & 2) | (addr & 1);
        addr &= ~1u;
    } else {
        addr = banked(s, addr);
    }
    if (addr >= s->mem_size / 4) return 0xff;
    memcpy(s->latch, s->mem + 4 * (size_t)addr, 4);
    if (!(s->gfx[GFX_MODE] & 8)) return s->latch[plane];
    uint8_t equal = 0xff; /* read mode 1: where the planes have the colour compared with */
    for (unsigned p = 0; p < 4; p++) {
        uint8_t want = s->gfx[GFX_COMPARE] >> p & 1 ? 0xff : 0;
        if (s->gfx[GFX_DONT_CARE] >> p & 1) equal &= (uint8_t) ~(s->latch[p] ^ want);
    }
    return equal;
}

static uint8_t combine(const struct vga *s, uint8_t v, uint8_t latch)
{
    switch (s->gfx[GFX_ROTATE] >> 3 & 3) {
    case 1: return v & latch;
    case 2: return v | latch;
    case 3: return v ^ latch;
    default: return v;
    }
}

/* The byte that a plane gets. */
static uint8_t plane_value(const struct vga *s, unsigned p, uint8_t v)
{
    unsigned turn = s->gfx[GFX_ROTATE] & 7;
    uint8_t rotated = (uint8_t)(v >> turn | v << (8 - turn)), mask = s->gfx[GFX_BIT_MASK];
    uint8_t set = s->gfx[GFX_SET_RESET] >> p & 1 ? 0xff : 0, latch = s->latch[p];
    switch (s->gfx[GFX_MODE] & 3) {
    case 0: v = s->gfx[GFX_ENABLE_SR] >> p & 1 ? set : rotated; break;
    case 1: return latch;
    case 2: v = v >> p & 1 ? 0xff : 0; break;
    default:
        mask &= rotated;
        v = set;
        break;
    }
    v = combine(s, v, latch);
    return (uint8_t)((v & mask) | (latch & ~mask));
}

void vga_mem_write(struct vga *s, uint32_t addr, uint8_t value)
{
    uint8_t planes = s->seq[SEQ_MAP_MASK] & 15;
    if (!in_map(s, &addr)) return;
    if (s->seq[SEQ_MEMORY] & MEM_CHAIN4) {
        addr = banked(s, addr);
        if (addr < s->mem_size && (planes >> (addr & 3) & 1)) s->mem[addr] = value;
        return;
    }
    if (odd_even(s)) {
        planes &= addr & 1 ? 0x0a : 0x05;
        addr &= ~1u;
    } else {
        addr = banked(s, addr);
    }
    if (addr >= s->mem_size / 4) return;
    uint8_t *at = s->mem + 4 * (size_t)addr;
    for (unsigned p = 0; p < 4; p++) {
        if (planes >> p & 1) at[p] = plane_value(s, p, value);
    }
}

/* ---- ports ---- */

/* Input status 1: retraces, from guest time. */
static uint8_t status1(const struct vga *s)
{
    enum { FRAME_NS = 16683000, LINE_NS = 31777, LINES = 480 };
    uint64_t t = clock_now(s->clock) % FRAME_NS;
    if (t >= (uint64_t)LINES * LINE_NS) return t >= (uint64_t)(LINES + 10) * LINE_NS ? 9 : 1;
    return t % LINE_NS >= LINE_NS * 8 / 10 ? 1 : 0;
}

static bool here(const struct vga *s, unsigned port)
{
    bool color = s->misc & MISC_COLOR;
    if (port >= 0x3b0 && port <= 0x3bf) return !color;
    if (port >= 0x3d0) return color;
    return true;
}

static uint8_t dac_data(struct vga *s)
{
    uint8_t v = s->palette[s->dac_read * 3 + s->dac_sub];
    if (++s->dac_sub == 3) s->dac_sub = 0, s->dac_read++;
    return v;
}

uint8_t vga_port_read(struct vga *s, unsigned port)
{
    if (!here(s, port)) return 0xff;
    switch (port) {
    case 0x3c0: return s->attr_data ? 0 : s->attr_index;
    case 0x3c1: return s->attr[s->attr_index & 31];
    case 0x3c2: return 0x10; /* a monitor is there */
    case 0x3c4: return s->seq_index;
    case 0x3c5: return s->seq[s->seq_index & 7];
    case 0x3c6: return s->dac_mask;
    case 0x3c7: return s->dac_state;
    case 0x3c8: return s->dac_write;
    case 0x3c9: return dac_data(s);
    case 0x3ca: return s->feature;
    case 0x3cc: return s->misc;
    case 0x3ce: return s->gfx_index;
    case 0x3cf: return s->gfx[s->gfx_index & 15];
    case 0x3b4:
    case 0x3d4: return s->crtc_index;
    case 0x3b5:
    case 0x3d5: return s->crtc_index < sizeof s->crtc ? s->crtc[s->crtc_index] : 0;
    case 0x3ba:
    case 0x3da: s->attr_data = false; return status1(s);
    default: return 0xff;
    }
}

static void attr_write(struct vga *s, uint8_t v)
{
    static const uint8_t masks[32] = {63, 63, 63, 63, 63, 63,   63, 63, 63,   63, 63,
                                      63, 63, 63, 63, 63, 0xef, 255, 15,  15, 15};
    if (!s->attr_data)
        s->attr_index = v & 63;
    else if ((s->attr_index & 31) < 21)
        s->attr[s->attr_index & 31] = v & masks[s->attr_index & 31];
    s->attr_data = !s->attr_data;
}

static void dac_write(struct vga *s, uint8_t v)
{
    s->dac_cache[s->dac_sub++] = v;
    if (s->dac_sub < 3) return;
    memcpy(s->palette + s->dac_write * 3, s->dac_cache, 3);
    s->dac_sub = 0;
    s->dac_write++;
}

static void crtc_write(struct vga *s, uint8_t v)
{
    uint8_t i = s->crtc_index;
    if (i >= 25) return;
    /* Registers 0 to 7 may be locked, but for the line compare bit. */
    if (i < 8 && (s->crtc[0x11] & 0x80)) {
        if (i == 7) s->crtc[7] = (uint8_t)((s->crtc[7] & ~0x10) | (v & 0x10));
        return;
    }
    s->crtc[i] = v;
}

void vga_port_write(struct vga *s, unsigned port, uint8_t v)
{
    static const uint8_t seq_mask[8] = {3, 0x3d, 15, 0x3f, 14, 0, 0, 0};
    static const uint8_t gfx_mask[16] = {15, 15, 15, 31, 3, 0x7b, 15, 15, 255};
    if (!here(s, port)) return;
    switch (port) {
    case 0x3c0: attr_write(s, v); break;
    case 0x3c2: s->misc = v & 0xef; break;
    case 0x3c4: s->seq_index = v & 7; break;
    case 0x3c5: s->seq[s->seq_index] = v & seq_mask[s->seq_index]; break;
    case 0x3c6: s->dac_mask = v; break;
    case 0x3c7:
        s->dac_read = v;
        s->dac_sub = 0;
        s->dac_state = 3;
        break;
    case 0x3c8:
        s->dac_write = v;
        s->dac_sub = 0;
        s->dac_state = 0;
        break;
    case 0x3c9: dac_write(s, v); break;
    case 0x3ce: s->gfx_index = v & 15; break;
    case 0x3cf: s->gfx[s->gfx_index] = v & gfx_mask[s->gfx_index]; break;
    case 0x3b4:
    case 0x3d4: s->crtc_index = v; break;
    case 0x3b5:
    case 0x3d5: crtc_write(s, v); break;
    case 0x3ba:
    case 0x3da: s->feature = v & 0x10; break;
    default: break;
    }
}

/* ---- the VBE extension ---- */

static uint32_t row_bytes(const struct vga *s, uint32_t pixels)
{
    unsigned bpp = s->vbe[VBE_BPP];
    return bpp == 4 ? pixels / 8 * 4 : pixels * ((bpp + 7) / 8);
}

uint16_t vbe_read(struct vga *s, unsigned reg)
{
    if (reg == VBE_MEMORY) return (uint16_t)(s->mem_size >> 16);
    if (reg >= VBE_REGS) return 0xffff;
    if (s->vbe[VBE_ENABLE] & VBE_GETCAPS) {
        switch (reg) {
        case VBE_XRES: return VGA_MAX_X;
        case VBE_YRES: return VGA_MAX_Y;
        case VBE_BPP: return 32;
        default: break;
        }
    }
    return s->vbe[reg];
}

/* Keeps the virtual screen and its offsets inside of the memory. */
static void fix_screen(struct vga *s)
{
    uint16_t *r = s->vbe;
    if (!r[VBE_VIRT_WIDTH] || r[VBE_VIRT_WIDTH] < r[VBE_XRES]) r[VBE_VIRT_WIDTH] = r[VBE_XRES];
    uint32_t row = row_bytes(s, r[VBE_VIRT_WIDTH]);
    uint32_t rows = row ? s->mem_size / row : 0;
    if (rows < r[VBE_YRES]) { /* it does not fit: the narrowest form, and what there is of it */
        r[VBE_VIRT_WIDTH] = r[VBE_XRES];
        row = row_bytes(s, r[VBE_VIRT_WIDTH]);
        rows = row ? s->mem_size / row : 0;
        r[VBE_YRES] = (uint16_t)MIN(rows, (uint32_t)r[VBE_YRES]);
    }
    r[VBE_VIRT_HEIGHT] = (uint16_t)MIN(rows, 0xffffu);
    if (r[VBE_X_OFFSET] + r[VBE_XRES] > r[VBE_VIRT_WIDTH]) r[VBE_X_OFFSET] = 0;
    if (r[VBE_Y_OFFSET] + r[VBE_YRES] > r[VBE_VIRT_HEIGHT]) r[VBE_Y_OFFSET] = 0;
}

static void write_enable(struct vga *s, uint16_t v)
{
    uint16_t *r = s->vbe;
    bool on = (v & VBE_ENABLED) && !(r[VBE_ENABLE] & VBE_ENABLED);
    r[VBE_ENABLE] = v & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB | VBE_NO_CLEAR);
    if (!(v & VBE_ENABLED)) r[VBE_BANK] = 0;
    if (!on) return;
    r[VBE_VIRT_WIDTH] = r[VBE_XRES];
    r[VBE_X_OFFSET] = r[VBE_Y_OFFSET] = 0;
    fix_screen(s);
    if (!(v & VBE_NO_CLEAR)) memset(s->mem, 0, row_bytes(s, r[VBE_XRES]) * (size_t)r[VBE_YRES]);
}

void vbe_write(struct vga *s, unsigned reg, uint16_t v)
{
    uint16_t *r = s->vbe;
    switch (reg) {
    case VBE_ID:
        if (v >= 0xb0c0 && v <= VBE_VERSION) r[VBE_ID] = v;
        break;
    case VBE_XRES:
        if (v && v <= VGA_MAX_X && !(v & 7)) r[VBE_XRES] = v, fix_screen(s);
        break;
    case VBE_YRES:
        if (v && v <= VGA_MAX_Y) r[VBE_YRES] = v, fix_screen(s);
        break;
    case VBE_BPP:
        if (!v) v = 8;
        if (v == 4 || v == 8 || v == 15 || v == 16 || v == 24 || v == 32)
            r[VBE_BPP] = v, fix_screen(s);
        break;
    case VBE_ENABLE: write_enable(s, v); break;
    case VBE_BANK:
        if ((uint32_t)v << 16 < s->mem_size) r[VBE_BANK] = v;
        break;
    case VBE_VIRT_WIDTH:
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        r[reg] = v;
        fix_screen(s);
        break;
    default: LOG(GUEST_ERRORS, "vga: VBE register %u is written\n", reg); break;
    }
}

/* ---- life ---- */

void vga_reset(struct vga *s)
{
    struct bus_clock *clock = s->clock;
    struct region *vram = s->vram;
    uint8_t *mem = s->mem;
    uint32_t size = s->mem_size;
    memset(s, 0, sizeof *s);
    s->clock = clock, s->vram = vram, s->mem = mem, s->mem_size = size;
    s->dac_mask = 0xff;
    s->vbe[VBE_ID] = VBE_VERSION;
    s->vbe[VBE_BPP] = 8;
}

int vga_check(const struct vga *s, struct error *e)
{
    struct vga fixed = *s;
    fix_screen(&fixed);
    if (s->seq_index > 7 || s->gfx_index > 15 || s->dac_sub > 2)
        return error_set(e, "vga: an index is out of range");
    if (memcmp(fixed.vbe, s->vbe, sizeof s->vbe) || s->vbe[VBE_XRES] > VGA_MAX_X ||
        (uint32_t)s->vbe[VBE_BANK] << 16 >= s->mem_size)
        return error_set(e, "vga: the screen does not fit into its memory");
    return 0;
}

const struct state_field vga_state[] = {
    STATE_INT(struct vga, misc),       STATE_INT(struct vga, feature),
    STATE_INT(struct vga, seq_index),  STATE_ARR(struct vga, seq),
    STATE_INT(struct vga, gfx_index),  STATE_ARR(struct vga, gfx),
    STATE_INT(struct vga, attr_index), STATE_ARR(struct vga, attr),
    STATE_INT(struct vga, attr_data),  STATE_INT(struct vga, crtc_index),
    STATE_ARR(struct vga, crtc),       STATE_INT(struct vga, dac_state),
    STATE_INT(struct vga, dac_read),   STATE_INT(struct vga, dac_write),
    STATE_INT(struct vga, dac_sub),    STATE_INT(struct vga, dac_mask),
    STATE_ARR(struct vga, dac_cache),  STATE_ARR(struct vga, palette),
    STATE_ARR(struct vga, latch),      STATE_INT(struct vga, vbe_index),
    STATE_ARR(struct vga, vbe),        STATE_RUNTIME(struct vga, clock),
    STATE_RUNTIME(struct vga, vram),   STATE_RUNTIME(struct vga, mem),
    STATE_RUNTIME(struct vga, mem_size), STATE_END,
};
