/*
 * smbus-eeprom.c - a 256-byte serial EEPROM such as memory modules carry ("smbus-eeprom").
 *
 * Follows Atmel's AT24C02 data sheet: the first byte written sets the address pointer, further ones
 * are stored, reads go on from the pointer. Writes take no time; the pointer wraps at 256 (the
 * part's 8-byte write page is not kept).
 */
#include "bus/dev.h"
#include "periph/misc/smbus.h"

struct eeprom {
    struct device dev;
    uint8_t address;
    bool readonly;
    uint8_t data[256];
    uint8_t pointer;
    bool want_pointer; /* the next byte written is the pointer */
    struct smbus *bus;
};

static bool ee_start(void *opaque, bool read)
{
    struct eeprom *s = opaque;

    s->want_pointer = !read;
    return true;
}

static bool ee_send(void *opaque, uint8_t byte)
{
    struct eeprom *s = opaque;

    if (s->want_pointer) {
        s->pointer = byte;
        s->want_pointer = false;
        return true;
    }
    if (s->readonly) return false;
    s->data[s->pointer++] = byte;
    return true;
}

static uint8_t ee_recv(void *opaque)
{
    struct eeprom *s = opaque;

    return s->data[s->pointer++];
}

static const struct smbus_slave_ops ee_ops = {ee_start, ee_send, ee_recv, NULL};

int smbus_eeprom_attach(struct device *eeprom, struct smbus *bus, struct error *e)
{
    struct eeprom *s = (struct eeprom *)eeprom;

    if (s->bus) smbus_detach(s->bus, s);
    s->bus = NULL;
    if (!smbus_attach(bus, s->address, &ee_ops, s))
        return error_set(e, "smbus-eeprom: address 0x%02x is taken or beyond 0x7f", s->address);
    s->bus = bus;
    return 0;
}

void smbus_eeprom_set_data(struct device *eeprom, const uint8_t *data, unsigned n)
{
    struct eeprom *s = (struct eeprom *)eeprom;

    memset(s->data, 0, sizeof s->data);
    memcpy(s->data, data, MIN(n, sizeof s->data));
}

static void ee_unrealize(struct device *d)
{
    struct eeprom *s = (struct eeprom *)d;

    if (s->bus) smbus_detach(s->bus, s);
    s->bus = NULL;
}

static const struct prop_desc props[] = {
    PROP(struct eeprom, PROP_U8, "address", address, 0x50, "7-bit address on the bus"),
    PROP(struct eeprom, PROP_BOOL, "readonly", readonly, 0, "write protected"),
    PROP_END,
};

static const struct state_field state[] = {
    STATE_PROP(struct eeprom, address),
    STATE_PROP(struct eeprom, readonly),
    STATE_ARR(struct eeprom, data), /* keeps through reset */
    STATE_INT_RESET(struct eeprom, pointer, 0),
    STATE_INT_RESET(struct eeprom, want_pointer, 0),
    STATE_RUNTIME(struct eeprom, bus),
    STATE_END,
};

const struct dev_desc smbus_eeprom_desc = {
    .name = "smbus-eeprom",
    .help = "serial EEPROM of 256 bytes",
    .bus = BUS_I2C,
    .category = DEV_STORAGE,
    .size = sizeof(struct eeprom),
    .props = props,
    .state = state,
    .unrealize = ee_unrealize,
};
