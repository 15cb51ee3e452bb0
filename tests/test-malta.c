/*
 * test-malta.c - the boards malta and mipssim as -kernel starts them: what lies in memory and
 * registers, a kernel of a few instructions that runs, reset, power, save and load, and the
 * messages for what cannot be loaded.
 */
#include "isa/mips/mips.h"
#include "machines/boot/mips-linux.h"
#include "machines/machine.h"
#include "periph/devices.h"
#include "tests/count.h"

#include <stdlib.h>
#include <unistd.h>

enum { CODE = 0x1000, WORDS = 16 };

/* The kernel: stores to RAM, then waits forever. */
static const uint32_t program[WORDS] = {
    0x3c088000,             /* lui   t0, 0x8000 */
    0x35084000,             /* ori   t0, t0, 0x4000 */
    0xad040000,             /* sw    a0, 0(t0) */
    0xad070004,             /* sw    a3, 4(t0) */
    0x3c09bbe0,             /* lui   t1, 0xbbe0: the system controller */
    0x8d2a0068,             /* lw    t2, 0x68(t1) */
    0xad0a0008,             /* sw    t2, 8(t0) */
    0x3c09b800,             /* lui   t1, 0xb800: ports */
    0x912a01f7,             /* lbu   t2, 0x1f7(t1): no drive */
    0xad0a000c,             /* sw    t2, 12(t0) */
    0x3c09bfc0,             /* lui   t1, 0xbfc0 */
    0x8d2a0010,             /* lw    t2, 0x10(t1): board revision */
    0xad0a0010,             /* sw    t2, 16(t0) */
    0x1000ffff, 0x00000000, /* b . ; nop */
};

