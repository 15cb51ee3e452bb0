/*
 * test-pci-ide.c - PCI configuration space and BARs, the GT-64120's windows, the PIIX4 functions,
 * IDE disks and CD-ROM command by command, PCnet, raw images and their overlay, the ELF loader with
 * hostile files; no CPU runs.
 */
#include "blockfmt/block.h"
#include "machines/boot/loader.h"
#include "periph/block/ide.h"
#include "periph/devices.h"
#include "periph/pci/gt64120.h"
#include "periph/pci/piix4.h"
#include "tests/count.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- a small machine ---- */

static uint64_t time_now;
static int requested;

static uint64_t get_time(void *opaque)
{
    return time_now;
}

static void on_request(struct machine_bus *mb, int what)
{
    requested = what;
}

struct rig {
    struct machine_bus *mb;
    struct region *ram;
    struct device *gt, *isa, *ide, *pm, *uhci;
    bool line[16];
};

static void pin(void *opaque, unsigned n, bool level)
{
    ((struct rig *)opaque)->line[n] = level;
}

enum { RAM_SIZE = 1 << 20, GT_BASE = 0x14000000, IO_BASE = 0x18000000 };

static void rig_up(struct rig *r, bool big_endian)
{
    struct error e = ERROR_INIT;
    memset(r, 0, sizeof *r);
    r->mb = mb_new(40);
    clock_connect(r->mb->clock, get_time, NULL, NULL);
    r->mb->request = on_request;
    r->ram = region_new_ram("ram", RAM_SIZE, &e);
    region_add(r->mb->mem_root, r->ram, 0, 0);
    r->gt = dev_create(r->mb, dev_find("gt64120"), NULL, NULL);
    dev_set_int(r->gt, "cpu-little-endian", !big_endian);
    CHECK(dev_realize(r->gt, &e) == 0);
    CHECK(pci_make(r->mb, "gt64120_pci", 0, &e) != NULL);
    r->isa = pci_make(r->mb, "piix4-isa", 0x50, &e);
    r->ide = pci_make(r->mb, "piix4-ide", 0x51, &e);
    r->uhci = pci_make(r->mb, "piix4-usb-uhci", 0x52, &e);
    r->pm = pci_make(r->mb, "PIIX4_PM", 0x53, &e);
    CHECK(r->isa && r->ide && r->uhci && r->pm);
    for (unsigned i = 0; i < 4; i++)
        dev_connect(r->gt, i, r->isa, PIIX4_IN_PIRQ + i);
    for (unsigned i = 0; i < 16; i++)
        irq_connect(dev_irq(r->isa, i), pin, r, i);
    dev_connect(r->ide, 0, r->isa, PIIX4_IN_ISA + 14);
    dev_connect(r->ide, 1, r->isa, PIIX4_IN_ISA + 15);
    dev_connect(r->pm, 0, r->isa, PIIX4_IN_ISA + 9);
}

static void rig_down(struct rig *r)
{
    while (r->mb->last)
        dev_destroy(r->mb->last);
    region_remove(r->ram);
    region_delete(r->ram);
    mb_delete(r->mb);
}

static void rig_run(struct rig *r, uint64_t ns)
{
    /* in steps, so that what one event starts can end */
    for (uint64_t end = time_now + ns; time_now < end;) {
        time_now = MIN(time_now + 10000, end);
        clock_run(r->mb->clock, time_now);
    }
}

static uint32_t mem32(struct rig *r, uint64_t addr)
{
    uint64_t v = 0;
    as_read(r->mb->mem, addr, 4, &v);
    return (uint32_t)v;
}

static void set_mem32(struct rig *r, uint64_t addr, uint32_t v)
{
    as_write(r->mb->mem, addr, 4, v);
}

static uint32_t in(struct rig *r, unsigned port, unsigned size)
{
    uint64_t v = 0;
    as_read(r->mb->io, port, size, &v);
    return (uint32_t)v;
}

static void out(struct rig *r, unsigned port, uint32_t v, unsigned size)
{
    as_write(r->mb->io, port, size, v);
}

static uint32_t cfg(struct rig *r, uint64_t gt, unsigned devfn, unsigned reg)
{
    set_mem32(r, gt + 0xcf8, 0x80000000u | devfn << 8 | reg);
    return mem32(r, gt + 0xcfc);
}

static void set_cfg(struct rig *r, uint64_t gt, unsigned devfn, unsigned reg, uint32_t v)
{
    set_mem32(r, gt + 0xcf8, 0x80000000u | devfn << 8 | reg);
    set_mem32(r, gt + 0xcfc, v);
}

/* ---- PCI and the system controller ---- */

static void test_gt64120(void)
{
    struct rig r;
    rig_up(&r, false);
    mb_reset(r.mb);
    CHECK(mem32(&r, GT_BASE + 0x68) == 0xa0);
    CHECK(mem32(&r, GT_BASE + 0x000) == 0x1000);
    CHECK(mem32(&r, GT_BASE + 0xc00) == 0x00010001);
    CHECK(cfg(&r, GT_BASE, 0x00, 0) == 0x462011ab);
    CHECK(cfg(&r, GT_BASE, 0x50, 0) == 0x71108086);
    CHECK(cfg(&r, GT_BASE, 0x51, 8) == 0x01018000);
    CHECK(cfg(&r, GT_BASE, 0x52, 0) == 0x71128086);
    CHECK(cfg(&r, GT_BASE, 0x53, 0x40) == 1);
    CHECK(cfg(&r, GT_BASE, 0x60, 0) == 0xffffffff);
    set_mem32(&r, GT_BASE + 0xcf8, 0x80010000u); /* bus 1 */
    CHECK(mem32(&r, GT_BASE + 0xcfc) == 0xffffffff);
    set_mem32(&r, GT_BASE + 0xcf8, 0); /* not enabled */
    CHECK(mem32(&r, GT_BASE + 0xcfc) == 0xffffffff);

    gt64120_as_firmware(r.gt);
    CHECK(mem32(&r, 0x1be00000 + 0x68) == 0xdf);
    CHECK(mem32(&r, 0x1be00000 + 0x48) == 0xc0);
    CHECK(mem32(&r, 0x1be00000 + 0xf8) == 0x80); /* remap follows low decode */
    CHECK(cfg(&r, 0x1be00000, 0x50, 0) == 0x71108086);
    /* I/O window: port 0x1f7 of an empty channel floats */
    uint64_t v = 0;
    CHECK(as_read(r.mb->mem, IO_BASE + 0x1f7, 1, &v) && v == 0x7f);
    mb_reset(r.mb);
    CHECK(mem32(&r, GT_BASE + 0x68) == 0xa0);
    rig_down(&r);

    rig_up(&r,
           true); /* big-endian: values on the bus of a board whose CPU writes big-endian words */
    mb_reset(r.mb);
    CHECK(mem32(&r, GT_BASE + 0x000) == 0);
    CHECK(cfg(&r, GT_BASE, 0x00, 0) == 0x462011ab); /* the controller itself is not swapped */
    CHECK(host_bswap32(cfg(&r, GT_BASE, 0x50, 0)) == 0x71108086);
    set_mem32(&r, GT_BASE + 0xc00, 1);
    CHECK(cfg(&r, GT_BASE, 0x50, 0) == 0x71108086);
    rig_down(&r);
}

