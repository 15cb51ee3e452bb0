/*
 * fdc.c - floppy disk controller of PCs. Follows Intel's data sheet of the 82078 (order number
 * 290468) in AT mode, with two drives. Disks are images of the usual formats, sector by sector.
 *
 * An operation takes some time and each sector a little, so that drivers see a busy controller; the
 * disk does not turn. Not modelled: the scan commands, FIFO thresholds, deleted data (every sector
 * has a normal mark), bad formats: sectors of 512 bytes, numbered from 1.
 */
#include "periph/block/fdc-internal.h"

#include "periph/regions.h"
#include "util/log.h"

/* ---- interrupt and results ---- */

void fdc_raise(struct fdc *s)
{
    irq_set(&s->irq, s->dor & DOR_DMA);
}

static void idle(struct fdc *s)
{
    s->phase = PHASE_COMMAND;
    s->n_command = s->n_result = s->result_at = 0;
}

void fdc_give_result(struct fdc *s, unsigned n)
{
    s->phase = PHASE_RESULT;
    s->n_result = (uint8_t)n, s->result_at = 0;
}

static void give_byte(struct fdc *s, uint8_t v)
{
    s->result[0] = v;
    fdc_give_result(s, 1);
}

void fdc_arm(struct fdc *s, enum fdc_event what, uint64_t ns)
{
    s->event = (uint8_t)what;
    timer_arm(&s->timer, clock_now(s->dev.clock) + ns);
}

/* ---- seeks ---- */

static void start_seek(struct fdc *s, unsigned track)
{
    struct fdc_drive *d = fdc_drive_of(s);
    uint8_t st0 = (uint8_t)(ST0_SEEK_END | (s->command[1] & 7));
    if (d && d->type) {
        d->track = (uint8_t)MIN(track, 83u);
        if (d->blk) d->changed = false; /* stepping clears it when there is a disk */
    } else if (fdc_code(s) == C_RECALIBRATE) {
        st0 |= ST0_ABNORMAL | ST0_EC; /* track 0 was not found */
    }
    s->sense[fdc_unit(s)] = st0;
    s->seeking |= (uint8_t)(1u << fdc_unit(s));
    idle(s);
    fdc_arm(s, EVENT_SEEK, SEEK_NS);
}

static void sense_interrupt(struct fdc *s)
{
    for (unsigned i = 0; i < 4; i++) {
        if (!s->sense[i] || (s->seeking >> i & 1)) continue;
        s->result[0] = s->sense[i];
        s->result[1] = i < DRIVES ? s->drive[i].track : 0;
        s->sense[i] = 0;
        irq_set(&s->irq, false);
        fdc_give_result(s, 2);
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
    const struct fdc_drive *d = fdc_drive_of(s);
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
    struct fdc_drive *d = fdc_drive_of(s);
    s->c = d ? d->track : 0, s->h = s->command[1] >> 2 & 1, s->r = 1;
    if (!fdc_readable(s, d)) {
        fdc_finish(s, ST0_ABNORMAL, ST1_MA, 0);
        return;
    }
    d->id = (uint8_t)(d->id % d->sectors + 1);
    s->r = d->id;
    fdc_finish(s, 0, 0, 0);
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
    fdc_give_result(s, 10);
}

static void run_command(struct fdc *s)
{
    const uint8_t *b = s->command;
    struct fdc_drive *d = fdc_drive_of(s);
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
        fdc_give_result(s, 16);
        return;
    case C_RESTORE:
        s->specify[0] = b[3], s->specify[1] = b[4], s->config = b[12] & 0x7f, idle(s);
        return;
    case C_DRIVE_SPEC: idle(s); return;
    default: break;
    }
    if (fdc_code(s) == C_READ_ID) {
        s->phase = PHASE_EXECUTE;
        fdc_arm(s, EVENT_EXECUTE, COMMAND_NS);
    } else {
        fdc_start_transfer(s);
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
    if (!processor_moves(s) || fdc_writes(s)) {
        LOG(GUEST_ERRORS, "isa-fdc: nothing to read from the FIFO\n");
        return 0;
    }
    uint8_t v = s->buf[s->pos++];
    if (s->pos >= s->len) {
        irq_set(&s->irq, false);
        fdc_sector_done(s);
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
    if (!processor_moves(s) || !fdc_writes(s)) {
        LOG(GUEST_ERRORS, "isa-fdc: nothing is to be written to the FIFO\n");
        return;
    }
    s->buf[s->pos++] = v;
    if (s->pos < s->len) return;
    irq_set(&s->irq, false);
    fdc_sector_done(s);
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
    fdc_raise(s);
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
        fdc_raise(s);
        break;
    case EVENT_EXECUTE:
        if (s->phase != PHASE_EXECUTE) break;
        if (fdc_code(s) == C_READ_ID)
            read_id(s);
        else
            fdc_execute(s);
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
        fdc_arm(s, EVENT_RESET, COMMAND_NS);
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
        return v | MSR_RQM | MSR_NON_DMA | (fdc_writes(s) ? 0 : MSR_OUT);
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
            fdc_arm(s, EVENT_RESET, COMMAND_NS);
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
    dma_connect(dma, s->dma_channel, fdc_dma_ready, s);
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
    .media = &fdc_media,
    .irq_offset = offsetof(struct fdc, irq),
    .n_irqs = 1,
};
