/*
 * fdc.c - floppy disk controller of PCs. Follows Intel's data sheet of the 82078 (order number
 * 290468) in AT mode, with two drives. Disks are images of the usual formats, sector by sector.
 *
 * An operation takes some time and each sector a little, so that drivers see a busy controller; the
 * disk does not turn. Not modelled: the scan commands, FIFO thresholds, deleted data (every sector
 * has a normal mark), bad formats: sectors of 512 bytes, numbered from 1.
 */
#include "periph/block/fdc.h"

#include "periph/misc/i8257.h"
#include "periph/regions.h"
#include "util/log.h"

enum { SECTOR = 512, DRIVES = 2, N_COMMAND = 16, N_RESULT = 20 };
enum { SRA = 0, SRB = 1, DOR = 2, TDR = 3, MSR_DSR = 4, FIFO = 5, DIR_CCR = 7 };
enum { DOR_SELECT = 3, DOR_NRESET = 4, DOR_DMA = 8, DOR_MOTOR = 0x10 };
enum { MSR_BUSY = 0x10, MSR_NON_DMA = 0x20, MSR_OUT = 0x40, MSR_RQM = 0x80 };
enum { DSR_RESET = 0x80, DIR_CHANGED = 0x80 };
enum {
    ST0_ABNORMAL = 0x40,
    ST0_INVALID = 0x80,
    ST0_READY_CHANGED = 0xc0,
    ST0_SEEK_END = 0x20,
    ST0_EC = 0x10
};
enum { ST1_MA = 1, ST1_NW = 2, ST1_ND = 4, ST1_DE = 0x20, ST1_EN = 0x80 };
enum { ST2_WC = 0x10 };
enum { ST3_TWO_SIDES = 8, ST3_TRACK0 = 0x10, ST3_READY = 0x20, ST3_PROTECTED = 0x40 };
enum { CFG_IMPLIED_SEEK = 0x40, LOCKED = 0x80, CONFIG_DEFAULT = 0x20 };
enum {
    C_READ_TRACK = 0x02,
    C_SPECIFY = 0x03,
    C_DRIVE_STATUS = 0x04,
    C_WRITE = 0x05,
    C_READ = 0x06,
    C_RECALIBRATE = 0x07,
    C_SENSE_INTERRUPT = 0x08,
    C_WRITE_DELETED = 0x09,
    C_READ_ID = 0x0a,
    C_READ_DELETED = 0x0c,
    C_FORMAT = 0x0d,
    C_DUMP = 0x0e,
    C_SEEK = 0x0f,
    C_VERSION = 0x10,
    C_PERPENDICULAR = 0x12,
    C_CONFIGURE = 0x13,
    C_LOCK = 0x14,
    C_VERIFY = 0x16,
    C_POWERDOWN = 0x17,
    C_PART_ID = 0x18,
    C_SAVE = 0x2e,
    C_OPTION = 0x33,
    C_RESTORE = 0x4e,
    C_DRIVE_SPEC = 0x8e,
    C_RELATIVE_SEEK = 0x8f
};
enum fdc_phase { PHASE_COMMAND, PHASE_EXECUTE, PHASE_RESULT };
enum fdc_event { EVENT_NONE, EVENT_RESET, EVENT_SEEK, EVENT_EXECUTE };
#define COMMAND_NS UINT64_C(100000)
#define SECTOR_NS  UINT64_C(100000)
#define SEEK_NS    UINT64_C(1000000)

struct fdc_drive {
    struct blk_backend *blk;
    uint8_t type; /* enum fdc_type */
    /* state */
    uint8_t track, id; /* id: the sector that passes by next */
    bool changed;
    /* of the disk; sectors 0: there is none, or of no known format */
    uint8_t tracks, heads, sectors, rate;
};

struct fdc {
    struct device dev;
    /* properties */
    uint32_t iobase;
    uint8_t irq_number, dma_channel;
    char *boot_index[DRIVES];
    /* registers */
    uint8_t dor, tdr, dsr, ccr, config, precompensation, perpendicular, specify[2], lock;
    uint8_t phase, event;
    uint8_t command[N_COMMAND], result[N_RESULT];
    uint8_t n_command, n_result, result_at;
    uint8_t seeking;  /* drives that move */
    uint8_t sense[4]; /* ST0 that SENSE INTERRUPT will tell, by drive; 0: none */
    /* of the running transfer: address, data */
    uint8_t c, h, r, eot;
    bool terminal, by_processor;
    uint16_t pos, len, format_left;
    uint8_t buf[SECTOR];
    struct timer timer;
    struct irq_line irq;
    struct fdc_drive drive[DRIVES];
    /* runtime */
    struct device *dma;
};

