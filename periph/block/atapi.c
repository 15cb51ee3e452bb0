/*
 * atapi.c - a CD/DVD-ROM drive behind the packet interface: ATA/ATAPI-6 chapter 9.8 and the
 * commands of MMC-3 (T10/1363D) and SPC-2 that operating systems use. Data discs with 2048 byte
 * sectors only; no audio, no writing.
 */
#include "periph/block/ide.h"

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
    ASC_SAVING = 0x39,
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

static void msf(uint8_t *out, uint32_t lba)
{
    lba += 150;
    out[0] = 0;
    out[1] = (uint8_t)(lba / 75 / 60), out[2] = (uint8_t)(lba / 75 % 60),
    out[3] = (uint8_t)(lba % 75);
}

static void toc_address(uint8_t *out, bool in_msf, uint32_t lba)
{
    if (in_msf)
        msf(out, lba);
    else
        st32_be(out, lba);
}

/* One data track and the lead-out. */
static void cmd_read_toc(struct ide_drive *d)
{
    const uint8_t *p = d->packet;
    uint8_t *b = d->buf;
    bool in_msf = p[1] & 2;
    uint8_t format = p[2] & 15, start = p[6];
    uint32_t n = 4, total = (uint32_t)MIN(d->n_sectors, UINT32_MAX - 150);
    if (!format) format = p[9] >> 6;
    memset(b, 0, 64);
    switch (format) {
    case 0:
        if (start > 1 && start != 0xaa) goto invalid;
        b[2] = b[3] = 1;
        if (start <= 1) {
            b[n + 1] = 0x14, b[n + 2] = 1;
            toc_address(b + n + 4, in_msf, 0);
            n += 8;
        }
        b[n + 1] = 0x16, b[n + 2] = 0xaa;
        toc_address(b + n + 4, in_msf, total);
        n += 8;
        break;
    case 1: /* one session */
        b[2] = b[3] = 1;
        b[5] = 0x14, b[6] = 1;
        toc_address(b + 8, in_msf, 0);
        n = 12;
        break;
    case 2: { /* raw: first, last track, lead-out, track 1 */
        static const uint8_t points[4] = {0xa0, 0xa1, 0xa2, 1};
        b[2] = b[3] = 1;
        for (unsigned i = 0; i < 4; i++, n += 11) {
            b[n] = 1, b[n + 1] = 0x14, b[n + 3] = points[i];
            if (points[i] == 0xa2)
                msf(b + n + 7, total);
            else if (points[i] == 1)
                msf(b + n + 7, 0);
            else
                b[n + 8] = 1;
        }
        break;
    }
    default: goto invalid;
    }
    st16_be(b, (uint16_t)(n - 2));
    reply(d, n, be16(p + 7));
    return;
invalid:
    packet_error(d, SENSE_ILLEGAL, ASC_INVALID_FIELD, 0);
}

static void cmd_mode_sense(struct ide_drive *d)
{
    const uint8_t *p = d->packet;
    uint8_t *b = d->buf, page = p[2] & 0x3f, control = p[2] >> 6;
    uint32_t n = 8;
    bool found = false;
    if (control == 3) {
        packet_error(d, SENSE_ILLEGAL, ASC_SAVING, 0);
        return;
    }
    memset(b, 0, 128);
    b[2] = d->tray_open ? 0x71 : d->blk ? 0x01 : 0x70;
    if (page == 0x01 || page == 0x3f) { /* error recovery */
        b[n] = 0x01, b[n + 1] = 6;
        if (control == 0) b[n + 3] = 5;
        n += 8, found = true;
    }
    if (page == 0x0e || page == 0x3f) { /* audio control */
        b[n] = 0x0e, b[n + 1] = 14;
        n += 16, found = true;
    }
    if (page == 0x2a || page == 0x3f) { /* capabilities and mechanical status */
        b[n] = 0x2a, b[n + 1] = 20;
        if (control != 1) {
            b[n + 2] = 0x3b;                                  /* reads CD-R, CD-RW, DVD */
            b[n + 4] = 0x70;                                  /* mode 2, multisession */
            b[n + 6] = (uint8_t)(0x29 | (d->locked ? 2 : 0)); /* tray, eject, lock */
            st16_be(b + n + 8, 706);
            st16_be(b + n + 10, 2);
            st16_be(b + n + 12, 512);
            st16_be(b + n + 14, 706);
        }
        n += 22, found = true;
    }
    if (!found) {
        packet_error(d, SENSE_ILLEGAL, ASC_INVALID_FIELD, 0);
        return;
    }
    st16_be(b, (uint16_t)(n - 2));
    reply(d, n, be16(p + 7));
}

