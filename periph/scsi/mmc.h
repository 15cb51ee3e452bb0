/*
 * mmc.h - what a CD/DVD-ROM drive answers to the commands of MMC-3 (T10/1363D) that return a table:
 * for drives behind ATAPI and behind SCSI. Data discs with one track and 2048 byte sectors.
 */
#ifndef PERIPH_SCSI_MMC_H
#define PERIPH_SCSI_MMC_H

#include "util/host.h"

struct mmc_drive {
    uint64_t sectors; /* of the disc; 0 without one */
    bool disc;        /* there is one, even in an open tray */
    bool tray_open, locked;
    uint8_t event; /* of class "media", cleared when it is told */
};
static inline bool mmc_has_medium(const struct mmc_drive *d)
{
    return d->disc && !d->tray_open;
}

enum { MMC_BUF = 4096, MMC_UNKNOWN = -1 };
/* The reply to a command: its length in buf (MMC_BUF bytes), and in *allocation how much of it the
 * initiator takes. MMC_UNKNOWN: none of these commands; below that: -(ASC << 8 | ASCQ) of an
 * ILLEGAL REQUEST. */
int mmc_reply(struct mmc_drive *, const uint8_t *cdb, uint8_t *buf, uint32_t *allocation);
/* The mode pages of MODE SENSE behind its header: length at buf, or as above. page 3fh: all. */
int mmc_mode_pages(const struct mmc_drive *, unsigned page, unsigned control, uint8_t *buf);

#endif
