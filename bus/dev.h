/*
 * dev.h - the device descriptor: everything about a device model, declared once.
 *
 * Derived from a descriptor: -device parsing and help, `info qtree`, -global, reset, save and
 * restore, comparison, register names in traces, the fuzz harness, the audit test.
 *
 * A device's state structure begins with `struct device dev;`. A device never knows its board, its
 * ISA or its interrupt controller.
 */
#ifndef BUS_DEV_H
#define BUS_DEV_H

#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/irq.h"
#include "bus/state.h"

struct device;
struct machine_bus;   /* a machine's tree of devices; see below */
struct pci_bus;
struct ide_channel;
struct display;
struct virtio_balloon;
struct input_sink;
struct blk_backend;

enum prop_kind { PROP_U8, PROP_U16, PROP_U32, PROP_U64, PROP_SIZE, PROP_BOOL, PROP_STR, PROP_CHR, PROP_DRIVE, PROP_NETDEV, PROP_MAC };
struct prop_desc {
    const char *name;
    uint8_t kind;           /* PROP_CHR etc. hold a pointer to the backend, set from its id */
    uint32_t offset;
    uint64_t def;           /* default for integers and bools */
    const char *def_str;
    const char *help;
};
#define PROP(S, kind_, name_, f, def_, help_) { .name = (name_), .kind = (kind_), .offset = offsetof(S, f), .def = (def_), .help = (help_) }
#define PROP_STRING(S, name_, f, def_, help_) { .name = (name_), .kind = PROP_STR, .offset = offsetof(S, f), .def_str = (def_), .help = (help_) }
#define PROP_END { .name = NULL }
/* Members: U8..U64, SIZE uint8_t..uint64_t; BOOL bool; STR char * (owned by the device); CHR, DRIVE, NETDEV a pointer to
 * the backend, NULL when none was given; MAC uint8_t[6], all zero when none was given. */

/* A register, for traces, `info` dumps and the fuzz harness; access itself goes through mmio_ops. */
struct reg_desc { uint32_t addr; const char *name; uint8_t size; };
#define REG_END { .name = NULL }

enum dev_bus { BUS_SYSTEM, BUS_ISA, BUS_PCI, BUS_I2C, BUS_IDE, BUS_USB, BUS_SCSI, BUS_VIRTIO_SERIAL };
enum dev_category { DEV_MISC, DEV_BRIDGE, DEV_STORAGE, DEV_NETWORK, DEV_INPUT, DEV_DISPLAY, DEV_SOUND, DEV_CHAR, DEV_INTC, DEV_TIMER, DEV_USB };

/* Media that come and go: CDs, floppies. A drive does not own what is in it. */
struct media_state { struct blk_backend *blk; bool locked, tray_open; };
struct media_ops {
    unsigned units;              /* drives that one device may have */
    bool has_tray, read_only;
    /* False: there is no drive `unit`. */
    bool (*state)(struct device *, unsigned unit, struct media_state *);
    /* Another medium or none, between instructions; *old is the one that was in it, of which no request is in flight any
     * more. Fails (-1) while the guest has locked the tray, which it is then asked to open, unless forced. */
    int (*change)(struct device *, unsigned unit, struct blk_backend *, struct blk_backend **old, bool force, struct error *);
};
/* The error of a drive whose tray the guest has locked: -1. */
int media_locked(const struct device *, struct error *);

