/*
 * fw_cfg.h - the firmware configuration interface of virtual machines ("fw_cfg_io"): numbered items
 * and named files that the guest reads through a selector and a data port, or by DMA.
 */
#ifndef PERIPH_MISC_FW_CFG_H
#define PERIPH_MISC_FW_CFG_H

#include "bus/dev.h"

/* Numbers of items that have no name. */
enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_MAX_FILES = 0x100
};

/* Items are made before the machine runs. Data are copied; a second time replaces. */
void fw_cfg_add(struct device *, unsigned key, const void *data, uint32_t size);
void fw_cfg_add_int(struct device *, unsigned key, uint64_t value, unsigned bytes); /* little-endian */
/* An item whose data are read when the guest asks for them, so that they take no memory: n bytes from `at` on, within the size; what cannot be
 * had any more is left as it is, zeros. close: with the device, or when the item is replaced. */
struct fw_cfg_source {
    void (*read)(void *opaque, uint64_t at, uint8_t *buf, size_t n);
    void (*close)(void *opaque);
    void *opaque;
};
void fw_cfg_add_source(struct device *, unsigned key, const struct fw_cfg_source *, uint32_t size);
/* Files are listed by name. 0; -1: the name is too long (55 bytes) or there are too many. */
int fw_cfg_add_file(struct device *, const char *name, const void *data, uint32_t size,
                    struct error *e);
/* The contents of a file, or NULL. */
const uint8_t *fw_cfg_file(struct device *, const char *name, uint32_t *size);

#endif
