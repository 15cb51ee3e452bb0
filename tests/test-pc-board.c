/*
 * test-pc-board.c - the board pc with firmware of a few instructions: the reset vector, CMOS, PCI configuration, the timer's
 * interrupt through 8259s and the local APIC's virtual wire, save and load in the middle, what -device takes, and the messages
 * for what cannot be.
 */
#include "periph/devices.h"
#include "tests/pc-machine.h"

/* Stores CMOS 3Dh, 38h and the host bridge's identification at 500h, then counts the timer's interrupts (1 kHz) at 508h:
 *
 *   xor ax,ax; mov ds,ax; mov ss,ax; mov sp,7000h; mov al,0bdh; out 70h,al; in al,71h; mov [500h],al; mov al,38h; out 70h,al;
 *   in al,71h; mov [501h],al; mov dx,0cf8h; mov eax,80000000h; out dx,eax; mov dx,0cfch; in eax,dx; mov [504h],eax;
 *   8259s: ICW1 11h, vectors 8 and 70h, cascade, ICW4 1, masks feh, ffh; vector 8 to `tick`; 8254: counter 0, mode 2, 4a9h;
 *   sti; again: hlt; jmp again; tick: push ax; inc word [508h]; mov al,20h; out 20h,al; pop ax; iret
 */
/* clang-format off */
static const uint8_t firmware[] = {
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x70, 0xb0, 0xbd, 0xe6, 0x70, 0xe4,
    0x71, 0xa2, 0x00, 0x05, 0xb0, 0x38, 0xe6, 0x70, 0xe4, 0x71, 0xa2, 0x01, 0x05, 0xba,
    0xf8, 0x0c, 0x66, 0xb8, 0x00, 0x00, 0x00, 0x80, 0x66, 0xef, 0xba, 0xfc, 0x0c, 0x66,
    0xed, 0x66, 0xa3, 0x04, 0x05, 0xb0, 0x11, 0xe6, 0x20, 0xe6, 0xa0, 0xb0, 0x08, 0xe6,
    0x21, 0xb0, 0x70, 0xe6, 0xa1, 0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x02, 0xe6, 0xa1, 0xb0,
    0x01, 0xe6, 0x21, 0xe6, 0xa1, 0xb0, 0xfe, 0xe6, 0x21, 0xb0, 0xff, 0xe6, 0xa1, 0xc7,
    0x06, 0x20, 0x00, 0x6f, 0x00, 0xc7, 0x06, 0x22, 0x00, 0x00, 0xf0, 0xb0, 0x34, 0xe6,
    0x43, 0xb0, 0xa9, 0xe6, 0x40, 0xb0, 0x04, 0xe6, 0x40, 0xfb, 0xf4, 0xeb, 0xfd, 0x50,
    0xff, 0x06, 0x08, 0x05, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf,
};
/* clang-format on */
enum { ROM_SIZE = 0x10000 };

static char *rom_file(size_t size)
{
    static const uint8_t vector[] = {0xea, 0, 0, 0, 0xf0}; /* jmp f000:0000 */
    uint8_t *rom = mem_zalloc(size);
    memcpy(rom, firmware, sizeof firmware);
    if (size >= ROM_SIZE) memcpy(rom + size - 16, vector, sizeof vector);
    char *path = pc_rom_file(rom, size);
    mem_free(rom);
    return path;
}

static uint64_t peek(struct machine *m, uint64_t addr, unsigned size)
{
    uint64_t v = 0;
    as_read(m->mb->mem, addr, size, &v);
    return v;
}

static void test_firmware(const char *target, const char *bios)
{
    struct error e = ERROR_INIT;
    struct machine_config c = pc_config(target, bios);
    struct machine *m = pc_make(&c), *n = pc_make(&c);
    if (!m || !n) return;
    CHECK(peek(m, 0xfffffff0u, 1) == 0xea && peek(m, 0xffff0, 1) == 0xea);
    machine_step(m, 100000);
    CHECK(peek(m, 0x500, 1) == 0x12 && peek(m, 0x501, 1) == 0x30); /* disk, floppy, CD */
    CHECK(peek(m, 0x504, 4) == 0x12378086u);
    machine_step(m, 1250000); /* 10 ms */
    CHECK(peek(m, 0x508, 2) >= 9 && peek(m, 0x508, 2) <= 11);

    struct state_buf b = {0};
    CHECK(machine_save(m, &b, &e) == 0);
    CHECK(machine_load(n, &b, &e) == 0);
    if (e.set) printf("%s\n", e.msg);
    CHECK(machine_hash(m) == machine_hash(n));
    machine_step(m, 2000000);
    machine_step(n, 2000000);
    CHECK(machine_hash(m) == machine_hash(n));
    state_buf_free(&b);

    machine_reset(m);
    machine_step(m, 100000);
    CHECK(peek(m, 0x504, 4) == 0x12378086u);
    machine_delete(m);
    machine_delete(n);
}

