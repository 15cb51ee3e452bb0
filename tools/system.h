/*
 * system.h - what the files of the system emulator's program share: its options as parsed.
 */
#ifndef TOOLS_SYSTEM_H
#define TOOLS_SYSTEM_H

#include "chardev/backend.h"
#include "blockfmt/block.h"
#include "machines/lockstep.h"
#include "machines/media.h"
#include "util/opts.h"

struct str_list { char **v; unsigned n; };
void str_list_add(struct str_list *, const char *s); /* copies */
void str_list_free(struct str_list *);

/* What a drive is made of, beside its place in the machine. */
struct drive_file {
    char *path, *format, *node;     /* node: an if=none drive or a node that -device names */
    struct opts options;            /* of the root node */
    struct opts throttling;         /* limits, and "group" */
    unsigned flags;                 /* enum blk_flags */
    bool snapshot, borrowed;        /* borrowed: the backend is another drive's */
    enum blk_on_error on_read_error, on_write_error;
};

/* Everything the command line said. Strings are owned here. */
struct sysopts {
    const char *target;           /* "mipsel" */
    const struct isa *isa;
    struct machine_config cfg;
    struct drive_config drives[MACHINE_MAX_DRIVES];
    struct drive_file drive_files[MACHINE_MAX_DRIVES];
    unsigned ide_buses, ide_units; /* the board's: buses, drives on each */
    struct blk_graph *blocks;     /* objects, and all nodes but those of the second machine */
    struct str_list blockdevs;
    void (*io_told)(void *, const struct blk_io_error *); /* of each failed request of a drive */
    void *io_told_opaque;
    struct blk_backend *attached[2 * MACHINE_MAX_DRIVES]; /* nodes that devices have, media that the monitor put in */
    unsigned n_attached;
    bool seeded;                  /* -seed */
    char *lockstep_text;          /* -lockstep */
    struct lockstep_config lockstep;
    struct drive_config second_drives[MACHINE_MAX_DRIVES]; /* of its second machine */
    char *machine_name, *cpu_name, *process_name, *pidfile;
    void *made_model;             /* of -cpu with features */
    struct str_list strings;      /* owns strings that cfg points to */
    struct str_list devices, parallels;
    struct str_list option_roms, fw_cfgs, acpi_tables, smbios; /* texts for the board */
    char *debugcon;
    struct str_list chardevs, serials, monitors, mons, gdbs, firmware, globals;
    bool snapshot_all, nographic, display_given, stopped, no_reboot, no_shutdown, daemonize, accel_given, icount_given;
    bool image_given, vga_wanted, boot_given;
    uint8_t echr;
    uint32_t log_items;
};

/* An option: see options.def. The handler returns 0, -1 with an error, or 1: all is done, end with status 0. */
typedef int (*option_fn)(struct sysopts *, const char *arg, struct error *);
struct option_desc {
    const char *section;          /* set: a heading, and nothing else is */
    const char *name;
    bool has_arg;
    option_fn fn;                 /* NULL: not built; option_ignored: no effect */
    const char *targets, *args, *help;
};
extern const struct option_desc system_options[];
extern const unsigned system_option_count;
int option_ignored(struct sysopts *, const char *arg, struct error *);

void sysopts_init(struct sysopts *, const char *target, const struct isa *, bool big_endian);
void sysopts_free(struct sysopts *);
/* A copy that lives as long as the options. */
const char *sysopts_keep(struct sysopts *, const char *str);
/* system-boot.c: what -boot, -option-rom and -fw_cfg mean for the board that was chosen. 0 or -1. */
int sysopts_resolve_boot(struct sysopts *, struct error *);
/* Parses a command line. As an option's handler. */
int sysopts_parse(struct sysopts *, int argc, char **argv, struct error *);
/* What a device's property drive=NODE means: a backend, closed with the drives. NULL + error. */
struct blk_backend *sysopts_attach_node(struct sysopts *, const char *node, struct error *);
/* system-drives.c: opens what -blockdev and -drive said; told: of each failed request, see block.h. */
int sysopts_open_drives(struct sysopts *, void (*told)(void *, const struct blk_io_error *), void *opaque, struct error *);
/* For `change`: opens an image for a drive with the options that the command line gave for it; closes it, or another medium. */
struct blk_backend *sysopts_open_medium(struct sysopts *, const struct machine_drive *, const char *file, const char *format,
                                        bool read_only, struct error *);
void sysopts_close_medium(struct sysopts *, struct blk_backend *);
void sysopts_close_drives(struct sysopts *);
void sysopts_free_drives(struct sysopts *);
/* After parsing: board, CPU model and limits. 0 or -1. */
int sysopts_resolve(struct sysopts *, struct error *);

/* help.c */
void print_options(void);         /* -h */
void print_man(void);             /* man/quern.1 */
void print_version(void);
void print_usage(void);           /* of `quern` itself */

int system_main(int argc, char **argv, const char *target);

#endif
