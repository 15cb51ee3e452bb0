/*
 * test-fdc.c - the floppy disk controller at its registers: resets, seeks, the change line, transfers by DMA and by the
 * processor, formats, errors, what no command is.
 *
 * Prints the failures and `N passed, N failed`.
 */
#include "tests/devices.h"

#include "periph/block/fdc.h"
#include "periph/misc/i8257.h"

#include <stdlib.h>

static uint8_t data[2880 * 1024];
static struct blk_backend disk = { .data = data, .size = 1440 * 1024 };
static struct region *ram;
static struct device *fdc;
static uint8_t res[16];
static unsigned n_res;

static void up(unsigned kib)
{
    struct error e = ERROR_INIT;
    begin();
    ram = region_new_ram("ram", 1 << 20, NULL);
    region_add(mb->mem_root, ram, 0, 0);
    struct device *dma = make("i8257");
    fdc = make("isa-fdc");
    fdc_set_dma(fdc, dma);
    disk.size = kib * 1024, disk.readonly = false;
    for (unsigned i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i / 512 * 3 + i);
    CHECK(fdc_add_drive(fdc, 0, kib ? &disk : NULL, &e) == 0);
    mb_reset(mb);
    out(0xd6, 0xc0), out(0xd4, 0); /* the cascade */
}

static void down(void)
{
    while (mb->last) dev_destroy(mb->last);
    region_remove(ram);
    region_delete(ram);
    end();
}

static void send(unsigned v)
{
    for (unsigned i = 0; i < 1000 && (in(0x3f4) & 0xc0) != 0x80; i++) wait_ns(10000);
    CHECK((in(0x3f4) & 0xc0) == 0x80);
    out(0x3f5, v);
}

/* Waits until the controller has results, and reads them. */
static unsigned results(void)
{
    for (unsigned i = 0; i < 100000 && (in(0x3f4) & 0xe0) != 0xc0; i++) wait_ns(10000);
    for (n_res = 0; n_res < sizeof res && (in(0x3f4) & 0xd0) == 0xd0;) res[n_res++] = in(0x3f5);
    return n_res;
}

static void sense(unsigned st0, unsigned track)
{
    send(8);
    EQ(results(), 2);
    EQ(res[0], st0);
    EQ(res[1], track);
}

static void on(unsigned rate)
{
    out(0x3f2, 0x00);
    out(0x3f2, 0x1c); /* motor of drive 0, DMA and interrupt */
    wait_ns(1000000);
    CHECK(line(fdc, 0));
    for (unsigned i = 0; i < 4; i++) sense(0xc0 | i, 0);
    CHECK(!line(fdc, 0));
    send(8);
    EQ(results(), 1);
    EQ(res[0], 0x80);
    out(0x3f7, rate);
    send(3), send(0xdf), send(2); /* SPECIFY: DMA */
}

static void seek(unsigned track)
{
    send(0x0f), send(0), send(track);
    EQ(in(0x3f4) & 1, 1); /* it moves */
    wait_ns(5000000);
    CHECK(line(fdc, 0));
    sense(0x20, track);
    EQ(in(0x3f4), 0x80);
}

static void dma_to(uint32_t addr, unsigned n, bool to_memory)
{
    out(0x0a, 6);
    out(0x0c, 0);
    out(0x0b, to_memory ? 0x46 : 0x4a);
    out(0x04, addr), out(0x04, addr >> 8), out(0x81, addr >> 16);
    out(0x05, n - 1), out(0x05, (n - 1) >> 8);
    out(0x0a, 2);
}

/* A transfer's nine bytes; results are in res. */
static void transfer(unsigned command, unsigned c, unsigned h, unsigned r, unsigned eot)
{
    send(command), send(h << 2), send(c), send(h), send(r), send(2), send(eot), send(0x1b), send(0xff);
    EQ(results(), 7);
}

static void test_dma(void)
{
    up(1440);
    EQ(fdc_drive_type(fdc, 0), FDC_1440K);
    EQ(fdc_drive_type(fdc, 1), FDC_NONE);
    EQ(in(0x3f4), 0); /* in reset */
    on(0);
    EQ(in(0x3f7) & 0x80, 0x80); /* nothing is known about the disk */
    send(7), send(0);
    wait_ns(5000000);
    sense(0x20, 0);
    EQ(in(0x3f7) & 0x80, 0);
    seek(5);
    /* one sector, terminal count */
    dma_to(0x1000, 512, true);
    transfer(0xe6, 5, 1, 3, 18);
    EQ(res[0], 0x04), EQ(res[1], 0), EQ(res[2], 0);
    EQ(res[3], 5), EQ(res[4], 1), EQ(res[5], 4), EQ(res[6], 2);
    CHECK(!memcmp(region_ram(ram) + 0x1000, data + ((5 * 2 + 1) * 18 + 2) * 512, 512));
    /* both sides in one go */
    dma_to(0x10000, 36 * 512, true);
    transfer(0xe6, 5, 0, 1, 18);
    EQ(res[0], 0), EQ(res[3], 6), EQ(res[4], 0), EQ(res[5], 1);
    CHECK(!memcmp(region_ram(ram) + 0x10000, data + 5 * 36 * 512, 36 * 512));
    /* the end of the cylinder comes before terminal count */
    dma_to(0x10000, 4 * 512, true);
    transfer(0x46, 5, 0, 17, 18);
    EQ(res[0], 0x40), EQ(res[1], 0x80);
    /* writing; the rest of a sector that the count leaves is zeros */
    memset(region_ram(ram) + 0x2000, 0x99, 1024);
    dma_to(0x2000, 700, false);
    transfer(0xc5, 5, 0, 2, 18);
    EQ(res[0], 0), EQ(res[5], 4);
    const uint8_t *at = data + (5 * 36 + 1) * 512;
    CHECK(at[0] == 0x99 && at[699] == 0x99 && at[700] == 0 && at[1023] == 0);
    /* a sector, a track that is not there; heads elsewhere; another data rate; protection */
    dma_to(0x1000, 512, true);
    transfer(0x46, 5, 0, 19, 19);
    EQ(res[0], 0x40), EQ(res[1], 4);
    transfer(0x46, 7, 0, 1, 18);
    EQ(res[1], 4), EQ(res[2], 0x10);
    out(0x3f7, 2);
    transfer(0x46, 5, 0, 1, 18);
    EQ(res[1], 1);
    out(0x3f7, 0);
    disk.readonly = true;
    transfer(0x45, 5, 0, 1, 18);
    EQ(res[0], 0x40), EQ(res[1], 2);
    send(4), send(0);
    EQ(results(), 1);
    EQ(res[0], 0x68);
    disk.readonly = false;
    /* the other drive: nobody there */
    send(0x4a), send(1);
    EQ(results(), 7);
    EQ(res[0] & 0xc0, 0x40), EQ(res[1], 1);
    down();
}

