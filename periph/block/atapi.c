/*
 * atapi.c - a CD/DVD-ROM drive behind the packet interface: ATA/ATAPI-6 chapter 9.8 and the
 * commands of MMC-3 (T10/1363D) and SPC-2 that operating systems use. Data discs with 2048 byte
 * sectors only; no audio, no writing.
 */
#include "periph/block/ide.h"
#include "periph/scsi/mmc.h"

#include "util/log.h"

#include <errno.h>

enum { CMD_PACKET = 0xa0, CMD_IDENTIFY_PACKET = 0xa1, CMD_IDENTIFY = 0xec };
/* Interrupt reason (sector count register). */
enum { IR_COD = 1, IR_IO = 2 };
enum {
    SENSE_NONE = 0,
    SENSE_NOT_READY = 2,
    SENSE_MEDIUM = 3,
    SENSE_ILLEGAL = 5,
    SENSE_ATTENTION = 6,
    SENSE_ABORTED = 11
};
enum {
    ASC_INVALID_OP = 0x20,
    ASC_LBA_RANGE = 0x21,
    ASC_INVALID_FIELD = 0x24,
    ASC_CHANGED = 0x28,
    ASC_RESET = 0x29,
    ASC_NO_MEDIUM = 0x3a,
    ASC_READ_ERROR = 0x11,
    ASC_LOCKED = 0x53
};
#define PACKET_NS UINT64_C(20000)

static uint16_t be16(const uint8_t *p)
{
    return ld16_be(p);
}

static uint32_t be24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static bool has_medium(const struct ide_drive *d)
{
    return d->blk && !d->tray_open;
}

/* ---- ends and data phases ---- */

static void packet_ok(struct ide_drive *d)
{
    d->sense_key = d->asc = d->ascq = 0;
    d->nsector = (uint8_t)((d->nsector & ~7) | IR_COD | IR_IO);
    ide_complete(d);
}

static void packet_error(struct ide_drive *d, uint8_t key, uint8_t asc, uint8_t ascq)
{
    d->sense_key = key, d->asc = asc, d->ascq = ascq;
    d->nsector = (uint8_t)((d->nsector & ~7) | IR_COD | IR_IO);
    ide_abort(
        d, (uint8_t)(key << 4 | (key == SENSE_ILLEGAL || key == SENSE_ABORTED ? ATA_E_ABRT : 0)));
}

/* Offers the first bytes of buf; `left` counts what comes after. */
static void offer(struct ide_drive *d, uint32_t bytes)
{
    d->lba_mid = (uint8_t)bytes, d->lba_high = (uint8_t)(bytes >> 8);
    d->nsector = (uint8_t)((d->nsector & ~7) | IR_IO);
    ide_offer(d, bytes);
}

/* One DRQ block: whole sectors where the limit allows. d->lba counts bytes here, so smaller limits
 * work as well. */
static void read_chunk(struct ide_drive *d)
{
    uint32_t bytes = MIN(d->left, d->limit);
    if (bytes > CD_SECTOR) bytes -= bytes % CD_SECTOR;
    d->phase = IDE_IDLE;
    ide_start_io(d, IO_READ, d->lba, bytes);
}

void atapi_data_done(struct ide_drive *d)
{
    if (d->phase == IDE_PACKET) {
        memcpy(d->packet, d->buf, sizeof d->packet);
        d->phase = IDE_IDLE;
        d->status = ATA_BSY | ATA_DRDY;
        ide_start_timer(d, PEND_PACKET, PACKET_NS);
        return;
    }
    if (d->command == CMD_IDENTIFY_PACKET) {
        d->phase = IDE_IDLE;
        d->pos = d->len = 0;
        d->status = ATA_DRDY | ATA_DSC;
        return;
    }
    if (d->reading_media && d->left) {
        if (!d->blk)
            packet_error(d, SENSE_NOT_READY, ASC_NO_MEDIUM, 0);
        else
            read_chunk(d);
    } else if (d->left) { /* the rest of a reply longer than the limit: already in the buffer, move
                             it down */
        uint32_t n = MIN(d->left, d->limit);
        memmove(d->buf, d->buf + d->len, d->left);
        d->left -= n;
        offer(d, n);
    } else {
        packet_ok(d);
    }
}

