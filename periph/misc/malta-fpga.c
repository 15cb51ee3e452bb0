/*
 * malta-fpga.c - switches, LEDs, display, reset and I2C pins of the MIPS Malta board.
 *
 * Follows the register map of MIPS Technologies' Malta User's Manual (MD00048), chapter "FPGA
 * registers". With a character backend the display is written there as one line, "[LEDs] text",
 * whenever it changes. The CBUS UART at 0x900 is a device of its own.
 */
#include "periph/misc/malta-fpga.h"

#include "chardev/chardev.h"
#include "periph/misc/i2c-bits.h"
#include "periph/regions.h"
#include "util/log.h"

#include <inttypes.h>

enum {
    FPGA_SIZE = 0x100000,
    NMISTATUS = 0x24,
    NMIACK = 0x104,
    SWITCH = 0x200,
    STATUS = 0x208,
    JMPRS = 0x210,
    LEDGREEN = 0x400,
    LEDBAR = 0x408,
    ASCIIWORD = 0x410,
    ASCIIPOS0 = 0x418,
    ASCIIPOS7 = 0x450,
    SOFTRES = 0x500,
    BRKRES = 0x508,
    GPOUT = 0xa00,
    GPINP = 0xa08,
    I2CINP = 0xb00,
    I2COE = 0xb08,
    I2COUT = 0xb10,
    I2CSEL = 0xb18,
};
enum { STATUS_BIGEND = 2, GO_RESET = 0x42, I2C_SDA = 1, I2C_SCL = 2 };

struct malta_fpga {
    struct device dev;
    struct chardev *chr;
    uint8_t switches; /* as set on the board */
    bool big_endian;
    bool attached;
    uint8_t leds, brkres;
    char text[8];
    uint32_t gpout;
    uint32_t i2coe, i2cout, i2csel;
    struct i2c_bits i2c;
    struct smbus *bus;
};

static void show(struct malta_fpga *s)
{
    char line[32];
    unsigned n = 0;

    if (!s->attached) return;
    line[n++] = '\r';
    line[n++] = '[';
    for (int i = 7; i >= 0; i--)
        line[n++] = s->leds & (1u << i) ? '*' : '.';
    line[n++] = ']';
    line[n++] = ' ';
    for (unsigned i = 0; i < sizeof s->text; i++)
        line[n++] = s->text[i] >= ' ' && s->text[i] <= '~' ? s->text[i] : ' ';
    chr_write_all(s->chr, s, (const uint8_t *)line, (int)n);
}

static void set_char(struct malta_fpga *s, unsigned i, char c)
{
    if (s->text[i] == c) return;
    s->text[i] = c;
    show(s);
}

static void set_word(struct malta_fpga *s, uint32_t v)
{
    static const char digits[] = "0123456789ABCDEF";

    for (unsigned i = 0; i < 8; i++)
        s->text[i] = digits[v >> (28 - 4 * i) & 15];
    show(s);
}

/* Open drain: a line is low when it is enabled as output and its bit is 0. */
static void drive_i2c(struct malta_fpga *s)
{
    uint32_t low = s->i2coe & ~s->i2cout;

    i2c_bits_drive(&s->i2c, !(low & I2C_SCL), !(low & I2C_SDA));
}

static uint64_t fpga_read(void *opaque, uint64_t addr, unsigned size)
{
    struct malta_fpga *s = opaque;

    (void)size;
    if (addr >= ASCIIPOS0 && addr <= ASCIIPOS7 && !(addr & 7))
        return (uint8_t)s->text[(addr - ASCIIPOS0) / 8];
    switch (addr) {
    case NMISTATUS:
    case NMIACK: return 0; /* no button causes an NMI */
    case SWITCH: return s->switches;
    case STATUS: return s->big_endian ? STATUS_BIGEND : 0;
    case JMPRS: return 0; /* PCI at 33 MHz */
    case LEDBAR: return s->leds;
    case LEDGREEN:
    case ASCIIWORD:
    case SOFTRES: return 0; /* write only */
    case BRKRES: return s->brkres;
    case GPOUT: return s->gpout;
    case GPINP: return 0;
    case I2CINP: return (s->i2c.scl ? I2C_SCL : 0) | (i2c_bits_sda(&s->i2c) ? I2C_SDA : 0);
    case I2COE: return s->i2coe;
    case I2COUT: return s->i2cout;
    case I2CSEL: return s->i2csel;
    default:
        LOG(GUEST_ERRORS, "malta-fpga: read of unknown register 0x%05" PRIx64 "\n", addr);
        return 0;
    }
}

static void fpga_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct malta_fpga *s = opaque;
    uint32_t v = (uint32_t)value;

    (void)size;
    if (addr >= ASCIIPOS0 && addr <= ASCIIPOS7 && !(addr & 7)) {
        set_char(s, (unsigned)(addr - ASCIIPOS0) / 8, (char)v);
        return;
    }
    switch (addr) {
    case NMIACK:
    case LEDGREEN: break;
    case LEDBAR:
        if (s->leds == (uint8_t)v) break;
        s->leds = (uint8_t)v;
        show(s);
        break;
    case ASCIIWORD: set_word(s, v); break;
    case SOFTRES:
        if (v == GO_RESET && s->dev.mb->request) s->dev.mb->request(s->dev.mb, MB_RESET);
        break;
    case BRKRES:
        s->brkres = (uint8_t)v;
        break; /* ms of break that reset the board; breaks do not do so here */
    case GPOUT: s->gpout = v; break;
    case I2COE:
        s->i2coe = v & 3;
        drive_i2c(s);
        break;
    case I2COUT:
        s->i2cout = v & 3;
        drive_i2c(s);
        break;
    case I2CSEL: s->i2csel = v & 1; break;
    default:
        LOG(GUEST_ERRORS, "malta-fpga: write of 0x%" PRIx32 " to register 0x%05" PRIx64 "\n", v,
            addr);
        break;
    }
}

