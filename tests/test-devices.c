/*
 * test-devices.c - the ISA and board device models at their registers, as the data sheets say.
 *
 * Prints the failures and `N passed, N failed`.
 */
#include "tests/devices.h"

#include "periph/input/i8042.h"
#include "periph/input/ps2.h"
#include "periph/intc/i8259.h"
#include "periph/misc/cfi-flash.h"
#include "periph/misc/i8257.h"
#include "periph/misc/malta-fpga.h"
#include "periph/misc/smbus.h"
#include "periph/misc/superio.h"
#include "periph/timer/i8254.h"
#include "periph/timer/mc146818.h"

/* Two bytes of one port, the low one first. */
static unsigned in16(unsigned port)
{
    unsigned low = in(port);
    return low | (unsigned)in(port) << 8;
}

/* ---- 8259A ---- */
static void pic_init(unsigned base, unsigned vector, unsigned icw3, unsigned icw4)
{
    out(base, 0x11);
    out(base + 1, vector);
    out(base + 1, icw3);
    out(base + 1, icw4);
}

static void test_i8259(void)
{
    begin();
    struct device *m = create("isa-i8259"), *s;
    dev_set_int(m, "elcr", 0x4d0);
    realize(m);
    s = create("isa-i8259");
    dev_set_int(s, "iobase", 0xa0);
    dev_set_int(s, "elcr", 0x4d1);
    dev_set_int(s, "elcr-mask", 0xde);
    realize(s);
    CHECK(dev_connect(s, 0, m, 2));
    CHECK(!dev_connect(s, 0, m, 8));
    CHECK(!dev_connect(s, 1, m, 2));
    i8259_set_slave(m, s, 2);
    mb_reset(mb);

    pic_init(0x20, 0x20, 4, 1);
    pic_init(0xa0, 0x28, 2, 1);
    EQ(in(0x21), 0);
    out(0x21, 0x5a);
    EQ(in(0x21), 0x5a);
    out(0x21, 0);

    /* edge: one request per rise; dropping it before the acknowledge makes it spurious */
    pin(m, 3, true);
    CHECK(line(m, 0));
    EQ(in(0x20), 8);
    EQ(i8259_ack(m), 0x23);
    CHECK(!line(m, 0));
    out(0x20, 0x0b);
    EQ(in(0x20), 8);
    out(0x20, 0x20);
    EQ(in(0x20), 0);
    CHECK(!line(m, 0));
    pin(m, 3, false);
    pin(m, 3, true);
    CHECK(line(m, 0));
    pin(m, 3, false);
    CHECK(!line(m, 0));
    EQ(i8259_ack(m), 0x27);
    EQ(in(0x20), 0); /* no service for the spurious one */

    /* priorities and nesting */
    pin(m, 5, true);
    EQ(i8259_ack(m), 0x25);
    pin(m, 6, true);
    CHECK(!line(m, 0));
    pin(m, 1, true);
    CHECK(line(m, 0));
    EQ(i8259_ack(m), 0x21);
    EQ(in(0x20), 0x22);
    out(0x20, 0x20); /* non-specific: the highest */
    EQ(in(0x20), 0x20);
    out(0x20, 0x65); /* specific */
    EQ(in(0x20), 0);
    EQ(i8259_ack(m), 0x26);
    out(0x20, 0x66);
    for (unsigned i = 0; i < 8; i++)
        if (i != 2) pin(m, i, false);

    /* special mask: a masked level in service lets lower ones through */
    pin(m, 1, true);
    EQ(i8259_ack(m), 0x21);
    pin(m, 4, true);
    CHECK(!line(m, 0));
    out(0x21, 2);
    CHECK(!line(m, 0));
    out(0x20, 0x68);
    CHECK(line(m, 0));
    EQ(i8259_ack(m), 0x24);
    out(0x20, 0x64);
    out(0x20, 0x20); /* does not end the masked level */
    out(0x20, 0x0b);
    EQ(in(0x20), 2);
    out(0x20, 0x48);
    out(0x20, 0x61);
    out(0x21, 0);
    pin(m, 1, false), pin(m, 4, false);

    /* rotation */
    pin(m, 1, true), pin(m, 0, true);
    EQ(i8259_ack(m), 0x20);
    out(0x20, 0xa0); /* rotate on non-specific EOI: 0 is the lowest now */
    pin(m, 0, false), pin(m, 0, true);
    EQ(i8259_ack(m), 0x21);
    out(0x20, 0x20);
    EQ(i8259_ack(m), 0x20);
    out(0x20, 0x20);
    out(0x20, 0xc7); /* set priority: back to 7 lowest */
    pin(m, 0, false), pin(m, 1, false);

    /* cascade: the slave's vector; masking in the slave */
    pin(s, 4, true);
    CHECK(line(m, 0));
    EQ(i8259_ack(m), 0x2c);
    out(0x20, 0x0b), out(0xa0, 0x0b);
    EQ(in(0x20), 4);
    EQ(in(0xa0), 0x10);
    out(0xa0, 0x20), out(0x20, 0x20);
    pin(s, 4, false);
    /* spurious IRQ15: the master serves the cascade, the slave nothing */
    pin(s, 7, true);
    CHECK(line(m, 0));
    out(0xa1, 0x80);
    pin(m, 2, true); /* held by hand: the slave's line fell */
    EQ(i8259_ack(m), 0x2f);
    EQ(in(0xa0), 0);
    EQ(in(0x20), 4);
    out(0x20, 0x20);
    pin(m, 2, false);
    pin(s, 7, false);
    out(0xa1, 0);

    /* level, by the ELCR */
    out(0x4d0, 0xff);
    EQ(in(0x4d0), 0xf8);
    out(0x4d1, 0xff);
    EQ(in(0x4d1), 0xde);
    pin(s, 2, true);
    EQ(i8259_ack(m), 0x2a);
    out(0xa0, 0x20), out(0x20, 0x20);
    CHECK(line(m, 0)); /* still there */
    EQ(i8259_ack(m), 0x2a);
    pin(s, 2, false);
    out(0xa0, 0x20), out(0x20, 0x20);
    CHECK(!line(m, 0));
    out(0x4d0, 0), out(0x4d1, 0);

    /* poll */
    pin(m, 6, true);
    out(0x20, 0x0c);
    EQ(in(0x20), 0x86);
    out(0x20, 0x0b);
    EQ(in(0x20), 0x40);
    out(0x20, 0x20);
    out(0x20, 0x0c);
    EQ(in(0x20) & 0x80, 0);
    pin(m, 6, false);

    /* automatic EOI, with rotation */
    pic_init(0x20, 0x20, 4, 3);
    out(0x20, 0x80);
    pin(m, 0, true);
    EQ(i8259_ack(m), 0x20);
    out(0x20, 0x0b);
    EQ(in(0x20), 0);
    pin(m, 0, false);
    pin(m, 0, true), pin(m, 1, true);
    EQ(i8259_ack(m), 0x21);
    EQ(i8259_ack(m), 0x20);
    pin(m, 0, false), pin(m, 1, false);

    /* special fully nested master: the slave interrupts itself with a higher level */
    pic_init(0x20, 0x20, 4, 0x11);
    pin(s, 5, true);
    EQ(i8259_ack(m), 0x2d);
    pin(s, 1, true);
    CHECK(line(m, 0));
    EQ(i8259_ack(m), 0x29);
    end();
}

