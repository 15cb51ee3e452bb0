/*
 * ide.c - the ATA channel: taskfile registers, drive selection, resets and interrupts (ATA/ATAPI-6,
 * chapters 7 and 9), and the devices "ide-hd" and "ide-cd". What commands do is in ata.c and
 * atapi.c.
 *
 * A command shows BSY for some microseconds of guest time, as drivers may rely on that the
 * interrupt does not come inside the write that started it. Requests to the image run on a thread
 * of the drive's while the guest goes on; they end at a guest time that depends on their size alone,
 * so that two runs are alike however fast the host's disk is.
 */
#include "periph/block/ide.h"

#include "util/log.h"

#include <errno.h>
#include <stdio.h>

enum { REG_DATA, REG_ERROR, REG_NSECTOR, REG_LOW, REG_MID, REG_HIGH, REG_DEVICE, REG_STATUS };
#define COMMAND_NS UINT64_C(5000)
#define IO_NS      UINT64_C(30000) /* and a nanosecond for each byte */

const struct state_field ide_channel_state[] = {
    STATE_RUNTIME(struct ide_channel, front),
    STATE_RUNTIME(struct ide_channel, opaque),
    STATE_RUNTIME(struct ide_channel, drive),
    STATE_INT(struct ide_channel, select),
    STATE_INT(struct ide_channel, control),
    STATE_INT(struct ide_channel, irq),
    STATE_END,
};

/* ---- interrupts ---- */

static void update_irq(struct ide_channel *ch)
{
    ch->front->set_irq(ch->opaque, ch->irq && !(ch->control & ATA_CTL_NIEN));
}

void ide_set_irq(struct ide_drive *d, bool level)
{
    struct ide_channel *ch = d->ch;
    if (!ch || ch->drive[ch->select] != d) return; /* only the selected drive drives the line */
    ch->irq = level;
    update_irq(ch);
}

/* Nothing more is to be transferred. */
static void no_transfer(struct ide_drive *d)
{
    d->phase = IDE_IDLE;
    d->pos = d->len = 0;
    d->left = 0;
}

static void end_command(struct ide_drive *d, unsigned status, uint8_t error)
{
    no_transfer(d);
    d->status = (uint8_t)status;
    d->error = error;
    ide_set_irq(d, true);
}

void ide_complete(struct ide_drive *d)
{
    end_command(d, ATA_DRDY | ATA_DSC, 0);
}

void ide_abort(struct ide_drive *d, uint8_t error)
{
    end_command(d, ATA_DRDY | ATA_DSC | ATA_ERR, error);
}

static void tell_drq(struct ide_drive *d)
{
    if (d->ch && d->ch->front->drq) d->ch->front->drq(d->ch->opaque);
}

void ide_offer(struct ide_drive *d, uint32_t bytes)
{
    d->pos = 0, d->len = bytes;
    d->phase = IDE_DATA_IN;
    d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    ide_set_irq(d, true);
    tell_drq(d);
}

void ide_want(struct ide_drive *d, enum ide_phase phase, uint32_t bytes)
{
    d->pos = 0, d->len = bytes;
    d->phase = (uint8_t)phase;
    d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    tell_drq(d);
}

/* An ATA string: the bytes of each word swapped, padded by blanks. */
static void put_string(uint8_t *words, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = *s ? *s++ : ' ';
        words[i ^ 1] = (uint8_t)c;
    }
}

void ide_put_identity(struct ide_drive *d, const char *model)
{
    char serial[24];
    snprintf(serial, sizeof serial, "QN%05u", (unsigned)d->unit + 1);
    put_string(d->buf + 2 * 10, d->serial ? d->serial : serial, 20);
    put_string(d->buf + 2 * 23, d->ver ? d->ver : VERSION, 8);
    put_string(d->buf + 2 * 27, d->model ? d->model : model, 40);
}

/* ---- what the kind of drive does ---- */

static void execute(struct ide_drive *d)
{
    if (d->is_cd)
        atapi_execute(d);
    else
        ata_execute(d);
}

