/*
 * test-pc.c - the devices that only PCs have, register by register: APICs, HPET, the 440FX's memory
 * map, PIIX3, fw_cfg, small ports, VGA; and the board with its tables.
 */
#include "tests/devices.h"

#include "machines/acpi/aml.h"
#include "periph/intc/ioapic.h"
#include "periph/intc/lapic.h"
#include "periph/misc/fw_cfg.h"
#include "periph/pci/i440fx.h"
#include "periph/pci/piix4.h"
#include "periph/timer/hpet.h"
#include "ui/picture.h"

/* ---- local and I/O APIC ---- */

static struct device *apics[2], *bus, *ioapic;
static unsigned current, inits, starts, start_vector;

static struct device *get_current(void *opaque)
{
    return current < 2 ? apics[current] : NULL;
}

static void on_event(void *opaque, enum lapic_event what, uint8_t vector)
{
    if (what == LAPIC_EVENT_INIT) inits++;
    if (what == LAPIC_EVENT_STARTUP) starts++, start_vector = vector;
}

enum { L = 0xfee00000, IO = 0xfec00000 };

static void w(unsigned reg, uint32_t v)
{
    poke(L + reg, 4, v);
}
static uint32_t r(unsigned reg)
{
    return (uint32_t)peek(L + reg, 4);
}
static void io_w(unsigned reg, uint32_t v)
{
    poke(IO, 4, reg);
    poke(IO + 0x10, 4, v);
}
static uint32_t io_r(unsigned reg)
{
    poke(IO, 4, reg);
    return (uint32_t)peek(IO + 0x10, 4);
}

static bool with_x2apic;

static void begin_apics(void)
{
    begin();
    bus = make("apic-bus");
    region_add(mb->mem_root, dev_mmio(bus, 0), L, 0);
    for (unsigned i = 0; i < 2; i++) {
        apics[i] = create("apic");
        dev_set_int(apics[i], "id", with_x2apic ? 0x23 + 0x11 * i : i);
        dev_set_int(apics[i], "bsp", !i);
        dev_set_int(apics[i], "x2apic", with_x2apic);
        dev_set_int(apics[i], "tsc-deadline", with_x2apic);
        realize(apics[i]);
        apic_bus_add(bus, apics[i]);
        lapic_connect(apics[i], on_event, NULL);
    }
    apic_bus_set_current(bus, get_current, NULL);
    ioapic = make("ioapic");
    region_add(mb->mem_root, dev_mmio(ioapic, 0), IO, 0);
    CHECK(ioapic_connect(ioapic, bus));
    mb_reset(mb);
    current = inits = starts = 0;
}

static void test_lapic(void)
{
    begin_apics();
    EQ(r(0x20), 0);
    EQ(r(0x30) & 0xff, 0x14);
    EQ(r(0xf0), 0xff);
    EQ(r(0x320), 0x10000);
    EQ(r(0x350), 0x700); /* virtual wire */
    EQ(lapic_get_base(apics[0]), 0xfee00900);
    EQ(lapic_get_base(apics[1]), 0xfee00800);

    pin(apics[0], LAPIC_LINT0, true); /* the 8259s ask */
    CHECK(line(apics[0], LAPIC_INTR));
    EQ(lapic_ack(apics[0]), LAPIC_ACK_EXTINT);
    pin(apics[0], LAPIC_LINT0, false);
    CHECK(!line(apics[0], LAPIC_INTR));
    EQ(lapic_ack(apics[0]), LAPIC_ACK_NONE);

    w(0xf0, 0x1ff); /* software enable */
    w(0x300, 0x40031); /* an IPI to self */
    CHECK(line(apics[0], LAPIC_INTR));
    EQ(r(0x210), 1u << (0x31 - 32));
    w(0x80, 0x30); /* its class is not above the task priority */
    CHECK(!line(apics[0], LAPIC_INTR));
    w(0x80, 0x20);
    CHECK(line(apics[0], LAPIC_INTR));
    EQ(lapic_ack(apics[0]), 0x31);
    EQ(r(0x110), 1u << (0x31 - 32));
    EQ(r(0xa0), 0x30);
    w(0x300, 0x40045); /* a higher one comes through, a lower one waits */
    w(0x300, 0x40032);
    EQ(lapic_ack(apics[0]), 0x45);
    EQ(lapic_ack(apics[0]), LAPIC_ACK_NONE);
    w(0xb0, 0);
    EQ(lapic_ack(apics[0]), LAPIC_ACK_NONE); /* 32 is of the class of 31 */
    w(0xb0, 0);
    EQ(lapic_ack(apics[0]), 0x32);
    w(0xb0, 0);

    w(0x300, 0x40005); /* a vector that is not allowed */
    w(0x280, 0);
    EQ(r(0x280), 0x20);
    end();
}

