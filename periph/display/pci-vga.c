/*
 * pci-vga.c - the standard VGA of virtual machines: on PCI ("VGA"): the VGA core, its memory as BAR 0,
 * and in BAR 2 the monitor's EDID, the VGA's ports and the VBE registers; on ISA ("isa-vga"): the core, and its memory where
 * firmware looks for it, at E0000000h.
 *
 * The layout of BAR 2 is the one that Linux's bochs-drm driver uses: EDID at 0, ports 3C0h to 3DFh at
 * 400h, VBE registers at 500h, extensions at 600h (which are only their size, here).
 */
#include "periph/display/vga.h"
#include "periph/pci/pci.h"
#include "periph/regions.h"
#include "util/log.h"

enum { BAR_MEMORY = 0, BAR_REGISTERS = 2 };
enum { R_EDID = 0x000, R_PORTS = 0x400, R_VBE = 0x500, R_EXT = 0x600, R_SIZE = 0x1000 };
enum { EDID_SIZE = 128 };

struct pci_vga {
    struct device dev;
    struct pci_func pci;
    uint32_t memory_mb, xres, yres;
    struct vga vga;
    uint8_t edid[EDID_SIZE];
    struct display display;
};

static struct pci_vga *of(void *d)
{
    return d;
}

struct isa_vga {
    struct device dev;
    uint32_t memory_mb;
    struct vga vga;
    struct display display;
};

static struct vga *core(struct device *d)
{
    return d->desc->bus == BUS_ISA ? &((struct isa_vga *)d)->vga : &((struct pci_vga *)d)->vga;
}

/* ---- ports ---- */

static uint64_t port_read(void *opaque, uint64_t addr, unsigned size)
{
    return vga_port_read(core(opaque), 0x3b0 + (unsigned)addr);
}

static void port_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    vga_port_write(core(opaque), 0x3b0 + (unsigned)addr, (uint8_t)value);
}

static const struct mmio_ops port_ops = {.read = port_read,
                                         .write = port_write,
                                         .min_size = 1,
                                         .max_size = 4,
                                         .impl_min = 1,
                                         .impl_max = 1};

/* Words: the index at 1CEh, data at 1CFh (an odd port) and 1D0h. */
static uint64_t vbe_port_read(void *opaque, uint64_t addr, unsigned size)
{
    struct vga *s = core(opaque);
    if (size != 2) return 0xff;
    return addr ? vbe_read(s, s->vbe_index) : s->vbe_index;
}

static void vbe_port_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct vga *s = core(opaque);
    if (size != 2) return;
    if (addr)
        vbe_write(s, s->vbe_index, (uint16_t)value);
    else
        s->vbe_index = (uint16_t)value;
}

static const struct mmio_ops vbe_ops = {.read = vbe_port_read,
                                        .write = vbe_port_write,
                                        .min_size = 1,
                                        .max_size = 2,
                                        .unaligned = true};

/* ---- memory ---- */

static uint64_t window_read(void *opaque, uint64_t addr, unsigned size)
{
    return vga_mem_read(core(opaque), (uint32_t)addr);
}

static void window_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    vga_mem_write(core(opaque), (uint32_t)addr, (uint8_t)value);
}

static const struct mmio_ops window_ops = {.read = window_read,
                                           .write = window_write,
                                           .min_size = 1,
                                           .max_size = 8,
                                           .impl_min = 1,
                                           .impl_max = 1};

/* ---- BAR 2 ---- */

static uint64_t reg_read(void *opaque, uint64_t addr, unsigned size)
{
    struct pci_vga *s = opaque;
    unsigned at = (unsigned)addr;
    uint64_t v = 0;
    if (at >= R_VBE && at < R_VBE + 2 * VBE_REGS && size == 2) return vbe_read(&s->vga, (at - R_VBE) / 2);
    if (at >= R_EXT && at < R_EXT + 4) return 4u >> 8 * (at - R_EXT);
    for (unsigned i = 0; i < size; i++, at++) {
        uint64_t b = 0;
        if (at < EDID_SIZE)
            b = s->edid[at];
        else if (at >= R_PORTS && at < R_PORTS + 0x20)
            b = vga_port_read(&s->vga, 0x3c0 + at - R_PORTS);
        v |= b << (8 * i);
    }
    return v;
}