static void data_done(struct ide_drive *d)
{
    if (d->is_cd)
        atapi_data_done(d);
    else
        ata_data_done(d);
}

static void do_dma(struct ide_drive *d)
{
    if (d->is_cd)
        atapi_dma(d);
    else
        ata_dma(d);
}

/* ---- what happens a little later ---- */

void ide_start_timer(struct ide_drive *d, enum ide_pending what, uint64_t ns)
{
    d->pending = (uint8_t)what;
    timer_arm(&d->timer, clock_now(d->dev.clock) + ns);
}

static void cancel_event(struct ide_drive *d)
{
    timer_cancel(&d->timer);
    d->pending = PEND_NONE;
    /* The buffer is the request's until it has ended. */
    if (d->io_sent) blk_ctx_drain(d->ctx);
    d->io = IO_NONE, d->io_sent = false;
}

/* ---- requests to the image ---- */

static void send_io(struct ide_drive *d)
{
    static const enum blk_op ops[] = {
        [IO_READ] = BLK_OP_READ, [IO_WRITE] = BLK_OP_WRITE, [IO_FLUSH] = BLK_OP_FLUSH};
    d->req = (struct blk_req){.blk = d->blk,
                              .op = ops[d->io],
                              .offset = d->io_offset,
                              .bytes = d->io_bytes,
                              .buf = d->buf};
    blk_submit(d->ctx, &d->req);
    d->io_sent = true;
}

void ide_start_io(struct ide_drive *d, enum ide_io what, uint64_t offset, uint32_t bytes)
{
    d->io = (uint8_t)what;
    d->io_offset = offset, d->io_bytes = bytes;
    d->status = ATA_BSY | ATA_DRDY;
    send_io(d);
    ide_start_timer(d, PEND_IO, IO_NS + bytes);
}

static void io_event(struct ide_drive *d)
{
    enum ide_io what = d->io;
    int rc = -EIO;
    if (what == IO_NONE) return;
    if (d->blk) {
        if (!d->io_sent) send_io(d);
        blk_ctx_drain(d->ctx);
        rc = d->req.rc;
        switch (rc ? blk_error_action(d->blk, what == IO_READ, rc) : BLK_ON_ERROR_REPORT) {
        case BLK_ON_ERROR_IGNORE: rc = 0; break;
        case BLK_ON_ERROR_STOP: d->io_sent = false; /* guest time stands still until somebody continues: then again */
            ide_start_timer(d, PEND_IO, IO_NS);
            return;
        default: break;
        }
    }
    d->io = IO_NONE, d->io_sent = false;
    d->status &= (uint8_t)~ATA_BSY;
    if (d->is_cd)
        atapi_io_done(d, what, rc);
    else
        ata_io_done(d, what, rc);
}

static void drive_event(void *opaque)
{
    struct ide_drive *d = opaque;
    enum ide_pending what = d->pending;
    d->pending = PEND_NONE;
    switch (what) {
    case PEND_COMMAND:
        d->status &= (uint8_t)~ATA_BSY;
        execute(d);
        break;
    case PEND_DMA: do_dma(d); break;
    case PEND_PACKET: atapi_packet(d); break;
    case PEND_IO: io_event(d); break;
    default: break;
    }
}

void ide_dma_started(struct ide_channel *ch)
{
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *d = ch->drive[i];
        if (d && d->phase == IDE_DMA_WAIT && d->pending == PEND_NONE)
            ide_start_timer(d, PEND_DMA, COMMAND_NS);
    }
}

/* ---- resets ---- */

static void drive_soft_reset(struct ide_drive *d)
{
    cancel_event(d);
    no_transfer(d);
    d->sleeping = false;
    d->multiple = 0;
    memset(d->failed, 0, sizeof d->failed);
    ata_signature(d);
    d->error = 1; /* diagnostics passed */
    d->status = d->is_cd ? 0 : ATA_DRDY | ATA_DSC;
}