static void test_lapic_timer(void)
{
    begin_apics();
    w(0xf0, 0x1ff);
    w(0x3e0, 0xb); /* divide by 1: 1 ns */
    w(0x320, 0x50);
    w(0x380, 1000);
    EQ(r(0x390), 1000);
    wait_ns(400);
    EQ(r(0x390), 600);
    CHECK(!line(apics[0], LAPIC_INTR));
    wait_ns(600);
    EQ(r(0x390), 0);
    EQ(lapic_ack(apics[0]), 0x50);
    w(0xb0, 0);
    wait_ns(5000);
    CHECK(!line(apics[0], LAPIC_INTR)); /* one shot */
    w(0x3e0, 3);                        /* divide by 16 */
    w(0x320, 0x20051);                  /* periodic */
    w(0x380, 100);
    for (unsigned i = 0; i < 3; i++) {
        wait_ns(1600);
        EQ(lapic_ack(apics[0]), 0x51);
        w(0xb0, 0);
    }
    w(0x380, 0);
    wait_ns(100000);
    CHECK(!line(apics[0], LAPIC_INTR));
    end();
}

static void test_ipi(void)
{
    begin_apics();
    w(0x310, 1u << 24);
    w(0x300, 0x4500); /* INIT, START-UP to processor 1 */
    EQ(inits, 1);
    w(0x300, 0x8500); /* de-assert */
    EQ(inits, 1);
    w(0x300, 0x4608);
    EQ(starts, 1);
    EQ(start_vector, 8);
    w(0x300, 0xc4500); /* all but self */
    EQ(inits, 2);
    current = 1;
    w(0xf0, 0x1ff);
    w(0xd0, 2u << 24);
    current = 0;
    w(0xf0, 0x1ff);
    w(0xd0, 1u << 24);
    w(0x310, 2u << 24); /* logical, flat */
    w(0x300, 0x4861);
    EQ(lapic_ack(apics[0]), LAPIC_ACK_NONE);
    EQ(lapic_ack(apics[1]), 0x61);
    edges = 0;
    irq_connect(dev_irq(apics[1], LAPIC_NMI), count_edge, NULL, 0);
    w(0x300, 0x4c00);
    EQ(edges, 1);
    current = 9; /* nobody runs: a message signalled interrupt */
    poke(L + 0x1000, 4, 0x4072);
    EQ(lapic_ack(apics[1]), 0x72);
    end();
}

/* ---- x2APIC ---- */

static uint64_t rmsr(unsigned cpu, unsigned n)
{
    uint64_t v = 0;
    CHECK(lapic_msr_read(apics[cpu], n, &v));
    return v;
}

static void wmsr(unsigned cpu, unsigned n, uint64_t v)
{
    CHECK(lapic_msr_write(apics[cpu], n, v));
}