static void test_bars(void)
{
    struct rig r;
    struct error e = ERROR_INIT;
    rig_up(&r, false);
    struct device *nic = pci_make(r.mb, "pcnet", 0x58, &e);
    CHECK(nic != NULL);
    CHECK(pci_make(r.mb, "pcnet", 0x58, &e) == NULL && e.set); /* taken */
    mb_reset(r.mb);
    set_cfg(&r, GT_BASE, 0x58, 0x10, 0xffffffff);
    CHECK(cfg(&r, GT_BASE, 0x58, 0x10) == 0xffffffe1);
    set_cfg(&r, GT_BASE, 0x58, 0x14, 0xffffffff);
    CHECK(cfg(&r, GT_BASE, 0x58, 0x14) == 0xffffffe0);
    set_cfg(&r, GT_BASE, 0x58, 0x18, 0xffffffff);
    CHECK(cfg(&r, GT_BASE, 0x58, 0x18) == 0);
    set_cfg(&r, GT_BASE, 0x58, 0x10, 0x1060);
    CHECK(in(&r, 0x106e, 1) != 'W'); /* not decoded yet */
    set_cfg(&r, GT_BASE, 0x58, 0x04, PCI_CMD_IO);
    CHECK(in(&r, 0x106e, 1) == 'W');
    set_cfg(&r, GT_BASE, 0x58, 0x10, 0x2000);
    CHECK(in(&r, 0x106e, 1) != 'W' && in(&r, 0x200e, 1) == 'W');
    /* memory: through a window of the system controller */
    gt64120_as_firmware(r.gt);
    set_cfg(&r, 0x1be00000, 0x58, 0x14, 0x10000000);
    set_cfg(&r, 0x1be00000, 0x58, 0x04, PCI_CMD_IO | PCI_CMD_MEM);
    uint64_t v = 0;
    CHECK(as_read(r.mb->mem, 0x1000000e, 1, &v) && v == 'W');
    CHECK(cfg(&r, 0x1be00000, 0x58, 0x3c) == 0xff060100);
    /* save, disturb, load */
    struct state_buf b = {0};
    mb_save(r.mb, &b);
    uint64_t hash = mb_hash(r.mb);
    set_cfg(&r, 0x1be00000, 0x58, 0x10, 0x3000);
    set_mem32(&r, 0x1be00068, 0xa0);
    CHECK(mb_hash(r.mb) != hash);
    CHECK(mb_load(r.mb, &b, &e) == 0 || (printf("%s\n", e.msg), 0));
    CHECK(mb_hash(r.mb) == hash);
    CHECK(in(&r, 0x200e, 1) == 'W' && mem32(&r, 0x1be00068) == 0xdf);
    state_buf_free(&b);
    rig_down(&r);
}

static void test_audit(void)
{
    static const char *const names[] = {"gt64120",   "gt64120_pci",    "piix4-isa",
                                        "piix4-ide", "piix4-usb-uhci", "PIIX4_PM",
                                        "ide-hd",    "ide-cd",         "pcnet"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct dev_desc *d = dev_find(names[i]);
        CHECK(d != NULL);
        if (!d) continue;
        long at = dev_audit(d);
        if (at >= 0) printf("%s: byte %ld is in no state table\n", names[i], at);
        CHECK(at < 0);
    }
}

/* ---- south bridge ---- */

static void test_piix4(void)
{
    struct rig r;
    rig_up(&r, false);
    mb_reset(r.mb);
    requested = -1;
    out(&r, 0xcf9, 2, 1);
    CHECK(requested == -1);
    out(&r, 0xcf9, 6, 1);
    CHECK(requested == MB_RESET);
    /* power management registers appear when they are enabled, soft off asks the machine */
    set_cfg(&r, GT_BASE, 0x53, 0x40, 0x1000);
    CHECK(in(&r, 0x1004, 2) == 0xffff);
    set_cfg(&r, GT_BASE, 0x53, 0x80, 1);
    CHECK(in(&r, 0x1004, 2) == 0);
    uint32_t t0 = in(&r, 0x1008, 4);
    rig_run(&r, 1000000000);
    CHECK(((in(&r, 0x1008, 4) - t0) & 0xffffff) == 3579545);
    out(&r, 0x1002, 0x100, 2);
    out(&r, 0x1004, 1, 2);
    piix4_pm_power_button(r.pm);
    CHECK(r.line[9] && (in(&r, 0x1000, 2) & 0x100));
    out(&r, 0x1000, 0x100, 2);
    CHECK(!r.line[9]);
    out(&r, 0x1004, 0x2001, 2);
    CHECK(requested == MB_POWEROFF);
    /* timer overflow */
    out(&r, 0x1002, 1, 2);
    rig_run(&r, UINT64_C(2500000000));
    CHECK(r.line[9] && (in(&r, 0x1000, 2) & 1));
    /* USB: runs, counts frames, no device at its ports */
    set_cfg(&r, GT_BASE, 0x52, 0x20, 0x1040);
    set_cfg(&r, GT_BASE, 0x52, 0x04, PCI_CMD_IO);
    CHECK(in(&r, 0x1042, 2) == 0x20);
    out(&r, 0x1040, 1, 2);
    uint32_t f0 = in(&r, 0x1046, 2);
    rig_run(&r, 5000000);
    CHECK(in(&r, 0x1046, 2) == f0 + 5 && in(&r, 0x1042, 2) == 0);
    CHECK(in(&r, 0x1050, 2) == 0x80 && in(&r, 0x1052, 2) == 0x80 && !(in(&r, 0x1054, 2) & 0x80));
    /* SMBus: nobody answers */
    out(&r, 0x1104, 0xa1, 1);
    out(&r, 0x1102, 0x48, 1);
    CHECK(in(&r, 0x1100, 1) == 4);
    rig_down(&r);
}