static void reset_drives(struct ide_channel *ch)
{
    ch->select = 0;
    for (unsigned i = 0; i < 2; i++) {
        if (ch->drive[i]) drive_soft_reset(ch->drive[i]);
    }
}

void ide_channel_reset(struct ide_channel *ch)
{
    ch->control = 0;
    ch->irq = false;
    reset_drives(ch);
    update_irq(ch);
}

/* ---- registers ---- */

/* The place of a parameter register; hob: of what it held before, for 48-bit commands. NULL: reg is
 * none of them. */
static uint8_t *parameter(struct ide_drive *d, unsigned reg, bool hob)
{
    switch (reg) {
    case REG_ERROR: return hob ? &d->hob_feature : &d->feature; /* to write */
    case REG_NSECTOR: return hob ? &d->hob_nsector : &d->nsector;
    case REG_LOW: return hob ? &d->hob_low : &d->lba_low;
    case REG_MID: return hob ? &d->hob_mid : &d->lba_mid;
    case REG_HIGH: return hob ? &d->hob_high : &d->lba_high;
    default: return NULL;
    }
}

/* The status without a selected drive: the other one answers for it with zeros; with none the
 * pulled bus floats, BSY held low. */
static uint8_t nobody(const struct ide_channel *ch)
{
    return ch->drive[!ch->select] ? 0 : 0x7f;
}

uint8_t ide_read(struct ide_channel *ch, unsigned reg)
{
    struct ide_drive *d = ch->drive[ch->select];
    bool hob = ch->control & ATA_CTL_HOB;
    if (!d) {
        uint8_t v = nobody(ch);
        return !v && reg == REG_DEVICE ? (uint8_t)(ch->select << 4 | 0xa0) : v;
    }
    const uint8_t *p = parameter(d, reg, hob);
    switch (reg) {
    case REG_ERROR: return hob ? *p : d->error;
    case REG_DEVICE: return d->device;
    case REG_STATUS: ide_set_irq(d, false); return d->status;
    default: return p ? *p : 0;
    }
}

uint8_t ide_alt_status(struct ide_channel *ch)
{
    struct ide_drive *d = ch->drive[ch->select];
    return d ? d->status : nobody(ch);
}

static void write_command(struct ide_channel *ch, uint8_t v)
{
    struct ide_drive *d = ch->drive[ch->select];
    if (v == 0x90) { /* EXECUTE DEVICE DIAGNOSTIC goes to both */
        reset_drives(ch);
        if (ch->drive[0]) ide_set_irq(ch->drive[0], true);
        return;
    }
    if (!d) return;
    if (v == 0x08 && d->is_cd) { /* DEVICE RESET, also while busy */
        drive_soft_reset(d);
        return;
    }
    if (d->status & (ATA_BSY | ATA_DRQ))
        LOG(GUEST_ERRORS, "ide: command %02x while the drive is busy\n", v);
    if (d->status & ATA_BSY) return;
    ide_set_irq(d, false);
    d->command = v;
    no_transfer(d);
    d->error = 0;
    d->status = ATA_BSY | (d->status & ATA_DRDY);
    ide_start_timer(d, PEND_COMMAND, COMMAND_NS);
}

void ide_write(struct ide_channel *ch, unsigned reg, uint8_t v)
{
    if (reg == REG_STATUS) {
        write_command(ch, v);
        return;
    }
    ch->control &= (uint8_t)~ATA_CTL_HOB; /* any write to the command block clears it */
    if (reg == REG_DEVICE) {
        unsigned select = v >> 4 & 1;
        if (select != ch->select) {
            ch->select = (uint8_t)select;
            ch->irq = false;
            update_irq(ch);
        }
    }
    /* Both drives hold the registers. */
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *d = ch->drive[i];
        if (!d || (d->status & ATA_BSY)) continue;
        uint8_t *now = parameter(d, reg, false);
        if (now)
            *parameter(d, reg, true) = *now, *now = v;
        else if (reg == REG_DEVICE)
            d->device = v | 0xa0;
    }
}

