/*
 * test-ahci.c - the AHCI controller by the rules of Serial ATA AHCI 1.3.1 and ATA8-ACS, with a disk and a CD drive: registers
 * after reset, commands by PIO and DMA, packets, queued commands, errors and their ends, resets, interrupts by pin and
 * message, saving in the middle; host bridge and LPC bridge of the Q35 chip set. No CPU runs.
 */
#include "blockfmt/block.h"
#include "periph/devices.h"
#include "periph/pci/i440fx.h"
#include "periph/pci/ich9.h"
#include "tests/count.h"

#include <stdlib.h>
#include <unistd.h>

static uint64_t time_now;
static uint64_t get_time(void *opaque)
{
    return time_now;
}

enum { RAM_SIZE = 1 << 20, DISK_SECTORS = 2048, CD_SECTORS = 64 };
enum { LIST = 0x1000, FIS = 0x2000, TABLES = 0x4000, TABLE_SIZE = 0x400, DATA = 0x20000 };
#define ABAR     UINT64_C(0xfebf0000)
#define EXPRESS  UINT64_C(0xb0000000)
#define AHCI_DEV 0xfau
#define LPC_DEV  0xf8u

static struct blk_backend *disk, *disc;

/* An image whose sector i begins with i * a + b. */
static struct blk_backend *make_image(unsigned sectors, unsigned size, unsigned a, unsigned b, unsigned flags)
{
    char path[] = "/tmp/quern-ahci-XXXXXX";
    struct error e = ERROR_INIT;
    int fd = mkstemp(path);
    uint8_t *all = mem_alloc((size_t)sectors * size);
    memset(all, 0, (size_t)sectors * size);
    for (unsigned i = 0; i < sectors; i++)
        st32_le(all + (size_t)size * i, i * a + b);
    CHECK(fd >= 0 && write(fd, all, (size_t)sectors * size) == (long)(sectors * size));
    mem_free(all);
    if (fd >= 0) close(fd);
    struct blk_backend *blk = blk_open(path, "raw", flags, &e);
    CHECK(blk != NULL);
    unlink(path);
    return blk;
}

static uint32_t on_disk(unsigned sector)
{
    uint8_t v[4] = {0};
    CHECK(blk_read(disk, sector * 512, v, 4) == 0);
    return ld32_le(v);
}

struct rig {
    struct machine_bus *mb;
    struct region *ram;
    struct device *host, *lpc, *ahci;
    bool line[ICH9_OUTPUTS];
    unsigned messages;
    uint32_t last_message;
};

static void pin(void *opaque, unsigned n, bool level)
{
    ((struct rig *)opaque)->line[n] = level;
}

static void message(void *opaque, uint64_t addr, uint32_t data)
{
    struct rig *r = opaque;
    r->messages++;
    r->last_message = data;
}

static void rig_run(struct rig *r, uint64_t ns)
{
    for (uint64_t end = time_now + ns; time_now < end;) {
        time_now = MIN(time_now + 10000, end);
        clock_run(r->mb->clock, time_now);
    }
}

static uint32_t get(struct rig *r, uint64_t addr)
{
    uint64_t v = 0;
    as_read(r->mb->mem, addr, 4, &v);
    return (uint32_t)v;
}
static void set(struct rig *r, uint64_t addr, uint32_t v)
{
    as_write(r->mb->mem, addr, 4, v);
}
static uint8_t *ram(struct rig *r, unsigned at)
{
    return region_ram(r->ram) + at;
}
static uint64_t config(unsigned devfn, unsigned reg)
{
    return EXPRESS + (uint64_t)devfn * 4096 + reg;
}
/* Configuration by ports. */
static void set_port_config(struct rig *r, unsigned devfn, unsigned reg, uint32_t v)
{
    as_write(r->mb->io, 0xcf8, 4, 0x80000000u | devfn << 8 | reg);
    as_write(r->mb->io, 0xcfc, 4, v);
}