/* ---- 8254 ---- */
/* First moment of tick n. */
static void to_tick(uint64_t n)
{
    run_to(clock_ticks_to_ns(n, PIT_HZ));
}
static uint64_t tick(void)
{
    return clock_ticks(now, PIT_HZ);
}
static unsigned pit_count(unsigned c)
{
    out(0x43, c << 6);
    unsigned lo = in(0x40 + c);
    return lo | (unsigned)in(0x40 + c) << 8;
}

static void test_i8254(void)
{
    begin();
    struct device *p = make("isa-pit"), *spk = make("isa-pcspk");
    pcspk_set_pit(spk, p);
    irq_connect(dev_irq(p, 0), count_edge, NULL, 0);
    mb_reset(mb);

    /* mode 0: OUT rises N + 1 clocks after the count */
    to_tick(1000);
    out(0x43, 0x30);
    CHECK(!line(p, 0));
    out(0x40, 100), out(0x40, 0);
    to_tick(1001);
    EQ(pit_count(0), 100);
    to_tick(1041);
    EQ(pit_count(0), 60);
    to_tick(1100);
    CHECK(!line(p, 0));
    to_tick(1101);
    CHECK(line(p, 0));
    EQ(pit_count(0), 0);
    to_tick(1102);
    EQ(pit_count(0), 0xffff); /* counts on */
    out(0x40, 50);            /* the first byte stops it */
    CHECK(!line(p, 0));
    to_tick(2000);
    CHECK(!line(p, 0));
    EQ(pit_count(0), 0xffff);
    out(0x40, 0);
    to_tick(2051);
    CHECK(line(p, 0));

    /* read-back: status and count of counter 0 */
    out(0x43, 0xc2);
    EQ(in(0x40), 0xb0);
    EQ(in16(0x40), 0);

    /* mode 2: a low clock every N; a new count waits for the end of the cycle */
    out(0x43, 0x34);
    CHECK(line(p, 0));
    uint64_t t = tick();
    out(0x40, 10), out(0x40, 0);
    to_tick(t + 1);
    EQ(pit_count(0), 10);
    to_tick(t + 9);
    EQ(pit_count(0), 2);
    CHECK(line(p, 0));
    to_tick(t + 10);
    EQ(pit_count(0), 1);
    CHECK(!line(p, 0));
    to_tick(t + 11);
    CHECK(line(p, 0));
    edges = 0;
    to_tick(t + 1011);
    EQ(edges, 100);
    out(0x40, 20), out(0x40, 0);
    out(0x43, 0xe2); /* status: null count */
    EQ(in(0x40) & 0x40, 0x40);
    to_tick(t + 1020);
    CHECK(!line(p, 0));
    to_tick(t + 1021);
    EQ(pit_count(0), 20);
    out(0x43, 0xe2);
    EQ(in(0x40) & 0x40, 0);
    to_tick(t + 1030);
    CHECK(line(p, 0));
    to_tick(t + 1040);
    CHECK(!line(p, 0));
    EQ(pit_frequency(p, 0), PIT_HZ / 20);

    /* a CPU that comes late loses no edge */
    to_tick(t + 1042);
    edges = 0;
    now = clock_ticks_to_ns(t + 1062, PIT_HZ);
    clock_run(mb->clock, now);
    EQ(edges, 1);

    /* mode 3: half and half, odd counts high for one more */
    out(0x43, 0x36);
    t = tick();
    out(0x40, 7), out(0x40, 0);
    to_tick(t + 4);
    CHECK(line(p, 0));
    to_tick(t + 5);
    CHECK(!line(p, 0));
    to_tick(t + 7);
    CHECK(!line(p, 0));
    to_tick(t + 8);
    CHECK(line(p, 0));
    /* a new count is taken at the half */
    out(0x40, 20), out(0x40, 0);
    to_tick(t + 11);
    CHECK(line(p, 0));
    to_tick(t + 12);
    CHECK(!line(p, 0));
    to_tick(t + 21);
    CHECK(!line(p, 0));
    to_tick(t + 22);
    CHECK(line(p, 0));
    EQ(pit_count(0), 20);
    to_tick(t + 24);
    EQ(pit_count(0), 16);

    /* BCD, LSB only */
    out(0x43, 0x15);
    t = tick();
    out(0x40, 0x25);
    to_tick(t + 1);
    EQ(in(0x40), 0x25);
    to_tick(t + 7);
    EQ(in(0x40), 0x19);

    /* mode 4: one low clock */
    out(0x43, 0x18);
    t = tick();
    out(0x40, 5);
    to_tick(t + 5);
    CHECK(line(p, 0));
    to_tick(t + 6);
    CHECK(!line(p, 0));
    to_tick(t + 7);
    CHECK(line(p, 0));

    /* counter 2 with the gate of port 61h: mode 1, then 3 */
    out(0x61, 0);
    out(0x43, 0x92);
    t = tick();
    out(0x42, 50);
    CHECK(pit_out(p, 2));
    to_tick(t + 100);
    CHECK(pit_out(p, 2));
    out(0x61, 1);
    t = tick();
    to_tick(t + 1);
    CHECK(!pit_out(p, 2));
    EQ(in(0x61) & 0x21, 0x01);
    to_tick(t + 50);
    CHECK(!pit_out(p, 2));
    to_tick(t + 51);
    CHECK(pit_out(p, 2));
    EQ(in(0x61) & 0x21, 0x21);
    out(0x61, 0);
    out(0x43, 0xb6);
    out(0x42, 100), out(0x42, 0);
    to_tick(tick() + 500);
    CHECK(pit_out(p, 2)); /* held */
    out(0x61, 1);
    t = tick();
    to_tick(t + 51);
    CHECK(!pit_out(p, 2));
    out(0x61, 0);
    CHECK(pit_out(p, 2));
    /* the refresh bit toggles */
    bool a = in(0x61) & 0x10;
    to_tick(tick() + 18);
    CHECK(a != !!(in(0x61) & 0x10));
    end();
}

