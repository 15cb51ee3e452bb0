/*
 * scsi-disk.c - disks and CD-ROM drives on a SCSI bus; see scsi.h.
 */
#include "periph/scsi/mmc.h"
#include "periph/scsi/scsi.h"
#include "util/log.h"

#include <errno.h>
#include <stdio.h>

enum {
    KEY_NONE = 0,
    KEY_NOT_READY = 2,
    KEY_MEDIUM = 3,
    KEY_ILLEGAL = 5,
    KEY_ATTENTION = 6,
    KEY_PROTECT = 7,
    KEY_ABORTED = 11
};
/* ASC << 8 | ASCQ */
enum {
    INVALID_OP = 0x2000,
    LBA_RANGE = 0x2100,
    INVALID_FIELD = 0x2400,
    NO_LUN = 0x2500,
    INVALID_PARAMETER = 0x2600,
    WRITE_PROTECTED = 0x2700,
    CHANGED = 0x2800,
    RESET = 0x2900,
    NO_MEDIUM = 0x3a00,
    READ_ERROR = 0x1100,
    WRITE_ERROR = 0x0c00,
    IO_TERMINATED = 0x0006,
    LOCKED = 0x5302
};
enum {
    TEST_UNIT_READY = 0x00,
    REQUEST_SENSE = 0x03,
    READ_6 = 0x08,
    WRITE_6 = 0x0a,
    INQUIRY = 0x12,
    MODE_SELECT_6 = 0x15,
    RESERVE_6 = 0x16,
    RELEASE_6 = 0x17,
    MODE_SENSE_6 = 0x1a,
    START_STOP = 0x1b,
    PREVENT_REMOVAL = 0x1e,
    READ_CAPACITY_10 = 0x25,
    READ_10 = 0x28,
    WRITE_10 = 0x2a,
    SEEK_10 = 0x2b,
    WRITE_VERIFY_10 = 0x2e,
    VERIFY_10 = 0x2f,
    SYNCHRONIZE_10 = 0x35,
    WRITE_SAME_10 = 0x41,
    UNMAP = 0x42, /* of CDs: READ SUB-CHANNEL */
    EVENT_STATUS = 0x4a,
    MODE_SELECT_10 = 0x55,
    MODE_SENSE_10 = 0x5a,
    READ_16 = 0x88,
    WRITE_16 = 0x8a,
    WRITE_VERIFY_16 = 0x8e,
    VERIFY_16 = 0x8f,
    SYNCHRONIZE_16 = 0x91,
    WRITE_SAME_16 = 0x93,
    SERVICE_ACTION_IN = 0x9e,
    REPORT_LUNS = 0xa0,
    READ_12 = 0xa8,
    WRITE_12 = 0xaa,
    SET_CD_SPEED = 0xbb
};
enum { MAX_RANGE = 0x3fffff }; /* blocks of one UNMAP or WRITE SAME */

static struct scsi_disk *disk_of(struct device *d)
{
    return (struct scsi_disk *)d;
}

struct scsi_disk *scsi_find(struct device *adapter, unsigned target, unsigned lun)
{
    for (struct device *d = adapter->mb->first; d; d = d->next) {
        if (d->parent != adapter || d->desc->bus != BUS_SCSI || !d->realized) continue;
        if (disk_of(d)->id == target && disk_of(d)->lun == lun) return disk_of(d);
    }
    return NULL;
}

static bool has_medium(const struct scsi_disk *d)
{
    return d->blk && !d->tray_open;
}

static uint64_t blocks(const struct scsi_disk *d)
{
    return d->blk ? blk_size(d->blk) / d->block : 0;
}

/* ---- results ---- */

static void set_sense(struct scsi_command *c, uint8_t key, unsigned code)
{
    memset(c->sense, 0, sizeof c->sense);
    c->sense[0] = 0x70;
    c->sense[2] = key;
    c->sense[7] = SCSI_SENSE_SIZE - 8;
    c->sense[12] = (uint8_t)(code >> 8), c->sense[13] = (uint8_t)code;
    c->status = key ? SCSI_CHECK_CONDITION : SCSI_GOOD;
    c->reply_len = 0;
    c->io = false;
}

static void fail(struct scsi_disk *d, struct scsi_command *c, uint8_t key, unsigned code)
{
    set_sense(c, key, code);
    d->sense[0] = key, d->sense[1] = (uint8_t)(code >> 8), d->sense[2] = (uint8_t)code;
}