void ide_write_control(struct ide_channel *ch, uint8_t v)
{
    bool was = ch->control & ATA_CTL_SRST, now = v & ATA_CTL_SRST;
    ch->control = v;
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *d = ch->drive[i];
        if (!d) continue;
        if (now && !was) {
            cancel_event(d);
            d->status = ATA_BSY;
        } else if (!now && was) {
            drive_soft_reset(d);
        }
    }
    if (now != was) {
        ch->select = 0;
        ch->irq = false;
    }
    update_irq(ch);
}

uint32_t ide_read_data(struct ide_channel *ch, unsigned size)
{
    struct ide_drive *d = ch->drive[ch->select];
    uint32_t v = 0;
    if (!d || d->phase != IDE_DATA_IN || !(d->status & ATA_DRQ)) return 0;
    for (unsigned i = 0; i < size && d->pos < d->len; i++)
        v |= (uint32_t)d->buf[d->pos++] << (8 * i);
    if (d->pos >= d->len) data_done(d);
    return v;
}

void ide_write_data(struct ide_channel *ch, uint32_t v, unsigned size)
{
    struct ide_drive *d = ch->drive[ch->select];
    if (!d || (d->phase != IDE_DATA_OUT && d->phase != IDE_PACKET) || !(d->status & ATA_DRQ))
        return;
    for (unsigned i = 0; i < size && d->pos < d->len; i++)
        d->buf[d->pos++] = (uint8_t)(v >> (8 * i));
    if (d->pos >= d->len) data_done(d);
}

uint8_t *ide_block(struct ide_channel *ch, uint32_t *n)
{
    struct ide_drive *d = ch->drive[ch->select];
    if (!d || !(d->status & ATA_DRQ) || d->pos >= d->len) return NULL;
    if (d->phase != IDE_DATA_IN && d->phase != IDE_DATA_OUT && d->phase != IDE_PACKET) return NULL;
    *n = d->len - d->pos;
    return d->buf + d->pos;
}

void ide_block_done(struct ide_channel *ch)
{
    struct ide_drive *d = ch->drive[ch->select];
    if (!d) return;
    d->pos = d->len;
    data_done(d);
}

/* ---- the devices ---- */

static struct ide_drive *drive(struct device *d)
{
    return (struct ide_drive *)d;
}

static void set_medium(struct ide_drive *d)
{
    d->n_sectors = d->blk ? blk_size(d->blk) / (d->is_cd ? CD_SECTOR : IDE_SECTOR) : 0;
}

/* Is there a place, taken or not? A serial link has one drive. */
static bool is_place(const struct machine_bus *mb, unsigned at)
{
    return at < 2 * IDE_CHANNELS && mb->ide[at / 2] && !((at & 1) && mb->ide[at / 2]->front->sata);
}

/* The drive's unit; all ones and an error: none. */
static unsigned find_place(const struct ide_drive *d, struct error *e)
{
    const char *name = d->dev.desc->name;
    const struct machine_bus *mb = d->dev.mb;
    unsigned at = d->unit;
    bool any = false;
    if (at != UINT32_MAX) {
        if (is_place(mb, at) && !mb->ide[at / 2]->drive[at & 1]) return at;
        error_set(e, is_place(mb, at) ? "%s: IDE unit %u is in use" : "%s: there is no IDE unit %u", name, at);
        return UINT32_MAX;
    }
    for (at = 0; at < 2 * IDE_CHANNELS; at++) {
        any |= is_place(mb, at);
        if (is_place(mb, at) && !mb->ide[at / 2]->drive[at & 1]) return at;
    }
    error_set(e, any ? "%s: all places on the IDE buses are in use" : "No 'IDE' bus found for device '%s'", name);
    return UINT32_MAX;
}