/* ---- MC146818 ---- */
static uint8_t rtc(unsigned r)
{
    out(0x70, r);
    return in(0x71);
}
static void rtc_set(unsigned r, unsigned v)
{
    out(0x70, r);
    out(0x71, v);
}

static void test_rtc(void)
{
    const int64_t start = INT64_C(951782395); /* 2000-02-28 23:59:55 UTC, a Monday */
    begin();
    struct device *d = create("mc146818rtc");
    dev_set_int(d, "base_time", (uint64_t)start);
    realize(d);
    mb_reset(mb);
    EQ(rtc(0), 0x55), EQ(rtc(2), 0x59), EQ(rtc(4), 0x23), EQ(rtc(6), 2), EQ(rtc(7), 0x28),
        EQ(rtc(8), 2), EQ(rtc(9), 0);
    EQ(rtc(0x32), 0x20);
    EQ(rtc(0x0d), 0x80);
    EQ(in(0x70), 0xff);
    /* UIP ahead of the update */
    EQ(rtc(10) & 0x80, 0);
    run_to(NS_PER_SEC - 100000);
    EQ(rtc(10) & 0x80, 0x80);
    EQ(rtc(0), 0x55);
    run_to(NS_PER_SEC);
    EQ(rtc(10) & 0x80, 0);
    EQ(rtc(0), 0x56);
    run_to(5 * NS_PER_SEC);
    EQ(rtc(0), 0), EQ(rtc(2), 0), EQ(rtc(4), 0), EQ(rtc(6), 3), EQ(rtc(7), 0x29), EQ(rtc(8), 2);
    run_to((5 + 86400) * NS_PER_SEC);
    EQ(rtc(7), 1), EQ(rtc(8), 3), EQ(rtc(6), 4);

    /* SET stops the time; 12 hours, binary */
    rtc_set(11, 0x84);
    rtc_set(0, 58), rtc_set(2, 59), rtc_set(4, 0x8b), rtc_set(7, 31), rtc_set(8, 12),
        rtc_set(9, 99), rtc_set(6, 7);
    wait_ns(3 * NS_PER_SEC);
    EQ(rtc(0), 58);
    rtc_set(11, 0x04);
    wait_ns(2 * NS_PER_SEC);
    EQ(rtc(0), 0), EQ(rtc(2), 0), EQ(rtc(4), 12), EQ(rtc(7), 1), EQ(rtc(8), 1), EQ(rtc(9), 0),
        EQ(rtc(6), 1);
    wait_ns(UINT64_C(3600) * NS_PER_SEC);
    EQ(rtc(4), 1);
    wait_ns(UINT64_C(11) * 3600 * NS_PER_SEC);
    EQ(rtc(4), 0x8c); /* noon */

    /* flags without enables, then the interrupts */
    rtc(12);
    wait_ns(NS_PER_SEC);
    EQ(rtc(12) & 0x90, 0x10);
    rtc_set(11, 0x16);
    CHECK(!line(d, 0));
    wait_ns(NS_PER_SEC);
    CHECK(line(d, 0));
    EQ(rtc(12) & 0x90, 0x90);
    CHECK(!line(d, 0));
    EQ(rtc(12), 0);
    /* alarm: any hour and minute, one second */
    rtc_set(11, 0x26);
    rtc_set(5, 0xc0), rtc_set(3, 0xff), rtc_set(1, (rtc(0) + 2) % 60);
    wait_ns(NS_PER_SEC);
    CHECK(!line(d, 0));
    wait_ns(NS_PER_SEC);
    CHECK(line(d, 0));
    EQ(rtc(12) & 0xa0, 0xa0);
    wait_ns(59 * NS_PER_SEC);
    CHECK(!line(d, 0));
    /* periodic: 1024 Hz */
    rtc_set(11, 0x46);
    rtc(12);
    irq_connect(dev_irq(d, 0), count_edge, NULL, 0);
    edges = 0;
    for (unsigned i = 0; i < 10240; i++) {
        wait_ns(NS_PER_SEC / 10240 + 1);
        if (line(d, 0)) rtc(12);
    }
    CHECK(edges >= 1023 && edges <= 1025);
    /* unread, it stays up once */
    edges = 0;
    wait_ns(NS_PER_SEC);
    EQ(edges, 1);
    /* the divider held: nothing moves; let go: half a second to the first update */
    rtc_set(11, 0x06);
    rtc_set(10, 0x60);
    uint8_t sec = rtc(0);
    wait_ns(5 * NS_PER_SEC);
    EQ(rtc(0), sec);
    rtc_set(10, 0x26);
    wait_ns(NS_PER_SEC / 2 - 1000);
    EQ(rtc(0), sec);
    wait_ns(1000);
    EQ(rtc(0), (sec + 1) % 60);
    /* memory keeps through reset, enables do not */
    rtc_set(0x40, 0xa5);
    rtc_set(11, 0x76);
    mb_reset(mb);
    EQ(rtc(0x40), 0xa5);
    EQ(rtc(11), 0x06);
    mc146818_set_cmos(d, 0x41, 0x5a);
    EQ(rtc(0x41), 0x5a);
    end();
}

