/*
 * ata.c - the commands of an ATA hard disk: PIO, multiple, DMA, 28 and 48 bit addresses, CHS, SMART
 * in short (ATA/ATAPI-6, T13/1410D, chapter 8), those it shares with a packet device, and on a serial link queued reads and
 * writes with their log (ATA8-ACS, T13/1699D, chapters 7.42, 7.63 and annex A).
 *
 * Not modelled: queued DMA of the parallel interface, security, host protected area, trusted commands; they end with ABRT as
 * the identify data say.
 */
#include "periph/block/ide.h"

#include "util/log.h"

#include <errno.h>

enum {
    CMD_NOP = 0x00,
    CMD_RECALIBRATE = 0x10,
    CMD_READ = 0x20,
    CMD_READ_ONCE = 0x21,
    CMD_READ_EXT = 0x24,
    CMD_READ_DMA_EXT = 0x25,
    CMD_READ_NATIVE_MAX_EXT = 0x27,
    CMD_READ_MULTIPLE_EXT = 0x29,
    CMD_READ_LOG_EXT = 0x2f,
    CMD_WRITE = 0x30,
    CMD_WRITE_ONCE = 0x31,
    CMD_WRITE_EXT = 0x34,
    CMD_WRITE_DMA_EXT = 0x35,
    CMD_WRITE_MULTIPLE_EXT = 0x39,
    CMD_WRITE_DMA_FUA_EXT = 0x3d,
    CMD_VERIFY = 0x40,
    CMD_VERIFY_ONCE = 0x41,
    CMD_VERIFY_EXT = 0x42,
    CMD_READ_QUEUED = 0x60,
    CMD_WRITE_QUEUED = 0x61,
    CMD_SEEK = 0x70,
    CMD_INIT_PARAMS = 0x91,
    CMD_SMART = 0xb0,
    CMD_READ_MULTIPLE = 0xc4,
    CMD_WRITE_MULTIPLE = 0xc5,
    CMD_SET_MULTIPLE = 0xc6,
    CMD_READ_DMA = 0xc8,
    CMD_READ_DMA_ONCE = 0xc9,
    CMD_WRITE_DMA = 0xca,
    CMD_WRITE_DMA_ONCE = 0xcb,
    CMD_WRITE_MULTIPLE_FUA_EXT = 0xce,
    CMD_STANDBY_NOW = 0xe0,
    CMD_IDLE_NOW = 0xe1,
    CMD_STANDBY = 0xe2,
    CMD_IDLE = 0xe3,
    CMD_CHECK_POWER = 0xe5,
    CMD_SLEEP = 0xe6,
    CMD_FLUSH = 0xe7,
    CMD_FLUSH_EXT = 0xea,
    CMD_IDENTIFY = 0xec,
    CMD_SET_FEATURES = 0xef,
    CMD_READ_NATIVE_MAX = 0xf8,
};
enum { LOG_DIRECTORY = 0x00, LOG_QUEUED_ERROR = 0x10, QUEUE_DEPTH = 32 };
enum { POWER_ACTIVE, POWER_IDLE, POWER_STANDBY };
#define BLOCK_NS UINT64_C(2000)

/* What identifies a device after a reset. */
void ata_signature(struct ide_drive *d)
{
    d->nsector = 1, d->lba_low = 1;
    d->lba_mid = d->is_cd ? 0x14 : 0;
    d->lba_high = d->is_cd ? 0xeb : 0;
    d->device = 0xa0;
}

/* ---- addresses ---- */

