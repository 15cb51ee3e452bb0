/*
 * test-x86-topology.c - where the CPUs of a PC are, as CPUID says it (the values of sockets, cores and threads are those that
 * another emulator of PCs gives its guests), and the MSRs behind which a local APIC is: x2APIC mode and the TSC deadline, also
 * saved and loaded in the middle.
 */
#include "isa/x86/sys.h"
#include "periph/devices.h"
#include "tests/pc-machine.h"

static char *rom_file(void)
{
    enum { SIZE = 0x10000 };
    uint8_t *rom = mem_zalloc(SIZE);
    rom[SIZE - 16] = 0xeb, rom[SIZE - 15] = 0xfe; /* jmp to itself */
    char *path = pc_rom_file(rom, SIZE);
    mem_free(rom);
    return path;
}

static struct machine_config config(const char *bios, const char *cpu)
{
    struct machine_config c = pc_config("x86_64", bios);
    c.cpu = isa_find_model(c.isa, cpu);
    return c;
}

/* ---- CPUID ---- */

struct expected { unsigned cpu; uint32_t leaf, sub, mask[4], r[4]; };

static void check_leaves(struct machine *m, const struct expected *x, unsigned n)
{
    for (unsigned i = 0; i < n; i++, x++) {
        struct x86_cpu *cpu = x86_cpu(m->cpu[x->cpu]);
        uint32_t r[4];
        x86_cpuid(cpu, x->leaf, x->sub, r);
        x86_sys_cpuid(cpu, x->leaf, x->sub, r);
        for (unsigned k = 0; k < 4; k++) {
            CHECK((r[k] & x->mask[k]) == x->r[k]);
            if ((r[k] & x->mask[k]) != x->r[k]) printf("CPU %u, leaf %x.%u, word %u: %08x\n", x->cpu, (unsigned)x->leaf, (unsigned)x->sub, k, (unsigned)r[k]);
        }
    }
}

/* clang-format off */
#define ALL_4 { ~0u, ~0u, ~0u, ~0u }
#define LEAF_1 { ~0u, ~0u, 0, 1u << 28 }
static const struct expected qemu64_2_2_2[] = {
    { 0, 1, 0, LEAF_1, { 0x60fb1, 0x00040800, 0, 1u << 28 } }, { 5, 1, 0, LEAF_1, { 0x60fb1, 0x05040800, 0, 1u << 28 } },
    { 0, 4, 0, ALL_4, { 0 } }, { 3, 0xb, 0, ALL_4, { 1, 2, 0x100, 3 } }, { 3, 0xb, 1, ALL_4, { 2, 4, 0x201, 3 } }, { 3, 0xb, 2, ALL_4, { 0, 0, 2, 3 } },
    { 0, 0x1f, 0, ALL_4, { 0 } }, { 0, 0x80000001, 0, { 0, 0, 2, 0 }, { 0, 0, 2, 0 } }, { 0, 0x80000008, 0, { ~0u, ~0u, ~0u, 0 }, { 0x3028, 0, 0x2003, 0 } },
};
static const struct expected nehalem_2_2_2[] = {
    { 0, 0, 0, { ~0u }, { 0xb } }, { 4, 1, 0, LEAF_1, { 0x106a3, 0x04040800, 0, 1u << 28 } },
    { 0, 4, 0, ALL_4, { 0x04000121, 0x01c0003f, 63, 1 } }, { 0, 4, 1, ALL_4, { 0x04000122, 0x01c0003f, 63, 1 } },
    { 0, 4, 2, ALL_4, { 0x04004143, 0x03c0003f, 4095, 1 } }, { 0, 4, 3, ALL_4, { 0x0400c163, 0x03c0003f, 16383, 6 } }, { 0, 4, 4, ALL_4, { 0 } },
    { 4, 0xb, 0, ALL_4, { 1, 2, 0x100, 4 } }, { 4, 0xb, 1, ALL_4, { 2, 4, 0x201, 4 } },
};
static const struct expected epyc_4[] = {
    { 2, 1, 0, LEAF_1, { 0x800f12, 0x02040800, 0, 1u << 28 } }, { 2, 0xb, 0, ALL_4, { 0, 1, 0x100, 2 } }, { 2, 0xb, 1, ALL_4, { 2, 4, 0x201, 2 } },
    { 2, 0x80000005, 0, ALL_4, { 0x01ff01ff, 0x01ff01ff, 0x20080140, 0x40040140 } }, { 2, 0x80000006, 0, ALL_4, { 0, 0x42004200, 0x02006140, 0x00408140 } },
    { 2, 0x80000008, 0, { 0, 0, ~0u, 0 }, { 0, 0, 0x2003, 0 } },
};
/* 2 packages of 2 dies of 3 cores: the ids leave holes */
static const struct expected dies[] = {
    { 0, 0, 0, { ~0u }, { 0x1f } }, { 5, 1, 0, { 0, ~0u, 0, 0 }, { 0, 0x06060800, 0, 0 } }, { 6, 1, 0, { 0, ~0u, 0, 0 }, { 0, 0x08060800, 0, 0 } },
    { 11, 0x1f, 0, ALL_4, { 0, 1, 0x100, 14 } }, { 11, 0x1f, 1, ALL_4, { 2, 3, 0x201, 14 } }, { 11, 0x1f, 2, ALL_4, { 3, 6, 0x502, 14 } },
    { 11, 0x1f, 3, ALL_4, { 0, 0, 3, 14 } }, { 11, 0xb, 1, ALL_4, { 3, 6, 0x201, 14 } },
};
static const struct expected alone[] = {
    { 0, 1, 0, LEAF_1, { 0x106a3, 0x00010800, 0, 0 } }, { 0, 4, 0, ALL_4, { 0x121, 0x01c0003f, 63, 1 } }, { 0, 0x80000008, 0, { ~0u, 0, ~0u, 0 }, { 0x3028, 0, 0, 0 } },
};
/* clang-format on */

