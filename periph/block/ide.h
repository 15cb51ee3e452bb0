/*
 * ide.h - an ATA channel with up to two drives, without any bus: the front end (PIIX4, ISA, ...)
 * gives it addresses, an interrupt and a DMA engine. Follows ATA/ATAPI-6 (T13/1410D).
 *
 * Drives are the devices "ide-hd" and "ide-cd". Channels appear in machine_bus.ide[], where drives
 * find them.
 */
#ifndef PERIPH_BLOCK_IDE_H
#define PERIPH_BLOCK_IDE_H

#include "bus/dev.h"
#include "blockfmt/block.h"

enum { IDE_SECTOR = 512, CD_SECTOR = 2048, IDE_MAX_MULTIPLE = 16, IDE_BUF = 65536 };

/* Status and error bits. */
enum {
    ATA_ERR = 0x01,
    ATA_DRQ = 0x08,
    ATA_DSC = 0x10,
    ATA_DF = 0x20,
    ATA_DRDY = 0x40,
    ATA_BSY = 0x80
};
enum { ATA_E_ABRT = 0x04, ATA_E_IDNF = 0x10, ATA_E_UNC = 0x40, ATA_E_ICRC = 0x80 };
enum { ATA_DEV_LBA = 0x40, ATA_DEV_DRV = 0x10 };
enum { ATA_CTL_NIEN = 2, ATA_CTL_SRST = 4, ATA_CTL_HOB = 0x80 };

struct ide_drive;

/* What a channel needs of its front end. */
struct ide_front {
    void (*set_irq)(void *opaque, bool level);
    /* DMA: is the engine started; moves n bytes between buf and memory by the descriptor table,
     * returns how many it took (fewer: the table ended; negative: bus error); the command ended.
     * NULL: no DMA. */
    bool (*dma_ready)(void *opaque);
    long (*dma)(void *opaque, bool to_memory, uint8_t *buf, size_t n);
    void (*dma_done)(void *opaque, bool failed);
    /* A drive offers or asks for a block (ide_block); NULL: software sees that in the status. */
    void (*drq)(void *opaque);
    bool sata; /* a serial link: one drive, queued commands */
};

struct ide_channel {
    const struct ide_front *front;
    void *opaque;
    struct ide_drive *drive[2];
    uint8_t select; /* the device register's drive bit: 0 or 1 */
    uint8_t control;
    bool irq; /* INTRQ of the selected drive before nIEN */
};
extern const struct state_field ide_channel_state[];

/* Registers 0..7 of the command block, and the control block's alternate status/device control. */
uint8_t ide_read(struct ide_channel *, unsigned reg);
void ide_write(struct ide_channel *, unsigned reg, uint8_t value);
uint32_t ide_read_data(struct ide_channel *, unsigned size); /* size 2 or 4 */
void ide_write_data(struct ide_channel *, uint32_t value, unsigned size);
uint8_t ide_alt_status(struct ide_channel *);
void ide_write_control(struct ide_channel *, uint8_t value);
void ide_channel_reset(struct ide_channel *);
/* The DMA engine was started: a drive that waits for it begins. */
void ide_dma_started(struct ide_channel *);

/* What the drive offers, or where what it asks for goes; *n: bytes. NULL: it does neither. ide_block_done: all of it was
 * moved; the drive goes on. */
uint8_t *ide_block(struct ide_channel *, uint32_t *n);
void ide_block_done(struct ide_channel *);

/* isa-ide.c: the command block in 8 I/O ports, the control block in one; the opaque is the channel. */
extern const struct mmio_ops ide_port_ops, ide_control_ops;

/* ---- drives ---- */

enum ide_phase { IDE_IDLE, IDE_DATA_IN, IDE_DATA_OUT, IDE_PACKET, IDE_DMA_WAIT };
enum ide_pending { PEND_NONE, PEND_COMMAND, PEND_DMA, PEND_PACKET, PEND_IO };
enum ide_io { IO_NONE, IO_READ, IO_WRITE, IO_FLUSH };

