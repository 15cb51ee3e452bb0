/*
 * test-x86-sys.c - an x86 CPU in system mode without a machine: tests/guest/x86-sys.S runs from the reset vector through all
 * modes and writes what it sees to a port. Recorded on another emulator; the last part is the manuals' (limits and rights).
 *
 * With arguments ROM [32|64|max [log]]: that image instead, its output on stdout.
 */
#include "isa/x86/sys.h"
#include "tests/backends.h"
#include "util/log.h"

#include "bus/clock.h"
#include "bus/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t rom_bytes[] = {
#include "tests/guest/x86-sys.h"
};
static const char expected[] =
#include "tests/guest/x86-sys-out.h"
    ;

enum { RAM_SIZE = 2 << 20, ROM_SIZE = 1 << 16, ROM_LOW = 0xf0000, NS_PER_INSN = 10 };
#define ROM_HIGH UINT64_C(0xffff0000)

struct board {
    struct cpu_world world;
    struct engine *engine;
    struct bus_clock *clock;
    struct cpu *cpu;
    uint8_t *ram, *rom;
    char *out;
    size_t n_out, cap;
    bool done, shut;
    uint8_t vector;
};

static void phys_page(void *bus, uint64_t pa, struct phys_page *p)
{
    struct board *b = bus;

    *p = (struct phys_page){ NULL, false };
    if (pa >= ROM_LOW && pa < ROM_LOW + ROM_SIZE) *p = (struct phys_page){ b->rom + (pa - ROM_LOW), true };
    else if (pa >= ROM_HIGH && pa < ROM_HIGH + ROM_SIZE) *p = (struct phys_page){ b->rom + (pa - ROM_HIGH), true };
    else if (pa < RAM_SIZE) p->host = b->ram + pa;
}

static bool mmio_read(void *bus, struct cpu *cpu, uint64_t pa, unsigned size, uint64_t *value)
{
    (void)bus, (void)cpu, (void)pa, (void)size;
    *value = UINT64_MAX;
    return true;
}

static bool mmio_write(void *bus, struct cpu *cpu, uint64_t pa, unsigned size, uint64_t value)
{
    (void)bus, (void)cpu, (void)pa, (void)size, (void)value;
    return true;
}

static void port_out(void *opaque, struct cpu *cpu, uint16_t port, uint32_t value, unsigned size)
{
    struct board *b = opaque;

    (void)size;
    if (port == 0xe9 && b->n_out < b->cap) b->out[b->n_out++] = (char)value;
    if (port == 0xf4) {
        b->vector = (uint8_t)value;
        x86_64_isa.set_irq(cpu, X86_PIN_INTR, true);
    }
    if (port == 0xf5 || port == 0xf6) {
        unsigned pin = port == 0xf5 ? X86_PIN_NMI : X86_PIN_SMI;
        x86_64_isa.set_irq(cpu, pin, true);
        x86_64_isa.set_irq(cpu, pin, false);
    }
    if (port == 0x501) {
        b->done = true;
        cpu_kick(cpu);
    }
}

static void shut(void *opaque, struct cpu *cpu)
{
    (void)cpu;
    ((struct board *)opaque)->shut = true;
}

static int acknowledge(void *opaque, struct cpu *cpu)
{
    x86_64_isa.set_irq(cpu, X86_PIN_INTR, false);
    return ((struct board *)opaque)->vector;
}

static const struct x86_board_ops ops = { .acknowledge = acknowledge, .out = port_out, .shutdown = shut };

static uint64_t now(void *opaque) { return cpu_icount(((struct board *)opaque)->cpu) * NS_PER_INSN; }

static void open_board(struct board *b, const struct isa *isa, const char *model, const struct engine_config *cfg)
{
    struct error e = ERROR_INIT;
    struct engine_config engine = *cfg;

    memset(b, 0, sizeof *b);
    b->world = (struct cpu_world){ .phys_page = phys_page, .mmio_read = mmio_read, .mmio_write = mmio_write };
    b->ram = mem_zalloc(RAM_SIZE);
    b->rom = mem_zalloc(ROM_SIZE);
    b->cap = 1 << 18;
    b->out = mem_zalloc(b->cap + 1);
    engine_from_environment(&engine);
    b->engine = engine_new(&engine, &e);
    b->cpu = cpu_new(isa->guest, &b->world, b->engine, b, 0);
    if (isa->init(b->cpu, isa_find_model(isa, model), false, false, &e)) {
        printf("cannot make %s: %s\n", model, e.msg);
        exit(1);
    }
    b->clock = clock_new();
    clock_connect(b->clock, now, NULL, b);
    isa->connect_clock(b->cpu, b->clock);
    x86_connect_board(b->cpu, &ops, b);
}

