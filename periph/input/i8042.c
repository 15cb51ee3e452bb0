/*
 * i8042.c - the keyboard controller of PS/2 compatible PCs.
 *
 * Follows the keyboard/auxiliary device controller chapter of IBM's PS/2 Hardware Interface
 * Technical Reference, with the command set that SMSC's FDC37M81x data sheet lists. The 8042's own
 * program and RAM are seen only through their commands; passwords do not exist.
 */
#include "periph/input/i8042.h"

#include "periph/input/ps2.h"
#include "periph/regions.h"
#include "util/log.h"

enum { ST_OBF = 1, ST_IBF = 2, ST_SYS = 4, ST_CMD = 8, ST_UNLOCKED = 0x10, ST_AUX = 0x20 };
enum {
    CTR_KBD_INT = 1,
    CTR_AUX_INT = 2,
    CTR_SYS = 4,
    CTR_KBD_OFF = 0x10,
    CTR_AUX_OFF = 0x20,
    CTR_XLATE = 0x40
};
enum { OUT_RUN = 1, OUT_A20 = 2, OUT_KBD_IRQ = 0x10, OUT_AUX_IRQ = 0x20 };
enum { INPUT_KBD, INPUT_MOUSE };

struct i8042 {
    struct device dev;
    uint16_t iobase;
    /* state */
    uint8_t ram[32]; /* byte 0 is the command byte */
    uint8_t out_port;
    uint8_t data;        /* output buffer */
    uint8_t result;      /* of a command, waiting for the buffer to be free */
    uint8_t expect;      /* command that waits for its data byte; 0: none */
    bool full, from_aux; /* the output buffer */
    bool has_result, result_aux;
    bool last_cmd; /* last write was to the command port */
    bool release;  /* F0 came from the keyboard: translation marks the next code */
    /* runtime */
    struct device *kbd, *mouse;
    struct irq_line irq[3];
};

static void drive(struct i8042 *s)
{
    irq_set(&s->irq[I8042_IRQ_KBD], s->full && !s->from_aux && (s->ram[0] & CTR_KBD_INT));
    irq_set(&s->irq[I8042_IRQ_MOUSE], s->full && s->from_aux && (s->ram[0] & CTR_AUX_INT));
    irq_set(&s->irq[I8042_A20], s->out_port & OUT_A20);
}

static void put(struct i8042 *s, uint8_t v, bool aux)
{
    s->data = v;
    s->full = true;
    s->from_aux = aux;
}

/* Takes the next byte of the keyboard; false: it was swallowed. */
static bool take_key(struct i8042 *s, uint8_t *v)
{
    *v = ps2_read(s->kbd);
    if (!(s->ram[0] & CTR_XLATE)) return true;
    if (*v == 0xf0) {
        s->release = true;
        return false;
    }
    *v = *v < 0x80 ? ps2_set2_to_set1[*v] : *v == 0x83 ? 0x41 : *v == 0x84 ? 0x54 : *v;
    if (s->release) *v |= 0x80;
    s->release = false;
    return true;
}

/* Fills the output buffer when it is free. */
static void refill(struct i8042 *s)
{
    uint8_t v;

    if (!s->full && s->has_result) {
        s->has_result = false;
        put(s, s->result, s->result_aux);
    }
    while (!s->full && !(s->ram[0] & CTR_KBD_OFF) && ps2_has_data(s->kbd))
        if (take_key(s, &v)) put(s, v, false);
    if (!s->full && !(s->ram[0] & CTR_AUX_OFF) && ps2_has_data(s->mouse))
        put(s, ps2_read(s->mouse), true);
    drive(s);
}

static void i8042_input(void *opaque, unsigned n, bool level)
{
    struct i8042 *s = opaque;

    (void)n;
    /* Bytes are fetched when the device has them and the buffer is free; a fetch itself moves the
     * line. */
    if (level && s->kbd && s->mouse && !s->full) refill(s);
}