static struct fdc *fdc_of(struct device *d)
{
    return (struct fdc *)d;
}

/* ---- disks ---- */

static const struct {
    uint16_t kib;
    uint8_t tracks, heads, sectors, rate, type; /* rate: code of CCR */
} formats[] = {
    {160, 40, 1, 8, 1, FDC_1200K},   {180, 40, 1, 9, 1, FDC_1200K},
    {320, 40, 2, 8, 1, FDC_1200K},   {360, 40, 2, 9, 1, FDC_1200K},
    {400, 80, 1, 10, 2, FDC_1440K},  {720, 80, 2, 9, 2, FDC_1440K},
    {800, 80, 2, 10, 2, FDC_1440K},  {820, 82, 2, 10, 2, FDC_1440K},
    {830, 83, 2, 10, 2, FDC_1440K},  {1200, 80, 2, 15, 0, FDC_1200K},
    {1440, 80, 2, 18, 0, FDC_1440K}, {1600, 80, 2, 20, 0, FDC_1440K},
    {1640, 82, 2, 20, 0, FDC_1440K}, {1680, 80, 2, 21, 0, FDC_1440K},
    {1722, 82, 2, 21, 0, FDC_1440K}, {2880, 80, 2, 36, 3, FDC_2880K},
    {3200, 80, 2, 40, 3, FDC_2880K},
};

/* The format of an image, by its size; -1: none. Sizes in between are the next larger one, of which
 * the end is missing. */
static int find_format(const struct blk_backend *blk)
{
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++) {
        if (blk_size(blk) <= (uint64_t)formats[i].kib * 1024) return (int)i;
    }
    return -1;
}

static void insert(struct fdc_drive *d, struct blk_backend *blk)
{
    int i = blk ? find_format(blk) : -1;
    d->blk = i >= 0 ? blk : NULL;
    d->tracks = d->heads = d->sectors = d->rate = 0;
    if (i < 0) return;
    d->tracks = formats[i].tracks, d->heads = formats[i].heads;
    d->sectors = formats[i].sectors, d->rate = formats[i].rate;
}

int fdc_add_drive(struct device *dev, unsigned n, struct blk_backend *blk, struct error *e)
{
    struct fdc *s = fdc_of(dev);
    int format = blk ? find_format(blk) : -1;
    if (n >= DRIVES) return error_set(e, "isa-fdc: there is no drive %u", n);
    if (blk && (format < 0 || !blk_size(blk)))
        return error_set(e, "isa-fdc: image '%s' is too large or small for a floppy disk",
                         blk_path(blk));
    s->drive[n].type = format < 0 ? FDC_2880K : formats[format].type;
    insert(&s->drive[n], blk);
    return 0;
}

enum fdc_type fdc_drive_type(struct device *dev, unsigned n)
{
    return n < DRIVES ? (enum fdc_type)fdc_of(dev)->drive[n].type : FDC_NONE;
}

static bool media_state(struct device *dev, unsigned n, struct media_state *m)
{
    if (n >= DRIVES) return false;
    const struct fdc_drive *d = &fdc_of(dev)->drive[n];
    *m = (struct media_state){.blk = d->blk};
    return d->type;
}

static int change(struct device *dev, unsigned n, struct blk_backend *blk, struct blk_backend **old,
                  bool force, struct error *e)
{
    struct fdc *s = fdc_of(dev);
    if (n >= DRIVES || !s->drive[n].type) return error_set(e, "isa-fdc: there is no drive %u", n);
    if (blk && (find_format(blk) < 0 || !blk_size(blk)))
        return error_set(e, "isa-fdc: image '%s' is too large or small for a floppy disk",
                         blk_path(blk));
    *old = s->drive[n].blk;
    insert(&s->drive[n], blk);
    s->drive[n].changed = true;
    return 0;
}

static const struct media_ops media = {.units = DRIVES, .state = media_state, .change = change};

const char *fdc_boot_index(struct device *dev, unsigned n)
{
    return n < DRIVES ? fdc_of(dev)->boot_index[n] : NULL;
}

/* ---- interrupt and results ---- */

static void raise(struct fdc *s)
{
    irq_set(&s->irq, s->dor & DOR_DMA);
}