/* Registers of the controller and of port n. */
enum { GHC = 4, IS = 8 };
enum { CLB = 0x00, FB = 0x08, PIS = 0x10, PIE = 0x14, CMD = 0x18, TFD = 0x20, SIG = 0x24, SSTS = 0x28, SCTL = 0x2c, SERR = 0x30,
       SACT = 0x34, CI = 0x38 };
static uint64_t port(unsigned n, unsigned reg)
{
    return ABAR + 0x100 + 0x80 * n + reg;
}
static uint32_t pget(struct rig *r, unsigned n, unsigned reg)
{
    return get(r, port(n, reg));
}
static void pset(struct rig *r, unsigned n, unsigned reg, uint32_t v)
{
    set(r, port(n, reg), v);
}

static void start_port(struct rig *r, unsigned n)
{
    pset(r, n, CLB, LIST + 0x400 * n);
    pset(r, n, CLB + 4, 0);
    pset(r, n, FB, FIS + 0x100 * n);
    pset(r, n, FB + 4, 0);
    pset(r, n, SERR, ~0u);
    pset(r, n, PIS, ~0u);
    pset(r, n, PIE, 0xfdc000ff);
    pset(r, n, CMD, 0x10);
    pset(r, n, CMD, 0x11);
    set(r, ABAR + IS, ~0u);
}

static void rig_up(struct rig *r)
{
    struct error e = ERROR_INIT;
    memset(r, 0, sizeof *r);
    disk = make_image(DISK_SECTORS, 512, 7, 1, 0);
    disc = make_image(CD_SECTORS, 2048, 9, 2, BLK_RDONLY);
    r->mb = mb_new(40);
    clock_connect(r->mb->clock, get_time, NULL, NULL);
    r->ram = region_new_ram("ram", RAM_SIZE, &e);
    region_add(r->mb->mem_root, r->ram, 0, 0);
    r->host = dev_make(r->mb, "q35-pcihost", NULL, &e);
    pci_bus_set_map(r->mb->pci, ich9_pin_map);
    pci_bus_set_msi(r->mb->pci, message, r);
    CHECK(pci_make(r->mb, "mch", 0, &e) != NULL);
    r->lpc = pci_make(r->mb, "ICH9-LPC", LPC_DEV, &e);
    r->ahci = pci_make(r->mb, "ich9-ahci", AHCI_DEV, &e);
    CHECK(r->host && r->lpc && r->ahci);
    for (unsigned i = 0; i < 8; i++)
        dev_connect(r->host, i, r->lpc, ICH9_IN_PIRQ + i);
    for (unsigned i = 0; i < ICH9_OUTPUTS; i++)
        irq_connect(dev_irq(r->lpc, i), pin, r, i);
    struct device *hd = dev_create(r->mb, dev_find("ide-hd"), r->ahci, NULL);
    dev_set_int(hd, "unit", 0);
    dev_set_ptr(hd, "drive", disk);
    CHECK(dev_finish(hd, &e) != NULL);
    struct device *cd = dev_create(r->mb, dev_find("ide-cd"), r->ahci, NULL);
    dev_set_int(cd, "unit", 4);
    dev_set_ptr(cd, "drive", disc);
    CHECK(dev_finish(cd, &e) != NULL);
    struct device *none = dev_create(r->mb, dev_find("ide-cd"), r->ahci, NULL);
    dev_set_int(none, "unit", 3); /* a link has one drive */
    CHECK(dev_finish(none, &e) == NULL && strstr(e.msg, "no IDE unit 3"));
    mb_reset(r->mb);
    set_port_config(r, 0, 0x60, (uint32_t)EXPRESS | 1);
    set(r, config(AHCI_DEV, 0x24), (uint32_t)ABAR);
    set(r, config(AHCI_DEV, 4), 6);
    set(r, ABAR + GHC, 0x80000002);
}