static void result(struct i8042 *s, uint8_t v, bool aux)
{
    s->result = v;
    s->has_result = true;
    s->result_aux = aux;
}

static void request_reset(struct i8042 *s)
{
    if (s->dev.mb->request) s->dev.mb->request(s->dev.mb, MB_RESET);
}

static void write_out_port(struct i8042 *s, uint8_t v)
{
    s->out_port = (v | OUT_RUN) & (uint8_t) ~(OUT_KBD_IRQ | OUT_AUX_IRQ);
    if (!(v & OUT_RUN)) request_reset(s);
}

static void write_ctr(struct i8042 *s, uint8_t v)
{
    s->ram[0] = v;
    drive(s);
}

static void command(struct i8042 *s, uint8_t v)
{
    s->expect = 0;
    s->last_cmd = true;
    if (v >= 0x20 && v <= 0x3f) {
        result(s, s->ram[v & 0x1f], false);
    } else if (v >= 0x60 && v <= 0x7f) {
        s->expect = v;
    } else if (v >= 0xf0) { /* pulses bits 0..3 that are zero */
        if (!(v & 1)) request_reset(s);
    } else {
        switch (v) {
        case 0xa4: result(s, 0xf1, false); break; /* no password */
        case 0xa7: s->ram[0] |= CTR_AUX_OFF; break;
        case 0xa8: s->ram[0] &= (uint8_t)~CTR_AUX_OFF; break;
        case 0xa9:
        case 0xab: result(s, 0, false); break; /* interface tests: fine */
        case 0xaa:
            /* The test leaves both interfaces off, and reports 55h. */
            s->ram[0] = CTR_SYS | CTR_KBD_OFF | CTR_AUX_OFF | (s->ram[0] & CTR_XLATE);
            result(s, 0x55, false);
            break;
        case 0xad: s->ram[0] |= CTR_KBD_OFF; break;
        case 0xae: s->ram[0] &= (uint8_t)~CTR_KBD_OFF; break;
        case 0xc0: result(s, 0x80, false); break; /* input port: keyboard not locked */
        case 0xd0:
            result(s,
                   s->out_port | (s->full && !s->from_aux ? OUT_KBD_IRQ : 0) |
                       (s->full && s->from_aux ? OUT_AUX_IRQ : 0),
                   false);
            break;
        case 0xd1:
        case 0xd2:
        case 0xd3:
        case 0xd4: s->expect = v; break;
        case 0xdd: s->out_port &= (uint8_t)~OUT_A20; break;
        case 0xdf: s->out_port |= OUT_A20; break;
        case 0xe0: result(s, 0, false); break; /* test inputs: clock lines low, nothing held */
        default: LOG(GUEST_ERRORS, "i8042: unknown command 0x%02x\n", v); break;
        }
    }
    refill(s);
}

static void data_write(struct i8042 *s, uint8_t v)
{
    uint8_t expect = s->expect;

    s->expect = 0;
    s->last_cmd = false;
    if (expect >= 0x60 && expect <= 0x7f) {
        if (expect == 0x60)
            write_ctr(s, v);
        else
            s->ram[expect & 0x1f] = v;
    } else {
        switch (expect) {
        case 0xd1: write_out_port(s, v); break;
        case 0xd2: result(s, v, false); break;
        case 0xd3: result(s, v, true); break;
        case 0xd4: ps2_write(s->mouse, v); break;
        default: ps2_write(s->kbd, v); break;
        }
    }
    refill(s);
}

static uint64_t i8042_read_data(void *opaque, uint64_t addr, unsigned size)
{
    struct i8042 *s = opaque;
    uint8_t v = s->data;

    (void)addr, (void)size;
    s->full = false;
    drive(s);
    refill(s);
    return v;
}

static void i8042_write_data(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)addr, (void)size;
    data_write(opaque, (uint8_t)value);
}

