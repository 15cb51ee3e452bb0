/*
 * piix4_smbus.c - the SMBus host controller of the 82371AB (PIIX4), data sheet chapter 7.3.
 * Transactions take no time; completion is seen by polling or, in an ICH9, by its interrupt. The PIIX4's (IRQ 9 or SMI#)
 * is not modelled, nor is the slave interface.
 */
#include "periph/pci/piix4_smbus.h"

#include "util/log.h"

enum {
    SMB_STS = 0,
    SMB_SLVSTS = 1,
    SMB_CNT = 2,
    SMB_CMD = 3,
    SMB_ADD = 4,
    SMB_DAT0 = 5,
    SMB_DAT1 = 6,
    SMB_BLKDAT = 7,
    SMB_SLAVE = 8
};
enum { STS_BUSY = 1, STS_INTR = 2, STS_DEV_ERR = 4, STS_FAILED = 16 };
enum {
    CNT_INTREN = 1,
    CNT_KILL = 2,
    CNT_START = 0x40,
    PROTO_QUICK = 0,
    PROTO_BYTE = 1,
    PROTO_BYTE_DATA = 2,
    PROTO_WORD_DATA = 3,
    PROTO_BLOCK = 5
};

static bool word_data(struct smbus_host *s, uint8_t addr, bool read)
{
    uint16_t w = (uint16_t)(s->data0 | s->data1 << 8);
    if (!read) return smbus_write_word(s->bus, addr, s->command, w);
    bool ok = smbus_read_word(s->bus, addr, s->command, &w);
    s->data0 = (uint8_t)w, s->data1 = (uint8_t)(w >> 8);
    return ok;
}

static bool block_data(struct smbus_host *s, uint8_t addr, bool read)
{
    s->index = 0;
    if (read) return smbus_read_block(s->bus, addr, s->command, s->block, &s->data0);
    if (!s->data0 || s->data0 > sizeof s->block) return false;
    return smbus_write_block(s->bus, addr, s->command, s->block, s->data0);
}

static void start(struct smbus_host *s)
{
    uint8_t addr = s->address >> 1;
    bool read = s->address & 1, ok;
    switch (s->control >> 2 & 7) {
    case PROTO_QUICK: ok = smbus_quick(s->bus, addr, read); break;
    case PROTO_BYTE:
        ok = read ? smbus_receive_byte(s->bus, addr, &s->data0)
                  : smbus_send_byte(s->bus, addr, s->command);
        break;
    case PROTO_BYTE_DATA:
        ok = read ? smbus_read_byte(s->bus, addr, s->command, &s->data0)
                  : smbus_write_byte(s->bus, addr, s->command, s->data0);
        break;
    case PROTO_WORD_DATA: ok = word_data(s, addr, read); break;
    case PROTO_BLOCK: ok = block_data(s, addr, read); break;
    default:
        LOG(GUEST_ERRORS, "PIIX4_PM: reserved SMBus protocol\n");
        ok = false;
        break;
    }
    s->status |= ok ? STS_INTR : STS_DEV_ERR;
}

static uint64_t host_read(void *opaque, uint64_t addr, unsigned size)
{
    struct smbus_host *s = opaque;
    switch (addr) {
    case SMB_STS: return s->status;
    case SMB_SLVSTS: return 0;
    case SMB_CNT: s->index = 0; return s->control; /* also rewinds the block buffer */
    case SMB_CMD: return s->command;
    case SMB_ADD: return s->address;
    case SMB_DAT0: return s->data0;
    case SMB_DAT1: return s->data1;
    case SMB_BLKDAT: return s->block[s->index++ % sizeof s->block];
    default: return addr < SMBUS_HOST_PORTS ? s->slave[addr - SMB_SLAVE] : 0xff;
    }
}

static void host_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct smbus_host *s = opaque;
    uint8_t v = (uint8_t)value;
    switch (addr) {
    case SMB_STS: s->status &= (uint8_t) ~(v & 0x1e); break;
    case SMB_SLVSTS: break;
    case SMB_CNT:
        s->control = v & (uint8_t) ~(CNT_START | CNT_KILL);
        if (v & CNT_KILL)
            s->status |= STS_FAILED;
        else if (v & CNT_START)
            start(s);
        break;
    case SMB_CMD: s->command = v; break;
    case SMB_ADD: s->address = v; break;
    case SMB_DAT0: s->data0 = v; break;
    case SMB_DAT1: s->data1 = v; break;
    case SMB_BLKDAT: s->block[s->index++ % sizeof s->block] = v; break;
    default:
        if (addr < SMBUS_HOST_PORTS) s->slave[addr - SMB_SLAVE] = v;
        break;
    }
}

const struct mmio_ops smbus_host_ops = {.read = host_read,
                                        .write = host_write,
                                        .min_size = 1,
                                        .max_size = 4,
                                        .impl_min = 1,
                                        .impl_max = 1};

bool smbus_host_irq(const struct smbus_host *s)
{
    return (s->control & CNT_INTREN) && (s->status & ~STS_BUSY);
}

void smbus_host_reset(struct smbus_host *s)
{
    s->status = s->control = s->command = s->address = s->data0 = s->data1 = s->index = 0;
    memset(s->slave, 0, sizeof s->slave);
    memset(s->block, 0, sizeof s->block);
}

const struct state_field smbus_host_state[] = {
    STATE_INT(struct smbus_host, status),
    STATE_INT(struct smbus_host, control),
    STATE_INT(struct smbus_host, command),
    STATE_INT(struct smbus_host, address),
    STATE_INT(struct smbus_host, data0),
    STATE_INT(struct smbus_host, data1),
    STATE_INT(struct smbus_host, index),
    STATE_ARR(struct smbus_host, slave),
    STATE_ARR(struct smbus_host, block),
    STATE_RUNTIME(struct smbus_host, bus),
    STATE_END,
};