static void rig_down(struct rig *r)
{
    while (r->mb->last)
        dev_destroy(r->mb->last);
    region_remove(r->ram);
    region_delete(r->ram);
    mb_delete(r->mb);
    blk_close(disk);
    blk_close(disc);
}

/* ---- commands ---- */

static unsigned table_at(unsigned n, unsigned slot)
{
    return TABLES + TABLE_SIZE * (slot + 32 * n);
}

/* A command of a slot with one range of memory; lba and count for 48-bit commands. */
static uint8_t *prepare(struct rig *r, unsigned n, unsigned slot, uint8_t cmd, uint64_t lba, uint32_t count, uint32_t bytes)
{
    uint8_t *h = ram(r, LIST + 0x400 * n + 32 * slot), *t = ram(r, table_at(n, slot));
    memset(h, 0, 32);
    memset(t, 0, TABLE_SIZE);
    st32_le(h, 5 | (bytes ? 1u << 16 : 0));
    st32_le(h + 8, table_at(n, slot));
    t[0] = 0x27, t[1] = 0x80, t[2] = cmd;
    t[4] = (uint8_t)lba, t[5] = (uint8_t)(lba >> 8), t[6] = (uint8_t)(lba >> 16), t[7] = 0x40;
    t[8] = (uint8_t)(lba >> 24), t[9] = (uint8_t)(lba >> 32), t[10] = (uint8_t)(lba >> 40);
    t[12] = (uint8_t)count, t[13] = (uint8_t)(count >> 8);
    st64_le(t + 0x80, DATA + 0x4000 * (uint64_t)slot);
    st32_le(t + 0x8c, bytes - 1);
    return t;
}

/* A queued one: the count is where others have features. */
static void prepare_queued(struct rig *r, unsigned slot, bool write, uint64_t lba, uint32_t count)
{
    uint8_t *t = prepare(r, 0, slot, write ? 0x61 : 0x60, lba, 0, count * 512);
    t[3] = (uint8_t)count, t[11] = (uint8_t)(count >> 8);
    t[12] = (uint8_t)(slot << 3);
}

/* Issues a slot and waits; the status. */
static uint32_t run(struct rig *r, unsigned n, unsigned slot)
{
    pset(r, n, PIS, ~0u);
    set(r, ABAR + IS, ~0u);
    pset(r, n, CI, 1u << slot);
    rig_run(r, 20000000);
    return pget(r, n, TFD);
}

static uint8_t *data(struct rig *r, unsigned slot)
{
    return ram(r, DATA + 0x4000 * slot);
}

static void test_registers(struct rig *r)
{
    CHECK(get(r, config(0, 0)) == 0x29c08086);
    CHECK(get(r, config(AHCI_DEV, 0)) == 0x29228086);
    CHECK(get(r, config(AHCI_DEV, 8)) >> 8 == 0x010601);
    CHECK(get(r, config(AHCI_DEV, 0x100)) == 0xffffffff); /* no extended space */
    CHECK(get(r, EXPRESS + (UINT64_C(1) << 20)) == 0xffffffff); /* bus 1 */
    CHECK((get(r, ABAR) & 31) == 5); /* six ports */
    CHECK((get(r, ABAR) >> 8 & 31) == 31 && (get(r, ABAR) >> 30) == 3);
    CHECK(get(r, ABAR + 0x0c) == 0x3f && get(r, ABAR + 0x10) == 0x00010200);
    CHECK(get(r, ABAR + GHC) == 0x80000002);
    set(r, ABAR + GHC, 0); /* AHCI is the only mode */
    CHECK(get(r, ABAR + GHC) == 0x80000000);
    set(r, ABAR + GHC, 2);
    CHECK(pget(r, 0, SIG) == 0x00000101 && pget(r, 2, SIG) == 0xeb140101 && pget(r, 1, SIG) == 0xffffffff);
    CHECK((pget(r, 0, SSTS) & 15) == 3 && pget(r, 1, SSTS) == 0);
    CHECK((pget(r, 0, TFD) & 0xff) == 0x50 && (pget(r, 1, TFD) & 0x7f) == 0x7f);
    CHECK((pget(r, 0, SERR) >> 26 & 1) && (pget(r, 0, PIS) & 0x40)); /* the link came up */
    pset(r, 0, PIS, ~0u);
    CHECK(pget(r, 0, PIS) & 0x40); /* shows PxSERR */
    pset(r, 0, SERR, ~0u);
    CHECK(pget(r, 0, SERR) == 0 && !(pget(r, 0, PIS) & 0x40));
    pset(r, 0, CI, 1); /* not started */
    CHECK(pget(r, 0, CI) == 0);
    start_port(r, 0);
    start_port(r, 2);
    CHECK((pget(r, 0, CMD) & 0xc01f) == 0xc017);
}