static void idle(struct fdc *s)
{
    s->phase = PHASE_COMMAND;
    s->n_command = s->n_result = s->result_at = 0;
}

static void give_result(struct fdc *s, unsigned n)
{
    s->phase = PHASE_RESULT;
    s->n_result = (uint8_t)n, s->result_at = 0;
}

static void give_byte(struct fdc *s, uint8_t v)
{
    s->result[0] = v;
    give_result(s, 1);
}

static void arm(struct fdc *s, enum fdc_event what, uint64_t ns)
{
    s->event = (uint8_t)what;
    timer_arm(&s->timer, clock_now(s->dev.clock) + ns);
}

/* ---- transfers ---- */

static unsigned code(const struct fdc *s)
{
    return s->command[0] & 0x1f;
}

static unsigned unit(const struct fdc *s)
{
    return s->command[1] & 3;
}

static struct fdc_drive *drive(struct fdc *s)
{
    return unit(s) < DRIVES ? &s->drive[unit(s)] : NULL;
}

/* The end of a command that moves data. */
static void finish(struct fdc *s, unsigned st0, unsigned st1, unsigned st2)
{
    if (s->dma) dma_request(s->dma, s->dma_channel, false);
    uint8_t *r = s->result;
    r[0] = (uint8_t)(st0 | (s->h << 2 & 4) | unit(s));
    r[1] = (uint8_t)st1, r[2] = (uint8_t)st2;
    r[3] = s->c, r[4] = s->h, r[5] = s->r, r[6] = 2;
    give_result(s, 7);
    raise(s);
}

static bool writes(const struct fdc *s)
{
    return code(s) == C_WRITE || code(s) == C_WRITE_DELETED || code(s) == C_FORMAT;
}

/* Is there a disk that can be read with this data rate at the track of the heads. */
static bool readable(struct fdc *s, const struct fdc_drive *d)
{
    return d && d->blk && (s->dor & (DOR_MOTOR << unit(s))) && d->rate == (s->ccr & 3) &&
           d->track < d->tracks && (unsigned)(s->command[1] >> 2 & 1) < d->heads;
}

/* The sector at c, h, r; false: the command has ended. */
static bool locate(struct fdc *s, const struct fdc_drive *d, uint64_t *offset)
{
    if (!readable(s, d)) {
        finish(s, ST0_ABNORMAL, ST1_MA, 0);
        return false;
    }
    if (s->c != d->track || s->h >= d->heads || !s->r || s->r > d->sectors) {
        finish(s, ST0_ABNORMAL, ST1_ND, s->c != d->track ? ST2_WC : 0);
        return false;
    }
    *offset = (((uint64_t)s->c * d->heads + s->h) * d->sectors + s->r - 1) * SECTOR;
    return true;
}

static bool load_sector(struct fdc *s)
{
    const struct fdc_drive *d = drive(s);
    uint64_t at;
    if (!locate(s, d, &at)) return false;
    memset(s->buf, 0, sizeof s->buf); /* what an image that is too short lacks */
    if (at + SECTOR > blk_size(d->blk) || !blk_read(d->blk, at, s->buf, SECTOR)) return true;
    finish(s, ST0_ABNORMAL, ST1_DE, 0);
    return false;
}

static bool store_sector(struct fdc *s)
{
    const struct fdc_drive *d = drive(s);
    uint64_t at;
    if (!locate(s, d, &at)) return false;
    if (at + SECTOR > blk_size(d->blk) || blk_write(d->blk, at, s->buf, SECTOR)) {
        finish(s, ST0_ABNORMAL, ST1_DE, 0);
        return false;
    }
    return true;
}

/* The address of what follows, as the result phase tells it. True: the cylinder ends here. */
static bool next_sector(struct fdc *s)
{
    bool multi = s->command[0] & 0x80;
    if (s->r != s->eot) {
        s->r++;
        return false;
    }
    s->r = 1;
    if (multi && !s->h) {
        s->h = 1;
        return false;
    }
    if (multi) s->h = 0;
    s->c++;
    return true;
}

static void request_data(struct fdc *s)
{
    if (s->by_processor)
        raise(s);
    else if (s->dma)
        dma_request(s->dma, s->dma_channel, true);
}

