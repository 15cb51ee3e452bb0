/*
 * pci.h - a conventional PCI bus: functions with configuration space, base address registers mapped
 * through regions, INTx lines and bus mastering. Follows the PCI Local Bus Specification 2.1, for bridges the PCI-to-PCI
 * Bridge Architecture Specification 1.1. MSI and MSI-X (of PCI 3.0) are in msi.h and msix.h, a bridge in pcie-port.c.
 *
 * A host bridge owns the bus and translates CPU accesses. A PCI function's state structure begins
 * with `struct device dev; struct pci_func pci;` and its descriptor has .bus = BUS_PCI and
 * .bus_desc = a struct pci_dev_desc.
 */
#ifndef PERIPH_PCI_PCI_H
#define PERIPH_PCI_PCI_H

#include "bus/dev.h"

/* Configuration space, offsets of the common header. */
enum {
    PCI_VENDOR = 0x00,
    PCI_DEVICE = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09,
    PCI_CACHE_LINE = 0x0c,
    PCI_LATENCY = 0x0d,
    PCI_HEADER = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBVENDOR = 0x2c,
    PCI_SUBDEVICE = 0x2e,
    PCI_ROM = 0x30,
    /* of a bridge (header type 1) */
    PCI_PRIMARY = 0x18,
    PCI_SECONDARY = 0x19,
    PCI_SUBORDINATE = 0x1a,
    PCI_CAP_LIST = 0x34,
    PCI_INT_LINE = 0x3c,
    PCI_INT_PIN = 0x3d,
    PCI_MIN_GNT = 0x3e,
    PCI_MAX_LAT = 0x3f,
};
enum {
    PCI_CMD_IO = 1,
    PCI_CMD_MEM = 2,
    PCI_CMD_MASTER = 4,
    PCI_CMD_PARITY = 0x40,
    PCI_CMD_SERR = 0x100,
    PCI_CMD_INTX_OFF = 0x400,
    PCI_STATUS_INTX = 8,
    PCI_STATUS_CAPS = 0x10,
    PCI_STATUS_MASTER_ABORT = 0x2000,
};
/* MEM64: the next register is the high half. */
enum pci_bar_kind {
    PCI_BAR_MEM = 0,
    PCI_BAR_IO = 1,
    PCI_BAR_MEM_PREFETCH = 8,
    PCI_BAR_MEM64_PREFETCH = 12
};
enum { PCI_BARS = 6 };

struct pci_device;

struct pci_dev_desc {
    uint16_t vendor, device, subvendor, subdevice;
    uint32_t class_code; /* 24 bits: base, sub, programming interface */
    uint8_t revision;
    uint8_t int_pin; /* 0: none, 1: INTA# ... 4: INTD# */
    bool multifunction;
    bool bridge;
    uint16_t status; /* reset value of the status register */
    uint8_t min_gnt, max_lat;
    /* After a write to `size` bytes at `reg` took effect; may be NULL. */
    void (*config_written)(struct pci_device *, unsigned reg, unsigned size);
    /* Before a read: registers that show something else than what was written; may be NULL. */
    void (*config_reading)(struct pci_device *, unsigned reg, unsigned size);
};

struct pci_bar {
    struct region *region; /* NULL: not implemented */
    uint8_t kind;
    bool mapped;
    bool placed; /* in the bus's space: memory stays there when it is not mapped, for as_ram_next */
};

/* The part of a function's state that every PCI function has. */
struct pci_func {
    char *addr; /* property "addr": "SLOT[.FUNCTION]" in hexadecimal; NULL: the first free slot */
    struct pci_bus *bus;
    uint8_t devfn;
    uint8_t cap_end; /* first free byte after the capabilities */
    bool intx;       /* the function drives its interrupt pin */
    uint8_t below;   /* pins that functions behind a bridge drive, as the bridge's */
    uint8_t express; /* the PCI Express capability; 0: a conventional function */
    struct pci_bus *secondary; /* of a bridge */
    uint8_t config[256];
    uint8_t wmask[256]; /* bits the guest may write */
    uint8_t w1c[256];   /* bits that are cleared by writing 1 */
    struct pci_bar bar[PCI_BARS];
    struct pci_bar rom; /* expansion ROM */
};

struct pci_device {
    struct device dev;
    struct pci_func pci;
};

extern const struct state_field pci_func_state[];
/* First lines of a PCI function's property and state tables. */
#define PCI_PROPS(S)                                                                               \
    PROP_STRING(S, "addr", pci.addr, NULL, "PCI slot and function: SLOT[.FUNCTION], hexadecimal")
#define PCI_STATE(S) STATE_STRUCT(S, pci, 1, pci_func_state)

/* ---- the bus ---- */

/* mem, io: containers that BARs are mapped into; dma: what bus masters see. Lines are owned by the
 * host bridge: the INTx lines of the bus after routing. pin_map: from (devfn, pin 0..3) to the
 * line; NULL: (slot + pin) & 3. */