static void test_pio(struct rig *r)
{
    prepare(r, 0, 0, 0xec, 0, 0, 512);
    CHECK((run(r, 0, 0) & 0xff) == 0x50);
    uint8_t *id = data(r, 0);
    CHECK(ld32_le(id + 200) == DISK_SECTORS);
    CHECK((ld16_le(id + 2 * 75) & 31) == 31 && (ld16_le(id + 2 * 76) & 0x100)); /* queue of 32 */
    CHECK(ld16_le(id + 2 * 93) == 0);                                            /* serial */
    CHECK(pget(r, 0, CI) == 0 && (pget(r, 0, PIS) & 3) == 2); /* a PIO Setup, no register FIS */
    CHECK(get(r, ABAR + IS) == 1 && r->line[ICH9_OUT_GSI]);   /* slot 31's INTA# is PIRQA# */
    CHECK(ld32_le(ram(r, LIST) + 4) == 512);                  /* bytes moved */
    CHECK(*ram(r, FIS + 0x20) == 0x5f && ld16_le(ram(r, FIS + 0x30)) == 512 && *ram(r, FIS + 0x2f) == 0x50);
    set(r, ABAR + IS, 1); /* the port still asks */
    CHECK(get(r, ABAR + IS) == 1 && r->line[ICH9_OUT_GSI]);
    pset(r, 0, PIS, ~0u);
    set(r, ABAR + IS, 1);
    CHECK(get(r, ABAR + IS) == 0 && !r->line[ICH9_OUT_GSI]);
    /* 3 sectors in, and out to elsewhere */
    prepare(r, 0, 1, 0x24, 5, 3, 1536);
    CHECK((run(r, 0, 1) & 0xff) == 0x50 && ld32_le(data(r, 1) + 1024) == 7 * 7 + 1);
    prepare(r, 0, 2, 0x34, 100, 3, 1536);
    memcpy(data(r, 2), data(r, 1), 1536);
    CHECK((run(r, 0, 2) & 0xff) == 0x50 && on_disk(102) == 7 * 7 + 1);
    CHECK(pget(r, 0, PIS) & 1); /* ends with a register FIS */
}