/* Takes the start and count from the taskfile; false: beyond the end or an impossible CHS. */
static bool take_range(struct ide_drive *d, bool ext)
{
    d->lba48 = ext;
    if (ext) {
        d->lba = (uint64_t)d->hob_high << 40 | (uint64_t)d->hob_mid << 32 |
                 (uint64_t)d->hob_low << 24 | (uint32_t)d->lba_high << 16 |
                 (uint32_t)d->lba_mid << 8 | d->lba_low;
        d->left = (uint32_t)d->hob_nsector << 8 | d->nsector;
        if (!d->left) d->left = 65536;
        if (!(d->device & ATA_DEV_LBA)) return false;
    } else {
        d->left = d->nsector ? d->nsector : 256;
        if (d->device & ATA_DEV_LBA) {
            d->lba = (uint32_t)(d->device & 15) << 24 | (uint32_t)d->lba_high << 16 |
                     (uint32_t)d->lba_mid << 8 | d->lba_low;
        } else {
            uint32_t cyl = (uint32_t)d->lba_high << 8 | d->lba_mid, head = d->device & 15;
            if (!d->lba_low || d->lba_low > d->sectors || head >= d->heads) return false;
            d->lba = ((uint64_t)cyl * d->heads + head) * d->sectors + d->lba_low - 1;
        }
    }
    return d->lba < d->n_sectors && d->left <= d->n_sectors - d->lba;
}

/* The taskfile shows the sector `lba` and how many were left, after errors. */
static void show_address(struct ide_drive *d, uint64_t lba)
{
    if (d->lba48) {
        d->hob_low = (uint8_t)(lba >> 24), d->hob_mid = (uint8_t)(lba >> 32),
        d->hob_high = (uint8_t)(lba >> 40);
    } else if (d->device & ATA_DEV_LBA) {
        d->device = (uint8_t)((d->device & 0xf0) | (lba >> 24 & 15));
    } else {
        uint64_t track = lba / d->sectors;
        d->lba_low = (uint8_t)(lba % d->sectors + 1);
        d->device = (uint8_t)((d->device & 0xf0) | (track % d->heads));
        d->lba_mid = (uint8_t)(track / d->heads);
        d->lba_high = (uint8_t)(track / d->heads >> 8);
        return;
    }
    d->lba_low = (uint8_t)lba, d->lba_mid = (uint8_t)(lba >> 8), d->lba_high = (uint8_t)(lba >> 16);
}

static void media_error(struct ide_drive *d, bool write, int err)
{
    LOG(GUEST_ERRORS, "ide-hd: %s of sector %llu: %s\n", write ? "write" : "read",
        (unsigned long long)d->lba, strerror(-err));
    show_address(d, d->lba);
    if (write) {
        ide_abort(d, ATA_E_ABRT);
        d->status |= ATA_DF;
    } else {
        ide_abort(d, ATA_E_UNC);
    }
}

/* ---- PIO ---- */

/* Sectors of the next DRQ block. */
static uint32_t next_block(const struct ide_drive *d)
{
    return MIN(d->left, (uint32_t)d->block);
}

static void read_block(struct ide_drive *d)
{
    ide_start_io(d, IO_READ, d->lba * IDE_SECTOR, next_block(d) * IDE_SECTOR);
}

static void block_read(struct ide_drive *d)
{
    uint32_t n = d->io_bytes / IDE_SECTOR;
    d->lba += n, d->left -= MIN(n, d->left);
    ide_offer(d, d->io_bytes);
}

/* Asks for the next block; the first one of a command comes without an interrupt. */
static void want_data(struct ide_drive *d, bool irq)
{
    ide_want(d, IDE_DATA_OUT, next_block(d) * IDE_SECTOR);
    if (irq) ide_set_irq(d, true);
}

static void finish_write(struct ide_drive *d, bool fua)
{
    if (!d->write_cache || fua) {
        d->phase = IDE_IDLE;
        ide_start_io(d, IO_FLUSH, 0, 0);
        return;
    }
    ide_complete(d);
}

static bool is_fua(const struct ide_drive *d)
{
    return d->command == CMD_WRITE_DMA_FUA_EXT || d->command == CMD_WRITE_MULTIPLE_FUA_EXT ||
           (d->command == CMD_WRITE_QUEUED && d->fua);
}

static void block_written(struct ide_drive *d)
{
    uint32_t n = d->io_bytes / IDE_SECTOR;
    d->lba += n, d->left -= MIN(n, d->left);
    d->pos = d->len = 0;
    if (d->left)
        want_data(d, true);
    else
        finish_write(d, is_fua(d));
}

