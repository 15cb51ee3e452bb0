/*
 * i2c-bits.h - the receiving end of an I2C whose two lines a guest drives bit by bit.
 */
#ifndef PERIPH_MISC_I2C_BITS_H
#define PERIPH_MISC_I2C_BITS_H

#include "bus/state.h"
#include "periph/misc/smbus.h"

/* Embed with STATE_STRUCT(S, f, 1, i2c_bits_state). */
struct i2c_bits {
    struct smbus *bus; /* set by the owner */
    uint8_t phase;     /* enum in i2c-bits.c */
    uint8_t bits;      /* of the byte under way: 0..8; 9: the acknowledge */
    uint8_t shift;
    uint8_t address; /* 7 bits */
    bool reading;
    bool scl, sda; /* the lines as the host drives them */
    bool out;      /* SDA as the slave leaves it: false pulls it low */
};

extern const struct state_field i2c_bits_state[];

void i2c_bits_reset(struct i2c_bits *s);
/* The host's side of the lines changed (true: let go). */
void i2c_bits_drive(struct i2c_bits *s, bool scl, bool sda);
/* Level of SDA: low when either side pulls it. */
static inline bool i2c_bits_sda(const struct i2c_bits *s)
{
    return s->sda && s->out;
}

#endif