/* Sends a reply of `have` bytes in buf, cut to the allocation length. */
static void reply(struct ide_drive *d, uint32_t have, uint32_t allocation)
{
    uint32_t n = MIN(have, allocation);
    d->sense_key = d->asc = d->ascq = 0;
    d->reading_media = false;
    if (!n) {
        packet_ok(d);
    } else if (d->packet_dma) {
        d->left = n;
        d->phase = IDE_DMA_WAIT;
        d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
        if (d->ch->front->dma_ready(d->ch->opaque)) atapi_dma(d);
    } else {
        uint32_t first = MIN(n, d->limit);
        d->left = n - first;
        offer(d, first);
    }
}

/* n bytes of buf to memory; false: the command has ended. */
static bool move_out(struct ide_drive *d, uint32_t n)
{
    const struct ide_front *f = d->ch->front;
    long moved = f->dma(d->ch->opaque, true, d->buf, n);
    if (moved < 0 || (moved < (long)n && d->reading_media)) {
        f->dma_done(d->ch->opaque, true);
        packet_error(d, SENSE_ABORTED, 0, 0);
        return false;
    }
    d->left -= MIN(n, d->left);
    return true;
}

void atapi_dma(struct ide_drive *d)
{
    const struct ide_front *f = d->ch->front;
    uint32_t n = MIN(d->left, (uint32_t)IDE_BUF);
    if (!f->dma || !f->dma_ready(d->ch->opaque) || !n) return;
    if (d->reading_media && d->blk) {
        ide_start_io(d, IO_READ, d->lba, n);
    } else if (d->reading_media) {
        f->dma_done(d->ch->opaque, false);
        packet_error(d, SENSE_MEDIUM, ASC_READ_ERROR, 0);
    } else if (move_out(d, n)) { /* a reply, which fits the buffer */
        f->dma_done(d->ch->opaque, false);
        packet_ok(d);
    }
}

void atapi_io_done(struct ide_drive *d, enum ide_io what, int rc)
{
    const struct ide_front *f = d->ch->front;
    bool dma = d->phase == IDE_DMA_WAIT;
    if (rc) {
        if (dma) f->dma_done(d->ch->opaque, false);
        packet_error(d, SENSE_MEDIUM, ASC_READ_ERROR, 0);
        return;
    }
    if (!dma) {
        d->lba += d->io_bytes, d->left -= MIN(d->io_bytes, d->left);
        offer(d, d->io_bytes);
        return;
    }
    d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    if (!f->dma_ready(d->ch->opaque)) return; /* stopped meanwhile: reads again when it goes on */
    if (!move_out(d, d->io_bytes)) return;
    d->lba += d->io_bytes;
    if (d->left) {
        atapi_dma(d);
        return;
    }
    f->dma_done(d->ch->opaque, false);
    packet_ok(d);
}

/* ---- commands ---- */

static void cmd_read(struct ide_drive *d, uint64_t lba, uint32_t count)
{
    if (lba > d->n_sectors || count > d->n_sectors - lba) {
        packet_error(d, SENSE_ILLEGAL, ASC_LBA_RANGE, 0);
        return;
    }
    if (!count) {
        packet_ok(d);
        return;
    }
    if (count > UINT32_MAX / CD_SECTOR) {
        packet_error(d, SENSE_ILLEGAL, ASC_INVALID_FIELD, 0);
        return;
    }
    d->lba = lba * CD_SECTOR;
    d->left = count * CD_SECTOR;
    d->reading_media = true;
    if (!d->packet_dma) {
        read_chunk(d);
        return;
    }
    d->phase = IDE_DMA_WAIT;
    d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    if (d->ch->front->dma_ready(d->ch->opaque)) atapi_dma(d);
}

