/*
 * media.h - the drives of a machine as the user names them, and changing what is in them.
 */
#ifndef MACHINES_MEDIA_H
#define MACHINES_MEDIA_H

#include "machines/machine.h"

struct machine_drive {
    const char *id;
    struct drive_config *config; /* NULL: the board or -device made it without a drive of the command line */
    struct device *device;       /* NULL: no device has it */
    unsigned unit;               /* of the device */
    bool removable, read_only;   /* read_only: all its media are */
    struct media_state media;    /* blk also of what is not removable */
};

/* Drive i as `info block` counts them: those of the command line first. False: there are no more. */
bool machine_drive_at(struct machine *, unsigned i, struct machine_drive *);
/* By its id, that of its device, or the name of what -device gave it. False: there is none. */
bool machine_drive_find(struct machine *, const char *id, struct machine_drive *);
/* Puts a medium in, or none (NULL): see struct media_ops. *old is no longer used by the machine. 0 or -1. */
int machine_drive_change(struct machine *, const struct machine_drive *, struct blk_backend *, struct blk_backend **old,
                         bool force, struct error *);

#endif
