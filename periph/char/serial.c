/*
 * serial.c - the core of a 16550A UART: registers, FIFOs, interrupts, modem lines.
 *
 * Follows National Semiconductor's PC16550D data sheet. Sending takes no guest time: a byte is at
 * the backend when the write to THR returns, so THRE and TEMT are always set and the transmit FIFO
 * is always empty; the baud rate times the character timeout only. Received bytes come as fast as
 * the guest takes them. A connected backend is a peer that is ready: CTS, DSR and DCD are on.
 * Fronts: isa-serial.c, serial-mm.c.
 */
#include "periph/char/serial.h"

#include "util/log.h"

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };
enum { IER_RDA = 1, IER_THRE = 2, IER_RLS = 4, IER_MSI = 8 };
enum {
    IIR_NONE = 1,
    IIR_MSI = 0,
    IIR_THRE = 2,
    IIR_RDA = 4,
    IIR_RLS = 6,
    IIR_TIMEOUT = 12,
    IIR_FIFO = 0xc0
};
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4, FCR_DMA = 8, FCR_TRIGGER = 0xc0 };
enum { LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16 };
enum {
    LSR_DR = 1,
    LSR_OE = 2,
    LSR_PE = 4,
    LSR_FE = 8,
    LSR_BI = 16,
    LSR_THRE = 32,
    LSR_TEMT = 64,
    LSR_FIFO_ERR = 128,
    LSR_ERRORS = LSR_OE | LSR_PE | LSR_FE | LSR_BI
};
enum {
    MSR_DCTS = 1,
    MSR_DDSR = 2,
    MSR_TERI = 4,
    MSR_DDCD = 8,
    MSR_CTS = 16,
    MSR_DSR = 32,
    MSR_RI = 64,
    MSR_DCD = 128
};