void ata_data_done(struct ide_drive *d)
{
    if (d->phase == IDE_DATA_OUT) {
        ide_start_io(d, IO_WRITE, d->lba * IDE_SECTOR, d->len);
        return;
    }
    d->pos = d->len = 0;
    if (d->left) {
        d->status = ATA_BSY | ATA_DRDY;
        d->phase = IDE_IDLE;
        ide_start_timer(d, PEND_COMMAND, BLOCK_NS); /* goes on in ata_execute: left is not 0 */
    } else {
        d->phase = IDE_IDLE;
        d->status = ATA_DRDY | ATA_DSC;
    }
}

static void start_pio(struct ide_drive *d, bool write, bool ext, bool multiple)
{
    if (multiple && !d->multiple) {
        ide_abort(d, ATA_E_ABRT);
        return;
    }
    if (!take_range(d, ext)) {
        ide_abort(d, ATA_E_IDNF);
        return;
    }
    d->block = multiple ? d->multiple : 1;
    if (write)
        want_data(d, false);
    else
        read_block(d);
}

/* ---- DMA ---- */

static void start_dma(struct ide_drive *d, bool ext)
{
    const struct ide_front *f = d->ch->front;
    if (!f->dma) {
        ide_abort(d, ATA_E_ABRT);
        return;
    }
    if (!take_range(d, ext)) {
        ide_abort(d, ATA_E_IDNF);
        return;
    }
    d->phase = IDE_DMA_WAIT;
    d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    if (f->dma_ready(d->ch->opaque)) ide_start_timer(d, PEND_DMA, BLOCK_NS);
}

static bool dma_writes(uint8_t command)
{
    return command == CMD_WRITE_DMA || command == CMD_WRITE_DMA_ONCE ||
           command == CMD_WRITE_DMA_EXT || command == CMD_WRITE_DMA_FUA_EXT || command == CMD_WRITE_QUEUED;
}

/* Sectors that go through the buffer at once. */
static uint32_t dma_sectors(const struct ide_drive *d)
{
    return MIN(d->left, (uint32_t)(IDE_BUF / IDE_SECTOR));
}

/* Between buf and memory; false: the command has ended. */
static bool dma_move(struct ide_drive *d, bool to_memory, size_t bytes)
{
    const struct ide_front *f = d->ch->front;
    long moved = f->dma(d->ch->opaque, to_memory, d->buf, bytes);
    if (moved == (long)bytes) return true;
    /* bus error, or the descriptors gave less memory than the command moves */
    show_address(d, d->lba);
    ide_abort(d, moved < 0 ? ATA_E_ICRC | ATA_E_ABRT : ATA_E_ABRT);
    f->dma_done(d->ch->opaque, true);
    return false;
}

/* Begins the next piece of a DMA command. */
void ata_dma(struct ide_drive *d)
{
    const struct ide_front *f = d->ch->front;
    uint32_t bytes = dma_sectors(d) * IDE_SECTOR;
    bool write = dma_writes(d->command);
    if (!f->dma || !f->dma_ready(d->ch->opaque) || !bytes) return; /* stopped meanwhile: keeps waiting */
    if (write && !dma_move(d, false, bytes)) return;
    ide_start_io(d, write ? IO_WRITE : IO_READ, d->lba * IDE_SECTOR, bytes);
}

static void dma_io_done(struct ide_drive *d, bool write)
{
    const struct ide_front *f = d->ch->front;
    uint32_t n = d->io_bytes / IDE_SECTOR;
    if (!write && !f->dma_ready(d->ch->opaque)) { /* stopped meanwhile: reads again when it goes on */
        d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
        return;
    }
    if (!write && !dma_move(d, true, d->io_bytes)) return;
    d->lba += n, d->left -= MIN(n, d->left);
    if (d->left) {
        d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
        ata_dma(d);
        return;
    }
    f->dma_done(d->ch->opaque, false);
    if (write)
        finish_write(d, is_fua(d));
    else
        ide_complete(d);
}