static void close_board(struct board *b)
{
    cpu_delete(b->cpu);
    clock_delete(b->clock);
    engine_delete(b->engine);
    mem_free(b->ram);
    mem_free(b->rom);
    mem_free(b->out);
}

static void run(struct board *b, uint64_t most)
{
    while (!b->done && !b->shut && cpu_icount(b->cpu) < most) {
        if (engine_run(b->cpu, 1000) == RUN_HALTED) break;
    }
}

static void put_line(void *opaque, const char *line) { fprintf(opaque, "%s\n", line); }

static uint64_t hash(struct board *b, const struct isa *isa)
{
    uint64_t h = state_hash(b->cpu, isa->state, cpu_icount(b->cpu));

    for (unsigned i = 0; i < isa->guest->n_slots; i++) {
        bool lazy = i == XR_CC_OP || i == XR_CC_R || i == XR_CC_B;
        if (!lazy) h = (h ^ cpu_get_slot(b->cpu, (ir_id)i)) * UINT64_C(0x9e3779b97f4a7c15);
    }
    return h ^ x86_get_eflags(x86_cpu(b->cpu));
}

static int run_file(const char *path, bool is64, bool max)
{
    const struct isa *isa = is64 ? &x86_64_isa : &x86_32_isa;
    struct board b;
    FILE *f = fopen(path, "rb");

    open_board(&b, isa, max ? "max" : is64 ? "qemu64" : "qemu32", &(struct engine_config){ .mode = ENGINE_FAST });
    if (!f || fread(b.rom, 1, ROM_SIZE, f) != ROM_SIZE) return 1;
    fclose(f);
    run(&b, 3000000);
    fwrite(b.out, 1, b.n_out, stdout);
    if (!b.done) isa->dump(b.cpu, put_line, stderr, false);
    close_board(&b);
    return b.done ? 0 : 1;
}

/* The first difference, line by line. */
static void differ(const char *got, const char *want)
{
    unsigned line = 1;
    const char *g = got, *w = want;

    while (*g && *g == *w) {
        if (*g == '\n') line++, got = g + 1, want = w + 1;
        g++, w++;
    }
    printf("  line %u: got  \"%.*s\"\n           want \"%.*s\"\n", line, (int)strcspn(got, "\n"), got, (int)strcspn(want, "\n"), want);
}

/* CPUs without a feature leave out what is about it. */
static void leave_out(char *s, const char *from, const char *to)
{
    char *p = strstr(s, from), *end = p ? strstr(p, to) : NULL;

    if (end) memmove(p, end, strlen(end) + 1);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; struct engine_config cfg; } engines[] = {
        { "ref", { .mode = ENGINE_REF } },
        { "fast", { .mode = ENGINE_FAST } },
        { "switch", { .mode = ENGINE_FAST, .portable_switch = true } },
        { "one", { .mode = ENGINE_FAST, .max_block = 1 } },
    };
    unsigned passed = 0, failed = 0;

    register_backends();
    if (argc > 3) log_set(LOG_INT | LOG_GUEST_ERRORS | LOG_UNIMP);
    if (argc > 1) return run_file(argv[1], argc > 2 && strcmp(argv[2], "32"), argc > 2 && !strcmp(argv[2], "max"));
    for (unsigned m = 0; m < 3; m++) {
        static const char *const models[3] = { "qemu32", "qemu64", "max" };
        const struct isa *isa = m ? &x86_64_isa : &x86_32_isa;
        char *want = mem_strdup(expected);
        if (m < 2) leave_out(want, "smap\n", "PAE\n");
        if (!m) leave_out(want, "nx ", "sysenter\n"), leave_out(want, "long\n", "own:\n");
        uint64_t first = 0;
        for (unsigned i = 0; i < ARRAY_LEN(engines); i++) {
            struct board b;
            open_board(&b, isa, models[m], &engines[i].cfg);
            memcpy(b.rom, rom_bytes, sizeof rom_bytes - 16);
            memcpy(b.rom + ROM_SIZE - 16, rom_bytes + sizeof rom_bytes - 16, 16);
            run(&b, 3000000);
            if (b.done && !strcmp(b.out, want)) {
                passed++;
            } else {
                printf("FAILED: %s %s: %s\n", models[m], engines[i].name, b.done ? "other output" : b.shut ? "triple fault" : "no end");
                differ(b.out, want);
                failed++;
            }
            uint64_t h = hash(&b, isa);
            if (!i) first = h;
            if (h == first) passed++;
            else printf("FAILED: %s: %s and %s end in different states\n", models[m], engines[0].name, engines[i].name), failed++;
            close_board(&b);
        }
        mem_free(want);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
