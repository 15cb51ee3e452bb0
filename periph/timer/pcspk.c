/*
 * pcspk.c - port 61h of PCs: gate and output of timer 2, the refresh toggle, and the speaker's
 * switch.
 *
 * Nothing is played: there is no sound output yet. The port follows the NMI status and control
 * register of Intel's 82371AB data sheet; its error sources (parity, IOCHK#) do not exist here.
 */
#include "periph/regions.h"
#include "periph/timer/i8254.h"

enum { SPKR_GATE2 = 1, SPKR_DATA = 2, SPKR_REFRESH = 0x10, SPKR_OUT2 = 0x20 };
/* Refresh requests come every 15.085 us: 18 ticks of the timer's clock; the bit toggles with each.
 */
enum { REFRESH_TICKS = 18 };

struct pcspk {
    struct device dev;
    uint16_t iobase;
    uint8_t control;    /* bits 0..3 as written */
    struct device *pit; /* NULL: none */
};

static uint64_t spk_read(void *opaque, uint64_t addr, unsigned size)
{
    struct pcspk *s = opaque;
    uint8_t v = s->control;

    (void)addr, (void)size;
    if (clock_ticks(clock_now(s->dev.clock), PIT_HZ) / REFRESH_TICKS & 1) v |= SPKR_REFRESH;
    if (s->pit && pit_out(s->pit, 2)) v |= SPKR_OUT2;
    return v;
}

static void spk_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pcspk *s = opaque;

    (void)addr, (void)size;
    s->control = value & 0x0f;
    if (s->pit) pit_set_gate(s->pit, 2, s->control & SPKR_GATE2);
}

void pcspk_set_pit(struct device *pcspk, struct device *pit)
{
    ((struct pcspk *)pcspk)->pit = pit;
}

static const struct mmio_ops spk_ops = {
    .read = spk_read, .write = spk_write, .impl_min = 1, .impl_max = 1};

static int spk_realize(struct device *d, struct error *e)
{
    return periph_map_ports(d, 0, "pcspk", ((struct pcspk *)d)->iobase, 1, &spk_ops, e);
}

static const struct prop_desc spk_props[] = {
    PROP(struct pcspk, PROP_U16, "iobase", iobase, 0x61, "I/O port"),
    PROP_END,
};

static const struct state_field spk_state[] = {
    STATE_PROP(struct pcspk, iobase),
    STATE_INT_RESET(struct pcspk, control, 0),
    STATE_RUNTIME(struct pcspk, pit),
    STATE_END,
};

static const struct reg_desc spk_regs[] = {
    {0, "NMI status and speaker control", 1},
    REG_END,
};

const struct dev_desc pcspk_desc = {
    .name = "isa-pcspk",
    .help = "port 61h: speaker gate and refresh toggle (silent)",
    .bus = BUS_ISA,
    .category = DEV_SOUND,
    .size = sizeof(struct pcspk),
    .props = spk_props,
    .state = spk_state,
    .regs = spk_regs,
    .realize = spk_realize,
    .unrealize = periph_drop_regions,
};