/* ---- 16550A ---- */
static void test_serial(void)
{
    static struct chardev c;
    begin();
    memset(&c, 0, sizeof c);
    struct device *d = create("isa-serial");
    dev_set_ptr(d, "chardev", &c);
    realize(d);
    irq_connect(dev_irq(d, 0), count_edge, NULL, 0);
    mb_reset(mb);
    const unsigned P = 0x3f8;

    EQ(in(P + 1), 0), EQ(in(P + 2), 1), EQ(in(P + 3), 0), EQ(in(P + 4), 0), EQ(in(P + 5), 0x60),
        EQ(in(P + 6), 0xb0);
    out(P + 7, 0x5a);
    EQ(in(P + 7), 0x5a);
    out(P + 3, 0x83);
    out(P, 1), out(P + 1, 0); /* 115200 */
    EQ(in(P), 1), EQ(in(P + 1), 0);
    out(P + 3, 0x03);
    out(P + 1, 0xff);
    EQ(in(P + 1), 0x0f);
    out(P + 1, 0);
    out(P + 2, 1);
    EQ(in(P + 2), 0xc1); /* a 16550A */

    /* sending, and its interrupt */
    out(P, 'h'), out(P, 'i');
    EQ(c.n_out, 2);
    CHECK(!memcmp(c.out, "hi", 2));
    CHECK(!line(d, 0));
    out(P + 1, 2);
    CHECK(line(d, 0));
    EQ(in(P + 2), 0xc2);
    CHECK(!line(d, 0));
    EQ(in(P + 2), 0xc1);
    edges = 0;
    out(P, '!');
    EQ(edges, 1);
    out(P, '!'); /* a new edge for edge-triggered controllers */
    EQ(edges, 2);
    out(P + 1, 0), out(P + 1, 2);
    EQ(in(P + 2), 0xc2);
    out(P + 1, 0);

    /* receiving without FIFO: one byte at a time, the rest waits outside */
    out(P + 2, 0);
    out(P + 1, 1);
    feed(&c, "xyz", 3);
    CHECK(line(d, 0));
    EQ(in(P + 2), 4);
    EQ(in(P + 5), 0x61);
    EQ(in(P), 'x'), EQ(in(P), 'y'), EQ(in(P), 'z');
    CHECK(!line(d, 0));
    EQ(in(P + 5), 0x60);

    /* FIFO, trigger level 8 and the timeout: 4 characters of 10 bits at 115200 */
    out(P + 2, 0x87);
    feed(&c, "abc", 3);
    CHECK(!line(d, 0));
    wait_ns(347000);
    CHECK(!line(d, 0));
    wait_ns(1000);
    CHECK(line(d, 0));
    EQ(in(P + 2), 0xcc);
    EQ(in(P), 'a');
    CHECK(!line(d, 0));
    wait_ns(350000);
    CHECK(line(d, 0));
    feed(&c, "defghi", 6);
    EQ(in(P + 2), 0xc4);
    for (unsigned i = 0; i < 8; i++)
        EQ(in(P), 'b' + i);
    CHECK(!line(d, 0));
    /* at most 16 */
    feed(&c, "0123456789abcdefXY", 18);
    EQ(c.n_in, 2);
    EQ(in(P), '0');
    EQ(c.n_in, 1);
    out(P + 2, 0x83); /* clear: the rest comes in */
    EQ(c.n_in, 0);
    EQ(in(P), 'Y');
    EQ(in(P + 5), 0x60);

    /* line status before data; the error goes with its byte */
    out(P + 1, 5);
    out(P + 2, 0x01);
    feed(&c, "a", 1);
    c.fe.event(c.fe.opaque, CHR_BREAK);
    EQ(in(P + 2), 0xc4);
    EQ(in(P + 5), 0xe1); /* an error somewhere in the FIFO */
    EQ(in(P), 'a');
    EQ(in(P + 2), 0xc6);
    EQ(in(P + 5), 0xf9);
    EQ(in(P + 2), 0xc4);
    EQ(in(P + 5), 0x61);
    EQ(in(P), 0);
    out(P + 1, 0);

    /* loopback: modem lines and data; overrun */
    out(P + 4, 0x1a);
    EQ(in(P + 6) & 0xf0, 0x90);
    out(P + 1, 8);
    in(P + 6);
    CHECK(!line(d, 0));
    out(P + 4, 0x1b);
    CHECK(line(d, 0));
    EQ(in(P + 2), 0xc0);
    EQ(in(P + 6), 0xb2); /* DSR with its delta */
    CHECK(!line(d, 0));
    out(P + 4, 0x1f);
    EQ(in(P + 6), 0xf0); /* no delta for a rising RI */
    out(P + 4, 0x1b);
    EQ(in(P + 6), 0xb4); /* TERI */
    c.n_out = 0;
    for (unsigned i = 0; i < 17; i++)
        out(P, i);
    EQ(c.n_out, 0);
    EQ(in(P + 5), 0x63);
    for (unsigned i = 0; i < 16; i++)
        EQ(in(P), i);
    EQ(in(P + 5), 0x60);
    feed(&c, "q", 1);
    EQ(c.n_in, 1); /* cut off */
    out(P + 4, 0x0b);
    EQ(c.n_in, 0);
    EQ(in(P), 'q');
    EQ(c.breaks, 0);
    out(P + 3, 0x43);
    EQ(c.breaks, 1);
    end();

    /* in memory, four bytes apart, both byte orders */
    for (int be = 0; be < 2; be++) {
        begin();
        memset(&c, 0, sizeof c);
        d = create("serial-mm");
        dev_set_ptr(d, "chardev", &c);
        dev_set_int(d, "regshift", 2);
        dev_set_int(d, "big-endian", be);
        realize(d);
        region_add(mb->mem_root, dev_mmio(d, 0), 0x1000, 0);
        mb_reset(mb);
        EQ(region_size(dev_mmio(d, 0)), 32);
        poke(0x101c, 4, be ? 0x77000000 : 0x77);
        EQ(peek(0x101c, 4), be ? 0x77000000u : 0x77u);
        EQ(peek(0x101c + (be ? 3 : 0), 1), 0x77);
        poke(0x1000 + (be ? 3 : 0), 1, 'A');
        EQ(c.n_out, 1);
        EQ(c.out[0], 'A');
        end();
    }
    begin();
    d = create("isa-serial");
    dev_set_int(d, "out2-gates-irq", 1);
    realize(d);
    mb_reset(mb);
    out(P + 1, 2);
    CHECK(!line(d, 0));
    out(P + 4, 8);
    CHECK(line(d, 0));
    EQ(in(P + 6), 0); /* nothing plugged in */
    end();
}