static void test_x2apic_mode(void)
{
    uint64_t v;
    begin_apics();
    CHECK(!lapic_set_base(apics[0], 0xfee00d00)); /* without the feature */
    end();
    with_x2apic = true;
    begin_apics();
    EQ(r(0x20), 0x23u << 24);
    CHECK(!lapic_msr_read(apics[0], 2, &v)); /* the mode is off */
    CHECK(!lapic_msr_write(apics[0], 8, 0));
    CHECK(!lapic_set_base(apics[0], 0xfee00500)); /* not enabled */
    CHECK(lapic_set_base(apics[0], 0xfee00d00));
    EQ(lapic_get_base(apics[0]), 0xfee00d00);
    EQ(rmsr(0, 2), 0x23);
    EQ(rmsr(0, 0xd), 2u << 16 | 1u << 3); /* cluster, bit */
    EQ(rmsr(0, 3) & 0xff, 0x14);
    EQ(rmsr(0, 0x35), 0x700);
    for (unsigned n = 0; n < 0x100; n++) { /* what is there */
        bool in = n == 2 || n == 3 || n == 8 || n == 0xa || n == 0xd || n == 0xf || (n >= 0x10 && n <= 0x28) || n == 0x30 ||
                  (n >= 0x32 && n <= 0x39) || n == 0x3e;
        CHECK(lapic_msr_read(apics[0], n, &v) == in);
    }
    static const unsigned fixed[] = {0, 1, 2, 3, 4, 9, 0xa, 0xc, 0xd, 0xe, 0x10, 0x27, 0x29, 0x2f, 0x31, 0x39, 0x3a, 0x40, 0xff};
    for (unsigned i = 0; i < ARRAY_LEN(fixed); i++)
        CHECK(!lapic_msr_write(apics[0], fixed[i], 0));
    CHECK(!lapic_msr_write(apics[0], 8, 0x100)); /* reserved bits */
    CHECK(!lapic_msr_write(apics[0], 0xb, 1));
    CHECK(!lapic_msr_write(apics[0], 0x28, 1));
    CHECK(!lapic_msr_write(apics[0], 0xf, 0x401));
    CHECK(!lapic_msr_write(apics[0], 0x30, 0x10000));
    CHECK(!lapic_msr_write(apics[0], 0x32, 1 << 19));
    CHECK(!lapic_msr_write(apics[0], 0x38, UINT64_C(1) << 32));
    CHECK(!lapic_set_base(apics[0], 0xfee00900)); /* not straight back */
    CHECK(lapic_set_base(apics[0], 0xfee00100));
    CHECK(!lapic_set_base(apics[0], 0xfee00d00)); /* nor from off */
    CHECK(lapic_set_base(apics[0], 0xfee00900));
    EQ(r(0x20), 0x23u << 24);
    EQ(r(0xd0), 0);
    end();
    with_x2apic = false;
}