/* Feature descriptors of a drive that reads CDs and DVDs. */
static void cmd_get_configuration(struct ide_drive *d)
{
    const uint8_t *p = d->packet;
    uint8_t *b = d->buf;
    bool dvd = d->n_sectors > 405000; /* more than the largest CD */
    uint16_t profile = !has_medium(d) ? 0 : dvd ? 0x10 : 0x08, start = be16(p + 2);
    uint8_t rt = p[1] & 3;
    uint32_t n = 8;
    struct {
        uint16_t code;
        uint8_t flags, len;
        uint8_t data[8];
    } f[] = {
        {0x0000,
         0x03,
         8,
         {0x00, 0x10, dvd && profile, 0, 0x00, 0x08, !dvd && profile, 0}}, /* profiles */
        {0x0001, 0x0b, 8, {0, 0, 0, 2, 1, 0, 0, 0}},                       /* core: ATAPI */
        {0x0002, 0x07, 4, {2, 0, 0, 0}},                                   /* morphing: events */
        {0x0003, 0x03, 4, {0x29, 0, 0, 0}},          /* removable medium: tray */
        {0x0010, 0x01, 8, {0, 0, 8, 0, 0, 1, 0, 0}}, /* random readable */
        {0x001e, 0x09, 4, {0, 0, 0, 0}},             /* CD read */
        {0x001f, 0x01, 0, {0}},                      /* DVD read */
    };
    if (rt == 3) {
        packet_error(d, SENSE_ILLEGAL, ASC_INVALID_FIELD, 0);
        return;
    }
    memset(b, 0, 128);
    st16_be(b + 6, profile);
    for (size_t i = 0; i < ARRAY_LEN(f); i++) {
        bool current = (f[i].flags & 1) || (f[i].code == 0x1e && profile == 8) ||
                       (f[i].code == 0x1f && profile == 0x10);
        if (f[i].code < start || (rt == 1 && !current) || (rt == 2 && f[i].code != start)) continue;
        st16_be(b + n, f[i].code);
        b[n + 2] = (uint8_t)((f[i].flags & ~1u) | current);
        b[n + 3] = f[i].len;
        memcpy(b + n + 4, f[i].data, f[i].len);
        n += 4u + f[i].len;
    }
    st32_be(b, n - 4);
    reply(d, n, be16(p + 7));
}

/* Polled only. Class 4: media. */
static void cmd_event_status(struct ide_drive *d)
{
    const uint8_t *p = d->packet;
    uint8_t *b = d->buf;
    if (!(p[1] & 1)) { /* asynchronous operation is not supported */
        packet_error(d, SENSE_ILLEGAL, ASC_INVALID_FIELD, 0);
        return;
    }
    memset(b, 0, 8);
    b[3] = 1 << 4; /* supported classes */
    if (!(p[4] & 1 << 4)) {
        b[1] = 2;
        b[2] = 0x80; /* no event available */
        reply(d, 4, be16(p + 7));
        return;
    }
    b[1] = 6;
    b[2] = 4;
    b[4] = d->media_event;
    b[5] = (uint8_t)((d->tray_open ? 1 : 0) | (has_medium(d) ? 2 : 0));
    d->media_event = 0;
    reply(d, 8, be16(p + 7));
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

static void cmd_mechanism_status(struct ide_drive *d)
{
    memset(d->buf, 0, 8);
    d->buf[1] = d->tray_open ? 0x10 : 0;
    d->buf[5] = 1;
    reply(d, 8, be16(d->packet + 8));
}

static void cmd_disc_information(struct ide_drive *d)
{
    memset(d->buf, 0, 34);
    d->buf[1] = 32;
    d->buf[2] = 0x0e; /* complete, last session complete */
    d->buf[3] = d->buf[4] = d->buf[5] = d->buf[6] = 1;
    d->buf[7] = 0x20; /* unrestricted use */
    reply(d, 34, be16(d->packet + 7));
}

static void cmd_dvd_structure(struct ide_drive *d)
{
    uint8_t *b = d->buf;
    uint32_t n, allocation = be16(d->packet + 8);
    memset(b, 0, 2052);
    if (d->n_sectors <= 405000) { /* a CD has none */
        packet_error(d, SENSE_ILLEGAL, 0x30, 0x02);
        return;
    }
    switch (d->packet[7]) {
    case 0: /* physical format: one layer, read only */
        n = 2052;
        b[4] = 0x01, b[5] = 0x0f, b[6] = 0x01;
        st32_be(b + 8, 0x30000);
        st32_be(b + 12, (uint32_t)(0x30000 + d->n_sectors - 1));
        break;
    case 1: n = 8; break; /* no copyright protection */
    default: packet_error(d, SENSE_ILLEGAL, ASC_INVALID_FIELD, 0); return;
    }
    st16_be(b, (uint16_t)(n - 2));
    reply(d, n, allocation);
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
    case 0x42: /* READ SUB-CHANNEL: no audio is playing */
        memset(d->buf, 0, 4);
        d->buf[1] = 0x15;
        reply(d, 4, be16(p + 7));
        break;
    case 0x43: cmd_read_toc(d); break;
    case 0x46: cmd_get_configuration(d); break;
    case 0x4a: cmd_event_status(d); break;
    case 0x51: cmd_disc_information(d); break;
    case 0x5a: cmd_mode_sense(d); break;
    case 0xad: cmd_dvd_structure(d); break;
    case 0xbb: packet_ok(d); break; /* SET CD SPEED */
    case 0xbd: cmd_mechanism_status(d); break;
    default:
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
        d->pos = 0, d->len = sizeof d->packet;
        d->phase = IDE_PACKET;
        d->status =
            ATA_DRDY | ATA_DSC | ATA_DRQ; /* without an interrupt, as the identify data say */
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