static void test_dma(struct rig *r)
{
    /* two ranges, the first one not of whole sectors */
    uint8_t *t = prepare(r, 0, 3, 0x25, 10, 300, 0);
    st32_le(ram(r, LIST + 32 * 3), 5 | 2u << 16);
    st64_le(t + 0x80, DATA + 0x40000);
    st32_le(t + 0x8c, 1001); /* 1002 bytes */
    st64_le(t + 0x90, DATA + 0x60000);
    st32_le(t + 0x9c, 300 * 512 - 1002 - 1);
    CHECK((run(r, 0, 3) & 0xff) == 0x50);
    CHECK(ld32_le(ram(r, DATA + 0x40000)) == 71 && ld32_le(ram(r, DATA + 0x60000) + 1024 - 1002) == 12 * 7 + 1);
    CHECK(ld32_le(ram(r, DATA + 0x60000) + 299 * 512 - 1002) == 309 * 7 + 1);
    CHECK(ld32_le(ram(r, LIST + 32 * 3) + 4) == 300 * 512);
    CHECK((pget(r, 0, PIS) & 3) == 1 && *ram(r, FIS + 0x40) == 0x34 && ram(r, FIS + 0x40)[2] == 0x50);
    prepare(r, 0, 4, 0x35, 500, 2, 1024);
    st32_le(data(r, 4) + 512, 0x12345678);
    CHECK((run(r, 0, 4) & 0xff) == 0x50 && on_disk(501) == 0x12345678);
    prepare(r, 0, 4, 0xea, 0, 0, 0);
    CHECK((run(r, 0, 4) & 0xff) == 0x50);
    /* several at once: in order, one after the other */
    for (unsigned i = 0; i < 8; i++)
        prepare(r, 0, i, 0x25, 20 + i, 1, 512);
    CHECK(((void)run(r, 0, 0), true));
    pset(r, 0, CI, 0xfe);
    CHECK(pget(r, 0, CI) == 0xfe && (pget(r, 0, TFD) & 0x80));
    rig_run(r, 20000000);
    CHECK(pget(r, 0, CI) == 0 && ld32_le(data(r, 7)) == 27 * 7 + 1);
}

static void stop_and_start(struct rig *r, unsigned n)
{
    pset(r, n, CMD, 0x10);
    CHECK(pget(r, n, CI) == 0 && pget(r, n, SACT) == 0 && !(pget(r, n, CMD) & 0x8000));
    pset(r, n, PIS, ~0u);
    pset(r, n, SERR, ~0u);
    pset(r, n, CMD, 0x11);
    set(r, ABAR + IS, ~0u);
}

static void test_errors(struct rig *r)
{
    /* beyond the end: ID not found; the port stops, and what is behind waits */
    prepare(r, 0, 3, 0x25, DISK_SECTORS, 1, 512);
    prepare(r, 0, 4, 0x25, 1, 1, 512);
    CHECK((run(r, 0, 3) & 0xff01) == 0x1001);
    CHECK(pget(r, 0, PIS) & (1u << 30));
    CHECK(pget(r, 0, CI) == 8 && (pget(r, 0, CMD) >> 8 & 31) == 3);
    pset(r, 0, CI, 16);
    rig_run(r, 20000000);
    CHECK(pget(r, 0, CI) == 24);
    stop_and_start(r, 0);
    CHECK((run(r, 0, 4) & 0xff) == 0x50 && ld32_le(data(r, 4)) == 8);
    /* an unknown command */
    prepare(r, 0, 5, 0x9f, 0, 0, 0);
    CHECK((run(r, 0, 5) & 0x0401) == 0x0401);
    stop_and_start(r, 0);
    /* less memory than data; memory that is not there; a table that is not; no FIS */
    prepare(r, 0, 5, 0x25, 0, 4, 512);
    CHECK((run(r, 0, 5) & 1) && (pget(r, 0, PIS) & (1u << 24)));
    stop_and_start(r, 0);
    st64_le(prepare(r, 0, 5, 0x25, 0, 1, 512) + 0x80, UINT64_C(0x800000000));
    CHECK((run(r, 0, 5) & 1) && (pget(r, 0, PIS) & (1u << 29)));
    stop_and_start(r, 0);
    prepare(r, 0, 5, 0x25, 0, 1, 512);
    st32_le(ram(r, LIST + 32 * 5) + 12, 8);
    (void)run(r, 0, 5);
    CHECK(pget(r, 0, PIS) & (1u << 29));
    stop_and_start(r, 0);
    prepare(r, 0, 5, 0x25, 0, 1, 512)[0] = 0x41;
    (void)run(r, 0, 5);
    CHECK(pget(r, 0, PIS) & (1u << 27));
    stop_and_start(r, 0);
    prepare(r, 0, 6, 0x25, 3, 1, 512);
    CHECK((run(r, 0, 6) & 0xff) == 0x50 && ld32_le(data(r, 6)) == 22);
}

