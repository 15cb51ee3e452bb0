/*
 * ahci.h - inside of the AHCI controller: the controller's registers are in ahci.c, what a port does with commands in
 * ahci-port.c. Follows Serial ATA AHCI 1.3.1.
 */
#ifndef PERIPH_BLOCK_AHCI_H
#define PERIPH_BLOCK_AHCI_H

#include "periph/block/ide.h"
#include "periph/pci/pci.h"

enum { AHCI_PORTS = 6, AHCI_SLOTS = 32, AHCI_PORT_REGS = 0x80 };

struct ahci;

/* How far a command's table is gone through. */
struct ahci_ranges {
    uint64_t table;               /* the command table */
    uint32_t entries, next_entry; /* of its memory ranges */
    uint64_t addr;                /* what remains of the current range */
    uint32_t left;
    uint32_t moved;               /* bytes */
};

struct ahci_port {
    /* registers, by their names without "Px" */
    uint64_t clb, fb;
    uint32_t is, ie, cmd, tfd, sig, ssts, sctl, serr, sact, ci;
    /* the command that runs */
    int8_t slot;          /* -1: none */
    uint8_t last_slot;    /* the one fetched last */
    bool queued;          /* it is a queued one */
    bool halted;          /* an error stopped the port until software clears ST */
    uint32_t accepted;    /* queued commands that wait in the drive */
    struct ahci_ranges run;
    /* runtime */
    struct ahci *owner;
    struct ide_channel ch;
    bool pumping, processing;
};
extern const struct state_field ahci_port_state[];

/* Registers of a port; writes are of 4 bytes. */
uint32_t ahci_port_read(struct ahci_port *, unsigned reg);
void ahci_port_write(struct ahci_port *, unsigned reg, uint32_t value);
/* Once, in realize. */
void ahci_port_init(struct ahci_port *, struct ahci *);
void ahci_port_reset(struct ahci_port *);
bool ahci_port_valid(const struct ahci_port *); /* loaded state: is it possible? */

/* ahci.c: PxIS or PxIE changed. */
void ahci_update(struct ahci *);
struct pci_device *ahci_pci(struct ahci *);

#endif
