/*
 * pc.h - inside of the PC boards: the board's device, and what pc-boot.c does for it.
 */
#ifndef MACHINES_PC_H
#define MACHINES_PC_H

#include "machines/machine.h"

struct pc {
    struct device dev;
    struct machine *machine;
    struct device *pcihost, *pmc, *isa, *pm, *pic[2], *apic_bus, *ioapic, *hpet, *fw_cfg, *rtc;
    struct device *apic[MACHINE_MAX_CPUS];
    struct device *ferr;
    uint64_t low_ram, high_ram;
    struct pc_boot_entry *boot; /* what has a bootindex, in its order */
    unsigned n_boot;
    bool booted; /* reset before: -boot once= is over */
    bool isa_only; /* no PCI, no I/O APIC, no HPET, no power management */
    bool a20[2]; /* what the 8042 and port 92h say; runtime */
    bool has_fdc, has_parallel;
};

/* Maps the firmware below 4 GiB, and its last 128 KiB into `low`, the 256 KiB at C0000h; NULL: copied to RAM there by every
 * reset. 0 or -1. */
int pc_load_firmware(struct pc *, struct region *low, struct error *e);
/* Gives firmware the ROM of an "isa-vga". 0 or -1. */
int pc_isa_vga_rom(struct pc *, struct error *e);
/* Gives a "VGA" the ROM with its BIOS. 0 or -1. */
int pc_vga_rom(struct pc *, struct device *vga, struct error *e);
/* Puts the boot order into the CMOS memory, as every reset does. */
void pc_set_boot_order(struct pc *);
/* What firmware reads: CMOS, fw_cfg's items and tables. 0 or -1. */
int pc_configure(struct pc *, struct error *e);

#endif