static void test_queued(struct rig *r)
{
    for (unsigned i = 0; i < 32; i++)
        prepare_queued(r, i, i & 1, 40 + i, 1), st32_le(data(r, i), 0xabc00 + i);
    pset(r, 0, PIS, ~0u);
    pset(r, 0, SACT, ~0u);
    pset(r, 0, CI, ~0u);
    CHECK(pget(r, 0, CI) == 0 && pget(r, 0, SACT) == ~0u && !(pget(r, 0, TFD) & 0x88)); /* taken, none done */
    rig_run(r, 50000000);
    CHECK(pget(r, 0, SACT) == 0 && (pget(r, 0, PIS) & 9) == 8); /* Set Device Bits */
    CHECK(*ram(r, FIS + 0x58) == 0xa1);
    CHECK(ld32_le(data(r, 6)) == 46 * 7 + 1 && on_disk(47) == 0xabc07);
    /* one fails: it stays in PxSACT, and the log says which */
    prepare_queued(r, 4, false, 9, 1);
    prepare_queued(r, 9, false, DISK_SECTORS + 5, 1);
    pset(r, 0, SACT, 0x210);
    pset(r, 0, CI, 0x210);
    rig_run(r, 50000000);
    CHECK((pget(r, 0, SACT) & 0x200) && (pget(r, 0, TFD) & 1) && (pget(r, 0, PIS) & (1u << 30)));
    stop_and_start(r, 0);
    prepare(r, 0, 0, 0x2f, 0x10, 1, 512);
    CHECK((run(r, 0, 0) & 0xff) == 0x50);
    uint8_t *log = data(r, 0), sum = 0;
    for (unsigned i = 0; i < 512; i++)
        sum = (uint8_t)(sum + log[i]);
    CHECK(log[0] == 9 && (log[2] & 1) && log[3] == 0x10 && !sum);
    prepare(r, 0, 0, 0x2f, 0x10, 1, 512);
    CHECK((run(r, 0, 0) & 0xff) == 0x50 && log[0] == 0x80); /* read: settled */
    prepare(r, 0, 0, 0x2f, 0, 1, 512);
    CHECK((run(r, 0, 0) & 0xff) == 0x50 && ld16_le(log) == 1 && ld16_le(log + 0x20) == 1);
    /* an ordinary command waits for the queued ones */
    prepare_queued(r, 1, false, 60, 8);
    prepare(r, 0, 2, 0x25, 61, 1, 512);
    pset(r, 0, SACT, 2);
    pset(r, 0, CI, 6);
    CHECK(pget(r, 0, CI) == 4);
    rig_run(r, 50000000);
    CHECK(pget(r, 0, CI) == 0 && pget(r, 0, SACT) == 0 && ld32_le(data(r, 2)) == on_disk(61));
}

static void test_packet(struct rig *r)
{
    uint8_t *id = data(r, 0);
    prepare(r, 2, 0, 0xa1, 0, 0, 512);
    CHECK((run(r, 2, 0) & 1) == 0 && ld16_le(id) == 0x8580);
    prepare(r, 2, 0, 0xec, 0, 0, 512);
    CHECK((run(r, 2, 0) & 0x0401) == 0x0401);
    stop_and_start(r, 2);
    for (unsigned dma = 0; dma < 2; dma++) {
        /* the unit attention after reset, then READ(10) of sectors 7 to 9 */
        for (unsigned i = 0; i < 2; i++) {
            uint8_t *t = prepare(r, 2, 1, 0xa0, 0, 0, 3 * 2048);
            memset(data(r, 1), 0, 3 * 2048);
            t[3] = (uint8_t)dma, t[5] = 0x00, t[6] = 0x08;
            t[0x40] = 0x28, t[0x45] = 7, t[0x48] = 3;
            uint32_t tfd = run(r, 2, 1);
            if (dma || i) {
                CHECK(!(tfd & 0x89) && ld32_le(data(r, 1) + 4096) == 9 * 9 + 2 && pget(r, 2, CI) == 0);
            } else {
                CHECK((tfd & 1) && tfd >> 12 == 6);
                stop_and_start(r, 2);
            }
        }
    }
    /* a reply shorter than the memory */
    uint8_t *t = prepare(r, 2, 1, 0xa0, 0, 0, 512);
    t[3] = 1, t[0x40] = 0x12, t[0x44] = 36;
    CHECK(!(run(r, 2, 1) & 1) && data(r, 1)[0] == 5 && ld32_le(ram(r, LIST + 0x800 + 32) + 4) == 36);
}

