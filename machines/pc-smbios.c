/*
 * pc-smbios.c - the SMBIOS tables of the PC boards. Follows the System Management BIOS reference
 * specification 2.8; firmware places them and completes the entry point.
 */
#include "machines/acpi/aml.h"
#include "machines/pc-tables.h"
#include "periph/misc/fw_cfg.h"

#include <stdio.h>

struct smbios {
    struct aml b; /* a byte buffer */
    unsigned structures, largest;
};

static void put_id(uint8_t *s, uint8_t type, uint8_t length, uint16_t handle)
{
    s[0] = type, s[1] = length;
    st16_le(s + 2, handle);
}

/* A structure and its strings (NULL-ended list). */
static void add(struct smbios *o, const uint8_t *s, const char *const *strings)
{
    size_t before = o->b.len;
    aml_raw(&o->b, s, s[1]);
    for (const char *const *p = strings; p && *p; p++)
        aml_raw(&o->b, *p, strlen(*p) + 1);
    if (!strings || !*strings) aml_byte(&o->b, 0);
    aml_byte(&o->b, 0);
    o->structures++;
    o->largest = MAX(o->largest, (unsigned)(o->b.len - before));
}

static unsigned hex(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10) & 15;
}

/* The first three fields of a UUID are little-endian here. */
static void put_uuid(uint8_t *to, const char *text)
{
    static const uint8_t place[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    for (unsigned i = 0; i < 16 && text[0] && text[1]; text += 2) {
        if (*text == '-') text++;
        to[place[i++]] = (uint8_t)(hex(text[0]) << 4 | hex(text[1]));
    }
}

static void firmware_and_system(struct smbios *o, const struct pc_tables *c)
{
    uint8_t bios[24] = {0}, sys[27] = {0}, chassis[22] = {0};
    put_id(bios, 0, sizeof bios, 0);
    bios[4] = 1, bios[5] = 2, bios[8] = 3;
    st16_le(bios + 6, 0xe800);
    st64_le(bios + 10, 1u << 3); /* characteristics are not supported */
    bios[19] = 0x14;             /* a virtual machine, targeted content distribution */
    bios[20] = 0, bios[21] = 0, bios[22] = bios[23] = 0xff;
    static const char *const bios_strings[] = {"SeaBIOS", "Quern", "04/01/2014", NULL};
    add(o, bios, bios_strings);

    put_id(sys, 1, sizeof sys, 0x100);
    sys[4] = 1, sys[5] = 2, sys[24] = 6;
    if (c->uuid) put_uuid(sys + 8, c->uuid);
    static const char *const sys_strings[] = {"Quern", "Standard PC (i440FX + PIIX)", NULL};
    add(o, sys, sys_strings);

    put_id(chassis, 3, sizeof chassis, 0x300);
    chassis[4] = 1, chassis[5] = 1;
    chassis[9] = chassis[10] = chassis[11] = 3, chassis[12] = 2;
    static const char *const chassis_strings[] = {"Quern", NULL};
    add(o, chassis, chassis_strings);
}

static void processors(struct smbios *o, const struct pc_tables *c)
{
    for (unsigned i = 0; i < c->n_cpus; i++) {
        uint8_t cpu[42] = {0};
        char socket[16];
        const char *const strings[] = {socket, "Quern", NULL};
        snprintf(socket, sizeof socket, "CPU %u", i);
        put_id(cpu, 4, sizeof cpu, (uint16_t)(0x400 + i));
        cpu[4] = 1, cpu[5] = 3, cpu[6] = 1, cpu[7] = 2;
        st16_le(cpu + 20, 2000), st16_le(cpu + 22, 2000);
        cpu[24] = 0x41, cpu[25] = 1;
        st16_le(cpu + 26, 0xffff), st16_le(cpu + 28, 0xffff), st16_le(cpu + 30, 0xffff);
        cpu[35] = cpu[36] = cpu[37] = 1;
        st16_le(cpu + 38, 2), st16_le(cpu + 40, 1);
        add(o, cpu, strings);
    }
}

/* A mapped range: its addresses in KiB. */
static void mapped(struct smbios *o, unsigned n, uint64_t start, uint64_t size)
{
    uint8_t m[31] = {0};
    if (!size) return;
    put_id(m, 19, sizeof m, (uint16_t)(0x1300 + n));
    st32_le(m + 4, (uint32_t)MIN(start >> 10, 0xffffffffu));
    st32_le(m + 8, (uint32_t)MIN(((start + size) >> 10) - 1, 0xffffffffu));
    st16_le(m + 12, 0x1000);
    m[14] = 1;
    add(o, m, NULL);
}

static void memory(struct smbios *o, const struct pc_tables *c)
{
    uint64_t all = c->low_ram + c->high_ram;
    uint8_t array[23] = {0}, dimm[40] = {0};
    put_id(array, 16, sizeof array, 0x1000);
    array[4] = 1, array[5] = 3, array[6] = 6;
    if (all >> 10 < 0x80000000u) {
        st32_le(array + 7, (uint32_t)(all >> 10));
    } else {
        st32_le(array + 7, 0x80000000u);
        st64_le(array + 15, all);
    }
    st16_le(array + 11, 0xfffe);
    st16_le(array + 13, 1);
    add(o, array, NULL);

    put_id(dimm, 17, sizeof dimm, 0x1100);
    st16_le(dimm + 4, 0x1000), st16_le(dimm + 6, 0xfffe);
    st16_le(dimm + 8, 0xffff), st16_le(dimm + 10, 0xffff);
    if (all >> 20 < 0x7fff) {
        st16_le(dimm + 12, (uint16_t)(all >> 20));
    } else {
        st16_le(dimm + 12, 0x7fff);
        st32_le(dimm + 28, (uint32_t)(all >> 20));
    }
    dimm[14] = 9, dimm[16] = 1, dimm[18] = 7, dimm[23] = 2;
    st16_le(dimm + 19, 2);
    static const char *const strings[] = {"DIMM 0", "Quern", NULL};
    add(o, dimm, strings);
    mapped(o, 0, 0, c->low_ram);
    mapped(o, 1, UINT64_C(1) << 32, c->high_ram);
}

int pc_smbios_tables(struct device *fw_cfg, const struct pc_tables *c, struct error *e)
{
    struct smbios o = {{0}, 0, 0};
    uint8_t boot[11] = {0}, end[4] = {0}, anchor[31] = "_SM_";
    firmware_and_system(&o, c);
    processors(&o, c);
    memory(&o, c);
    put_id(boot, 32, sizeof boot, 0x2000);
    add(&o, boot, NULL);
    put_id(end, 127, sizeof end, 0x7f00);
    add(&o, end, NULL);

    anchor[5] = sizeof anchor, anchor[6] = 2, anchor[7] = 8;
    st16_le(anchor + 8, (uint16_t)o.largest);
    memcpy(anchor + 16, "_DMI_", 5);
    st16_le(anchor + 22, (uint16_t)o.b.len);
    st16_le(anchor + 28, (uint16_t)o.structures);
    anchor[30] = 0x28;
    int rc = fw_cfg_add_file(fw_cfg, "etc/smbios/smbios-tables", o.b.data, (uint32_t)o.b.len, e);
    if (!rc) rc = fw_cfg_add_file(fw_cfg, "etc/smbios/smbios-anchor", anchor, sizeof anchor, e);
    aml_free(&o.b);
    return rc;
}
