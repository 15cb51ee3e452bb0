/*
 * i8257.c - the pair of DMA controllers of PCs, under the name the world gives this device.
 *
 * Follows Intel's data sheet of the 8237A (which PCs have in place of the 8257) and the DMA chapter
 * of that of the 82371AB, with page registers for bits 16..23. Transfers take no guest time and are
 * made when the device has data. Not modelled: memory to memory transfers, and transfers by
 * software request (the request register is kept).
 */
#include "periph/misc/i8257.h"

#include "periph/regions.h"
#include "util/log.h"

enum { CMD_DISABLE = 4 };
enum {
    MODE_TYPE = 0x0c,
    MODE_VERIFY = 0,
    MODE_TO_MEMORY = 4,
    MODE_FROM_MEMORY = 8,
    MODE_AUTO = 0x10,
    MODE_DOWN = 0x20
};

struct dma_channel {
    uint16_t base_addr, base_count, addr, count;
    uint8_t mode, page;
};

struct dma_chip {
    struct dma_channel c[4];
    uint8_t command, tc, dreq, software, mask;
    uint8_t temporary;
    bool high; /* byte pointer: the high byte is next */
};

struct dma {
    struct device dev;
    struct dma_chip chip[2];
    uint8_t page_ram[16]; /* ports 80h..8fh as written; some are memory only */
    struct {
        dma_ready_fn fn;
        void *opaque;
    } client[8];
    struct address_space *as;
    bool running; /* inside of a client's callback */
};

/* Channel that a page port belongs to (offset from 80h); 8: none. */
static const uint8_t page_channel[16] = {8, 2, 3, 1, 8, 8, 8, 0, 8, 6, 7, 5, 8, 8, 8, 4};

/* Serves requests: calls clients of channels that can run. */
static void run(struct dma *s)
{
    bool again = true;

    if (s->running) return; /* called from a client: the loop below goes on */
    s->running = true;
    /* A client that cannot move anything must take its request back; one round each is enough
     * otherwise. */
    for (int round = 0; again && round < 16; round++) {
        again = false;
        for (unsigned i = 0; i < 8; i++) {
            struct dma_chip *k = &s->chip[i >> 2];
            if (i == 4 || (k->command & CMD_DISABLE)) continue;
            if (!(k->dreq & ~k->mask & (1u << (i & 3))) || !s->client[i].fn) continue;
            /* The second chip's channel 0 is the cascade that carries the first chip. */
            if (i < 4 && ((s->chip[1].mask & 1) || (s->chip[1].command & CMD_DISABLE))) continue;
            uint16_t before = k->c[i & 3].count;
            s->client[i].fn(s->client[i].opaque, i);
            if (k->c[i & 3].count != before) again = true;
        }
    }
    s->running = false;
}

void dma_connect(struct device *dma, unsigned channel, dma_ready_fn fn, void *opaque)
{
    struct dma *s = (struct dma *)dma;

    if (channel > 7 || channel == 4) return;
    s->client[channel].fn = fn;
    s->client[channel].opaque = opaque;
}

void dma_request(struct device *dma, unsigned channel, bool level)
{
    struct dma *s = (struct dma *)dma;
    struct dma_chip *k = &s->chip[channel >> 2 & 1];
    uint8_t bit = (uint8_t)(1u << (channel & 3));

    if (level)
        k->dreq |= bit;
    else
        k->dreq &= (uint8_t)~bit;
    if (level) run(s);
}

uint32_t dma_transfer(struct device *dma, unsigned channel, bool to_memory, void *buf, uint32_t n,
                      bool *tc)
{
    struct dma *s = (struct dma *)dma;
    struct dma_chip *k = &s->chip[channel >> 2 & 1];
    struct dma_channel *c = &k->c[channel & 3];
    uint8_t bit = (uint8_t)(1u << (channel & 3));
    unsigned shift = channel >= 4, type = c->mode & MODE_TYPE;
    uint32_t done = 0;

    if (tc) *tc = false;
    if (channel > 7 || channel == 4 || (k->mask & bit) || (k->command & CMD_DISABLE)) return 0;
    if (type != MODE_VERIFY && type != (to_memory ? MODE_TO_MEMORY : MODE_FROM_MEMORY)) {
        LOG(GUEST_ERRORS, "i8257: channel %u is programmed for the other direction\n", channel);
        return 0;
    }
    while (done + (1u << shift) <= n) {
        /* Words: the address counts words, and page bit 0 is not used. */
        uint64_t at = shift ? (uint64_t)(c->page & 0xfe) << 16 | (uint64_t)c->addr << 1
                            : (uint64_t)c->page << 16 | c->addr;

        if (type == MODE_TO_MEMORY)
            as_write_buf(s->as, at, (uint8_t *)buf + done, 1u << shift);
        else if (type == MODE_FROM_MEMORY)
            as_read_buf(s->as, at, (uint8_t *)buf + done, 1u << shift);
        done += 1u << shift;
        c->addr = (uint16_t)(c->mode & MODE_DOWN ? c->addr - 1 : c->addr + 1);
        if (c->count-- == 0) {
            k->tc |= bit;
            if (tc) *tc = true;
            if (c->mode & MODE_AUTO) {
                c->addr = c->base_addr;
                c->count = c->base_count;
            } else {
                k->mask |= bit;
            }
            break;
        }
    }
    return done;
}

static void chip_clear(struct dma_chip *k)
{
    k->command = k->tc = k->software = k->temporary = 0;
    k->high = false;
    k->mask = 0x0f;
}