/* A sector's data is through: the next one, or the end. */
static void sector_done(struct fdc *s)
{
    if (s->dma) dma_request(s->dma, s->dma_channel, false);
    if (code(s) == C_FORMAT) {
        /* The sector that this ID is for, filled; IDs of another track would be lost on an image.
         */
        s->c = s->buf[0], s->h = s->buf[1], s->r = s->buf[2];
        memset(s->buf, s->command[5], sizeof s->buf);
        if (!store_sector(s)) return;
        if (--s->format_left && !s->terminal) {
            s->pos = 0, s->len = 4;
            arm(s, EVENT_EXECUTE, SECTOR_NS);
        } else {
            finish(s, 0, 0, 0);
        }
        return;
    }
    if (writes(s) && !store_sector(s)) return;
    bool end = next_sector(s);
    if (s->terminal || (end && code(s) == C_VERIFY)) {
        finish(s, 0, 0, 0);
    } else if (end) { /* without terminal count that is an error */
        finish(s, ST0_ABNORMAL, ST1_EN, 0);
    } else {
        arm(s, EVENT_EXECUTE, SECTOR_NS);
    }
}

static void dma_ready(void *opaque, unsigned channel)
{
    struct fdc *s = opaque;
    bool tc = false;
    if (s->phase != PHASE_EXECUTE || s->event != EVENT_NONE || s->by_processor || s->pos >= s->len)
        return;
    s->pos = (uint16_t)(s->pos + dma_transfer(s->dma, channel, !writes(s), s->buf + s->pos,
                                              s->len - (uint32_t)s->pos, &tc));
    if (tc) {
        s->terminal = true;
        if (writes(s)) memset(s->buf + s->pos, 0, (size_t)(s->len - s->pos));
        s->pos = s->len;
    }
    if (s->pos >= s->len) sector_done(s);
}

/* Time for the next sector. */
static void execute(struct fdc *s)
{
    if (code(s) == C_FORMAT || writes(s)) {
        const struct fdc_drive *d = drive(s);
        uint64_t at;
        if (code(s) != C_FORMAT && !locate(s, d, &at)) return;
        if (code(s) == C_FORMAT && !readable(s, d)) {
            finish(s, ST0_ABNORMAL, ST1_MA, 0);
            return;
        }
        if (blk_readonly(d->blk)) {
            finish(s, ST0_ABNORMAL, ST1_NW, 0);
            return;
        }
        s->len = code(s) == C_FORMAT ? 4 : SECTOR;
    } else {
        if (!load_sector(s)) return;
        s->len = SECTOR;
        if (code(s) == C_VERIFY) {
            sector_done(s);
            return;
        }
    }
    s->pos = 0;
    request_data(s);
}

static void start_transfer(struct fdc *s)
{
    struct fdc_drive *d = drive(s);
    s->c = s->command[2], s->h = s->command[3], s->r = s->command[4], s->eot = s->command[6];
    if (code(s) == C_FORMAT) {
        s->format_left = s->command[3];
        s->c = d ? d->track : 0, s->h = s->command[1] >> 2 & 1, s->r = 1;
    }
    if (code(s) == C_READ_TRACK) s->r = 1;
    s->terminal = false;
    s->by_processor = (s->specify[1] & 1) || !(s->dor & DOR_DMA);
    s->pos = s->len = 0;
    s->phase = PHASE_EXECUTE;
    if ((s->config & CFG_IMPLIED_SEEK) && d && code(s) != C_FORMAT && s->c < 84 &&
        d->track != s->c) {
        d->track = s->c;
        if (d->blk) d->changed = false;
    }
    if (code(s) == C_FORMAT ? !s->format_left || s->command[2] != 2 : s->command[5] != 2) {
        finish(s, ST0_ABNORMAL, ST1_ND, 0); /* other sizes of sectors */
        return;
    }
    arm(s, EVENT_EXECUTE, COMMAND_NS);
}

/* ---- seeks ---- */

static void start_seek(struct fdc *s, unsigned track)
{
    struct fdc_drive *d = drive(s);
    uint8_t st0 = (uint8_t)(ST0_SEEK_END | (s->command[1] & 7));
    if (d && d->type) {
        d->track = (uint8_t)MIN(track, 83u);
        if (d->blk) d->changed = false; /* stepping clears it when there is a disk */
    } else if (code(s) == C_RECALIBRATE) {
        st0 |= ST0_ABNORMAL | ST0_EC; /* track 0 was not found */
    }
    s->sense[unit(s)] = st0;
    s->seeking |= (uint8_t)(1u << unit(s));
    idle(s);
    arm(s, EVENT_SEEK, SEEK_NS);
}

