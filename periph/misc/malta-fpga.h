/*
 * malta-fpga.h - the board registers of a MIPS Malta ("malta-fpga"): 1 MiB at 0x1f000000.
 *
 * Region 0 is mapped by the board, which puts the CBUS UART (serial-mm) above it at offset 0x900.
 * SOFTRES asks the machine for a reset.
 */
#ifndef PERIPH_MISC_MALTA_FPGA_H
#define PERIPH_MISC_MALTA_FPGA_H

#include "bus/dev.h"
#include "periph/misc/smbus.h"

/* The I2C that the FPGA's pins drive: boards attach EEPROMs. It lives as long as the device. */
struct smbus *malta_fpga_i2c(struct device *d);
/* The eight characters of the display and the bar of eight LEDs. */
void malta_fpga_display(struct device *d, char text[9], uint8_t *leds);

#endif
