/*
 * smbus.c - an SMBus: slaves, and the protocols a host controller speaks with them.
 *
 * Follows the System Management Bus specification, version 1.1. Not modelled: several hosts,
 * alerts, PEC.
 */
#include "periph/misc/smbus.h"

struct slave {
    uint8_t address;
    const struct smbus_slave_ops *ops;
    void *opaque;
    struct slave *next;
};

struct smbus {
    struct slave *first;
};

struct smbus *smbus_new(void)
{
    return NEW(struct smbus);
}

void smbus_delete(struct smbus *bus)
{
    if (!bus) return;
    while (bus->first)
        smbus_detach(bus, bus->first->opaque);
    mem_free(bus);
}

static struct slave *find(struct smbus *bus, uint8_t address)
{
    struct slave *s = bus->first;

    while (s && s->address != address)
        s = s->next;
    return s;
}

bool smbus_attach(struct smbus *bus, uint8_t address, const struct smbus_slave_ops *ops,
                  void *opaque)
{
    struct slave *s;

    if (address > 0x7f || find(bus, address)) return false;
    s = NEW(struct slave);
    s->address = address;
    s->ops = ops;
    s->opaque = opaque;
    s->next = bus->first;
    bus->first = s;
    return true;
}

void smbus_detach(struct smbus *bus, void *opaque)
{
    struct slave **p = &bus->first, *s;

    while (*p && (*p)->opaque != opaque)
        p = &(*p)->next;
    s = *p;
    if (!s) return;
    *p = s->next;
    mem_free(s);
}

bool smbus_start(struct smbus *bus, uint8_t address, bool read)
{
    struct slave *s = find(bus, address);

    return s && s->ops->start(s->opaque, read);
}

bool smbus_send(struct smbus *bus, uint8_t address, uint8_t byte)
{
    struct slave *s = find(bus, address);

    return s && s->ops->send(s->opaque, byte);
}

uint8_t smbus_recv(struct smbus *bus, uint8_t address)
{
    struct slave *s = find(bus, address);

    return s ? s->ops->recv(s->opaque) : 0xff;
}

void smbus_stop(struct smbus *bus, uint8_t address)
{
    struct slave *s = find(bus, address);

    if (s && s->ops->stop) s->ops->stop(s->opaque);
}

/* Start, n bytes to the slave; no stop. */
static bool send_all(struct smbus *bus, uint8_t address, const uint8_t *data, unsigned n)
{
    bool ok = smbus_start(bus, address, false);

    for (unsigned i = 0; ok && i < n; i++)
        ok = smbus_send(bus, address, data[i]);
    return ok;
}

static bool write_out(struct smbus *bus, uint8_t address, const uint8_t *data, unsigned n)
{
    bool ok = send_all(bus, address, data, n);

    smbus_stop(bus, address);
    return ok;
}

/* The command, a repeated start, n bytes from the slave. */
static bool read_in(struct smbus *bus, uint8_t address, uint8_t command, uint8_t *data, unsigned n)
{
    bool ok = send_all(bus, address, &command, 1) && smbus_start(bus, address, true);

    for (unsigned i = 0; ok && i < n; i++)
        data[i] = smbus_recv(bus, address);
    smbus_stop(bus, address);
    return ok;
}

bool smbus_quick(struct smbus *bus, uint8_t address, bool read)
{
    bool ok = smbus_start(bus, address, read);

    smbus_stop(bus, address);
    return ok;
}

bool smbus_send_byte(struct smbus *bus, uint8_t address, uint8_t byte)
{
    return write_out(bus, address, &byte, 1);
}

bool smbus_receive_byte(struct smbus *bus, uint8_t address, uint8_t *byte)
{
    bool ok = smbus_start(bus, address, true);

    if (ok) *byte = smbus_recv(bus, address);
    smbus_stop(bus, address);
    return ok;
}

bool smbus_write_byte(struct smbus *bus, uint8_t address, uint8_t command, uint8_t byte)
{
    const uint8_t data[2] = {command, byte};

    return write_out(bus, address, data, 2);
}

bool smbus_read_byte(struct smbus *bus, uint8_t address, uint8_t command, uint8_t *byte)
{
    return read_in(bus, address, command, byte, 1);
}

bool smbus_write_word(struct smbus *bus, uint8_t address, uint8_t command, uint16_t word)
{
    const uint8_t data[3] = {command, (uint8_t)word, (uint8_t)(word >> 8)};

    return write_out(bus, address, data, 3);
}

bool smbus_read_word(struct smbus *bus, uint8_t address, uint8_t command, uint16_t *word)
{
    uint8_t data[2];

    if (!read_in(bus, address, command, data, 2)) return false;
    *word = (uint16_t)(data[0] | data[1] << 8);
    return true;
}

bool smbus_write_block(struct smbus *bus, uint8_t address, uint8_t command, const uint8_t *data,
                       uint8_t n)
{
    uint8_t all[34] = {command, n};

    if (n < 1 || n > 32) return false;
    memcpy(all + 2, data, n);
    return write_out(bus, address, all, n + 2u);
}

bool smbus_read_block(struct smbus *bus, uint8_t address, uint8_t command, uint8_t data[32],
                      uint8_t *n)
{
    bool ok = send_all(bus, address, &command, 1) && smbus_start(bus, address, true);

    if (ok) *n = smbus_recv(bus, address);
    ok = ok && *n >= 1 && *n <= 32;
    for (unsigned i = 0; ok && i < *n; i++)
        data[i] = smbus_recv(bus, address);
    smbus_stop(bus, address);
    return ok;
}
