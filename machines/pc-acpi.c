/*
 * pc-acpi.c - the ACPI tables of the PCs with PCI: RSDP, RSDT, FADT, FACS, MADT, HPET, MCFG of the Q35, and a DSDT written
 * by acpi/aml.h. Firmware gets them as files with a list of commands that say where pointers and
 * checksums are, and places them itself.
 *
 * Follows the ACPI specification 6.4, chapter 5, with the tables' forms of revision 1 to 3, and the PCI Firmware
 * Specification 3.0, chapter 4, for PCI Express. Power management is where SeaBIOS puts it (ports 600h), the Q35's window of
 * configuration space and root complex registers, too. There are no general purpose events and no
 * sleeping states but S5.
 */
#include "machines/acpi/aml.h"
#include "machines/pc-options.h"
#include "periph/misc/fw_cfg.h"
#include "periph/pci/ich9.h"

#include <stdio.h>

static const char tables_file[] = "etc/acpi/tables", rsdp_file[] = "etc/acpi/rsdp";

enum { PM_BASE = 0x600, SCI = 9, APM_PORT = 0xb2, RESET_PORT = 0xcf9 };
enum { MAX_USER_TABLES = 64 };
enum { HEADER = 36, COMMAND = 128, NAME = 56 };
#define EXPRESS_BASE 0xb0000000u
#define EXPRESS_SIZE 0x10000000u
#define RCRB_BASE    0xfed1c000u
#define RCRB_SIZE    0x4000u

/* ---- the loader's commands ---- */

