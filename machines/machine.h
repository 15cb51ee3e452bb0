/*
 * machine.h - a board: what it is made of, and the object a running machine is.
 *
 * One board per file under machines/, one line in machines/boards.def. A board's init builds a parts list: CPUs, memory,
 * devices from the registry, IRQ wiring, and loads firmware or kernel (machines/boot/).
 */
#ifndef MACHINES_MACHINE_H
#define MACHINES_MACHINE_H

#include "bus/dev.h"
#include "interp/engine.h"
#include "isa/isa.h"

#include <stdatomic.h>

struct machine;
struct chardev;
struct blk_backend;

enum { MACHINE_MAX_SERIAL = 4, MACHINE_MAX_PARALLEL = 3, MACHINE_MAX_DRIVES = 32, MACHINE_MAX_CPUS = 255 };

enum drive_if { DRIVE_IDE, DRIVE_PFLASH, DRIVE_MTD, DRIVE_SD, DRIVE_FLOPPY, DRIVE_NONE, DRIVE_VIRTIO };
struct drive_config {
    enum drive_if interface;
    int index;                     /* IDE: 0.. = hda.., by bus and unit on it; pflash: 0.. */
    bool cdrom, readonly, used;    /* used: a device has it (if=none) */
    char *id;
    const char *bootindex;         /* a number as text, or NULL */
    const char *source;            /* the drive or node that -device gave it by name; NULL: none */
    struct blk_backend *blk;       /* NULL: an empty drive */
    struct device *device;         /* what has it; set by the machine */
};

/* What the command line asked for. Strings are owned by the caller and live as long as the machine. */
struct machine_config {
    const struct board *board;
    const struct isa *isa;
    bool big_endian;
    const struct cpu_model *cpu;   /* NULL: the board's default */
    uint64_t ram_size;             /* bytes; 0: the board's default */
    unsigned n_cpus;
    /* Where CPUs are: threads of a core, cores of a die, dies of a package; and how many there could be. 0: 1; n_cpus */
    unsigned threads, cores, dies, max_cpus;
    const char *kernel, *initrd, *append, *bios;
    const char *const *firmware_path; /* -L directories, NULL-ended */
    struct chardev *serial[MACHINE_MAX_SERIAL]; /* NULL: not connected */
    struct drive_config *drives;
    unsigned n_drives;
    struct chardev *parallel[MACHINE_MAX_PARALLEL], *debugcon; /* PCs */
    const char *uuid, *name;
    bool no_defaults;
    /* PCs: -boot, and what is left out */
    const char *boot_order, *boot_once; /* letters; NULL: the board's default. once: until the first reset */
    const char *boot_splash;       /* a picture's file */
    bool boot_strict, splash_time_set, reboot_timeout_set;
    uint16_t splash_time;          /* ms */
    int32_t reboot_timeout;        /* ms; -1: no reboot */
    /* PCs: the texts of -option-rom, -fw_cfg, -acpitable, -smbios; ended by NULL, or NULL */
    const char *const *option_roms, *const *fw_cfg, *const *acpi_tables, *const *smbios;
    bool boot_menu, no_fd_bootchk, no_acpi, no_hpet, no_smm, no_vga;
    /* -device, in order; for boards with buses that take devices */
    const struct machine_device {
        const char *driver, *id;   /* id: or NULL */
        const struct machine_prop { const char *name, *value; } *props;
        unsigned n_props;
    } *devices;
    unsigned n_devices;
    /* -global: defaults of device properties, given to mb_add_global before the board is made */
    const struct machine_global { const char *driver, *prop, *value; } *globals;
    unsigned n_globals;
    /* -rtc */
    int64_t rtc_start;             /* seconds since the epoch at machine start (already local time when asked so) */
    uint8_t seed[32];              /* -seed, or the host's entropy: what random numbers of devices come from */
    /* -icount: guest ns per instruction = 2^shift; the default shift is 3 */
    unsigned icount_shift;
    bool icount_sleep;             /* pace idle time against the host's clock (default true) */
    struct engine_config engine;
};

struct board {
    const char *name;              /* "malta" */
    const char *const *versions;   /* further names, NULL-ended; the first is what `name` stands for. May be NULL */
    const char *help;
    const char *const *isas;       /* ISA names it can take; NULL-ended. The first model fitting the target is default */
    const char *default_cpu32, *default_cpu64;
    uint64_t default_ram, max_ram; /* bytes */
    unsigned max_cpus;
    unsigned n_serial;             /* UARTs that -serial connects to */
    unsigned n_parallel;           /* parallel ports that -parallel connects to */
    unsigned n_floppies;           /* -fda, -fdb */
    uint8_t ide_buses, ide_units;  /* IDE buses, and drives on each; 0: two */
    bool takes_devices;            /* -device */
    bool has_pc_parts;             /* -vga, -debugcon */
    bool has_boot_order;           /* -boot */
    bool has_fw_cfg;               /* -option-rom, -fw_cfg */
    bool is_default;               /* of its ISA */
    /* Builds the board. m->cfg is set, m->mb, m->clock and m->engine exist. 0 or -1 (the machine is then deleted). */
    int (*init)(struct machine *, struct error *);
    /* After devices were reset: CPU start state (kernel entry, boot registers). */
    void (*reset)(struct machine *);
    void (*powerdown)(struct machine *); /* system_powerdown: the power button; NULL: none */
};