static unsigned trigger_level(const struct serial *s)
{
    static const uint8_t levels[4] = {1, 4, 8, 14};

    return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

static unsigned capacity(const struct serial *s)
{
    return s->fcr & FCR_ENABLE ? SERIAL_FIFO : 1;
}

/* The source with the highest priority. */
static uint8_t interrupt_id(const struct serial *s)
{
    if ((s->ier & IER_RLS) && (s->lsr & LSR_ERRORS)) return IIR_RLS;
    if ((s->ier & IER_RDA) && s->count >= trigger_level(s)) return IIR_RDA;
    if ((s->ier & IER_RDA) && s->timeout) return IIR_TIMEOUT;
    if ((s->ier & IER_THRE) && s->thr_pending) return IIR_THRE;
    if ((s->ier & IER_MSI) && (s->msr & 0x0f)) return IIR_MSI;
    return IIR_NONE;
}

static void update_irq(struct serial *s)
{
    bool gated = s->out2_gates && !(s->mcr & MCR_OUT2);

    irq_set(s->irq, interrupt_id(s) != IIR_NONE && !gated);
}

/* Time of four characters, in ns of guest time. */
static uint64_t timeout_ns(const struct serial *s)
{
    unsigned bits = 1 + 5 + (s->lcr & 3) + (s->lcr & 8 ? 1 : 0) + (s->lcr & 4 ? 2 : 1);
    uint64_t divisor = s->divisor ? s->divisor : 65536;

    return 4 * bits * divisor * NS_PER_SEC / (s->baudbase ? s->baudbase : 1);
}

/* The timeout runs while there are bytes that no trigger announces; each arrival and each read
 * starts it anew. */
static void restart_timeout(struct serial *s)
{
    s->timeout = false;
    if ((s->fcr & FCR_ENABLE) && s->count)
        timer_arm(&s->timer, clock_now(s->clock) + timeout_ns(s));
    else
        timer_cancel(&s->timer);
}

static void timeout_event(void *opaque)
{
    struct serial *s = opaque;

    if (s->count) s->timeout = true;
    update_irq(s);
}

/* LSR shows the errors of the byte at the head of the FIFO. */
static void show_head(struct serial *s)
{
    if (s->count)
        s->lsr |= LSR_DR | s->fifo_lsr[s->head];
    else
        s->lsr &= (uint8_t)~LSR_DR;
    if (s->count) s->fifo_lsr[s->head] = 0;
}

static void receive_byte(struct serial *s, uint8_t byte, uint8_t errors)
{
    if (s->count >= capacity(s)) {
        s->lsr |= LSR_OE;
        /* Without FIFO the newcomer replaces the byte; with it, the newcomer is lost. */
        if (!(s->fcr & FCR_ENABLE)) s->fifo[s->head] = byte, s->fifo_lsr[s->head] = errors;
    } else {
        unsigned i = (s->head + s->count) % SERIAL_FIFO;
        s->fifo[i] = byte;
        s->fifo_lsr[i] = errors;
        s->count++;
    }
    show_head(s);
    restart_timeout(s);
    update_irq(s);
}

static void clear_rx(struct serial *s)
{
    s->head = s->count = 0;
    memset(s->fifo, 0, sizeof s->fifo);
    memset(s->fifo_lsr, 0, sizeof s->fifo_lsr);
    s->lsr &= (uint8_t) ~(LSR_DR | LSR_PE | LSR_FE | LSR_BI);
    restart_timeout(s);
}

static void accept_input(struct serial *s)
{
    if (s->attached) chr_accept_input(s->chr);
}

static int serial_can_receive(void *opaque)
{
    struct serial *s = opaque;

    if (s->mcr & MCR_LOOP) return 0; /* SIN is cut off; the peer waits */
    return (int)(capacity(s) - MIN(s->count, capacity(s)));
}

static void serial_receive(void *opaque, const uint8_t *buf, int n)
{
    for (int i = 0; i < n; i++)
        receive_byte(opaque, buf[i], 0);
}

static void serial_event(void *opaque, enum chr_event event)
{
    struct serial *s = opaque;

    if (event == CHR_BREAK && !(s->mcr & MCR_LOOP)) receive_byte(s, 0, LSR_BI | LSR_FE);
}

/* Modem lines that the chip sees now. */
static uint8_t modem_inputs(const struct serial *s)
{
    if (s->mcr & MCR_LOOP)
        return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
                         (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
    return s->chr ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
}

static void update_msr(struct serial *s)
{
    uint8_t lines = modem_inputs(s), changed = (s->msr ^ lines) & 0xf0;

    /* TERI tells the trailing edge of RI only. */
    if (lines & MSR_RI) changed &= (uint8_t)~MSR_RI;
    s->msr = lines | ((s->msr | changed >> 4) & 0x0f);
}

static void write_fcr(struct serial *s, uint8_t v)
{
    if ((v ^ s->fcr) & FCR_ENABLE)
        v |= FCR_CLEAR_RX | FCR_CLEAR_TX; /* changing the mode empties the FIFOs */
    if (v & FCR_CLEAR_RX) clear_rx(s);
    if (v & FCR_CLEAR_TX) s->thr_pending = true;
    /* The other bits can be set only together with the enable bit. */
    s->fcr = v & FCR_ENABLE ? v & (FCR_ENABLE | FCR_DMA | FCR_TRIGGER) : 0;
    restart_timeout(s);
    accept_input(s);
}

static void transmit(struct serial *s, uint8_t v)
{
    s->thr_pending = false;
    update_irq(s); /* the request goes away while the byte is sent: an edge for controllers that
                      want one */
    if (s->mcr & MCR_LOOP)
        receive_byte(s, v, 0);
    else if (s->chr)
        chr_write_all(s->chr, s, &v, 1);
    s->thr_pending = true;
}

void serial_write(struct serial *s, unsigned reg, uint8_t v)
{
    switch (reg & 7) {
    case REG_DATA:
        if (s->lcr & LCR_DLAB)
            s->divisor = (uint16_t)((s->divisor & 0xff00) | v);
        else
            transmit(s, v);
        break;
    case REG_IER:
        if (s->lcr & LCR_DLAB) {
            s->divisor = (uint16_t)((s->divisor & 0xff) | v << 8);
            break;
        }
        /* Enabling the interrupt while THR is empty raises it at once. */
        if (v & ~s->ier & IER_THRE) s->thr_pending = true;
        s->ier = v & 0x0f;
        break;
    case REG_IIR: write_fcr(s, v); break;
    case REG_LCR:
        if ((v & ~s->lcr & LCR_BREAK) && s->chr && !(s->mcr & MCR_LOOP)) chr_send_break(s->chr);
        s->lcr = v;
        break;
    case REG_MCR: {
        bool was_loop = s->mcr & MCR_LOOP;
        s->mcr = v & 0x1f;
        update_msr(s);
        if (was_loop && !(v & MCR_LOOP)) accept_input(s);
        break;
    }
    case REG_LSR:
    case REG_MSR: LOG(GUEST_ERRORS, "serial: write to status register %u\n", reg & 7); break;
    case REG_SCR: s->scr = v; break;
    }
    update_irq(s);
}

static uint8_t read_data(struct serial *s)
{
    uint8_t v = s->fifo[s->head];

    if (!s->count) return s->fcr & FCR_ENABLE ? 0 : v; /* RBR keeps its last byte */
    if (s->count > 1 || (s->fcr & FCR_ENABLE)) s->head = (uint8_t)((s->head + 1) % SERIAL_FIFO);
    s->count--;
    show_head(s);
    restart_timeout(s);
    update_irq(s);
    accept_input(s);
    return v;
}

uint8_t serial_read(struct serial *s, unsigned reg)
{
    uint8_t v;

    switch (reg & 7) {
    case REG_DATA: return s->lcr & LCR_DLAB ? (uint8_t)s->divisor : read_data(s);
    case REG_IER: return s->lcr & LCR_DLAB ? s->divisor >> 8 : s->ier;
    case REG_IIR:
        v = interrupt_id(s);
        if (v == IIR_THRE) {
            s->thr_pending = false;
            update_irq(s);
        }
        return v | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
    case REG_LCR: return s->lcr;
    case REG_MCR: return s->mcr;
    case REG_LSR:
        v = s->lsr | LSR_THRE | LSR_TEMT;
        if (s->fcr & FCR_ENABLE) {
            bool errors = s->lsr & (LSR_PE | LSR_FE | LSR_BI);
            for (unsigned i = 0; i < s->count; i++)
                errors |= s->fifo_lsr[(s->head + i) % SERIAL_FIFO] != 0;
            if (errors) v |= LSR_FIFO_ERR;
        }
        s->lsr &= (uint8_t)~LSR_ERRORS;
        update_irq(s);
        return v;
    case REG_MSR:
        v = s->msr;
        s->msr &= 0xf0;
        update_irq(s);
        return v;
    default: return s->scr;
    }
}

int serial_realize(struct serial *s, struct device *d, struct chardev *chr, struct irq_line *irq,
                   uint32_t baudbase, struct error *e)
{
    const struct chr_frontend fe = {serial_can_receive, serial_receive, serial_event, s};

    s->irq = irq;
    s->clock = d->clock;
    s->baudbase = baudbase;
    timer_init(&s->timer, d->clock, timeout_event, s);
    if (!baudbase) return error_set(e, "%s: baudbase must not be 0", d->desc->name);
    if (chr) {
        if (chr_attach(chr, &fe, e) < 0) return -1;
        s->chr = chr;
        s->attached = true;
    }
    return 0;
}

void serial_unrealize(struct serial *s)
{
    timer_cancel(&s->timer);
    if (s->attached) chr_detach(s->chr, s);
    s->attached = false;
    s->chr = NULL;
}

void serial_reset(struct serial *s)
{
    timer_cancel(&s->timer);
    s->msr = modem_inputs(s); /* MR clears the delta bits; the rest are the lines */
    update_irq(s);
    accept_input(s);
}

int serial_post_load(struct serial *s, struct error *e)
{
    if (s->head >= SERIAL_FIFO || s->count > SERIAL_FIFO)
        return error_set(e, "serial: FIFO of %u bytes at %u", s->count, s->head);
    update_irq(s);
    return 0;
}

const struct state_field serial_state[] = {
    STATE_RUNTIME(struct serial, chr),
    STATE_RUNTIME(struct serial, irq),
    STATE_RUNTIME(struct serial, clock),
    STATE_RUNTIME(struct serial, baudbase),
    STATE_RUNTIME(struct serial, attached),
    STATE_RUNTIME(struct serial, out2_gates),
    STATE_INT_RESET(struct serial, ier, 0),
    STATE_INT_RESET(struct serial, fcr, 0),
    STATE_INT_RESET(struct serial, lcr, 0),
    STATE_INT_RESET(struct serial, mcr, 0),
    STATE_INT(struct serial, msr),
    STATE_INT(struct serial, scr), /* MR does not touch it */
    STATE_INT_RESET(struct serial, lsr, 0),
    STATE_INT_RESET(struct serial, divisor, 12), /* undefined at power-on; 9600 at 1.8432 MHz */
    STATE_ARR_RESET(struct serial, fifo, 0),
    STATE_ARR_RESET(struct serial, fifo_lsr, 0),
    STATE_INT_RESET(struct serial, head, 0),
    STATE_INT_RESET(struct serial, count, 0),
    STATE_INT_RESET(struct serial, thr_pending, 0),
    STATE_INT_RESET(struct serial, timeout, 0),
    STATE_TIMER(struct serial, timer),
    STATE_END,
};

const struct reg_desc serial_regs[] = {
    {0, "RBR/THR/DLL", 1}, {1, "IER/DLM", 1}, {2, "IIR/FCR", 1}, {3, "LCR", 1}, {4, "MCR", 1},
    {5, "LSR", 1},         {6, "MSR", 1},     {7, "SCR", 1},     REG_END,
};