void ata_io_done(struct ide_drive *d, enum ide_io what, int rc)
{
    bool dma = d->phase == IDE_DMA_WAIT;
    if (rc) {
        media_error(d, what != IO_READ, rc);
        if (dma) d->ch->front->dma_done(d->ch->opaque, false);
    } else if (what == IO_FLUSH) {
        ide_complete(d);
    } else if (dma) {
        dma_io_done(d, what == IO_WRITE);
    } else if (what == IO_READ) {
        block_read(d);
    } else {
        block_written(d);
    }
}

/* ---- identify ---- */

static void word(struct ide_drive *d, unsigned n, unsigned v)
{
    st16_le(d->buf + 2 * n, (uint16_t)v);
}

static void dword(struct ide_drive *d, unsigned n, uint32_t v)
{
    st32_le(d->buf + 2 * n, v);
}

static void identify(struct ide_drive *d)
{
    uint32_t chs = (uint32_t)MIN((uint64_t)d->cylinders * 16 * 63, d->n_sectors);
    bool sata = d->ch->front->sata;
    memset(d->buf, 0, IDE_SECTOR);
    word(d, 0, 0x0040);
    word(d, 1, d->cylinders);
    word(d, 3, 16);
    word(d, 6, 63);
    ide_put_identity(d, "QUERN HARDDISK");
    word(d, 20, 3);
    word(d, 21, 512);
    word(d, 47, 0x8000 | IDE_MAX_MULTIPLE);
    word(d, 48, 1);
    word(d, 49, 0x0b00); /* IORDY, LBA, DMA */
    word(d, 50, 0x4000);
    word(d, 51, 0x0200);
    word(d, 52, 0x0200);
    word(d, 53, 7); /* words 54-58, 64-70, 88 are valid */
    word(d, 54, MIN(d->n_sectors / ((uint32_t)d->heads * d->sectors), 65535u));
    word(d, 55, d->heads);
    word(d, 56, d->sectors);
    dword(d, 57, chs);
    word(d, 59, d->multiple ? 0x100u | d->multiple : 0);
    dword(d, 60, (uint32_t)MIN(d->n_sectors, 0x0fffffffu));
    word(d, 62, 0x07 | ((d->dma_mode & 0xf8) == 0x10 ? 0x100u << (d->dma_mode & 7) : 0));
    word(d, 63, 0x07 | ((d->dma_mode & 0xf8) == 0x20 ? 0x100u << (d->dma_mode & 7) : 0));
    word(d, 64, 3); /* PIO 3, 4 */
    for (unsigned i = 65; i <= 68; i++)
        word(d, i, 120);
    if (sata) {
        word(d, 75, QUEUE_DEPTH - 1);
        word(d, 76, 0x0106); /* 1.5 and 3 Gb/s, queued commands */
    }
    word(d, 80, 0x00f0); /* ATA-4 to ATA-7 */
    word(d, 81, 0x0016);
    word(d, 82, 0x4021); /* NOP, write cache, SMART */
    word(d, 83, 0x7400); /* FLUSH, FLUSH EXT, 48 bit */
    word(d, 84, sata ? 0x4020 : 0x4000); /* logs */
    word(d, 85, 0x4000 | (d->write_cache ? 0x20 : 0) | (d->smart_on ? 1 : 0));
    word(d, 86, 0x3400);
    word(d, 87, sata ? 0x4020 : 0x4000);
    word(d, 88, 0x3f | ((d->dma_mode & 0xf8) == 0x40 ? 0x100u << (d->dma_mode & 7) : 0));
    if (!sata) word(d, 93, 0x6001 | (d->unit & 1 ? 0x0a00u : 0x000au));
    dword(d, 100, (uint32_t)d->n_sectors);
    dword(d, 102, (uint32_t)(d->n_sectors >> 32));
    d->left = 0;
    ide_offer(d, IDE_SECTOR);
}

/* ---- the rest ---- */

