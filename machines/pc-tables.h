/*
 * pc-tables.h - inside of the PC boards: the tables that describe the machine to its guests.
 */
#ifndef MACHINES_PC_TABLES_H
#define MACHINES_PC_TABLES_H

#include "bus/dev.h"

struct pc_smbios_set;
struct pc_tables {
    unsigned n_cpus, max_cpus;  /* present, possible */
    const uint8_t *apic_id;     /* of each possible one */
    unsigned sockets, cores, threads; /* cores and threads (logical processors) of a socket */
    uint64_t low_ram, high_ram; /* bytes below and above 4 GiB */
    bool q35; /* its chip set; else the 440FX's */
    bool hpet, fdc, parallel;
    const char *uuid; /* or NULL */
    const char *const *acpi_tables; /* of -acpitable, or NULL */
    const struct pc_smbios_set *smbios; /* of -smbios */
};

/* Give the firmware its ACPI tables (etc/acpi, etc/table-loader) and SMBIOS tables (etc/smbios). */
int pc_acpi_tables(struct device *fw_cfg, const struct pc_tables *, struct error *e);
int pc_smbios_tables(struct device *fw_cfg, const struct pc_tables *, struct error *e);

#endif