static void reg_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pci_vga *s = opaque;
    unsigned at = (unsigned)addr;
    if (at >= R_VBE && at < R_VBE + 2 * VBE_REGS && size == 2)
        vbe_write(&s->vga, (at - R_VBE) / 2, (uint16_t)value);
    for (unsigned i = 0; i < size && at + i >= R_PORTS && at + i < R_PORTS + 0x20; i++)
        vga_port_write(&s->vga, 0x3c0 + at + i - R_PORTS, (uint8_t)(value >> (8 * i)));
}

static const struct mmio_ops reg_ops = {.read = reg_read,
                                        .write = reg_write,
                                        .min_size = 1,
                                        .max_size = 8,
                                        .impl_min = 1,
                                        .impl_max = 4};

/* ---- life ---- */

/* The addresses that every VGA has; its picture becomes the machine's. */
static int legacy(struct device *d, struct display *display, struct error *e)
{
    periph_make_mmio(d, 0, "vga-lowmem", 0x20000, &window_ops);
    region_add(d->mb->mem_root, d->mmio[0], 0xa0000, 1);
    if (periph_map_ports(d, 1, "vga", 0x3b0, 0x30, &port_ops, e)) return -1;
    if (periph_map_ports(d, 2, "vbe", 0x1ce, 4, &vbe_ops, e)) return -1;
    display->draw = vga_draw, display->opaque = core(d);
    if (!d->mb->display) d->mb->display = display;
    return 0;
}

static int pci_vga_realize(struct device *d, struct error *e)
{
    struct pci_vga *s = of(d);
    if (!s->memory_mb || s->memory_mb > 256 || (s->memory_mb & (s->memory_mb - 1)))
        return error_set(e, "VGA.vgamem_mb: %u is not a power of two from 1 to 256", s->memory_mb);
    if (s->xres < 640 || s->yres < 480 || s->xres > 4095 || s->yres > 4095)
        return error_set(e, "VGA: the preferred mode is to be between 640x480 and 4095x4095");
    if (pci_realize(pci_device(d), e)) return -1;
    uint32_t size = s->memory_mb << 20;
    struct region *vram = region_new_ram("vga.vram", size, e);
    if (!vram) return -1;
    s->vga.clock = d->clock, s->vga.vram = vram;
    s->vga.mem = region_ram(vram), s->vga.mem_size = size;
    pci_set_bar(pci_device(d), BAR_MEMORY, PCI_BAR_MEM_PREFETCH, vram);
    pci_set_bar(pci_device(d), BAR_REGISTERS, PCI_BAR_MEM,
                region_new_mmio("vga.mmio", R_SIZE, &reg_ops, s));
    edid_make(s->edid, s->xres, s->yres);
    return legacy(d, &s->display, e);
}

static void pci_vga_unrealize(struct device *d)
{
    struct pci_vga *s = of(d);
    if (d->mb->display == &s->display) d->mb->display = NULL;
    periph_drop_regions(d);
    pci_unrealize(pci_device(d));
    s->vga.mem = NULL, s->vga.vram = NULL;
}

static void pci_vga_reset(struct device *d)
{
    struct pci_vga *s = of(d);
    pci_reset(pci_device(d));
    vga_reset(&s->vga);
}

static int pci_vga_post_load(struct device *d, struct error *e)
{
    pci_post_load(pci_device(d));
    return vga_check(&of(d)->vga, e);
}

