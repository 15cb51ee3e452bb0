/*
 * pc-options.h - inside of the PC boards: what -boot, -option-rom, -fw_cfg, -acpitable and -smbios say, as their texts.
 */
#ifndef MACHINES_PC_OPTIONS_H
#define MACHINES_PC_OPTIONS_H

#include "machines/pc.h"
#include "machines/pc-tables.h"

/* fw_cfg's files for -boot's menu, splash picture and times. 0 or -1. */
int pc_boot_files(struct pc *, struct error *e);
/* Gives firmware the expansion ROMs of -option-rom. 0 or -1. */
int pc_option_roms(struct pc *, struct error *e);
/* The user's own files; after all others, whose names they must not have. 0 or -1. */
int pc_user_fw_cfg(struct pc *, struct error *e);

/* "bootorder": what has a bootindex, lowest first, behind the kernel of -kernel. */
struct pc_boot_entry {
    uint64_t index;
    char *path; /* a device in firmware's notation */
};
/* Takes over path. -1: the index is another device's. */
int pc_add_boot_entry(struct pc *, uint64_t index, char *path, struct error *e);
/* -device's or -option-rom's number as text. */
int pc_add_boot_text(struct pc *, const char *index, char *path, struct error *e);
/* first: NULL, or what comes before all. */
int pc_boot_order_file(struct pc *, const char *first, struct error *e);
void pc_free_boot_entries(struct pc *);

/* One -acpitable: an allocated table with a correct length and checksum, or NULL. */
uint8_t *pc_acpi_user_table(const char *text, uint32_t *size, struct error *e);

/* All -smbios. The value of a field of a type that was given, or def. */
struct pc_smbios_set;
struct pc_smbios_set *pc_smbios_parse(const char *const *texts, struct error *e);
void pc_smbios_free(struct pc_smbios_set *);
const char *pc_smbios_text(const struct pc_smbios_set *, unsigned type, const char *field, const char *def);
/* Structures of file= with their strings, one after the other. NULL: none. */
const uint8_t *pc_smbios_files(const struct pc_smbios_set *, size_t *size);
/* Is there one of that type in a file? It is then not made. */
bool pc_smbios_in_file(const struct pc_smbios_set *, unsigned type);
/* The i-th value= of type 11, or NULL. */
const char *pc_smbios_oem_string(const struct pc_smbios_set *, unsigned i);

#endif