static void sense_interrupt(struct fdc *s)
{
    for (unsigned i = 0; i < 4; i++) {
        if (!s->sense[i] || (s->seeking >> i & 1)) continue;
        s->result[0] = s->sense[i];
        s->result[1] = i < DRIVES ? s->drive[i].track : 0;
        s->sense[i] = 0;
        irq_set(&s->irq, false);
        give_result(s, 2);
        return;
    }
    irq_set(&s->irq, false);
    give_byte(s, ST0_INVALID);
}

/* ---- commands ---- */

/* Bytes of a command with its first one; 0: there is no such command. */
static unsigned command_length(uint8_t c)
{
    switch (c) {
    case C_DUMP:
    case C_VERSION:
    case C_SENSE_INTERRUPT:
    case C_LOCK:
    case C_LOCK | LOCKED:
    case C_PART_ID:
    case C_SAVE: return 1;
    case C_DRIVE_STATUS:
    case C_RECALIBRATE:
    case C_PERPENDICULAR:
    case C_POWERDOWN:
    case C_OPTION: return 2;
    case C_SPECIFY:
    case C_SEEK:
    case C_RELATIVE_SEEK:
    case C_RELATIVE_SEEK | 0x40: return 3;
    case C_CONFIGURE: return 4;
    case C_DRIVE_SPEC: return 6;
    case C_RESTORE: return N_COMMAND + 1;
    default: break;
    }
    switch (c & 0x1f) {
    case C_READ_ID: return c & 0x80 ? 0 : 2;
    case C_FORMAT: return c & 0x80 ? 0 : 6;
    case C_READ:
    case C_READ_DELETED:
    case C_WRITE:
    case C_WRITE_DELETED:
    case C_READ_TRACK:
    case C_VERIFY: return 9;
    default: return 0;
    }
}

static void drive_status(struct fdc *s)
{
    const struct fdc_drive *d = drive(s);
    uint8_t v = ST3_READY | (s->command[1] & 7);
    if (d && d->type) {
        v |= d->track ? 0 : ST3_TRACK0;
        v |= d->type == FDC_360K && d->heads == 1 ? 0 : ST3_TWO_SIDES;
        v |= d->blk && blk_readonly(d->blk) ? ST3_PROTECTED : 0;
    }
    give_byte(s, v);
}

static void read_id(struct fdc *s)
{
    struct fdc_drive *d = drive(s);
    s->c = d ? d->track : 0, s->h = s->command[1] >> 2 & 1, s->r = 1;
    if (!readable(s, d)) {
        finish(s, ST0_ABNORMAL, ST1_MA, 0);
        return;
    }
    d->id = (uint8_t)(d->id % d->sectors + 1);
    s->r = d->id;
    finish(s, 0, 0, 0);
}

static void dump(struct fdc *s)
{
    uint8_t *r = s->result;
    memset(r, 0, 10);
    for (unsigned i = 0; i < DRIVES; i++)
        r[i] = s->drive[i].track;
    r[4] = s->specify[0], r[5] = s->specify[1];
    r[6] = s->eot;
    r[7] = s->lock | s->perpendicular;
    r[8] = s->config;
    r[9] = s->precompensation;
    give_result(s, 10);
}

static void run_command(struct fdc *s)
{
    const uint8_t *b = s->command;
    struct fdc_drive *d = drive(s);
    switch (b[0]) {
    case C_SPECIFY: s->specify[0] = b[1], s->specify[1] = b[2], idle(s); return;
    case C_DRIVE_STATUS: drive_status(s); return;
    case C_RECALIBRATE: start_seek(s, 0); return;
    case C_SENSE_INTERRUPT: sense_interrupt(s); return;
    case C_SEEK: start_seek(s, b[2]); return;
    case C_RELATIVE_SEEK:
        start_seek(s, d && d->track > b[2] ? d->track - (unsigned)b[2] : 0);
        return;
    case C_RELATIVE_SEEK | 0x40: start_seek(s, d ? d->track + (unsigned)b[2] : 0); return;
    case C_DUMP: dump(s); return;
    case C_VERSION: give_byte(s, 0x90); return;
    case C_PART_ID: give_byte(s, 0x41); return;
    case C_PERPENDICULAR:
        s->perpendicular = b[1] & 0x80 ? b[1] & 0x3f : (s->perpendicular & 0x3c) | (b[1] & 3);
        idle(s);
        return;
    case C_CONFIGURE: s->config = b[2] & 0x7f, s->precompensation = b[3], idle(s); return;
    case C_LOCK:
    case C_LOCK | LOCKED:
        s->lock = b[0] & LOCKED;
        give_byte(s, s->lock >> 3);
        return;
    case C_POWERDOWN: give_byte(s, b[1]); return;
    case C_OPTION: idle(s); return;
    case C_SAVE:
        memset(s->result, 0, N_RESULT);
        s->result[2] = s->specify[0], s->result[3] = s->specify[1];
        s->result[11] = s->config, s->result[12] = s->precompensation;
        s->result[13] = s->drive[0].track, s->result[14] = s->drive[1].track;
        give_result(s, 16);
        return;
    case C_RESTORE:
        s->specify[0] = b[3], s->specify[1] = b[4], s->config = b[12] & 0x7f, idle(s);
        return;
    case C_DRIVE_SPEC: idle(s); return;
    default: break;
    }
    if (code(s) == C_READ_ID) {
        s->phase = PHASE_EXECUTE;
        arm(s, EVENT_EXECUTE, COMMAND_NS);
    } else {
        start_transfer(s);
    }
}