static void test_x2apic_messages(void)
{
    with_x2apic = true;
    begin_apics();
    for (unsigned i = 0; i < 2; i++) {
        CHECK(lapic_set_base(apics[i], i ? 0xfee00c00 : 0xfee00d00));
        wmsr(i, 0xf, 0x1ff);
    }
    wmsr(0, 0x30, UINT64_C(0x34) << 32 | 0x4061); /* to an id */
    EQ(lapic_ack(apics[0]), LAPIC_ACK_NONE);
    EQ(lapic_ack(apics[1]), 0x61);
    EQ(rmsr(0, 0x30), UINT64_C(0x34) << 32 | 0x4061);
    wmsr(1, 0xb, 0);
    wmsr(0, 0x30, UINT64_C(0x134) << 32 | 0x4062); /* 32 bits of it count */
    EQ(lapic_ack(apics[1]), LAPIC_ACK_NONE);
    wmsr(0, 0x30, UINT64_C(0x30010) << 32 | 0x4863); /* cluster 3, bit 4 */
    EQ(lapic_ack(apics[0]), LAPIC_ACK_NONE);
    EQ(lapic_ack(apics[1]), 0x63);
    wmsr(1, 0xb, 0);
    wmsr(0, 0x30, UINT64_C(0x2ffff) << 32 | 0x4864); /* all of cluster 2 */
    EQ(lapic_ack(apics[0]), 0x64);
    EQ(lapic_ack(apics[1]), LAPIC_ACK_NONE);
    wmsr(0, 0xb, 0);
    wmsr(1, 0x30, UINT64_C(0xffffffff) << 32 | 0x4065); /* everybody */
    EQ(lapic_ack(apics[0]), 0x65);
    EQ(lapic_ack(apics[1]), 0x65);
    wmsr(0, 0xb, 0), wmsr(1, 0xb, 0);
    wmsr(1, 0x3f, 0x66); /* to itself */
    EQ(lapic_ack(apics[0]), LAPIC_ACK_NONE);
    EQ(lapic_ack(apics[1]), 0x66);
    wmsr(1, 0xb, 0);
    wmsr(1, 0x3f, 5);
    wmsr(1, 0x28, 0);
    EQ(rmsr(1, 0x28), 0x20);
    wmsr(0, 8, 0x70);
    EQ(lapic_get_tpr(apics[0]), 7);
    wmsr(0, 8, 0);
    current = 9; /* messages of eight bits reach x2APICs, too */
    poke(L + (0x34 << 12), 4, 0x4072);
    EQ(lapic_ack(apics[1]), 0x72);
    wmsr(1, 0xb, 0);
    poke(L + (0xff << 12), 4, 0x4073);
    EQ(lapic_ack(apics[0]), 0x73);
    EQ(lapic_ack(apics[1]), 0x73);
    current = 0;
    wmsr(0, 0xb, 0), wmsr(1, 0xb, 0);
    w(0xf0, 0xff); /* the page is not there */
    EQ(rmsr(0, 0xf), 0x1ff);
    wmsr(0, 0x30, UINT64_C(0x34) << 32 | 0x4500); /* INIT: the mode and the ids stay */
    EQ(inits, 1);
    EQ(rmsr(1, 0xd), 3u << 16 | 1u << 4);
    EQ(rmsr(1, 0xf), 0xff);
    end();
    with_x2apic = false;
}

static void test_deadline(void)
{
    with_x2apic = true;
    begin_apics();
    w(0xf0, 0x1ff);
    w(0x3e0, 0xb);
    w(0x320, 0x50);
    lapic_set_deadline(apics[0], 77, clock_now(mb->clock) + 100); /* not the mode */
    EQ(lapic_get_deadline(apics[0]), 0);
    w(0x380, 5000);
    w(0x320, 0x40051);
    EQ(r(0x320), 0x40051);
    EQ(r(0x390), 0); /* the count is over */
    w(0x380, 100);
    EQ(r(0x380), 0);
    lapic_set_deadline(apics[0], 12345, clock_now(mb->clock) + 1000);
    EQ(lapic_get_deadline(apics[0]), 12345);
    wait_ns(999);
    CHECK(!line(apics[0], LAPIC_INTR));
    wait_ns(1);
    EQ(lapic_ack(apics[0]), 0x51);
    EQ(lapic_get_deadline(apics[0]), 0);
    w(0xb0, 0);
    wait_ns(100000);
    CHECK(!line(apics[0], LAPIC_INTR)); /* once */
    lapic_set_deadline(apics[0], 12345, clock_now(mb->clock) + 1000);
    lapic_set_deadline(apics[0], 0, clock_now(mb->clock));
    wait_ns(2000);
    CHECK(!line(apics[0], LAPIC_INTR)); /* 0 disarms */
    lapic_set_deadline(apics[0], 12345, clock_now(mb->clock) + 1000);
    w(0x320, 0x51); /* so does another mode */
    EQ(lapic_get_deadline(apics[0]), 0);
    wait_ns(2000);
    CHECK(!line(apics[0], LAPIC_INTR));
    end();
    with_x2apic = false;
    begin_apics();
    w(0xf0, 0x1ff);
    w(0x320, 0x40051);
    EQ(r(0x320), 0x51); /* without the feature */
    end();
}