static void test_parallel(void)
{
    static struct chardev c;
    begin();
    memset(&c, 0, sizeof c);
    struct device *d = create("isa-parallel");
    dev_set_ptr(d, "chardev", &c);
    realize(d);
    irq_connect(dev_irq(d, 0), count_edge, NULL, 0);
    mb_reset(mb);
    EQ(in(0x379) & 0xf8, 0xd8);
    EQ(in(0x37a), 0xcc);
    out(0x37a, 0x1c);
    edges = 0;
    for (const char *s = "lp"; *s; s++) {
        out(0x378, (unsigned)*s);
        EQ(in(0x378), *s);
        out(0x37a, 0x1d), out(0x37a, 0x1c);
    }
    EQ(c.n_out, 2);
    CHECK(!memcmp(c.out, "lp", 2));
    EQ(edges, 2);
    end();
}

/* ---- keyboard controller ---- */
static uint8_t kbc(unsigned command)
{
    out(0x64, command);
    return in(0x60);
}
static void kbc_set(unsigned command, unsigned v)
{
    out(0x64, command);
    out(0x60, v);
}
/* Reads what waits and compares. */
static void expect_bytes(const char *bytes, unsigned n, unsigned status, int line_no)
{
    for (unsigned i = 0; i < n; i++) {
        check_eq(in(0x64) & 0x21, status, "status", line_no);
        check_eq(in(0x60), (uint8_t)bytes[i], "byte", line_no);
    }
    check_eq(in(0x64) & 1, 0, "bytes left", line_no);
}
#define KEYS(s)  expect_bytes(s, sizeof s - 1, 0x01, __LINE__)
#define MOUSE(s) expect_bytes(s, sizeof s - 1, 0x21, __LINE__)

static void test_i8042(void)
{
    begin();
    struct device *d = make("i8042"), *kbd = i8042_kbd(d), *mouse = i8042_mouse(d);
    mb_reset(mb);
    EQ(kbc(0xaa), 0x55);
    EQ(in(0x64) & 0x1d, 0x1c);
    EQ(kbc(0xab), 0), EQ(kbc(0xa9), 0);
    kbc_set(0x60, 0x47);
    EQ(kbc(0x20), 0x47);
    kbc_set(0x75, 0x99);
    EQ(kbc(0x35), 0x99);
    kbc_set(0xd3, 0x5a);
    EQ(in(0x64) & 0x21, 0x21);
    CHECK(line(d, I8042_IRQ_MOUSE) && !line(d, I8042_IRQ_KBD));
    EQ(in(0x60), 0x5a);
    CHECK(!line(d, I8042_IRQ_MOUSE));

    /* commands of the keyboard: translated set 2 */
    out(0x60, 0xff);
    CHECK(line(d, I8042_IRQ_KBD));
    KEYS("\xfa\xaa");
    out(0x60, 0xf2);
    KEYS("\xfa\xab\x41");
    out(0x60, 0xed), out(0x60, 5);
    KEYS("\xfa\xfa");
    EQ(ps2_kbd_leds(kbd), 5);
    out(0x60, 0xee);
    KEYS("\xee");
    out(0x60, 0x05);
    KEYS("\xfe");

    ps2_kbd_key(kbd, 0x1e, true), ps2_kbd_key(kbd, 0x1e, true), ps2_kbd_key(kbd, 0x1e, false);
    KEYS("\x1e\x9e");
    ps2_kbd_key(kbd, 0xe048, true), ps2_kbd_key(kbd, 0xe048, false);
    KEYS("\xe0\x48\xe0\xc8");
    ps2_kbd_key(kbd, 0x41, true), ps2_kbd_key(kbd, 0x41, false); /* F7: 83h in set 2 */
    KEYS("\x41\xc1");
    ps2_kbd_key(kbd, PS2_KEY_PAUSE, true), ps2_kbd_key(kbd, PS2_KEY_PAUSE, false);
    KEYS("\xe1\x1d\x45\xe1\x9d\xc5");
    ps2_kbd_key(kbd, PS2_KEY_PRINT, true), ps2_kbd_key(kbd, PS2_KEY_PRINT, false);
    KEYS("\xe0\x2a\xe0\x37\xe0\xb7\xe0\xaa");
    /* every key of set 1 comes through set 2 and its translation as itself */
    for (unsigned k = 1; k < 0x59; k++) {
        if (k == 0x55) continue;
        ps2_kbd_key(kbd, k, true), ps2_kbd_key(kbd, k, false);
        EQ(in(0x60), k), EQ(in(0x60), k | 0x80);
    }
    /* typematic */
    ps2_kbd_key(kbd, 0x10, true);
    KEYS("\x10");
    wait_ns(499000000);
    EQ(in(0x64) & 1, 0);
    wait_ns(2000000);
    KEYS("\x10");
    wait_ns(92000000);
    KEYS("\x10");
    ps2_kbd_key(kbd, 0x10, false);
    KEYS("\x90");
    wait_ns(NS_PER_SEC);
    EQ(in(0x64) & 1, 0);
    /* untranslated set 2 and set 3 */
    kbc_set(0x60, 0x03);
    ps2_kbd_key(kbd, 0x1e, true), ps2_kbd_key(kbd, 0x1e, false);
    KEYS("\x1c\xf0\x1c");
    out(0x60, 0xf0), out(0x60, 3), out(0x60, 0xf0), out(0x60, 0);
    KEYS("\xfa\xfa\xfa\xfa\x03");
    ps2_kbd_key(kbd, 0x1e, true), ps2_kbd_key(kbd, 0x1e, false), ps2_kbd_key(kbd, 0x2a, true),
        ps2_kbd_key(kbd, 0x2a, false);
    KEYS("\x1c\x12\xf0\x12");
    out(0x60, 0xf8);
    KEYS("\xfa");
    ps2_kbd_key(kbd, 0xe01d, true), ps2_kbd_key(kbd, 0xe01d, false);
    KEYS("\x58\xf0\x58");
    out(0x60, 0xff);
    KEYS("\xfa\xaa");
    /* overrun: codes are not cut; the one that does not fit leaves a mark */
    for (unsigned k = 2; k < 12; k++)
        ps2_kbd_key(kbd, k, true), ps2_kbd_key(kbd, k, false);
    unsigned n = 0, last = 1;
    for (; in(0x64) & 1; n++)
        last = in(0x60);
    EQ(n, 17); /* one in the controller, 15 in the keyboard, the mark */
    EQ(last, 0);
    /* interface off, on */
    out(0x64, 0xad);
    ps2_kbd_key(kbd, 0x1e, true);
    EQ(in(0x64) & 1, 0);
    out(0x64, 0xae);
    KEYS("\x1c");
    out(0x60, 0xf5);
    KEYS("\xfa");
    ps2_kbd_key(kbd, 0x20, true);
    EQ(in(0x64) & 1, 0);

    /* mouse */
    kbc_set(0xd4, 0xff);
    CHECK(line(d, I8042_IRQ_MOUSE));
    MOUSE("\xfa\xaa\x00");
    ps2_mouse_event(mouse, 5, 5, 0, 0);
    EQ(in(0x64) & 1, 0);
    kbc_set(0xd4, 0xf4);
    MOUSE("\xfa");
    ps2_mouse_event(mouse, 5, 3, 0, PS2_BUTTON_LEFT);
    MOUSE("\x29\x05\xfd");
    ps2_mouse_event(mouse, -300, 0, 1, 0);
    EQ(in(0x64) & 1, 0); /* not before the next sample */
    wait_ns(NS_PER_SEC / 100);
    MOUSE("\x18\x01\x00"); /* -255 */
    wait_ns(NS_PER_SEC / 100);
    MOUSE("\x18\xd3\x00");
    kbc_set(0xd4, 0xe9);
    MOUSE("\xfa\x20\x02\x64");
    static const uint8_t knock[] = {200, 100, 80, 200, 200, 80};
    for (unsigned i = 0; i < 6; i++) {
        kbc_set(0xd4, 0xf3), kbc_set(0xd4, knock[i]);
        MOUSE("\xfa\xfa");
        if (i == 2) {
            kbc_set(0xd4, 0xf2);
            MOUSE("\xfa\x03");
            wait_ns(NS_PER_SEC);
            ps2_mouse_event(mouse, 0, 0, -1, 0);
            MOUSE("\x08\x00\x00\xff");
        }
    }
    kbc_set(0xd4, 0xf2);
    MOUSE("\xfa\x04");
    wait_ns(NS_PER_SEC);
    ps2_mouse_event(mouse, 0, 0, 2, PS2_BUTTON_SIDE);
    MOUSE("\x08\x00\x00\x12");
    kbc_set(0xd4, 0xf0);
    kbc_set(0xd4, 0xeb);
    MOUSE("\xfa\xfa\x08\x00\x00\x10");
    kbc_set(0xd4, 0xee), kbc_set(0xd4, 0x42), kbc_set(0xd4, 0xec);
    MOUSE("\xfa\x42\xfa");

    /* output port */
    CHECK(line(d, I8042_A20));
    out(0x64, 0xdd);
    CHECK(!line(d, I8042_A20));
    kbc_set(0xd1, 0xdf);
    CHECK(line(d, I8042_A20));
    EQ(kbc(0xd0) & 3, 3);
    EQ(resets, 0);
    out(0x64, 0xfe);
    EQ(resets, 1);
    out(0x64, 0xff);
    EQ(resets, 1);
    end();
}