static void write_command(struct fdc *s, uint8_t v)
{
    if (!s->n_command) memset(s->command, 0, sizeof s->command);
    if (s->n_command < N_COMMAND)
        s->command[s->n_command] = v; /* RESTORE has one more, which is reserved */
    s->n_command++;
    unsigned n = command_length(s->command[0]);
    if (!n) {
        LOG(GUEST_ERRORS, "isa-fdc: command %02x\n", v);
        give_byte(s, ST0_INVALID);
    } else if (s->n_command >= n) {
        run_command(s);
    }
}

/* ---- data by the processor ---- */

static bool processor_moves(const struct fdc *s)
{
    return s->phase == PHASE_EXECUTE && s->event == EVENT_NONE && s->by_processor &&
           s->pos < s->len;
}

static uint8_t read_fifo(struct fdc *s)
{
    if (s->phase == PHASE_RESULT) {
        if (!s->result_at) irq_set(&s->irq, false);
        uint8_t v = s->result[s->result_at++];
        if (s->result_at >= s->n_result) idle(s);
        return v;
    }
    if (!processor_moves(s) || writes(s)) {
        LOG(GUEST_ERRORS, "isa-fdc: nothing to read from the FIFO\n");
        return 0;
    }
    uint8_t v = s->buf[s->pos++];
    if (s->pos >= s->len) {
        irq_set(&s->irq, false);
        sector_done(s);
    }
    return v;
}

static void write_fifo(struct fdc *s, uint8_t v)
{
    if (!(s->dor & DOR_NRESET)) return;
    if (s->phase == PHASE_COMMAND) {
        write_command(s, v);
        return;
    }
    if (!processor_moves(s) || !writes(s)) {
        LOG(GUEST_ERRORS, "isa-fdc: nothing is to be written to the FIFO\n");
        return;
    }
    s->buf[s->pos++] = v;
    if (s->pos < s->len) return;
    irq_set(&s->irq, false);
    sector_done(s);
}

/* ---- resets and events ---- */

static void stop(struct fdc *s)
{
    timer_cancel(&s->timer);
    s->event = EVENT_NONE;
    if (s->dma) dma_request(s->dma, s->dma_channel, false);
    irq_set(&s->irq, false);
    idle(s);
    s->seeking = 0;
    memset(s->sense, 0, sizeof s->sense);
    s->pos = s->len = 0;
    if (!s->lock) s->config = CONFIG_DEFAULT, s->precompensation = 0;
    s->perpendicular &= 0x3c;
}

/* Reset ends: each drive is polled, and says that it is (or is not) ready. */
static void reset_done(struct fdc *s)
{
    for (unsigned i = 0; i < 4; i++)
        s->sense[i] = (uint8_t)(ST0_READY_CHANGED | i);
    raise(s);
}

static void timer_event(void *opaque)
{
    struct fdc *s = opaque;
    enum fdc_event what = s->event;
    s->event = EVENT_NONE;
    switch (what) {
    case EVENT_RESET: reset_done(s); break;
    case EVENT_SEEK:
        s->seeking = 0;
        raise(s);
        break;
    case EVENT_EXECUTE:
        if (s->phase != PHASE_EXECUTE) break;
        if (code(s) == C_READ_ID)
            read_id(s);
        else
            execute(s);
        break;
    default: break;
    }
}