static void cmd_inquiry(struct ide_drive *d)
{
    uint8_t *b = d->buf;
    memset(b, 0, 36);
    b[0] = 0x05; /* CD-ROM */
    b[1] = 0x80; /* removable */
    b[3] = 0x21; /* ATAPI-2, response format 1 */
    b[4] = 31;
    memset(b + 8, ' ', 28);
    memcpy(b + 8, "QUERN", 5);
    memcpy(b + 16, "QUERN DVD-ROM", 13);
    memcpy(b + 32, VERSION, MIN(strlen(VERSION), (size_t)4));
    reply(d, 36, d->packet[4]);
}

static void cmd_request_sense(struct ide_drive *d)
{
    uint8_t *b = d->buf;
    memset(b, 0, 18);
    b[0] = 0x70;
    b[2] = d->sense_key;
    b[7] = 10;
    b[12] = d->asc, b[13] = d->ascq;
    reply(d, 18, d->packet[4]);
}

static void cmd_start_stop(struct ide_drive *d)
{
    bool load = d->packet[4] & 2, start = d->packet[4] & 1;
    if (d->packet[4] >> 4) { /* a power condition */
        packet_ok(d);
        return;
    }
    if (load && !start) {
        if (d->locked && !d->tray_open) {
            packet_error(d, has_medium(d) ? SENSE_ILLEGAL : SENSE_NOT_READY, ASC_LOCKED, 2);
            return;
        }
        if (!d->tray_open) d->media_event = 3;
        d->tray_open = true;
    } else if (load && d->tray_open) {
        d->tray_open = false;
        if (d->blk) d->media_event = 2, d->unit_attention = d->changed = true;
    }
    packet_ok(d);
}

/* The commands that return a table; false: it is none of them. */
static bool table_command(struct ide_drive *d)
{
    struct mmc_drive m = {.sectors = d->n_sectors,
                          .disc = d->blk != NULL,
                          .tray_open = d->tray_open,
                          .locked = d->locked,
                          .event = d->media_event};
    uint32_t allocation;
    int n = mmc_reply(&m, d->packet, d->buf, &allocation);
    d->media_event = m.event;
    if (n == MMC_UNKNOWN) return false;
    if (n < 0)
        packet_error(d, SENSE_ILLEGAL, (uint8_t)(-n >> 8), (uint8_t)-n);
    else
        reply(d, (uint32_t)n, allocation);
    return true;
}

/* Commands that a changed medium does not keep from being done; and those that need a medium. */
enum { PF_ALWAYS = 1, PF_MEDIUM = 2 };
static unsigned packet_flags(uint8_t op)
{
    switch (op) {
    case 0x03:
    case 0x12:
    case 0x46:
    case 0x4a: return PF_ALWAYS;
    case 0x00:
    case 0x25:
    case 0x28:
    case 0xa8:
    case 0xbe:
    case 0x2b:
    case 0x42:
    case 0x43:
    case 0x51:
    case 0xad: return PF_MEDIUM;
    default: return 0;
    }
}