static void test_id_and_format(void)
{
    up(720);
    on(2);
    seek(10);
    send(0x4a), send(4);
    EQ(results(), 7);
    EQ(res[0], 4), EQ(res[3], 10), EQ(res[4], 1), EQ(res[6], 2);
    CHECK(res[5] >= 1 && res[5] <= 9);
    uint8_t *ids = region_ram(ram) + 0x3000;
    for (unsigned i = 0; i < 9; i++) ids[4 * i] = 10, ids[4 * i + 1] = 1, ids[4 * i + 2] = (uint8_t)(i + 1), ids[4 * i + 3] = 2;
    dma_to(0x3000, 36, false);
    send(0x4d), send(4), send(2), send(9), send(0x54), send(0xf6);
    EQ(results(), 7);
    EQ(res[0], 4), EQ(res[1], 0);
    const uint8_t *track = data + (10 * 2 + 1) * 9 * 512;
    CHECK(track[0] == 0xf6 && track[9 * 512 - 1] == 0xf6);
    CHECK(track[-1] != 0xf6 || track[9 * 512] != 0xf6);
    ids[2] = 77; /* an ID of nowhere */
    dma_to(0x3000, 36, false);
    send(0x4d), send(4), send(2), send(9), send(0x54), send(0xf6);
    EQ(results(), 7);
    EQ(res[0] & 0xc0, 0x40);
    down();
}

static void test_processor(void)
{
    up(1440);
    on(0);
    send(3), send(0xdf), send(3); /* no DMA */
    seek(0);
    send(0x46), send(0), send(0), send(0), send(1), send(2), send(1), send(0x1b), send(0xff);
    uint8_t got[512];
    for (unsigned i = 0; i < 512; i++) {
        for (unsigned k = 0; k < 1000 && (in(0x3f4) & 0xf0) != 0xf0; k++) wait_ns(10000);
        got[i] = in(0x3f5);
    }
    CHECK(!memcmp(got, data, 512));
    EQ(results(), 7);
    EQ(res[1], 0x80); /* nobody gives a terminal count */
    down();
}

static void test_others(void)
{
    struct blk_backend *old;
    up(0);
    EQ(fdc_drive_type(fdc, 0), FDC_2880K);
    on(0);
    send(7), send(0);
    wait_ns(5000000);
    sense(0x20, 0);
    EQ(in(0x3f7) & 0x80, 0x80); /* no disk: stays */
    disk.size = 2880 * 1024;
    CHECK(fdc->desc->media->change(fdc, 0, &disk, &old, false, NULL) == 0 && !old);
    EQ(in(0x3f7) & 0x80, 0x80);
    seek(1);
    EQ(in(0x3f7) & 0x80, 0);
    out(0x3f7, 3);
    dma_to(0x1000, 512, true);
    transfer(0x46, 1, 0, 36, 36);
    EQ(res[0], 0);
    disk.size = 4 << 20;
    CHECK(fdc->desc->media->change(fdc, 0, &disk, &old, false, NULL) == -1);
    CHECK(fdc_add_drive(fdc, 1, &disk, NULL) == -1);
    CHECK(fdc_add_drive(fdc, 2, NULL, NULL) == -1);
    send(0x10);
    EQ(results(), 1);
    EQ(res[0], 0x90);
    send(0x13), send(0), send(0x47), send(0);
    send(0x94);
    EQ(results(), 1);
    EQ(res[0], 0x10);
    out(0x3f4, 0x80); /* a software reset keeps a locked configuration */
    wait_ns(1000000);
    for (unsigned i = 0; i < 4; i++) sense(0xc0 | i, i ? 0 : 1);
    send(0x0e);
    EQ(results(), 10);
    EQ(res[0], 1), EQ(res[8], 0x47), EQ(res[7] & 0x80, 0x80);
    for (unsigned c = 0; c < 256; c++) { /* each byte as a command: one with parameters waits for them */
        out(0x3f2, 0), out(0x3f2, 0x1c);
        wait_ns(1000000);
        out(0x3f5, c);
        for (unsigned i = 0; i < 20; i++) out(0x3f5, 0xff);
        wait_ns(100000000);
        for (unsigned i = 0; i < 20; i++) in(0x3f5);
    }
    down();
}

int main(void)
{
    periph_register_all();
    test_dma();
    test_id_and_format();
    test_processor();
    test_others();
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