static int drive_realize(struct device *dev, struct error *e)
{
    struct ide_drive *d = drive(dev);
    d->is_cd = !strcmp(dev->desc->name, "ide-cd");
    if (!d->is_cd && !d->blk) return error_set(e, "%s: drive property not set", dev->desc->name);
    if (!d->is_cd && blk_readonly(d->blk)) {
        return error_set(e, "%s: image '%s' is read-only, which a disk cannot be", dev->desc->name,
                         blk_path(d->blk));
    }
    if (!d->is_cd && blk_size(d->blk) < IDE_SECTOR) {
        return error_set(e, "%s: image '%s' is empty", dev->desc->name, blk_path(d->blk));
    }
    unsigned at = find_place(d, e);
    if (at == UINT32_MAX) return -1;
    d->ctx = blk_ctx_new(NULL, 1, e);
    if (!d->ctx) return -1;
    d->unit = at;
    d->ch = dev->mb->ide[at / 2];
    d->ch->drive[at & 1] = d;
    dev->bus_data = d->ch;
    timer_init(&d->timer, dev->clock, drive_event, d);
    set_medium(d);
    d->cylinders = (uint32_t)MIN(d->n_sectors / (16 * 63), 16383u);
    if (!d->cylinders) d->cylinders = 1;
    return 0;
}

static void drive_unrealize(struct device *dev)
{
    struct ide_drive *d = drive(dev);
    if (!d->ch) return;
    cancel_event(d);
    blk_ctx_delete(d->ctx);
    d->ctx = NULL;
    if (d->ch->drive[d->unit & 1] == d) d->ch->drive[d->unit & 1] = NULL;
    d->ch = NULL;
}

static void drive_reset(struct device *dev)
{
    struct ide_drive *d = drive(dev);
    cancel_event(d);
    memset(d->buf, 0, sizeof d->buf);
    memset(d->packet, 0, sizeof d->packet);
    d->heads = 16, d->sectors = 63;
    d->write_cache = d->read_ahead = true;
    d->smart_on = true;
    d->dma_mode = d->is_cd ? 0x22 : 0x45;
    d->sense_key = d->asc = d->ascq = 0;
    d->media_event = 0;
    d->locked = false;
    d->unit_attention = d->is_cd && d->blk; /* power on: SPC says the first command is told */
    d->device = 0xa0;
    drive_soft_reset(d);
}

static int drive_post_load(struct device *dev, struct error *e)
{
    struct ide_drive *d = drive(dev);
    if (d->pos > d->len || d->len > IDE_BUF || (uint64_t)d->block * IDE_SECTOR > IDE_BUF) {
        return error_set(e, "%s: buffer position outside of the buffer", dev->desc->name);
    }
    if (d->is_cd && !d->reading_media && d->left > IDE_BUF - d->len) {
        return error_set(e, "%s: more data left than the buffer holds", dev->desc->name);
    }
    if (!d->heads || !d->sectors) return error_set(e, "%s: impossible geometry", dev->desc->name);
    if (d->io > IO_FLUSH || (d->io != IO_NONE) != (d->pending == PEND_IO) || d->io_bytes > IDE_BUF)
        return error_set(e, "%s: impossible request", dev->desc->name);
    if (d->phase > IDE_DMA_WAIT || d->pending > PEND_IO)
        return error_set(e, "%s: unknown phase", dev->desc->name);
    return 0;
}

unsigned ide_port(const struct device *dev)
{
    const struct ide_drive *d = (const struct ide_drive *)dev;
    struct ide_channel **first = dev->parent ? dev->parent->bus_children : NULL;
    return d->unit / 2 - (first ? (unsigned)(first - dev->mb->ide) : 0);
}

/* ---- media ---- */

static bool cd_state(struct device *dev, unsigned unit, struct media_state *m)
{
    const struct ide_drive *d = drive(dev);
    *m = (struct media_state){.blk = d->blk, .locked = d->locked, .tray_open = d->tray_open};
    return unit == 0;
}