struct ide_drive {
    struct device dev;
    /* properties */
    struct blk_backend *blk;
    uint32_t unit; /* 0..7: channel * 2 + drive; all ones: the first free place */
    char *serial, *model, *ver;
    /* taskfile; hob_*: previous contents for 48-bit commands */
    uint8_t feature, nsector, lba_low, lba_mid, lba_high, device, status, error, command;
    uint8_t hob_feature, hob_nsector, hob_low, hob_mid, hob_high;
    uint8_t phase, pending;
    uint8_t multiple;       /* sectors per block of READ/WRITE MULTIPLE; 0: off */
    uint8_t dma_mode;       /* as set by SET FEATURES: transfer mode */
    uint8_t heads, sectors; /* current CHS translation */
    bool write_cache, read_ahead, sleeping, lba48, smart_on;
    uint16_t block;    /* sectors in one DRQ block of the running command */
    uint32_t left;     /* sectors (disk) or bytes (CD) still to move after the buffer */
    uint64_t lba;      /* next sector */
    uint32_t pos, len; /* position in and fill of buf */
    uint8_t buf[IDE_BUF];
    struct timer timer;
    /* packet commands */
    uint8_t packet[12];
    uint8_t sense_key, asc, ascq, media_event, power_state;
    uint32_t limit; /* byte count limit of one DRQ block */
    uint8_t tag;                        /* of the queued command that runs */
    bool fua;                           /* it asks for the medium, not the cache */
    uint8_t failed[16];                 /* of the queued command that failed last, as its log tells it; all 0: none */
    bool packet_dma, reading_media, tray_open, locked, unit_attention, changed;
    /* the request to the image that is in flight, between host and buf */
    uint8_t io;        /* enum ide_io */
    uint32_t io_bytes;
    uint64_t io_offset;
    /* runtime */
    struct blk_ctx *ctx;
    struct blk_req req;
    bool io_sent;      /* `req` is it; after loading state it is not, and sent again */
    struct ide_channel *ch;
    uint64_t n_sectors; /* of IDE_SECTOR or CD_SECTOR bytes */
    uint32_t cylinders;
    bool is_cd;
};

/* For the files of periph/block. */
void ide_set_irq(struct ide_drive *, bool level);
void ide_complete(struct ide_drive *);             /* no error, interrupt */
void ide_abort(struct ide_drive *, uint8_t error); /* with ERR, interrupt */
void ide_start_timer(struct ide_drive *, enum ide_pending, uint64_t ns);
/* Begins a request to the image, BSY meanwhile. The guest runs on; ata_io_done or atapi_io_done comes at a time that
 * depends on the request alone, when the host has not finished by then it is waited for. */
void ide_start_io(struct ide_drive *, enum ide_io, uint64_t offset, uint32_t bytes);
void ide_offer(struct ide_drive *, uint32_t bytes); /* the first bytes of buf to read: interrupt */
/* The first bytes of buf to write, or a packet; without an interrupt. */
void ide_want(struct ide_drive *, enum ide_phase, uint32_t bytes);
/* Words 10-19, 23-46 of the identify data in buf: serial number, firmware version, and the model's
 * name where no property gives another. */
void ide_put_identity(struct ide_drive *, const char *model);
void ata_signature(struct ide_drive *);
void ata_execute(struct ide_drive *);   /* the command register of a disk */
void ata_data_done(struct ide_drive *); /* the buffer was read or written to its end */
void ata_dma(struct ide_drive *);
void ata_io_done(struct ide_drive *, enum ide_io, int rc); /* rc: 0 or -errno */
bool ata_common(struct ide_drive *); /* commands disks and CDs share; false: not one of them */
void atapi_execute(struct ide_drive *);
void atapi_data_done(struct ide_drive *);
void atapi_packet(struct ide_drive *);
void atapi_dma(struct ide_drive *);
void atapi_io_done(struct ide_drive *, enum ide_io, int rc);

/* The port of a serial ATA controller that a drive is on, or the bus of another; counted from the controller's first. */
unsigned ide_port(const struct device *);

#endif