struct dev_desc {
    const char *name;            /* as -device takes it: "isa-serial", "pcnet" */
    const char *help;
    uint8_t bus;                 /* enum dev_bus: where it plugs in */
    uint8_t category;            /* enum dev_category */
    uint8_t child_bus;           /* enum dev_bus of devices that plug into this one; BUS_SYSTEM: none */
    bool user_creatable;         /* may be made by -device */
    size_t size;                 /* sizeof the state structure */
    const struct prop_desc *props;
    const struct state_field *state;   /* must account for every byte after `dev` */
    const struct reg_desc *regs;
    /* Connects to the host side, makes regions and timers. Properties are set. 0 or -1. */
    int (*realize)(struct device *, struct error *);
    void (*unrealize)(struct device *);
    /* Beyond the reset values of the state table (which are applied first). */
    void (*reset)(struct device *);
    /* After loading state: rebuild runtime fields, re-drive outputs. */
    int (*post_load)(struct device *, struct error *);
    void (*pre_save)(struct device *);
    const void *bus_desc;        /* bus specific: e.g. const struct pci_dev_desc * */
    /* Pins. Outputs are an array `struct irq_line name[n_irqs]` at irq_offset of the state structure; inputs are numbered
     * 0..n_inputs-1 and all come to `input`, whose opaque is the struct device. Boards connect them by dev_connect. */
    uint32_t irq_offset;
    unsigned n_irqs;
    irq_handler input;
    unsigned n_inputs;
    const struct media_ops *media;     /* drives whose medium can be changed; NULL: none */
    /* Interrupt controllers: its state for a person, in lines; how often input n has risen. Change nothing. NULL: none. */
    void (*dump)(struct device *, void (*put)(void *, const char *line), void *opaque);
    uint64_t (*count)(struct device *, unsigned n);
};
enum { DEV_MAX_MMIO = 8 };

struct device {
    const struct dev_desc *desc;
    char *id;                    /* -device id=, or NULL */
    char *path;                  /* unique in the machine: "/pci/0a.1/piix4-ide" */
    struct machine_bus *mb;
    struct bus_clock *clock;
    struct device *parent;       /* bus or containing device */
    struct device *next;         /* in order of creation */
    bool realized;
    void *bus_data;              /* owned by the bus the device sits on */
    void *bus_children;          /* what devices on its own bus (child_bus) find it by; set by realize */
    /* Regions made by realize, deleted by unrealize. A device with ports at a fixed or configured place (ISA) has
     * mapped them already; those of BUS_SYSTEM devices are mapped by the board. NULL: none. */
    struct region *mmio[DEV_MAX_MMIO];
    struct dev_backend_name *backend_names; /* ids that pointer properties were set from */
    struct error *deferred;      /* what a -global did wrong; dev_realize reports it */
};

/* A -global; in order of the command line, later ones win. */
struct dev_global {
    char *driver, *prop, *value;
    bool used;                   /* some device took it (the program may warn of the others) */
    struct dev_global *next;
};

/* The n-th region of a device; NULL: there is none. */
static inline struct region *dev_mmio(struct device *d, unsigned n)
{
    return n < DEV_MAX_MMIO ? d->mmio[n] : NULL;
}

/* The n-th output line of a device; NULL: there is none. */
static inline struct irq_line *dev_irq(struct device *d, unsigned n)
{
    return n < d->desc->n_irqs ? (struct irq_line *)((char *)d + d->desc->irq_offset) + n : NULL;
}

/* Connects output `n` of `from` to input `pin` of `to`. False: one of them does not exist. */
static inline bool dev_connect(struct device *from, unsigned n, struct device *to, unsigned pin)
{
    struct irq_line *l = dev_irq(from, n);
    if (!l || !to->desc->input || pin >= to->desc->n_inputs) return false;
    irq_connect(l, to->desc->input, to, pin);
    return true;
}

enum { IDE_CHANNELS = 32 };

