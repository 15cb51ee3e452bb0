/*
 * pc-smbios.c - the SMBIOS tables of the PC boards. Follows the System Management BIOS reference
 * specification 2.8; firmware places them and completes the entry point.
 */
#include "machines/acpi/aml.h"
#include "machines/pc-options.h"
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

/* The strings of a structure while it is made. */
enum { MAX_STRINGS = 8 };
struct strings {
    const char *v[MAX_STRINGS + 1];
    uint8_t n;
};

/* Puts the number of a string where it belongs; no or an empty text: 0, none. */
static void string(struct strings *l, uint8_t *at, const char *text)
{
    if (!text || !*text || l->n == MAX_STRINGS) return;
    l->v[l->n++] = text;
    *at = l->n;
}

static void firmware(struct smbios *o, const struct pc_tables *c)
{
    uint8_t bios[24] = {0};
    struct strings l = {{0}, 0};
    unsigned major = 0, minor = 0;
    put_id(bios, 0, sizeof bios, 0);
    string(&l, bios + 4, pc_smbios_text(c->smbios, 0, "vendor", "SeaBIOS"));
    string(&l, bios + 5, pc_smbios_text(c->smbios, 0, "version", "Quern"));
    string(&l, bios + 8, pc_smbios_text(c->smbios, 0, "date", "04/01/2014"));
    st16_le(bios + 6, 0xe800);
    st64_le(bios + 10, 1u << 3); /* characteristics are not supported */
    bios[19] = 0x14;             /* a virtual machine, targeted content distribution */
    if (!strcmp(pc_smbios_text(c->smbios, 0, "uefi", "off"), "on")) bios[19] |= 8;
    if (sscanf(pc_smbios_text(c->smbios, 0, "release", ""), "%3u.%3u", &major, &minor) == 2)
        bios[20] = (uint8_t)major, bios[21] = (uint8_t)minor;
    bios[22] = bios[23] = 0xff;
    add(o, bios, l.v);
}

static void computer(struct smbios *o, const struct pc_tables *c)
{
    uint8_t sys[27] = {0};
    struct strings l = {{0}, 0};
    const char *uuid = pc_smbios_text(c->smbios, 1, "uuid", c->uuid);
    put_id(sys, 1, sizeof sys, 0x100);
    string(&l, sys + 4, pc_smbios_text(c->smbios, 1, "manufacturer", "Quern"));
    string(&l, sys + 5, pc_smbios_text(c->smbios, 1, "product", c->q35 ? "Standard PC (Q35 + ICH9)"
                                                                            : "Standard PC (i440FX + PIIX)"));
    string(&l, sys + 6, pc_smbios_text(c->smbios, 1, "version", NULL));
    string(&l, sys + 7, pc_smbios_text(c->smbios, 1, "serial", NULL));
    string(&l, sys + 25, pc_smbios_text(c->smbios, 1, "sku", NULL));
    string(&l, sys + 26, pc_smbios_text(c->smbios, 1, "family", NULL));
    sys[24] = 6;
    if (uuid) put_uuid(sys + 8, uuid);
    add(o, sys, l.v);
}

/* Only where a field of it was given. */
static void base_board(struct smbios *o, const struct pc_tables *c)
{
    static const char *const fields[] = {"manufacturer", "product", "version", "serial", "asset"};
    uint8_t board[15] = {0};
    struct strings l = {{0}, 0};
    put_id(board, 2, sizeof board, 0x200);
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
        string(&l, board + 4 + i, pc_smbios_text(c->smbios, 2, fields[i], NULL));
    string(&l, board + 10, pc_smbios_text(c->smbios, 2, "location", NULL));
    if (!l.n) return;
    board[9] = 1; /* hosts the rest */
    st16_le(board + 11, 0x300);
    board[13] = 10; /* a motherboard */
    add(o, board, l.v);
}

static void chassis(struct smbios *o, const struct pc_tables *c)
{
    uint8_t s[22] = {0};
    struct strings l = {{0}, 0};
    put_id(s, 3, sizeof s, 0x300);
    string(&l, s + 4, pc_smbios_text(c->smbios, 3, "manufacturer", "Quern"));
    string(&l, s + 6, pc_smbios_text(c->smbios, 3, "version", NULL));
    string(&l, s + 7, pc_smbios_text(c->smbios, 3, "serial", NULL));
    string(&l, s + 8, pc_smbios_text(c->smbios, 3, "asset", NULL));
    string(&l, s + 21, pc_smbios_text(c->smbios, 3, "sku", NULL));
    s[5] = 1;
    s[9] = s[10] = s[11] = 3, s[12] = 2;
    add(o, s, l.v);
}