static void test_resets(struct rig *r)
{
    /* software reset: two FISes without the command bit */
    uint8_t *t = prepare(r, 0, 0, 0, 0, 0, 0);
    t[1] = 0, t[15] = 4;
    st32_le(ram(r, LIST), 5 | 0x500); /* reset, clear busy */
    t = prepare(r, 0, 1, 0, 0, 0, 0);
    t[1] = 0;
    CHECK(!(run(r, 0, 0) & 0x80) && pget(r, 0, CI) == 0);
    CHECK((run(r, 0, 1) & 0xff) == 0x50 && pget(r, 0, CI) == 0 && pget(r, 0, SIG) == 0x101);
    /* COMRESET while a command runs */
    prepare(r, 0, 2, 0x25, 1, 1, 512);
    pset(r, 0, CI, 4);
    pset(r, 0, SCTL, 0x301);
    CHECK((pget(r, 0, SSTS) & 15) != 3 && (pget(r, 0, TFD) & 0xff) == 0x7f);
    pset(r, 0, SCTL, 0x300);
    CHECK((pget(r, 0, SSTS) & 15) == 3 && (pget(r, 0, TFD) & 0xff) == 0x50 && (pget(r, 0, SERR) >> 26 & 1));
    rig_run(r, 20000000);
    CHECK(pget(r, 0, CI) == 0);
    stop_and_start(r, 0);
    CHECK((run(r, 0, 2) & 0xff) == 0x50);
    /* stopped in the middle: the data go nowhere */
    prepare(r, 0, 2, 0x25, 1, 1, 512);
    memset(data(r, 2), 0x33, 512);
    pset(r, 0, CI, 4);
    pset(r, 0, CMD, 0x10);
    rig_run(r, 20000000);
    CHECK(data(r, 2)[0] == 0x33 && !(pget(r, 0, TFD) & 0x80));
    pset(r, 0, CMD, 0x11);
    prepare(r, 0, 2, 0x25, 1, 1, 512);
    CHECK((run(r, 0, 2) & 0xff) == 0x50 && ld32_le(data(r, 2)) == 8);
    /* the controller */
    set(r, ABAR + GHC, 0x80000003);
    CHECK(get(r, ABAR + GHC) == 0x80000000 && pget(r, 0, CLB) == 0 && pget(r, 0, CMD) == 6);
    set(r, ABAR + GHC, 2);
    start_port(r, 0);
    start_port(r, 2);
}

static void test_messages(struct rig *r)
{
    unsigned cap = get(r, config(AHCI_DEV, 0x34)) & 0xff;
    CHECK((get(r, config(AHCI_DEV, cap)) & 0xff) == 5);
    set(r, config(AHCI_DEV, cap + 4), 0xfee00000);
    as_write(r->mb->mem, config(AHCI_DEV, cap + 12), 2, 0x4041);
    as_write(r->mb->mem, config(AHCI_DEV, cap + 2), 2, 1);
    prepare(r, 0, 2, 0x25, 1, 1, 512);
    CHECK((run(r, 0, 2) & 0xff) == 0x50);
    CHECK(r->messages == 1 && r->last_message == 0x4041 && !r->line[ICH9_OUT_GSI]);
    pset(r, 0, PIS, ~0u);
    set(r, ABAR + IS, ~0u);
    CHECK(r->messages == 1);
    CHECK((run(r, 0, 2) & 0xff) == 0x50 && r->messages == 2);
    as_write(r->mb->mem, config(AHCI_DEV, cap + 2), 2, 0);
    CHECK(r->line[ICH9_OUT_GSI]);
    pset(r, 0, PIS, ~0u);
    set(r, ABAR + IS, ~0u);
}