static void write_dor(struct fdc *s, uint8_t v)
{
    uint8_t old = s->dor;
    s->dor = v;
    if (!(v & DOR_NRESET)) {
        if (old & DOR_NRESET) stop(s);
    } else if (!(old & DOR_NRESET)) {
        s->dsr &= (uint8_t)~DSR_RESET;
        arm(s, EVENT_RESET, COMMAND_NS);
    }
    if (!(v & DOR_DMA)) irq_set(&s->irq, false);
}

/* ---- registers ---- */

static uint8_t main_status(const struct fdc *s)
{
    uint8_t v = s->seeking;
    if (!(s->dor & DOR_NRESET)) return 0;
    switch (s->phase) {
    case PHASE_COMMAND: return v | MSR_RQM | (s->n_command ? MSR_BUSY : 0);
    case PHASE_RESULT: return v | MSR_RQM | MSR_OUT | MSR_BUSY;
    default:
        v |= MSR_BUSY;
        if (!processor_moves(s)) return v;
        return v | MSR_RQM | MSR_NON_DMA | (writes(s) ? 0 : MSR_OUT);
    }
}

static uint8_t digital_input(const struct fdc *s)
{
    const struct fdc_drive *d =
        (s->dor & DOR_SELECT) < DRIVES ? &s->drive[s->dor & DOR_SELECT] : NULL;
    /* The selected drive drives the line while its motor runs. */
    if (!d || !d->type || !(s->dor & (DOR_MOTOR << (s->dor & DOR_SELECT)))) return 0;
    return d->changed || !d->blk ? DIR_CHANGED : 0;
}

static uint64_t fdc_read(void *opaque, uint64_t addr, unsigned size)
{
    struct fdc *s = opaque;
    switch (addr) {
    case SRA: return (s->irq.level ? 0x80 : 0) | (s->drive[0].track ? 0x10 : 0);
    case SRB: return 0xc0 | (s->dor & 1 ? 0x20 : 0) | (s->dor >> 4 & 3);
    case DOR: return s->dor;
    case TDR: return s->tdr;
    case MSR_DSR: return main_status(s);
    case FIFO: return read_fifo(s);
    default: return 0;
    }
}

static void fdc_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct fdc *s = opaque;
    uint8_t v = (uint8_t)value;
    switch (addr) {
    case DOR: write_dor(s, v); break;
    case TDR: s->tdr = v & 3; break;
    case MSR_DSR:
        s->ccr = v & 3;
        s->dsr = v & 0x7f;
        if ((v & DSR_RESET) && (s->dor & DOR_NRESET)) { /* clears itself */
            stop(s);
            arm(s, EVENT_RESET, COMMAND_NS);
        }
        break;
    case FIFO: write_fifo(s, v); break;
    default: LOG(GUEST_ERRORS, "isa-fdc: write to register %u\n", (unsigned)addr); break;
    }
}

static uint64_t dir_read(void *opaque, uint64_t addr, unsigned size)
{
    return digital_input(opaque);
}

static void ccr_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    ((struct fdc *)opaque)->ccr = value & 3;
}

static const struct mmio_ops main_ops = {
    .read = fdc_read, .write = fdc_write, .impl_min = 1, .impl_max = 1};
static const struct mmio_ops dir_ops = {
    .read = dir_read, .write = ccr_write, .impl_min = 1, .impl_max = 1};

/* ---- life ---- */

void fdc_set_dma(struct device *dev, struct device *dma)
{
    struct fdc *s = fdc_of(dev);
    s->dma = dma;
    dma_connect(dma, s->dma_channel, dma_ready, s);
}

static int fdc_realize(struct device *dev, struct error *e)
{
    struct fdc *s = fdc_of(dev);
    if (s->dma_channel > 3)
        return error_set(e, "isa-fdc: DMA channel %u is none of 0 to 3", s->dma_channel);
    timer_init(&s->timer, dev->clock, timer_event, s);
    if (periph_map_ports(dev, 0, "fdc", s->iobase, 6, &main_ops, e)) return -1;
    return periph_map_ports(dev, 1, "fdc", (uint64_t)s->iobase + DIR_CCR, 1, &dir_ops, e);
}

static void fdc_unrealize(struct device *dev)
{
    struct fdc *s = fdc_of(dev);
    timer_cancel(&s->timer);
    if (s->dma) dma_connect(s->dma, s->dma_channel, NULL, NULL);
    periph_drop_regions(dev);
}