static void reply(struct scsi_command *c, uint32_t have, uint32_t allocation)
{
    c->reply_len = MIN(MIN(have, allocation), (uint32_t)SCSI_REPLY_MAX);
}

/* ---- tables ---- */

static void put_text(uint8_t *out, size_t n, const char *s)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(*s ? *s++ : ' ');
}

static void serial_text(const struct scsi_disk *d, char out[40])
{
    if (d->serial)
        snprintf(out, 40, "%s", d->serial);
    else
        snprintf(out, 40, "QS%05u", (unsigned)(d->id * 8 + d->lun + 1));
}

/* Vital product data; 0: there is no such page. */
static uint32_t vpd_page(const struct scsi_disk *d, unsigned page, uint8_t *b)
{
    static const uint8_t pages[] = {0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};
    char serial[40];
    uint32_t n;
    serial_text(d, serial);
    n = (uint32_t)strlen(serial);
    switch (page) {
    case 0x00:
        n = d->is_cd ? 3 : sizeof pages;
        memcpy(b + 4, pages, n);
        break;
    case 0x80: memcpy(b + 4, serial, n); break;
    case 0x83: /* vendor and serial number, as text */
        b[4] = 2, b[5] = 1;
        b[7] = (uint8_t)(8 + n);
        put_text(b + 8, 8, "QUERN");
        memcpy(b + 16, serial, n);
        n += 12;
        break;
    case 0xb0:
        if (d->is_cd) return 0;
        st32_be(b + 20, MAX_RANGE); /* UNMAP: blocks */
        st32_be(b + 24, 64);        /* and descriptors */
        st64_be(b + 36, MAX_RANGE); /* WRITE SAME */
        n = 60;
        break;
    case 0xb1:
        if (d->is_cd) return 0;
        st16_be(b + 4, 1); /* does not rotate */
        n = 60;
        break;
    case 0xb2:
        if (d->is_cd) return 0;
        b[5] = 0xe0; /* UNMAP, WRITE SAME with unmapping */
        b[6] = 2;    /* thin */
        n = 4;
        break;
    default: return 0;
    }
    b[1] = (uint8_t)page;
    st16_be(b + 2, (uint16_t)n);
    return n + 4;
}

static void inquiry(struct scsi_disk *d, struct scsi_command *c)
{
    uint8_t *b = c->reply;
    uint32_t n = 36, allocation = ld16_be(c->cdb + 3);
    memset(b, 0, 256);
    if (c->cdb[1] & 1) {
        n = vpd_page(d, c->cdb[2], b);
    } else {
        b[1] = d->is_cd ? 0x80 : 0; /* removable */
        b[2] = 5, b[3] = 0x12;
        b[4] = 31;
        b[7] = 2; /* command queueing */
        put_text(b + 8, 8, d->vendor ? d->vendor : "QUERN");
        put_text(b + 16, 16,
                 d->product ? d->product
                 : d->is_cd ? "QUERN CD-ROM"
                            : "QUERN HARDDISK");
        put_text(b + 32, 4, d->version ? d->version : VERSION);
        if (c->cdb[2]) n = 0;
    }
    b[0] = d->is_cd ? 5 : 0;
    if (n)
        reply(c, n, allocation);
    else
        fail(d, c, KEY_ILLEGAL, INVALID_FIELD);
}

static void request_sense(struct scsi_disk *d, struct scsi_command *c)
{
    uint8_t *b = c->reply;
    memset(b, 0, SCSI_SENSE_SIZE);
    if (d->attention) {
        d->sense[0] = KEY_ATTENTION, d->sense[1] = (uint8_t)(d->attention >> 8),
        d->sense[2] = (uint8_t)d->attention;
        d->attention = 0;
    }
    b[0] = 0x70, b[2] = d->sense[0], b[7] = SCSI_SENSE_SIZE - 8, b[12] = d->sense[1],
    b[13] = d->sense[2];
    reply(c, SCSI_SENSE_SIZE, c->cdb[4]);
    memset(d->sense, 0, sizeof d->sense);
}