static void set_features(struct ide_drive *d)
{
    switch (d->feature) {
    case 0x02: d->write_cache = true; break;
    case 0x82:
        d->write_cache = false;
        if (d->blk && !blk_readonly(d->blk)) (void)blk_flush(d->blk);
        break;
    case 0xaa: d->read_ahead = true; break;
    case 0x55: d->read_ahead = false; break;
    case 0x03: {
        uint8_t kind = d->nsector >> 3, mode = d->nsector & 7;
        bool ok = kind <= 1 || (kind == 2 && mode <= 2) || (kind == 4 && mode <= 2) ||
                  (kind == 8 && mode <= 5);
        if (!ok) goto abort;
        if (kind > 1) d->dma_mode = d->nsector;
        break;
    }
    case 0x05:
    case 0x85: /* power management levels, */
    case 0x42:
    case 0xc2: /* acoustics, */
    case 0x66:
    case 0xcc: /* defaults after soft reset: nothing to do */ break;
    default: goto abort;
    }
    ide_complete(d);
    return;
abort:
    ide_abort(d, ATA_E_ABRT);
}

static void smart(struct ide_drive *d)
{
    if (d->lba_mid != 0x4f || d->lba_high != 0xc2 || (!d->smart_on && d->feature != 0xd8)) {
        ide_abort(d, ATA_E_ABRT);
        return;
    }
    uint8_t sum = 0;
    switch (d->feature) {
    case 0xd0: /* READ DATA and READ THRESHOLDS: tables without attributes */
    case 0xd1:
        memset(d->buf, 0, IDE_SECTOR);
        d->buf[0] = 1;
        if (d->feature == 0xd0) d->buf[368] = 3; /* capabilities: saves attributes */
        for (unsigned i = 0; i < 511; i++)
            sum = (uint8_t)(sum + d->buf[i]);
        d->buf[511] = (uint8_t)(0x100 - sum);
        d->left = 0;
        ide_offer(d, IDE_SECTOR);
        return;
    case 0xd2:
    case 0xd3:
    case 0xd4: break; /* autosave, save, self test that passes at once */
    case 0xd8: d->smart_on = true; break;
    case 0xd9: d->smart_on = false; break;
    case 0xda: break; /* RETURN STATUS: the registers stay at 4f c2: no threshold exceeded */
    default: ide_abort(d, ATA_E_ABRT); return;
    }
    ide_complete(d);
}

/* READ LOG EXT: the directory, and what failed of queued commands, which reading it settles. */
static void read_log(struct ide_drive *d)
{
    bool one = d->nsector == 1 && !d->hob_nsector && !d->lba_mid && !d->hob_mid;
    if (!one || (d->lba_low != LOG_DIRECTORY && d->lba_low != LOG_QUEUED_ERROR)) {
        ide_abort(d, ATA_E_ABRT);
        return;
    }
    uint8_t log = d->lba_low, sum = 0;
    memset(d->buf, 0, IDE_SECTOR);
    if (log == LOG_DIRECTORY) {
        word(d, 0, 1);                /* version */
        word(d, LOG_QUEUED_ERROR, 1); /* pages */
    } else {
        if (d->failed[2]) memcpy(d->buf, d->failed, sizeof d->failed);
        else d->buf[0] = 0x80; /* none */
        memset(d->failed, 0, sizeof d->failed);
        for (unsigned i = 0; i < 511; i++)
            sum = (uint8_t)(sum + d->buf[i]);
        d->buf[511] = (uint8_t)(0x100 - sum);
    }
    d->left = 0;
    ide_offer(d, IDE_SECTOR);
}

bool ata_common(struct ide_drive *d)
{
    switch (d->command) {
    case CMD_STANDBY_NOW:
    case CMD_STANDBY: d->power_state = POWER_STANDBY; break;
    case CMD_IDLE_NOW:
    case CMD_IDLE: d->power_state = POWER_IDLE; break;
    case CMD_CHECK_POWER:
        d->nsector = d->power_state == POWER_STANDBY ? 0x00
                     : d->power_state == POWER_IDLE  ? 0x80
                                                     : 0xff;
        break;
    case CMD_SLEEP: d->power_state = POWER_STANDBY, d->sleeping = true; break;
    case CMD_SET_FEATURES: set_features(d); return true;
    case CMD_NOP: ide_abort(d, ATA_E_ABRT); return true;
    default: return false;
    }
    ide_complete(d);
    return true;
}