static const struct prop_desc props[] = {
    PCI_PROPS(struct pci_vga),
    PROP(struct pci_vga, PROP_U32, "vgamem_mb", memory_mb, 16, "video memory in MiB"),
    PROP(struct pci_vga, PROP_U32, "xres", xres, 1280, "width of the monitor's preferred mode"),
    PROP(struct pci_vga, PROP_U32, "yres", yres, 800, "height of the monitor's preferred mode"),
    PROP_END,
};
static const struct state_field state[] = {
    PCI_STATE(struct pci_vga),
    STATE_PROP(struct pci_vga, memory_mb),
    STATE_PROP(struct pci_vga, xres),
    STATE_PROP(struct pci_vga, yres),
    STATE_STRUCT(struct pci_vga, vga, 1, vga_state),
    STATE_RUNTIME(struct pci_vga, edid),
    STATE_RUNTIME(struct pci_vga, display),
    STATE_END,
};
static const struct pci_dev_desc pci = {.vendor = 0x1234,
                                        .device = 0x1111,
                                        .class_code = 0x030000,
                                        .revision = 2,
                                        .subvendor = 0x1af4,
                                        .subdevice = 0x1100};

const struct dev_desc pci_vga_desc = {
    .name = "VGA",
    .help = "standard VGA with VBE modes",
    .bus = BUS_PCI,
    .category = DEV_DISPLAY,
    .user_creatable = true,
    .size = sizeof(struct pci_vga),
    .props = props,
    .state = state,
    .realize = pci_vga_realize,
    .unrealize = pci_vga_unrealize,
    .reset = pci_vga_reset,
    .post_load = pci_vga_post_load,
    .bus_desc = &pci,
};

/* ---- on ISA ---- */

#define ISA_FRAME_BUFFER UINT64_C(0xe0000000)

static int isa_vga_realize(struct device *d, struct error *e)
{
    struct isa_vga *s = (struct isa_vga *)d;
    if (!s->memory_mb || s->memory_mb > 256 || (s->memory_mb & (s->memory_mb - 1)))
        return error_set(e, "isa-vga.vgamem_mb: %u is not a power of two from 1 to 256", s->memory_mb);
    uint32_t size = s->memory_mb << 20;
    struct region *vram = mb_own_region(d->mb, region_new_ram("vga.vram", size, e));
    if (!vram) return -1;
    s->vga.clock = d->clock, s->vga.vram = vram;
    s->vga.mem = region_ram(vram), s->vga.mem_size = size;
    region_add(d->mb->mem_root, vram, ISA_FRAME_BUFFER, 1);
    return legacy(d, &s->display, e);
}

static void isa_vga_unrealize(struct device *d)
{
    struct isa_vga *s = (struct isa_vga *)d;
    if (d->mb->display == &s->display) d->mb->display = NULL;
    periph_drop_regions(d);
    s->vga.mem = NULL, s->vga.vram = NULL;
}

static void isa_vga_reset(struct device *d)
{
    vga_reset(core(d));
}

static int isa_vga_post_load(struct device *d, struct error *e)
{
    return vga_check(core(d), e);
}

static const struct prop_desc isa_props[] = {
    PROP(struct isa_vga, PROP_U32, "vgamem_mb", memory_mb, 8, "video memory in MiB"),
    PROP_END,
};
static const struct state_field isa_state[] = {
    STATE_PROP(struct isa_vga, memory_mb),
    STATE_STRUCT(struct isa_vga, vga, 1, vga_state),
    STATE_RUNTIME(struct isa_vga, display),
    STATE_END,
};

const struct dev_desc isa_vga_desc = {
    .name = "isa-vga",
    .help = "standard VGA with VBE modes on the ISA bus",
    .bus = BUS_ISA,
    .category = DEV_DISPLAY,
    .size = sizeof(struct isa_vga),
    .props = isa_props,
    .state = isa_state,
    .realize = isa_vga_realize,
    .unrealize = isa_vga_unrealize,
    .reset = isa_vga_reset,
    .post_load = isa_vga_post_load,
};