/* The machine's devices. */
struct machine_bus {
    struct address_space *mem;   /* as the CPUs see it */
    struct address_space *io;    /* I/O ports, or NULL */
    struct region *mem_root, *io_root;
    struct bus_clock *clock;
    struct pci_bus *pci;         /* the PCI bus (periph/pci/pci.h), set by its host bridge; NULL: none */
    struct ide_channel *ide[IDE_CHANNELS]; /* (periph/block/ide.h), set by their controllers: "ide.0"... */
    struct virtio_balloon *balloon; /* (periph/virtio/virtio-balloon.h), set by its device; NULL: none */
    struct input_sink *inputs;   /* keyboards and pointers (bus/input.h), the last one first */
    struct display *display;     /* the first display adapter's screen (ui/picture.h); NULL: none */
    struct device *first, *last;
    struct dev_global *globals;  /* -global */
    struct region **owned;       /* mb_own_region */
    unsigned n_owned;
    void *machine;               /* the machine's own */
    void (*request)(struct machine_bus *, int what); /* enum mb_request: from devices */
    int exit_code;               /* of MB_EXIT */
    bool big_endian;             /* the CPUs' byte order, which legacy virtio drivers use */
    uint8_t seed[32];            /* what random numbers of devices come from */
};
/* MB_EXIT ends the program's run; exit_code says with which status. */
enum mb_request { MB_RESET, MB_POWEROFF, MB_SUSPEND, MB_EXIT };

/* Makes the memory space ("system", 2^mem_size_bits bytes), the I/O space (64 KiB) and the clock. */
struct machine_bus *mb_new(uint64_t mem_size_bits);
void mb_delete(struct machine_bus *); /* and all devices, last one first */
/* Boards: r (may be NULL) is deleted with mb, after the devices. Returns r. */
struct region *mb_own_region(struct machine_bus *, struct region *r);

/* All descriptors, from periph/devices.def. Registered once by the program; a second time changes nothing. */
void dev_register(const struct dev_desc *);
const struct dev_desc *dev_find(const char *name);
const struct dev_desc *dev_iterate(unsigned i); /* NULL after the last */

/* dev_create allocates with defaults and -global applied; set properties; dev_realize; then use. A device that is not
 * realized is a memory block and nothing else; dev_destroy takes both. Registers get their reset values from
 * mb_reset (machine_new ends with it; a device added later needs dev_reset). */
struct device *dev_create(struct machine_bus *, const struct dev_desc *, struct device *parent, const char *id);
int dev_set_prop(struct device *, const char *name, const char *value, struct error *);
int dev_set_int(struct device *, const char *name, uint64_t value);
int dev_set_ptr(struct device *, const char *name, void *backend);
int dev_realize(struct device *, struct error *);
/* Realizes d and returns it; a device that cannot be is destroyed: NULL + error. */
struct device *dev_finish(struct device *d, struct error *);
void dev_destroy(struct device *);    /* and the devices below it */
/* The state table's values, then the device's own reset. */
void dev_reset(struct device *);
/* Replaces the path, which is made from the parent's path and the id or name ("#2" and so on added when taken). */
void dev_set_path(struct device *, const char *path);
/* `-device NAME,help`: "NAME.PROP=KIND (help)" lines, without newline. */
void dev_help(const struct dev_desc *, void (*put)(void *, const char *line), void *opaque);
/* The audit: a byte after `dev` that neither the state table nor a property covers; its offset, or -1. */
long dev_audit(const struct dev_desc *);
/* The name of the register at addr, or NULL. */
const char *dev_reg_name(const struct dev_desc *, uint32_t addr);
int mb_add_global(struct machine_bus *, const char *driver, const char *prop, const char *value);
/* Creates, sets nothing, realizes: for boards. NULL + error. */
struct device *dev_make(struct machine_bus *, const char *name, struct device *parent, struct error *);

/* All devices in order of creation: first every state table, then every reset function. */
void mb_reset(struct machine_bus *);
void mb_save(struct machine_bus *, struct state_buf *);
int mb_load(struct machine_bus *, struct state_buf *, struct error *);
uint64_t mb_hash(struct machine_bus *);
void mb_dump(struct machine_bus *, void (*put)(void *, const char *line), void *opaque); /* info qtree */
/* How PROP_CHR, PROP_DRIVE, PROP_NETDEV ids are turned into backends; set by the program. */
extern void *(*dev_resolve_backend)(enum prop_kind, const char *id, struct error *);
/* The id of a backend that a board set by pointer, for `info qtree`; may be NULL, may return NULL. */
extern const char *(*dev_backend_id)(enum prop_kind, const void *backend);

#endif