struct pci_bus *pci_bus_new(struct device *host, struct region *mem, struct region *io,
                            struct address_space *dma, struct irq_line *lines);
/* The bus behind a bridge, whose pci.secondary it becomes; mem, io: containers that the bridge shows parts of. It takes
 * `slots` devices. Lines, INTA# to INTD# of the bus, come out of the bridge. */
struct pci_bus *pci_bus_new_secondary(struct pci_device *bridge, struct region *mem, struct region *io, struct irq_line lines[4],
                                      unsigned slots);
/* The bridge that a bus is behind; NULL: it is the root. */
struct pci_device *pci_bus_bridge(const struct pci_bus *);
void pci_bus_delete(struct pci_bus *);
void pci_bus_set_map(struct pci_bus *, unsigned (*pin_map)(unsigned devfn, unsigned pin));
/* The slot from which on functions without an address are put; default 0. */
void pci_bus_set_first_slot(struct pci_bus *, unsigned slot);
/* Where message signalled interrupts go (a write of 4 bytes by a bus master). A board that does not
 * say so has none, and its functions no capability for them. */
void pci_bus_set_msi(struct pci_bus *, void (*fn)(void *opaque, uint64_t addr, uint32_t data),
                     void *opaque);
bool pci_bus_has_msi(const struct pci_bus *);
/* Configuration cycles: size 1, 2, 4, naturally aligned. Absent functions read as all ones. */
uint32_t pci_config_read(struct pci_bus *, unsigned devfn, unsigned reg, unsigned size);
void pci_config_write(struct pci_bus *, unsigned devfn, unsigned reg, uint32_t value,
                      unsigned size);
/* The same for host bridges: bdf is the bus number, from bit 8 on, and devfn; reg may be up to 4095, of functions without
 * extended configuration space all ones. */
uint32_t pci_bus_read(struct pci_bus *root, unsigned bdf, unsigned reg, unsigned size);
void pci_bus_write(struct pci_bus *root, unsigned bdf, unsigned reg, uint32_t value, unsigned size);
struct pci_device *pci_bus_device(struct pci_bus *, unsigned devfn); /* NULL: absent */
void pci_bus_dump(struct pci_bus *, void (*put)(void *, const char *line), void *opaque); /* info pci */
/* For boards: creates and realizes `name` at devfn. NULL + error. */
struct device *pci_make(struct machine_bus *, const char *name, unsigned devfn, struct error *);

/* ---- for functions ---- */

/* First in realize: takes a slot on the machine's PCI bus, fills the header from the descriptor. 0
 * or -1. */
int pci_realize(struct pci_device *, struct error *);
/* In unrealize: leaves the bus, unmaps and deletes the BAR regions. */
void pci_unrealize(struct pci_device *);
/* First in reset: header registers to their reset values, BARs unmapped, interrupt pin released. */
void pci_reset(struct pci_device *);
/* First in post_load. */
void pci_post_load(struct pci_device *);
/* The function takes over the region; its size must be a power of two of at least 4 (I/O) or 16
 * (memory). */
void pci_set_bar(struct pci_device *, unsigned n, enum pci_bar_kind, struct region *);
/* Adds a capability of `size` bytes (header included); returns its offset, 0 when there is no room.
 */
unsigned pci_add_capability(struct pci_device *, uint8_t id, unsigned size);
/* The PCI Express capability (version 2, a link of one lane), of a root port (type 4) or an endpoint (0); the function then
 * has extended configuration space, which is empty. 0 or -1. */
int pci_add_express(struct pci_device *, unsigned type, unsigned port, struct error *e);
/* The same for an expansion ROM of at least 2 KiB. */
void pci_set_rom(struct pci_device *, struct region *);
/* An expansion ROM with the contents of a file; it is made as large as it must be. 0 or -1. */
int pci_load_rom(struct pci_device *, const void *data, uint64_t size, struct error *e);
void pci_set_irq(struct pci_device *, bool level);
/* DMA as a bus master; false (all ones read) when bus mastering is off or nothing answers. */
bool pci_dma_read(struct pci_device *, uint64_t addr, void *buf, size_t n);
bool pci_dma_write(struct pci_device *, uint64_t addr, const void *buf, size_t n);
/* A message signalled interrupt; nothing without bus mastering. */
void pci_send_msi(struct pci_device *, uint64_t addr, uint32_t data);

static inline struct pci_device *pci_device(struct device *d)
{
    return (struct pci_device *)d;
}
static inline uint16_t pci_command(const struct pci_device *d)
{
    return ld16_le(d->pci.config + PCI_COMMAND);
}
/* Device specific registers that the guest may write: mask over 4 bytes at reg. */
static inline void pci_set_wmask32(struct pci_device *d, unsigned reg, uint32_t mask)
{
    st32_le(d->pci.wmask + reg, mask);
}

#endif