static void test_memory(const char *bios)
{
    struct machine_config c = pc_config("x86_64", bios);
    c.ram_size = UINT64_C(5) << 30;
    c.n_cpus = 2;
    struct machine *m = pc_make(&c);
    if (!m) return;
    as_write(m->mb->mem, UINT64_C(0xbffffff8), 8, 0x1122);
    as_write(m->mb->mem, UINT64_C(0x17ffffff8), 8, 0x3344);
    CHECK(peek(m, 0xbffffff8u, 8) == 0x1122 && peek(m, UINT64_C(0x17ffffff8), 8) == 0x3344);
    CHECK(peek(m, 0xc0000000u, 1) == 0xff);
    CHECK(peek(m, 0xfed00000u, 4) == 0x8086a201u);
    CHECK(m->n_cpus == 2 && m->cpu[1]->halted);
    machine_delete(m);
}

/* Writes configuration space as a guest does. */
static void set_pci(struct machine *m, unsigned devfn, unsigned reg, uint32_t v)
{
    as_write(m->mb->io, 0xcf8, 4, 0x80000000u | devfn << 8 | reg);
    as_write(m->mb->io, 0xcfc, 4, v);
}

/* The VGA's memory belongs to the state whether it is mapped or not, also in a machine where it never was. */
static void test_vga_memory(const char *bios)
{
    static const struct machine_prop place[] = {{"addr", "02.0"}};
    static const struct machine_device vga = {.driver = "VGA", .props = place, .n_props = 1};
    struct error e = ERROR_INIT;
    struct machine_config c = pc_config("i386", bios);
    c.devices = &vga, c.n_devices = 1;
    for (unsigned mapped = 0; mapped < 2; mapped++) {
        struct machine *m = pc_make(&c), *n = pc_make(&c);
        if (!m || !n) return;
        uint64_t empty = machine_hash(m);
        CHECK(empty == machine_hash(n));
        set_pci(m, 0x10, 0x10, 0xe0000000u);
        set_pci(m, 0x10, 4, 2);
        CHECK(as_write(m->mb->mem, 0xe0001234u, 4, 0x55667788) && peek(m, 0xe0001234u, 4) == 0x55667788);
        uint64_t h = machine_hash(m);
        if (!mapped) set_pci(m, 0x10, 4, 0);
        if (!mapped) set_pci(m, 0x10, 0x10, 0);
        CHECK(machine_hash(m) != empty && (mapped || machine_hash(m) != h));
        struct state_buf b = {0};
        CHECK(machine_save(m, &b, &e) == 0 && machine_load(n, &b, &e) == 0);
        if (e.set) printf("%s\n", e.msg);
        CHECK(machine_hash(m) == machine_hash(n));
        set_pci(n, 0x10, 0x10, 0xe0000000u);
        set_pci(n, 0x10, 4, 2);
        CHECK(peek(n, 0xe0001234u, 4) == 0x55667788);
        state_buf_free(&b);
        machine_delete(m);
        machine_delete(n);
    }
}

static void test_order(const char *bios)
{
    struct machine_config c = pc_config("i386", bios);
    c.boot_order = "dan";
    struct machine *m = pc_make(&c);
    if (!m) return;
    machine_step(m, 100000);
    CHECK(peek(m, 0x500, 1) == 0x13 && peek(m, 0x501, 1) == 0x40);
    machine_delete(m);
}

static void refused(struct machine_config *c, const char *text)
{
    struct error e = ERROR_INIT;
    struct machine *m = machine_new(c, &e);
    CHECK(!m && strstr(e.msg, text) != NULL);
    if (!m && !strstr(e.msg, text)) printf("%s\n", e.msg);
    machine_delete(m);
}

static void test_bad(const char *bios)
{
    static const struct machine_prop no_place[] = {{"addr", "01.0"}};
    struct machine_device d = {.driver = "nothing"};
    struct machine_config c = pc_config("i386", bios);
    char *odd = rom_file(ROM_SIZE + 512), *kernel = rom_file(4096);
    c.devices = &d, c.n_devices = 1;
    refused(&c, "not a valid device model");
    d.driver = "i8042";
    refused(&c, "pluggable");
    d.driver = "VGA", d.props = no_place, d.n_props = 1;
    refused(&c, "not available");
    c = pc_config("i386", odd);
    refused(&c, "multiple of 64 KiB");
    c = pc_config("i386", "/nonexistent/bios.bin");
    refused(&c, "Could not find firmware");
    c = pc_config("i386", bios);
    c.ram_size = 65536;
    refused(&c, "at least 1 MiB");
    c = pc_config("i386", bios);
    c.boot_order = "x";
    refused(&c, "Invalid boot device");
    c = pc_config("i386", bios);
    c.kernel = kernel;
    refused(&c, "is no kernel for a PC");
    unlink(odd), unlink(kernel);
    mem_free(odd), mem_free(kernel);
}

int main(void)
{
    periph_register_all();
    char *bios = rom_file(ROM_SIZE);
    CHECK(board_find("pc-i440fx-7.2", isa_find("x86-64")) == board_find("pc", isa_find("x86-64")));
    test_firmware("i386", bios);
    test_firmware("x86_64", bios);
    test_memory(bios);
    test_vga_memory(bios);
    test_order(bios);
    test_bad(bios);
    unlink(bios);
    mem_free(bios);
    return count_report();
}