static int cd_change(struct device *dev, unsigned unit, struct blk_backend *medium,
                     struct blk_backend **old, bool force, struct error *e)
{
    struct ide_drive *d = drive(dev);
    if (d->locked && !force && !d->tray_open) {
        d->media_event = 1; /* the button was pressed */
        return media_locked(dev, e);
    }
    if (d->io_sent) blk_ctx_drain(d->ctx);
    *old = d->blk;
    d->blk = medium;
    set_medium(d);
    if (force) d->locked = false;
    d->tray_open = !medium;
    d->changed = medium != NULL;
    d->unit_attention = medium != NULL;
    d->media_event = medium ? 2 : 3; /* new media, media removal */
    return 0;
}

static const struct media_ops cd_media = {
    .units = 1, .has_tray = true, .read_only = true, .state = cd_state, .change = cd_change};

static const struct prop_desc drive_props[] = {
    PROP(struct ide_drive, PROP_DRIVE, "drive", blk, 0, "the disk image or medium"),
    PROP(struct ide_drive, PROP_U32, "unit", unit, UINT32_MAX,
         "place: channel * 2 + drive on it (default: the first free)"),
    PROP_STRING(struct ide_drive, "serial", serial, NULL, "serial number"),
    PROP_STRING(struct ide_drive, "model", model, NULL, "model name"),
    PROP_STRING(struct ide_drive, "ver", ver, NULL, "firmware version"),
    PROP_END,
};

#define F(f)  STATE_INT(struct ide_drive, f)
#define F0(f) STATE_INT_RESET(struct ide_drive, f, 0)
static const struct state_field drive_state[] = {
    STATE_PROP(struct ide_drive, blk),
    STATE_PROP(struct ide_drive, unit),
    STATE_PROP(struct ide_drive, serial),
    STATE_PROP(struct ide_drive, model),
    STATE_PROP(struct ide_drive, ver),
    F0(feature),
    F0(nsector),
    F0(lba_low),
    F0(lba_mid),
    F0(lba_high),
    F0(device),
    F0(status),
    F0(error),
    F0(command),
    F0(hob_feature),
    F0(hob_nsector),
    F0(hob_low),
    F0(hob_mid),
    F0(hob_high),
    F0(phase),
    F0(pending),
    F0(multiple),
    F(dma_mode),
    F(heads),
    F(sectors),
    F(write_cache),
    F(read_ahead),
    F0(sleeping),
    F0(lba48),
    F(smart_on),
    F0(block),
    F0(left),
    F0(lba),
    F0(pos),
    F0(len),
    STATE_ARR(struct ide_drive, buf),
    STATE_TIMER(struct ide_drive, timer),
    STATE_ARR(struct ide_drive, packet),
    F(sense_key),
    F(asc),
    F(ascq),
    F(media_event),
    F0(power_state),
    F0(tag),
    F0(fua),
    STATE_ARR(struct ide_drive, failed),
    F0(limit),
    F0(packet_dma),
    F0(reading_media),
    F(tray_open),
    F(locked),
    F(unit_attention),
    F(changed),
    F0(io),
    F0(io_bytes),
    F0(io_offset),
    STATE_RUNTIME(struct ide_drive, ctx),
    STATE_RUNTIME(struct ide_drive, req),
    STATE_RUNTIME(struct ide_drive, io_sent),
    STATE_RUNTIME(struct ide_drive, ch),
    STATE_RUNTIME(struct ide_drive, n_sectors),
    STATE_RUNTIME(struct ide_drive, cylinders),
    STATE_RUNTIME(struct ide_drive, is_cd),
    STATE_END,
};
#undef F
#undef F0

#define DRIVE(name_, help_, media_)                                                                \
    {                                                                                              \
        .name = name_, .help = help_, .bus = BUS_IDE, .category = DEV_STORAGE,                     \
        .user_creatable = true, .size = sizeof(struct ide_drive), .props = drive_props,            \
        .state = drive_state, .realize = drive_realize, .unrealize = drive_unrealize,              \
        .reset = drive_reset, .post_load = drive_post_load, .media = media_,                       \
    }
const struct dev_desc ide_hd_desc = DRIVE("ide-hd", "ATA hard disk", NULL);
const struct dev_desc ide_cd_desc = DRIVE("ide-cd", "ATAPI CD-ROM drive", &cd_media);