/* ---- DMA ---- */
static struct device *dma_dev;
static unsigned dma_calls;
static void dma_ready(void *opaque, unsigned channel)
{
    uint8_t *data = opaque;
    bool tc;
    dma_calls++;
    dma_transfer(dma_dev, channel, true, data, 8, &tc);
    if (tc) dma_request(dma_dev, channel, false);
}

static void test_dma(void)
{
    begin();
    struct region *ram = region_new_ram("ram", 0x200000, NULL);
    region_add(mb->mem_root, ram, 0, 0);
    dma_dev = make("i8257");
    mb_reset(mb);
    uint8_t data[8] = "12345678", back[16] = {0};
    dma_connect(dma_dev, 2, dma_ready, data);
    EQ(in(0x0f), 0xff);
    out(0x0c, 0);
    out(0x04, 0x34), out(0x04, 0x12), out(0x05, 11), out(0x05, 0), out(0x81, 0x03);
    EQ(in(0x81), 3);
    out(0x0b, 0x46); /* single, to memory, channel 2 */
    dma_calls = 0;
    dma_request(dma_dev, 2, true);
    EQ(dma_calls, 0); /* masked */
    out(0x0a, 2);
    EQ(dma_calls, 0); /* no cascade yet */
    out(0xd6, 0xc0), out(0xd4, 0);
    EQ(dma_calls, 2);
    CHECK(!memcmp(region_ram(ram) + 0x31234, "123456781234", 12));
    EQ(in(0x08) & 0x04, 4);
    EQ(in(0x08) & 0x04, 0);
    EQ(in(0x0f) & 4, 4); /* masked at terminal count */
    out(0x0c, 0);
    EQ(in16(0x04), 0x1240);
    EQ(in16(0x05), 0xffff);
    /* words, autoinitialise, from memory */
    memcpy(region_ram(ram) + 0x50000, "ABCDEFGH", 8);
    out(0xd8, 0);
    out(0xc4, 0), out(0xc4, 0x80), out(0xc6, 1), out(0xc6, 0), out(0x8b, 0x05);
    out(0xd6, 0x59), out(0xd4, 1);
    bool tc;
    EQ(dma_transfer(dma_dev, 5, false, back, 16, &tc), 4);
    CHECK(tc);
    CHECK(!memcmp(back, "ABCD", 4));
    EQ(dma_transfer(dma_dev, 5, false, back, 2, &tc), 2);
    CHECK(!tc);
    CHECK(!memcmp(back, "AB", 2));
    EQ(dma_transfer(dma_dev, 5, true, back, 2, &tc), 0); /* the other direction */
    /* downwards, verify */
    out(0xd8, 0);
    EQ(in16(0xc4), 0x8001);
    out(0x0d, 0);
    EQ(in(0x0f), 0xff);
    end();
    region_delete(ram);
}

