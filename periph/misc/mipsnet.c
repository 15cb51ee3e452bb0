/*
 * mipsnet.c - the network device of MIPS Technologies' simulator board ("mipsnet"), without a
 * cable.
 *
 * Register use as the Linux driver of the time documents it: a frame is written byte by byte after
 * its length, and TXDONE tells that it left. Nothing is connected: frames that are sent vanish, and
 * none arrives.
 */
#include "periph/regions.h"
#include "util/log.h"

enum {
    NET_ID = 0x00,
    NET_BUSY = 0x08,
    NET_RX_COUNT = 0x0c,
    NET_TX_COUNT = 0x10,
    NET_INT_CONTROL = 0x14,
    NET_INT_INFO = 0x18,
    NET_RX_DATA = 0x1c,
    NET_TX_DATA = 0x20,
    NET_SIZE = 0x24
};
enum { INT_TX_DONE = 1, INT_RX_DONE = 2 };
enum { NET_MAX_FRAME = 1514 };
#define INT_TEST 0x80000000u

struct mipsnet {
    struct device dev;
    uint16_t iobase;
    uint8_t irq_no;
    uint32_t int_control; /* TXDONE, RXDONE and TESTBIT: pending until written back as one */
    uint32_t tx_count;    /* length of the frame that is being written */
    uint32_t tx_written;
    struct irq_line irq[1];
};

static void update_irq(struct mipsnet *s)
{
    irq_set(&s->irq[0], s->int_control != 0);
}

static uint64_t net_read(void *opaque, uint64_t addr, unsigned size)
{
    struct mipsnet *s = opaque;

    (void)size;
    switch (addr) {
    case NET_ID: return ld32_be("MIPS");
    case NET_ID + 4: return ld32_be("NET0");
    case NET_TX_COUNT: return s->tx_count;
    case NET_INT_CONTROL: return s->int_control;
    default: return 0; /* not busy, nothing received */
    }
}

static void net_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct mipsnet *s = opaque;
    uint32_t v = (uint32_t)value;

    (void)size;
    switch (addr) {
    case NET_TX_COUNT:
        if (v > NET_MAX_FRAME) LOG(GUEST_ERRORS, "mipsnet: frame of %u bytes\n", (unsigned)v);
        s->tx_count = v <= NET_MAX_FRAME ? v : 0;
        s->tx_written = 0;
        break;
    case NET_TX_DATA:
        if (!s->tx_count || ++s->tx_written < s->tx_count) break;
        s->tx_count = s->tx_written = 0;
        s->int_control |= INT_TX_DONE;
        break;
    case NET_INT_CONTROL:
        s->int_control &= ~(v & (INT_TX_DONE | INT_RX_DONE));
        /* The test bit raises the interrupt by hand, and is taken back by writing 0 to it. */
        s->int_control = (s->int_control & ~INT_TEST) | (v & INT_TEST);
        break;
    default: break;
    }
    update_irq(s);
}

static const struct mmio_ops ops = {.read = net_read,
                                    .write = net_write,
                                    .min_size = 1,
                                    .max_size = 8,
                                    .impl_min = 4,
                                    .impl_max = 4};

static int net_realize(struct device *d, struct error *e)
{
    return periph_map_ports(d, 0, "mipsnet", ((struct mipsnet *)d)->iobase, NET_SIZE, &ops, e);
}

static void net_reset(struct device *d)
{
    update_irq((struct mipsnet *)d);
}

static int net_post_load(struct device *d, struct error *e)
{
    struct mipsnet *s = (struct mipsnet *)d;

    if (s->tx_count > NET_MAX_FRAME)
        return error_set(e, "mipsnet: frame of %u bytes", (unsigned)s->tx_count);
    update_irq(s);
    return 0;
}

static const struct prop_desc props[] = {
    PROP(struct mipsnet, PROP_U16, "iobase", iobase, 0x4200, "first I/O port"),
    PROP(struct mipsnet, PROP_U8, "irq", irq_no, 2, "interrupt, for the board"),
    PROP_END,
};

static const struct state_field state[] = {
    STATE_INT_RESET(struct mipsnet, int_control, 0),
    STATE_INT_RESET(struct mipsnet, tx_count, 0),
    STATE_INT_RESET(struct mipsnet, tx_written, 0),
    STATE_RUNTIME(struct mipsnet, irq),
    STATE_END,
};

static const struct reg_desc regs[] = {
    {NET_ID, "devId", 8},
    {NET_BUSY, "busy", 4},
    {NET_RX_COUNT, "rxDataCount", 4},
    {NET_TX_COUNT, "txDataCount", 4},
    {NET_INT_CONTROL, "interruptControl", 4},
    {NET_INT_INFO, "interruptInfo", 4},
    {NET_RX_DATA, "rxDataBuffer", 4},
    {NET_TX_DATA, "txDataBuffer", 4},
    REG_END,
};

const struct dev_desc mipsnet_desc = {
    .name = "mipsnet",
    .help = "network device of the MIPS simulator board (not connected)",
    .bus = BUS_SYSTEM,
    .category = DEV_NETWORK,
    .size = sizeof(struct mipsnet),
    .props = props,
    .state = state,
    .regs = regs,
    .realize = net_realize,
    .unrealize = periph_drop_regions,
    .reset = net_reset,
    .post_load = net_post_load,
    .irq_offset = offsetof(struct mipsnet, irq),
    .n_irqs = 1,
};