static void processors(struct smbios *o, const struct pc_tables *c)
{
    for (unsigned i = 0; i < c->sockets; i++) {
        uint8_t cpu[42] = {0};
        struct strings l = {{0}, 0};
        char *socket = mem_printf("%s %u", pc_smbios_text(c->smbios, 4, "sock_pfx", "CPU"), i);
        put_id(cpu, 4, sizeof cpu, (uint16_t)(0x400 + i));
        string(&l, cpu + 4, socket);
        string(&l, cpu + 7, pc_smbios_text(c->smbios, 4, "manufacturer", "Quern"));
        string(&l, cpu + 16, pc_smbios_text(c->smbios, 4, "version", NULL));
        string(&l, cpu + 32, pc_smbios_text(c->smbios, 4, "serial", NULL));
        string(&l, cpu + 33, pc_smbios_text(c->smbios, 4, "asset", NULL));
        string(&l, cpu + 34, pc_smbios_text(c->smbios, 4, "part", NULL));
        cpu[5] = 3, cpu[6] = 1;
        st16_le(cpu + 20, 2000), st16_le(cpu + 22, 2000);
        cpu[24] = 0x41, cpu[25] = 1;
        st16_le(cpu + 26, 0xffff), st16_le(cpu + 28, 0xffff), st16_le(cpu + 30, 0xffff);
        cpu[35] = cpu[36] = (uint8_t)MIN(c->cores, 255u), cpu[37] = (uint8_t)MIN(c->threads, 255u);
        st16_le(cpu + 38, 2), st16_le(cpu + 40, 1);
        add(o, cpu, l.v);
        mem_free(socket);
    }
}

static void oem_strings(struct smbios *o, const struct pc_tables *c)
{
    uint8_t s[5] = {0};
    const char *v[256] = {NULL};
    unsigned n = 0;
    while (n < ARRAY_LEN(v) - 1 && (v[n] = pc_smbios_oem_string(c->smbios, n)))
        n++;
    v[n] = NULL;
    if (!n) return;
    put_id(s, 11, sizeof s, 0xb00);
    s[4] = (uint8_t)n;
    add(o, s, v);
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
    dimm[14] = 9, dimm[18] = 7;
    st16_le(dimm + 19, 2);
    struct strings l = {{0}, 0};
    char *slot = mem_printf("%s 0", pc_smbios_text(c->smbios, 17, "loc_pfx", "DIMM"));
    const char *speed = pc_smbios_text(c->smbios, 17, "speed", NULL);
    string(&l, dimm + 16, slot);
    string(&l, dimm + 17, pc_smbios_text(c->smbios, 17, "bank", NULL));
    string(&l, dimm + 23, pc_smbios_text(c->smbios, 17, "manufacturer", "Quern"));
    string(&l, dimm + 24, pc_smbios_text(c->smbios, 17, "serial", NULL));
    string(&l, dimm + 25, pc_smbios_text(c->smbios, 17, "asset", NULL));
    string(&l, dimm + 26, pc_smbios_text(c->smbios, 17, "part", NULL));
    if (speed) st16_le(dimm + 21, (uint16_t)strtoul(speed, NULL, 0));
    if (!pc_smbios_in_file(c->smbios, 17)) add(o, dimm, l.v);
    mem_free(slot);
    mapped(o, 0, 0, c->low_ram);
    mapped(o, 1, UINT64_C(1) << 32, c->high_ram);
}

/* The user's structures, as they are. */
static void add_files(struct smbios *o, const struct pc_tables *c)
{
    size_t size, at = 0;
    const uint8_t *f = pc_smbios_files(c->smbios, &size);
    while (at < size) {
        size_t p = at + f[at + 1];
        while (f[p] || f[p + 1])
            p++;
        o->largest = MAX(o->largest, (unsigned)(p + 2 - at));
        o->structures++;
        at = p + 2;
    }
    if (size) aml_raw(&o->b, f, size);
}

int pc_smbios_tables(struct device *fw_cfg, const struct pc_tables *c, struct error *e)
{
    struct smbios o = {{0}, 0, 0};
    uint8_t boot[11] = {0}, end[4] = {0}, anchor[31] = "_SM_";
    static const struct {
        uint8_t type;
        void (*make)(struct smbios *, const struct pc_tables *);
    } parts[] = {{0, firmware},   {1, computer},     {2, base_board}, {3, chassis},
                 {4, processors}, {11, oem_strings}, {16, memory}};
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
        if (!pc_smbios_in_file(c->smbios, parts[i].type)) parts[i].make(&o, c);
    add_files(&o, c);
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