static void fdc_reset(struct device *dev)
{
    struct fdc *s = fdc_of(dev);
    s->lock = 0;
    stop(s);
    s->dor = 0; /* held in reset until software says otherwise */
    s->tdr = 0;
    s->dsr = s->ccr = 2;
    s->specify[0] = s->specify[1] = 0;
    s->perpendicular = 0;
    memset(s->command, 0, sizeof s->command);
    memset(s->result, 0, sizeof s->result);
    memset(s->buf, 0, sizeof s->buf);
    s->c = s->h = s->r = s->eot = 0;
    s->terminal = s->by_processor = false;
    s->format_left = 0;
    for (unsigned i = 0; i < DRIVES; i++)
        s->drive[i].track = s->drive[i].id = 0, s->drive[i].changed = true;
}

static int fdc_post_load(struct device *dev, struct error *e)
{
    struct fdc *s = fdc_of(dev);
    bool bad = s->phase > PHASE_RESULT || s->event > EVENT_EXECUTE || s->len > SECTOR ||
               s->pos > s->len || s->n_result > N_RESULT || s->result_at > s->n_result ||
               (s->phase == PHASE_RESULT && s->result_at == s->n_result) ||
               s->n_command > N_COMMAND + 1;
    return bad ? error_set(e, "isa-fdc: an impossible state") : 0;
}

static const struct prop_desc props[] = {
    PROP(struct fdc, PROP_U32, "iobase", iobase, 0x3f0, "first I/O port"),
    PROP(struct fdc, PROP_U8, "irq", irq_number, 6, "ISA interrupt"),
    PROP(struct fdc, PROP_U8, "dma", dma_channel, 2, "DMA channel"),
    PROP_STRING(struct fdc, "bootindexA", boot_index[0], NULL, "drive 0's place in the boot order"),
    PROP_STRING(struct fdc, "bootindexB", boot_index[1], NULL, "drive 1's place in the boot order"),
    PROP_END,
};
#define D(f)  STATE_INT(struct fdc_drive, f)
#define DR(f) STATE_RUNTIME(struct fdc_drive, f)
static const struct state_field drive_state[] = {
    DR(blk),    DR(type),  D(track),    D(id),    D(changed),
    DR(tracks), DR(heads), DR(sectors), DR(rate), STATE_END,
};
#undef D
#undef DR
#define F(f) STATE_INT(struct fdc, f)
static const struct state_field state[] = {
    STATE_PROP(struct fdc, iobase),
    STATE_PROP(struct fdc, irq_number),
    STATE_PROP(struct fdc, dma_channel),
    STATE_PROP(struct fdc, boot_index),
    F(dor),
    F(tdr),
    F(dsr),
    F(ccr),
    F(config),
    F(precompensation),
    F(perpendicular),
    STATE_ARR(struct fdc, specify),
    F(lock),
    F(phase),
    F(event),
    STATE_ARR(struct fdc, command),
    STATE_ARR(struct fdc, result),
    F(n_command),
    F(n_result),
    F(result_at),
    F(seeking),
    STATE_ARR(struct fdc, sense),
    F(c),
    F(h),
    F(r),
    F(eot),
    F(terminal),
    F(by_processor),
    F(pos),
    F(len),
    F(format_left),
    STATE_ARR(struct fdc, buf),
    STATE_TIMER(struct fdc, timer),
    STATE_IRQ(struct fdc, irq, 1),
    STATE_STRUCT(struct fdc, drive, DRIVES, drive_state),
    STATE_RUNTIME(struct fdc, dma),
    STATE_END,
};
#undef F
static const struct reg_desc regs[] = {{SRA, "SRA", 1}, {SRB, "SRB", 1},     {DOR, "DOR", 1},
                                       {TDR, "TDR", 1}, {MSR_DSR, "MSR", 1}, {FIFO, "FIFO", 1},
                                       REG_END};

const struct dev_desc fdc_desc = {
    .name = "isa-fdc",
    .help = "82078 floppy disk controller",
    .bus = BUS_ISA,
    .category = DEV_STORAGE,
    .size = sizeof(struct fdc),
    .props = props,
    .state = state,
    .regs = regs,
    .realize = fdc_realize,
    .unrealize = fdc_unrealize,
    .reset = fdc_reset,
    .post_load = fdc_post_load,
    .media = &media,
    .irq_offset = offsetof(struct fdc, irq),
    .n_irqs = 1,
};