void ata_execute(struct ide_drive *d)
{
    uint8_t cmd = d->command;
    if (d->left) { /* the next block of a running PIO read */
        read_block(d);
        return;
    }
    if (d->sleeping) { /* only a reset wakes it up */
        ide_abort(d, ATA_E_ABRT);
        return;
    }
    if (ata_common(d)) return;
    d->power_state = POWER_ACTIVE;
    bool serial_only = cmd == CMD_READ_QUEUED || cmd == CMD_WRITE_QUEUED || cmd == CMD_READ_LOG_EXT;
    if (serial_only && !d->ch->front->sata) {
        ide_abort(d, ATA_E_ABRT);
        return;
    }
    switch (cmd) {
    case CMD_READ:
    case CMD_READ_ONCE: start_pio(d, false, false, false); break;
    case CMD_READ_EXT: start_pio(d, false, true, false); break;
    case CMD_READ_MULTIPLE: start_pio(d, false, false, true); break;
    case CMD_READ_MULTIPLE_EXT: start_pio(d, false, true, true); break;
    case CMD_WRITE:
    case CMD_WRITE_ONCE: start_pio(d, true, false, false); break;
    case CMD_WRITE_EXT: start_pio(d, true, true, false); break;
    case CMD_WRITE_MULTIPLE: start_pio(d, true, false, true); break;
    case CMD_WRITE_MULTIPLE_EXT:
    case CMD_WRITE_MULTIPLE_FUA_EXT: start_pio(d, true, true, true); break;
    case CMD_READ_DMA:
    case CMD_READ_DMA_ONCE:
    case CMD_WRITE_DMA:
    case CMD_WRITE_DMA_ONCE: start_dma(d, false); break;
    case CMD_READ_DMA_EXT:
    case CMD_WRITE_DMA_EXT:
    case CMD_WRITE_DMA_FUA_EXT:
    case CMD_READ_QUEUED:
    case CMD_WRITE_QUEUED: start_dma(d, true); break;
    case CMD_READ_LOG_EXT: read_log(d); break;
    case CMD_VERIFY:
    case CMD_VERIFY_ONCE:
    case CMD_VERIFY_EXT:
        if (take_range(d, cmd == CMD_VERIFY_EXT)) {
            d->left = 0;
            ide_complete(d);
        } else {
            ide_abort(d, ATA_E_IDNF);
        }
        break;
    case CMD_INIT_PARAMS:
        if (!d->nsector) {
            ide_abort(d, ATA_E_ABRT);
            break;
        }
        d->sectors = d->nsector, d->heads = (uint8_t)((d->device & 15) + 1);
        ide_complete(d);
        break;
    case CMD_SET_MULTIPLE:
        if (d->nsector > IDE_MAX_MULTIPLE || (d->nsector & (d->nsector - 1))) {
            ide_abort(d, ATA_E_ABRT);
            break;
        }
        d->multiple = d->nsector;
        ide_complete(d);
        break;
    case CMD_FLUSH:
    case CMD_FLUSH_EXT: ide_start_io(d, IO_FLUSH, 0, 0); break;
    case CMD_READ_NATIVE_MAX:
    case CMD_READ_NATIVE_MAX_EXT:
        d->lba48 = cmd == CMD_READ_NATIVE_MAX_EXT;
        d->device |= ATA_DEV_LBA;
        show_address(d, d->lba48 ? d->n_sectors - 1 : MIN(d->n_sectors - 1, 0x0fffffffu));
        ide_complete(d);
        break;
    case CMD_IDENTIFY: identify(d); break;
    case CMD_SMART: smart(d); break;
    default:
        if ((cmd & 0xf0) == CMD_RECALIBRATE || (cmd & 0xf0) == CMD_SEEK) {
            ide_complete(d);
            break;
        }
        LOG(UNIMP, "ide-hd: command %02x\n", cmd);
        ide_abort(d, ATA_E_ABRT);
        break;
    }
}
