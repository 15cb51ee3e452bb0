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
    uint8_t apic_id[MACHINE_MAX_CPUS]; /* of CPUs present and possible */
    unsigned max_cpus;
    struct device *ferr;
    uint64_t low_ram, high_ram;
    struct pc_boot_entry *boot; /* what has a bootindex, in its order */
    unsigned n_boot;
    bool booted; /* reset before: -boot once= is over */
    bool isa_only; /* no PCI, no APICs, no HPET, no power management */
    bool q35;        /* its chip set; else the 440FX's */
    unsigned isa_in; /* the input of `isa` that is ISA interrupt 0 */
    uint32_t gsi[2]; /* levels of the I/O APIC's inputs from 16 on: the PIRQs', the HPET's */
    bool a20[2]; /* what the 8042 and port 92h say; runtime */
    struct device *fdc;
    bool has_fdc, has_parallel;
};

/* The place of the Q35's AHCI controller, and how many drives it takes. */
enum { PC_Q35_DEVFN_AHCI = 0xfa, PC_Q35_PORTS = 6 };

/* pc.c: for the boards' descriptors. */
extern const struct board board_q35;
extern const char *const pc_isas[];
int pc_init(struct machine *, struct error *);
void pc_reset(struct machine *);
/* Lines, whose opaque is the struct pc: ISA interrupt n to the 8259s and the I/O APIC; SMI#; a PIRQ to input n of the I/O
 * APIC. */
void pc_isa_irq(void *opaque, unsigned n, bool level);
void pc_smi_line(void *opaque, unsigned n, bool level);
void pc_pirq_gsi(void *opaque, unsigned n, bool level);
/* A message of a PCI function. */
void pc_pci_message(void *opaque, uint64_t addr, uint32_t data);
/* pc-q35.c: the chip set. *ide: what drives hang on. */
int pc_q35_make_pci(struct pc *, struct device **ide, struct error *e);

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

/* What the boards of this family have in common, for their struct board. */
#define PC_BOARD_COMMON \
    .isas = pc_isas, .default_cpu64 = "qemu64", .default_ram = UINT64_C(128) << 20, .n_serial = 4, .n_parallel = MACHINE_MAX_PARALLEL, \
    .n_floppies = 2, .takes_devices = true, .has_pc_parts = true, .has_boot_order = true, .has_fw_cfg = true, .init = pc_init, \
    .reset = pc_reset

#endif