static void test_places(const char *bios)
{
    static const struct { const char *cpu; unsigned n, max, dies, cores, threads; const struct expected *x; size_t n_x; } list[] = {
        { "qemu64", 8, 8, 1, 2, 2, qemu64_2_2_2, ARRAY_LEN(qemu64_2_2_2) },
        { "Nehalem", 6, 8, 1, 2, 2, nehalem_2_2_2, ARRAY_LEN(nehalem_2_2_2) },
        { "EPYC", 4, 4, 1, 4, 1, epyc_4, ARRAY_LEN(epyc_4) },
        { "Nehalem", 12, 12, 2, 3, 1, dies, ARRAY_LEN(dies) },
        { "Nehalem", 1, 1, 1, 1, 1, alone, ARRAY_LEN(alone) },
        { "Nehalem", 1, 0, 0, 0, 0, alone, ARRAY_LEN(alone) },
    };
    for (unsigned i = 0; i < ARRAY_LEN(list); i++) {
        struct machine_config c = config(bios, list[i].cpu);
        c.n_cpus = list[i].n, c.max_cpus = list[i].max, c.dies = list[i].dies, c.cores = list[i].cores, c.threads = list[i].threads;
        struct machine *m = pc_make(&c);
        if (!m) continue;
        check_leaves(m, list[i].x, (unsigned)list[i].n_x);
        machine_delete(m);
    }
    struct error e = ERROR_INIT;
    struct machine_config c = config(bios, "Nehalem");
    c.n_cpus = c.max_cpus = 250, c.cores = 5; /* 50 packages of 8 ids */
    CHECK(!machine_new(&c, &e) && strstr(e.msg, "APIC ids"));
}

/* ---- MSRs ---- */

enum { BASE = 0x1b, TSC = 0x10, DEADLINE = 0x6e0, X2 = 0x800 };

static bool intr(struct machine *m) { return x86_cpu(m->cpu[0])->pins >> X86_PIN_INTR & 1; }
static uint64_t rd(struct machine *m, uint32_t msr)
{
    uint64_t v = 0;
    CHECK(x86_msr_read(x86_cpu(m->cpu[0]), msr, &v));
    return v;
}
static bool wr(struct machine *m, uint32_t msr, uint64_t v) { return x86_msr_write(x86_cpu(m->cpu[0]), msr, v); }