static int disk_pages(const struct scsi_disk *d, unsigned page, unsigned control, uint8_t *b)
{
    int n = 0;
    if (control == 3) return -0x3900;
    memset(b, 0, 64);
    if (page == 0x04 || page == 0x3f) { /* rigid disk geometry */
        uint64_t cylinders = blocks(d) / (16 * 63);
        uint32_t cyl = (uint32_t)MIN(cylinders, UINT64_C(0xffffff));
        b[n] = 0x04, b[n + 1] = 22;
        if (control != 1) {
            b[n + 2] = (uint8_t)(cyl >> 16), b[n + 3] = (uint8_t)(cyl >> 8),
                  b[n + 4] = (uint8_t)cyl;
            b[n + 5] = 16;
            st16_be(b + n + 20, 5400);
        }
        n += 24;
    }
    if (page == 0x08 || page == 0x3f) { /* caching; the write cache can be changed */
        b[n] = 0x08, b[n + 1] = 18;
        b[n + 2] = control == 1 || d->write_cache ? 4 : 0;
        n += 20;
    }
    if (page == 0x0a || page == 0x3f) { /* control */
        b[n] = 0x0a, b[n + 1] = 10;
        if (control != 1) b[n + 3] = 0x10; /* no order among commands */
        n += 12;
    }
    return n ? n : -INVALID_FIELD;
}

static void mode_sense(struct scsi_disk *d, struct scsi_command *c, bool ten)
{
    uint8_t *b = c->reply;
    unsigned page = c->cdb[2] & 0x3f, control = c->cdb[2] >> 6, head = ten ? 8 : 4, n = head;
    bool descriptor = !d->is_cd && !(c->cdb[1] & 8);
    const struct mmc_drive m = {
        .disc = d->blk != NULL, .tray_open = d->tray_open, .locked = d->locked};
    memset(b, 0, 256);
    if (descriptor) {
        st32_be(b + n, (uint32_t)MIN(blocks(d), UINT64_C(0xffffffff)));
        b[n + 5] = (uint8_t)(d->block >> 16), b[n + 6] = (uint8_t)(d->block >> 8),
              b[n + 7] = (uint8_t)d->block;
        n += 8;
    }
    int k =
        d->is_cd ? mmc_mode_pages(&m, page, control, b + n) : disk_pages(d, page, control, b + n);
    if (k < 0) {
        fail(d, c, KEY_ILLEGAL, (unsigned)-k);
        return;
    }
    n += (unsigned)k;
    uint8_t flags =
        d->is_cd ? 0
                 : (uint8_t)(0x10 | (blk_readonly(d->blk) ? 0x80 : 0)); /* DPO, FUA; protected */
    if (ten) {
        st16_be(b, (uint16_t)(n - 2));
        b[3] = flags, b[7] = descriptor ? 8 : 0;
    } else {
        b[0] = (uint8_t)(n - 1), b[2] = flags, b[3] = descriptor ? 8 : 0;
    }
    reply(c, n, ten ? ld16_be(c->cdb + 7) : c->cdb[4]);
}

/* Only the write cache can be changed. */
static void mode_select(struct scsi_disk *d, struct scsi_command *c, bool ten)
{
    uint8_t b[128] = {0};
    size_t n = ten ? ld16_be(c->cdb + 7) : c->cdb[4], head = ten ? 8 : 4;
    n = c->parameters(c->opaque, b, MIN(n, sizeof b));
    if (!n) return;
    if (n < head) {
        fail(d, c, KEY_ILLEGAL, 0x1a00);
        return;
    }
    size_t at = head + (ten ? ld16_be(b + 6) : b[3]);
    if (at + 2 > n) return; /* no page */
    if (d->is_cd || (b[at] & 0x3f) != 0x08 || b[at + 1] != 18 || at + 20 > n) {
        fail(d, c, KEY_ILLEGAL, INVALID_PARAMETER);
        return;
    }
    d->write_cache = b[at + 2] & 4;
}

static void read_capacity(struct scsi_disk *d, struct scsi_command *c, bool sixteen)
{
    uint64_t last = blocks(d) ? blocks(d) - 1 : 0;
    memset(c->reply, 0, 32);
    if (!sixteen) {
        st32_be(c->reply, (uint32_t)MIN(last, UINT64_C(0xffffffff)));
        st32_be(c->reply + 4, d->block);
        reply(c, 8, 8);
        return;
    }
    st64_be(c->reply, last);
    st32_be(c->reply + 8, d->block);
    if (!d->is_cd) c->reply[14] = 0x80; /* thin */
    reply(c, 32, ld32_be(c->cdb + 10));
}