/* ---- flash ---- */
static void test_flash(void)
{
    struct blk_backend blk = {NULL, 0x40000, false};
    struct error e = ERROR_INIT;
    blk.data = mem_zalloc(0x40000);
    for (unsigned i = 0; i < 0x40000; i++)
        blk.data[i] = (uint8_t)(i * 7 + (i >> 8));

    for (int be = 0; be < 2; be++) {
        begin();
        struct device *d = create("cfi.pflash01");
        dev_set_int(d, "num-blocks", 4);
        dev_set_int(d, "big-endian", be);
        dev_set_ptr(d, "drive", &blk);
        realize(d);
        region_add(mb->mem_root, dev_mmio(d, 0), 0x100000, 0);
        mb_reset(mb);
        const uint64_t B = 0x100000;
#define W(v) (be ? host_bswap32(v) : (uint32_t)(v))
        uint32_t first = ld32_le(blk.data);
        bool ro;
        uint64_t n = 4;
        EQ(peek(B, 4), first);
        CHECK(as_host(mb->mem, B, &n, &ro) != NULL && ro);
        /* both chips at once, words of the CFI table in each */
        poke(B + 0x55 * 4, 4, W(0x00980098));
        CHECK(as_host(mb->mem, B, &n, &ro) == NULL);
        EQ(W((uint32_t)peek(B + 0x10 * 4, 4)), 0x00510051);
        EQ(W((uint32_t)peek(B + 0x11 * 4, 4)), 0x00520052);
        EQ(W((uint32_t)peek(B + 0x12 * 4, 4)), 0x00590059);
        EQ(W((uint32_t)peek(B + 0x27 * 4, 4)), 0x00110011); /* 128 KiB a chip */
        EQ(W((uint32_t)peek(B + 0x2d * 4, 4)), 0x00030003);
        EQ(W((uint32_t)peek(B + 0x2f * 4, 4)), 0x00800080); /* blocks of 32 KiB a chip */
        poke(B, 4, W(0x00900090));
        EQ(W((uint32_t)peek(B, 4)), 0x00890089);
        EQ(W((uint32_t)peek(B + 4, 4)), 0x00160016);
        poke(B, 4, W(0x00ff00ff));
        EQ(peek(B, 4), first);
        /* erase, program, status */
        poke(B + 0x10000, 4, W(0x00200020));
        poke(B + 0x10000, 4, W(0x00d000d0));
        EQ(W((uint32_t)peek(B + 0x10000, 4)), 0x00800080);
        poke(B + 0x10010, 4, W(0x00400040));
        poke(B + 0x10010, 4, 0x12345678);
        poke(B, 4, W(0x00ff00ff));
        EQ(peek(B + 0x1000c, 4), 0xffffffff);
        EQ(peek(B + 0x10010, 4), 0x12345678);
        EQ(ld32_le(blk.data + 0x10010), 0x12345678);
        EQ(ld32_le(blk.data + 0x0fffc), ld32_le(region_ram(dev_mmio(d, 0)) + 0xfffc));
        CHECK(peek(B + 0x20000, 4) != 0xffffffff);
        /* programming only clears */
        poke(B + 0x10010, 4, W(0x00100010)), poke(B + 0x10010, 4, 0xff00ff00);
        /* the buffer: 4 words */
        poke(B + 0x10000, 4, W(0x00e800e8)), poke(B + 0x10000, 4, W(0x00030003));
        for (unsigned i = 0; i < 4; i++)
            poke(B + 0x10100 + 4 * i, 4, 0xa0b0c0d0 + i);
        poke(B + 0x10000, 4, W(0x00d000d0));
        EQ(W((uint32_t)peek(B, 4)), 0x00800080);
        /* one chip alone: 16 bits */
        poke(B, 4, W(0x00ff00ff));
        EQ(peek(B + 0x10010, 4), 0x12005600);
        EQ(peek(B + 0x1010c, 4), 0xa0b0c0d3);
        poke(B + 2, 2, be ? 0x9000 : 0x0090);
        EQ(peek(B, 2), first & 0xffff);
        EQ(peek(B + 2, 2), be ? 0x8900 : 0x0089);
        poke(B + 2, 2, be ? 0xff00 : 0x00ff);
        /* locks, and a broken sequence */
        poke(B + 0x20000, 4, W(0x00600060)), poke(B + 0x20000, 4, W(0x00010001));
        poke(B + 0x20000, 4, W(0x00200020)), poke(B + 0x20000, 4, W(0x00d000d0));
        EQ(W((uint32_t)peek(B, 4)), 0x00a200a2);
        poke(B, 4, W(0x00500050));
        poke(B, 4, W(0x00200020)), poke(B, 4, W(0x00110011));
        EQ(W((uint32_t)peek(B, 4)), 0x00b000b0);
        end();
    }
    begin();
    struct device *d = create("cfi.pflash01");
    dev_set_ptr(d, "drive", &blk);
    CHECK(dev_realize(d, &e) < 0 && e.set); /* 4 MiB */
    error_clear(&e);
    d = create("cfi.pflash01");
    dev_set_int(d, "width", 3);
    CHECK(dev_realize(d, &e) < 0);
    end();
    mem_free(blk.data);
}

/* ---- SMBus, Malta's registers ---- */
static void i2c_lines(unsigned v)
{
    poke(0x1f000b10, 4, v);
}
static bool i2c_out_byte(uint8_t v)
{
    for (unsigned i = 0; i < 8; i++, v = (uint8_t)(v << 1)) {
        unsigned sda = v >> 7;
        i2c_lines(sda), i2c_lines(2 | sda), i2c_lines(sda);
    }
    i2c_lines(1), i2c_lines(3);
    bool ack = !(peek(0x1f000b00, 4) & 1);
    i2c_lines(1);
    return ack;
}
static uint8_t i2c_in_byte(bool ack)
{
    unsigned v = 0;
    for (unsigned i = 0; i < 8; i++) {
        i2c_lines(1), i2c_lines(3);
        v = v << 1 | (peek(0x1f000b00, 4) & 1);
        i2c_lines(1);
    }
    i2c_lines(!ack), i2c_lines(2 | !ack), i2c_lines(!ack);
    return (uint8_t)v;
}
static void i2c_start(void)
{
    i2c_lines(1), i2c_lines(3), i2c_lines(2), i2c_lines(0);
}
static void i2c_stop(void)
{
    i2c_lines(0), i2c_lines(2), i2c_lines(3);
}