static void test_msrs(const char *bios)
{
    struct machine_config c = config(bios, "SandyBridge");
    struct error e = ERROR_INIT;
    struct machine *m = pc_make(&c), *n = pc_make(&c);
    uint64_t v;
    if (!m || !n) return;
    const struct expected bits = { 0, 1, 0, { 0, 0, 1u << 21 | 1u << 24, 0 }, { 0, 0, 1u << 21 | 1u << 24, 0 } };
    check_leaves(m, &bits, 1);
    machine_step(m, 100);
    CHECK(!x86_msr_read(x86_cpu(m->cpu[0]), X2 + 2, &v)); /* the mode is off */
    CHECK(wr(m, BASE, 0xfee00d00) && rd(m, BASE) == 0xfee00d00);
    CHECK(rd(m, X2 + 2) == 0 && rd(m, X2 + 0xd) == 1);
    CHECK(!wr(m, X2 + 0x31, 0) && !wr(m, X2 + 0xb, 1) && !wr(m, BASE, 0xfee00900));
    CHECK(wr(m, X2 + 0xf, 0x1ff) && wr(m, X2 + 0x32, 0x40051));
    CHECK(rd(m, DEADLINE) == 0);

    v = rd(m, TSC);
    CHECK(wr(m, DEADLINE, v + 100000) && rd(m, DEADLINE) == v + 100000);
    machine_step(m, 12000); /* of 8 ns */
    CHECK(!intr(m));
    CHECK(wr(m, TSC, rd(m, TSC) - 50000)); /* it is further away now */
    machine_step(m, 5000);
    CHECK(!intr(m) && rd(m, DEADLINE) == v + 100000);

    struct state_buf b = {0};
    CHECK(machine_save(m, &b, &e) == 0);
    CHECK(machine_load(n, &b, &e) == 0);
    state_buf_free(&b);
    CHECK(machine_hash(m) == machine_hash(n));
    struct machine *both[2] = {m, n};
    for (unsigned i = 0; i < 2; i++) {
        CHECK(rd(both[i], DEADLINE) == v + 100000 && rd(both[i], X2 + 0xf) == 0x1ff);
        machine_step(both[i], 1600);
        CHECK(!intr(both[i]));
        machine_step(both[i], 300);
        CHECK(intr(both[i]) && rd(both[i], DEADLINE) == 0);
        CHECK(rd(both[i], X2 + 0x22) == 1u << 17); /* 51h */
    }
    CHECK(machine_hash(m) == machine_hash(n));
    CHECK(wr(m, X2 + 8, 0x60) && !intr(m)); /* the task priority holds it back */
    CHECK(wr(m, X2 + 8, 0) && intr(m));
    machine_reset(m);
    machine_step(m, 100);
    CHECK(rd(m, BASE) == 0xfee00900 && !intr(m));

    struct machine_config plain = config(bios, "qemu64"); /* without both */
    struct machine *p = pc_make(&plain);
    if (p) {
        machine_step(p, 100);
        CHECK(!wr(p, BASE, 0xfee00d00) && !wr(p, DEADLINE, 0) && !x86_msr_read(x86_cpu(p->cpu[0]), X2 + 2, &v));
        machine_delete(p);
    }
    /* the place of CPUs is of the state's identity */
    c.n_cpus = c.cores = 2;
    struct machine *q = pc_make(&c);
    c.cores = 1;
    struct machine *r = pc_make(&c);
    CHECK(machine_save(q, &b, &e) == 0 && machine_load(r, &b, &e) && strstr(e.msg, "cores"));
    state_buf_free(&b);
    machine_delete(q), machine_delete(r), machine_delete(m), machine_delete(n);
}

int main(void)
{
    periph_register_all();
    char *bios = rom_file();
    test_places(bios);
    test_msrs(bios);
    unlink(bios);
    mem_free(bios);
    return count_report();
}