static void test_ioapic(void)
{
    begin_apics();
    w(0xf0, 0x1ff);
    EQ(io_r(0), 0);
    io_w(0, 0x5000000);
    EQ(io_r(0), 0x5000000);
    EQ(io_r(1), 0x170011);
    EQ(io_r(0x10), 0x10000);
    io_w(0x10 + 2 * 4, 0x41); /* input 4: edge, vector 41, to APIC 0 */
    io_w(0x11 + 2 * 4, 0);
    pin(ioapic, 4, true);
    EQ(lapic_ack(apics[0]), 0x41);
    w(0xb0, 0);
    EQ(lapic_ack(apics[0]), LAPIC_ACK_NONE);
    pin(ioapic, 4, false);
    pin(ioapic, 4, true);
    EQ(lapic_ack(apics[0]), 0x41);
    w(0xb0, 0);
    io_w(0x10 + 2 * 11, 0x8055); /* input 11: level */
    pin(ioapic, 11, true);
    EQ(lapic_ack(apics[0]), 0x55);
    EQ(io_r(0x10 + 2 * 11), 0xc055); /* remote IRR */
    EQ(r(0x1a0), 1u << (0x55 - 0x40));
    w(0xb0, 0); /* still asserted: again */
    EQ(lapic_ack(apics[0]), 0x55);
    pin(ioapic, 11, false);
    w(0xb0, 0);
    EQ(lapic_ack(apics[0]), LAPIC_ACK_NONE);
    EQ(io_r(0x10 + 2 * 11), 0x8055);
    end();
}

/* ---- HPET ---- */

static void test_hpet(void)
{
    struct device *d;
    enum { H = 0xfed00000 };
    begin();
    d = make("hpet");
    region_add(mb->mem_root, dev_mmio(d, 0), H, 0);
    mb_reset(mb);
    EQ(peek(H, 4), 0x8086a201);
    EQ(peek(H + 4, 4), 10000000);
    edges = 0;
    irq_connect(dev_irq(d, 0), count_edge, NULL, 0);
    pin(d, HPET_IN_PIT, true); /* passes while there is no legacy replacement */
    pin(d, HPET_IN_PIT, false);
    EQ(edges, 1);
    wait_ns(1000);
    EQ(peek(H + 0xf0, 8), 0);
    poke(H + 0x10, 4, 3);
    pin(d, HPET_IN_PIT, true);
    EQ(edges, 1);
    pin(d, HPET_IN_PIT, false);
    wait_ns(1000);
    EQ(peek(H + 0xf0, 8), 100);
    poke(H + 0x100, 4, 4); /* timer 0: enabled, edge, one shot */
    poke(H + 0x108, 8, 150);
    wait_ns(490);
    EQ(edges, 1);
    wait_ns(10);
    EQ(edges, 2);
    poke(H + 0x100, 4, 4 | 8 | 0x40); /* periodic; value, then period */
    poke(H + 0x108, 4, 250);
    poke(H + 0x108, 4, 100);
    wait_ns(1000);
    EQ(edges, 3);
    wait_ns(3000);
    EQ(edges, 6);
    poke(H + 0x10, 4, 2);
    wait_ns(100000);
    EQ(edges, 6);
    EQ(peek(H + 0x104, 4), 0xff0000);
    end();
}

/* ---- the 440FX ---- */