static char *temp_file(const void *data, size_t n)
{
    char *path = mem_strdup("/tmp/quern-test-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    close(fd);
    return path;
}

static void put16(uint8_t *p, bool be, uint16_t v)
{
    if (be)
        st16_be(p, v);
    else
        st16_le(p, v);
}

static void put32(uint8_t *p, bool be, uint32_t v)
{
    if (be)
        st32_be(p, v);
    else
        st32_le(p, v);
}

static uint32_t get32(const uint8_t *p, bool be)
{
    return be ? ld32_be(p) : ld32_le(p);
}

static char *make_kernel(bool be)
{
    uint8_t f[96 + 4 * WORDS] = "\177ELF\1\1\1";
    f[5] = be ? 2 : 1;
    put16(f + 16, be, 2), put16(f + 18, be, 8), put32(f + 20, be, 1);
    put32(f + 24, be, 0x80000000u + CODE), put32(f + 28, be, 52);
    put16(f + 40, be, 52), put16(f + 42, be, 32), put16(f + 44, be, 1);
    put32(f + 52, be, 1), put32(f + 56, be, 96), put32(f + 60, be, 0x80000000u + CODE);
    put32(f + 68, be, 4 * WORDS), put32(f + 72, be, 4 * WORDS);
    for (unsigned i = 0; i < WORDS; i++)
        put32(f + 96 + 4 * i, be, program[i]);
    return temp_file(f, sizeof f);
}

static struct machine_config config(const char *target, const char *board)
{
    struct machine_config c = {0};
    bool be = false;
    c.isa = isa_find_target(target, &be);
    c.big_endian = be;
    c.board = board_find(board, c.isa);
    c.ram_size = 16 << 20;
    c.icount_shift = 3;
    return c;
}

static uint8_t *ram(struct machine *m, uint64_t addr)
{
    uint64_t n = 4096;
    bool readonly;
    return as_host(m->mb->mem, addr, &n, &readonly);
}

/* The string that entry i of the pointers at YAMON's block points to. */
static const char *argument(struct machine *m, unsigned i, bool be)
{
    uint32_t p = get32(ram(m, MIPS_YAMON_ENV) + 4 * i, be);
    return p ? (const char *)ram(m, p & 0x1fffffff) : NULL;
}

static void test_boot(const char *target)
{
    struct error e = ERROR_INIT;
    struct machine_config c = config(target, "malta");
    char *kernel = make_kernel(c.big_endian), *initrd = temp_file("ramdisk", 7);
    c.kernel = kernel, c.initrd = initrd, c.append = "console=ttyS0";
    struct machine *m = machine_new(&c, &e), *n = machine_new(&c, &e);
    if (!m) printf("%s\n", e.msg);
    CHECK(m && n);
    if (!m || !n) return;
    bool be = c.big_endian;
    struct mips_cpu *cpu = mips_cpu(m->cpu[0]);
    CHECK((uint32_t)mips_get_pc(cpu) == 0x80000000u + CODE);
    CHECK(mips_gpr(cpu, 4) == 2 && (uint32_t)mips_gpr(cpu, 5) == 0x80002000);
    CHECK((uint32_t)mips_gpr(cpu, 6) == 0x80002008 && mips_gpr(cpu, 7) == 16 << 20);
    CHECK(!strcmp(argument(m, 0, be), kernel));
    CHECK(!strcmp(argument(m, 1, be), "rd_start=0xffffffff80ff0000 rd_size=7 console=ttyS0"));
    CHECK(!memcmp(ram(m, 0xff0000), "ramdisk", 8));
    CHECK(!strcmp(argument(m, 2, be), "memsize") && !strcmp(argument(m, 3, be), "16777216"));
    CHECK(!strcmp(argument(m, 6, be), "modetty0") && argument(m, 8, be) == NULL);

    machine_step(m, 1000);
    const uint8_t *out = ram(m, 0x4000);
    CHECK(get32(out, be) == 2 && get32(out + 4, be) == 16 << 20);
    CHECK(get32(out + 8, be) == (be ? 0xdf000000 : 0xdf)); /* the registers are little-endian */
    CHECK(get32(out + 16, be) == 0x420);
    CHECK(ram(m, 0x80004000) == ram(m, 0x4000)); /* the alias */

    struct state_buf s = {0};
    CHECK(machine_save(m, &s, &e) == 0);
    CHECK(machine_load(n, &s, &e) == 0);
    CHECK(machine_hash(m) == machine_hash(n));
    machine_step(m, 5000), machine_step(n, 5000);
    CHECK(machine_hash(m) == machine_hash(n));
    state_buf_free(&s);

    memset(ram(m, CODE), 0xff, 4 * WORDS); /* reset brings the kernel back */
    machine_reset(m);
    CHECK(get32(ram(m, CODE), be) == program[0]);
    CHECK((uint32_t)mips_get_pc(cpu) == 0x80000000u + CODE);
    machine_delete(m);
    machine_delete(n);
    unlink(kernel), unlink(initrd);
    mem_free(kernel), mem_free(initrd);
}

/* No machine, and a message that has `text` in it. */
static bool refused(const struct machine_config *c, const char *text)
{
    struct error e = ERROR_INIT;
    struct machine *m = machine_new(c, &e);
    bool ok = !m && strstr(e.msg, text);
    if (!ok) printf("expected '%s', got '%s'\n", text, m ? "a machine" : e.msg);
    machine_delete(m);
    return ok;
}

static void test_errors(void)
{
    struct machine_config c = config("mipsel", "malta");
    char *wrong = make_kernel(true), *right = make_kernel(false), *text = temp_file("hello", 5);
    CHECK(refused(&c, "needs a kernel"));
    c.kernel = "/nonexistent/kernel";
    CHECK(refused(&c, "/nonexistent/kernel"));
    c.kernel = text;
    CHECK(refused(&c, "not an ELF file"));
    c.kernel = wrong;
    CHECK(refused(&c, "endianness"));
    c.kernel = right;
    c.initrd = "/nonexistent/initrd";
    CHECK(refused(&c, "/nonexistent/initrd"));
    c.initrd = text;
    c.ram_size = 65536;
    CHECK(refused(&c, "memory too small"));
    c.initrd = NULL;
    c.ram_size = UINT64_C(4) << 30;
    CHECK(refused(&c, "more than"));
    c.ram_size = 16 << 20;
    char *long_line = mem_zalloc(20000);
    memset(long_line, 'x', 19999);
    c.append = long_line;
    CHECK(refused(&c, "too long"));
    c.append = NULL;
    struct drive_config drive = {.interface = DRIVE_SD, .id = "sd0"};
    c.drives = &drive, c.n_drives = 1;
    CHECK(refused(&c, "sd0"));
    c.n_drives = 0;
    c.kernel = NULL, c.bios = "no-such-firmware.bin";
    CHECK(refused(&c, "no-such-firmware.bin"));
    mem_free(long_line);
    unlink(wrong), unlink(right), unlink(text);
    mem_free(wrong), mem_free(right), mem_free(text);
}

static void test_bios(void)
{
    struct error e = ERROR_INIT;
    static const uint8_t image[8] = {0x10, 0, 0xff, 0xff, 0, 0, 0, 0}; /* b . ; nop, big-endian */
    char *path = temp_file(image, sizeof image);
    for (int be = 0; be < 2; be++) {
        struct machine_config c = config(be ? "mips" : "mipsel", "malta");
        c.bios = path;
        struct machine *m = machine_new(&c, &e);
        CHECK(m != NULL);
        if (!m) continue;
        CHECK((uint32_t)mips_get_pc(mips_cpu(m->cpu[0])) == 0xbfc00000);
        CHECK(get32(ram(m, 0x1fc00000), be) == 0x1000ffff &&
              get32(ram(m, 0x1fc00010), be) == 0x420);
        machine_step(m, 100);
        CHECK((uint32_t)mips_get_pc(mips_cpu(m->cpu[0])) - 0xbfc00000 <= 8);
        machine_delete(m);
    }
    unlink(path);
    mem_free(path);
}

static void test_mipssim(void)
{
    struct error e = ERROR_INIT;
    struct machine_config c = config("mipsel", "mipssim");
    char *kernel = make_kernel(false);
    c.kernel = kernel;
    struct machine *m = machine_new(&c, &e);
    CHECK(m != NULL);
    if (m) {
        uint64_t v = 0;
        CHECK((uint32_t)mips_get_pc(mips_cpu(m->cpu[0])) == 0x80000000u + CODE);
        CHECK(as_read(m->mb->mem, 0x1fd003fd, 1, &v) && (v & 0x60) == 0x60);
        CHECK(as_read(m->mb->mem, 0x1fd04210, 4, &v));
        machine_delete(m);
    }
    unlink(kernel);
    mem_free(kernel);
}

int main(void)
{
    periph_register_all();
    test_boot("mipsel");
    test_boot("mips");
    test_boot("mips64el");
    test_boot("mips64");
    test_errors();
    test_bios();
    test_mipssim();
    return count_report();
}