static void report_luns(struct device *adapter, unsigned target, struct scsi_command *c)
{
    uint32_t n = 8, allocation = ld32_be(c->cdb + 6);
    memset(c->reply, 0, 8 + 8 * (SCSI_MAX_LUN + 1));
    for (unsigned lun = 0; lun <= SCSI_MAX_LUN; lun++) {
        if (lun && !scsi_find(adapter, target, lun)) continue;
        c->reply[n + 1] = (uint8_t)lun;
        n += 8;
    }
    st32_be(c->reply, n - 8);
    reply(c, n, allocation);
}

static void start_stop(struct scsi_disk *d, struct scsi_command *c)
{
    bool load = c->cdb[4] & 2, start = c->cdb[4] & 1;
    if (!d->is_cd || !load || c->cdb[4] >> 4) return;
    if (!start) {
        if (d->locked && !d->tray_open) {
            fail(d, c, has_medium(d) ? KEY_ILLEGAL : KEY_NOT_READY, LOCKED);
            return;
        }
        if (!d->tray_open) d->media_event = 3;
        d->tray_open = true;
    } else if (d->tray_open) {
        d->tray_open = false;
        if (d->blk) d->media_event = 2, d->attention = CHANGED;
    }
}

/* ---- reading and writing ---- */

/* The address and count of a command that has them. */
static void range_of(const uint8_t *cdb, uint64_t *lba, uint64_t *n)
{
    switch (cdb[0] >> 5) {
    case 0:
        *lba = ld32_be(cdb) & 0x1fffff;
        *n = cdb[4] ? cdb[4] : 256;
        break;
    case 4: *lba = ld64_be(cdb + 2), *n = ld32_be(cdb + 10); break;
    case 5: *lba = ld32_be(cdb + 2), *n = ld32_be(cdb + 6); break;
    default: *lba = ld32_be(cdb + 2), *n = ld16_be(cdb + 7); break;
    }
}

/* False: the command has failed. */
static bool check_range(struct scsi_disk *d, struct scsi_command *c, uint64_t lba, uint64_t n)
{
    uint64_t all = blocks(d);
    if (lba <= all && n <= all - lba) return true;
    fail(d, c, KEY_ILLEGAL, LBA_RANGE);
    return false;
}

static bool check_writable(struct scsi_disk *d, struct scsi_command *c)
{
    if (d->is_cd)
        fail(d, c, KEY_ILLEGAL, INVALID_OP);
    else if (blk_readonly(d->blk))
        fail(d, c, KEY_PROTECT, WRITE_PROTECTED);
    else
        return true;
    return false;
}

static void start_io(struct scsi_disk *d, struct scsi_command *c, enum blk_op op, uint64_t lba,
                     uint64_t n)
{
    c->io = true;
    c->io_op = op;
    c->io_offset = lba * d->block, c->io_bytes = n * d->block;
}

static void transfer(struct scsi_disk *d, struct scsi_command *c, bool write)
{
    uint64_t lba, n;
    range_of(c->cdb, &lba, &n);
    if (write && !check_writable(d, c)) return;
    if (!check_range(d, c, lba, n) || !n) return;
    /* What the initiator has no room for would be lost. */
    if (n * d->block > (write ? c->out_bytes : c->in_bytes)) {
        fail(d, c, KEY_ILLEGAL, INVALID_FIELD);
        return;
    }
    start_io(d, c, write ? BLK_OP_WRITE : BLK_OP_READ, lba, n);
    if (write && (!d->write_cache || (c->cdb[0] >= 0x20 && (c->cdb[1] & 8)))) c->io_flags = BLK_FUA;
}

static void write_same(struct scsi_disk *d, struct scsi_command *c)
{
    uint8_t block[4096];
    uint64_t lba, n;
    range_of(c->cdb, &lba, &n);
    if (!check_writable(d, c)) return;
    if (!n) n = blocks(d) - MIN(lba, blocks(d));
    if (!check_range(d, c, lba, n) || !n) return;
    bool zeros_known = (c->cdb[1] & 1) && c->cdb[0] == WRITE_SAME_16; /* no data is sent: zeros */
    size_t got = zeros_known ? 0 : c->parameters(c->opaque, block, d->block);
    for (size_t i = 0; i < got; i++) {
        if (!block[i]) continue;
        fail(d, c, KEY_ILLEGAL, INVALID_FIELD); /* anything but zeros */
        return;
    }
    if (n > MAX_RANGE || (!zeros_known && got != d->block)) {
        fail(d, c, KEY_ILLEGAL, INVALID_FIELD);
        return;
    }
    start_io(d, c, BLK_OP_ZERO, lba, n);
    if (c->cdb[1] & 8) c->io_flags = BLK_MAY_UNMAP;
}

