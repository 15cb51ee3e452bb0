/*
 * smbus.h - an I2C or SMBus: slaves by address, transfers byte by byte, and the SMBus protocols of
 * a host controller.
 *
 * The bus keeps no state of its own: who transfers byte by byte remembers the address. Slaves are
 * devices that attach themselves; the bus belongs to the host controller's device, which must live
 * longer than they do.
 */
#ifndef PERIPH_MISC_SMBUS_H
#define PERIPH_MISC_SMBUS_H

#include "util/host.h"

struct smbus_slave_ops {
    bool (*start)(void *opaque,
                  bool read); /* addressed; false: no acknowledge. Also for a repeated start */
    bool (*send)(void *opaque, uint8_t byte); /* from the host; false: no acknowledge */
    uint8_t (*recv)(void *opaque);            /* to the host */
    void (*stop)(void *opaque);               /* may be NULL */
};

struct smbus;

struct smbus *smbus_new(void);
void smbus_delete(struct smbus *bus);
/* address: 7 bits. ops must stay. False: the address is taken. */
bool smbus_attach(struct smbus *bus, uint8_t address, const struct smbus_slave_ops *ops,
                  void *opaque);
void smbus_detach(struct smbus *bus, void *opaque);

/* Byte by byte. Without a slave at `address` there is no acknowledge, and reads give 0xff. */
bool smbus_start(struct smbus *bus, uint8_t address, bool read);
bool smbus_send(struct smbus *bus, uint8_t address, uint8_t byte);
uint8_t smbus_recv(struct smbus *bus, uint8_t address);
void smbus_stop(struct smbus *bus, uint8_t address);

/* The protocols of the SMBus specification, version 1.1. True: every byte was acknowledged. */
bool smbus_quick(struct smbus *bus, uint8_t address, bool read);
bool smbus_send_byte(struct smbus *bus, uint8_t address, uint8_t byte);
bool smbus_receive_byte(struct smbus *bus, uint8_t address, uint8_t *byte);
bool smbus_write_byte(struct smbus *bus, uint8_t address, uint8_t command, uint8_t byte);
bool smbus_read_byte(struct smbus *bus, uint8_t address, uint8_t command, uint8_t *byte);
bool smbus_write_word(struct smbus *bus, uint8_t address, uint8_t command, uint16_t word);
bool smbus_read_word(struct smbus *bus, uint8_t address, uint8_t command, uint16_t *word);
bool smbus_write_block(struct smbus *bus, uint8_t address, uint8_t command, const uint8_t *data,
                       uint8_t n); /* n: 1..32 */
/* The slave tells the count, 1..32: *n. */
bool smbus_read_block(struct smbus *bus, uint8_t address, uint8_t command, uint8_t data[32],
                      uint8_t *n);

/* "smbus-eeprom": plugs the device into a bus at its address; unplugged when it is destroyed. */
struct device;
struct error;
int smbus_eeprom_attach(struct device *eeprom, struct smbus *bus, struct error *e);
/* Contents, n <= 256; the rest becomes 0. Boards call it before the first reset. */
void smbus_eeprom_set_data(struct device *eeprom, const uint8_t *data, unsigned n);

#endif
