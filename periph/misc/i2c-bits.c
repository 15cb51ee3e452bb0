/*
 * i2c-bits.c - start and stop conditions, bytes and acknowledges out of the two lines of an I2C.
 *
 * Follows Philips' I2C-bus specification, standard mode with 7-bit addresses. Slaves do not stretch
 * the clock.
 */
#include "periph/misc/i2c-bits.h"

enum { I2C_IDLE, I2C_ADDRESS, I2C_WRITE, I2C_READ, I2C_IGNORE };

void i2c_bits_reset(struct i2c_bits *s)
{
    s->phase = I2C_IDLE;
    s->bits = s->shift = s->address = 0;
    s->reading = false;
    s->scl = s->sda = s->out = true;
}

/* SCL rose: a bit is valid. */
static void sample(struct i2c_bits *s)
{
    if (s->phase == I2C_IDLE || s->phase == I2C_IGNORE) return;
    if (s->bits < 8) {
        s->shift = (uint8_t)(s->shift << 1 | s->sda);
        s->bits++;
    } else if (s->phase == I2C_READ && s->sda) {
        s->phase = I2C_IGNORE; /* the host does not acknowledge: it wants no more */
    }
}

/* The slave's answer to a byte of the host; false: nobody acknowledges. */
static bool take_byte(struct i2c_bits *s)
{
    if (s->phase != I2C_ADDRESS) return smbus_send(s->bus, s->address, s->shift);
    s->address = s->shift >> 1;
    s->reading = s->shift & 1;
    return smbus_start(s->bus, s->address, s->reading);
}

/* SCL fell: the next bit is put on SDA. */
static void shift_out(struct i2c_bits *s)
{
    bool ack;

    if (s->phase == I2C_IDLE || s->phase == I2C_IGNORE) {
        s->out = true;
        return;
    }
    if (s->bits == 9 || (s->phase == I2C_ADDRESS && s->bits == 0)) {
        /* The acknowledge is over, or the start condition: a new byte begins. */
        if (s->bits == 9 && s->phase == I2C_ADDRESS) s->phase = s->reading ? I2C_READ : I2C_WRITE;
        s->bits = 0;
        if (s->phase == I2C_READ) s->shift = smbus_recv(s->bus, s->address);
    } else if (s->bits == 8) {
        s->bits = 9;
        if (s->phase == I2C_READ) {
            s->out = true; /* the host's turn */
            return;
        }
        ack = take_byte(s);
        s->out = !ack;
        if (!ack) s->phase = I2C_IGNORE;
        return;
    }
    s->out = s->phase != I2C_READ || (s->shift & 0x80);
}

void i2c_bits_drive(struct i2c_bits *s, bool scl, bool sda)
{
    bool old_scl = s->scl, old_sda = s->sda;

    s->scl = scl;
    s->sda = sda;
    if (old_scl && scl && old_sda != sda) {
        if (sda) { /* stop */
            if (s->phase != I2C_IDLE) smbus_stop(s->bus, s->address);
            s->phase = I2C_IDLE;
        } else { /* start, also a repeated one */
            s->phase = I2C_ADDRESS;
        }
        s->bits = s->shift = 0;
        s->out = true;
    } else if (!old_scl && scl) {
        sample(s);
    } else if (old_scl && !scl) {
        shift_out(s);
    }
}

const struct state_field i2c_bits_state[] = {
    STATE_RUNTIME(struct i2c_bits, bus), STATE_INT(struct i2c_bits, phase),
    STATE_INT(struct i2c_bits, bits),    STATE_INT(struct i2c_bits, shift),
    STATE_INT(struct i2c_bits, address), STATE_INT(struct i2c_bits, reading),
    STATE_INT(struct i2c_bits, scl),     STATE_INT(struct i2c_bits, sda),
    STATE_INT(struct i2c_bits, out),     STATE_END,
};
