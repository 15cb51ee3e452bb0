/*
 * test-mips-boot.c - guest code on MIPS CPUs in system mode, without a board:
 * tests/guest/mips-priv.S boots from ROM and reports each event by a letter. The same letters come
 * from every model, byte order and engine, and the engines agree on every register and on time.
 */
#include "isa/mips/priv.h"
#include "tests/backends.h"

#include <inttypes.h>
#include <stdio.h>

static const uint32_t rom_words[] = {
#include "tests/guest/mips-priv.h"
};
/* As on other emulators with the same ROM. */
static const char expected[] = "Ub3cb4efefeDxxxymjnllkkllT.";

enum { RAM_SIZE = 1 << 20, ROM_SIZE = 1 << 16, ROM_BASE = 0x1fc00000, UART = 0x1fd003f8 };
enum { NS_PER_INSN = 8 };

struct board {
    struct cpu_world world;
    struct engine *engine;
    struct bus_clock *clock;
    struct cpu *cpu;
    uint8_t *ram, *rom;
    char out[256];
    unsigned n_out;
    uint64_t idle_ns;
};

static void phys_page(void *bus, uint64_t pa, struct phys_page *p)
{
    struct board *b = bus;
    *p = (struct phys_page){ NULL, false };
    if (pa < RAM_SIZE) p->host = b->ram + pa;
    else if (pa >= ROM_BASE && pa < ROM_BASE + ROM_SIZE)
        *p = (struct phys_page){ b->rom + (pa - ROM_BASE), true };
}

static bool mmio_read(void *bus, struct cpu *cpu, uint64_t pa, unsigned size, uint64_t *value)
{
    *value = 0;
    return false;
}

static bool mmio_write(void *bus, struct cpu *cpu, uint64_t pa, unsigned size, uint64_t value)
{
    struct board *b = bus;
    if (pa != UART) return false;
    if (b->n_out < sizeof b->out - 1) b->out[b->n_out++] = (char)value;
    if ((value & 0xff) == '.') cpu_kick(cpu);
    return true;
}

static uint64_t now(void *opaque)
{
    struct board *b = opaque;
    return cpu_icount(b->cpu) * NS_PER_INSN + b->idle_ns;
}

static void open_board(struct board *b, const struct isa *isa, const char *model, bool big_endian,
                       const struct engine_config *cfg)
{
    struct error e = ERROR_INIT;
    memset(b, 0, sizeof *b);
    b->world = (struct cpu_world){ .phys_page = phys_page,
                                   .mmio_read = mmio_read,
                                   .mmio_write = mmio_write };
    b->ram = mem_zalloc(RAM_SIZE);
    b->rom = mem_zalloc(ROM_SIZE);
    for (unsigned i = 0; i < ARRAY_LEN(rom_words); i++) {
        if (big_endian) st32_be(b->rom + 4 * i, rom_words[i]);
        else st32_le(b->rom + 4 * i, rom_words[i]);
    }
    struct engine_config engine = *cfg;
    engine_from_environment(&engine);
    b->engine = engine_new(&engine, &e);
    b->cpu = cpu_new(isa->guest, &b->world, b->engine, b, 0);
    if (isa->init(b->cpu, isa_find_model(isa, model), big_endian, false, &e)) {
        printf("cannot make %s: %s\n", model, e.msg);
        exit(1);
    }
    b->clock = clock_new();
    clock_connect(b->clock, now, NULL, b);
    isa->connect_clock(b->cpu, b->clock);
}

static void close_board(struct board *b)
{
    timer_cancel(&mips_cpu(b->cpu)->timer);
    cpu_delete(b->cpu);
    clock_delete(b->clock);
    engine_delete(b->engine);
    mem_free(b->ram);
    mem_free(b->rom);
}

/* Runs until '.' was written or too much time passed. Without a machine, deadlines that the guest
 * arms while it runs can't shorten its budget: small slices do. */
static void run(struct board *b)
{
    for (unsigned slice = 0; slice < 200000; slice++) {
        uint64_t t = now(b), next = clock_next(b->clock), most = 50;
        if (next <= t) {
            clock_run(b->clock, t);
            next = clock_next(b->clock);
        }
        if (next != TIME_NEVER) most = MIN(most, (next - t + NS_PER_INSN - 1) / NS_PER_INSN);
        enum run_exit x = engine_run(b->cpu, most);
        if (b->n_out && b->out[b->n_out - 1] == '.') return;
        if (x == RUN_HALTED && next != TIME_NEVER && next > now(b)) b->idle_ns += next - now(b);
    }
}

static uint64_t hash(struct board *b, const struct isa *isa)
{
    uint64_t h = state_hash(b->cpu, isa->state, cpu_icount(b->cpu));
    for (unsigned i = 0; i < isa->guest->n_slots; i++)
        h = (h ^ cpu_get_slot(b->cpu, (ir_id)i)) * UINT64_C(0x9e3779b97f4a7c15);
    for (unsigned i = 0; i < RAM_SIZE; i++)
        h = (h ^ b->ram[i]) * UINT64_C(0x100000001b3);
    return h;
}

int main(void)
{
    static const struct {
        const struct isa *isa;
        const char *model;
        bool be;
    } cpus[] = {
        { &mips32_isa, "24Kf", true },  { &mips32_isa, "24Kf", false },
        { &mips32_isa, "4KEc", true },  { &mips32_isa, "34Kf", false },
        { &mips32_isa, "74Kf", true },  { &mips64_isa, "5KEf", true },
        { &mips64_isa, "5KEc", false }, { &mips64_isa, "MIPS64R2-generic", false },
    };
    static const struct {
        const char *name;
        struct engine_config cfg;
    } engines[] = {
        { "reference", { .mode = ENGINE_REF } },
        { "fast", { .mode = ENGINE_FAST } },
        { "switch", { .mode = ENGINE_FAST, .portable_switch = true } },
        { "single", { .mode = ENGINE_FAST, .max_block = 1 } },
    };
    unsigned passed = 0, failed = 0;

    for (unsigned i = 0; i < ARRAY_LEN(cpus); i++) {
        uint64_t want = 0;
        for (unsigned k = 0; k < ARRAY_LEN(engines); k++) {
            struct board b;
            open_board(&b, cpus[i].isa, cpus[i].model, cpus[i].be, &engines[k].cfg);
            run(&b);
            uint64_t h = hash(&b, cpus[i].isa);
            bool text_ok = strcmp(b.out, expected) == 0, hash_ok = k == 0 || h == want;
            if (k == 0) want = h;
            if (text_ok && hash_ok) {
                passed++;
            } else {
                failed++;
                printf("FAILED %s %s-endian, %s engine: wrote \"%s\", state %016" PRIx64
                       ", reference %016" PRIx64 ", after %" PRIu64 " instructions\n",
                       cpus[i].model, cpus[i].be ? "big" : "little", engines[k].name, b.out, h,
                       want, cpu_icount(b.cpu));
            }
            close_board(&b);
        }
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