static void set_half(uint16_t *r, bool high, uint8_t v)
{
    *r = (uint16_t)(high ? (*r & 0xff) | v << 8 : (*r & 0xff00) | v);
}

static void chip_write(struct dma *s, struct dma_chip *k, unsigned reg, uint8_t v)
{
    struct dma_channel *c = &k->c[reg >> 1 & 3];
    uint8_t bit = (uint8_t)(1u << (v & 3));

    switch (reg) {
    case 8: k->command = v; break;
    case 9: k->software = (uint8_t)(v & 4 ? k->software | bit : k->software & ~bit); break;
    case 10: k->mask = (uint8_t)(v & 4 ? k->mask | bit : k->mask & ~bit); break;
    case 11: k->c[v & 3].mode = v; break;
    case 12: k->high = false; break;
    case 13: chip_clear(k); break;
    case 14: k->mask = 0; break;
    case 15: k->mask = v & 0x0f; break;
    default:
        if (reg & 1) {
            set_half(&c->base_count, k->high, v);
            set_half(&c->count, k->high, v);
        } else {
            set_half(&c->base_addr, k->high, v);
            set_half(&c->addr, k->high, v);
        }
        k->high = !k->high;
        return;
    }
    run(s);
}

static uint8_t chip_read(struct dma_chip *k, unsigned reg)
{
    uint16_t v;

    switch (reg) {
    case 8: /* terminal counts are cleared by reading; requests are shown above */
        v = (uint16_t)(k->tc | (k->dreq | k->software) << 4);
        k->tc = 0;
        return (uint8_t)v;
    case 13: return k->temporary;
    case 15: return k->mask | 0xf0;
    case 9:
    case 10:
    case 11:
    case 12:
    case 14: return 0xff;
    default:
        v = reg & 1 ? k->c[reg >> 1].count : k->c[reg >> 1].addr;
        k->high = !k->high;
        return (uint8_t)(k->high ? v : v >> 8);
    }
}

static uint64_t chip0_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return chip_read(&((struct dma *)opaque)->chip[0], (unsigned)addr);
}

static void chip0_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct dma *s = opaque;

    (void)size;
    chip_write(s, &s->chip[0], (unsigned)addr, (uint8_t)value);
}

/* The second chip's registers are two ports apart. */
static uint64_t chip1_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return chip_read(&((struct dma *)opaque)->chip[1], (unsigned)addr >> 1);
}

static void chip1_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct dma *s = opaque;

    (void)size;
    chip_write(s, &s->chip[1], (unsigned)addr >> 1, (uint8_t)value);
}

static uint64_t page_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return ((struct dma *)opaque)->page_ram[addr & 15];
}

static void page_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct dma *s = opaque;
    unsigned ch = page_channel[addr & 15];

    (void)size;
    s->page_ram[addr & 15] = (uint8_t)value;
    if (ch < 8) s->chip[ch >> 2].c[ch & 3].page = (uint8_t)value;
}

static const struct mmio_ops chip0_ops = {
    .read = chip0_read, .write = chip0_write, .impl_min = 1, .impl_max = 1};
static const struct mmio_ops chip1_ops = {
    .read = chip1_read, .write = chip1_write, .impl_min = 1, .impl_max = 1};
static const struct mmio_ops page_ops = {
    .read = page_read, .write = page_write, .impl_min = 1, .impl_max = 1};

static int dma_realize(struct device *d, struct error *e)
{
    struct dma *s = (struct dma *)d;

    s->as = d->mb->mem;
    if (periph_map_ports(d, 0, "dma-0", 0x00, 16, &chip0_ops, e) < 0) return -1;
    if (periph_map_ports(d, 1, "dma-1", 0xc0, 32, &chip1_ops, e) < 0) return -1;
    return periph_map_ports(d, 2, "dma-page", 0x80, 16, &page_ops, e);
}

static void dma_reset(struct device *d)
{
    struct dma *s = (struct dma *)d;

    chip_clear(&s->chip[0]);
    chip_clear(&s->chip[1]);
}

static const struct state_field channel_state[] = {
    STATE_INT(struct dma_channel, base_addr),
    STATE_INT(struct dma_channel, base_count),
    STATE_INT(struct dma_channel, addr),
    STATE_INT(struct dma_channel, count),
    STATE_INT(struct dma_channel, mode),
    STATE_INT(struct dma_channel, page),
    STATE_END,
};

static const struct state_field chip_state[] = {
    STATE_STRUCT(struct dma_chip, c, 4, channel_state),
    STATE_INT(struct dma_chip, command),
    STATE_INT(struct dma_chip, tc),
    STATE_INT(struct dma_chip, dreq),
    STATE_INT(struct dma_chip, software),
    STATE_INT(struct dma_chip, mask),
    STATE_INT(struct dma_chip, temporary),
    STATE_INT(struct dma_chip, high),
    STATE_END,
};

static const struct state_field state[] = {
    STATE_STRUCT(struct dma, chip, 2, chip_state),
    STATE_ARR_RESET(struct dma, page_ram, 0),
    STATE_RUNTIME(struct dma, client),
    STATE_RUNTIME(struct dma, as),
    STATE_RUNTIME(struct dma, running),
    STATE_END,
};

static const struct prop_desc props[] = {
    PROP_END,
};

const struct dev_desc i8257_desc = {
    .name = "i8257",
    .help = "pair of DMA controllers with page registers",
    .bus = BUS_ISA,
    .category = DEV_MISC,
    .size = sizeof(struct dma),
    .props = props,
    .state = state,
    .realize = dma_realize,
    .unrealize = periph_drop_regions,
    .reset = dma_reset,
};