enum { CMD_ALLOCATE = 1, CMD_ADD_POINTER = 2, CMD_ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

static uint8_t *command(struct aml *l, uint32_t what)
{
    uint8_t c[COMMAND] = {0};
    st32_le(c, what);
    aml_raw(l, c, sizeof c);
    return l->data + l->len - COMMAND + 4;
}

static void put_name(uint8_t *at, const char *name)
{
    memcpy(at, name, strlen(name));
}

static void allocate(struct aml *l, const char *file, uint32_t align, uint8_t zone)
{
    uint8_t *c = command(l, CMD_ALLOCATE);
    put_name(c, file);
    st32_le(c + NAME, align);
    c[NAME + 4] = zone;
}

/* The 4-byte offset at `offset` of a file becomes a pointer into the tables' file. */
static void add_pointer(struct aml *l, const char *file, size_t offset)
{
    uint8_t *c = command(l, CMD_ADD_POINTER);
    put_name(c, file);
    put_name(c + NAME, tables_file);
    st32_le(c + 2 * NAME, (uint32_t)offset);
    c[2 * NAME + 4] = 4;
}

static void add_checksum(struct aml *l, const char *file, size_t offset, size_t start, size_t n)
{
    uint8_t *c = command(l, CMD_ADD_CHECKSUM);
    put_name(c, file);
    st32_le(c + NAME, (uint32_t)offset);
    st32_le(c + NAME + 4, (uint32_t)start);
    st32_le(c + NAME + 8, (uint32_t)n);
}

/* ---- tables ---- */

struct tables {
    struct aml t, loader;
};

static void align_to(struct aml *t, size_t a)
{
    while (t->len % a)
        aml_byte(t, 0);
}

static size_t begin_table(struct tables *s, const char *signature, uint8_t revision)
{
    uint8_t h[HEADER] = {0};
    align_to(&s->t, 16);
    memcpy(h, signature, 4);
    h[8] = revision;
    memcpy(h + 10, "QUERN ", 6);
    memcpy(h + 16, "QUERNPC ", 8);
    st32_le(h + 24, 1);
    memcpy(h + 28, "QRN ", 4);
    st32_le(h + 32, 1);
    aml_raw(&s->t, h, sizeof h);
    return s->t.len - HEADER;
}

static void end_table(struct tables *s, size_t at)
{
    st32_le(s->t.data + at + 4, (uint32_t)(s->t.len - at));
    add_checksum(&s->loader, tables_file, at + 9, at, s->t.len - at);
}

/* A generic address structure of a register in I/O space. */
static void put_gas(uint8_t *p, uint8_t bits, uint64_t port)
{
    p[0] = 1, p[1] = bits, p[2] = 0, p[3] = bits == 8 ? 1 : bits == 16 ? 2 : 3;
    st64_le(p + 4, port);
}

static size_t make_facs(struct tables *s)
{
    uint8_t f[64] = "FACS";
    align_to(&s->t, 64);
    st32_le(f + 4, sizeof f);
    f[32] = 1;
    aml_raw(&s->t, f, sizeof f);
    return s->t.len - sizeof f;
}

static size_t make_fadt(struct tables *s, size_t facs, size_t dsdt)
{
    uint8_t p[244] = {0};
    size_t at = begin_table(s, "FACP", 3);
    st32_le(p + 36, (uint32_t)facs);
    st32_le(p + 40, (uint32_t)dsdt);
    st16_le(p + 46, SCI);
    st32_le(p + 48, APM_PORT);
    p[52] = 0xf1, p[53] = 0xf0; /* ACPI on, off */
    st32_le(p + 56, PM_BASE);
    st32_le(p + 64, PM_BASE + 4);
    st32_le(p + 76, PM_BASE + 8);
    p[88] = 4, p[89] = 2, p[91] = 4;
    st16_le(p + 96, 0xfff), st16_le(p + 98, 0xfff); /* no C2, no C3 */
    p[108] = 0x32; /* CMOS: century; there is no day or month alarm */
    st16_le(p + 109, 3); /* legacy devices, an 8042 */
    /* WBINVD works, C1 on all CPUs, power button is fixed, no sleep button, reset register */
    st32_le(p + 112, 1u << 0 | 1u << 2 | 1u << 5 | 1u << 10);
    put_gas(p + 116, 8, RESET_PORT);
    p[128] = 6;
    put_gas(p + 148, 32, PM_BASE);
    put_gas(p + 172, 16, PM_BASE + 4);
    put_gas(p + 208, 32, PM_BASE + 8);
    aml_raw(&s->t, p + HEADER, sizeof p - HEADER);
    add_pointer(&s->loader, tables_file, at + 36);
    add_pointer(&s->loader, tables_file, at + 40);
    end_table(s, at); /* the checksum is of the final pointers */
    return at;
}

static size_t make_madt(struct tables *s, const struct pc_tables *c)
{
    static const uint8_t level[] = {5, 9, 10, 11}; /* what PIRQs and the SCI may be routed to */
    size_t at = begin_table(s, "APIC", 1);
    uint8_t head[8] = {0}, io[12] = {1, sizeof io};
    st32_le(head, 0xfee00000u);
    st32_le(head + 4, 1); /* 8259s are there, too */
    aml_raw(&s->t, head, sizeof head);
    for (unsigned i = 0; i < c->max_cpus; i++) {
        uint8_t cpu[8] = {0, sizeof cpu, (uint8_t)i, c->apic_id[i], i < c->n_cpus};
        aml_raw(&s->t, cpu, sizeof cpu);
    }
    st32_le(io + 4, 0xfec00000u);
    aml_raw(&s->t, io, sizeof io);
    uint8_t timer[10] = {2, sizeof timer, 0, 0, 2}; /* IRQ 0 is input 2 */
    aml_raw(&s->t, timer, sizeof timer);
    for (unsigned i = 0; i < sizeof level; i++) {
        uint8_t o[10] = {2, sizeof o, 0, level[i], level[i], 0, 0, 0, 0x0d};
        aml_raw(&s->t, o, sizeof o);
    }
    uint8_t nmi[6] = {4, sizeof nmi, 0xff, 0, 0, 1};
    aml_raw(&s->t, nmi, sizeof nmi);
    end_table(s, at);
    return at;
}

static size_t make_hpet(struct tables *s)
{
    size_t at = begin_table(s, "HPET", 1);
    uint8_t h[20] = {0};
    st32_le(h, 0x8086a201u);
    st64_le(h + 8, 0xfed00000u);
    aml_raw(&s->t, h, sizeof h);
    end_table(s, at);
    return at;
}

static size_t make_mcfg(struct tables *s)
{
    size_t at = begin_table(s, "MCFG", 1);
    uint8_t m[24] = {0}; /* reserved; base, segment, first and last bus */
    st64_le(m + 8, EXPRESS_BASE);
    m[19] = EXPRESS_SIZE / 0x100000 - 1;
    aml_raw(&s->t, m, sizeof m);
    end_table(s, at);
    return at;
}

/* ---- the DSDT ---- */

/* A device of the ISA bridge: identification and resources. */
static void isa_device(struct aml *a, const char *name, const char *id, unsigned uid, struct aml *res)
{
    aml_device(a, name);
    aml_name_eisa(a, "_HID", id);
    if (uid) aml_name_int(a, "_UID", uid);
    aml_name_int(a, "_STA", 15);
    aml_name_resources(a, "_CRS", res);
    aml_end(a);
}

static void isa_devices(struct aml *a, const struct pc_tables *c)
{
    struct aml r = {0};
    res_io(&r, 0x60, 1, 1), res_io(&r, 0x64, 1, 1), res_irq(&r, 1);
    isa_device(a, "KBD", "PNP0303", 0, &r);
    res_irq(&r, 12);
    isa_device(a, "MOU", "PNP0F13", 0, &r);
    res_io(&r, 0x70, 2, 1), res_irq(&r, 8);
    isa_device(a, "RTC", "PNP0B00", 0, &r);
    if (c->fdc) {
        res_io(&r, 0x3f2, 4, 1), res_io(&r, 0x3f7, 1, 1), res_irq(&r, 6), res_dma(&r, 2);
        isa_device(a, "FDC0", "PNP0700", 0, &r);
    }
    if (c->parallel) {
        res_io(&r, 0x378, 8, 8), res_irq(&r, 7);
        isa_device(a, "LPT1", "PNP0400", 1, &r);
    }
    res_io(&r, 0x3f8, 8, 8), res_irq(&r, 4);
    isa_device(a, "COM1", "PNP0501", 1, &r);
    res_io(&r, 0x2f8, 8, 8), res_irq(&r, 3);
    isa_device(a, "COM2", "PNP0501", 2, &r);
}

/* An interrupt router: register `reg` of the ISA bridge. */
static void link_device(struct aml *a, const char *name, unsigned uid, const char *reg)
{
    static const uint32_t choices[] = {5, 10, 11};
    struct aml r = {0};
    const uint32_t none = 0;
    aml_device(a, name);
    aml_name_eisa(a, "_HID", "PNP0C0F");
    aml_name_int(a, "_UID", uid);
    res_interrupt(&r, choices, ARRAY_LEN(choices));
    aml_name_resources(a, "_PRS", &r);

    aml_method(a, "_STA", 0);
    aml_if(a);
    aml_byte(a, AML_AND), aml_path(a, reg), aml_int(a, 0x80), aml_byte(a, AML_NO_TARGET);
    aml_byte(a, AML_RETURN), aml_int(a, 9);
    aml_end(a);
    aml_byte(a, AML_RETURN), aml_int(a, 11);
    aml_end(a);

    aml_method(a, "_DIS", 0);
    aml_byte(a, AML_OR), aml_path(a, reg), aml_int(a, 0x80), aml_path(a, reg);
    aml_end(a);

    aml_method(a, "_CRS", 0);
    res_interrupt(&r, &none, 1);
    res_end(&r);
    aml_byte(a, AML_STORE), aml_buffer(a, r.data, r.len), aml_byte(a, AML_LOCAL0);
    aml_free(&r);
    aml_byte(a, AML_CREATE_DWORD), aml_byte(a, AML_LOCAL0), aml_int(a, 5), aml_path(a, "IRQN");
    aml_if(a);
    aml_byte(a, AML_LESS), aml_path(a, reg), aml_int(a, 0x80);
    aml_byte(a, AML_STORE), aml_path(a, reg), aml_path(a, "IRQN");
    aml_end(a);
    aml_byte(a, AML_RETURN), aml_byte(a, AML_LOCAL0);
    aml_end(a);

    aml_method(a, "_SRS", 1);
    aml_byte(a, AML_CREATE_DWORD), aml_byte(a, AML_ARG0), aml_int(a, 5), aml_path(a, "IRQN");
    aml_byte(a, AML_STORE), aml_path(a, "IRQN"), aml_path(a, reg);
    aml_end(a);
    aml_end(a);
}

/* A way that nothing routes. */
static void fixed_link(struct aml *a, const char *name, unsigned uid, uint32_t irq)
{
    struct aml r = {0};
    aml_device(a, name);
    aml_name_eisa(a, "_HID", "PNP0C0F");
    aml_name_int(a, "_UID", uid);
    aml_name_int(a, "_STA", 11);
    res_interrupt(&r, &irq, 1);
    aml_name_resources(a, "_PRS", &r);
    res_interrupt(&r, &irq, 1);
    aml_name_resources(a, "_CRS", &r);
    aml_method(a, "_SRS", 1);
    aml_end(a);
    aml_method(a, "_DIS", 0);
    aml_end(a);
    aml_end(a);
}

static void route_entry(struct aml *a, unsigned slot, unsigned pin, const char *link)
{
    aml_package(a, 4);
    aml_int(a, slot << 16 | 0xffff);
    aml_int(a, pin);
    aml_path(a, link);
    aml_int(a, 0);
    aml_end(a);
}

static const char *const links[] = {"LNKA", "LNKB", "LNKC", "LNKD", "LNKE", "LNKF", "LNKG", "LNKH"};
static const char *const gsi_links[] = {"GSIA", "GSIB", "GSIC", "GSID", "GSIE", "GSIF", "GSIG", "GSIH"};

/* Slot s pin p is PIRQ (s - 1 + p) & 3, but for the SCI of the power management function. */
static void routing(struct aml *a)
{
    aml_name(a, "_PRT");
    aml_package(a, 31 * 4);
    for (unsigned slot = 1; slot < 32; slot++) {
        for (unsigned pin = 0; pin < 4; pin++)
            route_entry(a, slot, pin, slot == 1 && pin == 0 ? "LNKS" : links[(slot - 1 + pin) & 3]);
    }
    aml_end(a);
}

/* The Q35's: through the links with the 8259s, to inputs of its own with the I/O APIC; _PIC says which (PICF). */
static void q35_routing(struct aml *a)
{
    static const char *const names[2] = {"PRTP", "PRTA"};
    for (unsigned apic = 0; apic < 2; apic++) {
        aml_name(a, names[apic]);
        aml_package(a, 31 * 4);
        for (unsigned slot = 1; slot < 32; slot++) {
            for (unsigned pin = 0; pin < 4; pin++) {
                unsigned pirq = ich9_pin_map(slot << 3, pin);
                route_entry(a, slot, pin, apic ? gsi_links[pirq] : links[pirq]);
            }
        }
        aml_end(a);
    }
    aml_method(a, "_PRT", 0);
    aml_if(a);
    aml_path(a, "\\PICF");
    aml_byte(a, AML_RETURN), aml_path(a, names[1]);
    aml_end(a);
    aml_byte(a, AML_RETURN), aml_path(a, names[0]);
    aml_end(a);
}

/* The operating system may have hot plugging, power management events, error reporting and the PCI Express capability. */
static void osc_method(struct aml *a)
{
    aml_method(a, "_OSC", 4);
    aml_byte(a, AML_CREATE_DWORD), aml_byte(a, AML_ARG3), aml_int(a, 8), aml_path(a, "CDW3");
    aml_byte(a, AML_AND), aml_path(a, "CDW3"), aml_int(a, 0x1d), aml_path(a, "CDW3");
    aml_byte(a, AML_RETURN), aml_byte(a, AML_ARG3);
    aml_end(a);
}

/* Memory that is no PCI device's. */
static void q35_memory(struct aml *a)
{
    struct aml r = {0};
    aml_device(a, "DRAC");
    aml_name_eisa(a, "_HID", "PNP0C02");
    res_memory(&r, EXPRESS_BASE, EXPRESS_SIZE, true);
    res_memory(&r, RCRB_BASE, RCRB_SIZE, true);
    aml_name_resources(a, "_CRS", &r);
    aml_end(a);
}

static void pci_host(struct aml *a, const struct pc_tables *c)
{
    static const char *const regs[] = {"PRQA", "PRQB", "PRQC", "PRQD", "PRQE", "PRQF", "PRQG", "PRQH"};
    struct aml r = {0};
    aml_device(a, "PCI0");
    aml_name_eisa(a, "_HID", c->q35 ? "PNP0A08" : "PNP0A03");
    if (c->q35) aml_name_eisa(a, "_CID", "PNP0A03"), osc_method(a);
    aml_name_int(a, "_ADR", 0);
    aml_name_int(a, "_UID", 0);
    res_window16(&r, RES_BUS, 0, 0xff);
    res_io(&r, 0xcf8, 8, 1);
    res_window16(&r, RES_IO, 0, 0xcf7);
    res_window16(&r, RES_IO, 0xd00, 0xffff);
    res_window32(&r, RES_MEMORY, 0xa0000, 0xbffff);
    res_window32(&r, RES_MEMORY, c->q35 ? EXPRESS_BASE + EXPRESS_SIZE : (uint32_t)MAX(c->low_ram, 0x80000000u), 0xfebfffff);
    aml_name_resources(a, "_CRS", &r);
    if (c->q35) q35_routing(a);
    else routing(a);
    aml_device(a, "ISA");
    aml_name_int(a, "_ADR", c->q35 ? 0x1f0000 : 0x10000);
    aml_region(a, "PIRQ", 2, 0x60, c->q35 ? 12 : 4);
    aml_field(a, "PIRQ");
    for (unsigned i = 0; i < (c->q35 ? 8u : 4u); i++) {
        if (i == 4) aml_field_unit(a, NULL, 32);
        aml_field_unit(a, regs[i], 8);
    }
    aml_end(a);
    isa_devices(a, c);
    aml_end(a);
    aml_end(a);
}

static size_t make_dsdt(struct tables *s, const struct pc_tables *c)
{
    size_t at = begin_table(s, "DSDT", 1);
    struct aml *a = &s->t, r = {0};
    if (c->q35) {
        aml_name_int(a, "\\PICF", 0);
        aml_method(a, "\\_PIC", 1);
        aml_byte(a, AML_STORE), aml_byte(a, AML_ARG0), aml_path(a, "\\PICF");
        aml_end(a);
    }
    aml_scope(a, "\\_SB");
    pci_host(a, c);
    for (unsigned i = 0; i < (c->q35 ? 8u : 4u); i++) {
        char reg[32];
        snprintf(reg, sizeof reg, "\\_SB.PCI0.ISA.PRQ%c", 'A' + i);
        link_device(a, links[i], i, reg);
        if (c->q35) fixed_link(a, gsi_links[i], 16 + i, ICH9_OUT_GSI + i);
    }
    if (c->q35) q35_memory(a);
    else fixed_link(a, "LNKS", 4, SCI);
    if (c->hpet) {
        aml_device(a, "HPET");
        aml_name_eisa(a, "_HID", "PNP0103");
        aml_name_int(a, "_UID", 0);
        res_memory(&r, 0xfed00000u, 0x400, false);
        aml_name_resources(a, "_CRS", &r);
        aml_end(a);
    }
    for (unsigned i = 0; i < c->n_cpus; i++) {
        char name[8];
        snprintf(name, sizeof name, "C%03X", i & 0xfff);
        aml_processor(a, name, (uint8_t)i);
    }
    aml_end(a);
    aml_name(a, "\\_S5");
    aml_package(a, 4);
    for (unsigned i = 0; i < 4; i++)
        aml_int(a, c->q35 && i < 2 ? 7 : 0); /* the soft off type of the ICH9 is 7, the PIIX4's 0 */
    aml_end(a);
    end_table(s, at);
    return at;
}

static size_t make_rsdt(struct tables *s, const size_t *tables, unsigned n)
{
    size_t at = begin_table(s, "RSDT", 1);
    for (unsigned i = 0; i < n; i++) {
        uint8_t p[4];
        st32_le(p, (uint32_t)tables[i]);
        add_pointer(&s->loader, tables_file, s->t.len);
        aml_raw(&s->t, p, sizeof p);
    }
    end_table(s, at);
    return at;
}

/* Adds what -acpitable says to the list. An SLIC's OEM goes to the FADT and the RSDT, as its readers compare them. */
static int add_user_tables(struct tables *s, const char *const *texts, size_t *list, unsigned *n, uint8_t oem[14],
                           struct error *e)
{
    for (unsigned i = 0; texts && texts[i]; i++) {
        uint32_t size;
        if (i == MAX_USER_TABLES) return error_set(e, "at most %d tables can be added by -acpitable", MAX_USER_TABLES);
        uint8_t *t = pc_acpi_user_table(texts[i], &size, e);
        if (!t) return -1;
        align_to(&s->t, 16);
        list[(*n)++] = s->t.len;
        if (!memcmp(t, "SLIC", 4)) memcpy(oem, t + 10, 14);
        aml_raw(&s->t, t, size);
        mem_free(t);
    }
    return 0;
}

int pc_acpi_tables(struct device *fw_cfg, const struct pc_tables *c, struct error *e)
{
    struct tables s = {{0}, {0}};
    uint8_t rsdp[20] = "RSD PTR ", oem[14] = {0};
    size_t list[4 + MAX_USER_TABLES];
    unsigned n = 0;
    allocate(&s.loader, tables_file, 64, ZONE_HIGH);
    allocate(&s.loader, rsdp_file, 16, ZONE_FSEG);
    size_t facs = make_facs(&s), dsdt = make_dsdt(&s, c);
    list[n++] = make_fadt(&s, facs, dsdt);
    list[n++] = make_madt(&s, c);
    if (c->hpet) list[n++] = make_hpet(&s);
    if (c->q35) list[n++] = make_mcfg(&s);
    int rc = add_user_tables(&s, c->acpi_tables, list, &n, oem, e);
    size_t rsdt = make_rsdt(&s, list, n);
    if (oem[0]) memcpy(s.t.data + rsdt + 10, oem, sizeof oem), memcpy(s.t.data + list[0] + 10, oem, sizeof oem);
    st32_le(rsdp + 16, (uint32_t)rsdt);
    memcpy(rsdp + 9, "QUERN ", 6);
    add_pointer(&s.loader, rsdp_file, 16);
    add_checksum(&s.loader, rsdp_file, 8, 0, sizeof rsdp);
    if (!rc) rc = fw_cfg_add_file(fw_cfg, tables_file, s.t.data, (uint32_t)s.t.len, e);
    if (!rc) rc = fw_cfg_add_file(fw_cfg, rsdp_file, rsdp, sizeof rsdp, e);
    if (!rc) rc = fw_cfg_add_file(fw_cfg, "etc/table-loader", s.loader.data, (uint32_t)s.loader.len, e);
    aml_free(&s.t);
    aml_free(&s.loader);
    return rc;
}