/* Descriptors are joined where they can be: an adapter sends one request. */
static void unmap(struct scsi_disk *d, struct scsi_command *c)
{
    uint8_t b[8 + 64 * 16];
    size_t n = c->parameters(c->opaque, b, MIN((size_t)ld16_be(c->cdb + 7), sizeof b));
    if (!check_writable(d, c) || !n) return;
    if (n < 8 || (size_t)ld16_be(b + 2) + 8 > n || ld16_be(b + 2) % 16) {
        fail(d, c, KEY_ILLEGAL, n < 8 ? 0x1a00 : INVALID_PARAMETER);
        return;
    }
    unsigned count = ld16_be(b + 2) / 16u;
    uint64_t start = 0, len = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t lba = ld64_be(b + 8 + 16 * i), k = ld32_be(b + 8 + 16 * i + 8);
        if (!check_range(d, c, lba, k)) return;
        if (k > MAX_RANGE) {
            fail(d, c, KEY_ILLEGAL, INVALID_PARAMETER);
            return;
        }
        if (!len)
            start = lba, len = k;
        else if (start + len == lba)
            len += k; /* others are left alone: unmapping is a hint */
    }
    if (len) start_io(d, c, BLK_OP_DISCARD, start, len);
}

void scsi_done(struct scsi_disk *d, struct scsi_command *c, int rc)
{
    c->io = false;
    c->status = SCSI_GOOD;
    if (rc == -ENOTSUP && c->io_op == BLK_OP_DISCARD) rc = 0;
    if (!rc) return;
    LOG(GUEST_ERRORS, "%s: command %02x: %s\n", d->dev.desc->name, c->cdb[0], strerror(-rc));
    fail(d, c, KEY_MEDIUM, c->io_op == BLK_OP_READ ? READ_ERROR : WRITE_ERROR);
}

/* ---- commands ---- */

static bool table_command(struct scsi_disk *d, struct scsi_command *c)
{
    struct mmc_drive m = {.sectors = blocks(d),
                          .disc = d->blk != NULL,
                          .tray_open = d->tray_open,
                          .locked = d->locked,
                          .event = d->media_event};
    uint32_t allocation;
    int n = d->is_cd ? mmc_reply(&m, c->cdb, c->reply, &allocation) : MMC_UNKNOWN;
    if (n == MMC_UNKNOWN) return false;
    d->media_event = m.event;
    if (n < 0)
        fail(d, c, KEY_ILLEGAL, (unsigned)-n);
    else
        reply(c, (uint32_t)n, allocation);
    return true;
}

static bool answers_always(uint8_t op)
{
    return op == INQUIRY || op == REQUEST_SENSE || op == REPORT_LUNS || op == EVENT_STATUS;
}

static bool needs_medium(uint8_t op)
{
    switch (op) {
    case MODE_SENSE_6:
    case MODE_SENSE_10:
    case MODE_SELECT_6:
    case MODE_SELECT_10:
    case START_STOP:
    case PREVENT_REMOVAL:
    case RESERVE_6:
    case RELEASE_6:
    case SET_CD_SPEED:
    case 0x46: /* GET CONFIGURATION */
    case 0xbd: /* MECHANISM STATUS */ return false;
    default: return true;
    }
}