static uint64_t i8042_read_status(void *opaque, uint64_t addr, unsigned size)
{
    struct i8042 *s = opaque;

    (void)addr, (void)size;
    return ST_UNLOCKED | (s->full ? ST_OBF : 0) | (s->full && s->from_aux ? ST_AUX : 0) |
           (s->ram[0] & CTR_SYS ? ST_SYS : 0) | (s->last_cmd ? ST_CMD : 0);
}

static void i8042_write_command(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)addr, (void)size;
    command(opaque, (uint8_t)value);
}

struct device *i8042_kbd(struct device *d)
{
    return ((struct i8042 *)d)->kbd;
}

struct device *i8042_mouse(struct device *d)
{
    return ((struct i8042 *)d)->mouse;
}

static const struct mmio_ops data_ops = {
    .read = i8042_read_data, .write = i8042_write_data, .impl_min = 1, .impl_max = 1};
static const struct mmio_ops cmd_ops = {
    .read = i8042_read_status, .write = i8042_write_command, .impl_min = 1, .impl_max = 1};

static int i8042_realize(struct device *d, struct error *e)
{
    struct i8042 *s = (struct i8042 *)d;

    s->kbd = dev_make(d->mb, "ps2-kbd", d, e);
    s->mouse = s->kbd ? dev_make(d->mb, "ps2-mouse", d, e) : NULL;
    if (!s->mouse) return -1;
    dev_connect(s->kbd, 0, d, INPUT_KBD);
    dev_connect(s->mouse, 0, d, INPUT_MOUSE);
    if (periph_map_ports(d, 0, "i8042-data", s->iobase, 1, &data_ops, e) < 0) return -1;
    return periph_map_ports(d, 1, "i8042-cmd", s->iobase + 4u, 1, &cmd_ops, e);
}

static void i8042_reset(struct device *d)
{
    drive((struct i8042 *)d);
}

static int i8042_post_load(struct device *d, struct error *e)
{
    (void)e;
    drive((struct i8042 *)d);
    return 0;
}

static const struct prop_desc props[] = {
    PROP(struct i8042, PROP_U16, "iobase", iobase, 0x60,
         "data port; the command port is four above"),
    PROP_END,
};

static const struct state_field state[] = {
    STATE_PROP(struct i8042, iobase),
    STATE_ARR_RESET(struct i8042, ram, 0),
    STATE_INT_RESET(struct i8042, out_port, 0xcf),
    STATE_INT_RESET(struct i8042, data, 0),
    STATE_INT_RESET(struct i8042, result, 0),
    STATE_INT_RESET(struct i8042, expect, 0),
    STATE_INT_RESET(struct i8042, full, 0),
    STATE_INT_RESET(struct i8042, from_aux, 0),
    STATE_INT_RESET(struct i8042, has_result, 0),
    STATE_INT_RESET(struct i8042, result_aux, 0),
    STATE_INT_RESET(struct i8042, last_cmd, 0),
    STATE_INT_RESET(struct i8042, release, 0),
    STATE_RUNTIME(struct i8042, kbd),
    STATE_RUNTIME(struct i8042, mouse),
    STATE_RUNTIME(struct i8042, irq),
    STATE_END,
};

static const struct reg_desc regs[] = {
    {0, "data", 1},
    {4, "status/command", 1},
    REG_END,
};

const struct dev_desc i8042_desc = {
    .name = "i8042",
    .help = "PC keyboard and mouse controller",
    .bus = BUS_ISA,
    .category = DEV_INPUT,
    .size = sizeof(struct i8042),
    .props = props,
    .state = state,
    .regs = regs,
    .realize = i8042_realize,
    .unrealize = periph_drop_regions,
    .reset = i8042_reset,
    .post_load = i8042_post_load,
    .irq_offset = offsetof(struct i8042, irq),
    .n_irqs = 3,
    .input = i8042_input,
    .n_inputs = 2,
};