static void test_malta(void)
{
    static struct chardev c;
    begin();
    memset(&c, 0, sizeof c);
    struct device *d = create("malta-fpga"), *ee;
    dev_set_ptr(d, "chardev", &c);
    dev_set_int(d, "switches", 0x81);
    realize(d);
    region_add(mb->mem_root, dev_mmio(d, 0), 0x1f000000, 0);
    ee = create("smbus-eeprom");
    dev_set_int(ee, "address", 0x54);
    realize(ee);
    uint8_t spd[4] = {0x80, 8, 4, 12};
    smbus_eeprom_set_data(ee, spd, 4);
    CHECK(smbus_eeprom_attach(ee, malta_fpga_i2c(d), NULL) == 0);
    struct device *twin = create("smbus-eeprom");
    dev_set_int(twin, "address", 0x54);
    realize(twin);
    CHECK(smbus_eeprom_attach(twin, malta_fpga_i2c(d), NULL) < 0);
    mb_reset(mb);

    EQ(peek(0x1f000200, 4), 0x81);
    EQ(peek(0x1f000208, 4), 0);
    EQ(peek(0x1f000508, 4), 0x0a);
    poke(0x1f000408, 4, 0xa5);
    EQ(peek(0x1f000408, 4), 0xa5);
    for (unsigned i = 0; i < 8; i++)
        poke(0x1f000418 + 8 * i, 4, (uint8_t) "LINUX ON"[i]);
    char text[9];
    uint8_t leds;
    malta_fpga_display(d, text, &leds);
    CHECK(!strcmp(text, "LINUX ON"));
    EQ(leds, 0xa5);
    CHECK(c.n_out >= 20 && !memcmp(c.out + c.n_out - 20, "\r[*.*..*.*] LINUX ON", 20));
    poke(0x1f000410, 4, 0x1234abcd);
    malta_fpga_display(d, text, &leds);
    CHECK(!strcmp(text, "1234ABCD"));
    poke(0x1f000500, 4, 0x41);
    EQ(resets, 0);
    poke(0x1f000500, 4, 0x42);
    EQ(resets, 1);

    struct smbus *b = malta_fpga_i2c(d);
    uint8_t v = 0, block[32], n;
    uint16_t w = 0;
    CHECK(smbus_quick(b, 0x54, false) && !smbus_quick(b, 0x55, false));
    CHECK(smbus_read_byte(b, 0x54, 1, &v) && v == 8);
    CHECK(smbus_receive_byte(b, 0x54, &v) && v == 4);
    CHECK(smbus_read_word(b, 0x54, 2, &w) && w == 0x0c04);
    CHECK(smbus_write_byte(b, 0x54, 0x80, 0x33) && smbus_read_byte(b, 0x54, 0x80, &v) && v == 0x33);
    CHECK(smbus_write_word(b, 0x54, 0x90, 0x1234) && smbus_read_word(b, 0x54, 0x90, &w) &&
          w == 0x1234);
    CHECK(smbus_write_block(b, 0x54, 0xa0, (const uint8_t *)"abc", 3));
    CHECK(smbus_read_block(b, 0x54, 0xa0, block, &n) && n == 3 && !memcmp(block, "abc", 3));
    CHECK(!smbus_read_byte(b, 0x20, 1, &v));

    /* the same through the pins */
    poke(0x1f000b08, 4, 3);
    i2c_lines(3);
    i2c_start();
    CHECK(i2c_out_byte(0xa8) && i2c_out_byte(1));
    i2c_start();
    CHECK(i2c_out_byte(0xa9));
    EQ(i2c_in_byte(true), 8);
    EQ(i2c_in_byte(true), 4);
    EQ(i2c_in_byte(false), 12);
    i2c_stop();
    i2c_start();
    CHECK(!i2c_out_byte(0xaa));
    i2c_stop();
    i2c_start();
    CHECK(i2c_out_byte(0xa8) && i2c_out_byte(0xf0) && i2c_out_byte(0x66));
    i2c_stop();
    CHECK(smbus_read_byte(b, 0x54, 0xf0, &v) && v == 0x66);
    end();

    begin();
    d = create("malta-fpga");
    dev_set_int(d, "big-endian", 1);
    realize(d);
    region_add(mb->mem_root, dev_mmio(d, 0), 0x1f000000, 0);
    mb_reset(mb);
    EQ(peek(0x1f000208, 4), 0x02000000);
    end();
}

/* ---- super I/O, mipsnet, unimp ---- */
static void test_small(void)
{
    begin();
    struct device *sio = make("fdc37m81x-superio"), *com = make("isa-serial");
    superio_attach(sio, SUPERIO_SERIAL1, com);
    mb_reset(mb);
    out(0x3ff, 0x5a);
    EQ(in(0x3ff), 0x5a);
    EQ(in(0x3f1), 0xff);
    out(0x3f0, 0x55);
    out(0x3f0, 0x20);
    EQ(in(0x3f1), 0x4d);
    out(0x3f0, 0x07), out(0x3f1, 4);
    out(0x3f0, 0x30);
    EQ(in(0x3f1), 1);
    out(0x3f0, 0x60), out(0x3f1, 0x02), out(0x3f0, 0x61), out(0x3f1, 0xe8);
    EQ(in(0x2ef), 0x5a);
    EQ(in(0x3ff), 0xff);
    out(0x3f0, 0x30), out(0x3f1, 0);
    EQ(in(0x2ef), 0xff);
    out(0x3f0, 0xaa);
    EQ(in(0x3f1), 0xff);
    mb_reset(mb);
    EQ(in(0x3ff), 0x5a);
    end();

    begin();
    struct device *net = make("mipsnet");
    mb_reset(mb);
    uint64_t v;
    as_read(mb->io, 0x4200, 8, &v);
    EQ(v, UINT64_C(0x4e455430) << 32 | 0x4d495053);
    as_write(mb->io, 0x4210, 4, 3);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(!line(net, 0));
        as_write(mb->io, 0x4220, 4, i);
    }
    CHECK(line(net, 0));
    as_write(mb->io, 0x4214, 4, 1);
    CHECK(!line(net, 0));
    end();

    begin();
    struct device *u = create("unimp");
    dev_set_int(u, "base", 0x5000);
    realize(u);
    EQ(peek(0x5000, 4), 0);
    poke(0x5ffc, 4, 1);
    EQ(peek(0x5ffc, 4), 0);
    end();
}

int main(void)
{
    periph_register_all();
    test_i8259();
    test_i8254();
    test_rtc();
    test_serial();
    test_parallel();
    test_i8042();
    test_dma();
    test_flash();
    test_malta();
    test_small();
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