void scsi_start(struct scsi_disk *d, struct scsi_command *c)
{
    uint8_t op = c->cdb[0];
    c->io = false, c->io_flags = 0;
    c->reply_len = 0;
    set_sense(c, KEY_NONE, 0);
    if (!answers_always(op) && d->attention) {
        unsigned code = d->attention;
        d->attention = 0;
        fail(d, c, KEY_ATTENTION, code);
        return;
    }
    if (!answers_always(op) && needs_medium(op) && !has_medium(d)) {
        fail(d, c, KEY_NOT_READY, NO_MEDIUM | (d->tray_open ? 2 : 1));
        return;
    }
    switch (op) {
    case TEST_UNIT_READY:
    case RESERVE_6:
    case RELEASE_6:
    case SET_CD_SPEED: break;
    case REQUEST_SENSE: request_sense(d, c); break;
    case INQUIRY: inquiry(d, c); break;
    case READ_6:
    case READ_10:
    case READ_12:
    case READ_16: transfer(d, c, false); break;
    case WRITE_6:
    case WRITE_10:
    case WRITE_12:
    case WRITE_16:
    case WRITE_VERIFY_10:
    case WRITE_VERIFY_16: transfer(d, c, true); break;
    case SEEK_10:
    case VERIFY_10:
    case VERIFY_16: {
        uint64_t lba, n;
        range_of(c->cdb, &lba, &n);
        check_range(d, c, lba, op == SEEK_10 ? 0 : n);
        break;
    }
    case SYNCHRONIZE_10:
    case SYNCHRONIZE_16: start_io(d, c, BLK_OP_FLUSH, 0, 0); break;
    case WRITE_SAME_10:
    case WRITE_SAME_16: write_same(d, c); break;
    case MODE_SENSE_6: mode_sense(d, c, false); break;
    case MODE_SENSE_10: mode_sense(d, c, true); break;
    case MODE_SELECT_6: mode_select(d, c, false); break;
    case MODE_SELECT_10: mode_select(d, c, true); break;
    case READ_CAPACITY_10: read_capacity(d, c, false); break;
    case START_STOP: start_stop(d, c); break;
    case PREVENT_REMOVAL: d->locked = d->is_cd && (c->cdb[4] & 1); break;
    case REPORT_LUNS: report_luns(d->dev.parent, d->id, c); break;
    case SERVICE_ACTION_IN:
        if ((c->cdb[1] & 31) == 0x10)
            read_capacity(d, c, true);
        else
            fail(d, c, KEY_ILLEGAL, INVALID_FIELD);
        break;
    default:
        if (table_command(d, c)) break;
        if (op == UNMAP && !d->is_cd) {
            unmap(d, c);
            break;
        }
        LOG(UNIMP, "%s: command %02x\n", d->dev.desc->name, op);
        fail(d, c, KEY_ILLEGAL, INVALID_OP);
        break;
    }
}

void scsi_start_absent(struct device *adapter, unsigned target, struct scsi_command *c)
{
    c->io = false, c->io_flags = 0;
    set_sense(c, KEY_NONE, 0);
    switch (c->cdb[0]) {
    case REPORT_LUNS: report_luns(adapter, target, c); break;
    case INQUIRY:
        memset(c->reply, 0, 36);
        c->reply[0] = 0x7f; /* no device is possible here */
        c->reply[2] = 5, c->reply[3] = 2, c->reply[4] = 31;
        reply(c, 36, ld16_be(c->cdb + 3));
        break;
    case REQUEST_SENSE:
        memset(c->reply, 0, SCSI_SENSE_SIZE);
        c->reply[0] = 0x70, c->reply[2] = KEY_ILLEGAL, c->reply[7] = SCSI_SENSE_SIZE - 8,
        c->reply[12] = NO_LUN >> 8;
        reply(c, SCSI_SENSE_SIZE, c->cdb[4]);
        break;
    default: set_sense(c, KEY_ILLEGAL, NO_LUN); break;
    }
}

void scsi_unit_reset(struct scsi_disk *d)
{
    d->attention = RESET;
    d->locked = false;
    memset(d->sense, 0, sizeof d->sense);
}

/* ---- the devices ---- */

static int disk_realize(struct device *dev, struct error *e)
{
    struct scsi_disk *d = disk_of(dev);
    const char *name = dev->desc->name;
    d->is_cd = !strcmp(name, "scsi-cd");
    d->block = d->is_cd ? 2048 : 512;
    if (!dev->parent || dev->parent->desc->child_bus != BUS_SCSI)
        return error_set(e, "No 'SCSI' bus found for device '%s'", name);
    if (!d->is_cd && !d->blk) return error_set(e, "%s: drive property not set", name);
    if (!d->is_cd && blk_size(d->blk) < d->block)
        return error_set(e, "%s: image '%s' is empty", name, blk_path(d->blk));
    if (d->serial && strlen(d->serial) > 36)
        return error_set(e, "%s: a serial number has at most 36 characters", name);
    if (d->lun > SCSI_MAX_LUN || (d->id > SCSI_MAX_TARGET && d->id != UINT32_MAX))
        return error_set(e, "%s: there is no SCSI id %u, LUN %u", name, d->id, d->lun);
    if (d->id == UINT32_MAX) {
        uint32_t id = 0;
        while (id <= SCSI_MAX_TARGET && scsi_find(dev->parent, id, d->lun))
            id++;
        if (id > SCSI_MAX_TARGET) return error_set(e, "%s: no free target", name);
        d->id = id;
    } else if (scsi_find(dev->parent, d->id, d->lun)) {
        return error_set(e, "%s: SCSI id %u, LUN %u is in use", name, d->id, d->lun);
    }
    return 0;
}