void atapi_packet(struct ide_drive *d)
{
    const uint8_t *p = d->packet;
    unsigned flags = packet_flags(p[0]);
    d->left = 0;
    d->status &= (uint8_t)~ATA_BSY;
    d->reading_media = false;
    if (!(flags & PF_ALWAYS) && d->unit_attention) {
        d->unit_attention = false;
        packet_error(d, SENSE_ATTENTION, d->changed ? ASC_CHANGED : ASC_RESET, 0);
        d->changed = false;
        return;
    }
    if ((flags & PF_MEDIUM) && !has_medium(d)) {
        packet_error(d, SENSE_NOT_READY, ASC_NO_MEDIUM, d->tray_open ? 2 : 1);
        return;
    }
    switch (p[0]) {
    case 0x00: packet_ok(d); break; /* TEST UNIT READY */
    case 0x03: cmd_request_sense(d); break;
    case 0x12: cmd_inquiry(d); break;
    case 0x1b: cmd_start_stop(d); break;
    case 0x1e: /* PREVENT ALLOW MEDIUM REMOVAL */
        d->locked = p[4] & 1;
        packet_ok(d);
        break;
    case 0x25: /* READ CAPACITY */
        st32_be(d->buf, (uint32_t)MIN(d->n_sectors - (d->n_sectors != 0), 0xfffffffeu));
        st32_be(d->buf + 4, CD_SECTOR);
        reply(d, 8, 8);
        break;
    case 0x28: cmd_read(d, ld32_be(p + 2), be16(p + 7)); break;
    case 0xa8: cmd_read(d, ld32_be(p + 2), ld32_be(p + 6)); break;
    case 0xbe: /* READ CD: user data only */
        if ((p[9] & 0xf8) == 0x10)
            cmd_read(d, ld32_be(p + 2), be24(p + 6));
        else if ((p[9] & 0xf8) == 0)
            packet_ok(d);
        else
            packet_error(d, SENSE_ILLEGAL, ASC_INVALID_FIELD, 0);
        break;
    case 0x2b: /* SEEK */
        if (ld32_be(p + 2) >= d->n_sectors)
            packet_error(d, SENSE_ILLEGAL, ASC_LBA_RANGE, 0);
        else
            packet_ok(d);
        break;
    case 0xbb: packet_ok(d); break; /* SET CD SPEED */
    default:
        if (table_command(d)) break;
        LOG(UNIMP, "ide-cd: packet command %02x\n", p[0]);
        packet_error(d, SENSE_ILLEGAL, ASC_INVALID_OP, 0);
        break;
    }
}

static void identify_packet(struct ide_drive *d)
{
    uint8_t *b = d->buf;
    memset(b, 0, IDE_SECTOR);
    st16_le(b, 0x8580); /* CD-ROM, removable, 12 byte packets, DRQ within 3 ms */
    ide_put_identity(d, "QUERN DVD-ROM");
    st16_le(b + 98, d->ch->front->dma ? 0x0b00 : 0x0a00); /* IORDY, LBA, DMA */
    st16_le(b + 106, 7);
    st16_le(b + 124, 0x07);
    st16_le(b + 126,
            (uint16_t)(0x07 | ((d->dma_mode & 0xf8) == 0x20 ? 0x100u << (d->dma_mode & 7) : 0)));
    st16_le(b + 128, 3);
    for (unsigned i = 65; i <= 68; i++)
        st16_le(b + 2 * i, 120);
    st16_le(b + 160, 0x001e);
    st16_le(b + 164, 0x4010 | 0x0200); /* packet, device reset */
    st16_le(b + 166, 0x4000);
    st16_le(b + 168, 0x4000);
    st16_le(b + 170, 0x4210);
    st16_le(b + 174, 0x4000);
    st16_le(b + 176,
            (uint16_t)(0x3f | ((d->dma_mode & 0xf8) == 0x40 ? 0x100u << (d->dma_mode & 7) : 0)));
    if (d->ch->front->sata) st16_le(b + 152, 0x0006); /* 1.5 and 3 Gb/s */
    d->left = 0;
    ide_offer(d, IDE_SECTOR);
}

void atapi_execute(struct ide_drive *d)
{
    if (d->command == CMD_PACKET) {
        d->packet_dma = d->feature & 1;
        if ((d->feature & 2) ||
            (d->packet_dma && !d->ch->front->dma)) { /* overlapped; DMA without an engine */
            ide_abort(d, ATA_E_ABRT);
            return;
        }
        d->limit = (uint32_t)d->lba_high << 8 | d->lba_mid;
        if (!d->limit || d->limit == 0xffff)
            d->limit = 0xfffe; /* odd limits only for the last block */
        if (d->limit > 1) d->limit &= ~1u;
        d->nsector = (uint8_t)((d->nsector & ~7) | IR_COD);
        ide_want(d, IDE_PACKET, sizeof d->packet); /* without an interrupt, as the identify data say */
        return;
    }
    if (d->command == CMD_IDENTIFY_PACKET) {
        identify_packet(d);
        return;
    }
    if (ata_common(d)) return;
    if (d->command == CMD_IDENTIFY || d->command == 0x20)
        ata_signature(d); /* says: I am a packet device */
    ide_abort(d, ATA_E_ABRT);
}