static void conf(unsigned devfn, unsigned reg, unsigned size, uint32_t v)
{
    as_write(mb->io, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
    as_write(mb->io, 0xcfc + (reg & 3), size, v);
}
static uint32_t conf_r(unsigned devfn, unsigned reg, unsigned size)
{
    uint64_t v;
    as_write(mb->io, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
    as_read(mb->io, 0xcfc + (reg & 3), size, &v);
    return (uint32_t)v;
}

static void test_i440fx(void)
{
    struct error e = ERROR_INIT;
    struct device *host, *d, *isa;
    begin();
    struct region *ram = mb_own_region(mb, region_new_ram("ram", 1 << 20, &e));
    struct region *rom = mb_own_region(mb, region_new_rom("rom", 0x40000, &e));
    memset(region_ram(rom), 0x5a, 0x40000);
    host = make("i440FX-pcihost");
    d = pci_make(mb, "i440FX", 0, &e);
    isa = pci_make(mb, "PIIX3", 8, &e);
    region_add(mb->mem_root, mb_own_region(mb, region_new_alias("low", ram, 0, 1 << 20)), 0, 0);
    i440fx_set_memory(d, ram, rom);
    i440fx_set_reset_port(host, piix_reset_control, piix_write_reset_control, isa);
    mb_reset(mb);
    EQ(conf_r(0, 0, 4), 0x12378086);
    EQ(conf_r(8, 0, 4), 0x70008086);
    EQ(conf_r(8, 0x60, 4), 0x80808080);
    EQ(conf_r(0x10, 0, 4), 0xffffffff);
    uint64_t v;
    as_read(mb->io, 0xcf8, 4, &v);
    EQ(v, 0x80001000);

    memset(region_ram(ram) + 0xc0000, 0x11, 0x40000);
    EQ(peek(0xf0000, 1), 0x5a);
    conf(0, 0x59, 1, 0x10); /* F0000h: reads from RAM */
    EQ(peek(0xf0000, 1), 0x11);
    poke(0xf0000, 1, 0x22);
    EQ(peek(0xf0000, 1), 0x11);
    conf(0, 0x59, 1, 0x30);
    poke(0xf0000, 1, 0x22);
    EQ(peek(0xf0000, 1), 0x22);
    conf(0, 0x59, 1, 0x20); /* writes to RAM, reads from ROM */
    poke(0xf0001, 1, 0x33);
    EQ(peek(0xf0001, 1), 0x5a);
    EQ(region_ram(ram)[0xf0001], 0x33);
    conf(0, 0x5a, 1, 0x03); /* C0000h..C3FFFh */
    EQ(peek(0xc3fff, 1), 0x11);
    EQ(peek(0xc4000, 1), 0x5a);
    conf(0, 0x5f, 1, 0x30); /* EC000h..EFFFFh */
    EQ(peek(0xebfff, 1), 0x5a);
    EQ(peek(0xec000, 1), 0x11);

    region_ram(ram)[0xa0000] = 0x77;
    struct region *vga = mb_own_region(mb, region_new_ram("vga", 0x20000, &e));
    region_add(mb->mem_root, vga, 0xa0000, 1);
    EQ(peek(0xa0000, 1), 0);
    conf(0, 0x72, 1, 0x4a); /* SMRAM open */
    EQ(peek(0xa0000, 1), 0x77);
    conf(0, 0x72, 1, 0x0a);
    EQ(peek(0xa0000, 1), 0);
    i440fx_set_smm(d, true);
    EQ(peek(0xa0000, 1), 0x77);
    i440fx_set_smm(d, false);
    conf(0, 0x72, 1, 0x1a); /* locked */
    conf(0, 0x72, 1, 0x4a);
    EQ(conf_r(0, 0x72, 1) & 0x50, 0x10);
    EQ(peek(0xa0000, 1), 0);

    out(0xcf9, 2);
    EQ(in(0xcf9), 2);
    EQ(resets, 0);
    out(0xcf9, 6);
    EQ(resets, 1);

    edges = 0;
    irq_connect(dev_irq(isa, 11), count_edge, NULL, 0);
    conf(8, 0x61, 1, 0x0b); /* PIRQB to IRQ 11 */
    pin(isa, PIIX4_IN_PIRQ + 1, true);
    EQ(edges, 1);
    CHECK(line(isa, 11));
    conf(8, 0x61, 1, 0x80);
    CHECK(!line(isa, 11));
    end();
}

/* ---- fw_cfg ---- */

static void test_fw_cfg(void)
{
    struct error e = ERROR_INIT;
    struct device *d;
    uint8_t b[64] = {0};
    begin();
    struct region *ram = mb_own_region(mb, region_new_ram("ram", 0x10000, &e));
    region_add(mb->mem_root, ram, 0, 0);
    d = make("fw_cfg_io");
    EQ(fw_cfg_add_file(d, "b", "two", 3, &e), 0);
    EQ(fw_cfg_add_file(d, "a", "one!", 4, &e), 0);
    EQ(fw_cfg_add_file(d, "b", "twos", 4, &e), 0); /* replaces */
    EQ(fw_cfg_add_file(d, "", "x", 1, &e), -1);
    mb_reset(mb);
    as_write(mb->io, 0x510, 2, 0);
    for (unsigned i = 0; i < 4; i++)
        EQ(in(0x511), "QEMU"[i]);
    EQ(in(0x511), 0);
    as_write(mb->io, 0x510, 2, 0x19);
    for (unsigned i = 0; i < 4; i++)
        b[i] = in(0x511);
    EQ(ld32_be(b), 2);
    for (unsigned i = 0; i < 64; i++)
        b[i] = in(0x511);
    EQ(ld32_be(b), 4);
    EQ(ld16_be(b + 4), 0x20);
    EQ(b[8], 'a');
    uint64_t v;
    as_read(mb->io, 0x514, 8, &v);
    uint8_t sig[8];
    st64_le(sig, v);
    CHECK(!memcmp(sig, "QEMU CFG", 8));
    uint8_t *m = region_ram(ram);
    st32_be(m + 0x100, 0x21u << 16 | 8 | 2); /* select file b, read */
    st32_be(m + 0x104, 6);
    st64_be(m + 0x108, 0x200);
    memset(m + 0x200, 0xcc, 16);
    as_write(mb->io, 0x518, 4, host_bswap32(0x100));
    EQ(ld32_be(m + 0x100), 0);
    CHECK(!memcmp(m + 0x200, "twos\0\0\xcc", 7));
    st32_be(m + 0x100, 2); /* to where there is no memory */
    st64_be(m + 0x108, 0x80000000u);
    as_write(mb->io, 0x518, 4, host_bswap32(0x100));
    EQ(ld32_be(m + 0x100), 1);
    end();
}

/* ---- small ports ---- */

static void test_ports(void)
{
    begin();
    struct device *p92 = make("port92"), *ferr = make("isa-ferr");
    struct device *x = make("isa-debug-exit"), *dbg = make("isa-debugcon");
    CHECK(x && dbg);
    mb_reset(mb);
    CHECK(!line(p92, 0));
    out(0x92, 2);
    CHECK(line(p92, 0));
    EQ(in(0x92), 2);
    out(0x92, 3);
    EQ(resets, 1);
    pin(ferr, 0, true);
    CHECK(line(ferr, 0));
    out(0xf0, 0);
    CHECK(!line(ferr, 0));
    CHECK(line(ferr, 1));
    pin(ferr, 0, false);
    CHECK(!line(ferr, 1));
    EQ(in(0xe9), 0xe9);
    out(0x501, 0x10);
    EQ(mb->exit_code, 0x21);
    end();
}

/* ---- VGA ---- */

static void test_vga(void)
{
    struct error e = ERROR_INIT;
    struct picture p;
    uint64_t v;
    begin();
    make("i440FX-pcihost");
    struct device *d = pci_make(mb, "VGA", 0x10, &e);
    CHECK(d && mb->display);
    mb_reset(mb);
    out(0x3c2, 0x67);
    EQ(in(0x3cc), 0x67);
    EQ(in(0x3b4), 0xff); /* colour: the other addresses do not answer */
    /* planar writes */
    out(0x3c4, 4), out(0x3c5, 6); /* sequential */
    out(0x3ce, 6), out(0x3cf, 5); /* graphics, A0000h */
    out(0x3c4, 2), out(0x3c5, 0x0f);
    out(0x3ce, 8), out(0x3cf, 0xff);
    poke(0xa0010, 1, 0x81);
    out(0x3ce, 4), out(0x3cf, 2);
    EQ(peek(0xa0010, 1), 0x81);
    out(0x3c4, 2), out(0x3c5, 0x04);
    poke(0xa0010, 1, 0x42);
    EQ(peek(0xa0010, 1), 0x42);
    out(0x3ce, 4), out(0x3cf, 1);
    EQ(peek(0xa0010, 1), 0x81);
    out(0x3c4, 2), out(0x3c5, 0x0f);
    out(0x3ce, 5), out(0x3cf, 2); /* write mode 2: a colour */
    out(0x3ce, 8), out(0x3cf, 0x80);
    peek(0xa0010, 1);
    poke(0xa0010, 1, 0x02);
    EQ(peek(0xa0010, 1), 0x81); /* plane 1 has the bit */
    out(0x3ce, 4), out(0x3cf, 0);
    EQ(peek(0xa0010, 1), 0x01); /* plane 0 lost it */
    out(0x3ce, 5), out(0x3cf, 8); /* read mode 1 */
    out(0x3ce, 2), out(0x3cf, 2);
    out(0x3ce, 7), out(0x3cf, 3);
    EQ(peek(0xa0010, 1) & 0x80, 0x80);
    /* the DAC */
    out(0x3c8, 5), out(0x3c9, 1), out(0x3c9, 2), out(0x3c9, 63);
    out(0x3c7, 5);
    EQ(in(0x3c9), 1);
    EQ(in(0x3c9), 2);
    EQ(in(0x3c9), 63);
    /* VBE */
    as_write(mb->io, 0x1ce, 2, 0);
    as_read(mb->io, 0x1cf, 2, &v);
    EQ(v, 0xb0c5);
    static const uint16_t mode[][2] = {{4, 0}, {1, 64}, {2, 32}, {3, 32}, {4, 0x41}};
    for (unsigned i = 0; i < ARRAY_LEN(mode); i++) {
        as_write(mb->io, 0x1ce, 2, mode[i][0]);
        as_write(mb->io, 0x1cf, 2, mode[i][1]);
    }
    conf(0x10, 0x10, 4, 0xe0000000u);
    conf(0x10, 0x18, 4, 0xfd000000u);
    conf(0x10, 4, 2, 3);
    poke(0xe0000000u + 4 * (64 * 3 + 5), 4, 0x112233);
    mb->display->draw(mb->display->opaque, &p);
    EQ(p.width, 64);
    EQ(p.height, 32);
    EQ(p.rgb[3 * (64 * 3 + 5)], 0x11);
    EQ(p.rgb[3 * (64 * 3 + 5) + 2], 0x33);
    picture_free(&p);
    EQ(peek(0xfd000502u, 2), 64); /* registers in memory */
    EQ(peek(0xfd000000u, 8), UINT64_C(0x00ffffffffffff00));
    unsigned sum = 0;
    for (unsigned i = 0; i < 128; i++)
        sum += (unsigned)peek(0xfd000000u + i, 1);
    EQ(sum & 0xff, 0);
    end();
}

/* ---- AML ---- */

static void test_aml(void)
{
    struct aml a = {0};
    aml_name_int(&a, "_ADR", 0x12345);
    CHECK(a.len == 10 && !memcmp(a.data, "\x08_ADR\x0c\x45\x23\x01\x00", 10));
    a.len = 0;
    aml_eisa_id(&a, "PNP0A03");
    CHECK(a.len == 5 && !memcmp(a.data, "\x0c\x41\xd0\x0a\x03", 5));
    a.len = 0;
    aml_scope(&a, "\\_SB.PCI0");
    aml_end(&a);
    CHECK(a.len == 12 && !memcmp(a.data, "\x10\x0b\\\x2e_SB_PCI0", 12));
    a.len = 0;
    aml_package(&a, 3);
    for (unsigned i = 0; i < 100; i++)
        aml_byte(&a, 0);
    aml_end(&a);
    EQ(a.data[1], 0x40 | 7); /* two bytes of length: 103 */
    EQ(a.data[2], 103 >> 4);
    aml_free(&a);
}

int main(void)
{
    periph_register_all();
    test_lapic();
    test_lapic_timer();
    test_ipi();
    test_x2apic_mode();
    test_x2apic_messages();
    test_deadline();
    test_ioapic();
    test_hpet();
    test_i440fx();
    test_fw_cfg();
    test_ports();
    test_vga();
    test_aml();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