static void disk_reset(struct device *dev)
{
    struct scsi_disk *d = disk_of(dev);
    scsi_unit_reset(d);
    d->write_cache = true;
    d->media_event = 0;
}

/* ---- media ---- */

static bool cd_state(struct device *dev, unsigned unit, struct media_state *m)
{
    const struct scsi_disk *d = disk_of(dev);
    *m = (struct media_state){.blk = d->blk, .locked = d->locked, .tray_open = d->tray_open};
    return unit == 0;
}

static int cd_change(struct device *dev, unsigned unit, struct blk_backend *medium,
                     struct blk_backend **old, bool force, struct error *e)
{
    struct scsi_disk *d = disk_of(dev);
    struct scsi_adapter *adapter = dev->parent->bus_children;
    if (d->locked && !force && !d->tray_open) {
        d->media_event = 1; /* the button was pressed */
        return media_locked(dev, e);
    }
    if (d->blk && adapter) adapter->finish(adapter);
    *old = d->blk;
    d->blk = medium;
    if (force) d->locked = false;
    d->tray_open = !medium;
    if (medium) d->attention = CHANGED;
    d->media_event = medium ? 2 : 3; /* new media, media removal */
    return 0;
}

static const struct media_ops cd_media = {
    .units = 1, .has_tray = true, .read_only = true, .state = cd_state, .change = cd_change};

static const struct prop_desc disk_props[] = {
    PROP(struct scsi_disk, PROP_DRIVE, "drive", blk, 0, "the disk image or medium"),
    PROP(struct scsi_disk, PROP_U32, "scsi-id", id, UINT32_MAX, "target (default: the first free)"),
    PROP(struct scsi_disk, PROP_U32, "lun", lun, 0, "logical unit, 0 to 7"),
    PROP_STRING(struct scsi_disk, "serial", serial, NULL, "serial number"),
    PROP_STRING(struct scsi_disk, "vendor", vendor, NULL, "vendor name, up to 8 characters"),
    PROP_STRING(struct scsi_disk, "product", product, NULL, "product name, up to 16 characters"),
    PROP_STRING(struct scsi_disk, "ver", version, NULL, "version, up to 4 characters"),
    PROP_END,
};
static const struct state_field disk_state[] = {
    STATE_PROP(struct scsi_disk, blk),        STATE_PROP(struct scsi_disk, id),
    STATE_PROP(struct scsi_disk, lun),        STATE_PROP(struct scsi_disk, serial),
    STATE_PROP(struct scsi_disk, vendor),     STATE_PROP(struct scsi_disk, product),
    STATE_PROP(struct scsi_disk, version),    STATE_INT(struct scsi_disk, attention),
    STATE_ARR(struct scsi_disk, sense),       STATE_INT(struct scsi_disk, media_event),
    STATE_INT(struct scsi_disk, write_cache), STATE_INT(struct scsi_disk, locked),
    STATE_INT(struct scsi_disk, tray_open),   STATE_RUNTIME(struct scsi_disk, is_cd),
    STATE_RUNTIME(struct scsi_disk, block),   STATE_END,
};

#define DISK(name_, help_, media_)                                                                 \
    {                                                                                              \
        .name = name_, .help = help_, .bus = BUS_SCSI, .category = DEV_STORAGE,                    \
        .user_creatable = true, .size = sizeof(struct scsi_disk), .props = disk_props,             \
        .state = disk_state, .realize = disk_realize, .reset = disk_reset, .media = media_         \
    }
const struct dev_desc scsi_hd_desc = DISK("scsi-hd", "SCSI disk", NULL);
const struct dev_desc scsi_cd_desc = DISK("scsi-cd", "SCSI CD-ROM drive", &cd_media);