struct smbus *malta_fpga_i2c(struct device *d)
{
    return ((struct malta_fpga *)d)->bus;
}

void malta_fpga_display(struct device *d, char text[9], uint8_t *leds)
{
    struct malta_fpga *s = (struct malta_fpga *)d;

    memcpy(text, s->text, 8);
    text[8] = 0;
    *leds = s->leds;
}

static int no_input(void *opaque)
{
    (void)opaque;
    return 0;
}

static void drop_input(void *opaque, const uint8_t *buf, int n)
{
    (void)opaque, (void)buf, (void)n;
}

/* Registers take the CPU's byte order, as the system controller in between swaps. */
static const struct mmio_ops ops_le = {.read = fpga_read,
                                       .write = fpga_write,
                                       .min_size = 1,
                                       .max_size = 8,
                                       .impl_min = 4,
                                       .impl_max = 4};
static const struct mmio_ops ops_be = {.read = fpga_read,
                                       .write = fpga_write,
                                       .min_size = 1,
                                       .max_size = 8,
                                       .impl_min = 4,
                                       .impl_max = 4,
                                       .big_endian = true};

static int fpga_realize(struct device *d, struct error *e)
{
    struct malta_fpga *s = (struct malta_fpga *)d;
    const struct chr_frontend fe = {no_input, drop_input, NULL, s};

    if (s->chr) {
        if (chr_attach(s->chr, &fe, e) < 0) return -1;
        s->attached = true;
    }
    s->i2c.bus = s->bus = smbus_new();
    periph_make_mmio(d, 0, "malta-fpga", FPGA_SIZE, s->big_endian ? &ops_be : &ops_le);
    return 0;
}

static void fpga_unrealize(struct device *d)
{
    struct malta_fpga *s = (struct malta_fpga *)d;

    if (s->attached) chr_detach(s->chr, s);
    s->attached = false;
    smbus_delete(s->bus);
    s->bus = s->i2c.bus = NULL;
    periph_drop_regions(d);
}

static void fpga_reset(struct device *d)
{
    struct malta_fpga *s = (struct malta_fpga *)d;

    memset(s->text, ' ', sizeof s->text);
    i2c_bits_reset(&s->i2c);
    show(s);
}

static int fpga_post_load(struct device *d, struct error *e)
{
    struct malta_fpga *s = (struct malta_fpga *)d;

    if (s->i2c.bits > 9 || s->i2c.address > 0x7f)
        return error_set(e, "malta-fpga: I2C bit %u", s->i2c.bits);
    show(s);
    return 0;
}

static const struct prop_desc props[] = {
    PROP(struct malta_fpga, PROP_CHR, "chardev", chr, 0, "where the display is shown"),
    PROP(struct malta_fpga, PROP_U8, "switches", switches, 0, "the DIP switches S2"),
    PROP(struct malta_fpga, PROP_BOOL, "big-endian", big_endian, 0, "byte order of the board"),
    PROP_END,
};

static const struct state_field state[] = {
    STATE_RUNTIME(struct malta_fpga, attached),
    STATE_INT_RESET(struct malta_fpga, leds, 0),
    STATE_INT_RESET(struct malta_fpga, brkres, 0x0a),
    STATE_ARR(struct malta_fpga, text),
    STATE_INT_RESET(struct malta_fpga, gpout, 0),
    STATE_INT_RESET(struct malta_fpga, i2coe, 0),
    STATE_INT_RESET(struct malta_fpga, i2cout, 3),
    STATE_INT_RESET(struct malta_fpga, i2csel, 1),
    STATE_STRUCT(struct malta_fpga, i2c, 1, i2c_bits_state),
    STATE_RUNTIME(struct malta_fpga, bus),
    STATE_END,
};

static const struct reg_desc regs[] = {
    {NMISTATUS, "NMISTATUS", 4},
    {NMIACK, "NMIACK", 4},
    {SWITCH, "SWITCH", 4},
    {STATUS, "STATUS", 4},
    {JMPRS, "JMPRS", 4},
    {LEDGREEN, "LEDGREEN", 4},
    {LEDBAR, "LEDBAR", 4},
    {ASCIIWORD, "ASCIIWORD", 4},
    {0x418, "ASCIIPOS0", 4},
    {0x420, "ASCIIPOS1", 4},
    {0x428, "ASCIIPOS2", 4},
    {0x430, "ASCIIPOS3", 4},
    {0x438, "ASCIIPOS4", 4},
    {0x440, "ASCIIPOS5", 4},
    {0x448, "ASCIIPOS6", 4},
    {0x450, "ASCIIPOS7", 4},
    {SOFTRES, "SOFTRES", 4},
    {BRKRES, "BRKRES", 4},
    {GPOUT, "GPOUT", 4},
    {GPINP, "GPINP", 4},
    {I2CINP, "I2CINP", 4},
    {I2COE, "I2COE", 4},
    {I2COUT, "I2COUT", 4},
    {I2CSEL, "I2CSEL", 4},
    REG_END,
};

const struct dev_desc malta_fpga_desc = {
    .name = "malta-fpga",
    .help = "board registers of the MIPS Malta",
    .bus = BUS_SYSTEM,
    .category = DEV_MISC,
    .size = sizeof(struct malta_fpga),
    .props = props,
    .state = state,
    .regs = regs,
    .realize = fpga_realize,
    .unrealize = fpga_unrealize,
    .reset = fpga_reset,
    .post_load = fpga_post_load,
};
