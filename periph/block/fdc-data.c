/*
 * fdc-data.c - the disks of the floppy disk controller, and the commands that move their data, by
 * DMA or by the processor.
 *
 * Disks are images of the usual formats, sector by sector of 512 bytes; the data sheet is named in
 * fdc.c.
 */
#include "periph/block/fdc-internal.h"

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

const struct media_ops fdc_media = {.units = DRIVES, .state = media_state, .change = change};

const char *fdc_boot_index(struct device *dev, unsigned n)
{
    return n < DRIVES ? fdc_of(dev)->boot_index[n] : NULL;
}

/* ---- transfers ---- */

void fdc_finish(struct fdc *s, unsigned st0, unsigned st1, unsigned st2)
{
    if (s->dma) dma_request(s->dma, s->dma_channel, false);
    uint8_t *r = s->result;
    r[0] = (uint8_t)(st0 | (s->h << 2 & 4) | fdc_unit(s));
    r[1] = (uint8_t)st1, r[2] = (uint8_t)st2;
    r[3] = s->c, r[4] = s->h, r[5] = s->r, r[6] = 2;
    fdc_give_result(s, 7);
    fdc_raise(s);
}

bool fdc_writes(const struct fdc *s)
{
    return fdc_code(s) == C_WRITE || fdc_code(s) == C_WRITE_DELETED || fdc_code(s) == C_FORMAT;
}

bool fdc_readable(struct fdc *s, const struct fdc_drive *d)
{
    return d && d->blk && (s->dor & (DOR_MOTOR << fdc_unit(s))) && d->rate == (s->ccr & 3) &&
           d->track < d->tracks && (unsigned)(s->command[1] >> 2 & 1) < d->heads;
}

/* The sector at c, h, r; false: the command has ended. */
static bool locate(struct fdc *s, const struct fdc_drive *d, uint64_t *offset)
{
    if (!fdc_readable(s, d)) {
        fdc_finish(s, ST0_ABNORMAL, ST1_MA, 0);
        return false;
    }
    if (s->c != d->track || s->h >= d->heads || !s->r || s->r > d->sectors) {
        fdc_finish(s, ST0_ABNORMAL, ST1_ND, s->c != d->track ? ST2_WC : 0);
        return false;
    }
    *offset = (((uint64_t)s->c * d->heads + s->h) * d->sectors + s->r - 1) * SECTOR;
    return true;
}

static bool load_sector(struct fdc *s)
{
    const struct fdc_drive *d = fdc_drive_of(s);
    uint64_t at;
    if (!locate(s, d, &at)) return false;
    memset(s->buf, 0, sizeof s->buf); /* what an image that is too short lacks */
    if (at + SECTOR > blk_size(d->blk) || !blk_read(d->blk, at, s->buf, SECTOR)) return true;
    fdc_finish(s, ST0_ABNORMAL, ST1_DE, 0);
    return false;
}

static bool store_sector(struct fdc *s)
{
    const struct fdc_drive *d = fdc_drive_of(s);
    uint64_t at;
    if (!locate(s, d, &at)) return false;
    if (at + SECTOR > blk_size(d->blk) || blk_write(d->blk, at, s->buf, SECTOR)) {
        fdc_finish(s, ST0_ABNORMAL, ST1_DE, 0);
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
        fdc_raise(s);
    else if (s->dma)
        dma_request(s->dma, s->dma_channel, true);
}

void fdc_sector_done(struct fdc *s)
{
    if (s->dma) dma_request(s->dma, s->dma_channel, false);
    if (fdc_code(s) == C_FORMAT) {
        /* The sector that this ID is for, filled; IDs of another track would be lost on an image.
         */
        s->c = s->buf[0], s->h = s->buf[1], s->r = s->buf[2];
        memset(s->buf, s->command[5], sizeof s->buf);
        if (!store_sector(s)) return;
        if (--s->format_left && !s->terminal) {
            s->pos = 0, s->len = 4;
            fdc_arm(s, EVENT_EXECUTE, SECTOR_NS);
        } else {
            fdc_finish(s, 0, 0, 0);
        }
        return;
    }
    if (fdc_writes(s) && !store_sector(s)) return;
    bool end = next_sector(s);
    if (s->terminal || (end && fdc_code(s) == C_VERIFY)) {
        fdc_finish(s, 0, 0, 0);
    } else if (end) { /* without terminal count that is an error */
        fdc_finish(s, ST0_ABNORMAL, ST1_EN, 0);
    } else {
        fdc_arm(s, EVENT_EXECUTE, SECTOR_NS);
    }
}

void fdc_dma_ready(void *opaque, unsigned channel)
{
    struct fdc *s = opaque;
    bool tc = false;
    if (s->phase != PHASE_EXECUTE || s->event != EVENT_NONE || s->by_processor || s->pos >= s->len)
        return;
    s->pos = (uint16_t)(s->pos + dma_transfer(s->dma, channel, !fdc_writes(s), s->buf + s->pos,
                                              s->len - (uint32_t)s->pos, &tc));
    if (tc) {
        s->terminal = true;
        if (fdc_writes(s)) memset(s->buf + s->pos, 0, (size_t)(s->len - s->pos));
        s->pos = s->len;
    }
    if (s->pos >= s->len) fdc_sector_done(s);
}

void fdc_execute(struct fdc *s)
{
    if (fdc_code(s) == C_FORMAT || fdc_writes(s)) {
        const struct fdc_drive *d = fdc_drive_of(s);
        uint64_t at;
        if (fdc_code(s) != C_FORMAT && !locate(s, d, &at)) return;
        if (fdc_code(s) == C_FORMAT && !fdc_readable(s, d)) {
            fdc_finish(s, ST0_ABNORMAL, ST1_MA, 0);
            return;
        }
        if (blk_readonly(d->blk)) {
            fdc_finish(s, ST0_ABNORMAL, ST1_NW, 0);
            return;
        }
        s->len = fdc_code(s) == C_FORMAT ? 4 : SECTOR;
    } else {
        if (!load_sector(s)) return;
        s->len = SECTOR;
        if (fdc_code(s) == C_VERIFY) {
            fdc_sector_done(s);
            return;
        }
    }
    s->pos = 0;
    request_data(s);
}

void fdc_start_transfer(struct fdc *s)
{
    struct fdc_drive *d = fdc_drive_of(s);
    s->c = s->command[2], s->h = s->command[3], s->r = s->command[4], s->eot = s->command[6];
    if (fdc_code(s) == C_FORMAT) {
        s->format_left = s->command[3];
        s->c = d ? d->track : 0, s->h = s->command[1] >> 2 & 1, s->r = 1;
    }
    if (fdc_code(s) == C_READ_TRACK) s->r = 1;
    s->terminal = false;
    s->by_processor = (s->specify[1] & 1) || !(s->dor & DOR_DMA);
    s->pos = s->len = 0;
    s->phase = PHASE_EXECUTE;
    if ((s->config & CFG_IMPLIED_SEEK) && d && fdc_code(s) != C_FORMAT && s->c < 84 &&
        d->track != s->c) {
        d->track = s->c;
        if (d->blk) d->changed = false;
    }
    if (fdc_code(s) == C_FORMAT ? !s->format_left || s->command[2] != 2 : s->command[5] != 2) {
        fdc_finish(s, ST0_ABNORMAL, ST1_ND, 0); /* other sizes of sectors */
        return;
    }
    fdc_arm(s, EVENT_EXECUTE, COMMAND_NS);
}