/* Saved with commands in flight and loaded again, they end as they would have. */
static void test_save(struct rig *r)
{
    struct state_buf b = {0};
    struct error e = ERROR_INIT;
    for (unsigned i = 0; i < 4; i++)
        prepare_queued(r, i, false, 200 + i, 8);
    pset(r, 0, SACT, 15);
    pset(r, 0, CI, 15);
    rig_run(r, 60000);
    uint64_t then = time_now, hash;
    mb_save(r->mb, &b);
    rig_run(r, 20000000);
    hash = mb_hash(r->mb);
    CHECK(pget(r, 0, SACT) == 0 && ld32_le(data(r, 2)) == 202 * 7 + 1);
    memset(data(r, 2), 0, 512); /* the last one: slots go round */
    mb_reset(r->mb);
    time_now = then;
    CHECK(mb_load(r->mb, &b, &e) == 0 || (printf("%s\n", e.msg), 0));
    CHECK(pget(r, 0, SACT) != 0);
    rig_run(r, 20000000);
    CHECK(pget(r, 0, SACT) == 0);
    CHECK(ld32_le(data(r, 2)) == 202 * 7 + 1);
    CHECK(mb_hash(r->mb) == hash);
    state_buf_free(&b);
}

/* PIRQs to the 8259s by route, power management, soft off. */
static int requested = -1;
static void on_request(struct machine_bus *mb, int what)
{
    requested = what;
}

static void out(struct rig *r, unsigned at, unsigned size, uint32_t v)
{
    as_write(r->mb->io, at, size, v);
}

static void test_lpc(struct rig *r)
{
    r->mb->request = on_request;
    r->lpc->desc->input(r->lpc, ICH9_IN_PIRQ + 5, true);
    CHECK(r->line[ICH9_OUT_GSI + 5] && !r->line[11]);
    set(r, config(LPC_DEV, 0x68), 0x80800b80); /* PIRQF# to 11 */
    CHECK(r->line[11]);
    r->lpc->desc->input(r->lpc, ICH9_IN_PIRQ + 5, false);
    CHECK(!r->line[11] && !r->line[ICH9_OUT_GSI + 5]);
    CHECK(ich9_pin_map(0x10, 0) == 6 && ich9_pin_map(0xfa, 0) == 0 && ich9_pin_map(0xc0, 3) == 7);
    set(r, config(LPC_DEV, 0x40), 0x600);
    set(r, config(LPC_DEV, 0x44), 0x80);
    out(r, 0x602, 2, 0x100);
    ich9_power_button(r->lpc);
    CHECK(!r->line[9]);
    out(r, 0xb2, 1, 0xf1); /* ACPI on */
    CHECK(r->line[9]);
    out(r, 0x600, 2, 0x100);
    CHECK(!r->line[9]);
    out(r, 0x604, 2, 0x2000 | 5 << 10);
    CHECK(requested == MB_SUSPEND);
    out(r, 0x604, 2, 0x2000 | 7 << 10);
    CHECK(requested == MB_POWEROFF);
    i440fx_set_reset_port(r->host, ich9_reset_control, ich9_write_reset_control, r->lpc);
    out(r, 0xcf9, 1, 2);
    out(r, 0xcf9, 1, 6);
    CHECK(requested == MB_RESET);
}

int main(void)
{
    struct rig r;
    periph_register_all();
    rig_up(&r);
    test_registers(&r);
    test_pio(&r);
    test_dma(&r);
    test_errors(&r);
    test_queued(&r);
    test_packet(&r);
    test_resets(&r);
    test_messages(&r);
    test_save(&r);
    test_lpc(&r);
    rig_down(&r);
    return count_report();
}