/* ---- images ---- */

static char *temp_image(uint64_t size)
{
    char *path = mem_strdup("/tmp/quern-test-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    uint8_t sector[512];
    for (uint64_t i = 0; i * 512 < size; i++) {
        memset(sector, (int)(i * 7), sizeof sector);
        st32_le(sector, (uint32_t)i);
        CHECK(write(fd, sector, MIN(size - i * 512, 512u)) > 0);
        count_passed--; /* one check for all of it */
    }
    close(fd);
    return path;
}

static void test_images(void)
{
    struct error e = ERROR_INIT;
    char *path = temp_image(200 * 1024 + 100);
    uint8_t a[2048], b[2048];
    struct blk_backend *w = blk_open(path, "raw", 0, &e);
    CHECK(w && blk_size(w) == 200 * 1024 + 512 && !blk_readonly(w));
    CHECK(blk_read(w, 3 * 512, a, 512) == 0 && ld32_le(a) == 3);
    CHECK(blk_read(w, 200 * 1024, a, 512) == 0 && a[99] == (uint8_t)(400 * 7) && a[100] == 0);
    CHECK(blk_read(w, blk_size(w), a, 1) == -EIO && blk_read(w, UINT64_MAX, a, 2) == -EIO);
#ifdef F_OFD_SETLK
    CHECK(blk_open(path, "raw", 0, &e) == NULL && strstr(e.msg, "lock") && strstr(e.hint, path));
    error_clear(&e);
#endif
    blk_close(w);
    struct blk_backend *r1 = blk_open(path, "raw", BLK_RDONLY, &e),
                       *r2 = blk_open(path, NULL, BLK_RDONLY, &e);
    CHECK(r1 && r2 && blk_readonly(r1));
    CHECK(r1 && blk_write(r1, 0, a, 512) == -EROFS);
    blk_close(r1);
    blk_close(r2);
    /* overlay: reads see the writes, the file does not */
    struct blk_backend *s = blk_open(path, NULL, BLK_SNAPSHOT, &e);
    CHECK(s && !blk_readonly(s));
    memset(b, 0xee, sizeof b);
    CHECK(blk_write(s, 65536 - 512, b, 1024) == 0 && blk_write(s, blk_size(s) - 512, b, 512) == 0);
    CHECK(blk_read(s, 65536 - 1024, a, 2048) == 0);
    CHECK(ld32_le(a) == 126 && a[512] == 0xee && a[1535] == 0xee && ld32_le(a + 1536) == 129);
    CHECK(blk_flush(s) == 0);
    blk_close(s);
    w = blk_open(path, "raw", 0, &e);
    CHECK(w && blk_read(w, 65536, a, 512) == 0 && ld32_le(a) == 128);
    /* other formats are recognised, not overwritten */
    memcpy(a, "QFI\xfb\0\0\0\3", 8);
    CHECK(blk_write(w, 0, a, 512) == 0);
    blk_close(w);
    CHECK(blk_open(path, NULL, 0, &e) == NULL && strstr(e.msg, "cluster size"));
    error_clear(&e);
    CHECK(blk_open(path, "vmdk", 0, &e) == NULL && strstr(e.msg, "VMDK"));
    error_clear(&e);
    CHECK(blk_open(path, "nonsense", 0, &e) == NULL);
    error_clear(&e);
    CHECK(blk_open("/nonexistent/image", "raw", 0, &e) == NULL &&
          strstr(e.msg, "/nonexistent/image"));
    error_clear(&e);
    unlink(path);
    mem_free(path);
}

/* ---- IDE ---- */

static uint8_t wait_ide(struct rig *r, unsigned base)
{
    for (unsigned i = 0; i < 1000 && (in(r, base + 0x206, 1) & ATA_BSY); i++)
        rig_run(r, 1000);
    return (uint8_t)in(r, base + 0x206, 1);
}

static uint8_t command28(struct rig *r, unsigned base, uint8_t drive, uint32_t lba, uint8_t count,
                         uint8_t cmd)
{
    out(r, base + 6, 0xe0u | drive << 4 | (lba >> 24 & 15), 1);
    out(r, base + 2, count, 1);
    out(r, base + 3, lba & 0xff, 1);
    out(r, base + 4, lba >> 8 & 0xff, 1);
    out(r, base + 5, lba >> 16 & 0xff, 1);
    out(r, base + 7, cmd, 1);
    CHECK(in(r, base + 0x206, 1) & ATA_BSY);
    return wait_ide(r, base);
}

static void read_pio(struct rig *r, unsigned base, uint8_t *buf, unsigned n)
{
    for (unsigned i = 0; i < n; i += 2)
        st16_le(buf + i, (uint16_t)in(r, base, 2));
}

static void write_pio(struct rig *r, unsigned base, const uint8_t *buf, unsigned n)
{
    for (unsigned i = 0; i < n; i += 2)
        out(r, base, ld16_le(buf + i), 2);
}

static void test_disk_pio(struct rig *r, struct blk_backend *blk)
{
    const unsigned base = 0x1f0;
    uint8_t buf[2048], check[2048];
    uint8_t st = command28(r, base, 0, 0, 0, 0xec);
    CHECK(st == (ATA_DRDY | ATA_DSC | ATA_DRQ) && r->line[14]);
    CHECK(in(r, base + 7, 1) == st && !r->line[14]);
    read_pio(r, base, buf, 512);
    CHECK(in(r, base + 7, 1) == (ATA_DRDY | ATA_DSC));
    CHECK(ld32_le(buf + 120) == blk_size(blk) / 512 && ld32_le(buf + 200) == blk_size(blk) / 512);
    CHECK(!memcmp(buf + 54, "UQRE NAHDRIDKS", 14)); /* byte pairs swapped */

    st = command28(r, base, 0, 5, 3, 0x20); /* three sectors, an interrupt for each */
    for (unsigned i = 0; i < 3; i++) {
        CHECK((wait_ide(r, base) & (ATA_DRQ | ATA_ERR)) == ATA_DRQ && r->line[14]);
        in(r, base + 7, 1);
        read_pio(r, base, buf, 512);
        CHECK(ld32_le(buf) == 5 + i && buf[4] == (uint8_t)((5 + i) * 7));
    }
    CHECK(wait_ide(r, base) == (ATA_DRDY | ATA_DSC) && !r->line[14]);

    memset(buf, 0x5a, sizeof buf);
    CHECK(command28(r, base, 0, 0, 4, 0xc6) == (ATA_DRDY | ATA_DSC)); /* SET MULTIPLE 4 */
    st = command28(r, base, 0, 10, 4, 0xc5);
    CHECK((st & ATA_DRQ) && in(r, base + 7, 1) == st && !r->line[14]);
    write_pio(r, base, buf, 2048);
    CHECK(wait_ide(r, base) == (ATA_DRDY | ATA_DSC) && r->line[14]);
    CHECK(blk_read(blk, 10 * 512, check, 2048) == 0 && !memcmp(buf, check, 2048));
    st = command28(r, base, 0, 10, 4, 0xc4);
    read_pio(r, base, check, 2048);
    CHECK(!memcmp(buf, check, 2048) && wait_ide(r, base) == (ATA_DRDY | ATA_DSC));

    /* errors: beyond the end, unknown command, CHS sector 0 */
    CHECK(command28(r, base, 0, (uint32_t)(blk_size(blk) / 512), 1, 0x20) & ATA_ERR);
    CHECK(in(r, base + 1, 1) == ATA_E_IDNF && r->line[14]);
    CHECK(command28(r, base, 0, 0, 1, 0xfe) & ATA_ERR);
    CHECK(in(r, base + 1, 1) == ATA_E_ABRT);
    out(r, base + 6, 0xa0, 1);
    out(r, base + 2, 1, 1);
    out(r, base + 3, 0, 1);
    out(r, base + 7, 0x20, 1);
    CHECK(wait_ide(r, base) & ATA_ERR);
    /* CHS 0/0/1 is sector 0; 48 bit read of the last one */
    out(r, base + 3, 1, 1);
    out(r, base + 4, 0, 1);
    out(r, base + 5, 0, 1);
    out(r, base + 7, 0x20, 1);
    CHECK(wait_ide(r, base) & ATA_DRQ);
    read_pio(r, base, check, 512);
    CHECK(ld32_le(check) == 0);
    uint32_t last = (uint32_t)(blk_size(blk) / 512 - 1);
    out(r, base + 2, 0, 1), out(r, base + 2, 1, 1);
    out(r, base + 3, last >> 24, 1), out(r, base + 3, last & 0xff, 1);
    out(r, base + 4, 0, 1), out(r, base + 4, last >> 8 & 0xff, 1);
    out(r, base + 5, 0, 1), out(r, base + 5, last >> 16 & 0xff, 1);
    out(r, base + 6, 0x40, 1);
    out(r, base + 7, 0x24, 1);
    CHECK(wait_ide(r, base) & ATA_DRQ);
    read_pio(r, base, check, 512);
    CHECK(ld32_le(check) == last);
    /* nIEN keeps the line low; flush, power state, SMART status */
    out(r, base + 0x206, 2, 1);
    CHECK(command28(r, base, 0, 0, 0, 0xe7) == (ATA_DRDY | ATA_DSC) && !r->line[14]);
    out(r, base + 0x206, 0, 1);
    command28(r, base, 0, 0, 0, 0xe5);
    CHECK(in(r, base + 2, 1) == 0xff);
    out(r, base + 1, 0xda, 1);
    CHECK(command28(r, base, 0, 0xc24f00, 0, 0xb0) == (ATA_DRDY | ATA_DSC) &&
          in(r, base + 4, 1) == 0x4f);
    /* software reset */
    out(r, base + 0x206, 4, 1);
    CHECK(in(r, base + 0x206, 1) & ATA_BSY);
    out(r, base + 0x206, 0, 1);
    CHECK(wait_ide(r, base) == (ATA_DRDY | ATA_DSC) && in(r, base + 1, 1) == 1 &&
          in(r, base + 4, 1) == 0);
    /* the missing slave answers with zeros */
    out(r, base + 6, 0xb0, 1);
    CHECK(in(r, base + 7, 1) == 0);
    out(r, base + 6, 0xa0, 1);
}

/* Descriptor table at 0x1000: up to three pieces, ended by length -1. */
static void set_prd(struct rig *r, const int *pieces)
{
    unsigned n = 0;
    for (; pieces[2 * n + 1] >= 0; n++) {
        bool last = pieces[2 * n + 3] < 0;
        set_mem32(r, 0x1000 + 8 * n, (uint32_t)pieces[2 * n]);
        set_mem32(r, 0x1004 + 8 * n, (uint32_t)pieces[2 * n + 1] | (last ? 0x80000000u : 0));
    }
}

static void test_disk_dma(struct rig *r, struct blk_backend *blk)
{
    const unsigned base = 0x1f0, bm = 0x1080;
    uint8_t *ram = region_ram(r->ram), check[1024];
    static const int two[] = {0x8000, 700, 0x9000, 324, 0, -1};
    set_cfg(r, GT_BASE, 0x51, 0x20, bm);
    set_cfg(r, GT_BASE, 0x51, 0x04, PCI_CMD_IO | PCI_CMD_MASTER);
    CHECK(in(r, bm + 2, 1) == 4); /* the interrupt bit keeps what PIO did */
    out(r, bm + 2, 4, 1);
    CHECK(in(r, bm + 2, 1) == 0);
    set_prd(r, two);
    out(r, bm + 4, 0x1000, 4);
    CHECK(in(r, bm + 4, 4) == 0x1000);
    /* the drive waits for the engine */
    out(r, bm, 8, 1);
    CHECK(command28(r, base, 0, 20, 2, 0xc8) & ATA_DRQ);
    rig_run(r, 1000000);
    CHECK(!r->line[14]);
    out(r, bm, 9, 1);
    CHECK(in(r, bm + 2, 1) & 1);
    rig_run(r, 1000000);
    CHECK(r->line[14] && in(r, bm + 2, 1) == 4 && wait_ide(r, base) == (ATA_DRDY | ATA_DSC));
    memcpy(check, ram + 0x8000, 700);
    memcpy(check + 700, ram + 0x9000, 324);
    CHECK(ld32_le(check) == 20 && ld32_le(check + 512) == 21 && check[1023] == (uint8_t)(21 * 7));
    in(r, base + 7, 1);
    out(r, bm, 0, 1);
    out(r, bm + 2, 4, 1);
    CHECK(in(r, bm + 2, 1) == 0 && !r->line[14]);
    /* write: engine started first */
    memset(ram + 0x8000, 0x77, 0x2000);
    out(r, bm, 1, 1);
    command28(r, base, 0, 30, 2, 0xca);
    rig_run(r, 1000000);
    CHECK(r->line[14] && blk_read(blk, 30 * 512, check, 1024) == 0 && check[0] == 0x77 &&
          check[1023] == 0x77);
    in(r, base + 7, 1);
    out(r, bm, 0, 1), out(r, bm + 2, 4, 1);
    /* a table that is too short */
    out(r, bm, 9, 1);
    command28(r, base, 0, 20, 8, 0xc8);
    rig_run(r, 1000000);
    CHECK((wait_ide(r, base) & ATA_ERR) && (in(r, bm + 2, 1) & 2) && r->line[14]);
    in(r, base + 7, 1);
    out(r, bm, 0, 1), out(r, bm + 2, 6, 1);
    /* memory that is not there */
    set_mem32(r, 0x1000, 0x30000000);
    out(r, bm, 9, 1);
    command28(r, base, 0, 20, 2, 0xc8);
    rig_run(r, 1000000);
    CHECK((wait_ide(r, base) & ATA_ERR) && (in(r, bm + 2, 1) & 2));
    in(r, base + 7, 1);
    out(r, bm, 0, 1), out(r, bm + 2, 6, 1);
    /* bus mastering off */
    set_mem32(r, 0x1000, 0x8000);
    set_cfg(r, GT_BASE, 0x51, 0x04, PCI_CMD_IO);
    out(r, bm, 9, 1);
    command28(r, base, 0, 20, 2, 0xc8);
    rig_run(r, 1000000);
    CHECK(wait_ide(r, base) & ATA_ERR);
    in(r, base + 7, 1);
    out(r, bm, 0, 1), out(r, bm + 2, 6, 1);
}

static uint8_t packet(struct rig *r, const uint8_t *cdb, unsigned limit)
{
    const unsigned base = 0x170;
    out(r, base + 6, 0xa0, 1);
    out(r, base + 1, 0, 1);
    out(r, base + 4, limit & 0xff, 1);
    out(r, base + 5, limit >> 8, 1);
    out(r, base + 7, 0xa0, 1);
    uint8_t st = wait_ide(r, base);
    CHECK((st & ATA_DRQ) && (in(r, base + 2, 1) & 3) == 1);
    write_pio(r, base, cdb, 12);
    return wait_ide(r, base);
}

static void test_cd(struct rig *r, struct device *cd, struct blk_backend *medium)
{
    const unsigned base = 0x170;
    static const uint8_t ready[12] = {0}, sense[12] = {3, 0, 0, 0, 18},
                         inquiry[12] = {0x12, 0, 0, 0, 36};
    static const uint8_t capacity[12] = {0x25}, read10[12] = {0x28, 0, 0, 0, 0, 2, 0, 0, 3};
    static const uint8_t bad[12] = {0x99}, beyond[12] = {0x28, 0, 0x7f, 0, 0, 0, 0, 0, 1};
    static const uint8_t toc[12] = {0x43, 0, 0, 0, 0, 0, 0, 0, 64},
                         config[12] = {0x46, 0, 0, 0, 0, 0, 0, 0, 128};
    static const uint8_t lock[12] = {0x1e, 0, 0, 0, 1}, unlock[12] = {0x1e},
                         eject[12] = {0x1b, 0, 0, 0, 2};
    static const uint8_t event[12] = {0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8};
    struct error e = ERROR_INIT;
    struct blk_backend *old;
    uint8_t buf[4096];

    /* identify says it is a packet device and leaves its signature */
    out(r, base + 6, 0xa0, 1);
    out(r, base + 7, 0xec, 1);
    CHECK((wait_ide(r, base) & ATA_ERR) && in(r, base + 4, 1) == 0x14 &&
          in(r, base + 5, 1) == 0xeb);
    out(r, base + 7, 0xa1, 1);
    CHECK((wait_ide(r, base) & ATA_DRQ) && r->line[15]);
    read_pio(r, base, buf, 512);
    CHECK(ld16_le(buf) == 0x8580 && wait_ide(r, base) == (ATA_DRDY | ATA_DSC));

    CHECK(packet(r, inquiry, 0xfffe) & ATA_DRQ);
    CHECK(in(r, base + 4, 1) == 36 && (in(r, base + 2, 1) & 3) == 2);
    read_pio(r, base, buf, 36);
    CHECK(buf[0] == 5 && !memcmp(buf + 16, "QUERN DVD-ROM", 13));
    CHECK((wait_ide(r, base) & (ATA_DRQ | ATA_ERR)) == 0 && (in(r, base + 2, 1) & 3) == 3);
    /* empty */
    CHECK(packet(r, ready, 0xfffe) & ATA_ERR);
    CHECK(in(r, base + 1, 1) >> 4 == 2);
    packet(r, sense, 0xfffe);
    read_pio(r, base, buf, 18);
    CHECK(buf[2] == 2 && buf[12] == 0x3a);
    /* a medium is put in: one unit attention, then ready */
    CHECK(cd->desc->media->change(cd, 0, medium, &old, false, &e) == 0 && old == NULL);
    packet(r, event, 0xfffe);
    read_pio(r, base, buf, 8);
    CHECK(buf[2] == 4 && buf[4] == 2 && buf[5] == 2);
    CHECK(packet(r, ready, 0xfffe) & ATA_ERR);
    packet(r, sense, 0xfffe);
    read_pio(r, base, buf, 18);
    CHECK(buf[2] == 6 && buf[12] == 0x28);
    CHECK(packet(r, ready, 0xfffe) == (ATA_DRDY | ATA_DSC));
    packet(r, capacity, 0xfffe);
    read_pio(r, base, buf, 8);
    CHECK(ld32_be(buf) == blk_size(medium) / 2048 - 1 && ld32_be(buf + 4) == 2048);
    /* three sectors with a limit of one */
    uint8_t st = packet(r, read10, 2048);
    for (unsigned i = 0; i < 3; i++) {
        CHECK((st & ATA_DRQ) && (in(r, base + 4, 1) | in(r, base + 5, 1) << 8) == 2048 &&
              r->line[15]);
        in(r, base + 7, 1);
        read_pio(r, base, buf, 2048);
        CHECK(ld32_le(buf) == (2 + i) * 4 && ld32_le(buf + 1536) == (2 + i) * 4 + 3);
        st = wait_ide(r, base);
    }
    CHECK(st == (ATA_DRDY | ATA_DSC));
    /* a reply longer than the limit comes in pieces */
    st = packet(r, inquiry, 10);
    unsigned got = 0;
    while (st & ATA_DRQ) {
        unsigned n = in(r, base + 4, 1) | in(r, base + 5, 1) << 8;
        CHECK(n <= 10 && got + n <= 36);
        if (got + n > 36) break;
        read_pio(r, base, buf + got, n);
        got += n;
        st = wait_ide(r, base);
    }
    CHECK(got == 36 && !memcmp(buf + 16, "QUERN DVD-ROM", 13));
    packet(r, toc, 0xfffe);
    read_pio(r, base, buf, 20);
    CHECK(ld16_be(buf) == 18 && buf[14] == 0xaa && ld32_be(buf + 16) == blk_size(medium) / 2048);
    packet(r, config, 0xfffe);
    CHECK(wait_ide(r, base) & ATA_DRQ);
    unsigned n = in(r, base + 4, 1) | in(r, base + 5, 1) << 8;
    read_pio(r, base, buf, n);
    CHECK(ld16_be(buf + 6) == 8 && ld32_be(buf) == n - 4);
    CHECK((packet(r, bad, 0xfffe) & ATA_ERR) && in(r, base + 1, 1) >> 4 == 5);
    CHECK((packet(r, beyond, 0xfffe) & ATA_ERR) && in(r, base + 1, 1) >> 4 == 5);
    /* DMA */
    static const int one[] = {0xa000, 6144, 0, -1};
    set_cfg(r, GT_BASE, 0x51, 0x04, PCI_CMD_IO | PCI_CMD_MASTER);
    set_prd(r, one);
    out(r, 0x108c, 0x1000, 4);
    out(r, base + 1, 1, 1);
    out(r, base + 7, 0xa0, 1);
    wait_ide(r, base);
    write_pio(r, base, read10, 12);
    out(r, 0x1088, 9, 1);
    rig_run(r, 1000000);
    CHECK(r->line[15] && wait_ide(r, base) == (ATA_DRDY | ATA_DSC) && (in(r, 0x108a, 1) & 7) == 4);
    CHECK(ld32_le(region_ram(r->ram) + 0xa000 + 4096) == 16);
    out(r, 0x1088, 0, 1);
    /* tray */
    packet(r, lock, 0xfffe);
    CHECK(packet(r, eject, 0xfffe) & ATA_ERR);
    CHECK(cd->desc->media->change(cd, 0, NULL, &old, false, &e) == -1 && strstr(e.msg, "locked"));
    packet(r, event, 0xfffe); /* the guest is asked to open it */
    read_pio(r, base, buf, 8);
    CHECK(buf[4] == 1);
    struct media_state now;
    CHECK(cd->desc->media->state(cd, 0, &now) && now.blk == medium && now.locked && !now.tray_open);
    packet(r, unlock, 0xfffe);
    CHECK(packet(r, eject, 0xfffe) == (ATA_DRDY | ATA_DSC));
    CHECK(packet(r, ready, 0xfffe) & ATA_ERR);
    CHECK(cd->desc->media->change(cd, 0, NULL, &old, false, &e) == 0 && old == medium);
    CHECK(cd->desc->media->state(cd, 0, &now) && !now.blk && !now.locked && now.tray_open);
    packet(r, lock, 0xfffe); /* by force: unlocked, too */
    CHECK(cd->desc->media->change(cd, 0, medium, &old, true, &e) == 0 && !old);
    CHECK(cd->desc->media->state(cd, 0, &now) && now.blk == medium && !now.locked && !now.tray_open);
    CHECK(cd->desc->media->change(cd, 0, NULL, &old, false, &e) == 0 && old == medium);
    /* device reset */
    out(r, base + 7, 8, 1);
    CHECK(in(r, base + 7, 1) == 0 && in(r, base + 4, 1) == 0x14);
}

/* ---- requests in flight ---- */

static void begin_read(struct rig *r, uint32_t lba)
{
    out(r, 0x1f6, 0xe0, 1);
    out(r, 0x1f2, 1, 1);
    out(r, 0x1f3, lba & 0xff, 1), out(r, 0x1f4, lba >> 8 & 0xff, 1), out(r, 0x1f5, 0, 1);
    out(r, 0x1f7, 0x20, 1);
}

/* Guest time until the drive is ready, in microseconds. */
static unsigned time_busy(struct rig *r)
{
    unsigned n = 0;
    for (; n < 1000 && (in(r, 0x3f6, 1) & ATA_BSY); n++)
        rig_run(r, 1000);
    return n;
}

static void test_in_flight(struct rig *r)
{
    struct state_buf s = {0};
    struct error e = ERROR_INIT;
    uint8_t a[512], b[512];
    /* always the same time */
    begin_read(r, 40);
    unsigned first = time_busy(r);
    read_pio(r, 0x1f0, a, 512);
    begin_read(r, 41);
    CHECK(first > 20 && first < 100 && time_busy(r) == first);
    read_pio(r, 0x1f0, b, 512);
    CHECK(ld32_le(a) == 40 && ld32_le(b) == 41);
    /* saved in flight: the request is sent again */
    begin_read(r, 40);
    rig_run(r, 10000);
    CHECK(in(r, 0x3f6, 1) & ATA_BSY);
    mb_save(r->mb, &s);
    CHECK(time_busy(r) < first);
    read_pio(r, 0x1f0, a, 512);
    CHECK(mb_load(r->mb, &s, &e) == 0 && (in(r, 0x3f6, 1) & ATA_BSY));
    time_busy(r);
    memset(b, 0, sizeof b);
    read_pio(r, 0x1f0, b, 512);
    CHECK(!memcmp(a, b, 512) && ld32_le(a) == 40);
    state_buf_free(&s);
    /* a reset ends it */
    begin_read(r, 42);
    rig_run(r, 10000);
    CHECK(in(r, 0x3f6, 1) & ATA_BSY);
    out(r, 0x3f6, ATA_CTL_SRST, 1);
    out(r, 0x3f6, 0, 1);
    CHECK(in(r, 0x3f6, 1) == (ATA_DRDY | ATA_DSC));
    rig_run(r, 1000000);
    CHECK(in(r, 0x3f6, 1) == (ATA_DRDY | ATA_DSC));
    begin_read(r, 43);
    time_busy(r);
    read_pio(r, 0x1f0, b, 512);
    CHECK(ld32_le(b) == 43);
    in(r, 0x1f7, 1);
}

static unsigned errors, stops;
static void count_errors(void *opaque, const struct blk_io_error *x)
{
    errors += x->read && x->rc == -EIO;
    stops += x->action == BLK_ON_ERROR_STOP;
}

/* rerror=report, ignore and stop: with stop the request comes again and succeeds. */
static void test_error_policy(const char *path)
{
    static const enum blk_on_error policies[] = {BLK_ON_ERROR_REPORT, BLK_ON_ERROR_IGNORE,
                                                 BLK_ON_ERROR_STOP};
    for (unsigned i = 0; i < ARRAY_LEN(policies); i++) {
        struct error e = ERROR_INIT;
        struct opts o = {NULL, 0};
        struct rig r;
        uint8_t b[512];
        opts_set(&o, "driver", "raw");
        opts_set(&o, "file.driver", "blkdebug");
        opts_set(&o, "file.image.driver", "file");
        opts_set(&o, "file.image.filename", path);
        opts_set(&o, "file.inject-error.0.event", "none");
        opts_set(&o, "file.inject-error.0.iotype", "read");
        opts_set(&o, "file.inject-error.0.sector", "50");
        opts_set(&o, "file.inject-error.0.once", "on");
        struct blk_backend *blk = blk_open_opts(NULL, &o, 0, &e);
        opts_free(&o);
        if (!blk) printf("%s\n", e.msg);
        CHECK(blk);
        if (!blk) return;
        blk_set_on_error(blk, policies[i], BLK_ON_ERROR_REPORT, count_errors, NULL);
        rig_up(&r, false);
        struct device *hd = dev_create(r.mb, dev_find("ide-hd"), r.ide, NULL);
        dev_set_ptr(hd, "drive", blk);
        CHECK(dev_realize(hd, &e) == 0);
        mb_reset(r.mb);
        errors = stops = 0;
        begin_read(&r, 50);
        time_busy(&r);
        uint8_t st = (uint8_t)in(&r, 0x1f7, 1);
        if (policies[i] == BLK_ON_ERROR_REPORT) {
            CHECK((st & ATA_ERR) && in(&r, 0x1f1, 1) == ATA_E_UNC);
        } else {
            CHECK(st & ATA_DRQ);
            read_pio(&r, 0x1f0, b, 512);
            CHECK(policies[i] == BLK_ON_ERROR_IGNORE || ld32_le(b) == 50);
        }
        CHECK(errors == 1 && stops == (policies[i] == BLK_ON_ERROR_STOP));
        rig_down(&r);
        blk_close(blk);
    }
}

static void test_ide(void)
{
    struct rig r;
    struct error e = ERROR_INIT;
    char *path = temp_image(1 << 20), *cd_path = temp_image(1 << 20);
    struct blk_backend *blk = blk_open(path, "raw", 0, &e),
                       *iso = blk_open(cd_path, "raw", BLK_RDONLY, &e);
    CHECK(blk && iso);
    rig_up(&r, false);
    struct device *none = dev_create(r.mb, dev_find("ide-hd"), r.ide, NULL);
    CHECK(dev_realize(none, &e) == -1 && e.set);
    dev_destroy(none);
    error_clear(&e);
    struct device *hd = dev_create(r.mb, dev_find("ide-hd"), r.ide, NULL);
    dev_set_ptr(hd, "drive", blk);
    CHECK(dev_realize(hd, &e) == 0);
    struct device *cd = dev_create(r.mb, dev_find("ide-cd"), r.ide, NULL);
    dev_set_int(cd, "unit", 2);
    CHECK(dev_realize(cd, &e) == 0);
    mb_reset(r.mb);
    test_disk_pio(&r, blk);
    test_disk_dma(&r, blk);
    test_cd(&r, cd, iso);
    /* in the middle of a transfer: save, go on, load, go on: the same data */
    uint8_t a[512], b[512];
    command28(&r, 0x1f0, 0, 40, 1, 0x20);
    read_pio(&r, 0x1f0, a, 100);
    struct state_buf s = {0};
    mb_save(r.mb, &s);
    read_pio(&r, 0x1f0, a, 412);
    CHECK(mb_load(r.mb, &s, &e) == 0 || (printf("%s\n", e.msg), 0));
    read_pio(&r, 0x1f0, b, 412);
    CHECK(!memcmp(a, b, 412) && wait_ide(&r, 0x1f0) == (ATA_DRDY | ATA_DSC));
    state_buf_free(&s);
    test_in_flight(&r);
    rig_down(&r);
    blk_close(blk);
    test_error_policy(path);
    blk_close(iso);
    unlink(path), unlink(cd_path);
    mem_free(path), mem_free(cd_path);
}

/* ---- PCnet ---- */

static uint32_t csr(struct rig *r, unsigned n)
{
    out(r, 0x2012, n, 2);
    return in(r, 0x2010, 2);
}

static void set_csr(struct rig *r, unsigned n, uint32_t v)
{
    out(r, 0x2012, n, 2);
    out(r, 0x2010, v, 2);
}

static void test_pcnet(void)
{
    struct rig r;
    struct error e = ERROR_INIT;
    rig_up(&r, false);
    CHECK(pci_make(r.mb, "pcnet", 0x58, &e) != NULL);
    mb_reset(r.mb);
    set_cfg(&r, GT_BASE, 0x58, 0x10, 0x2000);
    set_cfg(&r, GT_BASE, 0x58, 0x04, PCI_CMD_IO | PCI_CMD_MASTER);
    in(&r, 0x2014, 2); /* reset */
    CHECK(csr(&r, 0) == 4);
    out(&r, 0x2012, 88, 2);
    CHECK(in(&r, 0x2012, 2) == 88);
    CHECK((csr(&r, 88) | csr(&r, 89) << 16) == 0x02625003);
    CHECK(csr(&r, 12) == 0x5452 && in(&r, 0x2000, 4) == 0x12005452);
    /* software style 2, initialisation block at 0x4000, rings of 4 at 0x5000 and 0x6000 */
    uint8_t *ram = region_ram(r.ram);
    out(&r, 0x2012, 20, 2), out(&r, 0x2016, 2, 2);
    memset(ram + 0x4000, 0, 0x3000);
    st32_le(ram + 0x4000, 0x20200000);
    memcpy(ram + 0x4004, "\x02\x11\x22\x33\x44\x55", 6);
    st32_le(ram + 0x4014, 0x5000), st32_le(ram + 0x4018, 0x6000);
    st32_le(ram + 0x6000, 0x7000), st32_le(ram + 0x6004, 0x8300f000u | 0xfc4);
    set_csr(&r, 1, 0x4000), set_csr(&r, 2, 0);
    set_csr(&r, 0, 0x41);
    CHECK((csr(&r, 0) & 0x1c1) == 0x1c1 && csr(&r, 14) == 0x5544);
    CHECK(r.line[11]); /* slot 11 pin A is PIRQD by the default map */
    set_csr(&r, 0, 0x142);
    CHECK((csr(&r, 0) & 0x272) == 0x272); /* started; what was in the ring is gone */
    CHECK(!(ld32_le(ram + 0x6004) & 0x80000000u));
    set_csr(&r, 0, 0x240);
    CHECK(!(csr(&r, 0) & 0x2a0 & ~0x20u) && !r.line[10] && !r.line[11]);
    st32_le(ram + 0x6010, 0x7000), st32_le(ram + 0x6014, 0x8300f000u | 0xfc4);
    set_csr(&r, 0, 0x48);
    CHECK((csr(&r, 0) & 0x200) && !(ld32_le(ram + 0x6014) & 0x80000000u));
    /* a ring outside of memory is an error, not a crash */
    set_csr(&r, 0, 4);
    st32_le(ram + 0x4018, 0x70000000);
    set_csr(&r, 0, 1);
    set_csr(&r, 0, 0x42);
    CHECK(csr(&r, 0) & 0x800);
    /* PHY: address 30 answers, link down */
    out(&r, 0x2012, 33, 2), out(&r, 0x2016, 30 << 5 | 1, 2);
    out(&r, 0x2012, 34, 2);
    CHECK((in(&r, 0x2016, 2) & 0x7824) == 0x7800);
    out(&r, 0x2012, 33, 2), out(&r, 0x2016, 3 << 5 | 1, 2);
    out(&r, 0x2012, 34, 2);
    CHECK(in(&r, 0x2016, 2) == 0xffff);
    /* 32-bit access */
    out(&r, 0x2010, 0, 4);
    out(&r, 0x2014, 88, 4);
    CHECK(in(&r, 0x2010, 4) == 0x5003);
    rig_down(&r);
}

/* ---- ELF ---- */

static bool low_memory(void *opaque, uint64_t vaddr, uint64_t paddr, uint64_t *phys)
{
    *phys = vaddr & 0x1fffffff;
    return (vaddr & 0xe0000000) == 0x80000000;
}

static const struct elf_target elf_mips = {
    .machine = ELF_EM_MIPS, .to_phys = low_memory, .limit = 0x100000};

static void make_elf(uint8_t *f)
{
    memset(f, 0, 128);
    memcpy(f, "\177ELF\1\1\1", 7);
    st16_le(f + 16, 2), st16_le(f + 18, 8), st32_le(f + 20, 1);
    st32_le(f + 24, 0x80001000);
    st32_le(f + 28, 52);
    st16_le(f + 40, 52), st16_le(f + 42, 32), st16_le(f + 44, 1);
    st32_le(f + 52, 1), st32_le(f + 56, 96), st32_le(f + 60, 0x80001000),
        st32_le(f + 64, 0x80001000);
    st32_le(f + 68, 16), st32_le(f + 72, 32);
    memcpy(f + 96, "0123456789abcdef", 16);
}

static void test_elf(void)
{
    static const struct {
        unsigned at, bytes;
        uint32_t value;
        const char *says;
    } hostile[] = {
        {4, 1, 9, "class"},
        {5, 1, 0, "encoding"},
        {5, 1, 2, "endianness"},
        {18, 2, 62, "architecture"},
        {16, 2, 1, "e_type"},
        {44, 2, 0, "e_phnum"},
        {44, 2, 0xffff, "e_phnum"},
        {44, 2, 1000, "e_phoff"},
        {42, 2, 8, "e_phentsize"},
        {28, 4, 0xfffffff0, "e_phoff"},
        {28, 4, 120, "e_phoff"},
        {56, 4, 0xffffffff, "p_offset"},
        {68, 4, 33, "p_filesz"},
        {56, 4, 120, "p_offset"},
        {72, 4, 0xffffffff, "p_memsz"},
        {60, 4, 0x00001000, "p_vaddr"},
        {60, 4, 0x800ffff0, "p_memsz"},
        {60, 4, 0x90000000, "p_vaddr"},
        {52, 4, 0, "no segment"},
        {4, 1, 2, "64-bit"},
    };
    struct rig r;
    struct error e = ERROR_INIT;
    struct elf_info info;
    uint8_t f[128], *copy;
    rig_up(&r, false);
    struct device *images = boot_images_new(r.mb, &e);
    make_elf(f);
    CHECK(elf_load("good", f, 112, &elf_mips, images, &info, &e) == 0);
    CHECK(info.entry == UINT64_C(0xffffffff80001000) && info.low == 0x1000 && info.high == 0x1020);
    memset(region_ram(r.ram), 0xff, RAM_SIZE);
    mb_reset(r.mb);
    CHECK(!memcmp(region_ram(r.ram) + 0x1000, "0123456789abcdef\0\0\0\0", 20) &&
          region_ram(r.ram)[0x1020] == 0xff);
    CHECK(boot_images_overlap(images, 0x101f, 1) && !boot_images_overlap(images, 0x1020, 1));
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        error_clear(&e);
        make_elf(f);
        if (hostile[i].bytes == 1)
            f[hostile[i].at] = (uint8_t)hostile[i].value;
        else if (hostile[i].bytes == 2)
            st16_le(f + hostile[i].at, (uint16_t)hostile[i].value);
        else
            st32_le(f + hostile[i].at, hostile[i].value);
        bool refused = elf_load("hostile", f, 112, &elf_mips, images, &info, &e) == -1;
        if (!refused || !strstr(e.msg, hostile[i].says)) printf("case %zu: %s\n", i, e.msg);
        CHECK(refused && strstr(e.msg, hostile[i].says) && strstr(e.msg, "hostile"));
    }
    /* cut off everywhere, and random bytes flipped: no crash (for sanitizers: in a buffer of the
     * exact size) */
    uint32_t rnd = 1;
    for (unsigned i = 0; i < 3000; i++) {
        size_t n = i < 112 ? i : 112;
        make_elf(f);
        for (unsigned k = 0; i >= 112 && k < 4; k++) {
            rnd = rnd * 1664525 + 1013904223;
            f[(rnd >> 16) % 96] = (uint8_t)(rnd >> 8);
        }
        copy = mem_alloc(n ? n : 1);
        memcpy(copy, f, n);
        error_clear(&e);
        elf_load("noise", copy, n, &elf_mips, images, &info, &e);
        mem_free(copy);
    }
    CHECK(true);
    rig_down(&r);
}

int main(void)
{
    periph_register_all();
    test_audit();
    test_gt64120();
    test_bars();
    test_piix4();
    test_images();
    test_ide();
    test_pcnet();
    test_elf();
    return count_report();
}