enum machine_event { MACHINE_RESET = 1, MACHINE_POWEROFF = 2, MACHINE_QUIT = 4, MACHINE_STOP = 8, MACHINE_POWERDOWN = 16, MACHINE_DEBUG = 32 };
enum machine_state { MACHINE_PRELAUNCH, MACHINE_RUNNING, MACHINE_PAUSED, MACHINE_SHUTDOWN, MACHINE_DEBUGGED };

struct machine {
    struct machine_config cfg;
    struct machine_bus *mb;
    struct bus_clock *clock;
    struct engine *engine;
    struct cpu *cpu[MACHINE_MAX_CPUS];
    unsigned n_cpus;
    struct cpu_world world;
    enum machine_state state;
    _Atomic uint32_t events;       /* pending enum machine_event */
    uint64_t idle_ns;              /* guest time that passed while all CPUs waited (saved) */
    bool no_reboot, no_shutdown;
    void *board_data;
    /* Called between slices of execution with the host time the guest may sleep (ns; 0 = just poll): the program's event
     * loop. Set by the program; NULL: no host I/O. */
    void (*host_poll)(void *, uint64_t max_wait_ns);
    void *host_poll_opaque;
    /* thread=multi: makes a host_poll that waits return; any thread, signal safe. What waits in host_poll calls machine_host_waits(). */
    void (*host_wake)(void *host_poll_opaque);
    void (*on_state)(void *, struct machine *, enum machine_state); /* observers (gdb, monitor) */
    void *on_state_opaque;
    /* Each event when it is acted on (QMP events). */
    void (*on_event)(void *, struct machine *, enum machine_event);
    void *on_event_opaque;

    /* machines/run.c's own. Which CPU has its turn, and for how many more instructions (saved; one CPU: unused). */
    uint32_t turn;
    uint64_t turn_left;
    struct cpu *running;           /* inside engine_run; with threads: uses devices, in its thread */
    uint64_t budget_end;           /* guest ns at which its budget ends */
    uint64_t slice;                /* most instructions between looks at the host's clock */
    uint64_t last_poll;            /* host ns */
    uint64_t host_base;            /* host ns at which guest time 0 would have been, had the guest kept pace */
    struct machine_threads *threads; /* machines/threads.c's; NULL: CPUs take turns */
    bool live;                     /* guest time is the host's clock less host_base */
};

extern const struct board *const board_list[];
extern const unsigned board_count;
const struct board *board_find(const char *name, const struct isa *);
const struct board *board_default(const struct isa *);

/* Checks the configuration, builds the board and resets it; the state is MACHINE_PRELAUNCH. */
struct machine *machine_new(const struct machine_config *, struct error *);
void machine_delete(struct machine *);
/* Creates a CPU of cfg.cpu (which is never NULL once machine_new called the board) on the machine's bus. Its cpu->bus is the
 * machine. */
struct cpu *machine_add_cpu(struct machine *, struct error *);
void machine_reset(struct machine *);
/* Runs until MACHINE_QUIT, or poweroff/reset that the options turn into an end. Returns the exit code. The state must be
 * made MACHINE_RUNNING (machine_set_state) before or from host_poll. */
int machine_run(struct machine *);
/* n_insns << icount_shift ns of guest time (idle time is skipped, not slept), for tests and lockstep: no host polling.
 * Returns early when the machine stops; an event that ends machine_run stays in m->events. Works in every state. */
void machine_step(struct machine *, uint64_t n_insns);
void machine_post(struct machine *, enum machine_event); /* any thread, signal safe; host_poll is not woken by it */
uint64_t machine_time(struct machine *);                 /* guest ns */
uint64_t machine_hash(struct machine *);                 /* CPUs, devices, RAM: equal on all hosts and engines */
/* Between instructions: not from a device's handler. After a failed load the machine must be reset or deleted. */
int machine_save(struct machine *, struct state_buf *, struct error *);
int machine_load(struct machine *, struct state_buf *, struct error *);
/* The same without the contents of memory, which the caller puts in place before loading; code that was translated stays
 * (engine_code_written for the pages that change is the caller's). */
uint64_t machine_hash_but_ram(struct machine *);
int machine_save_but_ram(struct machine *, struct state_buf *, struct error *);
int machine_load_but_ram(struct machine *, struct state_buf *, struct error *);
/* `info pci`, line by line. False: the machine has no PCI bus. */
bool machine_dump_pci(struct machine *, void (*put)(void *, const char *line), void *opaque);
void machine_set_state(struct machine *, enum machine_state);
/* From now on guest time keeps pace with the host's clock, whatever was before (after guest time jumped). */
void machine_pace(struct machine *);

#endif
