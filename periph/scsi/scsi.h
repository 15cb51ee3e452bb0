/*
 * scsi.h - SCSI logical units without a host adapter: the devices "scsi-hd" and "scsi-cd". Follows
 * SPC-3 (T10/1416D), SBC-3 (T10/1799D), and mmc.h for CDs.
 *
 * An adapter hands over a command by scsi_start; what needs the image comes back as a request,
 * which the adapter sends when and how it likes, telling scsi_done of its end.
 */
#ifndef PERIPH_SCSI_SCSI_H
#define PERIPH_SCSI_SCSI_H

#include "blockfmt/block.h"
#include "bus/dev.h"

enum { SCSI_GOOD = 0, SCSI_CHECK_CONDITION = 2 };
enum { SCSI_SENSE_SIZE = 18, SCSI_REPLY_MAX = 4096, SCSI_MAX_TARGET = 255, SCSI_MAX_LUN = 7 };

struct scsi_disk {
    struct device dev;
    /* properties */
    struct blk_backend *blk; /* NULL: an empty CD drive */
    uint32_t id, lun;        /* id all ones: the first free one */
    char *serial, *vendor, *product, *version;
    /* state */
    uint16_t attention; /* ASC << 8 | ASCQ of a unit attention; 0: none */
    uint8_t sense[3];   /* key, ASC, ASCQ for REQUEST SENSE */
    uint8_t media_event;
    bool write_cache, locked, tray_open;
    /* runtime */
    bool is_cd;
    uint32_t block; /* bytes */
};

struct scsi_command {
    uint8_t cdb[16];
    /* Reads parameters that the initiator sends, from their start: how many there were. */
    size_t (*parameters)(void *opaque, void *buf, size_t n);
    void *opaque;
    uint64_t out_bytes, in_bytes; /* room for data in both directions */
    /* results */
    bool io;           /* io_op and so on are to be done, then scsi_done is to be called */
    enum blk_op io_op; /* BLK_OP_READ into, BLK_OP_WRITE from the initiator's buffer */
    unsigned io_flags;
    uint64_t io_offset, io_bytes;
    uint8_t status;
    uint8_t sense[SCSI_SENSE_SIZE];
    uint32_t reply_len;
    uint8_t reply[SCSI_REPLY_MAX];
};

/* What an adapter's device has as bus_children. */
struct scsi_adapter {
    /* Ends all requests in flight, with their answers. */
    void (*finish)(struct scsi_adapter *);
};

/* The logical unit at an adapter's bus; NULL: nobody. */
struct scsi_disk *scsi_find(struct device *adapter, unsigned target, unsigned lun);
void scsi_start(struct scsi_disk *, struct scsi_command *);
/* rc: 0 or -errno. */
void scsi_done(struct scsi_disk *, struct scsi_command *, int rc);
/* For a target without the addressed unit: INQUIRY, REPORT LUNS and REQUEST SENSE answer. */
void scsi_start_absent(struct device *adapter, unsigned target, struct scsi_command *);
/* A reset of the bus or unit. */
void scsi_unit_reset(struct scsi_disk *);

#endif
