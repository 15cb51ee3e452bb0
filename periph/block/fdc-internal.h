/*
 * fdc-internal.h - what the two halves of the floppy disk controller share: its state, the bits of
 * its registers.
 *
 * fdc.c is the controller as software sees it: registers, phases, commands. fdc-data.c is the disks
 * and what moves data.
 */
#ifndef PERIPH_BLOCK_FDC_INTERNAL_H
#define PERIPH_BLOCK_FDC_INTERNAL_H

#include "periph/block/fdc.h"

#include "periph/misc/i8257.h"

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

static inline struct fdc *fdc_of(struct device *d)
{
    return (struct fdc *)d;
}

/* Of the command that is being given or carried out: which, the number of its drive, that drive
 * (NULL: there is none). */
static inline unsigned fdc_code(const struct fdc *s)
{
    return s->command[0] & 0x1f;
}

static inline unsigned fdc_unit(const struct fdc *s)
{
    return s->command[1] & 3;
}

static inline struct fdc_drive *fdc_drive_of(struct fdc *s)
{
    return fdc_unit(s) < DRIVES ? &s->drive[fdc_unit(s)] : NULL;
}

/* ---- fdc.c ---- */

void fdc_raise(struct fdc *);
/* The result phase: n bytes of s->result. */
void fdc_give_result(struct fdc *, unsigned n);
void fdc_arm(struct fdc *, enum fdc_event, uint64_t ns);

/* ---- fdc-data.c ---- */

extern const struct media_ops fdc_media;
/* The end of a command that moves data. */
void fdc_finish(struct fdc *, unsigned st0, unsigned st1, unsigned st2);
/* Does data go to the disk? */
bool fdc_writes(const struct fdc *);
/* Is there a disk that can be read with this data rate at the track of the heads. */
bool fdc_readable(struct fdc *, const struct fdc_drive *);
/* A sector's data is through: the next one, or the end. */
void fdc_sector_done(struct fdc *);
/* The DMA controller can take or give data. */
void fdc_dma_ready(void *opaque, unsigned channel);
/* Time for the next sector. */
void fdc_execute(struct fdc *);
/* The command phase of a command that moves data is over. */
void fdc_start_transfer(struct fdc *);

#endif
